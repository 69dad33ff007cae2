/* transpose.c: matrices turned over, tile by tile so that both sides stay in cache. */
#include "ops/kernels/kernels.h"

enum { TILE = 16 };

#define KERNELS "ops/kernels/transpose.inc"
#include "ops/kernels/each_dtype.h"
