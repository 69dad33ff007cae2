/* max_pool.c: pooling over the last two axes: the largest or the mean of each window; over signals too. */
#include "ops/base/attrs.h"
#include "ops/kernels/net/pool.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- attributes -------------------------------------------------------------------------------------------- */

/* As pairs along h and w, zeros replaced by PyTorch's defaults. */
typedef struct {
    ad_shape kernel, stride, padding, dilation;
    ad_shape output; /* of an adaptive pool, which has no kernel; else of no dimensions */
    ad_shape size;   /* of the planes to go back to: avg_unpool2d */
    bool ceil_mode, count_include_pad;
} pool_attrs;

#define FIELD(name, kind) { #name, kind, offsetof(pool_attrs, name) }
#define WINDOW FIELD(kernel, AD_ATTR_SHAPE), FIELD(stride, AD_ATTR_SHAPE), FIELD(padding, AD_ATTR_SHAPE)
static const ad_attr max_list[] = { WINDOW, FIELD(dilation, AD_ATTR_SHAPE), FIELD(ceil_mode, AD_ATTR_BOOL), { 0 } };
static const ad_attr avg_list[] = { WINDOW, FIELD(ceil_mode, AD_ATTR_BOOL), FIELD(count_include_pad, AD_ATTR_BOOL),
                                    FIELD(output, AD_ATTR_SHAPE), { 0 } };
static const ad_attr unpool_list[] = { WINDOW, FIELD(ceil_mode, AD_ATTR_BOOL), FIELD(count_include_pad, AD_ATTR_BOOL),
                                       FIELD(output, AD_ATTR_SHAPE), FIELD(size, AD_ATTR_SHAPE), { 0 } };

static pool_attrs attrs_from(ad_pool_opts o) {
    pool_attrs a = { .ceil_mode = o.ceil_mode, .count_include_pad = !o.exclude_padding };
    a.kernel.ndim = a.stride.ndim = a.padding.ndim = a.dilation.ndim = 2;
    for (int i = 0; i < 2; i++) {
        a.kernel.dim[i] = o.kernel[i];
        a.stride.dim[i] = o.stride[i] ? o.stride[i] : o.kernel[i];
        a.padding.dim[i] = o.padding[i];
        a.dilation.dim[i] = o.dilation[i] ? o.dilation[i] : 1;
    }
    return a;
}

static const pool_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

/* ---- planes -------------------------------------------------------------------------------------------------- */

static int64_t plane(ad_shape s) { return s.dim[s.ndim - 2] * s.dim[s.ndim - 1]; }
static int64_t planes_of(ad_shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.ndim - 2; i++) n *= s.dim[i];
    return n;
}
static ad_shape with_planes(ad_shape s, int64_t h, int64_t w) {
    s.dim[s.ndim - 2] = h, s.dim[s.ndim - 1] = w;
    return s;
}

static ad__pooling pool_of(const pool_attrs *a, ad_shape in, ad_shape out) {
    ad__pooling p = { .count_padding = a->count_include_pad, .adaptive = a->output.ndim > 0 };
    for (int i = 0; i < 2; i++) {
        p.in[i] = in.dim[in.ndim - 2 + i], p.out[i] = out.dim[out.ndim - 2 + i];
        p.kernel[i] = a->kernel.dim[i], p.stride[i] = a->stride.dim[i];
        p.padding[i] = a->padding.dim[i], p.dilation[i] = a->dilation.dim[i];
    }
    return p;
}

