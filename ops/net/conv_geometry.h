/* conv_geometry.h: what convolutions share. Over an image x, weights w and a result y there is one sum, which conv2d,
   conv_transpose2d and conv2d_weight each take for another of the three: so each is the others' derivative. */
#ifndef OPS_NET_CONV_GEOMETRY_H
#define OPS_NET_CONV_GEOMETRY_H

#include "autodiff/graph/node.h"
#include "ops/kernels/net/im2col.h"
#include "ops/ops.h"

/* ---- attributes ------------------------------------------------------------------------------------------ */

/* As pairs along h and w, zeros replaced by PyTorch's defaults. */
typedef struct {
    ad_shape stride, padding, dilation, output_padding;
    int64_t groups;
    ad_shape weight; /* of conv2d_weight: the shape of its result */
} ad__conv_attrs;

#define AD__CONV_FIELD(name, kind) { #name, kind, offsetof(ad__conv_attrs, name) }
#define AD__CONV_FIELDS                                                                                                \
    AD__CONV_FIELD(stride, AD_ATTR_SHAPE), AD__CONV_FIELD(padding, AD_ATTR_SHAPE),                                     \
    AD__CONV_FIELD(dilation, AD_ATTR_SHAPE), AD__CONV_FIELD(groups, AD_ATTR_INT64)

ad__conv_attrs ad__conv_attrs_of(ad_conv_opts o);
ad_conv_opts ad__conv_opts_of(const ad_op *op); /* without output_padding */

/* ---- geometry: image x [n, groups*c, h, w], weight w [groups*o, c, kh, kw], y [n, groups*o, oh, ow] --------- */

typedef struct {
    ad_dtype t;
    size_t size; /* of an element */
    int64_t n, groups, o;
    int64_t k, l;    /* rows and columns of the matrix of windows: c kh kw, and oh ow */
    ad__window_of w; /* of one group's channels */
    bool direct;     /* the image is its own matrix of windows */
    const ad_op *op; /* the scratch of each of its threads holds that matrix */
} ad__conv;

/* Of an Op, from the three arrays as image, weight and y. */
ad__conv ad__conv_of(const ad_op *op, const ad_var *x, const ad_var *w, const ad_var *y);

/* Each adds to the array that it is named for; fresh: that array holds nothing yet and is overwritten.
   y += w * x; x += the same map transposed: each element of y goes to the window that it was made from;
   w += y times the windows of x, summed over places and images. */
void ad__conv_into_y(const ad__conv *c, const void *x, const void *w, bool fresh, void *y);
void ad__conv_into_x(const ad__conv *c, const void *w, const void *y, bool fresh, void *x);
void ad__conv_into_w(const ad__conv *c, const void *x, const void *y, bool fresh, void *w);

/* ---- for shape rules: 0 or the error ---------------------------------------------------------------------- */

/* Two operands of 4 dimensions, and perhaps a bias; the attributes. */
int ad__conv_check(const ad_call *c, const char *takes);
int ad__conv_check_bias(const ad_call *c, int64_t channels);
/* All three shapes are small enough; asks for scratch. */
int ad__conv_check_sizes(ad_call *call, ad_shape x, ad_shape w, ad_shape y);
/* How many places a window takes along h and w, into y. */
int ad__conv_places(const ad_call *c, ad_shape x, ad_shape w, ad_shape *y);
/* The size along axis i of an image in which a window takes h places:
   (h - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. */
int64_t ad__conv_image_size(int64_t h, int64_t kernel, const ad__conv_attrs *a, int i);

/* ---- bias: operand 2, b [o] beside y [n,o,oh,ow], if it is there ------------------------------------------- */

void ad__conv_fill_bias(const ad_op *op); /* y = b at every place, 0 without a bias */
void ad__conv_bias_backward(const ad_op *op);
void ad__conv_bias_vjp(const ad_op *op, ad_var *g, ad_var *dx[]);

/* ---- signals [n,c,l]: images of height 1 ------------------------------------------------------------------- */

typedef ad_var *ad__conv_fn(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts);
ad_var *ad__conv_signal(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts o, ad__conv_fn *f, const char *caller);

/* ---- samples ------------------------------------------------------------------------------------------------ */

/* x, w, and the options that go with them. */
typedef struct {
    ad_shape x, w;
    ad_conv_opts o;
} ad__conv_case;
enum { AD__CONV_CASES = 9 };
extern const ad__conv_case ad__conv_cases[AD__CONV_CASES];

#endif
