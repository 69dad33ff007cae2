/* idx.c: reads IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist

   Two zero bytes, an element type, the number of dimensions, each dimension as a big-endian 32-bit integer, then the
   elements, big-endian and row-major. The file is read twice: once to check that it is complete, since no memory is
   allocated because a header says so, and once for its elements. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <string.h>
#include <unistd.h>

#ifdef AD_HAVE_ZLIB
#include <zlib.h>
#endif

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/bytes.h"
#include "nn/file/fault.h"
#include "nn/file/layout.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"

/* ---- the bytes of a file, gunzipped if need be ------------------------------------------------------- */

#ifdef AD_HAVE_ZLIB
static void *source_open(int fd) { return gzdopen(fd, "rb"); }
static void source_close(void *source) { gzclose((gzFile)source); }
static int source_rewind(void *source) { return gzrewind((gzFile)source); }
/* An nn__read_fn. */
static int source_read(void *source, int n, void *to) {
    int got = gzread((gzFile)source, to, (unsigned)n), fault = Z_OK;
    gzerror((gzFile)source, &fault);
    return fault == Z_OK ? got : -1;
}
static const char *source_fault(void *source) {
    int fault = Z_OK;
    gzerror((gzFile)source, &fault);
    if (fault == Z_ERRNO) return ad__fault_of(errno);
    if (fault == Z_MEM_ERROR) return ad__out_of_memory;
    return fault == Z_BUF_ERROR ? "its gzip data is truncated" : "its gzip data is damaged";
}
#else
static void *source_open(int fd) { return fdopen(fd, "rb"); }
static void source_close(void *source) { fclose(source); }
static int source_rewind(void *source) { return fseek(source, 0, SEEK_SET); }
static int source_read(void *source, int n, void *to) {
    int got = (int)fread(to, 1, (size_t)n, source);
    return ferror((FILE *)source) ? -1 : got;
}
static const char *source_fault(void *source) {
    (void)source;
    return ad__fault_of(errno);
}
#endif

/* ---- one file ---------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char code;
    const char *name;
    nn__format format;
} element_type;

static const element_type types[] = {
    { 0x08, "u8", { 'u', 1, true } },  { 0x09, "i8", { 'i', 1, true } },  { 0x0b, "i16", { 'i', 2, true } },
    { 0x0c, "i32", { 'i', 4, true } }, { 0x0d, "f32", { 'f', 4, true } }, { 0x0e, "f64", { 'f', 8, true } },
};

static const element_type *type_of(unsigned char code) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == code) return &types[i];
    return NULL;
}

typedef struct {
    ad_graph *graph;
    const char *path; /* as shown in messages */
    void *source;
    const element_type *type;
    ad_shape shape;
} idx;

static int fail_reading(const idx *f) {
    const char *fault = source_fault(f->source);
    return ad_fail(f->graph, nn__fault_code(fault), "load_idx: %s: %s", f->path, fault);
}

/* Reads n bytes of the header. */
static int read_header_bytes(const idx *f, int n, unsigned char *to) {
    int got = source_read(f->source, n, to);
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
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: is not an IDX file: it begins with %02x %02x, not 00 00",
                       f->path, m[0], m[1]);
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
    for (int i = 0; i < f->shape.ndim; i++) f->shape.dim[i] = (int64_t)nn__uint_of(bytes + 4 + 4 * i, 4, true);
    return AD_OK;
}

static int fail_size(const idx *f, const char *fault, int64_t found) {
    int64_t numel = ad_shape_numel(f->shape);
    if (numel < 0)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: %s: %s %s is more than any file holds, %lld bytes found",
                       f->path, fault, ad_shape_str(f->shape).text, f->type->name, (long long)found);
    return ad_fail(f->graph, AD_EIO, "load_idx: %s: %s: %s %s takes %lld bytes, %lld found", f->path, fault,
                   ad_shape_str(f->shape).text, f->type->name, (long long)(numel * f->type->format.size),
                   (long long)found);
}

