/* conv.c: convolutions over images and signals: conv2d, its transpose, the gradient of its weights. All three
   are one sum over x, w and y, each time for another of them, so each is the others' derivative. */
#include "ops/base/attrs.h"
#include "ops/linalg/batch.h"
#include "ops/kernels/net/im2col.h"
#include "ops/ops.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/linalg/gemm.h"

#include <string.h>

/* ---- attributes ------------------------------------------------------------------------------------------ */

/* As pairs along h and w, zeros replaced by PyTorch's defaults. */
typedef struct {
    ad_shape stride, padding, dilation, output_padding;
    int64_t groups;
    ad_shape weight; /* of conv2d_weight: the shape of its result */
} conv_attrs;

#define FIELD(name, kind) { #name, kind, offsetof(conv_attrs, name) }
static const ad_attr conv_list[] = { FIELD(stride, AD_ATTR_SHAPE), FIELD(padding, AD_ATTR_SHAPE),
                                     FIELD(dilation, AD_ATTR_SHAPE), FIELD(groups, AD_ATTR_INT64), { 0 } };
static const ad_attr transpose_list[] = { FIELD(stride, AD_ATTR_SHAPE), FIELD(padding, AD_ATTR_SHAPE),
                                          FIELD(dilation, AD_ATTR_SHAPE), FIELD(groups, AD_ATTR_INT64),
                                          FIELD(output_padding, AD_ATTR_SHAPE), { 0 } };
static const ad_attr weight_list[] = { FIELD(stride, AD_ATTR_SHAPE), FIELD(padding, AD_ATTR_SHAPE),
                                       FIELD(dilation, AD_ATTR_SHAPE), FIELD(groups, AD_ATTR_INT64),
                                       FIELD(weight, AD_ATTR_SHAPE), { 0 } };

static ad_shape pair(const int64_t *v, int64_t instead_of_0) {
    return AD_SHAPE(v[0] ? v[0] : instead_of_0, v[1] ? v[1] : instead_of_0);
}

static conv_attrs attrs_from(ad_conv_opts o) {
    return (conv_attrs){ pair(o.stride, 1), pair(o.padding, 0), pair(o.dilation, 1), pair(o.output_padding, 0),
                         o.groups ? o.groups : 1, AD_SCALAR };
}

static ad_conv_opts opts_of(const ad_op *op) {
    const conv_attrs *a = ad__attrs_of(op);
    return (ad_conv_opts){ .stride = { a->stride.dim[0], a->stride.dim[1] },
                           .padding = { a->padding.dim[0], a->padding.dim[1] },
                           .dilation = { a->dilation.dim[0], a->dilation.dim[1] },
                           .groups = a->groups };
}

static bool within(const int64_t *v, int64_t least) {
    return v[0] >= least && v[1] >= least && v[0] <= INT32_MAX && v[1] <= INT32_MAX;
}

static int check_attrs(const ad_call *c) {
    const conv_attrs *a = c->attrs;
    if (!within(a->stride.dim, 1) || !within(a->dilation.dim, 1))
        return ad_call_fail(c, AD_EVALUE, "stride and dilation must be 1 or more");
    if (!within(a->padding.dim, 0)) return ad_call_fail(c, AD_EVALUE, "padding must not be negative");
    if (!within(a->output_padding.dim, 0) || a->output_padding.dim[0] >= a->stride.dim[0] ||
        a->output_padding.dim[1] >= a->stride.dim[1])
        return ad_call_fail(c, AD_EVALUE, "output_padding must be 0 or more and below stride");
    return a->groups >= 1 ? AD_OK : ad_call_fail(c, AD_EVALUE, "%lld groups; 1 or more", (long long)a->groups);
}

/* ---- geometry: image x [n, groups*c, h, w], weight w [groups*o, c, kh, kw], y [n, groups*o, oh, ow] --------- */

typedef struct {
    ad_dtype t;
    size_t size;
    int64_t n, groups, o;
    int64_t k, l;   /* rows and columns of the matrix of windows: c kh kw, and oh ow */
    ad__window_of w;   /* of one group's channels */
    bool direct;    /* the image is its own matrix of windows */
    const ad_op *op; /* each of its threads has room for that matrix as scratch */
} conv;

