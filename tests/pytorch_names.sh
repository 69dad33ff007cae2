#!/bin/sh
# pytorch_names.sh: checks what docs/names.md says: every function that it names is declared, and its numbers are true.
# The names of ours in docs/from-pytorch.md, docs/tutorial.md and README.md are in the headers too. Prints TAP.
set -u
. tests/cases
page=docs/names.md

declared() {
    sed -n 's/^AD_\(OP\|FN\)(\([a-z0-9_]*\),.*/ad_\2/p' ops/ops.def
    sed -n 's/^AD_API [^(]*[ *]\([a-z0-9_]*\) *(.*/\1/p' autodiff/*.h ops/*.h nn/*.h
}

# The rows of the table: PYTORCH'S NAME | OURS OR A REASON.
rows() { sed -n 's/^| `\([A-Za-z0-9_.]*\)` | \(.*\) |$/\1|\2/p' $page; }

# The functions of the table that no header declares.
undeclared() {
    declared | sort -u >"$work/declared"
    rows | cut -d'|' -f2 | grep -o '`[a-z0-9_]*`' | tr -d '`' | sort -u | comm -23 - "$work/declared"
}

twice() { rows | cut -d'|' -f1 | sort | uniq -d; }

# The numbers of the text are those of the table, and at least 400 names have a function.
numbers() {
    all=$(rows | wc -l)
    have=$(rows | grep -c '|`')
    echo "$all names, $have with a function"
    tr '\n' ' ' <$page | grep -q "each of these $all names,.* $have have one" || return
    [ "$have" -ge 400 ] && [ "$all" -ge 571 ]
}

# All that a program may name: functions, types, macros and constants.
public_names() {
    declared
    cat autodiff/*.h ops/*.h nn/*.h | tr '\n' ' ' | sed 's|/\*[^*]*\*\**\([^/*][^*]*\*\**\)*/||g' >"$work/headers"
    grep -o '\<\(ad\|nn\)_[a-z0-9_]* *[;({]' "$work/headers" | sed 's/ *[;({]$//'
    grep -o 'define nn_[a-z0-9_]*' "$work/headers" | sed 's/^define //'
    grep -o '\<AD_[A-Z0-9_]*' "$work/headers"
}

# The names of ours in a page that no header has. A name that ends in _ stands for a family: AD_E..., nn_.
unknown_names() {
    public_names | sort -u >"$work/public"
    grep -o '\<\(ad\|nn\|AD\)_[A-Za-z0-9_]*[A-Za-z0-9]\>' "$1" | sort -u | comm -23 - "$work/public"
}

for page_of_names in docs/from-pytorch.md docs/tutorial.md README.md; do
    check "the names of ours in $page_of_names are in the headers" prints_nothing unknown_names $page_of_names
done
check "the functions of docs/names.md are declared" prints_nothing undeclared
check "it has each name once" prints_nothing twice
check "its numbers are those of its table" numbers
done_testing
