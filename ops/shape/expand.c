/* expand.c: expand, tile and repeat_interleave, which repeat elements. */
#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/shape/copy.h"
#include "ops/compile.h"
#include "ops/ops.h"

#include <string.h>

/* ---- expand ------------------------------------------------------------------------------------------------ */

static int expand_shape(ad_call *c) {
    ad_shape to = ((const ad__shape_attrs *)c->attrs)->shape, from = c->shape, whole;
    if (to.ndim < from.ndim || to.ndim > AD_MAX_NDIM)
        return ad_call_fail(c, AD_ESHAPE, "cannot expand to %d dimensions", to.ndim);
    int added = to.ndim - from.ndim;
    for (int i = added; i < to.ndim; i++)
        if (to.dim[i] == -1) to.dim[i] = from.dim[i - added];
    if (ad__broadcast(from, to, &whole) || !ad_shape_equal(whole, to))
        return ad_call_fail(c, AD_ESHAPE, "cannot expand to %s; only axes of size 1 expand", ad_shape_str(to).text);
    c->shape = to;
    c->scratch = (size_t)c->in[0]->layout->numel * sizeof(double);
    return AD_OK;
}

static int expand_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_shape from = x->layout->shape, to = y->layout->shape;
    int added = to.ndim - from.ndim;
    int64_t step[AD_MAX_NDIM], of_x[AD_MAX_NDIM], of_y[AD_MAX_NDIM];
    ad__row_major(from, of_x);
    ad__row_major(to, of_y);
    for (int i = 0; i < to.ndim; i++) step[i] = i < added || from.dim[i - added] == 1 ? 0 : of_x[i - added];
    ad__copy_plan p = ad__copy_plan_of(to.ndim, to.dim, step, of_y);
    ad__copy(&p, y->layout->dtype, x->data, 0, y->data, 0);
    return AD_OK;
}

static void expand_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    int64_t n = x->layout->numel;
    if (gx == NULL || n == 0) return;
    ad__broadcast_map map = ad__broadcast_map_of(x->layout->shape, y->layout->shape);
    double *sums = memset(ad_scratch(op), 0, (size_t)n * sizeof *sums);
    ad__broadcast_sum(ad__op_team(op), &map, y->layout->dtype, y->layout->numel, y->grad, sums);
    if (x->layout->dtype == AD_F32) ad__to_f32_add(n, sums, gx);
    else ad__array_add_f64(n, sums, gx);
}

static void expand_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_sum_to(g, op->in[0]->layout->shape); }

AD_COLD static int expand_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), y = x;
    y.shape = ad__out(op)->layout->shape;
    if (ad_shape_numel(y.shape) == 0) return AD_EABSENT;
    for (int d = y.shape.ndim, i = x.shape.ndim; d-- > 0;)
        y.stride[d] = --i >= 0 && x.shape.dim[i] != 1 ? x.stride[i] : 0;
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void expand_samples(ad_sampler *s) {
    ad_shape from[6];
    AD__SHAPES(from, "() 3 2,1 1,3 1 1,1");
    ad_shape to[6];
    AD__SHAPES(to, "2,3 2,3 4,2,3 2,-1 0 1,1");
    for (int i = 0; i < AD__COUNT(from); i++) ad_sample(s, &(ad__shape_attrs){ to[i] }, 1, &from[i], NULL, NULL);
}

AD_OPTYPE(expand, .doc = "repeats axes of size 1, and new leading axes, to a shape; -1 keeps a size",
          .formula = "x, broadcast", .gradient = "g summed over the repetitions", .arity = 1,
          .attr_size = sizeof(ad__shape_attrs), .attrs = ad__shape_list, .shape = expand_shape,
          .evaluate = { expand_evaluate, expand_evaluate }, .backward = { expand_backward, expand_backward },
          .vjp = expand_vjp, .emit = expand_emit);
ad_var *ad_expand(ad_var *x, ad_shape shape) { return ad__apply1(&ad_op_expand, x, &(ad__shape_attrs){ shape }); }

/* ---- tile, repeat_interleave: by expand ---------------------------------------------------------------------- */

/* Multiplies the size of an axis by k. Sets the error and returns false if k is negative or the result too large. */
static bool lengthen(const ad_call *c, ad_shape *s, int axis, int64_t k) {
    if (k < 0) return ad_call_fail(c, AD_EVALUE, "axis %d cannot repeat %lld times", axis, (long long)k), false;
    if (__builtin_mul_overflow(s->dim[axis], k, &s->dim[axis]) || ad_shape_numel(*s) < 0)
        return ad_call_fail(c, AD_ESHAPE, "the result would have too many elements"), false;
    return true;
}

/* x as pieces of `inner` elements, each piece repeated k times in sequence. */
static ad_var *repeat_pieces(ad_var *x, int64_t pieces, int64_t inner, int64_t k) {
    return ad_expand(ad_reshape(x, AD_SHAPE(pieces, 1, inner)), AD_SHAPE(pieces, k, inner));
}

/* tile of NumPy and PyTorch. It starts at the last axis, so that the largest copies are of long pieces. */
ad_var *ad_tile(ad_var *x, ad_shape reps) {
    if (ad__absent(x)) return ad__nil_result(x, "tile");
    const ad_call c = AD__CALL_AS("tile", x);
    if (reps.ndim < 0 || reps.ndim > AD_MAX_NDIM) {
        ad_call_fail(&c, AD_ESHAPE, "cannot repeat along %d axes", reps.ndim);
        return ad_nil(c.graph);
    }
    ad_shape s = { .ndim = reps.ndim > c.shape.ndim ? reps.ndim : c.shape.ndim };
    int added = s.ndim - c.shape.ndim;
    for (int i = 0; i < s.ndim; i++) s.dim[i] = i < added ? 1 : c.shape.dim[i - added];
    ad_var *y = x;
    for (int i = s.ndim - 1, r = reps.ndim - 1; r >= 0; i--, r--) {
        ad__around a = ad__around_axis(s, i);
        if (!lengthen(&c, &s, i, reps.dim[r])) return ad_nil(c.graph);
        if (reps.dim[r] != 1) y = repeat_pieces(y, a.outer, a.n * a.inner, reps.dim[r]);
    }
    return ad_reshape(y, s);
}

/* repeat_interleave of PyTorch, repeat of NumPy: each element of an axis is repeated k times in sequence. */
ad_var *ad_repeat_interleave(ad_var *x, int axis, int64_t k) {
    if (ad__absent(x)) return ad__nil_result(x, "repeat_interleave");
    const ad_call c = AD__CALL_AS("repeat_interleave", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    ad_shape s = c.shape;
    if (at < 0 || !lengthen(&c, &s, at, k)) return ad_nil(c.graph);
    ad__around a = ad__around_axis(c.shape, at);
    return ad_reshape(repeat_pieces(x, a.outer * a.n, a.inner, k), s);
}
