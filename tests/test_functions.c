/* test_functions.c: the functions that are made of ops, compared with PyTorch: values, first and second derivatives.
   The operands and PyTorch's numbers are in tests/reference/functions.txt, which functions.py beside it writes. */
#include "tests/common.h"
#include "tests/reference/sample.h"

#include "autodiff/extend.h"
#include "nn/nn.h"

enum { MOST_OPERANDS = 4 };

/* ---- the functions --------------------------------------------------------------------------------------- */

typedef ad_var *call_fn(ad_graph *g, ad_var *const x[]);
#define X x[0]
#define Y x[1]
#define Z x[2]
#define CALL(name, ...)                                                                                                \
    static ad_var *call_##name(ad_graph *g, ad_var *const x[]) {                                                       \
        (void)g, (void)x;                                                                                              \
        return __VA_ARGS__;                                                                                            \
    }

/* ---- results of several parts, as one array ---- */

static ad_var *grid(int n, ad_var *const xs[], bool xy) {
    ad_var *parts[3];
    assert_int_equal(ad_meshgrid(n, xs, xy, parts), AD_OK);
    return ad_stack(n, parts, 0);
}
static ad_var *unbound(ad_var *x) {
    ad_var *parts[3];
    assert_int_equal(ad_unbind(x, 1, 3, parts), 3);
    return ad_stack(3, (ad_var *[]){ parts[2], parts[1], parts[0] }, 0);
}
static ad_var *split(ad_var *x) {
    ad_var *parts[3];
    assert_int_equal(ad_tensor_split(x, 0, 3, parts), 3);
    return ad_concat(3, (ad_var *[]){ parts[2], parts[1], parts[0] }, 0);
}
static ad_var *both(ad_var *x, int f(ad_var *, int, const int *, bool, ad_var *[2])) {
    ad_var *parts[2];
    assert_int_equal(f(x, 1, (int[]){ 1 }, false, parts), AD_OK);
    return ad_stack(2, parts, 0);
}
static ad_var *both_moments(ad_var *x, int f(ad_var *, int, const int *, int, bool, ad_var *[2])) {
    ad_var *parts[2];
    assert_int_equal(f(x, 1, (int[]){ 1 }, 1, false, parts), AD_OK);
    return ad_stack(2, parts, 0);
}
static ad_var *running(ad_var *x, int f(ad_var *, int, ad_var *[2])) {
    ad_var *parts[2];
    assert_int_equal(f(x, 1, parts), AD_OK);
    return parts[0];
}

static ad_var *both_runs(ad_var *x) {
    ad_var *parts[2];
    assert_int_equal(ad_unique_consecutive(x, parts), AD_OK);
    return ad_stack(2, parts, 0);
}

static ad_var *all_of_lu(ad_var *x, bool flat) {
    ad_var *parts[3];
    if (ad_lu(x, parts) != AD_OK) return ad_nil(ad_graph_of(x));
    for (int i = 0; i < 3 && flat; i++) parts[i] = ad_reshape(parts[i], AD_SHAPE(-1));
    return ad_concat(3, parts, -1);
}
static ad_var *solved_by_lu(ad_var *a, ad_var *b) {
    ad_var *parts[2];
    return ad_lu_factor(a, parts) == AD_OK ? ad_lu_solve(parts[0], parts[1], b) : ad_nil(ad_graph_of(a));
}

