/* transpose.h: matrices transposed. */
#ifndef OPS_KERNELS_SHAPE_TRANSPOSE_H
#define OPS_KERNELS_SHAPE_TRANSPOSE_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* x [n,m] -> y [m,n]; the second adds. */
void ad__matrix_transpose_f32(int64_t n, int64_t m, const float *x, float *y);
void ad__matrix_transpose_f64(int64_t n, int64_t m, const double *x, double *y);
void ad__matrix_transpose_add_f32(int64_t n, int64_t m, const float *x, float *y);
void ad__matrix_transpose_add_f64(int64_t n, int64_t m, const double *x, double *y);

#endif
