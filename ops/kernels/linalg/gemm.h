/* gemm.h: matrix products C [n,m] = A B + beta C, row-major; A is [n,k] or, transposed, [k,n]; B likewise. */
#ifndef OPS_KERNELS_LINALG_GEMM_H
#define OPS_KERNELS_LINALG_GEMM_H

#include "autodiff/base/parallel.h"

enum { AD__GEMM_MAX = 2147483647 }; /* the largest size that a BLAS takes */
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c);
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c);
/* The same; the team shares the chunks of a large product, which is cut by its sizes alone. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c);

/* The same without a BLAS: the reference, and one by tiles, for small sizes and for builds that have no BLAS. */
void ad__gemm_plain_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                        float *c);
void ad__gemm_plain_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b,
                        double beta, double *c);
void ad__gemm_tiles_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                        float *c);
void ad__gemm_tiles_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b,
                        double beta, double *c);

#endif
