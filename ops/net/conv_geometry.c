/* conv_geometry.c: attributes, sizes and matrix products that convolutions share. */
#include "ops/net/conv_geometry.h"

#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/linalg/square.h"
#include "ops/net/pair.h"

#include <string.h>

/* ---- attributes ------------------------------------------------------------------------------------------ */

ad__conv_attrs ad__conv_attrs_of(ad_conv_opts o) {
    return (ad__conv_attrs){ ad__pair(o.stride, 1), ad__pair(o.padding, 0), ad__pair(o.dilation, 1),
                             ad__pair(o.output_padding, 0), o.groups ? o.groups : 1, AD_SCALAR };
}

ad_conv_opts ad__conv_opts_of(const ad_op *op) {
    const ad__conv_attrs *a = ad__attrs_of(op);
    return (ad_conv_opts){ .stride = { a->stride.dim[0], a->stride.dim[1] },
                           .padding = { a->padding.dim[0], a->padding.dim[1] },
                           .dilation = { a->dilation.dim[0], a->dilation.dim[1] },
                           .groups = a->groups };
}

static int check_attrs(const ad_call *c) {
    const ad__conv_attrs *a = c->attrs;
    int rc = ad__check_pair(c, "stride", a->stride.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(c, "dilation", a->dilation.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(c, "padding", a->padding.dim, 0);
    if (rc == AD_OK) rc = ad__check_pair(c, "output_padding", a->output_padding.dim, 0);
    if (rc != AD_OK) return rc;
    if (a->output_padding.dim[0] >= a->stride.dim[0] || a->output_padding.dim[1] >= a->stride.dim[1])
        return ad_call_fail(c, AD_EVALUE, "output_padding must be below stride");
    if (a->groups >= 1) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%lld groups given; groups must be 1 or more", (long long)a->groups);
}

/* ---- geometry ------------------------------------------------------------------------------------------------ */

static ad__conv conv_of(ad_dtype t, ad_shape x, ad_shape w, ad_shape y, const ad__conv_attrs *a) {
    ad__conv c = { .t = t, .size = ad_dtype_size(t), .n = x.dim[0], .groups = a->groups, .o = w.dim[0] / a->groups };
    c.w.c = w.dim[1];
    c.direct = true;
    for (int i = 0; i < 2; i++) {
        c.w.in[i] = x.dim[2 + i], c.w.kernel[i] = w.dim[2 + i], c.w.out[i] = y.dim[2 + i];
        c.w.stride[i] = a->stride.dim[i], c.w.padding[i] = a->padding.dim[i], c.w.dilation[i] = a->dilation.dim[i];
        c.direct &= c.w.kernel[i] == 1 && c.w.stride[i] == 1 && c.w.padding[i] == 0;
    }
    c.k = c.w.c * c.w.kernel[0] * c.w.kernel[1];
    c.l = c.w.out[0] * c.w.out[1];
    c.by_squares = t == AD_F32 && ad__winograd_suits(&c.w, c.o);
    return c;
}

ad__conv ad__conv_of(const ad_op *op, const ad_var *x, const ad_var *w, const ad_var *y) {
    ad__conv c = conv_of(x->layout->dtype, x->layout->shape, w->layout->shape, y->layout->shape, ad__attrs_of(op));
    c.op = op;
    return c;
}

/* Pointers to group g of image i in x and in y, and to group g of the weights. */
static void *x_at(const ad__conv *c, const void *x, int64_t i, int64_t g) {
    return (char *)x + (size_t)((i * c->groups + g) * c->w.c * c->w.in[0] * c->w.in[1]) * c->size;
}
static void *y_at(const ad__conv *c, const void *y, int64_t i, int64_t g) {
    return (char *)y + (size_t)((i * c->groups + g) * c->o * c->l) * c->size;
}
static void *w_at(const ad__conv *c, const void *w, int64_t g) {
    return (char *)w + (size_t)(g * c->o * c->k) * c->size;
}

/* The numbers of an image and of a result of a group, and of its weights as squares of 4 x 4. */
static int64_t pixels_of(const ad__conv *c) { return c->w.c * c->w.in[0] * c->w.in[1]; }
static int64_t square_count(const ad__conv *c) { return 16 * c->o * c->w.c; }

/* The convolution of y that yields x: its weights are turned. */
static ad__conv back_of(const ad__conv *c) {
    ad__conv b = *c;
    b.o = c->w.c, b.w.c = c->o;
    for (int i = 0; i < 2; i++) b.w.in[i] = c->w.out[i], b.w.out[i] = c->w.in[i], b.w.padding[i] = 2 - c->w.padding[i];
    return b;
}

/* Each thread's scratch begins with its sums of squares, behind which is its work: a matrix of windows, or squares. */
static size_t sum_bytes(const ad__conv *c) { return c->by_squares ? (size_t)square_count(c) * c->size : 0; }
static void *work_of(const ad__conv *c, int worker) { return (char *)ad__scratch_of(c->op, worker) + sum_bytes(c); }
static size_t work_bytes(const ad__conv *c) {
    ad__conv b = back_of(c);
    int64_t numbers = c->direct ? 0 : c->k * c->l;
    if (c->by_squares) numbers = ad__greater(numbers, ad__winograd_work(&c->w, c->o));
    if (c->by_squares) numbers = ad__greater(numbers, ad__winograd_work(&b.w, b.o));
    return ad__round_up(sum_bytes(c) + (size_t)numbers * c->size, AD__ALIGN);
}

/* The weights as squares, behind the first thread's work; NULL if windows are needed. */
static const float *squares_of(const ad__conv *c, bool turned, const void *w) {
    if (!c->by_squares || !ad__winograd_takes(c->groups * c->o * c->k, w)) return NULL;
    float *u = (float *)((char *)ad__scratch_of(c->op, 0) + work_bytes(c));
    for (int64_t g = 0; g < c->groups; g++)
        if (turned) ad__winograd_weights(c->w.c, c->o, true, w_at(c, w, g), u + g * square_count(c));
        else ad__winograd_weights(c->o, c->w.c, false, w_at(c, w, g), u + g * square_count(c));
    return u;
}

/* The matrix [k, l] of the windows of one group of one image. */
static const void *columns_of(const ad__conv *c, int worker, const void *x) {
    if (c->direct) return x;
    void *columns = work_of(c, worker);
    AD__BY_DTYPE(c->t, ad__image_im2col, &c->w, x, columns);
    return columns;
}

/* A map from x to y or from y to x, for each group of each image. */
typedef struct {
    const ad__conv *c;
    void *x, *y;
    const void *w;
    const float *squares; /* of w, or NULL */
    bool fresh;
} map;

/* Threads share the groups of all images. If they shared each product instead, they would wait while one thread makes
   the windows of the next. */
static void over_images(const map *m, ad_loop_fn *body) {
    double work = (double)m->c->o * (double)m->c->l * (double)m->c->k / 8;
    int64_t most = AD__SHARED_MIN;
    if (m->c->o * m->c->l == 0 && m->c->w.c == 0) return; /* there may be very many empty images */
    ad_parallel(ad__op_team(m->c->op), m->c->n * m->c->groups, 0, work < most ? 1 + (int64_t)work : most, body,
                (void *)m);
}

/* Computes group g of an image by squares, unless its numbers need windows. */
static bool image_by_squares(const map *m, const ad__window_of *w, int64_t o, int worker, int64_t g, const void *from,
                             void *to) {
    if (m->squares == NULL || !ad__winograd_takes(w->c * w->in[0] * w->in[1], from)) return false;
    ad__winograd_results(w, o, m->squares + g * square_count(m->c), from, m->fresh, to, work_of(m->c, worker));
    return true;
}

static void images_into_y(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    const ad__conv *c = m->c;
    for (int64_t j = from; j < to; j++) {
        int64_t i = j / c->groups, g = j % c->groups;
        void *x = x_at(c, m->x, i, g), *y = y_at(c, m->y, i, g);
        if (!image_by_squares(m, &c->w, c->o, worker, g, x, y))
            ad__gemm(ad__op_team(c->op), c->t, false, false, c->o, c->l, c->k, w_at(c, m->w, g),
                     columns_of(c, worker, x), m->fresh ? 0 : 1, y);
    }
}

void ad__conv_into_y(const ad__conv *c, const void *x, const void *w, bool fresh, void *y) {
    over_images(&(map){ c, (void *)x, y, w, squares_of(c, false, w), fresh }, images_into_y);
}

static void images_into_x(void *context, int worker, int64_t from, int64_t to) {
    const map *m = context;
    const ad__conv *c = m->c, back = back_of(c);
    size_t image = (size_t)pixels_of(c) * c->size;
    for (int64_t j = from; j < to; j++) {
        int64_t i = j / c->groups, g = j % c->groups;
        void *x = x_at(c, m->x, i, g), *y = y_at(c, m->y, i, g), *columns = c->direct ? x : work_of(c, worker);
        if (image_by_squares(m, &back.w, back.o, worker, g, y, x)) continue;
        ad__gemm(ad__op_team(c->op), c->t, true, false, c->k, c->l, c->o, w_at(c, m->w, g), y,
                 c->direct && !m->fresh ? 1 : 0, columns);
        if (c->direct) continue;
        if (m->fresh) memset(x, 0, image);
        AD__BY_DTYPE(c->t, ad__image_col2im_add, &c->w, columns, x);
    }
}

void ad__conv_into_x(const ad__conv *c, const void *w, const void *y, bool fresh, void *x) {
    over_images(&(map){ c, x, (void *)y, w, squares_of(c, true, w), fresh }, images_into_x);
}

/* ---- the gradient of the weights: a sum over all images ------------------------------------------------------- */

/* The sums of up to PARTS parts of the images, so that threads can share them. Where windows are used and the weights
   are larger than MOST bytes, threads share the products. Squares have none to share, so parts may take ROOM bytes. */
enum { PARTS = 8, MOST = 1 << 19, ROOM = 1 << 24 };

static size_t weight_bytes(const ad__conv *c) { return (size_t)(c->groups * c->o * c->k) * c->size; }
static int64_t parts_of(const ad__conv *c) {
    int64_t bytes = (int64_t)weight_bytes(c), parts = ad__lesser(c->n, PARTS);
    if (c->by_squares) return ad__lesser(parts, ad__greater(1, ROOM / bytes));
    return bytes > MOST ? 1 : parts;
}

typedef struct {
    const ad__conv *c;
    const void *x, *y;
    char *sums; /* one behind the other */
} weight_sums;

/* Adds to group g of w, or with fresh overwrites it by, what images from .. to-1 give. The sums of squares are turned
   into weights at the end. */
static void add_images(const ad__conv *c, int worker, int64_t from, int64_t to, int64_t g, const void *x, const void *y,
                       bool fresh, void *w) {
    float *sums = NULL;
    for (int64_t i = from; i < to; i++) {
        const void *image = x_at(c, x, i, g), *result = y_at(c, y, i, g);
        if (c->by_squares && ad__winograd_takes(pixels_of(c), image) && ad__winograd_takes(c->o * c->l, result)) {
            if (sums == NULL) sums = memset(ad__scratch_of(c->op, worker), 0, (size_t)square_count(c) * c->size);
            ad__winograd_sums(&c->w, c->o, image, result, sums, work_of(c, worker));
        } else {
            ad__gemm(ad__op_team(c->op), c->t, false, true, c->o, c->k, c->l, result, columns_of(c, worker, image),
                     fresh ? 0 : 1, w);
            fresh = false;
        }
    }
    if (sums != NULL && fresh) memset(w, 0, (size_t)(c->o * c->k) * c->size);
    if (sums != NULL) ad__winograd_into_weights(c->o, c->w.c, sums, w);
}

static void parts_into_w(void *context, int worker, int64_t from, int64_t to) {
    const weight_sums *s = context;
    int64_t n = s->c->n, parts = parts_of(s->c);
    for (int64_t p = from; p < to; p++)
        for (int64_t g = 0; g < s->c->groups; g++)
            add_images(s->c, worker, p * n / parts, (p + 1) * n / parts, g, s->x, s->y, true,
                       w_at(s->c, s->sums + (size_t)p * weight_bytes(s->c), g));
}

void ad__conv_into_w(const ad__conv *c, const void *x, const void *y, bool fresh, void *w) {
    int64_t count = c->groups * c->o * c->k, parts = parts_of(c);
    if (count == 0) return; /* there may be very many empty images */
    if (c->n == 0 && fresh) memset(w, 0, weight_bytes(c));
    if (parts <= 1) {
        for (int64_t g = 0; g < c->groups; g++) add_images(c, 0, 0, c->n, g, x, y, fresh, w_at(c, w, g));
        return;
    }
    weight_sums s = { c, x, y, (char *)ad__scratch_of(c->op, 0) + work_bytes(c) };
    double work = (double)(c->n / parts) * (double)count * (double)c->l / 8;
    int64_t each = work < AD__SHARED_MIN ? 1 + (int64_t)work : AD__SHARED_MIN;
    ad_parallel(ad__op_team(c->op), parts, 1, each, parts_into_w, &s);
    for (int64_t p = 0; p < parts; p++) {
        const void *sum = s.sums + (size_t)p * weight_bytes(c);
        if (p == 0 && fresh) memcpy(w, sum, weight_bytes(c));
        else AD__BY_DTYPE(c->t, ad__array_add, count, sum, w);
    }
}

/* ---- shapes -------------------------------------------------------------------------------------------------- */

int ad__conv_check(const ad_call *c, const char *takes) {
    if (c->n < 2 || c->n > 3 || c->shape.ndim != 4 || c->in[1]->layout->shape.ndim != 4)
        return ad_call_fail(c, AD_ESHAPE, "takes %s", takes);
    return check_attrs(c);
}

int ad__conv_check_bias(const ad_call *c, int64_t channels) {
    if (c->n < 3 || ad_shape_equal(c->in[2]->layout->shape, AD_SHAPE(channels))) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "b must be [%lld]", (long long)channels);
}

int ad__conv_check_sizes(ad_call *call, ad_shape x, ad_shape w, ad_shape y) {
    /* in double: these products may overflow, as sizes are large where an array has no elements */
    double k = (double)w.dim[1] * (double)w.dim[2] * (double)w.dim[3], l = (double)y.dim[2] * (double)y.dim[3];
    if (k > AD__GEMM_MAX || l > AD__GEMM_MAX || w.dim[0] > AD__GEMM_MAX || k * l > 0x1p55)
        return ad_call_fail(call, AD_ESHAPE, "the matrix of windows is too large");
    ad__conv c = conv_of(call->dtype, x, w, y, call->attrs);
    int64_t sums = parts_of(&c) > 1 ? parts_of(&c) * (int64_t)weight_bytes(&c) : 0;
    call->scratch = work_bytes(&c) + (size_t)ad__greater(sums, c.groups * (int64_t)sum_bytes(&c));
    return AD_OK;
}

int ad__conv_places(const ad_call *c, ad_shape x, ad_shape w, ad_shape *y) {
    const ad__conv_attrs *a = c->attrs;
    for (int i = 0; i < 2; i++) {
        int64_t kernel = w.dim[2 + i];
        if (kernel < 1 || kernel > INT32_MAX)
            return ad_call_fail(c, AD_ESHAPE, "a kernel of size %lld is not in 1..%d", (long long)kernel, INT32_MAX);
        y->dim[2 + i] =
            ad__window_places(x.dim[2 + i], kernel, a->stride.dim[i], a->padding.dim[i], a->dilation.dim[i]);
        if (y->dim[2 + i] < 1)
            return ad_call_fail(c, AD_ESHAPE,
                                "a kernel of size %lld with dilation %lld is larger than x, of size %lld with padding "
                                "%lld",
                                (long long)kernel, (long long)a->dilation.dim[i], (long long)x.dim[2 + i],
                                (long long)a->padding.dim[i]);
    }
    return AD_OK;
}

int64_t ad__conv_image_size(int64_t h, int64_t kernel, const ad__conv_attrs *a, int i) {
    return (h - 1) * a->stride.dim[i] - 2 * a->padding.dim[i] + a->dilation.dim[i] * (kernel - 1) +
           a->output_padding.dim[i] + 1;
}

/* ---- bias ---------------------------------------------------------------------------------------------------- */

void ad__conv_fill_bias(const ad_op *op) {
    const ad_var *y = ad__out(op), *b = op->n_in > 2 ? op->in[2] : NULL;
    ad_shape s = y->layout->shape;
    int64_t l = s.dim[2] * s.dim[3];
    size_t bytes = (size_t)l * ad_dtype_size(y->layout->dtype);
    if (b == NULL) memset(y->data, 0, ad__bytes(y));
    for (int64_t i = 0; b != NULL && i < s.dim[0] * s.dim[1]; i++) {
        void *to = (char *)y->data + (size_t)i * bytes;
        AD__BY_DTYPE(y->layout->dtype, ad__array_fill, l, ad__get(b, i % s.dim[1]), to);
    }
}

static void channel_sums(void *context, int worker, int64_t from, int64_t to) {
    const ad_op *op = context;
    const ad_var *y = ad__out(op);
    void *gb = op->in[2]->grad;
    ad_shape s = y->layout->shape;
    ad_dtype t = y->layout->dtype;
    int64_t l = s.dim[2] * s.dim[3];
    size_t bytes = (size_t)l * ad_dtype_size(t);
    (void)worker;
    for (int64_t o = from; o < to; o++) {
        double sum = 0;
        for (int64_t i = o; i < s.dim[0] * s.dim[1]; i += s.dim[1]) {
            const void *g = (const char *)y->grad + (size_t)i * bytes;
            sum += AD__BY_DTYPE(t, ad__array_sum, l, g);
        }
        if (t == AD_F32) ((float *)gb)[o] = (float)((double)((float *)gb)[o] + sum);
        else ((double *)gb)[o] += sum;
    }
}

void ad__conv_bias_backward(const ad_op *op) {
    const ad__layout *y = ad__out(op)->layout;
    int64_t channels = y->shape.dim[1];
    if (op->n_in < 3 || ad_grad_into(op, 2) == NULL || channels == 0) return;
    ad_parallel(ad__op_team(op), channels, 0, 1 + y->numel / channels, channel_sums, (void *)op);
}

void ad__conv_bias_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (op->n_in > 2 && ad_vjp_wants(op, 2)) dx[2] = ad_sum_axes(g, 3, (int[]){ 0, 2, 3 }, false);
}

