/* train.c: a training by nn_mpi_fit, whose options are arguments NAME=VALUE. Rank 0 prints the loss of each step, and
   at the end a hash of all parameters; a rank with an error prints "rank R: " and its sentence, and ends with status
   3. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/mpi.h"
#include "nn/nn.h"

static int rank, size;

typedef struct {
    const char *net, *optim, *source, *checkpoint, *log, *out;
    int64_t rows, batch, epochs, accumulate, ordered, bucket, fail, kill, interrupt, at, f32, compile, batch_norm,
        widths, plain, lr_of, mix, weights, prefetch, no_overlap, slow, stops, quiet, bad_data, no_net, fail_forward;
    double timeout;
} options;
static options o = { .net = "mlp",
                     .optim = "sgd",
                     .source = "data",
                     .rows = 50,
                     .batch = 8,
                     .epochs = 2,
                     .accumulate = 1,
                     .fail = -1,
                     .kill = -1,
                     .interrupt = -1,
                     .lr_of = -1,
                     .stops = -1,
                     .bad_data = -1,
                     .no_net = -1,
                     .widths = -1,
                     .fail_forward = -1,
                     .f32 = 0,
                     .timeout = 20 };

static const struct {
    const char *name;
    int64_t *whole;
} wholes[] = { { "rows", &o.rows },
               { "batch", &o.batch },
               { "epochs", &o.epochs },
               { "accumulate", &o.accumulate },
               { "ordered", &o.ordered },
               { "bucket", &o.bucket },
               { "fail", &o.fail },
               { "kill", &o.kill },
               { "interrupt", &o.interrupt },
               { "at", &o.at },
               { "f32", &o.f32 },
               { "compile", &o.compile },
               { "batch_norm", &o.batch_norm },
               { "widths", &o.widths },
               { "plain", &o.plain },
               { "lr_of", &o.lr_of },
               { "mix", &o.mix },
               { "weights", &o.weights },
               { "prefetch", &o.prefetch },
               { "no_overlap", &o.no_overlap },
               { "slow", &o.slow },
               { "stops", &o.stops },
               { "quiet", &o.quiet },
               { "bad_data", &o.bad_data },
               { "no_net", &o.no_net },
               { "fail_forward", &o.fail_forward } };
static const struct {
    const char *name, **text;
} texts[] = { { "net", &o.net }, { "optim", &o.optim }, { "source", &o.source }, { "checkpoint", &o.checkpoint },
              { "log", &o.log }, { "out", &o.out } };

static void parse(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '='), *end;
        bool known = false;
        if (value == NULL) exit(2);
        *value++ = '\0';
        for (size_t k = 0; k < sizeof wholes / sizeof *wholes; k++)
            if (strcmp(argv[i], wholes[k].name) == 0) *wholes[k].whole = strtoll(value, &end, 10), known = true;
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (strcmp(argv[i], texts[k].name) == 0) *texts[k].text = value, known = true;
        if (strcmp(argv[i], "timeout") == 0) o.timeout = strtod(value, &end), known = true;
        if (!known) fprintf(stderr, "no such option: %s\n", argv[i]), exit(2);
    }
}

/* ---- networks: 6 inputs, 3 classes ------------------------------------------------------------------------------- */

/* A layer that fails on one rank, in the forward pass of a step. */
static ad_var *fragile_forward(nn_module *m, ad_var *x) {
    int64_t *calls = nn_self(m);
    if (nn_training(m) && ++*calls == o.at && o.fail_forward == rank)
        return ad_matmul(x, ad_ones(nn_graph_of(m), ad_dtype_of(x), AD_SHAPE(5, 5)));
    return x;
}

/* A network of two inputs. */
static bool is_masked(void) { return strcmp(o.net, "masked") == 0; }
static void masked_forward(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    if (n == 2 && n_y == 1) y[0] = nn_apply(nn_find_module(m, "body"), ad_mul(x[0], x[1]));
    else ad_fail(nn_graph_of(m), AD_EVALUE, "masked: x and a mask, not %d inputs", n);
}

