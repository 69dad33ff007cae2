/* test_derivatives.c: derivatives of any order, functional forms, what they refuse, and ad_gradgradcheck. */
#include "autodiff/extend.h"
#include "tests/derivatives.h"

/* ---- high orders ---------------------------------------------------------------------------------------- */

/* Expected values: mpmath.diff(lambda y: exp(sin(y)), 0.7, k) with 30 digits. */
static void derivatives_up_to_order_five(void **state) {
    (void)state;
    static const double expected[] = { 1.4566392950360747, -0.11281116823489, -3.41970763127433, -4.51289901565769,
                                       11.08839594102903 };
    ad_graph *g = ad_graph_new();
    ad_var *y = param_item(g, AD_F64, 0.7), *d = ad_exp(ad_sin(y));
    for (int k = 0; k < 5; k++) {
        assert_int_equal(ad_gradient(d, 1, &y, &d), AD_OK);
        assert_close(ad_item(d), expected[k], 1e-12);
    }
    ad_graph_free(g);
}

/* f = sum tanh(W x)^3. With t = tanh(W x), H = W^T diag(6 t (1-t^2)^2 - 6 t^3 (1-t^2)) W. */
static const double w_values[] = { .5, -1, 2, 1.5, .25, -.75 };

static ad_var *cubed(ad_graph *g, ad_var *x) {
    return ad_sum(ad_pows(ad_tanh(ad_matmul(ad_tensor(g, AD_F64, w_values, AD_SHAPE(2, 3)), x)), 3));
}

static void expected_hessian(double h[3][3]) {
    memset(h, 0, 9 * sizeof(double));
    for (int i = 0; i < 2; i++) {
        const double *w = w_values + 3 * i;
        double t = tanh(w[0] * x_values[0] + w[1] * x_values[1] + w[2] * x_values[2]), s = 1 - t * t;
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++) h[j][k] += (6 * t * s * s - 6 * t * t * t * s) * w[j] * w[k];
    }
}

static void hessians_and_hessian_vector_products(void **state) {
    (void)state;
    static const double v_values[] = { 1, 2, 3 };
    static const double expected[] = { 2.0155817443465027, -5.138918775448977, 10.363049496033032 };
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *v = vector(g, 3, v_values), *y = cubed(g, x), *hv, *h, *d, *jv;
    assert_int_equal(ad_hvp(y, 1, &x, &v, &hv), AD_OK);
    assert_values(hv, 3, expected, 1e-12);
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    jv = ad_jvp(d, 1, &x, &v); /* forward over reverse */
    assert_values(jv, 3, expected, 1e-12);
    double full[3][3];
    expected_hessian(full);
    h = ad_hessian(y, x);
    assert_true(ad_shape_equal(ad_shape_of(h), AD_SHAPE(3, 3)));
    assert_values(h, 9, full[0], 1e-13);
    set_all(x, (double[]){ 0, 0, 0 }); /* the second derivative of tanh^3 is 0 here */
    assert_int_equal(ad_eval(h), AD_OK);
    for (int i = 0; i < 9; i++) assert_true(ad_at(h, i) == 0);
    ad_graph_free(g);
}

/* The third derivative of sum x^4 along (u, v, w) is 24 x u v w. */
static void derivatives_of_a_hessian_vector_product(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double u[] = { 1, -2 }, at[] = { 0.5, 3 };
    ad_var *x = vector(g, 2, at), *v = vector(g, 2, u), *hv, *third, *xs[] = { x, v }, *both[2];
    assert_int_equal(ad_hvp(ad_sum(ad_pows(x, 4)), 1, &x, &v, &hv), AD_OK);
    assert_values(hv, 2, ((double[]){ 12 * .25 * 1, 12 * 9 * -2 }), 1e-13);
    third = ad_jvp(hv, 1, &x, &v);
    assert_values(third, 2, ((double[]){ 24 * .5, 24 * 3 * 4 }), 1e-13);
    assert_int_equal(ad_gradient(ad_sum(hv), 2, xs, both), AD_OK); /* with respect to the vector too */
    assert_values(both[0], 2, ((double[]){ 24 * .5, 24 * 3 * -2 }), 1e-13);
    assert_values(both[1], 2, ((double[]){ 12 * .25, 12 * 9 }), 1e-13);
    ad_graph_free(g);
}

