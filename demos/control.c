/* control.c: a controller that plans: a pendulum is swung up by the gradient of a plan's cost, which is compiled, and
   may be written as a C file. */
#include <time.h>

#include "demos/alone/pendulum.h"
#include "demos/demo.h"
#include "ops/compile.h"
#include "ops/ops.h"

/* The cost of a plan [PENDULUM_PLAN] from a state [2]: far from the top, fast there, and much torque cost something.
   The motion is pendulum_step, in Vars. */
static ad_var *cost_of(ad_var *state, ad_var *plan) {
    ad_var *angle = ad_select(state, 0, 0), *speed = ad_select(state, 0, 1), *cost = NULL;
    for (int i = 0; i < PENDULUM_PLAN; i++) {
        ad_var *torque = ad_muls(ad_tanh(ad_select(plan, 0, i)), PENDULUM_TORQUE);
        ad_var *pull = ad_add(ad_muls(ad_sin(angle), PENDULUM_G), ad_sub(torque, ad_muls(speed, PENDULUM_FRICTION)));
        speed = ad_add(speed, ad_muls(pull, PENDULUM_DT));
        angle = ad_add(angle, ad_muls(speed, PENDULUM_DT));
        ad_var *height = ad_adds(ad_neg(ad_cos(angle)), 1); /* below the top */
        ad_var *term = ad_add(height, ad_add(ad_muls(ad_square(speed), 0.01), ad_muls(ad_square(torque), 0.01)));
        cost = cost ? ad_add(cost, term) : term;
    }
    return cost;
}

typedef struct {
    ad_program *program;
    int64_t calls;
} controller;

static double planned_cost(void *data, const double state[2], const double plan[], double gradient[]) {
    controller *c = data;
    double cost = NAN;
    c->calls++;
    ad_run(c->program, (const void *[]){ plan, state }, (void *[]){ &cost, gradient, NULL }, NULL);
    return cost;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    int64_t seed = 0;
    double time = 6;
    const char *to = NULL;
    demo_parse(argc, argv,
               "Swings up a pendulum whose motor is too weak to lift it at once. Each decision improves a plan of 2 s\n"
               "by the gradient of its cost.",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "time", "seconds that are simulated", DEMO_REAL, &time, 1, 1e4 },
                                { "export", "write cost and gradient to FILE.c and FILE.h", DEMO_TEXT, &to, 0, 0 },
                                { 0 } });
    ad_graph *g = ad_graph_new();
    ad_var *plan = ad_name(ad_param(g, AD_F64, NULL, AD_SHAPE(PENDULUM_PLAN)), "plan");
    ad_var *state = ad_name(ad_tensor(g, AD_F64, (double[]){ 3, 0 }, AD_SHAPE(2)), "state"), *xs[] = { plan, state };
    ad_var *cost = cost_of(state, plan);
    controller c = { ad_compile_gradient(cost, 2, xs, (ad_compile_opts){ 0 }), 0 };
    if (to) ad_export_c(to, "cost", cost, 2, xs, (ad_export_opts){ .gradient = true });
    if (!ad_ok(g)) return demo_end(argv, g);
    double start = seconds_now(), away = pendulum_swing(time, planned_cost, &c, 1), took = seconds_now() - start;
    printf("largest angle in the last second: %.4f rad\n", away);
    fprintf(stderr, "the gradient is %s; %.1f us each, %.0f decisions a second\n", ad_program_how(c.program),
            1e6 * took / (double)c.calls, (double)c.calls / PENDULUM_ITERATIONS / took);
    return demo_end(argv, g);
}
