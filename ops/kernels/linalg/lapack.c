/* lapack.c: factorises square matrices and solves systems of linear equations with LAPACK and CBLAS. */
#include "ops/kernels/linalg/lapack.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/base/vector.h"

#include <math.h>
#include <string.h>

size_t ad__lu_work(ad_dtype t, int64_t n) { return (size_t)n * AD__LAPACK_BLOCK * ad_dtype_size(t); }

static bool is_nan(ad_dtype t, const void *a, int64_t i) {
    return t == AD_F32 ? isnan(((const float *)a)[i]) : isnan(((const double *)a)[i]);
}

static bool has_nan(ad_dtype t, int64_t n, const void *a) {
    for (int64_t i = 0; i < n; i++)
        if (is_nan(t, a, i)) return true;
    return false;
}

bool ad__lu_of_nan(ad_dtype t, int64_t count, int64_t k, void *a, int *pivots) {
    if (!has_nan(t, count, a)) return false;
    AD__BY_DTYPE(t, ad__array_fill, count, NAN, a);
    for (int64_t i = 0; i < k; i++) pivots[i] = (int)i + 1;
    return true;
}

#ifdef AD_HAVE_LAPACK
#include "ops/kernels/linalg/blas.h"

/* The Fortran interface of LAPACK: all arguments are addresses, matrices are column-major, and the lengths of texts
   follow the other arguments. LAPACKE, the C interface, would be one more library to require. */
#define LAPACK(T, p)                                                                                                   \
    void p##getrf_(const int *m, const int *n, T *a, const int *lda, int *pivots, int *info);                          \
    void p##getri_(const int *n, T *a, const int *lda, const int *pivots, T *work, const int *size, int *info);        \
    void p##potrf_(const char *half, const int *n, T *a, const int *lda, int *info, size_t);                           \
    void p##gesvd_(const char *u_wanted, const char *v_wanted, const int *m, const int *n, T *a, const int *lda, T *s, \
                   T *u, const int *ldu, T *v, const int *ldv, T *work, const int *size, int *info, size_t, size_t);
LAPACK(float, s)
LAPACK(double, d)

/* The routines for AD__BY_DTYPE. */
#define getrf_f32 sgetrf_
#define getrf_f64 dgetrf_
#define getri_f32 sgetri_
#define getri_f64 dgetri_
#define potrf_f32 spotrf_
#define potrf_f64 dpotrf_
#define trsm_f32 cblas_strsm
#define trsm_f64 cblas_dtrsm

bool ad__has_lapack(void) { return true; }

int64_t ad__square_lu(ad_dtype t, int64_t n, void *a, int *pivots) {
    int k = (int)n, info = 0;
    if (k == 0 || ad__lu_of_nan(t, n * n, n, a, pivots)) return 0;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, getrf, &k, &k, a, &k, pivots, &info);
    return info;
}

void ad__lu_inverse(ad_dtype t, int64_t n, void *lu, const int *pivots, void *work) {
    int k = (int)n, size = k * AD__LAPACK_BLOCK, info;
    if (k == 0 || is_nan(t, lu, 0)) return;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, getri, &k, lu, &k, pivots, work, &size, &info);
}

int64_t ad__matrix_cholesky(ad_dtype t, int64_t n, void *a) {
    int k = (int)n, info = 0;
    if (k == 0) return 0;
    if (has_nan(t, n * n, a)) {
        char *row = a;
        for (int64_t i = 0; i < n; i++, row += (size_t)n * ad_dtype_size(t))
            AD__BY_DTYPE(t, ad__array_fill, i + 1, NAN, (void *)row);
        return 0;
    }
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, potrf, "U", &k, a, &k, &info, 1);
    return info;
}

/* LAPACK sees a^T = v^T S w^T. */
int ad__singular_values(int64_t n, double *a, double *s, double *w, double *v, double *work) {
    int k = (int)n, size = k * AD__LAPACK_BLOCK, info;
    ad__keep_blas_alone();
    dgesvd_("A", "A", &k, &k, a, &k, s, v, &k, w, &k, work, &size, &info, 1, 1);
    return info;
}

void ad__triangle_solve(ad_dtype t, ad__triangle is, int64_t n, int64_t m, const void *a, void *b) {
    if (n == 0 || m == 0) return;
    int rows = (int)n, columns = (int)m, lda = is.right ? columns : rows;
    enum CBLAS_SIDE side = is.right ? CblasRight : CblasLeft;
    enum CBLAS_UPLO half = is.upper ? CblasUpper : CblasLower;
    enum CBLAS_TRANSPOSE transpose = is.transpose ? CblasTrans : CblasNoTrans;
    enum CBLAS_DIAG diagonal = is.unit ? CblasUnit : CblasNonUnit;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, trsm, CblasRowMajor, side, half, transpose, diagonal, rows, columns, 1, a, lda, b, columns);
}
#else
bool ad__has_lapack(void) { return false; }
int64_t ad__square_lu(ad_dtype t, int64_t n, void *a, int *pivots) { return (void)t, (void)a, (void)pivots, n; }
void ad__lu_inverse(ad_dtype t, int64_t n, void *lu, const int *pivots, void *work) {
    (void)t, (void)n, (void)lu, (void)pivots, (void)work;
}
int ad__singular_values(int64_t n, double *a, double *s, double *w, double *v, double *work) {
    return (void)a, (void)s, (void)w, (void)v, (void)work, (int)n;
}
int64_t ad__matrix_cholesky(ad_dtype t, int64_t n, void *a) { return (void)t, (void)a, n; }
void ad__triangle_solve(ad_dtype t, ad__triangle is, int64_t n, int64_t m, const void *a, void *b) {
    (void)t, (void)is, (void)n, (void)m, (void)a, (void)b;
}
#endif

static void swap_rows(size_t bytes, char *a, char *b) {
    enum { CHUNK = 256 };
    char held[CHUNK];
    for (size_t at = 0; at < bytes; at += CHUNK) {
        size_t n = bytes - at < CHUNK ? bytes - at : CHUNK;
        memcpy(held, a + at, n);
        memcpy(a + at, b + at, n);
        memcpy(b + at, held, n);
    }
}

/* b = P^T b, or P b if back is true. LAPACK's pivots count from 1. */
static void exchange_rows(bool back, int64_t n, size_t row, const int *pivots, char *b) {
    for (int64_t k = 0; k < n; k++) {
        int64_t i = back ? n - 1 - k : k, j = pivots[i] - 1;
        if (i != j) swap_rows(row, b + (size_t)i * row, b + (size_t)j * row);
    }
}

/* Row-major, lu holds U^T in its lower triangle with the diagonal, and L^T above. a^T = P L U, so a = U^T L^T P^T. */
void ad__square_lu_solve(ad_dtype t, bool transpose, int64_t n, int64_t m, const void *lu, const int *pivots, void *b) {
    size_t row = (size_t)m * ad_dtype_size(t);
    if (n > 0 && is_nan(t, lu, 0)) {
        AD__BY_DTYPE(t, ad__array_fill, n * m, NAN, b);
        return;
    }
    if (transpose) exchange_rows(false, n, row, pivots, b);
    if (transpose) ad__triangle_solve(t, (ad__triangle){ .upper = true, .unit = true, .transpose = true }, n, m, lu, b);
    ad__triangle_solve(t, (ad__triangle){ .transpose = transpose }, n, m, lu, b);
    if (!transpose) ad__triangle_solve(t, (ad__triangle){ .upper = true, .unit = true }, n, m, lu, b);
    if (!transpose) exchange_rows(true, n, row, pivots, b);
}
