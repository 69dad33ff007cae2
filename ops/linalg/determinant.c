/* determinant.c: determinants of square matrices and their logarithms, from LU factors. Derivatives: M. B. Giles,
   "An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation",
   Oxford 2008, section 2.2.4. */
#include "ops/ops.h"
#include "ops/kernels/base/vector.h"
#include "ops/linalg/system.h"

#include <math.h>
#include <string.h>

/* ---- helpers: x [..,n,n] -> y [..] ---------------------------------------------------------------------- */

static int determinant_shape(ad_call *c, size_t matrices_of_scratch) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    size_t n = (size_t)c->shape.dim[c->shape.ndim - 1], size = ad_dtype_size(c->dtype);
    c->saved = ad__factors_size(c);
    c->shape = ad__leading(c->shape);
    c->scratch = matrices_of_scratch * n * n * size + n * sizeof(double) + ad__lu_work(c->dtype, (int64_t)n);
    return AD_OK;
}

/* log |det| and sign of matrix k. */
static double log_and_sign(const ad_op *op, int64_t k, int *sign) {
    const ad_var *x = op->in[0];
    return x->layout->dtype == AD_F32
               ? ad__lu_logdet_f32(ad__matrix_side(x), ad__factors(op, k), ad__pivots(op, k), sign)
               : ad__lu_logdet_f64(ad__matrix_side(x), ad__factors(op, k), ad__pivots(op, k), sign);
}

static void put(const ad_var *y, int64_t k, double value) {
    if (y->layout->dtype == AD_F32) ((float *)y->data)[k] = (float)value;
    else ((double *)y->data)[k] = value;
}

/* gx += g x^-T for matrix k */
static void add_inverse(const ad_op *op, int64_t k, double g, void *gx) {
    const ad_var *x = op->in[0];
    ad_dtype t = x->layout->dtype;
    int64_t n = ad__matrix_side(x);
    char *inverse = ad_scratch(op), *work = ad__matrix(inverse, 1, n * n, t);
    memcpy(inverse, ad__factors(op, k), (size_t)(n * n) * ad_dtype_size(t));
    ad__lu_inverse(t, n, inverse, ad__pivots(op, k), work);
    if (t == AD_F32) ad__axpy_turned_f32(n, (float)g, (const void *)inverse, gx);
    else ad__axpy_turned_f64(n, g, (const void *)inverse, gx);
}

/* g, of a scalar for each matrix, times matrices. */
static ad_var *times_each(ad_var *g, ad_var *matrices) {
    ad_shape s = g->layout->shape;
    s.dim[s.ndim++] = 1;
    s.dim[s.ndim++] = 1;
    return ad_mul(ad_reshape(g, s), matrices);
}

/* Determinants of either sign. */
static void determinant_samples(ad_sampler *s, double shift) {
    const ad_shape shapes[] = { AD_SHAPE(1, 1), AD_SHAPE(2, 2),    AD_SHAPE(3, 2, 2),    AD_SHAPE(2, 1, 3, 3),
                                AD_SHAPE(7, 7), AD_SHAPE(0, 3, 3), AD_SHAPE(2, 0, 0) };
    for (int i = 0; i < AD__COUNT(shapes); i++) {
        double x[AD__SAMPLE_MATRICES];
        ad__sample_matrices(shapes[i].dim[shapes[i].ndim - 1], ad_shape_numel(ad__leading(shapes[i])), shift, x);
        ad_sample_values(s, NULL, 1, &shapes[i], (const double *[]){ x }, 0);
    }
}

/* ---- logdet -------------------------------------------------------------------------------------------------- */

static int logdet_shape(ad_call *c) { return determinant_shape(c, 1); }

static int logdet_evaluate(const ad_op *op) {
    ad__factorise(op, false);
    for (int64_t k = 0; k < ad__matrix_count(op->in[0]); k++) {
        int sign;
        double value = log_and_sign(op, k, &sign);
        put(ad__out(op), k, sign < 0 ? NAN : value);
    }
    return AD_OK;
}

/* dx += g x^-T; nothing where the determinant is negative, NaN where it is 0 or a NaN */
static void logdet_backward(const ad_op *op) {
    const ad_var *x = op->in[0];
    ad_dtype t = x->layout->dtype;
    int64_t n = ad__matrix_side(x);
    char *gx = ad_grad_into(op, 0);
    for (int64_t k = 0; k < ad__matrix_count(x) && gx != NULL && n > 0; k++) {
        int sign;
        log_and_sign(op, k, &sign);
        double g = ad_grad_at(ad__out(op), k);
        char *to = ad__matrix(gx, k, n * n, t);
        if (sign > 0) add_inverse(op, k, g, to);
        else if (sign == 0) AD__BY_DTYPE(t, ad__array_fill, n * n, NAN, (void *)to);
    }
}

