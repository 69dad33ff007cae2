/* index.c: elements and rows by number. */
#include "ops/kernels/index.h"

#include <string.h>

#define KERNELS "ops/kernels/index.inc"
#include "ops/kernels/each_dtype.h"
