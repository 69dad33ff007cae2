/* validation.c: lecture 12: a model chosen on validation data and by folds, and what a test set is for. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { DEGREES = 12, TRAIN = 30, VALIDATION = 12, TEST = 12, FOLDS = 6, LARGE = 2000 }; /* numbers of samples */

static const double NOISE = 0.3; /* standard deviation */

/* n samples, each at a random place in its n-th part of -1 .. 1. */
static nn_dataset draw(ad_graph *g, int64_t n) {
    ad_var *part = ad_reshape(ad_arange(g, AD_F64, 0, (double)n, 1), AD_SHAPE(n, 1));
    ad_var *x = ad_adds(ad_muls(ad_add(part, ad_rand(g, AD_F64, AD_SHAPE(n, 1))), 2.0 / (double)n), -1);
    ad_var *y = ad_add(ad_sin(ad_muls(x, 3)), ad_muls(ad_randn(g, AD_F64, AD_SHAPE(n, 1)), NOISE));
    return (nn_dataset){ x, y };
}

/* 1 and the first d cosines of x [n,1], side by side: a linear layer makes any sum of them. */
static nn_dataset features(nn_dataset s, int d) {
    ad_var *columns[DEGREES + 1];
    for (int k = 0; k <= d; k++) columns[k] = ad_cos(ad_muls(ad_adds(s.x, 1), k * acos(-1) / 2));
    return (nn_dataset){ ad_detach(ad_concat(d + 1, columns, 1)), s.y };
}

typedef struct {
    nn_module *net;
    nn_dataset d;
} fit;

static ad_var *loss_of(void *data) {
    fit *f = data;
    return nn_mse(nn_apply(f->net, f->d.x), f->d.y);
}

/* The sum of d cosines and a constant with the least squared error on s: a linear problem, which L-BFGS solves. */
static nn_module *learn(ad_graph *g, nn_dataset s, int d) {
    fit f = { nn_linear(g, AD_F64, d + 1, 1, false), features(s, d) };
    nn_init_constant(nn_find_parameter(f.net, "weight"), 0);
    nn_lbfgs_opts o = { .max_iter = 200, .max_eval = 400, .tolerance_grad = 1e-7, .tolerance_change = 1e-12 };
    nn_step_closure(nn_lbfgs(f.net, o), loss_of, &f, NULL);
    return f.net;
}

static double loss_on(nn_module *net, nn_dataset s, int d) {
    return nn_evaluate(net, nn_mse, NULL, features(s, d), LARGE).loss;
}

/* Losses of each number of cosines. */
typedef struct {
    double train[DEGREES], validation[DEGREES], truth[DEGREES], folds[DEGREES], spread[DEGREES];
} table;

/* The mean and the standard deviation of the losses on the k folds. */
static void cross_validate(ad_graph *g, nn_dataset s, int d, table *t) {
    double sum = 0, squares = 0;
    for (int k = 0; k < FOLDS; k++) {
        ad_mark m = ad_begin(g);
        nn_parts p = nn_kfold(s, FOLDS, k, (nn_split_opts){ 0 });
        double loss = loss_on(learn(g, p.train, d), p.validation, d);
        sum += loss / FOLDS, squares += loss * loss / FOLDS;
        ad_end(g, m);
    }
    t->folds[d - 1] = sum, t->spread[d - 1] = sqrt(squares - sum * sum);
}

static int least(const double *loss) {
    int best = 0;
    for (int d = 1; d < DEGREES; d++) best = loss[d] < loss[best] ? d : best;
    return best + 1;
}

/* Fills a table and returns the number of cosines that is chosen by validation. */
static int compare(ad_graph *g, table *t) {
    nn_dataset train = draw(g, TRAIN), validation = draw(g, VALIDATION), large = draw(g, LARGE);
    printf("cosines  training  validation  mean of %d folds  their std  %d new samples\n", FOLDS, LARGE);
    for (int d = 1; d <= DEGREES; d++) {
        nn_module *net = learn(g, train, d);
        t->train[d - 1] = loss_on(net, train, d), t->validation[d - 1] = loss_on(net, validation, d);
        t->truth[d - 1] = loss_on(net, large, d);
        cross_validate(g, train, d, t);
        printf("%7d  %8.4f  %10.4f  %15.4f  %9.4f  %16.4f\n", d, t->train[d - 1], t->validation[d - 1], t->folds[d - 1],
               t->spread[d - 1], t->truth[d - 1]);
    }
    return least(t->validation);
}

/* One more experiment: the losses of the chosen model on validation samples, on test samples, and on very many new
   ones. peek: the test samples are those that it was chosen by. */
