/* linear.c: linear layers, embeddings, dropout, and layers put together. */
#include <math.h>

#include "nn/module/module_private.h"

/* ---- what layers share -------------------------------------------------------------------------- */

ad_var *nn__uniform_parameter(nn_module *m, const char *name, ad_dtype t, ad_shape s, double bound) {
    ad_var *x = nn_add_parameter(m, name, ad_param(nn_graph_of(m), t, NULL, s));
    nn_init_uniform(x, -bound, bound);
    return x;
}

ad_var *nn__constant_parameter(nn_module *m, const char *name, ad_dtype t, ad_shape s, double value) {
    ad_var *x = nn_add_parameter(m, name, ad_param(nn_graph_of(m), t, NULL, s));
    nn_init_constant(x, value);
    return x;
}

bool nn__is_size(ad_graph *g, const char *caller, const char *name, int64_t size) {
    if (size < 1) ad_fail(g, AD_ESHAPE, "%s: %s %lld: it must be at least 1", caller, name, (long long)size);
    return ad_ok(g);
}

/* ---- linear ------------------------------------------------------------------------------------ */

typedef struct {
    ad_var *w, *b; /* w [out, in], b [out] or NULL */
} linear;

static ad_var *linear_forward(nn_module *m, ad_var *x) {
    const linear *l = nn_self(m);
    return ad_affine(x, l->w, l->b);
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
    l->w = nn__uniform_parameter(m, "weight", t, AD_SHAPE(out, in), bound);
    if (bias) l->b = nn__uniform_parameter(m, "bias", t, AD_SHAPE(out), bound);
    return ad_ok(g) ? m : NULL;
}

/* ---- bilinear: w [out, in_a, in_b], b [out] or NULL --------------------------------------------------- */

/* a [n,i], w [o,i,j] -> [n,o,j]; with b [n,1,j] and a sum over j: [n,o] */
ad_var *nn_apply_bilinear(nn_module *m, ad_var *a, ad_var *b) {
    if (nn__check_apply(m, a) || nn__check_apply(m, b)) return ad_nil(ad_graph_of(a));
    const linear *l = nn_self(m);
    ad_var *half = ad_einsum("ni,oij->noj", a, l->w);
    ad_var *y = ad_sum_axis(ad_mul(half, ad_unsqueeze(b, 1)), 2, false);
    return l->b ? ad_add(y, l->b) : y;
}

static ad_var *bilinear_forward(nn_module *m, ad_var *x) { return nn_apply_bilinear(m, x, x); }

nn_module *nn_bilinear(ad_graph *g, ad_dtype t, int64_t in_a, int64_t in_b, int64_t out, bool bias) {
    if (!nn__is_size(g, "bilinear", "in_a", in_a) || !nn__is_size(g, "bilinear", "in_b", in_b) ||
        !nn__is_size(g, "bilinear", "out", out))
        return NULL;
    nn_module *m = nn_module_new(g, "bilinear", bilinear_forward, sizeof(linear));
    if (m == NULL) return NULL;
    linear *l = nn_self(m);
    double bound = 1 / sqrt((double)in_a);
    l->w = nn__uniform_parameter(m, "weight", t, AD_SHAPE(out, in_a, in_b), bound);
    if (bias) l->b = nn__uniform_parameter(m, "bias", t, AD_SHAPE(out), bound);
    return ad_ok(g) ? m : NULL;
}

/* ---- embedding, flatten, dropout ------------------------------------------------------------------------ */

static ad_var *embedding_forward(nn_module *m, ad_var *x) {
    const linear *l = nn_self(m);
    return ad_embedding(l->w, x);
}

nn_module *nn_embedding(ad_graph *g, ad_dtype t, int64_t n, int64_t d) {
    if (!nn__is_size(g, "embedding", "n", n) || !nn__is_size(g, "embedding", "d", d)) return NULL;
    nn_module *m = nn_module_new(g, "embedding", embedding_forward, sizeof(linear));
    if (m == NULL) return NULL;
    linear *l = nn_self(m);
    l->w = nn_add_parameter(m, "weight", ad_param(g, t, NULL, AD_SHAPE(n, d)));
    nn_init_normal(l->w, 0, 1);
    return ad_ok(g) ? m : NULL;
}

static ad_var *flatten_forward(nn_module *m, ad_var *x) {
    (void)m;
    return ad_flatten(x, 1, -1);
}

nn_module *nn_flatten(ad_graph *g) { return nn_module_new(g, "flatten", flatten_forward, 0); }

