/* cosine_similarity.c: the cosine of the angle between the rows of two arrays. */
#include "ops/base/gradient.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/net/norm.h"
#include "ops/loss/rows.h"
#include "ops/ops.h"

#include <math.h>

typedef struct {
    int axis;
    double eps;
} cosine_attrs;

static const ad_attr cosine_list[] = { { "axis", AD_ATTR_INT, offsetof(cosine_attrs, axis) },
                                       { "eps", AD_ATTR_DOUBLE, offsetof(cosine_attrs, eps) },
                                       { 0 } };

static const cosine_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

enum { A, B, GRADIENT, SLOTS }; /* rows of scratch */

/* The norms of a row of a and of b, saved by evaluate for backward. */
typedef struct {
    double a, b;
} lengths;

static int cosine_similarity_shape(ad_call *c) {
    const cosine_attrs *a = c->attrs;
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape)) return ad_call_fail(c, AD_ESHAPE, "the shapes differ");
    if (!(a->eps >= 0 && a->eps - a->eps == 0))
        return ad_call_fail(c, AD_EVALUE, "eps %g is not a finite number >= 0", a->eps);
    int axis = ad_call_axis(c, a->axis, c->shape.ndim);
    if (axis < 0) return axis;
    c->scratch = SLOTS * (size_t)c->shape.dim[axis] * ad_dtype_size(c->dtype);
    c->shape = ad__reduced_shape(c->shape, 1u << axis, false);
    c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(lengths) + 1;
    return AD_OK;
}

static ad__rows rows_of(const ad_op *op) { return ad__rows_along(op, op->in[0]->layout->shape, attrs_of(op)->axis); }

static double dot(const ad__rows *r, const void *a, const void *b) {
    return AD__BY_DTYPE(r->t, ad__covariance, r->n, 0, a, b);
}

static int cosine_similarity_evaluate(const ad_op *op) {
    ad__rows r = rows_of(op);
    double eps = attrs_of(op)->eps;
    lengths *kept = ad_saved(op);
    for (int64_t j = 0; j < r.count; j++) {
        const void *a = ad__row_at(&r, op->in[0]->data, j, A), *b = ad__row_at(&r, op->in[1]->data, j, B);
        kept[j] = (lengths){ sqrt(dot(&r, a, a)), sqrt(dot(&r, b, b)) };
        ad__put(ad__out(op), j, dot(&r, a, b) / fmax(kept[j].a, eps) / fmax(kept[j].b, eps));
    }
    return AD_OK;
}

/* da = g / |a| (b / |b| - y a / |a|), where b is the other operand. The last term is dropped where |a| < eps. */
static void operand_backward(const ad_op *op, int operand) {
    ad__rows r = rows_of(op);
    bool fresh;
    void *into = ad_grad_claim(op, operand, &fresh);
    double eps = attrs_of(op)->eps;
    const lengths *kept = ad_saved(op);
    for (int64_t j = 0; into != NULL && j < r.count; j++) {
        double own = operand ? kept[j].b : kept[j].a, other = operand ? kept[j].a : kept[j].b;
        const void *a = ad__row_at(&r, op->in[operand]->data, j, A), *b = ad__row_at(&r, op->in[!operand]->data, j, B);
        double g = ad_grad_at(ad__out(op), j), cosine = dot(&r, a, b) / fmax(own, eps) / fmax(other, eps);
        void *to = ad__row_gradient(&r, into, j, GRADIENT, fresh);
        AD__BY_DTYPE(r.t, ad__axpy, r.n, g / fmax(own, eps) / fmax(other, eps), b, to);
        if (own > eps) AD__BY_DTYPE(r.t, ad__axpy, r.n, -g * cosine / own / own, a, to);
        ad__row_store(&r, to, into, j);
    }
}

static void cosine_similarity_backward(const ad_op *op) {
    operand_backward(op, 0);
    operand_backward(op, 1);
}

/* Squared norms are limited to eps^2 before the root, since sqrt has no finite slope at 0. */
static void cosine_similarity_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    int axis = attrs_of(op)->axis < 0 ? attrs_of(op)->axis + s.ndim : attrs_of(op)->axis;
    ad_var *square[2], *length[2], *unit[2];
    ad_var *least = ad__constant(g, attrs_of(op)->eps * attrs_of(op)->eps);
    for (int i = 0; i < 2; i++) {
        square[i] = ad_sum_axis(ad_square(op->in[i]), axis, true);
        length[i] = ad_sqrt(ad_maximum(square[i], least));
        unit[i] = ad_div(op->in[i], length[i]);
    }
    ad_var *cosine = ad_sum_axis(ad_mul(unit[0], unit[1]), axis, true);
    g = ad_reshape(g, ad__reduced_shape(s, 1u << axis, true));
    for (int i = 0; i < 2; i++) {
        ad_var *along = ad_mul(ad_mul(ad_gt(square[i], least), cosine), unit[i]);
        if (ad_vjp_wants(op, i)) dx[i] = ad_mul(ad_div(g, length[i]), ad_sub(unit[!i], along));
    }
}

static void cosine_similarity_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(4),     AD_SHAPE(3, 2), AD_SHAPE(2, 3, 2),
                                AD_SHAPE(2, 35), AD_SHAPE(0, 3), AD_SHAPE(1) };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            ad_sample(s, &(cosine_attrs){ axis, i % 2 ? 1e-8 : 0 }, 2, (ad_shape[]){ shapes[i], shapes[i] },
                      (double[]){ -2, 0.5 }, (double[]){ 2, 2 });
    /* rows: |a| < eps; a = 0; a = b = 0 */
    const double a[] = { 0.1, 0.2, 0, 0, 0, 0 }, b[] = { 1, 2, 3, -4, 0, 0 }, *values[] = { a, b };
    ad_sample_values(s, &(cosine_attrs){ 1, 0.5 }, 2, (ad_shape[]){ AD_SHAPE(3, 2), AD_SHAPE(3, 2) }, values, 0);
}

AD_OPTYPE(cosine_similarity,
          .differs = "where a length is below eps, the slope is the value's; PyTorch subtracts y a / eps^2",
          .doc = "cosine of the angle between the rows of a and b along an axis; operands broadcast",
          .formula = "sum(a b) / (max(|a|, eps) max(|b|, eps))",
          .gradient = "with unit rows u and v: g / |a| (v - y u); g / |b| (u - y v)",
          .special = "da = g v / eps where |a| < eps (PyTorch 1.13 also subtracts y a / eps^2)", .arity = 2,
          .attr_size = sizeof(cosine_attrs), .attrs = cosine_list, .shape = cosine_similarity_shape,
          .evaluate = { cosine_similarity_evaluate, cosine_similarity_evaluate },
          .backward = { cosine_similarity_backward, cosine_similarity_backward }, .vjp = cosine_similarity_vjp);

ad_var *ad_cosine_similarity(ad_var *a, ad_var *b, int axis, double eps) {
    cosine_attrs attrs = { axis, eps };
    ad_shape whole;
    if (!ad__absent(a) && !ad__absent(b) && !ad__broadcast(a->layout->shape, b->layout->shape, &whole)) {
        if (!ad_shape_equal(a->layout->shape, whole)) a = ad_expand(a, whole);
        if (!ad_shape_equal(b->layout->shape, whole)) b = ad_expand(b, whole);
    }
    return ad__apply2(&ad_op_cosine_similarity, a, b, &attrs);
}
