/* replace.c: puts a module in the place of another one, wherever a module and those below it use it.

   All is checked before anything is changed. Then the modules above the replaced one get the new child, their fields
   that point to the old one get its address, and their lists of names are made again, from the inside outwards. */
#include <string.h>

#include "nn/module/module_private.h"

typedef struct {
    ad_graph *graph;
    nn_module *old, *with;
    nn__places_of all; /* root and the modules below it */
} replacement;

/* ---- what is below what: the recursions are as deep as modules are nested ------------------------------------ */

/* Whether p, a module or a Var, is m or part of it. */
static bool has_part(const nn_module *m, const void *p) {
    if (m == p) return true;
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (c->var != NULL ? c->var == p : has_part(c->module, p)) return true;
    return false;
}

/* The same for m after the replacement. */
static bool will_have(const replacement *r, const nn_module *m, const void *p) {
    for (const nn__member *c = m->members; c != NULL; c = c->next) {
        if (c->var != NULL && c->var == p) return true;
        if (c->module == r->old && has_part(r->with, p)) return true;
        if (c->module != NULL && c->module != r->old && (c->module == p || will_have(r, c->module, p))) return true;
    }
    return false;
}

static bool is_child(const nn_module *m, const nn_module *child) {
    for (const nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module == child) return true;
    return false;
}

/* Whether m's names change: it is above the old module. */
static bool is_above(const replacement *r, const nn_module *m) { return m != r->old && has_part(m, r->old); }

/* ---- checks -------------------------------------------------------------------------------------------------- */

/* In how many places below root m is a child. */
static int places_of(const replacement *r, const nn_module *m) {
    int n = 0;
    for (int64_t i = 0; i < r->all.n; i++)
        for (const nn__member *c = r->all.at[i].module->members; c != NULL; c = c->next) n += c->module == m;
    return n;
}

static bool is_named(const nn_module *m, size_t at) {
    for (const nn__reference *ref = m->references; ref != NULL; ref = ref->next)
        if (ref->offset == at) return true;
    return false;
}

/* A field that points to the old module must be one that can be changed; one that points to a part of it must still
   point to a part of m afterwards. */
static int check_fields(const replacement *r, const nn_module *m) {
    for (size_t at = 0; at + sizeof(void *) <= m->size; at += sizeof(void *)) {
        void *field = nn__word_at(m, at);
        if (field == NULL || !has_part(r->old, field) || (field == r->old && is_named(m, at))) continue;
        if (field != r->old && will_have(r, m, field)) continue;
        return ad_fail(r->graph, AD_EVALUE,
                       "replace_module: byte %zu of %s's struct begins a pointer to %s that is "
                       "replaced%s",
                       at, m->kind, field == r->old ? "the module" : "a part of the module",
                       field == r->old ? ", and nn_add_reference was not told of it" : "");
    }
    return AD_OK;
}

static int check_above(const replacement *r, const nn__place *p) {
    const nn_module *m = p->module;
    if (ad_scope_is_older(r->graph, m))
        return ad_fail(r->graph, AD_EGRAPH,
                       "replace_module: %s was made before the open scope, whose end would take "
                       "the new module away",
                       m->kind);
    if (m != r->all.at[0].module && m->uses != places_of(r, m))
        return ad_fail(r->graph, AD_EVALUE,
                       "replace_module: %s at \"%s\" is part of another module too; give that one "
                       "a copy of its own first",
                       m->kind, p->path);
    if (is_child(m, r->old) && has_part(r->with, m))
        return ad_fail(r->graph, AD_EVALUE, "replace_module: the new module contains %s, in which it would be",
                       m->kind);
    return AD_OK;
}

static int check_all(const replacement *r) {
    int rc = AD_OK;
    for (int64_t i = 0; i < r->all.n && rc == AD_OK; i++) {
        if (is_above(r, r->all.at[i].module)) rc = check_above(r, &r->all.at[i]);
        if (rc == AD_OK && !has_part(r->old, r->all.at[i].module)) rc = check_fields(r, r->all.at[i].module);
    }
    return rc;
}

