/* test_ops_elementwise.c: elementwise ops: special points, tails, second derivatives, random numbers, bad operands. */
#include <float.h>

#include "tests/second.h"

/* ---- special points: values of PyTorch 1.13 unless a line says otherwise -------------------------------------- */

static ad_var *clamp(ad_var *x) { return ad_clamp(x, -1, 2); }
static ad_var *clamp_crossed(ad_var *x) { return ad_clamp(x, 2, -2); }
static ad_var *clamp_above_0(ad_var *x) { return ad_clamp(x, 0, 1); }
static ad_var *clamp_below_0(ad_var *x) { return ad_clamp(x, -1, 0); }
static ad_var *clamp_below_minus_0(ad_var *x) { return ad_clamp(x, -1, -0.0); }
static ad_var *hardtanh(ad_var *x) { return ad_hardtanh(x, -1, 2); }
static ad_var *elu(ad_var *x) { return ad_elu(x, 1.5); }
static ad_var *leaky(ad_var *x) { return ad_leaky_relu(x, 0.1); }
static ad_var *softplus2(ad_var *x) { return ad_softplus_with(x, 2, 20); }
static ad_var *rrelu_mean(ad_var *x) { return ad_rrelu(x, 0.1, 0.3, false); }
static ad_var *trigamma(ad_var *x) { return ad_polygamma(x, 1); }
static ad_var *logit(ad_var *x) { return ad_logit(x, -1); }
static ad_var *largest(ad_var *x) { return ad_nan_to_num(x, 0, NAN, NAN); }
static ad_var *tetragamma(ad_var *x) { return ad_polygamma(x, 2); }

static void unary_ops_at_special_points(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x, y, dx;
    } points[] = {
        { "clamp at lo", clamp, -1, -1, 1 },
        { "clamp at hi", clamp, 2, 2, 1 },
        { "clamp below", clamp, -1.5, -1, 0 },
        { "clamp NaN", clamp, NAN, NAN, 0 },
        { "clamp, lo > hi", clamp_crossed, 0.5, -2, 0 },
        { "hardtanh at lo", hardtanh, -1, -1, 0 },
        { "hardtanh at hi", hardtanh, 2, 2, 0 },
        { "hardtanh NaN", hardtanh, NAN, NAN, 1 },
        { "hardsigmoid at -3", ad_hardsigmoid, -3, 0, 0 },
        { "hardsigmoid at 3", ad_hardsigmoid, 3, 1, 0 },
        { "hardswish at -3", ad_hardswish, -3, 0, -0.5 },
        { "hardswish at 3", ad_hardswish, 3, 3, 1.5 },
        { "elu at 0", elu, 0, 0, 1.5 },
        { "elu at -inf", elu, -INFINITY, -1.5, 0 },
        { "selu at 0", ad_selu, 0, 0, 1.7580993408473766 },
        { "leaky_relu at 0", leaky, 0, 0, 0.1 },
        { "rrelu, not training, at 0", rrelu_mean, 0, 0, 0.2 },
        { "softsign at 0", ad_softsign, 0, 0, 1 },
        { "mish at 0", ad_mish, 0, 0, 0.6 },
        { "silu at 0", ad_silu, 0, 0, 0.5 },
        { "logsigmoid at -inf", ad_logsigmoid, -INFINITY, -INFINITY, 1 },
        { "relu at inf", ad_relu, INFINITY, INFINITY, 1 },
        { "round 0.5", ad_round, 0.5, 0, 0 },
        { "round 1.5", ad_round, 1.5, 2, 0 },
        { "round 2.5", ad_round, 2.5, 2, 0 },
        { "floor", ad_floor, -2.5, -3, 0 },
        { "ceil", ad_ceil, -2.5, -2, 0 },
        { "trunc", ad_trunc, -2.5, -2, 0 },
        { "asin at 1", ad_asin, 1, 1.5707963267948966, INFINITY },
        { "acos at -1", ad_acos, -1, 3.1415926535897932, -INFINITY },
        { "acosh at 1", ad_acosh, 1, 0, INFINITY },
        { "atanh at 1", ad_atanh, 1, INFINITY, INFINITY },
        { "asinh at inf", ad_asinh, INFINITY, INFINITY, 0 },
        { "rsqrt at 0", ad_rsqrt, 0, INFINITY, -INFINITY },
        { "reciprocal at 0", ad_reciprocal, 0, INFINITY, -INFINITY },
        { "cbrt at 0 (NumPy's)", ad_cbrt, 0, 0, INFINITY },
        { "log2 at 0", ad_log2, 0, -INFINITY, INFINITY },
        { "lgamma at 0", ad_lgamma, 0, INFINITY, -INFINITY },
        { "lgamma at -1", ad_lgamma, -1, INFINITY, NAN },
        { "lgamma at inf", ad_lgamma, INFINITY, INFINITY, INFINITY },
        { "digamma at 0", ad_digamma, 0, -INFINITY, INFINITY },
        { "trigamma at 0", trigamma, 0, INFINITY, -INFINITY },
        { "tetragamma at 0", tetragamma, 0, -INFINITY, INFINITY },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, points[i].x), *y = points[i].f(x);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_within(ad_item(y), points[i].y, 1e-15, points[i].name);
        assert_within(ad_grad_item(x), points[i].dx, 1e-14, points[i].name);
        ad_graph_free(g);
    }
}

