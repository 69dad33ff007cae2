/* npz.c: arrays written as an .npz archive of NumPy's, through libzip. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <string.h>

#ifdef AD_HAVE_ZIP
#include <zip.h>
#endif

#include "autodiff/node.h"
#include "nn/durable.h"
#include "nn/nn.h"
#include "nn/npy.h"
#include "nn/path.h"

enum { LONGEST_NAME = 250 };

static int check(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (path == NULL) return ad_fail(g, AD_EVALUE, "save_npz: path is NULL");
    for (int i = 0; i < n; i++) {
        if (names[i] == NULL || strlen(names[i]) > LONGEST_NAME)
            return ad_fail(g, AD_EVALUE, "save_npz: the name of array %d is NULL or too long", i);
        if (ad_is_nil(vars[i])) return ad_fail(g, AD_EVALUE, "save_npz: %s is nil", names[i]);
    }
    return AD_OK;
}

#ifdef AD_HAVE_ZIP

/* ---- the file that libzip writes to: ours, so that it is there whole or not at all ------------------------- */

typedef struct {
    FILE *file;
    zip_error_t error;
} target;

static zip_int64_t refuse(target *t, int code, int system) {
    zip_error_set(&t->error, code, system);
    return -1;
}

static zip_int64_t seek(target *t, void *data, zip_uint64_t n) {
    const zip_source_args_seek_t *to = ZIP_SOURCE_GET_ARGS(zip_source_args_seek_t, data, n, &t->error);
    if (to == NULL) return -1;
    return fseeko(t->file, (off_t)to->offset, to->whence) == 0 ? 0 : refuse(t, ZIP_ER_SEEK, errno);
}

/* What libzip asks of a file that is only written; there is none to read before. */
static zip_int64_t serve(void *target_, void *data, zip_uint64_t n, zip_source_cmd_t command) {
    target *t = target_;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS: return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_STAT: return refuse(t, ZIP_ER_READ, ENOENT);
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&t->error, data, n);
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_FREE: return 0;
    case ZIP_SOURCE_SEEK_WRITE: return seek(t, data, n);
    case ZIP_SOURCE_TELL_WRITE: return (zip_int64_t)ftello(t->file);
    case ZIP_SOURCE_WRITE:
        return fwrite(data, 1, n, t->file) == n ? (zip_int64_t)n : refuse(t, ZIP_ER_WRITE, errno);
    default: return refuse(t, ZIP_ER_OPNOTSUPP, 0);
    }
}

/* ---- the archive ------------------------------------------------------------------------------------------- */

/* As numpy.savez: stored as it is, on the first day of such archives, so that the same arrays make the same file. */
static int add(zip_t *z, const char *name, const ad_var *x, char *header) {
    char member[LONGEST_NAME + 5];
    snprintf(member, sizeof member, "%s.npy", name);
    const zip_buffer_fragment_t parts[] = { { (zip_uint8_t *)header, (zip_uint64_t)nn__npy_header(x, header) },
                                            { (zip_uint8_t *)ad_data(x), ad__bytes(x) } };
    zip_source_t *from = zip_source_buffer_fragment(z, parts, AD__COUNT(parts), 0);
    if (from == NULL) return -1;
    zip_int64_t at = zip_file_add(z, member, from, ZIP_FL_ENC_UTF_8);
    if (at < 0) {
        zip_source_free(from);
        return -1;
    }
    enum { NEW_YEAR_1980 = 1 << 5 | 1 };
    return zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0) |
           zip_file_set_dostime(z, (zip_uint64_t)at, 0, NEW_YEAR_1980, 0);
}

static int tell(ad_graph *g, const char *path, zip_error_t *e) {
    ad_fail(g, AD_EIO, "save_npz: %s: %s", nn__path_end(path), zip_error_strerror(e));
    zip_error_fini(e);
    return AD_EIO;
}

/* A fault of the file itself is told by who closes it. */
static int fill(ad_graph *g, const char *path, target *t, int n, const char *const names[], ad_var *const vars[]) {
    zip_error_t e;
    zip_error_init(&e);
    char *headers = ad__node_alloc(g, (size_t)n * NN__NPY_HEADER);
    if (headers == NULL) return AD_ENOMEM;
    zip_source_t *to = zip_source_function_create(serve, t, &e);
    zip_t *z = to ? zip_open_from_source(to, ZIP_CREATE | ZIP_TRUNCATE, &e) : NULL;
    if (z == NULL) {
        if (to != NULL) zip_source_free(to);
        return tell(g, path, &e);
    }
    int rc = AD_OK;
    for (int i = 0; i < n && rc == AD_OK; i++)
        if (add(z, names[i], vars[i], headers + (size_t)i * NN__NPY_HEADER) != 0)
            rc = ad_fail(g, AD_EIO, "save_npz: %s/%s: %s", nn__path_end(path), names[i], zip_strerror(z));
    if (rc == AD_OK && zip_close(z) == 0) return AD_OK;
    if (rc == AD_OK && !ferror(t->file))
        rc = ad_fail(g, AD_EIO, "save_npz: %s: %s", nn__path_end(path), zip_strerror(z));
    zip_discard(z);
    return rc;
}

static int save(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    char temporary[4096];
    target t = { .file = nn__durable_open(path, temporary, sizeof temporary) };
    if (t.file == NULL) return ad_fail(g, AD_EIO, "save_npz: %s: %s", nn__path_end(path), strerror(errno));
    zip_error_init(&t.error);
    ad_mark m = ad_begin(g);
    int rc = fill(g, path, &t, n, names, vars);
    ad_end(g, m);
    zip_error_fini(&t.error);
    if (rc != AD_OK) return nn__durable_drop(t.file, temporary), rc;
    int fault = nn__durable_close(t.file, temporary, path);
    return fault ? ad_fail(g, AD_EIO, "save_npz: %s: %s", nn__path_end(path), strerror(fault)) : AD_OK;
}
#else
static int save(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    (void)n, (void)names, (void)vars;
    return ad_fail(g, AD_EABSENT, "save_npz: %s: this build has no libzip", nn__path_end(path));
}
#endif

int nn_save_npz(const char *path, int n, const char *const names[], ad_var *const vars[]) {
    if (n < 1) return AD_EVALUE; /* there is no graph to tell */
    if (ad_is_nil(vars[0])) return ad__refuse_nil(vars[0], "save_npz");
    ad_graph *g = ad_graph_of(vars[0]);
    int rc = check(g, path, n, names, vars);
    return rc == AD_OK ? save(g, path, n, names, vars) : rc;
}
