/* class_cross_entropy.c: losses of scores of classes: cross-entropy with every option of PyTorch's, and nll. */
#include "ops/base/attrs.h"
#include "autodiff/base/spread.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/loss/class_rows.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: rows of scores along the class axis --------------------------------------------------------- */

typedef struct {
    double smoothing;
    int64_t ignored; /* the class whose rows do not count */
    int reduction;
    int64_t n; /* classes; of class_targets alone, the others find it in the scores */
} class_attrs;

static const class_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }
static const ad_var *weight_of(const ad_op *op, int i) { return op->n_in > i ? op->in[i] : NULL; }

/* [c], [n,c] and [n,c,d1,..]: as PyTorch has it. */
static int class_axis(ad_shape s) { return s.ndim == 1 ? 0 : 1; }

static ad_shape without_axis(ad_shape s, int axis) { return ad__reduced_shape(s, 1u << axis, false); }

static int check_attrs(const ad_call *c) {
    const class_attrs *a = c->attrs;
    if (a->reduction < AD_MEAN || a->reduction > AD_NONE)
        return ad_call_fail(c, AD_EVALUE, "%d is no reduction of this loss; AD_MEAN, AD_SUM and AD_NONE are",
                            a->reduction);
    if (!(a->smoothing >= 0 && a->smoothing <= 1))
        return ad_call_fail(c, AD_EVALUE, "label smoothing %g is not in 0..1", a->smoothing);
    return AD_OK;
}

static int check_weight(const ad_call *c, int i, int64_t n) {
    if (c->n <= i || ad_shape_equal(c->in[i]->layout->shape, AD_SHAPE(n))) return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "the weights of %lld classes must be [%lld]", (long long)n, (long long)n);
}

/* What evaluate leaves for backward: what the mean divides by, and each row's logsumexp. */
typedef struct {
    double divisor;
    ad__lse row[];
} kept;

/* Scores of rows, and room for four rows of T in scratch. */
static int rows_shape(ad_call *c, bool by_class) {
    if (c->n < 2 || c->n > 3)
        return ad_call_fail(c, AD_EVALUE, "%d operands given; takes scores, targets and perhaps weights", c->n);
    ad_shape s = c->shape, t = c->in[1]->layout->shape;
    int axis = class_axis(s);
    if (s.ndim == 0 || s.dim[axis] == 0) return ad_call_fail(c, AD_ESHAPE, "no classes; takes scores [c] or [n,c,..]");
    ad_shape rows = without_axis(s, axis);
    if (by_class && !ad_shape_equal(t, rows))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c,..] and class numbers [n,..]");
    if (!by_class && !ad_shape_equal(t, s))
        return ad_call_fail(c, AD_ESHAPE, "takes scores [n,c,..] and probabilities of the same shape");
    int rc = check_attrs(c);
    if (rc == AD_OK) rc = check_weight(c, 2, s.dim[axis]);
    c->saved = sizeof(kept) + (size_t)ad_shape_numel(rows) * sizeof(ad__lse);
    c->scratch = 4 * (size_t)s.dim[axis] * ad_dtype_size(c->dtype);
    c->shape = ((const class_attrs *)c->attrs)->reduction == AD_NONE ? rows : AD_SCALAR;
    return rc;
}

static int class_rows_shape(ad_call *c) { return rows_shape(c, true); }
static int prob_rows_shape(ad_call *c) { return rows_shape(c, false); }

/* Where the rows of an operand lie, and the rows of scratch: scores, probabilities, targets, a gradient. */
typedef struct {
    ad_dtype t;
    size_t size;
    ad__around around;
    int64_t rows;
    char *x, *p, *q, *g;
} rows;

static rows rows_of(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    rows r = { .t = ad__out(op)->layout->dtype, .around = ad__around_axis(s, class_axis(s)) };
    r.size = ad_dtype_size(r.t);
    r.rows = r.around.outer * r.around.inner;
    size_t row = (size_t)r.around.n * r.size;
    r.x = ad__owner(ad__out(op))->scratch;
    r.p = r.x + row, r.q = r.p + row, r.g = r.q + row;
    return r;
}

