/* test_ops_decompositions.c: eigh, svd, qr and lu, and what is made of them. */
#include "autodiff/extend.h"
#include "tests/linalg.h"

/* The factors multiply to the matrix: eigh, svd and qr of batches, in both dtypes. */
static void decompositions_multiply_to_the_matrix(void **state) {
    (void)state;
    NEED_LAPACK();
    const ad_shape shapes[] = { AD_SHAPE(2, 3, 3), AD_SHAPE(2, 5, 3), AD_SHAPE(3, 5), AD_SHAPE(40, 40) };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int i = 0; i < COUNT(shapes); i++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = random_param(g, t, shapes[i], 20), *p[3], *back;
            assert_int_equal(ad_svd(x, p), AD_OK);
            back = ad_matmul(ad_mul(p[0], ad_unsqueeze(p[1], -2)), p[2]);
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            assert_int_equal(ad_qr(x, p), AD_OK);
            back = ad_matmul(p[0], p[1]);
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            assert_int_equal(ad_lu(x, p), AD_OK);
            back = ad_matmul(p[0], ad_matmul(p[1], p[2]));
            for (int64_t k = 0; k < ad_numel(x); k++) assert_close(ad_at(back, k), ad_at(x, k), tolerance(t));
            if (i != 1 && i != 2) {
                ad_var *both = ad_add(x, ad_transpose(x));
                assert_int_equal(ad_eigh(both, p), AD_OK);
                back = ad_matmul(ad_mul(p[1], ad_unsqueeze(p[0], -2)), ad_transpose(p[1]));
                for (int64_t k = 0; k < ad_numel(x); k++)
                    assert_close(ad_at(back, k), ad_at(both, k), 10 * tolerance(t));
            }
            assert_ok(g);
            ad_graph_free(g);
        }
}

/* What torch.linalg makes of these matrices. */
static void decompositions_as_in_torch(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *s = ad_param(g, AD_F64, (double[]){ 2, 0, 0, 3 }, AD_SHAPE(2, 2)), *p[3];
    assert_int_equal(ad_slogdet(ad_neg(s), p), AD_OK);
    assert_values(p[0], 1, (double[]){ 1 }, 0);
    assert_values(p[1], 1, (double[]){ 1.791759469228055 }, 1e-15);
    assert_values(ad_svdvals(s), 2, (double[]){ 3, 2 }, 1e-15);
    assert_values(ad_eigvalsh(s), 2, (double[]){ 2, 3 }, 1e-15);
    assert_values(ad_matrix_exp(ad_zeros(g, AD_F64, AD_SHAPE(2, 2))), 4, (double[]){ 1, 0, 0, 1 }, 0);
    ad_var *a = ad_param(g, AD_F64, (double[]){ 1, 0, 1, 1, 1, 2 }, AD_SHAPE(3, 2));
    ad_var *x = ad_lstsq(a, ad_param(g, AD_F64, (double[]){ 1, 2, 2 }, AD_SHAPE(3)), 0); /* a line through 3 points */
    assert_values(x, 2, (double[]){ 7. / 6, 0.5 }, 1e-14);
    assert_values(ad_matrix_power(s, 5), 4, (double[]){ 32, 0, 0, 243 }, 0);
    assert_values(ad_matrix_power(s, 0), 4, (double[]){ 1, 0, 0, 1 }, 0);
    assert_values(ad_matrix_power(s, -2), 4, (double[]){ 0.25, 0, 0, 1. / 9 }, 1e-15);
    assert_values(ad_matrix_rank(a, 0), 1, (double[]){ 2 }, 0);
    assert_values(ad_matrix_rank(s, 0.7), 1, (double[]){ 1 }, 0);
    assert_values(ad_matrix_rank(ad_zeros(g, AD_F64, AD_SHAPE(2, 2, 0)), 0), 2, (double[]){ 0, 0 }, 0);
    assert_int_equal(ad_lu_factor(ad_flip(a, 0), p), AD_OK); /* rows 1 2, 1 1, 1 0 */
    assert_values(p[0], 6, (double[]){ 1, 2, 1, -2, 1, 0.5 }, 1e-15);
    assert_values(p[1], 3, (double[]){ 0, 2, 1 }, 0);
    assert_false(ad_requires_grad(p[1]));
    assert_values(ad_pinv(s, 0), 4, (double[]){ 0.5, 0, 0, 1. / 3 }, 1e-15);
    assert_ok(g);
    ad_graph_free(g);
}

/* The eigenvalues of the identity have a gradient, its vectors have none. */
static void gradients_of_equal_eigenvalues(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_eye(g, AD_F64, 2)), *p[2];
    assert_int_equal(ad_eigh(x, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[0])), AD_OK);
    assert_grads(x, 4, (double[]){ 1, 0, 0, 1 }, 1e-15);
    backward_weighted(p[1]);
    assert_false(isfinite(ad_grad_at(x, 1)));
    ad_graph_free(g);
}

