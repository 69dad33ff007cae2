/* volume.c: convolutions and pools of volumes [..,d,h,w], by those of images: their windows are separable, or are
   gathered along d. */
#include "ops/base/attrs.h"
#include "ops/net/conv_geometry.h"
#include "ops/net/pool.h"

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

static ad_var *refused(const ad_var *x, const char *caller, const char *takes) {
    ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s: takes %s", caller, ad_shape_str(x->layout->shape).text, takes);
    return ad_nil(ad__owner(x));
}

/* The window along d, over a volume seen as an image [d, h*w]. */
static ad_window along_d(const ad_conv_opts *o, int64_t kernel) {
    return (ad_window){ .kernel = { kernel, 1 },
                        .stride = { o->stride[0], 1 },
                        .padding = { o->padding[0], 0 },
                        .dilation = { o->dilation[0], 1 } };
}
/* The options along h and w. */
static ad_conv_opts across(const ad_conv_opts *o) {
    return (ad_conv_opts){ .stride = { o->stride[1], o->stride[2] },
                           .padding = { o->padding[1], o->padding[2] },
                           .dilation = { o->dilation[1], o->dilation[2] },
                           .groups = o->groups,
                           .output_padding = { o->output_padding[1], o->output_padding[2] } };
}

/* Weights [a, b, kd, kh, kw] as those of images, [a, b*kd, kh, kw]. */
static ad_var *flat_weight(ad_var *w) {
    ad_shape s = w->layout->shape;
    return ad_reshape(w, AD_SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3], s.dim[4]));
}

/* The batch may be empty. */
static bool are_volumes(const ad_var *x, const ad_var *w) {
    ad_shape s = x->layout->shape, k = w->layout->shape;
    bool fits = s.ndim == 5 && k.ndim == 5 && ad__is_moderate(s) && w->layout->numel > 0;
    for (int i = 1; i < 5 && fits; i++) fits = s.dim[i] >= 1;
    return fits;
}

/* The elements of each window along d become channels: [n,c,d,h,w] -> [n*od, c*kd, h, w]. */
ad_var *ad_conv3d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    if (ad__absent(x) || ad__absent(w)) return ad_conv2d(x, w, b, opts);
    const char *takes = "volumes [n,c,d,h,w], weights [o,c/groups,kd,kh,kw], with sizes of 1 or more";
    if (!are_volumes(x, w)) return refused(x, "conv3d", takes);
    x = ad__conv_crop(x, 3, opts.padding, "conv3d");
    if (ad__absent(x)) return x;
    ad_shape s = x->layout->shape, k = w->layout->shape;
    int64_t n = s.dim[0], c = s.dim[1], area = s.dim[3] * s.dim[4];
    ad_var *windows = ad_im2col(ad_reshape(x, AD_SHAPE(n * c, 1, s.dim[2], area)), along_d(&opts, k.dim[2]));
    if (ad__absent(windows)) return windows;
    int64_t depth = windows->layout->shape.dim[2] / area;
    windows = ad_permute(ad_reshape(windows, AD_SHAPE(n, c, k.dim[2], depth, area)), AD_SHAPE(0, 3, 1, 2, 4));
    windows = ad_reshape(windows, AD_SHAPE(n * depth, c * k.dim[2], s.dim[3], s.dim[4]));
    ad_var *y = ad_conv2d(windows, flat_weight(w), b, across(&opts));
    if (ad__absent(y)) return y;
    ad_shape ys = y->layout->shape;
    return ad_permute(ad_reshape(y, AD_SHAPE(n, depth, ys.dim[1], ys.dim[2], ys.dim[3])), AD_SHAPE(0, 2, 1, 3, 4));
}

