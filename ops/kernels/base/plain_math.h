/* plain_math.h: exp and tanh of a float without branches and calls, so that a compiler makes vectors of loops over
   them; for machines without a vector math library. Errors are at most 2 ulp. tests/test_kernels.c compares them with
   the functions of math.h. */
#ifndef OPS_KERNELS_BASE_PLAIN_MATH_H
#define OPS_KERNELS_BASE_PLAIN_MATH_H

#include <stdint.h>
#include <string.h>

static inline float ad__float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t ad__bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* exp(x) = 2^n exp(r), |r| <= log(2) / 2. Adding 1.5 2^23 rounds to a whole number, which the last bits of the sum
   have. 2^n is multiplied in two parts, since the result may be below 2^-126. The polynomial is of Cephes. */
static inline float ad__plain_expf(float x) {
    const float round = 0x1.8p23f, most = 89, least = -104;
    float in = x < least ? least : x > most ? most : x; /* a NaN stays one */
    float shifted = in * 1.44269504088896341f + round, n = shifted - round;
    float r = in - n * 0.693359375f - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    int32_t power = (int32_t)(ad__bits_of_float(shifted) - ad__bits_of_float(round)), half = power >> 1;
    return p * ad__float_of_bits((uint32_t)(half + 127) << 23) *
           ad__float_of_bits((uint32_t)(power - half + 127) << 23);
}

/* Near 0 a polynomial of Cephes, elsewhere by exp. Both are computed, and one is chosen. */
static inline float ad__plain_tanhf(float x) {
    float size = ad__float_of_bits(ad__bits_of_float(x) & 0x7fffffffu), s = size * size;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    float near = p * s * size + size, far = 1 - 2 / (ad__plain_expf(2 * size) + 1);
    uint32_t sign = ad__bits_of_float(x) & 0x80000000u;
    return ad__float_of_bits(ad__bits_of_float(size < 0.625f ? near : far) | sign);
}

#endif
