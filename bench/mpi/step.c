/* step.c: the time of a training's step by the ranks of MPI, and what is sent in it. Run by mpirun; arguments are
   NAME=VALUE: net=mlp|lenet|wide, batch, steps, threads, bucket, overlap, ordered, plain (nn_fit in each rank, for one
   rank with threads). Prints a line with medians over the steps and the means of what was sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/mpi.h"
#include "nn/nn.h"

static int64_t batch = 64, steps = 300, threads = 1, bucket = 0, overlap = 1, ordered = 0, plain = 0;
static const char *which = "mlp";

static void parse(int argc, char **argv) {
    struct {
        const char *name;
        int64_t *to;
    } all[] = { { "batch=", &batch },     { "steps=", &steps },     { "threads=", &threads }, { "bucket=", &bucket },
                { "overlap=", &overlap }, { "ordered=", &ordered }, { "plain=", &plain } };
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "net=", 4) == 0) which = argv[i] + 4;
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (strncmp(argv[i], all[k].name, strlen(all[k].name)) == 0)
                *all[k].to = strtoll(argv[i] + strlen(all[k].name), NULL, 10);
    }
}

/* mlp: 784-128-10; wide: 784-1024-1024-10; lenet: 5x5 convolutions to 6 and 16 channels, then 120, 84, 10. */
static nn_module *network(ad_graph *g) {
    ad_pool_opts halve = { .kernel = { 2, 2 } };
    if (strcmp(which, "wide") == 0)
        return nn_sequential(g, nn_flatten(g), nn_mlp(g, AD_F32, 4, (int64_t[]){ 784, 1024, 1024, 10 }, ad_relu));
    if (strcmp(which, "lenet") != 0)
        return nn_sequential(g, nn_flatten(g), nn_mlp(g, AD_F32, 3, (int64_t[]){ 784, 128, 10 }, ad_relu));
    return nn_sequential(
        g, nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 1, .out = 6, .kernel = 5, .padding = 2 }), nn_relu(g),
        nn_max_pool2d(g, halve), nn_conv2d(g, AD_F32, (nn_conv_opts){ .in = 6, .out = 16, .kernel = 5 }), nn_relu(g),
        nn_max_pool2d(g, halve), nn_flatten(g), nn_mlp(g, AD_F32, 4, (int64_t[]){ 400, 120, 84, 10 }, ad_relu));
}

static double *times, last;
static int note(const nn_training_state *s, void *data) {
    (void)data;
    double now = MPI_Wtime();
    times[s->steps - 1] = now - last;
    last = now;
    return 0;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    parse(argc, argv);
    ad_graph *g = ad_graph_new();
    ad_keep_grads(g, false);
    ad_set_threads(g, (int)threads);
    nn_dataset data = { ad_rand(g, AD_F32, AD_SHAPE(batch * 4, 1, 28, 28)), ad_zeros(g, AD_F32, AD_SHAPE(batch * 4)) };
    nn_module *net = network(g);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 1e-3, .momentum = 0.9 });
    nn_mpi_figures f = { 0 };
    nn_fit_opts o = { .epochs = steps / 4, .batch = batch, .on_step = note };
    steps = steps / 4 * 4;
    times = calloc((size_t)steps, sizeof *times);
    last = MPI_Wtime();
    if (plain) nn_fit(net, nn_cross_entropy, opt, data, o, NULL);
    else
        nn_mpi_fit(
            net, nn_cross_entropy, opt, data, o, MPI_COMM_WORLD,
            (nn_mpi_opts){ .bucket = bucket, .no_overlap = !overlap && !ordered, .ordered = ordered, .figures = &f },
            NULL);
    if (!ad_ok(g)) fprintf(stderr, "rank %d: %s\n", rank, ad_error(g)), MPI_Abort(MPI_COMM_WORLD, 1);
    qsort(times + 4, (size_t)steps - 4, sizeof *times, by_size); /* without the first epoch */
    double n = f.steps ? (double)f.steps : 1;
    if (rank == 0)
        printf("%s ranks %d threads %lld batch %lld: step %.0f us, least %.0f; gradients %lld bytes, sent %.0f in %.1f "
               "operations; waited %.0f us, small messages %.0f us\n",
               which, size, (long long)threads, (long long)batch, 1e6 * times[4 + (steps - 4) / 2],
               1e6 * times[4 + (steps - 4) / 20], (long long)nn_parameter_numel(net) * 4, f.bytes / n,
               (double)f.messages / n, 1e6 * f.waited / n, 1e6 * f.small / n);
    free(times);
    ad_graph_free(g);
    MPI_Finalize();
    return 0;
}