/* y = sum a^2 b has mixed blocks: H (u, v) = (2 b u + 2 a v, 2 a u). */
static void hessian_vector_products_of_several_vars(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double a[] = { 1, 2 }, b[] = { -3, .5 }, u[] = { 1, 10 }, v[] = { 2, -1 };
    ad_var *xs[] = { vector(g, 2, a), vector(g, 2, b) }, *vs[] = { vector(g, 2, u), vector(g, 2, v) }, *hs[2];
    ad_var *lone = param_item(g, AD_F64, 1), *with[] = { xs[0], lone }, *of[] = { vs[0], lone };
    ad_var *y = ad_sum(ad_mul(ad_square(xs[0]), xs[1]));
    assert_int_equal(ad_hvp(y, 2, xs, vs, hs), AD_OK);
    for (int i = 0; i < 2; i++) {
        assert_close(ad_at(hs[0], i), 2 * b[i] * u[i] + 2 * a[i] * v[i], 1e-14);
        assert_close(ad_at(hs[1], i), 2 * a[i] * u[i], 1e-14);
    }
    assert_int_equal(ad_hvp(y, 2, with, of, hs), AD_OK); /* y does not depend on lone */
    assert_close(ad_at(hs[0], 1), 2 * b[1] * u[1], 1e-14);
    assert_true(ad_item(hs[1]) == 0);
    ad_graph_free(g);
}

/* ---- forward mode, Jacobians -------------------------------------------------------------------------------- */

/* y = (a sin b, a^2, exp(a b)). */
static ad_var *curve(ad_var *a, ad_var *b) {
    return ad_stack(3, (ad_var *[]){ ad_mul(a, ad_sin(b)), ad_square(a), ad_exp(ad_mul(a, b)) }, 0);
}

static void jvp_of_several_vars(void **state) {
    (void)state;
    double a = 1.3, b = -.4, e = exp(a * b);
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { param_item(g, t, a), param_item(g, t, b) }, *ts[] = { ad_scalar(g, t, 2), ad_scalar(g, t, -3) };
        ad_var *y = curve(xs[0], xs[1]), *dy, *ddy;
        dy = ad_jvp(y, 2, xs, ts);
        assert_values(dy, 3, ((double[]){ 2 * sin(b) - 3 * a * cos(b), 4 * a, (2 * b - 3 * a) * e }), tolerance(t));
        ddy = ad_jvp(dy, 2, xs, ts); /* forward over forward */
        double s = 2 * b - 3 * a;
        assert_values(ddy, 3, ((double[]){ -12 * cos(b) - 9 * a * sin(b), 8, (s * s - 12) * e }), 10 * tolerance(t));
        dy = ad_jvp(y, 0, NULL, NULL);
        assert_values(dy, 3, ((double[]){ 0, 0, 0 }), 0);
        ad_var *other = param_item(g, t, 1);
        dy = ad_jvp(y, 1, &other, &other); /* y does not depend on other */
        assert_values(dy, 3, ((double[]){ 0, 0, 0 }), 0);
        ad_graph_free(g);
    }
}

/* y = x^2 A with x [m] and A [m,n]: J[j,i] = 2 x_i A_ij. The sizes make ad_jacobian work by rows and by columns. */
static void jacobians_by_rows_and_by_columns(void **state) {
    (void)state;
    static const int sizes[][2] = { { 2, 5 }, { 5, 2 }, { 3, 3 }, { 1, 4 }, { 4, 1 } };
    for (int s = 0; s < 5; s++) {
        int m = sizes[s][0], n = sizes[s][1];
        ad_graph *g = ad_graph_new();
        ad_seed(g, 3);
        ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(m))), *a = ad_randn(g, AD_F64, AD_SHAPE(m, n)), *jac, *dj;
        jac = ad_jacobian(ad_matmul(ad_square(x), a), x);
        assert_true(ad_shape_equal(ad_shape_of(jac), AD_SHAPE(n, m)));
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) assert_close(ad_at(jac, j * m + i), 2 * ad_at(x, i) * ad_at(a, i * n + j), 1e-14);
        assert_int_equal(ad_gradient(ad_sum(jac), 1, &x, &dj), AD_OK); /* the Jacobian is differentiable */
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int j = 0; j < n; j++) sum += 2 * ad_at(a, i * n + j);
            assert_close(ad_at(dj, i), sum, 1e-13);
        }
        ad_graph_free(g);
    }
}

/* ad_jacobian takes one pass per row or per column, whichever are fewer: here 2 instead of 100. */
static void jacobians_use_the_smaller_number_of_passes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(2)), *wide = ad_ones(g, AD_F64, AD_SHAPE(2, 100));
    ad_var *tall = ad_exp(ad_matmul(x, wide)), *flat = ad_exp(ad_matmul(wide, ad_exp(tall)));
    int64_t before = ad_graph_stats(g).ops;
    assert_false(ad_is_nil(ad_jacobian(tall, x)) || ad_is_nil(ad_jacobian(flat, tall)));
    assert_true(ad_graph_stats(g).ops - before < 60);
    ad_graph_free(g);
}

