/* test_nn_attention.c: transformers beside PyTorch's states, generation step by step, shared weights, positions. */
#include <sys/wait.h>

#include "nn/nn.h"
#include "autodiff/extend.h"
#include "tests/common.h"

/* ---- states of torch.nn.TransformerEncoder: see tests/reference/torch_state.py ----------------------------------- */

static nn_module *encoder(ad_graph *g, ad_dtype t, bool plain) {
    nn_transformer_opts o = { .width = 8, .heads = plain ? 4 : 2, .feedforward = 12, .layers = 2 };
    o.gelu = o.norm_first = o.final_norm = !plain;
    nn_module *m = nn_transformer_encoder(g, t, o);
    nn_train(m, false);
    return m;
}

/* Sequence i has no last i time steps. */
static ad_var *masked(nn_module *m, ad_var *x, bool plain) {
    ad_graph *g = nn_graph_of(m);
    ad_shape s = ad_shape_of(x);
    ad_dtype t = ad_dtype_of(x);
    ad_var *padding = ad_zeros(g, t, AD_SHAPE(s.dim[0], s.dim[1])),
           *mask = ad_zeros(g, t, AD_SHAPE(s.dim[1], s.dim[1]));
    for (int64_t i = 0; i < s.dim[0]; i++)
        for (int64_t j = s.dim[1] - i; j < s.dim[1]; j++)
            ad_write_element(t, ad_data_mut(padding), i * s.dim[1] + j, 1);
    for (int64_t i = 0; i < s.dim[1]; i++)
        for (int64_t j = 0; j < s.dim[1]; j++)
            ad_write_element(t, ad_data_mut(mask), i * s.dim[1] + j, -0.5 * (double)(i > j ? i - j : j - i));
    return nn_apply_encoder(m, x, (nn_attention_masks){ plain ? mask : NULL, padding, false, !plain });
}

/* What we save, torch loads with strict names and predicts the same; without torch nothing is compared. */
static void check_by_torch(int n, const char *const names[]) {
    enum { NO_TORCH = 77 };
    char command[1600];
    int at = snprintf(command, sizeof command, "/usr/bin/python3 '%s' --check",
                      source_path("tests/reference/torch_state.py"));
    for (int i = 0; i < n; i++) at += snprintf(command + at, sizeof command - (size_t)at, " '%s'", path_of(names[i]));
    snprintf(command + at, sizeof command - (size_t)at, " >/dev/null");
    int status = access("/usr/bin/python3", X_OK) == 0 ? system(command) : 0;
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NO_TORCH));
}

static void torchs_encoders_predict_the_same(void **state) {
    (void)state;
    static const char *const names[] = { "encoder_f32", "encoder_f64", "plain_f32", "plain_f64" };
    for (int i = 0; i < COUNT(names); i++) {
        ad_graph *g = ad_graph_new();
        ad_dtype t = i % 2 ? AD_F64 : AD_F32;
        bool plain = i >= 2;
        double tol = t == AD_F32 ? 1e-5 : 1e-12;
        nn_module *m = encoder(g, t, plain), *again = encoder(g, t, plain);
        assert_int_equal(nn_load(m, source_path(reference_file(names[i], "safetensors"))), AD_OK);
        ad_var *x = wave_of(g, t, AD_SHAPE(3, 6, 8)), *y = masked(m, x, plain);
        assert_ok(g);
        assert_reference(names[i], y, tol);
        assert_int_equal(nn_save(m, path_of(names[i])), AD_OK);
        assert_int_equal(nn_load(again, path_of(names[i])), AD_OK);
        assert_reference(names[i], masked(again, x, plain), tol);
        ad_graph_free(g);
    }
    if (!test_quick()) check_by_torch(COUNT(names), names);
    for (int i = 0; i < COUNT(names); i++) unlink(path_of(names[i]));
}

/* ---- step by step ------------------------------------------------------------------------------------------------ */

enum { SEQUENCES = 2, STEPS = 9, WIDTH = 8 };

