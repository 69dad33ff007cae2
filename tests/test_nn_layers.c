/* test_nn_layers.c: the layers against torch.nn's, containers, recurrent nets, initialisers, sizes that are refused. */
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

static ad_var *input(ad_graph *g, ad_shape s) { return wave_of(g, AD_F64, s); }

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
LAYER(conv2d_oblong, nn_conv2d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 4, .kernel = 3, .kernel_w = 2, .stride_w = 2,
                                                          .padding = 2, .padding_w = AD_ZERO, .dilation = 2, .dilation_w = 1,
                                                          .groups = 2 }))
LAYER(conv_transpose1d, nn_conv_transpose1d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel = 4, .stride = 3,
                                                                       .padding = 1, .output_padding = 2 }))
LAYER(conv_transpose2d,
      nn_conv_transpose2d(g, AD_F64, (nn_conv_opts){ .in = 4, .out = 2, .kernel = 3, .stride = 2, .padding = 1,
                                                     .output_padding = 1, .groups = 2 }))
LAYER(conv_transpose2d_oblong,
      nn_conv_transpose2d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel = 2, .kernel_w = 3, .stride = 3,
                                                     .stride_w = 2, .padding = 1, .padding_w = AD_ZERO, .output_padding = 2,
                                                     .output_padding_w = 1, .dilation_w = 2, .no_bias = true }))
LAYER(max_pool1d, nn_max_pool1d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(max_pool2d, nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(conv3d, nn_conv3d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 4, .kernel_d = 2, .kernel = 3, .kernel_w = 1,
                                                   .stride_d = 1, .stride = 2, .stride_w = 1, .padding_d = 1,
                                                   .padding_w = 2, .groups = 2 }))
LAYER(conv_transpose3d, nn_conv_transpose3d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel_d = 3, .kernel = 2,
                                                                       .kernel_w = 1, .stride = 2,
                                                                       .output_padding_d = 1, .output_padding_w = 1 }))
LAYER(max_pool3d, nn_max_pool3d(g, (ad_pool_opts){ .kernel = { 1, 2, 3 }, .stride = { 1, 2, 1 } }))
LAYER(adaptive_max_pool2d, nn_adaptive_max_pool2d(g, 2, 3))
LAYER(upsample, nn_upsample(g, (nn_upsample_opts){ .scale = 2, .mode = AD_RESAMPLE_LINEAR }))
LAYER(upsample_cubic, nn_upsample(g, (nn_upsample_opts){ .size = AD_SHAPE(5, 3), .mode = AD_RESAMPLE_CUBIC,
                                                         .align_corners = true }))
LAYER(pixel_shuffle, nn_pixel_shuffle(g, 2))
LAYER(local_response_norm, nn_local_response_norm(g, 3, 0.5, 0.75, 2))
LAYER(avg_pool1d, nn_avg_pool1d(g, (ad_pool_opts){ .kernel = { 3, 3 }, .stride = { 1, 1 } }))
LAYER(avg_pool2d, nn_avg_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 }, .padding = { 1, 1 } }))
LAYER(adaptive_avg_pool1d, nn_adaptive_avg_pool1d(g, 3))
LAYER(adaptive_avg_pool2d, nn_adaptive_avg_pool2d(g, 2, 1))
LAYER(batch_norm, nn_batch_norm(g, AD_F64, 3, (nn_batch_norm_opts){ 0 }))
LAYER(batch_norm_eval, nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ 0 }))
LAYER(layer_norm, nn_layer_norm(g, AD_F64, AD_SHAPE(3, 2)))
LAYER(group_norm, nn_group_norm(g, AD_F64, 2, 4))
LAYER(group_norm_image, nn_group_norm(g, AD_F64, 3, 6))
LAYER(instance_norm, nn_instance_norm(g, AD_F64, 3, false))
LAYER(instance_norm_affine, nn_instance_norm(g, AD_F64, 2, true))
LAYER(attention, nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 }))
LAYER(attention_no_bias,
      nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 6, .heads = 3, .no_bias = true }))
#define BLOCK .width = 4, .heads = 2, .feedforward = 6, .dropout = AD_ZERO
LAYER(encoder_layer, nn_transformer_encoder_layer(g, AD_F64, (nn_transformer_opts){ BLOCK }))
LAYER(encoder_layer_first,
      nn_transformer_encoder_layer(g, AD_F64, (nn_transformer_opts){ BLOCK, .norm_first = true, .gelu = true }))
LAYER(encoder, nn_transformer_encoder(g, AD_F64, (nn_transformer_opts){ BLOCK, .layers = 2, .final_norm = true }))
LAYER(decoder_layer, nn_transformer_decoder_layer(g, AD_F64, (nn_transformer_opts){ BLOCK, .causal = true }))
LAYER(decoder, nn_transformer_decoder(g, AD_F64, (nn_transformer_opts){ BLOCK, .layers = 2, .causal = true,
                                                                        .norm_first = true, .gelu = true }))