static void shapes_of_jacobians(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(2, 3)), *s = ad_param(g, AD_F32, NULL, AD_SCALAR), *j;
    j = ad_jacobian(ad_exp(ad_transpose(x)), x);
    assert_true(ad_shape_equal(ad_shape_of(j), AD_SHAPE(3, 2, 2, 3)) && ad_dtype_of(j) == AD_F32);
    for (int i = 0; i < 36; i++) /* y[a,b] = exp(x[b,a]) */
        assert_true(ad_at(j, i) == (i / 12 == i % 3 && i / 6 % 2 == i / 3 % 2 ? 1 : 0));
    j = ad_jacobian(ad_exp(s), s);
    assert_true(ad_shape_equal(ad_shape_of(j), AD_SCALAR) && ad_item(j) == 1);
    j = ad_jacobian(x, x); /* x by x: the identity */
    for (int i = 0; i < 36; i++) assert_true(ad_at(j, i) == (i / 6 == i % 6));
    j = ad_jacobian(ad_sum(x), s);
    assert_true(ad_item(j) == 0);
    ad_var *empty = ad_param(g, AD_F32, NULL, AD_SHAPE(0, 2));
    j = ad_jacobian(ad_exp(empty), x);
    assert_true(ad_shape_equal(ad_shape_of(j), AD_SHAPE(0, 2, 2, 3)));
    ad_var *cube = ad_param(g, AD_F32, NULL, AD_SHAPE(1, 2, 1, 2));
    j = ad_jacobian(ad_exp(cube), cube);
    assert_int_equal(ad_error_code(g), AD_ESHAPE);
    assert_true(ad_is_nil(j));
    assert_contains(ad_error(g), "jacobian");
    assert_contains(ad_error(g), "[1,2,1,2] by x [1,2,1,2]");
    ad_graph_free(g);
}

/* Block k of b: y[k] = (x_k0 z_k, x_k1^2 z_k, x_k0 x_k1), with x [b,2] and z [b]. */
static ad_var *blockwise(ad_var *x, ad_var *z) {
    ad_var *x0 = ad_select(x, 1, 0), *x1 = ad_select(x, 1, 1);
    return ad_stack(3, (ad_var *[]){ ad_mul(x0, z), ad_mul(ad_square(x1), z), ad_mul(x0, x1) }, 1);
}

static void jacobians_of_blocks(void **state) {
    (void)state;
    enum { B = 7 };
    ad_graph *g = ad_graph_new();
    ad_seed(g, 1);
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(B, 2))), *z = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(B)));
    ad_var *xs[] = { x, z }, *js[2], *rows[1];
    assert_int_equal(ad_jacobian_blocks(blockwise(x, z), 2, xs, js), AD_OK);
    assert_true(ad_shape_equal(ad_shape_of(js[0]), AD_SHAPE(B, 3, 2)) && ad_shape_equal(ad_shape_of(js[1]), AD_SHAPE(B, 3)));
    for (int k = 0; k < B; k++) {
        double a = ad_at(x, 2 * k), b = ad_at(x, 2 * k + 1), c = ad_at(z, k);
        double expected[] = { c, 0, 0, 2 * b * c, b, a }, by_z[] = { a, b * b, 0 };
        for (int i = 0; i < 6; i++) assert_close(ad_at(js[0], 6 * k + i), expected[i], 1e-14);
        for (int i = 0; i < 3; i++) assert_close(ad_at(js[1], 3 * k + i), by_z[i], 1e-14);
    }
    assert_int_equal(ad_jacobian_blocks(blockwise(x, z), 1, &z, rows), AD_OK); /* 1 column, 3 rows */
    for (int k = 0; k < 3 * B; k++) assert_close(ad_at(rows[0], k), ad_at(js[1], k), 1e-14);
    assert_int_equal(ad_jacobian_blocks(ad_sum(x), 1, &z, rows), AD_ESHAPE);
    assert_contains(ad_error(g), "without blocks");
    ad_clear_error(g);
    ad_var *other = ad_param(g, AD_F64, NULL, AD_SHAPE(B + 1));
    assert_int_equal(ad_jacobian_blocks(ad_exp(z), 1, &other, rows), AD_ESHAPE);
    assert_contains(ad_error(g), "y [7] and xs[0] [8]");
    ad_graph_free(g);
}

