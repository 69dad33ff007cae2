/* moments.c: variance and standard deviation over all elements or some axes. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

#include <math.h>

/* ---- helpers ------------------------------------------------------------------------------------------ */

typedef struct {
    ad__axes_attrs axes;
    int correction; /* subtracted from the number of elements */
} moment_attrs;
static const ad_attr moment_list[] = { { "axes", AD_ATTR_AXES, offsetof(moment_attrs, axes.n) },
                                       { "keepdims", AD_ATTR_BOOL, offsetof(moment_attrs, axes.keepdims) },
                                       { "correction", AD_ATTR_INT, offsetof(moment_attrs, correction) },
                                       { 0 } };

/* Saves each segment's mean for backward. */
static int moment_shape(ad_call *c) {
    int rc = ad__segments_shape(c);
    if (rc == AD_OK) c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(ad__row_mean);
    return rc;
}

static ad_var *apply_moment(const ad_optype *type, ad_var *x, int n, const int *axes, int correction, bool keepdims) {
    moment_attrs a = { ad__reduced_axes(n, axes, keepdims), correction };
    return ad__apply1(type, x, &a);
}

/* The divisor of the sum of squares: 0 if the correction is not less than the number of elements. */
static double divisor(const ad_op *op) {
    double d = (double)ad__segment_size(op) - ((const moment_attrs *)ad__attrs_of(op))->correction;
    return d > 0 ? d : 0;
}

static ad__row_mean *mean_of(const ad_op *op, int64_t segment) { return (ad__row_mean *)ad_saved(op) + segment; }

/* x - mean as a Var in f64. A second mean corrects the rounding error of the first one, unless that is infinite. */
static ad_var *centred(const ad_op *op) {
    ad__axes_attrs a = ((const moment_attrs *)ad__attrs_of(op))->axes;
    a.keepdims = true;
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *mean = ad__apply1(&ad_op_mean, x, &a), *off = ad_sub(x, mean);
    ad_var *rest = ad__apply1(&ad_op_mean, off, &a);
    return ad_sub(off, ad_where(ad_isfinite(mean), rest, ad__constant(off, 0)));
}

/* The sum of (x - mean)^2 in f64, with half its slope; the mean's own slope is 0. Squares that overflow are
   infinite. */
static ad_emit_array emit_squares(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    const double n = (double)ad__segment_size(op);
    ad_emit_array sum = ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, x, mask, "x", NULL), mean = sum, rest;
    ad_emit_loop l = { .dtype = AD_F64, .shape = sum.shape, .names = "x n", .value = "x / n", .n = 1, .in = { sum },
                       .n_parameters = 1, .parameter = { n } };
    mean = ad_emit_run(e, &l);
    rest = ad__emit_reduce2(e, AD_F64, x.shape, mask, x, mean, "isfinite(b) ? a - b : 0", NULL, NULL);
    l.in[0] = mask ? rest : ad__emit_scale(e, rest, 1), rest = ad_emit_run(e, &l);
    return ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = AD_F64, .shape = x.shape, .reduced = mask,
                                           .names = "x h l", .value = "(x - h - l) * (x - h - l)",
                                           .slope = { "g * (x - h - l)" }, .n = 3, .in = { x, mean, rest } });
}

/* y, in the dtype of the op, from the sum of squares. */
static int emit_moment(ad_emit *e, const ad_op *op, const char *value, const char *slope) {
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array s = emit_squares(e, op), y = ad_emit_new(e, ad__out(op)->layout->dtype, s.shape);
    ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = s.shape, .names = "x d", .value = value,
                                    .slope = { slope }, .n = 1, .in = { s }, .n_parameters = 1,
                                    .parameter = { divisor(op) }, .into = &y });
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void moment_samples(ad_sampler *s) {
    for (int correction = 0; correction < 2; correction++) {
        moment_attrs a = { .correction = correction };
        ad__reduction_samples(s, &a, -2, 2);
        a.axes = (ad__axes_attrs){ .n = -1 };
        const double equal[] = { 0.1, 0.1, 0.1 }, far[] = { 1e6, 1e6 + 1, 1e6 + 3 }, none[] = { 1, NAN };
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ equal }, AD_SAMPLE_KINK);
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ far }, AD_SAMPLE_KINK);
        ad_sample_values(s, &a, 1, &AD_SHAPE(2), (const double *[]){ none }, AD_SAMPLE_KINK);
        ad_sample_values(s, &a, 1, &AD_SHAPE(0), NULL, AD_SAMPLE_KINK);
    }
}

/* ---- variance ----------------------------------------------------------------------------------------- */

static void variance_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    double squares = AD__BY_DTYPE(op->in[0]->layout->dtype, ad__squares, n, x, mean_of(op, segment));
    ad__put(ad__out(op), segment, squares / divisor(op));
}

