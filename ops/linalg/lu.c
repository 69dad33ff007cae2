/* lu.c: LU factors of matrices with exchanged rows. The permutation of the rows has no derivative. */
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

/* x [..,n,m] -> [.., n m + n]: lu [n,m], and the rows of x in the order of those of lu [n] */
static int lu_packed_shape(ad_call *c) {
    ad__sides d;
    int rc = ad__decomposition_shape(c, &d);
    if (rc != AD_OK) return rc;
    int64_t rest = d.n + d.m - 2 * d.k;
    size_t forward = (size_t)(d.n * d.m) * ad_dtype_size(c->dtype) + (size_t)d.k * sizeof(int);
    size_t back = (size_t)(6 * d.k * d.k + 2 * d.k * rest) * ad_dtype_size(c->dtype);
    c->scratch = forward > back ? forward : back;
    c->shape = ad__packed_shape(c->shape, d.n * d.m + d.n);
    return AD_OK;
}

/* order: 0 .. n-1 after LAPACK's exchanges of rows, which count from 1 */
static void write_order(ad_dtype t, int64_t n, int64_t k, const int *pivots, void *order) {
    for (int64_t i = 0; i < n; i++) ad_write_element(t, order, i, (double)i);
    for (int64_t i = 0; i < k; i++) {
        double here = ad_read_element(t, order, i), there = ad_read_element(t, order, pivots[i] - 1);
        ad_write_element(t, order, i, there);
        ad_write_element(t, order, pivots[i] - 1, here);
    }
}

static int lu_packed_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    void *turned = ad_scratch(op);
    int *pivots = (void *)ad__matrix(turned, 1, d.n * d.m, b.t);
    while (ad__batch_next(&b)) {
        ad__lu_rows(b.t, d.n, d.m, b.a, b.y, pivots, turned);
        write_order(b.t, d.n, d.k, pivots, ad__matrix(b.y, 1, d.n * d.m, b.t));
    }
    return AD_OK;
}

/* The gradient divides by the diagonal of u. */
static int check_rank(const ad_op *op, int64_t matrix) {
    const ad__sides d = ad__sides_of(op->in[0]);
    for (int64_t i = 0; i < d.k; i++)
        if (ad__get(ad__out(op), matrix * (d.n * d.m + d.n) + i * d.m + i) == 0)
            return ad_op_fail(op, AD_EVALUE, "matrix %lld has no gradient: element %lld of u's diagonal is 0",
                              (long long)matrix, (long long)i);
    return AD_OK;
}

/* A batch of backward. lu = [l1 u1, u2; l2], where only a wide matrix has u2 [k,rest], and only a tall one l2
   [rest,k]. */
typedef struct {
    ad__sides d;
    ad_dtype t;
    ad_team *team;
    int64_t rest;
    void *l, *u, *gl, *gu;    /* [k,k], of the square part */
    void *lower, *upper;      /* [k,k] */
    void *other, *other_grad; /* u2 or l2 and its gradient, without the columns of the square part */
} lu_parts;

/* The triangles of the first k rows and columns of x [n,m]; unit is the diagonal of the lower one. */
static void split(const lu_parts *p, const void *x, double unit, void *l, void *u) {
    for (int64_t i = 0; i < p->d.k; i++)
        for (int64_t j = 0; j < p->d.k; j++) {
            double v = ad_read_element(p->t, x, i * p->d.m + j);
            ad_write_element(p->t, l, i * p->d.k + j, j < i ? v : j == i ? unit : 0);
            ad_write_element(p->t, u, i * p->d.k + j, j < i ? 0 : v);
        }
}

/* What is beside or below the square part of x [n,m]. */
static void take_other(const lu_parts *p, const void *x, void *to) {
    const int64_t k = p->d.k, m = p->d.m;
    if (m == k) {
        memcpy(to, ad__matrix(x, 1, k * m, p->t), (size_t)(p->rest * m) * ad_dtype_size(p->t));
        return;
    }
    for (int64_t i = 0; i < k; i++)
        memcpy(ad__matrix(to, i, p->rest, p->t), ad__matrix(x, 1, i * m + k, p->t),
               (size_t)p->rest * ad_dtype_size(p->t));
}

