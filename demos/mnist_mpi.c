/* mnist_mpi.c: trains a network to recognise handwritten digits by several processes:
   mpirun -n 2 build/demos/mnist_mpi --data DIR */
#include "demos/demo.h"
#include "demos/mnist.h"
#include "nn/mpi.h"
#include "nn/nn.h"

typedef struct {
    const char *data, *model, *resume;
    int64_t epochs, batch, hidden, warmup, ordered, batch_norm, threads, seed;
    double lr, timeout;
} options;

static int rank, size;

/* ---- networks ------------------------------------------------------------------------------------------ */

static nn_module *mlp(ad_graph *g, const options *o) {
    return nn_sequential(g, nn_flatten(g), nn_linear(g, AD_F32, 784, o->hidden, true), nn_relu(g),
                         nn_linear(g, AD_F32, o->hidden, 10, true));
}

static nn_module *convolution(ad_graph *g, nn_conv_opts o) {
    nn_batch_norm_opts defaults = { 0 };
    return nn_sequential(g, nn_conv2d(g, AD_F32, o), nn_batch_norm(g, AD_F32, o.out, defaults), nn_relu(g),
                         nn_max_pool2d(g, (ad_pool_opts){ .kernel = { 2, 2 } }));
}

/* After LeCun et al. 1998, with batch_norm, relu and max pooling. */
static nn_module *lenet(ad_graph *g) {
    return nn_sequential(g, convolution(g, (nn_conv_opts){ .in = 1, .out = 6, .kernel = 5, .padding = 2 }),
                         convolution(g, (nn_conv_opts){ .in = 6, .out = 16, .kernel = 5 }), nn_flatten(g),
                         nn_linear(g, AD_F32, 400, 120, true), nn_relu(g), nn_linear(g, AD_F32, 120, 84, true),
                         nn_relu(g), nn_linear(g, AD_F32, 84, 10, true));
}

/* ---- data: the files of MNIST, or clouds of points of as many numbers as an image -------------------------------- */

static void clouds(ad_graph *g, nn_dataset of[2]) {
    nn_dataset all = nn_blobs_data(g, AD_F32, 5000, 10, 784, 60);
    nn_parts parts = nn_split(all, (nn_split_opts){ .validation = 0.2 });
    of[0] = parts.train, of[1] = parts.validation;
    for (int i = 0; i < 2; i++) of[i].x = ad_reshape(ad_muls(of[i].x, 0.02), AD_SHAPE(-1, 28, 28));
}

/* ---- training -------------------------------------------------------------------------------------------- */

/* The rate of the whole batch rises over the first epochs, and falls by a cosine: Goyal et al. 2017. */
static nn_schedule *schedule(nn_optim *opt, const options *o) {
    if (o->warmup == 0) return nn_cosine_lr(opt, o->epochs, 0);
    nn_schedule *rise = nn_linear_lr(opt, 1.0 / (double)(o->warmup + 1), 1, o->warmup);
    return nn_sequential_lr(rise, nn_cosine_lr(opt, o->epochs - o->warmup, 0), o->warmup);
}

static int show(const nn_training_state *s, void *data) {
    (void)data;
    if (rank > 0) return 0;
    printf("epoch %lld  loss %.4f  test accuracy %.2f %%\n", (long long)s->epoch, s->loss, 100 * s->metric);
    return fflush(stdout);
}

