/* collectives.c: sums and broadcasts of Vars over ranks, with values that are known. Each rank prints "ok" or what is
   wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/mpi.h"
#include "nn/nn.h"

static int rank, size, faults;

static void expect(bool good, const char *what, const ad_graph *g) {
    if (good) return;
    printf("rank %d of %d: %s: %s\n", rank, size, what, g ? ad_error(g) : "");
    faults++;
}

/* Arrays of both dtypes, with element i of rank r (r + 1) (i + 1). */
enum { ARRAYS = 4 };
static void make(ad_graph *g, ad_var *x[ARRAYS]) {
    static const int64_t sizes[ARRAYS] = { 1, 7, 100000, 3 };
    for (int k = 0; k < ARRAYS; k++) {
        ad_dtype t = k % 2 ? AD_F32 : AD_F64;
        x[k] = ad_param(g, t, NULL, AD_SHAPE(sizes[k]));
        void *to = ad_data_mut(x[k]), *grad = ad_grad_mut(x[k]);
        for (int64_t i = 0; i < sizes[k]; i++) {
            ad_write_element(t, to, i, (rank + 1) * (double)(i % 1000 + 1));
            ad_write_element(t, grad, i, (rank + 1) * (double)(i % 100 + 1));
        }
    }
}

static bool holds(const ad_var *x, double factor, bool gradients) {
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double want = factor * (double)(i % (gradients ? 100 : 1000) + 1),
               got = gradients ? ad_grad_at(x, i) : ad_at(x, i);
        if (fabs(got - want) > 1e-6 * want) return false;
    }
    return true;
}

static void sums(void) {
    double all = size * (size + 1) / 2.0;
    for (int way = 0; way < 8; way++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[ARRAYS];
        make(g, x);
        nn_mpi_reduce_opts o = { .gradients = way & 1, .mean = way & 2, .in_order = way & 4, .scale = 0.5 };
        expect(nn_mpi_allreduce(g, ARRAYS, x, MPI_COMM_WORLD, o) == AD_OK, "allreduce", g);
        for (int k = 0; k < ARRAYS; k++) {
            double want = 0.5 * all / (o.mean ? size : 1);
            expect(holds(x[k], want, o.gradients), "a sum", g);
            expect(holds(x[k], rank + 1, !o.gradients), "what was not added", g);
        }
        ad_graph_free(g);
    }
}

static void broadcasts(void) {
    for (int root = 0; root < size; root++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[ARRAYS];
        make(g, x);
        expect(nn_mpi_broadcast(g, ARRAYS, x, root, MPI_COMM_WORLD) == AD_OK, "broadcast", g);
        for (int k = 0; k < ARRAYS; k++) expect(holds(x[k], root + 1, false), "a broadcast", g);
        ad_graph_free(g);
    }
}

/* f = sum over ranks of (r + 1) |x|^4: its Hessian times v is known. */
static void hessian_vector_products(void) {
    ad_graph *g = ad_graph_new();
    double at[] = { 1, 2, -1 }, along[] = { 0.5, -1, 2 }, square = 6, product = 0.5 - 2 - 2;
    ad_var *x = ad_param(g, AD_F64, at, AD_SHAPE(3)), *v = ad_tensor(g, AD_F64, along, AD_SHAPE(3)), *hv;
    ad_var *y = ad_muls(ad_square(ad_sum(ad_square(x))), rank + 1);
    ad_hvp(y, 1, &x, &v, &hv);
    expect(nn_mpi_allreduce(g, 1, &hv, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ 0 }) == AD_OK, "allreduce of a result", g);
    for (int i = 0; i < 3; i++) {
        double want = (4 * square * along[i] + 8 * product * at[i]) * size * (size + 1) / 2;
        expect(fabs(ad_at(hv, i) - want) < 1e-9, "a Hessian-vector product", g);
    }
    ad_graph_free(g);
}

