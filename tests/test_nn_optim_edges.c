/* test_nn_optim_edges.c: optimisers with extreme gradients, as torch.optim's, and with options of zero. */
#include "nn/optim/state.h"
#include "tests/optim.h"

/* ---- given gradients ------------------------------------------------------------------------------------------ */

/* Usual gradients, none, small, large, a NaN, an infinity, a huge one; each option of an optimiser at 0. */
RUN(given_sgd, nn_sgd(m, (nn_sgd_opts){ .lr = 0.1 }))
RUN(given_sgd_decay, nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .weight_decay = 0.1 }))
RUN(given_sgd_momentum, nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9 }))
RUN(given_sgd_dampening, nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .dampening = 1 }))
RUN(given_adam, nn_adam(m, (nn_adam_opts){ 0 }))
RUN(given_adam_beta1, nn_adam(m, (nn_adam_opts){ .beta1 = AD_ZERO }))
RUN(given_adam_beta2, nn_adam(m, (nn_adam_opts){ .beta2 = AD_ZERO }))
RUN(given_adam_betas, nn_adam(m, (nn_adam_opts){ .beta1 = AD_ZERO, .beta2 = AD_ZERO }))
RUN(given_adam_eps, nn_adam(m, (nn_adam_opts){ .eps = AD_ZERO }))
RUN(given_adam_amsgrad, nn_adam(m, (nn_adam_opts){ .amsgrad = true, .beta1 = AD_ZERO, .beta2 = AD_ZERO,
                     .eps = AD_ZERO }))
RUN(given_adamw_decay, nn_adamw(m, (nn_adam_opts){ .weight_decay = AD_ZERO }))
RUN(given_adamw_zeros, nn_adamw(m, (nn_adam_opts){ .beta1 = AD_ZERO, .beta2 = AD_ZERO, .eps = AD_ZERO,
                     .weight_decay = AD_ZERO }))
RUN(given_rmsprop, nn_rmsprop(m, (nn_rmsprop_opts){ 0 }))
RUN(given_rmsprop_alpha, nn_rmsprop(m, (nn_rmsprop_opts){ .alpha = AD_ZERO }))
RUN(given_rmsprop_eps, nn_rmsprop(m, (nn_rmsprop_opts){ .eps = AD_ZERO, .momentum = 0.5 }))
RUN(given_rmsprop_centered, nn_rmsprop(m, (nn_rmsprop_opts){ .centered = true, .eps = 1e-3 }))
RUN(given_adagrad, nn_adagrad(m, (nn_adagrad_opts){ 0 }))
RUN(given_adagrad_eps, nn_adagrad(m, (nn_adagrad_opts){ .eps = AD_ZERO }))
RUN(given_adadelta, nn_adadelta(m, (nn_adadelta_opts){ 0 }))
RUN(given_adadelta_rho, nn_adadelta(m, (nn_adadelta_opts){ .rho = AD_ZERO }))
RUN(given_adadelta_eps, nn_adadelta(m, (nn_adadelta_opts){ .eps = AD_ZERO }))
RUN(given_adamax, nn_adamax(m, (nn_adamax_opts){ 0 }))
RUN(given_adamax_betas, nn_adamax(m, (nn_adamax_opts){ .beta1 = AD_ZERO, .beta2 = AD_ZERO }))
RUN(given_adamax_eps, nn_adamax(m, (nn_adamax_opts){ .eps = AD_ZERO }))
RUN(given_nadam, nn_nadam(m, (nn_nadam_opts){ 0 }))
RUN(given_nadam_zeros, nn_nadam(m, (nn_nadam_opts){ .beta1 = AD_ZERO, .beta2 = AD_ZERO, .momentum_decay = AD_ZERO }))
RUN(given_nadam_eps, nn_nadam(m, (nn_nadam_opts){ .eps = AD_ZERO }))
RUN(given_lion, nn_lion(m, (nn_lion_opts){ 0 }))
RUN(given_lion_zeros, nn_lion(m, (nn_lion_opts){ .beta1 = AD_ZERO, .beta2 = AD_ZERO }))

static const struct {
    const char *name;
    nn_optim *(*make)(nn_module *m);
} given_runs[] = {
    { "sgd", make_given_sgd },
    { "sgd_decay", make_given_sgd_decay },
    { "sgd_momentum", make_given_sgd_momentum },
    { "sgd_dampening", make_given_sgd_dampening },
    { "adam", make_given_adam },
    { "adam_beta1", make_given_adam_beta1 },
    { "adam_beta2", make_given_adam_beta2 },
    { "adam_betas", make_given_adam_betas },
    { "adam_eps", make_given_adam_eps },
    { "adam_amsgrad", make_given_adam_amsgrad },
    { "adamw_decay", make_given_adamw_decay },
    { "adamw_zeros", make_given_adamw_zeros },
    { "rmsprop", make_given_rmsprop },
    { "rmsprop_alpha", make_given_rmsprop_alpha },
    { "rmsprop_eps", make_given_rmsprop_eps },
    { "rmsprop_centered", make_given_rmsprop_centered },
    { "adagrad", make_given_adagrad },
    { "adagrad_eps", make_given_adagrad_eps },
    { "adadelta", make_given_adadelta },
    { "adadelta_rho", make_given_adadelta_rho },
    { "adadelta_eps", make_given_adadelta_eps },
    { "adamax", make_given_adamax },
    { "adamax_betas", make_given_adamax_betas },
    { "adamax_eps", make_given_adamax_eps },
    { "nadam", make_given_nadam },
    { "nadam_zeros", make_given_nadam_zeros },
    { "nadam_eps", make_given_nadam_eps },
    { "lion", make_given_lion },
    { "lion_zeros", make_given_lion_zeros },
};

