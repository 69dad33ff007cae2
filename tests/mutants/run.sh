#!/bin/sh
# run.sh: changes one operator or constant of the library at a time and runs the tests that execute that line, which
# should fail. usage: sh tests/mutants/run.sh [N [SEED [PATH...]]]
#
# SEED (1) puts all possible changes of PATH (autodiff ops nn) into an order; those of the first N (20) that change the
# object code are tried. BUILD/coverage has the test programs with counters of lines: see `make mutants`. Changes are
# made in a copy of the sources, BUILD/mutants, where are also:
#
#   lines/TEST   the lines that a test executes, measured once (it takes some minutes)
#   results      a line for each change: verdict, the test that noticed it, place, change; a later run goes on there
#
# The verdicts: killed, survived, same (the same object code), invalid (does not compile). The last lines count them and
# show the survivors: each is a gap of the tests, or a change without consequences.
set -eu
n=${1:-20}
seed=${2:-1}
if [ $# -gt 2 ]; then shift 2; else set -- autodiff ops nn; fi
build=$(cd "${BUILD:-build}" && pwd)
here=$(pwd)
copy=$build/mutants
tab=$(printf '\t')
mkdir -p "$copy/lines" "$copy/tmp"
chmod 1777 "$copy/tmp"
unset MAKEFLAGS MFLAGS MAKELEVEL WERROR # of the make that runs this script
export AD_TEST_QUICK=1

# A mutant may write to other places than it should, such as devices, so the superuser's rights are dropped.
under=
if [ "$(id -u)" = 0 ]; then
    under="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $under true || { echo "run it as another user than root"; exit 1; }
fi
quick_cc=$(command -v tcc || echo cc) # what the tests compile programs with
programs() { (cd "$here/tests" && printf '%s\n' test_*.c onnx/save_models.c) | sed 's/\.c$//'; }
# The tests are these programs; onnxruntime judges the models that the last one saves.
all_tests() { programs | sed 's|onnx/save_models|onnx_save|'; }

# start NAME FOLDER: runs a test of the programs in FOLDER.
start() {
    case $1 in
    onnx_save) set -- env BUILD="$2" sh tests/onnx_save.sh ;;
    *) set -- "$2/tests/$1" ;;
    esac
    # shellcheck disable=SC2086 # a command with its arguments
    $under timeout -k 5 "$clock" "$@" </dev/null
}

# ---- what the tests execute ----------------------------------------------------------------------------------------

measure_lines() {
    for test in $(all_tests); do
        [ -s "$copy/lines/$test" ] && continue
        find "$build/coverage/obj" -name '*.gcda' -delete
        under='' clock=900 start "$test" "$build/coverage" >"$copy/lines.log" 2>&1 || true
        sh tests/coverage/lines.sh "$build/coverage/obj" "$build/coverage/gcov" |
            awk -F '\t' '$3 > 0 { print $1 ":" $2 }' >"$copy/lines/new"
        mv "$copy/lines/new" "$copy/lines/$test"
    done
}

# ---- building --------------------------------------------------------------------------------------------------------

# There are two builds, in the folders plain and checked; the second has AddressSanitizer, which sees what lies outside of
# arrays. In each, one shared library shows its private names to the tests: a mutant needs an object and a link.
# to BUILD: the functions below are about this build.
to() {
    in=$1
    sanitize=
    [ "$in" = plain ] || sanitize=-fsanitize=address
}
# MPI's part is another library, and the messages of ONNX are made.
objects() {
    find autodiff ops nn -path '*/mpi' -prune -o -name '*.c' -print | sort | sed "s|\(.*\)\.c\$|$in/obj/\1.o|"
    echo "$in/obj/nn/onnx/messages.o"
}
quiet_make() { make BUILD="$in" CFLAGS="-O1 -g0 -fvisibility=default -Wno-error $sanitize" "$@"; }

# shellcheck disable=SC2046,SC2086 # lists of objects and libraries, one option or none
link_library() { cc $sanitize -shared -o "$in/libmutant.so" $(objects) $(cat $in/libraries); }

# shellcheck disable=SC2046,SC2086 # lists of objects and libraries, one option or none
prepare() {
    to "$1"
    quiet_make -s -j2 $(objects) $(programs | sed "s|.*|$in/obj/tests/&.o|")
    quiet_make -n -B V=1 $(objects) | grep -- " -c -o $in/obj/" >$in/commands
    sed -n 's/.* \(-L[^ ]*\) *\(-l.* -lm\)$/\1 \2/p; q' $in/stamp_flags >$in/libraries
    link_library
    mkdir -p $in/tests/onnx
    chmod 1777 $in/onnx # the models
    ln -sfn "$build/onnx/node_modules" $in/onnx/node_modules
    for program in $(programs); do
        cc $sanitize -o "$in/tests/$program" "$in/obj/tests/$program.o" -L$in -lmutant -lcmocka $(cat $in/libraries)
    done
    [ -s $in/times ] || measure_times
}