static ad_var *quarter_power(ad_var *x) { return ad_pow(x, ad_scalar(ad_graph_of(x), AD_F64, -0.25)); }
static ad_var *quarter_pows(ad_var *x) { return ad_pows(x, -0.25); }

/* From an exponent of -0.25 downwards, x^(k-1) = 1e375 does not overflow before the cotangent makes the slope finite; in
   either rule. */
static void slopes_of_powers_keep_their_range(void **state) {
    (void)state;
    ad_var *(*const powers[])(ad_var *) = { quarter_power, quarter_pows };
    for (int i = 0; i < COUNT(powers); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, 1e-300), *y = powers[i](x), *w = ad_scalar(g, AD_F64, 1e-200), *dx;
        assert_int_equal(ad_vjp(y, w, 1, &x, &dx), AD_OK);
        assert_int_equal(ad_backward_from(y, w), AD_OK);
        assert_within(ad_item(dx), -2.5e174, 1e-13, "by vjp");
        assert_within(ad_grad_item(x), -2.5e174, 1e-13, "by backward");
        ad_graph_free(g);
    }
}

/* A zero at a bound is not replaced by a bound of the other sign; sign(-0) is 0. */
static void signs_of_zeros(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x, y;
    } points[] = {
        { "clamp to 0 .. 1", clamp_above_0, -0.0, -0.0 },
        { "clamp to 0 .. 1", clamp_above_0, 0, 0 },
        { "clamp to -1 .. 0", clamp_below_0, -0.0, -0.0 },
        { "clamp to -1 .. -0", clamp_below_minus_0, 0, 0 },
        { "sign", ad_sign, -0.0, 0 },
    };
    for (int i = 0; i < 2 * COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        double y = ad_item(points[i / 2].f(param_item(g, i % 2 ? AD_F32 : AD_F64, points[i / 2].x)));
        if (y != 0 || signbit(y) != signbit(points[i / 2].y))
            fail_msg("%s: %g is not %g", points[i / 2].name, y, points[i / 2].y);
        ad_graph_free(g);
    }
}

/* PyTorch loses these values to cancellation or overflow. Values: mpmath, 60 digits. */
static void tails_are_accurate(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x, y, dx;
    } points[] = {
        { "logsigmoid", ad_logsigmoid, 40, -4.2483542552915889773e-18, 4.2483542552915889773e-18 },
        { "silu", ad_silu, -40, -1.6993417021166355909e-16, -1.6568581595637196111e-16 },
        { "mish", ad_mish, -40, -1.6993417021166355909e-16, -1.6568581595637196111e-16 },
        { "softplus_with", softplus2, -20, 2.1241771276457944887e-18, 4.2483542552915889773e-18 },
        { "erfc", ad_erfc, 20, 5.3958656116079009289e-176, -2.161037474386798461e-174 },
        { "gelu", ad_gelu, -12, -2.1317785344932147972e-32, -2.5578956616748956241e-31 },
        { "digamma by its zero", ad_digamma, 1.4616321, -4.3514636958769773704e-8, 0.96767228526829187788 },
        { "acosh", ad_acosh, 1e200, 461.21016577936908208, 1e-200 },
        { "asinh", ad_asinh, 1e200, 461.21016577936908208, 1e-200 },
        { "sinh", ad_sinh, 1e-12, 1e-12, 1 },
        { "sinc", ad_sinc, 1e-3, 0.99999835506674489401, -0.0032898648867278963187 },
        { "sinc of a whole number", ad_sinc, 3, 0, -0.33333333333333333 },
        { "erfinv near 1", ad_erfinv, 0.9999999999999998, 5.8050186831934533002, 382389054906526.09439 },
        { "logit near 1/2", logit, 0.5000001, 3.9999999978946299421e-7, 4.00000000000016 },
        { "logit without eps at 0", logit, 0, -INFINITY, INFINITY },
        { "logit without eps beyond 1", logit, 1.5, NAN, NAN },
        { "tanhshrink", ad_tanhshrink, 1e-4, 3.3333333200000005332e-13, 9.9999999333333346695e-9 },
        { "nan_to_num", largest, INFINITY, DBL_MAX, 0 },
        { "nan_to_num", largest, -INFINITY, -DBL_MAX, 0 },
        { "cbrt", ad_cbrt, -27, -3, 0.037037037037037037037 },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, points[i].x), *y = points[i].f(x);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_within(ad_item(y), points[i].y, 1e-13, points[i].name);
        assert_within(ad_grad_item(x), points[i].dx, 1e-13, points[i].name);
        ad_graph_free(g);
    }
}

