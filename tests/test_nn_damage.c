/* test_nn_damage.c: flips bits of saved nets, checkpoints and archives: each is refused, or has the same numbers where
   the bit has no meaning. */
#include "nn/nn.h"
#include "tests/common.h"

enum { FLIPS = 2000, ROWS = 8 };

/* ---- a file in memory -------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char *byte;
    size_t n;
    const char *path;
} image;

static image image_of(const char *path) {
    image b = { .path = path };
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    b.n = (size_t)ftell(f);
    b.byte = malloc(b.n);
    rewind(f);
    assert_non_null(b.byte);
    assert_int_equal(fread(b.byte, 1, b.n, f), b.n);
    fclose(f);
    return b;
}

static void put_image(const image *b) {
    FILE *f = fopen(b->path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->byte, 1, b->n, f), b->n);
    assert_int_equal(fclose(f), 0);
}

/* Loads the file. Whether it was refused, with a sentence and nothing changed; otherwise it has checked that the numbers
   are right. */
typedef bool load_fn(const char *path);

static bool flip(image *b, size_t bit, load_fn *load) {
    b->byte[bit / 8] ^= (unsigned char)(1u << bit % 8);
    put_image(b);
    bool refused = load(b->path);
    b->byte[bit / 8] ^= (unsigned char)(1u << bit % 8);
    return refused;
}

/* Half of the flips are at the beginning, where headers are, a quarter at the end, the others anywhere. At least
   `least` must be refused. */
static void flip_bits(const char *path, load_fn *load, int least) {
    image b = image_of(path);
    uint64_t seed = 1;
    int refused = 0, flips = test_quick() ? FLIPS / 10 : FLIPS, bits = (int)b.n * 8;
    assert_false(load(path));
    for (int i = 0; i < flips; i++) {
        int part = i % 4 < 2 ? 8 * 1024 : i % 4 == 2 ? 8 * 256 : bits;
        if (part > bits) part = bits;
        int bit = next_below(&seed, part);
        refused += flip(&b, (size_t)(i % 4 == 2 ? bits - 1 - bit : bit), load);
    }
    print_message("%s: %d of %d flips refused, the others have no meaning\n", path, refused, flips);
    assert_true((double)refused >= (double)least * flips / FLIPS);
    unlink(path);
    free(b.byte);
}

static void assert_refused(const ad_graph *g, const char *caller) {
    assert_int_equal(ad_error_code(g), AD_EIO);
    assert_contains(ad_error(g), caller);
    assert_true(strlen(ad_error(g)) > strlen(caller) + 10);
}

/* ---- nets and checkpoints ----------------------------------------------------------------------------------- */

static nn_module *net_of(ad_graph *g, uint64_t seed) {
    ad_seed(g, seed);
    return nn_mlp(g, AD_F32, 4, (int64_t[]){ 3, 16, 16, 2 }, ad_tanh);
}

/* Whether all arrays of m are those that net_of makes by this seed. */
static bool is_net(const nn_module *m, uint64_t seed) {
    ad_graph *g = ad_graph_new();
    const nn_module *twin = net_of(g, seed);
    bool same = true;
    for (int i = 0; i < nn_parameter_count(m); i++) {
        const ad_var *x = nn_parameter_at(m, i).var, *y = nn_parameter_at(twin, i).var;
        same = same && memcmp(ad_data(x), ad_data(y), (size_t)ad_numel(x) * sizeof(float)) == 0;
    }
    ad_graph_free(g);
    return same;
}

static bool load_net(const char *path) {
    ad_graph *g = ad_graph_new();
    nn_module *m = net_of(g, 2);
    bool refused = nn_load(m, path) != AD_OK;
    assert_true(is_net(m, refused ? 2 : 1));
    if (refused) assert_refused(g, "load: ");
    ad_graph_free(g);
    return refused;
}

static void flips_of_a_saved_net(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_int_equal(nn_save(net_of(g, 1), path_of("net")), AD_OK);
    ad_graph_free(g);
    flip_bits(path_of("net"), load_net, FLIPS * 98 / 100);
}

