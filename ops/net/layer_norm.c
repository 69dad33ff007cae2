/* layer_norm.c: layer normalisation (Ba, Kiros and Hinton 2016): normalises each row to mean 0 and variance 1, then
   applies a weight and a bias. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/net/norm.h"
#include "ops/net/norm.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: operands are x, then an optional weight, then an optional bias ------------------------------ */

typedef struct {
    ad_shape normalized; /* the last sizes of x; their elements are one row */
    double eps;
    bool has_weight, has_bias;
} norm_attrs;

static const norm_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }
static int weight_index(const ad_op *op) { return attrs_of(op)->has_weight ? 1 : -1; }
static int bias_index(const ad_op *op) { return attrs_of(op)->has_bias ? 1 + attrs_of(op)->has_weight : -1; }
static const void *row_data(const ad_op *op, int i) { return i < 0 ? NULL : op->in[i]->data; }

static int check_shapes(const ad_call *c) {
    const norm_attrs *a = c->attrs;
    ad_shape last = c->shape;
    int rc = ad__check_norm_operands(c, 1, a->has_weight, a->has_bias);
    if (rc != AD_OK) return rc;
    last.ndim = a->normalized.ndim;
    if (last.ndim < 1 || last.ndim > c->shape.ndim)
        return ad_call_fail(c, AD_ESHAPE, "cannot normalise over the last %d axes, %s", last.ndim,
                            ad_shape_str(a->normalized).text);
    for (int i = 0; i < last.ndim; i++) last.dim[i] = c->shape.dim[c->shape.ndim - last.ndim + i];
    if (!ad_shape_equal(last, a->normalized))
        return ad_call_fail(c, AD_ESHAPE, "the last axes are not %s, the normalised shape",
                            ad_shape_str(a->normalized).text);
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->in[i]->layout->shape, last))
            return ad_call_fail(c, AD_ESHAPE, "weight and bias must be %s", ad_shape_str(a->normalized).text);
    return ad__check_eps(c, a->eps);
}

static int layer_norm_shape(ad_call *c) {
    const norm_attrs *a = c->attrs;
    int rc = check_shapes(c);
    if (rc != AD_OK) return rc;
    int64_t n = ad_shape_numel(a->normalized), rows = n ? ad_shape_numel(c->shape) / n : 0;
    c->saved = (size_t)rows * sizeof(ad__moments) + 1;
    c->scratch = (size_t)n * sizeof(double);
    return AD_OK;
}

static ad__norm_rows rows_of(const ad_op *op) {
    return ad__norm_rows_of(op, ad_shape_numel(attrs_of(op)->normalized));
}

/* ---- layer_norm ---------------------------------------------------------------------------------------------- */

static ad__moments moments_of(const ad__norm_rows *r, const void *x, double eps) {
    double n = (double)r->n, mean = AD__BY_DTYPE(r->t, ad__array_sum, r->n, x) / n;
    double squares = AD__BY_DTYPE(r->t, ad__squares_about, r->n, mean, x);
    return (ad__moments){ mean, ad__norm_scale(squares / n, eps) };
}

/* Rows or columns that threads share: the cost of an element of a row, and columns that one thread takes, at least. */
enum { COST = 4, LINE = 32 };
typedef struct {
    const ad_op *op;
    ad__norm_rows r;
    void *to; /* the gradient of x; the sums of columns */
    bool fresh;
} job;

static void rows_evaluate(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_op *op = j->op;
    const void *w = row_data(op, weight_index(op)), *b = row_data(op, bias_index(op));
    ad__moments *kept = ad_saved(op);
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        const void *x = ad__norm_row(&j->r, op->in[0]->data, i);
        kept[i] = moments_of(&j->r, x, attrs_of(op)->eps);
        AD__BY_DTYPE(j->r.t, ad__normalize, j->r.n, kept[i], x, w, b, ad__norm_row(&j->r, ad__out(op)->data, i));
    }
}

static int layer_norm_evaluate(const ad_op *op) {
    job j = { op, rows_of(op), NULL, false };
    ad_parallel(ad__op_team(op), j.r.rows, 0, COST * j.r.n, rows_evaluate, &j);
    return AD_OK;
}

