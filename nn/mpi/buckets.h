/* buckets.h: gradients added up over ranks, in buckets while backward runs; private to this folder. */
#ifndef NN_MPI_BUCKETS_H
#define NN_MPI_BUCKETS_H

#include "nn/mpi/comm.h"

/* A leaf's gradient in a bucket. */
typedef struct {
    ad_var *x;
    int bucket;
    int64_t at;  /* its first element in the bucket */
    bool filled; /* in this step */
} nn__item;

/* Gradients of one dtype, one behind the other. A bucket of a single leaf is that leaf's own memory. */
typedef struct {
    ad_dtype dtype;
    int items, waiting; /* leaves; those that are not filled in this step */
    int64_t n;
    size_t offset;      /* of its elements in memory; not of a single leaf's */
    void *elements;
} nn__bucket;

typedef struct {
    nn__comm *comm;
    ad_graph *g;
    bool overlap;
    size_t most;              /* bytes of a bucket, if it has more than one leaf */
    double scale;             /* of this step; 0: zeros in place of gradients */
    int n, n_buckets, begun;  /* leaves; buckets; buckets whose sum is under way or done */
    int capacity;
    nn__item *items;          /* [n] in the order of the leaves */
    int *by_address;          /* [n] indices of items */
    nn__bucket *buckets;      /* in the order in which they are added up */
    MPI_Request *requests;    /* by bucket */
    char *memory;
    size_t bytes;
} nn__buckets;

void nn__buckets_open(nn__buckets *b, nn__comm *c, nn_mpi_opts o);
void nn__buckets_close(nn__buckets *b);
/* The functions of nn_ranks without blocks; buckets is an nn__buckets. */
int nn__buckets_begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *buckets);
void nn__buckets_ready(ad_var *x, void *buckets);
int nn__buckets_finish(ad_graph *g, int64_t n, double *values, void *buckets);

#endif
