/* test_ops_linalg.c: permutations, diagonals, triangles; solve, inverse, Cholesky; failures, memory of LAPACK's ops. */
#include "tests/linalg.h"

/* ---- permute, diagonals, triangles ------------------------------------------------------------------ */

static void permute_against_plain_indexing(void **state) {
    (void)state;
    const struct {
        ad_shape x, axes;
    } cases[] = {
        { AD_SHAPE(3, 4, 5), AD_SHAPE(2, 0, 1) },          { AD_SHAPE(33, 17), AD_SHAPE(1, 0) },
        { AD_SHAPE(3, 20, 21), AD_SHAPE(2, 1, 0) },        { AD_SHAPE(2, 3, 4, 5, 2), AD_SHAPE(4, 1, 3, 0, 2) },
        { AD_SHAPE(2, 3, 2, 3, 2, 3), AD_SHAPE(5, 4, 3, 2, 1, 0) },
        { AD_SHAPE(2, 3, 2, 3, 2, 3), AD_SHAPE(1, 0, 3, 2, 4, 5) },
    };
    for (int i = 0; i < 2 * COUNT(cases); i++) {
        ad_shape s = cases[i / 2].x, axes = cases[i / 2].axes;
        ad_graph *g = ad_graph_new();
        ad_var *x = random_param(g, i % 2 ? AD_F32 : AD_F64, s, 10), *y = ad_permute(x, axes);
        backward_weighted(y);
        backward_weighted(y);
        int64_t step[AD_MAX_NDIM], at = 1;
        for (int a = s.ndim - 1; a >= 0; a--) step[a] = at, at *= s.dim[a];
        ad_shape sy = ad_shape_of(y);
        for (int64_t k = 0; k < ad_numel(y); k++) {
            int64_t rest = k, from = 0;
            for (int a = s.ndim - 1; a >= 0; a--) {
                assert_int_equal(sy.dim[a], s.dim[axes.dim[a]]);
                from += rest % sy.dim[a] * step[axes.dim[a]];
                rest /= sy.dim[a];
            }
            assert_close(ad_at(y, k), ad_at(x, from), 0);
            assert_close(ad_grad_at(x, from), 2 * (double)(k + 1), 0);
        }
        ad_graph_free(g);
    }
}

static void bad_axes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    assert_fails(g, ad_permute(x, AD_SHAPE(0, 1, 2)), AD_ESHAPE, "permute: [2,3]: 3 axes given for 2 dimensions");
    assert_fails(g, ad_permute(x, AD_SHAPE(0)), AD_ESHAPE, "1 axes given for 2 dimensions");
    assert_fails(g, ad_permute(x, AD_SHAPE(0, 2)), AD_ESHAPE, "permute: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_permute(x, AD_SHAPE(0, INT64_MIN)), AD_ESHAPE, "is not in -2..1");
    assert_fails(g, ad_permute(x, AD_SHAPE(1, -1)), AD_ESHAPE, "axis 1 is named twice");
    assert_fails(g, ad_permute(x, (ad_shape){ .ndim = -3 }), AD_ESHAPE, "-3 axes given");
    ad_graph_free(g);
}

