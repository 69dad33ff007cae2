/* inner.c: passes that an op runs within another pass. */
#include "autodiff/pass/inner.h"

#include "autodiff/graph/flat.h"
#include "autodiff/graph/plan.h"

ad__inner_pass ad__inner_begin(ad_graph *g) {
    ad__inner_pass in = { .heap = g->heap, .heap_capacity = g->heap_capacity, .plan = g->plan };
    in.branch = g->branch;
    in.branches_ended = g->branches_ended;
    in.repeat = g->repeat;
    in.grad_enabled = ad_enable_grad(g, true);
    in.keep_grads = ad_keep_grads(g, false);
    in.mark = ad_begin(g);
    g->heap = NULL;
    g->heap_capacity = 0;
    g->plan = (ad__plan){ 0 };
    g->branch = NULL;
    g->branches_ended = 0;
    g->repeat = NULL;
    return in;
}

void ad__inner_end(ad_graph *g, const ad__inner_pass *in) {
    ad_end(g, in->mark);
    if (g->heap != NULL) ad__pool_give(&g->pool, g->heap, g->heap_capacity * sizeof *g->heap);
    ad__plan_free(g, &g->plan);
    g->heap = in->heap;
    g->heap_capacity = in->heap_capacity;
    g->plan = in->plan;
    g->branch = in->branch;
    g->branches_ended = in->branches_ended;
    g->repeat = in->repeat;
    ad_enable_grad(g, in->grad_enabled);
    ad_keep_grads(g, in->keep_grads);
}

ad_var *ad__stand_in(const ad_var *x, bool wants_grad) {
    ad_var *leaf = ad_input(ad__owner(x), x->layout->dtype, ad__lasting_data(x), x->layout->shape);
    return wants_grad ? ad_require_grad(leaf) : leaf;
}

ad_var **ad__inner_vars(ad_graph *g, int n) { return ad_scope_zalloc(g, (size_t)(n + 1) * sizeof(ad_var *)); }

ad_graph *ad__owner_of_all(int n, ad_var *const xs[], const char *caller) {
    ad_graph *g = n > 0 && xs != NULL && xs[0] != NULL ? ad__owner(xs[0]) : NULL;
    if (g == NULL || g->code != AD_OK) return g;
    for (int i = 0; i < n; i++)
        if (xs[i] == NULL || ad__absent(xs[i]) || ad__owner(xs[i]) != g)
            return ad_fail(g, AD_EVALUE, "%s: xs[%d] is nil or belongs to another graph", caller, i), g;
    return g;
}