static nn_module *network(ad_graph *g, ad_dtype t) {
    int64_t width = o.widths == rank ? 9 : 8;
    if (is_masked()) {
        nn_module *m = nn_module_new_n(g, "masked", masked_forward, 0);
        nn_add_child(m, "body", nn_linear(g, t, 6, 3, true));
        return m;
    }
    nn_module *fragile = nn_module_new(g, "fragile", fragile_forward, sizeof(int64_t));
    if (strcmp(o.net, "bn") == 0)
        return nn_sequential(g, nn_linear(g, t, 6, 8, true), nn_batch_norm(g, t, 8, (nn_batch_norm_opts){ 0 }),
                             nn_tanh(g), fragile, nn_linear(g, t, 8, 8, true),
                             nn_batch_norm(g, t, 8, (nn_batch_norm_opts){ 0 }), nn_linear(g, t, 8, 3, true));
    if (strcmp(o.net, "dropout") == 0)
        return nn_sequential(g, nn_linear(g, t, 6, 8, true), nn_dropout(g, 0.3), nn_linear(g, t, 8, 3, true));
    return nn_sequential(g, nn_linear(g, t, 6, width, true), nn_tanh(g), fragile, nn_linear(g, t, width, 8, true),
                         nn_relu(g), nn_linear(g, t, 8, 3, true));
}

static nn_optim *optimiser(nn_module *net) {
    double lr = o.lr_of == rank ? 0.07 : 0.05;
    if (strcmp(o.optim, "adam") == 0) return nn_adam(net, (nn_adam_opts){ .lr = lr });
    if (strcmp(o.optim, "lbfgs") == 0) return nn_lbfgs(net, (nn_lbfgs_opts){ .max_iter = 4 });
    return nn_sgd(net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9 });
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static nn_dataset blobs(ad_graph *g, ad_dtype t, int64_t n, uint64_t seed) {
    ad_random_state before = ad_random_get(g);
    ad_seed(g, seed);
    nn_dataset d = nn_blobs_data(g, t, n, 3, 6, 4);
    ad_random_set(g, before);
    d.x = ad_muls(d.x, 0.1);
    if (is_masked()) d.x = nn_inputs(2, (ad_var *[]){ d.x, ad_sigmoid(d.x) });
    return d;
}

/* Minibatch `number` of the whole data set, of which this rank takes an unequal share: rank r has the rows from
   r (r + 1) / 2 parts of size (size + 1) / 2. With "lopsided", rank 0 has no minibatch but the first ones. */
static bool stream(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    const nn_dataset *d = data;
    int64_t from = number * o.batch, n = o.rows - from < o.batch ? o.rows - from : o.batch,
            parts = size * (size + 1) / 2;
    int64_t a = from + n * (rank * (rank + 1) / 2) / parts, b = from + n * ((rank + 1) * (rank + 2) / 2) / parts;
    (void)epoch, (void)g;
    if (n <= 0 || a == b) return false;
    *x = ad_slice(d->x, 0, a, b, 1);
    *y = ad_slice(d->y, 0, a, b, 1);
    return true;
}

static ad_var *loss_of_rows(ad_var *y, ad_var *target) {
    return ad_cross_entropy_with(y, target, (ad_ce_opts){ .reduction = AD_NONE });
}
static ad_var *loss_of_mixed(ad_var *y, ad_var *target) { return ad_cross_entropy_with(y, target, (ad_ce_opts){ 0 }); }

/* ---- the training ------------------------------------------------------------------------------------------------ */

static void hold(double seconds) {
    struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    nanosleep(&t, NULL);
}

static int after_step(const nn_training_state *s, void *data) {
    ad_graph *g = data;
    if (rank == 0 && !o.quiet) printf("step %lld loss %.17g\n", (long long)s->steps, s->loss), fflush(stdout);
    if (o.slow) hold(0.05);
    if (s->steps != o.at) return 0;
    if (o.fail == rank) ad_fail(g, AD_EIO, "the callback of step %lld fails", (long long)s->steps);
    if (o.kill == rank) raise(SIGKILL);
    if (o.interrupt == rank) raise(SIGINT);
    return o.stops == rank;
}