static size_t row_start(const rows *r, int64_t j) {
    return (size_t)(j / r->around.inner * r->around.n * r->around.inner + j % r->around.inner) * r->size;
}

/* Row j of an array as n elements in a row: in place, or copied to a row of scratch. */
static void *row_at(const rows *r, void *data, int64_t j, char *scratch) {
    void *from = (char *)data + row_start(r, j);
    if (r->around.inner == 1) return from;
    ad__load_row(r->t, r->around.n, r->around.inner, from, scratch);
    return scratch;
}

/* The same of a row whose elements are to be zeros. */
static void *zero_row(const rows *r, void *data, int64_t j, char *scratch) {
    void *row = r->around.inner == 1 ? (char *)data + row_start(r, j) : scratch;
    return memset(row, 0, (size_t)r->around.n * ad_dtype_size(r->t));
}

static void row_done(const rows *r, void *data, int64_t j, const void *row) {
    if (r->around.inner != 1) ad__store_row(r->t, r->around.n, r->around.inner, row, (char *)data + row_start(r, j));
}

/* ---- helpers: targets ------------------------------------------------------------------------------------- */

/* The class of row j; -1 where it does not count, -2 with an error where it is none. */
static int64_t class_of(const ad_op *op, const ad_var *classes, int64_t j, int64_t n, int64_t ignored) {
    double class = ad__get(classes, j);
    if (class == (double)ignored) return -1;
    if (class >= 0 && class < (double)n && class == floor(class)) return (int64_t)class;
    ad_op_fail(op, AD_EVALUE, "class %g of element %lld is not one of 0..%lld", class, (long long)j, (long long)n - 1);
    return -2;
}

/* Fills r->q with the target of row j and *sum with its sum; false where the row does not count. */
typedef bool target_fn(const ad_op *op, const rows *r, int64_t j, double *sum);

static double class_target(ad_dtype t, int64_t n, int64_t class, double smoothing, const ad_var *w, void *q) {
    return t == AD_F32 ? ad__class_target_f32(n, class, smoothing, w ? w->data : NULL, q)
                       : ad__class_target_f64(n, class, smoothing, w ? w->data : NULL, q);
}

static bool target_of_class(const ad_op *op, const rows *r, int64_t j, double *sum) {
    int64_t class = class_of(op, op->in[1], j, r->around.n, attrs_of(op)->ignored);
    if (class < 0) return false;
    *sum = class_target(r->t, r->around.n, class, attrs_of(op)->smoothing, weight_of(op, 2), r->q);
    return true;
}

static bool target_of_probs(const ad_op *op, const rows *r, int64_t j, double *sum) {
    const ad_var *w = weight_of(op, 2);
    double smoothing = attrs_of(op)->smoothing;
    void *p = row_at(r, op->in[1]->data, j, r->p);
    *sum = r->t == AD_F32
               ? ad__mixed_target_f32(r->around.n, p, smoothing, w ? w->data : NULL, (float *)(void *)r->q)
               : ad__mixed_target_f64(r->around.n, p, smoothing, w ? w->data : NULL, (double *)(void *)r->q);
    return true;
}

/* The weights of the classes of the rows that count; their number, where there are no weights. */
static int sum_of_weights(const ad_op *op, const ad_var *classes, const ad_var *w, int64_t n, double *sum) {
    *sum = 0;
    for (int64_t j = 0; j < classes->layout->numel; j++) {
        int64_t class = class_of(op, classes, j, n, attrs_of(op)->ignored);
        if (class == -2) return AD_EVALUE;
        if (class >= 0) *sum += w ? ad__get(w, class) : 1;
    }
    return AD_OK;
}

