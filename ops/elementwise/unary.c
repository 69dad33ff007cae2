/* unary.c: elementwise ops of one operand, each defined by its formulas. */
#include <float.h>

#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"
#include "ops/kernels/elementwise/erfinv.h"

AD_UNARY(sign, "sign of x: -1, 0 or 1; slope 0"
         AD_DIFFERS("sign(NaN) is NaN, as NumPy has it; PyTorch's 0 would hide it"),
         0.1, 2,
         x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x,
         0,
         NULL, 0.0, -0.0, -3.0, NAN)
ad_var *ad_sign(ad_var *x) { return AD_CALL_1(sign, x); }

AD_UNARY(expm1, "exp(x) - 1, accurate near 0"
         AD_DIFFERS("the slope keeps its digits far below 0; PyTorch's is the result + 1"),
         -3, 3,
         expm1(x),
         g * exp(x),
         ad_mul(g, ad_exp(x)), 0.0, 1e-12, -30.0, -40.0, -1e4)
ad_var *ad_expm1(ad_var *x) { return AD_CALL_1(expm1, x); }

AD_UNARY(log1p, "log(1 + x), accurate near 0"
         AD_DIFFERS("finite at the largest number, where PyTorch's overflows"),
         -0.5, 3,
         log1p(x),
         g / (1 + x),
         ad_div(g, ad_adds(x, 1)), 0.0, 1e-12, -1.0)
ad_var *ad_log1p(ad_var *x) { return AD_CALL_1(log1p, x); }

AD_UNARY(tan, "tangent, x in radians", -1, 1,
         tan(x),
         g * (1 + y * y),
         ad_mul(g, ad_adds(ad_square(y), 1)), 0.0, 1.5, 100.0)
ad_var *ad_tan(ad_var *x) { return AD_CALL_1(tan, x); }

/* 1 - x^2, as (1 - x) (1 + x) near -1 and 1, which is accurate there. At -1 and 1 the product rule would multiply a
   factor of 0 by an infinite cotangent. */
static ad_var *one_minus_square(ad_var *x) {
    ad_var *size = ad_abs(x);
    ad_var *near_end = ad_logical_and(ad_gt(size, ad__constant(x, 0.5)), ad_ne(size, ad__constant(x, 1)));
    return ad_where(near_end, ad_mul(ad_adds(ad_neg(x), 1), ad_adds(x, 1)), ad_adds(ad_neg(ad_square(x)), 1));
}

AD_UNARY(asin, "inverse sine, in -pi/2 .. pi/2; slope inf at -1 and 1", -0.9, 0.9,
         asin(x),
         g / sqrt((1 - x) * (1 + x)),
         ad_div(g, ad_sqrt(one_minus_square(x))), 0.0, 1.0, -1.0, 2.0)
ad_var *ad_asin(ad_var *x) { return AD_CALL_1(asin, x); }

AD_UNARY(acos, "inverse cosine, in 0 .. pi; slope -inf at -1 and 1", -0.9, 0.9,
         acos(x),
         -g / sqrt((1 - x) * (1 + x)),
         ad_neg(ad_div(g, ad_sqrt(one_minus_square(x)))), 0.0, 1.0, -1.0, 2.0)
ad_var *ad_acos(ad_var *x) { return AD_CALL_1(acos, x); }

AD_UNARY(atan, "inverse tangent, in -pi/2 .. pi/2", -3, 3,
         atan(x),
         fabs(x) > (T)1e9 ? g / x / x : g / (1 + x * x),
         ad_div(ad_div(g, ad_hypot(x, ad__constant(x, 1))), ad_hypot(x, ad__constant(x, 1))), 0.0, 1e10, -INFINITY)
ad_var *ad_atan(ad_var *x) { return AD_CALL_1(atan, x); }

AD_UNARY(sinh, "hyperbolic sine", -3, 3,
         sinh(x),
         g * cosh(x),
         ad_mul(g, ad_cosh(x)), 0.0, 1e-12, 1e4, -1e4)
ad_var *ad_sinh(ad_var *x) { return AD_CALL_1(sinh, x); }

AD_UNARY(cosh, "hyperbolic cosine", -3, 3,
         cosh(x),
         g * sinh(x),
         ad_mul(g, ad_sinh(x)), 0.0, 1e4, -1e4)
ad_var *ad_cosh(ad_var *x) { return AD_CALL_1(cosh, x); }

