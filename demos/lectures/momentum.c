/* momentum.c: lecture 14: gradient descent with and without momentum, in a ravine, over a hill, on minibatches. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { STEPS = 400, WAYS = 4, ROWS = 1000, EPOCHS = 20, ARC = 121 };
static const double STEEP = 50; /* how much more curved the ravine is across than along */

/* f = (x^2 + 50 y^2) / 2 of p [2]: a ravine along x. */
static ad_var *ravine(nn_module *m, ad_var *p) {
    (void)m;
    ad_var *x = ad_select(p, 0, 0), *y = ad_select(p, 0, 1);
    return ad_muls(ad_add(ad_square(x), ad_muls(ad_square(y), STEEP)), 0.5);
}

/* f = (x - 3)^2 / 10 - exp(-4 (x + 1)^2) of p [1]: a shallow minimum near -1 on the way to the one at 3. */
static ad_var *hills(nn_module *m, ad_var *p) {
    (void)m;
    ad_var *x = ad_sum(p);
    return ad_sub(ad_muls(ad_square(ad_adds(x, -3)), 0.1), ad_exp(ad_muls(ad_square(ad_adds(x, 1)), -4)));
}

typedef struct {
    const char *name;
    nn_sgd_opts sgd;
    nn_adam_opts adam; /* if it has a rate: Adam in place of SGD */
} way;

/* The places x, y and heights f of a descent, from before the first step on. */
typedef struct {
    double x[STEPS + 1], y[STEPS + 1], f[STEPS + 1];
} path;

/* Descends from start, n numbers. */
static void descend(ad_graph *g, nn_forward_fn *f, int n, const double *start, way w, path *to) {
    nn_module *m = nn_module_new(g, "landscape", f, 0);
    ad_var *p = nn_add_parameter(m, "p", ad_param(g, AD_F64, start, AD_SHAPE(n)));
    nn_optim *opt = w.adam.lr > 0 ? nn_adam(m, w.adam) : nn_sgd(m, w.sgd);
    for (int k = 0; k <= STEPS && ad_ok(g); k++) {
        ad_mark s = ad_begin(g);
        ad_var *height = nn_apply(m, p);
        to->x[k] = ad_at(p, 0), to->y[k] = ad_at(p, n - 1), to->f[k] = ad_item(height);
        nn_zero_grad(opt);
        ad_backward(height);
        nn_step(opt);
        ad_end(g, s);
    }
}

/* The number of steps until the height is a hundred-millionth of the first one. */
static int steps_of(const path *w) {
    int k = 0;
    while (k < STEPS && w->f[k] > 1e-8 * w->f[0]) k++;
    return k;
}

/* The loss on all rows after each pass over them, in minibatches of so many rows. */
static void train(const lecture *l, nn_dataset d, int64_t batch, double loss[EPOCHS]) {
    ad_graph *g = ad_graph_of(d.x);
    ad_seed(g, (uint64_t)lecture_seed(l) + 1); /* the same initial weights each time */
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 2, 16, 2 }, ad_tanh);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.5 });
    for (int e = 0; e < EPOCHS; e++) {
        nn_fit(net, nn_cross_entropy, opt, d, (nn_fit_opts){ .epochs = 1, .batch = batch }, NULL);
        loss[e] = nn_evaluate(net, nn_cross_entropy, NULL, d, ROWS).loss;
    }
}

static void plot_ravine(lecture *l, const way *ways, const path *w) {
    plot_panel(l, (panel_opts){ .title = "A ravine, from (-10, 1)", .x = "x", .y = "y", .xlo = -11, .xhi = 4, .ylo = -4,
                                .yhi = 4 });
    for (int k = 1; k <= 3; k++) { /* contours are ellipses */
        double x[ARC], y[ARC];
        for (int i = 0; i < ARC; i++) {
            double angle = 2 * acos(-1) * i / (ARC - 1);
            x[i] = 6 * k * cos(angle), y[i] = 6 * k * sin(angle) / sqrt(STEEP);
        }
        plot_colour(l, 7);
        plot_dashed(l, "", ARC, x, y);
    }
    for (int k = 0; k < WAYS; k++) plot_colour(l, k), plot_lines(l, ways[k].name, 45, w[k].x, w[k].y);
    plot_panel(l, (panel_opts){ .title = "Height in the ravine", .x = "step", .y = "f", .logy = true, .xlo = 0,
                                .xhi = 250, .ylo = 1e-8, .yhi = 1e3 });
    for (int k = 0; k < WAYS; k++) plot_lines(l, ways[k].name, 250, NULL, w[k].f);
}