/* With h = g w: gx += scale (h - mean h - (x - mean) scale^2 mean(h (x - mean))). */
static void rows_backward(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_op *op = j->op;
    const ad__norm_rows r = j->r;
    const void *w = row_data(op, weight_index(op));
    void *weighed = ad__scratch_of(op, worker);
    const ad__moments *kept = ad_saved(op);
    for (int64_t i = from; i < to; i++) {
        const void *g = ad__norm_row(&r, ad__out(op)->grad, i), *h = w ? weighed : g;
        void *gx = ad__norm_row(&r, j->to, i);
        if (w != NULL) AD__BY_DTYPE(r.t, ad__weigh, r.n, g, w, weighed);
        if (j->fresh) memset(gx, 0, r.row);
        AD__BY_DTYPE(r.t, ad__normalize_back, r.n, kept[i], ad__norm_row(&r, op->in[0]->data, i), h, gx);
    }
}

/* dw += g (x - mean) scale, summed over rows. */
static void weight_columns(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad__moments *kept = ad_saved(j->op);
    size_t at = (size_t)from * ad_dtype_size(j->r.t);
    double *sums = (double *)j->to + from;
    (void)worker;
    memset(sums, 0, (size_t)(to - from) * sizeof *sums);
    for (int64_t i = 0; i < j->r.rows; i++)
        AD__BY_DTYPE(j->r.t, ad__normalized_times, to - from, kept[i],
                     (void *)((char *)ad__norm_row(&j->r, j->op->in[0]->data, i) + at),
                     (void *)((char *)ad__norm_row(&j->r, ad__out(j->op)->grad, i) + at), sums);
}

/* db += g summed over rows. */
static void bias_columns(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad__channels s = { j->r.rows, to - from, 1, j->r.n };
    double *sums = (double *)j->to + from;
    const void *g = (const char *)ad__out(j->op)->grad + (size_t)from * ad_dtype_size(j->r.t);
    (void)worker;
    memset(sums, 0, (size_t)(to - from) * sizeof *sums);
    AD__BY_DTYPE(j->r.t, ad__channel_sums, s, g, sums);
}

static void columns_backward(const ad_op *op, int operand, ad_loop_fn *body) {
    if (operand < 0 || !ad_wants_grad(op, operand)) return;
    job j = { op, rows_of(op), ad_scratch(op), false };
    ad__by_columns(op, j.r.n, LINE, j.r.rows, body, &j);
    ad__add_sums(op, operand, j.to);
}

static void layer_norm_backward(const ad_op *op) {
    job j = { .op = op, .r = rows_of(op) };
    j.to = ad_grad_claim(op, 0, &j.fresh);
    if (j.to != NULL) ad_parallel(ad__op_team(op), j.r.rows, 0, COST * j.r.n, rows_backward, &j);
    columns_backward(op, weight_index(op), weight_columns);
    columns_backward(op, bias_index(op), bias_columns);
}

/* The same formulas in Vars in f64, with x as [rows, n]. */
static void layer_norm_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad__norm_rows r = rows_of(op);
    ad_shape flat = AD_SHAPE(r.rows, r.n), s = attrs_of(op)->normalized;
    ad_dtype t = g->layout->dtype;
    ad_var *x = ad_reshape(ad__in_dtype(op->in[0], AD_F64), flat), *d = ad_sub(x, ad_mean_axis(x, 1, true));
    ad_var *scale = ad__norm_scale_rule(ad_mean_axis(ad_square(d), 1, true), attrs_of(op)->eps);
    ad_var *normal = ad_mul(d, scale);
    int w = weight_index(op), b = bias_index(op);
    g = ad_reshape(g, flat);
    ad_var *h = ad__in_dtype(w > 0 ? ad_mul(g, ad_reshape(op->in[w], AD_SHAPE(r.n))) : g, AD_F64);
    g = ad__in_dtype(g, AD_F64);
    ad_var *along = ad_mul(normal, ad_mean_axis(ad_mul(h, normal), 1, true));
    ad_var *across = ad_mul(scale, ad_sub(ad_sub(h, ad_mean_axis(h, 1, true)), along));
    if (ad_vjp_wants(op, 0)) dx[0] = ad_reshape(ad__in_dtype(across, t), op->in[0]->layout->shape);
    if (w > 0 && ad_vjp_wants(op, w)) dx[w] = ad_reshape(ad__in_dtype(ad_sum_axis(ad_mul(g, normal), 0, false), t), s);
    if (b > 0 && ad_vjp_wants(op, b)) dx[b] = ad_reshape(ad__in_dtype(ad_sum_axis(g, 0, false), t), s);
}

