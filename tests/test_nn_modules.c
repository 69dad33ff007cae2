/* test_nn_modules.c: operations on modules: modes, buffers, freezing, copies, summaries. */
#include "nn/nn.h"
#include "tests/common.h"

static nn_module *small_net(ad_graph *g) {
    nn_module *shared = nn_linear(g, AD_F64, 4, 4, true);
    return nn_sequential(g, nn_lstm(g, AD_F64, (nn_rnn_opts){ .in = 3, .hidden = 4 }), shared,
                         nn_residual(g, shared, NULL), nn_batch_norm(g, AD_F64, 5, (nn_batch_norm_opts){ 0 }),
                         nn_parallel(g, -1, nn_relu(g), nn_prelu(g, AD_F64, 1)), nn_dropout(g, 0.5));
}

static void a_copy_is_alike_and_apart(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = small_net(g);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 5, 3));
    nn_apply(net, x);
    nn_train(net, false);
    nn_module *twin = nn_copy(net);
    assert_ok(g);
    assert_int_equal(nn_parameter_count(twin), nn_parameter_count(net));
    assert_int_equal(nn_buffer_count(twin), 3);
    assert_false(nn_training(twin));
    ad_var *y = nn_apply(net, x), *z = nn_apply(twin, x);
    for (int k = 0; k < ad_numel(y); k++) assert_true(ad_at(y, k) == ad_at(z, k));
    for (int i = 0; i < nn_parameter_count(net); i++) {
        nn_parameter p = nn_parameter_at(net, i), q = nn_parameter_at(twin, i);
        assert_string_equal(p.name, q.name);
        assert_ptr_not_equal(p.var, q.var);
        nn_init_constant(q.var, 0);
    }
    assert_ptr_not_equal(nn_buffer_at(net, 0).var, nn_buffer_at(twin, 0).var);
    z = nn_apply(net, x);
    for (int k = 0; k < ad_numel(y); k++) assert_true(ad_at(y, k) == ad_at(z, k));
    assert_true(ad_item(ad_max(ad_abs(nn_apply(twin, x)))) < 1e-6); /* all parts of the twin use the twin's parameters */
    assert_null(nn_copy(NULL));
    ad_graph_free(g);
}

/* A user's module: it keeps pointers to a child, to a module below that child, and to Vars of its own and of others. */
typedef struct {
    nn_module *body, *second; /* second: of body */
    double factor;
    ad_var *scale, *weight;   /* weight: second's */
} deep;

static ad_var *deep_forward(nn_module *m, ad_var *x) {
    const deep *d = nn_self(m);
    ad_var *penalty = ad_sum(ad_square(d->weight));
    return ad_add(ad_muls(ad_mul(d->scale, nn_apply(d->second, nn_apply(d->body, x))), d->factor), penalty);
}

static nn_module *deep_new(ad_graph *g) {
    nn_module *m = nn_module_new(g, "deep", deep_forward, sizeof(deep)), *second = nn_linear(g, AD_F64, 3, 3, true);
    deep *d = nn_self(m);
    d->body = nn_add_child(m, "body", nn_sequential(g, nn_linear(g, AD_F64, 3, 3, false), second));
    d->scale = nn_add_parameter(m, "scale", ad_full(g, AD_F64, 2, AD_SCALAR));
    d->second = second;
    d->weight = nn_find_parameter(second, "weight");
    d->factor = 1.5;
    return m;
}

static void a_copy_has_its_own_grandchildren(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = deep_new(g);
    deep *d = nn_self(m);
    assert_int_equal(nn_add_reference(m, &d->body), AD_OK);
    assert_int_equal(nn_add_reference(m, &d->second), AD_OK);
    assert_int_equal(nn_add_reference(m, &d->scale), AD_OK);
    assert_int_equal(nn_add_reference(m, &d->weight), AD_OK);
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(2, 3)), *y = nn_apply(m, x);
    nn_module *twin = nn_copy(nn_copy(m)); /* a copy can be copied too */
    assert_ok(g);
    const deep *t = nn_self(twin);
    assert_ptr_equal(t->weight, nn_find_parameter(twin, "body.1.weight"));
    assert_ptr_equal(t->scale, nn_find_parameter(twin, "scale"));
    assert_ptr_equal(nn_find_parameter(t->second, "weight"), t->weight);
    assert_ptr_equal(nn_find_parameter(t->body, "1.weight"), t->weight);
    assert_true(t->factor == 1.5);
    for (int i = 0; i < nn_parameter_count(m); i++) nn_init_constant(nn_parameter_at(m, i).var, 0);
    ad_var *z = nn_apply(twin, x); /* it uses no parameter of m */
    for (int k = 0; k < 6; k++) assert_true(ad_at(y, k) == ad_at(z, k));
    assert_ok(g);
    ad_graph_free(g);
}

