/* branch.c: ad_branch: an if statement of the program that depends on a value, recorded so that evaluating again can
   tell whether it would go the same way. */
#include "autodiff/graph/flat.h"
#include "autodiff/graph/plan.h"

/* ---- the op: its result is the answer, 1 or 0 ---------------------------------------------------- */

static int branch_shape(ad_call *c) {
    if (ad_shape_numel(c->shape) != 1)
        return ad_call_fail(c, AD_ESHAPE, "a condition has one element; reduce it with ad_max, ad_min or ad_sum");
    c->shape = AD_SCALAR;
    return AD_OK;
}

static const char *word(bool taken) { return taken ? "true" : "false"; }

/* The error of a branch that would go the other way. where is a text such as "op 17". */
static int fail_branch(const ad_var *cond, const char *where, bool taken) {
    const char *name = ad_name_of(cond);
    return ad_fail(ad__owner(cond), AD_EBRANCH,
                   "branch: the branch at %s went the way of \"%s\" when it was recorded, but %s is %g now, which is "
                   "\"%s\"; build the graph again",
                   where, word(taken), name ? name : "its condition", ad_item(cond), word(!taken));
}

/* The branch does not hold for Ops with an id greater than until. */
static void end_branch(const ad_op *op, uint32_t until) {
    ad_graph *g = ad__owner(ad__out(op));
    if (ad__branch_of(op)->until == AD__ALWAYS) ad__branch_of(op)->until = until;
    if (until > g->branches_ended) g->branches_ended = until;
}

static int branch_evaluate(const ad_op *op) {
    ad__branch_info *b = ad__branch_of(op);
    char where[96];
    ad_write_element(ad__out(op)->layout->dtype, ad__out(op)->data, 0, b->taken);
    if ((ad_item(op->in[0]) != 0) == b->taken) return AD_OK;
    end_branch(op, ad__owner(op->in[0])->n_ops);
    snprintf(where, sizeof where, "op %u, taken at %g,", (unsigned)op->id, b->at);
    return fail_branch(op->in[0], where, b->taken);
}

static const ad_attr branch_list[] = { { "taken", AD_ATTR_BOOL, offsetof(ad__branch_info, taken) },
                                       { "at", AD_ATTR_DOUBLE, offsetof(ad__branch_info, at) },
                                       { 0 } };

static const ad_optype branch_type = { .name = "branch",
                                       .doc = "the way that an if statement of the program went",
                                       .arity = 1,
                                       .flags = AD_OP_CONSTANT,
                                       .no_grad = AD_NO_GRAD(0),
                                       .attr_size = sizeof(ad__branch_info),
                                       .attrs = branch_list,
                                       .shape = branch_shape,
                                       .evaluate = { branch_evaluate, branch_evaluate } };

/* ---- answers within a function that is called again ----------------------------------------------- */

static int record_answer(ad_graph *g, ad__tape *t, bool taken) {
    if (t->n == t->capacity) {
        size_t more = t->capacity ? 2 * t->capacity : 64;
        bool *answers = ad__pool_resize(&g->pool, t->answers, t->capacity, more);
        if (answers == NULL) return ad_no_memory(g, "branches", more);
        t->answers = answers;
        t->capacity = more;
    }
    t->answers[t->n++] = taken;
    return AD_OK;
}

static int compare_answer(ad__tape *t, const ad_var *cond, bool taken) {
    char where[64];
    if (t->next >= t->n)
        return ad_fail(ad__owner(cond), AD_EBRANCH,
                       "branch: a checkpoint's function asks for more branches than when it "
                       "was first called; build the graph again");
    if (t->answers[t->next++] == taken) return AD_OK;
    snprintf(where, sizeof where, "number %zu in a checkpoint's function", t->next);
    return fail_branch(cond, where, !taken);
}

/* Records the answer for each function that runs for the first time, and compares it in those that run again. */
static int tell_tapes(const ad_var *cond, bool taken) {
    ad_graph *g = ad__owner(cond);
    int rc = AD_OK;
    for (ad__tape *t = g->tape; t != NULL && rc == AD_OK; t = t->outer)
        rc = t->replays ? compare_answer(t, cond, taken) : record_answer(g, t, taken);
    return rc;
}

/* Marks the results of stale Ops of a plan, and of what depends on them. */
static void mark_stale(const ad__plan *p) {
    for (size_t k = 0; k < p->n; k++) {
        ad_op *op = p->ops[k];
        ad_var *out = ad__out(op);
        for (int i = 0; i < op->n_in; i++)
            if (ad__stamp(op->in[i]) > ad__stamp(out) || op->in[i]->flags & AD__REACHED) out->flags |= AD__REACHED;
    }
}

/* If leaves have changed, the branches whose conditions are stale do not hold for the Ops recorded since. */
static int end_stale_branches(ad_graph *g) {
    if (g->branch == NULL || ad__branch_of(g->branch)->clock == g->clock) return AD_OK;
    ad__plan p = { 0 };
    ad__flat_settle(g);
    int rc = ad__plan_of_branches(&p, g);
    mark_stale(&p);
    for (ad_op *b = g->branch; b != NULL && rc == AD_OK; b = ad__branch_of(b)->prev)
        if (ad__out(b)->flags & AD__REACHED) end_branch(b, g->ops_at_change);
    for (size_t k = 0; k < p.n; k++) ad__out(p.ops[k])->flags &= (uint16_t)~AD__REACHED;
    ad__plan_free(g, &p);
    return rc;
}

bool ad_branch(ad_var *cond) {
    if (ad__absent(cond)) return ad_refuse_nil(cond, "branch"), false;
    ad_graph *g = ad__owner(cond);
    if (g->code != AD_OK || ad__check_open(cond, "branch")) return false;
    if (end_stale_branches(g)) return false;
    ad__branch_info b = { .prev = g->branch,
                          .at = ad_item(cond),
                          .taken = ad_item(cond) != 0,
                          .from = g->branches_ended,
                          .until = AD__ALWAYS,
                          .first = g->branch ? ad__branch_of(g->branch)->first : g->n_ops + 1,
                          .clock = g->clock };
    ad_var *y = ad__apply1(&branch_type, cond, &b);
    if (ad__absent(y) || tell_tapes(cond, b.taken)) return false;
    g->branch = y->creator;
    g->plan.root = NULL; /* the plan lacks this branch */
    return b.taken;
}
