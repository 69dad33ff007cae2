/* npy.c: NumPy's arrays in .npy files and, through minizip, read from .npz archives:
   https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef AD_HAVE_ZIP
#include <unzip.h>
#endif

#include "autodiff/graph/node.h"
#include "nn/file/durable.h"
#include "nn/file/half.h"
#include "nn/nn.h"
#include "nn/file/npy.h"
#include "nn/file/path.h"

/* ---- the header: a Python dictionary ---------------------------------------------------------------------- */

typedef struct {
    ad_graph *graph;
    const char *caller, *path, *member; /* member: "" of a .npy file, else "/name" */
    unsigned char *bytes;
    int64_t size, begin; /* begin: of the elements */
    char order, kind;    /* '<' or '>'; 'f', 'i', 'u', 'b' */
    int width;           /* bytes of an element */
    ad_shape shape;
} npy;

static int fail(const npy *f, const char *fault) {
    return ad_fail(f->graph, AD_EIO, "%s: %s%s: %s", f->caller, f->path, f->member, fault);
}

/* Behind 'key': in the header; NULL where it is not there. */
static const char *value_of(const char *header, const char *key) {
    char quoted[32];
    int n = snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(header, quoted);
    return at ? at + n + strspn(at + n, " ") : NULL;
}

static int parse_type(npy *f, const char *text) {
    char *end = NULL;
    if (text == NULL || text[0] != '\'' || strlen(text) < 4) return fail(f, "its header has no descr");
    f->order = text[1] == '>' ? '>' : '<';
    f->kind = text[2];
    f->width = (int)strtol(text + 3, &end, 10);
    bool whole = strchr("iu", f->kind) != NULL && (f->width == 1 || f->width == 2 || f->width == 4 || f->width == 8);
    bool real = f->kind == 'f' && (f->width == 2 || f->width == 4 || f->width == 8);
    bool truth = f->kind == 'b' && f->width == 1;
    if (strchr("<>|=", text[1]) != NULL && f->kind != '\0' && *end == '\'' && (whole || real || truth)) return AD_OK;
    return fail(f, "its dtype is none of f2, f4, f8, i1 to i8, u1 to u8 and b1");
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
    if (strncmp(fortran, "False", 5) != 0) return fail(f, "is in Fortran order; save numpy.ascontiguousarray of it");
    int rc = parse_type(f, value_of(header, "descr"));
    return rc == AD_OK ? parse_shape(f, value_of(header, "shape")) : rc;
}

static uint64_t number(const unsigned char *p, int n, bool big) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[big ? i : n - 1 - i];
    return v;
}

static int parse(npy *f) {
    int wide = f->size > 6 && f->bytes[6] >= 2 ? 4 : 2; /* bytes of the header's length: from version 2 on 4 */
    if (f->size < 12 || memcmp(f->bytes, "\x93NUMPY", 6) != 0) return fail(f, "is no .npy file");
    int64_t length = (int64_t)number(f->bytes + 8, wide, false);
    f->begin = 8 + wide + length;
    if (f->begin > f->size || length == 0) return fail(f, "ends within its header");
    f->bytes[f->begin - 1] = '\0'; /* a line's end */
    int rc = parse_header(f, (const char *)f->bytes + 8 + wide);
    if (rc != AD_OK) return rc;
    int64_t numel = ad_shape_numel(f->shape), room = f->size - f->begin;
    if (numel < 0 || numel > room / f->width) return fail(f, "is truncated");
    return numel * f->width == room ? AD_OK : fail(f, "is oversized");
}

/* ---- elements ---------------------------------------------------------------------------------------------- */

static double element(const npy *f, int64_t i) {
    uint64_t bits = number(f->bytes + f->begin + i * f->width, f->width, f->order == '>');
    uint32_t narrow = (uint32_t)bits;
    float single;
    double v;
    int unused = 64 - 8 * f->width; /* bits in front of the number */
    if (f->kind == 'i') return (double)((int64_t)(bits << unused) / ((int64_t)1 << unused));
    if (f->kind != 'f') return (double)bits;
    if (f->width == 2) return nn__half((uint32_t)bits);
    if (f->width == 4) return memcpy(&single, &narrow, 4), (double)single;
    return memcpy(&v, &bits, 8), v;
}

static ad_var *array_of(const npy *f, ad_dtype t) {
    ad_var *x = ad_zeros(f->graph, t, f->shape);
    for (int64_t i = 0; ad_ok(f->graph) && i < ad_numel(x); i++)
        if (t == AD_F32) ((float *)x->data)[i] = (float)element(f, i);
        else ((double *)x->data)[i] = element(f, i);
    return x;
}

/* Takes the bytes, parses them and gives them back. */
static ad_var *finish(npy *f, int rc, ad_dtype t) {
    if (rc == AD_OK) rc = parse(f);
    ad_var *x = rc == AD_OK ? array_of(f, t) : ad_nil(f->graph);
    if (f->bytes != NULL) ad__memory_give(&f->graph->memory, f->bytes, (size_t)f->size + 1);
    return x;
}

