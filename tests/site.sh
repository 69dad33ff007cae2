#!/bin/sh
# site.sh: builds the site with `make site` and checks that all its links lead somewhere, that no page is missing, that
# it loads nothing from elsewhere, and what the search finds. Skipped without cmark-gfm. Prints TAP.
set -u
. tests/cases
site=${BUILD:-build}/site
links=$(pwd)/mk/site/links.awk

built() { "${MAKE:-make}" -s site BUILD="${BUILD:-build}"; }

wrong_links() {
    # shellcheck disable=SC2046 # a list of files
    (cd "$1" && awk -f "$links" $(find . -type f | sed 's#^\./##' | sort))
}

missing_pages() {
    for page in docs/*.md docs/reference/*.md; do
        html=$(echo "$page" | sed 's/README\.md$/index.md/; s/\.md$/.html/')
        grep -q '<h1' "$site/$html" || echo "$page is not in the site"
    done
    [ -s "$site/index.html" ] || echo "README.md is not in the site"
}

# A link to nowhere, one to an anchor that is missing, a script of another machine: the check names each.
finds_wrong_links() {
    mkdir -p "$work/wrong/a"
    echo '<p id="here"></p><a href="a/b.html#there">x</a><a href="a/c.html">y</a>' >"$work/wrong/index.html"
    echo '<a href="../index.html#here">x</a><script src="https://example.org/x.js"></script>' >"$work/wrong/a/b.html"
    wrong_links "$work/wrong" >"$work/found"
    cat "$work/found"
    [ "$(wc -l <"$work/found")" = 3 ] && grep -q 'a/b.html has no anchor there' "$work/found" &&
        grep -q 'there is no a/c.html' "$work/found" && grep -q 'x.js is loaded from elsewhere' "$work/found"
}

# The address of the first section that the search finds for a query.
first_found() {
    node -e '
        const fs = require("fs"), rank = require(process.argv[1] + "/search.js");
        const entries = eval(fs.readFileSync(process.argv[1] + "/search_index.js", "utf8") + "; search_index");
        const best = rank(entries, process.argv[2]);
        console.log(best.length ? best[0][2] : "nothing");' "$(cd "$site" && pwd)" "$1"
}
search_finds() {
    while read -r address query; do
        found=$(first_found "$query")
        [ "$found" = "$address" ] || { echo "$query: $found, not $address" && return 1; }
    done <<'QUERIES'
docs/reference/autodiff.html#ad_backward ad_backward
docs/ops.html#matmul matmul
docs/reference/layers.html#nn_rnn-nn_lstm-nn_gru nn_lstm
nothing xyzzyplugh
QUERIES
}

if ! command -v cmark-gfm >/dev/null; then
    skip "the site" "cmark-gfm is not installed"
    done_testing
    exit
fi
check "the site is built" built
check "its links and anchors exist, and it loads nothing from elsewhere" prints_nothing wrong_links "$site"
check "it has every page" prints_nothing missing_pages
check "wrong links are found" finds_wrong_links
if command -v node >/dev/null; then check "the search finds functions by their names" search_finds
else skip "the search finds functions by their names" "node is not installed"
fi
done_testing