/* ---- forms that the ops do not take ---------------------------------------------------------------------------- */

ad_var *ad__conv_crop(ad_var *x, int axes, int64_t *padding, const char *caller) {
    if (ad__absent(x)) return x;
    ad_shape cut = { .ndim = axes };
    for (int i = 0; i < axes; i++) {
        int64_t size = x->layout->shape.ndim > axes ? x->layout->shape.dim[x->layout->shape.ndim - axes + i] : 0;
        cut.dim[i] = padding[i] < 0 ? padding[i] : 0;
        if (padding[i] >= 0) continue;
        if (cut.dim[i] < -size / 2) {
            ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s: padding of %lld leaves nothing of x", caller,
                    ad_shape_str(x->layout->shape).text, (long long)padding[i]);
            return ad_nil(ad__owner(x));
        }
        padding[i] = 0;
    }
    return ad_pad(x, cut, cut, 0);
}

/* Fails unless each output_padding is in 0 .. the larger of stride and dilation - 1, and neither is a huge number. */
static bool can_extend(const ad_var *x, int axes, const ad_conv_opts *o, const char *caller) {
    for (int i = 0; i < axes; i++) {
        int64_t stride = o->stride[i] ? o->stride[i] : 1, dilation = o->dilation[i] ? o->dilation[i] : 1;
        int64_t below = stride > dilation ? stride : dilation, most = INT32_MAX;
        bool small = o->padding[i] >= -most && o->padding[i] <= most && o->output_padding[i] <= most;
        if (o->output_padding[i] >= 0 && o->output_padding[i] < below && small) continue;
        return ad_fail(ad__owner(x), AD_EVALUE,
                       "%s: padding %lld and output_padding %lld: output_padding must be 0 or more, and below stride "
                       "or dilation", caller, (long long)o->padding[i], (long long)o->output_padding[i]), false;
    }
    return true;
}

