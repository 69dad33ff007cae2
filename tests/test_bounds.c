/* test_bounds.c: ops with impossible shapes, sizes and axes: each call gives a result, or nil and an error, at once. */
#include "tests/common.h"

#include "autodiff/extend.h"
#include "nn/nn.h"

#include <limits.h>

/* ---- a call ----------------------------------------------------------------------------------------- */

/* What the arguments of a call are taken from. */
typedef struct {
    ad_var *xs[4];
    const char *spec;
    int n, axis, axes[128];
    ad_range ranges[128];
    int64_t k, m, l;
    ad_shape s, s2;
    ad_dtype t;
    ad_reduction reduction;
    bool on;
    double d, e;
} arguments;

static ad_pool_opts pool_of(const arguments *c) {
    const int64_t *s = c->s.dim;
    return (ad_pool_opts){ { c->k, c->m, c->l }, { c->l, c->k }, { s[0], s[1], s[2] }, { c->s2.dim[0], 1 }, c->on,
                           c->on };
}
static ad_window window_of(const arguments *c) {
    return (ad_window){ { c->k, c->m }, { c->l, 1 }, { c->s.dim[0], c->s.dim[1] }, { c->s2.dim[0], 1 } };
}
static ad_conv_opts conv_of(const arguments *c) {
    const int64_t *s = c->s.dim, *s2 = c->s2.dim;
    return (ad_conv_opts){ { c->k, c->m, c->l }, { c->l, 0 }, { s[0], s[1], s[2] }, s2[0], { s2[1], 0, s2[2] } };
}
static ad_grid_opts grid_of(const arguments *c) {
    return (ad_grid_opts){ c->on, (ad_grid_padding)c->n, c->d > 0 };
}
static ad_ce_opts ce_of(const arguments *c) {
    return (ad_ce_opts){ c->on ? c->xs[1] : NULL, c->d, c->reduction, c->on, c->k };
}
static ad_attention_opts attention_of(const arguments *c) {
    return (ad_attention_opts){ c->on, c->k, c->n % 2 == 0, c->e, c->axis < 0 ? c->d : 0 };
}
static ad_batch_norm_opts norm_of(const arguments *c) { return (ad_batch_norm_opts){ c->on, c->d, c->e }; }

/* Every function of ops.def. */
typedef ad_var *call_fn(const arguments *c);
#define X c->xs[0]
#define Y c->xs[1]
#define Z c->xs[2]
#define CALL(name, ...) \
    static ad_var *call_##name(const arguments *c) { return ad_##name(__VA_ARGS__); }