static conv conv_of(ad_dtype t, ad_shape x, ad_shape w, ad_shape y, const conv_attrs *a) {
    conv c = { .t = t, .size = ad_dtype_size(t), .n = x.dim[0], .groups = a->groups, .o = w.dim[0] / a->groups };
    c.w.c = w.dim[1];
    c.direct = true;
    for (int i = 0; i < 2; i++) {
        c.w.in[i] = x.dim[2 + i], c.w.kernel[i] = w.dim[2 + i], c.w.out[i] = y.dim[2 + i];
        c.w.stride[i] = a->stride.dim[i], c.w.padding[i] = a->padding.dim[i], c.w.dilation[i] = a->dilation.dim[i];
        c.direct &= c.w.kernel[i] == 1 && c.w.stride[i] == 1 && c.w.padding[i] == 0;
    }
    c.k = c.w.c * c.w.kernel[0] * c.w.kernel[1];
    c.l = c.w.out[0] * c.w.out[1];
    return c;
}

/* Group g of image i: of x, of y; and group g of the weights. */
static void *x_at(const conv *c, const void *x, int64_t i, int64_t g) {
    return (char *)x + (size_t)((i * c->groups + g) * c->w.c * c->w.in[0] * c->w.in[1]) * c->size;
}
static void *y_at(const conv *c, const void *y, int64_t i, int64_t g) {
    return (char *)y + (size_t)((i * c->groups + g) * c->o * c->l) * c->size;
}
static void *w_at(const conv *c, const void *w, int64_t g) {
    return (char *)w + (size_t)(g * c->o * c->k) * c->size;
}

/* The windows of one group of one image, as a matrix [k, l]. */
static const void *columns_of(const conv *c, int worker, const void *x) {
    if (c->direct) return x;
    void *columns = ad__scratch_of(c->op, worker);
    if (c->t == AD_F32) ad__image_im2col_f32(&c->w, x, columns);
    else ad__image_im2col_f64(&c->w, x, columns);
    return columns;
}

/* A map of each group of each image, from and to x or y. */
typedef struct {
    const conv *c;
    void *x, *y;
    const void *w;
    bool fresh; /* what it adds to holds nothing yet */
} map;

/* Threads share the images' groups; threads within one product would wait for the windows of the next. */
static void over_images(const map *m, ad_loop_fn *body) {
    double work = (double)m->c->o * (double)m->c->l * (double)m->c->k / 8;
    int64_t most = AD__SHARED_MIN;
    ad_parallel(ad__op_team(m->c->op), m->c->n * m->c->groups, 0, work < most ? 1 + (int64_t)work : most, body,
                 (void *)m);
}

static void convolve_images(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    const conv *c = m->c;
    for (int64_t j = from; j < to; j++) {
        int64_t i = j / c->groups, g = j % c->groups;
        ad__gemm(ad__op_team(c->op), c->t, false, false, c->o, c->l, c->k, w_at(c, m->w, g),
                 columns_of(c, worker, x_at(c, m->x, i, g)), m->fresh ? 0 : 1, y_at(c, m->y, i, g));
    }
}

/* y += w * x */
static void convolve(const conv *c, const void *x, const void *w, bool fresh, void *y) {
    over_images(&(map){ c, (void *)x, y, w, fresh }, convolve_images);
}

static void spread_images(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    const conv *c = m->c;
    size_t image = (size_t)(c->w.c * c->w.in[0] * c->w.in[1]) * c->size;
    for (int64_t j = from; j < to; j++) {
        int64_t i = j / c->groups, g = j % c->groups;
        void *x = x_at(c, m->x, i, g), *columns = c->direct ? x : ad__scratch_of(c->op, worker);
        ad__gemm(ad__op_team(c->op), c->t, true, false, c->k, c->l, c->o, w_at(c, m->w, g), y_at(c, m->y, i, g),
                 c->direct && !m->fresh ? 1 : 0, columns);
        if (c->direct) continue;
        if (m->fresh) memset(x, 0, image);
        if (c->t == AD_F32) ad__image_col2im_add_f32(&c->w, columns, x);
        else ad__image_col2im_add_f64(&c->w, columns, x);
    }
}

