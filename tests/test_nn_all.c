/* test_nn_all.c: every layer and every optimiser: gradients, names, files and copies of layers; steps of optimisers
   beside formulas of their own. tests/covered.sh finds constructors that are missing here. */
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/nn.h"
#include "tests/common.h"

/* ---- layers ----------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    nn_module *(*make)(ad_graph *g);
    const char *arrays; /* parameters and buffers */
    ad_shape x;
    bool takes_indices; /* x holds row numbers and takes no gradient */
} layer;

static ad_var *twice(ad_var *x) { return ad_muls(x, 2); }

#define LAYER(name, call)                                                                                              \
    static nn_module *make_##name(ad_graph *g) { return call; }
LAYER(linear, nn_linear(g, AD_F64, 3, 2, true))
LAYER(linear_shared, nn_linear_shared(g, ad_randn(g, AD_F64, AD_SHAPE(2, 3)), true))
LAYER(bilinear, nn_bilinear(g, AD_F64, 3, 3, 2, true))
LAYER(embedding, nn_embedding(g, AD_F64, 4, 3))
LAYER(embedding_with, nn_embedding_with(g, AD_F64, 5, 3, -1))
LAYER(conv1d, nn_conv1d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 3, .kernel = 3, .stride = 2, .padding = 1 }))
LAYER(conv2d, nn_conv2d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 2, .kernel = 2, .groups = 2, .no_bias = true }))
LAYER(conv_transpose1d, nn_conv_transpose1d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 1, .kernel = 3, .stride = 2 }))
LAYER(conv_transpose2d, nn_conv_transpose2d(g, AD_F64, (nn_conv_opts){ .in = 1, .out = 2, .kernel = 2 }))
LAYER(max_pool1d, nn_max_pool1d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(max_pool2d, nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(avg_pool1d, nn_avg_pool1d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(avg_pool2d, nn_avg_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(adaptive_avg_pool1d, nn_adaptive_avg_pool1d(g, 2))
LAYER(adaptive_avg_pool2d, nn_adaptive_avg_pool2d(g, 2, 1))
LAYER(conv3d, nn_conv3d(g, AD_F64, (nn_conv_opts){ .in = 2, .out = 2, .kernel = 2, .kernel_d = 3, .padding_d = 1 }))
LAYER(conv_transpose3d, nn_conv_transpose3d(g, AD_F64, (nn_conv_opts){ .in = 1, .out = 2, .kernel = 2, .stride_d = 2 }))
LAYER(max_pool3d, nn_max_pool3d(g, (ad_pool_opts){ .kernel = { 2, 2, 2 } }))
LAYER(avg_pool3d, nn_avg_pool3d(g, (ad_pool_opts){ .kernel = { 1, 2, 2 } }))
LAYER(adaptive_avg_pool3d, nn_adaptive_avg_pool3d(g, 2, 2, 1))
LAYER(adaptive_max_pool1d, nn_adaptive_max_pool1d(g, 2))
LAYER(adaptive_max_pool2d, nn_adaptive_max_pool2d(g, 2, 1))
LAYER(adaptive_max_pool3d, nn_adaptive_max_pool3d(g, 1, 2, 1))
LAYER(lp_pool1d, nn_lp_pool1d(g, 2, (ad_pool_opts){ .kernel = { 2 } }))
LAYER(lp_pool2d, nn_lp_pool2d(g, 2, (ad_pool_opts){ .kernel = { 2, 2 } }))
LAYER(upsample, nn_upsample(g, (nn_upsample_opts){ .scale = 2, .mode = AD_RESAMPLE_LINEAR }))
LAYER(pixel_shuffle, nn_pixel_shuffle(g, 2))
LAYER(pixel_unshuffle, nn_pixel_unshuffle(g, 2))
LAYER(channel_shuffle, nn_channel_shuffle(g, 2))
LAYER(unfold, nn_unfold(g, (ad_window){ .kernel = { 2, 2 } }))
LAYER(fold, nn_fold(g, 2, 3, (ad_window){ .kernel = { 2, 2 } }))
LAYER(local_response_norm, nn_local_response_norm(g, 3, 0.3, 0.75, 1))
LAYER(batch_norm, nn_batch_norm(g, AD_F64, 3, (nn_batch_norm_opts){ 0 }))
LAYER(layer_norm, nn_layer_norm(g, AD_F64, AD_SHAPE(3, 2)))
LAYER(rms_norm, nn_rms_norm(g, AD_F64, 3))
LAYER(group_norm, nn_group_norm(g, AD_F64, 2, 4))
LAYER(instance_norm, nn_instance_norm(g, AD_F64, 2, true))
LAYER(multihead_attention, nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2,
                                                                                  .dropout = 0.2, .rotary = true }))
#define BLOCK .width = 2, .heads = 1, .feedforward = 2
LAYER(transformer_encoder_layer, nn_transformer_encoder_layer(g, AD_F64, (nn_transformer_opts){ BLOCK, .gelu = true }))
LAYER(transformer_encoder,
      nn_transformer_encoder(g, AD_F64, (nn_transformer_opts){ BLOCK, .gelu = true, .layers = 1, .causal = true,
                                                               .final_norm = true, .norm_first = true }))
LAYER(transformer_decoder_layer,
      nn_transformer_decoder_layer(g, AD_F64, (nn_transformer_opts){ BLOCK, .gelu = true, .norm_first = true }))
LAYER(transformer_decoder,
      nn_transformer_decoder(g, AD_F64, (nn_transformer_opts){ BLOCK, .gelu = true, .layers = 1, .norm_first = true }))
LAYER(learned_positions, nn_learned_positions(g, AD_F64, 4, 3))
LAYER(sinusoidal_positions, nn_sinusoidal_positions(g, AD_F64, 4, 3))
LAYER(rotary, nn_rotary(g, 0))
LAYER(dropout, nn_dropout(g, 0.4))
LAYER(function, nn_function(g, twice))
LAYER(identity, nn_identity(g))
LAYER(relu, nn_relu(g))
LAYER(tanh, nn_tanh(g))
LAYER(sigmoid, nn_sigmoid(g))
LAYER(selu, nn_selu(g))
LAYER(gelu, nn_gelu(g))
LAYER(gelu_tanh, nn_gelu_tanh(g))
LAYER(silu, nn_silu(g))
LAYER(mish, nn_mish(g))
LAYER(softsign, nn_softsign(g))
LAYER(hardsigmoid, nn_hardsigmoid(g))
LAYER(hardswish, nn_hardswish(g))
LAYER(logsigmoid, nn_logsigmoid(g))
LAYER(softplus, nn_softplus(g))
LAYER(softplus_with, nn_softplus_with(g, 2, 1.5))
LAYER(noisy_relu, nn_noisy_relu(g))
LAYER(leaky_relu, nn_leaky_relu(g, 0.2))
LAYER(elu, nn_elu(g, 1.5))
LAYER(celu, nn_celu(g, 1.5))
LAYER(relu6, nn_relu6(g))
LAYER(threshold, nn_threshold(g, 0.1, 20))
LAYER(hardshrink, nn_hardshrink(g, 0.2))
LAYER(softshrink, nn_softshrink(g, 0.2))
LAYER(tanhshrink, nn_tanhshrink(g))
LAYER(glu, nn_glu(g, 0))
LAYER(hardtanh, nn_hardtanh(g, -0.4, 0.3))
LAYER(rrelu, nn_rrelu(g, 0.1, 0.4))
LAYER(softmax, nn_softmax(g, -1))
LAYER(log_softmax, nn_log_softmax(g, 0))
LAYER(prelu, nn_prelu(g, AD_F64, 3))
LAYER(maxout, nn_maxout(g, AD_F64, 3, 2, 2))
LAYER(sequential, nn_sequential_n(g, 2, (nn_module *[]){ nn_linear(g, AD_F64, 3, 2, true), nn_tanh(g) }))
LAYER(parallel, nn_parallel_n(g, 1, 2, (nn_module *[]){ nn_linear(g, AD_F64, 3, 2, true), nn_prelu(g, AD_F64, 1) }))
LAYER(residual, nn_residual(g, nn_linear(g, AD_F64, 3, 2, true), nn_linear(g, AD_F64, 3, 2, false)))
LAYER(flatten, nn_flatten(g))
LAYER(mlp, nn_mlp(g, AD_F64, 3, (int64_t[]){ 3, 4, 2 }, ad_tanh))
LAYER(rnn_cell, nn_rnn_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(lstm_cell, nn_lstm_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(gru_cell, nn_gru_cell(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 }))
LAYER(rnn, nn_rnn(g, AD_F64, (nn_rnn_opts){ .in = 2, .hidden = 2, .layers = 2, .no_bias = true }))
LAYER(lstm, nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 2, .hidden = 1, .bidirectional = true }))
LAYER(gru, nn_gru(g, AD_F64, (nn_rnn_opts){ .in = 2, .hidden = 2 }))

#define SELF(prefix)                                                                                                   \
    prefix "self_attn.in_proj_weight " prefix "self_attn.in_proj_bias " prefix "self_attn.out_proj.weight " prefix     \
           "self_attn.out_proj.bias "
#define MEMORY(prefix)                                                                                                 \
    prefix "multihead_attn.in_proj_weight " prefix "multihead_attn.in_proj_bias " prefix                               \
           "multihead_attn.out_proj.weight " prefix "multihead_attn.out_proj.bias "
#define LINEARS(prefix)                                                                                                \
    prefix "linear1.weight " prefix "linear1.bias " prefix "linear2.weight " prefix "linear2.bias "
#define NORMS(prefix) prefix "norm1.weight " prefix "norm1.bias " prefix "norm2.weight " prefix "norm2.bias"
#define NORM3(prefix) NORMS(prefix) " " prefix "norm3.weight " prefix "norm3.bias"
#define CELL "weight_ih weight_hh bias_ih bias_hh"
static const layer layers[] = {
    { "linear", make_linear, "weight bias", { 2, { 2, 3 } }, false },
    { "linear_shared", make_linear_shared, "weight bias", { 2, { 2, 3 } }, false },
    { "bilinear", make_bilinear, "weight bias", { 2, { 2, 3 } }, false },
    { "embedding", make_embedding, "weight", { 2, { 2, 3 } }, true },
    { "embedding_with", make_embedding_with, "weight", { 2, { 2, 3 } }, true },
    { "conv1d", make_conv1d, "weight bias", { 3, { 2, 2, 5 } }, false },
    { "conv2d", make_conv2d, "weight", { 4, { 1, 2, 3, 4 } }, false },
    { "conv_transpose1d", make_conv_transpose1d, "weight bias", { 3, { 1, 2, 3 } }, false },
    { "conv_transpose2d", make_conv_transpose2d, "weight bias", { 4, { 1, 1, 2, 3 } }, false },
    { "max_pool1d", make_max_pool1d, "", { 3, { 1, 2, 4 } }, false },
    { "max_pool2d", make_max_pool2d, "", { 4, { 1, 1, 4, 4 } }, false },
    { "avg_pool1d", make_avg_pool1d, "", { 3, { 1, 2, 4 } }, false },
    { "avg_pool2d", make_avg_pool2d, "", { 4, { 1, 1, 4, 4 } }, false },
    { "adaptive_avg_pool1d", make_adaptive_avg_pool1d, "", { 3, { 1, 2, 5 } }, false },
    { "adaptive_avg_pool2d", make_adaptive_avg_pool2d, "", { 4, { 1, 1, 3, 3 } }, false },
    { "conv3d", make_conv3d, "weight bias", { 5, { 1, 2, 2, 2, 3 } }, false },
    { "conv_transpose3d", make_conv_transpose3d, "weight bias", { 5, { 1, 1, 2, 2, 1 } }, false },
    { "max_pool3d", make_max_pool3d, "", { 5, { 1, 1, 2, 4, 2 } }, false },
    { "avg_pool3d", make_avg_pool3d, "", { 5, { 1, 1, 2, 4, 2 } }, false },
    { "adaptive_avg_pool3d", make_adaptive_avg_pool3d, "", { 5, { 1, 1, 3, 3, 2 } }, false },
    { "adaptive_max_pool1d", make_adaptive_max_pool1d, "", { 3, { 1, 2, 5 } }, false },
    { "adaptive_max_pool2d", make_adaptive_max_pool2d, "", { 4, { 1, 1, 3, 3 } }, false },
    { "adaptive_max_pool3d", make_adaptive_max_pool3d, "", { 5, { 1, 1, 2, 3, 3 } }, false },
    { "lp_pool1d", make_lp_pool1d, "", { 3, { 1, 2, 4 } }, false },
    { "lp_pool2d", make_lp_pool2d, "", { 4, { 1, 1, 4, 4 } }, false },
    { "upsample", make_upsample, "", { 4, { 1, 1, 3, 2 } }, false },
    { "pixel_shuffle", make_pixel_shuffle, "", { 4, { 1, 4, 2, 3 } }, false },
    { "pixel_unshuffle", make_pixel_unshuffle, "", { 4, { 1, 1, 4, 2 } }, false },
    { "channel_shuffle", make_channel_shuffle, "", { 3, { 2, 4, 2 } }, false },
    { "unfold", make_unfold, "", { 4, { 1, 2, 3, 3 } }, false },
    { "fold", make_fold, "", { 3, { 1, 8, 2 } }, false },
    { "local_response_norm", make_local_response_norm, "", { 3, { 1, 4, 3 } }, false },
    { "batch_norm", make_batch_norm, "weight bias running_mean running_var num_batches_tracked", { 2, { 4, 3 } },
      false },
    { "layer_norm", make_layer_norm, "weight bias", { 3, { 2, 3, 2 } }, false },
    { "rms_norm", make_rms_norm, "weight", { 2, { 4, 3 } }, false },
    { "group_norm", make_group_norm, "weight bias", { 3, { 2, 4, 3 } }, false },
    { "instance_norm", make_instance_norm, "weight bias", { 3, { 2, 2, 3 } }, false },
    { "multihead_attention", make_multihead_attention, "in_proj_weight in_proj_bias out_proj.weight out_proj.bias",
      { 3, { 2, 3, 4 } }, false },
    { "transformer_encoder_layer", make_transformer_encoder_layer, SELF("") LINEARS("") NORMS(""), { 3, { 2, 3, 2 } },
      false },
    { "transformer_encoder", make_transformer_encoder,
      SELF("layers.0.") LINEARS("layers.0.") NORMS("layers.0.") " norm.weight norm.bias", { 3, { 2, 3, 2 } }, false },
    { "transformer_decoder_layer", make_transformer_decoder_layer, SELF("") MEMORY("") LINEARS("") NORM3(""),
      { 3, { 2, 3, 2 } }, false },
    { "transformer_decoder", make_transformer_decoder,
      SELF("layers.0.") MEMORY("layers.0.") LINEARS("layers.0.") NORM3("layers.0."), { 3, { 2, 3, 2 } }, false },
    { "learned_positions", make_learned_positions, "weight", { 3, { 2, 4, 3 } }, false },
    { "sinusoidal_positions", make_sinusoidal_positions, "pe", { 3, { 2, 3, 3 } }, false },
    { "rotary", make_rotary, "", { 3, { 2, 3, 4 } }, false },
    { "dropout", make_dropout, "", { 2, { 4, 3 } }, false },
    { "function", make_function, "", { 2, { 4, 3 } }, false },
    { "identity", make_identity, "", { 2, { 4, 3 } }, false },
    { "relu", make_relu, "", { 2, { 4, 3 } }, false },
    { "tanh", make_tanh, "", { 2, { 4, 3 } }, false },
    { "sigmoid", make_sigmoid, "", { 2, { 4, 3 } }, false },
    { "selu", make_selu, "", { 2, { 4, 3 } }, false },
    { "gelu", make_gelu, "", { 2, { 4, 3 } }, false },
    { "gelu_tanh", make_gelu_tanh, "", { 2, { 4, 3 } }, false },
    { "silu", make_silu, "", { 2, { 4, 3 } }, false },
    { "mish", make_mish, "", { 2, { 4, 3 } }, false },
    { "softsign", make_softsign, "", { 2, { 4, 3 } }, false },
    { "hardsigmoid", make_hardsigmoid, "", { 2, { 4, 3 } }, false },
    { "hardswish", make_hardswish, "", { 2, { 4, 3 } }, false },
    { "logsigmoid", make_logsigmoid, "", { 2, { 4, 3 } }, false },
    { "softplus", make_softplus, "", { 2, { 4, 3 } }, false },
    { "softplus_with", make_softplus_with, "", { 2, { 4, 3 } }, false },
    { "noisy_relu", make_noisy_relu, "", { 2, { 4, 3 } }, false },
    { "leaky_relu", make_leaky_relu, "", { 2, { 4, 3 } }, false },
    { "elu", make_elu, "", { 2, { 4, 3 } }, false },
    { "celu", make_celu, "", { 2, { 4, 3 } }, false },
    { "relu6", make_relu6, "", { 2, { 4, 3 } }, false },
    { "threshold", make_threshold, "", { 2, { 4, 3 } }, false },
    { "hardshrink", make_hardshrink, "", { 2, { 4, 3 } }, false },
    { "softshrink", make_softshrink, "", { 2, { 4, 3 } }, false },
    { "tanhshrink", make_tanhshrink, "", { 2, { 4, 3 } }, false },
    { "glu", make_glu, "", { 2, { 4, 3 } }, false },
    { "hardtanh", make_hardtanh, "", { 2, { 4, 3 } }, false },
    { "rrelu", make_rrelu, "", { 2, { 4, 3 } }, false },
    { "softmax", make_softmax, "", { 2, { 4, 3 } }, false },
    { "log_softmax", make_log_softmax, "", { 2, { 4, 3 } }, false },
    { "prelu", make_prelu, "weight", { 3, { 2, 3, 2 } }, false },
    { "maxout", make_maxout, "weight bias", { 2, { 2, 3 } }, false },
    { "sequential", make_sequential, "0.weight 0.bias", { 2, { 2, 3 } }, false },
    { "parallel", make_parallel, "0.weight 0.bias 1.weight", { 2, { 2, 3 } }, false },
    { "residual", make_residual, "body.weight body.bias shortcut.weight", { 2, { 2, 3 } }, false },
    { "flatten", make_flatten, "", { 3, { 2, 3, 2 } }, false },
    { "mlp", make_mlp, "0.weight 0.bias 2.weight 2.bias", { 2, { 2, 3 } }, false },
    { "rnn_cell", make_rnn_cell, CELL, { 2, { 2, 3 } }, false },
    { "lstm_cell", make_lstm_cell, CELL, { 2, { 2, 3 } }, false },
    { "gru_cell", make_gru_cell, CELL, { 2, { 2, 3 } }, false },
    { "rnn", make_rnn, "weight_ih_l0 weight_hh_l0 weight_ih_l1 weight_hh_l1", { 3, { 2, 3, 2 } }, false },
    { "lstm", make_lstm,
      "weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0 weight_ih_l0_reverse weight_hh_l0_reverse bias_ih_l0_reverse "
      "bias_hh_l0_reverse", { 3, { 2, 3, 2 } }, false },
    { "gru", make_gru, "weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0", { 3, { 2, 3, 2 } }, false },
};
enum { LAYERS = sizeof layers / sizeof *layers, MOST_ARRAYS = 24 };

/* Numbers in -1 .. 1 that are neither near one another nor near 0, or row numbers. */
static ad_var *input_of(ad_graph *g, const layer *l) {
    ad_var *x = ad_param(g, AD_F64, NULL, l->x);
    double *to = ad_data_mut(x);
    for (int64_t k = 0; k < ad_numel(x); k++) to[k] = l->takes_indices ? (double)(k % 4) : cos(0.3 + 1.1 * (double)k);
    return x;
}

static nn_parameter array_at(const nn_module *m, int i) {
    int n = nn_parameter_count(m);
    return i < n ? nn_parameter_at(m, i) : nn_buffer_at(m, i - n);
}

static int array_count(const nn_module *m) { return nn_parameter_count(m) + nn_buffer_count(m); }

static void assert_equal_elements(const char *name, const ad_var *x, const ad_var *y) {
    assert_true(ad_shape_equal(ad_shape_of(x), ad_shape_of(y)));
    for (int64_t k = 0; k < ad_numel(x); k++) assert_close_in(name, ad_at(x, k), ad_at(y, k), 0);
}

static ad_var *apply(int n, ad_var *const xs[], void *user) {
    (void)n;
    return nn_apply(user, xs[0]);
}

/* For the input and for every parameter. Random numbers are the same in each evaluation. */
static void gradients_of_layers_are_right(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        const layer *l = &layers[i];
        ad_graph *g = ad_graph_new();
        nn_module *m = l->make(g);
        ad_var *xs[1 + MOST_ARRAYS] = { input_of(g, l) };
        int n = nn_parameter_count(m);
        for (int k = 0; k < n; k++) xs[1 + k] = nn_parameter_at(m, k).var;
        if (l->takes_indices) ad_set_requires_grad(xs[0], false);
        ad_check_report r;
        int rc = ad_gradcheck(apply, m, 1 + n, xs, NULL, &r);
        if (rc != AD_OK) print_error("%s: %s %s\n", l->name, r.message, ad_error(g));
        assert_int_equal(rc, AD_OK);
        assert_true(r.compared > 0);
        ad_graph_free(g);
    }
}

