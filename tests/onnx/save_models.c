/* save_models.c: writes ONNX models of networks and of every op's samples to a folder, each with inputs and the results
   that the library computes, for tests/onnx/run.mjs: NAME.onnx, NAME.bin, and a line of JSON in cases.txt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"
#include "ops/ops.h"

typedef struct {
    ad_graph *g;               /* of the models */
    const char *folder, *name; /* of what is being saved, for messages */
    FILE *cases;
    int count; /* of .bin files */
} writer;

static void fail(const writer *w, const char *what) {
    fprintf(stderr, "save_models: %s: %s: %s\n", w->name, what, w->g ? ad_error(w->g) : "out of memory");
    exit(1);
}

static const char *path_of(const writer *w, const char *name, const char *ending, char to[512]) {
    snprintf(to, 512, "%s/%s%s", w->folder, name, ending);
    return to;
}

/* ---- a case: a model, its inputs and results --------------------------------------------------------------------- */

static void describe(const writer *w, FILE *bin, const char *letter, int n, ad_var *const xs[]) {
    for (int i = 0; i < n; i++) {
        ad_shape s = ad_shape_of(xs[i]);
        fprintf(w->cases, "%s{\"name\":\"%s", i ? "," : "", letter);
        if (n > 1) fprintf(w->cases, "%d", i);
        fprintf(w->cases, "\",\"type\":\"%s\",\"shape\":[", ad_dtype_of(xs[i]) == AD_F32 ? "float32" : "float64");
        for (int k = 0; k < s.ndim; k++) fprintf(w->cases, "%s%lld", k ? "," : "", (long long)s.dim[k]);
        fprintf(w->cases, "]}");
        fwrite(ad_data(xs[i]), 1, ad_dtype_size(ad_dtype_of(xs[i])) * (size_t)ad_numel(xs[i]), bin);
    }
}

static void add_case(writer *w, double tolerance, int n_xs, ad_var *const xs[], int n_ys, ad_var *const ys[]) {
    char path[512], name[32];
    snprintf(name, sizeof name, "%d", w->count++);
    FILE *bin = fopen(path_of(w, name, ".bin", path), "wb");
    if (bin == NULL) fail(w, path);
    fprintf(w->cases, "{\"model\":\"%s\",\"data\":\"%s.bin\",\"tolerance\":%g,\"inputs\":[", w->name, name,
            tolerance);
    describe(w, bin, "x", n_xs, xs);
    fprintf(w->cases, "],\"outputs\":[");
    describe(w, bin, "y", n_ys, ys);
    fprintf(w->cases, "]}\n");
    if (fclose(bin) != 0) fail(w, path);
}

/* ---- every op's samples, those of an op in one model --------------------------------------------------------------- */

enum { MOST = 512 };
typedef struct {
    writer *w;
    ad_dtype t;
    int n_xs, n_ys, refused;
    ad_var *xs[MOST], *ys[MOST];
} samples;

/* Empty arrays and numbers that are not finite are left out, as runtimes differ there. */
static bool is_plain(const ad_sample_case *c) {
    for (int i = 0; i < c->n; i++)
        for (int64_t k = 0, n = ad_shape_numel(c->shapes[i]); k < n || n == 0; k++)
            if (n == 0 || !(fabs(c->values[i][k]) < 1e15)) return false;
    return !(c->flags & AD_SAMPLE_LOOSE);
}

static ad_var *leaf(const samples *s, const ad_sample_case *c, int i) {
    ad_var *x = ad_zeros(s->w->g, s->t, c->shapes[i]);
    void *data = ad_data_mut(x);
    for (int64_t k = 0; data && k < ad_numel(x); k++) {
        if (s->t == AD_F32) ((float *)data)[k] = (float)c->values[i][k];
        else ((double *)data)[k] = c->values[i][k];
    }
    return x;
}

static int add_sample(const ad_sample_case *c, void *data) {
    samples *s = data;
    ad_graph *g = s->w->g;
    if (!is_plain(c) || s->n_xs + c->n > MOST || s->n_ys == MOST) return 0;
    ad_var **xs = s->xs + s->n_xs;
    for (int i = 0; i < c->n; i++) xs[i] = leaf(s, c, i);
    ad_var *y = ad_apply(c->type, c->n, xs, c->attrs);
    if (!ad_ok(g) || ad_numel(y) == 0) return ad_clear_error(g), 0;
    /* In a folder that does not exist, a form is found before the file cannot be opened. */
    int rc = nn_save_onnx_vars("no_such_folder/x.onnx", 1, &y, c->n, xs);
    s->refused += rc == AD_EABSENT;
    ad_clear_error(g);
    if (rc == AD_EABSENT) return 0;
    s->ys[s->n_ys++] = y;
    s->n_xs += c->n;
    return 0;
}

