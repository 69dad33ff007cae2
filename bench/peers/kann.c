/* kann.c: the xor cases in KANN, whose graph is made once and evaluated again. KANN: the folder of its sources. */
#include <kann.h>
#include <math.h>
#include <stdlib.h>

#include "bench/peers/serve.h"

typedef struct {
    kann_t *net;
    float x[8], t[4], *bound_x[1], *bound_t[1], lr;
} xor_state;

/* The weights of mlp_new in bench/nets.c. Biases are 0. */
static void set_weights(kann_t *net) {
    for (int i = 0; i < net->n; i++) {
        kad_node_t *v = net->v[i];
        if (!kad_is_var(v)) continue;
        int n = kad_len(v), of_one = n == 16, weight = n == 16 || (n == 8 && v->n_d == 2);
        memset(v->x, 0, (size_t)n * sizeof(float));
        if (weight) serve_fill(v->x, (size_t)n, of_one ? 7 : 8);
        for (int j = 0; weight && j < n; j++) v->x[j] /= sqrtf(of_one ? 2 : 8);
    }
}

static void *setup(void) {
    xor_state *s = calloc(1, sizeof *s);
    s->net = kann_new(kann_layer_cost(kad_tanh(kann_layer_dense(kann_layer_input(2), 8)), 1, KANN_C_MSE), 0);
    kann_set_batch_size(s->net, 4);
    for (int i = 0; i < 4; i++)
        s->x[2 * i] = (float)(i / 2), s->x[2 * i + 1] = (float)(i % 2), s->t[i] = (float)(i / 2 ^ i % 2);
    s->bound_x[0] = s->x, s->bound_t[0] = s->t, s->lr = 1e-4f;
    kann_feed_bind(s->net, KANN_F_IN, 0, s->bound_x);
    kann_feed_bind(s->net, KANN_F_TRUTH, 0, s->bound_t);
    set_weights(s->net);
    return s;
}

static double step(xor_state *s) {
    kann_t *net = s->net;
    double loss = kann_cost(net, 0, 1);
    for (int i = 0, n = kann_size_var(net); i < n; i++) net->x[i] -= s->lr * net->g[i];
    return loss;
}

static void work(void *state) { step(state); }

static void result(void *state, double to[2]) {
    xor_state *s = state;
    s->lr = 0.1f;
    to[0] = step(s);
    for (int i = 1; i < 100; i++) to[1] = step(s);
}

static void teardown(void *state) {
    xor_state *s = state;
    kann_delete(s->net);
    free(s);
}

int main(void) {
    const served_case cases[] = { { "xor-rebuild", "-", 1, setup, work, result, teardown },
                                  { "xor-eval", "-", 1, setup, work, result, teardown } };
    return serve(2, cases);
}