static void binary_ops_at_special_points(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ad_var *(*f)(ad_var *, ad_var *);
        double a, b, y, da, db;
    } points[] = {
        { "atan2", ad_atan2, 0, -1, 3.1415926535897932, -1, 0 },
        { "atan2", ad_atan2, 0, 0, 0, NAN, NAN },
        { "atan2 (PyTorch's gradients underflow)", ad_atan2, 1e200, 1e200, 0.78539816339744831, 5e-201, -5e-201 },
        { "hypot", ad_hypot, 0, -1, 1, 0, -1 },
        { "hypot", ad_hypot, 3e200, 4e200, 5e200, 0.6, 0.8 },
        { "fmod", ad_fmod, 5.5, 2, 1.5, 1, -2 },
        { "fmod", ad_fmod, -5.5, 2, -1.5, 1, 2 },
        { "fmod", ad_fmod, 6, 2, 0, 1, -3 },
        { "fmod", ad_fmod, 1, 0, NAN, 1, NAN },
        { "fmod", ad_fmod, 1, 0.1, 0.09999999999999995, 1, -9 }, /* the remainder belongs to 9; PyTorch has -10 */
        { "fmod", ad_fmod, 1, 0.2, 0.19999999999999996, 1, -4 },
        { "floor_divide", ad_floor_divide, -5.5, 2, -3, 0, 0 },
        { "floor_divide", ad_floor_divide, 1, 0.1, 9, 0, 0 }, /* 0.1 is more than a tenth */
        { "floor_divide", ad_floor_divide, -1, INFINITY, -1, 0, 0 },
        { "remainder", ad_remainder, -5.5, 2, 0.5, 1, 3 },
        { "remainder", ad_remainder, 5.5, -2, -0.5, 1, 3 },
        { "remainder", ad_remainder, -6, 2, -0.0, 1, 3 },
        { "remainder", ad_remainder, -5.5, INFINITY, INFINITY, 1, 1 },
        { "logaddexp", ad_logaddexp, 0, -40, 4.2483542552915889e-18, 1, 4.2483542552915889e-18 },
        { "logaddexp", ad_logaddexp, -INFINITY, -INFINITY, -INFINITY, NAN, NAN },
        { "logaddexp2", ad_logaddexp2, 1000, 1000, 1001, 0.5, 0.5 },
        { "fmax", ad_fmax, NAN, 1, 1, 0, 1 },
        { "fmax", ad_fmax, 2, 2, 2, 1, 0 },
        { "fmin", ad_fmin, 1, NAN, 1, 1, 0 },
        { "fmin", ad_fmin, NAN, NAN, NAN, 1, 0 },
        { "copysign", ad_copysign, 3, -0.0, -3, -1, 0 },
        { "copysign", ad_copysign, 0, -1, -0.0, 0, 0 },
        { "xlogy", ad_xlogy, 0, 0, 0, 0, NAN },
        { "xlogy", ad_xlogy, 0, -1, 0, 0, -0.0 },
        { "xlogy", ad_xlogy, 0, 2, 0, 0.69314718055994531, 0 },
        { "xlogy", ad_xlogy, 1, 0, -INFINITY, -INFINITY, INFINITY },
        { "xlogy", ad_xlogy, 0, NAN, NAN, NAN, NAN },
        { "heaviside (PyTorch has no gradient)", ad_heaviside, 0, 3, 3, 0, 1 },
        { "heaviside (PyTorch has no gradient)", ad_heaviside, -2, 3, 0, 0, 0 },
        { "heaviside (PyTorch has no gradient)", ad_heaviside, NAN, 3, 0, 0, 0 },
        { "prelu", ad_prelu, 0, 0.3, 0, 0.3, 0 },
        { "prelu", ad_prelu, -2, 0.3, -0.6, 0.3, -2 },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = param_item(g, AD_F64, points[i].a), *b = param_item(g, AD_F64, points[i].b), *y = points[i].f(a, b);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_within(ad_item(y), points[i].y, 1e-15, points[i].name);
        assert_within(ad_grad_item(a), points[i].da, 1e-15, points[i].name);
        assert_within(ad_grad_item(b), points[i].db, 1e-15, points[i].name);
        ad_graph_free(g);
    }
}

static void predicates_and_logic(void **state) {
    (void)state;
    static const double a[] = { 0, 1, NAN, INFINITY, -INFINITY, -0.0 };
    static const double want[][6] = {
        { 1, 1, 0, 0, 0, 1 }, /* isfinite */
        { 0, 0, 0, 1, 1, 0 }, /* isinf */
        { 0, 0, 1, 0, 0, 0 }, /* isnan */
        { 1, 0, 0, 0, 0, 1 }, /* logical_not */
        { 0, 1, 1, 1, 1, 0 }, /* logical_and with 2 */
        { 1, 1, 1, 1, 1, 1 }, /* logical_or with 2 */
        { 1, 0, 0, 0, 0, 1 }, /* logical_xor with 2 */
    };
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, (ad_dtype)t, a, AD_SHAPE(6)), *two = ad_scalar(g, (ad_dtype)t, 2);
        ad_var *ys[] = { ad_isfinite(x),         ad_isinf(x),           ad_isnan(x), ad_logical_not(x),
                         ad_logical_and(x, two), ad_logical_or(x, two), ad_logical_xor(x, two) };
        for (int f = 0; f < COUNT(ys); f++) {
            assert_false(ad_requires_grad(ys[f]));
            for (int i = 0; i < 6; i++) assert_true(ad_at(ys[f], i) == want[f][i]);
        }
        ad_graph_free(g);
    }
}

/* ---- three operands ------------------------------------------------------------------------------------------- */

/* The branch not taken may be infinite or NaN. It must not affect the value or the gradient. */
static void where_ignores_the_branch_not_taken(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ -4, 0, 4 }, AD_SHAPE(3));
    ad_var *zero = ad_scalar(g, AD_F64, 0), *y = ad_where(ad_gt(x, zero), ad_log(x), ad_neg(x));
    const double value[] = { 4, 0, 1.3862943611198906 }, slope[] = { -1, -1, 0.25 };
    for (int i = 0; i < 3; i++) assert_within(ad_at(y, i), value[i], 1e-15, "where");
    ad_var *inner = ad_where(ad_gt(x, zero), x, ad_scalar(g, AD_F64, 1));
    ad_backward(ad_sum(ad_where(ad_gt(x, zero), ad_log(inner), ad_neg(x))));
    for (int i = 0; i < 3; i++) assert_within(ad_grad_at(x, i), slope[i], 1e-15, "where");
    ad_graph_free(g);
}

