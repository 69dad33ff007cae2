/* spiral.c: a network with two hidden layers of 20 separates two intertwined spirals. */
#include <unistd.h>

#include "demos/demo.h"
#include "nn/nn.h"

enum { ROWS = 28, COLUMNS = 60 };           /* of the picture */
static const double RADIUS = 5, EDGE = 5.5; /* of the spirals; the picture covers -EDGE .. EDGE */

/* Points on the two arms of a spiral, with noise: x [2n,2], classes [2n]. */
static nn_dataset spirals(ad_graph *g, int64_t n, double noise) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(2 * n, 2)), *y = ad_zeros(g, AD_F32, AD_SHAPE(2 * n));
    ad_var *offset = ad_randn(g, AD_F32, AD_SHAPE(2 * n, 2));
    float *xs = ad_data_mut(x), *ys = ad_data_mut(y);
    for (int64_t i = 0; i < 2 * n && ad_ok(g); i++) {
        double part = 0.1 + 0.9 * (double)(i / 2) / (double)n, angle = 9.5 * part + (i % 2 ? 3.14159265358979 : 0);
        xs[2 * i] = (float)(RADIUS * part * cos(angle) + noise * ad_at(offset, 2 * i));
        xs[2 * i + 1] = (float)(RADIUS * part * sin(angle) + noise * ad_at(offset, 2 * i + 1));
        ys[i] = (float)(i % 2);
    }
    return (nn_dataset){ x, y };
}

/* Trains on the next minibatch; false at the end of the epoch. */
static bool step(ad_graph *g, nn_module *net, nn_optim *opt, nn_loader *loader) {
    ad_mark m = ad_begin(g);
    ad_var *x, *classes;
    bool more = nn_loader_next(loader, &x, &classes);
    if (more) {
        nn_zero_grad(opt);
        ad_backward(nn_cross_entropy(nn_apply(net, x), classes));
        nn_step(opt);
    }
    ad_end(g, m);
    return more;
}

static double accuracy(ad_graph *g, nn_module *net, nn_dataset data) {
    ad_mark m = ad_begin(g);
    double share = nn_accuracy(nn_apply(net, data.x), data.y);
    ad_end(g, m);
    return share;
}

/* ---- the picture ------------------------------------------------------------------------------------ */

/* The centres of the picture's cells, from the top left, row by row: [ROWS * COLUMNS, 2]. */
static ad_var *cells(ad_graph *g) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(ROWS * COLUMNS, 2));
    float *at = ad_data_mut(x);
    for (int i = 0; i < ROWS * COLUMNS && ad_ok(g); i++) {
        at[2 * i] = (float)(2 * EDGE * (i % COLUMNS + 0.5) / COLUMNS - EDGE);
        at[2 * i + 1] = (float)(EDGE - 2 * EDGE * (i / COLUMNS + 0.5) / ROWS);
    }
    return x;
}

/* The class of a data point in each cell, -1 for a cell without one. */
static void place_points(nn_dataset data, int points[ROWS * COLUMNS]) {
    for (int i = 0; i < ROWS * COLUMNS; i++) points[i] = -1;
    for (int64_t i = 0; i < ad_numel(data.y); i++) {
        double column = floor((ad_at(data.x, 2 * i) + EDGE) / (2 * EDGE) * COLUMNS);
        double row = floor((EDGE - ad_at(data.x, 2 * i + 1)) / (2 * EDGE) * ROWS);
        if (row >= 0 && row < ROWS && column >= 0 && column < COLUMNS)
            points[(int)row * COLUMNS + (int)column] = (int)ad_at(data.y, i);
    }
}

/* Draws each cell in the colour, or as the character, of the class predicted there; o and x are data points. */
static void draw(ad_graph *g, nn_module *net, nn_dataset data) {
    static const char *const colour[] = { "\033[97;44m", "\033[97;41m" };
    bool coloured = isatty(STDOUT_FILENO);
    int points[ROWS * COLUMNS];
    place_points(data, points);
    ad_mark m = ad_begin(g);
    ad_var *scores = nn_apply(net, cells(g)); /* [ROWS * COLUMNS, 2] */
    for (int i = 0; i < ROWS * COLUMNS && ad_ok(g); i++) {
        int predicted = ad_at(scores, 2 * i + 1) > ad_at(scores, 2 * i);
        char region = coloured ? ' ' : ".#"[predicted];
        printf("%s%c", coloured ? colour[predicted] : "", points[i] < 0 ? region : "ox"[points[i]]);
        if (i % COLUMNS == COLUMNS - 1) printf("%s\n", coloured ? "\033[0m" : "");
    }
    ad_end(g, m);
}

int main(int argc, char **argv) {
    int64_t seed = 0, epochs = 1000, n = 200;
    double lr = 0.1, noise = 0.05;
    demo_parse(argc, argv, "Trains a 2-20-20-2 network to separate two spirals, and draws its predictions.",
               (demo_option[]){ DEMO_SEED(&seed),
                                { "epochs", "passes over the points", DEMO_WHOLE, &epochs, 1, 1e6 },
                                { "points", "number of points on each arm", DEMO_WHOLE, &n, 1, 1e6 },
                                { "noise", "standard deviation of the points from their arm", DEMO_REAL, &noise, 0, 5 },
                                { "lr", "learning rate", DEMO_REAL, &lr, 1e-6, 100 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    ad_keep_grads(g, false);
    nn_dataset data = spirals(g, n, noise);
    nn_module *net = nn_mlp(g, AD_F32, 4, (int64_t[]){ 2, 20, 20, 2 }, ad_tanh);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9 });
    nn_loader *loader = nn_loader_new(g, data, (nn_loader_opts){ .batch = 50 });

    for (int64_t e = 0; e < epochs && ad_ok(g); e++)
        while (step(g, net, opt, loader)) {}
    double share = accuracy(g, net, data);
    draw(g, net, data);
    if (ad_ok(g)) printf("accuracy %.2f %% after %lld epochs\n", 100 * share, (long long)epochs);
    return demo_end(argv, g);
}
