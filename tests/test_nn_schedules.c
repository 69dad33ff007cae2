/* test_nn_schedules.c: schedules against torch.optim's, with usual options and at the ends of these. */
#include "nn/optim/state.h"
#include "tests/optim.h"

/* ---- schedules -------------------------------------------------------------------------------------------- */

#define SCHEDULE(name, call)                                                                                           \
    static nn_schedule *schedule_##name(nn_optim *opt) { return call; }
SCHEDULE(step, nn_step_decay_lr(opt, 30, 0.1))
SCHEDULE(multistep, nn_multistep_lr(opt, 3, (int64_t[]){ 10, 40, 41 }, 0.5))
SCHEDULE(exponential, nn_exponential_lr(opt, 0.95))
SCHEDULE(linear, nn_linear_lr(opt, 0.25, 1, 20))
SCHEDULE(cosine, nn_cosine_lr(opt, 40, 0.01))
SCHEDULE(cosine_restarts, nn_cosine_restarts_lr(opt, 10, 2, 0.02))
SCHEDULE(one_cycle, nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 101, .keep_momentum = true }))
SCHEDULE(one_cycle_linear, nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 101, .pct_start = 0.4, .linear = true,
                                                                     .keep_momentum = true, .div_factor = 10, .final_div_factor = 100 }))
SCHEDULE(one_cycle_three, nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 101, .three_phase = true,
                                                                    .keep_momentum = true }))
SCHEDULE(warmup_then_cosine, nn_sequential_lr(nn_linear_lr(opt, 0.1, 1, 10), nn_cosine_lr(opt, 90, 0), 10))
SCHEDULE(plateau, nn_plateau_lr(opt, (nn_plateau_opts){ .factor = 0.5, .patience = 3, .cooldown = 2, .min_lr = 0.01 }))
SCHEDULE(plateau_max, nn_plateau_lr(opt, (nn_plateau_opts){ .patience = 2, .threshold = 0.2, .maximise = true,
                                                            .absolute = true }))

static double falling_then_flat(int i) { return fmax(10 - i, 4) + (i % 3 == 2 ? 0.5 : 0); }
static double rising_then_flat(int i) { return fmin(i / 10.0, 3); }

typedef struct {
    const char *name;
    nn_schedule *(*make)(nn_optim *opt);
    double (*metric)(int i);
} schedule_case;
static const schedule_case schedules[] = {
    { "step", schedule_step, NULL },
    { "multistep", schedule_multistep, NULL },
    { "exponential", schedule_exponential, NULL },
    { "linear", schedule_linear, NULL },
    { "cosine", schedule_cosine, NULL },
    { "cosine_restarts", schedule_cosine_restarts, NULL },
    { "one_cycle", schedule_one_cycle, NULL },
    { "one_cycle_linear", schedule_one_cycle_linear, NULL },
    { "one_cycle_three", schedule_one_cycle_three, NULL },
    { "warmup_then_cosine", schedule_warmup_then_cosine, NULL },
    { "plateau", schedule_plateau, falling_then_flat },
    { "plateau_max", schedule_plateau_max, rising_then_flat },
};

/* ---- the ends of the options of schedules ------------------------------------------------------------------- */

static double constant_metric(int i) { return (void)i, 1; }
static double zero_metric(int i) { return (void)i, 0; }
static double nan_metric(int i) { return (void)i, (double)NAN; }
static double infinite_metric(int i) { return (void)i, (double)INFINITY; }
static double slow_gains(int i) { return 5 - 1e-9 * i; }
static double some_nan(int i) { return i % 3 == 1 ? (double)NAN : 9.0 - i; }
static double negative_then_better(int i) { return -1.0 - (i < 10) * i; }
static double negative_rising(int i) { return -20.0 + (i < 12 ? i : 12); }

#define CYCLE(name, ...)                                                                                               \
    SCHEDULE(name, nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .keep_momentum = true, __VA_ARGS__ }))
#define PLATEAU(name, ...) SCHEDULE(name, nn_plateau_lr(opt, (nn_plateau_opts){ __VA_ARGS__ }))

