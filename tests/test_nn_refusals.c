/* test_nn_refusals.c: calls of nn with an argument that they cannot take, one wrong thing at a time: the code, the
   sentence, and that the graph works afterwards. test_misuse tries all functions with all kinds of bad values, but
   knows no sentences. */
#include "autodiff/extend.h"
#include "nn/file/json.h"
#include "nn/nn.h"
#include "tests/common.h"

static ad_graph *g;
static nn_module *net;
static nn_optim *opt;
static nn_dataset data;

static int make(void **state) {
    (void)state;
    g = ad_graph_new();
    net = nn_linear(g, AD_F64, 3, 2, true);
    opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 });
    data = (nn_dataset){ ad_randn(g, AD_F64, AD_SHAPE(12, 3)), ad_randn(g, AD_F64, AD_SHAPE(12, 2)) };
    return 0;
}
static int drop(void **state) { return (void)state, ad_graph_free(g), 0; }

/* The error of the last call; afterwards the graph works. */
static void expect(int code, const char *sentence, int line) {
    if (ad_error_code(g) != code || strstr(ad_error(g), sentence) == NULL) {
        print_error("line %d: code %d, \"%s\": not %d, \"%s\"\n", line, ad_error_code(g), ad_error(g), code, sentence);
        fail();
    }
    ad_clear_error(g);
    ad_var *x = ad_param(g, AD_F64, (double[]){ 3 }, AD_SCALAR);
    assert_int_equal(ad_backward(ad_square(x)), AD_OK);
    assert_close(ad_grad_item(x), 6, 0);
}
#define REFUSED(call, code, sentence) ((void)(call), expect(code, sentence, __LINE__))

/* ---- modules --------------------------------------------------------------------------------------------------- */

static void a_module_that_is_null(void **state) {
    (void)state;
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(1, 2, 4));
    nn_attention_masks none = { 0 };
    nn_rnn_state rnn = { 0 };
    REFUSED(nn_apply(NULL, x), AD_EVALUE, "the module is NULL");
    REFUSED(nn_apply_attention(NULL, x, x, x, none), AD_EVALUE, "apply_attention: the module is NULL");
    REFUSED(nn_apply_attention(NULL, NULL, x, NULL, none), AD_EVALUE, "apply_attention: the module is NULL");
    REFUSED(nn_apply_attention(NULL, x, x, x, (nn_attention_masks){ .mask = x }), AD_EVALUE, "the module is NULL");
    REFUSED(nn_apply_encoder(NULL, x, none), AD_EVALUE, "apply_encoder: the module is NULL");
    REFUSED(nn_apply_encoder(NULL, NULL, (nn_attention_masks){ .padding = x }), AD_EVALUE, "the module is NULL");
    REFUSED(nn_apply_decoder(NULL, x, x, none, none), AD_EVALUE, "apply_decoder: the module is NULL");
    REFUSED(nn_apply_decoder(NULL, NULL, x, none, none), AD_EVALUE, "apply_decoder: the module is NULL");
    REFUSED(nn_apply_bilinear(NULL, x, x), AD_EVALUE, "the module is NULL");
    REFUSED(nn_apply_rnn(NULL, x, &rnn), AD_EVALUE, "NULL");
    assert_true(ad_is_nil(nn_apply(NULL, NULL)));
    assert_true(ad_is_nil(nn_apply_encoder(NULL, NULL, none)));
}

static void modules_of_several_inputs(void **state) {
    (void)state;
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(1, 3)), *xs[70], *ys[70];
    for (int i = 0; i < 70; i++) xs[i] = x;
    REFUSED(nn_apply_n(net, 0, xs, 1, ys), AD_EVALUE, "apply_n: 0 inputs and 1 results");
    REFUSED(nn_apply_n(net, 70, xs, 1, ys), AD_EVALUE, "apply_n: 70 inputs");
    REFUSED(nn_apply_n(net, 1, xs, 0, ys), AD_EVALUE, "and 0 results");
    REFUSED(nn_apply_n(net, 1, xs, 70, ys), AD_EVALUE, "and 70 results");
    REFUSED(nn_apply_n(net, 1, NULL, 1, ys), AD_EVALUE, "apply_n");
    REFUSED(nn_apply_n(net, 1, xs, 1, NULL), AD_EVALUE, "apply_n");
    REFUSED(nn_apply_n(net, 2, xs, 1, ys), AD_EVALUE, "linear has one input and one result, not 2 and 1");
    assert_true(ad_is_nil(ys[0]));
    REFUSED(nn_apply_n(net, 1, xs, 2, ys), AD_EVALUE, "linear has one input and one result, not 1 and 2");
    assert_true(ad_is_nil(ys[1]));
    nn_module *lstm = nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2 });
    REFUSED(nn_apply_n(lstm, 4, xs, 1, ys), AD_EVALUE, "up to 3 inputs and 3 results, not 4 and 1");
    REFUSED(nn_apply_n(lstm, 1, xs, 4, ys), AD_EVALUE, "up to 3 inputs and 3 results, not 1 and 4");
}