CALL(index_fill, ad_index_fill(X, 0, Y, 2.5))
CALL(index_fill_last, ad_index_fill(X, -1, Y, -1))
CALL(put, ad_put_flat(X, Y, Z, false))
CALL(put_accumulate, ad_put_flat(X, Y, Z, true))
CALL(scatter_sum, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_SUM, true))
CALL(scatter_sum_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_SUM, false))
CALL(scatter_mean, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_MEAN, true))
CALL(index_mean, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_MEAN, true))
CALL(scatter_mean_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_MEAN, false))
CALL(index_mean_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_MEAN, false))
CALL(scatter_prod, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_PROD, true))
CALL(index_prod, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_PROD, true))
CALL(scatter_prod_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_PROD, false))
CALL(index_prod_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_PROD, false))
CALL(scatter_amax, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMAX, true))
CALL(index_amax, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMAX, true))
CALL(scatter_amax_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMAX, false))
CALL(index_amax_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMAX, false))
CALL(scatter_amin, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMIN, true))
CALL(index_amin, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMIN, true))
CALL(scatter_amin_alone, ad_scatter_reduce(X, 1, Y, Z, AD_SCATTER_AMIN, false))
CALL(index_amin_alone, ad_index_reduce(X, 0, Y, Z, AD_SCATTER_AMIN, false))
CALL(scatter_part, ad_scatter(X, 0, Y, Z))
CALL(embedding_with, ad_embedding_with(X, Y, -1))
CALL(masked_fill_wide, ad_masked_fill(X, Y, -2))
CALL(nonzero, ad_nonzero(X))
CALL(masked_select, ad_masked_select(X, Y))
CALL(masked_select_wide, ad_masked_select(X, Y))
CALL(masked_scatter, ad_masked_scatter(X, Y, Z))
CALL(index_two, ad_index(X, 2, x + 1))
CALL(index_apart, ad_index(X, 3, (ad_var *[]){ Y, NULL, Z }))
CALL(index_inner, ad_index(X, 3, (ad_var *[]){ NULL, Y, Z }))
CALL(index_one, ad_index(X, 2, (ad_var *[]){ NULL, Y }))
CALL(index_put, ad_index_put(X, 2, x + 1, x[3], false))
CALL(index_put_accumulate, ad_index_put(X, 2, x + 1, x[3], true))
CALL(index_put_apart, ad_index_put(X, 3, (ad_var *[]){ Y, NULL, Z }, x[3], false))
CALL(atleast_1d, ad_atleast_1d(X))
CALL(atleast_2d, ad_atleast_2d(X))
CALL(atleast_3d, ad_atleast_3d(X))
CALL(atleast_3d_matrix, ad_atleast_3d(X))
CALL(hstack, ad_hstack(2, x))
CALL(hstack_vectors, ad_hstack(2, x))
CALL(vstack, ad_vstack(2, x))
CALL(dstack, ad_dstack(2, x))
CALL(column_stack, ad_column_stack(2, x))
CALL(block_diag, ad_block_diag(3, x))
CALL(combinations, ad_combinations(X, 3, false))
CALL(combinations_again, ad_combinations(X, 2, true))
CALL(combinations_none, ad_combinations(X, 3, false))
CALL(equal, ad_stack(3, (ad_var *[]){ ad_equal(X, Y), ad_equal(X, Z), ad_equal(X, ad_narrow(X, 0, 0, 2)) }, 0))
CALL(cartesian_prod, ad_cartesian_prod(2, x))
CALL(meshgrid, grid(2, x, false))
CALL(meshgrid_xy, grid(3, x, true))
CALL(movedim, ad_movedim(X, 0, -1))
CALL(movedim_back, ad_movedim(X, 2, 0))
CALL(swapaxes, ad_swapaxes(X, 0, -1))
CALL(rot90, ad_rot90(X, 1, 0, 1))
CALL(rot90_back, ad_rot90(X, -1, 2, 0))
CALL(rot90_half, ad_rot90(X, 6, 0, 1))
CALL(unflatten, ad_unflatten(X, 1, AD_SHAPE(3, -1)))
CALL(unfold, ad_unfold_axis(X, 1, 3, 2))
CALL(unfold_last, ad_unfold_axis(X, -1, 2, 1))
CALL(as_strided, ad_as_strided(X, AD_SHAPE(2, 3), AD_SHAPE(3, 1), 2))
CALL(select_scatter, ad_select_scatter(X, Y, 1, -1))
CALL(diagonal_scatter, ad_diagonal_scatter(X, Y, -1))
CALL(diagonal_scatter_upper, ad_diagonal_scatter(X, Y, 1))
CALL(diagflat, ad_diagflat(X, 1))
CALL(unbind, unbound(X))
CALL(tensor_split, split(X))
CALL(inner, ad_inner(X, Y))
CALL(inner_scalar, ad_inner(X, Y))
CALL(vecdot, ad_vecdot(X, Y, -1))
CALL(tensordot, ad_tensordot(X, Y, 2))
CALL(tensordot_none, ad_tensordot(X, Y, 0))
CALL(tensordot_axes, ad_tensordot_axes(X, Y, 2, (int[]){ 2, 0 }, (int[]){ 0, -1 }))
CALL(kron, ad_kron(X, Y))
CALL(kron_mixed, ad_kron(X, Y))
CALL(cross, ad_cross(X, Y, -1))
CALL(cross_wide, ad_cross(X, Y, 1))
CALL(multi_dot, ad_multi_dot(4, x))
CALL(multi_dot_vectors, ad_multi_dot(3, x))
CALL(addmm, ad_addmm(X, Y, Z, 0.5, 2))
CALL(addmv, ad_addmm(X, Y, Z, 1, -1))
CALL(baddbmm, ad_addmm(X, Y, Z, 0, 2))
CALL(addbmm, ad_addbmm(X, Y, Z, 3, 2))
CALL(addr, ad_addr(X, Y, Z, 3, 2))
CALL(vander, ad_vander(X, 4))
CALL(vander_one, ad_add(ad_vander(X, 1), ad_unsqueeze(X, -1)))
CALL(cov, ad_cov(X, 0))
CALL(cov_vector, ad_cov(X, 1))
CALL(corrcoef, ad_corrcoef(X))
CALL(dist, ad_dist(X, Y, 3))
CALL(pairwise_distance, ad_pairwise_distance(X, Y, 2, 1e-6, true))
CALL(cdist, ad_cdist(X, Y, 2))
CALL(cdist_value, ad_cdist(X, Y, 1))
CALL(pdist, ad_pdist(X, 1.5))
CALL(pdist_value, ad_pdist(X, 2))
CALL(normalize, ad_normalize_axis(X, -1, 2, 1e-12))
CALL(normalize_small, ad_normalize_axis(X, 0, 3, 10))
CALL(renorm, ad_renorm(X, 2, 0, 2))
CALL(diff, ad_diff(X, 2, -1))
CALL(diff_all, ad_diff(X, 3, 0))
CALL(trapezoid, ad_trapezoid(X, NULL, 0.5, -1))
CALL(trapezoid_places, ad_trapezoid(X, Y, 1, 0))
CALL(trapezoid_all, ad_trapezoid(X, Y, 1, 1))
CALL(cumulative_trapezoid, ad_cumulative_trapezoid(X, NULL, 2, -1))
CALL(histc, ad_histc(X, 3, 0, 3))
CALL(histc_all, ad_histc(X, 4, 0, 0))
CALL(histc_one, ad_histc(X, 2, 0, 0))
CALL(bincount, ad_bincount(X, NULL, 5))
CALL(bincount_weights, ad_bincount(X, Y, 4))
CALL(aminmax, both(X, ad_aminmax))
CALL(var_mean, both_moments(X, ad_var_mean))
CALL(std_mean, both_moments(X, ad_std_mean))
CALL(cummax, running(X, ad_cummax))
CALL(cummin, running(X, ad_cummin))
CALL(addcdiv, ad_addcdiv(X, Y, Z, 0.5))
CALL(rsub, ad_rsub(X, Y))
CALL(ldexp, ad_ldexp(X, Y))
CALL(signbit, ad_signbit(X))
CALL(isposinf, ad_isposinf(X))
CALL(isneginf, ad_isneginf(X))
CALL(full_like, ad_full_like(X, 3))
CALL(zeros_like, ad_zeros_like(X))
CALL(ones_like, ad_ones_like(X))
CALL(xlog1py, ad_xlog1py(X, Y))
CALL(xlog1py_zeros, ad_xlog1py(X, Y))
CALL(entr, ad_entr(X))
CALL(entr_edges, ad_entr(X))
CALL(ndtr, ad_ndtr(X))
CALL(ndtr_tail, ad_muls(ad_ndtr(X), 1e18))
CALL(lu, all_of_lu(X, false))
CALL(lu_tall, all_of_lu(X, true))
CALL(lu_solve, solved_by_lu(X, Y))
CALL(householder_product, ad_householder_product(X, Y))
CALL(ormqr, ad_ormqr(X, Y, Z, true, false))
CALL(ormqr_transposed, ad_ormqr(X, Y, Z, true, true))
CALL(ormqr_right, ad_ormqr(X, Y, Z, false, false))
CALL(bessel_j0, ad_bessel_j0(X))
CALL(bessel_j1, ad_bessel_j1(X))
CALL(bessel_y0, ad_bessel_y0(X))
CALL(bessel_y1, ad_bessel_y1(X))
CALL(modified_bessel_k0, ad_modified_bessel_k0(X))
CALL(modified_bessel_k1, ad_modified_bessel_k1(X))
CALL(scaled_modified_bessel_k0, ad_scaled_modified_bessel_k0(X))
CALL(scaled_modified_bessel_k1, ad_scaled_modified_bessel_k1(X))
CALL(airy_ai, ad_airy_ai(X))
CALL(spherical_bessel_j0, ad_spherical_bessel_j0(X))
CALL(i0, ad_i0(X))
CALL(i0e, ad_i0e(X))
CALL(i1, ad_i1(X))
CALL(i1e, ad_i1e(X))
CALL(erfcx, ad_erfcx(X))
CALL(log_ndtr, ad_log_ndtr(X))
CALL(log_ndtr_tail, ad_log_ndtr(X))
CALL(ndtri, ad_ndtri(X))
CALL(zeta, ad_zeta(X, Y))
CALL(gammainc, ad_gammainc(X, Y))
CALL(gammaincc, ad_gammaincc(X, Y))
CALL(mvlgamma, ad_mvlgamma(X, 3))
CALL(chebyshev_polynomial_t, ad_chebyshev_polynomial_t(X, 4))
CALL(chebyshev_polynomial_t_0, ad_chebyshev_polynomial_t(X, 0))
CALL(chebyshev_polynomial_u, ad_chebyshev_polynomial_u(X, 4))
CALL(chebyshev_polynomial_u_0, ad_chebyshev_polynomial_u(X, 0))
CALL(chebyshev_polynomial_v, ad_chebyshev_polynomial_v(X, 4))
CALL(chebyshev_polynomial_v_0, ad_chebyshev_polynomial_v(X, 0))
CALL(chebyshev_polynomial_w, ad_chebyshev_polynomial_w(X, 4))
CALL(chebyshev_polynomial_w_0, ad_chebyshev_polynomial_w(X, 0))
CALL(shifted_chebyshev_polynomial_t, ad_shifted_chebyshev_polynomial_t(X, 4))
CALL(shifted_chebyshev_polynomial_t_0, ad_shifted_chebyshev_polynomial_t(X, 0))
CALL(shifted_chebyshev_polynomial_u, ad_shifted_chebyshev_polynomial_u(X, 4))
CALL(shifted_chebyshev_polynomial_u_0, ad_shifted_chebyshev_polynomial_u(X, 0))
CALL(shifted_chebyshev_polynomial_v, ad_shifted_chebyshev_polynomial_v(X, 4))
CALL(shifted_chebyshev_polynomial_v_0, ad_shifted_chebyshev_polynomial_v(X, 0))
CALL(shifted_chebyshev_polynomial_w, ad_shifted_chebyshev_polynomial_w(X, 4))
CALL(shifted_chebyshev_polynomial_w_0, ad_shifted_chebyshev_polynomial_w(X, 0))
CALL(hermite_polynomial_h, ad_hermite_polynomial_h(X, 4))
CALL(hermite_polynomial_h_0, ad_hermite_polynomial_h(X, 0))
CALL(hermite_polynomial_he, ad_hermite_polynomial_he(X, 4))
CALL(hermite_polynomial_he_0, ad_hermite_polynomial_he(X, 0))
CALL(laguerre_polynomial_l, ad_laguerre_polynomial_l(X, 4))
CALL(laguerre_polynomial_l_0, ad_laguerre_polynomial_l(X, 0))
CALL(legendre_polynomial_p, ad_legendre_polynomial_p(X, 4))
CALL(legendre_polynomial_p_0, ad_legendre_polynomial_p(X, 0))
CALL(bce_weighted, ad_bce_weighted(X, Y, Z, AD_MEAN))
CALL(bce_logits_weighted, ad_bce_logits_weighted(X, Y, Z, x[3], AD_NONE))
CALL(multilabel_soft_margin, ad_multilabel_soft_margin(X, Y, Z, AD_NONE))
CALL(margin_ranking, ad_margin_ranking(X, Y, Z, 0.5, AD_SUM))
CALL(triplet_margin, ad_triplet_margin(X, Y, Z, (ad_triplet_opts){ .reduction = AD_NONE }))
CALL(triplet_margin_swap, ad_triplet_margin(X, Y, Z, (ad_triplet_opts){ .margin = 2, .p = 1, .swap = true }))
CALL(poisson_nll, ad_poisson_nll(X, Y, (ad_poisson_opts){ .full = true }))
CALL(poisson_nll_rates, ad_poisson_nll(X, Y, (ad_poisson_opts){ .plain_input = true, .reduction = AD_NONE }))
CALL(gaussian_nll, ad_gaussian_nll(X, Y, Z, (ad_gaussian_opts){ .full = true }))
CALL(gaussian_nll_small, ad_gaussian_nll(X, Y, Z, (ad_gaussian_opts){ .eps = 0.1, .reduction = AD_NONE }))
CALL(hinge_embedding_wide, ad_hinge_embedding(X, Y, 0.5, AD_NONE))
CALL(multi_margin_alone, ad_multi_margin(X, ad_reshape(Y, AD_SCALAR), 1, 1, NULL, AD_MEAN))
CALL(multi_margin_alone_each, ad_multi_margin(X, ad_reshape(Y, AD_SCALAR), 2, 0.5, NULL, AD_NONE))
CALL(ctc, ad_ctc(ad_log_softmax(X, -1), Y, Z, x[3], (ad_ctc_opts){ 0 }))
CALL(ctc_infinite, ad_ctc(ad_log_softmax(X, -1), Y, Z, x[3], (ad_ctc_opts){ 0, true, AD_NONE }))
CALL(ctc_alone, ad_ctc(ad_log_softmax(X, -1), Y, Z, x[3], (ad_ctc_opts){ 2, false, AD_NONE }))
CALL(einsum_three, ad_einsum_n("ij,jk,kl->il", 3, x))
CALL(einsum_four, ad_einsum_n("ab,bc,dca,d->bd", 4, x))
CALL(einsum_implied, ad_einsum_n("zb,b,az", 3, x))
CALL(einsum_dots, ad_einsum_n("...i,ij,...j->...", 3, x))
CALL(einsum_repeated, ad_einsum_n("ii,i,aia->", 3, x))
CALL(einsum_shared, ad_einsum_n("ij,ij,ij->i", 3, x))
CALL(einsum_one, ad_einsum_n("ij->ji", 1, x))
CALL(einsum_many, ad_einsum_n("ab,bc,cd,d,ab,bc->a", 6, (ad_var *[]){ X, Y, Z, x[3], X, Y }))
CALL(matrix_norm_fro, ad_matrix_norm(X, AD_NORM_FRO, false))
CALL(matrix_norm_nuc, ad_matrix_norm(X, AD_NORM_NUC, true))
CALL(matrix_norm_2, ad_matrix_norm(X, AD_NORM_2, false))
CALL(matrix_norm_minus_2, ad_matrix_norm(X, AD_NORM_MINUS_2, true))
CALL(matrix_norm_1, ad_matrix_norm(X, AD_NORM_1, false))
CALL(matrix_norm_minus_1, ad_matrix_norm(X, AD_NORM_MINUS_1, true))
CALL(matrix_norm_inf, ad_matrix_norm(X, AD_NORM_INF, false))
CALL(matrix_norm_minus_inf, ad_matrix_norm(X, AD_NORM_MINUS_INF, false))
CALL(cond_2, ad_cond(X, AD_NORM_2))
CALL(cond_minus_2, ad_cond(X, AD_NORM_MINUS_2))
CALL(cond_1, ad_cond(X, AD_NORM_1))
CALL(cond_fro, ad_cond(X, AD_NORM_FRO))
CALL(cond_nuc, ad_cond(X, AD_NORM_NUC))
CALL(cholesky_solve, ad_cholesky_solve(X, ad_tril(Y, 0), false))
CALL(cholesky_solve_upper, ad_cholesky_solve(X, ad_triu(Y, 0), true))
CALL(cholesky_inverse, ad_cholesky_inverse(ad_tril(X, 0), false))
CALL(cholesky_inverse_upper, ad_cholesky_inverse(ad_triu(X, 0), true))
CALL(tensorinv, ad_tensorinv(X, 2))
CALL(tensorinv_one, ad_tensorinv(X, 1))
CALL(tensorsolve, ad_tensorsolve(X, Y))
CALL(masked_sum, ad_masked_sum(X, Y, 1, (int[]){ 1 }, true))
CALL(masked_sum_all, ad_masked_sum(X, Y, 0, NULL, false))
CALL(masked_prod, ad_masked_prod(X, Y, 1, (int[]){ 0 }, false))
CALL(masked_amax, ad_masked_amax(X, Y, 1, (int[]){ 1 }, false))
CALL(masked_amin, ad_masked_amin(X, Y, 1, (int[]){ 1 }, false))
CALL(masked_mean, ad_masked_mean(X, Y, 1, (int[]){ 1 }, false))
CALL(masked_logsumexp, ad_masked_logsumexp(X, Y, 1, (int[]){ 1 }, false))
CALL(masked_norm, ad_masked_norm(X, Y, 3, 1, (int[]){ 1 }, false))
CALL(masked_norm_least, ad_masked_norm(X, Y, -INFINITY, 1, (int[]){ 1 }, false))
CALL(masked_var, ad_masked_var(X, Y, 1, (int[]){ 1 }, 1, false))
CALL(masked_std, ad_masked_std(X, Y, 1, (int[]){ 1 }, 0, true))
CALL(masked_argmax, ad_masked_argmax(X, Y, 1, false))
CALL(masked_argmin, ad_masked_argmin(X, Y, 1, false))
CALL(masked_median, ad_masked_median(X, Y, 1, false))
CALL(masked_softmax, ad_masked_softmax(X, Y, 1))
CALL(masked_log_softmax, ad_mul(Y, ad_nan_to_num(ad_masked_log_softmax(X, Y, 1), 0, 0, 0)))
CALL(masked_softmin, ad_masked_softmin(X, Y, 1))
CALL(masked_cumsum, ad_masked_cumsum(X, Y, 1))
CALL(masked_cumprod, ad_masked_cumprod(X, Y, 1))
CALL(masked_normalize, ad_masked_normalize(X, Y, 1, 2, 1e-12))
CALL(softmin, ad_softmin(X, 0))
CALL(nanmedian, ad_nanmedian(X))
CALL(nanmedian_axis, ad_nanmedian_axis(X, 1, true))
CALL(nanmedian_none, ad_nanmedian_axis(X, 1, false))
CALL(nanquantile, ad_nanquantile(X, 0.3))
CALL(nanquantile_axis, ad_nanquantile_axis(X, 0, 0.25, false))
CALL(nanquantile_none, ad_nanquantile_axis(X, 1, 0.75, false))
CALL(unique_consecutive, both_runs(X))
CALL(isin, ad_isin(X, Y))
CALL(allclose, ad_stack(2, (ad_var *[]){ ad_allclose(X, Y, 1e-5, 1e-8, false), ad_allclose(X, Y, 0, 0, false) }, 0))
CALL(dropout_channels, ad_dropout_channels(X, 0.5, false))
CALL(embedding_bag, ad_embedding_bag(X, Y, AD_SCATTER_MEAN))
CALL(embedding_bag_value, ad_embedding_bag(X, Y, AD_SCATTER_SUM))
CALL(embedding_bag_max, ad_embedding_bag(X, Y, AD_SCATTER_AMAX))
CALL(multilabel_margin_value, ad_multilabel_margin(X, Y, AD_NONE))
CALL(multilabel_margin, ad_multilabel_margin(X, Y, AD_MEAN))
CALL(linspace, ad_linspace(g, ad_dtype_of(X), -1, 2, 7))
CALL(linspace_one, ad_linspace(g, ad_dtype_of(X), 3, 5, 1))
CALL(logspace, ad_logspace(g, ad_dtype_of(X), -1, 2, 4, 10))
CALL(logspace_base_2, ad_logspace(g, ad_dtype_of(X), 0, 5, 6, 2))
CALL(eye_with, ad_eye_with(g, ad_dtype_of(X), 2, 4))
CALL(eye_with_tall, ad_eye_with(g, ad_dtype_of(X), 3, 2))
CALL(tril_indices, ad_tril_indices(g, ad_dtype_of(X), 3, 4, 1))
CALL(triu_indices, ad_triu_indices(g, ad_dtype_of(X), 3, 4, -1))

