/* loss.c: the driver that runs pointwise losses over arrays with a reduction; their shape rules and samples. */
#include "ops/loss/loss.h"

#include "ops/base/attrs.h"
#include "ops/base/loops.h"
#include "ops/base/samples.h"
#include "ops/kernels/base/broadcast.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"

const ad_attr ad__loss_list[] = { AD__REDUCTION_ATTR, { 0 } };

static const ad__loss_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }

/* ---- shapes --------------------------------------------------------------------------------------------- */

static int loss_shape(ad_call *c, int most_operands, ad_reduction last) {
    int reduction = ((const ad__loss_attrs *)c->attrs)->reduction;
    if (c->n < 2 || c->n > most_operands)
        return ad_call_fail(c, AD_EVALUE, "%d operands given; takes an input and a target", c->n);
    if (!ad_shape_equal(c->shape, c->in[1]->layout->shape))
        return ad_call_fail(c, AD_ESHAPE, "input and target must have one shape; reshape or ad_expand one");
    int rc = ad__check_reduction(c, reduction, last);
    if (reduction != AD_NONE) c->shape = AD_SCALAR;
    return rc;
}

int ad__loss_shape(ad_call *c) { return loss_shape(c, 2, AD_NONE); }

int ad__loss_shape_weighted(ad_call *c) {
    ad_shape x = c->shape, whole;
    int rc = loss_shape(c, 3, AD_NONE);
    if (rc != AD_OK || c->n < 3) return rc;
    if (ad__broadcast(c->in[2]->layout->shape, x, &whole) == 0 && ad_shape_equal(whole, x))
        return ad__check_no_gradient(c, 2, "weights of the positive class");
    return ad_call_fail(c, AD_ESHAPE, "the weights must broadcast to the input's shape");
}

int ad__loss_shape_batchmean(ad_call *c) {
    bool scalar = c->shape.ndim == 0;
    int rc = loss_shape(c, 2, AD_BATCHMEAN);
    if (rc != AD_OK || !scalar || ((const ad__loss_attrs *)c->attrs)->reduction != AD_BATCHMEAN) return rc;
    return ad_call_fail(c, AD_ESHAPE, "AD_BATCHMEAN divides by the first axis, and a scalar has none");
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

/* The mean of no elements is 0/0, a NaN, as in PyTorch. */
static double divisor_of(const ad_op *op) {
    const ad__layout *x = op->in[0]->layout;
    int reduction = attrs_of(op)->reduction;
    return reduction == AD_MEAN ? (double)x->numel : reduction == AD_BATCHMEAN ? (double)x->shape.dim[0] : 1;
}

ad_var *ad__loss_cotangent(const ad_op *op, ad_var *g) {
    double divisor = divisor_of(op);
    return divisor == 1 ? g : ad_muls(g, 1 / divisor);
}

/* Shared by all chunks of an Op's elements. The arrays of AD__CHUNK elements have the Op's dtype. */
typedef struct {
    const ad_op *op;
    const ad__loss *loss;
    ad_dtype t;
    size_t size; /* of an element, in bytes */
    double k;
    bool each;             /* no reduction */
    const ad_var *weights; /* NULL: ones */
    ad__broadcast_map map; /* of the weights */
    double ones[AD__CHUNK];
    /* for backward, for one operand: */
    ad__loop *const *slope;
    char *into;
    bool fresh; /* the gradient has no contribution yet, so slopes are added to zeros */
    double cotangents[AD__CHUNK], zeros[AD__CHUNK];
} job;

/* Fills one chunk, or fewer elements if the op has fewer. */
static void fill(const job *j, double value, double *to) {
    int64_t n = ad__lesser(j->op->in[0]->layout->numel, AD__CHUNK);
    AD__BY_DTYPE(j->t, ad__array_fill, n, value, (void *)to);
}

static void job_open(const ad_op *op, const ad__loss *loss, job *j) {
    const ad__layout *x = op->in[0]->layout;
    j->op = op, j->loss = loss, j->t = x->dtype, j->size = ad_dtype_size(x->dtype);
    j->k = attrs_of(op)->k, j->each = attrs_of(op)->reduction == AD_NONE;
    j->weights = op->n_in > 2 ? op->in[2] : NULL;
    if (j->weights) j->map = ad__broadcast_map_of(j->weights->layout->shape, x->shape);
    else fill(j, 1, j->ones);
}

/* The weights of elements from .. from+n, in place if contiguous, else copied to buffer. */
static const void *weights_at(const job *j, int64_t from, int64_t n, double *buffer) {
    if (j->weights == NULL) return j->ones;
    if (j->t == AD_F32) return ad__broadcast_read_f32(&j->map, from, n, j->weights->data, (void *)buffer);
    return ad__broadcast_read_f64(&j->map, from, n, j->weights->data, buffer);
}

/* The arguments of a loop over elements from .. from+n. */
static ad__arrays operands_at(const job *j, int64_t from, int64_t n, double *buffer) {
    size_t at = (size_t)from * j->size;
    return (ad__arrays){ .k = &j->k, .in = { (char *)j->op->in[0]->data + at, (char *)j->op->in[1]->data + at,
                                             weights_at(j, from, n, buffer) } };
}

/* Writes the losses of elements from .. to into the result, or returns their sum if they are reduced. */
static double values_of(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double terms[AD__CHUNK], buffer[AD__CHUNK], sum = 0;
    (void)worker;
    for (int64_t i = from; i < to; i += AD__CHUNK) {
        int64_t n = ad__lesser(AD__CHUNK, to - i);
        size_t at = (size_t)i * j->size;
        void *y = j->each ? (char *)ad__out(j->op)->data + at : (void *)terms;
        ad__arrays p = operands_at(j, i, n, buffer);
        p.y = y;
        ad__run_loops(j->loss->value[j->t], n, j->size, &p);
        if (!j->each) sum += AD__BY_DTYPE(j->t, ad__array_sum, n, y);
    }
    return sum;
}

int ad__run_loss(const ad_op *op, const ad__loss *loss) {
    int rc = loss->check ? loss->check(op) : AD_OK;
    if (rc != AD_OK) return rc;
    job j;
    job_open(op, loss, &j);
    double sum = ad__sum_terms(ad__op_team(op), op->in[0]->layout->numel, AD__GRAIN, 1, values_of, &j);
    if (!j.each) ad__put(ad__out(op), 0, sum / divisor_of(op));
    return AD_OK;
}

static void add_slopes(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    double buffer[AD__CHUNK];
    (void)worker;
    for (int64_t i = from; i < to; i += AD__CHUNK) {
        int64_t n = ad__lesser(AD__CHUNK, to - i);
        size_t at = (size_t)i * j->size;
        ad__arrays p = operands_at(j, i, n, buffer);
        p.g = j->each ? (const char *)ad__out(j->op)->grad + at : (const char *)j->cotangents;
        p.to = j->into + at, p.base = j->fresh ? (const char *)j->zeros : j->into + at;
        p.y = p.to; /* no slope of a loss reads y, but the loop moves along it */
        ad__run_loops(j->slope, n, j->size, &p);
    }
}

void ad__run_loss_back(const ad_op *op, const ad__loss *loss) {
    for (int i = 0; i < 2; i++) {
        bool fresh;
        char *into = ad_grad_claim(op, i, &fresh);
        if (into == NULL) continue;
        job j;
        job_open(op, loss, &j);
        j.slope = loss->slope[i][j.t], j.into = into, j.fresh = fresh;
        if (!j.each) fill(&j, ad_grad_at(ad__out(op), 0) / divisor_of(op), j.cotangents);
        if (fresh) fill(&j, 0, j.zeros);
        ad_parallel(ad__op_team(op), op->in[0]->layout->numel, 0, 1, add_slopes, &j);
    }
}

int ad__emit_loss(ad_emit *e, const ad_op *op, const char *value, const char *slope_x, const char *slope_t) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    const double divisor = divisor_of(op), k = attrs_of(op)->k;
    const bool each = attrs_of(op)->reduction == AD_NONE, weighted = op->n_in > 2;
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_loop l = { .kind = each ? AD_EMIT_SET : AD_EMIT_SUM, .dtype = x.dtype, .shape = x.shape,
                       .reduced = each ? 0 : (1u << x.shape.ndim) - 1, .names = "x t w k", .value = value,
                       .slope = { slope_x, slope_t }, .n = 2 + weighted, .in = { x, ad_emit_operand(e, op, 1) },
                       .n_parameters = 2 - weighted, .parameter = { weighted ? k : 1, k } };
    if (weighted) l.in[2] = ad_emit_operand(e, op, 2);
    ad_emit_array y = ad_emit_run(e, &l);
    if (divisor != 1)
        y = ad_emit_run(e, &(ad_emit_loop){ .dtype = y.dtype, .shape = y.shape, .names = "x n", .value = "x / n",
                                            .slope = { "g / n" }, .n = 1, .in = { y }, .n_parameters = 1,
                                            .parameter = { divisor } });
    ad_emit_result(e, op, y);
    return AD_OK;
}

