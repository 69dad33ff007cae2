/* growth.c: prints how time and memory grow with the number of nodes and with the size of a minibatch.

   Lines of tab-separated values:
       nodes  N  ns per node to record and differentiate  ns per node for ad_eval  bytes per node
       batch  B  us per sample to train  bytes that the graph holds  bytes that it needs, counted by hand  */
#include "bench/common.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 9 };
static const double sample_ns = 2e7;

typedef void work(void *state);

/* The minimum of the rounds in nanoseconds: other load on the machine only adds time. */
static double least(work *w, void *state) {
    double best = 0;
    w(state);
    double start = bench_now();
    w(state);
    double once = bench_now() - start;
    int repeats = once > sample_ns ? 1 : (int)(sample_ns / (once + 1)) + 1;
    for (int r = 0; r < ROUNDS; r++) {
        start = bench_now();
        for (int i = 0; i < repeats; i++) w(state);
        double took = (bench_now() - start) / repeats;
        best = r == 0 || took < best ? took : best;
    }
    return best;
}

/* ---- nodes: the chain x <- sin(x) y + x ------------------------------------------------------------------------ */

typedef struct {
    ad_graph *g;
    ad_var *x, *y, *built;
    int64_t steps;
} chain;

static ad_var *chain_of(const chain *c) {
    ad_var *x = c->x;
    for (int64_t i = 0; i < c->steps; i++) x = ad_add(ad_mul(ad_sin(x), c->y), x);
    return x;
}

static void record_and_differentiate(void *state) {
    chain *c = state;
    ad_mark m = ad_begin(c->g);
    ad_backward(chain_of(c));
    ad_end(c->g, m);
}

static void evaluate_again(void *state) { ad_eval(((chain *)state)->built); }

static void grow_nodes(int64_t nodes) {
    chain c = { .g = ad_graph_new(), .steps = nodes / 3 };
    double n = 3 * (double)c.steps;
    c.x = ad_param(c.g, AD_F64, (double[]){ 0.5 }, AD_SCALAR);
    c.y = ad_param(c.g, AD_F64, (double[]){ 1e-8 }, AD_SCALAR);
    double both = least(record_and_differentiate, &c);
    int64_t before = ad_graph_stats(c.g).bytes_used;
    c.built = chain_of(&c);
    int64_t after = ad_graph_stats(c.g).bytes_used;
    double again = least(evaluate_again, &c);
    bench_check(c.g);
    printf("nodes\t%lld\t%.4g\t%.4g\t%.4g\n", (long long)nodes, both / n, again / n, (double)(after - before) / n);
    fflush(stdout);
    ad_graph_free(c.g);
}

/* ---- minibatches: a training step of 784-128-10, relu, momentum ------------------------------------------------- */

enum { PIXELS = 784, HIDDEN = 128, CLASSES = 10 };

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    ad_var *x, *t;
} training;

static void step(void *state) {
    training *s = state;
    ad_mark m = ad_begin(s->g);
    nn_zero_grad(s->opt);
    ad_backward(nn_cross_entropy(nn_apply(s->net, s->x), s->t));
    nn_step(s->opt);
    ad_end(s->g, m);
}

/* The bytes of the parameters, their gradients and momentum, and of the results of affine, relu and affine and their
   gradients. */
static double needed(int64_t batch) {
    double parameters = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES, row = HIDDEN + HIDDEN + CLASSES;
    return 4 * (3 * parameters + 2 * (double)batch * row);
}

static void grow_batch(int64_t batch) {
    training s = { .g = ad_graph_new() };
    float *x = bench_array((size_t)batch * PIXELS * sizeof *x), *t = bench_array((size_t)batch * sizeof *t);
    bench_fill(x, (size_t)batch * PIXELS, 3);
    for (int64_t i = 0; i < batch; i++) t[i] = (float)(i * 7 % CLASSES);
    ad_keep_grads(s.g, false);
    s.net = nn_mlp(s.g, AD_F32, 3, (int64_t[]){ PIXELS, HIDDEN, CLASSES }, ad_relu);
    s.opt = nn_sgd(s.net, (nn_sgd_opts){ .lr = 1e-3, .momentum = 0.9 });
    s.x = ad_input(s.g, AD_F32, x, AD_SHAPE(batch, PIXELS));
    s.t = ad_input(s.g, AD_F32, t, AD_SHAPE(batch));
    double took = least(step, &s);
    bench_check(s.g);
    printf("batch\t%lld\t%.4g\t%lld\t%.0f\n", (long long)batch, took / (double)batch / 1e3,
           (long long)ad_graph_stats(s.g).bytes_held, needed(batch));
    fflush(stdout);
    ad_graph_free(s.g);
    free(x), free(t);
}

int main(void) {
    static const int64_t nodes[] = { 1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000 };
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) grow_nodes(nodes[i]);
    for (int64_t batch = 1; batch <= 4096; batch *= 2) grow_batch(batch);
    return 0;
}