static const struct {
    const char *name;
    call_fn *f;
} calls[] = {
#define ROW(name)                                                                                                      \
    { #name, call_##name }
    ROW(index_fill),
    ROW(index_fill_last),
    ROW(put),
    ROW(put_accumulate),
    ROW(scatter_sum),
    ROW(scatter_sum_alone),
    ROW(scatter_mean),
    ROW(index_mean),
    ROW(scatter_mean_alone),
    ROW(index_mean_alone),
    ROW(scatter_prod),
    ROW(index_prod),
    ROW(scatter_prod_alone),
    ROW(index_prod_alone),
    ROW(scatter_amax),
    ROW(index_amax),
    ROW(scatter_amax_alone),
    ROW(index_amax_alone),
    ROW(scatter_amin),
    ROW(index_amin),
    ROW(scatter_amin_alone),
    ROW(index_amin_alone),
    ROW(scatter_part),
    ROW(embedding_with),
    ROW(masked_fill_wide),
    ROW(nonzero),
    ROW(masked_select),
    ROW(masked_select_wide),
    ROW(masked_scatter),
    ROW(index_two),
    ROW(index_apart),
    ROW(index_inner),
    ROW(index_one),
    ROW(index_put),
    ROW(index_put_accumulate),
    ROW(index_put_apart),
    ROW(atleast_1d),
    ROW(atleast_2d),
    ROW(atleast_3d),
    ROW(atleast_3d_matrix),
    ROW(hstack),
    ROW(hstack_vectors),
    ROW(vstack),
    ROW(dstack),
    ROW(column_stack),
    ROW(block_diag),
    ROW(combinations),
    ROW(combinations_again),
    ROW(combinations_none),
    ROW(equal),
    ROW(cartesian_prod),
    ROW(meshgrid),
    ROW(meshgrid_xy),
    ROW(movedim),
    ROW(movedim_back),
    ROW(swapaxes),
    ROW(rot90),
    ROW(rot90_back),
    ROW(rot90_half),
    ROW(unflatten),
    ROW(unfold),
    ROW(unfold_last),
    ROW(as_strided),
    ROW(select_scatter),
    ROW(diagonal_scatter),
    ROW(diagonal_scatter_upper),
    ROW(diagflat),
    ROW(unbind),
    ROW(tensor_split),
    ROW(inner),
    ROW(inner_scalar),
    ROW(vecdot),
    ROW(tensordot),
    ROW(tensordot_none),
    ROW(tensordot_axes),
    ROW(kron),
    ROW(kron_mixed),
    ROW(cross),
    ROW(cross_wide),
    ROW(multi_dot),
    ROW(multi_dot_vectors),
    ROW(addmm),
    ROW(addmv),
    ROW(baddbmm),
    ROW(addbmm),
    ROW(addr),
    ROW(vander),
    ROW(vander_one),
    ROW(cov),
    ROW(cov_vector),
    ROW(corrcoef),
    ROW(dist),
    ROW(pairwise_distance),
    ROW(cdist),
    ROW(cdist_value),
    ROW(pdist),
    ROW(pdist_value),
    ROW(normalize),
    ROW(normalize_small),
    ROW(renorm),
    ROW(diff),
    ROW(diff_all),
    ROW(trapezoid),
    ROW(trapezoid_places),
    ROW(trapezoid_all),
    ROW(cumulative_trapezoid),
    ROW(histc),
    ROW(histc_all),
    ROW(histc_one),
    ROW(bincount),
    ROW(bincount_weights),
    ROW(aminmax),
    ROW(var_mean),
    ROW(std_mean),
    ROW(cummax),
    ROW(cummin),
    ROW(addcdiv),
    ROW(rsub),
    ROW(ldexp),
    ROW(signbit),
    ROW(isposinf),
    ROW(isneginf),
    ROW(full_like),
    ROW(zeros_like),
    ROW(ones_like),
    ROW(xlog1py),
    ROW(xlog1py_zeros),
    ROW(entr),
    ROW(entr_edges),
    ROW(ndtr),
    ROW(ndtr_tail),
    ROW(lu),
    ROW(lu_tall),
    ROW(lu_solve),
    ROW(householder_product),
    ROW(ormqr),
    ROW(ormqr_transposed),
    ROW(ormqr_right),
    ROW(bessel_j0),
    ROW(bessel_j1),
    ROW(bessel_y0),
    ROW(bessel_y1),
    ROW(modified_bessel_k0),
    ROW(modified_bessel_k1),
    ROW(scaled_modified_bessel_k0),
    ROW(scaled_modified_bessel_k1),
    ROW(airy_ai),
    ROW(spherical_bessel_j0),
    ROW(i0),
    ROW(i0e),
    ROW(i1),
    ROW(i1e),
    ROW(erfcx),
    ROW(log_ndtr),
    ROW(log_ndtr_tail),
    ROW(ndtri),
    ROW(zeta),
    ROW(gammainc),
    ROW(gammaincc),
    ROW(mvlgamma),
    ROW(chebyshev_polynomial_t),
    ROW(chebyshev_polynomial_t_0),
    ROW(chebyshev_polynomial_u),
    ROW(chebyshev_polynomial_u_0),
    ROW(chebyshev_polynomial_v),
    ROW(chebyshev_polynomial_v_0),
    ROW(chebyshev_polynomial_w),
    ROW(chebyshev_polynomial_w_0),
    ROW(shifted_chebyshev_polynomial_t),
    ROW(shifted_chebyshev_polynomial_t_0),
    ROW(shifted_chebyshev_polynomial_u),
    ROW(shifted_chebyshev_polynomial_u_0),
    ROW(shifted_chebyshev_polynomial_v),
    ROW(shifted_chebyshev_polynomial_v_0),
    ROW(shifted_chebyshev_polynomial_w),
    ROW(shifted_chebyshev_polynomial_w_0),
    ROW(hermite_polynomial_h),
    ROW(hermite_polynomial_h_0),
    ROW(hermite_polynomial_he),
    ROW(hermite_polynomial_he_0),
    ROW(laguerre_polynomial_l),
    ROW(laguerre_polynomial_l_0),
    ROW(legendre_polynomial_p),
    ROW(legendre_polynomial_p_0),
    ROW(bce_weighted),
    ROW(bce_logits_weighted),
    ROW(multilabel_soft_margin),
    ROW(margin_ranking),
    ROW(triplet_margin),
    ROW(triplet_margin_swap),
    ROW(poisson_nll),
    ROW(poisson_nll_rates),
    ROW(gaussian_nll),
    ROW(gaussian_nll_small),
    ROW(hinge_embedding_wide),
    ROW(multi_margin_alone),
    ROW(multi_margin_alone_each),
    ROW(ctc),
    ROW(ctc_infinite),
    ROW(ctc_alone),
    ROW(einsum_three),
    ROW(einsum_four),
    ROW(einsum_implied),
    ROW(einsum_dots),
    ROW(einsum_repeated),
    ROW(einsum_shared),
    ROW(einsum_one),
    ROW(einsum_many),
    ROW(matrix_norm_fro),
    ROW(matrix_norm_nuc),
    ROW(matrix_norm_2),
    ROW(matrix_norm_minus_2),
    ROW(matrix_norm_1),
    ROW(matrix_norm_minus_1),
    ROW(matrix_norm_inf),
    ROW(matrix_norm_minus_inf),
    ROW(cond_2),
    ROW(cond_minus_2),
    ROW(cond_1),
    ROW(cond_fro),
    ROW(cond_nuc),
    ROW(cholesky_solve),
    ROW(cholesky_solve_upper),
    ROW(cholesky_inverse),
    ROW(cholesky_inverse_upper),
    ROW(tensorinv),
    ROW(tensorinv_one),
    ROW(tensorsolve),
    ROW(masked_sum),
    ROW(masked_sum_all),
    ROW(masked_prod),
    ROW(masked_amax),
    ROW(masked_amin),
    ROW(masked_mean),
    ROW(masked_logsumexp),
    ROW(masked_norm),
    ROW(masked_norm_least),
    ROW(masked_var),
    ROW(masked_std),
    ROW(masked_argmax),
    ROW(masked_argmin),
    ROW(masked_median),
    ROW(masked_softmax),
    ROW(masked_log_softmax),
    ROW(masked_softmin),
    ROW(masked_cumsum),
    ROW(masked_cumprod),
    ROW(masked_normalize),
    ROW(softmin),
    ROW(nanmedian),
    ROW(nanmedian_axis),
    ROW(nanmedian_none),
    ROW(nanquantile),
    ROW(nanquantile_axis),
    ROW(nanquantile_none),
    ROW(unique_consecutive),
    ROW(isin),
    ROW(allclose),
    ROW(dropout_channels),
    ROW(embedding_bag),
    ROW(embedding_bag_value),
    ROW(embedding_bag_max),
    ROW(multilabel_margin_value),
    ROW(multilabel_margin),
    ROW(linspace),
    ROW(linspace_one),
    ROW(logspace),
    ROW(logspace_base_2),
    ROW(eye_with),
    ROW(eye_with_tall),
    ROW(tril_indices),
    ROW(triu_indices),
};

static int find_call(const char *name) {
    for (int i = 0; i < COUNT(calls); i++)
        if (strcmp(calls[i].name, name) == 0) return i;
    fail_msg("functions.txt has the case %s, which test_functions.c has not", name);
    return -1;
}

/* ---- the file: a line is a word and an array, as "value [2,3] 1 2 3 4 5 6" ------------------------------- */

static const char *behind(const char *at, const char *word) {
    size_t n = strlen(word);
    return strncmp(at, word, n) == 0 && at[n] == ' ' ? at + n + 1 : NULL;
}

/* Reads a shape, and moves *at to the numbers. */
static ad_shape read_shape(const char **at) {
    ad_shape s = AD_SCALAR;
    for ((*at)++; **at != ']'; *at += **at == ',') {
        char *end;
        s.dim[s.ndim++] = strtoll(*at, &end, 10);
        assert_true(end > *at && s.ndim <= AD_MAX_NDIM);
        *at = end;
    }
    ++*at;
    return s;
}

static ad_var *read_array(ad_graph *g, ad_dtype t, bool param, const char *at) {
    ad_shape s = read_shape(&at);
    ad_var *x = param ? ad_param(g, t, NULL, s) : ad_zeros(g, t, s);
    void *data = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        char *end;
        ad_write_element(t, data, i, strtod(at, &end));
        assert_true(end > at);
        at = end;
    }
    assert_ok(g);
    return x;
}