static void diagonals_as_in_numpy(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_reshape(ad_arange(g, AD_F64, 0, 6, 1), AD_SHAPE(2, 3)), *v = ad_arange(g, AD_F64, 1, 3, 1);
    assert_values(ad_diag(x, 0), 2, (double[]){ 0, 4 }, 0);
    assert_values(ad_diag(x, 1), 2, (double[]){ 1, 5 }, 0);
    assert_values(ad_diag(x, -1), 1, (double[]){ 3 }, 0);
    const int64_t beyond[] = { 3, -2, 1000, INT64_MAX, INT64_MIN };
    for (int i = 0; i < COUNT(beyond); i++) assert_shape(ad_diagonal(x, beyond[i]), AD_SHAPE(0));
    assert_values(ad_diag(v, 1), 9, (double[]){ 0, 1, 0, 0, 0, 2, 0, 0, 0 }, 0);
    assert_values(ad_diag(v, -1), 9, (double[]){ 0, 0, 0, 1, 0, 0, 0, 2, 0 }, 0);
    assert_values(ad_trace(x), 1, (double[]){ 4 }, 0);
    assert_shape(ad_trace(ad_zeros(g, AD_F64, AD_SHAPE(4, 2, 3, 3))), AD_SHAPE(4, 2));
    assert_shape(ad_diag(ad_zeros(g, AD_F64, AD_SHAPE(0)), 2), AD_SHAPE(2, 2));
    ad_var *batch = ad_zeros(g, AD_F64, AD_SHAPE(2, 2, 2));
    assert_fails(g, ad_diag(batch, 0), AD_ESHAPE, "diag: [2,2,2]: takes a vector or a matrix");
    assert_fails(g, ad_diagonal(v, 0), AD_ESHAPE, "diagonal: [2]: takes matrices");
    assert_fails(g, ad_trace(v), AD_ESHAPE, "[2]: takes matrices");
    assert_fails(g, ad_diag_embed(ad_scalar(g, AD_F64, 1), 0), AD_ESHAPE, "diag_embed: []: takes diagonals");
    assert_fails(g, ad_diag_embed(v, INT64_MAX), AD_ESHAPE, "more than 2147483647 rows");
    assert_fails(g, ad_diag_embed(v, INT64_MIN), AD_ESHAPE, "more than 2147483647 rows");
    assert_fails(g, ad_diag_embed(ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1, 1, 1)), 0), AD_ESHAPE, "at most 5");
    ad_graph_free(g);
}

static void triangles_as_in_numpy(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(2, 3));
    const struct {
        int64_t k;
        double lower[6], upper[6];
    } cases[] = {
        { 0, { 1, 0, 0, 4, 5, 0 }, { 1, 2, 3, 0, 5, 6 } },   { 1, { 1, 2, 0, 4, 5, 6 }, { 0, 2, 3, 0, 0, 6 } },
        { -1, { 0, 0, 0, 4, 0, 0 }, { 1, 2, 3, 4, 5, 6 } },  { 2, { 1, 2, 3, 4, 5, 6 }, { 0, 0, 3, 0, 0, 0 } },
        { -2, { 0 }, { 1, 2, 3, 4, 5, 6 } },                 { 3, { 1, 2, 3, 4, 5, 6 }, { 0 } },
        { INT64_MIN, { 0 }, { 1, 2, 3, 4, 5, 6 } },          { INT64_MAX, { 1, 2, 3, 4, 5, 6 }, { 0 } },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        assert_values(ad_tril(x, cases[i].k), 6, cases[i].lower, 0);
        assert_values(ad_triu(x, cases[i].k), 6, cases[i].upper, 0);
    }
    ad_set(x, (double[]){ 1, NAN, INFINITY, 4, 5, -INFINITY }); /* NaN and infinities outside the triangle give 0 */
    assert_values(ad_tril(x, 0), 6, (double[]){ 1, 0, 0, 4, 5, 0 }, 0);
    assert_fails(g, ad_tril(ad_zeros(g, AD_F64, AD_SHAPE(3)), 0), AD_ESHAPE, "tril: [3]: takes matrices");
    ad_graph_free(g);
}

/* ---- LAPACK: values and gradients of PyTorch 1.13 --------------------------------------------------- */

static const double general[] = { 2, -1, .5, .25, 3, 1, -1.5, .75, -4 }, right_side[] = { 1, 2, -1, .5, 3, 0 };
static const double definite[] = { 4, 1, -.5, 1, 3, .25, -.5, .25, 2 };

static void solve_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = param_of(g, t, general, AD_SHAPE(3, 3)), *b = param_of(g, t, right_side, AD_SHAPE(3, 2));
        ad_var *x = ad_solve(a, b);
        backward_weighted(x);
        assert_values(x, 6, (double[]){ 0.7337931034482759, 1.2055172413793103, -0.04965517241379308,
                                        0.20413793103448274, -1.0344827586206897, -0.41379310344827586 },
                      tolerance(t));
        assert_grads(a, 9, (double[]){ 0.33082140309155766, -0.014504637336504152, -0.43091557669441144,
                                       -2.7506758620689657, -0.27100689655172416, 1.8206896551724139,
                                       2.0792009512485135, 0.1745731272294887, -1.512485136741974 }, tolerance(t));
        assert_grads(b, 6, (double[]){ -0.40551724137931033, -0.027586206896551724, 1.12, 1.6, -1.0206896551724138,
                                       -1.103448275862069 }, tolerance(t));
        ad_graph_free(g);
    }
}

