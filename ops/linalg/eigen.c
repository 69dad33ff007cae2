/* eigen.c: eigenvalues and eigenvectors of symmetric matrices.

   Derivatives: M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode
   algorithmic differentiation", Oxford 2008, section 3.1. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/decompose.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

/* ---- helpers: the ops decompose the symmetric part of x. So the gradient is symmetric, as PyTorch's is, and it is
   also the true derivative for each element of x. ---------------------------------------------------------------- */

/* Asks for scratch of so many matrices, and for LAPACK's work. */
static int symmetric_shape(ad_call *c, int matrices) {
    ad__sides s;
    int rc = ad__square_shape(c);
    if (rc == AD_OK) rc = ad__decomposition_shape(c, &s);
    if (rc != AD_OK) return rc;
    c->scratch = (size_t)(matrices * s.n * s.n) * ad_dtype_size(c->dtype) + ad__eigh_work(c->dtype, s.n);
    return AD_OK;
}

/* Decomposes matrix b->i into w and into a copy, which becomes the vectors. */
static int decompose(const ad__batch *b, bool vectors, void *copy, void *w, void *work) {
    AD__BY_DTYPE(b->t, ad__symmetric_mean, b->side, b->a, copy);
    if (!AD__BY_DTYPE(b->t, ad__all_finite, b->side * b->side, copy)) return ad__not_finite(b->op, b->i);
    return ad__symmetric_eigen(b->t, vectors, b->side, copy, w, work) == 0 ? AD_OK : ad__not_converged(b->op, b->i);
}

/* ---- eigh_packed: x [..,n,n] -> y [.., n + n n], the values and then the vectors ---------- */

static int eigh_packed_shape(ad_call *c) {
    int rc = symmetric_shape(c, 2);
    if (rc != AD_OK) return rc;
    int64_t n = c->shape.dim[c->shape.ndim - 1];
    c->shape = ad__packed_shape(c->shape, n + n * n);
    return AD_OK;
}

static int eigh_packed_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    int rc = AD_OK;
    while (rc == AD_OK && ad__batch_next(&b))
        rc = decompose(&b, true, ad__matrix(b.y, 1, b.side, b.t), b.y, ad_scratch(op));
    return rc;
}

/* dx += v mid v^T. mid has gw on its diagonal, and elsewhere the antisymmetric part of v^T gv over w[j] - w[i]. */
static void eigh_packed_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    int64_t n = b.side;
    void *mid = ad_scratch(op), *left = ad__matrix(mid, 1, n * n, b.t);
    while (ad__batch_next(&b)) {
        void *v = ad__matrix(b.y, 1, n, b.t), *gv = ad__matrix(b.g, 1, n, b.t);
        ad__gemm(ad__op_team(op), b.t, true, false, n, n, n, v, gv, 0, mid);
        AD__BY_DTYPE(b.t, ad__eigh_middle, n, b.y, b.g, mid);
        ad__gemm(ad__op_team(op), b.t, false, false, n, n, n, v, mid, 0, left);
        ad__gemm(ad__op_team(op), b.t, false, true, n, n, n, left, v, 1, b.ga);
    }
}

/* Where a gap and what is divided by it are 0, the gap is replaced by 1. */
static void eigh_packed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int64_t n = ad__matrix_side(op->in[0]);
    ad_var *y = ad__out(op), *w = ad__packed_part(y, 0, AD__VECTOR, n), *v = ad__packed_part(y, n, n, n),
           *vt = ad_transpose(v);
    ad_var *m = ad_matmul(vt, ad__packed_part(g, n, n, n)), *turn = ad_muls(ad__antisymmetric(m), 0.5);
    ad_var *gap = ad_sub(ad_unsqueeze(w, -2), ad_unsqueeze(w, -1)), *zero = ad__constant(g, 0);
    ad_var *safe = ad_where(ad_logical_and(ad_eq(turn, zero), ad_eq(gap, zero)), ad__constant(g, 1), gap);
    ad_var *mid = ad_add(ad_div(turn, safe), ad_diag_embed(ad__packed_part(g, 0, AD__VECTOR, n), 0));
    dx[0] = ad_matmul(ad_matmul(v, mid), vt);
}

static void symmetric_samples(ad_sampler *s) {
    ad__square_samples(s, NULL, 6, 0.5);
    const double apart[] = { 2, 1, 0.5, 1, 3, -0.25, 0.5, -0.25, 1 }, graded[] = { 1e-3, 2e-3, 2e-3, 50 };
    ad_sample_values(s, NULL, 1, &AD_SHAPE(3, 3), (const double *[]){ apart }, 0);
    ad_sample_values(s, NULL, 1, &AD_SHAPE(2, 2), (const double *[]){ graded }, AD_SAMPLE_LOOSE);
}
static void eigh_packed_samples(ad_sampler *s) { symmetric_samples(s); }

