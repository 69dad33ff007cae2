#!/bin/sh
# names.sh: checks that every public function has one definition that grep, ctags and a debugger find, and that private
# names differ from public ones, and that lines are not too long. Prints TAP.
#
# A definition is a line of a source of autodiff/, ops/ or nn/ with a type and then NAME(. A line that ends in ; is a
# declaration. A function that a macro defines has no such line.
set -u
. tests/cases

# The functions of ops.def and of the public headers, one per line.
public() {
    sed -n 's/^AD_\(OP\|FN\)(\([a-z0-9_]*\),.*/ad_\2/p' ops/ops.def
    sed -n 's/^AD_API [^(]*[ *]\([a-z0-9_]*\) *(.*/\1/p' autodiff/*.h ops/*.h nn/*.h
}

# The names of all definitions, one per line.
defined() {
    find autodiff ops nn -name '*.c' -exec cat {} + |
        sed -n '/; *$/!s/^[A-Za-z_][A-Za-z0-9_ *]*[ *]\([a-z0-9_]*\)(.*/\1/p' | grep '^[an][dn]_[a-z]'
}

# The public functions that do not have one definition.
wrong() {
    { public | sort -u | sed 's/$/ public/'; defined; } | awk '
        $2 == "public" { names[++n] = $1; next }
        { count[$1]++ }
        END {
            for (i = 1; i <= n; i++)
                if (count[names[i]] != 1) print names[i] " has " count[names[i]] + 0 " definitions"
        }'
}

# The private names that are a public name with a second underscore, with or without a dtype suffix.
too_similar() {
    { public; sed -n 's/.*[ }]\(\(ad\|nn\)_[a-z0-9][a-z0-9_]*\);.*/\1/p' autodiff/*.h ops/*.h nn/*.h; } | sort -u |
        sed 's/$/ public/' >"$work/public"
    find autodiff ops nn -name '*.[chi]*' -exec grep -ho '\<\(ad\|nn\)__[a-z0-9][a-z0-9_]*' {} + | sort -u |
        awk 'NR == FNR { is_public[$1] = 1; next }
            { name = $1; sub(/__/, "_", name); base = name; sub(/_f(32|64)$/, "", base) }
            name in is_public || base in is_public { print $1 " is " base " with a second underscore" }' "$work/public" -
}

many_names() {
    n=$(public | sort -u | wc -l)
    echo "$n names were found"
    [ "$n" -ge 500 ]
}

# The lines of the library, its demos and its benchmarks that have more than 120 characters.
long_lines() {
    find autodiff ops nn demos bench docs -name '*.[ch]' -o -name '*.inc' -o -name '*.cpp' | xargs awk '
        length($0) > 120 { print FILENAME ":" FNR " has " length($0) " characters" }'
}

check "ops.def and the public headers name functions" many_names
check "each of them has one definition" prints_nothing wrong
check "no private name is a public one with a second underscore" prints_nothing too_similar
check "no line has more than 120 characters" prints_nothing long_lines
done_testing
