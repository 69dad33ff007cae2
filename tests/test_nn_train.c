/* test_nn_train.c: steps of several minibatches, weights of rows, averages of weights, options that contradict each
   other and the search for a rate, against what torch makes of the same problem: tests/reference/training.py. */
#include "tests/training.h"

static nn_module *normed_new(ad_graph *g) {
    nn_module *m =
        nn_sequential(g, nn_linear(g, AD_F64, 3, 4, true), nn_batch_norm(g, AD_F64, 4, (nn_batch_norm_opts){ 0 }),
                      nn_tanh(g), nn_linear(g, AD_F64, 4, 3, true));
    set_parameters(m);
    return m;
}

static ad_var *weights_new(ad_graph *g, ad_dtype t) {
    ad_var *w = ad_zeros(g, t, AD_SHAPE(ROWS));
    for (int i = 0; i < ROWS; i++) ad_write_element(t, ad_data_mut(w), i, 0.5 + 3 * i % 7 / 4.0);
    return w;
}

/* ---- steps of several minibatches, and weights --------------------------------------------------------------- */

static ad_var *losses_of_rows(ad_var *y, ad_var *classes) {
    return nn_cross_entropy_with(y, classes, (ad_ce_opts){ .reduction = AD_NONE });
}

/* What torch makes with minibatches of all rows of a step; the last step of an epoch has fewer. */
static void steps_are_those_of_larger_minibatches(void **state) {
    (void)state;
    static const struct {
        const char *name;
        nn_optim *(*make)(nn_module *);
        int64_t batch, accumulate;
        bool weighted;
    } cases[] = {
        { "sgd_8", sgd, 8, 1, false },      { "sgd_8", sgd, 4, 2, false },       { "sgd_8", sgd, 2, 4, false },
        { "sgd_8", sgd, 1, 8, false },      { "adam_8", adam, 4, 2, false },     { "adam_all", adam, 22, 1, false },
        { "adam_all", adam, 5, 5, false },  { "adam_all", adam, 7, 100, false }, { "sgd_weights", sgd, 8, 1, true },
        { "sgd_weights", sgd, 4, 2, true }, { "sgd_weights", sgd, 1, 8, true },  { "adam_weights_5", adam, 5, 1, true },
    };
    for (int c = 0; c < COUNT(cases); c++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            nn_module *m = net_new(g, t);
            nn_training_state end;
            nn_fit_opts o = { .epochs = EPOCHS, .in_order = true, .batch = cases[c].batch };
            o.accumulate = cases[c].accumulate;
            if (cases[c].weighted) o.weights = weights_new(g, t);
            nn_loss_fn *loss = cases[c].weighted ? losses_of_rows : nn_cross_entropy;
            int rc = nn_fit(m, loss, cases[c].make(m), data_new(g, t), o, &end);
            assert_ok(g);
            assert_int_equal(rc, AD_OK);
            compare(cases[c].name, m, t == AD_F32 ? 2e-4 : 1e-12);
            int64_t per_step = o.batch * o.accumulate;
            assert_int_equal(end.steps, EPOCHS * ((ROWS + per_step - 1) / per_step));
            ad_graph_free(g);
        }
}

static ad_var *scaled(ad_var *y, ad_var *classes, void *data) {
    return ad_muls(nn_cross_entropy(y, classes), *(const double *)data);
}

static double scaled_accuracy(const ad_var *y, const ad_var *classes, void *data) {
    return *(const double *)data * nn_accuracy(y, classes);
}

