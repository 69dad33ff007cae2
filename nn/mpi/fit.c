/* fit.c: nn_mpi_fit: nn_fit_ranks with MPI. */
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/mpi/buckets.h"
#include "nn/mpi/ordered.h"

/* nn_ranks has one pointer for all its functions. */
typedef struct {
    nn__comm comm;
    nn__buckets buckets;
    nn__ordered ordered;
} link;

static int sum(ad_graph *g, int64_t n, double *values, void *l) {
    return nn__comm_sum(g, n, values, &((link *)l)->comm);
}
static int broadcast(ad_graph *g, size_t bytes, void *memory, void *l) {
    return nn__comm_broadcast(g, bytes, memory, &((link *)l)->comm);
}
static int gather(ad_graph *g, const size_t *offsets, void *memory, void *l) {
    return nn__comm_gather(g, offsets, memory, &((link *)l)->comm);
}
static int begin_buckets(ad_graph *g, int n, ad_var *const xs[], double scale, void *l) {
    return nn__buckets_begin(g, n, xs, scale, &((link *)l)->buckets);
}
static void ready(ad_var *x, void *l) { nn__buckets_ready(x, &((link *)l)->buckets); }
static int finish_buckets(ad_graph *g, int64_t n, double *values, void *l) {
    return nn__buckets_finish(g, n, values, &((link *)l)->buckets);
}
static int begin_blocks(ad_graph *g, int n, ad_var *const xs[], double scale, void *l) {
    return nn__ordered_begin(g, n, xs, scale, &((link *)l)->ordered);
}
static int add_block(ad_graph *g, int64_t block, double scale, void *l) {
    return nn__ordered_add(g, block, scale, &((link *)l)->ordered);
}
static int finish_blocks(ad_graph *g, int64_t n, double *values, void *l) {
    return nn__ordered_finish(g, n, values, &((link *)l)->ordered);
}

static nn_ranks ranks_of(link *l, nn_mpi_opts m) {
    nn_ranks r = { .rank = l->comm.rank,
                   .size = l->comm.size,
                   .blocks = ad_option_int(m.ordered, 0),
                   .batch_norm = m.batch_norm,
                   .data = l,
                   .sum = sum,
                   .broadcast = broadcast,
                   .gather = gather,
                   .begin = begin_buckets,
                   .ready = m.no_overlap ? NULL : ready,
                   .finish = finish_buckets };
    if (r.blocks > 0) r.begin = begin_blocks, r.ready = NULL, r.add = add_block, r.finish = finish_blocks;
    return r;
}

/* What is wrong with one rank's options, it learns here and the others from its first message. */
static void check(ad_graph *g, nn_mpi_opts m) {
    if (ad_option_int(m.ordered, 0) < 0 || m.ordered > 1 << 20)
        ad_fail(g, AD_EVALUE, "mpi_fit: ordered %lld: from 0 to 2^20 blocks", (long long)m.ordered);
    if (ad_option_int(m.bucket, 1) < 1)
        ad_fail(g, AD_EVALUE, "mpi_fit: bucket %lld: 1 byte or more", (long long)m.bucket);
    if (m.ordered > 0 && (m.no_overlap || m.bucket != 0))
        ad_fail(g, AD_EVALUE, "mpi_fit: ordered has neither buckets nor overlap");
}

static ad_graph *graph_of(const nn_module *net, nn_dataset data) {
    ad_graph *g = nn_graph_of(net);
    return g ? g : ad_graph_of(data.x) ? ad_graph_of(data.x) : ad_graph_of(data.y);
}

int nn_mpi_fit(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o, MPI_Comm comm,
               nn_mpi_opts m, nn_training_state *end) {
    ad_graph *g = graph_of(net, data);
    link l;
    if (end != NULL) *end = (nn_training_state){ 0 };
    int rc = nn__comm_open(&l.comm, g, comm, m.timeout);
    if (rc != AD_OK) return rc;
    nn__buckets_open(&l.buckets, &l.comm, m);
    nn__ordered_open(&l.ordered, &l.comm, ad_option_int(m.ordered, 0));
    if (ad_ok(g)) check(g, m);
    const nn_ranks r = ranks_of(&l, m);
    rc = nn_fit_ranks(net, loss, opt, data, o, &r, end);
    if (m.figures != NULL) *m.figures = l.comm.figures;
    nn__buckets_close(&l.buckets);
    nn__ordered_close(&l.ordered);
    nn__comm_close(&l.comm, g);
    return rc;
}
