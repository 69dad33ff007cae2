/* pinv.c: pseudoinverses, and least squares by them.

   Derivatives: G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems
   whose variables separate", 1973, equation 4.12. They hold where the rank does not change. */
#include "autodiff/base/spread.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/decompose.h"
#include "ops/linalg/packed.h"
#include "ops/ops.h"

#include <float.h>
#include <string.h>

/* ---- helpers: the singular value decomposition, and the part of a matrix that it inverts ---------- */

/* Singular values of at most rcond times the largest one count as 0. */
typedef struct {
    double rcond; /* 0: max(n, m) times the epsilon of the dtype; AD_ZERO: 0 */
} pinv_attrs;
static const ad_attr pinv_list[] = { { "rcond", AD_ATTR_DOUBLE, offsetof(pinv_attrs, rcond) }, { 0 } };

double ad__rcond(double given, const ad_var *x) {
    const ad__sides d = ad__sides_of(x);
    double eps = x->layout->dtype == AD_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    return ad_option(given, eps * (double)(d.n > d.m ? d.n : d.m));
}

int ad__check_rcond(const ad_call *c, double rcond) {
    double cut = ad_option(rcond, 1);
    if (cut >= 0 && cut - cut == 0) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "rcond %g is not a finite number >= 0", rcond);
}

/* u [n,k], the inverted singular values s [k] and vh [k,m], one after the other. */
typedef struct {
    ad__sides d;
    ad_dtype t;
    void *u, *s, *vh;
} factors;

static factors factors_in(const ad_var *x, void *memory) {
    factors f = { .d = ad__sides_of(x), .t = x->layout->dtype, .u = memory };
    f.s = ad__matrix(f.u, 1, f.d.n * f.d.k, f.t);
    f.vh = ad__matrix(f.s, 1, f.d.k, f.t);
    return f;
}
static int64_t factors_size(const ad__sides *d) { return d->k * (d->n + 1 + d->m); }

/* Decomposes matrix i of operand 0. Scratch, from here on, has a copy of it and LAPACK's work. */
static int factorise(const ad_op *op, int64_t i, const factors *f, void *scratch) {
    const int64_t size = f->d.n * f->d.m;
    memcpy(scratch, ad__matrix(op->in[0]->data, i, size, f->t), (size_t)size * ad_dtype_size(f->t));
    if (!AD__BY_DTYPE(f->t, ad__all_finite, size, scratch)) return ad__not_finite(op, i);
    if (ad__svd_factors(f->t, f->d.n, f->d.m, scratch, f->s, f->u, f->vh, ad__matrix(scratch, 1, size, f->t)) != 0)
        return ad__not_converged(op, i);
    const double cut = ad__rcond(((const pinv_attrs *)ad__attrs_of(op))->rcond, op->in[0]);
    AD__BY_DTYPE(f->t, ad__invert_singular, f->d.k, cut, f->s);
    return AD_OK;
}
static size_t factorise_bytes(const ad__sides *d, ad_dtype t) {
    return (size_t)(d->n * d->m) * ad_dtype_size(t) + ad__svd_work(t, d->n, d->m);
}

/* y [m,n] = vh^T diag(s) u^T; scaled is [n,k] and may be u. */
static void pseudoinverse(ad_team *team, const factors *f, void *scaled, void *y) {
    AD__BY_DTYPE(f->t, ad__scale_columns, f->d.n, f->d.k, f->s, f->u, scaled);
    ad__gemm(team, f->t, true, true, f->d.m, f->d.n, f->d.k, f->vh, scaled, 0, y);
}

/* ---- helpers: the gradient, with matrices of the shorter side only ------------------------------------------------

   With p for the pseudoinverse and g for its cotangent, for a tall x:
   dx = p^T (c - c p x - c^T) + b - x p b; c = p g^T, b = g^T p p^T.
   For a wide x the same holds for the transposes of all, and a product of transposes is that of the matrices in the
   other order. */

/* Sizes of arrays of the tall case: [tall,k], [k,k], [k,tall]. */
typedef struct {
    ad_team *team;
    ad_dtype t;
    int64_t tall, k;
    bool turned;
} products;

/* y [n,m] = a b + beta y, of inner size k; ta and tb say that a and b are transposed. */
static void product(const products *p, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a, const void *b,
                    double beta, void *y) {
    if (p->turned) ad__gemm(p->team, p->t, tb, ta, m, n, k, b, a, beta, y);
    else ad__gemm(p->team, p->t, ta, tb, n, m, k, a, b, beta, y);
}

/* Elements of work for it. */
static int64_t gradient_work(const ad__sides *d) { return 3 * d->k * d->k + d->n * d->m; }

