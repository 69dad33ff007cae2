/* masked.c: reductions and softmax of the elements where a mask is not 0, as in torch.masked. x and mask broadcast. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

/* x, with the element that a reduction ignores where the mask is 0. */
static ad_var *filled(const char *caller, ad_var *x, ad_var *mask, double neutral) {
    ad_var *nil = ad__unfit_broadcast(caller, 2, (ad_var *[]){ x, mask });
    return nil ? nil : ad_where(mask, x, ad__constant(x, neutral));
}

/* ---- reductions over n axes, of all if n is 0 ----------------------------------------------------------------- */

ad_var *ad_masked_sum(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    return ad_sum_axes(filled("masked_sum", x, mask, 0), n, axes, keepdims);
}
ad_var *ad_masked_prod(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    return ad_prod_axes(filled("masked_prod", x, mask, 1), n, axes, keepdims);
}
ad_var *ad_masked_amax(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    return ad_max_axes(filled("masked_amax", x, mask, -INFINITY), n, axes, keepdims);
}
ad_var *ad_masked_amin(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    return ad_min_axes(filled("masked_amin", x, mask, INFINITY), n, axes, keepdims);
}
ad_var *ad_masked_logsumexp(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    return ad_logsumexp_axes(filled("masked_logsumexp", x, mask, -INFINITY), n, axes, keepdims);
}
ad_var *ad_masked_norm(ad_var *x, ad_var *mask, double p, int n, const int *axes, bool keepdims) {
    return ad_norm_axes(filled("masked_norm", x, mask, p < 0 ? INFINITY : 0), n, axes, p, keepdims);
}

/* The sum of the kept elements, and in *count how many there are. */
static ad_var *sum_and_count(const char *caller, ad_var *x, ad_var *mask, int n, const int *axes, ad_var **count) {
    ad_var *kept = filled(caller, x, mask, 0);
    if (ad__absent(kept)) return kept;
    *count = ad_sum_axes(ad_where(mask, ad_ones_like(kept), ad__constant(kept, 0)), n, axes, true);
    return ad_sum_axes(kept, n, axes, true);
}

/* y, of which the axes were kept, without them unless they are to be kept. */
static ad_var *dropped(ad_var *y, int n, const int *axes, bool keepdims) {
    return keepdims ? y : ad_sum_axes(y, n, axes, false);
}

ad_var *ad_masked_mean(ad_var *x, ad_var *mask, int n, const int *axes, bool keepdims) {
    ad_var *count, *sum = sum_and_count("masked_mean", x, mask, n, axes, &count);
    return ad__absent(sum) ? sum : dropped(ad_div(sum, count), n, axes, keepdims);
}

ad_var *ad_masked_var(ad_var *x, ad_var *mask, int n, const int *axes, int correction, bool keepdims) {
    ad_var *count, *sum = sum_and_count("masked_var", x, mask, n, axes, &count);
    if (ad__absent(sum)) return sum;
    ad_var *apart = ad_where(mask, ad_sub(x, ad_div(sum, count)), ad__constant(x, 0));
    ad_var *squares = ad_sum_axes(ad_square(apart), n, axes, true);
    return dropped(ad_div(squares, ad_clamp(ad_adds(count, -(double)correction), 0, INFINITY)), n, axes, keepdims);
}
ad_var *ad_masked_std(ad_var *x, ad_var *mask, int n, const int *axes, int correction, bool keepdims) {
    return ad_sqrt(ad_masked_var(x, mask, n, axes, correction, keepdims));
}

/* ---- along one axis ------------------------------------------------------------------------------------------- */

ad_var *ad_masked_argmax(ad_var *x, ad_var *mask, int axis, bool keepdims) {
    return ad_argmax_axis(filled("masked_argmax", x, mask, -INFINITY), axis, keepdims);
}
ad_var *ad_masked_argmin(ad_var *x, ad_var *mask, int axis, bool keepdims) {
    return ad_argmin_axis(filled("masked_argmin", x, mask, INFINITY), axis, keepdims);
}
ad_var *ad_masked_median(ad_var *x, ad_var *mask, int axis, bool keepdims) {
    return ad_nanmedian_axis(filled("masked_median", x, mask, NAN), axis, keepdims);
}
ad_var *ad_masked_softmax(ad_var *x, ad_var *mask, int axis) {
    return ad_softmax(filled("masked_softmax", x, mask, -INFINITY), axis);
}
ad_var *ad_masked_log_softmax(ad_var *x, ad_var *mask, int axis) {
    return ad_log_softmax(filled("masked_log_softmax", x, mask, -INFINITY), axis);
}
ad_var *ad_masked_softmin(ad_var *x, ad_var *mask, int axis) {
    return ad_softmin(filled("masked_softmin", x, mask, INFINITY), axis);
}
ad_var *ad_masked_cumsum(ad_var *x, ad_var *mask, int axis) {
    return ad_cumsum(filled("masked_cumsum", x, mask, 0), axis);
}
ad_var *ad_masked_cumprod(ad_var *x, ad_var *mask, int axis) {
    return ad_cumprod(filled("masked_cumprod", x, mask, 1), axis);
}
ad_var *ad_masked_normalize(ad_var *x, ad_var *mask, int axis, double p, double eps) {
    return ad_normalize_axis(filled("masked_normalize", x, mask, 0), axis, p, eps);
}
