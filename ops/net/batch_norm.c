/* batch_norm.c: batch normalisation (Ioffe and Szegedy 2015): normalises each channel with statistics of the batch or
   with running averages, then applies a weight and a bias. */
#include "autodiff/extend.h"
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/base/samples.h"
#include "ops/kernels/net/norm.h"
#include "ops/net/norm.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* ---- helpers: operands are x, the running averages (in evaluation mode only), then optional weight and bias ----- */

/* In training, the running averages are not operands: evaluate writes them, and the result does not depend on them. So
   a network may be applied to two batches before backward, which writes them twice. */
typedef struct {
    double eps, momentum;
    bool has_weight, has_bias;
    ad_var *running_mean, *running_var; /* for training; both or neither are NULL */
} norm_attrs;

static const norm_attrs *attrs_of(const ad_op *op) { return ad__attrs_of(op); }
static bool is_training(const ad_op *op) { return op->type == &ad_op_batch_norm_train; }
static int weight_index(const ad_op *op) { return attrs_of(op)->has_weight ? (is_training(op) ? 1 : 3) : -1; }
static int bias_index(const ad_op *op) { return attrs_of(op)->has_bias ? op->n_in - 1 : -1; }

/* The shape of x seen as [n,c,l]. */
static ad__channels channels_of(ad_shape s) {
    ad__around a = ad__around_axis(s, 1);
    return (ad__channels){ a.outer, a.n, a.inner, a.n * a.inner };
}

/* Saved for backward: the mean of each channel, and scale = 1 / sqrt(variance + eps); and how many elements a channel
   has in training, on all processes. */
typedef struct {
    double *mean, *scale, *count;
} moments;

static moments saved_of(const ad_op *op) {
    double *saved = ad_saved(op);
    int64_t c = op->in[0]->layout->shape.dim[1];
    return (moments){ saved, saved + c, saved + 2 * c };
}

/* Adds up over the processes that have parts of the batch: see ad_sum_over. */
static int add_up(const ad_op *op, int64_t n, double *values) {
    ad_graph *g = ad__owner(ad__out(op));
    return g->sum == NULL ? AD_OK : g->code == AD_OK ? g->sum(g, n, values, g->sum_data) : g->code;
}

/* Element j of an operand [c], or the default if operand is negative. */
static double channel(const ad_op *op, int operand, int64_t j, double default_value) {
    return operand < 0 ? default_value : ad__get(op->in[operand], j);
}

static int check_channels(ad_call *c, int first) {
    const norm_attrs *a = c->attrs;
    int rc = ad__check_norm_operands(c, first, a->has_weight, a->has_bias);
    if (rc != AD_OK) return rc;
    if (c->shape.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes x [n,c,..]");
    int64_t channels = c->shape.dim[1];
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->in[i]->layout->shape, AD_SHAPE(channels)))
            return ad_call_fail(c, AD_ESHAPE, "averages, weight and bias must be [%lld], one for each channel",
                                (long long)channels);
    c->saved = (2 * (size_t)channels + 1) * sizeof(double);
    c->scratch = (4 * (size_t)channels + 1) * sizeof(double); /* not NULL for no channels */
    return ad__check_eps(c, a->eps);
}

/* ---- both modes --------------------------------------------------------------------------------------------- */

/* A loop over channels, which threads share. Arrays of x's shape, and arrays [c]; those that a loop does not need are
   NULL. */
typedef struct {
    const ad_op *op;
    ad__channels s;
    ad_dtype t;
    const char *x, *g;
    char *to;
    bool fresh;
    const double *mean, *scale, *a, *b; /* a: the shift, in normalize_some */
    double *sum;
    bool by_samples; /* threads share the samples, not the channels */
} job;

static job job_of(const ad_op *op) {
    const ad_var *x = op->in[0];
    return (job){ .op = op, .s = channels_of(x->layout->shape), .t = x->layout->dtype, .x = x->data };
}

enum { LINE = 32 }; /* elements that one thread writes to, at least */

/* Sums over samples: threads share the channels. */
static void share_channels(job *j, ad_loop_fn *body) {
    ad__by_columns(j->op, j->s.c, j->s.l == 1 ? LINE : 1, j->s.n * j->s.l, body, j);
}

