/* csv.c: tables of text in CSV files, read by libcsv, and their columns as numbers or classes. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef AD_HAVE_CSV
#include <csv.h>
#endif

#include "autodiff/graph/node.h"
#include "nn/nn.h"
#include "nn/file/numbers.h"
#include "nn/file/path.h"

struct nn_table {
    ad_graph *graph;
    const char *path; /* as shown in messages */
    const char *missing;
    int64_t rows;
    int columns;
    const char **names; /* [columns] */
    const char **cells; /* [rows, columns]; NULL where there is nothing */
};

#ifdef AD_HAVE_CSV

/* ---- reading: once to count, so that memory is taken once, and once more to keep -------------------------- */

typedef struct {
    nn_table *table;
    bool header, keep;
    int64_t line; /* lines with fields so far, the header's among them */
    int column;   /* of the next field */
    bool failed;
} reader;

static const char *copy_text(reader *r, const char *text, size_t n) {
    char *to = ad_scope_alloc(r->table->graph, n + 1);
    if (to == NULL) return r->failed = true, NULL;
    memcpy(to, text, n);
    to[n] = '\0';
    return to;
}

static bool is_missing(const nn_table *t, const char *text, size_t n) {
    return n == 0 || (t->missing != NULL && strlen(t->missing) == n && memcmp(t->missing, text, n) == 0);
}

static void on_field(void *text, size_t n, void *data) {
    reader *r = data;
    nn_table *t = r->table;
    int column = r->column++;
    if (!r->keep || r->failed || column >= t->columns) return;
    int64_t row = r->line - r->header;
    if (row < 0) t->names[column] = copy_text(r, text, n);
    else if (row < t->rows && !is_missing(t, text, n)) t->cells[row * t->columns + column] = copy_text(r, text, n);
}

static void on_line(int end, void *data) {
    (void)end;
    reader *r = data;
    nn_table *t = r->table;
    int columns = r->column;
    r->column = 0;
    if (r->line++ == 0 && !r->keep) t->columns = columns;
    if (columns == t->columns || r->failed) return;
    r->failed = true;
    ad_fail(t->graph, AD_EIO, "read_csv: %s: line %lld of %d fields, where the first has %d", t->path,
            (long long)r->line, columns, t->columns);
}

static int fail_parsing(const reader *r, struct csv_parser *p) {
    const nn_table *t = r->table;
    if (csv_error(p) == CSV_ENOMEM || csv_error(p) == CSV_ETOOBIG)
        return ad_fail(t->graph, AD_ENOMEM, "read_csv: %s: out of memory for a field", t->path);
    return ad_fail(t->graph, AD_EIO, "read_csv: %s: line %lld: quotes do not match", t->path, (long long)r->line + 1);
}

/* A file may begin with the bytes that mark it as UTF-8. */
static size_t read_chunk(FILE *f, bool first, char *to, size_t size) {
    size_t n = fread(to, 1, size, f);
    if (!first || n < 3 || memcmp(to, "\xef\xbb\xbf", 3) != 0) return n;
    memmove(to, to + 3, n - 3);
    return n - 3;
}

static int read_all(reader *r, FILE *f, struct csv_parser *p) {
    char bytes[16 << 10];
    for (size_t n, first = 1; (n = read_chunk(f, first, bytes, sizeof bytes)) > 0; first = 0)
        if (csv_parse(p, bytes, n, on_field, on_line, r) != n) return fail_parsing(r, p);
    if (ferror(f))
        return ad_fail(r->table->graph, AD_EIO, "read_csv: %s: %s", r->table->path, strerror(errno ? errno : EIO));
    if (csv_fini(p, on_field, on_line, r) != 0) return fail_parsing(r, p);
    return ad_error_code(r->table->graph);
}

static int pass(reader *r, FILE *f, char delimiter) {
    struct csv_parser p;
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI) != 0) return AD_EIO;
    if (delimiter != '\0') csv_set_delim(&p, (unsigned char)delimiter);
    r->line = r->column = 0;
    int rc = read_all(r, f, &p);
    csv_free(&p);
    return rc;
}

