/* loops.h: the loops of elementwise ops: a formula of one element applied to arrays, or added to a gradient. */
#ifndef OPS_KERNELS_ELEMENTWISE_LOOPS_H
#define OPS_KERNELS_ELEMENTWISE_LOOPS_H

#include "ops/kernels/base/level.h"

enum { AD__OPERANDS = 3 }; /* the most of an elementwise op */

/* What a loop works on: contiguous arrays of one dtype. A loop of values writes y; one of slopes, those by one
   operand, writes to = base + slope, where to may be base, or g. */
typedef struct {
    const double *k; /* the op's parameters, if it has any */
    const void *in[AD__OPERANDS];
    void *y;
    const void *g; /* the cotangent */
    const void *base;
    void *to;
} ad__arrays;
typedef void ad__loop(int64_t from, int64_t count, const ad__arrays *p); /* over elements from .. from + count */

#define KERNELS "ops/kernels/elementwise/loops.inc"
#include "ops/kernels/base/each_dtype.h"

#endif