/* Loops that are the same for each sample: threads share those if there are enough. */
static void share(job *j, ad_loop_fn *body) {
    j->by_samples = j->s.l == 1 || j->s.n >= 2 * ad__team_size(ad__op_team(j->op));
    if (j->by_samples) ad__by_columns(j->op, j->s.n, 1, j->s.sample, body, j);
    else share_channels(j, body);
}

/* The samples or channels from .. to-1: the offset of their elements in bytes, and the first channel. */
static ad__channels some_of(const job *j, int64_t from, int64_t to, size_t *at, int64_t *channel) {
    size_t element = ad_dtype_size(j->t);
    *channel = j->by_samples ? 0 : from;
    *at = (size_t)(from * (j->by_samples ? j->s.sample : j->s.l)) * element;
    if (j->by_samples) return (ad__channels){ to - from, j->s.c, j->s.l, j->s.sample };
    return (ad__channels){ j->s.n, to - from, j->s.l, j->s.sample };
}

static void *behind(const char *array, size_t at) { return array ? (char *)array + at : NULL; }

static void normalize_some(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    size_t at;
    int64_t c;
    ad__channels s = some_of(j, from, to, &at, &c);
    (void)worker;
    void *x = behind(j->x, at), *y = behind(j->to, at);
    AD__BY_DTYPE(j->t, ad__channel_scale, s, j->mean + c, j->scale + c, j->a + c, x, y);
}

/* y = (x - mean) scale w + b */
static void normalize(const ad_op *op) {
    job j = job_of(op);
    moments m = saved_of(op);
    double *scale = ad_scratch(op), *shift = scale + j.s.c;
    for (int64_t i = 0; i < j.s.c; i++) {
        scale[i] = m.scale[i] * channel(op, weight_index(op), i, 1);
        shift[i] = channel(op, bias_index(op), i, 0);
    }
    j.to = ad__out(op)->data, j.mean = m.mean, j.scale = scale, j.a = shift;
    share(&j, normalize_some);
}

static void sum_channels(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    size_t at;
    int64_t c;
    ad__channels s = some_of(j, from, to, &at, &c);
    (void)worker;
    void *x = behind(j->x, at), *g = behind(j->g, at);
    memset(j->sum + c, 0, (size_t)s.c * sizeof *j->sum);
    if (j->mean == NULL) AD__BY_DTYPE(j->t, ad__channel_sums, s, g, j->sum + c);
    else AD__BY_DTYPE(j->t, ad__channel_products, s, j->mean + c, x, g, j->sum + c);
}

/* sum [c] = g summed over all axes but the channels. */
static void sums_of(const ad_op *op, const void *g, double *sum) {
    job j = job_of(op);
    j.g = g, j.sum = sum;
    share_channels(&j, sum_channels);
}

/* sum [c] = g (x - mean), or (x - mean)^2 if g is NULL, summed over all axes but the channels. */
static void products_of(const ad_op *op, const double *mean, const void *g, double *sum) {
    job j = job_of(op);
    j.g = g, j.mean = mean, j.sum = sum;
    share_channels(&j, sum_channels);
}

/* The loop runs over samples, so that the zeros of a new gradient stay in the cache. */
static void x_some(void *context, int worker, int64_t from, int64_t to) {
    const job *j = context;
    size_t at, element = ad_dtype_size(j->t), sample = (size_t)j->s.sample * element;
    int64_t c;
    ad__channels s = some_of(j, from, to, &at, &c);
    (void)worker;
    for (int64_t i = 0; i < s.n; i++, at += sample) {
        const void *x = j->x + at, *g = j->g + at;
        void *gx = j->to + at;
        if (j->fresh) memset(gx, 0, (size_t)(s.c * s.l) * element);
        if (is_training(j->op))
            AD__BY_DTYPE(j->t, ad__channel_back, s, j->mean + c, j->scale + c, j->a + c, j->b + c, x, g, gx);
        else AD__BY_DTYPE(j->t, ad__channel_scale_back, s, j->scale + c, g, gx);
    }
}

/* dx += scale (g - a - b (x - mean)), in evaluation mode dx += scale g. */
static void x_backward(const ad_op *op, const double *mean, const double *scale, const double *a, const double *b) {
    job j = job_of(op);
    j.to = ad_grad_claim(op, 0, &j.fresh);
    j.g = ad__out(op)->grad, j.mean = mean, j.scale = scale, j.a = a, j.b = b;
    if (j.to != NULL) share(&j, x_some);
}

