/* im2col.c: the windows of an image as columns of a matrix, row by row of the image. */
#include "ops/kernels/net/im2col.h"

#include <string.h>

int64_t ad__window_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    int64_t last = in + 2 * padding - dilation * (kernel - 1) - 1; /* where the last window may begin */
    return last < 0 ? 0 : last / stride + 1;
}

/* The places lo .. hi along one axis at which element k of the window lies in the image, and where in
   the image it lies at place 0, which may be outside. */
typedef struct {
    int64_t lo, hi, start, step;
} run;

static run run_of(const ad__window_of *w, int axis, int64_t k) {
    run r = { .start = k * w->dilation[axis] - w->padding[axis], .step = w->stride[axis] };
    int64_t after = w->in[axis] - r.start; /* elements from start to the image's end */
    bool each = r.step == 1; /* a division costs as much as a short row */
    r.lo = r.start >= 0 ? 0 : each ? -r.start : (r.step - 1 - r.start) / r.step;
    r.hi = after <= 0 ? 0 : each ? after : (after - 1) / r.step + 1;
    if (r.hi > w->out[axis]) r.hi = w->out[axis];
    if (r.lo > r.hi) r.lo = r.hi;
    return r;
}

#define KERNELS "ops/kernels/net/im2col.inc"
#include "ops/kernels/base/each_dtype.h"
