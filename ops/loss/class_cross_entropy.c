/* class_cross_entropy.c: cross-entropy with all options of PyTorch's; targets are class numbers or probabilities. */
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/loss/class_rows.h"
#include "ops/loss/class_rows.h"
#include "ops/loss/rows.h"

#include <math.h>

/* ---- both ops: the sum over classes of target (logsumexp scores - score) ------------------------------------- */

/* Saved by evaluate for backward: the divisor of the mean, and each row's logsumexp. */
typedef struct {
    double divisor;
    ad__lse row[];
} kept;

enum { SCORES, PROBABILITIES, TARGET, GRADIENT, SLOTS }; /* rows of scratch */

/* scores [n,c,..], classes [n,..] or probabilities [n,c,..], optional weights [c] -> [n,..] or a scalar */
static int cross_entropy_shape(ad_call *c, bool by_class) {
    ad_shape s = c->shape;
    int rc = ad__class_rows_shape(c, by_class);
    if (rc != AD_OK) return rc;
    int64_t n = s.dim[ad__class_axis(s)];
    c->saved = sizeof(kept) + (size_t)(ad_shape_numel(s) / n) * sizeof(ad__lse);
    c->scratch = SLOTS * (size_t)n * ad_dtype_size(c->dtype);
    return AD_OK;
}

typedef struct work work;
/* Sets w->target to the target of row j and *sum to its sum; returns false if the row is ignored. */
typedef bool target_fn(const work *w, int64_t j, double *sum);

struct work {
    const ad_op *op;
    ad__rows rows;
    target_fn *target_of;
    void *target;
    kept *kept;
};

static work work_of(const ad_op *op, target_fn *target_of) {
    ad_shape s = op->in[0]->layout->shape;
    work w = { op, ad__rows_along(op, s, ad__class_axis(s)), target_of, NULL, ad_saved(op) };
    w.target = ad__row_slot(&w.rows, TARGET);
    return w;
}

static const void *scores_at(const work *w, int64_t j) { return ad__row_at(&w->rows, w->op->in[0]->data, j, SCORES); }
static const void *weights_of(const ad_op *op) { return op->n_in > 2 ? op->in[2]->data : NULL; }
static double smoothing_of(const ad_op *op) { return ad__class_attrs_of(op)->smoothing; }

static double row_loss(const void *context, int64_t j) {
    const work *w = context;
    int64_t n = w->rows.n;
    double sum;
    if (!w->target_of(w, j, &sum)) return 0;
    const void *x = scores_at(w, j);
    w->kept->row[j] = AD__BY_DTYPE(w->rows.t, ad__lse, n, x);
    return AD__BY_DTYPE(w->rows.t, ad__target_loss, n, w->kept->row[j], x, w->target);
}

static void evaluate(const ad_op *op, target_fn *target_of) {
    work w = work_of(op, target_of);
    ad__reduce_rows(op, ad__class_reduction(op), w.rows.count, row_loss, &w);
}

/* Adds k (softmax(scores) sum(target) - target) to a row of the gradient. A target of 0 adds nothing, even if k is
   infinite or a score is NaN. */
static void add_row(const work *w, int64_t j, double k, double sum, void *to) {
    int64_t n = w->rows.n;
    if (sum != 0) AD__BY_DTYPE(w->rows.t, ad__lse_back, n, w->kept->row[j], k * sum, scores_at(w, j), to);
    AD__BY_DTYPE(w->rows.t, ad__subtract_target, n, k, w->target, to);
}

static void backward(const ad_op *op, target_fn *target_of) {
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    if (gx == NULL) return;
    work w = work_of(op, target_of);
    ad__row_reduction r = ad__class_reduction(op);
    for (int64_t j = 0; j < w.rows.count; j++) {
        double sum;
        void *to = ad__row_gradient(&w.rows, gx, j, GRADIENT, fresh);
        if (target_of(&w, j, &sum)) add_row(&w, j, ad__row_cotangent(op, r, j), sum, to);
        ad__row_store(&w.rows, to, gx, j);
    }
}

/* v, and 0 where it is not finite and factor is 0. The product of both is then 0, with its slope in factor. */
static ad_var *finite_where_zero(ad_var *factor, ad_var *v) {
    return ad__zero_where(ad_logical_and(ad_logical_not(factor), ad_logical_not(ad_isfinite(v))), v);
}

/* k: the cotangents of the rows, divided by the divisor of the reduction. Both are f64. Products are rounded as in
   backward. */