LAYER(prelu, nn_prelu(g, AD_F64, 3))
LAYER(sequential, nn_sequential(g, nn_linear(g, AD_F64, 3, 4, true), nn_tanh(g),
                                nn_sequential(g, nn_linear(g, AD_F64, 4, 2, true), nn_prelu(g, AD_F64, 1))))
LAYER(rnn, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(rnn_relu, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .relu = true, .no_bias = true }))
LAYER(lstm, nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(gru, nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2 }))
LAYER(rnn_both_ways, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .bidirectional = true }))
LAYER(lstm_both_ways, nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2, .bidirectional = true }))
LAYER(gru_both_ways, nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2, .bidirectional = true,
                                                      .no_bias = true }))
LAYER(rnn_cell, nn_rnn_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(lstm_cell, nn_lstm_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(gru_cell, nn_gru_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))

static ad_var *with_its_double(nn_module *m, ad_var *x) { return nn_apply_bilinear(m, x, ad_muls(x, 2)); }

static ad_var *of_indices(nn_module *m, ad_var *x) {
    (void)x;
    return nn_apply(m, ad_tensor(nn_graph_of(m), AD_F64, (double[]){ 1, 4, 1, 0, 2, 4 }, AD_SHAPE(2, 3)));
}

/* Three minibatches [4,2,3,1] in training, then x in evaluation. */
static ad_var *after_training(nn_module *m, ad_var *x) {
    for (int i = 0; i < 3; i++) nn_apply(m, ad_muls(input(nn_graph_of(m), AD_SHAPE(4, 2, 3, 1)), i + 1));
    nn_train(m, false);
    return nn_apply(m, x);
}

/* Starts from a state that is not zero; returns the results and the final state, joined. */
static ad_var *from_a_state(nn_module *m, ad_var *x) {
    nn_rnn_state s = nn_rnn_state_new(m, ad_shape_of(x).dim[0]);
    wave(s.h, 0.7, 0.4, cos, 1);
    if (s.c != NULL) wave(s.c, 0.1, 0.6, cos, 1);
    ad_var *y = nn_apply_rnn(m, x, &s);
    ad_var *all[] = { ad_flatten(y, 0, -1), ad_flatten(s.h, 0, -1), s.c ? ad_flatten(s.c, 0, -1) : NULL };
    return ad_concat(s.c ? 3 : 2, all, 0);
}

/* 1 for the last i keys of sequence i. */
static ad_var *padding_of(ad_graph *g, int64_t n, int64_t time) {
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(n, time));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = time - i; j < time; j++) ((double *)ad_data_mut(x))[i * time + j] = 1;
    return x;
}

static nn_attention_masks both_masks(ad_graph *g, const ad_var *x) {
    int64_t n = ad_shape_of(x).dim[0], time = ad_shape_of(x).dim[1];
    ad_var *hidden = ad_triu(ad_ones(g, AD_F64, AD_SHAPE(time, time)), 1);
    return (nn_attention_masks){ .mask = hidden, .boolean_mask = true, .padding = padding_of(g, n, time) };
}

static ad_var *masked_attention(nn_module *m, ad_var *x) {
    return nn_apply_attention(m, x, x, x, both_masks(nn_graph_of(m), x));
}

static ad_var *masked_encoder(nn_module *m, ad_var *x) { return nn_apply_encoder(m, x, both_masks(nn_graph_of(m), x)); }

/* Queries, keys and values are three Vars; the mask of sequence i and head j hides key i + j from query 0. */
static ad_var *cross_attention(nn_module *m, ad_var *x) {
    ad_graph *g = nn_graph_of(m);
    ad_var *keys = ad_adds(ad_muls(ad_narrow(x, 1, 0, 3), 0.5), 0.1), *values = ad_adds(ad_narrow(x, 1, 1, 3), -0.2);
    ad_var *mask = ad_zeros(g, AD_F64, AD_SHAPE(4, 4, 3));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++)
            ((double *)ad_data_mut(mask))[i * 12 + j] = j == (i + 1) / 2 ? -INFINITY : 0.3 * j;
    return nn_apply_attention(m, x, keys, values, (nn_attention_masks){ .mask = mask });
}

static ad_var *with_memory(nn_module *m, ad_var *x) {
    ad_var *memory = ad_concat(2, (ad_var *[]){ ad_muls(x, 0.5), ad_narrow(x, 1, 0, 1) }, 1);
    nn_attention_masks masks = { .padding = padding_of(nn_graph_of(m), 2, 5) };
    return nn_apply_decoder(m, x, memory, (nn_attention_masks){ 0 }, masks);
}

