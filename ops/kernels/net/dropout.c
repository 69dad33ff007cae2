/* dropout.c: makes a dropout mask from random bits. */
#include "ops/kernels/net/dropout.h"

#define KERNELS "ops/kernels/net/dropout.inc"
#include "ops/kernels/base/each_dtype.h"
