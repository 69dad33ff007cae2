/* test_nn_optim.c: optimisers against torch.optim's, their options, groups and errors; clipping of gradients. */
#include "nn/kernels/vector.h"
#include "nn/optim/state.h"
#include "tests/optim.h"

/* ---- what torch.optim makes of a fixed problem: see tests/reference/optim.py ---------------------------- */

enum { STEPS = 100 };

typedef struct {
    const char *name;
    nn_optim *(*make)(nn_module *m);
    enum { NOTHING, CLIP_NORM, CLIP_VALUE, GROUPS, EXPONENTIAL, GROUPS_COSINE, ONE_CYCLE, ONE_CYCLE_THREE } more;
} run;

RUN(sgd, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02 }))
RUN(sgd_decay, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02, .weight_decay = 0.1 }))
RUN(sgd_momentum, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02, .momentum = 0.9 }))
RUN(sgd_nesterov, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02, .momentum = 0.8, .weight_decay = 0.05, .nesterov = true }))
RUN(sgd_dampening, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02, .momentum = 0.7, .dampening = 0.5, .weight_decay = 0.3 }))
RUN(adam_defaults, nn_adam(m, (nn_adam_opts){ 0 }))
RUN(adam, nn_adam(m, (nn_adam_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1 }))
RUN(adam_amsgrad, nn_adam(m, (nn_adam_opts){ .lr = 0.05, .amsgrad = true }))
RUN(adam_fast, nn_adam(m, (nn_adam_opts){ .lr = 0.05 }))
RUN(adamw_defaults, nn_adamw(m, (nn_adam_opts){ 0 }))
RUN(adamw, nn_adamw(m, (nn_adam_opts){ .lr = 0.02, .beta1 = 0.7, .beta2 = 0.9, .weight_decay = 0.2 }))
RUN(adamw_amsgrad, nn_adamw(m, (nn_adam_opts){ .lr = 0.05, .amsgrad = true }))
RUN(rmsprop_defaults, nn_rmsprop(m, (nn_rmsprop_opts){ 0 }))
RUN(rmsprop, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.001, .alpha = 0.9, .eps = 1e-5, .weight_decay = 0.1 }))
RUN(rmsprop_centered, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.02, .centered = true }))
RUN(rmsprop_momentum, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.005, .momentum = 0.8 }))
RUN(rmsprop_all, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.002, .alpha = 0.95, .momentum = 0.5, .centered = true,
                                                  .weight_decay = 0.05 }))
RUN(adagrad_defaults, nn_adagrad(m, (nn_adagrad_opts){ 0 }))
RUN(adagrad, nn_adagrad(m, (nn_adagrad_opts){ .lr = 0.1, .lr_decay = 0.01, .weight_decay = 0.1,
                                              .initial_accumulator_value = 0.5 }))
RUN(adadelta_defaults, nn_adadelta(m, (nn_adadelta_opts){ 0 }))
RUN(adadelta, nn_adadelta(m, (nn_adadelta_opts){ .lr = 0.1, .rho = 0.8, .eps = 1e-4, .weight_decay = 0.1 }))
RUN(adamax_defaults, nn_adamax(m, (nn_adamax_opts){ 0 }))
RUN(adamax, nn_adamax(m, (nn_adamax_opts){ .lr = 0.02, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6, .weight_decay = 0.1 }))
RUN(nadam_defaults, nn_nadam(m, (nn_nadam_opts){ 0 }))
RUN(nadam, nn_nadam(m, (nn_nadam_opts){ .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1,
                                        .momentum_decay = 0.01 }))
RUN(lion_defaults, nn_lion(m, (nn_lion_opts){ 0 }))
RUN(lion, nn_lion(m, (nn_lion_opts){ .lr = 0.01, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1 }))
RUN(sgd_half, nn_sgd(m, (nn_sgd_opts){ .lr = 0.02, .momentum = 0.5 }))
RUN(rmsprop_third, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.005, .momentum = 0.3 }))
RUN(adamax_fast, nn_adamax(m, (nn_adamax_opts){ .lr = 0.05 }))
RUN(nadam_fast, nn_nadam(m, (nn_nadam_opts){ .lr = 0.05 }))
RUN(lion_fast, nn_lion(m, (nn_lion_opts){ .lr = 0.01 }))

#define PLAIN(name) { #name, make_##name, NOTHING }
static const run runs[] = {
    PLAIN(sgd), PLAIN(sgd_decay), PLAIN(sgd_momentum), PLAIN(sgd_nesterov), PLAIN(sgd_dampening),
    PLAIN(adam_defaults), PLAIN(adam), PLAIN(adam_amsgrad), PLAIN(adamw_defaults), PLAIN(adamw), PLAIN(adamw_amsgrad),
    PLAIN(rmsprop_defaults), PLAIN(rmsprop), PLAIN(rmsprop_centered), PLAIN(rmsprop_momentum), PLAIN(rmsprop_all),
    PLAIN(adagrad_defaults), PLAIN(adagrad), PLAIN(adadelta_defaults), PLAIN(adadelta), PLAIN(adamax_defaults),
    PLAIN(adamax), PLAIN(nadam_defaults), PLAIN(nadam), PLAIN(lion_defaults), PLAIN(lion),
    { "sgd_clip_norm", make_sgd_momentum, CLIP_NORM },
    { "sgd_clip_value", make_sgd_momentum, CLIP_VALUE },
    { "sgd_groups", make_sgd_momentum, GROUPS },
    { "adam_groups", make_adam_fast, GROUPS },
    { "adam_exponential", make_adam_fast, EXPONENTIAL },
    { "adam_groups_cosine", make_adam_fast, GROUPS_COSINE },
    { "sgd_one_cycle", make_sgd_half, ONE_CYCLE },
    { "adam_one_cycle", make_adam_fast, ONE_CYCLE_THREE },
    { "rmsprop_one_cycle", make_rmsprop_third, ONE_CYCLE },
    { "adamax_one_cycle", make_adamax_fast, ONE_CYCLE },
    { "nadam_one_cycle", make_nadam_fast, ONE_CYCLE },
    { "lion_one_cycle", make_lion_fast, ONE_CYCLE },
};

