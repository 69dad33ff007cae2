/* loggamma.h: how the logarithm of a gamma-distributed number depends on its concentration; private to the library. */
#ifndef OPS_KERNELS_ELEMENTWISE_LOGGAMMA_H
#define OPS_KERNELS_ELEMENTWISE_LOGGAMMA_H

enum { AD__LOGGAMMA_MAX = 3 };

/* x is gamma-distributed with concentration a > 0 and rate 1, and l = log x. The slope dl/da of l at a fixed value of
   the distribution function is the function E(a, l) = -(dP/da) / (x p), where P is the distribution function and p the
   density (Figurnov et al. 2018). Returns its derivative of order n in a and m in l; n + m <= AD__LOGGAMMA_MAX. NaN
   unless a is finite and above 0. */
double ad__number_loggamma_slope(double a, double l, int n, int m);

#endif