static void train(ad_graph *g, const options *o) {
    nn_dataset sets[2];
    if (o->data != NULL) mnist_sets(g, o->data, sets);
    else clouds(g, sets);
    for (int i = 0; i < 2; i++) sets[i].x = ad_unsqueeze(sets[i].x, 1);
    nn_module *net = strcmp(o->model, "lenet") == 0 ? lenet(g) : mlp(g, o);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = o->lr, .momentum = 0.9 });
    nn_mpi_figures figures = { 0 };
    nn_training_state end;
    nn_fit_opts f = { .epochs = o->epochs,
                      .batch = o->batch,
                      .validation = sets[1],
                      .metric = nn_accuracy,
                      .metric_name = "accuracy",
                      .schedule = schedule(opt, o),
                      .progress = stderr,
                      .checkpoint = o->resume,
                      .checkpoint_steps = o->resume ? 200 : 0,
                      .resume = o->resume != NULL,
                      .catch_interrupt = true,
                      .on_epoch = show };
    nn_mpi_opts m = {
        .ordered = o->ordered, .batch_norm = o->batch_norm != 0, .timeout = o->timeout, .figures = &figures
    };
    int rc = nn_mpi_fit(net, nn_cross_entropy, opt, sets[0], f, MPI_COMM_WORLD, m, &end);
    if (rc == AD_OK && end.interrupted && rank == 0) printf("interrupted after step %lld\n", (long long)end.steps);
    if (rc == AD_OK && rank == 0 && figures.steps > 0)
        printf("%d ranks: %.0f bytes sent a step\n", size, figures.bytes / (double)figures.steps);
}

static void read_options(int argc, char **argv, options *o) {
    demo_parse(
        argc, argv,
        "Trains a network on the handwritten digits of MNIST by several processes, which mpirun starts: each has a\n"
        "part of every minibatch. DIR holds the four files that the demo mnist reads; without it, the data are ten\n"
        "clouds of points. A process that gets SIGINT stops all of them after the current step.",
        (demo_option[]){
            { "data", "the folder DIR of the four files", DEMO_TEXT, &o->data, 0, 0 },
            { "model", "mlp, with one hidden layer, or lenet, with convolutions", DEMO_TEXT, &o->model, 0, 0 },
            { "epochs", "passes over the training set", DEMO_WHOLE, &o->epochs, 1, 1e6 },
            { "batch", "samples in a minibatch, of all processes together", DEMO_WHOLE, &o->batch, 1, 1e6 },
            { "lr", "learning rate, decreasing by a cosine schedule", DEMO_REAL, &o->lr, 1e-9, 100 },
            { "warmup", "epochs in which the rate rises first", DEMO_WHOLE, &o->warmup, 0, 1e6 },
            { "hidden", "width of mlp's hidden layer", DEMO_WHOLE, &o->hidden, 1, 1e6 },
            { "ordered", "blocks of a minibatch: the same bits for any number of processes; 0: none", DEMO_WHOLE,
              &o->ordered, 0, 1e6 },
            { "batch-norm", "1: statistics over all processes", DEMO_WHOLE, &o->batch_norm, 0, 1 },
            { "threads", "threads of each process", DEMO_WHOLE, &o->threads, 1, 1024 },
            { "timeout", "seconds to wait for a process", DEMO_REAL, &o->timeout, 1e-3, 1e9 },
            { "resume", "a checkpoint, to resume from if it exists and kept up to date", DEMO_TEXT, &o->resume, 0, 0 },
            DEMO_SEED(&o->seed),
            { 0 } });
    if (strcmp(o->model, "mlp") != 0 && strcmp(o->model, "lenet") != 0)
        demo_refuse(argv, "model", "must be mlp or lenet");
    if (o->warmup >= o->epochs) demo_refuse(argv, "warmup", "must be below epochs");
}

int main(int argc, char **argv) {
    options o = { .model = "mlp", .epochs = 5, .batch = 64, .hidden = 128, .threads = 1, .lr = 0.05, .timeout = 300 };
    read_options(argc, argv, &o);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)o.seed);
    ad_keep_grads(g, false);
    ad_set_threads(g, (int)o.threads);
    train(g, &o);
    bool lost = ad_error_code(g) == AD_EIO && strstr(ad_error(g), "mpi: ") != NULL;
    int status = demo_end(argv, g);
    if (lost) MPI_Abort(MPI_COMM_WORLD, status); /* the other processes do not answer */
    MPI_Finalize();
    return status;
}
