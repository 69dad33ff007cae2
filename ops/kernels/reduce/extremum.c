/* extremum.c: max and min over segments, and their gradient. */
#include "ops/kernels/reduce/extremum.h"

#include "autodiff/base/shape.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 512 };

#define KERNELS "ops/kernels/reduce/extremum.inc"
#include "ops/kernels/base/each_dtype.h"
