/* test_nn.c: modules, their parameters, initialisers, losses and accuracy. */
#include "nn/nn.h"
#include "tests/common.h"

/* An absolute tolerance, for expected numbers of any size. */
static void assert_near(double a, double b, double tolerated) { assert_close(a - b, 0, tolerated); }


/* Every element of x is as in expected. */
static void assert_all_near(const ad_var *x, int64_t n, const double *expected, double tolerated) {
    assert_int_equal(ad_numel(x), n);
    for (int64_t i = 0; i < n; i++) assert_near(ad_at(x, i), expected[i], tolerated);
}

static void assert_grads_near(const ad_var *x, int64_t n, const double *expected, double tolerated) {
    for (int64_t i = 0; i < n; i++) assert_near(ad_grad_at(x, i), expected[i], tolerated);
}

/* The graph has exactly this error; clears it. */
static void assert_error(ad_graph *g, int code, const char *message) {
    assert_string_equal(ad_error(g), message);
    assert_int_equal(ad_error_code(g), code);
    ad_clear_error(g);
}

/* ---- parameters --------------------------------------------------------------------------------------- */

static void mlp_has_pytorch_names_and_layouts(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 3, 4, 2 }, ad_tanh);
    const char *names[] = { "0.weight", "0.bias", "2.weight", "2.bias" };
    const ad_shape shapes[] = { AD_SHAPE(4, 3), AD_SHAPE(4), AD_SHAPE(2, 4), AD_SHAPE(2) };
    assert_int_equal(nn_parameter_count(net), 4);
    assert_int_equal(nn_parameter_numel(net), 12 + 4 + 8 + 2);
    for (int i = 0; i < 4; i++) {
        nn_parameter p = nn_parameter_at(net, i);
        assert_string_equal(p.name, names[i]);
        assert_shape(p.var, shapes[i]);
        assert_true(ad_requires_grad(p.var));
        assert_int_equal(ad_dtype_of(p.var), AD_F64);
        assert_ptr_equal(nn_find_parameter(net, names[i]), p.var);
    }
    assert_null(nn_find_parameter(net, "1.weight"));
    assert_null(nn_parameter_at(net, -1).name);
    assert_null(nn_parameter_at(net, 4).var);
    ad_graph_free(g);
}

static void names_join_over_levels(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *inner = nn_sequential(g, nn_relu(g), nn_linear(g, AD_F32, 4, 2, false));
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F32, 3, 4, true), nn_sequential(g, inner));
    assert_ok(g);
    assert_int_equal(nn_parameter_count(net), 3);
    assert_string_equal(nn_parameter_at(net, 2).name, "1.0.1.weight");
    assert_string_equal(nn_parameter_at(inner, 0).name, "1.weight");
    assert_ptr_equal(nn_find_parameter(net, "1.0.1.weight"), nn_find_parameter(inner, "1.weight"));
    ad_graph_free(g);
}

static void many_parameters_are_found(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    enum { N = 500 };
    nn_module *mods[N];
    for (int i = 0; i < N; i++) mods[i] = nn_linear(g, AD_F32, 1, 1, true);
    nn_module *net = nn_sequential_n(g, N, mods);
    assert_int_equal(nn_parameter_count(net), 2 * N);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.bias", i);
        assert_string_equal(nn_parameter_at(net, 2 * i + 1).name, name);
        assert_ptr_equal(nn_find_parameter(net, name), nn_find_parameter(mods[i], "bias"));
    }
    ad_graph_free(g);
}

static void what_is_shared_is_listed_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *twice = nn_linear(g, AD_F64, 2, 2, true), *act = nn_tanh(g);
    nn_module *net = nn_sequential(g, twice, act, twice, act);
    assert_ok(g);
    assert_int_equal(nn_parameter_count(net), 2);
    assert_string_equal(nn_parameter_at(net, 0).name, "0.weight");
    ad_graph_free(g);
}

/* ---- layers -------------------------------------------------------------------------------------------- */

