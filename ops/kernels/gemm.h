/* gemm.h: the reference matrix product, which the BLAS is tested against and small sizes use. */
#ifndef OPS_GEMM_H
#define OPS_GEMM_H

#include "ops/kernels/kernels.h"

void ad__gemm_plain_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                        float *c);
void ad__gemm_plain_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b,
                        double beta, double *c);

#endif
