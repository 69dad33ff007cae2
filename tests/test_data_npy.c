/* test_data_npy.c: NumPy's files: element types, round trips, archives, and malformed files. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#ifdef AD_HAVE_ZLIB
#include <zlib.h>
#endif

#include "nn/nn.h"
#include "tests/common.h"

typedef struct {
    unsigned char byte[2048];
    size_t n;
} bytes;

static bytes file_of(const char *header, const void *data, size_t n) {
    bytes b = { .n = 10 + strlen(header) + 1 };
    memcpy(b.byte, "\x93NUMPY\1\0", 8);
    b.byte[8] = (unsigned char)(strlen(header) + 1);
    memcpy(b.byte + 10, header, strlen(header));
    b.byte[b.n - 1] = '\n';
    if (n > 0) memcpy(b.byte + b.n, data, n);
    b.n += n;
    return b;
}

static const char *write_bytes(const bytes *b) {
    FILE *f = fopen(path_of("a.npy"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->byte, 1, b->n, f), b->n);
    assert_int_equal(fclose(f), 0);
    return path_of("a.npy");
}

static void every_type_is_read(void **state) {
    (void)state;
    static const struct {
        const char *descr;
        unsigned char byte[16];
        size_t n;
        double value[2];
    } cases[] = {
        { "|b1", { 1, 0 }, 2, { 1, 0 } },
        { "|i1", { 0xff, 0x7f }, 2, { -1, 127 } },
        { "|u1", { 0xff, 0x7f }, 2, { 255, 127 } },
        { "<i2", { 0xfe, 0xff, 1, 2 }, 4, { -2, 513 } },
        { ">i2", { 0xff, 0xfe, 1, 2 }, 4, { -2, 258 } },
        { "<u4", { 0xff, 0xff, 0xff, 0xff, 1 }, 8, { 4294967295.0, 1 } },
        { ">i4", { 0xff, 0xff, 0xff, 0xfd, 0, 0, 0, 3 }, 8, { -3, 3 } },
        { "<i8", { 0, 0, 0, 0, 0, 0, 0, 0x80, 7 }, 16, { -0x1p63, 7 } },
        { "<f2", { 0, 0x3c, 1, 0x80 }, 4, { 1, -0x1p-24 } },
        { ">f2", { 0x7b, 0xff, 0xfc, 0 }, 4, { 65504, -INFINITY } },
        { "<f4", { 0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0 }, 8, { 1, -2.5 } },
        { ">f8", { 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 4 }, 16, { 1, -2.5 } },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            char header[100];
            snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }", cases[c].descr);
            bytes b = file_of(header, cases[c].byte, cases[c].n);
            ad_graph *g = ad_graph_new();
            ad_var *x = nn_load_npy(g, t, write_bytes(&b));
            assert_ok(g);
            assert_true(ad_shape_equal(ad_shape_of(x), AD_SHAPE(2)) && ad_dtype_of(x) == t);
            for (int i = 0; i < 2; i++)
                assert_true(ad_at(x, i) == (t == AD_F32 ? (double)(float)cases[c].value[i] : cases[c].value[i]));
            ad_graph_free(g);
        }
    unlink(path_of("a.npy"));
}

/* The sign of this machine's order of bytes, in which arrays are saved. */
static char order(void) {
    const uint16_t one = 1;
    char first;
    memcpy(&first, &one, 1);
    return first ? '<' : '>';
}

