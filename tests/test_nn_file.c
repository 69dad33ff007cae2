/* test_nn_file.c: saving and loading networks, the bytes of the format, and malformed files. */
#include <signal.h>
#include <sys/resource.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

static nn_module *small_net(ad_graph *g, ad_dtype t) { return nn_mlp(g, t, 3, (int64_t[]){ 2, 3, 1 }, ad_tanh); }

typedef struct {
    unsigned char byte[8192];
    size_t n;
} bytes;

static void put_bytes(bytes *b, const void *from, size_t n) {
    assert_true(b->n + n <= sizeof b->byte);
    memcpy(b->byte + b->n, from, n);
    b->n += n;
}

static void put(bytes *b, uint64_t v, int size) {
    for (int i = 0; i < size; i++) b->byte[b->n++] = (unsigned char)(v >> 8 * i);
}

/* A file with a header and n zero bytes. */
static bytes file_of(const char *header, size_t n) {
    static const unsigned char zeros[4096];
    bytes b = { .n = 0 };
    put(&b, strlen(header), 8);
    put_bytes(&b, header, strlen(header));
    put_bytes(&b, zeros, n);
    return b;
}

static const char *write_bytes(const char *name, const bytes *b) {
    unlink(path_of(name)); /* on some file systems, overwriting a file waits for the disk */
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->byte, 1, b->n, f), b->n);
    assert_int_equal(fclose(f), 0);
    return path_of(name);
}

static bytes read_bytes(const char *path) {
    bytes b;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.n = fread(b.byte, 1, sizeof b.byte, f);
    fclose(f);
    return b;
}

/* ---- round trips ------------------------------------------------------------------------------------------ */

static void assert_same_parameters(const nn_module *a, const nn_module *b) {
    assert_int_equal(nn_parameter_count(a), nn_parameter_count(b));
    for (int i = 0; i < nn_parameter_count(a); i++) {
        ad_var *x = nn_parameter_at(a, i).var, *y = nn_parameter_at(b, i).var;
        assert_memory_equal(ad_data(x), ad_data(y), (size_t)ad_numel(x) * ad_dtype_size(ad_dtype_of(x)));
    }
}

static void a_saved_net_is_loaded_to_the_bit(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 7);
        nn_module *net = small_net(g, t), *other = small_net(g, t);
        assert_int_equal(nn_save(net, path_of("net")), AD_OK);
        assert_int_equal(nn_load(other, path_of("net")), AD_OK);
        assert_ok(g);
        assert_same_parameters(net, other);
        ad_graph_free(g);
        unlink(path_of("net"));
    }
}

/* Both dtypes, arrays larger than a chunk of the writer, a scalar and an empty array. */
static void large_and_mixed_arrays_go_there_and_back(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m[2];
    for (int k = 0; k < 2; k++) {
        m[k] = nn_module_new(g, "mixed", (nn_forward_fn *)nn_apply, 0);
        nn_add_parameter(m[k], "narrow", ad_randn(g, AD_F32, AD_SHAPE(5, 2001)));
        nn_add_parameter(m[k], "wide", ad_randn(g, AD_F64, AD_SHAPE(4099)));
        nn_add_parameter(m[k], "scalar", ad_scalar(g, AD_F64, k));
        nn_add_parameter(m[k], "none", ad_zeros(g, AD_F32, AD_SHAPE(3, 0)));
    }
    assert_int_equal(nn_save(m[0], path_of("net")), AD_OK);
    assert_int_equal(nn_load(m[1], path_of("net")), AD_OK);
    assert_ok(g);
    assert_same_parameters(m[0], m[1]);
    ad_graph_free(g);
    unlink(path_of("net"));
}

static void the_file_is_as_specified(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "m", (nn_forward_fn *)nn_apply, 0);
    nn_add_parameter(m, "a", param_of(g, AD_F32, (double[]){ 1, -2 }, AD_SHAPE(2, 1)));
    nn_add_parameter(m, "b", param_of(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR));
    assert_int_equal(nn_save(m, path_of("net")), AD_OK);
    bytes got = read_bytes(path_of("net")), want = { .n = 0 };
    const char *json = "{\"__metadata__\":{\"autodiff.crc32\":\"00000000\"},"
                       "\"b\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
                       "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}";
    size_t padded = (strlen(json) + 7) / 8 * 8;
    put(&want, padded, 8);
    put_bytes(&want, json, strlen(json));
    while (want.n < 8 + padded) put(&want, ' ', 1);
    put(&want, 0x3fe0000000000000u, 8);
    put(&want, 0x3f800000, 4);
    put(&want, 0xc0000000, 4);
    char digits[9];
    snprintf(digits, sizeof digits, "%08lx", (unsigned long)crc32_of(want.byte, want.n));
    memcpy(want.byte + 8 + (strstr(json, "00000000") - json), digits, 8); /* of the file with zeros in their place */
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.byte, want.byte, want.n);
    ad_graph_free(g);
    unlink(path_of("net"));
}

/* ---- types and headers ----------------------------------------------------------------------------------- */

