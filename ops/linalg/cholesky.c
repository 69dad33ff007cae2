/* cholesky.c: Cholesky factors of symmetric positive definite matrices. */
#include "ops/base/pattern.h"
#include "ops/kernels/base/vector.h"
#include "ops/linalg/system.h"
#include "ops/ops.h"

/* x [..,n,n] -> lower L [..,n,n]. The op factorises the symmetric part of x. So the gradient is symmetric, as
   PyTorch's is, and it is also the true derivative for each element of x. */
static int cholesky_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    size_t n = (size_t)c->shape.dim[c->shape.ndim - 1];
    c->scratch = n * n * ad_dtype_size(c->dtype);
    return AD_OK;
}

static int cholesky_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    while (ad__batch_next(&b)) {
        AD__BY_DTYPE(b.t, ad__lower_mean, b.side, b.a, b.y);
        int64_t minor = ad__matrix_cholesky(b.t, b.side, b.y);
        if (minor != 0)
            return ad_op_fail(op, AD_EVALUE, "matrix %lld is not positive definite: its leading minor of order %lld is "
                                             "not positive", (long long)b.i, (long long)minor);
    }
    return AD_OK;
}

/* s = L^-T P L^-1, where P is the lower triangle of L^T g with a halved diagonal; dx += (s + s^T) / 2. I. Murray,
   "Differentiation of the Cholesky decomposition", 2016, equation 10. */
static void cholesky_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    int64_t n = b.side;
    void *s = ad_scratch(op);
    while (ad__batch_next(&b)) {
        ad__gemm(ad__op_team(op), b.t, true, false, n, n, n, b.y, b.g, 0, s);
        AD__BY_DTYPE(b.t, ad__lower_half, n, s);
        ad__triangle_solve(b.t, (ad__triangle){ .transpose = true }, n, n, b.y, s);
        ad__triangle_solve(b.t, (ad__triangle){ .right = true }, n, n, b.y, s);
        AD__BY_DTYPE(b.t, ad__axpy, n * n, 0.5, s, b.ga);
        AD__BY_DTYPE(b.t, ad__axpy_transposed, n, 0.5, s, b.ga);
    }
}

static void cholesky_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *l = ad__out(op), *product = ad_matmul(ad_transpose(l), g);
    ad_var *half = ad_muls(ad_add(ad_tril(product, 0), ad_tril(product, -1)), 0.5);
    ad_var *left = ad_solve_triangular(l, half, (ad_triangular_opts){ .transpose = true });
    ad_var *s = ad_solve_triangular(l, left, (ad_triangular_opts){ .right = true });
    dx[0] = ad_muls(ad_add(s, ad_transpose(s)), 0.5);
}

static void cholesky_samples(ad_sampler *s) { ad__square_samples(s, NULL, 7, 5); }

AD_OPTYPE(cholesky,
          .differs = "the symmetric part is factorised; PyTorch looks at the lower triangle alone",
          .doc = "lower triangular L with L L^T = (x + x^T) / 2; PyTorch reads the lower triangle of x only",
          .formula = "L", .gradient = "(s + s^T) / 2, s = L^-T P L^-1; P is tril(L^T g) with a halved diagonal",
          .special = "a matrix that is not positive definite is an error; a NaN is in all of L; needs LAPACK",
          .arity = 1, .shape = cholesky_shape, .evaluate = { cholesky_evaluate, cholesky_evaluate },
          .backward = { cholesky_backward, cholesky_backward }, .vjp = cholesky_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_cholesky(ad_var *x) { return ad__apply1(&ad_op_cholesky, x, NULL); }
