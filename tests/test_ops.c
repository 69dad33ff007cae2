/* test_ops.c: ad_check_op for every op of the table; conventions, aliasing, accuracy, bad operands. */
#include "tests/common.h"

static ad_var *scalar(ad_graph *g, double v) { return ad_param(g, AD_F64, &v, AD_SCALAR); }

/* ---- every op, every sample ------------------------------------------------------------------------------- */

static int64_t all_ops, all_checks;

static void samples_of_op(void **state) {
    const ad_optype *type = *state;
    ad_graph *g = ad_graph_new();
    ad_check_report report;
    int rc = ad_check_op(g, type, &report);
    if (rc != AD_OK && rc != AD_EABSENT) fail_msg("%s", report.message);
    if (rc == AD_EABSENT) {
        print_message("%s\n", report.message);
        ad_graph_free(g);
        skip();
    }
    assert_true(report.compared > 0);
    all_ops++, all_checks += report.compared;
    assert_true(ad_ok(g));
    assert_int_equal(ad_graph_stats(g).ops, 0);
    assert_ptr_equal(ad_find_op(g, type->name), type);
    ad_graph_free(g);
}

static void every_op_has_documentation_and_rules(void **state) {
    (void)state;
    for (const ad_optype *const *t = ad_optypes(); *t; t++) {
        assert_non_null((*t)->doc);
        assert_non_null((*t)->formula);
        assert_non_null((*t)->samples);
        if ((*t)->flags & AD_OP_CONSTANT) continue;
        assert_non_null((*t)->gradient);
        assert_non_null((*t)->vjp);
    }
}

static void find_and_register_ops_by_name(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_null(ad_find_op(g, "no_such_op"));
    assert_null(ad_find_op(g, NULL));
    ad_optype own = ad_op_sin;
    own.name = "own";
    assert_int_equal(ad_register_op(g, &own), AD_OK);
    assert_ptr_equal(ad_find_op(g, "own"), &own);
    assert_int_equal(ad_register_op(g, &ad_op_sin), AD_EVALUE); /* the name is taken */
    ad_graph_free(g);
}

/* ---- conventions at special points: values of PyTorch 1.13 -------------------------------------------------- */

typedef struct {
    const char *name;
    ad_var *(*f)(ad_var *);
    double x, y, dx;
} point;

static ad_var *pow0(ad_var *x) { return ad_pows(x, 0); }
static ad_var *pow2(ad_var *x) { return ad_pows(x, 2); }
static ad_var *pow_half(ad_var *x) { return ad_pows(x, 0.5); }

static void unary_conventions(void **state) {
    (void)state;
    const point points[] = {
        { "relu", ad_relu, 0, 0, 0 },
        { "relu", ad_relu, -3, 0, 0 },
        { "relu", ad_relu, NAN, NAN, 1 },
        { "abs", ad_abs, 0, 0, 0 },
        { "abs", ad_abs, -2, 2, -1 },
        { "sqrt", ad_sqrt, 0, 0, INFINITY },
        { "sign", ad_sign, -2, -1, 0 },
        { "log", ad_log, 0, -INFINITY, INFINITY },
        { "exp", ad_exp, 1000, INFINITY, INFINITY },
        { "tanh", ad_tanh, 1000, 1, 0 },
        { "pows(x, 0)", pow0, 0, 1, 0 },
        { "pows(x, 2)", pow2, 0, 0, 0 },
        { "pows(x, .5)", pow_half, 0, 0, INFINITY },
        { "log1p", ad_log1p, 1e-20, 1e-20, 1 },
        { "expm1", ad_expm1, 1e-20, 1e-20, 1 },
        /* PyTorch loses these digits. Values: mpmath, 50 digits. */
        { "sigmoid", ad_sigmoid, 40, 1, 4.2483542552915889773e-18 },
        { "sigmoid", ad_sigmoid, -700, 9.8596765437597708567e-305, 9.8596765437597708567e-305 },
        { "softplus", ad_softplus, 25, 25.000000000013887943, 0.99999999998611205614 },
        { "softplus", ad_softplus, -40, 4.2483542552915889773e-18, 4.2483542552915889773e-18 },
    };
    for (int i = 0; i < COUNT(points); i++) {
        const point *p = &points[i];
        ad_graph *g = ad_graph_new();
        ad_var *x = scalar(g, p->x), *y = p->f(x);
        assert_int_equal(ad_backward(y), AD_OK);
        print_message("%s at %g\n", p->name, p->x);
        assert_relative(ad_item(y), p->y, 1e-15);
        assert_relative(ad_grad_item(x), p->dx, 1e-14);
        ad_graph_free(g);
    }
}