/* db += sum g, dw += scale sum g (x - mean). In training, the mean and variance of the batch depend on x, so
   dx += scale w (g - sum g / n - (x - mean) scale^2 sum g (x - mean) / n); in evaluation mode dx += scale w g. */
static void batch_norm_backward(const ad_op *op) {
    const void *g = ad__out(op)->grad;
    ad__channels s = channels_of(op->in[0]->layout->shape);
    moments m = saved_of(op);
    double *a = ad_scratch(op), *b = a + s.c, *scale = b + s.c, *dw = scale + s.c;
    double each = is_training(op) ? 1 / *m.count : 0;
    sums_of(op, g, a);
    products_of(op, m.mean, g, b);
    int w = weight_index(op), bias = bias_index(op);
    if (bias > 0) ad__add_sums(op, bias, a);
    for (int64_t j = 0; j < s.c; j++) dw[j] = m.scale[j] * b[j];
    if (w > 0) ad__add_sums(op, w, dw); /* the sums of this process alone */
    if (is_training(op) && add_up(op, 2 * s.c, a) != AD_OK) return;
    for (int64_t j = 0; j < s.c; j++) {
        scale[j] = m.scale[j] * channel(op, w, j, 1);
        a[j] *= each;
        b[j] *= each * m.scale[j] * m.scale[j];
    }
    x_backward(op, m.mean, scale, a, b);
}

/* The mean [1,c,1] and the sum [c] of x [n,c,l] over all axes but the channels. */
static const int reduced_axes[] = { 0, 2 };
static ad_var *mean_of(ad_var *x) { return ad_mean_axes(x, 2, reduced_axes, true); }
static ad_var *sum_of(ad_var *x) { return ad_sum_axes(x, 2, reduced_axes, false); }

/* The same formulas in Vars in f64, with x as [n,c,l] and one number for each channel as [c,1]. */
static ad_var *column_of(const ad_op *op, int i) {
    return ad_reshape(ad__in_dtype(op->in[i], AD_F64), AD_SHAPE(op->in[i]->layout->numel, 1));
}

static void batch_norm_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    ad__channels s = channels_of(op->in[0]->layout->shape);
    ad_shape flat = AD_SHAPE(s.n, s.c, s.l);
    bool training = is_training(op);
    ad_dtype t = g->layout->dtype;
    if (training && *saved_of(op).count != (double)(s.n * s.l)) {
        ad_op_fail(op, AD_EGRAD, "its statistics are those of several processes: it has no derivative as a Var");
        return;
    }
    ad_var *x = ad_reshape(ad__in_dtype(op->in[0], AD_F64), flat);
    g = ad_reshape(ad__in_dtype(g, AD_F64), flat);
    ad_var *d = ad_sub(x, training ? mean_of(x) : column_of(op, 1));
    ad_var *variance = training ? mean_of(ad_square(d)) : column_of(op, 2);
    double eps = attrs_of(op)->eps;
    ad_var *scale = training ? ad__norm_scale_rule(variance, eps) : ad_rsqrt(ad_adds(variance, eps));
    ad_var *normal = ad_mul(d, scale);
    int w = weight_index(op), b = bias_index(op);
    if (w > 0 && ad_vjp_wants(op, w)) dx[w] = ad__in_dtype(sum_of(ad_mul(g, normal)), t);
    if (b > 0 && ad_vjp_wants(op, b)) dx[b] = ad__in_dtype(sum_of(g), t);
    if (!ad_vjp_wants(op, 0)) return;
    ad_var *across = g;
    if (training) across = ad_sub(ad_sub(g, mean_of(g)), ad_mul(normal, mean_of(ad_mul(g, normal))));
    if (w > 0) scale = ad_mul(scale, column_of(op, w));
    dx[0] = ad__in_dtype(ad_reshape(ad_mul(across, scale), op->in[0]->layout->shape), t);
}

/* An operand [c] along axis 1 of x; without one, an array of one number. */
static ad_emit_array emit_channels(ad_emit *e, const ad_op *op, int operand, double none) {
    if (operand >= 0) return ad__emit_along(ad_emit_operand(e, op, operand), 1, op->in[0]->layout->shape.ndim);
    ad_emit_array k = ad_emit_new(e, AD_F64, AD_SCALAR);
    ad__emit_fill(e, k, none);
    return k;
}

