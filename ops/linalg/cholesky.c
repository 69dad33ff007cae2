/* cholesky.c: the Cholesky factor of symmetric positive definite matrices. */
#include "ops/ops.h"
#include "ops/linalg/system.h"

/* x [..,n,n] -> L [..,n,n], lower. The symmetric part of x is what is factorised, so that the gradient is
   symmetric, as PyTorch's is, and also the true one of every element. */
static int cholesky_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    size_t n = (size_t)c->shape.dim[c->shape.ndim - 1];
    c->scratch = n * n * ad_dtype_size(c->dtype);
    return AD_OK;
}

static int cholesky_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    int64_t n = ad__matrix_side(x);
    for (int64_t k = 0; k < ad__matrix_count(x); k++) {
        void *at = ad__matrix(y->data, k, n * n, t);
        const void *from = ad__matrix(x->data, k, n * n, t);
        if (t == AD_F32) ad__lower_mean_f32(n, from, at);
        else ad__lower_mean_f64(n, from, at);
        int64_t minor = ad__matrix_cholesky(t, n, at);
        if (minor != 0)
            return ad_op_fail(op, AD_EVALUE, "matrix %lld is not positive definite: its leading minor of order %lld is "
                                             "not positive", (long long)k, (long long)minor);
    }
    return AD_OK;
}

/* s = L^-T P L^-1, P the lower half of L^T g; dx += (s + s^T) / 2. I. Murray, "Differentiation of the
   Cholesky decomposition", 2016, equation 10. */
static void cholesky_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    ad_dtype t = y->layout->dtype;
    int64_t n = ad__matrix_side(y);
    void *gx = ad_grad_into(op, 0), *s = ad_scratch(op);
    for (int64_t k = 0; k < ad__matrix_count(y) && gx != NULL; k++) {
        const void *l = ad__matrix(y->data, k, n * n, t);
        void *to = ad__matrix(gx, k, n * n, t);
        ad__gemm(ad__op_team(op), t, true, false, n, n, n, l, ad__matrix(y->grad, k, n * n, t), 0, s);
        if (t == AD_F32) ad__lower_half_f32(n, s);
        else ad__lower_half_f64(n, s);
        ad__triangle_solve(t, (ad__triangle){ .transpose = true }, n, n, l, s);
        ad__triangle_solve(t, (ad__triangle){ .right = true }, n, n, l, s);
        if (t == AD_F32) ad__axpy_f32(n * n, 0.5f, s, to), ad__axpy_turned_f32(n, 0.5f, s, to);
        else ad__axpy_f64(n * n, 0.5, s, to), ad__axpy_turned_f64(n, 0.5, s, to);
    }
}

static void cholesky_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *l = ad__out(op), *product = ad_matmul(ad_transpose(l), g);
    ad_var *half = ad_muls(ad_add(ad_tril(product, 0), ad_tril(product, -1)), 0.5);
    ad_var *left = ad_solve_triangular(l, half, (ad_triangular_opts){ .transpose = true });
    ad_var *s = ad_solve_triangular(l, left, (ad_triangular_opts){ .right = true });
    dx[0] = ad_muls(ad_add(s, ad_transpose(s)), 0.5);
}

static void cholesky_samples(ad_sampler *s) {
    const ad_shape shapes[] = { AD_SHAPE(1, 1), AD_SHAPE(2, 2),    AD_SHAPE(3, 2, 2),    AD_SHAPE(2, 1, 3, 3),
                                AD_SHAPE(7, 7), AD_SHAPE(0, 3, 3), AD_SHAPE(2, 0, 0) };
    for (int i = 0; i < AD__COUNT(shapes); i++) {
        double x[AD__SAMPLE_MATRICES];
        ad__sample_matrices(shapes[i].dim[shapes[i].ndim - 1], ad_shape_numel(ad__leading(shapes[i])), 5, x);
        ad_sample_values(s, NULL, 1, &shapes[i], (const double *[]){ x }, 0);
    }
}

AD_OPTYPE(cholesky, .doc = "lower L with L L^T = (x + x^T) / 2; PyTorch looks at x's lower triangle alone",
          .formula = "L", .gradient = "(s + s^T) / 2, s = L^-T P L^-1; P is tril(L^T g), its diagonal halved",
          .special = "a matrix that is not positive definite is an error; needs LAPACK", .arity = 1,
          .shape = cholesky_shape, .evaluate = { cholesky_evaluate, cholesky_evaluate },
          .backward = { cholesky_backward, cholesky_backward }, .vjp = cholesky_vjp);
ad_var *ad_cholesky(ad_var *x) { return ad__apply1(&ad_op_cholesky, x, NULL); }
