/* ctc.c: connectionist temporal classification (Graves et al., 2006): minus the log of the probability of a sequence of
   labels, whose places in time are unknown. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/loss/reduction.h"

#include <math.h>

/* A path has a state for each time. State 2 i + 1 of a sequence is its label i, state 2 i is the blank before it. */

typedef struct {
    int64_t blank;
    bool zero_infinity;
    int reduction;
} ctc_attrs;
static const ad_attr ctc_list[] = { { "blank", AD_ATTR_INT64, offsetof(ctc_attrs, blank) },
                                    { "zero_infinity", AD_ATTR_BOOL, offsetof(ctc_attrs, zero_infinity) },
                                    { "reduction", AD_ATTR_INT, offsetof(ctc_attrs, reduction) },
                                    { 0 } };

enum { LOG_PROBS, LABELS, TIMES, LENGTHS }; /* operands: [times,n,classes], [n,labels], [n], [n] */

static const ctc_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

/* The sizes of an Op. saved holds n losses, then the logs of the probabilities of all states, [n,times,states]. */
typedef struct {
    int64_t times, n, classes, labels, states;
} sizes;

static sizes sizes_of(ad_var *const in[]) {
    ad_shape x = in[LOG_PROBS]->layout->shape;
    int64_t labels = in[LABELS]->layout->shape.dim[1];
    return (sizes){ x.dim[0], x.dim[1], x.dim[2], labels, 2 * labels + 1 };
}

static int ctc_shape(ad_call *c) {
    const ctc_attrs *a = c->attrs;
    ad_shape x = c->shape, labels = c->in[LABELS]->layout->shape;
    int rc = ad__check_reduction(c, a->reduction, AD_NONE);
    if (rc != AD_OK) return rc;
    ad_shape each = AD_SHAPE(x.dim[1]);
    if (x.ndim != 3 || labels.ndim != 2 || labels.dim[0] != x.dim[1] ||
        !ad_shape_equal(c->in[TIMES]->layout->shape, each) || !ad_shape_equal(c->in[LENGTHS]->layout->shape, each))
        return ad_call_fail(c, AD_ESHAPE,
                            "takes log probabilities [times,n,classes], labels [n,most labels], and [n] "
                            "numbers of times and of labels");
    if (a->blank < 0 || a->blank >= x.dim[2])
        return ad_call_fail(c, AD_EVALUE, "blank is %lld, not one of 0..%lld", (long long)a->blank,
                            (long long)x.dim[2] - 1);
    sizes s = sizes_of(c->in);
    c->saved = ((size_t)(s.n * s.times) * (size_t)s.states + (size_t)s.n) * sizeof(double) + 1;
    c->scratch = 2 * (size_t)s.states * sizeof(double);
    c->shape = a->reduction == AD_NONE ? each : AD_SCALAR;
    return AD_OK;
}

/* ---- the labels of sequence i --------------------------------------------------------------------------------- */

typedef struct {
    const ad_op *op;
    sizes s;
    int64_t i, times, states;
} sequence;

static sequence sequence_of(const ad_op *op, int64_t i) {
    return (sequence){ op, sizes_of(op->in), i, (int64_t)ad__get(op->in[TIMES], i),
                       2 * (int64_t)ad__get(op->in[LENGTHS], i) + 1 };
}

static int64_t class_of(const sequence *q, int64_t state) {
    if (state % 2 == 0) return attrs_of(q->op)->blank;
    return (int64_t)ad__get(q->op->in[LABELS], q->i * q->s.labels + state / 2);
}

/* The number of states before a state that lead to it: itself, the one before, and over a blank between two labels. */
static int sources(const sequence *q, int64_t state) {
    if (state < 2) return 1 + (int)state;
    return state % 2 == 0 || class_of(q, state) == class_of(q, state - 2) ? 2 : 3;
}

static int64_t place_of(const sequence *q, int64_t t, int64_t state) {
    return (t * q->s.n + q->i) * q->s.classes + class_of(q, state);
}
static double *alpha_of(const sequence *q, int64_t t) {
    return (double *)ad_saved(q->op) + q->s.n + (q->i * q->s.times + t) * q->s.states;
}

/* ---- value ---------------------------------------------------------------------------------------------------- */

static double log_of_sum(double a, double b) {
    if (a != a || b != b) return NAN;
    double high = fmax(a, b), low = fmin(a, b);
    return low == -INFINITY || high == INFINITY ? high : high + log1p(exp(low - high));
}

/* The log of the probability of all ways to a state at time t > 0, before its own class counts. */
static double arriving(const sequence *q, int64_t t, int64_t state) {
    const double *before = alpha_of(q, t - 1);
    double sum = before[state];
    for (int k = 1; k < sources(q, state); k++) sum = log_of_sum(sum, before[state - k]);
    return sum;
}

