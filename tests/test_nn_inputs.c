/* test_nn_inputs.c: networks of several inputs in data sets, loaders, training and prediction. */
#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { N = 23, IN = 4, HIDDEN = 6, OUT = 3, BATCH = 5 };

/* ---- a network of three inputs: x [n,IN], a mask of the hidden units [n,HIDDEN], a turn of the result [n] -------- */

typedef struct {
    nn_module *body, *drop, *norm, *head;
} gated;

static void gated_forward(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    gated *s = nn_self(m);
    if (n != 3 || n_y != 1) {
        ad_fail(nn_graph_of(m), AD_EVALUE, "gated: x, mask and turn are needed, not %d inputs", n);
        return;
    }
    ad_var *h = nn_apply(s->drop, nn_apply(s->norm, ad_tanh(nn_apply(s->body, x[0])))), *turn = ad_cos(ad_unsqueeze(x[2], 1));
    y[0] = ad_mul(nn_apply(s->head, ad_mul(h, x[1])), ad_cast(turn, ad_dtype_of(h)));
}

static nn_module *gated_new(ad_graph *g, ad_dtype t) {
    nn_module *m = nn_module_new_n(g, "gated", gated_forward, sizeof(gated));
    gated *s = nn_self(m);
    s->body = nn_add_child(m, "body", nn_linear(g, t, IN, HIDDEN, true));
    s->norm = nn_add_child(m, "norm", nn_batch_norm(g, t, HIDDEN, (nn_batch_norm_opts){ 0 }));
    s->drop = nn_add_child(m, "drop", nn_dropout(g, 0.2));
    s->head = nn_add_child(m, "head", nn_linear(g, t, HIDDEN, OUT, true));
    return m;
}

/* Row i of x, mask and turn has numbers that tell i, and so has y, the class i % 3. The turn is f64. */
static ad_var *column(ad_graph *g, ad_dtype t, ad_shape s, double scale) {
    ad_var *x = ad_zeros(g, t, s);
    int64_t row = ad_numel(x) / s.dim[0];
    for (int64_t i = 0; i < ad_numel(x); i++)
        ad_write_element(t, ad_data_mut(x), i, scale * ((double)(i / row) + (double)(i % row) / 16));
    return x;
}
static nn_dataset data_new(ad_graph *g, ad_dtype t) {
    ad_var *inputs[] = { column(g, t, AD_SHAPE(N, IN), 0.0625), column(g, t, AD_SHAPE(N, HIDDEN), 0.125),
                         column(g, AD_F64, AD_SHAPE(N), 0.5) };
    ad_var *y = ad_zeros(g, t, AD_SHAPE(N));
    for (int i = 0; i < N; i++) ad_write_element(t, ad_data_mut(y), i, i % OUT);
    return (nn_dataset){ nn_inputs(3, inputs), y };
}

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn_dataset data;
    nn_fit_opts o;
    nn_training_state end;
} problem;

static problem problem_new(ad_dtype t) {
    problem p = { .g = ad_graph_new() };
    ad_seed(p.g, 4);
    p.net = gated_new(p.g, t);
    p.opt = nn_adam(p.net, (nn_adam_opts){ .lr = 0.02 });
    p.data = data_new(p.g, t);
    p.o = (nn_fit_opts){ .epochs = 3, .batch = BATCH };
    return p;
}

static int fit(problem *p) { return nn_fit(p->net, nn_cross_entropy, p->opt, p->data, p->o, &p->end); }

static nn_parameter array_at(const nn_module *m, int i) {
    int n = nn_parameter_count(m);
    return i < n ? nn_parameter_at(m, i) : nn_buffer_at(m, i - n);
}
static void assert_same(const nn_module *a, const nn_module *b, double tol) {
    for (int i = 0; array_at(a, i).var != NULL; i++)
        for (int64_t k = 0; k < ad_numel(array_at(a, i).var); k++)
            assert_close_in(array_at(a, i).name, ad_at(array_at(a, i).var, k), ad_at(array_at(b, i).var, k), tol);
}

