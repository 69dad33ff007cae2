/* safetensors.c: reads safetensors files: https://github.com/huggingface/safetensors#format

   A length in 8 bytes, that many bytes of JSON, then the elements of the arrays, all little-endian. The JSON has the
   dtype, shape and byte range of each array; the ranges neither overlap nor leave gaps. */
#define _POSIX_C_SOURCE 200809L
#include "nn/file/safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file/bytes.h"
#include "nn/file/checksum.h"
#include "nn/file/fault.h"
#include "nn/file/json.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"

enum { LENGTH = NN__LENGTH, MOST_HEADER = 100000000 /* the limit of the reference implementation */ };
static const char NOTES[] = NN__NOTES;

/* ---- element types ----------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    nn__format format; /* kind 0: a type of the format that nn_load does not read */
} element_type;

static const element_type types[] = {
    { "F64", { 'f', 8, false } },  { "F32", { 'f', 4, false } }, { "F16", { 'f', 2, false } },
    { "BF16", { 'b', 2, false } }, { "I64", { 'i', 8, false } }, { "I32", { 0, 4, false } },
    { "I16", { 0, 2, false } },    { "I8", { 0, 1, false } },    { "U64", { 0, 8, false } },
    { "U32", { 0, 4, false } },    { "U16", { 0, 2, false } },   { "U8", { 0, 1, false } },
    { "BOOL", { 0, 1, false } },
};