/* Per-sample gradients: the weights are expanded to one copy per sample. One pass gives all gradients. */
static void gradients_of_each_sample(void **state) {
    (void)state;
    enum { B = 5, IN = 3, OUT = 2 };
    ad_graph *g = ad_graph_new();
    ad_seed(g, 2);
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(B, 1, IN)), *w = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(IN, OUT)));
    ad_var *own = ad_expand(w, AD_SHAPE(B, IN, OUT)), *each;
    ad_var *losses = ad_sum_axis(ad_reshape(ad_square(ad_tanh(ad_matmul(x, own))), AD_SHAPE(B, OUT)), 1, false);
    int64_t before = ad_graph_stats(g).ops;
    assert_int_equal(ad_jacobian_blocks(losses, 1, &own, &each), AD_OK);
    assert_true(ad_graph_stats(g).ops - before < 30);
    assert_true(ad_shape_equal(ad_shape_of(each), AD_SHAPE(B, IN, OUT)));
    for (int b = 0; b < B; b++) {
        ad_zero_grad(losses);
        assert_int_equal(ad_backward(ad_select(losses, 0, b)), AD_OK);
        for (int i = 0; i < IN * OUT; i++) assert_close(ad_at(each, b * IN * OUT + i), ad_grad_at(w, i), 1e-13);
    }
    ad_graph_free(g);
}

/* ---- nesting, time, memory --------------------------------------------------------------------------------------- */

/* d/dx [x d/dy (x^2 y^2)] at y = x is 8 x^3. Perturbation confusion would give another value. */
static void no_perturbation_confusion_of_nested_jvp(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 1.5), *one = ad_scalar(g, AD_F64, 1), *inner, *outer;
    ad_var *y = ad_muls(x, 1); /* y is a different Var that depends on x */
    inner = ad_jvp(ad_mul(ad_square(x), ad_square(y)), 1, &y, &one); /* 2 x^2 y */
    assert_close(ad_item(inner), 2 * 1.5 * 1.5 * 1.5, 1e-14);
    outer = ad_jvp(ad_mul(x, inner), 1, &x, &one); /* d/dx 2 x^4 */
    assert_close(ad_item(outer), 8 * 1.5 * 1.5 * 1.5, 1e-14);
    ad_graph_free(g);
}

/* A derivative by the newest Var after each of n steps: x <- x - 0.1 d/dx x^4. What is older than x has no part in it. */
static double descend(int n) {
    ad_graph *g = ad_graph_new();
    double start = processor_seconds();
    ad_var *x = ad_param(g, AD_F64, &(double){ 0.5 }, AD_SCALAR), *first = x, *d;
    for (int i = 0; i < n; i++) {
        assert_int_equal(ad_gradient(ad_square(ad_square(x)), 1, &x, &d), AD_OK);
        x = ad_sub(x, ad_muls(d, 0.1));
    }
    double seconds = processor_seconds() - start;
    assert_int_equal(ad_backward(x), AD_OK); /* through all steps */
    double at = 0.5, slope = 1;
    for (int i = 0; i < n; i++) slope *= 1 - 1.2 * at * at, at -= 0.4 * at * at * at;
    assert_close(ad_item(x), at, 1e-12);
    assert_close(ad_grad_item(first), slope, 1e-12);
    ad_graph_free(g);
    return seconds;
}

static void derivatives_within_a_loop_take_linear_time(void **state) {
    (void)state;
    double once = descend(300), tenfold = descend(3000);
    assert_true(tenfold < 40 * once + 0.02); /* quadratic time would be a factor of 100 */
}

/* The number of Ops that a Hessian-vector product records for a chain of n steps. It must be linear in n. */
static int64_t ops_of_second_order(int n, double *seconds) {
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.5), *y = x, *v = ad_scalar(g, AD_F64, 1), *hv;
    for (int i = 0; i < n; i++) y = ad_add(ad_sin(y), ad_mul(y, x));
    double start = processor_seconds();
    assert_int_equal(ad_hvp(y, 1, &x, &v, &hv), AD_OK);
    *seconds = processor_seconds() - start;
    int64_t ops = ad_graph_stats(g).ops;
    ad_graph_free(g);
    return ops;
}

static void second_derivatives_take_linear_time(void **state) {
    (void)state;
    double once, tenfold;
    int64_t few = ops_of_second_order(2000, &once), many = ops_of_second_order(20000, &tenfold);
    assert_true(many <= 10 * few + few / 10 && few <= 60 * 2000);
    assert_true(tenfold < 60 * once + 0.05); /* quadratic time would be a factor of 100 */
}

static void repeated_passes_allocate_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *v = vector(g, 3, x_values), *out, *h;
    int64_t after = 0;
    for (int i = 0; i < 6; i++) {
        ad_mark m = ad_begin(g);
        ad_var *y = cubed(g, x), *d;
        assert_int_equal(ad_hvp(y, 1, &x, &v, &out), AD_OK);
        assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
        out = ad_jvp(d, 1, &x, &v);
        h = ad_hessian(y, x);
        assert_true(!ad_is_nil(h));
        ad_end(g, m);
        if (i == 2) after = ad_graph_stats(g).allocs;
    }
    assert_int_equal(ad_graph_stats(g).allocs, after);
    ad_graph_free(g);
}

