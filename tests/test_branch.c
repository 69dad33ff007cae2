/* test_branch.c: ad_branch: what was recorded is evaluated again only if its branches go the same way. */
#include <pthread.h>

#include "autodiff/extend.h"
#include "tests/common.h"

static ad_var *zero_in(ad_graph *g) { return ad_zeros(g, AD_F64, AD_SCALAR); }

/* x > 0 ? x^2 : -3 x */
static ad_var *piecewise(ad_var *x) {
    ad_var *cond = ad_gt(x, zero_in(ad_graph_of(x)));
    return ad_branch(cond) ? ad_square(x) : ad_muls(x, -3);
}

static void assert_refused(ad_graph *g, int rc) {
    assert_int_equal(rc, AD_EBRANCH);
    assert_int_equal(ad_error_code(g), AD_EBRANCH);
    assert_contains(ad_error(g), "branch: the branch at ");
    assert_contains(ad_error(g), "build the graph again");
    ad_clear_error(g);
}

static void answers_as_c_does(void **state) {
    (void)state;
    static const struct {
        double value;
        bool taken;
    } rows[] = { { 1, true },   { -0.5, true },     { 0, false },    { -0.0, false },
                 { NAN, true }, { INFINITY, true }, { 5e-324, true } };
    ad_graph *g = ad_graph_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(ad_branch(ad_scalar(g, AD_F64, rows[i].value)) == rows[i].taken);
        assert_true(ad_branch(ad_full(g, AD_F64, rows[i].value, AD_SHAPE(1, 1))) == rows[i].taken);
    }
    assert_true(ad_branch(ad_scalar(g, AD_F32, 3)) && !ad_branch(ad_scalar(g, AD_F32, 0)));
    assert_ok(g);
    ad_graph_free(g);
}

/* The example: recorded at 1, asked at -2, where the value is 6 and the slope -3. */
static void evaluating_again(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(param_item(g, AD_F64, 1), "speed"), *y = piecewise(x), *d, *h, *v = ad_scalar(g, AD_F64, 1);
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    assert_int_equal(ad_hvp(y, 1, &x, &v, &h), AD_OK);
    ad_var *all[] = { y, d, h, ad_muls(y, 2) };
    for (int i = 0; i < 4; i++) {
        set_item(x, 3);
        assert_int_equal(ad_eval(all[i]), AD_OK);
        set_item(x, -2);
        assert_refused(g, ad_eval(all[i]));
        assert_refused(g, ad_eval(all[i])); /* not only once */
    }
    set_item(x, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(ad_eval(all[i]), AD_OK);
    assert_true(ad_item(y) == 9 && ad_item(d) == 6 && ad_item(h) == 2);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(x) == 6);
    ad_graph_free(g);
}

static void the_sentence_names_op_condition_and_way(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(param_item(g, AD_F64, 2), "speed");
    ad_var *y = ad_branch(x) ? ad_square(x) : ad_neg(x);
    set_item(x, 0);
    assert_int_equal(ad_eval(y), AD_EBRANCH);
    assert_string_equal(ad_error(g),
                        "branch: the branch at op 1, taken at 2, went the way of \"true\" when it was recorded, "
                        "but speed is 0 now, which is \"false\"; build the graph again");
    ad_clear_error(g);
    ad_graph_free(g);
    g = ad_graph_new();
    x = param_item(g, AD_F64, 0);
    y = ad_branch(ad_muls(x, 1)) ? ad_square(x) : ad_neg(x);
    set_item(x, NAN);
    assert_int_equal(ad_eval(y), AD_EBRANCH);
    assert_contains(ad_error(g), "at op 2, taken at 0, went the way of \"false\"");
    assert_contains(ad_error(g), "its condition is nan now, which is \"true\"");
    ad_graph_free(g);
}

static void objectives(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = piecewise(x);
    ad_objective *f = ad_objective_new(y, 1, &x);
    double grad = 0;
    assert_true(ad_value_and_gradient((double[]){ 2 }, &grad, f) == 4 && grad == 4);
    assert_true(isnan(ad_value_and_gradient((double[]){ -2 }, &grad, f)));
    assert_refused(g, ad_error_code(g));
    assert_true(isnan(ad_value_and_gradient((double[]){ -2 }, NULL, f)));
    assert_refused(g, ad_error_code(g));
    assert_true(ad_value_and_gradient((double[]){ 2 }, &grad, f) == 4 && grad == 4);
    y = piecewise(param_of(g, AD_F64, (double[]){ -2 }, AD_SCALAR));
    assert_true(ad_item(y) == 6);
    ad_graph_free(g);
}