static void modules_of_wrong_numbers(void **state) {
    (void)state;
    nn_transformer_opts t = { .width = 4, .heads = 2, .feedforward = 8, .layers = 1 };
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(1, 2, 4)), *narrow = ad_ones(g, AD_F64, AD_SHAPE(1, 2, 3));
    REFUSED(nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2, .dropout = -1 }), AD_EVALUE,
            "dropout -1: it must be from 0 to 1");
    REFUSED(nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2, .dropout = 2 }), AD_EVALUE,
            "dropout 2: it must be from 0 to 1");
    REFUSED(nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 3 }), AD_EVALUE, "3");
    REFUSED(nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 6, .heads = 2, .rotary = true }), AD_EVALUE,
            "even ");
    t.dropout = 1.5;
    REFUSED(nn_transformer_encoder(g, AD_F64, t), AD_EVALUE, "dropout 1.5");
    t.dropout = -0.5;
    REFUSED(nn_transformer_encoder(g, AD_F64, t), AD_EVALUE, "dropout -0.5");
    t.dropout = 0, t.layers = 1 << 30;
    REFUSED(nn_transformer_encoder(g, AD_F64, t), AD_EVALUE, "1073741824 layers: at most");
    t.layers = 0;
    REFUSED(nn_transformer_encoder(g, AD_F64, t), AD_ESHAPE, "layers 0: it must be at least 1");
    nn_module *m = nn_multihead_attention(g, AD_F64, (nn_attention_opts){ .embed = 4, .heads = 2 });
    REFUSED(nn_apply(m, narrow), AD_ESHAPE, "[1,2,3]");
    REFUSED(nn_apply_attention(m, x, ad_ones(g, AD_F64, AD_SHAPE(2, 2, 4)), x, (nn_attention_masks){ 0 }), AD_ESHAPE,
            "[2,2,4]");
    REFUSED(nn_dropout(g, -0.1), AD_EVALUE, "p -0.1: it must be from 0 to 1");
    REFUSED(nn_dropout(g, 1.1), AD_EVALUE, "p 1.1: it must be from 0 to 1");
    REFUSED(nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ .momentum = 2 }), AD_EVALUE, "momentum 2");
    REFUSED(nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ .momentum = -1 }), AD_EVALUE, "momentum -1");
    REFUSED(nn_batch_norm(g, AD_F64, 2, (nn_batch_norm_opts){ .eps = -1 }), AD_EVALUE, "eps -1");
    REFUSED(nn_sequential_n(g, -1, NULL), AD_EVALUE, "sequential");
    REFUSED(nn_sequential_n(g, 2, NULL), AD_EVALUE, "sequential");
    REFUSED(nn_mlp(g, AD_F64, 1, (int64_t[]){ 3 }, ad_relu), AD_EVALUE, "mlp");
    REFUSED(nn_mlp(g, AD_F64, 2, NULL, ad_relu), AD_EVALUE, "mlp");
    REFUSED(nn_rotary(g, -1), AD_EVALUE, "base -1");
    REFUSED(nn_rotary(g, INFINITY), AD_EVALUE, "base inf");
    REFUSED(nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2, .dropout = -1 }), AD_EVALUE, "dropout -1");
    REFUSED(nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 2, .dropout = 2 }), AD_EVALUE, "dropout 2");
    REFUSED(nn_summary(net, data.x, NULL), AD_EVALUE, "no file is given");
}

/* ---- optimisers and schedules ---------------------------------------------------------------------------------- */

