/* margin.h: the multi-class hinge loss of one row of class scores. */
#ifndef OPS_KERNELS_LOSS_MARGIN_H
#define OPS_KERNELS_LOSS_MARGIN_H

#include "ops/kernels/base/simd.h"

/* Of n scores x, that of class y is to lead the others by the margin. The loss is the sum over the others of
   max(0, margin - x[y] + x[j]), squared or not; a NaN counts. */
double ad__margin_loss_f32(int64_t n, int64_t y, double margin, bool squared, const float *x);
double ad__margin_loss_f64(int64_t n, int64_t y, double margin, bool squared, const double *x);
/* gx += k times its slope, 0 at the kink. */
void ad__margin_back_f32(int64_t n, int64_t y, double margin, bool squared, double k, const float *x, float *gx);
void ad__margin_back_f64(int64_t n, int64_t y, double margin, bool squared, double k, const double *x, double *gx);

#endif
