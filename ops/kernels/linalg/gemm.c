/* gemm.c: matrix products, by CBLAS if this build has one and it is faster, otherwise by tiles. */
#include "ops/kernels/linalg/gemm.h"

#include "ops/kernels/base/level.h"
#include "ops/kernels/shape/copy.h"

#include <string.h>

enum { TINY = 64 }; /* multiplications of the largest product for ad__gemm_few, which is faster than a BLAS there */
/* Bytes of the vectors of products of a few multiplications. */
#ifdef __wasm_simd128__
enum { NARROW_VECTOR = 16 };
#else
enum { NARROW_VECTOR = 32 };
#endif
/* Vectors in a row of a tile; rows of a tile of AVX-512, and of the tiles for the rows that are left. */
enum { MOST_VECTORS = 2, WIDE_ROWS = 12, FEW = 4 };

/* The tiles use explicit vectors. The other loops are too short to gain from vectorisation by the compiler. A product
   and its addition are one instruction where the processor has it, which -std=c11 forbids. */
#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("no-tree-vectorize", "fp-contract=fast")
#endif

/* Bytes of a vector of the instruction set that the whole library is compiled for, where there are others. */
#ifdef AD__LEVELS
#define BASE_VECTOR 16
#else
#define BASE_VECTOR 32
#endif

/* WIDE: the attributes of functions with AVX-512, if this build can have such. */
#if defined(AD__LEVELS)
#define WIDE __attribute__((target("arch=x86-64-v4")))
#elif defined(__AVX512F__)
#define WIDE
#endif

#ifdef WIDE
static bool has_wide(void) {
#ifdef AD__LEVELS
    return ad__level() == AD__HIGHEST_LEVEL;
#else
    return true;
#endif
}

/* Whether the tiles are faster than a BLAS, as measured with OpenBLAS 0.3.21 on Zen 4; see "Matrix products" in
   docs/performance.md. Few rows are not worth the panels. Where the three matrices exceed the second-level cache by
   far, they must be packed in blocks, which the tiles do not. OpenBLAS has special kernels for the small products that
   are left to it. */
static bool is_for_wide(size_t element, bool ta, bool tb, int64_t n, int64_t m, int64_t k) {
    const double bytes = 2.25e6, small = 1e6, small_result = 1200;
    int64_t lanes = 64 / (int64_t)element, filled = (m + 2 * lanes - 1) / (2 * lanes) * (2 * lanes);
    double rows = (double)n, columns = (double)m, depth = (double)k, work = rows * columns * depth;
    if (n < WIDE_ROWS || m < 2 * lanes || 8 * m < 7 * filled) return false;
    if ((rows * depth + depth * columns + rows * columns) * (double)element > bytes) return false;
    return work > small || (tb && !ta && (rows * columns > small_result || k < 32));
}
#endif

#define KERNELS "ops/kernels/linalg/gemm.inc"
#include "ops/kernels/base/each_dtype.h"

