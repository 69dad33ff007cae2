/* basic.c: the elementwise ops that graphs of single numbers are made of, each defined by its formulas. */
#define AD__HOT
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

/* ---- one operand ------------------------------------------------------------------------------------------------- */

AD_UNARY(neg, "negation, -x", -2, 2,
         -x,
         -g,
         ad_neg(g), 0.0, -0.0, INFINITY)
ad_var *ad_neg(ad_var *x) { return AD_HOT_1(neg, x); }
AD_ROWS_1(neg)

AD_UNARY(abs, "absolute value; slope 0 at 0"
         AD_DIFFERS("the slope at NaN is NaN, as sign(NaN) is; PyTorch's is 0"),
         0.1, 2,
         fabs(x),
         x > 0 ? g : x < 0 ? -g : x * 0,
         ad__times_sign(g, x), 0.0, -0.0, -2.5, NAN)
ad_var *ad_abs(ad_var *x) { return AD_HOT_1(abs, x); }

AD_UNARY(sqrt, "square root; slope inf at 0", 0.2, 4,
         sqrt(x),
         g / (2 * y),
         ad_div(g, ad_muls(y, 2)), 0.0, INFINITY, -1.0)
ad_var *ad_sqrt(ad_var *x) { return AD_HOT_1(sqrt, x); }

AD_UNARY(square, "x^2", -2, 2,
         x * x,
         g * 2 * x,
         ad_mul(ad_muls(g, 2), x), 0.0, 1e4)
ad_var *ad_square(ad_var *x) { return AD_HOT_1(square, x); }
AD_ROWS_1(square)

AD_UNARY(exp, "e^x", -3, 3,
         exp(x),
         g * y,
         ad_mul(g, y), 0.0, -1e4, 1e4)
ad_var *ad_exp(ad_var *x) { return AD_HOT_1(exp, x); }

AD_UNARY(log, "natural logarithm", 0.2, 4,
         log(x),
         g / x,
         ad_div(g, x), 1.0, 0.0, INFINITY, -1.0)
ad_var *ad_log(ad_var *x) { return AD_HOT_1(log, x); }

AD_UNARY(sin, "sine, x in radians", -3, 3,
         sin(x),
         g * cos(x),
         ad_mul(g, ad_cos(x)), 0.0, 100.0)
ad_var *ad_sin(ad_var *x) { return AD_HOT_1(sin, x); }

AD_UNARY(cos, "cosine, x in radians", -3, 3,
         cos(x),
         -g * sin(x),
         ad_neg(ad_mul(g, ad_sin(x))), 0.0, 100.0)
ad_var *ad_cos(ad_var *x) { return AD_HOT_1(cos, x); }

AD_UNARY(tanh, "hyperbolic tangent", -3, 3,
         tanh(x),
         g * (1 - y * y),
         ad_mul(g, ad_adds(ad_neg(ad_square(y)), 1)), 0.0, 1e4, -1e4)
ad_var *ad_tanh(ad_var *x) { return AD_HOT_1(tanh, x); }

AD_UNARY(reciprocal, "1 / x", 0.4, 3,
         1 / x,
         -g * y * y,
         ad_mul(ad_mul(ad_neg(g), y), y), -2.0, 0.0, INFINITY)
ad_var *ad_reciprocal(ad_var *x) { return AD_HOT_1(reciprocal, x); }

/* The vjp writes 1 - y as sigmoid(-x), which stays accurate where y rounds to 1. */
AD_UNARY(sigmoid, "1 / (1 + exp(-x)); slope accurate in both tails"
         AD_DIFFERS("the slopes keep their digits in both tails; PyTorch's are 0 where y rounds to 1"),
         -4, 4,
         1 / (1 + exp(-x)),
         g * (exp(-fabs(x)) / ((1 + exp(-fabs(x))) * (1 + exp(-fabs(x))))),
         ad_mul(g, ad_mul(y, ad_sigmoid(ad_neg(x)))), 0.0, 40.0, -40.0, 1e4, -1e4)
