/* test_ops_determinants.c: det, logdet and cofactors: special points, batches, derivatives. */
#include "tests/linalg.h"

/* ---- special points --------------------------------------------------------------------------------- */

static void determinants_at_special_points(void **state) {
    (void)state;
    NEED_LAPACK();
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        int64_t n;
        double x[9], y, dx[9];
    } points[] = {
        { "logdet of a negative determinant", ad_logdet, 2, { 0, 1, 1, 0 }, NAN, { 0, 0, 0, 0 } },
        { "logdet of 0", ad_logdet, 2, { 1, 2, 2, 4 }, -INFINITY, { NAN, NAN, NAN, NAN } },
        { "logdet of rows exchanged", ad_logdet, 2, { 0, 2, -3, 0 }, 1.791759469228055, { 0, 1. / 2, -1. / 3, 0 } },
        { "logdet of a NaN", ad_logdet, 2, { NAN, 1, 0, 1 }, NAN, { NAN, NAN, NAN, NAN } },
        { "logdet of a NaN, rows exchanged", ad_logdet, 2, { 0, 1, 1, NAN }, NAN, { NAN, NAN, NAN, NAN } },
        { "logdet of an infinite one", ad_logdet, 1, { INFINITY }, INFINITY, { 0 } },
        { "logdet of nothing", ad_logdet, 0, { 0 }, 0, { 0 } },
        { "logdet of huge numbers", ad_logdet, 2, { 1e200, 0, 0, 1e200 }, 921.0340371976183, { 1e-200, 0, 0, 1e-200 } },
        { "det of nothing", ad_det, 0, { 0 }, 1, { 0 } },
        { "det of 0", ad_det, 1, { 0 }, 0, { 1 } },
        /* the gradient is the cofactors; PyTorch returns 0 */
        { "det of rank 1", ad_det, 2, { 1, 2, 2, 4 }, 0, { 4, -2, -2, 1 } },
        { "det of rank 1 with a zero row", ad_det, 2, { 0, 1, 0, 0 }, 0, { 0, 0, -1, 0 } },
        { "det of rank 1, turned", ad_det, 2, { 2, 1, 4, 2 }, 0, { 2, -4, -1, 2 } },
        { "det of rank 1, mirrored", ad_det, 2, { 1, 2, -2, -4 }, 0, { -4, 2, -2, 1 } },
        { "det of one element", ad_det, 2, { 0, 0, 0, 3 }, 0, { 3, 0, 0, 0 } },
        { "det of rank 2, its rows exchanged", ad_det, 3, { 2, 4, 6, 1, 2, 3, 0, 1, 0 }, 0, { -3, 0, 1, 6, 0, -2, 0, 0, 0 } },
        { "det of rank 2, its columns exchanged", ad_det, 3, { 2, 1, 3, 4, 2, 6, 1, 0, 0 }, 0, { 0, 6, -2, 0, -3, 1, 0, 0, 0 } },
        { "det of rank 2", ad_det, 3, { 1, 2, 3, 2, 4, 6, 0, 1, 0 }, 0, { -6, 0, 2, 3, 0, -1, 0, 0, 0 } },
        { "det of rank 1 of 3", ad_det, 3, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 0, { 0 } },
        { "det of zeros", ad_det, 3, { 0 }, 0, { 0 } },
        { "det that underflows", ad_det, 2, { 1e-200, 0, 0, 1e-200 }, 0, { 1e-200, 0, 0, 1e-200 } },
        { "det of a NaN", ad_det, 2, { NAN, 1, 0, 1 }, NAN, { NAN, NAN, NAN, NAN } },
        { "det of a NaN in a singular matrix", ad_det, 2, { 0, NAN, 0, 0 }, NAN, { NAN, NAN, NAN, NAN } },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, points[i].x, AD_SHAPE(points[i].n, points[i].n)), *y = points[i].f(x);
        assert_ok(g);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close_in(points[i].name, ad_item(y), points[i].y, 1e-14);
        for (int64_t k = 0; k < ad_numel(x); k++)
            assert_close_in(points[i].name, ad_grad_at(x, k), points[i].dx[k], 2e-14);
        ad_graph_free(g);
    }
}

/* Each matrix of a batch has its own result. */
static void batch_with_special_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double values[] = { 2, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 0 };
    ad_var *x = param_of(g, AD_F32, values, AD_SHAPE(3, 2, 2)), *y = ad_det(x);
    assert_values(y, 3, (double[]){ 2, 0, -1 }, 0);
    backward_weighted(y);
    assert_grads(x, 12, (double[]){ 1, 0, 0, 2, 2, -2, -2, 2, 0, -3, -3, 0 }, 1e-6);
    assert_values(ad_logdet(x), 3, (double[]){ 0.6931471805599453, -INFINITY, NAN }, 1e-7);
    ad_graph_free(g);
}

/* ---- derivatives of determinants of any rank -------------------------------------------------------- */

enum { SIDE = 6 };