#ifdef AD_NO_BLAS
/* Narrow results do not fill the vectors of AVX-512. */
enum { NARROW = 32 };
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    if (m < NARROW) ad__gemm_tiles_f32(ta, tb, n, m, k, a, b, beta, c);
    else ad__gemm_wide_f32(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c) {
    if (m < NARROW) ad__gemm_tiles_f64(ta, tb, n, m, k, a, b, beta, c);
    else ad__gemm_wide_f64(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    (void)team;
    AD__BY_DTYPE(t, ad__gemm, ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm_row(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
                  const void *b, const void *row, void *c) {
    if (row != NULL) AD__BY_DTYPE(t, repeat, n, m, row, c, m);
    ad__gemm(team, t, ta, tb, n, m, k, a, b, row ? 1 : 0, c);
}
#else
#include "ops/kernels/linalg/blas.h"

enum { ALONE = 4096 }; /* up to so many multiplications, OpenBLAS uses one thread */

static CBLAS_TRANSPOSE transpose(bool yes) { return yes ? CblasTrans : CblasNoTrans; }

/* A large product, computed in chunks: C = A B + beta C, or A B + row if there is one. */
typedef struct {
    ad_dtype t;
    bool ta, tb;
    int64_t n, m, k;
    const char *a, *b;
    double beta;
    const char *row; /* NULL: none. Then beta is 1, so that C may be set to it. */
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

/* Chunks are columns only if C has more than twice as many columns as rows: columns are not contiguous, which costs
   time. */
static bool is_by_rows(const product *p) { return 2 * p->n >= p->m; }

static void product_chunk(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const product *p = context;
    size_t at = (size_t)from * ad_dtype_size(p->t), line = (size_t)p->k, row = (size_t)p->m;
    const char *a = p->a, *b = p->b;
    if (is_by_rows(p))
        AD__BY_DTYPE(p->t, part, p, to - from, p->m, a + at * (p->ta ? 1 : line), b, p->row, p->c + at * row);
    else
        AD__BY_DTYPE(p->t, part, p, p->n, to - from, a, b + at * (p->tb ? line : 1), p->row ? p->row + at : NULL,
                     p->c + at);
}

static void share(ad_team *team, const product *p) {
    ad__keep_blas_alone();
    if (!ad__blas_is_reentrant()) team = NULL;
    int64_t length = is_by_rows(p) ? p->n : p->m, chunks = length < 2 * CHUNK_ROWS ? 2 : length / CHUNK_ROWS;
    int64_t chunk = (length / chunks + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
    ad_parallel(team, length, chunk > 0 ? chunk : CHUNK_ALIGN, AD__SHARED_MIN, product_chunk, (void *)p);
}

static bool is_shared(int64_t n, int64_t m, int64_t k) {
    return n > 1 && m > 1 && (double)n * (double)m * (double)k >= min_shared;
}

/* ---- products by tiles, whose panels threads share ------------------------------------------------------------ */

static const double min_panels = 0x1p20; /* multiplications of the smallest: about 20 us */

#ifdef WIDE

static int64_t panel_width(ad_dtype t) { return MOST_VECTORS * (t == AD_F32 ? 16 : 8); }

static void product_panels(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    const product *p = context;
    int64_t j = from * panel_width(p->t), m = ad__lesser(to * panel_width(p->t), p->m) - j;
    size_t at = (size_t)j * ad_dtype_size(p->t);
    AD__BY_DTYPE(p->t, panels, p, m, p->b + at * (p->tb ? (size_t)p->k : 1), p->row ? p->row + at : NULL, p->c + at);
}

/* Whether the tiles compute the product. The answer is the same for one thread, so that the bits are, too. */
static bool took_panels(ad_team *team, const product *p) {
    int64_t panels = (p->m + panel_width(p->t) - 1) / panel_width(p->t);
    if (!is_for_wide(ad_dtype_size(p->t), p->ta, p->tb, p->n, p->m, p->k) || !has_wide()) return false;
    ad_parallel(team, panels, team ? 1 : panels, AD__SHARED_MIN, product_panels, (void *)p);
    return true;
}
#else
static bool took_panels(ad_team *team, const product *p) { return (void)team, (void)p, false; }
#endif

/* Whether the product is one that threads may share, which then is computed. */
static bool took_large(ad_team *team, const product *p) {
    if (took_panels(team, p)) return true;
    if (!is_shared(p->n, p->m, p->k)) return false;
    share(team, p);
    return true;
}
static bool is_small(int64_t n, int64_t m, int64_t k) { return (double)n * (double)m * (double)k < min_panels; }

void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c) {
    if (is_small(n, m, k) || !took_large(team, &(product){ t, ta, tb, n, m, k, a, b, beta, NULL, c }))
        AD__BY_DTYPE(t, ad__gemm, ta, tb, n, m, k, a, b, beta, c);
}

void ad__gemm_row(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
                  const void *b, const void *row, void *c) {
    if (is_small(n, m, k) || !took_large(team, &(product){ t, ta, tb, n, m, k, a, b, row ? 1 : 0, row, c }))
        AD__BY_DTYPE(t, onto_row, ta, tb, n, m, k, a, b, row, c);
}
#endif
