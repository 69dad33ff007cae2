/* conv.c: convolutional layers and their transposes. */
#include <math.h>

#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

typedef ad_var *conv_fn(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts);
typedef struct {
    conv_fn *f;
    ad_var *w, *b; /* b is NULL where there is no bias */
    ad_conv_opts opts;
} conv;

typedef struct {
    const char *name;
    conv_fn *f;
    int axes; /* of the window: 1 to 3 */
    bool transposed;
} conv_kind;

static ad_var *conv_forward(nn_module *m, ad_var *x) {
    const conv *c = nn_self(m);
    return c->f(x, c->w, c->b, c->opts);
}

/* ---- options ---------------------------------------------------------------------------------------- */

/* Every field with its value in place of 0 and AD_ZERO. */
static nn_conv_opts resolved(nn_conv_opts o) {
    o.stride = ad_option_int(o.stride, 1), o.padding = ad_option_int(o.padding, 0),
    o.dilation = ad_option_int(o.dilation, 1);
    o.groups = ad_option_int(o.groups, 1), o.output_padding = ad_option_int(o.output_padding, 0);
    o.kernel_w = ad_option_int(o.kernel_w, o.kernel), o.stride_w = ad_option_int(o.stride_w, o.stride);
    o.padding_w = ad_option_int(o.padding_w, o.padding), o.dilation_w = ad_option_int(o.dilation_w, o.dilation);
    o.output_padding_w = ad_option_int(o.output_padding_w, o.output_padding);
    o.kernel_d = ad_option_int(o.kernel_d, o.kernel), o.stride_d = ad_option_int(o.stride_d, o.stride);
    o.padding_d = ad_option_int(o.padding_d, o.padding), o.dilation_d = ad_option_int(o.dilation_d, o.dilation);
    o.output_padding_d = ad_option_int(o.output_padding_d, o.output_padding);
    return o;
}

static bool check_conv(ad_graph *g, const char *kind, const nn_conv_opts *o) {
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = { { "in", o->in },
                  { "out", o->out },
                  { "kernel", o->kernel },
                  { "groups", o->groups },
                  { "stride", o->stride },
                  { "dilation", o->dilation },
                  { "kernel_w", o->kernel_w },
                  { "stride_w", o->stride_w },
                  { "dilation_w", o->dilation_w },
                  { "kernel_d", o->kernel_d },
                  { "stride_d", o->stride_d },
                  { "dilation_d", o->dilation_d } },
      paddings[] = { { "padding", o->padding },
                     { "padding_w", o->padding_w },
                     { "output_padding", o->output_padding },
                     { "output_padding_w", o->output_padding_w },
                     { "padding_d", o->padding_d },
                     { "output_padding_d", o->output_padding_d } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (!nn__is_size(g, kind, sizes[i].name, sizes[i].value)) return false;
    for (size_t i = 0; i < sizeof paddings / sizeof *paddings; i++)
        if (!nn__is_not_negative(g, kind, paddings[i].name, paddings[i].value)) return false;
    if (o->in % o->groups == 0 && o->out % o->groups == 0) return true;
    ad_fail(g, AD_ESHAPE, "%s: in %lld and out %lld: both must be multiples of groups, %lld", kind, (long long)o->in,
            (long long)o->out, (long long)o->groups);
    return false;
}

static ad_conv_opts conv_opts(const nn_conv_opts *o, int axes) {
    if (axes == 3)
        return (ad_conv_opts){ .stride = { o->stride_d, o->stride, o->stride_w },
                               .padding = { o->padding_d, o->padding, o->padding_w },
                               .dilation = { o->dilation_d, o->dilation, o->dilation_w },
                               .output_padding = { o->output_padding_d, o->output_padding, o->output_padding_w },
                               .groups = o->groups };
    return (ad_conv_opts){ .stride = { o->stride, o->stride_w },
                           .padding = { o->padding, o->padding_w },
                           .dilation = { o->dilation, o->dilation_w },
                           .output_padding = { o->output_padding, o->output_padding_w },
                           .groups = o->groups };
}

/* ---- making -------------------------------------------------------------------------------------------- */

static ad_shape weight_shape(const nn_conv_opts *o, const conv_kind *kind) {
    int64_t rows = kind->transposed ? o->in : o->out, columns = kind->transposed ? o->out : o->in;
    ad_shape s = { .ndim = 2 + kind->axes, .dim = { rows, columns / o->groups } };
    int64_t *kernel = s.dim + 2;
    if (kind->axes == 3) *kernel++ = o->kernel_d;
    *kernel++ = o->kernel;
    if (kind->axes > 1) *kernel = o->kernel_w;
    return s;
}

static nn_module *conv_new(ad_graph *g, ad_dtype t, nn_conv_opts o, const conv_kind *kind) {
    o = resolved(o);
    if (!check_conv(g, kind->name, &o)) return NULL;
    nn_module *m = nn_module_new(g, kind->name, conv_forward, sizeof(conv));
    if (m == NULL) return NULL;
    conv *c = nn_self(m);
    ad_shape s = weight_shape(&o, kind);
    double bound = 1 / sqrt((double)(ad_shape_numel(s) / s.dim[0]));
    c->f = kind->f;
    c->opts = conv_opts(&o, kind->axes);
    nn__uniform_parameter(m, &c->w, "weight", t, s, bound);
    if (!o.no_bias) nn__uniform_parameter(m, &c->b, "bias", t, AD_SHAPE(o.out), bound);
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
nn_module *nn_conv3d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv3d", ad_conv3d, 3, false });
}
nn_module *nn_conv_transpose3d(ad_graph *g, ad_dtype t, nn_conv_opts o) {
    return conv_new(g, t, o, &(conv_kind){ "conv_transpose3d", ad_conv_transpose3d, 3, true });
}
