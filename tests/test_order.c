/* test_order.c: graphs are evaluated and differentiated in creation order: long chains, diamonds, old operands, gaps.
   */
#include "tests/common.h"

#include <limits.h>
#include <pthread.h>

/* ---- a chain on a small stack ------------------------------------------------------------------- */

typedef struct {
    int n;
    double value, dx, dc; /* after recording and one backward pass */
    double again, dx2;    /* after a change of x, ad_eval and a second pass */
    ad_stats closed;
    bool ok;
} chain;

/* x + c + 1/4 + c + 1/4 ..., which is exact in binary. */
static ad_var *long_sum(ad_var *x, ad_var *c, int n) {
    ad_var *y = x;
    for (int i = 0; i < n; i++) y = i % 2 ? ad_adds(y, 0.25) : ad_add(y, c);
    return y;
}

static void *run_chain(void *arg) {
    chain *r = arg;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *c = param_item(g, AD_F64, 0.5);
    ad_mark m = ad_begin(g);
    ad_var *y = long_sum(x, c, r->n);
    ad_backward(y);
    r->value = ad_item(y), r->dx = ad_grad_item(x), r->dc = ad_grad_item(c);
    set_item(x, 5);
    ad_eval(y);
    ad_backward(y);
    r->again = ad_item(y), r->dx2 = ad_grad_item(x);
    ad_zero_grad(y);
    ad_end(g, m);
    r->closed = ad_graph_stats(g);
    r->ok = ad_ok(g);
    ad_graph_free(g);
    return NULL;
}

static void on_a_small_stack(void *(*run)(void *), void *arg) {
    enum { STACK = 256 << 10 };
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK > PTHREAD_STACK_MIN ? STACK : PTHREAD_STACK_MIN), 0);
    assert_int_equal(pthread_create(&thread, &attributes, run, arg), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
}

static void a_chain_of_two_million_ops(void **state) {
    (void)state;
    chain r = { .n = test_quick() ? 20000 : 2000000 };
    double start = processor_seconds(), half = r.n / 2;
    on_a_small_stack(run_chain, &r);
    print_message("a chain of %d ops: %.2f s\n", r.n, processor_seconds() - start);
    assert_true(r.ok);
    assert_true(r.value == 3 + half * 0.75 && r.dx == 1 && r.dc == half);
    assert_true(r.again == 5 + half * 0.75 && r.dx2 == 2);
    assert_int_equal(r.closed.ops, 0);
}

/* Gradients as Vars and DOT text of a long chain. Neither recurses. */
static void *run_gradient_of_a_chain(void *arg) {
    chain *r = arg;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *c = param_item(g, AD_F64, 0.5), *y = long_sum(x, c, r->n), *d[2];
    r->ok = ad_gradient(y, 2, (ad_var *[]){ x, c }, d) == AD_OK;
    r->dx = ad_item(d[0]), r->dc = ad_item(d[1]);
    FILE *dev_null = fopen("/dev/null", "w");
    r->ok = r->ok && dev_null != NULL && ad_dump_dot(y, dev_null) == AD_OK;
    if (dev_null != NULL) fclose(dev_null);
    ad_graph_free(g);
    return NULL;
}

static void gradients_as_vars_and_pictures_of_a_chain(void **state) {
    (void)state;
    chain r = { .n = test_quick() ? 2000 : 50000 };
    on_a_small_stack(run_gradient_of_a_chain, &r);
    assert_true(r.ok && r.dx == 1 && r.dc == r.n / 2);
}

/* ---- diamonds --------------------------------------------------------------------------------------- */

/* A walk along all paths of a thousand diamonds would take 2^1000 steps. */
static void a_thousand_diamonds(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = x, *dx;
    double start = processor_seconds();
    for (int i = 0; i < 1000; i++) y = ad_add(y, y);
    assert_int_equal(ad_backward(y), AD_OK);
    double taken = processor_seconds() - start;
    print_message("a thousand diamonds: %.3f ms\n", 1e3 * taken);
    assert_true(ad_item(y) == ldexp(1, 1000) && ad_grad_item(x) == ldexp(1, 1000));
    set_item(x, 0.5);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == ldexp(1, 999));
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == ldexp(1, 1000));
    assert_true(taken < 1);
    ad_graph_free(g);
}

/* ---- only ops that are reached cost time ------------------------------------------------------------- */

static int counted_evaluate(const ad_op *op) {
    *(double *)ad_values(op) = ad_item(ad_op_operand(op, 0));
    return AD_OK;
}

/* y = x. The attribute points at the number of calls of backward. */
static void counted_backward(const ad_op *op) {
    int64_t *const *count = ad_attrs(op);
    double *dx = ad_grad_into(op, 0);
    ++**count;
    if (dx != NULL) *dx += ad_grad_item(ad_op_result(op));
}

static const ad_optype counted = { .name = "counted",
                                   .arity = 1,
                                   .attr_size = sizeof(int64_t *),
                                   .evaluate = { NULL, counted_evaluate },
                                   .backward = { NULL, counted_backward } };

static ad_var *count_calls(ad_var *x, int64_t *calls) { return ad_apply(&counted, 1, &x, &calls); }

static void unreached_ops_are_not_differentiated(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t reached = 0, others = 0;
    ad_var *x = param_item(g, AD_F64, 2), *used = count_calls(x, &reached), *unused = x;
    for (int i = 0; i < 500; i++) unused = count_calls(unused, &others);
    ad_var *y = count_calls(ad_mul(used, used), &reached);
    count_calls(y, &others); /* made from y: y does not depend on it */
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(reached, 2);
    assert_int_equal(others, 0);
    assert_true(ad_grad_item(x) == 4 && ad_grad_item(unused) == 0);
    ad_graph_free(g);
}