static double total_of(const sequence *q) {
    if (q->times == 0) return q->states == 1 ? 0 : -INFINITY;
    const double *last = alpha_of(q, q->times - 1) + q->states - 1;
    return q->states == 1 ? last[0] : log_of_sum(last[0], last[-1]);
}

static double sequence_loss(const sequence *q) {
    for (int64_t t = 0; t < q->times; t++)
        for (int64_t state = 0; state < q->states; state++) {
            double own = ad__get(q->op->in[LOG_PROBS], place_of(q, t, state));
            alpha_of(q, t)[state] = own + (t > 0 ? arriving(q, t, state) : state < 2 ? 0 : -INFINITY);
        }
    return -total_of(q);
}

static int check_numbers(const ad_op *op, int operand, int64_t most, const char *what) {
    const ad_var *x = op->in[operand];
    for (int64_t k = 0; k < x->layout->numel; k++) {
        double v = ad__get(x, k);
        if (v >= 0 && v <= (double)most && v == (double)(int64_t)v) continue;
        return ad_op_fail(op, AD_EVALUE, "the number of %s of sequence %lld is %g, not one of 0..%lld", what,
                          (long long)k, v, (long long)most);
    }
    return AD_OK;
}

static int check_labels(const sequence *q) {
    for (int64_t k = 0; k < q->states / 2; k++) {
        double v = ad__get(q->op->in[LABELS], q->i * q->s.labels + k);
        if (v >= 0 && v < ad__exact_below(q->op->in[LABELS], q->s.classes) && v == (double)(int64_t)v) continue;
        return ad_op_fail(q->op, AD_EVALUE, "label %lld of sequence %lld is %g, not one of 0..%lld", (long long)k,
                          (long long)q->i, v, (long long)q->s.classes - 1);
    }
    return AD_OK;
}

/* What the loss of sequence i is divided by. The mean is over sequences, each divided by its number of labels. */
static double divisor_of(const ad_op *op, int64_t i) {
    double labels = ad__get(op->in[LENGTHS], i), n = (double)op->in[TIMES]->layout->numel;
    return attrs_of(op)->reduction == AD_MEAN ? n * (labels > 1 ? labels : 1) : 1;
}

static int ctc_evaluate(const ad_op *op) {
    sizes s = sizes_of(op->in);
    double *losses = ad_saved(op), sum = s.n == 0 && attrs_of(op)->reduction == AD_MEAN ? NAN : 0;
    int rc = check_numbers(op, TIMES, s.times, "times");
    if (rc == AD_OK) rc = check_numbers(op, LENGTHS, s.labels, "labels");
    for (int64_t i = 0; i < s.n && rc == AD_OK; i++) {
        sequence q = sequence_of(op, i);
        rc = check_labels(&q);
        if (rc != AD_OK) break;
        losses[i] = sequence_loss(&q);
        double loss = losses[i] == INFINITY && attrs_of(op)->zero_infinity ? 0 : losses[i];
        if (attrs_of(op)->reduction == AD_NONE) ad__put(ad__out(op), i, loss);
        sum += loss / divisor_of(op, i);
    }
    if (rc == AD_OK && attrs_of(op)->reduction != AD_NONE) ad__put(ad__out(op), 0, sum);
    return rc;
}

/* ---- backward: the recurrence of the value, from the end ------------------------------------------------------ */

static double part_of(double p, double q) { return p == -INFINITY ? 0 : exp(p - q); }

/* Adds the slopes of the states at time t to log_probs, and spreads them over the states at time t - 1. */
static void step_back(const sequence *q, int64_t t, const double *slopes, double *earlier, void *gx) {
    ad_dtype type = q->op->in[LOG_PROBS]->layout->dtype;
    for (int64_t state = 0; state < q->states; state++) earlier[state] = 0;
    for (int64_t state = 0; state < q->states; state++) {
        int64_t place = place_of(q, t, state);
        ad_write_element(type, gx, place, ad_read_element(type, gx, place) + slopes[state]);
        if (t == 0) continue;
        const double *before = alpha_of(q, t - 1);
        double sum = arriving(q, t, state);
        for (int k = 0; k < sources(q, state); k++)
            earlier[state - k] += slopes[state] * part_of(before[state - k], sum);
    }
}

static void sequence_back(const sequence *q, double g, void *gx) {
    double *slopes = ad_scratch(q->op), *earlier = slopes + q->s.states;
    const double *last = alpha_of(q, q->times - 1), total = total_of(q);
    for (int64_t state = 0; state < q->states; state++)
        slopes[state] = state < q->states - 2 ? 0 : -g * part_of(last[state], total);
    for (int64_t t = q->times - 1; t >= 0; t--) {
        step_back(q, t, slopes, earlier, gx);
        double *other = slopes;
        slopes = earlier, earlier = other;
    }
}

