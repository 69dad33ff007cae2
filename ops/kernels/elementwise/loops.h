/* loops.h: loops that apply a formula for one element to arrays. */
#ifndef OPS_KERNELS_ELEMENTWISE_LOOPS_H
#define OPS_KERNELS_ELEMENTWISE_LOOPS_H

#include "ops/kernels/base/level.h"

enum { AD__OPERANDS = 3 }; /* the largest number of operands of an elementwise op */

/* The arguments of a loop: contiguous arrays of one dtype. A value loop writes y. A slope loop, by one operand, writes
   to = base + slope; to may be base or g. */
typedef struct {
    const double *k; /* the op's parameters, or NULL */
    const void *in[AD__OPERANDS];
    void *y;
    const void *g; /* the cotangent */
    const void *base;
    void *to;
} ad__arrays;
typedef void ad__loop(int64_t from, int64_t count, const ad__arrays *p); /* over elements from .. from+count */

#define KERNELS "ops/kernels/elementwise/loops.inc"
#include "ops/kernels/base/each_dtype.h"

#endif
