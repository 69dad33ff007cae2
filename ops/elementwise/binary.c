/* binary.c: elementwise ops of two operands, each defined by its formulas. */
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

/* ---- products of three numbers, in an order in which only the result may overflow ---------------------------- */

/* The functions choose factors and not results: a result that is not chosen has cotangent 0, and 0 times an infinite
   slope would be NaN. */

/* g k p; PRODUCT does it in numbers. */
ad_var *ad__product(ad_var *g, ad_var *k, ad_var *p) {
    ad_var *one = ad__constant(k, 1), *opposed = ad_ne(ad_gt(ad_abs(k), one), ad_gt(ad_abs(p), one));
    return ad_mul(ad_mul(g, ad_where(opposed, one, k)), ad_mul(ad_where(opposed, k, one), p));
}

static ad_var *part(ad_var *g, ad_var *a, ad_var *y) {
    ad_var *one = ad__constant(a, 1), *first = ad_logical_and(ad_gt(ad_abs(g), one), ad_lt(ad_abs(a), one));
    ad_var *product = ad_div(ad_mul(g, ad_where(first, a, one)), ad_where(first, y, one));
    return ad_mul(product, ad_div(ad_where(first, one, a), ad_where(first, one, y)));
}

static ad_var *ratio(ad_var *g, ad_var *a, ad_var *b) {
    ad_var *one = ad__constant(a, 1), *alike = ad_eq(ad_gt(ad_abs(g), one), ad_gt(ad_abs(a), one));
    return ad_mul(ad_div(ad_mul(g, ad_where(alike, one, a)), b), ad_where(alike, a, one));
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

static ad_var *is_zero(ad_var *x) { return ad_eq(x, ad__constant(x, 0)); }

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

/* The slope in b is the whole quotient that belongs to the remainder, which is constant. trunc(a / b) is another
   where the division rounds up: 1 / 0.1 is 10, and the remainder 0.1 belongs to 9. A large quotient may overflow,
   and is whole in any case. */
static ad_var *fmod_rule(ad_var *g, ad_var *a, ad_var *b, ad_var *y) {
    ad_var *difference = ad_detach(ad_sub(a, y)), *divisor = ad_detach(b), *q = ad_div(difference, divisor);
    ad_var *small = ad_lt(ad_abs(q), ad__constant(q, 1e9)), *k = ad_neg(g), *none = is_zero(ad_round(q));
    return ad__zero_where(none, ad_where(small, ad_mul(k, ad_round(q)), ad_div(ad_mul(k, difference), divisor)));
}

AD_BINARY(fmod, "remainder of a / b with the sign of a"
          AD_DIFFERS("the slope in b is the quotient that belongs to the remainder, where PyTorch's is trunc of the "
                     "rounded quotient; it is NaN where the remainder is"),
          0.4, 2,
          fmod(a, b),
          g,
          rint(QUOTIENT(a, b, y)) == 0          ? 0
          : fabs(QUOTIENT(a, b, y)) < (T)1e9 ? -g * rint(QUOTIENT(a, b, y)) : -g * (a - y) / b,
          g,
          fmod_rule(g, a, b, y), 5.5, -5.5, 2.0, -2.0, 6.0)
ad_var *ad_fmod(ad_var *a, ad_var *b) { return AD_CALL_2(fmod, a, b); }

/* The slope in a is 0 where a is 0 and b <= 0. Both slopes agree with PyTorch's. */
AD_BINARY(xlogy, "a log b; 0 where a is 0, unless b is NaN", 0.3, 2,
          a == 0 && b == b ? 0 : a * log(b),
          (a == 0 && b <= 0) || (g == 0 && b == b) ? 0 : g * log(b),
          RATIO(g, a, b),
          ad__zero_where(ad_logical_and(is_zero(a), ad_le(b, ad__constant(b, 0))), ad_xlogy(g, b)),
          ratio(g, a, b), 0.0, 1.0, 2.0, NAN)
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

AD_BINARY(floor_divide, "largest integer <= a / b; slopes 0", 0.4, 2,
          FLOOR_DIVIDED(a, b),
          0,
          0,
          NULL,
          NULL, 0.0, 5.5, -5.5, 2.0, -2.0, 6.0, 0.1, 1.0)
ad_var *ad_floor_divide(ad_var *a, ad_var *b) { return AD_CALL_2(floor_divide, a, b); }

/* The slope in b is -floor(a / b). A large quotient, which is (a - y) / b, may overflow where its product with g does
   not. */
static ad_var *remainder_rule(ad_var *g, ad_var *a, ad_var *b, ad_var *y) {
    ad_var *nonzero = ad_logical_not(is_zero(b)), *one = ad__constant(a, 1), *k = ad_neg(g);
    ad_var *large = ad_logical_and(nonzero, ad_ge(ad_abs(ad_detach(ad_div(a, b))), ad__constant(a, 1e9)));
    ad_var *difference = ad_where(large, ad_detach(ad_sub(a, y)), one), *divisor = ad_where(large, ad_detach(b), one);
    return ad_where(large, ratio(k, difference, divisor), ad_mul(k, ad_where(large, one, ad_floor_divide(a, b))));
}

AD_BINARY(remainder, "remainder of a / b with the sign of b: a - b floor(a / b)", 0.4, 2,
          IS_LOWER(a, b) ? fmod(a, b) + b : fmod(a, b),
          g,
          IS_LARGE(a, b) ? RATIO(-g, a - y, b) : -g * FLOOR_DIVIDED(a, b),
          g,
          remainder_rule(g, a, b, y), 0.0, 5.5, -5.5, 2.0, -2.0, 6.0)
ad_var *ad_remainder(ad_var *a, ad_var *b) { return AD_CALL_2(remainder, a, b); }

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