/* Label smoothing and weights of classes, in nn_fit. */
static void losses_take_data(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double weights[3];
        ad_ce_opts o;
    } cases[] = { { "sgd_8", { 1, 1, 1 }, { 0 } },
                  { "sgd_smoothed", { 1, 1, 1 }, { .label_smoothing = 0.1 } },
                  { "sgd_class_weights", { 0.5, 2, 1.25 }, { .label_smoothing = 0.2 } } };
    for (int c = 0; c < COUNT(cases); c++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = net_new(g, AD_F64);
        ad_ce_opts how = cases[c].o;
        how.weight = ad_tensor(g, AD_F64, cases[c].weights, AD_SHAPE(3));
        nn_fit_opts o = { .epochs = EPOCHS, .batch = 8, .in_order = true, .loss_with = nn_cross_entropy_data };
        o.loss_data = &how;
        assert_int_equal(nn_fit(m, NULL, sgd(m), data_new(g, AD_F64), o, NULL), AD_OK);
        compare(cases[c].name, m, 1e-12);
        ad_graph_free(g);
    }
}

static void metrics_take_data(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    nn_dataset d = data_new(g, AD_F64);
    double two = 2, three = 3;
    nn_training_state end;
    nn_fit_opts o = {
        .epochs = 1, .batch = 8, .in_order = true, .validation = d, .loss_with = scaled, .loss_data = &two
    };
    o.metric_with = scaled_accuracy, o.metric_data = &three, o.metric_name = "three";
    o.more_metrics[0] = (nn_metric){ "one", nn_accuracy };
    o.more_metrics_with[1] = (nn_data_metric){ "two", scaled_accuracy, &two };
    o.log = path_of("log"), o.by_metric = true;
    assert_int_equal(nn_fit(m, NULL, sgd(m), d, o, &end), AD_OK);
    nn_evaluation e = nn_evaluate(m, nn_cross_entropy, nn_accuracy, d, 5);
    assert_close(end.validation_loss, 2 * e.loss, 1e-14);
    assert_true(end.metric == 3 * e.metric && end.more_metrics[0] == e.metric && end.more_metrics[1] == 2 * e.metric);
    assert_true(isnan(end.more_metrics[2]) && end.best == end.metric);
    char *text = whole_file(o.log);
    assert_contains(text, "epoch,steps,lr,loss,validation_loss,three,one,two\n1,3,");
    free(text), unlink(o.log);
    nn_evaluate_opts how = {
        .loss_with = scaled, .loss_data = &two, .metric_with = scaled_accuracy, .metric_data = &three
    };
    nn_evaluation with = nn_evaluate_with(m, d, how);
    assert_true(with.loss == 2 * nn_evaluate(m, nn_cross_entropy, NULL, d, 256).loss && with.metric == 3 * e.metric);
    how.loss = nn_cross_entropy;
    assert_true(isnan(nn_evaluate_with(m, d, how).loss));
    assert_contains(ad_error(g), "evaluate: two losses or two metrics are given");
    ad_graph_free(g);
}

/* The target of each row; its gradient is that of 0. */
static ad_var *target_itself(ad_var *y, ad_var *target) {
    return ad_add(target, ad_muls(ad_mean_axis(y, 1, false), 0));
}

/* Shuffled rows keep their weights: the loss is sum(weight target) / sum(weight). */
static void weights_follow_their_rows(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    nn_dataset d = data_new(g, AD_F64);
    ad_var *w = weights_new(g, AD_F64);
    double sum = 0, weight = 0, classes[ROWS];
    for (int i = 0; i < ROWS; i++) {
        classes[i] = i * i;
        sum += ad_at(w, i) * classes[i], weight += ad_at(w, i);
    }
    ad_set(d.y, classes);
    nn_fit_opts o = { .epochs = 3, .batch = ROWS, .weights = w };
    nn_training_state end;
    assert_int_equal(nn_fit(m, target_itself, sgd(m), d, o, &end), AD_OK);
    assert_close(end.loss, sum / weight, 1e-14);
    ad_graph_free(g);
}

/* ---- options that contradict each other ---------------------------------------------------------------------- */

static void no_transform(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data) {
    (void)r, (void)data;
    memcpy(to, from, (size_t)ad_shape_numel(row) * ad_dtype_size(t));
}

static bool no_stream(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    (void)g, (void)epoch, (void)number, (void)x, (void)y, (void)data;
    return false;
}
static bool stream_of_nil(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    (void)g, (void)epoch, (void)x, (void)y, (void)data;
    return number < 2;
}
static void mix_to_null(ad_var **x, ad_var **y, void *data) { (void)y, (void)data, *x = NULL; }

