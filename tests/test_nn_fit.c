/* test_nn_fit.c: the training loop: its steps, reports, evaluation and augmentation. */
#define _XOPEN_SOURCE 700 /* for pseudo-terminals */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/extend.h"
#include "nn/kernels/warp.h"
#include "tests/fit.h"

/* ---- training and reports ----------------------------------------------------------------------------- */

/* Compares with the loop that a user would write. */
static void it_does_what_the_loop_by_hand_does(void **state) {
    (void)state;
    problem a = problem_new(), b = problem_new();
    nn_training_state end;
    assert_int_equal(fit(&a, &end), AD_OK);
    nn_loader *l = nn_loader_new(b.g, b.data.train, (nn_loader_opts){ .batch = 10 });
    double mean = 0;
    for (int e = 0; e < 5; e++) {
        mean = 0;
        for (bool more = true; more;) {
            ad_mark m = ad_begin(b.g);
            ad_var *x, *y;
            if ((more = nn_loader_next(l, &x, &y))) {
                ad_var *loss = nn_cross_entropy(nn_apply(b.net, x), y);
                nn_zero_grad(b.opt);
                ad_backward(loss);
                nn_step(b.opt);
                mean += ad_item(loss) * (double)ad_numel(y) / 63;
            }
            ad_end(b.g, m);
        }
        nn_evaluate(b.net, nn_cross_entropy, NULL, b.data.validation, 256); /* draws random numbers: dropout */
        nn_schedule_step(b.o.schedule, 0);
    }
    assert_ok(b.g);
    assert_same_net(&a, &b);
    assert_close(end.loss, mean, 1e-12);
    assert_int_equal(end.epoch, 5);
    assert_int_equal(end.steps, 35);
    assert_close(end.lr, 0.02 * pow(0.9, 4), 1e-12);
    assert_false(end.stopped_early || end.interrupted);
    ad_graph_free(a.g);
    ad_graph_free(b.g);
}

static void it_learns_and_tells(void **state) {
    (void)state;
    problem p = problem_new();
    FILE *told = tmpfile();
    p.o.progress = told;
    p.o.log = path_of("log");
    p.o.epochs = 60;
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.metric > 0.8);
    rewind(told);
    char line[200];
    int lines = 0;
    while (fgets(line, sizeof line, told) != NULL) {
        int e, all, left, taken = 0;
        double loss, validation, accuracy, rate;
        lines++;
        assert_int_equal(sscanf(line, "epoch %d/%d  loss %lf  validation loss %lf  accuracy %lf  %lf samples/s  %d s left%n",
                                &e, &all, &loss, &validation, &accuracy, &rate, &left, &taken),
                         7);
        assert_true(rate > 0 && left >= 0);
        assert_true(e == lines && all == 60 && loss > 0 && validation > 0 && accuracy <= 1);
        assert_true(strcmp(line + taken, "\n") == 0 || strcmp(line + taken, "  best\n") == 0);
    }
    assert_int_equal(lines, 60);
    fclose(told);
    const char *log = text_of(p.o.log);
    const char *head = "epoch,steps,lr,loss,validation_loss,accuracy\n1,7,";
    assert_true(strncmp(log, head, strlen(head)) == 0);
    char last[80];
    snprintf(last, sizeof last, "\n60,420,%.17g,%.17g,", end.lr, end.loss);
    assert_contains(log, last);
    unlink(p.o.log);
    ad_graph_free(p.g);
}

/* Several metrics: in the state, the lines and the log. */
static void it_tells_several_metrics(void **state) {
    (void)state;
    problem p = problem_new();
    FILE *told = tmpfile();
    char want[120], line[300] = "";
    p.net = nn_mlp(p.g, AD_F32, 3, (int64_t[]){ 2, 6, 2 }, ad_tanh); /* without random numbers */
    p.opt = nn_adam(p.net, (nn_adam_opts){ .lr = 0.05 });
    p.o = (nn_fit_opts){ .epochs = 3,
                         .validation = p.data.validation,
                         .metric = nn_accuracy,
                         .metric_name = "accuracy",
                         .more_metrics = { { "F1", nn_f1 }, { "recall", nn_recall } },
                         .progress = told,
                         .log = path_of("log") };
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    ad_var *y = nn_predict(p.net, p.data.validation.x, 256);
    assert_true(end.metric == nn_accuracy(y, p.data.validation.y));
    assert_true(end.more_metrics[0] == nn_f1(y, p.data.validation.y));
    assert_true(end.more_metrics[1] == nn_recall(y, p.data.validation.y));
    assert_true(isnan(end.more_metrics[2]));
    rewind(told);
    for (int i = 0; i < 3; i++) assert_non_null(fgets(line, sizeof line, told));
    fclose(told);
    snprintf(want, sizeof want, "  accuracy %.4f  F1 %.4f  recall %.4f  ", end.metric, end.more_metrics[0],
             end.more_metrics[1]);
    assert_contains(line, want);
    assert_contains(text_of(p.o.log), "validation_loss,accuracy,F1,recall\n1,");
    snprintf(want, sizeof want, ",%.17g,%.17g,%.17g\n", end.metric, end.more_metrics[0], end.more_metrics[1]);
    assert_contains(text_of(p.o.log), want);
    unlink(p.o.log);
    ad_graph_free(p.g);
}