CALL(neg, X)
CALL(abs, X)
CALL(sign, X)
CALL(sqrt, X)
CALL(square, X)
CALL(exp, X)
CALL(expm1, X)
CALL(log, X)
CALL(log1p, X)
CALL(sin, X)
CALL(cos, X)
CALL(tanh, X)
CALL(tan, X)
CALL(asin, X)
CALL(acos, X)
CALL(atan, X)
CALL(sinh, X)
CALL(cosh, X)
CALL(asinh, X)
CALL(acosh, X)
CALL(atanh, X)
CALL(exp2, X)
CALL(log2, X)
CALL(log10, X)
CALL(reciprocal, X)
CALL(rsqrt, X)
CALL(cbrt, X)
CALL(erf, X)
CALL(erfc, X)
CALL(floor, X)
CALL(ceil, X)
CALL(round, X)
CALL(trunc, X)
CALL(frac, X)
CALL(deg2rad, X)
CALL(rad2deg, X)
CALL(sinc, X)
CALL(erfinv, X)
CALL(logit, X, c->d)
CALL(nan_to_num, X, c->d, c->e, c->d)
CALL(lgamma, X)
CALL(digamma, X)
CALL(polygamma, X, c->d)
CALL(special, X, c->n, c->axis)
CALL(special_pair, X, Y, c->n)
CALL(erfcx, X)
CALL(log_ndtr, X)
CALL(ndtri, X)
CALL(bessel_j0, X)
CALL(bessel_j1, X)
CALL(bessel_y0, X)
CALL(bessel_y1, X)
CALL(i0, X)
CALL(i0e, X)
CALL(i1, X)
CALL(i1e, X)
CALL(modified_bessel_k0, X)
CALL(modified_bessel_k1, X)
CALL(scaled_modified_bessel_k0, X)
CALL(scaled_modified_bessel_k1, X)
CALL(spherical_bessel_j0, X)
CALL(airy_ai, X)
CALL(zeta, X, Y)
CALL(gammainc, X, Y)
CALL(gammaincc, X, Y)
CALL(clamp, X, c->d, c->e)
CALL(adds, X, c->d)
CALL(muls, X, c->d)
CALL(pows, X, c->d)
CALL(sigmoid, X)
CALL(glu, X, c->axis)
CALL(relu, X)
CALL(softplus, X)
CALL(softplus_with, X, c->d, c->e)
CALL(leaky_relu, X, c->d)
CALL(elu, X, c->d)
CALL(selu, X)
CALL(gelu, X)
CALL(gelu_tanh, X)
CALL(silu, X)
CALL(mish, X)
CALL(softsign, X)
CALL(hardtanh, X, c->d, c->e)
CALL(hardsigmoid, X)
CALL(hardswish, X)
CALL(logsigmoid, X)
CALL(celu, X, c->d)
CALL(relu6, X)
CALL(threshold, X, c->d, c->e)
CALL(hardshrink, X, c->d)
CALL(softshrink, X, c->d)
CALL(tanhshrink, X)
CALL(prelu, X, Y)
CALL(rrelu, X, c->d, c->e, c->on)
CALL(rand_like, X)
CALL(randn_like, X)
CALL(noisy_relu, X)
CALL(add, X, Y)
CALL(sub, X, Y)
CALL(mul, X, Y)
CALL(div, X, Y)
CALL(pow, X, Y)
CALL(maximum, X, Y)
CALL(minimum, X, Y)
CALL(atan2, X, Y)
CALL(hypot, X, Y)
CALL(fmod, X, Y)
CALL(xlogy, X, Y)
CALL(heaviside, X, Y)
CALL(floor_divide, X, Y)
CALL(remainder, X, Y)
CALL(logaddexp, X, Y)
CALL(logaddexp2, X, Y)
CALL(fmax, X, Y)
CALL(fmin, X, Y)
CALL(copysign, X, Y)
CALL(where, X, Y, Z)
CALL(lerp, X, Y, Z)
CALL(addcmul, X, Y, Z)
CALL(eq, X, Y)
CALL(ne, X, Y)
CALL(gt, X, Y)
CALL(ge, X, Y)
CALL(lt, X, Y)
CALL(le, X, Y)
CALL(isfinite, X)
CALL(isinf, X)
CALL(isnan, X)
CALL(logical_not, X)
CALL(logical_and, X, Y)
CALL(logical_or, X, Y)
CALL(logical_xor, X, Y)
CALL(isclose, X, Y, c->d, c->e, c->on)
CALL(matmul, X, Y)
CALL(dot, X, Y)
CALL(outer, X, Y)
CALL(einsum, c->spec, X, Y)
CALL(einsum_n, c->spec, c->n, c->xs)
CALL(cholesky_solve, X, Y, c->on)
CALL(cholesky_inverse, X, c->on)
CALL(tensorinv, X, c->n)
CALL(tensorsolve, X, Y)
CALL(matrix_norm, X, (ad_matrix_norm_kind)c->n, c->on)
CALL(cond, X, (ad_matrix_norm_kind)c->n)
CALL(affine, X, Y, Z)
CALL(permute, X, c->s)
CALL(diagonal, X, c->k)
CALL(trace, X)
CALL(diag_embed, X, c->k)
CALL(diag, X, c->k)
CALL(tril, X, c->k)
CALL(triu, X, c->k)
CALL(solve, X, Y)
CALL(solve_triangular, X, Y, (ad_triangular_opts){ .right = c->on })
CALL(inverse, X)
CALL(cholesky, X)
CALL(logdet, X)
CALL(det, X)
CALL(cofactor, X)
CALL(slogdet_packed, X)
CALL(eigh_packed, X)
CALL(eigvalsh, X)
CALL(svd_packed, X)
CALL(svdvals, X)
CALL(qr_packed, X)
CALL(lu_packed, X)
CALL(lu_solve, X, Y, X)
CALL(householder_product, X, Y)
CALL(ormqr, X, Y, X, c->on, c->on)
CALL(pinv, X, c->d)
CALL(lstsq, X, Y, c->d)
CALL(matrix_exp, X)
CALL(matrix_power, X, c->k)
CALL(matrix_rank, X, c->d)
CALL(sum, X)
CALL(sum_axis, X, c->axis, c->on)
CALL(sum_axes, X, c->n, c->axes, c->on)
CALL(sum_to, X, c->s)
CALL(nansum, X)
CALL(nansum_axis, X, c->axis, c->on)
CALL(nansum_axes, X, c->n, c->axes, c->on)
CALL(nanmean, X)
CALL(nanmean_axis, X, c->axis, c->on)
CALL(nanmean_axes, X, c->n, c->axes, c->on)
CALL(count_nonzero, X)
CALL(count_nonzero_axis, X, c->axis, c->on)
CALL(count_nonzero_axes, X, c->n, c->axes, c->on)
CALL(any, X)
CALL(any_axis, X, c->axis, c->on)
CALL(any_axes, X, c->n, c->axes, c->on)
CALL(all, X)
CALL(all_axis, X, c->axis, c->on)
CALL(all_axes, X, c->n, c->axes, c->on)
CALL(mean, X)
CALL(mean_axis, X, c->axis, c->on)
CALL(mean_axes, X, c->n, c->axes, c->on)
CALL(max, X)
CALL(max_axis, X, c->axis, c->on)
CALL(max_axes, X, c->n, c->axes, c->on)
CALL(maxout, X, c->axis, c->k)
CALL(min, X)
CALL(min_axis, X, c->axis, c->on)
CALL(min_axes, X, c->n, c->axes, c->on)
CALL(argmax, X)
CALL(argmax_axis, X, c->axis, c->on)
CALL(argmin, X)
CALL(argmin_axis, X, c->axis, c->on)
CALL(variance, X, (int)c->k)
CALL(variance_axis, X, c->axis, (int)c->k, c->on)
CALL(variance_axes, X, c->n, c->axes, (int)c->k, c->on)
CALL(std, X, (int)c->k)
CALL(std_axis, X, c->axis, (int)c->k, c->on)
CALL(std_axes, X, c->n, c->axes, (int)c->k, c->on)
CALL(norm, X, c->d)
CALL(norm_axis, X, c->axis, c->d, c->on)
CALL(norm_axes, X, c->n, c->axes, c->d, c->on)
CALL(logsumexp, X)
CALL(logsumexp_axis, X, c->axis, c->on)
CALL(logsumexp_axes, X, c->n, c->axes, c->on)
CALL(prod, X)
CALL(prod_axis, X, c->axis, c->on)
CALL(prod_axes, X, c->n, c->axes, c->on)
CALL(cumsum, X, c->axis)
CALL(cumprod, X, c->axis)
CALL(logcumsumexp, X, c->axis)
CALL(running_place, X, c->axis, c->on)
CALL(linear_scan, X, Y, c->axis, c->on, c->d)
CALL(softmax, X, c->axis)
CALL(softmax_with, X, c->axis, c->d)
CALL(log_softmax, X, c->axis)
CALL(cross_entropy, X, Y)
CALL(cross_entropy_classes, X, Y, ce_of(c))
CALL(cross_entropy_probs, X, Y, ce_of(c))
CALL(cross_entropy_with, X, Y, ce_of(c))
CALL(nll, X, Y, ce_of(c))
CALL(multi_margin, X, Y, (int)c->k, c->d, Z, c->reduction)
CALL(class_targets, X, c->k, ce_of(c))
CALL(mse, X, Y, c->reduction)
CALL(l1, X, Y, c->reduction)
CALL(huber, X, Y, c->d, c->reduction)
CALL(smooth_l1, X, Y, c->d, c->reduction)
CALL(bce, X, Y, c->reduction)
CALL(bce_logits, X, Y, Z, c->reduction)
CALL(kl_div, X, Y, c->on, c->reduction)
CALL(hinge, X, Y, c->d, c->reduction)
CALL(hinge_embedding, X, Y, c->d, c->reduction)
CALL(soft_margin, X, Y, c->reduction)
CALL(bce_weighted, X, Y, Z, c->reduction)
CALL(bce_logits_weighted, X, Y, Z, c->on ? Z : NULL, c->reduction)
CALL(multilabel_soft_margin, X, Y, c->on ? Z : NULL, c->reduction)
CALL(margin_ranking, X, Y, Z, c->d, c->reduction)
CALL(triplet_margin, X, Y, Z, (ad_triplet_opts){ c->d, c->e, 0, c->on, c->reduction })
CALL(poisson_nll, X, Y, (ad_poisson_opts){ c->on, c->on, c->e, c->reduction })
CALL(gaussian_nll, X, Y, Z, (ad_gaussian_opts){ c->on, c->e, c->reduction })
CALL(ctc, X, Y, Z, Z, (ad_ctc_opts){ c->k, c->on, c->reduction })
CALL(cosine_similarity, X, Y, c->axis, c->d)
CALL(dropout_mask, X, c->d)
CALL(dropout, X, c->d, c->on)
CALL(exponential_like, X)
CALL(exponential, X)
CALL(exponential_log_prob, X, Y)
CALL(exponential_entropy, X)
CALL(exponential_kl, X, Y)
CALL(bernoulli, X)
CALL(bernoulli_log_prob, X, Y)
CALL(bernoulli_entropy, X)
CALL(bernoulli_kl, X, Y)
CALL(poisson, X)
CALL(poisson_log_prob, X, Y)
CALL(poisson_kl, X, Y)
CALL(normal, X, Y)
CALL(normal_log_prob, X, Y, Z)
CALL(normal_entropy, X)
CALL(normal_kl, X, Y, Z, c->xs[3])
CALL(uniform, X, Y)
CALL(uniform_log_prob, X, Y, Z)
CALL(uniform_entropy, X, Y)
CALL(uniform_kl, X, Y, Z, c->xs[3])
CALL(multinomial, X, c->k, c->on)
CALL(categorical, X)
CALL(gumbel_softmax, X, c->d, c->on)
CALL(categorical_log_prob, X, Y)
CALL(categorical_entropy, X)
CALL(categorical_kl, X, Y)
CALL(standard_loggamma, X)
CALL(standard_loggamma_grad, X, Y, c->axis, c->n)
CALL(gamma, X, Y)
CALL(gamma_log_prob, X, Y, Z)
CALL(gamma_entropy, X, Y)
CALL(gamma_kl, X, Y, Z, c->xs[3])
CALL(beta, X, Y)
CALL(beta_log_prob, X, Y, Z)
CALL(beta_entropy, X, Y)
CALL(beta_kl, X, Y, Z, c->xs[3])
CALL(dirichlet, X)
CALL(dirichlet_log_prob, X, Y)
CALL(dirichlet_entropy, X)
CALL(dirichlet_kl, X, Y)
CALL(rnn, X, Y, Z, c->on, c->on)
CALL(lstm, X, Y, Z, Z, c->on)
CALL(gru, X, Y, Z, Z, c->on)
CALL(conv2d, X, Y, Z, conv_of(c))
CALL(conv1d, X, Y, Z, conv_of(c))
CALL(conv_transpose2d, X, Y, Z, conv_of(c))
CALL(conv_transpose1d, X, Y, Z, conv_of(c))
CALL(conv2d_weight, X, c->s, Y, conv_of(c))
CALL(max_pool2d, X, pool_of(c))
CALL(max_pool1d, X, pool_of(c))
CALL(max_pool2d_index, X, pool_of(c))
CALL(conv3d, X, Y, Z, conv_of(c))
CALL(conv_transpose3d, X, Y, Z, conv_of(c))
CALL(max_pool3d, X, pool_of(c))
CALL(avg_pool3d, X, pool_of(c))
CALL(adaptive_avg_pool3d, X, c->k, c->m, c->l)
CALL(adaptive_max_pool1d, X, c->k)
CALL(adaptive_max_pool2d, X, c->k, c->m)
CALL(adaptive_max_pool3d, X, c->k, c->m, c->l)
CALL(max_pool1d_index, X, pool_of(c))
CALL(max_unpool1d, X, Y, c->k)
CALL(max_unpool2d, X, Y, c->k, c->m)
CALL(lp_pool1d, X, c->d, pool_of(c))
CALL(lp_pool2d, X, c->d, pool_of(c))
CALL(interpolate, X, c->s, (ad_resample)c->axis, c->on)
CALL(grid_sample, X, Y, grid_of(c))
CALL(affine_grid, X, c->s, c->on)
CALL(pixel_shuffle, X, c->k)
CALL(pixel_unshuffle, X, c->k)
CALL(channel_shuffle, X, c->k)
CALL(local_response_norm, X, c->k, c->d, c->e, c->d)
CALL(unfold, X, window_of(c))
CALL(fold, X, c->k, c->m, window_of(c))
CALL(avg_pool2d, X, pool_of(c))
CALL(avg_pool1d, X, pool_of(c))
CALL(adaptive_avg_pool2d, X, c->k, c->m)
CALL(adaptive_avg_pool1d, X, c->k)
CALL(attention, X, Y, Z, c->on ? c->xs[3] : NULL, attention_of(c))
CALL(attention_dropout, X, Y, Z, c->xs[3], c->on ? Y : NULL, attention_of(c))
CALL(random_key, X)
CALL(keyed_dropout_mask, X, c->s, c->d)
CALL(rotary, X, c->k, c->d)
CALL(avg_unpool2d, X, c->k, c->m, pool_of(c))
CALL(layer_norm, X, c->s, Y, Z, c->d)
CALL(rms_norm, X, c->on ? Y : NULL, c->d)
CALL(group_norm, X, c->k, c->on ? Y : NULL, Z, c->d)
CALL(instance_norm, X, Y, c->on ? Z : NULL, c->d)
CALL(batch_norm_train, X, Y, Z, Z, Z, norm_of(c))
CALL(batch_norm_eval, X, Y, Z, Z, Z, norm_of(c))
CALL(batch_norm, X, Y, Z, Z, Z, norm_of(c))
CALL(reshape, X, c->s)
CALL(squeeze, X)
CALL(squeeze_axis, X, c->axis)
CALL(unsqueeze, X, c->axis)
CALL(flatten, X, c->axis, c->axes[0])
CALL(transpose, X)
CALL(expand, X, c->s)
CALL(tile, X, c->s)
CALL(repeat_interleave, X, c->axis, c->k)
CALL(cast, X, c->t)
CALL(detach, X)
CALL(one_hot, X, c->k)
CALL(slice, X, c->axis, c->k, c->m, c->l)
CALL(slice_axes, X, c->n, c->ranges)
CALL(narrow, X, c->axis, c->k, c->m)
CALL(select, X, c->axis, c->k)
CALL(slice_scatter, X, Y, c->axis, c->k, c->m, c->l)
CALL(slice_scatter_axes, X, Y, c->n, c->ranges)
CALL(concat, c->n, c->xs, c->axis)
CALL(stack, c->n, c->xs, c->axis)
CALL(flip, X, c->axis)
CALL(flip_axes, X, c->n, c->axes)
CALL(roll, X, c->axis, c->k)
CALL(pad, X, c->s, c->s2, c->d)
CALL(pad_reflect, X, c->s, c->s2)
CALL(pad_replicate, X, c->s, c->s2)
CALL(pad_circular, X, c->s, c->s2)
CALL(take_axis, X, c->axis, Y)
CALL(take, X, Y)
CALL(index_select, X, c->axis, Y)
CALL(embedding, X, Y)
CALL(embedding_with, X, Y, c->k)
CALL(index_add, X, c->axis, Y, Z)
CALL(gather, X, c->axis, Y)
CALL(take_along, X, c->axis, Y)
CALL(scatter_add, X, c->axis, Y, Z)
CALL(index_copy, X, c->axis, Y, Z)
CALL(index_fill, X, c->axis, Y, c->d)
CALL(put_flat, X, Y, Z, c->on)
CALL(scatter, X, c->axis, Y, Z)
CALL(scatter_reduce, X, c->axis, Y, Z, (ad_scatter_kind)c->n, c->on)
CALL(index_reduce, X, c->axis, Y, Z, (ad_scatter_kind)c->n, c->on)
CALL(ravel_multi_index, c->n, c->xs, c->s)
CALL(index, X, c->n, c->xs)
CALL(index_put, X, c->n, c->xs, Z, c->on)
CALL(nonzero_n, X, c->k)
CALL(nonzero, X)
CALL(masked_select, X, Y)
CALL(masked_scatter, X, Y, Z)
CALL(masked_fill, X, Y, c->d)
CALL(argsort, X, c->axis, c->on)
CALL(sort, X, c->axis, c->on)
CALL(kthvalue, X, c->axis, c->k, c->on)
CALL(median, X)
CALL(median_axis, X, c->axis, c->on)
CALL(quantile, X, c->e, (ad_interpolation)c->n)
CALL(quantile_axis, X, c->axis, c->e, (ad_interpolation)c->n, c->on)
CALL(searchsorted, X, Y, c->on)
CALL(run_starts, X, c->k)
CALL(atleast_1d, X)
CALL(atleast_2d, X)
CALL(atleast_3d, X)
CALL(hstack, c->n, c->xs)
CALL(vstack, c->n, c->xs)
CALL(dstack, c->n, c->xs)
CALL(column_stack, c->n, c->xs)
CALL(block_diag, c->n, c->xs)
CALL(cartesian_prod, c->n, c->xs)
CALL(combinations, X, c->n, c->on)
CALL(select_scatter, X, Y, c->axis, c->k)
CALL(unfold_axis, X, c->axis, c->k, c->m)
CALL(as_strided, X, c->s, c->s2, c->k)
CALL(diff, X, c->k, c->axis)
CALL(trapezoid, X, c->on ? Y : NULL, c->d, c->axis)
CALL(cumulative_trapezoid, X, c->on ? Y : NULL, c->d, c->axis)
CALL(movedim, X, c->axis, c->axes[0])
CALL(swapaxes, X, c->axis, c->axes[0])
CALL(diagflat, X, c->k)
CALL(diagonal_scatter, X, Y, c->k)
CALL(inner, X, Y)
CALL(vecdot, X, Y, c->axis)
CALL(tensordot, X, Y, c->n)
CALL(tensordot_axes, X, Y, c->n, c->axes, c->axes + 4)
CALL(kron, X, Y)
CALL(cross, X, Y, c->axis)
CALL(multi_dot, c->n, c->xs)
CALL(addmm, X, Y, Z, c->d, c->e)
CALL(addbmm, X, Y, Z, c->d, c->e)
CALL(addr, X, Y, Z, c->d, c->e)
CALL(vander, X, c->k)
CALL(cov, X, (int)c->k)
CALL(corrcoef, X)
CALL(unflatten, X, c->axis, c->s)
CALL(rot90, X, c->k, c->axis, c->axes[0])
CALL(dist, X, Y, c->d)
CALL(pairwise_distance, X, Y, c->d, c->e, c->on)
CALL(cdist, X, Y, c->d)
CALL(pdist, X, c->d)
CALL(normalize_axis, X, c->axis, c->d, c->e)
CALL(renorm, X, c->d, c->axis, c->e)
CALL(histc, X, c->k, c->d, c->e)
CALL(bincount, X, c->on ? Y : NULL, c->k)
CALL(addcdiv, X, Y, Z, c->d)
CALL(rsub, X, Y)
CALL(ldexp, X, Y)
CALL(xlog1py, X, Y)
CALL(entr, X)
CALL(zeros_like, X)
CALL(ones_like, X)
CALL(full_like, X, c->d)
CALL(chebyshev_polynomial_t, X, c->k)
CALL(chebyshev_polynomial_u, X, c->k)
CALL(chebyshev_polynomial_v, X, c->k)
CALL(chebyshev_polynomial_w, X, c->k)
CALL(shifted_chebyshev_polynomial_t, X, c->k)
CALL(shifted_chebyshev_polynomial_u, X, c->k)
CALL(shifted_chebyshev_polynomial_v, X, c->k)
CALL(shifted_chebyshev_polynomial_w, X, c->k)
CALL(hermite_polynomial_h, X, c->k)
CALL(hermite_polynomial_he, X, c->k)
CALL(laguerre_polynomial_l, X, c->k)
CALL(legendre_polynomial_p, X, c->k)
CALL(mvlgamma, X, c->k)
CALL(ndtr, X)
CALL(isposinf, X)
CALL(isneginf, X)
CALL(signbit, X)
CALL(masked_sum, X, Y, c->n, c->axes, c->on)
CALL(masked_prod, X, Y, c->n, c->axes, c->on)
CALL(masked_amax, X, Y, c->n, c->axes, c->on)
CALL(masked_amin, X, Y, c->n, c->axes, c->on)
CALL(masked_mean, X, Y, c->n, c->axes, c->on)
CALL(masked_logsumexp, X, Y, c->n, c->axes, c->on)
CALL(masked_norm, X, Y, c->d, c->n, c->axes, c->on)
CALL(masked_var, X, Y, c->n, c->axes, (int)c->k, c->on)
CALL(masked_std, X, Y, c->n, c->axes, (int)c->k, c->on)
CALL(masked_argmax, X, Y, c->axis, c->on)
CALL(masked_argmin, X, Y, c->axis, c->on)
CALL(masked_median, X, Y, c->axis, c->on)
CALL(masked_softmax, X, Y, c->axis)
CALL(masked_softmin, X, Y, c->axis)
CALL(masked_log_softmax, X, Y, c->axis)
CALL(masked_cumsum, X, Y, c->axis)
CALL(masked_cumprod, X, Y, c->axis)
CALL(masked_normalize, X, Y, c->axis, c->d, c->e)
CALL(nanmedian, X)
CALL(nanmedian_axis, X, c->axis, c->on)
CALL(nanquantile, X, c->e)
CALL(nanquantile_axis, X, c->axis, c->e, c->on)
CALL(isin, X, Y)
CALL(equal, X, Y)
CALL(allclose, X, Y, c->d, c->e, c->on)
CALL(softmin, X, c->axis)
CALL(dropout_channels, X, c->e, c->on)
CALL(embedding_bag, X, Y, (ad_scatter_kind)c->n)
CALL(multilabel_margin, X, Y, c->reduction)
CALL(im2col, X, window_of(c))
CALL(col2im, X, c->k, c->m, window_of(c))

