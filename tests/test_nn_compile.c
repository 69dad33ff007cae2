/* test_nn_compile.c: nn_fit by compiled programs beside the interpreter, and when it cannot compile. */
#define _XOPEN_SOURCE 700
#include <signal.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

/* Under an emulator the system's compiler makes code for another processor. */
static void need_compiler(void) {
    if (getenv("TEST_UNDER")) skip();
}

/* ---- problems ---------------------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn_loss_fn *loss;
    nn_dataset data;
    nn_fit_opts o;
    nn_training_state end;
} problem;

enum { ROWS = 45, BATCH = 10 };

static nn_dataset classes(ad_graph *g, ad_dtype t, ad_shape row, int n) {
    ad_shape s = { .ndim = row.ndim + 1, .dim = { ROWS } };
    memcpy(s.dim + 1, row.dim, (size_t)row.ndim * sizeof *row.dim);
    nn_dataset d = { ad_zeros(g, t, s), ad_zeros(g, t, AD_SHAPE(ROWS)) };
    for (int64_t i = 0; i < ad_numel(d.x); i++) ad_write_element(t, ad_data_mut(d.x), i, sin(1.7 * (double)i + 0.3));
    for (int i = 0; i < ROWS; i++) ad_write_element(t, ad_data_mut(d.y), i, i * i % n);
    return d;
}

typedef nn_module *make_net(ad_graph *g, ad_dtype t);

static nn_module *mlp(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_linear(g, t, 6, 8, true), nn_tanh(g), nn_linear(g, t, 8, 3, true));
}
static nn_module *with_dropout(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_linear(g, t, 6, 8, true), nn_relu(g), nn_dropout(g, 0.3), nn_linear(g, t, 8, 3, true));
}
static nn_module *with_batch_norm(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_linear(g, t, 6, 8, false), nn_batch_norm(g, t, 8, (nn_batch_norm_opts){ 0 }), nn_gelu(g),
                         nn_linear(g, t, 8, 3, true));
}
static nn_module *with_layer_norm(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_linear(g, t, 6, 8, true), nn_layer_norm(g, t, AD_SHAPE(8)), nn_sigmoid(g),
                         nn_linear(g, t, 8, 3, false));
}

static problem problem_in(ad_graph *g, make_net *make, ad_dtype t, bool compile) {
    problem p = { .g = g, .loss = nn_cross_entropy };
    ad_seed(p.g, 7);
    p.net = make(p.g, t);
    p.opt = nn_adam(p.net, (nn_adam_opts){ .lr = 0.02 });
    p.data = classes(p.g, t, AD_SHAPE(6), 3);
    p.o = (nn_fit_opts){ .epochs = 4, .batch = BATCH, .validation = p.data, .metric = nn_accuracy, .compile = compile };
    p.o.compiler.no_cache = compile;
    return p;
}

static problem problem_of(make_net *make, ad_dtype t, bool compile) {
    return problem_in(ad_graph_new(), make, t, compile);
}

static int fit(problem *p) { return nn_fit(p->net, p->loss, p->opt, p->data, p->o, &p->end); }

/* Arrays of the network, buffers too. */
static void assert_same_arrays(const problem *a, const problem *b, double tol) {
    nn_parameter x, y;
    for (int i = 0; (x = nn_parameter_at(a->net, i)).var != NULL; i++) {
        y = nn_parameter_at(b->net, i);
        for (int64_t k = 0; k < ad_numel(x.var); k++) assert_close_in(x.name, ad_at(x.var, k), ad_at(y.var, k), tol);
    }
    for (int i = 0; (x = nn_buffer_at(a->net, i)).var != NULL; i++) {
        y = nn_buffer_at(b->net, i);
        for (int64_t k = 0; k < ad_numel(x.var); k++) assert_close_in(x.name, ad_at(x.var, k), ad_at(y.var, k), tol);
    }
}

static double within(ad_dtype t) { return t == AD_F32 ? 1e-5 : 1e-11; }

