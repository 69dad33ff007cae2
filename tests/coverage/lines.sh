#!/bin/sh
# lines.sh: what gcov says of the objects in a folder, of the sources of the library: FILE, LINE and COUNT for each line
# with code, with tabs between. usage: sh tests/coverage/lines.sh OBJECTS WORK
#
# Run it in the folder that the objects were compiled in. WORK is emptied; gcov writes its files there.
set -eu
here=$(pwd)
objects=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
find "$work" -name '*.gcov' -delete
cd "$work"
for folder in autodiff ops nn; do ln -sfn "$here/$folder" "$folder"; done # gcov reads the sources
# One call for all objects adds up the counts of headers and templates, which several objects have.
find "$objects/autodiff" "$objects/ops" "$objects/nn" -name '*.gcno' | sort |
    xargs -n 100000 gcov -r -s "$here" -p >summary 2>messages
for file in *.gcov; do
    [ -e "$file" ] || { cat messages >&2; exit 1; }
    # COUNT:LINE:TEXT. COUNT is - for a line without code, #### or ==== for one that never ran, and may end in *.
    # A template has parts for each of its instances, after ----: a line counts if one of them ran.
    awk -F : -v name="$(echo "${file%.gcov}" | tr '#' '/')" '
        { count = $1; gsub(/[ *]/, "", count); line = $2 + 0 }
        line == 0 || count == "-" || count !~ /^[0-9#=]/ { next }
        { n = count + 0; if (!(line in most) || n > most[line]) most[line] = n }
        END { for (line in most) printf "%s\t%d\t%d\n", name, line, most[line] }' "$file"
done