ad_var *ad_sigmoid(ad_var *x) { return AD_HOT_1(sigmoid, x); }

AD_UNARY(relu, "max(x, 0); slope 0 at 0", 0.1, 2,
         x < 0 ? 0 : x,
         x <= 0 ? 0 : g,
         ad__zero_where(ad_le(x, ad__constant(x, 0)), g), 0.0, -0.0, -1.0, 2.0, INFINITY)
ad_var *ad_relu(ad_var *x) { return AD_HOT_1(relu, x); }

/* ---- two operands ------------------------------------------------------------------------------------------------ */

AD_BINARY(add, "a + b", -2, 2,
          a + b,
          g,
          g,
          g,
          g, 0.0, INFINITY)
ad_var *ad_add(ad_var *a, ad_var *b) { return AD_HOT_2(add, a, b); }
AD_ROWS_2(add)

AD_BINARY(sub, "a - b", -2, 2,
          a - b,
          g,
          -g,
          g,
          ad_neg(g), 0.0, INFINITY)
ad_var *ad_sub(ad_var *a, ad_var *b) { return AD_HOT_2(sub, a, b); }
AD_ROWS_2(sub)

AD_BINARY(mul, "a b, element by element", -2, 2,
          a * b,
          g * b,
          g * a,
          ad_mul(g, b),
          ad_mul(g, a), 0.0, 3.0)
ad_var *ad_mul(ad_var *a, ad_var *b) { return AD_HOT_2(mul, a, b); }
AD_ROWS_2(mul)

AD_BINARY(div, "a / b", 0.4, 2,
          a / b,
          g / b,
          -g * y / b,
          ad_div(g, b),
          ad_div(ad_mul(ad_neg(g), y), b), 0.0, 2.0, -3.0)
ad_var *ad_div(ad_var *a, ad_var *b) { return AD_HOT_2(div, a, b); }
AD_ROWS_2(div)

/* ---- an operand and a C double ----------------------------------------------------------------------------------- */

AD_UNARY_K(adds, "x + k, where k is a C double", NULL, k, 1.5, -2, 2,
           x + k,
           g,
           g, 0.0, INFINITY)
ad_var *ad_adds(ad_var *x, double k) { return AD_HOT_K(adds, x, k); }
AD_ROWS_1(adds)

AD_UNARY_K(muls, "k x, where k is a C double", NULL, k, -1.5, -2, 2,
           x * k,
           g * k,
           ad_muls(g, k), 0.0, INFINITY)
ad_var *ad_muls(ad_var *x, double k) { return AD_HOT_K(muls, x, k); }
AD_ROWS_1(muls)

/* ---- powers ------------------------------------------------------------------------------------------------------ */

/* g k p, in an order in which only the result may overflow; PRODUCT does it in numbers. It chooses factors and not
   results: a result that is not chosen has cotangent 0, and 0 times an infinite slope would be NaN. */
ad_var *ad__product(ad_var *g, ad_var *k, ad_var *p) {
    ad_var *one = ad__constant(k, 1), *opposed = ad_ne(ad_gt(ad_abs(k), one), ad_gt(ad_abs(p), one));
    return ad_mul(ad_mul(g, ad_where(opposed, one, k)), ad_mul(ad_where(opposed, k, one), p));
}

/* g a / b, in the same way; RATIO does it in numbers. */
ad_var *ad__ratio(ad_var *g, ad_var *a, ad_var *b) {
    ad_var *one = ad__constant(a, 1), *alike = ad_eq(ad_gt(ad_abs(g), one), ad_gt(ad_abs(a), one));
    return ad_mul(ad_div(ad_mul(g, ad_where(alike, one, a)), b), ad_where(alike, a, one));
}

/* For negative k, unless near 0, g k x^(k-1) is computed as g y / x k, as the power may overflow; but not where x is
   0, infinite or NaN. */