static ad_var *problem_loss(const problem *p, bool with_v) {
    ad_var *loss = ad_sum(ad_mul(p->c, ad_square(ad_sub(p->w, p->t))));
    return with_v ? ad_add(loss, ad_mean(ad_square(ad_adds(p->v, -0.7)))) : loss;
}

/* The problem of tests/reference/optim.py. */
static ad_var *reference_loss(const problem *p, bool with_v) {
    ad_var *bowl = ad_mul(p->c, ad_square(ad_sub(p->w, p->t)));
    ad_var *loss = ad_sum(ad_add(bowl, ad_muls(ad_sin(ad_muls(p->w, 5)), 0.5)));
    if (!with_v) return loss;
    ad_var *bond = ad_mul(ad_select(p->w, 0, 0), ad_select(p->v, 0, 1));
    return ad_add(ad_add(loss, ad_mean(ad_square(ad_adds(p->v, -0.7)))), ad_muls(bond, 0.1));
}

static void take_steps(const problem *p, const run *r, int steps) {
    nn_optim *opt = r->make(p->m);
    nn_schedule *schedule = NULL;
    if (r->more == GROUPS || r->more == GROUPS_COSINE)
        assert_int_equal(nn_group(opt, (nn_group_opts){ .ending = "v", .lr = 0.03, .weight_decay = 0.2 }), 1);
    if (r->more == EXPONENTIAL) schedule = nn_exponential_lr(opt, 0.97);
    if (r->more == ONE_CYCLE) schedule = nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = STEPS + 1 });
    if (r->more == ONE_CYCLE_THREE)
        schedule = nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = STEPS + 1, .three_phase = true, .linear = true,
                                                             .pct_start = 0.4, .base_momentum = 0.7, .max_momentum = 0.9 });
    if (r->more == GROUPS_COSINE) schedule = nn_cosine_lr(opt, 60, 1e-3);
    for (int i = 0; i < steps; i++) {
        ad_mark m = ad_begin(p->g);
        nn_zero_grad(opt);
        ad_backward(reference_loss(p, i >= 10));
        if (r->more == CLIP_NORM) nn_clip_grad_norm(p->m, 0.5);
        if (r->more == CLIP_VALUE) nn_clip_grad_value(p->m, 0.25);
        assert_int_equal(nn_step(opt), AD_OK);
        nn_schedule_step(schedule, 0);
        ad_end(p->g, m);
    }
}

static void optimisers_are_as_in_torch(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        double expected[MOST];
        assert_int_equal(reference_row("optim", runs[r].name, expected, MOST), 5);
        problem p = problem_new(AD_F64);
        take_steps(&p, &runs[r], STEPS);
        assert_ok(p.g);
        for (int k = 0; k < 3; k++) assert_close_in(runs[r].name, ad_at(p.w, k), expected[k], 1e-10);
        for (int k = 0; k < 2; k++) assert_close_in(runs[r].name, ad_at(p.v, k), expected[3 + k], 1e-10);
        ad_graph_free(p.g);
    }
}

/* Only a few steps: near the minimum, division by the size of the gradients magnifies their rounding. */
static void float_steps_are_as_double_ones(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        problem narrow = problem_new(AD_F32), wide = problem_new(AD_F64);
        take_steps(&narrow, &runs[r], 15);
        take_steps(&wide, &runs[r], 15);
        for (int k = 0; k < 3; k++) assert_close_in(runs[r].name, ad_at(narrow.w, k), ad_at(wide.w, k), 1e-5);
        for (int k = 0; k < 2; k++) assert_close_in(runs[r].name, ad_at(narrow.v, k), ad_at(wide.v, k), 1e-5);
        ad_graph_free(narrow.g);
        ad_graph_free(wide.g);
    }
}

/* ---- L-BFGS ------------------------------------------------------------------------------------------------ */

