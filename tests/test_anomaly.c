/* test_anomaly.c: ad_detect_anomaly names the op whose value or gradient is the first that is not finite, and no
   other. */
#include "autodiff/extend.h"
#include "tests/common.h"

static ad_graph *watched(void) {
    ad_graph *g = ad_graph_new();
    assert_false(ad_detect_anomaly(g, true));
    return g;
}

static ad_var *row(ad_graph *g, ad_dtype t, double a, double b) {
    double wide[] = { a, b };
    float narrow[] = { (float)a, (float)b };
    return ad_param(g, t, t == AD_F64 ? (void *)wide : narrow, AD_SHAPE(2));
}

/* ---- values ----------------------------------------------------------------------------------------------- */

static void test_setting(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_false(ad_detect_anomaly(g, true));
    assert_true(ad_detect_anomaly(g, true));
    assert_true(ad_detect_anomaly(g, false));
    assert_false(ad_detect_anomaly(g, false));
    assert_false(ad_detect_anomaly(NULL, true));
    assert_true(isnan(ad_item(ad_log(ad_scalar(g, AD_F64, -1)))));
    assert_ok(g);
    ad_graph_free(g);
}

static void test_record(void **state) {
    (void)state;
    ad_graph *g = watched();
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_var *x = ad_name(row(g, (ad_dtype)t, 1, -2), "rate");
        assert_fails(g, ad_log(x), AD_EVALUE, "log: rate [2]: anomaly: element 1 of the result is ");
        ad_var *y = ad_sqrt(x);
        assert_contains(ad_error(g), "operand 0 is in -2..1");
        assert_fails(g, y, AD_EVALUE, "nan");
        assert_fails(g, ad_div(x, ad_muls(x, 0)), AD_EVALUE, "operand 1 is in 0..0");
        assert_fails(g, ad_reciprocal(ad_scalar(g, (ad_dtype)t, 0)), AD_EVALUE, "element 0 of the result is inf");
        assert_fails(g, ad_sum(ad_reciprocal(ad_adds(x, 2))), AD_EVALUE, "reciprocal: [2]: anomaly");
        assert_float_equal(ad_item(ad_sum(ad_exp(ad_muls(x, 0)))), 2, 0);
        assert_ok(g);
    }
    assert_fails(g, ad_mul(row(g, AD_F64, 1e200, 1), row(g, AD_F64, 1e200, 1)), AD_EVALUE, "mul: [2] x [2]: anomaly");
    ad_graph_free(g);
}

/* What is not finite from the start is nobody's fault. */
static void test_data(void **state) {
    (void)state;
    ad_graph *g = watched();
    ad_var *x = row(g, AD_F64, NAN, 1), *y = row(g, AD_F64, 3, INFINITY);
    ad_var *loss = ad_sum(ad_mul(ad_sin(x), ad_exp(y)));
    assert_true(isnan(ad_item(loss)));
    assert_int_equal(ad_eval(loss), AD_OK);
    assert_int_equal(ad_backward(loss), AD_OK);
    ad_var *dx;
    assert_int_equal(ad_gradient(loss, 1, &x, &dx), AD_OK);
    /* a number of the program's that is infinite */
    ad_var *mask = ad_tensor(g, AD_F64, (double[]){ 0, 1 }, AD_SHAPE(2)), *z = row(g, AD_F64, 1, 2);
    ad_var *p = ad_softmax(ad_masked_fill(z, mask, -INFINITY), 0);
    assert_float_equal(ad_at(p, 0), 1, 0);
    assert_int_equal(ad_backward(ad_sum(p)), AD_OK);
    assert_true(isinf(ad_at(ad_pad(z, AD_SHAPE(1), AD_SHAPE(0), -INFINITY), 0)));
    assert_ok(g);
    ad_graph_free(g);
}

