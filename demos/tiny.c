/* tiny.c: a network that recognises digits, trained here and written as a C file for a machine of a few kilobytes. */
#include "autodiff/extend.h"
#include "demos/demo.h"
#include "demos/mnist.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *to;
    int64_t epochs, hidden, shown, seed;
} options;

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* Digits of 5 x 7 pixels, a row in each of the lower five bits. */
static const unsigned char glyphs[10][7] = {
    { 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },    { 14, 17, 1, 2, 4, 8, 31 },
    { 31, 2, 4, 2, 1, 17, 14 },     { 2, 6, 10, 18, 31, 2, 2 },   { 31, 16, 30, 1, 1, 17, 14 },
    { 6, 8, 16, 30, 17, 17, 14 },   { 31, 1, 2, 4, 8, 8, 8 },     { 14, 17, 17, 14, 17, 17, 14 },
    { 14, 17, 17, 15, 1, 2, 12 },
};

enum { SIDE = 8 };

static double random_number(ad_random_state *r, double lo, double hi) {
    double u;
    ad_random_uniform(r, AD_F64, 1, &u);
    return lo + (hi - lo) * u;
}

/* An image of 8 x 8 pixels: the digit at a random place, bright pixels and noise. */
static void draw(ad_random_state *r, int digit, float *image) {
    int left = (int)random_number(r, 0, 4), top = (int)random_number(r, 0, 2);
    for (int i = 0; i < SIDE * SIDE; i++) image[i] = (float)random_number(r, 0, 0.3);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 5; x++)
            if (glyphs[digit][y] >> (4 - x) & 1)
                image[(y + top) * SIDE + x + left] = (float)random_number(r, 0.5, 1);
}

static nn_dataset drawn(ad_graph *g, int64_t n) {
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n, SIDE * SIDE)), *y = ad_zeros(g, AD_F32, AD_SHAPE(n));
    float *images = ad_data_mut(x), *classes = ad_data_mut(y);
    ad_random_state r = ad_random_get(g);
    for (int64_t i = 0; i < n && ad_ok(g); i++)
        classes[i] = (float)(i % 10), draw(&r, (int)(i % 10), images + i * SIDE * SIDE);
    ad_random_set(g, r);
    return (nn_dataset){ x, y };
}

/* Images [n,784], and classes [n]. */
static nn_dataset loaded(ad_graph *g, const char *dir, const char *images, const char *labels) {
    nn_dataset d = mnist_set(g, dir, images, labels);
    ad_shape s = ad_shape_of(d.x);
    return (nn_dataset){ s.ndim == 3 ? ad_reshape(d.x, AD_SHAPE(s.dim[0], s.dim[1] * s.dim[2])) : d.x, d.y };
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Writes the first images of the test set, and their classes, for demos/alone/tiny.c. */
static bool write_images(const char *path, nn_dataset d, int64_t n) {
    FILE *f = fopen(path, "w");
    int64_t pixels = ad_numel(d.x) / ad_numel(d.y);
    if (f == NULL) return false;
    fprintf(f, "/* Images with pixels from 0 to 255, and the digits that they show. */\n");
    fprintf(f, "enum { IMAGES = %lld, PIXELS = %lld };\n", (long long)n, (long long)pixels);
    fprintf(f, "static const unsigned char image[IMAGES][PIXELS] = {\n");
    for (int64_t i = 0; i < n; i++) {
        fprintf(f, "{");
        for (int64_t k = 0; k < pixels; k++) fprintf(f, "%d,", (int)lround(255 * ad_at(d.x, i * pixels + k)));
        fprintf(f, "},\n");
    }
    fprintf(f, "};\nstatic const unsigned char digit[IMAGES] = {");
    for (int64_t i = 0; i < n; i++) fprintf(f, "%d,", (int)ad_at(d.y, i));
    fprintf(f, "};\n");
    return fclose(f) == 0;
}

static int export(const options *o, nn_module *net, nn_dataset test) {
    ad_graph *g = nn_graph_of(net);
    char path[4096];
    int64_t n = ad_numel(test.y) < o->shown ? ad_numel(test.y) : o->shown;
    ad_var *x = ad_narrow(test.x, 0, 0, 1);
    snprintf(path, sizeof path, "%s/net.c", o->to);
    int rc = nn_export_c(path, "net", net, ad_tensor(g, AD_F32, ad_data(x), ad_shape_of(x)), (nn_export_opts){ 0 });
    snprintf(path, sizeof path, "%s/images.h", o->to);
    if (rc == AD_OK && !write_images(path, test, n)) rc = ad_fail(g, AD_EIO, "cannot write %s", path);
    if (rc == AD_OK) printf("written to %s: net.c, net.h and %lld images\n", o->to, (long long)n);
    return rc;
}

int main(int argc, char **argv) {
    options o = { .epochs = 10, .hidden = 24, .shown = 100 };
    demo_parse(argc, argv,
               "Trains a network of one hidden layer on digits that it draws, or on those of MNIST, and writes it as\n"
               "a C file that needs nothing but math.h.",
               (demo_option[]){ { "data", "the folder of the four files of MNIST", DEMO_TEXT, &o.data, 0, 0 },
                                { "export", "the folder that the files are written to", DEMO_TEXT, &o.to, 0, 0 },
                                { "epochs", "passes over the training set", DEMO_WHOLE, &o.epochs, 1, 1e6 },
                                { "hidden", "width of the hidden layer", DEMO_WHOLE, &o.hidden, 1, 1e4 },
                                { "images", "test images that are written too", DEMO_WHOLE, &o.shown, 1, 1e4 },
                                DEMO_SEED(&o.seed),
                                { 0 } });
    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)o.seed);
    nn_dataset train =
        o.data ? loaded(g, o.data, "train-images-idx3-ubyte", "train-labels-idx1-ubyte") : drawn(g, 4000);
    nn_dataset test = o.data ? loaded(g, o.data, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte") : drawn(g, 1000);
    if (!ad_ok(g)) return demo_end(argv, g);
    nn_module *net = nn_mlp(g, AD_F32, 3, (int64_t[]){ ad_shape_of(train.x).dim[1], o.hidden, 10 }, ad_relu);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.003 });
    nn_fit_opts fit = { .epochs = o.epochs, .schedule = nn_cosine_lr(opt, o.epochs, 0) };
    nn_fit(net, nn_cross_entropy, opt, train, fit, NULL);
    double accuracy = nn_evaluate(net, NULL, nn_accuracy, test, 256).metric;
    long long parameters = (long long)nn_parameter_numel(net);
    if (ad_ok(g)) printf("%lld parameters, test accuracy %.2f %%\n", parameters, 100 * accuracy);
    if (ad_ok(g) && o.to) export(&o, net, test);
    return demo_end(argv, g);
}
