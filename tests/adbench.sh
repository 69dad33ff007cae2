#!/bin/sh
# adbench.sh: checks the programs of the AD benchmark: derivatives of small problems against a complex step, and files
# in the formats of the benchmark. Prints TAP.
set -u
programs=${BUILD:-build}/bench/adbench
. tests/cases

# prints PROGRAM FILE LINES FIRST: the program prints LINES numbers, the first of which is FIRST.
prints() {
    "$programs/$1" --no-time "$work/$2" >"$work/out" || return 1
    cat "$work/out"
    [ "$(wc -l <"$work/out")" = "$3" ] && [ "$(grep -c '^-\{0,1\}[0-9]\.[0-9]\{17\}e[+-][0-9][0-9]$' "$work/out")" = "$3" ] &&
        awk -v expected="$4" 'NR == 1 { d = $1 - expected; exit !(d < 1e-12 && d > -1e-12) }' "$work/out"
}

refuses() {
    printf '1 2\n' >"$work/short"
    ! "$programs/$1" "$work/short" && ! "$programs/$1" "$work/missing" && ! "$programs/$1"
}

for p in gmm gmm_scalar lstm ba; do
    check "$p against a complex step" "$programs/$p" --check
    check "$p refuses a file that is short or missing" refuses "$p"
done

# One Gaussian with Q = 1 and mean 0, and one point x = 2: the log-likelihood is -log(2 pi) / 2 - 2. The prior for gamma
# = 1 and m = 0 is 1/2 minus the constant 2 (log 1 - log(2) / 2) - log gamma(1) = -log 2. pi has the digits of the
# benchmark.
printf '1 1 1\n0.5\n0\n0\n2\n1 0\n' >"$work/gmm"
value=$(awk 'BEGIN { pi = 3.14159265359; printf "%.17g", -0.5 * log(2 * pi) - 2 + 0.5 + log(2) }')
check "gmm of a problem solved by hand" prints gmm gmm 4 "$value"
check "gmm_scalar of a problem solved by hand" prints gmm_scalar gmm 4 "$value"
# No rotation, and the point (0, 0, 2) in front of a camera at the origin: error = 3 (principal point - feature).
printf '1 1 1\n0 0 0 0 0 0 5 0.25 -1 0 0\n0 0 2\n3\n1 1\n' >"$work/ba"
check "ba of a problem solved by hand" prints ba ba 34 -2.25
# All parameters and inputs are 0, so y = 0. The next character is 1, so the loss is log(2 + 1).
printf '1 2 1\n\n0 0 0 0\n0 0 0 0\n\n0\n0\n0\n\n0\n0\n\n1\n1\n' >"$work/lstm"
check "lstm of a problem solved by hand" prints lstm lstm 12 "$(awk 'BEGIN { printf "%.17g", log(3) }')"
done_testing
