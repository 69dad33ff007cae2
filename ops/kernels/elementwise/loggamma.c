/* loggamma.c: how the logarithm of a gamma-distributed number depends on its concentration: a series of positive terms
   below the median, and integrals of positive functions elsewhere, so that nothing cancels.

   With c = l - psi(a), where psi is digamma, and x = exp(l):
       E = sum over k >= 0 of x^k / (a (a+1) .. (a+k)) (psi(a+k+1) - l)
         = integral over w >= 0 of exp(-h(w)) (w + s c), h(w) = x (exp(s w) - 1) - s a w
   with s = 1, from the integral of the density above x, or s = -1, from that below x. */
#include "ops/kernels/elementwise/loggamma.h"

#include <math.h>
#include <stdbool.h>

#include "ops/kernels/elementwise/gamma.h"

enum { ORDERS = AD__LOGGAMMA_MAX + 1, NODES = 16 };

static const double binomial[ORDERS][ORDERS] = { { 1 }, { 1, 1 }, { 1, 2, 1 }, { 1, 3, 3, 1 } };
static const double factorial[ORDERS] = { 1, 1, 2, 6 };

/* ---- the series -------------------------------------------------------------------------------------------------- */

/* jet = the first n + 1 Taylor coefficients of 1 / (z + d) in d. */
static void reciprocal(double z, int n, double *jet) {
    jet[0] = 1 / z;
    for (int i = 1; i <= n; i++) jet[i] = -jet[i - 1] / z;
}

/* t *= u, as Taylor polynomials of n + 1 coefficients. */
static void multiply(int n, const double *u, double *t) {
    for (int i = n; i >= 0; i--) {
        double sum = 0;
        for (int j = 0; j <= i; j++) sum += t[j] * u[i - j];
        t[i] = sum;
    }
}

/* The derivative of order m in l of x^k (bracket - l), over x^k. */
static double power_slope(double bracket, double k, int m, bool constant) {
    double power = m > 0 ? pow(k, m - 1) : 1;
    return m > 0 ? power * ((k > 0 ? k * bracket : 0) - (constant ? m : 0)) : bracket;
}

/* The coefficients of 1 / (a+d) and of psi(a+d+1) - l go from term to term. */
static double by_series(double a, double l, int n, int m) {
    double x = exp(l), u[ORDERS], t[ORDERS], bracket[ORDERS], sum = 0, size = 0;
    reciprocal(a, n, t);
    for (int i = 0; i <= n; i++) bracket[i] = ad__number_polygamma(i, a + 1) / factorial[i];
    bracket[0] -= l;
    for (int k = 0;; k++) {
        double term = 0;
        for (int i = 0; i <= n; i++) term += t[i] * power_slope(bracket[n - i], k, m, i == n);
        sum += term, size += fabs(term);
        reciprocal(a + k + 1, n, u);
        for (int i = 0; i <= n; i++) bracket[i] += u[i], t[i] *= x;
        multiply(n, u, t);
        if (!(t[0] > 0) || (k > fmax(x - a, 0) + 3 && fabs(term) <= 1e-18 * size)) return sum * factorial[n];
    }
}

/* ---- the integrals ----------------------------------------------------------------------------------------------- */

/* Half of the nodes and weights of Gauss and Legendre's rule of 32 points in -1..1. The others are their mirror
   images. */
static const double rule[NODES][2] = {
    { 0.0483076656877383162, 0.0965400885147278006 }, { 0.144471961582796493, 0.0956387200792748594 },
    { 0.239287362252137075, 0.0938443990808045656 },  { 0.33186860228212765, 0.0911738786957638847 },
    { 0.421351276130635345, 0.0876520930044038111 },  { 0.50689990893222939, 0.0833119242269467552 },
    { 0.587715757240762329, 0.0781938957870703065 },  { 0.663044266930215201, 0.0723457941088485062 },
    { 0.73218211874028968, 0.0658222227763618468 },   { 0.794483795967942407, 0.0586840934785355471 },
    { 0.84936761373256997, 0.0509980592623761762 },   { 0.896321155766052124, 0.0428358980222266807 },
    { 0.934906075937739689, 0.0342738629130214331 },  { 0.964762255587506431, 0.0253920653092620595 },
    { 0.985611511545268335, 0.0162743947309056706 },  { 0.997263861849481564, 0.0070186100094700966 },
};

