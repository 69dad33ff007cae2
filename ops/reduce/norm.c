/* norm.c: the p-norm over all elements or some axes. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

#include <math.h>

typedef struct {
    ad__axes_attrs axes;
    double p;
} norm_attrs;
static const ad_attr norm_list[] = { { "axes", AD_ATTR_AXES, offsetof(norm_attrs, axes.n) },
                                     { "keepdims", AD_ATTR_BOOL, offsetof(norm_attrs, axes.keepdims) },
                                     { "p", AD_ATTR_DOUBLE, offsetof(norm_attrs, p) },
                                     { 0 } };

static double p_of(const ad_op *op) { return ((const norm_attrs *)ad__attrs_of(op))->p; }

static int norm_shape(ad_call *c) {
    double p = ((const norm_attrs *)c->attrs)->p;
    return p == p ? ad__segments_shape(c) : ad_call_fail(c, AD_EVALUE, "p must not be NaN; 2 gives the Euclidean norm");
}

static void norm_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    ad__put(ad__out(op), segment, AD__BY_DTYPE(op->in[0]->layout->dtype, ad__row_norm, n, x, p_of(op)));
}

static void norm_segment_back(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer, void *gx) {
    (void)buffer;
    double y = ad_at(ad__out(op), segment), g = ad_grad_at(ad__out(op), segment);
    AD__BY_DTYPE(op->in[0]->layout->dtype, ad__row_norm_back, n, x, p_of(op), y, g, gx);
}

static int norm_evaluate(const ad_op *op) { return ad__over_segments(op, norm_segment); }
static void norm_backward(const ad_op *op) { ad__back_over_segments(op, norm_segment_back); }

/* For p = inf and -inf: elements with |x| equal to y share the gradient equally, and so do NaNs. */
static ad_var *extreme_rule(ad_var *x, ad_var *y, ad_var *g) {
    ad_var *ties = ad_logical_or(ad_eq(ad_abs(x), y), ad_isnan(x));
    ad_var *share = ad_div(g, ad_sum_to(ties, y->layout->shape));
    return ad_where(ties, ad__times_sign(share, x), ad__constant(g, 0));
}

/* sign(x) (|x| / y)^(p-1) for other p; 0 where x is 0. y is not 0. */
static ad_var *power_rule(ad_var *x, ad_var *y, ad_var *g, double p) {
    ad_var *ratio = ad_where(ad_logical_not(x), ad__constant(x, 1), ad_div(ad_abs(x), y));
    return ad__times_sign(ad_mul(g, ad_pows(ratio, p - 1)), x);
}

/* For y other than 0. */
static ad_var *norm_rule(ad_var *x, ad_var *y, ad_var *g, double p) {
    if (p == 1) return ad__times_sign(g, x);
    if (p == 2) return ad_mul(ad_div(x, y), g);
    return isinf(p) ? extreme_rule(x, y, g) : power_rule(x, y, g, p);
}

static void norm_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *k = ad__in_dtype(ad__kept(op, g), AD_F64);
    ad_var *y = ad__in_dtype(ad__kept(op, ad__out(op)), AD_F64);
    ad_var *zero = ad_logical_not(y), *safe = ad_where(zero, ad__constant(y, 1), y);
    if (p_of(op) == 0) return;
    dx[0] = ad__in_dtype(ad__zero_where(zero, norm_rule(x, safe, k, p_of(op))), op->in[0]->layout->dtype);
}

/* For p = inf and -inf. A second pass has the slope: elements with |x| equal to y share g, and so do NaNs. */
static ad_emit_array emit_extreme(ad_emit *e, ad_emit_array x, unsigned mask, double p) {
    ad_emit_kind kind = p > 0 ? AD_EMIT_MAX : AD_EMIT_MIN;
    ad_emit_array m = ad__emit_reduce(e, kind, x.dtype, x, mask, "fabs(x)", NULL);
    ad_emit_array n = ad__emit_reduce2(e, x.dtype, x.shape, mask, x, m, "fabs(a) == b || a != a ? 1 : 0", NULL, NULL);
    return ad_emit_run(e, &(ad_emit_loop){ .kind = kind, .dtype = x.dtype, .shape = x.shape, .reduced = mask,
                                           .names = "x n", .value = "fabs(x)",
                                           .slope = { "fabs(x) != y && x == x ? 0 : x > 0 ? g / n : x < 0 ? -g / n : "
                                                      "x" },
                                           .n = 2, .in = { x, n } });
}

