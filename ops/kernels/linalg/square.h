/* square.h: loops over square matrices that the ops through LAPACK need beside it. */
#ifndef OPS_KERNELS_LINALG_SQUARE_H
#define OPS_KERNELS_LINALG_SQUARE_H

#include "autodiff/base/shape.h"

/* y's lower triangle = that of (a + a^T) / 2; above it zeros. */
void ad__lower_mean_f32(int64_t n, const float *a, float *y);
void ad__lower_mean_f64(int64_t n, const double *a, double *y);
/* The diagonal is halved, and what is above it becomes zero. */
void ad__lower_half_f32(int64_t n, float *a);
void ad__lower_half_f64(int64_t n, double *a);
/* y += k x^T */
void ad__axpy_transposed_f32(int64_t n, float k, const float *x, float *y);
void ad__axpy_transposed_f64(int64_t n, double k, const double *x, double *y);
/* y += k x in one triangle; with unit, without the diagonal. */
void ad__axpy_triangle_f32(bool upper, bool unit, int64_t n, float k, const float *x, float *y);
void ad__axpy_triangle_f64(bool upper, bool unit, int64_t n, double k, const double *x, double *y);
void ad__negate_f32(int64_t n, float *x);
void ad__negate_f64(int64_t n, double *x);
/* log |det| and the determinant's sign (-1, 0, 1; 0 for a NaN too) from the factors of ad__lu. */
double ad__lu_logdet_f32(int64_t n, const float *lu, const int *pivots, int *sign);
double ad__lu_logdet_f64(int64_t n, const double *lu, const int *pivots, int *sign);
/* The determinant from them. */
double ad__lu_det_f32(int64_t n, const float *lu, const int *pivots);
double ad__lu_det_f64(int64_t n, const double *lu, const int *pivots);
/* The place of the first 0 on the diagonal, counted from 1; 0 where there is none. */
int64_t ad__zero_on_diagonal_f32(int64_t n, const float *a);
int64_t ad__zero_on_diagonal_f64(int64_t n, const double *a);
/* Row i of v [n,n] is multiplied by sign and by all of s [n] but s[i]. */
void ad__rows_by_others_f32(int64_t n, int sign, const float *s, float *v);
void ad__rows_by_others_f64(int64_t n, int sign, const double *s, double *v);

#endif