static void solve_triangular_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
    ad_var *x = ad_solve_triangular(a, b, (ad_triangular_opts){ .upper = true });
    backward_weighted(x);
    assert_values(x, 6, (double[]){ 0.6458333333333334, 1.0833333333333333, -0.08333333333333333, 0.16666666666666666,
                                    -0.75, 0 }, 1e-14);
    assert_grads(a, 9, (double[]){ -1.40625, -0.125, 0.375, 0, -0.18055555555555552, 0.875, 0, 0, -0.671875 }, 1e-14);
    assert_grads(b, 6, (double[]){ .5, 1, 1.1666666666666665, 1.6666666666666665, -0.8958333333333334,
                                   -0.9583333333333334 }, 1e-14);
    ad_graph_free(g);
}

static void inverse_and_det_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), *y = ad_inverse(a), *d;
    backward_weighted(y);
    assert_values(y, 9, (double[]){ 0.5627586206896552, 0.16, 0.1103448275862069, 0.022068965517241378, 0.32,
                                    0.08275862068965517, -0.20689655172413793, 0, -0.27586206896551724 }, 1e-14);
    assert_grads(a, 9, (double[]){ 0.5203101070154578, 0.15519809750297262, -0.17636147443519615, -1.3824, -0.8448,
                                   0.96, 1.2725422116527942, 0.6730273483947682, -0.7648038049940546 }, 1e-14);
    ad_zero_grad(a);
    ad_backward(d = ad_det(a));
    assert_close(ad_item(d), -22.65625, 1e-14);
    assert_grads(a, 9, (double[]){ -12.75, -.5, 4.6875, -3.625, -7.25, 0, -2.5, -1.875, 6.25 }, 1e-14);
    ad_graph_free(g);
}

static void cholesky_and_logdet_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *l = ad_cholesky(a), *d;
    backward_weighted(l);
    assert_values(l, 9, (double[]){ 2, 0, 0, .5, 1.6583123951777, 0, -.25, 0.22613350843332272, 1.3734495390671027 },
                  1e-14);
    assert_grads(a, 9, (double[]){ 0.22458499599255458, 0.9357731321786068, 1.6682262322976502, 0.9357731321786069,
                                   1.2395604546881225, 1.9653059668051, 1.66822623229765, 1.9653059668050998,
                                   3.276421791991401 }, 1e-14);
    ad_zero_grad(a);
    ad_backward(d = ad_logdet(a));
    assert_close(ad_item(d), 3.0325462466767075, 1e-14);
    assert_grads(a, 9, (double[]){ 0.286144578313253, -0.10240963855421686, 0.08433734939759036, -0.10240963855421688,
                                   0.37349397590361444, -0.07228915662650602, 0.08433734939759036, -0.07228915662650601,
                                   0.5301204819277108 }, 1e-14);
    ad_graph_free(g);
}

/* The other triangle is not read and may hold any values. */
static void solve_triangular_reads_one_triangle(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, (double[]){ 2, NAN, 3, 4 }, AD_SHAPE(2, 2));
    ad_var *b = ad_param(g, AD_F64, (double[]){ 2, 11 }, AD_SHAPE(2));
    ad_var *x = ad_solve_triangular(a, b, (ad_triangular_opts){ 0 });
    assert_values(x, 2, (double[]){ 1, 2 }, 0);
    backward_weighted(x);
    assert_grads(b, 2, (double[]){ -0.25, 0.5 }, 0);
    assert_grads(a, 4, (double[]){ 0.25, 0, -0.5, -1 }, 0);
    ad_var *zero = ad_param(g, AD_F64, (double[]){ 0, 0, 3, NAN }, AD_SHAPE(2, 2));
    const ad_triangular_opts unit = { .unitriangular = true }, plain = { 0 };
    assert_values(ad_solve_triangular(zero, b, unit), 2, (double[]){ 2, 5 }, 0);
    assert_fails(g, ad_solve_triangular(zero, b, plain), AD_EVALUE,
                 "solve_triangular: [2,2] x [2]: matrix 0 is singular: element 1 of its diagonal is 0");
    ad_graph_free(g);
}