/* ---- the Var ----------------------------------------------------------------------------------------------------- */

static void inputs_are_one_var(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(4, 2)), *mask = ad_ones(g, AD_F64, AD_SHAPE(4));
    ad_var *both = nn_inputs(2, (ad_var *[]){ x, mask });
    assert_int_equal(nn_input_count(both), 2);
    assert_ptr_equal(nn_input_at(both, 0), x);
    assert_ptr_equal(nn_input_at(both, 1), mask);
    assert_null(nn_input_at(both, 2));
    assert_null(nn_input_at(both, -1));
    assert_shape(both, AD_SHAPE(4, 2));
    assert_ptr_equal(ad_data(both), ad_data(x));
    assert_int_equal(ad_dtype_of(both), AD_F32);
    assert_false(ad_requires_grad(both));
    assert_ptr_equal(nn_inputs(1, &x), x);
    assert_int_equal(nn_input_count(x), 1);
    assert_int_equal(nn_input_count(ad_square(x)), 1);
    assert_int_equal(nn_input_count(NULL), 1);
    assert_ptr_equal(nn_input_at(x, 0), x);
    assert_null(nn_input_at(x, 1));
    assert_ok(g);
    ad_graph_free(g);
}

static void apply_gives_each_input(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_bilinear(g, AD_F64, 2, 3, 2, true);
    ad_var *a = ad_require_grad(column(g, AD_F64, AD_SHAPE(4, 2), 1)), *b = column(g, AD_F64, AD_SHAPE(4, 3), 1);
    ad_var *y, *z = nn_apply(net, nn_inputs(2, (ad_var *[]){ a, b }));
    assert_int_equal(nn_apply_n(net, 2, (ad_var *[]){ a, b }, 1, &y), AD_OK);
    assert_memory_equal(ad_data(y), ad_data(z), 8 * sizeof(double));
    ad_backward(ad_sum(z)); /* gradients reach the inputs */
    ad_var *dx;
    assert_int_equal(ad_gradient(ad_sum(y), 1, &a, &dx), AD_OK);
    for (int i = 0; i < 8; i++) assert_true(ad_grad_at(a, i) == ad_at(dx, i) && ad_at(dx, i) != 0);
    assert_int_equal(nn_summary(net, nn_inputs(2, (ad_var *[]){ a, b }), tmpfile()), AD_OK);
    ad_graph_free(g);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* numpy's sin(k i + 0.2). */
static ad_var *wave(ad_graph *g, double k, ad_shape s) {
    ad_var *x = ad_zeros(g, AD_F64, s);
    for (int64_t i = 0; i < ad_numel(x); i++) ad_write_element(AD_F64, ad_data_mut(x), i, sin(k * (double)i + 0.2));
    return x;
}

static int note_loss(const nn_training_state *s, void *data) {
    ((double *)data)[s->epoch - 1] = s->loss;
    return 0;
}

/* torch 1.13: Bilinear(3,2,2) by SGD(lr 0.1, momentum 0.9) and mse_loss on a TensorDataset, in order, batches of 2. */
static void fit_has_torch_numbers(void **state) {
    (void)state;
    const double losses[] = { 1.0046634138231165, 0.5087320190258929, 0.27484340221073744 },
        weight[] = { -0.3750229819841845, -0.0215302196901865, 0.24755484410433978, 0.39129098701426485,
                     -0.3921963096214109, -0.005843747085045874, -0.7484517289692959, 0.474719313662072,
                     0.10995127279937533, 0.386949797576054, -0.08190804725363476, -1.1603125567867167 };
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_bilinear(g, AD_F64, 3, 2, 2, true);
    ad_var *w = nn_find_parameter(net, "weight"), *x[] = { wave(g, 1.3, AD_SHAPE(5, 3)), wave(g, 0.7, AD_SHAPE(5, 2)) };
    double seen[3];
    ad_set(w, ad_data(wave(g, 0.9, AD_SHAPE(12))));
    ad_set(nn_find_parameter(net, "bias"), ad_data(wave(g, 0.4, AD_SHAPE(2))));
    nn_dataset d = { nn_inputs(2, x), wave(g, 2.1, AD_SHAPE(5, 2)) };
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    nn_fit_opts o = { .epochs = 3, .batch = 2, .in_order = true, .on_epoch = note_loss, .callback_data = seen };
    assert_int_equal(nn_fit(net, nn_mse, opt, d, o, NULL), AD_OK);
    for (int e = 0; e < 3; e++) assert_close(seen[e], losses[e], 1e-13);
    for (int i = 0; i < 12; i++) assert_close(ad_at(w, i), weight[i], 1e-13);
    assert_close(ad_at(nn_find_parameter(net, "bias"), 0), -0.424695990327782, 1e-13);
    assert_close(ad_at(nn_find_parameter(net, "bias"), 1), 0.21599330487608215, 1e-13);
    for (int64_t batch = 1; batch <= 6; batch++)
        assert_close(nn_evaluate(net, nn_mse, NULL, d, batch).loss, 0.29934755432502463, 1e-13);
    ad_graph_free(g);
}

/* The same steps by hand: rows of each input cut out, nn_apply_n, the optimiser. In order, or as a loader of the rows'
   numbers shuffles them. */
static void train_by_hand(problem *p) {
    ad_graph *g = p->g;
    ad_var *number = ad_arange(g, AD_F64, 0, N, 1), *rows, *same;
    nn_loader *l = nn_loader_new(g, (nn_dataset){ number, number },
                                 (nn_loader_opts){ .batch = BATCH, .in_order = p->o.in_order });
    for (int e = 0; e < p->o.epochs; e++)
        for (bool more = true; more;) {
            ad_mark m = ad_begin(g);
            if ((more = nn_loader_next(l, &rows, &same))) {
                ad_var *x[3], *y;
                for (int i = 0; i < 3; i++) x[i] = ad_index_select(nn_input_at(p->data.x, i), 0, rows);
                nn_zero_grad(p->opt);
                nn_apply_n(p->net, 3, x, 1, &y);
                ad_backward(nn_cross_entropy(y, ad_index_select(p->data.y, 0, rows)));
                nn_step(p->opt);
            }
            ad_end(g, m);
        }
    assert_ok(g);
}

static void fit_trains_as_a_loop_does(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        problem a = problem_new((ad_dtype)(i % 2)), b = problem_new((ad_dtype)(i % 2));
        a.o.in_order = b.o.in_order = i < 2;
        train_by_hand(&b);
        assert_int_equal(fit(&a), AD_OK);
        assert_same(a.net, b.net, 0);
        ad_graph_free(a.g);
        ad_graph_free(b.g);
    }
}

