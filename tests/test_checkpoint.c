/* test_checkpoint.c: ad_checkpoint: results, memory and time; modules, and functions with state, random numbers and
   Vars of their own: the same as without it, or refused. */
#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

static const double x_values[] = { 1.5, 6, -0.5, 2, 0.25, -3 };

static ad_var *apply_module(int n, ad_var *const xs[], void *user) { return (void)n, nn_apply(user, xs[0]); }

static double mean_of(const nn_module *m, const char *name) { return ad_item(nn_find_buffer(m, name)); }

/* ---- results, memory, time --------------------------------------------------------------------------------------- */

typedef struct {
    int calls, layers;
} block;

/* b->layers layers, with x and w in xs. */
static ad_var *layers(int n, ad_var *const xs[], void *user) {
    block *b = user;
    b->calls++;
    ad_var *h = xs[0];
    for (int i = 0; i < b->layers && n == 2; i++) h = ad_tanh(ad_add(ad_matmul(h, xs[1]), h));
    return h;
}

/* A network of several parts. With forget, each part is a checkpoint. */
static ad_var *in_parts(ad_var *x, ad_var *w, block *b, int parts, bool forget) {
    for (int i = 0; i < parts; i++) {
        ad_var *xs[] = { x, w };
        x = forget ? ad_checkpoint(layers, b, 2, xs) : layers(2, xs, b);
    }
    return ad_mean(ad_square(x));
}

static void checkpoints_do_not_change_results(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 6);
        ad_var *x = ad_require_grad(ad_randn(g, t, AD_SHAPE(3, 4))), *w = ad_require_grad(ad_randn(g, t, AD_SHAPE(4, 4)));
        block b = { 0, 3 };
        ad_var *xs[] = { x, w }, *plain = in_parts(x, w, &b, 3, false), *d[2], *e[2], *vs[] = { x, w }, *h[2], *k[2];
        b.calls = 0;
        ad_var *y = in_parts(x, w, &b, 3, true);
        assert_int_equal(b.calls, 3);
        assert_true(ad_item(y) == ad_item(plain));
        assert_int_equal(ad_backward(plain), AD_OK);
        double at_x = ad_grad_at(x, 5), at_w = ad_grad_at(w, 7);
        ad_zero_grad(plain);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(b.calls, 6);
        assert_close(ad_grad_at(x, 5), at_x, tolerance(t));
        assert_close(ad_grad_at(w, 7), at_w, tolerance(t));
        assert_int_equal(ad_gradient(plain, 2, xs, d), AD_OK);
        assert_int_equal(ad_gradient(y, 2, xs, e), AD_OK);
        assert_int_equal(ad_hvp(plain, 2, xs, vs, h), AD_OK);
        assert_int_equal(ad_hvp(y, 2, xs, vs, k), AD_OK);
        for (int j = 0; j < 2; j++)
            for (int64_t i = 0; i < ad_numel(d[j]); i++) {
                assert_close(ad_at(e[j], i), ad_at(d[j], i), tolerance(t));
                assert_close(ad_at(k[j], i), ad_at(h[j], i), 10 * tolerance(t));
            }
        set_all(w, (double[16]){ 0.25 });
        assert_int_equal(ad_eval(y), AD_OK);
        assert_int_equal(ad_eval(plain), AD_OK);
        assert_true(ad_item(y) == ad_item(plain));
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* 64 layers in 8 checkpoints: the bytes used after the forward pass and the bytes held at the end. */
static void checkpoints_save_memory(void **state) {
    (void)state;
    int64_t used[2], held[2];
    for (int forget = 0; forget < 2; forget++) {
        ad_graph *g = ad_graph_new();
        ad_keep_grads(g, false);
        ad_var *x = ad_ones(g, AD_F32, AD_SHAPE(test_quick() ? 64 : 256, 64)), *w = ad_require_grad(ad_zeros(g, AD_F32, AD_SHAPE(64, 64)));
        block b = { 0, 8 };
        int64_t after = 0;
        for (int round = 0; round < 4; round++) {
            ad_mark m = ad_begin(g);
            ad_var *y = in_parts(x, w, &b, 8, forget);
            used[forget] = ad_graph_stats(g).bytes_used;
            assert_int_equal(ad_backward(y), AD_OK);
            ad_end(g, m);
            if (round == 1) after = ad_graph_stats(g).allocs;
        }
        assert_int_equal(ad_graph_stats(g).allocs, after);
        held[forget] = ad_graph_stats(g).bytes_held;
        ad_graph_free(g);
    }
    print_message("64 layers: %.1f MB used without checkpoints, %.1f with; %.1f and %.1f held\n", 1e-6 * (double)used[0],
                  1e-6 * (double)used[1], 1e-6 * (double)held[0], 1e-6 * (double)held[1]);
    assert_true(used[1] < used[0] / 8 && held[1] < held[0] / 3);
}

