/* test_nn_memory.c: training with every allocation failing in turn, and training without allocations. */
#include "autodiff/graph/node.h"
#include "autodiff/graph/memory.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { ROWS = 90, IN = 40, HIDDEN = 150, OUT = 5 };

typedef struct {
    nn_module *net;
    nn_optim *opt;
    nn_loader *loader;
} model;

/* Large enough that values, gradients and velocities take several blocks from the allocator. */
static model model_new(ad_graph *g) {
    nn_dataset data = { ad_randn(g, AD_F64, AD_SHAPE(ROWS, IN)), ad_zeros(g, AD_F64, AD_SHAPE(ROWS)) };
    model m = { .net = nn_mlp(g, AD_F64, 4, (int64_t[]){ IN, HIDDEN, HIDDEN, OUT }, ad_tanh) };
    m.opt = nn_adam(m.net, (nn_adam_opts){ .lr = 0.01, .amsgrad = true });
    m.loader = nn_loader_new(g, data, (nn_loader_opts){ .batch = 32 });
    return m;
}

static bool step(ad_graph *g, const model *m) {
    ad_mark mark = ad_begin(g);
    ad_var *x, *y;
    bool more = nn_loader_next(m->loader, &x, &y);
    if (more) {
        assert_ok(g);
        ad_var *loss = nn_cross_entropy(nn_apply(m->net, x), y);
        nn_zero_grad(m->opt);
        ad_backward(loss);
        nn_step(m->opt);
    }
    ad_end(g, mark);
    return more;
}

static void train(ad_graph *g, const model *m, int epochs) {
    for (int e = 0; e < epochs; e++)
        while (step(g, m)) {}
}

/* Builds and trains with one allocation (or all from it on) refused; false where it was never reached. */
static bool survives_failure(int64_t at, bool and_after) {
    test_memory memory = { .fail_at = at, .fail_on = and_after };
    ad_graph *g = test_graph(&memory);
    if (g != NULL) {
        ad_keep_grads(g, false);
        model m = model_new(g);
        train(g, &m, 2);
        if (memory.failures > 0 && !ad_ok(g)) {
            assert_int_equal(ad_error_code(g), AD_ENOMEM);
            assert_contains(ad_error(g), "out of memory");
        }
        if (memory.failures == 0) assert_ok(g);
        memory.fail_at = -1;
        ad_clear_error(g);
        m = model_new(g);
        train(g, &m, 1);
        assert_ok(g);
    }
    ad_graph_free(g);
    assert_all_released(&memory);
    return memory.failures > 0;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    int64_t n = 0, step = test_quick() ? 11 : 1;
    while (survives_failure(n, false)) n += step;
    assert_true(n > 10);
    for (int64_t i = 0; i < n; i += step) assert_true(survives_failure(i, true));
}

/* ---- small things --------------------------------------------------------------------------------------- */

static ad_var *same(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}

/* Adds to parent the members that it does not have yet, and makes optimisers, a schedule and a loader. */
static void build_small(ad_graph *g, nn_module *parent) {
    if (nn_find_parameter(parent, "p") == NULL) nn_add_parameter(parent, "p", ad_param(g, AD_F32, NULL, AD_SHAPE(1)));
    if (nn_find_parameter(parent, "a.0.weight") == NULL)
        nn_add_child(parent, "a", nn_mlp(g, AD_F32, 4, (int64_t[]){ 1, 1, 1, 1 }, ad_tanh));
    nn_optim *opt = nn_sgd(parent, (nn_sgd_opts){ .lr = 1, .momentum = 0.5 });
    assert_true(ad_ok(g) == (opt != NULL));
    nn_schedule *schedule = nn_multistep_lr(opt, 2, (int64_t[]){ 1, 2 }, 0.1);
    assert_true(ad_ok(g) == (schedule != NULL));
    nn_optim *minimiser = nn_lbfgs(parent, (nn_lbfgs_opts){ .history_size = 2 });
    assert_true(ad_ok(g) == (minimiser != NULL));
    ad_var *one = ad_ones(g, AD_F32, AD_SHAPE(1, 1));
    nn_loader *loader = nn_loader_new(g, (nn_dataset){ one, one }, (nn_loader_opts){ .batch = 1 });
    assert_true(ad_ok(g) == (loader != NULL));
}

static void assert_complete(const nn_module *parent) {
    assert_int_equal(nn_parameter_count(parent), 7);
    for (int i = 0; i < 7; i++) {
        assert_non_null(nn_parameter_at(parent, i).var);
        assert_ptr_equal(nn_find_parameter(parent, nn_parameter_at(parent, i).name), nn_parameter_at(parent, i).var);
    }
}