static void lerp_is_exact_at_weights_0_and_1(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = param_item(g, AD_F32, 1e8), *b = param_item(g, AD_F32, -3.7);
    ad_var *w = ad_param(g, AD_F32, (float[]){ 0, 1, 0.25f }, AD_SHAPE(3)), *y = ad_lerp(a, b, w);
    assert_true(ad_at(y, 0) == ad_item(a) && ad_at(y, 1) == ad_item(b));
    ad_backward(ad_sum(y));
    assert_within(ad_grad_item(a), 1.75, 1e-6, "lerp");
    assert_within(ad_grad_item(b), 1.25, 1e-6, "lerp");
    assert_within(ad_grad_at(w, 2), -1e8, 1e-6, "lerp");
    ad_graph_free(g);
}

/* Arrays longer than a chunk of the loops, each operand broadcast differently, against plain indexing. */
static void ternary_broadcasts_longer_than_a_chunk(void **state) {
    (void)state;
    enum { N = 53, M = 67 };
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_require_grad(ad_rand(g, AD_F32, AD_SHAPE(N, 1)));
    ad_var *b = ad_require_grad(ad_rand(g, AD_F32, AD_SHAPE(M)));
    ad_var *c = ad_require_grad(ad_rand(g, AD_F32, AD_SHAPE(N, M))), *y = ad_lerp(a, b, c);
    ad_backward(ad_sum(y));
    double db[M] = { 0 };
    for (int i = 0; i < N; i++) {
        double da = 0;
        for (int j = 0; j < M; j++) {
            double w = ad_at(c, i * M + j);
            da += 1 - w, db[j] += w;
            assert_within(ad_at(y, i * M + j), ad_at(a, i) + w * (ad_at(b, j) - ad_at(a, i)), 1e-6, "lerp");
            assert_within(ad_grad_at(c, i * M + j), ad_at(b, j) - ad_at(a, i), 1e-5, "dweight");
        }
        assert_within(ad_grad_at(a, i), da, 1e-6, "da");
    }
    for (int j = 0; j < M; j++) assert_within(ad_grad_at(b, j), db[j], 1e-6, "db");
    ad_graph_free(g);
}

static void one_var_as_every_operand(void **state) {
    (void)state;
    for (int n = 1; n <= 50; n += 49) { /* n = 1: the scalar path; n = 50: the loops */
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_require_grad(ad_full(g, AD_F64, 0.4, AD_SHAPE(n)));
        const struct {
            ad_var *y;
            double dx;
        } cases[] = {
            { ad_where(x, x, x), 1 },          { ad_lerp(x, x, x), 1 },          { ad_addcmul(x, x, x), 1.8 },
            { ad_atan2(x, x), 0 },             { ad_hypot(x, x), 1.4142135623730951 },
            { ad_fmod(x, x), 0 },              { ad_xlogy(x, x), 0.083709268125844990 }, /* log x + 1 */
            { ad_heaviside(x, x), 0 },
        };
        for (int i = 0; i < COUNT(cases); i++) {
            ad_zero_grad(x);
            ad_backward(ad_sum(cases[i].y));
            assert_true(fabs(ad_grad_at(x, n - 1) - cases[i].dx) < 1e-14);
        }
        ad_graph_free(g);
    }
}

/* ---- prelu, maxout --------------------------------------------------------------------------------------------- */

static void prelu_by_channel(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ -1, 2, -3, -4, 5, -6, 7, -8 }, AD_SHAPE(2, 2, 2));
    ad_var *w = ad_param(g, AD_F64, (double[]){ 0.5, 0.25 }, AD_SHAPE(2)), *y = ad_prelu(x, w);
    const double value[] = { -0.5, 2, -0.75, -1, 5, -3, 7, -2 }; /* torch.nn.functional.prelu */
    for (int i = 0; i < 8; i++) assert_within(ad_at(y, i), value[i], 0, "prelu");
    ad_backward(ad_sum(y));
    assert_within(ad_grad_at(w, 0), -7, 0, "dw");
    assert_within(ad_grad_at(w, 1), -15, 0, "dw");
    ad_var *one = ad_param(g, AD_F64, (double[]){ 2 }, AD_SHAPE(1)), *v = ad_prelu(x, one);
    assert_true(ad_at(v, 7) == -16 && ad_shape_equal(ad_shape_of(v), ad_shape_of(x)));
    ad_var *flat = ad_prelu(ad_param(g, AD_F64, (double[]){ -1, 1 }, AD_SHAPE(2)), one);
    assert_true(ad_at(flat, 0) == -2 && ad_at(flat, 1) == 1);
    ad_graph_free(g);
}

