/* lapack.h: factorises square matrices and solves systems of linear equations with LAPACK and CBLAS.

   Matrices are row-major and overwritten by their results. LAPACK is column-major, so it sees their transposes. The
   factors below are therefore those of a^T, and the functions that solve account for it; no matrix is transposed.

   A BLAS may lose a NaN of a matrix, and give finite numbers. So all factors of a matrix that has one are NaN, and all
   elements of its inverse and of solutions. */
#ifndef OPS_KERNELS_LINALG_LAPACK_H
#define OPS_KERNELS_LINALG_LAPACK_H

#include "ops/kernels/linalg/gemm.h"

enum {
    AD__LAPACK_BLOCK = 64,                           /* LAPACK's block size is at most this */
    AD__LAPACK_MAX = AD__GEMM_MAX / AD__LAPACK_BLOCK /* the longest side for which sizes of work fit into an int */
};
bool ad__has_lapack(void); /* false: this build has no LAPACK, and the functions below must not be called */

/* If one of the count elements of a is NaN, makes all of them NaN: LU factors whose pivots [k] exchange nothing. */
bool ad__lu_of_nan(ad_dtype t, int64_t count, int64_t k, void *a, int *pivots);
/* LU factors, a^T = P L U: a [n,n] becomes (L U)^T, and pivots [n] describe P. Returns 0, or k if the k-th element of
   U's diagonal, counted from 1, is exactly 0. */
int64_t ad__square_lu(ad_dtype t, int64_t n, void *a, int *pivots);
/* b [n,m] becomes a^-1 b, or a^-T b if transpose is true. lu and pivots are from ad__square_lu. */
void ad__square_lu_solve(ad_dtype t, bool transpose, int64_t n, int64_t m, const void *lu, const int *pivots, void *b);
/* lu, from ad__square_lu, becomes a^-1. work has ad__lu_work bytes. */
void ad__lu_inverse(ad_dtype t, int64_t n, void *lu, const int *pivots, void *work);
size_t ad__lu_work(ad_dtype t, int64_t n);

/* The singular value decomposition a = w S v of a [n,n], n > 0, whose elements are finite. S is the diagonal matrix of
   s [n]; w and v are orthogonal. a is lost. work has ad__lu_work bytes for f64. Returns 0, or LAPACK's error. */
int ad__singular_values(int64_t n, double *a, double *s, double *w, double *v, double *work);

/* The lower triangle of a symmetric a [n,n] becomes L, where L L^T = a. The upper triangle does not change. Returns 0,
   or the order of the first leading minor that is not positive. */
int64_t ad__matrix_cholesky(ad_dtype t, int64_t n, void *a);

/* How a triangular matrix is used. The other elements of its array are not read. */
typedef struct {
    bool upper, transpose;
    bool right; /* it is to the right of the unknowns */
    bool unit;  /* its diagonal counts as ones and is not read */
} ad__triangle;
/* b [n,m] becomes op(a)^-1 b, or b op(a)^-1 if right is true. */
void ad__triangle_solve(ad_dtype t, ad__triangle a_is, int64_t n, int64_t m, const void *a, void *b);

#endif