/* Compares an array with the line at `at`. */
static void compare(const char *name, const char *what, ad_var *got, const char *at) {
    bool wide = ad_dtype_of(got) == AD_F64;
    bool second = what[0] == 's'; /* PyTorch's trigamma has ten digits */
    double tol = wide ? (second ? 1e-9 : 1e-11) : second ? 2e-3 : 2e-4;
    ad_shape s = read_shape(&at);
    if (!ad_shape_equal(s, ad_shape_of(got)))
        fail_msg("%s: %s is %s, not %s", name, what, ad_shape_str(ad_shape_of(got)).text, ad_shape_str(s).text);
    for (int64_t i = 0; i < ad_numel(got); i++) {
        char *end;
        double want = strtod(at, &end);
        assert_true(end > at);
        at = end;
        if (is_close(ad_at(got, i), want, tol)) continue;
        fail_msg("%s, %s, element %lld of %s: %.17g is not %.17g", name, what, (long long)i,
                 ad_dtype_name(ad_dtype_of(got)), ad_at(got, i), want);
    }
}

/* ---- one case -------------------------------------------------------------------------------------------- */

/* The sum of the elements of x times sample_weight. */
static ad_var *weighted(ad_var *x) {
    ad_var *w = ad_zeros(ad_graph_of(x), ad_dtype_of(x), ad_shape_of(x));
    void *data = ad_data_mut(w);
    for (int64_t i = 0; i < ad_numel(w); i++) ad_write_element(ad_dtype_of(w), data, i, sample_weight(i));
    return ad_sum(ad_mul(x, w));
}

