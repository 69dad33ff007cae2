/* cells.c: the cells of a reduction as rows, and what a row comes to: product, variance, norm, place. */
#include "ops/kernels/vector_math.h"

#include "ops/kernels/cells.h"

enum { BLOCK = 1024 };

/* Adds an axis, outside those that are there; they still stand in reverse order. */
static void add_axis(int *n, int64_t *dim, int64_t *stride, int64_t size, int64_t step) {
    if (*n > 0 && step == stride[*n - 1] * dim[*n - 1]) dim[*n - 1] *= size;
    else dim[*n] = size, stride[(*n)++] = step;
}

static void reverse(int n, int64_t *v) {
    for (int i = 0, j = n - 1; i < j; i++, j--) {
        int64_t t = v[i];
        v[i] = v[j], v[j] = t;
    }
}

ad__cells ad__cells_of(ad_shape s, unsigned mask) {
    ad__cells c = { .n_cells = 1, .n = 1 };
    int64_t step = 1;
    for (int i = s.ndim - 1; i >= 0; i--) {
        int64_t size = s.dim[i];
        bool gone = mask >> i & 1;
        *(gone ? &c.n : &c.n_cells) *= size;
        if (size != 1 && gone) add_axis(&c.reduced, c.dim, c.stride, size, step);
        if (size != 1 && !gone) add_axis(&c.kept, c.kept_dim, c.kept_stride, size, step);
        step *= size;
    }
    reverse(c.reduced, c.dim), reverse(c.reduced, c.stride);
    reverse(c.kept, c.kept_dim), reverse(c.kept, c.kept_stride);
    return c;
}

int64_t ad__cell_start(const ad__cells *c, int64_t cell) {
    int64_t at = 0;
    for (int a = c->kept - 1; a >= 0; a--) {
        at += cell % c->kept_dim[a] * c->kept_stride[a];
        cell /= c->kept_dim[a];
    }
    return at;
}

/* Counts index, of all reduced axes but the last, one up; returns how far that moves in the array. */
static int64_t advance(const ad__cells *c, int64_t index[]) {
    int64_t by = 0;
    for (int a = c->reduced - 2; a >= 0; a--) {
        by += c->stride[a];
        if (++index[a] < c->dim[a]) return by;
        by -= c->stride[a] * c->dim[a];
        index[a] = 0;
    }
    return by;
}

/* Whether a sum of squares or powers has kept its digits. */
static bool in_range(double sum) { return sum > 1e-280 && sum < 1e300; }

#define KERNELS "ops/kernels/cells.inc"
#include "ops/kernels/each_dtype.h"
