/* spread.h: deterministic test values for samples and checks; private to the library. */
#ifndef AUTODIFF_BASE_SPREAD_H
#define AUTODIFF_BASE_SPREAD_H

#include <math.h>
#include <stdint.h>

/* Element i of operand number `operand`: values evenly distributed over (0, 1), and different for each operand. They
   are the fractional parts of multiples of the golden ratio, a low-discrepancy sequence. */
static inline double ad__spread_number(int64_t i, int operand) {
    double v = 0.5 + 0.6180339887498949 * (double)(i + 1) + 0.2718281828 * operand;
    return v - floor(v);
}

#endif
