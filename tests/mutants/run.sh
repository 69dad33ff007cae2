#!/bin/sh
# run.sh: changes one operator or constant of the library at a time and runs the tests of that folder, which should
# fail. usage: sh tests/mutants/run.sh [N [SEED [PATH...]]]
#
# N mutants (20) of all that are possible in PATH (autodiff ops nn) are drawn by SEED (1). They are made in a copy of
# the sources, BUILD/mutants. The last lines say how many were killed and show the survivors: each is a gap of the tests, or
# a change without consequences.
set -eu
n=${1:-20}
seed=${2:-1}
[ $# -gt 2 ] && shift 2 || set -- autodiff ops nn
build=$(cd "${BUILD:-build}" && pwd)
copy=$build/mutants
mkdir -p "$copy"
tar cf - Makefile autodiff ops nn mk tests docs demos bench README.md | (cd "$copy" && tar xf -)

# All mutants of the files on the command line, with tabs between: FILE LINE COLUMN LENGTH NEW.
# Comments, texts and directives are left.
candidates() {
    awk '
        FNR == 1 { comment = 0 }
        function put(length_, new) { printf "%s\t%d\t%d\t%d\t%s\n", FILENAME, FNR, i, length_, new }
        /^ *#/ { next }
        {
            line = $0
            for (i = 1; i <= length(line); i++) {
                two = substr(line, i, 2); c = substr(line, i, 1); four = substr(line, i, 4)
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

# The tests of a folder, quick ones first.
tests_of() {
    case $1 in
    ops/compile/*) echo test_compile test_compile_ops test_compile_random test_export ;;
    ops/functional/*) echo test_derivatives test_checkpoint test_gradient test_random_graphs test_bounds ;;
    ops/elementwise/* | ops/kernels/elementwise/*)
        echo test_ops_elementwise test_kernels test_special test_reference test_rules test_ops test_threads ;;
    ops/linalg/* | ops/kernels/linalg/*) echo test_ops_linalg test_kernels test_reference test_rules test_ops test_bounds ;;
    ops/reduce/* | ops/kernels/reduce/*)
        echo test_ops_reductions test_kernels test_special test_reference test_rules test_ops test_bounds ;;
    ops/shape/* | ops/kernels/shape/*) echo test_ops_shape test_kernels test_reference test_rules test_ops test_bounds ;;
    ops/sort/* | ops/kernels/sort/*) echo test_ops_sort test_kernels test_reference test_rules test_ops test_bounds ;;
    ops/net/* | ops/loss/* | ops/kernels/net/* | ops/kernels/loss/*)
        echo test_ops_networks test_nn_loss test_kernels test_special test_reference test_rules test_ops test_bounds ;;
    ops/*) echo test_kernels test_ops test_rules test_ops_shape test_ops_reductions test_bounds test_reference ;;
    nn/file/*) echo test_nn_file test_data_npy test_data_idx test_data_csv test_nn_durable test_nn_damage test_locale ;;
    nn/data/*) echo test_data_parts test_data_loader test_data_prefetch test_nn_fit ;;
    nn/optim/*) echo test_nn_optim test_nn_all test_nn_fit ;;
    nn/train/*) echo test_nn_metrics test_nn_fit test_nn ;;
    nn/*) echo test_nn test_nn_modules test_nn_all test_nn_loss test_nn_optim test_kernels ;;
    *) echo test_engine test_graphs test_gradient test_error test_scope test_stale test_look test_extend test_flat \
        test_branch test_fresh test_anomaly test_ops_apply test_derivatives test_checkpoint test_bounds test_random \
        test_random_graphs test_threads test_faults ;;
    esac
}

# A mutant may write to other places than it should, such as devices, so the superuser's rights are dropped.
cd "$copy"
under=
if [ "$(id -u)" = 0 ]; then
    under="setpriv --reuid=65534 --regid=65534 --clear-groups"
    $under true || { echo "run it as another user than root"; exit 1; }
fi
mkdir -p tmp
chmod 1777 tmp
quiet_make() { make -s WERROR=0 BUILD=build CFLAGS=-O1 "$@" >build.log 2>&1; }
mkdir -p build
find "$@" -name '*.c' -o -name '*.inc' | sort >files
# shellcheck disable=SC2046 # a list of files
candidates $(cat files) >all
awk -v seed="$seed" 'BEGIN { srand(seed) } { printf "%.9f %s\n", rand(), $0 }' all | sort | head -n "$n" | cut -d ' ' -f 2- >drawn
echo "$(wc -l <all) mutants are possible, $(wc -l <drawn) are tried"

# programs NAME...: their paths
programs() { for name in "$@"; do echo "build/tests/$name"; done; }

run_test() {
    # shellcheck disable=SC2086 # a command with its arguments
    TMPDIR=$copy/tmp timeout 300 $under "build/tests/$1" >test.log 2>&1 </dev/null
}

# survives FILE: builds the tests of the file and runs them until one fails.
survives() {
    # shellcheck disable=SC2046 # lists of names
    quiet_make $(programs $(tests_of "$1")) || return 2
    for name in $(tests_of "$1"); do
        run_test "$name" || return 1
    done
}

# Without a change, all these tests pass.
# shellcheck disable=SC2046 # lists of names
for name in $(cut -f 1 drawn | sort -u | while read -r file; do tests_of "$file"; done | tr ' ' '\n' | sort -u); do
    quiet_make $(programs "$name") || { cat build.log; exit 1; }
    run_test "$name" || { cat test.log; echo "$name fails without a change"; exit 1; }
done

killed=0
broken=0
: >survivors
tab=$(printf '\t')
while IFS=$tab read -r file line column length new <&3; do
    cp "$file" original
    awk -v line="$line" -v at="$column" -v n="$length" -v new="$new" '
        NR == line { $0 = substr($0, 1, at - 1) new substr($0, at + n) } { print }' original >"$file"
    status=0
    survives "$file" || status=$?
    case $status in
    0)
        {
            echo "$file:$line: $(sed -n "${line}p" original | sed 's/^ *//')"
            echo "    -> $(sed -n "${line}p" "$file" | sed 's/^ *//')"
        } | tee -a survivors
        ;;
    1) killed=$((killed + 1)) ;;
    *) broken=$((broken + 1)) ;;
    esac
    cp original "$file"
done 3<drawn
echo "$killed killed, $(($(wc -l <survivors) / 2)) survived, $broken did not compile"