/* ---- failures --------------------------------------------------------------------------------------- */

static void singular_matrices_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 0, 0, 1, 1, 2, 2, 4 }, AD_SHAPE(2, 2, 2));
    ad_var *b = ad_ones(g, AD_F64, AD_SHAPE(2, 1)), *minus = ad_neg(x);
    assert_fails(g, ad_inverse(x), AD_EVALUE, "inverse: [2,2,2]: matrix 1 is singular: pivot 2 of its LU factors is 0");
    assert_fails(g, ad_solve(x, b), AD_EVALUE,
                 "solve: [2,2,2] x [2,1]: matrix 1 is singular: pivot 2 of its LU factors is 0");
    assert_fails(g, ad_cholesky(minus), AD_EVALUE, "matrix 0 is not positive definite: its leading minor of order 1");
    assert_fails(g, ad_cholesky(x), AD_EVALUE,
                 "cholesky: [2,2,2]: matrix 1 is not positive definite: its leading minor of order 2 is not positive");
    assert_true(isnan(ad_item(ad_inverse(ad_full(g, AD_F64, NAN, AD_SHAPE(1, 1)))))); /* as in PyTorch */
    ad_graph_free(g);
}

/* Rows of any length change places: the solution of [0 2; 4 0] x = b is b's rows the other way round, divided. */
static void solve_exchanges_long_rows(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { MOST = 130 };
    for (int m = 1; m <= MOST; m++)
        for (int t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            double b[2 * MOST];
            for (int i = 0; i < 2 * m; i++) b[i] = i + 1;
            ad_var *a = param_of(g, (ad_dtype)t, (double[]){ 0, 2, 4, 0 }, AD_SHAPE(2, 2));
            ad_var *x = ad_solve(a, param_of(g, (ad_dtype)t, b, AD_SHAPE(2, m)));
            assert_ok(g);
            for (int i = 0; i < m; i++) {
                assert_close(ad_at(x, i), b[m + i] / 4, 0);
                assert_close(ad_at(x, m + i), b[i] / 2, 0);
            }
            ad_graph_free(g);
        }
}

/* The factors of a have small pivots, while those of its transpose have a pivot of 0. The gradient needs those of a. */
static void solve_of_a_nearly_singular_matrix(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double nearly[] = { 0.5, 0.6, 0.8, -0.2, 0.2, -0.2, 0.94, 1.26, 1.54 };
    ad_var *a = ad_param(g, AD_F64, nearly, AD_SHAPE(3, 3)), *b = ad_ones(g, AD_F64, AD_SHAPE(3));
    for (int k = 0; k < 2; k++, a = ad_transpose(a)) {
        ad_var *y = ad_sum(ad_solve(a, b)), *d;
        bool singular = !ad_ok(g);
        ad_clear_error(g);
        if (singular) continue;
        ad_backward(y);
        assert_int_equal(ad_gradient(y, 1, &a, &d), AD_OK);
        for (int i = 0; i < 9; i++) assert_close(ad_at(d, i) / ad_grad_at(a, i), 1, 1e-15);
    }
    ad_graph_free(g);
}

/* A matrix becomes indefinite before one ad_eval and positive definite before the next. */
static void eval_fails_and_recovers(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2, 0, 0, 2 }, AD_SHAPE(2, 2)), *y = ad_sum(ad_cholesky(x));
    ad_set(x, (double[]){ 2, 0, 0, -1 });
    assert_int_equal(ad_eval(y), AD_EVALUE);
    ad_clear_error(g);
    assert_int_equal(ad_backward(y), AD_ESTALE);
    ad_clear_error(g);
    ad_set(x, (double[]){ 4, 0, 0, 9 });
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_item(y), 5, 0);
    assert_close(ad_grad_at(x, 0), 0.25, 1e-15); /* d sqrt(x) */
    assert_close(ad_grad_at(x, 3), 1. / 6, 1e-15);
    ad_graph_free(g);
}