static void binary_conventions(void **state) {
    (void)state;
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *, ad_var *);
        double a, b, y, da, db;
    } points[] = {
        { "maximum", ad_maximum, 3, 3, 3, 0.5, 0.5 },
        { "minimum", ad_minimum, -1, -1, -1, 0.5, 0.5 },
        { "maximum", ad_maximum, 1, 2, 2, 0, 1 },
        { "maximum", ad_maximum, 0, NAN, NAN, 1, 1 },
        { "pow", ad_pow, 0, 0, 1, 0, 0 },
        { "pow", ad_pow, 0, 2, 0, 0, 0 },
        { "pow", ad_pow, 0, 1, 0, 1, 0 },
        { "pow", ad_pow, -2, 3, -8, 12, NAN },
        { "div", ad_div, 1, 0, INFINITY, INFINITY, -INFINITY },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = scalar(g, points[i].a), *b = scalar(g, points[i].b), *y = points[i].f(a, b);
        assert_int_equal(ad_backward(y), AD_OK);
        print_message("%s(%g, %g)\n", points[i].name, points[i].a, points[i].b);
        assert_relative(ad_item(y), points[i].y, 1e-15);
        assert_relative(ad_grad_item(a), points[i].da, 1e-15);
        assert_relative(ad_grad_item(b), points[i].db, 1e-15);
        ad_graph_free(g);
    }
}

static void ties_share_the_gradient(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 4, 4, 0, 4, 4 }, AD_SHAPE(2, 3));
    ad_backward(ad_max(x));
    const double all[] = { 0, .25, .25, 0, .25, .25 };
    for (int i = 0; i < 6; i++) assert_relative(ad_grad_at(x, i), all[i], 0);
    ad_zero_grad(x);
    ad_backward(ad_sum(ad_min_axis(x, 0, false)));
    const double columns[] = { 0, .5, .5, 1, .5, .5 };
    for (int i = 0; i < 6; i++) assert_relative(ad_grad_at(x, i), columns[i], 0);
    ad_graph_free(g);
}

/* ---- aliasing: one Var as several operands --------------------------------------------------------------------- */

static void one_var_as_both_operands(void **state) {
    (void)state;
    const struct {
        ad_var *(*f)(ad_var *, ad_var *);
        double y, dx; /* at x = 3, where y = f(x, x) */
    } cases[] = {
        { ad_add, 6, 2 },      { ad_sub, 0, 0 }, { ad_mul, 9, 6 },
        { ad_div, 1, 0 },      { ad_pow, 27, 56.662531794038966 }, /* x^x (1 + log x) */
        { ad_maximum, 3, 1 },  { ad_minimum, 3, 1 },
    };
    for (int i = 0; i < COUNT(cases); i++)
        for (int n = 1; n <= 100; n += 99) { /* n = 1: the scalar path; n = 100: the loops */
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_require_grad(ad_full(g, AD_F64, 3, AD_SHAPE(n)));
            ad_backward(ad_sum(cases[i].f(x, x)));
            assert_relative(ad_grad_at(x, n - 1), cases[i].dx, 1e-14);
            ad_graph_free(g);
        }
}

