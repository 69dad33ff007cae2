/* gmm_scalar.c: the Gaussian mixture problem of the AD benchmark with scalar nodes, a direct translation of plain C. */
#include "bench/adbench/common_gmm.h"

#include <stdlib.h>

/* log sum exp. The largest element is factored out as a constant, as in the tools of the benchmark. */
static ad_var *logsumexp(int n, ad_var *const *x) {
    double m = ad_item(x[0]);
    for (int i = 1; i < n; i++)
        if (ad_item(x[i]) > m) m = ad_item(x[i]);
    ad_var *sum = ad_exp(ad_adds(x[0], -m));
    for (int i = 1; i < n; i++) sum = ad_add(sum, ad_exp(ad_adds(x[i], -m)));
    return ad_adds(ad_log(sum), m);
}

static ad_var *plus(ad_var *sum, ad_var *x) { return sum ? ad_add(sum, x) : x; }

/* |Q (x - mean)|^2; away and qx [d] are scratch. */
static ad_var *squared_norm(int d, ad_var *const *diagonal, ad_var *const *lower, ad_var *const *mean, const double *x,
                            ad_var **away, ad_var **qx) {
    ad_var *sum = NULL;
    for (int i = 0; i < d; i++) {
        away[i] = ad_adds(ad_neg(mean[i]), x[i]);
        qx[i] = ad_mul(diagonal[i], away[i]);
    }
    for (int i = 0; i < d; i++)
        for (int j = i + 1; j < d; j++) qx[j] = ad_add(qx[j], ad_mul(*lower++, away[i]));
    for (int i = 0; i < d; i++) sum = plus(sum, ad_square(qx[i]));
    return sum;
}

/* The terms that do not depend on the points: the diagonals, the sums of their logarithms, and the prior. */
static ad_var *prior_of(const gmm *p, ad_var *const *icf, ad_var **diagonal, ad_var **sums) {
    int d = p->d, s = d * (d + 1) / 2;
    ad_var *squares = NULL, *all = NULL;
    for (int c = 0; c < p->k; c++) {
        sums[c] = NULL;
        for (int i = 0; i < d; i++) {
            sums[c] = plus(sums[c], icf[c * s + i]);
            diagonal[c * d + i] = ad_exp(icf[c * s + i]);
            squares = plus(squares, ad_square(diagonal[c * d + i]));
        }
        for (int i = d; i < s; i++) squares = plus(squares, ad_square(icf[c * s + i]));
        all = plus(all, sums[c]);
    }
    return ad_sub(ad_muls(squares, 0.5 * p->gamma * p->gamma), ad_muls(all, p->m));
}

/* work [k d + 2 k + 2 d] is scratch. */
static ad_var *objective(const gmm *p, ad_var *const *alphas, ad_var **work) {
    int d = p->d, k = p->k, s = d * (d + 1) / 2;
    ad_var *const *means = alphas + k, *const *icf = means + k * d, *likelihood = NULL;
    ad_var **diagonal = work, **sums = diagonal + k * d, **terms = sums + k, **away = terms + k, **qx = away + d;
    ad_var *prior = prior_of(p, icf, diagonal, sums);
    for (int c = 0; c < k; c++) sums[c] = ad_add(alphas[c], sums[c]);
    for (int i = 0; i < p->n; i++) {
        for (int c = 0; c < k; c++) {
            ad_var *square = squared_norm(d, diagonal + c * d, icf + c * s + d, means + c * d, p->x + i * d, away, qx);
            terms[c] = ad_add(sums[c], ad_muls(square, -0.5));
        }
        likelihood = plus(likelihood, logsumexp(k, terms));
    }
    ad_var *weights = ad_muls(logsumexp(k, alphas), p->n);
    return ad_adds(ad_add(ad_sub(likelihood, weights), prior), p->constant);
}

static void gradient(void *problem, double *value, double *to) {
    const gmm *p = problem;
    int64_t n = gmm_n_gradient(p);
    ad_var **x = calloc((size_t)(n + p->k * p->d + 2 * p->k + 2 * p->d), sizeof(ad_var *));
    if (x == NULL) exit(1);
    ad_mark m = ad_begin(p->g);
    for (int64_t i = 0; i < n; i++) x[i] = ad_param(p->g, AD_F64, &p->parameters[i], AD_SCALAR);
    ad_var *y = objective(p, x, x + n);
    ad_backward(y);
    adbench_ok(p->g);
    *value = ad_item(y);
    for (int64_t i = 0; i < n; i++) to[i] = ad_grad_item(x[i]);
    ad_end(p->g, m);
    free(x);
}

static void compiled(void *problem, double *value, double *to) {
    gmm *p = problem;
    int64_t n = gmm_n_gradient(p);
    if (p->program == NULL) {
        ad_var **x = calloc((size_t)(n + p->k * p->d + 2 * p->k + 2 * p->d), sizeof(ad_var *));
        if (x == NULL) exit(1);
        for (int64_t i = 0; i < n; i++) x[i] = ad_param(p->g, AD_F64, &p->parameters[i], AD_SCALAR);
        p->program = ad_compile_gradient(objective(p, x, x + n), (int)n, x, (ad_compile_opts){ .no_cache = true });
        adbench_ok(p->g);
        free(x);
    }
    *value = ad_run_flat(p->parameters, to, p->program);
}

int main(int argc, char **argv) {
    static const adbench_program program = GMM_PROGRAM("gmm-scalar", gradient, compiled);
    return adbench_main(argc, argv, &program);
}
