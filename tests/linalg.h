/* linalg.h: random arrays and comparisons that the tests of linear algebra share. */
#ifndef TESTS_LINALG_H
#define TESTS_LINALG_H

#include "ops/kernels/linalg/lapack.h"
#include "tests/common.h"

enum { MAX_NUMEL = 4096 }; /* the largest array of these tests */

/* Random numbers between -1 and 1. */
static inline void fill(double *to, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) to[i] = next_between(&seed, -1, 1);
}

static inline ad_var *random_param(ad_graph *g, ad_dtype t, ad_shape s, uint64_t seed) {
    double values[MAX_NUMEL];
    assert_true(ad_shape_numel(s) <= MAX_NUMEL);
    fill(values, ad_shape_numel(s), seed);
    return param_of(g, t, values, s);
}

/* Backward from the cotangent 1, 2, 3, .. for the elements of y. The PyTorch values use it too. */
static inline void backward_weighted(ad_var *y) {
    ad_graph *g = ad_graph_of(y);
    ad_var *w = ad_arange(g, ad_dtype_of(y), 1, (double)ad_numel(y) + 1, 1);
    assert_int_equal(ad_backward_from(y, ad_reshape(w, ad_shape_of(y))), AD_OK);
}

#define NEED_LAPACK()                                                                                                  \
    if (!ad__has_lapack()) skip()

#endif
