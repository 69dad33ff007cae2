/* pixels.c: rearranging pixels and channels, unpooling by indices, power-average pooling, local response
   normalisation: by other ops. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/net/pool.h"

#include <math.h>

/* The error of a call, and nil. */
static ad_var *refuse(ad_var *x, const char *caller, const char *sentence) {
    ad_call c = AD__CALL_AS(caller, x);
    ad_call_fail(&c, AD_ESHAPE, "%s", sentence);
    return ad_nil(c.graph);
}

/* ---- pixel_shuffle, pixel_unshuffle, channel_shuffle ------------------------------------------------------------- */

/* The last three sizes of s; n is the product of the others. NULL if s has no such sizes. */
static int64_t *image_sizes(ad_shape *s, int64_t *n) {
    if (s->ndim < 3 || !ad__is_moderate(*s)) return NULL;
    *n = 1;
    for (int i = 0; i < s->ndim - 3; i++) *n *= s->dim[i];
    return s->dim + s->ndim - 3;
}

ad_var *ad_pixel_shuffle(ad_var *x, int64_t r) {
    if (ad__absent(x)) return ad__nil_result(x, "pixel_shuffle");
    ad_shape s = x->layout->shape;
    int64_t n, *d = image_sizes(&s, &n);
    if (d == NULL || r < 1 || r > 1 << 15 || d[0] % (r * r) != 0)
        return refuse(x, "pixel_shuffle", "takes [..,c,h,w] with c a multiple of r^2, and r of 1 or more");
    ad_var *y = ad_reshape(x, AD_SHAPE(n, d[0] / (r * r), r, r, d[1], d[2]));
    y = ad_permute(y, AD_SHAPE(0, 1, 4, 2, 5, 3));
    d[0] /= r * r, d[1] *= r, d[2] *= r;
    return ad_reshape(y, s);
}

ad_var *ad_pixel_unshuffle(ad_var *x, int64_t r) {
    if (ad__absent(x)) return ad__nil_result(x, "pixel_unshuffle");
    ad_shape s = x->layout->shape;
    int64_t n, *d = image_sizes(&s, &n);
    if (d == NULL || r < 1 || r > 1 << 15 || d[1] % r != 0 || d[2] % r != 0)
        return refuse(x, "pixel_unshuffle", "takes [..,c,h,w] with h and w multiples of r, and r of 1 or more");
    ad_var *y = ad_reshape(x, AD_SHAPE(n, d[0], d[1] / r, r, d[2] / r, r));
    y = ad_permute(y, AD_SHAPE(0, 1, 3, 5, 2, 4));
    d[0] *= r * r, d[1] /= r, d[2] /= r;
    return ad_reshape(y, s);
}

ad_var *ad_channel_shuffle(ad_var *x, int64_t groups) {
    if (ad__absent(x)) return ad__nil_result(x, "channel_shuffle");
    ad_shape s = x->layout->shape;
    if (s.ndim < 2 || !ad__is_moderate(s) || groups < 1 || s.dim[1] % groups != 0)
        return refuse(x, "channel_shuffle", "takes [n,c,..] with c a multiple of groups, and groups of 1 or more");
    int64_t rest = ad__around_axis(s, 1).inner;
    ad_var *y = ad_reshape(x, AD_SHAPE(s.dim[0], groups, s.dim[1] / groups, rest));
    return ad_reshape(ad_permute(y, AD_SHAPE(0, 2, 1, 3)), s);
}

/* ---- max_unpool2d ------------------------------------------------------------------------------------------------ */

/* Elements of x with one index are equal if they come from max_pool2d. Their mean is that element, too, and has the
   right slope, where PyTorch's is that times their number. */
ad_var *ad_max_unpool2d(ad_var *x, ad_var *index, int64_t h, int64_t w) {
    ad_var *nil = ad__absent_result("max_unpool2d", 2, (ad_var *[]){ x, index });
    if (nil != NULL) return nil;
    ad_shape s = x->layout->shape, planes = s;
    bool fits = s.ndim >= 2 && h >= 1 && w >= 1 && ad_shape_equal(s, index->layout->shape);
    if (fits) planes.dim[s.ndim - 2] = h, planes.dim[s.ndim - 1] = w;
    if (!fits || !ad__is_moderate(planes) || !ad__is_moderate(s))
        return refuse(x, "max_unpool2d", "takes x and index [..,h,w] of one shape, and sizes of 1 or more");
    ad_shape flat = AD_SHAPE(ad__plane_count(s), ad__plane_size(s)), to = AD_SHAPE(flat.dim[0], h * w);
    ad_var *zeros = ad_zeros(ad__owner(x), x->layout->dtype, to), *at = ad_reshape(index, flat);
    ad_var *ones = ad_ones(ad__owner(x), x->layout->dtype, flat);
    ad_var *count = ad_gather(ad_scatter_add(zeros, 1, at, ones), 1, at);
    return ad_reshape(ad_scatter_add(zeros, 1, at, ad_div(ad_reshape(x, flat), count)), planes);
}

