/* logsumexp.c: the logarithm of the sum of exponentials over all elements or some axes. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/reduce/rows.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

#include <math.h>

/* Saves each segment's ad__lse for backward. */
static int logsumexp_shape(ad_call *c) {
    int rc = ad__segments_shape(c);
    if (rc == AD_OK) c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(ad__lse);
    return rc;
}

static void logsumexp_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    ad__lse l = AD__BY_DTYPE(op->in[0]->layout->dtype, ad__lse, n, x);
    if (l.m == INFINITY) l.s = 1; /* the sum is NaN, as inf - inf is, but the result is inf */
    ((ad__lse *)ad_saved(op))[segment] = l;
    ad__put(ad__out(op), segment, l.m + log(l.s));
}

static void logsumexp_segment_back(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer,
                                   void *gx) {
    (void)buffer;
    ad__lse l = ((const ad__lse *)ad_saved(op))[segment];
    double g = ad_grad_at(ad__out(op), segment);
    AD__BY_DTYPE(op->in[0]->layout->dtype, ad__lse_back, n, l, g, x, gx);
}

static int logsumexp_evaluate(const ad_op *op) { return ad__over_segments(op, logsumexp_segment); }
static void logsumexp_backward(const ad_op *op) { ad__back_over_segments(op, logsumexp_segment_back); }

/* softmax over the axes; NaN if an x is infinite. exp(x - y) would lose precision where y is large, so the maximum is
   subtracted. It may be a constant, since its derivative cancels. */
static ad_var *softmax_over(ad_var *x, ad__axes_attrs a) {
    a.keepdims = true;
    if (a.n == 1) return ad_softmax(x, a.axis[0]);
    ad_var *e = ad_exp(ad_sub(x, ad_detach(ad__apply1(&ad_op_max, x, &a))));
    return ad_div(e, ad__apply1(&ad_op_sum, e, &a));
}

static void logsumexp_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *y = ad__kept(op, ad__out(op));
    if (ad__segment_size(op) == 0) return;
    ad_var *softmax = softmax_over(x, *(const ad__axes_attrs *)ad__attrs_of(op));
    ad_var *infinite = ad_eq(y, ad__constant(y, INFINITY));
    dx[0] = ad_mul(ad_where(infinite, ad_exp(ad_sub(x, y)), softmax), ad__kept(op, g));
}

/* m is the largest element, and 0 if all are -inf. */
AD_COLD static int logsumexp_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array m = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, x, mask, "x == x ? x : -INFINITY", NULL);
    m = ad__emit_map(e, x.dtype, m, "x == -INFINITY ? 0 : x", NULL);
    ad_emit_array powers = ad__emit_map2(e, x.dtype, x.shape, x, m, "exp(a - b)", "g * y", NULL);
    ad_emit_array s = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, powers, mask, "x", "g");
    ad_emit_result(e, op, ad__emit_map2(e, x.dtype, s.shape, m, s, "a == INFINITY ? a : a + log(b)", NULL,
                                        "a == INFINITY ? g : g / b"));
    return AD_OK;
}

static void logsumexp_samples(ad_sampler *s) {
    ad__axes_attrs a = { .n = -1 }, row = { 1, { -1 }, true };
    ad__reduction_samples(s, &a, -2, 2);
    a = (ad__axes_attrs){ .n = -1 };
    ad__sample_text(s, &a, 1, "0", NULL, NULL);
    const double huge[] = { 1e4, -1e4, 0, 1e4, 1e4, 1e4, -1e4, -1e4, -1e4 }, *values[] = { huge };
    ad_sample_values(s, &a, 1, &AD_SHAPE(3, 3), values, AD_SAMPLE_KINK);
    ad_sample_values(s, &row, 1, &AD_SHAPE(3, 3), values, AD_SAMPLE_KINK);
    const double infinite[] = { -INFINITY, 0, 1 }, *edges[] = { infinite };
    ad_sample_values(s, &a, 1, &AD_SHAPE(3), edges, AD_SAMPLE_KINK);
    ad_sample_values(s, &row, 1, &AD_SHAPE(3), edges, AD_SAMPLE_KINK);
}

AD_OPTYPE(logsumexp, .doc = "log of the sum of exp(x) over all or some axes, without overflow",
          .formula = "log sum exp(x)", .gradient = "g softmax(x)", .arity = 1, .attr_size = sizeof(ad__axes_attrs),
          .attrs = ad__axes_list, .shape = logsumexp_shape, .evaluate = { logsumexp_evaluate, logsumexp_evaluate },
          .backward = { logsumexp_backward, logsumexp_backward }, .vjp = logsumexp_vjp, .emit = logsumexp_emit);

ad_var *ad_logsumexp(ad_var *x) { return ad__reduce_all(&ad_op_logsumexp, x); }
ad_var *ad_logsumexp_axis(ad_var *x, int axis, bool keepdims) {
    return ad__reduce_axis(&ad_op_logsumexp, x, axis, keepdims);
}
ad_var *ad_logsumexp_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_logsumexp, x, n, axes, keepdims);
}
