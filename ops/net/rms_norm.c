/* rms_norm.c: normalisation by the root mean square (Zhang and Sennrich 2019): layer normalisation without a mean. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/net/norm.h"
#include "ops/net/norm.h"
#include "ops/ops.h"

#include <string.h>

typedef struct {
    double eps;
} rms_attrs;
static const ad_attr rms_list[] = { { "eps", AD_ATTR_DOUBLE, offsetof(rms_attrs, eps) }, { 0 } };

static double eps_of(const ad_op *op) { return ((const rms_attrs *)ad__attrs_of(op))->eps; }
static const void *weight_of(const ad_op *op) { return op->n_in > 1 ? op->in[1]->data : NULL; }

/* Scratch holds a row of f64. */
static int rms_norm_shape(ad_call *c) {
    ad_shape x = c->shape;
    if (c->n > 2) return ad_call_fail(c, AD_EVALUE, "takes x and an optional weight");
    if (x.ndim == 0) return ad_call_fail(c, AD_ESHAPE, "a scalar has no last axis");
    int64_t n = x.dim[x.ndim - 1];
    if (c->n > 1 && !ad_shape_equal(c->in[1]->layout->shape, AD_SHAPE(n)))
        return ad_call_fail(c, AD_ESHAPE, "the weight must be [%lld]", (long long)n);
    c->scratch = (size_t)n * sizeof(double);
    c->saved = n > 0 ? (size_t)(c->in[0]->layout->numel / n) * sizeof(double) : 0;
    return ad__check_eps(c, ((const rms_attrs *)c->attrs)->eps);
}

static ad__norm_rows rows_of(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return ad__norm_rows_of(op, s.dim[s.ndim - 1]);
}

/* Rows or columns that threads share: the cost of an element of a row, and columns that one thread takes, at least. */
enum { COST = 3, LINE = 32 };
typedef struct {
    const ad_op *op;
    ad__norm_rows r;
    void *to; /* the gradient of x; the sums of columns */
} job;

static void rows_evaluate(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_op *op = j->op;
    const ad__norm_rows r = j->r;
    double *kept = ad_saved(op);
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        const void *x = ad__norm_row(&r, op->in[0]->data, i);
        kept[i] = ad__norm_scale(AD__BY_DTYPE(r.t, ad__squares_about, r.n, 0, x) / (double)r.n, eps_of(op));
        ad__moments m = { 0, kept[i] };
        AD__BY_DTYPE(r.t, ad__normalize, r.n, m, x, weight_of(op), NULL, ad__norm_row(&r, ad__out(op)->data, i));
    }
}

static int rms_norm_evaluate(const ad_op *op) {
    job j = { op, rows_of(op), NULL };
    ad_parallel(ad__op_team(op), j.r.rows, 0, COST * j.r.n, rows_evaluate, &j);
    return AD_OK;
}

static void rows_backward(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const ad_op *op = j->op;
    const ad__norm_rows r = j->r;
    const void *w = weight_of(op);
    void *weighed = ad__scratch_of(op, worker);
    const double *kept = ad_saved(op);
    for (int64_t i = from; i < to; i++) {
        const void *g = ad__norm_row(&r, ad__out(op)->grad, i), *h = w ? weighed : g;
        void *gx = ad__norm_row(&r, j->to, i);
        if (w != NULL) AD__BY_DTYPE(r.t, ad__weigh, r.n, g, w, weighed);
        AD__BY_DTYPE(r.t, ad__rms_back, r.n, kept[i], ad__norm_row(&r, op->in[0]->data, i), h, gx);
    }
}

/* dw += g x scale, summed over rows. */
static void weight_columns(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    const double *kept = ad_saved(j->op);
    size_t at = (size_t)from * ad_dtype_size(j->r.t);
    double *sums = (double *)j->to + from;
    (void)worker;
    memset(sums, 0, (size_t)(to - from) * sizeof *sums);
    for (int64_t i = 0; i < j->r.rows; i++) {
        ad__moments m = { 0, kept[i] };
        AD__BY_DTYPE(j->r.t, ad__normalized_times, to - from, m,
                     (void *)((char *)ad__norm_row(&j->r, j->op->in[0]->data, i) + at),
                     (void *)((char *)ad__norm_row(&j->r, ad__out(j->op)->grad, i) + at), sums);
    }
}