static void every_floating_type_is_read(void **state) {
    (void)state;
    static const struct {
        const char *type;
        int size;
        uint64_t bits[4];
        double value[4];
    } cases[] = {
        { "F16", 2, { 0x3c00, 0xfbff, 0x0001, 0x7c00 }, { 1, -65504, 0x1p-24, INFINITY } },
        { "F16", 2, { 0x8000, 0x03ff, 0x0400, 0x7e00 }, { -0.0, 1023 * 0x1p-24, 0x1p-14, NAN } },
        { "BF16", 2, { 0x3f80, 0xc049, 0x0001, 0xff80 }, { 1, -3.140625, 0x1p-133, -INFINITY } },
        { "F32", 4, { 0x3f800000, 0xc0490fdb, 1, 0x7f800000 }, { 1, -3.1415927410125732, 0x1p-149, INFINITY } },
        { "F64",
          8,
          { 0x3ff0000000000000, 0xc008000000000000, 0x36a0000000000000, 0x7ff8000000000000 },
          { 1, -3, 0x1p-149, NAN } },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            char header[160];
            snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}",
                     cases[c].type, 4 * cases[c].size);
            bytes b = file_of(header, 0);
            for (int i = 0; i < 4; i++) put(&b, cases[c].bits[i], cases[c].size);
            ad_graph *g = ad_graph_new();
            nn_module *m = nn_module_new(g, "m", (nn_forward_fn *)nn_apply, 0);
            ad_var *x = nn_add_parameter(m, "x", ad_zeros(g, t, AD_SHAPE(4)));
            assert_int_equal(nn_load(m, write_bytes("x", &b)), AD_OK);
            assert_ok(g);
            for (int i = 0; i < 4; i++) {
                assert_close(ad_at(x, i), cases[c].value[i], 0);
                assert_true(isnan(cases[c].value[i]) || signbit(ad_at(x, i)) == signbit(cases[c].value[i]));
            }
            ad_graph_free(g);
        }
    unlink(path_of("x"));
}

/* An array that is passed over must have the size of its type, whatever this is. */
static void the_sizes_of_all_types_are_known(void **state) {
    (void)state;
    static const struct {
        const char *type;
        int size;
    } types[] = { { "F64", 8 }, { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I64", 8 }, { "I32", 4 }, { "I16", 2 },
                  { "I8", 1 },  { "U64", 8 }, { "U32", 4 }, { "U16", 2 },  { "U8", 1 },  { "BOOL", 1 } };
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        for (int more = 0; more < 2; more++) {
            char header[240];
            snprintf(header, sizeof header,
                     "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"num_batches_tracked\":"
                     "{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[4,%d]}}",
                     types[k].type, 4 + 3 * types[k].size + 3 * more);
            bytes b = file_of(header, 4 + 3 * types[k].size + 3 * more);
            ad_graph *g = ad_graph_new();
            nn_module *m = nn_module_new(g, "m", (nn_forward_fn *)nn_apply, 0);
            nn_add_parameter(m, "x", ad_zeros(g, AD_F32, AD_SHAPE(1)));
            assert_int_equal(nn_load(m, write_bytes("x", &b)), more ? AD_EIO : AD_OK);
            ad_graph_free(g);
        }
    unlink(path_of("x"));
}

#define HEADER_W "\"weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}"
#define HEADER_B "\"bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}"

static void what_other_writers_do_is_read(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n;
    } good[] = {
        { "{" HEADER_B "," HEADER_W "}", 12 },
        { "{" HEADER_W "," HEADER_B "}     ", 12 },
        { "{\"__metadata__\":{\"format\":\"pt\"}," HEADER_W "," HEADER_B "}", 12 },
        { "{\"__metadata__\":null," HEADER_W "," HEADER_B "}", 12 },
        { "{\"__metadata__\":{}," HEADER_W "," HEADER_B "}", 12 },
        { " {\n\t\"weight\" : { \"dtype\" :\"F32\", \"shape\":[ 1 , 2 ] ,\"data_offsets\":[0,8]},\r\n" HEADER_B " }\n",
          12 },
        { "{\"w\\u0065\\u0069ght\":{\"dtype\":\"\\u00463\\u0032\",\"shape\":[1,2],\"data_offsets\":[0,8]}," HEADER_B
          "}",
          12 },
        { "{\"__metadata__\":{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20AC\\ud83d\\ude00\xe2\x82\xac\":\"}\"}," HEADER_W
          "," HEADER_B "}",
          12 },
        { "{\"weight\":{\"other\":[[{\"a\":[1.5e-7,-0,true,false,null]}],{}],\"dtype\":\"F32\",\"shape\":[1,2],"
          "\"data_offsets\":[0,8]}," HEADER_B "}",
          12 },
        /* a checksum elsewhere is another program's note */
        { "{\"__metadata__\":{\"a\":\"\",\"autodiff.crc32\":\"00000000\"}," HEADER_W "," HEADER_B "}", 12 },
        { "{" HEADER_W "," HEADER_B ",\"1.num_batches_tracked\":"
          "{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]}}",
          20 },
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_linear(g, AD_F32, 2, 1, true);
        bytes b = file_of(good[i].header, good[i].n);
        assert_int_equal(nn_load(m, write_bytes("x", &b)), AD_OK);
        assert_ok(g);
        assert_true(ad_at(nn_find_parameter(m, "weight"), 1) == 0);
        ad_graph_free(g);
    }
    unlink(path_of("x"));
}

