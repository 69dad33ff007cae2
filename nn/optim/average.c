/* average.c: averages of a module's weights over the steps of a training. */
#include "nn/optim/average.h"

#include <math.h>
#include <string.h>

#include "nn/kernels/vector.h"
#include "nn/optim/state.h"

nn_average *nn_average_new(nn_module *m, nn_average_opts o) {
    ad_graph *g = nn_graph_of(m);
    o.decay = ad_option(o.decay, 0);
    if (m == NULL || nn__check_open(&m->object, NULL, "average_new", "module") || !ad_ok(g)) return NULL;
    if (!(o.decay >= 0 && o.decay < 1))
        return ad_fail(g, AD_EVALUE, "average_new: decay %g: it must be 0 or more, and below 1", o.decay), NULL;
    if (o.warm_up && o.decay == 0)
        return ad_fail(g, AD_EVALUE, "average_new: warm_up needs a decay: without one the average is a mean"), NULL;
    int n = nn__array_count(m);
    nn_average *a = ad_scope_zalloc(g, sizeof *a + (size_t)n * sizeof *a->each);
    if (a == NULL) return NULL;
    *a = (nn_average){ .object = { g, &a->object }, .o = o, .n = n, .n_parameters = nn_parameter_count(m) };
    for (int i = 0; i < n && ad_ok(g); i++) {
        nn_parameter p = nn__array_at(m, i);
        a->each[i] = (nn__averaged){ p, ad_tensor(g, ad_dtype_of(p.var), ad_data(p.var), ad_shape_of(p.var)) };
    }
    return ad_ok(g) ? a : NULL;
}

/* 0, or the code of an error. */
static int check(const nn_average *a, const char *caller) {
    if (a == NULL) return AD_EVALUE; /* the error is that of its making */
    int rc = nn__check_open(&a->object, NULL, caller, "average");
    return rc ? rc : ad_error_code(a->object.graph);
}

static void copy(ad_var *to, const ad_var *from) {
    if (ad_bytes_of(from) > 0) memcpy(ad_data_mut(to), ad_data(from), ad_bytes_of(from));
}

static double share_of_new(const nn_average *a) {
    double t = a->count, decay = a->o.decay;
    if (decay == 0) return 1 / (t + 1);
    return 1 - (a->o.warm_up ? fmin(decay, (1 + t) / (10 + t)) : decay);
}

/* Counters are whole: num_batches_tracked. */
static bool is_averaged(const nn_average *a, int i) {
    if (a->count == 0) return false;
    return i < a->n_parameters || (a->o.buffers && !nn__ends_with(a->each[i].of.name, "num_batches_tracked"));
}

int nn_average_update(nn_average *a) {
    int rc = check(a, "average_update");
    if (rc != AD_OK) return rc;
    if (a->swapped)
        return ad_fail(a->object.graph, AD_EVALUE, "average_update: the module has the averages; call nn_average_swap");
    double w = share_of_new(a);
    for (int i = 0; i < a->n; i++) {
        ad_var *x = a->each[i].of.var, *mean = a->each[i].average;
        if (!is_averaged(a, i)) copy(mean, x);
        else nn__array_average(ad_dtype_of(x), ad_numel(x), w, ad_data(x), ad_data_mut(mean));
    }
    a->count++;
    return AD_OK;
}

int64_t nn_average_count(const nn_average *a) { return check(a, "average_count") ? 0 : (int64_t)a->count; }

static int check_count(const nn_average *a, const char *caller) {
    int rc = check(a, caller);
    if (rc != AD_OK || a->count > 0) return rc;
    return ad_fail(a->object.graph, AD_EVALUE, "%s: there was no nn_average_update yet", caller);
}

/* After an error of the graph ad_data_mut gives nothing; results that used x are stale since the exchange before. */
static char *elements_of(ad_var *x) {
    void *elements = ad_ok(ad_graph_of(x)) ? ad_data_mut(x) : NULL;
    return elements ? elements : (char *)(uintptr_t)ad_data(x);
}

static void exchange(ad_var *x, ad_var *y) {
    enum { CHUNK = 4096 };
    char kept[CHUNK], *a = elements_of(x), *b = elements_of(y);
    for (size_t at = 0, all = ad_bytes_of(x), n; at < all; at += n) {
        n = all - at < CHUNK ? all - at : CHUNK;
        memcpy(kept, a + at, n);
        memcpy(a + at, b + at, n);
        memcpy(b + at, kept, n);
    }
}

void nn__average_exchange(nn_average *a) {
    for (int i = 0; i < a->n; i++) exchange(a->each[i].of.var, a->each[i].average);
    a->swapped = !a->swapped;
}

int nn_average_swap(nn_average *a) {
    int rc = check_count(a, "average_swap");
    if (rc == AD_OK) nn__average_exchange(a);
    return rc;
}

int nn__check_average(const nn_average *a, const nn_module *m, ad_graph *g, const char *caller) {
    if (nn__check_open(&a->object, g, caller, "average")) return AD_EGRAPH;
    bool same = a->n == nn__array_count(m);
    for (int i = 0; i < a->n && same; i++) same = a->each[i].of.var == nn__array_at(m, i).var;
    if (!same) return ad_fail(g, AD_EVALUE, "%s: the average is that of another module", caller);
    if (a->swapped) return ad_fail(g, AD_EVALUE, "%s: the module has the averages; call nn_average_swap", caller);
    return AD_OK;
}

int nn_average_apply(nn_average *a) {
    int rc = check_count(a, "average_apply");
    if (rc != AD_OK) return rc;
    if (a->swapped)
        return ad_fail(a->object.graph, AD_EVALUE, "average_apply: the module has the averages; call nn_average_swap");
    for (int i = 0; i < a->n; i++) copy(a->each[i].of.var, a->each[i].average);
    return AD_OK;
}

ad_var *nn_average_find(const nn_average *a, const char *name) {
    if (check(a, "average_find") != AD_OK || name == NULL) return NULL;
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->each[i].of.name, name) == 0) return a->each[i].average;
    return NULL;
}
