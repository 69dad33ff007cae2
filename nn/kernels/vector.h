/* vector.h: operations on one array: sums, scaling, limits and conversions. */
#ifndef NN_KERNELS_VECTOR_H
#define NN_KERNELS_VECTOR_H

#include "autodiff/autodiff.h"

/* x is an array of n elements of dtype t. */
double nn__array_sum_squares(ad_dtype t, int64_t n, const void *x); /* accumulated in f64 */
double nn__array_sum_squares_times(ad_dtype t, int64_t n, double k, const void *x); /* of k x */
double nn__array_largest(ad_dtype t, int64_t n, const void *x); /* of |x|, 0 where n is 0; NaN if an element is NaN */
void nn__array_scale(ad_dtype t, int64_t n, double k, void *x);
void nn__array_average(ad_dtype t, int64_t n, double w, const void *x, void *mean); /* mean += w (x - mean) */
void nn__array_limit(ad_dtype t, int64_t n, double limit, void *x); /* to -limit .. limit; a NaN stays */
void nn__array_to_f64(ad_dtype t, int64_t n, const void *x, double *to);
void nn__array_from_f64(ad_dtype t, int64_t n, const double *from, void *x);

double nn__array_dot(int64_t n, const double *x, const double *y);
void nn__array_axpy(int64_t n, double k, const double *x, double *y); /* y += k x */
double nn__array_sum_abs(int64_t n, const double *x);
double nn__array_max_abs(int64_t n, const double *x); /* 0 where n is 0; NaNs are left out */

#endif
