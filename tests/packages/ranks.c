/* ranks.c: a program of a user of libautodiff-mpi: the sum of a parameter's gradients over the ranks. */
#include <stdio.h>

#include "nn/mpi.h"
#include "ops/ops.h"

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 3 }, AD_SCALAR);
    ad_backward(ad_square(x));
    nn_mpi_allreduce(g, 1, &x, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ .gradients = true });
    int ok = ad_ok(g) && ad_grad_item(x) == 6 * ranks;
    if (rank == 0) printf("%s\n", ok ? "ok" : ad_error(g));
    ad_graph_free(g);
    MPI_Finalize();
    return !ok;
}