static void choose(ad_graph *g, bool peek, double to[3]) {
    ad_mark m = ad_begin(g);
    nn_dataset train = draw(g, TRAIN), validation = draw(g, VALIDATION), test = peek ? validation : draw(g, TEST);
    nn_module *net[DEGREES];
    double loss[DEGREES];
    for (int d = 1; d <= DEGREES; d++) {
        net[d - 1] = learn(g, train, d);
        loss[d - 1] = loss_on(net[d - 1], validation, d);
    }
    int d = least(loss);
    to[0] = loss[d - 1], to[1] = loss_on(net[d - 1], test, d), to[2] = loss_on(net[d - 1], draw(g, LARGE), d);
    ad_end(g, m);
}

/* The means of these losses over all experiments, and the standard errors of the first two against the third. */
static void repeat(ad_graph *g, int64_t n, bool peek, double mean[3], double error[2]) {
    double squares[2] = { 0 }, to[3];
    for (int k = 0; k < 3; k++) mean[k] = 0;
    for (int64_t i = 0; i < n && ad_ok(g); i++) {
        choose(g, peek, to);
        for (int k = 0; k < 3; k++) mean[k] += to[k] / (double)n;
        for (int k = 0; k < 2; k++) squares[k] += (to[k] - to[2]) * (to[k] - to[2]) / (double)n;
    }
    for (int k = 0; k < 2; k++) error[k] = sqrt(squares[k] / (double)n);
}

static void plot(lecture *l, const table *t, const double mean[3]) {
    double up[DEGREES], down[DEGREES];
    for (int d = 0; d < DEGREES; d++) up[d] = t->folds[d] + t->spread[d], down[d] = t->folds[d] - t->spread[d];
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "One experiment", .x = "cosines", .y = "mean squared error" });
    plot_lines(l, "training", DEGREES, NULL, t->train);
    plot_lines(l, "validation", DEGREES, NULL, t->validation);
    plot_lines(l, "6 folds: mean", DEGREES, NULL, t->folds);
    plot_colour(l, 2);
    plot_dashed(l, "and std", DEGREES, NULL, up);
    plot_colour(l, 2);
    plot_dashed(l, "", DEGREES, NULL, down);
    plot_colour(l, 6);
    plot_lines(l, "2000 new samples", DEGREES, NULL, t->truth);
    plot_panel(l, (panel_opts){ .title = "Chosen models, mean of all experiments", .y = "mean squared error", .ylo = 0,
                                .yhi = 0.14 });
    plot_bars(l, "", 3, (const char *const[]){ "validation", "test", "2000 new" }, mean);
}

int main(int argc, char **argv) {
    int64_t repeats = 400, peek = 0;
    lecture *l = lecture_begin(
        argc, argv,
        "Sums of 1 to 12 cosines are fitted to 30 noisy samples; the best is chosen on 12 validation samples, and by\n"
        "6 folds of the training samples. Its validation loss is too good, since it was chosen by it; the loss on 12\n"
        "test samples, which nothing was chosen by, is right on average.",
        "--peek 1",
        (demo_option[]){ { "repeats", "number of experiments", DEMO_WHOLE, &repeats, 10, 1e5 },
                         { "peek", "1: choose on the test samples", DEMO_WHOLE, &peek, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    table t;
    double mean[3], error[2];
    int d = compare(g, &t), by_folds = least(t.folds), last = DEGREES - 1;
    repeat(g, repeats, peek != 0, mean, error);
    lecture_claim(l, t.train[last] < t.train[d - 1] && t.truth[last] > t.truth[d - 1],
                  "from the chosen %d cosines to %d, training loss falls from %.3f to %.3f, and loss on new data rises "
                  "from %.3f to %.3f", d, DEGREES, t.train[d - 1], t.train[last], t.truth[d - 1], t.truth[last]);
    lecture_claim(l, fabs(t.folds[by_folds - 1] - t.truth[by_folds - 1]) < t.spread[by_folds - 1],
                  "6 folds choose %d cosines and expect %.3f +- %.3f; new data have %.3f", by_folds,
                  t.folds[by_folds - 1], t.spread[by_folds - 1], t.truth[by_folds - 1]);
    lecture_claim(l, mean[0] < mean[2] - 4 * error[0],
                  "over %lld experiments the chosen model's validation loss is too good: %.4f +- %.4f, new data %.4f",
                  (long long)repeats, mean[0], error[0], mean[2]);
    lecture_claim(l, fabs(mean[1] - mean[2]) < 3 * error[1], "its test loss is right: %.4f +- %.4f", mean[1], error[1]);
    plot(l, &t, mean);
    return lecture_end(l, g);
}
