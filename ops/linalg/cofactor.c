/* cofactor.c: the cofactors of square matrices of any rank: the derivative of det, and its derivatives in turn. */
#include "ops/base/pattern.h"
#include "ops/linalg/cofactor.h"

#include "ops/base/attrs.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/cofactor.h"
#include "ops/linalg/system.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers ---------------------------------------------------------------------------------------------- */

static void to_f64(ad_dtype t, int64_t n, const void *x, double *y) {
    if (t == AD_F32) ad__to_f64(n, x, y);
    else memcpy(y, x, (size_t)n * sizeof *y);
}

/* y += g x */
static void add_to(ad_dtype t, int64_t n, double g, const double *x, void *y) {
    for (int64_t i = 0; i < n; i++) ad_write_element(t, y, i, ad_read_element(t, y, i) + g * x[i]);
}

/* Work is for the inverse, or for the matrix in f64 and the work of ad__cofactor_form. */
size_t ad__cofactors_work(int64_t n) {
    return (size_t)(n * n) * sizeof(double) + ad__cofactor_work(n);
}

static void add_by_inverse(ad_dtype t, int64_t n, ad__wide k, const void *lu, const int *pivots, void *work, void *ga) {
    memcpy(work, lu, (size_t)(n * n) * ad_dtype_size(t));
    ad__lu_inverse(t, n, work, pivots, ad__matrix(work, 1, n * n, t));
    AD__BY_DTYPE(t, ad__add_wide, n, k, work, ga);
}

/* A pivot that is 0 leaves no inverse. One that is not finite gives NaN; a single element has the cofactor 1. */
void ad__add_cofactors(ad_dtype t, int64_t n, double g, const void *a, const void *lu, const int *pivots, void *work,
                       void *ga) {
    ad__wide det = AD__BY_DTYPE(t, ad__lu_det, n, lu, pivots);
    if (det.m != 0 && isfinite(det.m) && n > 1) {
        add_by_inverse(t, n, ad__wide_times(det, g), lu, pivots, work, ga);
        return;
    }
    double *cofactors = work;
    to_f64(t, n * n, a, cofactors);
    if (n == 1) *cofactors = 1;
    else ad__cofactor_form(n, 0, cofactors, NULL, cofactors + n * n);
    add_to(t, n * n, g, cofactors, ga);
}

/* ---- cofactor: x [..,n,n], and directions of that shape, -> y [..,n,n] ------------------------------------- */

/* Scratch holds operand 0, the others and ad__cofactor_work, in f64; saved the factors of ad__add_cofactors. */
static int cofactor_shape(ad_call *c) {
    int rc = ad__square_shape(c);
    if (rc != AD_OK) return rc;
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->shape, c->in[i]->layout->shape))
            return ad_call_fail(c, AD_ESHAPE, "the operands must have one shape");
    if (c->n >= AD__COFACTOR_ORDER)
        return ad_call_fail(c, AD_EGRAD, "det has derivatives up to order %d only", AD__COFACTOR_ORDER);
    int64_t n = c->shape.dim[c->shape.ndim - 1];
    if (c->n == 1) c->saved = ad__factors_size(c);
    c->scratch = (size_t)(c->n + 1) * (size_t)(n * n) * sizeof(double) + ad__cofactor_work(n);
    return AD_OK;
}

/* The form of matrix i for k directions, which are those operands, in scratch. */
static const double *form_of(const ad_op *op, int64_t i, int64_t n, int k, const void *const directions[]) {
    const ad_dtype t = op->in[0]->layout->dtype;
    const int64_t size = n * n;
    double *a = ad_scratch(op);
    to_f64(t, size, ad__matrix(op->in[0]->data, i, size, t), a);
    for (int j = 0; j < k; j++) to_f64(t, size, ad__matrix(directions[j], i, size, t), a + (j + 1) * size);
    ad__cofactor_form(n, k, a, a + size, a + (k + 1) * size);
    return a;
}

/* The operands after the first; skip, if it is not 0, is replaced by the gradient of the result. */
static void directions_of(const ad_op *op, int skip, const void **to) {
    for (int i = 1; i < op->n_in; i++) to[i - 1] = i == skip ? ad__out(op)->grad : op->in[i]->data;
}

static void cofactors_alone(const ad_op *op) {
    ad__batch b = ad__batch_values(op, NULL);
    ad__factorise(op, false);
    while (ad__batch_next(&b)) {
        memset(b.y, 0, b.y_bytes);
        ad__add_cofactors(b.t, b.side, 1, b.a, ad__factors(op, b.i), ad__pivots(op, b.i), ad_scratch(op), b.y);
    }
}

