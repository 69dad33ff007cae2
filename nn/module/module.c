/* module.c: modules: their making, members, application and modes. */
#include <string.h>

#include "nn/module/module_private.h"

int nn__check_open(const nn__object *o, ad_graph *g, const char *caller, const char *what) {
    bool known = o->self == o;
    if (known && ad_scope_is_open(o->graph, o)) return AD_OK;
    return ad_fail(known ? o->graph : g, AD_EGRAPH, "%s: the %s was made in a scope that is closed", caller, what);
}

nn_module *nn_module_new(ad_graph *g, const char *kind, nn_forward_fn *forward, size_t size) {
    if (!ad_ok(g)) return NULL;
    if (kind == NULL || forward == NULL)
        return ad_fail(g, AD_EVALUE, "module_new: a module needs a kind and a forward function"), NULL;
    if (size > PTRDIFF_MAX / 2) return ad_no_memory(g, "a module's struct", size), NULL;
    size_t length = strlen(kind) + 1;
    nn_module *m = ad_scope_zalloc(g, sizeof *m);
    char *copy = m ? ad_scope_alloc(g, length) : NULL;
    void *self = copy ? ad_scope_zalloc(g, size) : NULL;
    if (self == NULL) return NULL;
    *m = (nn_module){ .object = { g, &m->object },
                      .kind = memcpy(copy, kind, length),
                      .forward = forward,
                      .self = self,
                      .size = size,
                      .training = true,
                      .end = &m->members };
    return m;
}

void *nn_self(nn_module *m) { return m ? m->self : NULL; }
ad_graph *nn_graph_of(const nn_module *m) { return m && m->object.self == &m->object ? m->object.graph : NULL; }

/* ---- members --------------------------------------------------------------------------------- */

static bool is_taken(const nn_module *m, const char *name) {
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0) return true;
    return false;
}

/* What is added lies in the innermost scope. A module made before that scope must not come to point there. */
static int check_scope(const nn_module *m, const char *name, const char *caller) {
    ad_graph *g = m->object.graph;
    if (!ad_scope_is_older(g, m)) return AD_OK;
    return ad_fail(g, AD_EGRAPH, "%s: %s was made before the open scope, whose end would take \"%s\" away", caller,
                   m->kind, name);
}

static int check_addition(const nn_module *m, const char *name, const char *caller) {
    ad_graph *g = m->object.graph;
    if (nn__check_open(&m->object, NULL, caller, "module")) return AD_EGRAPH;
    if (!ad_ok(g)) return ad_error_code(g);
    if (name == NULL || name[0] == '\0' || strchr(name, '.') != NULL)
        return ad_fail(g, AD_EVALUE, "%s: \"%s\" is no name: a name is not empty and has no dot", caller,
                       name ? name : "");
    if (is_taken(m, name)) return ad_fail(g, AD_EVALUE, "%s: %s has a \"%s\" already", caller, m->kind, name);
    if (m->complete)
        return ad_fail(g, AD_EVALUE, "%s: %s is part of another module already; add \"%s\" to it before that", caller,
                       m->kind, name);
    return check_scope(m, name, caller);
}

/* Not part of the module yet; NULL when memory is short. */
static nn__member *member_new(const nn_module *m, const char *name, nn_module *module, ad_var *var, int kind) {
    nn__member *c = ad_scope_zalloc(m->object.graph, sizeof *c);
    const char *copy = c ? nn__dotted(m->object.graph, "", name) : NULL;
    if (copy == NULL) return NULL;
    *c = (nn__member){ NULL, copy, module, var, kind };
    return c;
}

static void append(nn_module *m, nn__member *c) {
    *m->end = c;
    m->end = &c->next;
}

static ad_var *add_var(nn_module *m, int kind, const char *name, ad_var *x, const char *caller) {
    if (m == NULL) return ad_fail(ad_graph_of(x), AD_EVALUE, "%s: the module is NULL", caller), ad_nil(ad_graph_of(x));
    ad_graph *g = nn_graph_of(m);
    if (check_addition(m, name, caller)) return ad_nil(g);
    if (ad_is_nil(x) || ad_creator(x) != NULL || ad_graph_of(x) != g)
        return ad_fail(g, AD_EVALUE, "%s: \"%s\" of %s must be a leaf of the module's graph", caller, name, m->kind),
               ad_nil(g);
    if (kind == NN__PARAMETERS && ad_is_nil(ad_require_grad(x))) return ad_nil(g);
    nn__member *c = member_new(m, name, NULL, x, kind);
    if (c == NULL || nn__list_var(m, kind, "", name, x) != AD_OK) return ad_nil(g);
    append(m, c);
    return x;
}

ad_var *nn_add_parameter(nn_module *m, const char *name, ad_var *x) {
    return add_var(m, NN__PARAMETERS, name, x, "add_parameter");
}
ad_var *nn_add_buffer(nn_module *m, const char *name, ad_var *x) {
    return add_var(m, NN__BUFFERS, name, x, "add_buffer");
}

