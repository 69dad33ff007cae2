#!/bin/sh
# docs.sh: docs/ops.md is what its generator prints, its formulas are as they were written, its sources exist.
echo 1..3
bad=0
page=${BUILD:-build}/ops.md
"${BUILD:-build}/docs/reference" ops/ops.def tests/reference/results >"$page"
status=$?
if [ "$status" = 2 ]; then
    echo "ok 1 - docs/ops.md # SKIP this build lacks a library that an op needs"
elif [ "$status" = 0 ] && diff -u docs/ops.md "$page"; then
    echo "ok 1 - docs/ops.md is what the table of ops gives"
else
    echo "not ok 1 - docs/ops.md is not what the table of ops gives; make docs writes it anew"
    bad=1
fi

# A formula that went through two macros before it became text has private names or the compiler's.
if grep -n '__' docs/ops.md; then
    echo "not ok 2 - docs/ops.md shows private names"
    bad=1
else
    echo "ok 2 - docs/ops.md shows no private names"
fi

# "Sources: ops/reduce/reduce.c, norm.c." A path without a folder is of the folder before it.
missing=$(sed -n 's/^Sources: \(.*\)\.$/\1/p' docs/ops.md | tr -d , | while read -r paths; do
    folder=
    for path in $paths; do
        case $path in */*) folder=${path%/*}/ ;; esac
        [ -f "$folder${path##*/}" ] || echo "# $folder${path##*/}"
    done
done)
if [ -n "$missing" ]; then
    printf '%s\n' "not ok 3 - headings of ops/ops.def name files that do not exist" "$missing"
    bad=1
else
    echo "ok 3 - the sources that docs/ops.md names exist"
fi
exit $bad
