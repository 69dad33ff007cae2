/* reduction.h: what losses do with an ad_reduction. */
#ifndef OPS_LOSS_REDUCTION_H
#define OPS_LOSS_REDUCTION_H

#include "autodiff/graph/node.h"
#include "ops/ops.h"

/* For shape rules: AD_OK if it is one of AD_MEAN .. last. */
int ad__check_reduction(const ad_call *c, int reduction, ad_reduction last);

#endif
