/* svd.c: singular value decompositions, and singular values alone.

   Derivatives: J. Townsend, "Differentiating the singular value decomposition", 2016. */
#include "autodiff/base/spread.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/decompose.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

#include <string.h>

/* ---- helpers ---------- */

/* x [n,m] as a copy, which LAPACK destroys. */
static int decompose(const ad__batch *b, void *copy, void *s, void *u, void *vh, void *work) {
    memcpy(copy, b->a, b->a_bytes);
    if (!AD__BY_DTYPE(b->t, ad__all_finite, b->rows * b->side, copy)) return ad__not_finite(b->op, b->i);
    return ad__svd_factors(b->t, b->rows, b->side, copy, s, u, vh, work) == 0 ? AD_OK : ad__not_converged(b->op, b->i);
}

static void fill_spread(int64_t n, double scale, double *to) {
    for (int64_t i = 0; i < n; i++) to[i] = scale * (2 * ad__spread_number(i * i + i, 3) - 1);
}

/* Square, tall and wide matrices, of full rank and with different singular values. */
static void rectangular_samples(ad_sampler *s) {
    ad_shape shapes[10];
    AD__SHAPES(shapes, "1,1 3,3 4,2 2,4 2,3,2 6,5 2,1,1,3 0,3 3,0 0,2,2");
    double x[AD__SAMPLE_MATRICES];
    fill_spread(AD__SAMPLE_MATRICES, 3, x);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample_values(s, NULL, 1, &shapes[i], (const double *[]){ x }, 0);
}

/* ---- svd_packed: x [..,n,m] -> [.., n k + k + k m]: u [n,k], s [k], vh [k,m] ---------- */

static int svd_packed_shape(ad_call *c) {
    ad__sides d;
    int rc = ad__decomposition_shape(c, &d);
    if (rc != AD_OK) return rc;
    size_t work = (size_t)(d.n * d.m) * ad_dtype_size(c->dtype) + ad__svd_work(c->dtype, d.n, d.m);
    size_t back = (size_t)(2 * d.k * d.k + d.n * d.k + d.k * d.m) * ad_dtype_size(c->dtype);
    c->scratch = work > back ? work : back;
    c->shape = ad__packed_shape(c->shape, d.k * (d.n + 1 + d.m));
    return AD_OK;
}

static int svd_packed_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    void *copy = ad_scratch(op), *work = ad__matrix(copy, 1, d.n * d.m, b.t);
    int rc = AD_OK;
    while (rc == AD_OK && ad__batch_next(&b)) {
        void *s = ad__matrix(b.y, 1, d.n * d.k, b.t);
        rc = decompose(&b, copy, s, b.y, ad__matrix(s, 1, d.k, b.t), work);
    }
    return rc;
}

/* A batch of backward: the parts of the result and of its gradient, and scratch. */
typedef struct {
    ad__sides d;
    ad_dtype t;
    ad_team *team;
    void *u, *s, *vh, *gu, *gs, *gvh;
    void *mid, *mv; /* [k,k] */
    void *left;     /* [n,k] */
    void *right;    /* [k,m] */
} svd_parts;

static svd_parts parts_of(const ad__batch *b) {
    svd_parts p = { .d = ad__sides_of(b->op->in[0]), .t = b->t, .team = ad__op_team(b->op), .u = b->y, .gu = b->g };
    const ad__sides d = p.d;
    p.s = ad__matrix(p.u, 1, d.n * d.k, b->t), p.vh = ad__matrix(p.s, 1, d.k, b->t);
    p.gs = ad__matrix(p.gu, 1, d.n * d.k, b->t), p.gvh = ad__matrix(p.gs, 1, d.k, b->t);
    p.mid = ad_scratch(b->op), p.mv = ad__matrix(p.mid, 1, d.k * d.k, b->t);
    p.left = ad__matrix(p.mv, 1, d.k * d.k, b->t), p.right = ad__matrix(p.left, 1, d.n * d.k, b->t);
    return p;
}

/* left = (gu - u mu) / s, the part of gu across the columns of u; right = (gvh - mv^T vh) / s. Only one of them is not
   0, that of the longer side. */
static void across(const svd_parts *p) {
    const ad__sides d = p->d;
    if (d.n > d.k) {
        memcpy(p->left, p->gu, (size_t)(d.n * d.k) * ad_dtype_size(p->t));
        AD__BY_DTYPE(p->t, ad__negate, d.n * d.k, p->left);
        ad__gemm(p->team, p->t, false, false, d.n, d.k, d.k, p->u, p->mid, 1, p->left);
        AD__BY_DTYPE(p->t, ad__negate, d.n * d.k, p->left);
        AD__BY_DTYPE(p->t, ad__over_singular, false, d.n, d.k, p->s, p->left);
    }
    if (d.m > d.k) {
        memcpy(p->right, p->gvh, (size_t)(d.k * d.m) * ad_dtype_size(p->t));
        AD__BY_DTYPE(p->t, ad__negate, d.k * d.m, p->right);
        ad__gemm(p->team, p->t, true, false, d.k, d.m, d.k, p->mv, p->vh, 1, p->right);
        AD__BY_DTYPE(p->t, ad__negate, d.k * d.m, p->right);
        AD__BY_DTYPE(p->t, ad__over_singular, true, d.k, d.m, p->s, p->right);
    }
}

