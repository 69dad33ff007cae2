#!/bin/sh
# fuzz.sh: runs each fuzz target for FUZZ_SECONDS, from its seeds and what earlier runs found. Prints TAP.
#
# BUILD is the folder with the targets, and below it corpus/ is kept. An input that fails is left in BUILD/crash-*: run
# the target with it to see what happens.
set -u
. tests/cases
build=${BUILD:-build/fuzz}
seconds=${FUZZ_SECONDS:-600}
total=0

# fuzz NAME: says how many inputs were tried.
fuzz() {
    corpus=$build/corpus/$1
    mkdir -p "$corpus"
    "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -max_len=2048 -timeout=20 -detect_leaks=0 -rss_limit_mb=3000 \
        -print_final_stats=1 -artifact_prefix="$build/" "$corpus" "tests/fuzz/seeds/$1" >"$work/$1" 2>&1
    status=$?
    tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$1")
    if [ $status != 0 ]; then tail -n 60 "$work/$1"; fi
    return $status
}

for target in "$build"/tests/fuzz/fuzz_*; do
    [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    check "no input of $name fails" fuzz "$name"
    echo "# ${tried:-0} inputs in $seconds s"
    total=$((total + ${tried:-0}))
done
echo "# $total inputs"
done_testing