static void a_copy_never_shares_a_part_silently(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = deep_new(g);
    deep *d = nn_self(m);
    nn_add_reference(m, &d->body);
    nn_add_reference(m, &d->scale);
    nn_add_reference(m, &d->weight);
    char expected[128];
    snprintf(expected, sizeof expected, "copy: byte %zu of deep's struct begins a pointer to a part of the module",
             offsetof(deep, second));
    assert_null(nn_copy(m));
    assert_contains(ad_error(g), expected);
    assert_int_equal(ad_error_code(g), AD_EVALUE);
    ad_clear_error(g);
    assert_null(nn_copy(nn_sequential(g, m))); /* as a part of another module too */
    ad_clear_error(g);
    int64_t local = 0;
    assert_int_equal(nn_add_reference(m, &local), AD_EVALUE);
    assert_string_equal(ad_error(g), "add_reference: the field is not in the struct of deep, which nn_self returns");
    ad_clear_error(g);
    assert_int_equal(nn_add_reference(m, (char *)d + sizeof *d - sizeof(void *) + 1), AD_EVALUE);
    ad_clear_error(g);
    assert_int_equal(nn_add_reference(m, NULL), AD_EVALUE);
    ad_clear_error(g);
    assert_int_not_equal(nn_add_reference(NULL, &local), AD_OK);
    nn_add_reference(m, &d->second);
    ad_var *outside = ad_ones(g, AD_F64, AD_SHAPE(3, 3));
    d->weight = outside; /* not a part of m: shared */
    const deep *t = nn_self(nn_copy(m));
    assert_ptr_equal(t->weight, outside);
    assert_ok(g);
    ad_graph_free(g);
}

/* A struct without pointers needs no references, whether the module has parameters or not. */
static ad_var *power_forward(nn_module *m, ad_var *x) {
    return ad_mul(ad_pows(x, *(const double *)nn_self(m)), nn_find_parameter(m, "scale"));
}

static void a_struct_without_pointers_is_copied(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "power", power_forward, sizeof(double));
    *(double *)nn_self(m) = 3;
    nn_add_parameter(m, "scale", ad_full(g, AD_F64, 2, AD_SCALAR));
    nn_module *twin = nn_copy(m);
    nn_init_constant(nn_find_parameter(m, "scale"), 0);
    assert_true(ad_item(nn_apply(twin, ad_full(g, AD_F64, 2, AD_SCALAR))) == 16);
    nn_module *bare = nn_copy(nn_module_new(g, "bare", power_forward, 0));
    assert_true(bare != NULL && nn_parameter_count(bare) == 0);
    assert_ok(g);
    ad_graph_free(g);
}

static void copies_of_frozen_parameters_are_frozen(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *body = nn_linear(g, AD_F64, 2, 2, true);
    nn_module *net = nn_sequential(g, body, body, nn_linear(g, AD_F64, 2, 1, true));
    nn_freeze(body, true);
    nn_module *twin = nn_copy(net);
    assert_int_equal(nn_parameter_numel(twin), 9);
    assert_int_equal(nn_trainable_numel(twin), 3);
    assert_true(ad_requires_grad(nn_find_parameter(twin, "2.weight")));
    assert_ok(g);
    ad_graph_free(g);
}

static ad_var *shifted(nn_module *m, ad_var *x) { return ad_add(x, nn_find_parameter(m, "pos")); }