static nn_module *generator(ad_graph *g, int kind, ad_dtype t) {
    nn_transformer_opts o = { .width = WIDTH, .heads = 2, .feedforward = 5, .layers = 2, .causal = true };
    o.rotary = kind == 2;
    nn_module *stack = nn_transformer_encoder(g, t, o);
    nn_module *m = kind == 0   ? nn_sequential(g, nn_learned_positions(g, t, 300, WIDTH), stack)
                   : kind == 1 ? nn_sequential(g, nn_sinusoidal_positions(g, t, STEPS, WIDTH), stack)
                               : nn_sequential(g, stack);
    nn_train(m, false);
    return m;
}

static void compare_steps(const ad_var *all, const ad_var *part, int64_t from, double tol) {
    int64_t steps = ad_shape_of(part).dim[1];
    for (int64_t i = 0; i < ad_numel(part); i++) {
        int64_t sequence = i / (steps * WIDTH), rest = i % (steps * WIDTH);
        assert_close(ad_at(part, i), ad_at(all, (sequence * STEPS + from) * WIDTH + rest), tol);
    }
}

/* All of x in calls of `each` steps; the last call may have fewer. */
static void generate(nn_module *m, ad_var *x, const ad_var *all, int64_t each, int64_t capacity, double tol) {
    ad_graph *g = nn_graph_of(m);
    assert_int_equal(nn_cache_begin(m, SEQUENCES, capacity), AD_OK);
    for (int64_t from = 0; from < STEPS; from += each) {
        int64_t steps = from + each < STEPS ? each : STEPS - from;
        ad_var *y = nn_apply(m, ad_narrow(x, 1, from, steps));
        assert_ok(g);
        compare_steps(all, y, from, tol);
    }
    assert_int_equal(nn_cache_end(m), AD_OK);
}

static void steps_give_what_the_whole_gives(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            nn_module *m = generator(g, kind, (ad_dtype)t);
            ad_enable_grad(g, false);
            ad_var *x = wave_of(g, (ad_dtype)t, AD_SHAPE(SEQUENCES, STEPS, WIDTH)), *all = nn_apply(m, x);
            assert_ok(g);
            const int64_t capacities[] = { STEPS, 300 };
            for (int i = 0; i < 2; i++)
                for (int64_t each = 1; each <= STEPS; each += each < 4 ? 1 : 5)
                    generate(m, x, all, each, capacities[i], t == AD_F32 ? 2e-5 : 1e-12);
            compare_steps(all, nn_apply(m, x), 0, 0); /* nothing is left of the caches */
            ad_graph_free(g);
        }
}

static void a_cache_ends_with_its_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = generator(g, 0, AD_F64);
    ad_enable_grad(g, false);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(SEQUENCES, STEPS, WIDTH)), *all = nn_apply(m, x);
    for (int i = 0; i < 3; i++) {
        ad_mark scope = ad_begin(g);
        assert_int_equal(nn_cache_begin(m, SEQUENCES, 4), AD_OK);
        compare_steps(all, nn_apply(m, ad_narrow(x, 1, 0, 4)), 0, 1e-12);
        ad_end(g, scope);
        compare_steps(all, nn_apply(m, x), 0, 0);
    }
    assert_ok(g);
    ad_graph_free(g);
}

static void caches_refuse_what_they_cannot_do(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = generator(g, 2, AD_F64), *twice = nn_sequential(g, m, m);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(SEQUENCES, 3, WIDTH)), *one = wave_of(g, AD_F64, AD_SHAPE(1, 3, WIDTH));
    nn_module *attention = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = WIDTH, .heads = 2 });
    assert_int_equal(nn_cache_begin(m, SEQUENCES, 4), AD_OK);
    assert_fails(g, nn_apply(m, x), AD_EGRAD, "cached steps have no gradients");
    ad_enable_grad(g, false);
    assert_fails(g, nn_apply(m, one), AD_ESHAPE, "1 sequences, but the cache is for 2");
    nn_apply(m, x);
    assert_ok(g);
    assert_fails(g, nn_apply(m, x), AD_EVALUE, "3 steps after 3 are more than the cache holds, 4");
    assert_int_equal(nn_cache_begin(m, SEQUENCES, 4), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "sequential is caching already; call nn_cache_end");
    assert_int_equal(nn_cache_end(m), AD_OK);
    assert_int_equal(nn_cache_begin(twice, SEQUENCES, 4), AD_EVALUE);
    assert_fails(g, ad_nil(g), AD_EVALUE, "used in two places");
    assert_int_equal(nn_cache_begin(m, 0, 4), AD_ESHAPE);
    assert_fails(g, ad_nil(g), AD_ESHAPE, "cache_begin: n 0");
    assert_int_equal(nn_cache_begin(NULL, 1, 1), AD_EVALUE);
    assert_int_equal(nn_cache_end(NULL), AD_EVALUE);
    assert_int_equal(nn_cache_begin(attention, SEQUENCES, 4), AD_OK);
    nn_attention_masks masks = { .mask = ad_zeros(g, AD_F64, AD_SCALAR) };
    assert_fails(g, nn_apply_attention(attention, x, x, x, masks), AD_EVALUE, "no masks can be given");
    ad_graph_free(g);
}

