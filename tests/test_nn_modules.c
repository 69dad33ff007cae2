/* test_nn_modules.c: the layers against torch.nn's, and what can be done with modules: modes, buffers,
   freezing, copies, summaries. */
#include "nn/nn.h"
#include "tests/common.h"

/* ---- what torch.nn makes of fixed inputs: see tests/reference/modules.py ---------------------------------- */

enum { LINE = 16384, MOST = 512 };

static void wave(ad_var *x, double start, double step, double f(double), double scale) {
    double *values = malloc((size_t)ad_numel(x) * sizeof *values);
    assert_non_null(values);
    for (int64_t k = 0; k < ad_numel(x); k++) values[k] = scale * f(start + step * (double)k);
    assert_int_equal(set_all(x, values), AD_OK);
    free(values);
}

static ad_var *input(ad_graph *g, ad_shape s) {
    ad_var *x = ad_param(g, AD_F64, NULL, s);
    wave(x, 0.3, 1.1, cos, 1);
    return x;
}

/* Sets the module's parameters as the script does. */
static void fill(nn_module *m) {
    for (int j = 0; j < nn_parameter_count(m); j++) wave(nn_parameter_at(m, j).var, 1 + j, 1.7, sin, 0.5);
}

typedef struct {
    const char *name;
    nn_module *(*make)(ad_graph *g);
    ad_shape x;
    ad_var *(*apply)(nn_module *m, ad_var *x); /* NULL: nn_apply */
} layer;

#define LAYER(name, call)                                                                                              \
    static nn_module *make_##name(ad_graph *g) { return call; }
LAYER(linear, nn_linear(g, AD_F64, 3, 4, true))
LAYER(linear_no_bias, nn_linear(g, AD_F64, 3, 4, false))
LAYER(bilinear, nn_bilinear(g, AD_F64, 3, 3, 2, true))
LAYER(embedding, nn_embedding(g, AD_F64, 5, 3))
LAYER(conv1d, nn_conv1d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel = 3, .stride = 2, .padding = 1 }))
LAYER(conv2d, nn_conv2d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel = 3 }))
LAYER(conv2d_groups, nn_conv2d(g, AD_F64, (nn_conv_opts){ .in = 4, .out = 2, .kernel = 2, .stride = 2, .padding = 1,
                                                          .dilation = 2, .groups = 2, .no_bias = true }))
LAYER(max_pool1d, nn_max_pool1d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(max_pool2d, nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(avg_pool1d, nn_avg_pool1d(g, (ad_pool_opts){ .kernel = { 3, 3 }, .stride = { 1, 1 } }))
LAYER(avg_pool2d, nn_avg_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 }, .padding = { 1, 1 } }))
LAYER(adaptive_avg_pool2d, nn_adaptive_avg_pool2d(g, 2, 1))
LAYER(batch_norm, nn_batch_norm(g, AD_F64, 3, (nn_batch_norm_opts){ 0 }))
LAYER(batch_norm_eval, nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ 0 }))
LAYER(layer_norm, nn_layer_norm(g, AD_F64, AD_SHAPE(3, 2)))
LAYER(prelu, nn_prelu(g, AD_F64, 3))
LAYER(sequential, nn_sequential(g, nn_linear(g, AD_F64, 3, 4, true), nn_tanh(g),
                                nn_sequential(g, nn_linear(g, AD_F64, 4, 2, true), nn_prelu(g, AD_F64, 1))))
