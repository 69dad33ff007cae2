/* range.c: looking for elements out of a range. */
#include "ops/kernels/loss/range.h"

enum { BLOCK = 256 };

#define KERNELS "ops/kernels/loss/range.inc"
#include "ops/kernels/base/each_dtype.h"
