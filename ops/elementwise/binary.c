/* binary.c: further elementwise ops of two operands, each defined by its formulas. */
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

/* Equal operands share the gradient equally. If either is NaN, so is the result, and both have slope 1, as in
   PyTorch. */
static ad_var *half_where_equal(ad_var *g, ad_var *a, ad_var *b) { return ad_where(ad_eq(a, b), ad_muls(g, 0.5), g); }

AD_BINARY(maximum, "the larger of a and b; each gets half the gradient if they are equal", -2, 2,
          a > b || a != a ? a : b,
          a < b ? 0 : a == b ? g / 2 : g,
          b < a ? 0 : a == b ? g / 2 : g,
          ad__zero_where(ad_lt(a, b), half_where_equal(g, a, b)),
          ad__zero_where(ad_lt(b, a), half_where_equal(g, a, b)), 0.0, -0.0, 1.0, INFINITY)
ad_var *ad_maximum(ad_var *a, ad_var *b) { return AD_CALL_2(maximum, a, b); }

AD_BINARY(minimum, "the smaller of a and b; each gets half the gradient if they are equal", -2, 2,
          a < b || a != a ? a : b,
          a > b ? 0 : a == b ? g / 2 : g,
          b > a ? 0 : a == b ? g / 2 : g,
          ad__zero_where(ad_gt(a, b), half_where_equal(g, a, b)),
          ad__zero_where(ad_gt(b, a), half_where_equal(g, a, b)), 0.0, -0.0, 1.0, INFINITY)
ad_var *ad_minimum(ad_var *a, ad_var *b) { return AD_CALL_2(minimum, a, b); }

/* g a / y for |a| <= y, in an order in which only the result may overflow. */
static ad_var *part(ad_var *g, ad_var *a, ad_var *y) {
    ad_var *one = ad__constant(a, 1), *first = ad_logical_and(ad_gt(ad_abs(g), one), ad_lt(ad_abs(a), one));
    ad_var *product = ad_div(ad_mul(g, ad_where(first, a, one)), ad_where(first, y, one));
    return ad_mul(product, ad_div(ad_where(first, one, a), ad_where(first, one, y)));
}

/* The slopes compute b / (a^2 + b^2) without overflow. */
AD_BINARY(atan2, "angle of the point (b, a) in -pi .. pi; slopes NaN at (0, 0)"
          AD_DIFFERS("huge operands do not overflow"),
          0.3, 2,
          atan2(a, b),
          g * (b / hypot(a, b)) / hypot(a, b),
          -g * (a / hypot(a, b)) / hypot(a, b),
          ad_div(ad_mul(g, ad_div(b, ad_hypot(a, b))), ad_hypot(a, b)),
          ad_div(ad_mul(ad_neg(g), ad_div(a, ad_hypot(a, b))), ad_hypot(a, b)), 0.0, 1.0, -1.5, 1e-30, 1e30)
ad_var *ad_atan2(ad_var *a, ad_var *b) { return AD_CALL_2(atan2, a, b); }

AD_BINARY(hypot, "sqrt(a^2 + b^2), without overflow; slopes NaN at (0, 0)", 0.3, 2,
          hypot(a, b),
          PART(g, a, y),
          PART(g, b, y),
          part(g, a, y),
          part(g, b, y), 0.0, 1.0, -1.5, 1e-30, 1e30)
ad_var *ad_hypot(ad_var *a, ad_var *b) { return AD_CALL_2(hypot, a, b); }

/* The slope in a is 0 where a is 0 and b <= 0. Both slopes agree with PyTorch's. */
AD_BINARY(xlogy, "a log b; 0 where a is 0, unless b is NaN", 0.3, 2,
          a == 0 && b == b ? 0 : a * log(b),
          (a == 0 && b <= 0) || (g == 0 && b == b) ? 0 : g * log(b),
          RATIO(g, a, b),
          ad__zero_where(ad_logical_and(ad_eq(a, ad__constant(a, 0)), ad_le(b, ad__constant(b, 0))), ad_xlogy(g, b)),
          ad__ratio(g, a, b), 0.0, 1.0, 2.0, NAN)
ad_var *ad_xlogy(ad_var *a, ad_var *b) { return AD_CALL_2(xlogy, a, b); }

