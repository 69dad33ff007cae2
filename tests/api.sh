#!/bin/sh
# api.sh: checks that docs/reference/ is what the headers' comments give, that every public function is in it and in the
# man pages, and has a comment. Prints TAP.
set -u
. tests/cases
pages=${BUILD:-build}/api/reference

is_current() {
    sh mk/reference/make.sh pages "$pages" && diff -ru docs/reference "$pages" && return
    echo "make docs writes docs/reference again"
    return 1
}

# The symbols of the library, which tests/symbols.sh holds equal to docs/symbols.txt, but the ops and their descriptors.
ops() { sed -n 's/^AD_\(OP\|FN\)(\([a-z0-9_]*\),.*/ad_\2\nad_op_\2/p' ops/ops.def; }
missing() {
    sh mk/reference/make.sh names | sort -u >"$work/names"
    ops >"$work/ops"
    grep -v '^#' docs/symbols.txt | grep -vxF -f "$work/names" | grep -vxF -f "$work/ops"
}

# A header of its own kind: what has no comment is found.
finds_undescribed() {
    cat >"$work/new.h" <<'HEADER'
/* new.h: a header. */

/* Said of the first one. */
AD_API int ad_described(int x);

AD_API int ad_bare(int x);
AD_API int ad_noted(int x); /* said */
HEADER
    [ "$(awk -f mk/reference/pages.awk -f mk/reference/headers.awk check=1 "$work/new.h")" = \
        "$work/new.h: ad_bare has no comment" ]
}

# The man pages have every function and op, and no fault that mandoc or groff sees.
manual=${BUILD:-build}/api/man
manual_is_whole() {
    sh mk/reference/make.sh manual "$manual" || return 1
    { sh mk/reference/make.sh names; ops | grep -v '^ad_op_'; } | sort -u >"$work/names"
    cat "$manual"/autodiff*.3 | grep -o '\(ad\|nn\)_[a-z0-9_]*' | sort -u | comm -13 - "$work/names" >"$work/missing"
    [ "$(wc -l <"$work/names")" -gt 900 ] && prints_nothing cat "$work/missing"
}
lint() { mandoc -T lint -W warning "$manual"/*.3; }
warnings() { for page in "$manual"/*.3; do groff -mandoc -Tutf8 -ww -z "$page" 2>&1; done; }

check "docs/reference/ is what the headers give" is_current
check "every public function is in the reference" prints_nothing missing
check "every public function has a comment" prints_nothing sh mk/reference/make.sh undescribed
check "a function without a comment is found" finds_undescribed
check "the man pages have every function and op" manual_is_whole
if command -v mandoc >/dev/null; then check "mandoc finds no fault in the man pages" prints_nothing lint
else skip "mandoc finds no fault in the man pages" "mandoc is not installed"
fi
if command -v groff >/dev/null; then check "groff finds no fault in the man pages" prints_nothing warnings
else skip "groff finds no fault in the man pages" "groff is not installed"
fi
done_testing