/* y does not depend on the leaf of the condition at all. */
static void the_condition_is_evaluated_for_its_own_sake(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *switch_ = ad_scalar(g, AD_F64, 1), *dx;
    ad_var *y = ad_branch(ad_muls(switch_, 2)) ? ad_square(x) : ad_neg(x);
    set_item(switch_, 3);
    assert_int_equal(ad_backward(y), AD_ESTALE), ad_clear_error(g);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_ESTALE), ad_clear_error(g);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    set_item(switch_, 0);
    assert_refused(g, ad_eval(y));
    ad_graph_free(g);
}

/* The branch is asked before what was made after it: solve of a singular matrix is not reached, nor its error. */
static void evaluation_ends_at_the_branch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *early = ad_muls(x, 10), *late;
    late = ad_branch(x) ? ad_one_hot(ad_reshape(x, AD_SHAPE(1)), 2) : ad_reshape(x, AD_SHAPE(1));
    ad_var *y = ad_add(early, ad_sum(late));
    set_item(x, 0);
    assert_refused(g, ad_eval(y));
    assert_true(ad_item(early) == 0 && ad_at(late, 1) == 1 && ad_item(y) == 11);
    assert_int_equal(ad_backward(y), AD_ESTALE), ad_clear_error(g);
    ad_graph_free(g);
}

/* x halved until it is at most 1: 3 steps from 8, 4 from 16. */
static ad_var *halved(ad_var *x, int *steps) {
    *steps = 0;
    while (ad_branch(ad_gt(x, ad_ones(ad_graph_of(x), AD_F64, AD_SCALAR)))) x = ad_muls(x, 0.5), ++*steps;
    return x;
}

static void a_branch_in_a_loop(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int steps;
    ad_var *x = param_item(g, AD_F64, 8), *y = halved(x, &steps);
    assert_int_equal(steps, 3);
    set_item(x, 7);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 0.875);
    set_item(x, 16);
    assert_refused(g, ad_eval(y));
    set_item(x, 4);
    assert_refused(g, ad_eval(y));
    y = halved(x, &steps); /* built again in the same scope */
    assert_int_equal(steps, 2);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_item(y) == 1 && ad_grad_item(x) == 0.25);
    ad_graph_free(g);
}

/* Both Vars are there before the program chooses one. */
static void a_choice_of_earlier_vars(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *a = ad_square(x), *b = ad_muls(x, -3), *dx;
    ad_var *y = ad_branch(ad_gt(x, zero_in(g))) ? a : b;
    set_item(x, 2);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == 4);
    set_item(x, -2);
    assert_int_equal(ad_backward(y), AD_ESTALE), ad_clear_error(g);
    assert_refused(g, ad_eval(y));
    y = ad_branch(ad_gt(x, zero_in(g))) ? a : b; /* chosen again: the old branch and the new one contradict */
    assert_ptr_equal(y, b);
    assert_refused(g, ad_eval(y));
    set_item(x, 3);
    assert_refused(g, ad_eval(y));
    set_item(x, -2);
    ad_mark m = ad_begin(g);
    assert_false(ad_branch(ad_gt(x, zero_in(g))));
    assert_int_equal(ad_gradient(ad_muls(x, -3), 1, &x, &dx), AD_OK);
    assert_true(ad_item(dx) == -3);
    ad_end(g, m);
    ad_graph_free(g);
}

/* A long way between a branch and the root: the walk must not miss it. */
static void unrelated_ops_between(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *z = ad_scalar(g, AD_F64, 2), *cond = ad_muls(x, 3);
    assert_true(ad_branch(cond));
    for (int i = 0; i < 5000; i++) ad_exp(z);
    ad_var *y = ad_square(z);
    for (int i = 0; i < 5000; i++) ad_exp(z);
    y = ad_neg(y);
    assert_int_equal(ad_eval(y), AD_OK);
    set_item(x, 0);
    assert_refused(g, ad_eval(y));
    ad_graph_free(g);
}