static int reserve(nn_table *t, int64_t rows) {
    ad_graph *g = t->graph;
    if (rows < 0) return ad_fail(g, AD_EIO, "read_csv: %s: has no header", t->path);
    t->rows = rows;
    t->names = ad_scope_zalloc(g, (size_t)t->columns * sizeof *t->names + 1);
    size_t bytes = (size_t)rows * (size_t)t->columns * sizeof *t->cells;
    t->cells = t->names ? ad_scope_array(g, bytes + 1) : NULL;
    if (t->cells == NULL) return AD_ENOMEM;
    memset(t->cells, 0, bytes);
    return AD_OK;
}

static int load(nn_table *t, FILE *f, nn_csv_opts o) {
    reader r = { .table = t, .header = !o.no_header };
    int rc = pass(&r, f, o.delimiter);
    if (rc == AD_OK) rc = reserve(t, r.line - r.header);
    if (rc != AD_OK) return rc;
    if (fseek(f, 0, SEEK_SET) != 0)
        return ad_fail(t->graph, AD_EIO, "read_csv: %s: cannot be read twice; copy it to a file", t->path);
    r.keep = true;
    return pass(&r, f, o.delimiter);
}

nn_table *nn_read_csv(ad_graph *g, const char *path, nn_csv_opts o) {
    if (!ad_ok(g)) return NULL;
    if (path == NULL) return ad_fail(g, AD_EVALUE, "read_csv: path is NULL"), NULL;
    nn_table *t = ad_scope_zalloc(g, sizeof *t);
    if (t == NULL) return NULL;
    char *shown = ad_scope_alloc(g, strlen(nn__path_end(path)) + 1);
    if (shown == NULL) return NULL;
    *t = (nn_table){ .graph = g, .path = strcpy(shown, nn__path_end(path)), .missing = o.missing };
    FILE *f = fopen(path, "rb");
    if (f == NULL) return ad_fail(g, AD_EIO, "read_csv: %s: %s", t->path, strerror(errno)), NULL;
    int rc = load(t, f, o);
    fclose(f);
    t->missing = NULL; /* the caller's */
    return rc == AD_OK ? t : NULL;
}

#else
nn_table *nn_read_csv(ad_graph *g, const char *path, nn_csv_opts o) {
    (void)o;
    ad_fail(g, AD_EABSENT, "read_csv: %s: this build has no libcsv", path ? nn__path_end(path) : "NULL");
    return NULL;
}
#endif

/* ---- looking ------------------------------------------------------------------------------------------------- */

int64_t nn_table_rows(const nn_table *t) { return t ? t->rows : 0; }
int nn_table_columns(const nn_table *t) { return t ? t->columns : 0; }
const char *nn_table_name(const nn_table *t, int column) {
    return t != NULL && column >= 0 && column < t->columns ? t->names[column] : NULL;
}
const char *nn_table_text(const nn_table *t, int64_t row, int column) {
    bool there = t != NULL && row >= 0 && row < t->rows && column >= 0 && column < t->columns;
    return there ? t->cells[row * t->columns + column] : NULL;
}

static int find(const nn_table *t, const char *name) {
    for (int i = 0; i < t->columns; i++)
        if (t->names[i] != NULL && strcmp(t->names[i], name) == 0) return i;
    return ad_fail(t->graph, AD_EVALUE, "table: %s has no column %.100s", t->path, name);
}

static void put(ad_var *x, int64_t i, double v) {
    if (ad_dtype_of(x) == AD_F32) ((float *)x->data)[i] = (float)v;
    else ((double *)x->data)[i] = v;
}

static int fill_plain(const nn_table *t, int column, ad_var *x, int64_t at, int64_t stride) {
    for (int64_t i = 0; i < t->rows; i++) {
        const char *text = t->cells[i * t->columns + column];
        char *end = NULL;
        double v = text ? strtod(text, &end) : (double)NAN;
        if (text != NULL && (end == text || *end != '\0'))
            return ad_fail(t->graph, AD_EVALUE, "table: %s: row %lld of column %d: %.60s is no number", t->path,
                           (long long)i, column, text);
        put(x, i * stride + at, v);
    }
    return AD_OK;
}

