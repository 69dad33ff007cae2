/* test_data_idx.c: valid and malformed IDX files, plain and gzipped. */
#include <sys/stat.h>

#ifdef AD_HAVE_ZLIB
#include <zlib.h>
#endif

#include "nn/nn.h"
#include "tests/common.h"

/* ---- writing ---------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char byte[4096];
    size_t n;
} bytes;

static void put(bytes *b, uint64_t v, int size) {
    for (int i = size - 1; i >= 0; i--) b->byte[b->n++] = (unsigned char)(v >> 8 * i);
}

static bytes header(int code, int ndim, const uint32_t *dim) {
    bytes b = { .n = 0 };
    put(&b, (uint64_t)code << 8 | (uint64_t)ndim, 4);
    for (int i = 0; i < ndim; i++) put(&b, dim[i], 4);
    return b;
}

/* [2,3] u8: 0 .. 5, 18 bytes */
static bytes small_file(void) {
    bytes b = header(0x08, 2, (uint32_t[]){ 2, 3 });
    for (uint64_t i = 0; i < 6; i++) put(&b, i, 1);
    return b;
}

static const char *write_plain(const char *name, const bytes *b) {
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->byte, 1, b->n, f), b->n);
    fclose(f);
    return path_of(name);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Loads, expecting an error of this code whose sentence has both parts; removes the file. */
static void assert_refused(const char *path, int code, const char *part, const char *other) {
    ad_graph *g = ad_graph_new();
    int64_t used = ad_graph_stats(g).bytes_used;
    assert_true(ad_is_nil(nn_load_idx(g, AD_F32, path, 1)));
    assert_int_equal(ad_error_code(g), code);
    assert_contains(ad_error(g), path);
    assert_contains(ad_error(g), part);
    assert_contains(ad_error(g), other);
    assert_int_equal(ad_graph_stats(g).bytes_used, used); /* no memory is left in use */
    ad_graph_free(g);
    unlink(path);
}

static void assert_loads(const char *path, ad_dtype t, ad_shape s, const double *values) {
    ad_graph *g = ad_graph_new();
    ad_var *x = nn_load_idx(g, t, path, 1);
    assert_ok(g);
    assert_true(ad_shape_equal(ad_shape_of(x), s));
    assert_int_equal(ad_dtype_of(x), t);
    assert_false(ad_requires_grad(x));
    for (int64_t i = 0; i < ad_numel(x); i++)
        assert_true(ad_at(x, i) == (t == AD_F32 ? (double)(float)values[i] : values[i]));
    ad_graph_free(g);
}

static uint64_t f32_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static uint64_t f64_bits(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* ---- valid files ------------------------------------------------------------------------------------------- */

static void every_type_is_read(void **state) {
    (void)state;
    const struct {
        int code, size;
        uint64_t bits[4];
        double values[4];
    } types[] = {
        { 0x08, 1, { 0, 1, 128, 255 }, { 0, 1, 128, 255 } },
        { 0x09, 1, { 0, 127, 128, 255 }, { 0, 127, -128, -1 } },
        { 0x0b, 2, { 0x0102, 0x7fff, 0x8000, 0xffff }, { 258, 32767, -32768, -1 } },
        { 0x0c, 4, { 0x01020304, 0x7fffffff, 0x80000000, 0xffffffff }, { 16909060, 2147483647, -2147483648.0, -1 } },
        { 0x0d,
          4,
          { f32_bits(0.1f), f32_bits(-0.0f), f32_bits(INFINITY), f32_bits(1e-40f) },
          { (double)0.1f, 0, INFINITY, (double)1e-40f } },
        { 0x0e,
          8,
          { f64_bits(0.1), f64_bits(-1e300), f64_bits(-INFINITY), f64_bits(5e-324) },
          { 0.1, -1e300, -INFINITY, 5e-324 } },
    };
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        bytes b = header(types[k].code, 3, (uint32_t[]){ 2, 1, 2 });
        for (int i = 0; i < 4; i++) put(&b, types[k].bits[i], types[k].size);
        const char *path = write_plain("good", &b);
        assert_loads(path, AD_F64, AD_SHAPE(2, 1, 2), types[k].values);
        assert_loads(path, AD_F32, AD_SHAPE(2, 1, 2), types[k].values);
        unlink(path);
    }
}

