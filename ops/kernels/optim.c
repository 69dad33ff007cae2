/* optim.c: stochastic gradient descent on plain arrays. */
#include "ops/kernels/optim.h"

#include "ops/kernels/kernels.h"

#define KERNELS "ops/kernels/optim.inc"
#include "ops/kernels/each_dtype.h"