/* Like torch.nn.Parameter: a leaf that is added as a parameter is trained, however it was made. */
static void every_parameter_is_trained(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = nn_module_new(g, "shift", shifted, 0);
    ad_var *pos = nn_add_parameter(m, "pos", ad_randn(g, AD_F64, AD_SHAPE(3)));
    assert_true(ad_requires_grad(pos));
    assert_int_equal(nn_trainable_numel(m), 3);
    double before = ad_at(pos, 1);
    nn_optim *opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.5 });
    ad_backward(ad_sum(nn_apply(m, ad_zeros(g, AD_F64, AD_SHAPE(3)))));
    nn_step(opt);
    assert_close(ad_at(pos, 1), before - 0.5, 1e-15);
    ad_var *buffer = nn_add_buffer(m, "count", ad_zeros(g, AD_F64, AD_SCALAR));
    assert_false(ad_requires_grad(buffer));
    assert_ok(g);
    ad_graph_free(g);
}

/* As long as the memory of a closed scope is not used again, all calls report that it is closed. After that, calls that
   know the graph do. */
static void modules_of_closed_scopes_are_noticed(void **state) {
    (void)state;
#ifndef SANITIZED
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(1, 2));
    nn_rnn_state s = { NULL, NULL };
    ad_mark mark = ad_begin(g);
    nn_module *m = nn_linear(g, AD_F64, 2, 2, true), *b = nn_bilinear(g, AD_F64, 2, 2, 1, true);
    ad_end(g, mark);
#define SAYS(call, text)                                                                                               \
    do {                                                                                                               \
        call;                                                                                                          \
        assert_string_equal(ad_error(g), text ": the module was made in a scope that is closed");                      \
        assert_int_equal(ad_error_code(g), AD_EGRAPH);                                                                 \
        ad_clear_error(g);                                                                                             \
    } while (0)
    SAYS(assert_true(ad_is_nil(nn_apply(m, x))), "apply");
    SAYS(assert_true(ad_is_nil(nn_apply_bilinear(b, x, x))), "apply");
    SAYS(assert_true(ad_is_nil(nn_apply_rnn(m, x, &s))), "apply");
    SAYS(nn_train(m, false), "train");
    SAYS(assert_int_equal(nn_freeze(m, true), AD_EGRAPH), "freeze");
    SAYS(assert_null(nn_copy(m)), "copy");
    SAYS(assert_int_equal(nn_summary(m, x, stderr), AD_EGRAPH), "apply");
    SAYS(nn_add_parameter(m, "late", x), "add_parameter");
    SAYS(nn_add_reference(m, nn_self(m)), "add_reference");
    SAYS(nn_l2_penalty(m, NULL, 1), "l2_penalty");
    SAYS(nn_rnn_state_new(m, 1), "rnn_state_new");
    SAYS(assert_null(nn_sgd(m, (nn_sgd_opts){ .lr = 1 })), "sgd");
    SAYS(assert_null(nn_lbfgs(m, (nn_lbfgs_opts){ 0 })), "lbfgs");
    SAYS(assert_true(isnan(nn_clip_grad_norm(m, 1))), "clip_grad_norm");
    assert_null(nn_add_child(nn_module_new(g, "outer", shifted, 0), "m", m)); /* may be m's memory again */
    ad_clear_error(g);
    for (int i = 0; i < 100; i++) x = ad_adds(x, 1);
    SAYS(assert_true(ad_is_nil(nn_apply(m, x))), "apply");
    assert_null(nn_copy(m));
    assert_int_not_equal(nn_freeze(m, true), AD_OK);
    assert_null(nn_graph_of(m));
#undef SAYS
    ad_graph_free(g);
#endif
}

static void frozen_parameters_stay(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *body = nn_linear(g, AD_F64, 2, 2, true), *net = nn_sequential(g, body, nn_linear(g, AD_F64, 2, 1, false));
    nn_optim *opt = nn_adamw(net, (nn_adam_opts){ .lr = 0.1 });
    ad_var *x = wave_of(g, AD_F64, AD_SHAPE(3, 2)), *w = nn_find_parameter(net, "0.weight"),
           *v = nn_find_parameter(net, "1.weight");
    assert_int_equal(nn_trainable_numel(net), 8);
    ad_backward(ad_sum(nn_apply(net, x)));
    nn_freeze(body, true); /* with a gradient that has arrived already */
    assert_int_equal(nn_trainable_numel(net), 2);
    assert_int_equal(nn_parameter_numel(net), 8);
    double before = ad_at(w, 0), free_one = ad_at(v, 0);
    nn_step(opt);
    ad_backward(ad_sum(nn_apply(net, x)));
    nn_step(opt);
    assert_true(ad_at(w, 0) == before && ad_at(v, 0) != free_one);
    nn_freeze(body, false);
    ad_backward(ad_sum(nn_apply(net, x)));
    nn_step(opt);
    assert_true(ad_at(w, 0) != before);
    assert_ok(g);
    ad_graph_free(g);
}

