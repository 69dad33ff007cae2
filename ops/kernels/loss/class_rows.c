/* class_rows.c: the targets and the loss of one row of class scores. */
#include "ops/kernels/loss/class_rows.h"

#include <math.h>
#include <string.h>

#include "ops/kernels/base/sum.h"

enum { LANES = 8 };

#define KERNELS "ops/kernels/loss/class_rows.inc"
#include "ops/kernels/base/each_dtype.h"
