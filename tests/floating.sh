#!/bin/sh
# floating.sh: checks that options which change what floating-point numbers mean are refused, in every file of the
# library. Prints TAP.
set -u
. tests/cases
CC=${CC:-cc}
MAKE=${MAKE:-make}
sentence='autodiff needs NaN and infinity: build it without -ffast-math'

# compiles FILE FLAG...
compiles() {
    file=$1
    shift
    $CC -std=c11 -I. "$@" -fsyntax-only -x c "$file"
}

# refused FLAG: the engine's headers and the kernels' say so, whatever builds them.
refused() {
    for header in autodiff/base/arena.h autodiff/base/shape.h ops/kernels/base/simd.h; do
        if compiles "$header" -O2 "$1" 2>"$work/errors"; then echo "$header compiles with $1" && return 1; fi
        grep -q "$sentence" "$work/errors" || { cat "$work/errors" && return 1; }
    done
}

# accepted FLAG
accepted() { compiles autodiff/base/arena.h -O2 "$1"; }

# made FILE...: make refuses each of these objects.
made() {
    objects=
    for file; do objects="$objects $work/build/obj/$file"; done
    # shellcheck disable=SC2086 # a list of files
    if $MAKE -k BUILD="$work/build" CFLAGS=-ffast-math $objects >"$work/errors" 2>&1; then return 1; fi
    for file; do
        if [ -e "$work/build/obj/$file" ]; then echo "$file was compiled" && return 1; fi
    done
    n=$(grep -c "error.*$sentence" "$work/errors")
    echo "$n of $# files say so"
    [ "$n" -ge $# ]
}

check "-ffast-math is refused" refused -ffast-math
check "-Ofast is refused" refused -Ofast
check "-ffinite-math-only is refused" refused -ffinite-math-only
check "-O3 is accepted" accepted -O3
check "-ffp-contract=fast is accepted" accepted -ffp-contract=fast
check "make CFLAGS=-ffast-math fails in every folder" made autodiff/graph/leaf.o autodiff/look/attr.o ops/table.o \
    ops/loss/nll.o ops/kernels/elementwise/gamma.o nn/layers/norm.o nn/file/bytes.o nn/kernels/update.o
done_testing
