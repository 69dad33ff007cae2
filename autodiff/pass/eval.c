/* eval.c: evaluating a graph again in place, and detecting stale results. */
#include "autodiff/graph/plan.h"
#include "autodiff/graph/walk.h"
#include "autodiff/pass/pass.h"

/* Evaluates an Op with the random numbers that another Op drew, and without moving state. */
static int evaluate_replayed(const ad_op *op) {
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    const ad__replay *r = ad__replay_of(op);
    ad_random_state now = g->random;
    g->random = r->start ? (ad_random_state){ r->start->seed, r->start->counter + r->at.counter } : r->at;
    g->recomputing++;
    int rc = op->type->evaluate[out->layout->dtype](op);
    g->recomputing--;
    g->random = now;
    return rc;
}

static int evaluate_special(const ad_op *op) {
    ad_var *out = ad__out(op);
    if (op->type->flags & AD_OP_VIEW) return out->data = op->in[0]->data, AD_OK;
    return out->flags & AD__REPLAYS ? evaluate_replayed(op) : op->type->evaluate[out->layout->dtype](op);
}

/* Evaluates one Op. Its result gets a new stamp only if it was stale. So Ops made from a changed value become stale,
   and Ops that share an unchanged value do not. */
static inline int evaluate_again(const ad_op *op, uint64_t now) {
    ad_var *out = ad__out(op);
    bool stale = (op->type->flags & AD_OP_RANDOM) != 0;
    for (int i = 0; i < op->n_in; i++) stale |= ad__stamp(op->in[i]) > ad__stamp(out);
    bool special = (op->type->flags & (AD_OP_VIEW | AD_OP_RANDOM | AD_OP_STATE)) != 0;
    int rc = AD__UNLIKELY(special) ? evaluate_special(op) : op->type->evaluate[out->layout->dtype](op);
    if (stale && rc == AD_OK) ad__set_stamp(out, now);
    return rc;
}

int ad_eval(ad_var *y) {
    if (ad__absent(y)) return ad_refuse_nil(y, "eval");
    ad_graph *g = ad__owner(y);
    if (g->code != AD_OK || ad__check_open(y, "eval")) return g->code;
    const ad__plan *p = ad__plan_for(y);
    if (p == NULL) return AD_ENOMEM;
    if (p->random) g->ops_at_change = g->n_ops; /* other Ops that use a Var drawn again become stale */
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
    ad_graph *g = ad__owner(y);
    bool evaluated = g->plan.root == y->creator && g->plan.evaluated == g->clock;
    if (g->ops_at_change == 0 || evaluated || y->creator == NULL) return AD_OK;
    const ad_op *stale = NULL;
    int operand = 0;
    ad__walk w = ad__walk_from(y);
    ad__walk_branches(&w);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) {
            if (ad__stamp(op->in[i]) > ad__stamp(ad__out(op))) stale = op, operand = i;
            ad__walk_reach(&w, op->in[i]);
        }
    if (stale == NULL) return AD_OK;
    const ad_var *changed = stale->in[operand];
    const char *name = ad_name_of(changed);
    return ad_fail(g, AD_ESTALE, "%s: operand %d %s%s%s of %s was changed after %s ran; call ad_eval first", caller,
                   operand, name ? name : "", name ? " " : "", ad_shape_str(changed->layout->shape).text,
                   stale->type->name, stale->type->name);
}
