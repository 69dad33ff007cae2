/* model.c: the time of a training's step on many ranks: a formula, and a simulation that sends every message, to test
   it. Under mpirun -n 2 it first fits latency and time per byte to sums that it measures; with arguments NAME=VALUE it
   takes them as given: latency, byte (us), gradients (bytes), forward, backward, update (us, of one rank's rows),
   jitter (the standard deviation of a rank's compute time, as a fraction), strong=1 (the ranks share the rows). */
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double latency, byte_time, strong;
static double gradients = 7.4e6, forward = 4000, backward = 8000, update = 1500, jitter = 0.03;

static void parse(int argc, char **argv) {
    struct {
        const char *name;
        double *to;
    } all[] = { { "latency=", &latency }, { "byte=", &byte_time },    { "gradients=", &gradients },
                { "forward=", &forward }, { "backward=", &backward }, { "update=", &update },
                { "jitter=", &jitter },   { "strong=", &strong } };
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (strncmp(argv[i], all[k].name, strlen(all[k].name)) == 0)
                *all[k].to = strtod(argv[i] + strlen(all[k].name), NULL);
}

/* ---- the fit: the sum of m bytes over two ranks takes 2 latency + m byte ----------------------------------------- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of a sum, in us. */
static double sum_time(int n, float *x) {
    enum { TIMES = 201 };
    double t[TIMES];
    for (int i = 0; i < TIMES; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double start = MPI_Wtime();
        MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        t[i] = 1e6 * (MPI_Wtime() - start);
    }
    qsort(t, TIMES, sizeof *t, by_size);
    return t[TIMES / 2];
}

/* Least squares of the relative errors. */
static void fit(int rank) {
    enum { MOST = 1 << 21 };
    double s1 = 0, sm = 0, smm = 0, st = 0, stm = 0;
    float *x = calloc(MOST, sizeof *x);
    for (int n = 2; n <= MOST; n *= 8) {
        double t = sum_time(n, x), m = 4.0 * n, w = 1 / (t * t);
        if (rank == 0) printf("sum of %.0f bytes: %.1f us\n", m, t);
        s1 += w, sm += w * m, smm += w * m * m, st += w * t, stm += w * t * m;
    }
    byte_time = (s1 * stm - sm * st) / (s1 * smm - sm * sm);
    latency = (st - byte_time * sm) / s1 / 2;
    free(x);
}

/* ---- the formula ------------------------------------------------------------------------------------------------- */

typedef enum { RING, TREE } way;

static double levels(int n) { return ceil(log2(n)); }

static double sum_over(way w, int n, double bytes) {
    if (w == RING) return 2 * (n - 1) * latency + 2 * (n - 1.0) / n * bytes * byte_time;
    return levels(n) * (latency + bytes * byte_time);
}

static double share(int n) { return strong != 0 ? 1.0 / n : 1; }

/* The slowest of n ranks: the expected maximum of n normal numbers, about sqrt(2 ln n). */
static double slowest(int n) { return n > 1 ? 1 + jitter * sqrt(2 * log(n)) * 0.85 : 1; }

/* Buckets are complete at equal distances of backward, and are added up one after the other: either backward or the
   network is the bottleneck. At the end comes a small message, which is a tree. */
static double model(way w, int n, int buckets) {
    double b = backward * share(n) * slowest(n), f = forward * share(n) * slowest(n);
    double each = n > 1 ? sum_over(w, n, gradients / buckets) : 0;
    double end = fmax(b + each, b / buckets + buckets * each);
    return f + end + update + (n > 1 ? levels(n) * latency : 0);
}

/* ---- the simulation ---------------------------------------------------------------------------------------------- */

static uint64_t state = 1;
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(state >> 11) + 0.5) * 0x1p-53;
}
static double normal(void) { return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()); }

/* Each rank's time becomes that after its sum: it goes on when it and its neighbour have sent what came before. */
static void send_ring(int n, double bytes, double *t, double *next) {
    for (int s = 0; s < 2 * (n - 1); s++) {
        for (int r = 0; r < n; r++) next[r] = fmax(t[r], t[(r + n - 1) % n]) + latency + bytes / n * byte_time;
        memcpy(t, next, (size_t)n * sizeof *t);
    }
}
static void send_tree(int n, double bytes, double *t, double *next) {
    for (int far = 1; far < n; far *= 2) {
        for (int r = 0; r < n; r++) next[r] = fmax(t[r], (r ^ far) < n ? t[r ^ far] : 0) + latency + bytes * byte_time;
        memcpy(t, next, (size_t)n * sizeof *t);
    }
}

/* The mean over some steps, in which ranks begin where the last step has left them. */
static double simulate(way w, int n, int buckets) {
    enum { STEPS = 20 };
    size_t all = (size_t)n;
    double *t = calloc(all, sizeof *t), *sent = calloc(all, sizeof *t), *next = calloc(all, sizeof *t);
    double *speed = calloc(all, sizeof *t), total = 0;
    for (int i = 0; i < STEPS; i++) {
        for (int r = 0; r < n; r++) {
            speed[r] = fmax(0.1, 1 + jitter * normal());
            t[r] += forward * share(n) * speed[r];
            sent[r] = 0;
        }
        for (int k = 0; k < buckets; k++) {
            for (int r = 0; r < n; r++) {
                t[r] += backward * share(n) * speed[r] / buckets;
                sent[r] = fmax(sent[r], t[r]);
            }
            if (n > 1 && w == RING) send_ring(n, gradients / buckets, sent, next);
            else if (n > 1) send_tree(n, gradients / buckets, sent, next);
        }
        for (int r = 0; r < n; r++) t[r] = sent[r] = fmax(sent[r], t[r]);
        if (n > 1) send_tree(n, 0, t, next);
        for (int r = 0; r < n; r++) t[r] += update;
    }
    for (int r = 0; r < n; r++) total = fmax(total, t[r]);
    free(t), free(sent), free(next), free(speed);
    return total / STEPS;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* The number of buckets with the shortest step by the formula. */
static int best_buckets(way w, int n) {
    int best = 1;
    for (int k = 1; k <= 256; k *= 2)
        if (model(w, n, k) < model(w, n, best)) best = k;
    return best;
}

static void print_table(void) {
    double alone = model(RING, 1, 1), worst = 0;
    printf("latency %.2f us, %.3g us a byte (%.2f GB/s), gradients %.3g bytes, forward %.0f, backward %.0f, "
           "update %.0f us, jitter %g, %s scaling\n",
           latency, byte_time, 1e-3 / byte_time, gradients, forward, backward, update, jitter,
           strong != 0 ? "strong" : "weak");
    printf("| ranks | sum | buckets | formula, us | simulation, us | difference | rows a second, of the ideal |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int n = 2; n <= 1024; n *= 2)
        for (way w = RING; w <= TREE; w++) {
            int k = best_buckets(w, n);
            double m = model(w, n, k), s = simulate(w, n, k), rows = strong != 0 ? alone / s / n : alone / s;
            worst = fmax(worst, fabs(m / s - 1));
            printf("| %d | %s | %d | %.0f | %.0f | %+.1f %% | %.0f %% |\n", n, w == RING ? "ring" : "tree", k, m, s,
                   100 * (m / s - 1), 100 * rows);
        }
    printf("greatest difference %.1f %%\n", 100 * worst);
}

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    parse(argc, argv);
    if (latency == 0 && size == 2) fit(rank);
    if (rank == 0 && latency > 0) print_table();
    MPI_Finalize();
    return 0;
}