/* Element i, j, .. stands at i + d0 (j + d1 (..)): what numpy.asfortranarray makes. */
static void fortran_order_is_read(void **state) {
    (void)state;
    static const struct {
        ad_shape shape;
        const char *text;
    } cases[] = { { { 0, { 0 } }, "()" },
                  { { 1, { 5 } }, "(5,)" },
                  { { 2, { 2, 3 } }, "(2, 3)" },
                  { { 2, { 3, 0 } }, "(3, 0)" },
                  { { 3, { 2, 3, 4 } }, "(2, 3, 4)" },
                  { { 6, { 1, 2, 3, 1, 2, 2 } }, "(1, 2, 3, 1, 2, 2)" } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            char header[120];
            int16_t data[64];
            ad_shape s = cases[c].shape;
            int64_t n = ad_shape_numel(s);
            for (int k = 0; k < 64; k++) data[k] = (int16_t)(k - 7);
            snprintf(header, sizeof header, "{'descr': '%ci2', 'fortran_order': True, 'shape': %s, }", order(),
                     cases[c].text);
            bytes b = file_of(header, data, (size_t)n * 2);
            ad_graph *g = ad_graph_new();
            ad_var *x = nn_load_npy(g, t, write_bytes(&b));
            assert_ok(g);
            assert_shape(x, s);
            assert_null(ad_creator(x));
            for (int64_t at = 0; at < n; at++) {
                int64_t rest = at, place = 0, index[6];
                for (int d = s.ndim - 1; d >= 0; d--) index[d] = rest % s.dim[d], rest /= s.dim[d];
                for (int d = s.ndim - 1; d >= 0; d--) place = place * s.dim[d] + index[d];
                assert_true(ad_at(x, at) == (double)(place - 7));
            }
            ad_graph_free(g);
        }
    unlink(path_of("a.npy"));
}

static void arrays_go_there_and_back(void **state) {
    (void)state;
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(7), AD_SHAPE(3, 4), AD_SHAPE(2, 0, 3), AD_SHAPE(1, 2, 1, 2, 1, 2) };
    for (int s = 0; s < 5; s++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_randn(g, t, shapes[s]);
            assert_int_equal(nn_save_npy(x, path_of("a.npy")), AD_OK);
            ad_var *y = nn_load_npy(g, t, path_of("a.npy"));
            assert_ok(g);
            assert_true(ad_shape_equal(ad_shape_of(y), shapes[s]));
            for (int64_t i = 0; i < ad_numel(x); i++) assert_true(ad_at(x, i) == ad_at(y, i));
            ad_graph_free(g);
        }
    unlink(path_of("a.npy"));
}

static void bad_files_are_refused(void **state) {
    (void)state;
#define HEAD(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"
    static const struct {
        const char *header;
        size_t n;
        const char *sentence;
    } bad[] = {
        { "{}", 8, "its header has no fortran_order" },
        { HEAD("'<f4'", "Maybe", "(2,)"), 8, "its fortran_order is neither True nor False" },
        { HEAD("'<f4'", "True", "(2, 3)"), 20, "is truncated" },
        { HEAD("'<f4'", "True", "(2, 3)"), 28, "is oversized" },
        { HEAD("'<c8'", "False", "(2,)"), 16, "its dtype is none of f2" },
        { HEAD("'<f3'", "False", "(2,)"), 6, "its dtype is none of f2" },
        { HEAD("'|O'", "False", "(2,)"), 6, "its dtype is none of f2" },
        { HEAD("[('a', '<f4')]", "False", "(2,)"), 8, "its header has no descr" },
        { HEAD("'<f4'", "False", "2"), 8, "its header has no shape" },
        { HEAD("'<f4'", "False", "(x,)"), 8, "its shape is not a tuple of sizes" },
        { HEAD("'<f4'", "False", "(-2,)"), 8, "its shape is not a tuple of sizes" },
        { HEAD("'<f4'", "False", "(1,1,1,1,1,1,2)"), 8, "has more than 6 axes" },
        { HEAD("'<f4'", "False", "(3,)"), 8, "is truncated" },
        { HEAD("'<f4'", "False", "(4294967296, 4294967296)"), 8, "is truncated" },
        { HEAD("'<f4'", "False", "(1,)"), 8, "is oversized" },
    };
    static const char zeros[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes b = file_of(bad[i].header, zeros, bad[i].n);
        ad_graph *g = ad_graph_new();
        assert_true(ad_is_nil(nn_load_npy(g, AD_F32, write_bytes(&b))));
        assert_int_equal(ad_error_code(g), AD_EIO);
        assert_contains(ad_error(g), bad[i].sentence);
        ad_graph_free(g);
    }
    unlink(path_of("a.npy"));
}

