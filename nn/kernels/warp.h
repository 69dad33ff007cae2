/* warp.h: an image resampled by an affine map, with bilinear interpolation. */
#ifndef NN_KERNELS_WARP_H
#define NN_KERNELS_WARP_H

#include "autodiff/autodiff.h"

/* The source of pixel (i, j): row row[0] + i row[1] + j row[2]; the column likewise. */
typedef struct {
    double row[3], column[3];
} nn__places;

/* x [h,w] -> y [h,w]: each pixel is interpolated between the four that surround its source; pixels outside x are 0.
   Sides and places are below 2^31. */
void nn__image_warp_f32(int64_t h, int64_t w, const nn__places *from, const float *x, float *y);
void nn__image_warp_f64(int64_t h, int64_t w, const nn__places *from, const double *x, double *y);

#endif