/* Values and gradients: PyTorch 1.13, torch.nn.functional.glu. */
static void glu_of_two_halves(void **state) {
    (void)state;
    static const double by_row[] = { 0.5621765008857981, -0.5378828427399902, 0.44039853898894116,
                                     0.14227761953270035 };
    static const double by_column[] = { 0.6224593312018546, -1.9051482536448667, 0.22019926949447058,
                                        -0.04742587317756678 };
    static const double dx[] = { 0.6224593312018546, 1.9051482536448667,  0.2350037122015945,  -0.180706638923648,
                                 2.642391233933647,  0.18970349271026712, 0.07874518905262996, -0.18070663892364855 };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, -2, 0.5, 3, 0.25, -1, 2, -3 }, AD_SHAPE(2, 4));
    ad_var *rows = ad_glu(x, 0), *columns = ad_glu(x, -1);
    assert_true(ad_shape_equal(ad_shape_of(rows), AD_SHAPE(1, 4)));
    assert_true(ad_shape_equal(ad_shape_of(columns), AD_SHAPE(2, 2)));
    ad_backward_from(columns, ad_tensor(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2)));
    for (int i = 0; i < 4; i++) assert_within(ad_at(rows, i), by_row[i], 1e-14, "glu, axis 0");
    for (int i = 0; i < 4; i++) assert_within(ad_at(columns, i), by_column[i], 1e-14, "glu, axis 1");
    for (int i = 0; i < 8; i++) assert_within(ad_grad_at(x, i), dx[i], 1e-14, "gradient of glu");
    assert_int_equal(ad_numel(ad_glu(ad_zeros(g, AD_F64, AD_SHAPE(3, 0)), 1)), 0);
    assert_ok(g);
    ad_graph_free(g);
}

/* torch.isclose: the tolerance is relative to b, and infinities are close only if they are equal. */
static void isclose_is_relative_to_b(void **state) {
    (void)state;
    const double a[] = { 1, 1.1, 1, NAN, NAN, INFINITY, INFINITY, -INFINITY, 1, 0 };
    const double b[] = { 1.1, 1, 1.2, NAN, 1, INFINITY, -INFINITY, 1e300, INFINITY, 1e-9 };
    const int plain[] = { 1, 0, 0, 0, 0, 1, 0, 0, 0, 0 }, exact[] = { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0 };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(10)), *y = ad_tensor(g, AD_F64, b, AD_SHAPE(10));
    ad_var *relative = ad_isclose(x, y, 0.095, 0, false), *equal_nan = ad_isclose(x, y, 0.095, 0, true);
    ad_var *equal = ad_isclose(x, y, 0, 0, false), *absolute = ad_isclose(x, y, 0, 1e-8, false);
    for (int i = 0; i < 10; i++) {
        assert_true(ad_at(relative, i) == plain[i] && ad_at(equal, i) == exact[i]);
        assert_true(ad_at(equal_nan, i) == (i == 3 ? 1 : plain[i]) && ad_at(absolute, i) == (i == 9 ? 1 : exact[i]));
    }
    assert_false(ad_requires_grad(relative));
    assert_ok(g);
    ad_graph_free(g);
}

static void maxout_over_adjacent_elements(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 5, 2, 2, 9, 0, 3, 4 }, AD_SHAPE(2, 4));
    ad_var *rows = ad_maxout(x, -1, 2), *columns = ad_maxout(x, 0, 2);
    const double by_rows[] = { 5, 2, 9, 4 }, by_columns[] = { 9, 5, 3, 4 }, dx[] = { 0, 1, 0.5, 0.5, 1, 0, 0, 1 };
    assert_true(ad_shape_equal(ad_shape_of(rows), AD_SHAPE(2, 2)));
    assert_true(ad_shape_equal(ad_shape_of(columns), AD_SHAPE(1, 4)));
    for (int i = 0; i < 4; i++) assert_true(ad_at(rows, i) == by_rows[i] && ad_at(columns, i) == by_columns[i]);
    ad_backward(ad_sum(rows));
    for (int i = 0; i < 8; i++) assert_true(ad_grad_at(x, i) == dx[i]);
    ad_graph_free(g);
}

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

static void moments_of_random_numbers(void **state) {
    (void)state;
    enum { N = 20001 };
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_zeros(g, (ad_dtype)t, AD_SHAPE(N)), *u = ad_rand_like(x), *z = ad_randn_like(x);
        double mean_u = 0, mean_z = 0, square_z = 0;
        for (int i = 0; i < N; i++) {
            assert_true(ad_at(u, i) >= 0 && ad_at(u, i) < 1);
            mean_u += ad_at(u, i) / N, mean_z += ad_at(z, i) / N, square_z += ad_at(z, i) * ad_at(z, i) / N;
        }
        /* The tolerance is 5 standard errors. */
        assert_true(fabs(mean_u - 0.5) < 5 * 0.2887 / sqrt(N));
        assert_true(fabs(mean_z) < 5 / sqrt(N));
        assert_true(fabs(square_z - 1) < 5 * sqrt(2.0 / N));
        ad_graph_free(g);
    }
}