/* x += the transposed map of y: each element of y is spread over the window that it was made from. */
static void spread_windows(const conv *c, const void *w, const void *y, bool fresh, void *x) {
    over_images(&(map){ c, x, (void *)y, w, fresh }, spread_images);
}

/* w += what each weight met: y times the windows of x, summed over places and images. fresh: w holds nothing yet. */
static void correlate(const conv *c, const void *x, const void *y, bool fresh, void *w) {
    if (c->n == 0 && fresh) memset(w, 0, (size_t)(c->groups * c->o * c->k) * c->size);
    for (int64_t i = 0; i < c->n; i++)
        for (int64_t g = 0; g < c->groups; g++)
            ad__gemm(ad__op_team(c->op), c->t, false, true, c->o, c->k, c->l, y_at(c, y, i, g),
                     columns_of(c, 0, x_at(c, x, i, g)), fresh && i == 0 ? 0 : 1, w_at(c, w, g));
}

/* ---- shapes -------------------------------------------------------------------------------------------------- */

/* Of the three shapes, when all are known: what is too large, and the scratch. */
static int check_sizes(ad_call *call, ad_shape x, ad_shape w, ad_shape y) {
    conv c = conv_of(call->dtype, x, w, y, call->attrs);
    if (c.k > AD__GEMM_MAX || c.l > AD__GEMM_MAX || c.o > AD__GEMM_MAX || (double)c.k * (double)c.l > 0x1p55)
        return ad_call_fail(call, AD_ESHAPE, "the matrix of windows is too large");
    if (!c.direct) call->scratch = (size_t)(c.k * c.l) * c.size;
    return AD_OK;
}

static int check_bias(const ad_call *c, int64_t channels) {
    if (c->n < 3 || ad_shape_equal(c->in[2]->layout->shape, AD_SHAPE(channels))) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "b must be [%lld]", (long long)channels);
}

/* Two operands of 4 dimensions, and perhaps a bias. */
static int check_operands(const ad_call *c, const char *takes) {
    if (c->n < 2 || c->n > 3 || c->shape.ndim != 4 || c->in[1]->layout->shape.ndim != 4)
        return ad_call_fail(c, AD_ESHAPE, "takes %s", takes);
    return check_attrs(c);
}

/* How many places a window takes along h and w, into y. */
static int place_windows(const ad_call *c, ad_shape x, ad_shape w, ad_shape *y) {
    const conv_attrs *a = c->attrs;
    for (int i = 0; i < 2; i++) {
        int64_t kernel = w.dim[2 + i];
        if (kernel < 1 || kernel > INT32_MAX)
            return ad_call_fail(c, AD_ESHAPE, "a kernel of size %lld", (long long)kernel);
        y->dim[2 + i] =
            ad__window_places(x.dim[2 + i], kernel, a->stride.dim[i], a->padding.dim[i], a->dilation.dim[i]);
        if (y->dim[2 + i] < 1)
            return ad_call_fail(c, AD_ESHAPE,
                                "a kernel of %lld, dilated %lld times, is larger than %lld padded by %lld",
                                (long long)kernel, (long long)a->dilation.dim[i], (long long)x.dim[2 + i],
                                (long long)a->padding.dim[i]);
    }
    return AD_OK;
}

static int conv2d_shape(ad_call *c) {
    int rc = check_operands(c, "x [n,c,h,w], w [o,c/groups,kh,kw] and b [o]");
    if (rc != AD_OK) return rc;
    ad_shape x = c->shape, w = c->in[1]->layout->shape, y = AD_SHAPE(x.dim[0], w.dim[0], 0, 0);
    int64_t groups = ((const conv_attrs *)c->attrs)->groups;
    if (x.dim[1] % groups != 0 || x.dim[1] / groups != w.dim[1])
        return ad_call_fail(c, AD_ESHAPE, "x has %lld channels and w takes %lld in each of %lld groups",
                            (long long)x.dim[1], (long long)w.dim[1], (long long)groups);
    if (w.dim[0] % groups != 0)
        return ad_call_fail(c, AD_ESHAPE, "%lld channels out do not divide into %lld groups", (long long)w.dim[0],
                            (long long)groups);
    rc = place_windows(c, x, w, &y);
    if (rc == AD_OK) rc = check_bias(c, w.dim[0]);
    c->shape = y;
    return rc == AD_OK ? check_sizes(c, x, w, y) : rc;
}

