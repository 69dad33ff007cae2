/* logic.c: comparisons, predicates and logical ops; results are 0 or 1 and have no gradient. */
#include "ops/base/attrs.h"
#include "ops/elementwise/elementwise.h"

AD_COMPARISON(eq, "1 where a = b, else 0", a == b)
ad_var *ad_eq(ad_var *a, ad_var *b) { return AD_CALL_2(eq, a, b); }

AD_COMPARISON(ne, "1 where a and b differ, else 0", a != b)
ad_var *ad_ne(ad_var *a, ad_var *b) { return AD_CALL_2(ne, a, b); }

AD_COMPARISON(gt, "1 where a > b, else 0", a > b)
ad_var *ad_gt(ad_var *a, ad_var *b) { return AD_CALL_2(gt, a, b); }

AD_COMPARISON(ge, "1 where a >= b, else 0", a >= b)
ad_var *ad_ge(ad_var *a, ad_var *b) { return AD_CALL_2(ge, a, b); }

AD_COMPARISON(lt, "1 where a < b, else 0", a < b)
ad_var *ad_lt(ad_var *a, ad_var *b) { return AD_CALL_2(lt, a, b); }

AD_COMPARISON(le, "1 where a <= b, else 0", a <= b)
ad_var *ad_le(ad_var *a, ad_var *b) { return AD_CALL_2(le, a, b); }

AD_PREDICATE(isfinite, "1 where x is neither infinite nor NaN, else 0", isfinite(x))
ad_var *ad_isfinite(ad_var *x) { return AD_CALL_1(isfinite, x); }

AD_PREDICATE(isinf, "1 where x is inf or -inf, else 0", x - x != 0 && x == x)
ad_var *ad_isinf(ad_var *x) { return AD_CALL_1(isinf, x); }

AD_PREDICATE(isnan, "1 where x is NaN, else 0", x != x)
ad_var *ad_isnan(ad_var *x) { return AD_CALL_1(isnan, x); }

/* Every value but 0 counts as true, NaN included. */
AD_PREDICATE(logical_not, "1 where x is 0, else 0", x == 0)
ad_var *ad_logical_not(ad_var *x) { return AD_CALL_1(logical_not, x); }

AD_COMPARISON(logical_and, "1 where neither a nor b is 0, else 0", a != 0 && b != 0)
ad_var *ad_logical_and(ad_var *a, ad_var *b) { return AD_CALL_2(logical_and, a, b); }

AD_COMPARISON(logical_or, "1 where a or b is not 0, else 0", a != 0 || b != 0)
ad_var *ad_logical_or(ad_var *a, ad_var *b) { return AD_CALL_2(logical_or, a, b); }

AD_COMPARISON(logical_xor, "1 where exactly one of a and b is 0, else 0", (a != 0) != (b != 0))
ad_var *ad_logical_xor(ad_var *a, ad_var *b) { return AD_CALL_2(logical_xor, a, b); }

/* Equal infinities are close, and no other infinities. */
AD_COMPARISON_K3(isclose, "1 where |a - b| <= atol + |rtol b|, else 0; two NaNs are close if equal_nan is true",
                 rtol, 0.1, atol, 0.05, equal_nan, 1,
                 a == b || (equal_nan != 0 && a != a && b != b) ||
                     (fabs(a - b) < (T)INFINITY && fabs(a - b) <= atol + fabs(rtol * b)))
ad_var *ad_isclose(ad_var *a, ad_var *b, double rtol, double atol, bool equal_nan) {
    if (ad__absent(a) || (rtol >= 0 && atol >= 0))
        return ad__apply2(&ad_op_isclose, a, b, (double[]){ rtol, atol, equal_nan });
    ad_call c = AD__CALL_AS("isclose", a);
    ad_call_fail(&c, AD_EVALUE, "rtol is %g and atol is %g; both must be >= 0", rtol, atol);
    return ad_nil(c.graph);
}
