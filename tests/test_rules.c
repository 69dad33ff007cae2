/* test_rules.c: derivatives that once were wrong: at kinks within expressions, at extreme magnitudes, of operands that
   ops did not differentiate. tests/test_special.c and ad_check_op hold whole ops; these are expressions. */
#include "tests/common.h"

static ad_var *param(ad_graph *g, ad_dtype t, double value) {
    ad_var *x = ad_param(g, t, NULL, AD_SCALAR);
    if (t == AD_F64) ad_set(x, &value);
    else ad_set(x, &(float){ (float)value });
    return x;
}

/* ---- 0 times an infinite slope: a branch that is not taken passes nothing on ------------------------------------ */

static ad_var *sqrt_relu(ad_var *x) { return ad_sqrt(ad_relu(x)); }
static ad_var *sqrt_maximum(ad_var *x) { return ad_sqrt(ad_maximum(x, ad_scalar(ad_graph_of(x), AD_F64, 0))); }
static ad_var *sqrt_clamp(ad_var *x) { return ad_sqrt(ad_clamp(x, 0, 9)); }
static ad_var *sqrt_hardtanh(ad_var *x) { return ad_sqrt(ad_hardtanh(x, 0, 9)); }
static ad_var *sqrt_hardsigmoid(ad_var *x) { return ad_sqrt(ad_hardsigmoid(ad_adds(x, -4))); }
static ad_var *sqrt_abs(ad_var *x) { return ad_sqrt(ad_abs(ad_adds(x, 1))); }
static ad_var *sqrt_minimum(ad_var *x) {
    return ad_sqrt(ad_neg(ad_minimum(ad_neg(x), ad_scalar(ad_graph_of(x), AD_F64, 0))));
}
/* [x, 0] */
static ad_var *beside_0(ad_var *x) { return ad_stack(2, (ad_var *[]){ x, ad_scalar(ad_graph_of(x), AD_F64, 0) }, 0); }
static ad_var *sqrt_max(ad_var *x) { return ad_sqrt(ad_max(beside_0(x))); }
static ad_var *sqrt_min(ad_var *x) { return ad_sqrt(ad_neg(ad_min(beside_0(ad_neg(x))))); }
static ad_var *sqrt_maxout(ad_var *x) { return ad_sqrt(ad_reshape(ad_maxout(beside_0(x), 0, 2), AD_SCALAR)); }
static ad_var *sqrt_l1(ad_var *x) { return ad_sqrt(ad_l1(x, ad_scalar(ad_graph_of(x), AD_F64, -1), AD_SUM)); }
static ad_var *sqrt_hinge_embedding(ad_var *x) {
    return ad_sqrt(ad_hinge_embedding(x, ad_scalar(ad_graph_of(x), AD_F64, -1), -2, AD_SUM));
}
static ad_var *sqrt_norm1(ad_var *x) { return ad_sqrt(ad_norm(ad_adds(x, 1), 1)); }
static ad_var *sqrt_norm3(ad_var *x) { return ad_sqrt(ad_norm(ad_adds(x, 1), 3)); }
static ad_var *sqrt_norm_inf(ad_var *x) { return ad_sqrt(ad_norm(ad_adds(x, 1), INFINITY)); }
static ad_var *sqrt_std(ad_var *x) { return ad_sqrt(ad_std(ad_stack(2, (ad_var *[]){ x, x }, 0), 1)); }
static ad_var *sqrt_pows0(ad_var *x) { return ad_sqrt(ad_adds(ad_pows(x, 0), -1)); }
static ad_var *sqrt_pow(ad_var *x) { return ad_sqrt(ad_pow(ad_scalar(ad_graph_of(x), AD_F64, 0), ad_adds(x, 3))); }

/* All are a constant 0 near x = -1 or have the slope 0 by convention. Values and derivatives: mathematics, PyTorch's
   conventions. */
