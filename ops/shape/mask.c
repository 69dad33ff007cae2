/* mask.c: masked_fill, which replaces elements selected by a mask. */
#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/shape/index.h"
#include "ops/ops.h"

#include <math.h>

static const ad_attr masked_fill_list[] = { { "value", AD_ATTR_DOUBLE, 0 }, { 0 } };

static int masked_fill_shape(ad_call *c) {
    ad_shape whole;
    if (!ad__broadcast(c->shape, c->in[1]->layout->shape, &whole) && ad_shape_equal(whole, c->shape)) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "x and the mask must broadcast");
}

static int masked_fill_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *mask = op->in[1], *y = ad__out(op);
    ad__broadcast_map map = ad__broadcast_map_of(mask->layout->shape, x->layout->shape);
    double value = *(const double *)ad__attrs_of(op);
    AD__BY_DTYPE(y->layout->dtype, ad__mask_fill, &map, y->layout->numel, mask->data, value, x->data, y->data);
    return AD_OK;
}

static void masked_fill_backward(const ad_op *op) {
    const ad_var *mask = op->in[1], *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx == NULL) return;
    ad__broadcast_map map = ad__broadcast_map_of(mask->layout->shape, y->layout->shape);
    AD__BY_DTYPE(y->layout->dtype, ad__mask_add, &map, y->layout->numel, mask->data, y->grad, gx);
}

static void masked_fill_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = ad_masked_fill(g, op->in[1], 0); }

AD_COLD static int masked_fill_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), mask = ad_emit_operand(e, op, 1);
    double value = *(const double *)ad__attrs_of(op);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x m k",
                                                          .value = "m != 0 ? k : x", .slope = { "m != 0 ? 0 : g" },
                                                          .n = 2, .in = { x, mask }, .n_parameters = 1,
                                                          .parameter = { value } }));
    return AD_OK;
}

static void masked_fill_samples(ad_sampler *s) {
    const double mask[] = { 0, 1, 1, 0, 0, -2, 0, 1, 0, 0, 1, 0 }, *values[] = { NULL, mask };
    ad_shape cases[7][2];
    AD__SHAPES(cases, "2,3 2,3; 2,3 3; 4,3 4,1; 2,2,3 2,3; 5 (); () (); 0,3 3");
    for (int i = 0; i < AD__COUNT(cases); i++) ad_sample_values(s, &(double){ -1.5 }, 2, cases[i], values, 0);
    ad_sample_values(s, &(double){ -INFINITY }, 2, cases[0], values, AD_SAMPLE_KINK);
}

AD_OPTYPE(masked_fill, .doc = "x, with a constant where the mask is not 0; x and mask broadcast",
          .formula = "mask ? value : x", .gradient = "mask ? 0 : g", .special = "NaN in the mask counts as nonzero",
          .arity = 2, .no_grad = AD_NO_GRAD(1), .attr_size = sizeof(double), .attrs = masked_fill_list,
          .shape = masked_fill_shape, .evaluate = { masked_fill_evaluate, masked_fill_evaluate },
          .backward = { masked_fill_backward, masked_fill_backward }, .vjp = masked_fill_vjp,
          .emit = masked_fill_emit);
ad_var *ad_masked_fill(ad_var *x, ad_var *mask, double value) {
    ad_shape whole;
    if (!ad__absent(x) && !ad__absent(mask) && !ad__broadcast(x->layout->shape, mask->layout->shape, &whole) &&
        !ad_shape_equal(x->layout->shape, whole))
        x = ad_expand(x, whole);
    return ad__apply2(&ad_op_masked_fill, x, mask, &value);
}
