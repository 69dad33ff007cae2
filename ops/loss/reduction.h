/* reduction.h: what losses do with an ad_reduction: checking it, and putting the losses of rows together. */
#ifndef OPS_LOSS_REDUCTION_H
#define OPS_LOSS_REDUCTION_H

#include "autodiff/graph/node.h"
#include "ops/ops.h"

/* For shape rules: AD_OK if it is one of AD_MEAN .. last. */
int ad__check_reduction(const ad_call *c, int reduction, ad_reduction last);

/* The result of an op is each row's loss, or their sum over the divisor. */
typedef struct {
    bool each;
    double divisor;
} ad__row_reduction;
typedef double ad__row_loss(const void *context, int64_t row);
void ad__reduce_rows(const ad_op *op, ad__row_reduction r, int64_t rows, ad__row_loss *loss, const void *context);
/* The gradient that arrives at a row's loss. */
double ad__row_cotangent(const ad_op *op, ad__row_reduction r, int64_t row);

#endif
