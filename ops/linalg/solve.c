/* solve.c: systems of linear equations, general and triangular, and inverses.

   Derivatives: M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode
   algorithmic differentiation", Oxford 2008, sections 2.2.3 and 2.2.4. */
#include "ops/base/pattern.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/vector.h"
#include "ops/linalg/system.h"
#include "ops/ops.h"

#include <string.h>

/* ---- helpers: a [..,n,n], b [..,n,m] or vectors -> x ---------------------------------------------------- */

typedef struct {
    int64_t n, m;     /* rows and columns of b and x; a vector is a column */
    int64_t side;     /* of a */
    ad_shape a, b, x; /* shapes, with vectors as columns */
    ad__batches batches;
} equations;

static ad_shape with_column(ad_shape s) {
    s.dim[s.ndim++] = 1;
    return s;
}

/* True if b is one vector or has a vector for each matrix of a, as in torch.linalg.solve. */
static bool has_vectors(ad_shape a, ad_shape b) {
    a.ndim--;
    return b.ndim == 1 || ad_shape_equal(a, b);
}

static void equations_of(ad_shape a, ad_shape b, bool vectors, equations *e) {
    if (vectors) b = with_column(b);
    e->n = b.dim[b.ndim - 2], e->m = b.dim[b.ndim - 1], e->side = a.dim[a.ndim - 1];
    e->a = a, e->b = b;
    ad__batches_of(a, b, &e->batches);
    e->x = e->batches.all;
    e->x.dim[e->x.ndim++] = e->n;
    e->x.dim[e->x.ndim++] = e->m;
}

static int equations_shape(ad_call *c, bool vectors, bool right, equations *e) {
    int rc = ad__square_shape(c);
    ad_shape b = c->in[1]->layout->shape;
    if (rc != AD_OK) return rc;
    if (b.ndim < 2 && !vectors) return ad_call_fail(c, AD_ESHAPE, "b must be [..,n,m]%s", right ? "" : " or [n]");
    equations_of(c->shape, b, vectors, e);
    rc = ad__check_batches(c, &e->batches);
    if (rc != AD_OK) return rc;
    int64_t meets = right ? e->m : e->n;
    if (meets != e->side)
        return ad_call_fail(c, AD_ESHAPE, "a is of side %lld and b has %lld %s", (long long)e->side, (long long)meets,
                            right ? "columns" : "rows");
    c->shape = e->x;
    if (vectors) c->shape.ndim--;
    for (int i = c->shape.ndim; i < AD_MAX_NDIM; i++) c->shape.dim[i] = 0;
    return ad__check_sides(c, AD__LAPACK_MAX, e->n, e->m, 0);
}

/* -da, summed to the shape of a: the last step of the vjp rules. */
static ad_var *minus(ad_var *da, ad_shape a) { return ad_sum_to(ad_neg(da), a); }

static ad_var *to_operand(ad_var *db, ad_shape as_matrices, const ad_var *b) {
    return ad_reshape(ad_sum_to(db, as_matrices), b->layout->shape);
}

/* ---- solve: a x = b, or a^T x = b ------------------------------------------------------------------------- */

/* transpose is for the gradient, which needs the factors of a itself. Those of a^T may have a pivot of 0 where these
   have none. */
typedef struct {
    bool transpose;
} solve_attrs;
static const ad_attr solve_list[] = { { "transpose", AD_ATTR_BOOL, offsetof(solve_attrs, transpose) }, { 0 } };

static bool is_transposed(const ad_op *op) { return ((const solve_attrs *)ad__attrs_of(op))->transpose; }

static void solve_equations(const ad_op *op, equations *e) {
    ad_shape a = op->in[0]->layout->shape, b = op->in[1]->layout->shape;
    equations_of(a, b, has_vectors(a, b), e);
}

static int solve_shape(ad_call *c) {
    equations e;
    int rc = equations_shape(c, has_vectors(c->shape, c->in[1]->layout->shape), false, &e);
    if (rc != AD_OK) return rc;
    c->saved = ad__factors_size(c);
    c->scratch = (size_t)(e.n * e.m) * ad_dtype_size(c->dtype);
    return AD_OK;
}