static void every_number_of_dimensions_is_read(void **state) {
    (void)state;
    const uint32_t dim[] = { 2, 1, 3, 1, 1, 2 };
    for (int ndim = 1; ndim <= AD_MAX_NDIM; ndim++) {
        ad_shape s = { .ndim = ndim };
        double values[12];
        for (int i = 0; i < ndim; i++) s.dim[i] = dim[i];
        bytes b = header(0x08, ndim, dim);
        for (int64_t i = 0; i < ad_shape_numel(s); i++) put(&b, (uint64_t)(values[i] = (double)(7 * i)), 1);
        const char *path = write_plain("good", &b);
        assert_loads(path, AD_F32, s, values);
        unlink(path);
    }
    bytes none = header(0x08, 2, (uint32_t[]){ 0, 28 });
    const char *path = write_plain("none", &none);
    assert_loads(path, AD_F32, AD_SHAPE(0, 28), NULL);
    unlink(path);
}

static void elements_are_scaled(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    bytes b = header(0x08, 1, (uint32_t[]){ 2 });
    put(&b, 51, 1);
    put(&b, 255, 1);
    const char *path = write_plain("good", &b);
    ad_var *x = nn_load_idx(g, AD_F32, path, 1.0 / 255);
    assert_true(ad_at(x, 0) == (double)0.2f && ad_at(x, 1) == 1);
    unlink(path);
    ad_graph_free(g);
}

/* Larger than the read buffer, and not a multiple of its size. */
static void a_large_file_is_read(void **state) {
    (void)state;
    enum { N = 50001 };
    FILE *f = fopen(path_of("large"), "wb");
    bytes b = header(0x0b, 1, (uint32_t[]){ N });
    fwrite(b.byte, 1, b.n, f);
    for (int i = 0; i < N; i++) {
        b.n = 0;
        put(&b, (uint64_t)(i % 30000), 2);
        fwrite(b.byte, 1, b.n, f);
    }
    fclose(f);
    ad_graph *g = ad_graph_new();
    ad_var *x = nn_load_idx(g, AD_F64, path_of("large"), 1);
    assert_ok(g);
    assert_int_equal(ad_numel(x), N);
    for (int i = 0; i < N; i++) assert_true(ad_at(x, i) == i % 30000);
    ad_graph_free(g);
    unlink(path_of("large"));
}

/* ---- malformed --------------------------------------------------------------------------------------------- */

static void cut_files_are_refused_at_every_length(void **state) {
    (void)state;
    for (size_t n = 0; n < small_file().n; n++) {
        bytes b = small_file();
        b.n = n;
        char found[64];
        if (n < 4) snprintf(found, sizeof found, "4 bytes expected, %d found", (int)n);
        else if (n < 12) snprintf(found, sizeof found, "8 bytes expected, %d found", (int)n - 4);
        else snprintf(found, sizeof found, "[2,3] u8 takes 6 bytes, %d found", (int)n - 12);
        assert_refused(write_plain("cut", &b), AD_EIO, n < 12 ? "ends within the header" : "is truncated", found);
    }
}

static void a_longer_file_is_refused(void **state) {
    (void)state;
    bytes b = small_file();
    put(&b, 0, 1);
    assert_refused(write_plain("long", &b), AD_EIO, "is oversized", "[2,3] u8 takes 6 bytes, 7 found");
}

