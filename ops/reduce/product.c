/* product.c: the product over all elements or some axes. */
#include "ops/base/gradient.h"
#include "ops/base/attrs.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

static void prod_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    ad__put(ad__out(op), segment, AD__BY_DTYPE(op->in[0]->layout->dtype, ad__row_prod, n, x));
}
static void prod_segment_back(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer, void *gx) {
    AD__BY_DTYPE(op->in[0]->layout->dtype, ad__row_prod_back, n, x, ad_grad_at(ad__out(op), segment), buffer, gx);
}
static int prod_evaluate(const ad_op *op) { return ad__over_segments(op, prod_segment); }
static void prod_backward(const ad_op *op) { ad__back_over_segments(op, prod_segment_back); }

/* The product of all other elements. Along the first axis it is the product of the elements before and after; along
   each further axis it is that of the products so far, until each segment is one product. */
static void prod_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *p = ad__in_dtype(op->in[0], AD_F64);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), p->layout->shape.ndim);
    dx[0] = ad_expand(ad__in_dtype(ad__kept(op, g), AD_F64), p->layout->shape);
    for (int axis = 0; axis < op->in[0]->layout->shape.ndim; axis++) {
        if (!(mask >> axis & 1)) continue;
        ad_var *before = ad_linear_scan(p, NULL, axis, false, 1), *after = ad_linear_scan(p, NULL, axis, true, 1);
        dx[0] = ad_mul(dx[0], ad_mul(before, after));
        p = ad_prod_axis(p, axis, true);
    }
    dx[0] = ad__in_dtype(dx[0], g->layout->dtype);
}

static void prod_samples(ad_sampler *s) {
    ad__axes_attrs a = { .n = -1 };
    ad__reduction_samples(s, &a, 0.4, 1.7);
    const double zeros[] = { 2, 0, 3, -1, 0, 0, 1.5, 2.5 }, *values[] = { zeros };
    for (int axis = 0; axis < 2; axis++)
        ad_sample_values(s, &(ad__axes_attrs){ 1, { axis }, false }, 1, &AD_SHAPE(4, 2), values, 0);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(4), values, 0);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(5), values, 0);
    ad_sample_values(s, &(ad__axes_attrs){ 2, { 0, 2 }, true }, 1, &AD_SHAPE(2, 2, 2), values, 0);
    ad_sample(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(0), NULL, NULL);
}

AD_OPTYPE(prod, .doc = "product over all or some axes; the gradient is exact where elements are 0",
          .formula = "product of x", .gradient = "g times the product of all other elements", .arity = 1,
          .attr_size = sizeof(ad__axes_attrs),
          .attrs = ad__axes_list, .shape = ad__segments_shape, .evaluate = { prod_evaluate, prod_evaluate },
          .backward = { prod_backward, prod_backward }, .vjp = prod_vjp);
ad_var *ad_prod(ad_var *x) { return ad__reduce_all(&ad_op_prod, x); }
ad_var *ad_prod_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_prod, x, axis, keepdims); }
ad_var *ad_prod_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_prod, x, n, axes, keepdims);
}