# run_test NAME SECONDS: of one processor; ten times as many by the clock, for programs that wait for ever.
run_test() {
    (ulimit -t "$2" && CC=$quick_cc TMPDIR="$copy/tmp" LD_LIBRARY_PATH="$copy/$in" \
        clock=$((10 * $2)) start "$1" "$in" >test.log 2>&1)
}

# A line "SECONDS NAME" for each test that passes without a change, quick ones first.
measure_times() {
    for test in $(all_tests); do
        start=$(date +%s%N)
        if run_test "$test" 300; then
            spent=$((($(date +%s%N) - start) / 1000000))
            printf '%d.%03d %s\n' $((spent / 1000)) $((spent % 1000)) "$test"
        else echo "$test fails here without a change, and is left out" >&2; fi
    done | sort -n >"$in/times"
}

# ---- changes ---------------------------------------------------------------------------------------------------------

# All changes of the files on the command line, with tabs between: FILE LINE COLUMN LENGTH NEW. Comments, texts,
# directives and assertions are left.
candidates() {
    awk '
        FNR == 1 { comment = 0 }
        function put(length_, new) { printf "%s\t%d\t%d\t%d\t%s\n", FILENAME, FNR, i, length_, new }
        /^ *#/ || /assert\(/ { next }
        {
            line = $0
            for (i = 1; i <= length(line); i++) {
                two = substr(line, i, 2); c = substr(line, i, 1)
                before = i > 1 ? substr(line, i - 1, 1) : " "
                if (comment) { if (two == "*/") { comment = 0; i++ } continue }
                if (two == "/*") { comment = 1; i++; continue }
                if (two == "//") break
                if (c == "\"") { for (i++; i <= length(line) && substr(line, i, 1) != "\""; i++) if (substr(line, i, 1) == "\\") i++; continue }
                if (c == "\047") { i += substr(line, i + 1, 1) == "\\" ? 3 : 2; continue }
                if (two == "->" || two == "<<" || two == ">>") { i++; continue }
                if (two == "<=") { put(2, "<"); i++ }
                else if (two == ">=") { put(2, ">"); i++ }
                else if (two == "==") { put(2, "!="); i++ }
                else if (two == "!=") { put(2, "=="); i++ }
                else if (two == "&&") { put(2, "||"); i++ }
                else if (two == "||") { put(2, "&&"); i++ }
                else if (two == "++") { put(2, "--"); i++ }
                else if (two == "+=") { put(2, "-="); i++ }
                else if (c == "<" && substr(line, i + 1, 1) == " ") put(1, "<=")
                else if (c == ">" && substr(line, i + 1, 1) == " ") put(1, ">=")
                else if (c == "+" && before == " " && substr(line, i + 1, 1) == " ") put(1, "-")
                else if (c == "-" && before == " " && substr(line, i + 1, 1) == " ") put(1, "+")
                else if (c == "/" && before == " " && substr(line, i + 1, 1) == " ") put(1, "*")
                else if (c == "!" && substr(line, i + 1, 1) ~ /[a-z(]/) put(1, "")
                else if (c ~ /[0-9]/ && before !~ /[A-Za-z0-9_.]/ && substr(line, i + 1, 1) !~ /[0-9A-Za-z_.]/) put(1, c + 1)
                else if (c ~ /[A-Za-z_]/) {
                    match(substr(line, i), /^[A-Za-z_0-9]+/)
                    word = substr(line, i, RLENGTH)
                    if (word == "true") put(4, "false")
                    if (word == "false") put(5, "true")
                    i += RLENGTH - 1
                }
            }
        }' "$@"
}

# shuffle SEED: the lines of the input in an order that depends on them and SEED alone, so that a change in one file
# leaves the order of the others.
shuffle() {
    awk -v seed="$1" 'BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i }
        { h = seed; for (i = 1; i <= length($0); i++) h = (h * 69069 + code[substr($0, i, 1)] + 1) % 4294967291
          for (i = 0; i < 3; i++) h = (h * 69069 + 12345) % 4294967291
          printf "%010d\t%s\n", h, $0 }' | sort | cut -f 2-
}

# The objects that have a file in them.
objects_of() {
    # shellcheck disable=SC2046 # a list of files
    case $1 in
    *.c) echo "$in/obj/${1%.c}.o" ;;
    *) grep -lwF "$1" $(objects | sed 's/o$/d/') | sed 's/d$/o/' ;;
    esac
}

