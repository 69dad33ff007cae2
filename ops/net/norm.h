/* norm.h: a check of operands that layer_norm and batch_norm share. */
#ifndef OPS_NET_NORM_H
#define OPS_NET_NORM_H

#include "autodiff/graph/node.h"

/* For shape rules: checks that `first` operands are followed by the weight and the bias that the attributes ask for. */
static inline int ad__check_norm_operands(const ad_call *c, int first, bool has_weight, bool has_bias) {
    if (c->n == first + has_weight + has_bias) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%d operands given, which does not match has_weight and has_bias", c->n);
}

#endif