AD_OPTYPE(eigh_packed,
          .differs = "the symmetric part is decomposed, PyTorch looks at the lower triangle alone; the signs of "
                     "vectors are "
                     "fixed; equal eigenvalues and no cotangent of the vectors give PyTorch's gradient NaN, here that "
                     "of the values; an infinite element is an error",
          .doc = "eigenvalues w, ascending, and eigenvectors v of (x + x^T) / 2 in one array: w, then the matrix v, "
                 "whose "
                 "columns are the vectors; ad_eigh has them as two Vars",
          .formula = "(x + x^T) / 2 = v diag(w) v^T",
          .gradient = "v (diag(gw) + anti(v^T gv)[i,j] / (w[j] - w[i])) v^T; anti(m) = (m - m^T) / 2",
          .special = "the first of the largest elements of each vector, to within 1 %, is positive; of equal "
                     "eigenvalues "
                     "the vectors have no gradient: it is infinite or NaN, unless anti is exactly 0; infinite and NaN "
                     "elements are an error; needs LAPACK",
          .arity = 1, .shape = eigh_packed_shape, .evaluate = { eigh_packed_evaluate, eigh_packed_evaluate },
          .backward = { eigh_packed_backward, eigh_packed_backward }, .vjp = eigh_packed_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_eigh_packed(ad_var *x) { return ad__apply1(&ad_op_eigh_packed, x, NULL); }

int ad_eigh(ad_var *x, ad_var *parts[2]) {
    int rc = ad__parts_begin(x, "eigh", 2, parts);
    if (rc != AD_OK) return rc;
    ad_var *y = ad_eigh_packed(x);
    int64_t n = ad__absent(y) ? 0 : ad__matrix_side(x);
    parts[0] = ad__packed_part(y, 0, AD__VECTOR, n);
    parts[1] = ad__packed_part(y, n, n, n);
    return ad__parts_end(x, 2, parts);
}

/* ---- eigvalsh: x [..,n,n] -> w [..,n]. Vectors cost several times as much as values: only the gradient computes
   them. --------------------------------------------------------------------------------------------------------- */

static int eigvalsh_shape(ad_call *c) {
    int rc = symmetric_shape(c, 3);
    if (rc != AD_OK) return rc;
    c->scratch += (size_t)c->shape.dim[c->shape.ndim - 1] * ad_dtype_size(c->dtype);
    c->shape = ad__packed_shape(c->shape, c->shape.dim[c->shape.ndim - 1]);
    return AD_OK;
}

static int eigvalsh_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    void *copy = ad_scratch(op), *work = ad__matrix(copy, 1, b.side * b.side, b.t);
    int rc = AD_OK;
    while (rc == AD_OK && ad__batch_next(&b)) rc = decompose(&b, false, copy, b.y, work);
    return rc;
}

/* dx += v diag(g) v^T */
static void eigvalsh_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    int64_t n = b.side;
    void *v = ad_scratch(op), *left = ad__matrix(v, 1, n * n, b.t), *w = ad__matrix(v, 2, n * n, b.t);
    while (ad__batch_next(&b)) {
        if (decompose(&b, true, v, w, ad__matrix(w, 1, n, b.t)) != AD_OK) return;
        AD__BY_DTYPE(b.t, ad__scale_columns, n, n, b.g, v, left);
        ad__gemm(ad__op_team(op), b.t, false, true, n, n, n, left, v, 1, b.ga);
    }
}

static void eigvalsh_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    int64_t n = ad__matrix_side(op->in[0]);
    ad_var *v = ad__packed_part(ad_eigh_packed(op->in[0]), n, n, n);
    dx[0] = ad_matmul(ad_mul(v, ad_unsqueeze(g, -2)), ad_transpose(v));
}

static void eigvalsh_samples(ad_sampler *s) { symmetric_samples(s); }

AD_OPTYPE(eigvalsh,
          .differs = "the symmetric part is decomposed, PyTorch looks at the lower triangle alone; equal eigenvalues "
                     "have a "
                     "gradient; an infinite element is an error",
          .doc = "eigenvalues of (x + x^T) / 2 in ascending order", .formula = "w",
          .gradient = "v diag(g) v^T, v the eigenvectors", .arity = 1,
          .special = "of equal eigenvalues one gets the gradient of one vector that belongs to it; infinite and NaN "
                     "elements are an error; needs LAPACK",
          .shape = eigvalsh_shape, .evaluate = { eigvalsh_evaluate, eigvalsh_evaluate },
          .backward = { eigvalsh_backward, eigvalsh_backward }, .vjp = eigvalsh_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_eigvalsh(ad_var *x) { return ad__apply1(&ad_op_eigvalsh, x, NULL); }