static ad_var *scores_vjp(const ad_op *op, ad_var *k, ad_var *target) {
    ad_var *x = op->in[0];
    int axis = ad__class_axis(x->layout->shape);
    ad_var *sum = ad_sum_axis(target, axis, true);
    ad_dtype t = x->layout->dtype;
    ad_var *softmax = finite_where_zero(ad__in_dtype(sum, t), ad_softmax(x, axis));
    ad_var *spread = ad_mul(softmax, ad__in_dtype(ad_mul(finite_where_zero(sum, k), sum), t));
    return ad_sub(spread, ad__in_dtype(ad_mul(finite_where_zero(target, k), target), t));
}

/* The loss of each row from its scores x and targets q. A target of 0 adds nothing, even if a score is NaN. */
static ad_emit_array emit_rows(ad_emit *e, ad_emit_array x, ad_emit_array q) {
    const unsigned row = 1u << ad__class_axis(x.shape);
    ad_emit_array m = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, x, row, "x == x ? x : -INFINITY", NULL);
    m = ad__emit_map(e, x.dtype, m, "x == -INFINITY ? 0 : x", NULL);
    ad_emit_array s = ad__emit_map2(e, x.dtype, x.shape, x, m, "exp(a - b)", "g == 0 ? 0 : g * y", NULL);
    s = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, s, row, "x", "g");
    s = ad__emit_map(e, x.dtype, s, "log(x)", "g == 0 ? 0 : g / x");
    return ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = x.dtype, .shape = x.shape, .reduced = row,
                                           .names = "x l q m", .value = "q != 0 ? q * (m - x + l) : 0",
                                           .slope = { "q != 0 ? -(g * q) : 0", "q != 0 ? g * q : 0",
                                                      "g * (m - x + l)" },
                                           .n = 4, .in = { x, s, q, m } });
}

/* ---- cross_entropy_classes --------------------------------------------------------------------------------- */

static int cross_entropy_classes_shape(ad_call *c) { return cross_entropy_shape(c, true); }

static bool target_of_class(const work *w, int64_t j, double *sum) {
    int64_t class = ad__class_at(w->op, w->op->in[1], j), n = w->rows.n;
    if (class < 0) return false;
    *sum = AD__BY_DTYPE(w->rows.t, ad__class_target, n, class, smoothing_of(w->op), weights_of(w->op), w->target);
    return true;
}

static int cross_entropy_classes_evaluate(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    double *divisor = &((kept *)ad_saved(op))->divisor;
    int rc = ad__class_divisor(op, op->in[1], ad__class_weights(op, 2), s.dim[ad__class_axis(s)], divisor);
    if (rc == AD_OK) evaluate(op, target_of_class);
    return rc;
}

static void cross_entropy_classes_backward(const ad_op *op) { backward(op, target_of_class); }

static void cross_entropy_classes_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = scores_vjp(op, ad__class_cotangent(op, g), ad__class_unscaled_targets(op));
}

AD_COLD static int cross_entropy_classes_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), t = ad_emit_operand(e, op, 1);
    const int reduction = ad__class_attrs_of(op)->reduction;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    t = ad__emit_classes(e, t, x.shape, &ad__class_attrs_of(op)->ignored);
    ad_emit_array w = ad__emit_class_weights(e, op, 2, x.dtype, x.shape), divisor = w;
    if (reduction == AD_MEAN) divisor = ad__emit_divisor(e, t, w, x.shape);
    ad_emit_array rows = emit_rows(e, x, ad__emit_targets(e, op, t, w, x.shape));
    ad_emit_result(e, op, ad__emit_reduced(e, rows, reduction, divisor));
    return AD_OK;
}

static void cross_entropy_classes_samples(ad_sampler *s) {
    ad__class_samples(s, -2, 2, 0.2);
    /* a score of -inf excludes its class */
    const double ruled_out[] = { 0, -INFINITY, 1 }, zero[] = { 0 }, *values[] = { ruled_out, zero };
    ad_sample_values(s, &(ad__class_attrs){ 0, -100, AD_SUM, 0 }, 2, (ad_shape[]){ AD_SHAPE(3), AD_SCALAR }, values,
                     AD_SAMPLE_KINK);
}