#ifdef AD_HAVE_CSV
/* Names that a reader would split, cut or trim are quoted. */
static void names_with_commas_and_quotes_are_read_back(void **state) {
    (void)state;
    static const char *const name[] = { "top 1, top 5", "the \"best\"", " blank ", "two\nlines", "\",\"" };
    problem p = problem_new();
    p.o.epochs = 2;
    p.o.log = path_of("log");
    p.o.metric_name = name[0];
    for (int i = 0; i < NN_MORE_METRICS; i++) p.o.more_metrics[i] = (nn_metric){ name[1 + i], nn_accuracy };
    assert_int_equal(fit(&p, NULL), AD_OK);
    nn_table *t = nn_read_csv(p.g, p.o.log, (nn_csv_opts){ 0 });
    assert_ok(p.g);
    assert_int_equal(nn_table_rows(t), 2);
    assert_int_equal(nn_table_columns(t), 5 + 5);
    for (int i = 0; i < 5; i++) assert_string_equal(nn_table_name(t, 5 + i), name[i]);
    assert_int_equal(ad_numel(nn_table_numbers(t, AD_F64, 5, name)), 10);
    assert_ok(p.g);
    unlink(p.o.log);
    ad_graph_free(p.g);
}
#endif

/* What a training prints on a terminal when it is stopped after so many steps. */
static void tell_terminal(int stop, char *to, size_t size) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    FILE *f = fopen(ptsname(terminal), "w");
    assert_non_null(f);
    problem p = problem_new();
    p.o.progress = f;
    p.o.epochs = 2;
    p.o.on_step = stop_at;
    p.o.callback_data = &stop;
    assert_int_equal(fit(&p, NULL), AD_OK);
    ad_graph_free(p.g);
    fputs("end", f);
    fflush(f);
    size_t n = 0;
    for (to[0] = '\0'; strstr(to, "end") == NULL; to[n] = '\0') {
        ssize_t more = read(terminal, to + n, size - n - 1);
        assert_true(more > 0);
        n += (size_t)more;
    }
    fclose(f);
    close(terminal);
}

static void a_terminal_has_a_bar(void **state) {
    (void)state;
    char text[4096];
    tell_terminal(99, text, sizeof text);
    static const char bar[] = "\r\033[Kepoch 1/2 [===                     ] loss "; /* 1 of 7 steps */
    assert_memory_equal(text, bar, sizeof bar - 1);
    assert_contains(text, "\r\033[Kepoch 1/2  loss ");
    assert_contains(text, "\r\033[Kepoch 2/2  loss ");
    assert_contains(text, "\nend"); /* later output is on a new line */
    tell_terminal(1, text, sizeof text);
    assert_memory_equal(text, bar, sizeof bar - 1);
    assert_contains(text, " s left\r\nend");
}

static void an_epoch_of_one_step_has_a_time(void **state) {
    (void)state;
    problem p = problem_new();
    FILE *told = tmpfile();
    char line[200] = "";
    p.o.progress = told;
    p.o.batch = 100000;
    p.o.epochs = 2;
    assert_int_equal(fit(&p, NULL), AD_OK);
    rewind(told);
    assert_non_null(fgets(line, sizeof line, told));
    assert_contains(line, " s left");
    fclose(told);
    ad_graph_free(p.g);
}

static int keep_weight(const nn_training_state *s, void *data) {
    problem *p = data;
    static float weights[64][12];
    const float *now = ad_data(nn_find_parameter(p->net, "0.weight"));
    memcpy(weights[s->epoch], now, sizeof weights[0]);
    p->o.callback_data = weights;
    return 0;
}

static void it_stops_early_with_the_best_weights(void **state) {
    (void)state;
    problem p = problem_new();
    p.o.epochs = 60;
    p.o.metric = falling; /* the first logit grows, with fluctuations */
    p.o.by_metric = true;
    p.o.patience = 4;
    p.o.on_epoch = keep_weight;
    p.o.callback_data = &p;
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.stopped_early);
    assert_int_equal(end.epoch, end.best_epoch + 4);
    assert_true(end.best > end.metric);
    const float(*kept)[12] = p.o.callback_data;
    assert_memory_equal(ad_data(nn_find_parameter(p.net, "0.weight")), kept[end.best_epoch], sizeof kept[0]);
    assert_memory_not_equal(kept[end.epoch], kept[end.best_epoch], sizeof kept[0]);
    ad_graph_free(p.g);
}

static void callbacks_stop_it(void **state) {
    (void)state;
    problem p = problem_new();
    int at = 9;
    p.o.on_step = stop_at;
    p.o.callback_data = &at;
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.stopped_early && end.steps == 9 && end.epoch == 2);
    p.o.on_step = NULL;
    p.o.on_epoch = stop_at;
    at = 14;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.stopped_early && end.steps == 14 && end.epoch == 2);
    ad_graph_free(p.g);
}

static void a_minimiser_is_given_a_function(void **state) {
    (void)state;
    problem p = problem_new();
    p.net = nn_linear(p.g, AD_F32, 2, 2, true);
    p.opt = nn_lbfgs(p.net, (nn_lbfgs_opts){ .lr = 1 });
    p.o = (nn_fit_opts){ .epochs = 3, .batch = 63 };
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.loss < 0.4 && end.steps == 3 && isnan(end.validation_loss));
    ad_graph_free(p.g);
}

static void gradients_are_clipped(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_linear(g, AD_F64, 1, 1, false);
    nn_init_constant(nn_find_parameter(net, "weight"), 0);
    nn_dataset d = { ad_full(g, AD_F64, 10, AD_SHAPE(4, 1)), ad_full(g, AD_F64, 100, AD_SHAPE(4, 1)) };
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 1 });
    assert_int_equal(nn_fit(net, nn_mse, opt, d, (nn_fit_opts){ .epochs = 1, .clip_norm = 0.5 }, NULL), AD_OK);
    assert_close(ad_item(nn_find_parameter(net, "weight")), 0.5, 1e-6);
    ad_graph_free(g);
}