static void matmul_of_a_matrix_with_itself(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2));
    ad_var *y = ad_matmul(x, x);
    ad_backward(ad_sum(y));
    /* d sum(XX) / dX = 1 X^T + X^T 1 */
    const double want_y[] = { 7, 10, 15, 22 }, want_dx[] = { 7, 11, 9, 13 };
    for (int i = 0; i < 4; i++) assert_relative(ad_at(y, i), want_y[i], 0);
    for (int i = 0; i < 4; i++) assert_relative(ad_grad_at(x, i), want_dx[i], 0);
    ad_graph_free(g);
}

static ad_var *aliased_expression(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    ad_var *x = xs[0];
    return ad_sum(ad_mul(ad_affine(x, x, ad_sum_axis(x, 0, false)), ad_matmul(x, ad_transpose(x))));
}

static void one_var_as_every_operand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2));
    ad_check_report report;
    if (ad_gradcheck(aliased_expression, NULL, 1, &x, NULL, &report)) fail_msg("%s", report.message);
    ad_graph_free(g);
}

/* ---- large inputs, long sums ------------------------------------------------------------------------------------ */

static void assert_finite(const ad_var *x, double (*at)(const ad_var *, int64_t)) {
    for (int64_t i = 0; i < ad_numel(x); i++) assert_true(isfinite(at(x, i)));
}

static void softmax_family_is_finite_for_huge_inputs(void **state) {
    (void)state;
    const double huge[] = { 1e4, -1e4, 0, -1e4, -1e4, -1e4, 1e4, 1e4, 1e4 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int axis = 0; axis < 2; axis++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_cast(ad_param(g, AD_F64, huge, AD_SHAPE(3, 3)), (ad_dtype)t);
            ad_var *classes = ad_cast(ad_tensor(g, AD_F64, (double[]){ 1, 0, 2 }, AD_SHAPE(3)), (ad_dtype)t);
            ad_var *ys[] = { ad_softmax(x, axis), ad_log_softmax(x, axis), ad_logsumexp_axis(x, axis, false),
                             ad_logsumexp(x), ad_cross_entropy(x, classes) };
            for (int i = 0; i < COUNT(ys); i++) {
                assert_finite(ys[i], ad_at);
                assert_int_equal(ad_backward(ad_sum(ys[i])), AD_OK);
                assert_finite(x, ad_grad_at);
            }
            assert_relative(ad_item(ys[4]), (20000 + 1.0986122886681098 + 1.0986122886681098) / 3, 1e-6);
            ad_graph_free(g);
        }
}

/* 0.1f is 0.100000001490116... A naive f32 sum of 2e7 such terms stops growing at 2^21, 4.9 % above the sum. */
static void long_f32_sums_are_accurate(void **state) {
    (void)state;
    int64_t n = getenv("AD_TEST_QUICK") ? 200000 : 20000000;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F32, 0.1, AD_SHAPE(n / 100, 100)), *k = ad_param(g, AD_F32, (float[]){ 2 }, AD_SCALAR);
    double want = (double)0.1f * (double)n;
    assert_relative(ad_item(ad_sum(x)), want, 1e-7);
    assert_relative(ad_item(ad_mean(x)), (double)0.1f, 1e-7);
    assert_relative(ad_at(ad_sum_axis(x, 0, false), 99), want / 100, 1e-7);
    ad_keep_grads(g, false);
    ad_backward(ad_sum(ad_mul(x, k))); /* k is broadcast n times */
    assert_relative(ad_grad_item(k), want, 1e-7);
    assert_true(ad_ok(g));
    ad_graph_free(g);
}

