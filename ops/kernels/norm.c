/* norm.c: rows shifted and scaled to mean 0 and variance 1. */
#include "ops/kernels/norm.h"

/* Independent sums let loops vectorise. */
enum { LANES = 16 };

#define KERNELS "ops/kernels/norm.inc"
#include "ops/kernels/each_dtype.h"
