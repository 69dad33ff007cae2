/* cast.c: cast, which converts to another dtype, and detach, which stops gradients. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/compile.h"
#include "ops/ops.h"

#include <string.h>

/* ---- cast ---------------------------------------------------------------------------------------------------- */

static const ad_attr cast_list[] = { { "dtype", AD_ATTR_INT, 0 }, { 0 } };
static const ad_attr_values cast_values[] = { { "dtype", "f32 f64" }, { 0 } };

static int cast_shape(ad_call *c) {
    int t = *(const int *)c->attrs;
    if (t != AD_F32 && t != AD_F64) return ad_call_fail(c, AD_EDTYPE, "%d is not a dtype; use AD_F32 or AD_F64", t);
    c->dtype = (ad_dtype)t;
    return AD_OK;
}

static int cast_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    if (y->layout->numel == 0) return AD_OK;
    if (x->layout->dtype == t) memcpy(y->data, x->data, ad__bytes(y));
    else AD__BY_DTYPE(t, ad__to, y->layout->numel, x->data, y->data);
    return AD_OK;
}

static void cast_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_dtype t = x->layout->dtype;
    int64_t n = y->layout->numel;
    if (t == y->layout->dtype) {
        ad__add_gradient(op, 0, y->grad);
        return;
    }
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx == NULL) return;
    if (fresh) AD__BY_DTYPE(t, ad__to, n, y->grad, gx);
    else if (t == AD_F32) ad__to_f32_add(n, y->grad, gx);
    else ad__to_f64_add(n, y->grad, gx);
}

static void cast_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_cast(g, op->in[0]->layout->dtype); }

/* A cast to f32 rounds too coarsely for finite differences, so its gradient is compared with that in f64. */
static void cast_samples(ad_sampler *s) {
    ad_shape shapes[4];
    AD__SHAPES(shapes, "() 0 5 2,3");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int t = AD_F32; t <= AD_F64; t++) ad_sample(s, &t, 1, &shapes[i], NULL, NULL);
}

AD_COLD static int cast_emit(ad_emit *e, const ad_op *op) {
    const ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = ad__out(op)->layout->dtype, .shape = x.shape,
                                                          .names = "x", .value = "x", .slope = { "g" }, .n = 1,
                                                          .in = { x } }));
    return AD_OK;
}

AD_OPTYPE(cast, .doc = "x converted to f32 or f64", .formula = "x", .gradient = "g", .arity = 1,
          .flags = AD_OP_MIXED, .attr_size = sizeof(int), .attrs = cast_list, .values = cast_values,
          .shape = cast_shape,
          .evaluate = { cast_evaluate, cast_evaluate }, .backward = { cast_backward, cast_backward },
          .vjp = cast_vjp, .emit = cast_emit);
ad_var *ad_cast(ad_var *x, ad_dtype dtype) { return ad__apply1(&ad_op_cast, x, &(int){ (int)dtype }); }

/* ---- detach: a view that blocks gradients -------------------------------------------------------------------- */

static int detach_shape(ad_call *c) { return (void)c, AD_OK; }
static int detach_evaluate(const ad_op *op) { return (void)op, AD_OK; }
AD_COLD static int detach_emit(ad_emit *e, const ad_op *op) {
    const ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x",
                                                          .value = "x", .n = 1, .in = { x } }));
    return AD_OK;
}

static void detach_samples(ad_sampler *s) { ad__sample_text(s, NULL, 1, "2,3", NULL, NULL); }

AD_OPTYPE(detach, .doc = "x as a constant: gradients stop here", .formula = "x", .arity = 1,
          .flags = AD_OP_VIEW | AD_OP_CONSTANT, .shape = detach_shape,
          .evaluate = { detach_evaluate, detach_evaluate }, .emit = detach_emit);
ad_var *ad_detach(ad_var *x) { return ad__apply1(&ad_op_detach, x, NULL); }