typedef struct {
    ad_graph *g;
    nn_module *m, *same;
    nn_dataset d;
} wrong;

static wrong wrong_new(void) {
    wrong w = { .g = ad_graph_new() };
    w.m = net_new(w.g, AD_F64), w.same = net_new(w.g, AD_F64), w.d = data_new(w.g, AD_F64);
    return w;
}

/* nn_fit is an error, and moves nothing. */
static void refuses(const wrong *w, nn_loss_fn *loss, nn_fit_opts o, int code, const char *text) {
    nn_dataset none = { NULL, NULL };
    o.epochs = 1;
    assert_int_equal(nn_fit(w->m, loss, sgd(w->m), o.stream ? none : w->d, o, NULL), code);
    assert_contains(ad_error(w->g), text);
    ad_clear_error(w->g);
    assert_same_nets(w->m, w->same);
}

#define REFUSES(loss, code, text, ...) refuses(&w, loss, (nn_fit_opts){ __VA_ARGS__ }, code, text)

static void wrong_sources_are_errors(void **state) {
    (void)state;
    wrong w = wrong_new();
    double two = 2;
    nn_loss_fn *ce = nn_cross_entropy;
    REFUSES(ce, AD_EVALUE, "fit: accumulate -1: at least 1", .accumulate = -1);
    REFUSES(NULL, AD_EVALUE, "fit: the loss or the optimiser is NULL", .batch = 8);
    REFUSES(ce, AD_EVALUE, "loss and loss_with are two", .loss_with = scaled, .loss_data = &two);
    REFUSES(ce, AD_EVALUE, "metric 0 is given twice", .validation = w.d, .metric = nn_accuracy,
            .metric_with = scaled_accuracy);
    REFUSES(ce, AD_EVALUE, "metrics need validation data", .metric_with = scaled_accuracy);
    ad_var *ones = ad_ones(w.g, AD_F64, AD_SHAPE(ROWS));
    nn_fit_opts with_stream[] = { { .drop_last = true }, { .in_order = true }, { .transform = no_transform },
                                  { .prefetch = 1 }, { .weights = ones } };
    for (int i = 0; i < COUNT(with_stream); i++) {
        with_stream[i].stream = no_stream;
        refuses(&w, ce, with_stream[i], AD_EVALUE, "fit: a stream goes without data");
    }
    REFUSES(ce, AD_EVALUE, "fit: the stream has no minibatch in epoch 1", .stream = no_stream);
    REFUSES(ce, AD_EVALUE, "minibatch 0 of the stream has no rows: x is nil", .stream = stream_of_nil);
    REFUSES(ce, AD_EVALUE, "mixup: no nn_mix is given", .mix = nn_mixup);
    REFUSES(ce, AD_EVALUE, "fit: mix made x or y of a minibatch NULL", .mix = mix_to_null);
    nn_dataset only[] = { { w.d.x, NULL }, { NULL, w.d.y } };
    for (int i = 0; i < 2; i++) {
        nn_fit_opts streamed = { .epochs = 1, .stream = no_stream };
        assert_int_equal(nn_fit(w.m, ce, sgd(w.m), only[i], streamed, NULL), AD_EVALUE);
        assert_contains(ad_error(w.g), "fit: a stream goes without data");
        ad_clear_error(w.g);
    }
    nn_optim *lbfgs = nn_lbfgs(w.m, (nn_lbfgs_opts){ 0 });
    nn_fit_opts o = { .epochs = 1, .accumulate = 2 };
    assert_int_equal(nn_fit(w.m, nn_cross_entropy, lbfgs, w.d, o, NULL), AD_EVALUE);
    assert_contains(ad_error(w.g), "fit: lbfgs takes neither accumulate nor weights");
    ad_graph_free(w.g);
}

