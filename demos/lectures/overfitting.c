/* overfitting.c: lecture 11: six samples learned by heart, and six ways that are meant to prevent it. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { SAMPLES = 6, MORE = 60, VALIDATION = 12, TEST = 201, WIDTH = 250, STEPS = 1500, EVERY = 25, WAYS = 7 };
enum { CURVE = STEPS / EVERY };

/* What a training does against overfitting. All zero: nothing. */
typedef struct {
    const char *name;
    double l2, l1;  /* factors of the sums of w^2 and |w| in the loss */
    bool more;      /* data: sixty samples in place of six */
    double augment; /* standard deviation of the noise that each step adds to x */
    double dropout; /* probability */
    bool early;     /* stopping: keeps the weights with the least loss on twelve samples for validation */
} way;

typedef struct {
    double train, test, length; /* losses, and the length of all weights as one vector, at the end */
    double curve[CURVE], fit[TEST];
} result;

typedef struct {
    nn_dataset few, many, validation, test;
} sets;

static double truth(double x) { return sin(1.5 * x); }

static sets draw(ad_graph *g, double noise) {
    return (sets){ nn_curve_data(g, AD_F64, SAMPLES, -1, 1, truth, noise),
                   nn_curve_data(g, AD_F64, MORE, -1, 1, truth, noise),
                   nn_curve_data(g, AD_F64, VALIDATION, -1, 1, truth, noise),
                   nn_curve_data(g, AD_F64, TEST, -1, 1, truth, 0) };
}

static nn_module *network(ad_graph *g, double dropout) {
    nn_module *in = nn_linear(g, AD_F64, 1, WIDTH, true), *middle = nn_linear(g, AD_F64, WIDTH, WIDTH, true);
    nn_module *out = nn_linear(g, AD_F64, WIDTH, 1, true), *off = nn_identity(g), *off2 = nn_identity(g);
    nn_init_uniform(nn_find_parameter(in, "weight"), -2, 2);
    nn_init_uniform(nn_find_parameter(in, "bias"), -2, 2);
    if (dropout > 0) off = nn_dropout(g, dropout), off2 = nn_dropout(g, dropout);
    return nn_sequential(g, in, nn_tanh(g), off, middle, nn_tanh(g), off2, out);
}

static void step(nn_module *net, nn_optim *opt, nn_dataset d, const way *w) {
    ad_graph *g = nn_graph_of(net);
    ad_mark m = ad_begin(g);
    ad_var *x = d.x;
    if (w->augment > 0) x = ad_add(x, ad_muls(ad_randn(g, AD_F64, ad_shape_of(x)), w->augment));
    ad_var *loss = nn_mse(nn_apply(net, x), d.y);
    if (w->l2 > 0) loss = ad_add(loss, nn_l2_penalty(net, "weight", w->l2));
    if (w->l1 > 0) loss = ad_add(loss, nn_l1_penalty(net, "weight", w->l1));
    nn_zero_grad(opt);
    ad_backward(loss);
    nn_step(opt);
    ad_end(g, m);
}

static double loss_on(nn_module *net, nn_dataset d) { return nn_evaluate(net, nn_mse, NULL, d, 256).loss; }

static double length_of(ad_graph *g, nn_module *net) {
    ad_mark m = ad_begin(g);
    double length = sqrt(ad_item(nn_l2_penalty(net, "weight", 1)));
    ad_end(g, m);
    return length;
}

/* Trains a new network in one of the ways, and measures it. */
static void train(ad_graph *g, const way *w, sets s, result *r) {
    ad_mark m = ad_begin(g);
    nn_dataset d = w->more ? s.many : s.few;
    nn_module *net = network(g, w->dropout), *best = net;
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 3e-3 });
    nn_schedule *schedule = nn_cosine_lr(opt, STEPS, 0);
    double least = INFINITY;
    for (int k = 0; k < STEPS && ad_ok(g); k++) {
        if (k % EVERY == 0) r->curve[k / EVERY] = loss_on(net, s.test);
        double now = w->early && k % 5 == 0 ? loss_on(net, s.validation) : INFINITY;
        if (now < least) least = now, best = nn_copy(net);
        step(net, opt, d, w);
        nn_schedule_step(schedule, 0);
    }
    if (w->early) net = best;
    r->train = loss_on(net, d), r->test = loss_on(net, s.test), r->length = length_of(g, net);
    ad_var *y = nn_predict(net, s.test.x, TEST);
    for (int i = 0; i < TEST; i++) r->fit[i] = ad_at(y, i);
    ad_end(g, m);
}