/* A part that needs no gradient is not differentiated either. */
static void ops_that_need_no_gradient_are_not_differentiated(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t wanted = 0, constant = 0;
    ad_var *x = param_item(g, AD_F64, 2), *c = ad_full(g, AD_F64, 3, AD_SCALAR);
    ad_var *y = ad_mul(count_calls(x, &wanted), count_calls(ad_square(c), &constant));
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(wanted == 1 && constant == 0 && ad_grad_item(x) == 9 && ad_grad_item(c) == 0);
    ad_graph_free(g);
}

/* y = x with a backward that adds nothing: ops before x are reached but get no gradient. */
static void silent_backward(const ad_op *op) { (void)op; }
static const ad_optype silent = {
    .name = "silent", .arity = 1, .evaluate = { NULL, counted_evaluate }, .backward = { NULL, silent_backward }
};

static void ops_that_get_no_gradient_are_not_differentiated(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t calls = 0;
    ad_var *x = param_item(g, AD_F64, 2), *h = count_calls(x, &calls), *y = ad_apply(&silent, 1, &h, NULL);
    assert_int_equal(ad_backward(ad_muls(h, 3)), AD_OK);
    assert_true(calls == 1 && ad_grad_item(h) == 3);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(calls == 1 && ad_grad_item(h) == 0 && ad_grad_item(x) == 3);
    ad_graph_free(g);
}

/* If gradients are kept, a pass allocates nothing, not even for constants. */
static void a_pass_allocates_nothing(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(100)), *c = ad_ones(g, AD_F64, AD_SHAPE(100));
    ad_var *y = ad_sum(ad_mul(ad_exp(x), ad_exp(ad_sin(c))));
    int64_t calls = m.calls;
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(m.calls, calls);
    assert_close(ad_grad_at(x, 99), exp(sin(1)), 1e-14);
    ad_graph_free(g);
}

enum { PASSES = 1000 };

/* A scan over a million ops takes milliseconds, a thousand such scans many seconds. */
static void an_operand_a_million_ops_old(void **state) {
    (void)state;
    int unrelated = test_quick() ? 10000 : 1000000;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *old = ad_square(x), *other = param_item(g, AD_F64, 1);
    for (int i = 0; i < unrelated; i++) other = ad_adds(other, 1);
    ad_var *y = ad_muls(old, 3);
    double start = processor_seconds();
    for (int pass = 1; pass <= PASSES; pass++) {
        set_item(x, pass);
        assert_int_equal(ad_eval(y), AD_OK);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_true(ad_item(y) == 3.0 * pass * pass && ad_grad_item(x) == 6 * pass);
    }
    double taken = processor_seconds() - start;
    print_message("%d passes over a gap of %d ops: %.1f ms\n", PASSES, unrelated, 1e3 * taken);
    assert_true(taken < 1);
    ad_graph_free(g);
}

/* Each reached op is followed by 200 that are not reached. Scanning all gaps again at each reached op would take
   minutes. */
static void many_gaps(void **state) {
    (void)state;
    int n = test_quick() ? 50 : 10000;
    ad_graph *g = ad_graph_new();
    int64_t reached = 0, others = 0;
    ad_var *x = param_item(g, AD_F64, 2), *y = x;
    for (int i = 0; i < n; i++) {
        ad_var *unused = y = count_calls(y, &reached);
        for (int k = 0; k < 200; k++) unused = count_calls(unused, &others);
    }
    double start = processor_seconds();
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    double taken = processor_seconds() - start;
    assert_true(reached == 2 * n && others == 0 && ad_grad_item(x) == 2);
    assert_true(taken < 1);
    ad_graph_free(g);
}

/* A root with many old operands, which are far apart and reached in any order. */
static void old_operands_in_any_order(void **state) {
    (void)state;
    enum { OLD = 400, GAP = 150 };
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *old[OLD], *y = ad_muls(x, 0);
    for (int i = 0; i < OLD; i++) {
        old[i] = ad_muls(i ? old[(i * 7) % i] : x, i % 3 ? 1 : -1);
        for (int k = 0; k < GAP; k++) ad_neg(old[i]);
    }
    double slope[OLD], expected = 0; /* d old[i] / dx */
    for (int i = 0; i < OLD; i++) slope[i] = (i ? slope[(i * 7) % i] : 1) * (i % 3 ? 1 : -1);
    for (int i = 0; i < OLD; i++) {
        int k = i * 173 % OLD;
        y = ad_add(y, ad_muls(old[k], k));
        expected += k * slope[k];
    }
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(x) == expected && ad_item(y) == 2 * expected);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_two_million_ops),
        cmocka_unit_test(gradients_as_vars_and_pictures_of_a_chain),
        cmocka_unit_test(a_thousand_diamonds),
        cmocka_unit_test(unreached_ops_are_not_differentiated),
        cmocka_unit_test(ops_that_need_no_gradient_are_not_differentiated),
        cmocka_unit_test(ops_that_get_no_gradient_are_not_differentiated),
        cmocka_unit_test(a_pass_allocates_nothing),
        cmocka_unit_test(an_operand_a_million_ops_old),
        cmocka_unit_test(many_gaps),
        cmocka_unit_test(old_operands_in_any_order),
    };
    return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
