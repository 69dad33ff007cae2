#!/bin/sh
# runner.sh: checks that tests/run counts what programs report, and finds programs that end too early. Prints TAP.
set -u
. tests/cases

# program NAME LINE...: a test program of these lines of shell.
program() {
    file=$work/$1
    shift
    { echo '#!/bin/sh' && printf '%s\n' "$@"; } >"$file" && chmod +x "$file"
}

# reports STATUS TEXT NAME...: tests/run ends with 0 or not, and prints the text.
reports() {
    status=$1 text=$2
    shift 2
    for program; do set -- "$@" "$work/$program" && shift; done
    if BUILD="$work/build" TEST_SECONDS=2 sh tests/run "$@" >"$work/out" 2>&1; then ended=0; else ended=1; fi
    cat "$work/out"
    [ "$ended" = "$status" ] && grep -q -- "$text" "$work/out"
}
adds_up() { reports 1 '^4 passed, 2 failed$' good bad good2 && grep -q '^ok 1 - b$' "$work/out"; }
shows_no_log_of_good_ones() { reports 0 '^2 passed, 0 failed$' good && ! grep -q '^ok 1' "$work/out"; }

# Each of the two waits for the other.
two_at_once() { TEST_JOBS=2 reports 0 '^2 passed, 0 failed$' here there; }
# The one that took longest comes first the next time.
longest_first() {
    TEST_JOBS=1 reports 0 '^2 passed' quick slowly && TEST_JOBS=1 reports 0 '^2 passed' quick slowly &&
        [ "$(grep -o '^[qs][a-z]*' "$work/out" | head -n 1)" = slowly ]
}
meet() { echo "echo 1..1; touch $work/$1; while ! [ -e $work/$2 ]; do sleep 0.1; done; echo ok 1 - $1"; }

program good 'echo 1..3' 'echo ok 1 - a' 'echo "not ok 2 # SKIP b"' 'echo ok 3 - c'
program good2 'echo 1..1' 'echo ok 1 - a'
program bad 'echo 1..3' 'echo ok 1 - b' 'echo not ok 2 - c' 'echo not ok 3 - d' 'exit 2'
program crash 'echo 1..1' 'echo ok 1 - a' 'kill -SEGV $$'
program early 'echo 1..2' 'echo ok 1 - a'
program silent 'exit 0'
program late 'echo 1..1' 'echo ok 1 - a' 'sleep 5'
program here "$(meet came gone)"
program there "$(meet gone came)"
program quick 'echo 1..1' 'echo ok 1 - a'
program slowly 'echo 1..1' 'echo ok 1 - a' 'sleep 1.2'

check "cases are added up, and the log of a program that failed is shown" adds_up
check "skipped cases are told, and the log of a good program is not shown" shows_no_log_of_good_ones
check "a program that dies is found" reports 1 '^crash .* 1 passed, 1 failed .*ended with status 139' crash
check "a program that ends before its last case is found" reports 1 '^early .*ended before its last test' early
check "a program without a case is found" reports 1 '^silent .*no test ran' silent
check "a program that takes too long is found" reports 1 '^late .*exceeded its time limit' late
check "a program that is missing is found" reports 1 '^absent .*ended with status 127' absent
check "no program is an error" reports 1 '^no test ran'
check "programs run at the same time" two_at_once
check "the longest program comes first" longest_first
done_testing
