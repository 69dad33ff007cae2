/* index.c: reads and adds elements by index, and through a mask. */
#include "ops/kernels/shape/index.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/base/vector.h"

#include <string.h>

#define KERNELS "ops/kernels/shape/index.inc"
#include "ops/kernels/base/each_dtype.h"