AD_UNARY(asinh, "inverse hyperbolic sine"
         AD_DIFFERS("the slopes of huge x are not 0 or NaN, as x^2 does not overflow"),
         -3, 3,
         asinh(x),
         g / hypot(x, 1),
         ad_div(g, ad_hypot(x, ad__constant(x, 1))), 0.0, 1e-12, 1e30, -INFINITY)
ad_var *ad_asinh(ad_var *x) { return AD_CALL_1(asinh, x); }

AD_UNARY(acosh, "inverse hyperbolic cosine, x >= 1; slope inf at 1"
         AD_DIFFERS("the slope below the domain is NaN; PyTorch's is a number for x <= -1. The second slope at 1 is "
                    "NaN; PyTorch's is -inf"),
         1.2, 4,
         acosh(x),
         g / (sqrt(x - 1) * sqrt(x + 1)),
         ad_div(g, ad_mul(ad_sqrt(ad_adds(x, -1)), ad_sqrt(ad_adds(x, 1)))), 1.0, 0.0, 1e30, INFINITY)
ad_var *ad_acosh(ad_var *x) { return AD_CALL_1(acosh, x); }

AD_UNARY(atanh, "inverse hyperbolic tangent, -1 < x < 1; slope inf at -1 and 1"
         AD_DIFFERS("the second slope of huge x is 0; PyTorch's is NaN"),
         -0.9, 0.9,
         atanh(x),
         g / ((1 - x) * (1 + x)),
         ad_div(g, one_minus_square(x)), 0.0, 1e-12, 1.0, -1.0)
ad_var *ad_atanh(ad_var *x) { return AD_CALL_1(atanh, x); }

AD_UNARY(exp2, "2^x", -3, 3,
         exp2(x),
         g * y * (T)0.69314718055994531,
         ad_muls(ad_mul(g, y), 0.69314718055994531), 0.0, 5.0, 1e4, -1e4)
ad_var *ad_exp2(ad_var *x) { return AD_CALL_1(exp2, x); }

AD_UNARY(log2, "logarithm to base 2", 0.2, 4,
         log2(x),
         g / (x * (T)0.69314718055994531),
         ad_div(g, ad_muls(x, 0.69314718055994531)), 1.0, 8.0, 0.0, INFINITY)
ad_var *ad_log2(ad_var *x) { return AD_CALL_1(log2, x); }

AD_UNARY(log10, "logarithm to base 10", 0.2, 4,
         log10(x),
         g / (x * (T)2.3025850929940457),
         ad_div(g, ad_muls(x, 2.3025850929940457)), 1.0, 1000.0, 0.0, INFINITY)
ad_var *ad_log10(ad_var *x) { return AD_CALL_1(log10, x); }

AD_UNARY(rsqrt, "1 / sqrt(x); slope -inf at 0", 0.2, 4,
         1 / sqrt(x),
         g / -2 * y * y * y,
         ad_mul(ad_mul(ad_mul(ad_muls(g, -0.5), y), y), y), 1.0, 0.0, INFINITY, -1.0)
ad_var *ad_rsqrt(ad_var *x) { return AD_CALL_1(rsqrt, x); }

AD_UNARY(cbrt, "cube root; slope inf at 0"
         AD_DIFFERS("PyTorch has no such function. The second slope at 0 is NaN"),
         0.2, 4,
         cbrt(x),
         g / (3 * y * y),
         ad_div(g, ad_muls(ad_square(y), 3)), -8.0, 1.0, 0.0, INFINITY)
ad_var *ad_cbrt(ad_var *x) { return AD_CALL_1(cbrt, x); }

AD_UNARY(erf, "error function"
         AD_DIFFERS("the second slope of huge x is 0; PyTorch's is NaN"),
         -2, 2,
         erf(x),
         g * (T)1.1283791670955126 * exp(-x * x),
         ad_mul(ad_muls(g, 1.1283791670955126), ad_exp(ad_neg(ad_square(x)))), 0.0, 1e-12, 5.0, -30.0, INFINITY)
ad_var *ad_erf(ad_var *x) { return AD_CALL_1(erf, x); }

AD_UNARY(erfc, "1 - erf(x), accurate for large x"
         AD_DIFFERS("the second slope of huge x is 0; PyTorch's is NaN"),
         -2, 2,
         erfc(x),
         g * (T)-1.1283791670955126 * exp(-x * x),
         ad_mul(ad_muls(g, -1.1283791670955126), ad_exp(ad_neg(ad_square(x)))), 0.0, 5.0, 20.0, -30.0, INFINITY)
