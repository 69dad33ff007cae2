/* ranks.h: one training by several processes: what nn_fit needs of a library by which they talk, as nn/mpi.h does;
   included by nn.h. */
#ifndef NN_RANKS_H
#define NN_RANKS_H

#include "nn/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The ranks of a training: processes, or threads with a graph each, that run the same program. Each has all of the
   network and computes its part of each minibatch; what they compute is added up.

   The functions are called by all ranks in the same order, and return 0 or the code of the graph's error. A rank whose
   graph has an error calls sum or finish where the others may call any of sum, broadcast, gather and finish: each call
   then returns that error on all ranks, with its sentence in their graphs, and does no more. None of them waits without
   end. */
typedef struct {
    int rank, size;  /* 0 <= rank < size */
    int64_t blocks;  /* 0: one part of a minibatch for each rank. Otherwise so many parts, whose gradients are computed
                        one by one and added in an order that does not depend on the number of ranks */
    bool batch_norm; /* statistics of batch_norm are those of all ranks' rows; not with blocks */
    void *data;      /* passed to the functions */

    int (*sum)(ad_graph *g, int64_t n, double *values, void *data); /* over all ranks, in place; n may be 0 */
    int (*broadcast)(ad_graph *g, size_t bytes, void *memory, void *data); /* rank 0's bytes for all */
    /* Rank r has written bytes offsets[r] .. offsets[r + 1]-1 of memory; all get all of them. */
    int (*gather)(ad_graph *g, const size_t *offsets, void *memory, void *data);

    /* A step: begin; then, with blocks, add after the gradients of each of the rank's blocks, in order; finish, after
       which the gradients of the n xs are the sums over all ranks or blocks of scale times theirs. finish adds values
       as sum does. A scale of 0 means that there is no gradient, whatever the leaves have. Without blocks, ready may be
       called for leaves whose gradient is complete; adding may begin then. */
    int (*begin)(ad_graph *g, int n, ad_var *const xs[], double scale, void *data);
    ad_leaf_fn *ready;
    int (*add)(ad_graph *g, int64_t block, double scale, void *data);
    int (*finish)(ad_graph *g, int64_t n, double *values, void *data);
} nn_ranks;

/* The part of rank r: what of n rows or blocks it has is from r n / size to (r + 1) n / size - 1.

   nn_fit by all of these ranks, each of which makes the same call: the same network, optimiser, options and data, which
   is compared. Rank 0 gives parameters, buffers, random numbers and the state of the optimiser to the others, and alone
   prints, logs, and reads and writes checkpoints. Each minibatch has o.batch rows over all ranks, and what a rank gets
   of it are consecutive rows. Random draws of the network, such as those of dropout, are different on each rank (with
   blocks: in each block), and not those of nn_fit. Buffers are averaged after each step over the ranks that changed
   them. The parts' losses count by their rows, as with accumulate. Validation data is predicted in parts. Callbacks run
   on every rank; if one of them stops the training, all stop, and so does a SIGINT to one of them. A stream gives each
   rank its own rows, which may be of any number; the epoch ends when no rank has more. After an error of one rank, all
   return its code; the sentence begins with "rank" and its number on the others. */
AD_API int nn_fit_ranks(nn_module *net, nn_loss_fn *loss, nn_optim *opt, nn_dataset data, nn_fit_opts o,
                        const nn_ranks *ranks, nn_training_state *end);

#ifdef __cplusplus
}
#endif
#endif