static void names_of_arrays_are_torchs(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = layers[i].make(g);
        char names[1024] = "";
        for (int k = 0; k < array_count(m); k++) {
            strcat(names, k > 0 ? " " : "");
            strcat(names, array_at(m, k).name);
        }
        assert_ok(g);
        assert_string_equal(names, layers[i].arrays);
        ad_graph_free(g);
    }
}

/* A second module of the same kind, with other values, gets the first one's from a file. */
static void layers_are_saved_and_loaded(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *from = layers[i].make(g), *to = layers[i].make(g);
        for (int k = 0; k < array_count(from); k++) nn_init_uniform(array_at(from, k).var, 1, 2);
        assert_int_equal(nn_save(from, path_of("layer")), AD_OK);
        assert_int_equal(nn_load(to, path_of("layer")), AD_OK);
        for (int k = 0; k < array_count(from); k++)
            assert_equal_elements(layers[i].name, array_at(from, k).var, array_at(to, k).var);
        assert_ok(g);
        ad_graph_free(g);
    }
    unlink(path_of("layer"));
}

/* A copy gives the same results even after the original's arrays have changed: no field of the copy points to them. */
static void copies_of_layers_are_their_own(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = layers[i].make(g);
        nn_train(m, false);
        ad_seed(g, 5); /* noisy_relu draws in evaluation too */
        ad_var *x = input_of(g, &layers[i]), *y = nn_apply(m, x);
        nn_module *twin = nn_copy(m);
        assert_ok(g);
        for (int k = 0; k < array_count(m); k++) {
            assert_string_equal(array_at(m, k).name, array_at(twin, k).name);
            nn_init_constant(array_at(m, k).var, 7);
        }
        ad_seed(g, 5);
        assert_equal_elements(layers[i].name, nn_apply(twin, x), y);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* After an error nothing is made, and the first error stays; without a graph nothing is made either. */
static void layers_are_not_made_after_an_error(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *before = layers[i].make(g);
        ad_fail(g, AD_EVALUE, "the first error");
        if (layers[i].make(g) != NULL) fail_msg("%s is made after an error", layers[i].name);
        if (nn_copy(before) != NULL) fail_msg("%s is copied after an error", layers[i].name);
        assert_true(ad_is_nil(nn_apply(before, ad_nil(g))));
        assert_string_equal(ad_error(g), "the first error");
        ad_clear_error(g);
        if (layers[i].make(g) == NULL) fail_msg("%s: %s", layers[i].name, ad_error(g));
        if (layers[i].make(NULL) != NULL) fail_msg("%s is made without a graph", layers[i].name);
        ad_graph_free(g);
    }
}

