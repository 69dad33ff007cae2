/* window.c: im2col, which copies windows of images to columns, and its transpose col2im, which sums columns into
   images. */
#include "autodiff/graph/node.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/net/im2col.h"
#include "ops/net/pair.h"
#include "ops/ops.h"

#include <string.h>

/* ---- helpers: the window ---------------------------------------------------------------------------------------- */

/* Pairs along h and w; size, of the images, is for col2im only. */
typedef struct {
    ad_shape kernel, stride, padding, dilation, size;
} window_attrs;

#define FIELD(name) { #name, AD_ATTR_SHAPE, offsetof(window_attrs, name) }
#define WINDOW FIELD(kernel), FIELD(stride), FIELD(padding), FIELD(dilation)
static const ad_attr im2col_list[] = { WINDOW, { 0 } };
static const ad_attr col2im_list[] = { WINDOW, FIELD(size), { 0 } };

static window_attrs attrs_of(const ad_window *w, int64_t height, int64_t width) {
    return (window_attrs){ ad__pair(w->kernel, 0), ad__pair(w->stride, 1), ad__pair(w->padding, 0),
                           ad__pair(w->dilation, 1), AD_SHAPE(height, width) };
}

/* The window over images [c,h,w], for attributes that check_window has accepted. */
static ad__window_of window_of(const window_attrs *a, int64_t c, int64_t h, int64_t w) {
    ad__window_of r = { .c = c, .in = { h, w } };
    for (int i = 0; i < 2; i++) {
        r.kernel[i] = a->kernel.dim[i], r.stride[i] = a->stride.dim[i];
        r.padding[i] = a->padding.dim[i], r.dilation[i] = a->dilation.dim[i];
        r.out[i] = ad__window_places(r.in[i], r.kernel[i], r.stride[i], r.padding[i], r.dilation[i]);
    }
    return r;
}