#undef CALL

static const struct {
    const char *name;
    call_fn *f;
} calls[] = {
#define AD_OP(name, parameters) { #name, call_##name },
#define AD_FN AD_OP
#include "ops/ops.def"
#undef AD_OP
#undef AD_FN
};

/* ---- random arguments ------------------------------------------------------------------------------- */

static int64_t pick(uint64_t *seed, int n, const int64_t *from) {
    return from[(int)(next_between(seed, 0, 1) * n) % n];
}
#define PICK(seed, ...) \
    pick(seed, COUNT(((int64_t[]){ __VA_ARGS__ })), (int64_t[]){ __VA_ARGS__ })

static int64_t random_size(uint64_t *seed) {
    if (PICK(seed, 0, 1, 2) > 0) return PICK(seed, 0, 1, 2, 3, 4);
    return PICK(seed, INT64_MIN, INT64_MIN + 1, -1000000007, -2, -1, 1000000007, INT32_MAX, (int64_t)1 << 31,
                (int64_t)1 << 40, (int64_t)1 << 61, INT64_MAX - 1, INT64_MAX);
}

/* Most have a possible number of dimensions. */
static ad_shape random_list(uint64_t *seed) {
    ad_shape s;
    s.ndim = (int)PICK(seed, 0, 1, 2, 3, 4, 5, 6, 1, 2, 2, 3, 4, -1, 7, 100000, INT_MIN, INT_MAX);
    for (int i = 0; i < AD_MAX_NDIM; i++) s.dim[i] = random_size(seed);
    return s;
}

