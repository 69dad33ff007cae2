/* expm.c: the exponential of a square matrix. */
#include "ops/kernels/linalg/expm.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/linalg/square.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define KERNELS "ops/kernels/linalg/expm.inc"
#include "ops/kernels/base/each_dtype.h"

/* ---- approximants ---------------------------------------------------------------------------------------------- */

/* The numerator is sum b[i] x^i, the denominator the same of -x. They are as good as the dtype's precision up to a norm
   of theta. */
enum { HIGHEST = 13, APPROXIMANTS = 5 };
static const struct {
    int degree;
    double theta[2], b[HIGHEST + 1]; /* theta by dtype; 0: not used */
} pade[APPROXIMANTS] = {
    { 3, { 4.258730016922831e-1, 1.495585217958292e-2 }, { 120, 60, 12, 1 } },
    { 5, { 1.880152677804762, 2.539398330063230e-1 }, { 30240, 15120, 3360, 420, 30, 1 } },
    { 7, { 3.925724783138660, 9.504178996162932e-1 }, { 17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1 } },
    { 9, { 0, 2.097847961257068 },
      { 17643225600, 8821612800, 2075673600, 302702400, 30270240, 2162160, 110880, 3960, 90, 1 } },
    { 13, { 0, 5.371920351148152 },
      { 64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
        670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1 } },
};

/* The first that suffices for the norm, or the last one of the dtype, and by which power of 2 it must be scaled. */
static int choose(ad_dtype t, double norm, int *power) {
    const int last = t == AD_F32 ? APPROXIMANTS - 3 : APPROXIMANTS - 1;
    *power = 0;
    for (int i = 0; i <= last; i++)
        if (norm <= pade[i].theta[t]) return i;
    frexp(norm / pade[last].theta[t], power);
    return last;
}

/* ---- the parts of work ------------------------------------------------------------------------------------------- */

enum { PARTS = 6 };

typedef struct {
    ad_team *team;
    ad_dtype t;
    int64_t n;
    void *a, *square, *power, *even, *odd, *held, *sum; /* [n,n] */
    int *pivots;
} parts;

size_t ad__expm_work(ad_dtype t, int64_t n) {
    return (size_t)(PARTS * n * n) * ad_dtype_size(t) + (size_t)n * sizeof(int);
}

static parts parts_of(ad_team *team, ad_dtype t, int64_t n, void *a, void *work) {
    const size_t bytes = (size_t)(n * n) * ad_dtype_size(t);
    char *w = work;
    return (parts){ team, t, n, a, w, w + bytes, w + 2 * bytes, w + 3 * bytes, w + 4 * bytes, w + 5 * bytes,
                    (int *)(void *)(w + PARTS * bytes) };
}

static void multiply(const parts *p, const void *a, const void *b, double beta, void *y) {
    ad__gemm(p->team, p->t, false, false, p->n, p->n, p->n, a, b, beta, y);
}

/* y += k x, or y = k x if fresh. */
static void add(const parts *p, bool fresh, double k, const void *x, void *y) {
    const int64_t size = p->n * p->n;
    if (fresh) AD__BY_DTYPE(p->t, ad__scaled, size, k, x, y);
    else AD__BY_DTYPE(p->t, ad__axpy, size, k, x, y);
}

/* ---- numerator and denominator: even = sum of the even terms, odd = a times that of the odd ones without a ------- */

static void low_degree(const parts *p, int degree, const double *b) {
    multiply(p, p->a, p->a, 0, p->square);
    memcpy(p->power, p->square, (size_t)(p->n * p->n) * ad_dtype_size(p->t));
    for (int i = 2; i < degree; i += 2) {
        if (i > 2) {
            multiply(p, p->power, p->square, 0, p->held);
            memcpy(p->power, p->held, (size_t)(p->n * p->n) * ad_dtype_size(p->t));
        }
        add(p, i == 2, b[i], p->power, p->even);
        add(p, i == 2, b[i + 1], p->power, p->sum);
    }
    AD__BY_DTYPE(p->t, ad__add_diagonal, p->n, b[0], p->even);
    AD__BY_DTYPE(p->t, ad__add_diagonal, p->n, b[1], p->sum);
    multiply(p, p->a, p->sum, 0, p->odd);
}

/* to = x6 (b[k+6] x6 + b[k+4] x4 + b[k+2] x2) + b[k] x6 + b[k-2] x4 + b[k-4] x2 + b[k-6], where xN are powers of a */
static void half_of_13(const parts *p, const double *b, int k, const void *x2, const void *x4, const void *x6,
                       void *to) {
    add(p, true, b[k + 6], x6, p->sum), add(p, false, b[k + 4], x4, p->sum), add(p, false, b[k + 2], x2, p->sum);
    add(p, true, b[k], x6, to), add(p, false, b[k - 2], x4, to), add(p, false, b[k - 4], x2, to);
    multiply(p, x6, p->sum, 1, to);
    AD__BY_DTYPE(p->t, ad__add_diagonal, p->n, b[k - 6], to);
}

static void degree_13(const parts *p, const double *b) {
    void *x2 = p->square, *x4 = p->power, *x6 = p->held;
    multiply(p, p->a, p->a, 0, x2);
    multiply(p, x2, x2, 0, x4);
    multiply(p, x4, x2, 0, x6);
    half_of_13(p, b, 7, x2, x4, x6, p->even);
    multiply(p, p->a, p->even, 0, p->odd);
    half_of_13(p, b, 6, x2, x4, x6, p->even);
}

/* ---- scaling, the quotient, squaring ----------------------------------------------------------------------------- */

/* y = (even - odd)^-1 (even + odd) */
static void divide(const parts *p, void *y) {
    const size_t bytes = (size_t)(p->n * p->n) * ad_dtype_size(p->t);
    memcpy(y, p->even, bytes);
    add(p, false, 1, p->odd, y);
    add(p, false, -1, p->odd, p->even);
    ad__square_lu(p->t, p->n, p->even, p->pivots);
    ad__square_lu_solve(p->t, false, p->n, p->n, p->even, p->pivots, y);
}

void ad__expm(ad_team *team, ad_dtype t, int64_t n, void *a, void *y, void *work) {
    const parts p = parts_of(team, t, n, a, work);
    const size_t bytes = (size_t)(n * n) * ad_dtype_size(t);
    const double norm = AD__BY_DTYPE(t, ad__norm_1, n, a);
    if (!(norm <= (t == AD_F32 ? (double)FLT_MAX : DBL_MAX))) {
        AD__BY_DTYPE(t, ad__array_fill, n * n, NAN, y);
        return;
    }
    int power, i = choose(t, norm, &power);
    if (power > 0) AD__BY_DTYPE(t, ad__scaled, n * n, ldexp(1, -power), a, a);
    if (pade[i].degree == HIGHEST) degree_13(&p, pade[i].b);
    else low_degree(&p, pade[i].degree, pade[i].b);
    divide(&p, y);
    for (; power > 0; power--) {
        memcpy(p.held, y, bytes);
        multiply(&p, p.held, p.held, 0, y);
    }
}
