/* eval.c: evaluating a graph again in place, and detecting stale results. */
#include "autodiff/graph/anomaly.h"
#include "autodiff/graph/plan.h"
#include "autodiff/graph/walk.h"
#include "autodiff/pass/flat.h"
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

/* An Op that is a view, draws random numbers or has state. */
static int evaluate_special(const ad_op *op) {
    ad_var *out = ad__out(op);
    if (op->type->flags & AD_OP_VIEW) return out->data = op->in[0]->data, AD_OK;
    return out->flags & AD__REPLAYS ? evaluate_replayed(op) : op->type->evaluate[out->layout->dtype](op);
}

int ad__evaluate_op(const ad_op *op) {
    unsigned special = op->type->flags & (AD_OP_VIEW | AD_OP_RANDOM | AD_OP_STATE);
    return special ? evaluate_special(op) : op->type->evaluate[ad__out(op)->layout->dtype](op);
}

/* Evaluates one Op. Its result gets a new stamp only if it was stale. So Ops made from a changed value become stale,
   and Ops that share an unchanged value do not. */
static inline int evaluate_again(const ad_op *op, uint64_t now) {
    ad_var *out = ad__out(op);
    unsigned special = op->type->flags & (AD_OP_VIEW | AD_OP_RANDOM | AD_OP_STATE);
    bool stale = AD__UNLIKELY(special) && op->type->flags & AD_OP_RANDOM;
    for (int i = 0; i < op->n_in; i++) stale |= ad__stamp(op->in[i]) > ad__stamp(out);
    int rc = AD__UNLIKELY(special) ? evaluate_special(op) : op->type->evaluate[out->layout->dtype](op);
    if (stale && rc == AD_OK) ad__set_stamp(out, now);
    return rc;
}

static int interpret(ad_graph *g, const ad__plan *p) {
    ad__flat_settle(g);
    for (size_t i = 0; i < p->n; i++) {
        int rc = evaluate_again(p->ops[i], g->clock);
        if (AD__UNLIKELY(rc != AD_OK)) return rc;
    }
    return AD_OK;
}

/* The same, looking for the first value that is not finite. */
static int interpret_watched(ad_graph *g, const ad__plan *p, const ad_var *y) {
    ad__flat_settle(g);
    int rc = AD_OK;
    for (size_t i = 0; i < p->n && rc == AD_OK; i++) {
        rc = evaluate_again(p->ops[i], g->clock);
        if (rc == AD_OK) rc = ad__check_value_again(p->ops[i]);
    }
    return rc == AD_OK ? ad__check_result(y) : rc;
}

static int evaluate(ad_graph *g, const ad__plan *p, const ad_var *y) {
    if (AD__UNLIKELY(g->anomalies)) return interpret_watched(g, p, y);
    return ad__flat_ready(g) ? ad__flat_evaluate(g->flat) : interpret(g, p);
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
    int rc = evaluate(g, p, y);
    if (AD__UNLIKELY(rc != AD_OK)) return rc;
    g->plan.evaluated = g->clock;
    return AD_OK;
}

/* What a search for stale Ops found. */
typedef struct {
    const ad_op *op;     /* a stale one; NULL if there is none */
    int operand;         /* the operand that is newer than its result */
    uint32_t since;      /* the oldest branch; the two fields below are of y's Op and the visited Ops newer than that */
    uint32_t first;      /* the oldest one */
    uint64_t first_time; /* the stamp of the one written longest ago */
} staleness;

static staleness search_from(const ad_var *y) {
    staleness s = { .since = UINT32_MAX, .first = y->creator->id, .first_time = ad__stamp(y) };
    for (const ad_op *b = ad__owner(y)->branch; b != NULL; b = ad__branch_of(b)->prev) s.since = b->id;
    return s;
}

static void find_stale(ad_var *y, staleness *s) {
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        uint64_t time = ad__stamp(ad__out(op));
        for (int i = 0; i < op->n_in; i++) {
            if (ad__stamp(op->in[i]) > time) s->op = op, s->operand = i;
            ad__walk_reach(&w, op->in[i]);
        }
        if (op->id <= s->since) continue;
        s->first = op->id < s->first ? op->id : s->first;
        s->first_time = time < s->first_time ? time : s->first_time;
    }
}

/* The newest branch, from b on, that holds for y or for an Op that y depends on. */
static ad_op *next_branch(ad_op *b, const ad_var *y, const staleness *s) {
    uint32_t id = y->creator->id;
    for (; b != NULL; b = ad__branch_of(b)->prev) {
        const ad__branch_info *a = ad__branch_of(b);
        if ((a->from < id || id < a->first) && s->first <= a->until) break;
    }
    return b;
}

/* A stale condition, unless y and the Vars that it was made of were written after the change: an expression that is
   recorded then has asked again. */
static void find_changed_condition(const ad_var *y, staleness *s) {
    ad_op *b = next_branch(ad__owner(y)->branch, y, s);
    if (b == NULL) return;
    ad__walk w = ad__walk_from(ad__out(b));
    while ((b = next_branch(ad__branch_of(b)->prev, y, s)) != NULL) ad__walk_add(&w, ad__out(b));
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) {
            uint64_t time = ad__stamp(op->in[i]);
            if (time > ad__stamp(ad__out(op)) && time > s->first_time) s->op = op, s->operand = i;
            ad__walk_reach(&w, op->in[i]);
        }
}

static __attribute__((noinline)) int search(ad_var *y, const char *caller) {
    ad_graph *g = ad__owner(y);
    ad__flat_settle(g);
    staleness s = search_from(y);
    find_stale(y, &s);
    if (s.op == NULL) find_changed_condition(y, &s);
    if (s.op == NULL) return AD_OK;
    const ad_var *changed = s.op->in[s.operand];
    const char *name = ad_name_of(changed);
    return ad_fail(g, AD_ESTALE, "%s: operand %d %s%s%s of %s was changed after %s ran; call ad_eval first", caller,
                   s.operand, name ? name : "", name ? " " : "", ad_shape_str(changed->layout->shape).text,
                   s.op->type->name, s.op->type->name);
}

int ad__check_fresh(ad_var *y, const char *caller) {
    const ad_graph *g = ad__owner(y);
    bool evaluated = g->plan.root == y->creator && g->plan.evaluated == g->clock;
    return g->ops_at_change == 0 || evaluated || y->creator == NULL ? AD_OK : search(y, caller);
}
