#!/bin/sh
# docs.sh: docs/ops.md is what its generator prints, and formulas in it are as they were written.
echo 1..2
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
exit $bad