static int count_allocations(const nn_training_state *s, void *data) {
    problem *p = data;
    static int64_t after_first_epoch;
    if (s->steps == 7) after_first_epoch = ad_graph_stats(p->g).allocs;
    if (s->steps > 7) assert_int_equal(ad_graph_stats(p->g).allocs, after_first_epoch);
    return 0;
}

static void a_steady_step_takes_no_memory(void **state) {
    (void)state;
    problem p = problem_new();
    p.o.validation = (nn_dataset){ NULL, NULL };
    p.o.metric = NULL;
    p.o.transform = shake;
    p.o.on_step = count_allocations;
    p.o.callback_data = &p;
    assert_int_equal(fit(&p, NULL), AD_OK);
    ad_graph_free(p.g);
}

static void bad_calls_are_refused(void **state) {
    (void)state;
    problem p = problem_new();
    static const struct {
        nn_fit_opts o;
        const char *sentence;
    } bad[] = {
        { { .epochs = 0 }, "fit: epochs 0: at least 1" },
        { { .epochs = AD_ZERO }, "fit: epochs 0: at least 1" },
        { { .epochs = 1, .batch = -1 }, "fit: batch -1: at least 1" },
        { { .epochs = 1, .batch = AD_ZERO }, "fit: batch 0: at least 1" },
        { { .epochs = 1, .resume = true }, "fit: resume and checkpoint_steps need the name of a checkpoint" },
        { { .epochs = 1, .patience = 1 }, "fit: patience and by_metric need validation data" },
        { { .epochs = 1, .min_delta = -1 }, "fit: patience, checkpoint_steps, clip_norm and min_delta are 0 or more" },
        { { .epochs = 1, .log = "/no/such/folder/log" }, "fit: log /no/such/folder/log: No such file or directory" },
        { { .epochs = 1, .checkpoint = "/no/such/c" }, "checkpoint: /no/such/c: No such file or directory" },
        { { .epochs = 1, .batch = 64, .drop_last = true },
          "fit: 63 samples make no minibatch of 64; take a smaller batch" },
        { { .epochs = 1, .prefetch = -1 }, "loader: prefetch -1: it must be at least 0" },
    };
    problem twin = problem_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(nn_fit(p.net, nn_cross_entropy, p.opt, p.data.train, bad[i].o, NULL) < 0);
        assert_string_equal(ad_error(p.g), bad[i].sentence);
        ad_clear_error(p.g);
    }
    assert_same_net(&p, &twin); /* no call took a step */
    ad_graph_free(twin.g);
    assert_int_equal(nn_fit(p.net, NULL, p.opt, p.data.train, p.o, NULL), AD_EVALUE);
    assert_int_equal(nn_fit(NULL, nn_mse, p.opt, p.data.train, p.o, NULL), AD_EVALUE);
    ad_graph_free(p.g);
}

/* ---- numbers that are not finite ------------------------------------------------------------------------ */

/* y = w x with w 0.5, for 64 rows. */
typedef struct {
    ad_graph *g;
    nn_module *net;
    ad_var *w;
    nn_dataset data;
} line;

static line line_new(double target) {
    line l = { .g = ad_graph_new() };
    l.net = nn_linear(l.g, AD_F64, 1, 1, false);
    l.w = nn_find_parameter(l.net, "weight");
    nn_init_constant(l.w, 0.5);
    l.data = (nn_dataset){ ad_ones(l.g, AD_F64, AD_SHAPE(64, 1)), ad_full(l.g, AD_F64, target, AD_SHAPE(64, 1)) };
    return l;
}

static void spoil_row(ad_var *x, int64_t row, double value) { ((double *)ad_data_mut(x))[row] = value; }

static void a_loss_that_is_not_finite_stops_it(void **state) {
    (void)state;
    const double bad[] = { NAN, INFINITY, -INFINITY };
    for (int i = 0; i < 12; i++) {
        line l = line_new(1);
        spoil_row(i / 3 % 2 ? l.data.x : l.data.y, 40, bad[i % 3]);
        nn_training_state end;
        nn_fit_opts o = { .epochs = 3, .batch = 16, .in_order = true, .clip_norm = i < 6 ? 1 : 0 };
        nn_optim *opt = nn_sgd(l.net, (nn_sgd_opts){ .lr = 0.1 });
        assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, o, &end), AD_EVALUE);
        assert_contains(ad_error(l.g), "fit: the loss of step 3 is ");
        assert_contains(ad_error(l.g), "and the step is not taken");
        assert_int_equal(end.steps, 2);
        double after_two = 0.5 + 0.1 + 0.08; /* by 0.1 2 (1 - w) */
        if (i >= 6) assert_close(ad_item(l.w), after_two, 1e-12);
        else assert_true(isfinite(ad_item(l.w)) && ad_item(l.w) > 0.5);
        ad_clear_error(l.g);
        /* A step with a norm that is not finite is left out; others are taken. */
        o.allow_nonfinite = true;
        o.clip_norm = 10;
        assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, o, &end), AD_OK);
        assert_true(isfinite(ad_item(l.w)) && end.steps == 12 && !isfinite(end.loss));
        ad_graph_free(l.g);
    }
}

