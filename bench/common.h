/* common.h: runs benchmark cases: the library beside a floor, or with one thread beside several. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include "autodiff/autodiff.h"
#include "nn/nn.h"
#include "ops/ops.h"

/* One case. The floor is hand-written C that does the same work, or a part of it that any program must do. state is the
   result of setup. ours and floor do the work once. */
typedef struct {
    const char *name;
    const char *unit; /* of printed times: "ns", "us" or "ms" */
    double items;     /* nodes or training steps in one call; times are printed per item */
    double samples;   /* training samples per item, printed as samples/s; 0: not printed */
    void *(*setup)(void);
    void (*ours)(void *state);
    void (*floor)(void *state);
    void (*teardown)(void *state);
    void (*result)(void *state, double to[2]); /* from a fresh state: two numbers that all libraries must agree on;
                                                  NULL: the case has no peers */
} bench_case;

/* Runs all cases, or the one with the name in argv, and prints for each
       bench NAME ours X UNIT floor Y ratio R
   where R is our time divided by the time of the floor.

   --threads N [NAME] measures ours with one thread and with N threads, alone and beside N busy processes, and prints
       threads NAME one X UNIT N Y speedup S busy S
   Graphs of such cases come from bench_graph.

   --serve answers the requests of bench/peers/compare.py (see bench/peers/serve.h) for the cases with a result.

   An error of a graph ends the program. */
int bench_main(int argc, char **argv, int n, const bench_case *cases);

ad_graph *bench_graph(void); /* for setup: a graph with the number of threads to measure */

double bench_now(void);               /* nanoseconds */
void bench_check(const ad_graph *g);  /* ends the program if the graph has an error */
void *bench_array(size_t bytes);      /* zeroed; ends the program if it is out of memory */
float *bench_floats(int64_t n);       /* the same for n floats */
void bench_fill(float *x, size_t n, uint32_t seed); /* uniform in -1 .. 1 */
float *bench_random(int64_t n, uint32_t seed);      /* n new floats with these values */

int bench_serve(int n, const bench_case *cases); /* --serve */

#endif