static lu_parts parts_of(const ad__batch *b) {
    lu_parts p = { .d = ad__sides_of(b->op->in[0]), .t = b->t, .team = ad__op_team(b->op) };
    const int64_t square = p.d.k * p.d.k;
    p.rest = p.d.n + p.d.m - 2 * p.d.k;
    p.l = ad_scratch(b->op), p.u = ad__matrix(p.l, 1, square, b->t), p.gl = ad__matrix(p.u, 1, square, b->t);
    p.gu = ad__matrix(p.gl, 1, square, b->t), p.lower = ad__matrix(p.gu, 1, square, b->t);
    p.upper = ad__matrix(p.lower, 1, square, b->t), p.other = ad__matrix(p.upper, 1, square, b->t);
    p.other_grad = ad__matrix(p.other, 1, p.d.k * p.rest, b->t);
    split(&p, b->y, 1, p.l, p.u), split(&p, b->g, 0, p.gl, p.gu);
    take_other(&p, b->y, p.other), take_other(&p, b->g, p.other_grad);
    return p;
}

/* lower becomes the strict lower triangle of l^T gl - gu2 u2^T with the upper one of gu u^T - l2^T gl2, multiplied by
   l^-T and u^-T; other_grad the gradient of the other part of x. */
static void multiply_out(const lu_parts *p) {
    const int64_t k = p->d.k, square = k * k;
    bool wide = p->d.m > k;
    void *subtracted = wide ? p->lower : p->upper;
    memset(p->lower, 0, (size_t)(2 * square) * ad_dtype_size(p->t));
    if (wide) ad__gemm(p->team, p->t, false, true, k, k, p->rest, p->other_grad, p->other, 0, subtracted);
    else if (p->rest > 0) ad__gemm(p->team, p->t, true, false, k, k, p->rest, p->other, p->other_grad, 0, subtracted);
    AD__BY_DTYPE(p->t, ad__negate, square, subtracted);
    ad__gemm(p->team, p->t, true, false, k, k, k, p->l, p->gl, 1, p->lower);
    ad__gemm(p->team, p->t, false, true, k, k, k, p->gu, p->u, 1, p->upper);
    for (int64_t i = 0; i < k; i++)
        memcpy(ad__matrix(p->lower, 1, i * k + i, p->t), ad__matrix(p->upper, 1, i * k + i, p->t),
               (size_t)(k - i) * ad_dtype_size(p->t));
    const ad__triangle by_l = { .transpose = true, .unit = true };
    const ad__triangle by_u = { .upper = true, .transpose = true, .right = true };
    ad__triangle_solve(p->t, by_l, k, k, p->l, p->lower);
    ad__triangle_solve(p->t, by_u, k, k, p->u, p->lower);
    if (wide) ad__triangle_solve(p->t, by_l, k, p->rest, p->l, p->other_grad);
    else ad__triangle_solve(p->t, by_u, p->rest, k, p->u, p->other_grad);
}

static void lu_packed_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    while (ad__batch_next(&b)) {
        if (check_rank(op, b.i) != AD_OK) return;
        lu_parts p = parts_of(&b);
        if (d.k > 0) multiply_out(&p);
        const void *order = ad__matrix(b.y, 1, d.n * d.m, b.t);
        for (int64_t i = 0; i < d.n && d.k > 0; i++) {
            void *row = ad__matrix(b.ga, (int64_t)ad_read_element(b.t, order, i), d.m, b.t);
            bool square = i < d.k;
            const void *from = ad__matrix(square ? p.lower : p.other_grad, square ? i : i - d.k, d.k, b.t);
            AD__BY_DTYPE(b.t, ad__array_add, d.k, from, row);
            if (d.m == d.k) continue;
            const void *beside = ad__matrix(p.other_grad, i, p.rest, b.t);
            AD__BY_DTYPE(b.t, ad__array_add, p.rest, beside, (void *)ad__matrix(row, 1, d.k, b.t));
        }
    }
}