/* dx [n,m] += the gradient of the pseudoinverse y [m,n] of x from its cotangent g [m,n] */
static void add_gradient(ad_team *team, ad_dtype t, const ad__sides *d, const void *x, const void *y, const void *g,
                         void *work, void *dx) {
    const products p = { team, t, d->n + d->m - d->k, d->k, d->n < d->m };
    const int64_t k = p.k, n = p.tall;
    void *c = work, *e = ad__matrix(c, 1, k * k, t), *mid = ad__matrix(e, 1, k * k, t),
         *b = ad__matrix(mid, 1, k * k, t);
    product(&p, false, true, k, k, n, y, g, 0, c);
    product(&p, false, false, k, k, n, y, x, 0, e);
    product(&p, false, false, k, k, k, c, e, 0, mid);
    AD__BY_DTYPE(t, ad__negate, k * k, mid);
    AD__BY_DTYPE(t, ad__array_add, k * k, c, mid);
    AD__BY_DTYPE(t, ad__axpy_transposed, k, -1, c, mid);
    product(&p, true, false, n, k, k, y, mid, 1, dx);
    product(&p, false, true, k, k, n, y, y, 0, e);
    product(&p, true, false, n, k, k, g, e, 0, b);
    AD__BY_DTYPE(t, ad__array_add, n * k, b, dx);
    product(&p, false, false, k, k, n, y, b, 0, c);
    AD__BY_DTYPE(t, ad__negate, k * k, c);
    product(&p, false, false, n, k, k, x, c, 1, dx);
}

static ad_var *times(bool turned, ad_var *a, ad_var *b) { return turned ? ad_matmul(b, a) : ad_matmul(a, b); }

/* The same in Vars. */
static ad_var *gradient(ad_var *x, ad_var *y, ad_var *g) {
    const ad__sides d = ad__sides_of(x);
    const bool turned = d.n < d.m;
    ad_var *c = times(turned, y, ad_transpose(g)), *e = times(turned, y, x);
    ad_var *mid = ad_sub(ad_sub(c, times(turned, c, e)), ad_transpose(c));
    ad_var *b = times(turned, ad_transpose(g), times(turned, y, ad_transpose(y)));
    ad_var *dx = ad_add(times(turned, ad_transpose(y), mid), b);
    return ad_sub(dx, times(turned, x, times(turned, y, b)));
}

/* ---- pinv: x [..,n,m] -> y [..,m,n] ---------- */

static int pinv_shape(ad_call *c) {
    ad__sides d;
    int rc = ad__decomposition_shape(c, &d);
    if (rc == AD_OK) rc = ad__check_rcond(c, ((const pinv_attrs *)c->attrs)->rcond);
    if (rc != AD_OK) return rc;
    size_t value = (size_t)factors_size(&d) * ad_dtype_size(c->dtype) + factorise_bytes(&d, c->dtype);
    size_t back = (size_t)gradient_work(&d) * ad_dtype_size(c->dtype);
    c->scratch = value > back ? value : back;
    c->shape.dim[c->shape.ndim - 2] = d.m;
    c->shape.dim[c->shape.ndim - 1] = d.n;
    return AD_OK;
}

static int pinv_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    const factors f = factors_in(op->in[0], ad_scratch(op));
    int rc = AD_OK;
    while (rc == AD_OK && ad__batch_next(&b)) {
        rc = factorise(op, b.i, &f, ad__matrix(f.u, 1, factors_size(&f.d), b.t));
        if (rc == AD_OK) pseudoinverse(ad__op_team(op), &f, f.u, b.y);
    }
    return rc;
}

static void pinv_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    const ad__sides d = ad__sides_of(op->in[0]);
    while (ad__batch_next(&b)) add_gradient(ad__op_team(op), b.t, &d, b.a, b.y, b.g, ad_scratch(op), b.ga);
}

static void pinv_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { dx[0] = gradient(op->in[0], ad__out(op), g); }

static const double rank_1[] = { 1, 2, 2, 4, 3, 6 }, singular_values_8_and_1[] = { 4.5, 3.5, 3.5, 4.5 };

static void pinv_samples(ad_sampler *s) {
    ad_shape shapes[10];
    AD__SHAPES(shapes, "1,1 3,3 4,2 2,4 2,3,2 6,5 2,1,1,3 0,3 3,0 0,2,2");
    double x[AD__SAMPLE_MATRICES];
    for (int64_t i = 0; i < AD__SAMPLE_MATRICES; i++) x[i] = 3 * (2 * ad__spread_number(i * i + i, 7) - 1);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample_values(s, &(pinv_attrs){ 0 }, 1, &shapes[i], (const double *[]){ x }, 0);
    ad_sample_values(s, &(pinv_attrs){ 0 }, 1, &AD_SHAPE(3, 2), (const double *[]){ rank_1 }, AD_SAMPLE_KINK);
    ad_sample_values(s, &(pinv_attrs){ 0.5 }, 1, &AD_SHAPE(2, 2), (const double *[]){ singular_values_8_and_1 },
                     AD_SAMPLE_KINK);
    ad_sample_values(s, &(pinv_attrs){ AD_ZERO }, 1, &AD_SHAPE(2, 2), (const double *[]){ singular_values_8_and_1 }, 0);
}

