/* nll.c: the negative log-likelihood loss of log-probabilities and class numbers. */
#include "ops/base/gradient.h"
#include "ops/loss/class_rows.h"

/* log_probs [n,c,..], classes [n,..], optional weights [c] -> [n,..] or a scalar */
static int nll_shape(ad_call *c) {
    if (((const ad__class_attrs *)c->attrs)->smoothing != 0)
        return ad_call_fail(c, AD_EVALUE, "label smoothing is not supported; use ad_cross_entropy_with");
    c->saved = sizeof(double); /* the divisor */
    return ad__class_rows_shape(c, true);
}

typedef struct {
    const ad_op *op;
    ad__around scores;
} work;

static work work_of(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    return (work){ op, ad__around_axis(s, ad__class_axis(s)) };
}

/* The offset of the log-probability of the row's class, -1 if the row is ignored; and its weight. */
typedef struct {
    int64_t at;
    double weight;
} hit;

static inline hit hit_of(const work *w, int64_t j) {
    const ad_var *weights = ad__class_weights(w->op, 2);
    int64_t class = ad__class_at(w->op, w->op->in[1], j), inner = w->scores.inner;
    if (class < 0) return (hit){ -1, 0 };
    return (hit){ (j / inner * w->scores.n + class) * inner + j % inner, weights ? ad__get(weights, class) : 1 };
}

static double row_loss(const void *context, int64_t j) {
    const work *w = context;
    hit h = hit_of(w, j);
    return h.at < 0 ? 0 : -h.weight * ad__get(w->op->in[0], h.at);
}

static int nll_evaluate(const ad_op *op) {
    work w = work_of(op);
    int rc = ad__class_divisor(op, op->in[1], ad__class_weights(op, 2), w.scores.n, ad_saved(op));
    if (rc == AD_OK) ad__reduce_rows(op, ad__class_reduction(op), op->in[1]->layout->numel, row_loss, &w);
    return rc;
}

static void nll_backward(const ad_op *op) {
    work w = work_of(op);
    ad__row_reduction r = ad__class_reduction(op);
    void *gx = ad_grad_into(op, 0);
    for (int64_t j = 0; gx != NULL && j < op->in[1]->layout->numel; j++) {
        hit h = hit_of(&w, j);
        if (h.at >= 0 && h.weight != 0)
            ad__add_at(op->in[0]->layout->dtype, gx, h.at, -ad__row_cotangent(op, r, j) * h.weight);
    }
}

static void nll_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *targets = ad__class_unscaled_targets(op);
    ad_var *slopes = ad__zero_where(ad_logical_not(targets), ad_mul(ad_neg(ad__class_cotangent(op, g)), targets));
    dx[0] = ad__in_dtype(slopes, g->layout->dtype);
}

AD_COLD static int nll_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), t = ad_emit_operand(e, op, 1);
    const ad_shape s = x.shape;
    const int axis = ad__class_axis(s), reduction = ad__class_attrs_of(op)->reduction;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    t = ad__emit_classes(e, t, s, &ad__class_attrs_of(op)->ignored);
    ad_emit_array w = ad__emit_class_weights(e, op, 2, x.dtype, s), divisor = w;
    if (reduction == AD_MEAN) divisor = ad__emit_divisor(e, t, w, s);
    ad_emit_loop l = { .kind = AD_EMIT_SUM, .dtype = x.dtype, .shape = s, .reduced = 1u << axis, .names = "x t w j",
                       .value = "t != t ? NAN : j == t ? -w * x : 0", .slope = { "j == t && w != 0 ? -g * w : 0" },
                       .n = 4, .in = { x, t, w, ad_emit_index(e, x.dtype, s, axis) } };
    ad_emit_result(e, op, ad__emit_reduced(e, ad_emit_run(e, &l), reduction, divisor));
    return AD_OK;
}

static void nll_samples(ad_sampler *s) { ad__class_samples(s, -4, -0.1, 0); }

AD_OPTYPE(nll,
          .doc = "negative log-probabilities [n,c,..] at class numbers [n,..], with class weights [c], a class to "
                 "ignore and a reduction; the mean divides by the summed weights of the rows not ignored",
          .formula = "-w[class] log_probs[class]", .gradient = "-g w[class] at the class, 0 elsewhere",
          .special = "the mean of no rows is NaN, with gradient 0", .arity = -1,
          .no_grad = AD_NO_GRAD(1) | AD_NO_GRAD(2), .attr_size = sizeof(ad__class_attrs),
          .attrs = ad__class_list + 1 /* no smoothing */, .values = ad__reduction_values, .shape = nll_shape,
          .evaluate = { nll_evaluate, nll_evaluate }, .backward = { nll_backward, nll_backward }, .vjp = nll_vjp,
          .emit = nll_emit);
ad_var *ad_nll(ad_var *log_probs, ad_var *classes, ad_ce_opts opts) {
    return ad__apply_class_loss(&ad_op_nll, log_probs, classes, opts);
}