static void lbfgs_is_as_in_torch(void **state) {
    (void)state;
    static const struct {
        const char *name;
        nn_lbfgs_opts o;
    } cases[] = { { "defaults", { .max_iter = 20 } },
                  { "short", { .max_iter = 3, .history_size = 2 } },
                  { "slow", { .lr = 0.1, .max_iter = 4, .max_eval = 6 } },
                  { "one", { .max_iter = 1 } },
                  { "far", { .lr = 30, .max_iter = 2 } } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double expected[MOST], loss;
        int n = reference_row("lbfgs", cases[c].name, expected, MOST) / 7;
        ad_graph *g = ad_graph_new();
        rosenbrock_in_two r = rosenbrock_new(g, AD_F64);
        nn_optim *opt = nn_lbfgs(r.m, cases[c].o);
        for (int i = 0; i < n; i++) {
            const double *e = expected + 7 * i;
            assert_int_equal(nn_step_closure(opt, rosenbrock_of_two, &r, &loss), AD_OK);
            assert_true(fabs(loss - e[0]) <= 1e-10 * fabs(e[0]) + 1e-10);
            for (int k = 0; k < 2; k++) assert_close_in(cases[c].name, ad_at(r.head, k), e[1 + k], 1e-10);
            for (int k = 0; k < 4; k++) assert_close_in(cases[c].name, ad_at(r.tail, k), e[3 + k], 1e-10);
        }
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* ---- steps, options and errors ----------------------------------------------------------------------------- */

/* One step over sizes that do not fill a vector register, element by element. */
static void every_element_is_updated(void **state) {
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "row", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", ad_require_grad(ad_arange(g, AD_F32, 1, (double)n + 0.5, 1)));
        nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.5, .momentum = n % 2 ? 0.9 : 0 });
        ad_backward(ad_sum(ad_square(x))); /* the gradient is 2 x, so that the step is -x */
        nn_step(opt);
        assert_int_equal(ad_numel(x), n);
        for (int64_t i = 0; i < n; i++) assert_true(ad_at(x, i) == 0);
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void constants_stay(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "half", none_forward, 0);
    ad_var *frozen = nn_add_parameter(m, "frozen", ad_full(g, AD_F64, 2, AD_SCALAR));
    ad_set_requires_grad(frozen, false);
    ad_var *free_one = nn_add_parameter(m, "free", param_item(g, AD_F64, 3));
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .weight_decay = 0.5, .momentum = 0.9 });
    ad_backward(ad_mul(frozen, free_one));
    nn_step(opt);
    assert_true(ad_item(frozen) == 2);
    assert_close(ad_item(free_one), 3 - 0.1 * (2 + 0.5 * 3), 1e-15);
    ad_graph_free(g);
}

static void zero_grad_reaches_every_parameter(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_backward(problem_loss(&p, true));
    assert_true(ad_grad_at(p.w, 0) != 0 && ad_grad_at(p.v, 1) != 0);
    nn_zero_grad(opt);
    for (int i = 0; i < 3; i++) assert_true(ad_grad_at(p.w, i) == 0);
    for (int i = 0; i < 2; i++) assert_true(ad_grad_at(p.v, i) == 0);
    assert_true(ad_grad_at(p.c, 0) != 0); /* none of the module's */
    nn_step(opt);
    assert_true(ad_at(p.w, 0) == 0.5 && ad_at(p.v, 0) == 3);
    ad_graph_free(p.g);
}

static void backward_after_a_step_asks_for_eval(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_var *loss = problem_loss(&p, true);
    ad_backward(loss);
    nn_step(opt);
    assert_int_equal(ad_backward(loss), AD_ESTALE);
    ad_clear_error(p.g);
    double before = ad_item(loss);
    assert_int_equal(ad_eval(loss), AD_OK);
    assert_true(ad_item(loss) < before);
    assert_int_equal(ad_backward(loss), AD_OK);
    ad_graph_free(p.g);
}

static void a_step_after_an_error_changes_nothing(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    ad_backward(problem_loss(&p, true));
    ad_fail(p.g, AD_ESHAPE, "something");
    assert_int_equal(nn_step(opt), AD_ESHAPE);
    assert_true(ad_at(p.w, 0) == 0.5);
    ad_clear_error(p.g);
    assert_int_equal(nn_step(opt), AD_OK);
    assert_true(ad_at(p.w, 0) != 0.5);
    ad_graph_free(p.g);
}

static void the_rate_can_be_changed(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    assert_true(nn_lr(opt) == 0.1);
    nn_set_lr(opt, 0.25);
    ad_backward(problem_loss(&p, false)); /* dw[0] = 2 (0.5 - 1) */
    nn_step(opt);
    assert_true(ad_at(p.w, 0) == 0.75);
    nn_set_lr(opt, -1);
    assert_string_equal(ad_error(p.g), "set_lr: lr -1: it must be a finite number, 0 or more");
    assert_true(nn_lr(opt) == 0.25);
    ad_clear_error(p.g);
    nn_set_lr(opt, 0);
    assert_true(nn_lr(opt) == 0 && ad_ok(p.g));
    ad_graph_free(p.g);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    static const struct {
        nn_sgd_opts o;
        const char *message;
    } bad[] = {
        { { 0 }, "sgd: lr 0: it must be a finite number above 0" },
        { { .lr = -0.1 }, "sgd: lr -0.1: it must be a finite number above 0" },
        { { .lr = INFINITY }, "sgd: lr inf: it must be a finite number above 0" },
        { { .lr = 0.1, .momentum = -1 }, "sgd: momentum -1: it must be a finite number, 0 or more" },
        { { .lr = 0.1, .weight_decay = -2 }, "sgd: weight_decay -2: it must be a finite number, 0 or more" },
        { { .lr = 0.1, .nesterov = true }, "sgd: nesterov needs a momentum above 0, and no dampening" },
        { { .lr = 0.1, .momentum = 0.9, .dampening = 0.1, .nesterov = true },
          "sgd: nesterov needs a momentum above 0, and no dampening" },
    };
    problem p = problem_new(AD_F64);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(nn_sgd(p.m, bad[i].o));
        assert_string_equal(ad_error(p.g), bad[i].message);
        assert_int_equal(ad_error_code(p.g), AD_EVALUE);
        ad_clear_error(p.g);
    }
    ad_graph_free(p.g);
}