static void validation_and_lbfgs(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    nn_parts parts = nn_split(p.data, (nn_split_opts){ .validation = 0.35, .stratify = true });
    p.data = parts.train;
    p.o.validation = parts.validation, p.o.metric = nn_accuracy, p.o.restore_best = true;
    assert_int_equal(fit(&p), AD_OK);
    nn_evaluation e = nn_evaluate(p.net, nn_cross_entropy, nn_accuracy, parts.validation, 256);
    assert_true(e.loss == p.end.best);
    p.opt = nn_lbfgs(p.net, (nn_lbfgs_opts){ .max_iter = 4 });
    fit(&p);
    assert_ok(p.g);
    ad_graph_free(p.g);
}

static ad_var *losses_of_rows(ad_var *y, ad_var *t, void *data) {
    (void)data;
    return ad_cross_entropy_with(y, t, (ad_ce_opts){ .reduction = AD_NONE });
}

/* Minibatches of a step add up, but for batch_norm, which is in evaluation mode. */
static void accumulated_and_weighed(void **state) {
    (void)state;
    problem a = problem_new(AD_F64), b = problem_new(AD_F64);
    problem *both[] = { &a, &b };
    for (int i = 0; i < 2; i++) {
        gated *s = nn_self(both[i]->net);
        nn_train(s->norm, false);
        nn_train(s->drop, false);
        both[i]->o.in_order = true;
    }
    a.o.batch = 2 * BATCH;
    b.o.accumulate = 2, b.o.weights = ad_ones(b.g, AD_F64, AD_SHAPE(N)), b.o.loss_with = losses_of_rows;
    assert_int_equal(fit(&a), AD_OK);
    assert_int_equal(nn_fit(b.net, NULL, b.opt, b.data, b.o, NULL), AD_OK);
    assert_same(a.net, b.net, 1e-9);
    ad_graph_free(a.g);
    ad_graph_free(b.g);
}

