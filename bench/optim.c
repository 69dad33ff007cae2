/* optim.c: optimisers' steps over many parameters beside a loop that moves the same memory. */
#include "ops/kernels/vector_math.h"

#include "bench/common.h"
#include "ops/kernels/kernels.h"

#include <stdlib.h>

/* ---- adam: 10 million f32 parameters; the floor reads dx, m, v, x and writes m, v, x ------------------- */

enum { COUNT = 10000000 };

typedef struct {
    ad_graph *g;
    nn_optim *opt;
    float *dx, *m, *v, *x; /* the floor's */
} adam;

static ad_var *identity(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}

static float *drawn(uint32_t seed) {
    float *x = bench_array(COUNT * sizeof *x);
    bench_fill(x, COUNT, seed);
    return x;
}

static void *adam_setup(void) {
    adam *s = bench_array(sizeof *s);
    s->g = bench_graph();
    s->dx = drawn(1), s->m = drawn(2), s->v = drawn(3), s->x = drawn(4);
    nn_module *m = nn_module_new(s->g, "parameters", identity, 0);
    ad_var *x = nn_add_parameter(m, "x", ad_param(s->g, AD_F32, s->x, AD_SHAPE(COUNT)));
    s->opt = nn_adam(m, (nn_adam_opts){ .lr = 1e-6 });
    bench_fill(ad_grad_mut(x), COUNT, 1);
    return s;
}

static void adam_ours(void *state) { nn_step(((adam *)state)->opt); }

AD__CLONES static void touch(int64_t n, const float *restrict dx, float *restrict m, float *restrict v,
                             float *restrict x) {
    for (int64_t i = 0; i < n; i++) {
        m[i] += 1e-3f * dx[i];
        v[i] += 1e-3f * dx[i];
        x[i] += m[i] + v[i];
    }
}

static void adam_floor(void *state) {
    adam *s = state;
    touch(COUNT, s->dx, s->m, s->v, s->x);
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
        { "adam", "ms", 1, 0, adam_setup, adam_ours, adam_floor, adam_teardown },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