/* Truncated to each length, and with a byte changed: an error or a valid array. */
static void damaged_files_do_no_harm(void **state) {
    (void)state;
    static const char zeros[64];
    bytes good = file_of(HEAD("'<f4'", "False", "(2, 2)"), zeros, 16), b;
    uint64_t random = 3;
    int refused = 0;
    for (size_t n = 0; n < good.n; n++) {
        ad_graph *g = ad_graph_new();
        b = good;
        b.n = n;
        assert_true(ad_is_nil(nn_load_npy(g, AD_F32, write_bytes(&b))));
        assert_int_equal(ad_error_code(g), AD_EIO);
        ad_graph_free(g);
    }
    for (int i = 0; i < 2000; i++) {
        ad_graph *g = ad_graph_new();
        b = good;
        b.byte[next_below(&random, (int)b.n)] = (unsigned char)next_word(&random);
        refused += ad_is_nil(nn_load_npy(g, AD_F32, write_bytes(&b)));
        ad_graph_free(g);
    }
    assert_in_range(refused, 200, 1900);
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(nn_load_npy(g, AD_F32, path_of("missing"))));
    assert_contains(ad_error(g), "missing: No such file or directory");
    ad_graph_free(g);
    unlink(path_of("a.npy"));
}

/* ---- archives, written here after PKWARE's APPNOTE.TXT ---------------------------------------------------- */

static void put(bytes *b, uint64_t v, int size) {
    assert_true(b->n + (size_t)size <= sizeof b->byte);
    for (int i = 0; i < size; i++) b->byte[b->n++] = (unsigned char)(v >> 8 * i);
}

static void put_bytes(bytes *b, const void *from, size_t n) {
    assert_true(b->n + n <= sizeof b->byte);
    memcpy(b->byte + b->n, from, n);
    b->n += n;
}

typedef struct {
    const char *name;
    bytes plain;
    size_t place;
} member;

/* Deflated by zlib, or as one block that is not compressed. */
static bytes packed(const bytes *plain, bool deflated) {
    bytes b = { .n = 0 };
    if (!deflated) return *plain;
#ifdef AD_HAVE_ZLIB
    z_stream z = { .next_in = (unsigned char *)plain->byte, .avail_in = (uInt)plain->n, .next_out = b.byte };
    z.avail_out = sizeof b.byte;
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b.n = z.total_out;
    deflateEnd(&z);
#else
    put(&b, 1, 1), put(&b, plain->n, 2), put(&b, ~plain->n, 2);
    put_bytes(&b, plain->byte, plain->n);
#endif
    return b;
}

/* What the record before a file and its entry in the directory have in common. Wide sizes stand behind the name. */
static void put_sizes(bytes *b, const member *m, bool deflated, bool wide) {
    bytes in = packed(&m->plain, deflated);
    put(b, wide ? 45 : 20, 2), put(b, 0, 2), put(b, deflated ? 8 : 0, 2), put(b, 0, 4);
    put(b, crc32_of(m->plain.byte, m->plain.n), 4);
    put(b, wide ? UINT32_MAX : in.n, 4), put(b, wide ? UINT32_MAX : m->plain.n, 4);
    put(b, strlen(m->name), 2), put(b, wide ? 4 + 16 : 0, 2);
}

static void put_name(bytes *b, const member *m, bool deflated, bool wide) {
    put_bytes(b, m->name, strlen(m->name));
    if (wide) put(b, 1, 2), put(b, 16, 2), put(b, m->plain.n, 8), put(b, packed(&m->plain, deflated).n, 8);
}