static void linear_computes_x_wt_plus_b(void **state) {
    (void)state;
    const float w32[] = { 1, 2, 3, -1, 0, 0.5 }, b32[] = { 10, -1 }, x32[] = { 1, 1, 1, 2, 0, -4 };
    const double w64[] = { 1, 2, 3, -1, 0, 0.5 }, b64[] = { 10, -1 }, x64[] = { 1, 1, 1, 2, 0, -4 };
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = nn_linear(g, t, 3, 2, true), *plain = nn_linear(g, t, 3, 2, false);
        ad_set(nn_find_parameter(m, "weight"), t == AD_F32 ? (const void *)w32 : w64);
        ad_set(nn_find_parameter(m, "bias"), t == AD_F32 ? (const void *)b32 : b64);
        ad_set(nn_find_parameter(plain, "weight"), t == AD_F32 ? (const void *)w32 : w64);
        assert_null(nn_find_parameter(plain, "bias"));
        ad_var *x = ad_tensor(g, t, t == AD_F32 ? (const void *)x32 : x64, AD_SHAPE(2, 3));
        ad_var *y = nn_apply(m, x);
        assert_shape(y, AD_SHAPE(2, 2));
        assert_all_near(y, 4, (double[]){ 16, -1.5, 0, -5 }, 0);
        assert_all_near(nn_apply(plain, x), 4, (double[]){ 6, -0.5, -10, -4 }, 0);
        assert_shape(nn_apply(m, ad_reshape(x, AD_SHAPE(1, 2, 1, 3))), AD_SHAPE(1, 2, 1, 2));
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void activations_and_sequential_apply_in_order(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ -1, 0.5 }, AD_SHAPE(2));
    assert_all_near(nn_apply(nn_relu(g), x), 2, (double[]){ 0, 0.5 }, 0);
    assert_all_near(nn_apply(nn_tanh(g), x), 2, (double[]){ tanh(-1), tanh(0.5) }, 1e-15);
    assert_all_near(nn_apply(nn_sigmoid(g), x), 2, (double[]){ 1 / (1 + exp(1)), 1 / (1 + exp(-0.5)) }, 1e-15);
    nn_module *net = nn_sequential(g, nn_relu(g), nn_function(g, ad_neg), nn_function(g, ad_exp));
    assert_all_near(nn_apply(net, x), 2, (double[]){ 1, exp(-0.5) }, 1e-15);
    assert_ptr_equal(nn_apply(nn_sequential_n(g, 0, NULL), x), x);
    ad_graph_free(g);
}

static void mlp_has_no_activation_behind_the_last_layer(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 2, 3, 1 }, ad_tanh);
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ 0.3, -0.8 }, AD_SHAPE(1, 2));
    ad_var *h = ad_tanh(ad_affine(x, nn_find_parameter(net, "0.weight"), nn_find_parameter(net, "0.bias")));
    ad_var *y = ad_affine(h, nn_find_parameter(net, "2.weight"), nn_find_parameter(net, "2.bias"));
    assert_true(ad_item(nn_apply(net, x)) == ad_item(y));
    assert_int_equal(nn_parameter_count(nn_mlp(g, AD_F64, 2, (int64_t[]){ 2, 1 }, NULL)), 2);
    ad_graph_free(g);
}

static ad_var *net_loss(int n, ad_var *const xs[], void *user) {
    (void)n;
    return ad_mean(ad_square(nn_apply(user, xs[0])));
}

static void gradients_of_a_network_are_right(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_mlp(g, AD_F64, 4, (int64_t[]){ 3, 5, 4, 2 }, ad_tanh);
    ad_var *xs[7] = { ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(6, 3))) };
    for (int i = 0; i < 6; i++) xs[i + 1] = nn_parameter_at(net, i).var;
    ad_check_report r;
    int rc = ad_gradcheck(net_loss, net, 7, xs, NULL, &r);
    assert_string_equal(r.message, "");
    assert_int_equal(rc, AD_OK);
    assert_int_equal(r.compared, 18 + nn_parameter_numel(net));
    ad_graph_free(g);
}