static void f64_sums_are_compensated(void **state) {
    (void)state;
    enum { N = 3 * 4096 };
    double *x = calloc(N, sizeof *x);
    x[0] = 1e16, x[4096] = 1, x[N - 1] = -1e16;
    ad_graph *g = ad_graph_new();
    assert_relative(ad_item(ad_sum(ad_input(g, AD_F64, x, AD_SHAPE(N)))), 1, 0);
    x[5] = INFINITY;
    assert_relative(ad_item(ad_sum(ad_input(g, AD_F64, x, AD_SHAPE(N)))), INFINITY, 0);
    x[6] = -INFINITY;
    assert_true(isnan(ad_item(ad_sum(ad_input(g, AD_F64, x, AD_SHAPE(N))))));
    ad_graph_free(g);
    free(x);
}

/* ---- vector loops against the scalar path -------------------------------------------------------------------------- */

/* Vector loops have an error of at most 4 ulp, scalar functions of 1 ulp. Sizes and alignments vary, and the data
   includes special values. */
static void vector_loops_against_scalar_path(void **state) {
    (void)state;
    ad_var *(*const fs[])(ad_var *) = { ad_exp,  ad_expm1, ad_log,     ad_log1p, ad_sin,      ad_cos,  ad_tanh,
                                        ad_sqrt, ad_abs,   ad_sigmoid, ad_relu,  ad_softplus, ad_sign, ad_square };
    double special[] = { 0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e-310, 700, -700, 0.5 };
    for (int f = 0; f < COUNT(fs); f++)
        for (int n = 2; n <= 40; n += 19)
            for (int shift = 0; shift < 3; shift++) {
                ad_graph *g = ad_graph_new();
                double data[64];
                for (int i = 0; i < 64; i++) data[i] = i < COUNT(special) ? special[i] : sin(i) * 5;
                ad_var *y = fs[f](ad_input(g, AD_F64, data + shift, AD_SHAPE(n)));
                for (int i = 0; i < n; i++)
                    assert_relative(ad_at(y, i), ad_item(fs[f](ad_scalar(g, AD_F64, data[shift + i]))), 5 * 2.3e-16);
                ad_graph_free(g);
            }
}

/* ---- bad operands ---------------------------------------------------------------------------------------------------- */

static void bad_shapes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *s = ad_zeros(g, AD_F64, AD_SCALAR);
    ad_var *v = ad_zeros(g, AD_F64, AD_SHAPE(4));
    assert_fails(g, ad_matmul(a, a), AD_ESHAPE, "matmul: [2,3] x [2,3]: inner sizes 3 and 2 differ; transpose one?");
    assert_fails(g, ad_matmul(a, s), AD_ESHAPE, "ad_mul");
    assert_fails(g, ad_matmul(ad_zeros(g, AD_F64, AD_SHAPE(2, 2, 3)), ad_zeros(g, AD_F64, AD_SHAPE(3, 3, 2))), AD_ESHAPE,
                 "leading axes");
    assert_fails(g, ad_add(a, v), AD_ESHAPE, "add: [2,3] x [4]");
    assert_fails(g, ad_affine(a, ad_zeros(g, AD_F64, AD_SHAPE(5, 2)), NULL), AD_ESHAPE, "3 inputs and w takes 2");
    assert_fails(g, ad_affine(a, ad_zeros(g, AD_F64, AD_SHAPE(5, 3)), v), AD_ESHAPE, "b must be [5]");
    assert_fails(g, ad_sum_axis(a, 2, false), AD_ESHAPE, "sum: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_softmax(a, -3), AD_ESHAPE, "axis -3");
    assert_fails(g, ad_softmax(s, 0), AD_ESHAPE, "scalar");
    assert_fails(g, ad_logsumexp_axis(a, 5, true), AD_ESHAPE, "axis 5");
    assert_fails(g, ad_max(ad_zeros(g, AD_F64, AD_SHAPE(0))), AD_ESHAPE, "no elements");
    assert_fails(g, ad_max_axis(ad_zeros(g, AD_F64, AD_SHAPE(2, 0)), 1, false), AD_ESHAPE, "no elements");
    assert_fails(g, ad_reshape(a, AD_SHAPE(4, 2)), AD_ESHAPE, "6 elements do not fit [4,2]");
    assert_fails(g, ad_reshape(a, AD_SHAPE(-1, -1)), AD_ESHAPE, "two sizes of -1");
    assert_fails(g, ad_reshape(a, AD_SHAPE(-1, 4)), AD_ESHAPE, "do not fit");
    assert_fails(g, ad_expand(a, AD_SHAPE(2, 4)), AD_ESHAPE, "only axes of size 1");
    assert_fails(g, ad_expand(a, AD_SHAPE(3)), AD_ESHAPE, "expand");
    assert_fails(g, ad_transpose(v), AD_ESHAPE, "at least 2 dimensions");
    assert_fails(g, ad_sum_to(a, AD_SHAPE(2)), AD_ESHAPE, "sum_to");
    assert_fails(g, ad_cast(a, (ad_dtype)7), AD_EDTYPE, "7 is not a dtype");
    assert_fails(g, ad_one_hot(v, 0), AD_ESHAPE, "0 classes");
    ad_graph_free(g);
}