/* (h - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1 */
static int64_t unplaced(int64_t h, int64_t kernel, const conv_attrs *a, int i) {
    return (h - 1) * a->stride.dim[i] - 2 * a->padding.dim[i] + a->dilation.dim[i] * (kernel - 1) +
           a->output_padding.dim[i] + 1;
}

static int conv_transpose2d_shape(ad_call *c) {
    int rc = check_operands(c, "x [n,c,h,w], w [c,o/groups,kh,kw] and b [o]");
    if (rc != AD_OK) return rc;
    const conv_attrs *a = c->attrs;
    ad_shape x = c->shape, w = c->in[1]->layout->shape, y = AD_SHAPE(x.dim[0], w.dim[1], 0, 0);
    if (x.dim[1] != w.dim[0] || x.dim[1] % a->groups != 0)
        return ad_call_fail(c, AD_ESHAPE, "x has %lld channels, w takes %lld, in %lld groups", (long long)x.dim[1],
                            (long long)w.dim[0], (long long)a->groups);
    if (__builtin_mul_overflow(y.dim[1], a->groups, &y.dim[1])) return ad_call_fail(c, AD_ESHAPE, "too many channels");
    for (int i = 0; i < 2; i++) {
        bool fits = x.dim[2 + i] >= 1 && x.dim[2 + i] <= INT32_MAX && w.dim[2 + i] >= 1 && w.dim[2 + i] <= INT32_MAX;
        y.dim[2 + i] = fits ? unplaced(x.dim[2 + i], w.dim[2 + i], a, i) : 0;
        if (y.dim[2 + i] < 1) return ad_call_fail(c, AD_ESHAPE, "the padding leaves nothing of the result");
    }
    rc = check_bias(c, y.dim[1]);
    c->shape = y;
    if (rc == AD_OK && !ad__shape_valid(y)) return AD_OK; /* the engine says so */
    return rc == AD_OK ? check_sizes(c, y, w, x) : rc;
}

static int conv2d_weight_shape(ad_call *c) {
    int rc = check_operands(c, "x [n,c,h,w] and g [n,o,oh,ow], a gradient");
    if (rc != AD_OK) return rc;
    const conv_attrs *a = c->attrs;
    ad_shape x = c->shape, g = c->in[1]->layout->shape, w = a->weight, y = AD_SHAPE(x.dim[0], 0, 0, 0);
    char text[160];
    ad_shape_text(w, text, sizeof text);
    if (c->n != 2 || w.ndim != 4 || !ad__shape_valid(w) || w.dim[0] % a->groups != 0 || x.dim[1] % a->groups != 0 ||
        x.dim[1] / a->groups != w.dim[1])
        return ad_call_fail(c, AD_ESHAPE, "weights %s do not take x in %lld groups", text, (long long)a->groups);
    y.dim[1] = w.dim[0];
    rc = place_windows(c, x, w, &y);
    if (rc != AD_OK) return rc;
    if (!ad_shape_equal(y, g)) return ad_call_fail(c, AD_ESHAPE, "weights %s do not make g of x", text);
    c->shape = w;
    return check_sizes(c, x, w, y);
}

/* ---- bias: b [o] beside y [n,o,oh,ow] -------------------------------------------------------------------------- */

/* y = b at every place, 0 without a bias. */
static void fill_bias(const ad_op *op) {
    ad_var *y = ad__out(op);
    const ad_var *b = op->n_in > 2 ? op->in[2] : NULL;
    ad_shape s = y->layout->shape;
    if (b == NULL) memset(y->data, 0, ad__bytes(y));
    for (int64_t i = 0, l = s.dim[2] * s.dim[3]; b != NULL && i < s.dim[0] * s.dim[1]; i++) {
        double v = ad__get(b, i % s.dim[1]);
        for (int64_t j = 0; j < l; j++) ad__put(y, i * l + j, v);
    }
}