static int check_window(const ad_call *call, int64_t c, int64_t h, int64_t w) {
    const window_attrs *a = call->attrs;
    int rc = ad__check_pair(call, "kernel", a->kernel.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(call, "stride", a->stride.dim, 1);
    if (rc == AD_OK) rc = ad__check_pair(call, "padding", a->padding.dim, 0);
    if (rc == AD_OK) rc = ad__check_pair(call, "dilation", a->dilation.dim, 1);
    if (rc != AD_OK) return rc;
    ad__window_of v = window_of(a, c, h, w);
    if (v.out[0] < 1 || v.out[1] < 1)
        return ad_call_fail(call, AD_ESHAPE, "a window of %lld by %lld, with its dilation, does not fit into the image",
                            (long long)v.kernel[0], (long long)v.kernel[1]);
    if (ad_shape_numel(AD_SHAPE(c, v.kernel[0], v.kernel[1], v.out[0], v.out[1])) < 0)
        return ad_call_fail(call, AD_ESHAPE, "the columns would have too many elements");
    return AD_OK;
}

typedef struct {
    ad__window_of window;
    int64_t n;              /* images */
    int64_t image, columns; /* elements of one image, and of its columns */
    ad_dtype dtype;
} job;

static job job_of(const ad_op *op, const ad_var *image) {
    ad_shape s = image->layout->shape;
    int64_t c = s.dim[s.ndim - 3], h = s.dim[s.ndim - 2], w = s.dim[s.ndim - 1];
    job j = { .window = window_of(ad__attrs_of(op), c, h, w), .n = s.ndim == 4 ? s.dim[0] : 1, .image = c * h * w,
              .dtype = image->layout->dtype };
    j.columns = c * j.window.kernel[0] * j.window.kernel[1] * j.window.out[0] * j.window.out[1];
    if (j.columns == 0) j.n = 0; /* there may be very many empty images */
    return j;
}

static void *image_at(const job *j, const void *images, int64_t i) {
    return (char *)images + (size_t)(i * j->image) * ad_dtype_size(j->dtype);
}
static void *columns_at(const job *j, const void *columns, int64_t i) {
    return (char *)columns + (size_t)(i * j->columns) * ad_dtype_size(j->dtype);
}

static void to_columns(const job *j, const void *images, void *columns) {
    for (int64_t i = 0; i < j->n; i++)
        AD__BY_DTYPE(j->dtype, ad__image_im2col, &j->window, image_at(j, images, i), columns_at(j, columns, i));
}

static void add_to_columns(const job *j, const void *images, void *columns) {
    for (int64_t i = 0; i < j->n; i++)
        AD__BY_DTYPE(j->dtype, ad__image_im2col_add, &j->window, image_at(j, images, i), columns_at(j, columns, i));
}

static void add_to_images(const job *j, const void *columns, void *images) {
    for (int64_t i = 0; i < j->n; i++)
        AD__BY_DTYPE(j->dtype, ad__image_col2im_add, &j->window, columns_at(j, columns, i), image_at(j, images, i));
}

/* An array for images [n,c,h,w] with their padding, filled with zeros, and its part without the padding. */
static ad_emit_array emit_padded(ad_emit *e, const job *j, ad_emit_array *inside) {
    const ad__window_of *w = &j->window;
    ad_shape s = AD_SHAPE(j->n, w->c, w->in[0] + 2 * w->padding[0], w->in[1] + 2 * w->padding[1]);
    ad_emit_array padded = ad_emit_new(e, j->dtype, s);
    ad__emit_fill(e, padded, 0);
    *inside = padded;
    for (int i = 0; i < 2; i++) *inside = ad__emit_part(*inside, 2 + i, w->padding[i], w->in[i], 1);
    return padded;
}

/* Its windows as [n,c,p,q,i,j], the order of the columns. */
static ad_emit_array emit_columns(const job *j, ad_emit_array padded) {
    const ad__window_of *w = &j->window;
    ad_emit_array v = ad__emit_windows(padded, w->out, w->kernel, w->stride, w->dilation);
    return ad__emit_swap(ad__emit_swap(v, 2, 4), 3, 5);
}

/* For samples: stride, padding and dilation alone and together, along one and both axes, and a window that skips
   elements. */
static const ad_window windows[] = {
    { .kernel = { 2, 2 } },
    { .kernel = { 1, 1 } },
    { .kernel = { 3, 2 }, .stride = { 1, 2 } },
    { .kernel = { 2, 3 }, .padding = { 1, 2 } },
    { .kernel = { 2, 2 }, .dilation = { 2, 3 } },
    { .kernel = { 2, 2 }, .stride = { 3, 3 }, .padding = { 1, 0 } },
    { .kernel = { 3, 3 }, .stride = { 2, 1 }, .padding = { 2, 1 }, .dilation = { 2, 1 } },
    { .kernel = { 4, 5 } },
    { .kernel = { 1, 1 }, .padding = { 3, 3 }, .stride = { 4, 4 } },
};

/* ---- im2col: [n,c,h,w] -> [n, c*kh*kw, oh*ow] ------------------------------------------------------------------- */

static int im2col_shape(ad_call *call) {
    ad_shape s = call->shape;
    if (s.ndim != 3 && s.ndim != 4) return ad_call_fail(call, AD_ESHAPE, "takes images [n,c,h,w], or one [c,h,w]");
    int64_t c = s.dim[s.ndim - 3], h = s.dim[s.ndim - 2], w = s.dim[s.ndim - 1];
    int rc = check_window(call, c, h, w);
    if (rc != AD_OK) return rc;
    ad__window_of v = window_of(call->attrs, c, h, w);
    call->shape.ndim = s.ndim - 1;
    call->shape.dim[s.ndim - 3] = c * v.kernel[0] * v.kernel[1];
    call->shape.dim[s.ndim - 2] = v.out[0] * v.out[1];
    return AD_OK;
}

static int im2col_evaluate(const ad_op *op) {
    job j = job_of(op, op->in[0]);
    to_columns(&j, op->in[0]->data, ad_values(op));
    return AD_OK;
}

static void im2col_backward(const ad_op *op) {
    job j = job_of(op, op->in[0]);
    void *gx = ad_grad_into(op, 0);
    if (gx != NULL) add_to_images(&j, ad__out(op)->grad, gx);
}

static void im2col_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    window_attrs a = *(const window_attrs *)ad__attrs_of(op);
    a.size = AD_SHAPE(s.dim[s.ndim - 2], s.dim[s.ndim - 1]);
    dx[0] = ad__apply1(&ad_op_col2im, g, &a);
}

AD_COLD static int im2col_emit(ad_emit *e, const ad_op *op) {
    job j = job_of(op, op->in[0]);
    if (j.n == 0 || op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array inside, padded = emit_padded(e, &j, &inside), x = ad_emit_operand(e, op, 0);
    ad__emit_copy(e, x, inside);
    ad_emit_result(e, op, ad_emit_contiguous(e, emit_columns(&j, padded)));
    return AD_OK;
}

static void im2col_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(windows); i++) {
        window_attrs a = attrs_of(&windows[i], 0, 0);
        ad__sample_text(s, &a, 1, "2,2,4,5", NULL, NULL);
    }
    window_attrs a = attrs_of(&windows[3], 0, 0);
    ad__sample_text(s, &a, 1, "3,3,2", NULL, NULL);
    ad__sample_text(s, &a, 1, "0,1,3,3", NULL, NULL);
}

AD_OPTYPE(im2col, .doc = "copies windows of images [n,c,h,w] to columns [n, c*kh*kw, oh*ow]; PyTorch's unfold",
          .formula = "y[n, (c, i, j), (p, q)] = x[n, c, p sh + i dh - ph, q sw + j dw - pw], 0 in the padding",
          .gradient = "col2im(g)", .arity = 1, .attr_size = sizeof(window_attrs), .attrs = im2col_list,
          .shape = im2col_shape, .evaluate = { im2col_evaluate, im2col_evaluate },
          .backward = { im2col_backward, im2col_backward }, .vjp = im2col_vjp, .emit = im2col_emit);
