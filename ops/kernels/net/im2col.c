/* im2col.c: copies the windows of an image to the columns of a matrix, and sums columns back into an image. */
#include "ops/kernels/net/im2col.h"

#include <string.h>

/* A loop over the few elements of padding shall not become a call of memset. */
#ifndef __clang__
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

int64_t ad__window_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    int64_t last = in + 2 * padding - dilation * (kernel - 1) - 1; /* the last start of a window that fits */
    return last < 0 ? 0 : last / stride + 1;
}

/* Element k of the window along one axis: at the positions lo..hi-1 of the window it is in the image. At position i it
   is element start + i step of the image; start may be negative. */
typedef struct {
    int64_t lo, hi, start, step;
} run;

static run run_of(const ad__window_of *w, int axis, int64_t k) {
    run r = { .start = k * w->dilation[axis] - w->padding[axis], .step = w->stride[axis] };
    int64_t after = w->in[axis] - r.start; /* elements from start to the image's end */
    bool unit_step = r.step == 1; /* avoids a division, which costs as much as the copy of a short row */
    r.lo = r.start >= 0 ? 0 : unit_step ? -r.start : (r.step - 1 - r.start) / r.step;
    r.hi = after <= 0 ? 0 : unit_step ? after : (after - 1) / r.step + 1;
    if (r.hi > w->out[axis]) r.hi = w->out[axis];
    if (r.lo > r.hi) r.lo = r.hi;
    return r;
}

#define KERNELS "ops/kernels/net/im2col.inc"
#include "ops/kernels/base/each_dtype.h"