static void put_archive(bytes *b, int n, member *m, bool deflated, bool wide) {
    for (int i = 0; i < n; i++) {
        bytes in = packed(&m[i].plain, deflated);
        m[i].place = b->n;
        put(b, 0x04034b50, 4), put_sizes(b, &m[i], deflated, wide), put_name(b, &m[i], deflated, wide);
        put_bytes(b, in.byte, in.n);
    }
    size_t begin = b->n;
    for (int i = 0; i < n; i++) {
        put(b, 0x02014b50, 4), put(b, 20, 2), put_sizes(b, &m[i], deflated, wide);
        put(b, 0, 8), put(b, 0, 2), put(b, m[i].place, 4), put_name(b, &m[i], deflated, wide);
    }
    size_t end = b->n;
    if (wide) {
        put(b, 0x06064b50, 4), put(b, 44, 8), put(b, 45, 2), put(b, 45, 2), put(b, 0, 8);
        put(b, (uint64_t)n, 8), put(b, (uint64_t)n, 8), put(b, end - begin, 8), put(b, begin, 8);
        put(b, 0x07064b50, 4), put(b, 0, 4), put(b, end, 8), put(b, 1, 4);
    }
    put(b, 0x06054b50, 4), put(b, 0, 4), put(b, wide ? UINT16_MAX : n, 2), put(b, wide ? UINT16_MAX : n, 2);
    put(b, wide ? UINT32_MAX : end - begin, 4), put(b, wide ? UINT32_MAX : begin, 4), put(b, 0, 2);
}

enum { WAYS = 4 }; /* stored and deflated, with narrow sizes and wide ones */

static const char *archive_of(const bytes *x, int way) {
    bytes b = { .n = 0 };
    member m[] = { { .name = "other.npy", .plain = { "none", 4 } }, { .name = "x.npy", .plain = *x } };
    put_archive(&b, 2, m, way & 1, way & 2);
    FILE *f = fopen(path_of("a.npz"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.byte, 1, b.n, f), b.n);
    fclose(f);
    return path_of("a.npz");
}

#ifdef AD_HAVE_ZLIB
enum { READABLE = WAYS, WAY_STEP = 1 };
#else
enum { READABLE = WAYS, WAY_STEP = 2 };

static void compressed_archives_ask_for_zlib(void **state) {
    (void)state;
    bytes b = file_of(HEAD("'|u1'", "False", "(2, 2)"), "\1\2\3\4", 4);
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(nn_load_npz(g, AD_F64, archive_of(&b, 1), "x")));
    assert_int_equal(ad_error_code(g), AD_EABSENT);
    assert_contains(ad_error(g), "a.npz/x: is compressed, and this build has no zlib");
    ad_graph_free(g);
    unlink(path_of("a.npz"));
}
#endif

static void archives_are_read_by_name(void **state) {
    (void)state;
    bytes b = file_of(HEAD("'|u1'", "False", "(2, 2)"), "\1\2\3\4", 4);
    for (int way = 0; way < READABLE; way += WAY_STEP) {
        const char *path = archive_of(&b, way);
        ad_graph *g = ad_graph_new();
        ad_var *x = nn_load_npz(g, AD_F64, path, "x");
        assert_ok(g);
        for (int i = 0; i < 4; i++) assert_true(ad_at(x, i) == i + 1);
        assert_true(ad_is_nil(nn_load_npz(g, AD_F64, path, "X")));
        assert_contains(ad_error(g), "a.npz/X: is not in the archive");
        ad_clear_error(g);
        assert_true(ad_is_nil(nn_load_npz(g, AD_F64, path, "other")));
        assert_contains(ad_error(g), "a.npz/other: is not an .npy file");
        ad_graph_free(g);
    }
    unlink(path_of("a.npz"));
}
static bytes read_bytes(const char *path) {
    bytes b = { .n = 0 };
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.n = fread(b.byte, 1, sizeof b.byte, f);
    assert_true(b.n < sizeof b.byte);
    fclose(f);
    return b;
}

