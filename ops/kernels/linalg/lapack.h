/* lapack.h: factors of square matrices and systems of equations, by LAPACK and CBLAS; row-major, in place.

   LAPACK is column-major, so it sees the transpose of what it is given: the factors below are those of
   the transpose, and the solves take that into account instead of transposing matrices. */
#ifndef OPS_KERNELS_LINALG_LAPACK_H
#define OPS_KERNELS_LINALG_LAPACK_H

#include "ops/kernels/linalg/gemm.h"

enum {
    AD__LAPACK_BLOCK = 64,                           /* its block size is at most this */
    AD__LAPACK_MAX = AD__GEMM_MAX / AD__LAPACK_BLOCK /* the longest side of a matrix that all its counts allow */
};
bool ad__has_lapack(void); /* whether this build has one; without, nothing else here is to be called */

/* a^T = P L U: a [n,n] becomes (L U)^T, and pivots [n] say what P exchanges. 0, or k where the k-th
   element of U's diagonal (from 1) is exactly 0. */
int64_t ad__lu(ad_dtype t, int64_t n, void *a, int *pivots);
/* b [n,m] becomes a^-1 b, or a^-T b, from ad__lu's factors of a. */
void ad__lu_solve(ad_dtype t, bool transpose, int64_t n, int64_t m, const void *lu, const int *pivots, void *b);
/* ad__lu's factors of a become a^-1; work has ad__lu_work bytes. */
void ad__lu_inverse(ad_dtype t, int64_t n, void *lu, const int *pivots, void *work);
size_t ad__lu_work(ad_dtype t, int64_t n);

/* a [n,n] becomes its cofactors, d det a / d a, whatever its rank; NaN where LAPACK finds no singular values.
   work holds two such matrices, ad__lu_work bytes and n doubles. */
void ad__cofactors(ad_dtype t, int64_t n, void *a, void *work);

/* The lower triangle of a symmetric a [n,n] becomes L with L L^T = a; the upper is not touched. 0, or
   the order of the first leading minor that is not positive. */
int64_t ad__matrix_cholesky(ad_dtype t, int64_t n, void *a);

/* A triangular matrix: what else is in the array is not looked at. */
typedef struct {
    bool upper, transpose;
    bool right; /* it stands to the right of the unknowns */
    bool unit;  /* with ones on the diagonal, whatever the array has there */
} ad__triangle;
/* b [n,m] becomes op(a)^-1 b, or b op(a)^-1. */
void ad__triangle_solve(ad_dtype t, ad__triangle a_is, int64_t n, int64_t m, const void *a, void *b);

#endif
