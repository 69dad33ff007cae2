/* scan.c: running sums, running products and linear recurrences along an axis. */
#include "ops/kernels/reduce/scan.h"

static void fill(int64_t n, double v, double *to) {
    for (int64_t j = 0; j < n; j++) to[j] = v;
}

#define KERNELS "ops/kernels/reduce/scan.inc"
#include "ops/kernels/base/each_dtype.h"
