#!/bin/sh
# adding.sh: follows docs/adding.md in a copy of the sources. It inserts each block of code where the page says, builds,
# and runs the tests that the page names. It also checks that these tests fail while a part is missing. Prints TAP.
set -u
. tests/cases
build=${BUILD:-build}
: "${CC:=cc}" "${MAKE:=make}"
copy=$build/adding

prepare() {
    rm -rf "$copy" && mkdir -p "$copy" && cp -a Makefile mk .ci autodiff ops nn tests docs demos bench README.md "$copy"
}

# apply PATTERN: inserts into the copy the blocks of the page whose path matches the pattern.
apply() {
    awk -v copy="$copy" -v keep="$1" '
        function text_of(path,   s, line) {
            while ((getline line < path) > 0) s = s line "\n"
            close(path)
            return s
        }
        function put(path, s) { printf "%s", s > path; close(path) }
        function place(   path, s, at, end) {
            path = copy "/" target
            if (target !~ keep) return
            if (verb == "new") { put(path, block); return }
            s = text_of(path)
            if (verb == "end") { put(path, s block); return }
            at = index(s, anchor)
            if (at == 0) { print "no \"" anchor "\" in " target; bad = 1; return }
            if (verb == "before") while (at > 1 && substr(s, at - 1, 1) != "\n") at--
            else at += index(substr(s, at), "\n")
            put(path, substr(s, 1, at - 1) block substr(s, at))
        }
        /^<!-- (new|end|after|before) / {
            line = $0
            sub(/^<!-- /, "", line); sub(/ -->$/, "", line)
            verb = line; sub(/ .*/, "", verb); sub(/^[a-z]* /, "", line)
            target = line; sub(/:.*/, "", target)
            anchor = line; sub(/^[^:]*: /, "", anchor)
        }
        /^```$/ && inside { place(); inside = 0; verb = ""; next }
        inside { block = block $0 "\n" }
        /^```c$/ && verb != "" { inside = 1; block = "" }
        END { exit bad }' docs/adding.md
}

in_copy() { (cd "$copy" && "$@"); }
# Most files see the new headers. Without optimisation they are compiled in half of the time.
quick_make() { in_copy env AD_TEST_QUICK=1 "$MAKE" -s "-j$(nproc)" CC="$CC" CFLAGS="-O0 -g0" WERROR=1 BUILD=build "$@"; }
built() { quick_make build/libautodiff.a build/libautodiff.so; }
units() { quick_make TESTS="$1" units; }
# Starts with an empty folder, as make deletes intermediate files only if it made them itself.
second_make_compiles_nothing() {
    object=fresh/obj/autodiff/base/shape.o
    for run in 1 2; do
        touch "$work/before_$run"
        in_copy "$MAKE" -s CC="$CC" BUILD=fresh "$object" || return 1
    done
    [ -n "$(find "$copy/$object" -newer "$work/before_1")" ] && [ -z "$(find "$copy/$object" -newer "$work/before_2")" ]
}
fails() { ! "$@"; }

# The new ops have no reference values, as PyTorch or mpmath would have to compute them. test_reference fails for these
# ops and for no others.
lacks_reference_values() {
    units test_reference >"$work/reference" 2>&1 && return 1
    [ "$(sed -n 's/^not ok [0-9]* - //p' "$work/reference" | sort | tr '\n' ' ')" = "cauchy gudermann integral " ]
}

check "the sources can be copied" prepare
check "the blocks for the library are inserted" apply '^(ops|nn)/'
check "covered.sh fails for the missing rows" fails in_copy sh tests/covered.sh
check "the blocks for the tests are inserted" apply '^tests/'
check "it builds without a warning" built
check "a second make compiles nothing" second_make_compiles_nothing
check "the tests of the additions pass" units "test_ops test_kernels test_nn_all test_nn_loss test_data_pgm"
check "covered.sh, layout.sh and names.sh pass" in_copy sh -c 'sh tests/covered.sh && sh tests/layout.sh && sh tests/names.sh'
check "test_reference fails for the ops without reference values" lacks_reference_values
done_testing