/* Whether loading an archive of these bytes is an error; otherwise it must be the array 1 2 3 4. */
static bool archive_is_refused(const bytes *b, const char *sentence) {
    ad_graph *g = ad_graph_new();
    FILE *f = fopen(path_of("a.npz"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->byte, 1, b->n, f), b->n);
    fclose(f);
    ad_var *x = nn_load_npz(g, AD_F64, path_of("a.npz"), "x");
    bool refused = ad_is_nil(x);
    assert_int_equal(ad_error_code(g), refused ? AD_EIO : AD_OK);
    for (int i = 0; !refused && i < 4; i++) assert_true(ad_at(x, i) == i + 1);
    if (sentence != NULL) assert_contains(ad_error(g), sentence);
    ad_graph_free(g);
    unlink(path_of("a.npz"));
    return refused;
}

/* Truncated to each length, and with a byte changed: an error, or the array where the byte does not matter, as some of
   the record at the end do not. */
static void damaged_archives_do_no_harm(void **state) {
    (void)state;
    enum { END_RECORD = 22 };
    bytes array = file_of(HEAD("'|u1'", "False", "(2, 2)"), "\1\2\3\4", 4);
    for (int way = 0; way < READABLE; way += WAY_STEP) {
        bytes whole = read_bytes(archive_of(&array, way)), b = whole;
        int refused = 0;
        for (b.n = 0; b.n < whole.n; b.n++) assert_true(archive_is_refused(&b, NULL) || b.n > whole.n - END_RECORD);
        for (size_t at = 0; at < whole.n; at++) {
            b = whole;
            b.byte[at] ^= 0x55;
            refused += archive_is_refused(&b, NULL);
        }
        assert_in_range(refused, whole.n / 3, whole.n - 1);
    }
}

static void archives_have_checksums(void **state) {
    (void)state;
    bytes array = file_of(HEAD("'|u1'", "False", "(2, 2)"), "\1\2\3\4", 4);
    bytes b = read_bytes(archive_of(&array, 0));
    size_t at = 0;
    while (memcmp(b.byte + at, "\1\2\3\4", 4) != 0) assert_true(++at < b.n - 4);
    b.byte[at] = 9;
    assert_true(archive_is_refused(&b, "a.npz/x: is damaged"));
    b.n = 0;
    assert_true(archive_is_refused(&b, "a.npz/x: is not an archive"));
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(nn_load_npz(g, AD_F64, "/no/such.npz", "x")));
    assert_contains(ad_error(g), "load_npz: /no/such.npz/x: No such file or directory");
    ad_graph_free(g);
}

/* ---- writing archives ------------------------------------------------------------------------------------- */

enum { ARRAYS = 5 };
static const char *const names[ARRAYS] = { "weights", "b", "none", "part/\xc3\xa9", "one" };

/* f32 and f64 in turn; element i of array k is i / 4 - k. */
static void make_arrays(ad_graph *g, ad_var *x[ARRAYS]) {
    const ad_shape shapes[ARRAYS] = { AD_SHAPE(3, 4), AD_SCALAR, AD_SHAPE(0, 2), AD_SHAPE(2, 1, 2, 1, 2, 3),
                                      AD_SHAPE(7) };
    for (int k = 0; k < ARRAYS; k++) {
        x[k] = ad_zeros(g, k % 2 ? AD_F64 : AD_F32, shapes[k]);
        double values[24];
        for (int i = 0; i < ad_numel(x[k]); i++) values[i] = i / 4.0 - k;
        assert_int_equal(set_all(x[k], values), AD_OK);
    }
}

