/* test_fresh.c: the first gradient of a pass overwrites its memory, and may take over the memory of the result's. */
#include "tests/common.h"

enum { MOST = 16 };

/* ---- an op that notes the addresses of gradients, and writes numbers to the scratch ------------------------------ */

static struct {
    const void *result, *operand[2];
} addresses;

enum { SCRATCH = 1 << 14 };

static int own_shape(ad_call *c) {
    c->scratch = SCRATCH;
    return c->n > 2 ? ad_call_fail(c, AD_EVALUE, "two operands at most") : AD_OK;
}

static int own_evaluate(const ad_op *op) {
    memset(ad_scratch(op), 0x77, SCRATCH);
    double *y = ad_values(op);
    for (int64_t k = 0; k < ad_numel(ad_op_result(op)); k++) y[k] = 2 * ad_at(ad_op_operand(op, 0), k);
    return AD_OK;
}

static void own_backward(const ad_op *op) {
    const double *g = ad_grad(ad_op_result(op));
    addresses.result = g;
    for (int i = ad_op_arity(op) - 1; i >= 0; i--) {
        bool fresh;
        double *gx = ad_grad_claim(op, i, &fresh);
        addresses.operand[i] = gx;
        for (int64_t k = 0; gx != NULL && k < ad_numel(ad_op_result(op)); k++)
            gx[k] = (fresh ? 0 : gx[k]) + (i == 0 ? 2 * g[k] : 0);
    }
}

static void own_samples(ad_sampler *s) { ad_sample(s, NULL, 1, &AD_SHAPE(3), NULL, NULL); }

static const ad_optype own = { .name = "own", .doc = "2 x", .formula = "2 x", .gradient = "2 g", .arity = -1,
                               .flags = AD_OP_IN_PLACE, .shape = own_shape, .evaluate = { NULL, own_evaluate },
                               .backward = { NULL, own_backward }, .samples = own_samples };

static ad_var *own_of(ad_var *a, ad_var *b) { return ad_apply(&own, b ? 2 : 1, (ad_var *[]){ a, b }, NULL); }

/* ---- the gradients of every sample have the same bits, whether gradients are kept or not ------------------------- */

typedef struct {
    ad_graph *g;
    ad_dtype t;
    int64_t compared;
} samples;

static ad_var *leaf(const samples *s, const ad_sample_case *c, int i) {
    ad_var *x = ad_zeros(s->g, s->t, c->shapes[i]);
    set_all(x, c->values[i]);
    return c->type->no_grad >> i & 1 ? x : ad_require_grad(x);
}

/* A weighted sum, so that the cotangent of y differs between elements. */
static ad_var *weighed(ad_var *y) {
    ad_var *w = ad_zeros(ad_graph_of(y), ad_dtype_of(y), ad_shape_of(y));
    for (int64_t k = 0; k < ad_numel(w); k++)
        if (ad_dtype_of(w) == AD_F32) ((float *)ad_data_mut(w))[k] = (float)(k % 7) - 2.5f;
        else ((double *)ad_data_mut(w))[k] = (double)(k % 7) - 2.5;
    return ad_sum(ad_mul(y, w));
}

/* Leaves numbers in the memory of a gradient that reads as zeros. */
static void dirty_gradient(ad_var *x) {
    memset(ad_grad_mut(x), 0x77, (size_t)ad_numel(x) * ad_dtype_size(ad_dtype_of(x)));
    ad_zero_grad(x);
}

static bool same_bits(const ad_var *a, const ad_var *b) {
    for (int64_t k = 0; k < ad_numel(a); k++) {
        double x = ad_grad_at(a, k), y = ad_grad_at(b, k);
        if (!(isnan(x) && isnan(y)) && x != y) return false;
    }
    return true;
}

/* Applies the op to bs, which are b or made from b, and runs a pass. The gradients of b must then be those of a. */
static void compare(samples *s, const ad_sample_case *c, ad_var *const a[], ad_var *const b[], ad_var *const bs[],
                    const char *how) {
    ad_seed(s->g, 7);
    ad_var *y = weighed(ad_apply(c->type, c->n, bs, c->attrs));
    if (a != b) own_of(ad_zeros(s->g, AD_F64, AD_SHAPE(2)), NULL);
    assert_int_equal(ad_backward(y), AD_OK);
    for (int i = 0; i < c->n; i++) {
        if (c->type->no_grad >> i & 1) continue;
        if (!same_bits(a[i], b[i]))
            fail_msg("%s, sample %d: gradient of operand %d, %s", c->type->name, c->index, i, how);
        s->compared += ad_numel(a[i]);
    }
}

static void compare_ways(samples *s, const ad_sample_case *c) {
    ad_var *a[MOST], *b[MOST], *d[MOST], *from_d[MOST];
    bool keeps = ad_keep_grads(s->g, false);
    for (int i = 0; i < c->n; i++) {
        bool constant = c->type->no_grad >> i & 1;
        a[i] = leaf(s, c, i), b[i] = leaf(s, c, i), d[i] = leaf(s, c, i);
        if (!constant) dirty_gradient(b[i]);
        from_d[i] = constant ? d[i] : ad_reshape(ad_muls(d[i], 1), ad_shape_of(d[i]));
    }
    ad_keep_grads(s->g, true);
    compare(s, c, a, a, a, "kept");
    compare(s, c, a, b, b, "over old numbers");
    ad_keep_grads(s->g, false);
    compare(s, c, a, d, from_d, "through borrowed memory");
    ad_keep_grads(s->g, keeps);
}