static void schedules_of_wrong_parts(void **state) {
    (void)state;
    nn_schedule *s = nn_exponential_lr(opt, 0.5), *p = nn_plateau_lr(opt, (nn_plateau_opts){ 0 });
    nn_optim *other = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 });
    REFUSED(nn_sequential_lr(NULL, s, 3), AD_EVALUE, "one of the two schedules is NULL");
    REFUSED(nn_sequential_lr(s, NULL, 3), AD_EVALUE, "one of the two schedules is NULL");
    assert_null(nn_sequential_lr(NULL, NULL, 3));
    assert_true(ad_ok(g));
    REFUSED(nn_sequential_lr(s, p, 3), AD_EVALUE, "plateau cannot be part of it");
    REFUSED(nn_sequential_lr(p, s, 3), AD_EVALUE, "plateau cannot be part of it");
    REFUSED(nn_sequential_lr(s, nn_exponential_lr(other, 0.5), 3), AD_EVALUE, "two optimisers");
    REFUSED(nn_sequential_lr(s, s, 0), AD_EVALUE, "milestone 0");
    REFUSED(nn_plateau_lr(opt, (nn_plateau_opts){ .factor = 1 }), AD_EVALUE, "factor 1: it must be above 0");
    REFUSED(nn_plateau_lr(opt, (nn_plateau_opts){ .factor = -1 }), AD_EVALUE, "factor -1");
    REFUSED(nn_multistep_lr(opt, 2, (int64_t[]){ 5, 3 }, 0.1), AD_EVALUE, "milestone 3 comes after 5");
    REFUSED(nn_multistep_lr(opt, 2, NULL, 0.1), AD_EVALUE, "number of milestones 0");
    REFUSED(nn_one_cycle_lr(opt, (nn_one_cycle_opts){ .total_steps = 9 }), AD_EVALUE, "has no momentum to change");
    nn_one_cycle_opts o = { .total_steps = 9, .keep_momentum = true, .pct_start = 1 };
    REFUSED(nn_one_cycle_lr(opt, o), AD_EVALUE, "pct_start 1: it must be above 0 and below 1");
    o.pct_start = 0.5, o.three_phase = true;
    REFUSED(nn_one_cycle_lr(opt, o), AD_EVALUE, "pct_start 0.5: it must be above 0 and below 0.5");
    o.pct_start = -1;
    REFUSED(nn_one_cycle_lr(opt, o), AD_EVALUE, "pct_start -1");
    assert_true(nn_schedule_step(NULL, 0) < 0);
}

static void groups_that_are_not_there(void **state) {
    (void)state;
    nn_optim *l = nn_lbfgs(net, (nn_lbfgs_opts){ 0 });
    REFUSED(nn_group(l, (nn_group_opts){ .pattern = "*" }), AD_EVALUE, "lbfgs moves all parameters together");
    REFUSED(nn_set_group_lr(opt, 1, 0.1), AD_EVALUE, "group 1 of 1: there is no such group");
    REFUSED(nn_set_group_lr(opt, -1, 0.1), AD_EVALUE, "group -1 of 1: there is no such group");
    assert_true(isnan(nn_group_lr(opt, 1)) && isnan(nn_group_lr(opt, -1)));
    assert_close(nn_group_lr(opt, 0), 0.1, 0);
    REFUSED(nn_average_new(net, (nn_average_opts){ .decay = 1 }), AD_EVALUE, "decay 1");
    REFUSED(nn_average_new(net, (nn_average_opts){ .decay = -1 }), AD_EVALUE, "decay -1");
    REFUSED(nn_average_new(net, (nn_average_opts){ .warm_up = true }), AD_EVALUE, "warm_up needs a decay");
    nn_average *a = nn_average_new(net, (nn_average_opts){ 0 });
    REFUSED(nn_average_swap(a), AD_EVALUE, "there was no nn_average_update yet");
    assert_int_equal(nn_average_update(a), AD_OK);
    nn_average_swap(a);
    REFUSED(nn_average_update(a), AD_EVALUE, "the module has the averages");
    nn_average_swap(a);
    assert_int_equal(nn_average_update(a), AD_OK);
}

/* ---- training -------------------------------------------------------------------------------------------------- */