ad_var *ad_erfc(ad_var *x) { return AD_CALL_1(erfc, x); }

AD_UNARY(floor, "largest integer <= x; slope 0", 0.1, 0.9,
         floor(x),
         0,
         NULL, 0.0, -0.0, 2.0, -2.5, 2.5, NAN, INFINITY)
ad_var *ad_floor(ad_var *x) { return AD_CALL_1(floor, x); }

AD_UNARY(ceil, "smallest integer >= x; slope 0", 0.1, 0.9,
         ceil(x),
         0,
         NULL, 0.0, -0.0, 2.0, -2.5, 2.5, NAN, INFINITY)
ad_var *ad_ceil(ad_var *x) { return AD_CALL_1(ceil, x); }

AD_UNARY(round, "nearest integer, halves to the even one; slope 0", 0.6, 1.4,
         rint(x),
         0,
         NULL, 0.0, -0.0, 0.5, 1.5, 2.5, -0.5, NAN, INFINITY)
ad_var *ad_round(ad_var *x) { return AD_CALL_1(round, x); }

AD_UNARY(trunc, "x rounded towards 0; slope 0", 0.1, 0.9,
         trunc(x),
         0,
         NULL, 0.0, -0.0, 2.0, -2.5, 2.5, NAN, INFINITY)
ad_var *ad_trunc(ad_var *x) { return AD_CALL_1(trunc, x); }

AD_UNARY(frac, "fractional part, x - trunc(x), with the sign of x", 0.1, 0.9,
         x - trunc(x),
         g,
         g, 0.0, -0.0, 2.0, -2.5, 2.5, NAN, INFINITY)
ad_var *ad_frac(ad_var *x) { return AD_CALL_1(frac, x); }

AD_UNARY(deg2rad, "degrees to radians", -180, 180,
         x * (T)0.017453292519943295,
         g * (T)0.017453292519943295,
         ad_muls(g, 0.017453292519943295), 0.0, INFINITY)
ad_var *ad_deg2rad(ad_var *x) { return AD_CALL_1(deg2rad, x); }

AD_UNARY(rad2deg, "radians to degrees", -3, 3,
         x * (T)57.295779513082321,
         g * (T)57.295779513082321,
         ad_muls(g, 57.295779513082321), 0.0, INFINITY)
ad_var *ad_rad2deg(ad_var *x) { return AD_CALL_1(rad2deg, x); }

/* SERIES_OF_REST in Vars. */
static ad_var *series_of_rest(ad_var *u) {
    static const double divisors[] = { 304, 238, 180, 130, 88, 54, 28, 10 };
    ad_var *sum = ad__constant(u, 1);
    for (int i = 0; i < AD__COUNT(divisors); i++) sum = ad_adds(ad_mul(ad_muls(u, 1 / divisors[i]), sum), 1);
    return sum;
}
static ad_var *cos_pi(ad_var *x) {
    ad_var *whole = ad_round(x), *half = ad_muls(whole, 0.5), *even = ad_eq(ad_round(half), half);
    return ad_mul(ad_adds(ad_muls(even, 2), -1), ad_cos(ad_muls(ad_sub(x, whole), 3.1415926535897932)));
}
static ad_var *sinc_rule(ad_var *g, ad_var *x, ad_var *y) {
    ad_var *is_near = ad_lt(ad_abs(x), ad__constant(x, 0.25)), *one = ad__constant(x, 1);
    ad_var *near = ad_where(is_near, x, ad__constant(x, 0)), *far = ad_where(is_near, one, x);
    ad_var *series = series_of_rest(ad_muls(ad_square(near), -9.8696044010893586));
    series = ad_mul(ad_muls(near, -3.2898681336964529), series);
    return ad_mul(g, ad_where(is_near, series, ad_div(ad_sub(cos_pi(far), ad_where(is_near, one, y)), far)));
}

AD_UNARY(sinc, "sin(pi x) / (pi x), and 1 at 0"
         AD_DIFFERS("exact 0 at whole x; the slopes keep their digits near 0 and for large x"),
         -3, 3,
         x == 0 ? 1 : (SIN_PI(fabs(x)) + 0) / ((T)3.1415926535897932 * fabs(x)),
         g * SINC_SLOPE(x, y),
         sinc_rule(g, x, y), 0.0, 1e-9, 0.1, 0.25, 1.0, -2.0, 2.5, 1e4)
