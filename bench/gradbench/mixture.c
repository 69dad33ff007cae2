/* mixture.c: modules gmm and kmeans of GradBench: points [n,d] and k means [k,d]. */
#include "bench/gradbench/common.h"

#include <math.h>

/* ---- gmm: the log posterior of a mixture of Gaussians with a Wishart prior ------------------------------------- */

/* The place of each element of Q [d,d], row by row, among diagonal, lower triangle by columns, and a zero. */
static ad_var *places(ad_graph *g, int64_t d) {
    ad_var *index = ad_full(g, AD_F64, (double)(d * (d + 1) / 2), AD_SHAPE(d * d));
    double *to = ad_data_mut(index), next = (double)d;
    for (int64_t i = 0; i < d && to != NULL; i++) {
        to[i * d + i] = (double)i;
        for (int64_t j = i + 1; j < d; j++) to[j * d + i] = next++;
    }
    return index;
}

/* sum_i log sum_c exp(alpha_c + sum q_c - |Q_c (x_i - mu_c)|^2 / 2) - n log sum exp(alpha) */
static ad_var *likelihood(ad_var *x, ad_var *alpha, ad_var *mu, ad_var *diagonal, ad_var *l, ad_var *sums) {
    ad_graph *g = ad_graph_of(x);
    int64_t n = ad_shape_of(x).dim[0], d = ad_shape_of(x).dim[1], k = ad_numel(alpha);
    ad_var *parts[] = { diagonal, l, ad_zeros(g, AD_F64, AD_SHAPE(k, 1)) };
    ad_var *q = ad_reshape(ad_index_select(ad_concat(3, parts, 1), 1, places(g, d)), AD_SHAPE(k, d, d));
    ad_var *centres = ad_reshape(ad_matmul(q, ad_reshape(mu, AD_SHAPE(k, d, 1))), AD_SHAPE(k * d));
    ad_var *qx = ad_reshape(ad_affine(x, ad_reshape(q, AD_SHAPE(k * d, d)), ad_neg(centres)), AD_SHAPE(n, k, d));
    ad_var *beta = ad_sub(ad_add(alpha, sums), ad_muls(ad_sum_axis(ad_square(qx), 2, false), 0.5)); /* [n,k] */
    return ad_sub(ad_sum(ad_logsumexp_axis(beta, 1, false)), ad_muls(ad_logsumexp_axis(alpha, 0, false), (double)n));
}

/* The log of the multivariate gamma function of a. */
static double log_gamma(double a, int64_t d) {
    double sum = 0.25 * (double)(d * (d - 1)) * log(acos(-1));
    for (int64_t j = 0; j < d; j++) sum += lgamma(a - 0.5 * (double)j);
    return sum;
}

static double constant(int64_t n, int64_t d, int64_t k, double gamma, double m) {
    double degrees = (double)d + m + 1;
    double prior = degrees * (double)d * log(gamma / sqrt(2)) - log_gamma(degrees / 2, d);
    return (double)k * prior - (double)(n * d) / 2 * log(2 * acos(-1));
}

static void *gmm(const gb_input *in) {
    ad_var *x = gb_constant(in, "x", 2), *alpha = gb_leaf(in, "alpha", 1), *mu = gb_leaf(in, "mu", 2);
    ad_var *q = gb_leaf(in, "q", 2), *l = gb_leaf(in, "l", 2);
    double gamma = gb_number(in, "gamma"), m = gb_number(in, "m");
    if (!ad_ok(in->g)) return NULL;
    ad_var *diagonal = ad_exp(q), *sums = ad_sum_axis(q, 1, false);
    ad_var *frobenius = ad_add(ad_sum(ad_square(diagonal)), ad_sum(ad_square(l)));
    ad_var *prior = ad_sub(ad_muls(ad_sum(sums), m), ad_muls(frobenius, gamma * gamma / 2));
    ad_var *y = ad_add(likelihood(x, alpha, mu, diagonal, l, sums), prior);
    y = ad_adds(y, constant(ad_shape_of(x).dim[0], ad_shape_of(x).dim[1], ad_numel(alpha), gamma, m));
    gb_expression *e = gb_expression_new(in->g, 4, (ad_var *[]){ alpha, mu, q, l }, y, y);
    const char *const names[] = { "alpha", "mu", "q", "l" };
    for (int i = 0; i < 4 && e != NULL; i++) e->names[i] = names[i];
    return e;
}

const gb_module gb_gmm = { "gmm", gmm, GB_EXPRESSION("objective", "jacobian") };

/* ---- kmeans: sum_i min_c |p_i - m_c|^2, and its Newton step ---------------------------------------------------- */

typedef struct {
    ad_var *cost, *step;
} clusters;

/* The Hessian by the means is diagonal, so its product with ones is its diagonal. The squares of the points, which are
   the same for all means, do not change which is the closest. */
static void *kmeans(const gb_input *in) {
    ad_var *p = gb_constant(in, "points", 2), *m = gb_leaf(in, "centroids", 2), *d, *h;
    if (!ad_ok(in->g)) return NULL;
    ad_var *distances = ad_affine(p, ad_muls(m, -2), ad_sum_axis(ad_square(m), 1, false)); /* [n,k] */
    ad_var *own = ad_index_select(m, 0, ad_argmin_axis(distances, 1, false)), *ones = ad_ones_like(m);
    clusters *c = ad_scope_alloc(in->g, sizeof *c);
    if (c == NULL) return NULL;
    c->cost = ad_sum(ad_square(ad_sub(p, own)));
    if (ad_gradient(c->cost, 1, &m, &d) || ad_vjp(d, ones, 1, &m, &h)) return NULL;
    c->step = ad_div(d, h);
    return c;
}

static void run_cost(void *problem) { ad_eval(((clusters *)problem)->cost); }
static void run_step(void *problem) { ad_eval(((clusters *)problem)->step); }
static void print_cost(const void *problem, FILE *to) { gb_print_var(to, ((const clusters *)problem)->cost); }
static void print_step(const void *problem, FILE *to) { gb_print_var(to, ((const clusters *)problem)->step); }

const gb_module gb_kmeans = { "kmeans", kmeans, { { "cost", run_cost, print_cost }, { "dir", run_step, print_step } } };
