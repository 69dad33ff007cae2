/* softmax.c: softmax and log_softmax along an axis. */
#include "ops/attrs.h"
#include "ops/kernels/kernels.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: rows along an axis ---------------------------------------------------------------------- */

static int axis_of(const ad_op *op) { return ((const ad__axis_attrs *)ad__attrs(op))->axis; }
static ad__around around(const ad_op *op) { return ad__around_axis(op->in[0]->layout->shape, axis_of(op)); }

/* A scalar counts as a row of one element. Room for four rows: zeros, and three of an axis that is not the last. */
static int row_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, c->shape.ndim);
    if (axis < 0) return axis;
    c->scratch = 4 * (size_t)c->shape.dim[axis] * ad_dtype_size(c->dtype);
    return AD_OK;
}

typedef void value_fn(ad_dtype t, int64_t n, const void *x, void *y);
typedef void slope_fn(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx);

/* y = f(x) row by row; rows that are not contiguous go through scratch. */
static int over_rows(const ad_op *op, value_fn *f) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    size_t size = ad_dtype_size(t);
    ad__around r = around(op);
    char *row = ad__graph(y)->scratch;
    for (int64_t o = 0; o < r.outer; o++)
        for (int64_t i = 0; i < r.inner; i++) {
            size_t at = (size_t)(o * r.n * r.inner + i) * size;
            if (r.inner == 1) {
                f(t, r.n, (char *)x->data + at, (char *)y->data + at);
                continue;
            }
            ad__load_row(t, r.n, r.inner, (char *)x->data + at, row);
            f(t, r.n, row, row + (size_t)r.n * size);
            ad__store_row(t, r.n, r.inner, row + (size_t)r.n * size, (char *)y->data + at);
        }
    return AD_OK;
}

/* gx += f(y, g) row by row. */
static void back_over_rows(const ad_op *op, slope_fn *f) {
    const ad_var *y = ad__out(op);
    bool fresh;
    char *gx = ad_grad_claim(op, 0, &fresh);
    if (gx == NULL) return;
    ad_dtype t = y->layout->dtype;
    size_t size = ad_dtype_size(t);
    ad__around r = around(op);
    size_t row = (size_t)r.n * size;
    char *zeros = ad__graph(y)->scratch, *row_y = zeros + row, *row_g = row_y + row, *row_gx = row_g + row;
    if (fresh) memset(zeros, 0, row);
    for (int64_t o = 0; o < r.outer; o++)
        for (int64_t i = 0; i < r.inner; i++) {
            size_t at = (size_t)(o * r.n * r.inner + i) * size;
            if (r.inner == 1) {
                f(t, r.n, (char *)y->data + at, (char *)y->grad + at, fresh ? zeros : gx + at, gx + at);
                continue;
            }
            ad__load_row(t, r.n, r.inner, (char *)y->data + at, row_y);
            ad__load_row(t, r.n, r.inner, (char *)y->grad + at, row_g);
            if (!fresh) ad__load_row(t, r.n, r.inner, gx + at, row_gx);
            f(t, r.n, row_y, row_g, fresh ? zeros : row_gx, row_gx);
            ad__store_row(t, r.n, r.inner, row_gx, gx + at);
        }
}

static void axis_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(1), AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(2, 35), AD_SHAPE(2, 3, 4), AD_SHAPE(0, 3) };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            ad_sample(s, &(ad__axis_attrs){ axis, i % 2 }, 1, &shapes[i], NULL, NULL);
    const double huge[] = { 1e4, -1e4, 0, 1e4, 1e4, 1e4, -1e4, -1e4, -1e4 }, *values[] = { huge };
    ad_sample_values(s, &(ad__axis_attrs){ -1, false }, 1, &AD_SHAPE(3, 3), values, AD_SAMPLE_KINK);
    const double infinite[] = { -INFINITY, 0, 1 }, *edges[] = { infinite };
    ad_sample_values(s, &(ad__axis_attrs){ 0, false }, 1, &AD_SHAPE(3), edges, AD_SAMPLE_KINK);
}

