/* index.c: elements and rows by number. */
#include "ops/kernels/shape/index.h"

#include "autodiff/base/shape.h"

#include <string.h>

enum { CHUNK = 1024 };

#define KERNELS "ops/kernels/shape/index.inc"
#include "ops/kernels/base/each_dtype.h"
