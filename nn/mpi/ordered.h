/* ordered.h: the gradients of blocks added in an order that does not depend on the number of ranks; private to this
   folder. */
#ifndef NN_MPI_ORDERED_H
#define NN_MPI_ORDERED_H

#include "nn/mpi/comm.h"

/* A branch of the tree over the blocks: the sum of blocks first .. first + 2^level - 1. */
typedef struct {
    int64_t first;
    int level;
    char *elements; /* of all leaves: those of f32, then those of f64 */
} nn__branch;

enum { NN__BRANCHES = 160 }; /* of one rank, and of a stack: up to two for each level */
typedef struct {
    nn__comm *comm;
    int64_t blocks;
    int n;
    ad_var *const *xs;     /* [n], the caller's */
    int64_t count[2];      /* elements of all leaves, by dtype */
    int branches, spare;   /* this rank's so far; buffers that are free */
    nn__branch branch[NN__BRANCHES];
    char *buffers[NN__BRANCHES];
    size_t bytes;          /* of a buffer */
} nn__ordered;

void nn__ordered_open(nn__ordered *d, nn__comm *c, int64_t blocks);
void nn__ordered_close(nn__ordered *d);
/* The functions of nn_ranks with blocks; ordered is an nn__ordered. */
int nn__ordered_begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *ordered);
int nn__ordered_add(ad_graph *g, int64_t block, double scale, void *ordered);
int nn__ordered_finish(ad_graph *g, int64_t n, double *values, void *ordered);

#endif
