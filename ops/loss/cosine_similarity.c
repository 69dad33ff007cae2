/* cosine_similarity.c: the cosine of the angle between the rows of two arrays. */
#include "ops/base/gradient.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/loss/cosine.h"
#include "ops/kernels/reduce/segments.h"
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

/* For each pair of rows, the norms of both and the cosine, saved by evaluate for backward. */
typedef struct {
    double norm[2], cosine;
} pair;

static int cosine_similarity_shape(ad_call *c) {
    const cosine_attrs *a = c->attrs;
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape)) return ad_call_fail(c, AD_ESHAPE, "the shapes differ");
    if (!(a->eps >= 0 && a->eps - a->eps == 0))
        return ad_call_fail(c, AD_EVALUE, "eps %g is not a finite number >= 0", a->eps);
    int axis = ad_call_axis(c, a->axis, c->shape.ndim);
    if (axis < 0) return axis;
    c->scratch = SLOTS * (size_t)c->shape.dim[axis] * ad_dtype_size(c->dtype);
    c->shape = ad__reduced_shape(c->shape, 1u << axis, false);
    c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(pair) + 1;
    return AD_OK;
}

/* PyTorch's max(norm, eps), which keeps a NaN. */
static double at_least(double eps, double norm) { return norm < eps ? eps : norm; }

static ad__rows rows_of(const ad_op *op) { return ad__rows_along(op, op->in[0]->layout->shape, attrs_of(op)->axis); }

static int cosine_similarity_evaluate(const ad_op *op) {
    ad__rows r = rows_of(op);
    double eps = attrs_of(op)->eps;
    pair *kept = ad_saved(op);
    for (int64_t j = 0; j < r.count; j++) {
        const void *a = ad__row_at(&r, op->in[0]->data, j, A), *b = ad__row_at(&r, op->in[1]->data, j, B);
        double na = AD__BY_DTYPE(r.t, ad__row_norm, r.n, a, 2), nb = AD__BY_DTYPE(r.t, ad__row_norm, r.n, b, 2);
        bool unit = na >= eps && nb >= eps;
        kept[j] = (pair){ { na, nb },
                          AD__BY_DTYPE(r.t, ad__cosine, r.n, unit, at_least(eps, na), a, at_least(eps, nb), b) };
        ad__put(ad__out(op), j, kept[j].cosine);
    }
    return AD_OK;
}

/* da = g / |a| (b / |b| - y a / |a|), where b is the other operand. The last term is dropped where |a| < eps. */
static void operand_backward(const ad_op *op, int operand) {
    ad__rows r = rows_of(op);
    bool fresh;
    void *into = ad_grad_claim(op, operand, &fresh);
    double eps = attrs_of(op)->eps;
    const pair *kept = ad_saved(op);
    for (int64_t j = 0; into != NULL && j < r.count; j++) {
        double own = at_least(eps, kept[j].norm[operand]), other = at_least(eps, kept[j].norm[!operand]);
        const void *a = ad__row_at(&r, op->in[operand]->data, j, A), *b = ad__row_at(&r, op->in[!operand]->data, j, B);
        void *to = ad__row_gradient(&r, into, j, GRADIENT, fresh);
        AD__BY_DTYPE(r.t, ad__cosine_back, r.n, ad_grad_at(ad__out(op), j) / own,
                     kept[j].norm[operand] < eps ? 0 : kept[j].cosine, own, a, other, b, to);
        ad__row_store(&r, to, into, j);
    }
}

static void cosine_similarity_backward(const ad_op *op) {
    operand_backward(op, 0);
    operand_backward(op, 1);
}

/* The same in Vars, in f64 as in the kernel. No square of an element is formed, which could overflow or underflow. */
static void cosine_similarity_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const cosine_attrs *attrs = attrs_of(op);
    const ad_dtype t = g->layout->dtype;
    ad_shape s = op->in[0]->layout->shape;
    int axis = attrs->axis < 0 ? attrs->axis + s.ndim : attrs->axis;
    ad_shape kept = ad__reduced_shape(s, 1u << axis, true);
    ad_var *limited[2], *length[2], *unit[2], *x[2], *wide = ad_reshape(ad__in_dtype(g, AD_F64), kept);
    ad_var *eps = ad__constant(wide, attrs->eps);
    for (int i = 0; i < 2; i++) {
        x[i] = ad__in_dtype(op->in[i], AD_F64);
        ad_var *norm = ad_norm_axis(x[i], axis, 2, true);
        limited[i] = ad_lt(norm, eps);
        length[i] = ad_where(limited[i], eps, norm);
        unit[i] = ad_div(x[i], length[i]);
    }
    ad_var *y = t == AD_F64 ? ad__out(op) : ad_cosine_similarity(x[0], x[1], axis, attrs->eps);
    y = ad_reshape(y, kept);
    for (int i = 0; i < 2; i++) {
        if (!ad_vjp_wants(op, i)) continue;
        ad_var *along = ad__zero_where(limited[i], ad_mul(y, unit[i]));
        dx[i] = ad__in_dtype(ad_mul(ad_div(wide, length[i]), ad_sub(unit[!i], along)), t);
    }
}

