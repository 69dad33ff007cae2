/* extremum.c: max and min over all elements or some axes, and argmax and argmin. */
#include "ops/base/gradient.h"
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/reduce/extremum.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

#include <math.h>

/* ---- helpers ------------------------------------------------------------------------------------------ */

/* An empty segment has no largest or smallest element, so it is an error. c->shape is the result's shape. */
static int check_elements(const ad_call *c) {
    if (c->in[0]->layout->numel > 0 || ad_shape_numel(c->shape) == 0) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "no elements to take the %s of", c->type->name);
}

static int extremum_shape(ad_call *c) {
    int rc = ad__axes_shape(c);
    return rc == AD_OK ? check_elements(c) : rc;
}

/* The broadcast map from the result to the operand. */
static ad__broadcast_map result_map(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return ad__broadcast_map_of(ad__reduced_shape(s, ad__axes_mask(ad__attrs_of(op), s.ndim), true), s);
}

static int evaluate_by(const ad_op *op, bool smallest) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__broadcast_map map = result_map(op);
    AD__BY_DTYPE(y->layout->dtype, ad__extremum, &map, x->layout->numel, x->data, smallest, y->layout->numel, y->data);
    return AD_OK;
}

/* Elements equal to the extremum share the gradient equally. NaNs are equal to the extremum, which is NaN. */
static void extremum_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    ad__broadcast_map map = result_map(op);
    AD__BY_DTYPE(y->layout->dtype, ad__extremum_back, &map, x->layout->numel, x->data, y->layout->numel, y->data,
                 y->grad, ad_scratch(op), gx);
}

static void extremum_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    ad_shape kept = ad__reduced_shape(s, ad__axes_mask(ad__attrs_of(op), s.ndim), true);
    ad_var *x = op->in[0], *ties = ad_logical_or(ad_eq(x, ad_reshape(ad__out(op), kept)), ad_isnan(x));
    dx[0] = ad_where(ties, ad_div(ad_reshape(g, kept), ad_sum_to(ties, kept)), ad__constant(g, 0));
}

/* A second pass for y, whose slope shares g among the elements that the first pass found and counted. */
AD_COLD static int extremum_emit(ad_emit *e, const ad_op *op, ad_emit_kind kind) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array m = ad__emit_reduce(e, kind, x.dtype, x, mask, "x", NULL);
    ad_emit_array n = ad__emit_reduce2(e, x.dtype, x.shape, mask, x, m, "a == b || a != a ? 1 : 0", NULL, NULL);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .kind = kind, .dtype = x.dtype, .shape = x.shape,
                                                          .reduced = mask, .names = "x n", .value = "x",
                                                          .slope = { "x == y || x != x ? g / n : 0" }, .n = 2,
                                                          .in = { x, n } }));
    return AD_OK;
}

static void all_and_axis_samples(ad_sampler *s) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "() 1 9 2,3 70");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample(s, &(ad__axes_attrs){ .n = -1, .keepdims = i % 2 }, 1, &shapes[i], NULL, NULL);
    for (int axis = -3; axis < 3; axis++)
        ad_sample(s, &(ad__axes_attrs){ 1, { axis }, axis < 0 }, 1, &AD_SHAPE(2, 3, 4), NULL, NULL);
}

/* ---- max, min ------------------------------------------------------------------------------------------- */

static int max_evaluate(const ad_op *op) { return evaluate_by(op, false); }
static int min_evaluate(const ad_op *op) { return evaluate_by(op, true); }

static void max_samples(ad_sampler *s) {
    all_and_axis_samples(s);
    ad_sample(s, &(ad__axes_attrs){ 2, { 0, 2 }, false }, 1, &AD_SHAPE(2, 3, 4), NULL, NULL);
    ad_sample(s, &(ad__axes_attrs){ .n = 1, .axis = { 1 } }, 1, &AD_SHAPE(0, 3), NULL, NULL);
    const double ties[] = { 1, 3, 3, -1, -1, 3 }, *values[] = { ties };
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(6), values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__axes_attrs){ .n = 1, .axis = { 0 } }, 1, &AD_SHAPE(3, 2), values, AD_SAMPLE_KINK);
    const double infinite[] = { -INFINITY, INFINITY, 0 }, nans[] = { 1, NAN, 3, NAN };
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(3), (const double *[]){ infinite }, AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(4), (const double *[]){ nans }, AD_SAMPLE_KINK);
}
static void min_samples(ad_sampler *s) { max_samples(s); }

AD_COLD static int max_emit(ad_emit *e, const ad_op *op) { return extremum_emit(e, op, AD_EMIT_MAX); }
AD_COLD static int min_emit(ad_emit *e, const ad_op *op) { return extremum_emit(e, op, AD_EMIT_MIN); }

#define EXTREMUM                                                                                                       \
    .gradient = "g shared equally by the elements equal to y, or by the NaNs", .arity = 1,                             \
    .attr_size = sizeof(ad__axes_attrs), .attrs = ad__axes_list, .shape = extremum_shape,                              \
    .backward = { extremum_backward, extremum_backward }, .vjp = extremum_vjp

AD_OPTYPE(max, .differs = "NaNs share the gradient; PyTorch's amax gives every element NaN",
          .doc = "largest element over all or some axes; NaN if any element is NaN", .formula = "max x",
          .evaluate = { max_evaluate, max_evaluate }, .emit = max_emit, EXTREMUM);
