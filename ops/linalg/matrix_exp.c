/* matrix_exp.c: exponentials of square matrices. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/expm.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* The derivative of exp at x in the direction e is the upper right block of exp([x e; 0 x]): R. Mathias, "A chain rule
   for matrix functions and applications", 1996. The gradient is the derivative at x^T in the direction g. It is linear
   in g, which is divided by the sum of its sizes before, since the exponential is scaled by the norm of all. */

static size_t matrix_bytes(int64_t n, ad_dtype t) { return (size_t)(n * n) * ad_dtype_size(t); }

static int matrix_exp_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    const int64_t n = c->shape.dim[c->shape.ndim - 1];
    c->scratch = 2 * matrix_bytes(2 * n, c->dtype) + ad__expm_work(c->dtype, 2 * n);
    return AD_OK;
}

static int matrix_exp_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    char *copy = ad_scratch(op);
    while (ad__batch_next(&b)) {
        memcpy(copy, b.a, b.a_bytes);
        ad__expm(ad__op_team(op), b.t, b.side, copy, b.y, copy + b.a_bytes);
    }
    return AD_OK;
}

/* The sum of sizes; 1 if all are 0. */
static double size_of(const ad__batch *b) {
    double sum = 0;
    for (int64_t i = 0; i < b->size; i++) sum += fabs(ad_read_element(b->t, b->g, i));
    return sum == 0 ? 1 : sum;
}

/* block = [x^T g/size; 0 x^T] */
static void fill_block(const ad__batch *b, double size, void *block) {
    const int64_t n = b->side;
    memset(block, 0, matrix_bytes(2 * n, b->t));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double x = ad_read_element(b->t, b->a, j * n + i);
            ad_write_element(b->t, block, i * 2 * n + j, x);
            ad_write_element(b->t, block, (n + i) * 2 * n + n + j, x);
            ad_write_element(b->t, block, i * 2 * n + n + j, ad_read_element(b->t, b->g, i * n + j) / size);
        }
}

static void matrix_exp_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    const int64_t n = b.side;
    char *block = ad_scratch(op), *y = block + matrix_bytes(2 * n, b.t), *work = y + matrix_bytes(2 * n, b.t);
    while (ad__batch_next(&b)) {
        const double size = size_of(&b);
        fill_block(&b, size, block);
        ad__expm(ad__op_team(op), b.t, 2 * n, block, y, work);
        for (int64_t i = 0; i < n; i++)
            AD__BY_DTYPE(b.t, ad__axpy, n, size, (void *)ad__matrix(y, i * 2 * n + n, 1, b.t),
                         (void *)ad__matrix(b.ga, i * n, 1, b.t));
    }
}

static void matrix_exp_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const int64_t n = ad__matrix_side(op->in[0]);
    if (g->layout->numel == 0) return;
    ad_var *sum = ad_detach(ad_sum_axes(ad_abs(g), 2, (int[]){ -2, -1 }, true)), *zero = ad__constant(g, 0);
    ad_var *size = ad_where(ad_eq(sum, zero), ad__constant(g, 1), sum), *xt = ad_transpose(op->in[0]);
    ad_var *zeros = ad_zeros(ad__owner(g), g->layout->dtype, g->layout->shape);
    ad_var *top = ad_concat(2, (ad_var *[]){ xt, ad_div(g, size) }, -1),
           *low = ad_concat(2, (ad_var *[]){ zeros, xt }, -1);
    ad_var *y = ad_matrix_exp(ad_concat(2, (ad_var *[]){ top, low }, -2));
    dx[0] = ad_mul(ad_narrow(ad_narrow(y, -2, 0, n), -1, n, n), size);
}

/* Norms for each of the approximants, and one that is scaled. */
static void matrix_exp_samples(ad_sampler *s) {
    const double sizes[] = { 0.01, 0.1, 0.5, 1.5, 4, 20 };
    double x[AD__SAMPLE_MATRICES];
    ad__square_samples(s, NULL, 5, -0.5);
    for (int k = 0; k < AD__COUNT(sizes); k++) {
        ad__sample_matrices(3, 1, 0.2, x);
        for (int i = 0; i < 9; i++) x[i] *= sizes[k] / 3;
        ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ x }, sizes[k] > 10 ? AD_SAMPLE_LOOSE : 0);
    }
    const double nilpotent[] = { 0, 1, 2, 0, 0, 3, 0, 0, 0 }, turn[] = { 0, 2, -2, 0 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ nilpotent }, 0);
    ad_sample_values(s, NULL, 1, &AD_SHAPE(2, 2), (const double *[]){ turn }, 0);
}

AD_OPTYPE(matrix_exp,
          .differs = "infinite and NaN elements give NaN; PyTorch 1.13 returns what its memory holds",
          .doc = "exponential of each square matrix, as a power series; ad_exp is that of each element",
          .formula = "1 + x + x x / 2 + ..", .gradient = "the upper right block of exp([x^T g; 0 x^T])", .arity = 1,
          .special = "infinite and NaN elements, and norms that overflow, give NaN; needs LAPACK",
          .shape = matrix_exp_shape, .evaluate = { matrix_exp_evaluate, matrix_exp_evaluate },
          .backward = { matrix_exp_backward, matrix_exp_backward }, .vjp = matrix_exp_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_matrix_exp(ad_var *x) { return ad__apply1(&ad_op_matrix_exp, x, NULL); }
