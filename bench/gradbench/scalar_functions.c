/* scalar_functions.c: modules hello, lse, llsq and ode of GradBench: functions of one array. */
#include "bench/gradbench/common.h"

/* ---- hello: x^2 and 2 x ---------------------------------------------------------------------------------------- */

static void *hello(const gb_input *in) {
    ad_var *x = gb_leaf(in, "", 0), *y = ad_square(x);
    return gb_expression_new(in->g, 1, &x, y, y);
}

const gb_module gb_hello = { "hello", hello, GB_EXPRESSION("square", "double") };

/* ---- lse: log sum exp(x), by its parts ------------------------------------------------------------------------- */

static void *lse(const gb_input *in) {
    ad_var *x = gb_leaf(in, "x", 1), *most = ad_max(x);
    ad_var *y = ad_add(ad_log(ad_sum(ad_exp(ad_sub(x, most)))), most);
    return gb_expression_new(in->g, 1, &x, y, y);
}

const gb_module gb_lse = { "lse", lse, GB_EXPRESSION("primal", "gradient") };

/* ---- llsq: sum_i (s_i - sum_j x_j t_i^j)^2 / 2, where t_i are n places in -1 .. 1 and s_i their signs ---------- */

static void *llsq(const gb_input *in) {
    int64_t n = (int64_t)gb_number(in, "n");
    ad_var *x = gb_leaf(in, "x", 1), *t = ad_linspace(in->g, AD_F64, -1, 1, n), *sum = NULL;
    for (int64_t j = ad_numel(x); j-- > 0;) { /* Horner's rule */
        ad_var *xj = ad_select(x, 0, j);
        sum = sum ? ad_addcmul(xj, sum, t) : ad_expand(xj, ad_shape_of(t));
    }
    ad_var *y = sum ? ad_muls(ad_sum(ad_square(ad_sub(ad_sign(t), sum))), 0.5) : ad_nil(in->g);
    return gb_expression_new(in->g, 1, &x, y, y);
}

const gb_module gb_llsq = { "llsq", llsq, GB_EXPRESSION("primal", "gradient") };

/* ---- ode: y' = x (1, y_0, y_1, ..) from y(0) = 0 to t = 2, by s steps of Runge and Kutta's method -------------- */

/* The slope: x [n] times y [n] moved on by one, with 1 at its beginning. */
static ad_var *slope(ad_var *x, ad_var *y, ad_var *one) {
    int64_t n = ad_numel(x);
    return ad_mul(x, ad_concat(2, (ad_var *[]){ one, ad_slice(y, 0, 0, n - 1, 1) }, 0));
}

static void *ode(const gb_input *in) {
    int64_t s = (int64_t)gb_number(in, "s");
    ad_var *x = gb_leaf(in, "x", 1), *y = ad_zeros(in->g, AD_F64, ad_shape_of(x));
    ad_var *one = ad_ones(in->g, AD_F64, AD_SHAPE(1));
    double h = 2 / (double)s;
    for (int64_t i = 0; i < s && ad_ok(in->g); i++) {
        ad_var *k1 = slope(x, y, one), *k2 = slope(x, ad_add(y, ad_muls(k1, h / 2)), one);
        ad_var *k3 = slope(x, ad_add(y, ad_muls(k2, h / 2)), one), *k4 = slope(x, ad_add(y, ad_muls(k3, h)), one);
        y = ad_add(y, ad_muls(ad_add(ad_add(k1, k4), ad_muls(ad_add(k2, k3), 2)), h / 6));
    }
    return gb_expression_new(in->g, 1, &x, y, ad_select(y, 0, -1));
}

const gb_module gb_ode = { "ode", ode, GB_EXPRESSION("primal", "gradient") };
