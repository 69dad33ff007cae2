/* vector.c: operations on one array, for either dtype or for double alone. */
#include "ops/kernels/base/vector_math.h"

#include <string.h>

#include "autodiff/base/shape.h"
#include "nn/kernels/vector.h"
#include "ops/kernels/base/simd.h"
#include "ops/kernels/base/vector.h"

enum { LANES = 32 }; /* independent partial sums, to keep the adders of a wide vector unit busy */

#define KERNELS "nn/kernels/vector.inc"
#include "ops/kernels/base/each_dtype.h"

double nn__array_sum_squares(ad_dtype t, int64_t n, const void *x) { return AD__BY_DTYPE(t, sum_squares, n, x); }
double nn__array_sum_squares_times(ad_dtype t, int64_t n, double k, const void *x) {
    return AD__BY_DTYPE(t, sum_squares_times, n, k, x);
}
double nn__array_largest(ad_dtype t, int64_t n, const void *x) { return AD__BY_DTYPE(t, largest, n, x); }
void nn__array_scale(ad_dtype t, int64_t n, double k, void *x) { AD__BY_DTYPE(t, scale, n, k, x); }
void nn__array_limit(ad_dtype t, int64_t n, double limit, void *x) { AD__BY_DTYPE(t, limit, n, limit, x); }

void nn__array_average(ad_dtype t, int64_t n, double w, const void *x, void *mean) {
    AD__BY_DTYPE(t, average, n, w, x, mean);
}

void nn__array_to_f64(ad_dtype t, int64_t n, const void *x, double *to) {
    if (t == AD_F32) ad__to_f64(n, x, to);
    else memcpy(to, x, (size_t)n * sizeof *to);
}

void nn__array_from_f64(ad_dtype t, int64_t n, const double *from, void *x) {
    if (t == AD_F32) ad__to_f32(n, from, x);
    else memcpy(x, from, (size_t)n * sizeof *from);
}

AD__NARROW_CLONES double nn__array_dot(int64_t n, const double *x, const double *y) {
    double lane[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        AD__UNROLL
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i] * y[i];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

void nn__array_axpy(int64_t n, double k, const double *x, double *y) { ad__axpy_f64(n, k, x, y); }

double nn__array_sum_abs(int64_t n, const double *x) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fabs(x[i]);
    return sum;
}

double nn__array_max_abs(int64_t n, const double *x) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}
