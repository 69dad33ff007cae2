/* csv.c: reads CSV files into tables of text, with libcsv. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef AD_HAVE_CSV
#include <csv.h>
#endif

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/fault.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"
#include "nn/file/table_private.h"

#ifdef AD_HAVE_CSV

/* The file is read twice: to count rows and columns, so that memory is allocated once, and to keep the fields. */
typedef struct {
    nn_table *table;
    nn_csv_opts opts;
    bool keep;    /* the second time */
    int64_t line; /* complete lines so far, with the header and without blank lines */
    int column;   /* of the next field */
    bool failed;
} reader;

/* ---- what libcsv calls ------------------------------------------------------------------------------- */

static const char *copy_text(reader *r, const char *text, size_t n) {
    char *to = ad_scope_alloc(r->table->object.graph, n + 1);
    if (to == NULL) return r->failed = true, NULL;
    if (n > 0) memcpy(to, text, n); /* text may be NULL for an empty field */
    to[n] = '\0';
    return to;
}

static bool is_missing(const reader *r, const char *text, size_t n) {
    const char *missing = r->opts.missing;
    return n == 0 || (missing != NULL && strlen(missing) == n && memcmp(missing, text, n) == 0);
}

/* Fields become C strings, which a NUL byte would cut short. */
static void refuse_nul(reader *r) {
    r->failed = true;
    ad_fail(r->table->object.graph, AD_EIO, "read_csv: %s: line %lld has a NUL byte in field %d", r->table->path,
            (long long)r->line + 1, r->column);
}

static void on_field(void *text, size_t n, void *data) {
    reader *r = data;
    nn_table *t = r->table;
    int column = r->column++;
    if (!r->failed && n > 0 && memchr(text, '\0', n) != NULL) refuse_nul(r);
    if (!r->keep || r->failed || column >= t->columns) return;
    int64_t row = r->line - !r->opts.no_header;
    if (row < 0) t->names[column] = copy_text(r, text, n);
    else if (row < t->rows && !is_missing(r, text, n)) t->cells[row * t->columns + column] = copy_text(r, text, n);
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
    ad_fail(t->object.graph, AD_EIO, "read_csv: %s: line %lld has %d fields, and the first line has %d", t->path,
            (long long)r->line, columns, t->columns);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static int fail_memory(const nn_table *t) {
    return ad_fail(t->object.graph, AD_ENOMEM, "read_csv: %s: out of memory for a field", t->path);
}

static int fail_file(const nn_table *t, const char *fault) {
    return ad_fail(t->object.graph, nn__fault_code(fault), "read_csv: %s: %s", t->path, fault);
}

static int fail_parsing(const reader *r, struct csv_parser *p) {
    const nn_table *t = r->table;
    if (csv_error(p) == CSV_ENOMEM || csv_error(p) == CSV_ETOOBIG) return fail_memory(t);
    return ad_fail(t->object.graph, AD_EIO, "read_csv: %s: line %lld: quotes do not match", t->path,
                   (long long)r->line + 1);
}

/* The byte order marks of UTF-16. That of UTF-32 begins with one of them, or has NUL bytes. */
static bool is_utf16(const char *text, size_t n) {
    return n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
}

/* Skips the byte order mark that a UTF-8 file may begin with. */
static size_t read_chunk(const reader *r, FILE *f, bool first, char *to, size_t size) {
    size_t n = fread(to, 1, size, f);
    if (first && is_utf16(to, n)) {
        ad_fail(r->table->object.graph, AD_EIO, "read_csv: %s: is in UTF-16; convert it to UTF-8", r->table->path);
        return 0;
    }
    if (!first || n < 3 || memcmp(to, "\xef\xbb\xbf", 3) != 0) return n;
    memmove(to, to + 3, n - 3);
    return n - 3;
}

static int read_all(reader *r, FILE *f, struct csv_parser *p) {
    char bytes[16 << 10];
    for (size_t n, first = 1; (n = read_chunk(r, f, first, bytes, sizeof bytes)) > 0; first = 0)
        if (csv_parse(p, bytes, n, on_field, on_line, r) != n) return fail_parsing(r, p);
    if (!ad_ok(r->table->object.graph)) return ad_error_code(r->table->object.graph);
    if (ferror(f)) return fail_file(r->table, ad__fault_of(errno));
    if (csv_fini(p, on_field, on_line, r) != 0) return fail_parsing(r, p);
    return ad_error_code(r->table->object.graph);
}

static int pass(reader *r, FILE *f) {
    struct csv_parser p;
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI) != 0) return fail_memory(r->table);
    if (r->opts.delimiter != '\0') csv_set_delim(&p, (unsigned char)r->opts.delimiter);
    r->line = r->column = 0;
    int rc = read_all(r, f, &p);
    csv_free(&p);
    return rc;
}

static int reserve(nn_table *t, int64_t rows) {
    ad_graph *g = t->object.graph;
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
    reader r = { .table = t, .opts = o };
    int rc = pass(&r, f);
    if (rc == AD_OK) rc = reserve(t, r.line - !o.no_header);
    if (rc != AD_OK) return rc;
    if (fseek(f, 0, SEEK_SET) != 0)
        return ad_fail(t->object.graph, AD_EIO, "read_csv: %s: cannot be read twice; copy it to a file", t->path);
    r.keep = true;
    return pass(&r, f);
}

#else

static int load(nn_table *t, FILE *f, nn_csv_opts o) {
    (void)f, (void)o;
    return ad_fail(t->object.graph, AD_EABSENT, "read_csv: %s: this build has no libcsv", t->path);
}

#endif

nn_table *nn_read_csv(ad_graph *g, const char *path, nn_csv_opts o) {
    if (!ad_ok(g)) return NULL;
    if (path == NULL) return ad_fail(g, AD_EVALUE, "read_csv: path is NULL"), NULL;
    if (o.delimiter == '"' || o.delimiter == '\n' || o.delimiter == '\r')
        return ad_fail(g, AD_EVALUE, "read_csv: the delimiter cannot be a quote or the end of a line"), NULL;
    nn_table *t = ad_scope_zalloc(g, sizeof *t);
    char *shown = t ? ad_scope_alloc(g, strlen(nn__path_end(path)) + 1) : NULL;
    if (shown == NULL) return NULL;
    *t = (nn_table){ .object = { g, &t->object }, .path = strcpy(shown, nn__path_end(path)) };
    const char *fault;
    FILE *f = nn__plain_open(path, &fault);
    if (f == NULL) return ad_fail(g, nn__fault_code(fault), "read_csv: %s: %s", t->path, fault), NULL;
    int rc = load(t, f, o);
    fclose(f);
    return rc == AD_OK ? t : NULL;
}