/* The recomputation of a checkpoint repeats its random numbers. ad_eval draws new ones. */
static ad_var *noisy(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(xs[0], ad_rand(ad_graph_of(xs[0]), AD_F64, AD_SHAPE(8)));
}

static void checkpoints_repeat_their_random_numbers(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(8))), *y = ad_checkpoint(noisy, NULL, 1, &x), *sum = ad_sum(y), *dx;
    double first = ad_at(y, 3);
    for (int round = 0; round < 2; round++) {
        assert_true(ad_at(y, 0) != ad_at(y, 1));
        ad_zero_grad(sum);
        assert_int_equal(ad_backward(sum), AD_OK);
        assert_int_equal(ad_gradient(sum, 1, &x, &dx), AD_OK);
        for (int i = 0; i < 8; i++) assert_true(ad_grad_at(x, i) == ad_at(y, i) && ad_at(dx, i) == ad_at(y, i));
        assert_int_equal(ad_eval(sum), AD_OK);
        assert_true(ad_at(y, 3) != first);
    }
    ad_var *other = ad_exp(y); /* computed from numbers that ad_eval replaces */
    assert_int_equal(ad_eval(sum), AD_OK);
    assert_int_equal(ad_backward(ad_sum(other)), AD_ESTALE);
    ad_graph_free(g);
}

/* The recomputation restores the state of the generator. */
static void recomputation_does_not_advance_the_generator(void **state) {
    (void)state;
    double next[2];
    for (int pass = 0; pass < 2; pass++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(8))), *y = ad_checkpoint(noisy, NULL, 1, &x), *dx;
        ad_rand(g, AD_F64, AD_SHAPE(3));
        if (pass == 1) {
            assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
            assert_int_equal(ad_gradient(ad_sum(y), 1, &x, &dx), AD_OK);
        }
        next[pass] = ad_item(ad_rand(g, AD_F64, AD_SCALAR));
        ad_graph_free(g);
    }
    assert_true(next[0] == next[1]);
}

static ad_var *one_step(int n, ad_var *const xs[], void *user) { return (void)n, (void)user, ad_sin(ad_mul(xs[0], xs[0])); }

/* Seconds that ad_gradient takes for n checkpoints. Each checkpoint is a nested pass. */
static double through_checkpoints(int n) {
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.9), *y = x, *d;
    for (int i = 0; i < n; i++) y = ad_checkpoint(one_step, NULL, 1, &y);
    double start = processor_seconds();
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    double seconds = processor_seconds() - start;
    ad_graph_free(g);
    return seconds;
}

static void many_checkpoints_take_linear_time(void **state) {
    (void)state;
    int n = test_quick() ? 100 : 1000;
    double once = through_checkpoints(n), tenfold = through_checkpoints(10 * n);
    assert_true(tenfold < 50 * once + 0.05);
}

/* fn differentiates with respect to the xs that it receives. It returns 3 x^2, with derivatives 6 x and 6. */
static ad_var *gradient_of_cube(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *d;
    ad_gradient(ad_sum(ad_pows(xs[0], 3)), n, xs, &d);
    return d;
}

/* fn with two nested passes: 12 x^2. */
static ad_var *curvature(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *d;
    ad_gradient(ad_sum(ad_pows(xs[0], 4)), n, xs, &d);
    ad_gradient(ad_sum(d), n, xs, &d);
    return d;
}

static ad_var *nested_checkpoint(int n, ad_var *const xs[], void *user) {
    return ad_exp(ad_checkpoint(gradient_of_cube, user, n, xs));
}