ad_var *ad_max(ad_var *x) { return ad__reduce_all(&ad_op_max, x); }
ad_var *ad_max_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_max, x, axis, keepdims); }
ad_var *ad_max_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_max, x, n, axes, keepdims);
}

AD_OPTYPE(min, .differs = "NaNs share the gradient; PyTorch's amin gives every element NaN",
          .doc = "smallest element over all or some axes; NaN if any element is NaN", .formula = "min x",
          .evaluate = { min_evaluate, min_evaluate }, .emit = min_emit, EXTREMUM);
ad_var *ad_min(ad_var *x) { return ad__reduce_all(&ad_op_min, x); }
ad_var *ad_min_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_min, x, axis, keepdims); }
ad_var *ad_min_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_min, x, n, axes, keepdims);
}

/* ---- argmax, argmin: over all elements or one axis ----------------------------------------------------------- */

static int place_shape(ad_call *c) {
    int64_t numel = c->in[0]->layout->numel, longest = (int64_t)1 << 24;
    int rc = ad__segments_shape(c);
    int64_t segments = rc == AD_OK ? ad_shape_numel(c->shape) : 0;
    if (rc == AD_OK) rc = check_elements(c);
    if (rc == AD_OK && segments > 0 && c->dtype == AD_F32 && numel / segments > longest)
        return ad_call_fail(c, AD_ESHAPE, "f32 holds no index above %lld; cast x to AD_F64", (long long)longest);
    return rc;
}

static void put_place(const ad_op *op, int64_t segment, int64_t n, const void *x, bool smallest) {
    ad__put(ad__out(op), segment, (double)AD__BY_DTYPE(op->in[0]->layout->dtype, ad__arg_extremum, n, x, smallest));
}
static void argmax_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    put_place(op, segment, n, x, false);
}
static void argmin_segment(const ad_op *op, int64_t segment, int64_t n, const void *x) {
    put_place(op, segment, n, x, true);
}
static int argmax_evaluate(const ad_op *op) { return ad__over_segments(op, argmax_segment); }
static int argmin_evaluate(const ad_op *op) { return ad__over_segments(op, argmin_segment); }

/* The least index of those where x is the extremum, or NaN. The indices count the reduced axes only. */
AD_COLD static int place_emit(ad_emit *e, const ad_op *op, ad_emit_kind kind) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array m = ad__emit_reduce(e, kind, x.dtype, x, mask, "x", NULL);
    ad_emit_array at = ad_emit_index(e, x.dtype, x.shape, 0);
    at.stride[0] = 0;
    int64_t stride = 1;
    for (int d = x.shape.ndim; d-- > 0;)
        if (mask >> d & 1) at.stride[d] = stride, stride *= x.shape.dim[d];
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_MIN, .dtype = x.dtype, .shape = x.shape,
                                                          .reduced = mask, .names = "x m i",
                                                          .value = "x == m || x != x ? i : INFINITY", .n = 3,
                                                          .in = { x, m, at } }));
    return AD_OK;
}
AD_COLD static int argmax_emit(ad_emit *e, const ad_op *op) { return place_emit(e, op, AD_EMIT_MAX); }
AD_COLD static int argmin_emit(ad_emit *e, const ad_op *op) { return place_emit(e, op, AD_EMIT_MIN); }

static void argmax_samples(ad_sampler *s) {
    all_and_axis_samples(s);
    ad_sample(s, &(ad__axes_attrs){ .n = 1, .axis = { 1 } }, 1, &AD_SHAPE(0, 3), NULL, NULL);
    const double ties[] = { 1, 3, 3, -1, -1, 3 }, nans[] = { 1, NAN, 3, NAN, -INFINITY, INFINITY };
    const double *const edges[] = { ties, nans };
    for (int i = 0; i < AD__COUNT(edges); i++)
        for (int axis = 0; axis < 2; axis++)
            ad_sample_values(s, &(ad__axes_attrs){ 1, { axis }, false }, 1, &AD_SHAPE(3, 2), &edges[i], AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(6), edges, AD_SAMPLE_KINK);
}
static void argmin_samples(ad_sampler *s) { argmax_samples(s); }

#define PLACE                                                                                                          \
    .arity = 1, .flags = AD_OP_CONSTANT, .attr_size = sizeof(ad__axes_attrs), .attrs = ad__axes_list,                  \
    .shape = place_shape

AD_OPTYPE(argmax, .doc = "index of the largest element, the first of equal ones; the first NaN if there is one",
          .formula = "argmax x", .evaluate = { argmax_evaluate, argmax_evaluate }, .emit = argmax_emit, PLACE);
ad_var *ad_argmax(ad_var *x) { return ad__reduce_all(&ad_op_argmax, x); }
ad_var *ad_argmax_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_argmax, x, axis, keepdims); }

AD_OPTYPE(argmin, .doc = "index of the smallest element, the first of equal ones; the first NaN if there is one",
          .formula = "argmin x", .evaluate = { argmin_evaluate, argmin_evaluate }, .emit = argmin_emit, PLACE);
ad_var *ad_argmin(ad_var *x) { return ad__reduce_all(&ad_op_argmin, x); }
ad_var *ad_argmin_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_argmin, x, axis, keepdims); }