static int check_planes(const ad_call *c) {
    if (c->shape.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes 2 dimensions or more, and pools over the last two");
    return AD_OK;
}

static int check_window(const ad_call *c, const pool_attrs *a, int i) {
    int64_t k = a->kernel.dim[i], s = a->stride.dim[i], p = a->padding.dim[i], d = a->dilation.dim[i];
    if (k < 1 || s < 1 || d < 1 || k > INT32_MAX || s > INT32_MAX || d > INT32_MAX)
        return ad_call_fail(c, AD_EVALUE, "kernel, stride and dilation must be 1 or more");
    if (p < 0 || p > k / 2)
        return ad_call_fail(c, AD_EVALUE, "padding %lld is not in 0..%lld, half of the kernel", (long long)p,
                            (long long)k / 2);
    return AD_OK;
}

/* in's last two sizes replaced by how many windows there are. */
static int pooled_shape(const ad_call *c, const pool_attrs *a, ad_shape in, ad_shape *out) {
    *out = in;
    if (plane(in) > INT32_MAX) return ad_call_fail(c, AD_ESHAPE, "a plane has more than %d elements", INT32_MAX);
    for (int i = 0; i < 2; i++) {
        int64_t size = in.dim[in.ndim - 2 + i], *places = &out->dim[in.ndim - 2 + i];
        bool adaptive = a->output.ndim > 0;
        int rc = adaptive ? AD_OK : check_window(c, a, i);
        if (rc != AD_OK) return rc;
        *places = adaptive ? a->output.dim[i]
                           : ad__pooling_places(size, a->kernel.dim[i], a->stride.dim[i], a->padding.dim[i],
                                             a->dilation.dim[i], a->ceil_mode);
        if (size < 1 || *places < 1 || *places > INT32_MAX)
            return ad_call_fail(c, AD_ESHAPE, adaptive ? "cannot divide %lld elements into %lld windows"
                                                       : "a size of %lld has no room for windows of %lld",
                                (long long)size, (long long)(adaptive ? *places : a->kernel.dim[i]));
    }
    ad__pooling p = pool_of(a, in, *out);
    if (!ad__pooling_meets(&p)) return ad_call_fail(c, AD_ESHAPE, "a dilated window lies beside the plane");
    return AD_OK;
}

static int pool_shape(ad_call *c) {
    int rc = check_planes(c);
    return rc == AD_OK ? pooled_shape(c, c->attrs, c->shape, &c->shape) : rc;
}

/* ---- max_pool2d ------------------------------------------------------------------------------------------------ */

static int max_pool2d_shape(ad_call *c) {
    int rc = pool_shape(c);
    if (rc == AD_OK && ad__shape_valid(c->shape)) c->saved = (size_t)ad_shape_numel(c->shape) * sizeof(int32_t) + 1;
    return rc;
}

static int max_pool2d_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    ad__pooling p = pool_of(attrs_of(op), x->layout->shape, y->layout->shape);
    int64_t planes = planes_of(x->layout->shape);
    if (y->layout->dtype == AD_F32) ad__max_pool_f32(&p, planes, x->data, y->data, ad_saved(op));
    else ad__max_pool_f64(&p, planes, x->data, y->data, ad_saved(op));
    return AD_OK;
}

static void max_pool2d_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *y = ad__out(op);
    bool fresh;
    char *gx = ad_grad_claim(op, 0, &fresh);
    const char *g = y->grad;
    const int32_t *index = ad_saved(op);
    ad_dtype t = y->layout->dtype;
    int64_t places = plane(y->layout->shape);
    size_t bytes = (size_t)plane(x->layout->shape) * ad_dtype_size(t);
    for (int64_t c = planes_of(x->layout->shape); gx != NULL && c > 0; c--, gx += bytes, index += places) {
        if (fresh) memset(gx, 0, bytes);
        if (t == AD_F32) ad__scatter_plane_f32(places, index, (const void *)g, (void *)gx);
        else ad__scatter_plane_f64(places, index, (const void *)g, (void *)gx);
        g += (size_t)places * ad_dtype_size(t);
    }
}

static ad_var *apply_pool(const ad_optype *type, ad_var *x, const pool_attrs *a) { return ad__apply1(type, x, a); }

static void max_pool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape, pooled = ad__out(op)->layout->shape;
    ad_shape flat = AD_SHAPE(planes_of(s), plane(pooled));
    ad_var *index = ad_reshape(apply_pool(&ad_op_max_pool2d_index, op->in[0], attrs_of(op)), flat);
    ad_var *zeros = ad_zeros(ad__owner(g), g->layout->dtype, AD_SHAPE(planes_of(s), plane(s)));
    dx[0] = ad_reshape(ad_scatter_add(zeros, 1, index, ad_reshape(g, flat)), s);
}

static const struct {
    ad_shape x;
    ad_pool_opts o;
} cases[] = {
    { { 4, { 2, 3, 4, 4 } }, { .kernel = { 2, 2 } } },
    { { 2, { 1, 1 } }, { .kernel = { 1, 1 } } },
    { { 4, { 1, 2, 5, 7 } }, { .kernel = { 3, 2 }, .stride = { 1, 2 }, .padding = { 1, 1 } } },
    { { 3, { 2, 6, 5 } }, { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 0 }, .ceil_mode = true } },
    { { 4, { 1, 1, 7, 5 } }, { .kernel = { 2, 2 }, .stride = { 3, 3 }, .padding = { 1, 1 }, .ceil_mode = true } },
    { { 4, { 1, 2, 7, 6 } }, { .kernel = { 3, 2 }, .padding = { 1, 1 }, .exclude_padding = true, .ceil_mode = true } },
    { { 4, { 0, 2, 4, 4 } }, { .kernel = { 2, 2 } } },
};

