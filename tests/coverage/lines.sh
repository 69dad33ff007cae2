#!/bin/sh
# lines.sh: what gcov counted in the sources of the library: FILE, LINE, COUNT, BRANCHES and TAKEN for each line with
# code, with tabs between. usage: sh tests/coverage/lines.sh OBJECTS WORK
#
# OBJECTS is the folder of the objects, which were compiled in this folder with --coverage; in WORK, gcov writes its
# files. COUNT is 0 for a line that never ran. BRANCHES is the number of ways out of the conditions of a line (of if, ?:,
# &&, || and loops), and TAKEN how many of them were taken. Code that is compiled several times, as templates and inline
# functions of headers are, counts once: what was taken in one of its copies was taken.
set -eu
here=$(pwd)
objects=$(cd "$1" && pwd)
mkdir -p "$2"
cd "$2"
find . -name '*.gcov' -delete
for folder in autodiff ops nn; do ln -sfn "$here/$folder" "$folder"; done # gcov reads the sources
# One call for all objects adds up what they count in the same source.
find "$objects/autodiff" "$objects/ops" "$objects/nn" -name '*.gcno' | sort |
    xargs -n 100000 gcov -b -c -r -s "$here" -p >summary 2>messages
for file in *.gcov; do
    [ -e "$file" ] || { cat messages >&2; exit 1; }
    # A line is COUNT:LINE:TEXT, with - for no code and #### or ==== for code that never ran. Lines with branches follow.
    awk -F : -v name="$(echo "${file%.gcov}" | tr '#' '/')" '
        /^branch / {
            split($0, word, " ")
            i = line SUBSEP word[2]
            if (!(i in taken)) { taken[i] = 0; branches[line]++ }
            if (word[3] == "taken" && word[4] + 0 > 0 && !taken[i]) { taken[i] = 1; went[line]++ }
            next
        }
        { count = $1; gsub(/[ *]/, "", count); line = $2 + 0 }
        line == 0 || count !~ /^[0-9#=]/ { next }
        { n = count + 0; if (!(line in most) || n > most[line]) most[line] = n }
        END { for (line in most) printf "%s\t%d\t%d\t%d\t%d\n", name, line, most[line], branches[line], went[line] }' "$file"
done