static const ad_shape shapes[] = {
    { 0, { 0 } },       { 1, { 0 } },       { 1, { 1 } },          { 1, { 3 } },
    { 2, { 2, 2 } },    { 2, { 2, 0 } },    { 2, { 1, 3 } },       { 3, { 2, 3, 4 } },
    { 3, { 4, 4, 4 } }, { 4, { 1, 1, 3, 3 } }, { 4, { 2, 2, 4, 4 } }, { 6, { 1, 1, 1, 1, 1, 2 } },
};

static ad_var *random_operand(ad_graph *g, ad_dtype t, uint64_t *seed) {
    ad_shape s = shapes[PICK(seed, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)];
    ad_var *x = ad_param(g, t, NULL, s);
    void *data = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) ad_write_element(t, data, i, (double)PICK(seed, 0, 1, 2, 1));
    return x;
}

static arguments random_arguments(ad_graph *g, uint64_t *seed) {
    static const char *const specs[] = { "ij->ji", "ij,jk->ik", "i->",        "...i->...", "ii", "",
                                         ",",      "->",        "iiiiiii->i", "ij,jk,kl",  "a,ab,b,...",
                                         "ij,ij,ij->i" };
    arguments c = { .spec = specs[PICK(seed, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)] };
    ad_dtype t = (ad_dtype)PICK(seed, AD_F32, AD_F64);
    bool same = PICK(seed, 0, 1);
    for (int i = 0; i < COUNT(c.xs); i++) c.xs[i] = i && same ? c.xs[0] : random_operand(g, t, seed);
    c.n = (int)PICK(seed, -1, 0, 1, 2, 3, 4);
    c.axis = (int)PICK(seed, INT_MIN, -7, -3, -2, -1, 0, 1, 2, 3, 6, INT_MAX);
    for (int i = 0; i < COUNT(c.axes); i++) {
        c.axes[i] = (int)PICK(seed, INT_MIN, -2, -1, 0, 1, 2, INT_MAX);
        c.ranges[i] = (ad_range){ c.axes[i], random_size(seed), random_size(seed), random_size(seed) };
    }
    c.k = random_size(seed), c.m = random_size(seed), c.l = random_size(seed);
    c.s = random_list(seed), c.s2 = random_list(seed);
    c.t = (ad_dtype)PICK(seed, AD_F32, AD_F64, -1, 2);
    c.reduction = (ad_reduction)PICK(seed, AD_MEAN, AD_SUM, AD_NONE, AD_BATCHMEAN, -1, 4);
    c.on = PICK(seed, 0, 1);
    c.d = next_between(seed, -2, 2), c.e = next_between(seed, 0, 1);
    const double odd[] = { NAN, INFINITY, -INFINITY, 0, 1e300, -1e300 };
    if (PICK(seed, 0, 0, 1)) c.d = odd[PICK(seed, 0, 1, 2, 3, 4, 5)];
    return c;
}

