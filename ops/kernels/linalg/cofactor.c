/* cofactor.c: the cofactors of a matrix of any rank, and their derivatives.

   Let a = w S v be the singular value decomposition. det(a + e) = det w det v det(S + w^T e v^T), so the directions are
   turned into the basis of S, and the result is turned back. In that basis the derivative along d directions is a sum
   over d different rows r and all orders q of them: the sign of q, times element [r_i, r_q(i)] of direction i for each
   i, times all singular values of other rows. No term is divided by a singular value that may be 0. No terms cancel, as
   they do in formulas with the inverse.

   A decomposition has errors in the last digits of the largest element. So rows and columns are divided by powers of 2
   first, if there are no directions, and the cofactors are multiplied by those powers that they lack. Directions would
   have to be divided by the same powers, which may leave nothing of small ones. */
#include "ops/kernels/linalg/cofactor.h"

#include "ops/kernels/linalg/lapack.h"
#include "ops/kernels/linalg/square.h"

#include <limits.h>
#include <string.h>

/* ---- the sum in the basis of S ---------------------------------------------------------------------------- */

typedef struct {
    int64_t n;
    int k;           /* directions that are given; the sum's last one is each element of out in turn */
    const double *g; /* [k,n,n] */
    const double *s; /* [n] */
    ad__wide all;  /* the product of all s that are not 0 */
    int zeros;       /* the number of the others */
    double *out;     /* [n,n] */
} minors;

/* The product of all s but those of the rows r. */
static double product_of_others(const minors *m, const int64_t *r) {
    int zeros = 0;
    ad__wide p = m->all;
    for (int i = 0; i <= m->k; i++) {
        double s = m->s[r[i]];
        if (s == 0) zeros++;
        else p = ad__wide_over(p, s);
    }
    return zeros == m->zeros ? ad__wide_value(p) : 0;
}

/* Order number k of d things, whose digits in the factorial number system are the places among those left. Returns its
   sign. */
static int order_of(int d, int64_t k, int *to) {
    int left[AD__COFACTOR_ORDER], sign = 1;
    for (int i = 0; i < d; i++) left[i] = i;
    for (int i = 0; i < d; i++) {
        int at = (int)(k % (d - i));
        k /= d - i;
        to[i] = left[at];
        memmove(left + at, left + at + 1, (size_t)(d - i - 1 - at) * sizeof *left);
        if (at % 2) sign = -sign;
    }
    return sign;
}

static int64_t factorial(int n) {
    int64_t product = 1;
    for (int i = 2; i <= n; i++) product *= i;
    return product;
}

/* Adds the terms of the rows r, one for each order of them. */
static void add_rows(const minors *m, const int64_t *r) {
    const int64_t n = m->n, orders = factorial(m->k + 1);
    double others = product_of_others(m, r);
    for (int64_t j = 0; j < orders && others != 0; j++) {
        int q[AD__COFACTOR_ORDER];
        double term = order_of(m->k + 1, j, q) * others;
        for (int i = 0; i < m->k; i++) term *= m->g[(i * n + r[i]) * n + r[q[i]]];
        m->out[r[m->k] * n + r[q[m->k]]] += term;
    }
}

static bool all_differ(int d, const int64_t *r) {
    for (int i = 1; i < d; i++)
        for (int j = 0; j < i; j++)
            if (r[i] == r[j]) return false;
    return true;
}

/* Counts r up. Returns false after the last. */
static bool next_rows(int d, int64_t n, int64_t *r) {
    for (int i = 0; i < d; i++) {
        if (++r[i] < n) return true;
        r[i] = 0;
    }
    return false;
}

static void add_minors(minors *m) {
    int64_t r[AD__COFACTOR_ORDER] = { 0 };
    m->all = (ad__wide){ 1, 0 };
    for (int64_t i = 0; i < m->n; i++) {
        if (m->s[i] == 0) m->zeros++;
        else m->all = ad__wide_times(m->all, m->s[i]);
    }
    do {
        if (all_differ(m->k + 1, r)) add_rows(m, r);
    } while (next_rows(m->k + 1, m->n, r));
}