static const layer layers[] = {
    { "linear", make_linear, { 2, { 2, 3 } }, NULL },
    { "linear_no_bias", make_linear_no_bias, { 2, { 2, 3 } }, NULL },
    { "bilinear", make_bilinear, { 2, { 4, 3 } }, with_its_double },
    { "embedding", make_embedding, { 1, { 1 } }, of_indices },
    { "conv1d", make_conv1d, { 3, { 2, 2, 7 } }, NULL },
    { "conv2d", make_conv2d, { 4, { 2, 2, 5, 4 } }, NULL },
    { "conv3d", make_conv3d, { 5, { 1, 2, 3, 4, 2 } }, NULL },
    { "conv_transpose3d", make_conv_transpose3d, { 5, { 1, 2, 2, 3, 2 } }, NULL },
    { "max_pool3d", make_max_pool3d, { 5, { 1, 2, 2, 4, 3 } }, NULL },
    { "adaptive_max_pool2d", make_adaptive_max_pool2d, { 4, { 1, 2, 5, 4 } }, NULL },
    { "upsample", make_upsample, { 4, { 1, 2, 3, 4 } }, NULL },
    { "upsample_cubic", make_upsample_cubic, { 4, { 1, 2, 3, 4 } }, NULL },
    { "pixel_shuffle", make_pixel_shuffle, { 4, { 1, 4, 2, 3 } }, NULL },
    { "local_response_norm", make_local_response_norm, { 4, { 2, 4, 3, 2 } }, NULL },
    { "conv2d_groups", make_conv2d_groups, { 4, { 1, 4, 5, 5 } }, NULL },
    { "conv2d_oblong", make_conv2d_oblong, { 4, { 2, 2, 5, 6 } }, NULL },
    { "conv_transpose1d", make_conv_transpose1d, { 3, { 2, 2, 5 } }, NULL },
    { "conv_transpose2d", make_conv_transpose2d, { 4, { 2, 4, 3, 2 } }, NULL },
    { "conv_transpose2d_oblong", make_conv_transpose2d_oblong, { 4, { 1, 2, 3, 4 } }, NULL },
    { "max_pool1d", make_max_pool1d, { 3, { 1, 2, 7 } }, NULL },
    { "max_pool2d", make_max_pool2d, { 4, { 1, 2, 4, 5 } }, NULL },
    { "avg_pool1d", make_avg_pool1d, { 3, { 1, 2, 7 } }, NULL },
    { "avg_pool2d", make_avg_pool2d, { 4, { 1, 2, 4, 4 } }, NULL },
    { "adaptive_avg_pool1d", make_adaptive_avg_pool1d, { 3, { 2, 2, 7 } }, NULL },
    { "adaptive_avg_pool2d", make_adaptive_avg_pool2d, { 4, { 2, 2, 4, 3 } }, NULL },
    { "batch_norm", make_batch_norm, { 2, { 5, 3 } }, NULL },
    { "batch_norm_eval", make_batch_norm_eval, { 4, { 2, 2, 3, 2 } }, after_training },
    { "layer_norm", make_layer_norm, { 3, { 4, 3, 2 } }, NULL },
    { "group_norm", make_group_norm, { 3, { 2, 4, 3 } }, NULL },
    { "group_norm_image", make_group_norm_image, { 4, { 2, 6, 2, 2 } }, NULL },
    { "instance_norm", make_instance_norm, { 3, { 2, 3, 5 } }, NULL },
    { "instance_norm_affine", make_instance_norm_affine, { 4, { 2, 2, 3, 2 } }, NULL },
    { "attention", make_attention, { 3, { 2, 5, 4 } }, NULL },
    { "attention_no_bias", make_attention_no_bias, { 3, { 2, 3, 6 } }, NULL },
    { "attention_masked", make_attention, { 3, { 3, 4, 4 } }, masked_attention },
    { "attention_cross", make_attention, { 3, { 2, 4, 4 } }, cross_attention },
    { "encoder_layer", make_encoder_layer, { 3, { 2, 3, 4 } }, NULL },
    { "encoder_layer_first", make_encoder_layer_first, { 3, { 2, 3, 4 } }, NULL },
    { "encoder", make_encoder, { 3, { 3, 4, 4 } }, masked_encoder },
    { "decoder_layer", make_decoder_layer, { 3, { 2, 4, 4 } }, with_memory },
    { "decoder", make_decoder, { 3, { 2, 4, 4 } }, with_memory },
    { "prelu", make_prelu, { 3, { 2, 3, 2 } }, NULL },
    { "sequential", make_sequential, { 2, { 2, 3 } }, NULL },
    { "rnn", make_rnn, { 3, { 2, 5, 3 } }, from_a_state },
    { "rnn_relu", make_rnn_relu, { 3, { 2, 3, 3 } }, from_a_state },
    { "lstm", make_lstm, { 3, { 2, 5, 3 } }, from_a_state },
    { "gru", make_gru, { 3, { 2, 5, 3 } }, from_a_state },
    { "rnn_both_ways", make_rnn_both_ways, { 3, { 2, 5, 3 } }, from_a_state },
    { "lstm_both_ways", make_lstm_both_ways, { 3, { 2, 5, 3 } }, from_a_state },
    { "gru_both_ways", make_gru_both_ways, { 3, { 2, 5, 3 } }, from_a_state },
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
        char line[LINE], head[64];
        FILE *in = open_source("tests/reference/results_nn/modules.txt");
        snprintf(head, sizeof head, "case %s\n", layers[i].name);
        while (fgets(line, sizeof line, in) != NULL && strcmp(line, head) != 0) {}
        if (feof(in)) print_error("no case %s in the reference\n", layers[i].name);
        assert_false(feof(in));
        check_layer(&layers[i], in);
        fclose(in);
    }
}