/* ---- what every call keeps to ----------------------------------------------------------------------- */

/* An allocator that refuses large blocks, so that no call fills gigabytes. */
enum { LARGEST = 1 << 25 };
static void *take(void *data, size_t align, size_t size) {
    (void)data;
    return size > LARGEST ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}
static void put_back(void *data, void *memory, size_t size) {
    (void)data, (void)size;
    free(memory);
}
static ad_graph *bounded_graph(void) { return ad_graph_new_with((ad_allocator){ take, put_back, NULL }); }

/* A result without an error, or nil with one. */
static void check_result(const ad_graph *g, const ad_var *y, const char *name) {
    assert_non_null(y);
    if (ad_is_nil(y) && ad_graph_of(y) == NULL) return; /* concat and stack of no operands know no graph */
    if (ad_ok(g) == ad_is_nil(y)) fail_msg("%s: %s, error %s", name, ad_is_nil(y) ? "nil" : "a result", ad_error(g));
    if (ad_ok(g) && ad_shape_numel(ad_shape_of(y)) != ad_numel(y)) fail_msg("%s: a wrong shape", name);
    if (!ad_ok(g) && strlen(ad_error(g)) < 10) fail_msg("%s: error %d has no sentence", name, ad_error_code(g));
}

/* Differentiates y by both rules. Every step keeps to the memory that it was given, and takes little time. */
static void check_call(ad_graph *g, ad_var *y, ad_var *x, const char *name, double start) {
    ad_var *d = NULL;
    check_result(g, y, name);
    if (ad_ok(g) && ad_requires_grad(y)) ad_backward(ad_sum(y));
    if (ad_ok(g) && ad_requires_grad(y)) ad_gradient(ad_sum(y), 1, &x, &d);
    if (processor_seconds() - start > 1) fail_msg("%s takes %.1f s", name, processor_seconds() - start);
}

