#!/bin/sh
# tour.sh: checks docs/tour.md: its list of files quotes the first comment of each source file, and each link to a line
# points at the definition that it names. Prints TAP. `sh tests/tour.sh fix` corrects the list and the line numbers.
set -u
. tests/cases
page=docs/tour.md

# purpose FILE: the first sentence of the first comment, without "name.c: ".
purpose() {
    awk '{ gsub(/^\/\* |^   /, ""); text = text (NR > 1 ? " " : "") $0; if (/\*\// || /\.$/ || NR == 4) exit }
        END {
            sub(/^[^ ]*: /, "", text)
            sub(/ *\*\/.*/, "", text)
            if (match(text, /\. /)) text = substr(text, 1, RSTART - 1)
            sub(/\.$/, "", text)
            print text
        }' "$1"
}

# The list of source files, by folder.
files() {
    find autodiff ops nn -type d | sort | while read -r folder; do
        [ -n "$(find "$folder" -maxdepth 1 -type f)" ] || continue
        printf '\n### %s/\n\n' "$folder"
        for file in "$folder"/*.def "$folder"/*.h "$folder"/*.c "$folder"/*.inc; do
            [ -f "$file" ] || continue
            printf -- '- [%s](../%s): %s\n' "${file##*/}" "$file" "$(purpose "$file")"
        done
    done
}

# The page with a current list of files.
with_files() {
    sed '/<!-- files -->/q' "$page"
    files
    echo
    sed -n '/<!-- end of files -->/,$p' "$page"
}

# line_of FILE NAME: the number of the line that defines the name, or else of the first line with the name.
line_of() {
    awk -v name="$2" '
        function has(s) { return match(s, "(^|[^A-Za-z0-9_])" name "([^A-Za-z0-9_]|$)") }
        has($0) && !any { any = NR }
        has($0) && /^[A-Za-z#]/ && !/;$/ && !/^#include/ { print NR; found = 1; exit }
        has($0) && /^} / { print NR; found = 1; exit }
        END { if (!found && any) print any }' "$1"
}

# One line for each link to a line: the name that it shows, the file, the line number.
links() { grep -o '\[`[^`]*`\](\.\./[^)#]*#L[0-9]*)' "$page" | sed 's/\[`\([^`(]*\)[^`]*`\](\.\.\/\(.*\)#L\([0-9]*\))/\1 \2 \3/'; }

wrong_links() {
    links | while read -r name file line; do
        right=$([ -f "$file" ] && line_of "$file" "$name")
        [ "$right" = "$line" ] || echo "$name: the link points at $file line $line, not at its line ${right:-(none)}"
    done
}

fix() {
    links | sort -u | while read -r name file line; do
        right=$(line_of "$file" "$name")
        [ -n "$right" ] && sed -i "s|\(\[\`$name[^\`]*\`\](\.\./$file#L\)$line)|\1$right)|" "$page"
    done
    with_files >"$page.new" && mv "$page.new" "$page"
}

if [ "${1:-}" = fix ]; then
    fix
    exit
fi
has_current_list() { with_files | diff - "$page"; }
has_right_links() { [ -n "$(links)" ] && prints_nothing wrong_links; }

# fixable COMMAND: says how to correct the page if the command fails.
fixable() {
    "$1" && return
    echo "sh tests/tour.sh fix corrects the page"
    return 1
}

check "docs/tour.md lists every source file with its first comment" fixable has_current_list
check "each link of docs/tour.md points at its definition" fixable has_right_links
done_testing