/* dx += (u mid + left) vh + u right, where mid comes from mu = u^T gu and mv = vh gvh^T: see ad__svd_middle. */
static void svd_packed_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    while (ad__batch_next(&b)) {
        svd_parts p = parts_of(&b);
        const ad__sides d = p.d;
        ad__gemm(p.team, p.t, true, false, d.k, d.k, d.n, p.u, p.gu, 0, p.mid);
        ad__gemm(p.team, p.t, false, true, d.k, d.k, d.m, p.vh, p.gvh, 0, p.mv);
        across(&p);
        AD__BY_DTYPE(p.t, ad__svd_middle, d.k, p.s, p.gs, p.mv, p.mid);
        ad__gemm(p.team, p.t, false, false, d.n, d.k, d.k, p.u, p.mid, d.n > d.k, p.left);
        ad__gemm(p.team, p.t, false, false, d.n, d.m, d.k, p.left, p.vh, 1, b.ga);
        if (d.m > d.k) ad__gemm(p.team, p.t, false, false, d.n, d.m, d.k, p.u, p.right, 1, b.ga);
    }
}

/* s, but 1 where s and what is divided by it are 0. */
static ad_var *safe(ad_var *x, ad_var *s) {
    ad_var *zero = ad__constant(s, 0);
    return ad_where(ad_logical_and(ad_eq(x, zero), ad_eq(s, zero)), ad__constant(s, 1), s);
}

/* ((a s[j] + s[i] b) / (s[j] + s[i])) / (s[j] - s[i]), and gs on the diagonal */
static ad_var *middle(ad_var *s, ad_var *gs, ad_var *mu, ad_var *mv) {
    ad_var *a = ad__antisymmetric(mu), *b = ad__antisymmetric(mv), *zero = ad__constant(s, 0);
    ad_var *none = ad_logical_and(ad_eq(a, zero), ad_eq(b, zero)), *one = ad__constant(s, 1);
    ad_var *si = ad_unsqueeze(s, -1), *sj = ad_unsqueeze(s, -2);
    ad_var *sum = ad_add(sj, si), *gap = ad_sub(sj, si);
    sum = ad_where(ad_logical_and(none, ad_eq(sum, zero)), one, sum);
    gap = ad_where(ad_logical_and(none, ad_eq(gap, zero)), one, gap);
    ad_var *turn = ad_div(ad_div(ad_add(ad_mul(a, sj), ad_mul(si, b)), sum), gap);
    return ad_add(turn, ad_diag_embed(gs, 0));
}

static void svd_packed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__sides d = ad__sides_of(op->in[0]);
    const int64_t at_s = d.n * d.k, at_v = at_s + d.k;
    ad_var *y = ad__out(op), *u = ad__packed_part(y, 0, d.n, d.k), *s = ad__packed_part(y, at_s, AD__VECTOR, d.k);
    ad_var *vh = ad__packed_part(y, at_v, d.k, d.m), *gu = ad__packed_part(g, 0, d.n, d.k);
    ad_var *gvh = ad__packed_part(g, at_v, d.k, d.m), *gs = ad__packed_part(g, at_s, AD__VECTOR, d.k);
    ad_var *mu = ad_matmul(ad_transpose(u), gu), *mv = ad_matmul(vh, ad_transpose(gvh));
    ad_var *left = ad_matmul(u, middle(s, gs, mu, mv)), *column = ad_unsqueeze(s, -1), *row = ad_unsqueeze(s, -2);
    if (d.n > d.k) {
        ad_var *x = ad_sub(gu, ad_matmul(u, mu));
        left = ad_add(left, ad_div(x, safe(x, row)));
    }
    dx[0] = ad_matmul(left, vh);
    if (d.m > d.k) {
        ad_var *x = ad_sub(gvh, ad_matmul(ad_transpose(mv), vh));
        dx[0] = ad_add(dx[0], ad_matmul(u, ad_div(x, safe(x, column))));
    }
}

static void svd_packed_samples(ad_sampler *s) { rectangular_samples(s); }

