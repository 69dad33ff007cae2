/* jacobian.h: Jacobians as matrices; private to the library. */
#ifndef OPS_FUNCTIONAL_JACOBIAN_H
#define OPS_FUNCTIONAL_JACOBIAN_H

#include "autodiff/graph/node.h"

/* js[i] = dy/dxs[i] of shape [elements of y, elements of xs[i]]. The arguments are checked already (see
   ad__check_arguments). Returns 0 or a negative code. */
int ad__jacobian_matrices(ad_var *y, int n, ad_var *const xs[], ad_var *js[]);

#endif
