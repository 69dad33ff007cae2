/* npz.c: writes arrays to an .npz archive, as numpy.savez does: a zip archive of .npy files that are not compressed. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "autodiff/base/durable.h"
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/bytes.h"
#include "nn/file/checksum.h"
#include "nn/file/fault.h"
#include "nn/file/npy.h"
#include "nn/file/path.h"
#include "nn/file/zip.h"

enum { LONGEST_NAME = 250 };

static int check(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (path == NULL || names == NULL) return ad_fail(g, AD_EVALUE, "save_npz: %s is NULL", path ? "names" : "path");
    for (int i = 0; i < n; i++) {
        if (names[i] == NULL || strlen(names[i]) > LONGEST_NAME)
            return ad_fail(g, AD_EVALUE, "save_npz: the name of array %d is NULL or has more than %d bytes", i,
                           LONGEST_NAME);
        if (ad_is_nil(vars[i])) return ad_fail(g, AD_EVALUE, "save_npz: %s is nil", names[i]);
    }
    return AD_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int check_distinct(ad_graph *g, int n, const char *const names[]) {
    const char **sorted = ad_scope_alloc(g, (size_t)n * sizeof *sorted);
    if (sorted == NULL) return AD_ENOMEM;
    memcpy(sorted, names, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int i = 1; i < n; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return ad_fail(g, AD_EVALUE, "save_npz: two arrays are called %s", sorted[i]);
    return AD_OK;
}

/* ---- records: numbers, the lowest byte first ------------------------------------------------------------ */

typedef struct {
    unsigned char byte[NN__ZIP_ENTRY_SIZE + 32];
    int n;
} record;

static void put(record *r, uint64_t v, int size) {
    nn__put_little_endian(v, size, r->byte + r->n);
    r->n += size;
}

static uint64_t narrow(uint64_t v) { return v < UINT32_MAX ? v : UINT32_MAX; }

/* A number that does not fit its field stands behind the name. */
static void put_wide(record *r, uint64_t v) {
    if (v >= UINT32_MAX) put(r, v, 8);
}

static int wide_bytes(uint64_t v) { return v >= UINT32_MAX ? 8 : 0; }

typedef struct {
    const char *name; /* without .npy */
    uint64_t size, place;
    uint32_t crc;
} member;

/* What the record before a file and its entry in the directory have in common. The date is the first that the format
   can hold: the same arrays make the same file. */
static void put_common(record *r, const member *m, int extra) {
    enum { WIDE = 45, PLAIN = 20, UTF8 = 1 << 11, STORED = 0, NEW_YEAR_1980 = (1 << 5 | 1) << 16 };
    put(r, extra > 0 ? WIDE : PLAIN, 2);
    put(r, UTF8, 2);
    put(r, STORED, 2);
    put(r, NEW_YEAR_1980, 4);
    put(r, m->crc, 4);
    put(r, narrow(m->size), 4);
    put(r, narrow(m->size), 4);
    put(r, strlen(m->name) + 4, 2);
    put(r, (uint64_t)extra, 2);
}

static void write_record(FILE *f, const record *r, const member *m, const record *extra) {
    fwrite(r->byte, 1, (size_t)r->n, f);
    fputs(m->name, f);
    fputs(".npy", f);
    fwrite(extra->byte, 1, (size_t)extra->n, f);
}

static record extra_of(uint64_t size, uint64_t place) {
    record r = { .n = 0 };
    int n = 2 * wide_bytes(size) + wide_bytes(place);
    if (n == 0) return r;
    put(&r, 1, 2);
    put(&r, (uint64_t)n, 2);
    put_wide(&r, size);
    put_wide(&r, size);
    put_wide(&r, place);
    return r;
}

/* ---- the archive ------------------------------------------------------------------------------------------ */

