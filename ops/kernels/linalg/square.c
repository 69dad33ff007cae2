/* square.c: loops over square matrices that the ops through LAPACK need beside it. */
#include "ops/kernels/linalg/square.h"
#include "ops/kernels/base/vector.h"

#include <math.h>

enum { TILE = 16 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#define KERNELS "ops/kernels/linalg/square.inc"
#include "ops/kernels/base/each_dtype.h"