/* ---- cross-entropy: the sum over classes of target (logsumexp scores - score) ------------------------------ */

static ad__lse lse_of(const rows *r, const void *x) {
    return r->t == AD_F32 ? ad__lse_f32(r->around.n, x) : ad__lse_f64(r->around.n, x);
}

static double loss_of_row(const rows *r, ad__lse l, const void *x) {
    return r->t == AD_F32 ? ad__target_loss_f32(r->around.n, l, x, (const float *)(const void *)r->q)
                          : ad__target_loss_f64(r->around.n, l, x, (const double *)(const void *)r->q);
}

static int evaluate_rows(const ad_op *op, target_fn *target) {
    rows r = rows_of(op);
    ad_var *out = ad__out(op);
    kept *k = ad_saved(op);
    double sum = 0, weight;
    bool each = attrs_of(op)->reduction == AD_NONE;
    for (int64_t j = 0; j < r.rows; j++) {
        double loss = 0;
        if (target(op, &r, j, &weight)) {
            const void *x = row_at(&r, op->in[0]->data, j, r.x);
            k->row[j] = lse_of(&r, x);
            loss = loss_of_row(&r, k->row[j], x);
        }
        if (each) ad__put(out, j, loss);
        else sum += loss;
    }
    if (!each) ad__put(out, 0, sum / k->divisor);
    return AD_OK;
}

/* What arrives at row j's loss. */
static double arrived(const ad_op *op, int64_t j) {
    const ad_var *out = ad__out(op);
    if (attrs_of(op)->reduction == AD_NONE) return ad_grad_at(out, j);
    return ad_grad_at(out, 0) / ((const kept *)ad_saved(op))->divisor;
}

/* dscores = g (softmax(scores) sum(target) - target) */
static void backward_rows(const ad_op *op, target_fn *target) {
    rows r = rows_of(op);
    bool fresh;
    void *gx = ad_grad_claim(op, 0, &fresh);
    const kept *saved = ad_saved(op);
    int64_t n = r.around.n;
    double sum;
    for (int64_t j = 0; gx != NULL && j < r.rows; j++) {
        void *to = fresh ? zero_row(&r, gx, j, r.g) : row_at(&r, gx, j, r.g);
        if (!target(op, &r, j, &sum)) {
            row_done(&r, gx, j, to);
            continue;
        }
        double k = arrived(op, j);
        const void *x = row_at(&r, op->in[0]->data, j, r.x);
        if (r.t == AD_F32) {
            ad__lse_back_f32(n, saved->row[j], (float)(k * sum), x, to);
            ad__axpy_f32(n, (float)-k, (const float *)(const void *)r.q, to);
        } else {
            ad__lse_back_f64(n, saved->row[j], k * sum, x, to);
            ad__axpy_f64(n, -k, (const double *)(const void *)r.q, to);
        }
        row_done(&r, gx, j, to);
    }
}

/* g of a row's loss, with the class axis put back. */
static ad_var *per_row(const ad_op *op, ad_var *g) {
    ad_shape s = op->in[0]->layout->shape;
    if (attrs_of(op)->reduction != AD_NONE) return g;
    return ad_reshape(g, ad__reduced_shape(s, 1u << class_axis(s), true));
}

/* From the targets as a Var, divided as the reduction has it. */
static ad_var *scores_vjp(const ad_op *op, ad_var *g, ad_var *target) {
    ad_var *x = op->in[0], *weighed = ad_mul(per_row(op, g), target);
    int axis = class_axis(x->layout->shape);
    return ad_sub(ad_mul(ad_softmax(x, axis), ad_sum_axis(weighed, axis, true)), weighed);
}

static ad_ce_opts opts_of(const ad_op *op) {
    const class_attrs *a = attrs_of(op);
    return (ad_ce_opts){ op->n_in > 2 ? op->in[2] : NULL, a->smoothing, (ad_reduction)a->reduction, true, a->ignored };
}