static void derivatives_inside_checkpoints(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.5), *z = ad_muls(x, 1), *d, *e;
    ad_var *y = ad_checkpoint(gradient_of_cube, NULL, 1, &z);
    assert_close(ad_item(y), 0.75, 1e-14);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_grad_item(x), 3, 1e-14);
    assert_int_equal(ad_gradient(ad_mul(y, x), 1, &x, &d), AD_OK); /* y x = 3 x^3 */
    assert_close(ad_item(d), 9 * 0.25, 1e-14);
    assert_int_equal(ad_gradient(d, 1, &x, &e), AD_OK);
    assert_close(ad_item(e), 18 * 0.5, 1e-14);
    ad_var *twice = ad_mul(ad_checkpoint(curvature, NULL, 1, &z), ad_exp(z)); /* 12 x^2 e^x */
    assert_int_equal(ad_gradient(twice, 1, &x, &d), AD_OK);
    assert_close(ad_item(d), (3 + 12) * exp(0.5), 1e-13);
    y = ad_checkpoint(nested_checkpoint, NULL, 1, &z); /* exp(3 x^2) */
    double v = exp(0.75);
    ad_zero_grad(y);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_grad_item(x), 6 * 0.5 * v, 1e-14);
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    assert_int_equal(ad_gradient(d, 1, &x, &e), AD_OK);
    assert_close(ad_item(e), (6 + 9) * v, 1e-13);
    assert_ok(g);
    ad_graph_free(g);
}

static ad_var *captures(int n, ad_var *const xs[], void *user) { return (void)n, ad_mul(xs[0], user); }
static ad_var *returns_nothing(int n, ad_var *const xs[], void *user) { return (void)n, (void)xs, (void)user, NULL; }
static ad_var *grows(int n, ad_var *const xs[], void *user) {
    return (void)n, ++*(int *)user > 1 ? ad_sum(xs[0]) : ad_exp(xs[0]);
}
static ad_var *first_of(int n, ad_var *const xs[], void *user) { return (void)n, (void)user, xs[0]; }

static void invalid_checkpoints_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(3)), *fixed = ad_ones(g, AD_F64, AD_SHAPE(3));
    ad_var *y = ad_checkpoint(captures, fixed, 1, &x), *same = ad_checkpoint(first_of, NULL, 1, &x);
    assert_int_equal(ad_backward(ad_sum(ad_add(y, same))), AD_OK);
    for (int i = 0; i < 3; i++) assert_true(ad_grad_at(x, i) == 2);
    assert_true(ad_is_nil(ad_checkpoint(returns_nothing, NULL, 1, &x)));
    assert_contains(ad_error(g), "no Var"), ad_clear_error(g);
    assert_true(ad_is_nil(ad_checkpoint(NULL, NULL, 1, &x)) && ad_error_code(g) == AD_EVALUE), ad_clear_error(g);
    assert_true(ad_is_nil(ad_checkpoint(first_of, NULL, 0, NULL)));
    int calls = 0;
    y = ad_checkpoint(grows, &calls, 1, &x);
    assert_int_equal(ad_backward(ad_sum(y)), AD_ESHAPE);
    assert_contains(ad_error(g), "has changed its shape");
    ad_graph_free(g);
}

/* ---- state moves once ------------------------------------------------------------------------------------------- */

/* A batch with the mean 3.75: the running mean becomes 0.375 after one batch, 0.7125 after two. */
static void running_averages_move_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(2, 1)), *v = ad_ones(g, AD_F64, AD_SHAPE(2, 1)), *d, *h;
    nn_module *m = nn_batch_norm(g, AD_F64, 1, (nn_batch_norm_opts){ 0 });
    ad_var *y = ad_sum(ad_square(ad_checkpoint(apply_module, m, 1, &x)));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        assert_int_equal(ad_hvp(y, 1, &x, &v, &h), AD_OK);
        assert_false(ad_is_nil(ad_jvp(y, 1, &x, &v)));
        assert_close(mean_of(m, "running_mean"), 0.375, 1e-15);
        assert_true(mean_of(m, "num_batches_tracked") == 1);
    }
    assert_int_equal(ad_eval(ad_add(y, ad_add(ad_sum(d), ad_sum(h)))), AD_OK); /* evaluates fn once more */
    assert_close(mean_of(m, "running_mean"), 0.7125, 1e-15);
    assert_true(mean_of(m, "num_batches_tracked") == 2);
    ad_graph_free(g);
}

