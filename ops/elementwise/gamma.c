/* gamma.c: elementwise lgamma, digamma and polygamma, each the derivative of the one before. None has a form for
   vectors. */
#define AD__ONE_BY_ONE
#include "ops/kernels/elementwise/gamma.h"
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

/* All three compute in f64 for both dtypes. */
static inline double log_gamma(double x) { return ad__number_lgamma(x); }
static inline double digamma_at(double x) { return ad__number_digamma(x); }
static inline double polygamma_at(double n, double x) { return ad__number_polygamma((int)n, x); }

AD_UNARY(lgamma, "logarithm of |gamma(x)|; inf at 0, -1, -2, ..."
         AD_DIFFERS("the second slope at the poles is inf; PyTorch's is a large number"),
         0.3, 4,
         log_gamma(x),
         g * (T)digamma_at(x),
         ad_mul(g, ad_digamma(x)), 1.0, 2.0, 0.0, -0.5, -1.5, -2.5, -1.0, 1e-3, 50.0, 1e4, INFINITY)
ad_var *ad_lgamma(ad_var *x) { return AD_CALL_1(lgamma, x); }

/* The slope near 0 is 1 / x^2 to the last digit, and may overflow. */
static ad_var *digamma_rule(ad_var *g, ad_var *x) {
    ad_var *tiny = ad_lt(ad_abs(x), ad__constant(x, 1e-9)), *one = ad__constant(x, 1);
    ad_var *near = ad_where(tiny, x, one), *far = ad_where(tiny, one, x);
    return ad_where(tiny, ad_div(ad_div(g, near), near), ad_mul(g, ad_polygamma(far, 1)));
}

AD_UNARY(digamma, "derivative of lgamma; -inf at 0, NaN at -1, -2, ..."
         AD_DIFFERS("the slope at the poles is inf and the second slope NaN, as they differ on both sides; PyTorch "
                    "has large numbers and -inf"),
         0.3, 4,
         digamma_at(x),
         fabs(x) < (T)1e-9 ? g / x / x : g * (T)polygamma_at(1, x),
         digamma_rule(g, x), 1.4616321449683622, 0.0, -0.5, -1.5, -2.5, 1e-3, 50.0, INFINITY)
ad_var *ad_digamma(ad_var *x) { return AD_CALL_1(digamma, x); }

static int polygamma_shape(ad_call *c) {
    double n = *(const double *)c->attrs;
    if (n >= 0 && n < AD__POLYGAMMA_MAX && n == floor(n)) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "order %g is not one of 0..%d", n, AD__POLYGAMMA_MAX - 1);
}

AD_UNARY_K(polygamma, "n-th derivative of digamma, n = 0..19"
           AD_DIFFERS("at the poles inf or NaN, where PyTorch has large numbers; the slope at inf is 0, where "
                      "PyTorch's is NaN"),
           polygamma_shape, n, 1, 0.5, 4,
           polygamma_at(n, x),
           g * (T)polygamma_at(n + 1, x),
           ad_mul(g, ad_polygamma(x, n + 1)), 0.0, -0.5, -1.5, -2.5, 0.05, 50.0, INFINITY)
ad_var *ad_polygamma(ad_var *x, double n) { return AD_CALL_K(polygamma, x, n); }
