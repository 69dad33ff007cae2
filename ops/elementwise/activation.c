/* activation.c: elementwise activation functions of networks, each defined by its formulas. */
#define AD__WIDE_SLOPES
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/elementwise/elementwise.h"

AD_UNARY(logsigmoid, "log sigmoid(x), accurate in both tails"
         AD_DIFFERS("the second slope keeps its digits in both tails"),
         -4, 4,
         (x < 0 ? x : 0) - LOG1P_EXP(x),
         g / (1 + exp(x)),
         ad_mul(g, ad_sigmoid(ad_neg(x))), 0.0, 40.0, -40.0, 1e4, -1e4)
ad_var *ad_logsigmoid(ad_var *x) { return AD_CALL_1(logsigmoid, x); }

AD_UNARY(softplus, "log(1 + exp(x)), without overflow"
         AD_DIFFERS("exact for all x; PyTorch's is x above 20. softplus_with(x, 1, 20) is PyTorch's"),
         -4, 4,
         (x > 0 ? x : 0) + LOG1P_EXP(x),
         g / (1 + exp(-x)),
         ad_mul(g, ad_sigmoid(x)), 0.0, 25.0, 1e4, -1e4)
ad_var *ad_softplus(ad_var *x) { return AD_CALL_1(softplus, x); }

static int softplus_with_shape(ad_call *c) {
    double beta = *(const double *)c->attrs;
    return beta != 0 ? AD_OK : ad_call_fail(c, AD_EVALUE, "beta must not be 0; PyTorch's default is 1, threshold 20");
}

AD_UNARY_K2(softplus_with, "x where beta x > threshold, else log(1 + exp(beta x)) / beta",
            softplus_with_shape, beta, 2, threshold, 3, -4, 4,
            x * beta > threshold ? x : ((x * beta > 0 ? x * beta : 0) + LOG1P_EXP(x * beta)) / beta,
            x * beta > threshold ? g : g / (1 + exp(-x * beta)),
            ad_where(ad_gt(ad_muls(x, beta), ad__constant(x, threshold)), g, ad_mul(g, ad_sigmoid(ad_muls(x, beta)))),
            0.0, 1.5, 1e4, -1e4)
ad_var *ad_softplus_with(ad_var *x, double beta, double threshold) {
    return AD_CALL_K(softplus_with, x, beta, threshold);
}

AD_UNARY_K(leaky_relu, "x where x > 0, else slope x; its derivative at 0 is slope", NULL, slope, 0.2, 0.1, 2,
           x > 0 ? x : x * slope,
           x > 0 ? g : g * slope,
           ad_mul(g, ad_where(ad_gt(x, ad__constant(x, 0)), ad__constant(x, 1), ad__constant(x, slope))),
           0.0, -0.0, -1.0, -3.0, INFINITY, -INFINITY)
ad_var *ad_leaky_relu(ad_var *x, double slope) { return AD_CALL_K(leaky_relu, x, slope); }

/* exp(min(x, 0)): ad_where uses it for x <= 0 only, and exp(x) must not overflow where ad_where drops it. Its slope
   at 0 is 0, so that the second slope of elu and selu at 0 is 0, as in PyTorch. */
static ad_var *exp_left(ad_var *x) { return ad_exp(ad_neg(ad_relu(ad_neg(x)))); }

AD_UNARY_K(elu, "x where x > 0, else alpha (exp(x) - 1); slope alpha at 0"
           AD_DIFFERS("keeps the sign of -0; PyTorch's result there is 0"),
           NULL, alpha, 1.5, -3, 3,
           x > 0 ? x : alpha * expm1(x),
           x > 0 ? g : g * (alpha * exp(x)),
           ad_mul(g, ad_where(ad_gt(x, ad__constant(x, 0)), ad__constant(x, 1), ad_muls(exp_left(x), alpha))),
           0.0, -1.0, 2.0, 1e4, -INFINITY)
ad_var *ad_elu(ad_var *x, double alpha) { return AD_CALL_K(elu, x, alpha); }

static int celu_shape(ad_call *c) {
    double alpha = *(const double *)c->attrs;
    return alpha != 0 ? AD_OK : ad_call_fail(c, AD_EVALUE, "alpha must not be 0; PyTorch's default is 1");
}

