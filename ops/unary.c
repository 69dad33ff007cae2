/* unary.c: elementwise ops of one operand, each as its formulas. */
#include "ops/elementwise.h"

AD_UNARY(neg, "negative", -2, 2,
         -x,
         -g,
         ad_neg(g), 0.0, -0.0, INFINITY)

AD_UNARY(abs, "absolute value; slope 0 at 0", 0.1, 2,
         fabs(x),
         x > 0 ? g : x < 0 ? -g : x * 0,
         ad_mul(g, ad_sign(x)), 0.0, -0.0, -2.5, NAN)

AD_UNARY(sign, "-1, 0 or 1 by the sign of x; slope 0", 0.1, 2,
         x > 0 ? 1 : x < 0 ? -1 : x,
         0 * g,
         ad_muls(g, 0), 0.0, -3.0, NAN)

AD_UNARY(sqrt, "square root; slope inf at 0", 0.2, 4,
         sqrt(x),
         g / (2 * y),
         ad_div(g, ad_muls(y, 2)), 0.0, INFINITY, -1.0)

AD_UNARY(square, "x x", -2, 2,
         x * x,
         g * 2 * x,
         ad_mul(g, ad_muls(x, 2)), 0.0, 1e4)

AD_UNARY(exp, "e to the x", -3, 3,
         exp(x),
         g * y,
         ad_mul(g, y), 0.0, -1e4, 1e4)

AD_UNARY(expm1, "exp(x) - 1, accurate near 0", -3, 3,
         expm1(x),
         g * (y + 1),
         ad_mul(g, ad_adds(y, 1)), 0.0, 1e-12, -1e4)

AD_UNARY(log, "natural logarithm", 0.2, 4,
         log(x),
         g / x,
         ad_div(g, x), 1.0, 0.0, INFINITY, -1.0)

AD_UNARY(log1p, "log(1 + x), accurate near 0", -0.5, 3,
         log1p(x),
         g / (1 + x),
         ad_div(g, ad_adds(x, 1)), 0.0, 1e-12, -1.0)

AD_UNARY(sin, "sine, x in radians", -3, 3,
         sin(x),
         g * cos(x),
         ad_mul(g, ad_cos(x)), 0.0, 100.0)

AD_UNARY(cos, "cosine, x in radians", -3, 3,
         cos(x),
         -g * sin(x),
         ad_neg(ad_mul(g, ad_sin(x))), 0.0, 100.0)

AD_UNARY(tanh, "hyperbolic tangent", -3, 3,
         tanh(x),
         g * (1 - y * y),
         ad_mul(g, ad_adds(ad_neg(ad_square(y)), 1)), 0.0, 1e4, -1e4)

AD_UNARY_K(adds, "x + k, k a C double", k, 1.5, -2, 2,
           x + k,
           g,
           g, 0.0, INFINITY)

AD_UNARY_K(muls, "x k, k a C double", k, -1.5, -2, 2,
           x * k,
           g * k,
           ad_muls(g, k), 0.0, INFINITY)

AD_UNARY_K(pows, "x to the k, k a C double; slope 0 for k = 0", k, 2.5, 0.2, 3,
           k == 2 ? x * x : pow(x, k),
           k == 0 ? 0 : k == 2 ? g * 2 * x : g * k * pow(x, k - 1),
           k == 0 ? ad_muls(g, 0) : ad_mul(g, ad_muls(ad_pows(x, k - 1), k)), 0.0, 1.0)
