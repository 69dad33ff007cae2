/* half.h: 16-bit floating-point numbers, IEEE 754's binary16; private to nn. */
#ifndef NN_FILE_HALF_H
#define NN_FILE_HALF_H

#include <math.h>
#include <stdint.h>

/* 1 sign, 5 exponent and 10 fraction bits. */
static inline double nn__half(uint32_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double v = exponent == 0    ? ldexp(fraction, -24)
               : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                : ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 & 1 ? -v : v;
}

#endif
