/* check.c: the checks of what a program is made of. */
#include "autodiff/pass/pass.h"
#include "ops/compile/emit.h"

static int check_xs(int n, ad_var *const xs[], const char *caller) {
    for (int i = 0; i < n; i++) {
        if (xs[i]->creator)
            return ad_fail(ad__owner(xs[i]), AD_EVALUE, "%s: xs[%d] is the result of %s; give leaves", caller, i,
                           xs[i]->creator->type->name);
    }
    return AD_OK;
}

/* No leaf may be given twice. The flag of walks serves as a mark; none runs now. */
static int check_distinct(int n, ad_var *const xs[], const char *caller) {
    int twice = -1;
    for (int i = 0; i < n; i++) {
        if (xs[i]->flags & AD__REACHED) twice = i;
        xs[i]->flags |= AD__REACHED;
    }
    for (int i = 0; i < n; i++) xs[i]->flags &= (uint16_t)~AD__REACHED;
    return twice < 0 ? AD_OK : ad_fail(ad__owner(xs[0]), AD_EVALUE, "%s: xs[%d] is given twice", caller, twice);
}

static int check_first(int m, ad_var *const ys[], int n, ad_var *const xs[], const char *caller) {
    if (m >= 1 && ys && !ad__absent(ys[0])) return AD_OK;
    if (m >= 1 && ys) return ad__refuse_beside(ys[0], n, xs, caller);
    if (n > 0 && xs && xs[0]) return ad_fail(ad_graph_of(xs[0]), AD_EVALUE, "%s: there is no y", caller);
    return AD_EVALUE;
}

int ad__check_program(int m, ad_var *const ys[], int n, ad_var *const xs[], const char *caller) {
    int rc = check_first(m, ys, n, xs, caller);
    for (int i = 0; i < m && rc == AD_OK; i++) {
        rc = ad__check_arguments(ys[i], n, xs, caller);
        if (rc == AD_OK && ad__owner(ys[i]) != ad__owner(ys[0]))
            rc = ad_fail(ad__owner(ys[0]), AD_EGRAPH, "%s: ys[0] and ys[%d] belong to two graphs", caller, i);
    }
    if (rc == AD_OK) rc = check_xs(n, xs, caller);
    return rc == AD_OK ? check_distinct(n, xs, caller) : rc;
}

int ad__check_single(const ad_var *y, const char *caller) {
    if (y->layout->numel == 1) return AD_OK;
    return ad_fail(ad__owner(y), AD_ESHAPE, "%s: y is %s, not one element; reduce it", caller,
                   ad_shape_str(y->layout->shape).text);
}
