#!/bin/sh
# covered.sh: every public function of modules, layers, losses and optimisers is called by a test; prints TAP.
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

# shellcheck disable=SC2046 # lists of names
{
    echo 1..4
    check "every layer is among those of test_nn_all.c" called_in tests/test_nn_all.c \
        $(declared 'nn_module \*' nn/layers.h)
    check "every optimiser is among those of test_nn_all.c" called_in tests/test_nn_all.c \
        $(declared 'nn_optim \*' nn/optim.h)
    check "every loss is among those of test_nn_loss.c" called_in tests/test_nn_loss.c $(declared 'ad_var \*' nn/loss.h)
    check "every other function is called by a test" called_in "$(echo tests/*.c)" \
        $(declared '.*[ *]' nn/module.h nn/layers.h nn/loss.h nn/optim.h)
}
exit "$((failures > 0))"
