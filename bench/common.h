/* common.h: measuring a piece of work beside its floor, in turns, by medians. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include "autodiff/autodiff.h"
#include "nn/nn.h"
#include "ops/ops.h"

/* One line of the results. state is what setup returned; ours and floor do the same work once. */
typedef struct {
    const char *name;
    const char *unit;  /* of the printed times: "ns", "us" or "ms" */
    double items;      /* times are divided by this: nodes, steps in a call */
    double samples;    /* not 0: training samples an item, printed as samples/s besides */
    void *(*setup)(void);
    void (*ours)(void *state);
    void (*floor)(void *state);
    void (*teardown)(void *state);
} bench_case;

/* Runs the cases, or the one named by the first argument, and prints
       bench NAME ours X UNIT floor Y ratio R
   where R is our time over the floor's. Fails on a graph error. */
int bench_main(int argc, char **argv, int n, const bench_case *cases);

/* For setup: a graph with the threads that are being measured. bench_main with --threads N before the name measures
   ours with one thread beside N, first alone on the machine and then with N other processes that compute, and prints
       threads NAME one X UNIT N Y speedup S busy S
   The cases must make their graphs so. */
ad_graph *bench_graph(void);

/* What tells that a peer does the same work as the case of this name: two numbers, from a fresh state. */
typedef struct {
    const char *name;
    void (*result)(void *state, double to[2]);
} bench_result;

/* bench_main; or with --serve as the first argument, answers bench/peers/compare.py about the cases that have a
   result (see bench/peers/serve.h). */
int bench_main_peers(int argc, char **argv, int n, const bench_case *cases, int m, const bench_result *results);

double bench_now(void); /* nanoseconds */
/* Ends the program with the graph's error, if there is one: a measurement of a failure is none. */
void bench_check(const ad_graph *g);
void *bench_array(size_t bytes); /* zeroed; ends the program where memory is short */
void bench_fill(float *x, size_t n, uint32_t seed); /* evenly in +-1 */

#endif