ad_var *ad_sinc(ad_var *x) { return AD_CALL_1(sinc, x); }

/* The slope is sqrt(pi) / 2 times exp(y^2). */
AD_UNARY(erfinv, "inverse of erf, -1 < x < 1; slope inf at -1 and 1"
         AD_DIFFERS("the slope keeps its digits"),
         -0.9, 0.9,
         ad__number_erfinv(x),
         g * (T)0.88622692545275801 * exp(y * y),
         ad_mul(ad_muls(g, 0.88622692545275801), ad_exp(ad_square(y))),
         0.0, 1e-9, 0.7, -0.71, 0.999, 1.0, -1.0, 2.0)
ad_var *ad_erfinv(ad_var *x) { return AD_CALL_1(erfinv, x); }

/* NaN stays NaN and has slope 0. If lo > hi, the result is hi. If hi is NaN, so is the result; ad_clamp makes it NaN if
   lo is. */
AD_UNARY_K2(clamp, "x limited to lo .. hi; slope 1 at both bounds", NULL, lo, -0.75, hi, 1, -2, 2,
            (x < lo ? lo : x) > hi ? hi : x < lo ? lo : x <= hi ? x : x + hi,
            x >= lo && x <= hi ? g : 0,
            ad_where(ad_logical_and(ad_ge(x, ad__constant(x, lo)), ad_le(x, ad__constant(x, hi))), g,
                     ad__constant(g, 0)),
            -0.75, 1.0, 3.0, -3.0, NAN, INFINITY, -INFINITY)
ad_var *ad_clamp(ad_var *x, double lo, double hi) { return AD_CALL_K(clamp, x, lo, lo == lo ? hi : lo); }

/* The parts that are not chosen have an x of 1/2, so that no infinite slope meets their cotangent of 0. */
static ad_var *logit_rule(ad_var *g, ad_var *x, double eps) {
    const double lo = eps < 0 ? 0 : eps;
    ad_var *below = ad_lt(x, ad__constant(x, lo)), *above = ad_gt(x, ad__constant(x, 1 - lo));
    ad_var *outside = ad_logical_or(below, above), *inner = ad_where(outside, ad__constant(x, 0.5), x);
    ad_var *slope = ad_div(g, ad_mul(inner, ad_adds(ad_neg(inner), 1)));
    return ad_where(outside, ad__constant(x, eps < 0 ? NAN : 0), slope);
}
static int logit_shape(ad_call *c) {
    double eps = *(const double *)c->attrs;
    if (eps <= 0.5) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "eps is %g; it must be at most 0.5, or negative for none", eps);
}

AD_UNARY_K(logit, "log(x / (1 - x)), with x limited to eps .. 1 - eps unless eps is negative"
           AD_DIFFERS("the slope at NaN is NaN, where PyTorch's is 0 if there is an eps; the second slope of "
                      "limited x is 0, where PyTorch's is NaN at 0 and 1"),
           logit_shape, eps, 0.1, 0.2, 0.8,
           eps >= 0 && x < eps       ? LOGIT(eps)
           : eps >= 0 && x > 1 - eps ? LOGIT(1 - eps)
                                     : LOGIT(x),
           eps < 0 ? (x < 0 || x > 1 ? (T)NAN : g / (x * (1 - x))) : x < eps || x > 1 - eps ? 0 : g / (x * (1 - x)),
           logit_rule(g, x, (double)eps), 0.5, 0.0, 1.0, 0.05, 0.25, 0.4999999, -1.0, INFINITY)
ad_var *ad_logit(ad_var *x, double eps) { return AD_CALL_K(logit, x, eps); }

AD_UNARY_K3(nan_to_num, "x, with NaN, inf and -inf replaced; slope 0 there. If posinf or neginf is NAN, the largest or "
            "lowest number stands for it", NULL, nan, 0.5, posinf, 7, neginf, -9, -2, 2,
            x != x                ? nan
            : x == (T)INFINITY    ? OR_LARGEST(posinf, 1)
            : x == -(T)INFINITY   ? OR_LARGEST(neginf, -1)
                                  : x,
            isfinite(x) ? g : 0,
            ad__zero_where(ad_logical_not(ad_isfinite(x)), g), 0.0, NAN, INFINITY, -INFINITY)
ad_var *ad_nan_to_num(ad_var *x, double nan, double posinf, double neginf) {
    return AD_CALL_K(nan_to_num, x, nan, posinf, neginf);
}