/* The sum of products of unit rows in f64. Rows are divided by lengths of at least eps, whose slope is 0 below eps. */
AD_COLD static int cosine_similarity_emit(ad_emit *e, const ad_op *op) {
    const ad_emit_array first = ad_emit_operand(e, op, 0);
    ad_emit_array unit[2], length, y;
    int axis = attrs_of(op)->axis < 0 ? attrs_of(op)->axis + first.shape.ndim : attrs_of(op)->axis;
    unsigned mask = first.shape.ndim ? 1u << axis : 0;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    for (int i = 0; i < 2; i++) {
        ad_emit_array x = ad__emit_map(e, AD_F64, ad_emit_operand(e, op, i), "x", "g");
        length = ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, x, mask, "x * x", "2 * g * x");
        length = ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = length.shape, .names = "x e",
                                                 .value = "sqrt(x) < e ? e : sqrt(x)",
                                                 .slope = { "sqrt(x) < e ? 0 : g / (2 * y)" }, .n = 1,
                                                 .in = { length }, .n_parameters = 1,
                                                 .parameter = { attrs_of(op)->eps } });
        unit[i] = ad__emit_map2(e, AD_F64, x.shape, x, length, "a / b", "g / b", "-(g * y / b)");
    }
    y = ad__emit_reduce2(e, AD_F64, first.shape, mask, unit[0], unit[1], "a * b", "g * b", "g * a");
    ad_emit_result(e, op, ad__emit_map(e, first.dtype, y, "x > 1 ? 1 : x < -1 ? -1 : x", "g"));
    return AD_OK;
}

static void cosine_similarity_samples(ad_sampler *s) {
    ad_shape shapes[6];
    AD__SHAPES(shapes, "4 3,2 2,3,2 2,35 0,3 1");
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int axis = -1; axis < shapes[i].ndim - 1; axis++)
            ad_sample(s, &(cosine_attrs){ axis, i % 2 ? 1e-8 : 0 }, 2, (ad_shape[]){ shapes[i], shapes[i] },
                      (double[]){ -2, 0.5 }, (double[]){ 2, 2 });
    /* rows: |a| < eps; a = 0; a = b = 0 */
    const double a[] = { 0.1, 0.2, 0, 0, 0, 0 }, b[] = { 1, 2, 3, -4, 0, 0 }, *values[] = { a, b };
    ad_shape three[2];
    AD__SHAPES(three, "3,2 3,2");
    ad_sample_values(s, &(cosine_attrs){ 1, 0.5 }, 2, three, values, 0);
    /* rows whose squares overflow or underflow; parallel and opposite rows */
    const double huge[] = { 1e200, 2e200, 1e-200, 2e-200, 1e200, 1e-200 };
    const double turned[] = { 2e200, 1e200, 2e-200, 1e-200, 1e-200, -1e200 };
    ad_sample_values(s, &(cosine_attrs){ 1, 0 }, 2, three, (const double *[]){ huge, turned },
                     AD_SAMPLE_KINK | AD_SAMPLE_LOOSE);
    const double ahead[] = { 1, 2, 3, -4, 0, 0.3 }, along[] = { 3, 6, -0.3, 0.4, 0, 0.7 };
    ad_sample_values(s, &(cosine_attrs){ 1, 1e-8 }, 2, three, (const double *[]){ ahead, along }, 0);
}

AD_OPTYPE(cosine_similarity,
          .differs = "where a length is below eps, the slope is the value's; PyTorch subtracts y a / eps^2; the "
                     "squares of huge elements do not overflow",
          .doc = "cosine of the angle between the rows of a and b along an axis; operands broadcast",
          .formula = "sum(a b) / (max(|a|, eps) max(|b|, eps))",
          .gradient = "with unit rows u and v: g / |a| (v - y u); g / |b| (u - y v)",
          .special = "da = g v / eps where |a| < eps (PyTorch 1.13 also subtracts y a / eps^2); y is within -1..1",
          .arity = 2, .attr_size = sizeof(cosine_attrs), .attrs = cosine_list, .shape = cosine_similarity_shape,
          .evaluate = { cosine_similarity_evaluate, cosine_similarity_evaluate },
          .backward = { cosine_similarity_backward, cosine_similarity_backward }, .vjp = cosine_similarity_vjp,
          .emit = cosine_similarity_emit);

ad_var *ad_cosine_similarity(ad_var *a, ad_var *b, int axis, double eps) {
    cosine_attrs attrs = { axis, eps };
    ad_shape whole;
    if (!ad__absent(a) && !ad__absent(b) && !ad__broadcast(a->layout->shape, b->layout->shape, &whole)) {
        if (!ad_shape_equal(a->layout->shape, whole)) a = ad_expand(a, whole);
        if (!ad_shape_equal(b->layout->shape, whole)) b = ad_expand(b, whole);
    }
    return ad__apply2(&ad_op_cosine_similarity, a, b, &attrs);
}
