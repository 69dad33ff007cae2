/* mnist.c: a network with one hidden layer reads handwritten digits. */
#include <time.h>
#include <unistd.h>

#include "demos/demo.h"
#include "nn/nn.h"

/* ---- data ------------------------------------------------------------------------------------------- */

/* Loads DIR/NAME or, where there is none, DIR/NAME.gz. */
static ad_var *load(ad_graph *g, const char *dir, const char *name, double scale) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (access(path, F_OK) != 0) snprintf(path, sizeof path, "%s/%s.gz", dir, name);
    return nn_load_idx(g, AD_F32, path, scale);
}

/* Images as rows of numbers in 0 .. 1, [n, pixels], and classes [n]. */
static nn_dataset load_set(ad_graph *g, const char *dir, const char *images, const char *labels) {
    ad_var *x = load(g, dir, images, 1.0 / 255), *y = load(g, dir, labels, 1);
    int64_t n = ad_shape_of(x).dim[0], pixels = n > 0 ? ad_numel(x) / n : 0;
    return (nn_dataset){ ad_reshape(x, AD_SHAPE(n, pixels)), y };
}

/* ---- progress ---------------------------------------------------------------------------------------- */

/* On stderr, so that stdout holds results alone: a line redrawn on a terminal, a line an epoch in a pipe. */
typedef struct {
    bool terminal;
    double start, drawn;           /* seconds */
    int64_t epochs, samples, seen; /* samples of all epochs, and those seen until now */
} progress;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void show(progress *p, int64_t epoch, double loss, bool at_end) {
    double t = now(), speed = (double)p->seen / (t - p->start);
    if (p->terminal ? t - p->drawn < 0.1 && !at_end : !at_end) return;
    p->drawn = t;
    fprintf(stderr, "%sepoch %lld/%lld  loss %.4f  %.0f samples/s  %.0f s left%s", p->terminal ? "\r\033[K" : "",
            (long long)epoch, (long long)p->epochs, loss, speed, (double)(p->samples - p->seen) / speed,
            p->terminal ? "" : "\n");
    if (p->terminal && at_end) fprintf(stderr, "\r\033[K");
}

/* ---- training ---------------------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn_loader *loader;
} training;

/* One minibatch; its loss and size. False at the end of the epoch. */
static bool step(const training *t, double *loss, int64_t *rows) {
    ad_mark m = ad_begin(t->g);
    ad_var *x, *classes;
    bool more = nn_loader_next(t->loader, &x, &classes);
    if (more) {
        ad_var *l = nn_cross_entropy(nn_apply(t->net, x), classes);
        nn_zero_grad(t->opt);
        ad_backward(l);
        nn_step(t->opt);
        *loss = ad_item(l);
        *rows = ad_numel(classes);
    }
    ad_end(t->g, m);
    return more;
}

/* Returns the mean loss over the epoch's samples. */
static double train_epoch(const training *t, int64_t epoch, progress *p) {
    double sum = 0, loss;
    int64_t seen = 0, rows;
    while (step(t, &loss, &rows)) {
        sum += loss * (double)rows;
        seen += rows;
        p->seen += rows;
        show(p, epoch, sum / (double)seen, false);
    }
    show(p, epoch, sum / (double)seen, true);
    return sum / (double)seen;
}

static double accuracy(const training *t, nn_dataset data) {
    ad_mark m = ad_begin(t->g);
    bool was = ad_enable_grad(t->g, false);
    double share = nn_accuracy(nn_apply(t->net, data.x), data.y);
    ad_enable_grad(t->g, was);
    ad_end(t->g, m);
    return share;
}

static void train(const training *t, int64_t epochs, nn_dataset train_set, nn_dataset test_set) {
    progress p = {
        .terminal = isatty(STDERR_FILENO), .start = now(), .epochs = epochs, .samples = epochs * ad_numel(train_set.y)
    };
    for (int64_t e = 1; e <= epochs && ad_ok(t->g); e++) {
        double loss = train_epoch(t, e, &p), share = accuracy(t, test_set);
        if (ad_ok(t->g)) printf("epoch %lld  loss %.4f  test accuracy %.2f %%\n", (long long)e, loss, 100 * share);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const char *dir = NULL;
    int64_t epochs = 10, batch = 64, hidden = 128, seed = 0;
    double lr = 0.05;
    demo_parse(argc, argv,
               "Trains a network with one hidden layer on MNIST's handwritten digits, and tells its accuracy on\n"
               "the test set after each epoch. DIR holds train-images-idx3-ubyte, train-labels-idx1-ubyte,\n"
               "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or gzipped (.gz).",
               (demo_option[]){ { "data", "the folder DIR of the four files; must be given", DEMO_TEXT, &dir, 0, 0 },
                                { "epochs", "passes over the training set", DEMO_WHOLE, &epochs, 1, 1e6 },
                                { "batch", "samples in a minibatch", DEMO_WHOLE, &batch, 1, 1e6 },
                                { "lr", "learning rate", DEMO_REAL, &lr, 1e-9, 100 },
                                { "hidden", "width of the hidden layer", DEMO_WHOLE, &hidden, 1, 1e6 },
                                DEMO_SEED(&seed),
                                { 0 } });
    if (dir == NULL) demo_refuse(argv, "--data DIR", "must be given");

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false);
    nn_dataset train_set = load_set(g, dir, "train-images-idx3-ubyte", "train-labels-idx1-ubyte");
    nn_dataset test_set = load_set(g, dir, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    int64_t pixels = ad_shape_of(train_set.x).dim[1];
    training t = { .g = g, .net = nn_mlp(g, AD_F32, 3, (int64_t[]){ pixels, hidden, 10 }, ad_relu) };
    t.opt = nn_sgd(t.net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9 });
    t.loader = nn_loader_new(g, train_set, (nn_loader_opts){ .batch = batch, .shuffle = true });
    train(&t, epochs, train_set, test_set);
    return demo_end(argv, g);
}