static void buffers_are_no_parameters(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F32, 2, 3, true), nn_batch_norm(g, AD_F32, 3, (nn_batch_norm_opts){ 0 }));
    assert_int_equal(nn_parameter_count(net), 4);
    assert_int_equal(nn_buffer_count(net), 3);
    assert_string_equal(nn_buffer_at(net, 0).name, "1.running_mean");
    assert_null(nn_buffer_at(net, 3).name);
    assert_null(nn_find_parameter(net, "1.running_var"));
    assert_null(nn_find_buffer(net, "1.weight"));
    assert_non_null(nn_find_buffer(net, "1.num_batches_tracked"));
    nn_module *plain = nn_batch_norm(g, AD_F32, 3, (nn_batch_norm_opts){ .no_affine = true });
    assert_int_equal(nn_parameter_count(plain), 0);
    assert_true(ad_is_nil(nn_add_buffer(plain, "running_var", ad_ones(g, AD_F32, AD_SHAPE(3)))));
    assert_string_equal(ad_error(g), "add_buffer: batch_norm has a \"running_var\" already");
    ad_graph_free(g);
}

static void the_summary_has_shapes_and_counts(void **state) {
    (void)state;
    static const char expected[] =
        "Layer                          Output shape           Parameters\n"
        "================================================================\n"
        "sequential                     [2,3]                           0\n"
        "  0 (conv2d)                   [2,4,6,6]                      40\n"
        "  1 (batch_norm)               [2,4,6,6]                       8\n"
        "  2 (sequential)               [2,36]                          0\n"
        "    0 (max_pool2d)             [2,4,3,3]                       0\n"
        "    1 (flatten)                [2,36]                          0\n"
        "  3 (linear)                   [2,3]                         111\n"
        "================================================================\n"
        "Parameters: 159, of these trained: 119\n";
    ad_graph *g = ad_graph_new();
    nn_module *conv = nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 4, .kernel = 3 });
    nn_module *flat = nn_sequential(g, nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }), nn_flatten(g));
    nn_module *net = nn_sequential(g, conv, nn_batch_norm(g, AD_F32, 4, (nn_batch_norm_opts){ 0 }), flat,
                                   nn_linear(g, AD_F32, 36, 3, true));
    nn_freeze(conv, true);
    FILE *to = tmpfile();
    assert_non_null(to);
    assert_int_equal(nn_summary(net, ad_zeros(g, AD_F32, AD_SHAPE(2, 1, 8, 8)), to), AD_OK);
    char text[2048];
    rewind(to);
    text[fread(text, 1, sizeof text - 1, to)] = '\0';
    fclose(to);
    assert_string_equal(text, expected);
    assert_true(nn_training(net) && nn_training(flat)); /* as they were */
    assert_true(ad_at(nn_find_buffer(net, "1.num_batches_tracked"), 0) == 0);
    assert_int_equal(nn_summary(net, ad_zeros(g, AD_F32, AD_SHAPE(2, 3)), stderr), AD_ESHAPE);
    ad_clear_error(g);
    assert_true(nn_training(flat));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_alike_and_apart),
        cmocka_unit_test(a_copy_has_its_own_grandchildren),
        cmocka_unit_test(a_copy_never_shares_a_part_silently),
        cmocka_unit_test(a_struct_without_pointers_is_copied),
        cmocka_unit_test(copies_of_frozen_parameters_are_frozen),
        cmocka_unit_test(every_parameter_is_trained),
        cmocka_unit_test(modules_of_closed_scopes_are_noticed),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(buffers_are_no_parameters),
        cmocka_unit_test(the_summary_has_shapes_and_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
