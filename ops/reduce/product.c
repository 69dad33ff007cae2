/* product.c: the product over all elements or some axes. */
#include "ops/base/gradient.h"
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
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

/* Orders the axes of x for prod_vjp: the kept ones, then the reduced ones. back is the opposite order. */
static void order_axes(const ad_op *op, ad_shape *order, ad_shape *back) {
    *back = op->in[0]->layout->shape;
    unsigned mask = ad__axes_mask(ad__attrs_of(op), back->ndim);
    for (unsigned reduced = 0; reduced < 2; reduced++)
        for (int a = 0; a < back->ndim; a++)
            if ((mask >> a & 1) == reduced) back->dim[a] = order->ndim, order->dim[order->ndim++] = a;
}

/* The product of the elements before and after in the segment. x is arranged as [segments, elements]. */
static void prod_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape order = { 0 }, back;
    order_axes(op, &order, &back);
    ad_var *x = ad_permute(ad__in_dtype(op->in[0], AD_F64), order);
    int64_t n = ad__segment_size(op), segments = g->layout->numel;
    ad_var *rows = ad_reshape(x, AD_SHAPE(segments, n));
    ad_var *before = ad_linear_scan(rows, NULL, 1, false, 1), *after = ad_linear_scan(rows, NULL, 1, true, 1);
    ad_var *k = ad_reshape(ad__in_dtype(g, AD_F64), AD_SHAPE(segments, 1));
    ad_var *d = ad_reshape(ad_mul(k, ad_mul(before, after)), x->layout->shape);
    dx[0] = ad__in_dtype(ad_permute(d, back), g->layout->dtype);
}

/* A function of x as [segments, elements]. */
AD_COLD static int emit_long(ad_emit *e, const ad_op *op, ad_emit_array x) {
    ad_shape order = { 0 }, back;
    const ad__layout *l = ad__out(op)->layout;
    ad_emit_array rows = x;
    order_axes(op, &order, &back);
    for (int d = 0; d < order.ndim; d++)
        rows.shape.dim[d] = x.shape.dim[order.dim[d]], rows.stride[d] = x.stride[order.dim[d]];
    ad_emit_code c = { .sizes = "outer n", .n_sizes = 2, .size = { l->numel, ad__segment_size(op) }, .names = "x",
                       .n = 1, .in = { rows }, .by_vars = true };
    c.text = "{\nfor (long o = 0; o < outer; o++) {\ndouble product = 1;\n"
             "for (long i = 0; i < n; i++) product *= x[o * n + i];\ny[o] = (T)product;\n}\n}";
    ad_emit_result(e, op, ad_emit_call(e, l->dtype, l->shape, &c));
    return AD_OK;
}

/* The running product in f64: one loop over the segments for each element of a segment. */
AD_COLD static int prod_emit(ad_emit *e, const ad_op *op) {
    enum { MOST = 100 };
    ad_emit_array x = ad_emit_operand(e, op, 0), product = { .dtype = AD_F64 };
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    int64_t n = ad__segment_size(op);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    if (n > MOST) return emit_long(e, op, x);
    for (int64_t i = 0; i < n; i++) {
        ad_emit_array part = x;
        int64_t rest = i;
        for (int d = x.shape.ndim; d-- > 0;)
            if (mask >> d & 1) part = ad__emit_part(part, d, rest % x.shape.dim[d], 1, 1), rest /= x.shape.dim[d];
        product = i == 0 ? ad__emit_map(e, AD_F64, part, "x", "g")
                         : ad__emit_map2(e, AD_F64, part.shape, product, part, "a * b", "g * b", "g * a");
    }
    ad_emit_result(e, op, ad__emit_map(e, x.dtype, product, "x", "g"));
    return AD_OK;
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
    ad__sample_text(s, &(ad__axes_attrs){ .n = -1 }, 1, "0", NULL, NULL);
}

AD_OPTYPE(prod, .differs = "the slope of an infinite or NaN element is the product of the others; PyTorch's is NaN",
          .doc = "product over all or some axes; the gradient is exact where elements are 0", .formula = "product of x",
          .gradient = "g times the product of all other elements", .arity = 1, .attr_size = sizeof(ad__axes_attrs),
          .attrs = ad__axes_list, .shape = ad__segments_shape, .evaluate = { prod_evaluate, prod_evaluate },
          .backward = { prod_backward, prod_backward }, .vjp = prod_vjp, .emit = prod_emit);
ad_var *ad_prod(ad_var *x) { return ad__reduce_all(&ad_op_prod, x); }
ad_var *ad_prod_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_prod, x, axis, keepdims); }
ad_var *ad_prod_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_prod, x, n, axes, keepdims);
}
