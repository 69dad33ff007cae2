/* test_stale.c: a pass fails if a leaf was changed after the ops that use it ran, and only then. */
#include "tests/common.h"

/* The leaves of a scenario: x needs a gradient, c is a constant. */
typedef struct {
    ad_graph *g;
    ad_var *x, *c;
} fixture;

typedef struct {
    const char *name;
    ad_var *(*root)(fixture *b); /* returns the Var to differentiate */
    int code;                    /* the result of the pass */
    double dx; /* d root / dx after the pass, or after ad_eval and a second pass; x is 3, then 5, and c is 2, then 4 */
} scenario;

static ad_var *nothing_changed(fixture *b) { return ad_mul(ad_square(b->x), b->c); }

static ad_var *changed_by_set(fixture *b) {
    ad_var *y = ad_mul(ad_square(b->x), b->c);
    set_item(b->x, 5);
    return y;
}

static ad_var *changed_by_data_mut(fixture *b) {
    ad_var *y = ad_mul(ad_square(b->x), b->c);
    *(double *)ad_data_mut(b->x) = 5;
    return y;
}

static ad_var *changed_by_rebind(fixture *b) {
    static double two = 2, four = 4;
    ad_var *in = ad_input(b->g, AD_F64, &two, AD_SCALAR), *y = ad_mul(b->x, in);
    ad_rebind(in, &four);
    return y;
}

static ad_var *changed_before_its_first_use(fixture *b) {
    set_item(b->x, 5);
    return ad_mul(ad_square(b->x), b->c);
}

static ad_var *a_constant_changed(fixture *b) {
    ad_var *y = ad_mul(b->x, b->c);
    set_item(b->c, 4);
    return y;
}

static ad_var *an_unrelated_leaf_changed(fixture *b) {
    ad_var *y = ad_square(b->x);
    ad_exp(b->c);
    set_item(b->c, 4);
    return y;
}

/* The root depends on the changed leaf through an op without a gradient. */
static ad_var *through_a_comparison(fixture *b) {
    ad_var *y = ad_mul(b->x, ad_gt(b->c, ad_full(b->g, AD_F64, 3, AD_SCALAR)));
    set_item(b->c, 4);
    return y;
}

static ad_var *through_a_view(fixture *b) {
    ad_var *y = ad_sum(ad_square(ad_reshape(b->x, AD_SHAPE(1))));
    set_item(b->x, 5);
    return y;
}

static ad_var *evaluated_again(fixture *b) {
    ad_var *y = changed_by_set(b);
    assert_int_equal(ad_eval(y), AD_OK);
    return y;
}

static ad_var *evaluated_and_changed_again(fixture *b) {
    ad_var *y = ad_mul(ad_square(b->x), b->c);
    set_item(b->x, 4);
    assert_int_equal(ad_eval(y), AD_OK);
    set_item(b->x, 5);
    return y;
}

/* Only a part of the expression was evaluated again. */
static ad_var *evaluated_in_part(fixture *b) {
    ad_var *part = ad_square(b->x), *y = ad_mul(part, b->c);
    set_item(b->x, 5);
    assert_int_equal(ad_eval(part), AD_OK);
    return y;
}

static ad_var *the_part_that_was_evaluated(fixture *b) {
    ad_var *part = ad_square(b->x);
    ad_mul(part, b->c);
    set_item(b->x, 5);
    assert_int_equal(ad_eval(part), AD_OK);
    return part;
}

/* A new op on a stale result. */
static ad_var *made_from_a_stale_result(fixture *b) {
    ad_var *part = ad_square(b->x);
    set_item(b->x, 5);
    return ad_mul(part, b->c);
}

/* The stale result is evaluated after the new op, which remains stale. */
static ad_var *made_from_a_stale_result_before_its_evaluation(fixture *b) {
    ad_var *part = ad_square(b->x);
    set_item(b->x, 5);
    ad_var *y = ad_square(part);
    assert_int_equal(ad_eval(part), AD_OK);
    return y;
}

static ad_var *made_from_a_stale_result_and_another_leaf(fixture *b) {
    ad_var *part = ad_square(b->x);
    set_item(b->x, 5);
    set_item(b->c, 4);
    ad_var *y = ad_mul(part, b->c);
    assert_int_equal(ad_eval(part), AD_OK);
    return y;
}

