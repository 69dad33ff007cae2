/* pool.c: attributes, shape rules and samples that max_pool.c and avg_pool.c share. */
#include "ops/net/pool.h"

#include "ops/base/samples.h"
#include "ops/net/pair.h"

ad__pool_attrs ad__pool_attrs_of(ad_pool_opts o) {
    return (ad__pool_attrs){ .kernel = ad__pair(o.kernel, 0),
                             .stride = AD_SHAPE(o.stride[0] ? o.stride[0] : o.kernel[0],
                                                o.stride[1] ? o.stride[1] : o.kernel[1]),
                             .padding = ad__pair(o.padding, 0),
                             .dilation = ad__pair(o.dilation, 1),
                             .ceil_mode = o.ceil_mode,
                             .count_include_pad = !o.exclude_padding };
}

int64_t ad__plane_count(ad_shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.ndim - 2; i++) n *= s.dim[i];
    return n;
}

void ad__over_planes(const ad_op *op, const ad_var *x, ad_loop_fn *body, void *context) {
    enum { COST = 2, CHUNKS = 16 }; /* of an element, in those of a cheap loop; a chunk begins with a plan */
    int64_t planes = ad__plane_count(x->layout->shape);
    int64_t work = 1 + COST * ad__plane_size(x->layout->shape);
    ad_parallel(ad__op_team(op), planes, planes / CHUNKS + 1, work, body, context);
}

static bool is_adaptive(const ad__pool_attrs *a) { return a->output.ndim > 0; }

ad__pooling ad__pooling_of(const ad__pool_attrs *a, ad_shape in, ad_shape out) {
    ad__pooling p = { .count_padding = a->count_include_pad, .adaptive = is_adaptive(a) };
    for (int i = 0; i < 2; i++) {
        p.in[i] = in.dim[in.ndim - 2 + i], p.out[i] = out.dim[out.ndim - 2 + i];
        p.kernel[i] = a->kernel.dim[i], p.stride[i] = a->stride.dim[i];
        p.padding[i] = a->padding.dim[i], p.dilation[i] = a->dilation.dim[i];
    }
    return p;
}

/* ---- shapes ----------------------------------------------------------------------------------------------------- */

