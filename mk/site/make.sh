#!/bin/sh
# make.sh: writes the pages of the project as HTML, with their pictures, the sources that they link to, and a search.
# It needs no server. The site has the folders of the project, so links between pages keep their form.
#
# usage: mk/site/make.sh FOLDER       needs cmark-gfm, which renders Markdown as GitHub does
set -eu
site=$1
here=$(dirname "$0")
command -v cmark-gfm >/dev/null || { echo "make site needs cmark-gfm: apt install cmark-gfm" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The pages in the order of the menu; others follow by name.
pages() {
    for page in README.md docs/tutorial.md docs/from-pytorch.md docs/gallery.md docs/playground.md docs/install.md \
        docs/reference/README.md \
        docs/reference/*.md docs/ops.md docs/names.md docs/onnx.md docs/sparse.md docs/control.md \
        docs/tiny.md docs/design.md \
        docs/tour.md docs/adding.md docs/performance.md docs/reliability.md docs/abi.md docs/*.md \
        CHANGELOG.md SECURITY.md; do
        [ ! -f "$page" ] || echo "$page"
    done | awk '!seen[$0]++'
}

html_of() { echo "$1" | sed 's/README\.md$/index.md/; s/\.md$/.html/'; }
root_of() { echo "$1" | sed 's#[^/]*$##; s#[^/]*/#../#g'; }
title_of() { sed -n 's/^# //p' "$1" | head -n 1; }

# menu PAGE ROOT: the links to all pages; those to the pages of the reference only within it.
menu() {
    awk -v page="$1" -v root="$2" '{
        part = $1 ~ /^docs\/reference\// && $1 !~ /README/
        if (part && page !~ /^docs\/reference\//) next
        printf "<a href=\"%s%s\"%s%s>", root, $2, part ? " class=\"part\"" : "", \
            $1 == page ? " aria-current=\"page\"" : ""
        sub(/^[^ ]* [^ ]* /, "")
        print $0 "</a>"
    }' "$work/titles"
}

# framed PATH TITLE: a page around the body that is read.
framed() {
    root=$(root_of "$1")
    case $1 in docs/reference/* | docs/ops.md) class=' class="reference"' ;; *) class= ;; esac
    cat <<END_HEAD
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$2</title>
<link rel="stylesheet" href="${root}style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header>
<a class="home" href="${root}index.html">autodiff</a>
<label class="button" for="menu">Pages</label>
<input id="search" type="search" placeholder="Search" aria-label="Search all pages" autocomplete="off"
data-root="$root">
</header>
<div id="found" aria-live="polite" hidden></div>
<input id="menu" type="checkbox" aria-label="Show the list of pages">
<nav aria-label="Pages">
$(menu "$1" "$root")
</nav>
<main$class>
END_HEAD
    cat
    printf '</main>\n<script src="%ssearch.js"></script>\n</body>\n</html>\n' "$root"
}

rm -rf "$site"
mkdir -p "$site"
pages | while read -r page; do
    echo "$page $(html_of "$page") $(title_of "$page" | sed 's/&/\&amp;/g; s/</\&lt;/g')"
done >"$work/titles"
: >"$work/linked"
echo 'var search_index = [' >"$site/search_index.js"
while read -r page html title; do
    mkdir -p "$site/$(dirname "$html")"
    cmark-gfm --unsafe -e table -e autolink "$page" |
        LC_ALL=C awk -v page="$page" -v url="$html" -v page_title="$title" -v linked="$work/linked" \
            -v search="$site/search_index.js" -f "$here/page.awk" |
        framed "$page" "$title - autodiff" >"$site/$html"
done <"$work/titles"
echo '];' >>"$site/search_index.js"

# What pages link to: pictures as they are, sources as pages of numbered lines, folders as the names of their files.
sort -u "$work/linked" | while read -r file; do
    [ -e "$file" ] || continue
    mkdir -p "$site/$(dirname "$file")"
    case $file in
    *.png | *.svg) cp "$file" "$site/$file" && continue ;;
    esac
    if [ -d "$file" ]; then ls "$file"; else cat "$file"; fi | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' |
        awk -v title="$file" 'BEGIN { printf "<h1>%s</h1>\n<pre class=\"source\">", title }
            { printf "<span id=\"L%d\">%s</span>\n", NR, $0 }
            END { print "</pre>" }' | framed "$file" "$file - autodiff" >"$site/$file.html"
done
cp "$here/style.css" "$here/search.js" "$site"