static const char *next_line(const char *at) {
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at + strlen(at);
}

/* Compares n arrays with the lines "what [..] ..", and returns what follows. */
static const char *compare_all(const char *name, const char *what, int n, ad_var *const got[], const char *at) {
    for (int i = 0; i < n; i++, at = next_line(at)) {
        if (behind(at, what) == NULL) fail_msg("%s: functions.txt has no line \"%s\"", name, what);
        compare(name, what, got[i], behind(at, what));
    }
    return at;
}

/* ad_backward gives what ad_gradient gives. */
static void compare_backward(const char *name, ad_var *y, int n, ad_var *const xs[], ad_var *const dxs[]) {
    assert_int_equal(ad_backward(y), AD_OK);
    double tol = ad_dtype_of(y) == AD_F64 ? 1e-11 : 2e-4;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < ad_numel(xs[i]); k++)
            if (!is_close(ad_grad_at(xs[i], k), ad_at(dxs[i], k), tol))
                fail_msg("%s: operand %d, element %lld: backward %g, gradient %g", name, i, (long long)k,
                         ad_grad_at(xs[i], k), ad_at(dxs[i], k));
}

static const char *next_case(const char *at) {
    while (*at != '\0' && behind(at, "function") == NULL) at = next_line(at);
    return at;
}

