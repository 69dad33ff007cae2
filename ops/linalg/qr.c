/* qr.c: reduced QR decompositions.

   Derivatives: H.-J. Liao, J.-G. Liu, L. Wang, T. Xiang, "Differentiable programming tensor networks", 2019, section
   III A 3, and for wide matrices D. A. Roberts and L. R. Roberts, "QR and LQ decomposition matrix backpropagation
   algorithms for square, wide, and deep matrices", 2020. */
#include "autodiff/base/spread.h"
#include "ops/base/attrs.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/decompose.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

#include <string.h>

/* x [..,n,m] -> [.., n k + k m]: q [n,k] and r [k,m] */
static int qr_packed_shape(ad_call *c) {
    ad__sides d;
    int rc = ad__decomposition_shape(c, &d);
    if (rc != AD_OK) return rc;
    size_t work = (size_t)(d.n * d.m) * ad_dtype_size(c->dtype) + ad__qr_work(c->dtype, d.n, d.m);
    int64_t elements = 3 * d.k * d.k + d.n * d.k + (d.n + d.k) * (d.m - d.k);
    size_t back = (size_t)elements * ad_dtype_size(c->dtype);
    c->scratch = work > back ? work : back;
    c->shape = ad__packed_shape(c->shape, d.k * (d.n + d.m));
    return AD_OK;
}

static int qr_packed_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    void *copy = ad_scratch(op), *work = ad__matrix(copy, 1, d.n * d.m, b.t);
    while (ad__batch_next(&b)) {
        memcpy(copy, b.a, b.a_bytes);
        ad__qr_factors(b.t, d.n, d.m, copy, b.y, ad__matrix(b.y, 1, d.n * d.k, b.t), work);
    }
    return AD_OK;
}

/* The first k columns of r [k,m] must have no 0 on their diagonal: the gradient divides by them. */
static int check_rank(const ad_op *op, int64_t matrix) {
    const ad__sides d = ad__sides_of(op->in[0]);
    const int64_t at = matrix * d.k * (d.n + d.m) + d.n * d.k;
    for (int64_t i = 0; i < d.k; i++)
        if (ad__get(ad__out(op), at + i * d.m + i) == 0)
            return ad_op_fail(op, AD_EVALUE,
                              "matrix %lld has no gradient: element %lld of r's diagonal is 0, as the first "
                              "%lld columns are linearly dependent",
                              (long long)matrix, (long long)i, (long long)i + 1);
    return AD_OK;
}

/* Copies, or adds, `columns` columns of rows that are `from` and `to` elements apart. */
static void take_columns(ad_dtype t, int64_t rows, int64_t columns, int64_t from, const void *x, int64_t to, void *y) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(ad__matrix(y, i, to, t), ad__matrix(x, i, from, t), (size_t)columns * ad_dtype_size(t));
}
static void add_columns(ad_dtype t, int64_t rows, int64_t columns, int64_t from, const void *x, int64_t to, void *y) {
    for (int64_t i = 0; i < rows; i++)
        AD__BY_DTYPE(t, ad__array_add, columns, (const void *)ad__matrix(x, i, from, t),
                     (void *)ad__matrix(y, i, to, t));
}

/* A batch of backward. For a wide x = [x1 x2] and r = [r1 r2], r2 and x2 have rest columns. */
typedef struct {
    ad__sides d;
    ad_dtype t;
    ad_team *team;
    int64_t rest;
    void *q, *r, *gq, *gr;
    void *r1, *gr1, *mid; /* [k,k] */
    void *w;              /* [n,k] */
    void *gr2, *x2;       /* [k,rest], [n,rest] */
} qr_parts;

static qr_parts parts_of(const ad__batch *b) {
    qr_parts p = { .d = ad__sides_of(b->op->in[0]), .t = b->t, .team = ad__op_team(b->op), .q = b->y, .gq = b->g };
    const int64_t n = p.d.n, k = p.d.k;
    p.rest = p.d.m - k;
    p.r = ad__matrix(p.q, 1, n * k, b->t), p.gr = ad__matrix(p.gq, 1, n * k, b->t);
    p.r1 = ad_scratch(b->op), p.gr1 = ad__matrix(p.r1, 1, k * k, b->t), p.mid = ad__matrix(p.gr1, 1, k * k, b->t);
    p.w = ad__matrix(p.mid, 1, k * k, b->t), p.gr2 = ad__matrix(p.w, 1, n * k, b->t);
    p.x2 = ad__matrix(p.gr2, 1, k * p.rest, b->t);
    return p;
}

/* w += x2 gr2^T, and dx2 += q gr2 */
static void wide_part(const ad__batch *b, const qr_parts *p) {
    const int64_t n = p->d.n, m = p->d.m, k = p->d.k;
    take_columns(p->t, k, p->rest, m, ad__matrix(p->gr, k, 1, p->t), p->rest, p->gr2);
    take_columns(p->t, n, p->rest, m, ad__matrix(b->a, k, 1, p->t), p->rest, p->x2);
    ad__gemm(p->team, p->t, false, true, n, k, p->rest, p->x2, p->gr2, 1, p->w);
    ad__gemm(p->team, p->t, false, false, n, p->rest, k, p->q, p->gr2, 0, p->x2);
    add_columns(p->t, n, p->rest, p->rest, p->x2, m, ad__matrix(b->ga, k, 1, p->t));
}

