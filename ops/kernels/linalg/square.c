/* square.c: loops over square matrices for the ops that use LAPACK. */
#include "ops/kernels/linalg/square.h"

#include "ops/kernels/base/vector.h"

#include <math.h>

enum { TILE = 16 };

#define KERNELS "ops/kernels/linalg/square.inc"
#include "ops/kernels/base/each_dtype.h"