ad_var *ad__conv_transpose_whole(ad_var *x, ad_var *w, ad_var *b, int axes, ad_conv_opts o, ad__conv_fn *f,
                                 const char *caller) {
    if (ad__absent(x)) return f(x, w, b, (ad_conv_opts){ 0 });
    if (!can_extend(x, axes, &o, caller)) return ad_nil(ad__owner(x));
    ad_shape before = { .ndim = axes }, after = before;
    for (int i = 0; i < axes; i++) {
        before.dim[i] = -o.padding[i], after.dim[i] = o.output_padding[i] - o.padding[i];
        o.padding[i] = o.output_padding[i] = 0;
    }
    ad_var *y = ad_pad(f(x, w, NULL, o), before, after, 0);
    if (b == NULL || ad__absent(y)) return y;
    ad_shape along = { .ndim = axes + 1, .dim = { ad__absent(b) ? 0 : b->layout->numel, 1, 1, 1 } };
    if (!ad__absent(b) && along.dim[0] != y->layout->shape.dim[1]) {
        ad_fail(ad__owner(x), AD_ESHAPE, "%s: b must be [%lld]", caller, (long long)y->layout->shape.dim[1]);
        return ad_nil(ad__owner(x));
    }
    return ad_add(y, ad_reshape(b, along));
}

