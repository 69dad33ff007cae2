/* test_scope.c: scopes: what ends with them, what outlives them, and that steady steps allocate nothing. */
#include "tests/common.h"

#ifdef ADDRESS_SANITIZED
#include <sanitizer/asan_interface.h>
#endif

static int64_t live_ops(const ad_graph *g) { return ad_graph_stats(g).ops; }
static int64_t bytes_used(const ad_graph *g) { return ad_graph_stats(g).bytes_used; }

/* ---- nesting -------------------------------------------------------------------------------------- */

static void a_scope_ends_what_was_made_in_it(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *before = ad_square(x);
    int64_t used = bytes_used(g);
    ad_mark m = ad_begin(g);
    ad_var *y = ad_mul(before, ad_exp(ad_zeros(g, AD_F64, AD_SHAPE(20000)))); /* several blocks */
    assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
    assert_true(bytes_used(g) > used && live_ops(g) == 4);
    ad_end(g, m);
    assert_true(bytes_used(g) == used && live_ops(g) == 1);
    assert_true(ad_item(x) == 3 && ad_item(before) == 9 && ad_grad_item(x) == 120000);
    assert_int_equal(ad_backward(before), AD_OK);
    assert_true(ad_grad_item(x) == 120006);
    assert_ok(g);
    ad_graph_free(g);
}

static void scopes_nest(void **state) {
    (void)state;
    enum { DEEP = 100 };
    ad_graph *g = ad_graph_new();
    ad_mark marks[DEEP];
    ad_var *x = param_item(g, AD_F64, 1), *at[DEEP];
    int64_t used[DEEP];
    for (int i = 0; i < DEEP; i++) {
        used[i] = bytes_used(g);
        marks[i] = ad_begin(g);
        at[i] = ad_adds(i ? at[i - 1] : x, 1);
    }
    for (int i = DEEP - 1; i >= 0; i--) {
        assert_true(ad_item(at[i]) == 2 + i);
        assert_int_equal(ad_backward(at[i]), AD_OK);
        ad_end(g, marks[i]);
        assert_true(bytes_used(g) == used[i] && live_ops(g) == i);
    }
    assert_true(ad_grad_item(x) == DEEP);
    assert_ok(g);
    ad_graph_free(g);
}

static void closing_an_outer_scope_closes_the_inner_ones(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    ad_mark outer = ad_begin(g);
    ad_square(x);
    ad_mark middle = ad_begin(g);
    ad_square(x);
    ad_mark inner = ad_begin(g);
    ad_square(x);
    ad_end(g, outer);
    assert_ok(g);
    assert_int_equal(live_ops(g), 0);
    ad_mark closed[] = { middle, inner, outer };
    for (int i = 0; i < 3; i++) {
        ad_end(g, closed[i]);
        assert_int_equal(ad_error_code(g), AD_EGRAPH);
        assert_contains(ad_error(g), "closed already");
        ad_clear_error(g);
    }
    assert_true(ad_item(ad_square(x)) == 4);
    ad_graph_free(g);
}

/* A mark does not close a later scope at the same depth. */
static void an_old_mark_closes_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    ad_mark old = ad_begin(g);
    ad_end(g, old);
    ad_mark m = ad_begin(g);
    ad_var *y = ad_square(x);
    ad_end(g, old);
    assert_int_equal(ad_error_code(g), AD_EGRAPH);
    ad_clear_error(g);
    assert_true(live_ops(g) == 1 && ad_item(y) == 4);
    ad_end(g, m);
    assert_ok(g);
    ad_graph_free(g);
}

static void the_mark_of_a_scope_that_did_not_open(void **state) {
    (void)state;
    test_memory m = { .fail_at = 1, .fail_on = true };
    ad_graph *g = test_graph(&m);
    ad_mark none = ad_begin(g);
    assert_int_equal(ad_error_code(g), AD_ENOMEM);
    ad_end(g, none);
    ad_clear_error(g);
    ad_end(g, none);
    assert_ok(g);
    ad_graph_free(g);
    assert_all_released(&m);
}

static void a_scope_closes_under_an_error_too(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    ad_mark m = ad_begin(g);
    ad_add(x, ad_zeros(g, AD_F32, AD_SCALAR));
    assert_false(ad_ok(g));
    ad_square(x);
    ad_end(g, m);
    assert_int_equal(ad_error_code(g), AD_EDTYPE);
    assert_int_equal(live_ops(g), 0);
    ad_clear_error(g);
    assert_true(ad_item(ad_square(x)) == 4);
    ad_graph_free(g);
}

