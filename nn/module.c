/* module.c: functions with parameters, and the names of the parameters below each. */
#include <string.h>

#include "autodiff/node.h"
#include "nn/nn.h"

/* Tables lie in the graph's arena like all else: nothing is given back but by closing the scope. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad__node_alloc(m->graph, size)
#define uthash_free(memory, size) ((void)(memory))
#define uthash_nonfatal_oom(entry) ((entry)->parameter.var = NULL)
#include <uthash.h>

typedef struct {
    nn_parameter parameter;
    UT_hash_handle hh;
} named;

typedef struct child child;
struct child {
    child *next;
    const char *name;
    nn_module *module;
};

/* Built from the leaves of the tree upwards: what is part of another module is complete, so a module
   knows all parameters below it once its children are added, and cycles cannot arise. */
struct nn_module {
    ad_graph *graph;
    const char *kind;
    nn_forward_fn *forward;
    void *self;
    bool training, complete;
    child *children, **end;
    named *table;    /* by dotted name */
    named **ordered; /* the same in the order of making */
    int count, capacity;
};

nn_module *nn_module_new(ad_graph *g, const char *kind, nn_forward_fn *forward, size_t size) {
    if (!ad_ok(g)) return NULL;
    if (kind == NULL || forward == NULL)
        return ad_fail(g, AD_EVALUE, "module_new: a module needs a kind and a forward function"), NULL;
    size_t length = strlen(kind) + 1;
    nn_module *m = ad__node_zalloc(g, sizeof *m);
    char *copy = m ? ad__node_alloc(g, length) : NULL;
    void *self = copy ? ad__node_zalloc(g, size) : NULL;
    if (self == NULL) return NULL;
    *m = (nn_module){ .graph = g,
                      .kind = memcpy(copy, kind, length),
                      .forward = forward,
                      .self = self,
                      .training = true,
                      .end = &m->children };
    return m;
}

void *nn_self(nn_module *m) { return m ? m->self : NULL; }
ad_graph *nn_graph_of(const nn_module *m) { return m ? m->graph : NULL; }

/* ---- building -------------------------------------------------------------------------------- */

static bool is_taken(const nn_module *m, const char *name) {
    for (const child *c = m->children; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0) return true;
    return nn_find_parameter(m, name) != NULL;
}

/* Memory taken now is the innermost scope's: a module made before it must not come to point there. */
static bool is_older_than_scope(const nn_module *m) {
    const ad_graph *g = m->graph;
    return g->scope != NULL && ad__arena_before(&g->nodes, g->scope->nodes, m);
}

static int check_addition(const nn_module *m, const char *name, const char *caller) {
    ad_graph *g = m->graph;
    if (name == NULL || name[0] == '\0' || strchr(name, '.') != NULL)
        return ad_fail(g, AD_EVALUE, "%s: \"%s\" is no name: it must have a letter and no dot", caller,
                       name ? name : "");
    if (is_taken(m, name)) return ad_fail(g, AD_EVALUE, "%s: %s has a \"%s\" already", caller, m->kind, name);
    if (m->complete)
        return ad_fail(g, AD_EVALUE, "%s: %s is part of another module already; add \"%s\" to it before that", caller,
                       m->kind, name);
    if (is_older_than_scope(m))
        return ad_fail(g, AD_EGRAPH, "%s: %s was made before the open scope, whose end would take \"%s\" away", caller,
                       m->kind, name);
    return AD_OK;
}

/* "weight" below a child "0" is "0.weight". */
static const char *dotted(ad_graph *g, const char *prefix, const char *name) {
    size_t size = strlen(prefix) + strlen(name) + 2;
    char *to = ad__node_alloc(g, size);
    if (to != NULL) snprintf(to, size, "%s%s%s", prefix, *prefix ? "." : "", name);
    return to;
}

static int reserve(nn_module *m) {
    if (m->count < m->capacity) return AD_OK;
    int capacity = m->capacity ? 2 * m->capacity : 4;
    named **ordered = ad__node_alloc(m->graph, (size_t)capacity * sizeof *ordered);
    if (ordered == NULL) return AD_ENOMEM;
    if (m->count > 0) memcpy(ordered, m->ordered, (size_t)m->count * sizeof *ordered);
    m->ordered = ordered;
    m->capacity = capacity;
    return AD_OK;
}

static bool has_parameter(const nn_module *m, const ad_var *x) {
    for (int i = 0; i < m->count; i++)
        if (m->ordered[i]->parameter.var == x) return true;
    return false;
}