int ad__pool_check_planes(const ad_call *c) {
    if (c->shape.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes 2 dimensions or more, and pools over the last two");
    return AD_OK;
}

static int check_window(const ad_call *c) {
    const ad__pool_attrs *a = c->attrs;
    int rc = ad__check_pair(c, "kernel", a->kernel.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(c, "stride", a->stride.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(c, "dilation", a->dilation.dim, 1);
    if (rc != AD_OK) return rc;
    for (int i = 0; i < 2; i++) {
        int64_t padding = a->padding.dim[i], most = a->dilation.dim[i] * (a->kernel.dim[i] - 1);
        if (padding < 0 || padding > most)
            return ad_call_fail(c, AD_EVALUE, "padding %lld is not in 0..%lld, less than the dilated kernel",
                                (long long)padding, (long long)most);
    }
    return AD_OK;
}

/* The number of windows along axis i, which has size elements. */
static int64_t windows_along(const ad__pool_attrs *a, int i, int64_t size) {
    if (is_adaptive(a)) return a->output.dim[i];
    return ad__pooling_places(size, a->kernel.dim[i], a->stride.dim[i], a->padding.dim[i], a->dilation.dim[i],
                              a->ceil_mode);
}

/* Checks the number of windows along an axis of that size. An adaptive pool repeats elements if there are more windows,
   and MOST is far more than that is of use for. */
static int check_windows(const ad_call *c, int i, int64_t size, int64_t windows) {
    enum { MOST = 1024 };
    const ad__pool_attrs *a = c->attrs;
    if (is_adaptive(a) && (size < 1 || windows < 1 || windows / MOST > size))
        return ad_call_fail(c, AD_ESHAPE, "cannot divide %lld elements into %lld windows; at most %d for each element",
                            (long long)size, (long long)windows, MOST);
    if (size < 1 || windows < 1)
        return ad_call_fail(c, AD_ESHAPE, "a size of %lld is too small for windows of %lld", (long long)size,
                            (long long)a->kernel.dim[i]);
    if (windows > INT32_MAX)
        return ad_call_fail(c, AD_ESHAPE, "%lld windows along an axis: at most %d", (long long)windows, INT32_MAX);
    return AD_OK;
}

int ad__pooled_shape(const ad_call *c, ad_shape in, ad_shape *out) {
    const ad__pool_attrs *a = c->attrs;
    if (ad__plane_size(in) > INT32_MAX)
        return ad_call_fail(c, AD_ESHAPE, "a plane has more than %d elements", INT32_MAX);
    int rc = is_adaptive(a) ? AD_OK : check_window(c);
    if (rc != AD_OK) return rc;
    *out = in;
    for (int i = 0; i < 2; i++) {
        int64_t size = in.dim[in.ndim - 2 + i], windows = windows_along(a, i, size);
        rc = check_windows(c, i, size, windows);
        if (rc != AD_OK) return rc;
        out->dim[in.ndim - 2 + i] = windows;
    }
    ad__pooling p = ad__pooling_of(a, in, *out);
    if (!ad__pooling_meets(&p)) return ad_call_fail(c, AD_ESHAPE, "a dilated window has no element in the plane");
    return AD_OK;
}

int ad__pool_shape(ad_call *c) {
    int rc = ad__pool_check_planes(c);
    return rc == AD_OK ? ad__pooled_shape(c, c->shape, &c->shape) : rc;
}

/* ---- forms in C -------------------------------------------------------------------------------------------------- */

bool ad__pool_is_even(ad__pooling *p) {
    for (int i = 0; i < 2 && p->adaptive; i++) {
        if (p->in[i] % p->out[i] != 0) return false;
        p->kernel[i] = p->stride[i] = p->in[i] / p->out[i], p->padding[i] = 0, p->dilation[i] = 1;
    }
    return true;
}

ad_emit_array ad__emit_plane(ad_emit *e, ad_dtype t, const ad__pooling *p, int64_t n, double k, ad_emit_array *inside) {
    ad_shape s = AD_SHAPE(n, 0, 0);
    for (int i = 0; i < 2; i++) {
        int64_t reach = (p->out[i] - 1) * p->stride[i] + (p->kernel[i] - 1) * p->dilation[i] + 1;
        int64_t padded = p->in[i] + 2 * p->padding[i];
        s.dim[1 + i] = reach > padded ? reach : padded;
    }
    if (n == 0) s = AD_SHAPE(s.dim[1], s.dim[2]);
    ad_emit_array plane = ad_emit_new(e, t, s);
    ad__emit_fill(e, plane, k);
    *inside = plane;
    for (int i = 0; i < 2; i++) *inside = ad__emit_part(*inside, s.ndim - 2 + i, p->padding[i], p->in[i], 1);
    return plane;
}

ad_emit_array ad__emit_pool_windows(const ad__pooling *p, ad_emit_array plane) {
    return ad__emit_windows(plane, (int64_t[]){ p->out[0], p->out[1] }, (int64_t[]){ p->kernel[0], p->kernel[1] },
                            (int64_t[]){ p->stride[0], p->stride[1] }, (int64_t[]){ p->dilation[0], p->dilation[1] });
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

bool ad__is_signal(ad_var *x, const char *caller) {
    if (ad__absent(x)) return ad_refuse_nil(x, caller), false;
    if (x->layout->shape.ndim >= 1 && x->layout->shape.ndim < AD_MAX_NDIM) return true;
    ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s: takes 1 to %d dimensions, and pools over the last", caller,
            ad_shape_str(x->layout->shape).text, AD_MAX_NDIM - 1);
    return false;
}

ad_var *ad__pool_signal(ad_var *x, ad_pool_opts o, ad__pool_fn *f, const char *caller) {
    if (!ad__is_signal(x, caller)) return ad_nil(x ? ad__owner(x) : NULL);
    ad_pool_opts along = { .kernel = { 1, o.kernel[0] },
                           .stride = { 1, o.stride[0] },
                           .padding = { 0, o.padding[0] },
                           .dilation = { 1, o.dilation[0] },
                           .ceil_mode = o.ceil_mode,
                           .exclude_padding = o.exclude_padding };
    return ad_squeeze_axis(f(ad_unsqueeze(x, -2), along), -2);
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

const ad__pool_case ad__pool_cases[AD__POOL_CASES] = {
    { "2,3,4,4", { .kernel = { 2, 2 } } },
    { "1,1", { .kernel = { 1, 1 } } },
    { "1,2,5,7", { .kernel = { 3, 2 }, .stride = { 1, 2 }, .padding = { 1, 1 } } },
    { "2,6,5", { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 0 }, .ceil_mode = true } },
    { "1,1,7,5", { .kernel = { 2, 2 }, .stride = { 3, 3 }, .padding = { 1, 1 }, .ceil_mode = true } },
    { "1,2,7,6", { .kernel = { 3, 2 }, .padding = { 1, 1 }, .exclude_padding = true, .ceil_mode = true } },
    { "0,2,4,4", { .kernel = { 2, 2 } } },
};

void ad__pool_samples(ad_sampler *s) {
    for (int i = 0; i < AD__POOL_CASES; i++) {
        ad__pool_attrs a = ad__pool_attrs_of(ad__pool_cases[i].o);
        ad__sample_text(s, &a, 1, ad__pool_cases[i].x, NULL, NULL);
    }
}
