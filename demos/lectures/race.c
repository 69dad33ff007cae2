/* race.c: lecture 7: a race of activations, dead units and deep networks. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { N = 200, WIDTH = 16, MOST = 1000, DEPTH = 30, BROAD = 256, ROWS = 64 };

static ad_var *step(ad_var *x) { return ad_gt(x, ad_zeros_like(x)); }
static ad_var *leaky(ad_var *x) { return ad_leaky_relu(x, 0.1); }
static ad_var *rrelu(ad_var *x) { return ad_rrelu(x, 1.0 / 8, 1.0 / 3, true); }
static ad_var *elu(ad_var *x) { return ad_elu(x, 1); }

typedef struct {
    const char *name;
    nn_activation *f; /* NULL: a layer of its own */
} racer;
static const racer racers[] = { { "step", step },
                                { "sigmoid", ad_sigmoid },
                                { "tanh", ad_tanh },
                                { "softplus", ad_softplus },
                                { "relu", ad_relu },
                                { "leaky", leaky },
                                { "prelu", NULL },
                                { "rrelu", rrelu },
                                { "elu", elu },
                                { "selu", ad_selu },
                                { "noisy relu", ad_noisy_relu },
                                { "maxout", NULL } };
enum { STEP = 0, SIGMOID = 1, TANH = 2, NOISY = 10, RACERS = sizeof racers / sizeof *racers };

/* ---- the race: 2-16-16-2 on the spiral ----------------------------------------------------------------------- */

/* A hidden layer with the activation. */
static nn_module *layer(ad_graph *g, const racer *r, int64_t in) {
    if (strcmp(r->name, "maxout") == 0) return nn_maxout(g, AD_F32, in, WIDTH, 3);
    nn_module *linear = nn_linear(g, AD_F32, in, WIDTH, true);
    return nn_sequential(g, linear, r->f != NULL ? nn_function(g, r->f) : nn_prelu(g, AD_F32, 1));
}

/* Trains on all points at once; returns the last accuracy in percent. The same seed for all. */
static double race(ad_graph *g, const racer *r, nn_dataset d, int64_t steps, double losses[]) {
    ad_mark run = ad_begin(g);
    nn_module *net = nn_sequential(g, layer(g, r, 2), layer(g, r, WIDTH), nn_linear(g, AD_F32, WIDTH, 2, true));
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.01 });
    for (int64_t k = 0; k < steps && ad_ok(g); k++) {
        ad_mark m = ad_begin(g);
        ad_var *loss = nn_cross_entropy(nn_apply(net, d.x), d.y);
        nn_zero_grad(opt);
        ad_backward(loss);
        nn_step(opt);
        losses[k] = ad_item(loss);
        ad_end(g, m);
    }
    double share = 100 * nn_accuracy(nn_predict(net, d.x, N), d.y);
    ad_end(g, run);
    return share;
}

/* ---- dead units ---------------------------------------------------------------------------------------------- */

/* The percentage of hidden units whose slope is below 1e-6 for every point, after training with too large a rate. */
static double dead(ad_graph *g, nn_activation *f, nn_dataset d, double rate) {
    enum { UNITS = 100 };
    ad_mark run = ad_begin(g);
    nn_module *hidden = nn_linear(g, AD_F32, 2, UNITS, true);
    nn_module *net = nn_sequential(g, hidden, nn_function(g, f), nn_linear(g, AD_F32, UNITS, 2, true));
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = rate });
    for (int k = 0; k < 300 && ad_ok(g); k++) {
        ad_mark m = ad_begin(g);
        ad_var *loss = nn_cross_entropy(nn_apply(net, d.x), d.y);
        nn_zero_grad(opt), ad_backward(loss), nn_step(opt);
        ad_end(g, m);
    }
    ad_var *s = nn_apply(hidden, d.x), *slope; /* [N,UNITS]; each activation depends on its own sum */
    ad_gradient(ad_sum(f(s)), 1, &s, &slope);
    ad_var *largest = ad_max_axes(ad_abs(slope), 1, (int[]){ 0 }, false);
    int n = 0;
    for (int i = 0; i < UNITS; i++) n += ad_at(largest, i) < 1e-6;
    ad_end(g, run);
    return 100.0 * n / UNITS;
}

/* ---- the variance of the activations, layer by layer --------------------------------------------------------- */