static ad_var *pows_rule(ad_var *g, ad_var *x, ad_var *y, double k) {
    if (k == 0) return NULL;
    if (!(k <= -0.25)) return ad__product(g, ad__constant(x, k), ad_pows(x, k - 1));
    ad_var *one = ad__constant(x, 1), *ordinary = ad_logical_and(x, ad_isfinite(x));
    ad_var *power = ad__product(g, ad__constant(x, k), ad_pows(ad_where(ordinary, one, x), k - 1));
    ad_var *quotient = ad_div(ad_mul(g, ad_where(ordinary, y, one)), ad_where(ordinary, x, one));
    return ad_where(ordinary, ad_muls(quotient, k), power);
}

AD_UNARY_K(pows, "x^k, where k is a C double; slope 0 for k = 0"
           AD_DIFFERS("the second slope at -inf is inf; PyTorch's is NaN"),
           NULL, k, 2.5, 0.2, 3,
           k == 2 ? x * x : pow(x, k),
           k == 0   ? 0
           : k == 2 ? g * 2 * x
           : k <= (T)-0.25 && x != 0 && fabs(x) < (T)INFINITY ? g * y / x * k : PRODUCT(g, k, pow(x, k - 1)),
           pows_rule(g, x, y, k), 0.0, 1.0)
ad_var *ad_pows(ad_var *x, double k) { return AD_HOT_K(pows, x, k); }

static ad_var *is_zero(ad_var *x) { return ad_eq(x, ad__constant(x, 0)); }

/* 0^0 is 1. The slope in a is 0 where b is 0. The slope in b is 0 where a is 0 and b >= 0. The formulas test for these
   cases, since b a^(b-1) and a^b log a there multiply 0 by an infinity. */

static ad_var *is_inverse(ad_var *a, ad_var *b) {
    ad_var *ordinary = ad_logical_and(ad_logical_not(is_zero(a)), ad_isfinite(a));
    return ad_logical_and(ordinary, ad_le(b, ad__constant(b, -0.25)));
}

/* g b a^(b-1). Where b is 0, this is 0 and its slope in b is g / a. There an infinite g is replaced by 0, and an a
   without a finite reciprocal by 1. */
static ad_var *slope_in_base(ad_var *g, ad_var *a, ad_var *b, ad_var *y) {
    ad_var *none = is_zero(b), *one = ad__constant(a, 1), *inverse = is_inverse(a, b);
    ad_var *k = ad__zero_where(ad_logical_and(none, ad_logical_not(ad_isfinite(g))), g);
    ad_var *infinite = ad_logical_and(none, ad_logical_not(ad_isfinite(ad_reciprocal(a))));
    ad_var *power = ad_pow(ad_where(ad_logical_or(infinite, inverse), one, a), ad_adds(b, -1));
    ad_var *quotient = ad_mul(ad_div(ad_mul(k, ad_where(inverse, y, one)), ad_where(inverse, a, one)), b);
    return ad_where(inverse, quotient, ad__product(k, b, power));
}

/* g y log a, and 0 where a is 0 and b >= 0. */
static ad_var *slope_in_exponent(ad_var *g, ad_var *a, ad_var *b, ad_var *y) {
    ad_var *none = ad_logical_and(is_zero(a), ad_ge(b, ad__constant(b, 0)));
    return ad__zero_where(none, ad_mul(ad_mul(g, y), ad_log(ad_where(none, ad__constant(a, 1), a))));
}

AD_BINARY(pow, "a to the b; 0^0 = 1, with slopes 0"
          AD_DIFFERS("the mixed second slope at b = 0 is 1 / a; PyTorch's is 0. The slope in a at a = -1 has the "
                     "sign of an even power for huge b"),
          0.3, 2,
          pow(a, b),
          b == 0 ? 0 : IS_INVERSE(a, b) ? g * y / a * b : PRODUCT(g, b, pow(a, b - 1)),
          a == 0 && b >= 0 ? 0 : g * y * log(a),
          slope_in_base(g, a, b, y),
          slope_in_exponent(g, a, b, y), 0.0, 1.0, 2.0)
ad_var *ad_pow(ad_var *a, ad_var *b) { return AD_HOT_2(pow, a, b); }
