/* bessel.c: Bessel functions of whole order and Airy's function, of one number: series of positive terms, and integrals
   by the trapezoid rule, which converges fast for them (Trefethen and Weideman 2014). DLMF: https://dlmf.nist.gov. */
#include "ops/kernels/elementwise/bessel.h"

#include <math.h>

/* POSIX, not C11. */
double jn(int n, double x);
double yn(int n, double x);

static const double pi = 3.141592653589793238, euler = 0.57721566490153286061;

double ad__number_bessel_j(int n, double x) { return isinf(x) ? 0 : jn(n, x); }
double ad__number_bessel_y(int n, double x) {
    return x < 0 ? NAN : x == 0 ? -INFINITY : isinf(x) ? 0 : yn(n, x);
}

/* ---- I ----------------------------------------------------------------------------------------------------------- */

/* The sum of (x/2)^(2k+n) / (k! (k+n)!): DLMF 10.25.2. */
static double i_series(int n, double x) {
    double half = x / 2, term = 1;
    for (int k = 1; k <= n; k++) term *= half / k;
    double sum = term;
    for (int k = 1; term > 1e-18 * sum; k++) sum += term *= half * half / (k * (double)(k + n));
    return sum;
}

/* I exp(-x) = 1/pi times the integral of exp(-2 x sin(u/2)^2) cos(n u) over u in 0 .. pi, for 2 <= x <= 24 and small n:
   DLMF 10.32.3. The series adds up the rounding errors of more factors. */
static double i_integral(int n, double x) {
    enum { PARTS = 24 };
    double sum = 0.5 + 0.5 * exp(-2 * x) * (n % 2 == 1 ? -1 : 1);
    for (int i = 1; i < PARTS; i++) {
        double u = i * pi / PARTS, s = sin(u / 2);
        sum += exp(-2 * x * s * s) * cos(n * u);
    }
    return sum / PARTS;
}

/* I exp(-x) for an x that is large beside the order: DLMF 10.40.1. */
static double i_asymptotic(int n, double x) {
    double sum = 1, term = 1;
    for (int k = 1; k < 40 && fabs(term) > 1e-18; k++) {
        double odd = 2 * k - 1;
        sum += term *= -(4.0 * n * n - odd * odd) / (8 * k * x);
    }
    return sum / sqrt(2 * pi * x);
}

double ad__number_bessel_i(int n, bool scaled, double x) {
    double size = fabs(x), sign = x < 0 && n % 2 == 1 ? -1 : 1;
    if (x != x) return x;
    if (isinf(x)) return scaled ? 0 : sign * INFINITY;
    if (size < 2 || (n > 2 && size < 22 + 0.5 * n * n)) return sign * i_series(n, size) * (scaled ? exp(-size) : 1);
    double y = sign * (size < 24 ? i_integral(n, size) : i_asymptotic(n, size));
    double root = exp(size / 2); /* exp(size) may overflow where the product does not */
    return scaled ? y : root * y * root;
}

/* ---- K ----------------------------------------------------------------------------------------------------------- */

/* K of order 0 for x <= 1, by DLMF 10.31.2; that of order 1 from the Wronskian, 10.28.2; then the recurrence. */
static double k_small(int n, double x) {
    double square = x * x / 4, term = 1, harmonic = 0, sum = 0;
    for (int k = 1; k < 12; k++) {
        term *= square / (k * k), harmonic += 1.0 / k;
        sum += term * harmonic;
    }
    double below = sum - (log(x / 2) + euler) * i_series(0, x);
    double here = (1 / x - i_series(1, x) * below) / i_series(0, x);
    if (n == 0) return below;
    for (int k = 1; k < n; k++) {
        double next = below + 2 * k / x * here;
        below = here, here = next;
    }
    return here;
}

