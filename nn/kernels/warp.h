/* warp.h: an image looked up where an affine map says, between its pixels too. */
#ifndef NN_KERNELS_WARP_H
#define NN_KERNELS_WARP_H

#include "ops/kernels/base/simd.h"

/* Where pixel (i, j) comes from: row row[0] + i row[1] + j row[2], and column alike. */
typedef struct {
    double row[3], column[3];
} nn__places;

/* x [h,w] -> y [h,w], each from the four pixels around its place, by their nearness (bilinear); 0 outside. Sides
   and places are below 2^31. */
void nn__image_warp_f32(int64_t h, int64_t w, const nn__places *from, const float *x, float *y);
void nn__image_warp_f64(int64_t h, int64_t w, const nn__places *from, const double *x, double *y);

#endif