static void variance_segment_back(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer,
                                  void *gx) {
    (void)buffer;
    double k = ad_grad_at(ad__out(op), segment) * 2 / divisor(op);
    AD__BY_DTYPE(op->in[0]->layout->dtype, ad__centred_back, n, x, *mean_of(op, segment), k, gx);
}

static int variance_evaluate(const ad_op *op) { return ad__over_segments(op, variance_segment); }
static void variance_backward(const ad_op *op) { ad__back_over_segments(op, variance_segment_back); }
static void variance_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *k = ad_muls(ad__in_dtype(ad__kept(op, g), AD_F64), 2 / divisor(op));
    dx[0] = ad__in_dtype(ad_mul(k, centred(op)), g->layout->dtype);
}
AD_COLD static int variance_emit(ad_emit *e, const ad_op *op) { return emit_moment(e, op, "x / d", "g * 2 / d"); }
static void variance_samples(ad_sampler *s) { moment_samples(s); }

AD_OPTYPE(variance,
          .doc = "variance over all or some axes; correction 1 is PyTorch's default (NaN for one element), 0 is the "
                 "population variance",
          .formula = "sum (x - mean x)^2 / (n - correction)", .gradient = "g 2 (x - mean x) / (n - correction)",
          .arity = 1, .attr_size = sizeof(moment_attrs), .attrs = moment_list, .shape = moment_shape,
          .evaluate = { variance_evaluate, variance_evaluate }, .backward = { variance_backward, variance_backward },
          .vjp = variance_vjp, .emit = variance_emit);
ad_var *ad_variance(ad_var *x, int correction) { return ad_variance_axes(x, 0, NULL, correction, false); }
ad_var *ad_variance_axis(ad_var *x, int axis, int correction, bool keepdims) {
    return ad_variance_axes(x, 1, &axis, correction, keepdims);
}
ad_var *ad_variance_axes(ad_var *x, int n, const int *axes, int correction, bool keepdims) {
    return apply_moment(&ad_op_variance, x, n, axes, correction, keepdims);
}

/* ---- standard deviation ------------------------------------------------------------------------------- */

static void std_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    double deviation = AD__BY_DTYPE(op->in[0]->layout->dtype, ad__deviation, n, x, mean_of(op, segment));
    ad__put(ad__out(op), segment, deviation / sqrt(divisor(op)));
}

static void std_segment_back(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer, void *gx) {
    (void)buffer;
    double y = ad_at(ad__out(op), segment), k = y == 0 ? 0 : ad_grad_at(ad__out(op), segment) / divisor(op) / y;
    AD__BY_DTYPE(op->in[0]->layout->dtype, ad__centred_back, n, x, *mean_of(op, segment), k, gx);
}

static int std_evaluate(const ad_op *op) { return ad__over_segments(op, std_segment); }
static void std_backward(const ad_op *op) { ad__back_over_segments(op, std_segment_back); }

static void std_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad__in_dtype(ad__kept(op, ad__out(op)), AD_F64), *zero = ad_logical_not(y);
    ad_var *k = ad_muls(ad__in_dtype(ad__kept(op, g), AD_F64), 1 / divisor(op));
    k = ad__zero_where(zero, ad_div(k, ad_where(zero, ad__constant(y, 1), y)));
    dx[0] = ad__in_dtype(ad_mul(k, centred(op)), g->layout->dtype);
}
AD_COLD static int std_emit(ad_emit *e, const ad_op *op) {
    return emit_moment(e, op, "sqrt(x) / sqrt(d)", "sqrt(x) / sqrt(d) == 0 ? 0 : g / d / (sqrt(x) / sqrt(d))");
}
static void std_samples(ad_sampler *s) { moment_samples(s); }

AD_OPTYPE(std,
          .doc = "standard deviation over all or some axes; correction 1 is PyTorch's default (NaN for one element), 0 "
                 "is that of the population",
          .formula = "sqrt(sum (x - mean x)^2 / (n - correction))", .gradient = "g (x - mean x) / ((n - correction) y)",
          .special = "slope 0 where y is 0", .arity = 1, .attr_size = sizeof(moment_attrs), .attrs = moment_list,
          .shape = moment_shape, .evaluate = { std_evaluate, std_evaluate }, .backward = { std_backward, std_backward },
          .vjp = std_vjp, .emit = std_emit);

ad_var *ad_std(ad_var *x, int correction) { return ad_std_axes(x, 0, NULL, correction, false); }
ad_var *ad_std_axis(ad_var *x, int axis, int correction, bool keepdims) {
    return ad_std_axes(x, 1, &axis, correction, keepdims);
}
ad_var *ad_std_axes(ad_var *x, int n, const int *axes, int correction, bool keepdims) {
    return apply_moment(&ad_op_std, x, n, axes, correction, keepdims);
}