static class_attrs attrs_from(ad_ce_opts o) {
    return (class_attrs){ o.label_smoothing, o.ignore ? o.ignore_index : -100, (int)o.reduction, 0 };
}

static ad_var *apply_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_ce_opts o) {
    class_attrs a = attrs_from(o);
    return ad_apply(type, o.weight ? 3 : 2, (ad_var *[]){ x, target, o.weight }, &a);
}

/* ---- samples of losses whose targets are classes -------------------------------------------------------------- */

static void class_samples(ad_sampler *s, double lo, double hi, double smoothing) {
    const double classes[] = { 2, 0, 1, 1, 2, 0 }, missing[] = { 2, -100, 1, -100, 0, 0 };
    const ad_shape shapes[][3] = {
        { AD_SHAPE(4, 3), AD_SHAPE(4), AD_SHAPE(3) },          { AD_SHAPE(3), AD_SCALAR, AD_SHAPE(3) },
        { AD_SHAPE(2, 3, 3), AD_SHAPE(2, 3), AD_SHAPE(3) },    { AD_SHAPE(1, 35), AD_SHAPE(1), AD_SHAPE(35) },
        { AD_SHAPE(1, 3, 2, 2), AD_SHAPE(1, 2, 2), AD_SHAPE(3) },
    };
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++) {
        const ad_shape *shape = shapes[i / 2];
        double x[64], w[64];
        for (int64_t k = 0; k < 64; k++) x[k] = lo + (hi - lo) * ad__spread_number(k, 0);
        for (int64_t k = 0; k < 64; k++) w[k] = 0.4 + 2 * ad__spread_number(k, 2);
        const double *values[] = { x, i % 2 ? missing : classes, w };
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample_values(s, &(class_attrs){ i % 4 > 1 ? smoothing : 0, -100, reduction, 0 }, 2 + (i % 3 > 0), shape,
                             values, 0);
    }
}

static void class_edge_samples(ad_sampler *s) {
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 0, 0 }, *values[] = { huge, right };
    const ad_shape shapes[] = { AD_SHAPE(2, 3), AD_SHAPE(2) }, empty[] = { AD_SHAPE(0, 3), AD_SHAPE(0) };
    ad_sample_values(s, &(class_attrs){ 0, -100, AD_MEAN, 0 }, 2, shapes, values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(class_attrs){ 0, 0, AD_MEAN, 0 }, 2, shapes, values, AD_SAMPLE_KINK); /* none counts */
    ad_sample_values(s, &(class_attrs){ 0, -100, AD_MEAN, 0 }, 2, empty, values, AD_SAMPLE_KINK);
    ad_sample_values(s, &(class_attrs){ 0, -100, AD_SUM, 0 }, 2, empty, values, AD_SAMPLE_KINK);
}

static const ad_attr ce_list[] = { { "label_smoothing", AD_ATTR_DOUBLE, offsetof(class_attrs, smoothing) },
                                   { "ignore_index", AD_ATTR_INT64, offsetof(class_attrs, ignored) },
                                   { "reduction", AD_ATTR_INT, offsetof(class_attrs, reduction) },
                                   { 0 } };

/* ---- cross_entropy_classes --------------------------------------------------------------------------------------- */

/* What the mean divides by; every class is checked on the way. */
static int keep_divisor(const ad_op *op, int64_t n) {
    kept *k = ad_saved(op);
    int rc = sum_of_weights(op, op->in[1], weight_of(op, 2), n, &k->divisor);
    if (attrs_of(op)->reduction != AD_MEAN) k->divisor = 1;
    return rc;
}

