/* branch.c: ad_branch: an if statement of the program that depends on a value, recorded so that evaluating again can tell
   whether it would go the same way. */
#include "autodiff/graph/node.h"
#include "autodiff/pass/pass.h"

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
                   "branch: the branch at %s went the way of \"%s\" when it was recorded, but %s%sis %g now, which is "
                   "\"%s\"; build the graph again", where, word(taken), name ? name : "its condition", " ", ad_item(cond),
                   word(!taken));
}

static int branch_evaluate(const ad_op *op) {
    ad__branch *b = ad__branch_of(op);
    char where[96];
    ad_write_element(ad__out(op)->layout->dtype, ad__out(op)->data, 0, b->taken);
    if ((ad_item(op->in[0]) != 0) == b->taken) return AD_OK;
    if (b->until == UINT32_MAX) b->until = ad__owner(op->in[0])->n_ops;
    snprintf(where, sizeof where, "op %u, taken at %g,", (unsigned)op->id, b->at);
    return fail_branch(op->in[0], where, b->taken);
}

static const ad_attr branch_list[] = { { "taken", AD_ATTR_BOOL, offsetof(ad__branch, taken) },
                                       { "at", AD_ATTR_DOUBLE, offsetof(ad__branch, at) },
                                       { 0 } };

static const ad_optype branch_type = {
    .name = "branch", .doc = "the way that an if statement of the program went", .arity = 1, .flags = AD_OP_CONSTANT,
    .no_grad = AD_NO_GRAD(0), .attr_size = sizeof(ad__branch), .attrs = branch_list, .shape = branch_shape,
    .evaluate = { branch_evaluate, branch_evaluate }
};

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
        return ad_fail(ad__owner(cond), AD_EBRANCH, "branch: a checkpoint's function asks for more branches than when it "
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

bool ad_branch(ad_var *cond) {
    if (ad__absent(cond)) return ad_refuse_nil(cond, "branch"), false;
    ad_graph *g = ad__owner(cond);
    if (g->code != AD_OK || ad__check_open(cond, "branch")) return false;
    ad__branch b = { .prev = g->branch, .at = ad_item(cond), .taken = ad_item(cond) != 0, .until = UINT32_MAX };
    ad_var *y = ad__apply1(&branch_type, cond, &b);
    if (ad__absent(y) || tell_tapes(cond, b.taken)) return false;
    g->branch = y->creator;
    return b.taken;
}
