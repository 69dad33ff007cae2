/* activations.c: lecture 7: activation functions and their derivatives. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { POINTS = 201, TERMS = 60 };
static const double LO = -4, HI = 4;

/* ---- the functions ------------------------------------------------------------------------------------------- */

static ad_var *step(ad_var *x) { return ad_gt(x, ad_zeros_like(x)); }
static ad_var *leaky(ad_var *x) { return ad_leaky_relu(x, 0.1); }
static ad_var *prelu(ad_var *x) { return ad_prelu(x, ad_full(ad_graph_of(x), AD_F64, 0.25, AD_SHAPE(1))); }
static ad_var *rrelu(ad_var *x) { return ad_rrelu(x, 1.0 / 8, 1.0 / 3, true); }
static ad_var *elu(ad_var *x) { return ad_elu(x, 1); }
/* The largest of three lines, here -x - 1, x / 4 and 2 x - 2. */
static ad_var *maxout(ad_var *x) {
    return ad_maximum(ad_maximum(ad_adds(ad_neg(x), -1), ad_muls(x, 0.25)), ad_adds(ad_muls(x, 2), -2));
}

typedef struct {
    const char *name;
    nn_activation *f;
    bool random; /* draws at each evaluation: differences say nothing */
} function;
static const function functions[] = {
    { "step", step, false },
    { "sigmoid", ad_sigmoid, false },
    { "tanh", ad_tanh, false },
    { "softplus", ad_softplus, false },
    { "relu", ad_relu, false },
    { "leaky 0.1", leaky, false },
    { "prelu 0.25", prelu, false },
    { "rrelu", rrelu, true },
    { "elu", elu, false },
    { "selu", ad_selu, false },
    { "noisy relu", ad_noisy_relu, true },
    { "maxout", maxout, false },
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

typedef struct {
    double x[POINTS], y[POINTS], slope[POINTS];
} curve;

static void evaluate(ad_graph *g, nn_activation *f, double shift, curve *c) {
    for (int i = 0; i < POINTS; i++) c->x[i] = LO + (HI - LO) * i / (POINTS - 1) + shift;
    ad_var *x = ad_param(g, AD_F64, c->x, AD_SHAPE(POINTS)), *y = f(x);
    if (ad_requires_grad(y)) ad_backward(ad_sum(y)); /* each y depends on its own x */
    for (int i = 0; i < POINTS; i++) c->y[i] = ad_at(y, i), c->slope[i] = ad_grad_at(x, i);
}

/* The largest difference between the engine's slopes and central differences, away from 0 and from jumps. */
static double slope_error(ad_graph *g, nn_activation *f, const curve *c) {
    static curve up, down;
    const double h = 1e-5;
    double worst = 0;
    evaluate(g, f, h, &up);
    evaluate(g, f, -h, &down);
    for (int i = 1; i + 1 < POINTS; i++) {
        bool kink =
            fabs(c->x[i]) < 0.01 || fabs(c->slope[i + 1] - c->slope[i - 1]) > 0.05 || fabs(up.y[i] - down.y[i]) > 0.1;
        if (!kink) worst = lecture_worst(worst, (up.y[i] - down.y[i]) / (2 * h) - c->slope[i]);
    }
    return worst;
}

/* ---- relu as a sum of sigmoids, and softmax ------------------------------------------------------------------ */

/* 1/k times the sum over i of sigmoid(k x - i + 1/2), a staircase with steps of height 1/k under round corners. */
static ad_var *staircase(ad_var *x, double k) {
    ad_var *sum = ad_zeros_like(x);
    for (int i = 1; i <= TERMS; i++) sum = ad_add(sum, ad_sigmoid(ad_adds(ad_muls(x, k), 0.5 - i)));
    return ad_muls(sum, 1 / k);
}

/* Plots relu and the sums for k = 1 and 8; returns the largest distance for each. */
static void plot_sums(lecture *l, ad_graph *g, double off[2]) {
    static curve relu, sum;
    evaluate(g, ad_relu, 0, &relu);
    plot_panel(l, (panel_opts){ .title = "relu as a sum of shifted sigmoids", .x = "x", .y = "f(x)" });
    for (int k = 0; k < 2; k++) {
        ad_var *x = ad_tensor(g, AD_F64, relu.x, AD_SHAPE(POINTS)), *y = staircase(x, k == 0 ? 1 : 8);
        off[k] = 0;
        for (int i = 0; i < POINTS; i++) off[k] = lecture_worst(off[k], (sum.y[i] = ad_at(y, i)) - relu.y[i]);
        plot_lines(l, k == 0 ? "Σ σ(x - i + ½)" : "⅛ Σ σ(8x - i + ½)", POINTS, relu.x, sum.y);
    }
    plot_dashed(l, "relu", POINTS, relu.x, relu.y);
}

/* Softmax and one-hot of the lecture's numbers. */
static void plot_softmax(lecture *l, ad_graph *g) {
    const double z[4] = { 0.6, 3.4, -1.2, 0.05 };
    static const char *const names[4] = { "z = 0.6", "z = 3.4", "z = -1.2", "z = 0.05" };
    ad_var *x = ad_tensor(g, AD_F64, z, AD_SHAPE(4)), *soft = ad_softmax(x, 0), *hard = ad_one_hot(ad_argmax(x), 4);
    double total = 0, bars[2][4], off = 0;
    for (int i = 0; i < 4; i++) total += exp(z[i]);
    for (int i = 0; i < 4; i++) {
        bars[0][i] = ad_at(soft, i), bars[1][i] = ad_at(hard, i);
        off = lecture_worst(off, bars[0][i] - exp(z[i]) / total) + fabs(bars[1][i] - (i == 1));
    }
    lecture_claim(l, off < 1e-12,
                  "softmax(0.6, 3.4, -1.2, 0.05) = (%.4f, %.4f, %.4f, %.4f), and one-hot has its 1 there too",
                  bars[0][0], bars[0][1], bars[0][2], bars[0][3]);
    plot_panel(l, (panel_opts){ .title = "Softmax and one-hot", .x = "", .y = "share", .ylo = 0, .yhi = 1.05 });
    plot_bars(l, "softmax", 4, names, bars[0]);
    plot_bars(l, "one-hot", 4, names, bars[1]);
}

int main(int argc, char **argv) {
    double least = 0.1, off[2], worst = 0;
    static curve c[FUNCTIONS];
    lecture *l = lecture_begin(
        argc, argv,
        "Activation functions and their derivatives, which are checked by differences; softmax and one-hot;\n"
        "relu as a sum of shifted sigmoids.",
        "--distance 0.01",
        (demo_option[]){ { "distance", "that the sums of sigmoids may have from relu", DEMO_REAL, &least, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    plot_layout(l, 4, 2);
    for (int i = 0; i < FUNCTIONS; i++) {
        evaluate(g, functions[i].f, 0, &c[i]);
        double error = functions[i].random ? 0 : slope_error(g, functions[i].f, &c[i]);
        printf("%-10s  f(-1) = %+.4f  f(1) = %+.4f  f'(-1) = %+.4f  f'(1) = %+.4f\n", functions[i].name, c[i].y[75],
               c[i].y[125], c[i].slope[75], c[i].slope[125]);
        worst = lecture_worst(worst, error);
    }
    lecture_claim(l, worst < 1e-9,
                  "the derivatives of the %d functions that are not random agree with differences to %.0e",
                  FUNCTIONS - 2, worst);
    for (int i = 0; i < FUNCTIONS; i += 4)
        for (int slopes = 0; slopes < 2; slopes++) {
            plot_panel(l, (panel_opts){ .title = slopes ? "Their derivatives" : "Functions",
                                        .x = "x",
                                        .y = slopes ? "f'(x)" : "f(x)" });
            for (int k = i; k < i + 4; k++)
                (functions[k].random ? plot_points : plot_lines)(l, functions[k].name, POINTS, c[k].x,
                                                                 slopes ? c[k].slope : c[k].y);
        }
    plot_softmax(l, g);
    plot_sums(l, g, off);
    lecture_claim(l, off[1] < least && off[0] > 4 * off[1],
                  "sums of sigmoids are within %.3f of relu with one step a unit, and within %.3f with eight", off[0],
                  off[1]);
    return lecture_end(l, g);
}