static void branches_not_taken_pass_nothing_on(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
    } rows[] = {
        { "relu", sqrt_relu },
        { "maximum", sqrt_maximum },
        { "clamp", sqrt_clamp },
        { "hardtanh", sqrt_hardtanh },
        { "hardsigmoid", sqrt_hardsigmoid },
        { "abs", sqrt_abs },
        { "minimum", sqrt_minimum },
        { "max", sqrt_max },
        { "min", sqrt_min },
        { "maxout", sqrt_maxout },
        { "l1", sqrt_l1 },
        { "hinge_embedding", sqrt_hinge_embedding },
        { "norm 1", sqrt_norm1 },
        { "norm 3", sqrt_norm3 },
        { "norm inf", sqrt_norm_inf },
        { "std", sqrt_std },
        { "pows 0", sqrt_pows0 },
        { "pow, base 0", sqrt_pow },
    };
    for (int i = 0; i < COUNT(rows); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, AD_F64, -1), *y = rows[i].f(x), *dx;
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
        print_message("sqrt of %s\n", rows[i].name);
        assert_true(ad_item(y) == 0);
        assert_true(ad_grad_item(x) == 0);
        assert_true(ad_item(dx) == 0);
        ad_graph_free(g);
    }
}

/* ---- ignored rows ----------------------------------------------------------------------------------------------- */

static void ignored_rows_of_nan_have_gradient_0(void **state) {
    (void)state;
    const ad_ce_opts opts = { .reduction = AD_SUM, .ignore = true, .ignore_index = 9 };
    for (int by_nll = 0; by_nll < 2; by_nll++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, (double[]){ NAN, 1, NAN, 0.5, -1, 2 }, AD_SHAPE(2, 3)), *dx;
        ad_var *classes = ad_tensor(g, AD_F64, (double[]){ 9, 2 }, AD_SHAPE(2));
        ad_var *y = by_nll ? ad_nll(x, classes, opts) : ad_cross_entropy_classes(x, classes, opts);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
        assert_true(isfinite(ad_item(y)));
        for (int k = 0; k < 3; k++) assert_true(ad_grad_at(x, k) == 0 && ad_at(dx, k) == 0);
        for (int k = 3; k < 6; k++) assert_close(ad_at(dx, k), ad_grad_at(x, k), 1e-14);
        assert_true(ad_grad_at(x, 5) < 0);
        ad_graph_free(g);
    }
}

/* ---- operands that an op does not differentiate ----------------------------------------------------------------- */

static ad_var *with_pos_weight(ad_var *x, ad_var *c, ad_var *w) { return (void)c, ad_bce_logits(x, x, w, AD_SUM); }
static ad_var *with_class_weights(ad_var *x, ad_var *c, ad_var *w) {
    return ad_cross_entropy_with(x, c, (ad_ce_opts){ .weight = w });
}
static ad_var *with_weights_of_probabilities(ad_var *x, ad_var *c, ad_var *w) {
    return (void)c, ad_cross_entropy_with(x, ad_softmax(x, 0), (ad_ce_opts){ .weight = w });
}
static ad_var *nll_with_weights(ad_var *x, ad_var *c, ad_var *w) { return ad_nll(x, c, (ad_ce_opts){ .weight = w }); }
static ad_var *margin_with_weights(ad_var *x, ad_var *c, ad_var *w) {
    return ad_multi_margin(ad_reshape(x, AD_SHAPE(1, 2)), ad_reshape(c, AD_SHAPE(1)), 1, 1, w, AD_MEAN);
}
static ad_var *targets_with_weights(ad_var *x, ad_var *c, ad_var *w) {
    return (void)x, ad_class_targets(c, 2, (ad_ce_opts){ .weight = w });
}
static ad_var *with_averages(ad_var *x, ad_var *c, ad_var *w) {
    return (void)c, ad_batch_norm(ad_reshape(x, AD_SHAPE(1, 2)), w, w, NULL, NULL, (ad_batch_norm_opts){ 0 });
}