/* The gradient of y, zeros where y is a constant. */
static void differentiate(const char *name, ad_var *y, int n, ad_var *const xs[], ad_var *dxs[]) {
    if (ad_requires_grad(y) && ad_gradient(y, n, xs, dxs) != AD_OK) fail_msg("%s: %s", name, ad_error(ad_graph_of(y)));
    for (int i = 0; i < n && !ad_requires_grad(y); i++) dxs[i] = ad_zeros_like(xs[i]);
}

static const char *check_case(ad_graph *g, ad_dtype t, int call, const char *at) {
    const char *name = calls[call].name;
    ad_var *x[MOST_OPERANDS] = { NULL }, *takers[MOST_OPERANDS], *d[MOST_OPERANDS], *dd[MOST_OPERANDS];
    int n = 0, k = 0;
    for (; behind(at, "param") || behind(at, "tensor"); at = next_line(at), n++) {
        bool param = behind(at, "param") != NULL;
        assert_true(n < MOST_OPERANDS);
        x[n] = read_array(g, t, param, behind(at, param ? "param" : "tensor"));
        if (param) takers[k++] = x[n];
    }
    ad_var *y = calls[call].f(g, x);
    if (ad_error_code(g) == AD_EABSENT) { /* without LAPACK */
        ad_clear_error(g);
        return next_case(at);
    }
    if (!ad_ok(g)) fail_msg("%s: %s", name, ad_error(g));
    at = compare_all(name, "value", 1, &y, at);
    if (k == 0) return at;
    differentiate(name, y = ad_cast(weighted(y), t), k, takers, d);
    if (ad_requires_grad(y)) compare_backward(name, y, k, takers, d);
    at = compare_all(name, "grad", k, d, at);
    ad_var *sum = weighted(d[0]);
    for (int i = 1; i < k; i++) sum = ad_add(sum, weighted(d[i]));
    differentiate(name, sum, k, takers, dd);
    return compare_all(name, "second", k, dd, at);
}

