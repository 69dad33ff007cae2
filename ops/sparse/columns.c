/* columns.c: one colour for columns that share no row: greedy colouring at distance two.

   Gebremedhin, Manne and Pothen, What color is your Jacobian?, SIAM Review 47, 2005, algorithm 3.2. */
#include "ops/sparse/colour.h"

#include <string.h>

/* Colours the rows of a, which are the columns of `through`. Those without elements get none. */
static int colour(ad_graph *g, const ad__sparsity *a, const ad__sparsity *through, const int32_t *order,
                  int32_t **colours, int32_t *count) {
    int32_t *colour = *colours = ad__filled(g, a->rows, sizeof *colour, 0xff);
    int32_t *forbidden = ad__filled(g, a->rows, sizeof *forbidden, 0xff);
    if (colour == NULL || forbidden == NULL) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++) {
        int32_t v = order[i], c = 0;
        for (int64_t k = a->start[v]; k < a->start[v + 1]; k++)
            for (int64_t e = through->start[a->column[k]]; e < through->start[a->column[k] + 1]; e++) {
                int32_t w = through->column[e];
                if (colour[w] >= 0) forbidden[colour[w]] = v;
            }
        if (a->start[v] == a->start[v + 1]) continue;
        while (forbidden[c] == v) c++;
        colour[v] = c;
        if (c >= *count) *count = c + 1;
    }
    return AD_OK;
}

static int make_reads(ad_graph *g, const ad__sparsity *a, ad__colours *to) {
    int64_t n = ad__sparsity_count(a);
    to->product = ad__filled(g, n, sizeof *to->product, 0), to->at = ad__filled(g, n, sizeof *to->at, 0);
    if (to->product == NULL || to->at == NULL) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) {
            int32_t j = a->column[k];
            to->product[k] = to->column ? to->column[j] : to->row[i];
            to->at[k] = to->column ? i : j;
        }
    return AD_OK;
}

int ad__colour_columns(ad_graph *g, const ad__sparsity *a, const ad__sparsity *transposed, const int32_t *order,
                       ad__colours *to) {
    *to = (ad__colours){ 0 };
    return colour(g, transposed, a, order, &to->column, &to->n_columns) ? AD_ENOMEM : make_reads(g, a, to);
}

int ad__colour_rows(ad_graph *g, const ad__sparsity *a, const ad__sparsity *transposed, const int32_t *order,
                    ad__colours *to) {
    *to = (ad__colours){ 0 };
    return colour(g, a, transposed, order, &to->row, &to->n_rows) ? AD_ENOMEM : make_reads(g, a, to);
}

/* ---- long rows apart --------------------------------------------------------------------------------------------- */

/* The rows of a that are long or not; the others are empty. */
static int part_of(ad_graph *g, const ad__sparsity *a, int32_t most, bool longer, ad__sparsity *to) {
    if (ad__sparsity_make(g, a->rows, a->columns, ad__sparsity_count(a), to)) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++) {
        int64_t n = a->start[i + 1] - a->start[i];
        if ((n > most) != longer) n = 0;
        if (n) memcpy(to->column + to->start[i], a->column + a->start[i], (size_t)n * sizeof *a->column);
        to->start[i + 1] = to->start[i] + n;
    }
    return AD_OK;
}

/* The colours of the columns of the short rows, and of the long rows. */
static int colour_parts(ad_graph *g, const ad__sparsity *a, int32_t most, ad__colours *to) {
    ad__sparsity part, transposed;
    int32_t n = a->rows > a->columns ? a->rows : a->columns, *order = ad__filled(g, n, sizeof *order, 0);
    if (order == NULL) return AD_ENOMEM;
    for (int longer = 0; longer < 2; longer++) {
        if (part_of(g, a, most, longer, &part) || ad__sparsity_transpose(g, &part, &transposed)) return AD_ENOMEM;
        ad__near near = { g, longer ? &part : &transposed, longer ? &transposed : &part };
        if (ad__order_make(&near, AD_ORDER_LARGEST_FIRST, order)) return AD_ENOMEM;
        int rc = longer ? colour(g, &part, &transposed, order, &to->row, &to->n_rows)
                        : colour(g, &transposed, &part, order, &to->column, &to->n_columns);
        if (rc != AD_OK) return rc;
    }
    return AD_OK;
}

int ad__colour_split(ad_graph *g, const ad__sparsity *a, int32_t most, ad__colours *to) {
    *to = (ad__colours){ 0 };
    if (colour_parts(g, a, most, to) || make_reads(g, a, to)) return AD_ENOMEM;
    for (int32_t i = 0; i < a->rows; i++)
        for (int64_t k = a->start[i]; k < a->start[i + 1] && to->row[i] >= 0; k++)
            to->product[k] = to->n_columns + to->row[i], to->at[k] = a->column[k];
    return AD_OK;
}
