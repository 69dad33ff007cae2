/* table.c: columns of a table as numbers and classes, and missing values of arrays. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/numbers.h"
#include "nn/file/table_private.h"
#include "ops/ops.h"

/* ---- names and cells --------------------------------------------------------------------------------- */

/* Whether t is a table of an open scope; otherwise the graph, if it is known, has the error. */
static bool is_open(const nn_table *t) {
    return t != NULL && nn__check_open(&t->object, NULL, "table", "table") == AD_OK;
}

/* The graph of a table that can be used: one of an open scope, and the graph without an error. NULL otherwise. */
static ad_graph *usable(const nn_table *t) {
    return is_open(t) && ad_ok(t->object.graph) ? t->object.graph : NULL;
}

/* What is returned after an error. */
static ad_var *nothing(const nn_table *t) {
    return ad_nil(t != NULL && t->object.self == &t->object ? t->object.graph : NULL);
}

int64_t nn_table_rows(const nn_table *t) { return is_open(t) ? t->rows : 0; }
int nn_table_columns(const nn_table *t) { return is_open(t) ? t->columns : 0; }

const char *nn_table_name(const nn_table *t, int column) {
    return is_open(t) && column >= 0 && column < t->columns ? t->names[column] : NULL;
}

static const char *cell(const nn_table *t, int64_t row, int column) { return t->cells[row * t->columns + column]; }

const char *nn_table_text(const nn_table *t, int64_t row, int column) {
    bool inside = is_open(t) && row >= 0 && row < t->rows && column >= 0 && column < t->columns;
    return inside ? cell(t, row, column) : NULL;
}

static bool is_named(const nn_table *t, int column, const char *name) {
    return t->names[column] != NULL && strcmp(t->names[column], name) == 0;
}