static int cross_entropy_classes_evaluate(const ad_op *op) {
    int rc = keep_divisor(op, rows_of(op).around.n);
    return rc == AD_OK ? evaluate_rows(op, target_of_class) : rc;
}
static void cross_entropy_classes_backward(const ad_op *op) { backward_rows(op, target_of_class); }
static void cross_entropy_classes_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = scores_vjp(op, g, ad_class_targets(op->in[1], rows_of(op).around.n, opts_of(op)));
}
static void cross_entropy_classes_samples(ad_sampler *s) {
    class_samples(s, -2, 2, 0.2);
    class_edge_samples(s);
    /* a score of -inf is a class ruled out */
    const double ruled_out[] = { 0, -INFINITY, 1 }, zero[] = { 0 }, *values[] = { ruled_out, zero };
    ad_sample_values(s, &(class_attrs){ 0, -100, AD_SUM, 0 }, 2, (ad_shape[]){ AD_SHAPE(3), AD_SCALAR }, values,
                     AD_SAMPLE_KINK);
}

AD_OPTYPE(cross_entropy_classes,
          .doc = "cross-entropy of scores [n,c,..] and class numbers [n,..], with class weights [c], label smoothing, "
                 "a class to ignore and a reduction; the mean is over the weights of the rows that count",
          .formula = "sum of target (logsumexp(scores) - scores), target = w ((1 - smoothing) one_hot + smoothing / c)",
          .gradient = "g (softmax(scores) sum(target) - target)",
          .special = "NaN for the mean of no rows, with gradient 0", .arity = -1, .no_grad = 6,
          .attr_size = sizeof(class_attrs), .attrs = ce_list, .shape = class_rows_shape,
          .evaluate = { cross_entropy_classes_evaluate, cross_entropy_classes_evaluate },
          .backward = { cross_entropy_classes_backward, cross_entropy_classes_backward },
          .vjp = cross_entropy_classes_vjp);
ad_var *ad_cross_entropy_classes(ad_var *logits, ad_var *classes, ad_ce_opts opts) {
    return apply_loss(&ad_op_cross_entropy_classes, logits, classes, opts);
}

/* ---- cross_entropy_probs ----------------------------------------------------------------------------------------- */

static int cross_entropy_probs_evaluate(const ad_op *op) {
    ((kept *)ad_saved(op))->divisor = attrs_of(op)->reduction == AD_MEAN ? (double)rows_of(op).rows : 1;
    return evaluate_rows(op, target_of_probs);
}

/* dprobabilities = g (1 - smoothing) w (logsumexp(scores) - scores) */
static void probs_backward(const ad_op *op) {
    rows r = rows_of(op);
    bool fresh;
    void *gp = ad_grad_claim(op, 1, &fresh);
    const ad_var *w = weight_of(op, 2);
    const kept *saved = ad_saved(op);
    for (int64_t j = 0; gp != NULL && j < r.rows; j++) {
        double k = arrived(op, j) * (1 - attrs_of(op)->smoothing);
        const void *x = row_at(&r, op->in[0]->data, j, r.x);
        void *to = fresh ? zero_row(&r, gp, j, r.g) : row_at(&r, gp, j, r.g);
        if (r.t == AD_F32) ad__target_back_f32(r.around.n, saved->row[j], k, x, w ? w->data : NULL, to);
        else ad__target_back_f64(r.around.n, saved->row[j], k, x, w ? w->data : NULL, to);
        row_done(&r, gp, j, to);
    }
}

static void cross_entropy_probs_backward(const ad_op *op) {
    backward_rows(op, target_of_probs);
    probs_backward(op);
}

static void cross_entropy_probs_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_var *x = op->in[0], *w = op->n_in > 2 ? op->in[2] : NULL;
    ad_shape s = x->layout->shape, along = { .ndim = s.ndim - class_axis(s) }; /* w as [c,1,..] */
    rows r = rows_of(op);
    double smoothing = attrs_of(op)->smoothing, divisor = attrs_of(op)->reduction == AD_MEAN ? (double)r.rows : 1;
    for (int i = 0; i < along.ndim; i++) along.dim[i] = i ? 1 : r.around.n;
    if (w) w = ad_reshape(w, along);
    ad_var *target = ad_muls(ad_adds(ad_muls(op->in[1], 1 - smoothing), smoothing / (double)r.around.n), 1 / divisor);
    if (ad_vjp_wants(op, 0)) dx[0] = scores_vjp(op, g, w ? ad_mul(target, w) : target);
    if (!ad_vjp_wants(op, 1)) return;
    ad_var *losses = ad_mul(ad_muls(per_row(op, g), (smoothing - 1) / divisor), ad_log_softmax(x, class_axis(s)));
    dx[1] = w ? ad_mul(losses, w) : losses;
}

