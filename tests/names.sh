#!/bin/sh
# names.sh: every public function has one definition that grep, ctags and a debugger find. Prints TAP.
#
# A definition is a line that begins with a type and holds NAME( after it, in a source of autodiff/, ops/ or nn/; a
# function that a macro makes has none. A line that ends in ; is a declaration.

# Functions that ops.def names, and those that the public headers declare, one a line.
public() {
    sed -n 's/^AD_\(OP\|FN\)(\([a-z0-9_]*\),.*/ad_\2/p' ops/ops.def
    sed -n 's/^AD_API [^(]*[ *]\([a-z0-9_]*\) *(.*/\1/p' autodiff/*.h ops/*.h nn/*.h
}

# The names that definitions define, one a line.
defined() {
    find autodiff ops nn -name '*.c' -exec cat {} + |
        sed -n '/; *$/!s/^[A-Za-z_][A-Za-z0-9_ *]*[ *]\([a-z0-9_]*\)(.*/\1/p' | grep '^[an][dn]_[a-z]'
}

# "NAME COUNT" for each public function whose definitions are not one.
wrong() {
    { public | sort -u | sed 's/$/ public/'; defined; } | awk '
        $2 == "public" { names[++n] = $1; next }
        { count[$1]++ }
        END { for (i = 1; i <= n; i++) if (count[names[i]] != 1) print names[i], count[names[i]] + 0 }'
}

# check NUMBER TITLE BAD: a line of TAP; what is bad follows, if anything is.
check() {
    if [ -z "$3" ]; then echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        printf '%s\n' "$3" | sed 's/^/# /'
        failed=1
    fi
}

echo 1..2
failed=0
all=$(public | sort -u | wc -l)
few=
if [ "$all" -lt 500 ]; then few="only $all names were found in ops.def and the headers"; fi
check 1 "ops.def and the public headers name functions" "$few"
check 2 "each of them has one definition" "$(wrong | awk '{ print $1 " has " $2 " definitions" }')"
exit $failed
