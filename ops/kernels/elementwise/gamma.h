/* gamma.h: the logarithm of the gamma function and its derivatives. */
#ifndef OPS_KERNELS_ELEMENTWISE_GAMMA_H
#define OPS_KERNELS_ELEMENTWISE_GAMMA_H

enum { AD__POLYGAMMA_MAX = 20 };

double ad__number_lgamma(double x);
/* (log gamma)'(x); at 0 an infinity of the sign opposite to x's, NaN at -1, -2, ... */
double ad__number_digamma(double x);
/* The n-th derivative of digamma, n in 0 .. AD__POLYGAMMA_MAX. At 0, -1, -2, ...: inf for odd n; -inf
   at 0 and NaN at the others for even n. */
double ad__number_polygamma(int n, double x);

#endif