static void every_optimiser_refuses_bad_options(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
#define REFUSES(call, message)                                                                                         \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        assert_string_equal(ad_error(p.g), message);                                                                   \
        ad_clear_error(p.g);                                                                                           \
    } while (0)
    REFUSES(nn_adam(p.m, (nn_adam_opts){ .lr = -1 }), "adam: lr -1: it must be a finite number above 0");
    REFUSES(nn_adam(p.m, (nn_adam_opts){ .beta1 = 1 }), "adam: beta1 1: it must be 0 or more, and below 1");
    REFUSES(nn_adamw(p.m, (nn_adam_opts){ .beta2 = -0.1 }), "adamw: beta2 -0.1: it must be 0 or more, and below 1");
    REFUSES(nn_rmsprop(p.m, (nn_rmsprop_opts){ .alpha = 2 }), "rmsprop: alpha 2: it must be 0 or more, and below 1");
    REFUSES(nn_adagrad(p.m, (nn_adagrad_opts){ .lr_decay = -1 }),
            "adagrad: lr_decay -1: it must be a finite number, 0 or more");
    REFUSES(nn_adadelta(p.m, (nn_adadelta_opts){ .rho = NAN }), "adadelta: rho nan: it must be 0 or more, and below 1");
    REFUSES(nn_adamax(p.m, (nn_adamax_opts){ .eps = -1 }), "adamax: eps -1: it must be a finite number, 0 or more");
    REFUSES(nn_nadam(p.m, (nn_nadam_opts){ .momentum_decay = -1 }),
            "nadam: momentum_decay -1: it must be a finite number, 0 or more");
    REFUSES(nn_lion(p.m, (nn_lion_opts){ .weight_decay = -1 }),
            "lion: weight_decay -1: it must be a finite number, 0 or more");
    REFUSES(nn_lbfgs(p.m, (nn_lbfgs_opts){ .max_iter = -1 }), "lbfgs: max_iter -1: it must be a finite number, 1 or more");
    nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ 0 });
    REFUSES(nn_step_decay_lr(opt, 0, 0.5), "step_decay_lr: step_size 0: it must be a finite number, 1 or more");
    REFUSES(nn_exponential_lr(opt, -1), "exponential_lr: gamma -1: it must be a finite number, 0 or more");
    REFUSES(nn_multistep_lr(opt, 2, (int64_t[]){ 5, 3 }, 0.5),
            "multistep_lr: milestone 3 comes after 5; they must be in rising order");
    REFUSES(nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 10, .pct_start = 1 }),
            "one_cycle_lr: pct_start 1: it must be above 0 and below 1");
    REFUSES(nn_one_cycle_lr(nn_sgd(p.m, (nn_sgd_opts){ .lr = 1 }), (nn_one_cycle_opts){ .total_steps = 10 }),
            "one_cycle_lr: sgd has no momentum to change; give it one, or set keep_momentum");
    REFUSES(nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 10, .max_momentum = 1 }),
            "one_cycle_lr: max_momentum 1: it must be 0 or more, and below 1");
    REFUSES(nn_plateau_lr(opt, (nn_plateau_opts){ .factor = 2 }),
            "plateau_lr: factor 2: it must be above 0 and below 1");
    REFUSES(nn_adamw(p.m, (nn_adam_opts){ .weight_decay = -1 }),
            "adamw: weight_decay -1: it must be a finite number, 0 or more");
    REFUSES(nn_sgd(p.m, (nn_sgd_opts){ .lr = AD_ZERO }), "sgd: lr 0: it must be a finite number above 0");
    REFUSES(nn_sgd(p.m, (nn_sgd_opts){ .lr = 1, .dampening = NAN }),
            "sgd: dampening nan: it must be a finite number, 0 or more");
    REFUSES(nn_lbfgs(p.m, (nn_lbfgs_opts){ .history_size = AD_ZERO }),
            "lbfgs: history_size 0: it must be a finite number, 1 or more");
    REFUSES(nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 10, .pct_start = AD_ZERO }),
            "one_cycle_lr: pct_start 0: it must be above 0 and below 1");
    REFUSES(nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 10, .div_factor = AD_ZERO }),
            "one_cycle_lr: div_factor 0: it must be a finite number above 0");
    REFUSES(nn_plateau_lr(opt, (nn_plateau_opts){ .patience = -1 }),
            "plateau_lr: patience -1: it must be a finite number, 0 or more");
    REFUSES(nn_plateau_lr(opt, (nn_plateau_opts){ .cooldown = -2 }),
            "plateau_lr: cooldown -2: it must be a finite number, 0 or more");
    assert_int_equal(nn_step_closure(opt, NULL, NULL, NULL), AD_EVALUE);
    assert_string_equal(ad_error(p.g), "step_closure: no function is given that builds the loss");
    ad_clear_error(p.g);
    nn_schedule *other = nn_exponential_lr(nn_adam(p.m, (nn_adam_opts){ 0 }), 1), *one = nn_exponential_lr(opt, 1);
    REFUSES(nn_sequential_lr(one, other, 5), "sequential_lr: the two schedules belong to two optimisers");
    REFUSES(nn_sequential_lr(one, nn_plateau_lr(opt, (nn_plateau_opts){ 0 }), 5),
            "sequential_lr: plateau cannot be part of it; call nn_schedule_step on both");