/* exp(x / alpha) for x < 0, else 1 with slope 0, as in exp_left. */
static ad_var *exp_of_quotient(ad_var *x, double alpha) {
    ad_var *zero = ad__constant(x, 0);
    return ad_exp(ad_muls(ad_where(ad_lt(x, zero), x, zero), 1 / alpha));
}

AD_UNARY_K(celu, "x where x > 0, else alpha (exp(x / alpha) - 1); slope 1 at 0 (Barron 2017)", celu_shape,
           alpha, 1.5, -3, 3,
           x <= 0 ? alpha * expm1(x / alpha) : x,
           x <= 0 ? g * exp(x / alpha) : g,
           ad_where(ad_le(x, ad__constant(x, 0)), ad_mul(g, exp_of_quotient(x, alpha)), g),
           0.0, -1.0, 2.0, 1e4, -INFINITY)
ad_var *ad_celu(ad_var *x, double alpha) { return AD_CALL_K(celu, x, alpha); }

/* Scale and alpha are those of Klambauer et al. 2017; 1.758... is their product, the slope of the left part at 0. */
AD_UNARY(selu, "1.0507 elu(x) with alpha = 1.67326, which preserves mean 0 and variance 1"
         AD_DIFFERS("keeps the sign of -0; PyTorch's result there is 0"),
         -3, 3,
         x > 0 ? (T)1.0507009873554804934 * x : (T)1.7580993408473768600 * expm1(x),
         x > 0 ? g * (T)1.0507009873554804934 : g * ((T)1.7580993408473768600 * exp(x)),
         ad_where(ad_gt(x, ad__constant(x, 0)), ad_muls(g, 1.0507009873554804934),
                  ad_mul(g, ad_muls(exp_left(x), 1.7580993408473768600))), 0.0, -1.0, 2.0, 1e4, -INFINITY)
ad_var *ad_selu(ad_var *x) { return AD_CALL_1(selu, x); }

/* Phi(x), the normal distribution function, as erfc(-x / sqrt 2) / 2, which is accurate in the left tail. */
static ad_var *normal_cdf(ad_var *x) { return ad_muls(ad_erfc(ad_muls(x, -0.70710678118654752)), 0.5); }
static ad_var *normal_pdf(ad_var *x) { return ad_muls(ad_exp(ad_muls(ad_square(x), -0.5)), 0.39894228040143268); }

AD_UNARY(gelu, "x times the normal distribution function of x (Hendrycks and Gimpel 2016)"
         AD_DIFFERS("the second slope of huge x is 0; PyTorch's is NaN"),
         -4, 4,
         x / 2 * erfc(x * (T)-0.70710678118654752),
         g * ((fabs(x) > (T)1e-30 ? y / x : (T)0.5) + x * (T)0.39894228040143268 * exp(x * x / -2)),
         ad_mul(g, ad_add(normal_cdf(x), ad_mul(x, normal_pdf(x)))), 0.0, 10.0, -10.0, -30.0, 1e4, -1e4)
ad_var *ad_gelu(ad_var *x) { return AD_CALL_1(gelu, x); }

AD_UNARY(silu, "x sigmoid(x), also called swish"
         AD_DIFFERS("the second slope keeps its digits in both tails"),
         -4, 4,
         x / (1 + exp(-x)),
         g * (1 / (1 + exp(-x)) + x * SIGMOID_SLOPE(x)),
         ad_mul(g, ad_add(ad_sigmoid(x), ad_mul(y, ad_sigmoid(ad_neg(x))))), 0.0, 40.0, -40.0, 1e4, -1e4)
ad_var *ad_silu(ad_var *x) { return AD_CALL_1(silu, x); }

static ad_var *near(ad_var *x) {
    ad_var *far = ad_gt(ad_abs(x), ad__constant(x, 100));
    return ad_where(far, ad_muls(ad_sign(x), 100), x);
}
static ad_var *two_u(ad_var *x) {
    return ad_mul(x, ad_adds(ad_muls(ad_square(x), 0.071354816272600710), 1.5957691216057308));
}
static ad_var *two_u_slope(ad_var *x) {
    return ad_adds(ad_muls(ad_square(x), 0.21406444881780213), 1.5957691216057308);
}

