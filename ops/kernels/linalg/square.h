/* square.h: loops over square matrices for the ops that use LAPACK. */
#ifndef OPS_KERNELS_LINALG_SQUARE_H
#define OPS_KERNELS_LINALG_SQUARE_H

#include "autodiff/base/shape.h"

#include <math.h>

/* The number m 2^e, beyond the range of a double too. |m| is in [0.5, 1), or m is 0, infinite or NaN. */
typedef struct {
    double m;
    int64_t e;
} ad__wide;
static inline ad__wide ad__wide_of(double x) {
    int e = 0;
    double m = frexp(x, &e);
    return (ad__wide){ m, isfinite(x) ? e : 0 };
}
static inline ad__wide ad__wide_times(ad__wide a, double x) {
    ad__wide b = ad__wide_of(x), y = ad__wide_of(a.m * b.m);
    return (ad__wide){ y.m, y.e + a.e + b.e };
}
static inline ad__wide ad__wide_over(ad__wide a, double x) {
    ad__wide b = ad__wide_of(x), y = ad__wide_of(a.m / b.m);
    return (ad__wide){ y.m, y.e + a.e - b.e };
}
static inline double ad__wide_value(ad__wide a) {
    enum { MOST = 4000 }; /* more than any exponent of a double */
    return ldexp(a.m, a.e > MOST ? MOST : a.e < -MOST ? -MOST : (int)a.e);
}

/* y = the lower triangle of (a + a^T) / 2, with zeros above the diagonal. */
void ad__lower_mean_f32(int64_t n, const float *a, float *y);
void ad__lower_mean_f64(int64_t n, const double *a, double *y);
/* Halves the diagonal and sets the elements above it to zero. */
void ad__lower_half_f32(int64_t n, float *a);
void ad__lower_half_f64(int64_t n, double *a);
/* y += k x^T */
void ad__axpy_transposed_f32(int64_t n, float k, const float *x, float *y);
void ad__axpy_transposed_f64(int64_t n, double k, const double *x, double *y);
/* y += k x in one triangle, without the diagonal if unit is true. */
void ad__axpy_triangle_f32(bool upper, bool unit, int64_t n, float k, const float *x, float *y);
void ad__axpy_triangle_f64(bool upper, bool unit, int64_t n, double k, const double *x, double *y);
void ad__negate_f32(int64_t n, float *x);
void ad__negate_f64(int64_t n, double *x);
/* log |det| from the factors of ad__square_lu. *sign becomes the sign of the determinant, -1, 0 or 1; it is 0 for NaN
   too. */
double ad__lu_logdet_f32(int64_t n, const float *lu, const int *pivots, int *sign);
double ad__lu_logdet_f64(int64_t n, const double *lu, const int *pivots, int *sign);
/* The determinant from the factors of ad__square_lu. */
ad__wide ad__lu_det_f32(int64_t n, const float *lu, const int *pivots);
ad__wide ad__lu_det_f64(int64_t n, const double *lu, const int *pivots);
/* y += k x^T */
void ad__add_wide_f32(int64_t n, ad__wide k, const float *x, float *y);
void ad__add_wide_f64(int64_t n, ad__wide k, const double *x, double *y);
/* The index of the first 0 on the diagonal, counted from 1; 0 if there is none. */
int64_t ad__zero_on_diagonal_f32(int64_t n, const float *a);
int64_t ad__zero_on_diagonal_f64(int64_t n, const double *a);

#endif
