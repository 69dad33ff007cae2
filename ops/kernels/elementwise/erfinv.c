/* erfinv.c: the inverse of the error function: a rational approximation, then Newton's method. */
#include "ops/kernels/elementwise/erfinv.h"

#include <math.h>

/* 2 / sqrt(pi) exp(-y^2), the slope of erf */
static double slope(double y) { return 1.1283791670955126 * exp(-y * y); }

/* For 0 <= x <= 0.7. The approximations have relative errors below 1e-3; each step squares the error. */
static double central(double x) {
    double z = x * x;
    double above = ((-0.140543331 * z + 0.914624893) * z - 1.645349621) * z + 0.886226899;
    double below = (((0.012229801 * z - 0.329097515) * z + 1.442710462) * z - 2.118377725) * z + 1;
    double y = x * above / below;
    for (int i = 0; i < 2; i++) y -= (erf(y) - x) / slope(y);
    return y;
}

/* For 0.7 < x < 1. erfc(y) = 1 - x keeps the digits that erf(y) = x loses. */
static double tail(double x) {
    double z = sqrt(-log((1 - x) / 2));
    double above = ((1.641345311 * z + 3.429567803) * z - 1.624906493) * z - 1.970840454;
    double y = above / ((1.637067800 * z + 3.543889200) * z + 1);
    for (int i = 0; i < 3; i++) y += (erfc(y) - (1 - x)) / slope(y);
    return y;
}

double ad__number_erfinv(double x) {
    double size = fabs(x);
    if (!(size <= 1)) return NAN;
    if (size == 1) return copysign(INFINITY, x);
    return copysign(size <= 0.7 ? central(size) : tail(size), x);
}