/* ---- activations ---------------------------------------------------------------------------------------------- */

static ad_var *leaky(ad_var *x) { return ad_leaky_relu(x, 0.2); }
static ad_var *elu(ad_var *x) { return ad_elu(x, 1.5); }
static ad_var *celu(ad_var *x) { return ad_celu(x, 1.5); }
static ad_var *threshold(ad_var *x) { return ad_threshold(x, 0.1, 20); }
static ad_var *hardshrink(ad_var *x) { return ad_hardshrink(x, 0.2); }
static ad_var *softshrink(ad_var *x) { return ad_softshrink(x, 0.3); }
static ad_var *hard(ad_var *x) { return ad_hardtanh(x, -0.5, 0.25); }
static ad_var *softplus(ad_var *x) { return ad_softplus_with(x, 2, 1.5); }
static ad_var *middle_slope(ad_var *x) { return ad_leaky_relu(x, 0.25); }
static ad_var *softmax(ad_var *x) { return ad_softmax(x, 0); }
static ad_var *log_softmax(ad_var *x) { return ad_log_softmax(x, -1); }
static ad_var *itself(ad_var *x) { return x; }

static void activations_are_their_ops(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const struct {
        nn_module *m;
        nn_activation *f;
    } cases[] = {
        { nn_identity(g), itself },          { nn_relu(g), ad_relu },           { nn_tanh(g), ad_tanh },
        { nn_sigmoid(g), ad_sigmoid },       { nn_selu(g), ad_selu },           { nn_gelu(g), ad_gelu },
        { nn_gelu_tanh(g), ad_gelu_tanh },   { nn_silu(g), ad_silu },           { nn_mish(g), ad_mish },
        { nn_softsign(g), ad_softsign },     { nn_hardsigmoid(g), ad_hardsigmoid }, { nn_hardswish(g), ad_hardswish },
        { nn_logsigmoid(g), ad_logsigmoid }, { nn_softplus(g), ad_softplus },   { nn_leaky_relu(g, 0.2), leaky },
        { nn_elu(g, 1.5), elu },             { nn_hardtanh(g, -0.5, 0.25), hard }, { nn_softmax(g, 0), softmax },
        { nn_log_softmax(g, -1), log_softmax }, { nn_rrelu(g, 0.1, 0.4), middle_slope },
        { nn_softplus_with(g, 2, 1.5), softplus }, { nn_function(g, ad_sin), ad_sin },
        { nn_celu(g, 1.5), celu },           { nn_relu6(g), ad_relu6 },         { nn_threshold(g, 0.1, 20), threshold },
        { nn_hardshrink(g, 0.2), hardshrink }, { nn_softshrink(g, 0.3), softshrink },
        { nn_tanhshrink(g), ad_tanhshrink },
    };
    ad_var *x = input(g, AD_SHAPE(5, 7));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_train(cases[i].m, false);
        ad_var *y = nn_apply(cases[i].m, x), *e = cases[i].f(x);
        assert_ok(g);
        assert_int_equal(ad_numel(y), 35);
        for (int k = 0; k < 35; k++) assert_close(ad_at(y, k), ad_at(e, k), 1e-15);
    }
    ad_graph_free(g);
}

static void random_modules_draw_in_training_only(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, -1, AD_SHAPE(1000));
    nn_module *all[] = { nn_dropout(g, 0.25), nn_rrelu(g, 0.1, 0.4) };
    const double mean[] = { -1, -0.25 };
    for (int i = 0; i < 2; i++) {
        ad_var *y = nn_apply(all[i], x);
        assert_true(ad_item(ad_std(y, 1)) > 0.05);
        assert_close(ad_item(ad_mean(y)), mean[i], 0.06);
        nn_train(all[i], false);
        y = nn_apply(all[i], x);
        assert_close(ad_at(y, 17), mean[i], 1e-15);
        assert_close(ad_item(ad_std(y, 1)), 0, 1e-12);
    }
    for (int p = 0; p < 2; p++) /* nothing is set to 0, or all */
        assert_close(ad_item(ad_mean(nn_apply(nn_dropout(g, p), x))), p - 1, 1e-15);
    assert_null(nn_dropout(g, 1.5));
    assert_string_equal(ad_error(g), "dropout: p 1.5: it must be from 0 to 1");
    ad_graph_free(g);
}

