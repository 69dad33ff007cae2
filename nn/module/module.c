/* module.c: functions with parameters, and the names of the parameters below each. */
#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/module/module_private.h"

/* Tables lie in the graph's arena like all else: nothing is given back but by closing the scope. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_alloc(m->graph, size)
#define uthash_free(memory, size) ((void)(memory))
#define uthash_nonfatal_oom(entry) ((entry)->parameter.var = NULL)
#include <uthash.h>

typedef struct {
    nn_parameter parameter;
    UT_hash_handle hh;
} named;

enum { PARAMETERS, BUFFERS };

/* What was added to a module, in the order of adding: a Var or a module below. */
typedef struct member member;
struct member {
    member *next;
    const char *name;
    nn_module *module;
    ad_var *var;
    int kind; /* of a Var */
};

/* Vars in the order of making. */
typedef struct {
    named **at;
    int count, capacity;
} list;

/* Built from the leaves of the tree upwards: what is part of another module is complete, so a module
   knows all parameters below it once its children are added, and cycles cannot arise. */
struct nn_module {
    ad_graph *graph;
    const char *kind;
    nn_forward_fn *forward;
    void *self;
    size_t size; /* of self */
    bool training, complete;
    member *members, **end;
    named *table; /* by dotted name */
    list lists[2];
    nn_module *copy;               /* while nn_copy runs: what it has become */
    bool watched, was_training;    /* while nn_summary runs; shape is its result's */
    ad_shape shape;
};

nn_module *nn_module_new(ad_graph *g, const char *kind, nn_forward_fn *forward, size_t size) {
    if (!ad_ok(g)) return NULL;
    if (kind == NULL || forward == NULL)
        return ad_fail(g, AD_EVALUE, "module_new: a module needs a kind and a forward function"), NULL;
    size_t length = strlen(kind) + 1;
    nn_module *m = ad_scope_zalloc(g, sizeof *m);
    char *copy = m ? ad_scope_alloc(g, length) : NULL;
    void *self = copy ? ad_scope_zalloc(g, size) : NULL;
    if (self == NULL) return NULL;
    *m = (nn_module){ .graph = g,
                      .kind = memcpy(copy, kind, length),
                      .forward = forward,
                      .self = self,
                      .size = size,
                      .training = true,
                      .end = &m->members };
    return m;
}

void *nn_self(nn_module *m) { return m ? m->self : NULL; }
ad_graph *nn_graph_of(const nn_module *m) { return m ? m->graph : NULL; }

/* ---- building -------------------------------------------------------------------------------- */

static bool is_taken(const nn_module *m, const char *name) {
    for (const member *c = m->members; c != NULL; c = c->next)
        if (strcmp(c->name, name) == 0) return true;
    return false;
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
    char *to = ad_scope_alloc(g, size);
    if (to != NULL) snprintf(to, size, "%s%s%s", prefix, *prefix ? "." : "", name);
    return to;
}

static int reserve(const nn_module *m, list *l) {
    if (l->count < l->capacity) return AD_OK;
    int capacity = l->capacity ? 2 * l->capacity : 4;
    named **at = ad_scope_alloc(m->graph, (size_t)capacity * sizeof *at);
    if (at == NULL) return AD_ENOMEM;
    if (l->count > 0) memcpy(at, l->at, (size_t)l->count * sizeof *at);
    l->at = at;
    l->capacity = capacity;
    return AD_OK;
}

static bool has_var(const list *l, const ad_var *x) {
    for (int i = 0; i < l->count; i++)
        if (l->at[i]->parameter.var == x) return true;
    return false;
}

/* A Var shared by two places is one parameter, under the name that it got first. */
static int list_var(nn_module *m, int kind, const char *prefix, const char *name, ad_var *x) {
    list *l = &m->lists[kind];
    if (has_var(l, x)) return AD_OK;
    named *p = ad_scope_zalloc(m->graph, sizeof *p);
    const char *full = p ? dotted(m->graph, prefix, name) : NULL;
    if (full == NULL || reserve(m, l) != AD_OK) return AD_ENOMEM;
    p->parameter = (nn_parameter){ full, x };
    HASH_ADD_KEYPTR(hh, m->table, full, strlen(full), p);
    if (p->parameter.var == NULL) return AD_ENOMEM;
    l->at[l->count++] = p;
    return AD_OK;
}

