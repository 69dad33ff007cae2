/* margin.h: the multi-class hinge loss of one row of class scores, and its gradient. */
#ifndef OPS_KERNELS_LOSS_MARGIN_H
#define OPS_KERNELS_LOSS_MARGIN_H

#include "ops/kernels/base/simd.h"

/* The hinge loss of n scores x and class y: the sum over the other classes j of max(0, margin - x[y] + x[j]), squared
   if asked. A NaN score gives NaN. */
double ad__margin_loss_f32(int64_t n, int64_t y, double margin, bool squared, const float *x);
double ad__margin_loss_f64(int64_t n, int64_t y, double margin, bool squared, const double *x);
/* gx += k times the slope of the loss; the slope is 0 at the kink. */
void ad__margin_back_f32(int64_t n, int64_t y, double margin, bool squared, double k, const float *x, float *gx);
void ad__margin_back_f64(int64_t n, int64_t y, double margin, bool squared, double k, const double *x, double *gx);

#endif
