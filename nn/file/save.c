/* save.c: a network's parameters and buffers to a file and back. */
#include "nn/file.h"

#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/module/module_private.h"
#include "nn/file/safetensors.h"

int nn_save(const nn_module *m, const char *path) {
    ad_graph *g = nn_graph_of(m);
    if (g == NULL) return AD_EVALUE; /* a module that could not be made: its graph has the error */
    ad_mark mark = ad_begin(g);
    int n = nn__array_count(m);
    nn_parameter *all = ad_scope_alloc(g, (size_t)n * sizeof *all);
    for (int i = 0; i < n && all != NULL; i++) all[i] = nn__array_at(m, i);
    int rc = all ? nn__write_tensors(g, "save", path, n, all, 0, NULL) : AD_ENOMEM;
    ad_end(g, mark);
    return rc;
}

static int check_names(const nn_module *m, const nn__tensor_file *f) {
    int rc = AD_OK;
    for (int i = 0; i < nn__array_count(m) && rc == AD_OK; i++) {
        nn_parameter p = nn__array_at(m, i);
        rc = nn__check_tensor(f, p.name, p.var);
    }
    for (int i = 0; rc == AD_OK && i < nn__tensor_count(f); i++) {
        const char *name = nn__tensor_name(f, i);
        if (nn_find_parameter(m, name) == NULL && nn_find_buffer(m, name) == NULL &&
            !nn__ends_with(name, "num_batches_tracked"))
            rc = ad_fail(nn_graph_of(m), AD_EIO, "load: the file has %.200s, which the module has not", name);
    }
    return rc;
}

int nn_load(nn_module *m, const char *path) {
    if (m == NULL) return AD_EVALUE;
    nn__tensor_file *f;
    int rc = nn__open_tensors(nn_graph_of(m), "load", path, &f);
    if (rc == AD_OK) rc = check_names(m, f);
    for (int i = 0; i < nn__array_count(m) && rc == AD_OK; i++) {
        nn_parameter p = nn__array_at(m, i);
        nn__read_tensor(f, p.name, p.var);
    }
    nn__close_tensors(f);
    return rc;
}
