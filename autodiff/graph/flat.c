/* flat.c: what a flat program owes to the nodes of its plan, and its end. */
#include "autodiff/graph/flat.h"

/* ---- the memory of one-element results ------------------------------------------------------------ */

/* Where the value of a small result lies in its node, with its gradient behind it: see record() in apply.c. */
static void *place_in_node(const ad_op *op) {
    char *p = (char *)ad__saved_slot(op);
    if (ad__out(op)->flags & AD__SAVED) p += sizeof(void *);
    if (ad__out(op)->flags & AD__REPLAYS) p += sizeof(ad__replay);
    return p;
}

bool ad__flat_may_hold(const ad_op *op) {
    const ad_var *x = ad__out(op);
    if (x->layout->numel != 1 || x->flags & AD__SHOWN || x->data != place_in_node(op)) return false;
    return x->grad == NULL ? !ad__needs(x) : x->grad == (char *)x->data + offsetof(ad__slot, grad);
}

static void copy(const ad_var *x, char *to) {
    memcpy(to, x->data, sizeof(double));
    if (x->grad != NULL) memcpy(to + offsetof(ad__slot, grad), x->grad, sizeof(double));
}

void ad__flat_move(ad_var *x, void *to) {
    copy(x, to);
    x->data = to;
    if (x->grad != NULL) x->grad = (char *)to + offsetof(ad__slot, grad);
}

/* Notes that x may not move, and brings it back to its node. Returns false where a pass runs: this must wait then, and
   the node has a copy until the pass ends. */
static bool stay(const ad_var *x) {
    if (ad__absent(x) || x->creator == NULL || x->layout->numel != 1) return true;
    ad_graph *g = ad__owner(x);
    ad__out(x->creator)->flags |= AD__SHOWN;
    if (g->flat == NULL || !ad__flat_holds(g->flat, x)) return true;
    ad__flat_drop(g);
    if (g->flat == NULL) return true;
    copy(x, place_in_node(x->creator));
    return false;
}

void *ad__lasting_data(const ad_var *x) { return stay(x) ? x->data : place_in_node(x->creator); }

void *ad__lasting_grad(const ad_var *x) {
    if (x->grad == NULL || stay(x)) return x->grad;
    return (char *)place_in_node(x->creator) + offsetof(ad__slot, grad);
}

/* ---- stamps ------------------------------------------------------------------------------------------ */

void ad__flat_stamp(const ad__flat *p, size_t n, uint64_t now) {
    for (size_t k = 0; k < n; k++) {
        const ad_op *op = p->ops[k];
        ad_var *out = ad__out(op);
        bool stale = (op->type->flags & AD_OP_RANDOM) != 0;
        for (int i = 0; i < op->n_in; i++) stale |= ad__stamp(op->in[i]) > ad__stamp(out);
        if (stale) ad__set_stamp(out, now);
    }
}

/* Leaves may have changed again since p->pending. Meanwhile these have the stamps that they had then. */
void ad__flat_settle_stamps(ad__flat *p) {
    uint64_t now = p->pending;
    for (size_t i = 0; i < p->n_leaves; i++) {
        const ad__flat_leaf *l = &p->leaves[i];
        p->aside[i].stamp = ad__stamp(l->var);
        if (p->aside[i].stamp > now) ad__set_stamp(l->var, l->changed ? now : 0);
    }
    ad__flat_stamp(p, p->n_ops, now);
    for (size_t i = 0; i < p->n_leaves; i++) ad__set_stamp(p->leaves[i].var, p->aside[i].stamp);
    p->pending = 0;
}

/* ---- gradients ---------------------------------------------------------------------------------------- */

void ad__flat_settle_grads(ad__flat *p) {
    for (size_t k = 0; k < p->n_ops; k++) ad__out(p->ops[k])->flags &= (uint16_t)~AD__HAS_GRAD;
    p->zeroed = p->marked = false;
}

bool ad__flat_zero(ad__flat *p) {
    if (p->running || !p->marked || !p->alone) return false;
    for (size_t i = 0; i < p->n_leaves; i++) p->leaves[i].var->flags &= (uint16_t)~AD__HAS_GRAD;
    p->zeroed = true;
    return true;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void release(ad_graph *g, ad__flat *p) {
    if (p->slopes != NULL) ad__pool_give(&g->pool, p->slopes, p->slopes_size);
    if (p->shares != NULL) ad__pool_give(&g->pool, p->shares, p->shares_size);
    if (p->values != NULL) ad__pool_give(&g->pool, p->values, p->values_size);
    if (p->own_ops > 0) ad__pool_give(&g->pool, p->ops, p->own_ops * sizeof *p->ops);
    ad__pool_give(&g->pool, p, p->size);
}

void ad__flat_drop(ad_graph *g) {
    ad__flat *p = g->flat;
    if (p == NULL) return;
    p->doomed = p->running || g->rule != NULL;
    if (p->doomed) return;
    ad__flat_settle(g);
    ad__flat_show_grads(g);
    for (size_t k = 0; k < p->n_ops; k++)
        if (ad__flat_holds(p, ad__out(p->ops[k]))) ad__flat_move(ad__out(p->ops[k]), place_in_node(p->ops[k]));
    if (g->plan.ops == p->ops) g->plan.runs = 0;
    g->flat = NULL;
    release(g, p);
}

void ad__flat_leave(ad_graph *g, ad__plan *plan) {
    enum { USED = 32 }; /* steps of the clock, by which a program has been worth its while */
    ad__flat *p = g->flat;
    if (p == NULL || plan->ops != p->ops) return;
    if (g->clock - p->made >= USED) plan->patience = 0;
    ad__flat_drop(g);
    if (g->flat == NULL) return;
    p->own_ops = plan->capacity;
    plan->ops = NULL;
    plan->capacity = 0;
}

void ad__flat_enable(ad_graph *g, bool on) {
    ad__flat_drop(g);
    g->no_flat = !on;
}