static void spread(ad_graph *g, nn_activation *f, double variance[DEPTH]) {
    ad_mark m = ad_begin(g);
    ad_var *h = ad_randn(g, AD_F32, AD_SHAPE(ROWS, BROAD));
    for (int k = 0; k < DEPTH; k++) {
        ad_var *w = ad_zeros(g, AD_F32, AD_SHAPE(BROAD, BROAD));
        nn_init_lecun_normal(w);
        h = f(ad_matmul(h, ad_transpose(w)));
        variance[k] = ad_item(ad_variance(h, 0));
    }
    ad_end(g, m);
}

/* ---- the three parts, with their panels ------------------------------------------------------------------------- */

static void race_all(lecture *l, ad_graph *g, nn_dataset d, int64_t steps) {
    static double losses[RACERS][MOST];
    double share[RACERS], worst = 100;
    for (int i = 0; i < RACERS; i++) {
        ad_seed(g, (uint64_t)lecture_seed(l) + 1);
        share[i] = race(g, &racers[i], d, steps, losses[i]);
        printf("%-10s  loss %.4f  accuracy %5.1f %%\n", racers[i].name, losses[i][steps - 1], share[i]);
        if (i != STEP && i != SIGMOID && i != NOISY && !(share[i] >= worst)) worst = share[i];
    }
    lecture_claim(l, share[STEP] < 80 && worst > 90 && losses[SIGMOID][steps - 1] > losses[TANH][steps - 1],
                  "in %lld steps the step function learns %.0f %% of the spiral, sigmoid %.0f %%, noisy relu %.0f %%, "
                  "each of the others at least %.0f %%",
                  (long long)steps, share[STEP], share[SIGMOID], share[NOISY], worst);
    panel_opts o = { .title = "Training on the spiral", .x = "step", .y = "cross-entropy", .ylo = 0, .yhi = 0.8 };
    for (int i = 0; i < RACERS; i++) {
        if (i % 6 == 0) plot_panel(l, o);
        plot_lines(l, racers[i].name, steps, NULL, losses[i]);
    }
}

static void count_dead(lecture *l, ad_graph *g, nn_dataset d, double rate) {
    double share[2] = { dead(g, ad_relu, d, rate), dead(g, leaky, d, rate) };
    lecture_claim(l, share[0] > 50 && share[1] == 0,
                  "a rate of %g leaves %.0f %% of the relus dead, and %.0f %% of the leaky ones", rate, share[0],
                  share[1]);
    panel_opts o = { .title = "Units without a slope for any point", .x = "", .y = "share in %", .ylo = 0, .yhi = 100 };
    o.key = "off";
    plot_panel(l, o);
    plot_bars(l, "", 2, (const char *const[]){ "relu", "leaky relu" }, share);
}

static void compare_spread(lecture *l, ad_graph *g) {
    nn_activation *const deep[4] = { ad_selu, ad_tanh, ad_relu, ad_sigmoid };
    static const char *const names[4] = { "selu", "tanh", "relu", "sigmoid" };
    double v[4][DEPTH], last[4];
    plot_panel(l, (panel_opts){ .title = "Variance in a deep network", .x = "layer", .y = "variance", .logy = true });
    for (int i = 0; i < 4; i++) {
        spread(g, deep[i], v[i]);
        last[i] = v[i][DEPTH - 1];
        plot_lines(l, names[i], DEPTH, NULL, v[i]);
    }
    lecture_claim(l, last[0] > 0.5 && last[0] < 2 && last[1] < 0.1 && last[2] < 1e-6 && last[3] < 0.1,
                  "after %d layers the variance is %.2f with selu, %.2g with tanh, %.1g with relu, %.1g with sigmoid",
                  DEPTH, last[0], last[1], last[2], last[3]);
}

int main(int argc, char **argv) {
    int64_t steps = 600;
    double rate = 0.3;
    lecture *l = lecture_begin(
        argc, argv,
        "A race of activations on the spiral; dead ReLUs after training with too large a rate; the variance\n"
        "of the activations in a network of 30 layers.",
        "--steps 20 --rate 0.001",
        (demo_option[]){ { "steps", "of the race", DEMO_WHOLE, &steps, 1, MOST },
                         { "rate", "learning rate that kills ReLUs", DEMO_REAL, &rate, 1e-6, 10 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    nn_dataset d = nn_spiral_data(g, AD_F32, N, 2, 0.02);
    plot_layout(l, 2, 2);
    race_all(l, g, d, steps);
    count_dead(l, g, d, rate);
    compare_spread(l, g);
    return lecture_end(l, g);
}