static void max_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        pool_attrs a = attrs_from(cases[i].o);
        ad_sample(s, &a, 1, &cases[i].x, NULL, NULL);
    }
    pool_attrs dilated =
        attrs_from((ad_pool_opts){ .kernel = { 3, 2 }, .stride = { 1, 2 }, .padding = { 1, 0 }, .dilation = { 2, 3 } });
    ad_sample(s, &dilated, 1, &AD_SHAPE(2, 6, 7), NULL, NULL);
    const double ties[] = { 1, 1, -2, 3, 1, 1, 3, 3, NAN, 0, -INFINITY, -INFINITY, 0, 2, -INFINITY, -INFINITY };
    const double *values[] = { ties };
    pool_attrs a = attrs_from((ad_pool_opts){ .kernel = { 2, 2 } });
    ad_sample_values(s, &a, 1, &AD_SHAPE(1, 4, 4), values, AD_SAMPLE_KINK);
}
static void max_pool2d_samples(ad_sampler *s) { max_samples(s); }

AD_OPTYPE(max_pool2d,
          .doc =
              "the largest element of each window over the last two axes; stride (the kernel's size where 0), padding "
              "(with -inf), dilation, and ceil_mode: a last window may stand out over the edge",
          .formula = "y[..,i,j] = max over p,q of x[.., i stride - padding + p dilation, ..]",
          .gradient = "g at the largest element",
          .special = "the first of equal elements takes the gradient; NaN if there is one", .arity = 1,
          .attr_size = sizeof(pool_attrs), .attrs = max_list, .shape = max_pool2d_shape,
          .evaluate = { max_pool2d_evaluate, max_pool2d_evaluate },
          .backward = { max_pool2d_backward, max_pool2d_backward }, .vjp = max_pool2d_vjp);
ad_var *ad_max_pool2d(ad_var *x, ad_pool_opts opts) {
    pool_attrs a = attrs_from(opts);
    return apply_pool(&ad_op_max_pool2d, x, &a);
}

/* ---- max_pool2d_index: where max_pool2d's elements lie in their planes ------------------------------------------ */

static int max_pool2d_index_shape(ad_call *c) {
    int64_t most = c->dtype == AD_F32 ? (int64_t)1 << 24 : INT32_MAX;
    int rc = check_planes(c);
    if (rc == AD_OK && plane(c->shape) > most)
        return ad_call_fail(c, AD_ESHAPE, "%s has whole numbers to %lld, and a plane has more elements",
                            ad_dtype_name(c->dtype), (long long)most);
    if (rc == AD_OK) rc = pool_shape(c);
    if (rc == AD_OK && ad__shape_valid(c->shape)) c->scratch = (size_t)plane(c->shape) * sizeof(int32_t);
    return rc;
}

static int max_pool2d_index_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0];
    ad_var *y = ad__out(op);
    ad__pooling p = pool_of(attrs_of(op), x->layout->shape, y->layout->shape);
    int64_t planes = planes_of(x->layout->shape), size = plane(x->layout->shape), places = plane(y->layout->shape);
    int32_t *index = ad__owner(y)->scratch;
    for (int64_t c = 0; c < planes; c++) {
        if (y->layout->dtype == AD_F32) ad__max_pool_f32(&p, 1, (const float *)x->data + c * size, NULL, index);
        else ad__max_pool_f64(&p, 1, (const double *)x->data + c * size, NULL, index);
        for (int64_t i = 0; i < places; i++) ad__put(y, c * places + i, index[i]);
    }
    return AD_OK;
}
static void max_pool2d_index_samples(ad_sampler *s) { max_samples(s); }

AD_OPTYPE(max_pool2d_index, .doc = "where in its plane h x w, as a flat index, each element of max_pool2d lies",
          .formula = "argmax of each window", .arity = 1, .flags = AD_OP_CONSTANT, .attr_size = sizeof(pool_attrs),
          .attrs = max_list, .shape = max_pool2d_index_shape,
          .evaluate = { max_pool2d_index_evaluate, max_pool2d_index_evaluate });
ad_var *ad_max_pool2d_index(ad_var *x, ad_pool_opts opts) {
    pool_attrs a = attrs_from(opts);
    return apply_pool(&ad_op_max_pool2d_index, x, &a);
}

/* ---- avg_pool2d, avg_unpool2d: a linear map and its transpose ---------------------------------------------------- */