/* A decoder's attention to memory is not cached. */
static void decoders_generate_too(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_transformer_opts o = { .width = WIDTH, .heads = 2, .feedforward = 5, .layers = 2, .causal = true };
    nn_module *m = nn_transformer_decoder(g, AD_F64, o);
    nn_train(m, false);
    ad_enable_grad(g, false);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(SEQUENCES, STEPS, WIDTH));
    ad_var *memory = ad_muls(wave_of(g, AD_F64, AD_SHAPE(SEQUENCES, 4, WIDTH)), -1);
    const nn_attention_masks none = { 0 };
    ad_var *all = nn_apply_decoder(m, x, memory, none, none);
    assert_int_equal(nn_cache_begin(m, SEQUENCES, STEPS), AD_OK);
    for (int64_t i = 0; i < STEPS; i++)
        compare_steps(all, nn_apply_decoder(m, ad_narrow(x, 1, i, 1), memory, none, none), i, 1e-12);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- one weight in two places ------------------------------------------------------------------------------------ */

/* Names symbols, and gives logits by the same weight. */
static nn_module *tied(ad_graph *g) {
    nn_module *symbols = nn_embedding(g, AD_F64, 5, 3);
    return nn_sequential(g, symbols, nn_linear_shared(g, nn_find_parameter(symbols, "weight"), true));
}

static void write_state(ad_graph *g, const char *weight, const char *path) {
    nn_module *part[2] = { nn_embedding(g, AD_F64, 5, 3), nn_module_new(g, "bias", (nn_forward_fn *)nn_apply, 0) };
    nn_add_parameter(part[1], "bias", wave_of(g, AD_F64, AD_SHAPE(5)));
    ad_set(nn_find_parameter(part[0], "weight"), ad_data(wave_of(g, AD_F64, AD_SHAPE(5, 3))));
    nn_module *m = nn_module_new(g, "state", (nn_forward_fn *)nn_apply, 0);
    nn_module *second = nn_module_new(g, "linear", (nn_forward_fn *)nn_apply, 0);
    bool other = weight[0] == '1';
    if (other) nn_add_parameter(second, "weight", nn_find_parameter(part[0], "weight"));
    nn_add_parameter(second, "bias", nn_find_parameter(part[1], "bias"));
    if (!other) nn_add_child(m, "0", part[0]);
    nn_add_child(m, "1", second);
    assert_int_equal(nn_save(m, path), AD_OK);
}

static void a_shared_weight_is_one_parameter(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = tied(g), *twin = nn_copy(m);
    assert_ok(g);
    for (int i = 0; i < 2; i++, m = twin) {
        assert_int_equal(nn_parameter_count(m), 2);
        assert_string_equal(nn_parameter_at(m, 0).name, "0.weight");
        assert_string_equal(nn_parameter_at(m, 1).name, "1.bias");
        assert_non_null(nn_find_parameter(m, "0.weight"));
        assert_ptr_equal(nn_find_parameter(m, "1.weight"), nn_find_parameter(m, "0.weight"));
    }
    nn_module *whole = nn_sequential(g, nn_identity(g), twin); /* aliases of a child's child */
    assert_ptr_equal(nn_find_parameter(whole, "1.1.weight"), nn_find_parameter(whole, "1.0.weight"));
    assert_int_equal(nn_parameter_count(whole), 2);
    assert_null(nn_linear_shared(g, wave_of(g, AD_F64, AD_SHAPE(3)), true));
    assert_fails(g, ad_nil(g), AD_ESHAPE, "linear_shared: the weight is [3]; it must be [out, in]");
    ad_graph_free(g);
}