static int solve_evaluate(const ad_op *op) {
    equations e;
    solve_equations(op, &e);
    ad__batch b = ad__batch_values(op, &e.batches);
    int rc = ad__factorise(op, true);
    while (rc == AD_OK && ad__batch_next(&b)) {
        memcpy(b.y, b.b, b.y_bytes);
        ad__square_lu_solve(b.t, is_transposed(op), e.n, e.m, ad__factors(op, b.ia), ad__pivots(op, b.ia), b.y);
    }
    return rc;
}

/* z = a^-T g; db += z, da -= z x^T. If a is transposed: z = a^-1 g, da -= x z^T. */
static void solve_backward(const ad_op *op) {
    const bool transpose = is_transposed(op);
    equations e;
    solve_equations(op, &e);
    ad__batch b = ad__batch_gradients(op, &e.batches);
    void *z = ad_scratch(op);
    while (ad__batch_next(&b)) {
        memcpy(z, b.g, b.y_bytes);
        ad__square_lu_solve(b.t, !transpose, e.n, e.m, ad__factors(op, b.ia), ad__pivots(op, b.ia), z);
        if (b.gb != NULL) AD__BY_DTYPE(b.t, ad__array_add, b.size, z, b.gb);
        if (b.ga == NULL) continue;
        AD__BY_DTYPE(b.t, ad__negate, b.size, z);
        ad__gemm(ad__op_team(op), b.t, false, true, e.n, e.n, e.m, transpose ? b.y : z, transpose ? z : b.y, 1, b.ga);
    }
}

static void solve_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    equations e;
    solve_equations(op, &e);
    const solve_attrs back = { !is_transposed(op) };
    ad_var *x = ad_reshape(ad__out(op), e.x), *z = ad__apply2(&ad_op_solve, op->in[0], ad_reshape(g, e.x), &back);
    ad_var *left = back.transpose ? z : x, *right = back.transpose ? x : z;
    if (ad_vjp_wants(op, 0)) dx[0] = minus(ad_matmul(left, ad_transpose(right)), e.a);
    if (ad_vjp_wants(op, 1)) dx[1] = to_operand(z, e.b, op->in[1]);
}

static const double exchanged[] = { 0, 2, 0, 0, 0, -3, 1.5, 0, 0.5 }; /* [3,3]; LU must exchange its rows */

/* Matrices, vectors, broadcasting and empty arrays. The matrices are far from singular. */
static void solve_samples(ad_sampler *s) {
    ad_shape shapes[13][2];
    AD__SHAPES(shapes, "3,3 3,2; 3,3 3; 2,3,3 2,3; 2,3,3 3,2; 3,3 2,3,2; 2,1,2,2 3,2,1; 2,2,2 2; 1,1 1; "
                       "9,9 9,4; 0,0 0,2; 2,2 2,0; 0,2,2 2,1; 2,1,2,2 2,1,2");
    for (int i = 0; i < AD__COUNT(shapes); i++) {
        double a[AD__SAMPLE_MATRICES];
        int64_t n = shapes[i][0].dim[shapes[i][0].ndim - 1];
        ad__sample_matrices(n, ad_shape_numel(ad__leading(shapes[i][0])), 3, a);
        for (int t = 0; t < 2; t++)
            ad_sample_values(s, &(solve_attrs){ t }, 2, shapes[i], (const double *[]){ a, NULL }, 0);
    }
    ad_shape pair[2];
    AD__SHAPES(pair, "3,3 3,2");
    ad_sample_values(s, &(solve_attrs){ false }, 2, pair, (const double *[]){ exchanged, NULL }, 0);
}

