/* checkpoint.c: ad_checkpoint, which keeps only the result of a function and computes the rest again for a gradient. */
#include "autodiff/pass/inner.h"
#include "autodiff/pass/pass.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <string.h>

typedef struct {
    ad_function *fn;
    void *user;
    ad_dtype dtype; /* of the result of fn */
    ad_shape shape;
    void *first_values;     /* the result of the first call of fn, until the op is evaluated; then NULL */
    ad_random_state random; /* the state of the generator before the last evaluation */
} checkpoint_attrs;

static int checkpoint_shape(ad_call *c) {
    const checkpoint_attrs *a = c->attrs;
    c->dtype = a->dtype;
    c->shape = a->shape;
    return AD_OK;
}

/* The result of fn; nil after an error. */
static ad_var *call_function(ad_graph *g, const checkpoint_attrs *a, int n, ad_var *const xs[]) {
    ad_var *y = a->fn(n, xs, a->user);
    if (g->code == AD_OK && (y == NULL || ad__absent(y) || ad__owner(y) != g))
        ad_fail(g, AD_EVALUE, "checkpoint: fn returned no Var in the graph of xs");
    return g->code == AD_OK ? y : ad_nil(g);
}

static ad_var *call_again(const ad_op *op, int n, ad_var *const xs[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    ad_var *y = call_function(g, a, n, xs);
    if (g->code == AD_OK && (y->layout->dtype != a->dtype || !ad_shape_equal(y->layout->shape, a->shape)))
        ad_fail(g, AD_ESHAPE, "checkpoint: fn's result has changed its shape or dtype since it was first called");
    return g->code == AD_OK ? y : ad_nil(g);
}

/* Leaves with the values of the operands; NULL if memory is short. */
static ad_var **stand_ins(ad_graph *g, int n, ad_var *const in[]) {
    ad_var **xs = ad__inner_vars(g, n);
    for (int i = 0; i < n && xs != NULL; i++) xs[i] = ad__stand_in(in[i], ad__needs(in[i]));
    return g->code == AD_OK ? xs : NULL;
}

/* If fn drew random numbers, earlier results that use this one become stale, as for any random op. */
static void mark_if_random(const ad_op *op, const ad_random_state *before) {
    ad_graph *g = ad__owner(ad__out(op));
    if (g->random.counter == before->counter) return;
    g->ops_at_change = g->n_ops;
    ad__set_stamp(ad__out(op), g->clock);
}

static int checkpoint_evaluate(const ad_op *op) {
    checkpoint_attrs *a = ad__attrs_of(op);
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    if (a->first_values != NULL) {
        memcpy(out->data, a->first_values, ad__bytes(out));
        a->first_values = NULL;
        return AD_OK;
    }
    a->random = g->random;
    ad__inner in = ad__inner_begin(g);
    ad_var **xs = stand_ins(g, op->n_in, op->in);
    ad_var *y = xs ? call_again(op, op->n_in, xs) : ad_nil(g);
    if (g->code == AD_OK) memcpy(out->data, y->data, ad__bytes(out));
    ad__inner_end(g, &in);
    if (g->code == AD_OK) mark_if_random(op, &a->random);
    return g->code;
}

/* Calls fn again with the random numbers that it drew in the last evaluation. */
static ad_var *call_as_before(const ad_op *op, ad_var *const xs[]) {
    const checkpoint_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    ad_random_state now = g->random;
    g->random = a->random;
    ad_var *y = call_again(op, op->n_in, xs);
    g->random = now;
    return y;
}

static void checkpoint_backward(const ad_op *op) {
    ad_var *out = ad__out(op);
    ad_graph *g = ad__owner(out);
    ad__inner in = ad__inner_begin(g);
    ad_var **xs = stand_ins(g, op->n_in, op->in);
    ad_var *y = xs ? call_as_before(op, xs) : ad_nil(g);
    ad_var *seed = ad_input(g, out->layout->dtype, out->grad, out->layout->shape);
    if (g->code == AD_OK) ad__backward_inside(y, seed);
    for (int i = 0; i < op->n_in && g->code == AD_OK; i++)
        if (xs[i]->flags & AD__HAS_GRAD) ad__add_gradient(op, i, xs[i]->grad);
    ad__inner_end(g, &in);
}

/* Builds the Vars of fn again, and keeps them. They start at views of the operands, so that the pass ends there. */
static void checkpoint_vjp(const ad_op *op, ad_var *g_var, ad_var *dx[]) {
    ad_graph *g = ad__owner(g_var);
    ad_var **xs = ad__inner_vars(g, op->n_in);
    for (int i = 0; i < op->n_in && xs != NULL; i++) xs[i] = ad_reshape(op->in[i], op->in[i]->layout->shape);
    uint32_t before = g->n_ops;
    ad_var *y = g->code == AD_OK ? call_as_before(op, xs) : ad_nil(g);
    if (g->code == AD_OK) ad__vjp_of(1, &y, &g_var, op->n_in, xs, dx, before);
}

static const ad_optype checkpoint_type = {
    .name = "checkpoint", .doc = "a function whose inner Vars are computed again for a gradient", .arity = -1,
    .flags = AD_OP_MIXED, .attr_size = sizeof(checkpoint_attrs), .shape = checkpoint_shape,
    .evaluate = { checkpoint_evaluate, checkpoint_evaluate },
    .backward = { checkpoint_backward, checkpoint_backward }, .vjp = checkpoint_vjp
};

/* True if v, an operand of an op that fn made, existed before fn ran and requires a gradient. */
static bool is_captured(ad_graph *g, const ad_var *v, ad__arena_place start, uint32_t before) {
    if (!ad__needs(v)) return false;
    return v->creator ? v->creator->id <= before : ad__arena_before(&g->nodes, start, v);
}

static int check_captured(ad_graph *g, ad__arena_place start, uint32_t before) {
    for (const ad_op *op = g->last; op != NULL && op->id > before; op = op->prev)
        for (int i = 0; i < op->n_in; i++)
            if (is_captured(g, op->in[i], start, before))
                return ad_fail(g, AD_EGRAD, "checkpoint: fn gives %s a Var that wants a gradient and is not among "
                               "the xs; pass it there, or ad_detach it", op->type->name);
    return AD_OK;
}

/* Runs fn for the first time. Puts the values of its result into memory of the pool, which the caller gives back. */
static int run_first(ad_graph *g, checkpoint_attrs *a, int n, ad_var *const xs[]) {
    ad__arena_place start = ad__arena_here(&g->nodes);
    uint32_t before = g->n_ops;
    ad__inner in = ad__inner_begin(g);
    ad_var **own = stand_ins(g, n, xs);
    ad_var *y = own ? call_function(g, a, n, own) : ad_nil(g);
    if (g->code == AD_OK && check_captured(g, start, before) == AD_OK) {
        a->dtype = y->layout->dtype;
        a->shape = y->layout->shape;
        a->first_values = ad__pool_take(&g->pool, ad__bytes(y));
        if (a->first_values == NULL) ad_no_memory(g, "a checkpoint", ad__bytes(y));
        else memcpy(a->first_values, y->data, ad__bytes(y));
    }
    ad__inner_end(g, &in);
    return g->code;
}

ad_var *ad_checkpoint(ad_function *fn, void *user, int n, ad_var *const xs[]) {
    ad_graph *g = ad__owner_of_all(n, xs, "checkpoint");
    if (g == NULL || g->code != AD_OK) return ad_nil(g);
    if (fn == NULL) return ad_fail(g, AD_EVALUE, "checkpoint: fn is NULL"), ad_nil(g);
    checkpoint_attrs a = { .fn = fn, .user = user, .random = g->random };
    if (run_first(g, &a, n, xs)) return ad_nil(g);
    void *values = a.first_values;
    ad_var *y = ad_apply(&checkpoint_type, n, xs, &a);
    ad__pool_give(&g->pool, values, (size_t)ad_shape_numel(a.shape) * ad_dtype_size(a.dtype));
    return y;
}
