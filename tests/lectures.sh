#!/bin/sh
# lectures.sh: runs every lecture program: its claims hold as it is, and one fails with the options that its --help names;
# it draws its picture, or writes its data where gnuplot is missing. Prints TAP.
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
    [ $status = 0 ] && [ ! -s "$work/err" ] && grep -q '^claim: .*[0-9]' "$work/out" && ! grep -q '^claim fails' "$work/out" &&
        ! grep -q '^claim: [^0-9]*$' "$work/out"
}

# With the options that break it, a claim fails, and the program says so.
can_fail() {
    # shellcheck disable=SC2046 # options
    "$lectures/$1" $(breaks "$1") >"$work/out" 2>"$work/err"
    status=$?
    cat "$work/out" "$work/err"
    [ -n "$(breaks "$1")" ] && [ $status = 1 ] && grep -q '^claim fails: ' "$work/out"
}

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
    [ $status = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q '^differences: gnuplot could not write .*none/x.svg: ' "$work/err"
}

# Without gnuplot, a text file has the data of each series, and the picture is printed.
has_data() {
    mkdir -p "$work/empty"
    (PATH=$work/empty; "$lectures/differences" --plot "$work/d.svg" >"$work/out" 2>"$work/err")
    status=$?
    cat "$work/err" "$work/out"
    [ $status = 0 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q 'gnuplot is not found.*d.svg.txt has its data' "$work/err" &&
        grep -q 'ooo' "$work/out" && [ "$(grep -c '^# Error of' "$work/d.svg.txt")" = 3 ] &&
        [ "$(grep -c '^1 ' "$work/d.svg.txt")" = 3 ]
}

for program in $(programs); do
    check "$program prints its help" explains "$program"
    check "$program refuses an unknown option" refuses 'no such option' "$program" --bogus
    check "$program: its claims hold" holds "$program"
    check "$program: a claim can fail" can_fail "$program"
done
check 'a picture must be of a known kind' refuses 'plot: must end in .png, .svg or .pdf' differences --plot x.gif
check 'the data are written where gnuplot is missing' has_data
if command -v gnuplot >/dev/null; then
    check 'a picture is drawn as SVG' drawn svg '<svg'
    check 'a picture is drawn as PDF' drawn pdf '^%PDF'
    check 'a picture is drawn as PNG' drawn png 'PNG'
    check 'a picture that cannot be written is reported' cannot_be_written
else skip 'pictures are drawn' 'gnuplot is not installed'
fi
done_testing
