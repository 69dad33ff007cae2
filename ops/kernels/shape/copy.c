/* copy.c: copies between arrays with different strides, in planes of the two innermost axes. */
#include "ops/kernels/shape/copy.h"

#include <stdlib.h>
#include <string.h>

/* ---- plans ------------------------------------------------------------------------------------------------------ */

void ad__row_major(ad_shape s, int64_t stride[AD_MAX_NDIM]) {
    int64_t step = 1;
    for (int i = s.ndim - 1; i >= 0; step *= s.dim[i--]) stride[i] = step;
}

static void move_axis(ad__copy_plan *p, int from, int to) {
    int64_t dim = p->dim[from], a = p->from[from], b = p->to[from];
    for (int i = from; i != to; i += from < to ? 1 : -1) {
        int next = from < to ? i + 1 : i - 1;
        p->dim[i] = p->dim[next], p->from[i] = p->from[next], p->to[i] = p->to[next];
    }
    p->dim[to] = dim, p->from[to] = a, p->to[to] = b;
}

/* Sorts the axes by decreasing stride of the destination, so that it is written in order. */
static void sort_axes(ad__copy_plan *p) {
    for (int i = 1; i < p->ndim; i++) {
        int at = i;
        while (at > 0 && llabs(p->to[at - 1]) < llabs(p->to[i])) at--;
        if (at < i) move_axis(p, i, at);
    }
}

static void merge_axes(ad__copy_plan *p) {
    int n = 0;
    for (int i = 0; i < p->ndim; i++) {
        if (n > 0 && p->from[n - 1] == p->from[i] * p->dim[i] && p->to[n - 1] == p->to[i] * p->dim[i]) {
            p->dim[n - 1] *= p->dim[i], p->from[n - 1] = p->from[i], p->to[n - 1] = p->to[i];
        } else {
            p->dim[n] = p->dim[i], p->from[n] = p->from[i], p->to[n++] = p->to[i];
        }
    }
    p->ndim = n;
}

/* If the source is contiguous along another axis than the destination, that axis becomes the last but one. The planes
   are then transposes, and both arrays are accessed in whole cache lines. */
static void pair_axes(ad__copy_plan *p) {
    int last = p->ndim - 1;
    if (last < 2 || llabs(p->from[last]) <= 1) return;
    for (int i = 0; i < last - 1; i++)
        if (p->from[i] == 1) {
            move_axis(p, i, last - 1);
            return;
        }
}

ad__copy_plan ad__copy_plan_of(int ndim, const int64_t *dim, const int64_t *from, const int64_t *to) {
    ad__copy_plan p;
    p.ndim = 0;
    for (int i = 0; i < ndim; i++) {
        if (dim[i] == 1) continue;
        p.dim[p.ndim] = dim[i], p.from[p.ndim] = from[i], p.to[p.ndim++] = to[i];
    }
    sort_axes(&p);
    merge_axes(&p);
    pair_axes(&p);
    return p;
}

ad__copy_plan ad__copy_plan_back(const ad__copy_plan *p) { return ad__copy_plan_of(p->ndim, p->dim, p->to, p->from); }

static bool is_empty(const ad__copy_plan *p) {
    for (int i = 0; i < p->ndim; i++)
        if (p->dim[i] == 0) return true;
    return false;
}

/* ---- planes: n rows of m elements, along the last two axes ------------------------------------------------------- */

typedef struct {
    int64_t n, m, from_row, from_column, to_row, to_column;
} plane;

static plane plane_of(const ad__copy_plan *p) {
    plane r = { .n = 1, .m = 1, .from_column = 1, .to_column = 1 };
    int last = p->ndim - 1;
    if (last >= 0) r.m = p->dim[last], r.from_column = p->from[last], r.to_column = p->to[last];
    if (last >= 1) r.n = p->dim[last - 1], r.from_row = p->from[last - 1], r.to_row = p->to[last - 1];
    return r;
}

/* Whether the destination's rows are the source's columns, and both are contiguous. */
static bool is_transposed(const plane *r) {
    return r->n > 1 && r->from_row == 1 && r->to_column == 1 && llabs(r->from_column) > 1;
}

/* The index of a plane, and the offset of its first element in x and in y. */
typedef struct {
    int64_t index[AD_MAX_NDIM], x, y;
} place;

/* Advances to the next plane; returns false after the last. */
static bool next_place(const ad__copy_plan *p, place *at) {
    for (int a = p->ndim - 3; a >= 0; a--) {
        at->x += p->from[a], at->y += p->to[a];
        if (++at->index[a] < p->dim[a]) return true;
        at->x -= p->from[a] * p->dim[a], at->y -= p->to[a] * p->dim[a];
        at->index[a] = 0;
    }
    return false;
}

/* ---- blocks: squares transposed in registers, 4 by 4 in f32 and 2 by 2 in f64 ------------------------------------ */

enum { VECTOR = 16, STRIP = 16, UNROLLED = 4, LANES_f32 = VECTOR / sizeof(float), LANES_f64 = VECTOR / sizeof(double) };
typedef float vector_f32 __attribute__((vector_size(VECTOR)));
typedef double vector_f64 __attribute__((vector_size(VECTOR)));

/* A vector of the named elements of a and b, where b's indices follow a's. GCC 12 and later also know clang's form. */
#if defined(__clang__)
#define PICK(index, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t index_f32 __attribute__((vector_size(VECTOR)));
typedef int64_t index_f64 __attribute__((vector_size(VECTOR)));
#define PICK(index, a, b, ...) __builtin_shuffle(a, b, (index){ __VA_ARGS__ })
#endif

static inline void transpose_vectors_f32(vector_f32 v[LANES_f32]) {
    vector_f32 a = PICK(index_f32, v[0], v[1], 0, 4, 1, 5), b = PICK(index_f32, v[0], v[1], 2, 6, 3, 7);
    vector_f32 c = PICK(index_f32, v[2], v[3], 0, 4, 1, 5), d = PICK(index_f32, v[2], v[3], 2, 6, 3, 7);
    v[0] = PICK(index_f32, a, c, 0, 1, 4, 5), v[1] = PICK(index_f32, a, c, 2, 3, 6, 7);
    v[2] = PICK(index_f32, b, d, 0, 1, 4, 5), v[3] = PICK(index_f32, b, d, 2, 3, 6, 7);
}

static inline void transpose_vectors_f64(vector_f64 v[LANES_f64]) {
    vector_f64 a = PICK(index_f64, v[0], v[1], 0, 2), b = PICK(index_f64, v[0], v[1], 1, 3);
    v[0] = a, v[1] = b;
}

/* ---- rows that are contiguous in both arrays --------------------------------------------------------------------- */

enum { SHORT = 32, LONG = 2048, PAGE = 4096, LINE = 64 }; /* bytes */

/* If y is a few bytes further into its page than x, glibc's memcpy of more than 2 KB (rep movsb) is ten times slower
   on AMD processors than this loop. */
static void copy_long(size_t n, const char *x, char *y) {
    size_t ahead = ((uintptr_t)y - (uintptr_t)x) % PAGE;
    if (ahead > 0 && ahead < LINE)
        for (; n >= LINE; n -= LINE, x += LINE, y += LINE) memcpy(y, x, LINE);
    memcpy(y, x, n);
}

#define KERNELS "ops/kernels/shape/copy.inc"
#include "ops/kernels/base/each_dtype.h"

void ad__copy(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at) {
    AD__BY_DTYPE(t, ad__copy, p, x, x_at, y, y_at);
}

void ad__copy_add(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at) {
    AD__BY_DTYPE(t, ad__copy_add, p, x, x_at, y, y_at);
}