/* What a large module refers to is found again in its copy. */
static void copies_of_large_nets(void **state) {
    (void)state;
    enum { MANY = 200 };
    ad_graph *g = ad_graph_new();
    nn_module *each[MANY], *m;
    for (int i = 0; i < MANY; i++) each[i] = nn_linear(g, AD_F64, 2, 2, true);
    m = nn_sequential_n(g, MANY, each);
    nn_module *twin = nn_copy(m);
    assert_ok(g);
    assert_int_equal(nn_parameter_count(twin), 2 * MANY);
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(3, 2)), *y = nn_apply(m, x);
    for (int i = 0; i < 2 * MANY; i++) assert_true(nn_parameter_at(m, i).var != nn_parameter_at(twin, i).var);
    for (int i = 0; i < 2 * MANY; i++) nn_init_constant(nn_parameter_at(m, i).var, 0);
    assert_equal_elements("twin", nn_apply(twin, x), y);
    ad_graph_free(g);
}

/* ---- optimisers: formulas of the papers and of PyTorch's pages, with options that are no defaults ---------- */

/* Moves x by the gradient g of step t = 1, 2, ...; s is state that starts as zeros. */
typedef double step_fn(double x, double g, int t, double s[4]);

static double step_sgd(double x, double g, int t, double s[4]) {
    double d = g + 0.1 * x;
    s[0] = t == 1 ? d : 0.8 * s[0] + (1 - 0.3) * d;
    return x - 0.05 * s[0];
}