AD_OPTYPE(pinv,
          .doc = "pseudoinverse [..,m,n] of each matrix [..,n,m]; singular values of at most rcond times the largest "
                 "count as 0; rcond 0 means max(n,m) times the dtype's epsilon, AD_ZERO means 0",
          .formula = "v diag(1/s) u^T, x = u diag(s) v^T",
          .gradient = "-y^T g y^T + (1 - x y) g^T y y^T + y^T y g^T (1 - y x)", .arity = 1,
          .special = "the gradient is that for a rank that does not change; infinite and NaN elements are an error; "
                     "needs "
                     "LAPACK",
          .attr_size = sizeof(pinv_attrs), .attrs = pinv_list, .shape = pinv_shape,
          .evaluate = { pinv_evaluate, pinv_evaluate }, .backward = { pinv_backward, pinv_backward }, .vjp = pinv_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_pinv(ad_var *x, double rcond) { return ad__apply1(&ad_op_pinv, x, &(pinv_attrs){ rcond }); }

/* ---- lstsq: a [..,n,m], b [..,n,r] -> x [..,m,r] ---------- */

/* The factors of each a are saved. */
static int lstsq_shape(ad_call *c) {
    ad__sides d;
    ad__batches batches;
    ad_shape a = c->shape, b = c->in[1]->layout->shape;
    int rc = ad__decomposition_shape(c, &d);
    if (rc == AD_OK) rc = ad__check_rcond(c, ((const pinv_attrs *)c->attrs)->rcond);
    if (rc != AD_OK) return rc;
    if (b.ndim < 2 || b.dim[b.ndim - 2] != d.n)
        return ad_call_fail(c, AD_ESHAPE, "b must have %lld rows, as a has", (long long)d.n);
    ad__batches_of(a, b, &batches);
    rc = ad__check_batches(c, &batches);
    if (rc != AD_OK) return rc;
    const int64_t r = b.dim[b.ndim - 1], count = ad__matrix_count(c->in[0]);
    c->shape = batches.all;
    c->shape.dim[c->shape.ndim++] = d.m;
    c->shape.dim[c->shape.ndim++] = r;
    for (int i = c->shape.ndim; i < AD_MAX_NDIM; i++) c->shape.dim[i] = 0;
    c->saved = (size_t)(count * factors_size(&d)) * ad_dtype_size(c->dtype) + 1;
    size_t value = factorise_bytes(&d, c->dtype) + (size_t)(d.k * r) * ad_dtype_size(c->dtype);
    size_t back = (size_t)(gradient_work(&d) + 2 * d.n * d.m + d.n * d.k) * ad_dtype_size(c->dtype);
    c->scratch = value > back ? value : back;
    return ad__check_sides(c, AD__LAPACK_MAX, r, 0, 0);
}

typedef struct {
    ad__batches batches;
    ad__sides d;
    int64_t r;
} least_squares;

static least_squares squares_of(const ad_op *op) {
    least_squares l = { .d = ad__sides_of(op->in[0]), .r = ad__matrix_side(op->in[1]) };
    ad__batches_of(op->in[0]->layout->shape, op->in[1]->layout->shape, &l.batches);
    return l;
}

static factors saved_factors(const ad_op *op, int64_t i) {
    const ad__sides d = ad__sides_of(op->in[0]);
    return factors_in(op->in[0], ad__matrix(ad_saved(op), i, factors_size(&d), op->in[0]->layout->dtype));
}

/* x = vh^T (s (u^T b)) */
static int lstsq_evaluate(const ad_op *op) {
    const least_squares l = squares_of(op);
    ad__batch b = ad__batch_values(op, &l.batches);
    int rc = AD_OK;
    for (int64_t i = 0; i < ad__matrix_count(op->in[0]) && l.d.k > 0 && rc == AD_OK; i++) {
        factors f = saved_factors(op, i);
        rc = factorise(op, i, &f, ad_scratch(op));
    }
    while (rc == AD_OK && ad__batch_next(&b)) {
        void *part = ad_scratch(op);
        factors f = saved_factors(op, b.ia);
        ad__gemm(ad__op_team(op), b.t, true, false, l.d.k, l.r, l.d.n, f.u, b.b, 0, part);
        AD__BY_DTYPE(b.t, ad__scale_rows, l.d.k, l.r, f.s, part);
        ad__gemm(ad__op_team(op), b.t, true, false, l.d.m, l.r, l.d.k, f.vh, part, 0, b.y);
    }
    return rc;
}

/* p is the pseudoinverse of a: db += p^T g, and da is the gradient of p from its cotangent g b^T. */
static void lstsq_backward(const ad_op *op) {
    const least_squares l = squares_of(op);
    const int64_t n = l.d.n, m = l.d.m;
    ad__batch b = ad__batch_gradients(op, &l.batches);
    void *p = ad_scratch(op), *gp = ad__matrix(p, 1, n * m, b.t), *scaled = ad__matrix(p, 2, n * m, b.t);
    void *work = ad__matrix(scaled, 1, n * l.d.k, b.t);
    while (ad__batch_next(&b)) {
        factors f = saved_factors(op, b.ia);
        pseudoinverse(ad__op_team(op), &f, scaled, p);
        if (b.gb != NULL) ad__gemm(ad__op_team(op), b.t, true, false, n, l.r, m, p, b.g, 1, b.gb);
        if (b.ga == NULL) continue;
        ad__gemm(ad__op_team(op), b.t, false, true, m, n, l.r, b.g, b.b, 0, gp);
        add_gradient(ad__op_team(op), b.t, &l.d, b.a, p, gp, work, b.ga);
    }
}

static void lstsq_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (ad__out(op)->layout->numel == 0) return; /* zeros, whatever p is */
    ad_var *a = op->in[0], *b = op->in[1], *p = ad_pinv(a, ((const pinv_attrs *)ad__attrs_of(op))->rcond);
    if (ad_vjp_wants(op, 1)) dx[1] = ad_sum_to(ad_matmul(ad_transpose(p), g), b->layout->shape);
    if (ad_vjp_wants(op, 0)) dx[0] = ad_sum_to(gradient(a, p, ad_matmul(g, ad_transpose(b))), a->layout->shape);
}