AD_OPTYPE(cross_entropy_classes,
          .doc = "cross-entropy of scores [n,c,..] and class numbers [n,..], with class weights [c], label smoothing, "
                 "a class to ignore and a reduction; the mean divides by the summed weights of the rows not ignored",
          .formula = "sum of target (logsumexp(scores) - scores), target = w ((1 - smoothing) one_hot + smoothing / c)",
          .gradient = "g (softmax(scores) sum(target) - target)",
          .special = "the mean of no rows is NaN, with gradient 0", .arity = -1,
          .no_grad = AD_NO_GRAD(1) | AD_NO_GRAD(2), .attr_size = sizeof(ad__class_attrs), .attrs = ad__class_list,
          .values = ad__reduction_values, .shape = cross_entropy_classes_shape,
          .evaluate = { cross_entropy_classes_evaluate, cross_entropy_classes_evaluate },
          .backward = { cross_entropy_classes_backward, cross_entropy_classes_backward },
          .vjp = cross_entropy_classes_vjp, .emit = cross_entropy_classes_emit);
ad_var *ad_cross_entropy_classes(ad_var *logits, ad_var *classes, ad_ce_opts opts) {
    return ad__apply_class_loss(&ad_op_cross_entropy_classes, logits, classes, opts);
}

/* ---- cross_entropy_probs ----------------------------------------------------------------------------------- */

static int cross_entropy_probs_shape(ad_call *c) { return cross_entropy_shape(c, false); }

static bool target_of_probs(const work *w, int64_t j, double *sum) {
    const void *p = ad__row_at(&w->rows, w->op->in[1]->data, j, PROBABILITIES);
    int64_t n = w->rows.n;
    *sum = AD__BY_DTYPE(w->rows.t, ad__mixed_target, n, p, smoothing_of(w->op), weights_of(w->op), w->target);
    return true;
}

static double probs_divisor(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    bool mean = ad__class_attrs_of(op)->reduction == AD_MEAN;
    return mean ? (double)(op->in[0]->layout->numel / s.dim[ad__class_axis(s)]) : 1;
}

static int cross_entropy_probs_evaluate(const ad_op *op) {
    ((kept *)ad_saved(op))->divisor = probs_divisor(op);
    evaluate(op, target_of_probs);
    return AD_OK;
}

/* dprobabilities = g (1 - smoothing) w (logsumexp(scores) - scores) */
static void probs_backward(const ad_op *op) {
    bool fresh;
    void *gp = ad_grad_claim(op, 1, &fresh);
    if (gp == NULL) return;
    work w = work_of(op, target_of_probs);
    ad__row_reduction r = ad__class_reduction(op);
    for (int64_t j = 0; j < w.rows.count; j++) {
        double k = ad__row_cotangent(op, r, j) * (1 - smoothing_of(op));
        void *to = ad__row_gradient(&w.rows, gp, j, GRADIENT, fresh);
        AD__BY_DTYPE(w.rows.t, ad__target_back, w.rows.n, w.kept->row[j], k, scores_at(&w, j), weights_of(op), to);
        ad__row_store(&w.rows, to, gp, j);
    }
}

static void cross_entropy_probs_backward(const ad_op *op) {
    backward(op, target_of_probs);
    probs_backward(op);
}

/* g in f64, as [n,1,..] if there is a loss for each row. */
static ad_var *rows_cotangent(const ad_op *op, ad_var *g) {
    ad_shape s = op->in[0]->layout->shape;
    g = ad__in_dtype(g, AD_F64);
    if (ad__class_attrs_of(op)->reduction != AD_NONE) return g;
    return ad_reshape(g, ad__reduced_shape(s, 1u << ad__class_axis(s), true));
}

/* The targets, computed in f64 and rounded, as evaluate does. w: the weights in f64 as [1,c,1,..], or NULL. */
static ad_var *mixed_target(const ad_op *op, ad_var *w) {
    ad_shape s = op->in[0]->layout->shape;
    double smoothing = smoothing_of(op), each = smoothing / (double)s.dim[ad__class_axis(s)];
    ad_var *target = ad_adds(ad_muls(ad__in_dtype(op->in[1], AD_F64), 1 - smoothing), each);
    if (w) target = ad_mul(target, w);
    return ad__in_dtype(ad__in_dtype(target, op->in[0]->layout->dtype), AD_F64);
}