static void cross_entropy_probs_samples(ad_sampler *s) {
    const ad_shape shapes[][3] = { { AD_SHAPE(4, 3), AD_SHAPE(4, 3), AD_SHAPE(3) },
                                   { AD_SHAPE(3), AD_SHAPE(3), AD_SHAPE(3) },
                                   { AD_SHAPE(2, 3, 2), AD_SHAPE(2, 3, 2), AD_SHAPE(3) },
                                   { AD_SHAPE(1, 1), AD_SHAPE(1, 1), AD_SHAPE(1) },
                                   { AD_SHAPE(0, 2), AD_SHAPE(0, 2), AD_SHAPE(2) } };
    const double lo[] = { -2, 0, 0.4 }, hi[] = { 2, 1, 2 };
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++)
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample(s, &(class_attrs){ i % 3 ? 0.3 : 0, -100, reduction, 0 }, 2 + i % 2, shapes[i / 2], lo, hi);
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 1, 0, 0, 0, 0.5, 0.5 },
                 *values[] = { huge, right };
    ad_sample_values(s, &(class_attrs){ 0, -100, AD_NONE, 0 }, 2, (ad_shape[]){ AD_SHAPE(2, 3), AD_SHAPE(2, 3) },
                     values, AD_SAMPLE_KINK);
}

AD_OPTYPE(
    cross_entropy_probs,
    .doc = "cross-entropy of scores [n,c,..] and probabilities of the same shape, with class weights [c], label "
           "smoothing and a reduction; the mean is over rows",
    .formula = "sum of target (logsumexp(scores) - scores), target = w ((1 - smoothing) probabilities + smoothing / c)",
    .gradient = "g (softmax(scores) sum(target) - target); g (1 - smoothing) w (logsumexp(scores) - scores)",
    .special = "a class of probability 0 does not count, even with score -inf (PyTorch: NaN)", .arity = -1,
    .no_grad = 1u << 2, .attr_size = sizeof(class_attrs), .attrs = ce_list, .shape = prob_rows_shape,
    .evaluate = { cross_entropy_probs_evaluate, cross_entropy_probs_evaluate },
    .backward = { cross_entropy_probs_backward, cross_entropy_probs_backward }, .vjp = cross_entropy_probs_vjp);
ad_var *ad_cross_entropy_probs(ad_var *logits, ad_var *probabilities, ad_ce_opts opts) {
    return apply_loss(&ad_op_cross_entropy_probs, logits, probabilities, opts);
}

/* Targets of the scores' own shape are probabilities. */
ad_var *ad_cross_entropy_with(ad_var *logits, ad_var *target, ad_ce_opts opts) {
    bool probs =
        !ad__absent(logits) && !ad__absent(target) && ad_shape_equal(logits->layout->shape, target->layout->shape);
    if (probs && opts.ignore) {
        ad_fail(ad__owner(logits), AD_EVALUE, "cross_entropy_with: ignore_index %lld goes with class numbers, and the "
                "target has the scores' shape: probabilities", (long long)opts.ignore_index);
        return ad_nil(ad__owner(logits));
    }
    return probs ? ad_cross_entropy_probs(logits, target, opts) : ad_cross_entropy_classes(logits, target, opts);
}

/* ---- nll: -w[class] log_probs[class] ------------------------------------------------------------------------ */

