/* scan.c: cumsum, cumprod and linear recurrences along an axis. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/attrs.h"
#include "ops/base/pattern.h"
#include "ops/kernels/reduce/scan.h"
#include "ops/ops.h"

/* ---- helpers: x as [outer, n, inner] around the axis; attributes start with an int axis ------------------- */

static int axis_of(const ad_op *op) { return *(const int *)ad__attrs_of(op); }
static ad__around around(const ad_op *op) {
    ad__around r = ad__around_axis(op->in[0]->layout->shape, axis_of(op));
    if (op->in[0]->layout->numel == 0) r.outer = 0; /* there may be very many empty rows */
    return r;
}

static int scan_shape(ad_call *c) {
    int axis = ad_call_axis(c, *(const int *)c->attrs, c->shape.ndim);
    if (axis < 0) return axis;
    c->scratch = (size_t)ad__around_axis(c->shape, axis).inner * sizeof(double);
    return AD_OK;
}

/* A pointer to element [o,0,0] of an array; NULL if x is NULL. */
static void *part(ad_dtype t, const ad__around *r, int64_t o, void *x) {
    return x ? (char *)x + (size_t)(o * r->n * r->inner) * ad_dtype_size(t) : NULL;
}

/* Longer scans are called back: each element along the axis is a loop of its own. */
enum { LOOPS_MOST = 64 };

/* The axis; -1 if the scan is called back. A scalar becomes a row of one element. */
static int emit_axis(const ad_op *op, ad_emit_array *x) {
    int axis = axis_of(op) < 0 ? axis_of(op) + x->shape.ndim : axis_of(op);
    if (x->shape.ndim == 0) *x = ad__emit_unsqueeze(*x, axis = 0);
    return op->in[0]->layout->numel == 0 || x->shape.dim[axis] > LOOPS_MOST ? -1 : axis;
}

/* y[i] = formula in a = y[i-1] and b = x[i], in f64. */
static int emit_running(ad_emit *e, const ad_op *op, const char *value, const char *slope_a, const char *slope_b) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    int axis = emit_axis(op, &x);
    if (axis < 0) return AD_EABSENT;
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape), last = { .dtype = AD_F64 };
    for (int64_t i = 0; i < x.shape.dim[axis]; i++) {
        ad_emit_array part = ad__emit_part(x, axis, i, 1, 1);
        last = i == 0 ? ad__emit_map(e, AD_F64, part, "x", "g")
                      : ad__emit_map2(e, AD_F64, part.shape, last, part, value, slope_a, slope_b);
        ad__emit_copy(e, last, ad__emit_part(y, axis, i, 1, 1));
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void scan_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(1),       AD_SHAPE(5),    AD_SHAPE(2, 3),
                                AD_SHAPE(2, 3, 4), AD_SHAPE(0, 3), AD_SHAPE(3, 0) };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++) ad_sample(s, &axis, 1, &shapes[i], NULL, NULL);
    const double zeros[] = { 2, 0, 3, -1, 0, 4, 0.5, 2 }, *values[] = { zeros };
    for (int axis = 0; axis < 2; axis++) ad_sample_values(s, &axis, 1, &AD_SHAPE(2, 4), values, 0);
}

/* ---- cumsum ------------------------------------------------------------------------------------------------ */

static int cumsum_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    for (int64_t o = 0; o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_cumsum, r.n, r.inner, false, part(t, &r, o, op->in[0]->data), ad_scratch(op),
                     part(t, &r, o, y->data));
    return AD_OK;
}

static void cumsum_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    for (int64_t o = 0; gx != NULL && o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_cumsum_add, r.n, r.inner, true, part(t, &r, o, y->grad), ad_scratch(op),
                     part(t, &r, o, gx));
}

/* dx[i] = g[i] + h[i+1], where the scan h[i] = h[i+1] + g[i] gives the sum of all later elements. */
static void cumsum_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *ones = ad_expand(ad_scalar(ad__owner(g), g->layout->dtype, 1), g->layout->shape);
    dx[0] = ad_add(g, ad_linear_scan(ones, g, axis_of(op), true, 0));
}
AD_COLD static int cumsum_emit(ad_emit *e, const ad_op *op) { return emit_running(e, op, "a + b", "g", "g"); }
static void cumsum_samples(ad_sampler *s) { scan_samples(s); }

AD_OPTYPE(cumsum, .doc = "running sum along an axis, accumulated in f64", .formula = "y[i] = x[0] + .. + x[i]",
          .gradient = "dx[i] = g[i] + g[i+1] + ..", .arity = 1, .attr_size = sizeof(int), .attrs = ad__axis_list,
          .shape = scan_shape, .evaluate = { cumsum_evaluate, cumsum_evaluate },
          .backward = { cumsum_backward, cumsum_backward }, .vjp = cumsum_vjp, .emit = cumsum_emit,
          .pattern = ad__pattern_running);
