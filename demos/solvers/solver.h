/* solver.h: what the solver programs share: a clock, finite differences to compare with, and the lines they print. */
#ifndef DEMOS_SOLVERS_SOLVER_H
#define DEMOS_SOLVERS_SOLVER_H

#include <time.h>

#include "demos/demo.h"
#include "ops/functional.h"

#define DIFFERENCE 6e-6 /* the step of a difference beside 1: the cube root of the precision */

static inline double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The objective and its gradient [n], unless it is NULL, by central differences: 2 n + 1 values of f. */
static inline double central_differences(int64_t n, const double *x, double *grad, ad_objective *f) {
    double *at = malloc((size_t)n * sizeof *at);
    if (at == NULL) return NAN;
    memcpy(at, x, (size_t)n * sizeof *at);
    for (int64_t k = 0; k < n && grad != NULL; k++) {
        double h = DIFFERENCE * fmax(1, fabs(x[k]));
        at[k] = x[k] + h;
        double above = ad_value_and_gradient(at, NULL, f);
        at[k] = x[k] - h;
        grad[k] = (above - ad_value_and_gradient(at, NULL, f)) / (2 * h);
        at[k] = x[k];
    }
    free(at);
    return ad_value_and_gradient(x, NULL, f);
}

/* The same for the residuals [m] and their Jacobian [m, n]. */
static inline void central_jacobian(const double *x, double *values, double *jacobian, ad_residuals *f) {
    int64_t n = ad_residuals_size(f), m = ad_residuals_count(f);
    double *at = malloc((size_t)(n + 2 * m) * sizeof *at);
    if (at == NULL) return;
    double *above = at + n, *below = above + m;
    memcpy(at, x, (size_t)n * sizeof *at);
    for (int64_t k = 0; k < n && jacobian != NULL; k++) {
        double h = DIFFERENCE * fmax(1, fabs(x[k]));
        at[k] = x[k] + h;
        ad_values_and_jacobian(at, above, NULL, f);
        at[k] = x[k] - h;
        ad_values_and_jacobian(at, below, NULL, f);
        for (int64_t i = 0; i < m; i++) jacobian[i * n + k] = (above[i] - below[i]) / (2 * h);
        at[k] = x[k];
    }
    free(at);
    ad_values_and_jacobian(x, values, NULL, f);
}

/* What a solver did with one kind of derivatives. */
typedef struct {
    const char *derivatives;
    int64_t iterations;
    double error; /* the distance to what is known of the solution */
    double seconds;
} solver_run;

/* Prints a line for each run. Returns the exit status: 1 if the first, the one with exact derivatives, is farther from
   the solution than tolerance. */
static inline int report_runs(int n, const solver_run *runs, double tolerance) {
    printf("%-20s  iterations     error  milliseconds\n", "derivatives");
    for (int i = 0; i < n; i++)
        printf("%-20s  %10lld  %8.1e  %12.3g\n", runs[i].derivatives, (long long)runs[i].iterations, runs[i].error,
               1e3 * runs[i].seconds);
    bool solved = runs[0].error <= tolerance;
    if (!solved) printf("not solved: the error is above %.1e\n", tolerance);
    return solved ? 0 : 1;
}

#endif