/* Minibatch `number` of the data set in order, which data points to. Each second one has turns in f32. */
static bool next_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    const nn_dataset *d = data;
    int64_t from = BATCH * number, n = N - from < BATCH ? N - from : BATCH;
    (void)g, (void)epoch;
    if (n <= 0) return false;
    ad_var *each[3];
    for (int i = 0; i < 3; i++) each[i] = ad_narrow(nn_input_at(d->x, i), 0, from, n);
    if (number % 2 == 1) each[2] = ad_cast(each[2], AD_F32);
    *x = nn_inputs(3, each), *y = ad_narrow(d->y, 0, from, n);
    return true;
}
static void stream(problem *p, nn_dataset *kept) {
    *kept = p->data;
    p->data = (nn_dataset){ NULL, NULL };
    p->o.in_order = false, p->o.stream = next_rows, p->o.stream_data = kept;
}

static void a_stream_gives_several(void **state) {
    (void)state;
    problem a = problem_new(AD_F32), b = problem_new(AD_F32);
    nn_dataset kept;
    a.o.in_order = true;
    stream(&b, &kept);
    assert_int_equal(fit(&a), AD_OK);
    assert_int_equal(fit(&b), AD_OK);
    assert_same(a.net, b.net, 0);
    ad_graph_free(a.g);
    ad_graph_free(b.g);
}

/* i: f32 or f64, data or a stream. The program gets each minibatch, and each input of it, so it ends where the
   interpreter does. */
static void compiled_programs_get_each_input(void **state) {
    (void)state;
    if (getenv("TEST_UNDER")) skip();
    for (int i = 0; i < 4; i++) {
        ad_dtype t = (ad_dtype)(i % 2);
        problem a = problem_new(t), b = problem_new(t);
        nn_dataset kept[2];
        a.o.epochs = b.o.epochs = 6;
        if (i >= 2) stream(&a, &kept[0]), stream(&b, &kept[1]);
        b.o.compile = b.o.compiler.no_cache = true;
        assert_int_equal(fit(&a), AD_OK);
        assert_int_equal(fit(&b), AD_OK);
        assert_string_equal(b.end.how, "compiled");
        assert_same(a.net, b.net, t == AD_F32 ? 1e-2 : 1e-9); /* adam enlarges rounding */
        ad_graph_free(a.g);
        ad_graph_free(b.g);
    }
}

static int stop_at_7(const nn_training_state *s, void *data) { return (void)data, s->steps == 7; }

/* Stopped within an epoch; another program goes on. In f64, of rows that are drawn once. */
static void a_resumed_training_ends_with_the_same_bits(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        problem whole = problem_new(t), first = problem_new(t), second = problem_new(t);
        problem *all[] = { &whole, &first, &second };
        const char *path = path_of("checkpoint");
        for (int i = 0; i < 3 && t == AD_F64; i++) {
            all[i]->o.draw_weights = column(all[i]->g, AD_F64, AD_SHAPE(N), 1);
            all[i]->o.draws = N - 1, all[i]->o.draw_once = true;
        }
        first.o.checkpoint = second.o.checkpoint = path;
        first.o.on_step = stop_at_7, second.o.resume = true;
        assert_int_equal(fit(&whole), AD_OK);
        assert_int_equal(fit(&first), AD_OK);
        assert_true(first.end.steps == 7 && first.end.stopped_early);
        assert_int_equal(fit(&second), AD_OK);
        assert_int_equal(second.end.steps, whole.end.steps);
        assert_same(second.net, whole.net, 0);
        remove(path);
        ad_graph_free(whole.g);
        ad_graph_free(first.g);
        ad_graph_free(second.g);
    }
}