#undef REFUSES
    ad_graph_free(p.g);
}

/* As modules_of_closed_scopes_are_noticed of test_nn_modules.c. */
static void optimisers_of_closed_scopes_are_noticed(void **state) {
    (void)state;
#ifndef SANITIZED
    problem p = problem_new(AD_F64);
    ad_mark mark = ad_begin(p.g);
    nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ 0 });
    nn_schedule *s = nn_exponential_lr(opt, 0.9);
    ad_end(p.g, mark);
#define SAYS(call, text)                                                                                               \
    do {                                                                                                               \
        call;                                                                                                          \
        assert_string_equal(ad_error(p.g), text " was made in a scope that is closed");                                \
        assert_int_equal(ad_error_code(p.g), AD_EGRAPH);                                                               \
        ad_clear_error(p.g);                                                                                           \
    } while (0)
    SAYS(assert_int_equal(nn_step(opt), AD_EGRAPH), "step: the optimiser");
    SAYS(assert_int_equal(nn_step_closure(opt, rosenbrock, NULL, NULL), AD_EGRAPH), "step_closure: the optimiser");
    SAYS(nn_zero_grad(opt), "zero_grad: the optimiser");
    SAYS(nn_set_lr(opt, 1), "set_lr: the optimiser");
    SAYS(assert_int_equal(nn_group(opt, (nn_group_opts){ 0 }), AD_EGRAPH), "group: the optimiser");
    SAYS(assert_null(nn_cosine_lr(opt, 5, 0)), "cosine_lr: the optimiser");
    SAYS(assert_int_equal(nn_schedule_step(s, 0), AD_EGRAPH), "schedule_step: the schedule");
    SAYS(assert_null(nn_sequential_lr(s, s, 5)), "sequential_lr: the schedule");
    for (int i = 0; i < 100; i++) ad_adds(p.w, 1); /* uses the memory again: the graph cannot be found any more */
    assert_int_equal(nn_step(opt), AD_EGRAPH);
    assert_int_equal(nn_schedule_step(s, 0), AD_EGRAPH);
#undef SAYS
    ad_graph_free(p.g);
#endif
}

static void groups_have_their_own_rates(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.1 });
    assert_int_equal(nn_group(opt, (nn_group_opts){ .part = p.m, .pattern = "?", .ending = "v" }), 1);
    assert_int_equal(nn_group_count(opt), 2);
    assert_true(nn_group_lr(opt, 0) == 0.1 && nn_group_lr(opt, 1) == 0.1 && isnan(nn_group_lr(opt, 2)));
    nn_set_group_lr(opt, 1, 0.5);
    ad_backward(ad_add(ad_sum(p.w), ad_sum(p.v)));
    nn_step(opt);
    assert_close(ad_at(p.w, 0), 0.5 - 0.1, 1e-15);
    assert_close(ad_at(p.v, 0), 3 - 0.5, 1e-15);
    assert_true(nn_group(opt, (nn_group_opts){ .ending = "no such" }) < 0);
    assert_contains(ad_error(p.g), "no parameter of the optimiser is among them");
    ad_clear_error(p.g);
    for (int i = 2; i < 8; i++) assert_int_equal(nn_group(opt, (nn_group_opts){ .ending = "w" }), i);
    assert_true(nn_group(opt, (nn_group_opts){ .ending = "w" }) < 0);
    assert_string_equal(ad_error(p.g), "group: sgd has 7 groups already, which is the most");
    ad_graph_free(p.g);
}

static void clipping_by_norm(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        problem p = problem_new(t);
        ad_backward(ad_add(ad_sum(ad_muls(p.w, 2)), ad_sum(ad_muls(p.v, -1)))); /* norm sqrt(3 4 + 2) */
        double norm = sqrt(14);
        assert_close(nn_clip_grad_norm(p.m, 100), norm, tolerance(t));
        assert_true(ad_grad_at(p.w, 0) == 2 && ad_grad_at(p.v, 1) == -1);
        assert_close(nn_clip_grad_norm(p.m, 0.5), norm, tolerance(t));
        assert_close(ad_grad_at(p.w, 2), 2 * 0.5 / norm, 1e-6);
        assert_close(ad_grad_at(p.v, 1), -0.5 / norm, 1e-6);
        nn_clip_grad_value(p.m, 0.2);
        assert_close(ad_grad_at(p.w, 2), 0.2, tolerance(t));
        assert_close(ad_grad_at(p.v, 1), -0.5 / norm, 1e-6);
        ad_zero_grad(p.w);
        ad_backward(ad_mul(ad_select(p.w, 0, 0), ad_scalar(p.g, t, INFINITY)));
        assert_true(isinf(nn_clip_grad_norm(p.m, 0.1)));
        assert_close(ad_grad_at(p.v, 1), -0.5 / norm, 1e-6); /* as it was */
        assert_true(isnan(nn_clip_grad_norm(p.m, 0)));
        assert_string_equal(ad_error(p.g), "clip_grad_norm: limit 0: it must be above 0");
        ad_graph_free(p.g);
    }
}

