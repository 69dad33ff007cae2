/* class_targets.c: converts class numbers [n,..] to the targets [n,c,..] of a cross-entropy. */
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/loss/class_rows.h"
#include "ops/loss/class_rows.h"
#include "ops/loss/rows.h"

static int class_targets_shape(ad_call *c) {
    int64_t n = ((const ad__class_attrs *)c->attrs)->n;
    ad_shape s = c->shape;
    if (c->n > 2) return ad_call_fail(c, AD_EVALUE, "%d operands given; takes classes and optionally weights", c->n);
    if (n < 1) return ad_call_fail(c, AD_ESHAPE, "%lld classes; at least one is needed", (long long)n);
    if (s.ndim == AD_MAX_NDIM) return ad_call_fail(c, AD_ESHAPE, "the result has more than %d dimensions", AD_MAX_NDIM);
    int axis = s.ndim ? 1 : 0;
    for (int i = s.ndim++; i > axis; i--) s.dim[i] = s.dim[i - 1];
    s.dim[axis] = n;
    c->shape = s;
    c->scratch = 2 * (size_t)n * ad_dtype_size(c->dtype);
    int rc = ad__check_class_attrs(c);
    return rc == AD_OK ? ad__check_class_weights(c, 1, n) : rc;
}

static int class_targets_evaluate(const ad_op *op) {
    enum { UNSCALED, SCALED }; /* rows of scratch */
    const ad_var *classes = op->in[0], *w = ad__class_weights(op, 1), *y = ad__out(op);
    ad__rows r = ad__rows_along(op, y->layout->shape, ad__class_axis(y->layout->shape));
    void *q = ad__row_slot(&r, UNSCALED);
    double divisor;
    int rc = ad__class_divisor(op, classes, w, r.n, &divisor);
    for (int64_t j = 0; j < r.count && rc == AD_OK; j++) {
        int64_t class = ad__class_at(op, classes, j);
        void *to = ad__row_zeros(&r, y->data, j, SCALED);
        if (class >= 0) {
            AD__BY_DTYPE(r.t, ad__class_target, r.n, class, ad__class_attrs_of(op)->smoothing, w ? w->data : NULL, q);
            AD__BY_DTYPE(r.t, ad__scaled, r.n, 1 / divisor, q, to);
        }
        ad__row_store(&r, to, y->data, j);
    }
    return rc;
}

AD_COLD static int class_targets_emit(ad_emit *e, const ad_op *op) {
    const ad_shape s = ad__out(op)->layout->shape;
    ad_emit_array t = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    t = ad__emit_classes(e, t, s, &ad__class_attrs_of(op)->ignored);
    ad_emit_array w = ad__emit_class_weights(e, op, 1, t.dtype, s), y = ad__emit_targets(e, op, t, w, s);
    if (ad__class_attrs_of(op)->reduction == AD_MEAN)
        y = ad__emit_map2(e, t.dtype, s, y, ad__emit_divisor(e, t, w, s), "a == 0 ? 0 : a / b", NULL, NULL);
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void class_targets_samples(ad_sampler *s) {
    const double classes[] = { 2, 0, -1, 1 }, w[] = { 0.5, 2, 1.5 }, *values[] = { classes, w };
    ad_shape shapes[4][2];
    AD__SHAPES(shapes, "4 3; 2,2 3; () 3; 0 3");
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++)
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample_values(s, &(ad__class_attrs){ i % 3 * 0.2, -1, reduction, 3 }, 1 + i % 2, shapes[i / 2], values,
                             0);
}

static const ad_attr targets_list[] = { { "label_smoothing", AD_ATTR_DOUBLE, offsetof(ad__class_attrs, smoothing) },
                                        { "ignore_index", AD_ATTR_INT64, offsetof(ad__class_attrs, ignored) },
                                        { "reduction", AD_ATTR_INT, offsetof(ad__class_attrs, reduction) },
                                        { "n", AD_ATTR_INT64, offsetof(ad__class_attrs, n) },
                                        { 0 } };

AD_OPTYPE(class_targets,
          .doc = "the targets of cross_entropy_classes: the weight of each class in a row's loss, divided by the "
                 "divisor of the reduction; 0 in ignored rows",
          .formula = "w ((1 - smoothing) one_hot(classes) + smoothing / n)", .arity = -1, .flags = AD_OP_CONSTANT,
          .no_grad = AD_NO_GRAD(0) | AD_NO_GRAD(1), .attr_size = sizeof(ad__class_attrs), .attrs = targets_list,
          .values = ad__reduction_values, .shape = class_targets_shape,
          .evaluate = { class_targets_evaluate, class_targets_evaluate },
          .emit = class_targets_emit);
ad_var *ad_class_targets(ad_var *classes, int64_t n, ad_ce_opts opts) {
    ad__class_attrs a = ad__class_attrs_from(opts);
    a.n = n;
    return ad_apply(&ad_op_class_targets, opts.weight ? 2 : 1, (ad_var *[]){ classes, opts.weight }, &a);
}