static void bias_backward(const ad_op *op) {
    void *gb = op->n_in > 2 ? ad_grad_into(op, 2) : NULL;
    const ad_var *y = ad__out(op);
    ad_shape s = y->layout->shape;
    int64_t l = s.dim[2] * s.dim[3];
    for (int64_t o = 0; gb != NULL && o < s.dim[1]; o++) {
        double sum = 0;
        for (int64_t i = o; i < s.dim[0] * s.dim[1]; i += s.dim[1])
            sum += y->layout->dtype == AD_F32 ? ad__array_sum_f32(l, (const float *)y->grad + i * l)
                                              : ad__array_sum_f64(l, (const double *)y->grad + i * l);
        if (y->layout->dtype == AD_F32) ((float *)gb)[o] = (float)((double)((float *)gb)[o] + sum);
        else ((double *)gb)[o] += sum;
    }
}

static void bias_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (op->n_in > 2 && ad_vjp_wants(op, 2))
        dx[2] = ad__apply1(&ad_op_sum, g, &(ad__axes_attrs){ 3, { 0, 2, 3 }, false });
}

/* ---- conv2d ------------------------------------------------------------------------------------------------------ */

/* The geometry of an Op from its three arrays in their parts as image, weight and y. */
static conv geometry(const ad_op *op, const ad_var *x, const ad_var *w, const ad_var *y) {
    conv c = conv_of(x->layout->dtype, x->layout->shape, w->layout->shape, y->layout->shape, ad__attrs_of(op));
    c.op = op;
    return c;
}

static int conv2d_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    conv c = geometry(op, x, w, y);
    if (op->n_in > 2) fill_bias(op);
    convolve(&c, x->data, w->data, op->n_in <= 2, y->data);
    return AD_OK;
}

static void conv2d_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    conv c = geometry(op, x, w, y);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) spread_windows(&c, w->data, y->grad, fresh, gx);
    void *gw = ad_grad_claim(op, 1, &fresh);
    if (gw != NULL) correlate(&c, x->data, y->grad, fresh, gw);
    bias_backward(op);
}

/* With the output_padding that gives back x's size, whatever the stride left over. */
static ad_var *transposed_to(ad_var *y, ad_var *w, ad_shape x, ad_conv_opts o) {
    conv_attrs a = attrs_from(o);
    for (int i = 0; i < 2; i++)
        o.output_padding[i] = x.dim[2 + i] - unplaced(y->layout->shape.dim[2 + i], w->layout->shape.dim[2 + i], &a, i);
    return ad_conv_transpose2d(y, w, NULL, o);
}

static void conv2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = transposed_to(g, w, x->layout->shape, opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d_weight(x, w->layout->shape, g, opts_of(op));
    bias_vjp(op, g, dx);
}

/* x, w, and the options that go with them; shared by the three ops. */
static const struct {
    ad_shape x, w;
    ad_conv_opts o;
} cases[] = {
    { { 4, { 2, 2, 5, 4 } }, { 4, { 3, 2, 3, 2 } }, { .groups = 1 } },
    { { 4, { 1, 1, 1, 1 } }, { 4, { 1, 1, 1, 1 } }, { .groups = 1 } },
    { { 4, { 2, 3, 2, 3 } }, { 4, { 2, 3, 1, 1 } }, { .groups = 1 } },
    { { 4, { 1, 2, 6, 5 } }, { 4, { 2, 2, 3, 3 } }, { .stride = { 2, 3 }, .padding = { 1, 2 } } },
    { { 4, { 2, 1, 6, 7 } }, { 4, { 2, 1, 2, 3 } }, { .dilation = { 3, 2 }, .padding = { 0, 1 } } },
    { { 4, { 1, 4, 3, 3 } }, { 4, { 6, 2, 2, 2 } }, { .groups = 2, .padding = { 1, 1 } } },
    { { 4, { 2, 3, 4, 4 } },
      { 4, { 3, 1, 3, 3 } },
      { .groups = 3, .stride = { 2, 2 }, .dilation = { 1, 2 }, .padding = { 1, 2 } } },
    { { 4, { 1, 1, 2, 1 } }, { 4, { 1, 1, 3, 5 } }, { .padding = { 1, 2 } } },
    { { 4, { 0, 2, 3, 3 } }, { 4, { 1, 2, 2, 2 } }, { .groups = 1 } },
};

static void conv2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        conv_attrs a = attrs_from(cases[i].o);
        for (int n = 2; n <= 3; n++)
            ad_sample(s, &a, n, (ad_shape[]){ cases[i].x, cases[i].w, AD_SHAPE(cases[i].w.dim[0]) }, NULL, NULL);
    }
}