/* Evaluating another root does not renew a shared part whose leaves did not change. */
static ad_var *a_shared_part_evaluated_for_another_root(fixture *b) {
    ad_var *shared = ad_square(b->x), *y = ad_muls(shared, 7), *other = ad_mul(shared, b->c);
    set_item(b->c, 4);
    assert_int_equal(ad_eval(other), AD_OK);
    return y;
}

static ad_var *two_roots_evaluated_in_turn(fixture *b) {
    ad_var *shared = ad_square(b->x), *y = ad_muls(shared, 7), *other = ad_mul(shared, b->c);
    set_item(b->x, 5);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_eval(other), AD_OK);
    return y;
}

/* A picture makes a plan for evaluating the root, but evaluates nothing. */
static ad_var *drawn_after_another_was_evaluated(fixture *b) {
    ad_var *y = ad_mul(ad_square(b->x), b->c), *other = ad_exp(b->x);
    FILE *dev_null = fopen("/dev/null", "w");
    assert_non_null(dev_null);
    set_item(b->x, 5);
    assert_int_equal(ad_eval(other), AD_OK);
    assert_int_equal(ad_dump_dot(y, dev_null), AD_OK);
    fclose(dev_null);
    return y;
}

/* The old op is stale even though the scope in which the leaf was changed has closed. */
static ad_var *changed_inside_a_scope(fixture *b) {
    ad_var *y = ad_mul(ad_square(b->x), b->c);
    ad_mark m = ad_begin(b->g);
    ad_exp(b->x);
    set_item(b->x, 5);
    ad_end(b->g, m);
    return y;
}

static ad_var *used_in_a_scope_that_closed(fixture *b) {
    ad_mark m = ad_begin(b->g);
    ad_exp(b->x);
    set_item(b->x, 5);
    ad_end(b->g, m);
    return ad_mul(ad_square(b->x), b->c);
}

static const scenario scenarios[] = {
    { "nothing changed", nothing_changed, AD_OK, 12 },
    { "changed by set", changed_by_set, AD_ESTALE, 20 },
    { "changed by data_mut", changed_by_data_mut, AD_ESTALE, 20 },
    { "changed by rebind", changed_by_rebind, AD_ESTALE, 4 },
    { "changed before its first use", changed_before_its_first_use, AD_OK, 20 },
    { "a constant changed", a_constant_changed, AD_ESTALE, 4 },
    { "an unrelated leaf changed", an_unrelated_leaf_changed, AD_OK, 6 },
    { "through a comparison", through_a_comparison, AD_ESTALE, 1 },
    { "through a view", through_a_view, AD_ESTALE, 10 },
    { "evaluated again", evaluated_again, AD_OK, 20 },
    { "evaluated and changed again", evaluated_and_changed_again, AD_ESTALE, 20 },
    { "evaluated in part", evaluated_in_part, AD_ESTALE, 20 },
    { "the part that was evaluated", the_part_that_was_evaluated, AD_OK, 10 },
    { "made from a stale result", made_from_a_stale_result, AD_ESTALE, 20 },
    { "made from a stale result, evaluated later", made_from_a_stale_result_before_its_evaluation, AD_ESTALE, 500 },
    { "made from a stale result, another leaf changed", made_from_a_stale_result_and_another_leaf, AD_ESTALE, 40 },
    { "a shared part evaluated for another root", a_shared_part_evaluated_for_another_root, AD_OK, 42 },
    { "two roots evaluated in turn", two_roots_evaluated_in_turn, AD_OK, 70 },
    { "drawn after another was evaluated", drawn_after_another_was_evaluated, AD_ESTALE, 20 },
    { "changed inside a scope", changed_inside_a_scope, AD_ESTALE, 20 },
    { "used in a scope that closed", used_in_a_scope_that_closed, AD_OK, 20 },
};

static void expect_code(const scenario *s, int rc) {
    if (rc == s->code) return;
    print_error("%s: %d is not %d\n", s->name, rc, s->code);
    fail();
}

/* The refused pass has changed no gradient. A pass after ad_eval is right. */
static void evaluate_after_refusal(const scenario *s, fixture *b, ad_var *y) {
    assert_true(ad_grad_item(b->x) == 1000 && ad_grad_item(y) == 0);
    assert_contains(ad_error(b->g), "ad_eval");
    ad_clear_error(b->g);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close_in(s->name, ad_grad_item(b->x), 1000 + s->dx, 1e-12);
}

static fixture fixture_new(void) {
    ad_graph *g = ad_graph_new();
    return (fixture){ g, param_item(g, AD_F64, 3), ad_full(g, AD_F64, 2, AD_SCALAR) };
}