/* ---- put together ------------------------------------------------------------------------------------------------ */

static void maxout_takes_the_largest_piece(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_maxout(g, AD_F64, 2, 2, 3);
    /* rows: three pieces of the first output, three of the second */
    ad_set(nn_find_parameter(m, "weight"), (double[]){ 1, 0, 0, 1, -1, -1, 2, 0, 0, 2, 0, 0 });
    ad_set(nn_find_parameter(m, "bias"), (double[]){ 0, 0, 0, 0, 0, 5 });
    ad_var *y = nn_apply(m, ad_tensor(g, AD_F64, (double[]){ 1, 2, -3, -4, 4, 0 }, AD_SHAPE(3, 2)));
    const double expected[] = { 2, 5, 7, 5, 4, 8 };
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(3, 2)));
    for (int k = 0; k < 6; k++) assert_true(ad_at(y, k) == expected[k]);
    ad_graph_free(g);
}

static void parallel_joins_and_residual_adds(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *a = nn_linear(g, AD_F64, 3, 3, true), *b = nn_linear(g, AD_F64, 3, 2, false);
    nn_module *both = nn_parallel(g, 1, a, b), *skip = nn_residual(g, a, NULL);
    nn_module *shorter = nn_residual(g, b, nn_linear(g, AD_F64, 3, 2, true));
    ad_var *x = input(g, AD_SHAPE(4, 3)), *ya = nn_apply(a, x), *yb = nn_apply(b, x), *y = nn_apply(both, x);
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(4, 5)));
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 3; j++) assert_true(ad_at(y, 5 * i + j) == ad_at(ya, 3 * i + j));
        for (int j = 0; j < 2; j++) assert_true(ad_at(y, 5 * i + 3 + j) == ad_at(yb, 2 * i + j));
    }
    y = nn_apply(skip, x);
    for (int k = 0; k < 12; k++) assert_true(ad_at(y, k) == ad_at(ya, k) + ad_at(x, k));
    assert_string_equal(nn_parameter_at(both, 2).name, "1.weight");
    assert_string_equal(nn_parameter_at(skip, 0).name, "body.weight");
    assert_non_null(nn_find_parameter(shorter, "shortcut.bias"));
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- recurrent nets ------------------------------------------------------------------------------------------------ */

/* Two pieces of a sequence, with the state kept between them, give the results of the whole sequence. Gradients do not
   flow from the second piece into the first. */
static void a_sequence_can_go_on_in_another_scope(void **state) {
    (void)state;
    nn_module *(*const make[])(ad_graph *) = { make_rnn, make_lstm, make_gru };
    for (int k = 0; k < 3; k++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = make[k](g);
        fill(m);
        ad_var *x = input(g, AD_SHAPE(2, 6, 3)), *whole = nn_apply(m, x);
        nn_rnn_state kept = nn_rnn_state_new(m, 2);
        for (int piece = 0; piece < 2; piece++) {
            ad_mark mark = ad_begin(g);
            nn_rnn_state now = kept;
            ad_var *y = nn_apply_rnn(m, ad_narrow(x, 1, 3 * piece, 3), &now);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 12; j++)
                    assert_close(ad_at(y, 12 * i + j), ad_at(whole, 24 * i + 12 * piece + j), 1e-14);
            ad_zero_grad(x);
            ad_backward(ad_sum(y));
            assert_true((ad_grad_at(x, 0) != 0) == (piece == 0));
            assert_int_equal(nn_rnn_state_keep(kept, now), AD_OK);
            ad_end(g, mark);
        }
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* All results of layer 0 are dropped: the second layer sees zeros, so its results do not depend on x. */
static void dropout_lies_between_layers(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .layers = 2, .dropout = 1 });
    ad_var *x = input(g, AD_SHAPE(2, 5, 3));
    ad_backward(ad_sum(nn_apply(m, x)));
    for (int k = 0; k < 30; k++) assert_true(ad_grad_at(x, k) == 0);
    nn_train(m, false);
    ad_backward(ad_sum(nn_apply(m, x)));
    assert_true(ad_grad_at(x, 0) != 0);
    assert_ok(g);
    assert_null(nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4, .dropout = -1 }));
    assert_string_equal(ad_error(g), "gru: dropout -1: it must be from 0 to 1");
    ad_graph_free(g);
}