static ad_var *gelu_tanh_rule(ad_var *g, ad_var *x) {
    ad_var *s = ad_sigmoid(two_u(x)), *rest = ad_sigmoid(ad_neg(two_u(x)));
    return ad_mul(g, ad_add(s, ad_mul(ad_mul(ad_mul(x, s), two_u_slope(x)), rest)));
}

AD_UNARY(gelu_tanh, "tanh approximation of gelu: x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3)"
         AD_DIFFERS("the slopes of huge x are 0 or 1; PyTorch's are NaN"),
         -4, 4,
         x / (1 + exp(-TWO_U(x))),
         g * (1 / (1 + exp(-TWO_U(NEAR(x)))) + NEAR(x) * TWO_U_SLOPE(NEAR(x)) * SIGMOID_SLOPE(TWO_U(NEAR(x)))),
         gelu_tanh_rule(g, near(x)),
         0.0, 5.0, -5.0, 1e4, -1e4)
ad_var *ad_gelu_tanh(ad_var *x) { return AD_CALL_1(gelu_tanh, x); }

AD_UNARY(mish, "x tanh(softplus(x))"
         AD_DIFFERS("the second slope keeps its digits in both tails"),
         -4, 4,
         x * TANH_SOFTPLUS(x),
         g * (TANH_SOFTPLUS(x) + x * TANH_SOFTPLUS_SLOPE(x)),
         ad_mul(g, ad_add(ad_tanh(ad_softplus(x)),
                          ad_mul(ad_mul(x, ad_sigmoid(x)), ad_adds(ad_neg(ad_square(ad_tanh(ad_softplus(x)))), 1)))),
         0.0, 20.0, -20.0, 1e4, -1e4)
ad_var *ad_mish(ad_var *x) { return AD_CALL_1(mish, x); }

AD_UNARY(softsign, "x / (1 + |x|)"
         AD_DIFFERS("the slopes at inf and -inf are 0; PyTorch's are NaN"),
         -3, 3,
         x / (1 + fabs(x)),
         g / (1 + fabs(x)) / (1 + fabs(x)),
         ad_div(ad_div(g, ad_adds(ad_abs(x), 1)), ad_adds(ad_abs(x), 1)), 0.0, 1e10, -1e10)
ad_var *ad_softsign(ad_var *x) { return AD_CALL_1(softsign, x); }

static int hardtanh_shape(ad_call *c) {
    const double *k = c->attrs;
    return k[0] <= k[1] ? AD_OK : ad_call_fail(c, AD_EVALUE, "lo is %g and hi is %g; lo must be <= hi", k[0], k[1]);
}

AD_UNARY_K2(hardtanh, "x limited to lo .. hi; slope 0 at both bounds, unlike clamp", hardtanh_shape,
            lo, -0.75, hi, 1, -2, 2,
            x < lo ? lo : x > hi ? hi : x,
            x <= lo || x >= hi ? 0 : g,
            ad__zero_where(ad_logical_or(ad_le(x, ad__constant(x, lo)), ad_ge(x, ad__constant(x, hi))), g),
            -0.75, 1.0, 3.0, -3.0, NAN, INFINITY, -INFINITY)
ad_var *ad_hardtanh(ad_var *x, double lo, double hi) { return AD_CALL_K(hardtanh, x, lo, hi); }

AD_UNARY(relu6, "x limited to 0 .. 6; slope 0 at both"
         AD_DIFFERS("the slope at NaN is 1, for every size; PyTorch's depends on the size of the array"),
         0.1, 5,
         x < 0 ? 0 : x > 6 ? 6 : x,
         x <= 0 || x >= 6 ? 0 : g,
         ad__zero_where(ad_logical_or(ad_le(x, ad__constant(x, 0)), ad_ge(x, ad__constant(x, 6))), g),
         0.0, 6.0, -1.0, 7.0, NAN, INFINITY, -INFINITY)
ad_var *ad_relu6(ad_var *x) { return AD_CALL_1(relu6, x); }

AD_UNARY_K2(threshold, "x where x > threshold, else value; slope 0 at the threshold", NULL,
            threshold, 0.4, value, -2, -2, 2,
            x <= threshold ? value : x,
            x <= threshold ? 0 : g,
            ad__zero_where(ad_le(x, ad__constant(x, threshold)), g), 0.4, 0.0, 3.0, -3.0, NAN, INFINITY, -INFINITY)
ad_var *ad_threshold(ad_var *x, double threshold, double value) { return AD_CALL_K(threshold, x, threshold, value); }

