/* mnist.c: trains a network to recognise handwritten digits. */
#include "demos/demo.h"
#include "demos/mnist.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *model, *optim, *save, *resume, *log;
    int64_t epochs, batch, hidden, augment, prefetch, threads, compile, seed;
    double lr, dropout;
} options;

/* ---- data ------------------------------------------------------------------------------------------- */

/* ---- networks ---------------------------------------------------------------------------------------- */

static nn_module *mlp(ad_graph *g, ad_shape image, const options *o) {
    int64_t pixels = image.dim[2] * image.dim[3];
    return nn_sequential(g, nn_flatten(g), nn_linear(g, AD_F32, pixels, o->hidden, true), nn_relu(g),
                         nn_dropout(g, o->dropout), nn_linear(g, AD_F32, o->hidden, 10, true));
}

/* After LeCun et al. 1998, with relu and max pooling. */
static nn_module *lenet(ad_graph *g, ad_shape image, const options *o) {
    nn_conv_opts one = { .in = 1, .out = 6, .kernel = 5, .padding = 2 };
    nn_conv_opts two = { .in = 6, .out = 16, .kernel = 5 };
    ad_pool_opts halve = { .kernel = { 2, 2 } };
    int64_t left = 16 * ((image.dim[2] / 2 - 4) / 2) * ((image.dim[3] / 2 - 4) / 2);
    return nn_sequential(g, nn_conv2d(g, AD_F32, one), nn_relu(g), nn_max_pool2d(g, halve), nn_conv2d(g, AD_F32, two),
                         nn_relu(g), nn_max_pool2d(g, halve), nn_flatten(g), nn_linear(g, AD_F32, left, 120, true),
                         nn_relu(g), nn_dropout(g, o->dropout), nn_linear(g, AD_F32, 120, 84, true), nn_relu(g),
                         nn_linear(g, AD_F32, 84, 10, true));
}

static nn_optim *optimiser(nn_module *net, const options *o) {
    if (strcmp(o->optim, "adam") == 0) return nn_adam(net, (nn_adam_opts){ .lr = o->lr > 0 ? o->lr : 0.001 });
    return nn_sgd(net, (nn_sgd_opts){ .lr = o->lr > 0 ? o->lr : 0.05, .momentum = 0.9 });
}

/* ---- training ---------------------------------------------------------------------------------------- */

static int show(const nn_training_state *s, void *data) {
    (void)data;
    printf("epoch %lld  loss %.4f  test accuracy %.2f %%\n", (long long)s->epoch, s->loss, 100 * s->metric);
    return fflush(stdout);
}

static void train(nn_module *net, nn_optim *opt, const options *o, nn_dataset train_set, nn_dataset test_set) {
    nn_augmentation moved = { .shift = (int)o->augment, .angle = 10 };
    nn_training_state end;
    nn_fit(net, nn_cross_entropy, opt, train_set,
           (nn_fit_opts){ .epochs = o->epochs,
                          .batch = o->batch,
                          .validation = test_set,
                          .metric = nn_accuracy,
                          .metric_name = "accuracy",
                          .schedule = nn_cosine_lr(opt, o->epochs, 0),
                          .transform = o->augment > 0 ? nn_augment : NULL,
                          .transform_data = &moved,
                          .prefetch = o->prefetch,
                          .progress = stderr,
                          .log = o->log,
                          .checkpoint = o->resume,
                          .checkpoint_steps = o->resume ? 200 : 0,
                          .resume = o->resume != NULL,
                          .catch_interrupt = true,
                          .on_epoch = show,
                          .compile = o->compile != 0 },
           &end);
    if (o->compile) fprintf(stderr, "%s\n", end.how);
    if (end.interrupted) printf("interrupted after step %lld\n", (long long)end.steps);
    if (o->save != NULL) nn_save(net, o->save);
}

static void check(char **argv, const options *o) {
    if (o->data == NULL) demo_refuse(argv, "--data DIR", "is required");
    if (strcmp(o->model, "mlp") != 0 && strcmp(o->model, "lenet") != 0)
        demo_refuse(argv, "model", "must be mlp or lenet");
    if (strcmp(o->optim, "sgd") != 0 && strcmp(o->optim, "adam") != 0)
        demo_refuse(argv, "optim", "must be sgd or adam");
}

int main(int argc, char **argv) {
    options o = { .model = "mlp", .optim = "sgd", .epochs = 10, .batch = 64, .hidden = 128, .threads = 1 };
    demo_parse(
        argc, argv,
        "Trains a network on the handwritten digits of MNIST, or on Fashion-MNIST, whose files have the same names,\n"
        "and prints its accuracy on the test set after each epoch. DIR holds train-images-idx3-ubyte,\n"
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and\n"
        "t10k-labels-idx1-ubyte, plain or gzipped (.gz). Ctrl-C stops it after the current step.",
        (demo_option[]){
            { "data", "the folder DIR of the four files; required", DEMO_TEXT, &o.data, 0, 0 },
            { "model", "mlp, with one hidden layer, or lenet, with convolutions", DEMO_TEXT, &o.model, 0, 0 },
            { "optim", "sgd, with momentum, or adam", DEMO_TEXT, &o.optim, 0, 0 },
            { "epochs", "passes over the training set", DEMO_WHOLE, &o.epochs, 1, 1e6 },
            { "batch", "samples in a minibatch", DEMO_WHOLE, &o.batch, 1, 1e6 },
            { "lr", "learning rate, decreasing by a cosine schedule; 0: 0.05 for sgd, 0.001 for adam", DEMO_REAL,
              &o.lr, 0, 100 },
            { "hidden", "width of mlp's hidden layer", DEMO_WHOLE, &o.hidden, 1, 1e6 },
            { "dropout", "fraction of the hidden layer dropped in training", DEMO_REAL, &o.dropout, 0, 0.9 },
            { "augment", "shift training images by up to N pixels and rotate them by up to 10 degrees; 0: neither",
              DEMO_WHOLE, &o.augment, 0, 100 },
            { "threads", "threads for large products and loops; 0: one per processor", DEMO_WHOLE,
              &o.threads, 0, 1024 },
            { "prefetch", "minibatches that a thread prepares ahead", DEMO_WHOLE, &o.prefetch, 0, 100 },
            { "compile", "1: compute steps by a compiled program", DEMO_WHOLE, &o.compile, 0, 1 },
            { "save", "a safetensors file to save the network to at the end", DEMO_TEXT, &o.save, 0, 0 },
            { "resume", "a checkpoint, to resume from if it exists and kept up to date", DEMO_TEXT, &o.resume, 0,
              0 },
            { "log", "a CSV file with a row per epoch", DEMO_TEXT, &o.log, 0, 0 },
            DEMO_SEED(&o.seed),
            { 0 } });
    check(argv, &o);

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)o.seed);
    ad_keep_grads(g, false);
    ad_set_threads(g, (int)o.threads);
    nn_dataset sets[2]; /* for training and testing; images [n, 1, height, width] */
    mnist_sets(g, o.data, sets);
    for (int i = 0; i < 2; i++) sets[i].x = ad_unsqueeze(sets[i].x, 1);
    ad_shape image = ad_shape_of(sets[0].x);
    nn_module *net = strcmp(o.model, "lenet") == 0 ? lenet(g, image, &o) : mlp(g, image, &o);
    train(net, optimiser(net, &o), &o, sets[0], sets[1]);
    return demo_end(argv, g);
}