LAYER(rnn, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(rnn_relu, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .relu = true, .no_bias = true }))
LAYER(lstm, nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(gru, nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(rnn_cell, nn_rnn_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(lstm_cell, nn_lstm_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(gru_cell, nn_gru_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))

static ad_var *with_its_double(nn_module *m, ad_var *x) { return nn_apply_bilinear(m, x, ad_muls(x, 2)); }

static ad_var *of_indices(nn_module *m, ad_var *x) {
    (void)x;
    return nn_apply(m, ad_tensor(nn_graph_of(m), AD_F64, (double[]){ 1, 4, 1, 0, 2, 4 }, AD_SHAPE(2, 3)));
}

/* Three minibatches of [4,2,3,1] in training; x itself after it. */
static ad_var *after_training(nn_module *m, ad_var *x) {
    for (int i = 0; i < 3; i++) nn_apply(m, ad_muls(input(nn_graph_of(m), AD_SHAPE(4, 2, 3, 1)), i + 1));
    nn_eval(m);
    return nn_apply(m, x);
}

/* From a state that is not zero; all results, and h at the end. */
static ad_var *from_a_state(nn_module *m, ad_var *x) {
    nn_rnn_state s = nn_rnn_state_new(m, ad_shape_of(x).dim[0]);
    wave(s.h, 0.7, 0.4, cos, 1);
    if (s.c != NULL) wave(s.c, 0.1, 0.6, cos, 1);
    ad_var *y = nn_apply_rnn(m, x, &s);
    return ad_concat(2, (ad_var *[]){ ad_flatten(y, 0, -1), ad_flatten(s.h, 0, -1) }, 0);
}

static const layer layers[] = {
    { "linear", make_linear, { 2, { 2, 3 } }, NULL },
    { "linear_no_bias", make_linear_no_bias, { 2, { 2, 3 } }, NULL },
    { "bilinear", make_bilinear, { 2, { 4, 3 } }, with_its_double },
    { "embedding", make_embedding, { 1, { 1 } }, of_indices },
    { "conv1d", make_conv1d, { 3, { 2, 2, 7 } }, NULL },
    { "conv2d", make_conv2d, { 4, { 2, 2, 5, 4 } }, NULL },
    { "conv2d_groups", make_conv2d_groups, { 4, { 1, 4, 5, 5 } }, NULL },
    { "max_pool1d", make_max_pool1d, { 3, { 1, 2, 7 } }, NULL },
    { "max_pool2d", make_max_pool2d, { 4, { 1, 2, 4, 5 } }, NULL },
    { "avg_pool1d", make_avg_pool1d, { 3, { 1, 2, 7 } }, NULL },
    { "avg_pool2d", make_avg_pool2d, { 4, { 1, 2, 4, 4 } }, NULL },
    { "adaptive_avg_pool2d", make_adaptive_avg_pool2d, { 4, { 2, 2, 4, 3 } }, NULL },
    { "batch_norm", make_batch_norm, { 2, { 5, 3 } }, NULL },
    { "batch_norm_eval", make_batch_norm_eval, { 4, { 2, 2, 3, 2 } }, after_training },
    { "layer_norm", make_layer_norm, { 3, { 4, 3, 2 } }, NULL },
    { "prelu", make_prelu, { 3, { 2, 3, 2 } }, NULL },
    { "sequential", make_sequential, { 2, { 2, 3 } }, NULL },
    { "rnn", make_rnn, { 3, { 2, 5, 3 } }, from_a_state },
    { "rnn_relu", make_rnn_relu, { 3, { 2, 3, 3 } }, from_a_state },
    { "lstm", make_lstm, { 3, { 2, 5, 3 } }, from_a_state },
    { "gru", make_gru, { 3, { 2, 5, 3 } }, from_a_state },
    { "rnn_cell", make_rnn_cell, { 2, { 4, 3 } }, NULL },
    { "lstm_cell", make_lstm_cell, { 2, { 4, 3 } }, NULL },
    { "gru_cell", make_gru_cell, { 2, { 4, 3 } }, NULL },
};

/* Compares the numbers of a line with x's elements, or with its gradient's. */
static void compare_line(const char *what, const char *numbers, const ad_var *x, bool gradient) {
    int64_t k = 0;
    char *end;
    for (double e = strtod(numbers, &end); end != numbers; numbers = end, e = strtod(numbers, &end), k++)
        assert_close_in(what, gradient ? ad_grad_at(x, k) : ad_at(x, k), e, 1e-10);
    if (k != ad_numel(x)) print_error("%s: %lld elements, %lld expected\n", what, (long long)ad_numel(x), (long long)k);
    assert_int_equal(k, ad_numel(x));
}

/* Checks one line "WORD NAME NUMBERS" of a case; counts those of parameters and buffers. */
static void check_line(const char *of, char *line, nn_module *m, ad_var *x, ad_var *y, int count[2]) {
    char what[128];
    char *word = strtok(line, " "), *name = strtok(NULL, " "), *numbers = strtok(NULL, "");
    snprintf(what, sizeof what, "%s %s %s", of, word, name);
    ad_var *found = strcmp(word, "parameter") == 0 ? nn_find_parameter(m, name) : nn_find_buffer(m, name);
    if (strcmp(word, "y") == 0) found = y;
    if (strcmp(word, "dx") == 0) found = x;
    if (found == NULL) print_error("%s: there is none\n", what);
    assert_non_null(found);
    compare_line(what, numbers, found, word[0] == 'd' || word[0] == 'p');
    if (word[0] == 'p') count[0]++;
    if (word[0] == 'b') count[1]++;
}

static void check_layer(const layer *l, FILE *in) {
    char line[LINE];
    int count[2] = { 0, 0 };
    ad_graph *g = ad_graph_new();
    nn_module *m = l->make(g);
    assert_ok(g);
    fill(m);
    ad_var *x = input(g, l->x), *y = (l->apply ? l->apply : nn_apply)(m, x);
    assert_ok(g);
    ad_var *weights = ad_zeros(g, AD_F64, ad_shape_of(y));
    wave(weights, 0.2, 0.9, sin, 1);
    ad_backward(ad_sum(ad_mul(y, weights)));
    while (fgets(line, sizeof line, in) != NULL && strncmp(line, "case ", 5) != 0)
        check_line(l->name, line, m, x, y, count);
    assert_int_equal(count[0], nn_parameter_count(m));
    assert_int_equal(count[1], nn_buffer_count(m));
    assert_ok(g);
    ad_graph_free(g);
}

static void layers_are_as_in_torch(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char path[256], line[LINE], head[64];
        snprintf(path, sizeof path, "%s/tests/reference/results_nn/modules.txt", getenv("AD_SOURCE") ? getenv("AD_SOURCE") : ".");
        FILE *in = fopen(path, "r");
        assert_non_null(in);
        snprintf(head, sizeof head, "case %s\n", layers[i].name);
        while (fgets(line, sizeof line, in) != NULL && strcmp(line, head) != 0) {}
        if (feof(in)) print_error("no case %s in %s\n", layers[i].name, path);
        assert_false(feof(in));
        check_layer(&layers[i], in);
        fclose(in);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_as_in_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