static void rates_are_found_and_everything_is_put_back(void **state) {
    (void)state;
    problem p = problem_new(AD_F64), untouched = problem_new(AD_F64);
    nn_rates found;
    nn_rate_opts o = { .from = 1e-4, .to = 1, .steps = 30, .batch = BATCH };
    double rate = nn_find_rate(p.net, nn_cross_entropy, p.opt, p.data, o, &found);
    assert_ok(p.g);
    assert_true(rate > 1e-4 && rate < 1 && found.steps > 10);
    assert_same(p.net, untouched.net, 0);
    ad_graph_free(p.g);
    ad_graph_free(untouched.g);
}

/* ---- loaders ----------------------------------------------------------------------------------------------------- */

/* Whether row i of each input is row `row` of the data set, whose x was transformed by `add`. */
static bool is_row(ad_var *x, int64_t i, int64_t row, double add) {
    const double scales[] = { 0.0625, 0.125, 0.5 };
    bool same = nn_input_count(x) == 3;
    for (int k = 0; k < 3 && same; k++) {
        const ad_var *one = nn_input_at(x, k);
        int64_t n = ad_numel(one) / ad_shape_of(one).dim[0];
        for (int64_t j = 0; j < n; j++)
            same &= ad_at(one, i * n + j) == scales[k] * ((double)row + (double)j / 16) + (k == 0 ? add : 0);
    }
    return same;
}

static void add_one(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data) {
    (void)r, (void)data;
    for (int64_t i = 0; i < row.dim[0]; i++) ad_write_element(t, to, i, ad_read_element(t, from, i) + 1);
}

/* The rows of two epochs, by the turn, which tells them; checks that the inputs and y are of one row. */
static int rows_of(nn_dataset d, nn_loader_opts o, int rows[2 * N]) {
    ad_graph *g = ad_graph_of(d.x);
    int n = 0;
    ad_seed(g, 9);
    nn_loader *l = nn_loader_new(g, d, o);
    assert_non_null(l);
    for (int e = 0; e < 2; e++) {
        ad_var *x, *y;
        while (nn_loader_next(l, &x, &y)) {
            assert_int_equal(nn_input_count(x), 3);
            for (int64_t i = 0; i < ad_numel(y); i++) {
                int row = (int)(2 * ad_at(nn_input_at(x, 2), i));
                assert_true(is_row(x, i, row, o.transform ? 1 : 0) && ad_at(y, i) == row % OUT);
                rows[n++] = row;
            }
        }
    }
    nn_loader_close(l);
    assert_ok(g);
    return n;
}

static void rows_of_all_inputs_stay_together(void **state) {
    (void)state;
    for (int i = 0; i < 16; i++) {
        ad_graph *g = ad_graph_new();
        nn_dataset d = data_new(g, (ad_dtype)(i & 1));
        int rows[2 * N], ahead[2 * N];
        nn_loader_opts o = { .batch = BATCH, .in_order = i & 2, .transform = i & 4 ? add_one : NULL };
        if (!o.in_order && i & 8)
            o.draw_weights = column(g, AD_F64, AD_SHAPE(N), 1), o.draws = N - 1, o.draw_once = true;
        int n = rows_of(d, o, rows);
        assert_int_equal(n, o.draw_weights ? 2 * (N - 1) : 2 * N);
        for (int k = 0; k < n && o.in_order; k++) assert_int_equal(rows[k], k % N);
        o.prefetch = 3;
        assert_int_equal(rows_of(d, o, ahead), n);
        assert_memory_equal(rows, ahead, (size_t)n * sizeof *rows);
        ad_graph_free(g);
    }
}

