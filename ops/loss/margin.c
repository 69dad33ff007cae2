/* margin.c: the multi-class hinge loss, by which a class's score should exceed the others by a margin. */
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/loss/margin.h"
#include "ops/loss/class_rows.h"
#include "ops/loss/rows.h"

typedef struct {
    int p; /* 1, or 2: squared */
    double margin;
    int reduction;
} margin_attrs;

static const ad_attr margin_list[] = { { "p", AD_ATTR_INT, offsetof(margin_attrs, p) },
                                       { "margin", AD_ATTR_DOUBLE, offsetof(margin_attrs, margin) },
                                       { "reduction", AD_ATTR_INT, offsetof(margin_attrs, reduction) },
                                       { 0 } };

static const margin_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

/* x [n,c], classes [n], optional weights [c] -> [n] or a scalar */
static int multi_margin_shape(ad_call *c) {
    const margin_attrs *a = c->attrs;
    ad_shape x = c->shape;
    if (c->n < 2 || c->n > 3 || x.ndim != 2 || x.dim[1] == 0 ||
        !ad_shape_equal(c->in[1]->layout->shape, AD_SHAPE(x.dim[0])))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c], class numbers [n] and optionally weights [c]");
    int rc = ad__check_class_weights(c, 2, x.dim[1]);
    if (rc != AD_OK) return rc;
    if (a->p != 1 && a->p != 2) return ad_call_fail(c, AD_EVALUE, "p is %d; it must be 1 or 2", a->p);
    c->shape = a->reduction == AD_NONE ? AD_SHAPE(x.dim[0]) : AD_SCALAR;
    return ad__check_reduction(c, a->reduction, AD_NONE);
}

static ad__row_reduction reduction_of(const ad_op *op) {
    int reduction = attrs_of(op)->reduction;
    double rows = (double)op->in[0]->layout->shape.dim[0];
    return (ad__row_reduction){ reduction == AD_NONE, reduction == AD_MEAN ? rows : 1 };
}

typedef struct {
    const ad_op *op;
    ad__rows scores;
} work;

static inline work work_of(const ad_op *op) {
    const ad__layout *x = op->in[0]->layout;
    int64_t n = x->shape.dim[0], c = x->shape.dim[1];
    return (work){ op, { x->dtype, (size_t)c * ad_dtype_size(x->dtype), c, 1, n, NULL } };
}

static int64_t class_of(const ad_op *op, int64_t i) { return (int64_t)ad__get(op->in[1], i); }

/* The factor of the sum over the other classes: the class's weight divided by c. */
static double scale_of(const work *w, int64_t class) {
    return (w->op->n_in > 2 ? ad__get(w->op->in[2], class) : 1) / (double)w->scores.n;
}

static double row_loss(const void *context, int64_t i) {
    const work *w = context;
    const margin_attrs *a = attrs_of(w->op);
    int64_t class = class_of(w->op, i), n = w->scores.n;
    const void *x = ad__row_in_place(&w->scores, w->op->in[0]->data, i);
    return scale_of(w, class) * AD__BY_DTYPE(w->scores.t, ad__margin_loss, n, class, a->margin, a->p == 2, x);
}

static int multi_margin_evaluate(const ad_op *op) {
    work w = work_of(op);
    int rc = ad__check_classes(op, op->in[1], w.scores.n, NULL);
    if (rc == AD_OK) ad__reduce_rows(op, reduction_of(op), w.scores.count, row_loss, &w);
    return rc;
}

static void multi_margin_backward(const ad_op *op) {
    work w = work_of(op);
    const margin_attrs *a = attrs_of(op);
    ad__row_reduction r = reduction_of(op);
    void *gx = ad_grad_into(op, 0);
    for (int64_t i = 0; gx != NULL && i < w.scores.count; i++) {
        int64_t class = class_of(op, i), n = w.scores.n;
        double k = ad__row_cotangent(op, r, i) * scale_of(&w, class);
        const void *x = ad__row_in_place(&w.scores, op->in[0]->data, i);
        void *to = ad__row_in_place(&w.scores, gx, i);
        AD__BY_DTYPE(w.scores.t, ad__margin_back, n, class, a->margin, a->p == 2, k, x, to);
    }
}

