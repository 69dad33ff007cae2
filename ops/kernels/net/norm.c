/* norm.c: rows shifted and scaled to mean 0 and variance 1. */
#include "ops/kernels/net/norm.h"
#include "ops/kernels/base/sum.h"

/* Independent sums let loops vectorise. */
enum { LANES = 16 };

#define KERNELS "ops/kernels/net/norm.inc"
#include "ops/kernels/base/each_dtype.h"