/* ---- softmax -------------------------------------------------------------------------------------------- */

static void softmax_row(ad_dtype t, int64_t n, const void *x, void *y) {
    if (t == AD_F32) ad__softmax_f32(n, x, y);
    else ad__softmax_f64(n, x, y);
}
static void softmax_row_back(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx) {
    if (t == AD_F32) ad__softmax_back_f32(n, y, g, base, gx);
    else ad__softmax_back_f64(n, y, g, base, gx);
}
static int softmax_evaluate(const ad_op *op) { return over_rows(op, softmax_row); }
static void softmax_backward(const ad_op *op) { back_over_rows(op, softmax_row_back); }
static void softmax_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad__out(op);
    dx[0] = ad_mul(y, ad_sub(g, ad_sum_axis(ad_mul(g, y), axis_of(op), true)));
}
static void softmax_samples(ad_sampler *s) { axis_samples(s); }

AD_OPTYPE(softmax, .doc = "exp(x) over its sum along an axis; finite for elements of any size",
          .formula = "exp(x) / sum exp(x)", .gradient = "y (g - sum(g y))", .arity = 1, .flags = AD_OP_IN_PLACE,
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list, .shape = row_shape,
          .evaluate = { softmax_evaluate, softmax_evaluate }, .backward = { softmax_backward, softmax_backward },
          .vjp = softmax_vjp);
ad_var *ad_softmax(ad_var *x, int axis) { return ad__apply1(&ad_op_softmax, x, &(ad__axis_attrs){ axis, false }); }

/* softmax(x / temperature): above 1 it evens out, towards 0 it picks the largest (Hinton et al. 2015). */
ad_var *ad_softmax_t(ad_var *x, int axis, double temperature) {
    if (temperature > 0 && temperature - temperature == 0) return ad_softmax(ad_muls(x, 1 / temperature), axis);
    char shape[96];
    if (ad__is_nil(x)) return ad_softmax(x, axis);
    ad_shape_text(x->layout->shape, shape, sizeof shape);
    ad_fail(ad__graph(x), AD_EVALUE, "softmax_t: %s: temperature %g is not a number > 0", shape, temperature);
    return ad__nil(ad__graph(x));
}

/* ---- log_softmax ---------------------------------------------------------------------------------------- */

static void log_softmax_row(ad_dtype t, int64_t n, const void *x, void *y) {
    if (t == AD_F32) ad__log_softmax_f32(n, x, y);
    else ad__log_softmax_f64(n, x, y);
}
static void log_softmax_row_back(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx) {
    if (t == AD_F32) ad__log_softmax_back_f32(n, y, g, base, gx);
    else ad__log_softmax_back_f64(n, y, g, base, gx);
}
static int log_softmax_evaluate(const ad_op *op) { return over_rows(op, log_softmax_row); }
static void log_softmax_backward(const ad_op *op) { back_over_rows(op, log_softmax_row_back); }
static void log_softmax_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_sub(g, ad_mul(ad_exp(ad__out(op)), ad_sum_axis(g, axis_of(op), true)));
}
static void log_softmax_samples(ad_sampler *s) { axis_samples(s); }

AD_OPTYPE(log_softmax, .doc = "logarithm of softmax along an axis, accurate where softmax rounds to 0 or 1",
          .formula = "x - log sum exp(x)", .gradient = "g - exp(y) sum(g)", .arity = 1, .flags = AD_OP_IN_PLACE,
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list, .shape = row_shape,
          .evaluate = { log_softmax_evaluate, log_softmax_evaluate },
          .backward = { log_softmax_backward, log_softmax_backward }, .vjp = log_softmax_vjp);
ad_var *ad_log_softmax(ad_var *x, int axis) {
    return ad__apply1(&ad_op_log_softmax, x, &(ad__axis_attrs){ axis, false });
}
