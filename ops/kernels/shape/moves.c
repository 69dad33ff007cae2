/* moves.c: elements moved between two arrays in which the axes lie differently. */
#include "ops/kernels/shape/moves.h"
#include "ops/kernels/base/vector.h"

#include <string.h>

enum { TILE = 16 };

/* Axis a takes the place of axis to; those between move one up. */
static void bring(ad__moves *s, int a, int to) {
    int64_t dim = s->dim[a], x = s->x[a], y = s->y[a];
    for (; a < to; a++) s->dim[a] = s->dim[a + 1], s->x[a] = s->x[a + 1], s->y[a] = s->y[a + 1];
    s->dim[to] = dim, s->x[to] = x, s->y[to] = y;
}

static int finest(int n, const int64_t *steps) {
    int best = n - 1;
    for (int a = n - 1; a >= 0; a--)
        if (steps[a] < steps[best]) best = a;
    return best;
}

static void append(ad__moves *s, int64_t dim, int64_t x, int64_t y) {
    int last = s->ndim - 1;
    bool merges = last >= 0 && s->x[last] == dim * x && s->y[last] == dim * y;
    if (!merges) last = s->ndim++, s->dim[last] = 1;
    s->dim[last] *= dim, s->x[last] = x, s->y[last] = y;
}

ad__moves ad__moves_of(ad_shape dims, const int64_t *x, const int64_t *y) {
    ad__moves s = { 0 };
    for (int a = 0; a < dims.ndim; a++)
        if (dims.dim[a] != 1) append(&s, dims.dim[a], x[a], y[a]);
    if (s.ndim > 1) {
        bring(&s, finest(s.ndim, s.y), s.ndim - 1);
        if (finest(s.ndim, s.x) < s.ndim - 1) bring(&s, finest(s.ndim, s.x), s.ndim - 2);
    }
    while (s.ndim < 2) { /* so that the kernels always have two axes */
        for (int a = s.ndim++; a > 0; a--) s.dim[a] = s.dim[a - 1], s.x[a] = s.x[a - 1], s.y[a] = s.y[a - 1];
        s.dim[0] = 1, s.x[0] = s.y[0] = 0;
    }
    return s;
}

ad__moves ad__moves_back(const ad__moves *s) {
    ad__moves r = *s;
    memcpy(r.x, s->y, sizeof r.x);
    memcpy(r.y, s->x, sizeof r.y);
    return r;
}

/* Steps through the axes before the last two; false after the last place. */
static bool next_place(const ad__moves *s, int64_t *index, int64_t *x, int64_t *y) {
    for (int a = s->ndim - 3; a >= 0; a--) {
        *x += s->x[a], *y += s->y[a];
        if (++index[a] < s->dim[a]) return true;
        *x -= s->x[a] * s->dim[a], *y -= s->y[a] * s->dim[a];
        index[a] = 0;
    }
    return false;
}

static bool is_empty(const ad__moves *s) {
    for (int a = 0; a < s->ndim; a++)
        if (s->dim[a] == 0) return true;
    return false;
}

#define KERNELS "ops/kernels/shape/moves.inc"
#include "ops/kernels/base/each_dtype.h"