static void a_diverging_run_stops_with_finite_weights(void **state) {
    (void)state;
    line l = line_new(1);
    nn_optim *opt = nn_sgd(l.net, (nn_sgd_opts){ .lr = 1e40 });
    nn_training_state end;
    assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, (nn_fit_opts){ .epochs = 60 }, &end), AD_EVALUE);
    assert_contains(ad_error(l.g), "take a smaller learning rate or clip_norm");
    assert_true(isfinite(ad_item(l.w)) && end.epoch < 60);
    ad_clear_error(l.g);
    nn_fit_opts o = { .epochs = 60, .allow_nonfinite = true };
    assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, o, &end), AD_OK);
    assert_true(isnan(ad_item(l.w)) && end.epoch == 60);
    ad_graph_free(l.g);
}

/* The loss is finite and its slope is infinity times 0. */
static ad_var *nan_slope(ad_var *y, ad_var *target) {
    return ad_add(nn_mse(y, target), ad_sum(ad_sqrt(ad_mul(y, ad_zeros(ad_graph_of(y), AD_F64, ad_shape_of(y))))));
}

static void weights_that_are_not_finite_are_no_checkpoint(void **state) {
    (void)state;
    for (int allow = 0; allow < 2; allow++) {
        line l = line_new(1);
        nn_optim *opt = nn_sgd(l.net, (nn_sgd_opts){ .lr = 0.1 });
        nn_fit_opts o = { .epochs = 1, .batch = 64, .allow_nonfinite = allow };
        o.checkpoint = path_of("checkpoint");
        assert_int_equal(nn_fit(l.net, nan_slope, opt, l.data, o, NULL), allow ? AD_OK : AD_EVALUE);
        if (!allow) assert_contains(ad_error(l.g), "fit: weight is not finite after step 1; take a smaller");
        assert_true(isnan(ad_item(l.w)));
        ad_clear_error(l.g);
        o.resume = true; /* from the checkpoint of the start */
        assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, o, NULL), AD_OK);
        assert_close(ad_item(l.w), 0.6, 1e-12);
        unlink(o.checkpoint);
        o.clip_norm = 1;
        o.checkpoint = NULL;
        o.resume = false;
        nn_init_constant(l.w, 0.5);
        assert_int_equal(nn_fit(l.net, nan_slope, opt, l.data, o, NULL), allow ? AD_OK : AD_EVALUE);
        if (!allow) assert_contains(ad_error(l.g), "fit: the norm of the gradient of step 1 is ");
        assert_true(ad_item(l.w) == 0.5); /* the step is left out */
        ad_graph_free(l.g);
    }
}

static void huge_gradients_are_clipped(void **state) {
    (void)state;
    const double targets[] = { 1e120, 1e150 };
    for (int i = 0; i < 2; i++) {
        line l = line_new(targets[i]);
        nn_init_constant(l.data.x, 1e80); /* the gradient is about -1e200 or -1e230 */
        nn_optim *opt = nn_sgd(l.net, (nn_sgd_opts){ .lr = 1 });
        nn_fit_opts o = { .epochs = 1, .batch = 64, .clip_norm = 1 };
        assert_int_equal(nn_fit(l.net, nn_mse, opt, l.data, o, NULL), AD_OK);
        assert_close(ad_item(l.w), 1.5, 1e-12);
        ad_graph_free(l.g);
    }
}

/* ---- an optimiser of a part ------------------------------------------------------------------------------ */

static ad_var *sum_of(ad_var *y, ad_var *target) { return (void)target, ad_sum(y); }

typedef struct {
    ad_var *head, *body;
    double before, longest, shortest, most;
} watch;

/* The lengths of the steps of a head's weight, and the size of the body's gradient. */
static int watch_step(const nn_training_state *s, void *data) {
    watch *w = data;
    double length = fabs(ad_at(w->head, 0) - w->before);
    if (s->steps == 1) w->longest = w->shortest = length;
    w->longest = fmax(w->longest, length), w->shortest = fmin(w->shortest, length);
    w->before = ad_at(w->head, 0);
    w->most = fmax(w->most, fabs(ad_grad_at(w->body, 0)));
    return 0;
}

/* The gradient of the head is the same in all steps, and so is the step. */
static void an_optimiser_of_the_head_counts_the_head_alone(void **state) {
    (void)state;
    for (int clip = 0; clip < 2; clip++) {
        ad_graph *g = ad_graph_new();
        nn_module *body = nn_linear(g, AD_F64, 1, 1, false), *head = nn_linear(g, AD_F64, 1, 1, false);
        nn_module *net = nn_sequential(g, body, head);
        watch w = { nn_find_parameter(head, "weight"), nn_find_parameter(body, "weight"), 0, 0, 0, 0 };
        nn_init_constant(w.head, 0), nn_init_constant(w.body, 3);
        nn_dataset d = { ad_ones(g, AD_F64, AD_SHAPE(4, 1)), ad_ones(g, AD_F64, AD_SHAPE(4, 1)) };
        nn_optim *opt = nn_sgd(head, (nn_sgd_opts){ .lr = 0.01 });
        nn_fit_opts o = { .epochs = 100, .batch = 4, .clip_norm = clip ? 2 : 0, .on_step = watch_step };
        o.callback_data = &w;
        assert_int_equal(nn_fit(net, sum_of, opt, d, o, NULL), AD_OK);
        assert_close(w.longest, clip ? 0.01 * 2 : 0.01 * 12, 1e-7);
        assert_close(w.shortest, w.longest, 1e-12);
        assert_close(w.most, 4 * fabs(ad_item(w.head)), 0.1); /* of one step, and not of all */
        assert_true(ad_item(w.body) == 3);
        nn_optim *foreign = nn_sgd(nn_linear(g, AD_F64, 1, 1, false), (nn_sgd_opts){ .lr = 1 });
        assert_int_equal(nn_fit(net, sum_of, foreign, d, o, NULL), AD_EVALUE);
        assert_string_equal(ad_error(g), "fit: the optimiser has no parameter of the network");
        ad_graph_free(g);
    }
}