static const ad_attr eval_list[] = { { "eps", AD_ATTR_DOUBLE, offsetof(norm_attrs, eps) },
                                     { "has_weight", AD_ATTR_BOOL, offsetof(norm_attrs, has_weight) },
                                     { "has_bias", AD_ATTR_BOOL, offsetof(norm_attrs, has_bias) },
                                     { 0 } };
static const ad_attr train_list[] = { { "eps", AD_ATTR_DOUBLE, offsetof(norm_attrs, eps) },
                                      { "momentum", AD_ATTR_DOUBLE, offsetof(norm_attrs, momentum) },
                                      { "has_weight", AD_ATTR_BOOL, offsetof(norm_attrs, has_weight) },
                                      { "has_bias", AD_ATTR_BOOL, offsetof(norm_attrs, has_bias) },
                                      { 0 } };

static norm_attrs attrs_from(ad_batch_norm_opts o, const ad_var *weight, const ad_var *bias) {
    return (norm_attrs){ .eps = ad_option(o.eps, 1e-5),
                         .momentum = ad_option(o.momentum, 0.1),
                         .has_weight = weight != NULL,
                         .has_bias = bias != NULL };
}

static const ad_shape sample_shapes[] = {
    { 2, { 4, 3 } }, { 3, { 2, 3, 2 } }, { 4, { 2, 2, 2, 3 } }, { 3, { 1, 1, 19 } }, { 2, { 3, 0 } }
};

/* ---- batch_norm_train ------------------------------------------------------------------------------------------ */

static int check_running(const ad_call *c, const ad_var *v) {
    if (ad__absent(v) || ad__owner(v) != c->graph || v->creator != NULL || v->flags & AD__BORROWED)
        return ad_call_fail(c, AD_EVALUE,
                            "running averages must be leaves of this graph, not made by ad_input; use ad_zeros");
    if (v->layout->dtype != c->dtype || !ad_shape_equal(v->layout->shape, AD_SHAPE(c->shape.dim[1])))
        return ad_call_fail(c, AD_ESHAPE, "running averages must be %s [%lld], one for each channel",
                            ad_dtype_name(c->dtype), (long long)c->shape.dim[1]);
    return AD_OK;
}

static int batch_norm_train_shape(ad_call *c) {
    const norm_attrs *a = c->attrs;
    int rc = check_channels(c, 1);
    if (rc != AD_OK) return rc;
    ad__channels s = channels_of(c->shape);
    if (s.c > 0 && s.n * s.l < 2 && c->graph->sum == NULL)
        return ad_call_fail(c, AD_ESHAPE, "needs more than one element in each channel, for the variance");
    if (!(a->momentum >= 0 && a->momentum <= 1))
        return ad_call_fail(c, AD_EVALUE, "momentum %g is not in 0..1", a->momentum);
    if (!a->running_mean != !a->running_var)
        return ad_call_fail(c, AD_EVALUE, "one running average is given without the other");
    if (a->running_mean == NULL) return AD_OK;
    rc = check_running(c, a->running_mean);
    return rc == AD_OK ? check_running(c, a->running_var) : rc;
}

/* running = (1 - momentum) running + momentum batch. It counts as a change of the leaf, so that results computed from
   the old value are stale. */
static void update_running(ad_var *running, const double *batch, double momentum, int64_t n) {
    if (running == NULL || ad_recomputing(ad__owner(running))) return;
    for (int64_t j = 0; j < n; j++) ad__put(running, j, (1 - momentum) * ad__get(running, j) + momentum * batch[j]);
    ad__leaf_changed(running);
}

/* Sets m.count; the sums in m.mean become those of all processes. */
static int count_elements(const ad_op *op, ad__channels s, moments m) {
    double *sums = ad_scratch(op);
    *m.count = (double)(s.n * s.l);
    if (ad__owner(ad__out(op))->sum == NULL) return AD_OK;
    if (s.c > 0) memcpy(sums, m.mean, (size_t)s.c * sizeof *sums);
    sums[s.c] = *m.count;
    int rc = add_up(op, s.c + 1, sums);
    if (rc != AD_OK) return rc;
    if (s.c > 0) memcpy(m.mean, sums, (size_t)s.c * sizeof *sums);
    *m.count = sums[s.c];
    return sums[s.c] >= 2 ? AD_OK : ad_op_fail(op, AD_ESHAPE, "needs more than one element in each channel");
}

