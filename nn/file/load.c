/* load.c: loads a module's parameters and buffers, all of them or those that a file has, under other names if need
   be. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/safetensors.h"
#include "nn/module/module_private.h"

/* An array of the file that is wanted. */
typedef struct {
    const char *name, *in_file; /* as the module may call it; as the file does */
} source;

/* In memory of an inner scope. The lists of names have room for all arrays. */
typedef struct {
    nn_module *m;
    const nn_load_opts *o;
    const nn__tensor_file *f;
    source *sources; /* by name */
    source **from;   /* for each array of m, or NULL */
    int n_sources, n_arrays;
    nn_load_report found;
    const char **missing, **unfit, **unused;
} loading;

/* ---- the names ----------------------------------------------------------------------------------------------- */

/* name without the beginning; NULL where it begins otherwise. */
static const char *behind(const char *name, const char *beginning) {
    size_t n = strlen(beginning);
    return strncmp(name, beginning, n) == 0 ? name + n : NULL;
}

/* Sets *to to the name that the rules give, or to NULL where they leave it out. */
static int renamed(const loading *l, const char *name, const char **to) {
    *to = l->o->prefix ? behind(name, l->o->prefix) : name;
    for (const nn_rename *r = l->o->rename; *to != NULL && r != NULL && r->from != NULL; r++) {
        const char *rest = behind(*to, r->from);
        if (rest == NULL) continue;
        size_t size = r->to ? strlen(r->to) + strlen(rest) + 1 : 0;
        char *text = r->to ? ad_scope_alloc(nn_graph_of(l->m), size) : NULL;
        if (text != NULL) snprintf(text, size, "%s%s", r->to, rest);
        *to = text;
        return r->to && !text ? AD_ENOMEM : AD_OK;
    }
    return AD_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const source *)a)->name, ((const source *)b)->name);
}

static int list_sources(loading *l) {
    int rc = AD_OK;
    for (int i = 0; i < nn__tensor_count(l->f) && rc == AD_OK; i++) {
        source s = { .in_file = nn__tensor_name(l->f, i) };
        rc = renamed(l, s.in_file, &s.name);
        if (s.name != NULL) l->sources[l->n_sources++] = s;
    }
    qsort(l->sources, (size_t)l->n_sources, sizeof *l->sources, by_name);
    for (int i = 1; i < l->n_sources && rc == AD_OK; i++)
        if (by_name(&l->sources[i - 1], &l->sources[i]) == 0)
            rc = ad_fail(nn_graph_of(l->m), AD_EVALUE, "load: %.200s and %.200s of the file are both renamed to %.200s",
                         l->sources[i - 1].in_file, l->sources[i].in_file, l->sources[i].name);
    return rc;
}

static source *named(const loading *l, const char *name) {
    source wanted = { .name = name };
    if (l->n_sources == 0) return NULL;
    return bsearch(&wanted, l->sources, (size_t)l->n_sources, sizeof *l->sources, by_name);
}

/* The source of p, under its first name or, if the file does not have that, under another one. */
static source *source_of(const loading *l, nn_parameter p) {
    source *s = named(l, p.name);
    for (int i = 0; s == NULL && i < l->m->lists[NN__ALIASES].count; i++) {
        nn_parameter other = nn__var_at(l->m, NN__ALIASES, i);
        if (other.var == p.var) s = named(l, other.name);
    }
    return s;
}

/* ---- what fits what ------------------------------------------------------------------------------------------ */

static bool is_known(const nn_module *m, const char *name) {
    return nn_find_parameter(m, name) != NULL || nn_find_buffer(m, name) != NULL ||
           nn__ends_with(name, "num_batches_tracked");
}

static void sort_out(loading *l) {
    nn_load_report *r = &l->found;
    for (int i = 0; i < l->n_arrays; i++) {
        nn_parameter p = nn__array_at(l->m, i);
        source *s = source_of(l, p);
        if (s == NULL) l->missing[r->n_missing++] = p.name;
        else if (!nn__tensor_fits(l->f, s->in_file, p.var)) l->unfit[r->n_unfit++] = p.name;
        else l->from[i] = s, r->n_loaded++;
    }
    for (int i = 0; i < l->n_sources; i++)
        if (!is_known(l->m, l->sources[i].name)) l->unused[r->n_unused++] = l->sources[i].in_file;
}

/* The first fault of a file that must fit completely; nn__check_tensor has the sentence for those of arrays. */
static int first_fault(const loading *l) {
    ad_graph *g = nn_graph_of(l->m);
    for (int i = 0; i < l->n_arrays; i++) {
        nn_parameter p = nn__array_at(l->m, i);
        const source *s = source_of(l, p);
        int rc = l->from[i] ? AD_OK : nn__check_tensor(l->f, s ? s->in_file : p.name, p.var);
        if (rc != AD_OK) return rc;
        if (l->from[i] == NULL)
            return ad_fail(g, AD_EIO, "load: prefix and rename leave out %.200s, which the module has", p.name);
    }
    if (l->found.n_unused == 0) return AD_OK;
    return ad_fail(g, AD_EIO, "load: the file has %.200s, which the module does not have", l->unused[0]);
}

