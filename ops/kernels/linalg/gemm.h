/* gemm.h: matrix products C [n,m] = A B + beta C, row-major.

   A is stored as [n,k], or as [k,n] if ta is true. B is stored as [k,m], or as [m,k] if tb is true. */
#ifndef OPS_KERNELS_LINALG_GEMM_H
#define OPS_KERNELS_LINALG_GEMM_H

#include "autodiff/base/parallel.h"

enum { AD__GEMM_MAX = 2147483647 }; /* the largest size that a BLAS takes */
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c);
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c);
/* The same. The threads of the team share the chunks of a large product. The chunks depend on its sizes only. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c);
/* C = A B, to each row of which row [m] is added; row NULL: nothing is. */
void ad__gemm_row(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
                  const void *b, const void *row, void *c);

/* The same without a BLAS. ad__gemm_plain is the reference for tests. ad__gemm_tiles is for small sizes, ad__gemm_wide
   for processors with AVX-512; on others it is ad__gemm_tiles. */
void ad__gemm_plain_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                        float *c);
void ad__gemm_plain_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b,
                        double beta, double *c);
void ad__gemm_tiles_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                        float *c);
void ad__gemm_tiles_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b,
                        double beta, double *c);
void ad__gemm_wide_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                       float *c);
void ad__gemm_wide_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                       double *c);

#endif