/* Their gradient would be 0 without a word. They are refused if they require one, and taken as constants. */
static void operands_without_derivative_are_refused(void **state) {
    (void)state;
    static ad_var *(*const calls[])(ad_var *, ad_var *, ad_var *) = {
        with_pos_weight,      with_class_weights, with_weights_of_probabilities, nll_with_weights, margin_with_weights,
        targets_with_weights, with_averages,
    };
    for (int i = 0; i < COUNT(calls); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5, -1 }, AD_SHAPE(2)), *class = ad_scalar(g, AD_F64, 1);
        ad_var *w = ad_param(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2));
        assert_fails(g, calls[i](x, class, w), AD_EGRAD, "ad_detach");
        assert_false(ad_is_nil(calls[i](x, class, ad_detach(w))));
        ad_enable_grad(g, false);
        assert_false(ad_is_nil(calls[i](x, class, w)));
        assert_ok(g);
        ad_graph_free(g);
    }
}

/* d/dt of log(1 + exp(-t x)) = -x sigmoid(-t x), at x = 2, t = 0.5: -2 sigmoid(-1). */
static void soft_margin_differentiates_its_target(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, AD_F64, 2), *t = param(g, AD_F64, 0.5), *dt;
    assert_int_equal(ad_gradient(ad_soft_margin(x, t, AD_SUM), 1, &t, &dt), AD_OK);
    assert_close(ad_item(dt), -0.53788284273999024, 1e-15);
    ad_graph_free(g);
}

/* ---- second derivatives ----------------------------------------------------------------------------------------- */

/* d2/da db of a^b at b = 0 is 1 / a, in either order. */
static void mixed_derivative_of_pow(void **state) {
    (void)state;
    const double as[] = { 23, 0.5, 2 };
    for (int i = 0; i < COUNT(as); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[] = { param(g, AD_F64, as[i]), param(g, AD_F64, 0) }, *d[2], *second;
        assert_int_equal(ad_gradient(ad_pow(x[0], x[1]), 2, x, d), AD_OK);
        for (int first = 0; first < 2; first++) {
            assert_int_equal(ad_gradient(d[first], 1, &x[1 - first], &second), AD_OK);
            assert_close(ad_item(second), 1 / as[i], 1e-15);
        }
        ad_graph_free(g);
    }
}

static void hessians_of_norms_at_0(void **state) {
    (void)state;
    const double ps[] = { 1, 2, 3, INFINITY };
    for (int i = 0; i < COUNT(ps); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(3)), *h = ad_hessian(ad_norm(x, ps[i]), x);
        assert_ok(g);
        for (int k = 0; k < 9; k++) assert_true(ad_at(h, k) == 0);
        ad_graph_free(g);
    }
}

/* A target of 0 still has its share in mixed derivatives: d/dp of softmax sum(p) - p at the class is softmax - 1. */
static void mixed_derivative_of_cross_entropy(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0, 0 }, AD_SHAPE(2)), *dx, *second;
    ad_var *p = ad_param(g, AD_F64, (double[]){ 0, 1 }, AD_SHAPE(2));
    assert_int_equal(ad_gradient(ad_cross_entropy_probs(x, p, (ad_ce_opts){ .reduction = AD_SUM }), 1, &x, &dx), AD_OK);
    assert_int_equal(ad_gradient(ad_select(dx, 0, 0), 1, &p, &second), AD_OK);
    assert_close(ad_at(second, 0), -0.5, 1e-15);
    assert_close(ad_at(second, 1), 0.5, 1e-15);
    ad_graph_free(g);
}

/* ---- magnitudes ------------------------------------------------------------------------------------------------- */

static ad_var *reciprocal(ad_var *x) { return ad_reciprocal(x); }
static ad_var *inverse_power(ad_var *x) { return ad_pows(x, -1); }
static ad_var *gelu_tanh(ad_var *x) { return ad_gelu_tanh(x); }
static ad_var *softsign(ad_var *x) { return ad_softsign(x); }
static ad_var *atan_of(ad_var *x) { return ad_atan(x); }