static double step_adam(double x, double g, int t, double s[4]) {
    double d = g + 0.1 * x;
    s[0] = 0.8 * s[0] + 0.2 * d;
    s[1] = 0.95 * s[1] + 0.05 * d * d;
    double v = s[1] / (1 - pow(0.95, t));
    return x - 0.05 * s[0] / (1 - pow(0.8, t)) / (sqrt(v) + 1e-4);
}

static double step_adam_amsgrad(double x, double g, int t, double s[4]) {
    s[0] = 0.9 * s[0] + 0.1 * g;
    s[1] = 0.5 * s[1] + 0.5 * g * g;
    s[2] = fmax(s[2], s[1]);
    return x - 0.05 * s[0] / (1 - pow(0.9, t)) / (sqrt(s[2] / (1 - pow(0.5, t))) + 1e-8);
}

static double step_adamw(double x, double g, int t, double s[4]) {
    s[0] = 0.8 * s[0] + 0.2 * g;
    s[1] = 0.95 * s[1] + 0.05 * g * g;
    double m = s[0] / (1 - pow(0.8, t)), v = s[1] / (1 - pow(0.95, t));
    return x - 0.05 * 0.2 * x - 0.05 * m / (sqrt(v) + 1e-8);
}

static double step_rmsprop(double x, double g, int t, double s[4]) {
    (void)t;
    double d = g + 0.1 * x;
    s[0] = 0.9 * s[0] + 0.1 * d * d;
    s[1] = 0.9 * s[1] + 0.1 * d;
    s[2] = 0.7 * s[2] + d / (sqrt(s[0] - s[1] * s[1]) + 1e-3);
    return x - 0.05 * s[2];
}