static void bad_shapes_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_eye(g, AD_F64, 3), *v = ad_zeros(g, AD_F64, AD_SHAPE(2));
    ad_var *r = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *two = ad_zeros(g, AD_F64, AD_SHAPE(2, 3, 3));
    ad_var *(*const square[])(ad_var *) = { ad_inverse, ad_cholesky, ad_logdet, ad_det, ad_cofactor };
    for (int i = 0; i < COUNT(square); i++) {
        assert_fails(g, square[i](r), AD_ESHAPE, ": [2,3]: takes square matrices");
        assert_fails(g, square[i](v), AD_ESHAPE, ": [2]: takes square matrices");
        assert_fails(g, square[i](ad_scalar(g, AD_F64, 1)), AD_ESHAPE, ": []: takes square matrices");
    }
    const ad_triangular_opts right = { .right = true };
    assert_fails(g, ad_solve(r, a), AD_ESHAPE, "solve: [2,3] x [3,3]: takes square matrices");
    assert_fails(g, ad_solve(v, ad_scalar(g, AD_F64, 1)), AD_ESHAPE, "takes square matrices");
    assert_fails(g, ad_solve(a, r), AD_ESHAPE, "solve: [3,3] x [2,3]: a is of side 3 and b has 2 rows");
    assert_fails(g, ad_solve(a, v), AD_ESHAPE, "a is of side 3 and b has 2 rows");
    assert_fails(g, ad_solve(a, ad_scalar(g, AD_F64, 1)), AD_ESHAPE, "b must be [..,n,m] or [n]");
    assert_fails(g, ad_solve_triangular(a, ad_transpose(r), right), AD_ESHAPE, "a is of side 3 and b has 2 columns");
    assert_fails(g, ad_solve_triangular(a, v, right), AD_ESHAPE, "b must be [..,n,m]");
    assert_fails(g, ad_solve(two, ad_zeros(g, AD_F64, AD_SHAPE(4, 3, 1))), AD_ESHAPE, "leading axes do not broadcast");
    assert_fails(g, ad_solve(a, ad_zeros(g, AD_F32, AD_SHAPE(3))), AD_EDTYPE, "solve");
    ad_graph_free(g);
}

/* Sides that exceed the int of LAPACK. The arrays are empty, so they take no memory. */
static void sides_too_long_for_lapack_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    if (!BITS_64) skip(); /* no array is that long */
    ad_graph *g = ad_graph_new();
    ad_var *huge = ad_zeros(g, AD_F64, AD_SHAPE(0, 40000000, 40000000));
    assert_fails(g, ad_inverse(huge), AD_ESHAPE, "a side is longer than 33554431");
    ad_var *wide = ad_zeros(g, AD_F64, AD_SHAPE(0, 2, 5000000000)), *two = ad_zeros(g, AD_F64, AD_SHAPE(0, 2, 2));
    assert_fails(g, ad_solve(two, wide), AD_ESHAPE, "a side is longer than 33554431");
    ad_graph_free(g);
}

/* Without LAPACK the functions exist and report that LAPACK is missing. */
static void ops_without_lapack_are_reported(void **state) {
    (void)state;
    if (ad__has_lapack()) skip();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_eye(g, AD_F64, 2);
    ad_var *(*const square[])(ad_var *) = { ad_inverse, ad_cholesky, ad_logdet, ad_det, ad_cofactor };
    for (int i = 0; i < COUNT(square); i++)
        assert_fails(g, square[i](a), AD_EABSENT, ": [2,2]: this build has no LAPACK");
    assert_fails(g, ad_solve(a, a), AD_EABSENT, "solve: [2,2] x [2,2]: this build has no LAPACK; install an OpenBLAS with threads");
    assert_fails(g, ad_solve_triangular(a, a, (ad_triangular_opts){ 0 }), AD_EABSENT, "this build has no LAPACK");
    ad_graph_free(g);
}