/* A training of a small net with adam, a schedule and momentum; NaN after an error. *weight: where it ends. */
static double train(ad_graph *g, const char *checkpoint, int epochs, bool resume) {
    ad_seed(g, 3);
    nn_module *net = nn_linear(g, AD_F64, 3, 1, true);
    nn_dataset d = { ad_randn(g, AD_F64, AD_SHAPE(ROWS, 3)), ad_randn(g, AD_F64, AD_SHAPE(ROWS, 1)) };
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.1 });
    nn_fit_opts o = { .epochs = epochs, .batch = 4, .checkpoint = checkpoint, .resume = resume };
    o.schedule = nn_exponential_lr(opt, 0.5);
    nn_fit(net, nn_mse, opt, d, o, NULL);
    return ad_ok(g) ? ad_item(ad_sum(ad_square(nn_find_parameter(net, "weight")))) : (double)NAN;
}

static double at_the_end; /* of three epochs in a row */

static bool resume(const char *path) {
    ad_graph *g = ad_graph_new();
    double w = train(g, path, 3, true);
    if (isnan(w)) assert_refused(g, "checkpoint: ");
    else assert_true(w == at_the_end);
    ad_graph_free(g);
    return isnan(w);
}

static void flips_of_a_checkpoint(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    at_the_end = train(g, NULL, 3, false);
    assert_false(isnan(at_the_end));
    assert_false(isnan(train(g, path_of("checkpoint"), 2, false)));
    ad_graph_free(g);
    flip_bits(path_of("checkpoint"), resume, FLIPS * 95 / 100);
}

/* ---- archives ------------------------------------------------------------------------------------------------- */

enum { ARRAYS = 3, ELEMENTS = 64 };
static const char *const names[ARRAYS] = { "a", "weights", "z" };

static bool load_archive(const char *path) {
    ad_graph *g = ad_graph_new();
    bool refused = false;
    for (int k = 0; k < ARRAYS && !refused; k++) {
        ad_var *x = nn_load_npz(g, AD_F64, path, names[k]);
        refused = ad_is_nil(x);
        assert_true(refused || ad_numel(x) == ELEMENTS);
        for (int i = 0; i < ELEMENTS && !refused; i++) assert_true(ad_at(x, i) == k);
    }
    if (refused) assert_refused(g, "load_npz: ");
    ad_graph_free(g);
    return refused;
}

/* Dates, versions and the like have no meaning. */
static void flips_of_an_archive(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x[ARRAYS];
    for (int k = 0; k < ARRAYS; k++) x[k] = ad_full(g, AD_F64, k, AD_SHAPE(ELEMENTS));
    assert_int_equal(nn_save_npz(path_of("a.npz"), ARRAYS, names, x), AD_OK);
    ad_graph_free(g);
    flip_bits(path_of("a.npz"), load_archive, FLIPS * 80 / 100);
}

/* ---- checksums ------------------------------------------------------------------------------------------------- */

/* The digits of the checksum are changed, or the numbers and the checksum with them: the second is another file. */
static void the_sentence_names_the_checksum(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_of(g, 1);
    assert_int_equal(nn_save(m, path_of("net")), AD_OK);
    image b = image_of(path_of("net"));
    b.byte[b.n - 1] ^= 1;
    put_image(&b);
    assert_int_equal(nn_load(m, b.path), AD_EIO);
    assert_contains(ad_error(g), "is damaged: the checksum of its bytes is ");
    ad_clear_error(g);
    static const char key[] = "autodiff.crc32\":\"";
    unsigned char *digits = b.byte;
    while (memcmp(digits, key, sizeof key - 1) != 0) digits++;
    digits += sizeof key - 1;
    memcpy(digits, "00000000", 8);
    char right[9];
    snprintf(right, sizeof right, "%08lx", (unsigned long)crc32_of(b.byte, b.n));
    memcpy(digits, right, 8);
    put_image(&b);
    assert_int_equal(nn_load(m, b.path), AD_OK);
    unlink(b.path);
    free(b.byte);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_of_a_saved_net),
        cmocka_unit_test(flips_of_a_checkpoint),
        cmocka_unit_test(flips_of_an_archive),
        cmocka_unit_test(the_sentence_names_the_checksum),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