static void batch_norm_s_buffers_are_saved_and_loaded(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_batch_norm(g, AD_F32, 2, (nn_batch_norm_opts){ 0 }), *other;
    other = nn_batch_norm(g, AD_F32, 2, (nn_batch_norm_opts){ 0 });
    nn_apply(m, ad_randn(g, AD_F32, AD_SHAPE(8, 2)));
    assert_int_equal(nn_save(m, path_of("net")), AD_OK);
    assert_int_equal(nn_load(other, path_of("net")), AD_OK);
    for (int i = 0; i < nn_buffer_count(m); i++)
        assert_true(ad_at(nn_buffer_at(m, i).var, 0) == ad_at(nn_buffer_at(other, i).var, 0));
    assert_true(ad_item(nn_find_buffer(other, "num_batches_tracked")) == 1);
    bytes b = file_of("{\"weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                      "\"bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                      "\"running_mean\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},"
                      "\"running_var\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
                      "\"num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]}}",
                      32);
    put(&b, 300, 8); /* as PyTorch writes it */
    assert_int_equal(nn_load(other, write_bytes("net", &b)), AD_OK);
    assert_ok(g);
    assert_true(ad_item(nn_find_buffer(other, "num_batches_tracked")) == 300);
    ad_graph_free(g);
    unlink(path_of("net"));
}

/* ---- malformed files ------------------------------------------------------------------------------------------ */

/* Loading gives this error and leaves the module unchanged. */
static void assert_refused(const char *path, int code, const char *sentence) {
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_linear(g, AD_F32, 2, 1, true), *twin;
    ad_seed(g, 0);
    twin = nn_linear(g, AD_F32, 2, 1, true);
    assert_int_equal(nn_load(m, path), code);
    assert_contains(ad_error(g), "load: ");
    assert_contains(ad_error(g), sentence);
    assert_int_equal(ad_error_code(g), code);
    assert_same_parameters(m, twin);
    ad_graph_free(g);
}

static void malformed_headers_are_refused(void **state) {
    (void)state;
#define BAD(entry) "{" HEADER_W ",\"bias\":" entry "}"
    static const struct {
        const char *header;
        size_t n;
        int code;
        const char *sentence;
    } bad[] = {
        { "", 12, AD_EIO, "its header is not JSON: " },
        { "{", 12, AD_EIO, "its header is not JSON: " },
        { "[]", 12, AD_EIO, "its header is not a JSON object" },
        { "{" HEADER_W "," HEADER_B "}x", 12, AD_EIO, "its header is not JSON: " },
        { "{" HEADER_W "," HEADER_W "," HEADER_B "}", 12, AD_EIO, "its header is not JSON: duplicate object key" },
        { "{" HEADER_W "}", 8, AD_EIO, "/x: has no bias" },
        { "{}", 0, AD_EIO, "/x: has no weight" },
        { "{" HEADER_W "," HEADER_B "}", 11, AD_EIO, "bias: bytes 8 to 12 are out of range: the file has 11" },
        { "{" HEADER_W "," HEADER_B "}", 13, AD_EIO, "has 1 bytes after its last array" },
        { BAD("7"), 12, AD_EIO, "bias: has no dtype" },
        { BAD("{}"), 12, AD_EIO, "bias: has no dtype" },
        { BAD("{\"dtype\":1}"), 12, AD_EIO, "bias: has no dtype" },
        { BAD("{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[8,12]}"), 12, AD_EIO, "dtype F31 is unknown" },
        { BAD("{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[8,12]}"), 12, AD_EDTYPE, "bias: is I32; F64" },
        { BAD("{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]}"), 16, AD_EDTYPE, "bias: is I64; F64" },
        { BAD("{\"dtype\":\"F32\",\"data_offsets\":[8,12]}"), 12, AD_EIO, "bias: its shape is not a list" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "axis 0 of its shape is not a size" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "axis 0 of its shape is not a size" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "has 7 axes; at most 6" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[8,12]}"), 12, AD_ESHAPE,
          "bias: is [1,1] in the file and [1] here" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "[2] F32 does not fill the 4 bytes" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "does not fill the 4 bytes" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[8,8]}"), 8, AD_EIO,
          "does not fill the 0 bytes" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1]}"), 12, AD_EIO, "its data_offsets are not two integers" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8]}"), 12, AD_EIO, "its data_offsets are not two" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,\"12\"]}"), 12, AD_EIO,
          "its data_offsets are not two" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,8]}"), 12, AD_EIO,
          "bytes 12 to 8 are out of range" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}"), 12, AD_EIO,
          "bytes -4 to 0 are out of range" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}"), 8, AD_EIO,
          "bias: begins at byte 4, which belongs to another array" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"), 8, AD_EIO,
          "weight: begins at byte 0, which belongs to another array" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9,13]}"), 13, AD_EIO,
          "which leaves a gap before it" },
        { BAD("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,99999999999999999999]}"), 12, AD_EIO,
          "its data_offsets are not two" },
        { "{\"__metadata__\":[]," HEADER_W "," HEADER_B "}", 12, AD_EIO, "its __metadata__ is not a JSON object" },
        { "{\"__metadata__\":{\"a\":1}," HEADER_W "," HEADER_B "}", 12, AD_EIO,
          "a in its __metadata__ is not a string" },
        { "{\"__metadata__\":{\"a\":\"\",\"b\":\"\",\"a\":\"\"}," HEADER_W "," HEADER_B "}", 12, AD_EIO,
          "duplicate object key" },
        { "{\"__metadata__\":{},\"__metadata__\":{}," HEADER_W "," HEADER_B "}", 12, AD_EIO, "duplicate object key" },
        { BAD("{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}"), 12, AD_EIO,
          "duplicate object key" },
        { "{\"__metadata__\":{\"autodiff.crc32\":\"00000000\"}," HEADER_W "," HEADER_B "}", 12, AD_EIO,
          "is damaged: the checksum of its bytes is " },
        { "{\"a\\u0000\":1}", 0, AD_EIO, "its header is not JSON: \\u0000 in a string" },
        { "{\"a\xff\":1}", 0, AD_EIO, "its header is not JSON: a string is not UTF-8" },
        { "{\"a\xed\xa0\x80\":1}", 0, AD_EIO, "its header is not JSON: a string is not UTF-8" },
        { "{\"a\xc0\x80\":1}", 0, AD_EIO, "its header is not JSON: a string is not UTF-8" },
        { "{\"a\n\":1}", 0, AD_EIO, "its header is not JSON: a control character in a string" },
        { "{\"a\\x\":1}", 0, AD_EIO, "its header is not JSON: unknown escape" },
        { "{\"a\\ud800\":1}", 0, AD_EIO, "its header is not JSON: half a character of UTF-16" },
        { "{\"a\\u00g0\":1}", 0, AD_EIO, "its header is not JSON: \\u without four digits" },
        { "{\"a\":01}", 0, AD_EIO, "its header is not JSON: a comma or a bracket is missing" },
        { "{\"a\":1.}", 0, AD_EIO, "its header is not JSON: a number without digits" },
        { "{\"a\":[1,]}", 0, AD_EIO, "its header is not JSON: an unknown word" },
        { "{\"a\":[1}", 0, AD_EIO, "its header is not JSON: a comma or a bracket is missing" },
        { "{\"a\":nul}", 0, AD_EIO, "its header is not JSON: an unknown word" },
        { "{\"a\",1}", 0, AD_EIO, "its header is not JSON: a colon is missing" },
        { "{a:1}", 0, AD_EIO, "its header is not JSON: a string is missing" },
        { "{\"a\":\"", 0, AD_EIO, "its header is not JSON: a string does not end" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1", 0, AD_EIO,
          "its header is not JSON: it is nested too deep" },
        { "{" HEADER_W "," HEADER_B ",\"extra\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
          AD_EIO, "the file has extra, which the module does not have" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes b = file_of(bad[i].header, bad[i].n);
        assert_refused(write_bytes("x", &b), bad[i].code, bad[i].sentence);
    }
    unlink(path_of("x"));
}