static void ctc_backward(const ad_op *op) {
    sizes s = sizes_of(op->in);
    const ad_var *y = ad__out(op);
    void *gx = ad_grad_into(op, LOG_PROBS);
    for (int64_t i = 0; gx != NULL && i < s.n; i++) {
        sequence q = sequence_of(op, i);
        double g = ad_grad_at(y, attrs_of(op)->reduction == AD_NONE ? i : 0) / divisor_of(op, i);
        if (q.times > 0 && ((const double *)ad_saved(op))[i] != INFINITY) sequence_back(&q, g, gx);
    }
}

/* ---- the rule in Vars: the same recurrence for all sequences at once ------------------------------------------ */

/* Stands for the log of 0, as the slopes of infinities are NaN. */
static const double none = -1e305;

typedef struct {
    ad_var *classes, *skips, *times, *lengths; /* [n,states], [n,states], [n,1], [n,1] */
} tables;

static ad_var *positions(const ad_op *op, int64_t n) {
    return ad_arange(ad__owner(op->in[0]), AD_F64, 0, (double)n, 1);
}

/* The class of each state, and where a state can be reached over a blank. Labels behind the last count as blanks. */
static tables tables_of(const ad_op *op) {
    sizes s = sizes_of(op->in);
    ad_var *blank = ad_full(ad__owner(op->in[0]), AD_F64, (double)attrs_of(op)->blank, AD_SHAPE(s.n, s.labels + 1));
    ad_var *lengths = ad_reshape(ad_cast(ad_detach(op->in[LENGTHS]), AD_F64), AD_SHAPE(s.n, 1));
    ad_var *labels = ad_cast(ad_detach(op->in[LABELS]), AD_F64);
    labels = ad_where(ad_lt(positions(op, s.labels), lengths), labels, ad_narrow(blank, 1, 0, s.labels));
    ad_var *pairs[] = { ad_narrow(blank, 1, 0, s.labels), labels };
    ad_var *both = ad_reshape(ad_stack(2, pairs, 2), AD_SHAPE(s.n, 2 * s.labels));
    ad_var *classes = ad_concat(2, (ad_var *[]){ both, ad_narrow(blank, 1, 0, 1) }, 1);
    ad_var *odd = ad_fmod(positions(op, s.states), ad__constant(classes, 2));
    ad_var *inside = ad_gt(positions(op, s.states), ad__constant(classes, 1));
    ad_var *skips = ad_logical_and(ad_ne(classes, ad_roll(classes, 1, 2)), ad_logical_and(odd, inside));
    return (tables){ classes, skips, ad_reshape(ad_cast(ad_detach(op->in[TIMES]), AD_F64), AD_SHAPE(s.n, 1)), lengths };
}

/* alpha [n,states] moved by k states, with none in front. */
static ad_var *moved(ad_var *alpha, int64_t k) {
    ad_shape s = alpha->layout->shape;
    if (k >= s.dim[1]) return ad_full(ad__owner(alpha), AD_F64, none, s);
    return ad_pad(ad_narrow(alpha, 1, 0, s.dim[1] - k), AD_SHAPE(0, k), AD_SHAPE(0, 0), none);
}

/* log_probs of the states at time t, [n,states] */
static ad_var *state_probs(ad_var *x, const tables *k, int64_t t) {
    return ad_gather(ad_select(x, 0, t), 1, k->classes);
}

static ad_var *last_alpha(const ad_op *op, ad_var *x, const tables *k) {
    sizes s = sizes_of(op->in);
    ad_graph *g = ad__owner(x);
    ad_var *low = ad_full(g, AD_F64, none, AD_SHAPE(s.n, s.states));
    ad_var *start = ad_lt(positions(op, s.states), ad__constant(x, 2));
    ad_var *alpha = ad_where(start, state_probs(x, k, 0), low);
    for (int64_t t = 1; t < s.times; t++) {
        ad_var *ways[] = { alpha, moved(alpha, 1), ad_where(k->skips, moved(alpha, 2), low) };
        ad_var *next = ad_add(ad_logsumexp_axis(ad_stack(3, ways, 0), 0, false), state_probs(x, k, t));
        alpha = ad_where(ad_gt(k->times, ad__constant(x, (double)t)), next, alpha);
    }
    return alpha;
}