static void checks_move_no_state(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(6, 1));
    nn_module *m = nn_batch_norm(g, AD_F64, 1, (nn_batch_norm_opts){ 0 });
    assert_int_equal(ad_gradcheck(apply_module, m, 1, &x, NULL, NULL), AD_OK);
    assert_true(mean_of(m, "running_mean") == 0 && mean_of(m, "num_batches_tracked") == 0);
    ad_graph_free(g);
}

/* An op of a user's that counts its evaluations, unless they repeat an earlier one. */
static int counted_evaluate(const ad_op *op) {
    ad_graph *g = ad_graph_of(ad_op_result(op));
    int *const *count = ad_attrs(op);
    if (!ad_recomputing(g)) ++**count;
    return *(double *)ad_values(op) = 2 * ad_item(ad_op_operand(op, 0)), AD_OK;
}
static void counted_backward(const ad_op *op) { *(double *)ad_grad_into(op, 0) += 2 * ad_grad_item(ad_op_result(op)); }
static void counted_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) { (void)op, dx[0] = ad_muls(g, 2); }
static const ad_optype op_counted = { .name = "counted",
                                      .arity = 1,
                                      .flags = AD_OP_STATE,
                                      .attr_size = sizeof(int *),
                                      .evaluate = { NULL, counted_evaluate },
                                      .backward = { NULL, counted_backward },
                                      .vjp = counted_vjp };

static ad_var *counts(int n, ad_var *const xs[], void *user) { return ad_square(ad_apply(&op_counted, n, xs, &user)); }
static ad_var *counts_within(int n, ad_var *const xs[], void *user) {
    return ad_exp(ad_checkpoint(counts, user, n, xs));
}

static void ops_with_state(void **state) {
    (void)state;
    ad_function *functions[] = { counts, counts_within };
    for (int i = 0; i < 2; i++) {
        ad_graph *g = ad_graph_new();
        int count = 0;
        ad_var *x = param_item(g, AD_F64, 0.5), *y = ad_checkpoint(functions[i], &count, 1, &x), *d, *dd;
        assert_int_equal(count, 1);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        assert_int_equal(ad_gradient(d, 1, &x, &dd), AD_OK);
        assert_int_equal(count, 1);
        assert_int_equal(ad_eval(ad_add(y, ad_add(d, dd))), AD_OK);
        assert_int_equal(count, 2);
        assert_false(ad_recomputing(g) || ad_recomputing(NULL));
        ad_graph_free(g);
    }
}

/* ---- modules, captured Vars ------------------------------------------------------------------------------------- */

static nn_module *network(ad_graph *g) {
    return nn_sequential(g, nn_linear(g, AD_F64, 2, 4, true), nn_batch_norm(g, AD_F64, 4, (nn_batch_norm_opts){ 0 }),
                         nn_tanh(g), nn_dropout(g, 0.5), nn_linear(g, AD_F64, 4, 1, true));
}

enum { MOST = 8 };

/* The loss of a network, and its derivatives: by backward, as Vars, and the product of its Hessian with ones. */
typedef struct {
    double loss;
    int n;
    double grad[MOST][8], vars[MOST][8], hvp[MOST][8];
} derivatives;

static void differentiate(bool forget, derivatives *to) {
    ad_graph *g = ad_graph_new();
    ad_seed(g, 3);
    nn_module *m = network(g);
    ad_var *x = ad_tensor(g, AD_F64, x_values, AD_SHAPE(3, 2)), *ps[MOST], *ones[MOST], *ds[MOST], *hs[MOST];
    ad_var *y = ad_mean(ad_square(forget ? ad_checkpoint(apply_module, m, 1, &x) : nn_apply(m, x)));
    assert_ok(g);
    to->loss = ad_item(y);
    to->n = nn_parameter_count(m);
    for (int i = 0; i < to->n; i++) {
        ps[i] = nn_parameter_at(m, i).var;
        ones[i] = ad_ones(g, AD_F64, ad_shape_of(ps[i]));
    }
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_gradient(y, to->n, ps, ds), AD_OK);
    assert_int_equal(ad_hvp(y, to->n, ps, ones, hs), AD_OK);
    for (int i = 0; i < to->n; i++)
        for (int k = 0; k < ad_numel(ps[i]); k++) {
            to->grad[i][k] = ad_grad_at(ps[i], k);
            to->vars[i][k] = ad_at(ds[i], k);
            to->hvp[i][k] = ad_at(hs[i], k);
        }
    ad_graph_free(g);
}

