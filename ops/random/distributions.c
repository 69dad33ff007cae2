/* distributions.c: logarithms of densities and probabilities, entropies and Kullback-Leibler divergences, as in
   torch.distributions. */
#include <float.h>
#include <math.h>

#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

static const double log_root_2_pi = 0.91893853320467274;

static ad_var *constant_like(ad_var *x, double value) { return ad__absent(x) ? x : ad__constant(x, value); }

/* log_p where condition is not 0, and elsewhere the logarithm of 0. */
static ad_var *supported(ad_var *condition, ad_var *log_p) {
    return ad_where(condition, log_p, constant_like(log_p, -(double)INFINITY));
}

/* ---- normal ------------------------------------------------------------------------------------------------------ */

ad_var *ad_normal_log_prob(ad_var *x, ad_var *mean, ad_var *std) {
    ad_var *z = ad_div(ad_sub(x, mean), std);
    return ad_adds(ad_sub(ad_muls(ad_square(z), -0.5), ad_log(std)), -log_root_2_pi);
}

ad_var *ad_normal_entropy(ad_var *std) { return ad_adds(ad_log(std), 0.5 + log_root_2_pi); }

ad_var *ad_normal_kl(ad_var *mean_p, ad_var *std_p, ad_var *mean_q, ad_var *std_q) {
    ad_var *ratio = ad_square(ad_div(std_p, std_q)), *shift = ad_square(ad_div(ad_sub(mean_p, mean_q), std_q));
    return ad_muls(ad_sub(ad_add(ratio, ad_adds(shift, -1)), ad_log(ratio)), 0.5);
}

/* ---- uniform and exponential ------------------------------------------------------------------------------------- */

ad_var *ad_uniform_log_prob(ad_var *x, ad_var *lo, ad_var *hi) {
    ad_var *log_p = ad_neg(ad_log(ad_sub(hi, lo)));
    return supported(ad_logical_and(ad_ge(x, lo), ad_lt(x, hi)), log_p);
}

ad_var *ad_uniform_entropy(ad_var *lo, ad_var *hi) { return ad_log(ad_sub(hi, lo)); }

ad_var *ad_exponential_log_prob(ad_var *x, ad_var *rate) {
    return supported(ad_ge(x, constant_like(x, 0)), ad_sub(ad_log(rate), ad_mul(rate, x)));
}

ad_var *ad_exponential_entropy(ad_var *rate) { return ad_adds(ad_neg(ad_log(rate)), 1); }

ad_var *ad_exponential_kl(ad_var *rate_p, ad_var *rate_q) {
    ad_var *ratio = ad_div(rate_q, rate_p);
    return ad_sub(ad_adds(ratio, -1), ad_log(ratio));
}

/* Infinite unless the first interval lies in the second. */
ad_var *ad_uniform_kl(ad_var *lo_p, ad_var *hi_p, ad_var *lo_q, ad_var *hi_q) {
    ad_var *inside = ad_logical_and(ad_ge(lo_p, lo_q), ad_le(hi_p, hi_q));
    ad_var *ratio = ad_div(ad_sub(hi_q, lo_q), ad_sub(hi_p, lo_p));
    return ad_where(inside, ad_log(ratio), constant_like(ratio, INFINITY));
}

/* ---- Bernoulli, Poisson, categorical ----------------------------------------------------------------------------- */

ad_var *ad_bernoulli_log_prob(ad_var *x, ad_var *logits) {
    return ad_add(ad_mul(x, ad_logsigmoid(logits)), ad_mul(ad_adds(ad_neg(x), 1), ad_logsigmoid(ad_neg(logits))));
}

ad_var *ad_bernoulli_entropy(ad_var *logits) { return ad_neg(ad_bernoulli_log_prob(ad_sigmoid(logits), logits)); }

ad_var *ad_bernoulli_kl(ad_var *logits_p, ad_var *logits_q) {
    ad_var *yes = ad_sub(ad_logsigmoid(logits_p), ad_logsigmoid(logits_q)), *minus_p = ad_neg(logits_p);
    ad_var *no = ad_sub(ad_logsigmoid(minus_p), ad_logsigmoid(ad_neg(logits_q)));
    return ad_add(ad_mul(ad_sigmoid(logits_p), yes), ad_mul(ad_sigmoid(minus_p), no));
}

ad_var *ad_poisson_log_prob(ad_var *x, ad_var *rate) {
    return ad_sub(ad_sub(ad_xlogy(x, rate), rate), ad_lgamma(ad_adds(x, 1)));
}

ad_var *ad_poisson_kl(ad_var *rate_p, ad_var *rate_q) {
    return ad_sub(ad_mul(rate_p, ad_sub(ad_log(rate_p), ad_log(rate_q))), ad_sub(rate_p, rate_q));
}

ad_var *ad_categorical_log_prob(ad_var *classes, ad_var *logits) {
    ad_var *nil = ad__absent_result("categorical_log_prob", 2, (ad_var *[]){ classes, logits });
    if (nil != NULL) return nil;
    ad_var *log_p = ad_log_softmax(logits, -1);
    if (ad__absent(log_p)) return log_p;
    if (log_p->layout->shape.ndim == 1) return ad_take(log_p, classes);
    return ad_squeeze_axis(ad_gather(log_p, -1, ad_unsqueeze(classes, -1)), -1);
}

