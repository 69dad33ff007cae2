/* comm.h: ranks that talk without waiting for ever, and that all learn of an error; private to this folder. */
#ifndef NN_MPI_COMM_H
#define NN_MPI_COMM_H

#include "nn/mpi.h"

/* Small messages are frames of one size, so that a rank with an error can take part in any of them; gradients have a
   communicator of their own, on which operations of different sizes run in the background. */
typedef struct nn__comm nn__comm;
struct nn__comm {
    MPI_Comm frames, bulk;
    int rank, size;
    double timeout;
    bool ended;         /* an error that all ranks know, or a rank that is gone: nothing is sent any more */
    bool lost;          /* operations that were begun may never end */
    bool borrowed;      /* both communicators are the caller's */
    MPI_Errhandler before; /* of a borrowed one */
    nn_mpi_figures figures;
    /* What the ranks have begun on bulk when one of them fails: they begin the same number, and wait for all. */
    int64_t (*begun)(void *bulk_data);
    void (*end)(ad_graph *g, int64_t to_begin, void *bulk_data);
    void *bulk_data;
};

/* 0 or the code of g's error. g may be NULL: that is an error too. comm's ranks all make the call. */
int nn__comm_open(nn__comm *c, ad_graph *g, MPI_Comm comm, double timeout);
/* The same without copies of comm, for a few calls: of these, only the last one may have operations under way when a
   rank fails. */
int nn__comm_borrow(nn__comm *c, ad_graph *g, MPI_Comm comm, double timeout);
void nn__comm_close(nn__comm *c, ad_graph *g);

/* Waits for n operations. */
int nn__comm_wait(nn__comm *c, ad_graph *g, int n, MPI_Request *requests);
/* Sets the error of a call of MPI; rc is its result. */
int nn__comm_fail(nn__comm *c, ad_graph *g, int rc, const char *what);

/* These are the functions of nn_ranks; comm is an nn__comm. */
int nn__comm_sum(ad_graph *g, int64_t n, double *values, void *comm);
int nn__comm_broadcast(ad_graph *g, size_t bytes, void *memory, void *comm);
int nn__comm_gather(ad_graph *g, const size_t *offsets, void *memory, void *comm);
/* broadcast from another rank. */
int nn__comm_broadcast_from(nn__comm *c, ad_graph *g, int root, size_t bytes, void *memory);

static inline MPI_Datatype nn__mpi_type(ad_dtype t) { return t == AD_F32 ? MPI_FLOAT : MPI_DOUBLE; }

#endif
