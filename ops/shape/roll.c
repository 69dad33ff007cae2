/* roll.c: flip and roll, which reverse and rotate elements along axes. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/copy.h"
#include "ops/ops.h"

/* ---- flip ------------------------------------------------------------------------------------------------- */

static int flip_shape(ad_call *c) {
    const ad__axes_attrs *a = c->attrs;
    int mask = ad__call_axes(c, a->n, a->axis);
    return mask < 0 ? mask : AD_OK;
}

/* The copy from x to y, and the offset in x of y's first element. */
static ad__copy_plan flip_plan(const ad_op *op, int64_t *at) {
    ad_shape s = op->in[0]->layout->shape;
    unsigned mask = ad__axes_mask(ad__attrs_of(op), s.ndim);
    int64_t from[AD_MAX_NDIM], to[AD_MAX_NDIM];
    ad__row_major(s, from);
    ad__row_major(s, to);
    *at = 0;
    for (int i = 0; i < s.ndim; i++)
        if (mask >> i & 1 && s.dim[i] > 0) *at += (s.dim[i] - 1) * from[i], from[i] = -from[i];
    return ad__copy_plan_of(s.ndim, s.dim, from, to);
}

static int flip_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t at;
    ad__copy_plan p = flip_plan(op, &at);
    ad__copy(&p, y->layout->dtype, x->data, at, y->data, 0);
    return AD_OK;
}

static void flip_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    int64_t at;
    ad__copy_plan p = flip_plan(op, &at); /* its own inverse */
    if (gx != NULL) (fresh ? ad__copy : ad__copy_add)(&p, y->layout->dtype, y->grad, at, gx, 0);
}

static void flip_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad__apply1(&ad_op_flip, g, ad__attrs_of(op)); }

AD_COLD static int flip_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    unsigned mask = ad__axes_mask(ad__attrs_of(op), x.shape.ndim);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    for (int i = 0; i < x.shape.ndim; i++)
        if (mask >> i & 1) x = ad__emit_part(x, i, x.shape.dim[i] - 1, x.shape.dim[i], -1);
    ad_emit_result(e, op, x);
    return AD_OK;
}

static void flip_samples(ad_sampler *s) {
    ad_shape cube = AD_SHAPE(3, 2, 4);
    for (int axis = -3; axis < 3; axis++) ad_sample(s, &(ad__axes_attrs){ 1, { axis }, false }, 1, &cube, NULL, NULL);
    ad_sample(s, &(ad__axes_attrs){ 2, { 0, 2 }, false }, 1, &cube, NULL, NULL);
    ad_sample(s, &(ad__axes_attrs){ 0, { 0 }, false }, 1, &cube, NULL, NULL);
    ad_shape shapes[6];
    AD__SHAPES(shapes, "() 1 7 3,4 0,2 2,0");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, &(ad__axes_attrs){ .n = -1 }, 1, &shapes[i], NULL, NULL);
}

static const ad_attr flip_list[] = { { "axes", AD_ATTR_AXES, offsetof(ad__axes_attrs, n) }, { 0 } };

AD_OPTYPE(flip, .doc = "x with the elements reversed along one axis or several", .formula = "x[.., n-1-i, ..]",
          .gradient = "flip(g)", .arity = 1, .attr_size = sizeof(ad__axes_attrs), .attrs = flip_list,
          .shape = flip_shape, .evaluate = { flip_evaluate, flip_evaluate },
          .backward = { flip_backward, flip_backward }, .vjp = flip_vjp, .emit = flip_emit);
ad_var *ad_flip(ad_var *x, int axis) { return ad__apply1(&ad_op_flip, x, &(ad__axes_attrs){ 1, { axis }, false }); }
ad_var *ad_flip_axes(ad_var *x, int n, const int *axes) {
    ad__axes_attrs a = ad__axes_of(n, axes);
    return ad__apply1(&ad_op_flip, x, &a);
}

