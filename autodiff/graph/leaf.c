/* leaf.c: leaves, which are the Vars that no op made: constructors and changes. */
#include <math.h>
#include <string.h>

#include "autodiff/graph/memory.h"

/* A leaf without memory for its elements; arrays: how many it will take. Those of one element are behind the node, so
   that they mostly share its cache line. NULL, with the graph's error, if it cannot be made. */
static ad_var *leaf_new(ad_graph *g, ad_dtype t, ad_shape s, int arrays, const char *caller) {
    if (g == NULL || g->code != AD_OK) return NULL;
    if (t != AD_F32 && t != AD_F64)
        return ad_fail(g, AD_EDTYPE, "%s: %d is not a dtype; use AD_F32 or AD_F64", caller, (int)t), NULL;
    if (!ad__shape_valid(s)) {
        ad_fail(g, AD_ESHAPE, "%s: %s (%d dimensions) is not a valid shape: it needs 0 to %d dimensions, sizes of 0 or "
                "more, and fewer than 2^%d elements",
                caller, ad_shape_str(s).text, s.ndim, AD_MAX_NDIM, AD__NUMEL_BITS);
        return NULL;
    }
    const ad__layout *l = ad__layout_make(g, t, &s);
    if (l == NULL) return NULL;
    size_t inside = l->numel == 1 ? (size_t)arrays * sizeof(double) : 0;
    ad_var *x = ad_scope_alloc(g, sizeof *x + inside);
    if (x == NULL) return NULL;
    *x = (ad_var){ .layout = l, .data = inside ? (double *)(void *)(x + 1) : NULL };
    ad__set_stamp(x, g->clock);
    return x;
}

/* A leaf with its own memory, not initialised. NULL, with the graph's error, if it cannot be made. */
static ad_var *leaf_owned(ad_graph *g, ad_dtype t, ad_shape s, const char *caller) {
    ad_var *x = leaf_new(g, t, s, 1, caller);
    if (x != NULL && x->data == NULL) x->data = ad_scope_array(g, ad__bytes(x));
    return x && x->data ? x : NULL;
}

/* The same with memory for its gradient. */
static ad_var *leaf_with_grad(ad_graph *g, ad_dtype t, ad_shape s, const char *caller) {
    ad_var *x = leaf_new(g, t, s, 2, caller);
    if (x == NULL) return NULL;
    if (x->data != NULL) return x->grad = (double *)x->data + 1, x;
    x->data = ad_scope_array(g, ad__bytes(x));
    x->grad = x->data ? ad_scope_array(g, ad__bytes(x)) : NULL;
    return x->grad ? x : NULL;
}

static ad_var *or_nil(const ad_graph *g, ad_var *x) { return x ? x : ad_nil(g); }

/* data NULL: zeros */
static ad_var *copy_to(ad_var *x, const void *data) {
    if (x == NULL) return NULL;
    if (ad__bytes(x) == 0) return x;
    if (data != NULL) memcpy(x->data, data, ad__bytes(x));
    else memset(x->data, 0, ad__bytes(x));
    return x;
}

ad_var *ad_param(ad_graph *g, ad_dtype t, const void *data, ad_shape s) {
    ad_var *x = copy_to(leaf_with_grad(g, t, s, "param"), data);
    if (x == NULL) return ad_nil(g);
    x->flags |= AD__NEEDS | AD__KEEPS;
    return x;
}

ad_var *ad_tensor(ad_graph *g, ad_dtype t, const void *data, ad_shape s) {
    return or_nil(g, copy_to(leaf_owned(g, t, s, "tensor"), data));
}

ad_var *ad_input(ad_graph *g, ad_dtype t, void *data, ad_shape s) {
    ad_var *x = leaf_new(g, t, s, 0, "input");
    if (x == NULL) return ad_nil(g);
    if (data == NULL && x->layout->numel > 0)
        return ad_fail(g, AD_EVALUE, "input: data is NULL; ad_zeros makes an array that the graph owns"), ad_nil(g);
    x->data = data ? data : x; /* loops over no elements may add 0 to the address, which NULL does not allow */
    x->flags |= AD__BORROWED;
    return x;
}

ad_var *ad_scalar(ad_graph *g, ad_dtype t, double value) { return ad_full(g, t, value, AD_SCALAR); }
ad_var *ad_zeros(ad_graph *g, ad_dtype t, ad_shape s) { return or_nil(g, copy_to(leaf_owned(g, t, s, "zeros"), NULL)); }
ad_var *ad_ones(ad_graph *g, ad_dtype t, ad_shape s) { return ad_full(g, t, 1, s); }

/* Sets element i to start + i step. */
static void fill(ad_var *x, double start, double step) {
    for (int64_t i = 0; i < x->layout->numel; i++)
        ad_write_element(x->layout->dtype, x->data, i, start + (double)i * step);
}

ad_var *ad_full(ad_graph *g, ad_dtype t, double value, ad_shape s) {
    ad_var *x = leaf_owned(g, t, s, "full");
    if (x != NULL) fill(x, value, 0);
    return or_nil(g, x);
}

ad_var *ad_arange(ad_graph *g, ad_dtype t, double start, double stop, double step) {
    double n = ceil((stop - start) / step);
    if (!(n < 0x1p59)) {
        ad_fail(g, AD_EVALUE, "arange: %g to %g by %g is not a finite sequence, or is too long", start, stop, step);
        return ad_nil(g);
    }
    ad_var *x = leaf_owned(g, t, AD_SHAPE(n > 0 ? (int64_t)n : 0), "arange");
    if (x != NULL) fill(x, start, step);
    return or_nil(g, x);
}

