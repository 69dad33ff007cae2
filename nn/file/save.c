/* save.c: saves and loads a module's parameters and buffers. */
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/file.h"
#include "nn/file/safetensors.h"
#include "nn/module/module_private.h"

int nn_save(const nn_module *m, const char *path) {
    ad_graph *g = nn_graph_of(m);
    if (g == NULL) return AD_EVALUE; /* m is NULL: the graph has the error of making it */
    ad_mark mark = ad_begin(g);
    int n = nn__array_count(m);
    nn_parameter *all = ad_scope_alloc(g, (size_t)n * sizeof *all);
    for (int i = 0; i < n && all != NULL; i++) all[i] = nn__array_at(m, i);
    int rc = all ? nn__write_tensors(g, "save", path, n, all, 0, NULL) : AD_ENOMEM;
    ad_end(g, mark);
    return rc;
}

static bool has_tensor(const nn__tensor_file *f, const char *name) {
    for (int i = 0; i < nn__tensor_count(f); i++)
        if (strcmp(nn__tensor_name(f, i), name) == 0) return true;
    return false;
}

/* Under which of its names a file has p: the first if it has none of them. */
static const char *name_in(const nn__tensor_file *f, const nn_module *m, nn_parameter p) {
    const nn__named_list *aliases = &m->lists[NN__ALIASES];
    if (aliases->count == 0 || has_tensor(f, p.name)) return p.name;
    for (int i = 0; i < aliases->count; i++) {
        nn_parameter other = nn__var_at(m, NN__ALIASES, i);
        if (other.var == p.var && has_tensor(f, other.name)) return other.name;
    }
    return p.name;
}

static int check_names(const nn_module *m, const nn__tensor_file *f) {
    int rc = AD_OK;
    for (int i = 0; i < nn__array_count(m) && rc == AD_OK; i++) {
        nn_parameter p = nn__array_at(m, i);
        rc = nn__check_tensor(f, name_in(f, m, p), p.var);
    }
    for (int i = 0; rc == AD_OK && i < nn__tensor_count(f); i++) {
        const char *name = nn__tensor_name(f, i);
        if (nn_find_parameter(m, name) == NULL && nn_find_buffer(m, name) == NULL &&
            !nn__ends_with(name, "num_batches_tracked"))
            rc = ad_fail(nn_graph_of(m), AD_EIO, "load: the file has %.200s, which the module does not have", name);
    }
    return rc;
}

int nn_load(nn_module *m, const char *path) {
    ad_graph *g = nn_graph_of(m);
    if (g == NULL) return AD_EVALUE;
    ad_mark mark = ad_begin(g);
    nn__tensor_file *f;
    int rc = nn__open_tensors(g, "load", path, &f);
    if (rc == AD_OK) rc = check_names(m, f);
    for (int i = 0; i < nn__array_count(m) && rc == AD_OK; i++) {
        nn_parameter p = nn__array_at(m, i);
        nn__read_tensor(f, name_in(f, m, p), p.var);
    }
    ad_end(g, mark);
    return rc;
}
