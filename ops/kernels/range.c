/* range.c: looking for elements out of a range. */
#include "ops/kernels/range.h"

enum { BLOCK = 256 };

#define KERNELS "ops/kernels/range.inc"
#include "ops/kernels/each_dtype.h"