static void rows_in_order_are_not_copied(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F32);
    nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = BATCH, .in_order = true });
    ad_var *x, *y;
    assert_true(nn_loader_next(l, &x, &y) && nn_loader_next(l, &x, &y));
    const size_t rows[] = { IN * sizeof(float), HIDDEN * sizeof(float), sizeof(double) };
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(ad_data(nn_input_at(x, i)), (const char *)ad_data(nn_input_at(d.x, i)) + BATCH * rows[i]);
    ad_graph_free(g);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static void assert_rows(nn_dataset d, int64_t n, int seen[N]) {
    assert_int_equal(ad_shape_of(d.y).dim[0], n);
    for (int64_t i = 0; i < n; i++) {
        int row = (int)(2 * ad_at(nn_input_at(d.x, 2), i));
        assert_true(is_row(d.x, i, row, 0) && ad_at(d.y, i) == row % OUT);
        seen[row]++;
    }
}

static void parts_keep_rows_together(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F32);
    int seen[N] = { 0 };
    assert_rows(nn_take_rows(d, 3, (int64_t[]){ 7, 2, 7 }), 3, seen);
    assert_true(seen[7] == 2 && seen[2] == 1);
    memset(seen, 0, sizeof seen);
    nn_parts p = nn_split(d, (nn_split_opts){ .validation = 0.25, .test = 0.25, .seed = 3 });
    assert_rows(p.train, 11, seen), assert_rows(p.validation, 6, seen), assert_rows(p.test, 6, seen);
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    for (int fold = 0; fold < 4; fold++) {
        memset(seen, 0, sizeof seen);
        p = nn_kfold(d, 4, fold, (nn_split_opts){ .stratify = true });
        assert_rows(p.train, fold < 3 ? 17 : 18, seen), assert_rows(p.validation, fold < 3 ? 6 : 5, seen);
        for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    }
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- predictions ------------------------------------------------------------------------------------------------- */

static void batches_predict_as_the_whole(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    assert_int_equal(fit(&p), AD_OK);
    ad_var *x[3], *whole;
    for (int i = 0; i < 3; i++) x[i] = nn_input_at(p.data.x, i);
    nn_train(p.net, false);
    nn_apply_n(p.net, 3, x, 1, &whole);
    nn_train(p.net, true);
    double loss = ad_item(nn_cross_entropy(whole, p.data.y)), accuracy = nn_accuracy(whole, p.data.y);
    for (int64_t batch = 1; batch <= N + 1; batch++) {
        ad_var *y = nn_predict(p.net, p.data.x, batch);
        assert_shape(y, AD_SHAPE(N, OUT));
        for (int i = 0; i < N * OUT; i++) assert_close(ad_at(y, i), ad_at(whole, i), 1e-13);
        nn_evaluate_opts o = { .loss = nn_cross_entropy, .metric = nn_accuracy, .batch = batch };
        nn_evaluation e = nn_evaluate_with(p.net, p.data, o);
        assert_close(e.loss, loss, 1e-13);
        assert_true(e.metric == accuracy);
    }
    ad_graph_free(p.g);
}

/* Of one batch: the mean over the rows of the hidden units, by hand. */
static void statistics_of_several(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    gated *s = nn_self(p.net);
    assert_int_equal(nn_update_statistics(p.net, p.data.x, N), AD_OK);
    ad_var *h = ad_mean_axis(ad_tanh(nn_apply(s->body, nn_input_at(p.data.x, 0))), 0, false);
    const ad_var *mean = nn_find_buffer(p.net, "norm.running_mean");
    for (int i = 0; i < HIDDEN; i++) assert_close(ad_at(mean, i), ad_at(h, i), 1e-13);
    ad_graph_free(p.g);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void bad_inputs_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(4, 2)), *short_one = ad_ones(g, AD_F64, AD_SHAPE(3)), *many[17];
    ad_var *scalar = ad_scalar(g, AD_F64, 1), *foreign = ad_ones(other, AD_F64, AD_SHAPE(4));
    ad_var *both = nn_inputs(2, (ad_var *[]){ x, x });
    for (int i = 0; i < 17; i++) many[i] = x;
    assert_int_equal(nn_input_count(nn_inputs(16, many)), 16);
    assert_fails(g, nn_inputs(17, many), AD_EVALUE, "inputs: 17 inputs: there are 1 to 16");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ x, short_one }), AD_ESHAPE,
                 "inputs: [4,2] x [3]: each input must have one row per sample");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ short_one, x }), AD_ESHAPE, "inputs: [3] x [4,2]: each input must have");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ x, scalar }), AD_ESHAPE, "each input must have one row per sample");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ scalar, scalar }), AD_ESHAPE, "each input must have one row per sample");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ x, foreign }), AD_EGRAPH, "inputs: operand 1 belongs to another graph");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ x, NULL }), AD_EVALUE, "inputs: operand 1 is NULL");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ NULL, x }), AD_EVALUE, "inputs: operand 0 is NULL");
    assert_fails(g, nn_inputs(2, (ad_var *[]){ x, both }), AD_EVALUE, "input 1 is several inputs already");
    for (int n = 0; n < 3; n++) assert_true(ad_is_nil(nn_inputs(n, NULL))); /* of no graph */
    assert_true(ad_is_nil(nn_inputs(0, &x)));
    assert_ok(g);
    ad_graph_free(g);
    ad_graph_free(other);
}