ad_var *ad_max_pool1d_index(ad_var *x, ad_pool_opts opts) {
    return ad__pool_signal(x, opts, ad_max_pool2d_index, "max_pool1d_index");
}

ad_var *ad_max_unpool1d(ad_var *x, ad_var *index, int64_t l) {
    ad_var *nil = ad__absent_result("max_unpool1d", 2, (ad_var *[]){ x, index });
    if (nil != NULL) return nil;
    if (!ad__is_signal(x, "max_unpool1d") || !ad__is_signal(index, "max_unpool1d")) return ad_nil(ad__owner(x));
    return ad_squeeze_axis(ad_max_unpool2d(ad_unsqueeze(x, -2), ad_unsqueeze(index, -2), 1, l), -2);
}

/* ---- lp_pool ----------------------------------------------------------------------------------------------------- */

/* The p-th root of the sum of x^p, of means and n elements each. Where the sum is 0 it has the slope 0. */
static ad_var *root_of_sums(ad_var *means, double n, double p) {
    if (ad__absent(means)) return means;
    ad_var *sums = ad_muls(means, n), *positive = ad_gt(sums, ad__constant(sums, 0));
    ad_var *root = ad_pows(ad_where(positive, sums, ad__constant(sums, 1)), 1 / p);
    return ad_where(positive, root, ad__constant(sums, 0));
}

/* As in PyTorch, a window that extends beyond the end counts as a full one. */
static ad_var *lp_pool(ad_var *x, double p, ad_pool_opts o, int axes, ad__pool_fn *f, const char *caller) {
    if (ad__absent(x)) return ad__nil_result(x, caller);
    ad_call c = AD__CALL_AS(caller, x);
    bool padded = false;
    for (int i = 0; i < axes; i++) padded |= o.padding[i] != 0;
    if (!(p > 0 && p < (double)INFINITY) || padded) {
        ad_call_fail(&c, AD_EVALUE, "p is %g; it must be above 0 and finite, and there is no padding", p);
        return ad_nil(c.graph);
    }
    double n = (double)o.kernel[0] * (axes > 1 ? (double)o.kernel[1] : 1);
    return root_of_sums(f(ad_pows(x, p), o), n, p);
}

ad_var *ad_lp_pool1d(ad_var *x, double p, ad_pool_opts opts) {
    return lp_pool(x, p, opts, 1, ad_avg_pool1d, "lp_pool1d");
}
ad_var *ad_lp_pool2d(ad_var *x, double p, ad_pool_opts opts) {
    return lp_pool(x, p, opts, 2, ad_avg_pool2d, "lp_pool2d");
}

/* ---- local_response_norm ----------------------------------------------------------------------------------------- */

/* Krizhevsky et al. 2012: x / (k + alpha mean)^beta, where the mean is of the squares of `size` neighbouring channels,
   and channels that are missing count as 0. */
ad_var *ad_local_response_norm(ad_var *x, int64_t size, double alpha, double beta, double k) {
    if (ad__absent(x)) return ad__nil_result(x, "local_response_norm");
    ad_shape s = x->layout->shape;
    if (s.ndim < 3 || !ad__is_moderate(s) || size < 1 || size > 1 << 20)
        return refuse(x, "local_response_norm", "takes [n,c,..] of 3 dimensions or more, and 1 to 2^20 channels");
    ad_shape flat = AD_SHAPE(s.dim[0], s.dim[1], ad__around_axis(s, 1).inner);
    /* Of a window that is larger than x, the part within x. */
    int64_t before = ad__lesser(size / 2, s.dim[1]), after = ad__lesser((size - 1) / 2, s.dim[1]);
    int64_t part = before + 1 + after;
    ad_var *squares = ad_pad(ad_reshape(ad_square(x), flat), AD_SHAPE(before, 0), AD_SHAPE(after, 0), 0);
    ad_var *means = ad_avg_pool2d(squares, (ad_pool_opts){ .kernel = { part, 1 }, .stride = { 1, 1 } });
    double share = (double)part / (double)size;
    return ad_div(x, ad_pows(ad_adds(ad_muls(ad_reshape(means, s), alpha * share), k), beta));
}
