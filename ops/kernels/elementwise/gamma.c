/* gamma.c: lgamma, digamma and polygamma of one number, by recurrences and asymptotic series. */
#include "ops/kernels/elementwise/gamma.h"

#include <math.h>
#include <stdbool.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof(*(a))))

/* POSIX, not C11. lgamma is not thread-safe: it sets the global variable signgam. */
double lgamma_r(double x, int *sign);

double ad__number_lgamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static const double pi = 3.141592653589793238;

/* The Bernoulli numbers B_2, B_4, ... */
static const double bernoulli[] = { 1.0 / 6,  -1.0 / 30,      1.0 / 42, -1.0 / 30,      5.0 / 66,
                                    -691.0 / 2730, 7.0 / 6, -3617.0 / 510, 43867.0 / 798 };

static double cot_pi(double x) { return 1 / tan(pi * (x - rint(x))); }

/* ---- digamma ------------------------------------------------------------------------------------------ */

/* The Taylor series about the positive zero, since a sum would cancel there. The coefficients psi_k(zero) / k! are from
   mpmath; the zero is given as two doubles. For |x - zero| < 0.2 the truncation error is below 1e-18 of the sum. */
static const double zero_high = 1.4616321449683622, zero_low = 9.549995429965697e-17;
static const double taylor[] = {
    0.96767224544762117043,   -0.44276316898359210609,  0.25849976095565101062,   -0.1639427054424065275,
    0.10782405069126236576,   -0.072199561256454710926, 0.048804288164143107225,  -0.033161126474847359292,
    0.02259764823221810466,   -0.015424765904948959139, 0.010538791616612175388,  -0.007204534386356868241,
    0.0049267813957298534464, -0.0033698016554393280828, 0.0023051263267349278369, -0.0015769367714301972593,
    0.0010788252019162965807, -0.00073807093899600512957, 0.00050495326583460203518, -0.00034546802510630769956,
};

static double near_zero(double x) {
    double d = (x - zero_high) - zero_low, sum = 0;
    for (int k = COUNT(taylor) - 1; k >= 0; k--) sum = sum * d + taylor[k];
    return sum * d;
}

/* The recurrence psi(x) = psi(x + 1) - 1/x up to x >= 10, then log x - 1/2x - sum of B_2k / (2k x^2k):
   Abramowitz and Stegun 6.3.5, 6.3.18. */
static double digamma_positive(double x) {
    if (fabs(x - zero_high) < 0.2) return near_zero(x);
    double below = 0, series = 0;
    for (; x < 10; x++) below += 1 / x;
    double square = 1 / (x * x);
    for (int k = COUNT(bernoulli) - 1; k >= 0; k--) series = (series + bernoulli[k] / (2 * k + 2)) * square;
    return log(x) - 0.5 / x - series - below;
}

/* For x < 0 by reflection, psi(x) = psi(1 - x) - pi cot(pi x): 6.3.7. */
double ad__number_digamma(double x) {
    if (x == 0) return copysign(INFINITY, -x);
    if (x > 0) return digamma_positive(x);
    if (x != x || x == floor(x)) return NAN;
    return digamma_positive(1 - x) - pi * cot_pi(x);
}

/* ---- its derivatives ------------------------------------------------------------------------------------- */

static double factorial(int n) {
    double f = 1;
    for (int i = 2; i <= n; i++) f *= i;
    return f;
}

/* |psi_n(x)|: the sum of n! / (x+k)^(n+1) up to x >= 10 + 2n, then
   (n-1)!/x^n + n!/2x^(n+1) + sum of B_2k (2k+n-1)! / ((2k)! x^(2k+n)): 6.4.6, 6.4.11. */
static double polygamma_positive(int n, double x) {
    double below = 0, series = 0, term = 1;
    for (; x < 10 + 2 * n; x++) below += pow(x, -n - 1);
    for (int k = 1; k <= COUNT(bernoulli); k++) {
        term *= (2 * k + n - 2) * (double)(2 * k + n - 1) / ((2 * k - 1) * (double)(2 * k)) / (x * x);
        series += bernoulli[k - 1] * term;
    }
    return factorial(n - 1) * (pow(x, -n) * (1 + n / (2 * x) + series) + n * below);
}

/* The n-th derivative of cot(pi x), divided by pi^n. It is a polynomial in c = cot(pi x), since c' = -pi (1 + c^2). */
static double cot_derivative(int n, double c) {
    double p[AD__POLYGAMMA_MAX + 3] = { 0, 1 }, q[AD__POLYGAMMA_MAX + 3] = { 0 };
    for (int step = 0; step < n; step++) {
        for (int i = 0; i <= step + 1; i++) q[i] = (i + 1) * p[i + 1];
        for (int i = 0; i <= step + 2; i++) p[i] = -q[i] - (i >= 2 ? q[i - 2] : 0);
    }
    double sum = 0;
    for (int i = n + 1; i >= 0; i--) sum = sum * c + p[i];
    return sum;
}

/* For x < 0 by reflection, psi_n(x) = (-1)^n psi_n(1 - x) - pi (d/dx)^n cot(pi x): 6.4.7. */
double ad__number_polygamma(int n, double x) {
    bool odd = n % 2 == 1;
    if (n == 0) return ad__number_digamma(x);
    if (x == 0) return odd ? INFINITY : -INFINITY;
    if (x == INFINITY) return odd ? 0 : -0.0;
    if (x > 0) return odd ? polygamma_positive(n, x) : -polygamma_positive(n, x);
    if (x != x || isinf(x)) return NAN;
    if (x == floor(x)) return odd ? INFINITY : NAN;
    return -polygamma_positive(n, 1 - x) - pow(pi, n + 1) * cot_derivative(n, cot_pi(x));
}