/* Compared with the norm in long double, of parts of the largest element: valgrind's long double is a double. */
static void clipping_of_any_size(void **state) {
    (void)state;
    static const struct {
        ad_dtype t;
        double dx[3], limit;
    } cases[] = {
        { AD_F64, { 3e200, -4e200, 0 }, 1 },       { AD_F64, { 1e308, 1e308, -1e308 }, 1 },
        { AD_F64, { 1.7e308, 1.7e308, 1 }, 1e-10 }, { AD_F64, { 3e-200, 4e-200, 0 }, 1 },
        { AD_F64, { 3e-200, 4e-200, 0 }, 1e-250 },  { AD_F64, { 5e-324, 0, 0 }, 1 },
        { AD_F64, { 1e200, 1e-200, 1 }, 1e150 },    { AD_F64, { 3, 4, 0 }, 1e-200 },
        { AD_F64, { 3, 4, 0 }, 1e300 },             { AD_F64, { 0, 0, 0 }, 1 },
        { AD_F32, { 3e38, 3e38, -3e38 }, 1 },       { AD_F32, { 3e38, 3e38, -3e38 }, 1e-3 },
        { AD_F32, { 1e-38, 0, 0 }, 1 },             { AD_F32, { 1e30, 2e30, 3e30 }, 1e-8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "row", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", ad_zeros(g, cases[i].t, AD_SHAPE(3)));
        ad_backward_from(ad_muls(x, 1), param_of(g, cases[i].t, cases[i].dx, AD_SHAPE(3)));
        long double sum = 0, largest = 0;
        for (int k = 0; k < 3; k++) largest = fmaxl(largest, fabsl((long double)ad_grad_at(x, k)));
        for (int k = 0; k < 3 && largest > 0; k++) sum += powl((long double)ad_grad_at(x, k) / largest, 2);
        const double before[] = { ad_grad_at(x, 0), ad_grad_at(x, 1), ad_grad_at(x, 2) };
        double got = nn_clip_grad_norm(m, cases[i].limit);
        long double norm = largest * sqrtl(sum), ratio = cases[i].limit / (norm + 1e-6L);
        assert_relative(got, (double)norm, 1e-12);
        for (int k = 0; k < 3; k++) {
            double want = (double)(ratio < 1 ? before[k] * ratio : (long double)before[k]);
            bool normal = fabs(want) > (cases[i].t == AD_F32 ? 1e-36 : 1e-300);
            if (normal) assert_relative(ad_grad_at(x, k), want, cases[i].t == AD_F32 ? 1e-6 : 1e-12);
        }
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void gradients_that_are_not_finite_stay(void **state) {
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 6; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "row", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", ad_zeros(g, i % 2 ? AD_F32 : AD_F64, AD_SHAPE(2)));
        const double dx[] = { 1e30, bad[i / 2] };
        ad_backward_from(ad_muls(x, 1), param_of(g, ad_dtype_of(x), dx, AD_SHAPE(2)));
        assert_false(isfinite(nn_clip_grad_norm(m, 1)));
        assert_relative(ad_grad_at(x, 0), 1e30, 1e-6);
        assert_int_equal(nn_clip_grad_value(m, 2), AD_OK);
        assert_true(ad_grad_at(x, 0) == 2 && (i < 2 ? isnan(ad_grad_at(x, 1)) : fabs(ad_grad_at(x, 1)) == 2));
        ad_graph_free(g);
    }
}

/* The parts of the norm for rare sizes. */
static void norms_of_arrays(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, t, (double[]){ 3, -4, 1, 0.5 }, AD_SHAPE(4));
        assert_true(nn__array_sum_squares_times(t, 3, 0.5, ad_data(x)) == 26 / 4.0);
        assert_true(nn__array_largest(t, 4, ad_data(x)) == 4 && nn__array_largest(t, 0, ad_data(x)) == 0);
        set_all(x, (double[]){ 3, NAN, INFINITY, 1 });
        assert_true(isnan(nn__array_largest(t, 4, ad_data(x))));
        assert_true(isinf(nn__array_largest(t, 2, (const char *)ad_data(x) + 2 * ad_dtype_size(t))));
        ad_graph_free(g);
    }
}

static ad_var *row_of_nan_slope(void *data) {
    ad_var *x = data;
    return ad_sum(ad_sqrt(ad_mul(x, ad_zeros(ad_graph_of(x), AD_F64, AD_SHAPE(2)))));
}

/* The loss is 0 and its gradient is infinity times 0. */
static void lbfgs_does_not_take_nan_for_zero(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "row", none_forward, 0);
    ad_var *x = nn_add_parameter(m, "x", ad_ones(g, AD_F64, AD_SHAPE(2)));
    nn_optim *opt = nn_lbfgs(m, (nn_lbfgs_opts){ 0 });
    assert_int_equal(nn_step_closure(opt, row_of_nan_slope, x, NULL), AD_EVALUE);
    assert_string_equal(ad_error(g), "lbfgs: the gradient is not finite where the step begins");
    assert_true(ad_at(x, 0) == 1);
    ad_graph_free(g);
}