static int check(const loading *l) {
    if (!l->o->partial) return first_fault(l);
    if (l->n_arrays == 0 || l->found.n_loaded > 0) return AD_OK;
    return ad_fail(nn_graph_of(l->m), AD_EIO,
                   "load: no array of the file is one of the module's: the file has %.200s, "
                   "the module %.200s; look at prefix and rename",
                   nn__tensor_count(l->f) > 0 ? nn__tensor_name(l->f, 0) : "nothing", nn__array_at(l->m, 0).name);
}

/* ---- the report ---------------------------------------------------------------------------------------------- */

static size_t text_size(int n, const char *const names[]) {
    size_t size = 0;
    for (int i = 0; i < n; i++) size += strlen(names[i]) + 1;
    return size;
}

/* Copies n names; *at is the memory for texts. Returns the list, at `list`. */
static const char **copy_names(int n, const char *const names[], const char **list, char **at) {
    for (int i = 0; i < n; i++) {
        list[i] = strcpy(*at, names[i]);
        *at += strlen(names[i]) + 1;
    }
    return list;
}

/* Copies the names into memory that outlives the inner scope: a buffer whose size is *size. */
static void *pack(const loading *l, size_t *size) {
    const nn_load_report *r = &l->found;
    size_t n = (size_t)r->n_missing + (size_t)r->n_unfit + (size_t)r->n_unused;
    *size = n * sizeof(char *) + text_size(r->n_missing, l->missing) + text_size(r->n_unfit, l->unfit) +
            text_size(r->n_unused, l->unused) + 1;
    char *memory = ad_buffer_take(nn_graph_of(l->m), *size), *at = memory ? memory + n * sizeof(char *) : NULL;
    const char **list = (const char **)(void *)memory;
    if (memory == NULL) return NULL;
    copy_names(r->n_missing, l->missing, list, &at);
    copy_names(r->n_unfit, l->unfit, list + r->n_missing, &at);
    copy_names(r->n_unused, l->unused, list + r->n_missing + r->n_unfit, &at);
    return memory;
}

/* The same names in memory of the innermost scope, which is the caller's again. */
static int unpack(ad_graph *g, const void *packed, size_t size, nn_load_report *r) {
    char *memory = ad_scope_alloc(g, size);
    if (memory == NULL) return AD_ENOMEM;
    size_t n = (size_t)r->n_missing + (size_t)r->n_unfit + (size_t)r->n_unused;
    const char **list = (const char **)(void *)memcpy(memory, packed, size);
    for (size_t i = 0; i < n; i++) list[i] = memory + (list[i] - (const char *)packed);
    r->missing = list;
    r->unfit = list + r->n_missing;
    r->unused = list + r->n_missing + r->n_unfit;
    return AD_OK;
}

/* ---- the call ------------------------------------------------------------------------------------------------ */

static int reserve(loading *l) {
    ad_graph *g = nn_graph_of(l->m);
    l->n_arrays = nn__array_count(l->m);
    size_t here = (size_t)l->n_arrays, there = (size_t)nn__tensor_count(l->f);
    l->sources = ad_scope_alloc(g, there * sizeof *l->sources);
    l->from = ad_scope_zalloc(g, here * sizeof *l->from);
    l->missing = ad_scope_alloc(g, (2 * here + there) * sizeof *l->missing);
    if (l->sources == NULL || l->from == NULL || l->missing == NULL) return AD_ENOMEM;
    l->unfit = l->missing + here;
    l->unused = l->unfit + here;
    return AD_OK;
}

/* Finds out what is to be loaded, in an inner scope. */
static int look(loading *l, const char *path) {
    nn__tensor_file *f;
    int rc = nn__open_tensors(nn_graph_of(l->m), "load", path, &f);
    if (rc != AD_OK) return rc;
    l->f = f;
    rc = reserve(l);
    if (rc == AD_OK) rc = list_sources(l);
    if (rc != AD_OK) return rc;
    sort_out(l);
    return check(l);
}

/* Looks without loading: memory for the report may be short, and then nothing must have changed. */
static int report_on(nn_module *m, const char *path, const nn_load_opts *o, nn_load_report *report) {
    ad_graph *g = nn_graph_of(m);
    loading l = { .m = m, .o = o };
    size_t size = 0;
    ad_mark mark = ad_begin(g);
    int rc = look(&l, path);
    void *packed = pack(&l, &size);
    ad_end(g, mark);
    if (packed != NULL && unpack(g, packed, size, &l.found) == AD_OK) *report = l.found;
    ad_buffer_give(g, packed, size);
    return rc ? rc : ad_error_code(g);
}

int nn_load_with(nn_module *m, const char *path, nn_load_opts o, nn_load_report *report) {
    ad_graph *g = nn_graph_of(m);
    if (report != NULL) *report = (nn_load_report){ 0 };
    if (g == NULL) return AD_EVALUE; /* the error is that of the module's making */
    int rc = report ? report_on(m, path, &o, report) : AD_OK;
    if (rc != AD_OK) return rc;
    loading l = { .m = m, .o = &o };
    ad_mark mark = ad_begin(g);
    rc = look(&l, path);
    for (int i = 0; i < l.n_arrays && rc == AD_OK; i++)
        if (l.from[i] != NULL) nn__read_tensor(l.f, l.from[i]->in_file, nn__array_at(m, i).var);
    ad_end(g, mark);
    return rc;
}

int nn_load(nn_module *m, const char *path) { return nn_load_with(m, path, (nn_load_opts){ 0 }, NULL); }
