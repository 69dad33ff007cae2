/* digits_seen.c: lecture 16: digits, those that a network takes for others, and what its first weights look for. */
#include "demos/glyphs.h"
#include "demos/lectures/lecture.h"
#include "demos/mnist.h"
#include "nn/nn.h"

enum { HIDDEN = 25, ACROSS = 6, SAMPLES = 36, CLASSES = 10 };

typedef struct {
    const char *data;
    int64_t epochs;
    double missing;
} options;

/* Images [n,pixels] and classes [n]: training set in of[0], test set in of[1]. */
static void load(ad_graph *g, const options *o, nn_dataset of[2]) {
    if (o->data == NULL) {
        of[0] = glyph_set(g, 4000, CLASSES, 0.2, o->missing), of[1] = glyph_set(g, 1000, CLASSES, 0.2, o->missing);
        return;
    }
    mnist_sets(g, o->data, of);
    for (int i = 0; i < 2; i++) of[i].x = ad_flatten(of[i].x, 1, -1);
}

static nn_module *train(ad_graph *g, nn_dataset d, int64_t epochs) {
    nn_module *net = nn_mlp(g, AD_F32, 3, (int64_t[]){ ad_shape_of(d.x).dim[1], HIDDEN, CLASSES }, ad_tanh);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.003, .weight_decay = 1e-3 });
    nn_fit_opts fit = { .epochs = epochs, .batch = 50, .schedule = nn_cosine_lr(opt, epochs, 0) };
    nn_fit(net, nn_cross_entropy, opt, d, fit, NULL);
    return net;
}

/* What became of the test images. */
typedef struct {
    double accuracy, sure[2];    /* the mean probability of the answer: wrong ones, right ones */
    int wrong, rows[SAMPLES];    /* how many are wrong, and the first of them */
    int counts[CLASSES][CLASSES]; /* [class][answer] */
} answers;

static answers ask(nn_module *net, nn_dataset test) {
    ad_var *p = ad_softmax(nn_predict(net, test.x, 256), -1), *answer = ad_argmax_axis(p, -1, false);
    answers a = { 0 };
    int64_t n = ad_numel(test.y);
    for (int64_t i = 0; i < n && ad_ok(nn_graph_of(net)); i++) {
        int is = (int)ad_at(test.y, i), got = (int)ad_at(answer, i);
        a.counts[is][got]++;
        a.sure[is == got] += ad_at(p, i * CLASSES + got);
        if (is != got && a.wrong++ < SAMPLES) a.rows[a.wrong - 1] = (int)i;
    }
    a.sure[0] /= fmax(1, a.wrong), a.sure[1] /= fmax(1, (double)n - a.wrong);
    a.accuracy = 1 - (double)a.wrong / (double)n;
    return a;
}

/* Prints the confusion matrix, and returns the number of the errors of the pair that is confused most often. */
static int print(const answers *a, int pair[2]) {
    int most = 0;
    printf("is  taken for 0    1    2    3    4    5    6    7    8    9\n");
    for (int i = 0; i < CLASSES; i++) {
        printf("%d          ", i);
        for (int k = 0; k < CLASSES; k++) {
            printf("%5d", a->counts[i][k]);
            if (i != k && a->counts[i][k] > most) most = a->counts[i][k], pair[0] = i, pair[1] = k;
        }
        printf("\n");
    }
    return most;
}

static void plot_errors(lecture *l, ad_graph *g, const answers *a) {
    double errors[CLASSES * CLASSES];
    for (int i = 0; i < CLASSES * CLASSES; i++)
        errors[i] = i / CLASSES == i % CLASSES ? 0 : a->counts[i / CLASSES][i % CLASSES];
    plot_panel(l, (panel_opts){ .title = "Errors: images of a digit taken for another", .x = "taken for", .y = "is",
                                .xlo = -0.5, .xhi = 9.5, .ylo = -0.5, .yhi = 9.5, .equal = true });
    plot_field(l, PLOT_HEIGHT, CLASSES, CLASSES, ad_tensor(g, AD_F64, errors, AD_SHAPE(CLASSES, CLASSES)));
}

static void plot(lecture *l, nn_module *net, nn_dataset test, const answers *a) {
    ad_graph *g = nn_graph_of(net);
    int side = (int)lround(sqrt((double)ad_shape_of(test.x).dim[1])), n = a->wrong < SAMPLES ? a->wrong : SAMPLES;
    float rows[SAMPLES];
    for (int i = 0; i < n; i++) rows[i] = (float)a->rows[i];
    ad_var *wrong = ad_index_select(test.x, 0, ad_tensor(g, AD_F32, rows, AD_SHAPE(n)));
    plot_layout(l, 2, 2);
    plot_panel(l, (panel_opts){ .title = "Test images" });
    plot_images(l, SAMPLES, ACROSS, side, side, test.x);
    plot_panel(l, (panel_opts){ .title = "Images that are taken for another digit" });
    plot_images(l, n, ACROSS, side, side, wrong);
    plot_errors(l, g, a);
    plot_panel(l, (panel_opts){ .title = "Weights of the neurons of the first layer" });
    plot_images(l, HIDDEN, 5, side, side, nn_find_parameter(net, "0.weight"));
}

int main(int argc, char **argv) {
    options o = { .epochs = 60, .missing = 0.1 };
    lecture *l = lecture_begin(
        argc, argv,
        "A network with one hidden layer learns damaged digits that the program draws, or those of MNIST. Shown are\n"
        "images, those that it takes for another digit, how often each is taken for which, and its first weights.",
        "--missing 0.8",
        (demo_option[]){ { "data", "the folder of the four files of MNIST", DEMO_TEXT, &o.data, 0, 0 },
                         { "epochs", "passes over the training images", DEMO_WHOLE, &o.epochs, 1, 1000 },
                         { "missing", "share of pixels missing in the digits drawn", DEMO_REAL, &o.missing, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    nn_dataset d[2];
    int pair[2] = { 0 };
    load(g, &o, d);
    nn_module *net = train(g, d[0], o.epochs);
    answers a = ask(net, d[1]);
    if (ad_ok(g)) {
        int most = print(&a, pair);
        lecture_claim(l, a.accuracy > 0.85, "%.1f %% of the test images are right", 100 * a.accuracy);
        lecture_claim(l, a.sure[1] > a.sure[0] + 0.15, "right answers are surer: mean probability %.2f, wrong %.2f",
                      a.sure[1], a.sure[0]);
        lecture_claim(l, most > 4.0 * a.wrong / 90, "errors are not spread evenly: of %d, %d are digit %d taken for %d",
                      a.wrong, most, pair[0], pair[1]);
        plot(l, net, d[1], &a);
    }
    return lecture_end(l, g);
}
