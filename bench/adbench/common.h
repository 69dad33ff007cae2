/* common.h: what the programs of the AD benchmark share: files, timing, checks against a complex step. The problems
   are those of Srajer, Kukelova and Fitzgibbon, "A benchmark of selected algorithmic differentiation tools on some
   problems in computer vision and machine learning", 2018; the text files are the benchmark's own. */
#ifndef BENCH_ADBENCH_COMMON_H
#define BENCH_ADBENCH_COMMON_H

#include "autodiff/autodiff.h"
#include "ops/ops.h"

#include <stdio.h>

#define ADBENCH_PI 3.14159265359 /* the digits that the benchmark's own tools have */

/* A problem is the program's own struct; values and gradient are rows of numbers in the benchmark's order. */
typedef struct {
    const char *name;
    void *(*read)(FILE *from);  /* numbers by adbench_number */
    void *(*small)(int number); /* problem 0, 1, .. of the program's own, for --check; NULL after the last */
    int64_t (*n_values)(const void *problem), (*n_gradient)(const void *problem);
    void (*objective)(const void *problem, double *values); /* F: plain C */
    void (*gradient)(void *problem, double *values, double *gradient);
    void (*expected)(const void *problem, double *gradient); /* by a complex step through the plain C */
    void (*release)(void *problem);
} adbench_program;

/* program FILE: prints values and gradient, one number a line, and to stderr the times of F and of value and
   gradient, recording included: the least of as many runs as fit in half a second, as the benchmark does.
   --no-time leaves out the times, --no-output the numbers; --check compares small problems with a complex step. */
int adbench_main(int argc, char **argv, const adbench_program *p);

double adbench_number(FILE *from); /* the next one; ends the program where there is none */
void adbench_numbers(FILE *from, int64_t n, double *to);
double *adbench_array(int64_t n); /* ends the program where memory is short */
double adbench_random(uint64_t *state); /* evenly in -1 .. 1 */
void adbench_ok(const ad_graph *g); /* ends the program with the graph's error, if there is one */

#endif
