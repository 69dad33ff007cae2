/* digits_filters.c: lecture 16: filters and feature maps of LeNet, beside a network without convolutions. */
#include "demos/glyphs.h"
#include "demos/lectures/lecture.h"
#include "demos/mnist.h"
#include "nn/nn.h"

enum { CLASSES = 10, FIRST = 6, SECOND = 12 };

typedef struct {
    const char *data;
    int64_t epochs;
    double missing;
} options;

/* Images [n,1,side,side] and classes [n]: training set in of[0], test set in of[1]. Returns the side. */
static int64_t load(ad_graph *g, const options *o, nn_dataset of[2]) {
    for (int i = 0; i < 2 && o->data == NULL; i++) of[i] = glyph_set(g, i == 0 ? 4000 : 1000, CLASSES, 0.2, o->missing);
    if (o->data != NULL) mnist_sets(g, o->data, of);
    int64_t side = o->data == NULL ? GLYPH_SIDE : ad_shape_of(of[0].x).dim[1];
    for (int i = 0; i < 2; i++) of[i].x = ad_reshape(of[i].x, AD_SHAPE(ad_numel(of[i].y), 1, side, side));
    return side;
}

static nn_module *conv(ad_graph *g, int64_t in, int64_t out, int64_t kernel) {
    return nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = in, .out = out, .kernel = kernel, .padding = kernel / 2 });
}

/* Two convolutions, each with relu and pooling, and a linear layer (after LeCun et al. 1998). */
typedef struct {
    nn_module *first, *second, *all; /* first, second: the maps before pooling */
} lenet;
static lenet lenet_new(ad_graph *g, int64_t side) {
    int64_t kernel = side > 16 ? 5 : 3, quarter = side / 4;
    nn_module *pool = nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } });
    lenet n = { .first = nn_sequential(g, conv(g, 1, FIRST, kernel), nn_relu(g)) };
    n.second = nn_sequential(g, n.first, pool, conv(g, FIRST, SECOND, kernel), nn_relu(g));
    nn_module *last = nn_linear(g, AD_F32, SECOND * quarter * quarter, CLASSES, true);
    n.all = nn_sequential(g, n.second, pool, nn_flatten(g), last);
    return n;
}

/* A network with one hidden layer and as many parameters, or a few more. */
static nn_module *dense_new(ad_graph *g, int64_t side, int64_t parameters) {
    int64_t pixels = side * side, hidden = (parameters - CLASSES + pixels + CLASSES) / (pixels + 1 + CLASSES);
    return nn_sequential(g, nn_flatten(g), nn_mlp(g, AD_F32, 3, (int64_t[]){ pixels, hidden, CLASSES }, ad_relu));
}

/* Trains a network; returns its accuracy on the test set. */
static double train(nn_module *net, const nn_dataset d[2], int64_t epochs) {
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.005 });
    nn_fit_opts fit = { .epochs = epochs, .batch = 50, .schedule = nn_cosine_lr(opt, epochs, 0) };
    nn_fit(net, nn_cross_entropy, opt, d[0], fit, NULL);
    return nn_evaluate(net, NULL, nn_accuracy, d[1], 256).metric;
}

static void plot(lecture *l, lenet n, nn_dataset test) {
    ad_var *image = ad_narrow(test.x, 0, 3, 1), *filters = nn_parameter_at(n.all, 0).var;
    ad_var *one = nn_predict(n.first, image, 1), *two = nn_predict(n.second, image, 1);
    int side = (int)ad_shape_of(image).dim[2], kernel = (int)ad_shape_of(filters).dim[2];
    plot_layout(l, 2, 2);
    plot_panel(l, (panel_opts){ .title = "A test image" });
    plot_images(l, 1, 1, side, side, image);
    plot_panel(l, (panel_opts){ .title = "Filters of the first convolution" });
    plot_images(l, FIRST, 3, kernel, kernel, filters);
    plot_panel(l, (panel_opts){ .title = "Its maps of the image" });
    plot_images(l, FIRST, 3, side, side, one);
    plot_panel(l, (panel_opts){ .title = "Maps of the second convolution" });
    plot_images(l, SECOND, 4, side / 2, side / 2, two);
}

int main(int argc, char **argv) {
    options o = { .epochs = 15, .missing = 0.1 };
    lecture *l = lecture_begin(
        argc, argv,
        "A small LeNet learns damaged digits that the program draws, or those of MNIST. Beside it, a network of one\n"
        "hidden layer with as many parameters. The digits stand at different places, for which convolutions are made.",
        "--missing 1",
        (demo_option[]){ { "data", "the folder of the four files of MNIST", DEMO_TEXT, &o.data, 0, 0 },
                         { "epochs", "passes over the training images", DEMO_WHOLE, &o.epochs, 1, 1000 },
                         { "missing", "share of pixels missing in the digits drawn", DEMO_REAL, &o.missing, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    nn_dataset d[2];
    int64_t side = load(g, &o, d);
    if (!ad_ok(g)) return lecture_end(l, g);
    lenet n = lenet_new(g, side);
    long long weights = (long long)nn_parameter_numel(n.all);
    nn_module *dense = dense_new(g, side, weights);
    double by_lenet = train(n.all, d, o.epochs), by_dense = train(dense, d, o.epochs);
    lecture_claim(l, by_lenet > 0.95, "LeNet with %lld parameters has %.1f %% of the test images right", weights,
                  100 * by_lenet);
    lecture_claim(l, 1 - by_lenet < 0.7 * (1 - by_dense), "without convolutions, %lld parameters have %.1f %%",
                  (long long)nn_parameter_numel(dense), 100 * by_dense);
    if (ad_ok(g)) plot(l, n, d[1]);
    return lecture_end(l, g);
}
