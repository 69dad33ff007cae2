/* index.c: elements and rows by number. */
#include "ops/kernels/shape/index.h"

#include <string.h>

#define KERNELS "ops/kernels/shape/index.inc"
#include "ops/kernels/base/each_dtype.h"