static void recurrent_nets_refuse_what_does_not_fit(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = make_lstm(g), *cell = make_gru_cell(g), *other = make_linear(g);
    nn_rnn_state s = { ad_zeros(g, AD_F64, AD_SHAPE(2, 3, 4)), NULL };
    assert_true(ad_is_nil(nn_apply(m, input(g, AD_SHAPE(2, 5, 4)))));
    assert_string_equal(ad_error(g), "lstm: x is [2,5,4]; it must be [n, time, in] of the module");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_apply(cell, input(g, AD_SHAPE(2, 5, 3)))));
    assert_string_equal(ad_error(g), "gru_cell: x is [2,5,3]; it must be [n, in] of the module");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_apply_rnn(m, input(g, AD_SHAPE(2, 5, 3)), &s)));
    assert_string_equal(ad_error(g), "lstm: the state's h is [2,3,4]; it must be [layers, n, hidden] of the module and x");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_apply_rnn(other, input(g, AD_SHAPE(2, 3)), &s)));
    assert_contains(ad_error(g), "linear carries no state");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_rnn_state_new(other, 2).h));
    assert_string_equal(ad_error(g), "rnn_state_new: linear carries no state");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_apply_bilinear(other, input(g, AD_SHAPE(2, 3)), input(g, AD_SHAPE(2, 3)))));
    assert_string_equal(ad_error(g), "apply_bilinear: the module is a linear, not a bilinear one");
    ad_clear_error(g);
    assert_int_equal(nn_rnn_state_keep((nn_rnn_state){ NULL, NULL }, s), AD_ESHAPE);
    ad_clear_error(g);
    assert_int_equal(nn_rnn_state_keep(s, nn_rnn_state_new(m, 2)), AD_ESHAPE);
    ad_clear_error(g);
    assert_null(nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 3 }));
    assert_string_equal(ad_error(g), "gru: hidden 0: it must be at least 1");
    ad_graph_free(g);
}

/* ---- initialisers ------------------------------------------------------------------------------------------------------- */

static void orthogonal_vectors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const ad_shape shapes[] = { AD_SHAPE(5, 12), AD_SHAPE(12, 5), AD_SHAPE(4, 4), AD_SHAPE(3, 2, 2, 2), AD_SHAPE(1, 1) };
    for (ad_dtype t = AD_F32; t <= AD_F64; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            ad_var *w = ad_zeros(g, t, shapes[i]);
            assert_int_equal(nn_init_orthogonal(w, 2), AD_OK);
            int64_t n = shapes[i].dim[0], m = ad_numel(w) / n, k = n < m ? n : m;
            ad_var *a = ad_reshape(w, AD_SHAPE(n, m)), *b = ad_transpose(a);
            ad_var *off = ad_sub(n < m ? ad_matmul(a, b) : ad_matmul(b, a), ad_muls(ad_eye(g, t, k), 4));
            assert_true(ad_item(ad_max(ad_abs(off))) < (t == AD_F32 ? 1e-5 : 1e-13));
        }
    assert_int_equal(nn_init_orthogonal(ad_zeros(g, AD_F32, AD_SHAPE(3)), 1), AD_ESHAPE);
    ad_graph_free(g);
}

static void drawn_numbers_have_their_spread(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *w = ad_zeros(g, AD_F64, AD_SHAPE(200, 100));
    nn_init_lecun_normal(w);
    assert_close(ad_item(ad_std(w, 1)), 0.1, 0.002);
    nn_init_lecun_uniform(w);
    assert_close(ad_item(ad_std(w, 1)), 0.1, 0.002);
    assert_true(ad_item(ad_max(ad_abs(w))) <= sqrt(3.0 / 100));
    nn_init_default(w);
    assert_close(ad_item(ad_std(w, 1)), 0.1 / sqrt(3), 0.001);
    assert_true(ad_item(ad_max(ad_abs(w))) <= 0.1);
    nn_init_trunc_normal(w, 1, 2, 0, 5);
    assert_true(ad_item(ad_min(w)) >= 0 && ad_item(ad_max(w)) <= 5);
    assert_true(ad_item(ad_min(w)) < 0.01 && ad_item(ad_max(w)) > 4.9);
    assert_close(ad_item(ad_mean(w)), 1.8915, 0.02); /* 1 + 2 (phi(-.5) - phi(2)) / (Phi(2) - Phi(-.5)) */
    assert_ok(g);
    assert_int_equal(nn_init_trunc_normal(w, 0, 1, 4, 5), AD_EVALUE);
    assert_contains(ad_error(g), "less than a hundredth of the normal distribution");
    ad_graph_free(g);
}