static void lstsq_samples(ad_sampler *s) {
    ad_shape shapes[10][2];
    AD__SHAPES(shapes, "3,3 3,2; 4,2 4,1; 2,4 2,2; 2,1,3,2 2,3,1; 3,2 2,3,1; 2,2,2 2,2; 0,2 0,3; 3,0 3,2; "
                       "3,2 3,0; 0,3,2 3,1");
    double x[AD__SAMPLE_MATRICES];
    for (int64_t i = 0; i < AD__SAMPLE_MATRICES; i++) x[i] = 3 * (2 * ad__spread_number(i * i + i, 7) - 1);
    for (int i = 0; i < AD__COUNT(shapes); i++)
        ad_sample_values(s, &(pinv_attrs){ 0 }, 2, shapes[i], (const double *[]){ x, NULL }, 0);
    ad_shape pair[2];
    AD__SHAPES(pair, "3,2 3,2");
    ad_sample_values(s, &(pinv_attrs){ 0 }, 2, pair, (const double *[]){ rank_1, NULL }, AD_SAMPLE_KINK);
}

AD_OPTYPE(lstsq,
          .doc = "the x [..,m,r] of least norm that minimises |a x - b|, for a [..,n,m] and b [..,n,r], a vector [n] "
                 "or a "
                 "vector for each matrix [..,n]; rcond as in pinv",
          .formula = "pinv(a) b", .gradient = "da: pinv's gradient from g b^T; db: pinv(a)^T g", .arity = 2,
          .special = "the gradient is that for a rank that does not change; infinite and NaN elements of a are an "
                     "error; "
                     "needs LAPACK",
          .attr_size = sizeof(pinv_attrs), .attrs = pinv_list, .shape = lstsq_shape,
          .evaluate = { lstsq_evaluate, lstsq_evaluate }, .backward = { lstsq_backward, lstsq_backward },
          .vjp = lstsq_vjp,
          .pattern = ad__pattern_matrices);

/* Vectors as in ad_solve. */
ad_var *ad_lstsq(ad_var *a, ad_var *b, double rcond) {
    const pinv_attrs attrs = { rcond };
    if (ad__absent(a) || ad__absent(b)) return ad__apply2(&ad_op_lstsq, a, b, &attrs);
    ad_shape s = a->layout->shape;
    if (s.ndim > 0) s.ndim--;
    if (s.ndim == 0 || (b->layout->shape.ndim != 1 && !ad_shape_equal(s, b->layout->shape)))
        return ad__apply2(&ad_op_lstsq, a, b, &attrs);
    return ad_squeeze_axis(ad__apply2(&ad_op_lstsq, a, ad_unsqueeze(b, -1), &attrs), -1);
}
