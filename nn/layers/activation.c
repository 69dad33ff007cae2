/* activation.c: activations as modules: functions of x, with constants, and with learnt parameters. */
#include <math.h>

#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- functions of x alone ------------------------------------------------------------------------- */

typedef struct {
    nn_activation *f;
} function;

static ad_var *function_forward(nn_module *m, ad_var *x) {
    const function *s = nn_self(m);
    return s->f(x);
}

static nn_module *activation(ad_graph *g, const char *kind, nn_activation *f) {
    nn_module *m = nn_module_new(g, kind, function_forward, sizeof(function));
    if (m != NULL) *(function *)nn_self(m) = (function){ f };
    return m;
}

nn_module *nn_function(ad_graph *g, nn_activation *f) {
    if (f == NULL) return ad_fail(g, AD_EVALUE, "function: no function given; ad_tanh is one"), NULL;
    return activation(g, "function", f);
}

static ad_var *itself(ad_var *x) { return x; }

nn_module *nn_identity(ad_graph *g) { return activation(g, "identity", itself); }
nn_module *nn_relu(ad_graph *g) { return activation(g, "relu", ad_relu); }
nn_module *nn_tanh(ad_graph *g) { return activation(g, "tanh", ad_tanh); }
nn_module *nn_sigmoid(ad_graph *g) { return activation(g, "sigmoid", ad_sigmoid); }
nn_module *nn_selu(ad_graph *g) { return activation(g, "selu", ad_selu); }
nn_module *nn_gelu(ad_graph *g) { return activation(g, "gelu", ad_gelu); }
nn_module *nn_gelu_tanh(ad_graph *g) { return activation(g, "gelu_tanh", ad_gelu_tanh); }
nn_module *nn_silu(ad_graph *g) { return activation(g, "silu", ad_silu); }
nn_module *nn_mish(ad_graph *g) { return activation(g, "mish", ad_mish); }
nn_module *nn_softsign(ad_graph *g) { return activation(g, "softsign", ad_softsign); }
nn_module *nn_hardsigmoid(ad_graph *g) { return activation(g, "hardsigmoid", ad_hardsigmoid); }
nn_module *nn_hardswish(ad_graph *g) { return activation(g, "hardswish", ad_hardswish); }
nn_module *nn_logsigmoid(ad_graph *g) { return activation(g, "logsigmoid", ad_logsigmoid); }
nn_module *nn_softplus(ad_graph *g) { return activation(g, "softplus", ad_softplus); }
nn_module *nn_relu6(ad_graph *g) { return activation(g, "relu6", ad_relu6); }
nn_module *nn_tanhshrink(ad_graph *g) { return activation(g, "tanhshrink", ad_tanhshrink); }
nn_module *nn_noisy_relu(ad_graph *g) { return activation(g, "noisy_relu", ad_noisy_relu); }

/* ---- with constants ---------------------------------------------------------------------------------- */

typedef struct {
    double a, b;
} constants;

static ad_var *leaky_relu_forward(nn_module *m, ad_var *x) { return ad_leaky_relu(x, ((constants *)nn_self(m))->a); }
static ad_var *elu_forward(nn_module *m, ad_var *x) { return ad_elu(x, ((constants *)nn_self(m))->a); }
static ad_var *celu_forward(nn_module *m, ad_var *x) { return ad_celu(x, ((constants *)nn_self(m))->a); }
static ad_var *hardshrink_forward(nn_module *m, ad_var *x) { return ad_hardshrink(x, ((constants *)nn_self(m))->a); }
static ad_var *softshrink_forward(nn_module *m, ad_var *x) { return ad_softshrink(x, ((constants *)nn_self(m))->a); }
static ad_var *threshold_forward(nn_module *m, ad_var *x) {
    const constants *k = nn_self(m);
    return ad_threshold(x, k->a, k->b);
}
static ad_var *hardtanh_forward(nn_module *m, ad_var *x) {
    const constants *k = nn_self(m);
    return ad_hardtanh(x, k->a, k->b);
}
static ad_var *softplus_forward(nn_module *m, ad_var *x) {
    const constants *k = nn_self(m);
    return ad_softplus_with(x, k->a, k->b);
}
static ad_var *rrelu_forward(nn_module *m, ad_var *x) {
    const constants *k = nn_self(m);
    return ad_rrelu(x, k->a, k->b, nn_training(m));
}
static nn_module *with_constants(ad_graph *g, const char *kind, nn_forward_fn *forward, double a, double b) {
    nn_module *m = nn_module_new(g, kind, forward, sizeof(constants));
    if (m != NULL) *(constants *)nn_self(m) = (constants){ a, b };
    return m;
}
static nn_module *with_constant(ad_graph *g, const char *kind, nn_forward_fn *forward, double a) {
    return with_constants(g, kind, forward, a, a);
}