AD_COLD static int layer_norm_emit(ad_emit *e, const ad_op *op) {
    ad__norm_rows r = rows_of(op);
    ad_emit_array x = ad_emit_operand(e, op, 0), z, y;
    const int w = weight_index(op), b = bias_index(op);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    z = ad__emit_normal(e, ad__emit_reshape(e, x, AD_SHAPE(r.rows, r.n)), 1u << 1, attrs_of(op)->eps);
    y = ad_emit_new(e, r.t, z.shape);
    ad_emit_loop l = { .dtype = AD_F64, .shape = z.shape, .names = "z w b", .value = "z * w + b",
                       .slope = { "g * w", "g * z", "g" }, .n = 3, .into = &y };
    l.in[0] = z;
    if (w > 0) l.in[1] = ad__emit_reshape(e, ad_emit_operand(e, op, w), AD_SHAPE(r.n));
    if (b > 0) l.in[2] = ad__emit_reshape(e, ad_emit_operand(e, op, b), AD_SHAPE(r.n));
    if (w < 0 && b < 0) l.names = "z", l.value = "z", l.slope[0] = "g", l.n = 1;
    else if (b < 0) l.names = "z w", l.value = "z * w", l.n = 2, l.slope[2] = NULL;
    else if (w < 0) l.names = "z b", l.value = "z + b", l.n = 2, l.in[1] = l.in[2], l.slope[0] = l.slope[1] = "g";
    ad_emit_run(e, &l);
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void layer_norm_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "5 2,3 2,3,4 2,19 0,3 1,1");
    const double lo[] = { -2, 0.5, -1 }, hi[] = { 2, 2, 1 };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int last = 1; last <= shapes[i].ndim && last < 3; last++)
            for (int k = 0; k < 4; k++) {
                ad_shape row = { .ndim = last };
                for (int a = 0; a < last; a++) row.dim[a] = shapes[i].dim[shapes[i].ndim - last + a];
                norm_attrs a = { row, i % 2 ? 1e-5 : 0.1, k & 1, k & 2 };
                ad_sample(s, &a, 1 + a.has_weight + a.has_bias, (ad_shape[]){ shapes[i], row, row }, lo, hi);
            }
    const double equal[] = { 3, 3, 3, 100, 100, 101 }, *values[] = { equal };
    ad_sample_values(s, &(norm_attrs){ AD_SHAPE(3), 1e-5, false, false }, 1, &AD_SHAPE(2, 3), values,
                     AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
}

static const ad_attr norm_list[] = { { "normalized_shape", AD_ATTR_SHAPE, offsetof(norm_attrs, normalized) },
                                     { "eps", AD_ATTR_DOUBLE, offsetof(norm_attrs, eps) },
                                     { "has_weight", AD_ATTR_BOOL, offsetof(norm_attrs, has_weight) },
                                     { "has_bias", AD_ATTR_BOOL, offsetof(norm_attrs, has_bias) },
                                     { 0 } };

AD_OPTYPE(layer_norm,
          .doc = "normalises x over its last axes, which have normalized_shape, then applies an optional weight and an "
                 "optional bias of that shape. The variance is biased: it divides by the number of elements",
          .formula = "(x - mean) scale w + b, scale = 1 / sqrt(variance + eps)",
          .gradient = "with h = g w and z = (x - mean) scale: scale (h - mean h - z mean(h z)); g z; g, the last two "
                      "summed over rows",
          .arity = -1, .attr_size = sizeof(norm_attrs), .attrs = norm_list, .shape = layer_norm_shape,
          .evaluate = { layer_norm_evaluate, layer_norm_evaluate },
          .backward = { layer_norm_backward, layer_norm_backward }, .vjp = layer_norm_vjp, .emit = layer_norm_emit);
ad_var *ad_layer_norm(ad_var *x, ad_shape normalized_shape, ad_var *weight, ad_var *bias, double eps) {
    norm_attrs a = { normalized_shape, eps, weight != NULL, bias != NULL };
    return ad_apply(&ad_op_layer_norm, 1 + a.has_weight + a.has_bias, (ad_var *[]){ x, weight ? weight : bias, bias },
                    &a);
}