static void add_means(const ad_op *op, const ad_var *planes, ad_shape pooled, const void *x, void *y) {
    ad__pooling p = pool_of(attrs_of(op), planes->layout->shape, pooled);
    int64_t n = planes_of(pooled);
    if (planes->layout->dtype == AD_F32) ad__avg_pool_add_f32(&p, n, x, y);
    else ad__avg_pool_add_f64(&p, n, x, y);
}

static void spread_means(const ad_op *op, const ad_var *planes, ad_shape pooled, const void *y, void *x) {
    ad__pooling p = pool_of(attrs_of(op), planes->layout->shape, pooled);
    int64_t n = planes_of(pooled);
    if (planes->layout->dtype == AD_F32) ad__avg_spread_add_f32(&p, n, y, x);
    else ad__avg_spread_add_f64(&p, n, y, x);
}

static int avg_pool2d_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    memset(y->data, 0, ad__bytes(y));
    add_means(op, op->in[0], y->layout->shape, op->in[0]->data, y->data);
    return AD_OK;
}

static void avg_pool2d_backward(const ad_op *op) {
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, 0);
    if (gx != NULL) spread_means(op, op->in[0], y->layout->shape, y->grad, gx);
}

static void avg_pool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    pool_attrs a = *attrs_of(op);
    ad_shape s = op->in[0]->layout->shape;
    a.size = AD_SHAPE(s.dim[s.ndim - 2], s.dim[s.ndim - 1]);
    dx[0] = apply_pool(&ad_op_avg_unpool2d, g, &a);
}

static pool_attrs adaptive(int64_t h, int64_t w) { return (pool_attrs){ .output = AD_SHAPE(h, w) }; }

static void avg_pool2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        pool_attrs a = attrs_from(cases[i].o);
        ad_sample(s, &a, 1, &cases[i].x, NULL, NULL);
    }
    const int64_t sizes[][2] = { { 1, 1 }, { 2, 3 }, { 5, 7 }, { 7, 4 } };
    for (int i = 0; i < AD__COUNT(sizes); i++) {
        pool_attrs a = adaptive(sizes[i][0], sizes[i][1]);
        ad_sample(s, &a, 1, &AD_SHAPE(2, 5, 7), NULL, NULL);
    }
}

AD_OPTYPE(avg_pool2d,
          .doc =
              "the mean of each window over the last two axes; stride (the kernel's size where 0), padding, ceil_mode; "
              "the padding's zeros count unless told otherwise; or, with output, adaptive: that many windows",
          .formula = "y[..,i,j] = mean over p,q of x[.., i stride - padding + p, ..]", .gradient = "avg_unpool2d(g)",
          .arity = 1, .attr_size = sizeof(pool_attrs), .attrs = avg_list, .shape = pool_shape,
          .evaluate = { avg_pool2d_evaluate, avg_pool2d_evaluate },
          .backward = { avg_pool2d_backward, avg_pool2d_backward }, .vjp = avg_pool2d_vjp);

ad_var *ad_avg_pool2d(ad_var *x, ad_pool_opts opts) {
    pool_attrs a = attrs_from(opts);
    if (!ad__absent(x) && (opts.dilation[0] > 1 || opts.dilation[1] > 1)) {
        ad_fail(ad__owner(x), AD_EVALUE, "avg_pool2d: means have no dilation");
        return ad_nil(ad__owner(x));
    }
    return apply_pool(&ad_op_avg_pool2d, x, &a);
}
ad_var *ad_adaptive_avg_pool2d(ad_var *x, int64_t h, int64_t w) {
    pool_attrs a = adaptive(h, w);
    return apply_pool(&ad_op_avg_pool2d, x, &a);
}

static int avg_unpool2d_shape(ad_call *c) {
    const pool_attrs *a = c->attrs;
    ad_shape pooled;
    int rc = check_planes(c);
    if (rc != AD_OK) return rc;
    ad_shape planes = with_planes(c->shape, a->size.dim[0], a->size.dim[1]);
    if (!ad__shape_valid(planes))
        return ad_call_fail(c, AD_ESHAPE, "no planes of %lld x %lld", (long long)a->size.dim[0],
                            (long long)a->size.dim[1]);
    rc = pooled_shape(c, a, planes, &pooled);
    if (rc == AD_OK && !ad_shape_equal(pooled, c->shape))
        return ad_call_fail(c, AD_ESHAPE, "is not what planes of %lld x %lld are pooled to", (long long)a->size.dim[0],
                            (long long)a->size.dim[1]);
    c->shape = planes;
    return rc;
}