AD_OPTYPE(conv2d,
          .doc = "cross-correlation of images x [n,c,h,w] with kernels w [o,c/groups,kh,kw], plus b [o] or nothing; "
                 "stride, padding (with zeros), dilation along h and w; groups of channels",
          .formula = "y[n,o,i,j] = b[o] + sum over c,p,q of w[o,c,p,q] x[n,c, i stride - padding + p dilation, ..]",
          .gradient = "conv_transpose2d(g, w); conv2d_weight(x, g); g summed over n,i,j", .arity = -1,
          .attr_size = sizeof(conv_attrs), .attrs = conv_list, .shape = conv2d_shape,
          .evaluate = { conv2d_evaluate, conv2d_evaluate }, .backward = { conv2d_backward, conv2d_backward },
          .vjp = conv2d_vjp);
ad_var *ad_conv2d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    conv_attrs a = attrs_from(opts);
    return ad_apply(&ad_op_conv2d, b ? 3 : 2, (ad_var *[]){ x, w, b }, &a);
}

/* ---- conv_transpose2d: its result is a convolution's image, its x that convolution's y -------------------------- */

static int conv_transpose2d_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    conv c = geometry(op, y, w, x);
    fill_bias(op);
    spread_windows(&c, w->data, x->data, false, y->data);
    return AD_OK;
}

static void conv_transpose2d_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *w = op->in[1], *y = ad__out(op);
    conv c = geometry(op, y, w, x);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) convolve(&c, y->grad, w->data, fresh, gx);
    void *gw = ad_grad_claim(op, 1, &fresh);
    if (gw != NULL) correlate(&c, y->grad, x->data, fresh, gw);
    bias_backward(op);
}

static void conv_transpose2d_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = ad_conv2d(g, w, NULL, opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d_weight(g, w->layout->shape, x, opts_of(op));
    bias_vjp(op, g, dx);
}

static void conv_transpose2d_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        conv_attrs a = attrs_from(cases[i].o);
        ad_shape x = cases[i].x, w = cases[i].w;
        x.dim[1] = w.dim[0];
        for (int k = 0; k < 2; k++)
            if (a.stride.dim[k] > 1) a.output_padding.dim[k] = a.stride.dim[k] - 1 - k;
        for (int n = 2; n <= 3; n++)
            ad_sample(s, &a, n, (ad_shape[]){ x, w, AD_SHAPE(w.dim[1] * a.groups) }, NULL, NULL);
    }
}

AD_OPTYPE(
    conv_transpose2d,
    .doc = "the transpose of conv2d as a linear map, plus b [o] or nothing: x [n,c,h,w], w [c,o/groups,kh,kw] -> "
           "[n,o,(h-1) stride - 2 padding + dilation (kh-1) + output_padding + 1,..]; output_padding is below stride",
    .formula = "y[n,o, i stride - padding + p dilation, ..] = b[o] + sum over c,i,j,p,q of w[c,o,p,q] x[n,c,i,j]",
    .gradient = "conv2d(g, w); conv2d_weight(g, x); g summed over n,i,j", .arity = -1, .attr_size = sizeof(conv_attrs),
    .attrs = transpose_list, .shape = conv_transpose2d_shape,
    .evaluate = { conv_transpose2d_evaluate, conv_transpose2d_evaluate },
    .backward = { conv_transpose2d_backward, conv_transpose2d_backward }, .vjp = conv_transpose2d_vjp);
ad_var *ad_conv_transpose2d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    conv_attrs a = attrs_from(opts);
    return ad_apply(&ad_op_conv_transpose2d, b ? 3 : 2, (ad_var *[]){ x, w, b }, &a);
}

/* ---- conv2d_weight: x [n,c,h,w], g [n,o,oh,ow] -> [o,c/groups,kh,kw] --------------------------------------------- */

static int conv2d_weight_evaluate(const ad_op *op) {
    const ad_var *x = op->in[0], *g = op->in[1], *w = ad__out(op);
    conv c = geometry(op, x, w, g);
    correlate(&c, x->data, g->data, true, w->data);
    return AD_OK;
}

