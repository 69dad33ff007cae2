/* common_gmm.h: the Gaussian mixture problem: its parameters, its data and its objective in plain C. */
#ifndef BENCH_ADBENCH_COMMON_GMM_H
#define BENCH_ADBENCH_COMMON_GMM_H

#include "bench/adbench/common.h"
#include "ops/compile.h"

typedef struct {
    int d, k, n, m;         /* dimensions, Gaussians, points; m and gamma: parameters of the Wishart prior */
    double gamma, constant; /* constant: the terms that do not depend on the parameters */
    double *parameters;     /* alphas [k], means [k,d], icf [k,d(d+1)/2]: log of the diagonal, then the strict lower
                               triangle by columns */
    double *x;              /* [n,d] */
    ad_graph *g;
    ad_program *program; /* NULL before the first call of `compiled` */
} gmm;

void *gmm_read(FILE *from);
void *gmm_small(int number);
int64_t gmm_n_values(const void *problem);
int64_t gmm_n_gradient(const void *problem);
void gmm_objective(const void *problem, double *value);
void gmm_expected(const void *problem, double *gradient);
void gmm_release(void *problem);

#define GMM_PROGRAM(name_, gradient_, compiled_)                                                                       \
    { name_, gmm_read, gmm_small, gmm_n_values, gmm_n_gradient, gmm_objective, gradient_, gmm_expected, gmm_release,   \
      compiled_ }

#endif
