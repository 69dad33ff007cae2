/* differences.c: lecture 2: finite differences beside backpropagation, and their error against the step. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { STEPS = 61 }; /* of the curve: h from 1e-12 to 1 */

/* A 2-3-1 network of sigmoids with its cross-entropy E on four points. E is built once and evaluated again. */
typedef struct {
    nn_module *net;
    ad_var *e;
} problem;

/* The same parameters in both dtypes: those that are drawn in f32. */
static problem build(const lecture *l, ad_graph *g, ad_dtype t) {
    const float x[] = { 0.2F, -1, 1.5F, 0.3F, -0.7F, 0.8F, -1.2F, -0.4F }, target[] = { 1, 0, 1, 0 };
    ad_seed(g, (uint64_t)lecture_seed(l));
    nn_module *drawn = nn_mlp(g, AD_F32, 3, (int64_t[]){ 2, 3, 1 }, ad_sigmoid);
    nn_module *net = nn_mlp(g, t, 3, (int64_t[]){ 2, 3, 1 }, ad_sigmoid);
    for (int k = 0; k < nn_parameter_count(net); k++)
        ad_set(nn_parameter_at(net, k).var, ad_data(ad_cast(nn_parameter_at(drawn, k).var, t)));
    ad_var *y = nn_apply(net, ad_cast(ad_tensor(g, AD_F32, x, AD_SHAPE(4, 2)), t));
    return (problem){ net, nn_bce_logits(y, ad_cast(ad_tensor(g, AD_F32, target, AD_SHAPE(4, 1)), t)) };
}

/* Moves an element to a number; returns the number that its dtype can hold. */
static double move(ad_var *x, int64_t i, double to) {
    if (ad_dtype_of(x) == AD_F64) ((double *)ad_data_mut(x))[i] = to;
    else ((float *)ad_data_mut(x))[i] = (float)to;
    return ad_at(x, i);
}

/* (E(theta + h) - E(theta - h)) / 2h for element i of theta; infinite where h vanishes beside theta. */
static double central(problem p, ad_var *theta, int64_t i, double h) {
    const double at = ad_at(theta, i);
    double right = move(theta, i, at + h);
    ad_eval(p.e);
    double up = ad_item(p.e), left = move(theta, i, at - h);
    ad_eval(p.e);
    double down = ad_item(p.e);
    move(theta, i, at);
    ad_eval(p.e);
    return right > left ? (up - down) / (right - left) : INFINITY;
}

/* The largest error of differences with step h in one problem, against backpropagation in f64. Prints each if asked. */
static double largest_error(problem p, problem exact, double h, bool print) {
    double worst = 0;
    for (int k = 0; k < nn_parameter_count(p.net); k++) {
        nn_parameter theta = nn_parameter_at(p.net, k);
        for (int64_t i = 0; i < ad_numel(theta.var); i++) {
            double slope = ad_grad_at(nn_parameter_at(exact.net, k).var, i), difference = central(p, theta.var, i, h);
            if (print)
                printf("dE/d %s[%d]  %+.12f  %+.12f  %8.1e\n", theta.name, (int)i, slope, difference,
                       difference - slope);
            worst = lecture_worst(worst, difference - slope);
        }
    }
    return worst;
}

/* The step with the smallest error, and that error. */
static int best(const double error[STEPS]) {
    int k = 0;
    for (int i = 1; i < STEPS; i++)
        if (error[i] < error[k]) k = i;
    return k;
}

int main(int argc, char **argv) {
    double h = 1e-5, steps[STEPS], error[2][STEPS], square[STEPS];
    lecture *l = lecture_begin(
        argc, argv,
        "Compares every derivative of a 2-3-1 network by central differences with backpropagation,\n"
        "and shows how the error depends on the step h, in f32 and f64.",
        "--step 0.1", (demo_option[]){ { "step", "h of the printed table", DEMO_REAL, &h, 1e-15, 1 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    problem single = build(l, g, AD_F32), exact = build(l, g, AD_F64);
    ad_backward(exact.e);

    printf("                backpropagation   differences     difference, h = %g\n", h);
    double worst = largest_error(exact, exact, h, true);
    lecture_claim(l, worst < 1e-9, "with h = %g in f64, central differences agree with backpropagation to %.1e", h,
                  worst);

    for (int k = 0; k < STEPS; k++) {
        steps[k] = pow(10, -12 + 12.0 * k / (STEPS - 1));
        error[0][k] = largest_error(single, exact, steps[k], false);
        error[1][k] = largest_error(exact, exact, steps[k], false);
        square[k] = steps[k] >= 1e-3 ? error[1][STEPS - 11] * pow(steps[k] / steps[STEPS - 11], 2) : NAN;
    }
    int f32 = best(error[0]), f64 = best(error[1]);
    double order = log10(error[1][STEPS - 11] / error[1][STEPS - 16]); /* from h = 1e-3 to h = 1e-2 */
    lecture_claim(l, steps[f32] > 1e-4 && steps[f32] < 0.1 && error[0][f32] < 1e-4,
                  "in f32 the best step is %.0e and leaves an error of %.0e", steps[f32], error[0][f32]);
    lecture_claim(l, steps[f64] > 1e-7 && steps[f64] < 1e-4 && error[1][f64] < 1e-9,
                  "in f64 the best step is %.0e and leaves an error of %.0e", steps[f64], error[1][f64]);
    lecture_claim(l, fabs(order - 2) < 0.1, "above it the error falls as h to the power %.2f", order);

    plot_panel(l, (panel_opts){ .title = "Error of central differences against their step",
                                .x = "step h",
                                .y = "largest error of dE/dθ",
                                .logx = true,
                                .logy = true });
    plot_lines(l, "f32", STEPS, steps, error[0]);
    plot_lines(l, "f64", STEPS, steps, error[1]);
    plot_dashed(l, "proportional to h²", STEPS, steps, square);
    return lecture_end(l, g);
}
