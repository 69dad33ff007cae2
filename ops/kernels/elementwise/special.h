/* special.h: erfcx, ndtri, zeta and the incomplete gamma functions, of one number; private to the library. */
#ifndef OPS_KERNELS_ELEMENTWISE_SPECIAL_H
#define OPS_KERNELS_ELEMENTWISE_SPECIAL_H

#include <stdbool.h>

enum { AD__SPECIAL_ORDERS = 32 }; /* the largest order of ad_special */

/* exp(x^2) times the n-th repeated integral of erfc: erfcx for n = 0. Its slope is -2 (n+1) times that of n + 1. */
double ad__number_erfcx(int n, double x);
/* The x at which the distribution function of the standard normal distribution is p. NaN unless 0 <= p <= 1. */
double ad__number_ndtri(double p);
/* Hurwitz's zeta function: the sum of (q + k)^-s. NaN for s < 1; infinite for s = 1 and for q = 0, -1, -2, .. */
double ad__number_zeta(double s, double q);
/* The regularised incomplete gamma function, the lower one or the upper one. NaN unless a >= 0 and x >= 0. */
double ad__number_gammainc(bool upper, double a, double x);
/* Its slope in x: x^(a-1) exp(-x) / gamma(a). */
double ad__number_gamma_density(double a, double x);

#endif