static void random_calls(void **state) {
    (void)state;
    ad_graph *g = bounded_graph();
    const int rounds = test_quick() ? 20 : 300;
    uint64_t seed = 1;
    for (int i = 0; i < COUNT(calls); i++)
        for (int k = 0; k < rounds; k++) {
            ad_mark m = ad_begin(g);
            arguments c = random_arguments(g, &seed);
            double start = processor_seconds();
            check_call(g, calls[i].f(&c), c.xs[0], calls[i].name, start);
            ad_clear_error(g);
            ad_end(g, m);
        }
    ad_graph_free(g);
}

/* ---- nil ------------------------------------------------------------------------------------------------ */

/* Arguments with which many functions return their operand as it is, such as padding by 0. */
static arguments of_no_effect(ad_var *x) {
    arguments c = { .xs = { x, x, x, x }, .spec = "ij->ij", .s = { 2, { 2, 2 } }, .s2 = { 2, { 2, 2 } }, .t = AD_F64 };
    return c;
}

/* Every function after an error of its graph. */
static void nil_after_an_error(void **state) {
    (void)state;
    ad_graph *g = bounded_graph();
    uint64_t seed = 7;
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 2));
    for (int i = 0; i < COUNT(calls); i++)
        for (int k = 0; k < 30; k++) {
            ad_mark m = ad_begin(g);
            arguments c = k < 4 ? of_no_effect(x) : random_arguments(g, &seed);
            if (k % 2 && k < 4) c.s = c.s2 = (ad_shape){ 2, { 0, 0 } };
            if (k / 2 && k < 4) c.s = c.s2 = (ad_shape){ 2, { 1, 1 } }, c.k = 1, c.n = 1;
            ad_fail(g, AD_EVALUE, "an error");
            if (!ad_is_nil(calls[i].f(&c))) fail_msg("%s returns a result after an error", calls[i].name);
            assert_string_equal(ad_error(g), "an error");
            ad_clear_error(g);
            ad_end(g, m);
        }
    ad_graph_free(g);
}

/* Every function with operands that are NULL, or nil of a graph without an error. */
static void nil_of_nil(void **state) {
    (void)state;
    ad_graph *g = bounded_graph();
    for (int i = 0; i < COUNT(calls); i++) {
        arguments null = of_no_effect(NULL), nil = of_no_effect(ad_nil(g));
        nil.n = null.n = 1;
        if (!ad_is_nil(calls[i].f(&null))) fail_msg("%s(NULL) is a result", calls[i].name);
        assert_ok(g);
        check_result(g, calls[i].f(&nil), calls[i].name);
        if (ad_ok(g)) fail_msg("%s of nil leaves no error", calls[i].name);
        ad_clear_error(g);
    }
    ad_graph_free(g);
}

/* ---- samples of the ops with one number changed ----------------------------------------------------- */

typedef struct {
    ad_graph *g;
    uint64_t seed;
} changes;

/* Changes one number of an attribute. */
static void change_attribute(const ad_attr *a, char *attrs, uint64_t *seed) {
    void *at = attrs + a->offset;
    int which = (int)PICK(seed, 0, 1, 2, 3, 4, 5, 6);
    ad_shape *s = at;
    int *axes = at;
    switch (a->kind) {
    case AD_ATTR_INT: *(int *)at = (int)PICK(seed, INT_MIN, -7, -1, 0, 1, 2, 7, INT_MAX); break;
    case AD_ATTR_INT64: *(int64_t *)at = random_size(seed); break;
    case AD_ATTR_BOOL: *(bool *)at = !*(bool *)at; break;
    case AD_ATTR_DOUBLE: *(double *)at = (double[]){ NAN, INFINITY, -INFINITY, -1, 0, 1e300, 5e-324 }[which]; break;
    case AD_ATTR_SHAPE:
        if (which == 6) s->ndim = random_list(seed).ndim;
        else s->dim[which % (s->ndim > 0 && s->ndim < AD_MAX_NDIM ? s->ndim : AD_MAX_NDIM)] = random_size(seed);
        break;
    case AD_ATTR_AXES: axes[which] = (int)PICK(seed, INT_MIN, -7, -1, 0, 1, 2, 7, 100000, INT_MAX); break;
    }
}

static ad_var *sample_operand(ad_graph *g, const ad_sample_case *c, int i, bool change, uint64_t *seed) {
    ad_shape s = c->shapes[i];
    if (change && s.ndim > 0) s.dim[PICK(seed, 0, 1, 2, 3, 4, 5) % s.ndim] = PICK(seed, 0, 1, 2, 5);
    ad_var *x = ad_param(g, AD_F64, NULL, s);
    double *to = ad_data_mut(x);
    int64_t n = ad_shape_numel(c->shapes[i]);
    for (int64_t k = 0; k < ad_numel(x) && n > 0; k++) to[k] = c->values[i][k % n];
    return x;
}

