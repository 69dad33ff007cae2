/* sum.c: accurate sums of arrays, of columns and of computed terms. */
#include "ops/kernels/base/sum.h"

#include <math.h>

/* Independent partial sums, enough to fill the pipelined adders of a wide vector unit. */
enum { LANES = 32, BLOCK = 4096 };
enum { COLUMNS = 32, FEW = 8 }; /* columns summed side by side, and those of what is left */

/* A compensated sum of block sums: lost collects the rounding errors. */
typedef struct {
    double sum, lost;
} total;

static inline void add_block(total *t, double b) {
    double sum = t->sum + b;
    t->lost += fabs(t->sum) >= fabs(b) ? (t->sum - sum) + b : (b - sum) + t->sum;
    t->sum = sum;
}

/* If the sum is infinite, lost is NaN and is ignored. */
static double total_of(const total *t) { return isfinite(t->sum) ? t->sum + t->lost : t->sum; }

#define KERNELS "ops/kernels/base/sum.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- one sum by several threads ---------------------------------------------------------------------------- */

enum { AT_ONCE = 1024 }; /* terms that are buffered before they are added */

typedef struct {
    ad__term_fn *f;
    void *context;
    int64_t start, n, term; /* the first term, the number of elements, elements per term */
    double *values;
} terms;

static void compute_terms(void *context, int worker, int64_t from, int64_t to) {
    const terms *t = context;
    for (int64_t i = from; i < to; i++) {
        int64_t at = (t->start + i) * t->term;
        t->values[i] = t->f(t->context, worker, at, t->n - at < t->term ? t->n : at + t->term);
    }
}

double ad__sum_terms(ad_team *team, int64_t n, int64_t term, int64_t work, ad__term_fn *f, void *context) {
    double values[AT_ONCE];
    total sum = { 0, 0 };
    terms t = { f, context, 0, n, term, values };
    for (int64_t all = (n + term - 1) / term; t.start < all; t.start += AT_ONCE) {
        int64_t count = all - t.start < AT_ONCE ? all - t.start : AT_ONCE;
        ad_parallel(team, count, 0, term * work, compute_terms, &t);
        for (int64_t i = 0; i < count; i++) add_block(&sum, values[i]);
    }
    return total_of(&sum);
}

typedef struct {
    ad_dtype t;
    const void *x;
} array;

static double block_of(void *context, int worker, int64_t from, int64_t to) {
    const array *a = context;
    (void)worker;
    return a->t == AD_F32 ? sum_block_f32(to - from, (const float *)a->x + from)
                          : sum_block_f64(to - from, (const double *)a->x + from);
}

double ad__array_sum(ad_team *team, ad_dtype t, int64_t n, const void *x) {
    if (n <= BLOCK) return t == AD_F32 ? ad__array_sum_f32(n, x) : ad__array_sum_f64(n, x);
    return ad__sum_terms(team, n, BLOCK, 1, block_of, &(array){ t, x });
}
