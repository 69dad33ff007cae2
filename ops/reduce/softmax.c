/* softmax.c: softmax and log_softmax along an axis. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/reduce/rows.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: rows along an axis ---------------------------------------------------------------------- */

static int axis_of(const ad_op *op) { return ((const ad__axis_attrs *)ad__attrs_of(op))->axis; }
static ad__around around(const ad_op *op) {
    ad__around r = ad__around_axis(op->in[0]->layout->shape, axis_of(op));
    if (op->in[0]->layout->numel == 0) r.outer = 0; /* there may be very many empty rows */
    return r;
}

/* A scalar is a row of one element. Scratch holds four rows: zeros, and copies of y, g and gx if the axis is not the
   last one. */
static int row_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const ad__axis_attrs *)c->attrs)->axis, c->shape.ndim);
    if (axis < 0) return axis;
    c->scratch = 4 * (size_t)c->shape.dim[axis] * ad_dtype_size(c->dtype);
    return AD_OK;
}

typedef void value_fn(ad_dtype t, int64_t n, const void *x, void *y);
typedef void slope_fn(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx);

/* A loop over the rows of an op: the lines of elements along the axis. */
typedef struct {
    const ad_op *op;
    value_fn *value;
    slope_fn *slope;
    ad_dtype t;
    ad__around r;
    char *gx;
    bool fresh;
} job;

static job job_of(const ad_op *op) {
    return (job){ .op = op, .t = ad__out(op)->layout->dtype, .r = around(op) };
}

/* There are outer * inner rows; their elements are inner apart. */
static void over_rows(const ad_op *op, ad_loop_fn *body, job *j) {
    ad_parallel(ad__op_team(op), j->r.outer * j->r.inner, 0, j->r.n, body, j);
}

static size_t row_start(const job *j, int64_t row) {
    return (size_t)(row / j->r.inner * j->r.n * j->r.inner + row % j->r.inner) * ad_dtype_size(j->t);
}

/* y = f(x) row by row. Rows that are not contiguous are copied to scratch. */
static void value_rows(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_var *x = j->op->in[0], *y = ad__out(j->op);
    char *row_x = ad__scratch_of(j->op, worker), *row_y = row_x + (size_t)j->r.n * ad_dtype_size(j->t);
    for (int64_t i = from; i < to; i++) {
        size_t at = row_start(j, i);
        if (j->r.inner == 1) {
            j->value(j->t, j->r.n, (char *)x->data + at, (char *)y->data + at);
            continue;
        }
        ad__load_row(j->t, j->r.n, j->r.inner, (char *)x->data + at, row_x);
        j->value(j->t, j->r.n, row_x, row_y);
        ad__store_row(j->t, j->r.n, j->r.inner, row_y, (char *)y->data + at);
    }
}

/* gx += f(y, g) row by row. */
static void slope_rows(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_var *y = ad__out(j->op);
    int64_t n = j->r.n, inner = j->r.inner;
    size_t row = (size_t)n * ad_dtype_size(j->t);
    char *zeros = ad__scratch_of(j->op, worker), *row_y = zeros + row, *row_g = row_y + row, *row_gx = row_g + row;
    if (j->fresh) memset(zeros, 0, row);
    for (int64_t i = from; i < to; i++) {
        size_t at = row_start(j, i);
        if (inner == 1) {
            j->slope(j->t, n, (char *)y->data + at, (char *)y->grad + at, j->fresh ? zeros : j->gx + at, j->gx + at);
            continue;
        }
        ad__load_row(j->t, n, inner, (char *)y->data + at, row_y);
        ad__load_row(j->t, n, inner, (char *)y->grad + at, row_g);
        if (!j->fresh) ad__load_row(j->t, n, inner, j->gx + at, row_gx);
        j->slope(j->t, n, row_y, row_g, j->fresh ? zeros : row_gx, row_gx);
        ad__store_row(j->t, n, inner, row_gx, j->gx + at);
    }
}

static int evaluate_rows(const ad_op *op, value_fn *f) {
    job j = job_of(op);
    j.value = f;
    over_rows(op, value_rows, &j);
    return AD_OK;
}

static void back_over_rows(const ad_op *op, slope_fn *f) {
    job j = job_of(op);
    j.slope = f, j.gx = ad_grad_claim(op, 0, &j.fresh);
    if (j.gx != NULL) over_rows(op, slope_rows, &j);
}

static void axis_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "1 5 2,3 2,35 2,3,4 0,3");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            ad_sample(s, &(ad__axis_attrs){ axis, i % 2 }, 1, &shapes[i], NULL, NULL);
    const double huge[] = { 1e4, -1e4, 0, 1e4, 1e4, 1e4, -1e4, -1e4, -1e4 }, *values[] = { huge };
    ad_sample_values(s, &(ad__axis_attrs){ -1, false }, 1, &AD_SHAPE(3, 3), values, AD_SAMPLE_KINK);
    const double infinite[] = { -INFINITY, 0, 1 }, *edges[] = { infinite };
    ad_sample_values(s, &(ad__axis_attrs){ 0, false }, 1, &AD_SHAPE(3), edges, AD_SAMPLE_KINK);
}

/* The exponentials less the largest element, and their sums along the axis. */
typedef struct {
    ad_emit_array x, largest, powers, sum;
} exponentials;

