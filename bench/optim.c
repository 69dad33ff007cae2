/* optim.c: steps of optimisers over many parameters, and a loop that reads and writes the same memory. */
#include "ops/kernels/base/vector_math.h"

#include "bench/common.h"
#include "ops/kernels/base/simd.h"

#include <stdlib.h>

/* ---- adam: 10 million f32 parameters; the floor reads dx, m, v, x and writes m, v, x ------------------- */

enum { COUNT = 10000000 };

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    float *dx, *m, *v, *x; /* arrays of the floor */
} adam;

static ad_var *identity(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}


static void *adam_setup(void) {
    adam *s = bench_array(sizeof *s);
    s->g = bench_graph();
    s->dx = bench_random(COUNT, 1), s->m = bench_random(COUNT, 2), s->v = bench_random(COUNT, 3);
    s->x = bench_random(COUNT, 4);
    s->net = nn_module_new(s->g, "parameters", identity, 0);
    ad_var *x = nn_add_parameter(s->net, "x", ad_param(s->g, AD_F32, s->x, AD_SHAPE(COUNT)));
    s->opt = nn_adam(s->net, (nn_adam_opts){ .lr = 1e-6 });
    bench_fill(ad_grad_mut(x), COUNT, 1);
    return s;
}

/* The squared distance of the parameters from their start after five steps, and the last parameter. The learning rate
   is larger than in the measurement. */
static void adam_result(void *state, double to[2]) {
    adam *s = state;
    nn_optim *opt = nn_adam(s->net, (nn_adam_opts){ .lr = 0.01 });
    const ad_var *x = nn_parameter_at(s->net, 0).var;
    for (int i = 0; i < 5; i++) nn_step(opt);
    to[0] = 0, to[1] = ad_at(x, COUNT - 1);
    for (int64_t i = 0; i < COUNT; i++) to[0] += pow(ad_at(x, i) - (double)s->x[i], 2);
}

static void adam_ours(void *state) { nn_step(((adam *)state)->opt); }

AD__CLONES static void update(int64_t n, const float *restrict dx, float *restrict m, float *restrict v,
                              float *restrict x) {
    for (int64_t i = 0; i < n; i++) {
        m[i] += 1e-3f * dx[i];
        v[i] += 1e-3f * dx[i];
        x[i] += m[i] + v[i];
    }
}

static void adam_floor(void *state) {
    adam *s = state;
    update(COUNT, s->dx, s->m, s->v, s->x);
}

static void adam_teardown(void *state) {
    adam *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    free(s->dx), free(s->m), free(s->v), free(s->x);
    free(s);
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "adam", "ms", 1, 0, adam_setup, adam_ours, adam_floor, adam_teardown, adam_result },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