/* ---- invalid calls ----------------------------------------------------------------------------------------------- */

static void strict_gradients(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2), *u = param_item(g, AD_F64, 1), *xs[] = { x, u }, *dxs[2];
    ad_var *y = ad_mul(ad_square(x), ad_detach(u));
    assert_int_equal(ad_gradient_strict(y, 1, xs, dxs), AD_OK);
    assert_true(ad_item(dxs[0]) == 4);
    assert_int_equal(ad_gradient(y, 2, xs, dxs), AD_OK);
    assert_true(ad_item(dxs[1]) == 0);
    assert_int_equal(ad_gradient_strict(y, 2, xs, dxs), AD_EGRAD);
    assert_contains(ad_error(g), "gradient_strict: y does not depend on xs[1]");
    ad_graph_free(g);
}

static void invalid_calls_of_functional_forms_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *narrow = ad_param(g, AD_F32, NULL, AD_SHAPE(3)), *out = x, *y = ad_sum(ad_exp(x));
    ad_var *foreign = vector(other, 3, x_values), *missing = NULL;
    FAILS_WITH_NIL(ad_jvp(y, 1, &x, &y), AD_ESHAPE, "jvp: xs[0] is f64 [3] and vector 0 is f64 []");
    FAILS_WITH_NIL(ad_jvp(y, 1, &x, &narrow), AD_EDTYPE, "f32");
    FAILS_WITH_NIL(ad_jvp(y, 1, &x, &foreign), AD_EGRAPH, "two graphs");
    FAILS_WITH_NIL(ad_jvp(y, 1, &x, NULL), AD_EVALUE, "vectors are NULL");
    FAILS_WITH_NIL(ad_jvp(y, 1, &missing, &x), AD_EVALUE, "xs[0] is nil");
    FAILS_WITH_NIL(ad_jvp(y, -1, &x, &x), AD_EVALUE, "-1");
    FAILS(ad_hvp(ad_exp(x), 1, &x, &x, &out), AD_ESHAPE, "hvp: y is [3]");
    FAILS(ad_hvp(y, 1, &x, &missing, &out), AD_EVALUE, "vector 0 is nil");
    FAILS(ad_hvp(y, 1, &x, &x, NULL), AD_EVALUE, "results is NULL");
    FAILS_WITH_NIL(ad_jacobian(y, missing), AD_EVALUE, "jacobian");
    FAILS_WITH_NIL(ad_jacobian(y, foreign), AD_EGRAPH, "two graphs");
    FAILS_WITH_NIL(ad_hessian(ad_exp(x), x), AD_ESHAPE, "not one element");
    FAILS(ad_jacobian_blocks(y, 1, &x, NULL), AD_EVALUE, "js is NULL");
    assert_true(ad_is_nil(ad_jvp(NULL, 1, &x, &x)));
    assert_true(ad_is_nil(ad_jacobian(NULL, x)) && ad_is_nil(ad_hessian(NULL, x)));
    ad_graph_free(g);
    ad_graph_free(other);
}

/* A Var of a closed scope is reported while its memory is not reused. Under AddressSanitizer the memory is poisoned, so
   reading such a Var would end the program. */
static void vars_of_closed_scopes(void **state) {
    (void)state;
#ifndef SANITIZED
    ad_graph *g = ad_graph_new();
    ad_var *x = vector(g, 3, x_values), *dx;
    ad_mark m = ad_begin(g);
    ad_var *y = ad_sum(ad_exp(x)), *leaf = ad_ones(g, AD_F64, AD_SCALAR);
    assert_int_equal(ad_backward(y), AD_OK);
    ad_end(g, m);
    FAILS(ad_backward(y), AD_EGRAPH, "backward: a Var was given whose scope is closed");
    FAILS(ad_eval(y), AD_EGRAPH, "scope is closed");
    FAILS(ad_gradient(y, 1, &x, &dx), AD_EGRAPH, "scope is closed");
    FAILS(ad_gradient(ad_sum(x), 1, &leaf, &dx), AD_EGRAPH, "scope is closed");
    ad_graph_free(g);
#endif
}

/* ---- ad_gradgradcheck -------------------------------------------------------------------------------------------- */

static ad_var *smooth_expression(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mul(ad_softmax(ad_matmul(xs[0], xs[1]), -1), ad_logsumexp_axis(ad_tanh(xs[0]), 1, true));
}