/* lambda is a limit of either sign: a negative one leaves all x as they are. */
static ad_var *is_shrunk(ad_var *x, double lambda) { return ad_le(ad_abs(x), ad__constant(x, lambda)); }

AD_UNARY_K(hardshrink, "x where |x| > lambda, else 0; slope 0 at -lambda and lambda"
           AD_DIFFERS("the slope at NaN is 1, for every size; PyTorch's depends on the size of the array"),
           NULL, lambda, 0.5, -2, 2,
           fabs(x) <= lambda ? 0 : x,
           fabs(x) <= lambda ? 0 : g,
           ad__zero_where(is_shrunk(x, lambda), g), 0.5, -0.5, 0.0, 3.0, -3.0, NAN, INFINITY, -INFINITY)
ad_var *ad_hardshrink(ad_var *x, double lambda) { return AD_CALL_K(hardshrink, x, lambda); }

static int softshrink_shape(ad_call *c) {
    double lambda = *(const double *)c->attrs;
    return lambda >= 0 ? AD_OK : ad_call_fail(c, AD_EVALUE, "lambda is %g; it must be >= 0", lambda);
}

AD_UNARY_K(softshrink, "x drawn towards 0 by lambda; 0 with slope 0 where |x| <= lambda"
           AD_DIFFERS("NaN stays NaN; PyTorch's is 0"),
           softshrink_shape, lambda, 0.5, -2, 2,
           x > lambda ? x - lambda : x < -lambda ? x + lambda : x * 0,
           fabs(x) <= lambda ? 0 : g,
           ad__zero_where(is_shrunk(x, lambda), g), 0.5, -0.5, 0.0, 3.0, -3.0, NAN, INFINITY, -INFINITY)
ad_var *ad_softshrink(ad_var *x, double lambda) { return AD_CALL_K(softshrink, x, lambda); }

/* Near 0, x - tanh x is (x cosh x - sinh x) / cosh x with the numerator as a series. + 0 makes -0 a 0, as in
   PyTorch. */
AD_UNARY(tanhshrink, "x - tanh(x), accurate near 0"
         AD_DIFFERS("value and slopes keep their digits near 0"),
         -3, 3,
         fabs(x) < 1 ? x * (x * x * SERIES_OF_REST(x * x) / (3 * cosh(x))) + 0 : x - tanh(x),
         g * tanh(x) * tanh(x),
         ad_mul(ad_mul(g, ad_tanh(x)), ad_tanh(x)), 0.0, 1e-5, 0.1, 0.75, -20.0, 1e4, -1e4, NAN)
ad_var *ad_tanhshrink(ad_var *x) { return AD_CALL_1(tanhshrink, x); }

AD_UNARY(hardsigmoid, "x / 6 + 1/2, limited to 0 .. 1; slope 0 at -3 and 3"
         AD_DIFFERS("the slope is 1/6 to the last digit; PyTorch's is 1/6 rounded to f32"),
         -2.9, 2.9,
         x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6,
         x > -3 && x < 3 ? g / 6 : 0,
         ad_where(ad_lt(ad_abs(x), ad__constant(x, 3)), ad_muls(g, 1.0 / 6), ad__constant(g, 0)),
         0.0, -3.0, 3.0, -5.0, 5.0, NAN, INFINITY)
ad_var *ad_hardsigmoid(ad_var *x) { return AD_CALL_1(hardsigmoid, x); }

static ad_var *hardswish_rule(ad_var *g, ad_var *x) {
    ad_var *left = ad_lt(x, ad__constant(x, -3)), *right = ad_gt(x, ad__constant(x, 3)), *one = ad__constant(x, 1);
    ad_var *inner = ad_where(ad_logical_or(left, right), one, x);
    ad_var *slope = ad_where(right, one, ad_adds(ad_muls(inner, 1.0 / 3), 0.5));
    return ad__zero_where(left, ad_mul(g, slope));
}

/* The slopes at -3 and 3 are those of the interval between them, as in PyTorch. */
AD_UNARY(hardswish, "x hardsigmoid(x); slope -0.5 at -3 and 1.5 at 3"
         AD_DIFFERS("the slopes at -3 and 3 are those of the interval between them, for every size; PyTorch's "
                    "depend on the size of the array"),
         -2.9, 2.9,
         x <= -3 ? x * 0 : x >= 3 ? x : x * ((x + 3) / 6),
         x < -3 ? 0 : x > 3 ? g : g * (x / 3 + (T)0.5),
         hardswish_rule(g, x),
         0.0, -3.0, 3.0, -5.0, 5.0, NAN, INFINITY)
