/* scan.c: running sums, running products and linear recurrences along an axis. */
#include "ops/kernels/scan.h"

static void fill(int64_t n, double v, double *to) {
    for (int64_t j = 0; j < n; j++) to[j] = v;
}

#define KERNELS "ops/kernels/scan.inc"
#include "ops/kernels/each_dtype.h"
