/* reduce.c: sum and mean over all elements or some axes, sum_to, count_nonzero, any, all, nansum and nanmean. */
#include "ops/base/samples.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/vector.h"
#include "ops/compile.h"
#include "ops/ops.h"
#include "ops/reduce/segments.h"

#include <string.h>

/* ---- helpers: a small array and the large one to which it broadcasts ------------------------------------------ */

/* The broadcast map from the result y to the operand x. */
static ad__broadcast_map reduction_map(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return ad__broadcast_map_of(ad__reduced_shape(s, ad__axes_mask(ad__attrs_of(op), s.ndim), true), s);
}

/* big += k small, with small broadcast to big; fresh: big is not initialised and is set to zeros first. */
typedef struct {
    const ad__broadcast_map *map;
    ad_dtype t;
    const void *small;
    double k;
    bool fresh;
    void *big;
} repeats;

static void add_repeats(void *context, int worker, int64_t from, int64_t to) {
    const repeats *r = context;
    double buffer[AD__CHUNK];
    size_t size = ad_dtype_size(r->t);
    (void)worker;
    for (int64_t i = from; i < to; i += AD__CHUNK) {
        int64_t n = ad__lesser(AD__CHUNK, to - i);
        if (r->fresh) memset((char *)r->big + (size_t)i * size, 0, (size_t)n * size);
        if (r->t == AD_F32)
            ad__axpy_f32(n, (float)r->k, ad__broadcast_read_f32(r->map, i, n, r->small, (float *)(void *)buffer),
                         (float *)r->big + i);
        else ad__axpy_f64(n, r->k, ad__broadcast_read_f64(r->map, i, n, r->small, buffer), (double *)r->big + i);
    }
}

/* ---- sum and mean ------------------------------------------------------------------------------------------- */

/* y = x summed over the reduced axes, divided by n_each. */
static void reduce_divided(const ad_op *op, double n_each) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->numel;
    if (n == 0) return;
    ad__broadcast_map map = reduction_map(op);
    double *sums = memset(ad_scratch(op), 0, (size_t)n * sizeof *sums);
    if (x->layout->numel > 0)
        ad__broadcast_sum(ad__op_team(op), &map, x->layout->dtype, x->layout->numel, x->data, sums);
    if (n_each != 1)
        for (int64_t i = 0; i < n; i++) sums[i] /= n_each;
    if (y->layout->dtype == AD_F32) ad__to_f32(n, sums, y->data);
    else memcpy(y->data, sums, (size_t)n * sizeof *sums);
}

static void reduce_scaled_back(const ad_op *op, double k) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__broadcast_map map = reduction_map(op);
    repeats r = { &map, x->layout->dtype, y->grad, k, fresh, gx };
    if (gx != NULL) ad_parallel(ad__op_team(op), x->layout->numel, 0, 1, add_repeats, &r);
}

/* The number of elements per sum. The mean of an empty array is 0/0, a NaN, as in NumPy and PyTorch. */
static double each(const ad_op *op) { return (double)ad__segment_size(op); }

static int sum_evaluate(const ad_op *op) { return reduce_divided(op, 1), AD_OK; }
static void sum_backward(const ad_op *op) { reduce_scaled_back(op, 1); }
static int mean_evaluate(const ad_op *op) { return reduce_divided(op, each(op)), AD_OK; }
static void mean_backward(const ad_op *op) { reduce_scaled_back(op, 1 / each(op)); }

/* g broadcast to x's shape. */
static ad_var *repeated(const ad_op *op, ad_var *g) { return ad_expand(ad__kept(op, g), op->in[0]->layout->shape); }

static void sum_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = repeated(op, g); }
static void mean_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = repeated(op, ad_muls(g, 1 / each(op)));
}

/* The sum over the axes of the attributes. */
static ad_emit_array emit_sum(ad_emit *e, const ad_op *op) {
    const ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    return ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = x.dtype, .shape = x.shape, .reduced = mask,
                                           .names = "x", .value = "x", .slope = { "g" }, .n = 1, .in = { x } });
}

AD_COLD static int sum_emit(ad_emit *e, const ad_op *op) {
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_result(e, op, emit_sum(e, op));
    return AD_OK;
}

AD_COLD static int mean_emit(ad_emit *e, const ad_op *op) {
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    const ad_emit_array s = emit_sum(e, op);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = s.dtype, .shape = s.shape, .names = "x n k",
                                                          .value = "x / n", .slope = { "g * k" }, .n = 1,
                                                          .in = { s }, .n_parameters = 2,
                                                          .parameter = { each(op), 1 / each(op) } }));
    return AD_OK;
}

static void sum_samples(ad_sampler *s) {
    ad__reduction_samples(s, &(ad__axes_attrs){ 0 }, -2, 2);
    ad__sample_text(s, &(ad__axes_attrs){ .n = -1 }, 1, "0", NULL, NULL);
    ad_sample(s, &(ad__axes_attrs){ .n = 1, .axis = { 0 } }, 1, &AD_SHAPE(0, 2), NULL, NULL);
}
static void mean_samples(ad_sampler *s) {
    ad__reduction_samples(s, &(ad__axes_attrs){ 0 }, -2, 2);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(0), NULL, AD_SAMPLE_KINK);
}

AD_OPTYPE(sum, .doc = "sum over all elements or some axes, accumulated in f64", .formula = "sum x",
          .gradient = "g, broadcast to x", .arity = 1, .attr_size = sizeof(ad__axes_attrs), .attrs = ad__axes_list,
          .shape = ad__axes_shape, .evaluate = { sum_evaluate, sum_evaluate },
          .backward = { sum_backward, sum_backward }, .vjp = sum_vjp,
          .emit = sum_emit);

