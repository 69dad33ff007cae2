/* reshape.c: ops that move, convert or cut off values: reshape, transpose, cast, detach, one_hot. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- reshape: a view --------------------------------------------------------------------------------- */

/* One size may be -1: what the number of elements leaves for it. */
static int reshape_shape(ad_call *c) {
    ad_shape to = ((const ad__shape_attrs *)c->attrs)->shape;
    int64_t numel = c->in[0]->layout->numel, known = 1;
    int open = -1;
    char text[160];
    ad_shape_text(to, text, sizeof text);
    for (int i = 0; i < to.ndim && i < AD_MAX_NDIM; i++) {
        if (to.dim[i] != -1) known *= to.dim[i];
        else if (open >= 0) return ad_call_fail(c, AD_ESHAPE, "%s leaves two sizes open", text);
        else open = i;
    }
    if (open >= 0 && known > 0 && numel % known == 0) to.dim[open] = numel / known;
    if (ad_shape_numel(to) != numel)
        return ad_call_fail(c, AD_ESHAPE, "%lld elements do not make %s", (long long)numel, text);
    c->shape = to;
    return AD_OK;
}

static int view_evaluate(const ad_op *op) { return (void)op, AD_OK; }
static void reshape_backward(const ad_op *op) { ad__add_gradient(op, 0, ad__out(op)->grad); }
static void reshape_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_reshape(g, op->in[0]->layout->shape); }

static void reshape_samples(ad_sampler *s) {
    const ad_shape from[] = { AD_SHAPE(2, 3), AD_SHAPE(6), AD_SCALAR, AD_SHAPE(1, 1), AD_SHAPE(0, 3), AD_SHAPE(2, 3, 4) };
    const ad_shape to[] = { AD_SHAPE(3, 2), AD_SHAPE(2, -1), AD_SHAPE(1), AD_SCALAR, AD_SHAPE(0), AD_SHAPE(-1, 4) };
    for (int i = 0; i < AD__COUNT(from); i++) ad_sample(s, &(ad__shape_attrs){ to[i] }, 1, &from[i], NULL, NULL);
}

AD_OPTYPE(reshape, .doc = "the same elements in another shape; one size may be -1", .formula = "x", .gradient = "g",
          .arity = 1, .flags = AD_OP_VIEW | AD_OP_IN_PLACE, .attr_size = sizeof(ad__shape_attrs), .attrs = ad__shape_list,
          .shape = reshape_shape, .evaluate = { view_evaluate, view_evaluate },
          .backward = { reshape_backward, reshape_backward }, .vjp = reshape_vjp);
ad_var *ad_reshape(ad_var *x, ad_shape shape) { return ad__apply1(&ad_op_reshape, x, &(ad__shape_attrs){ shape }); }

/* ---- transpose: x [..,n,m] -> y [..,m,n] ---------------------------------------------------------------- */

static int transpose_shape(ad_call *c) {
    int n = c->shape.ndim;
    if (n < 2) return ad_call_fail(c, AD_ESHAPE, "takes 2 dimensions or more, and swaps the last two");
    int64_t last = c->shape.dim[n - 1];
    c->shape.dim[n - 1] = c->shape.dim[n - 2];
    c->shape.dim[n - 2] = last;
    return AD_OK;
}

/* Three axes in the best order as they stand: a search for it takes longer than to transpose a small matrix. */
static void plan_transpose(ad_shape from, ad__copy_plan *p) {
    int64_t n = from.dim[from.ndim - 2], m = from.dim[from.ndim - 1];
    p->ndim = 3;
    p->dim[0] = 1, p->from[0] = p->to[0] = n * m;
    for (int i = 0; i < from.ndim - 2; i++) p->dim[0] *= from.dim[i];
    p->dim[1] = m, p->from[1] = 1, p->to[1] = n;
    p->dim[2] = n, p->from[2] = m, p->to[2] = 1;
    if (n == 1 || m == 1) *p = ad__copy_plan_of(3, p->dim, p->from, p->to); /* vectors keep their order */
}

static int transpose_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__copy_plan p;
    plan_transpose(x->layout->shape, &p);
    ad__copy(&p, y->layout->dtype, x->data, 0, y->data, 0);
    return AD_OK;
}

static void transpose_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__copy_plan p;
    plan_transpose(y->layout->shape, &p);
    if (gx != NULL) (fresh ? ad__copy : ad__copy_add)(&p, y->layout->dtype, y->grad, 0, gx, 0);
}

static void transpose_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    dx[0] = ad_transpose(g);
}

static void transpose_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(2, 3), AD_SHAPE(1, 4), AD_SHAPE(3, 2, 4), AD_SHAPE(0, 3), AD_SHAPE(19, 33) };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(transpose, .doc = "swaps the last two axes", .formula = "x^T", .gradient = "g^T", .arity = 1,
          .shape = transpose_shape, .evaluate = { transpose_evaluate, transpose_evaluate },
          .backward = { transpose_backward, transpose_backward }, .vjp = transpose_vjp);
ad_var *ad_transpose(ad_var *x) { return ad__apply1(&ad_op_transpose, x, NULL); }

/* ---- cast ------------------------------------------------------------------------------------------------ */

