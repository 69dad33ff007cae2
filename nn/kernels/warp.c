/* warp.c: an image resampled by an affine map, for either dtype. */
#include "nn/kernels/warp.h"

#include "ops/kernels/base/simd.h"

/* floor as an integer. The library's floor is a call on processors whose baseline has no instruction for it. */
static inline int32_t whole_below(double v) {
    int32_t n = (int32_t)v;
    return n - ((double)n > v);
}

#define KERNELS "nn/kernels/warp.inc"
#include "ops/kernels/base/each_dtype.h"