ad_var *ad_im2col(ad_var *x, ad_window window) {
    window_attrs a = attrs_of(&window, 0, 0);
    return ad__apply1(&ad_op_im2col, x, &a);
}

/* ---- col2im: [n, c*kh*kw, oh*ow] -> [n,c,h,w] ------------------------------------------------------------------- */

static int col2im_shape(ad_call *call) {
    const window_attrs *a = call->attrs;
    ad_shape s = call->shape;
    int64_t h = a->size.dim[0], w = a->size.dim[1];
    if (s.ndim != 2 && s.ndim != 3)
        return ad_call_fail(call, AD_ESHAPE, "takes columns [n, c*kh*kw, oh*ow], or without n");
    int rc = ad__check_pair(call, "an image's size", a->size.dim, 0);
    if (rc == AD_OK) rc = check_window(call, 1, h, w);
    if (rc != AD_OK) return rc;
    ad__window_of v = window_of(a, 1, h, w);
    int64_t rows = s.dim[s.ndim - 2], each = v.kernel[0] * v.kernel[1], places = v.out[0] * v.out[1];
    if (rows % each != 0 || s.dim[s.ndim - 1] != places)
        return ad_call_fail(call, AD_ESHAPE, "the window makes columns [c*%lld, %lld] of such an image",
                            (long long)each, (long long)places);
    call->shape = AD_SHAPE(s.dim[0], rows / each, h, w);
    if (s.ndim == 2) call->shape = AD_SHAPE(rows / each, h, w);
    return AD_OK;
}

static int col2im_evaluate(const ad_op *op) {
    const ad_var *y = ad__out(op);
    job j = job_of(op, y);
    memset(y->data, 0, ad__bytes(y));
    add_to_images(&j, op->in[0]->data, y->data);
    return AD_OK;
}

static void col2im_backward(const ad_op *op) {
    job j = job_of(op, ad__out(op));
    void *gx = ad_grad_into(op, 0);
    if (gx != NULL) add_to_columns(&j, ad__out(op)->grad, gx);
}

static void col2im_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad__apply1(&ad_op_im2col, g, ad__attrs_of(op));
}

AD_COLD static int col2im_emit(ad_emit *e, const ad_op *op) {
    job j = job_of(op, ad__out(op));
    if (j.n == 0 || op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array inside, padded = emit_padded(e, &j, &inside), to = emit_columns(&j, padded);
    ad_emit_array x = ad__emit_reshape(e, ad_emit_operand(e, op, 0), to.shape);
    ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_ADD, .dtype = j.dtype, .shape = to.shape, .names = "x",
                                    .value = "x", .slope = { "g" }, .n = 1, .in = { x }, .into = &to });
    ad_emit_result(e, op, ad_emit_contiguous(e, inside));
    return AD_OK;
}

static void col2im_samples(ad_sampler *s) {
    for (int i = 0; i < AD__COUNT(windows); i++) {
        window_attrs a = attrs_of(&windows[i], 4, 5);
        ad__window_of v = window_of(&a, 2, 4, 5);
        ad_shape columns = AD_SHAPE(2, 2 * v.kernel[0] * v.kernel[1], v.out[0] * v.out[1]);
        ad_sample(s, &a, 1, &columns, NULL, NULL);
    }
    window_attrs a = attrs_of(&windows[0], 3, 3);
    ad__sample_text(s, &a, 1, "8,4", NULL, NULL);
    ad__sample_text(s, &a, 1, "0,4,4", NULL, NULL);
}

AD_OPTYPE(col2im, .doc = "sums columns [n, c*kh*kw, oh*ow] into images [n,c,h,w]; PyTorch's fold",
          .formula = "y[n, c, p sh + i dh - ph, q sw + j dw - pw] += x[n, (c, i, j), (p, q)]", .gradient = "im2col(g)",
          .arity = 1, .attr_size = sizeof(window_attrs), .attrs = col2im_list, .shape = col2im_shape,
          .evaluate = { col2im_evaluate, col2im_evaluate }, .backward = { col2im_backward, col2im_backward },
          .vjp = col2im_vjp, .emit = col2im_emit);
ad_var *ad_col2im(ad_var *x, int64_t height, int64_t width, ad_window window) {
    window_attrs a = attrs_of(&window, height, width);
    return ad__apply1(&ad_op_col2im, x, &a);
}

ad_var *ad_unfold(ad_var *x, ad_window window) { return ad_im2col(x, window); }
ad_var *ad_fold(ad_var *x, int64_t height, int64_t width, ad_window window) {
    return ad_col2im(x, height, width, window);
}