static void test_eval(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 4 }, AD_SCALAR), *y = x;
    for (int i = 0; i < 10; i++) y = ad_adds(ad_sqrt(ad_adds(y, -1)), 2);
    for (int i = 0; i < 6; i++) assert_int_equal(ad_eval(y), AD_OK); /* makes a flat program */
    assert_int_equal(ad_backward(y), AD_OK);
    double slope = ad_grad_item(x), value = ad_item(y);
    ad_detect_anomaly(g, true);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == value);
    ad_zero_grad(y);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_true(ad_grad_item(x) == slope);
    ad_set(x, (double[]){ 0 });
    assert_int_equal(ad_eval(y), AD_EVALUE);
    assert_contains(ad_error(g), "sqrt: []: anomaly: element 0 of the result is");
    assert_contains(ad_error(g), "op 2); operand 0 is in -1..-1");
    ad_clear_error(g);
    ad_set(x, (double[]){ 4 });
    for (int i = 0; i < 6; i++) assert_int_equal(ad_eval(y), AD_OK);
    assert_true(ad_item(y) == value);
    assert_true(ad_detect_anomaly(g, false));
    ad_set(x, (double[]){ 0 });
    for (int i = 0; i < 6; i++) assert_int_equal(ad_eval(y), AD_OK);
    assert_true(isnan(ad_item(y)));
    /* a program of instructions would look at nothing */
    ad_set(x, (double[]){ 1 });
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_OK);
    ad_zero_grad(y);
    ad_detect_anomaly(g, true);
    assert_int_equal(ad_backward(y), AD_EVALUE);
    assert_contains(ad_error(g), "op 2); operand 0 is in 0..0");
    ad_graph_free(g);
}

/* The ranges of the first three operands are shown. */
static void many_operands_are_not_all_shown(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, 1e200, AD_SHAPE(2, 1)), *zero = ad_zeros(g, AD_F64, AD_SHAPE(1));
    ad_var *one = ad_ones(g, AD_F64, AD_SHAPE(1)), *huge = ad_full(g, AD_F64, 1e200, AD_SHAPE(1));
    ad_detect_anomaly(g, true);
    assert_true(ad_is_nil(ad_addcmul(x, x, x)));
    assert_contains(ad_error(g), "operand 2 is in 1e+200..1e+200");
    assert_null(strstr(ad_error(g), ", .."));
    ad_clear_error(g);
    assert_true(ad_is_nil(ad_batch_norm(x, zero, one, huge, zero, (ad_batch_norm_opts){ 0 })));
    assert_contains(ad_error(g), "operand 2 is in 1..1, ..");
    assert_null(strstr(ad_error(g), "operand 3"));
    ad_graph_free(g);
}

static ad_var *sqrt_of_log(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_sqrt(ad_log(xs[0]));
}

static void test_checkpoint(void **state) {
    (void)state;
    ad_graph *g = watched();
    ad_var *x = row(g, AD_F64, 2, 3), *y = ad_sum(ad_checkpoint(sqrt_of_log, NULL, 1, &x));
    assert_int_equal(ad_backward(y), AD_OK);
    ad_set(x, (double[]){ 2, 0.5 });
    assert_int_equal(ad_eval(y), AD_EVALUE);
    assert_contains(ad_error(g), "sqrt: [2]: anomaly: element 1 of the result");
    ad_clear_error(g);
    ad_set(x, (double[]){ 2, 1 });
    assert_int_equal(ad_eval(y), AD_OK);
    assert_int_equal(ad_backward(y), AD_EVALUE);
    assert_contains(ad_error(g), "sqrt: [2]: anomaly: element 1 of the gradient of operand 0 is inf");
    ad_graph_free(g);
}

/* ---- gradients ------------------------------------------------------------------------------------------------ */