static int avg_unpool2d_evaluate(const ad_op *op) {
    const ad_var *x = ad__out(op);
    memset(x->data, 0, ad__bytes(x));
    spread_means(op, x, op->in[0]->layout->shape, op->in[0]->data, x->data);
    return AD_OK;
}

static void avg_unpool2d_backward(const ad_op *op) {
    const ad_var *x = ad__out(op);
    void *gy = ad_grad_into(op, 0);
    if (gy != NULL) add_means(op, x, op->in[0]->layout->shape, x->grad, gy);
}

static void avg_unpool2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = apply_pool(&ad_op_avg_pool2d, g, attrs_of(op));
}

static void avg_unpool2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        pool_attrs a = attrs_from(cases[i].o);
        ad_shape x = cases[i].x, y = x;
        a.size = AD_SHAPE(x.dim[x.ndim - 2], x.dim[x.ndim - 1]);
        for (int k = 0; k < 2; k++)
            y.dim[y.ndim - 2 + k] =
                ad__pooling_places(a.size.dim[k], a.kernel.dim[k], a.stride.dim[k], a.padding.dim[k], 1, a.ceil_mode);
        ad_sample(s, &a, 1, &y, NULL, NULL);
    }
    pool_attrs a = adaptive(2, 3);
    a.size = AD_SHAPE(5, 7);
    ad_sample(s, &a, 1, &AD_SHAPE(2, 2, 3), NULL, NULL);
}

AD_OPTYPE(
    avg_unpool2d,
    .doc = "the transpose of avg_pool2d as a linear map, to planes of a size: each element spread over its window",
    .formula = "y[..,k,m] = sum of x[..,i,j] / elements over the windows i,j that hold k,m",
    .gradient = "avg_pool2d(g)", .arity = 1, .attr_size = sizeof(pool_attrs), .attrs = unpool_list,
    .shape = avg_unpool2d_shape, .evaluate = { avg_unpool2d_evaluate, avg_unpool2d_evaluate },
    .backward = { avg_unpool2d_backward, avg_unpool2d_backward }, .vjp = avg_unpool2d_vjp);
ad_var *ad_avg_unpool2d(ad_var *x, int64_t h, int64_t w, ad_pool_opts opts) {
    pool_attrs a = attrs_from(opts);
    a.size = AD_SHAPE(h, w);
    return apply_pool(&ad_op_avg_unpool2d, x, &a);
}

/* ---- signals [..,l]: planes of height 1 -------------------------------------------------------------------------- */

static ad_var *with_height(ad_var *x) {
    ad_shape s = x->layout->shape;
    s.dim[s.ndim] = s.dim[s.ndim - 1];
    s.dim[s.ndim++ - 1] = 1;
    return ad_reshape(x, s);
}

static ad_var *without_height(ad_var *y) {
    if (ad__absent(y)) return y;
    return ad_reshape(y, ad__reduced_shape(y->layout->shape, 1u << (y->layout->shape.ndim - 2), false));
}

static ad_pool_opts along_signal(ad_pool_opts o) {
    return (ad_pool_opts){ .kernel = { 1, o.kernel[0] },
                           .stride = { 1, o.stride[0] },
                           .padding = { 0, o.padding[0] },
                           .dilation = { 1, o.dilation[0] },
                           .ceil_mode = o.ceil_mode,
                           .exclude_padding = o.exclude_padding };
}

static bool is_signal(ad_var *x, const char *caller) {
    if (ad__absent(x)) return false;
    char text[96];
    ad_shape_text(x->layout->shape, text, sizeof text);
    if (x->layout->shape.ndim >= 1 && x->layout->shape.ndim < AD_MAX_NDIM) return true;
    ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s: takes 1 to %d dimensions, and pools over the last", caller, text,
            AD_MAX_NDIM - 1);
    return false;
}

ad_var *ad_max_pool1d(ad_var *x, ad_pool_opts opts) {
    if (!is_signal(x, "max_pool1d")) return ad_nil(x ? ad__owner(x) : NULL);
    return without_height(ad_max_pool2d(with_height(x), along_signal(opts)));
}
ad_var *ad_avg_pool1d(ad_var *x, ad_pool_opts opts) {
    if (!is_signal(x, "avg_pool1d")) return ad_nil(x ? ad__owner(x) : NULL);
    return without_height(ad_avg_pool2d(with_height(x), along_signal(opts)));
}
ad_var *ad_adaptive_avg_pool1d(ad_var *x, int64_t l) {
    if (!is_signal(x, "adaptive_avg_pool1d")) return ad_nil(x ? ad__owner(x) : NULL);
    return without_height(ad_adaptive_avg_pool2d(with_height(x), 1, l));
}
