/* det.c: module det of GradBench: a determinant by expansion by minors. */
#include "bench/gradbench/common.h"

#include <string.h>

enum { MOST = 12 }; /* rows */

/* A minor is named by the columns that were removed, in order. Those of one size are the elements of an array, and each
   has its sub-minors next to one another. The first row is expanded in a loop, to save memory. */
typedef struct {
    ad_graph *g;
    int n;
    ad_var *a;             /* [n,n] */
    ad_var *columns[MOST]; /* of the minors without the first i rows: [minors, columns left], of n - 1 rows in all */
    ad_var *signs[MOST];   /* of those columns */
    double value;
} det;

/* The columns of the minors with a column less: each row of `of` without each of its elements. */
static ad_var *sub_minors(ad_var *of) {
    int64_t minors = ad_shape_of(of).dim[0], left = ad_shape_of(of).dim[1];
    ad_var *y = ad_zeros(ad_graph_of(of), AD_F64, AD_SHAPE(minors * left, left - 1));
    double *to = ad_data_mut(y);
    const double *from = ad_data(of);
    for (int64_t i = 0; i < minors && to != NULL; i++, from += left)
        for (int64_t without = 0; without < left; without++)
            for (int64_t j = 0; j < left; j++)
                if (j != without) *to++ = from[j];
    return y;
}

static ad_var *alternating(ad_graph *g, int64_t n) {
    ad_var *s = ad_ones(g, AD_F64, AD_SHAPE(n));
    for (int64_t i = 1; i < n && ad_ok(g); i += 2) ((double *)ad_data_mut(s))[i] = -1;
    return s;
}

static void *open_det(const gb_input *in) {
    det *p = ad_scope_zalloc(in->g, sizeof *p);
    int64_t n = (int64_t)gb_number(in, "ell");
    const gb_array *a = gb_get(in, "A", 1);
    if (p == NULL || !ad_ok(in->g)) return NULL;
    if (n < 1 || n > MOST || a->n != n * n)
        return ad_fail(in->g, AD_EVALUE, "det: ell is 1 to %d, and A has ell^2 elements", MOST), NULL;
    *p = (det){ .g = in->g, .n = (int)n, .a = ad_require_grad(ad_input(in->g, AD_F64, a->data, AD_SHAPE(n, n))) };
    for (int i = 0; i < p->n - 1; i++) {
        p->columns[i] = i ? sub_minors(p->columns[i - 1])
                          : ad_reshape(ad_arange(in->g, AD_F64, 0, (double)n - 1, 1), AD_SHAPE(1, n - 1));
        p->signs[i] = alternating(in->g, n - 1 - i);
    }
    return ad_ok(in->g) ? p : NULL;
}

/* The determinant without the first row and one column, from the smallest minors up. */
static ad_var *minor_of(const det *p, int column) {
    ad_var *sides[] = { ad_slice(p->a, 1, 0, column, 1), ad_slice(p->a, 1, column + 1, p->n, 1) };
    ad_var *rest = ad_concat(2, sides, 1), *minors = NULL;
    for (int i = p->n - 2; i >= 0; i--) {
        ad_shape s = ad_shape_of(p->columns[i]);
        ad_var *places = ad_reshape(p->columns[i], AD_SHAPE(s.dim[0] * s.dim[1]));
        ad_var *first = ad_reshape(ad_index_select(ad_select(rest, 0, i + 1), 0, places), s);
        ad_var *terms = minors ? ad_mul(first, ad_reshape(minors, s)) : first;
        minors = ad_matmul(terms, p->signs[i]);
    }
    return minors ? ad_select(minors, 0, 0) : ad_scalar(p->g, AD_F64, 1);
}

static void expand(det *p, bool differentiate) {
    ad_zero_grad(p->a);
    p->value = 0;
    for (int j = 0; j < p->n && ad_ok(p->g); j++) {
        ad_mark m = ad_begin(p->g);
        ad_var *term = ad_muls(ad_mul(ad_select(ad_select(p->a, 0, 0), 0, j), minor_of(p, j)), j % 2 ? -1 : 1);
        p->value += ad_item(term);
        if (differentiate) ad_backward(term);
        ad_end(p->g, m);
    }
}

static void run_value(void *problem) {
    det *p = problem;
    bool was = ad_enable_grad(p->g, false);
    expand(p, false);
    ad_enable_grad(p->g, was);
}
static void run_gradient(void *problem) { expand(problem, true); }
static void print_value(const void *problem, FILE *to) { gb_print(to, AD_SCALAR, &((const det *)problem)->value); }
static void print_gradient(const void *problem, FILE *to) {
    const det *p = problem;
    gb_print(to, AD_SHAPE(p->n * p->n), ad_grad(p->a));
}

const gb_module gb_det = { "det",
                           open_det,
                           { { "primal", run_value, print_value }, { "gradient", run_gradient, print_gradient } } };
