/* gmm.c: the Gaussian mixture problem of the AD benchmark, with array ops. */
#include "bench/adbench/common_gmm.h"

#include <string.h>

/* The index of each element of Q [d,d], row by row, in an array of diagonal, lower triangle by columns, and a zero. */
static ad_var *places(ad_graph *g, int d) {
    int s = d * (d + 1) / 2;
    ad_var *index = ad_full(g, AD_F64, s, AD_SHAPE(d * d));
    double *to = ad_data_mut(index);
    for (int i = 0, next = d; i < d && to != NULL; i++) {
        to[i * d + i] = i;
        for (int j = i + 1; j < d; j++) to[j * d + i] = next++;
    }
    return index;
}

/* log sum_c exp(alpha_c + sum log diag Q_c - |Q_c (x - mean_c)|^2 / 2), summed over the points x. */
static ad_var *likelihood(const gmm *p, ad_var *alphas, ad_var *means, ad_var *diagonal, ad_var *lower, ad_var *sums) {
    int d = p->d, k = p->k;
    ad_var *x = ad_input(p->g, AD_F64, p->x, AD_SHAPE(p->n, d)), *zero = ad_zeros(p->g, AD_F64, AD_SHAPE(k, 1));
    ad_var *rows = ad_index_select(ad_concat(3, (ad_var *[]){ diagonal, lower, zero }, 1), 1, places(p->g, d));
    ad_var *centres = ad_matmul(ad_reshape(rows, AD_SHAPE(k, d, d)), ad_reshape(means, AD_SHAPE(k, d, 1)));
    ad_var *qx = ad_affine(x, ad_reshape(rows, AD_SHAPE(k * d, d)), ad_neg(ad_reshape(centres, AD_SHAPE(k * d))));
    ad_var *squares = ad_sum_axis(ad_square(ad_reshape(qx, AD_SHAPE(p->n, k, d))), 2, false); /* [n,k] */
    ad_var *terms = ad_add(ad_muls(squares, -0.5), ad_add(alphas, sums));
    return ad_sub(ad_sum(ad_logsumexp_axis(terms, 1, false)), ad_muls(ad_logsumexp_axis(alphas, 0, false), p->n));
}

static ad_var *objective(const gmm *p, ad_var *alphas, ad_var *means, ad_var *icf) {
    int d = p->d, s = d * (d + 1) / 2;
    ad_var *logs = ad_slice(icf, 1, 0, d, 1), *lower = ad_slice(icf, 1, d, s, 1); /* [k,d], [k,s-d] */
    ad_var *diagonal = ad_exp(logs), *sums = ad_sum_axis(logs, 1, false);
    ad_var *frobenius = ad_add(ad_sum(ad_square(diagonal)), ad_sum(ad_square(lower)));
    ad_var *prior = ad_sub(ad_muls(frobenius, 0.5 * p->gamma * p->gamma), ad_muls(ad_sum(sums), p->m));
    return ad_adds(ad_add(likelihood(p, alphas, means, diagonal, lower, sums), prior), p->constant);
}

static double *copy_gradient(const ad_var *x, double *to) {
    memcpy(to, ad_grad(x), (size_t)ad_numel(x) * sizeof *to);
    return to + ad_numel(x);
}

static void gradient(void *problem, double *value, double *to) {
    const gmm *p = problem;
    int k = p->k, d = p->d;
    double *at = p->parameters;
    ad_keep_grads(p->g, false);
    ad_mark m = ad_begin(p->g);
    ad_var *alphas = ad_param(p->g, AD_F64, at, AD_SHAPE(k)), *means = ad_param(p->g, AD_F64, at + k, AD_SHAPE(k, d));
    ad_var *icf = ad_param(p->g, AD_F64, at + k + k * d, AD_SHAPE(k, d * (d + 1) / 2));
    ad_var *y = objective(p, alphas, means, icf);
    ad_backward(y);
    adbench_ok(p->g);
    *value = ad_item(y);
    copy_gradient(icf, copy_gradient(means, copy_gradient(alphas, to)));
    ad_end(p->g, m);
}

static void compiled(void *problem, double *value, double *to) {
    gmm *p = problem;
    int k = p->k, d = p->d;
    double *at = p->parameters;
    if (p->program == NULL) {
        ad_var *xs[] = { ad_param(p->g, AD_F64, at, AD_SHAPE(k)), ad_param(p->g, AD_F64, at + k, AD_SHAPE(k, d)),
                         ad_param(p->g, AD_F64, at + k + k * d, AD_SHAPE(k, d * (d + 1) / 2)) };
        ad_var *y = objective(p, xs[0], xs[1], xs[2]);
        p->program = ad_compile_gradient(y, 3, xs, (ad_compile_opts){ .no_cache = true });
        adbench_ok(p->g);
    }
    *value = ad_run_flat(at, to, p->program);
}

int main(int argc, char **argv) {
    static const adbench_program program = GMM_PROGRAM("gmm", gradient, compiled);
    return adbench_main(argc, argv, &program);
}
