/* gemm.c: matrix products, by CBLAS where there is one and it wins, else by tiles. */
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/base/simd.h"

#include <string.h>

/* A tile is ROWS rows of one or two vectors of VECTOR bytes; DEPTH rows of a panel of B stay in the first-level
   cache. */
enum { VECTOR = 32, MOST_VECTORS = 2, ROWS = 4, DEPTH = 256 };

/* Vectors are written out in the tiles; the other loops are too short for the compiler's. */
#ifndef __clang__
#pragma GCC optimize("no-tree-vectorize")
#endif

#define KERNELS "ops/kernels/linalg/gemm.inc"
#include "ops/kernels/base/each_dtype.h"

#ifdef AD_NO_BLAS
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    ad__gemm_tiles_f32(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c) {
    ad__gemm_tiles_f64(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    (void)team;
    if (t == AD_F32) ad__gemm_tiles_f32(ta, tb, n, m, k, a, b, (float)beta, c);
    else ad__gemm_tiles_f64(ta, tb, n, m, k, a, b, beta, c);
}
#else
#include "ops/kernels/linalg/blas.h"

/* Up to so many multiplications tiles are done before a BLAS has begun; up to so many no OpenBLAS uses threads. */
enum { TINY = 64, ALONE = 4096 };

static CBLAS_TRANSPOSE turned(bool yes) { return yes ? CblasTrans : CblasNoTrans; }

/* A product with a vector takes gemv, which reads the matrix once; gemm would first copy it. */
#define GEMM(T, suffix, p)                                                                                             \
    void ad__gemm_##suffix(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const T *a, const T *b, T beta, T *c) {  \
        if (n == 0 || m == 0) return;                                                                                  \
        if (n == 1) ta = false; /* one row or one column lie alike */                                                  \
        double work = (double)n * (double)m * (double)k;                                                               \
        if (work <= TINY) {                                                                                            \
            ad__gemm_tiles_##suffix(ta, tb, n, m, k, a, b, beta, c);                                                   \
            return;                                                                                                    \
        }                                                                                                              \
        if (work > ALONE) ad__keep_blas_alone();                                                                       \
        if (n == 1 && m == 1) *c = cblas_##p##dot((int)k, a, 1, b, 1) + (beta == 0 ? 0 : beta * *c);                   \
        else if (m == 1)                                                                                               \
            cblas_##p##gemv(CblasRowMajor, turned(ta), (int)(ta ? k : n), (int)(ta ? n : k), 1, a, (int)(ta ? n : k),  \
                            b, 1, beta, c, 1);                                                                         \
        else if (n == 1)                                                                                               \
            cblas_##p##gemv(CblasRowMajor, turned(!tb), (int)(tb ? m : k), (int)(tb ? k : m), 1, b, (int)(tb ? k : m), \
                            a, 1, beta, c, 1);                                                                         \
        else                                                                                                           \
            cblas_##p##gemm(CblasRowMajor, turned(ta), turned(tb), (int)n, (int)m, (int)k, 1, a, (int)(ta ? n : k), b, \
                            (int)(tb ? k : m), beta, c, (int)m);                                                       \
    }
GEMM(float, f32, s)
GEMM(double, f64, d)

/* ---- large products in slabs ------------------------------------------------------------------------------ */

/* The BLAS copies both operands into an order of its own, and each slab of rows has all of B copied again. Slabs
   of so many rows keep that below 2 % of the time; so do two slabs of a product of so many multiplications. */
enum { SLAB_ROWS = 512, SLAB_ALIGN = 16 };
static const double shared_from = 0x1p23;

typedef struct {
    ad_dtype t;
    bool ta, tb, by_rows; /* slabs are rows of C; else columns */
    int64_t n, m, k;
    const char *a, *b;
    double beta;
    char *c;
} product;

/* C [n,m] where c, a and b point at a part of the whole product. */
static void part(const product *p, int64_t n, int64_t m, const void *a, const void *b, void *c) {
    int lda = (int)(p->ta ? p->n : p->k), ldb = (int)(p->tb ? p->k : p->m), ldc = (int)p->m, k = (int)p->k;
    if (p->t == AD_F32)
        cblas_sgemm(CblasRowMajor, turned(p->ta), turned(p->tb), (int)n, (int)m, k, 1, a, lda, b, ldb, (float)p->beta,
                    c, ldc);
    else
        cblas_dgemm(CblasRowMajor, turned(p->ta), turned(p->tb), (int)n, (int)m, k, 1, a, lda, b, ldb, p->beta, c, ldc);
}

static void product_slab(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const product *p = context;
    size_t at = (size_t)from * ad_dtype_size(p->t), line = (size_t)p->k, row = (size_t)p->m;
    if (p->by_rows) part(p, to - from, p->m, p->a + at * (p->ta ? 1 : line), p->b, p->c + at * row);
    else part(p, p->n, to - from, p->a, p->b + at * (p->tb ? line : 1), p->c + at);
}

/* Columns where there are far more of them: but they lie apart in memory, which costs something. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    if (n > 1 && m > 1 && (double)n * (double)m * (double)k >= shared_from) {
        ad__keep_blas_alone();
        if (!ad__blas_is_reentrant()) team = NULL;
        product p = { t, ta, tb, 2 * n >= m, n, m, k, a, b, beta, c };
        int64_t length = p.by_rows ? n : m, slabs = length < 2 * SLAB_ROWS ? 2 : length / SLAB_ROWS;
        int64_t slab = (length / slabs + SLAB_ALIGN - 1) / SLAB_ALIGN * SLAB_ALIGN;
        ad_parallel(team, length, slab > 0 ? slab : SLAB_ALIGN, AD__SHARED_MIN, product_slab, &p);
    } else if (t == AD_F32) ad__gemm_f32(ta, tb, n, m, k, a, b, (float)beta, c);
    else ad__gemm_f64(ta, tb, n, m, k, a, b, beta, c);
}
#endif