static void every_function(ad_dtype t) {
    ad_graph *g = ad_graph_new();
    char *text = whole_file(source_path("tests/reference/functions.txt"));
    bool seen[COUNT(calls)] = { false };
    assert_non_null(text);
    for (const char *at = next_line(text); *at != '\0';) {
        char name[80];
        assert_int_equal(sscanf(at, "function %79s", name), 1);
        ad_mark m = ad_begin(g);
        int call = find_call(name);
        seen[call] = true;
        at = check_case(g, t, call, next_line(at));
        ad_end(g, m);
    }
    for (int i = 0; i < COUNT(calls); i++)
        if (!seen[i]) fail_msg("functions.txt has no case %s", calls[i].name);
    free(text);
    ad_graph_free(g);
}

static void in_f64(void **state) {
    (void)state;
    every_function(AD_F64);
}
static void in_f32(void **state) {
    (void)state;
    every_function(AD_F32);
}

/* ---- what does not fit --------------------------------------------------------------------------------------- */

static void nothing_to_do(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ 3, -1, 2, 5 }, AD_SHAPE(2, 2)), *none = ad_diff(x, 0, 1);
    assert_shape(none, AD_SHAPE(2, 2));
    for (int i = 0; i < 4; i++) assert_close(ad_at(none, i), ad_at(x, i), 0);
    ad_var *zero = ad_renorm(x, 2, 0, 0); /* a norm of 0 is a bound like others */
    for (int i = 0; i < 4; i++) assert_close(ad_at(zero, i), 0, 0);
    assert_ok(g);
    ad_graph_free(g);
}

/* The sentences name the function that was called. */
static void refusals(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3)), *v = ad_ones(g, AD_F64, AD_SHAPE(4));
    ad_var *cube = ad_ones(g, AD_F64, AD_SHAPE(2, 2, 2)), *cubes[] = { cube, cube }, *minus = ad_neg(x);
    const int both[] = { 0, 0 };
#define REFUSED(call, code, says) assert_fails(g, call, code, says)
    REFUSED(ad_block_diag(2, cubes), AD_ESHAPE, "block_diag: [2,2,2]: takes matrices, vectors and scalars");
    REFUSED(ad_cartesian_prod(2, cubes), AD_ESHAPE, "cartesian_prod: [2,2,2]: takes vectors and scalars");
    REFUSED(ad_combinations(x, 2, false), AD_ESHAPE, "combinations: [2,3]: takes a vector, and 1 element or more");
    REFUSED(ad_combinations(ad_ones(g, AD_F64, AD_SHAPE(100)), 50, false), AD_EVALUE, "50 of them have too many");
    REFUSED(ad_movedim(x, 2, 0), AD_ESHAPE, "movedim: [2,3]: axis 2");
    REFUSED(ad_swapaxes(x, 0, -3), AD_ESHAPE, "swapaxes: [2,3]: axis -3");
    REFUSED(ad_rot90(x, 1, 0, -2), AD_ESHAPE, "rot90: [2,3]: axis 0 is named twice");
    REFUSED(ad_unflatten(x, 1, AD_SHAPE(2, 2)), AD_ESHAPE, "unflatten: [2,3]: axis 1 has 3 elements");
    REFUSED(ad_unflatten(x, 1, AD_SHAPE(2, -1)), AD_ESHAPE, "which sizes [2,-1] do not have");
    REFUSED(ad_unfold_axis(x, 1, 4, 1), AD_EVALUE, "unfold_axis: [2,3]: windows of 4 elements, 1 apart, of an axis with 3");
    REFUSED(ad_as_strided(x, AD_SHAPE(3), AD_SHAPE(2), 2), AD_EVALUE, "as_strided: [2,3]: shape [3], strides [2]");
    REFUSED(ad_select_scatter(x, v, 0, 0), AD_ESHAPE, "select_scatter: [2,3]: src must be [3]");
    REFUSED(ad_select_scatter(x, v, 0, 2), AD_EVALUE, "index 2 is not one of -2..1");
    REFUSED(ad_diagonal_scatter(x, v, 0), AD_ESHAPE, "diagonal_scatter: [2,3]: src must be [2]");
    ad_var *seven[] = { v, v, v, v, v, v, v }, *grid[] = { x, x, x, x, x, x, x };
    assert_int_equal(ad_meshgrid(7, seven, false, grid), AD_EVALUE);
    assert_contains(ad_error(g), "meshgrid: 7 vectors"), ad_clear_error(g);
    for (int i = 0; i < 7; i++) assert_true(ad_is_nil(grid[i]));
    REFUSED(ad_diff(x, -1, 0), AD_EVALUE, "diff: [2,3]: -1 differences");
    REFUSED(ad_trapezoid(x, v, 1, 1), AD_ESHAPE, "trapezoid: [2,3]: the places must be [3]");
    REFUSED(ad_histc(x, 0, 0, 1), AD_EVALUE, "histc: [2,3]: 0 bins from 0 to 1");
    REFUSED(ad_bincount(ad_neg(v), NULL, 3), AD_EVALUE, "bincount: [4]: element 0 is negative");
    REFUSED(ad_tensordot_axes(x, x, 2, both, both), AD_ESHAPE, "tensordot: [2,3]: axis 0 is named twice");
    REFUSED(ad_tensordot(x, x, AD_MAX_NDIM + 1), AD_ESHAPE, "tensordot: [2,3]: 7 axes");
    REFUSED(ad_tensordot(x, x, 1), AD_ESHAPE, "tensordot: [2,3]: axis -1 of it and axis 0 of [2,3] have other sizes");
    REFUSED(ad_tensordot(x, x, 7), AD_ESHAPE, "tensordot: [2,3]: 7 axes");
    REFUSED(ad_kron(ad_unsqueeze(cube, 0), v), AD_ESHAPE, "kron: [1,2,2,2]: takes at most 3 dimensions");
    REFUSED(ad_cross(x, ad_unsqueeze(x, 0), 1), AD_ESHAPE,
            "cross: [2,3]: axis 1 must have 3 elements in both operands");
    REFUSED(ad_multi_dot(2, cubes), AD_ESHAPE, "multi_dot: [2,2,2]: operand 0 is [2,2,2]");
    REFUSED(ad_cov(cube, 1), AD_ESHAPE, "cov: [2,2,2]: takes [variables, observations]");
    REFUSED(ad_cdist(x, v, 2), AD_ESHAPE, "cdist: [2,3]: and [4]: takes [..,n,d] and [..,m,d]");
    REFUSED(ad_pdist(v, 2), AD_ESHAPE, "pdist: [4]: takes rows [n,d]");
    REFUSED(ad_mvlgamma(x, 0), AD_EVALUE, "mvlgamma: [2,3]: p is 0");
    REFUSED(ad_hermite_polynomial_h(x, -1), AD_EVALUE, "hermite_polynomial_h: [2,3]: degree -1");
    REFUSED(ad_matrix_norm(v, AD_NORM_1, false), AD_ESHAPE, "matrix_norm: [4]: takes matrices");
    REFUSED(ad_matrix_norm(x, (ad_matrix_norm_kind)8, false), AD_EVALUE, "8 is no norm");
    REFUSED(ad_tensorinv(x, 1), AD_ESHAPE, "tensorinv: [2,3]: the first 1 axes must have as many elements");
    REFUSED(ad_tensorsolve(x, v), AD_ESHAPE, "tensorsolve: [2,3]: and b [4]");
    REFUSED(ad_nanquantile(x, 1.5), AD_EVALUE, "nanquantile: [6]: q is 1.5");
    REFUSED(ad_dropout_channels(v, 0.5, true), AD_ESHAPE, "dropout_channels: [4]: takes arrays [n,c,..]");
    REFUSED(ad_bce_weighted(x, x, v, AD_MEAN), AD_ESHAPE, "bce_weighted: [2,3]: weights [4] do not broadcast");
    REFUSED(ad_margin_ranking(x, x, v, 0, AD_MEAN), AD_ESHAPE, "margin_ranking: [2,3] x [2,3] x [4]: the operands");
    REFUSED(ad_margin_ranking(x, x, x, 0, AD_BATCHMEAN), AD_EVALUE, "margin_ranking: [2,3]: 3 is not a reduction");
    REFUSED(ad_poisson_nll(x, v, (ad_poisson_opts){ 0 }), AD_ESHAPE, "poisson_nll: [2,3] x [4]: the operands");
    REFUSED(ad_gaussian_nll(x, x, minus, (ad_gaussian_opts){ 0 }), AD_EVALUE, "variance -1 at element 0 is negative");
    REFUSED(ad_gaussian_nll(x, x, v, (ad_gaussian_opts){ 0 }), AD_ESHAPE, "gaussian_nll: [2,3]: variances [4]");
    REFUSED(ad_ctc(x, v, v, v, (ad_ctc_opts){ 0 }), AD_ESHAPE, "ctc: [2,1,3] x [1,4] x [4] x [4]: takes log prob");
    ad_var *narrow = ad_ones(g, AD_F32, AD_SHAPE(2, 3));
    REFUSED(ad_kron(x, narrow), AD_EDTYPE, "kron: operands of two dtypes, f64 and f32; convert one with ad_cast");
    REFUSED(ad_hstack(2, (ad_var *[]){ x, narrow }), AD_EDTYPE, "hstack: operands of two dtypes");
    REFUSED(ad_dist(x, v, 2), AD_ESHAPE, "dist: [2,3] x [4]: shapes do not broadcast");
    REFUSED(ad_pairwise_distance(x, v, 2, 0, true), AD_ESHAPE, "pairwise_distance: [2,3] x [4]: shapes do not");
    REFUSED(ad_triplet_margin(x, x, v, (ad_triplet_opts){ 0 }), AD_ESHAPE, "triplet_margin: [2,3] x [2,3] x [4]: ");
    REFUSED(ad_vecdot(x, v, 0), AD_ESHAPE, "vecdot: [2,3] x [4]: shapes do not broadcast");
    REFUSED(ad_addcdiv(x, v, x, 1), AD_ESHAPE, "addcdiv: [2,3] x [4] x [2,3]: shapes do not broadcast");
    REFUSED(ad_masked_softmax(x, v, 0), AD_ESHAPE, "masked_softmax: [2,3] x [4]: shapes do not broadcast");
    ad_var *parts[2];
    assert_int_equal(ad_tensor_split(x, 0, 0, parts), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "tensor_split: [2,3]: 0 parts");
    assert_int_equal(ad_unbind(x, 1, 2, parts), AD_EVALUE);
    assert_fails(g, parts[0], AD_EVALUE, "unbind: [2,3]: axis 1 has 3 elements; there is space for 2 parts");
    assert_int_equal(ad_cummax(x, 3, parts), AD_ESHAPE);
    assert_fails(g, parts[1], AD_ESHAPE, "cummax: [2,3]: axis 3");
    ad_graph_free(g);
}

