/* recurrent.c: training steps of recurrent nets, and only their matrix products. */
#include "bench/common.h"
#include "ops/kernels/linalg/gemm.h"

#include <stdlib.h>

/* ---- lstm, gru: the net of demos/names: an embedding, 16 steps of 128 cells, logits; batch 64, adam ------------ */

enum { N = 64, TIME = 16, SYMBOLS = 27, IN = 32, HIDDEN = 128, ROWS = N * TIME, MAX_GATES = 4 * HIDDEN };

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    ad_var *x, *y;
    int64_t gates;                                  /* elements of the gates of one step, for one row */
    float *in, *a, *h, *logits, *w_ih, *w_hh, *head; /* operands of the floor, as large as those of the net */
    float *out;
} recurrent;

static float *operand(int64_t n) { return bench_random(n, 1); }

static ad_var *symbols(ad_graph *g, int step) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(N, TIME));
    float *to = ad_data_mut(x);
    for (int i = 0; i < ROWS; i++) to[i] = (float)(i * step % SYMBOLS);
    return x;
}

static recurrent *setup(nn_module *cells(ad_graph *, ad_dtype, nn_rnn_opts), int64_t gates) {
    recurrent *s = bench_array(sizeof *s);
    s->g = ad_graph_new();
    ad_keep_grads(s->g, false);
    s->net = nn_sequential(s->g, nn_embedding(s->g, AD_F32, SYMBOLS, IN),
                           cells(s->g, AD_F32, (nn_rnn_opts){ .in = IN, .hidden = HIDDEN }),
                           nn_linear(s->g, AD_F32, HIDDEN, SYMBOLS, true));
    s->opt = nn_adam(s->net, (nn_adam_opts){ .lr = 1e-5 });
    s->x = symbols(s->g, 7), s->y = symbols(s->g, 11);
    s->gates = gates * HIDDEN;
    s->in = operand(ROWS * IN), s->a = operand(ROWS * MAX_GATES), s->h = operand(ROWS * HIDDEN);
    s->logits = operand(ROWS * SYMBOLS), s->w_ih = operand(MAX_GATES * IN), s->w_hh = operand(MAX_GATES * HIDDEN);
    s->head = operand(SYMBOLS * HIDDEN), s->out = operand(ROWS * MAX_GATES);
    return s;
}

static void *lstm_setup(void) { return setup(nn_lstm, 4); }
static void *gru_setup(void) { return setup(nn_gru, 3); }

static void teardown(void *state) {
    recurrent *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    float *all[] = { s->in, s->a, s->h, s->logits, s->w_ih, s->w_hh, s->head, s->out };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(s);
}

static void step(void *state) {
    recurrent *s = state;
    ad_mark m = ad_begin(s->g);
    ad_var *loss = nn_cross_entropy(ad_flatten(nn_apply(s->net, s->x), 0, 1), ad_flatten(s->y, 0, 1));
    nn_zero_grad(s->opt);
    ad_backward(loss);
    nn_step(s->opt);
    ad_end(s->g, m);
}

/* The products have the sizes of those in a training step, but constant operands: no product reads a result. */
static void products(void *state) {
    const recurrent *s = state;
    int64_t k = s->gates;
    ad__gemm_f32(false, true, ROWS, k, IN, s->in, s->w_ih, 0, s->out);
    for (int t = 0; t < TIME; t++) ad__gemm_f32(false, true, N, k, HIDDEN, s->h, s->w_hh, 0, s->out + t * N * k);
    ad__gemm_f32(false, true, ROWS, SYMBOLS, HIDDEN, s->h, s->head, 0, s->out);
    ad__gemm_f32(true, false, SYMBOLS, HIDDEN, ROWS, s->logits, s->h, 0, s->out);
    ad__gemm_f32(false, false, ROWS, HIDDEN, SYMBOLS, s->logits, s->head, 0, s->out);
    for (int t = 1; t < TIME; t++) ad__gemm_f32(false, false, N, HIDDEN, k, s->a + t * N * k, s->w_hh, 0, s->out);
    ad__gemm_f32(true, false, k, HIDDEN, ROWS, s->a, s->h, 0, s->out);
    ad__gemm_f32(true, false, k, IN, ROWS, s->a, s->in, 0, s->out);
    ad__gemm_f32(false, false, ROWS, IN, k, s->a, s->w_ih, 0, s->out);
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "lstm", "us", 1, N, lstm_setup, step, products, teardown, NULL },
        { "gru", "us", 1, N, gru_setup, step, products, teardown, NULL },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
