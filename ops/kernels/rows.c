/* rows.c: softmax and its kin over one contiguous row, safe for elements of any size. */
#include "ops/kernels/vector_math.h"

#include "ops/kernels/kernels.h"

enum { LANES = 16, CHUNK = 256 };

#define KERNELS "ops/kernels/rows.inc"
#include "ops/kernels/each_dtype.h"
