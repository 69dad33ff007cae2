/* spread.h: numbers for samples and checks to work on; private to the library. */
#ifndef AUTODIFF_BASE_SPREAD_H
#define AUTODIFF_BASE_SPREAD_H

#include <math.h>
#include <stdint.h>

/* Number i for an operand: spread evenly over (0, 1), and different from operand to operand. These are multiples of
   the golden ratio, without their whole part. */
static inline double ad__spread_number(int64_t i, int operand) {
    double v = 0.5 + 0.6180339887498949 * (double)(i + 1) + 0.2718281828 * operand;
    return v - floor(v);
}

#endif
