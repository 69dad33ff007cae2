/* rows.c: files that are mapped into memory, some of their rows as arrays, and minibatches of them. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/fault.h"
#include "nn/file/layout.h"
#include "nn/file/path.h"
#include "nn/file/plain.h"

struct nn_rows {
    const nn_rows *self; /* its own address, which memory of a closed scope loses when it is used again */
    ad_graph *graph;
    const unsigned char *bytes; /* of the file */
    nn__layout layout;
    int64_t row; /* elements of a row */
};

/* ---- mapping ------------------------------------------------------------------------------------------------- */

typedef struct {
    void *bytes;
    size_t size;
} mapping;

/* An ad_close_fn. */
static void unmap(void *memory) {
    mapping *m = memory;
    if (m->bytes != NULL) munmap(m->bytes, m->size);
}

/* The bytes of a file until the innermost scope ends. *fault says why there are none; NULL where memory is short. */
static mapping *map_file(ad_graph *g, const char *path, const char **fault) {
    struct stat about;
    int fd = nn__plain_fd(path, fault);
    if (fd < 0) return NULL;
    mapping *m = ad_scope_closing(g, sizeof *m, unmap);
    if (m != NULL) *m = (mapping){ NULL, 0 };
    if (fstat(fd, &about) != 0) *fault = ad__fault_of(errno);
    else if (about.st_size == 0) *fault = "is empty";
    if (m != NULL && *fault == NULL) {
        void *bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) *fault = ad__fault_of(errno);
        else *m = (mapping){ bytes, (size_t)about.st_size };
    }
    close(fd);
    return *fault ? NULL : m;
}

typedef int layout_fn(ad_graph *g, const char *caller, const char *path, const unsigned char *bytes, int64_t size,
                      nn__layout *to);

static nn_rows *map_rows(ad_graph *g, const char *path, const char *caller, layout_fn *find) {
    const char *fault = NULL;
    if (!ad_ok(g)) return NULL;
    if (path == NULL) return ad_fail(g, AD_EVALUE, "%s: path is NULL", caller), NULL;
    nn_rows *r = ad_scope_zalloc(g, sizeof *r);
    const mapping *m = r ? map_file(g, path, &fault) : NULL;
    if (fault != NULL) ad_fail(g, nn__fault_code(fault), "%s: %s: %s", caller, nn__path_end(path), fault);
    if (m == NULL) return NULL;
    *r = (nn_rows){ .self = r, .graph = g, .bytes = m->bytes };
    if (find(g, caller, nn__path_end(path), m->bytes, (int64_t)m->size, &r->layout) != AD_OK) return NULL;
    ad_shape s = r->layout.shape;
    if (s.ndim < 1) return ad_fail(g, AD_EIO, "%s: %s: is a scalar, without rows", caller, nn__path_end(path)), NULL;
    r->row = 1;
    for (int i = 1; i < s.ndim; i++) r->row *= s.dim[i];
    return r;
}

nn_rows *nn_map_npy(ad_graph *g, const char *path) { return map_rows(g, path, "map_npy", nn__npy_layout); }
nn_rows *nn_map_idx(ad_graph *g, const char *path) { return map_rows(g, path, "map_idx", nn__idx_layout); }

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static bool is_open(const nn_rows *r, ad_graph *g, const char *caller) {
    bool known = r != NULL && r->self == r;
    if (known && ad_scope_is_open(r->graph, r)) return true;
    if (r == NULL) ad_fail(g, AD_EVALUE, "%s: the rows are NULL", caller);
    else ad_fail(known ? r->graph : g, AD_EGRAPH, "%s: the rows were mapped in a scope that is closed", caller);
    return false;
}

ad_shape nn_rows_shape(const nn_rows *r) { return is_open(r, NULL, "rows_shape") ? r->layout.shape : AD_SCALAR; }

/* Whether the file has the bytes that the array gets. */
static bool is_native(nn__format f, ad_dtype t, double scale) {
    int little = *(const char *)&(int){ 1 };
    return f.kind == 'f' && f.size == ad_dtype_size(t) && f.big_endian == !little && scale == 1;
}