/* Freeing the graph closes open scopes. */
static void a_graph_freed_with_open_scopes(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(100));
    ad_begin(g);
    ad_begin(g);
    ad_require_grad(x);
    ad_sum(ad_square(x));
    ad_graph_free(g);
    assert_all_released(&m);
}

/* ---- memory that outlives the scope in which it is needed first --------------------------------------- */

enum { WIDE = 500 };

static void a_gradient_asked_for_in_an_inner_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, 3, AD_SHAPE(WIDE)), *c = ad_full(g, AD_F64, 2, AD_SHAPE(WIDE));
    ad_mark outer = ad_begin(g), inner = ad_begin(g);
    assert_ptr_equal(ad_require_grad(x), x);
    assert_int_equal(ad_backward(ad_sum(ad_mul(x, c))), AD_OK);
    ad_end(g, inner);
    ad_zeros(g, AD_F64, AD_SHAPE(4 * WIDE)); /* takes the memory of the closed scope */
    ad_end(g, outer);
    ad_var *others = ad_full(g, AD_F64, 7, AD_SHAPE(4 * WIDE));
    for (int i = 0; i < WIDE; i++) assert_true(ad_grad_at(x, i) == 2);
    assert_int_equal(ad_backward(ad_sum(ad_square(x))), AD_OK);
    for (int i = 0; i < WIDE; i++) assert_true(ad_grad_at(x, i) == 8);
    for (int i = 0; i < 4 * WIDE; i++) assert_true(ad_at(others, i) == 7);
    ad_graph_free(g);
}

/* The memory of a retained gradient ends with the scope of the Var, not with the scope that is open. */
static void a_retained_gradient_of_an_outer_scope(void **state) {
    (void)state;
    test_memory memory = { .fail_at = -1 };
    ad_graph *g = test_graph(&memory);
    ad_keep_grads(g, false);
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(WIDE));
    ad_mark outer = ad_begin(g);
    ad_var *h = ad_exp(x);
    ad_mark inner = ad_begin(g);
    assert_int_equal(ad_retain_grad(h), AD_OK);
    assert_int_equal(ad_backward(ad_sum(ad_muls(h, 3))), AD_OK);
    ad_end(g, inner);
    ad_zeros(g, AD_F64, AD_SHAPE(4 * WIDE));
    for (int i = 0; i < WIDE; i++) assert_true(ad_grad_at(h, i) == 3 && ad_grad_at(x, i) == 3);
    int64_t held = memory.live;
    ad_end(g, outer);
    assert_true(memory.live < held);
    assert_true(ad_grad_at(x, 5) == 3);
    ad_graph_free(g);
    assert_all_released(&memory);
}

/* ---- steady steps ----------------------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *w1, *b1, *w2, *x;
    bool retain;
} net;

static net net_new(ad_graph *g) {
    ad_seed(g, 1);
    return (net){ .g = g,
                  .w1 = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(5, 3))),
                  .b1 = ad_param(g, AD_F32, NULL, AD_SHAPE(5)),
                  .w2 = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(1, 5))),
                  .x = ad_randn(g, AD_F32, AD_SHAPE(2, 3)) };
}

static void descend(ad_var *p, float rate) {
    float *data = ad_data_mut(p);
    const float *grad = ad_grad(p);
    for (int64_t i = 0; i < ad_numel(p); i++) data[i] -= rate * grad[i];
    ad_zero_grad(p);
}

/* One training step of a small network in its own scope. Returns the loss. */
static double step(const net *n) {
    ad_mark m = ad_begin(n->g);
    ad_var *h = ad_tanh(ad_affine(n->x, n->w1, n->b1));
    ad_var *loss = ad_mean(ad_square(ad_adds(ad_affine(h, n->w2, NULL), -1)));
    if (n->retain) ad_retain_grad(h);
    double value = ad_item(loss);
    assert_int_equal(ad_backward(loss), AD_OK);
    descend(n->w1, 0.1f);
    descend(n->b1, 0.1f);
    descend(n->w2, 0.1f);
    ad_end(n->g, m);
    return value;
}