static int compare_sample(const ad_sample_case *c, void *data) {
    samples *s = data;
    ad_mark m = ad_begin(s->g);
    ad_seed(s->g, 7);
    ad_var *xs[MOST];
    for (int i = 0; i < c->n; i++) xs[i] = leaf(s, c, i);
    ad_var *y = ad_apply(c->type, c->n, xs, c->attrs);
    int rc = ad_error_code(s->g);
    if (rc == AD_OK && !ad_is_nil(y)) compare_ways(s, c);
    ad_clear_error(s->g);
    ad_end(s->g, m);
    return rc == AD_EABSENT || rc == AD_EDTYPE ? AD_OK : rc;
}

static void every_op_overwrites_fresh_gradients(void **state) {
    (void)state;
    int64_t compared = 0;
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) {
        if ((*t)->flags & AD_OP_CONSTANT) continue;
        for (ad_dtype d = AD_F32; d <= AD_F64; d++) {
            samples s = { ad_graph_new(), d, 0 };
            assert_int_equal(ad_each_sample(s.g, *t, compare_sample, &s), AD_OK);
            compared += s.compared;
            ad_graph_free(s.g);
        }
    }
    print_message("%lld gradients, three times\n", (long long)compared / 3);
    assert_true(compared > 100000);
}

/* ---- which operands take over the memory of the result's gradient ------------------------------------------------ */

enum { N = 40 };

/* Runs a pass from the sum of y. Each element of the gradient of x must then have this value. */
static void pass(ad_graph *g, ad_var *x, ad_var *y, double each) {
    assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
    for (int k = 0; k < N; k++) assert_true(ad_grad_at(x, k) == each);
    assert_ok(g);
}

static ad_graph *graph_with(bool keep, ad_var **x) {
    ad_graph *g = ad_graph_new();
    ad_keep_grads(g, keep);
    *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(N)));
    memset(&addresses, 0, sizeof addresses);
    return g;
}

static void an_interior_operand_takes_over_the_memory(void **state) {
    (void)state;
    ad_var *x;
    ad_graph *g = graph_with(false, &x);
    pass(g, x, own_of(ad_neg(x), NULL), -2);
    assert_ptr_equal(addresses.operand[0], addresses.result);
    pass(g, x, own_of(ad_neg(x), ad_neg(x)), -4); /* the first of two operands */
    assert_true(addresses.operand[0] == addresses.result && addresses.operand[1] != addresses.result);
    ad_graph_free(g);
}

static void kept_gradients_are_not_taken_over(void **state) {
    (void)state;
    ad_var *x, *h;
    ad_graph *g = graph_with(true, &x);
    pass(g, x, own_of(ad_neg(x), NULL), -2);
    assert_ptr_not_equal(addresses.operand[0], addresses.result);
    ad_graph_free(g);
    g = graph_with(false, &x);
    h = ad_neg(x);
    ad_retain_grad(h);
    ad_var *y = own_of(h, NULL);
    pass(g, x, y, -2);
    assert_ptr_not_equal(addresses.operand[0], addresses.result);
    assert_true(ad_grad_at(h, N - 1) == 2);
    ad_retain_grad(y);
    pass(g, x, y, -4);
    assert_true(ad_grad_at(y, 3) == 1 && ad_grad_at(h, 3) == 2);
    ad_graph_free(g);
}

/* A leaf; a Var that already has a gradient; a Var that is both operands. */
static void operands_with_a_gradient_do_not_take_over(void **state) {
    (void)state;
    ad_var *x;
    ad_graph *g = graph_with(false, &x);
    pass(g, x, own_of(x, NULL), 2);
    assert_ptr_not_equal(addresses.operand[0], addresses.result);
    ad_var *h = ad_neg(x), *y = own_of(h, NULL);
    pass(g, x, ad_add(y, ad_exp(ad_muls(h, 0))), 2 - 2);
    assert_ptr_not_equal(addresses.operand[0], addresses.result);
    pass(g, x, own_of(h, h), -2);
    assert_ptr_not_equal(addresses.operand[0], addresses.result);
    ad_graph_free(g);
}

/* The pool gets each buffer back once: after the first passes nothing is allocated. */
static void the_pool_gets_every_buffer_back(void **state) {
    (void)state;
    ad_var *x;
    ad_graph *g = graph_with(false, &x);
    int64_t allocs = 0;
    for (int round = 0; round < 5; round++) {
        ad_mark m = ad_begin(g);
        ad_var *y = x;
        for (int i = 0; i < 6; i++) y = ad_mul(ad_tanh(ad_add(y, ad_reshape(ad_muls(y, 0.5), AD_SHAPE(N)))), ad_sigmoid(y));
        assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
        ad_end(g, m);
        if (round == 1) allocs = ad_graph_stats(g).allocs;
    }
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_overwrites_fresh_gradients),
        cmocka_unit_test(an_interior_operand_takes_over_the_memory),
        cmocka_unit_test(kept_gradients_are_not_taken_over),
        cmocka_unit_test(operands_with_a_gradient_do_not_take_over),
        cmocka_unit_test(the_pool_gets_every_buffer_back),
    };
    return cmocka_run_group_tests_name("fresh", tests, NULL, NULL);
}