static void bad_classes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(2, 3));
    const float classes[][2] = { { 0, 3 }, { -1, 0 }, { 0.5f, 0 }, { NAN, 0 } };
    for (int i = 0; i < COUNT(classes); i++) {
        ad_var *c = ad_tensor(g, AD_F32, classes[i], AD_SHAPE(2));
        assert_fails(g, ad_cross_entropy(x, c), AD_EVALUE, "is not one of 0..2");
        assert_fails(g, ad_one_hot(c, 3), AD_EVALUE, "not an integer in 0..2");
    }
    assert_fails(g, ad_cross_entropy(x, ad_zeros(g, AD_F32, AD_SHAPE(3))), AD_ESHAPE, "logits [n,c]");
    ad_graph_free(g);
}

/* After an op has failed in ad_eval, the graph works again once the leaf has a valid value. */
static void eval_fails_and_recovers(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(1, 3));
    ad_var *c = ad_zeros(g, AD_F64, AD_SHAPE(1)), *loss = ad_cross_entropy(x, c);
    ad_set(c, (double[]){ 9 });
    assert_int_equal(ad_eval(loss), AD_EVALUE);
    ad_clear_error(g);
    assert_int_equal(ad_backward(loss), AD_ESTALE);
    ad_clear_error(g);
    ad_set(c, (double[]){ 2 });
    assert_int_equal(ad_eval(loss), AD_OK);
    assert_int_equal(ad_backward(loss), AD_OK);
    assert_relative(ad_item(loss), 0.40760596444438, 1e-12); /* torch.nn.functional.cross_entropy */
    ad_graph_free(g);
}

/* ---- values of whole expressions: PyTorch 1.13 ------------------------------------------------------------------------ */

static void broadcast_gradients_are_summed(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2, 1));
    ad_var *b = ad_param(g, AD_F64, (double[]){ 3, 4, 5 }, AD_SHAPE(3));
    ad_backward(ad_sum(ad_mul(ad_square(a), b)));
    const double da[] = { 24, 48 }, db[] = { 5, 5, 5 };
    for (int i = 0; i < 2; i++) assert_relative(ad_grad_at(a, i), da[i], 0);
    for (int i = 0; i < 3; i++) assert_relative(ad_grad_at(b, i), db[i], 0);
    ad_graph_free(g);
}

