/* broadcast.c: reads a small array as if broadcast to a larger shape, and sums a large array to a smaller shape. */
#include "ops/kernels/base/broadcast.h"

#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"

#include <string.h>

ad__broadcast_map ad__broadcast_map_of(ad_shape small, ad_shape big) {
    ad__broadcast_map s = { 0 };
    int64_t step = 1;
    /* from the last axis to the first; the order of the merged axes is reversed below */
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

/* A position in the big array, which is traversed in rows along the last axis. */
typedef struct {
    int64_t index[AD_MAX_NDIM];
    int64_t offset; /* of the row's first element, in the small array */
    int64_t column;
} place;

static place place_of(const ad__broadcast_map *s, int64_t flat) {
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

static void next_row(const ad__broadcast_map *s, place *p) {
    p->column = 0;
    for (int a = s->ndim - 2; a >= 0; a--) {
        p->offset += s->stride[a];
        if (++p->index[a] < s->dim[a]) return;
        p->offset -= s->stride[a] * s->dim[a];
        p->index[a] = 0;
    }
}

#define KERNELS "ops/kernels/base/broadcast.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- sums by several threads ------------------------------------------------------------------------------- */

typedef struct {
    const ad__broadcast_map *s;
    ad_dtype t;
    int64_t row; /* elements of the big array per index of its first axis; or the number of columns */
    int64_t n;
    const char *big;
    double *small;
} sums;

/* Sums some indices of the first axis. Each index adds to elements of the small array that no other index adds to. */
static void scatter_rows(void *context, int worker, int64_t from, int64_t to) {
    const sums *a = context;
    const char *big = a->big + (size_t)(from * a->row) * ad_dtype_size(a->t);
    (void)worker;
    if (a->t == AD_F32) ad__broadcast_sum_f32(a->s, from * a->row, (to - from) * a->row, (const void *)big, a->small);
    else ad__broadcast_sum_f64(a->s, from * a->row, (to - from) * a->row, (const void *)big, a->small);
}

/* Sums some columns of a matrix over all rows. */
static void scatter_columns(void *context, int worker, int64_t from, int64_t to) {
    const sums *a = context;
    (void)worker;
    for (int64_t i = from; i < a->n; i += a->row)
        if (a->t == AD_F32) ad__to_f64_add(to - from, (const float *)(const void *)a->big + i, a->small + from);
        else ad__array_add_f64(to - from, (const double *)(const void *)a->big + i, a->small + from);
}

void ad__broadcast_sum(ad_team *team, const ad__broadcast_map *s, ad_dtype t, int64_t n, const void *big,
                       double *small) {
    enum { COLUMNS = 256 }; /* the fewest columns per thread, as rows are read in strips */
    sums a = { s, t, 1, n, big, small };
    if (n == 0) return;
    if (s->ndim == 1 && s->stride[0] == 0) {
        *small += ad__array_sum(team, t, n, big);
    } else if (s->ndim == 2 && s->stride[0] == 0 && s->stride[1] == 1 && n > AD__GRAIN) {
        a.row = s->dim[1];
        ad_parallel(team, a.row, COLUMNS + AD__GRAIN / s->dim[0] / COLUMNS * COLUMNS, s->dim[0], scatter_columns, &a);
    } else {
        int64_t rows = s->ndim > 0 && s->stride[0] != 0 ? s->dim[0] : 1;
        a.row = n / rows;
        ad_parallel(team, rows, 0, a.row, scatter_rows, &a);
    }
}