/* y = x^3. The vjp has the correct value but is not differentiable, because 3 x^2 is computed as a C number. */
static int cube_evaluate(const ad_op *op) {
    double x = ad_item(ad_op_operand(op, 0));
    return *(double *)ad_values(op) = x * x * x, AD_OK;
}
static void cube_backward(const ad_op *op) {
    double x = ad_item(ad_op_operand(op, 0)), *dx = ad_grad_into(op, 0);
    if (dx != NULL) *dx += 3 * x * x * ad_grad_item(ad_op_result(op));
}
static void cube_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    double x = ad_item(ad_op_operand(op, 0));
    dx[0] = ad_muls(g, 3 * x * x);
}
static const ad_optype op_cube = { .name = "cube", .arity = 1, .evaluate = { NULL, cube_evaluate },
                                   .backward = { NULL, cube_backward }, .vjp = cube_vjp };
static ad_var *constant_gradient(int n, ad_var *const xs[], void *user) {
    (void)user;
    return ad_apply(&op_cube, n, xs, NULL);
}

static void gradgradcheck_accepts_and_finds(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_seed(g, 4);
    ad_var *xs[] = { ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 3))), ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(3, 4))) };
    ad_check_report r;
    assert_int_equal(ad_gradgradcheck(smooth_expression, NULL, 2, xs, NULL, &r), AD_OK);
    assert_true(r.ok && r.compared == 6 + 12 + 8 && ad_graph_stats(g).ops == 0);
    ad_var *x = param_item(g, AD_F64, 1.5);
    assert_int_equal(ad_gradcheck(constant_gradient, NULL, 1, &x, NULL, &r), AD_OK);
    assert_int_equal(ad_gradgradcheck(constant_gradient, NULL, 1, &x, NULL, &r), AD_ECHECK);
    assert_true(!r.ok && r.operand == 0 && r.analytic == 0);
    assert_string_equal(r.op, "cube");
    assert_int_equal(ad_gradgradcheck(constant_gradient, NULL, 1, &x, NULL, NULL), AD_ECHECK);
    assert_ok(g);
    assert_true(ad_gradgradcheck(NULL, NULL, 1, &x, NULL, &r) != AD_OK && r.message[0] != 0);
    ad_graph_free(g);
}

/* x^2 for some calls, then another result. */
typedef struct {
    ad_var *then;
    int good;
} turning;
static ad_var *turning_result(int n, ad_var *const xs[], void *user) {
    turning *t = user;
    (void)n;
    return t->good-- > 0 ? ad_square(xs[0]) : t->then;
}

static void results_that_cannot_be_checked(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2);
    ad_var *bad[] = { NULL, param_item(other, AD_F64, 3), param_item(g, AD_F32, 1), ad_nil(g) };
    for (int i = 0; i < 4; i++)
        for (int good = 0; good < 12; good++) {
            turning once = { bad[i], good }, twice = once;
            ad_check_report r;
            int rc = ad_gradcheck(turning_result, &once, 1, &x, NULL, &r);
            assert_true(rc == AD_OK ? once.good >= 0 : r.message[0] != 0 && !r.ok);
            ad_clear_error(g);
            rc = ad_gradgradcheck(turning_result, &twice, 1, &x, NULL, &r);
            assert_true(rc == AD_OK ? twice.good >= 0 : r.message[0] != 0 && !r.ok);
            assert_true(good > 0 || strstr(r.message, "gradcheck: ") != NULL);
            ad_clear_error(g);
            ad_clear_error(other);
        }
    ad_graph_free(g), ad_graph_free(other);
}

/* ---- every op of the table: second derivatives ------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    const ad_sample_case *c;
    int64_t compared;
    int checked, skipped;
} table_check;

static ad_var *apply_case(int n, ad_var *const xs[], void *user) {
    const ad_sample_case *c = ((table_check *)user)->c;
    return ad_apply(c->type, n, xs, c->attrs);
}

/* Checks smooth f64 samples that are small enough for finite differences. */
static int second_derivatives_of_case(const ad_sample_case *c, void *data) {
    table_check *t = data;
    int64_t numel = 0;
    for (int i = 0; i < c->n; i++) numel += ad_shape_numel(c->shapes[i]);
    if (c->flags & AD_SAMPLE_KINK || numel > 40) return t->skipped++, AD_OK;
    ad_var *xs[16];
    for (int i = 0; i < c->n; i++) {
        bool constant = c->type->no_grad >> i & 1;
        xs[i] = constant ? ad_tensor(t->g, AD_F64, c->values[i], c->shapes[i])
                         : ad_param(t->g, AD_F64, c->values[i], c->shapes[i]);
    }
    t->c = c;
    ad_var *y = apply_case(c->n, xs, t);
    if (ad_error_code(t->g) == AD_EABSENT) return AD_EABSENT; /* the build has no LAPACK */
    bool finite = ad_dtype_of(y) == AD_F64 && numel > 0; /* without elements the gradient of a mean or norm is 0/0 */
    for (int64_t k = 0; k < ad_numel(y); k++) finite &= isfinite(ad_at(y, k));
    if (!finite) return t->skipped++, ad_error_code(t->g);
    ad_check_report r;
    int rc = ad_gradgradcheck(apply_case, t, c->n, xs, NULL, &r);
    if (rc != AD_OK) print_error("%s, sample %d: %s\n", c->type->name, c->index, r.message);
    t->compared += r.compared;
    t->checked++;
    return rc;
}

