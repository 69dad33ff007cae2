/* reduce.c: sums that keep their digits, and adding arrays. */
#include <math.h>

#include "ops/kernels/kernels.h"

/* Enough independent sums to keep the adders of a wide vector unit busy. */
enum { LANES = 32, BLOCK = 4096 };
enum { COLUMNS = 64 }; /* summed side by side */

#define KERNELS "ops/kernels/reduce.inc"
#include "ops/kernels/each_dtype.h"

AD__CLONES void ad__narrow(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
}

AD__CLONES void ad__widen(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
}

AD__CLONES void ad__add_wide_f32(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + x[i]);
}

AD__CLONES void ad__widen_add_f32(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] += (double)x[i];
}