static void wrong_weights_are_errors(void **state) {
    (void)state;
    wrong w = wrong_new();
    ad_graph *g = w.g;
    nn_average *average = nn_average_new(w.same, (nn_average_opts){ 0 });
    ad_var *right = weights_new(g, AD_F64), *few = ad_ones(g, AD_F64, AD_SHAPE(3));
    ad_var *zero = ad_zeros(g, AD_F64, AD_SHAPE(ROWS)), *negative = ad_full(g, AD_F64, -1, AD_SHAPE(ROWS));
    nn_loss_fn *of_rows = losses_of_rows, *ce = nn_cross_entropy;
    REFUSES(of_rows, AD_ESHAPE, "fit: weights is [3]; it must be [22]", .weights = few);
    REFUSES(of_rows, AD_EVALUE, "the weights of the rows of a minibatch are all 0", .weights = zero);
    REFUSES(of_rows, AD_EVALUE, "fit: weight 0 is -1: it must be finite, 0 or more", .weights = negative);
    REFUSES(of_rows, AD_EVALUE, "fit: weights is nil", .weights = ad_nil(g));
    REFUSES(of_rows, AD_EVALUE, "fit: mix has no rows", .weights = right, .mix = nn_mixup);
    REFUSES(ce, AD_ESHAPE, "need the loss of each of the 22 rows, and the loss function returned []", .weights = right);
    REFUSES(ce, AD_EVALUE, "fit: the average is that of another module", .average = average);
    REFUSES(ce, AD_EVALUE, "average_from and average_epochs need an average", .average_from = 2);
    ad_graph_free(g);
}

/* ---- averages ------------------------------------------------------------------------------------------------ */

static void averages_are_torchs(void **state) {
    (void)state;
    static const struct {
        const char *name;
        nn_average_opts o;
    } cases[] = { { "swa", { .decay = 0 } },
                  { "ema", { .decay = 0.9 } },
                  { "ema_warm", { .decay = 0.9, .warm_up = true } } };
    for (int c = 0; c < COUNT(cases); c++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            nn_module *m = net_new(g, t);
            nn_average *a = nn_average_new(m, cases[c].o);
            nn_fit_opts o = { .epochs = EPOCHS, .batch = 8, .in_order = true, .average = a };
            double tol = t == AD_F32 ? 1e-4 : 1e-12;
            assert_int_equal(nn_fit(m, nn_cross_entropy, sgd(m), data_new(g, t), o, NULL), AD_OK);
            assert_int_equal(nn_average_count(a), 9);
            compare("sgd_8", m, tol); /* the net has its own weights */
            assert_int_equal(nn_average_swap(a), AD_OK);
            compare(cases[c].name, m, tol);
            assert_int_equal(nn_average_update(a), AD_EVALUE);
            assert_contains(ad_error(g), "average_update: the module has the averages; call nn_average_swap");
            ad_clear_error(g);
            assert_int_equal(nn_average_apply(a), AD_EVALUE);
            ad_clear_error(g);
            assert_int_equal(nn_average_swap(a), AD_OK);
            compare("sgd_8", m, tol);
            assert_true(ad_at(nn_average_find(a, "0.weight"), 0) != ad_at(nn_find_parameter(m, "0.weight"), 0));
            assert_int_equal(nn_average_apply(a), AD_OK);
            compare(cases[c].name, m, tol);
            ad_graph_free(g);
        }
}

