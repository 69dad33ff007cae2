#!/bin/sh
# symbols.sh: checks that the shared library exports what the public headers declare and nothing else, that this is what
# docs/symbols.txt lists for this version, and how large the library is. Prints TAP. `sh tests/symbols.sh fix` writes the list.
set -u
. tests/cases
library=${BUILD:-build}/libautodiff.so
list=docs/symbols.txt
number() { sed -n "s/^.define AD_VERSION_$1 *//p" autodiff/autodiff.h; }
version=$(number MAJOR).$(number MINOR).$(number PATCH)

# The functions and objects that the headers declare with AD_API, one per line.
declared() {
    printf '#include "%s"\n' nn/nn.h ops/compile.h ops/sparse.h autodiff/op.h autodiff/extend.h autodiff/thread.h >"$work/all.c"
    ${CC:-cc} -E -P -I. "$work/all.c" | tr '\n' ' ' | awk '
        BEGIN { RS = ";" }
        match($0, /__attribute__ *\(\(visibility\("default"\)\)\)/) {
            text = substr($0, RSTART + RLENGTH)
            gsub(/__attribute__ *\(\([^()]*(\([^()]*\))?\)\)/, "", text)
            if (text ~ /^ *extern /) sub(/^.*[ *]/, "", text)
            else { sub(/ *\(.*/, "", text); sub(/.*[ *]/, "", text) }
            print text
        }' | sort -u
}
exported() { nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u; }
listed() { grep -v '^#' "$list"; }

if [ "${1:-}" = fix ]; then
    {
        echo "# What libautodiff.so exports in version $version; tests/symbols.sh compares."
        exported
    } >"$list"
    exit
fi

# only_in A B: the lines of file A that B has not.
only_in() { comm -23 "$1" "$2"; }

many_symbols() {
    echo "$(wc -l <"$work/declared") declared"
    [ "$(wc -l <"$work/declared")" -gt 700 ]
}
current_version() { grep -q "in version $version;" "$list" || echo "$list is of another version than $version"; }

# The size that docs/performance.md states is that of GCC 12 for x86-64 with the default flags and all libraries.
states_size() {
    [ "$(uname -m) $(${CC:-cc} -dumpversion)" = "x86_64 12" ] && ! ${CC:-cc} --version | grep -q clang &&
        grep -q -- ' -O2 ' "${BUILD:-build}/stamp_flags" &&
        ! grep -qE -- '-fsanitize|--coverage|-march=|-O[01g]|-m32|-DNDEBUG' "${BUILD:-build}/stamp_flags"
}
most=1600000 # bytes
is_small() {
    strip -o "$work/stripped.so" "$library" || return
    bytes=$(wc -c <"$work/stripped.so")
    echo "$bytes bytes stripped, of at most $most"
    [ "$bytes" -le "$most" ]
}

if ! command -v nm >/dev/null 2>&1 || [ ! -e "$library" ]; then
    skip "the shared library exports what the headers declare" "there is no nm or no $library"
    done_testing
    exit
fi
declared >"$work/declared"
exported >"$work/exported"
listed >"$work/listed"
check "the headers declare functions and descriptors" many_symbols
check "whatever the headers declare is exported" prints_nothing only_in "$work/declared" "$work/exported"
check "nothing else is exported" prints_nothing only_in "$work/exported" "$work/declared"
check "no symbol of the list is gone: that would break programs" prints_nothing only_in "$work/listed" "$work/exported"
check "the list has all symbols: sh tests/symbols.sh fix adds new ones" \
    prints_nothing only_in "$work/exported" "$work/listed"
check "the list is of this version" prints_nothing current_version
if states_size; then check "the stripped library is at most 1.6 MB" is_small
else skip "the stripped library is at most 1.6 MB" "another compiler or other flags"; fi
done_testing