static void bad_sizes_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
#define REFUSES(call, message)                                                                                         \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        assert_string_equal(ad_error(g), message);                                                                     \
        ad_clear_error(g);                                                                                             \
    } while (0)
    REFUSES(nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 2 }), "conv2d: kernel 0: it must be at least 1");
    REFUSES(nn_conv1d(g, AD_F32, (nn_conv_opts){ .in = 3, .out = 4, .kernel = 1, .groups = 2 }),
            "conv1d: in 3 and out 4: both must be multiples of groups, 2");
    REFUSES(nn_max_pool2d(g, (ad_pool_opts){ 0 }), "max_pool2d: kernel 0: it must be at least 1");
    REFUSES(nn_batch_norm(g, AD_F32, 0, (nn_batch_norm_opts){ 0 }), "batch_norm: features 0: it must be at least 1");
    REFUSES(nn_embedding(g, AD_F32, 5, -1), "embedding: d -1: it must be at least 1");
    REFUSES(nn_prelu(g, AD_F32, 0), "prelu: n 0: it must be at least 1");
    REFUSES(nn_maxout(g, AD_F32, 1, 1, 0), "maxout: pieces 0: it must be at least 1");
    REFUSES(nn_bilinear(g, AD_F32, 1, 0, 1, true), "bilinear: in_b 0: it must be at least 1");
    REFUSES(nn_parallel_n(g, 0, 0, NULL), "parallel: 0 modules: there must be at least one");
    REFUSES(nn_residual(g, NULL, NULL), "add_child: \"body\" of residual is NULL");
    REFUSES(nn_upsample(g, (nn_upsample_opts){ 0 }), "upsample: scale 0: give a size, or a scale above 0");
    REFUSES(nn_upsample(g, (nn_upsample_opts){ .scale = -1 }), "upsample: scale -1: give a size, or a scale above 0");
    REFUSES(nn_adaptive_avg_pool2d(g, 1, 0), "adaptive_avg_pool2d: w 0: it must be at least 1");
    REFUSES(nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 1, .kernel = 1, .padding_w = -1 }),
            "conv2d: padding_w -1: it must be 0 or more");
    REFUSES(nn_conv1d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 1, .kernel = 1, .stride = AD_ZERO }),
            "conv1d: stride 0: it must be at least 1");
    REFUSES(nn_batch_norm(g, AD_F32, 1, (nn_batch_norm_opts){ .momentum = NAN }),
            "batch_norm: momentum nan and eps 1e-05: momentum must be from 0 to 1, eps 0 or more");
    REFUSES(nn_lstm(g, AD_F32, (nn_rnn_opts){ .in = 1, .hidden = 1, .layers = AD_ZERO }),
            "lstm: layers 0: it must be at least 1");
#undef REFUSES
    ad_graph_free(g);
}

/* ---- sizes near the largest number: none overflows, and none is called less than 1 -------------------------- */

static void assert_says_too_large(ad_graph *g) {
    const char *fewer = BITS_64 ? "fewer than 2^59 elements" : "fewer than 2^27 elements";
    if (strstr(ad_error(g), "it is too large for an array") == NULL) assert_contains(ad_error(g), fewer);
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    ad_clear_error(g);
}
#define TOO_LARGE(call) (assert_null(call), assert_says_too_large(g))
#define CONV(...) (nn_conv_opts){ .in = 2, .out = 2, .kernel = 3, __VA_ARGS__ }

static void refuse_matrices_and_convolutions(ad_graph *g, int64_t n) {
    TOO_LARGE(nn_linear(g, AD_F32, n, 1, true));
    TOO_LARGE(nn_linear(g, AD_F32, 1, n, true));
    TOO_LARGE(nn_bilinear(g, AD_F32, n, n, n, true));
    TOO_LARGE(nn_embedding(g, AD_F32, n, 2));
    TOO_LARGE(nn_conv1d(g, AD_F32, (nn_conv_opts){ .in = n, .out = 1, .kernel = 1 }));
    TOO_LARGE(nn_conv1d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = n, .kernel = 1 }));
    TOO_LARGE(nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 1, .kernel = n }));
    TOO_LARGE(nn_conv2d(g, AD_F32, CONV(.stride = n)));
    TOO_LARGE(nn_conv2d(g, AD_F32, CONV(.padding_w = n)));
    TOO_LARGE(nn_conv1d(g, AD_F32, CONV(.dilation = n)));
    TOO_LARGE(nn_conv1d(g, AD_F32, CONV(.groups = n)));
    TOO_LARGE(nn_conv_transpose2d(g, AD_F32, CONV(.output_padding = n)));
}

static void refuse_other_layers(ad_graph *g, int64_t n) {
    const int64_t widths[] = { 2, n, 1 };
    TOO_LARGE(nn_max_pool1d(g, (ad_pool_opts){ .kernel = { n } }));
    TOO_LARGE(nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 }, .stride = { 2, n } }));
    TOO_LARGE(nn_avg_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 }, .padding = { n, 0 } }));
    TOO_LARGE(nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 }, .dilation = { n, 1 } }));
    TOO_LARGE(nn_adaptive_avg_pool1d(g, n));
    TOO_LARGE(nn_batch_norm(g, AD_F32, n, (nn_batch_norm_opts){ 0 }));
    TOO_LARGE(nn_layer_norm(g, AD_F32, AD_SHAPE(n)));
    TOO_LARGE(nn_prelu(g, AD_F32, n));
    TOO_LARGE(nn_maxout(g, AD_F32, 1, (int64_t)1 << 40, (int64_t)1 << 40));
    TOO_LARGE(nn_maxout(g, AD_F32, 1, 1, n));
    TOO_LARGE(nn_lstm(g, AD_F32, (nn_rnn_opts){ .in = 1, .hidden = n }));
    TOO_LARGE(nn_gru_cell(g, AD_F32, (nn_rnn_opts){ .in = n, .hidden = 1 }));
    TOO_LARGE(nn_rnn(g, AD_F32, (nn_rnn_opts){ .in = 1, .hidden = n, .bidirectional = true }));
    TOO_LARGE(nn_mlp(g, AD_F32, 3, widths, ad_tanh));
}