/* Both ends are exact: the second half is counted from the end. */
static double spaced(double start, double stop, int64_t n, int64_t i) {
    if (i == 0) return start;
    double step = (stop - start) / (double)(n - 1);
    return i < (n + 1) / 2 ? start + (double)i * step : stop - (double)(n - 1 - i) * step;
}

ad_var *ad_linspace(ad_graph *g, ad_dtype t, double start, double stop, int64_t n) {
    ad_var *x = leaf_owned(g, t, AD_SHAPE(n), "linspace");
    for (int64_t i = 0; x != NULL && i < n; i++) ad_write_element(t, x->data, i, spaced(start, stop, n, i));
    return or_nil(g, x);
}

ad_var *ad_logspace(ad_graph *g, ad_dtype t, double start, double stop, int64_t n, double base) {
    ad_var *x = leaf_owned(g, t, AD_SHAPE(n), "logspace");
    for (int64_t i = 0; x != NULL && i < n; i++) ad_write_element(t, x->data, i, pow(base, spaced(start, stop, n, i)));
    return or_nil(g, x);
}

ad_var *ad_eye(ad_graph *g, ad_dtype t, int64_t n) { return ad_eye_with(g, t, n, n); }

ad_var *ad_eye_with(ad_graph *g, ad_dtype t, int64_t n, int64_t m) {
    ad_var *x = copy_to(leaf_owned(g, t, AD_SHAPE(n, m), "eye"), NULL);
    for (int64_t i = 0; x != NULL && i < n && i < m; i++) ad_write_element(t, x->data, i * m + i, 1);
    return or_nil(g, x);
}

/* ---- leaves with random numbers ------------------------------------------------------------------ */

typedef struct {
    ad__draw_fn *draw;
    ad_dtype dtype;
    ad_shape shape;
} draw_attrs;

static int draw_shape(ad_call *c) {
    const draw_attrs *a = c->attrs;
    c->dtype = a->dtype;
    c->shape = a->shape;
    return AD_OK;
}

static int draw_evaluate(const ad_op *op) {
    const draw_attrs *a = ad__attrs_of(op);
    const ad_var *y = ad__out(op);
    ad_graph *g = ad__owner(y);
    ad__random_draw(g->team, &g->random, a->draw, a->dtype, y->layout->numel, y->data);
    return AD_OK;
}

/* The operand is the Var whose draws it repeats, so that it is evaluated before. */
static const ad_optype draw_type = { .name = "random",
                                     .doc = "random numbers that repeat those of the operand",
                                     .arity = 1,
                                     .flags = AD_OP_CONSTANT | AD_OP_RANDOM | AD_OP_MIXED,
                                     .no_grad = AD_NO_GRAD(0),
                                     .attr_size = sizeof(draw_attrs),
                                     .shape = draw_shape,
                                     .evaluate = { draw_evaluate, draw_evaluate } };

bool ad__is_draw(const ad_op *op) { return op->type == &draw_type; }

/* In an expression that repeats the draws of a Var which ad_eval may draw again, the leaf is an Op. */
static ad_var *drawn(ad_graph *g, ad_dtype t, ad_shape s, ad__draw_fn *draw, const char *caller) {
    if (g != NULL && g->repeat != NULL && g->code == AD_OK && (t == AD_F32 || t == AD_F64))
        return ad__apply1(&draw_type, g->repeat->source, &(draw_attrs){ draw, t, s });
    ad_var *x = leaf_owned(g, t, s, caller);
    if (x == NULL) return ad_nil(g);
    ad__random_draw(g->team, &g->random, draw, t, x->layout->numel, x->data);
    x->flags |= AD__DRAWN;
    return x;
}

ad_var *ad_rand(ad_graph *g, ad_dtype t, ad_shape s) { return drawn(g, t, s, ad_random_uniform, "rand"); }
ad_var *ad_randn(ad_graph *g, ad_dtype t, ad_shape s) { return drawn(g, t, s, ad_random_normal, "randn"); }

/* ---- changing a leaf -------------------------------------------------------------------------- */

int ad__check_leaf(ad_var *x, const char *caller) {
    if (ad__absent(x)) return ad_refuse_nil(x, caller);
    if (ad__owner(x)->code == AD_OK && x->creator != NULL)
        return ad_fail(ad__owner(x), AD_EVALUE, "%s: this Var was made by %s; only leaves can be changed", caller,
                       x->creator->type->name);
    return ad__owner(x)->code;
}

void ad__leaf_changed(ad_var *x) {
    ad_graph *g = ad__owner(x);
    ad__set_stamp(x, ++g->clock);
    g->ops_at_change = g->n_ops;
}

void *ad_data_mut(ad_var *x) {
    if (ad__check_leaf(x, "data_mut")) return NULL;
    ad__leaf_changed(x);
    return x->data;
}

int ad_set(ad_var *x, const void *data) {
    int rc = ad__check_leaf(x, "set");
    if (rc != AD_OK) return rc;
    if (x->flags & AD__BORROWED)
        return ad_fail(ad__owner(x), AD_EVALUE,
                       "set: an ad_input's memory is the caller's; write to it and call ad_data_mut");
    if (data == NULL && x->layout->numel > 0) return ad_fail(ad__owner(x), AD_EVALUE, "set: data is NULL");
    ad__leaf_changed(x);
    if (data != NULL) memmove(x->data, data, ad__bytes(x));
    return AD_OK;
}

int ad_rebind(ad_var *x, void *data) {
    int rc = ad__check_leaf(x, "rebind");
    if (rc != AD_OK) return rc;
    if (!(x->flags & AD__BORROWED) || (data == NULL && x->layout->numel > 0))
        return ad_fail(ad__owner(x), AD_EVALUE, "rebind: the Var must be made by ad_input, and data must not be NULL");
    ad__leaf_changed(x);
    x->data = data ? data : x; /* as in ad_input */
    return AD_OK;
}