AD_OPTYPE(mean, .doc = "mean over all elements or some axes, accumulated in f64; NaN for no elements",
          .formula = "sum x / n", .gradient = "g / n, broadcast to x", .arity = 1, .attr_size = sizeof(ad__axes_attrs),
          .attrs = ad__axes_list, .shape = ad__axes_shape, .evaluate = { mean_evaluate, mean_evaluate },
          .backward = { mean_backward, mean_backward }, .vjp = mean_vjp,
          .emit = mean_emit);

ad_var *ad_sum(ad_var *x) { return ad__reduce_all(&ad_op_sum, x); }
ad_var *ad_sum_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_sum, x, axis, keepdims); }
ad_var *ad_sum_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_sum, x, n, axes, keepdims);
}

ad_var *ad_mean(ad_var *x) { return ad__reduce_all(&ad_op_mean, x); }
ad_var *ad_mean_axis(ad_var *x, int axis, bool keepdims) { return ad__reduce_axis(&ad_op_mean, x, axis, keepdims); }
ad_var *ad_mean_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad__reduce_axes(&ad_op_mean, x, n, axes, keepdims);
}

/* ---- sum_to: the inverse of broadcasting ---------------------------------------------------------------------- */

/* Sets the graph's error if shape does not broadcast to x's. */
static void check_broadcasts(const ad_var *x, ad_shape shape) {
    ad_shape from = x->layout->shape, whole;
    if (!ad__shape_valid(shape))
        ad_fail(ad__owner(x), AD_ESHAPE,
                "sum_to: %s: to %s of %d dimensions; a shape has 0 to %d of them and no negative size",
                ad_shape_str(from).text, ad_shape_str(shape).text, shape.ndim, AD_MAX_NDIM);
    else if (ad__broadcast(shape, from, &whole) || !ad_shape_equal(whole, from))
        ad_fail(ad__owner(x), AD_ESHAPE, "sum_to: %s: %s does not broadcast to it", ad_shape_str(from).text,
                ad_shape_str(shape).text);
}

/* Sums over the axes that are absent from shape or have size 1 there. */
ad_var *ad_sum_to(ad_var *x, ad_shape shape) {
    if (ad__absent(x)) return ad__nil_result(x, "sum_to");
    ad_shape from = x->layout->shape;
    bool same = ad_shape_equal(from, shape);
    if (!same) check_broadcasts(x, shape);
    if (!ad_ok(ad__owner(x))) return ad_nil(ad__owner(x));
    if (same) return x;
    ad__axes_attrs a = { .n = 0, .keepdims = true };
    for (int i = 0; i < from.ndim; i++) {
        int own = i - (from.ndim - shape.ndim);
        if (own < 0 || (shape.dim[own] == 1 && from.dim[i] != 1)) a.axis[a.n++] = i;
    }
    ad_var *y = a.n > 0 ? ad__apply1(&ad_op_sum, x, &a) : x;
    return shape.ndim == from.ndim ? y : ad_reshape(y, shape);
}

/* ---- count_nonzero, any, all: by comparisons and sums ---------------------------------------------------------- */

/* NaN counts as nonzero. */
static ad_var *is_not_zero(ad_var *x) { return ad_logical_not(ad_logical_not(x)); }

ad_var *ad_count_nonzero(ad_var *x) { return ad_count_nonzero_axes(x, 0, NULL, false); }
ad_var *ad_count_nonzero_axis(ad_var *x, int axis, bool keepdims) {
    return ad_count_nonzero_axes(x, 1, &axis, keepdims);
}
ad_var *ad_count_nonzero_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad_sum_axes(is_not_zero(x), n, axes, keepdims);
}

ad_var *ad_any(ad_var *x) { return ad_any_axes(x, 0, NULL, false); }
ad_var *ad_any_axis(ad_var *x, int axis, bool keepdims) { return ad_any_axes(x, 1, &axis, keepdims); }
ad_var *ad_any_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return is_not_zero(ad_count_nonzero_axes(x, n, axes, keepdims));
}

ad_var *ad_all(ad_var *x) { return ad_all_axes(x, 0, NULL, false); }
ad_var *ad_all_axis(ad_var *x, int axis, bool keepdims) { return ad_all_axes(x, 1, &axis, keepdims); }
ad_var *ad_all_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad_logical_not(ad_sum_axes(ad_logical_not(x), n, axes, keepdims));
}

/* ---- nansum, nanmean: by sums of what is not NaN ---------------------------------------------------------------- */

static ad_var *without_nan(ad_var *x) { return ad_masked_fill(x, ad_isnan(x), 0); }

ad_var *ad_nansum(ad_var *x) { return ad_nansum_axes(x, 0, NULL, false); }
ad_var *ad_nansum_axis(ad_var *x, int axis, bool keepdims) { return ad_nansum_axes(x, 1, &axis, keepdims); }
ad_var *ad_nansum_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad_sum_axes(without_nan(x), n, axes, keepdims);
}

ad_var *ad_nanmean(ad_var *x) { return ad_nanmean_axes(x, 0, NULL, false); }
ad_var *ad_nanmean_axis(ad_var *x, int axis, bool keepdims) { return ad_nanmean_axes(x, 1, &axis, keepdims); }
ad_var *ad_nanmean_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    ad_var *count = ad_sum_axes(ad_logical_not(ad_isnan(x)), n, axes, keepdims);
    return ad_div(ad_nansum_axes(x, n, axes, keepdims), count);
}