static void plot_hills(lecture *l, const path *without, const path *with) {
    double x[ARC], y[ARC];
    for (int i = 0; i < ARC; i++) {
        x[i] = -3.5 + 8.0 * i / (ARC - 1);
        y[i] = 0.1 * pow(x[i] - 3, 2) - exp(-4 * pow(x[i] + 1, 2));
    }
    plot_panel(l, (panel_opts){ .title = "A shallow minimum", .x = "x", .y = "f" });
    plot_dashed(l, "f", ARC, x, y);
    plot_points(l, "without momentum", 60, without->x, without->f);
    plot_points(l, "with momentum", 60, with->x, with->f);
}

static void plot_batches(lecture *l, double loss[2][EPOCHS]) {
    plot_panel(l, (panel_opts){ .title = "Two moons, 2-16-2", .x = "passes over the data", .y = "loss", .logy = true });
    plot_lines(l, "full batch", EPOCHS, NULL, loss[0]);
    plot_lines(l, "minibatches of 20", EPOCHS, NULL, loss[1]);
}

/* The descents in the ravine, and how many steps each takes. */
static void race(lecture *l, ad_graph *g, const way *ways, path *w) {
    int steps[WAYS];
    for (int k = 0; k < WAYS; k++) {
        descend(g, ravine, 2, (double[]){ -10, 1 }, ways[k], &w[k]);
        steps[k] = steps_of(&w[k]);
        printf("%-8s needs %3d steps in the ravine\n", ways[k].name, steps[k]);
    }
    double theory = log(1e-8) / 2 / log((STEEP - 1) / (STEEP + 1));
    lecture_claim(l, fabs(steps[0] - theory) < 2, "plain descent needs %d steps; theory says %.1f", steps[0], theory);
    lecture_claim(l, steps[1] < 60 && steps[2] < 80, "momentum needs %d, Nesterov's %d, Adam %d", steps[1], steps[2],
                  steps[3]);
}

int main(int argc, char **argv) {
    double momentum = 0.9, a = sqrt(STEEP), b = sqrt(3 * STEEP + 1), loss[2][EPOCHS];
    lecture *l = lecture_begin(
        argc, argv,
        "Gradient descent in a ravine, without and with momentum, Nesterov's, and Adam; on a line where momentum\n"
        "carries it over a shallow minimum; and a network trained on all rows at once and on minibatches.",
        "--momentum 0.1",
        (demo_option[]){ { "momentum", "on the line with two minima", DEMO_REAL, &momentum, 0, 1 }, { 0 } });
    /* The best rates for such a ravine: Polyak 1964; for Nesterov's method, Lessard, Recht and Packard 2016. */
    const nn_sgd_opts plain = { .lr = 2 / (1 + STEEP) };
    const nn_sgd_opts polyak = { .lr = 4 / pow(1 + a, 2), .momentum = pow((a - 1) / (a + 1), 2) };
    const nn_sgd_opts nesterov = { .lr = 4 / (b * b), .momentum = (b - 2) / (b + 2), .nesterov = true };
    const way ways[WAYS] = { { .name = "plain", .sgd = plain }, { .name = "momentum", .sgd = polyak },
                             { .name = "Nesterov", .sgd = nesterov }, { .name = "Adam", .adam = { .lr = 0.5 } } };
    static path w[WAYS], without, with;
    ad_graph *g = lecture_graph(l);
    race(l, g, ways, w);
    descend(g, hills, 1, (double[]){ -3 }, (way){ .sgd = { .lr = 0.05 } }, &without);
    descend(g, hills, 1, (double[]){ -3 }, (way){ .sgd = { .lr = 0.05, .momentum = momentum } }, &with);
    lecture_claim(l, without.f[STEPS] > 0.5 && with.f[STEPS] < 0.01,
                  "without momentum the descent stays at x = %.2f, f = %.2f; with %g it ends at x = %.2f, f = %.2f",
                  without.x[STEPS], without.f[STEPS], momentum, with.x[STEPS], with.f[STEPS]);
    nn_dataset d = nn_moons_data(g, AD_F64, ROWS, 0.1);
    train(l, d, ROWS, loss[0]);
    train(l, d, 20, loss[1]);
    lecture_claim(l, loss[1][EPOCHS - 1] < loss[0][EPOCHS - 1] / 5,
                  "after %d passes over the data, minibatches of 20 have loss %.3f, the full batch %.3f", EPOCHS,
                  loss[1][EPOCHS - 1], loss[0][EPOCHS - 1]);
    plot_layout(l, 2, 2);
    plot_ravine(l, ways, w);
    plot_hills(l, &without, &with);
    plot_batches(l, loss);
    return lecture_end(l, g);
}