static ad_var *no_loss(ad_var *y, ad_var *t) { return (void)y, (void)t, NULL; }
static void find(nn_module *m, nn_loss_fn *loss, nn_optim *with, nn_rate_opts o) {
    assert_true(isnan(nn_find_rate(m, loss, with, data, o, NULL)));
}
static void rates_that_cannot_be_found(void **state) {
    (void)state;
    ad_graph *other = ad_graph_new();
    nn_module *there = nn_linear(other, AD_F64, 3, 2, true);
    nn_optim *strange = nn_sgd(there, (nn_sgd_opts){ .lr = 0.1 });
    REFUSED(find(NULL, nn_mse, opt, (nn_rate_opts){ 0 }), AD_EVALUE, "the network or the optimiser is NULL");
    REFUSED(find(net, nn_mse, NULL, (nn_rate_opts){ 0 }), AD_EVALUE, "the network or the optimiser is NULL");
    REFUSED(find(net, nn_mse, strange, (nn_rate_opts){ 0 }), AD_EGRAPH, "belong to two graphs");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .from = -1 }), AD_EVALUE, "find_rate");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .from = 2, .to = 1 }), AD_EVALUE, "find_rate");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .to = INFINITY }), AD_EVALUE, "find_rate");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .steps = 2 }), AD_EVALUE, "find_rate");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .smoothing = 1 }), AD_EVALUE, "smoothing");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .smoothing = -1 }), AD_EVALUE, "smoothing");
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ .divergence = 1 }), AD_EVALUE, "divergence");
    REFUSED(find(net, no_loss, opt, (nn_rate_opts){ 0 }), AD_EVALUE, "the loss function returned NULL");
    nn_set_lr(opt, 0);
    REFUSED(find(net, nn_mse, opt, (nn_rate_opts){ 0 }), AD_EVALUE, "the optimiser's rate is 0");
    nn_set_lr(opt, 0.1);
    ad_graph_free(other);
}

