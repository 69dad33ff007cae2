/* cosine.c: the cosine of the angle between two rows, and its gradient. */
#include "ops/kernels/loss/cosine.h"

#include <math.h>

enum { LANES = 8 };

/* Division by a length, as a product with a power of 2 and a number near 1: neither these nor the quotient leave the
   range of a double, however small or large the length is. */
typedef struct {
    double power, rest;
} divisor;

static divisor divisor_of(double length) {
    enum { MOST = 1000 };
    int e = 0;
    frexp(length, &e);
    if (!isfinite(length)) e = 0;
    double power = ldexp(1, e > MOST ? -MOST : e < -MOST ? MOST : -e);
    return (divisor){ power, 1 / (length * power) };
}

#define KERNELS "ops/kernels/loss/cosine.inc"
#include "ops/kernels/base/each_dtype.h"
