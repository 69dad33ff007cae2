#!/bin/sh
# web.sh: uses the playground, BUILD/web/index.html, in a headless Chromium. Skipped where a tool is missing. Prints
# TAP.
set -u
. tests/cases
page=${BUILD:-build}/web/index.html

lacks=
command -v node >/dev/null || lacks="no Node"
{ command -v "${CHROMIUM:-chromium}" || command -v google-chrome; } >/dev/null || lacks="no Chromium"
[ -f "$page" ] || lacks="no page: make web makes it, with emscripten"
if [ -n "$lacks" ]; then
    skip "the playground in a browser" "$lacks"
    done_testing
    exit
fi

# What the page loads from elsewhere: it must work without a network.
loads() { sed 's/data:image[^"]*"//' "$page" | grep -o '\(src\|href\)="[^"]*"\|@import[^;]*\|url(http[^)]*)' || true; }
check "the page is one file" prints_nothing loads
echo "# $(wc -c <"$page") bytes, $(gzip -9 -c "$page" | wc -c) as a server sends them"
if ! node tests/web/playground.mjs "$page" "${BUILD:-build}/web/screenshots" >"$work/tap" 2>&1; then failures=1; fi
awk '/^(not )?ok/ { sub(/ok [0-9]+/, "ok " (++n + 1)) } !/^1\.\./' "$work/tap" # numbered behind the first case
cases=$((cases + $(grep -c '^\(not \)\{0,1\}ok ' "$work/tap")))
done_testing