static void rms_norm_backward(const ad_op *op) {
    job j = { op, rows_of(op), ad_grad_into(op, 0) };
    if (j.to != NULL) ad_parallel(ad__op_team(op), j.r.rows, 0, COST * j.r.n, rows_backward, &j);
    if (op->n_in < 2 || !ad_wants_grad(op, 1)) return;
    j.to = ad_scratch(op);
    ad__by_columns(op, j.r.n, LINE, j.r.rows, weight_columns, &j);
    ad__add_sums(op, 1, j.to);
}

/* The same in Vars in f64, with x as [rows,n]. */
static void rms_norm_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad__norm_rows r = rows_of(op);
    ad_shape flat = AD_SHAPE(r.rows, r.n);
    ad_var *x = ad_reshape(ad__in_dtype(op->in[0], AD_F64), flat);
    ad_var *scale = ad__norm_scale_rule(ad_mean_axis(ad_square(x), 1, true), eps_of(op)), *normal = ad_mul(x, scale);
    g = ad_reshape(g, flat);
    ad_var *h = ad__in_dtype(op->n_in > 1 ? ad_mul(g, op->in[1]) : g, AD_F64);
    ad_var *across = ad_mul(scale, ad_sub(h, ad_mul(normal, ad_mean_axis(ad_mul(h, normal), 1, true))));
    if (ad_vjp_wants(op, 0)) dx[0] = ad_reshape(ad__in_dtype(across, r.t), op->in[0]->layout->shape);
    if (op->n_in > 1 && ad_vjp_wants(op, 1))
        dx[1] = ad__in_dtype(ad_sum_axis(ad_mul(ad__in_dtype(g, AD_F64), normal), 0, false), r.t);
}

AD_COLD static int rms_norm_emit(ad_emit *e, const ad_op *op) {
    ad__norm_rows r = rows_of(op);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array x = ad__emit_reshape(e, ad_emit_operand(e, op, 0), AD_SHAPE(r.rows, r.n));
    ad_emit_array y = ad_emit_new(e, r.t, x.shape);
    ad_emit_loop l = { .dtype = AD_F64, .names = "x n e", .n = 1, .n_parameters = 2, .parameter = { r.n, eps_of(op) },
                       .value = "fabs(x / n) == INFINITY ? NAN : 1 / sqrt(x / n + e)",
                       .slope = { "g * -(y * y * y) / (2 * n)" } };
    l.in[0] = ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, x, 1u << 1, "x * x", "2 * g * x");
    l.shape = l.in[0].shape;
    ad_emit_loop z = { .dtype = AD_F64, .shape = x.shape, .names = "x s", .value = "x * s",
                       .slope = { "g * s", "g * x" }, .n = 2, .in = { x, ad_emit_run(e, &l) }, .into = &y };
    if (op->n_in > 1) {
        z.names = "x s w", z.value = "x * s * w", z.slope[0] = "g * w * s", z.slope[1] = "g * w * x";
        z.slope[2] = "g * (x * s)", z.in[z.n++] = ad_emit_operand(e, op, 1);
    }
    ad_emit_run(e, &z);
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void rms_norm_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "5 2,3 2,3,4 2,19 0,3 1,1");
    const double lo[] = { -2, 0.5 }, hi[] = { 2, 2 };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int n = 1; n < 3; n++) {
            ad_shape row = AD_SHAPE(shapes[i].dim[shapes[i].ndim - 1]);
            ad_sample(s, &(rms_attrs){ i % 2 ? 1e-5 : 0.1 }, n, (ad_shape[]){ shapes[i], row }, lo, hi);
        }
}

AD_OPTYPE(rms_norm,
          .doc = "normalises x [..,n] over its last axis by the root of the mean of its squares, then multiplies by an "
                 "optional weight [n]",
          .formula = "x scale w, scale = 1 / sqrt(mean(x^2) + eps)",
          .differs = "NaN where the mean of the squares overflows; PyTorch's formula gives 0 there",
          .gradient = "with h = g w and z = x scale: scale (h - z mean(h z)); g z summed over rows", .arity = -1,
          .attr_size = sizeof(rms_attrs), .attrs = rms_list, .shape = rms_norm_shape,
          .evaluate = { rms_norm_evaluate, rms_norm_evaluate }, .backward = { rms_norm_backward, rms_norm_backward },
          .vjp = rms_norm_vjp, .emit = rms_norm_emit);
ad_var *ad_rms_norm(ad_var *x, ad_var *weight, double eps) {
    return ad_apply(&ad_op_rms_norm, weight ? 2 : 1, (ad_var *[]){ x, weight }, &(rms_attrs){ eps });
}