/* Both ways of training end in the same place. */
static void assert_same_training(problem *a, problem *b, double tol) {
    assert_int_equal(fit(a), AD_OK);
    int rc = fit(b);
    assert_ok(b->g);
    assert_int_equal(rc, AD_OK);
    assert_close(b->end.loss, a->end.loss, tol);
    assert_close(b->end.validation_loss, a->end.validation_loss, tol);
    assert_close(b->end.metric, a->end.metric, 1e-12);
    assert_close(b->end.lr, a->end.lr, 1e-15);
    assert_int_equal(b->end.steps, a->end.steps);
    assert_string_equal(a->end.how, "");
    assert_same_arrays(a, b, tol);
}

static void free_both(problem *a, problem *b) {
    ad_graph_free(a->g);
    ad_graph_free(b->g);
}

/* ---- equality ---------------------------------------------------------------------------------------- */

static void networks_train_as_interpreted(void **state) {
    (void)state;
    need_compiler();
    make_net *const nets[] = { mlp, with_dropout, with_batch_norm, with_layer_norm };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            problem a = problem_of(nets[i], t, false), b = problem_of(nets[i], t, true);
            assert_same_training(&a, &b, within(t));
            assert_string_equal(b.end.how, "compiled");
            free_both(&a, &b);
        }
}

static ad_var *column(ad_var *x) { return ad_reshape(x, AD_SHAPE(-1, 1, 2, 3)); }
static ad_var *sequence(ad_var *x) { return ad_reshape(x, AD_SHAPE(-1, 3, 2)); }
static ad_var *last(ad_var *x) { return ad_select(x, 1, 2); }
static ad_var *flat(ad_var *x) { return ad_reshape(x, AD_SHAPE(ad_shape_of(x).dim[0], -1)); }

static nn_module *convolution(ad_graph *g, ad_dtype t) {
    nn_conv_opts o = { .in = 1, .out = 4, .kernel = 2, .padding = 1 };
    return nn_sequential(g, nn_function(g, column), nn_conv2d(g, t, o), nn_relu(g),
                         nn_function(g, flat), nn_linear(g, t, 48, 3, true));
}
static nn_module *recurrent(ad_graph *g, ad_dtype t) {
    nn_rnn_opts o = { .in = 2, .hidden = 5 };
    return nn_sequential(g, nn_function(g, sequence), nn_gru(g, t, o), nn_function(g, last),
                         nn_linear(g, t, 5, 3, true));
}

/* Ops that are called back between others. */
static void other_layers_train_as_interpreted(void **state) {
    (void)state;
    need_compiler();
    make_net *const nets[] = { convolution, recurrent };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        problem a = problem_of(nets[i], AD_F64, false), b = problem_of(nets[i], AD_F64, true);
        assert_same_training(&a, &b, 1e-11);
        assert_string_equal(b.end.how, "compiled");
        free_both(&a, &b);
    }
}

/* ---- what belongs to a step besides its gradients ---------------------------------------------------- */

enum { OPTIMISERS = 6 };
static nn_optim *optimiser(nn_module *m, int kind) {
    switch (kind) {
    case 0: return nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01 });
    case 1: return nn_adamw(m, (nn_adam_opts){ .lr = 0.02, .weight_decay = 0.1, .amsgrad = true });
    case 2: return nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.01, .centered = true });
    case 3: return nn_adagrad(m, (nn_adagrad_opts){ .lr = 0.05 });
    case 4: return nn_nadam(m, (nn_nadam_opts){ .lr = 0.02 });
    default: return nn_adadelta(m, (nn_adadelta_opts){ 0 });
    }
}

static void optimisers_groups_clipping_and_schedules_work(void **state) {
    (void)state;
    need_compiler();
    for (int kind = 0; kind < OPTIMISERS; kind++) {
        problem p[2];
        for (int i = 0; i < 2; i++) {
            p[i] = problem_of(mlp, AD_F64, i == 1);
            p[i].opt = optimiser(p[i].net, kind);
            nn_group(p[i].opt, (nn_group_opts){ .ending = "bias", .lr = 0.003 });
            p[i].o.clip_norm = 0.3;
            p[i].o.schedule = nn_cosine_lr(p[i].opt, 12, 1e-4), p[i].o.schedule_by_step = true;
        }
        assert_same_training(&p[0], &p[1], 1e-11);
        assert_string_equal(p[1].end.how, "compiled");
        free_both(&p[0], &p[1]);
    }
}