static void second_derivatives_of_every_op(void **state) {
    (void)state;
    int wrong = 0, ops = 0;
    int64_t compared = 0;
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) {
        if ((*t)->flags & AD_OP_CONSTANT) continue;
        ad_graph *g = ad_graph_new();
        table_check check = { .g = g };
        int rc = ad_each_sample(g, *t, second_derivatives_of_case, &check);
        if (rc != AD_OK && rc != AD_EABSENT) wrong++;
        bool rejects = (*t)->flags & AD_OP_RANDOM; /* differences are no test of an op that rejects random numbers */
        if (rc == AD_OK && check.checked == 0 && !rejects) print_error("%s: no sample for second derivatives\n", (*t)->name), wrong++;
        compared += check.compared;
        ops++;
        ad_graph_free(g);
    }
    print_message("second derivatives: %d ops, %lld numbers compared\n", ops, (long long)compared);
    assert_int_equal(wrong, 0);
}

/* ---- forms under ad_enable_grad(g, false) ------------------------------------------------------------------------ */

/* y = sum x^3 at x = (1,2), with v = (1,1). Each form returns one Var. */
typedef ad_var *form(ad_var *y, ad_var *x, ad_var *v);

static ad_var *by_gradient(ad_var *y, ad_var *x, ad_var *v) { return (void)v, ad_gradient(y, 1, &x, &v), v; }
static ad_var *by_gradient_strict(ad_var *y, ad_var *x, ad_var *v) { return ad_gradient_strict(y, 1, &x, &v), v; }
static ad_var *by_vjp(ad_var *y, ad_var *x, ad_var *v) {
    return ad_vjp(y, ad_full(ad_graph_of(x), AD_F64, 2, AD_SCALAR), 1, &x, &v), v;
}
static ad_var *by_jvp(ad_var *y, ad_var *x, ad_var *v) { return ad_jvp(y, 1, &x, &v); }
static ad_var *by_hvp(ad_var *y, ad_var *x, ad_var *v) {
    ad_var *h;
    return ad_hvp(y, 1, &x, &v, &h), h;
}
static ad_var *by_jacobian(ad_var *y, ad_var *x, ad_var *v) { return (void)v, ad_jacobian(y, x); }
static ad_var *by_hessian(ad_var *y, ad_var *x, ad_var *v) { return (void)v, ad_hessian(y, x); }
static ad_var *by_gradient_of_gradient(ad_var *y, ad_var *x, ad_var *v) {
    ad_var *d;
    return ad_gradient(y, 1, &x, &d), ad_vjp(d, v, 1, &x, &d), d;
}
static ad_var *by_jvp_of_gradient(ad_var *y, ad_var *x, ad_var *v) {
    ad_var *d;
    return ad_gradient(y, 1, &x, &d), ad_jvp(d, 1, &x, &v);
}
static ad_var *by_blocks(ad_var *y, ad_var *x, ad_var *v) {
    ad_var *d, *j;
    return ad_gradient(y, 1, &x, &d), ad_jacobian_blocks(d, 1, &x, &j), (void)v, j;
}

static ad_var *by_objective(ad_var *y, ad_var *x, ad_var *v) {
    double at[2] = { 1, 2 }, grad[2];
    ad_objective *f = ad_objective_new(y, 1, &x);
    return (void)v, ad_value_and_gradient(at, grad, f), ad_tensor(ad_graph_of(x), AD_F64, grad, AD_SHAPE(2));
}
static ad_var *cubes(int n, ad_var *const xs[], void *user) { return (void)n, (void)user, ad_pows(xs[0], 3); }
static ad_var *by_checks(ad_var *y, ad_var *x, ad_var *v) {
    ad_check_report r = { 0 }, s = { 0 };
    int rc = ad_gradcheck(cubes, NULL, 1, &x, NULL, &r), rc2 = ad_gradgradcheck(cubes, NULL, 1, &x, NULL, &s);
    double numbers[] = { rc == AD_OK && rc2 == AD_OK ? (double)r.compared : -1, (double)s.compared };
    return (void)y, (void)v, ad_tensor(ad_graph_of(x), AD_F64, numbers, AD_SHAPE(2));
}