/* y is NaN where the determinant is negative. */
static void logdet_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad__out(op);
    dx[0] = times_each(ad_mul(g, ad_eq(y, y)), ad_transpose(ad_inverse(op->in[0])));
}

static void logdet_samples(ad_sampler *s) {
    determinant_samples(s, 4);
    const double negative[] = { 1, 2, 3, 1 }, turned[] = { 0, 2, 0, 0, 0, 3, 1.5, 0, 0.5 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(2, 2), (const double *[]){ negative }, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ turned }, 0);
}

AD_OPTYPE(logdet, .doc = "logarithm of the determinant of each square matrix", .formula = "log det x",
          .gradient = "g x^-T",
          .special = "determinant negative: NaN, gradient 0; 0: -inf, gradient NaN; needs LAPACK", .arity = 1,
          .shape = logdet_shape, .evaluate = { logdet_evaluate, logdet_evaluate },
          .backward = { logdet_backward, logdet_backward }, .vjp = logdet_vjp);
ad_var *ad_logdet(ad_var *x) { return ad__apply1(&ad_op_logdet, x, NULL); }

/* ---- det ------------------------------------------------------------------------------------------------------- */

static int det_shape(ad_call *c) { return determinant_shape(c, 3); }

/* The product of U's diagonal, with P's sign. */
static double determinant(const ad_op *op, int64_t k) {
    const ad_var *x = op->in[0];
    int64_t n = ad__matrix_side(x);
    const void *lu = ad__factors(op, k);
    double product = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * n + i;
        double u = x->layout->dtype == AD_F32 ? (double)((const float *)lu)[at] : ((const double *)lu)[at];
        product *= ad__pivots(op, k)[i] != i + 1 ? -u : u;
    }
    return product;
}

static int det_evaluate(const ad_op *op) {
    ad__factorise(op, false);
    for (int64_t k = 0; k < ad__matrix_count(op->in[0]); k++) put(ad__out(op), k, determinant(op, k));
    return AD_OK;
}

/* gx += g times the cofactors of a singular matrix: its inverse is not to be had. */
static void add_cofactors(const ad_op *op, int64_t k, double g, void *gx) {
    const ad_var *x = op->in[0];
    ad_dtype t = x->layout->dtype;
    int64_t n = ad__matrix_side(x);
    char *at = ad_scratch(op);
    memcpy(at, ad__matrix(x->data, k, n * n, t), (size_t)(n * n) * ad_dtype_size(t));
    ad__cofactors(t, n, at, ad__matrix(at, 1, n * n, t));
    if (t == AD_F32) ad__axpy_f32(n * n, (float)g, (const void *)at, gx);
    else ad__axpy_f64(n * n, g, (const void *)at, gx);
}

/* dx += g det x^-T */
static void det_backward(const ad_op *op) {
    const ad_var *x = op->in[0];
    int64_t n = ad__matrix_side(x);
    char *gx = ad_grad_into(op, 0);
    for (int64_t k = 0; k < ad__matrix_count(x) && gx != NULL && n > 0; k++) {
        double g = ad_grad_at(ad__out(op), k), det = determinant(op, k);
        char *to = ad__matrix(gx, k, n * n, x->layout->dtype);
        if (det == 0) add_cofactors(op, k, g, to);
        else add_inverse(op, k, g * det, to);
    }
}

static void det_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = times_each(ad_mul(g, ad__out(op)), ad_transpose(ad_inverse(op->in[0])));
}

static void det_samples(ad_sampler *s) {
    determinant_samples(s, 0.5);
    determinant_samples(s, -2);
}

AD_OPTYPE(det, .doc = "determinant of each square matrix", .formula = "det x", .gradient = "g det(x) x^-T",
          .special = "singular: the gradient is g times the cofactors, and gradients of it are an error; needs LAPACK",
          .arity = 1, .shape = det_shape, .evaluate = { det_evaluate, det_evaluate },
          .backward = { det_backward, det_backward }, .vjp = det_vjp);
ad_var *ad_det(ad_var *x) { return ad__apply1(&ad_op_det, x, NULL); }
