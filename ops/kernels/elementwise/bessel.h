/* bessel.h: Bessel functions of whole order and Airy's function, of one number; private to the library. */
#ifndef OPS_KERNELS_ELEMENTWISE_BESSEL_H
#define OPS_KERNELS_ELEMENTWISE_BESSEL_H

#include <stdbool.h>

/* The order n is 0 or more. Y and K are infinite at 0, and NaN below. */
double ad__number_bessel_j(int n, double x);
double ad__number_bessel_y(int n, double x);
/* Modified functions; scaled: I times exp(-|x|), and K times exp(x), which do not overflow or underflow. */
double ad__number_bessel_i(int n, bool scaled, double x);
double ad__number_bessel_k(int n, bool scaled, double x);
/* Ai(x), or its slope. */
double ad__number_airy(bool slope, double x);

#endif
