/* walk.c: the modules below one, their paths, and calls for each of them. */
#include <string.h>

#include "nn/module/module_private.h"

/* ---- the list of modules: the recursions are as deep as modules are nested ----------------------------------- */

/* Counts the modules that have no mark yet, and the bytes of their paths, and marks them. */
static void measure(nn_module *m, size_t length, int64_t *n, size_t *text) {
    if (m->mark != 0) return;
    m->mark = 1;
    *n += 1;
    *text += length + 1;
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) measure(c->module, length + (length > 0) + strlen(c->name), n, text);
}

static char *joined(char *to, const char *path, const char *name) {
    size_t length = strlen(path);
    memcpy(to, path, length);
    if (length > 0) to[length++] = '.';
    strcpy(to + length, name);
    return to;
}

/* Lists the modules that have a mark, in the same order, and takes the marks away. `to` is where the next path goes. */
static void fill(nn_module *m, const char *path, nn__places_of *l, char **to) {
    m->mark = 0;
    if (l->at != NULL) l->at[l->n++] = (nn__place){ m, path };
    for (nn__member *c = m->members; c != NULL; c = c->next) {
        if (c->module == NULL || c->module->mark == 0) continue;
        const char *own = l->at ? joined(*to, path, c->name) : "";
        if (l->at != NULL) *to += strlen(own) + 1;
        fill(c->module, own, l, to);
    }
}

nn__places_of nn__list_modules(nn_module *m) {
    int64_t n = 0;
    size_t text = 0;
    measure(m, 0, &n, &text);
    nn__places_of l = { .bytes = (size_t)n * sizeof(nn__place) + text };
    l.at = ad_buffer_take(m->object.graph, l.bytes);
    char *to = l.at ? (char *)(l.at + n) : NULL;
    fill(m, l.at ? strcpy(to++, "") : "", &l, &to);
    return l;
}

void nn__give_list(ad_graph *g, nn__places_of *l) { ad_buffer_give(g, l->at, l->bytes); }

/* ---- looking ------------------------------------------------------------------------------------------------- */

static bool is_open(const nn_module *m, const char *caller) {
    return m != NULL && nn__check_open(&m->object, NULL, caller, "module") == AD_OK;
}

const char *nn_kind(const nn_module *m) { return is_open(m, "kind") ? m->kind : NULL; }

/* The child whose name is the first `length` bytes of name. */
static nn_module *child_named(const nn_module *m, const char *name, size_t length) {
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL && strncmp(c->name, name, length) == 0 && c->name[length] == '\0') return c->module;
    return NULL;
}

nn_module *nn_find_module(nn_module *m, const char *path) {
    if (!is_open(m, "find_module") || path == NULL) return NULL;
    if (*path == '\0') return m;
    for (;;) {
        size_t length = strcspn(path, ".");
        m = child_named(m, path, length);
        if (m == NULL || path[length] == '\0') return m;
        path += length + 1;
    }
}

int nn_each_module(nn_module *m, nn_each_fn *f, void *data) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, "each_module", "module")) return AD_EGRAPH;
    if (!ad_ok(g)) return ad_error_code(g);
    if (f == NULL) return ad_fail(g, AD_EVALUE, "each_module: no function is given");
    nn__places_of l = nn__list_modules(m);
    int rc = l.at ? AD_OK : AD_ENOMEM;
    for (int64_t i = 0; l.at != NULL && i < l.n && rc == 0; i++) {
        rc = f(l.at[i].module, l.at[i].path, data);
        if (rc == 0) rc = ad_error_code(g);
    }
    nn__give_list(g, &l);
    return rc;
}