static void bad_layers_are_refused_with_a_sentence(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_null(nn_linear(g, AD_F32, 0, 3, true));
    assert_error(g, AD_ESHAPE, "linear: in 0 and out 3: both must be at least 1");
    assert_null(nn_linear(g, AD_F32, INT64_MAX / 2, 4, true));
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    ad_clear_error(g);
    assert_null(nn_linear(g, (ad_dtype)7, 2, 2, true));
    assert_int_equal(ad_error_code(g), AD_EDTYPE);
    ad_clear_error(g);
    assert_null(nn_function(g, NULL));
    assert_error(g, AD_EVALUE, "function: no function given; ad_tanh is one");
    assert_null(nn_mlp(g, AD_F32, 1, (int64_t[]){ 3 }, ad_tanh));
    assert_error(g, AD_EVALUE, "mlp: 1 widths: it needs at least two, inputs and outputs");
    assert_null(nn_mlp(g, AD_F32, 3, (int64_t[]){ 3, 2, 1 }, NULL));
    assert_error(g, AD_EVALUE, "mlp: no activation given; ad_tanh is one");
    assert_null(nn_mlp(g, AD_F32, 3, (int64_t[]){ 3, -2, 1 }, ad_tanh));
    assert_error(g, AD_ESHAPE, "linear: in 3 and out -2: both must be at least 1");
    assert_null(nn_sequential(g, nn_relu(g), NULL));
    assert_error(g, AD_EVALUE, "add_child: \"1\" of sequential is NULL");
    assert_null(nn_sequential_n(g, 2, NULL));
    assert_error(g, AD_EVALUE, "sequential: 2 modules, but none given");
    ad_var *wide = ad_zeros(g, AD_F32, AD_SHAPE(2, 5));
    assert_true(ad_is_nil(nn_apply(nn_linear(g, AD_F32, 3, 2, true), wide)));
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    assert_contains(ad_error(g), "affine: [2,5] x [2,3]");
    ad_graph_free(g);
}

/* ---- a module of one's own --------------------------------------------------------------------------------- */

typedef struct {
    ad_var *scale;
    nn_module *inner;
    int unset;
} scaled;

static ad_var *scaled_forward(nn_module *m, ad_var *x) {
    const scaled *s = nn_self(m);
    return ad_mul(s->scale, nn_apply(s->inner, x));
}

static nn_module *scaled_new(ad_graph *g, nn_module *inner) {
    nn_module *m = nn_module_new(g, "scaled", scaled_forward, sizeof(scaled));
    scaled *s = nn_self(m);
    assert_int_equal(s->unset, 0);
    s->scale = nn_add_parameter(m, "scale", ad_param(g, AD_F64, (double[]){ 3 }, AD_SCALAR));
    s->inner = nn_add_child(m, "inner", inner);
    return m;
}

static void own_modules_have_parameters_and_children(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = scaled_new(g, nn_linear(g, AD_F64, 1, 1, false));
    nn_init_constant(nn_find_parameter(m, "inner.weight"), 5);
    assert_string_equal(nn_parameter_at(m, 0).name, "scale");
    assert_string_equal(nn_parameter_at(m, 1).name, "inner.weight");
    assert_ptr_equal(nn_graph_of(m), g);
    ad_var *y = nn_apply(m, ad_full(g, AD_F64, 2, AD_SHAPE(1, 1)));
    assert_true(ad_item(y) == 30);
    ad_backward(ad_sum(y));
    assert_true(ad_grad_item(nn_find_parameter(m, "scale")) == 10);
    assert_true(ad_grad_item(nn_find_parameter(m, "inner.weight")) == 6);
    ad_graph_free(g);
}

static ad_var *forward_to_null(nn_module *m, ad_var *x) {
    (void)m, (void)x;
    return NULL;
}

