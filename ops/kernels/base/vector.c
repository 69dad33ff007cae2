/* vector.c: loops that fill, add, scale and convert arrays. */
#include "ops/kernels/base/vector.h"

#define KERNELS "ops/kernels/base/vector.inc"
#include "ops/kernels/base/each_dtype.h"

AD__NARROW_CLONES void ad__to_f32(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
}

AD__NARROW_CLONES void ad__to_f64(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
}

AD__NARROW_CLONES void ad__to_f32_add(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + x[i]);
}

AD__NARROW_CLONES void ad__to_f64_add(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] += (double)x[i];
}
