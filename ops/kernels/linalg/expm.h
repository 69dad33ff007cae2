/* expm.h: the exponential of a square matrix. */
#ifndef OPS_KERNELS_LINALG_EXPM_H
#define OPS_KERNELS_LINALG_EXPM_H

#include "ops/kernels/linalg/lapack.h"

/* y = exp(a), both [n,n] and row-major; a is lost. It is NaN if a has an infinite or NaN element, or if its norm
   overflows. work has ad__expm_work bytes. Padé approximants with scaling and squaring: N. J. Higham, "The scaling and
   squaring method for the matrix exponential revisited", 2005. */
void ad__expm(ad_team *team, ad_dtype t, int64_t n, void *a, void *y, void *work);
size_t ad__expm_work(ad_dtype t, int64_t n);

/* The largest sum of absolute values of a column. */
double ad__norm_1_f32(int64_t n, const float *a);
double ad__norm_1_f64(int64_t n, const double *a);
/* Adds k to the diagonal. */
void ad__add_diagonal_f32(int64_t n, float k, float *a);
void ad__add_diagonal_f64(int64_t n, double k, double *a);

#endif