AD_OPTYPE(solve,
          .doc = "solves a x = b: a is [..,n,n]; b is [..,n,m], a vector [n], or a vector for each matrix [..,n]",
          .formula = "a^-1 b", .gradient = "-z x^T; z = a^-T g", .arity = 2,
          .special = "a singular matrix is an error; a NaN in a is in all of y; needs LAPACK",
          .attr_size = sizeof(solve_attrs), .attrs = solve_list, .shape = solve_shape,
          .evaluate = { solve_evaluate, solve_evaluate }, .backward = { solve_backward, solve_backward },
          .vjp = solve_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_solve(ad_var *a, ad_var *b) { return ad__apply2(&ad_op_solve, a, b, &(solve_attrs){ false }); }

/* ---- inverse: x [..,n,n] -> y [..,n,n] ----------------------------------------------------------------------- */

typedef struct {
    bool for_logdet;      /* see ad__inverse_for_logdet */
    bool nan_if_singular; /* see ad__inverse_or_nan */
} inverse_attrs;
static const ad_attr inverse_list[] = {
    { "for_logdet", AD_ATTR_BOOL, offsetof(inverse_attrs, for_logdet) },
    { "nan_if_singular", AD_ATTR_BOOL, offsetof(inverse_attrs, nan_if_singular) },
    { 0 },
};

/* Scratch holds LAPACK's work and the pivots in evaluate, and a matrix in backward. */
static int inverse_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    size_t n = (size_t)c->shape.dim[c->shape.ndim - 1], matrix = n * n * ad_dtype_size(c->dtype);
    size_t work = ad__lu_work(c->dtype, (int64_t)n) + n * sizeof(int);
    c->scratch = (work > matrix ? work : matrix) + 1; /* not NULL for empty matrices */
    return AD_OK;
}

/* What the inverse of a matrix with these factors is for logdet and slogdet, unless it is the inverse: 0 or NaN. */
static bool is_replaced(const ad__batch *b, const inverse_attrs *a, const int *pivots) {
    int sign;
    if (!a->for_logdet && !a->nan_if_singular) return false;
    AD__BY_DTYPE(b->t, ad__lu_logdet, b->side, b->y, pivots, &sign);
    if (sign > 0 || (sign < 0 && !a->for_logdet)) return false;
    AD__BY_DTYPE(b->t, ad__array_fill, b->size, sign < 0 ? 0 : NAN, b->y);
    return true;
}

static int inverse_evaluate(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    char *work = ad_scratch(op);
    int *pivots = (int *)(void *)(work + ad__lu_work(b.t, b.side));
    while (ad__batch_next(&b)) {
        memcpy(b.y, b.a, b.y_bytes);
        int64_t zero = ad__square_lu(b.t, b.side, b.y, pivots);
        if (is_replaced(&b, ad__attrs_of(op), pivots)) continue;
        if (zero != 0) return ad__singular(op, b.i, zero);
        ad__lu_inverse(b.t, b.side, b.y, pivots, work);
    }
    return AD_OK;
}

/* dx -= y^T g y^T */
static void inverse_backward(const ad_op *op) {
    ad__batch b = ad__batch_gradients(op, NULL);
    int64_t n = b.side;
    void *left = ad_scratch(op);
    while (ad__batch_next(&b)) {
        ad__gemm(ad__op_team(op), b.t, true, false, n, n, n, b.y, b.g, 0, left);
        AD__BY_DTYPE(b.t, ad__negate, n * n, left);
        ad__gemm(ad__op_team(op), b.t, false, true, n, n, n, left, b.y, 1, b.ga);
    }
}

static void inverse_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *y = ad_transpose(ad__out(op));
    dx[0] = ad_neg(ad_matmul(ad_matmul(y, g), y));
}

static void inverse_samples(ad_sampler *s) {
    ad__square_samples(s, &(inverse_attrs){ false, false }, 9, 3);
    ad_sample_values(s, &(inverse_attrs){ false, false }, 1, &AD_SHAPE(3, 3), (const double *[]){ exchanged }, 0);
    const double negative_and_singular[] = { 1, 2, 3, 1, 1, 2, 2, 4 };
    for (int k = 0; k < 2; k++)
        ad_sample_values(s, &(inverse_attrs){ k == 0, k == 1 }, 1, &AD_SHAPE(2, 2, 2),
                         (const double *[]){ negative_and_singular }, AD_SAMPLE_KINK);
}

