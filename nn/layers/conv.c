/* conv.c: convolutions, pooling and normalisation as modules. */
#include <math.h>

#include "nn/module/module_private.h"

/* ---- convolutions ---------------------------------------------------------------------------------- */

typedef ad_var *conv_fn(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts);
typedef struct {
    conv_fn *f;
    ad_var *w, *b; /* b NULL: none */
    ad_conv_opts opts;
} conv;

/* A kind of convolution: its windows lie along one axis or two. */
typedef struct {
    const char *name;
    conv_fn *f;
    int windows;
    bool transposed;
} conv_kind;

static ad_var *conv_forward(nn_module *m, ad_var *x) {
    const conv *c = nn_self(m);
    return c->f(x, c->w, c->b, c->opts);
}

static bool check_conv(ad_graph *g, const char *kind, const nn_conv_opts *o) {
    if (!nn__is_size(g, kind, "in", o->in) || !nn__is_size(g, kind, "out", o->out) ||
        !nn__is_size(g, kind, "kernel", o->kernel) || !nn__is_size(g, kind, "groups", o->groups))
        return false;
    if (o->in % o->groups == 0 && o->out % o->groups == 0) return true;
    ad_fail(g, AD_ESHAPE, "%s: in %lld and out %lld: both must be multiples of groups, %lld", kind, (long long)o->in,
            (long long)o->out, (long long)o->groups);
    return false;
}

/* Along the width: what was given for it, or as along the height; of paddings -1 is none. */
static int64_t along_width(int64_t width, int64_t height) { return width != 0 ? width : height; }
static int64_t padding_along(int64_t width, int64_t height) { return width < 0 ? 0 : along_width(width, height); }

static ad_conv_opts conv_opts(const nn_conv_opts *o) {
    return (ad_conv_opts){ .stride = { o->stride, along_width(o->stride_w, o->stride) },
                           .padding = { o->padding, padding_along(o->padding_w, o->padding) },
                           .dilation = { o->dilation, along_width(o->dilation_w, o->dilation) },
                           .output_padding = { o->output_padding,
                                               padding_along(o->output_padding_w, o->output_padding) },
                           .groups = o->groups };
}

static ad_shape weight_shape(const nn_conv_opts *o, const conv_kind *kind) {
    int64_t rows = kind->transposed ? o->in : o->out, columns = kind->transposed ? o->out : o->in;
    int64_t second = kind->windows == 2 ? along_width(o->kernel_w, o->kernel) : 0;
    return (ad_shape){ .ndim = 2 + kind->windows, .dim = { rows, columns / o->groups, o->kernel, second } };
}

static nn_module *conv_new(ad_graph *g, ad_dtype t, nn_conv_opts o, const conv_kind *kind) {
    if (o.groups == 0) o.groups = 1;
    if (!check_conv(g, kind->name, &o)) return NULL;
    nn_module *m = nn_module_new(g, kind->name, conv_forward, sizeof(conv));
    if (m == NULL) return NULL;
    conv *c = nn_self(m);
    ad_shape s = weight_shape(&o, kind);
    double bound = 1 / sqrt((double)(ad_shape_numel(s) / s.dim[0]));
    c->f = kind->f;
    c->opts = conv_opts(&o);
    c->w = nn__uniform_parameter(m, "weight", t, s, bound);
    if (!o.no_bias) c->b = nn__uniform_parameter(m, "bias", t, AD_SHAPE(o.out), bound);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_conv1d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv1d", ad_conv1d, 1, false });
}
nn_module *nn_conv2d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv2d", ad_conv2d, 2, false });
}
nn_module *nn_conv_transpose1d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv_transpose1d", ad_conv_transpose1d, 1, true });
}
nn_module *nn_conv_transpose2d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv_transpose2d", ad_conv_transpose2d, 2, true });
}

/* ---- pooling ------------------------------------------------------------------------------------------ */

typedef ad_var *pool_fn(ad_var *x, ad_pool_opts opts);
typedef struct {
    pool_fn *f;
    ad_pool_opts opts;
} pool;

static ad_var *pool_forward(nn_module *m, ad_var *x) {
    const pool *p = nn_self(m);
    return p->f(x, p->opts);
}

static nn_module *pool_new(ad_graph *g, const char *kind, pool_fn *f, ad_pool_opts o) {
    if (!nn__is_size(g, kind, "kernel", o.kernel[0])) return NULL;
    nn_module *m = nn_module_new(g, kind, pool_forward, sizeof(pool));
    if (m != NULL) *(pool *)nn_self(m) = (pool){ f, o };
    return m;
}

