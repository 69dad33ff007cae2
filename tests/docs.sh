#!/bin/sh
# docs.sh: docs/ops.md is what its generator prints.
echo 1..1
page=${BUILD:-build}/ops.md
if "${BUILD:-build}/docs/reference" ops/ops.def >"$page" && diff -u docs/ops.md "$page"; then
    echo "ok 1 - docs/ops.md is what the table of ops gives"
else
    echo "not ok 1 - docs/ops.md is not what the table of ops gives; make docs writes it anew"
    exit 1
fi