# compile OBJECT...
compile() {
    for object in "$@"; do
        grep -F -- " -o $object " "$in/commands" | sh >build.log 2>&1 || return 1
    done
}

# The tests that execute a line of a file, or, for a line without code of its own or that none executes, those that
# execute any of its lines. Quick ones come first; beyond the fourth they have SECONDS_EACH (60) together.
tests_of() {
    grep -lxF "$1:$2" lines/* >chosen || grep -l "^$1:" lines/* >chosen || true
    sed -i 's|lines/||' chosen
    awk -v most="${SECONDS_EACH:-60}" 'NR == FNR { chosen[$1]; next }
        $2 in chosen && (n++ < 4 || (total += $1) < most) { print $2, int(4 * $1) + 15 }' chosen "$in/times"
}

# same_code OBJECT...: whether they are as they were.
same_code() {
    for object in "$@"; do cmp -s "$object" "$object.before" || return 1; done
}

# run_tests FILE LINE: prints the verdict, and the test that failed.
run_tests() {
    link_library 2>build.log || { echo "invalid$tab-"; return; }
    tests_of "$1" "$2" >plan
    while read -r test limit <&4; do
        status=0
        run_test "$test" "$limit" || status=$?
        case $status in
        0) ;;
        124 | 137 | 152) echo "killed$tab$test (time)" && return ;;
        *) echo "killed$tab$test" && return ;;
        esac
    done 4<plan
    echo "survived$tab-"
}

# judge FILE LINE: the verdict on the changed FILE in one build. What is built afterwards is as before.
judge() {
    changed=$(objects_of "$1")
    for object in $changed; do cp "$object" "$object.before"; done
    # shellcheck disable=SC2086 # a list of objects
    if ! compile $changed; then echo "invalid$tab-"
    elif same_code $changed; then echo "same$tab-"
    else run_tests "$1" "$2"; fi
    for object in $changed; do mv "$object.before" "$object"; done
}

# The verdict of the plain build, and of the checked one on what survives there.
judge_twice() {
    to plain
    verdict=$(judge "$@")
    case $verdict in survived*) to checked && verdict=$(judge "$@") ;; esac
    echo "$verdict"
}

# try FILE LINE COLUMN LENGTH NEW: makes the change, writes its verdict down and takes it back.
try() {
    cp "$1" original
    awk -v line="$2" -v at="$3" -v n="$4" -v new="$5" '
        NR == line { $0 = substr($0, 1, at - 1) new substr($0, at + n) } { print }' original >changed
    cp changed "$1"
    verdict=$(judge_twice "$1" "$2")
    cp original "$1"
    printf '%s\t%s\n' "$verdict" "$(printf '%s\t' "$@")" >>results
    [ "${verdict%%"$tab"*}" != survived ] || show "$@"
}

show() {
    echo "$1:$2: $(sed -n "${2}p" "$1" | sed 's/^ *//')"
    echo "    $(printf '%s' "column $3: ")$(sed -n "${2}p" "$1" | cut -c "$3-$(($3 + $4 - 1))") -> ${5:-nothing}"
}

# ---- the run ---------------------------------------------------------------------------------------------------------

measure_lines
tar cf - Makefile autodiff ops nn mk tests docs demos bench README.md | (cd "$copy" && tar xf -)
cd "$copy"
prepare plain
prepare checked
touch results
# shellcheck disable=SC2046 # a list of files
candidates $(find "$@" -path '*/mpi' -prune -o \( -name '*.c' -o -name '*.inc' \) -print | sort) >all
shuffle "$seed" <all >drawn
echo "$(wc -l <all) changes are possible"
tried=$(grep -c '^killed\|^survived' results || true)
while [ "$tried" -lt "$n" ] && IFS=$tab read -r file line column length new <&3; do
    ! grep -qF "$tab$file$tab$line$tab$column$tab$length$tab$new" results || continue
    try "$file" "$line" "$column" "$length" "$new"
    case $verdict in killed* | survived*) tried=$((tried + 1)) ;; esac
done 3<drawn
count() { grep -c "^$1$tab" results || true; }
echo "$(count killed) killed, $(count survived) survived, $(count same) with the same code, $(count invalid) do not compile"