/* The runtime adds f32 numbers in f32, which shows in the variance of numbers that are large beside it. */
static double tolerance_of(const ad_optype *type, ad_dtype t) {
    bool spread = strcmp(type->name, "variance") == 0 || strcmp(type->name, "std") == 0;
    return t == AD_F64 ? 1e-6 : spread ? 1e-3 : 1e-5;
}

/* The samples are listed in a graph of their own, as their scopes are closed one by one. */
static void save_samples(writer *w, ad_graph *list, const ad_optype *type, ad_dtype t) {
    char name[96], path[512];
    samples *s = calloc(1, sizeof *s);
    if (s == NULL) fail(w, "memory");
    *s = (samples){ .w = w, .t = t };
    snprintf(name, sizeof name, "%s_%s.onnx", type->name, t == AD_F32 ? "f32" : "f64");
    w->name = name;
    ad_mark m = ad_begin(w->g);
    if (ad_each_sample(list, type, add_sample, s)) fail(w, ad_error(list));
    if (s->refused > 0 && t == AD_F32) printf("%s of %s\n", s->n_ys ? "some" : "all", type->name);
    if (s->n_ys > 0) {
        if (nn_save_onnx_vars(path_of(w, name, "", path), s->n_ys, s->ys, s->n_xs, s->xs)) fail(w, "save");
        add_case(w, tolerance_of(type, t), s->n_xs, s->xs, s->n_ys, s->ys);
    }
    ad_end(w->g, m);
    w->name = "cases";
    free(s);
}

static void save_ops(writer *w) {
    ad_graph *list = ad_graph_new();
    if (list == NULL) fail(w, "memory");
    for (const ad_optype *const *t = ad_optypes(); *t; t++)
        for (int k = AD_F32; k <= AD_F64; k++)
            if (!((*t)->flags & (AD_OP_RANDOM | AD_OP_STATE))) save_samples(w, list, *t, (ad_dtype)k);
    ad_graph_free(list);
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

/* Numbers between -1 and 1, or whole ones below `most`. */
static ad_var *batch_of(const writer *w, ad_dtype t, ad_shape s, int most) {
    ad_var *x = ad_zeros(w->g, t, s);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double v = fmod(0.618033988749895 * (double)(i + 1), 1);
        v = most > 0 ? floor(v * most) : 2 * v - 1;
        if (t == AD_F32) ((float *)ad_data_mut(x))[i] = (float)v;
        else ((double *)ad_data_mut(x))[i] = v;
    }
    return x;
}

/* Saves with a batch of 3; the model is run with 1, 3 and 8 rows. s has the shape of a row behind a first axis. */
static void save_net(writer *w, const char *name, nn_module *net, ad_dtype t, ad_shape s, int most) {
    const int64_t rows[] = { 3, 1, 8 };
    char path[512], file[64];
    w->name = file;
    snprintf(file, sizeof file, "net_%s_%s.onnx", name, t == AD_F32 ? "f32" : "f64");
    for (int i = 0; i < 3; i++) {
        s.dim[0] = rows[i];
        ad_var *x = batch_of(w, t, s, most);
        if (i == 0 && nn_save_onnx(net, x, path_of(w, file, "", path))) fail(w, "save_onnx");
        nn_train(net, false);
        ad_var *y = nn_apply(net, x);
        nn_train(net, true);
        if (!ad_ok(w->g)) fail(w, "apply");
        add_case(w, t == AD_F32 ? 1e-5 : 1e-8, 1, &x, 1, &y); /* in ONNX a norm's eps is f32 */
    }
    w->name = "cases";
}

static ad_var *last_step(ad_var *x) { return ad_select(x, 1, -1); }

static nn_module *lenet(ad_graph *g, ad_dtype t) {
    ad_pool_opts halves = { .kernel = { 2, 2 } };
    return nn_sequential(g, nn_conv2d(g, t, (nn_conv_opts){ .in = 1, .out = 6, .kernel = 5, .padding = 2 }),
                         nn_batch_norm(g, t, 6, (nn_batch_norm_opts){ 0 }), nn_relu(g), nn_max_pool2d(g, halves),
                         nn_conv2d(g, t, (nn_conv_opts){ .in = 6, .out = 16, .kernel = 5 }), nn_group_norm(g, t, 4, 16), nn_silu(g),
                         nn_avg_pool2d(g, halves), nn_flatten(g), nn_dropout(g, 0.3), nn_linear(g, t, 400, 84, true),
                         nn_tanh(g), nn_linear(g, t, 84, 10, true), nn_log_softmax(g, 1));
}

