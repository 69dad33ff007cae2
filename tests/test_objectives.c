/* test_objectives.c: ad_objective and ad_residuals, which give values and derivatives to solvers. */
#include "tests/derivatives.h"

/* ---- ad_value_and_gradient --------------------------------------------------------------------------------------- */

/* Takes steps of gradient descent from x [2]. Returns the value before the last step. */
static double by_descent(double f(const double *, double *, void *), void *user, double *x, int steps) {
    double d[2], value = 0;
    for (int i = 0; i < steps; i++) {
        value = f(x, d, user);
        for (int k = 0; k < 2; k++) x[k] -= 1e-3 * d[k];
    }
    return value;
}

static void value_and_gradient_of_objectives(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { param_item(g, t, 0), param_item(g, t, 0), param_item(g, t, 5) };
        ad_var *valley = ad_sub(xs[1], ad_square(xs[0]));
        ad_var *y = ad_add(ad_square(ad_adds(ad_neg(xs[0]), 1)), ad_muls(ad_square(valley), 100));
        ad_objective *f = ad_objective_new(y, 3, xs);
        assert_non_null(f);
        assert_int_equal(ad_backward(ad_square(xs[2])), AD_OK); /* this gradient does not belong to y */
        assert_int_equal(ad_objective_size(f), 3);
        double at[] = { -1.2, 1, 7 }, grad[3], tol = t == AD_F32 ? 1e-4 : 1e-12;
        for (int i = 0; i < 2; i++) { /* the second call must not accumulate gradients */
            assert_close(ad_value_and_gradient(at, grad, f), 24.2, tol);
            assert_close(grad[0], -215.6, tol);
            assert_close(grad[1], -88, tol);
            assert_true(grad[2] == 0);
        }
        int64_t allocs = ad_graph_stats(g).allocs;
        at[0] = 1;
        assert_true(ad_value_and_gradient(at, NULL, f) == 0);
        double x[] = { 0.9, 0.8 };
        ad_objective *one = ad_objective_new(y, 1, xs + 1), *two = ad_objective_new(y, 2, xs);
        for (int i = 0; i < 2; i++) assert_close(ad_value_and_gradient(x, grad, one), 1, tol * 100);
        assert_close(ad_grad_item(xs[0]), -400 * (0.9 - 1), tol * 1000); /* xs[0] is not in xs + 1 */
        assert_true(by_descent(ad_value_and_gradient, two, x, 20) < 0.011 && ad_graph_stats(g).allocs == allocs);
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void invalid_objectives_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double memory[3] = { 0 };
    ad_var *x = vector(g, 3, x_values), *in = ad_input(g, AD_F64, memory, AD_SHAPE(3)), *fixed = ad_ones(g, AD_F64, AD_SHAPE(3));
    ad_var *y = ad_sum(ad_exp(x)), *vec = ad_exp(x);
    assert_null(ad_objective_new(vec, 1, &x));
    assert_contains(ad_error(g), "objective: y is [3]"), ad_clear_error(g);
    assert_null(ad_objective_new(y, 1, &vec));
    assert_contains(ad_error(g), "xs[0] is not a leaf made by ad_param"), ad_clear_error(g);
    assert_null(ad_objective_new(y, 1, &in));
    assert_contains(ad_error(g), "xs[0]"), ad_clear_error(g);
    assert_null(ad_objective_new(ad_sum(fixed), 1, &x));
    assert_contains(ad_error(g), "requires a gradient"), ad_clear_error(g);
    ad_objective *f = ad_objective_new(y, 1, &x);
    assert_true(isnan(ad_value_and_gradient(NULL, NULL, f)));
    assert_contains(ad_error(g), "x is NULL");
    assert_true(isnan(ad_value_and_gradient(x_values, NULL, f)) && isnan(ad_value_and_gradient(x_values, NULL, NULL)));
    ad_graph_free(g);
}

/* ---- residuals: values and Jacobian of many functions ------------------------------------------------------------ */