/* A member that is not part of the module yet; NULL when memory is short. */
static member *member_new(const nn_module *m, const char *name, nn_module *module, ad_var *var, int kind) {
    member *c = ad_scope_zalloc(m->graph, sizeof *c);
    const char *copy = c ? dotted(m->graph, "", name) : NULL;
    if (copy == NULL) return NULL;
    *c = (member){ NULL, copy, module, var, kind };
    return c;
}

static void append(nn_module *m, member *c) {
    *m->end = c;
    m->end = &c->next;
}

static ad_var *add_var(nn_module *m, int kind, const char *name, ad_var *x, const char *caller) {
    if (m == NULL) return ad_nil(ad_graph_of(x));
    ad_graph *g = m->graph;
    if (!ad_ok(g) || check_addition(m, name, caller)) return ad_nil(g);
    if (ad_is_nil(x) || ad_creator(x) != NULL || ad_graph_of(x) != g)
        return ad_fail(g, AD_EVALUE, "%s: \"%s\" of %s must be a leaf of the module's graph", caller, name, m->kind),
               ad_nil(g);
    member *c = member_new(m, name, NULL, x, kind);
    if (c == NULL || list_var(m, kind, "", name, x) != AD_OK) return ad_nil(g);
    append(m, c);
    return x;
}

ad_var *nn_add_parameter(nn_module *m, const char *name, ad_var *x) {
    return add_var(m, PARAMETERS, name, x, "add_parameter");
}
ad_var *nn_add_buffer(nn_module *m, const char *name, ad_var *x) { return add_var(m, BUFFERS, name, x, "add_buffer"); }

static int check_child(const nn_module *m, const char *name, const nn_module *c) {
    if (c == NULL) return ad_fail(m->graph, AD_EVALUE, "add_child: \"%s\" of %s is NULL", name, m->kind);
    if (c == m) return ad_fail(m->graph, AD_EVALUE, "add_child: %s cannot be part of itself", m->kind);
    if (c->graph == m->graph) return AD_OK;
    return ad_fail(m->graph, AD_EGRAPH, "add_child: %s and \"%s\" belong to two graphs", m->kind, name);
}

static void shorten(nn_module *m, list *l, int to) {
    while (l->count > to) {
        l->count--;
        HASH_DEL(m->table, l->at[l->count]);
    }
}

/* All of c's parameters and buffers, or none where memory is short. */
static int list_vars_of(nn_module *m, const char *name, const nn_module *c) {
    int before[2] = { m->lists[0].count, m->lists[1].count }, rc = AD_OK;
    for (int kind = PARAMETERS; kind <= BUFFERS; kind++)
        for (int i = 0; i < c->lists[kind].count && rc == AD_OK; i++) {
            const nn_parameter *p = &c->lists[kind].at[i]->parameter;
            rc = list_var(m, kind, name, p->name, p->var);
        }
    for (int kind = PARAMETERS; kind <= BUFFERS && rc != AD_OK; kind++) shorten(m, &m->lists[kind], before[kind]);
    return rc;
}

nn_module *nn_add_child(nn_module *m, const char *name, nn_module *c) {
    if (m == NULL || !ad_ok(m->graph) || check_addition(m, name, "add_child") || check_child(m, name, c)) return NULL;
    member *link = member_new(m, name, c, NULL, 0);
    if (link == NULL || list_vars_of(m, name, c) != AD_OK) return NULL;
    append(m, link);
    c->complete = true;
    return c;
}

/* ---- using ------------------------------------------------------------------------------------ */

int nn__check_apply(const nn_module *m, const ad_var *x) {
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (!ad_ok(g)) return ad_error_code(g);
    if (m == NULL) return ad_fail(g, AD_EVALUE, "apply: the module is NULL");
    if (ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "apply: what %s is applied to is nil", m->kind);
    if (g != m->graph) return ad_fail(g, AD_EGRAPH, "apply: x and %s belong to two graphs", m->kind);
    return AD_OK;
}

const char *nn__kind(const nn_module *m) { return m->kind; }
nn_forward_fn *nn__forward(const nn_module *m) { return m->forward; }

ad_var *nn_apply(nn_module *m, ad_var *x) {
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (nn__check_apply(m, x)) return ad_nil(g);
    ad_var *y = m->forward(m, x);
    if (y == NULL) ad_fail(g, AD_EVALUE, "apply: the forward function of %s returned NULL", m->kind);
    if (m->watched) m->shape = ad_shape_of(y);
    return y ? y : ad_nil(g);
}

