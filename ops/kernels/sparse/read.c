/* read.c: elements of a sparse matrix from products with vectors. */
#include "ops/kernels/sparse/read.h"

#include <stddef.h>

#define KERNELS "ops/kernels/sparse/read.inc"
#include "ops/kernels/base/each_dtype.h"