/* PyTorch has no gradient for heaviside. */
AD_BINARY(heaviside, "0 for a < 0, 1 for a > 0, and b where a is 0; slope 0 in a"
          AD_DIFFERS("b takes a gradient where a is 0; PyTorch has none"),
          0.1, 2,
          a == 0 ? b : a > 0,
          0,
          a == 0 ? g : 0,
          NULL,
          ad__zero_where(ad_ne(a, ad__constant(a, 0)), g), 0.0, -0.0, 1.0, -2.0, 0.5)
ad_var *ad_heaviside(ad_var *x, ad_var *values) { return AD_CALL_2(heaviside, x, values); }

AD_BINARY(logaddexp, "log(exp(a) + exp(b)), without overflow; slopes NaN where a = b is infinite"
          AD_DIFFERS("the second slopes are 0 where a and b are far apart; PyTorch's may be NaN"),
          -3, 3,
          a == b ? a + (T)0.69314718055994531 : (a > b ? a : b) + LOG1P_EXP(a - b),
          g / (1 + exp(b - a)),
          g / (1 + exp(a - b)),
          ad_mul(g, ad_sigmoid(ad_sub(a, b))),
          ad_mul(g, ad_sigmoid(ad_sub(b, a))), 0.0, 1.0, -40.0, 40.0, INFINITY, -INFINITY, NAN)
ad_var *ad_logaddexp(ad_var *a, ad_var *b) { return AD_CALL_2(logaddexp, a, b); }

/* 2^-|a - b| as exp, for LOG1P_EXP; the logarithm of 2 to base e is 0.693..., 1.442... is its reciprocal. */
AD_BINARY(logaddexp2, "log2(2^a + 2^b), without overflow; slopes NaN where a = b is infinite"
          AD_DIFFERS("the second slopes are 0 where a and b are far apart; PyTorch's may be NaN"),
          -3, 3,
          a == b ? a + 1 : (a > b ? a : b) + (T)1.4426950408889634 * LOG1P_EXP((a - b) * (T)0.69314718055994531),
          g / (1 + exp2(b - a)),
          g / (1 + exp2(a - b)),
          ad_mul(g, ad_sigmoid(ad_muls(ad_sub(a, b), 0.69314718055994531))),
          ad_mul(g, ad_sigmoid(ad_muls(ad_sub(b, a), 0.69314718055994531))),
          0.0, 1.0, -40.0, 40.0, INFINITY, -INFINITY, NAN)
ad_var *ad_logaddexp2(ad_var *a, ad_var *b) { return AD_CALL_2(logaddexp2, a, b); }

/* Unlike maximum, a gets the whole gradient where a = b, and where both are NaN. */
static ad_var *is_a_first(ad_var *order, ad_var *b) { return ad_logical_or(order, ad_isnan(b)); }

AD_BINARY(fmax, "the larger of a and b, or the one that is not NaN; a gets the gradient if they are equal", -2, 2,
          a >= b || b != b ? a : b,
          a >= b || b != b ? g : 0,
          a >= b || b != b ? 0 : g,
          ad__zero_where(ad_logical_not(is_a_first(ad_ge(a, b), b)), g),
          ad__zero_where(is_a_first(ad_ge(a, b), b), g), 0.0, -0.0, 1.0, INFINITY, NAN)
ad_var *ad_fmax(ad_var *a, ad_var *b) { return AD_CALL_2(fmax, a, b); }

AD_BINARY(fmin, "the smaller of a and b, or the one that is not NaN; a gets the gradient if they are equal", -2, 2,
          a <= b || b != b ? a : b,
          a <= b || b != b ? g : 0,
          a <= b || b != b ? 0 : g,
          ad__zero_where(ad_logical_not(is_a_first(ad_le(a, b), b)), g),
          ad__zero_where(is_a_first(ad_le(a, b), b), g), 0.0, -0.0, 1.0, INFINITY, NAN)
ad_var *ad_fmin(ad_var *a, ad_var *b) { return AD_CALL_2(fmin, a, b); }

AD_BINARY(copysign, "|a| with the sign of b, that of -0 too; slope 0 in a where a is 0"
          AD_DIFFERS("the slope at infinite a is 1 or -1, and the second slope at 0 is 0; PyTorch's are NaN"),
          0.1, 2,
          copysign(a, b),
          a > 0 ? g * copysign((T)1, b) : a < 0 ? -g * copysign((T)1, b) : a * 0,
          0,
          ad__times_sign(ad_mul(g, ad_copysign(ad__constant(a, 1), b)), a),
          NULL, 0.0, -0.0, 1.5, -2.0)
ad_var *ad_copysign(ad_var *a, ad_var *b) { return AD_CALL_2(copysign, a, b); }
