/* safetensors_write.c: writes safetensors files. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "autodiff/base/durable.h"
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/bytes.h"
#include "nn/file/checksum.h"
#include "nn/file/fault.h"
#include "nn/file/json.h"
#include "nn/file/path.h"
#include "nn/file/safetensors.h"

/* What is written. Messages begin with caller and path, its end: "save: net.safetensors". */
typedef struct {
    ad_graph *graph;
    const char *caller, *path;
    int n, n_notes;
    const nn_parameter *arrays;
    const nn__note *notes;
} contents;

/* ---- names -------------------------------------------------------------------------------------------- */

static bool is_utf8(const char *text) {
    size_t left = strlen(text);
    for (int size; left > 0; text += size, left -= (size_t)size)
        if ((size = nn__utf8_size(text, left)) == 0) return false;
    return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int check_names(const contents *c) {
    const char **names = ad_scope_alloc(c->graph, (size_t)(c->n + 1) * sizeof *names);
    if (names == NULL) return AD_ENOMEM;
    for (int i = 0; i < c->n; i++) {
        names[i] = c->arrays[i].name;
        if (strcmp(names[i], NN__NOTES) == 0)
            return ad_fail(c->graph, AD_EVALUE, "%s: %s: an array cannot be called %s", c->caller, c->path, NN__NOTES);
        if (!is_utf8(names[i])) return ad_fail(c->graph, AD_EVALUE, "%s: %s: a name is not UTF-8", c->caller, c->path);
    }
    qsort(names, (size_t)c->n, sizeof *names, by_name);
    for (int i = 1; i < c->n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return ad_fail(c->graph, AD_EVALUE, "%s: %s: two arrays are called %s", c->caller, c->path, names[i]);
    return AD_OK;
}

/* ---- the header --------------------------------------------------------------------------------------- */

/* Text that is counted, and kept if `to` is not NULL. */
typedef struct {
    char *to;
    size_t n;
} text;

static void put(text *t, const char *bytes, size_t n) {
    if (t->to != NULL) memcpy(t->to + t->n, bytes, n);
    t->n += n;
}

static void put_text(text *t, const char *bytes) { put(t, bytes, strlen(bytes)); }

static void put_string(text *t, const char *bytes) {
    put(t, "\"", 1);
    for (; *bytes != '\0'; bytes++) {
        char escape[8] = { '\\', *bytes };
        bool control = (unsigned char)*bytes < ' ', escaped = *bytes == '"' || *bytes == '\\';
        if (control) snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*bytes);
        if (control || escaped) put_text(t, escape);
        else put(t, bytes, 1);
    }
    put(t, "\"", 1);
}

static void put_integers(text *t, int n, const int64_t *v) {
    char digits[24];
    for (int i = 0; i < n; i++) {
        snprintf(digits, sizeof digits, "%s%lld", i ? "," : "", (long long)v[i]);
        put_text(t, digits);
    }
}

static void put_entry(text *t, nn_parameter a, int64_t *at) {
    ad_shape s = ad_shape_of(a.var);
    int64_t place[2] = { *at, *at + (int64_t)ad_bytes_of(a.var) };
    put_text(t, ",");
    put_string(t, a.name);
    put_text(t, ad_dtype_of(a.var) == AD_F32 ? ":{\"dtype\":\"F32\",\"shape\":[" : ":{\"dtype\":\"F64\",\"shape\":[");
    put_integers(t, s.ndim, s.dim);
    put_text(t, "],\"data_offsets\":[");
    put_integers(t, 2, place);
    put_text(t, "]}");
    *at = place[1];
}

/* The order of the arrays in the file: f64 first, which aligns each array to the size of its elements. */
static const ad_dtype order[] = { AD_F64, AD_F32 };
enum { DTYPES = sizeof order / sizeof *order };

/* Padded with spaces so that the arrays begin at a multiple of 8 bytes. */
static void put_header(text *t, const contents *c) {
    int64_t at = 0;
    put_text(t, NN__BEFORE_CHECKSUM "00000000\"");
    for (int i = 0; i < c->n_notes; i++) {
        put_text(t, ",");
        put_string(t, c->notes[i].name);
        put_text(t, ":");
        put_string(t, c->notes[i].text);
    }
    put_text(t, "}");
    for (int k = 0; k < DTYPES; k++)
        for (int i = 0; i < c->n; i++)
            if (ad_dtype_of(c->arrays[i].var) == order[k]) put_entry(t, c->arrays[i], &at);
    put_text(t, "}");
    while (t->n % NN__LENGTH != 0) put_text(t, " ");
}

/* In memory of the innermost scope; to is NULL where that is short. */
static text header_of(const contents *c) {
    text counted = { NULL, 0 };
    put_header(&counted, c);
    text kept = { ad_scope_alloc(c->graph, counted.n), 0 };
    if (kept.to != NULL) put_header(&kept, c);
    return kept;
}

/* ---- the file ----------------------------------------------------------------------------------------- */

/* Where the bytes go: first to a checksum alone, with to NULL, then to the file too. The stream keeps its faults. */
typedef struct {
    FILE *to;
    uint32_t crc;
} sink;

static void give(sink *s, const void *bytes, size_t n) {
    if (s->to != NULL) fwrite(bytes, 1, n, s->to);
    else s->crc = nn__crc32(s->crc, bytes, n);
}

/* The file is little-endian, as this machine mostly is. */
static void give_array(sink *s, const ad_var *x) {
    enum { CHUNK = 16 << 10 };
    unsigned char bytes[CHUNK];
    int size = (int)ad_dtype_size(ad_dtype_of(x)), n = 0;
    const char *from = ad_data(x);
    if (*(const char *)&(int){ 1 } == 1 && ad_numel(x) > 0) {
        give(s, from, ad_bytes_of(x));
        return;
    }
    for (int64_t i = 0; i < ad_numel(x); i++, n += size, from += size) {
        if (n == CHUNK) give(s, bytes, CHUNK), n = 0;
        uint32_t narrow;
        uint64_t wide;
        if (size == 4) memcpy(&narrow, from, 4), wide = narrow;
        else memcpy(&wide, from, 8);
        nn__put_little_endian(wide, size, bytes + n);
    }
    give(s, bytes, (size_t)n);
}

static void give_all(sink *s, const contents *c, const text *header) {
    unsigned char length[NN__LENGTH];
    nn__put_little_endian(header->n, NN__LENGTH, length);
    give(s, length, NN__LENGTH);
    give(s, header->to, header->n);
    for (int k = 0; k < DTYPES; k++)
        for (int i = 0; i < c->n; i++)
            if (ad_dtype_of(c->arrays[i].var) == order[k]) give_array(s, c->arrays[i].var);
}

static void set_checksum(const contents *c, text *header) {
    char digits[NN__DIGITS + 1];
    sink s = { NULL, 0 };
    give_all(&s, c, header);
    snprintf(digits, sizeof digits, "%08lx", (unsigned long)s.crc);
    memcpy(header->to + sizeof NN__BEFORE_CHECKSUM - 1, digits, NN__DIGITS);
}

static int write_file(const contents *c, const char *path, const text *header) {
    ad__durable d;
    const char *fault = ad__durable_open(&d, path);
    if (fault == NULL) {
        sink s = { d.to, 0 };
        give_all(&s, c, header);
        fault = ad__durable_close(&d);
    }
    return fault ? ad_fail(c->graph, nn__fault_code(fault), "%s: %s: %s", c->caller, c->path, fault) : AD_OK;
}

static int write_contents(const contents *c, const char *path) {
    text header = header_of(c);
    if (header.to == NULL) return AD_ENOMEM;
    set_checksum(c, &header);
    return write_file(c, path, &header);
}

int nn__write_tensors(ad_graph *g, const char *caller, const char *path, int n, const nn_parameter *arrays, int n_notes,
                      const nn__note *notes) {
    if (!ad_ok(g)) return g ? ad_error_code(g) : AD_EVALUE;
    if (path == NULL) return ad_fail(g, AD_EVALUE, "%s: path is NULL", caller);
    contents c = { g, caller, nn__path_end(path), n, n_notes, arrays, notes };
    ad_mark m = ad_begin(g);
    int rc = check_names(&c);
    if (rc == AD_OK) rc = write_contents(&c, path);
    ad_end(g, m);
    return rc;
}