/* ---- modes ------------------------------------------------------------------------------------------------ */

static void modes_are_put_aside_and_back(void **state) {
    (void)state;
    for (int trains = 0; trains < 2; trains++) {
        ad_graph *g = ad_graph_new();
        nn_module *bn = nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ 0 }), *dropout = nn_dropout(g, 0.5);
        nn_module *inner = nn_sequential(g, nn_linear(g, AD_F64, 2, 2, true), bn);
        nn_module *last = nn_linear(g, AD_F64, 2, 1, true);
        nn_module *net = nn_sequential(g, inner, dropout, last);
        nn_dataset d = { ad_randn(g, AD_F64, AD_SHAPE(8, 2)), ad_randn(g, AD_F64, AD_SHAPE(8, 1)) };
        nn_train(net, trains);
        nn_train(bn, !trains);
        nn_train(dropout, !trains);
        ad_var *mean = nn_find_buffer(bn, "running_mean");
        double before = ad_at(mean, 0);
        ad_var *first = nn_predict(net, d.x, 3), *again = nn_predict(net, d.x, 8);
        for (int i = 0; i < 8; i++) assert_close(ad_at(first, i), ad_at(again, i), 1e-14);
        nn_evaluation e = nn_evaluate(net, nn_mse, nn_r2, d, 3);
        assert_close(nn_evaluate(net, nn_mse, NULL, d, 8).loss, e.loss, 1e-14);
        assert_true(ad_at(mean, 0) == before);
        nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.01 });
        nn_fit_opts o = { .epochs = 2, .validation = d, .metric = nn_r2 };
        if (trains) assert_int_equal(nn_fit(net, nn_mse, opt, d, o, NULL), AD_OK);
        if (trains) assert_true(ad_at(mean, 0) == before); /* bn is in evaluation mode */
        assert_true(nn_training(net) == trains && nn_training(inner) == trains && nn_training(last) == trains);
        assert_true(nn_training(bn) != trains && nn_training(dropout) != trains);
        assert_fails(g, nn_predict(net, ad_ones(g, AD_F64, AD_SHAPE(2, 5)), 2), AD_ESHAPE, "[2,5]");
        assert_true(nn_training(net) == trains && nn_training(bn) != trains);
        if (!trains) {
            assert_int_equal(nn_fit(net, nn_mse, opt, d, o, NULL), AD_EVALUE);
            assert_string_equal(ad_error(g), "fit: the network is in evaluation mode; call nn_train(net, true)");
        }
        ad_graph_free(g);
    }
}

/* ---- what would be ignored, or noticed late --------------------------------------------------------------- */

static int count_steps(const nn_training_state *s, void *data) { return (void)s, ++*(int *)data, 0; }

static void validation_data_is_tried_at_the_start(void **state) {
    (void)state;
    problem p = problem_new(), twin = problem_new();
    ad_var *x = p.data.validation.x, *y = p.data.validation.y, *scalar = ad_scalar(p.g, AD_F32, 1);
    const nn_dataset bad[] = {
        { ad_ones(p.g, AD_F32, AD_SHAPE(5, 3)), ad_zeros(p.g, AD_F32, AD_SHAPE(5)) }, /* three columns */
        { x, ad_zeros(p.g, AD_F32, AD_SHAPE(5)) },                                    /* other rows */
        { ad_cast(x, AD_F64), y },
        { x, ad_reshape(y, AD_SHAPE(27, 1)) },
        { x, NULL },
        { NULL, y },
        { scalar, scalar },
        { ad_ones(p.g, AD_F32, AD_SHAPE(0, 2)), ad_zeros(p.g, AD_F32, AD_SHAPE(0)) }, /* no rows */
        { x, ad_cast(y, AD_F64) },
    };
    int steps = 0;
    p.o.on_step = count_steps;
    p.o.callback_data = &steps;
    p.o.log = path_of("log");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p.o.validation = bad[i];
        if (ad_is_nil(bad[i].x)) p.o.metric = NULL;
        assert_true(fit(&p, NULL) < 0);
        assert_contains(ad_error(p.g), "fit: validation data: ");
        ad_clear_error(p.g);
        p.o.metric = nn_accuracy;
        assert_int_equal(steps, 0);
        assert_int_equal(access(p.o.log, F_OK), -1);
    }
    assert_same_net(&p, &twin);
    p.o.validation = p.data.validation;
    p.o.metric = nn_auc; /* takes one column of scores */
    assert_true(fit(&p, NULL) < 0);
    assert_contains(ad_error(p.g), "fit: validation data: auc: ");
    ad_graph_free(twin.g);
    ad_graph_free(p.g);
}