static void gradients_reach_the_weights_of_a_module(void **state) {
    (void)state;
    static derivatives plain, forgotten;
    differentiate(false, &plain);
    differentiate(true, &forgotten);
    assert_true(plain.loss == forgotten.loss && plain.n == 6 && forgotten.n == 6);
    bool any = false;
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 8; k++) {
            assert_close(forgotten.grad[i][k], plain.grad[i][k], 1e-13);
            assert_close(forgotten.vars[i][k], plain.grad[i][k], 1e-13);
            assert_close(forgotten.hvp[i][k], plain.hvp[i][k], 1e-12);
            any |= plain.hvp[i][k] != 0;
        }
    assert_true(any);
}

static void training_through_checkpoints(void **state) {
    (void)state;
    double losses[2];
    for (int forget = 0; forget < 2; forget++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 1);
        nn_module *m = network(g);
        nn_optim *opt = nn_adam(m, (nn_adam_opts){ .lr = 0.01 });
        ad_var *x = ad_tensor(g, AD_F64, x_values, AD_SHAPE(3, 2)), *t = ad_ones(g, AD_F64, AD_SHAPE(3, 1));
        for (int step = 0; step < 20; step++) {
            ad_mark mark = ad_begin(g);
            ad_var *y = forget ? ad_checkpoint(apply_module, m, 1, &x) : nn_apply(m, x), *loss = nn_mse(y, t);
            assert_int_equal(ad_backward(loss), AD_OK);
            assert_int_equal(nn_step(opt), AD_OK);
            nn_zero_grad(opt);
            losses[forget] = ad_item(loss);
            ad_end(g, mark);
        }
        ad_graph_free(g);
    }
    assert_close(losses[1], losses[0], 1e-12);
}

typedef struct {
    ad_var *leaf, *made, *constant;
} captured;

/* xs[0] leaf + sin(made) constant */
static ad_var *uses_captured(int n, ad_var *const xs[], void *user) {
    captured *c = user;
    return (void)n, ad_add(ad_mul(xs[0], c->leaf), ad_mul(ad_sin(c->made), c->constant));
}
static ad_var *returns_captured(int n, ad_var *const xs[], void *user) {
    return (void)n, (void)xs, ((captured *)user)->made;
}
static ad_var *nests_captured(int n, ad_var *const xs[], void *user) {
    return ad_mul(ad_checkpoint(uses_captured, user, n, xs), ((captured *)user)->made);
}

static void captured_leaves_and_results(void **state) {
    (void)state;
    ad_function *functions[] = { uses_captured, returns_captured, nests_captured };
    for (int f = 0; f < 3; f++)
        for (int keep = 0; keep < 2; keep++) {
            ad_graph *g = ad_graph_new();
            ad_keep_grads(g, keep);
            ad_var *p = param_item(g, AD_F64, 0.7), *x = param_item(g, AD_F64, 2), *d[3], *e[3];
            captured c = { param_item(g, AD_F64, 3), ad_exp(p), ad_scalar(g, AD_F64, 5) };
            ad_var *xs[] = { x, c.leaf, p }, *y = ad_mul(ad_checkpoint(functions[f], &c, 1, &x), c.made);
            ad_var *plain = ad_mul(functions[f](1, &x, &c), c.made);
            assert_true(ad_item(y) == ad_item(plain));
            assert_int_equal(ad_backward(y), AD_OK);
            assert_int_equal(ad_gradient(plain, 3, xs, d), AD_OK);
            assert_int_equal(ad_gradient(y, 3, xs, e), AD_OK);
            for (int i = 0; i < 3; i++) {
                assert_close(ad_item(e[i]), ad_item(d[i]), 1e-13);
                assert_close(ad_grad_item(xs[i]), ad_item(d[i]), 1e-13);
            }
            set_item(p, -0.2);
            assert_int_equal(ad_backward(y), AD_ESTALE), ad_clear_error(g);
            assert_int_equal(ad_eval(y), AD_OK);
            assert_int_equal(ad_eval(plain), AD_OK);
            assert_true(ad_item(y) == ad_item(plain));
            ad_graph_free(g);
        }
}