SCHEDULE(step_of_one, nn_step_decay_lr(opt, 1, 0.9))
SCHEDULE(step_gamma_zero, nn_step_decay_lr(opt, 3, 0))
SCHEDULE(step_gamma_above_one, nn_step_decay_lr(opt, 7, 1.5))
SCHEDULE(multistep_at_zero, nn_multistep_lr(opt, 2, (int64_t[]){ 0, 3 }, 0.5))
SCHEDULE(multistep_one, nn_multistep_lr(opt, 1, (int64_t[]){ 1 }, 0))
SCHEDULE(exponential_one, nn_exponential_lr(opt, 1))
SCHEDULE(exponential_zero, nn_exponential_lr(opt, 0))
SCHEDULE(linear_one_step, nn_linear_lr(opt, 0.5, 1, 1))
SCHEDULE(linear_down_to_zero, nn_linear_lr(opt, 1, 0, 20))
SCHEDULE(linear_flat, nn_linear_lr(opt, 1, 1, 4))
SCHEDULE(cosine_of_one, nn_cosine_lr(opt, 1, 0.1))
SCHEDULE(cosine_beyond, nn_cosine_lr(opt, 7, 0))
SCHEDULE(cosine_up, nn_cosine_lr(opt, 20, 0.9))
SCHEDULE(restarts_of_one, nn_cosine_restarts_lr(opt, 1, 1, 0.1))
SCHEDULE(restarts_doubling, nn_cosine_restarts_lr(opt, 1, 2, 0))
SCHEDULE(restarts_equal, nn_cosine_restarts_lr(opt, 7, 1, 0.2))
CYCLE(one_cycle_of_one, .total_steps = 1)
CYCLE(one_cycle_of_two, .total_steps = 2)
CYCLE(one_cycle_of_three, .total_steps = 3)
CYCLE(one_cycle_low, .total_steps = 50, .pct_start = 0.001)
CYCLE(one_cycle_high, .total_steps = 50, .pct_start = 0.999, .linear = true)
CYCLE(one_cycle_flat, .total_steps = 50, .div_factor = 1, .final_div_factor = 1)
CYCLE(one_cycle_phases, .total_steps = 50, .three_phase = true, .pct_start = 0.45, .div_factor = 3)
SCHEDULE(two_in_a_row, nn_sequential_lr(nn_linear_lr(opt, 0.5, 1, 1), nn_exponential_lr(opt, 0.9), 1))
PLATEAU(plateau_defaults, 0)
PLATEAU(plateau_no_patience, .patience = AD_ZERO, .factor = 0.9)
PLATEAU(plateau_no_threshold, .patience = 1, .threshold = AD_ZERO)
PLATEAU(plateau_small_gains, .patience = 1)
PLATEAU(plateau_eps, .patience = AD_ZERO, .factor = 0.5, .eps = 0.1)
PLATEAU(plateau_min_above, .patience = AD_ZERO, .min_lr = 0.7)
PLATEAU(plateau_cooldown, .patience = AD_ZERO, .factor = 0.9, .cooldown = 4)
PLATEAU(plateau_nan, .patience = 2, .factor = 0.5)
PLATEAU(plateau_some_nan, .patience = 1, .factor = 0.5)
PLATEAU(plateau_negative_absolute, .patience = 2, .factor = 0.5, .absolute = true)
PLATEAU(plateau_max_absolute_negative, .patience = 2, .factor = 0.5, .absolute = true, .maximise = true)

#define EDGE(name, metric)                                                                                             \
    { #name, schedule_##name, metric }
static const schedule_case edges[] = {
    EDGE(step_of_one, NULL),
    EDGE(step_gamma_zero, NULL),
    EDGE(step_gamma_above_one, NULL),
    EDGE(multistep_at_zero, NULL),
    EDGE(multistep_one, NULL),
    EDGE(exponential_one, NULL),
    EDGE(exponential_zero, NULL),
    EDGE(linear_one_step, NULL),
    EDGE(linear_down_to_zero, NULL),
    EDGE(linear_flat, NULL),
    EDGE(cosine_of_one, NULL),
    EDGE(cosine_beyond, NULL),
    EDGE(cosine_up, NULL),
    EDGE(restarts_of_one, NULL),
    EDGE(restarts_doubling, NULL),
    EDGE(restarts_equal, NULL),
    EDGE(one_cycle_of_one, NULL),
    EDGE(one_cycle_of_two, NULL),
    EDGE(one_cycle_of_three, NULL),
    EDGE(one_cycle_low, NULL),
    EDGE(one_cycle_high, NULL),
    EDGE(one_cycle_flat, NULL),
    EDGE(one_cycle_phases, NULL),
    EDGE(two_in_a_row, NULL),
    EDGE(plateau_defaults, constant_metric),
    EDGE(plateau_no_patience, constant_metric),
    EDGE(plateau_no_threshold, slow_gains),
    EDGE(plateau_small_gains, slow_gains),
    EDGE(plateau_eps, constant_metric),
    EDGE(plateau_min_above, constant_metric),
    EDGE(plateau_cooldown, constant_metric),
    EDGE(plateau_nan, nan_metric),
    EDGE(plateau_some_nan, some_nan),
    { "plateau_infinite", schedule_plateau_nan, infinite_metric },
    EDGE(plateau_negative_absolute, negative_then_better),
    EDGE(plateau_max_absolute_negative, negative_rising),
    { "plateau_zero", schedule_plateau_some_nan, zero_metric },
};

/* The rates of the first steps, as many as the file has. */
static void assert_rates(const char *file, const schedule_case *c) {
    double expected[MOST];
    int n = reference_row(file, c->name, expected, MOST);
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.5 });
    nn_schedule *s = c->make(opt);
    assert_ok(p.g);
    for (int i = 0; i < n; i++) {
        assert_close_in(c->name, nn_lr(opt), expected[i], 1e-12);
        assert_int_equal(nn_schedule_step(s, c->metric ? c->metric(i) : 0), AD_OK);
    }
    assert_ok(p.g);
    ad_graph_free(p.g);
}