static const struct {
    const char *name;
    form *form;
    int n;
    double expected[4], slope[2]; /* slope: of the sum of the result; 0 if the result is no expression of x */
} forms[] = {
    { "gradient", by_gradient, 2, { 3, 12 }, { 6, 12 } },
    { "gradient_strict", by_gradient_strict, 2, { 3, 12 }, { 6, 12 } },
    { "vjp", by_vjp, 2, { 6, 24 }, { 12, 24 } },
    { "jvp", by_jvp, 1, { 15 }, { 6, 12 } },
    { "hvp", by_hvp, 2, { 6, 12 }, { 6, 6 } },
    { "jacobian", by_jacobian, 2, { 3, 12 }, { 6, 12 } },
    { "hessian", by_hessian, 4, { 6, 0, 0, 12 }, { 6, 6 } },
    { "gradient of gradient", by_gradient_of_gradient, 2, { 6, 12 }, { 6, 6 } },
    { "jvp of gradient", by_jvp_of_gradient, 2, { 6, 12 }, { 6, 6 } },
    { "jacobian_blocks", by_blocks, 2, { 6, 12 }, { 6, 6 } },
    { "value_and_gradient", by_objective, 2, { 3, 12 }, { 0, 0 } },
    { "gradcheck, gradgradcheck", by_checks, 2, { 4, 4 }, { 0, 0 } },
};

static ad_var *plain_cubes(ad_var *x) { return ad_sum(ad_pows(x, 3)); }
static ad_var *cubes_in_a_checkpoint(ad_var *x) { return ad_sum(ad_checkpoint(cubes, NULL, 1, &x)); }
static void cube_rule(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)y, (void)user;
    dxs[0] = ad_mul(g, ad_muls(ad_square(xs[0]), 3));
}
static ad_var *cubes_by_a_rule(ad_var *x) {
    return ad_sum(ad_custom(ad_pows(ad_detach(x), 3), 1, &x, cube_rule, NULL));
}
static ad_var *cubes_by_jvp(ad_var *x) { /* d (x^4 / 4) / dx along ones */
    ad_var *ones = ad_ones(ad_graph_of(x), AD_F64, AD_SHAPE(2));
    return ad_jvp(ad_sum(ad_muls(ad_pows(x, 4), 0.25)), 1, &x, &ones);
}

static void compare_form(size_t i, ad_var *y, ad_var *x, bool enabled) {
    ad_graph *g = ad_graph_of(x);
    ad_var *v = ad_ones(g, AD_F64, AD_SHAPE(2)), *d;
    bool was = ad_enable_grad(g, enabled);
    ad_var *result = forms[i].form(y, x, v);
    assert_ok(g);
    assert_true(ad_enable_grad(g, was) == enabled);
    assert_values_in(forms[i].name, result, forms[i].n, forms[i].expected, 1e-13);
    assert_int_equal(ad_gradient(ad_sum(result), 1, &x, &d), AD_OK);
    assert_values_in(forms[i].name, d, 2, forms[i].slope, 1e-13);
}

static void forms_do_not_depend_on_enable_grad(void **state) {
    (void)state;
    ad_var *(*const ways[])(ad_var *) = { plain_cubes, cubes_in_a_checkpoint, cubes_by_a_rule, cubes_by_jvp };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (int w = 0; w < 4; w++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = vector(g, 2, (double[]){ 1, 2 }), *y = ways[w](x);
            compare_form(i, y, x, true);
            compare_form(i, y, x, false);
            ad_graph_free(g);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_up_to_order_five),
        cmocka_unit_test(hessians_and_hessian_vector_products),
        cmocka_unit_test(derivatives_of_a_hessian_vector_product),
        cmocka_unit_test(hessian_vector_products_of_several_vars),
        cmocka_unit_test(jvp_of_several_vars),
        cmocka_unit_test(jacobians_by_rows_and_by_columns),
        cmocka_unit_test(jacobians_use_the_smaller_number_of_passes),
        cmocka_unit_test(shapes_of_jacobians),
        cmocka_unit_test(jacobians_of_blocks),
        cmocka_unit_test(gradients_of_each_sample),
        cmocka_unit_test(no_perturbation_confusion_of_nested_jvp),
        cmocka_unit_test(second_derivatives_take_linear_time),
        cmocka_unit_test(derivatives_within_a_loop_take_linear_time),
        cmocka_unit_test(repeated_passes_allocate_nothing),
        cmocka_unit_test(strict_gradients),
        cmocka_unit_test(invalid_calls_of_functional_forms_are_reported),
        cmocka_unit_test(vars_of_closed_scopes),
        cmocka_unit_test(gradgradcheck_accepts_and_finds),
        cmocka_unit_test(results_that_cannot_be_checked),
        cmocka_unit_test(second_derivatives_of_every_op),
        cmocka_unit_test(forms_do_not_depend_on_enable_grad),
    };
    return cmocka_run_group_tests_name("derivatives", tests, NULL, NULL);
}
