/* activation.c: elementwise nonlinearities of networks, each as its formulas. */
#include "ops/elementwise.h"

/* Where 1 - y would lose every digit, sigmoid(-x) keeps them. */
AD_UNARY(sigmoid, "1 / (1 + exp(-x)); slope exact to the last digits in both tails", -4, 4,
         1 / (1 + exp(-x)),
         g * (exp(-fabs(x)) / ((1 + exp(-fabs(x))) * (1 + exp(-fabs(x))))),
         ad_mul(g, ad_mul(y, ad_sigmoid(ad_neg(x)))), 0.0, 40.0, -40.0, 1e4, -1e4)

AD_UNARY(relu, "max(x, 0); slope 0 at 0", 0.1, 2,
         x < 0 ? 0 : x,
         x > 0 ? g : 0,
         ad_mul(g, ad_gt(x, ad_muls(x, 0))), 0.0, -0.0, -1.0, 2.0)

AD_UNARY(softplus, "log(1 + exp(x)), without overflow", -4, 4,
         fmax(x, 0) + log1p(exp(-fabs(x))),
         g / (1 + exp(-x)),
         ad_mul(g, ad_sigmoid(x)), 0.0, 25.0, 1e4, -1e4)