ad_var *ad_cumsum(ad_var *x, int axis) { return ad__apply1(&ad_op_cumsum, x, &axis); }

/* ---- cumprod: the gradient does not divide by x, so zeros are allowed ------------------------------------------ */

static int cumprod_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    for (int64_t o = 0; o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_cumprod, r.n, r.inner, part(t, &r, o, op->in[0]->data), ad_scratch(op),
                     part(t, &r, o, y->data));
    return AD_OK;
}

static void cumprod_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    for (int64_t o = 0; gx != NULL && o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_cumprod_back, r.n, r.inner, part(t, &r, o, x->data), part(t, &r, o, y->data),
                     part(t, &r, o, y->grad), ad_scratch(op), part(t, &r, o, gx));
}

/* dx[i] = (x[0] .. x[i-1]) (g[i] + x[i+1] g[i+1] + x[i+1] x[i+2] g[i+2] + ..) */
static void cumprod_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *k = ad__in_dtype(g, AD_F64);
    int axis = axis_of(op);
    ad_var *before = ad__in_dtype(ad__in_dtype(ad_linear_scan(x, NULL, axis, false, 1), g->layout->dtype), AD_F64);
    ad_var *after = ad_linear_scan(x, ad_mul(x, k), axis, true, 0);
    dx[0] = ad__in_dtype(ad_mul(before, ad_add(k, after)), g->layout->dtype);
}
AD_COLD static int cumprod_emit(ad_emit *e, const ad_op *op) { return emit_running(e, op, "a * b", "g * b", "g * a"); }
static void cumprod_samples(ad_sampler *s) { scan_samples(s); }

AD_OPTYPE(cumprod,
          .differs = "the slope of an infinite or NaN element does not divide by it; PyTorch's is NaN",
          .doc = "running product along an axis; the gradient is exact where elements are 0",
          .formula = "y[i] = x[0] .. x[i]",
          .gradient = "dx[i] = y[i-1] (g[i] + x[i+1] g[i+1] + x[i+1] x[i+2] g[i+2] + ..)", .arity = 1,
          .attr_size = sizeof(int), .attrs = ad__axis_list, .shape = scan_shape,
          .evaluate = { cumprod_evaluate, cumprod_evaluate }, .backward = { cumprod_backward, cumprod_backward },
          .vjp = cumprod_vjp, .emit = cumprod_emit, .pattern = ad__pattern_running);
ad_var *ad_cumprod(ad_var *x, int axis) { return ad__apply1(&ad_op_cumprod, x, &axis); }

/* ---- linear_scan: a linear recurrence; its gradient is one too, in the other direction -------------------------- */

typedef struct {
    int axis;
    bool reverse;
    double init;
} linear_attrs;
static const ad_attr linear_list[] = { { "axis", AD_ATTR_INT, offsetof(linear_attrs, axis) },
                                       { "reverse", AD_ATTR_BOOL, offsetof(linear_attrs, reverse) },
                                       { "init", AD_ATTR_DOUBLE, offsetof(linear_attrs, init) },
                                       { 0 } };

static int linear_scan_shape(ad_call *c) {
    if (c->n > 2) return ad_call_fail(c, AD_EVALUE, "%d operands given; takes a and optionally b", c->n);
    if (c->n == 2 && !ad_shape_equal(c->shape, c->in[1]->layout->shape))
        return ad_call_fail(c, AD_ESHAPE, "a and b must have the same shape; ad_expand can repeat one");
    return scan_shape(c);
}

static int linear_scan_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    const linear_attrs *k = ad__attrs_of(op);
    ad__around r = around(op);
    void *b = op->n_in == 2 ? op->in[1]->data : NULL;
    for (int64_t o = 0; o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_linear_scan, r.n, r.inner, k->reverse, k->init, part(t, &r, o, op->in[0]->data),
                     part(t, &r, o, b), ad_scratch(op), part(t, &r, o, y->data));
    return AD_OK;
}

static void linear_scan_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    ad__around r = around(op);
    void *ga = ad_grad_into(op, 0), *gb = op->n_in == 2 ? ad_grad_into(op, 1) : NULL;
    for (int64_t o = 0; o < r.outer; o++)
        AD__BY_DTYPE(t, ad__axis_linear_scan_back, r.n, r.inner, ((const linear_attrs *)ad__attrs_of(op))->reverse,
                     part(t, &r, o, op->in[0]->data), part(t, &r, o, y->data), part(t, &r, o, y->grad), ad_scratch(op),
                     part(t, &r, o, ga), part(t, &r, o, gb));
}

