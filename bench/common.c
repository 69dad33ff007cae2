/* common.c: measures alternating runs of two pieces of work and prints medians. */
#include "bench/common.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 11 };
static const double sample_ns = 3e7; /* the least duration of a measurement, which repeats the work */

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

void bench_check(const ad_graph *g) {
    if (ad_ok(g)) return;
    fprintf(stderr, "bench: %s\n", ad_error(g));
    exit(1);
}

void *bench_array(size_t bytes) {
    void *p = calloc(1, bytes);
    if (p != NULL) return p;
    fprintf(stderr, "bench: out of memory: %zu bytes\n", bytes);
    exit(1);
}

float *bench_floats(int64_t n) { return bench_array((size_t)n * sizeof(float)); }

float *bench_random(int64_t n, uint32_t seed) {
    float *x = bench_floats(n);
    bench_fill(x, (size_t)n, seed);
    return x;
}

static double timed(void (*work)(void *), void *state, int repeats) {
    double start = bench_now();
    for (int i = 0; i < repeats; i++) work(state);
    return (bench_now() - start) / repeats;
}

/* The number of repetitions in a measurement. Finding it also warms up caches and memory. */
static int repeats_for(void (*work)(void *), void *state) {
    timed(work, state, 2);
    double once = timed(work, state, 3);
    return once > sample_ns ? 1 : (int)(sample_ns / (once + 1)) + 1;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x) {
    qsort(x, ROUNDS, sizeof *x, by_size);
    return x[ROUNDS / 2];
}

static double unit_ns(const char *unit) { return strcmp(unit, "ns") == 0 ? 1 : strcmp(unit, "us") == 0 ? 1e3 : 1e6; }

/* Ours and the floor alternate, and the ratio is the median of the ratios of the rounds: other load on the machine
   slows both times of a round. */
static void run(const bench_case *c) {
    void *state = c->setup();
    int n_ours = repeats_for(c->ours, state), n_floor = repeats_for(c->floor, state);
    double ours[ROUNDS], floor[ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = timed(c->ours, state, n_ours);
        floor[r] = timed(c->floor, state, n_floor);
        ratio[r] = ours[r] / floor[r];
    }
    double scale = c->items * unit_ns(c->unit), ours_ns = median(ours), floor_ns = median(floor);
    printf("bench %s ours %.4g %s floor %.4g ratio %.2f", c->name, ours_ns / scale, c->unit, floor_ns / scale,
           median(ratio));
    if (c->samples > 0)
        printf(" (samples/s %.0f of %.0f)", c->samples * c->items * 1e9 / ours_ns,
               c->samples * c->items * 1e9 / floor_ns);
    printf("\n");
    fflush(stdout);
    c->teardown(state);
}

/* ---- one thread and several ----------------------------------------------------------------------------------- */

static int threads = 1; /* the number of threads of a graph from bench_graph */

ad_graph *bench_graph(void) {
    ad_graph *g = ad_graph_new();
    if (g != NULL) ad_set_threads(g, threads);
    bench_check(g);
    return g;
}

static void *setup_with(const bench_case *c, int n) {
    threads = n;
    return c->setup();
}

/* The median speedup of state[1] over state[0], in alternating runs. times: the median time of each. */
static double speedup(const bench_case *c, void *const state[2], int repeats, double times[2]) {
    double took[2][ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < 2; i++) took[i][r] = timed(c->ours, state[i], repeats);
        ratio[r] = took[0][r] / took[1][r];
    }
    for (int i = 0; i < 2; i++) times[i] = median(took[i]);
    return median(ratio);
}

/* Starts a process that computes until this one ends. */
static pid_t start_busy(void) {
    pid_t parent = getpid(), child = fork();
    if (child != 0) return child;
    for (volatile unsigned i = 0;; i++)
        if (i % 1000000 == 0 && getppid() != parent) _exit(0);
}

static double speedup_when_busy(const bench_case *c, void *const state[2], int repeats, int n) {
    enum { MAX_BUSY = 64 };
    pid_t busy[MAX_BUSY];
    double times[2];
    n = n < MAX_BUSY ? n : MAX_BUSY;
    for (int i = 0; i < n; i++) busy[i] = start_busy();
    double s = speedup(c, state, repeats, times);
    for (int i = 0; i < n; i++)
        if (busy[i] > 0) {
            kill(busy[i], SIGKILL);
            waitpid(busy[i], NULL, 0);
        }
    return s;
}

static void run_threads(const bench_case *c, int n) {
    void *const state[2] = { setup_with(c, 1), setup_with(c, n) };
    int repeats = repeats_for(c->ours, state[0]);
    double times[2], scale = c->items * unit_ns(c->unit);
    repeats_for(c->ours, state[1]);
    double alone = speedup(c, state, repeats, times), busy = speedup_when_busy(c, state, repeats, n);
    printf("threads %s one %.4g %s %d %.4g speedup %.2f busy %.2f\n", c->name, times[0] / scale, c->unit, n,
           times[1] / scale, alone, busy);
    fflush(stdout);
    for (int i = 0; i < 2; i++) c->teardown(state[i]);
}

int bench_main(int argc, char **argv, int n, const bench_case *cases) {
    if (argc > 1 && strcmp(argv[1], "--serve") == 0) return bench_serve(n, cases);
    int n_threads = argc > 2 && strcmp(argv[1], "--threads") == 0 ? atoi(argv[2]) : 0;
    const char *name = n_threads ? argv[3] : argc > 1 ? argv[1] : NULL;
    for (int i = 0; i < n; i++)
        if (name != NULL && strcmp(name, cases[i].name) != 0) continue;
        else if (n_threads > 0) run_threads(&cases[i], n_threads);
        else run(&cases[i]);
    return 0;
}
