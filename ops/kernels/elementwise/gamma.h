/* gamma.h: lgamma, digamma and polygamma of one number. */
#ifndef OPS_KERNELS_ELEMENTWISE_GAMMA_H
#define OPS_KERNELS_ELEMENTWISE_GAMMA_H

enum { AD__POLYGAMMA_MAX = 20 };

double ad__number_lgamma(double x);
/* (log gamma)'(x). At 0 it is infinite, with the sign opposite to that of x; at -1, -2, ... it is NaN. */
double ad__number_digamma(double x);
/* The n-th derivative of digamma, n in 0 .. AD__POLYGAMMA_MAX. For odd n it is inf at 0, -1, -2, ...; for even n it is
   -inf at 0 and NaN at -1, -2, ... */
double ad__number_polygamma(int n, double x);

#endif
