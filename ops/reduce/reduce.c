/* reduce.c: sum and mean over all elements or some axes, and their converse, expand. */
#include "ops/reduce/segments.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/vector.h"

#include <string.h>

/* ---- helpers: a small array and a big one that it is repeated to ------------------------------------- */

enum { CHUNK = 1024 };

/* How y, a reduction of x, lies in x. */
static ad__broadcast_map reduction_spread(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return ad__broadcast_map_of(ad__reduced_shape(s, ad__axes_mask(ad__attrs_of(op), s.ndim), true), s);
}

/* sums [small's numel] = big summed over its repetitions, in f64. */
static void sum_repeats(ad_team *team, const ad__broadcast_map *s, ad_dtype t, int64_t n, const void *big, int64_t n_sums,
                        double *sums) {
    memset(sums, 0, (size_t)n_sums * sizeof *sums);
    ad__broadcast_sum(team, s, t, n, big, sums);
}

/* big += k small, repeated; fresh: big holds nothing yet. */
typedef struct {
    const ad__broadcast_map *s;
    ad_dtype t;
    const void *small;
    double k;
    bool fresh;
    void *big;
} repeats;

static void add_slab(void *context, int worker, int64_t from, int64_t to) {
    const repeats *r = context;
    double buffer[CHUNK];
    size_t size = ad_dtype_size(r->t);
    (void)worker;
    for (int64_t i = from; i < to; i += CHUNK) {
        int64_t count = ad__min(CHUNK, to - i);
        if (r->fresh) memset((char *)r->big + (size_t)i * size, 0, (size_t)count * size);
        if (r->t == AD_F32)
            ad__axpy_f32(count, (float)r->k, ad__broadcast_read_f32(r->s, i, count, r->small, (float *)(void *)buffer),
                         (float *)r->big + i);
        else ad__axpy_f64(count, r->k, ad__broadcast_read_f64(r->s, i, count, r->small, buffer), (double *)r->big + i);
    }
}

/* ---- sum and mean ---------------------------------------------------------------------------------------- */

/* y = sums of x over its repetitions, divided by n_each. */
static void reduce_divided(const ad_op *op, double n_each) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->numel;
    ad__broadcast_map s = reduction_spread(op);
    double *sums = ad__owner(y)->scratch;
    sum_repeats(ad__op_team(op), &s, x->layout->dtype, x->layout->numel, x->data, n, sums);
    if (n_each != 1)
        for (int64_t i = 0; i < n; i++) sums[i] /= n_each;
    if (y->layout->dtype == AD_F32) ad__to_f32(n, sums, y->data);
    else memcpy(y->data, sums, (size_t)n * sizeof *sums);
}

static void reduce_scaled_back(const ad_op *op, double k) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__broadcast_map s = reduction_spread(op);
    repeats r = { &s, x->layout->dtype, y->grad, k, fresh, gx };
    if (gx != NULL) ad_parallel(ad__op_team(op), x->layout->numel, 0, 1, add_slab, &r);
}

/* Of an empty array the mean is 0/0, a NaN, as in NumPy and PyTorch. */
static double each(const ad_op *op) { return (double)ad__segment_size(op); }

static int sum_evaluate(const ad_op *op) { return reduce_divided(op, 1), AD_OK; }
static void sum_backward(const ad_op *op) { reduce_scaled_back(op, 1); }
static int mean_evaluate(const ad_op *op) { return reduce_divided(op, each(op)), AD_OK; }
static void mean_backward(const ad_op *op) { reduce_scaled_back(op, 1 / each(op)); }

/* g repeated to x's shape. */
static ad_var *spread_back(const ad_op *op, ad_var *g) { return ad_expand(ad__kept(op, g), op->in[0]->layout->shape); }

static void sum_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = spread_back(op, g); }
static void mean_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = spread_back(op, ad_muls(g, 1 / each(op)));
}

static void sum_samples(ad_sampler *s) {
    ad__reduction_samples(s, &(ad__axes_attrs){ 0 }, -2, 2);
    ad_sample(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(0), NULL, NULL);
    ad_sample(s, &(ad__axes_attrs){ .n = 1, .axis = { 0 } }, 1, &AD_SHAPE(0, 2), NULL, NULL);
}
static void mean_samples(ad_sampler *s) {
    ad__reduction_samples(s, &(ad__axes_attrs){ 0 }, -2, 2);
    ad_sample_values(s, &(ad__axes_attrs){ .n = -1 }, 1, &AD_SHAPE(0), NULL, AD_SAMPLE_KINK);
}

AD_OPTYPE(sum, .doc = "sum over all elements or some axes, accumulated in f64", .formula = "sum x",
          .gradient = "g, repeated", .arity = 1, .attr_size = sizeof(ad__axes_attrs), .attrs = ad__axes_list,
          .shape = ad__axes_shape, .evaluate = { sum_evaluate, sum_evaluate },
          .backward = { sum_backward, sum_backward }, .vjp = sum_vjp);

AD_OPTYPE(mean, .doc = "mean over all elements or some axes, accumulated in f64; NaN of none",
          .formula = "sum x / n", .gradient = "g / n, repeated", .arity = 1, .attr_size = sizeof(ad__axes_attrs),
          .attrs = ad__axes_list, .shape = ad__axes_shape, .evaluate = { mean_evaluate, mean_evaluate },
          .backward = { mean_backward, mean_backward }, .vjp = mean_vjp);

AD__REDUCTION(sum)
AD__REDUCTION(mean)

