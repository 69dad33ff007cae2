/* dropout.h: makes a dropout mask from random bits, and random bits from a key. */
#ifndef OPS_KERNELS_NET_DROPOUT_H
#define OPS_KERNELS_NET_DROPOUT_H

#include "ops/kernels/base/simd.h"

/* y[i] = bits[i] < least ? 0 : kept */
void ad__mask_of_bits_f32(int64_t n, const uint32_t *bits, double least, double kept, float *y);
void ad__mask_of_bits_f64(int64_t n, const uint32_t *bits, double least, double kept, double *y);

/* The first n words of the blocks first, first + 1, .. of a row of random words: those of Philox 4x32-10 with this key
   and the counter { block, low half of row, high half of row, 0 }. */
void ad__keyed_bits(const uint32_t key[2], uint64_t row, uint64_t first, int64_t n, uint32_t *bits);

#endif
