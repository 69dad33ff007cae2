#!/bin/sh
# names.sh: checks that every public function has one definition that grep, ctags and a debugger find. Prints TAP.
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

many_names() {
    n=$(public | sort -u | wc -l)
    echo "$n names were found"
    [ "$n" -ge 500 ]
}

check "ops.def and the public headers name functions" many_names
check "each of them has one definition" prints_nothing wrong
done_testing