static void a_shared_weight_is_loaded_by_either_name(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = tied(g), *from = i == 2 ? tied(g) : NULL;
        if (from != NULL) {
            ad_set(nn_find_parameter(from, "0.weight"), ad_data(wave_of(g, AD_F64, AD_SHAPE(5, 3))));
            assert_int_equal(nn_save(from, path_of("tied")), AD_OK);
        } else write_state(g, i ? "1.weight" : "0.weight", path_of("tied"));
        assert_int_equal(nn_load(m, path_of("tied")), AD_OK);
        const ad_var *w = nn_find_parameter(m, "0.weight");
        for (int64_t k = 0; k < 15; k++) assert_true(ad_at(w, k) == cos(0.3 + 1.1 * (double)k));
        unlink(path_of("tied"));
        ad_graph_free(g);
    }
}

/* The gradient is the sum of both uses, and one step of an optimiser moves the weight once. */
static void a_shared_weight_is_trained_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = tied(g);
    ad_var *w = nn_find_parameter(m, "0.weight"), *x = ad_tensor(g, AD_F64, (double[]){ 1, 4 }, AD_SHAPE(2));
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.1 });
    ad_var *a = ad_param(g, AD_F64, ad_data(w), AD_SHAPE(5, 3)), *b = ad_param(g, AD_F64, ad_data(w), AD_SHAPE(5, 3));
    ad_var *bias = nn_find_parameter(m, "1.bias");
    ad_backward(ad_sum(ad_square(nn_apply(m, x))));
    ad_backward(ad_sum(ad_square(ad_affine(ad_embedding(a, x), b, ad_detach(bias)))));
    nn_step(opt);
    assert_ok(g);
    for (int64_t k = 0; k < 15; k++) {
        assert_close(ad_grad_at(w, k), ad_grad_at(a, k) + ad_grad_at(b, k), 1e-12);
        assert_close(ad_at(w, k), ad_at(a, k) - 0.1 * ad_grad_at(w, k), 1e-12);
    }
    ad_graph_free(g);
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

static void positions_are_added(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3, 4));
    nn_module *sines = nn_sinusoidal_positions(g, AD_F64, 5, 4), *learned = nn_learned_positions(g, AD_F64, 5, 4);
    ad_var *y = nn_apply(sines, x), *z = nn_apply(learned, x);
    assert_ok(g);
    const double want[] = { 0, 1, 0, 1, sin(1), cos(1), sin(0.01), cos(0.01), sin(2), cos(2), sin(0.02), cos(0.02) };
    for (int64_t i = 0; i < 24; i++) assert_close(ad_at(y, i), want[i % 12], 1e-15);
    for (int64_t i = 0; i < 24; i++) assert_true(ad_at(z, i) == ad_at(nn_find_parameter(learned, "weight"), i % 12));
    assert_fails(g, nn_apply(sines, ad_zeros(g, AD_F64, AD_SHAPE(6, 4))), AD_ESHAPE, "5 steps at most");
    assert_fails(g, nn_apply(learned, ad_zeros(g, AD_F64, AD_SHAPE(4, 3))), AD_ESHAPE, "it must be [.., time, 4]");
    ad_graph_free(g);
}

