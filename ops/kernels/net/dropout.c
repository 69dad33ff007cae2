/* dropout.c: makes a dropout mask from random bits, and random bits from a key. */
#include "ops/kernels/net/dropout.h"

#define KERNELS "ops/kernels/net/dropout.inc"
#include "ops/kernels/base/each_dtype.h"

/* Philox 4x32-10 (Salmon et al. 2011) of GROUP blocks at a time, so that the loops vectorise. */
enum { GROUP = 16, ROUNDS = 10 };

static const uint32_t factor[2] = { 0xd2511f53, 0xcd9e8d57 }, weyl[2] = { 0x9e3779b9, 0xbb67ae85 };

/* A round: (c0, c1, c2, c3) becomes (high of 1, c1 and key 0; low of 1; high of 0, c3 and key 1; low of 0), where 0 and
   1 are the products of c0 and c2 with the factors. */
AD__INLINED void mix(uint32_t c[4][GROUP], uint32_t k0, uint32_t k1) {
    for (int i = 0; i < GROUP; i++) {
        uint64_t a = (uint64_t)factor[0] * c[0][i], b = (uint64_t)factor[1] * c[2][i];
        uint32_t first = (uint32_t)(b >> 32) ^ c[1][i] ^ k0, third = (uint32_t)(a >> 32) ^ c[3][i] ^ k1;
        c[0][i] = first, c[1][i] = (uint32_t)b, c[2][i] = third, c[3][i] = (uint32_t)a;
    }
}

AD__NARROW_CLONES void ad__keyed_bits(const uint32_t key[2], uint64_t row, uint64_t first, int64_t n, uint32_t *bits) {
    uint32_t c[4][GROUP];
    for (int64_t from = 0; from < n; from += 4 * GROUP) {
        for (int i = 0; i < GROUP; i++) {
            c[0][i] = (uint32_t)(first + (uint64_t)from / 4) + (uint32_t)i;
            c[1][i] = (uint32_t)row, c[2][i] = (uint32_t)(row >> 32), c[3][i] = 0;
        }
        for (uint32_t k = 0; k < ROUNDS; k++) mix(c, key[0] + k * weyl[0], key[1] + k * weyl[1]);
        for (int64_t i = 0; i < 4 * GROUP && from + i < n; i++) bits[from + i] = c[i % 4][i / 4];
    }
}
