/* npz.c: writes arrays to an .npz archive, through minizip, as numpy.savez does. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <string.h>

#ifdef AD_HAVE_ZIP
#include <zip.h>
#include <zlib.h>

#include "nn/file/archive.h"
#endif

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/durable.h"
#include "nn/file/npy.h"
#include "nn/file/path.h"

enum { LONGEST_NAME = 250 };

static int check(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (path == NULL || names == NULL) return ad_fail(g, AD_EVALUE, "save_npz: %s is NULL", path ? "names" : "path");
    for (int i = 0; i < n; i++) {
        if (names[i] == NULL || strlen(names[i]) > LONGEST_NAME)
            return ad_fail(g, AD_EVALUE, "save_npz: the name of array %d is NULL or has more than %d bytes", i,
                           LONGEST_NAME);
        if (ad_is_nil(vars[i])) return ad_fail(g, AD_EVALUE, "save_npz: %s is nil", names[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return ad_fail(g, AD_EVALUE, "save_npz: two arrays are called %s", names[i]);
    }
    return AD_OK;
}

#ifdef AD_HAVE_ZIP

/* In pieces, since minizip counts bytes in an unsigned. */
static int write_bytes(zipFile z, const char *from, size_t n) {
    enum { PIECE = 1 << 30 };
    for (size_t at = 0; at < n; at += PIECE)
        if (zipWriteInFileInZip(z, from + at, (unsigned)(n - at < PIECE ? n - at : PIECE)) != ZIP_OK) return -1;
    return 0;
}

/* Not compressed, like numpy.savez. The date is the first that the format can hold: the same arrays make the same
   file. */
static int add(zipFile z, const char *name, const ad_var *x) {
    enum { STORED = 0, LEVEL = 0, RAW = 0, UTF8 = 1 << 11, NEW_YEAR_1980 = (1 << 5 | 1) << 16 };
    char member[LONGEST_NAME + 5], header[NN__NPY_HEADER];
    zip_fileinfo about = { .dosDate = NEW_YEAR_1980 };
    size_t head = (size_t)nn__npy_header(x, header);
    snprintf(member, sizeof member, "%s.npy", name);
    int rc = zipOpenNewFileInZip4_64(z, member, &about, NULL, 0, NULL, 0, NULL, STORED, LEVEL, RAW, -MAX_WBITS,
                                     MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY, NULL, 0, 0, UTF8,
                                     ad_bytes_of(x) + head >= UINT32_MAX);
    if (rc != ZIP_OK) return -1;
    rc = write_bytes(z, header, head);
    if (rc == 0) rc = write_bytes(z, ad_data(x), ad_bytes_of(x));
    return zipCloseFileInZip(z) == ZIP_OK ? rc : -1;
}

/* to: the stream of nn__durable, which forces it to disk at the end. */
static zipFile open_archive(FILE *to) {
    zlib_filefunc64_def calls = nn__archive_calls(to);
    return zipOpen2_64("", APPEND_STATUS_CREATE, NULL, &calls);
}

/* 0, or the errno of a fault. */
static int write_archive(FILE *to, int n, const char *const names[], ad_var *const vars[]) {
    errno = 0;
    zipFile z = open_archive(to);
    if (z == NULL) return errno ? errno : EIO;
    int fault = 0;
    for (int i = 0; i < n && fault == 0; i++)
        if (add(z, names[i], vars[i]) != 0) fault = errno ? errno : EIO;
    if (zipClose(z, NULL) != ZIP_OK && fault == 0) fault = errno ? errno : EIO;
    return fault;
}

static int save(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    nn__durable d;
    const char *fault = nn__durable_open(&d, path);
    int error = fault ? 0 : write_archive(d.to, n, names, vars);
    if (error != 0) nn__durable_drop(&d), fault = strerror(error);
    else if (fault == NULL) fault = nn__durable_close(&d);
    return fault ? ad_fail(g, AD_EIO, "save_npz: %s: %s", nn__path_end(path), fault) : AD_OK;
}
#else
static int save(ad_graph *g, const char *path, int n, const char *const names[], ad_var *const vars[]) {
    (void)n, (void)names, (void)vars;
    return ad_fail(g, AD_EABSENT, "save_npz: %s: this build has no minizip", nn__path_end(path));
}
#endif

int nn_save_npz(const char *path, int n, const char *const names[], ad_var *const vars[]) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && vars != NULL && g == NULL; i++) g = ad_graph_of(vars[i]);
    if (g == NULL) return n > 0 && vars != NULL ? AD_EGRAPH : AD_EVALUE; /* no graph to have an error */
    int rc = check(g, path, n, names, vars);
    return rc == AD_OK ? save(g, path, n, names, vars) : rc;
}
