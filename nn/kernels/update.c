/* update.c: the updates of optimisers on arrays of either dtype, and how threads share them. */
#include "ops/kernels/base/vector_math.h"

#include "autodiff/base/parallel.h"
#include "nn/kernels/update.h"
#include "ops/kernels/base/simd.h"

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

enum { WORK = 2 }; /* of an element, beside one of a cheap loop: three to six arrays are read and written */

static void update_chunk(void *context, int worker, int64_t from, int64_t to) {
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
    ad_parallel(team, n, 0, WORK, update_chunk, &u);
}
