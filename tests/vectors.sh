#!/bin/sh
# vectors.sh: checks that every build has vector loops: counts vector arithmetic in an elementwise object of this build,
# of one for this machine, and of those by the other compilers that are installed. Prints TAP.
set -u
. tests/cases
object=obj/ops/elementwise/binary.o

# The packed additions, products, quotients and extrema of an object, by the tools of its compiler.
packed() { # OBJDUMP OBJECT
    "$1" -d --no-show-raw-insn "$2" |
        grep -cE '[[:space:]](v?(add|sub|mul|div|max|min)p[sd]|f(add|sub|mul|div|max|min).*v[0-9]+\.(4s|2d))'
}
has_vectors() { # OBJDUMP OBJECT
    found=$(packed "$1" "$2")
    echo "$2 has $found vector instructions, of 40 or more"
    [ "$found" -ge 40 ]
}
# Builds the object with these settings, without optional libraries, and counts.
built_has_vectors() { # OBJDUMP SETTING...
    objdump=$1
    shift
    rm -rf "$work/other"
    env -u MAKEFLAGS -u MAKELEVEL "${MAKE:-make}" BUILD="$work/other" BLAS=none PKG_CONFIG=false "$@" \
        "$work/other/$object" || return 1
    has_vectors "$objdump" "$work/other/$object"
}
# with NAME COMPILER OBJDUMP SETTING...: the case of one compiler, if it is there with a C library.
with() {
    name=$1 compiler=$2 objdump=$3
    shift 3
    if command -v "$compiler" >/dev/null && command -v "$objdump" >/dev/null &&
        "$compiler" -I"$work/include" "$@" -include uthash.h -include stdio.h -fsyntax-only -x c /dev/null 2>/dev/null
    then
        check "$name has vector loops" built_has_vectors "$objdump" CC="$compiler${*:+ $*}" CPPFLAGS="-I$work/include"
    else skip "$name has vector loops" "there is no $compiler with a C library"; fi
}

if ! command -v objdump >/dev/null; then
    skip "every build has vector loops" "there is no objdump"
    done_testing
    exit
fi
# Headers without a library, for compilers that do not look into /usr/include.
mkdir "$work/include" && ln -s /usr/include/uthash.h /usr/include/Random123 "$work/include"
check "this build has vector loops" has_vectors objdump "${BUILD:-build}/$object"
check "a build for this machine has vector loops" built_has_vectors objdump NATIVE=1
with clang clang objdump
with musl musl-gcc objdump
with arm64 aarch64-linux-gnu-gcc aarch64-linux-gnu-objdump --sysroot="$(pwd)/${BUILD:-build}/root-arm64"
with i386 i686-linux-gnu-gcc i686-linux-gnu-objdump --sysroot="$(pwd)/${BUILD:-build}/root-i386"
done_testing