/* A Var shared by two places is one parameter, under the name that it got first. */
static int list_parameter(nn_module *m, const char *prefix, const char *name, ad_var *x) {
    if (has_parameter(m, x)) return AD_OK;
    named *p = ad__node_zalloc(m->graph, sizeof *p);
    const char *full = p ? dotted(m->graph, prefix, name) : NULL;
    if (full == NULL || reserve(m) != AD_OK) return AD_ENOMEM;
    p->parameter = (nn_parameter){ full, x };
    HASH_ADD_KEYPTR(hh, m->table, full, strlen(full), p);
    if (p->parameter.var == NULL) return AD_ENOMEM;
    m->ordered[m->count++] = p;
    return AD_OK;
}

ad_var *nn_add_parameter(nn_module *m, const char *name, ad_var *x) {
    if (m == NULL) return ad__nil(ad_graph_of(x));
    ad_graph *g = m->graph;
    if (!ad_ok(g) || check_addition(m, name, "add_parameter")) return ad__nil(g);
    if (ad_is_nil(x) || ad_creator(x) != NULL || ad_graph_of(x) != g)
        return ad_fail(g, AD_EVALUE, "add_parameter: \"%s\" of %s must be a leaf of the module's graph", name, m->kind),
               ad__nil(g);
    return list_parameter(m, "", name, x) == AD_OK ? x : ad__nil(g);
}

static int check_child(const nn_module *m, const char *name, const nn_module *c) {
    if (c == NULL) return ad_fail(m->graph, AD_EVALUE, "add_child: \"%s\" of %s is NULL", name, m->kind);
    if (c == m) return ad_fail(m->graph, AD_EVALUE, "add_child: %s cannot be part of itself", m->kind);
    if (c->graph == m->graph) return AD_OK;
    return ad_fail(m->graph, AD_EGRAPH, "add_child: %s and \"%s\" belong to two graphs", m->kind, name);
}

/* All of c's parameters, or none where memory is short. */
static int list_parameters_of(nn_module *m, const char *name, const nn_module *c) {
    int before = m->count, rc = AD_OK;
    for (int i = 0; i < c->count && rc == AD_OK; i++)
        rc = list_parameter(m, name, c->ordered[i]->parameter.name, c->ordered[i]->parameter.var);
    while (rc != AD_OK && m->count > before) {
        m->count--;
        HASH_DEL(m->table, m->ordered[m->count]);
    }
    return rc;
}

nn_module *nn_add_child(nn_module *m, const char *name, nn_module *c) {
    if (m == NULL || !ad_ok(m->graph) || check_addition(m, name, "add_child") || check_child(m, name, c)) return NULL;
    child *link = ad__node_zalloc(m->graph, sizeof *link);
    if (link == NULL || (link->name = dotted(m->graph, "", name)) == NULL) return NULL;
    if (list_parameters_of(m, name, c) != AD_OK) return NULL;
    link->module = c;
    *m->end = link;
    m->end = &link->next;
    c->complete = true;
    return c;
}

/* ---- using ------------------------------------------------------------------------------------ */

ad_var *nn_apply(nn_module *m, ad_var *x) {
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (!ad_ok(g)) return ad__nil(g);
    if (m == NULL) return ad_fail(g, AD_EVALUE, "apply: the module is NULL"), ad__nil(g);
    if (ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "apply: what %s is applied to is nil", m->kind), ad__nil(g);
    if (g != m->graph) return ad_fail(g, AD_EGRAPH, "apply: x and %s belong to two graphs", m->kind), ad__nil(g);
    ad_var *y = m->forward(m, x);
    if (y == NULL) ad_fail(g, AD_EVALUE, "apply: the forward function of %s returned NULL", m->kind);
    return y ? y : ad__nil(g);
}

/* As deep as modules are nested, which nn_apply is too. */
void nn_train(nn_module *m, bool training) {
    if (m == NULL) return;
    m->training = training;
    for (child *c = m->children; c != NULL; c = c->next) nn_train(c->module, training);
}

bool nn_training(const nn_module *m) { return m != NULL && m->training; }

/* ---- parameters ------------------------------------------------------------------------------- */

int nn_parameter_count(const nn_module *m) { return m ? m->count : 0; }

int64_t nn_parameter_numel(const nn_module *m) {
    int64_t n = 0;
    for (int i = 0; i < nn_parameter_count(m); i++) n += ad_numel(m->ordered[i]->parameter.var);
    return n;
}

nn_parameter nn_parameter_at(const nn_module *m, int i) {
    if (i < 0 || i >= nn_parameter_count(m)) return (nn_parameter){ NULL, NULL };
    return m->ordered[i]->parameter;
}

ad_var *nn_find_parameter(const nn_module *m, const char *name) {
    named *found = NULL;
    if (m != NULL && name != NULL) HASH_FIND_STR(m->table, name, found);
    return found ? found->parameter.var : NULL;
}
