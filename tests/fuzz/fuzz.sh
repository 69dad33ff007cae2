#!/bin/sh
# fuzz.sh: runs each fuzz target for FUZZ_SECONDS, from its seeds and what earlier runs found; as many at once as there
# are processors, or TEST_JOBS. Prints TAP.
#
# BUILD is the folder with the targets, and below it corpus/ is kept. An input that fails is left in BUILD/crash-*: run
# the target with it to see what happens.
set -u
. tests/cases
build=${BUILD:-build/fuzz}
seconds=${FUZZ_SECONDS:-600}
jobs=${TEST_JOBS:-$(getconf _NPROCESSORS_ONLN)}

names=$(cd "$build/tests/fuzz" && for t in fuzz_*; do [ ! -x "$t" ] || echo "${t#fuzz_}"; done)

# Each target's output goes to $work/NAME, its status to $work/NAME.status.
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\n' "$names" | build=$build seconds=$seconds work=$work xargs -P "$jobs" -I NAME sh -c '
    mkdir -p "$build/corpus/$1"
    "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -max_len=2048 -timeout=20 -detect_leaks=0 \
        -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="$build/" "$build/corpus/$1" "tests/fuzz/seeds/$1" \
        >"$work/$1" 2>&1
    echo $? >"$work/$1.status"' fuzz NAME

passed() { [ "$(cat "$work/$1.status")" = 0 ] || { tail -n 60 "$work/$1" && false; }; }
tried() { sed -n 's/^stat::number_of_executed_units: *//p' "$@"; }

for name in $names; do
    check "no input of $name fails" passed "$name"
    echo "# $(tried "$work/$name") inputs in $seconds s"
done
# shellcheck disable=SC2086 # a list of files
echo "# $(cd "$work" && tried $names | awk '{ n += $1 } END { print n + 0 }') inputs"
done_testing
