#!/bin/sh
# install.sh: installs the library below build/, builds programs with it as a user would, and uninstalls it. Prints TAP.
set -eu
. tests/stage
export MPI=none # tests/mpi/ installs libautodiff-mpi
folder=$build/install
rm -rf "$folder"
mkdir -p "$folder"
stage "$folder/prefix"
include=$(pkg_config --variable=includedir autodiff)
headers=$(cd "$include" && find . -name '*.h' | sed 's#^\./##' | sort)
strict="-Wall -Wextra -Wpedantic -Werror"

# The first program of a new user.
cat >"$folder/first.c" <<'END'
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

manual_installed() {
    for page in autodiff autodiff-ops autodiff-nn; do
        grep -q "^\.Nm $page\$" "$prefix/share/man/man3/$page.3" || return 1
    done
}

# The licence and the pages, in the folders that their links name.
pages_installed() {
    for page in LICENSE README.md CHANGELOG.md SECURITY.md docs/*.md docs/reference/*.md; do
        cmp "$page" "$prefix/share/doc/autodiff/$page" || return 1
    done
}

# Each header compiles as the first include of a file.
alone() {
    for header in $headers; do
        echo "#include \"$header\"" >"$folder/alone.c"
        # shellcheck disable=SC2046,SC2086 # lists of flags
        "$@" $strict $(pkg_config --cflags autodiff) -fsyntax-only "$folder/alone.c" || return 1
    done
}

cxx_program() {
    # shellcheck disable=SC2046,SC2086
    $CXX -std=c++17 $strict tests/headers.cpp $(pkg_config --cflags --libs autodiff) -o "$folder/headers" &&
        [ "$("$folder/headers")" = "$(pkg_config --modversion autodiff)" ]
}

prints_gradient() { [ "$("$1")" = "f 2.57943  df/dx 5.07758  df/dy 0.5" ]; }
needs_library() { readelf -d "$1" | grep -q 'NEEDED.*libautodiff\.so\.'; }

shared_program() {
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$folder/first.c" $(pkg_config --cflags --libs autodiff) -o "$folder/shared" &&
        needs_library "$folder/shared" && prints_gradient "$folder/shared"
}

static_program() {
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$folder/first.c" $(pkg_config --cflags autodiff) \
        $(pkg_config --variable=static_libs autodiff) -o "$folder/static" &&
        ! needs_library "$folder/static" && prints_gradient "$folder/static"
}

# With the flags of pkg-config --static, where only the archive can be found.
archive_only_program() {
    mkdir -p "$folder/archive"
    cp "$prefix/lib/libautodiff.a" "$folder/archive"
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $strict "$folder/first.c" -L"$folder/archive" \
        $(pkg_config --cflags --libs --static autodiff | sed "s#-L$prefix/lib##") -o "$folder/archived" &&
        ! needs_library "$folder/archived" && prints_gradient "$folder/archived"
}

public_symbols_only() {
    nm -D --defined-only "$prefix/lib/libautodiff.so" | awk '{ print $NF }' >"$folder/symbols"
    grep -qx ad_backward "$folder/symbols" && grep -qx nn_apply "$folder/symbols" &&
        ! grep -v '^\(ad\|nn\)_[a-z0-9]' "$folder/symbols"
}

soname() { readelf -d "$prefix/lib/libautodiff.so" | grep 'SONAME.*\[libautodiff\.so\.\(0\.[0-9]*\|[1-9][0-9]*\)\]'; }

# The same files are installed below DESTDIR as in PREFIX, and no file contains the path of DESTDIR.
below_destdir() {
    "$MAKE" -s install DESTDIR="$folder/dest" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib &&
        [ -f "$folder/dest/opt/autodiff/lib/libautodiff.a" ] &&
        ! grep -rI "$folder" "$folder/dest" &&
        [ "$(cd "$prefix" && find . | sort)" = "$(cd "$folder/dest/opt/autodiff" && find . | sort)" ]
}

# Everybody can read all files, whatever the umask is.
readable_by_all() {
    (umask 077 && "$MAKE" -s install DESTDIR="$folder/masked" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib LDCONFIG=:) &&
        [ -z "$(find "$folder/masked/opt" ! -type l ! -perm -444)" ]
}

# A folder that was moved after the installation, as pkg-config --define-prefix finds it.
moved() {
    rm -rf "$folder/moved"
    cp -R "$prefix" "$folder/moved"
    flags=$(PKG_CONFIG_PATH=$folder/moved/lib/pkgconfig $PKG_CONFIG --define-prefix --cflags --libs autodiff) &&
        case "$flags " in *"-I$folder/moved/include/"*"-L$folder/moved/lib "*) ! echo "$flags" | grep "$prefix/" ;;
        *) echo "$flags" && false ;; esac
}

nothing_left() {
    "$MAKE" -s uninstall DESTDIR="$folder/dest" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib &&
        [ -z "$(find "$folder/dest" ! -type d)" ] && [ -z "$(find "$folder/dest/opt/autodiff" -mindepth 1 -name '*autodiff*')" ]
}

# Below any DESTDIR, and only there: blanks, and what the shell, sed or make would read.
odd_destdirs() {
    for odd in "My Libs & it's;x" '$(id)`id`"$HOME"' '#star*a|b\c'; do
        dest=$folder/odd/$odd/d
        mkdir -p "$folder/odd/My" "$dest"
        echo mine >"$folder/odd/My/mine"
        given=$(printf '%s' "$dest" | sed 's/[$]/$$/g') # for make
        "$MAKE" -s install DESTDIR="$given" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib LDCONFIG=: || return 1
        [ "$(cd "$prefix" && find . | sort)" = "$(cd "$dest/opt/autodiff" && find . | sort)" ] || return 1
        "$MAKE" -s uninstall DESTDIR="$given" PREFIX=/opt/autodiff LIBDIR=/opt/autodiff/lib || return 1
        [ -z "$(find "$dest" ! -type d)" ] && [ -e "$folder/odd/My/mine" ] || return 1
    done
}

# refused_as TEXT MAKE_ARGUMENT...: make fails with this text, and touches nothing below $work/kept.
refused_as() {
    text=$1
    shift
    before=$(find "$work/kept" | sort)
    if "$MAKE" "$@" LDCONFIG=: >"$work/refused" 2>&1; then cat "$work/refused" && return 1; fi
    cat "$work/refused"
    grep -q "$text" "$work/refused" && [ "$before" = "$(find "$work/kept" | sort)" ]
}

# A prefix or a build folder that pkg-config or make would split.
odd_paths_refused() {
    rm -rf "$work/kept"
    mkdir -p "$work/kept/My/include" "$work/kept/My Libs/include/autodiff-0" "$work/kept/build"
    echo mine >"$work/kept/My/include/mine"
    echo mine >"$work/kept/My Libs/include/autodiff-0/mine"
    for odd in 'My Libs' 'a&b' 'a;b' "it's" '$$(id)' '`id`' 'a"b' 'star*' 'a#b' 'a:b' 'a|b' '~' 'a%b' 'a=b'; do
        for goal in install uninstall; do
            refused_as 'PREFIX is' $goal PREFIX="$work/kept/$odd" || return 1
            refused_as 'LIBDIR is' $goal PREFIX=/opt/autodiff LIBDIR="$work/kept/$odd" || return 1
        done
        refused_as 'DOCDIR is' install PREFIX=/opt/autodiff DOCDIR="$work/kept/$odd" || return 1
        refused_as 'CMAKEDIR is' install PREFIX=/opt/autodiff CMAKEDIR="$work/kept/$odd" || return 1
        refused_as 'BUILD is' clean BUILD="$work/kept/$odd" || return 1
        refused_as 'BUILD is' all BUILD="$work/kept/$odd" || return 1
        ! MAKEFLAGS= BUILD="$work/kept/$odd" "$MAKE" clean || return 1
    done
    refused_as 'BUILD is' clean BUILD=-f && refused_as 'PREFIX is' uninstall PREFIX=-f
}

# Uninstalling keeps what it did not install.
others_kept() {
    rm -rf "$folder/shared_prefix"
    "$MAKE" -s install PREFIX="$folder/shared_prefix" LIBDIR="$folder/shared_prefix/lib" DESTDIR= LDCONFIG=: || return 1
    own=$folder/shared_prefix/include/autodiff-0/nn
    touch "$own/mine.h" "$folder/shared_prefix/lib/libother.a" "$folder/shared_prefix/lib/pkgconfig/other.pc" \
        "$folder/shared_prefix/lib/cmake/autodiff-0/mine.cmake" "$folder/shared_prefix/share/doc/autodiff/docs/mine.md"
    "$MAKE" -s uninstall PREFIX="$folder/shared_prefix" LIBDIR="$folder/shared_prefix/lib" DESTDIR= &&
        [ "$(cd "$folder/shared_prefix" && find . -type f | sort | tr '\n' ' ')" = \
            "./include/autodiff-0/nn/mine.h ./lib/cmake/autodiff-0/mine.cmake ./lib/libother.a ./lib/pkgconfig/other.pc \
./share/doc/autodiff/docs/mine.md " ]
}

# Cleaning removes a folder that a build made, and no other. Folders of value are tried with -n, so that a fault removes
# nothing. MAKEFLAGS is emptied where BUILD comes from the environment: it may hold a BUILD of the make that runs the tests.
clean_removes_builds_only() {
    rm -rf "$work/kept"
    mkdir -p "$work/kept/project/docs" "$work/kept/empty"
    echo mine >"$work/kept/project/docs/mine"
    echo mine >"$work/kept/file"
    for b in "$work/kept/project" nn tests . .. / "$(pwd)" "$(pwd)/.." docs/; do
        for goal in clean all; do refused_as 'BUILD is' -n $goal BUILD="$b" || return 1; done
        ! MAKEFLAGS= BUILD=$b "$MAKE" -n clean || return 1
    done
    for b in "$work/kept/project" "$work/kept/file" ''; do refused_as 'BUILD is' clean BUILD="$b" || return 1; done
    [ -e nn/nn.h ] && [ -e tests/install.sh ] || return 1
    "$MAKE" -s BUILD="$work/kept/new" "$work/kept/new/stamp_flags" && [ -e "$work/kept/new/stamp_flags" ] &&
        "$MAKE" -s clean BUILD="$work/kept/new" && [ ! -e "$work/kept/new" ] &&
        "$MAKE" -s clean BUILD="$work/kept/absent"
}

check "public headers are installed, private ones are not" public_headers_only
check "man pages are installed" manual_installed
check "the licence and the pages are installed" pages_installed
check "each header alone in C11" alone "$CC" -std=c11 -x c
check "each header alone in C++17" alone "$CXX" -std=c++17 -x c++
check "a C++ program with all headers" cxx_program
check "the first program with the shared library" shared_program
check "the first program with the archive" static_program
check "the first program with the archive, by pkg-config --static" archive_only_program
check "only ad_ and nn_ symbols are visible" public_symbols_only
check "the soname has the version that docs/abi.md says" soname
check "installation below DESTDIR" below_destdir
check "all can read the files, whatever the umask is" readable_by_all
check "an installation can be moved" moved
check "uninstall leaves nothing" nothing_left
check "any DESTDIR" odd_destdirs
check "paths that cannot be quoted are refused before anything is touched" odd_paths_refused
check "uninstall keeps the files of others" others_kept
check "clean removes build folders only" clean_removes_builds_only
done_testing
