/* cross_entropy.c: the mean cross-entropy of logits and class numbers, with log and softmax in one stable op. */
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/reduce/rows.h"
#include "ops/loss/class_rows.h"

#include <math.h>

/* Saved by evaluate, so that backward computes no exponential again: m and the sum of each row, then the exponentials
   e [n,c] = exp(logits - m). */
static size_t lse_bytes(int64_t rows) { return ((size_t)rows * sizeof(ad__lse) + 63) & ~(size_t)63; }
/* NULL if nothing is saved because the logits take no gradient. */
static char *exponentials_of(const ad_op *op) {
    char *saved = ad_saved(op);
    return saved ? saved + lse_bytes(op->in[0]->layout->shape.dim[0]) : NULL;
}

/* logits [n,c], classes [n] -> the mean of -log softmax(logits)[class] over rows */
static int cross_entropy_shape(ad_call *c) {
    ad_shape classes = c->in[1]->layout->shape;
    if (c->shape.ndim != 2 || classes.ndim != 1 || classes.dim[0] != c->shape.dim[0])
        return ad_call_fail(c, AD_ESHAPE, "takes logits [n,c] and class numbers [n]");
    if (c->shape.dim[1] == 0) return ad_call_fail(c, AD_ESHAPE, "no classes; c must be at least 1");
    if (c->graph->grad_enabled && ad__needs(c->in[0])) c->saved = lse_bytes(c->shape.dim[0]) + ad__bytes(c->in[0]);
    c->shape = AD_SCALAR;
    return AD_OK;
}

/* The sum of the losses of some rows. */
static double rows_loss(void *context, int worker, int64_t from, int64_t to) {
    const ad_op *op = context;
    const ad_var *x = op->in[0];
    ad_dtype t = x->layout->dtype;
    int64_t c = x->layout->shape.dim[1];
    size_t row = (size_t)c * ad_dtype_size(t);
    ad__lse *saved = ad_saved(op);
    char *e = exponentials_of(op);
    double sum = 0;
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        const void *scores = (const char *)x->data + (size_t)i * row;
        void *exponentials = e ? e + (size_t)i * row : NULL;
        ad__lse l = AD__BY_DTYPE(t, ad__lse_exp, c, scores, exponentials);
        if (saved) saved[i] = l;
        sum += (l.m - ad__get(x, i * c + (int64_t)ad__get(op->in[1], i))) + log(l.s);
    }
    return sum;
}

static int cross_entropy_evaluate(const ad_op *op) {
    enum { ROWS = 16 }; /* rows per term of the sum */
    int64_t n = op->in[0]->layout->shape.dim[0], c = op->in[0]->layout->shape.dim[1];
    int rc = ad__check_classes(op, op->in[1], c, NULL);
    if (rc != AD_OK) return rc;
    double sum = ad__sum_terms(ad__op_team(op), n, ROWS, 2 * c, rows_loss, (void *)op);
    ad__put(ad__out(op), 0, sum / (double)n);
    return AD_OK;
}

typedef struct {
    const ad_op *op;
    char *gx;
    bool fresh;
} gradient;

/* dlogits = g / n (softmax - one_hot) */
static void rows_backward(void *context, int worker, int64_t from, int64_t to) {
    const gradient *d = context;
    const ad_var *x = d->op->in[0];
    ad_dtype t = x->layout->dtype;
    int64_t n = x->layout->shape.dim[0], c = x->layout->shape.dim[1];
    size_t row = (size_t)c * ad_dtype_size(t);
    double k = ad_grad_at(ad__out(d->op), 0) / (double)n;
    const ad__lse *saved = ad_saved(d->op);
    const char *e = exponentials_of(d->op);
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        void *gx = d->gx + (size_t)i * row;
        const void *exponentials = e + (size_t)i * row;
        if (d->fresh) AD__BY_DTYPE(t, ad__scaled, c, k / saved[i].s, exponentials, gx);
        else AD__BY_DTYPE(t, ad__axpy, c, k / saved[i].s, exponentials, gx);
        ad__add_at(t, gx, (int64_t)ad__get(d->op->in[1], i), -k);
    }
}

