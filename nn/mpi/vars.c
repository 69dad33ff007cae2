/* vars.c: sums and broadcasts of Vars, for loops of the user's own. */
#include <limits.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/mpi/buckets.h"
#include "nn/mpi/ordered.h"

/* ---- what all ranks must give alike ------------------------------------------------------------------------------ */

/* A number that is the same on all ranks if their arrays are alike: checked as a sum of squares of differences would be
   too dear, its sum is compared with size times it. */
static double likeness(int n, ad_var *const xs[]) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < n; i++) {
        ad_shape s = ad_shape_of(xs[i]);
        hash = (hash ^ (uint64_t)(s.ndim * 2 + ad_dtype_of(xs[i]))) * 0x100000001b3u;
        for (int k = 0; k < s.ndim; k++) hash = (hash ^ (uint64_t)s.dim[k]) * 0x100000001b3u;
    }
    return (double)(hash >> 32);
}

static int check_alike(nn__comm *c, ad_graph *g, const char *caller, int n, ad_var *const xs[]) {
    double mine = ad_ok(g) ? likeness(n, xs) : 0, sums[2] = { mine, mine * mine };
    int rc = nn__comm_sum(g, 2, sums, c);
    if (rc != AD_OK) return rc;
    if (sums[0] == mine * c->size) return AD_OK;
    ad_fail(g, AD_EVALUE, "%s: the ranks give arrays of different numbers, shapes or dtypes", caller);
    return nn__comm_sum(g, 0, NULL, c);
}

static void check_vars(ad_graph *g, const char *caller, int n, ad_var *const xs[], bool leaves) {
    if (n < 0 || (n > 0 && xs == NULL))
        ad_fail(g, AD_EVALUE, "%s: %d arrays: 0 or more, and an array of Vars", caller, n);
    for (int i = 0; i < n && ad_ok(g); i++) {
        if (ad_is_nil(xs[i])) ad_fail(g, AD_EVALUE, "%s: Var %d is nil", caller, i);
        else if (ad_graph_of(xs[i]) != g) ad_fail(g, AD_EGRAPH, "%s: Var %d belongs to another graph", caller, i);
        else if (leaves && ad_creator(xs[i]) != NULL)
            ad_fail(g, AD_EVALUE, "%s: Var %d was made by the op %s; it must be a leaf", caller, i,
                    ad_op_name(ad_creator(xs[i])));
        else if (leaves && !ad_requires_grad(xs[i]))
            ad_fail(g, AD_EGRAD, "%s: leaf %d requires no gradient", caller, i);
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void *memory_of(ad_var *x, bool gradients) {
    if (gradients) return ad_grad_mut(x);
    return ad_creator(x) == NULL ? ad_data_mut(x) : (void *)ad_data(x);
}

static void scale(ad_dtype t, int64_t n, double k, void *to) {
    for (int64_t i = 0; i < n && k != 1; i++) ad_write_element(t, to, i, k == 0 ? 0 : k * ad_read_element(t, to, i));
}

/* In pieces whose size is an int. */
static int add_up(nn__comm *c, ad_graph *g, ad_dtype t, int64_t n, char *memory) {
    MPI_Request r;
    int rc = AD_OK;
    for (int64_t from = 0, part; from < n && rc == AD_OK; from += part) {
        part = n - from < INT_MAX ? n - from : INT_MAX;
        rc = MPI_Iallreduce(MPI_IN_PLACE, memory + (size_t)from * ad_dtype_size(t), (int)part, nn__mpi_type(t), MPI_SUM,
                            c->bulk, &r);
        rc = rc != MPI_SUCCESS ? nn__comm_fail(c, g, rc, "adding up") : nn__comm_wait(c, g, 1, &r);
    }
    return rc;
}

/* The sum of a piece that all ranks have gathered, in their order. */
static void add_gathered(ad_dtype t, int ranks, int64_t n, const char *from, void *to) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int r = 0; r < ranks; r++) sum += ad_read_element(t, from + (size_t)r * (size_t)n * ad_dtype_size(t), i);
        ad_write_element(t, to, i, sum);
    }
}