/* The callback of each step changes the rate, weights and modes. */
static int meddle(const nn_training_state *s, void *data) {
    problem *p = data;
    ad_var *w = nn_parameter_at(p->net, 0).var;
    if (s->steps == 3) nn_set_lr(p->opt, 0.01);
    if (s->steps == 4) ad_write_element(ad_dtype_of(w), ad_data_mut(w), 0, 0.5);
    if (s->steps == 8) nn_train(p->net, false);
    if (s->steps == 9) nn_train(p->net, true);
    return s->steps == 18;
}

static void callbacks_may_change_the_training(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(with_dropout, AD_F64, i == 1);
        p[i].o.on_step = meddle, p[i].o.callback_data = &p[i];
    }
    assert_same_training(&p[0], &p[1], 1e-11);
    assert_string_equal(p[1].end.how, "compiled");
    assert_true(p[1].end.stopped_early);
    free_both(&p[0], &p[1]);
}

static void frozen_parameters_stay(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(mlp, AD_F64, i == 1);
        p[i].opt = nn_adamw(p[i].net, (nn_adam_opts){ .weight_decay = 0.1 });
        ad_set_requires_grad(nn_find_parameter(p[i].net, "0.weight"), false);
    }
    assert_same_training(&p[0], &p[1], 1e-11);
    assert_string_equal(p[1].end.how, "compiled");
    free_both(&p[0], &p[1]);
}

/* An op that saves something for its gradient, before the first parameter that moves. */
static ad_var *pooled(ad_var *x) { return flat(ad_max_pool2d(column(x), (ad_pool_opts){ .kernel = { 2, 2 } })); }
static nn_module *with_pool(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_linear(g, t, 6, 6, true), nn_function(g, pooled), nn_linear(g, t, 1, 3, true));
}

static int release(const nn_training_state *s, void *data) {
    problem *p = data;
    if (s->steps == 2) ad_set_requires_grad(nn_find_parameter(p->net, "0.weight"), true);
    if (s->steps == 4) ad_set_requires_grad(nn_find_parameter(p->net, "0.bias"), true);
    if (s->steps == 12) ad_set_requires_grad(nn_find_parameter(p->net, "2.weight"), false);
    return 0;
}

static void parameters_may_be_released(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(with_pool, AD_F64, i == 1);
        ad_set_requires_grad(nn_find_parameter(p[i].net, "0.weight"), false);
        ad_set_requires_grad(nn_find_parameter(p[i].net, "0.bias"), false);
        p[i].o.on_step = release, p[i].o.callback_data = &p[i];
    }
    assert_same_training(&p[0], &p[1], 1e-11);
    assert_string_equal(p[1].end.how, "compiled");
    free_both(&p[0], &p[1]);
}

static void weights_may_change_between_fits(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(with_batch_norm, AD_F32, i == 1);
        assert_int_equal(fit(&p[i]), AD_OK);
        ad_var *w = nn_parameter_at(p[i].net, 0).var;
        for (int64_t k = 0; k < ad_numel(w); k++) ad_write_element(AD_F32, ad_data_mut(w), k, cos((double)k));
        p[i].o.batch = 15, p[i].o.prefetch = 2, p[i].o.drop_last = true;
    }
    assert_same_training(&p[0], &p[1], 1e-5);
    assert_string_equal(p[1].end.how, "compiled");
    free_both(&p[0], &p[1]);
}

static void a_data_set_smaller_than_a_minibatch_compiles(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) p[i] = problem_of(mlp, AD_F64, i == 1), p[i].o.batch = 64, p[i].o.in_order = true;
    assert_same_training(&p[0], &p[1], 1e-11);
    assert_string_equal(p[1].end.how, "compiled");
    free_both(&p[0], &p[1]);
}

/* A resumed training computes its first step by the program too, so the bits are the same. */
static int stop_at_six(const nn_training_state *s, void *data) { return (void)data, s->steps == 6; }

