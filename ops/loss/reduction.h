/* reduction.h: checks an ad_reduction and applies it to the losses of rows. */
#ifndef OPS_LOSS_REDUCTION_H
#define OPS_LOSS_REDUCTION_H

#include "autodiff/graph/node.h"
#include "ops/ops.h"

/* For a descriptor's values. */
extern const ad_attr_values ad__reduction_values[];

/* For shape rules: returns AD_OK if reduction is one of AD_MEAN .. last. */
int ad__check_reduction(const ad_call *c, int reduction, ad_reduction last);

/* each: the result is the loss of each row; otherwise it is their sum divided by the divisor. */
typedef struct {
    bool each;
    double divisor;
} ad__row_reduction;
typedef double ad__row_loss(const void *context, int64_t row);
void ad__reduce_rows(const ad_op *op, ad__row_reduction r, int64_t rows, ad__row_loss *loss, const void *context);
/* The cotangent of a row's loss. */
double ad__row_cotangent(const ad_op *op, ad__row_reduction r, int64_t row);

#endif