static void options_that_do_nothing_are_refused(void **state) {
    (void)state;
    problem p = problem_new();
    nn_optim *other = nn_sgd(p.net, (nn_sgd_opts){ .lr = 0.1 });
    nn_dataset v = p.data.validation;
    nn_schedule *down = nn_plateau_lr(p.opt, (nn_plateau_opts){ 0 });
    nn_schedule *up = nn_plateau_lr(p.opt, (nn_plateau_opts){ .maximise = true });
    const char *need = "fit: restore_best, min_delta and metrics need validation data";
    const struct {
        nn_fit_opts o;
        const char *sentence;
    } bad[] = {
        { { .epochs = 1, .restore_best = true }, need },
        { { .epochs = 1, .min_delta = 0.1 }, need },
        { { .epochs = 1, .metric = nn_accuracy }, need },
        { { .epochs = 1, .more_metrics = { { "", NULL }, { "F1", nn_f1 } } }, need },
        { { .epochs = 1, .schedule_by_step = true }, "fit: schedule_by_step needs a schedule" },
        { { .epochs = 1, .schedule = nn_exponential_lr(other, 1) }, "fit: the schedule is that of another optimiser" },
        { { .epochs = 1, .validation = v, .metric = nn_accuracy, .by_metric = true, .schedule = down },
          "fit: plateau_lr gets the metric, of which larger values are better: set its maximise" },
        { { .epochs = 1, .schedule = up },
          "fit: plateau_lr gets the loss, of which smaller values are better: do not set its maximise" },
        { { .epochs = 1, .validation = v, .metric = nn_accuracy, .by_metric = true, .schedule = up,
            .schedule_by_step = true },
          "fit: plateau_lr gets the loss, of which smaller values are better: do not set its maximise" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(nn_fit(p.net, nn_cross_entropy, p.opt, p.data.train, bad[i].o, NULL), AD_EVALUE);
        assert_string_equal(ad_error(p.g), bad[i].sentence);
        ad_clear_error(p.g);
    }
    nn_fit_opts o = { .epochs = 1, .validation = v, .metric = nn_accuracy, .by_metric = true, .schedule = up };
    assert_int_equal(nn_fit(p.net, nn_cross_entropy, p.opt, p.data.train, o, NULL), AD_OK);
    ad_graph_free(p.g);
}

/* The metric rises in each epoch, from -1 on. */
static double rising(const ad_var *y, const ad_var *target) {
    static double last = -1;
    return (void)target, last += 0.01 * (ad_numel(y) > 2);
}

static void a_plateau_waits_while_the_metric_improves(void **state) {
    (void)state;
    problem p = problem_new();
    p.o = (nn_fit_opts){ .epochs = 30, .validation = p.data.validation, .metric = rising, .by_metric = true };
    p.o.schedule = nn_plateau_lr(p.opt, (nn_plateau_opts){ .patience = 2, .maximise = true });
    nn_training_state end;
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_true(end.lr == 0.02 && end.best_epoch == 30);
    ad_graph_free(p.g);
}

static ad_var *no_loss(ad_var *y, ad_var *target) { return (void)y, (void)target, NULL; }

static void calls_without_sense_are_refused(void **state) {
    (void)state;
    problem p = problem_new(), q = problem_new();
    assert_int_equal(nn_fit(p.net, no_loss, p.opt, p.data.train, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EVALUE);
    assert_string_equal(ad_error(p.g), "fit: the loss function returned NULL");
    ad_clear_error(p.g);
    assert_int_equal(nn_fit(p.net, nn_mse, q.opt, p.data.train, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EGRAPH);
    assert_string_equal(ad_error(p.g), "fit: network and optimiser belong to two graphs");
    ad_clear_error(p.g);
    assert_fails(p.g, nn_predict(p.net, q.data.train.x, 8), AD_EGRAPH, "predict: the network and x belong to two");
    assert_true(isnan(nn_evaluate(NULL, nn_mse, NULL, p.data.train, 8).loss));
    assert_string_equal(ad_error(p.g), "predict: the network is NULL or x is nil");
    ad_clear_error(p.g);
#ifndef SANITIZED
    ad_mark m = ad_begin(p.g);
    nn_module *net = nn_linear(p.g, AD_F32, 2, 2, true);
    nn_optim *opt = nn_sgd(p.net, (nn_sgd_opts){ .lr = 1 });
    nn_schedule *s = nn_exponential_lr(p.opt, 1);
    ad_end(p.g, m);
    assert_int_equal(nn_fit(net, nn_mse, p.opt, p.data.train, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EGRAPH);
    assert_string_equal(ad_error(p.g), "fit: the network was made in a scope that is closed");
    ad_clear_error(p.g);
    assert_int_equal(nn_fit(p.net, nn_mse, opt, p.data.train, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EGRAPH);
    assert_string_equal(ad_error(p.g), "fit: the optimiser was made in a scope that is closed");
    ad_clear_error(p.g);
    nn_fit_opts o = { .epochs = 1, .schedule = s };
    assert_int_equal(nn_fit(p.net, nn_mse, p.opt, p.data.train, o, NULL), AD_EGRAPH);
    assert_string_equal(ad_error(p.g), "fit: the schedule was made in a scope that is closed");
    ad_clear_error(p.g);
    assert_fails(p.g, nn_predict(net, p.data.train.x, 8), AD_EGRAPH, "predict: the network was made in a scope");
#endif
    ad_graph_free(p.g);
    ad_graph_free(q.g);
}

/* Products of rows with one another: the last batch has shorter rows. */
static ad_var *with_each_other(ad_var *x) { return ad_matmul(x, ad_transpose(x)); }

static void rows_must_be_alike_in_all_batches(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_function(g, with_each_other);
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(10, 3));
    assert_fails(g, nn_predict(net, x, 4), AD_ESHAPE, "predict: the network returns f64 [2,2] for 2 rows, and other");
    assert_shape(nn_predict(net, x, 5), AD_SHAPE(10, 5));
    assert_ok(g);
    ad_graph_free(g);
}

static void options_have_defaults_and_a_zero(void **state) {
    (void)state;
    assert_true(ad_option(0, 7) == 7 && ad_option(AD_ZERO, 7) == 0 && ad_option(-2, 7) == -2);
    assert_true(isnan(ad_option(NAN, 7)) && ad_option(INFINITY, 7) > 1e300);
    assert_true(ad_option_int(0, 7) == 7 && ad_option_int(AD_ZERO, 7) == 0 && ad_option_int(INT64_MAX, 7) == INT64_MAX);
    problem p = problem_new(), q = problem_new();
    nn_training_state end;
    p.o = (nn_fit_opts){ .epochs = 2 };
    q.o = (nn_fit_opts){ .epochs = 2, .batch = 32, .clip_norm = AD_ZERO, .patience = AD_ZERO, .min_delta = AD_ZERO,
                         .checkpoint_steps = AD_ZERO, .prefetch = AD_ZERO };
    assert_int_equal(fit(&p, &end), AD_OK);
    assert_int_equal(end.steps, 4); /* 63 rows in minibatches of 32 */
    assert_int_equal(fit(&q, &end), AD_OK);
    assert_same_net(&p, &q);
    ad_graph_free(p.g);
    ad_graph_free(q.g);
}

/* ---- evaluation -------------------------------------------------------------------------------------- */

static void predictions_are_the_same_in_any_batch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 2, 4, 3 }, ad_tanh);
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(17, 2)), *want = nn_apply(net, x);
    for (int64_t batch = 1; batch < 20; batch++) {
        ad_var *y = nn_predict(net, x, batch);
        assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(17, 3)));
        for (int i = 0; i < 51; i++) assert_close(ad_at(y, i), ad_at(want, i), 1e-14);
        assert_false(ad_requires_grad(y));
    }
    assert_true(nn_training(net));
    assert_true(ad_shape_equal(ad_shape_of(nn_predict(net, ad_zeros(g, AD_F64, AD_SHAPE(0, 2)), 4)), AD_SHAPE(0, 3)));
    nn_evaluation e = nn_evaluate(net, nn_mse, nn_r2, (nn_dataset){ x, want }, 5);
    assert_close(e.loss, 0, 1e-14);
    assert_close(e.metric, 1, 1e-14);
    assert_ok(g);
    assert_true(ad_is_nil(nn_predict(net, x, 0)));
    assert_string_equal(ad_error(g), "predict: batch 0: it must be at least 1");
    ad_graph_free(g);
}