static void a_resumed_training_has_the_same_bits(void **state) {
    (void)state;
    need_compiler();
    problem whole = problem_of(with_batch_norm, AD_F32, true), part[2];
    assert_int_equal(fit(&whole), AD_OK);
    for (int i = 0; i < 2; i++) {
        part[i] = problem_of(with_batch_norm, AD_F32, true);
        part[i].o.checkpoint = path_of("checkpoint"), part[i].o.resume = true;
        if (i == 0) part[i].o.on_step = stop_at_six;
        assert_int_equal(fit(&part[i]), AD_OK);
    }
    assert_int_equal(part[1].end.steps, whole.end.steps);
    assert_string_equal(part[1].end.how, "compiled");
    assert_same_arrays(&whole, &part[1], 0);
    assert_true(whole.end.loss == part[1].end.loss);
    unlink(part[0].o.checkpoint);
    free_both(&part[0], &part[1]);
    ad_graph_free(whole.g);
}

static int interrupt_it(const nn_training_state *s, void *data) {
    (void)data;
    if (s->steps == 7) raise(SIGINT);
    return 0;
}

static void it_can_be_interrupted(void **state) {
    (void)state;
    need_compiler();
    problem p = problem_of(mlp, AD_F32, true);
    p.o.catch_interrupt = true, p.o.on_step = interrupt_it;
    assert_int_equal(fit(&p), AD_OK);
    assert_true(p.end.interrupted);
    assert_int_equal(p.end.steps, 7);
    ad_graph_free(p.g);
}

/* ---- what is left to the interpreter, with the same bits --------------------------------------------- */

static void assert_interpreted(problem *a, problem *b, const char *reason) {
    assert_same_training(a, b, 0);
    assert_true(strncmp(b->end.how, "interpreted: ", 13) == 0);
    assert_contains(b->end.how, reason);
    free_both(a, b);
}

static void without_a_compiler_it_interprets(void **state) {
    (void)state;
    const ad_compile_opts none[] = { { .cc = "/none/cc" }, { .no_cc = true }, { .cc = "false", .no_cache = true } };
    const char *const reasons[] = { "no compiler /none/cc", "no_cc", "false failed" };
    for (int i = 0; i < 3; i++) {
        problem a = problem_of(with_dropout, AD_F32, false), b = problem_of(with_dropout, AD_F32, true);
        b.o.compiler = none[i];
        assert_interpreted(&a, &b, reasons[i]);
    }
}

static ad_var *branches(ad_var *x) {
    return ad_branch(ad_gt(ad_mean(x), ad_zeros(ad_graph_of(x), ad_dtype_of(x), AD_SCALAR))) ? ad_tanh(x) : ad_sin(x);
}
static ad_var *reads_an_item(ad_var *x) { return ad_item(ad_mean(x)) > 0 ? ad_tanh(x) : ad_sin(x); }
static ad_var *reads_data(ad_var *x) {
    const double *at = ad_data(x);
    return ad_muls(x, at[0] > 0 ? 1 : 0.5);
}

static ad_var *(*function)(ad_var *x);
static nn_module *with_function(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_function(g, function), nn_linear(g, t, 6, 3, true));
}

static void what_branches_on_values_is_interpreted(void **state) {
    (void)state;
    ad_var *(*const functions[])(ad_var *x) = { branches, reads_an_item, reads_data };
    for (int i = 0; i < 3; i++) {
        function = functions[i];
        problem a = problem_of(with_function, AD_F64, false), b = problem_of(with_function, AD_F64, true);
        assert_interpreted(&a, &b, "reads values");
    }
}

/* A buffer that the forward function changes itself: a running mean of its inputs. */
static ad_var *track(nn_module *m, ad_var *x) {
    ad_var *mean = *(ad_var **)nn_self(m);
    double *at = ad_data_mut(mean);
    for (int i = 0; i < 6; i++) at[i] += 1 + 0.1 * i;
    return ad_add(x, mean);
}
static nn_module *with_tracking(ad_graph *g, ad_dtype t) {
    nn_module *m = nn_module_new(g, "tracking", track, sizeof(ad_var *));
    *(ad_var **)nn_self(m) = nn_add_buffer(m, "seen", ad_zeros(g, t, AD_SHAPE(6)));
    nn_add_reference(m, nn_self(m));
    return nn_sequential(g, m, nn_linear(g, t, 6, 3, true));
}