/* ---- what changed in between is noticed ------------------------------------------------------------------------- */

/* sum of k x^2, x = (1,2,3): the gradient is 2 k x. */
static ad_var *times_k(int n, ad_var *const xs[], void *user) {
    return (void)n, ad_sum(ad_mul(ad_square(xs[0]), user));
}

static void a_constant_that_changed(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3)), *k = ad_name(ad_scalar(g, AD_F64, 1), "k"),
           *dx;
    ad_var *y = ad_checkpoint(times_k, k, 1, &x);
    set_item(k, 10);
    assert_int_equal(ad_backward(y), AD_ESTALE);
    assert_contains(ad_error(g), "k [] of checkpoint was changed after checkpoint ran; call ad_eval first");
    ad_clear_error(g);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_ESTALE), ad_clear_error(g);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_item(y) == 140 && ad_grad_at(x, 2) == 60);
    ad_graph_free(g);
}

static void a_mode_that_changed(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = i ? nn_dropout(g, 0.5) : nn_batch_norm(g, AD_F64, 1, (nn_batch_norm_opts){ 0 });
        ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(6, 1)), *dx;
        ad_var *y = ad_sum(ad_square(ad_checkpoint(apply_module, m, 1, &x)));
        nn_train(m, false);
        assert_int_equal(ad_backward(y), AD_ESTALE);
        assert_contains(ad_error(g), "checkpoint: fn no longer applies the ops");
        ad_clear_error(g);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_ESTALE), ad_clear_error(g);
        assert_int_equal(ad_eval(y), AD_ESTALE), ad_clear_error(g);
        nn_train(m, true);
        assert_int_equal(ad_eval(y), AD_OK);
        assert_int_equal(ad_backward(y), AD_OK);
        ad_graph_free(g);
    }
}

/* Numbers of C, which no stamp tells of. */
typedef struct {
    double factor, memory[2];
    int times;
} numbers;

static ad_var *by_attribute(int n, ad_var *const xs[], void *user) {
    return (void)n, ad_muls(xs[0], ((numbers *)user)->factor);
}
static ad_var *by_leaf(int n, ad_var *const xs[], void *user) {
    return (void)n, ad_mul(xs[0], ad_tensor(ad_graph_of(xs[0]), AD_F64, ((numbers *)user)->memory, AD_SHAPE(2)));
}
static ad_var *by_borrowed_memory(int n, ad_var *const xs[], void *user) {
    return (void)n, ad_mul(xs[0], ad_input(ad_graph_of(xs[0]), AD_F64, ((numbers *)user)->memory, AD_SHAPE(2)));
}
static ad_var *by_loop(int n, ad_var *const xs[], void *user) {
    ad_var *y = xs[0];
    for (int i = 0; i < ((numbers *)user)->times; i++) y = ad_neg(y);
    return (void)n, y;
}

static void numbers_of_c_that_changed(void **state) {
    (void)state;
    ad_function *functions[] = { by_attribute, by_leaf, by_borrowed_memory, by_loop };
    for (int i = 0; i < 4; i++) {
        ad_graph *g = ad_graph_new();
        const numbers before = { 2, { 2, 2 }, 2 }, after = { 3, { 2, 3 }, 4 };
        numbers user = before;
        ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), *dx,
               *y = ad_sum(ad_checkpoint(functions[i], &user, 1, &x));
        user = after;
        assert_int_equal(ad_backward(y), AD_ESTALE);
        assert_contains(ad_error(g), "build the graph again"), ad_clear_error(g);
        assert_true(ad_grad_at(x, 1) == 0);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_ESTALE), ad_clear_error(g);
        user = before;
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_grad_at(x, 1) == (i == 3 ? 1 : 2));
        ad_graph_free(g);
    }
}

/* ---- random numbers --------------------------------------------------------------------------------------------- */

enum { DRAWN = 10 };

