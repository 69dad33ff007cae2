/* common.h: shared by the programs of the AD benchmark: files, timing, checks against a complex step. The problems and
   the format of the text files are those of Srajer, Kukelova and Fitzgibbon, "A benchmark of selected algorithmic
   differentiation tools on some problems in computer vision and machine learning", 2018. */
#ifndef BENCH_ADBENCH_COMMON_H
#define BENCH_ADBENCH_COMMON_H

#include "autodiff/autodiff.h"
#include "ops/ops.h"

#include <stdio.h>

#define ADBENCH_PI 3.14159265359 /* the digits that the tools of the benchmark use */

/* A problem is a struct of the program. Values and gradient are rows of numbers in the order of the benchmark. */
typedef struct {
    const char *name;
    void *(*read)(FILE *from);  /* reads a problem with adbench_number */
    void *(*small)(int number); /* generates problem 0, 1, .. for --check; NULL after the last */
    int64_t (*n_values)(const void *problem), (*n_gradient)(const void *problem);
    void (*objective)(const void *problem, double *values); /* F in plain C */
    void (*gradient)(void *problem, double *values, double *gradient);
    void (*expected)(const void *problem, double *gradient); /* by a complex step through the plain C */
    void (*release)(void *problem);
    void (*compiled)(void *problem, double *values, double *gradient); /* by a program, which the first call makes */
} adbench_program;

/* PROGRAM FILE prints values and gradient, one number per line. To stderr it prints the times of F, and of value and
   gradient including the recording. A time is the minimum of the runs in half a second, as in the benchmark. --no-time
   omits the times, --no-output the numbers. With --compiled before them, the gradient is by a compiled program, and the
   seconds of the first call, in which it is compiled, are printed too. PROGRAM --check compares small problems with a
   complex step. */
int adbench_main(int argc, char **argv, const adbench_program *p);

double adbench_number(FILE *from); /* the next number; ends the program if there is none */
void adbench_numbers(FILE *from, int64_t n, double *to);
double *adbench_array(int64_t n); /* zeroed; ends the program if it is out of memory */
double adbench_random(uint64_t *state); /* uniform in -1 .. 1 */
void adbench_ok(const ad_graph *g); /* prints the error of the graph, if it has one, and ends the program */

#endif