/* A leaf of the loss that is no parameter of the network, and is not moved. */
static ad_var *sharpness;
static ad_var *sharpened(ad_var *y, ad_var *target) { return nn_cross_entropy(ad_mul(y, sharpness), target); }

static void what_a_program_cannot_do_is_interpreted(void **state) {
    (void)state;
    need_compiler();
    problem a = problem_of(with_tracking, AD_F64, false), b = problem_of(with_tracking, AD_F64, true);
    assert_interpreted(&a, &b, "buffer 0.seen is changed outside of ops");

    double gradient[2];
    for (int i = 0; i < 2; i++) {
        problem *p = i == 0 ? &a : &b;
        *p = problem_of(mlp, AD_F64, i == 1);
        sharpness = ad_param(p->g, AD_F64, &(double){ 1.5 }, AD_SCALAR);
        p->loss = sharpened;
        assert_int_equal(fit(p), AD_OK);
        gradient[i] = ad_grad_item(sharpness);
    }
    assert_true(gradient[0] == gradient[1] && gradient[0] != 0);
    assert_string_equal(b.end.how, "interpreted: the loss depends on a leaf that requires a gradient and is no "
                                   "parameter");
    free_both(&a, &b);

    a = problem_of(mlp, AD_F64, false), b = problem_of(mlp, AD_F64, true);
    a.opt = nn_lbfgs(a.net, (nn_lbfgs_opts){ 0 }), b.opt = nn_lbfgs(b.net, (nn_lbfgs_opts){ 0 });
    assert_interpreted(&a, &b, "the optimiser evaluates the loss several times");

    a = problem_of(mlp, AD_F64, false), b = problem_of(mlp, AD_F64, true);
    ad_detect_anomaly(a.g, true), ad_detect_anomaly(b.g, true);
    assert_interpreted(&a, &b, "ad_detect_anomaly");
}

/* Modes that change at each step would compile at each step. */
static int change_mode(const nn_training_state *s, void *data) {
    const problem *p = data;
    if (s->steps < 18) nn_train(p->net, !nn_training(p->net));
    return 0;
}

static void settings_that_change_too_often_are_interpreted(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(with_dropout, AD_F64, i == 1);
        p[i].o.drop_last = true, p[i].o.epochs = 5, p[i].o.on_step = change_mode, p[i].o.callback_data = &p[i];
    }
    assert_same_training(&p[0], &p[1], 1e-11);
    assert_string_equal(p[1].end.how, "interpreted: parameters or modes change too often");
    free_both(&p[0], &p[1]);
}

/* A callback begins to look for anomalies after some compiled steps, and finds one. */
static int look_for_anomalies(const nn_training_state *s, void *data) {
    if (s->steps == 2) ad_detect_anomaly(((problem *)data)->g, true);
    return 0;
}

static void anomalies_are_found_from_then_on(void **state) {
    (void)state;
    need_compiler();
    char said[2][400];
    for (int i = 0; i < 2; i++) {
        problem p = problem_of(mlp, AD_F64, i == 1);
        p.o.in_order = true, p.o.validation = (nn_dataset){ NULL, NULL }, p.o.metric = NULL;
        p.o.on_step = look_for_anomalies, p.o.callback_data = &p;
        ad_write_element(AD_F64, ad_data_mut(p.data.x), 6 * 35, 1e308);
        ad_write_element(AD_F64, ad_data_mut(nn_find_parameter(p.net, "0.weight")), 0, 100);
        assert_int_equal(fit(&p), AD_EVALUE);
        snprintf(said[i], sizeof said[i], "%s", ad_error(p.g));
        said[i][strcspn(said[i], "(")] = '\0'; /* before the Op's number */
        if (i == 1) assert_string_equal(p.end.how, "interpreted: ad_detect_anomaly is on");
        ad_graph_free(p.g);
    }
    assert_contains(said[0], "affine: [10,6] x [8,6] x [8]: anomaly: element 40 of the result is inf");
    assert_string_equal(said[0], said[1]);
}

/* ---- never other numbers ----------------------------------------------------------------------------- */

