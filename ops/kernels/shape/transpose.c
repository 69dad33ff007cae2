/* transpose.c: matrices turned over, tile by tile so that both sides stay in cache. */
#include "ops/kernels/shape/transpose.h"

enum { TILE = 16 };

#define KERNELS "ops/kernels/shape/transpose.inc"
#include "ops/kernels/base/each_dtype.h"
