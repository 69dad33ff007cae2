/* range.c: finds elements outside a range. */
#include "ops/kernels/loss/range.h"

enum { BLOCK = 256 };

#define KERNELS "ops/kernels/loss/range.inc"
#include "ops/kernels/base/each_dtype.h"
