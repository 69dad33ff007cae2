/* layers.c: linear layers, activations, and layers one after another. */
#include <math.h>

#include "autodiff/op.h"
#include "nn/nn.h"

/* ---- linear ------------------------------------------------------------------------------------ */

typedef struct {
    ad_var *w, *b; /* w [out, in], b [out] or NULL */
} linear;

static ad_var *linear_forward(nn_module *m, ad_var *x) {
    const linear *l = nn_self(m);
    return ad_affine(x, l->w, l->b);
}

/* Registers zeros of the shape and fills them uniformly in +-bound. */
static ad_var *uniform_parameter(nn_module *m, const char *name, ad_dtype t, ad_shape s, double bound) {
    ad_var *x = nn_add_parameter(m, name, ad_param(nn_graph_of(m), t, NULL, s));
    nn_init_uniform(x, -bound, bound);
    return x;
}

nn_module *nn_linear(ad_graph *g, ad_dtype t, int64_t in, int64_t out, bool bias) {
    if (in < 1 || out < 1)
        return ad_fail(g, AD_ESHAPE, "linear: in %lld and out %lld: both must be at least 1", (long long)in,
                       (long long)out),
               NULL;
    nn_module *m = nn_module_new(g, "linear", linear_forward, sizeof(linear));
    if (m == NULL) return NULL;
    linear *l = nn_self(m);
    double bound = 1 / sqrt((double)in);
    l->w = uniform_parameter(m, "weight", t, AD_SHAPE(out, in), bound);
    if (bias) l->b = uniform_parameter(m, "bias", t, AD_SHAPE(out), bound);
    return ad_ok(g) ? m : NULL;
}

/* ---- activations ------------------------------------------------------------------------------- */

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

nn_module *nn_relu(ad_graph *g) { return activation(g, "relu", ad_relu); }
nn_module *nn_tanh(ad_graph *g) { return activation(g, "tanh", ad_tanh); }
nn_module *nn_sigmoid(ad_graph *g) { return activation(g, "sigmoid", ad_sigmoid); }

/* ---- sequential -------------------------------------------------------------------------------- */

typedef struct {
    int n;
    nn_module *module[];
} sequential;

static ad_var *sequential_forward(nn_module *m, ad_var *x) {
    const sequential *s = nn_self(m);
    for (int i = 0; i < s->n; i++) x = nn_apply(s->module[i], x);
    return x;
}

/* Room for n modules, to be appended. */
static nn_module *sequential_new(ad_graph *g, int n) {
    return nn_module_new(g, "sequential", sequential_forward, sizeof(sequential) + (size_t)n * sizeof(nn_module *));
}

static void append(nn_module *m, nn_module *next) {
    sequential *s = nn_self(m);
    if (s == NULL) return;
    char name[16];
    snprintf(name, sizeof name, "%d", s->n);
    if (nn_add_child(m, name, next) != NULL) s->module[s->n++] = next;
}

nn_module *nn_sequential_n(ad_graph *g, int n, nn_module *const mods[]) {
    if (n < 0 || (n > 0 && mods == NULL))
        return ad_fail(g, AD_EVALUE, "sequential: %d modules, but none given", n), NULL;
    nn_module *m = sequential_new(g, n);
    for (int i = 0; i < n; i++) append(m, mods[i]);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_mlp(ad_graph *g, ad_dtype t, int n, const int64_t *widths, nn_activation *act) {
    if (n < 2 || widths == NULL)
        return ad_fail(g, AD_EVALUE, "mlp: %d widths: it needs two at least, inputs and outputs", n), NULL;
    if (act == NULL && n > 2) return ad_fail(g, AD_EVALUE, "mlp: no activation given; ad_tanh is one"), NULL;
    nn_module *m = sequential_new(g, 2 * n - 3);
    for (int i = 1; i < n && ad_ok(g); i++) {
        if (i > 1) append(m, nn_function(g, act));
        append(m, nn_linear(g, t, widths[i - 1], widths[i], true));
    }
    return ad_ok(g) ? m : NULL;
}