/* Of a row of -inf, the largest element is -inf, or 0 if so wanted. False if there are no elements. */
static bool emit_exponentials(ad_emit *e, const ad_op *op, bool zero_if_none, exponentials *p) {
    ad_emit_array x = p->x = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0) return false;
    int axis = axis_of(op) < 0 ? axis_of(op) + x.shape.ndim : axis_of(op);
    unsigned mask = x.shape.ndim ? 1u << axis : 0;
    p->largest = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, x, mask, "x == x ? x : -INFINITY", NULL);
    if (zero_if_none) p->largest = ad__emit_map(e, x.dtype, p->largest, "x == -INFINITY ? 0 : x", NULL);
    p->powers = ad__emit_map2(e, x.dtype, x.shape, x, p->largest, "exp(a - b)", "g * y", NULL);
    p->sum = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, p->powers, mask, "x", "g");
    return true;
}

/* ---- softmax -------------------------------------------------------------------------------------------- */

static void softmax_row(ad_dtype t, int64_t n, const void *x, void *y) {
    AD__BY_DTYPE(t, ad__row_softmax, n, x, y);
}
static void softmax_row_back(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx) {
    AD__BY_DTYPE(t, ad__row_softmax_back, n, y, g, base, gx);
}
static int softmax_evaluate(const ad_op *op) { return evaluate_rows(op, softmax_row); }
static void softmax_backward(const ad_op *op) { back_over_rows(op, softmax_row_back); }
static void softmax_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad__out(op);
    dx[0] = ad_mul(y, ad_sub(g, ad_sum_axis(ad_mul(g, y), axis_of(op), true)));
}
AD_COLD static int softmax_emit(ad_emit *e, const ad_op *op) {
    exponentials p;
    if (!emit_exponentials(e, op, false, &p)) return AD_EABSENT;
    ad_emit_result(e, op, ad__emit_map2(e, p.x.dtype, p.x.shape, p.powers, p.sum, "a / b", "g / b", "-(g * y / b)"));
    return AD_OK;
}

static void softmax_samples(ad_sampler *s) { axis_samples(s); }

AD_OPTYPE(softmax, .doc = "exp(x) divided by its sum along an axis, without overflow",
          .formula = "exp(x) / sum exp(x)", .gradient = "y (g - sum(g y))", .arity = 1, .flags = AD_OP_IN_PLACE,
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list, .shape = row_shape,
          .evaluate = { softmax_evaluate, softmax_evaluate }, .backward = { softmax_backward, softmax_backward },
          .vjp = softmax_vjp, .emit = softmax_emit);
ad_var *ad_softmax(ad_var *x, int axis) { return ad__apply1(&ad_op_softmax, x, &(ad__axis_attrs){ axis, false }); }

/* softmax(x / temperature): a temperature above 1 flattens the distribution; one near 0 selects the largest element
   (Hinton et al. 2015). */
ad_var *ad_softmax_with(ad_var *x, int axis, double temperature) {
    if (temperature > 0 && temperature - temperature == 0) return ad_softmax(ad_muls(x, 1 / temperature), axis);
    if (ad__absent(x)) return ad_softmax(x, axis);
    ad_fail(ad__owner(x), AD_EVALUE, "softmax_with: %s: temperature %g is not a finite number > 0",
            ad_shape_str(x->layout->shape).text, temperature);
    return ad_nil(ad__owner(x));
}

/* ---- log_softmax ---------------------------------------------------------------------------------------- */

static void log_softmax_row(ad_dtype t, int64_t n, const void *x, void *y) {
    AD__BY_DTYPE(t, ad__row_log_softmax, n, x, y);
}
static void log_softmax_row_back(ad_dtype t, int64_t n, const void *y, const void *g, const void *base, void *gx) {
    AD__BY_DTYPE(t, ad__row_log_softmax_back, n, y, g, base, gx);
}
static int log_softmax_evaluate(const ad_op *op) { return evaluate_rows(op, log_softmax_row); }
static void log_softmax_backward(const ad_op *op) { back_over_rows(op, log_softmax_row_back); }
static void log_softmax_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_sub(g, ad_mul(ad_exp(ad__out(op)), ad_sum_axis(g, axis_of(op), true)));
}
AD_COLD static int log_softmax_emit(ad_emit *e, const ad_op *op) {
    exponentials p;
    if (!emit_exponentials(e, op, true, &p)) return AD_EABSENT;
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = p.x.dtype, .shape = p.x.shape, .names = "x s m",
                                                          .value = "x - m - log(s)", .slope = { "g", "-g / s" },
                                                          .n = 3, .in = { p.x, p.sum, p.largest } }));
    return AD_OK;
}

static void log_softmax_samples(ad_sampler *s) { axis_samples(s); }

AD_OPTYPE(log_softmax, .doc = "log of softmax along an axis, accurate where softmax rounds to 0 or 1",
          .formula = "x - log sum exp(x)", .gradient = "g - exp(y) sum(g)", .arity = 1, .flags = AD_OP_IN_PLACE,
          .attr_size = sizeof(ad__axis_attrs), .attrs = ad__axis_list, .shape = row_shape,
          .evaluate = { log_softmax_evaluate, log_softmax_evaluate },
          .backward = { log_softmax_backward, log_softmax_backward }, .vjp = log_softmax_vjp,
          .emit = log_softmax_emit);
ad_var *ad_log_softmax(ad_var *x, int axis) {
    return ad__apply1(&ad_op_log_softmax, x, &(ad__axis_attrs){ axis, false });
}