static int check_read(const nn_rows *r, ad_dtype t, int64_t n, const int64_t *rows) {
    ad_graph *g = r->graph;
    if (!ad_ok(g)) return ad_error_code(g);
    if (t != AD_F32 && t != AD_F64) return ad_fail(g, AD_EDTYPE, "read_rows: %d is no dtype", (int)t);
    if (n < 0 || (n > 0 && rows == NULL))
        return ad_fail(g, AD_EVALUE, "read_rows: %lld rows, or no numbers of them", (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < 0 || rows[i] >= r->layout.shape.dim[0])
            return ad_fail(g, AD_EVALUE, "read_rows: there is no row %lld of %lld", (long long)rows[i],
                           (long long)r->layout.shape.dim[0]);
    return AD_OK;
}

ad_var *nn_read_rows(const nn_rows *r, ad_dtype t, double scale, int64_t n, const int64_t *rows) {
    if (!is_open(r, NULL, "read_rows")) return ad_nil(NULL);
    if (check_read(r, t, n, rows) != AD_OK) return ad_nil(r->graph);
    ad_shape s = r->layout.shape;
    s.dim[0] = n;
    int64_t numel = ad_shape_numel(s), size = r->row * r->layout.format.size;
    if (numel < 0)
        return ad_fail(r->graph, AD_ESHAPE, "read_rows: %lld rows are too many", (long long)n), ad_nil(r->graph);
    char *to = ad_scope_array(r->graph, (size_t)numel * ad_dtype_size(t));
    if (to == NULL) return ad_nil(r->graph);
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *from = r->bytes + r->layout.begin + rows[i] * size;
        if (is_native(r->layout.format, t, scale)) memcpy(to + i * size, from, (size_t)size);
        else nn__decode(r->layout.format, from, r->row, scale, t, to, i * r->row);
    }
    return ad_input(r->graph, t, to, s);
}

/* ---- an order without memory --------------------------------------------------------------------------------- */

/* splitmix64 (Steele et al. 2014) */
static uint64_t hash(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Place i of a random order of 0 .. n-1: a Feistel network over 4^bits >= n numbers, applied again until the result is
   below n (Black and Rogaway 2002). */
static uint64_t shuffled(uint64_t i, uint64_t n, uint64_t key) {
    enum { ROUNDS = 6 };
    int bits = 1;
    while (bits < 32 && (uint64_t)1 << 2 * bits < n) bits++;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    do {
        uint64_t left = i >> bits, right = i & mask;
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t mixed = left ^ (hash(hash(key + (uint64_t)round) ^ right) & mask);
            left = right, right = mixed;
        }
        i = left << bits | right;
    } while (i >= n);
    return i;
}

/* ---- minibatches --------------------------------------------------------------------------------------------- */

static int check_stream(ad_graph *g, const nn_row_stream *s) {
    if (!ad_ok(g)) return g ? ad_error_code(g) : AD_EVALUE;
    if (s == NULL) return ad_fail(g, AD_EVALUE, "stream_rows: no nn_row_stream is given");
    if (!is_open(s->x, g, "stream_rows") || !is_open(s->y, g, "stream_rows")) return AD_EVALUE;
    if (s->x->graph != g || s->y->graph != g)
        return ad_fail(g, AD_EGRAPH, "stream_rows: the rows belong to another graph");
    int64_t n = s->x->layout.shape.dim[0], m = s->y->layout.shape.dim[0];
    if (n != m) return ad_fail(g, AD_ESHAPE, "stream_rows: %lld rows of x, %lld of y", (long long)n, (long long)m);
    if (s->batch >= 0) return AD_OK;
    return ad_fail(g, AD_EVALUE, "stream_rows: batch %lld: at least 1", (long long)s->batch);
}

bool nn_stream_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *row_stream) {
    const nn_row_stream *s = row_stream;
    if (x != NULL) *x = ad_nil(g);
    if (y != NULL) *y = ad_nil(g);
    if (check_stream(g, s) != AD_OK) return false;
    int64_t all = s->x->layout.shape.dim[0], batch = ad_option_int(s->batch, 32);
    if (x == NULL || y == NULL || number < 0)
        return ad_fail(g, AD_EVALUE, "stream_rows: x, y or number is none"), false;
    int64_t from = number > all / batch ? all : number * batch, n = all - from < batch ? all - from : batch;
    if (n == 0 || (n < batch && s->drop_last)) return false;
    int64_t *rows = ad_scope_alloc(g, (size_t)n * sizeof *rows);
    uint64_t key = hash(s->seed ^ hash((uint64_t)epoch));
    if (rows == NULL) return false;
    for (int64_t i = 0; i < n; i++)
        rows[i] = s->in_order ? from + i : (int64_t)shuffled((uint64_t)(from + i), (uint64_t)all, key);
    *x = nn_read_rows(s->x, s->dtype, ad_option(s->x_scale, 1), n, rows);
    *y = nn_read_rows(s->y, s->dtype, ad_option(s->y_scale, 1), n, rows);
    return ad_ok(g);
}