/* With a batch norm: buffers that are averaged, and statistics anew. */
static void statistics_of_averages_are_torchs(void **state) {
    (void)state;
    for (int buffers = 0; buffers < 2; buffers++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = normed_new(g), *norm = nn_find_module(m, "1");
        nn_dataset d = data_new(g, AD_F64);
        nn_average *a = nn_average_new(m, (nn_average_opts){ .decay = 0.8, .buffers = buffers });
        nn_fit_opts o = { .epochs = EPOCHS, .batch = 8, .in_order = true, .average = a };
        assert_int_equal(nn_fit(m, nn_cross_entropy, sgd(m), d, o, NULL), AD_OK);
        double own = ad_at(nn_find_buffer(norm, "running_mean"), 1), want[60];
        assert_int_equal(nn_average_swap(a), AD_OK);
        const char *name = buffers ? "norm_buffers" : "norm_parameters_then_update_bn";
        nn_train(nn_find_module(m, "1"), false); /* a mode that is given back */
        if (!buffers) assert_int_equal(nn_update_statistics(m, d.x, 8), AD_OK);
        assert_false(nn_training(nn_find_module(m, "1")));
        assert_true(nn_training(m));
        compare(name, m, 1e-12);
        int n = reference_row("training", name, want, 60);
        for (int k = 0; k < 4; k++) {
            assert_close(ad_at(nn_find_buffer(norm, "running_mean"), k), want[n - 8 + k], 1e-12);
            assert_close(ad_at(nn_find_buffer(norm, "running_var"), k), want[n - 4 + k], 1e-12);
        }
        assert_true(ad_item(nn_find_buffer(norm, "num_batches_tracked")) == (buffers ? 9 : 3));
        assert_int_equal(nn_average_swap(a), AD_OK);
        assert_true(ad_at(nn_find_buffer(norm, "running_mean"), 1) == own);
        ad_graph_free(g);
    }
}

/* Minibatches of the caller's, and what fails puts the old statistics back. */
static void statistics_are_means_over_minibatches(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_batch_norm(g, AD_F64, 1, (nn_batch_norm_opts){ 0 });
    ad_var *mean = nn_find_buffer(m, "running_mean");
    static const double values[] = { 1, 3, 5, 9, 2, 2 };
    assert_int_equal(nn_statistics_begin(m), AD_OK);
    for (int i = 0; i < 3; i++) nn_apply(m, ad_tensor(g, AD_F64, values + 2 * i, AD_SHAPE(2, 1)));
    assert_int_equal(nn_statistics_end(m), AD_OK);
    assert_close(ad_item(mean), (2 + 7 + 2) / 3.0, 1e-15);
    assert_close(ad_item(nn_find_buffer(m, "running_var")), (2 + 8 + 0) / 3.0, 1e-15);
    nn_apply(m, ad_tensor(g, AD_F64, values, AD_SHAPE(2, 1)));
    assert_close(ad_item(mean), 0.9 * 11 / 3 + 0.1 * 2, 1e-15); /* as before */
    double before = ad_item(mean);
    nn_train(m, false);
    assert_int_equal(nn_update_statistics(m, ad_ones(g, AD_F64, AD_SHAPE(4, 3)), 2), AD_ESHAPE);
    ad_clear_error(g);
    assert_true(ad_item(mean) == before && !nn_training(m));
    assert_int_equal(nn_update_statistics(m, ad_ones(g, AD_F64, AD_SHAPE(0, 1)), 2), AD_ESHAPE);
    assert_contains(ad_error(g), "update_statistics: x is [0,1]; it needs rows");
    ad_clear_error(g);
    assert_int_equal(nn_update_statistics(m, ad_ones(g, AD_F64, AD_SHAPE(4, 1)), 0), AD_EVALUE);
    ad_clear_error(g);
    assert_int_equal(nn_update_statistics(NULL, ad_ones(g, AD_F64, AD_SHAPE(4, 1)), 1), AD_EVALUE);
    assert_contains(ad_error(g), "update_statistics: the network is NULL");
    ad_graph_free(g);
}

