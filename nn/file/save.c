/* save.c: saves a module's parameters and buffers. */
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/safetensors.h"
#include "nn/module/module_private.h"

/* "prefix" and then the name; the name itself where there is no prefix. NULL when memory is short. */
static const char *prefixed(ad_graph *g, const char *prefix, const char *name) {
    size_t n = strlen(prefix), size = n + strlen(name) + 1;
    char *to = n > 0 ? ad_scope_alloc(g, size) : NULL;
    if (to == NULL) return n > 0 ? NULL : name;
    memcpy(to, prefix, n);
    return strcpy(to + n, name) - n;
}

/* In memory of the innermost scope; false when that is short. */
static bool list_arrays(const nn_module *m, const nn_save_opts *o, int n, nn_parameter *all) {
    int arrays = nn__array_count(m);
    for (int i = 0; i < n; i++) {
        all[i] = i < arrays ? nn__array_at(m, i) : nn__var_at(m, NN__ALIASES, i - arrays);
        all[i].name = prefixed(nn_graph_of(m), o->prefix ? o->prefix : "", all[i].name);
        if (all[i].name == NULL) return false;
    }
    return true;
}

int nn_save_with(const nn_module *m, const char *path, nn_save_opts o) {
    ad_graph *g = nn_graph_of(m);
    if (g == NULL) return AD_EVALUE; /* m is NULL: the graph has the error of making it */
    ad_mark mark = ad_begin(g);
    int n = nn__array_count(m) + (o.all_names ? m->lists[NN__ALIASES].count : 0);
    nn_parameter *all = ad_scope_alloc(g, (size_t)n * sizeof *all);
    int rc = all && list_arrays(m, &o, n, all) ? nn__write_tensors(g, "save", path, n, all, 0, NULL) : AD_ENOMEM;
    ad_end(g, mark);
    return rc;
}

int nn_save(const nn_module *m, const char *path) { return nn_save_with(m, path, (nn_save_opts){ 0 }); }