static ad_var *drops(int n, ad_var *const xs[], void *user) {
    return (void)n, (void)user, ad_dropout(xs[0], 0.5, true);
}
static ad_var *scales_by_a_leaf(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(xs[0], ad_add(ad_rand(ad_graph_of(xs[0]), AD_F64, AD_SHAPE(DRAWN)),
                                ad_randn(ad_graph_of(xs[0]), AD_F64, AD_SHAPE(DRAWN))));
}
static ad_var *drops_within(int n, ad_var *const xs[], void *user) {
    ad_rand(ad_graph_of(xs[0]), AD_F64, AD_SHAPE(3));
    return ad_mul(ad_checkpoint(drops, user, n, xs), ad_checkpoint(scales_by_a_leaf, user, n, xs));
}
static ad_var *seeds(int n, ad_var *const xs[], void *user) {
    ad_seed(ad_graph_of(xs[0]), 9);
    return drops(n, xs, user);
}

/* y is linear or quadratic in x = 1, so d y / d x is y or 2 y for the same draws, and the second derivative 0 or 2 y.
   */
static void one_mask_for_value_and_derivatives(void **state) {
    (void)state;
    static const struct {
        ad_function *fn;
        int order;
    } rows[] = { { drops, 1 }, { scales_by_a_leaf, 1 }, { drops_within, 2 }, { seeds, 1 } };
    for (int r = 0; r < 4; r++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(DRAWN))), *v = ad_ones(g, AD_F64, AD_SHAPE(DRAWN)), *d,
               *h;
        ad_var *c = ad_checkpoint(rows[r].fn, NULL, 1, &x), *y = ad_sum(c);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        assert_int_equal(ad_hvp(y, 1, &x, &v, &h), AD_OK);
        ad_var *roots[] = { y, ad_add(y, ad_sum(d)), ad_sum(d), ad_add(ad_sum(h), y), ad_add(ad_sum(ad_add(d, h)), y) };
        bool changed = false;
        for (int i = 0; i < 10; i++) {
            double before = ad_at(c, i);
            int k = 1 + i % 4;
            assert_int_equal(ad_eval(roots[k]), AD_OK);
            for (int e = 0; e < DRAWN; e++) {
                if (k != 3) assert_close(ad_at(d, e), rows[r].order * ad_at(c, e), 1e-14);
                if (k > 2) assert_close(ad_at(h, e), rows[r].order == 2 ? 2 * ad_at(c, e) : 0, 1e-14);
            }
            changed |= ad_at(c, i) != before;
        }
        assert_true(changed || rows[r].fn == seeds);
        assert_int_equal(ad_eval(y), AD_OK); /* y alone: the derivatives are old now */
        if (rows[r].fn != seeds) assert_int_equal(ad_backward(ad_sum(ad_mul(d, x))), AD_ESTALE);
        ad_graph_free(g);
    }
}

/* ---- modes of the graph ----------------------------------------------------------------------------------------- */

static void without_recording_gradients(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3)), *k = param_item(g, AD_F64, 2),
           *xs[] = { x, k }, *d[2];
    ad_var *y = ad_checkpoint(times_k, k, 1, &x);
    bool was = ad_enable_grad(g, false);
    ad_var *constant = ad_checkpoint(times_k, k, 1, &x);
    assert_int_equal(ad_gradient(y, 2, xs, d), AD_OK);
    assert_true(ad_at(d[0], 2) == 12 && ad_item(d[1]) == 14);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_at(x, 2) == 12 && ad_grad_item(k) == 14);
    set_item(k, 3);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_eval(constant), AD_OK);
    assert_true(ad_item(y) == 42 && ad_item(constant) == 42);
    ad_enable_grad(g, was);
    assert_int_equal(ad_backward(constant), AD_EGRAD), ad_clear_error(g);
    assert_int_equal(ad_gradient(constant, 2, xs, d), AD_OK);
    assert_true(ad_at(d[0], 2) == 0 && ad_item(d[1]) == 0);
    ad_graph_free(g);
}

static void lack_of_memory(void **state) {
    (void)state;
    for (int64_t at = 0; at < 120; at++) {
        test_memory m = { .fail_at = at };
        ad_graph *g = test_graph(&m);
        if (g != NULL) {
            nn_module *net = nn_linear(g, AD_F64, 2, 400, true);
            ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(3, 2)), *dx;
            ad_var *y = net ? ad_sum(ad_checkpoint(apply_module, net, 1, &x)) : ad_nil(g);
            int rc = ad_backward(y);
            ad_gradient(y, 1, &x, &dx);
            ad_eval(dx);
            assert_true(rc == AD_OK || rc == AD_ENOMEM);
            if (m.failures == 0) assert_ok(g);
            ad_graph_free(g);
        }
        assert_all_released(&m);
    }
}