/* The transpose, without padding along d: channels [o*kd] of each image are summed into the volume. */
static ad_var *transpose_unpadded(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    ad_shape s = x->layout->shape, k = w->layout->shape;
    ad_var *images = ad_permute(x, AD_SHAPE(0, 2, 1, 3, 4));
    images = ad_reshape(images, AD_SHAPE(s.dim[0] * s.dim[2], s.dim[1], s.dim[3], s.dim[4]));
    ad_var *y = ad_conv_transpose2d(images, flat_weight(w), b, across(&opts));
    if (ad__absent(y)) return y;
    ad_shape ys = y->layout->shape;
    int64_t o = ys.dim[1] / k.dim[2], area = ys.dim[2] * ys.dim[3];
    int64_t stride = opts.stride[0] ? opts.stride[0] : 1, dilation = opts.dilation[0] ? opts.dilation[0] : 1;
    int64_t depth = (s.dim[2] - 1) * stride + dilation * (k.dim[2] - 1) + 1;
    y = ad_permute(ad_reshape(y, AD_SHAPE(s.dim[0], s.dim[2], o, k.dim[2], area)), AD_SHAPE(0, 2, 3, 1, 4));
    y = ad_reshape(y, AD_SHAPE(s.dim[0] * o, k.dim[2], s.dim[2] * area));
    y = ad_col2im(y, depth, area, along_d(&opts, k.dim[2]));
    return ad_reshape(y, AD_SHAPE(s.dim[0], o, depth, ys.dim[2], ys.dim[3]));
}

ad_var *ad_conv_transpose3d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    if (ad__absent(x) || ad__absent(w)) return ad_conv_transpose2d(x, w, b, opts);
    const char *takes =
        "volumes [n,c,d,h,w], weights [c,o/groups,kd,kh,kw], with sizes of 1 or more, and strides below 2^31";
    bool fits = are_volumes(x, w);
    for (int i = 0; i < 3; i++)
        fits &= (uint64_t)opts.stride[i] <= INT32_MAX && (uint64_t)opts.dilation[i] <= INT32_MAX;
    if (!fits) return refused(x, "conv_transpose3d", takes);
    return ad__conv_transpose_whole(x, w, b, 3, opts, transpose_unpadded, "conv_transpose3d");
}

/* ---- pools: over h and w, then over d ---------------------------------------------------------------------------- */

/* Applies f with the options along h and w, and then with those along d, over [.., d, h*w]. */
static ad_var *pool_volume(ad_var *x, ad_pool_opts o, ad__pool_fn *f, const char *caller) {
    if (ad__absent(x)) return f(x, o);
    if (x->layout->shape.ndim < 3 || !ad__is_moderate(x->layout->shape))
        return refused(x, caller, "3 dimensions or more, and pools over the last three");
    ad_pool_opts image = { .kernel = { o.kernel[1], o.kernel[2] },
                           .stride = { o.stride[1], o.stride[2] },
                           .padding = { o.padding[1], o.padding[2] },
                           .dilation = { o.dilation[1], o.dilation[2] },
                           .ceil_mode = o.ceil_mode,
                           .exclude_padding = o.exclude_padding };
    ad_pool_opts depth = { .kernel = { o.kernel[0], 1 },
                           .stride = { o.stride[0], 1 },
                           .padding = { o.padding[0], 0 },
                           .dilation = { o.dilation[0], 1 },
                           .ceil_mode = o.ceil_mode,
                           .exclude_padding = o.exclude_padding };
    ad_var *y = f(x, image);
    if (ad__absent(y)) return y;
    ad_shape s = y->layout->shape, flat = { .ndim = s.ndim - 1 };
    for (int i = 0; i < s.ndim; i++) flat.dim[i] = s.dim[i];
    flat.dim[s.ndim - 2] *= s.dim[s.ndim - 1];
    y = f(ad_reshape(y, flat), depth);
    if (ad__absent(y)) return y;
    s.dim[s.ndim - 3] = y->layout->shape.dim[s.ndim - 3];
    return ad_reshape(y, s);
}

ad_var *ad_max_pool3d(ad_var *x, ad_pool_opts opts) { return pool_volume(x, opts, ad_max_pool2d, "max_pool3d"); }
ad_var *ad_avg_pool3d(ad_var *x, ad_pool_opts opts) { return pool_volume(x, opts, ad_avg_pool2d, "avg_pool3d"); }

