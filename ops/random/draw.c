/* draw.c: numbers from the exponential, Bernoulli, Poisson, normal and uniform distributions. */
#include <math.h>

#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/elementwise/gamma.h"
#include "ops/ops.h"
#include "ops/random/sampler.h"

static void samples_between(ad_sampler *s, double lo, double hi) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "() 0 5 2,3 67");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample(s, NULL, 1, &shapes[i], &lo, &hi);
}

#define SAMPLER .arity = 1, .flags = AD_OP_CONSTANT | AD_OP_RANDOM, .no_grad = AD_NO_GRAD(0), .shape = ad__same_shape

/* ---- exponential ------------------------------------------------------------------------------------------------- */

static double draw_exponential(ad__stream *s, double parameter) { return (void)parameter, ad__stream_exponential(s); }
static int exponential_like_evaluate(const ad_op *op) { return ad__draw_each(op, draw_exponential); }
static void exponential_like_samples(ad_sampler *s) { samples_between(s, -2, 2); }

AD_OPTYPE(exponential_like,
          .doc = "random numbers, exponential with mean 1 and above 0, in an array of the shape of x; drawn anew by "
                 "ad_eval",
          .formula = "y = -log(u), u uniform in (0, 1)",
          .evaluate = { exponential_like_evaluate, exponential_like_evaluate }, SAMPLER);
ad_var *ad_exponential_like(ad_var *x) { return ad__apply1(&ad_op_exponential_like, x, NULL); }

ad_var *ad_exponential(ad_var *rate) {
    if (!ad__is_above(rate, 0, true, "exponential", "rate")) return ad_nil(rate ? ad__owner(rate) : NULL);
    return ad_div(ad_exponential_like(rate), rate);
}

/* ---- Bernoulli --------------------------------------------------------------------------------------------------- */

static double draw_bernoulli(ad__stream *s, double p) { return ad__stream_uniform(s) < p; }
static int bernoulli_evaluate(const ad_op *op) {
    int rc = ad__check_elements(op, 0, 1, "a probability in 0..1");
    return rc == AD_OK ? ad__draw_each(op, draw_bernoulli) : rc;
}
static void bernoulli_samples(ad_sampler *s) { samples_between(s, 0, 1); }

AD_OPTYPE(bernoulli, .doc = "random numbers, 1 with probability p and 0 otherwise; drawn anew by ad_eval",
          .formula = "y = u < p ? 1 : 0, u uniform in (0, 1)", .evaluate = { bernoulli_evaluate, bernoulli_evaluate },
          SAMPLER);
ad_var *ad_bernoulli(ad_var *p) { return ad__apply1(&ad_op_bernoulli, p, NULL); }

/* ---- Poisson ----------------------------------------------------------------------------------------------------- */

/* The number of uniform numbers whose product stays above exp(-rate): Knuth. */
static double draw_small_poisson(ad__stream *s, double rate) {
    double least = exp(-rate), product = ad__stream_uniform(s), k = 0;
    for (; product > least; product *= ad__stream_uniform(s)) k++;
    return k;
}

/* Transformed rejection with squeeze: Hoermann 1993, algorithm PTRS. */
static double draw_poisson(ad__stream *s, double rate) {
    if (rate < 10) return draw_small_poisson(s, rate);
    double b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b, log_rate = log(rate);
    double inverse = 1.1239 + 1.1328 / (b - 3.4), squeeze = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = ad__stream_uniform(s) - 0.5, v = ad__stream_uniform(s), room = 0.5 - fabs(u);
        double k = floor((2 * a / room + b) * u + rate + 0.43);
        if (room >= 0.07 && v <= squeeze) return k;
        if (k < 0 || (room < 0.013 && v > room)) continue;
        double bound = k * log_rate - rate - ad__number_lgamma(k + 1);
        if (log(v * inverse / (a / (room * room) + b)) <= bound) return k;
    }
}

/* Above that rate the logarithms of factorials have no digits left. */
static int poisson_evaluate(const ad_op *op) {
    int rc = ad__check_elements(op, 0, 0x1p40, "a rate in 0..2^40");
    return rc == AD_OK ? ad__draw_each(op, draw_poisson) : rc;
}
static void poisson_samples(ad_sampler *s) { samples_between(s, 0, 40); }

AD_OPTYPE(poisson, .doc = "random counts with the given rate, 0 to 2^40; drawn anew by ad_eval",
          .formula = "y ~ Poisson(rate)", .evaluate = { poisson_evaluate, poisson_evaluate }, SAMPLER);
ad_var *ad_poisson(ad_var *rate) { return ad__apply1(&ad_op_poisson, rate, NULL); }

/* ---- normal and uniform: the noise has the shape that both parameters broadcast to ------------------------------- */

ad_var *ad_normal(ad_var *mean, ad_var *std) {
    ad_var *nil = ad__absent_result("normal", 2, (ad_var *[]){ mean, std });
    if (nil != NULL) return nil;
    if (!ad__is_above(std, 0, false, "normal", "std")) return ad_nil(ad__owner(std));
    return ad_add(mean, ad_mul(std, ad_randn_like(ad__broadcast_pair(mean, std))));
}

ad_var *ad_uniform(ad_var *lo, ad_var *hi) {
    return ad_add(lo, ad_mul(ad_sub(hi, lo), ad_rand_like(ad__broadcast_pair(lo, hi))));
}
