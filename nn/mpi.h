/* mpi.h: training by several processes that talk by MPI: the library libautodiff-mpi, beside libautodiff.

   The functions are called by all ranks of a communicator, after MPI_Init. None of them waits without end: if another
   rank has died, or is busy elsewhere, they return AD_EIO after a time limit, and the program should end by MPI_Abort,
   since the operations that were begun never end. Any other error is one that all ranks have got: its sentence is in
   the graph of each, with "rank" and the number of the failing rank in front on the others. */
#ifndef NN_MPI_H
#define NN_MPI_H

#include <mpi.h>

#include "nn/ranks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a training sent and how long it waited, on this rank. Times are in seconds. */
typedef struct {
    int64_t steps;
    double bytes;      /* of gradients that this rank has sent, by the bound of the algorithm: for the sum of b bytes
                          over n ranks 2 b (n - 1) / n; with ordered, what it did send */
    int64_t messages;  /* operations of MPI on gradients */
    double waited;     /* for gradients, after backward had ended */
    double small;      /* in small messages: losses, errors, statistics of batch_norm; the wait for slower ranks is in
                          here */
} nn_mpi_figures;

/* A field that is 0, false or NULL has its default. */
typedef struct {
    int64_t ordered;   /* 0: sums in the order of MPI. Otherwise a minibatch is cut into so many blocks, whose gradients
                          are added pairwise in a fixed order: the bits are the same for any number of ranks, one too.
                          Ranks beyond the number of blocks have nothing to do. Products have fewer rows, so a step
                          takes longer, and a rank whose blocks are no whole branch of the tree sends up to
                          2 log2(blocks) gradients in place of one */
    bool batch_norm;   /* statistics of batch_norm over the rows of all ranks; by default each rank has its own, and
                          running averages are the means over the ranks */
    int64_t bucket;    /* bytes of gradients that are added up at once; 262144 */
    bool no_overlap;   /* begin to add when backward has ended; by default as soon as a bucket is complete */
    double timeout;    /* 300 s: how long to wait for other ranks */
    nn_mpi_figures *figures; /* gets what this rank sent and waited for; NULL: none */
} nn_mpi_opts;

/* nn_fit over the ranks of comm: see nn_fit_ranks in ranks.h for what each rank does. For the same o.batch the losses
   are those of one rank up to rounding (1e-12 in f64) for any number of ranks, in networks without random draws and
   without batch_norm, unless its statistics are those of all ranks. A rank that has no row of a short last minibatch
   computes another one, which does not count. A checkpoint is resumed by any number of ranks. Returns 0 or the code of
   the graph's error. */
AD_API int nn_mpi_fit(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o, MPI_Comm comm,
                      nn_mpi_opts m, nn_training_state *end);

/* For loops of your own. Vars are given in the same order on all ranks, with the same shapes and dtypes, which is
   checked. A rank whose graph has an error makes the call too, so that the others learn of it. */
typedef struct {
    bool gradients;    /* of leaves; by default elements */
    bool mean;         /* by default the sum */
    bool in_order;     /* add in the order of the ranks: the same bits in each run with this number of ranks */
    double scale;      /* 1: what this rank's numbers are multiplied by before; AD_ZERO: they do not count */
    double timeout;    /* 300 s */
} nn_mpi_reduce_opts;
/* Adds up n arrays over the ranks, in place: the gradients after a backward pass, before the optimiser's step; or the
   elements of leaves, and of results of ops until they are evaluated again, such as Hessian-vector products. */
AD_API int nn_mpi_allreduce(ad_graph *g, int n, ad_var *const xs[], MPI_Comm comm, nn_mpi_reduce_opts o);
/* Gives the elements that n leaves have on rank root to all ranks, as those of the parameters before a training. */
AD_API int nn_mpi_broadcast(ad_graph *g, int n, ad_var *const xs[], int root, MPI_Comm comm);
/* All trainable parameters of net: their gradients, and one number (a loss) unless value is NULL, are multiplied by
   scale and added up. So minibatches of rows r of n have scale r / n. For nn_on_gradient and loops of your own. */
AD_API int nn_mpi_reduce_net(nn_module *net, double *value, double scale, MPI_Comm comm);

#ifdef __cplusplus
}
#endif
#endif
