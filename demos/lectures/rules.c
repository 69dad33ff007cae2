/* rules.c: lecture 18: seven wrong rules of differentiation, and the checks that catch them. */
#include "autodiff/op.h"
#include "demos/lectures/lecture.h"
#include "ops/ops.h"

/* y = x^3 with two rules for its gradient: numbers, added to gx[i] from x = x[i] and the cotangent g = g[i], and Vars.
   Both are given as expressions. */
#define CUBE(name, numbers, vars)                                                                                      \
    static void name##_backward(const ad_op *op) {                                                                     \
        const double *xs = ad_data(ad_op_operand(op, 0)), *gs = ad_grad(ad_op_result(op));                             \
        double *gx = ad_grad_into(op, 0);                                                                              \
        for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) {                                                     \
            const double x = xs[i], g = gs[i];                                                                         \
            (void)x, (void)g, numbers;                                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {                                                 \
        ad_var *x = ad_op_operand(op, 0), *slope = ad_muls(ad_square(x), 3);                                           \
        (void)g, (void)slope, dx[0] = vars;                                                                            \
    }                                                                                                                  \
    static void name##_samples(ad_sampler *s) { ad_sample(s, NULL, 1, &AD_SHAPE(4), NULL, NULL); }                     \
    static AD_OPTYPE(name, .doc = "x cubed", .arity = 1, .evaluate = { NULL, cube },                                   \
                     .backward = { NULL, name##_backward }, .vjp = name##_vjp)

static int cube(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0));
    double *y = ad_values(op);
    for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) y[i] = x[i] * x[i] * x[i];
    return AD_OK;
}

CUBE(right, gx[i] += g * (3 * x * x), ad_mul(g, slope));
CUBE(wrong_factor, gx[i] += g * (2 * x * x), ad_mul(g, ad_muls(ad_square(x), 2)));
CUBE(wrong_sign, gx[i] -= g * (3 * x * x), ad_neg(ad_mul(g, slope)));
CUBE(wrong_below_0, gx[i] += x < 0 ? 0 : g * (3 * x * x), ad_mul(g, ad_mul(slope, ad_ge(x, ad_zeros_like(x)))));
CUBE(no_cotangent, gx[i] += 3 * x * x, slope);
CUBE(overwrites, gx[i] = g * (3 * x * x), ad_mul(g, slope));
CUBE(rules_differ, gx[i] += g * (3 * x * x), ad_mul(g, ad_muls(slope, 1.01)));
CUBE(constant_slope, gx[i] += g * (3 * x * x), ad_mul(g, ad_detach(slope)));

enum { WRONG = 7, SLIPS = 11 };
static const struct {
    const char *name;
    const ad_optype *op;
} wrong[WRONG] = { { "wrong factor", &ad_op_wrong_factor },   { "wrong sign", &ad_op_wrong_sign },
                   { "wrong below 0", &ad_op_wrong_below_0 }, { "no cotangent", &ad_op_no_cotangent },
                   { "overwrites", &ad_op_overwrites },       { "two rules differ", &ad_op_rules_differ },
                   { "constant slope", &ad_op_constant_slope } };

/* x^3 whose gradient is too large by a part of itself, the slip. */
static void slipped(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *slip) {
    (void)n, (void)y;
    dxs[0] = ad_mul(g, ad_muls(ad_square(xs[0]), 3 * (1 + *(double *)slip)));
}
static ad_var *expression(int n, ad_var *const xs[], void *slip) {
    return ad_sum(ad_custom(ad_pows(xs[0], 3), n, xs, slipped, slip));
}

/* The relative difference that ad_gradcheck finds, with PyTorch's tolerances or the least ones; 0 if it finds none. */
static double find_slip(ad_graph *g, double slip, bool least) {
    ad_check_opts o = { .atol = least ? 1e-300 : 0, .rtol = least ? 1e-300 : 0 };
    ad_check_report r;
    ad_mark m = ad_begin(g);
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.7 }, AD_SHAPE(1));
    int rc = ad_gradcheck(expression, &slip, 1, &x, &o, &r);
    ad_end(g, m);
    return rc == AD_ECHECK ? fabs(r.analytic / r.numeric - 1) : 0;
}

static void plot(lecture *l, ad_graph *g, const double found[WRONG]) {
    const char *names[WRONG];
    double slip[SLIPS], seen[SLIPS], bound[] = { 1e-3, 1e-3 }, ends[] = { 1e-5, 1 };
    for (int k = 0; k < WRONG; k++) names[k] = wrong[k].name;
    for (int k = 0; k < SLIPS; k++) {
        slip[k] = pow(10, -5 + 0.5 * k);
        seen[k] = find_slip(g, slip[k], true);
    }
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Wrong rules for x³", .y = "difference that is found", .logy = true,
                                .ylo = 0.01, .yhi = 100 });
    plot_bars(l, "", WRONG, names, found);
    plot_panel(l, (panel_opts){ .title = "A gradient too large by a part", .x = "part", .y = "difference, relative",
                                .logx = true, .logy = true });
    plot_points(l, "found by differences", SLIPS, slip, seen);
    plot_dashed(l, "tolerance of ad_gradcheck", 2, ends, bound);
}

int main(int argc, char **argv) {
    double slip = 0.01, found[WRONG];
    int caught = 0;
    lecture *l = lecture_begin(
        argc, argv,
        "An op with its rule right, and with seven wrong ones. ad_check_op compares rules with finite differences,\n"
        "with each other and with themselves after a second pass, and second derivatives too; it catches all seven.",
        "--slip 1e-6",
        (demo_option[]){ { "slip", "relative error of a gradient, for ad_gradcheck", DEMO_REAL, &slip, 0, 1 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    ad_check_report r;
    int rc = ad_check_op(g, &ad_op_right, &r);
    lecture_claim(l, rc == AD_OK && r.compared > 10, "the right rule agrees in %lld numbers", (long long)r.compared);
    for (int k = 0; k < WRONG; k++) {
        caught += ad_check_op(g, wrong[k].op, &r) == AD_ECHECK;
        found[k] = fabs(r.analytic - r.numeric);
        printf("%s\n", r.message);
    }
    lecture_claim(l, caught == WRONG, "of %d wrong rules, %d are caught", WRONG, caught);
    double seen = find_slip(g, slip, false);
    lecture_claim(l, fabs(seen / slip - 1) < 0.01, "ad_gradcheck finds a gradient that is wrong by %.2g: it says %.2g",
                  slip, seen);
    plot(l, g, found);
    return lecture_end(l, g);
}