/* ---- images ------------------------------------------------------------------------------------------ */

static void images_are_moved_whole(void **state) {
    (void)state;
    float image[2][5][5] = { { { 0 } } }, to[2][5][5];
    image[0][2][1] = 1;
    image[1][2][2] = 2;
    int places[5][5] = { { 0 } }, mirrored = 0;
    for (uint64_t k = 0; k < 500; k++) {
        ad_random_state r = { 1, k << 32 };
        nn_augment(AD_F32, AD_SHAPE(2, 5, 5), image, to, &r, &(nn_augmentation){ .shift = 1, .flip = true });
        int found = 0;
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 5; j++)
                if (to[1][i][j] == 2) {
                    places[i][j]++, found++;
                    bool left = j > 0 && to[0][i][j - 1] == 1, right = j < 4 && to[0][i][j + 1] == 1;
                    assert_true(left != right);
                    mirrored += right;
                }
        assert_int_equal(found, 1);
    }
    for (int i = 1; i < 4; i++)
        for (int j = 1; j < 4; j++) assert_in_range(places[i][j], 25, 100);
    assert_in_range(mirrored, 180, 320);
}

/* Bilinear interpolation, from its definition. */
static double between(int h, int w, const double *x, double row, double column) {
    double v = 0;
    for (int r = 0; r < h; r++)
        for (int c = 0; c < w; c++)
            v += fmax(0, 1 - fabs(row - r)) * fmax(0, 1 - fabs(column - c)) * x[r * w + c];
    return v;
}

static void images_are_looked_up_between_pixels(void **state) {
    (void)state;
    uint64_t random = 6;
    double wide[12 * 37], y[12 * 37];
    float narrow[12 * 37], z[12 * 37];
    for (int trial = 0; trial < 200; trial++) {
        int h = 1 + next_below(&random, 12), w = 1 + next_below(&random, 37);
        nn__places p;
        for (int i = 0; i < h * w; i++) narrow[i] = (float)(wide[i] = next_between(&random, -1, 1));
        for (int k = 0; k < 3; k++) {
            p.row[k] = next_between(&random, k ? -1.5 : -9, k ? 1.5 : 9);
            p.column[k] = next_between(&random, k ? -1.5 : -9, k ? 1.5 : 9);
        }
        nn__image_warp_f64(h, w, &p, wide, y);
        nn__image_warp_f32(h, w, &p, narrow, z);
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                double row = p.row[0] + i * p.row[1] + j * p.row[2];
                double want = between(h, w, wide, row, p.column[0] + i * p.column[1] + j * p.column[2]);
                assert_close(y[i * w + j], want, 1e-12);
                assert_close(z[i * w + j], want, 1e-6);
            }
    }
}