static int batch_norm_train_evaluate(const ad_op *op) {
    const norm_attrs *a = attrs_of(op);
    const ad_var *x = op->in[0];
    ad__channels s = channels_of(x->layout->shape);
    moments m = saved_of(op);
    double n, *unbiased = ad_scratch(op);
    sums_of(op, x->data, m.mean);
    int rc = count_elements(op, s, m);
    if (rc != AD_OK) return rc;
    n = *m.count;
    for (int64_t j = 0; j < s.c; j++) m.mean[j] /= n;
    products_of(op, m.mean, NULL, unbiased);
    if ((rc = add_up(op, s.c, unbiased)) != AD_OK) return rc;
    for (int64_t j = 0; j < s.c; j++) m.scale[j] = ad__norm_scale(unbiased[j] / n, a->eps);
    for (int64_t j = 0; j < s.c; j++) unbiased[j] /= n - 1;
    update_running(a->running_mean, m.mean, a->momentum, s.c);
    update_running(a->running_var, unbiased, a->momentum, s.c);
    normalize(op);
    return AD_OK;
}

/* There is no form with running averages, which a program would not move, and for parts of a batch. */
AD_COLD static int batch_norm_train_emit(ad_emit *e, const ad_op *op) {
    const ad_emit_array x = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0 || attrs_of(op)->running_mean) return AD_EABSENT;
    if (ad__owner(ad__out(op))->sum) return AD_EABSENT;
    const unsigned all = (1u << x.shape.ndim) - 1, channels = 1u << 1;
    ad_emit_array normal = ad__emit_normal(e, x, all & ~channels, attrs_of(op)->eps);
    ad_emit_array y = ad_emit_new(e, x.dtype, x.shape);
    ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = x.shape, .names = "z w b", .value = "z * w + b",
                                    .slope = { "g * w", "g * z", "g" }, .n = 3,
                                    .in = { normal, emit_channels(e, op, weight_index(op), 1),
                                            emit_channels(e, op, bias_index(op), 0) },
                                    .into = &y });
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void batch_norm_train_samples(ad_sampler *s) {
    const double lo[] = { -2, 0.5, -1 }, hi[] = { 2, 2, 1 };
    for (int i = 0; i < AD__COUNT(sample_shapes); i++)
        for (int k = 0; k < 4; k++) {
            norm_attrs a = { .eps = i % 2 ? 1e-5 : 0.1, .momentum = 0.1, .has_weight = k & 1, .has_bias = k & 2 };
            ad_shape channel_shape = AD_SHAPE(sample_shapes[i].dim[1]);
            ad_sample(s, &a, 1 + a.has_weight + a.has_bias,
                      (ad_shape[]){ sample_shapes[i], channel_shape, channel_shape }, lo, hi);
        }
}

AD_OPTYPE(
    batch_norm_train,
    .differs = "an infinite weight gives infinities; PyTorch has NaN. Elements whose squares overflow give NaN; "
               "PyTorch has 0",
    .doc = "batch_norm in training: normalises each channel of x [n,c,..] with its mean and variance over the batch. "
           "Each evaluation updates the running averages, which are not operands",
    .formula = "(x - mean) scale w + b, scale = 1 / sqrt(variance + eps)",
    .gradient = "with z = (x - mean) scale: scale w (g - mean g - z mean(g z)); g z; g, the last two summed over all "
                "axes but the channels",
    .arity = -1, .flags = AD_OP_STATE, .attr_size = sizeof(norm_attrs), .attrs = train_list,
    .shape = batch_norm_train_shape, .evaluate = { batch_norm_train_evaluate, batch_norm_train_evaluate },
    .backward = { batch_norm_backward, batch_norm_backward }, .vjp = batch_norm_vjp,
    .emit = batch_norm_train_emit);
ad_var *ad_batch_norm_train(ad_var *x, ad_var *running_mean, ad_var *running_var, ad_var *weight, ad_var *bias,
                            ad_batch_norm_opts opts) {
    norm_attrs a = attrs_from(opts, weight, bias);
    a.running_mean = running_mean, a.running_var = running_var;
    return ad_apply(&ad_op_batch_norm_train, 1 + a.has_weight + a.has_bias,
                    (ad_var *[]){ x, weight ? weight : bias, bias }, &a);
}

/* ---- batch_norm_eval ------------------------------------------------------------------------------------------- */

