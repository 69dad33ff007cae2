/* scan.h: running sums, running products and linear recurrences along an axis. */
#ifndef OPS_KERNELS_REDUCE_SCAN_H
#define OPS_KERNELS_REDUCE_SCAN_H

#include "ops/kernels/base/simd.h"

/* Arrays are [n, inner] and the scan runs over n, backwards if reverse. carry [inner] holds the running values in
   f64. */

/* y[i] = x[0] + .. + x[i]; the second function adds this to y. */
void ad__axis_cumsum_f32(int64_t n, int64_t inner, bool reverse, const float *x, double *carry, float *y);
void ad__axis_cumsum_f64(int64_t n, int64_t inner, bool reverse, const double *x, double *carry, double *y);
void ad__axis_cumsum_add_f32(int64_t n, int64_t inner, bool reverse, const float *x, double *carry, float *y);
void ad__axis_cumsum_add_f64(int64_t n, int64_t inner, bool reverse, const double *x, double *carry, double *y);

/* y[i] = x[0] .. x[i] */
void ad__axis_cumprod_f32(int64_t n, int64_t inner, const float *x, double *carry, float *y);
void ad__axis_cumprod_f64(int64_t n, int64_t inner, const double *x, double *carry, double *y);
/* gx[i] += y[i-1] s[i], with s[i] = g[i] + x[i+1] s[i+1] */
void ad__axis_cumprod_back_f32(int64_t n, int64_t inner, const float *x, const float *y, const float *g, double *carry,
                               float *gx);
void ad__axis_cumprod_back_f64(int64_t n, int64_t inner, const double *x, const double *y, const double *g,
                               double *carry, double *gx);

/* y[i] = h[i-1], with h[i] = a[i] h[i-1] + b[i] and h[-1] = init; b = NULL means zeros. */
void ad__axis_linear_scan_f32(int64_t n, int64_t inner, bool reverse, double init, const float *a, const float *b,
                              double *carry, float *y);
void ad__axis_linear_scan_f64(int64_t n, int64_t inner, bool reverse, double init, const double *a, const double *b,
                              double *carry, double *y);
/* ga[i] += m[i] y[i] and gb[i] += m[i], with m[i] = g[i+1] + a[i+1] m[i+1]; ga or gb may be NULL. */
void ad__axis_linear_scan_back_f32(int64_t n, int64_t inner, bool reverse, const float *a, const float *y,
                                   const float *g, double *carry, float *ga, float *gb);
void ad__axis_linear_scan_back_f64(int64_t n, int64_t inner, bool reverse, const double *a, const double *y,
                                   const double *g, double *carry, double *ga, double *gb);

#endif