/* Seconds to record n branches in a chain, to evaluate them, and to ask again after a change. */
static double seconds_for(int n) {
    ad_graph *g = ad_graph_new();
    double start = processor_seconds();
    ad_var *x = param_item(g, AD_F64, 1), *y = x;
    for (int i = 0; i < n; i++) y = ad_branch(y) ? ad_muls(y, 0.9999) : y;
    assert_int_equal(ad_eval(y), AD_OK);
    set_item(x, 2);
    assert_int_equal(ad_eval(y), AD_OK);
    set_item(x, 3);
    assert_true(ad_branch(x));
    double seconds = processor_seconds() - start;
    ad_graph_free(g);
    return seconds;
}

static void many_branches_take_linear_time(void **state) {
    (void)state;
    int n = test_quick() ? 200 : 5000;
    double once = seconds_for(n), tenfold = seconds_for(10 * n);
    assert_true(tenfold < 50 * once + 0.05); /* quadratic time would be a factor of 100 */
}

static void building_again_in_the_same_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *first = piecewise(x), *second, *mixed, *dx;
    set_item(x, -2);
    second = piecewise(x); /* before anything has failed */
    assert_int_equal(ad_backward(second), AD_OK);
    assert_int_equal(ad_gradient(second, 1, &x, &dx), AD_OK);
    assert_true(ad_item(second) == 6 && ad_grad_item(x) == -3 && ad_item(dx) == -3);
    assert_refused(g, ad_eval(first));
    second = piecewise(x);
    for (int i = 0; i < 3; i++) {
        set_item(x, -1 - i);
        assert_int_equal(ad_eval(second), AD_OK);
        assert_true(ad_item(second) == 3 + 3 * i);
    }
    assert_refused(g, ad_eval(first));
    set_item(x, 3);
    assert_int_equal(ad_eval(first), AD_OK);
    mixed = ad_muls(first, 2); /* made after the failure, from a Var before it */
    set_item(x, -3);
    assert_refused(g, ad_eval(mixed));
    assert_int_equal(ad_eval(second), AD_OK);
    ad_graph_free(g);
}

static void scopes_forget_their_branches(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *outer = piecewise(x);
    ad_mark m = ad_begin(g);
    ad_var *inner = ad_branch(ad_adds(x, 1)) ? ad_exp(x) : ad_neg(x);
    set_item(x, -1);
    assert_refused(g, ad_eval(inner));
    ad_end(g, m);
    set_item(x, 5);
    assert_int_equal(ad_eval(outer), AD_OK);
    set_item(x, -1);
    assert_refused(g, ad_eval(outer));
    set_item(x, 0.5); /* the branch of the closed scope went another way at -1 */
    assert_int_equal(ad_eval(outer), AD_OK);
    ad_graph_free(g);
    g = ad_graph_new(); /* what failed in a closed scope does not weaken a later branch */
    x = param_item(g, AD_F64, 1);
    ad_var *a = ad_square(x), *b = ad_neg(x);
    m = ad_begin(g);
    inner = ad_branch(x) ? ad_exp(x) : x;
    set_item(x, 0);
    assert_refused(g, ad_eval(inner));
    ad_end(g, m);
    ad_var *y = ad_branch(x) ? a : b;
    assert_int_equal(ad_eval(y), AD_OK);
    set_item(x, 2);
    assert_refused(g, ad_eval(y));
    ad_graph_free(g);
}

static void invalid_conditions(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    assert_false(ad_branch(NULL));
    assert_false(ad_branch(ad_nil(NULL)));
    assert_false(ad_branch(ad_ones(g, AD_F64, AD_SHAPE(2))));
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    assert_contains(ad_error(g), "branch: [2]: a condition has one element");
    assert_false(ad_branch(ad_ones(other, AD_F64, AD_SCALAR)) && !ad_ok(other)); /* a graph of its own */
    assert_false(ad_branch(ad_nil(g)));                                          /* the error stays */
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    ad_clear_error(g);
    assert_false(ad_branch(ad_nil(g)));
    assert_contains(ad_error(g), "branch: the Var is nil"), ad_clear_error(g);
    assert_false(ad_branch(ad_ones(g, AD_F64, AD_SHAPE(0))) || ad_error_code(g) != AD_ESHAPE), ad_clear_error(g);
#ifndef SANITIZED
    ad_mark m = ad_begin(g);
    ad_var *gone = ad_ones(g, AD_F64, AD_SCALAR);
    ad_end(g, m);
    assert_false(ad_branch(gone) || ad_error_code(g) != AD_EGRAPH);
#endif
    ad_graph_free(g);
    ad_graph_free(other);
}