static uint64_t write_file(FILE *f, member *m, const ad_var *x) {
    char header[NN__NPY_HEADER];
    size_t head = (size_t)nn__npy_header(x, header);
    m->size = head + ad_bytes_of(x);
    m->crc = nn__crc32(nn__crc32(0, header, head), ad_data(x), ad_bytes_of(x));
    record r = { .n = 0 }, extra = extra_of(m->size, 0);
    put(&r, NN__ZIP_LOCAL, 4);
    put_common(&r, m, extra.n);
    write_record(f, &r, m, &extra);
    fwrite(header, 1, head, f);
    if (ad_numel(x) > 0) fwrite(ad_data(x), 1, ad_bytes_of(x), f);
    return NN__ZIP_LOCAL_SIZE + strlen(m->name) + 4 + (uint64_t)extra.n + m->size;
}

static uint64_t write_entry(FILE *f, const member *m) {
    record r = { .n = 0 }, extra = extra_of(m->size, m->place);
    put(&r, NN__ZIP_ENTRY, 4);
    put(&r, extra.n > 0 ? 45 : 20, 2);
    put_common(&r, m, extra.n);
    put(&r, 0, 8); /* no comment, the first disk, not text */
    put(&r, 0, 2); /* the rest of the attributes */
    put(&r, narrow(m->place), 4);
    write_record(f, &r, m, &extra);
    return NN__ZIP_ENTRY_SIZE + strlen(m->name) + 4 + (uint64_t)extra.n;
}

static void write_end(FILE *f, uint64_t n, uint64_t begin, uint64_t size) {
    record r = { .n = 0 };
    bool wide = n >= UINT16_MAX || begin >= UINT32_MAX || size >= UINT32_MAX;
    if (wide) {
        put(&r, NN__ZIP64_END, 4), put(&r, NN__ZIP64_END_SIZE - 12, 8);
        put(&r, 45, 2), put(&r, 45, 2), put(&r, 0, 8);
        put(&r, n, 8), put(&r, n, 8), put(&r, size, 8), put(&r, begin, 8);
        fwrite(r.byte, 1, (size_t)r.n, f);
        r.n = 0;
        put(&r, NN__ZIP64_PLACE, 4), put(&r, 0, 4), put(&r, begin + size, 8), put(&r, 1, 4);
    }
    put(&r, NN__ZIP_END, 4), put(&r, 0, 4);
    for (int i = 0; i < 2; i++) put(&r, n < UINT16_MAX ? n : UINT16_MAX, 2);
    put(&r, narrow(size), 4), put(&r, narrow(begin), 4), put(&r, 0, 2);
    fwrite(r.byte, 1, (size_t)r.n, f);
}

/* The stream keeps the faults of writing. */
static void write_archive(FILE *f, int n, member *members, ad_var *const vars[]) {
    uint64_t at = 0, size = 0;
    for (int i = 0; i < n; i++) members[i].place = at, at += write_file(f, &members[i], vars[i]);
    for (int i = 0; i < n; i++) size += write_entry(f, &members[i]);
    write_end(f, (uint64_t)n, at, size);
}

static int save(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    ad__durable d;
    member *members = ad_scope_alloc(g, (size_t)n * sizeof *members);
    if (members == NULL) return AD_ENOMEM;
    for (int i = 0; i < n; i++) members[i].name = names[i];
    const char *fault = ad__durable_open(&d, path);
    if (fault == NULL) {
        write_archive(d.to, n, members, vars);
        fault = ad__durable_close(&d);
    }
    return fault ? ad_fail(g, nn__fault_code(fault), "save_npz: %s: %s", nn__path_end(path), fault) : AD_OK;
}

int nn_save_npz(const char *path, int n, const char *const names[], ad_var *const vars[]) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && vars != NULL && g == NULL; i++) g = ad_graph_of(vars[i]);
    if (g == NULL) return n > 0 && vars != NULL ? AD_EGRAPH : AD_EVALUE; /* no graph to have an error */
    int rc = check(g, path, n, names, vars);
    if (rc != AD_OK) return rc;
    ad_mark m = ad_begin(g);
    rc = check_distinct(g, n, names);
    if (rc == AD_OK) rc = save(g, path, n, names, vars);
    ad_end(g, m);
    return rc;
}