static void bad_lengths_are_refused(void **state) {
    (void)state;
    bytes good = file_of("{" HEADER_W "," HEADER_B "}", 12), b = good;
    const uint64_t lengths[] = { UINT64_MAX, (uint64_t)1 << 63, 100000001 };
    for (int i = 0; i < 3; i++) {
        b.n = 0;
        put(&b, lengths[i], 8);
        b.n = good.n;
        assert_refused(write_bytes("x", &b), AD_EIO, "is not a safetensors file: it begins with a header of ");
    }
    b.n = 0;
    put(&b, 100000000, 8);
    b.n = good.n;
    assert_refused(write_bytes("x", &b), AD_EIO, "is truncated: a header of 100000000 bytes, ");
    for (size_t more = 1; more < 20; more++) { /* than what stands behind the length */
        char says[100];
        b.n = 0;
        put(&b, good.n - 8 + more, 8);
        b.n = good.n;
        snprintf(says, sizeof says, "is truncated: a header of %zu bytes, %zu found", good.n - 8 + more, good.n - 8);
        assert_refused(write_bytes("x", &b), AD_EIO, says);
    }
    unlink(path_of("x"));
}

static void a_cut_file_is_refused_at_every_length(void **state) {
    (void)state;
    bytes b = file_of("{" HEADER_W "," HEADER_B "}", 12);
    for (size_t n = b.n; n-- > 0;) {
        b.n = n;
        assert_refused(write_bytes("x", &b), AD_EIO, n < 8 ? "is truncated: " : "");
    }
    unlink(path_of("x"));
}

/* With random bytes changed: an error and an unchanged module, or a valid file. */
static void a_flipped_byte_does_no_harm(void **state) {
    (void)state;
    bytes good = file_of("{\"__metadata__\":{\"k\":\"v\"}," HEADER_W "," HEADER_B "}", 12);
    uint64_t random = 1;
    int refused = 0, rounds = test_quick() ? 200 : 6000;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_linear(g, AD_F32, 2, 1, true);
    for (int i = 0; i < rounds; i++) {
        bytes b = good;
        for (int k = next_below(&random, 3); k >= 0; k--)
            b.byte[next_below(&random, (int)b.n)] = (unsigned char)next_word(&random);
        nn_init_constant(nn_find_parameter(m, "weight"), 5);
        int rc = nn_load(m, write_bytes("x", &b));
        assert_int_equal(rc, ad_error_code(g));
        if (rc != AD_OK) {
            assert_true(strlen(ad_error(g)) > 10);
            for (int j = 0; j < 2; j++) assert_true(ad_at(nn_find_parameter(m, "weight"), j) == 5);
            refused++;
        }
        ad_clear_error(g);
    }
    assert_true(refused > rounds / 2 && refused < rounds);
    ad_graph_free(g);
    unlink(path_of("x"));
}

