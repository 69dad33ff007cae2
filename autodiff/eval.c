/* eval.c: what a Var depends on as a plan, and computing it again in place. */
#include "autodiff/node.h"

static int plan_append(ad_graph *g, ad_op *op) {
    ad__plan *p = &g->plan;
    if (p->n == p->capacity) {
        size_t more = p->capacity ? 2 * p->capacity : 256;
        ad_op **ops = ad__memory_resize(&g->memory, p->ops, p->capacity * sizeof *ops, more * sizeof *ops);
        if (ops == NULL) return ad__no_memory(g, "a plan of evaluation", more * sizeof *ops);
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

const ad__plan *ad__plan_for(ad_var *y) {
    ad_graph *g = ad__graph(y);
    ad__plan *p = &g->plan;
    if (p->root == y->creator && p->root != NULL) return p;
    p->root = NULL;
    p->n = 0;
    p->evaluated = 0;
    p->random = false;
    int rc = AD_OK;
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        if (rc == AD_OK) rc = plan_append(g, op);
        for (int i = 0; i < op->n_in; i++) ad__walk_reach(&w, op->in[i]);
    }
    if (rc != AD_OK) return NULL;
    reverse(p->ops, p->n);
    p->root = y->creator;
    return p;
}

/* Only a result that was out of date gets a new stamp: what was made from its old value is stale, what
   shares one that did not change is not. */
static inline int evaluate_again(const ad_op *op, uint64_t now) {
    ad_var *out = ad__out(op);
    bool stale = (op->type->flags & AD_OP_RANDOM) != 0;
    for (int i = 0; i < op->n_in; i++) stale |= ad__stamp(op->in[i]) > ad__stamp(out);
    int rc = AD_OK;
    if (op->type->flags & AD_OP_VIEW) out->data = op->in[0]->data;
    else rc = op->type->evaluate[out->layout->dtype](op);
    if (stale && rc == AD_OK) ad__set_stamp(out, now);
    return rc;
}

int ad_eval(ad_var *y) {
    if (ad__is_nil(y)) return ad__refuse_nil(y, "eval");
    ad_graph *g = ad__graph(y);
    if (g->code != AD_OK) return g->code;
    const ad__plan *p = ad__plan_for(y);
    if (p == NULL) return AD_ENOMEM;
    if (p->random) g->ops_at_change = g->n_ops; /* what else uses a redrawn Var is stale from now on */
    g->plan.evaluated = 0;
    g->clock++;
    for (size_t i = 0; i < p->n; i++) {
        int rc = evaluate_again(p->ops[i], g->clock);
        if (AD__UNLIKELY(rc != AD_OK)) return rc;
    }
    g->plan.evaluated = g->clock;
    return AD_OK;
}

int ad__check_fresh(ad_var *y, const char *caller) {
    ad_graph *g = ad__graph(y);
    bool evaluated = g->plan.root == y->creator && g->plan.evaluated == g->clock;
    if (g->ops_at_change == 0 || evaluated || y->creator == NULL) return AD_OK;
    const ad_op *stale = NULL;
    int operand = 0;
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) {
            if (ad__stamp(op->in[i]) > ad__stamp(ad__out(op))) stale = op, operand = i;
            ad__walk_reach(&w, op->in[i]);
        }
    if (stale == NULL) return AD_OK;
    char shape[96];
    ad_shape_text(stale->in[operand]->layout->shape, shape, sizeof shape);
    return ad_fail(g, AD_ESTALE, "%s: operand %d %s of %s was changed after %s ran; call ad_eval first",
                   caller, operand, shape, stale->type->name, stale->type->name);
}