static int check_child(const nn_module *m, const char *name, const nn_module *c) {
    ad_graph *g = m->object.graph;
    if (c == NULL) return ad_fail(g, AD_EVALUE, "add_child: \"%s\" of %s is NULL", name, m->kind);
    if (c == m) return ad_fail(g, AD_EVALUE, "add_child: %s cannot be part of itself", m->kind);
    if (nn__check_open(&c->object, g, "add_child", "child")) return AD_EGRAPH;
    if (c->object.graph == g) return AD_OK;
    return ad_fail(g, AD_EGRAPH, "add_child: %s and \"%s\" belong to two graphs", m->kind, name);
}

nn_module *nn_add_child(nn_module *m, const char *name, nn_module *c) {
    if (m == NULL) return ad_fail(nn_graph_of(c), AD_EVALUE, "add_child: the module is NULL"), NULL;
    if (check_addition(m, name, "add_child") || check_child(m, name, c)) return NULL;
    nn__member *link = member_new(m, name, c, NULL, 0);
    if (link == NULL || nn__list_vars_of(m, name, c) != AD_OK) return NULL;
    append(m, link);
    c->complete = true;
    c->uses++;
    return c;
}

int nn_add_reference(nn_module *m, void *field) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, "add_reference", "module")) return AD_EGRAPH;
    if (!ad_ok(g)) return ad_error_code(g);
    size_t offset = (size_t)((uintptr_t)field - (uintptr_t)m->self);
    if (field == NULL || m->size < sizeof(void *) || offset > m->size - sizeof(void *))
        return ad_fail(g, AD_EVALUE, "add_reference: the field is not in the struct of %s, which nn_self returns",
                       m->kind);
    if (check_scope(m, "a reference", "add_reference")) return ad_error_code(g);
    nn__reference *r = ad_scope_alloc(g, sizeof *r);
    if (r == NULL) return AD_ENOMEM;
    *r = (nn__reference){ m->references, offset };
    m->references = r;
    return AD_OK;
}

/* ---- application --------------------------------------------------------------------------------- */

ad_graph *nn__graph_of_either(const nn_module *m, const ad_var *x) {
    ad_graph *g = ad_graph_of(x);
    return g ? g : nn_graph_of(m);
}

int nn__check_apply(const nn_module *m, const ad_var *x) {
    ad_graph *g = nn__graph_of_either(m, x);
    if (!ad_ok(g)) return ad_error_code(g);
    if (m == NULL) return ad_fail(g, AD_EVALUE, "apply: the module is NULL");
    if (nn__check_open(&m->object, g, "apply", "module")) return AD_EGRAPH;
    if (ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "apply: what %s is applied to is nil", m->kind);
    if (g != m->object.graph) return ad_fail(g, AD_EGRAPH, "apply: x and %s belong to two graphs", m->kind);
    return AD_OK;
}

ad_var *nn__without_module(const char *caller, int n, ad_var *const xs[]) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && g == NULL; i++) g = ad_graph_of(xs[i]);
    if (g != NULL && ad_ok(g)) ad_fail(g, AD_EVALUE, "%s: the module is NULL", caller);
    return ad_nil(g);
}

static void call_forward(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *data) {
    (void)n, (void)n_y, (void)data;
    y[0] = m->forward(m, x[0]);
}

static ad_var *apply_hooked(nn_module *m, ad_var *x) {
    ad_var *y = NULL;
    return nn__call_hooked(m, 1, &x, 1, &y, call_forward, NULL);
}

ad_var *nn__apply_child(nn_module *m, ad_var *x) {
    ad_graph *g = m->object.graph;
    if (!ad_ok(g)) return ad_nil(g);
    ad_var *y = m->hooks ? apply_hooked(m, x) : m->forward(m, x);
    if (y == NULL) ad_fail(g, AD_EVALUE, "apply: the forward function of %s returned NULL", m->kind);
    if (m->watched) m->shape = ad_shape_of(y);
    return y ? y : ad_nil(g);
}

ad_var *nn_apply(nn_module *m, ad_var *x) {
    if (nn__check_apply(m, x)) return ad_nil(nn__graph_of_either(m, x));
    return nn_input_count(x) > 1 ? nn__apply_to_inputs(m, x) : nn__apply_child(m, x);
}

/* ---- modes: the recursions are as deep as modules are nested, like nn_apply's ------------------------ */

static void set_training(nn_module *m, bool training) {
    m->training = training;
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) set_training(c->module, training);
}

void nn_train(nn_module *m, bool training) {
    if (m != NULL && nn__check_open(&m->object, NULL, "train", "module") == AD_OK) set_training(m, training);
}

bool nn_training(const nn_module *m) { return m != NULL && m->training; }

void nn__begin_evaluation(nn_module *m) {
    if (m->evaluations++ == 0) m->was_training = m->training;
    m->training = false;
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) nn__begin_evaluation(c->module);
}

void nn__end_evaluation(nn_module *m) {
    if (--m->evaluations == 0) m->training = m->was_training;
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) nn__end_evaluation(c->module);
}