static void missing_files_and_folders_are_named(void **state) {
    (void)state;
    assert_refused(path_of("missing"), AD_EIO, "missing: No such file or directory");
    assert_refused(test_folder, AD_EIO, "is a folder, not a plain file");
    assert_refused(NULL, AD_EVALUE, "load: path is NULL");
    ad_graph *g = ad_graph_new();
    nn_module *m = small_net(g, AD_F32);
    assert_int_equal(nn_save(m, path_of("no/folder")), AD_EIO);
    assert_contains(ad_error(g), "no/folder: No such file or directory");
    assert_int_equal(nn_save(m, path_of("fine")), AD_EIO); /* the first error is kept */
    ad_clear_error(g);
    assert_int_equal(nn_save(m, NULL), AD_EVALUE);
    assert_int_equal(nn_save(NULL, "x"), AD_EVALUE);
    assert_int_equal(nn_load(NULL, "x"), AD_EVALUE);
    ad_graph_free(g);
}

/* ---- saving completely or not at all --------------------------------------------------------------------- */

static void a_failed_save_leaves_the_old_file(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = small_net(g, AD_F32);
    assert_int_equal(nn_save(m, path_of("net")), AD_OK);
    bytes before = read_bytes(path_of("net"));
    nn_init_constant(nn_find_parameter(m, "0.weight"), 1);
    struct rlimit most, small;
    getrlimit(RLIMIT_FSIZE, &most);
    small = most;
    small.rlim_cur = before.n - 1;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_equal(nn_save(m, path_of("net")), AD_EIO);
    setrlimit(RLIMIT_FSIZE, &most);
    signal(SIGXFSZ, SIG_DFL);
    assert_contains(ad_error(g), "net: File too large");
    bytes after = read_bytes(path_of("net"));
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.byte, after.byte, before.n);
    ad_clear_error(g);
    assert_int_equal(nn_save(m, path_of("net")), AD_OK);
    assert_int_equal(files_in_folder(), 1);
    ad_graph_free(g);
    unlink(path_of("net"));
}

static void memory_may_run_out(void **state) {
    (void)state;
    ad_graph *plain = ad_graph_new();
    assert_int_equal(nn_save(small_net(plain, AD_F64), path_of("net")), AD_OK);
    ad_graph_free(plain);
    for (int64_t at = 0, failed = 1; failed > 0; at++) {
        test_memory memory = { .fail_at = -1 };
        ad_graph *g = test_graph(&memory);
        nn_module *m = small_net(g, AD_F64);
        memory.fail_at = memory.calls + at;
        int rc = nn_load(m, path_of("net"));
        failed = memory.failures;
        assert_int_equal(rc, failed ? AD_ENOMEM : AD_OK);
        memory.fail_at = -1;
        ad_clear_error(g);
        assert_int_equal(nn_load(m, path_of("net")), AD_OK);
        int64_t held = ad_graph_stats(g).bytes_held;
        assert_int_equal(nn_load(m, path_of("net")), AD_OK);
        assert_int_equal(ad_graph_stats(g).bytes_held, held); /* the memory of the file goes back */
        ad_graph_free(g);
        assert_all_released(&memory);
        assert_true(failed || at > 0);
    }
    unlink(path_of("net"));
}

/* ---- Python's json and struct as an independent reader and writer ---------------------------------------- */

static bool have_python(void) { return system("command -v python3 >/dev/null 2>&1") == 0; }

