/* statistics.c: the running statistics of batch_norms anew, from data. */
#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "nn/train.h"
#include "nn/train/evaluate.h"

static int check(ad_graph *g, const nn_module *net, const ad_var *x, int64_t batch) {
    if (net == NULL || ad_is_nil(x)) return ad_fail(g, AD_EVALUE, "update_statistics: the network is NULL or x is nil");
    if (nn__check_open(&net->object, g, "update_statistics", "network")) return AD_EGRAPH;
    if (ad_graph_of(x) != g) return ad_fail(g, AD_EGRAPH, "update_statistics: the network and x belong to two graphs");
    if (ad_shape_of(x).ndim < 1 || ad_shape_of(x).dim[0] < 1)
        return ad_fail(g, AD_ESHAPE, "update_statistics: x is %s; it needs rows", ad_shape_str(ad_shape_of(x)).text);
    return batch >= 1 ? AD_OK : ad_fail(g, AD_EVALUE, "update_statistics: batch %lld: at least 1", (long long)batch);
}

static void apply_all(nn_module *net, ad_var *x, int64_t batch) {
    ad_graph *g = nn_graph_of(net);
    int64_t n = ad_shape_of(x).dim[0];
    for (int64_t from = 0; from < n && ad_ok(g); from += batch) {
        ad_mark m = ad_begin(g);
        nn_apply(net, nn__rows_of(x, from, n - from < batch ? n - from : batch));
        ad_end(g, m);
    }
}

/* Copies of the buffers in memory of the innermost scope; NULL when memory is short. */
static ad_var **copy_buffers(const nn_module *net) {
    ad_graph *g = nn_graph_of(net);
    int n = nn_buffer_count(net);
    ad_var **to = ad_scope_alloc(g, (size_t)n * sizeof *to);
    for (int i = 0; i < n && to != NULL; i++) {
        const ad_var *x = nn_buffer_at(net, i).var;
        to[i] = ad_tensor(g, ad_dtype_of(x), ad_data(x), ad_shape_of(x));
    }
    return ad_ok(g) ? to : NULL;
}

static void put_buffers_back(const nn_module *net, ad_var *const from[]) {
    for (int i = 0; i < nn_buffer_count(net); i++) nn__put_back(nn_buffer_at(net, i).var, ad_data(from[i]));
}

static void set_modes(const nn__places_of *all, const bool *was) {
    for (int64_t i = 0; i < all->n; i++) all->at[i].module->training = was[i];
}

/* All modules are in training mode meanwhile, and each gets its own mode back. After an error the buffers are as they
   were. */
int nn_update_statistics(nn_module *net, ad_var *x, int64_t batch) {
    ad_graph *g = net ? nn_graph_of(net) : ad_graph_of(x);
    if (!ad_ok(g) || check(g, net, x, batch)) return g ? ad_error_code(g) : AD_EVALUE;
    ad_mark scope = ad_begin(g);
    ad_var **before = copy_buffers(net);
    nn__places_of all = before ? nn__list_modules(net) : (nn__places_of){ 0 };
    bool *was = all.at ? ad_scope_alloc(g, (size_t)all.n) : NULL, enabled = ad_enable_grad(g, false);
    for (int64_t i = 0; i < all.n && was != NULL; i++) was[i] = nn_training(all.at[i].module);
    if (was != NULL) {
        nn_train(net, true);
        nn_statistics_begin(net);
        apply_all(net, x, batch);
        nn_statistics_end(net);
        set_modes(&all, was);
        if (!ad_ok(g)) put_buffers_back(net, before);
    }
    ad_enable_grad(g, enabled);
    nn__give_list(g, &all);
    ad_end(g, scope);
    return ad_error_code(g);
}