static void gradients_accumulate_over_minibatches(void **state) {
    (void)state;
    double moved[2];
    for (int parts = 0; parts < 2; parts++) {
        problem p = problem_new(AD_F64);
        nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ .lr = 0.1 });
        ad_var *x = ad_arange(p.g, AD_F64, 0, 12, 1);
        nn_zero_grad(opt);
        for (int i = 0; i < (parts ? 4 : 1); i++) {
            ad_var *rows = parts ? ad_narrow(x, 0, 3 * i, 3) : x;
            ad_var *loss = ad_mean(ad_square(ad_sub(ad_mul(rows, ad_select(p.w, 0, 0)), ad_adds(rows, 1))));
            ad_backward(ad_muls(loss, parts ? 1.0 / 4 : 1));
        }
        nn_step(opt);
        moved[parts] = ad_at(p.w, 0);
        assert_ok(p.g);
        ad_graph_free(p.g);
    }
    assert_true(moved[0] != 0.5);
    assert_close(moved[0], moved[1], 1e-12);
}

/* All state is listed: a new optimiser that gets a copy of it continues in the same way. */
static void state_can_be_moved_to_another_optimiser(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        problem a = problem_new(AD_F64), b = problem_new(AD_F64);
        nn_optim *from = runs[r].make(a.m), *to = runs[r].make(b.m);
        for (int i = 0; i < 40; i++) {
            if (i == 20) {
                assert_int_equal(nn__optim_state_count(from), nn__optim_state_count(to));
                ad_set(b.w, ad_data(a.w)), ad_set(b.v, ad_data(a.v));
                for (int k = 0; k < nn__optim_state_count(from); k++) {
                    nn__state s = nn__optim_state_at(from, k), d = nn__optim_state_at(to, k);
                    assert_string_equal(s.name, d.name);
                    assert_true((s.var == NULL) != (s.number == NULL));
                    if (s.var != NULL) ad_set(d.var, ad_data(s.var));
                    else *d.number = *s.number;
                }
            }
            nn_zero_grad(from), nn_zero_grad(to);
            ad_backward(reference_loss(&a, true));
            nn_step(from);
            if (i < 20) continue;
            ad_backward(reference_loss(&b, true));
            nn_step(to);
        }
        for (int k = 0; k < 3; k++) assert_true(ad_at(a.w, k) == ad_at(b.w, k));
        for (int k = 0; k < 2; k++) assert_true(ad_at(a.v, k) == ad_at(b.v, k));
        ad_graph_free(a.g);
        ad_graph_free(b.g);
    }
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ 0 });
    assert_string_equal(nn__optim_kind(opt), "adam");
    assert_string_equal(nn__optim_state_at(opt, 1).name, "w.exp_avg");
    assert_string_equal(nn__optim_state_at(opt, 6).name, "group0.lr");
    ad_graph_free(p.g);
}

static ad_var *failing(void *data) { return ad_fail(data, AD_EVALUE, "no loss"), NULL; }

static void lbfgs_survives_a_bad_loss(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    rosenbrock_in_two r = rosenbrock_new(g, AD_F32);
    nn_optim *opt = nn_lbfgs(r.m, (nn_lbfgs_opts){ 0 });
    assert_int_equal(nn_step(opt), AD_EVALUE);
    assert_contains(ad_error(g), "call nn_step_closure");
    ad_clear_error(g);
    assert_int_equal(nn_step_closure(opt, failing, g, NULL), AD_EVALUE);
    ad_clear_error(g);
    assert_true(ad_at(r.head, 0) == (double)(float)-1.2);
    double loss = 0;
    for (int i = 0; i < 20; i++) assert_int_equal(nn_step_closure(opt, rosenbrock_of_two, &r, &loss), AD_OK);
    assert_close(loss, 0, 1e-6);
    assert_close(ad_at(r.tail, 3), 1, 1e-3);
    ad_graph_free(g);
}

/* log x + 1 / x has its minimum at 1 and is not defined below 0, where the first trial steps lead. */
static ad_var *with_an_edge(void *data) { return ad_add(ad_log(data), ad_reciprocal(data)); }

static void lbfgs_turns_back_from_an_edge(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "edge", none_forward, 0);
    ad_var *x = nn_add_parameter(m, "x", param_item(g, AD_F64, 1.6));
    nn_optim *opt = nn_lbfgs(m, (nn_lbfgs_opts){ .lr = 40 });
    for (int i = 0; i < 5; i++) assert_int_equal(nn_step_closure(opt, with_an_edge, x, NULL), AD_OK);
    assert_close(ad_item(x), 1, 1e-6);
    set_item(x, -1);
    assert_int_equal(nn_step_closure(opt, with_an_edge, x, NULL), AD_EVALUE);
    assert_string_equal(ad_error(g), "lbfgs: the loss is not finite where the step begins");
    ad_graph_free(g);
}

