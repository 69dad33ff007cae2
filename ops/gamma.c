/* gamma.c: the logarithm of the gamma function, digamma and its derivatives, each the slope of the one before. */
#include "ops/kernels/gamma.h"
#include "ops/elementwise.h"

AD_UNARY(lgamma, "logarithm of |gamma(x)|; inf at 0, -1, -2, ...", 0.3, 4,
         ad__lgamma((double)x),
         g * (T)ad__digamma((double)x),
         ad_mul(g, ad_digamma(x)), 1.0, 2.0, 0.0, -0.5, -1.5, -2.5, -1.0, 1e-3, 50.0, 1e4, INFINITY)

AD_UNARY(digamma, "derivative of lgamma; -inf at 0, NaN at -1, -2, ...", 0.3, 4,
         ad__digamma((double)x),
         g * (T)ad__polygamma(1, (double)x),
         ad_mul(g, ad_polygamma(x, 1)), 1.4616321449683622, 0.0, -0.5, -1.5, -2.5, 1e-3, 50.0, INFINITY)

static int polygamma_shape(ad_call *c) {
    double n = *(const double *)c->attrs;
    if (n >= 0 && n < AD__POLYGAMMA_MAX && n == floor(n)) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "order %g is not one of 0..%d", n, AD__POLYGAMMA_MAX - 1);
}

AD_UNARY_KS(polygamma, "n-th derivative of digamma, n = 0..19", polygamma_shape, n, 1, 0.5, 4,
            ad__polygamma((int)n, (double)x),
            g * (T)ad__polygamma((int)n + 1, (double)x),
            ad_mul(g, ad_polygamma(x, n + 1)), 0.0, -0.5, -1.5, -2.5, 0.05, 50.0, INFINITY)