static const ad_attr cast_list[] = { { "dtype", AD_ATTR_INT, 0 }, { 0 } };

static int cast_shape(ad_call *c) {
    int t = *(const int *)c->attrs;
    if (t != AD_F32 && t != AD_F64) return ad_call_fail(c, AD_EDTYPE, "%d is no dtype; AD_F32 and AD_F64 are", t);
    c->dtype = (ad_dtype)t;
    return AD_OK;
}

static int cast_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->numel;
    if (x->layout->dtype == y->layout->dtype) memcpy(y->data, x->data, ad__bytes(y));
    else if (y->layout->dtype == AD_F32) ad__to_f32(n, x->data, y->data);
    else ad__to_f64(n, x->data, y->data);
    return AD_OK;
}

static void cast_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = y->layout->numel;
    if (x->layout->dtype == y->layout->dtype) {
        ad__add_gradient(op, 0, y->grad);
        return;
    }
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx == NULL) return;
    if (fresh && x->layout->dtype == AD_F32) ad__to_f32(n, y->grad, gx);
    else if (fresh) ad__to_f64(n, y->grad, gx);
    else if (x->layout->dtype == AD_F32) ad__to_f32_add(n, y->grad, gx);
    else for (int64_t i = 0; i < n; i++) ((double *)gx)[i] += (double)((const float *)y->grad)[i];
}

static void cast_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_cast(g, op->in[0]->layout->dtype); }

/* What a cast to f32 loses hides from differences: that direction's gradient is tested beside f64's. */
static void cast_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(0), AD_SHAPE(5), AD_SHAPE(2, 3) };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int t = AD_F32; t <= AD_F64; t++) ad_sample(s, &t, 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(cast, .doc = "the same numbers as f32 or f64", .formula = "x", .gradient = "g", .arity = 1,
          .flags = AD_OP_MIXED, .attr_size = sizeof(int), .attrs = cast_list, .shape = cast_shape,
          .evaluate = { cast_evaluate, cast_evaluate }, .backward = { cast_backward, cast_backward },
          .vjp = cast_vjp);
ad_var *ad_cast(ad_var *x, ad_dtype dtype) { return ad__apply1(&ad_op_cast, x, &(int){ (int)dtype }); }

/* ---- detach: a view that gradients do not pass ------------------------------------------------------------- */

static int same_shape(ad_call *c) { return (void)c, AD_OK; }
static void detach_samples(ad_sampler *s) { ad_sample(s, NULL, 1, &AD_SHAPE(2, 3), NULL, NULL); }

AD_OPTYPE(detach, .doc = "x as a constant: gradients stop here", .formula = "x", .arity = 1,
          .flags = AD_OP_VIEW | AD_OP_CONSTANT, .shape = same_shape, .evaluate = { view_evaluate, view_evaluate });
ad_var *ad_detach(ad_var *x) { return ad__apply1(&ad_op_detach, x, NULL); }

/* ---- one_hot: class numbers [..] -> [..,n] ------------------------------------------------------------------- */

static const ad_attr one_hot_list[] = { { "n", AD_ATTR_INT64, 0 }, { 0 } };

static int one_hot_shape(ad_call *c) {
    int64_t n = *(const int64_t *)c->attrs;
    if (n < 1) return ad_call_fail(c, AD_ESHAPE, "%lld classes; at least one is needed", (long long)n);
    if (c->shape.ndim == AD_MAX_NDIM) return ad_call_fail(c, AD_ESHAPE, "no room for a dimension more than %d", AD_MAX_NDIM);
    c->shape.dim[c->shape.ndim++] = n;
    return AD_OK;
}

static int one_hot_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    int64_t n = *(const int64_t *)ad__attrs_of(op);
    memset(y->data, 0, ad__bytes(y));
    for (int64_t i = 0; i < op->in[0]->layout->numel; i++) {
        double class = ad_at(op->in[0], i);
        if (!(class >= 0 && class < (double)n && class == floor(class)))
            return ad_op_fail(op, AD_EVALUE, "element %lld is %g, not one of 0..%lld", (long long)i, class, (long long)n - 1);
        if (y->layout->dtype == AD_F32) ((float *)y->data)[i * n + (int64_t)class] = 1;
        else ((double *)y->data)[i * n + (int64_t)class] = 1;
    }
    return AD_OK;
}

static void one_hot_samples(ad_sampler *s) {
    const double classes[] = { 2, 0, 1, 2 }, *values[] = { classes };
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(4), AD_SHAPE(2, 2), AD_SHAPE(0) };
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample_values(s, &(int64_t){ 3 }, 1, &shapes[i], values, 0);
}

AD_OPTYPE(one_hot, .doc = "a row of n with a 1 at each class number and 0 elsewhere", .formula = "y[i, x[i]] = 1",
          .arity = 1, .flags = AD_OP_CONSTANT, .no_grad = 1, .attr_size = sizeof(int64_t), .attrs = one_hot_list,
          .shape = one_hot_shape, .evaluate = { one_hot_evaluate, one_hot_evaluate });
ad_var *ad_one_hot(ad_var *classes, int64_t n) { return ad__apply1(&ad_op_one_hot, classes, &n); }
