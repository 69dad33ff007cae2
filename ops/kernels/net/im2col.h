/* im2col.h: copies the windows of an image to the columns of a matrix, and sums columns back into an image. */
#ifndef OPS_KERNELS_NET_IM2COL_H
#define OPS_KERNELS_NET_IM2COL_H

#include <string.h>

#include "ops/kernels/base/simd.h"

/* A memcpy for rows of about ten elements of 4 or 8 bytes, where the call of memcpy costs more than the copy. It copies
   blocks of constant size, of which the last may overlap the one before. */
AD__INLINED void ad__copy_row(size_t bytes, const void *restrict from, void *restrict to) {
    enum { LONG = 64, MIDDLE = 32, SHORT = 16, UNIT = 4 };
    const char *x = from;
    char *y = to;
    if (bytes >= LONG) {
        for (size_t j = 0; j + LONG < bytes; j += LONG) memcpy(y + j, x + j, LONG);
        memcpy(y + bytes - LONG, x + bytes - LONG, LONG);
    } else if (bytes >= MIDDLE) {
        memcpy(y, x, MIDDLE);
        memcpy(y + bytes - MIDDLE, x + bytes - MIDDLE, MIDDLE);
    } else if (bytes >= SHORT) {
        memcpy(y, x, SHORT);
        memcpy(y + bytes - SHORT, x + bytes - SHORT, SHORT);
    } else {
        for (size_t j = 0; j < bytes; j += UNIT) memcpy(y + j, x + j, UNIT);
    }
}

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