/* Nothing is written for an invalid shape, and rows that are not images are copied. */
static void rows_that_are_not_images_are_copied(void **state) {
    (void)state;
    float from[4] = { 1, 2, 3, 4 }, to[4] = { 0 };
    ad_random_state r = { 1, 0 };
    nn_augmentation a = { .shift = 1, .angle = 90, .noise = 1, .flip = true };
    static const int64_t wrong[] = { -1, 7, 100000 };
    for (int i = 0; i < 3; i++) {
        ad_shape s = { .ndim = (int)wrong[i], .dim = { 1, 1, 1, 1, 1, 1 } };
        nn_augment(AD_F32, s, from, to, &r, &a);
    }
    nn_augment(AD_F32, AD_SHAPE(2, -2), from, to, &r, &a);
    nn_augment(AD_F32, AD_SHAPE(2, 0, 2), from, to, &r, &a);
    assert_true(to[0] == 0 && to[3] == 0 && r.counter == 0);
    nn_augment(AD_F32, AD_SHAPE(4), from, to, &r, &a);
    assert_memory_equal(to, from, sizeof to);
    memset(to, 0, sizeof to);
    nn_augment(AD_F32, AD_SHAPE(2, 2), from, to, &r, NULL);
    assert_memory_equal(to, from, sizeof to);
    nn_augment(AD_F32, AD_SHAPE(2, 2), from, to, &r, &(nn_augmentation){ .shift = AD_ZERO, .angle = AD_ZERO });
    assert_memory_equal(to, from, sizeof to);
}

static void images_are_turned_and_blurred(void **state) {
    (void)state;
    double image[31][31] = { { 0 } }, to[31][31], sum = 0, squares = 0;
    for (int j = 20; j < 30; j++) image[15][j] = 1; /* to the right of the centre */
    for (uint64_t k = 0; k < 50; k++) {
        ad_random_state r = { 2, k << 32 };
        double at = 0, mass = 0;
        nn_augment(AD_F64, AD_SHAPE(31, 31), image, to, &r, &(nn_augmentation){ .angle = 20 });
        for (int i = 0; i < 31; i++)
            for (int j = 0; j < 31; j++) {
                if (to[i][j] != 0) assert_true(fabs(atan2(i - 15, j - 15)) < 0.47);
                at += to[i][j] * i, mass += to[i][j];
            }
        assert_close(mass, 10, 0.1);
        sum += fabs(at / mass - 15);
    }
    assert_true(sum / 50 > 1 && sum / 50 < 3.5);
    ad_random_state r = { 3, 0 };
    nn_augment(AD_F64, AD_SHAPE(31, 31), image, to, &r, &(nn_augmentation){ .noise = 0.5 });
    for (int i = 0; i < 31 * 31; i++) squares += pow(to[i / 31][i % 31] - image[i / 31][i % 31], 2);
    assert_close(sqrt(squares / 961), 0.5, 0.05);
}

static void transforms_leave_the_data_alone(void **state) {
    (void)state;
    problem p = problem_new(), twin = problem_new();
    float before[126];
    memcpy(before, ad_data(p.data.train.x), sizeof before);
    p.o.transform = twin.o.transform = shake;
    twin.o.in_order = p.o.in_order = true;
    assert_int_equal(fit(&p, NULL), AD_OK);
    assert_memory_equal(before, ad_data(p.data.train.x), sizeof before);
    twin.o.transform = NULL;
    assert_int_equal(fit(&twin, NULL), AD_OK);
    assert_memory_not_equal(ad_data(nn_find_parameter(p.net, "0.weight")),
                            ad_data(nn_find_parameter(twin.net, "0.weight")), 48);
    ad_graph_free(p.g);
    ad_graph_free(twin.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_does_what_the_loop_by_hand_does),
        cmocka_unit_test(it_learns_and_tells),
        cmocka_unit_test(it_tells_several_metrics),
        cmocka_unit_test(a_terminal_has_a_bar),
        cmocka_unit_test(an_epoch_of_one_step_has_a_time),
        cmocka_unit_test(it_stops_early_with_the_best_weights),
        cmocka_unit_test(callbacks_stop_it),
        cmocka_unit_test(a_minimiser_is_given_a_function),
        cmocka_unit_test(gradients_are_clipped),
        cmocka_unit_test(a_steady_step_takes_no_memory),
        cmocka_unit_test(bad_calls_are_refused),
        cmocka_unit_test(a_loss_that_is_not_finite_stops_it),
        cmocka_unit_test(a_diverging_run_stops_with_finite_weights),
#ifdef AD_HAVE_CSV
        cmocka_unit_test(names_with_commas_and_quotes_are_read_back),
#endif
        cmocka_unit_test(weights_that_are_not_finite_are_no_checkpoint),
        cmocka_unit_test(huge_gradients_are_clipped),
        cmocka_unit_test(an_optimiser_of_the_head_counts_the_head_alone),
        cmocka_unit_test(modes_are_put_aside_and_back),
        cmocka_unit_test(validation_data_is_tried_at_the_start),
        cmocka_unit_test(options_that_do_nothing_are_refused),
        cmocka_unit_test(a_plateau_waits_while_the_metric_improves),
        cmocka_unit_test(calls_without_sense_are_refused),
        cmocka_unit_test(rows_must_be_alike_in_all_batches),
        cmocka_unit_test(options_have_defaults_and_a_zero),
        cmocka_unit_test(predictions_are_the_same_in_any_batch),
        cmocka_unit_test(images_are_moved_whole),
        cmocka_unit_test(images_are_looked_up_between_pixels),
        cmocka_unit_test(rows_that_are_not_images_are_copied),
        cmocka_unit_test(images_are_turned_and_blurred),
        cmocka_unit_test(transforms_leave_the_data_alone),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
