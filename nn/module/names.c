/* names.c: the dotted names of the parameters and buffers below a module. */
#include <string.h>

#include "nn/module/module_private.h"

/* The memory of tables is the scope's, like that of all else: nothing is given back before the scope closes. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) ad_scope_alloc(m->object.graph, size)
#define uthash_free(memory, size) ((void)(memory))
#define uthash_nonfatal_oom(entry) ((entry)->parameter.var = NULL)
#include <uthash.h>

struct nn__named {
    nn_parameter parameter;
    UT_hash_handle hh;
};

const char *nn__dotted(ad_graph *g, const char *prefix, const char *name) {
    size_t size = strlen(prefix) + strlen(name) + 2;
    char *to = ad_scope_alloc(g, size);
    if (to != NULL) snprintf(to, size, "%s%s%s", prefix, *prefix ? "." : "", name);
    return to;
}

static int reserve(const nn_module *m, nn__named_list *l) {
    if (l->count < l->capacity) return AD_OK;
    int capacity = l->capacity ? 2 * l->capacity : 4;
    nn__named **at = ad_scope_alloc(m->object.graph, (size_t)capacity * sizeof *at);
    if (at == NULL) return AD_ENOMEM;
    if (l->count > 0) memcpy(at, l->at, (size_t)l->count * sizeof *at);
    l->at = at;
    l->capacity = capacity;
    return AD_OK;
}

static bool has_var(const nn__named_list *l, const ad_var *x) {
    for (int i = 0; i < l->count; i++)
        if (l->at[i]->parameter.var == x) return true;
    return false;
}

/* A Var that two places share is one parameter, under the name that it got first. */
int nn__list_var(nn_module *m, int kind, const char *prefix, const char *name, ad_var *x) {
    nn__named_list *l = &m->lists[has_var(&m->lists[kind], x) ? NN__ALIASES : kind];
    nn__named *p = ad_scope_zalloc(m->object.graph, sizeof *p);
    const char *full = p ? nn__dotted(m->object.graph, prefix, name) : NULL;
    if (full == NULL || reserve(m, l) != AD_OK) return AD_ENOMEM;
    p->parameter = (nn_parameter){ full, x };
    HASH_ADD_KEYPTR(hh, m->table, full, strlen(full), p);
    if (p->parameter.var == NULL) return AD_ENOMEM;
    l->at[l->count++] = p;
    return AD_OK;
}

static void shorten(nn_module *m, nn__named_list *l, int to) {
    while (l->count > to) {
        l->count--;
        HASH_DEL(m->table, l->at[l->count]);
    }
}

int nn__list_vars_of(nn_module *m, const char *name, const nn_module *child) {
    int before[NN__LISTS], rc = AD_OK;
    for (int list = 0; list < NN__LISTS; list++) before[list] = m->lists[list].count;
    for (int list = 0; list < NN__LISTS; list++)
        for (int i = 0; i < child->lists[list].count && rc == AD_OK; i++) {
            const nn_parameter *p = &child->lists[list].at[i]->parameter;
            int kind = has_var(&child->lists[NN__PARAMETERS], p->var) ? NN__PARAMETERS : NN__BUFFERS;
            rc = nn__list_var(m, kind, name, p->name, p->var);
        }
    for (int list = 0; list < NN__LISTS && rc != AD_OK; list++) shorten(m, &m->lists[list], before[list]);
    return rc;
}

int nn__list_again(nn_module *m) {
    m->table = NULL;
    memset(m->lists, 0, sizeof m->lists);
    int rc = AD_OK;
    for (const nn__member *c = m->members; c != NULL && rc == AD_OK; c = c->next)
        rc = c->module ? nn__list_vars_of(m, c->name, c->module) : nn__list_var(m, c->kind, "", c->name, c->var);
    return rc;
}

nn_parameter nn__var_at(const nn_module *m, int kind, int i) {
    if (m == NULL || i < 0 || i >= m->lists[kind].count) return (nn_parameter){ NULL, NULL };
    return m->lists[kind].at[i]->parameter;
}

ad_var *nn__find_var(const nn_module *m, int kind, const char *name) {
    nn__named *found = NULL;
    if (m != NULL && name != NULL) HASH_FIND_STR(m->table, name, found);
    return found != NULL && has_var(&m->lists[kind], found->parameter.var) ? found->parameter.var : NULL;
}