static int fill_column(const nn_table *t, int column, ad_var *x, int64_t at, int64_t stride) {
    nn__locale l = nn__enter_plain_numbers();
    int rc = fill_plain(t, column, x, at, stride);
    nn__leave_plain_numbers(l);
    return rc;
}

ad_var *nn_table_range(const nn_table *t, ad_dtype dtype, int from, int to) {
    ad_graph *g = t ? t->graph : NULL;
    if (!ad_ok(g)) return ad_nil(g);
    if (from < 0 || to < from || to > t->columns)
        return ad_fail(g, AD_EVALUE, "table: %s: columns %d to %d of %d", t->path, from, to, t->columns), ad_nil(g);
    ad_var *x = ad_zeros(g, dtype, AD_SHAPE(t->rows, to - from));
    for (int j = from; ad_ok(g) && j < to; j++) fill_column(t, j, x, j - from, to - from);
    return ad_ok(g) ? x : ad_nil(g);
}

ad_var *nn_table_numbers(const nn_table *t, ad_dtype dtype, int n, const char *const names[]) {
    ad_graph *g = t ? t->graph : NULL;
    if (!ad_ok(g)) return ad_nil(g);
    ad_var *x = ad_zeros(g, dtype, AD_SHAPE(t->rows, n));
    for (int j = 0; ad_ok(g) && j < n; j++) {
        int column = find(t, names[j]);
        if (column >= 0) fill_column(t, column, x, j, n);
    }
    return ad_ok(g) ? x : ad_nil(g);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Each text once, in strcmp's order; [*n] of them. */
static const char **different_texts(const nn_table *t, int column, int64_t *n) {
    const char **all = ad_scope_array(t->graph, (size_t)t->rows * sizeof *all + 1);
    int64_t there = 0;
    *n = 0;
    for (int64_t i = 0; i < t->rows && all != NULL; i++)
        if (t->cells[i * t->columns + column] != NULL) all[there++] = t->cells[i * t->columns + column];
    if (there > 0) qsort(all, (size_t)there, sizeof *all, by_text);
    for (int64_t i = 0; i < there; i++)
        if (*n == 0 || strcmp(all[*n - 1], all[i]) != 0) all[(*n)++] = all[i];
    return all;
}

ad_var *nn_table_classes(const nn_table *t, ad_dtype dtype, const char *name, int64_t *classes) {
    ad_graph *g = t ? t->graph : NULL;
    int64_t n = 0;
    if (classes != NULL) *classes = 0;
    int column = ad_ok(g) ? find(t, name) : -1;
    if (column < 0) return ad_nil(g);
    const char **texts = different_texts(t, column, &n);
    ad_var *y = texts ? ad_zeros(g, dtype, AD_SHAPE(t->rows)) : ad_nil(g);
    for (int64_t i = 0; ad_ok(g) && i < t->rows; i++) {
        const char *const *cell = &t->cells[i * t->columns + column];
        const char **found = *cell ? bsearch(cell, texts, (size_t)n, sizeof *texts, by_text) : NULL;
        put(y, i, found ? (double)(found - texts) : (double)NAN);
    }
    if (classes != NULL) *classes = n;
    return y;
}

/* ---- what is missing ----------------------------------------------------------------------------------------- */

ad_var *nn_column_means(ad_var *x) {
    ad_var *there = ad_logical_not(ad_isnan(x));
    ad_var *known = ad_where(there, x, ad_scalar(ad_graph_of(x), ad_dtype_of(x), 0));
    return ad_div(ad_sum_axis(known, 0, true), ad_sum_axis(there, 0, true));
}

ad_var *nn_fill_missing(ad_var *x, ad_var *values) { return ad_where(ad_isnan(x), values, x); }