/* ---- samples and application ------------------------------------------------------------------------------ */

enum { MOST_POINTS = 16 };

static void samples_with(ad_sampler *s, const ad__loss *loss, double k) {
    ad_shape shapes[5];
    AD__SHAPES(shapes, "() 5 2,3 0 2,1,3");
    const double lo[] = { loss->x_range[0], loss->t_range[0] }, hi[] = { loss->x_range[1], loss->t_range[1] };
    for (int i = 0; i < AD__COUNT(shapes); i++)
        for (int r = AD_MEAN; r <= AD_NONE; r++)
            ad_sample(s, &(ad__loss_attrs){ k, r }, 2, (ad_shape[]){ shapes[i], shapes[i] }, lo, hi);
}

static void points_with(ad_sampler *s, const ad__loss *loss, double k) {
    int n = (int)ad__lesser(loss->points.n, MOST_POINTS);
    double x[MOST_POINTS], t[MOST_POINTS];
    for (int i = 0; i < n; i++) x[i] = loss->points.at[i][0], t[i] = loss->points.at[i][1];
    const double *values[] = { x, t };
    ad_sample_values(s, &(ad__loss_attrs){ k, AD_NONE }, 2, (ad_shape[]){ AD_SHAPE(n), AD_SHAPE(n) }, values,
                     AD_SAMPLE_KINK);
}

void ad__loss_samples(ad_sampler *s, const ad__loss *loss) {
    int n = loss->parameters.n ? loss->parameters.n : 1;
    const double *k = loss->parameters.n ? loss->parameters.at : (const double[]){ 0 };
    for (int i = 0; i < n; i++) samples_with(s, loss, k[i]);
    for (int i = 0; i < n; i++) points_with(s, loss, k[i]);
    if (loss->more_samples) loss->more_samples(s);
}

ad_var *ad__apply_loss(const ad_optype *type, ad_var *x, ad_var *target, ad_var *w, double k, ad_reduction reduction) {
    return ad_apply(type, w ? 3 : 2, (ad_var *[]){ x, target, w }, &(ad__loss_attrs){ k, (int)reduction });
}
