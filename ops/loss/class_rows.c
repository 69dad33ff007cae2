/* class_rows.c: what losses of class scores share: options, class numbers, class weights and ignored rows. */
#include "ops/loss/class_rows.h"

#include "ops/base/gradient.h"
#include "ops/base/samples.h"

#include "autodiff/base/spread.h"

const ad_attr ad__class_list[] = { { "label_smoothing", AD_ATTR_DOUBLE, offsetof(ad__class_attrs, smoothing) },
                                   { "ignore_index", AD_ATTR_INT64, offsetof(ad__class_attrs, ignored) },
                                   { "reduction", AD_ATTR_INT, offsetof(ad__class_attrs, reduction) },
                                   { 0 } };

ad__class_attrs ad__class_attrs_from(ad_ce_opts o) {
    return (ad__class_attrs){ o.label_smoothing, o.ignore ? o.ignore_index : -100, (int)o.reduction, 0 };
}

ad_ce_opts ad__class_opts(const ad_op *op) {
    const ad__class_attrs *a = ad__class_attrs_of(op);
    return (ad_ce_opts){ op->n_in > 2 ? ad_detach(op->in[2]) : NULL, a->smoothing, (ad_reduction)a->reduction, true,
                         a->ignored };
}

ad_var *ad__apply_class_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_ce_opts o) {
    ad__class_attrs a = ad__class_attrs_from(o);
    return ad_apply(type, o.weight ? 3 : 2, (ad_var *[]){ x, target, o.weight }, &a);
}

/* ---- shapes ------------------------------------------------------------------------------------------------ */

int ad__check_class_attrs(const ad_call *c) {
    const ad__class_attrs *a = c->attrs;
    int rc = ad__check_reduction(c, a->reduction, AD_NONE);
    if (rc != AD_OK || (a->smoothing >= 0 && a->smoothing <= 1)) return rc;
    return ad_call_fail(c, AD_EVALUE, "label smoothing %g must be in 0..1", a->smoothing);
}

int ad__check_class_weights(const ad_call *c, int i, int64_t n) {
    if (c->n <= i || ad_shape_equal(c->in[i]->layout->shape, AD_SHAPE(n)))
        return ad__check_no_gradient(c, i, "class weights");
    return ad_call_fail(c, AD_ESHAPE, "the weights of %lld classes must be [%lld]", (long long)n, (long long)n);
}

int ad__class_rows_shape(ad_call *c, bool by_class) {
    if (c->n < 2 || c->n > 3)
        return ad_call_fail(c, AD_EVALUE, "%d operands given; takes scores, targets and optionally weights", c->n);
    ad_shape s = c->shape, t = c->in[1]->layout->shape;
    int axis = ad__class_axis(s);
    if (s.ndim == 0 || s.dim[axis] == 0) return ad_call_fail(c, AD_ESHAPE, "no classes; takes scores [c] or [n,c,..]");
    ad_shape rows = ad__reduced_shape(s, 1u << axis, false);
    if (by_class && !ad_shape_equal(t, rows))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c,..] and class numbers [n,..]");
    if (!by_class && !ad_shape_equal(t, s))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c,..] and probabilities of the same shape");
    int rc = ad__check_class_attrs(c);
    if (rc == AD_OK) rc = ad__check_class_weights(c, 2, s.dim[axis]);
    c->shape = ((const ad__class_attrs *)c->attrs)->reduction == AD_NONE ? rows : AD_SCALAR;
    return rc;
}

/* ---- class numbers ----------------------------------------------------------------------------------------- */

int ad__check_classes(const ad_op *op, const ad_var *classes, int64_t n, const int64_t *ignored) {
    const char *place = classes->layout->shape.ndim > 1 ? "element" : "row";
    for (int64_t j = 0; j < classes->layout->numel; j++) {
        double class = ad__get(classes, j);
        if (class >= 0 && class < ad__exact_below(classes, n) && class == (double)(int64_t) class) continue;
        if (ignored != NULL && class == (double)*ignored) continue;
        return ad_op_fail(op, AD_EVALUE, "class %g of %s %lld is not one of 0..%lld", class, place, (long long)j,
                          (long long)n - 1);
    }
    return AD_OK;
}

int64_t ad__class_at(const ad_op *op, const ad_var *classes, int64_t j) {
    double class = ad__get(classes, j);
    return class == (double)ad__class_attrs_of(op)->ignored ? -1 : (int64_t) class;
}

int ad__class_divisor(const ad_op *op, const ad_var *classes, const ad_var *w, int64_t n, double *divisor) {
    bool mean = ad__class_attrs_of(op)->reduction == AD_MEAN;
    int rc = ad__check_classes(op, classes, n, &ad__class_attrs_of(op)->ignored);
    *divisor = mean ? 0 : 1;
    for (int64_t j = 0; j < classes->layout->numel && rc == AD_OK && mean; j++) {
        int64_t class = ad__class_at(op, classes, j);
        if (class >= 0) *divisor += w ? ad__get(w, class) : 1;
    }
    return rc;
}

ad__row_reduction ad__class_reduction(const ad_op *op) {
    return (ad__row_reduction){ ad__class_attrs_of(op)->reduction == AD_NONE, *(const double *)ad_saved(op) };
}