static int take(npy *f, int64_t size) {
    f->size = size;
    f->bytes = ad__memory_take(&f->graph->memory, AD__ALIGN, (size_t)size + 1);
    return f->bytes ? AD_OK : ad_no_memory(f->graph, f->caller, (size_t)size);
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static int read_file(npy *f, FILE *from) {
    struct stat about;
    if (fstat(fileno(from), &about) != 0) return fail(f, strerror(errno));
    if (!S_ISREG(about.st_mode)) return fail(f, "is no plain file");
    if (take(f, about.st_size) != AD_OK) return AD_ENOMEM;
    return fread(f->bytes, 1, (size_t)f->size, from) == (size_t)f->size ? AD_OK : fail(f, "cannot be read whole");
}

ad_var *nn_load_npy(ad_graph *g, ad_dtype t, const char *path) {
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "load_npy: path is NULL"), ad_nil(g);
    npy f = { .graph = g, .caller = "load_npy", .path = nn__path_end(path), .member = "" };
    FILE *from = fopen(path, "rb");
    if (from == NULL) return fail(&f, strerror(errno)), ad_nil(g);
    int rc = read_file(&f, from);
    fclose(from);
    return finish(&f, rc, t);
}

#ifdef AD_HAVE_ZIP
/* The open member's bytes, and that it ends with them. */
static int read_bytes(npy *f, unzFile archive) {
    enum { CHUNK = 1 << 30 }; /* minizip counts in int */
    for (int64_t at = 0; at < f->size;) {
        int64_t left = f->size - at;
        int n = unzReadCurrentFile(archive, f->bytes + at, (unsigned)(left < CHUNK ? left : CHUNK));
        if (n <= 0) return fail(f, "is damaged");
        at += n;
    }
    return unzReadCurrentFile(archive, &(char){ 0 }, 1) == 0 ? AD_OK : fail(f, "is damaged");
}

static int read_member(npy *f, unzFile archive, const char *name) {
    enum { CASE_COUNTS = 1 };
    unz_file_info64 about;
    if (unzLocateFile(archive, name, CASE_COUNTS) != UNZ_OK) return fail(f, "is not in the archive");
    if (unzGetCurrentFileInfo64(archive, &about, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK) return fail(f, "is damaged");
    if (about.uncompressed_size > (uint64_t)1 << 40) return fail(f, "is too large");
    if (unzOpenCurrentFile(archive) != UNZ_OK) return fail(f, "is damaged, or compressed in another way than deflate");
    int rc = take(f, (int64_t)about.uncompressed_size);
    if (rc == AD_OK) rc = read_bytes(f, archive);
    int fault = unzCloseCurrentFile(archive); /* looks at the checksum */
    return rc == AD_OK && fault != UNZ_OK ? fail(f, "is damaged") : rc;
}

static ad_var *load_member(npy *f, ad_dtype t, const char *path, const char *name) {
    errno = 0;
    unzFile archive = unzOpen64(path);
    if (archive == NULL) return fail(f, errno ? strerror(errno) : "is no archive"), ad_nil(f->graph);
    int rc = read_member(f, archive, name);
    unzClose(archive);
    return finish(f, rc, t);
}
#else
static ad_var *load_member(npy *f, ad_dtype t, const char *path, const char *name) {
    (void)t, (void)path, (void)name;
    ad_fail(f->graph, AD_EABSENT, "load_npz: %s%s: this build has no minizip", f->path, f->member);
    return ad_nil(f->graph);
}
#endif

ad_var *nn_load_npz(ad_graph *g, ad_dtype t, const char *path, const char *name) {
    char member[256], file[260];
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL || name == NULL || strlen(name) > 250)
        return ad_fail(g, AD_EVALUE, "load_npz: path or name is NULL, or the name too long"), ad_nil(g);
    snprintf(member, sizeof member, "/%s", name);
    snprintf(file, sizeof file, "%s.npy", name);
    npy f = { .graph = g, .caller = "load_npz", .path = nn__path_end(path), .member = member };
    return load_member(&f, t, path, file);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* (3, 4), (3,) and (). */
static void shape_text(ad_shape s, char *to, size_t size) {
    int n = snprintf(to, size, "(");
    for (int i = 0; i < s.ndim; i++)
        n += snprintf(to + n, size - (size_t)n, "%s%lld", i ? ", " : "", (long long)s.dim[i]);
    snprintf(to + n, size - (size_t)n, s.ndim == 1 ? ",)" : ")");
}

/* The elements begin at a multiple of 64. */
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
    char header[NN__NPY_HEADER], temporary[4096];
    FILE *f = nn__durable_open(path, temporary, sizeof temporary);
    if (f == NULL) return ad_fail(g, AD_EIO, "save_npy: %s: %s", nn__path_end(path), strerror(errno));
    fwrite(header, 1, (size_t)nn__npy_header(x, header), f);
    fwrite(ad_data(x), 1, ad__bytes(x), f);
    int fault = nn__durable_close(f, temporary, path);
    return fault ? ad_fail(g, AD_EIO, "save_npy: %s: %s", nn__path_end(path), strerror(fault)) : AD_OK;
}