AD_OPTYPE(inverse,
          .doc = "the inverse of each square matrix; ad_solve is faster and more accurate than a product with it",
          .formula = "x^-1", .gradient = "-y^T g y^T",
          .special = "a singular matrix is an error; a NaN is in all of y; needs LAPACK", .arity = 1,
          .attr_size = sizeof(inverse_attrs), .attrs = inverse_list, .shape = inverse_shape,
          .evaluate = { inverse_evaluate, inverse_evaluate },
          .backward = { inverse_backward, inverse_backward }, .vjp = inverse_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_inverse(ad_var *x) { return ad__apply1(&ad_op_inverse, x, &(inverse_attrs){ false, false }); }
ad_var *ad__inverse_for_logdet(ad_var *x) { return ad__apply1(&ad_op_inverse, x, &(inverse_attrs){ true, false }); }
ad_var *ad__inverse_or_nan(ad_var *x) { return ad__apply1(&ad_op_inverse, x, &(inverse_attrs){ false, true }); }

/* ---- solve_triangular: op(a) x = b, or x op(a) = b ------------------------------------------------------------ */

static const ad_attr triangular_list[] = {
    { "upper", AD_ATTR_BOOL, offsetof(ad_triangular_opts, upper) },
    { "transpose", AD_ATTR_BOOL, offsetof(ad_triangular_opts, transpose) },
    { "right", AD_ATTR_BOOL, offsetof(ad_triangular_opts, right) },
    { "unitriangular", AD_ATTR_BOOL, offsetof(ad_triangular_opts, unitriangular) },
    { 0 },
};

static ad__triangle triangle_of(const ad_op *op) {
    const ad_triangular_opts *o = ad__attrs_of(op);
    return (ad__triangle){ .upper = o->upper, .transpose = o->transpose, .right = o->right, .unit = o->unitriangular };
}

static void triangular_equations(const ad_op *op, equations *e) {
    ad_shape b = op->in[1]->layout->shape;
    equations_of(op->in[0]->layout->shape, b, b.ndim == 1, e);
}

static int solve_triangular_shape(ad_call *c) {
    const ad_triangular_opts *o = c->attrs;
    equations e;
    int rc = equations_shape(c, c->in[1]->layout->shape.ndim == 1 && !o->right, o->right, &e);
    if (rc == AD_OK) c->scratch = (size_t)(e.n * e.m + e.side * e.side) * ad_dtype_size(c->dtype);
    return rc;
}

static int check_diagonal(const ad_op *op, int64_t k) {
    const ad_var *a = op->in[0];
    int64_t n = ad__matrix_side(a);
    const void *at = ad__matrix(a->data, k, n * n, a->layout->dtype);
    int64_t zero = AD__BY_DTYPE(a->layout->dtype, ad__zero_on_diagonal, n, at);
    if (zero == 0 || triangle_of(op).unit) return AD_OK;
    return ad_op_fail(op, AD_EVALUE, "matrix %lld is singular: element %lld of its diagonal is 0", (long long)k,
                      (long long)zero);
}

static int solve_triangular_evaluate(const ad_op *op) {
    equations e;
    triangular_equations(op, &e);
    ad__batch b = ad__batch_values(op, &e.batches);
    int rc = AD_OK;
    const int64_t count = op->in[0]->layout->numel ? ad__matrix_count(op->in[0]) : 0;
    for (int64_t k = 0; k < count && rc == AD_OK; k++) rc = check_diagonal(op, k);
    while (rc == AD_OK && ad__batch_next(&b)) {
        memcpy(b.y, b.b, b.y_bytes);
        ad__triangle_solve(b.t, triangle_of(op), e.n, e.m, b.a, b.y);
    }
    return rc;
}

/* product [side,side] = what backward subtracts from the triangle of da: z x^T, or x^T z if a is on the right. It is
   transposed if op(a) is. */
static void triangular_product(ad_team *team, ad_dtype t, ad__triangle is, const equations *e, const void *z,
                               const void *x, void *product) {
    int64_t inner = is.right ? e->n : e->m;
    bool x_first = is.right != is.transpose;
    ad__gemm(team, t, is.right, !is.right, e->side, e->side, inner, x_first ? x : z, x_first ? z : x, 0, product);
}

/* z = op(a)^-T g, or g op(a)^-T; db += z */
static void solve_triangular_backward(const ad_op *op) {
    equations e;
    triangular_equations(op, &e);
    ad__triangle is = triangle_of(op), back = is;
    back.transpose = !is.transpose;
    ad__batch b = ad__batch_gradients(op, &e.batches);
    void *z = ad_scratch(op);
    while (ad__batch_next(&b)) {
        memcpy(z, b.g, b.y_bytes);
        ad__triangle_solve(b.t, back, e.n, e.m, b.a, z);
        if (b.gb != NULL) AD__BY_DTYPE(b.t, ad__array_add, b.size, z, b.gb);
        if (b.ga == NULL) continue;
        void *product = ad__matrix(z, 1, b.size, b.t);
        triangular_product(ad__op_team(op), b.t, is, &e, z, b.y, product);
        AD__BY_DTYPE(b.t, ad__axpy_triangle, is.upper, is.unit, e.side, -1, product, b.ga);
    }
}

static void solve_triangular_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    equations e;
    triangular_equations(op, &e);
    ad_triangular_opts o = *(const ad_triangular_opts *)ad__attrs_of(op), back = o;
    back.transpose = !o.transpose;
    ad_var *z = ad_solve_triangular(op->in[0], ad_reshape(g, e.x), back);
    if (ad_vjp_wants(op, 1)) dx[1] = to_operand(z, e.b, op->in[1]);
    if (!ad_vjp_wants(op, 0)) return;
    ad_var *x = ad_reshape(ad__out(op), e.x), *first = o.right != o.transpose ? x : z, *second = first == x ? z : x;
    ad_var *product = o.right ? ad_matmul(ad_transpose(first), second) : ad_matmul(first, ad_transpose(second));
    dx[0] = minus(o.upper ? ad_triu(product, o.unitriangular) : ad_tril(product, -o.unitriangular), e.a);
}