ad_var *ad__class_cotangent(const ad_op *op, ad_var *g) {
    ad_shape s = op->in[0]->layout->shape;
    int axis = ad__class_axis(s);
    ad_ce_opts opts = ad__class_opts(op);
    g = ad__in_dtype(g, AD_F64);
    if (opts.reduction == AD_NONE) return ad_reshape(g, ad__reduced_shape(s, 1u << axis, true));
    if (opts.reduction != AD_MEAN) return g;
    opts.reduction = AD_SUM, opts.label_smoothing = 0;
    return ad_div(g, ad_sum(ad__in_dtype(ad_class_targets(op->in[1], s.dim[axis], opts), AD_F64)));
}

ad_var *ad__class_unscaled_targets(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    ad_ce_opts opts = ad__class_opts(op);
    if (opts.reduction == AD_MEAN) opts.reduction = AD_SUM;
    return ad__in_dtype(ad_class_targets(op->in[1], s.dim[ad__class_axis(s)], opts), AD_F64);
}

/* ---- forms in C -------------------------------------------------------------------------------------------- */

ad_emit_array ad__emit_classes(ad_emit *e, ad_emit_array classes, ad_shape s, const int64_t *ignored) {
    ad_emit_array x = ad__emit_unsqueeze(classes, ad__class_axis(s));
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "x n i",
                                           .value = "x == i ? -1 : x >= 0 && x < n && x == floor(x) ? x : NAN", .n = 1,
                                           .in = { x }, .n_parameters = 2,
                                           .parameter = { (double)s.dim[ad__class_axis(s)],
                                                          ignored ? (double)*ignored : NAN } });
}

ad_emit_array ad__emit_class_weights(ad_emit *e, const ad_op *op, int i, ad_dtype t, ad_shape s) {
    if (op->n_in > i) return ad__emit_along(ad_emit_operand(e, op, i), ad__class_axis(s), s.ndim);
    ad_emit_array one = ad_emit_new(e, t, AD_SCALAR);
    ad__emit_fill(e, one, 1);
    return one;
}

ad_emit_array ad__emit_targets(ad_emit *e, const ad_op *op, ad_emit_array classes, ad_emit_array w, ad_shape s) {
    int axis = ad__class_axis(s);
    double smoothing = ad__class_attrs_of(op)->smoothing;
    return ad_emit_run(e, &(ad_emit_loop){ .dtype = classes.dtype, .shape = s, .names = "t w j a k",
                                           .value = "t != t ? NAN : t < 0 ? 0 : a * w + (j == t ? k * w : 0)", .n = 3,
                                           .in = { classes, w, ad_emit_index(e, classes.dtype, s, axis) },
                                           .n_parameters = 2,
                                           .parameter = { smoothing / (double)s.dim[axis], 1 - smoothing } });
}

ad_emit_array ad__emit_divisor(ad_emit *e, ad_emit_array classes, ad_emit_array w, ad_shape s) {
    ad_emit_array j = ad_emit_index(e, classes.dtype, s, ad__class_axis(s));
    return ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = AD_F64, .shape = s,
                                           .reduced = (1u << s.ndim) - 1, .names = "t w j",
                                           .value = "t != t ? NAN : j == t ? w : 0", .n = 3, .in = { classes, w, j } });
}

ad_emit_array ad__emit_reduced(ad_emit *e, ad_emit_array rows, int reduction, ad_emit_array divisor) {
    if (reduction == AD_NONE) return rows;
    unsigned mask = (1u << rows.shape.ndim) - 1;
    ad_emit_array sum = ad__emit_reduce(e, AD_EMIT_SUM, rows.dtype, rows, mask, "x", "g");
    if (reduction == AD_SUM) return sum;
    return ad__emit_map2(e, rows.dtype, sum.shape, sum, divisor, "a / b", "g / b", NULL);
}

/* ---- samples ----------------------------------------------------------------------------------------------- */

static void edge_samples(ad_sampler *s) {
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 0, 0 }, *values[] = { huge, right };
    const ad_shape shapes[] = { AD_SHAPE(2, 3), AD_SHAPE(2) }, empty[] = { AD_SHAPE(0, 3), AD_SHAPE(0) };
    ad_sample_values(s, &(ad__class_attrs){ .ignored = -100 }, 2, shapes, values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__class_attrs){ .ignored = 0 }, 2, shapes, values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__class_attrs){ .ignored = -100 }, 2, empty, values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(ad__class_attrs){ .ignored = -100, .reduction = AD_SUM }, 2, empty, values, AD_SAMPLE_KINK);
}

void ad__class_samples(ad_sampler *s, double lo, double hi, double smoothing) {
    const double classes[] = { 2, 0, 1, 1, 2, 0 }, missing[] = { 2, -100, 1, -100, 0, 0 };
    ad_shape shapes[5][3];
    AD__SHAPES(shapes, "4,3 4 3; 3 () 3; 2,3,3 2,3 3; 1,35 1 35; 1,3,2,2 1,2,2 3");
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++) {
        double x[64], w[64];
        for (int64_t k = 0; k < 64; k++) x[k] = lo + (hi - lo) * ad__spread_number(k, 0);
        for (int64_t k = 0; k < 64; k++) w[k] = 0.4 + 2 * ad__spread_number(k, 2);
        const double *values[] = { x, i % 2 ? missing : classes, w };
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample_values(s, &(ad__class_attrs){ .smoothing = i % 4 > 1 ? smoothing : 0, .ignored = -100,
                                                   .reduction = reduction },
                             2 + (i % 3 > 0), shapes[i / 2], values, 0);
    }
    edge_samples(s);
}