static void bad_additions_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    nn_module *m = scaled_new(g, nn_relu(g)), *free_relu = nn_relu(g);
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(2));
    assert_true(ad_is_nil(nn_add_parameter(m, "a.b", x)));
    assert_error(g, AD_EVALUE, "add_parameter: \"a.b\" is no name: a name is not empty and has no dot");
    assert_true(ad_is_nil(nn_add_parameter(m, "", x)));
    assert_error(g, AD_EVALUE, "add_parameter: \"\" is no name: a name is not empty and has no dot");
    assert_true(ad_is_nil(nn_add_parameter(m, NULL, x)));
    assert_error(g, AD_EVALUE, "add_parameter: \"\" is no name: a name is not empty and has no dot");
    assert_true(ad_is_nil(nn_add_parameter(m, "scale", x)));
    assert_error(g, AD_EVALUE, "add_parameter: scaled has a \"scale\" already");
    assert_true(ad_is_nil(nn_add_parameter(m, "inner", x)));
    assert_error(g, AD_EVALUE, "add_parameter: scaled has a \"inner\" already");
    assert_null(nn_add_child(m, "scale", free_relu));
    assert_error(g, AD_EVALUE, "add_child: scaled has a \"scale\" already");
    assert_true(ad_is_nil(nn_add_parameter(m, "y", ad_exp(x))));
    assert_error(g, AD_EVALUE, "add_parameter: \"y\" of scaled must be a leaf of the module's graph");
    assert_true(ad_is_nil(nn_add_parameter(m, "y", ad_param(other, AD_F64, NULL, AD_SCALAR))));
    assert_error(g, AD_EVALUE, "add_parameter: \"y\" of scaled must be a leaf of the module's graph");
    assert_true(ad_is_nil(nn_add_parameter(m, "y", NULL)));
    assert_error(g, AD_EVALUE, "add_parameter: \"y\" of scaled must be a leaf of the module's graph");
    assert_null(nn_add_child(m, "me", m));
    assert_error(g, AD_EVALUE, "add_child: scaled cannot be part of itself");
    assert_null(nn_add_child(m, "far", nn_relu(other)));
    assert_error(g, AD_EGRAPH, "add_child: scaled and \"far\" belong to two graphs");
    nn_module *whole = scaled_new(g, m);
    assert_null(nn_add_child(m, "whole", whole));
    assert_error(g, AD_EVALUE, "add_child: scaled is part of another module already; add \"whole\" to it before that");
    assert_int_equal(nn_parameter_count(m), 1);
    assert_null(nn_module_new(g, NULL, scaled_forward, 0));
    assert_error(g, AD_EVALUE, "module_new: a module needs a kind and a forward function");
    assert_null(nn_module_new(g, "nothing", NULL, 0));
    assert_error(g, AD_EVALUE, "module_new: a module needs a kind and a forward function");
    ad_graph_free(g);
    ad_graph_free(other);
}

static void an_inner_scope_cannot_add_to_an_older_module(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = scaled_new(g, nn_relu(g));
    ad_mark mark = ad_begin(g);
    assert_true(ad_is_nil(nn_add_parameter(m, "late", ad_param(g, AD_F64, NULL, AD_SCALAR))));
    assert_error(g, AD_EGRAPH,
                 "add_parameter: scaled was made before the open scope, whose end would take \"late\" away");
    nn_module *inside = scaled_new(g, nn_relu(g)); /* wholly within the scope: allowed */
    assert_int_equal(nn_parameter_count(inside), 1);
    ad_end(g, mark);
    assert_int_equal(nn_parameter_count(m), 1);
    assert_ok(g);
    ad_graph_free(g);
}

static void apply_refuses_what_it_cannot_use(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2));
    assert_true(ad_is_nil(nn_apply(nn_relu(g), NULL)));
    assert_error(g, AD_EVALUE, "apply: what relu is applied to is nil");
    assert_true(ad_is_nil(nn_apply(NULL, x)));
    assert_error(g, AD_EVALUE, "apply: the module is NULL");
    assert_true(ad_is_nil(nn_apply(nn_relu(other), x)));
    assert_error(g, AD_EGRAPH, "apply: x and relu belong to two graphs");
    ad_var *y = nn_apply(nn_module_new(g, "hole", forward_to_null, 0), x);
    assert_true(y != NULL && ad_is_nil(y));
    assert_error(g, AD_EVALUE, "apply: the forward function of hole returned NULL");
    ad_graph_free(g);
    ad_graph_free(other);
}

