/* loss.c: running a loss's loops over arrays, with the reduction; its shape rule and samples. */
#include "ops/loss/loss.h"

#include "ops/base/attrs.h"
#include "ops/kernels/linalg/square.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/sum.h"

/* Elements worked on at once: few enough to stay in the first-level cache. */
enum { CHUNK = 1024 };

static ad_reduction reduction_of(const ad_op *op) {
    return (ad_reduction)((const ad__loss_attrs *)ad__attrs_of(op))->reduction;
}

/* ---- shapes --------------------------------------------------------------------------------------------- */

static int check_weight(const ad_call *c) {
    ad_shape whole;
    if (!ad__broadcast(c->in[2]->layout->shape, c->in[0]->layout->shape, &whole) &&
        ad_shape_equal(whole, c->in[0]->layout->shape))
        return AD_OK;
    return ad_call_fail(c, AD_ESHAPE, "the weights do not broadcast to the input's shape");
}

int ad__loss_shape(ad_call *c) {
    int reduction = ((const ad__loss_attrs *)c->attrs)->reduction;
    bool weighted = c->type == &ad_op_bce_logits;
    int last = c->type == &ad_op_kl_div ? AD_BATCHMEAN : AD_NONE;
    if (c->n != 2 && !(weighted && c->n == 3))
        return ad_call_fail(c, AD_EVALUE, "%d operands given; takes an input and a target", c->n);
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape))
        return ad_call_fail(c, AD_ESHAPE, "input and target must have one shape; reshape or ad_expand one");
    if (reduction < AD_MEAN || reduction > last)
        return ad_call_fail(c, AD_EVALUE, "%d is no reduction of this loss; AD_MEAN, AD_SUM and AD_NONE are",
                            reduction);
    if (reduction == AD_BATCHMEAN && c->shape.ndim == 0)
        return ad_call_fail(c, AD_ESHAPE, "AD_BATCHMEAN divides by the first axis, and a scalar has none");
    int rc = c->n == 3 ? check_weight(c) : AD_OK;
    if (reduction != AD_NONE) c->shape = AD_SCALAR;
    return rc;
}

static int check_parameter(const ad_call *c, bool zero_too) {
    double k = ((const ad__loss_attrs *)c->attrs)->k;
    if ((k > 0 || (zero_too && k == 0)) && k - k == 0) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "%s %g is not a number %s 0", c->type->attrs[1].name, k, zero_too ? ">=" : ">");
}

int ad__loss_shape_positive(ad_call *c) {
    int rc = check_parameter(c, false);
    return rc == AD_OK ? ad__loss_shape(c) : rc;
}

int ad__loss_shape_not_negative(ad_call *c) {
    int rc = check_parameter(c, true);
    return rc == AD_OK ? ad__loss_shape(c) : rc;
}

/* ---- running --------------------------------------------------------------------------------------------- */

/* Of no elements the mean is 0/0, a NaN, as PyTorch has it. */
double ad__loss_divisor(const ad_op *op) {
    const ad__layout *x = op->in[0]->layout;
    ad_reduction r = reduction_of(op);
    return r == AD_MEAN ? (double)x->numel : r == AD_BATCHMEAN ? (double)x->shape.dim[0] : 1;
}

ad_var *ad__loss_cotangent(const ad_op *op, ad_var *g) {
    double divisor = ad__loss_divisor(op);
    return divisor == 1 ? g : ad_muls(g, 1 / divisor);
}

/* As many as a chunk of n elements has. */
static void fill(ad_dtype t, double value, int64_t n, void *to) {
    if (t == AD_F32) ad__fill_f32(ad__min(n, CHUNK), (float)value, to);
    else ad__fill_f64(ad__min(n, CHUNK), value, to);
}

/* An Op's loops: what is one and the same for all chunks, and the weights' place, if there are any. */
typedef struct {
    const ad_op *op;
    double k;
    bool whole; /* no reduction */
    bool fresh; /* nothing arrived at the gradient yet */
    size_t size;
    const ad_var *given;
    ad__broadcast_map spread;
    ad__loss_value *const *value;
    ad__loss_slope *const *slope;
    char *into;
    double ones[CHUNK], cotangents[CHUNK], zeros[CHUNK];
} job;

static void job_open(const ad_op *op, job *j) {
    const ad__layout *l = op->in[0]->layout;
    j->op = op, j->k = ((const ad__loss_attrs *)ad__attrs_of(op))->k, j->whole = reduction_of(op) == AD_NONE;
    j->size = ad_dtype_size(l->dtype);
    j->given = op->n_in > 2 ? op->in[2] : NULL;
    if (j->given) j->spread = ad__broadcast_map_of(j->given->layout->shape, l->shape);
    else fill(l->dtype, 1, l->numel, j->ones);
}