/* ---- every op --------------------------------------------------------------------------------------------------- */

static ad_var *apply_sample(int n, ad_var *const xs[], void *user) {
    const ad_sample_case *c = user;
    return ad_apply(c->type, n, xs, c->attrs);
}

/* The gradients of a sample by backward, within a checkpoint or without, after the same draws. */
static int sample_gradients(ad_graph *g, const ad_sample_case *c, bool within, ad_var *const xs[], double *const to[]) {
    ad_seed(g, 5);
    void *user = (void *)(uintptr_t)c;
    ad_var *y = within ? ad_checkpoint(apply_sample, user, c->n, xs) : apply_sample(c->n, xs, user);
    if (!ad_ok(g) || !ad_requires_grad(y)) return ad_error_code(g);
    ad_var *w = ad_tensor(g, ad_dtype_of(y), NULL, ad_shape_of(y));
    for (int64_t k = 0; k < ad_numel(w); k++)
        ad_write_element(ad_dtype_of(w), ad_data_mut(w), k, 1.0 / (double)(k + 2));
    int rc = ad_backward_from(y, w);
    for (int i = 0; i < c->n; i++)
        for (int64_t k = 0; k < ad_numel(xs[i]); k++) to[i][k] = ad_grad_at(xs[i], k);
    for (int i = 0; i < c->n; i++) ad_zero_grad(xs[i]);
    return rc;
}

static int sample_within_a_checkpoint(const ad_sample_case *c, void *data) {
    ad_graph *g = data;
    ad_var *xs[16];
    double *plain[16], *within[16];
    for (int i = 0; i < c->n; i++) {
        bool param = !(c->type->flags & AD_OP_CONSTANT) && !(c->type->no_grad >> i & 1);
        xs[i] = (param ? ad_param : ad_tensor)(g, AD_F64, c->values[i], c->shapes[i]);
        plain[i] = ad_scope_array(g, (size_t)ad_numel(xs[i]) * sizeof(double));
        within[i] = ad_scope_array(g, (size_t)ad_numel(xs[i]) * sizeof(double));
    }
    int rc = sample_gradients(g, c, false, xs, plain);
    if (rc == AD_EABSENT) return ad_clear_error(g), AD_OK; /* this build lacks a library that the op needs */
    if (rc == AD_OK) rc = sample_gradients(g, c, true, xs, within);
    for (int i = 0; i < c->n && rc == AD_OK; i++)
        for (int64_t k = 0; k < ad_numel(xs[i]) && ad_requires_grad(xs[i]); k++)
            assert_close_in(c->type->name, within[i][k], plain[i][k], 1e-12);
    return rc;
}

static void every_op_within_a_checkpoint(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++)
        if (ad_each_sample(g, *t, sample_within_a_checkpoint, g)) fail_msg("%s: %s", (*t)->name, ad_error(g));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_within_a_checkpoint),
        cmocka_unit_test(checks_move_no_state),
        cmocka_unit_test(running_averages_move_once),
        cmocka_unit_test(ops_with_state),
        cmocka_unit_test(gradients_reach_the_weights_of_a_module),
        cmocka_unit_test(training_through_checkpoints),
        cmocka_unit_test(captured_leaves_and_results),
        cmocka_unit_test(a_constant_that_changed),
        cmocka_unit_test(a_mode_that_changed),
        cmocka_unit_test(numbers_of_c_that_changed),
        cmocka_unit_test(one_mask_for_value_and_derivatives),
        cmocka_unit_test(without_recording_gradients),
        cmocka_unit_test(lack_of_memory),
        cmocka_unit_test(checkpoints_do_not_change_results),
        cmocka_unit_test(checkpoints_save_memory),
        cmocka_unit_test(checkpoints_repeat_their_random_numbers),
        cmocka_unit_test(recomputation_does_not_advance_the_generator),
        cmocka_unit_test(many_checkpoints_take_linear_time),
        cmocka_unit_test(derivatives_inside_checkpoints),
        cmocka_unit_test(invalid_checkpoints_are_reported),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