/* Builds with `room` bytes left in the arena of nodes, or of arrays; false where that was enough. */
static bool survives_in(size_t room, bool of_nodes) {
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    nn_module *parent = nn_module_new(g, "parent", same, 0);
    ad_ones(g, AD_F32, AD_SHAPE(16)); /* so that there is a block of arrays */
    if (of_nodes) ad_scope_alloc(g, (size_t)(g->nodes.end - g->nodes.top) - room);
    else ad_scope_array(g, (size_t)(g->arrays.end - g->arrays.top) - room);
    assert_ok(g);
    memory.fail_at = memory.calls;
    memory.fail_on = true;
    build_small(g, parent);
    bool failed = !ad_ok(g);
    if (failed) assert_int_equal(ad_error_code(g), AD_ENOMEM);
    memory.fail_at = -1;
    ad_clear_error(g);
    assert_true(nn_parameter_count(parent) < 2 || nn_parameter_count(parent) == 7); /* all six of the child, or none */
    build_small(g, parent);
    assert_ok(g);
    assert_complete(parent);
    ad_graph_free(g);
    assert_all_released(&memory);
    return failed;
}

/* Modules, names and tables are cut from one block, so a failing allocator is seldom asked for them.
   Here few bytes of that block are left, ever more of them, so that each of the small things in turn
   is the one that finds no room. */
static void every_small_thing_may_find_no_room(void **state) {
    (void)state;
    for (int of_nodes = 0; of_nodes <= 1; of_nodes++) {
        size_t step = (of_nodes ? 8 : AD__ALIGN) * (test_quick() ? 3 : 1), room = step;
        while (survives_in(room, of_nodes)) room += step;
        assert_true(room > (of_nodes ? 2000 : 256));
    }
}

/* ---- every kind of layer ---------------------------------------------------------------------------------- */

static void build_layers(ad_graph *g) {
    nn_rnn_opts o = { .in = 2, .hidden = 2, .layers = 2 };
    nn_module *net = nn_sequential(
        g, nn_conv1d(g, AD_F32, (nn_conv_opts){ .in = 2, .out = 2, .kernel = 1 }),
        nn_batch_norm(g, AD_F32, 2, (nn_batch_norm_opts){ 0 }), nn_prelu(g, AD_F32, 2), nn_lstm(g, AD_F32, o),
        nn_gru(g, AD_F32, o), nn_conv_transpose1d(g, AD_F32, (nn_conv_opts){ .in = 2, .out = 2, .kernel = 1 }),
        nn_rnn(g, AD_F32, (nn_rnn_opts){ .in = 2, .hidden = 1, .bidirectional = true }),
        nn_layer_norm(g, AD_F32, AD_SHAPE(2)), nn_maxout(g, AD_F32, 2, 2, 2),
        nn_residual(g, nn_linear(g, AD_F32, 2, 2, true), NULL), nn_parallel(g, -1, nn_relu(g), nn_dropout(g, 0.5)));
    assert_true(ad_ok(g) == (net != NULL));
    nn_module *twin = nn_copy(net);
    assert_true(ad_ok(g) == (twin != NULL));
    ad_var *y = nn_apply(twin, ad_ones(g, AD_F32, AD_SHAPE(2, 2, 2)));
    assert_true(ad_ok(g) == (ad_numel(y) == 16));
    FILE *nowhere = fopen("/dev/null", "w");
    int rc = nn_summary(net, ad_ones(g, AD_F32, AD_SHAPE(2, 2, 2)), nowhere);
    assert_true(ad_ok(g) == (rc == AD_OK));
    fclose(nowhere);
    if (ad_ok(g)) nn_init_orthogonal(nn_parameter_at(net, 0).var, 1);
}

/* The same for layers; also false where room is a whole block. */
static bool layers_survive_in(size_t room, bool of_nodes) {
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad__scratch_reserve(g, 1 << 16);
    nn_relu(g), ad_ones(g, AD_F32, AD_SHAPE(16));
    ad_mark m = ad_begin(g); /* leaves large blocks of the other kind behind */
    if (of_nodes) ad_scope_array(g, 1 << 18);
    else ad_scope_alloc(g, 1 << 18);
    ad_end(g, m);
    size_t left = (size_t)(of_nodes ? g->nodes.end - g->nodes.top : g->arrays.end - g->arrays.top);
    if (room > left) room = left; /* even a whole block may be too small */
    if (of_nodes) ad_scope_alloc(g, left - room);
    else ad_scope_array(g, left - room);
    assert_ok(g);
    memory.fail_at = memory.calls;
    memory.fail_on = true;
    build_layers(g);
    bool failed = !ad_ok(g);
    if (failed) assert_int_equal(ad_error_code(g), AD_ENOMEM);
    memory.fail_at = -1;
    ad_clear_error(g);
    build_layers(g);
    assert_ok(g);
    ad_graph_free(g);
    assert_all_released(&memory);
    return failed && room < left;
}

static void every_layer_may_find_no_room(void **state) {
    (void)state;
    for (int of_nodes = 0; of_nodes <= 1; of_nodes++) {
        size_t room = AD__ALIGN, step = of_nodes ? 24 : AD__ALIGN;
        while (layers_survive_in(room, of_nodes)) room += step;
        assert_true(room > 8000);
    }
}