static double step_adagrad(double x, double g, int t, double s[4]) {
    double d = g + 0.1 * x;
    if (t == 1) s[0] = 0.5;
    s[0] += d * d;
    return x - 0.1 / (1 + (t - 1) * 0.02) * d / (sqrt(s[0]) + 1e-3);
}

static double step_adadelta(double x, double g, int t, double s[4]) {
    (void)t;
    double d = g + 0.1 * x;
    s[0] = 0.8 * s[0] + 0.2 * d * d;
    double u = sqrt(s[1] + 1e-3) / sqrt(s[0] + 1e-3) * d;
    s[1] = 0.8 * s[1] + 0.2 * u * u;
    return x - 0.5 * u;
}

static double step_adamax(double x, double g, int t, double s[4]) {
    double d = g + 0.1 * x;
    s[0] = 0.8 * s[0] + 0.2 * d;
    s[1] = fmax(0.9 * s[1], fabs(d) + 1e-3);
    return x - 0.05 / (1 - pow(0.8, t)) * s[0] / s[1];
}

static double step_nadam(double x, double g, int t, double s[4]) {
    double d = g + 0.1 * x;
    double mu = 0.8 * (1 - 0.5 * pow(0.96, 0.01 * t)), next = 0.8 * (1 - 0.5 * pow(0.96, 0.01 * (t + 1)));
    s[2] = (t == 1 ? 1 : s[2]) * mu;
    s[0] = 0.8 * s[0] + 0.2 * d;
    s[1] = 0.95 * s[1] + 0.05 * d * d;
    double m = next * s[0] / (1 - s[2] * next) + (1 - mu) * d / (1 - s[2]);
    return x - 0.05 * m / (sqrt(s[1] / (1 - pow(0.95, t))) + 1e-8);
}