static void conv2d_weight_backward(const ad_op *op) {
    const ad_var *x = op->in[0], *g = op->in[1], *w = ad__out(op);
    conv c = geometry(op, x, w, g);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx != NULL) spread_windows(&c, w->grad, g->data, fresh, gx);
    void *gg = ad_grad_claim(op, 1, &fresh);
    if (gg != NULL) convolve(&c, x->data, w->grad, fresh, gg);
}

static void conv2d_weight_vjp(const ad_op *op, ad_var *v, ad_var *dx[]) {
    ad_var *x = op->in[0], *g = op->in[1];
    if (ad_vjp_wants(op, 0)) dx[0] = transposed_to(g, v, x->layout->shape, opts_of(op));
    if (ad_vjp_wants(op, 1)) dx[1] = ad_conv2d(x, v, NULL, opts_of(op));
}

static void conv2d_weight_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(cases); i++) {
        conv_attrs a = attrs_from(cases[i].o);
        ad_shape x = cases[i].x, w = cases[i].w, y = AD_SHAPE(x.dim[0], w.dim[0], 0, 0);
        for (int k = 2; k < 4; k++)
            y.dim[k] =
                ad__window_places(x.dim[k], w.dim[k], a.stride.dim[k - 2], a.padding.dim[k - 2], a.dilation.dim[k - 2]);
        a.weight = w;
        ad_sample(s, &a, 2, (ad_shape[]){ x, y }, NULL, NULL);
    }
}

AD_OPTYPE(conv2d_weight,
          .doc = "the gradient of conv2d's weights, of a shape [o,c/groups,kh,kw], from x [n,c,h,w] and g [n,o,oh,ow]",
          .formula = "w[o,c,p,q] = sum over n,i,j of g[n,o,i,j] x[n,c, i stride - padding + p dilation, ..]",
          .gradient = "with v the cotangent: conv_transpose2d(g, v); conv2d(x, v)", .arity = 2,
          .attr_size = sizeof(conv_attrs), .attrs = weight_list, .shape = conv2d_weight_shape,
          .evaluate = { conv2d_weight_evaluate, conv2d_weight_evaluate },
          .backward = { conv2d_weight_backward, conv2d_weight_backward }, .vjp = conv2d_weight_vjp);
ad_var *ad_conv2d_weight(ad_var *x, ad_shape weight, ad_var *g, ad_conv_opts opts) {
    conv_attrs a = attrs_from(opts);
    a.weight = weight;
    return ad_apply(&ad_op_conv2d_weight, 2, (ad_var *[]){ x, g }, &a);
}

/* ---- signals: images of height 1 --------------------------------------------------------------------------------- */

typedef ad_var *conv_fn(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts);

static ad_var *with_height(ad_var *x) {
    ad_shape s = x->layout->shape;
    return ad_reshape(x, AD_SHAPE(s.dim[0], s.dim[1], 1, s.dim[2]));
}

static ad_var *over_signal(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts o, conv_fn *f, const char *caller) {
    if (ad__absent(x) || ad__absent(w)) return f(x, w, b, o);
    char xs[96], ws[96];
    ad_shape_text(x->layout->shape, xs, sizeof xs);
    ad_shape_text(w->layout->shape, ws, sizeof ws);
    if (x->layout->shape.ndim != 3 || w->layout->shape.ndim != 3) {
        ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s x %s: takes x [n,c,l] and w of 3 dimensions too", caller, xs, ws);
        return ad_nil(ad__owner(x));
    }
    ad_var *y = f(with_height(x), with_height(w), b, (ad_conv_opts){ .stride = { 1, o.stride[0] },
                  .padding = { 0, o.padding[0] }, .dilation = { 1, o.dilation[0] },
                  .output_padding = { 0, o.output_padding[0] }, .groups = o.groups });
    ad_shape s = y->layout->shape;
    return ad__absent(y) ? y : ad_reshape(y, AD_SHAPE(s.dim[0], s.dim[1], s.dim[3]));
}

ad_var *ad_conv1d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    return over_signal(x, w, b, opts, ad_conv2d, "conv1d");
}
ad_var *ad_conv_transpose1d(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts) {
    return over_signal(x, w, b, opts, ad_conv_transpose2d, "conv_transpose1d");
}
