/* derivatives.h: comparisons and refusals that the tests of derivatives share. */
#ifndef TESTS_DERIVATIVES_H
#define TESTS_DERIVATIVES_H

#include "tests/common.h"

static const double x_values[] = { .3, -.2, .1 };

static inline ad_var *vector(ad_graph *g, int64_t n, const double *v) { return param_of(g, AD_F64, v, AD_SHAPE(n)); }

/* A call ends with this code, and g has a sentence with this text. FAILS_WITH_NIL: the result of the call is nil. */
#define FAILS(call, code, text)                                                                                        \
    do {                                                                                                               \
        assert_int_equal(call, code);                                                                                  \
        assert_contains(ad_error(g), text);                                                                            \
        ad_clear_error(g);                                                                                             \
    } while (0)
#define FAILS_WITH_NIL(call, code, text)                                                                               \
    do {                                                                                                               \
        assert_true(ad_is_nil(call));                                                                                  \
        FAILS(ad_error_code(g), code, text);                                                                           \
    } while (0)

#endif
