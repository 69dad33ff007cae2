/* conv_geometry.h: attributes, sizes and matrix products that convolutions share.

   An image x, weights w and a result y are related by one sum that is linear in x and in w. conv2d computes y,
   conv_transpose2d computes x, and conv2d_weight computes w. So each is a derivative of the others. */
#ifndef OPS_NET_CONV_GEOMETRY_H
#define OPS_NET_CONV_GEOMETRY_H

#include "autodiff/graph/node.h"
#include "ops/base/loops.h"
#include "ops/kernels/net/winograd.h"
#include "ops/ops.h"

/* ---- attributes ------------------------------------------------------------------------------------------ */

/* Pairs hold the values along h and along w. Zeros are replaced by the defaults. */
typedef struct {
    ad_shape stride, padding, dilation, output_padding;
    int64_t groups;
    ad_shape weight; /* for conv2d_weight: the shape of its result */
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
    size_t size; /* bytes of an element */
    int64_t n, groups, o;
    int64_t k, l;    /* rows and columns of the matrix of windows: c kh kw and oh ow */
    ad__window_of w; /* for the channels of one group */
    bool direct;     /* the matrix of windows is the image itself */
    bool by_squares; /* squares of 4 x 4 pixels take fewer multiplications than windows: see winograd.h */
    const ad_op *op; /* the scratch of each of its threads holds a matrix of windows, or squares */
} ad__conv;

/* x is the image; x, w and y are operands or the result of op. */
ad__conv ad__conv_of(const ad_op *op, const ad_var *x, const ad_var *w, const ad_var *y);

/* Each function adds to the array in its name, or overwrites it if fresh is true. into_y: y += w * x. into_x, the
   transpose: adds each element of y times w to the window of x that it is computed from. into_w: w += y times the
   windows of x, summed over positions and images. */
void ad__conv_into_y(const ad__conv *c, const void *x, const void *w, bool fresh, void *y);
void ad__conv_into_x(const ad__conv *c, const void *w, const void *y, bool fresh, void *x);
void ad__conv_into_w(const ad__conv *c, const void *x, const void *y, bool fresh, void *w);

/* Adds to y, x or w, as `which` says, in one loop for each image and group. x includes its padding. */
typedef enum { AD__CONV_Y, AD__CONV_X, AD__CONV_W } ad__conv_which;
enum { AD__CONV_LOOPS = 1024 }; /* with more loops, a convolution is called back */
void ad__emit_conv(ad_emit *e, const ad__conv_attrs *a, ad__conv_which which, ad_emit_array x, ad_emit_array w,
                   ad_emit_array y);
/* False if an op over that many images is called back. */
bool ad__conv_has_form(const ad_op *op);
/* The bias [o] over y [n,o,h,w]; zeros if there is none. */
void ad__emit_bias(ad_emit *e, const ad_op *op, ad_emit_array y);
/* An array for images of shape s with their padding, filled with zeros, and its part without the padding. */
ad_emit_array ad__emit_padded(ad_emit *e, ad_dtype t, ad_shape s, const ad__conv_attrs *a, ad_emit_array *inside);

/* ---- for shape rules: 0 or the error ---------------------------------------------------------------------- */

/* Checks that there are two operands of 4 dimensions and an optional third, and checks the attributes. takes describes
   the operands in the error. */
int ad__conv_check(const ad_call *c, const char *takes);
int ad__conv_check_bias(const ad_call *c, int64_t channels);
/* Checks that the sizes fit into the BLAS's integers, and asks for scratch. */
int ad__conv_check_sizes(ad_call *call, ad_shape x, ad_shape w, ad_shape y);
/* Sets the last two sizes of y to the number of positions of the window. */
int ad__conv_places(const ad_call *c, ad_shape x, ad_shape w, ad_shape *y);
/* The size along axis i of an image in which a window has h positions:
   (h - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1. */
int64_t ad__conv_image_size(int64_t h, int64_t kernel, const ad__conv_attrs *a, int i);

/* ---- bias: the optional operand 2, b [o] for y [n,o,oh,ow] ------------------------------------------------- */

void ad__conv_fill_bias(const ad_op *op); /* y = b for each channel; 0 without a bias */
void ad__conv_bias_backward(const ad_op *op);
void ad__conv_bias_vjp(const ad_op *op, ad_var *g, ad_var *dx[]);

/* ---- forms that the ops do not take, by other ops ------------------------------------------------------------ */

typedef ad_var *ad__conv_fn(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts opts);
/* x without the elements that negative padding along its last `axes` axes removes; sets such padding to 0. */
ad_var *ad__conv_crop(ad_var *x, int axes, int64_t *padding, const char *caller);
/* A transposed convolution by f without padding and bias, then cropped or extended: for negative padding, and for
   output_padding of stride or more. */
ad_var *ad__conv_transpose_whole(ad_var *x, ad_var *w, ad_var *b, int axes, ad_conv_opts o, ad__conv_fn *f,
                                 const char *caller);

/* ---- signals [n,c,l]: images of height 1 ------------------------------------------------------------------- */

ad_var *ad__conv_signal(ad_var *x, ad_var *w, ad_var *b, ad_conv_opts o, ad__conv_fn *f, const char *caller);

/* ---- samples ------------------------------------------------------------------------------------------------ */

enum { AD__CONV_CASES = 9 };
/* Sets the shapes of x and w of a case, and returns its attributes. */
ad__conv_attrs ad__conv_case(int i, ad_shape *x, ad_shape *w);

#endif