static int batch_norm_eval_shape(ad_call *c) {
    int rc = check_channels(c, 3);
    for (int i = 1; i < 3 && rc == AD_OK; i++) rc = ad__check_no_gradient(c, i, "running averages");
    return rc;
}

static int batch_norm_eval_evaluate(const ad_op *op) {
    moments m = saved_of(op);
    for (int64_t j = 0; j < op->in[0]->layout->shape.dim[1]; j++) {
        m.mean[j] = ad__get(op->in[1], j);
        m.scale[j] = 1 / sqrt(ad__get(op->in[2], j) + attrs_of(op)->eps);
    }
    normalize(op);
    return AD_OK;
}

AD_COLD static int batch_norm_eval_emit(ad_emit *e, const ad_op *op) {
    const ad_emit_array x = ad_emit_operand(e, op, 0);
    if (op->in[0]->layout->numel == 0) return AD_EABSENT;
    ad_emit_array variance = emit_channels(e, op, 2, 0), scale, y = ad_emit_new(e, x.dtype, x.shape);
    scale = ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = variance.shape, .names = "v w e",
                                            .value = "1 / sqrt(v + e) * w", .slope = { NULL, "g / sqrt(v + e)" },
                                            .n = 2, .in = { variance, emit_channels(e, op, weight_index(op), 1) },
                                            .n_parameters = 1, .parameter = { attrs_of(op)->eps } });
    ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = x.shape, .names = "x s b m", .value = "(x - m) * s + b",
                                    .slope = { "g * s", "g * (x - m)", "g" }, .n = 4,
                                    .in = { x, scale, emit_channels(e, op, bias_index(op), 0),
                                            emit_channels(e, op, 1, 0) },
                                    .into = &y });
    ad_emit_result(e, op, y);
    return AD_OK;
}

static void batch_norm_eval_samples(ad_sampler *s) {
    const double lo[] = { -2, -1, 0.2, 0.5, -1 }, hi[] = { 2, 1, 2, 2, 1 };
    for (int i = 0; i < AD__COUNT(sample_shapes); i++)
        for (int k = 0; k < 4; k++) {
            norm_attrs a = { .eps = i % 2 ? 1e-5 : 0.1, .has_weight = k & 1, .has_bias = k & 2 };
            ad_shape c = AD_SHAPE(sample_shapes[i].dim[1]);
            ad_sample(s, &a, 3 + a.has_weight + a.has_bias, (ad_shape[]){ sample_shapes[i], c, c, c, c }, lo, hi);
        }
    norm_attrs a = { .eps = 1e-5 };
    ad__sample_text(s, &a, 3, "0,2 2 2", lo, hi);
}

AD_OPTYPE(batch_norm_eval, .differs = "an infinite weight gives infinities; PyTorch has NaN",
          .doc = "batch_norm in evaluation mode: normalises each channel of x [n,c,..] with the running averages [c]",
          .formula = "(x - running_mean) scale w + b, scale = 1 / sqrt(running_var + eps)",
          .gradient = "g scale w; g (x - running_mean) scale; g, the last two summed over all axes but the channels",
          .arity = -1, .no_grad = AD_NO_GRAD(1) | AD_NO_GRAD(2), .attr_size = sizeof(norm_attrs), .attrs = eval_list,
          .shape = batch_norm_eval_shape, .evaluate = { batch_norm_eval_evaluate, batch_norm_eval_evaluate },
          .backward = { batch_norm_backward, batch_norm_backward }, .vjp = batch_norm_vjp,
          .emit = batch_norm_eval_emit);
ad_var *ad_batch_norm_eval(ad_var *x, ad_var *running_mean, ad_var *running_var, ad_var *weight, ad_var *bias,
                           ad_batch_norm_opts opts) {
    norm_attrs a = attrs_from(opts, weight, bias);
    return ad_apply(&ad_op_batch_norm_eval, 3 + a.has_weight + a.has_bias,
                    (ad_var *[]){ x, running_mean, running_var, weight ? weight : bias, bias }, &a);
}

ad_var *ad_batch_norm(ad_var *x, ad_var *running_mean, ad_var *running_var, ad_var *weight, ad_var *bias,
                      ad_batch_norm_opts opts) {
    if (opts.training) return ad_batch_norm_train(x, running_mean, running_var, weight, bias, opts);
    return ad_batch_norm_eval(x, running_mean, running_var, weight, bias, opts);
}