nn_module *nn_leaky_relu(ad_graph *g, double slope) {
    return with_constant(g, "leaky_relu", leaky_relu_forward, slope);
}
nn_module *nn_elu(ad_graph *g, double alpha) { return with_constant(g, "elu", elu_forward, alpha); }
nn_module *nn_celu(ad_graph *g, double alpha) { return with_constant(g, "celu", celu_forward, alpha); }
nn_module *nn_hardshrink(ad_graph *g, double lambda) {
    return with_constant(g, "hardshrink", hardshrink_forward, lambda);
}
nn_module *nn_softshrink(ad_graph *g, double lambda) {
    return with_constant(g, "softshrink", softshrink_forward, lambda);
}
nn_module *nn_threshold(ad_graph *g, double threshold, double value) {
    return with_constants(g, "threshold", threshold_forward, threshold, value);
}
nn_module *nn_hardtanh(ad_graph *g, double lo, double hi) {
    return with_constants(g, "hardtanh", hardtanh_forward, lo, hi);
}
nn_module *nn_softplus_with(ad_graph *g, double beta, double threshold) {
    return with_constants(g, "softplus", softplus_forward, beta, threshold);
}
nn_module *nn_rrelu(ad_graph *g, double lower, double upper) {
    return with_constants(g, "rrelu", rrelu_forward, lower, upper);
}

/* ---- along an axis ------------------------------------------------------------------------------------- */

static ad_var *softmax_forward(nn_module *m, ad_var *x) { return ad_softmax(x, *(const int *)nn_self(m)); }
static ad_var *log_softmax_forward(nn_module *m, ad_var *x) { return ad_log_softmax(x, *(const int *)nn_self(m)); }
static ad_var *glu_forward(nn_module *m, ad_var *x) { return ad_glu(x, *(const int *)nn_self(m)); }

static nn_module *with_axis(ad_graph *g, const char *kind, nn_forward_fn *forward, int axis) {
    nn_module *m = nn_module_new(g, kind, forward, sizeof axis);
    if (m != NULL) *(int *)nn_self(m) = axis;
    return m;
}

nn_module *nn_glu(ad_graph *g, int axis) { return with_axis(g, "glu", glu_forward, axis); }
nn_module *nn_softmax(ad_graph *g, int axis) { return with_axis(g, "softmax", softmax_forward, axis); }
nn_module *nn_log_softmax(ad_graph *g, int axis) { return with_axis(g, "log_softmax", log_softmax_forward, axis); }

/* ---- with learnt parameters ------------------------------------------------------------------------------ */

typedef struct {
    ad_var *w, *b;
    int64_t pieces;
} learnt;

static ad_var *prelu_forward(nn_module *m, ad_var *x) { return ad_prelu(x, ((learnt *)nn_self(m))->w); }

nn_module *nn_prelu(ad_graph *g, ad_dtype t, int64_t n) {
    if (!nn__is_size(g, "prelu", "n", n)) return NULL;
    nn_module *m = nn_module_new(g, "prelu", prelu_forward, sizeof(learnt));
    if (m == NULL) return NULL;
    nn__constant_parameter(m, &((learnt *)nn_self(m))->w, "weight", t, AD_SHAPE(n), 0.25);
    return ad_ok(g) ? m : NULL;
}

/* x [..,in] -> [..,out pieces] -> [..,out] */
static ad_var *maxout_forward(nn_module *m, ad_var *x) {
    const learnt *l = nn_self(m);
    return ad_maxout(ad_affine(x, l->w, l->b), -1, l->pieces);
}

nn_module *nn_maxout(ad_graph *g, ad_dtype t, int64_t in, int64_t out, int64_t pieces) {
    if (!nn__is_size(g, "maxout", "in", in) || !nn__is_size(g, "maxout", "out", out) ||
        !nn__is_size(g, "maxout", "pieces", pieces) ||
        !nn__is_size(g, "maxout", "out pieces", out > INT64_MAX / pieces ? INT64_MAX : out * pieces))
        return NULL;
    nn_module *m = nn_module_new(g, "maxout", maxout_forward, sizeof(learnt));
    if (m == NULL) return NULL;
    learnt *l = nn_self(m);
    double bound = 1 / sqrt((double)in);
    int64_t all = pieces > INT64_MAX / out ? INT64_MAX : out * pieces; /* INT64_MAX is refused as a size */
    nn__uniform_parameter(m, &l->w, "weight", t, AD_SHAPE(all, in), bound);
    nn__uniform_parameter(m, &l->b, "bias", t, AD_SHAPE(all), bound);
    l->pieces = pieces;
    return ad_ok(g) ? m : NULL;
}
