/* npy.c: NumPy's arrays: .npy files, and reading them from .npz archives:
   https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#define _POSIX_C_SOURCE 200809L
#include "nn/file/npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "autodiff/base/durable.h"
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/bytes.h"
#include "nn/file/fault.h"
#include "nn/file/layout.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"
#include "nn/file/zip.h"
#include "ops/ops.h"

typedef struct {
    ad_graph *graph;
    const char *caller, *path, *member; /* for messages; member: "" for an .npy file, otherwise "/name" */
    nn__read_fn *read;
    void *source;
    const char *(*cut)(void *source); /* why read found too few bytes */
    int64_t size;                     /* bytes of the file or member */
    int64_t begin;                    /* the first byte of the elements */
    nn__format format;
    bool fortran; /* the first axis runs fastest */
    ad_shape shape;
} npy;

static int fail(const npy *f, const char *fault) {
    return ad_fail(f->graph, nn__fault_code(fault), "%s: %s%s: %s", f->caller, f->path, f->member, fault);
}

/* ---- the header: a Python dictionary ----------------------------------------------------------------- */

/* The text after 'key': in the header; NULL where there is no such key. */
static const char *value_of(const char *header, const char *key) {
    char quoted[32];
    int n = snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(header, quoted);
    return at ? at + n + strspn(at + n, " ") : NULL;
}

/* A descr such as '<f4': byte order, kind, bytes. */
static int parse_type(npy *f, const char *text) {
    char *end = NULL;
    if (text == NULL || text[0] != '\'' || strlen(text) < 4) return fail(f, "its header has no descr");
    char order = text[1], kind = text[2];
    long size = strtol(text + 3, &end, 10);
    bool whole = (kind == 'i' || kind == 'u') && (size == 1 || size == 2 || size == 4 || size == 8);
    bool real = kind == 'f' && (size == 2 || size == 4 || size == 8);
    bool boolean = kind == 'b' && size == 1;
    if (strchr("<>|=", order) == NULL || *end != '\'' || !(whole || real || boolean))
        return fail(f, "its dtype is none of f2, f4, f8, i1 to i8, u1 to u8 and b1");
    f->format = (nn__format){ boolean ? 'u' : kind, (unsigned char)size, order == '>' };
    return AD_OK;
}

static int parse_shape(npy *f, const char *text) {
    if (text == NULL || *text != '(') return fail(f, "its header has no shape");
    f->shape = (ad_shape){ 0, { 0 } };
    for (text++; *text != ')'; text += strspn(text, ", ")) {
        char *end;
        long long size = strtoll(text, &end, 10);
        if (end == text || size < 0) return fail(f, "its shape is not a tuple of sizes");
        if (f->shape.ndim == AD_MAX_NDIM) return fail(f, "has more than 6 axes");
        f->shape.dim[f->shape.ndim++] = size;
        text = end;
    }
    return AD_OK;
}

static int parse_header(npy *f, const char *header) {
    const char *fortran = value_of(header, "fortran_order");
    if (fortran == NULL) return fail(f, "its header has no fortran_order");
    f->fortran = strncmp(fortran, "True", 4) == 0;
    if (!f->fortran && strncmp(fortran, "False", 5) != 0) return fail(f, "its fortran_order is neither True nor False");
    int rc = parse_type(f, value_of(header, "descr"));
    return rc == AD_OK ? parse_shape(f, value_of(header, "shape")) : rc;
}

static int read_bytes(const npy *f, int n, void *to) {
    return f->read(f->source, n, to) == n ? AD_OK : fail(f, f->cut(f->source));
}