static void plot_fits(lecture *l, sets s, const way *ways, const result *r) {
    double x[TEST], y[TEST];
    plot_panel(l, (panel_opts){ .title = "Fits", .x = "x", .y = "y", .ylo = -1.6, .yhi = 1.6 });
    for (int i = 0; i < TEST; i++) x[i] = ad_at(s.test.x, i), y[i] = truth(x[i]);
    plot_dashed(l, "true function", TEST, x, y);
    const int shown[] = { 0, 1, 3, 6 };
    for (int k = 0; k < 4; k++) plot_lines(l, ways[shown[k]].name, TEST, x, r[shown[k]].fit);
    for (int i = 0; i < SAMPLES; i++) x[i] = ad_at(s.few.x, i), y[i] = ad_at(s.few.y, i);
    plot_colour(l, 5);
    plot_points(l, "the six samples", SAMPLES, x, y);
}

static void plot(lecture *l, sets s, const way *ways, const result *r) {
    const char *names[WAYS];
    double steps[CURVE], test[WAYS], lengths[WAYS];
    plot_layout(l, 2, 2);
    plot_fits(l, s, ways, r);
    plot_panel(l, (panel_opts){ .title = "Test loss", .x = "step", .y = "mean squared error", .logy = true });
    for (int k = 0; k < CURVE; k++) steps[k] = k * EVERY;
    for (int k = 0; k < WAYS; k++) {
        if (!ways[k].early) plot_lines(l, ways[k].name, CURVE, steps, r[k].curve);
        names[k] = ways[k].name, test[k] = r[k].test, lengths[k] = r[k].length;
    }
    plot_panel(l, (panel_opts){ .title = "Test loss at the end", .y = "mean squared error" });
    plot_bars(l, "", WAYS, names, test);
    plot_panel(l, (panel_opts){ .title = "Length of the weights", .y = "Euclidean norm" });
    plot_bars(l, "", WAYS, names, lengths);
}

int main(int argc, char **argv) {
    double noise = 0.3;
    lecture *l = lecture_begin(
        argc, argv,
        "A 1-250-250-1 network learns six noisy samples of a curve by heart: its loss on them vanishes, and on other\n"
        "points it does not. Then the same with weight decay, an L1 penalty, more data, augmentation (noise on x),\n"
        "dropout, and early stopping.",
        "--noise 0",
        (demo_option[]){ { "noise", "standard deviation of the noise on y", DEMO_REAL, &noise, 0, 10 }, { 0 } });
    static const way ways[WAYS] = { { .name = "nothing" },
                                    { .name = "weight decay", .l2 = 0.1 },
                                    { .name = "L1", .l1 = 0.1 },
                                    { .name = "more data", .more = true },
                                    { .name = "augmentation", .augment = 0.25 },
                                    { .name = "dropout", .dropout = 0.5 },
                                    { .name = "early stopping", .early = true } };
    static result r[WAYS];
    ad_graph *g = lecture_graph(l);
    sets s = draw(g, noise);
    double worst = 0;
    printf("                training loss  test loss  length of the weights\n");
    for (int k = 0; k < WAYS; k++) {
        train(g, &ways[k], s, &r[k]);
        printf("%-15s %13.2e  %9.4f  %21.2f\n", ways[k].name, r[k].train, r[k].test, r[k].length);
        if (k > 0 && ways[k].dropout == 0) worst = fmax(worst, r[k].test);
    }
    lecture_claim(l, r[0].train < 1e-8 && r[0].test > 1e4 * r[0].train,
                  "six samples are learned by heart: training loss %.1e, test loss %.3f", r[0].train, r[0].test);
    lecture_claim(l, worst < 0.9 * r[0].test,
                  "all but dropout lower the test loss, from %.3f to %.3f (more data) or at most %.3f; dropout: %.3f",
                  r[0].test, r[3].test, worst, r[5].test);
    lecture_claim(l, fmax(r[1].length, r[2].length) < 0.8 * r[0].length,
                  "weight decay and L1 shorten the weights from %.1f to %.1f and %.1f", r[0].length, r[1].length,
                  r[2].length);
    plot(l, s, ways, r);
    return lecture_end(l, g);
}
