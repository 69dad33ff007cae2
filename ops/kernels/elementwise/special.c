/* special.c: erfcx, ndtri, zeta and the incomplete gamma functions, of one number. DLMF: https://dlmf.nist.gov. */
#include "ops/kernels/elementwise/special.h"

#include <float.h>
#include <math.h>

#include "ops/kernels/elementwise/erfinv.h"
#include "ops/kernels/elementwise/gamma.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

static const double pi = 3.141592653589793238;

/* ---- erfcx ------------------------------------------------------------------------------------------------------- */

/* With E(n) the n-th function, E(-1) = 2 / sqrt(pi) and E(n-2) = 2 n E(n) + 2 x E(n-1): DLMF 7.18.7. Ratios of
   neighbours from above, for x >= 1: nothing cancels. */
static double from_ratios(int n, double x) {
    double first = n + 40 + 200 / (x * x), ratio = 0, y = 2 / sqrt(pi);
    double ratios[AD__SPECIAL_ORDERS + 2]; /* a slope has the next order */
    for (int k = (int)first; k >= 0; k--) {
        ratio = 1 / (2 * x + 2 * (k + 1) * ratio);
        if (k <= n) ratios[k] = ratio;
    }
    for (int k = 0; k <= n; k++) y *= ratios[k];
    return y;
}

double ad__number_erfcx(int n, double x) {
    if (x != x || x == -INFINITY) return x == x ? INFINITY : x;
    if (x >= (n == 0 ? 5 : 1)) return from_ratios(n, x);
    double square = x * x, low = fma(x, x, -square); /* the rounding error of the square counts in the exponent */
    double before = 2 / sqrt(pi), y = exp(square) * erfc(x) * (1 + (isfinite(low) ? low : 0));
    for (int k = 1; k <= n; k++) {
        double next = (before / 2 - x * y) / k;
        before = y, y = next;
    }
    return y;
}

/* ---- ndtri ------------------------------------------------------------------------------------------------------- */

/* The y with erfc(y) = q, for q <= 0.5: Newton's method for the logarithm of erfc. */
static double erfc_inverse(double q) {
    double y = sqrt(-log(q)), l = log(q);
    for (int i = 0; i < 6; i++) {
        double e = ad__number_erfcx(0, y);
        y += sqrt(pi) / 2 * e * (log(e) - y * y - l);
    }
    return y;
}

double ad__number_ndtri(double p) {
    if (!(p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return p == 0 ? -INFINITY : INFINITY;
    if (p < 0.25) return -sqrt(2) * erfc_inverse(2 * p);
    return p > 0.75 ? sqrt(2) * erfc_inverse(2 * (1 - p)) : sqrt(2) * ad__number_erfinv(2 * p - 1);
}

/* ---- zeta -------------------------------------------------------------------------------------------------------- */

/* For q > 0, by Euler and Maclaurin's formula, DLMF 25.11.28, from q + k >= 10 + s on. The coefficients are
   B(2j) / (2j)!. */
static double zeta_positive(double s, double q) {
    static const double coefficient[] = { 1.0 / 12,      -1.0 / 720,        1.0 / 30240,          -1.0 / 1209600,
                                          1.0 / 47900160, -691.0 / 1307674368000, 1.0 / 74724249600.0, 0 };
    double sum = 0, power = pow(q, -s);
    for (; q < 10 + s && power > 1e-17 * sum; power = pow(q, -s)) sum += power, q++;
    if (q < 10 + s) return sum;
    double rising = s / q, series = 0.5;
    for (int j = 0; j < COUNT(coefficient) - 1; j++) {
        series += coefficient[j] * rising;
        rising *= (s + 2 * j + 1) * (s + 2 * j + 2) / (q * q);
    }
    return sum + power * (q / (s - 1) + series);
}

/* The negative ones of q, q + 1, .. are as far apart as those of a positive sequence, which ends. */
double ad__number_zeta(double s, double q) {
    if (s != s || q != q || s < 1) return NAN;
    if (s == 1) return INFINITY;
    if (q > 0) return isinf(q) ? 0 : zeta_positive(s, q);
    if (q == floor(q)) return INFINITY;
    if (s != floor(s)) return NAN;
    double count = ceil(-q), least = -(q + (count - 1));
    double below = zeta_positive(s, least) - (count + least < 1e9 ? zeta_positive(s, count + least) : 0);
    return zeta_positive(s, q + count) + (fmod(s, 2) == 0 ? below : -below);
}

/* ---- the incomplete gamma functions ------------------------------------------------------------------------------ */

enum { LARGE = 100000 }; /* from this a on by an expansion for large a */

/* log1p(u) - u, which cancels near 0. */
static double log1p_rest(double u) {
    if (fabs(u) > 0.1) return log1p(u) - u;
    double sum = 0;
    for (int k = 18; k >= 2; k--) sum = sum * u + (k % 2 ? 1.0 : -1.0) / k;
    return sum * u * u;
}

/* log gamma(a) less its first terms, (a - 1/2) log a - a + log(2 pi) / 2: DLMF 5.11.1. */
static double stirling_rest(double a) {
    double square = 1 / (a * a);
    return (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260 - square * (1.0 / 1680 - square / 1188)))) / a;
}