/* r = (x0 x1, x0 + 3 z, exp(x1)), [3,1,1]: its Jacobian by (x, z) is ((x1, x0, 0), (1, 0, 3), (0, exp x1, 0)). */
static void values_and_jacobian_of_residuals(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, t, NULL, AD_SHAPE(1, 1, 1, 1, 1, 2)), *z = param_item(g, t, 0);
        ad_var *xs[] = { x, z }, *x0 = ad_select(ad_reshape(x, AD_SHAPE(2)), 0, 0);
        ad_var *x1 = ad_select(ad_reshape(x, AD_SHAPE(2)), 0, 1);
        ad_var *parts[] = { ad_mul(x0, x1), ad_add(x0, ad_muls(z, 3)), ad_exp(x1) };
        ad_var *r = ad_reshape(ad_stack(3, parts, 0), AD_SHAPE(3, 1, 1));
        ad_residuals *f = ad_residuals_new(r, 2, xs);
        assert_non_null(f);
        assert_int_equal(ad_residuals_count(f), 3);
        assert_int_equal(ad_residuals_size(f), 3);
        double at[] = { 2, 0.5, 7 }, values[3], j[9], tol = t == AD_F32 ? 1e-6 : 1e-15;
        const double want[] = { 1, 23, exp(0.5) }, slopes[] = { 0.5, 2, 0, 1, 0, 3, 0, exp(0.5), 0 };
        int64_t allocs = 0;
        for (int i = 0; i < 400; i++) {
            assert_int_equal(ad_values_and_jacobian(at, values, i % 3 == 1 ? NULL : j, f), AD_OK);
            for (int k = 0; k < 3; k++) assert_close(values[k], want[k], tol * 30);
            for (int k = 0; k < 9; k++) assert_close(j[k], slopes[k], tol * 3);
            if (i == 200) allocs = ad_graph_stats(g).allocs;
        }
        assert_int_equal(ad_values_and_jacobian(at, NULL, j, f), AD_OK);
        assert_int_equal(ad_values_and_jacobian(at, NULL, NULL, f), AD_OK);
        assert_true(ad_graph_stats(g).allocs == allocs);
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* Empty residuals, no variables, and variables that r does not depend on. */
static void residuals_at_the_edges(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *none = ad_param(g, AD_F64, NULL, AD_SHAPE(0)), *xs[] = { none, x };
    double j[9] = { 5, 5, 5, 5, 5, 5, 5, 5, 5 }, values[3];
    ad_residuals *f = ad_residuals_new(ad_exp(ad_tensor(g, AD_F64, x_values, AD_SHAPE(2))), 2, xs);
    assert_int_equal(ad_values_and_jacobian(x_values, values, j, f), AD_OK);
    for (int k = 0; k < 6; k++) assert_true(j[k] == 0);
    assert_close(values[1], exp(x_values[1]), 1e-15);
    f = ad_residuals_new(ad_exp(none), 2, xs);
    assert_int_equal(ad_residuals_count(f), 0);
    assert_int_equal(ad_values_and_jacobian(x_values, values, j, f), AD_OK);
    f = ad_residuals_new(ad_exp(x), 0, NULL);
    assert_int_equal(ad_residuals_size(f), 0);
    assert_int_equal(ad_values_and_jacobian(NULL, values, j, f), AD_OK);
    assert_close(values[2], exp(x_values[2]), 1e-15);
    assert_ok(g);
    ad_graph_free(g);
}

static void invalid_residuals_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *y = ad_exp(x), *nothing = NULL;
    double j[9] = { 5 }, values[3] = { 5 };
    assert_null(ad_residuals_new(y, 1, &y));
    assert_contains(ad_error(g), "residuals: xs[0] is not a leaf made by ad_param"), ad_clear_error(g);
    assert_null(ad_residuals_new(y, 1, &nothing));
    assert_int_equal(ad_error_code(g), AD_EVALUE), ad_clear_error(g);
    assert_null(ad_residuals_new(NULL, 1, &x));
    assert_contains(ad_error(g), "residuals: a Var is NULL"), ad_clear_error(g);
    ad_residuals *f = ad_residuals_new(ad_div(x, y), 1, &x);
    assert_int_equal(ad_values_and_jacobian(x_values, values, j, NULL), AD_EVALUE);
    assert_int_equal(ad_values_and_jacobian(NULL, values, j, f), AD_EVALUE);
    assert_contains(ad_error(g), "values_and_jacobian: x is NULL");
    assert_int_equal(ad_values_and_jacobian(x_values, values, j, f), AD_EVALUE);
    assert_true(values[0] == 5 && j[0] == 5);
    assert_true(ad_residuals_count(NULL) == 0 && ad_residuals_size(NULL) == 0);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_and_gradient_of_objectives),
        cmocka_unit_test(invalid_objectives_are_reported),
        cmocka_unit_test(values_and_jacobian_of_residuals),
        cmocka_unit_test(residuals_at_the_edges),
        cmocka_unit_test(invalid_residuals_are_reported),
    };
    return cmocka_run_group_tests_name("objectives", tests, NULL, NULL);
}