/* A number in C that changes from step to step is not part of the graph. */
static double strength;
static ad_var *annealed(ad_var *y, ad_var *target) {
    return ad_add(nn_cross_entropy(y, target), ad_muls(ad_mean(ad_square(y)), strength));
}
static int anneal(const nn_training_state *s, void *data) { return (void)data, strength = 0.1 * (double)s->steps, 0; }

static void a_number_in_c_that_changes_is_noticed(void **state) {
    (void)state;
    need_compiler();
    problem p = problem_of(mlp, AD_F32, true);
    strength = 0;
    p.loss = annealed, p.o.on_step = anneal;
    assert_int_equal(fit(&p), AD_ECHECK);
    assert_contains(ad_error(p.g), "fit: the recorded step has the loss");
    assert_contains(ad_error(p.g), "train without compile");
    ad_graph_free(p.g);
}

/* The interpreter names what is wrong with a minibatch, and a step that is refused changes nothing. */
static void faults_in_the_data_are_named(void **state) {
    (void)state;
    need_compiler();
    char said[2][400];
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(with_batch_norm, AD_F64, i == 1);
        p[i].o.in_order = true, p[i].o.validation = (nn_dataset){ NULL, NULL }, p[i].o.metric = NULL;
        ad_write_element(AD_F64, ad_data_mut(p[i].data.y), 35, 3); /* in the fourth minibatch */
        assert_int_equal(fit(&p[i]), AD_EVALUE);
        snprintf(said[i], sizeof said[i], "%s", ad_error(p[i].g));
        assert_int_equal(p[i].end.steps, 3);
    }
    assert_string_equal(said[0], said[1]);
    assert_same_arrays(&p[0], &p[1], 1e-11);
    free_both(&p[0], &p[1]);
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(mlp, AD_F64, i == 1);
        p[i].o.in_order = true, p[i].o.validation = (nn_dataset){ NULL, NULL }, p[i].o.metric = NULL;
        ad_write_element(AD_F64, ad_data_mut(p[i].data.x), 6 * 35, NAN);
        assert_int_equal(fit(&p[i]), AD_EVALUE);
        snprintf(said[i], sizeof said[i], "%s", ad_error(p[i].g));
    }
    assert_string_equal(said[0], said[1]);
    assert_same_arrays(&p[0], &p[1], 1e-11);
    free_both(&p[0], &p[1]);
}

/* With allow_nonfinite, both ways go on alike. */
static void infinite_losses_may_be_allowed(void **state) {
    (void)state;
    need_compiler();
    problem p[2];
    for (int i = 0; i < 2; i++) {
        p[i] = problem_of(mlp, AD_F64, i == 1);
        p[i].o = (nn_fit_opts){ .epochs = 2, .batch = BATCH, .allow_nonfinite = true, .clip_norm = 1 };
        p[i].o.compile = i == 1;
        ad_write_element(AD_F64, ad_data_mut(p[i].data.x), 6 * 35, INFINITY);
        assert_int_equal(fit(&p[i]), AD_OK);
    }
    assert_same_arrays(&p[0], &p[1], 1e-11);
    free_both(&p[0], &p[1]);
}

/* Each allocation of the graph fails in turn: an error that says so, or a training that goes on. */
static void memory_may_be_short(void **state) {
    (void)state;
    need_compiler();
    const char *cc = getenv("TEST_CC");
    if (cc && strstr(cc, "sanitize")) skip(); /* tcc's programs do not tell a sanitizer what they store */
    bool done = false;
    for (int64_t at = 0; !done; at++) {
        test_memory m = { .fail_at = -1 };
        problem p = problem_in(test_graph(&m), with_batch_norm, AD_F32, true);
        assert_ok(p.g);
        p.o.validation = (nn_dataset){ NULL, NULL }, p.o.metric = NULL, p.o.epochs = 1;
        p.o.compiler.cc = "tcc";
        m.fail_at = m.calls + at;
        int rc = fit(&p);
        done = rc == AD_OK && m.calls <= m.fail_at;
        assert_true(rc == AD_OK || rc == AD_ENOMEM);
        assert_true(rc == ad_error_code(p.g));
        ad_clear_error(p.g);
        m.fail_at = -1;
        assert_int_equal(fit(&p), AD_OK);
        ad_graph_free(p.g);
        assert_all_released(&m);
    }
}