static uint32_t little(const unsigned char *p, int n) {
    uint32_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* Compares the bytes of an .npy file with an array. */
static void assert_npy(const unsigned char *p, size_t n, const ad_var *x) {
    char want[200], shape[80] = "";
    size_t head = 10 + little(p + 8, 2), size = ad_dtype_size(ad_dtype_of(x)), data = (size_t)ad_numel(x) * size;
    ad_shape s = ad_shape_of(x);
    for (int i = 0; i < s.ndim; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), i ? ", %d" : "%d", (int)s.dim[i]);
    int length = snprintf(want, sizeof want, "{'descr': '%cf%d', 'fortran_order': False, 'shape': (%s%s), }", order(),
                          (int)size, shape, s.ndim == 1 ? "," : "");
    assert_memory_equal(p, "\x93NUMPY\1\0", 8);
    assert_memory_equal(p + 10, want, (size_t)length);
    for (size_t i = 10 + (size_t)length; i < head - 1; i++) assert_int_equal(p[i], ' ');
    assert_int_equal(p[head - 1], '\n');
    assert_true(head % 64 == 0 && head + data == n);
    if (data > 0) assert_memory_equal(p + head, ad_data(x), data);
}

/* After PKWARE's APPNOTE.TXT: the end record, the central directory, the local header of each file and its bytes. */
static void assert_archive(const bytes *b, ad_var *const x[ARRAYS]) {
    const unsigned char *end = b->byte + b->n - 22;
    assert_int_equal(little(end, 4), 0x06054b50);
    assert_int_equal(little(end + 10, 2), ARRAYS);
    const unsigned char *entry = b->byte + little(end + 16, 4);
    assert_int_equal(little(end + 16, 4) + little(end + 12, 4), b->n - 22);
    for (int k = 0; k < ARRAYS; k++) {
        char name[80];
        int length = snprintf(name, sizeof name, "%s.npy", names[k]);
        uint32_t size = little(entry + 24, 4), skipped = little(entry + 30, 2) + little(entry + 32, 2);
        const unsigned char *local = b->byte + little(entry + 42, 4);
        const unsigned char *data = local + 30 + little(local + 26, 2) + little(local + 28, 2);
        assert_true(little(entry, 4) == 0x02014b50 && little(local, 4) == 0x04034b50);
        assert_true(little(entry + 10, 2) == 0 && little(local + 8, 2) == 0); /* stored */
        assert_true(little(entry + 12, 4) == 0x00210000); /* midnight of 1 January 1980 */
        assert_true(little(entry + 20, 4) == size && little(local + 18, 4) == size && little(local + 22, 4) == size);
        assert_true(little(entry + 28, 2) == (uint32_t)length && memcmp(entry + 46, name, (size_t)length) == 0);
        assert_true(little(local + 26, 2) == (uint32_t)length && memcmp(local + 30, name, (size_t)length) == 0);
        assert_int_equal(little(entry + 16, 4), crc32_of(data, size));
        assert_int_equal(little(local + 14, 4), crc32_of(data, size));
        assert_npy(data, size, x[k]);
        entry += 46 + length + skipped;
    }
    assert_ptr_equal(entry, end);
}

static void archives_are_written(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x[ARRAYS];
    make_arrays(g, x);
    assert_int_equal(nn_save_npz(path_of("a.npz"), ARRAYS, names, x), AD_OK);
    bytes first = read_bytes(path_of("a.npz"));
    assert_archive(&first, x);
    for (int k = 0; k < ARRAYS; k++) {
        ad_var *y = nn_load_npz(g, ad_dtype_of(x[k]), path_of("a.npz"), names[k]);
        assert_ok(g);
        assert_true(ad_shape_equal(ad_shape_of(y), ad_shape_of(x[k])));
        for (int64_t i = 0; i < ad_numel(y); i++) assert_true(ad_at(y, i) == ad_at(x[k], i));
    }
    assert_int_equal(nn_save_npz(path_of("a.npz"), ARRAYS, names, x), AD_OK); /* replaces the old file */
    bytes again = read_bytes(path_of("a.npz"));
    assert_int_equal(again.n, first.n);
    assert_memory_equal(again.byte, first.byte, first.n);
    assert_int_equal(files_in_folder(), 1);
    unlink(path_of("a.npz"));
    ad_graph_free(g);
}

