#!/bin/sh
# api.sh: checks that docs/reference/ is what the headers' comments give, and that every public function is in it with a
# comment. Prints TAP.
set -u
. tests/cases
pages=${BUILD:-build}/reference

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
    [ "$(awk -f mk/reference/headers.awk -f mk/reference/pages.awk check=1 "$work/new.h")" = \
        "$work/new.h: ad_bare has no comment" ]
}

check "docs/reference/ is what the headers give" is_current
check "every public function is in the reference" prints_nothing missing
check "every public function has a comment" prints_nothing sh mk/reference/make.sh undescribed
check "a function without a comment is found" finds_undescribed
done_testing