/* ---- identities: aliasing, large and ill-conditioned matrices --------------------------------------- */

static void one_var_as_both_operands(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *x = ad_solve(a, a);
    backward_weighted(x);
    const double eye[] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, none[9] = { 0 };
    assert_values(x, 9, eye, 1e-15);
    assert_grads(a, 9, none, 1e-14); /* the result is the identity for every a */
    ad_zero_grad(a);
    x = ad_solve_triangular(a, ad_tril(a, 0), (ad_triangular_opts){ 0 });
    backward_weighted(x);
    assert_values(x, 9, eye, 1e-15);
    assert_grads(a, 9, (double[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 1e-14);
    ad_graph_free(g);
}

/* n is larger than a block of LAPACK. With a = m m^T + n, 2 sum log diagonal(cholesky(a)) = logdet(a). Both have the
   gradient a^-1. */
static void large_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { N = 150 };
    int64_t n = test_quick() ? 20 : N;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        double tol = t == AD_F32 ? 2e-5 : 1e-13;
        ad_var *m = ad_rand(g, t, AD_SHAPE(n, n)), *shift = ad_muls(ad_eye(g, t, n), (double)n);
        ad_var *made = ad_add(ad_matmul(m, ad_transpose(m)), shift);
        ad_var *a = ad_param(g, t, ad_data(made), AD_SHAPE(n, n)), *y = ad_inverse(a), *l = ad_cholesky(a);
        ad_var *eye = ad_matmul(a, y), *again = ad_matmul(l, ad_transpose(l));
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(eye, i), i % (n + 1) == 0, 10 * tol);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(again, i), ad_at(a, i), tol);
        ad_var *d = ad_logdet(a), *e = ad_muls(ad_sum(ad_log(ad_diagonal(l, 0))), 2);
        assert_close(ad_item(d), ad_item(e), tol);
        ad_backward(d);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_grad_at(a, i), ad_at(y, i), tol);
        ad_zero_grad(a);
        ad_backward(e);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_grad_at(a, i), ad_at(y, i), tol);
        ad_var *x = ad_solve(a, m), *z = ad_matmul(y, m);
        for (int64_t i = 0; i < n * n; i++) assert_close(ad_at(x, i), ad_at(z, i), tol);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* The inverse of the 5x5 Hilbert matrix has integer elements (Choi 1983). Its condition number is 4.8e5. */
static void ill_conditioned_inverse(void **state) {
    (void)state;
    NEED_LAPACK();
    const double want[] = { 25,    -300,   1050,    -1400,  630,    -300,  4800,   -18900, 26880,
                            -12600, 1050,  -18900, 79380,   -117600, 56700, -1400, 26880,  -117600,
                            179200, -88200, 630,   -12600, 56700,   -88200, 44100 };
    ad_graph *g = ad_graph_new();
    double h[25];
    for (int i = 0; i < 25; i++) h[i] = 1. / (i / 5 + i % 5 + 1);
    ad_var *a = ad_param(g, AD_F64, h, AD_SHAPE(5, 5));
    assert_values(ad_inverse(a), 25, want, 1e-10);
    assert_close(ad_item(ad_det(a)), 3.7492951324251e-12, 1e-22); /* 1 / 266716800000 */
    ad_graph_free(g);
}

