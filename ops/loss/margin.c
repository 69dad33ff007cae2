/* margin.c: the multi-class hinge loss: the class's score is to lead every other by a margin. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

#include <math.h>

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

/* x [n,c], classes [n], weights [c] or none -> [n] or a scalar */
static int multi_margin_shape(ad_call *c) {
    const margin_attrs *a = c->attrs;
    ad_shape x = c->shape;
    if (c->n < 2 || c->n > 3 || x.ndim != 2 || x.dim[1] == 0 ||
        !ad_shape_equal(c->in[1]->layout->shape, AD_SHAPE(x.dim[0])))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c], class numbers [n] and weights [c]");
    if (c->n == 3 && !ad_shape_equal(c->in[2]->layout->shape, AD_SHAPE(x.dim[1])))
        return ad_call_fail(c, AD_ESHAPE, "the weights of %lld classes must be [%lld]", (long long)x.dim[1],
                            (long long)x.dim[1]);
    if (a->p != 1 && a->p != 2) return ad_call_fail(c, AD_EVALUE, "p is %d; 1 or 2", a->p);
    if (a->reduction < AD_MEAN || a->reduction > AD_NONE)
        return ad_call_fail(c, AD_EVALUE, "%d is no reduction of this loss; AD_MEAN, AD_SUM and AD_NONE are",
                            a->reduction);
    c->shape = a->reduction == AD_NONE ? AD_SHAPE(x.dim[0]) : AD_SCALAR;
    return AD_OK;
}

static double weight_of(const ad_op *op, int64_t class) { return op->n_in > 2 ? ad__get(op->in[2], class) : 1; }
static double divisor_of(const ad_op *op) {
    return attrs_of(op)->reduction == AD_MEAN ? (double)op->in[0]->layout->shape.dim[0] : 1;
}

static int multi_margin_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0];
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double class = ad__get(op->in[1], i), loss = 0;
        if (!(class >= 0 && class < (double)c && class == floor(class)))
            return ad_op_fail(op, AD_EVALUE, "class %g of row %lld is not one of 0..%lld", class, (long long)i,
                              (long long)c - 1);
        int64_t hit = (int64_t)class;
        for (int64_t j = 0; j < c; j++) {
            double lack = attrs_of(op)->margin - ad__get(x, i * c + hit) + ad__get(x, i * c + j);
            if (j != hit && !(lack <= 0)) loss += attrs_of(op)->p == 1 ? lack : lack * lack;
        }
        loss *= weight_of(op, hit) / (double)c;
        if (attrs_of(op)->reduction == AD_NONE) ad__put(ad__out(op), i, loss);
        else sum += loss;
    }
    if (attrs_of(op)->reduction != AD_NONE) ad__put(ad__out(op), 0, sum / divisor_of(op));
    return AD_OK;
}

static void add_at(ad_dtype t, void *to, int64_t i, double d) {
    if (t == AD_F32) ((float *)to)[i] += (float)d;
    else ((double *)to)[i] += d;
}

static void multi_margin_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    void *gx = ad_grad_into(op, 0);
    for (int64_t i = 0; gx != NULL && i < n; i++) {
        int64_t hit = (int64_t)ad__get(op->in[1], i);
        double sum = 0, k = ad_grad_at(y, attrs_of(op)->reduction == AD_NONE ? i : 0);
        k *= weight_of(op, hit) / divisor_of(op) / (double)c;
        for (int64_t j = 0; j < c; j++) {
            double lack = attrs_of(op)->margin - ad__get(x, i * c + hit) + ad__get(x, i * c + j);
            if (j == hit || !(lack > 0)) continue;
            double d = attrs_of(op)->p == 1 ? k : 2 * k * lack;
            add_at(x->layout->dtype, gx, i * c + j, d);
            sum += d;
        }
        add_at(x->layout->dtype, gx, i * c + hit, -sum);
    }
}

/* With z = margin - x[class] + x: what each other class adds, and minus their sum at the class. */
static void multi_margin_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0];
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    ad_var *hit = ad_one_hot(op->in[1], c), *others = ad_adds(ad_neg(hit), 1);
    ad_var *z = ad_adds(ad_sub(x, ad_sum_axis(ad_mul(x, hit), 1, true)), attrs_of(op)->margin);
    ad_var *slope = ad_mul(others, ad_gt(z, ad_scalar(ad__owner(x), x->layout->dtype, 0)));
    if (attrs_of(op)->p == 2) slope = ad_mul(slope, ad_muls(z, 2));
    if (op->n_in > 2) slope = ad_mul(slope, ad_sum_axis(ad_mul(hit, op->in[2]), 1, true));
    if (attrs_of(op)->reduction == AD_NONE) g = ad_reshape(g, AD_SHAPE(n, 1));
    slope = ad_mul(slope, ad_muls(g, 1 / divisor_of(op) / (double)c));
    dx[0] = ad_sub(slope, ad_mul(hit, ad_sum_axis(slope, 1, true)));
}

static void multi_margin_samples(ad_sampler *s) {
    const double x[] = { 0.3, -1.2, 2, 0.1, 0.7, -0.4, 1.5, 1.55, 1.4, -2, 0, 0.25 }, classes[] = { 2, 0, 1, 1 };
    const double w[] = { 0.5, 2, 1.5, 1, 1, 0.7, 1, 1, 1, 1, 1, 1 }, *values[] = { x, classes, w };
    const ad_shape shapes[][3] = { { AD_SHAPE(4, 3), AD_SHAPE(4), AD_SHAPE(3) },
                                   { AD_SHAPE(1, 12), AD_SHAPE(1), AD_SHAPE(12) },
                                   { AD_SHAPE(2, 6), AD_SHAPE(2), AD_SHAPE(6) },
                                   { AD_SHAPE(0, 3), AD_SHAPE(0), AD_SHAPE(3) } };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int k = 0; k < 6; k++)
            ad_sample_values(s, &(margin_attrs){ 1 + k % 2, k > 3 ? 0.4 : 1, k % 3 }, 2 + (k > 2), shapes[i], values,
                             0);
    const double at_kink[] = { 1, 0, 2 }, class[] = { 0 }, *edges[] = { at_kink, class };
    ad_sample_values(s, &(margin_attrs){ 1, 1, AD_SUM }, 2, (ad_shape[]){ AD_SHAPE(1, 3), AD_SHAPE(1) }, edges,
                     AD_SAMPLE_KINK);
}

AD_OPTYPE(multi_margin,
          .doc = "hinge loss of scores [n,c] and class numbers [n]: each other class's lack of a margin, to the power "
                 "p (1 or 2), "
                 "divided by c, times the class's weight [c]",
          .formula = "w[class] / c sum over others of max(0, margin - x[class] + x)^p",
          .gradient = "g w[class] / c p (..)^(p-1) where positive; at the class minus their sum",
          .special = "at the kink slope 0", .arity = -1, .no_grad = 6, .attr_size = sizeof(margin_attrs),
          .attrs = margin_list, .shape = multi_margin_shape,
          .evaluate = { multi_margin_evaluate, multi_margin_evaluate },
          .backward = { multi_margin_backward, multi_margin_backward }, .vjp = multi_margin_vjp);
ad_var *ad_multi_margin(ad_var *x, ad_var *classes, int p, double margin, ad_var *weight, ad_reduction reduction) {
    return ad_apply(&ad_op_multi_margin, weight ? 3 : 2, (ad_var *[]){ x, classes, weight },
                    &(margin_attrs){ p, margin, (int)reduction });
}
