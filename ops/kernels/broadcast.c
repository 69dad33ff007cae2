/* broadcast.c: reading a small array as if repeated to a larger shape, and the reverse, a sum. */
#include "ops/kernels/kernels.h"

#include <string.h>

ad__spread ad__spread_of(ad_shape small, ad_shape big) {
    ad__spread s = { 0 };
    int64_t step = 1;
    /* from the last axis outwards, axes s.ndim-1 .. 0 still in reverse */
    for (int i = 1; i <= big.ndim; i++) {
        int64_t size = big.dim[big.ndim - i], own = i <= small.ndim ? small.dim[small.ndim - i] : 1;
        if (size == 1) continue;
        int64_t stride = own == 1 ? 0 : step;
        int last = s.ndim - 1;
        if (s.ndim > 0 && stride == s.stride[last] * s.dim[last]) s.dim[last] *= size;
        else s.dim[s.ndim] = size, s.stride[s.ndim++] = stride;
        step *= own;
    }
    for (int i = 0, j = s.ndim - 1; i < j; i++, j--) {
        int64_t d = s.dim[i], t = s.stride[i];
        s.dim[i] = s.dim[j], s.stride[i] = s.stride[j];
        s.dim[j] = d, s.stride[j] = t;
    }
    return s;
}

/* A place in the big array, row by row along the last axis. */
typedef struct {
    int64_t index[AD_MAX_NDIM];
    int64_t offset; /* of the row's first element in the small array */
    int64_t column;
} place;

static place place_of(const ad__spread *s, int64_t flat) {
    place p = { .offset = 0 };
    p.column = flat % s->dim[s->ndim - 1];
    flat /= s->dim[s->ndim - 1];
    for (int a = s->ndim - 2; a >= 0; a--) {
        p.index[a] = flat % s->dim[a];
        flat /= s->dim[a];
        p.offset += p.index[a] * s->stride[a];
    }
    return p;
}

static void next_row(const ad__spread *s, place *p) {
    p->column = 0;
    for (int a = s->ndim - 2; a >= 0; a--) {
        p->offset += s->stride[a];
        if (++p->index[a] < s->dim[a]) return;
        p->offset -= s->stride[a] * s->dim[a];
        p->index[a] = 0;
    }
}

#define KERNELS "ops/kernels/broadcast.inc"
#include "ops/kernels/each_dtype.h"
