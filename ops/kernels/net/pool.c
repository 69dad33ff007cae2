/* pool.c: the maximum or the mean of each window over a plane, and their backward passes. */
#include "ops/kernels/net/pool.h"

#include <math.h>
#include <string.h>

int64_t ad__pooling_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                           bool round_up) {
    int64_t last = in + 2 * padding - dilation * (kernel - 1) - 1; /* the last start of a window that fits */
    if (last < 0 && !(round_up && last + stride - 1 >= 0)) return 0;
    int64_t places = (last + (round_up ? stride - 1 : 0)) / stride + 1;
    return round_up && (places - 1) * stride >= in + padding ? places - 1 : places;
}

/* A window along one axis: it covers the elements lo, lo + step, .. below hi. A mean divides by size. */
typedef struct {
    int64_t lo, hi, step, size;
} span;

static span span_of(const ad__pooling *p, int axis, int64_t i) {
    int64_t in = p->in[axis], out = p->out[axis], step = p->dilation[axis];
    if (p->adaptive) {
        span s = { .lo = i * in / out, .hi = ((i + 1) * in + out - 1) / out, .step = 1 };
        s.size = s.hi - s.lo;
        return s;
    }
    int64_t from = i * p->stride[axis] - p->padding[axis], to = from + (p->kernel[axis] - 1) * step + 1;
    if (to > in + p->padding[axis]) to = in + p->padding[axis];
    span s = { .lo = from < 0 ? from + (step - 1 - from) / step * step : from, .hi = to < in ? to : in, .step = step };
    s.size = p->count_padding ? to - from : s.hi - s.lo;
    return s;
}

bool ad__pooling_meets(const ad__pooling *p) {
    if (p->adaptive || (p->dilation[0] == 1 && p->dilation[1] == 1)) return true;
    for (int axis = 0; axis < 2; axis++)
        for (int64_t i = 0; i < p->out[axis]; i++) {
            span s = span_of(p, axis, i);
            if (s.lo >= s.hi) return false;
        }
    return true;
}

/* A group of windows that one loop computes: several whole rows of windows, or a part of one row. */
enum { GROUP = 256, LANES = 16 };
typedef struct {
    int64_t row, rows, from, n; /* rows row.. of windows, n windows in each, from column `from` on */
    int32_t first[GROUP];       /* index of the first element of each window that is in the plane */
    uint32_t corner[GROUP];     /* index of its element (0, 0), which may be outside; offsets count from it */
} group;

static void group_fill(const ad__pooling *p, group *w) {
    w->n = ad__lesser(p->out[1] - w->from, GROUP);
    w->rows = ad__lesser(p->out[0] - w->row, w->n < p->out[1] || w->from > 0 ? 1 : GROUP / w->n);
    for (int64_t r = 0, k = 0; r < w->rows; r++)
        for (int64_t j = 0; j < w->n; j++, k++) {
            int64_t y = (w->row + r) * p->stride[0] - p->padding[0], x = (w->from + j) * p->stride[1] - p->padding[1];
            w->first[k] = (int32_t)(span_of(p, 0, w->row + r).lo * p->in[1] + span_of(p, 1, w->from + j).lo);
            w->corner[k] = (uint32_t)(y * p->in[1] + x);
        }
}

static group group_first(const ad__pooling *p) {
    group w = { 0 };
    group_fill(p, &w);
    return w;
}

/* Returns false after the last group. */
static bool group_next(const ad__pooling *p, group *w) {
    w->from += w->n;
    if (w->from == p->out[1]) w->from = 0, w->row += w->rows;
    if (w->row == p->out[0]) return false;
    group_fill(p, w);
    return true;
}

/* The first element from element k of the kernel on that is in the plane for one of n windows, or the kernel's size.
   Only a kernel that is much larger than the plane is searched: the work is bounded by the plane. */
static int64_t next_inside(const ad__pooling *p, int axis, int64_t window, int64_t n, int64_t k) {
    if (p->kernel[axis] <= 2 * p->in[axis]) return k;
    int64_t next = p->kernel[axis], step = p->dilation[axis];
    for (int64_t i = window; i < window + n; i++) {
        int64_t start = i * p->stride[axis] - p->padding[axis], first = start < 0 ? (step - 1 - start) / step : 0;
        if (first < k) first = k;
        if (first < next && start + first * step < p->in[axis]) next = first;
    }
    return next;
}

#define KERNELS "ops/kernels/net/pool.inc"
#include "ops/kernels/base/each_dtype.h"