AD_OPTYPE(svd_packed,
          .differs = "the signs of singular vectors are fixed; equal singular values and no cotangent of the vectors "
                     "give "
                     "PyTorch's gradient NaN, here that of the values",
          .doc = "thin singular value decomposition of each matrix [..,n,m] in one array, k = min(n, m): u [n,k], s "
                 "[k] in "
                 "descending order, vh [k,m]; ad_svd has them as three Vars",
          .formula = "x = u diag(s) vh",
          .gradient = "u (diag(gs) + (a s[j] + s[i] b) / (s[j]^2 - s[i]^2)) vh, a = anti(u^T gu), b = anti(vh gvh^T), "
                      "anti(m) = m - m^T; + (gu - u u^T gu) vh / s + u (gvh - gvh vh^T vh) / s",
          .special = "the first of the largest elements of each column of u, to within 1 %, is positive; the vectors "
                     "of "
                     "equal singular values, and those of 0 unless x is square, have no gradient: it is infinite or "
                     "NaN, "
                     "unless their cotangent does not turn them; infinite and NaN elements are an error; needs LAPACK",
          .arity = 1, .shape = svd_packed_shape, .evaluate = { svd_packed_evaluate, svd_packed_evaluate },
          .backward = { svd_packed_backward, svd_packed_backward }, .vjp = svd_packed_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_svd_packed(ad_var *x) { return ad__apply1(&ad_op_svd_packed, x, NULL); }

int ad_svd(ad_var *x, ad_var *parts[3]) {
    int rc = ad__parts_begin(x, "svd", 3, parts);
    if (rc != AD_OK) return rc;
    ad_var *y = ad_svd_packed(x);
    const ad__sides d = ad__absent(y) ? (ad__sides){ 0 } : ad__sides_of(x);
    parts[0] = ad__packed_part(y, 0, d.n, d.k);
    parts[1] = ad__packed_part(y, d.n * d.k, AD__VECTOR, d.k);
    parts[2] = ad__packed_part(y, d.n * d.k + d.k, d.k, d.m);
    return ad__parts_end(x, 3, parts);
}

/* ---- svdvals: x [..,n,m] -> s [..,k]. Only the gradient computes vectors. ---------- */

static int svdvals_shape(ad_call *c) {
    ad__sides d;
    int rc = ad__decomposition_shape(c, &d);
    if (rc != AD_OK) return rc;
    int64_t elements = d.n * d.m + d.k + 2 * d.n * d.k + d.k * d.m;
    c->scratch = (size_t)elements * ad_dtype_size(c->dtype) + ad__svd_work(c->dtype, d.n, d.m);
    c->shape = ad__packed_shape(c->shape, d.k);
    return AD_OK;
}

static int svdvals_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    void *copy = ad_scratch(op), *work = ad__matrix(copy, 1, b.rows * b.side, b.t);
    int rc = AD_OK;
    while (rc == AD_OK && ad__batch_next(&b)) rc = decompose(&b, copy, b.y, NULL, NULL, work);
    return rc;
}

/* dx += u diag(g) vh */
static void svdvals_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    void *copy = ad_scratch(op), *s = ad__matrix(copy, 1, d.n * d.m, b.t), *u = ad__matrix(s, 1, d.k, b.t);
    void *left = ad__matrix(u, 1, d.n * d.k, b.t), *vh = ad__matrix(u, 2, d.n * d.k, b.t);
    void *work = ad__matrix(vh, 1, d.k * d.m, b.t);
    while (ad__batch_next(&b)) {
        if (decompose(&b, copy, s, u, vh, work) != AD_OK) return;
        AD__BY_DTYPE(b.t, ad__scale_columns, d.n, d.k, b.g, u, left);
        ad__gemm(ad__op_team(op), b.t, false, false, d.n, d.m, d.k, left, vh, 1, b.ga);
    }
}

static void svdvals_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__sides d = ad__sides_of(op->in[0]);
    ad_var *y = ad_svd_packed(op->in[0]), *u = ad__packed_part(y, 0, d.n, d.k);
    dx[0] = ad_matmul(ad_mul(u, ad_unsqueeze(g, -2)), ad__packed_part(y, d.n * d.k + d.k, d.k, d.m));
}

static void svdvals_samples(ad_sampler *s) { rectangular_samples(s); }

AD_OPTYPE(svdvals,
          .differs = "equal singular values have a gradient",
          .doc = "singular values of each matrix [..,n,m] in descending order: [..,k], k = min(n, m)", .formula = "s",
          .gradient = "u diag(g) vh, u and vh the singular vectors", .arity = 1,
          .special = "of equal singular values one gets the gradient of one pair of vectors that belongs to it, also "
                     "of "
                     "those that are 0; infinite and NaN elements are an error; needs LAPACK",
          .shape = svdvals_shape, .evaluate = { svdvals_evaluate, svdvals_evaluate },
          .backward = { svdvals_backward, svdvals_backward }, .vjp = svdvals_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_svdvals(ad_var *x) { return ad__apply1(&ad_op_svdvals, x, NULL); }
