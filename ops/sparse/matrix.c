/* matrix.c: patterns of matrices. */
#include "ops/sparse/matrix.h"

#include <string.h>

int ad__sparsity_make(ad_graph *g, int64_t rows, int64_t columns, int64_t count, ad__sparsity *to) {
    *to = (ad__sparsity){ .rows = (int32_t)rows, .columns = (int32_t)columns };
    to->start = ad_scope_closing(g, ((size_t)rows + 1) * sizeof *to->start, NULL);
    to->column = ad_scope_closing(g, ((size_t)count + 1) * sizeof *to->column, NULL);
    if (to->start == NULL || to->column == NULL) return AD_ENOMEM;
    memset(to->start, 0, ((size_t)rows + 1) * sizeof *to->start);
    return AD_OK;
}

/* start has the number of elements of row i at i + 1. Afterwards start[i + 1] is where row i starts, and it grows to
   the end of the row as that is filled. */
static void starts_of_counts(ad__sparsity *a) {
    int64_t sum = 0;
    for (int64_t i = 1; i <= a->rows; i++) {
        int64_t count = a->start[i];
        a->start[i] = sum, sum += count;
    }
}

static void append(ad__sparsity *a, int32_t row, int32_t column) { a->column[a->start[row + 1]++] = column; }

int ad__sparsity_transpose(ad_graph *g, const ad__sparsity *a, ad__sparsity *to) {
    int64_t n = ad__sparsity_count(a);
    if (ad__sparsity_make(g, a->columns, a->rows, n, to)) return AD_ENOMEM;
    for (int64_t k = 0; k < n; k++) to->start[a->column[k] + 1]++;
    starts_of_counts(to);
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) append(to, a->column[k], i);
    return AD_OK;
}

/* Row i of the union of two rows in ascending order; to NULL: only counts. */
static int64_t merge(const int32_t *a, int64_t n, const int32_t *b, int64_t m, int32_t *to) {
    int64_t i = 0, j = 0, count = 0;
    while (i < n || j < m) {
        int32_t next = j == m || (i < n && a[i] <= b[j]) ? a[i] : b[j];
        i += i < n && a[i] == next, j += j < m && b[j] == next;
        if (to) to[count] = next;
        count++;
    }
    return count;
}

int ad__sparsity_symmetric(ad_graph *g, const ad__sparsity *a, ad__sparsity *to) {
    ad__sparsity t;
    if (ad__sparsity_transpose(g, a, &t) || ad__sparsity_make(g, a->rows, a->columns, 2 * ad__sparsity_count(a), to))
        return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++)
        to->start[i + 1] = to->start[i] + merge(a->column + a->start[i], a->start[i + 1] - a->start[i],
                                                t.column + t.start[i], t.start[i + 1] - t.start[i],
                                                to->column + to->start[i]);
    return AD_OK;
}

int ad__sparsity_bipartite(ad_graph *g, const ad__sparsity *a, ad__sparsity *to) {
    int64_t count = ad__sparsity_count(a), n = (int64_t)a->rows + a->columns;
    ad__sparsity t;
    if (n > INT32_MAX - 1)
        return ad_fail(g, AD_ESHAPE, "sparse_jacobian: %lld rows and columns are too many to colour both",
                       (long long)n);
    if (ad__sparsity_transpose(g, a, &t) || ad__sparsity_make(g, n, n, 2 * count, to)) return AD_ENOMEM;
    for (int32_t j = 0; j <= a->columns; j++) to->start[j] = t.start[j];
    for (int32_t i = 0; i <= a->rows; i++) to->start[a->columns + i] = count + a->start[i];
    for (int64_t k = 0; k < count; k++) {
        to->column[k] = a->columns + t.column[k];
        to->column[count + k] = a->column[k];
    }
    return AD_OK;
}
