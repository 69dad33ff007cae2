/* norm.c: loops of layer_norm and batch_norm, which normalise rows or channels to mean 0 and variance 1. */
#include "ops/kernels/net/norm.h"

#include "ops/kernels/base/sum.h"

enum { LANES = 16 }; /* independent partial sums, so that loops vectorise */

#define KERNELS "ops/kernels/net/norm.inc"
#include "ops/kernels/base/each_dtype.h"
