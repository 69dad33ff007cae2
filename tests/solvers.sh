#!/bin/sh
# solvers.sh: runs the solver programs that are built: each finds a solution that is known, with exact derivatives.
# Prints TAP.
set -u
programs=${BUILD:-build}/demos/solvers
. tests/cases

all() { find demos/solvers -name '*.c' -exec basename {} .c \; | sort; }
# SOLVERS are those that make built just now; a program of an earlier build may be older than the library.
built() { [ -x "$programs/$1" ] && case " ${SOLVERS-$1} " in *" $1 "*) ;; *) false ;; esac; }

# The program reports at least one run with exact derivatives and one without, and its own check holds.
solves() {
    "$programs/$1" >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/out" "$work/err"
    [ $status = 0 ] && [ ! -s "$work/err" ] && grep -q '^exact' "$work/out" && grep -q 'differences' "$work/out"
}

short() { [ "$(wc -l <"demos/solvers/$1.c")" -le 120 ]; }

# On a coarse grid the surface is far from the exact one, which the program must notice.
notices() {
    "$programs/$1" --m 3 >"$work/out" && return 1
    cat "$work/out"
    grep -q '^not solved: the error is above' "$work/out"
}

refuses() {
    "$programs/$1" --nonsense 2>"$work/err" && return 1
    grep -q "no such option; --help lists" "$work/err" && "$programs/$1" --help | grep -q "^usage: $1"
}

for p in $(all); do
    check "$p is short enough to copy" short "$p"
    if built "$p"; then
        check "$p finds the known solution" solves "$p"
        check "$p refuses an unknown option" refuses "$p"
    else skip "$p finds the known solution" "its solver is not installed"
    fi
done
# IPOPT compares all first and second derivatives with differences.
checks_derivatives() {
    "$programs/ipopt" --points 30 --check second-order >"$work/out" 2>&1
    cat "$work/out"
    grep -q '^No errors detected by derivative checker' "$work/out" && ! grep -q 'Derivative checker detected' "$work/out"
}
if built ipopt; then check "IPOPT's derivative checker finds no error" checks_derivatives; fi
for p in lbfgs newton tao; do
    if built $p; then check "$p notices a solution that is not one" notices $p; fi
done
done_testing
