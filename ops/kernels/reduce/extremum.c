/* extremum.c: the largest or smallest of the elements that a result's element stands for. */
#include "ops/kernels/reduce/extremum.h"
#include "autodiff/base/shape.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 512 };

#define KERNELS "ops/kernels/reduce/extremum.inc"
#include "ops/kernels/base/each_dtype.h"
