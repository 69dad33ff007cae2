/* derivatives.h: comparisons and refusals that the tests of derivatives share. */
#ifndef TESTS_DERIVATIVES_H
#define TESTS_DERIVATIVES_H

#include "tests/common.h"

static const double x_values[] = { .3, -.2, .1 };

static inline ad_var *vector(ad_graph *g, int64_t n, const double *v) { return param_of(g, AD_F64, v, AD_SHAPE(n)); }

static inline void assert_values_at(const char *what, const ad_var *x, int64_t n, const double *expected, double tol) {
    assert_false(ad_is_nil(x));
    assert_int_equal(ad_numel(x), n);
    for (int64_t k = 0; k < n; k++) assert_close_in(what, ad_at(x, k), expected[k], tol);
}
#define assert_values(x, n, expected, tol) assert_values_at(#x, x, n, expected, tol)

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
