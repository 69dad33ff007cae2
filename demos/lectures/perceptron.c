/* perceptron.c: lecture 4: perceptron and logistic regression, and a network that solves XOR. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { EPOCHS = 40, CELLS = 60 };
static const double corners[4][2] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } };
static const double and_[4] = { 0, 0, 0, 1 }, or_[4] = { 0, 1, 1, 1 }, xor_[4] = { 0, 1, 1, 0 };
static const char *const answers[2] = { "0", "1" };
static const panel_opts square = { .x = "x₁", .y = "x₂", .xlo = -0.5, .xhi = 1.5, .ylo = -0.5, .yhi = 1.5 };

/* ---- Rosenblatt's perceptron: numbers only ------------------------------------------------------------------- */

typedef struct {
    double w[EPOCHS + 1][3]; /* w1, w2 and the threshold's b after each epoch */
    int errors[EPOCHS];      /* in each epoch */
    int converged;           /* the first epoch without an error, from 1; 0: none */
    int from, period; /* the weights after epoch from + period are those after epoch from; 0: they never return */
} perceptron;

static perceptron learn(const double target[4]) {
    perceptron p = { .converged = 0 };
    for (int e = 0; e < EPOCHS; e++) {
        double *w = p.w[e + 1];
        memcpy(w, p.w[e], sizeof p.w[e]);
        for (int i = 0; i < 4; i++) {
            double error = target[i] - (w[0] * corners[i][0] + w[1] * corners[i][1] + w[2] > 0);
            w[0] += error * corners[i][0], w[1] += error * corners[i][1], w[2] += error;
            p.errors[e] += error != 0;
        }
        if (p.errors[e] == 0 && p.converged == 0) p.converged = e + 1;
        for (int k = 0; k <= e && p.converged == 0 && p.period == 0; k++)
            if (memcmp(p.w[k], w, sizeof p.w[k]) == 0) p.from = k, p.period = e + 1 - k;
    }
    return p;
}

/* ---- networks ------------------------------------------------------------------------------------------------ */

static nn_dataset table(ad_graph *g, const double target[4]) {
    return (nn_dataset){ ad_tensor(g, AD_F64, corners, AD_SHAPE(4, 2)), ad_tensor(g, AD_F64, target, AD_SHAPE(4, 1)) };
}

/* Trains on all four corners; returns the loss. */
static double train(nn_module *net, nn_dataset d, int64_t steps) {
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.05 });
    ad_var *loss = nn_bce_logits(nn_apply(net, d.x), d.y);
    for (int64_t k = 0; k < steps && ad_eval(loss) == AD_OK; k++) nn_zero_grad(opt), ad_backward(loss), nn_step(opt);
    ad_eval(loss);
    return ad_item(loss);
}

/* The number of corners on their right side. */
static int right(nn_module *net, nn_dataset d) {
    ad_var *y = nn_apply(net, d.x);
    int n = 0;
    for (int i = 0; i < 4; i++) n += (ad_at(y, i) > 0) == (ad_at(d.y, i) > 0.5);
    return n;
}

/* A 2-2-1 network can get stuck on XOR; then it starts anew. Returns the number of starts. */
static int solve_xor(ad_graph *g, nn_dataset d, int64_t steps, nn_module **net) {
    for (int starts = 1;; starts++) {
        *net = nn_sequential(g, nn_linear(g, AD_F64, 2, 2, true), nn_sigmoid(g), nn_linear(g, AD_F64, 2, 1, true));
        double loss = train(*net, d, steps);
        if (loss < 0.05 || starts == 20 || !ad_ok(g)) return starts;
    }
}

/* ---- pictures ------------------------------------------------------------------------------------------------ */

static void plot_errors(lecture *l, const char *name, const perceptron *p) {
    double errors[EPOCHS];
    for (int e = 0; e < EPOCHS; e++) errors[e] = p->errors[e];
    plot_lines(l, name, 20, NULL, errors);
}