static void check_backward(bool keep, ad_dtype t) {
    ad_graph *g = watched();
    ad_keep_grads(g, keep);
    ad_var *x = row(g, t, 0, 4), *y = ad_sum(ad_sin(ad_sqrt(ad_name(ad_muls(x, 1), "speed"))));
    assert_int_equal(ad_backward(y), AD_EVALUE);
    assert_contains(ad_error(g), "sqrt: speed [2]: anomaly: element 0 of the gradient of operand 0 is inf");
    assert_contains(ad_error(g), "operand 0 is in 0..4");
    ad_clear_error(g);
    ad_var *dx;
    assert_int_equal(ad_gradient(y, 1, &x, &dx), AD_EVALUE);
    assert_contains(ad_error(g), "sqrt: speed [2]: anomaly: element 0 of the gradient of operand 0 is inf");
    ad_clear_error(g);
    if (t == AD_F64) ad_set(x, (double[]){ 1, 4 });
    else ad_set(x, (float[]){ 1, 4 });
    assert_int_equal(ad_eval(y), AD_OK);
    ad_zero_grad(y);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_float_equal(ad_grad_at(x, 0), cos(1) / 2, 1e-6);
    ad_graph_free(g);
}

static void test_backward(void **state) {
    (void)state;
    for (int t = AD_F32; t <= AD_F64; t++) check_backward(true, (ad_dtype)t), check_backward(false, (ad_dtype)t);
}

/* A leaf's gradient from before, and a seed, that are not finite. */
static void test_old_gradients(void **state) {
    (void)state;
    ad_graph *g = watched();
    ad_var *x = row(g, AD_F64, 1, 0.5), *y = ad_sin(x);
    assert_int_equal(ad_backward_from(y, row(g, AD_F64, NAN, 1)), AD_OK);
    assert_true(isnan(ad_grad_at(x, 0)));
    assert_int_equal(ad_backward(ad_sum(ad_exp(x))), AD_OK);
    ad_zero_grad(y);
    /* the sum of two finite gradients */
    assert_int_equal(ad_backward_from(ad_muls(x, 1.5e308), row(g, AD_F64, 1, 0)), AD_OK);
    assert_int_equal(ad_backward_from(ad_muls(x, 1.6e308), row(g, AD_F64, 1, 0)), AD_EVALUE);
    assert_contains(ad_error(g), "muls: [2]: anomaly: element 0 of the gradient of operand 0 is inf");
    ad_graph_free(g);
}

/* Rules compute in places that ad_where leaves out: these numbers are no anomaly, also when they are evaluated. */
static void test_derivatives(void **state) {
    (void)state;
    ad_graph *g = watched();
    ad_var *x = row(g, AD_F64, 0, 2), *k = ad_tensor(g, AD_F64, (double[]){ 2, 3 }, AD_SHAPE(2));
    ad_var *y = ad_sum(ad_add(ad_pow(x, k), ad_abs(x))), *d, *h;
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    assert_int_equal(ad_gradient(ad_sum(d), 1, &x, &h), AD_OK);
    assert_int_equal(ad_eval(ad_add(ad_sum(h), ad_sum(d))), AD_OK);
    assert_float_equal(ad_at(d, 1), 13, 1e-12);
    assert_float_equal(ad_at(h, 0), 2, 1e-12);
    /* a derivative that is infinite all the same */
    ad_var *z = row(g, AD_F64, 1, 1), *s = ad_sum(ad_sqrt(z)), *ds;
    assert_int_equal(ad_gradient(s, 1, &z, &ds), AD_OK);
    ad_var *both = ad_sum(ds);
    ad_set(z, (double[]){ 0, 1 });
    assert_int_equal(ad_eval(both), AD_EVALUE);
    assert_contains(ad_error(g), "a part of a derivative");
    ad_graph_free(g);
}

