/* dropout.h: makes a dropout mask from random bits. */
#ifndef OPS_KERNELS_NET_DROPOUT_H
#define OPS_KERNELS_NET_DROPOUT_H

#include "ops/kernels/base/simd.h"

/* y[i] = bits[i] < least ? 0 : kept */
void ad__mask_of_bits_f32(int64_t n, const uint32_t *bits, double least, double kept, float *y);
void ad__mask_of_bits_f64(int64_t n, const uint32_t *bits, double least, double kept, double *y);

#endif
