#!/bin/sh
# pages.sh: compiles and runs every program of README.md, docs/tutorial.md and docs/from-pytorch.md against the
# installed library, and compares its output with the text block after it. Prints TAP.
#
# A block of C whose first line is /* continued */ belongs to the program of the block before it.
set -eu
. tests/stage
stage "$build/pages/prefix"

# write_blocks PAGE FOLDER: writes program N of a page to N.c, the text block after it to N.txt, and the number of
# programs to count.
write_blocks() {
    rm -rf "$2"
    mkdir -p "$2"
    awk -v dir="$2" '
        function fault(what) { print FILENAME ":" FNR ": " what; failed = 1; exit 1 }
        to != "" && /^```$/   { to = ""; just_ended = was_c; next }
        to == "new"           { if ($0 != "/* continued */") n++
                                else if (!n || n in shown) fault("nothing comes before that this block continues")
                                to = dir "/" n ".c"; print >>to; next }
        to != ""              { print >>to; next }
        /^```c$/              { to = "new"; was_c = 1; next }
        /^```text$/ && just_ended { to = dir "/" n ".txt"; shown[n]; was_c = 0; printf "" >to; next }
        /^```/                { fault("a block that is neither C nor the text after one") }
        NF                    { just_ended = 0 }
        END                   { if (failed) exit 1
                                for (i = 1; i <= n; i++)
                                    if (!(i in shown)) { print "program " i " has no output"; failed = 1 }
                                print n + 0 >(dir "/count"); exit failed }' "$1"
}

# check_program FILE: its output, in a folder of its own, is that of the page. FILE is without .c.
check_program() {
    mkdir -p "$1.run"
    # shellcheck disable=SC2046 # a list of flags
    $CC -std=c11 -Wall -Wextra -Wpedantic -Werror "$1.c" -o "$1" $(pkg_config --cflags --libs autodiff) -lm -lpthread &&
        (cd "$1.run" && "$1") >"$1.out" && diff -u "$1.txt" "$1.out"
}

for page in README.md docs/tutorial.md docs/from-pytorch.md; do
    folder=$build/pages/$(basename "$page" .md)
    check "$page has only programs in C and their output" write_blocks "$page" "$folder"
    for n in $(seq "$(cat "$folder/count")"); do
        check "$page, program $n" check_program "$folder/$n"
    done
done
done_testing