/* The numbers of Ops are used again when a scope is closed. */
static void test_scope(void **state) {
    (void)state;
    ad_graph *g = watched();
    ad_var *x = row(g, AD_F64, 1, 2), *d;
    ad_mark m = ad_begin(g);
    assert_int_equal(ad_gradient(ad_sum(ad_exp(ad_sin(ad_tanh(x)))), 1, &x, &d), AD_OK);
    ad_end(g, m);
    ad_var *y = x;
    for (int i = 0; i < 20; i++) y = ad_log(ad_exp(y));
    ad_set(x, (double[]){ 1, 1000 });
    assert_int_equal(ad_eval(ad_sum(y)), AD_EVALUE);
    assert_contains(ad_error(g), "exp: [2]: anomaly: element 1 of the result is inf (op 1)");
    ad_graph_free(g);
}

static void count_call(ad_graph *g, int code, const char *message, void *data) {
    (void)g, (void)message;
    if (code == AD_EVALUE) ++*(int *)data;
}

static void test_site(void **state) {
    (void)state;
    ad_graph *g = watched();
    int calls = 0;
    ad_on_error(g, count_call, &calls);
    ad_var *x = row(g, AD_F64, 1, 0), *y = ad_log(x);
    assert_int_equal(calls, 1); /* at once, where a debugger shows the caller */
    assert_true(ad_is_nil(ad_sum(y)));
    assert_int_equal(calls, 1);
    ad_graph_free(g);
}

/* ---- all ops ---------------------------------------------------------------------------------------------------- */

static bool all_finite(const ad_var *x, bool grads) {
    for (int64_t i = 0; i < ad_numel(x); i++)
        if (!isfinite(grads ? ad_grad_at(x, i) : ad_at(x, i))) return false;
    return true;
}

/* Where the plain numbers are finite, nothing is reported and the numbers are the same; where they are not, but the
   operands are, the op is named. */
static int check_sample(const ad_sample_case *c, void *data) {
    ad_graph *g = ad_graph_new();
    ad_var *in[16];
    double sum[2] = { 0, 0 };
    bool finite = true, finite_data = true;
    for (int watch = 0; watch < 2; watch++) {
        ad_detect_anomaly(g, watch);
        for (int i = 0; i < c->n; i++) {
            bool fixed = c->type->no_grad >> (i < 31 ? i : 31) & 1;
            in[i] = (fixed ? ad_tensor : ad_param)(g, AD_F64, c->values[i], c->shapes[i]);
            finite_data &= all_finite(in[i], false);
        }
        ad_seed(g, 1);
        ad_var *y = ad_apply(c->type, c->n, in, c->attrs);
        if (watch == 0) finite = all_finite(y, false);
        if (ad_requires_grad(y) && ad_backward_from(y, ad_ones(g, ad_dtype_of(y), ad_shape_of(y))) == AD_OK)
            for (int i = 0; i < c->n; i++) {
                if (watch == 0) finite &= all_finite(in[i], true);
                for (int64_t k = 0; k < ad_numel(in[i]); k++) sum[watch] += ad_grad_at(in[i], k);
            }
        if (watch == 0 && !ad_ok(g)) return ad_graph_free(g), 0;
    }
    if (finite) {
        assert_ok(g);
        assert_true(sum[0] == sum[1]);
    } else if (finite_data && !ad_ok(g)) {
        assert_contains(ad_error(g), "anomaly");
        ++*(int *)data;
    }
    ad_graph_free(g);
    return 0;
}

static void test_all_ops(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int anomalies = 0;
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++)
        assert_int_equal(ad_each_sample(g, *t, check_sample, &anomalies), 0);
    print_message("%d samples are anomalies\n", anomalies);
    assert_true(anomalies > 0);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setting),  cmocka_unit_test(test_record),        cmocka_unit_test(test_data),
        cmocka_unit_test(test_eval),     cmocka_unit_test(test_checkpoint),    cmocka_unit_test(test_backward),
        cmocka_unit_test(test_old_gradients), cmocka_unit_test(test_derivatives), cmocka_unit_test(test_scope),
        cmocka_unit_test(test_site),
        cmocka_unit_test(many_operands_are_not_all_shown),
        cmocka_unit_test(test_all_ops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
