#!/bin/sh
# tour.sh: docs/tour.md names every source file with that file's own first line, and each of its links to a line leads
# there. Prints TAP. `sh tests/tour.sh fix` writes the list and the line numbers anew.
page=docs/tour.md

# "what a file is for", from its first comment: the first sentence behind "name.c: ".
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

# The list of files, by folder.
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

# The page with its list of files replaced.
with_files() {
    sed '/<!-- files -->/q' "$page"
    files
    echo
    sed -n '/<!-- end of files -->/,$p' "$page"
}

# The line of a file that defines a name; or, without a definition, the first that has the name.
line_of() {
    awk -v name="$2" '
        function has(s) { return match(s, "(^|[^A-Za-z0-9_])" name "([^A-Za-z0-9_]|$)") }
        has($0) && !any { any = NR }
        has($0) && /^[A-Za-z#]/ && !/;$/ && !/^#include/ { print NR; found = 1; exit }
        has($0) && /^} / { print NR; found = 1; exit }
        END { if (!found && any) print any }' "$1"
}

# Each link to a line: the name it shows, the file, the line.
links() { grep -o '\[`[^`]*`\](\.\./[^)#]*#L[0-9]*)' "$page" | sed 's/\[`\([^`(]*\)[^`]*`\](\.\.\/\(.*\)#L\([0-9]*\))/\1 \2 \3/'; }

wrong_links() {
    links | while read -r name file line; do
        right=$([ -f "$file" ] && line_of "$file" "$name")
        [ "$right" = "$line" ] || echo "$name: $file line $line is not where it is defined; that is line ${right:-none}"
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
echo 1..2
status=0
if with_files | diff - "$page"; then echo "ok 1 - docs/tour.md lists every source file as the file itself does"
else
    echo "not ok 1 - docs/tour.md lists every source file as the file itself does; sh tests/tour.sh fix"
    status=1
fi
bad=$(wrong_links)
if [ -z "$bad" ] && [ -n "$(links)" ]; then echo "ok 2 - each link of docs/tour.md leads to its line"
else
    echo "not ok 2 - each link of docs/tour.md leads to its line; sh tests/tour.sh fix"
    printf '%s\n' "$bad" | sed 's/^/# /'
    status=1
fi
exit $status
