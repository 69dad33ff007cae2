/* common.c: measuring a piece of work beside its floor, in turns, by medians. */
#include "bench/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 11 };
static const double sample_ns = 3e7; /* each measurement repeats its work for this long at least */

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
    fprintf(stderr, "bench: no memory for %zu bytes\n", bytes);
    exit(1);
}

void bench_fill(float *x, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static double timed(void (*work)(void *), void *state, int repeats) {
    double start = bench_now();
    for (int i = 0; i < repeats; i++) work(state);
    return (bench_now() - start) / repeats;
}

/* How often work must be repeated to fill a measurement; also warms caches and memory up. */
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

/* The ratio is the median over rounds of ours over the floor beside it: what slows the machine for a
   while slows both. */
static void run(const bench_case *c) {
    void *state = c->setup();
    int n_ours = repeats_for(c->ours, state), n_floor = repeats_for(c->floor, state);
    double ours[ROUNDS], floor[ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        ours[r] = timed(c->ours, state, n_ours);
        floor[r] = timed(c->floor, state, n_floor);
        ratio[r] = ours[r] / floor[r];
    }
    double scale = c->items * unit_ns(c->unit), mine = median(ours), theirs = median(floor);
    printf("bench %s ours %.4g %s floor %.4g ratio %.2f", c->name, mine / scale, c->unit, theirs / scale, median(ratio));
    if (c->samples > 0)
        printf(" (samples/s %.0f of %.0f)", c->samples * c->items * 1e9 / mine, c->samples * c->items * 1e9 / theirs);
    printf("\n");
    fflush(stdout);
    c->teardown(state);
}

int bench_main(int argc, char **argv, int n, const bench_case *cases) {
    for (int i = 0; i < n; i++)
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) run(&cases[i]);
    return 0;
}