/* A BLAS may lose a NaN: OpenBLAS 0.3.21 does in f32, 0.3.29 in f64 too. */
static void a_nan_is_in_all_that_a_matrix_gives(void **state) {
    (void)state;
    NEED_LAPACK();
    enum { N = 4 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int at = 0; at < N * N; at++) {
            ad_graph *g = ad_graph_new();
            double a[N * N], b[N] = { 1, 0, 0, 2 };
            for (int i = 0; i < N * N; i++) a[i] = i == at ? NAN : i % 5 == 0 ? 3 : sin(i);
            ad_var *x = param_of(g, (ad_dtype)t, a, AD_SHAPE(N, N)), *y = param_of(g, (ad_dtype)t, b, AD_SHAPE(N));
            ad_var *inverse = ad_inverse(x), *solution = ad_solve(x, y), *l = ad_cholesky(x), *lu[2], *wide[2];
            ad_lu_factor(x, lu);
            ad_lu_factor(ad_slice(x, 0, at / N, at / N + 1, 1), wide);
            assert_ok(g);
            for (int i = 0; i < N * N; i++) {
                assert_true(isnan(ad_at(inverse, i)) && isnan(ad_at(lu[0], i)));
                assert_true(i % N > i / N ? ad_at(l, i) == 0 : isnan(ad_at(l, i)));
            }
            for (int i = 0; i < N; i++) {
                assert_true(isnan(ad_at(solution, i)) && isnan(ad_at(wide[0], i)));
                assert_true(ad_at(lu[1], i) == i);
            }
            assert_true(isnan(ad_item(ad_det(x))) && isnan(ad_item(ad_logdet(x))));
            ad_graph_free(g);
        }
}

static void large_and_small_magnitudes(void **state) {
    (void)state;
    NEED_LAPACK();
    const double scales[] = { 1e-150, 1, 1e150 };
    for (int i = 0; i < COUNT(scales); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = ad_muls(ad_param(g, AD_F64, general, AD_SHAPE(3, 3)), scales[i]);
        ad_var *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
        ad_var *x = ad_muls(ad_solve(a, b), scales[i]), *y = ad_muls(ad_inverse(a), scales[i]);
        assert_close(ad_at(x, 0), 0.7337931034482759, 1e-14);
        assert_close(ad_at(y, 0), 0.5627586206896552, 1e-14);
        assert_close(ad_item(ad_logdet(ad_neg(a))), log(22.65625) + 3 * log(scales[i]), 1e-14);
        ad_graph_free(g);
    }
}

/* ---- second derivatives, memory --------------------------------------------------------------------- */

static ad_var *positive(ad_var *x) {
    return ad_add(ad_matmul(x, ad_transpose(x)), ad_eye(ad_graph_of(x), AD_F64, 3));
}
static ad_var *of_solve(ad_var *x, ad_var *b) { return ad_solve(x, b); }
static ad_var *of_triangle(ad_var *x, ad_var *b) {
    return ad_solve_triangular(x, b, (ad_triangular_opts){ .upper = true, .transpose = true });
}
static ad_var *of_inverse(ad_var *x, ad_var *b) { return ad_matmul(ad_inverse(x), b); }
static ad_var *of_cholesky(ad_var *x, ad_var *b) { return ad_matmul(ad_cholesky(positive(x)), b); }
static ad_var *of_logdet(ad_var *x, ad_var *b) { return ad_mul(ad_logdet(positive(x)), b); }
static ad_var *of_det(ad_var *x, ad_var *b) { return ad_mul(ad_det(x), b); }
static ad_var *of_einsum(ad_var *x, ad_var *b) { return ad_einsum("ii,jk->ki", ad_square(x), ad_mul(b, b)); }
static ad_var *of_diagonals(ad_var *x, ad_var *b) {
    return ad_mul(ad_diag(ad_square(ad_diag(x, 1)), 1), ad_sum(b));
}

typedef ad_var *pair_fn(ad_var *, ad_var *);

/* Sum of squares of the gradients of sum f^2. Its gradient needs second derivatives of f. */
static ad_var *second_order(int n, ad_var *const xs[], void *user) {
    pair_fn *const *f = user;
    ad_var *dxs[2];
    if (ad_gradient(ad_sum(ad_square((*f)(xs[0], xs[1]))), n, xs, dxs)) return dxs[0];
    return ad_add(ad_sum(ad_square(dxs[0])), ad_sum(ad_square(dxs[1])));
}