/* What is wrong in the numbers of ctc. */
static void refusals_of_ctc(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_log_softmax(ad_ones(g, AD_F32, AD_SHAPE(3, 2, 3)), -1), *labels = ad_ones(g, AD_F32, AD_SHAPE(2, 2));
    ad_var *two = ad_full(g, AD_F32, 2, AD_SHAPE(2)), *four = ad_full(g, AD_F32, 4, AD_SHAPE(2));
    REFUSED(ad_ctc(x, labels, four, two, (ad_ctc_opts){ 0 }), AD_EVALUE, "times of sequence 0 is 4, not one of 0..3");
    REFUSED(ad_ctc(x, labels, two, four, (ad_ctc_opts){ 0 }), AD_EVALUE, "labels of sequence 0 is 4, not one of 0..2");
    REFUSED(ad_ctc(x, ad_muls(labels, 3), two, two, (ad_ctc_opts){ 0 }), AD_EVALUE, "label 0 of sequence 0 is 3");
    REFUSED(ad_ctc(x, labels, two, two, (ad_ctc_opts){ .blank = 3 }), AD_EVALUE, "blank is 3, not one of 0..2");
    ad_graph_free(g);
}

/* 2^24 + 2: in f32 adding 1 stops at 2^24. */
static void counts_above_2_to_24(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *three = ad_zeros(g, AD_F32, AD_SHAPE(3)), *w = ad_param(g, AD_F32, (float[]){ 0x1p24f, 1, 1 }, AD_SHAPE(3));
    ad_var *sums = ad_bincount(three, w, 1);
    assert_int_equal(ad_dtype_of(sums), AD_F32);
    assert_true(ad_item(sums) == 0x1p24 + 2);
    ad_backward(sums);
    assert_true(ad_grad_at(w, 2) == 1);
    if (!test_quick()) {
        ad_var *n = ad_bincount(ad_zeros(g, AD_F32, AD_SHAPE((1 << 24) + 2)), NULL, 2);
        assert_int_equal(ad_dtype_of(n), AD_F32);
        assert_true(ad_at(n, 0) == 0x1p24 + 2 && ad_at(n, 1) == 0);
    }
    assert_true(ad_ok(g));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_f64), cmocka_unit_test(in_f32), cmocka_unit_test(nothing_to_do),
                                        cmocka_unit_test(refusals),
                                        cmocka_unit_test(refusals_of_ctc), cmocka_unit_test(counts_above_2_to_24) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
