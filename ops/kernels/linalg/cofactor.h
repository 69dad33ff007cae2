/* cofactor.h: the cofactors of a matrix of any rank, and their derivatives. */
#ifndef OPS_KERNELS_LINALG_COFACTOR_H
#define OPS_KERNELS_LINALG_COFACTOR_H

#include <stddef.h>
#include <stdint.h>

enum { AD__COFACTOR_ORDER = 12 }; /* the highest derivative of a determinant: beyond it a sum has too many terms */

/* a [n,n] becomes the gradient in a of the derivative of det a along the k directions g [k,n,n]: the cofactors of a for
   k = 0, the gradient of sum(g * cofactors of a) for k = 1, zeros for k >= n. Otherwise all are NaN if an element of a
   is not finite. g is lost. k < AD__COFACTOR_ORDER. work has ad__cofactor_work bytes. */
void ad__cofactor_form(int64_t n, int k, double *a, double *g, void *work);
size_t ad__cofactor_work(int64_t n);

#endif