/* The cotangent of each row [n,1] in f64, divided by the divisors and multiplied by the weight of the class. */
static ad_var *row_factors(const ad_op *op, ad_var *classes, ad_var *g) {
    ad_shape s = op->in[0]->layout->shape;
    ad_var *k = ad_muls(ad__in_dtype(g, AD_F64), 1 / reduction_of(op).divisor);
    if (attrs_of(op)->reduction == AD_NONE) k = ad_reshape(k, AD_SHAPE(s.dim[0], 1));
    double share = 1 / (double)s.dim[1];
    if (op->n_in < 3) return ad_muls(ad_expand(k, AD_SHAPE(s.dim[0], 1)), share);
    ad_var *weights = ad_reshape(ad_take(ad__in_dtype(op->in[2], AD_F64), classes), AD_SHAPE(s.dim[0], 1));
    return ad_mul(k, ad_muls(weights, share));
}

/* With z = margin - x[class] + x, each other class adds its slope in z, and the class subtracts their sum. */
static void multi_margin_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = ad__in_dtype(op->in[0], AD_F64), *classes = ad__in_dtype(op->in[1], AD_F64);
    ad_var *at = ad_reshape(classes, AD_SHAPE(x->layout->shape.dim[0], 1));
    ad_var *hit = ad_one_hot(classes, x->layout->shape.dim[1]);
    ad_var *z = ad_add(ad_adds(ad_neg(ad_gather(x, 1, at)), attrs_of(op)->margin), x);
    ad_var *k = row_factors(op, classes, g), *zero = ad__constant(x, 0);
    ad_var *in_force = ad_logical_and(ad_logical_not(hit), ad_gt(z, zero));
    ad_var *excess = ad_where(in_force, z, zero);
    ad_var *slope = ad_where(in_force, attrs_of(op)->p == 2 ? ad_mul(ad_muls(k, 2), excess) : k, zero);
    ad_var *sum = ad_sum_axis(slope, 1, true);
    dx[0] = ad__in_dtype(ad_where(hit, ad_neg(sum), slope), g->layout->dtype);
}

/* The violations of each row in f64, from the scores x [n,c] and the class's score a [n,1]. */
static ad_emit_array emit_violations(ad_emit *e, ad_emit_array x, ad_emit_array t, const margin_attrs *a) {
    ad_emit_array j = ad_emit_index(e, AD_F64, x.shape, 1), own;
    ad_emit_loop l = { .kind = AD_EMIT_SUM, .dtype = AD_F64, .shape = x.shape, .reduced = 1u << 1, .names = "x t j",
                       .value = "t != t ? NAN : j == t ? x : 0", .slope = { "j == t ? g : 0" }, .n = 3,
                       .in = { x, t, j } };
    own = ad_emit_run(e, &l);
    l.names = "x a t j m", l.n = 4, l.in[1] = own, l.in[2] = t, l.in[3] = j;
    l.n_parameters = 1, l.parameter[0] = a->margin;
    l.value = "j == t || m - a + x <= 0 ? 0 : m - a + x";
    l.slope[0] = "j != t && m - a + x > 0 ? g : 0", l.slope[1] = "j != t && m - a + x > 0 ? -g : 0";
    if (a->p == 2) {
        l.value = "j == t || m - a + x <= 0 ? 0 : (m - a + x) * (m - a + x)";
        l.slope[0] = "j != t && m - a + x > 0 ? 2 * g * (m - a + x) : 0";
        l.slope[1] = "j != t && m - a + x > 0 ? -2 * g * (m - a + x) : 0";
    }
    return ad_emit_run(e, &l);
}

