/* range.h: looking for elements out of a range. */
#ifndef OPS_KERNELS_LOSS_RANGE_H
#define OPS_KERNELS_LOSS_RANGE_H

#include "ops/kernels/base/simd.h"

/* The first of n elements that is not in lo .. hi (a NaN is not); n where all are. */
int64_t ad__first_outside_f32(int64_t n, float lo, float hi, const float *x);
int64_t ad__first_outside_f64(int64_t n, double lo, double hi, const double *x);

#endif
