/* norm.h: what layer_norm and batch_norm check alike. */
#ifndef OPS_NET_NORM_H
#define OPS_NET_NORM_H

#include "autodiff/graph/node.h"

/* For shape rules: the first operands are followed by an optional weight and an optional bias; 0 or the error. */
static inline int ad__check_norm_operands(const ad_call *c, int first, bool has_weight, bool has_bias) {
    if (c->n == first + has_weight + has_bias) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%d operands given; has_weight and has_bias say which there are", c->n);
}

#endif