/* The weights of elements from .. from+n. */
static const void *weights_at(const job *j, int64_t from, int64_t n, double *buffer) {
    if (j->given == NULL) return j->ones;
    if (j->given->layout->dtype == AD_F32)
        return ad__broadcast_read_f32(&j->spread, from, n, j->given->data, (float *)(void *)buffer);
    return ad__broadcast_read_f64(&j->spread, from, n, j->given->data, buffer);
}

/* Elements' losses, into the result or, if they are to be reduced, their sum. */
static double values_of(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double terms[CHUNK], buffer[CHUNK], sum = 0;
    (void)worker;
    for (int64_t i = from; i < to; i += CHUNK) {
        int64_t n = ad__min(CHUNK, to - i);
        size_t at = (size_t)i * j->size;
        void *y = j->whole ? (char *)ad__out(j->op)->data + at : (void *)terms;
        const void *w = weights_at(j, i, n, buffer);
        AD__RUN(j->value, n, j->size, j->k, (char *)j->op->in[0]->data + at, (char *)j->op->in[1]->data + at, w, y);
        if (!j->whole) sum += j->size == sizeof(float) ? ad__array_sum_f32(n, y) : ad__array_sum_f64(n, y);
    }
    return sum;
}

int ad__run_loss(const ad_op *op, ad__loss_value *const value[]) {
    job j;
    job_open(op, &j);
    j.value = value;
    double sum = ad__sum_terms(ad__op_team(op), op->in[0]->layout->numel, AD__GRAIN, 1, values_of, &j);
    if (!j.whole) ad__put(ad__out(op), 0, sum / ad__loss_divisor(op));
    return AD_OK;
}

static void slopes_slab(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double buffer[CHUNK];
    (void)worker;
    for (int64_t i = from; i < to; i += CHUNK) {
        int64_t n = ad__min(CHUNK, to - i);
        size_t at = (size_t)i * j->size;
        const void *w = weights_at(j, i, n, buffer);
        const void *g = j->whole ? (const char *)ad__out(j->op)->grad + at : (const char *)j->cotangents;
        AD__RUN(j->slope, n, j->size, j->k, (char *)j->op->in[0]->data + at, (char *)j->op->in[1]->data + at, w, g,
                j->fresh ? (const char *)j->zeros : j->into + at, j->into + at);
    }
}

static void back_into(const ad_op *op, int operand, ad__loss_slope *const slope[]) {
    const ad__layout *x = op->in[0]->layout;
    bool fresh;
    char *into = ad_grad_claim(op, operand, &fresh);
    if (into == NULL) return;
    job j;
    job_open(op, &j);
    j.slope = slope, j.into = into, j.fresh = fresh;
    if (!j.whole) fill(x->dtype, ad_grad_at(ad__out(op), 0) / ad__loss_divisor(op), x->numel, j.cotangents);
    if (fresh) fill(x->dtype, 0, x->numel, j.zeros);
    ad_parallel(ad__op_team(op), x->numel, 0, 1, slopes_slab, &j);
}

void ad__run_loss_back(const ad_op *op, ad__loss_slope *const slope_x[], ad__loss_slope *const slope_t[]) {
    back_into(op, 0, slope_x);
    back_into(op, 1, slope_t);
}

/* ---- samples and application ------------------------------------------------------------------------------ */

void ad__loss_samples(ad_sampler *s, int n_values, const double *values, const double *ranges, int n_edges,
                      const double *edges) {
    const ad_shape shapes[] = { AD_SCALAR, AD_SHAPE(5), AD_SHAPE(2, 3), AD_SHAPE(0), AD_SHAPE(2, 1, 3) };
    const double lo[] = { ranges[0], ranges[2] }, hi[] = { ranges[1], ranges[3] };
    for (int v = 0; v < n_values; v++)
        for (int i = 0; i < AD__COUNT(shapes); i++)
            for (int r = AD_MEAN; r <= AD_NONE; r++)
                ad_sample(s, &(ad__loss_attrs){ values[v], r }, 2, (ad_shape[]){ shapes[i], shapes[i] }, lo, hi);
    double x[16], t[16];
    for (int i = 0; i < n_edges && i < 16; i++) x[i] = edges[2 * i], t[i] = edges[2 * i + 1];
    const double *at_edges[] = { x, t };
    ad_shape shape = AD_SHAPE(n_edges < 16 ? n_edges : 16);
    for (int v = 0; v < n_values; v++)
        ad_sample_values(s, &(ad__loss_attrs){ values[v], AD_NONE }, 2, (ad_shape[]){ shape, shape }, at_edges,
                         AD_SAMPLE_KINK);
}

ad_var *ad__apply_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_var *w, double k, ad_reduction reduction) {
    return ad_apply(type, w ? 3 : 2, (ad_var *[]){ x, target, w }, &(ad__loss_attrs){ k, (int)reduction });
}
