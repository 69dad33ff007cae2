#!/bin/sh
# docs.sh: checks that docs/ops.md is what its generator prints, shows no private names, and names existing sources.
# Prints TAP.
set -u
. tests/cases
page=${BUILD:-build}/ops.md

is_current() {
    [ $status = 0 ] && diff -u docs/ops.md "$page" && return
    echo "make docs writes docs/ops.md again"
    return 1
}

# A formula that passes through two macros before it becomes text shows private names or those of the compiler.
private_names() { grep -n '__' docs/ops.md; }

# The files named by lines like "Sources: ops/reduce/reduce.c, norm.c." that do not exist. A name without a folder
# belongs to the folder of the name before it.
missing_sources() {
    sed -n 's/^Sources: \(.*\)\.$/\1/p' docs/ops.md | tr -d , | while read -r paths; do
        folder=
        for path in $paths; do
            case $path in */*) folder=${path%/*}/ ;; esac
            [ -f "$folder${path##*/}" ] || echo "$folder${path##*/}"
        done
    done
}

"${BUILD:-build}/docs/reference" ops/ops.def >"$page"
status=$?
if [ $status = 2 ]; then
    skip "docs/ops.md is what the table of ops gives" "this build lacks a library that an op needs"
else check "docs/ops.md is what the table of ops gives" is_current
fi
check "docs/ops.md shows no private names" prints_nothing private_names
check "the sources that docs/ops.md names exist" prints_nothing missing_sources
done_testing
