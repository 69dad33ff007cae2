#!/bin/sh
# adbench.sh: the AD benchmark's programs: small problems against a complex step, files in its formats; prints TAP.
set -u
programs=${BUILD:-build}/bench/adbench
. tests/cases

# prints PROGRAM FILE LINES FIRST: so many numbers, the first of which is known.
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
    check "$p refuses what is no file of its own" refuses "$p"
done

# One Gaussian, Q = 1, mean 0, one point x = 2: -log(2 pi) / 2 - 2; its prior for gamma = 1 and m = 0 is 1/2 less a
# constant, 2 (log 1 - log(2) / 2) - log gamma(1) = -log 2. pi is the benchmark's.
printf '1 1 1\n0.5\n0\n0\n2\n1 0\n' >"$work/gmm"
value=$(awk 'BEGIN { pi = 3.14159265359; printf "%.17g", -0.5 * log(2 * pi) - 2 + 0.5 + log(2) }')
check "gmm by hand" prints gmm gmm 4 "$value"
check "gmm_scalar by hand" prints gmm_scalar gmm 4 "$value"
# No rotation, the point (0, 0, 2) before a camera at the origin: error = 3 (principal point - feature).
printf '1 1 1\n0 0 0 0 0 0 5 0.25 -1 0 0\n0 0 2\n3\n1 1\n' >"$work/ba"
check "ba by hand" prints ba ba 34 -2.25
# All parameters 0 and no input: y = 0, log(2 + 1) where the next character is 1.
printf '1 2 1\n\n0 0 0 0\n0 0 0 0\n\n0\n0\n0\n\n0\n0\n\n1\n1\n' >"$work/lstm"
check "lstm by hand" prints lstm lstm 12 "$(awk 'BEGIN { printf "%.17g", log(3) }')"

echo "1..$cases"
[ $failures = 0 ]