static void rrelu_draws_one_slope_per_element(void **state) {
    (void)state;
    enum { N = 1000 };
    ad_graph *g = ad_graph_new();
    ad_seed(g, 7);
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(N))), *y = ad_rrelu(x, 0.1, 0.3, true), *sum = ad_sum(y);
    double first = 0;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ad_eval(sum), AD_OK); /* draws new slopes */
        ad_zero_grad(sum);
        assert_int_equal(ad_backward(sum), AD_OK);
        int below = 0;
        for (int i = 0; i < N; i++) {
            double slope = ad_grad_at(x, i);
            assert_within(ad_at(y, i), slope * ad_at(x, i), 1e-14, "backward uses the slopes of the last evaluation");
            if (ad_at(x, i) > 0) assert_true(slope == 1);
            else assert_true(slope >= 0.1 && slope < 0.3), below += slope < 0.2;
        }
        assert_true(below > N / 8 && below < 3 * N / 8); /* expected: N / 4, half of the negative half */
        if (round == 0) first = ad_item(sum);
        else assert_true(ad_item(sum) != first);
    }
    ad_var *dx;
    assert_int_equal(ad_gradient(sum, 1, &x, &dx), AD_OK);
    for (int i = 0; i < N; i++) assert_true(ad_at(dx, i) == ad_grad_at(x, i));
    ad_graph_free(g);
}

static void noisy_relu_noise_has_variance_sigmoid(void **state) {
    (void)state;
    enum { N = 20000 };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, 10, AD_SHAPE(N)), *y = ad_noisy_relu(x);
    double mean = 0, square = 0;
    for (int i = 0; i < N; i++) mean += ad_at(y, i) / N, square += (ad_at(y, i) - 10) * (ad_at(y, i) - 10) / N;
    assert_true(fabs(mean - 10) < 5 / sqrt(N) && fabs(square - 0.99995) < 5 * sqrt(2.0 / N));
    y = ad_noisy_relu(ad_full(g, AD_F64, -60, AD_SHAPE(N)));
    for (int i = 0; i < N; i++) assert_true(ad_at(y, i) == 0);
    ad_graph_free(g);
}

/* ---- second derivatives: vjp rules against finite differences ----------------------------------- */

static void second_derivatives(void **state) {
    (void)state;
    static const char *const names[] = {
        "tan",  "asin",    "acos",      "atan",       "sinh",       "cosh",          "asinh",      "acosh", "atanh",
        "exp2", "log2",    "log10",     "reciprocal", "rsqrt",      "cbrt",          "erf",        "erfc",  "lgamma",
        "floor", "clamp",  "digamma",   "polygamma",  "logsigmoid", "softplus_with", "leaky_relu", "elu",   "selu",
        "gelu", "mish",    "gelu_tanh", "silu",       "softsign",   "hardtanh",      "hardsigmoid",
        "hardswish", "prelu", "atan2", "hypot",  "fmod",      "xlogy",      "heaviside",  "where",         "lerp", "addcmul",
        "remainder", "logaddexp", "logaddexp2", "fmax", "fmin", "copysign", "frac", "deg2rad", "rad2deg", "sinc",
        "erfinv", "logit", "nan_to_num", "celu", "relu6", "threshold", "hardshrink", "softshrink", "tanhshrink",
    };
    for (int i = 0; i < COUNT(names); i++) check_second_derivatives(names[i]);
}

/* Values: mpmath, 60 digits. Order 0 is digamma, whose positive zero is at 1.4616. */
static void gamma_functions_over_their_range(void **state) {
    (void)state;
    static const struct {
        int n;
        double x, y;
    } points[] = {
        { 0, 1e-05, -100000.57719921567289 },
        { 0, 0.3, -3.5025242222001331249 },
        { 0, 1.2616, -0.21365312801634821725 },
        { 0, 1.27, -0.20376884373062313761 },
        { 0, 1.45, -0.011316422586445887658 },
        { 0, 1.48, 0.017626268388849452034 },
        { 0, 1.66, 0.17632559327189422626 },
        { 0, 1.6617, 0.17771548676205819885 },
        { 0, 5.0, 1.5061176684318004727 },
        { 0, 9.99, 2.250700372831201122 },
        { 0, 10.01, 2.2528037003181357367 },
        { 0, 123.5, 4.8121871094331430726 },
        { 0, -10.3, 4.6624034935820870175 },
        { 0, -0.01, 99.406213695944402774 },
        { 0, 10000000000.0, 23.02585092989045684 },
        { 1, 0.1, 101.4332991507927477 },
        { 1, 2.5, 0.49035775610023486497 },
        { 1, 29.5, 0.034479343200420108958 },
        { 1, -3.3, 14.81773952551592878 },
        { 1, 10000.0, 0.00010000500016666666633 },
        { 2, 0.1, -2001.8614573783436732 },
        { 2, 2.5, -0.236204051641727403 },
        { 2, 29.5, -0.0011887074206388909186 },
        { 2, -3.3, 68.769445477485233697 },
        { 2, 10000.0, -1.0001000049999999833e-8 },
        { 3, 0.1, 60004.512876790253384 },
        { 3, 2.5, 0.22390584881725205126 },
        { 3, 29.5, 0.000081955478876722290741 },
        { 3, -3.3, 768.98565825542854548 },
        { 3, 10000.0, 2.0003000199999999e-12 },
        { 5, 0.1, 120000069.307510929 },
        { 5, 2.5, 0.57856917856718348455 },
        { 5, 29.5, 1.1683595719321960224e-6 },
        { 5, -3.3, 165660.14652917208661 },
        { 5, 10000.0, 2.40060005999999944e-19 },
        { 10, 0.1, -362880000001272701.67 },
        { 10, 2.5, -156.22959659323299476 },
        { 10, 29.5, -8.5787206739619564168e-10 },
        { 10, -3.3, 2048284893018.1240533 },
        { 10, 10000.0, -3.6306147326399913514e-35 },
        { 19, 0.1, 1.2164510040883186495e+37 },
        { 19, 2.5, 1339111289.6505828219 },
        { 19, 29.5, 1.0295702276419564851e-12 },
        { 19, -3.3, 3.4887475603495715374e+27 },
        { 19, 10000.0, 6.408457988166625636e-61 },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_scalar(g, AD_F64, points[i].x), *y = points[i].n ? ad_polygamma(x, points[i].n) : ad_digamma(x);
        char name[64];
        snprintf(name, sizeof name, "polygamma %d at %g", points[i].n, points[i].x);
        assert_within(ad_item(y), points[i].y, 2e-14, name);
        ad_graph_free(g);
    }
}