static int check(nn_module *m, const char *path, nn_module *with) {
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, "replace_module", "module")) return AD_EGRAPH;
    if (!ad_ok(g)) return ad_error_code(g);
    nn_module *old = nn_find_module(m, path);
    if (old == NULL || old == m)
        return ad_fail(g, AD_EVALUE, "replace_module: %s has no module \"%s\" below it", m->kind, path ? path : "");
    if (with == NULL) return ad_fail(g, AD_EVALUE, "replace_module: the new module is NULL");
    if (nn__check_open(&with->object, g, "replace_module", "new module")) return AD_EGRAPH;
    if (with->object.graph != g) return ad_fail(g, AD_EGRAPH, "replace_module: the modules belong to two graphs");
    if (m->complete)
        return ad_fail(g, AD_EVALUE, "replace_module: %s is part of another module; call it for the outermost one",
                       m->kind);
    return AD_OK;
}

/* ---- the change ---------------------------------------------------------------------------------------------- */

/* What is put back where memory is short: the places of pointers to the old module, and the lists of each module. */
typedef struct {
    void **places;
    int n;
    struct {
        nn__named *table;
        nn__named_list lists[NN__LISTS];
    } * names;
} undo;

/* Writes to a place and remembers it; only counts it where there is no memory yet. */
static void redirect(const replacement *r, undo *u, void *place) {
    if (memcmp(place, &r->old, sizeof r->old) != 0) return;
    if (u->places != NULL) {
        memcpy(place, &r->with, sizeof r->with);
        u->places[u->n] = place;
    }
    u->n++;
}

/* Every pointer to the old module, in the members and the fields of the modules above it. */
static void redirect_all(const replacement *r, undo *u) {
    for (int64_t i = 0; i < r->all.n; i++) {
        nn_module *m = r->all.at[i].module;
        if (m->mark == 0) continue;
        for (nn__member *c = m->members; c != NULL; c = c->next) redirect(r, u, &c->module);
        for (const nn__reference *ref = m->references; ref != NULL; ref = ref->next)
            redirect(r, u, (char *)m->self + ref->offset);
    }
}

/* Makes the lists of m and of the marked modules below it again. */
static int list_again(nn_module *m) {
    int rc = AD_OK;
    if (m->mark == 0) return AD_OK;
    m->mark = 0;
    for (nn__member *c = m->members; c != NULL && rc == AD_OK; c = c->next)
        if (c->module != NULL) rc = list_again(c->module);
    return rc ? rc : nn__list_again(m);
}

static void go_back(const replacement *r, const undo *u) {
    for (int i = 0; i < u->n; i++) memcpy(u->places[i], &r->old, sizeof r->old);
    for (int64_t i = 0; i < r->all.n; i++) {
        nn_module *m = r->all.at[i].module;
        m->mark = 0;
        m->table = u->names[i].table;
        memcpy(m->lists, u->names[i].lists, sizeof m->lists);
    }
}

static int change(const replacement *r) {
    int places = places_of(r, r->old);
    undo u = { 0 };
    for (int64_t i = 0; i < r->all.n; i++) r->all.at[i].module->mark = is_above(r, r->all.at[i].module);
    redirect_all(r, &u);
    void **all = ad_scope_alloc(r->graph, (size_t)u.n * sizeof *all);
    u.names = all ? ad_scope_alloc(r->graph, (size_t)r->all.n * sizeof *u.names) : NULL;
    for (int64_t i = 0; i < r->all.n; i++) {
        nn_module *m = r->all.at[i].module;
        if (u.names == NULL) m->mark = 0;
        else u.names[i].table = m->table, memcpy(u.names[i].lists, m->lists, sizeof m->lists);
    }
    if (u.names == NULL) return AD_ENOMEM;
    u.places = all, u.n = 0;
    redirect_all(r, &u);
    int rc = list_again(r->all.at[0].module);
    if (rc != AD_OK) return go_back(r, &u), rc;
    r->old->uses -= places, r->with->uses += places;
    r->with->complete = true;
    return AD_OK;
}

int nn_replace_module(nn_module *m, const char *path, nn_module *with) {
    if (m == NULL) return ad_fail(nn_graph_of(with), AD_EVALUE, "replace_module: the module is NULL");
    int rc = check(m, path, with);
    if (rc != AD_OK) return rc;
    replacement r = { .graph = nn_graph_of(m), .old = nn_find_module(m, path), .with = with };
    if (r.old == with) return AD_OK;
    r.all = nn__list_modules(m);
    rc = r.all.at ? check_all(&r) : AD_ENOMEM;
    if (rc == AD_OK) rc = change(&r);
    nn__give_list(r.graph, &r.all);
    return rc;
}
