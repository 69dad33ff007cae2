/* plan.c: the Ops that a Var depends on, as a list in topological order. */
#include "autodiff/graph/plan.h"

#include "autodiff/graph/flat.h"
#include "autodiff/graph/walk.h"

static int plan_append(ad_graph *g, ad__plan *p, ad_op *op) {
    if (p->n == p->capacity) {
        size_t more = p->capacity ? 2 * p->capacity : 256;
        ad_op **ops = ad__pool_resize(&g->pool, p->ops, p->capacity * sizeof *ops, more * sizeof *ops);
        if (ops == NULL) return ad_no_memory(g, "an evaluation plan", more * sizeof *ops);
        p->ops = ops;
        p->capacity = more;
    }
    p->ops[p->n++] = op;
    if (op->type->flags & AD_OP_RANDOM) p->random = true;
    return AD_OK;
}

static void reverse(ad_op **ops, size_t n) {
    for (size_t i = 0, j = n; i + 1 < j; i++) {
        ad_op *t = ops[i];
        ops[i] = ops[--j];
        ops[j] = t;
    }
}

/* The root with the newest Op; the walk must begin there. */
static ad_var *newest_of(int n, ad_var *const roots[]) {
    ad_var *newest = roots[0];
    for (int i = 1; i < n; i++)
        if (roots[i]->creator && (!newest->creator || newest->creator->id < roots[i]->creator->id)) newest = roots[i];
    return newest;
}

static bool is_later(const ad_var *v, uint32_t after) { return v->creator != NULL && v->creator->id > after; }

static void clear(ad_graph *g, ad__plan *p) {
    if (AD__UNLIKELY(g->flat != NULL)) ad__flat_leave(g, p);
    p->root = NULL;
    p->n = 0;
    p->evaluated = 0;
    p->random = false;
    p->runs = 0;
}

static ad__walk with_late(ad__walk w, const ad_op *op) {
    ad__walk_late(&w, op);
    return w;
}

/* Lists the Ops of a walk. late is a constant: whether some branches may be visited only because of others. */
AD__INLINE int list_ops(ad__plan *p, const ad__walk *start, uint32_t after, bool late) {
    ad__walk w = *start; /* nobody has its address, so the compiler keeps it in registers */
    int rc = AD_OK;
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        if (rc == AD_OK) rc = plan_append(w.graph, p, op);
        if (late && w.late) w = with_late(w, op);
        for (int i = 0; i < op->n_in; i++)
            if (is_later(op->in[i], after)) ad__walk_reach(&w, op->in[i]);
    }
    reverse(p->ops, p->n);
    return rc;
}

static int list_with_branches(ad__plan *p, ad__walk w) { return list_ops(p, &w, 0, true); }

int ad__plan_make(ad__plan *p, int n_roots, ad_var *const roots[], uint32_t after) {
    ad_var *newest = newest_of(n_roots, roots);
    clear(ad__owner(newest), p);
    if (!is_later(newest, after)) return AD_OK;
    ad__walk w = ad__walk_from(newest);
    for (int i = 0; i < n_roots; i++)
        if (is_later(roots[i], after)) ad__walk_add(&w, roots[i]);
    return list_ops(p, &w, after, false);
}

static ad_op *next_holding(ad_op *b) {
    while (b != NULL && ad__branch_of(b)->until != AD__ALWAYS) b = ad__branch_of(b)->prev;
    return b;
}

int ad__plan_of_branches(ad__plan *p, ad_graph *g) {
    ad_op *b = next_holding(g->branch);
    clear(g, p);
    if (b == NULL) return AD_OK;
    ad__walk w = ad__walk_from(ad__out(b));
    while ((b = next_holding(ad__branch_of(b)->prev)) != NULL) ad__walk_add(&w, ad__out(b));
    return list_with_branches(p, w);
}

void ad__plan_free(ad_graph *g, ad__plan *p) {
    if (g->flat != NULL) ad__flat_leave(g, p);
    if (p->ops != NULL) ad__pool_give(&g->pool, p->ops, p->capacity * sizeof *p->ops);
    *p = (ad__plan){ 0 };
}

const ad__plan *ad__plan_for(ad_var *y) {
    ad_graph *g = ad__owner(y);
    ad__plan *p = &g->plan;
    if (p->root == y->creator && p->root != NULL) return p;
    clear(g, p);
    if (y->creator != NULL && list_with_branches(p, ad__walk_with_branches(y))) return NULL;
    p->root = y->creator;
    return p;
}