static double step_lion(double x, double g, int t, double s[4]) {
    (void)t;
    double c = 0.8 * s[0] + 0.2 * g;
    s[0] = 0.7 * s[0] + 0.3 * g;
    return x - 0.05 * (copysign(c != 0, c) + 0.2 * x);
}

#define OPTIMISER(name, call)                                                                                          \
    static nn_optim *make_##name(nn_module *m) { return call; }
OPTIMISER(sgd, nn_sgd(m, (nn_sgd_opts){ .lr = 0.05, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.1 }))
OPTIMISER(adam, nn_adam(m, (nn_adam_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1 }))
OPTIMISER(adam_amsgrad, nn_adam(m, (nn_adam_opts){ .lr = 0.05, .beta2 = 0.5, .amsgrad = true }))
OPTIMISER(adamw, nn_adamw(m, (nn_adam_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.2 }))
OPTIMISER(rmsprop, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.05, .alpha = 0.9, .eps = 1e-3, .momentum = 0.7,
                                                    .weight_decay = 0.1, .centered = true }))
OPTIMISER(adagrad, nn_adagrad(m, (nn_adagrad_opts){ .lr = 0.1, .lr_decay = 0.02, .eps = 1e-3, .weight_decay = 0.1,
                                                    .initial_accumulator_value = 0.5 }))