static void wrong_averages_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    static const nn_average_opts bad[] = { { .decay = 1 }, { .decay = -0.1 }, { .decay = NAN }, { .warm_up = true } };
    for (int i = 0; i < COUNT(bad); i++) {
        assert_null(nn_average_new(m, bad[i]));
        assert_contains(ad_error(g), "average_new: ");
        ad_clear_error(g);
    }
    nn_average *a = nn_average_new(m, (nn_average_opts){ .decay = 0.5 });
    assert_int_equal(nn_average_swap(a), AD_EVALUE);
    assert_contains(ad_error(g), "average_swap: there was no nn_average_update yet");
    ad_clear_error(g);
    assert_int_equal(nn_average_apply(a), AD_EVALUE);
    ad_clear_error(g);
    assert_null(nn_average_find(a, "9.weight"));
    assert_null(nn_average_find(a, NULL));
    assert_null(nn_average_new(NULL, (nn_average_opts){ 0 }));
    assert_int_equal(nn_average_update(NULL), AD_EVALUE);
    assert_int_equal(nn_average_count(NULL), 0);
    assert_ok(g);
    ad_mark scope = ad_begin(g);
    nn_average *inner = nn_average_new(m, (nn_average_opts){ 0 });
    ad_end(g, scope);
#ifndef SANITIZED
    assert_int_equal(nn_average_update(inner), AD_EGRAPH);
    assert_contains(ad_error(g), "average_update: the average was made in a scope that is closed");
#else
    (void)inner;
#endif
    ad_graph_free(g);
}

/* Validation, the best epoch and what restore_best leaves are those of the averages. */
static void the_best_epoch_is_that_of_averages(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *a = net_new(g, AD_F64), *b = net_new(g, AD_F64);
    nn_dataset d = data_new(g, AD_F64);
    nn_average *of_a = nn_average_new(a, (nn_average_opts){ 0 }), *of_b = nn_average_new(b, (nn_average_opts){ 0 });
    nn_fit_opts o = { .epochs = 4, .batch = 8, .in_order = true, .validation = d, .average = of_a };
    o.average_from = 1, o.average_epochs = true, o.restore_best = true;
    nn_training_state end;
    assert_int_equal(nn_fit(a, nn_cross_entropy, sgd(a), d, o, &end), AD_OK);
    assert_int_equal(nn_average_count(of_a), 3);
    /* by hand */
    nn_optim *opt = sgd(b);
    double last = NAN;
    for (int e = 0; e < 4; e++) {
        nn_fit_opts one = { .epochs = 1, .batch = 8, .in_order = true };
        assert_int_equal(nn_fit(b, nn_cross_entropy, opt, d, one, NULL), AD_OK);
        if (e == 0) continue;
        nn_average_update(of_b);
        nn_average_swap(of_b);
        last = nn_evaluate(b, nn_cross_entropy, NULL, d, 256).loss;
        nn_average_swap(of_b);
    }
    assert_true(end.validation_loss == last);
    assert_int_equal(end.best_epoch, 4);
    nn_average_apply(of_b);
    assert_same_nets(a, b);
    ad_graph_free(g);
}

/* ---- resuming ------------------------------------------------------------------------------------------------ */

/* Averages, accumulation, weights and mixes, stopped after any step and resumed: the same bits. */
static void a_resumed_training_has_the_same_averages(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int stop = 0; stop <= 9; stop++) {
            ad_graph *g = ad_graph_new();
            ad_seed(g, 3);
            nn_dataset d = data_new(g, AD_F32);
            static nn_mix mix = { .classes = 3, .alpha = 0.4 };
            nn_module *whole = noisy_net(g), *parts = nn_copy(whole), *again = nn_copy(whole);
            nn_average *kept[3];
            nn_module *nets[3] = { whole, parts, again };
            nn_fit_opts o = { .epochs = EPOCHS, .batch = 5, .accumulate = 2 }; /* the last step has one minibatch */
            if (kind == 0) o.weights = weights_new(g, AD_F32);
            if (kind == 2) o.mix = nn_mixup, o.mix_data = &mix;
            for (int i = 0; i < 3; i++) {
                kept[i] = nn_average_new(nets[i], (nn_average_opts){ .decay = 0.9 });
                if (i == 1 && stop == 0) continue;
                nn_fit_opts now = o;
                now.average = kept[i];
                if (kind == 0) now.loss_with = NULL;
                else now.loss_with = nn_cross_entropy_data;
                if (i > 0) now.checkpoint = path_of("half"), now.checkpoint_steps = 1, now.resume = true;
                if (i == 1) now.on_step = stop_at, now.callback_data = &stop;
                ad_seed(g, 5);
                assert_int_equal(nn_fit(nets[i], kind == 0 ? losses_of_rows : NULL, adam(nets[i]), d, now, NULL),
                                 AD_OK);
            }
            assert_same_nets(whole, again);
            nn_average_swap(kept[0]), nn_average_swap(kept[2]);
            assert_same_nets(whole, again);
            assert_int_equal(nn_average_count(kept[0]), nn_average_count(kept[2]));
            assert_ok(g);
            unlink(path_of("half"));
            ad_graph_free(g);
        }
}

