/* test_faults.c: refuses each allocation in turn. The graph has an error that can be cleared; nothing crashes or leaks.
   */
#include "tests/common.h"

/* ---- a workload of all calls that allocate ----------------------------------------------------------- */

enum { LARGE = 40000, CHAIN = 400, GAP = 200 };

/* The numbers that a workload computes. They are the same in every run without an error. */
typedef struct {
    double numbers[24];
    int n;
} results;

static void note(results *f, double number) {
    if (f->n < 24) f->numbers[f->n++] = number;
}

/* Many small ops with gaps that the walk jumps over, so that plan and heap grow. */
static void scalars(ad_graph *g, results *f) {
    ad_var *x = param_item(g, AD_F64, 0.5), *y = x, *dx = NULL;
    for (int i = 0; i < CHAIN; i++) y = i % 3 ? ad_adds(ad_muls(y, 0.5), 1) : ad_add(y, ad_mul(x, y));
    ad_var *old = y, *unused = x;
    for (int i = 0; i < GAP; i++) unused = ad_sin(unused);
    y = ad_mul(ad_add(old, x), old);
    ad_backward(y);
    note(f, ad_item(y)), note(f, ad_grad_item(x));
    set_item(x, 0.25);
    ad_eval(y);
    ad_gradient(y, 1, &x, &dx);
    note(f, ad_item(y)), note(f, ad_item(dx));
}

/* Arrays of several sizes. Gradients are kept, or all but one are borrowed for the pass. */
static void arrays(ad_graph *g, bool keep, results *f) {
    ad_keep_grads(g, keep);
    ad_var *x = ad_full(g, AD_F32, 0.5, AD_SHAPE(LARGE)), *w = ad_param(g, AD_F32, NULL, AD_SHAPE(3, 4));
    ad_mark m = ad_begin(g);
    ad_require_grad(x);
    ad_var *h = ad_exp(x), *k = ad_mul(ad_square(h), ad_sin(h));
    ad_retain_grad(h);
    ad_var *y = ad_add(ad_sum(k), ad_sum(ad_softmax(ad_matmul(w, ad_transpose(w)), -1)));
    ad_backward(y);
    ad_backward_from(k, ad_ones(g, AD_F32, AD_SHAPE(LARGE)));
    note(f, ad_item(y)), note(f, ad_grad_at(x, LARGE - 1)), note(f, ad_grad_at(h, 7));
    ad_end(g, m);
    note(f, ad_grad_at(x, 5));
    ad_keep_grads(g, true);
}

static ad_var *product(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(ad_sin(xs[0]), xs[0]);
}

static void checks(ad_graph *g, results *f) {
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    ad_check_report r;
    int rc = ad_gradcheck(product, NULL, 1, &x, NULL, &r);
    assert_int_equal(rc, ad_error_code(g)); /* derivatives are right, so the only error is that of the graph */
    note(f, (double)r.compared);
    rc = ad_check_op(g, &ad_op_matmul, &r);
    assert_int_equal(rc, ad_error_code(g));
    note(f, (double)r.compared);
}

static void own_rule(int n, ad_var *const xs[], ad_var *y, ad_var *d, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)user;
    dxs[0] = ad_mul(d, ad_sin(y));
}

/* A pass within a pass, which needs its own heap, as the walk jumps over gaps. */
static ad_var *with_gaps(int n, ad_var *const xs[], void *user) {
    ad_var *x = xs[n - 1], *unused = x;
    for (int i = 0; i < GAP; i++) unused = ad_sin(unused);
    ad_var *square = ad_mul(x, x), *d = NULL;
    for (int i = 0; i < GAP; i++) unused = ad_sin(unused);
    ad_gradient(ad_sum(ad_mul(square, x)), 1, xs, &d); /* 3 x^2 */
    return user ? ad_checkpoint(with_gaps, NULL, 1, &d) : d;
}