/* The number of a column, or a negative code. A name that two columns have is an error. */
static int find(const nn_table *t, const char *name) {
    if (name == NULL) return ad_fail(t->object.graph, AD_EVALUE, "table: %s: the name of a column is NULL", t->path);
    int found = -1;
    for (int i = 0; i < t->columns; i++) {
        if (!is_named(t, i, name)) continue;
        if (found >= 0)
            return ad_fail(t->object.graph, AD_EVALUE, "table: %s: columns %d and %d are both called %.100s; take "
                           "nn_table_range", t->path, found, i, name);
        found = i;
    }
    return found >= 0 ? found : ad_fail(t->object.graph, AD_EVALUE, "table: %s has no column %.100s", t->path, name);
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

/* An array [rows,width] that is being filled with columns of a table. */
typedef struct {
    const nn_table *table;
    ad_dtype dtype;
    void *data;
    int64_t width;
} target;

/* A decimal number, inf or nan; strtod alone takes hexadecimal numbers and nan(...) too. */
static bool parse(const char *text, double *v) {
    char *end = NULL;
    *v = strtod(text, &end);
    return end != text && *end == '\0' && strpbrk(text, "xX(") == NULL;
}

/* Whether a number has become infinite which is not spelt so. */
static bool is_too_large(ad_dtype t, const char *text, double v) {
    return isinf(t == AD_F32 ? (double)(float)v : v) && strpbrk(text, "nN") == NULL;
}

static int refuse_cell(const nn_table *t, int64_t row, int column, const char *why, const char *more) {
    return ad_fail(t->object.graph, AD_EVALUE, "table: %s: row %lld of column %d: %.60s %s%s", t->path, (long long)row,
                   column, cell(t, row, column), why, more);
}

static int fill_column(const target *to, int column, int64_t at) {
    const nn_table *t = to->table;
    for (int64_t i = 0; i < t->rows; i++) {
        const char *text = cell(t, i, column);
        double v = NAN;
        if (text != NULL && !parse(text, &v)) return refuse_cell(t, i, column, "is not a number", "");
        if (text != NULL && is_too_large(to->dtype, text, v))
            return refuse_cell(t, i, column, "is too large for ", ad_dtype_name(to->dtype));
        ad_write_element(to->dtype, to->data, i * to->width + at, v);
    }
    return AD_OK;
}

/* Columns with these names or, for names NULL, columns from, from+1, ... */
static ad_var *columns_of(const nn_table *t, ad_dtype dtype, int n, const char *const names[], int from) {
    ad_graph *g = t->object.graph;
    ad_var *x = ad_zeros(g, dtype, AD_SHAPE(t->rows, n));
    if (!ad_ok(g)) return ad_nil(g);
    target to = { t, dtype, ad_data_mut(x), n };
    nn__locale l = nn__enter_plain_numbers();
    for (int i = 0; ad_ok(g) && i < n; i++) {
        int column = names ? find(t, names[i]) : from + i;
        if (column >= 0) fill_column(&to, column, i);
    }
    nn__leave_plain_numbers(l);
    return ad_ok(g) ? x : ad_nil(g);
}

ad_var *nn_table_range(const nn_table *t, ad_dtype dtype, int from, int to) {
    ad_graph *g = usable(t);
    if (g == NULL) return nothing(t);
    if (from < 0 || to < from || to > t->columns)
        return ad_fail(g, AD_EVALUE, "table: %s: columns %d to %d of %d", t->path, from, to, t->columns), ad_nil(g);
    return columns_of(t, dtype, to - from, NULL, from);
}

ad_var *nn_table_numbers(const nn_table *t, ad_dtype dtype, int n, const char *const names[]) {
    ad_graph *g = usable(t);
    if (g == NULL) return nothing(t);
    if (n < 0 || (n > 0 && names == NULL))
        return ad_fail(g, AD_EVALUE, "table: %s: %d columns: a number of 0 or more and an array of names", t->path, n),
               ad_nil(g);
    return columns_of(t, dtype, n, names, 0);
}

/* ---- classes ----------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The *n distinct texts of a column in the order of strcmp; NULL where memory is short. */
static const char **distinct_texts(const nn_table *t, int column, int64_t *n) {
    const char **all = ad_scope_array(t->object.graph, (size_t)t->rows * sizeof *all + 1);
    int64_t present = 0;
    *n = 0;
    if (all == NULL) return NULL;
    for (int64_t i = 0; i < t->rows; i++)
        if (cell(t, i, column) != NULL) all[present++] = cell(t, i, column);
    qsort(all, (size_t)present, sizeof *all, by_text);
    for (int64_t i = 0; i < present; i++)
        if (*n == 0 || strcmp(all[*n - 1], all[i]) != 0) all[(*n)++] = all[i];
    return all;
}

const char *const *nn_table_words(const nn_table *t, const char *name, int64_t *n) {
    int64_t unwanted;
    if (n == NULL) n = &unwanted;
    *n = 0;
    int column = usable(t) ? find(t, name) : -1;
    return column >= 0 ? distinct_texts(t, column, n) : NULL;
}

/* ---- classes by given words: these are sorted, so that each is found quickly and equal ones are adjacent ---- */

typedef struct {
    const char *text;
    int64_t number;
} word;

static int by_word(const void *a, const void *b) { return strcmp(((const word *)a)->text, ((const word *)b)->text); }

static int check_words(const nn_table *t, int64_t n, const char *const words[]) {
    if (n < 0 || (n > 0 && words == NULL))
        return ad_fail(t->object.graph, AD_EVALUE, "table: %s: %lld words: a number of 0 or more and an array", t->path,
                       (long long)n);
    for (int64_t k = 0; k < n; k++)
        if (words[k] == NULL)
            return ad_fail(t->object.graph, AD_EVALUE, "table: %s: word %lld is NULL", t->path, (long long)k);
    return AD_OK;
}

/* In memory of the innermost scope; NULL after an error. */
static word *sorted_words(const nn_table *t, int64_t n, const char *const words[]) {
    word *w = check_words(t, n, words) == AD_OK ? ad_scope_array(t->object.graph, (size_t)n * sizeof *w + 1) : NULL;
    if (w == NULL) return NULL;
    for (int64_t k = 0; k < n; k++) w[k] = (word){ words[k], k };
    qsort(w, (size_t)n, sizeof *w, by_word);
    for (int64_t k = 1; k < n; k++)
        if (by_word(&w[k - 1], &w[k]) == 0)
            return ad_fail(t->object.graph, AD_EVALUE, "table: %s: two of the words are %.60s", t->path, w[k].text),
                   NULL;
    return w;
}

static ad_var *number_column(const nn_table *t, ad_dtype dtype, int column, int64_t n, const word *w) {
    ad_graph *g = t->object.graph;
    ad_var *y = ad_zeros(g, dtype, AD_SHAPE(t->rows));
    void *to = ad_data_mut(y);
    for (int64_t i = 0; i < t->rows && ad_ok(g); i++) {
        word sought = { cell(t, i, column), 0 };
        const word *found = sought.text ? bsearch(&sought, w, (size_t)n, sizeof *w, by_word) : NULL;
        if (sought.text != NULL && found == NULL)
            ad_fail(g, AD_EVALUE, "table: %s: row %lld of column %d: %.60s is not among the %lld words", t->path,
                    (long long)i, column, sought.text, (long long)n);
        else ad_write_element(dtype, to, i, found ? (double)found->number : (double)NAN);
    }
    return ad_ok(g) ? y : ad_nil(g);
}

ad_var *nn_table_classes_of(const nn_table *t, ad_dtype dtype, const char *name, int64_t n, const char *const words[]) {
    int column = usable(t) ? find(t, name) : -1;
    const word *w = column >= 0 ? sorted_words(t, n, words) : NULL;
    return w ? number_column(t, dtype, column, n, w) : nothing(t);
}

ad_var *nn_table_classes(const nn_table *t, ad_dtype dtype, const char *name, int64_t *classes) {
    int64_t n;
    const char *const *words = nn_table_words(t, name, &n);
    ad_var *y = words ? nn_table_classes_of(t, dtype, name, n, words) : nothing(t);
    if (classes != NULL) *classes = ad_is_nil(y) ? 0 : n;
    return y;
}

/* ---- missing values of arrays ------------------------------------------------------------------------ */

ad_var *nn_column_means(ad_var *x) {
    ad_var *present = ad_logical_not(ad_isnan(x));
    ad_var *known = ad_where(present, x, ad_scalar(ad_graph_of(x), ad_dtype_of(x), 0));
    return ad_div(ad_sum_axis(known, 0, true), ad_sum_axis(present, 0, true));
}

ad_var *nn_fill_missing(ad_var *x, ad_var *values) {
    ad_var *full = ad_where(ad_isnan(x), values, x);
    if (ad_is_nil(full) || ad_shape_equal(ad_shape_of(full), ad_shape_of(x))) return full;
    ad_graph *g = ad_graph_of(x);
    return ad_fail(g, AD_ESHAPE, "fill_missing: values %s do not fit x %s", ad_shape_str(ad_shape_of(values)).text,
                   ad_shape_str(ad_shape_of(x)).text), ad_nil(g);
}