/* Products of turned queries and keys depend on the difference of their positions, and lengths stay. */
static void rotary_turns_by_position(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *q = wave_of(g, AD_F64, AD_SHAPE(1, 4)), *k = ad_muls(wave_of(g, AD_F64, AD_SHAPE(1, 4)), -2);
    double first = ad_item(ad_matmul(ad_rotary(q, 7, 100), ad_transpose(ad_rotary(k, 4, 100))));
    double second = ad_item(ad_matmul(ad_rotary(q, 1003, 100), ad_transpose(ad_rotary(k, 1000, 100))));
    assert_close(first, second, 1e-12);
    ad_var *y = ad_rotary(ad_ones(g, AD_F64, AD_SHAPE(2, 4)), 2, 100); /* angles: position, position / 10 */
    const double want[] = { cos(2) - sin(2), cos(0.2) - sin(0.2), cos(2) + sin(2), cos(0.2) + sin(0.2),
                            cos(3) - sin(3), cos(0.3) - sin(0.3), cos(3) + sin(3), cos(0.3) + sin(0.3) };
    for (int64_t i = 0; i < 8; i++) assert_close(ad_at(y, i), want[i], 1e-14);
    assert_fails(g, ad_rotary(ad_ones(g, AD_F64, AD_SHAPE(2, 3)), 0, 100), AD_ESHAPE, "an even d");
    assert_fails(g, ad_rotary(y, 0, -1), AD_EVALUE, "the base is -1");
    assert_null(nn_rotary(g, -1));
    assert_fails(g, ad_nil(g), AD_EVALUE, "rotary: base -1");
    ad_graph_free(g);
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

static void norms_by_hand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ 3, 4, 0, 5 }, AD_SHAPE(2, 2));
    ad_var *y = nn_apply(nn_rms_norm(g, AD_F64, 2), x); /* the mean squares are 12.5 */
    const double want[] = { 3, 4, 0, 5 };
    for (int i = 0; i < 4; i++) assert_close(ad_at(y, i), want[i] / sqrt(12.5 + 1e-5), 1e-14);
    ad_var *w = ad_ones(g, AD_F64, AD_SHAPE(3));
    assert_fails(g, ad_rms_norm(x, w, 0), AD_ESHAPE, "the weight must be [2]");
    assert_fails(g, ad_group_norm(x, 3, NULL, NULL, 0), AD_EVALUE, "2 channels do not make 3 equal groups");
    assert_fails(g, ad_group_norm(x, 1, w, NULL, 0), AD_ESHAPE, "weight and bias must be [2]");
    assert_fails(g, ad_instance_norm(w, NULL, NULL, 0), AD_ESHAPE, "takes x [n,c,..]");
    assert_null(nn_group_norm(g, AD_F64, 2, 3));
    assert_fails(g, ad_nil(g), AD_EVALUE, "3 channels do not make 2 equal groups");
    assert_fails(g, nn_apply(nn_instance_norm(g, AD_F64, 3, false), x), AD_ESHAPE, "it must be [n, 3, ..]");
    ad_graph_free(g);
}

/* ---- masks and failures ------------------------------------------------------------------------------------------ */

/* All keys of the second sequence are padding: PyTorch 1.13 has NaN there. */
static void a_sequence_of_padding(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    ad_var *bias = nn_find_parameter(m, "out_proj.bias"), *x = wave_of(g, AD_F64, AD_SHAPE(2, 3, 4));
    nn_init_uniform(bias, 1, 2);
    ad_var *padding = ad_tensor(g, AD_F64, (double[]){ 0, 1, 0, 1, 1, 1 }, AD_SHAPE(2, 3));
    ad_var *y = nn_apply_attention(m, x, x, x, (nn_attention_masks){ .padding = padding });
    for (int64_t i = 12; i < 24; i++) assert_close(ad_at(y, i), ad_at(bias, i % 4), 0);
    ad_backward(ad_sum(ad_square(y)));
    assert_ok(g);
    for (int64_t i = 0; i < 24; i++) assert_true(i < 12 ? ad_grad_at(x, i) != 0 : ad_grad_at(x, i) == 0);
    ad_graph_free(g);
}

/* A mask for each head of each sequence, as PyTorch's, is the one with an axis for the heads. */
static void masks_by_head(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(3, 2, 4)), *mask = wave_of(g, AD_F64, AD_SHAPE(3, 2, 2, 2));
    ad_var *y = nn_apply_attention(m, x, x, x, (nn_attention_masks){ .mask = mask });
    ad_var *flat = ad_reshape(mask, AD_SHAPE(6, 2, 2));
    ad_var *z = nn_apply_attention(m, x, x, x, (nn_attention_masks){ .mask = flat });
    assert_ok(g);
    for (int64_t i = 0; i < 24; i++) assert_true(ad_at(y, i) == ad_at(z, i));
    ad_graph_free(g);
}