static void null_is_ignored_everywhere(void **state) {
    (void)state;
    assert_null(nn_linear(NULL, AD_F32, 2, 2, true));
    assert_null(nn_relu(NULL));
    assert_null(nn_mlp(NULL, AD_F32, 2, (int64_t[]){ 1, 1 }, ad_tanh));
    assert_null(nn_sequential(NULL, NULL, NULL));
    assert_true(ad_is_nil(nn_apply(NULL, NULL)));
    assert_null(nn_self(NULL));
    assert_null(nn_graph_of(NULL));
    assert_true(ad_is_nil(nn_add_parameter(NULL, "x", NULL)));
    assert_null(nn_add_child(NULL, "x", NULL));
    assert_int_equal(nn_parameter_count(NULL), 0);
    assert_int_equal(nn_parameter_numel(NULL), 0);
    assert_null(nn_parameter_at(NULL, 0).name);
    assert_null(nn_find_parameter(NULL, "x"));
    nn_train(NULL, true);
    assert_false(nn_training(NULL));
    assert_true(ad_is_nil(nn_mse(NULL, NULL)));
    assert_true(ad_is_nil(nn_bce_logits(NULL, NULL)));
    assert_true(ad_is_nil(nn_cross_entropy(NULL, NULL)));
    assert_true(isnan(nn_accuracy(NULL, NULL)));
    assert_int_not_equal(nn_init_uniform(NULL, 0, 1), AD_OK);
    assert_int_not_equal(nn_init_constant(NULL, 0), AD_OK);
    assert_int_not_equal(nn_init_he_normal(NULL), AD_OK);
}

static void after_an_error_nothing_is_made_and_the_first_is_kept(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_linear(g, AD_F64, 1, 1, true);
    ad_fail(g, AD_EVALUE, "first");
    assert_null(nn_linear(g, AD_F64, 1, 1, true));
    assert_null(nn_sequential(g, net, nn_relu(g)));
    assert_true(ad_is_nil(nn_apply(net, ad_ones(g, AD_F64, AD_SHAPE(1, 1)))));
    assert_int_equal(nn_init_constant(nn_find_parameter(net, "bias"), 7), AD_EVALUE);
    assert_error(g, AD_EVALUE, "first");
    assert_true(ad_item(nn_find_parameter(net, "bias")) != 7);
    assert_ok(g);
    assert_false(ad_is_nil(nn_apply(net, ad_ones(g, AD_F64, AD_SHAPE(1, 1)))));
    ad_graph_free(g);
}

static void training_mode_reaches_all_below(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *leaf = nn_relu(g), *middle = nn_sequential(g, leaf), *net = nn_sequential(g, middle, nn_tanh(g));
    assert_true(nn_training(net) && nn_training(middle) && nn_training(leaf));
    nn_train(net, false);
    assert_false(nn_training(net) || nn_training(middle) || nn_training(leaf));
    nn_train(middle, true);
    assert_true(nn_training(leaf) && !nn_training(net));
    ad_graph_free(g);
}

static void modules_go_with_their_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t used = ad_graph_stats(g).bytes_used, held = 0;
    for (int i = 0; i < 200; i++) {
        ad_mark m = ad_begin(g);
        nn_apply(nn_mlp(g, AD_F32, 3, (int64_t[]){ 4, 8, 2 }, ad_relu), ad_ones(g, AD_F32, AD_SHAPE(3, 4)));
        ad_end(g, m);
        assert_int_equal(ad_graph_stats(g).bytes_used, used);
        if (i == 0) held = ad_graph_stats(g).bytes_held;
    }
    assert_int_equal(ad_graph_stats(g).bytes_held, held);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- initialisers ---------------------------------------------------------------------------------------- */

typedef struct {
    double mean, std, lo, hi;
} summary;

static summary summarise(const ad_var *x) {
    summary s = { 0, 0, INFINITY, -INFINITY };
    int64_t n = ad_numel(x);
    for (int64_t i = 0; i < n; i++) {
        double v = ad_at(x, i);
        s.mean += v / (double)n;
        s.std += v * v / (double)n;
        s.lo = fmin(s.lo, v);
        s.hi = fmax(s.hi, v);
    }
    s.std = sqrt(s.std - s.mean * s.mean);
    return s;
}

