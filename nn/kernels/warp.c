/* warp.c: an image looked up where an affine map says. */
#include "nn/kernels/warp.h"

/* floor, which is a call where the processor's baseline has no instruction for it. */
static inline int32_t whole_below(double v) {
    int32_t n = (int32_t)v;
    return n - ((double)n > v);
}

#define KERNELS "nn/kernels/warp.inc"
#include "ops/kernels/base/each_dtype.h"