/* The determinant without these rows and columns, by Laplace's expansion along the first row that is left. */
static long double minor_of(int n, const double *a, unsigned rows, unsigned columns) {
    int i = 0;
    while (i < n && (rows >> i & 1)) i++;
    if (i == n) return 1;
    long double sum = 0, sign = 1;
    for (int j = 0; j < n; j++) {
        if (columns >> j & 1) continue;
        sum += sign * (long double)a[i * n + j] * minor_of(n, a, rows | 1u << i, columns | 1u << j);
        sign = -sign;
    }
    return sum;
}

static long double cofactor_at(int n, const double *a, int i, int j) {
    return ((i + j) % 2 ? -1 : 1) * minor_of(n, a, 1u << i, 1u << j);
}

/* d2 det a / da[i,j] da[k,l] */
static double second_at(int n, const double *a, int i, int j, int k, int l) {
    if (i == k || j == l) return 0;
    int sign = (i + j + k + l) % 2 ? -1 : 1;
    if ((i < k) != (j < l)) sign = -sign;
    return (double)(sign * minor_of(n, a, 1u << i | 1u << k, 1u << j | 1u << l));
}

/* A matrix [n,n] of that rank: the sum of outer products of vectors, whose elements are multiples of 1/step. */
static void of_rank(int n, int rank, double step, uint64_t seed, double *to) {
    double u[SIDE * SIDE], v[SIDE * SIDE];
    fill(u, n * rank, seed), fill(v, n * rank, seed + 1);
    for (int i = 0; i < n * n; i++) to[i] = 0;
    for (int i = 0; i < n * n; i++)
        for (int k = 0; k < rank; k++) to[i] += round(step * u[k * n + i / n]) / step * v[k * n + i % n];
}

static void compare_derivatives(ad_graph *g, int n, const double *a, double tol) {
    ad_mark m = ad_begin(g);
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(n, n)), *y = ad_det(x), *dx, *h = ad_hessian(y, x);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    for (int p = 0; p < n * n; p++) {
        double want = (double)cofactor_at(n, a, p / n, p % n);
        assert_close(ad_grad_at(x, p), want, tol);
        assert_close(ad_at(dx, p), want, tol);
        for (int q = 0; q < n * n; q++)
            assert_close(ad_at(h, p * n * n + q), second_at(n, a, p / n, p % n, q / n, q % n), tol);
    }
    ad_zero_grad(dx); /* backward through the gradient */
    assert_int_equal(ad_backward(ad_sum(ad_square(dx))), AD_OK);
    for (int p = 0; p < n * n; p++) {
        double want = 0;
        for (int q = 0; q < n * n; q++) want += 2 * ad_at(dx, q) * ad_at(h, q * n * n + p);
        assert_close(ad_grad_at(x, p), want, tol);
    }
    ad_end(g, m);
}

/* Steps of 2 make matrices whose factors have pivots of exactly 0, others leave a rounding error. */
static void det_of_every_rank_against_minors(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double u[] = { .1, .7, .6, -.3, -1.3, .2 };
    double a[SIDE * SIDE];
    for (int i = 0; i < 9; i++) a[i] = u[i / 3 * 2] * u[i % 3 * 2] + u[i / 3 * 2 + 1] * u[i % 3 * 2 + 1];
    compare_derivatives(g, 3, a, 2e-15);
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(3, 3)), *h = ad_hessian(ad_det(x), x);
    assert_close(ad_at(h, 4), 1.73, 1e-14);
    assert_close(ad_at(h, 5), 0.84, 1e-14);
    for (int n = 1; n <= SIDE; n++)
        for (int rank = 0; rank <= n; rank++)
            for (int step = 2; step <= 32; step += 15) {
                of_rank(n, rank, step, (uint64_t)(100 * n + 10 * rank + step), a);
                compare_derivatives(g, n, a, 1e-13);
            }
    assert_ok(g);
    ad_graph_free(g);
}

/* Rows and columns of singular matrices times powers of 2: cofactors are as accurate as without these. */
static void cofactors_of_graded_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const int powers[] = { 100, 0, -100, 50, 0, 3 };
    for (int n = 1; n <= SIDE; n++)
        for (int rank = n > 2 ? n - 2 : 0; rank < n; rank++)
            for (int turn = 0; turn < SIDE; turn++) {
                double a[SIDE * SIDE];
                of_rank(n, rank, 2, (uint64_t)(100 * n + 10 * rank), a);
                for (int i = 0; i < n * n; i++)
                    a[i] = ldexp(a[i], powers[(i / n + turn) % SIDE] + powers[(i % n + 2 * turn) % SIDE]);
                ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(n, n)), *y = ad_cofactor(x);
                assert_int_equal(ad_backward(ad_det(x)), AD_OK);
                int all = 0;
                for (int i = 0; i < n; i++) all += powers[(i + turn) % SIDE] + powers[(i + 2 * turn) % SIDE];
                for (int i = 0; i < n * n; i++) {
                    int left = all - powers[(i / n + turn) % SIDE] - powers[(i % n + 2 * turn) % SIDE];
                    double want = ldexp((double)cofactor_at(n, a, i / n, i % n), -left);
                    assert_close(ldexp(ad_at(y, i), -left), want, 1e-13);
                    assert_close(ldexp(ad_grad_at(x, i), -left), want, 1e-13);
                }
            }
    assert_ok(g);
    ad_graph_free(g);
}