static void networks_say_what_they_take(void **state) {
    (void)state;
    problem p = problem_new(AD_F64);
    ad_graph *g = p.g;
    nn_module *one = nn_linear(g, AD_F64, IN, 2, true), *two = nn_bilinear(g, AD_F64, IN, HIDDEN, OUT, true);
    nn_optim *opt = nn_sgd(one, (nn_sgd_opts){ .lr = 0.1 });
    ad_var *x = nn_input_at(p.data.x, 0), *mask = nn_input_at(p.data.x, 1);
    assert_fails(g, nn_apply(one, p.data.x), AD_EVALUE, "apply_n: linear has one input and one result, not 3 and 1");
    assert_fails(g, nn_predict(two, p.data.x, 5), AD_EVALUE, "bilinear");
    assert_int_equal(nn_export_c(path_of("net.c"), "net", p.net, p.data.x, (nn_export_opts){ 0 }), AD_EVALUE);
    assert_fails(g, NULL, AD_EVALUE, "export_c: xs[0] is the result of inputs; give leaves");
    assert_int_equal(nn_save_onnx(p.net, p.data.x, path_of("net.onnx")), AD_EVALUE);
    assert_fails(g, NULL, AD_EVALUE, "save_onnx: x is 3 inputs; give the result for them to save_onnx_vars");
    assert_int_equal(files_in_folder(), 0);
    assert_int_equal(nn_fit(one, nn_mse, opt, p.data, p.o, NULL), AD_EVALUE);
    assert_fails(g, NULL, AD_EVALUE, "linear has one input and one result, not 3 and 1");
    p.data.x = nn_inputs(2, (ad_var *[]){ x, mask });
    assert_int_equal(fit(&p), AD_EVALUE);
    assert_fails(g, NULL, AD_EVALUE, "gated: x, mask and turn are needed, not 2 inputs");
    p.o.validation = p.data, p.data = data_new(g, AD_F64);
    assert_int_equal(fit(&p), AD_EVALUE);
    assert_fails(g, NULL, AD_EVALUE, "fit: validation data: gated: x, mask and turn are needed, not 2 inputs");
    p.data.x = nn_inputs(2, (ad_var *[]){ x, ad_cast(mask, AD_F32) });
    assert_fails(g, nn_predict(two, p.data.x, 5), AD_EDTYPE, "operands of two dtypes");
    p.data.x = nn_inputs(3, (ad_var *[]){ x, mask, mask });
    nn_dataset shorter = { p.data.x, ad_ones(g, AD_F64, AD_SHAPE(N - 1)) };
    assert_true(ad_is_nil(nn_take_rows(shorter, 0, NULL).x));
    assert_fails(g, NULL, AD_ESHAPE, "take_rows: x [23,4] and y [22] must have one row per sample");
    ad_graph_free(g);
}

