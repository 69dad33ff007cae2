/* multinomial.c: class numbers drawn by their probabilities. */
#include <float.h>
#include <math.h>

#include "ops/base/attrs.h"
#include "ops/base/samples.h"
#include "ops/kernels/sort/order.h"
#include "ops/ops.h"
#include "ops/random/sampler.h"

typedef struct {
    int64_t n;
    bool replacement;
} multinomial_attrs;
static const ad_attr multinomial_list[] = { { "n", AD_ATTR_INT64, offsetof(multinomial_attrs, n) },
                                            { "replacement", AD_ATTR_BOOL, offsetof(multinomial_attrs, replacement) },
                                            { 0 } };

static int64_t last_size(ad_shape s) { return s.dim[s.ndim - 1]; }

/* The scratch of a row of k: keys or sums, an order, and the memory for sorting. */
static int multinomial_shape(ad_call *c) {
    const multinomial_attrs *a = c->attrs;
    if (c->shape.ndim == 0) return ad_call_fail(c, AD_ESHAPE, "takes probabilities [..,classes], not a scalar");
    int64_t k = last_size(c->shape);
    if (k < 1 || k > (int64_t)1 << 24)
        return ad_call_fail(c, AD_ESHAPE, "%lld classes; there must be 1 to 2^24", (long long)k);
    if (a->n < 1 || (!a->replacement && a->n > k))
        return ad_call_fail(c, AD_EVALUE, "%lld numbers asked for; n must be 1 or more%s", (long long)a->n,
                            a->replacement ? "" : ", and at most the number of classes without replacement");
    c->shape.dim[c->shape.ndim - 1] = a->n;
    c->scratch = 2 * (size_t)k * sizeof(double) + ad__order_bytes_f64(k);
    return AD_OK;
}

/* Sets sums to the running sums of a row of k. Returns the number of classes that are possible, or an error. */
static int64_t add_up(const ad_op *op, int64_t row, int64_t k, double *sums) {
    double sum = 0;
    int64_t possible = 0;
    for (int64_t i = 0; i < k; i++) {
        double p = ad__get(op->in[0], row * k + i);
        if (!(p >= 0 && p < (double)INFINITY))
            return ad_op_fail(op, AD_EVALUE, "element %lld is %g, not a finite weight of 0 or more",
                              (long long)(row * k + i), p);
        possible += p > 0;
        sums[i] = sum += p;
    }
    if (possible > 0 && sum < (double)INFINITY) return possible;
    return ad_op_fail(op, AD_EVALUE, "the weights of row %lld add up to %g; they need a finite sum above 0",
                      (long long)row, sum);
}

/* The first class whose running sum is above u times the last one. A class of weight 0 is never it. */
static int64_t class_at(double u, int64_t k, const double *sums) {
    double at = u * sums[k - 1];
    int64_t lo = 0, hi = k - 1;
    while (lo < hi) {
        int64_t middle = (lo + hi) / 2;
        if (sums[middle] > at) hi = middle;
        else lo = middle + 1;
    }
    while (lo > 0 && sums[lo] == sums[lo - 1]) lo--; /* at was rounded up to the last sum */
    return lo;
}

/* The order in which exponential clocks of these rates ring is that of draws without replacement. */
static void draw_apart(const ad_op *op, int64_t row, int64_t k, ad__stream *s, double *keys) {
    const multinomial_attrs *a = ad__attrs_of(op);
    double *order = keys + k;
    for (int64_t i = 0; i < k; i++) {
        double p = ad__get(op->in[0], row * k + i), clock = ad__stream_exponential(s);
        keys[i] = p > 0 ? fmin(clock / p, DBL_MAX) : (double)INFINITY; /* the impossible come last */
    }
    ad__row_order_f64(k, 1, false, keys, order + k, order);
    for (int64_t i = 0; i < a->n; i++) ad__put(ad__out(op), row * a->n + i, order[i]);
}

static int multinomial_evaluate(const ad_op *op) {
    const multinomial_attrs *a = ad__attrs_of(op);
    ad_graph *g = ad__owner(ad__out(op));
    int64_t k = last_size(op->in[0]->layout->shape), rows = op->in[0]->layout->numel / k;
    double *work = ad_scratch(op);
    for (int64_t row = 0; row < rows; row++) {
        ad__stream s = { .at = g->random };
        int64_t possible = add_up(op, row, k, work);
        if (possible < 0) return (int)possible;
        if (!a->replacement && possible < a->n)
            return ad_op_fail(op, AD_EVALUE,
                              "row %lld has %lld weights above 0; %lld numbers without replacement need "
                              "as many",
                              (long long)row, (long long)possible, (long long)a->n);
        g->random.counter++;
        if (!a->replacement) draw_apart(op, row, k, &s, work);
        for (int64_t i = 0; a->replacement && i < a->n; i++)
            ad__put(ad__out(op), row * a->n + i, (double)class_at(ad__stream_uniform(&s), k, work));
    }
    return AD_OK;
}

static void multinomial_samples(ad_sampler *s) {
    const double lo = 0, hi = 1;
    for (int i = 0; i < 2; i++) {
        multinomial_attrs a = { 2, i };
        ad__sample_text(s, &a, 1, "3", &lo, &hi);
        ad__sample_text(s, &a, 1, "2,3,4", &lo, &hi);
        ad__sample_text(s, &a, 1, "0,4", &lo, &hi);
    }
}

AD_OPTYPE(multinomial,
          .doc = "n class numbers [..,n] for each row of weights [..,classes], which need not add up to 1; drawn anew "
                 "by ad_eval. Without replacement the numbers of a row differ",
          .formula = "y[..,i] = c with probability p[..,c] / sum of p", .arity = 1,
          .flags = AD_OP_CONSTANT | AD_OP_RANDOM, .no_grad = AD_NO_GRAD(0), .attr_size = sizeof(multinomial_attrs),
          .attrs = multinomial_list, .shape = multinomial_shape,
          .evaluate = { multinomial_evaluate, multinomial_evaluate });
ad_var *ad_multinomial(ad_var *p, int64_t n, bool replacement) {
    return ad__apply1(&ad_op_multinomial, p, &(multinomial_attrs){ n, replacement });
}

/* Of Gumbel noise and logits the largest is class c with probability softmax(logits)[c]. */
static ad_var *with_gumbel_noise(ad_var *logits) { return ad_sub(logits, ad_log(ad_exponential_like(logits))); }

ad_var *ad_categorical(ad_var *logits) { return ad_argmax_axis(with_gumbel_noise(ad_detach(logits)), -1, false); }

/* Jang, Gu and Poole 2017. With hard, a constant is added to the soft sample that makes its value one-hot. */
ad_var *ad_gumbel_softmax(ad_var *logits, double tau, bool hard) {
    if (ad__absent(logits)) return ad__nil_result(logits, "gumbel_softmax");
    ad_call c = AD__CALL_AS("gumbel_softmax", logits);
    if (!(tau > 0 && tau < (double)INFINITY)) {
        ad_call_fail(&c, AD_EVALUE, "tau is %g; it must be above 0 and finite", tau);
        return ad_nil(c.graph);
    }
    ad_var *soft = ad_softmax(ad_muls(with_gumbel_noise(logits), 1 / tau), -1);
    if (!hard || ad__absent(soft)) return soft;
    ad_var *largest = ad_one_hot(ad_argmax_axis(soft, -1, false), last_size(soft->layout->shape));
    return ad_add(ad_sub(largest, ad_detach(soft)), soft);
}