/* Reads to the end, and compares the number of bytes with the header. */
static int check_size(const idx *f) {
    enum { CHUNK = 16 << 10 };
    unsigned char bytes[CHUNK];
    int64_t found = 0, numel = ad_shape_numel(f->shape), size = f->type->format.size;
    for (int got = CHUNK; got == CHUNK; found += got)
        if ((got = source_read(f->source, CHUNK, bytes)) < 0) return fail_reading(f);
    if (numel < 0 || found < numel * size) return fail_size(f, "is truncated", found);
    return found > numel * size ? fail_size(f, "is oversized", found) : AD_OK;
}

/* NULL after an error. */
static ad_var *load(idx *f, ad_dtype t, double scale) {
    unsigned char header[4 + 4 * AD_MAX_NDIM];
    if (read_header(f) != AD_OK || check_size(f) != AD_OK) return NULL;
    if (source_rewind(f->source) != 0)
        return ad_fail(f->graph, AD_EIO, "load_idx: %s: cannot be read twice; copy it to a file", f->path), NULL;
    ad_var *x = ad_zeros(f->graph, t, f->shape);
    if (!ad_ok(f->graph) || read_header_bytes(f, 4 + 4 * f->shape.ndim, header) != AD_OK) return NULL;
    if (nn__read_numbers(source_read, f->source, f->type->format, scale, x)) return x;
    return ad_fail(f->graph, AD_EIO, "load_idx: %s: changed while it was read", f->path), NULL;
}

/* The header of a file in memory; f has its place for messages only. */
static int layout(idx *f, const char *caller, const unsigned char *bytes, int64_t size, nn__layout *to) {
    if (size < 4 || (f->type = type_of(bytes[2])) == NULL || bytes[0] != 0 || bytes[1] != 0 || bytes[3] < 1 ||
        bytes[3] > AD_MAX_NDIM)
        return ad_fail(f->graph, AD_EIO, "%s: %s: %s", caller, f->path,
                       size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b
                           ? "is gzipped, and cannot be mapped; gunzip it first"
                           : "is not an IDX file that can be read");
    *to = (nn__layout){ f->type->format, { .ndim = bytes[3] }, 4 + 4 * bytes[3] };
    if (to->begin > size) return ad_fail(f->graph, AD_EIO, "%s: %s: ends within the header", caller, f->path);
    for (int i = 0; i < bytes[3]; i++) to->shape.dim[i] = (int64_t)nn__uint_of(bytes + 4 + 4 * i, 4, true);
    int64_t numel = ad_shape_numel(to->shape), left = size - to->begin;
    if (numel >= 0 && numel <= left / to->format.size && numel * to->format.size == left) return AD_OK;
    return ad_fail(f->graph, AD_EIO, "%s: %s: %s %s does not fill the %lld bytes behind the header", caller, f->path,
                   ad_shape_str(to->shape).text, f->type->name, (long long)left);
}

int nn__idx_layout(ad_graph *g, const char *caller, const char *path, const unsigned char *bytes, int64_t size,
                   nn__layout *to) {
    return layout(&(idx){ .graph = g, .path = path }, caller, bytes, size, to);
}

ad_var *nn_load_idx(ad_graph *g, ad_dtype t, const char *path, double scale) {
    if (!ad_ok(g)) return ad_nil(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "load_idx: path is NULL"), ad_nil(g);
    const char *fault;
    idx f = { .graph = g, .path = nn__path_end(path) };
    int fd = nn__plain_fd(path, &fault);
    if (fd < 0) return ad_fail(g, nn__fault_code(fault), "load_idx: %s: %s", f.path, fault), ad_nil(g);
    f.source = source_open(fd);
    if (f.source == NULL) {
        close(fd);
        return ad_fail(g, AD_ENOMEM, "load_idx: %s: out of memory to read it", f.path), ad_nil(g);
    }
    ad_var *x = load(&f, t, scale);
    source_close(f.source);
    return x ? x : ad_nil(g);
}
