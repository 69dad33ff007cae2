#!/bin/sh
# readme.sh: compiles and runs every program of README.md against the installed library, and compares its output with
# the text block after it. Prints TAP.
set -eu
. tests/stage
stage "$build/readme/prefix"

# Writes the Nth block of C to N.c, the text block after it, if there is one, to N.txt, and the number of blocks to
# count.
write_blocks() {
    awk -v dir="$build/readme" '
        to != "" && /^```$/ { close(to); to = ""; just_ended = was_c; next }
        to != ""            { print > to; next }
        /^```c$/            { n++; to = dir "/" n ".c"; was_c = 1; printf "" > to; next }
        /^```text$/ && just_ended { to = dir "/" n ".txt"; was_c = 0; printf "" > to; next }
        /^```/              { print "README.md:" NR ": a block that is neither C nor the text after one"; exit 1 }
        NF                  { just_ended = 0 }
        END                 { print n + 0 > (dir "/count") }' README.md
}

check_block() {
    # shellcheck disable=SC2046 # a list of flags
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror "$1.c" -o "$1" $(pkg_config --cflags --libs autodiff) &&
        "$1" >"$1.out" && if [ -f "$1.txt" ]; then diff -u "$1.txt" "$1.out"; fi
}

check "README.md has only blocks of C and of their output" write_blocks
for n in $(seq "$(cat "$build/readme/count")"); do
    check "README.md, program $n" check_block "$build/readme/$n"
done
done_testing
