#!/bin/sh
# covered.sh: every elementwise op, kernel, module, layer, loss and optimiser has its test; prints TAP.
set -u
. tests/cases

# declared TYPE HEADER...: the functions with that type of result, by name.
declared() {
    type=$1
    shift
    sed -n "s/^AD_API $type\(nn_[a-z0-9_]*\)(.*/\1/p" "$@"
}

# called_in "FILES" NAME...: every name is called in one of the files.
called_in() {
    files=$1
    shift
    missing=0
    for wanted in "$@"; do
        # shellcheck disable=SC2086 # a list of files
        grep -q "\(^\|[^a-z0-9_]\)$wanted(" $files && continue
        echo "$wanted is called nowhere in $files"
        missing=1
    done
    [ $# -gt 5 ] && [ $missing = 0 ]
}

# Ops that a macro makes of formulas: each must be a row of the table of test_kernels.c, by its name.
from_formulas() { sed -n '/^AD_OPTYPE/d; s/^AD_[A-Z0-9_]*(\([a-z0-9_]*\),.*/\1/p' ops/elementwise/*.c ops/loss/*.c | sort -u; }
rows_for() {
    missing=0
    for wanted in "$@"; do
        grep -q "ROW($wanted," tests/test_kernels.c && continue
        echo "$wanted has no ROW in tests/test_kernels.c"
        missing=1
    done
    [ $# -gt 50 ] && [ $missing = 0 ]
}

# Kernels: each is called in a test, or tests/kernels says which test runs it through an op: "KERNEL FILE WORD".
kernels() {
    sed -n '/^typedef/d; s/^[a-z].*[ *]\(\(ad\|nn\)__[a-z0-9_]*\)(.*/\1/p' ops/kernels/*/*.h nn/kernels/*.h |
        sed 's/_f\(32\|64\)$//' | sort -u
}
tested_kernels() {
    missing=0
    for wanted in "$@"; do
        grep -q "$wanted\(_f32\|_f64\)\{0,1\}[(,]" tests/*.c && continue
        entry=$(grep "^$wanted " tests/kernels)
        file=$(echo "$entry" | awk '{ print $2 }')
        word=$(echo "$entry" | awk '{ print $3 }')
        [ -n "$word" ] && grep -q "$word" "tests/$file" && continue
        echo "$wanted is called in no test, and tests/kernels names none that runs it"
        missing=1
    done
    [ $# -gt 50 ] && [ $missing = 0 ]
}

# shellcheck disable=SC2046 # lists of names
{
    echo 1..6
    check "every op that is made of formulas is compared at each level" rows_for $(from_formulas)
    check "every kernel has a test" tested_kernels $(kernels)
    check "every layer is among those of test_nn_all.c" called_in tests/test_nn_all.c \
        $(declared 'nn_module \*' nn/layers.h)
    check "every optimiser is among those of test_nn_all.c" called_in tests/test_nn_all.c \
        $(declared 'nn_optim \*' nn/optim.h)
    check "every loss is among those of test_nn_loss.c" called_in tests/test_nn_loss.c $(declared 'ad_var \*' nn/loss.h)
    check "every other function is called by a test" called_in "$(echo tests/*.c)" \
        $(declared '.*[ *]' nn/module.h nn/layers.h nn/loss.h nn/optim.h)
}
exit "$((failures > 0))"
