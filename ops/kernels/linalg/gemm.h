/* gemm.h: matrix products without a BLAS: the reference, and one by tiles for small sizes and for builds that
   have no other. */
#ifndef OPS_KERNELS_LINALG_GEMM_H
#define OPS_KERNELS_LINALG_GEMM_H

#include "ops/kernels/base/kernels.h"

/* C = op(A) op(B) + beta C, as ad__gemm in kernels.h. */
#define AD__GEMM_LIKE(name)                                                                                            \
    void name##_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,     \
                    float *c);                                                                                         \
    void name##_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,  \
                    double *c);
AD__GEMM_LIKE(ad__gemm_plain)
AD__GEMM_LIKE(ad__gemm_tiles)

#endif
