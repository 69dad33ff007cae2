/* gemm.c: matrix products, by CBLAS where there is one and it is faster, else by tiles. */
#include "ops/kernels/linalg/gemm.h"

#include "autodiff/base/shape.h"
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
    AD__BY_DTYPE(t, ad__gemm_tiles, ta, tb, n, m, k, a, b, beta, c);
}
#else
#include "ops/kernels/linalg/blas.h"

/* Products of up to TINY multiplications are faster by tiles than by a BLAS; up to ALONE, OpenBLAS uses no threads. */
enum { TINY = 64, ALONE = 4096 };

static CBLAS_TRANSPOSE transpose(bool yes) { return yes ? CblasTrans : CblasNoTrans; }

/* A large product, computed in chunks. */
typedef struct {
    ad_dtype t;
    bool ta, tb, by_rows; /* chunks are rows of C; else columns */
    int64_t n, m, k;
    const char *a, *b;
    double beta;
    char *c;
} product;

/* What gemm_blas.inc calls for each T. */
#define dot_f32 cblas_sdot
#define dot_f64 cblas_ddot
#define gemv_f32 cblas_sgemv
#define gemv_f64 cblas_dgemv
#define gemm_f32 cblas_sgemm
#define gemm_f64 cblas_dgemm
#define KERNELS "ops/kernels/linalg/gemm_blas.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- large products in chunks ------------------------------------------------------------------------------ */

/* The BLAS copies both operands into an order of its own, and each chunk of rows has all of B copied again. Chunks
   of so many rows keep that below 2 % of the time; so do two chunks of a product of so many multiplications. */
enum { CHUNK_ROWS = 512, CHUNK_ALIGN = 16 };
static const double shared_from = 0x1p23;

static void product_chunk(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const product *p = context;
    size_t at = (size_t)from * ad_dtype_size(p->t), line = (size_t)p->k, row = (size_t)p->m;
    const char *a = p->a, *b = p->b;
    if (p->by_rows) AD__BY_DTYPE(p->t, part, p, to - from, p->m, a + at * (p->ta ? 1 : line), b, p->c + at * row);
    else AD__BY_DTYPE(p->t, part, p, p->n, to - from, a, b + at * (p->tb ? line : 1), p->c + at);
}

/* Chunks are columns only where there are far more of them than rows: they lie apart in memory, which costs time. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    if (n > 1 && m > 1 && (double)n * (double)m * (double)k >= shared_from) {
        ad__keep_blas_alone();
        if (!ad__blas_is_reentrant()) team = NULL;
        product p = { t, ta, tb, 2 * n >= m, n, m, k, a, b, beta, c };
        int64_t length = p.by_rows ? n : m, chunks = length < 2 * CHUNK_ROWS ? 2 : length / CHUNK_ROWS;
        int64_t chunk = (length / chunks + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
        ad_parallel(team, length, chunk > 0 ? chunk : CHUNK_ALIGN, AD__SHARED_MIN, product_chunk, &p);
    } else AD__BY_DTYPE(t, ad__gemm, ta, tb, n, m, k, a, b, beta, c);
}
#endif
