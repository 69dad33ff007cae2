/* class_rows.c: the cross-entropy targets, loss and gradient of one row of class scores. */
#include "ops/kernels/loss/class_rows.h"

#include "ops/kernels/base/sum.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 };

#define KERNELS "ops/kernels/loss/class_rows.inc"
#include "ops/kernels/base/each_dtype.h"
