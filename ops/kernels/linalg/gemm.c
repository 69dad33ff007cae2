/* gemm.c: matrix products, by CBLAS if this build has one and it is faster, otherwise by tiles. */
#include "ops/kernels/linalg/gemm.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

#include <string.h>

/* A tile of C has ROWS rows of one or two vectors, of VECTOR bytes each. DEPTH rows of a panel of B fit into the
   first-level cache. */
#ifdef __wasm_simd128__
enum { VECTOR = 16, MOST_VECTORS = 2, ROWS = 4, DEPTH = 256 };
#else
enum { VECTOR = 32, MOST_VECTORS = 2, ROWS = 4, DEPTH = 256 };
#endif

/* The tiles use explicit vectors. The other loops are too short to gain from vectorisation by the compiler. */
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

/* Up to TINY multiplications, tiles are faster than a BLAS. Up to ALONE multiplications, OpenBLAS uses one thread. */
enum { TINY = 64, ALONE = 4096 };

static CBLAS_TRANSPOSE transpose(bool yes) { return yes ? CblasTrans : CblasNoTrans; }

/* A large product, computed in chunks. */
typedef struct {
    ad_dtype t;
    bool ta, tb, by_rows; /* by_rows: chunks are rows of C, otherwise columns */
    int64_t n, m, k;
    const char *a, *b;
    double beta;
    char *c;
} product;

/* The BLAS functions that gemm_blas.inc calls for each T. */
#define dot_f32 cblas_sdot
#define dot_f64 cblas_ddot
#define gemv_f32 cblas_sgemv
#define gemv_f64 cblas_dgemv
#define gemm_f32 cblas_sgemm
#define gemm_f64 cblas_dgemm
#define KERNELS "ops/kernels/linalg/gemm_blas.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- large products in chunks ------------------------------------------------------------------------------ */

/* The BLAS packs both operands, and it packs all of B again for each chunk of rows. This takes less than 2 % of the
   time for chunks of CHUNK_ROWS rows, and for two chunks of a product of min_shared multiplications. */
enum { CHUNK_ROWS = 512, CHUNK_ALIGN = 16 };
static const double min_shared = 0x1p23; /* multiplications of the smallest product that threads share */

static void product_chunk(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const product *p = context;
    size_t at = (size_t)from * ad_dtype_size(p->t), line = (size_t)p->k, row = (size_t)p->m;
    const char *a = p->a, *b = p->b;
    if (p->by_rows) AD__BY_DTYPE(p->t, part, p, to - from, p->m, a + at * (p->ta ? 1 : line), b, p->c + at * row);
    else AD__BY_DTYPE(p->t, part, p, p->n, to - from, a, b + at * (p->tb ? line : 1), p->c + at);
}

/* Chunks are columns only if C has more than twice as many columns as rows: columns are not contiguous, which costs
   time. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    if (n > 1 && m > 1 && (double)n * (double)m * (double)k >= min_shared) {
        ad__keep_blas_alone();
        if (!ad__blas_is_reentrant()) team = NULL;
        product p = { t, ta, tb, 2 * n >= m, n, m, k, a, b, beta, c };
        int64_t length = p.by_rows ? n : m, chunks = length < 2 * CHUNK_ROWS ? 2 : length / CHUNK_ROWS;
        int64_t chunk = (length / chunks + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
        ad_parallel(team, length, chunk > 0 ? chunk : CHUNK_ALIGN, AD__SHARED_MIN, product_chunk, &p);
    } else AD__BY_DTYPE(t, ad__gemm, ta, tb, n, m, k, a, b, beta, c);
}
#endif