static void second_derivatives(void **state) {
    (void)state;
    pair_fn *const fs[] = { of_einsum,  of_diagonals, of_solve,  of_triangle,
                            of_inverse, of_cholesky,  of_logdet, of_det };
    for (int i = 0; i < (ad__has_lapack() ? COUNT(fs) : 2); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { ad_param(g, AD_F64, general, AD_SHAPE(3, 3)),
                         ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2)) };
        ad_check_report report;
        pair_fn *f = fs[i];
        if (ad_gradcheck(second_order, &f, 2, xs, NULL, &report)) fail_msg("function %d: %s", i, report.message);
        assert_true(report.compared == 15);
        ad_graph_free(g);
    }
}

static void repeated_eval_and_backward_allocate_nothing(void **state) {
    (void)state;
    NEED_LAPACK();
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_var *a = ad_param(g, AD_F64, definite, AD_SHAPE(3, 3)), *b = ad_param(g, AD_F64, right_side, AD_SHAPE(3, 2));
    ad_var *x = ad_einsum("ij,jk->ki", ad_permute(ad_inverse(ad_cholesky(a)), AD_SHAPE(1, 0)), ad_solve(a, b));
    ad_var *y = ad_mul(ad_sum(x), ad_mul(ad_logdet(a), ad_det(a)));
    int64_t calls = 0;
    for (int i = 0; i < 10; i++) {
        if (i == 1) calls = memory.calls; /* the first evaluation allocates its plan */
        ad_data_mut(a);
        assert_int_equal(ad_eval(y), AD_OK);
        assert_int_equal(ad_backward(y), AD_OK);
    }
    assert_int_equal(memory.calls, calls);
    ad_graph_free(g);
    assert_all_released(&memory);
}

/* One allocation after the other fails. The graph reports each failure and releases all memory. */
static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    int64_t failures = 0;
    for (int64_t fail_at = 0; failures == 0 || fail_at < failures; fail_at++) {
        test_memory memory = { .fail_at = fail_at, .fail_on = true };
        ad_graph *g = test_graph(&memory);
        if (g != NULL) {
            ad_var *a = ad_rand(g, AD_F64, AD_SHAPE(40, 40, 40)), *eye = ad_eye(g, AD_F64, 40);
            ad_var *b = ad_param(g, AD_F64, NULL, AD_SHAPE(1, 40));
            ad_var *y = ad_permute(ad_einsum("iij,jk->kj", a, b), AD_SHAPE(1, 0));
            if (ad__has_lapack()) y = ad_add(y, ad_solve(eye, ad_diag(ad_einsum("ij->j", b, NULL), 0)));
            ad_backward(ad_sum(y));
            assert_true(ad_ok(g) == (memory.failures == 0));
            if (ad_ok(g)) failures = fail_at; /* all allocations have been made to fail */
        }
        ad_graph_free(g);
        assert_all_released(&memory);
    }
    assert_true(failures > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permute_against_plain_indexing),
        cmocka_unit_test(bad_axes_are_reported),
        cmocka_unit_test(diagonals_as_in_numpy),
        cmocka_unit_test(triangles_as_in_numpy),
        cmocka_unit_test(solve_as_in_torch),
        cmocka_unit_test(solve_triangular_as_in_torch),
        cmocka_unit_test(inverse_and_det_as_in_torch),
        cmocka_unit_test(cholesky_and_logdet_as_in_torch),
        cmocka_unit_test(solve_triangular_reads_one_triangle),
        cmocka_unit_test(singular_matrices_are_reported),
        cmocka_unit_test(solve_exchanges_long_rows),
        cmocka_unit_test(solve_of_a_nearly_singular_matrix),
        cmocka_unit_test(eval_fails_and_recovers),
        cmocka_unit_test(bad_shapes_are_reported),
        cmocka_unit_test(sides_too_long_for_lapack_are_reported),
        cmocka_unit_test(ops_without_lapack_are_reported),
        cmocka_unit_test(one_var_as_both_operands),
        cmocka_unit_test(large_matrices),
        cmocka_unit_test(ill_conditioned_inverse),
        cmocka_unit_test(a_nan_is_in_all_that_a_matrix_gives),
        cmocka_unit_test(large_and_small_magnitudes),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(repeated_eval_and_backward_allocate_nothing),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("linear algebra", tests, NULL, NULL);
}