static void bad_headers_are_refused(void **state) {
    (void)state;
    bytes b = small_file();
    b.byte[1] = 1;
    assert_refused(write_plain("magic", &b), AD_EIO, "is not an IDX file", "begins with 00 01, not 00 00");
    b = small_file();
    b.byte[0] = 'P';
    assert_refused(write_plain("magic", &b), AD_EIO, "is not an IDX file", "begins with 50 00, not 00 00");
    b = small_file();
    b.byte[2] = 0x0a;
    assert_refused(write_plain("type", &b), AD_EIO, "element type 0x0a", "none of 08 09 0b 0c 0d 0e");
    b = small_file();
    b.byte[3] = 0;
    assert_refused(write_plain("flat", &b), AD_EIO, "has 0 dimensions", "1 to 6 can be read");
    b = small_file();
    b.byte[3] = 7;
    assert_refused(write_plain("deep", &b), AD_EIO, "has 7 dimensions", "1 to 6 can be read");
    b.byte[3] = 255;
    assert_refused(write_plain("deep", &b), AD_EIO, "has 255 dimensions", "1 to 6 can be read");
}

static void a_lying_header_takes_no_memory(void **state) {
    (void)state;
    const uint32_t most = 0xffffffff;
    bytes b = header(0x08, 1, &most);
    put(&b, 0, 6);
    assert_refused(write_plain("liar", &b), AD_EIO, "is truncated",
                   BITS_64 ? "takes 4294967295 bytes, 6 found" : "more than any file holds, 6 bytes found");
    b = header(0x0e, 3, (uint32_t[]){ most, most, most });
    put(&b, 0, 6);
    assert_refused(write_plain("liar", &b), AD_EIO,
                   "is truncated: ", " f64 is more than any file holds, 6 bytes found");
    b = header(0x0e, 2, (uint32_t[]){ 1u << 30, 1u << 28 }); /* 2^61 bytes */
    assert_refused(write_plain("liar", &b), AD_EIO, "is truncated",
                   BITS_64 ? "takes 2305843009213693952 bytes, 0 found" : "more than any file holds, 0 bytes found");
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    assert_refused(path_of("missing"), AD_EIO, "load_idx: ", "No such file or directory");
    assert_int_equal(mkdir(path_of("dir"), 0700), 0);
    assert_refused(path_of("dir"), AD_EIO, "load_idx: ", "is a folder, not a plain file");
    assert_int_equal(rmdir(path_of("dir")), 0);
    if (geteuid() == 0) return; /* root may read everything */
    bytes b = small_file();
    write_plain("secret", &b);
    chmod(path_of("secret"), 0);
    assert_refused(path_of("secret"), AD_EIO, "load_idx: ", "Permission denied");
}

static void a_pipe_is_refused(void **state) {
    (void)state;
    int ends[2];
    bytes b = small_file();
    char path[64];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], b.byte, b.n), (int)b.n);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_refused(path, AD_EIO, "load_idx: ", "is a device, pipe or socket, not a plain file");
    close(ends[0]);
}

static void a_long_path_leaves_room_for_the_fault(void **state) {
    (void)state;
    char path[2000];
    memset(path, '/', sizeof path);
    snprintf(path + 1900, 100, "tmp/the-end-of-the-path");
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(nn_load_idx(g, AD_F32, path, 1)));
    assert_contains(ad_error(g), "the-end-of-the-path: No such file or directory");
    ad_graph_free(g);
}

static void null_and_errors_are_ignored(void **state) {
    (void)state;
    assert_true(ad_is_nil(nn_load_idx(NULL, AD_F32, "x", 1)));
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(nn_load_idx(g, AD_F32, NULL, 1)));
    assert_string_equal(ad_error(g), "load_idx: path is NULL");
    assert_true(ad_is_nil(nn_load_idx(g, AD_F32, "missing", 1)));
    assert_string_equal(ad_error(g), "load_idx: path is NULL");
    ad_graph_free(g);
}