/* x has uniform numbers in +-b: extremes near both ends, mean 0, standard deviation b / sqrt(3). */
static void assert_uniform(const ad_var *x, double b) {
    summary s = summarise(x);
    double n = (double)ad_numel(x);
    assert_true(s.lo >= -b * 1.0000001 && s.hi <= b * 1.0000001);
    assert_true(s.lo < -0.99 * b && s.hi > 0.99 * b);
    assert_near(s.mean, 0, 5 * b / sqrt(3 * n));
    assert_near(s.std, b / sqrt(3), 0.02 * b);
}

static void assert_normal(const ad_var *x, double mean, double std) {
    summary s = summarise(x);
    double n = (double)ad_numel(x);
    assert_near(s.mean, mean, 5 * std / sqrt(n));
    assert_near(s.std, std, 5 * std / sqrt(2 * n));
    assert_true(s.hi > mean + 3 * std && s.hi < mean + 6 * std);
}

static void initialisers_have_the_bounds_of_their_papers(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *w = ad_param(g, t, NULL, AD_SHAPE(300, 100)); /* 100 in, 300 out */
        assert_int_equal(nn_init_uniform(w, 2, 5), AD_OK);
        summary s = summarise(w);
        assert_true(s.lo >= 2 && s.lo < 2.01 && s.hi > 4.99 && s.hi <= 5);
        assert_near(s.mean, 3.5, 0.03);
        assert_int_equal(nn_init_normal(w, -2, 0.5), AD_OK);
        assert_normal(w, -2, 0.5);
        assert_int_equal(nn_init_constant(w, 0.25), AD_OK);
        s = summarise(w);
        assert_true(s.lo == 0.25 && s.hi == 0.25);
        assert_int_equal(nn_init_xavier_uniform(w, 2), AD_OK);
        assert_uniform(w, 2 * sqrt(6.0 / 400));
        assert_int_equal(nn_init_xavier_normal(w, 2), AD_OK);
        assert_normal(w, 0, 2 * sqrt(2.0 / 400));
        assert_int_equal(nn_init_he_uniform(w), AD_OK);
        assert_uniform(w, sqrt(6.0 / 100));
        assert_int_equal(nn_init_he_normal(w), AD_OK);
        assert_normal(w, 0, sqrt(2.0 / 100));
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void linear_starts_as_torch_does(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_linear(g, AD_F32, 25, 4000, true);
    assert_uniform(nn_find_parameter(m, "weight"), 0.2);
    assert_uniform(nn_find_parameter(m, "bias"), 0.2);
    ad_graph_free(g);
}

static void convolution_weights_count_their_window(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *w = ad_param(g, AD_F64, NULL, AD_SHAPE(100, 20, 3, 3)); /* 180 in, 900 out */
    nn_init_he_uniform(w);
    assert_uniform(w, sqrt(6.0 / 180));
    nn_init_xavier_uniform(w, 1);
    assert_uniform(w, sqrt(6.0 / 1080));
    ad_graph_free(g);
}

static void the_seed_decides_the_parameters(void **state) {
    (void)state;
    double first[3];
    uint64_t seeds[] = { 7, 7, 8 };
    for (int i = 0; i < 3; i++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, seeds[i]);
        first[i] = ad_at(nn_find_parameter(nn_linear(g, AD_F64, 3, 3, true), "weight"), 4);
        ad_graph_free(g);
    }
    assert_true(first[0] == first[1]);
    assert_true(first[0] != first[2]);
}

static void bad_initialisations_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *b = ad_ones(g, AD_F64, AD_SHAPE(3));
    assert_int_equal(nn_init_he_uniform(b), AD_ESHAPE);
    assert_error(g, AD_ESHAPE, "init_he_uniform: [3] has no inputs and outputs to count; a weight is [out, in]");
    assert_int_equal(nn_init_uniform(b, NAN, 1), AD_EVALUE);
    assert_error(g, AD_EVALUE, "init_uniform: nan and 1: both must be finite");
    assert_int_equal(nn_init_normal(b, 0, INFINITY), AD_EVALUE);
    assert_error(g, AD_EVALUE, "init_normal: 0 and inf: both must be finite");
    assert_int_equal(nn_init_constant(ad_exp(b), 1), AD_EVALUE);
    assert_error(g, AD_EVALUE, "set: this Var was made by exp; only leaves can be changed");
    assert_all_near(b, 3, (double[]){ 1, 1, 1 }, 0);
    ad_graph_free(g);
}