static nn_module *autoencoder(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_conv2d(g, t, (nn_conv_opts){ .in = 2, .out = 4, .kernel = 3, .stride = 2, .padding = 1, .groups = 2 }),
                         nn_gelu(g), nn_conv_transpose2d(g, t, (nn_conv_opts){ .in = 4, .out = 2, .kernel = 4, .stride = 2, .padding = 1 }),
                         nn_instance_norm(g, t, 2, true), nn_adaptive_avg_pool2d(g, 4, 2));
}

static nn_module *recurrent(ad_graph *g, ad_dtype t, nn_module *make(ad_graph *, ad_dtype, nn_rnn_opts), bool both) {
    nn_rnn_opts o = { .in = 3, .hidden = 5, .layers = 2, .bidirectional = both };
    return nn_sequential(g, make(g, t, o), nn_function(g, last_step), nn_linear(g, t, both ? 10 : 5, 2, true));
}

/* Cells without a linear layer before them; their state begins as a part of the input. */
static ad_var *lstm_of_tanh(ad_var *in) {
    ad_var *x = ad_tanh(in);
    double weights[8 * 2];
    for (int i = 0; i < 16; i++) weights[i] = sin(i + 1.0);
    ad_var *w = ad_cast(ad_tensor(ad_graph_of(x), AD_F64, weights, AD_SHAPE(8, 2)), ad_dtype_of(x));
    ad_var *first = ad_slice(ad_select(x, 1, 0), 1, 0, 2, 1);
    return last_step(ad_select(ad_lstm(x, w, first, first, false), 0, 0));
}

static nn_module *gpt(ad_graph *g, ad_dtype t) {
    nn_transformer_opts o = { .width = 8, .heads = 2, .feedforward = 16, .layers = 2, .gelu = true, .norm_first = true,
                              .causal = true, .final_norm = true };
    return nn_sequential(g, nn_embedding(g, t, 11, 8), nn_learned_positions(g, t, 6, 8),
                         nn_transformer_encoder(g, t, o), nn_rms_norm(g, t, 8), nn_linear(g, t, 8, 11, false),
                         nn_softmax(g, -1));
}

/* The running statistics and the weights that begin as 0 or 1 get other numbers, so that no part is without effect. */
static nn_module *stirred(nn_module *net) {
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < (k ? nn_buffer_count(net) : nn_parameter_count(net)); i++) {
            ad_var *x = k ? nn_buffer_at(net, i).var : nn_parameter_at(net, i).var;
            for (int64_t j = 0; j < ad_numel(x); j++) {
                double v = ad_at(x, j) + 0.1 * fmod(0.618033988749895 * (double)(j + 1), 1);
                if (ad_dtype_of(x) == AD_F32) ((float *)ad_data_mut(x))[j] = (float)v;
                else ((double *)ad_data_mut(x))[j] = v;
            }
        }
    return net;
}

static void save_nets(writer *w, ad_dtype t) {
    ad_graph *g = w->g;
    nn_transformer_opts post = { .width = 8, .heads = 4, .feedforward = 16, .rotary = true };
    save_net(w, "mlp", stirred(nn_mlp(g, t, 3, (int64_t[]){ 4, 8, 3 }, ad_relu)), t, AD_SHAPE(0, 4), 0);
    save_net(w, "lenet", stirred(lenet(g, t)), t, AD_SHAPE(0, 1, 28, 28), 0);
    save_net(w, "autoencoder", stirred(autoencoder(g, t)), t, AD_SHAPE(0, 2, 8, 8), 0);
    save_net(w, "rnn", recurrent(g, t, nn_rnn, false), t, AD_SHAPE(0, 4, 3), 0);
    save_net(w, "lstm", recurrent(g, t, nn_lstm, false), t, AD_SHAPE(0, 4, 3), 0);
    save_net(w, "gru", recurrent(g, t, nn_gru, true), t, AD_SHAPE(0, 4, 3), 0);
    save_net(w, "lstm_both", recurrent(g, t, nn_lstm, true), t, AD_SHAPE(0, 4, 3), 0);
    save_net(w, "lstm_of_tanh", nn_function(g, lstm_of_tanh), t, AD_SHAPE(0, 4, 8), 0);
    save_net(w, "encoder", stirred(nn_transformer_encoder_layer(g, t, post)), t, AD_SHAPE(0, 5, 8), 0);
    save_net(w, "gpt", stirred(gpt(g, t)), t, AD_SHAPE(0, 6), 11);
}

int main(int argc, char **argv) {
    writer w = { .g = ad_graph_new(), .folder = argc > 1 ? argv[1] : ".", .name = "cases" };
    char path[512];
    w.cases = fopen(path_of(&w, "cases", ".txt", path), "w");
    if (w.g == NULL || w.cases == NULL) fail(&w, path);
    save_ops(&w);
    save_nets(&w, AD_F32);
    save_nets(&w, AD_F64);
    if (fclose(w.cases) != 0) fail(&w, path);
    ad_graph_free(w.g);
    return 0;
}