static void derivatives(ad_graph *g, results *f) {
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 0.5, 2 }, AD_SHAPE(3)), *v = ad_ones(g, AD_F64, AD_SHAPE(3)), *out = NULL;
    ad_var *y = ad_sum(ad_exp(ad_custom(ad_square(x), 1, &x, own_rule, NULL)));
    ad_hvp(y, 1, &x, &v, &out), note(f, ad_at(out, 1));
    out = ad_jvp(ad_exp(x), 1, &x, &v), note(f, ad_at(out, 2));
    out = ad_hessian(y, x), note(f, ad_at(out, 4));
    ad_jacobian_blocks(ad_exp(x), 1, &x, &out), note(f, ad_at(out, 0));
    ad_backward(y), note(f, ad_grad_at(x, 0));
    ad_objective *o = ad_objective_new(y, 1, &x);
    double at[] = { 0.25, 0.5, 1 }, d[3] = { 0 };
    note(f, o ? ad_value_and_gradient(at, d, o) : 0), note(f, d[2]);
    ad_residuals *q = ad_residuals_new(ad_exp(x), 1, &x);
    double values[3] = { 0 }, j[9] = { 0 };
    note(f, q ? ad_values_and_jacobian(at, values, j, q) : 0), note(f, j[4]);
    ad_check_report r;
    int rc = ad_gradgradcheck(product, NULL, 1, &x, NULL, &r);
    assert_int_equal(rc, ad_error_code(g));
    ad_var *s = ad_sum(ad_checkpoint(with_gaps, g, 1, &x));
    ad_backward(s), ad_gradient(s, 1, &x, &out);
    note(f, ad_item(s)), note(f, ad_at(out, 1));
}

static void pictures(ad_graph *g, results *f) {
    FILE *dev_null = fopen("/dev/null", "w");
    assert_non_null(dev_null);
    ad_var *x = param_item(g, AD_F64, 2), *y = x;
    for (int i = 0; i < CHAIN; i++) y = ad_adds(y, 1);
    int rc = ad_dump_dot(y, dev_null);
    assert_int_equal(rc, ad_error_code(g));
    ad_print(y, dev_null);
    fclose(dev_null);
    note(f, ad_item(y));
}

/* The table of ops of the library and that of the graph are built when they are used first. */
static void names(ad_graph *g, results *f) {
    static const ad_optype mine = { .name = "mine" };
    if (ad_find_op(g, "mine") == NULL) ad_register_op(g, &mine);
    note(f, ad_find_op(g, "matmul") == &ad_op_matmul && ad_find_op(g, "mine") == &mine);
}

static results workload(ad_graph *g) {
    results f = { .n = 0 };
    ad_mark m = ad_begin(g);
    scalars(g, &f);
    arrays(g, true, &f);
    arrays(g, false, &f);
    checks(g, &f);
    derivatives(g, &f);
    names(g, &f);
    pictures(g, &f);
    ad_end(g, m);
    return f;
}

static void same_results(const results *a, const results *b) {
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) assert_close(a->numbers[i], b->numbers[i], 0);
}

static results without_refusals(void) {
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    results f = workload(g);
    assert_ok(g);
    ad_graph_free(g);
    assert_all_released(&m);
    return f;
}

/* ---- the workload with refusals -------------------------------------------------------------------------- */

static void check_out_of_memory(const ad_graph *g) {
    assert_int_equal(ad_error_code(g), AD_ENOMEM);
    assert_contains(ad_error(g), "out of memory");
}

/* Refuses allocation k, and with on all later ones. Afterwards the same graph computes the whole workload right. False
   if there are fewer than k allocations. */
static bool with_refusals(int64_t k, bool on, const results *expected) {
    test_memory m = { .fail_at = k, .fail_on = on };
    ad_graph *g = test_graph(&m);
    if (g != NULL) {
        results f = workload(g);
        if (ad_ok(g)) same_results(&f, expected); /* the library did without this allocation */
        else check_out_of_memory(g);
        assert_int_equal(ad_graph_stats(g).bytes_held, m.live);
        m.fail_at = -1;
        ad_clear_error(g);
        f = workload(g);
        assert_ok(g);
        same_results(&f, expected);
    }
    ad_graph_free(g);
    assert_all_released(&m);
    return m.failures > 0;
}

static void every_allocation_refused(bool on) {
    results expected = without_refusals();
    int64_t k = 0, step = 1;
    if (test_quick()) step = 13;
    while (with_refusals(k, on, &expected)) k += step;
    print_message("%lld allocations\n", (long long)k);
    assert_true(k > 20);
}

static void each_allocation_refused_once(void **state) {
    (void)state;
    every_allocation_refused(false);
}

static void all_allocations_refused_from_one_on(void **state) {
    (void)state;
    every_allocation_refused(true);
}

/* ---- calls on a graph that exists --------------------------------------------------------------------------- */

/* A graph that is built without refusals. Then an allocation of one call is refused, and the call is repeated. */
typedef struct {
    ad_graph *g;
    ad_var *x, *h, *y;
} built;