static void memory_may_run_out(void **state) {
    (void)state;
    bytes b = small_file();
    const char *path = write_plain("good", &b);
    for (int64_t at = 1, failures = 1; failures > 0; at++) {
        test_memory memory = { .fail_at = at, .fail_on = true };
        ad_graph *g = test_graph(&memory);
        ad_var *x = nn_load_idx(g, AD_F64, path, 1);
        failures = memory.failures;
        if (failures > 0) assert_contains(ad_error(g), "out of memory");
        memory.fail_at = -1;
        ad_clear_error(g);
        if (failures > 0) x = nn_load_idx(g, AD_F64, path, 1);
        assert_true(ad_at(x, 5) == 5);
        ad_graph_free(g);
        assert_all_released(&memory);
        assert_true(failures > 0 || at > 1);
    }
    unlink(path);
}

/* ---- gzipped ------------------------------------------------------------------------------------------------ */

#ifdef AD_HAVE_ZLIB
static bytes gzipped(const bytes *b) {
    gzFile f = gzopen(path_of("gz"), "wb9");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, b->byte, (unsigned)b->n), (int)b->n);
    assert_int_equal(gzclose(f), Z_OK);
    FILE *again = fopen(path_of("gz"), "rb");
    bytes z;
    z.n = fread(z.byte, 1, sizeof z.byte, again);
    fclose(again);
    unlink(path_of("gz"));
    return z;
}

static void gzipped_files_are_read(void **state) {
    (void)state;
    bytes b = small_file(), z = gzipped(&b);
    const char *path = write_plain("small.gz", &z);
    assert_loads(path, AD_F32, AD_SHAPE(2, 3), (double[]){ 0, 1, 2, 3, 4, 5 });
    unlink(path);
}

static void gzipped_files_are_checked_alike(void **state) {
    (void)state;
    bytes b = small_file(), z;
    b.n--;
    z = gzipped(&b);
    assert_refused(write_plain("short.gz", &z), AD_EIO, "is truncated", "[2,3] u8 takes 6 bytes, 5 found");
    b.n += 2;
    z = gzipped(&b);
    assert_refused(write_plain("long.gz", &z), AD_EIO, "is oversized", "[2,3] u8 takes 6 bytes, 7 found");
    b.byte[0] = 9;
    z = gzipped(&b);
    assert_refused(write_plain("magic.gz", &z), AD_EIO, "is not an IDX file", "begins with 09 00");
}

static void broken_gzip_data_is_refused(void **state) {
    (void)state;
    bytes b = small_file(), whole = gzipped(&b);
    for (size_t n = 3; n < whole.n; n++) { /* zlib does not recognise fewer bytes as gzip */
        bytes z = whole;
        z.n = n;
        assert_refused(write_plain("cut.gz", &z), AD_EIO, "load_idx: ", "its gzip data is truncated");
    }
    for (size_t at = whole.n - 8; at < whole.n; at++) { /* the checksum and the length */
        bytes z = whole;
        z.byte[at] ^= 1;
        assert_refused(write_plain("bad.gz", &z), AD_EIO, "load_idx: ", "its gzip data is damaged");
    }
}
#else
static void gzipped_files_ask_for_zlib(void **state) {
    (void)state;
    bytes b = { { 0x1f, 0x8b, 8, 0 }, 4 };
    assert_refused(write_plain("small.gz", &b), AD_EABSENT, "is gzipped", "this build has no zlib; gunzip it first");
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(every_number_of_dimensions_is_read),
        cmocka_unit_test(elements_are_scaled),
        cmocka_unit_test(a_large_file_is_read),
        cmocka_unit_test(cut_files_are_refused_at_every_length),
        cmocka_unit_test(a_longer_file_is_refused),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(a_lying_header_takes_no_memory),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_pipe_is_refused),
        cmocka_unit_test(a_long_path_leaves_room_for_the_fault),
        cmocka_unit_test(null_and_errors_are_ignored),
        cmocka_unit_test(memory_may_run_out),
#ifdef AD_HAVE_ZLIB
        cmocka_unit_test(gzipped_files_are_read),
        cmocka_unit_test(gzipped_files_are_checked_alike),
        cmocka_unit_test(broken_gzip_data_is_refused),
#else
        cmocka_unit_test(gzipped_files_ask_for_zlib),
#endif
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