static const element_type *type_named(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

typedef struct {
    ad_graph *graph;
    const char *caller, *path; /* path: its end */
} place;

typedef struct {
    const char *name; /* in the file's bytes */
    const element_type *type;
    ad_shape shape;
    int64_t begin, end; /* bytes, from the end of the header */
} entry;

struct nn__tensor_file {
    place place;
    char path_end[256];
    int64_t size; /* of the file */
    unsigned char *bytes;
    int64_t header;  /* bytes of JSON */
    entry *entries;  /* by name */
    nn__note *notes; /* by name */
    int n, n_notes;
};

static int fail(const nn__tensor_file *f, int code, const char *format, ...) AD_PRINTF(3, 4);
static int fail(const nn__tensor_file *f, int code, const char *format, ...) {
    char where[320];
    snprintf(where, sizeof where, "%s: %s: ", f->place.caller, f->place.path);
    va_list args;
    va_start(args, format);
    ad_vfail(f->place.graph, code, where, format, args);
    va_end(args);
    return code;
}

static int fail_file(const nn__tensor_file *f, const char *fault) {
    return fail(f, nn__fault_code(fault), "%s", fault);
}

static int read_bytes(nn__tensor_file *f, FILE *from) {
    struct stat about;
    if (fstat(fileno(from), &about) != 0) return fail_file(f, ad__fault_of(errno));
    f->size = about.st_size;
    if (f->size < LENGTH)
        return fail(f, AD_EIO, "is truncated: %lld bytes, fewer than the 8 it begins with", (long long)f->size);
    f->bytes = ad_scope_closing(f->place.graph, (size_t)f->size, NULL);
    if (f->bytes == NULL) return AD_ENOMEM;
    errno = 0;
    if (fread(f->bytes, 1, (size_t)f->size, from) != (size_t)f->size)
        return fail_file(f, ferror(from) ? ad__fault_of(errno) : "changed while it was read");
    return AD_OK;
}

static int read_file(nn__tensor_file *f, const char *path) {
    const char *fault;
    FILE *from = nn__plain_open(path, &fault);
    if (from == NULL) return fail_file(f, fault);
    int rc = read_bytes(f, from);
    fclose(from);
    return rc;
}

static int find_header(nn__tensor_file *f) {
    uint64_t length = nn__uint_of(f->bytes, LENGTH, false);
    if (length > MOST_HEADER)
        return fail(f, AD_EIO, "is not a safetensors file: it begins with a header of %llu bytes, more than %d",
                    (unsigned long long)length, MOST_HEADER);
    if ((int64_t)length > f->size - LENGTH)
        return fail(f, AD_EIO, "is truncated: a header of %lld bytes, %lld found", (long long)length,
                    (long long)(f->size - LENGTH));
    f->header = (int64_t)length;
    return AD_OK;
}

/* Files of other writers have no checksum, or have it elsewhere, where it means nothing. */
static int check_checksum(const nn__tensor_file *f) {
    enum { BEFORE = sizeof NN__BEFORE_CHECKSUM - 1, HEAD = LENGTH + BEFORE };
    char text[NN__DIGITS + 1];
    const unsigned char *rest = f->bytes + HEAD + NN__DIGITS;
    if (f->header < BEFORE + NN__DIGITS + 1 || memcmp(f->bytes + LENGTH, NN__BEFORE_CHECKSUM, BEFORE) != 0)
        return AD_OK;
    uint32_t crc = nn__crc32(nn__crc32(0, f->bytes, HEAD), "00000000", NN__DIGITS);
    crc = nn__crc32(crc, rest, (size_t)(f->bytes + f->size - rest));
    snprintf(text, sizeof text, "%08lx", (unsigned long)crc);
    if (memcmp(text, rest - NN__DIGITS, NN__DIGITS) == 0) return AD_OK;
    return fail(f, AD_EIO,
                "is damaged: the checksum of its bytes is %s and not %.8s; or another program changed it and "
                "kept " NN__CHECKSUM " in its " NN__NOTES,
                text, (const char *)rest - NN__DIGITS);
}

static int fail_json(const nn__tensor_file *f, const char *fault) {
    return fail(f, AD_EIO, "its header is not JSON: %s", fault);
}

static int check_json(const nn__tensor_file *f) {
    const char *text = (const char *)f->bytes + LENGTH, *fault = nn__json_fault(text, (size_t)f->header);
    if (fault != NULL) return fail_json(f, fault);
    while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n') text++; /* a value follows */
    return *text == '{' ? AD_OK : fail(f, AD_EIO, "its header is not a JSON object");
}

/* ---- the header, which is JSON without faults ------------------------------------------------------- */

static int parse_shape(const nn__tensor_file *f, entry *e, char *at) {
    if (at == NULL || nn__json_kind(&at) != '[') return fail(f, AD_EIO, "%s: its shape is not a list", e->name);
    int n = nn__json_count(at);
    if (n > AD_MAX_NDIM) return fail(f, AD_EIO, "%s: has %d axes; at most %d can be read", e->name, n, AD_MAX_NDIM);
    for (bool more = nn__json_enter(&at); more; more = nn__json_more(&at)) {
        int64_t size = -1;
        if (!nn__json_integer(&at, &size) || size < 0)
            return fail(f, AD_EIO, "%s: axis %d of its shape is not a size", e->name, e->shape.ndim);
        e->shape.dim[e->shape.ndim++] = size;
    }
    return AD_OK;
}

static int fail_offsets(const nn__tensor_file *f, const entry *e) {
    return fail(f, AD_EIO, "%s: its data_offsets are not two integers", e->name);
}

static int parse_offsets(const nn__tensor_file *f, entry *e, char *at) {
    if (at == NULL || nn__json_kind(&at) != '[' || nn__json_count(at) != 2) return fail_offsets(f, e);
    nn__json_enter(&at);
    if (!nn__json_integer(&at, &e->begin)) return fail_offsets(f, e);
    nn__json_more(&at);
    if (!nn__json_integer(&at, &e->end)) return fail_offsets(f, e);
    return AD_OK;
}

static int check_place(const nn__tensor_file *f, const entry *e) {
    int64_t all = f->size - LENGTH - f->header, numel = ad_shape_numel(e->shape);
    if (e->begin < 0 || e->begin > e->end || e->end > all)
        return fail(f, AD_EIO, "%s: bytes %lld to %lld are out of range: the file has %lld", e->name,
                    (long long)e->begin, (long long)e->end, (long long)all);
    int size = e->type->format.size;
    if (numel >= 0 && numel <= all / size && numel * size == e->end - e->begin) return AD_OK;
    return fail(f, AD_EIO, "%s: %s %s does not fill the %lld bytes of its data_offsets", e->name,
                ad_shape_str(e->shape).text, e->type->name, (long long)(e->end - e->begin));
}

/* Where the values of an entry begin; NULL where it has none. */
typedef struct {
    char *dtype, *shape, *offsets;
} fields;

/* Moves the cursor past the value. */
static int find_fields(const nn__tensor_file *f, char **at, fields *to) {
    if (nn__json_kind(at) != '{') return nn__json_skip(at), AD_OK;
    for (bool more = nn__json_enter(at); more; more = nn__json_more(at)) {
        const char *key = nn__json_key(at);
        char **field = strcmp(key, "dtype") == 0          ? &to->dtype
                       : strcmp(key, "shape") == 0        ? &to->shape
                       : strcmp(key, "data_offsets") == 0 ? &to->offsets
                                                          : NULL;
        if (field != NULL && *field != NULL) return fail_json(f, "duplicate object key");
        if (field != NULL) *field = *at;
        nn__json_skip(at);
    }
    return AD_OK;
}

static int parse_entry(const nn__tensor_file *f, const char *name, char **at, entry *e) {
    *e = (entry){ .name = name };
    fields of = { 0 };
    int rc = find_fields(f, at, &of);
    if (rc != AD_OK) return rc;
    if (of.dtype == NULL || nn__json_kind(&of.dtype) != '"') return fail(f, AD_EIO, "%s: has no dtype", name);
    const char *type = nn__json_string(&of.dtype);
    e->type = type_named(type);
    if (e->type == NULL) return fail(f, AD_EIO, "%s: its dtype %.40s is unknown", name, type);
    rc = parse_shape(f, e, of.shape);
    if (rc == AD_OK) rc = parse_offsets(f, e, of.offsets);
    return rc == AD_OK ? check_place(f, e) : rc;
}

static int by_note(const void *a, const void *b) {
    return strcmp(((const nn__note *)a)->name, ((const nn__note *)b)->name);
}

static int parse_notes(nn__tensor_file *f, char **at) {
    char kind = nn__json_kind(at);
    if (kind == 'n') return nn__json_skip(at), AD_OK; /* null: some writers mean none */
    if (kind != '{') return fail(f, AD_EIO, "its %s is not a JSON object", NOTES);
    f->notes = ad_scope_array(f->place.graph, ((size_t)nn__json_count(*at) + 1) * sizeof *f->notes);
    if (f->notes == NULL) return AD_ENOMEM;
    for (bool more = nn__json_enter(at); more; more = nn__json_more(at)) {
        const char *key = nn__json_key(at);
        if (nn__json_kind(at) != '"') return fail(f, AD_EIO, "%s in its %s is not a string", key, NOTES);
        f->notes[f->n_notes++] = (nn__note){ key, nn__json_string(at) };
    }
    qsort(f->notes, (size_t)f->n_notes, sizeof *f->notes, by_note);
    for (int i = 1; i < f->n_notes; i++)
        if (strcmp(f->notes[i - 1].name, f->notes[i].name) == 0) return fail_json(f, "duplicate object key");
    return AD_OK;
}

static int parse_header(nn__tensor_file *f) {
    char *at = (char *)f->bytes + LENGTH;
    bool notes = false;
    f->entries = ad_scope_array(f->place.graph, ((size_t)nn__json_count(at) + 1) * sizeof *f->entries);
    if (f->entries == NULL) return AD_ENOMEM;
    for (bool more = nn__json_enter(&at); more; more = nn__json_more(&at)) {
        const char *key = nn__json_key(&at);
        bool of_notes = strcmp(key, NOTES) == 0;
        if (of_notes && notes) return fail_json(f, "duplicate object key");
        int rc = of_notes ? parse_notes(f, &at) : parse_entry(f, key, &at, &f->entries[f->n]);
        if (rc != AD_OK) return rc;
        notes |= of_notes;
        f->n += !of_notes;
    }
    return AD_OK;
}

static int by_place(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Each array must begin where the one before it ends, and the last must end with the file. */
static int check_places(nn__tensor_file *f) {
    int64_t at = 0, all = f->size - LENGTH - f->header;
    qsort(f->entries, (size_t)f->n, sizeof *f->entries, by_place);
    for (int i = 0; i < f->n; at = f->entries[i++].end)
        if (f->entries[i].begin != at)
            return fail(f, AD_EIO, "%s: begins at byte %lld, which %s", f->entries[i].name,
                        (long long)f->entries[i].begin,
                        f->entries[i].begin < at ? "belongs to another array" : "leaves a gap before it");
    if (at == all) return AD_OK;
    return fail(f, AD_EIO, "has %lld bytes after its last array", (long long)(all - at));
}

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

static int check_names(nn__tensor_file *f) {
    qsort(f->entries, (size_t)f->n, sizeof *f->entries, by_name);
    for (int i = 1; i < f->n; i++)
        if (strcmp(f->entries[i - 1].name, f->entries[i].name) == 0) return fail_json(f, "duplicate object key");
    return AD_OK;
}

int nn__open_tensors(ad_graph *g, const char *caller, const char *path, nn__tensor_file **opened) {
    *opened = NULL;
    if (!ad_ok(g)) return g ? ad_error_code(g) : AD_EVALUE;
    if (path == NULL) return ad_fail(g, AD_EVALUE, "%s: path is NULL", caller);
    nn__tensor_file *f = *opened = ad_scope_alloc(g, sizeof *f);
    if (f == NULL) return AD_ENOMEM;
    *f = (nn__tensor_file){ .place = { g, caller, f->path_end } };
    snprintf(f->path_end, sizeof f->path_end, "%s", nn__path_end(path));
    int rc = read_file(f, path);
    if (rc == AD_OK) rc = find_header(f);
    if (rc == AD_OK) rc = check_checksum(f);
    if (rc == AD_OK) rc = check_json(f);
    if (rc == AD_OK) rc = parse_header(f);
    if (rc == AD_OK) rc = check_names(f);
    if (rc == AD_OK) rc = check_places(f);
    if (rc == AD_OK) qsort(f->entries, (size_t)f->n, sizeof *f->entries, by_name); /* for find */
    return rc;
}

/* ---- the arrays --------------------------------------------------------------------------------------- */

static const entry *find(const nn__tensor_file *f, const char *name) {
    entry wanted = { .name = name };
    return bsearch(&wanted, f->entries, (size_t)f->n, sizeof *f->entries, by_name);
}

/* Integers are read where they are one number: num_batches_tracked. */
static bool is_readable(const entry *e) {
    bool integer = e->type->format.kind == 'i';
    return e->type->format.kind != '\0' && (!integer || e->shape.ndim == 0);
}

bool nn__tensor_fits(const nn__tensor_file *f, const char *name, const ad_var *x) {
    const entry *e = find(f, name);
    return e != NULL && is_readable(e) && ad_shape_equal(e->shape, ad_shape_of(x));
}

int nn__check_tensor(const nn__tensor_file *f, const char *name, const ad_var *x) {
    const entry *e = find(f, name);
    if (e == NULL) return fail(f, AD_EIO, "has no %s", name);
    if (!is_readable(e))
        return fail(f, AD_EDTYPE, "%s: is %s; F64, F32, F16 and BF16 can be read", name, e->type->name);
    if (ad_shape_equal(e->shape, ad_shape_of(x))) return AD_OK;
    return fail(f, AD_ESHAPE, "%s: is %s in the file and %s here", name, ad_shape_str(e->shape).text,
                ad_shape_str(ad_shape_of(x)).text);
}

void nn__read_tensor(const nn__tensor_file *f, const char *name, ad_var *x) {
    const entry *e = find(f, name);
    nn__decode(e->type->format, f->bytes + LENGTH + f->header + e->begin, ad_numel(x), 1, ad_dtype_of(x),
               ad_data_mut(x), 0);
}

int nn__tensor_count(const nn__tensor_file *f) { return f->n; }
const char *nn__tensor_name(const nn__tensor_file *f, int i) { return f->entries[i].name; }
const char *nn__note_text(const nn__tensor_file *f, const char *name) {
    nn__note wanted = { name, NULL };
    const nn__note *found =
        f->n_notes > 0 ? bsearch(&wanted, f->notes, (size_t)f->n_notes, sizeof *f->notes, by_note) : NULL;
    return found ? found->text : NULL;
}