/* The rules compose to any order: the fourth derivative of lgamma is polygamma of order 3. */
static void fourth_derivative_of_lgamma(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 2.5), *y = ad_lgamma(x);
    for (int i = 0; i < 4; i++) ad_gradient(y, 1, &x, &y);
    assert_within(ad_item(y), 0.22390584881725205, 1e-12, "polygamma 3 at 2.5");
    ad_graph_free(g);
}

/* ---- vector loops against the scalar path ------------------------------------------------------- */

static void vector_loops_against_scalar_path(void **state) {
    (void)state;
    ad_var *(*const fs[])(ad_var *) = {
        ad_tan,        ad_asin,     ad_acos,     ad_atan,  ad_sinh,      ad_cosh,        ad_asinh,      ad_acosh,
        ad_atanh,      ad_exp2,     ad_log2,     ad_log10, ad_rsqrt,     ad_cbrt,        ad_erf,        ad_erfc,
        ad_floor,      ad_ceil,     ad_round,    ad_trunc, ad_gelu,      ad_gelu_tanh,   ad_silu,       ad_mish,
        ad_selu,       elu,         leaky,       clamp,    ad_hardswish, ad_hardsigmoid, ad_reciprocal, ad_lgamma,
        ad_logsigmoid, ad_softplus, ad_softsign, hardtanh, softplus2,    ad_digamma,     trigamma,
    };
    double special[] = { 0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e-310, 700, -700, 0.5, 2.5 };
    for (int f = 0; f < COUNT(fs); f++)
        for (int n = 2; n <= 40; n += 19)
            for (int shift = 0; shift < 3; shift++) {
                ad_graph *g = ad_graph_new();
                double data[64];
                for (int i = 0; i < 64; i++) data[i] = i < COUNT(special) ? special[i] : sin(i) * 5;
                ad_var *y = fs[f](ad_input(g, AD_F64, data + shift, AD_SHAPE(n)));
                for (int i = 0; i < n; i++)
                    assert_within(ad_at(y, i), ad_item(fs[f](ad_scalar(g, AD_F64, data[shift + i]))), 2e-14, "loop");
                ad_graph_free(g);
            }
}

/* ---- bad operands ------------------------------------------------------------------------------- */

static void bad_operands_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *v = ad_zeros(g, AD_F64, AD_SHAPE(4));
    ad_var *f = ad_zeros(g, AD_F32, AD_SCALAR);
    assert_fails(g, ad_isclose(a, a, -1, 0, false), AD_EVALUE, "isclose: [2,3]: rtol is -1 and atol is 0; both must");
    assert_fails(g, ad_isclose(a, a, 0, NAN, false), AD_EVALUE, "isclose: [2,3]: rtol is 0 and atol is nan; both must");
    assert_fails(g, ad_glu(a, 1), AD_ESHAPE, "glu: [2,3]: axis 1 has 3 elements, which do not divide into two halves");
    assert_fails(g, ad_glu(a, 2), AD_ESHAPE, "glu: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_logit(a, 0.6), AD_EVALUE, "logit: [2,3]: eps is 0.6; it must be at most 0.5");
    assert_fails(g, ad_logit(a, NAN), AD_EVALUE, "logit: [2,3]: eps is nan; it must be at most 0.5");
    assert_fails(g, ad_celu(a, 0), AD_EVALUE, "celu: [2,3]: alpha must not be 0; PyTorch's default is 1");
    assert_fails(g, ad_softshrink(a, -1), AD_EVALUE, "softshrink: [2,3]: lambda is -1; it must be >= 0");
    assert_fails(g, ad_polygamma(a, -1), AD_EVALUE, "polygamma: [2,3]: order -1 is not one of 0..19");
    assert_fails(g, ad_polygamma(a, 0.5), AD_EVALUE, "order 0.5");
    assert_fails(g, ad_polygamma(a, NAN), AD_EVALUE, "order nan");
    assert_fails(g, ad_softplus_with(a, 0, 20), AD_EVALUE, "softplus_with: [2,3]: beta must not be 0");
    assert_fails(g, ad_hardtanh(a, 1, -1), AD_EVALUE, "hardtanh: [2,3]: lo is 1 and hi is -1");
    assert_fails(g, ad_hardtanh(a, NAN, 1), AD_EVALUE, "lo is nan");
    assert_fails(g, ad_rrelu(a, 0.5, 0.25, true), AD_EVALUE, "rrelu: [2,3]: lower is 0.5 and upper is 0.25");
    assert_fails(g, ad_where(a, v, a), AD_ESHAPE, "where: [2,3] x [4] x [2,3]");
    assert_fails(g, ad_lerp(a, a, f), AD_EDTYPE, "two dtypes");
    assert_fails(g, ad_prelu(a, v), AD_ESHAPE, "prelu: [2,3] x [4]: slopes must be [1], or one for each of 3 channels");
    assert_fails(g, ad_prelu(a, a), AD_ESHAPE, "prelu: [2,3] x [2,3]");
    assert_fails(g, ad_maxout(a, 1, 2), AD_ESHAPE,
                 "maxout: [2,3]: 3 elements of axis 1 do not divide into groups of 2");
    assert_fails(g, ad_maxout(a, 1, 0), AD_ESHAPE, "groups of 0");
    assert_fails(g, ad_maxout(a, 2, 1), AD_ESHAPE, "axis 2 is not in -2..1");
    assert_fails(g, ad_atan2(a, v), AD_ESHAPE, "atan2: [2,3] x [4]");
    ad_graph_free(g);
}