static void python_script(const char *text) {
    FILE *f = fopen(path_of("script.py"), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    char command[300];
    snprintf(command, sizeof command, "python3 %s %s", path_of("script.py"), test_folder);
    int status = system(command);
    unlink(path_of("script.py"));
    assert_int_equal(status, 0);
}

static void python_reads_what_we_write(void **state) {
    (void)state;
    if (!have_python()) skip();
    ad_graph *g = ad_graph_new();
    nn_module *m = small_net(g, AD_F32);
    for (int i = 0; i < nn_parameter_count(m); i++) {
        float *x = ad_data_mut(nn_parameter_at(m, i).var);
        for (int j = 0; j < ad_numel(nn_parameter_at(m, i).var); j++) x[j] = (float)(10 * i + j) / 4;
    }
    assert_int_equal(nn_save(m, path_of("ours")), AD_OK);
    python_script("import json, struct, sys, zlib\n"
                  "b = open(sys.argv[1] + '/ours', 'rb').read()\n"
                  "n, = struct.unpack('<Q', b[:8])\n"
                  "h, data = json.loads(b[8:8 + n]), b[8 + n:]\n"
                  "assert n % 8 == 0\n"
                  "crc = h.pop('__metadata__')['autodiff.crc32']\n"
                  "assert int(crc, 16) == zlib.crc32(b.replace(crc.encode(), b'0' * 8, 1))\n"
                  "assert {k: v['shape'] for k, v in h.items()} == \\\n"
                  "    {'0.weight': [3, 2], '0.bias': [3], '2.weight': [1, 3], '2.bias': [1]}, h\n"
                  "for i, k in enumerate(['0.weight', '0.bias', '2.weight', '2.bias']):\n"
                  "    b, e = h[k]['data_offsets']\n"
                  "    v = struct.unpack('<%df' % ((e - b) // 4), data[b:e])\n"
                  "    assert h[k]['dtype'] == 'F32' and v == tuple((10 * i + j) / 4 for j in range(len(v)))\n");
    ad_graph_free(g);
    unlink(path_of("ours"));
}

/* tanh(x W0^T + b0) W2^T + b2, computed by Python in f64 from numbers that it wrote as f32. */
static void we_predict_what_python_does(void **state) {
    (void)state;
    if (!have_python()) skip();
    python_script(
        "import json, math, random, struct, sys\n"
        "random.seed(3)\n"
        "f32 = lambda v: struct.unpack('<f', struct.pack('<f', v))[0]\n"
        "shapes = {'2.weight': [1, 3], '0.bias': [3], '0.weight': [3, 2], '2.bias': [1]}\n"
        "h, data, p = {'__metadata__': {'format': 'pt'}}, b'', {}\n"
        "for k, s in shapes.items():\n"
        "    p[k] = [f32(random.gauss(0, 1)) for _ in range(math.prod(s))]\n"
        "    b = struct.pack('<%df' % len(p[k]), *p[k])\n"
        "    h[k] = {'dtype': 'F32', 'shape': s, 'data_offsets': [len(data), len(data) + len(b)]}\n"
        "    data += b\n"
        "t = json.dumps(h).encode()\n"
        "open(sys.argv[1] + '/theirs', 'wb').write(struct.pack('<Q', len(t)) + t + data)\n"
        "x = [0.25, -1.5]\n"
        "a = [math.tanh(sum(p['0.weight'][2 * i + j] * x[j] for j in range(2)) + p['0.bias'][i]) for i in range(3)]\n"
        "y = sum(p['2.weight'][i] * a[i] for i in range(3)) + p['2.bias'][0]\n"
        "open(sys.argv[1] + '/answer', 'w').write(repr(y))\n");
    double want = NAN;
    FILE *f = fopen(path_of("answer"), "r");
    assert_int_equal(fscanf(f, "%lf", &want), 1);
    fclose(f);
    ad_graph *g = ad_graph_new();
    nn_module *m = small_net(g, AD_F32);
    assert_int_equal(nn_load(m, path_of("theirs")), AD_OK);
    ad_var *y = nn_apply(m, ad_tensor(g, AD_F32, (float[]){ 0.25f, -1.5f }, AD_SHAPE(1, 2)));
    assert_close(ad_item(y), want, 1e-6);
    ad_graph_free(g);
    unlink(path_of("theirs"));
    unlink(path_of("answer"));
}

/* ---- PyTorch's states, see tests/reference/torch_state.py -------------------------------------------------- */

static nn_module *images_net(ad_graph *g) {
    nn_conv_opts there = { .in = 1, .out = 3, .kernel = 3, .padding = 1 };
    nn_conv_opts back = { .in = 3, .out = 2, .kernel = 2, .kernel_w = 3, .stride = 2, .stride_w = 1 };
    return nn_sequential(g, nn_conv2d(g, AD_F32, there), nn_batch_norm(g, AD_F32, 3, (nn_batch_norm_opts){ 0 }),
                         nn_relu(g), nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }),
                         nn_conv_transpose2d(g, AD_F32, back), nn_flatten(g), nn_linear(g, AD_F32, 60, 16, true),
                         nn_layer_norm(g, AD_F32, AD_SHAPE(16)), nn_prelu(g, AD_F32, 1),
                         nn_linear(g, AD_F32, 16, 4, true));
}

static nn_module *words_net(ad_graph *g) {
    nn_rnn_opts both_ways = { .in = 4, .hidden = 5, .layers = 2, .bidirectional = true };
    return nn_sequential(g, nn_embedding(g, AD_F32, 11, 4), nn_lstm(g, AD_F32, both_ways),
                         nn_gru(g, AD_F32, (nn_rnn_opts){ .in = 10, .hidden = 6 }), nn_linear(g, AD_F32, 6, 3, true));
}

static void assert_predicts(const char *name, nn_module *net, ad_var *x, int64_t n) {
    assert_int_equal(nn_load(net, source_path(reference_file(name, "safetensors"))), AD_OK);
    ad_var *y = nn_predict(net, x, 1);
    assert_ok(nn_graph_of(net));
    assert_int_equal(ad_numel(y), n);
    assert_reference(name, y, 1e-6);
}

static void we_predict_what_torch_does(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *images = ad_zeros(g, AD_F32, AD_SHAPE(2, 1, 6, 6)), *words = ad_zeros(g, AD_F32, AD_SHAPE(3, 7));
    for (int k = 0; k < 72; k++) ((float *)ad_data_mut(images))[k] = (float)cos(0.3 + 1.1 * k);
    for (int k = 0; k < 21; k++) ((float *)ad_data_mut(words))[k] = (float)(5 * k % 11);
    assert_predicts("images", images_net(g), images, 8);
    assert_predicts("words", words_net(g), words, 63);
    ad_graph_free(g);
}

/* ---- parts of files, under other names ----------------------------------------------------------------------- */

