/* determinant.c: determinants of square matrices and their logarithms, from LU factors.

   Derivatives: M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode
   algorithmic differentiation", Oxford 2008, section 2.2.4. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/kernels/base/vector.h"
#include "ops/linalg/cofactor.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: x [..,n,n] -> y [..] ---------- */

static int determinant_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    int64_t n = c->shape.dim[c->shape.ndim - 1];
    c->saved = ad__factors_size(c);
    c->shape = ad__leading(c->shape);
    c->scratch = ad__cofactors_work(n);
    return AD_OK;
}

/* log |det|, and the sign of the determinant: -1, 0 or 1. */
static double log_and_sign(const ad__batch *b, int *sign) {
    return AD__BY_DTYPE(b->t, ad__lu_logdet, b->side, ad__factors(b->op, b->i), ad__pivots(b->op, b->i), sign);
}

/* dx += k x^-T */
static void add_inverse(const ad__batch *b, double k) {
    int64_t n = b->side;
    void *inverse = ad_scratch(b->op), *work = ad__matrix(inverse, 1, n * n, b->t);
    memcpy(inverse, ad__factors(b->op, b->i), b->a_bytes);
    ad__lu_inverse(b->t, n, inverse, ad__pivots(b->op, b->i), work);
    AD__BY_DTYPE(b->t, ad__axpy_transposed, n, k, inverse, b->ga);
}

/* Multiplies each of the matrices [..,n,n] by an element of g [..]. */
static ad_var *times_each(ad_var *g, ad_var *matrices) {
    ad_shape s = g->layout->shape;
    s.dim[s.ndim++] = 1;
    s.dim[s.ndim++] = 1;
    return ad_mul(ad_reshape(g, s), matrices);
}

/* ---- logdet ---------- */

static int logdet_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    ad__factorise(op, false);
    while (ad__batch_next(&b)) {
        int sign;
        double value = log_and_sign(&b, &sign);
        ad__put(ad__out(op), b.i, sign < 0 ? NAN : value);
    }
    return AD_OK;
}

/* dx += g x^-T. Adds nothing if the determinant is negative, NaN if it is 0 or NaN. */
static void logdet_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    while (ad__batch_next(&b)) {
        int sign;
        log_and_sign(&b, &sign);
        if (sign > 0) add_inverse(&b, ad_grad_at(ad__out(op), b.i));
        else if (sign == 0) AD__BY_DTYPE(b.t, ad__array_fill, b.side * b.side, NAN, b.ga);
    }
}

/* Where y is NaN, the inverse is 0 or NaN, and is the gradient for any g. A product would turn 0 into NaN if g is
   infinite. */
static void logdet_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad__out(op), *factor = ad_where(ad_ne(y, y), ad__constant(g, 1), g);
    dx[0] = times_each(factor, ad_transpose(ad__inverse_for_logdet(op->in[0])));
}

static void logdet_samples(ad_sampler *s) {
    ad__square_samples(s, NULL, 7, 4);
    const double negative[] = { 1, 2, 3, 1 }, exchanged[] = { 0, 2, 0, 0, 0, 3, 1.5, 0, 0.5 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(2, 2), (const double *[]){ negative }, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ exchanged }, 0);
}

AD_OPTYPE(logdet,
          .differs = "the gradient at a singular matrix is NaN; PyTorch's is infinities and NaN",
          .doc = "logarithm of the determinant of each square matrix", .formula = "log det x",
          .gradient = "g x^-T",
          .special = "if the determinant is negative: NaN, gradient 0; if it is 0: -inf, gradient NaN; needs LAPACK",
          .arity = 1,
          .shape = determinant_shape, .evaluate = { logdet_evaluate, logdet_evaluate },
          .backward = { logdet_backward, logdet_backward }, .vjp = logdet_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_logdet(ad_var *x) { return ad__apply1(&ad_op_logdet, x, NULL); }

/* ---- slogdet_packed: x [..,n,n] -> [..,2], sign and log |det| ---------- */

static int slogdet_packed_shape(ad_call *c) {
    int rc = determinant_shape(c);
    if (rc == AD_OK) c->shape.dim[c->shape.ndim++] = 2;
    return rc;
}

/* A NaN among the elements gives NaN twice; PyTorch has the sign 0 then. */
static int slogdet_packed_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    ad__factorise(op, false);
    while (ad__batch_next(&b)) {
        int sign;
        double value = log_and_sign(&b, &sign);
        ad__put(ad__out(op), 2 * b.i, isnan(value) ? NAN : sign);
        ad__put(ad__out(op), 2 * b.i + 1, value);
    }
    return AD_OK;
}

