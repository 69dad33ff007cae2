/* margin.c: the multi-class hinge loss of one row of class scores, and its gradient. */
#include "ops/kernels/loss/margin.h"

#define KERNELS "ops/kernels/loss/margin.inc"
#include "ops/kernels/base/each_dtype.h"