static void mixing_is_refused(void **state) {
    (void)state;
    static nn_mix m = { .classes = OUT, .smoothing = 0.1 };
    nn_batch_fn *const mixes[] = { nn_mixup, nn_cutmix, nn_smooth };
    const char *const sentences[] = { "mixup: x is 3 inputs, and what becomes of the others is not known",
                                      "cutmix: x is 2 inputs" };
    for (int i = 0; i < 3; i++) {
        problem p = problem_new(AD_F64), untouched = problem_new(AD_F64);
        p.o.mix = mixes[i], p.o.mix_data = &m;
        if (i == 1) /* cutmix needs pictures */
            p.data.x = nn_inputs(2, (ad_var *[]){ ad_ones(p.g, AD_F64, AD_SHAPE(N, 4, 4)), nn_input_at(p.data.x, 1) });
        p.o.loss_with = nn_cross_entropy_data;
        assert_int_equal(nn_fit(p.net, NULL, p.opt, p.data, p.o, NULL), i < 2 ? AD_EVALUE : AD_OK);
        if (i < 2) assert_same(p.net, untouched.net, 0), assert_fails(p.g, NULL, AD_EVALUE, sentences[i]);
        ad_graph_free(p.g);
        ad_graph_free(untouched.g);
    }
}

/* Epochs after the second one call no allocator. */
static void memory_is_used_again(void **state) {
    (void)state;
    int64_t calls[2];
    for (int i = 0; i < 2; i++) {
        test_memory m = { .fail_at = -1 };
        ad_graph *g = test_graph(&m);
        nn_module *net = gated_new(g, AD_F64);
        nn_dataset d = data_new(g, AD_F64);
        nn_fit_opts o = { .epochs = i ? 20 : 2, .batch = BATCH, .validation = d };
        assert_int_equal(nn_fit(net, nn_cross_entropy, nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 }), d, o, NULL), AD_OK);
        calls[i] = m.calls;
        ad_graph_free(g);
        assert_all_released(&m);
    }
    assert_int_equal(calls[0], calls[1]);
}

/* Each allocation fails once: an error, and the graph works. */
static void memory_that_runs_out(void **state) {
    (void)state;
    int64_t calls = 1;
    for (int64_t at = 0; at < calls; at++) {
        test_memory m = { .fail_at = -1 };
        ad_graph *g = test_graph(&m);
        nn_dataset d = data_new(g, AD_F64);
        nn_module *net = gated_new(g, AD_F64);
        nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 });
        int64_t before = m.calls;
        m.fail_at = at > 0 ? before + at - 1 : -1;
        nn_fit_opts o = { .epochs = 1, .batch = BATCH };
        int rc = nn_fit(net, nn_cross_entropy, opt, d, o, NULL);
        assert_int_equal(rc, m.failures ? AD_ENOMEM : AD_OK);
        if (at == 0) calls = m.calls - before + 1;
        m.fail_at = -1;
        ad_clear_error(g);
        assert_false(ad_is_nil(nn_predict(net, d.x, BATCH)));
        ad_graph_free(g);
        assert_all_released(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_one_var),
        cmocka_unit_test(apply_gives_each_input),
        cmocka_unit_test(fit_has_torch_numbers),
        cmocka_unit_test(fit_trains_as_a_loop_does),
        cmocka_unit_test(validation_and_lbfgs),
        cmocka_unit_test(accumulated_and_weighed),
        cmocka_unit_test(a_stream_gives_several),
        cmocka_unit_test(compiled_programs_get_each_input),
        cmocka_unit_test(a_resumed_training_ends_with_the_same_bits),
        cmocka_unit_test(rates_are_found_and_everything_is_put_back),
        cmocka_unit_test(rows_of_all_inputs_stay_together),
        cmocka_unit_test(rows_in_order_are_not_copied),
        cmocka_unit_test(parts_keep_rows_together),
        cmocka_unit_test(batches_predict_as_the_whole),
        cmocka_unit_test(statistics_of_several),
        cmocka_unit_test(bad_inputs_are_refused),
        cmocka_unit_test(networks_say_what_they_take),
        cmocka_unit_test(mixing_is_refused),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
