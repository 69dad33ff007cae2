/* require.c: whether a Var requires a gradient, and memory for gradients. */
#include "autodiff/graph/flat.h"
#include "autodiff/graph/memory.h"

/* Gives x memory for a gradient that lasts as long as x, whatever scope is open now. */
static int give_grad(ad_var *x) {
    if (x->grad == NULL && (x->grad = ad__lasting_alloc(ad__owner(x), x, ad__bytes(x))) == NULL) return AD_ENOMEM;
    x->flags |= AD__KEEPS;
    return AD_OK;
}

/* ---- Ops that used a leaf before it required a gradient, or ceased to ------------------------------ */

/* The Ops that are newer than x, oldest first, in a buffer of the pool; *n is their number. NULL if there are none, or
   if memory is short, which is the graph's error. */
static ad_op **newer_ops(const ad_var *x, size_t *n) {
    ad_graph *g = ad__owner(x);
    *n = 0;
    for (const ad_op *op = g->last; op != NULL && ad__arena_is_older(&g->nodes, x, op); op = op->prev) ++*n;
    ad_op **ops = *n ? ad_buffer_take(g, *n * sizeof *ops) : NULL;
    if (ops == NULL) return NULL;
    size_t i = *n;
    for (ad_op *op = g->last; i > 0; op = op->prev) ops[--i] = op;
    return ops;
}

static bool should_need(const ad_op *op) {
    if (op->type->flags & AD_OP_CONSTANT || ad__out(op)->flags & AD__CUT) return false;
    for (int i = 0; i < op->n_in; i++)
        if (ad__wants(op, i)) return true;
    return false;
}

/* True if op saves something for its backward only where an operand requires a gradient, and did not do so. */
static bool lacks_saved(const ad_op *op) {
    const ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    if (op->type->shape == NULL || out->flags & AD__SAVED) return false;
    ad_call c = { .graph = g,
                  .type = op->type,
                  .n = op->n_in,
                  .in = op->in,
                  .attrs = ad__attrs_of(op),
                  .dtype = op->in[0]->layout->dtype,
                  .shape = op->in[0]->layout->shape };
    bool enabled = ad_enable_grad(g, true);
    bool lacks = op->type->shape(&c) == AD_OK && c.saved > 0;
    ad_enable_grad(g, enabled);
    return lacks;
}

/* Sets the flags of the results. The Ops whose results' flags changed come to the front; *changed is their number. */
static int update_needs(ad_op **ops, size_t n, size_t *changed, const char *caller) {
    for (size_t i = 0; i < n; i++) {
        ad_op *op = ops[i];
        bool needs = should_need(op);
        if (needs == ad__needs(ad__out(op))) continue;
        if (needs && lacks_saved(op))
            return ad_fail(
                ad__owner(ad__out(op)), AD_EGRAD,
                "%s: %s has used this Var before it required a gradient, and saved nothing for its own; call "
                "%s first, or build the expression again",
                caller, op->type->name, caller);
        ad__out(op)->flags ^= AD__NEEDS;
        ops[(*changed)++] = op;
    }
    return AD_OK;
}

/* Brings the results of the Ops that used x in line with x's flag, so that what a pass computes does not depend on when
   the flag was set. */
static int tell_ops(const ad_var *x, const char *caller) {
    ad_graph *g = ad__owner(x);
    size_t n, changed = 0;
    ad__flat_drop(g);
    ad_op **ops = newer_ops(x, &n);
    if (ops == NULL) return g->code;
    int rc = update_needs(ops, n, &changed, caller);
    for (size_t i = 0; i < changed && rc != AD_OK; i++) ad__out(ops[i])->flags ^= AD__NEEDS;
    for (size_t i = 0; i < changed && rc == AD_OK && g->keep_grads; i++)
        if (ad__needs(ad__out(ops[i]))) rc = give_grad(ad__out(ops[i]));
    ad_buffer_give(g, ops, n * sizeof *ops);
    return rc;
}

static int set_needs(ad_var *x, bool on, const char *caller) {
    int rc = ad__check_leaf(x, caller);
    if (rc != AD_OK || (on && give_grad(x))) return rc ? rc : AD_ENOMEM;
    if (on == ad__needs(x)) return AD_OK;
    x->flags ^= AD__NEEDS;
    rc = tell_ops(x, caller);
    if (rc != AD_OK) x->flags ^= AD__NEEDS;
    return rc;
}

/* ---- the public functions ---------------------------------------------------------------------------- */

ad_var *ad_require_grad(ad_var *x) { return set_needs(x, true, "require_grad") ? ad_nil(x ? ad__owner(x) : NULL) : x; }

bool ad_requires_grad(const ad_var *x) { return x != NULL && ad__needs(x); }

int ad_set_requires_grad(ad_var *x, bool on) { return set_needs(x, on, "set_requires_grad"); }

bool ad_has_grad(const ad_var *x) {
    if (ad__absent(x)) return false;
    ad__flat_show_grads(ad__owner(x));
    return (x->flags & AD__HAS_GRAD) != 0;
}

int ad_retain_grad(ad_var *x) {
    if (ad__absent(x)) return ad_refuse_nil(x, "retain_grad");
    if (!ad_ok(ad__owner(x))) return ad__owner(x)->code;
    if (!ad__needs(x)) return ad_fail(ad__owner(x), AD_EGRAD, "retain_grad: this Var requires no gradient");
    return give_grad(x);
}
