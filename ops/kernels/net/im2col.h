/* im2col.h: the windows of an image laid out as columns of a matrix, and their sum back into an image. */
#ifndef OPS_KERNELS_NET_IM2COL_H
#define OPS_KERNELS_NET_IM2COL_H

#include "ops/kernels/base/simd.h"

/* Sizes along h, then along w. out is how many places the window takes, ad__window_places. For a
   signal [c,w], h and what goes along it are 1, its padding 0. */
typedef struct {
    int64_t c, in[2]; /* an image [c,h,w] */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int64_t out[2];
} ad__window_of;

/* How many places along one axis: floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1; below 1
   where the window does not fit. */
int64_t ad__window_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation);

/* image [c,h,w] -> columns [c*kh*kw, oh*ow], 0 where the window lies in the padding; the second adds to columns. */
void ad__image_im2col_f32(const ad__window_of *w, const float *image, float *columns);
void ad__image_im2col_f64(const ad__window_of *w, const double *image, double *columns);
void ad__image_im2col_add_f32(const ad__window_of *w, const float *image, float *columns);
void ad__image_im2col_add_f64(const ad__window_of *w, const double *image, double *columns);
/* The transposed map: image += the elements of columns at the places that they were taken from. */
void ad__image_col2im_add_f32(const ad__window_of *w, const float *columns, float *image);
void ad__image_col2im_add_f64(const ad__window_of *w, const double *columns, double *image);

#endif
