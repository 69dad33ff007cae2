#!/bin/sh
# onnx_names.sh: checks what docs/onnx.md says: every function that it names is declared, its numbers are true, and what
# it says is run is run. Prints TAP.
set -u
. tests/cases
page=docs/onnx.md
tests=tests/reference/onnx.txt

declared() {
    sed -n 's/^AD_\(OP\|FN\)(\([a-z0-9_]*\),.*/ad_\2/p' ops/ops.def
    sed -n 's/^AD_API [^(]*[ *]\([a-z0-9_]*\) *(.*/\1/p' autodiff/*.h ops/*.h nn/*.h
}

undeclared() {
    declared | sort -u >"$work/declared"
    grep -ow '\(ad\|nn\)_[a-z0-9_]*' $page | sort -u | comm -23 - "$work/declared"
}

# The rows of the tables: OPERATOR TESTS HERE RUN.
rows() { sed -n 's/^| \([A-Z][A-Za-z0-9]*\) | \([0-9]*\) | \([0-9]*\) | \([0-9]*\) | .*/\1 \2 \3 \4/p' $page; }

# The text's numbers are the sums of the columns, and at least 650 tests have an expression.
numbers() {
    set -- $(rows | awk '{ all += $2; have += $3; run += $4 } END { print all, have, run }')
    echo "$1 node tests, $2 with an expression, $3 run"
    tr '\n' ' ' <$page | grep -q " $1 of them have one node .*\. $2 of these can be computed .* runs $3 and compares" ||
        return
    [ "$1" -eq 812 ] && [ "$2" -ge 650 ]
}

# A row that differs from the list of names, where parentheses mean a test without an expression.
miscounted() {
    sed -n 's/^- \([A-Za-z0-9]*\): /\1 /p' $page | awk '{ n = 0; for (i = 2; i <= NF; i++) n += $i !~ /^\(/
        print $1, NF - 1, n }' | sort >"$work/listed"
    rows | cut -d' ' -f1-3 | sort | comm -3 - "$work/listed"
}

# A row that says that another number of tests is run than the file has, and an operator of the file without a row.
misrun() {
    sed -n 's/^test [^ ]* //p' $tests | sort | uniq -c | awk '{ print $2, $1 }' >"$work/run"
    rows | awk '$4 > 0 { print $1, $4 }' | sort | comm -3 - "$work/run"
}

check "the functions of docs/onnx.md are declared" prints_nothing undeclared
check "its numbers are those of its tables" numbers
check "its tables count the tests that it lists" prints_nothing miscounted
check "tests/test_onnx.c runs what its tables say" prints_nothing misrun
done_testing