static int changed_sample(const ad_sample_case *c, void *data) {
    changes *to = data;
    const int rounds = test_quick() ? 2 : 20;
    int fields = 0;
    while (c->type->attrs != NULL && c->type->attrs[fields].name != NULL) fields++;
    for (int k = 0; k < rounds; k++) {
        char attrs[1024] = { 0 };
        ad_var *in[16];
        ad_mark m = ad_begin(to->g);
        assert_true(c->type->attr_size <= sizeof attrs);
        if (c->type->attr_size) memcpy(attrs, c->attrs, c->type->attr_size);
        int which = (int)PICK(&to->seed, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
        int operand = (int)PICK(&to->seed, 0, 1, 2, 9, 9, 9); /* 9: none */
        if (fields > 0) change_attribute(&c->type->attrs[which % fields], attrs, &to->seed);
        for (int i = 0; i < c->n; i++) in[i] = sample_operand(to->g, c, i, i == operand, &to->seed);
        double start = processor_seconds();
        check_call(to->g, ad_apply(c->type, c->n, in, attrs), in[0], c->type->name, start);
        ad_clear_error(to->g);
        ad_end(to->g, m);
    }
    return 0;
}

/* The operands of a sample, some left out at the end, or repeated: refused, or another way to call the op. */
static int other_numbers_of_operands(const ad_sample_case *c, void *data) {
    enum { MOST = 8 };
    ad_graph *g = data;
    if (c->index > 2) return 0;
    for (int n = 1; n <= MOST; n++) {
        ad_var *in[MOST];
        uint64_t seed = 1;
        ad_mark m = ad_begin(g);
        for (int i = 0; i < n; i++) in[i] = sample_operand(g, c, i % c->n, false, &seed);
        ad_var *y = ad_apply(c->type, n, in, c->attrs);
        if (ad_is_nil(y) == ad_ok(g)) fail_msg("%s of %d operands: %s", c->type->name, n, ad_error(g));
        if (ad_ok(g) && ad_requires_grad(y) && ad_backward(ad_sum(y)) != AD_OK)
            fail_msg("%s of %d operands: %s", c->type->name, n, ad_error(g));
        ad_clear_error(g);
        ad_end(g, m);
    }
    return 0;
}

static void numbers_of_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *samples = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++)
        if (ad_each_sample(samples, *t, other_numbers_of_operands, g) != AD_OK) fail_msg("%s", ad_error(samples));
    ad_graph_free(samples);
    ad_graph_free(g);
}

static void changed_samples(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    changes to = { bounded_graph(), 1 };
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++)
        assert_int_equal(ad_each_sample(g, *t, changed_sample, &to), AD_OK);
    ad_graph_free(to.g);
    ad_graph_free(g);
}

/* ---- leaves, and functions of nn that take a shape ------------------------------------------------------- */

static double element;
static ad_var *made_param(ad_graph *g, ad_dtype t, ad_shape s) { return ad_param(g, t, NULL, s); }
static ad_var *made_tensor(ad_graph *g, ad_dtype t, ad_shape s) { return ad_tensor(g, t, NULL, s); }
static ad_var *made_input(ad_graph *g, ad_dtype t, ad_shape s) { return ad_input(g, t, &element, s); }
static ad_var *made_full(ad_graph *g, ad_dtype t, ad_shape s) { return ad_full(g, t, 1, s); }
static ad_var *made_eye(ad_graph *g, ad_dtype t, ad_shape s) { return ad_eye(g, t, s.dim[0]); }
static ad_var *made_arange(ad_graph *g, ad_dtype t, ad_shape s) {
    return ad_arange(g, t, (double)s.dim[0], (double)s.dim[1], (double)s.dim[2]);
}
static ad_var *normalised(ad_graph *g, ad_dtype t, ad_shape s) {
    nn_module *m = nn_layer_norm(g, t, s);
    return m ? nn_apply(m, ad_zeros(g, t, s)) : ad_nil(g);
}

static void shapes_of_leaves(void **state) {
    (void)state;
    const struct {
        const char *name;
        ad_var *(*f)(ad_graph *g, ad_dtype t, ad_shape s);
    } makers[] = { { "param", made_param },   { "tensor", made_tensor }, { "input", made_input },
                   { "zeros", ad_zeros },     { "ones", ad_ones },       { "full", made_full },
                   { "rand", ad_rand },       { "randn", ad_randn },     { "eye", made_eye },
                   { "arange", made_arange }, { "layer_norm", normalised } };
    ad_graph *g = bounded_graph();
    uint64_t seed = 3;
    for (int i = 0; i < COUNT(makers); i++)
        for (int k = 0; k < 300; k++) {
            ad_mark m = ad_begin(g);
            ad_shape s = random_list(&seed);
            ad_dtype t = (ad_dtype)PICK(&seed, AD_F32, AD_F64, AD_F32, AD_F64, -1, 2);
            double start = processor_seconds();
            check_result(g, makers[i].f(g, t, s), makers[i].name);
            if (processor_seconds() - start > 1) fail_msg("%s takes too long", makers[i].name);
            ad_clear_error(g);
            ad_end(g, m);
        }
    ad_graph_free(g);
}

/* nn_augment has no graph to leave an error in: it changes nothing. */
static void impossible_rows_and_modules(void **state) {
    (void)state;
    ad_graph *g = bounded_graph();
    const int ndims[] = { -1, 7, 100000, INT_MIN, INT_MAX };
    double from[4] = { 1, 2, 3, 4 }, to[4] = { 0 };
    for (int i = 0; i < COUNT(ndims); i++) {
        ad_shape s = { ndims[i], { 2, 2, 1, 1, 1, 1 } };
        nn_augment(AD_F64, s, from, to, &(ad_random_state){ 0 }, &(nn_augmentation){ .flip = true });
        nn_augment(AD_F64, s, from, to, &(ad_random_state){ 0 }, NULL);
        assert_close(to[0], 0, 0);
        assert_int_equal(ad_shape_numel(s), -1);
        assert_false(ad_shape_equal(s, s));
        ad_shape_str(s);
    }
    assert_null(nn_module_new(g, "huge", NULL, SIZE_MAX));
    assert_false(ad_ok(g));
    ad_graph_free(g);
}

/* ---- NULL ----------------------------------------------------------------------------------------------- */

static void null_arrays_and_texts(void **state) {
    (void)state;
    char text[8] = "";
    const ad_attr attr = { "n", AD_ATTR_INT, 0 };
    assert_int_equal(ad_shape_of_dims(2, NULL).ndim, -1);
    assert_int_equal(ad_shape_of_dims(0, NULL).ndim, 0);
    assert_int_equal(ad_shape_text(AD_SHAPE(2, 3), NULL, 9), 5);
    assert_int_equal(ad_attr_text(&attr, &(int){ 42 }, NULL, 9), 2);
    assert_int_equal(ad_attr_text(NULL, &(int){ 42 }, text, sizeof text), 1);
    assert_int_equal(ad_attr_text(&attr, NULL, text, sizeof text), 1);
    assert_string_equal(text, "?");
    uint32_t bits = 0;
    ad_random_bits(NULL, 1, &bits);
    ad_random_uniform(NULL, AD_F32, 1, &bits), ad_random_normal(NULL, AD_F32, 1, &bits);
    ad_random_state r = { 0 };
    ad_random_uniform(&r, AD_F32, 1, NULL), ad_random_normal(&r, AD_F32, 1, NULL);
    assert_int_equal(bits, 0);
    ad_sample(NULL, NULL, 1, NULL, NULL, NULL), ad_sample_values(NULL, NULL, 1, NULL, NULL, 0);
    assert_null(ad_scope_alloc(NULL, 1));
    assert_null(ad_scope_zalloc(NULL, 1));
    assert_null(ad_scope_array(NULL, 1));
    assert_null(ad_scope_closing(NULL, 1, NULL));
    assert_null(ad_buffer_take(NULL, 1));
    ad_buffer_give(NULL, text, 1);
    assert_false(ad_scope_is_open(NULL, text) || ad_scope_is_older(NULL, text));
}