static void cross_entropy_probs_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->n_in > 2 ? op->in[2] : NULL;
    ad_shape s = x->layout->shape;
    int axis = ad__class_axis(s);
    double smoothing = smoothing_of(op);
    if (w) w = ad_reshape(ad__in_dtype(w, AD_F64), ad__reduced_shape(s, ~(1u << axis), true)); /* [1,c,1,..] */
    ad_var *k = ad_muls(rows_cotangent(op, g), 1 / probs_divisor(op));
    if (ad_vjp_wants(op, 0)) dx[0] = scores_vjp(op, k, mixed_target(op, w));
    if (!ad_vjp_wants(op, 1)) return;
    ad_var *rows = ad_muls(k, 1 - smoothing);
    ad_var *losses = ad_neg(ad__in_dtype(ad_log_softmax(x, axis), AD_F64));
    dx[1] = ad__in_dtype(ad_mul(w ? ad_mul(rows, w) : rows, losses), g->layout->dtype);
}

AD_COLD static int cross_entropy_probs_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), p = ad_emit_operand(e, op, 1), divisor;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    double smoothing = smoothing_of(op), each = smoothing / (double)x.shape.dim[ad__class_axis(x.shape)];
    ad_emit_array w = ad__emit_class_weights(e, op, 2, x.dtype, x.shape);
    p = ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = x.shape, .names = "p w a k",
                                        .value = "(k * p + a) * w", .slope = { "g * k * w" }, .n = 2, .in = { p, w },
                                        .n_parameters = 2, .parameter = { each, 1 - smoothing } });
    divisor = ad_emit_new(e, AD_F64, AD_SCALAR);
    ad__emit_fill(e, divisor, probs_divisor(op));
    ad_emit_result(e, op, ad__emit_reduced(e, emit_rows(e, x, p), ad__class_attrs_of(op)->reduction, divisor));
    return AD_OK;
}

static void cross_entropy_probs_samples(ad_sampler *s) {
    ad_shape shapes[5][3];
    AD__SHAPES(shapes, "4,3 4,3 3; 3 3 3; 2,3,2 2,3,2 3; 1,1 1,1 1; 0,2 0,2 2");
    const double lo[] = { -2, 0, 0.4 }, hi[] = { 2, 1, 2 };
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++)
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample(s, &(ad__class_attrs){ i % 3 ? 0.3 : 0, -100, reduction, 0 }, 2 + i % 2, shapes[i / 2], lo, hi);
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 1, 0, 0, 0, 0.5, 0.5 },
                 *values[] = { huge, right };
    ad_sample_values(s, &(ad__class_attrs){ 0, -100, AD_NONE, 0 }, 2, (ad_shape[]){ AD_SHAPE(2, 3), AD_SHAPE(2, 3) },
                     values, AD_SAMPLE_KINK);
}

AD_OPTYPE(
    cross_entropy_probs, .differs = "the slopes in probabilities of an infinite score are -inf; PyTorch's are NaN",
    .doc = "cross-entropy of scores [n,c,..] and probabilities of the same shape, with class weights [c], label "
           "smoothing and a reduction; the mean is over rows",
    .formula = "sum of target (logsumexp(scores) - scores), target = w ((1 - smoothing) probabilities + smoothing / c)",
    .gradient = "g (softmax(scores) sum(target) - target); g (1 - smoothing) w (logsumexp(scores) - scores)",
    .special = "a class of probability 0 adds nothing, even with score -inf (PyTorch: NaN)", .arity = -1,
    .no_grad = AD_NO_GRAD(2), .attr_size = sizeof(ad__class_attrs), .attrs = ad__class_list,
    .values = ad__reduction_values, .shape = cross_entropy_probs_shape,
    .evaluate = { cross_entropy_probs_evaluate, cross_entropy_probs_evaluate },
    .backward = { cross_entropy_probs_backward, cross_entropy_probs_backward }, .vjp = cross_entropy_probs_vjp,
    .emit = cross_entropy_probs_emit);
ad_var *ad_cross_entropy_probs(ad_var *logits, ad_var *probabilities, ad_ce_opts opts) {
    return ad__apply_class_loss(&ad_op_cross_entropy_probs, logits, probabilities, opts);
}

/* Targets with the shape of the scores are probabilities. */
ad_var *ad_cross_entropy_with(ad_var *logits, ad_var *target, ad_ce_opts opts) {
    bool probs =
        !ad__absent(logits) && !ad__absent(target) && ad_shape_equal(logits->layout->shape, target->layout->shape);
    if (probs && opts.ignore) {
        ad_fail(ad__owner(logits), AD_EVALUE,
                "cross_entropy_with: ignore_index %lld needs class numbers, but the target has the scores' shape "
                "and so holds probabilities",
                (long long)opts.ignore_index);
        return ad_nil(ad__owner(logits));
    }
    return probs ? ad_cross_entropy_probs(logits, target, opts) : ad_cross_entropy_classes(logits, target, opts);
}