AD_COLD static int multi_margin_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), t = ad_emit_operand(e, op, 1), k, divisor, y;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    t = ad__emit_classes(e, t, x.shape, NULL);
    k = ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = AD_F64, .shape = x.shape, .reduced = 1u << 1,
                                        .names = "t w j n", .value = "j == t ? w / n : 0", .n = 3,
                                        .in = { t, ad__emit_class_weights(e, op, 2, x.dtype, x.shape),
                                                ad_emit_index(e, AD_F64, x.shape, 1) },
                                        .n_parameters = 1, .parameter = { (double)x.shape.dim[1] } });
    y = emit_violations(e, x, t, attrs_of(op));
    y = ad__emit_map2(e, AD_F64, y.shape, y, k, "a * b", "g * b", NULL);
    divisor = ad_emit_new(e, AD_F64, AD_SCALAR);
    ad__emit_fill(e, divisor, reduction_of(op).divisor);
    ad_emit_result(e, op, ad__emit_map(e, x.dtype, ad__emit_reduced(e, y, attrs_of(op)->reduction, divisor), "x", "g"));
    return AD_OK;
}

static void multi_margin_samples(ad_sampler *s) {
    const double x[] = { 0.3, -1.2, 2, 0.1, 0.7, -0.4, 1.5, 1.55, 1.4, -2, 0, 0.25 }, classes[] = { 2, 0, 1, 1 };
    const double w[] = { 0.5, 2, 1.5, 1, 1, 0.7, 1, 1, 1, 1, 1, 1 }, *values[] = { x, classes, w };
    ad_shape shapes[4][3];
    AD__SHAPES(shapes, "4,3 4 3; 1,12 1 12; 2,6 2 6; 0,3 0 3");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int k = 0; k < 6; k++)
            ad_sample_values(s, &(margin_attrs){ 1 + k % 2, k > 3 ? 0.4 : 1, k % 3 }, 2 + (k > 2), shapes[i], values,
                             0);
    const double at_kink[] = { 1, 0, 2 }, class[] = { 0 }, *edges[] = { at_kink, class };
    ad_sample_values(s, &(margin_attrs){ 1, 1, AD_SUM }, 2, (ad_shape[]){ AD_SHAPE(1, 3), AD_SHAPE(1) }, edges,
                     AD_SAMPLE_KINK);
}

AD_OPTYPE(multi_margin, .differs = "a NaN score gives NaN; PyTorch leaves it out",
          .doc = "hinge loss of scores [n,c] and class numbers [n], or [c] and a scalar: the sum over other classes of "
                 "their margin violation to the power p (1 or 2), divided by c and times the class's weight [c]",
          .formula = "w[class] / c sum over others of max(0, margin - x[class] + x)^p",
          .gradient = "g w[class] / c p (..)^(p-1) where positive; minus their sum at the class",
          .special = "slope 0 at the kink", .arity = -1, .no_grad = AD_NO_GRAD(1) | AD_NO_GRAD(2),
          .attr_size = sizeof(margin_attrs), .attrs = margin_list, .values = ad__reduction_values,
          .shape = multi_margin_shape,
          .evaluate = { multi_margin_evaluate, multi_margin_evaluate },
          .backward = { multi_margin_backward, multi_margin_backward }, .vjp = multi_margin_vjp,
          .emit = multi_margin_emit);
/* Without a batch: scores [c], a scalar class. */
ad_var *ad_multi_margin(ad_var *x, ad_var *classes, int p, double margin, ad_var *weight, ad_reduction reduction) {
    const margin_attrs a = { p, margin, (int)reduction };
    bool alone = ad_shape_of(x).ndim == 1 && !ad__absent(x) && !ad__absent(classes) && ad_shape_of(classes).ndim == 0;
    if (!alone) return ad_apply(&ad_op_multi_margin, weight ? 3 : 2, (ad_var *[]){ x, classes, weight }, &a);
    ad_var *in[] = { ad_unsqueeze(x, 0), ad_unsqueeze(classes, 0), weight };
    ad_var *y = ad_apply(&ad_op_multi_margin, weight ? 3 : 2, in, &a);
    return reduction == AD_NONE ? ad_reshape(y, AD_SCALAR) : y;
}
