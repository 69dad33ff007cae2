/* strided.c: copies between arrays of different strides, plane by plane of the two fastest axes. */
#include "ops/kernels/shape/strided.h"

#include <stdlib.h>

enum { TILE = 16 };

void ad__row_major(ad_shape s, int64_t stride[AD_MAX_NDIM]) {
    int64_t step = 1;
    for (int i = s.ndim - 1; i >= 0; step *= s.dim[i--]) stride[i] = step;
}

static void move_axis(ad__strided *s, int from, int to) {
    int64_t dim = s->dim[from], a = s->from[from], b = s->to[from];
    for (int i = from; i != to; i += from < to ? 1 : -1) {
        int next = from < to ? i + 1 : i - 1;
        s->dim[i] = s->dim[next], s->from[i] = s->from[next], s->to[i] = s->to[next];
    }
    s->dim[to] = dim, s->from[to] = a, s->to[to] = b;
}

/* Largest steps of the destination first, so that it is written in order. */
static void sort_axes(ad__strided *s) {
    for (int i = 1; i < s->ndim; i++) {
        int at = i;
        while (at > 0 && llabs(s->to[at - 1]) < llabs(s->to[i])) at--;
        move_axis(s, i, at);
    }
}

static void merge_axes(ad__strided *s) {
    int n = 0;
    for (int i = 0; i < s->ndim; i++) {
        if (n > 0 && s->from[n - 1] == s->from[i] * s->dim[i] && s->to[n - 1] == s->to[i] * s->dim[i]) {
            s->dim[n - 1] *= s->dim[i], s->from[n - 1] = s->from[i], s->to[n - 1] = s->to[i];
        } else {
            s->dim[n] = s->dim[i], s->from[n] = s->from[i], s->to[n++] = s->to[i];
        }
    }
    s->ndim = n;
}

/* Where the source is contiguous along another axis than the destination, that axis comes last but
   one: the two make planes that are turned over tile by tile. */
static void pair_axes(ad__strided *s) {
    int last = s->ndim - 1;
    if (last < 2 || llabs(s->from[last]) <= 1) return;
    for (int i = 0; i < last - 1; i++)
        if (s->from[i] == 1) {
            move_axis(s, i, last - 1);
            return;
        }
}

ad__strided ad__strided_of(int ndim, const int64_t *dim, const int64_t *from, const int64_t *to) {
    ad__strided s = { .ndim = 0 };
    for (int i = 0; i < ndim; i++) {
        if (dim[i] == 1) continue;
        s.dim[s.ndim] = dim[i], s.from[s.ndim] = from[i], s.to[s.ndim++] = to[i];
    }
    sort_axes(&s);
    merge_axes(&s);
    pair_axes(&s);
    return s;
}

ad__strided ad__strided_back(const ad__strided *s) { return ad__strided_of(s->ndim, s->dim, s->to, s->from); }

/* The two last axes, n rows of m; and the place among the planes. */
typedef struct {
    int64_t n, m, from_row, from_column, to_row, to_column;
    int planes; /* axes before them */
    int64_t index[AD_MAX_NDIM], x, y;
} planes;

static planes planes_of(const ad__strided *s) {
    planes p = { .n = 1, .m = 1, .planes = s->ndim > 2 ? s->ndim - 2 : 0 };
    int last = s->ndim - 1;
    if (last >= 0) p.m = s->dim[last], p.from_column = s->from[last], p.to_column = s->to[last];
    if (last >= 1) p.n = s->dim[last - 1], p.from_row = s->from[last - 1], p.to_row = s->to[last - 1];
    for (int i = 0; i < s->ndim; i++)
        if (s->dim[i] == 0) p.n = 0;
    return p;
}

/* false after the last plane */
static bool next_plane(const ad__strided *s, planes *p) {
    for (int a = p->planes - 1; a >= 0; a--) {
        p->x += s->from[a], p->y += s->to[a];
        if (++p->index[a] < s->dim[a]) return true;
        p->x -= s->from[a] * s->dim[a], p->y -= s->to[a] * s->dim[a];
        p->index[a] = 0;
    }
    return false;
}

#define KERNELS "ops/kernels/shape/strided.inc"
#include "ops/kernels/base/each_dtype.h"

void ad__strided_copy(const ad__strided *s, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at) {
    if (t == AD_F32) ad__strided_copy_f32(s, (const float *)x + x_at, (float *)y + y_at);
    else ad__strided_copy_f64(s, (const double *)x + x_at, (double *)y + y_at);
}

void ad__strided_add(const ad__strided *s, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at) {
    if (t == AD_F32) ad__strided_add_f32(s, (const float *)x + x_at, (float *)y + y_at);
    else ad__strided_add_f64(s, (const double *)x + x_at, (double *)y + y_at);
}