/* Logarithms of 0 are the lowest number, so that a product with the probability 0 is 0. */
static ad_var *finite_log_softmax(ad_var *logits) {
    ad_var *log_p = ad_log_softmax(logits, -1);
    bool f32 = !ad__absent(log_p) && log_p->layout->dtype == AD_F32;
    return ad_clamp(log_p, f32 ? -(double)FLT_MAX : -DBL_MAX, INFINITY);
}

ad_var *ad_categorical_entropy(ad_var *logits) {
    return ad_neg(ad_sum_axis(ad_mul(ad_softmax(logits, -1), finite_log_softmax(logits)), -1, false));
}

/* Infinite if a class that is possible under p is impossible under q. */
ad_var *ad_categorical_kl(ad_var *logits_p, ad_var *logits_q) {
    ad_var *p = ad_softmax(logits_p, -1), *log_q = ad_log_softmax(logits_q, -1);
    ad_var *possible = ad_gt(p, constant_like(p, 0));
    ad_var *less = ad_where(possible, log_q, constant_like(log_q, 0));
    return ad_sum_axis(ad_mul(p, ad_sub(finite_log_softmax(logits_p), less)), -1, false);
}

/* ---- gamma, beta, Dirichlet -------------------------------------------------------------------------------------- */

ad_var *ad_gamma_log_prob(ad_var *x, ad_var *concentration, ad_var *rate) {
    ad_var *powers = ad_add(ad_xlogy(concentration, rate), ad_xlogy(ad_adds(concentration, -1), x));
    return ad_sub(ad_sub(powers, ad_mul(rate, x)), ad_lgamma(concentration));
}

ad_var *ad_gamma_entropy(ad_var *concentration, ad_var *rate) {
    ad_var *rest = ad_mul(ad_adds(ad_neg(concentration), 1), ad_digamma(concentration));
    return ad_add(ad_add(ad_sub(concentration, ad_log(rate)), ad_lgamma(concentration)), rest);
}

ad_var *ad_gamma_kl(ad_var *concentration_p, ad_var *rate_p, ad_var *concentration_q, ad_var *rate_q) {
    ad_var *a = concentration_p, *b = concentration_q, *ratio = ad_div(rate_p, rate_q);
    ad_var *rates = ad_add(ad_mul(b, ad_log(ratio)), ad_mul(ad_sub(rate_q, rate_p), ad_div(a, rate_p)));
    return ad_add(ad_add(rates, ad_sub(ad_lgamma(b), ad_lgamma(a))), ad_mul(ad_sub(a, b), ad_digamma(a)));
}

/* log B(a, b) */
static ad_var *log_beta(ad_var *a, ad_var *b) {
    return ad_sub(ad_add(ad_lgamma(a), ad_lgamma(b)), ad_lgamma(ad_add(a, b)));
}

ad_var *ad_beta_log_prob(ad_var *x, ad_var *a, ad_var *b) {
    ad_var *rest = ad_adds(ad_neg(x), 1);
    return ad_sub(ad_add(ad_xlogy(ad_adds(a, -1), x), ad_xlogy(ad_adds(b, -1), rest)), log_beta(a, b));
}

/* (1 - a) (psi(a) - psi(a + b)) */
static ad_var *beta_part(ad_var *a, ad_var *sum) {
    return ad_mul(ad_adds(ad_neg(a), 1), ad_sub(ad_digamma(a), ad_digamma(sum)));
}

ad_var *ad_beta_entropy(ad_var *a, ad_var *b) {
    ad_var *sum = ad_add(a, b);
    return ad_add(log_beta(a, b), ad_add(beta_part(a, sum), beta_part(b, sum)));
}

ad_var *ad_beta_kl(ad_var *a_p, ad_var *b_p, ad_var *a_q, ad_var *b_q) {
    ad_var *sum = ad_digamma(ad_add(a_p, b_p)), *constant = ad_sub(log_beta(a_q, b_q), log_beta(a_p, b_p));
    ad_var *by_a = ad_mul(ad_sub(a_p, a_q), ad_sub(ad_digamma(a_p), sum));
    return ad_add(constant, ad_add(by_a, ad_mul(ad_sub(b_p, b_q), ad_sub(ad_digamma(b_p), sum))));
}

static ad_var *row_sum(ad_var *x) { return ad_sum_axis(x, -1, false); }

/* log of the product of Gamma(a) over Gamma of their sum, for each row */
static ad_var *log_dirichlet(ad_var *a) { return ad_sub(row_sum(ad_lgamma(a)), ad_lgamma(row_sum(a))); }

ad_var *ad_dirichlet_log_prob(ad_var *x, ad_var *concentration) {
    return ad_sub(row_sum(ad_xlogy(ad_adds(concentration, -1), x)), log_dirichlet(concentration));
}

/* psi(a) - psi(sum of a) */
static ad_var *mean_log(ad_var *a) { return ad_sub(ad_digamma(a), ad_digamma(ad_sum_axis(a, -1, true))); }

ad_var *ad_dirichlet_entropy(ad_var *concentration) {
    return ad_sub(log_dirichlet(concentration), row_sum(ad_mul(ad_adds(concentration, -1), mean_log(concentration))));
}

ad_var *ad_dirichlet_kl(ad_var *concentration_p, ad_var *concentration_q) {
    ad_var *by_a = row_sum(ad_mul(ad_sub(concentration_p, concentration_q), mean_log(concentration_p)));
    return ad_add(ad_sub(log_dirichlet(concentration_q), log_dirichlet(concentration_p)), by_a);
}