/* A minibatch that needs a block of its own is not made; the next call makes it. */
static void a_minibatch_may_find_no_room(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(6, 100000)), *y = ad_arange(g, AD_F32, 0, 6, 1), *bx, *by;
    nn_loader *l = nn_loader_new(g, (nn_dataset){ x, y }, (nn_loader_opts){ .batch = 6 });
    assert_ok(g);
    memory.fail_at = memory.calls;
    memory.fail_on = true;
    assert_false(nn_loader_next(l, &bx, &by));
    assert_true(ad_is_nil(bx) && ad_is_nil(by));
    assert_int_equal(ad_error_code(g), AD_ENOMEM);
    memory.fail_at = -1;
    ad_clear_error(g);
    assert_true(nn_loader_next(l, &bx, &by));
    assert_int_equal(ad_numel(by), 6);
    assert_false(nn_loader_next(l, &bx, &by));
    assert_ok(g);
    ad_graph_free(g);
    assert_all_released(&memory);
}

/* ---- no allocation at all -------------------------------------------------------------------------------- */

/* The net of LeCun et al. 1998 for images of 14 x 14, with batch_norm and dropout added. */
static model lenet_new(ad_graph *g) {
    nn_dataset data = { ad_randn(g, AD_F32, AD_SHAPE(20, 1, 14, 14)), ad_zeros(g, AD_F32, AD_SHAPE(20)) };
    nn_conv_opts one = { .in = 1, .out = 6, .kernel = 5, .padding = 2 }, two = { .in = 6, .out = 16, .kernel = 4 };
    ad_pool_opts halve = { .kernel = { 2, 2 } };
    model m = { .net = nn_sequential(g, nn_conv2d(g, AD_F32, one), nn_batch_norm(g, AD_F32, 6, (nn_batch_norm_opts){ 0 }),
                                     nn_relu(g), nn_max_pool2d(g, halve), nn_conv2d(g, AD_F32, two), nn_relu(g),
                                     nn_avg_pool2d(g, halve), nn_flatten(g), nn_linear(g, AD_F32, 64, 84, true),
                                     nn_dropout(g, 0.5), nn_linear(g, AD_F32, 84, 10, true)) };
    m.opt = nn_sgd(m.net, (nn_sgd_opts){ .lr = 0.01, .momentum = 0.9 });
    m.loader = nn_loader_new(g, data, (nn_loader_opts){ .batch = 8 });
    return m;
}

static ad_var *last_time(ad_var *x) { return ad_select(x, 1, -1); }

static model lstm_new(ad_graph *g) {
    nn_dataset data = { ad_zeros(g, AD_F32, AD_SHAPE(20, 9)), ad_zeros(g, AD_F32, AD_SHAPE(20)) };
    nn_rnn_opts o = { .in = 5, .hidden = 12, .layers = 2, .dropout = 0.2, .bidirectional = true };
    model m = { .net = nn_sequential(g, nn_embedding(g, AD_F32, 3, 5), nn_lstm(g, AD_F32, o),
                                     nn_gru(g, AD_F32, (nn_rnn_opts){ .in = 24, .hidden = 7 }), nn_function(g, last_time),
                                     nn_linear(g, AD_F32, 7, 4, true)) };
    m.opt = nn_adam(m.net, (nn_adam_opts){ .lr = 0.01 });
    m.loader = nn_loader_new(g, data, (nn_loader_opts){ .batch = 8 });
    return m;
}

static void assert_steady(model make(ad_graph *g), bool keep) {
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_keep_grads(g, keep);
    model m = make(g);
    train(g, &m, 2);
    ad_stats warm = ad_graph_stats(g);
    train(g, &m, test_quick() ? 3 : 20);
    ad_stats later = ad_graph_stats(g);
    assert_ok(g);
    assert_int_equal(later.allocs, warm.allocs);
    assert_int_equal(later.bytes_held, warm.bytes_held);
    assert_int_equal(later.bytes_used, warm.bytes_used);
    assert_int_equal(memory.calls, warm.allocs);
    ad_graph_free(g);
    assert_all_released(&memory);
}

/* An evaluation after each epoch must not make the heap grow, nor leave holes in it. */
static void evaluating_takes_no_memory_once_it_ran(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = model_new(g).net;
    nn_dataset data = { ad_randn(g, AD_F64, AD_SHAPE(2000, IN)), ad_zeros(g, AD_F64, AD_SHAPE(2000)) };
    int64_t allocs = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(isfinite(nn_evaluate(net, nn_cross_entropy, nn_accuracy, data, 64).loss));
        if (i == 1) allocs = ad_graph_stats(g).allocs;
    }
    assert_ok(g);
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_graph_free(g);
}

static void training_takes_no_memory_once_it_runs(void **state) {
    (void)state;
    for (int keep = 0; keep <= 1; keep++) {
        assert_steady(model_new, keep);
        assert_steady(lenet_new, keep);
        assert_steady(lstm_new, keep);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_small_thing_may_find_no_room),
        cmocka_unit_test(every_layer_may_find_no_room),
        cmocka_unit_test(a_minibatch_may_find_no_room),
        cmocka_unit_test(training_takes_no_memory_once_it_runs),
        cmocka_unit_test(evaluating_takes_no_memory_once_it_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