static built build(test_memory *m, bool keep) {
    built b = { .g = test_graph(m) };
    ad_keep_grads(b.g, keep);
    b.x = ad_require_grad(ad_full(b.g, AD_F64, 0.5, AD_SHAPE(LARGE)));
    ad_var *early = ad_square(b.x), *unused = b.x, *v;
    for (int i = 0; i < GAP; i++) unused = ad_reshape(unused, AD_SHAPE(i % 2 ? LARGE : 1, i % 2 ? 1 : LARGE));
    b.h = ad_exp(ad_mul(early, b.x));
    v = ad_sum(b.h);
    for (int i = 0; i < CHAIN; i++) v = ad_adds(v, 1);
    b.y = v;
    assert_ok(b.g);
    return b;
}

typedef int call_fn(built *b);

static int call_backward(built *b) { return ad_backward(b->y); }
static int call_eval(built *b) { return ad_eval(b->y); }
static int call_retain(built *b) { return ad_retain_grad(b->h); }

static int call_gradient(built *b) {
    ad_var *dx;
    int rc = ad_gradient(b->y, 1, &b->x, &dx);
    if (rc == AD_OK) assert_close(ad_at(dx, 0), 3 * 0.25 * exp(0.125), 1e-14);
    else assert_true(ad_is_nil(dx));
    return rc;
}

static int call_stale(built *b) {
    ((double *)ad_data_mut(b->x))[0] = 0.5;
    int rc = ad_backward(b->y);
    assert_int_equal(rc, AD_ESTALE);
    ad_clear_error(b->g);
    return ad_eval(b->y);
}

/* y = sum exp(x^3) + CHAIN at x = 1/2. */
static void check_built(built *b) {
    ad_zero_grad(b->x);
    assert_int_equal(ad_eval(b->y), AD_OK);
    assert_int_equal(ad_backward(b->y), AD_OK);
    assert_close(ad_item(b->y), LARGE * exp(0.125) + CHAIN, 1e-12);
    for (int i = 0; i < LARGE; i += 999) assert_close(ad_grad_at(b->x, i), 3 * 0.25 * exp(0.125), 1e-14);
}

static bool call_refused(call_fn *call, bool keep, int64_t k, bool on) {
    test_memory m = { .fail_at = -1 };
    built b = build(&m, keep);
    m.fail_at = m.calls + k;
    m.fail_on = on;
    int rc = call(&b);
    assert_int_equal(rc, ad_error_code(b.g));
    if (rc != AD_OK) check_out_of_memory(b.g);
    m.fail_at = -1;
    ad_clear_error(b.g);
    check_built(&b);
    assert_int_equal(call(&b), AD_OK);
    check_built(&b);
    ad_graph_free(b.g);
    assert_all_released(&m);
    return m.failures > 0;
}

static void one_call_refused_and_repeated(void **state) {
    (void)state;
    static call_fn *const calls[] = { call_backward, call_eval, call_retain, call_gradient, call_stale };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (int way = 0; way < 4; way++)
            for (int64_t k = 0; call_refused(calls[c], way & 1, k, way & 2); k++) assert_true(k < 1000);
}

/* The arena allocates larger blocks than it needs. If a large block is refused, it tries a smaller one. */
static void smaller_blocks_suffice(void **state) {
    (void)state;
    test_memory m = { .fail_at = 1 };
    ad_graph *g = test_graph(&m);
    ad_mark scope = ad_begin(g);
    m.fail_at = m.calls;
    ad_var *x = ad_full(g, AD_F64, 3, AD_SHAPE(10));
    assert_ok(g);
    assert_int_equal(m.failures, 2);
    assert_true(ad_item(ad_sum(ad_square(x))) == 90);
    ad_end(g, scope);
    ad_graph_free(g);
    assert_all_released(&m);
}

/* The heap of the walk only saves time. Without it the pass is right too. */
static void backward_works_without_a_heap(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    ad_var *x = param_item(g, AD_F64, 2), *old[50], *unused = x, *y = x;
    for (int i = 0; i < 50; i++) {
        old[i] = ad_muls(x, i);
        for (int k = 0; k < GAP; k++) unused = ad_neg(unused);
    }
    for (int i = 0; i < 50; i++) y = ad_add(y, old[i * 7 % 50]);
    m.fail_at = 0;
    m.fail_on = true;
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(m.failures > 0 && ad_grad_item(x) == 1 + 49 * 50 / 2);
    ad_graph_free(g);
    assert_all_released(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_refused_once),     cmocka_unit_test(all_allocations_refused_from_one_on),
        cmocka_unit_test(one_call_refused_and_repeated),  cmocka_unit_test(smaller_blocks_suffice),
        cmocka_unit_test(backward_works_without_a_heap),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