/* K exp(x) = the integral over t >= 0 of exp(-2 x sinh(t/2)^2) cosh(order t): DLMF 10.32.9. */
static double k_integral(double order, double x) {
    double step = fmin(0.125, 0.6 / sqrt(x)), sum = 0.5, term = 1;
    for (int i = 1; term > 1e-19 * sum; i++) {
        double t = i * step, s = sinh(t / 2);
        sum += term = exp(-2 * x * s * s) * cosh(order * t);
    }
    return sum * step;
}

double ad__number_bessel_k(int n, bool scaled, double x) {
    if (!(x >= 0)) return NAN;
    if (x == 0) return INFINITY;
    if (isinf(x)) return 0;
    if (x <= 1) return k_small(n, x) * (scaled ? exp(x) : 1);
    return k_integral(n, x) * (scaled ? 1 : exp(-x));
}

/* ---- Airy -------------------------------------------------------------------------------------------------------- */

/* Maclaurin's series, for |x| <= 1: DLMF 9.4.1, 9.4.2. */
static double airy_series(bool slope, double x) {
    const double at_0 = 0.355028053887817239, slope_at_0 = -0.258819403792806798;
    double cube = x * x * x, f = 1, g = x, df = x * x / 2, dg = 1, sum = 0;
    for (int k = 0; k < 8; k++) {
        sum += slope ? at_0 * df + slope_at_0 * dg : at_0 * f + slope_at_0 * g;
        f *= cube / ((3 * k + 2) * (3 * k + 3)), g *= cube / ((3 * k + 3) * (3 * k + 4));
        df *= cube / ((3 * k + 3) * (3 * k + 5)), dg *= cube / ((3 * k + 1) * (3 * k + 3));
    }
    return sum;
}

/* K of that order at i z, times exp(i z), z > 0: DLMF 10.32.9 along the path of steepest descent, t = u - i gd(u), on
   which cosh(t) = 1 - i sinh(u) tanh(u). */
static void k_imaginary(double order, double z, double *re, double *im) {
    double step = fmin(0.1, 0.45 / sqrt(z)), size = 1;
    *re = 0.5, *im = -0.5;
    for (int i = 1; size > 1e-19; i++) {
        double u = i * step, turn = order * atan(sinh(u)), speed = 1 / cosh(u);
        size = exp(-z * sinh(u) * tanh(u));
        double even = cosh(order * u) * cos(turn), odd = -sinh(order * u) * sin(turn);
        *re += size * (even + odd * speed), *im += size * (odd - even * speed);
    }
    *re *= step, *im *= step;
}

/* 2/3 x^(3/2) as the sum of two doubles, since its exponential and its sine follow. */
static double exponent(double x, double *low) {
    double root = sqrt(x), cube = x * root, z = 2 * cube / 3;
    double rest = fma(x, root, -cube) + x * fma(-root, root, x) / (2 * root);
    *low = (fma(-3, z, 2 * cube) + 2 * rest) / 3;
    return z;
}

/* By K of orders 1/3 and 2/3: DLMF 9.6.2 and 9.6.3, and below 0 also 9.2.14. */
double ad__number_airy(bool slope, double x) {
    if (x != x) return x;
    if (isinf(x)) return slope && x < 0 ? NAN : 0;
    if (fabs(x) <= 1) return airy_series(slope, x);
    if (fabs(x) > 1e100) return x > 0 ? 0 : NAN; /* the sine has no digit of x left long before */
    double size = fabs(x), low, z = exponent(size, &low), order = slope ? 2.0 / 3 : 1.0 / 3;
    double scale = slope ? size / (pi * sqrt(3)) : sqrt(size / 3) / pi;
    if (x > 0) return (slope ? -scale : scale) * k_integral(order, z) * exp(-z) * (1 - low);
    double re, im, s = sin(z) + low * cos(z), c = cos(z) - low * sin(z);
    k_imaginary(order, z, &re, &im);
    return 2 * scale * (slope ? -c * re - s * im : s * re - c * im);
}