static void solve_triangular_samples(ad_sampler *s) {
    ad_shape shapes[6][2];
    AD__SHAPES(shapes, "3,3 3,3; 2,3,3 3,3; 3,3 2,3,3; 2,1,2,2 3,2,2; 1,1 1,1; 0,0 0,0");
    for (int k = 0; k < 16; k++) {
        ad_triangular_opts o = { .upper = k & 1, .transpose = k & 2, .right = k & 4, .unitriangular = k & 8 };
        double a[AD__SAMPLE_MATRICES];
        for (int i = 0; i < AD__COUNT(shapes); i++) {
            ad__sample_matrices(shapes[i][0].dim[shapes[i][0].ndim - 1], 2, 3, a);
            ad_sample_values(s, &o, 2, shapes[i], (const double *[]){ a, NULL }, 0);
        }
        ad__sample_matrices(3, 1, 2, a);
        ad_shape wide[] = { AD_SHAPE(3, 3), o.right ? AD_SHAPE(4, 3) : AD_SHAPE(3, 4) };
        ad_sample_values(s, &o, 2, wide, (const double *[]){ a, NULL }, 0);
        ad_shape vector[] = { AD_SHAPE(3, 3), o.right ? AD_SHAPE(1, 3) : AD_SHAPE(3) };
        ad_sample_values(s, &o, 2, vector, (const double *[]){ a, NULL }, 0);
    }
}

AD_OPTYPE(solve_triangular,
          .differs = "a 0 on the diagonal is an error; PyTorch divides by it",
          .doc = "solves op(a) x = b or x op(a) = b, where op(a) is a triangle of a [..,n,n] or its transpose",
          .formula = "op(a)^-1 b", .gradient = "-triangle of z x^T; z = op(a)^-T g", .arity = 2,
          .special = "a 0 on the diagonal is an error (PyTorch divides by it); needs LAPACK",
          .attr_size = sizeof(ad_triangular_opts), .attrs = triangular_list, .shape = solve_triangular_shape,
          .evaluate = { solve_triangular_evaluate, solve_triangular_evaluate },
          .backward = { solve_triangular_backward, solve_triangular_backward }, .vjp = solve_triangular_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_solve_triangular(ad_var *a, ad_var *b, ad_triangular_opts opts) {
    return ad__apply2(&ad_op_solve_triangular, a, b, &opts);
}
