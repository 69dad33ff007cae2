/* scan.c: cumsum, cumprod and linear recurrences along an axis. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/attrs.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
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

/* The form in C, as a function of x around the axis. The text stands in the loop over rows; NULL: no slope. */
AD_COLD static int emit_rows(ad_emit *e, const ad_op *op, const char *text, const char *slope) {
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = ad__code_of_rows(e, op, axis_of(op), false);
    c.text = text, c.slope[0] = slope;
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

/* Loops over i, where k is the place of element i. */
#define UP "for (long i = 0; i < n; i++) {\nconst long k = at + i * inner;\n"
#define DOWN "for (long i = n - 1; i >= 0; i--) {\nconst long k = at + i * inner;\n"

static void scan_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "1 5 2,3 2,3,4 0,3 3,0");
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
AD_COLD static int cumsum_emit(ad_emit *e, const ad_op *op) {
    return emit_rows(e, op, AD__ROWS("double sum = 0;\n" UP "sum += x[k];\ny[k] = (T)sum;\n}\n"),
                     AD__ROWS("double sum = 0;\n" DOWN "sum += g[k];\nd[k] += (T)sum;\n}\n"));
}
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
AD_COLD static int cumprod_emit(ad_emit *e, const ad_op *op) {
    return emit_rows(e, op, AD__ROWS("double product = 1;\n" UP "product *= x[k];\ny[k] = (T)product;\n}\n"),
                     AD__ROWS("double sum = 0;\n" DOWN "sum += g[k];\nd[k] += (T)(i > 0 ? sum * y[k - inner] : sum);\n"
                              "sum *= x[k];\n}\n"));
}
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

/* Loops as UP and DOWN, from the end if flag is 1; h0 is init. */
#define TURNED "const long k = at + (flag ? n - 1 - i : i) * inner;\n"
#define SCAN(STEP)                                                                                                     \
    AD__ROWS("double h = h0[0];\nfor (long i = 0; i < n; i++) {\n" TURNED "y[k] = (T)h;\nh = " STEP ";\n}\n")
#define SCAN_SLOPE(D)                                                                                                  \
    AD__ROWS("double m = 0;\nfor (long i = n - 1; i >= 0; i--) {\n" TURNED "d[k] += (T)" D ";\n"                       \
             "m = g[k] + a[k] * m;\n}\n")

AD_COLD static int linear_scan_emit(ad_emit *e, const ad_op *op) {
    const linear_attrs *k = ad__attrs_of(op);
    const ad__layout *l = ad__out(op)->layout;
    if (l->numel == 0) return AD_EABSENT;
    ad_emit_code c = ad__code_of_rows(e, op, axis_of(op), k->reverse);
    bool has_b = c.n > 1;
    c.names = has_b ? "a b h0" : "a h0";
    c.text = has_b ? SCAN("a[k] * h + b[k]") : SCAN("a[k] * h");
    c.slope[0] = SCAN_SLOPE("(m * y[k])"), c.slope[1] = has_b ? SCAN_SLOPE("m") : NULL;
    c.in[c.n] = ad_emit_new(e, AD_F64, AD_SCALAR);
    ad__emit_fill(e, c.in[c.n++], k->init);
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
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
    ad_shape shapes[5];
    AD__SHAPES(shapes, "1 5 2,3 2,3,4 0,3");
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
