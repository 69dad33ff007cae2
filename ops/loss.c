/* loss.c: running a loss's loops over arrays, with the reduction; its shape rule and samples. */
#include "ops/loss.h"

#include "ops/attrs.h"

/* Elements worked on at once: few enough to stay in the first-level cache. */
enum { CHUNK = 1024 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static ad_reduction reduction_of(const ad_op *op) {
    return (ad_reduction)((const ad__loss_attrs *)ad__attrs(op))->reduction;
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
    bool weighted = c->type == &ad_op_binary_cross_entropy_with_logits;
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
    for (int64_t i = 0; i < least(n, CHUNK); i++)
        if (t == AD_F32) ((float *)to)[i] = (float)value;
        else ((double *)to)[i] = value;
}

/* The weights of elements from .. from+n; buffer holds ones where there are none. */
typedef struct {
    const ad_var *given;
    ad__spread spread;
    double buffer[CHUNK];
} weights;

static void weights_open(const ad_op *op, weights *w) {
    w->given = op->n_in > 2 ? op->in[2] : NULL;
    if (w->given) w->spread = ad__spread_of(w->given->layout->shape, op->in[0]->layout->shape);
    else fill(op->in[0]->layout->dtype, 1, op->in[0]->layout->numel, w->buffer);
}

static const void *weights_at(weights *w, int64_t from, int64_t n) {
    if (w->given == NULL) return w->buffer;
    if (w->given->layout->dtype == AD_F32)
        return ad__gather_f32(&w->spread, from, n, w->given->data, (float *)(void *)w->buffer);
    return ad__gather_f64(&w->spread, from, n, w->given->data, w->buffer);
}

int ad__run_loss(const ad_op *op, ad__loss_value *value) {
    const ad_var *x = op->in[0], *target = op->in[1];
    ad_var *out = ad__out(op);
    double k = ((const ad__loss_attrs *)ad__attrs(op))->k, terms[CHUNK], sum = 0;
    bool whole = reduction_of(op) == AD_NONE, narrow = out->layout->dtype == AD_F32;
    size_t size = ad_dtype_size(out->layout->dtype);
    weights w;
    weights_open(op, &w);
    for (int64_t i = 0, n = x->layout->numel; i < n; i += CHUNK) {
        int64_t count = least(CHUNK, n - i);
        size_t at = (size_t)i * size;
        void *to = whole ? (char *)out->data + at : (void *)terms;
        value(count, k, (char *)x->data + at, (char *)target->data + at, weights_at(&w, i, count), to);
        if (!whole) sum += narrow ? ad__sum_f32(count, to) : ad__sum_f64(count, to);
    }
    if (whole) return AD_OK;
    ad__put(out, 0, sum / ad__loss_divisor(op));
    return AD_OK;
}

static void back_into(const ad_op *op, int operand, ad__loss_slope *slope) {
    const ad_var *x = op->in[0], *target = op->in[1], *out = ad__out(op);
    bool fresh;
    char *into = ad_grad_claim(op, operand, &fresh);
    if (into == NULL) return;
    double k = ((const ad__loss_attrs *)ad__attrs(op))->k, shared[CHUNK], zeros[CHUNK];
    bool whole = reduction_of(op) == AD_NONE;
    size_t size = ad_dtype_size(out->layout->dtype);
    weights w;
    weights_open(op, &w);
    if (!whole) fill(out->layout->dtype, ad_grad_at(out, 0) / ad__loss_divisor(op), x->layout->numel, shared);
    if (fresh) fill(out->layout->dtype, 0, x->layout->numel, zeros);
    for (int64_t i = 0, n = x->layout->numel; i < n; i += CHUNK) {
        int64_t count = least(CHUNK, n - i);
        size_t at = (size_t)i * size;
        slope(count, k, (char *)x->data + at, (char *)target->data + at, weights_at(&w, i, count),
              whole ? (char *)out->grad + at : (void *)shared, fresh ? (void *)zeros : into + at, into + at);
    }
}

void ad__run_loss_back(const ad_op *op, ad__loss_slope *slope_x, ad__loss_slope *slope_t) {
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