static void numpy_reads_archives(void **state) {
    (void)state;
    static const char script[] =
        "import sys, numpy as np\n"
        "a = np.load(sys.argv[1])\n"
        "want = {'weights': (3, 4), 'b': (), 'none': (0, 2), 'part/\\u00e9': (2, 1, 2, 1, 2, 3), 'one': (7,)}\n"
        "assert list(a) == list(want), list(a)\n"
        "for k, (name, shape) in enumerate(want.items()):\n"
        "    x = a[name]\n"
        "    assert x.dtype.newbyteorder('=') == (np.float64 if k % 2 else np.float32) and x.shape == shape, name\n"
        "    assert (x.ravel() == np.arange(x.size) / 4 - k).all(), name\n";
    char command[1400];
    if (system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) skip();
    ad_graph *g = ad_graph_new();
    ad_var *x[ARRAYS];
    make_arrays(g, x);
    assert_int_equal(nn_save_npz(path_of("a.npz"), ARRAYS, names, x), AD_OK);
    snprintf(command, sizeof command, "/usr/bin/python3 -c \"%s\" %s", script, path_of("a.npz"));
    assert_int_equal(system(command), 0);
    unlink(path_of("a.npz"));
    ad_graph_free(g);
}

static uint64_t number_at(const unsigned char *p, int n) {
    uint64_t value = 0;
    for (int i = n; i-- > 0;) value = value << 8 | p[i];
    return value;
}

/* The three records at the end, by APPNOTE.TXT 4.3.14 to 4.3.16: 56, 20 and 22 bytes, right behind the directory. */
static void check_wide_end(const char *path, uint64_t n) {
    unsigned char end[98];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, -(long)sizeof end, SEEK_END), 0);
    uint64_t begin = (uint64_t)ftell(f);
    assert_int_equal(fread(end, 1, sizeof end, f), sizeof end);
    fclose(f);
    assert_int_equal(number_at(end, 4), 0x06064b50);
    assert_int_equal(number_at(end + 4, 8), 56 - 12); /* what follows in this record */
    assert_int_equal(number_at(end + 12, 2), 45), assert_int_equal(number_at(end + 14, 2), 45);
    assert_int_equal(number_at(end + 16, 8), 0); /* of the first disk */
    assert_int_equal(number_at(end + 24, 8), n), assert_int_equal(number_at(end + 32, 8), n);
    assert_int_equal(number_at(end + 40, 8) + number_at(end + 48, 8), begin);
    assert_int_equal(number_at(end + 56, 4), 0x07064b50), assert_int_equal(number_at(end + 60, 4), 0);
    assert_int_equal(number_at(end + 64, 8), begin), assert_int_equal(number_at(end + 72, 4), 1);
    assert_int_equal(number_at(end + 76, 4), 0x06054b50), assert_int_equal(number_at(end + 80, 4), 0);
    assert_int_equal(number_at(end + 84, 2), UINT16_MAX), assert_int_equal(number_at(end + 86, 2), UINT16_MAX);
    assert_int_equal(number_at(end + 96, 2), 0); /* no comment */
}

