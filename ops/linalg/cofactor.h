/* cofactor.h: cofactors of matrices whose LU factors are known, and samples of singular matrices. */
#ifndef OPS_LINALG_COFACTOR_H
#define OPS_LINALG_COFACTOR_H

#include "autodiff/graph/node.h"

/* ga [n,n] += g times the cofactors of a [n,n]. lu and pivots are its factors, from ad__square_lu. work has
   ad__cofactors_work(n) bytes. */
void ad__add_cofactors(ad_dtype t, int64_t n, double g, const void *a, const void *lu, const int *pivots, void *work,
                       void *ga);
size_t ad__cofactors_work(int64_t n);
/* Samples of singular matrices of several ranks, with n - 1 further operands of their shape. */
void ad__singular_samples(ad_sampler *s, int n);

#endif