/* The slope times the cotangent is in range, its powers are not. f32; numbers by arithmetic. */
static void slopes_do_not_overflow_before_the_result(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x, cotangent, dx;
    } rows[] = {
        { "1/x", reciprocal, 1e-20, 1e-30, -1e10 },     { "1/x", reciprocal, 1e25, 1e30, -1e-20 },
        { "x^-1", inverse_power, 1e-20, 1e-30, -1e10 }, { "x^-1", inverse_power, 1e25, 1e30, -1e-20 },
        { "gelu_tanh", gelu_tanh, 2e13, 1, 1 },         { "gelu_tanh", gelu_tanh, -1e18, 1, 0 },
        { "softsign", softsign, 1e25, 1e30, 1e-20 },    { "atan", atan_of, 1e25, 1e30, 1e-20 },
    };
    for (int i = 0; i < COUNT(rows); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, AD_F32, rows[i].x), *y = rows[i].f(x), *w = param(g, AD_F32, rows[i].cotangent), *dx;
        assert_int_equal(ad_backward_from(y, w), AD_OK);
        assert_int_equal(ad_vjp(y, w, 1, &x, &dx), AD_OK);
        print_message("%s at %g, cotangent %g\n", rows[i].name, rows[i].x, rows[i].cotangent);
        assert_true(fabs(ad_grad_item(x) - rows[i].dx) <= 1e-5 * fabs(rows[i].dx));
        assert_true(fabs(ad_item(dx) - rows[i].dx) <= 1e-5 * fabs(rows[i].dx));
        ad_graph_free(g);
    }
}

/* exp(-30), exp(-40): mpmath */
static void slope_of_expm1_keeps_its_digits(void **state) {
    (void)state;
    const double points[][2] = { { -30, 9.3576229688401748e-14 }, { -40, 4.2483542552915889e-18 } };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, AD_F64, points[i][0]);
        ad_backward(ad_expm1(x));
        assert_true(fabs(ad_grad_item(x) / points[i][1] - 1) < 1e-14);
        ad_graph_free(g);
    }
}

/* ---- NaN -------------------------------------------------------------------------------------------------------- */

/* The gradient of a NaN maximum goes to the NaN, in both rules, as in torch.max. */
static void maximum_of_an_array_with_nan(void **state) {
    (void)state;
    for (int smallest = 0; smallest < 2; smallest++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, (double[]){ 1, NAN, 3 }, AD_SHAPE(3)), *dx;
        ad_var *y = smallest ? ad_min(x) : ad_max(x);
        assert_true(isnan(ad_item(y)));
        assert_int_equal(ad_backward(y), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_OK);
        for (int k = 0; k < 3; k++) assert_true(ad_grad_at(x, k) == (k == 1) && ad_at(dx, k) == (k == 1));
        ad_graph_free(g);
    }
}

static void clamp_with_a_nan_bound_is_nan(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, AD_F64, 0.5);
    assert_true(isnan(ad_item(ad_clamp(x, NAN, 1))) && isnan(ad_item(ad_clamp(x, 0, NAN))));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_not_taken_pass_nothing_on),
        cmocka_unit_test(ignored_rows_of_nan_have_gradient_0),
        cmocka_unit_test(operands_without_derivative_are_refused),
        cmocka_unit_test(soft_margin_differentiates_its_target),
        cmocka_unit_test(mixed_derivative_of_pow),
        cmocka_unit_test(hessians_of_norms_at_0),
        cmocka_unit_test(mixed_derivative_of_cross_entropy),
        cmocka_unit_test(slopes_do_not_overflow_before_the_result),
        cmocka_unit_test(slope_of_expm1_keeps_its_digits),
        cmocka_unit_test(maximum_of_an_array_with_nan),
        cmocka_unit_test(clamp_with_a_nan_bound_is_nan),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