static void null_is_ignored(void **state) {
    (void)state;
    assert_null(nn_sgd(NULL, (nn_sgd_opts){ .lr = 0.1 }));
    assert_int_not_equal(nn_step(NULL), AD_OK);
    nn_zero_grad(NULL);
    nn_set_lr(NULL, 1);
    assert_true(nn_lr(NULL) == 0);
    assert_null(nn_lbfgs(NULL, (nn_lbfgs_opts){ 0 }));
    assert_null(nn_adam(NULL, (nn_adam_opts){ 0 }));
    assert_null(nn_step_decay_lr(NULL, 1, 1));
    assert_null(nn_plateau_lr(NULL, (nn_plateau_opts){ 0 }));
    assert_null(nn_sequential_lr(NULL, NULL, 1));
    assert_int_not_equal(nn_schedule_step(NULL, 0), AD_OK);
    assert_int_not_equal(nn_step_closure(NULL, NULL, NULL, NULL), AD_OK);
    assert_true(isnan(nn_clip_grad_norm(NULL, 1)) && nn_clip_grad_value(NULL, 1) != AD_OK);
    assert_int_not_equal(nn_group(NULL, (nn_group_opts){ 0 }), AD_OK);
}

/* ---- groups by patterns of names --------------------------------------------------------------------------- */

/* Which parameters a pattern takes: those that a step moves by a rate of 1 and not of 1/2. */
static void patterns_choose_parameters(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *ending, *taken;
    } cases[] = {
        { "*", NULL, "0.weight 0.bias 1.0.weight 1.0.bias 2.weight 2.bias " },
        { NULL, NULL, "0.weight 0.bias 1.0.weight 1.0.bias 2.weight 2.bias " },
        { "*bias", NULL, "0.bias 1.0.bias 2.bias " },
        { "2.*", NULL, "2.weight 2.bias " },
        { "?.weight", NULL, "0.weight 2.weight " },
        { "*.weight", NULL, "0.weight 1.0.weight 2.weight " },
        { "[02].bias", NULL, "0.bias 2.bias " },
        { "[0-1].*", NULL, "0.weight 0.bias 1.0.weight 1.0.bias " },
        { "[!0].*", NULL, "1.0.weight 1.0.bias 2.weight 2.bias " },
        { "0.bias", NULL, "0.bias " },
        { "0.weight|*.0.bias|none", NULL, "0.weight 1.0.bias " },
        { "2.*|0.*", "bias", "0.bias 2.bias " },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        ad_graph *g = ad_graph_new();
        nn_module *m =
            nn_sequential(g, nn_linear(g, AD_F64, 1, 1, true), nn_sequential(g, nn_linear(g, AD_F64, 1, 1, true)),
                          nn_linear(g, AD_F64, 1, 1, true));
        nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.5 });
        nn_group_opts o = { .pattern = cases[c].pattern, .ending = cases[c].ending, .lr = 1 };
        assert_int_equal(nn_group(opt, o), 1);
        ad_var *sum = ad_scalar(g, AD_F64, 0);
        char taken[200] = "";
        for (int i = 0; i < 6; i++) {
            nn_init_constant(nn_parameter_at(m, i).var, 3);
            sum = ad_add(sum, ad_sum(nn_parameter_at(m, i).var));
        }
        assert_int_equal(ad_backward(sum), AD_OK);
        assert_int_equal(nn_step(opt), AD_OK);
        for (int i = 0; i < 6; i++) {
            double now = ad_at(nn_parameter_at(m, i).var, 0);
            assert_true(now == 2 || now == 2.5);
            if (now == 2) strcat(strcat(taken, nn_parameter_at(m, i).name), " ");
        }
        assert_string_equal(taken, cases[c].taken);
        static const char *const none[] = { "", "|", "3.*", "0", "bias", "*.weight.", "[0.*" };
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
            assert_int_equal(nn_group(opt, (nn_group_opts){ .pattern = none[i] }), AD_EVALUE);
            assert_contains(ad_error(g), "group: no parameter of the optimiser is among them");
            ad_clear_error(g);
        }
        ad_graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimisers_are_as_in_torch),
        cmocka_unit_test(float_steps_are_as_double_ones),
        cmocka_unit_test(lbfgs_is_as_in_torch),
        cmocka_unit_test(every_element_is_updated),
        cmocka_unit_test(constants_stay),
        cmocka_unit_test(zero_grad_reaches_every_parameter),
        cmocka_unit_test(backward_after_a_step_asks_for_eval),
        cmocka_unit_test(a_step_after_an_error_changes_nothing),
        cmocka_unit_test(the_rate_can_be_changed),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(every_optimiser_refuses_bad_options),
        cmocka_unit_test(optimisers_of_closed_scopes_are_noticed),
        cmocka_unit_test(groups_have_their_own_rates),
        cmocka_unit_test(patterns_choose_parameters),
        cmocka_unit_test(clipping_by_norm),
        cmocka_unit_test(clipping_of_any_size),
        cmocka_unit_test(gradients_that_are_not_finite_stay),
        cmocka_unit_test(norms_of_arrays),
        cmocka_unit_test(lbfgs_does_not_take_nan_for_zero),
        cmocka_unit_test(gradients_accumulate_over_minibatches),
        cmocka_unit_test(state_can_be_moved_to_another_optimiser),
        cmocka_unit_test(lbfgs_survives_a_bad_loss),
        cmocka_unit_test(lbfgs_turns_back_from_an_edge),
        cmocka_unit_test(null_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