static void schedules_are_as_in_torch(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) assert_rates("schedules", &schedules[k]);
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) assert_rates("schedule_edges", &edges[k]);
}

/* The last of an optimiser's states is its last group's momentum. */
static double momentum_of(nn_optim *opt) {
    nn__state s = nn__optim_state_at(opt, nn__optim_state_count(opt) - 1);
    assert_string_equal(s.name, "group0.momentum");
    return *s.number;
}

/* Ten steps of a warm-up, which does not change the momentum; then a cycle whose rate is highest at its step 5. */
static void a_cycle_moves_the_momentum_when_its_turn_comes(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ .lr = 0.1, .beta1 = 0.6 });
    nn_schedule *up = nn_linear_lr(opt, 0.1, 1, 10);
    nn_schedule *round = nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 11, .pct_start = 6 / 11.0 });
    opt->group[0].momentum = 0.6; /* making the cycle set the momentum of the cycle's start */
    nn_schedule *s = nn_sequential_lr(up, round, 10);
    for (int t = 0; t <= 20; t++) {
        double expected = t < 10 ? 0.6 : t == 10 || t == 20 ? 0.95 : t == 15 ? 0.85 : momentum_of(opt);
        assert_close(momentum_of(opt), expected, 1e-14);
        nn_schedule_step(s, 0);
    }
    assert_ok(p.g);
    ad_graph_free(p.g);
}

/* Rates and momenta are finite however few steps a phase has. */
static void short_cycles_are_finite(void **state) {
    (void)state;
    const struct {
        int64_t total;
        double pct;
        bool three;
    } cases[] = { { 10, 0.1, false }, { 2, 0.5, false }, { 20, 0.05, false }, { 1, 0.3, false },
                  { 10, 0.1, true },  { 5, 0.2, true },  { 1, 0.3, true },    { 3, 0.01, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem p = problem_new(AD_F64);
        nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ .lr = 0.5 });
        nn_schedule *s = nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = cases[i].total,
                                                                   .pct_start = cases[i].pct,
                                                                   .three_phase = cases[i].three });
        assert_ok(p.g);
        for (int t = 0; t <= 21; t++, nn_schedule_step(s, 0))
            assert_true(nn_lr(opt) > 0 && nn_lr(opt) <= 0.5 * (1 + 1e-12) && isfinite(opt->group[0].momentum));
        assert_close(nn_lr(opt), 0.5 / 25 / 1e4, 1e-15);
        ad_graph_free(p.g);
    }
}

static void plateau_sees_that_a_negative_metric_stays(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 1 });
    nn_schedule *s = nn_plateau_lr(opt, (nn_plateau_opts){ .patience = 2 });
    for (int i = 0; i < 4; i++) {
        assert_true(nn_lr(opt) == 1);
        nn_schedule_step(s, -1);
    }
    assert_close(nn_lr(opt), 0.1, 1e-15);
    for (int i = 0; i < 4; i++) nn_schedule_step(s, -2 - i); /* better each time */
    assert_close(nn_lr(opt), 0.1, 1e-15);
    ad_graph_free(p.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_are_as_in_torch),
        cmocka_unit_test(a_cycle_moves_the_momentum_when_its_turn_comes),
        cmocka_unit_test(short_cycles_are_finite),
        cmocka_unit_test(plateau_sees_that_a_negative_metric_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
