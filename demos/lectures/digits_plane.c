/* digits_plane.c: lecture 16: the plane of a hidden layer of two neurons, and a second network that sees only it. */
#include "demos/glyphs.h"
#include "demos/lectures/lecture.h"
#include "demos/mnist.h"
#include "nn/nn.h"

enum { CLASSES = 4, TRAIN = 2000, TEST = 400, CELLS = 100 };

/* Images [n,pixels] of the digits 0 to 3 and classes [n]: training set in of[0], test set in of[1]. */
static void load(ad_graph *g, const char *dir, nn_dataset of[2]) {
    if (dir == NULL) {
        of[0] = glyph_set(g, TRAIN, CLASSES, 0.2, 0.1), of[1] = glyph_set(g, TEST, CLASSES, 0.2, 0.1);
        return;
    }
    mnist_sets(g, dir, of);
    for (int i = 0; i < 2; i++) {
        ad_var *rows = ad_nonzero(ad_lt(of[i].y, ad_scalar(g, AD_F32, CLASSES))); /* [n,1] */
        rows = ad_flatten(ad_narrow(rows, 0, 0, i == 0 ? 10 * TRAIN : TEST), 0, -1);
        of[i] = (nn_dataset){ ad_index_select(ad_flatten(of[i].x, 1, -1), 0, rows), ad_index_select(of[i].y, 0, rows) };
    }
}

static nn_module *train(nn_module *net, nn_dataset d, int64_t epochs) {
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.005 });
    nn_fit_opts fit = { .epochs = epochs, .batch = 50, .schedule = nn_cosine_lr(opt, epochs, 0) };
    nn_fit(net, nn_cross_entropy, opt, d, fit, NULL);
    return net;
}

static double accuracy(nn_module *net, nn_dataset d) { return nn_evaluate(net, NULL, nn_accuracy, d, 256).metric; }

/* A second network, 2-16-4, that learns the classes from points [n,2] of the images; its accuracy on the test set. */
static double second(ad_graph *g, nn_dataset train_set, nn_dataset test, nn_module **net) {
    *net = train(nn_mlp(g, AD_F32, 3, (int64_t[]){ 2, 16, CLASSES }, ad_tanh), train_set, 20);
    return accuracy(*net, test);
}

static void plot(lecture *l, const char *title, nn_module *net, nn_dataset points, double edge) {
    ad_graph *g = nn_graph_of(net);
    panel_opts o = { .title = title, .x = "first number", .y = "second number", .xlo = -edge, .xhi = edge, .ylo = -edge,
                     .yhi = edge, .equal = true };
    plot_panel(l, o);
    ad_var *region = ad_argmax_axis(nn_predict(net, plot_cells(g, AD_F32, CELLS, CELLS, o), 1000), -1, false);
    plot_field(l, PLOT_CLASS, CELLS, CELLS, region);
    plot_classes(l, points.x, points.y, CLASSES, (const char *const[]){ "0", "1", "2", "3" });
}

int main(int argc, char **argv) {
    const char *dir = NULL;
    int64_t epochs = 30;
    lecture *l = lecture_begin(
        argc, argv,
        "A network learns the digits 0 to 3 through a hidden layer of two neurons, which shows each image as a point\n"
        "of a plane. A second network that sees only these points does as well; on two random directions it cannot.",
        "--epochs 0",
        (demo_option[]){ { "data", "the folder of the four files of MNIST", DEMO_TEXT, &dir, 0, 0 },
                         { "epochs", "of the first network", DEMO_WHOLE, &epochs, 0, 1000 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    nn_dataset d[2], plane[2], random[2];
    load(g, dir, d);
    if (!ad_ok(g)) return lecture_end(l, g);
    int64_t pixels = ad_shape_of(d[0].x).dim[1];
    nn_module *hidden = nn_mlp(g, AD_F32, 4, (int64_t[]){ pixels, 32, 8, 2 }, ad_tanh);
    hidden = nn_sequential(g, hidden, nn_tanh(g));
    nn_module *first = nn_sequential(g, hidden, nn_linear(g, AD_F32, 2, CLASSES, true)), *by_plane, *by_random;
    if (epochs > 0) train(first, d[0], epochs);
    ad_var *directions = ad_muls(ad_randn(g, AD_F32, AD_SHAPE(pixels, 2)), 1 / sqrt((double)pixels));
    for (int i = 0; i < 2; i++) {
        plane[i] = (nn_dataset){ nn_predict(hidden, d[i].x, 256), d[i].y };
        random[i] = (nn_dataset){ ad_detach(ad_matmul(d[i].x, directions)), d[i].y };
    }
    nn_scaler s = nn_fit_standard(random[0].x);
    for (int i = 0; i < 2; i++) random[i].x = ad_detach(nn_scale(s, random[i].x));
    double whole = accuracy(first, d[1]), part = second(g, plane[0], plane[1], &by_plane);
    double other = second(g, random[0], random[1], &by_random);
    lecture_claim(l, whole > 0.85, "through two neurons, %.1f %% of the test images are right", 100 * whole);
    lecture_claim(l, part > whole - 0.02, "a second network that sees only the plane of these neurons has %.1f %%",
                  100 * part);
    lecture_claim(l, other < part - 0.2, "one that sees two random directions has %.1f %%", 100 * other);
    plot_layout(l, 1, 2);
    plot(l, "The hidden layer's plane", by_plane, plane[1], 1.1);
    plot(l, "Two random directions", by_random, random[1], 3);
    return lecture_end(l, g);
}
