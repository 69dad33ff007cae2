/* binary.c: elementwise ops of two operands, each as its formulas; and comparisons. */
#include "ops/elementwise.h"

AD_BINARY(add, "a + b", -2, 2,
          a + b,
          g,
          g,
          g,
          g, 0.0, INFINITY)

AD_BINARY(sub, "a - b", -2, 2,
          a - b,
          g,
          -g,
          g,
          ad_neg(g), 0.0, INFINITY)

AD_BINARY(mul, "a b, element by element", -2, 2,
          a * b,
          g * b,
          g * a,
          ad_mul(g, b),
          ad_mul(g, a), 0.0, 3.0)

AD_BINARY(div, "a / b", 0.4, 2,
          a / b,
          g / b,
          -g * y / b,
          ad_div(g, b),
          ad_neg(ad_div(ad_mul(g, y), b)), 0.0, 2.0, -3.0)

/* 0^0 is 1. The slope in a is 0 where b is 0, and the slope in b is 0 where a is 0 and b is not
   negative: what remains of b a^(b-1) and a^b log a there is a product with 0. In Vars the same is
   had by keeping the base of the power, or of the logarithm, at 1. */
AD_BINARY(pow, "a to the b; 0^0 = 1, with slopes 0", 0.3, 2,
          pow(a, b),
          b == 0 ? 0 : g * b * pow(a, b - 1),
          a == 0 && b >= 0 ? 0 : g * y * log(a),
          ad_mul(g, ad_mul(b, ad_pow(a, ad_sub(b, ad_ne(b, ad_muls(b, 0)))))),
          ad_mul(g, ad_mul(y, ad_log(ad_add(a, ad_mul(ad_eq(a, ad_muls(a, 0)), ad_ge(b, ad_muls(b, 0))))))),
          0.0, 1.0, 2.0)

/* Ties share the gradient equally; a NaN on either side is the result. */
AD_BINARY(maximum, "the larger of a and b; a tie gives each half the gradient", -2, 2,
          a > b || a != a ? a : b,
          a > b ? g : a == b ? g / 2 : 0,
          b > a ? g : a == b ? g / 2 : 0,
          ad_mul(g, ad_add(ad_gt(a, b), ad_muls(ad_eq(a, b), 0.5))),
          ad_mul(g, ad_add(ad_gt(b, a), ad_muls(ad_eq(a, b), 0.5))), 0.0, -0.0, 1.0, INFINITY)

AD_BINARY(minimum, "the smaller of a and b; a tie gives each half the gradient", -2, 2,
          a < b || a != a ? a : b,
          a < b ? g : a == b ? g / 2 : 0,
          b < a ? g : a == b ? g / 2 : 0,
          ad_mul(g, ad_add(ad_lt(a, b), ad_muls(ad_eq(a, b), 0.5))),
          ad_mul(g, ad_add(ad_lt(b, a), ad_muls(ad_eq(a, b), 0.5))), 0.0, -0.0, 1.0, INFINITY)

AD_COMPARISON(eq, "1 where a = b, else 0", a == b)
AD_COMPARISON(ne, "1 where a and b differ, else 0", a != b)
AD_COMPARISON(gt, "1 where a > b, else 0", a > b)
AD_COMPARISON(ge, "1 where a >= b, else 0", a >= b)
AD_COMPARISON(lt, "1 where a < b, else 0", a < b)
AD_COMPARISON(le, "1 where a <= b, else 0", a <= b)
