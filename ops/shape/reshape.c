/* reshape.c: reshape, squeeze, unsqueeze and flatten, which give the same elements another shape. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/compile.h"
#include "ops/ops.h"

/* ---- reshape: a view --------------------------------------------------------------------------------- */

/* One size may be -1; it follows from the number of elements. */
static int reshape_shape(ad_call *c) {
    ad_shape to = ((const ad__shape_attrs *)c->attrs)->shape;
    int64_t numel = c->in[0]->layout->numel;
    int open = -1;
    for (int i = 0; i < to.ndim && i < AD_MAX_NDIM; i++)
        if (to.dim[i] == -1) {
            if (open >= 0) return ad_call_fail(c, AD_ESHAPE, "%s has two sizes of -1", ad_shape_str(to).text);
            open = i;
        }
    c->shape = to;
    if (open >= 0) c->shape.dim[open] = 1;
    int64_t known = ad_shape_numel(c->shape);
    if (open >= 0 && known > 0 && numel % known == 0) c->shape.dim[open] = numel / known;
    else if (open >= 0 || known != numel)
        return ad_call_fail(c, AD_ESHAPE, "%lld elements do not fit %s", (long long)numel, ad_shape_str(to).text);
    return AD_OK;
}

static int reshape_evaluate(const ad_op *op) { return (void)op, AD_OK; }
static void reshape_backward(const ad_op *op) { ad__add_gradient(op, 0, ad__out(op)->grad); }
static void reshape_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_reshape(g, op->in[0]->layout->shape); }

AD_COLD static int reshape_emit(ad_emit *e, const ad_op *op) {
    ad_emit_result(e, op, ad_emit_contiguous(e, ad_emit_operand(e, op, 0)));
    return AD_OK;
}

static void reshape_samples(ad_sampler *s) {
    ad_shape from[6];
    AD__SHAPES(from, "2,3 6 () 1,1 0,3 2,3,4");
    ad_shape to[6];
    AD__SHAPES(to, "3,2 2,-1 1 () 0 -1,4");
    for (int i = 0; i < AD__COUNT(from); i++) ad_sample(s, &(ad__shape_attrs){ to[i] }, 1, &from[i], NULL, NULL);
}

AD_OPTYPE(reshape, .doc = "the same elements in another shape; one size may be -1", .formula = "x", .gradient = "g",
          .arity = 1, .flags = AD_OP_VIEW | AD_OP_IN_PLACE, .attr_size = sizeof(ad__shape_attrs),
          .attrs = ad__shape_list, .shape = reshape_shape, .evaluate = { reshape_evaluate, reshape_evaluate },
          .backward = { reshape_backward, reshape_backward }, .vjp = reshape_vjp,
          .emit = reshape_emit);
ad_var *ad_reshape(ad_var *x, ad_shape shape) { return ad__apply1(&ad_op_reshape, x, &(ad__shape_attrs){ shape }); }

/* ---- other shapes by reshape ------------------------------------------------------------------------- */

ad_var *ad_squeeze(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "squeeze");
    ad_shape s = x->layout->shape;
    unsigned ones = 0;
    for (int i = 0; i < s.ndim; i++)
        if (s.dim[i] == 1) ones |= 1u << i;
    return ad_reshape(x, ad__reduced_shape(s, ones, false));
}

/* As in PyTorch, an axis of another size than 1 is kept; NumPy reports an error. */
ad_var *ad_squeeze_axis(ad_var *x, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "squeeze");
    const ad_call c = AD__CALL_AS("squeeze", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    return ad_reshape(x, ad__reduced_shape(c.shape, c.shape.dim[at] == 1 ? 1u << at : 0, false));
}

ad_var *ad_unsqueeze(ad_var *x, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "unsqueeze");
    ad_call c = AD__CALL_AS("unsqueeze", x);
    if (c.shape.ndim == AD_MAX_NDIM) {
        ad_call_fail(&c, AD_ESHAPE, "the result has more than %d dimensions", AD_MAX_NDIM);
        return ad_nil(c.graph);
    }
    int at = ad_call_axis(&c, axis, c.shape.ndim + 1);
    if (at < 0) return ad_nil(c.graph);
    for (int i = c.shape.ndim++; i > at; i--) c.shape.dim[i] = c.shape.dim[i - 1];
    c.shape.dim[at] = 1;
    return ad_reshape(x, c.shape);
}

/* Merges the axes start .. end, both included; a scalar becomes [1]. */
ad_var *ad_flatten(ad_var *x, int start, int end) {
    if (ad__absent(x)) return ad__nil_result(x, "flatten");
    const ad_call c = AD__CALL_AS("flatten", x);
    int ndim = c.shape.ndim ? c.shape.ndim : 1;
    int first = ad_call_axis(&c, start, ndim), last = ad_call_axis(&c, end, ndim);
    if (first < 0 || last < 0) return ad_nil(c.graph);
    if (first > last) {
        ad_call_fail(&c, AD_ESHAPE, "the start axis %d is after the end axis %d", first, last);
        return ad_nil(c.graph);
    }
    ad_shape to = { .ndim = ndim - (last - first) };
    for (int i = 0; i < first; i++) to.dim[i] = c.shape.dim[i];
    to.dim[first] = 1;
    for (int i = first; i <= last && i < c.shape.ndim; i++) to.dim[first] *= c.shape.dim[i];
    for (int i = last + 1; i < ndim; i++) to.dim[i - (last - first)] = c.shape.dim[i];
    return ad_reshape(x, to);
}
