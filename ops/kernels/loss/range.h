/* range.h: finds elements outside a range. */
#ifndef OPS_KERNELS_LOSS_RANGE_H
#define OPS_KERNELS_LOSS_RANGE_H

#include "ops/kernels/base/simd.h"

/* The index of the first element outside lo .. hi, or n if there is none. NaN is outside. */
int64_t ad__first_outside_f32(int64_t n, float lo, float hi, const float *x);
int64_t ad__first_outside_f64(int64_t n, double lo, double hi, const double *x);

#endif