/* For p = 2 and other p. Powers that overflow are infinite. */
static int emit_powers(ad_emit *e, const ad_op *op, unsigned mask, double p) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_emit_loop l = { .kind = AD_EMIT_SUM, .dtype = AD_F64, .shape = x.shape, .reduced = mask, .names = "x p",
                       .value = "pow(fabs(x), p)", .n = 1, .in = { x }, .n_parameters = 1, .parameter = { p },
                       .slope = { "x == 0 ? 0 : (x < 0 ? -g : g) * pow(fabs(x), p - 1)" } };
    if (p == 2) l.value = "x * x", l.slope[0] = "g * x";
    ad_emit_array s = ad_emit_run(e, &l), y = ad_emit_new(e, x.dtype, s.shape);
    l = (ad_emit_loop){ .dtype = AD_F64, .shape = s.shape, .names = "x p", .value = "pow(x, 1 / p)", .n = 1,
                        .in = { s }, .n_parameters = 1, .parameter = { p }, .into = &y,
                        .slope = { "pow(x, 1 / p) == 0 ? 0 : g * pow(pow(x, 1 / p), 1 - p)" } };
    if (p == 2) l.value = "sqrt(x)", l.slope[0] = "x == 0 ? 0 : g / sqrt(x)";
    ad_emit_run(e, &l);
    ad_emit_result(e, op, y);
    return AD_OK;
}

AD_COLD static int norm_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    double p = p_of(op);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    if (p != 0 && p != 1 && !isinf(p)) return emit_powers(e, op, mask, p);
    ad_emit_result(e, op, isinf(p) ? emit_extreme(e, x, mask, p)
                          : p == 0 ? ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, x, mask, "x != 0 ? 1 : 0", NULL)
                                   : ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, x, mask, "fabs(x)",
                                                     "x > 0 ? g : x < 0 ? -g : x"));
    return AD_OK;
}

static void norm_samples(ad_sampler *s) {
    const double ps[] = { 2, 1, 3, 1.5, 0.5, -1, INFINITY, -INFINITY, 0 };
    const double zeros[] = { 0, 0, 0 }, one_zero[] = { -3, 0, 4 }, ties[] = { -3, 3, 3 };
    const double huge[] = { 3e200, -4e200, 1e150 }, small[] = { 3e-200, -4e-200, 1e-250 };
    const double infinite[] = { 1, -INFINITY, 2 };
    const double *const edges[] = { zeros, one_zero, ties, infinite };
    for (int i = 0; i < AD__COUNT(ps); i++) {
        norm_attrs a = { .p = ps[i] };
        if (ps[i] == 2) ad__reduction_samples(s, &a, -2, 2);
        a.axes = (ad__axes_attrs){ .n = -1 };
        ad__sample_text(s, &a, 1, "2,3", NULL, NULL);
        ad__sample_text(s, &a, 1, "0", NULL, NULL);
        for (int k = 0; k < AD__COUNT(edges); k++) ad_sample_values(s, &a, 1, &AD_SHAPE(3), &edges[k], AD_SAMPLE_KINK);
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ huge }, AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ small }, AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
        a.axes = (ad__axes_attrs){ 2, { 0, 2 }, true };
        ad__sample_text(s, &a, 1, "2,3,4", NULL, NULL);
    }
}

AD_OPTYPE(norm,
          .differs = "huge and tiny elements neither overflow nor underflow; the second slope where y is 0 is 0, "
                     "PyTorch's is NaN",
          .doc = "p-norm over all or some axes, for any p; p = 0 counts the nonzero elements",
          .formula = "(sum |x|^p)^(1/p)", .gradient = "g sign(x) (|x| / y)^(p-1)",
          .special = "slope 0 where y is 0; for p = inf and -inf all |x| equal to y share g; 0 for no elements",
          .arity = 1, .attr_size = sizeof(norm_attrs), .attrs = norm_list, .shape = norm_shape,
          .evaluate = { norm_evaluate, norm_evaluate }, .backward = { norm_backward, norm_backward }, .vjp = norm_vjp,
          .emit = norm_emit);

ad_var *ad_norm(ad_var *x, double p) { return ad_norm_axes(x, 0, NULL, p, false); }
ad_var *ad_norm_axis(ad_var *x, int axis, double p, bool keepdims) { return ad_norm_axes(x, 1, &axis, p, keepdims); }
ad_var *ad_norm_axes(ad_var *x, int n, const int *axes, double p, bool keepdims) {
    norm_attrs a = { ad__reduced_axes(n, axes, keepdims), p };
    return ad__apply1(&ad_op_norm, x, &a);
}
