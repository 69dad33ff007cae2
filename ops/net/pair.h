/* pair.h: pairs of numbers along h and along w in the options of convolutions, pools and windows. */
#ifndef OPS_NET_PAIR_H
#define OPS_NET_PAIR_H

#include "autodiff/graph/node.h"

/* The pair, with default_value in place of 0. */
static inline ad_shape ad__pair(const int64_t v[2], int64_t default_value) {
    return AD_SHAPE(v[0] ? v[0] : default_value, v[1] ? v[1] : default_value);
}

/* True if both numbers are in least..2^31 - 1. */
static inline bool ad__pair_within(const int64_t v[2], int64_t least) {
    return v[0] >= least && v[1] >= least && v[0] <= INT32_MAX && v[1] <= INT32_MAX;
}

#endif