static void steady_steps(int steps, bool keep, bool retain) {
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_keep_grads(g, keep);
    net n = net_new(g);
    n.retain = retain;
    double first = step(&n), last = 0;
    for (int i = 0; i < 10; i++) step(&n);
    ad_stats before = ad_graph_stats(g);
    int64_t calls = m.calls, live = m.live;
    for (int i = 0; i < (test_quick() ? 200 : steps); i++) last = step(&n);
    ad_stats after = ad_graph_stats(g);
    assert_true(m.calls == calls && m.live == live);
    assert_true(after.bytes_held == before.bytes_held && after.bytes_used == before.bytes_used);
    assert_true(after.allocs == before.allocs && after.ops == 0);
    assert_true(after.bytes_held == m.live);
    assert_true(last < 1e-3 && last < first);
    ad_graph_free(g);
    assert_all_released(&m);
}

static void steps_allocate_nothing(void **state) {
    (void)state;
    steady_steps(100000, true, false);
}

static void steps_with_borrowed_gradients_allocate_nothing(void **state) {
    (void)state;
    steady_steps(100000, false, false);
}

static void steps_that_retain_a_gradient_allocate_nothing(void **state) {
    (void)state;
    steady_steps(5000, false, true);
}

/* Gradients as Vars, and their gradients. */
static void steps_of_second_order_allocate_nothing(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3)), *dx, *ddx;
    int64_t calls = 0;
    for (int i = 0; i < 300; i++) {
        ad_mark s = ad_begin(g);
        assert_int_equal(ad_gradient(ad_sum(ad_exp(ad_square(x))), 1, &x, &dx), AD_OK);
        assert_int_equal(ad_gradient(ad_sum(dx), 1, &x, &ddx), AD_OK);
        ad_end(g, s);
        if (i == 5) calls = m.calls;
    }
    assert_int_equal(m.calls, calls);
    ad_graph_free(g);
    assert_all_released(&m);
}

/* ---- sizes that vary ----------------------------------------------------------------------------------------- */

static void one_step_of_size(ad_graph *g, const ad_var *w, int64_t n) {
    ad_mark m = ad_begin(g);
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n));
    ad_backward(ad_sum(ad_mul(x, (ad_var *)w)));
    ad_end(g, m);
}

/* Random sizes up to 2^17 elements, half a megabyte each, with five arrays at a time. */
static void sizes_that_vary_at_random(void **state) {
    (void)state;
    for (int keep = 0; keep <= 1; keep++) {
        ad_graph *g = ad_graph_new();
        ad_keep_grads(g, keep);
        ad_var *w = param_item(g, AD_F32, 2);
        uint64_t r = 1;
        for (int i = 0; i < (test_quick() ? 30 : 1000); i++) one_step_of_size(g, w, 1 + next_below(&r, 1 << 17));
        assert_true(ad_graph_stats(g).bytes_held < 16 << 20);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* Each array is larger than all before. The memory that is held is a small multiple of the largest array, not the sum
   of all arrays. */
static void sizes_that_grow_little_by_little(void **state) {
    (void)state;
    enum { LEAST = 2 << 20, STEP = 1 << 16, STEPS = 100 };
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < STEPS; i += test_quick() ? 30 : 1) {
        ad_mark m = ad_begin(g);
        assert_false(ad_is_nil(ad_zeros(g, AD_F32, AD_SHAPE(LEAST + i * STEP))));
        ad_end(g, m);
    }
    assert_true(ad_graph_stats(g).bytes_held < 8 * (int64_t)sizeof(float) * (LEAST + STEPS * STEP));
    ad_graph_free(g);
}

/* ---- the plan of ad_eval when addresses are used again ------------------------------------------------------ */

/* z has the address of y, but the plan for y does not evaluate exp(x), on which z depends. */
static void a_plan_does_not_outlive_its_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    ad_mark m = ad_begin(g);
    ad_exp(x);
    ad_var *y = ad_square(ad_sin(x));
    assert_int_equal(ad_eval(y), AD_OK);
    ad_end(g, m);
    m = ad_begin(g);
    ad_var *z = ad_square(ad_sin(ad_exp(x)));
    assert_ptr_equal(z, y); /* otherwise this test shows nothing */
    set_item(x, 0.5);
    assert_int_equal(ad_backward(z), AD_ESTALE); /* y was evaluated, z was not */
    ad_clear_error(g);
    assert_int_equal(ad_eval(z), AD_OK);
    double e = exp(0.5);
    assert_close(ad_item(z), sin(e) * sin(e), 1e-14);
    assert_int_equal(ad_backward(z), AD_OK);
    assert_close(ad_grad_item(x), 2 * sin(e) * cos(e) * e, 1e-14);
    ad_end(g, m);
    ad_graph_free(g);
}