static void linear_scan_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const linear_attrs *k = ad__attrs_of(op);
    ad_dtype t = g->layout->dtype;
    ad_var *m = ad_linear_scan(ad__in_dtype(op->in[0], AD_F64), ad__in_dtype(g, AD_F64), k->axis, !k->reverse, 0);
    dx[0] = ad__in_dtype(ad_mul(m, ad__in_dtype(ad__out(op), AD_F64)), t);
    if (op->n_in == 2) dx[1] = ad__in_dtype(m, t);
}

/* h = a h + b, or a h. */
static ad_emit_array emit_step(ad_emit *e, ad_emit_array a, ad_emit_array h, const ad_emit_array *b) {
    if (b == NULL) return ad__emit_map2(e, AD_F64, a.shape, a, h, "a * b", "g * b", "g * a");
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = a.shape, .names = "a h b", .value = "a * h + b",
                                           .slope = { "g * h", "g * a", "g" }, .n = 3, .in = { a, h, *b } });
}

AD_COLD static int linear_scan_emit(ad_emit *e, const ad_op *op) {
    const linear_attrs *k = ad__attrs_of(op);
    ad_emit_array a = ad_emit_operand(e, op, 0), b = ad_emit_operand(e, op, op->n_in - 1), b_part;
    int axis = emit_axis(op, &b);
    axis = emit_axis(op, &a);
    if (axis < 0) return AD_EABSENT;
    ad_shape one = a.shape;
    one.dim[axis] = 1;
    ad_emit_array y = ad_emit_new(e, a.dtype, a.shape), h = ad_emit_new(e, AD_F64, one);
    ad__emit_fill(e, h, k->init);
    for (int64_t i = 0, n = a.shape.dim[axis]; i < n; i++) {
        int64_t at = k->reverse ? n - 1 - i : i;
        ad__emit_copy(e, h, ad__emit_part(y, axis, at, 1, 1));
        b_part = ad__emit_part(b, axis, at, 1, 1);
        if (i + 1 < n) h = emit_step(e, ad__emit_part(a, axis, at, 1, 1), h, op->n_in > 1 ? &b_part : NULL);
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

/* Each element depends on the one before it, and on a and b there. */
static void linear_scan_pattern(ad_pattern *p, const ad_op *op) {
    ad__around r = around(op);
    bool reverse = ((const linear_attrs *)ad__attrs_of(op))->reverse;
    int64_t step = reverse ? r.inner : -r.inner;
    for (int64_t o = 0; o < r.outer; o++)
        for (int64_t k = 1; k < r.n; k++)
            for (int64_t i = 0; i < r.inner; i++) {
                int64_t at = (o * r.n + (reverse ? r.n - 1 - k : k)) * r.inner + i;
                ad_pattern_follow(p, at, at + step);
                for (int n = 0; n < op->n_in; n++) ad_pattern_add(p, at, 1, n, at + step, 1);
            }
}

static void linear_scan_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(1), AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(2, 3, 4), AD_SHAPE(0, 3) };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            for (int n = 1; n <= 2; n++)
                ad_sample(s, &(linear_attrs){ axis, (i + axis) % 2, i - 0.5 }, n, (ad_shape[]){ shapes[i], shapes[i] },
                          NULL, NULL);
    const double zeros[] = { 2, 0, 3, -1, 0, 4 }, *values[] = { zeros, NULL };
    ad_sample_values(s, &(linear_attrs){ .init = 1 }, 1, &AD_SHAPE(6), values, 0);
    ad_sample_values(s, &(linear_attrs){ .reverse = true }, 2, (ad_shape[]){ AD_SHAPE(6), AD_SHAPE(6) }, values, 0);
}

AD_OPTYPE(linear_scan, .doc = "linear recurrence along an axis, from the end if reverse; b = NULL means zeros",
          .formula = "y[i] = h[i-1], h[i] = a[i] h[i-1] + b[i], h[-1] = init",
          .gradient = "da[i] = m[i] y[i], db[i] = m[i], m[i] = g[i+1] + a[i+1] m[i+1]", .arity = -1,
          .attr_size = sizeof(linear_attrs), .attrs = linear_list, .shape = linear_scan_shape,
          .evaluate = { linear_scan_evaluate, linear_scan_evaluate },
          .backward = { linear_scan_backward, linear_scan_backward }, .vjp = linear_scan_vjp,
          .emit = linear_scan_emit, .pattern = linear_scan_pattern);

ad_var *ad_linear_scan(ad_var *a, ad_var *b, int axis, bool reverse, double init) {
    linear_attrs k = { axis, reverse, init };
    return b ? ad__apply2(&ad_op_linear_scan, a, b, &k) : ad__apply1(&ad_op_linear_scan, a, &k);
}