static nn_module *part_net(ad_graph *g, int64_t hidden, double value) {
    nn_module *m =
        nn_sequential(g, nn_linear(g, AD_F32, 2, hidden, true), nn_tanh(g), nn_linear(g, AD_F32, hidden, 1, true));
    for (int i = 0; i < nn_parameter_count(m); i++) nn_init_constant(nn_parameter_at(m, i).var, value + i);
    return m;
}

static double first_of(const nn_module *m, const char *name) { return ad_at(nn_find_parameter(m, name), 0); }

static void assert_names(int n, const char *const names[], const char *want) {
    char text[200] = "";
    for (int i = 0; i < n; i++) strcat(strcat(text, names[i]), " ");
    assert_string_equal(text, want);
}

/* As torch's load_state_dict with strict=False, which tells of missing and unexpected keys. */
static void parts_of_a_file_are_loaded(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *from = part_net(g, 3, 10), *to = part_net(g, 3, 0), *wide = part_net(g, 4, 0), *more, *less;
    nn_load_report r;
    nn_load_opts partial = { .partial = true };
    more = nn_sequential(g, nn_linear(g, AD_F32, 2, 3, true), nn_tanh(g), nn_linear(g, AD_F32, 3, 1, false),
                         nn_batch_norm(g, AD_F32, 1, (nn_batch_norm_opts){ 0 }));
    less = nn_sequential(g, nn_linear(g, AD_F32, 2, 3, true));
    assert_int_equal(nn_save(from, path_of("part")), AD_OK);
    assert_int_equal(nn_load_with(to, path_of("part"), (nn_load_opts){ 0 }, &r), AD_OK);
    assert_true(r.n_loaded == 4 && r.n_missing == 0 && r.n_unfit == 0 && r.n_unused == 0);
    assert_true(first_of(to, "2.bias") == 13);
    assert_int_equal(nn_load_with(more, path_of("part"), partial, &r), AD_OK);
    assert_int_equal(r.n_loaded, 3);
    assert_names(r.n_missing, r.missing, "3.weight 3.bias 3.running_mean 3.running_var 3.num_batches_tracked ");
    assert_names(r.n_unused, r.unused, "2.bias ");
    assert_true(first_of(more, "2.weight") == 12 && first_of(more, "3.weight") == 1);
    assert_int_equal(nn_load_with(wide, path_of("part"), partial, &r), AD_OK);
    assert_int_equal(r.n_loaded, 1);
    assert_names(r.n_unfit, r.unfit, "0.weight 0.bias 2.weight ");
    assert_true(first_of(wide, "0.weight") == 0 && first_of(wide, "2.bias") == 13);
    assert_int_equal(nn_load_with(less, path_of("part"), partial, NULL), AD_OK);
    assert_true(first_of(less, "0.bias") == 11);
    /* all at once or not at all without .partial, and the report has all names */
    assert_int_equal(nn_load_with(more, path_of("part"), (nn_load_opts){ 0 }, &r), AD_EIO);
    assert_contains(ad_error(g), "part: has no 3.weight");
    ad_clear_error(g);
    assert_int_equal(r.n_missing, 5);
    assert_int_equal(nn_load_with(part_net(g, 4, 0), path_of("part"), (nn_load_opts){ 0 }, &r), AD_ESHAPE);
    ad_clear_error(g);
    assert_int_equal(r.n_unfit, 3);
    assert_int_equal(nn_load_with(less, path_of("part"), (nn_load_opts){ 0 }, &r), AD_EIO);
    assert_contains(ad_error(g), "the file has 2.bias, which the module does not have");
    ad_clear_error(g);
    assert_names(r.n_unused, r.unused, "2.bias 2.weight ");
    ad_graph_free(g);
    unlink(path_of("part"));
}

