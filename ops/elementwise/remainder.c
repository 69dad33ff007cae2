/* remainder.c: remainders and whole quotients, each defined by its formulas. fmod has no form for vectors. */
#define AD__ONE_BY_ONE
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

static ad_var *is_zero(ad_var *x) { return ad_eq(x, ad__constant(x, 0)); }

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
    return ad_where(large, ad__ratio(k, difference, divisor), ad_mul(k, ad_where(large, one, ad_floor_divide(a, b))));
}

AD_BINARY(remainder, "remainder of a / b with the sign of b: a - b floor(a / b)", 0.4, 2,
          IS_LOWER(a, b) ? fmod(a, b) + b : fmod(a, b),
          g,
          IS_LARGE(a, b) ? RATIO(-g, a - y, b) : -g * FLOOR_DIVIDED(a, b),
          g,
          remainder_rule(g, a, b, y), 0.0, 5.5, -5.5, 2.0, -2.0, 6.0)
ad_var *ad_remainder(ad_var *a, ad_var *b) { return AD_CALL_2(remainder, a, b); }