/* The third derivatives of a determinant of side 3 are signs of permutations, whatever the matrix is; those of side 2 are
   0, and so are the fourth ones. In f32 too, and in a batch. */
static void det_to_higher_orders(void **state) {
    (void)state;
    NEED_LAPACK();
    for (int t = 0; t < 2; t++) {
        ad_graph *g = ad_graph_new();
        const double values[18] = { 1, 2, 3, 2, 4, 6, 0, 1, 0 };
        ad_var *x = param_of(g, t ? AD_F64 : AD_F32, values, AD_SHAPE(2, 3, 3)), *y = ad_sum(ad_det(x)), *d;
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        ad_var *corners = ad_select(ad_reshape(d, AD_SHAPE(2, 9)), 1, 0); /* cofactors [0,0] */
        assert_int_equal(ad_gradient(ad_sum(corners), 1, &x, &d), AD_OK);
        ad_var *middle = ad_select(ad_reshape(d, AD_SHAPE(18)), 0, 13); /* by [1,1] of the second matrix */
        assert_int_equal(ad_gradient(middle, 1, &x, &d), AD_OK);
        for (int i = 0; i < 18; i++) assert_close(ad_at(d, i), i == 17, 1e-6);
        assert_int_equal(ad_gradient(ad_sum(ad_square(d)), 1, &x, &d), AD_OK);
        for (int i = 0; i < 18; i++) assert_close(ad_at(d, i), 0, 0);
        ad_graph_free(g);
    }
}

/* The range of a double does not limit what the determinant is made from. */
static void det_of_badly_scaled_matrices(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double d[] = { 1e200, 1e-200, 1e200, 1e-200 };
    ad_var *x = ad_param(g, AD_F64, d, AD_SHAPE(4)), *y = ad_det(ad_diag(x, 0)), *dx;
    assert_close(ad_item(y), 1, 1e-15);
    ad_backward(y);
    ad_gradient(y, 1, &x, &dx);
    assert_grads(x, 4, (double[]){ 1e-200, 1e200, 1e-200, 1e200 }, 1e186);
    for (int i = 0; i < 4; i++) {
        assert_close(ad_grad_at(x, i) * d[i], 1, 1e-14);
        assert_close(ad_at(dx, i) * d[i], 1, 1e-14);
    }
    ad_var *single = param_of(g, AD_F32, (double[]){ 1e20, 0, 0, 1e20 }, AD_SHAPE(2, 2));
    ad_backward(ad_det(single));
    assert_close(ad_grad_at(single, 3) / 1e20, 1, 1e-6);
    ad_var *infinite = ad_param(g, AD_F64, (double[]){ INFINITY, 1, 1, 1 }, AD_SHAPE(2, 2));
    ad_backward(ad_det(infinite)), ad_gradient(ad_det(infinite), 1, &infinite, &dx);
    for (int i = 0; i < 4; i++) assert_close(ad_grad_at(infinite, i), ad_at(dx, i), 0);
    ad_graph_free(g);
}

/* A matrix without a logarithm does not spoil the others of its batch, in either rule. */
static void logdet_of_a_batch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    const double values[] = { 2, 0, 0, 1, 1, 2, 2, 4, 0, 1, 1, 0 };
    ad_var *x = ad_param(g, AD_F64, values, AD_SHAPE(3, 2, 2)), *y = ad_logdet(x), *dx;
    assert_values(y, 3, (double[]){ 0.6931471805599453, -INFINITY, NAN }, 1e-15);
    backward_weighted(y);
    assert_grads(x, 12, (double[]){ 0.5, 0, 0, 1, NAN, NAN, NAN, NAN, 0, 0, 0, 0 }, 1e-15);
    assert_int_equal(ad_vjp(y, ad_arange(g, AD_F64, 1, 4, 1), 1, &x, &dx), AD_OK);
    for (int i = 0; i < 12; i++) assert_close(ad_at(dx, i), ad_grad_at(x, i), 1e-15);
    assert_int_equal(ad_gradient(ad_select(ad_reshape(dx, AD_SHAPE(12)), 0, 0), 1, &x, &dx), AD_OK);
    assert_close(ad_at(dx, 0), -0.25, 1e-15); /* -1 / 2^2 */
    for (int i = 8; i < 12; i++) assert_close(ad_at(dx, i), 0, 0);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(determinants_at_special_points),
        cmocka_unit_test(batch_with_special_matrices),
        cmocka_unit_test(det_of_every_rank_against_minors),
        cmocka_unit_test(cofactors_of_graded_matrices),
        cmocka_unit_test(det_to_higher_orders),
        cmocka_unit_test(det_of_badly_scaled_matrices),
        cmocka_unit_test(logdet_of_a_batch),
    };
    return cmocka_run_group_tests_name("determinants", tests, NULL, NULL);
}
