/* reduce.c: sums that keep their digits, and adding arrays. */
#include <math.h>

#include "ops/kernels/kernels.h"

/* Enough independent sums to keep the adders of a wide vector unit busy. */
enum { LANES = 32, BLOCK = 4096 };
enum { COLUMNS = 64 }; /* summed side by side */

/* The sum of blocks' sums, and the digits that adding to it dropped. */
typedef struct {
    double sum, lost;
} total;

static inline void add_block(total *t, double b) {
    double sum = t->sum + b;
    t->lost += fabs(t->sum) >= fabs(b) ? (t->sum - sum) + b : (b - sum) + t->sum;
    t->sum = sum;
}

/* Of an infinity, what was lost is no number. */
static double total_of(const total *t) { return isfinite(t->sum) ? t->sum + t->lost : t->sum; }

#define KERNELS "ops/kernels/reduce.inc"
#include "ops/kernels/each_dtype.h"

/* ---- one sum by several threads ---------------------------------------------------------------------------- */

enum { AT_ONCE = 1024 }; /* blocks whose sums wait to be added */

typedef struct {
    ad_dtype t;
    int64_t n;
    const void *x;
    double *sums; /* of blocks */
} blocks;

static void sum_blocks(void *context, int worker, int64_t from, int64_t to) {
    const blocks *b = context;
    (void)worker;
    for (int64_t i = from; i < to; i += BLOCK) {
        int64_t count = to - i < BLOCK ? to - i : BLOCK;
        b->sums[i / BLOCK] = b->t == AD_F32 ? sum_block_f32(count, (const float *)b->x + i)
                                            : sum_block_f64(count, (const double *)b->x + i);
    }
}

double ad__sum(ad__team *team, ad_dtype t, int64_t n, const void *x) {
    double sums[AT_ONCE];
    if (n <= AD__SLAB) return t == AD_F32 ? ad__sum_f32(n, x) : ad__sum_f64(n, x);
    total sum = { 0, 0 };
    for (int64_t at = 0; at < n; at += (int64_t)AT_ONCE * BLOCK) {
        int64_t count = n - at < (int64_t)AT_ONCE * BLOCK ? n - at : (int64_t)AT_ONCE * BLOCK;
        blocks b = { t, count, (const char *)x + (size_t)at * ad_dtype_size(t), sums };
        ad__parallel(team, count, AD__SLAB, 1, sum_blocks, &b);
        for (int64_t i = 0; i * BLOCK < count; i++) add_block(&sum, sums[i]);
    }
    return total_of(&sum);
}

AD__CLONES void ad__narrow(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
}

AD__CLONES void ad__widen(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
}

AD__CLONES void ad__add_wide_f32(int64_t n, const double *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + x[i]);
}

AD__CLONES void ad__widen_add_f32(int64_t n, const float *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] += (double)x[i];
}
