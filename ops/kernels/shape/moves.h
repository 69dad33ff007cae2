/* moves.h: elements moved between two arrays in which the axes lie differently. */
#ifndef OPS_KERNELS_SHAPE_MOVES_H
#define OPS_KERNELS_SHAPE_MOVES_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* Element (i, j, ..) is at i x[0] + j x[1] + .. of the one array and i y[0] + j y[1] + .. of the other.
   There are 2 axes or more, the innermost ones last. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], x[AD_MAX_NDIM], y[AD_MAX_NDIM];
} ad__moves;
/* Axes that lie alike in both are merged; x and y have dims.ndim steps, none of them negative. */
ad__moves ad__moves_of(ad_shape dims, const int64_t *x, const int64_t *y);
ad__moves ad__moves_back(const ad__moves *s); /* the same with x and y exchanged */

/* y = x, or y += x, for the elements that s names. The arrays are apart, and no element is named twice. */
void ad__move_f32(const ad__moves *s, const float *x, float *y);
void ad__move_f64(const ad__moves *s, const double *x, double *y);
void ad__move_add_f32(const ad__moves *s, const float *x, float *y);
void ad__move_add_f64(const ad__moves *s, const double *x, double *y);

#endif