ad_var *ad_hardswish(ad_var *x) { return AD_CALL_1(hardswish, x); }

/* ---- prelu: x [n,c,..], w [1] or [c]; the elementwise operands are a [n,c,..] and b [c,1,..] ------------- */

/* a where a <= 0, else 0 */
static ad_var *left_part(ad_var *a) { return ad__zero_where(ad_gt(a, ad__constant(a, 0)), a); }

AD_BINARY(prelu, "a where a > 0, else a b; ad_prelu(x, w) takes one slope, or one per channel of axis 1",
          -2, 2,
          a > 0 ? a : a * b,
          a > 0 ? g : g * b,
          a > 0 ? 0 : g * a,
          ad_mul(g, ad_where(ad_gt(a, ad__constant(a, 0)), ad__constant(b, 1), b)),
          ad__zero_where(ad_gt(a, ad__constant(a, 0)), ad_mul(g, left_part(a))), 0.0, -0.0, 1.0, -0.5)

ad_var *ad_prelu(ad_var *x, ad_var *w) {
    if (ad__absent(x) || ad__absent(w)) return ad__apply2(&ad_op_prelu, x, w, NULL);
    ad_call c = AD__CALL_AS("prelu", x);
    ad_shape per_channel = { .ndim = c.shape.ndim - 1 };
    int64_t n = w->layout->numel, channels = c.shape.ndim > 1 ? c.shape.dim[1] : 1;
    c.n = 2, c.in = (ad_var *[]){ x, w };
    if (w->layout->shape.ndim > 1 || (n != 1 && n != channels)) {
        ad_call_fail(&c, AD_ESHAPE, "slopes must be [1], or one for each of %lld channels (axis 1)",
                     (long long)channels);
        return ad_nil(c.graph);
    }
    if (n == 1) return ad__apply2(&ad_op_prelu, x, ad_reshape(w, AD_SCALAR), NULL);
    for (int i = 0; i < per_channel.ndim; i++) per_channel.dim[i] = i ? 1 : channels;
    return ad__apply2(&ad_op_prelu, x, ad_reshape(w, per_channel), NULL);
}

/* ---- maxout: x [..,c,..] -> [..,c/groups,..], as in PaddlePaddle ------------------------------------------ */

/* Each result is the largest of `groups` neighbouring elements along the axis (Goodfellow et al. 2013). */
ad_var *ad_maxout(ad_var *x, int axis, int64_t groups) {
    if (ad__absent(x)) return ad__nil_result(x, "maxout");
    ad_call c = AD__CALL_AS("maxout", x);
    ad_shape s = c.shape, cut = { .ndim = 3, .dim = { 1, groups, 1 } };
    int at = ad_call_axis(&c, axis, s.ndim);
    if (at < 0) return ad_nil(c.graph);
    if (groups < 1 || s.dim[at] % groups != 0) {
        ad_call_fail(&c, AD_ESHAPE, "%lld elements of axis %d do not divide into groups of %lld",
                     (long long)s.dim[at], at, (long long)groups);
        return ad_nil(c.graph);
    }
    s.dim[at] /= groups;
    for (int i = 0; i < s.ndim; i++) cut.dim[i <= at ? 0 : 2] *= s.dim[i];
    return ad_reshape(ad_max_axis(ad_reshape(x, cut), 1, false), s);
}

/* ---- glu: x [..,2n,..] -> y [..,n,..] (Dauphin et al. 2017) ---------------------------------------------- */

ad_var *ad_glu(ad_var *x, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "glu");
    ad_call c = AD__CALL_AS("glu", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    int64_t half = c.shape.dim[at] / 2;
    if (c.shape.dim[at] % 2 == 0) return ad_mul(ad_narrow(x, at, 0, half), ad_sigmoid(ad_narrow(x, at, half, half)));
    ad_call_fail(&c, AD_ESHAPE, "axis %d has %lld elements, which do not divide into two halves", at,
                 (long long)c.shape.dim[at]);
    return ad_nil(c.graph);
}