/* Ops propagate nil and report NULL. */
static void nil_is_propagated_and_null_is_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2)), *nil = ad_polygamma(x, -1);
    assert_true(ad_is_nil(ad_where(nil, x, x)) && ad_is_nil(ad_prelu(x, nil)) && ad_is_nil(ad_maxout(nil, 0, 1)));
    assert_true(ad_is_nil(ad_rrelu(nil, 0.1, 0.3, true)) && ad_is_nil(ad_noisy_relu(nil)));
    assert_contains(ad_error(g), "polygamma"); /* the first error is kept */
    ad_clear_error(g);
    assert_fails(g, ad_prelu(x, NULL), AD_EVALUE, "prelu: operand 1 is NULL");
    assert_fails(g, ad_where(x, NULL, x), AD_EVALUE, "where: operand 1 is NULL");
    assert_true(ad_is_nil(ad_rrelu(NULL, 1, 0, true)) && ad_is_nil(ad_maxout(NULL, 0, 1)));
    assert_true(ad_is_nil(ad_glu(NULL, 0)) && ad_is_nil(ad_isclose(NULL, NULL, -1, 0, false)));
    ad_graph_free(g);
}

/* The first op of a graph, so that no other has made room for the sums of the gradients. */
static void both_operands_broadcast(void **state) {
    (void)state;
    enum { ROWS = 300, COLUMNS = 500 };
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_param(g, AD_F32, NULL, AD_SHAPE(ROWS, 1)), *b = ad_param(g, AD_F32, NULL, AD_SHAPE(1, COLUMNS));
    assert_int_equal(ad_backward_from(ad_add(a, b), ad_ones(g, AD_F32, AD_SHAPE(ROWS, COLUMNS))), AD_OK);
    for (int i = 0; i < ROWS; i++) assert_close(ad_grad_at(a, i), COLUMNS, 0);
    for (int i = 0; i < COLUMNS; i++) assert_close(ad_grad_at(b, i), ROWS, 0);
    ad_graph_free(g);
}

/* Quotients that a whole number in f64 cannot tell from its neighbours: the slope in b is -(a - y) / b, as PyTorch's. */
static void remainders_of_large_quotients(void **state) {
    (void)state;
    static const double a[] = { 3e9 + 1, -7e12, 0x1p60, 10 }, b[] = { 3, 0.5, 3, 4 };
    static const double slope[] = { -1e9, 1.4e13, -0x1p60 / 3, -2 };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, a, AD_SHAPE(4)), *z = ad_param(g, AD_F64, b, AD_SHAPE(4)), *y = ad_fmod(x, z), *dz;
    for (int i = 0; i < 4; i++) assert_close(ad_at(y, i), fmod(a[i], b[i]), 0);
    assert_int_equal(ad_backward(ad_sum(y)), AD_OK);
    assert_int_equal(ad_gradient(ad_sum(y), 1, &z, &dz), AD_OK);
    for (int i = 0; i < 4; i++) {
        assert_close(ad_grad_at(z, i), slope[i], 1e-15);
        assert_close(ad_at(dz, i), slope[i], 1e-15);
    }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_operands_broadcast),
        cmocka_unit_test(unary_ops_at_special_points),
        cmocka_unit_test(slopes_of_powers_keep_their_range),
        cmocka_unit_test(signs_of_zeros),
        cmocka_unit_test(tails_are_accurate),
        cmocka_unit_test(binary_ops_at_special_points),
        cmocka_unit_test(predicates_and_logic),
        cmocka_unit_test(where_ignores_the_branch_not_taken),
        cmocka_unit_test(lerp_is_exact_at_weights_0_and_1),
        cmocka_unit_test(ternary_broadcasts_longer_than_a_chunk),
        cmocka_unit_test(one_var_as_every_operand),
        cmocka_unit_test(prelu_by_channel),
        cmocka_unit_test(glu_of_two_halves),
        cmocka_unit_test(isclose_is_relative_to_b),
        cmocka_unit_test(maxout_over_adjacent_elements),
        cmocka_unit_test(moments_of_random_numbers),
        cmocka_unit_test(rrelu_draws_one_slope_per_element),
        cmocka_unit_test(noisy_relu_noise_has_variance_sigmoid),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(gamma_functions_over_their_range),
        cmocka_unit_test(fourth_derivative_of_lgamma),
        cmocka_unit_test(vector_loops_against_scalar_path),
        cmocka_unit_test(bad_operands_are_reported),
        cmocka_unit_test(nil_is_propagated_and_null_is_reported),
        cmocka_unit_test(remainders_of_large_quotients),
    };
    return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
