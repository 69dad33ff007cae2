#!/bin/sh
# install.sh: installs the library below build/, builds programs against it as a user would, and removes it.
set -eu
. tests/stage
work=$build/install
rm -rf "$work"
mkdir -p "$work"
stage "$work/prefix"
include=$(pkg_config --variable=includedir autodiff)
headers=$(cd "$include" && find . -name '*.h' | sed 's#^\./##' | sort)
strict="-Wall -Wextra -Wpedantic -Werror"

# The program that a newcomer writes first.
cat >"$work/first.c" <<'END'
#include <stdio.h>

#include "autodiff/autodiff.h"
#include "nn/nn.h"
#include "ops/ops.h"

int main(void) {
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR);
    ad_var *y = ad_param(g, AD_F64, (double[]){ 4.2 }, AD_SCALAR);
    ad_var *f = ad_add(ad_sin(x), ad_mul(x, y));
    ad_backward(f);
    printf("f %g  df/dx %g  df/dy %g\n", ad_item(f), ad_grad_item(x), ad_grad_item(y));
    ad_graph_free(g);
    return 0;
}
END

public_headers_only() {
    [ "$(echo "$headers" | grep -c -x 'autodiff/autodiff.h\|autodiff/op.h\|ops/ops.h\|nn/nn.h')" = 4 ] &&
        [ -f "$include/ops/ops.def" ] && ! grep -l 'ad__[a-z]' -r "$include"
}

# Each header is the first that a file includes, so it must bring in all that it uses.
alone() {
    for header in $headers; do
        echo "#include \"$header\"" >"$work/alone.c"
        # shellcheck disable=SC2046,SC2086 # lists of flags
        "$@" $strict $(pkg_config --cflags autodiff) -fsyntax-only "$work/alone.c" || return 1
    done
}

cxx_program() {
    # shellcheck disable=SC2046,SC2086
    $CXX -std=c++17 $strict tests/headers.cpp $(pkg_config --cflags --libs autodiff) -o "$work/headers" &&
        [ "$("$work/headers")" = "$(pkg_config --modversion autodiff)" ]
}

prints_gradient() { [ "$("$1")" = "f 2.57943  df/dx 5.07758  df/dy 0.5" ]; }
needs_library() { readelf -d "$1" | grep -q 'NEEDED.*libautodiff\.so\.'; }

shared_program() {
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$work/first.c" $(pkg_config --cflags --libs autodiff) -o "$work/shared" &&
        needs_library "$work/shared" && prints_gradient "$work/shared"
}

static_program() {
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$work/first.c" $(pkg_config --cflags autodiff) \
        $(pkg_config --variable=static_libs autodiff) -o "$work/static" &&
        ! needs_library "$work/static" && prints_gradient "$work/static"
}

# What pkg-config itself has for archives, where there is no shared library to prefer.
archive_only_program() {
    mkdir -p "$work/archive"
    cp "$prefix/lib/libautodiff.a" "$work/archive"
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$work/first.c" -L"$work/archive" \
        $(pkg_config --cflags --libs --static autodiff | sed "s#-L$prefix/lib##") -o "$work/archived" &&
        ! needs_library "$work/archived" && prints_gradient "$work/archived"
}

public_symbols_only() {
    nm -D --defined-only "$prefix/lib/libautodiff.so" | awk '{ print $NF }' >"$work/symbols"
    grep -qx ad_backward "$work/symbols" && grep -qx nn_apply "$work/symbols" &&
        ! grep -v '^\(ad\|nn\)_[a-z0-9]' "$work/symbols"
}

soname() { readelf -d "$prefix/lib/libautodiff.so" | grep 'SONAME.*\[libautodiff\.so\.[0-9]*\]'; }

# Below DESTDIR lies what PREFIX has, and autodiff.pc does not know of it.
below_destdir() {
    "$MAKE" -s install DESTDIR="$work/dest" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib &&
        [ -f "$work/dest/opt/autodiff/lib/libautodiff.a" ] &&
        ! grep -rI "$work" "$work/dest" &&
        [ "$(cd "$prefix" && find . | sort)" = "$(cd "$work/dest/opt/autodiff" && find . | sort)" ]
}

nothing_left() {
    "$MAKE" -s uninstall DESTDIR="$work/dest" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib &&
        [ -z "$(find "$work/dest" ! -type d)" ] && [ -z "$(find "$work/dest" -name '*autodiff-*')" ]
}

echo "1..11"
result "public headers are installed, private ones are not" public_headers_only
result "each header alone in C11" alone "$CC" -std=c11 -x c
result "each header alone in C++17" alone "$CXX" -std=c++17 -x c++
result "a C++ program" cxx_program
result "the first program with the shared library" shared_program
result "the first program with the archive" static_program
result "the first program with the archive, by pkg-config --static" archive_only_program
result "only ad_ and nn_ symbols are visible" public_symbols_only
result "the soname has the major version" soname
result "installation below DESTDIR" below_destdir
result "uninstall leaves nothing" nothing_left