OPTIMISER(adadelta, nn_adadelta(m, (nn_adadelta_opts){ .lr = 0.5, .rho = 0.8, .eps = 1e-3, .weight_decay = 0.1 }))
OPTIMISER(adamax, nn_adamax(m, (nn_adamax_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3,
                                                 .weight_decay = 0.1 }))
OPTIMISER(nadam, nn_nadam(m, (nn_nadam_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1,
                                              .momentum_decay = 0.01 }))
OPTIMISER(lion, nn_lion(m, (nn_lion_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.7, .weight_decay = 0.2 }))

#define ROW(name) { #name, make_##name, step_##name }
static const struct {
    const char *name;
    nn_optim *(*make)(nn_module *m);
    step_fn *step;
} optimisers[] = { ROW(sgd),     ROW(adam),     ROW(adam_amsgrad), ROW(adamw), ROW(rmsprop),
                   ROW(adagrad), ROW(adadelta), ROW(adamax),       ROW(nadam), ROW(lion) };

static ad_var *none_forward(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}

/* Parameters of one element, whose loss w x has the gradient w. */
static void steps_are_as_by_formula(void **state) {
    (void)state;
    static const double gradients[] = { 1, -0.5, 3, 0.25, -2, 1e-3, 0.7, -0.7, 5, 0.1 };
    for (size_t i = 0; i < sizeof optimisers / sizeof *optimisers; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "one", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", param_item(g, AD_F64, 1.5));
        nn_optim *opt = optimisers[i].make(m);
        double expected = 1.5, s[4] = { 0 };
        for (int t = 1; t <= 10; t++) {
            nn_zero_grad(opt);
            ad_backward(ad_muls(x, gradients[t - 1]));
            assert_int_equal(nn_step(opt), AD_OK);
            expected = optimisers[i].step(expected, gradients[t - 1], t, s);
            assert_close_in(optimisers[i].name, ad_item(x), expected, 1e-12);
        }
        assert_ok(g);
        ad_graph_free(g);
    }
}