/* order [..,n] as indices of the rows of like [..,n,m] */
static ad_var *row_indices(ad_var *order, const ad_var *like) {
    return ad_expand(ad_unsqueeze(order, -1), like->layout->shape);
}
static ad_var *put_rows_back(ad_var *order, ad_var *rows) {
    if (ad__absent(rows)) return rows;
    return ad_scatter(ad_zeros_like(rows), -2, row_indices(order, rows), rows);
}

static void lu_packed_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    const ad__sides d = ad__sides_of(op->in[0]);
    for (int64_t i = 0; i < ad__matrix_count(op->in[0]) && d.k > 0; i++)
        if (check_rank(op, i) != AD_OK) return;
    const int64_t n = d.n, m = d.m, k = d.k;
    ad_var *y = ad__packed_part(ad__out(op), 0, n, m), *order = ad__packed_part(ad__out(op), n * m, AD__VECTOR, n);
    ad_var *gy = ad__packed_part(g, 0, n, m);
    ad_var *rows = ad_narrow(y, -2, 0, k), *grows = ad_narrow(gy, -2, 0, k);
    ad_var *u = ad_narrow(rows, -1, 0, k), *gu = ad_triu(ad_narrow(grows, -1, 0, k), 0);
    ad_var *l = ad_add(ad_tril(u, -1), ad_eye(ad__owner(y), y->layout->dtype, k));
    ad_var *lower = ad_matmul(ad_transpose(l), ad_tril(ad_narrow(grows, -1, 0, k), -1));
    ad_var *upper = ad_matmul(gu, ad_transpose(ad_triu(u, 0))), *other = NULL;
    const ad_triangular_opts by_l = { .transpose = true, .unitriangular = true };
    const ad_triangular_opts by_u = { .upper = true, .transpose = true, .right = true };
    if (m > k) {
        ad_var *gu2 = ad_narrow(grows, -1, k, m - k);
        lower = ad_sub(lower, ad_matmul(gu2, ad_transpose(ad_narrow(rows, -1, k, m - k))));
        other = ad_solve_triangular(l, gu2, by_l);
    }
    if (n > k) {
        ad_var *gl2 = ad_narrow(gy, -2, k, n - k);
        upper = ad_sub(upper, ad_matmul(ad_transpose(ad_narrow(y, -2, k, n - k)), gl2));
        other = ad_solve_triangular(u, gl2, by_u);
    }
    ad_var *mid = ad_add(ad_tril(lower, -1), ad_triu(upper, 0));
    ad_var *all = ad_solve_triangular(u, ad_solve_triangular(l, mid, by_l), by_u);
    if (other != NULL) all = ad_concat(2, (ad_var *[]){ all, other }, m > k ? -1 : -2);
    dx[0] = put_rows_back(order, all);
}

static void lu_packed_samples(ad_sampler *s) {
    ad_shape shapes[10];
    AD__SHAPES(shapes, "1,1 3,3 4,2 2,4 2,3,2 6,5 5,5 2,1,1,3 0,3 3,0");
    double x[AD__SAMPLE_MATRICES];
    for (int64_t i = 0; i < AD__SAMPLE_MATRICES; i++) x[i] = 3 * (2 * ad__spread_number(i * i + i, 5) - 1);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample_values(s, NULL, 1, &shapes[i], (const double *[]){ x }, 0);
}

