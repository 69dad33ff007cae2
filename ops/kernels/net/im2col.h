/* im2col.h: copies the windows of an image to the columns of a matrix, and sums columns back into an image. */
#ifndef OPS_KERNELS_NET_IM2COL_H
#define OPS_KERNELS_NET_IM2COL_H

#include "ops/kernels/base/simd.h"

/* A window that moves over an image. Pairs hold the values along h and along w. A signal [c,w] is an image of h = 1. */
typedef struct {
    int64_t c, in[2]; /* the image: [c,h,w] */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int64_t out[2]; /* number of positions of the window: see ad__window_places */
} ad__window_of;

/* The number of positions along one axis: floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. It is 0 if
   the window does not fit. */
int64_t ad__window_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation);

/* image [c,h,w] -> columns [c*kh*kw, oh*ow], with 0 for the padding. The _add functions add to columns. */
void ad__image_im2col_f32(const ad__window_of *w, const float *image, float *columns);
void ad__image_im2col_f64(const ad__window_of *w, const double *image, double *columns);
void ad__image_im2col_add_f32(const ad__window_of *w, const float *image, float *columns);
void ad__image_im2col_add_f64(const ad__window_of *w, const double *image, double *columns);
/* The transpose of im2col: adds each element of columns to the element of the image that im2col copies there. */
void ad__image_col2im_add_f32(const ad__window_of *w, const float *columns, float *image);
void ad__image_col2im_add_f64(const ad__window_of *w, const double *columns, double *image);

#endif