/* x^a exp(-x) / gamma(a + 1) */
static double prefactor(double a, double x) {
    if (a < 15) return exp(a * log(x) - x - ad__number_lgamma(a + 1));
    double u = (x - a) / a, rest = fabs(u) < 0.1 ? log1p_rest(u) : log(x / a) - u;
    return exp(a * rest - stirling_rest(a)) / sqrt(2 * pi * a);
}

/* The lower function, for x < a + 1: DLMF 8.7.1. */
static double lower_series(double a, double x) {
    double term = 1, sum = 1;
    for (double k = 1; term > 1e-17 * sum; k++) sum += term *= x / (a + k);
    return prefactor(a, x) * sum;
}

/* The upper function, by its continued fraction in Lentz's form: DLMF 8.9.2. */
static double upper_fraction(double a, double x) {
    double b = x + 1 - a, c = 1e300, d = 1 / b, y = d;
    for (double k = 1; k < LARGE; k++) {
        double numerator = k * (a - k);
        b += 2;
        d = 1 / (numerator * d + b), c = b + numerator / c;
        y *= c * d;
        if (fabs(c * d - 1) < 1e-16) break;
    }
    return prefactor(a, x) * a * y;
}

/* The same for small x and a < 1, where it is 1 less a number near 1: 1 - P = -expm1(log P), with
   P = x^a / gamma(a+1) (1 + a sum of (-x)^k / (k! (a+k))). */
static double upper_small(double a, double x) {
    double term = 1, sum = 0;
    for (int k = 1; k < 40; k++) sum += (term *= -x / k) / (a + k);
    double log_first = a * log(x) - ad__number_lgamma(a + 1);
    return -expm1(log_first + log1p(a * sum));
}

/* For large a: Temme's uniform expansion, DLMF 8.12.3, whose terms are power series in eta. They matter where |eta| is
   small; elsewhere both functions are 0 or 1. */
static double for_large(bool upper, double a, double x) {
    static const double c0[] = { -1.0 / 3, 1.0 / 12, -2.0 / 135, 1.0 / 864, 1.0 / 2835, -139.0 / 777600, 1.0 / 25515 };
    double u = (x - a) / a, sign = upper ? 1 : -1, sum = 0;
    double eta = copysign(sqrt(-2 * log1p_rest(u)), u);
    if (!(fabs(eta) < 0.15)) return (eta > 0) == upper ? 0 : 1;
    for (int k = COUNT(c0) - 1; k >= 0; k--) sum = sum * eta + c0[k];
    sum += (-1.0 / 540 - eta / 288) / a;
    double rest = exp(-0.5 * a * eta * eta) / sqrt(2 * pi * a) * sum;
    return 0.5 * erfc(sign * eta * sqrt(a / 2)) + sign * rest;
}

double ad__number_gammainc(bool upper, double a, double x) {
    if (!(a >= 0 && x >= 0) || (isinf(a) && isinf(x)) || (a == 0 && x == 0)) return NAN;
    if (a == 0 || isinf(x)) return upper ? 0 : 1;
    if (x == 0 || isinf(a)) return upper ? 1 : 0;
    if (a > LARGE) return for_large(upper, a, x);
    if (x < 1.5 && a < 1 && upper) return upper_small(a, x);
    if (x < (a < 1 ? 1.5 : a + 1)) return upper ? 1 - lower_series(a, x) : lower_series(a, x);
    return upper ? upper_fraction(a, x) : 1 - upper_fraction(a, x);
}

double ad__number_gamma_density(double a, double x) {
    if (!(a >= 0 && x >= 0)) return NAN;
    if (a == 0 || isinf(x) || isinf(a)) return 0;
    if (x == 0) return a < 1 ? INFINITY : a == 1 ? 1 : 0;
    return prefactor(a, x) * (a / x);
}