static int fit(nn_fit_opts o) {
    o.epochs = o.epochs ? o.epochs : 1;
    return nn_fit(net, nn_mse, opt, data, o, NULL);
}
static void options_of_trainings(void **state) {
    (void)state;
    const char *numbers = "patience, checkpoint_steps, clip_norm and min_delta are 0 or more";
    REFUSED(fit((nn_fit_opts){ .epochs = -1 }), AD_EVALUE, "epochs -1: at least 1");
    REFUSED(fit((nn_fit_opts){ .batch = -1 }), AD_EVALUE, "batch -1: at least 1");
    REFUSED(fit((nn_fit_opts){ .patience = -1 }), AD_EVALUE, numbers);
    REFUSED(fit((nn_fit_opts){ .checkpoint_steps = -1 }), AD_EVALUE, numbers);
    REFUSED(fit((nn_fit_opts){ .clip_norm = NAN }), AD_EVALUE, numbers);
    REFUSED(fit((nn_fit_opts){ .min_delta = -1 }), AD_EVALUE, numbers);
    REFUSED(fit((nn_fit_opts){ .resume = true }), AD_EVALUE, "need the name of a checkpoint");
    REFUSED(fit((nn_fit_opts){ .checkpoint_steps = 1 }), AD_EVALUE, "need the name of a checkpoint");
    REFUSED(fit((nn_fit_opts){ .patience = 1 }), AD_EVALUE, "patience and by_metric need validation data");
    REFUSED(fit((nn_fit_opts){ .by_metric = true }), AD_EVALUE, "patience and by_metric need validation data");
    REFUSED(fit((nn_fit_opts){ .restore_best = true }), AD_EVALUE, "need validation data");
    REFUSED(fit((nn_fit_opts){ .min_delta = 1 }), AD_EVALUE, "need validation data");
    REFUSED(fit((nn_fit_opts){ .metric = nn_r2 }), AD_EVALUE, "need validation data");
    REFUSED(fit((nn_fit_opts){ .by_metric = true, .validation = data }), AD_EVALUE, "by_metric needs a metric");
    REFUSED(fit((nn_fit_opts){ .schedule_by_step = true }), AD_EVALUE, "schedule_by_step needs a schedule");
    REFUSED(fit((nn_fit_opts){ .compiler.cc = "cc" }), AD_EVALUE, "compiler needs compile");
    REFUSED(fit((nn_fit_opts){ .compiler.flags = "-O1" }), AD_EVALUE, "compiler needs compile");
    REFUSED(fit((nn_fit_opts){ .compiler.cache = "c" }), AD_EVALUE, "compiler needs compile");
    REFUSED(fit((nn_fit_opts){ .compiler.no_cache = true }), AD_EVALUE, "compiler needs compile");
    REFUSED(fit((nn_fit_opts){ .compiler.no_cc = true }), AD_EVALUE, "compiler needs compile");
    REFUSED(fit((nn_fit_opts){ .average_from = 1 }), AD_EVALUE, "average");
    REFUSED(fit((nn_fit_opts){ .average_epochs = true }), AD_EVALUE, "average");
    REFUSED(nn_fit(net, NULL, opt, data, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EVALUE, "loss");
    REFUSED(nn_fit(net, nn_mse, NULL, data, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EVALUE, "optimiser is NULL");
    REFUSED(nn_fit(net, no_loss, opt, data, (nn_fit_opts){ .epochs = 1 }, NULL), AD_EVALUE, "returned NULL");
}

static ad_var *one_row(nn_module *m, ad_var *x) { return (void)m, ad_mean_axis(x, 0, true); }
static ad_var *scalar(nn_module *m, ad_var *x) { return (void)m, ad_mean(x); }
static ad_var *loss_with(ad_var *y, ad_var *t, void *nothing) { return (void)nothing, nn_mse(y, t); }
static double metric_with(const ad_var *y, const ad_var *t, void *nothing) { return (void)nothing, nn_r2(y, t); }
static void evaluations(void **state) {
    (void)state;
    REFUSED(nn_predict(nn_module_new(g, "row", one_row, 0), data.x, 4), AD_ESHAPE, "not a row for each");
    REFUSED(nn_predict(nn_module_new(g, "scalar", scalar, 0), data.x, 4), AD_ESHAPE, "not a row for each");
    nn_evaluate_opts two_losses = { .loss = nn_mse, .loss_with = loss_with };
    nn_evaluate_opts two_metrics = { .metric = nn_r2, .metric_with = metric_with };
    REFUSED(nn_evaluate_with(net, data, two_losses), AD_EVALUE, "loss");
    REFUSED(nn_evaluate_with(net, data, two_metrics), AD_EVALUE, "metric");
    REFUSED(nn_evaluate(NULL, nn_mse, NULL, data, 4), AD_EVALUE, "NULL");
}

static void exports(void **state) {
    (void)state;
    const char *path = path_of("refused.c");
    nn_export_opts loss = { .loss = nn_mse }, target = { .target = data.y }, both = { .optim = opt, .loss = nn_mse };
    nn_export_opts nil = { .optim = opt, .loss = nn_mse, .target = ad_nil(g) };
    nn_export_opts whole = { .optim = opt, .loss = nn_mse, .target = data.y }, null = whole, lbfgs = whole;
    null.loss = no_loss, lbfgs.optim = nn_lbfgs(net, (nn_lbfgs_opts){ 0 });
    const char *three = "needs an optimiser, a loss and a target";
    REFUSED(nn_export_c(path, "n", net, data.x, loss), AD_EVALUE, three);
    REFUSED(nn_export_c(path, "n", net, data.x, target), AD_EVALUE, three);
    REFUSED(nn_export_c(path, "n", net, data.x, both), AD_EVALUE, three);
    REFUSED(nn_export_c(path, "n", net, data.x, nil), AD_EVALUE, "nil");
    REFUSED(nn_export_c(path, "n", net, NULL, loss), AD_EVALUE, "nil");
    REFUSED(nn_export_c(path, "n", net, ad_nil(g), loss), AD_EVALUE, "nil");
    REFUSED(nn_export_c(path, "n", NULL, data.x, loss), AD_EVALUE, "the network is NULL");
    REFUSED(nn_export_c(path, "n", NULL, NULL, target), AD_EVALUE, "the network is NULL");
    assert_int_equal(nn_export_c(path, "n", NULL, NULL, (nn_export_opts){ 0 }), AD_EVALUE);
    REFUSED(nn_export_c(path, "n", net, data.x, null), AD_EVALUE, "the loss function returned NULL");
    REFUSED(nn_export_c(path, "n", net, data.x, lbfgs), AD_EABSENT, "lbfgs");
    nn_freeze(net, true);
    REFUSED(nn_export_c(path, "n", net, data.x, whole), AD_EVALUE, "no parameter to move");
    nn_freeze(net, false);
    assert_true(access(path, F_OK) != 0);
}

/* ---- data ------------------------------------------------------------------------------------------------------ */

static void parts_of_data(void **state) {
    (void)state;
    nn_split_opts none = { 0 }, classes = { .stratify = true };
    double labels[12] = { 0, 1, NAN };
    nn_dataset named = { data.x, ad_tensor(g, AD_F64, labels, AD_SHAPE(12)) };
    nn_mix mix = { .classes = 3, .alpha = -1 };
    ad_var *x = data.x, *y = named.y;
    REFUSED(nn_kfold(data, 1, 0, none), AD_EVALUE, "1");
    REFUSED(nn_kfold(data, 13, 0, none), AD_EVALUE, "13");
    REFUSED(nn_kfold(data, 3, -1, none), AD_EVALUE, "-1");
    REFUSED(nn_kfold(data, 3, 3, none), AD_EVALUE, "3");
    REFUSED(nn_kfold(named, 3, 0, classes), AD_EVALUE, "the class of row 2 is NaN");
    REFUSED(nn_split(named, classes), AD_EVALUE, "the class of row 2 is NaN");
    REFUSED(nn_mixup(&x, &y, &mix), AD_EVALUE, "alpha -1");
    mix = (nn_mix){ .classes = 3, .alpha = INFINITY }, x = data.x, y = named.y;
    REFUSED(nn_mixup(&x, &y, &mix), AD_EVALUE, "alpha inf");
    mix = (nn_mix){ .classes = 3, .chance = 2 }, x = data.x, y = named.y;
    REFUSED(nn_mixup(&x, &y, &mix), AD_EVALUE, "chance 2");
    mix = (nn_mix){ .classes = 3, .chance = -1 }, x = data.x, y = named.y;
    REFUSED(nn_mixup(&x, &y, &mix), AD_EVALUE, "chance -1");
    mix = (nn_mix){ .classes = 3, .smoothing = 2 }, x = data.x, y = ad_zeros(g, AD_F64, AD_SHAPE(12));
    REFUSED(nn_smooth(&x, &y, &mix), AD_EVALUE, "smoothing 2");
    mix = (nn_mix){ .classes = 3 }, x = data.x, y = named.y;
    REFUSED(nn_mixup(&x, &y, &mix), AD_EVALUE, "nan");
    mix = (nn_mix){ .classes = 0 }, x = data.x, y = ad_ones(g, AD_F64, AD_SHAPE(5));
    REFUSED(nn_mixup(&x, &y, &mix), AD_ESHAPE, "both need one row per sample");
}

static void files_of_arrays(void **state) {
    (void)state;
    const char *path = path_of("refused.npy");
    char name[300];
    memset(name, 'a', sizeof name), name[299] = '\0';
    REFUSED(nn_load_npy(g, AD_F64, NULL), AD_EVALUE, "path is NULL");
    REFUSED(nn_save_npy(data.x, NULL), AD_EVALUE, "path is NULL");
    REFUSED(nn_load_npz(g, AD_F64, NULL, "x"), AD_EVALUE, "path or name is NULL");
    REFUSED(nn_load_npz(g, AD_F64, path, NULL), AD_EVALUE, "path or name is NULL");
    REFUSED(nn_load_npz(g, AD_F64, path, name), AD_EVALUE, "more than 250 bytes");
    REFUSED(nn_save_onnx(NULL, data.x, path), AD_EVALUE, "the module or the path is NULL");
    REFUSED(nn_save_onnx(net, data.x, NULL), AD_EVALUE, "the module or the path is NULL");
    REFUSED(nn_save_onnx_vars(NULL, 1, &data.x, 0, NULL), AD_EVALUE, "path is NULL");
    REFUSED(nn_save_onnx_vars(path, 1, &data.x, -1, NULL), AD_EVALUE, "save_onnx_vars");
    REFUSED(nn_save_onnx_vars(path, 1, &data.x, 1, NULL), AD_EVALUE, "xs");
    assert_true(access(path, F_OK) != 0);
}

static void rows_of_files(void **state) {
    (void)state;
    const char *path = path_of("rows.npy");
    ad_graph *other = ad_graph_new();
    ad_var *x = NULL, *y = NULL;
    assert_int_equal(nn_save_npy(data.x, path), AD_OK);
    nn_rows *r = nn_map_npy(g, path), *there = nn_map_npy(other, path);
    nn_row_stream s = { .x = r, .y = r, .batch = -1 };
    REFUSED(nn_read_rows(r, (ad_dtype)7, 1, 1, (int64_t[]){ 0 }), AD_EDTYPE, "7 is no dtype");
    REFUSED(nn_read_rows(r, AD_F64, 1, -1, (int64_t[]){ 0 }), AD_EVALUE, "-1");
    REFUSED(nn_read_rows(r, AD_F64, 1, 1, NULL), AD_EVALUE, "read_rows");
    REFUSED(nn_read_rows(r, AD_F64, 1, 1, (int64_t[]){ 12 }), AD_EVALUE, "12");
    REFUSED(nn_stream_rows(g, 1, 0, &x, &y, &s), AD_EVALUE, "batch -1: at least 1");
    assert_true(ad_is_nil(x) && ad_is_nil(y));
    s.batch = 5;
    REFUSED(nn_stream_rows(g, 1, 0, NULL, &y, &s), AD_EVALUE, "x, y or number is none");
    REFUSED(nn_stream_rows(g, 1, 0, &x, NULL, &s), AD_EVALUE, "x, y or number is none");
    REFUSED(nn_stream_rows(g, 1, -1, &x, &y, &s), AD_EVALUE, "x, y or number is none");
    s.y = there;
    REFUSED(nn_stream_rows(g, 1, 0, &x, &y, &s), AD_EGRAPH, "the rows belong to another graph");
    s.y = r, s.x = there;
    REFUSED(nn_stream_rows(g, 1, 0, &x, &y, &s), AD_EGRAPH, "the rows belong to another graph");
    s.x = NULL;
    REFUSED(nn_stream_rows(g, 1, 0, &x, &y, &s), AD_EVALUE, "NULL");
    s.x = r;
    assert_true(nn_stream_rows(g, 1, 2, &x, &y, &s)); /* the last two of twelve */
    assert_int_equal(ad_shape_of(x).dim[0], 2);
    assert_false(nn_stream_rows(g, 1, 3, &x, &y, &s));
    ad_graph_free(other);
    remove(path);
}

/* The bounds of RFC 3629, section 4: the first and last of each range, and their neighbours. */
static void characters_of_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        int size;
    } cases[] = { { "", 0, 0 },
                  { "\x7f", 1, 1 },
                  { "\x80", 1, 0 },
                  { "\xc1\xbf", 2, 0 },
                  { "\xc2\x80", 2, 2 },
                  { "\xc2\x7f", 2, 0 },
                  { "\xc2\xc0", 2, 0 },
                  { "\xc2\x80", 1, 0 },
                  { "\xdf\xbf", 2, 2 },
                  { "\xe0\x9f\xbf", 3, 0 },
                  { "\xe0\xa0\x80", 3, 3 },
                  { "\xe0\xa0\x80", 2, 0 },
                  { "\xed\x9f\xbf", 3, 3 },
                  { "\xed\xa0\x80", 3, 0 },
                  { "\xee\x80\x80", 3, 3 },
                  { "\xef\xbf\xbf", 3, 3 },
                  { "\xf0\x8f\xbf\xbf", 4, 0 },
                  { "\xf0\x90\x80\x80", 4, 4 },
                  { "\xf4\x8f\xbf\xbf", 4, 4 },
                  { "\xf4\x90\x80\x80", 4, 0 },
                  { "\xf5\x80\x80\x80", 4, 0 },
                  { "\xff", 1, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (nn__utf8_size(cases[i].text, cases[i].n) != cases[i].size) fail_msg("case %zu", i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, make, drop)
        CASE(a_module_that_is_null),
        CASE(modules_of_several_inputs),
        CASE(modules_of_wrong_numbers),
        CASE(schedules_of_wrong_parts),
        CASE(groups_that_are_not_there),
        CASE(rates_that_cannot_be_found),
        CASE(options_of_trainings),
        CASE(evaluations),
        CASE(exports),
        CASE(parts_of_data),
        CASE(files_of_arrays),
        CASE(rows_of_files),
        CASE(characters_of_utf8),
    };
    return cmocka_run_group_tests_name("nn_refusals", tests, make_folder, remove_folder);
}