static void without_gradients_and_in_pictures(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(param_item(g, AD_F64, 2), "speed"), *y, *dx;
    bool was = ad_enable_grad(g, false);
    bool taken = ad_branch(x);
    ad_enable_grad(g, was);
    y = taken ? ad_square(x) : x;
    assert_int_equal(ad_backward(y), AD_OK);
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
    assert_true(ad_grad_item(x) == 4 && ad_item(dx) == 4);
    char text[4000] = "";
    FILE *f = tmpfile();
    assert_int_equal(ad_dump_dot(y, f), AD_OK);
    rewind(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_contains(text, "label=\"branch\\ntaken true\\nat 2\"");
    set_item(x, 0);
    assert_refused(g, ad_eval(y));
    ad_graph_free(g);
}

static ad_var *branching(int n, ad_var *const xs[], void *user) { return (void)n, (void)user, piecewise(xs[0]); }

/* Inside a checkpoint: in a value, its gradient, and a checkpoint within a checkpoint. */
static ad_var *nested(int n, ad_var *const xs[], void *user) { return ad_exp(ad_checkpoint(branching, user, n, xs)); }

static void in_checkpoints(void **state) {
    (void)state;
    ad_function *functions[] = { branching, nested };
    for (int i = 0; i < 2; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, 1), *y = ad_checkpoint(functions[i], NULL, 1, &x), *d;
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        assert_close(ad_item(d), i ? 2 * exp(1) : 2, 1e-14);
        set_item(x, 2);
        assert_int_equal(ad_eval(d), AD_OK);
        assert_close(ad_item(d), i ? 4 * exp(4) : 4, 1e-12);
        set_item(x, -2);
        assert_int_equal(ad_eval(y), AD_EBRANCH);
        assert_contains(ad_error(g),
                        "branch: the branch at number 1 in a checkpoint's function went the way of \"true\"");
        ad_clear_error(g);
        assert_int_equal(ad_eval(d), AD_EBRANCH), ad_clear_error(g);
        assert_int_equal(ad_backward(y), AD_ESTALE), ad_clear_error(g);
        y = ad_checkpoint(functions[i], NULL, 1, &x);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close(ad_grad_item(x), i ? -3 * exp(6) : -3, 1e-10);
        ad_graph_free(g);
    }
}

static void lack_of_memory(void **state) {
    (void)state;
    for (int64_t at = 0; at < 60; at++) {
        test_memory m = { .fail_at = at };
        ad_graph *g = test_graph(&m);
        if (g != NULL) {
            ad_var *x = ad_param(g, AD_F64, (double[]){ 1 }, AD_SCALAR);
            for (int i = 0; i < 300; i++) ad_branch(x);
            ad_var *y = ad_checkpoint(branching, NULL, 1, &x);
            int rc = ad_eval(y);
            assert_true(rc == AD_OK || rc == AD_ENOMEM);
            ad_graph_free(g);
        }
        assert_all_released(&m);
    }
}

/* Each thread has a graph, whose branches are its own. */
static void *one_thread(void *data) {
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1), *y = piecewise(x);
    for (int i = 0; i < 200; i++) {
        set_item(x, i % 2 ? -1 : 1 + i);
        if (ad_eval(y) != (i % 2 ? AD_EBRANCH : AD_OK)) ++*(int *)data;
        ad_clear_error(g);
    }
    ad_graph_free(g);
    return NULL;
}

static void graphs_of_threads(void **state) {
    (void)state;
    pthread_t threads[4];
    int wrong[4] = { 0 };
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, one_thread, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(wrong[i], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_c_does),
        cmocka_unit_test(evaluating_again),
        cmocka_unit_test(the_sentence_names_op_condition_and_way),
        cmocka_unit_test(objectives),
        cmocka_unit_test(the_condition_is_evaluated_for_its_own_sake),
        cmocka_unit_test(evaluation_ends_at_the_branch),
        cmocka_unit_test(a_branch_in_a_loop),
        cmocka_unit_test(a_choice_of_earlier_vars),
        cmocka_unit_test(unrelated_ops_between),
        cmocka_unit_test(many_branches_take_linear_time),
        cmocka_unit_test(building_again_in_the_same_scope),
        cmocka_unit_test(scopes_forget_their_branches),
        cmocka_unit_test(invalid_conditions),
        cmocka_unit_test(without_gradients_and_in_pictures),
        cmocka_unit_test(in_checkpoints),
        cmocka_unit_test(lack_of_memory),
        cmocka_unit_test(graphs_of_threads),
    };
    return cmocka_run_group_tests_name("branch", tests, NULL, NULL);
}