/* Magic string, version, the length of the dictionary in 2 bytes or, from version 2 on, in 4, and the dictionary. */
static int read_header(npy *f) {
    enum { MAGIC = 6, FIXED = 8, LONGEST = 16 << 10 };
    unsigned char start[FIXED + 4];
    char text[LONGEST + 1];
    if (f->size < FIXED + 4) return fail(f, "is not an .npy file");
    int rc = read_bytes(f, FIXED, start);
    if (rc != AD_OK) return rc;
    if (memcmp(start, "\x93NUMPY", MAGIC) != 0) return fail(f, "is not an .npy file");
    int wide = start[MAGIC] >= 2 ? 4 : 2;
    if ((rc = read_bytes(f, wide, start + FIXED)) != AD_OK) return rc;
    int64_t length = (int64_t)nn__uint_of(start + FIXED, wide, false);
    f->begin = FIXED + wide + length;
    if (f->begin > f->size || length == 0) return fail(f, "ends within its header");
    if (length > LONGEST) return fail(f, "has a header of more than 16384 bytes");
    if ((rc = read_bytes(f, (int)length, text)) != AD_OK) return rc;
    text[length] = '\0';
    return parse_header(f, text);
}

static int check_size(const npy *f) {
    int64_t numel = ad_shape_numel(f->shape), left = f->size - f->begin;
    if (numel < 0 || numel > left / f->format.size) return fail(f, "is truncated");
    return numel * f->format.size == left ? AD_OK : fail(f, "is oversized");
}

/* In Fortran order the file has the elements of the array with its axes reversed. */
static void read_reversed(const npy *f, ad_var *x) {
    ad_mark m = ad_begin(f->graph);
    ad_shape reversed = f->shape, axes = f->shape;
    for (int i = 0; i < f->shape.ndim; i++) {
        axes.dim[i] = f->shape.ndim - 1 - i;
        reversed.dim[i] = f->shape.dim[axes.dim[i]];
    }
    ad_var *y = ad_zeros(f->graph, ad_dtype_of(x), reversed);
    if (ad_ok(f->graph) && !nn__read_numbers(f->read, f->source, f->format, 1, y)) fail(f, f->cut(f->source));
    if (ad_ok(f->graph)) ad_set(x, ad_data(ad_permute(y, axes)));
    ad_end(f->graph, m);
}

static ad_var *read_array(npy *f, ad_dtype t) {
    if (read_header(f) != AD_OK || check_size(f) != AD_OK) return ad_nil(f->graph);
    ad_var *x = ad_zeros(f->graph, t, f->shape);
    if (!ad_ok(f->graph)) return ad_nil(f->graph);
    if (f->fortran && f->shape.ndim > 1) read_reversed(f, x);
    else if (!nn__read_numbers(f->read, f->source, f->format, 1, x)) fail(f, f->cut(f->source));
    return ad_ok(f->graph) ? x : ad_nil(f->graph);
}

/* ---- files in memory ------------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *at;
    int64_t left;
} memory;

/* An nn__read_fn. */
static int read_memory(void *source, int n, void *to) {
    memory *m = source;
    int got = m->left < n ? (int)m->left : n;
    memcpy(to, m->at, (size_t)got);
    m->at += got, m->left -= got;
    return got;
}

static const char *memory_cut(void *source) { return (void)source, "is truncated"; }

int nn__npy_layout(ad_graph *g, const char *caller, const char *path, const unsigned char *bytes, int64_t size,
                   nn__layout *to) {
    memory m = { bytes, size };
    npy f = { .graph = g, .caller = caller, .path = path, .member = "", .size = size };
    f.read = read_memory, f.source = &m, f.cut = memory_cut;
    int rc = read_header(&f);
    if (rc == AD_OK) rc = check_size(&f);
    if (rc == AD_OK && f.fortran && f.shape.ndim > 1)
        rc = fail(&f, "is in Fortran order, in which a row is not in one piece; load it, or save "
                      "numpy.ascontiguousarray of it");
    *to = (nn__layout){ f.format, f.shape, f.begin };
    return rc;
}

/* ---- .npy files -------------------------------------------------------------------------------------- */

/* An nn__read_fn of a FILE. */
static int read_file(void *file, int n, void *to) { return (int)fread(to, 1, (size_t)n, file); }

static const char *file_cut(void *file) {
    return ferror((FILE *)file) ? ad__fault_of(errno) : "cannot be read completely";
}

static ad_var *load_file(npy *f, ad_dtype t, FILE *file) {
    struct stat about;
    if (fstat(fileno(file), &about) != 0) return fail(f, ad__fault_of(errno)), ad_nil(f->graph);
    f->read = read_file;
    f->source = file;
    f->cut = file_cut;
    f->size = about.st_size;
    errno = 0;
    return read_array(f, t);
}

