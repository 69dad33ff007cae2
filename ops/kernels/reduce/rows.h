/* rows.h: softmax, log-softmax and logsumexp of one contiguous row of n elements, and their gradients. */
#ifndef OPS_KERNELS_REDUCE_ROWS_H
#define OPS_KERNELS_REDUCE_ROWS_H

#include "ops/kernels/base/simd.h"

/* m is the largest element and s is the sum of exp(x - m), so logsumexp is m + log s. If m is inf, s is NaN. */
typedef struct {
    double m, s;
} ad__lse;
ad__lse ad__lse_f32(int64_t n, const float *x);
ad__lse ad__lse_f64(int64_t n, const double *x);
/* The same; also e = exp(x - m). */
ad__lse ad__lse_exp_f32(int64_t n, const float *x, float *e);
ad__lse ad__lse_exp_f64(int64_t n, const double *x, double *e);
void ad__row_softmax_f32(int64_t n, const float *x, float *y);
void ad__row_softmax_f64(int64_t n, const double *x, double *y);
void ad__row_log_softmax_f32(int64_t n, const float *x, float *y);
void ad__row_log_softmax_f64(int64_t n, const double *x, double *y);
/* gx = base + y (g - sum(g y)), where y = softmax x; gx may be base or g */
void ad__row_softmax_back_f32(int64_t n, const float *y, const float *g, const float *base, float *gx);
void ad__row_softmax_back_f64(int64_t n, const double *y, const double *g, const double *base, double *gx);
/* gx = base + g - exp(y) sum(g), where y = log softmax x; gx may be base or g */
void ad__row_log_softmax_back_f32(int64_t n, const float *y, const float *g, const float *base, float *gx);
void ad__row_log_softmax_back_f64(int64_t n, const double *y, const double *g, const double *base, double *gx);
/* gx += k exp(x - m) / s */
void ad__lse_back_f32(int64_t n, ad__lse l, float k, const float *x, float *gx);
void ad__lse_back_f64(int64_t n, ad__lse l, double k, const double *x, double *gx);

#endif