/* As deep as modules are nested, which nn_apply is too. */
void nn_train(nn_module *m, bool training) {
    if (m == NULL) return;
    m->training = training;
    for (member *c = m->members; c != NULL; c = c->next) nn_train(c->module, training);
}

void nn_eval(nn_module *m) { nn_train(m, false); }

bool nn_training(const nn_module *m) { return m != NULL && m->training; }

/* ---- parameters and buffers -------------------------------------------------------------------- */

static nn_parameter var_at(const nn_module *m, int kind, int i) {
    if (m == NULL || i < 0 || i >= m->lists[kind].count) return (nn_parameter){ NULL, NULL };
    return m->lists[kind].at[i]->parameter;
}

static ad_var *find_var(const nn_module *m, int kind, const char *name) {
    named *found = NULL;
    if (m != NULL && name != NULL) HASH_FIND_STR(m->table, name, found);
    return found != NULL && has_var(&m->lists[kind], found->parameter.var) ? found->parameter.var : NULL;
}

bool nn__ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), e = ending ? strlen(ending) : 0;
    return n >= e && strcmp(name + n - e, ending ? ending : "") == 0;
}

int nn_parameter_count(const nn_module *m) { return m ? m->lists[PARAMETERS].count : 0; }
int nn_buffer_count(const nn_module *m) { return m ? m->lists[BUFFERS].count : 0; }
nn_parameter nn_parameter_at(const nn_module *m, int i) { return var_at(m, PARAMETERS, i); }
nn_parameter nn_buffer_at(const nn_module *m, int i) { return var_at(m, BUFFERS, i); }
ad_var *nn_find_parameter(const nn_module *m, const char *name) { return find_var(m, PARAMETERS, name); }
ad_var *nn_find_buffer(const nn_module *m, const char *name) { return find_var(m, BUFFERS, name); }

int64_t nn_parameter_numel(const nn_module *m) {
    int64_t n = 0;
    for (int i = 0; i < nn_parameter_count(m); i++) n += ad_numel(nn_parameter_at(m, i).var);
    return n;
}

int64_t nn_trainable_numel(const nn_module *m) {
    int64_t n = 0;
    for (int i = 0; i < nn_parameter_count(m); i++)
        if (ad_requires_grad(nn_parameter_at(m, i).var)) n += ad_numel(nn_parameter_at(m, i).var);
    return n;
}

int nn_freeze(nn_module *m, bool frozen) {
    if (m == NULL) return AD_EVALUE;
    for (int i = 0; i < nn_parameter_count(m); i++) {
        ad_var *x = nn_parameter_at(m, i).var;
        if (frozen) x->flags &= (uint16_t)~(AD__NEEDS | AD__HAS_GRAD);
        else ad_require_grad(x);
    }
    return ad_error_code(m->graph);
}

/* ---- copying ------------------------------------------------------------------------------------ */

/* Vars and what they have become. */
typedef struct {
    int n;
    ad_var **from, **to;
} copies;

static ad_var *copy_of(const copies *c, const ad_var *x) {
    for (int i = 0; i < c->n; i++)
        if (c->from[i] == x) return c->to[i];
    return NULL;
}

static ad_var *copy_var(const ad_var *x) {
    ad_graph *g = ad_graph_of(x);
    bool wants = ad_requires_grad(x);
    return (wants ? ad_param : ad_tensor)(g, ad_dtype_of(x), ad_data(x), ad_shape_of(x));
}

static copies copy_vars(const nn_module *m) {
    int n = nn_parameter_count(m) + nn_buffer_count(m);
    copies c = { .from = ad_scope_alloc(m->graph, 2 * (size_t)n * sizeof *c.from) };
    if (c.from == NULL) return c;
    c.to = c.from + n;
    for (int kind = PARAMETERS; kind <= BUFFERS; kind++)
        for (int i = 0; i < m->lists[kind].count; i++, c.n++) {
            c.from[c.n] = var_at(m, kind, i).var;
            c.to[c.n] = copy_var(c.from[c.n]);
        }
    return c;
}

/* What a word of self that points to a Var or a module below is to point to in the copy. */
static void *moved(const nn_module *m, const copies *vars, void *word) {
    for (const member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL && c->module == word) return c->module->copy;
    ad_var *x = copy_of(vars, word);
    return x ? (void *)x : word;
}