static int cofactor_evaluate(const ad_op *op) {
    const void *directions[AD__COFACTOR_ORDER];
    const ad_var *y = ad__out(op);
    const int64_t n = ad__matrix_side(y), size = n * n;
    directions_of(op, 0, directions);
    if (op->n_in == 1 || size == 0) return cofactors_alone(op), AD_OK;
    for (int64_t i = 0; i < ad__matrix_count(y); i++) {
        const double *form = form_of(op, i, n, op->n_in - 1, directions);
        for (int64_t j = 0; j < size; j++) ad__put(y, i * size + j, form[j]);
    }
    return AD_OK;
}

/* The form is symmetric in the directions. So the gradient in a direction is the form with g in its place, and that in
   x is the form with g as one more direction. */
static void cofactor_backward(const ad_op *op) {
    const void *directions[AD__COFACTOR_ORDER];
    const ad_var *x = op->in[0];
    const int64_t n = ad__matrix_side(x), size = n * n;
    for (int k = 0; k < op->n_in; k++) {
        char *into = ad_grad_into(op, k);
        directions_of(op, k, directions);
        directions[op->n_in - 1] = ad__out(op)->grad;
        for (int64_t i = 0; into != NULL && size > 0 && i < ad__matrix_count(x); i++)
            add_to(x->layout->dtype, size, 1, form_of(op, i, n, op->n_in - (k > 0), directions),
                   ad__matrix(into, i, size, x->layout->dtype));
    }
}

static void cofactor_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *in[AD__COFACTOR_ORDER + 1];
    for (int k = 0; k < op->n_in; k++) {
        if (!ad_vjp_wants(op, k)) continue;
        for (int i = 0; i < op->n_in; i++) in[i] = op->in[i];
        in[k ? k : op->n_in] = g;
        dx[k] = ad_apply(&ad_op_cofactor, op->n_in + (k == 0), in, NULL);
    }
}

void ad__singular_samples(ad_sampler *s, int n) {
    static const double rank_2[] = { 0.5, 0.15, 0.01, 0.15, 0.45, -0.84, 0.01, -0.84, 1.73 };
    static const double ranks_3[] = { 2, 4, 6, 1, 2, 3, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, zeros[16] = { 0 };
    static const double rank_2_of_4[] = { 1, 0, 2, -1, 0, 1, 1, 1, 1, 1, 3, 0, 2, -1, 3, -3 };
    const struct {
        ad_shape shape;
        const double *x;
    } cases[] = { { AD_SHAPE(3, 3), rank_2 },      { AD_SHAPE(2, 3, 3), ranks_3 }, { AD_SHAPE(4, 4), rank_2_of_4 },
                  { AD_SHAPE(1, 1), zeros },       { AD_SHAPE(2, 2), zeros },      { AD_SHAPE(3, 3), zeros },
                  { AD_SHAPE(2, 0, 0), zeros } };
    for (int i = 0; i < AD__COUNT(cases); i++) {
        ad_shape shapes[AD__COFACTOR_ORDER];
        const double *values[AD__COFACTOR_ORDER] = { cases[i].x };
        for (int k = 0; k < n; k++) shapes[k] = cases[i].shape;
        ad_sample_values(s, NULL, n, shapes, values, 0);
    }
}

static void cofactor_samples(ad_sampler *s) {
    ad__square_samples(s, NULL, 4, 0.5);
    for (int n = 1; n <= 4; n++) ad__singular_samples(s, n);
    double x[AD__SAMPLE_MATRICES];
    ad__sample_matrices(4, 2, 0.5, x);
    ad_shape shapes[] = { AD_SHAPE(2, 4, 4), AD_SHAPE(2, 4, 4), AD_SHAPE(2, 4, 4) };
    for (int n = 2; n <= 3; n++) ad_sample_values(s, NULL, n, shapes, (const double *[]){ x, NULL, NULL }, 0);
}

AD_OPTYPE(cofactor,
          .doc = "the cofactors of each square matrix, which are the derivatives of det in its elements: the "
                 "transpose of the adjugate. Applied to further operands of its shape, the op is the gradient in x of "
                 "the derivative of det x along them",
          .formula = "y[i,j] = (-1)^(i+j) det(x without row i and column j)",
          .gradient = "the op with g as a further operand",
          .special = "x may be singular; a matrix with an infinity or a NaN has cofactors NaN, but the cofactor of a "
                     "single element is 1 whatever it is; needs LAPACK",
          .arity = -1, .shape = cofactor_shape, .evaluate = { cofactor_evaluate, cofactor_evaluate },
          .backward = { cofactor_backward, cofactor_backward }, .vjp = cofactor_vjp,
          .pattern = ad__pattern_matrices);
ad_var *ad_cofactor(ad_var *x) { return ad__apply1(&ad_op_cofactor, x, NULL); }