/* dx1 += (w + q mid) r1^-T: w is gq, and mid the lower triangle of r1 gr1^T - w^T q with its mirror image. */
static void qr_packed_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    while (ad__batch_next(&b)) {
        qr_parts p = parts_of(&b);
        const int64_t n = p.d.n, m = p.d.m, k = p.d.k;
        if (check_rank(op, b.i) != AD_OK) return;
        memcpy(p.w, p.gq, (size_t)(n * k) * ad_dtype_size(p.t));
        if (p.rest > 0) wide_part(&b, &p);
        take_columns(p.t, k, k, m, p.r, k, p.r1), take_columns(p.t, k, k, m, p.gr, k, p.gr1);
        ad__gemm(p.team, p.t, true, false, k, k, n, p.w, p.q, 0, p.mid);
        AD__BY_DTYPE(p.t, ad__negate, k * k, p.mid);
        ad__gemm(p.team, p.t, false, true, k, k, k, p.r1, p.gr1, 1, p.mid);
        AD__BY_DTYPE(p.t, ad__mirror_lower, k, p.mid);
        ad__gemm(p.team, p.t, false, false, n, k, k, p.q, p.mid, 1, p.w);
        ad__triangle_solve(p.t, (ad__triangle){ .upper = true, .transpose = true, .right = true }, n, k, p.r1, p.w);
        add_columns(p.t, n, k, k, p.w, m, b.ga);
    }
}

static void qr_packed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__sides d = ad__sides_of(op->in[0]);
    for (int64_t i = 0; i < ad__matrix_count(op->in[0]) && d.k > 0; i++)
        if (check_rank(op, i) != AD_OK) return;
    ad_var *y = ad__out(op), *q = ad__packed_part(y, 0, d.n, d.k), *r = ad__packed_part(y, d.n * d.k, d.k, d.m);
    ad_var *w = ad__packed_part(g, 0, d.n, d.k), *gr = ad__packed_part(g, d.n * d.k, d.k, d.m), *dx2 = NULL;
    if (d.m > d.k) {
        ad_var *gr2 = ad_narrow(gr, -1, d.k, d.m - d.k), *x2 = ad_narrow(op->in[0], -1, d.k, d.m - d.k);
        w = ad_add(w, ad_matmul(x2, ad_transpose(gr2)));
        dx2 = ad_matmul(q, gr2);
    }
    ad_var *r1 = ad_narrow(r, -1, 0, d.k), *gr1 = ad_narrow(gr, -1, 0, d.k);
    ad_var *m = ad_sub(ad_matmul(r1, ad_transpose(gr1)), ad_matmul(ad_transpose(w), q));
    ad_var *mid = ad_add(ad_tril(m, 0), ad_transpose(ad_tril(m, -1)));
    const ad_triangular_opts right = { .upper = true, .transpose = true, .right = true };
    dx[0] = ad_solve_triangular(r1, ad_add(w, ad_matmul(q, mid)), right);
    if (dx2 != NULL) dx[0] = ad_concat(2, (ad_var *[]){ dx[0], dx2 }, -1);
}

static void qr_packed_samples(ad_sampler *s) {
    ad_shape shapes[10];
    AD__SHAPES(shapes, "1,1 3,3 4,2 2,4 2,3,2 6,5 2,1,1,3 0,3 3,0 0,2,2");
    double x[AD__SAMPLE_MATRICES];
    for (int64_t i = 0; i < AD__SAMPLE_MATRICES; i++) x[i] = 3 * (2 * ad__spread_number(i * i + i, 5) - 1);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample_values(s, NULL, 1, &shapes[i], (const double *[]){ x }, 0);
}

AD_OPTYPE(qr_packed,
          .differs = "a 0 on r's diagonal has no gradient, which is an error; PyTorch's is infinite or NaN",
          .doc = "reduced QR decomposition of each matrix [..,n,m] in one array, k = min(n, m): q [n,k] with "
                 "orthonormal "
                 "columns, r [k,m], an upper triangle; ad_qr has them as two Vars",
          .formula = "x = q r",
          .gradient = "(w + q mid) r1^-T; w = gq + x2 gr2^T, mid is tril(r1 gr1^T - w^T q) and its mirror image, r1 "
                      "and "
                      "gr1 the first k columns; q gr2 for the columns x2 after them",
          .special = "r's diagonal has the signs that LAPACK's reflections give; its first k columns must be "
                     "independent "
                     "for a gradient; needs LAPACK",
          .arity = 1, .shape = qr_packed_shape, .evaluate = { qr_packed_evaluate, qr_packed_evaluate },
          .backward = { qr_packed_backward, qr_packed_backward }, .vjp = qr_packed_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_qr_packed(ad_var *x) { return ad__apply1(&ad_op_qr_packed, x, NULL); }

int ad_qr(ad_var *x, ad_var *parts[2]) {
    int rc = ad__parts_begin(x, "qr", 2, parts);
    if (rc != AD_OK) return rc;
    ad_var *y = ad_qr_packed(x);
    const ad__sides d = ad__absent(y) ? (ad__sides){ 0 } : ad__sides_of(x);
    parts[0] = ad__packed_part(y, 0, d.n, d.k);
    parts[1] = ad__packed_part(y, d.n * d.k, d.k, d.m);
    return ad__parts_end(x, 2, parts);
}