/* Row j's element of that class. */
static int64_t hit(const rows *r, int64_t j, int64_t class) {
    return (j / r->around.inner * r->around.n + class) * r->around.inner + j % r->around.inner;
}

static int nll_shape(ad_call *c) {
    if (((const class_attrs *)c->attrs)->smoothing != 0)
        return ad_call_fail(c, AD_EVALUE, "takes no label smoothing; ad_cross_entropy_with does");
    return rows_shape(c, true);
}

static int nll_evaluate(const ad_op *op) {
    rows r = rows_of(op);
    const ad_var *w = weight_of(op, 2);
    int rc = keep_divisor(op, r.around.n);
    bool each = attrs_of(op)->reduction == AD_NONE;
    double sum = 0;
    for (int64_t j = 0; j < r.rows && rc == AD_OK; j++) {
        int64_t class = class_of(op, op->in[1], j, r.around.n, attrs_of(op)->ignored);
        double loss = class < 0 ? 0 : -(w ? ad__get(w, class) : 1) * ad__get(op->in[0], hit(&r, j, class));
        if (each) ad__put(ad__out(op), j, loss);
        else sum += loss;
    }
    if (rc == AD_OK && !each) ad__put(ad__out(op), 0, sum / ((const kept *)ad_saved(op))->divisor);
    return rc;
}

static void nll_backward(const ad_op *op) {
    rows r = rows_of(op);
    const ad_var *w = weight_of(op, 2);
    void *gx = ad_grad_into(op, 0);
    for (int64_t j = 0; gx != NULL && j < r.rows; j++) {
        int64_t class = class_of(op, op->in[1], j, r.around.n, attrs_of(op)->ignored);
        if (class < 0) continue;
        double k = arrived(op, j) * (w ? ad__get(w, class) : 1);
        if (r.t == AD_F32) ((float *)gx)[hit(&r, j, class)] -= (float)k;
        else ((double *)gx)[hit(&r, j, class)] -= k;
    }
}

static void nll_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_neg(ad_mul(per_row(op, g), ad_class_targets(op->in[1], rows_of(op).around.n, opts_of(op))));
}
static void nll_samples(ad_sampler *s) {
    class_samples(s, -4, -0.1, 0);
    class_edge_samples(s);
}

AD_OPTYPE(nll,
          .doc = "minus log-probabilities [n,c,..] at class numbers [n,..], with class weights [c], a class to "
                 "ignore and a reduction; the mean is over the weights of the rows that count",
          .formula = "-w[class] log_probs[class]", .gradient = "-g w[class] at the class, 0 elsewhere",
          .special = "NaN for the mean of no rows, with gradient 0", .arity = -1, .no_grad = 6,
          .attr_size = sizeof(class_attrs), .attrs = ce_list + 1, .shape = nll_shape,
          .evaluate = { nll_evaluate, nll_evaluate }, .backward = { nll_backward, nll_backward },
          .vjp = nll_vjp);
ad_var *ad_nll(ad_var *log_probs, ad_var *classes, ad_ce_opts opts) {
    return apply_loss(&ad_op_nll, log_probs, classes, opts);
}

/* ---- class_targets: classes [n,..] -> what each class of each row weighs in the loss [n,c,..] -------------------- */

static int class_targets_shape(ad_call *c) {
    int64_t n = ((const class_attrs *)c->attrs)->n;
    ad_shape s = c->shape;
    if (c->n > 2) return ad_call_fail(c, AD_EVALUE, "%d operands given, at most 2 taken", c->n);
    if (n < 1) return ad_call_fail(c, AD_ESHAPE, "%lld classes; at least one is needed", (long long)n);
    if (s.ndim == AD_MAX_NDIM) return ad_call_fail(c, AD_ESHAPE, "no room for a dimension more than %d", AD_MAX_NDIM);
    int axis = s.ndim ? 1 : 0;
    for (int i = s.ndim++; i > axis; i--) s.dim[i] = s.dim[i - 1];
    s.dim[axis] = n;
    c->shape = s;
    c->scratch = (size_t)n * ad_dtype_size(c->dtype);
    int rc = check_attrs(c);
    return rc == AD_OK ? check_weight(c, 1, n) : rc;
}