/* The converse of broadcasting: sums over the axes that shape lacks or has with size 1. */
ad_var *ad_sum_to(ad_var *x, ad_shape shape) {
    if (ad__absent(x) || ad_shape_equal(x->layout->shape, shape)) return x ? x : ad_nil(NULL);
    ad_shape from = x->layout->shape;
    ad__axes_attrs a = { .n = 0, .keepdims = true };
    ad_shape whole;
    if (ad__broadcast(shape, from, &whole) || !ad_shape_equal(whole, from)) {
        char xs[96], to[96];
        ad_shape_text(from, xs, sizeof xs);
        ad_shape_text(shape, to, sizeof to);
        ad_fail(ad__owner(x), AD_ESHAPE, "sum_to: %s is not what %s broadcasts to", xs, to);
        return ad_nil(ad__owner(x));
    }
    for (int i = 0; i < from.ndim; i++) {
        int own = i - (from.ndim - shape.ndim);
        if (own < 0 || (shape.dim[own] == 1 && from.dim[i] != 1)) a.axis[a.n++] = i;
    }
    ad_var *y = a.n > 0 ? ad__apply1(&ad_op_sum, x, &a) : x;
    return shape.ndim == from.ndim ? y : ad_reshape(y, shape);
}

/* ---- counts: made of comparisons and sums ------------------------------------------------------------------ */

/* NaN is not 0. */
static ad_var *is_not_zero(ad_var *x) { return ad_logical_not(ad_logical_not(x)); }

ad_var *ad_count_nonzero_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad_sum_axes(is_not_zero(x), n, axes, keepdims);
}
AD__REDUCTION_BY_AXES(count_nonzero)

ad_var *ad_any_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return is_not_zero(ad_count_nonzero_axes(x, n, axes, keepdims));
}
AD__REDUCTION_BY_AXES(any)

ad_var *ad_all_axes(ad_var *x, int n, const int *axes, bool keepdims) {
    return ad_logical_not(ad_sum_axes(ad_logical_not(x), n, axes, keepdims));
}
AD__REDUCTION_BY_AXES(all)

/* ---- expand ------------------------------------------------------------------------------------------------ */

static int expand_shape(ad_call *c) {
    ad_shape to = ((const ad__shape_attrs *)c->attrs)->shape, from = c->shape, whole;
    int added = to.ndim - from.ndim;
    if (to.ndim < 0 || to.ndim > AD_MAX_NDIM || added < 0)
        return ad_call_fail(c, AD_ESHAPE, "expanding to %d dimensions", to.ndim);
    for (int i = added; i < to.ndim; i++)
        if (to.dim[i] == -1) to.dim[i] = from.dim[i - added];
    if (ad__broadcast(from, to, &whole) || !ad_shape_equal(whole, to)) {
        char text[96];
        ad_shape_text(to, text, sizeof text);
        return ad_call_fail(c, AD_ESHAPE, "cannot be repeated to %s: only axes of size 1 can", text);
    }
    c->shape = to;
    c->scratch = (size_t)c->in[0]->layout->numel * sizeof(double);
    return AD_OK;
}

static int expand_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_shape from = x->layout->shape, to = y->layout->shape;
    int added = to.ndim - from.ndim;
    int64_t step[AD_MAX_NDIM], own[AD_MAX_NDIM], there[AD_MAX_NDIM];
    ad__row_major(from, own);
    ad__row_major(to, there);
    for (int i = 0; i < to.ndim; i++) step[i] = i < added || from.dim[i - added] == 1 ? 0 : own[i - added];
    ad__copy_plan s = ad__copy_plan_of(to.ndim, to.dim, step, there);
    ad__copy(&s, y->layout->dtype, x->data, 0, y->data, 0);
    return AD_OK;
}

static void expand_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    ad__broadcast_map s = ad__broadcast_map_of(x->layout->shape, y->layout->shape);
    double *sums = ad__owner(y)->scratch;
    sum_repeats(ad__op_team(op), &s, y->layout->dtype, y->layout->numel, y->grad, x->layout->numel, sums);
    if (x->layout->dtype == AD_F32) ad__to_f32_add(x->layout->numel, sums, gx);
    else ad__array_add_f64(x->layout->numel, sums, gx);
}

static void expand_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_sum_to(g, op->in[0]->layout->shape); }

static void expand_samples(ad_sampler *s) {
    const ad_shape from[] = { AD_SCALAR, AD_SHAPE(3), AD_SHAPE(2, 1), AD_SHAPE(1, 3), AD_SHAPE(1), AD_SHAPE(1, 1) };
    const ad_shape to[] = { AD_SHAPE(2, 3), AD_SHAPE(2, 3), AD_SHAPE(4, 2, 3), AD_SHAPE(2, -1), AD_SHAPE(0), AD_SHAPE(1, 1) };
    for (int i = 0; i < AD__COUNT(from); i++) ad_sample(s, &(ad__shape_attrs){ to[i] }, 1, &from[i], NULL, NULL);
}

AD_OPTYPE(expand, .doc = "repeats axes of size 1, and new leading axes, to a shape; -1 keeps a size",
          .formula = "x, repeated", .gradient = "g summed over the repetitions", .arity = 1,
          .attr_size = sizeof(ad__shape_attrs), .attrs = ad__shape_list, .shape = expand_shape,
          .evaluate = { expand_evaluate, expand_evaluate }, .backward = { expand_backward, expand_backward },
          .vjp = expand_vjp);

ad_var *ad_expand(ad_var *x, ad_shape shape) { return ad__apply1(&ad_op_expand, x, &(ad__shape_attrs){ shape }); }
