/* pair.h: two sizes, along h and along w, as convolutions, pools and windows are given them. */
#ifndef OPS_NET_PAIR_H
#define OPS_NET_PAIR_H

#include "autodiff/graph/node.h"

static inline ad_shape ad__pair(const int64_t v[2], int64_t instead_of_0) {
    return AD_SHAPE(v[0] ? v[0] : instead_of_0, v[1] ? v[1] : instead_of_0);
}

/* Whether both are in least .. 2^31 - 1. */
static inline bool ad__pair_within(const int64_t v[2], int64_t least) {
    return v[0] >= least && v[1] >= least && v[0] <= INT32_MAX && v[1] <= INT32_MAX;
}

#endif