/* The plan of an outer root remains right after inner scopes. */
static void a_plan_of_an_outer_root(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *y = ad_square(x);
    for (int i = 1; i <= 5; i++) {
        ad_mark m = ad_begin(g);
        ad_var *inner = ad_exp(y);
        set_item(x, i);
        assert_int_equal(ad_eval(i % 2 ? y : inner), AD_OK);
        ad_end(g, m);
        assert_true(ad_item(y) == i * i);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_grad_item(x) == 2 * i);
    }
    ad_graph_free(g);
}

/* A picture makes a plan too. */
static void a_picture_in_a_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    FILE *dev_null = fopen("/dev/null", "w");
    assert_non_null(dev_null);
    for (int i = 0; i < 3; i++) {
        ad_mark m = ad_begin(g);
        ad_var *y = i % 2 ? ad_exp(ad_sin(x)) : ad_mul(x, ad_cos(x));
        assert_int_equal(ad_dump_dot(y, dev_null), AD_OK);
        assert_int_equal(ad_eval(y), AD_OK);
        assert_close(ad_item(y), i % 2 ? exp(sin(2)) : 2 * cos(2), 1e-14);
        ad_end(g, m);
    }
    fclose(dev_null);
    ad_graph_free(g);
}

/* ---- memory that is poisoned for AddressSanitizer --------------------------------------------------------------- */

static void a_closed_scope_is_poisoned(void **state) {
    (void)state;
#ifdef ADDRESS_SANITIZED
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(WIDE));
    ad_mark m = ad_begin(g);
    ad_var *y = ad_exp(x), *s = ad_sum(y);
    const void *data = ad_data(y), *grad = ad_grad(y), *op = ad_creator(s);
    ad_backward(s);
    assert_false(__asan_address_is_poisoned(y));
    ad_end(g, m);
    const void *freed[] = { y, s, op, data, grad };
    for (int i = 0; i < 5; i++) assert_true(__asan_address_is_poisoned(freed[i]));
    assert_false(__asan_address_is_poisoned(x));
    assert_false(__asan_address_is_poisoned(ad_data(x)));
    assert_false(__asan_address_is_poisoned(ad_grad(x)));
    ad_graph_free(g);
#else
    skip();
#endif
}

/* A kernel that writes past the end of its array is detected at the first byte. A single element lies in its node. */
static void memory_after_an_array_is_poisoned(void **state) {
    (void)state;
#ifdef ADDRESS_SANITIZED
    ad_graph *g = ad_graph_new();
    for (int n = 2; n < 40; n++) {
        const char *data = ad_data(ad_zeros(g, AD_F32, AD_SHAPE(n)));
        assert_false(__asan_address_is_poisoned(data + 4 * n - 1));
        assert_true(__asan_address_is_poisoned(data + 4 * n));
        assert_true(__asan_address_is_poisoned(data + 4 * n + 63));
    }
    ad_graph_free(g);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_ends_what_was_made_in_it),
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(closing_an_outer_scope_closes_the_inner_ones),
        cmocka_unit_test(an_old_mark_closes_nothing),
        cmocka_unit_test(the_mark_of_a_scope_that_did_not_open),
        cmocka_unit_test(a_scope_closes_under_an_error_too),
        cmocka_unit_test(a_graph_freed_with_open_scopes),
        cmocka_unit_test(a_gradient_asked_for_in_an_inner_scope),
        cmocka_unit_test(a_retained_gradient_of_an_outer_scope),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(steps_with_borrowed_gradients_allocate_nothing),
        cmocka_unit_test(steps_that_retain_a_gradient_allocate_nothing),
        cmocka_unit_test(steps_of_second_order_allocate_nothing),
        cmocka_unit_test(sizes_that_vary_at_random),
        cmocka_unit_test(sizes_that_grow_little_by_little),
        cmocka_unit_test(a_plan_does_not_outlive_its_scope),
        cmocka_unit_test(a_plan_of_an_outer_root),
        cmocka_unit_test(a_picture_in_a_scope),
        cmocka_unit_test(a_closed_scope_is_poisoned),
        cmocka_unit_test(memory_after_an_array_is_poisoned),
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
