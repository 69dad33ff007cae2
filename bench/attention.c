/* attention.c: attention and its gradient, beside the same function composed of matrix products and softmax. */
#include "bench/common.h"

#include <math.h>
#include <stdlib.h>

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

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "attention-64", "ms", 1, 0, setup_64, ours, composed, teardown, NULL },
        { "attention-64-causal", "ms", 1, 0, setup_64_causal, ours, composed, teardown, NULL },
        { "attention-2048", "ms", 1, 0, setup_2048, ours, composed, teardown, NULL },
        { "attention-2048-32", "ms", 1, 0, setup_2048_narrow, ours, composed, teardown, NULL },
        { "attention-2048-causal", "ms", 1, 0, setup_2048_causal, ours, composed, teardown, NULL },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