ad_var *nn_load_npy(ad_graph *g, ad_dtype t, const char *path) {
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "load_npy: path is NULL"), ad_nil(g);
    npy f = { .graph = g, .caller = "load_npy", .path = nn__path_end(path), .member = "" };
    const char *fault;
    FILE *file = nn__plain_open(path, &fault);
    if (file == NULL) return fail(&f, fault), ad_nil(g);
    ad_var *x = load_file(&f, t, file);
    fclose(file);
    return x;
}

/* ---- members of .npz archives ------------------------------------------------------------------------ */

static const char *member_cut(void *member) {
    const nn__member *m = member;
    return m->fault ? m->fault : "is damaged";
}

static ad_var *load_member(npy *f, ad_dtype t, const char *path, const char *name) {
    const char *fault;
    nn__member m;
    ad_var *x = NULL;
    FILE *file = nn__plain_open(path, &fault);
    if (file != NULL) fault = nn__member_open(&m, file, name);
    if (fault == NULL) {
        f->read = nn__member_read;
        f->cut = member_cut;
        f->source = &m;
        f->size = m.size;
        x = read_array(f, t);
        fault = nn__member_close(&m);
    }
    if (file != NULL) fclose(file);
    if (fault != NULL) fail(f, fault); /* unless read_array has failed before */
    return ad_ok(f->graph) ? x : ad_nil(f->graph);
}

ad_var *nn_load_npz(ad_graph *g, ad_dtype t, const char *path, const char *name) {
    char member[256], file[260];
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL || name == NULL || strlen(name) > 250)
        return ad_fail(g, AD_EVALUE, "load_npz: path or name is NULL, or the name has more than 250 bytes"), ad_nil(g);
    snprintf(member, sizeof member, "/%s", name);
    snprintf(file, sizeof file, "%s.npy", name);
    npy f = { .graph = g, .caller = "load_npz", .path = nn__path_end(path), .member = member };
    return load_member(&f, t, path, file);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* (3, 4), (3,) and (). */
static void shape_text(ad_shape s, char *to, size_t size) {
    int n = snprintf(to, size, "(");
    for (int i = 0; i < s.ndim; i++)
        n += snprintf(to + n, size - (size_t)n, "%s%lld", i ? ", " : "", (long long)s.dim[i]);
    snprintf(to + n, size - (size_t)n, s.ndim == 1 ? ",)" : ")");
}

/* Padded so that the elements begin at a multiple of 64 bytes. */
int nn__npy_header(const ad_var *x, char to[NN__NPY_HEADER]) {
    char shape[160], text[256];
    shape_text(ad_shape_of(x), shape, sizeof shape);
    int little = *(const char *)&(int){ 1 };
    int n = snprintf(text, sizeof text, "{'descr': '%cf%d', 'fortran_order': False, 'shape': %s, }", little ? '<' : '>',
                     (int)ad_dtype_size(ad_dtype_of(x)), shape);
    int all = (10 + n + 1 + 63) / 64 * 64, rest = all - 10;
    memcpy(to, "\x93NUMPY\1\0", 8);
    to[8] = (char)(rest & 255);
    to[9] = (char)(rest >> 8);
    snprintf(to + 10, NN__NPY_HEADER - 10, "%-*s\n", rest - 1, text);
    return all;
}

int nn_save_npy(const ad_var *x, const char *path) {
    if (ad_is_nil(x)) return ad_refuse_nil(x, "save_npy");
    ad_graph *g = ad_graph_of(x);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "save_npy: path is NULL");
    char header[NN__NPY_HEADER];
    ad__durable d;
    const char *fault = ad__durable_open(&d, path);
    if (fault == NULL) {
        fwrite(header, 1, (size_t)nn__npy_header(x, header), d.to);
        fwrite(ad_data(x), 1, ad_bytes_of(x), d.to);
        fault = ad__durable_close(&d);
    }
    return fault ? ad_fail(g, nn__fault_code(fault), "save_npy: %s: %s", nn__path_end(path), fault) : AD_OK;
}