static void copy_self(const nn_module *m, const copies *vars, void *to) {
    memcpy(to, m->self, m->size);
    for (size_t at = 0; at + sizeof(void *) <= m->size; at += sizeof(void *)) {
        void *word;
        memcpy(&word, (char *)to + at, sizeof word);
        word = moved(m, vars, word);
        memcpy((char *)to + at, &word, sizeof word);
    }
}

/* As deep as modules are nested. What is used in two places is copied once. */
static nn_module *copy_tree(nn_module *m, const copies *vars) {
    if (m->copy != NULL) return m->copy;
    nn_module *to = nn_module_new(m->graph, m->kind, m->forward, m->size);
    for (const member *c = m->members; c != NULL && to != NULL; c = c->next)
        if (c->module != NULL) nn_add_child(to, c->name, copy_tree(c->module, vars));
        else add_var(to, c->kind, c->name, copy_of(vars, c->var), "copy");
    if (to == NULL || !ad_ok(m->graph)) return NULL;
    copy_self(m, vars, to->self);
    to->training = m->training;
    return m->copy = to;
}

static void forget_copies(nn_module *m) {
    m->copy = NULL;
    for (member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) forget_copies(c->module);
}

nn_module *nn_copy(nn_module *m) {
    if (m == NULL || !ad_ok(m->graph)) return NULL;
    copies vars = copy_vars(m);
    nn_module *to = ad_ok(m->graph) ? copy_tree(m, &vars) : NULL;
    forget_copies(m);
    return to;
}

/* ---- the summary --------------------------------------------------------------------------------- */

enum { NAME_WIDTH = 30, SHAPE_WIDTH = 20, COUNT_WIDTH = 12 };

/* Prepares all below m, or puts them back as they were. */
static void watch(nn_module *m, bool on) {
    if (m->watched == on) return;
    if (on) m->was_training = m->training, m->training = false, m->shape = (ad_shape){ .ndim = -1 };
    else m->training = m->was_training;
    m->watched = on;
    for (member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) watch(c->module, on);
}

/* Elements of the parameters that are m's own, not its children's. */
static int64_t own_numel(const nn_module *m) {
    int64_t n = 0;
    for (const member *c = m->members; c != NULL; c = c->next)
        if (c->var != NULL && c->kind == PARAMETERS) n += ad_numel(c->var);
    return n;
}

static void print_row(const nn_module *m, int depth, const char *name, FILE *to) {
    char layer[96], shape[160] = "not used";
    snprintf(layer, sizeof layer, "%*s%s%s%s%s", 2 * depth, "", name, *name ? " (" : "", m->kind, *name ? ")" : "");
    if (m->shape.ndim >= 0) ad_shape_text(m->shape, shape, sizeof shape);
    fprintf(to, "%-*s %-*s %*lld\n", NAME_WIDTH, layer, SHAPE_WIDTH, shape, COUNT_WIDTH, (long long)own_numel(m));
}

static void print_tree(const nn_module *m, int depth, const char *name, FILE *to) {
    print_row(m, depth, name, to);
    for (const member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) print_tree(c->module, depth + 1, c->name, to);
}

static void print_rule(char sign, FILE *to) {
    for (int i = 0; i < NAME_WIDTH + SHAPE_WIDTH + COUNT_WIDTH + 2; i++) fputc(sign, to);
    fputc('\n', to);
}

int nn_summary(nn_module *m, ad_var *x, FILE *to) {
    if (m == NULL || to == NULL) return AD_EVALUE;
    ad_graph *g = m->graph;
    ad_mark mark = ad_begin(g);
    watch(m, true);
    nn_apply(m, x);
    watch(m, false);
    ad_end(g, mark);
    if (!ad_ok(g)) return ad_error_code(g);
    fprintf(to, "%-*s %-*s %*s\n", NAME_WIDTH, "Layer", SHAPE_WIDTH, "Output shape", COUNT_WIDTH, "Parameters");
    print_rule('=', to);
    print_tree(m, 0, "", to);
    print_rule('=', to);
    int64_t all = nn_parameter_numel(m), trained = nn_trainable_numel(m);
    fprintf(to, "Parameters: %lld, of these trained: %lld\n", (long long)all, (long long)trained);
    return ferror(to) ? ad_fail(g, AD_EIO, "summary: the text could not be written") : AD_OK;
}