/* ---- adaptive pools ---------------------------------------------------------------------------------------------- */

ad_var *ad_adaptive_avg_pool3d(ad_var *x, int64_t d, int64_t h, int64_t w) {
    ad_var *y = ad_adaptive_avg_pool2d(x, h, w);
    if (ad__absent(y)) return y;
    if (y->layout->shape.ndim < 3 || !ad__is_moderate(y->layout->shape))
        return refused(x, "adaptive_avg_pool3d", "3 dimensions or more");
    ad_shape s = y->layout->shape, flat = { .ndim = s.ndim - 1 };
    for (int i = 0; i < s.ndim; i++) flat.dim[i] = s.dim[i];
    flat.dim[s.ndim - 2] *= s.dim[s.ndim - 1];
    s.dim[s.ndim - 3] = d;
    return ad_reshape(ad_adaptive_avg_pool2d(ad_reshape(y, flat), d, flat.dim[s.ndim - 2]), s);
}

/* The elements of each of n windows, one window after the other; all have k places, and the last element fills those
   that are left. */
static ad_var *window_indices(const ad_var *x, int64_t size, int64_t n, int64_t k) {
    ad_var *index = ad_zeros(ad__owner(x), x->layout->dtype, AD_SHAPE(n * k));
    for (int64_t i = 0; i < index->layout->numel; i++) {
        int64_t window = i / k, lo = window * size / n, hi = ((window + 1) * size + n - 1) / n;
        ad__put(index, i, (double)ad__lesser(lo + i % k, hi - 1));
    }
    return index;
}

/* The maxima of n windows along an axis. Of equal elements the first counts. */
static ad_var *adaptive_max(ad_var *x, int axis, int64_t n, const char *caller) {
    if (ad__absent(x)) return x;
    ad_shape s = x->layout->shape;
    int64_t size = s.dim[axis], most = 1024;
    if (size < 1 || n < 1 || n / most > size || size > (int64_t)1 << 24)
        return refused(x, caller, "windows of one element or more, and at most 1024 for each element");
    if (n == size) return x;
    int64_t k = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t width = ((i + 1) * size + n - 1) / n - i * size / n;
        if (width > k) k = width;
    }
    ad__around a = ad__around_axis(s, axis);
    ad_var *windows = size == n * k ? x : ad_take_axis(x, axis, window_indices(x, size, n, k));
    windows = ad_reshape(windows, AD_SHAPE(a.outer, n * k, a.inner));
    s.dim[axis] = n;
    return ad_reshape(ad_max_pool2d(windows, (ad_pool_opts){ .kernel = { k, 1 } }), s);
}

static ad_var *adaptive_maxima(ad_var *x, int axes, const int64_t *sizes, const char *caller) {
    if (ad__absent(x) || !ad_ok(ad__owner(x))) return ad__nil_result(x, caller);
    int ndim = x->layout->shape.ndim;
    if (ndim < axes || !ad__is_moderate(x->layout->shape))
        return refused(x, caller, "one dimension for each size at least");
    for (int i = axes - 1; i >= 0; i--) x = adaptive_max(x, ndim - axes + i, sizes[i], caller);
    return x;
}

ad_var *ad_adaptive_max_pool1d(ad_var *x, int64_t l) { return adaptive_maxima(x, 1, &l, "adaptive_max_pool1d"); }
ad_var *ad_adaptive_max_pool2d(ad_var *x, int64_t h, int64_t w) {
    return adaptive_maxima(x, 2, (int64_t[]){ h, w }, "adaptive_max_pool2d");
}
ad_var *ad_adaptive_max_pool3d(ad_var *x, int64_t d, int64_t h, int64_t w) {
    return adaptive_maxima(x, 3, (int64_t[]){ d, h, w }, "adaptive_max_pool3d");
}
