/* gemm.c: matrix products, by CBLAS or, in a build without one, by plain loops. */
#include "ops/kernels/gemm.h"

#include <string.h>

#define KERNELS "ops/kernels/gemm.inc"
#include "ops/kernels/each_dtype.h"

#ifdef AD_NO_BLAS
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c) {
    ad__gemm_plain_f32(ta, tb, n, m, k, a, b, beta, c);
}
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c) {
    ad__gemm_plain_f64(ta, tb, n, m, k, a, b, beta, c);
}
#else
#include <cblas.h>

#define GEMM(T, suffix, cblas_gemm)                                                                                    \
    void ad__gemm_##suffix(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const T *a, const T *b, T beta, T *c) {  \
        if (n == 0 || m == 0) return;                                                                                  \
        if (k == 0 || (double)n * (double)m * (double)k <= SMALL) {                                                                     \
            ad__gemm_plain_##suffix(ta, tb, n, m, k, a, b, beta, c);                                                   \
            return;                                                                                                    \
        }                                                                                                              \
        cblas_gemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (int)n, (int)m,      \
                   (int)k, 1, a, (int)(ta ? n : k), b, (int)(tb ? k : m), beta, c, (int)m);                            \
    }

/* Below this many multiplications the call into a BLAS costs more than plain loops take. */
enum { SMALL = 512 };
GEMM(float, f32, cblas_sgemm)
GEMM(double, f64, cblas_dgemm)
#endif
