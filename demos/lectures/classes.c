/* classes.c: lecture 10: three classes of noise, learned by an update written by hand and by the optimiser. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { CLASSES = 3, WIDTH = 6, TRAIN = 150, TEST = 300, BATCH = 10 };

typedef struct {
    int64_t epochs;
    double lr, noise, momentum;
} options;

/* Rows in turn of class 0, 1, 2: the prototype of the class, and normal noise in each of the six dimensions. */
static nn_dataset draw(ad_graph *g, ad_var *prototypes, int64_t n, double noise) {
    ad_var *classes = ad_fmod(ad_arange(g, AD_F64, 0, (double)n, 1), ad_scalar(g, AD_F64, CLASSES));
    ad_var *at = ad_index_select(prototypes, 0, classes); /* [n,6] */
    return (nn_dataset){ ad_add(at, ad_muls(ad_randn(g, AD_F64, AD_SHAPE(n, WIDTH)), noise)), classes };
}

/* Logarithms of the classes' probabilities, and their negative log-likelihood. */
static ad_var *loss_of(nn_module *net, ad_var *x, ad_var *classes) {
    return nn_nll(ad_log_softmax(nn_apply(net, x), -1), classes);
}

/* w <- w - lr dE/dw for each element of each parameter: all that the plainest optimiser does. */
static void update_by_hand(nn_module *net, double lr) {
    for (int i = 0; i < nn_parameter_count(net); i++) {
        ad_var *p = nn_parameter_at(net, i).var;
        double *w = ad_data_mut(p);
        for (int64_t k = 0; k < ad_numel(p); k++) w[k] -= lr * ad_grad_at(p, k);
        ad_zero_grad(p);
    }
}

static void update_by_optimiser(nn_optim *opt) {
    nn_step(opt);
    nn_zero_grad(opt);
}

/* One pass over the rows, ten at a time. opt NULL: the update is written by hand. Returns the mean loss. */
static double epoch(nn_module *net, nn_optim *opt, nn_dataset d, double lr) {
    ad_graph *g = nn_graph_of(net);
    double sum = 0;
    for (int64_t at = 0; at < TRAIN; at += BATCH) {
        ad_mark m = ad_begin(g);
        ad_var *loss = loss_of(net, ad_narrow(d.x, 0, at, BATCH), ad_narrow(d.y, 0, at, BATCH));
        ad_backward(loss);
        sum += ad_item(loss) * BATCH / TRAIN;
        if (opt != NULL) update_by_optimiser(opt);
        else update_by_hand(net, lr);
        ad_end(g, m);
    }
    return sum;
}

/* The best that any rule can do, Bayes' rule for equal classes: the class whose prototype is nearest. */
static double best_accuracy(ad_var *prototypes, nn_dataset d) {
    return nn_accuracy(ad_neg(ad_cdist(d.x, prototypes, 2)), d.y);
}

/* The largest difference between the parameters of two networks. */
static double difference(nn_module *a, nn_module *b) {
    double most = 0;
    for (int i = 0; i < nn_parameter_count(a); i++) {
        ad_var *p = nn_parameter_at(a, i).var, *q = nn_parameter_at(b, i).var;
        for (int64_t k = 0; k < ad_numel(p); k++) most = fmax(most, fabs(ad_at(p, k) - ad_at(q, k)));
    }
    return most;
}

static void plot(lecture *l, const double *hand, const double *optimiser, int64_t epochs, nn_dataset test) {
    double at[40], some[40];
    for (int i = 0; i < 40; i++) at[i] = 1 + (double)(i * (epochs - 1) / 39), some[i] = optimiser[(int)at[i] - 1];
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Training", .x = "epoch", .y = "log-likelihood loss (nats)", .logy = true });
    plot_lines(l, "update by hand", epochs, NULL, hand);
    plot_points(l, "nn_sgd", 40, at, some);
    plot_panel(l, (panel_opts){ .title = "Test set, 2 of 6 dimensions", .x = "x0", .y = "x1", .equal = true });
    plot_classes(l, ad_slice(test.x, 1, 0, 2, 1), test.y, CLASSES,
                 (const char *const[]){ "class 0", "class 1", "class 2" });
}

int main(int argc, char **argv) {
    options o = { .epochs = 200, .lr = 0.05, .noise = 0.5 };
    lecture *l = lecture_begin(
        argc, argv,
        "Three classes of six-dimensional noise around prototypes, and a 6-10-5-3 network with log-softmax and\n"
        "negative log-likelihood. Two copies of it are trained: one by an update that is written by hand, the other\n"
        "by the optimiser nn_sgd. They are the same rule, so the numbers are the same.",
        "--momentum 0.5",
        (demo_option[]){ { "epochs", "passes over the training set", DEMO_WHOLE, &o.epochs, 40, 1e5 },
                         { "lr", "learning rate", DEMO_REAL, &o.lr, 1e-6, 10 },
                         { "noise", "standard deviation of the noise", DEMO_REAL, &o.noise, 0, 10 },
                         { "momentum", "of the optimiser; the update by hand has none", DEMO_REAL, &o.momentum, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    ad_var *prototypes = ad_randn(g, AD_F64, AD_SHAPE(CLASSES, WIDTH));
    nn_dataset train = draw(g, prototypes, TRAIN, o.noise), test = draw(g, prototypes, TEST, o.noise);
    nn_module *first = nn_mlp(g, AD_F64, 4, (int64_t[]){ WIDTH, 10, 5, CLASSES }, ad_tanh), *second = nn_copy(first);
    nn_optim *opt = nn_sgd(second, (nn_sgd_opts){ .lr = o.lr, .momentum = o.momentum });
    double *hand = calloc((size_t)o.epochs, sizeof *hand), *optimiser = calloc((size_t)o.epochs, sizeof *optimiser);
    double apart = 0;
    for (int64_t e = 0; e < o.epochs && ad_ok(g); e++) {
        hand[e] = epoch(first, NULL, train, o.lr);
        optimiser[e] = epoch(second, opt, train, o.lr);
        apart = fmax(apart, fabs(hand[e] - optimiser[e]));
        if ((e + 1) % 40 == 0)
            printf("epoch %4lld  loss by hand %.15f  by nn_sgd %.15f\n", (long long)e + 1, hand[e], optimiser[e]);
    }
    apart = fmax(apart, difference(first, second));
    double accuracy = nn_evaluate(first, NULL, nn_accuracy, test, TEST).metric, best = best_accuracy(prototypes, test);
    lecture_claim(l, apart <= 1e-12, "after %lld epochs no loss and no weight of the two differs by more than %.1e",
                  (long long)o.epochs, apart);
    lecture_claim(l, accuracy > best - 0.03, "%.1f %% of %d new samples are right; the best rule of all has %.1f %%",
                  100 * accuracy, TEST, 100 * best);
    plot(l, hand, optimiser, o.epochs, test);
    free(hand);
    free(optimiser);
    return lecture_end(l, g);
}