static void backward_detects_changed_leaves(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        fixture b = fixture_new();
        *(double *)ad_grad_mut(b.x) = 1000;
        ad_var *y = s->root(&b);
        int rc = ad_backward(y);
        expect_code(s, rc);
        if (rc == AD_OK) assert_close_in(s->name, ad_grad_item(b.x), 1000 + s->dx, 1e-12);
        else evaluate_after_refusal(s, &b, y);
        ad_graph_free(b.g);
    }
}

static void gradients_as_vars_detect_changed_leaves(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        fixture b = fixture_new();
        ad_var *y = s->root(&b), *dx = NULL;
        expect_code(s, ad_gradient(y, 1, &b.x, &dx));
        if (s->code != AD_OK) {
            assert_true(ad_is_nil(dx));
            ad_clear_error(b.g);
            assert_int_equal(ad_eval(y), AD_OK);
            assert_int_equal(ad_gradient(y, 1, &b.x, &dx), AD_OK);
        }
        assert_close_in(s->name, ad_item(dx), s->dx, 1e-12);
        ad_graph_free(b.g);
    }
}

static void the_error_names_op_and_operand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(2, 3)), *c = ad_ones(g, AD_F32, AD_SHAPE(2, 3));
    ad_var *y = ad_sum(ad_exp(ad_mul(x, c)));
    ((float *)ad_data_mut(c))[0] = 2;
    assert_int_equal(ad_backward(y), AD_ESTALE);
    assert_contains(ad_error(g), "backward");
    assert_contains(ad_error(g), "operand 1");
    assert_contains(ad_error(g), "mul");
    assert_contains(ad_error(g), "[2,3]");
    ad_graph_free(g);
}

/* ---- ops that draw random numbers -------------------------------------------------------------- */

static int noise_evaluate(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0);
    double *y = ad_values(op);
    uint32_t bits[4];
    for (int64_t i = 0; i < ad_numel(x); i++) {
        ad_random_bits(ad_graph_of(x), 4, bits);
        y[i] = ad_at(x, i) + bits[0] * 0x1p-32;
    }
    return AD_OK;
}

static void noise_backward(const ad_op *op) {
    const ad_var *y = ad_op_result(op);
    double *dx = ad_grad_into(op, 0);
    for (int64_t i = 0; dx != NULL && i < ad_numel(y); i++) dx[i] += ad_grad_at(y, i);
}

/* y = x + u with u uniform in [0, 1). */
static const ad_optype noise = { .name = "noise",
                                 .arity = 1,
                                 .flags = AD_OP_RANDOM,
                                 .evaluate = { NULL, noise_evaluate },
                                 .backward = { NULL, noise_backward } };

static void random_ops_draw_again(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *n = ad_apply(&noise, 1, &x, NULL), *y = ad_square(n), *z = ad_exp(n);
    double before = ad_item(n);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(n) != before && ad_item(n) >= 3 && ad_item(n) < 4);
    assert_close(ad_item(y), ad_item(n) * ad_item(n), 1e-15);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_close(ad_grad_item(x), 2 * ad_item(n), 1e-15);
    assert_int_equal(ad_backward(z), AD_ESTALE); /* z has the numbers of the first evaluation */
    ad_clear_error(g);
    assert_int_equal(ad_eval(z), AD_OK);
    assert_close(ad_item(z), exp(ad_item(n)), 1e-14);
    assert_int_equal(ad_backward(z), AD_OK);
    assert_int_equal(ad_backward(y), AD_ESTALE);
    ad_graph_free(g);
}

/* Evaluating a root with a random op does not make other ops stale. */
static void random_ops_do_not_make_others_stale(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 3), *shared = ad_square(x), *y = ad_muls(shared, 2);
    ad_var *n = ad_apply(&noise, 1, &shared, NULL), *z = ad_square(n);
    assert_int_equal(ad_eval(z), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(x) == 12);
    assert_int_equal(ad_backward(z), AD_OK);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_detects_changed_leaves),
        cmocka_unit_test(gradients_as_vars_detect_changed_leaves),
        cmocka_unit_test(the_error_names_op_and_operand),
        cmocka_unit_test(random_ops_draw_again),
        cmocka_unit_test(random_ops_do_not_make_others_stale),
    };
    return cmocka_run_group_tests_name("stale", tests, NULL, NULL);
}