/* ---- the search for a rate ----------------------------------------------------------------------------------- */

static ad_var *squared_errors(ad_var *y, ad_var *classes) { return nn_mse(y, ad_one_hot(classes, 3)); }

static void rates_are_found_as_fastai_and_lightning_do(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64), *same = nn_copy(m);
    nn_optim *opt = sgd(m);
    double want[100], tried[60], losses[60];
    int n = reference_row("training", "rates", want, 100);
    nn_rates found;
    nn_rate_opts o = { .from = 1e-4, .to = 100, .steps = 60, .batch = 8, .smoothing = 0.8, .in_order = true };
    o.rates = tried, o.losses = losses;
    ad_random_state before = ad_random_get(g);
    double rate = nn_find_rate(m, squared_errors, opt, data_new(g, AD_F64), o, &found);
    assert_ok(g);
    assert_int_equal(found.steps, (int)want[0]);
    assert_int_equal(n, 3 + (int)want[0]);
    assert_relative(rate, want[1], 1e-12);
    assert_true(rate == found.steepest);
    assert_relative(found.minimum, want[2], 1e-12);
    for (int i = 0; i < (int)want[0]; i++) assert_relative(losses[i], want[3 + i], 1e-8);
    assert_relative(tried[0], 1e-4, 1e-14);
    /* all is as it was: weights, momentum, rate, random numbers */
    assert_same_nets(m, same);
    assert_true(nn_lr(opt) == 0.2);
    assert_true(ad_random_get(g).seed == before.seed && ad_random_get(g).counter == before.counter);
    nn_fit_opts how = { .epochs = EPOCHS, .batch = 8, .in_order = true };
    assert_int_equal(nn_fit(m, nn_cross_entropy, opt, data_new(g, AD_F64), how, NULL), AD_OK);
    compare("sgd_8", m, 1e-12);
    ad_graph_free(g);
}

/* The rates between grow by one factor. */
static void rates_go_from_1e_7_to_10(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    double tried[100];
    nn_rates found;
    nn_rate_opts o = { .rates = tried, .batch = 8, .divergence = INFINITY };
    nn_find_rate(m, squared_errors, nn_sgd(m, (nn_sgd_opts){ .lr = 1 }), data_new(g, AD_F64), o, &found);
    assert_ok(g);
    assert_true(found.steps > 50 && found.steps <= 100);
    for (int64_t i = 0; i < found.steps; i++) assert_relative(tried[i], pow(10, -7 + 8 * (double)i / 99), 1e-12);
    ad_graph_free(g);
}

/* Buffers, the state of adam, groups and dropout are put back too. */
static void a_search_leaves_no_trace(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F64);
    nn_module *nets[2];
    for (int i = 0; i < 2; i++) {
        nets[i] = nn_sequential(g, normed_new(g), nn_dropout(g, 0.3));
        nn_optim *opt = adam(nets[i]);
        nn_group(opt, (nn_group_opts){ .pattern = "*bias", .lr = 0.01 });
        nn_fit_opts o = { .epochs = 2, .batch = 8 };
        ad_seed(g, 4);
        assert_int_equal(nn_fit(nets[i], nn_cross_entropy, opt, d, o, NULL), AD_OK);
        if (i == 1)
            assert_true(nn_find_rate(nets[i], nn_cross_entropy, opt, d, (nn_rate_opts){ .steps = 40 }, NULL) > 0);
        assert_true(nn_group_lr(opt, 1) == 0.01);
        assert_int_equal(nn_fit(nets[i], nn_cross_entropy, opt, d, o, NULL), AD_OK);
    }
    assert_same_nets(nets[0], nets[1]);
    for (int i = 0; i < nn_buffer_count(nets[0]); i++)
        assert_true(ad_at(nn_buffer_at(nets[0], i).var, 0) == ad_at(nn_buffer_at(nets[1], i).var, 0));
    ad_graph_free(g);
}

