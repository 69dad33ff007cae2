/* decompose.c: eigenvalues, singular values and QR factors by LAPACK, and loops of their derivatives. */
#include "ops/kernels/linalg/decompose.h"

#include "autodiff/base/shape.h"

#include <string.h>

enum { TILE = 16, BLOCK = AD__LAPACK_BLOCK };
#define NEARLY 0.99 /* an element of so much of the largest counts as one of the largest */

#define KERNELS "ops/kernels/linalg/decompose.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- sizes of work, in elements ---------- */

static int64_t eigh_size(int64_t n) { return 1 + (8 + BLOCK) * n + 2 * n * n; }
static int64_t eigh_ints(int64_t n) { return 3 + 5 * n; }

static int64_t svd_size(int64_t n, int64_t m) {
    int64_t k = ad__lesser(n, m);
    return 4 * k * k + (7 + 6 * BLOCK) * k + (n > m ? n : m);
}

/* A block of reflectors is no wider than k. */
static int64_t qr_size(int64_t n, int64_t m) {
    int64_t k = ad__lesser(n, m), lq = m * ad__lesser(k, BLOCK), q = k * BLOCK;
    return lq > q ? lq : q;
}

size_t ad__eigh_work(ad_dtype t, int64_t n) {
    return (size_t)eigh_size(n) * ad_dtype_size(t) + (size_t)eigh_ints(n) * sizeof(int);
}
size_t ad__svd_work(ad_dtype t, int64_t n, int64_t m) {
    return (size_t)svd_size(n, m) * ad_dtype_size(t) + (size_t)(8 * ad__lesser(n, m)) * sizeof(int);
}
size_t ad__qr_work(ad_dtype t, int64_t n, int64_t m) {
    return (size_t)(qr_size(n, m) + ad__lesser(n, m)) * ad_dtype_size(t);
}

/* The bytes of work behind so many elements. */
static void *after(ad_dtype t, void *work, int64_t elements) {
    return (char *)work + (size_t)elements * ad_dtype_size(t);
}

/* ---- LAPACK ---------- */

#ifdef AD_HAVE_LAPACK
#include "ops/kernels/linalg/blas.h"

/* See lapack.c for this interface. */
#define LAPACK(T, p)                                                                                                   \
    void p##syevd_(const char *vectors, const char *half, const int *n, T *a, const int *lda, T *w, T *work,           \
                   const int *size, int *ints, const int *n_ints, int *info, size_t, size_t);                          \
    void p##gesdd_(const char *vectors, const int *m, const int *n, T *a, const int *lda, T *s, T *u, const int *ldu,  \
                   T *v, const int *ldv, T *work, const int *size, int *ints, int *info, size_t);                      \
    void p##getrf_(const int *m, const int *n, T *a, const int *lda, int *pivots, int *info);                          \
    void p##gelqf_(const int *m, const int *n, T *a, const int *lda, T *tau, T *work, const int *size, int *info);     \
    void p##orglq_(const int *m, const int *n, const int *k, T *a, const int *lda, const T *tau, T *work,              \
                   const int *size, int *info);
LAPACK(float, s)
LAPACK(double, d)

/* The routines for AD__BY_DTYPE. */
#define syevd_f32 ssyevd_
#define syevd_f64 dsyevd_
#define gesdd_f32 sgesdd_
#define gesdd_f64 dgesdd_
#define getrf_f32 sgetrf_
#define getrf_f64 dgetrf_
#define gelqf_f32 sgelqf_
#define gelqf_f64 dgelqf_
#define orglq_f32 sorglq_
#define orglq_f64 dorglq_

/* LAPACK's columns are rows here. */
int ad__symmetric_eigen(ad_dtype t, bool vectors, int64_t n, void *a, void *w, void *work) {
    int k = (int)n, size = (int)eigh_size(n), ints = (int)eigh_ints(n), info = 0;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, syevd, vectors ? "V" : "N", "U", &k, a, &k, w, work, &size, after(t, work, size), &ints, &info, 1,
                 1);
    if (!vectors || info != 0) return info;
    AD__BY_DTYPE(t, ad__turn_square, n, a);
    AD__BY_DTYPE(t, ad__sign_columns, n, n, 0, a, NULL);
    return 0;
}

/* LAPACK sees a^T [m,n] = vh^T S u^T. The arrays of its factors are those of vh and u. */
int ad__svd_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *s, void *u, void *vh, void *work) {
    int rows = (int)m, columns = (int)n, k = (int)ad__lesser(n, m), size = (int)svd_size(n, m), info = 0;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, gesdd, u ? "S" : "N", &rows, &columns, a, &rows, s, vh, &rows, u, &k, work, &size,
                 after(t, work, size), &info, 1);
    if (u != NULL && info == 0) AD__BY_DTYPE(t, ad__sign_columns, n, k, m, u, vh);
    return info;
}

/* Row i of r is row i of a from the diagonal on. */
static void take_triangle(int64_t k, int64_t m, size_t element, const char *a, char *r) {
    for (int64_t i = 0; i < k; i++) {
        size_t at = (size_t)(i * m) * element, before = (size_t)i * element;
        memset(r + at, 0, before);
        memcpy(r + at + before, a + at + before, (size_t)(m - i) * element);
    }
}

/* LAPACK sees a^T = r^T q^T: r^T is a lower triangle in the first columns, which are rows here, and q^T comes to stand
   in the first k of its rows. */
void ad__qr_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *q, void *r, void *work) {
    int rows = (int)m, columns = (int)n, k = (int)ad__lesser(n, m), size = (int)qr_size(n, m), info = 0;
    void *tau = after(t, work, size);
    size_t element = ad_dtype_size(t);
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, gelqf, &rows, &columns, a, &rows, tau, work, &size, &info);
    take_triangle(k, m, element, a, r);
    AD__BY_DTYPE(t, orglq, &k, &columns, &k, a, &rows, tau, work, &size, &info);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)q + (size_t)(i * k) * element, (char *)a + (size_t)(i * m) * element, (size_t)k * element);
}
void ad__lu_rows(ad_dtype t, int64_t n, int64_t m, const void *a, void *lu, int *pivots, void *work) {
    int rows = (int)n, columns = (int)m, info = 0;
    if (n == 0 || m == 0) return;
    ad__keep_blas_alone();
    AD__BY_DTYPE(t, ad__turn, n, m, a, work);
    if (!ad__lu_of_nan(t, n * m, n < m ? n : m, work, pivots))
        AD__BY_DTYPE(t, getrf, &rows, &columns, work, &rows, pivots, &info);
    AD__BY_DTYPE(t, ad__turn, m, n, work, lu);
}
#else
int ad__symmetric_eigen(ad_dtype t, bool vectors, int64_t n, void *a, void *w, void *work) {
    return (void)t, (void)vectors, (void)a, (void)w, (void)after(t, work, 0), (int)n;
}
int ad__svd_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *s, void *u, void *vh, void *work) {
    return (void)t, (void)m, (void)a, (void)s, (void)u, (void)vh, (void)work, (int)n;
}
void ad__qr_factors(ad_dtype t, int64_t n, int64_t m, void *a, void *q, void *r, void *work) {
    (void)t, (void)n, (void)m, (void)a, (void)q, (void)r, (void)work;
}
void ad__lu_rows(ad_dtype t, int64_t n, int64_t m, const void *a, void *lu, int *pivots, void *work) {
    (void)t, (void)n, (void)m, (void)a, (void)lu, (void)pivots, (void)work;
}
#endif