/* dx += g x^-T for the logarithm; NaN if the determinant is 0 or NaN. */
static void slogdet_packed_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    while (ad__batch_next(&b)) {
        int sign;
        log_and_sign(&b, &sign);
        if (sign != 0) add_inverse(&b, ad_grad_at(ad__out(op), 2 * b.i + 1));
        else AD__BY_DTYPE(b.t, ad__array_fill, b.side * b.side, NAN, b.ga);
    }
}

static void slogdet_packed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = times_each(ad_select(g, -1, 1), ad_transpose(ad__inverse_or_nan(op->in[0])));
}

static void slogdet_packed_samples(ad_sampler *s) {
    ad__square_samples(s, NULL, 7, 0.5);
    const double exchanged[] = { 0, 2, 0, 0, 0, -3, 1.5, 0, 0.5 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ exchanged }, 0);
}

AD_OPTYPE(slogdet_packed,
          .differs = "the gradient at a singular matrix is NaN; PyTorch's is infinities and NaN; the sign for a NaN "
                     "is NaN, "
                     "PyTorch's is 0",
          .doc = "sign and logarithm of the absolute determinant of each square matrix, [..,2]; ad_slogdet has them "
                 "as two "
                 "Vars",
          .formula = "sign(det x), log |det x|", .gradient = "g[1] x^-T",
          .special = "if the determinant is 0: 0 and -inf, gradient NaN; needs LAPACK", .arity = 1,
          .shape = slogdet_packed_shape, .evaluate = { slogdet_packed_evaluate, slogdet_packed_evaluate },
          .backward = { slogdet_packed_backward, slogdet_packed_backward }, .vjp = slogdet_packed_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_slogdet_packed(ad_var *x) { return ad__apply1(&ad_op_slogdet_packed, x, NULL); }

int ad_slogdet(ad_var *x, ad_var *parts[2]) {
    int rc = ad__parts_begin(x, "slogdet", 2, parts);
    if (rc != AD_OK) return rc;
    ad_var *y = ad_slogdet_packed(x);
    for (int i = 0; i < 2 && ad_ok(ad__owner(x)); i++) parts[i] = ad_select(y, -1, i);
    if (ad_ok(ad__owner(x))) parts[0] = ad_detach(parts[0]);
    return ad__parts_end(x, 2, parts);
}

/* ---- det ---------- */

static int det_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    ad__factorise(op, false);
    while (ad__batch_next(&b)) {
        ad__wide det = AD__BY_DTYPE(b.t, ad__lu_det, b.side, ad__factors(op, b.i), ad__pivots(op, b.i));
        ad__put(ad__out(op), b.i, ad__wide_value(det));
    }
    return AD_OK;
}

/* dx += g times the cofactors of x */
static void det_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    while (ad__batch_next(&b))
        ad__add_cofactors(b.t, b.side, ad_grad_at(ad__out(op), b.i), b.a, ad__factors(op, b.i), ad__pivots(op, b.i),
                          ad_scratch(op), b.ga);
}

static void det_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = times_each(g, ad_cofactor(op->in[0])); }

static void det_samples(ad_sampler *s) {
    ad__square_samples(s, NULL, 7, 0.5); /* determinants of either sign */
    ad__square_samples(s, NULL, 7, -2);
    ad__singular_samples(s, 1);
}

AD_OPTYPE(det,
          .differs = "the gradient at a singular matrix is right, PyTorch's is 0 there; that of a single element is 1 "
                     "for NaN and infinity too, PyTorch's is NaN; if one of more elements is infinite, it is NaN, "
                     "PyTorch's has infinities",
          .doc = "determinant of each square matrix", .formula = "det x",
          .gradient = "g cofactor(x), which is g det(x) x^-T if x is not singular",
          .special = "a singular x has derivatives of every order; needs LAPACK",
          .arity = 1, .shape = determinant_shape, .evaluate = { det_evaluate, det_evaluate },
          .backward = { det_backward, det_backward }, .vjp = det_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_det(ad_var *x) { return ad__apply1(&ad_op_det, x, NULL); }