static void plot_net(lecture *l, ad_graph *g, const char *title, nn_module *net, nn_dataset d) {
    panel_opts o = square;
    o.title = title;
    plot_panel(l, o);
    plot_field(l, PLOT_PROBABILITY, CELLS, CELLS, ad_sigmoid(nn_apply(net, plot_cells(g, AD_F64, CELLS, CELLS, o))));
    plot_classes(l, d.x, d.y, 2, answers);
}

/* The plane of the two hidden units, where the last layer draws a straight line. */
static void plot_hidden(lecture *l, ad_graph *g, nn_module *net, nn_dataset d) {
    panel_opts o = {
        .title = "XOR in the hidden plane", .x = "h₁", .y = "h₂", .xlo = -0.1, .xhi = 1.1, .ylo = -0.1, .yhi = 1.1
    };
    ad_var *w1 = nn_find_parameter(net, "0.weight"), *b1 = nn_find_parameter(net, "0.bias");
    ad_var *w2 = nn_find_parameter(net, "2.weight"), *b2 = nn_find_parameter(net, "2.bias");
    plot_panel(l, o);
    plot_field(l, PLOT_PROBABILITY, CELLS, CELLS,
               ad_sigmoid(ad_affine(plot_cells(g, AD_F64, CELLS, CELLS, o), w2, b2)));
    plot_classes(l, ad_sigmoid(ad_affine(d.x, w1, b1)), d.y, 2, answers);
}

int main(int argc, char **argv) {
    int64_t steps = 2000;
    lecture *l = lecture_begin(
        argc, argv,
        "Rosenblatt's rule learns AND and OR, whose answers a line separates, and cycles on XOR; logistic\n"
        "regression finds a line too; a network with two hidden units solves XOR.",
        "--steps 20", (demo_option[]){ { "steps", "of the trainings", DEMO_WHOLE, &steps, 1, 1e6 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    perceptron a = learn(and_), o = learn(or_), x = learn(xor_);
    lecture_claim(l, a.converged > 0 && o.converged > 0,
                  "the perceptron makes no error on AND from epoch %d and on OR from epoch %d", a.converged,
                  o.converged);
    lecture_claim(l, x.converged == 0 && x.period > 0,
                  "on XOR it cycles: its weights after epoch %d are those after epoch %d", x.from + x.period, x.from);

    nn_dataset both = table(g, and_), either = table(g, xor_);
    nn_module *line = nn_linear(g, AD_F64, 2, 1, true), *flat = nn_linear(g, AD_F64, 2, 1, true), *net;
    double loss = train(line, both, steps), stuck = train(flat, either, steps);
    lecture_claim(l, right(line, both) == 4 && loss < 0.1,
                  "logistic regression answers AND with a cross-entropy of %.3f", loss);
    lecture_claim(l, right(flat, either) < 4 && fabs(stuck - log(2)) < 0.01,
                  "on XOR its cross-entropy stays at %.4f, which is log 2: one half for every answer", stuck);
    int starts = solve_xor(g, either, steps, &net);
    lecture_claim(l, right(net, either) == 4 && train(net, either, 0) < 0.05,
                  "a 2-2-1 network answers XOR with a cross-entropy of %.4f (start %d)", train(net, either, 0), starts);

    plot_layout(l, 2, 2);
    plot_panel(l, (panel_opts){ .title = "Rosenblatt's rule", .x = "epoch", .y = "errors of 4", .ylo = 0, .yhi = 4.2 });
    plot_errors(l, "AND", &a);
    plot_errors(l, "OR", &o);
    plot_errors(l, "XOR", &x);
    plot_net(l, g, "Logistic regression on AND", line, both);
    plot_net(l, g, "A 2-2-1 network on XOR", net, either);
    plot_hidden(l, g, net, either);
    return lecture_end(l, g);
}