static void dropout_is_for_training(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_transformer_opts o = { .width = 4, .heads = 2, .feedforward = 8, .dropout = 0.5 };
    nn_module *m = nn_transformer_encoder_layer(g, AD_F64, o);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(1, 3, 4)), *a = nn_apply(m, x), *b = nn_apply(m, x);
    nn_train(m, false);
    ad_var *c = nn_apply(m, x), *d = nn_apply(m, x);
    bool differ = false;
    for (int64_t i = 0; i < 12; i++) {
        differ = differ || ad_at(a, i) != ad_at(b, i);
        assert_true(ad_at(c, i) == ad_at(d, i));
    }
    assert_true(differ);
    assert_ok(g);
    ad_graph_free(g);
}

static void failures_name_the_cause(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3, 4)), *y = wave_of(g, AD_F64, AD_SHAPE(2, 2, 4));
    const nn_attention_masks none = { 0 };
    nn_module *act = nn_relu(g);
    assert_fails(g, nn_apply(m, ad_ones(g, AD_F64, AD_SHAPE(3, 4))), AD_ESHAPE,
                 "query is [3,4]; it must be [n, time, 4]");
    assert_fails(g, nn_apply_attention(m, x, x, y, none), AD_ESHAPE, "key [2,3,4] and value [2,2,4] have two lengths");
    assert_fails(g, nn_apply_attention(m, x, x, x, (nn_attention_masks){ .padding = x }), AD_ESHAPE,
                 "the padding mask is [2,3,4]; it must be [2,3]");
    assert_fails(g, nn_apply_attention(m, x, x, x, (nn_attention_masks){ .mask = y }), AD_ESHAPE,
                 "the mask [2,2,4] does not broadcast");
    assert_fails(g, nn_apply_attention(act, x, x, x, none), AD_EVALUE, "not an attention");
    assert_fails(g, nn_apply_encoder(act, x, none), AD_EVALUE, "not an encoder");
    assert_fails(g, nn_apply_decoder(act, x, x, none, none), AD_EVALUE, "not a decoder");
    const struct {
        nn_transformer_opts o;
        int code;
        const char *text;
    } bad[] = {
        { { .width = 6, .heads = 4 }, AD_EVALUE, "width 6 is no multiple of the 4 heads" },
        { { .width = 0, .heads = 4 }, AD_ESHAPE, "width 0" },
        { { .width = 8, .heads = 4, .dropout = 2 }, AD_EVALUE, "dropout 2" },
        { { .width = 4, .heads = 4, .rotary = true }, AD_EVALUE, "no even multiple" },
        { { .width = 8, .heads = 4, .feedforward = -1 }, AD_ESHAPE, "feedforward -1" },
    };
    for (int i = 0; i < COUNT(bad); i++) {
        assert_null(nn_transformer_encoder_layer(g, AD_F64, bad[i].o));
        assert_fails(g, ad_nil(g), bad[i].code, bad[i].text);
    }
    assert_null(nn_transformer_encoder(g, AD_F64, (nn_transformer_opts){ .width = 4, .heads = 2 }));
    assert_fails(g, ad_nil(g), AD_ESHAPE, "transformer_encoder: layers 0");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torchs_encoders_predict_the_same),
        cmocka_unit_test(steps_give_what_the_whole_gives),
        cmocka_unit_test(a_cache_ends_with_its_scope),
        cmocka_unit_test(caches_refuse_what_they_cannot_do),
        cmocka_unit_test(decoders_generate_too),
        cmocka_unit_test(a_shared_weight_is_one_parameter),
        cmocka_unit_test(a_shared_weight_is_loaded_by_either_name),
        cmocka_unit_test(a_shared_weight_is_trained_once),
        cmocka_unit_test(positions_are_added),
        cmocka_unit_test(rotary_turns_by_position),
        cmocka_unit_test(norms_by_hand),
        cmocka_unit_test(a_sequence_of_padding),
        cmocka_unit_test(masks_by_head),
        cmocka_unit_test(dropout_is_for_training),
        cmocka_unit_test(failures_name_the_cause),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
