/* tiny.c: a network that recognises digits, trained here and written as a C file for a machine of a few kilobytes. */
#include "demos/demo.h"
#include "demos/glyphs.h"
#include "demos/mnist.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *to;
    int64_t epochs, hidden, shown, seed;
} options;

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* Images [n,pixels], and classes [n]: the training set in of[0], the test set in of[1]. */
static void load(ad_graph *g, const char *dir, nn_dataset of[2]) {
    if (dir == NULL) {
        of[0] = glyph_set(g, 4000, 10, 0.3, 0), of[1] = glyph_set(g, 1000, 10, 0.3, 0);
        return;
    }
    mnist_sets(g, dir, of);
    for (int i = 0; i < 2; i++) of[i].x = ad_flatten(of[i].x, 1, -1);
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
    nn_dataset sets[2];
    load(g, o.data, sets);
    if (!ad_ok(g)) return demo_end(argv, g);
    nn_module *net = nn_mlp(g, AD_F32, 3, (int64_t[]){ ad_shape_of(sets[0].x).dim[1], o.hidden, 10 }, ad_relu);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.003 });
    nn_fit_opts fit = { .epochs = o.epochs, .schedule = nn_cosine_lr(opt, o.epochs, 0) };
    nn_fit(net, nn_cross_entropy, opt, sets[0], fit, NULL);
    double accuracy = nn_evaluate(net, NULL, nn_accuracy, sets[1], 256).metric;
    long long parameters = (long long)nn_parameter_numel(net);
    if (ad_ok(g)) printf("%lld parameters, test accuracy %.2f %%\n", parameters, 100 * accuracy);
    if (ad_ok(g) && o.to) export(&o, net, sets[1]);
    return demo_end(argv, g);
}