/* ---- losses: values and gradients as torch 1.13 gives them for the same numbers --------------------------- */

static void mse_is_as_in_torch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_param(g, AD_F64, (double[]){ 0.5, -2, 3, 1, 0.25, 1e4 }, AD_SHAPE(2, 3));
    ad_var *t = ad_tensor(g, AD_F64, (double[]){ 1.5, 1, 3, -1, 0.5, -1e4 }, AD_SHAPE(2, 3));
    ad_var *loss = nn_mse(y, t);
    assert_near(ad_item(loss), 66666669.010416664, 1e-7);
    ad_backward(loss);
    assert_grads_near(y, 6, (double[]){ -1 / 3.0, -1, 0, 2 / 3.0, -0.083333333333333329, 6666.6666666666661 }, 1e-11);
    ad_graph_free(g);
}

static void bce_logits_is_as_in_torch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double z[] = { 0.3, -1.2, 2.5, 0, 1e4, -1e4, 1e4, -1e4 }, t[] = { 1, 0, 0.25, 1, 1, 0, 0, 1 };
    ad_var *few = ad_param(g, AD_F64, z, AD_SHAPE(4)), *all = ad_param(g, AD_F64, z, AD_SHAPE(8));
    ad_var *loss = nn_bce_logits(few, ad_tensor(g, AD_F64, t, AD_SHAPE(4)));
    assert_near(ad_item(loss), 0.86616865666476328, 1e-15);
    ad_backward(loss);
    assert_grads_near(few, 4, (double[]){ -0.10638937079708524, 0.057868804125245595, 0.16853545499468914, -0.125 }, 1e-15);
    loss = nn_bce_logits(all, ad_tensor(g, AD_F64, t, AD_SHAPE(8)));
    assert_near(ad_item(loss), 2500.4330843283324, 1e-11);
    ad_backward(loss);
    assert_grads_near(
        all, 8,
        (double[]){ -0.053194685398542621, 0.028934402062622797, 0.084267727497344569, -0.0625, 0, 0, 0.125, -0.125 },
        1e-15);
    ad_graph_free(g);
}

static void cross_entropy_is_as_in_torch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double z[] = { 0.3, -1.2, 2, 1e4, -1e4, 0, -1e4, 1e4, 0, 1e4, 1e4, 1e4 };
    ad_var *x = ad_param(g, AD_F64, z, AD_SHAPE(4, 3));
    ad_var *loss = nn_cross_entropy(x, ad_tensor(g, AD_F64, (double[]){ 1, 0, 2, 1 }, AD_SHAPE(4)));
    assert_near(ad_item(loss), 2501.125070883405, 1e-11);
    ad_backward(loss);
    assert_grads_near(x, 12,
                 (double[]){ 0.037329715545847797, -0.24167061459195965, 0.20434089904611186, 0, 0, 0, 0, 0.25, -0.25,
                             0.083333333333333329, -0.16666666666666669, 0.083333333333333329 },
                 1e-15);
    ad_graph_free(g);
}

static void losses_do_not_broadcast(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_ones(g, AD_F64, AD_SHAPE(4, 1)), *t = ad_ones(g, AD_F64, AD_SHAPE(4));
    assert_true(ad_is_nil(nn_mse(y, t)));
    assert_error(g, AD_ESHAPE, "mse: [4,1] x [4]: input and target must have one shape; reshape or ad_expand one");
    assert_true(ad_is_nil(nn_bce_logits(y, t)));
    assert_error(g, AD_ESHAPE, "bce_logits: [4,1] x [4]: input and target must have one shape; "
                               "reshape or ad_expand one");
    assert_true(ad_is_nil(nn_mse(y, NULL)));
    assert_int_equal(ad_error_code(g), AD_EVALUE);
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_cross_entropy(y, ad_ones(g, AD_F64, AD_SHAPE(4)))));
    assert_contains(ad_error(g), "class 1 of row 0");
    ad_graph_free(g);
}