static void bad_decompositions_are_reported(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    ad_var *v = ad_zeros(g, AD_F64, AD_SHAPE(3)), *wide = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *p[3];
    ad_var *nan = ad_full(g, AD_F64, NAN, AD_SHAPE(2, 2));
    assert_fails(g, ad_eigvalsh(wide), AD_ESHAPE, "takes square matrices");
    assert_fails(g, ad_svdvals(v), AD_ESHAPE, "takes matrices, [..,n,m]");
    assert_fails(g, ad_svdvals(nan), AD_EVALUE, "matrix 0 has elements that are infinite or NaN");
    assert_fails(g, ad_eigvalsh(nan), AD_EVALUE, "matrix 0 has elements that are infinite or NaN");
    assert_fails(g, ad_pinv(wide, -1), AD_EVALUE, "rcond -1 is not a finite number >= 0");
    assert_fails(g, ad_lstsq(wide, ad_zeros(g, AD_F64, AD_SHAPE(3, 1)), 0), AD_ESHAPE, "b must have 2 rows");
    assert_fails(g, ad_matrix_power(wide, 2), AD_ESHAPE, "matrix_power: [2,3]: takes square matrices");
    assert_fails(g, ad_matrix_exp(wide), AD_ESHAPE, "takes square matrices");
    assert_int_equal(ad_eigh(wide, p), AD_ESHAPE);
    assert_fails(g, p[0], AD_ESHAPE, "takes square matrices");
    assert_int_equal(ad_svd(nan, p), AD_EVALUE);
    assert_fails(g, p[2], AD_EVALUE, "infinite or NaN");
    assert_int_equal(ad_qr(wide, NULL), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "qr: parts must not be NULL");
    assert_int_equal(ad_lu(v, p), AD_ESHAPE);
    assert_fails(g, p[2], AD_ESHAPE, "lu_packed: [3]: takes matrices");
    assert_int_equal(ad_lu_unpack(wide, v, p), AD_ESHAPE);
    assert_fails(g, p[0], AD_ESHAPE, "lu_unpack: [2,3]: and order [3]: takes lu [..,n,m] and order [..,n]");
    assert_fails(g, ad_lu_solve(wide, v, wide), AD_ESHAPE, "lu_solve: [2,3]: with order [3] and b [2,3]");
    assert_fails(g, ad_householder_product(wide, v), AD_ESHAPE, "householder_product: [2,3]: and tau [3]");
    assert_fails(g, ad_ormqr(ad_transpose(wide), v, wide, true, false), AD_ESHAPE, "ormqr: [3,2]: and tau [3]");
    ad_var *zeros = ad_param(g, AD_F64, NULL, AD_SHAPE(2, 2));
    assert_int_equal(ad_lu(zeros, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[1])), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "matrix 0 has no gradient: element 0 of u's diagonal is 0");
    assert_int_equal(ad_qr(zeros, p), AD_OK);
    assert_int_equal(ad_backward(ad_sum(p[0])), AD_EVALUE);
    assert_contains(ad_error(g), "matrix 0 has no gradient: element 0 of r's diagonal is 0");
    ad_graph_free(g);
}

/* LAPACK may loop for ever over a matrix with an infinity, wherever it is. */
static void matrices_with_infinities_are_refused(void **state) {
    (void)state;
    NEED_LAPACK();
    ad_graph *g = ad_graph_new();
    for (int k = 0; k < 4; k++)
        for (int t = AD_F32; t <= AD_F64; t++)
            for (int nan = 0; nan < 2; nan++) {
                ad_var *x = ad_eye(g, (ad_dtype)t, 2), *parts[3];
                ad_write_element((ad_dtype)t, ad_data_mut(x), k, nan ? NAN : -INFINITY);
                assert_fails(g, ad_svdvals(x), AD_EVALUE, "svdvals");
                assert_fails(g, ad_pinv(x, 0), AD_EVALUE, "pinv");
                assert_int_equal(ad_svd(x, parts), AD_EVALUE), ad_clear_error(g);
                /* eigh reads the lower triangle */
                if (k != 1) assert_int_equal(ad_eigh(x, parts), AD_EVALUE), ad_clear_error(g);
            }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decompositions_multiply_to_the_matrix),
        cmocka_unit_test(decompositions_as_in_torch),
        cmocka_unit_test(gradients_of_equal_eigenvalues),
        cmocka_unit_test(bad_decompositions_are_reported),
        cmocka_unit_test(matrices_with_infinities_are_refused),
    };
    return cmocka_run_group_tests_name("decompositions", tests, NULL, NULL);
}