/* ---- signals ------------------------------------------------------------------------------------------------- */

ad_var *ad__conv_signal(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts o, ad__conv_fn *f, const char *caller) {
    if (ad__absent(x) || ad__absent(w)) return f(x, w, b, o);
    if (x->layout->shape.ndim != 3 || w->layout->shape.ndim != 3) {
        ad_fail(ad__owner(x), AD_ESHAPE, "%s: %s x %s: takes x [n,c,l] and w of 3 dimensions", caller,
                ad_shape_str(x->layout->shape).text, ad_shape_str(w->layout->shape).text);
        return ad_nil(ad__owner(x));
    }
    ad_conv_opts along = { .stride = { 1, o.stride[0] },     .padding = { 0, o.padding[0] },
                           .dilation = { 1, o.dilation[0] }, .output_padding = { 0, o.output_padding[0] },
                           .groups = o.groups };
    return ad_squeeze_axis(f(ad_unsqueeze(x, -2), ad_unsqueeze(w, -2), b, along), -2);
}

/* ---- samples -------------------------------------------------------------------------------------------------- */

/* The shapes of x and w, and options. */
static const struct {
    const char *shapes;
    ad_conv_opts o;
} cases[AD__CONV_CASES] = {
    { "2,2,5,4 3,2,3,2", { .groups = 1 } },
    { "1,1,1,1 1,1,1,1", { .groups = 1 } },
    { "2,3,2,3 2,3,1,1", { .groups = 1 } },
    { "1,2,6,5 2,2,3,3", { .stride = { 2, 3 }, .padding = { 1, 2 } } },
    { "2,1,6,7 2,1,2,3", { .dilation = { 3, 2 }, .padding = { 0, 1 } } },
    { "1,4,3,3 6,2,2,2", { .groups = 2, .padding = { 1, 1 } } },
    { "2,3,4,4 3,1,3,3", { .groups = 3, .stride = { 2, 2 }, .dilation = { 1, 2 }, .padding = { 1, 2 } } },
    { "1,1,2,1 1,1,3,5", { .padding = { 1, 2 } } },
    { "0,2,3,3 1,2,2,2", { .groups = 1 } },
};

ad__conv_attrs ad__conv_case(int i, ad_shape *x, ad_shape *w) {
    ad_shape shapes[2];
    AD__SHAPES(shapes, cases[i].shapes);
    *x = shapes[0], *w = shapes[1];
    return ad__conv_attrs_of(cases[i].o);
}
