/* idx.c: reads IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist

   Two zero bytes, a type, the number of dimensions, each size as a big-endian 32-bit number, then the
   elements, big-endian and row-major. The file is read twice: once to see that it is whole, so that no
   memory is taken on the word of a header, and once for its elements. */
#include <errno.h>
#include <string.h>

#ifdef AD_HAVE_ZLIB
#include <zlib.h>
#endif

#include "autodiff/graph/node.h"
#include "nn/nn.h"
#include "nn/file/path.h"

/* ---- bytes of a file, gunzipped where need be ---------------------------------------------------- */

enum { CHUNK = 16 << 10 };

#ifdef AD_HAVE_ZLIB
typedef gzFile source;
static source source_open(const char *path) { return gzopen(path, "rb"); }
static void source_close(source s) { gzclose(s); }
static int source_rewind(source s) { return gzrewind(s); }
/* How many bytes came, fewer than n only at the end; -1 where the file cannot be read on. */
static int source_read(source s, int n, unsigned char *to) {
    int got = gzread(s, to, (unsigned)n), fault = Z_OK;
    gzerror(s, &fault);
    return fault == Z_OK ? got : -1;
}
static const char *source_fault(source s) {
    int fault = Z_OK;
    gzerror(s, &fault);
    if (fault == Z_ERRNO) return strerror(errno);
    if (fault == Z_MEM_ERROR) return strerror(ENOMEM);
    return fault == Z_BUF_ERROR ? "its gzip data is cut short" : "its gzip data is damaged";
}
#else
typedef FILE *source;
static source source_open(const char *path) { return fopen(path, "rb"); }
static void source_close(source s) { fclose(s); }
static int source_rewind(source s) { return fseek(s, 0, SEEK_SET); }
static int source_read(source s, int n, unsigned char *to) {
    int got = (int)fread(to, 1, (size_t)n, s);
    return ferror(s) ? -1 : got;
}
static const char *source_fault(source s) {
    (void)s;
    return strerror(errno);
}
#endif

/* ---- the elements' types ---------------------------------------------------------------------------- */

static uint64_t big_endian(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

static double u8(const unsigned char *p) { return p[0]; }
static double i8(const unsigned char *p) { return (int8_t)p[0]; }
static double i16(const unsigned char *p) { return (int16_t)big_endian(p, 2); }
static double i32(const unsigned char *p) { return (int32_t)big_endian(p, 4); }
static double f32(const unsigned char *p) {
    uint32_t bits = (uint32_t)big_endian(p, 4);
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}
static double f64(const unsigned char *p) {
    uint64_t bits = big_endian(p, 8);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

typedef struct {
    unsigned char code;
    const char *name;
    int size;
    double (*element)(const unsigned char *p);
} element_type;

static const element_type types[] = { { 0x08, "u8", 1, u8 },   { 0x09, "i8", 1, i8 },   { 0x0b, "i16", 2, i16 },
                                      { 0x0c, "i32", 4, i32 }, { 0x0d, "f32", 4, f32 }, { 0x0e, "f64", 8, f64 } };

static const element_type *type_of(unsigned char code) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) return &types[i];
    return NULL;
}

/* ---- one file ------------------------------------------------------------------------------------------ */

typedef struct {
    ad_graph *graph;
    const char *path; /* as shown in messages */
    source file;
    const element_type *type;
    ad_shape shape;
} idx;

static int fail_reading(const idx *f) {
    return ad_fail(f->graph, AD_EIO, "load_idx: %s: %s", f->path, source_fault(f->file));
}

/* Reads n bytes of the header. */
static int read_header_bytes(const idx *f, int n, unsigned char *to) {
    int got = source_read(f->file, n, to);
    if (got < 0) return fail_reading(f);
    if (got == n) return AD_OK;
    return ad_fail(f->graph, AD_EIO, "load_idx: %s: ends within the header: %d bytes expected, %d found", f->path, n,
                   got);
}

static int check_magic(idx *f, const unsigned char m[4]) {
#ifndef AD_HAVE_ZLIB
    if (m[0] == 0x1f && m[1] == 0x8b)
        return ad_fail(f->graph, AD_EABSENT, "load_idx: %s: is gzipped, and this build has no zlib; gunzip it first",
                       f->path);
#endif
    if (m[0] != 0 || m[1] != 0)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: is no IDX file: it begins with %02x %02x, not 00 00", f->path,
                       m[0], m[1]);
    if ((f->type = type_of(m[2])) == NULL)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: its element type 0x%02x is none of 08 09 0b 0c 0d 0e", f->path,
                       m[2]);
    if (m[3] < 1 || m[3] > AD_MAX_NDIM)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: has %d dimensions; 1 to %d can be read", f->path, m[3],
                       AD_MAX_NDIM);
    return AD_OK;
}

