/* common_gmm.c: the Gaussian mixture problem: reads its files and has its objective in plain C. */
#include "bench/adbench/common_gmm.h"

#include <complex.h>
#include <stdlib.h>
#include <tgmath.h>

#include "bench/adbench/gmm.inc"
#define PLAIN_COMPLEX
#include "bench/adbench/gmm.inc"

int64_t gmm_n_values(const void *problem) { return (void)problem, 1; }

int64_t gmm_n_gradient(const void *problem) {
    const gmm *p = problem;
    return p->k * (1 + p->d + p->d * (p->d + 1) / 2);
}

static int64_t work_size(const gmm *p) { return p->k * p->d + 2 * p->k + 2 * p->d; }

/* The log of the multivariate gamma function. */
static double log_gamma_of(double a, int d) {
    double sum = 0.25 * d * (d - 1) * log(ADBENCH_PI);
    for (int j = 1; j <= d; j++) sum += lgamma(a + 0.5 * (1 - j));
    return sum;
}

static gmm *gmm_new(int d, int k, int n) {
    gmm *p = (gmm *)(void *)adbench_array((sizeof *p + 7) / 8);
    *p = (gmm){ .d = d, .k = k, .n = n, .g = ad_graph_new() };
    p->parameters = adbench_array(gmm_n_gradient(p));
    p->x = adbench_array((int64_t)n * d);
    return p;
}

static gmm *with_prior(gmm *p, double gamma, int m) {
    int degrees = p->d + m + 1;
    double c = degrees * p->d * (log(gamma) - 0.5 * log(2.0)) - log_gamma_of(0.5 * degrees, p->d);
    p->gamma = gamma;
    p->m = m;
    p->constant = -p->n * p->d * 0.5 * log(2 * ADBENCH_PI) - p->k * c;
    return p;
}

void *gmm_read(FILE *from) {
    int d = (int)adbench_number(from), k = (int)adbench_number(from), n = (int)adbench_number(from);
    gmm *p = gmm_new(d, k, n);
    adbench_numbers(from, gmm_n_gradient(p), p->parameters);
    adbench_numbers(from, (int64_t)n * d, p->x);
    double gamma = adbench_number(from);
    return with_prior(p, gamma, (int)adbench_number(from));
}

void *gmm_small(int number) {
    static const int sizes[][3] = { { 2, 3, 5 }, { 1, 1, 4 }, { 4, 2, 1 }, { 3, 5, 40 } };
    if (number == (int)(sizeof sizes / sizeof *sizes)) return NULL;
    uint64_t state = (uint64_t)number;
    gmm *p = gmm_new(sizes[number][0], sizes[number][1], sizes[number][2]);
    for (int64_t i = 0; i < gmm_n_gradient(p); i++) p->parameters[i] = adbench_random(&state);
    for (int i = 0; i < p->n * p->d; i++) p->x[i] = 2 * adbench_random(&state);
    return with_prior(p, 1 + 0.5 * number, number);
}

void gmm_objective(const void *problem, double *value) {
    const gmm *p = problem;
    double *work = adbench_array(work_size(p)), *means = p->parameters + p->k;
    *value = gmm_plain(p, p->parameters, means, means + p->k * p->d, work);
    free(work);
}

void gmm_expected(const void *problem, double *gradient) {
    const gmm *p = problem;
    int64_t n = gmm_n_gradient(p);
    double complex *x = (double complex *)(void *)adbench_array(2 * (n + work_size(p)));
    for (int64_t i = 0; i < n; i++) x[i] = p->parameters[i];
    for (int64_t i = 0; i < n; i++) {
        x[i] += 1e-100 * I;
        gradient[i] = cimag(gmm_complex(p, x, x + p->k, x + p->k + p->k * p->d, x + n)) / 1e-100;
        x[i] = p->parameters[i];
    }
    free(x);
}

void gmm_release(void *problem) {
    gmm *p = problem;
    ad_graph_free(p->g);
    free(p->parameters);
    free(p->x);
    free(p);
}