/* An archive of 65,535 members or more has its number of members in a record of its own (zip64). */
static void archives_of_many_arrays(void **state) {
    (void)state;
    enum { MOST = UINT16_MAX + 1, LETTERS = 8 };
    char(*text)[LETTERS] = malloc(MOST * sizeof *text), command[400];
    const char **as = malloc(MOST * sizeof *as);
    ad_var **x = malloc(MOST * sizeof *x);
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < MOST; i++) {
        snprintf(text[i], sizeof text[i], "a%d", i);
        as[i] = text[i];
        x[i] = ad_scalar(g, AD_F64, i);
    }
    for (int n = test_quick() ? MOST : UINT16_MAX - 1; n <= MOST; n++) {
        assert_int_equal(nn_save_npz(path_of("many.npz"), n, as, x), AD_OK);
        if (n >= UINT16_MAX) check_wide_end(path_of("many.npz"), (uint64_t)n);
        assert_close(ad_item(nn_load_npz(g, AD_F64, path_of("many.npz"), as[n - 1])), n - 1, 0);
        snprintf(command, sizeof command,
                 "/usr/bin/python3 -c 'import zipfile; a = zipfile.ZipFile(\"%s\"); assert len(a.namelist()) == %d'",
                 path_of("many.npz"), n);
        if (system("/usr/bin/python3 -c 'import zipfile' 2>/dev/null") == 0) assert_int_equal(system(command), 0);
    }
    unlink(path_of("many.npz"));
    assert_ok(g);
    ad_graph_free(g);
    free(text), free(as), free(x);
}

/* After an error the old file is unchanged, and there is no temporary file. */
static void assert_not_written(ad_graph *g, const char *path, int n, const char *const *as, ad_var *const *x,
                               const char *sentence) {
    bytes old = read_bytes(path_of("a.npz"));
    assert_true(nn_save_npz(path, n, as, x) < 0);
    assert_contains(ad_error(g), sentence);
    ad_clear_error(g);
    bytes now = read_bytes(path_of("a.npz"));
    assert_true(now.n == old.n && memcmp(now.byte, old.byte, old.n) == 0);
    assert_int_equal(files_in_folder(), 1);
}

static void what_cannot_be_written_leaves_the_old_file(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x[ARRAYS], *large = ad_zeros(g, AD_F64, AD_SHAPE(10000));
    char path[128], name[300];
    static const char long_name[] = "save_npz: the name of array 0 is NULL or has more than 250 bytes";
    make_arrays(g, x);
    snprintf(path, sizeof path, "%s", path_of("a.npz"));
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(nn_save_npz(path, ARRAYS, names, x), AD_OK);
    assert_not_written(g, path, 2, (const char *[]){ "x", "x" }, x, "save_npz: two arrays are called x");
    assert_not_written(g, path, 1, (const char *[]){ NULL }, x, long_name);
    assert_not_written(g, path, 1, (const char *[]){ name }, x, long_name);
    assert_not_written(g, path, 2, names, (ad_var *[]){ x[0], NULL }, "save_npz: b is nil");
    assert_not_written(g, path, 2, names, (ad_var *[]){ NULL, x[0] }, "save_npz: weights is nil");
    assert_not_written(g, NULL, 1, names, x, "save_npz: path is NULL");
    assert_not_written(g, "/no/such/a.npz", 1, names, x, "save_npz: /no/such/a.npz: No such file or directory");
    struct rlimit before, small = { 20000, 0 };
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_not_written(g, path, 1, names, &large, "a.npz: File too large");
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    assert_not_written(g, path, 1, NULL, x, "save_npz: names is NULL");
    assert_int_equal(nn_save_npz(path, 0, names, x), AD_EVALUE);
    assert_int_equal(nn_save_npz(path, 1, names, NULL), AD_EVALUE);
    assert_true(nn_save_npz(path, 1, names, (ad_var *[]){ NULL }) < 0);
    unlink(path);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archives_of_many_arrays),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(fortran_order_is_read),
        cmocka_unit_test(arrays_go_there_and_back),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(archives_are_read_by_name),
        cmocka_unit_test(damaged_archives_do_no_harm),
        cmocka_unit_test(archives_have_checksums),
        cmocka_unit_test(archives_are_written),
        cmocka_unit_test(numpy_reads_archives),
        cmocka_unit_test(what_cannot_be_written_leaves_the_old_file),
#ifndef AD_HAVE_ZLIB
        cmocka_unit_test(compressed_archives_ask_for_zlib),
#endif
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