static uint64_t hash_of(const nn_module *net) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < nn_parameter_count(net) + nn_buffer_count(net); i++) {
        int n = nn_parameter_count(net);
        const ad_var *x = i < n ? nn_parameter_at(net, i).var : nn_buffer_at(net, i - n).var;
        const unsigned char *bytes = ad_data(x);
        for (size_t k = 0; k < ad_bytes_of(x); k++) hash = (hash ^ bytes[k]) * 0x100000001b3u;
    }
    return hash;
}

static nn_fit_opts fit_options(ad_graph *g, ad_dtype t, nn_dataset *data) {
    static nn_mix mix = { .classes = 3 };
    bool streams = strcmp(o.source, "stream") == 0;
    nn_fit_opts f = { .epochs = o.epochs,
                      .batch = o.batch,
                      .accumulate = o.accumulate,
                      .checkpoint = o.checkpoint,
                      .resume = o.checkpoint != NULL,
                      .checkpoint_steps = o.checkpoint ? 1 : 0,
                      .log = o.log,
                      .catch_interrupt = true,
                      .on_step = after_step,
                      .callback_data = g,
                      .compile = o.compile,
                      .prefetch = o.prefetch,
                      .mix = o.mix ? nn_mixup : NULL,
                      .mix_data = &mix,
                      .stream = streams ? stream : NULL,
                      .stream_data = data };
    if (!o.mix) f.validation = blobs(g, t, 41, 13), f.metric = nn_accuracy;
    if (o.weights) f.weights = ad_adds(ad_reshape(ad_slice(data->x, 1, 0, 1, 1), AD_SHAPE(-1)), 3);
    return f;
}

static void report(const nn_module *net, const nn_training_state *end) {
    if (rank == 0)
        printf("end steps %lld epoch %lld validation %.17g accuracy %.17g%s%s\n", (long long)end->steps,
               (long long)end->epoch, end->validation_loss, end->metric, end->interrupted ? " interrupted" : "",
               end->stopped_early ? " stopped" : "");
    printf("hash %016llx\n", (unsigned long long)hash_of(net));
}

static int train(ad_graph *g) {
    ad_dtype t = o.f32 ? AD_F32 : AD_F64;
    ad_seed(g, 7 + (uint64_t)rank); /* rank 0's numbers count */
    nn_module *net = o.no_net == rank ? NULL : network(g, t);
    nn_dataset data = blobs(g, t, o.rows, o.bad_data == rank ? 12 : 11);
    nn_optim *opt = net ? optimiser(net) : NULL;
    nn_fit_opts f = fit_options(g, t, &data);
    nn_loss_fn *loss = o.weights ? loss_of_rows : o.mix ? loss_of_mixed : nn_cross_entropy;
    nn_mpi_opts m = { .ordered = o.ordered,
                      .bucket = o.bucket,
                      .batch_norm = o.batch_norm,
                      .timeout = o.timeout,
                      .no_overlap = o.no_overlap };
    nn_dataset given = f.stream ? (nn_dataset){ 0 } : data;
    nn_training_state end;
    int rc = o.plain ? nn_fit(net, loss, opt, given, f, &end)
                     : nn_mpi_fit(net, loss, opt, given, f, MPI_COMM_WORLD, m, &end);
    if (rc == AD_OK) report(net, &end);
    return rc;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    parse(argc, argv);
    char path[1000];
    snprintf(path, sizeof path, "%s.%d", o.out ? o.out : "", rank);
    if (o.out != NULL && freopen(path, "w", stdout) == NULL) return 2;
    ad_graph *g = ad_graph_new();
    int rc = train(g);
    if (rc != AD_OK) printf("rank %d: %s\n", rank, ad_error(g));
    fflush(stdout);
    if (rc == AD_EIO && strstr(ad_error(g), "did not answer") != NULL) _exit(3); /* MPI has lost a rank */
    ad_graph_free(g);
    MPI_Finalize();
    return rc == AD_OK ? 0 : 3;
}
