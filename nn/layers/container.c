/* container.c: layers made of other layers: sequential, parallel, residual, multi-layer perceptrons; flatten. */
#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- sequential and parallel ------------------------------------------------------------------------- */

typedef struct {
    int n, axis;
    nn_module *module[];
} several;

static ad_var *sequential_forward(nn_module *m, ad_var *x) {
    const several *s = nn_self(m);
    for (int i = 0; i < s->n; i++) x = nn__apply_child(s->module[i], x);
    return x;
}

static ad_var *parallel_forward(nn_module *m, ad_var *x) {
    const several *s = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    ad_var **y = ad_scope_alloc(g, (size_t)s->n * sizeof *y);
    if (y == NULL) return ad_nil(g);
    for (int i = 0; i < s->n; i++) y[i] = nn__apply_child(s->module[i], x);
    return ad_concat(s->n, y, s->axis);
}

/* Tells the graph of the first module that there is one of that none was given to the container. */
static nn_module *refuse_no_graph(int n, nn_module *const mods[], const char *caller) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && g == NULL; i++) g = nn_graph_of(mods[i]);
    if (ad_ok(g)) ad_fail(g, AD_EVALUE, "%s: the graph is NULL", caller);
    return NULL;
}

/* With a capacity of n modules, none of which is there yet. */
static nn_module *several_new(ad_graph *g, const char *kind, nn_forward_fn *forward, int n) {
    return nn_module_new(g, kind, forward, sizeof(several) + (size_t)n * sizeof(nn_module *));
}

static void append(nn_module *m, nn_module *next) {
    several *s = nn_self(m);
    if (s == NULL) return;
    char name[16];
    snprintf(name, sizeof name, "%d", s->n);
    if (nn_add_child(m, name, next) == NULL) return;
    s->module[s->n] = next;
    nn_add_reference(m, &s->module[s->n++]);
}

nn_module *nn_sequential_n(ad_graph *g, int n, nn_module *const mods[]) {
    if (n < 0 || (n > 0 && mods == NULL))
        return ad_fail(g, AD_EVALUE, "sequential: %d modules, but none given", n), NULL;
    if (g == NULL) return refuse_no_graph(n, mods, "sequential");
    nn_module *m = several_new(g, "sequential", sequential_forward, n);
    for (int i = 0; i < n; i++) append(m, mods[i]);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_parallel_n(ad_graph *g, int axis, int n, nn_module *const mods[]) {
    if (n < 1 || mods == NULL)
        return ad_fail(g, AD_EVALUE, "parallel: %d modules: there must be at least one", n), NULL;
    if (g == NULL) return refuse_no_graph(n, mods, "parallel");
    nn_module *m = several_new(g, "parallel", parallel_forward, n);
    for (int i = 0; i < n; i++) append(m, mods[i]);
    if (!ad_ok(g)) return NULL;
    ((several *)nn_self(m))->axis = axis;
    return m;
}

nn_module *nn_mlp(ad_graph *g, ad_dtype t, int n, const int64_t *widths, nn_activation *act) {
    if (n < 2 || widths == NULL)
        return ad_fail(g, AD_EVALUE, "mlp: %d widths: it needs at least two, inputs and outputs", n), NULL;
    if (act == NULL && n > 2) return ad_fail(g, AD_EVALUE, "mlp: no activation given; ad_tanh is one"), NULL;
    nn_module *m = several_new(g, "sequential", sequential_forward, 2 * n - 3);
    for (int i = 1; i < n && ad_ok(g); i++) {
        if (i > 1) append(m, nn_function(g, act));
        append(m, nn_linear(g, t, widths[i - 1], widths[i], true));
    }
    return ad_ok(g) ? m : NULL;
}

/* ---- residual ------------------------------------------------------------------------------------------- */

typedef struct {
    nn_module *body, *shortcut; /* shortcut NULL: x itself */
} residual;

static ad_var *residual_forward(nn_module *m, ad_var *x) {
    const residual *r = nn_self(m);
    return ad_add(nn__apply_child(r->body, x), r->shortcut ? nn__apply_child(r->shortcut, x) : x);
}

nn_module *nn_residual(ad_graph *g, nn_module *body, nn_module *shortcut) {
    if (g == NULL) return refuse_no_graph(2, (nn_module *[]){ body, shortcut }, "residual");
    nn_module *m = nn_module_new(g, "residual", residual_forward, sizeof(residual));
    if (m == NULL) return NULL;
    residual *r = nn_self(m);
    r->body = nn_add_child(m, "body", body);
    if (shortcut != NULL) r->shortcut = nn_add_child(m, "shortcut", shortcut);
    nn_add_reference(m, &r->body);
    nn_add_reference(m, &r->shortcut);
    return ad_ok(g) ? m : NULL;
}

/* ---- flatten --------------------------------------------------------------------------------------------- */

static ad_var *flatten_forward(nn_module *m, ad_var *x) {
    (void)m;
    return ad_flatten(x, 1, -1);
}

nn_module *nn_flatten(ad_graph *g) { return nn_module_new(g, "flatten", flatten_forward, 0); }
