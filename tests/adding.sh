#!/bin/sh
# adding.sh: follows docs/adding.md in a copy of the sources: puts each block of code where the page says, builds, and runs the
# tests that the page names; and checks that the tests fail while a part is missing. Prints TAP.
set -u
. tests/cases
build=${BUILD:-build}
: "${CC:=cc}" "${MAKE:=make}"
copy=$build/adding
root=$(pwd)

# The copy has the objects too, so that only what changes is compiled. Objects know their paths from the root: an
# absolute BUILD starts anew.
prepare() {
    rm -rf "$copy" && mkdir -p "$copy/$build" || return 1
    cp -a Makefile mk .ci autodiff ops nn tests docs demos bench README.md "$copy" || return 1
    case $build in /*) ;; *) cp -a "$build/obj" "$copy/$build" && cp -a "$build"/stamp_* "$copy/$build" ;; esac
}

# apply KEEP: the page's blocks into the copy; KEEP (a pattern) chooses by path.
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
built() { in_copy "$MAKE" -s "-j$(nproc)" CC="$CC" BUILD="$build" WERROR=1 all; }
units() { in_copy "$MAKE" -s "-j$(nproc)" CC="$CC" BUILD="$build" TESTS="$1" units; }
fails() { ! "$@"; }
# Reference values come from PyTorch or mpmath, which the tests do not need: without them these ops fail, and no others.
asks_for_reference_values() {
    units test_reference >"$work/reference" 2>&1 && return 1
    [ "$(sed -n 's/^not ok [0-9]* - //p' "$work/reference" | sort | tr '\n' ' ')" = "cauchy gudermann trapezoid " ]
}

echo 1..8
check "the sources can be copied" prepare
check "what the page adds to the library is put in place" apply '^(ops|nn)/'
check "tests ask for the rows that are missing" fails in_copy sh tests/covered.sh
check "the tests of the page are put in place" apply '^tests/'
check "it builds without a warning" built
check "the tests of what was added pass" units "test_ops test_kernels test_nn_all test_nn_loss test_data_pgm"
check "names, layers and coverage are in order" in_copy sh -c 'sh tests/covered.sh && sh tests/layout.sh && sh tests/names.sh'
check "reference values are asked for" asks_for_reference_values
exit "$((failures > 0))"
