/* decompose.h: eigenvalues, singular values and QR factors by LAPACK, and loops of their derivatives.

   Matrices are row-major. n and m are sides and greater than 0, k is the smaller of them. Functions that return an int
   return 0, or LAPACK's number of what did not converge. Elements of a must be finite: LAPACK may not return
   otherwise. */
#ifndef OPS_KERNELS_LINALG_DECOMPOSE_H
#define OPS_KERNELS_LINALG_DECOMPOSE_H

#include "ops/kernels/linalg/lapack.h"

enum { AD__DECOMPOSE_MAX = 16384 }; /* the longest k for which sizes of work fit into an int */

/* The eigenvalues w [n] of a symmetric a [n,n] in ascending order. a becomes the eigenvectors, its columns, or is lost
   if vectors is false. In each column the first of the elements of the largest size, to within 1 %, is positive. */
int ad__symmetric_eigen(ad_dtype t, bool vectors, int64_t n, void *a, void *w, void *work);
size_t ad__eigh_work(ad_dtype t, int64_t n); /* bytes of work */

/* The singular values s [k] of a [n,m] in descending order, and u [n,k] and vh [k,m] with a = u diag(s) vh, unless u is
   NULL. a is lost. The signs of u's columns are those of ad__symmetric_eigen. */
int ad__svd_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *s, void *u, void *vh, void *work);
size_t ad__svd_work(ad_dtype t, int64_t n, int64_t m);

/* a [n,m] = q [n,k] r [k,m]: q has orthonormal columns, r is an upper triangle. a is lost. */
void ad__qr_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *q, void *r, void *work);
size_t ad__qr_work(ad_dtype t, int64_t n, int64_t m);

/* LU factors of a [n,m] with exchanged rows: lu [n,m] has l, whose diagonal of ones is left out, below u. pivots [k]
   are LAPACK's, which count from 1. work has n m elements. */
void ad__lu_rows(ad_dtype t, int64_t n, int64_t m, const void *a, void *lu, int *pivots, void *work);
/* y [m,n] = x^T for x [n,m]. */
void ad__turn_f32(int64_t n, int64_t m, const float *x, float *y);
void ad__turn_f64(int64_t n, int64_t m, const double *x, double *y);

bool ad__all_finite_f32(int64_t n, const float *x);
bool ad__all_finite_f64(int64_t n, const double *x);
/* y = (a + a^T) / 2 */
void ad__symmetric_mean_f32(int64_t n, const float *a, float *y);
void ad__symmetric_mean_f64(int64_t n, const double *a, double *y);
/* Exchanges rows and columns. */
void ad__turn_square_f32(int64_t n, float *a);
void ad__turn_square_f64(int64_t n, double *a);
/* Gives each column of v [n,k] its sign, and the rows of vh [k,m], unless it is NULL. */
void ad__sign_columns_f32(int64_t n, int64_t k, int64_t m, float *v, float *vh);
void ad__sign_columns_f64(int64_t n, int64_t k, int64_t m, double *v, double *vh);
/* y [n,k] = x diag(s), by columns. */
void ad__scale_columns_f32(int64_t n, int64_t k, const float *s, const float *x, float *y);
void ad__scale_columns_f64(int64_t n, int64_t k, const double *s, const double *x, double *y);

/* x [k,m] = diag(s) x */
void ad__scale_rows_f32(int64_t k, int64_t m, const float *s, float *x);
void ad__scale_rows_f64(int64_t k, int64_t m, const double *s, double *x);
/* s [k] becomes 1 / s where that is larger than cut times s[0], and 0 elsewhere. */
void ad__invert_singular_f32(int64_t k, double cut, float *s);
void ad__invert_singular_f64(int64_t k, double cut, double *s);

/* The middle factor of eigh's gradient: mid becomes (mid[i,j] - mid[j,i]) / 2 / (w[j] - w[i]), with gw on the
   diagonal. 0 / 0 counts as 0. */
void ad__eigh_middle_f32(int64_t n, const float *w, const float *gw, float *mid);
void ad__eigh_middle_f64(int64_t n, const double *w, const double *gw, double *mid);
/* The same for svd, from mu = u^T gu and mv = vh gvh^T, both [k,k]; mu becomes the factor. With a = mu[i,j] - mu[j,i]
   and b the same of mv, it is (a s[j] + s[i] b) / (s[j] + s[i]) / (s[j] - s[i]). It is 0 if a and b are 0. */
void ad__svd_middle_f32(int64_t k, const float *s, const float *gs, const float *mv, float *mu);
void ad__svd_middle_f64(int64_t k, const double *s, const double *gs, const double *mv, double *mu);
/* x [n,k] is divided by s [k], along its columns, or its rows if rows is true: then s is [n]. 0 / 0 counts as 0. */
void ad__over_singular_f32(bool rows, int64_t n, int64_t k, const float *s, float *x);
void ad__over_singular_f64(bool rows, int64_t n, int64_t k, const double *s, double *x);
/* The lower triangle of x [n,n] with its diagonal, and its mirror image above the diagonal. */
void ad__mirror_lower_f32(int64_t n, float *x);
void ad__mirror_lower_f64(int64_t n, double *x);

#endif
