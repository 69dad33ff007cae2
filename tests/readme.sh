#!/bin/sh
# readme.sh: compiles and runs every program of README.md against the installed library, and compares
# what it prints with the block of text behind it.
set -eu
. tests/stage
stage "$build/readme/prefix"

# Writes block N of C as N.c and the block of text that follows it, if one does, as N.txt.
awk -v dir="$build/readme" '
    to != "" && /^```$/ { close(to); to = ""; just_ended = was_c; next }
    to != ""            { print > to; next }
    /^```c$/            { n++; to = dir "/" n ".c"; was_c = 1; printf "" > to; next }
    /^```text$/ && just_ended { to = dir "/" n ".txt"; was_c = 0; printf "" > to; next }
    /^```/              { print "README.md:" NR ": a block that is neither c nor the text behind one"; exit 1 }
    NF                  { just_ended = 0 }
    END                 { print n + 0 > (dir "/count") }
' README.md >&2 || { echo "1..1"; echo "not ok 1 - the blocks of README.md"; exit 1; }

check_block() {
    # shellcheck disable=SC2046 # a list of flags
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror "$1.c" -o "$1" $(pkg_config --cflags --libs autodiff) &&
        "$1" >"$1.out" && if [ -f "$1.txt" ]; then diff -u "$1.txt" "$1.out"; fi
}

count=$(cat "$build/readme/count")
echo "1..$count"
for n in $(seq "$count"); do
    result "README.md, program $n" check_block "$build/readme/$n"
done