/* The losses [n] divided by their divisors, and their sum unless there is no reduction. */
static ad_var *ctc_expression(const ad_op *op, ad_var *const in[]) {
    ad_var *x = ad__in_dtype(in[LOG_PROBS], AD_F64), *zero = ad__constant(x, 0);
    tables k = tables_of(op);
    ad_var *alpha = last_alpha(op, x, &k), *end = ad_muls(k.lengths, 2);
    ad_var *blank = ad_gather(alpha, 1, end), *label = ad_gather(alpha, 1, ad_clamp(ad_adds(end, -1), 0, INFINITY));
    label = ad_where(k.lengths, label, ad__constant(x, none));
    ad_var *loss = ad_neg(ad_logsumexp_axis(ad_concat(2, (ad_var *[]){ blank, label }, 1), 1, true));
    ad_var *lost = ad_logical_or(ad_ge(loss, ad__constant(x, -none / 10)), ad_eq(k.times, zero));
    loss = ad__zero_where(lost, loss);
    if (attrs_of(op)->reduction == AD_MEAN) {
        double n = (double)op->in[TIMES]->layout->numel;
        loss = ad_div(loss, ad_muls(ad_clamp(k.lengths, 1, INFINITY), n));
    }
    loss = attrs_of(op)->reduction == AD_NONE ? ad_reshape(loss, AD_SHAPE(-1)) : ad_sum(loss);
    return ad__in_dtype(loss, in[LOG_PROBS]->layout->dtype);
}

static void ctc_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    if (op->in[LOG_PROBS]->layout->numel > 0) ad__vjp_of_expression(op, g, dx, ctc_expression);
}

static void ctc_samples(ad_sampler *s) {
    const double labels[] = { 1, 2, 1, 1, 2, 1 }, times[] = { 5, 4, 2 }, lengths[] = { 2, 2, 1 };
    const double hard[] = { 2, 2, 2, 2, 0, 0 }, few[] = { 3, 2, 0 }, some[] = { 2, 2, 0 };
    ad_shape shapes[4];
    AD__SHAPES(shapes, "5,3,3 3,2 3 3");
    const double *plain[] = { NULL, labels, times, lengths }, *edges[] = { NULL, hard, few, some };
    for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
        ad_sample_values(s, &(ctc_attrs){ 0, false, reduction }, 4, shapes, plain, 0);
    for (int zero = 0; zero < 2; zero++) /* sequences that are too short, and an empty one */
        ad_sample_values(s, &(ctc_attrs){ 1, zero, AD_NONE }, 4, shapes, edges, zero ? 0 : AD_SAMPLE_KINK);
    ad_shape one[4];
    AD__SHAPES(one, "2,1,2 1,0 1 1");
    ad_sample_values(s, &(ctc_attrs){ 0, false, AD_SUM }, 4, one, (const double *[]){ NULL, NULL, few + 1, some + 2 },
                     0);
}

AD_OPTYPE(ctc,
          .doc = "connectionist temporal classification: minus the log of the probability of sequences of labels "
                 "[n,most labels], of log probabilities [times,n,classes] and each sequence's numbers of times and "
                 "labels, both [n]",
          .formula = "-log(sum over paths of the product of their probabilities); the mean is of losses divided by the "
                     "number of labels",
          .gradient = "minus the probability that a path has the class at the time",
          .special = "a sequence without a path has the loss inf, or 0 if zero_infinity, and the gradient 0",
          .differs = "PyTorch adds exp(log_probs) to the gradient, which log_softmax takes away; its gradient of an "
                     "infinite loss is NaN",
          .arity = 4, .no_grad = AD_NO_GRAD(1) | AD_NO_GRAD(2) | AD_NO_GRAD(3), .attr_size = sizeof(ctc_attrs),
          .attrs = ctc_list, .values = ad__reduction_values, .shape = ctc_shape,
          .evaluate = { ctc_evaluate, ctc_evaluate },
          .backward = { ctc_backward, ctc_backward }, .vjp = ctc_vjp);

/* Without a batch: log probabilities [times,classes], labels [labels] and scalar lengths. */
ad_var *ad_ctc(ad_var *log_probs, ad_var *labels, ad_var *times, ad_var *lengths, ad_ctc_opts opts) {
    ad_var *in[] = { log_probs, labels, times, lengths };
    const ctc_attrs a = { opts.blank, opts.zero_infinity, (int)opts.reduction };
    bool alone = ad_shape_of(log_probs).ndim == 2 && ad_shape_of(labels).ndim == 1;
    if (!alone || ad__absent(times) || ad__absent(lengths)) return ad_apply(&ad_op_ctc, 4, in, &a);
    in[0] = ad_unsqueeze(log_probs, 1), in[1] = ad_unsqueeze(labels, 0);
    in[2] = ad_reshape(times, AD_SHAPE(-1)), in[3] = ad_reshape(lengths, AD_SHAPE(-1));
    ad_var *y = ad_apply(&ad_op_ctc, 4, in, &a);
    return opts.reduction == AD_NONE ? ad_reshape(y, AD_SCALAR) : y;
}