/* exp(z) - 1 - z, which cancels near 0. */
static double exp_rest(double z) {
    if (fabs(z) > 0.3) return expm1(z) - z;
    double sum = 1;
    for (int k = 14; k >= 3; k--) sum = 1 + sum * z / k;
    return sum * z * z / 2;
}

typedef struct {
    double a, x, s;
    double above;     /* x - a, which cancels */
    double q[ORDERS]; /* s c, and its derivatives in a */
} integral;

static double exponent(const integral *p, double w) { return p->above * p->s * w + p->x * exp_rest(p->s * w); }

/* Where the exponent is 40: Newton's method, from the root for a square in place of exp_rest. */
static double upper_end(const integral *p) {
    double rise = fabs(p->above), w = 80 / (rise + sqrt(rise * rise + 80 * p->x));
    if (p->s > 0) w = fmin(w, log1p(40 / rise));
    for (int i = 0; i < 4; i++) {
        double slope = p->above * p->s + p->x * p->s * expm1(p->s * w);
        w += (40 - exponent(p, w)) / slope;
    }
    return w;
}

/* The derivative of order m in l of exp(-h), over exp(-h); u is that of h. */
static double exp_slope(double u, int m) {
    return m == 0 ? 1 : m == 1 ? -u : m == 2 ? u * (u - 1) : -u * (u * (u - 3) + 1);
}

/* The derivative of order n in a and m in l of exp(-h(w)) (w + s c). */
static double integrand(const integral *p, double w, int n, int m) {
    double u = m > 0 ? p->x * expm1(p->s * w) : 0, sum = 0, power = 1;
    for (int k = n;; k--, power *= p->s * w) {
        sum += binomial[n][k] * power * (k == 0 ? w + p->q[0] : p->q[k]);
        if (k == 0) break;
    }
    sum *= exp_slope(u, m);
    if (m > 0) sum += m * exp_slope(u, m - 1) * p->s * power;
    return exp(-exponent(p, w)) * sum;
}

/* log x - psi(a), which cancels for large a. */
static double log_less_psi(double a, double l, double above) {
    if (a < 30) return l - ad__number_digamma(a);
    double r = 1 / a, square = r * r, ratio = fabs(above) < a / 2 ? log1p(above / a) : l - log(a);
    return ratio + r / 2 + square * (1.0 / 12 - square * (1.0 / 120 - square * (1.0 / 252 - square / 240)));
}

static double by_integral(double a, double l, int n, int m, double s) {
    integral p = { .a = a, .x = exp(l), .s = s };
    p.above = p.x - a;
    p.q[0] = s * log_less_psi(a, l, p.above);
    for (int k = 1; k <= n; k++) p.q[k] = -s * ad__number_polygamma(k, a);
    double half = upper_end(&p) / 2, sum = 0;
    for (int i = 0; i < NODES; i++) {
        double low = integrand(&p, half * (1 - rule[i][0]), n, m), high = integrand(&p, half * (1 + rule[i][0]), n, m);
        sum += rule[i][1] * (low + high);
    }
    return sum * half;
}

double ad__number_loggamma_slope(double a, double l, int n, int m) {
    if (!(a > 0 && a < (double)INFINITY) || l != l) return NAN;
    if (exp(l) == (double)INFINITY) return 0;
    if (l > ad__number_digamma(a + 1)) return by_integral(a, l, n, m, 1);
    return a < 30 || exp(l) < a / 2 ? by_series(a, l, n, m) : by_integral(a, l, n, m, -1);
}