static void names_of_files_are_changed(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_load_report r;
    nn_module *from = part_net(g, 3, 10), *to = part_net(g, 3, 0), *own = nn_linear(g, AD_F32, 2, 3, true);
    assert_int_equal(nn_save_with(from, path_of("named"), (nn_save_opts){ .prefix = "model." }), AD_OK);
    assert_int_equal(nn_load(to, path_of("named")), AD_EIO);
    ad_clear_error(g);
    assert_int_equal(nn_load_with(to, path_of("named"), (nn_load_opts){ .prefix = "model." }, &r), AD_OK);
    assert_true(r.n_loaded == 4 && first_of(to, "0.weight") == 10);
    /* one layer, out of the middle of the file */
    nn_load_opts second = { .prefix = "model.", .rename = (nn_rename[]){ { "2.", NULL }, { "0.", "" }, { 0 } } };
    assert_int_equal(nn_load_with(own, path_of("named"), second, &r), AD_OK);
    assert_true(r.n_loaded == 2 && first_of(own, "bias") == 11);
    assert_int_equal(nn_load_with(own, path_of("named"), (nn_load_opts){ .prefix = "model.0." }, NULL), AD_OK);
    /* into a part of a net, by the path of the part */
    assert_int_equal(
        nn_load_with(nn_find_module(to, "0"), path_of("named"), (nn_load_opts){ .prefix = "model.0." }, NULL), AD_OK);
    nn_load_opts both = { .rename = (nn_rename[]){ { "model.0", "x" }, { "model.2", "x" }, { 0 } } };
    assert_int_equal(nn_load_with(to, path_of("named"), both, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "of the file are both renamed to x.");
    ad_clear_error(g);
    nn_load_opts nothing = { .partial = true, .prefix = "modl." };
    assert_int_equal(nn_load_with(to, path_of("named"), nothing, &r), AD_EIO);
    assert_contains(ad_error(g), "no array of the file is one of the module's: the file has model.0.bias, the module "
                                 "0.weight; look at prefix and rename");
    ad_clear_error(g);
    nn_load_opts left_out = { .rename = (nn_rename[]){ { "model.0.bias", NULL }, { "model.", "" }, { 0 } } };
    assert_int_equal(nn_load_with(to, path_of("named"), left_out, &r), AD_EIO);
    assert_names(r.n_missing, r.missing, "0.bias ");
    assert_contains(ad_error(g), "has no 0.bias");
    ad_graph_free(g);
    unlink(path_of("named"));
}

/* A shared array is read under either name and, for programs that do not share it, written under both. */
static void tied_weights_have_both_names_in_files(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *e = nn_embedding(g, AD_F32, 5, 3), *l = nn_linear_shared(g, nn_find_parameter(e, "weight"), true);
    nn_module *tied = nn_sequential(g, e, l);
    nn_module *apart = nn_sequential(g, nn_embedding(g, AD_F32, 5, 3), nn_linear(g, AD_F32, 3, 5, true));
    assert_int_equal(nn_save(tied, path_of("tied")), AD_OK);
    assert_int_equal(nn_load(apart, path_of("tied")), AD_EIO);
    assert_contains(ad_error(g), "has no 1.weight");
    ad_clear_error(g);
    assert_int_equal(nn_save_with(tied, path_of("tied"), (nn_save_opts){ .all_names = true }), AD_OK);
    assert_int_equal(nn_load(apart, path_of("tied")), AD_OK);
    for (int64_t i = 0; i < 15; i++) {
        assert_true(ad_at(nn_find_parameter(apart, "1.weight"), i) == ad_at(nn_find_parameter(e, "weight"), i));
        assert_true(ad_at(nn_find_parameter(apart, "0.weight"), i) == ad_at(nn_find_parameter(e, "weight"), i));
    }
    assert_int_equal(nn_load(tied, path_of("tied")), AD_OK);
    /* a file with the second name alone */
    nn_load_opts second = { .rename = (nn_rename[]){ { "0.weight", NULL }, { 0 } } };
    nn_init_constant(nn_find_parameter(e, "weight"), 0);
    assert_int_equal(nn_load_with(tied, path_of("tied"), second, NULL), AD_OK);
    assert_true(ad_at(nn_find_parameter(e, "weight"), 7) == ad_at(nn_find_parameter(apart, "1.weight"), 7));
    assert_ok(g);
    ad_graph_free(g);
    unlink(path_of("tied"));
}

/* Every allocation fails in turn, at different places of the graph's memory: all arrays are loaded, or none. */
static void partial_loading_is_whole_or_not(void **state) {
    (void)state;
    ad_graph *g0 = ad_graph_new();
    assert_int_equal(nn_save_with(part_net(g0, 3, 10), path_of("whole"), (nn_save_opts){ .prefix = "m." }), AD_OK);
    ad_graph_free(g0);
    for (size_t padding = 0; padding < 70000; padding += 504)
        for (int64_t at = 0, done = 0; !done; at++) {
            test_memory memory = { .fail_at = -1 };
            ad_graph *g = test_graph(&memory);
            nn_module *m = part_net(g, 3, 0);
            nn_load_report r;
            nn_load_opts o = { .partial = true, .rename = (nn_rename[]){ { "m.", "" }, { 0 } } };
            for (size_t filled = 0; filled < padding; filled += 504) ad_scope_alloc(g, 504);
            memory.fail_at = memory.calls + at;
            int rc = nn_load_with(m, path_of("whole"), o, &r);
            done = memory.failures == 0;
            memory.fail_at = -1;
            assert_true(rc == AD_ENOMEM || rc == AD_OK);
            assert_true(rc == AD_OK || !done);
            for (int i = 0; i < 4; i++) assert_true(ad_at(nn_parameter_at(m, i).var, 0) == (rc ? 0 : 10) + i);
            ad_graph_free(g);
            assert_all_released(&memory);
        }
    unlink(path_of("whole"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_net_is_loaded_to_the_bit),
        cmocka_unit_test(large_and_mixed_arrays_go_there_and_back),
        cmocka_unit_test(the_file_is_as_specified),
        cmocka_unit_test(every_floating_type_is_read),
        cmocka_unit_test(the_sizes_of_all_types_are_known),
        cmocka_unit_test(what_other_writers_do_is_read),
        cmocka_unit_test(batch_norm_s_buffers_are_saved_and_loaded),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(bad_lengths_are_refused),
        cmocka_unit_test(a_cut_file_is_refused_at_every_length),
        cmocka_unit_test(a_flipped_byte_does_no_harm),
        cmocka_unit_test(missing_files_and_folders_are_named),
        cmocka_unit_test(a_failed_save_leaves_the_old_file),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(python_reads_what_we_write),
        cmocka_unit_test(we_predict_what_python_does),
        cmocka_unit_test(we_predict_what_torch_does),
        cmocka_unit_test(parts_of_a_file_are_loaded),
        cmocka_unit_test(names_of_files_are_changed),
        cmocka_unit_test(tied_weights_have_both_names_in_files),
        cmocka_unit_test(partial_loading_is_whole_or_not),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
