/* boundaries.c: lecture 5: decision boundaries by width and penalty, and the hidden layer's view. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { N = 200, CELLS = 50, SETS = 3, SIZES = 3 };
static const char *const set_names[SETS] = { "spiral", "moons", "circles" }, *const labels[2] = { "class 0",
                                                                                                  "class 1" };
static const int64_t widths[SIZES] = { 1, 4, 24 };
static const double penalties[SIZES] = { 0, 1e-3, 3e-2 };

static nn_dataset draw_set(ad_graph *g, int set) {
    if (set == 0) return nn_spiral_data(g, AD_F32, N, 2, 0.02);
    if (set == 1) return nn_moons_data(g, AD_F32, N, 0.25);
    return nn_circles_data(g, AD_F32, N, 0.1, 0.5);
}

/* 2-w-w-2, tanh. */
static nn_module *network(ad_graph *g, int64_t w) { return nn_mlp(g, AD_F32, 4, (int64_t[]){ 2, w, w, 2 }, ad_tanh); }

/* Trains on all points at once with an L2 penalty of the weights. */
static void train(ad_graph *g, nn_module *net, nn_dataset d, double l2, int64_t steps) {
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.02, .weight_decay = AD_ZERO });
    for (int64_t k = 0; k < steps && ad_ok(g); k++) {
        ad_mark m = ad_begin(g);
        ad_var *loss = nn_cross_entropy(nn_apply(net, d.x), d.y);
        if (l2 > 0) loss = ad_add(loss, nn_l2_penalty(net, "weight", l2));
        nn_zero_grad(opt);
        ad_backward(loss);
        nn_step(opt);
        ad_end(g, m);
    }
}

static double accuracy(nn_module *net, nn_dataset d) { return 100 * nn_accuracy(nn_apply(net, d.x), d.y); }

static double norm(nn_module *net) { return sqrt(ad_item(nn_l2_penalty(net, "weight", 1))); }

static void plot_net(lecture *l, ad_graph *g, const char *title, nn_module *net, nn_dataset d, double edge) {
    bool hidden = strncmp(title, "hidden", 6) == 0;
    panel_opts o = { .title = title,
                     .x = hidden ? "h₁" : "x₁",
                     .y = hidden ? "h₂" : "x₂",
                     .xlo = -edge,
                     .xhi = edge,
                     .ylo = -edge,
                     .yhi = edge,
                     .equal = true,
                     .key = "off" };
    ad_var *p = ad_softmax(nn_apply(net, plot_cells(g, AD_F32, CELLS, CELLS, o)), 1);
    plot_panel(l, o);
    plot_field(l, PLOT_PROBABILITY, CELLS, CELLS, ad_slice(p, 1, 1, 2, 1));
    plot_classes(l, d.x, d.y, 2, labels);
}

/* A row of panels: one set and networks of growing width. Returns the test accuracies. */
static void grow_width(lecture *l, ad_graph *g, int set, int64_t steps, double test[SIZES]) {
    nn_dataset d = draw_set(g, set), fresh = draw_set(g, set);
    printf("%-8s", set_names[set]);
    for (int k = 0; k < SIZES; k++) {
        char title[64];
        nn_module *net = network(g, widths[k]);
        train(g, net, d, 0, steps);
        test[k] = accuracy(net, fresh);
        printf("  width %lld: test %.1f %%", (long long)widths[k], test[k]);
        snprintf(title, sizeof title, "%s, width %lld: %.0f %%", set_names[set], (long long)widths[k], test[k]);
        plot_net(l, g, title, net, d, set == 0 ? 1.2 : set == 1 ? 2.6 : 1.6);
    }
    printf("\n");
}

/* The same for the moons and growing penalties at the largest width: weights shrink and the boundary straightens. */
static void grow_penalty(lecture *l, ad_graph *g, int64_t steps, double fit[SIZES], double norms[SIZES]) {
    nn_dataset d = draw_set(g, 1);
    for (int k = 0; k < SIZES; k++) {
        char title[64];
        nn_module *net = network(g, widths[SIZES - 1]);
        train(g, net, d, penalties[k], steps);
        fit[k] = accuracy(net, d), norms[k] = norm(net);
        printf("moons, L2 %-6g: training %.1f %%, norm of the weights %.2f\n", penalties[k], fit[k], norms[k]);
        snprintf(title, sizeof title, "moons, L2 %g: |w| = %.1f", penalties[k], norms[k]);
        plot_net(l, g, title, net, d, 2.6);
    }
}

/* The last hidden layer has two units: a plane. Plots the points there, and returns the percentage that a line
   separates: that of a new last layer, which alone is trained. */
static double view(lecture *l, ad_graph *g, const char *name, nn_module *below, nn_dataset d, int64_t steps) {
    char title[64];
    nn_module *line = nn_linear(g, AD_F32, 2, 2, true);
    nn_dataset seen = { ad_detach(nn_apply(below, d.x)), d.y };
    nn_scaler s = nn_fit_standard(seen.x);
    seen.x = ad_detach(nn_scale(s, seen.x));
    train(g, line, seen, 0, steps);
    double share = accuracy(line, seen);
    snprintf(title, sizeof title, "hidden plane %s: %.0f %%", name, share);
    plot_net(l, g, title, line, seen, 2.6);
    return share;
}

int main(int argc, char **argv) {
    int64_t steps = 1500;
    double test[SETS][SIZES], fit[SIZES], norms[SIZES];
    lecture *l = lecture_begin(
        argc, argv,
        "Decision boundaries on a spiral, moons and circles for networks of width 1, 4 and 24; under growing\n"
        "L2 penalties; and the spiral as the last hidden layer sees it, before and after training.",
        "--steps 30", (demo_option[]){ { "steps", "of each training", DEMO_WHOLE, &steps, 1, 1e6 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    plot_layout(l, 5, 3);
    for (int set = 0; set < SETS; set++) grow_width(l, g, set, steps, test[set]);
    grow_penalty(l, g, steps, fit, norms);

    nn_dataset d = draw_set(g, 0);
    nn_module *below =
        nn_sequential(g, nn_linear(g, AD_F32, 2, 24, true), nn_tanh(g), nn_linear(g, AD_F32, 24, 24, true), nn_tanh(g),
                      nn_linear(g, AD_F32, 24, 2, true), nn_tanh(g));
    nn_module *net = nn_sequential(g, below, nn_linear(g, AD_F32, 2, 2, true));
    double before = view(l, g, "before", below, d, steps);
    train(g, net, d, 0, steps);
    double after = view(l, g, "after", below, d, steps);
    plot_net(l, g, "boundary of that network", net, d, 1.2);

    lecture_claim(l, test[0][0] < 80 && test[0][2] > 97,
                  "on the spiral, width 1 gets %.0f %% of new points and width 24 gets %.0f %%", test[0][0],
                  test[0][2]);
    lecture_claim(l, test[2][0] < 80 && test[2][1] > 97,
                  "circles need three units or more: width 1 gets %.0f %%, width 4 %.0f %%", test[2][0], test[2][1]);
    lecture_claim(l, fit[0] >= fit[2] + 1 && norms[0] > 2 * norms[2],
                  "an L2 penalty of 0.03 lowers the norm of the weights from %.1f to %.1f and the training accuracy "
                  "from %.1f to %.1f %%",
                  norms[0], norms[2], fit[0], fit[2]);
    lecture_claim(l, before < 80 && after > 97,
                  "a line in the plane of the last hidden layer separates %.0f %% of the spiral before training and "
                  "%.0f %% after",
                  before, after);
    return lecture_end(l, g);
}