static void a_compiler_without_compile_is_refused(void **state) {
    (void)state;
    problem p = problem_of(mlp, AD_F32, false);
    p.o.compiler.no_cache = true;
    assert_int_equal(fit(&p), AD_EVALUE);
    assert_contains(ad_error(p.g), "fit: compiler needs compile");
    ad_graph_free(p.g);
}

/* Minibatch `at` of the rows in order; the last one is short. */
static bool rows_from(ad_graph *g, int64_t epoch, int64_t at, ad_var **x, ad_var **y, void *data) {
    const nn_dataset *d = data;
    (void)g, (void)epoch;
    int64_t from = at * BATCH, n = ROWS - from < BATCH ? ROWS - from : BATCH;
    if (n <= 0) return false;
    *x = ad_narrow(d->x, 0, from, n), *y = ad_narrow(d->y, 0, from, n);
    return true;
}

static void halve(ad_var **x, ad_var **y, void *data) { (void)y, (void)data, *x = ad_muls(*x, 0.5); }

/* Such minibatches are results of ops and not leaves. */
static void minibatches_of_streams_and_mixes_are_compiled(void **state) {
    (void)state;
    need_compiler();
    for (int i = 1; i < 4; i++) {
        problem p[2] = { problem_of(mlp, AD_F64, true), problem_of(mlp, AD_F64, false) };
        for (int k = 0; k < 2; k++) {
            nn_dataset data = p[k].data;
            if (i & 1) p[k].o.stream = rows_from, p[k].o.stream_data = &p[k].data, data = (nn_dataset){ 0 };
            if (i & 2) p[k].o.mix = halve;
            assert_int_equal(nn_fit(p[k].net, p[k].loss, p[k].opt, data, p[k].o, &p[k].end), AD_OK);
        }
        assert_string_equal(p[0].end.how, "compiled");
        assert_close(p[0].end.loss, p[1].end.loss, 1e-11);
        ad_graph_free(p[0].g), ad_graph_free(p[1].g);
    }
}

static void steps_of_several_minibatches_are_interpreted(void **state) {
    (void)state;
    problem p = problem_of(mlp, AD_F64, true), q = problem_of(mlp, AD_F64, false);
    p.o.accumulate = q.o.accumulate = 2;
    assert_int_equal(nn_fit(p.net, p.loss, p.opt, p.data, p.o, &p.end), AD_OK);
    assert_int_equal(nn_fit(q.net, q.loss, q.opt, q.data, q.o, &q.end), AD_OK);
    assert_non_null(strstr(p.end.how, "interpreted: steps with accumulate"));
    assert_true(p.end.loss == q.end.loss);
    ad_graph_free(p.g), ad_graph_free(q.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_train_as_interpreted),
        cmocka_unit_test(other_layers_train_as_interpreted),
        cmocka_unit_test(optimisers_groups_clipping_and_schedules_work),
        cmocka_unit_test(callbacks_may_change_the_training),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(parameters_may_be_released),
        cmocka_unit_test(weights_may_change_between_fits),
        cmocka_unit_test(a_data_set_smaller_than_a_minibatch_compiles),
        cmocka_unit_test(a_resumed_training_has_the_same_bits),
        cmocka_unit_test(it_can_be_interrupted),
        cmocka_unit_test(without_a_compiler_it_interprets),
        cmocka_unit_test(what_branches_on_values_is_interpreted),
        cmocka_unit_test(what_a_program_cannot_do_is_interpreted),
        cmocka_unit_test(settings_that_change_too_often_are_interpreted),
        cmocka_unit_test(anomalies_are_found_from_then_on),
        cmocka_unit_test(a_number_in_c_that_changes_is_noticed),
        cmocka_unit_test(faults_in_the_data_are_named),
        cmocka_unit_test(infinite_losses_may_be_allowed),
        cmocka_unit_test(memory_may_be_short),
        cmocka_unit_test(a_compiler_without_compile_is_refused),
        cmocka_unit_test(minibatches_of_streams_and_mixes_are_compiled),
        cmocka_unit_test(steps_of_several_minibatches_are_interpreted),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