AD_OPTYPE(lu_packed,
          .differs = "a 0 on u's diagonal has no gradient, which is an error; PyTorch's is infinite or NaN. Beside an "
                     "infinite element some slopes are 0; PyTorch's are NaN",
          .doc = "LU factors of each matrix [..,n,m] in one array, k = min(n, m): lu [n,m], whose strict lower "
                 "triangle is that of l [n,k] with ones on its diagonal, and whose upper triangle is u [k,m]; then the "
                 "numbers of x's rows in the order of lu's, [n]. ad_lu and ad_lu_factor have them as Vars",
          .formula = "x[order] = l u",
          .gradient = "rows of l^-T (tril(l^T gl, -1) + triu(gu u^T)) u^-T put back in x's order, for square matrices",
          .special = "the order has no gradient; a gradient needs a u without 0 on its diagonal; a NaN is in all of "
                     "lu; needs LAPACK",
          .arity = 1, .shape = lu_packed_shape, .evaluate = { lu_packed_evaluate, lu_packed_evaluate },
          .backward = { lu_packed_backward, lu_packed_backward }, .vjp = lu_packed_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_lu_packed(ad_var *x) { return ad__apply1(&ad_op_lu_packed, x, NULL); }

/* ---- the factors as Vars ----------------------------------------------------------------------------------------- */

int ad_lu_factor(ad_var *x, ad_var *parts[2]) {
    int rc = ad__parts_begin(x, "lu_factor", 2, parts);
    if (rc != AD_OK) return rc;
    ad_var *y = ad_lu_packed(x);
    const ad__sides d = ad__absent(y) ? (ad__sides){ 0 } : ad__sides_of(x);
    parts[0] = ad__packed_part(y, 0, d.n, d.m);
    parts[1] = ad_detach(ad__packed_part(y, d.n * d.m, AD__VECTOR, d.n));
    return ad__parts_end(x, 2, parts);
}

static bool fits(const ad_call *c, const ad_var *order) {
    ad_shape s = c->shape;
    if (s.ndim < 2) return false;
    s.dim[--s.ndim] = 0;
    return ad_shape_equal(order->layout->shape, s);
}

int ad_lu_unpack(ad_var *lu, ad_var *order, ad_var *parts[3]) {
    ad_var *const both[] = { lu, order };
    ad_graph *g = ad__graph_among(2, both);
    for (int i = 0; i < 3 && parts != NULL; i++) parts[i] = ad_nil(g);
    if (g == NULL) return ad_refuse_nil(lu, "lu_unpack");
    if (ad__unfit_result("lu_unpack", 2, both) != NULL) return ad_error_code(g);
    int rc = ad__parts_begin(lu, "lu_unpack", 3, parts);
    if (rc != AD_OK) return rc;
    const ad_call c = AD__CALL_AS("lu_unpack", lu);
    if (!fits(&c, order))
        return ad_call_fail(&c, AD_ESHAPE, "and order %s: takes lu [..,n,m] and order [..,n]",
                            ad_shape_str(order->layout->shape).text);
    const ad__sides d = ad__sides_of(lu);
    parts[0] = ad_transpose(ad_one_hot(order, d.n));
    parts[1] = ad_add(ad_tril(ad_narrow(lu, -1, 0, d.k), -1), ad_eye_with(c.graph, c.dtype, d.n, d.k));
    parts[2] = ad_triu(ad_narrow(lu, -2, 0, d.k), 0);
    return ad__parts_end(lu, 3, parts);
}

int ad_lu(ad_var *x, ad_var *parts[3]) {
    int rc = ad__parts_begin(x, "lu", 3, parts);
    if (rc != AD_OK) return rc;
    ad_var *factor[2];
    rc = ad_lu_factor(x, factor);
    return rc == AD_OK ? ad_lu_unpack(factor[0], factor[1], parts) : rc;
}

/* a[order] = l u, so l u x = b[order]. */
ad_var *ad_lu_solve(ad_var *lu, ad_var *order, ad_var *b) {
    ad_var *nil = ad__unfit_result("lu_solve", 3, (ad_var *[]){ lu, order, b });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("lu_solve", lu);
    const ad__sides d = c.shape.ndim >= 2 ? ad__sides_of(lu) : (ad__sides){ 0, 1, 0 };
    ad_shape s = b->layout->shape;
    bool fit = fits(&c, order) && d.n == d.m && s.ndim == c.shape.ndim && s.dim[s.ndim - 2] == d.n;
    for (int i = 0; i < s.ndim - 2 && fit; i++) fit = s.dim[i] == c.shape.dim[i];
    if (!fit)
        return ad__refused_call(&c, AD_ESHAPE, "with order %s and b %s: takes lu [..,n,n], order [..,n], b [..,n,m]",
                                ad_shape_str(order->layout->shape).text, ad_shape_str(s).text);
    ad_var *rows = ad_gather(b, -2, row_indices(order, b));
    ad_var *y = ad_solve_triangular(lu, rows, (ad_triangular_opts){ .unitriangular = true });
    return ad_solve_triangular(lu, y, (ad_triangular_opts){ .upper = true });
}