static void cross_entropy_backward(const ad_op *op) {
    ad_shape s = op->in[0]->layout->shape;
    gradient d = { .op = op };
    d.gx = ad_grad_claim(op, 0, &d.fresh);
    if (d.gx != NULL) ad_parallel(ad__op_team(op), s.dim[0], 0, s.dim[1], rows_backward, &d);
}

static void cross_entropy_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad_shape s = op->in[0]->layout->shape;
    ad_var *k = ad_muls(g, 1 / (double)s.dim[0]), *hit = ad_one_hot(op->in[1], s.dim[1]);
    dx[0] = ad_sub(ad_mul(ad_softmax(op->in[0], 1), k), ad_where(hit, k, ad__constant(k, 0)));
}

/* Classes that evaluate refuses give NaN. */
AD_COLD static int cross_entropy_emit(ad_emit *e, const ad_op *op) {
    ad_emit_array x = ad_emit_operand(e, op, 0), t = ad_emit_operand(e, op, 1), m, s, hit;
    const unsigned row = 1u << 1;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    t = ad__emit_classes(e, t, x.shape, NULL);
    m = ad__emit_reduce(e, AD_EMIT_MAX, x.dtype, x, row, "x == x ? x : -INFINITY", NULL);
    m = ad__emit_map(e, x.dtype, m, "x == -INFINITY ? 0 : x", NULL);
    s = ad__emit_map2(e, x.dtype, x.shape, x, m, "exp(a - b)", "g * y", NULL);
    s = ad__emit_reduce(e, AD_EMIT_SUM, x.dtype, s, row, "x", "g");
    hit = ad_emit_run(e, &(ad_emit_loop){ .kind = AD_EMIT_SUM, .dtype = x.dtype, .shape = x.shape, .reduced = row,
                                          .names = "x m t j", .value = "t != t ? NAN : j == t ? m - x : 0",
                                          .slope = { "j == t ? -g : 0" }, .n = 4,
                                          .in = { x, m, t, ad_emit_index(e, x.dtype, x.shape, 1) } });
    hit = ad__emit_reduce2(e, x.dtype, s.shape, 1u << 0, hit, s, "a + log(b)", "g", "g / b");
    const double n = (double)x.shape.dim[0];
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = x.dtype, .shape = hit.shape, .names = "x n",
                                                          .value = "x / n", .slope = { "g / n" }, .n = 1,
                                                          .in = { hit }, .n_parameters = 1, .parameter = { n } }));
    return AD_OK;
}

static void cross_entropy_samples(ad_sampler *s) {
    const double logits[] = { 0.3, -1.2, 2, 0.1, 0.7, -0.4, 1.5, 1.5, 1.4, -2, 0, 0.25 };
    const double classes[] = { 2, 0, 1, 1 }, *values[] = { logits, classes };
    ad_shape shapes[3][2];
    AD__SHAPES(shapes, "4,3 4; 1,12 1; 2,6 2");
    for (int i = 0; i < AD__COUNT(shapes); i++) ad_sample_values(s, NULL, 2, shapes[i], values, 0);
    const double huge[] = { 1e4, -1e4, 0, -1e4, 1e4, 1e4 }, right[] = { 0, 0 }, *edges[] = { huge, right };
    ad_sample_values(s, NULL, 2, (ad_shape[]){ AD_SHAPE(2, 3), AD_SHAPE(2) }, edges, AD_SAMPLE_KINK);
    ad_sample_values(s, NULL, 2, (ad_shape[]){ AD_SHAPE(0, 3), AD_SHAPE(0) }, edges, AD_SAMPLE_KINK);
}

AD_OPTYPE(cross_entropy, .doc = "mean over rows of -log softmax(logits)[class]; classes are integers 0..c-1",
          .formula = "mean(logsumexp(logits) - logits[class])",
          .gradient = "g / n (softmax(logits) - one_hot(classes))", .arity = 2, .no_grad = AD_NO_GRAD(1),
          .shape = cross_entropy_shape, .evaluate = { cross_entropy_evaluate, cross_entropy_evaluate },
          .backward = { cross_entropy_backward, cross_entropy_backward }, .vjp = cross_entropy_vjp,
          .emit = cross_entropy_emit);

ad_var *ad_cross_entropy(ad_var *logits, ad_var *classes) {
    return ad__apply2(&ad_op_cross_entropy, logits, classes, NULL);
}