/* Arrays longer than a chunk of the broadcasting loops, in every pattern, against plain indexing. */
static void broadcasts_longer_than_a_chunk(void **state) {
    (void)state;
    enum { N = 37, M = 61 };
    const ad_shape shapes[] = { AD_SHAPE(N, M), AD_SHAPE(M), AD_SHAPE(N, 1), AD_SHAPE(1, 1) };
    for (int k = 0; k < COUNT(shapes); k++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = ad_require_grad(ad_rand(g, AD_F32, AD_SHAPE(N, M))), *b = ad_require_grad(ad_rand(g, AD_F32, shapes[k]));
        ad_var *y = ad_mul(a, b);
        ad_backward(ad_sum(ad_mul(y, a)));
        double *db = calloc(N * M, sizeof *db);
        for (int i = 0; i < N * M; i++) {
            int64_t at = k == 0 ? i : k == 1 ? i % M : k == 2 ? i / M : 0;
            assert_relative(ad_at(y, i), (float)(ad_at(a, i) * ad_at(b, at)), 1e-6);
            assert_relative(ad_grad_at(a, i), 2 * ad_at(a, i) * ad_at(b, at), 1e-6);
            db[at] += ad_at(a, i) * ad_at(a, i);
        }
        for (int64_t i = 0; i < ad_numel(b); i++) assert_relative(ad_grad_at(b, i), db[i], 1e-6);
        free(db);
        ad_graph_free(g);
    }
}

static void count_errors(ad_graph *g, int code, const char *message, void *data) {
    (void)g, (void)code, (void)message;
    ++*(int *)data;
}

/* bce refuses inputs outside 0..1, and bce_logits a pos_weight that requires a gradient. The checks try both. */
static void refusals_within_a_check_are_no_errors(void **state) {
    (void)state;
    int errors = 0;
    ad_graph *g = ad_graph_new();
    ad_on_error(g, count_errors, &errors);
    assert_int_equal(ad_check_op(g, &ad_op_bce, NULL), AD_OK);
    assert_int_equal(ad_check_op(g, &ad_op_bce_logits, NULL), AD_OK);
    assert_int_equal(errors, 0);
    ad_fail(g, AD_EVALUE, "an error");
    assert_int_equal(errors, 1);
    ad_graph_free(g);
}

/* tests/run adds up these lines. They count the comparisons of ad_check_op. */
static void report_counts_of_checks(void **state) {
    (void)state;
    print_message("checked: %lld ops, %lld numbers\n", (long long)all_ops, (long long)all_checks);
    assert_true(all_ops > 0);
}

int main(void) {
    const struct CMUnitTest fixed[] = {
        cmocka_unit_test(every_op_has_documentation_and_rules),
        cmocka_unit_test(find_and_register_ops_by_name),
        cmocka_unit_test(unary_conventions),
        cmocka_unit_test(binary_conventions),
        cmocka_unit_test(ties_share_the_gradient),
        cmocka_unit_test(one_var_as_both_operands),
        cmocka_unit_test(matmul_of_a_matrix_with_itself),
        cmocka_unit_test(one_var_as_every_operand),
        cmocka_unit_test(softmax_family_is_finite_for_huge_inputs),
        cmocka_unit_test(long_f32_sums_are_accurate),
        cmocka_unit_test(f64_sums_are_compensated),
        cmocka_unit_test(vector_loops_against_scalar_path),
        cmocka_unit_test(bad_shapes_are_reported),
        cmocka_unit_test(bad_classes_are_reported),
        cmocka_unit_test(eval_fails_and_recovers),
        cmocka_unit_test(broadcast_gradients_are_summed),
        cmocka_unit_test(broadcasts_longer_than_a_chunk),
        cmocka_unit_test(refusals_within_a_check_are_no_errors),
        cmocka_unit_test(report_counts_of_checks),
    };
    enum { MOST = 400 };
    static struct CMUnitTest tests[MOST];
    size_t n = 0;
    for (const ad_optype *const *t = ad_optypes(); *t && n < MOST - sizeof fixed / sizeof *fixed; t++)
        tests[n++] = (struct CMUnitTest){ (*t)->name, samples_of_op, NULL, NULL, (void *)(uintptr_t)*t };
    memcpy(tests + n, fixed, sizeof fixed);
    n += sizeof fixed / sizeof *fixed;
    return _cmocka_run_group_tests("ops", tests, n, NULL, NULL);
}
