/* backprop.c: lecture 3: backpropagation by hand: the delta rules of three kinds of output. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { N = 5, IN = 3, HIDDEN = 4, OUT = 3, NUMBERS = HIDDEN * IN + HIDDEN + OUT * HIDDEN + OUT };

/* The network s1 = W1 x + b1, h = sigmoid(s1), s2 = W2 h + b2, a = f(s2), with f and the error E by the kind. */
typedef enum { LINEAR, BINARY, CATEGORICAL } output;
static const char *const kind[] = { "squared error, linear", "binary cross-entropy, sigmoid",
                                    "cross-entropy, softmax" };

typedef struct {
    double w1[HIDDEN][IN], b1[HIDDEN], w2[OUT][HIDDEN], b2[OUT];
} numbers; /* of the parameters, or of their derivatives; without gaps, so that it is an array too */

static double sigmoid(double s) { return 1 / (1 + exp(-s)); }

/* The activations a of the outputs from their sums s. */
static void activate(output f, const double s[OUT], double a[OUT]) {
    double total = 0;
    for (int k = 0; k < OUT; k++) total += exp(s[k]);
    for (int k = 0; k < OUT; k++) a[k] = f == LINEAR ? s[k] : f == BINARY ? sigmoid(s[k]) : exp(s[k]) / total;
}

/* Adds the derivatives of one sample's error: forward, then the deltas dE/ds backward. slope is the factor of f'(s). */
static void backpropagate(output f, const numbers *p, const double x[IN], const double y[OUT], double slope,
                          numbers *d) {
    double h[HIDDEN], s2[OUT], a[OUT], delta2[OUT];
    for (int j = 0; j < HIDDEN; j++) {
        double s = p->b1[j];
        for (int i = 0; i < IN; i++) s += p->w1[j][i] * x[i];
        h[j] = sigmoid(s);
    }
    for (int k = 0; k < OUT; k++) {
        s2[k] = p->b2[k];
        for (int j = 0; j < HIDDEN; j++) s2[k] += p->w2[k][j] * h[j];
    }
    activate(f, s2, a);
    for (int k = 0; k < OUT; k++) {
        delta2[k] = (a[k] - y[k]) / N; /* the same rule for all three: the error is a mean over N samples */
        d->b2[k] += delta2[k];
        for (int j = 0; j < HIDDEN; j++) d->w2[k][j] += delta2[k] * h[j];
    }
    for (int j = 0; j < HIDDEN; j++) {
        double sum = 0;
        for (int k = 0; k < OUT; k++) sum += delta2[k] * p->w2[k][j];
        double delta1 = slope * h[j] * (1 - h[j]) * sum; /* f'(s) sum of delta w */
        d->b1[j] += delta1;
        for (int i = 0; i < IN; i++) d->w1[j][i] += delta1 * x[i];
    }
}

/* The same error as an expression of the engine. */
static ad_var *error_of(output f, ad_var *s2, ad_var *y) {
    if (f == LINEAR) return ad_muls(nn_mse_with(s2, y, AD_SUM), 0.5 / N);
    if (f == BINARY) return ad_muls(nn_bce_logits_with(s2, y, NULL, AD_SUM), 1.0 / N);
    return nn_cross_entropy_with(s2, y, (ad_ce_opts){ .reduction = AD_MEAN });
}

/* The parameters of net, and the derivatives that the engine found, in the order of `numbers`. */
static void read(nn_module *net, numbers *p, numbers *d) {
    double *to = (double *)p, *slopes = (double *)d;
    for (int k = 0; k < nn_parameter_count(net); k++) {
        ad_var *w = nn_parameter_at(net, k).var;
        for (int64_t i = 0; i < ad_numel(w); i++) *to++ = ad_at(w, i), *slopes++ = ad_grad_at(w, i);
    }
}

/* Targets [N,OUT]: any numbers, 0 and 1, or one 1 in each row. */
static ad_var *targets(ad_graph *g, output f) {
    ad_var *y = ad_randn(g, AD_F64, AD_SHAPE(N, OUT));
    if (f == BINARY) return ad_gt(y, ad_zeros_like(y));
    return f == LINEAR ? y : ad_one_hot(ad_argmax_axis(y, 1, false), OUT);
}

/* Both sets of derivatives for one kind of output; returns the largest difference. */
static double compare(ad_graph *g, output f, double slope, double hand[NUMBERS], double engine[NUMBERS]) {
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ IN, HIDDEN, OUT }, ad_sigmoid);
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(N, IN)), *y = targets(g, f);
    if (ad_backward(error_of(f, nn_apply(net, x), y)) != AD_OK) return NAN;
    numbers p, d = { { { 0 } }, { 0 }, { { 0 } }, { 0 } };
    read(net, &p, (numbers *)engine);
    for (int n = 0; n < N; n++)
        backpropagate(f, &p, (const double *)ad_data(x) + n * IN, (const double *)ad_data(y) + n * OUT, slope, &d);
    memcpy(hand, &d, sizeof d);
    double worst = 0;
    for (int i = 0; i < NUMBERS; i++) worst = lecture_worst(worst, hand[i] - engine[i]);
    return worst;
}

int main(int argc, char **argv) {
    double slope = 1, hand[NUMBERS], engine[NUMBERS], line[2] = { -0.4, 0.4 };
    lecture *l = lecture_begin(
        argc, argv,
        "Backpropagation written by hand for a 3-4-3 network: the delta of an output is a - y for squared\n"
        "error and linear, binary and sigmoid, categorical and softmax outputs; that of a hidden unit is\n"
        "f'(s) times the sum of delta w. All derivatives are compared with the engine's.",
        "--slope 0.9",
        (demo_option[]){ { "slope", "factor of f'(s) in the rule by hand", DEMO_REAL, &slope, 0, 2 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    plot_panel(l, (panel_opts){ .title = "Delta rules by hand against the engine",
                                .x = "dE/dθ by the engine",
                                .y = "dE/dθ by hand",
                                .xlo = -0.4,
                                .xhi = 0.4,
                                .ylo = -0.4,
                                .yhi = 0.4 });
    for (int f = LINEAR; f <= CATEGORICAL; f++) {
        double worst = compare(g, (output)f, slope, hand, engine);
        lecture_claim(l, worst < 1e-12, "%s output: %d derivatives by hand equal the engine's to %.0e", kind[f],
                      NUMBERS, worst);
        plot_points(l, kind[f], NUMBERS, engine, hand);
    }
    plot_dashed(l, "equal", 2, line, line);
    return lecture_end(l, g);
}