static ad_var *nothing(nn_module *m, ad_var *x) { return (void)m, x; }

static void sizes_near_the_largest_are_too_large(void **state) {
    (void)state;
    const int64_t sizes[] = { INT64_MAX,        INT64_MAX - 1,    INT64_MAX / 2,   INT64_MAX / 3,
                              (int64_t)1 << 62, (int64_t)1 << 61, (int64_t)1 << 60 };
    ad_graph *g = ad_graph_new();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        refuse_matrices_and_convolutions(g, sizes[i]);
        refuse_other_layers(g, sizes[i]);
        assert_null(nn_module_new(g, "mine", nothing, SIZE_MAX - i));
        assert_int_equal(ad_error_code(g), AD_ENOMEM);
        ad_clear_error(g);
    }
    assert_null(nn_lstm(g, AD_F32, (nn_rnn_opts){ .in = 1, .hidden = 1, .layers = INT32_MAX }));
    assert_string_equal(ad_error(g), "lstm: 2147483647 layers: at most 65536");
    ad_graph_free(g);
}

/* AD_ZERO stands for zero itself where 0 stands for a default. */
static void an_option_can_be_zero(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *still = nn_batch_norm(g, AD_F64, 1, (nn_batch_norm_opts){ .momentum = AD_ZERO, .eps = AD_ZERO });
    ad_var *y = nn_apply(still, ad_tensor(g, AD_F64, (double[]){ 1e-9, 3e-9 }, AD_SHAPE(2, 1)));
    assert_close(ad_at(y, 0), -1, 1e-6); /* the default eps would make it -1e-9 / sqrt(1e-5) */
    assert_true(ad_at(nn_find_buffer(still, "running_mean"), 0) == 0); /* momentum 0: as it was */
    assert_true(ad_at(nn_find_buffer(still, "running_var"), 0) == 1);
    nn_conv_opts o = { .in = 1, .out = 1, .kernel = 3, .padding = 1, .padding_w = AD_ZERO };
    y = nn_apply(nn_conv2d(g, AD_F64, o), ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 5, 5)));
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(1, 1, 5, 3)));
    o = (nn_conv_opts){ .in = 1, .out = 1, .kernel = 3, .stride = 2, .output_padding = 1, .output_padding_w = AD_ZERO };
    y = nn_apply(nn_conv_transpose2d(g, AD_F64, o), ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 2, 2)));
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(1, 1, 6, 5)));
    assert_non_null(nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 1, .hidden = 1, .dropout = AD_ZERO }));
    assert_ok(g);
    ad_graph_free(g);
}

/* The padding row starts as zeros and stays what it is; the values are read as from any other row. */
static void padding_of_an_embedding(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_embedding_with(g, AD_F32, 3, 2, -2), *copy = nn_copy(m);
    for (int i = 0; i < 2; i++) {
        nn_module *e = i ? copy : m;
        ad_var *w = nn_parameter_at(e, 0).var, *x = ad_tensor(g, AD_F32, (float[]){ 1, 2, -2 }, AD_SHAPE(3));
        assert_close(ad_at(w, 2), 0, 0);
        assert_close(ad_at(w, 3), 0, 0);
        ad_backward(ad_sum(nn_apply(e, x)));
        const double want[] = { 0, 0, 0, 0, 1, 1 };
        for (int k = 0; k < 6; k++) assert_close(ad_grad_at(w, k), want[k], 0);
    }
    assert_null(nn_embedding_with(g, AD_F32, 3, 2, 3));
    assert_contains(ad_error(g), "embedding: padding_idx 3 is not one of -3..2");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_of_an_embedding),
        cmocka_unit_test(layers_are_as_in_torch),
        cmocka_unit_test(activations_are_their_ops),
        cmocka_unit_test(random_modules_draw_in_training_only),
        cmocka_unit_test(maxout_takes_the_largest_piece),
        cmocka_unit_test(parallel_joins_and_residual_adds),
        cmocka_unit_test(a_sequence_can_go_on_in_another_scope),
        cmocka_unit_test(dropout_lies_between_layers),
        cmocka_unit_test(recurrent_nets_refuse_what_does_not_fit),
        cmocka_unit_test(orthogonal_vectors),
        cmocka_unit_test(drawn_numbers_have_their_spread),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(sizes_near_the_largest_are_too_large),
        cmocka_unit_test(an_option_can_be_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