/* ---- scaling ------------------------------------------------------------------------------------------------ */

/* Row i and column j of a matrix are divided by 2^(row[i] + column[j]), which leaves no element above 1. */
typedef struct {
    int *row, *column; /* [n] */
} scales;

/* The e of x = m 2^e; the least one for 0, and 0 for infinity and NaN. */
static int exponent_of(double x) {
    int e = 0;
    if (x == 0) return INT_MIN / 4;
    if (isfinite(x)) frexp(x, &e);
    return e;
}

static int largest_exponent(int64_t n, const double *x) {
    int most = exponent_of(0);
    for (int64_t i = 0; i < n; i++) most = exponent_of(x[i]) > most ? exponent_of(x[i]) : most;
    return most == exponent_of(0) ? 0 : most;
}

static void find_scales(int64_t n, const double *a, scales to) {
    for (int64_t i = 0; i < n; i++) to.row[i] = largest_exponent(n, a + i * n);
    for (int64_t j = 0; j < n; j++) {
        int most = INT_MIN / 2;
        for (int64_t i = 0; i < n; i++) {
            int e = exponent_of(a[i * n + j]) - to.row[i];
            if (a[i * n + j] != 0 && e > most) most = e;
        }
        to.column[j] = most == INT_MIN / 2 ? 0 : most;
    }
}

/* x[i,j] = x[i,j] 2^(e - row[i] - column[j]) */
static void scale(int64_t n, scales by, int64_t e, double *x) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            x[i * n + j] = ad__wide_value((ad__wide){ x[i * n + j], e - by.row[i] - by.column[j] });
}

static int64_t sum_of_scales(int64_t n, scales of) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += of.row[i] + of.column[i];
    return sum;
}

/* ---- turning ------------------------------------------------------------------------------------------------ */

size_t ad__cofactor_work(int64_t n) {
    return (size_t)(4 * n * n + 3 * n) * sizeof(double) + ad__lu_work(AD_F64, n);
}

/* The sign of the determinant of an orthogonal matrix. copy and pivots are buffers. */
static int sign_of(int64_t n, const double *q, double *copy, int *pivots) {
    memcpy(copy, q, (size_t)(n * n) * sizeof *q);
    ad__square_lu(AD_F64, n, copy, pivots);
    return ad__lu_det_f64(n, copy, pivots).m < 0 ? -1 : 1;
}

static void fill(int64_t n, double value, double *to) {
    for (int64_t i = 0; i < n; i++) to[i] = value;
}

static bool all_finite(int64_t n, const double *x) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

void ad__cofactor_form(int64_t n, int k, double *a, double *g, void *work) {
    const int64_t size = n * n;
    double *w = work, *v = w + size, *half = v + size, *out = half + size, *s = out + size, *rest = s + 2 * n;
    const scales by = { (int *)(void *)(s + n), (int *)(void *)(s + n) + n };
    if (k >= n) { /* det a has degree n */
        fill(size, 0, a);
        return;
    }
    bool finite = all_finite(size, a);
    if (finite && k == 0) {
        find_scales(n, a, by);
        scale(n, by, 0, a);
    }
    if (!finite || ad__singular_values(n, a, s, w, v, rest) != 0) {
        fill(size, (double)NAN, a);
        return;
    }
    int *pivots = (int *)(void *)rest;
    int sign = sign_of(n, w, half, pivots) * sign_of(n, v, half, pivots);
    for (int i = 0; i < k; i++) { /* w^T g v^T */
        ad__gemm_f64(true, false, n, n, n, w, g + i * size, 0, half);
        ad__gemm_f64(false, true, n, n, n, half, v, 0, g + i * size);
    }
    fill(size, 0, out);
    add_minors(&(minors){ .n = n, .k = k, .g = g, .s = s, .out = out });
    ad__gemm_f64(false, false, n, n, n, w, out, 0, half);
    ad__gemm_f64(false, false, n, n, n, half, v, 0, a);
    for (int64_t i = 0; i < size; i++) a[i] *= sign;
    if (k == 0) scale(n, by, sum_of_scales(n, by), a);
}
