/* attention.c: attention and its gradient, beside the same function composed of matrix products and softmax; and a
   training step of a small transformer, beside its matrix products. */
#include "bench/common.h"
#include "ops/kernels/linalg/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ad_graph *g;
    ad_var *q, *k, *v, *hidden, *weights; /* weights of the loss */
    bool causal;
    int64_t d;
} attention;

static attention *setup(int64_t n, int64_t heads, int64_t time, int64_t d, bool causal) {
    attention *s = bench_array(sizeof *s);
    s->g = bench_graph();
    s->causal = causal, s->d = d;
    ad_keep_grads(s->g, false);
    ad_var **to[] = { &s->q, &s->k, &s->v, &s->weights };
    for (uint32_t i = 0; i < 4; i++) {
        float *x = bench_random(n * heads * time * d, i + 1);
        *to[i] = i < 3 ? ad_param(s->g, AD_F32, x, AD_SHAPE(n, heads, time, d))
                       : ad_tensor(s->g, AD_F32, x, AD_SHAPE(n, heads, time, d));
        free(x);
    }
    s->hidden = ad_triu(ad_ones(s->g, AD_F32, AD_SHAPE(time, time)), 1);
    return s;
}

static void teardown(void *state) {
    attention *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    free(s);
}

static ad_var *by_op(const attention *s) {
    return ad_attention(s->q, s->k, s->v, NULL, (ad_attention_opts){ .causal = s->causal });
}

static ad_var *by_products(const attention *s) {
    ad_var *scores = ad_matmul(ad_muls(s->q, 1 / sqrt((double)s->d)), ad_transpose(s->k));
    if (s->causal) scores = ad_masked_fill(scores, s->hidden, -INFINITY);
    return ad_matmul(ad_softmax(scores, -1), s->v);
}

static void step(attention *s, ad_var *(*y_of)(const attention *)) {
    ad_mark m = ad_begin(s->g);
    ad_var *y = y_of(s);
    ad_zero_grad(y);
    ad_backward_from(y, s->weights);
    ad_end(s->g, m);
}
static void ours(void *state) { step(state, by_op); }
static void composed(void *state) { step(state, by_products); }

static void *setup_64(void) { return setup(12, 4, 64, 32, false); }
static void *setup_64_causal(void) { return setup(12, 4, 64, 32, true); }
static void *setup_2048(void) { return setup(1, 4, 2048, 64, false); }
static void *setup_2048_causal(void) { return setup(1, 4, 2048, 64, true); }
static void *setup_2048_narrow(void) { return setup(1, 4, 2048, 32, false); }

/* ---- gpt: the net of demos/gpt, 4 layers, width 128, 12 blocks of 64 characters; adamw --------------------------- */

enum { BATCH = 12, BLOCK = 64, ROWS = BATCH * BLOCK, WIDTH = 128, CHARACTERS = 65, LAYERS = 4, WIDE = 4 * WIDTH };

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    ad_var *x, *y;
    float *a, *b, *c; /* operands of the floor */
} gpt;

static ad_var *characters(ad_graph *g, int step) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(BATCH, BLOCK));
    for (int i = 0; i < ROWS; i++) ((float *)ad_data_mut(x))[i] = (float)(i * step % CHARACTERS);
    return x;
}

/* Parameter j has numbers in +-0.05; the weights of norms, in 0.95 .. 1.05. */
static void fill(nn_module *net) {
    for (int j = 0; j < nn_parameter_count(net); j++) {
        nn_parameter p = nn_parameter_at(net, j);
        float *to = ad_data_mut(p.var), one = strstr(p.name, "norm") && strstr(p.name, "weight") ? 1 : 0;
        bench_fill(to, (size_t)ad_numel(p.var), (uint32_t)j + 1);
        for (int64_t i = 0; i < ad_numel(p.var); i++) to[i] = one + 0.05f * to[i];
    }
}

static void *gpt_setup(void) {
    gpt *s = bench_array(sizeof *s);
    ad_graph *g = s->g = bench_graph();
    ad_keep_grads(g, false);
    nn_transformer_opts o = { .width = WIDTH, .heads = 4, .feedforward = WIDE, .layers = LAYERS, .dropout = AD_ZERO };
    o.gelu = o.norm_first = o.causal = o.final_norm = true;
    nn_module *embedding = nn_embedding(g, AD_F32, CHARACTERS, WIDTH);
    s->net =
        nn_sequential(g, embedding, nn_learned_positions(g, AD_F32, BLOCK, WIDTH), nn_transformer_encoder(g, AD_F32, o),
                      nn_linear_shared(g, nn_find_parameter(embedding, "weight"), false));
    fill(s->net);
    s->opt = nn_adamw(s->net, (nn_adam_opts){ .lr = 1e-3, .beta2 = 0.99, .weight_decay = 0.1 });
    s->x = characters(g, 7), s->y = characters(g, 11);
    s->a = bench_random(ROWS * WIDE, 1), s->b = bench_random(WIDE * WIDTH, 2), s->c = bench_random(ROWS * WIDE, 3);
    return s;
}

static void gpt_teardown(void *state) {
    gpt *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    free(s->a), free(s->b), free(s->c);
    free(s);
}

static double gpt_step(gpt *s) {
    ad_mark m = ad_begin(s->g);
    ad_var *loss = nn_cross_entropy(ad_flatten(nn_apply(s->net, s->x), 0, 1), ad_flatten(s->y, 0, 1));
    nn_zero_grad(s->opt);
    ad_backward(loss);
    nn_step(s->opt);
    double value = ad_item(loss);
    ad_end(s->g, m);
    return value;
}
static void gpt_ours(void *state) { gpt_step(state); }

/* The loss before the first and before the tenth step. */
static void gpt_result(void *state, double to[2]) {
    to[0] = gpt_step(state);
    for (int i = 1; i < 10; i++) to[1] = gpt_step(state);
}

/* A linear layer and the gradients of its operands. */
static void linear(const gpt *s, int64_t in, int64_t out) {
    ad__gemm_f32(false, true, ROWS, out, in, s->a, s->b, 0, s->c);
    ad__gemm_f32(false, false, ROWS, in, out, s->a, s->b, 0, s->c);
    ad__gemm_f32(true, false, out, in, ROWS, s->a, s->c, 0, s->b);
}

/* Without those of attention. */
static void gpt_products(void *state) {
    const gpt *s = state;
    for (int i = 0; i < LAYERS; i++)
        linear(s, WIDTH, 3 * WIDTH), linear(s, WIDTH, WIDTH), linear(s, WIDTH, WIDE), linear(s, WIDE, WIDTH);
    linear(s, WIDTH, CHARACTERS);
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "attention-64", "ms", 1, 0, setup_64, ours, composed, teardown, NULL },
        { "attention-64-causal", "ms", 1, 0, setup_64_causal, ours, composed, teardown, NULL },
        { "attention-2048", "ms", 1, 0, setup_2048, ours, composed, teardown, NULL },
        { "attention-2048-32", "ms", 1, 0, setup_2048_narrow, ours, composed, teardown, NULL },
        { "attention-2048-causal", "ms", 1, 0, setup_2048_causal, ours, composed, teardown, NULL },
        { "gpt", "ms", 1, ROWS, gpt_setup, gpt_ours, gpt_products, gpt_teardown, gpt_result },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
