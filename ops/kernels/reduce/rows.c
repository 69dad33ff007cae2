/* rows.c: softmax, log-softmax and logsumexp of one contiguous row, without overflow. */
#include "ops/kernels/base/vector_math.h"

#include "ops/kernels/reduce/rows.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/base/sum.h"

enum { LANES = 16, CHUNK = 256 };

#define KERNELS "ops/kernels/reduce/rows.inc"
#include "ops/kernels/base/each_dtype.h"
