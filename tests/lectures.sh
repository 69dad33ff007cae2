#!/bin/sh
# lectures.sh: runs every lecture program: its claims hold as it is, and one fails with the options that its --help
# names; pictures are drawn, or their data written where gnuplot is missing; the gallery shows them. Prints TAP.
set -u
lectures=${BUILD:-build}/demos/lectures
. tests/cases

programs() { find demos/lectures -name '*.c' ! -name 'lecture*' -exec basename {} .c \; | sort; }
breaks() { "$lectures/$1" --help | sed -n "s/^To see the claim fail: $1 //p"; }

# The claims are sentences with a figure each, and none fails.
holds() {
    "$lectures/$1" >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/out" "$work/err"
    cp "$work/out" "$work/$1.out"
    [ $status = 0 ] && [ ! -s "$work/err" ] && grep -q '^claim: ' "$work/out" &&
        ! grep -q '^claim fails\|^claim: [^0-9]*$' "$work/out"
}

# With the options that break it, a claim fails, and the program says so.
can_fail() {
    # shellcheck disable=SC2046 # options
    "$lectures/$1" $(breaks "$1") >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/out" "$work/err"
    [ -n "$(breaks "$1")" ] && [ $status = 1 ] && grep -q '^claim fails: ' "$work/out"
}

# The gallery has the program's picture and all that it claims, but for the figures.
shown() {
    sed -n 's/^claim: /- /p' "$work/$1.out" | sed "$figures" | while read -r claim; do
        sed "$figures" docs/gallery.md | grep -Fxq -- "$claim" || echo "docs/gallery.md does not have: $claim"
    done >"$work/missing"
    cat "$work/missing"
    [ ! -s "$work/missing" ] && [ -s "docs/figures/lectures/$1.png" ] &&
        grep -q "(figures/lectures/$1.png)" docs/gallery.md
}
figures='s/[0-9][0-9.]*\(e[-+][0-9]*\)\{0,1\}/N/g'

# explains, refuses: as the other demos.
explains() {
    "$lectures/$1" --help >"$work/out" 2>"$work/err" || return 1
    cat "$work/out" "$work/err"
    [ ! -s "$work/err" ] && grep -q "^usage: $1 " "$work/out" && grep -q -- '--seed N .*(default 0)' "$work/out"
}
refuses() {
    sentence=$1 program=$2
    shift 2
    "$lectures/$program" "$@" >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/out" "$work/err"
    [ $status = 2 ] && [ ! -s "$work/out" ] && grep -q "^$program: .*$sentence" "$work/err"
}

# drawn ENDING FIRST: the picture of differences begins with these bytes.
drawn() {
    "$lectures/differences" --plot "$work/it's.$1" >/dev/null && head -c 300 "$work/it's.$1" | grep -aq "$2"
}
cannot_be_written() {
    "$lectures/differences" --plot "$work/none/x.svg" >/dev/null 2>"$work/err"
    status=$?
    cat "$work/err"
    [ $status = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] &&
        grep -q '^differences: gnuplot could not write .*none/x.svg: ' "$work/err"
}

# Without gnuplot, a text file has the data of each series, and the picture is printed.
has_data() {
    mkdir -p "$work/empty"
    env PATH="$work/empty" "$lectures/differences" --plot "$work/d.svg" >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/err" "$work/out"
    [ $status = 0 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q 'ooo' "$work/out" &&
        grep -q 'gnuplot is not found.*d.svg.txt has its data' "$work/err" &&
        [ "$(grep -c '^# Error of' "$work/d.svg.txt")" = 3 ] &&
        [ "$(grep -c '^1 ' "$work/d.svg.txt")" = 3 ]
}

# The graphs of experiment 1: f and y, three and four Ops, with names, values and gradients.
has_graphs() {
    mkdir -p "$work/some"
    ln -sf "$(command -v cat)" "$work/some/cat"
    env PATH="$work/some" "$lectures/graphs" --plot "$work/g.svg" >/dev/null 2>"$work/err"
    status=$?
    cat "$work/err" "$work/g.svg.dot"
    [ $status = 0 ] && grep -q 'Graphviz is not found.*g.svg.dot has their text' "$work/err" &&
        [ "$(grep -c 'shape=ellipse' "$work/g.svg.dot")" = 7 ] && [ "$(grep -c 'shape=box' "$work/g.svg.dot")" = 13 ] &&
        [ "$(grep -c 'label=creator' "$work/g.svg.dot")" = 7 ] &&
        grep -q 'x.nparam f64 .nvalue 0.5.ngrad 5.078' "$work/g.svg.dot"
}
draws_graphs() {
    "$lectures/graphs" --plot "$work/it's.svg" >/dev/null && [ "$(grep -c '<ellipse' "$work/it's.svg")" = 7 ]
}

for program in $(programs); do
    check "$program prints its help" explains "$program"
    check "$program refuses an unknown option" refuses 'no such option' "$program" --bogus
    check "$program: its claims hold" holds "$program"
    check "$program: a claim can fail" can_fail "$program"
    check "$program: the gallery has its picture and its claims" shown "$program"
done
check 'a picture must be of a known kind' refuses 'plot: must end in .png, .svg or .pdf' differences --plot x.gif
check 'the data are written where gnuplot is missing' has_data
check 'graphs are written as text where Graphviz is missing' has_graphs
if command -v dot >/dev/null; then check 'graphs are drawn' draws_graphs
else skip 'graphs are drawn' 'Graphviz is not installed'
fi
if command -v gnuplot >/dev/null; then
    check 'a picture is drawn as SVG' drawn svg '<svg'
    check 'a picture is drawn as PDF' drawn pdf '^%PDF'
    check 'a picture is drawn as PNG' drawn png 'PNG'
    check 'a picture that cannot be written is reported' cannot_be_written
else skip 'pictures are drawn' 'gnuplot is not installed'
fi
done_testing
