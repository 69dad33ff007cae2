#!/bin/sh
# gradbench.sh: checks the tool of GradBench: small inputs of each module, and its answers to wrong messages, against
# bench/gradbench/check.py. Prints TAP.
set -u
program=${BUILD:-build}/bench/gradbench/gradbench
. tests/cases

# Ends a program that does not answer.
module() { timeout 120 python3 bench/gradbench/check.py "$program" "$1"; }

for m in protocol hello lse llsq ode det gmm lstm ba ht kmeans particle saddle; do
    if python3 -c '' 2>/dev/null; then check "$m" module "$m"
    else skip "$m" "python3 is not installed"
    fi
done
done_testing