/* In pieces, so that the numbers of all ranks need little memory. */
static int add_in_order(nn__comm *c, ad_graph *g, ad_dtype t, int64_t n, char *memory) {
    enum { PIECE = 1 << 16 };
    size_t size = ad_dtype_size(t), bytes = (size_t)c->size * PIECE * size;
    char *all = ad_buffer_take(g, bytes);
    MPI_Request r;
    int rc = nn__comm_sum(g, 0, NULL, c); /* all have memory */
    for (int64_t from = 0, part; from < n && rc == AD_OK; from += part) {
        char *piece = memory + (size_t)from * size;
        part = n - from < PIECE ? n - from : PIECE;
        rc = MPI_Iallgather(piece, (int)part, nn__mpi_type(t), all, (int)part, nn__mpi_type(t), c->bulk, &r);
        rc = rc != MPI_SUCCESS ? nn__comm_fail(c, g, rc, "gathering") : nn__comm_wait(c, g, 1, &r);
        if (rc == AD_OK) add_gathered(t, c->size, part, all, piece);
    }
    ad_buffer_give(g, all, bytes);
    return rc;
}

static int reduce(nn__comm *c, ad_graph *g, int n, ad_var *const xs[], nn_mpi_reduce_opts o) {
    double k = ad_option(o.scale, 1);
    int rc = check_alike(c, g, "mpi_allreduce", n, xs);
    for (int i = 0; i < n && rc == AD_OK; i++) {
        ad_dtype t = ad_dtype_of(xs[i]);
        void *memory = memory_of(xs[i], o.gradients);
        scale(t, ad_numel(xs[i]), k, memory);
        rc = (o.in_order ? add_in_order : add_up)(c, g, t, ad_numel(xs[i]), memory);
        if (rc == AD_OK && o.mean) scale(t, ad_numel(xs[i]), 1.0 / c->size, memory);
    }
    return rc;
}

int nn_mpi_allreduce(ad_graph *g, int n, ad_var *const xs[], MPI_Comm comm, nn_mpi_reduce_opts o) {
    nn__comm c;
    int rc = nn__comm_borrow(&c, g, comm, o.timeout);
    if (rc != AD_OK) return rc;
    if (g != NULL && ad_ok(g)) check_vars(g, "mpi_allreduce", n, xs, o.gradients);
    rc = reduce(&c, g, n, xs, o);
    nn__comm_close(&c, g);
    return rc;
}

int nn_mpi_broadcast(ad_graph *g, int n, ad_var *const xs[], int root, MPI_Comm comm) {
    nn__comm c;
    int rc = nn__comm_borrow(&c, g, comm, 0);
    if (rc != AD_OK) return rc;
    if (g != NULL && ad_ok(g)) check_vars(g, "mpi_broadcast", n, xs, false);
    for (int i = 0; i < n && g != NULL && ad_ok(g); i++)
        if (ad_creator(xs[i]) != NULL) ad_fail(g, AD_EVALUE, "mpi_broadcast: Var %d is no leaf", i);
    if ((root < 0 || root >= c.size) && g != NULL)
        ad_fail(g, AD_EVALUE, "mpi_broadcast: root %d of %d ranks", root, c.size);
    rc = check_alike(&c, g, "mpi_broadcast", n, xs);
    for (int i = 0; i < n && rc == AD_OK; i++)
        rc = nn__comm_broadcast_from(&c, g, root, ad_bytes_of(xs[i]), ad_data_mut(xs[i]));
    nn__comm_close(&c, g);
    return rc;
}

/* Parameters in the order of net's, whatever their number: in buckets, with the number in the frame that ends them. */
int nn_mpi_reduce_net(nn_module *net, double *value, double scale, MPI_Comm comm) {
    ad_graph *g = nn_graph_of(net);
    nn__comm c;
    nn__buckets b;
    double number = value ? scale * *value : 0;
    int n = 0, all = nn_parameter_count(net), rc = nn__comm_borrow(&c, g, comm, 0);
    if (rc != AD_OK) return rc;
    ad_mark m = ad_begin(g);
    ad_var **xs = ad_scope_alloc(g, (size_t)all * sizeof *xs + 1);
    for (int i = 0; i < all && xs != NULL; i++)
        if (ad_requires_grad(nn_parameter_at(net, i).var)) xs[n++] = nn_parameter_at(net, i).var;
    nn__buckets_open(&b, &c, (nn_mpi_opts){ 0 });
    rc = check_alike(&c, g, "mpi_reduce_net", n, xs);
    if (rc == AD_OK) nn__buckets_begin(g, n, xs, scale, &b);
    if (rc == AD_OK) rc = nn__buckets_finish(g, 1, &number, &b);
    if (rc == AD_OK && value != NULL) *value = number;
    nn__buckets_close(&b);
    nn__comm_close(&c, g);
    ad_end(g, m);
    return rc;
}