enum { GIVEN = 7 };

/* given() of tests/reference/optim.py. */
static void given_gradients(int i, double to[GIVEN]) {
    double usual = sin(1.7 * i + 0.3);
    const double all[GIVEN] = { usual,
                                0,
                                1e-9 * usual,
                                1e9 * usual,
                                i == 5 ? (double)NAN : usual,
                                i == 7 ? (double)INFINITY : usual,
                                i == 3 ? 1e150 : usual };
    memcpy(to, all, sizeof all);
}

static void extreme_gradients_are_as_in_torch(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof given_runs / sizeof *given_runs; r++) {
        double expected[MOST], dx[GIVEN];
        assert_int_equal(reference_row("given", given_runs[r].name, expected, MOST), GIVEN);
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_module_new(g, "row", none_forward, 0);
        ad_var *x = nn_add_parameter(m, "x", ad_param(g, AD_F64, (double[]){ 0.5, -1.5, 2, 1, -0.5, 0.25, 3 },
                                                      AD_SHAPE(GIVEN)));
        nn_optim *opt = given_runs[r].make(m);
        for (int i = 0; i < 20; i++) {
            given_gradients(i, dx);
            nn_zero_grad(opt);
            ad_mark mark = ad_begin(g);
            ad_backward_from(ad_muls(x, 1), ad_tensor(g, AD_F64, dx, AD_SHAPE(GIVEN)));
            ad_end(g, mark);
            assert_int_equal(nn_step(opt), AD_OK);
        }
        assert_ok(g);
        for (int k = 0; k < GIVEN; k++) assert_close_in(given_runs[r].name, ad_at(x, k), expected[k], 1e-10);
        ad_graph_free(g);
    }
}

/* ---- AD_ZERO: zero itself, where 0 stands for a default ------------------------------------------------------- */

/* x after the gradients g[0], g[1], ..., which are given and not computed. */
static double after_gradients(nn_optim *make(nn_module *m), int n, const double *g) {
    ad_graph *graph = ad_graph_new();
    nn_module *m = nn_module_new(graph, "one", none_forward, 0);
    ad_var *x = nn_add_parameter(m, "x", param_item(graph, AD_F64, 2));
    nn_optim *opt = make(m);
    for (int i = 0; i < n; i++) {
        nn_zero_grad(opt);
        ad_backward(ad_muls(x, g[i]));
        assert_int_equal(nn_step(opt), AD_OK);
    }
    assert_ok(graph);
    double end = ad_item(x);
    ad_graph_free(graph);
    return end;
}

RUN(sgd_zeros, nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = AD_ZERO, .dampening = AD_ZERO,
                                        .weight_decay = AD_ZERO }))
RUN(adam_beta1, nn_adam(m, (nn_adam_opts){ .lr = 0.1, .beta1 = AD_ZERO }))
RUN(adam_beta2, nn_adam(m, (nn_adam_opts){ .lr = 0.1, .beta2 = AD_ZERO, .eps = AD_ZERO, .weight_decay = AD_ZERO }))
RUN(adamw_zero, nn_adamw(m, (nn_adam_opts){ .lr = 0.1, .beta1 = AD_ZERO, .beta2 = AD_ZERO, .eps = AD_ZERO,
                                            .weight_decay = AD_ZERO }))
RUN(rmsprop_zero, nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.1, .alpha = AD_ZERO, .eps = AD_ZERO, .momentum = AD_ZERO,
                                                   .weight_decay = AD_ZERO }))
RUN(adagrad_zero, nn_adagrad(m, (nn_adagrad_opts){ .lr = 0.1, .lr_decay = AD_ZERO, .eps = AD_ZERO,
                                                   .initial_accumulator_value = AD_ZERO, .weight_decay = AD_ZERO }))
RUN(adadelta_zero, nn_adadelta(m, (nn_adadelta_opts){ .rho = AD_ZERO, .eps = 0.01, .weight_decay = AD_ZERO }))
RUN(adamax_zero, nn_adamax(m, (nn_adamax_opts){ .lr = 0.1, .beta1 = AD_ZERO, .beta2 = AD_ZERO, .eps = AD_ZERO,
                                                .weight_decay = AD_ZERO }))
