/* cosine.h: the cosine of the angle between two rows, and its gradient. */
#ifndef OPS_KERNELS_LOSS_COSINE_H
#define OPS_KERNELS_LOSS_COSINE_H

#include "ops/kernels/base/simd.h"

/* The sum of a b / (length_a length_b), which is within -1..1. Lengths are at least the norms of a and b; unit: they
   are the norms, so that rows which are multiples of each other have a cosine of 1 or -1 to the last digit. */
double ad__cosine_f32(int64_t n, bool unit, double length_a, const float *a, double length_b, const float *b);
double ad__cosine_f64(int64_t n, bool unit, double length_a, const double *a, double length_b, const double *b);
/* to += k (b / length_b - cosine a / length_a) */
void ad__cosine_back_f32(int64_t n, double k, double cosine, double length_a, const float *a, double length_b,
                         const float *b, float *to);
void ad__cosine_back_f64(int64_t n, double k, double cosine, double length_a, const double *a, double length_b,
                         const double *b, double *to);

#endif
