/* gemm.c: matrix products, by CBLAS where there is one and it wins, else by tiles. */
#include "ops/kernels/gemm.h"

#include <string.h>

#include "autodiff/node.h"

/* A tile is ROWS rows of one or two vectors of VECTOR bytes; DEPTH rows of a panel of B stay in the first-level
   cache. */
enum { VECTOR = 32, MOST_VECTORS = 2, ROWS = 4, DEPTH = 256 };

/* Vectors are written out in the tiles; the other loops are too short for the compiler's. */
#ifndef __clang__
#pragma GCC optimize("no-tree-vectorize")
#endif

#define KERNELS "ops/kernels/gemm.inc"
#include "ops/kernels/each_dtype.h"

#ifdef AD_NO_BLAS
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    ad__gemm_tiles_f32(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c) {
    ad__gemm_tiles_f64(ta, tb, n, m, k, a, b, beta, c);
}
#else
#include <cblas.h>

/* A product with a vector takes gemv, which reads the matrix once; gemm would first copy it. */
#define GEMM(T, suffix, p)                                                                                             \
    void ad__gemm_##suffix(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const T *a, const T *b, T beta, T *c) {  \
        if (n == 0 || m == 0) return;                                                                                  \
        if (n == 1) ta = false; /* one row or one column lie alike */                                                  \
        if (n == 1 && m == 1 && k > 0)                                                                                 \
            *c = cblas_##p##dot((int)k, a, 1, b, 1) + (beta == 0 ? 0 : beta * *c);                                     \
        else if (k == 0)                                                                                               \
            ad__gemm_tiles_##suffix(ta, tb, n, m, k, a, b, beta, c);                                                   \
        else if (m == 1)                                                                                               \
            cblas_##p##gemv(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, (int)(ta ? k : n), (int)(ta ? n : k), 1, a, \
                            (int)(ta ? n : k), b, 1, beta, c, 1);                                                      \
        else if (n == 1)                                                                                               \
            cblas_##p##gemv(CblasRowMajor, tb ? CblasNoTrans : CblasTrans, (int)(tb ? m : k), (int)(tb ? k : m), 1, b, \
                            (int)(tb ? k : m), a, 1, beta, c, 1);                                                      \
        else                                                                                                           \
            cblas_##p##gemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)n,     \
                            (int)m, (int)k, 1, a, (int)(ta ? n : k), b, (int)(tb ? k : m), beta, c, (int)m);           \
    }
GEMM(float, f32, s)
GEMM(double, f64, d)
#endif
