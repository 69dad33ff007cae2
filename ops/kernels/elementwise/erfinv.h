/* erfinv.h: the inverse of the error function of one number; private to the library. */
#ifndef OPS_KERNELS_ELEMENTWISE_ERFINV_H
#define OPS_KERNELS_ELEMENTWISE_ERFINV_H

/* y with erf(y) = x. Infinite at -1 and 1, NaN beyond them. */
double ad__number_erfinv(double x);

#endif