nn_module *nn_max_pool1d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "max_pool1d", ad_max_pool1d, o); }
nn_module *nn_max_pool2d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "max_pool2d", ad_max_pool2d, o); }
nn_module *nn_avg_pool1d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "avg_pool1d", ad_avg_pool1d, o); }
nn_module *nn_avg_pool2d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "avg_pool2d", ad_avg_pool2d, o); }

static ad_var *adaptive1d_forward(nn_module *m, ad_var *x) {
    return ad_adaptive_avg_pool1d(x, *(const int64_t *)nn_self(m));
}

nn_module *nn_adaptive_avg_pool1d(ad_graph *g, int64_t l) {
    if (!nn__is_size(g, "adaptive_avg_pool1d", "l", l)) return NULL;
    nn_module *m = nn_module_new(g, "adaptive_avg_pool1d", adaptive1d_forward, sizeof l);
    if (m != NULL) *(int64_t *)nn_self(m) = l;
    return m;
}

static ad_var *adaptive2d_forward(nn_module *m, ad_var *x) {
    const int64_t *size = nn_self(m);
    return ad_adaptive_avg_pool2d(x, size[0], size[1]);
}

nn_module *nn_adaptive_avg_pool2d(ad_graph *g, int64_t h, int64_t w) {
    if (!nn__is_size(g, "adaptive_avg_pool2d", "h", h) || !nn__is_size(g, "adaptive_avg_pool2d", "w", w)) return NULL;
    nn_module *m = nn_module_new(g, "adaptive_avg_pool2d", adaptive2d_forward, 2 * sizeof h);
    if (m == NULL) return NULL;
    ((int64_t *)nn_self(m))[0] = h;
    ((int64_t *)nn_self(m))[1] = w;
    return m;
}

/* ---- batch_norm (Ioffe and Szegedy 2015) ------------------------------------------------------------------ */

typedef struct {
    ad_var *w, *b, *mean, *var, *seen; /* [features], w and b perhaps NULL; seen: a scalar */
    ad_batch_norm_opts opts;
} batch_norm;

static ad_var *batch_norm_forward(nn_module *m, ad_var *x) {
    const batch_norm *s = nn_self(m);
    ad_batch_norm_opts o = s->opts;
    o.training = nn_training(m);
    if (o.training) nn_init_constant(s->seen, ad_item(s->seen) + 1);
    return ad_batch_norm(x, s->mean, s->var, s->w, s->b, o);
}

nn_module *nn_batch_norm(ad_graph *g, ad_dtype t, int64_t features, nn_batch_norm_opts o) {
    if (!nn__is_size(g, "batch_norm", "features", features)) return NULL;
    nn_module *m = nn_module_new(g, "batch_norm", batch_norm_forward, sizeof(batch_norm));
    if (m == NULL) return NULL;
    batch_norm *s = nn_self(m);
    ad_shape each = AD_SHAPE(features);
    s->opts = (ad_batch_norm_opts){ .momentum = o.momentum, .eps = o.eps };
    if (!o.no_affine) {
        s->w = nn__constant_parameter(m, "weight", t, each, 1);
        s->b = nn__constant_parameter(m, "bias", t, each, 0);
    }
    s->mean = nn_add_buffer(m, "running_mean", ad_zeros(g, t, each));
    s->var = nn_add_buffer(m, "running_var", ad_ones(g, t, each));
    s->seen = nn_add_buffer(m, "num_batches_tracked", ad_scalar(g, AD_F64, 0));
    return ad_ok(g) ? m : NULL;
}

/* ---- layer_norm (Ba et al. 2016) ---------------------------------------------------------------------------- */

typedef struct {
    ad_var *w, *b;
} layer_norm;

static ad_var *layer_norm_forward(nn_module *m, ad_var *x) {
    const layer_norm *s = nn_self(m);
    return ad_layer_norm(x, ad_shape_of(s->w), s->w, s->b, 1e-5);
}

nn_module *nn_layer_norm(ad_graph *g, ad_dtype t, ad_shape normalized_shape) {
    nn_module *m = nn_module_new(g, "layer_norm", layer_norm_forward, sizeof(layer_norm));
    if (m == NULL) return NULL;
    layer_norm *s = nn_self(m);
    s->w = nn__constant_parameter(m, "weight", t, normalized_shape, 1);
    s->b = nn__constant_parameter(m, "bias", t, normalized_shape, 0);
    return ad_ok(g) ? m : NULL;
}
