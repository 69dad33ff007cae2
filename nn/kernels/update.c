/* update.c: what optimisers do to plain arrays. */
#include "ops/kernels/base/vector_math.h"

#include "autodiff/base/parallel.h"
#include "ops/kernels/base/simd.h"
#include "nn/kernels/update.h"

enum { LANES = 32 }; /* independent sums, to keep the adders of a wide vector unit busy */

#define KERNELS "nn/kernels/update.inc"
#include "ops/kernels/base/each_dtype.h"

const nn__rule nn__rule_sgd = { { sgd_f32, sgd_f64 } };
const nn__rule nn__rule_adam = { { adam_f32, adam_f64 } };
const nn__rule nn__rule_rmsprop = { { rmsprop_f32, rmsprop_f64 } };
const nn__rule nn__rule_adagrad = { { adagrad_f32, adagrad_f64 } };
const nn__rule nn__rule_adadelta = { { adadelta_f32, adadelta_f64 } };
const nn__rule nn__rule_adamax = { { adamax_f32, adamax_f64 } };
const nn__rule nn__rule_lion = { { lion_f32, lion_f64 } };

typedef struct {
    nn__rule_fn *run;
    size_t size; /* of an element */
    const void *numbers;
    const char *dx;
    char *state[NN__RULE_STATES], *x;
} update;

static void update_slab(void *context, int worker, int64_t from, int64_t to) {
    const update *u = context;
    size_t at = (size_t)from * u->size;
    void *state[NN__RULE_STATES];
    (void)worker;
    for (int i = 0; i < NN__RULE_STATES; i++) state[i] = u->state[i] ? u->state[i] + at : NULL;
    u->run(to - from, u->numbers, u->dx + at, state, u->x + at);
}

void nn__update(ad_team *team, const nn__rule *rule, ad_dtype t, int64_t n, const void *numbers, const void *dx,
                void *const state[], void *x) {
    update u = { rule->run[t], ad_dtype_size(t), numbers, dx, { NULL }, x };
    for (int i = 0; i < NN__RULE_STATES; i++) u.state[i] = state[i];
    ad_parallel(team, n, 0, 1, update_slab, &u);
}

AD__CLONES double nn__array_dot(int64_t n, const double *x, const double *y) {
    double lane[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        AD__UNROLL
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i] * y[i];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

double nn__array_sum_sizes(int64_t n, const double *x) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fabs(x[i]);
    return sum;
}

double nn__array_largest(int64_t n, const double *x) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs(x[i]) > most ? fabs(x[i]) : most;
    return most;
}