static const double curvature[] = { 1, 4, 30 }, linear_part[] = { 2, -1, 3 };

/* sum a x^2 / 2 - b x of x [3], whose minimum is at b / a */
static ad_var *quadratic(void *data) {
    ad_var *x = data;
    ad_graph *g = ad_graph_of(x);
    ad_var *a = ad_tensor(g, AD_F64, curvature, AD_SHAPE(3)), *b = ad_tensor(g, AD_F64, linear_part, AD_SHAPE(3));
    return ad_sum(ad_sub(ad_muls(ad_mul(a, ad_square(x)), 0.5), ad_mul(b, x)));
}

static double value_at(const double x[3]) {
    double f = 0;
    for (int k = 0; k < 3; k++) f += curvature[k] * x[k] * x[k] / 2 - linear_part[k] * x[k];
    return f;
}

static double slope_at(const double x[3], const double d[3]) {
    double s = 0;
    for (int k = 0; k < 3; k++) s += (curvature[k] * x[k] - linear_part[k]) * d[k];
    return s;
}

/* The first step goes along the negative gradient, to where the strong Wolfe conditions hold; many steps find the
   minimum. */
static void lbfgs_obeys_its_conditions(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double start[] = { 0.5, 1, -1 };
    double end[3], d[3], t = 0;
    nn_module *m = nn_module_new(g, "quadratic", none_forward, 0);
    ad_var *x = nn_add_parameter(m, "x", param_of(g, AD_F64, start, AD_SHAPE(3)));
    nn_optim *opt = nn_lbfgs(m, (nn_lbfgs_opts){ .max_iter = 1, .tolerance_change = 1e-16 });
    double loss;
    assert_int_equal(nn_step_closure(opt, quadratic, x, &loss), AD_OK);
    assert_close(loss, value_at(start), 1e-12);
    for (int k = 0; k < 3; k++) {
        end[k] = ad_at(x, k);
        d[k] = linear_part[k] - curvature[k] * start[k];
    }
    t = (end[0] - start[0]) / d[0];
    assert_true(t > 0);
    for (int k = 0; k < 3; k++) assert_close(end[k], start[k] + t * d[k], 1e-12);
    assert_true(value_at(end) <= value_at(start) + 1e-4 * t * slope_at(start, d));
    assert_true(fabs(slope_at(end, d)) <= 0.9 * fabs(slope_at(start, d)));
    for (int i = 0; i < 30; i++) assert_int_equal(nn_step_closure(opt, quadratic, x, NULL), AD_OK);
    for (int k = 0; k < 3; k++) assert_close(ad_at(x, k), linear_part[k] / curvature[k], 1e-7);
    assert_ok(g);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_layers_are_right),  cmocka_unit_test(names_of_arrays_are_torchs),
        cmocka_unit_test(layers_are_saved_and_loaded),    cmocka_unit_test(copies_of_layers_are_their_own),
        cmocka_unit_test(layers_are_not_made_after_an_error), cmocka_unit_test(copies_of_large_nets),
        cmocka_unit_test(steps_are_as_by_formula),        cmocka_unit_test(lbfgs_obeys_its_conditions),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