/* ---- accuracy and training --------------------------------------------------------------------------------- */

static void accuracy_is_the_share_of_rows_that_are_right(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *scores = ad_tensor(g, AD_F32, (float[]){ 1, 3, 2, 5, 4, 4.5f, -3, -2, -1, 0, 0, 0 }, AD_SHAPE(4, 3));
    ad_var *classes = ad_tensor(g, AD_F32, (float[]){ 1, 0, 1, 0 }, AD_SHAPE(4)); /* of equal scores the first wins */
    assert_true(nn_accuracy(scores, classes) == 0.75);
    assert_true(isnan(nn_accuracy(scores, scores)));
    assert_error(g, AD_ESHAPE, "accuracy: scores [4,3] and classes [4,3] must be [n,c] and [n]");
    assert_true(isnan(nn_accuracy(ad_zeros(g, AD_F32, AD_SHAPE(0, 3)), ad_zeros(g, AD_F32, AD_SHAPE(0)))));
    assert_ok(g);
    ad_graph_free(g);
}

static void a_network_learns_xor(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, seed);
        ad_keep_grads(g, false);
        ad_var *x = ad_tensor(g, AD_F64, (double[]){ 0, 0, 0, 1, 1, 0, 1, 1 }, AD_SHAPE(4, 2));
        ad_var *t = ad_tensor(g, AD_F64, (double[]){ 0, 1, 1, 0 }, AD_SHAPE(4, 1));
        nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 2, 8, 1 }, ad_tanh);
        nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.5, .momentum = 0.9 });
        double loss = 1;
        for (int i = 0; i < 2000; i++) {
            ad_mark m = ad_begin(g);
            ad_var *l = nn_bce_logits(nn_apply(net, x), t);
            nn_zero_grad(opt);
            ad_backward(l);
            nn_step(opt);
            loss = ad_item(l);
            ad_end(g, m);
        }
        assert_ok(g);
        assert_true(loss < 1e-3);
        ad_graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlp_has_pytorch_names_and_layouts),
        cmocka_unit_test(names_join_over_levels),
        cmocka_unit_test(many_parameters_are_found),
        cmocka_unit_test(what_is_shared_is_listed_once),
        cmocka_unit_test(linear_computes_x_wt_plus_b),
        cmocka_unit_test(activations_and_sequential_apply_in_order),
        cmocka_unit_test(mlp_has_no_activation_behind_the_last_layer),
        cmocka_unit_test(gradients_of_a_network_are_right),
        cmocka_unit_test(bad_layers_are_refused_with_a_sentence),
        cmocka_unit_test(own_modules_have_parameters_and_children),
        cmocka_unit_test(bad_additions_are_refused),
        cmocka_unit_test(an_inner_scope_cannot_add_to_an_older_module),
        cmocka_unit_test(apply_refuses_what_it_cannot_use),
        cmocka_unit_test(null_is_ignored_everywhere),
        cmocka_unit_test(after_an_error_nothing_is_made_and_the_first_is_kept),
        cmocka_unit_test(training_mode_reaches_all_below),
        cmocka_unit_test(modules_go_with_their_scope),
        cmocka_unit_test(initialisers_have_the_bounds_of_their_papers),
        cmocka_unit_test(linear_starts_as_torch_does),
        cmocka_unit_test(convolution_weights_count_their_window),
        cmocka_unit_test(the_seed_decides_the_parameters),
        cmocka_unit_test(bad_initialisations_are_refused),
        cmocka_unit_test(mse_is_as_in_torch),
        cmocka_unit_test(bce_logits_is_as_in_torch),
        cmocka_unit_test(cross_entropy_is_as_in_torch),
        cmocka_unit_test(losses_do_not_broadcast),
        cmocka_unit_test(accuracy_is_the_share_of_rows_that_are_right),
        cmocka_unit_test(a_network_learns_xor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