static void scale_row(ad_dtype t, int64_t n, double k, void *q) {
    for (int64_t i = 0; i < n; i++)
        if (t == AD_F32) ((float *)q)[i] = (float)(k * (double)((float *)q)[i]);
        else ((double *)q)[i] *= k;
}

static int class_targets_evaluate(const ad_op *op) {
    const ad_var *classes = op->in[0], *w = weight_of(op, 1), *out = ad__out(op);
    ad_shape s = out->layout->shape;
    ad__around a = ad__around_axis(s, class_axis(s));
    ad_dtype t = out->layout->dtype;
    void *q = ad__owner(out)->scratch;
    double divisor;
    int rc = sum_of_weights(op, classes, w, a.n, &divisor);
    if (attrs_of(op)->reduction != AD_MEAN) divisor = 1;
    memset(out->data, 0, ad__bytes(out));
    for (int64_t j = 0; j < classes->layout->numel && rc == AD_OK; j++) {
        int64_t class = class_of(op, classes, j, a.n, attrs_of(op)->ignored);
        if (class < 0) continue;
        class_target(t, a.n, class, attrs_of(op)->smoothing, w, q);
        scale_row(t, a.n, 1 / divisor, q);
        size_t at = (size_t)(j / a.inner * a.n * a.inner + j % a.inner) * ad_dtype_size(t);
        ad__store_row(t, a.n, a.inner, q, (char *)out->data + at);
    }
    return rc;
}

static void class_targets_samples(ad_sampler *s) {
    const double classes[] = { 2, 0, -1, 1 }, w[] = { 0.5, 2, 1.5 }, *values[] = { classes, w };
    const ad_shape shapes[][2] = { { AD_SHAPE(4), AD_SHAPE(3) },
                                   { AD_SHAPE(2, 2), AD_SHAPE(3) },
                                   { AD_SCALAR, AD_SHAPE(3) },
                                   { AD_SHAPE(0), AD_SHAPE(3) } };
    for (int i = 0; i < 2 * AD__COUNT(shapes); i++)
        for (int reduction = AD_MEAN; reduction <= AD_NONE; reduction++)
            ad_sample_values(s, &(class_attrs){ i % 3 * 0.2, -1, reduction, 3 }, 1 + i % 2, shapes[i / 2], values, 0);
}

static const ad_attr targets_list[] = { { "label_smoothing", AD_ATTR_DOUBLE, offsetof(class_attrs, smoothing) },
                                        { "ignore_index", AD_ATTR_INT64, offsetof(class_attrs, ignored) },
                                        { "reduction", AD_ATTR_INT, offsetof(class_attrs, reduction) },
                                        { "n", AD_ATTR_INT64, offsetof(class_attrs, n) },
                                        { 0 } };

AD_OPTYPE(class_targets,
          .doc = "the targets of cross_entropy_classes: what each class of a row weighs in its loss, divided "
                 "as the reduction has it; 0 for rows that do not count",
          .formula = "w ((1 - smoothing) one_hot(classes) + smoothing / n)", .arity = -1, .flags = AD_OP_CONSTANT,
          .no_grad = 3, .attr_size = sizeof(class_attrs), .attrs = targets_list, .shape = class_targets_shape,
          .evaluate = { class_targets_evaluate, class_targets_evaluate });
ad_var *ad_class_targets(ad_var *classes, int64_t n, ad_ce_opts opts) {
    class_attrs a = attrs_from(opts);
    a.n = n;
    return ad_apply(&ad_op_class_targets, opts.weight ? 2 : 1, (ad_var *[]){ classes, opts.weight }, &a);
}