static int read_header(idx *f) {
    unsigned char bytes[4 + 4 * AD_MAX_NDIM];
    int rc = read_header_bytes(f, 4, bytes);
    if (rc == AD_OK) rc = check_magic(f, bytes);
    if (rc == AD_OK) rc = read_header_bytes(f, 4 * bytes[3], bytes + 4);
    if (rc != AD_OK) return rc;
    f->shape = (ad_shape){ .ndim = bytes[3] };
    for (int i = 0; i < f->shape.ndim; i++) f->shape.dim[i] = (int64_t)big_endian(bytes + 4 + 4 * i, 4);
    return AD_OK;
}

static int fail_size(const idx *f, const char *fault, int64_t found) {
    char shape[160];
    ad_shape_text(f->shape, shape, sizeof shape);
    int64_t numel = ad_shape_numel(f->shape);
    if (numel < 0)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: %s: %s %s is more than any file holds, %lld bytes found",
                       f->path, fault, shape, f->type->name, (long long)found);
    return ad_fail(f->graph, AD_EIO, "load_idx: %s: %s: %s %s takes %lld bytes, %lld found", f->path, fault, shape,
                   f->type->name, (long long)(numel * f->type->size), (long long)found);
}

/* Reads to the end; 0 where as many bytes follow as the header says. */
static int check_size(const idx *f) {
    unsigned char bytes[CHUNK];
    int64_t found = 0, numel = ad_shape_numel(f->shape);
    for (int got = CHUNK; got == CHUNK; found += got)
        if ((got = source_read(f->file, CHUNK, bytes)) < 0) return fail_reading(f);
    if (numel < 0 || found < numel * f->type->size) return fail_size(f, "is truncated", found);
    return found > numel * f->type->size ? fail_size(f, "is oversized", found) : AD_OK;
}

static void decode(const idx *f, const unsigned char *from, int64_t n, double scale, ad_dtype t, void *to, int64_t at) {
    double (*element)(const unsigned char *) = f->type->element;
    for (int64_t i = 0; i < n; i++, from += f->type->size)
        if (t == AD_F32) ((float *)to)[at + i] = (float)(scale * element(from));
        else ((double *)to)[at + i] = scale * element(from);
}

static int read_elements(const idx *f, double scale, ad_var *x) {
    void *to = ad_data_mut(x);
    unsigned char bytes[CHUNK];
    int per_chunk = CHUNK / f->type->size;
    for (int64_t at = 0, n; at < ad_numel(x); at += n) {
        n = ad_numel(x) - at < per_chunk ? ad_numel(x) - at : per_chunk;
        int want = (int)n * f->type->size;
        if (source_read(f->file, want, bytes) != want)
            return ad_fail(f->graph, AD_EIO, "load_idx: %s: changed while it was read", f->path);
        decode(f, bytes, n, scale, ad_dtype_of(x), to, at);
    }
    return AD_OK;
}

static ad_var *load(idx *f, ad_dtype t, double scale) {
    unsigned char header[4 + 4 * AD_MAX_NDIM];
    if (read_header(f) || check_size(f)) return NULL;
    if (source_rewind(f->file) != 0)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: cannot be read twice; copy it to a file", f->path), NULL;
    ad_var *x = ad_zeros(f->graph, t, f->shape);
    if (read_header_bytes(f, 4 + 4 * f->shape.ndim, header) || read_elements(f, scale, x)) return NULL;
    return x;
}

ad_var *nn_load_idx(ad_graph *g, ad_dtype t, const char *path, double scale) {
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "load_idx: path is NULL"), ad_nil(g);
    errno = 0;
    idx f = { .graph = g, .path = nn__path_end(path), .file = source_open(path) };
    if (f.file == NULL)
        return ad_fail(g, AD_EIO, "load_idx: %s: %s", f.path, strerror(errno ? errno : ENOMEM)), ad_nil(g);
    ad_var *x = load(&f, t, scale);
    source_close(f.file);
    return x ? x : ad_nil(g);
}
