/* vector.h: loops that fill, add, scale and convert arrays. */
#ifndef OPS_KERNELS_BASE_VECTOR_H
#define OPS_KERNELS_BASE_VECTOR_H

#include "ops/kernels/base/simd.h"

/* Elements of a loop's buffer on the stack, few enough for the L1 cache. */
enum { AD__CHUNK = 1024 };

/* y[i] = value */
void ad__array_fill_f32(int64_t n, float value, float *y);
void ad__array_fill_f64(int64_t n, double value, double *y);
/* y[i] += x[i]; also f64 into f32, and f32 into f64 */
void ad__array_add_f32(int64_t n, const float *x, float *y);
void ad__array_add_f64(int64_t n, const double *x, double *y);
void ad__to_f32_add(int64_t n, const double *x, float *y);
void ad__to_f64_add(int64_t n, const float *x, double *y);
/* y[i] += k x[i] */
void ad__axpy_f32(int64_t n, float k, const float *x, float *y);
void ad__axpy_f64(int64_t n, double k, const double *x, double *y);
/* y[i] = k x[i] */
void ad__scaled_f32(int64_t n, float k, const float *x, float *y);
void ad__scaled_f64(int64_t n, double k, const double *x, double *y);
void ad__to_f32(int64_t n, const double *x, float *y);
void ad__to_f64(int64_t n, const float *x, double *y);

#endif