static ad_var *dropout_forward(nn_module *m, ad_var *x) {
    return ad_dropout(x, *(const double *)nn_self(m), nn_training(m));
}

nn_module *nn_dropout(ad_graph *g, double p) {
    if (!(p >= 0 && p <= 1)) return ad_fail(g, AD_EVALUE, "dropout: p %g: it must be from 0 to 1", p), NULL;
    nn_module *m = nn_module_new(g, "dropout", dropout_forward, sizeof p);
    if (m != NULL) *(double *)nn_self(m) = p;
    return m;
}

/* ---- sequential and parallel ------------------------------------------------------------------------------ */

typedef struct {
    int n, axis;
    nn_module *module[];
} several;

static ad_var *sequential_forward(nn_module *m, ad_var *x) {
    const several *s = nn_self(m);
    for (int i = 0; i < s->n; i++) x = nn_apply(s->module[i], x);
    return x;
}

static ad_var *parallel_forward(nn_module *m, ad_var *x) {
    const several *s = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    ad_var **y = ad_scope_alloc(g, (size_t)s->n * sizeof *y);
    if (y == NULL) return ad_nil(g);
    for (int i = 0; i < s->n; i++) y[i] = nn_apply(s->module[i], x);
    return ad_concat(s->n, y, s->axis);
}

/* Room for n modules, to be appended. */
static nn_module *several_new(ad_graph *g, const char *kind, nn_forward_fn *forward, int n) {
    return nn_module_new(g, kind, forward, sizeof(several) + (size_t)n * sizeof(nn_module *));
}

static void append(nn_module *m, nn_module *next) {
    several *s = nn_self(m);
    if (s == NULL) return;
    char name[16];
    snprintf(name, sizeof name, "%d", s->n);
    if (nn_add_child(m, name, next) != NULL) s->module[s->n++] = next;
}

nn_module *nn_sequential_n(ad_graph *g, int n, nn_module *const mods[]) {
    if (n < 0 || (n > 0 && mods == NULL))
        return ad_fail(g, AD_EVALUE, "sequential: %d modules, but none given", n), NULL;
    nn_module *m = several_new(g, "sequential", sequential_forward, n);
    for (int i = 0; i < n; i++) append(m, mods[i]);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_parallel_n(ad_graph *g, int axis, int n, nn_module *const mods[]) {
    if (n < 1 || mods == NULL)
        return ad_fail(g, AD_EVALUE, "parallel: %d modules: there must be one at least", n), NULL;
    nn_module *m = several_new(g, "parallel", parallel_forward, n);
    for (int i = 0; i < n; i++) append(m, mods[i]);
    if (!ad_ok(g)) return NULL;
    ((several *)nn_self(m))->axis = axis;
    return m;
}

nn_module *nn_mlp(ad_graph *g, ad_dtype t, int n, const int64_t *widths, nn_activation *act) {
    if (n < 2 || widths == NULL)
        return ad_fail(g, AD_EVALUE, "mlp: %d widths: it needs two at least, inputs and outputs", n), NULL;
    if (act == NULL && n > 2) return ad_fail(g, AD_EVALUE, "mlp: no activation given; ad_tanh is one"), NULL;
    nn_module *m = several_new(g, "sequential", sequential_forward, 2 * n - 3);
    for (int i = 1; i < n && ad_ok(g); i++) {
        if (i > 1) append(m, nn_function(g, act));
        append(m, nn_linear(g, t, widths[i - 1], widths[i], true));
    }
    return ad_ok(g) ? m : NULL;
}

/* ---- residual (He et al. 2016) --------------------------------------------------------------------------------- */

typedef struct {
    nn_module *body, *shortcut; /* shortcut NULL: x itself */
} residual;

static ad_var *residual_forward(nn_module *m, ad_var *x) {
    const residual *r = nn_self(m);
    return ad_add(nn_apply(r->body, x), r->shortcut ? nn_apply(r->shortcut, x) : x);
}

nn_module *nn_residual(ad_graph *g, nn_module *body, nn_module *shortcut) {
    nn_module *m = nn_module_new(g, "residual", residual_forward, sizeof(residual));
    if (m == NULL) return NULL;
    residual *r = nn_self(m);
    r->body = nn_add_child(m, "body", body);
    if (shortcut != NULL) r->shortcut = nn_add_child(m, "shortcut", shortcut);
    return ad_ok(g) ? m : NULL;
}
