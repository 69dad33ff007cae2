/* pair.h: pairs of numbers along h and along w in the options of convolutions, pools and windows. */
#ifndef OPS_NET_PAIR_H
#define OPS_NET_PAIR_H

#include "autodiff/graph/node.h"

/* The pair, with default_value in place of 0. */
static inline ad_shape ad__pair(const int64_t v[2], int64_t default_value) {
    return AD_SHAPE(v[0] ? v[0] : default_value, v[1] ? v[1] : default_value);
}

/* For shape rules: 0, or the error unless both numbers are in least..2^31 - 1. */
static inline int ad__check_pair(const ad_call *c, const char *name, const int64_t v[2], int64_t least) {
    for (int i = 0; i < 2; i++)
        if (v[i] < least || v[i] > INT32_MAX)
            return ad_call_fail(c, AD_EVALUE, "%s %lld is not in %lld..%d", name, (long long)v[i], (long long)least,
                                INT32_MAX);
    return AD_OK;
}

#endif
