#!/bin/sh
# covered.sh: checks that every elementwise op, kernel, module, layer, loss and optimiser has a test. Prints TAP.
set -u
. tests/cases

# declared TYPE HEADER...: the functions with that type of result, by name.
declared() {
    type=$1
    shift
    sed -n "s/^AD_API $type\(nn_[a-z0-9_]*\)(.*/\1/p" "$@"
}

# The ops that a macro makes of formulas.
from_formulas() { sed -n '/^AD_OPTYPE/d; s/^AD_[A-Z0-9_]*(\([a-z0-9_]*\),.*/\1/p' ops/elementwise/*.c ops/loss/*.c | sort -u; }

kernels() {
    sed -n '/^typedef/d; s/^[a-z].*[ *]\(\(ad\|nn\)__[a-z0-9_]*\)(.*/\1/p' ops/kernels/*/*.h nn/kernels/*.h |
        sed 's/_f\(32\|64\)$//' | sort -u
}

# covered MANY COMMAND NAME...: there are more than MANY names, and the command prints nothing for any of them.
covered() {
    many=$1 command=$2
    shift 2
    [ $# -gt "$many" ] && prints_nothing each "$@"
}
each() { for wanted in "$@"; do "$command" "$wanted"; done; }

rules() { sed -n 's/^extern const nn__rule \(nn__rule_[a-z0-9_]*\);/\1/p' nn/kernels/update.h; }
rule() { grep -q "&$1," tests/test_kernels.c || echo "$1 has no row in rules[] of tests/test_kernels.c"; }

row() { grep -q "ROW($1," tests/test_kernels.c || echo "$1 has no ROW in tests/test_kernels.c"; }

# A call in one of the $files.
# shellcheck disable=SC2086 # a list of files
call() { grep -q "\(^\|[^a-z0-9_]\)$1(" $files || echo "$1 is not called in $files"; }

# A call in a test, or a line "KERNEL FILE WORD" in tests/kernels: this file runs the kernel through the op WORD.
kernel_test() {
    grep -q "$1\(_f32\|_f64\)\{0,1\}[(,]" tests/*.c && return
    entry=$(grep "^$1 " tests/kernels)
    file=$(echo "$entry" | awk '{ print $2 }')
    word=$(echo "$entry" | awk '{ print $3 }')
    [ -n "$word" ] && grep -q "$word" "tests/$file" && return
    echo "$1 is not called in a test, and tests/kernels names no test that runs it"
}

# shellcheck disable=SC2046 # lists of names
{
    check "every op that is made of formulas is compared at each level" covered 50 row $(from_formulas)
    check "every kernel has a test" covered 50 kernel_test $(kernels)
    check "every update rule is compared with its formula" covered 5 rule $(rules)
    files=tests/test_nn_all.c
    check "every layer is among those of test_nn_all.c" covered 5 call $(declared 'nn_module \*' nn/layers.h)
    check "every optimiser is among those of test_nn_all.c" covered 5 call $(declared 'nn_optim \*' nn/optim.h)
    files=tests/test_nn_loss.c
    check "every loss is among those of test_nn_loss.c" covered 5 call $(declared 'ad_var \*' nn/loss.h)
    files=$(echo tests/*.c)
    check "every other function is called by a test" covered 5 call \
        $(declared '.*[ *]' nn/module.h nn/layers.h nn/loss.h nn/optim.h)
}
done_testing