/* ---- roll --------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t shift;
    int axis;
} roll_attrs;

static const ad_attr roll_list[] = { { "shift", AD_ATTR_INT64, offsetof(roll_attrs, shift) },
                                     { "axis", AD_ATTR_INT, offsetof(roll_attrs, axis) },
                                     { 0 } };

static int roll_shape(ad_call *c) {
    int axis = ad_call_axis(c, ((const roll_attrs *)c->attrs)->axis, c->shape.ndim);
    return axis < 0 ? axis : AD_OK;
}

typedef void copy_fn(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);

/* Each row of n pieces is copied in two parts: the first moves by shift pieces, the second moves to the front. */
static void roll_by(const ad_op *op, int64_t shift, copy_fn *copy, const void *x, void *y) {
    const ad__layout *l = op->in[0]->layout;
    ad__around a = ad__around_axis(l->shape, ((const roll_attrs *)ad__attrs_of(op))->axis);
    if (l->numel == 0) return;
    int64_t row = a.n * a.inner, ahead = ((shift % a.n + a.n) % a.n) * a.inner, stride[] = { row, 1 };
    ad__copy_plan first = ad__copy_plan_of(2, (int64_t[]){ a.outer, row - ahead }, stride, stride);
    ad__copy_plan second = ad__copy_plan_of(2, (int64_t[]){ a.outer, ahead }, stride, stride);
    copy(&first, l->dtype, x, 0, y, ahead);
    copy(&second, l->dtype, x, row - ahead, y, 0);
}

static int64_t shift_of(const ad_op *op) { return ((const roll_attrs *)ad__attrs_of(op))->shift; }

/* The inverse shift. INT64_MIN has no negation; modulo 2^64 it is its own. */
static int64_t negated(int64_t shift) { return shift == INT64_MIN ? INT64_MIN : -shift; }

static int roll_evaluate(const ad_op *op) {
    roll_by(op, shift_of(op), ad__copy, op->in[0]->data, ad_values(op));
    return AD_OK;
}

static void roll_backward(const ad_op *op) {
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL)
        roll_by(op, negated(shift_of(op)), fresh ? ad__copy : ad__copy_add, ad__out(op)->grad, gx);
}

static void roll_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_roll(g, ((const roll_attrs *)ad__attrs_of(op))->axis, negated(shift_of(op)));
}

AD_COLD static int roll_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), y;
    int axis = ((const roll_attrs *)ad__attrs_of(op))->axis;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    if (axis < 0) axis += x.shape.ndim;
    if (x.shape.ndim == 0) x = ad__emit_unsqueeze(x, axis = 0);
    int64_t n = x.shape.dim[axis], ahead = (shift_of(op) % n + n) % n;
    y = ad_emit_new(e, x.dtype, x.shape);
    ad__emit_copy(e, ad__emit_part(x, axis, 0, n - ahead, 1), ad__emit_part(y, axis, ahead, n - ahead, 1));
    if (ahead > 0) ad__emit_copy(e, ad__emit_part(x, axis, n - ahead, ahead, 1), ad__emit_part(y, axis, 0, ahead, 1));
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void roll_samples(ad_sampler *s) {
    const int64_t shifts[] = { 0, 1, -1, 4, 5, 12, -13 };
    for (int i = 0; i < AD__COUNT(shifts); i++)
        ad__sample_text(s, &(roll_attrs){ shifts[i], 0 }, 1, "5", NULL, NULL);
    for (int axis = -3; axis < 3; axis++) ad__sample_text(s, &(roll_attrs){ 1, axis }, 1, "3,2,4", NULL, NULL);
    ad__sample_text(s, &(roll_attrs){ 1, 0 }, 1, "0,2", NULL, NULL);
    ad__sample_text(s, &(roll_attrs){ 1, 0 }, 1, "1", NULL, NULL);
}

AD_OPTYPE(roll, .doc = "x with the elements shifted along an axis, wrapping around at the end",
          .formula = "y[.., (i + shift) mod n, ..] = x[.., i, ..]", .gradient = "roll(g, -shift)", .arity = 1,
          .attr_size = sizeof(roll_attrs), .attrs = roll_list, .shape = roll_shape,
          .evaluate = { roll_evaluate, roll_evaluate }, .backward = { roll_backward, roll_backward }, .vjp = roll_vjp,
          .emit = roll_emit);
ad_var *ad_roll(ad_var *x, int axis, int64_t shift) { return ad__apply1(&ad_op_roll, x, &(roll_attrs){ shift, axis }); }