static void wrong_searches_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64), *same = nn_copy(m);
    nn_dataset d = data_new(g, AD_F64);
    const struct {
        nn_rate_opts o;
        nn_loss_fn *loss;
        const char *text;
    } cases[] = {
        { { .from = 1, .to = 0.5 }, nn_cross_entropy, "find_rate: 100 steps from 1 to 0.5: at least 3" },
        { { .from = -1 }, nn_cross_entropy, "find_rate: 100 steps from -1 to 10" },
        { { .steps = 2 }, nn_cross_entropy, "find_rate: 2 steps" },
        { { .smoothing = 1 }, nn_cross_entropy, "find_rate: smoothing 1 and divergence 4" },
        { { .divergence = 1 }, nn_cross_entropy, "divergence above 1" },
        { { .batch = -1 }, nn_cross_entropy, "loader: batch -1" },
        { { .steps = 9 }, NULL, "find_rate: one of loss and loss_with must be given" },
        { { .loss_with = nn_cross_entropy_data },
          nn_cross_entropy,
          "find_rate: one of loss and loss_with must be given" },
        { { .from = 1e4, .to = 1e9, .smoothing = AD_ZERO },
          squared_errors,
          "find_rate: the loss was too large after " },
    };
    for (int c = 0; c < COUNT(cases); c++) {
        assert_true(isnan(nn_find_rate(m, cases[c].loss, sgd(m), d, cases[c].o, NULL)));
        assert_contains(ad_error(g), cases[c].text);
        ad_clear_error(g);
        assert_same_nets(m, same);
    }
    ad_graph_free(g);
}

static void searches_need_a_rule_and_training(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    nn_dataset d = data_new(g, AD_F64);
    nn_rate_opts o = { 0 };
    assert_true(isnan(nn_find_rate(m, nn_cross_entropy, nn_lbfgs(m, (nn_lbfgs_opts){ 0 }), d, o, NULL)));
    assert_contains(ad_error(g), "find_rate: lbfgs has no steps of a given rate");
    ad_clear_error(g);
    assert_true(isnan(nn_find_rate(NULL, nn_cross_entropy, sgd(m), d, o, NULL)));
    assert_contains(ad_error(g), "find_rate: the network or the optimiser is NULL");
    ad_clear_error(g);
    nn_train(m, false);
    assert_true(isnan(nn_find_rate(m, nn_cross_entropy, sgd(m), d, o, NULL)));
    assert_contains(ad_error(g), "find_rate: the network is in evaluation mode");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_larger_minibatches),
        cmocka_unit_test(weights_follow_their_rows),
        cmocka_unit_test(losses_take_data),
        cmocka_unit_test(metrics_take_data),
        cmocka_unit_test(wrong_sources_are_errors),
        cmocka_unit_test(wrong_weights_are_errors),
        cmocka_unit_test(averages_are_torchs),
        cmocka_unit_test(statistics_of_averages_are_torchs),
        cmocka_unit_test(statistics_are_means_over_minibatches),
        cmocka_unit_test(wrong_averages_are_errors),
        cmocka_unit_test(the_best_epoch_is_that_of_averages),
        cmocka_unit_test(a_resumed_training_has_the_same_averages),
        cmocka_unit_test(rates_are_found_as_fastai_and_lightning_do),
        cmocka_unit_test(rates_go_from_1e_7_to_10),
        cmocka_unit_test(a_search_leaves_no_trace),
        cmocka_unit_test(wrong_searches_are_errors),
        cmocka_unit_test(searches_need_a_rule_and_training),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
