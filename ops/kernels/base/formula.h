/* formula.h: macros that the formulas of ops use.

   They are text and need a T, float or double, and the functions of math.h where they are used. This file includes
   nothing: ops/compile/macros.c turns the macros into text with the names of math.h as they stand. */
#ifndef OPS_KERNELS_BASE_FORMULA_H
#define OPS_KERNELS_BASE_FORMULA_H

/* ---- order of factors ------------------------------------------------------------------------------------------- */

/* g k p, in the order in which no product of two of them overflows or underflows unless the result does. */
#define PRODUCT(g, k, p) ((fabs(k) > 1) != (fabs(p) > 1) ? (g) * ((k) * (p)) : (g) * (k) * (p))
/* g a / y for |a| <= y. a / y may underflow, which matters if g is large. */
#define PART(g, a, y) (fabs(g) > 1 && fabs(a) < 1 ? (g) * (a) / (y) : (g) * ((a) / (y)))
/* g a / b, in the order in which no product of two large or two small numbers is formed. */
#define RATIO(g, a, b) ((fabs(g) > 1) == (fabs(a) > 1) ? (g) / (b) * (a) : (g) * (a) / (b))
/* b is negative, and not near 0, and a is neither 0 nor infinite nor NaN. Then g b a^(b-1) is computed as g y / a b, as
   the power may overflow. */
#define IS_INVERSE(a, b) ((b) <= (T)-0.25 && (a) != 0 && fabs(a) < (T)INFINITY)

/* ---- logs and series -------------------------------------------------------------------------------------------- */

/* log(1 + e) for e = exp(-|x|), as accurate as log1p, which is slow for small arguments. The second term corrects the
   rounding error of 1 + e, to first order. */
#define LOG1P_EXP(x)                                                                                                   \
    (log(1 + exp(-fabs(x))) + (exp(-fabs(x)) - ((1 + exp(-fabs(x))) - 1)) / (1 + exp(-fabs(x))))
/* log(x / (1 - x)). Near 1/2 the quotient is near 1, and log would lose its digits. */
#define LOGIT(x) ((x) > (T)0.25 && (x) < (T)0.75 ? log1p((2 * (x) - 1) / (1 - (x))) : log((x) / (1 - (x))))
/* 3 (cosh s - sinh(s) / s) / s^2 as a series in u = s^2, for |u| <= 1, where the terms cancel. A negative u stands for
   cos and sin. */
#define SERIES_OF_REST(u)                                                                                              \
    (1 + (u) / 10 * (1 + (u) / 28 * (1 + (u) / 54 * (1 + (u) / 88 * (1 + (u) / 130 * (1 + (u) / 180 *                  \
    (1 + (u) / 238 * (1 + (u) / 304))))))))

/* ---- remainders ------------------------------------------------------------------------------------------------- */

/* The whole quotient that belongs to the remainder y of a / b, but for rounding. */
#define QUOTIENT(a, b, y) (((a) - (y)) / (b))
/* Where the remainder of fmod and the divisor differ in sign, the floor of the quotient is 1 less than its trunc. */
#define IS_LOWER(a, b) (fmod(a, b) != 0 && ((b) < 0) != (fmod(a, b) < 0))
/* The floor of a / b, by the remainder and not by the rounded quotient. What is rounded is whole but for an error. */
#define FLOOR_OF_QUOTIENT(a, b) rint(((a)-fmod(a, b)) / (b) - (IS_LOWER(a, b) ? 1 : 0))
#define FLOOR_DIVIDED(a, b) ((b) == 0 ? (a) / (b) : copysign(FLOOR_OF_QUOTIENT(a, b), (a) / (b)))
/* The quotient is too large to be rounded to a whole number that means something. */
#define IS_LARGE(a, b) ((b) != 0 && fabs((a) / (b)) >= (T)1e9)

/* ---- sin(pi x) -------------------------------------------------------------------------------------------------- */

/* sin(pi x) and cos(pi x), exact for whole x: pi times the distance to the nearest integer, and the sign of its
   parity. */
#define PARITY(x) (rint(rint(x) / 2) * 2 == rint(x) ? (T)1 : (T)-1)
#define PI_REST(x) ((T)3.1415926535897932 * ((x) - rint(x)))
#define SIN_PI(x) (PARITY(x) * sin(PI_REST(x)))
#define COS_PI(x) (PARITY(x) * cos(PI_REST(x)))
/* (cos(pi x) - sinc(x)) / x. Near 0 the terms cancel; 3.28... is pi^2 / 3 and 9.86... is pi^2. */
#define SINC_SLOPE(x, y)                                                                                               \
    (fabs(x) < (T)0.25 ? (x) * (T)-3.2898681336964529 * SERIES_OF_REST((x) * (x) * (T)-9.8696044010893586)             \
                       : (COS_PI(x) - (y)) / (x))

/* ---- activations ------------------------------------------------------------------------------------------------ */

/* The slope of sigmoid, accurate in both tails. */
#define SIGMOID_SLOPE(x) (exp(-fabs(x)) / ((1 + exp(-fabs(x))) * (1 + exp(-fabs(x)))))
/* (1 + tanh u) / 2 = sigmoid(2u). These compute 2u and its derivative; 1.5957691... is 2 sqrt(2 / pi). */
#define TWO_U(x) ((x) * ((T)1.5957691216057308 + (T)0.071354816272600710 * (x) * (x)))
#define TWO_U_SLOPE(x) ((T)1.5957691216057308 + (T)0.21406444881780213 * (x) * (x))
/* x limited to -100 .. 100, beyond which the slope is 0 or 1 to the last digit, and x^2 would overflow. */
#define NEAR(x) ((x) > 100 ? 100 : (x) < -100 ? -100 : (x))
/* With e = exp(-|x|), tanh(log(1 + exp x)) is n / d and its derivative is s / d^2; neither overflows. */
#define MISH_E(x) exp(-fabs(x))
#define MISH_N(x) ((x) > 0 ? 1 + 2 * MISH_E(x) : MISH_E(x) * (2 + MISH_E(x)))
#define MISH_D(x) ((x) > 0 ? 1 + 2 * MISH_E(x) * (1 + MISH_E(x)) : 2 + MISH_E(x) * (2 + MISH_E(x)))
#define MISH_S(x) (4 * MISH_E(x) * (1 + MISH_E(x)) * ((x) > 0 ? MISH_E(x) : 1))
#define TANH_SOFTPLUS(x) (MISH_N(x) / MISH_D(x))
#define TANH_SOFTPLUS_SLOPE(x) (MISH_S(x) / (MISH_D(x) * MISH_D(x)))

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* For formulas. If either is NaN, the result is b. Unlike fmax, it does not prevent vectorisation. */
#define larger(a, b) ((a) > (b) ? (a) : (b))
#define LARGEST (sizeof(T) == sizeof(float) ? (T)FLT_MAX : (T)DBL_MAX)
#define OR_LARGEST(limit, sign) (limit != limit ? sign * LARGEST : limit)

#endif