static void null_ops(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    bool fresh;
    assert_null(ad_attrs(NULL));
    assert_true(ad_saved(NULL) == NULL && ad_scratch(NULL) == NULL && ad_values(NULL) == NULL);
    const ad_op *const ops[] = { NULL, ad_creator(ad_neg(ad_param(g, AD_F64, NULL, AD_SHAPE(2)))) };
    for (int i = 0; i < 2; i++)
        for (int k = -1; k < 2; k++) {
            if (i && k == 0) continue; /* the operand that the op has */
            assert_false(ad_wants_grad(ops[i], k) || ad_vjp_wants(ops[i], k));
            assert_true(ad_grad_into(ops[i], k) == NULL && ad_grad_claim(ops[i], k, &fresh) == NULL);
        }
    ad_graph_free(g);
}

static void null_lists(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(2, 2)), *parts[4];
    assert_int_equal(ad_split_sizes(x, 0, 2, NULL, parts), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "split_sizes: [2,2]: sizes must not be NULL");
    assert_int_equal(ad_split_sizes(x, 0, 2, (int64_t[]){ 1, 1 }, NULL), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "split_sizes: [2,2]: parts must not be NULL");
    assert_fails(g, ad_einsum(NULL, x, x), AD_EVALUE, "einsum: the spec is NULL");
    assert_fails(g, ad_slice_axes(x, 1, NULL), AD_EVALUE, "NULL");
    ad_var *empty = ad_param(g, AD_F64, NULL, AD_SHAPE(0)), *input = ad_input(g, AD_F64, NULL, AD_SHAPE(0));
    assert_int_equal(ad_set(empty, NULL), AD_OK);
    assert_int_equal(ad_rebind(input, NULL), AD_OK);
    assert_int_equal(ad_set(x, NULL), AD_EVALUE);
    ad_graph_free(g);
}

/* ---- numbers that are far larger than the data ------------------------------------------------------ */

/* A kernel of which little more than the plane counts. The last has windows that begin 5e8 elements apart. */
static void huge_kernels(void **state) {
    (void)state;
    ad_graph *g = bounded_graph();
    const double values[] = { 1, 2, 3, 4, 9, 6, 7, 8, 5 };
    ad_var *x = ad_param(g, AD_F64, values, AD_SHAPE(1, 1, 3, 3));
    const ad_pool_opts wide = { .kernel = { 3, 1000000007 }, .ceil_mode = true };
    const ad_pool_opts apart = { .kernel = { 1, 1000000001 }, .stride = { 1, 500000000 }, .padding = { 0, 500000000 },
                                 .ceil_mode = true };
    ad_var *y = ad_max_pool2d(x, wide), *z = ad_max_pool2d(x, apart);
    assert_ok(g);
    assert_int_equal(ad_numel(y), 1);
    assert_close(ad_item(y), 9, 0);
    assert_close(ad_item(ad_max_pool2d_index(x, wide)), 4, 0);
    assert_shape(z, AD_SHAPE(1, 1, 3, 2));
    const double most[] = { 3, 9, 8 };
    for (int i = 0; i < 6; i++) assert_close(ad_at(z, i), most[i / 2], 0);
    ad_backward(y);
    for (int i = 0; i < 9; i++) assert_close(ad_grad_at(x, i), i == 4, 0);
    ad_graph_free(g);
}

static void counts_that_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 4));
    assert_fails(g, ad_adaptive_avg_pool1d(x, 1000000000), AD_ESHAPE,
                 "cannot divide 4 elements into 1000000000 windows; at most 1024 for each element");
    assert_shape(ad_adaptive_avg_pool1d(x, 4096), AD_SHAPE(1, 1, 4096));
    assert_fails(g, ad_avg_pool1d(x, (ad_pool_opts){ .kernel = { INT64_MAX } }), AD_EVALUE,
                 "kernel 9223372036854775807 is not in 1..2147483647");
    ad_graph_free(g);
}

/* The time of an op on an array without elements does not depend on its other sizes. */
static void many_empty_rows(void **state) {
    (void)state;
    const int64_t many = sizeof(ptrdiff_t) == 8 ? 1000000007 : 10000019;
    ad_graph *g = bounded_graph();
    ad_var *rows = ad_param(g, AD_F64, NULL, AD_SHAPE(many, 3, 0));
    ad_var *columns = ad_param(g, AD_F64, NULL, AD_SHAPE(many, 0, 3));
    ad_var *square = ad_param(g, AD_F64, NULL, AD_SHAPE(many, 0, 0));
    ad_var *images = ad_param(g, AD_F64, NULL, AD_SHAPE(many, 0, 3, 3));
    ad_var *none = ad_param(g, AD_F64, NULL, AD_SHAPE(0, 0, 1, 1));
    double start = processor_seconds();
    ad_var *ys[] = { ad_softmax(rows, -1), ad_softmax(columns, 1), ad_log_softmax(rows, -1), ad_cumsum(rows, 2),
                     ad_cumprod(columns, 1), ad_linear_scan(rows, rows, 2, false, 0), ad_matmul(square, columns),
                     ad_conv2d(images, none, NULL, (ad_conv_opts){ 0 }),
                     ad_im2col(images, (ad_window){ .kernel = { 1, 1 } }), ad_tril(square, 0),
                     ad_permute(rows, AD_SHAPE(2, 0, 1)) };
    for (int i = 0; i < COUNT(ys); i++) ad_backward_from(ys[i], ad_zeros(g, AD_F64, ad_shape_of(ys[i])));
    assert_ok(g);
    assert_true(processor_seconds() - start < 1);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls),
        cmocka_unit_test(nil_after_an_error),
        cmocka_unit_test(nil_of_nil),
        cmocka_unit_test(numbers_of_operands),
        cmocka_unit_test(changed_samples),
        cmocka_unit_test(shapes_of_leaves),
        cmocka_unit_test(impossible_rows_and_modules),
        cmocka_unit_test(null_arrays_and_texts),
        cmocka_unit_test(null_ops),
        cmocka_unit_test(null_lists),
        cmocka_unit_test(huge_kernels),
        cmocka_unit_test(many_empty_rows),
        cmocka_unit_test(counts_that_are_refused),
    };
    return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
