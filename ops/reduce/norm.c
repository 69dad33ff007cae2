/* norm.c: the p-norm over all elements or some axes. */
#include "ops/base/gradient.h"
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
        ad_sample(s, &a, 1, &AD_SHAPE(2, 3), NULL, NULL);
        ad_sample(s, &a, 1, &AD_SHAPE(0), NULL, NULL);
        for (int k = 0; k < AD__COUNT(edges); k++) ad_sample_values(s, &a, 1, &AD_SHAPE(3), &edges[k], AD_SAMPLE_KINK);
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ huge }, AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
        ad_sample_values(s, &a, 1, &AD_SHAPE(3), (const double *[]){ small }, AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
        a.axes = (ad__axes_attrs){ 2, { 0, 2 }, true };
        ad_sample(s, &a, 1, &AD_SHAPE(2, 3, 4), NULL, NULL);
    }
}

AD_OPTYPE(norm,
          .differs = "huge and tiny elements neither overflow nor underflow; the second slope where y is 0 is 0, "
                     "PyTorch's is NaN",
          .doc = "p-norm over all or some axes, for any p; p = 0 counts the nonzero elements",
          .formula = "(sum |x|^p)^(1/p)", .gradient = "g sign(x) (|x| / y)^(p-1)",
          .special = "slope 0 where y is 0; for p = inf and -inf all |x| equal to y share g; 0 for no elements",
          .arity = 1, .attr_size = sizeof(norm_attrs), .attrs = norm_list, .shape = norm_shape,
          .evaluate = { norm_evaluate, norm_evaluate }, .backward = { norm_backward, norm_backward }, .vjp = norm_vjp);

ad_var *ad_norm(ad_var *x, double p) { return ad_norm_axes(x, 0, NULL, p, false); }
ad_var *ad_norm_axis(ad_var *x, int axis, double p, bool keepdims) { return ad_norm_axes(x, 1, &axis, p, keepdims); }
ad_var *ad_norm_axes(ad_var *x, int n, const int *axes, double p, bool keepdims) {
    norm_attrs a = { ad__reduced_axes(n, axes, keepdims), p };
    return ad__apply1(&ad_op_norm, x, &a);
}