/* Each rank has its own points of y = 2 x - 1; together they are fitted by L-BFGS. */
typedef struct {
    nn_module *net;
    ad_var *x, *y;
} fit;
static ad_var *loss_of(void *data) {
    const fit *f = data;
    return nn_mse(nn_apply(f->net, f->x), f->y);
}
static int add_up(nn_optim *opt, double *loss, void *data) {
    (void)opt;
    return nn_mpi_reduce_net(((fit *)data)->net, loss, 1.0 / size, MPI_COMM_WORLD);
}
static void lbfgs(void) {
    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)rank);
    fit f = { .net = nn_linear(g, AD_F64, 1, 1, true) };
    double x[] = { rank, rank + 0.5 }, y[] = { 2 * x[0] - 1, 2 * x[1] - 1 };
    f.x = ad_tensor(g, AD_F64, x, AD_SHAPE(2, 1)), f.y = ad_tensor(g, AD_F64, y, AD_SHAPE(2, 1));
    ad_var *w[] = { nn_find_parameter(f.net, "weight"), nn_find_parameter(f.net, "bias") };
    nn_mpi_broadcast(g, 2, w, 0, MPI_COMM_WORLD);
    nn_optim *opt = nn_lbfgs(f.net, (nn_lbfgs_opts){ 0 });
    nn_on_gradient(opt, add_up, &f);
    for (int i = 0; i < 10; i++) nn_step_closure(opt, loss_of, &f, NULL);
    expect(fabs(ad_item(w[0]) - 2) < 1e-4 && fabs(ad_item(w[1]) + 1) < 1e-4, "L-BFGS over ranks", g);
    expect(ad_ok(g), "L-BFGS", g);
    ad_graph_free(g);
}

/* The last rank has an error, or different arrays: all ranks get it, with its sentence. */
static void errors(void) {
    char want[80];
    for (int way = 0; way < 5; way++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[ARRAYS];
        make(g, x);
        bool last = rank == size - 1;
        if (last && way == 0) ad_fail(g, AD_EIO, "the disk is full");
        if (last && way == 1) x[2] = ad_param(g, AD_F64, NULL, AD_SHAPE(5));
        if (last && way == 2) x[1] = NULL;
        int rc = way == 3   ? nn_mpi_broadcast(g, ARRAYS, x, last ? 0 : 1, MPI_COMM_WORLD)
                 : way == 4 ? nn_mpi_allreduce(g, last ? 3 : 4, x, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ 0 })
                            : nn_mpi_allreduce(g, ARRAYS, x, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ 0 });
        static const char *const sentences[] = { "the disk is full", "different numbers, shapes or dtypes",
                                                 "Var 1 is nil", "different calls",
                                                 "different numbers, shapes or dtypes" };
        if (size == 1 && (way == 1 || way == 3 || way == 4)) ad_fail(g, rc = AD_EVALUE, "%s", sentences[way]);
        expect(rc < 0 && rc == ad_error_code(g), "the code of an error", g);
        expect(strstr(ad_error(g), sentences[way]) != NULL, sentences[way], g);
        snprintf(want, sizeof want, "rank %d: ", size - 1);
        if (way == 0 || way == 2) expect(last || strncmp(ad_error(g), want, strlen(want)) == 0, "whose error it is", g);
        ad_clear_error(g);
        make(g, x); /* and go on */
        expect(nn_mpi_allreduce(g, ARRAYS, x, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ 0 }) == AD_OK, "going on", g);
        ad_graph_free(g);
    }
}

/* One that does not come is named, after the time limit. */
static void lateness(void) {
    ad_graph *g = ad_graph_new();
    ad_var *x[ARRAYS];
    make(g, x);
    double start = MPI_Wtime();
    if (rank == size - 1) {
        sleep(5);
        ad_graph_free(g);
        return;
    }
    int rc = nn_mpi_allreduce(g, ARRAYS, x, MPI_COMM_WORLD, (nn_mpi_reduce_opts){ .timeout = 1 });
    char want[80];
    snprintf(want, sizeof want, "rank %d did not answer for 1 s", size - 1);
    expect(rc == AD_EIO && strstr(ad_error(g), want) != NULL, want, g);
    expect(MPI_Wtime() - start < 4.9, "the time limit", g);
    ad_graph_free(g);
}

int main(int argc, char **argv) {
    ad_graph *g = ad_graph_new();
    if (nn_mpi_broadcast(g, 0, NULL, 0, MPI_COMM_WORLD) != AD_EVALUE) faults++; /* before MPI_Init */
    ad_graph_free(g);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    sums();
    broadcasts();
    hessian_vector_products();
    lbfgs();
    errors();
    if (size > 1) lateness();
    printf(faults ? "rank %d: %d faults\n" : "ok\n", rank, faults);
    fflush(stdout);
    if (size > 1) MPI_Abort(MPI_COMM_WORLD, faults); /* an operation that has lost a rank never ends */
    MPI_Finalize();
    return faults;
}
