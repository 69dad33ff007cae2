/* transpose.c: transpose and permute, which reorder the axes of an array. */
#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/copy.h"
#include "ops/compile.h"
#include "ops/ops.h"

/* ---- transpose: x [..,n,m] -> y [..,m,n] ---------------------------------------------------------------- */

static int transpose_shape(ad_call *c) {
    int n = c->shape.ndim;
    if (n < 2) return ad_call_fail(c, AD_ESHAPE, "needs at least 2 dimensions; it swaps the last two");
    int64_t last = c->shape.dim[n - 1];
    c->shape.dim[n - 1] = c->shape.dim[n - 2];
    c->shape.dim[n - 2] = last;
    return AD_OK;
}

/* A plan of three axes, already in the best order: ad__copy_plan_of takes longer than a small transpose. */
static void transpose_plan(ad_shape from, ad__copy_plan *p) {
    int64_t n = from.dim[from.ndim - 2], m = from.dim[from.ndim - 1];
    p->ndim = 3;
    p->dim[0] = 1, p->from[0] = p->to[0] = n * m;
    for (int i = 0; i < from.ndim - 2; i++) p->dim[0] *= from.dim[i];
    p->dim[1] = m, p->from[1] = 1, p->to[1] = n;
    p->dim[2] = n, p->from[2] = m, p->to[2] = 1;
    if (n == 1 || m == 1) *p = ad__copy_plan_of(3, p->dim, p->from, p->to); /* a contiguous copy */
}

static int transpose_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__copy_plan p;
    transpose_plan(x->layout->shape, &p);
    ad__copy(&p, y->layout->dtype, x->data, 0, y->data, 0);
    return AD_OK;
}

static void transpose_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__copy_plan p;
    transpose_plan(y->layout->shape, &p);
    if (gx != NULL) (fresh ? ad__copy : ad__copy_add)(&p, y->layout->dtype, y->grad, 0, gx, 0);
}

static void transpose_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    dx[0] = ad_transpose(g);
}

AD_COLD static int transpose_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), y = x;
    for (int i = 1, n = x.shape.ndim; i <= 2; i++) {
        y.shape.dim[n - i] = x.shape.dim[n - 3 + i];
        y.stride[n - i] = x.stride[n - 3 + i];
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void transpose_samples(ad_sampler *s) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "2,3 1,4 3,2,4 0,3 19,33");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], NULL, NULL);
}

AD_OPTYPE(transpose, .doc = "swaps the last two axes", .formula = "x^T", .gradient = "g^T", .arity = 1,
          .shape = transpose_shape, .evaluate = { transpose_evaluate, transpose_evaluate },
          .backward = { transpose_backward, transpose_backward }, .vjp = transpose_vjp,
          .emit = transpose_emit);
ad_var *ad_transpose(ad_var *x) { return ad__apply1(&ad_op_transpose, x, NULL); }

/* ---- permute: any order ------------------------------------------------------------------------------------- */

static ad_shape axes_of(const void *attrs) { return ((const ad__shape_attrs *)attrs)->shape; }

/* axes [ndim] -> order: axis i of y is axis order[i] of x. */
static int check_axes(const ad_call *c, ad_shape axes, int *order) {
    unsigned seen = 0;
    int n = c->in[0]->layout->shape.ndim;
    if (axes.ndim != n)
        return ad_call_fail(c, AD_ESHAPE, "%d axes given for %d dimensions; name each once", axes.ndim, n);
    for (int i = 0; i < n; i++) {
        bool small = axes.dim[i] >= -AD_MAX_NDIM && axes.dim[i] <= AD_MAX_NDIM;
        order[i] = ad_call_axis(c, small ? (int)axes.dim[i] : AD_MAX_NDIM, n);
        if (order[i] < 0) return order[i];
        if (seen >> order[i] & 1) return ad_call_fail(c, AD_ESHAPE, "axis %d is named twice", order[i]);
        seen |= 1u << order[i];
    }
    return AD_OK;
}

static int permute_shape(ad_call *c) {
    int order[AD_MAX_NDIM];
    ad_shape x = c->shape;
    int rc = check_axes(c, axes_of(c->attrs), order);
    for (int i = 0; i < x.ndim && rc == AD_OK; i++) c->shape.dim[i] = x.dim[order[i]];
    return rc;
}

static int order_at(const ad_op *op, int i) {
    int64_t axis = axes_of(ad__attrs_of(op)).dim[i];
    return (int)(axis < 0 ? axis + op->in[0]->layout->shape.ndim : axis);
}

static ad__copy_plan permute_plan(const ad_op *op) {
    ad_shape x = op->in[0]->layout->shape, y = ad__out(op)->layout->shape;
    int64_t of_axis[AD_MAX_NDIM], from[AD_MAX_NDIM], to[AD_MAX_NDIM];
    ad__row_major(x, of_axis);
    ad__row_major(y, to);
    for (int i = 0; i < y.ndim; i++) from[i] = of_axis[order_at(op, i)];
    return ad__copy_plan_of(y.ndim, y.dim, from, to);
}

static int permute_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__copy_plan p = permute_plan(op);
    ad__copy(&p, y->layout->dtype, x->data, 0, y->data, 0);
    return AD_OK;
}

static void permute_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    ad__copy_plan p = permute_plan(op), back = ad__copy_plan_back(&p);
    if (gx != NULL) (fresh ? ad__copy : ad__copy_add)(&back, y->layout->dtype, y->grad, 0, gx, 0);
}

static void permute_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape back = { .ndim = g->layout->shape.ndim };
    for (int i = 0; i < back.ndim; i++) back.dim[order_at(op, i)] = i;
    dx[0] = ad_permute(g, back);
}

AD_COLD static int permute_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), y = x;
    for (int i = 0; i < x.shape.ndim; i++) {
        y.shape.dim[i] = x.shape.dim[order_at(op, i)];
        y.stride[i] = x.stride[order_at(op, i)];
    }
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void permute_samples(ad_sampler *s) {
    ad_shape cases[15][2]; /* x and the axes */
    AD__SHAPES(cases, "2,3 1,0; 2,3,4 0,1,2; 2,3,4 2,0,1; 2,3,4 1,2,0; 2,3,4 0,-1,-2; 2,3,4 2,1,0; 2,3,4 1,0,2; () (); "
                      "4 0; 1,4,1 2,1,0; 2,0,3 2,0,1; 2,1,3,1,2,3 5,3,1,4,2,0; 19,2,18 2,1,0; 2,2,2,2,2,2 3,4,5,0,1,2; "
                      "3,2,3,2 0,2,1,3");
    for (int i = 0; i < AD__COUNT(cases); i++)
        ad_sample(s, &(ad__shape_attrs){ cases[i][1] }, 1, &cases[i][0], NULL, NULL);
}

static const ad_attr permute_list[] = { { "axes", AD_ATTR_SHAPE, offsetof(ad__shape_attrs, shape) }, { 0 } };

AD_OPTYPE(permute, .doc = "reorders the axes: axis i of the result is axis axes[i] of x",
          .formula = "y[i[axes[0]], i[axes[1]], ..] = x[i[0], i[1], ..]", .gradient = "g, with the axes in x's order",
          .arity = 1, .attr_size = sizeof(ad__shape_attrs), .attrs = permute_list, .shape = permute_shape,
          .evaluate = { permute_evaluate, permute_evaluate }, .backward = { permute_backward, permute_backward },
          .vjp = permute_vjp, .emit = permute_emit);
ad_var *ad_permute(ad_var *x, ad_shape axes) { return ad__apply1(&ad_op_permute, x, &(ad__shape_attrs){ axes }); }