RUN(nadam_zero, nn_nadam(m, (nn_nadam_opts){ .lr = 0.1, .beta2 = AD_ZERO, .eps = AD_ZERO, .weight_decay = AD_ZERO,
                                             .momentum_decay = AD_ZERO }))
RUN(lion_zero, nn_lion(m, (nn_lion_opts){ .lr = 0.1, .beta1 = AD_ZERO, .weight_decay = AD_ZERO }))

/* Gradients 1 and then -3, by hand. */
static void an_option_can_be_zero(void **state) {
    (void)state;
    const double g[] = { 1, -3 };
    assert_close(after_gradients(make_sgd_zeros, 2, g), 2 - 0.1 * (1 - 3), 1e-15);
    /* beta1 0: no mean of gradients. The mean of squares is (0.000999 1 + 0.001 9) / (1 - 0.999^2) at step 2. */
    double second = sqrt((0.999 * 0.001 + 0.001 * 9) / (1 - 0.999 * 0.999)) + 1e-8;
    assert_close(after_gradients(make_adam_beta1, 2, g), 2 - 0.1 / (1 + 1e-8) + 0.1 * 3 / second, 1e-14);
    /* beta2 0: the root is of the last square. The mean of gradients is (0.09 1 - 0.1 3) / (1 - 0.81). */
    assert_close(after_gradients(make_adam_beta2, 2, g), 2 - 0.1 - 0.1 * (0.09 - 0.3) / 0.19 / 3, 1e-14);
    /* Steps of 0.1 against the gradient's sign. */
    assert_close(after_gradients(make_adamw_zero, 2, g), 2 - 0.1 + 0.1, 1e-15);
    assert_close(after_gradients(make_rmsprop_zero, 1, g), 2 - 0.1, 1e-15);
    assert_close(after_gradients(make_adamax_zero, 1, g), 2 - 0.1, 1e-15);
    assert_close(after_gradients(make_lion_zero, 2, g), 2 - 0.1 + 0.1, 1e-15);
    assert_close(after_gradients(make_adagrad_zero, 2, g), 2 - 0.1 + 0.1 * 3 / sqrt(10), 1e-15);
    double u = 0.1 / sqrt(1.01), v = -3 * sqrt(u * u + 0.01) / sqrt(9.01);
    assert_close(after_gradients(make_adadelta_zero, 2, g), 2 - u - v, 1e-15);
    /* momentum_decay 0: mu is 0.45 at all steps. */
    double first = 0.1 * (0.45 * 0.1 / (1 - 0.45 * 0.45) + 0.55 / 0.55);
    assert_close(after_gradients(make_nadam_zero, 1, g), 2 - first, 1e-15);
}

static void groups_and_schedules_take_zero(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_optim *opt = nn_adam(p.m, (nn_adam_opts){ .lr = 0.5, .beta1 = AD_ZERO, .weight_decay = 0.1 });
    assert_int_equal(nn_group(opt, (nn_group_opts){ .ending = "v", .weight_decay = AD_ZERO }), 1);
    assert_int_equal(nn_group(opt, (nn_group_opts){ .ending = "v", .lr = AD_ZERO }), AD_EVALUE);
    assert_string_equal(ad_error(p.g), "group: lr 0: it must be a finite number above 0");
    ad_clear_error(p.g);
    /* beta1 0 is a momentum that a cycle can change. */
    nn_schedule *s = nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 11, .pct_start = 6 / 11.0,
                                                               .base_momentum = AD_ZERO });
    assert_true(opt->group[0].momentum == 0.95);
    for (int t = 0; t < 5; t++) nn_schedule_step(s, 0);
    assert_true(fabs(opt->group[0].momentum) < 1e-15 && nn_lr(opt) == 0.5);
    opt = nn_sgd(p.m, (nn_sgd_opts){ .lr = 0.5 });
    s = nn_plateau_lr(opt, (nn_plateau_opts){ .patience = AD_ZERO, .threshold = AD_ZERO, .cooldown = AD_ZERO,
                                              .min_lr = AD_ZERO, .eps = AD_ZERO });
    nn_schedule_step(s, 1);
    assert_true(nn_lr(opt) == 0.5);
    nn_schedule_step(s, 1); /* not better, and no patience */
    assert_close(nn_lr(opt), 0.05, 1e-15);
    rosenbrock_in_two r = rosenbrock_new(p.g, AD_F64);
    nn_optim *minimiser = nn_lbfgs(r.m, (nn_lbfgs_opts){ .tolerance_grad = AD_ZERO, .tolerance_change = AD_ZERO });
    for (int i = 0; i < 10; i++) assert_int_equal(nn_step_closure(minimiser, rosenbrock_of_two, &r, NULL), AD_OK);
    assert_close(ad_at(r.tail, 3), 1, 1e-12);
    assert_ok(p.g);
    ad_graph_free(p.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extreme_gradients_are_as_in_torch),
        cmocka_unit_test(an_option_can_be_zero),
        cmocka_unit_test(groups_and_schedules_take_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
