/* pool.c: pooling layers. */
#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

typedef ad_var *pool_fn(ad_var *x, ad_pool_opts opts);
typedef struct {
    pool_fn *f;
    ad_pool_opts opts;
} pool;

static ad_var *pool_forward(nn_module *m, ad_var *x) {
    const pool *p = nn_self(m);
    return p->f(x, p->opts);
}

static nn_module *pool_new(ad_graph *g, const char *kind, pool_fn *f, ad_pool_opts o) {
    if (!nn__is_size(g, kind, "kernel", o.kernel[0])) return NULL;
    for (int i = 0; i < 3; i++)
        if (!nn__is_not_negative(g, kind, "kernel", o.kernel[i]) ||
            !nn__is_not_negative(g, kind, "stride", o.stride[i]) ||
            !nn__is_not_negative(g, kind, "padding", o.padding[i]) ||
            !nn__is_not_negative(g, kind, "dilation", o.dilation[i]))
            return NULL;
    nn_module *m = nn_module_new(g, kind, pool_forward, sizeof(pool));
    if (m != NULL) *(pool *)nn_self(m) = (pool){ f, o };
    return m;
}

nn_module *nn_max_pool1d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "max_pool1d", ad_max_pool1d, o); }
nn_module *nn_max_pool2d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "max_pool2d", ad_max_pool2d, o); }
nn_module *nn_avg_pool1d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "avg_pool1d", ad_avg_pool1d, o); }
nn_module *nn_avg_pool2d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "avg_pool2d", ad_avg_pool2d, o); }

nn_module *nn_max_pool3d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "max_pool3d", ad_max_pool3d, o); }
nn_module *nn_avg_pool3d(ad_graph *g, ad_pool_opts o) { return pool_new(g, "avg_pool3d", ad_avg_pool3d, o); }

/* ---- power averages ------------------------------------------------------------------------------------- */

typedef struct {
    ad_var *(*f)(ad_var *x, double p, ad_pool_opts opts);
    double p;
    ad_pool_opts opts;
} lp_pool;

static ad_var *lp_forward(nn_module *m, ad_var *x) {
    const lp_pool *p = nn_self(m);
    return p->f(x, p->p, p->opts);
}

static nn_module *lp_new(ad_graph *g, const char *kind, lp_pool p) {
    if (!nn__is_size(g, kind, "kernel", p.opts.kernel[0])) return NULL;
    nn_module *m = nn_module_new(g, kind, lp_forward, sizeof p);
    if (m != NULL) *(lp_pool *)nn_self(m) = p;
    return m;
}

nn_module *nn_lp_pool1d(ad_graph *g, double p, ad_pool_opts o) {
    return lp_new(g, "lp_pool1d", (lp_pool){ ad_lp_pool1d, p, o });
}
nn_module *nn_lp_pool2d(ad_graph *g, double p, ad_pool_opts o) {
    return lp_new(g, "lp_pool2d", (lp_pool){ ad_lp_pool2d, p, o });
}

/* ---- to a given size of the result --------------------------------------------------------------------- */

typedef struct {
    int axes;
    bool max;
    int64_t n[3]; /* of the last axes */
} adaptive;

static ad_var *adaptive_forward(nn_module *m, ad_var *x) {
    const adaptive *a = nn_self(m);
    const int64_t *n = a->n;
    if (a->axes == 1) return a->max ? ad_adaptive_max_pool1d(x, n[0]) : ad_adaptive_avg_pool1d(x, n[0]);
    if (a->axes == 2) return a->max ? ad_adaptive_max_pool2d(x, n[0], n[1]) : ad_adaptive_avg_pool2d(x, n[0], n[1]);
    return a->max ? ad_adaptive_max_pool3d(x, n[0], n[1], n[2]) : ad_adaptive_avg_pool3d(x, n[0], n[1], n[2]);
}

static nn_module *adaptive_new(ad_graph *g, const char *kind, adaptive a) {
    static const char *const names[3][3] = { { "l" }, { "h", "w" }, { "d", "h", "w" } };
    for (int i = 0; i < a.axes; i++)
        if (!nn__is_size(g, kind, names[a.axes - 1][i], a.n[i])) return NULL;
    nn_module *m = nn_module_new(g, kind, adaptive_forward, sizeof a);
    if (m != NULL) *(adaptive *)nn_self(m) = a;
    return m;
}

nn_module *nn_adaptive_avg_pool1d(ad_graph *g, int64_t l) {
    return adaptive_new(g, "adaptive_avg_pool1d", (adaptive){ 1, false, { l } });
}
nn_module *nn_adaptive_avg_pool2d(ad_graph *g, int64_t h, int64_t w) {
    return adaptive_new(g, "adaptive_avg_pool2d", (adaptive){ 2, false, { h, w } });
}
nn_module *nn_adaptive_avg_pool3d(ad_graph *g, int64_t d, int64_t h, int64_t w) {
    return adaptive_new(g, "adaptive_avg_pool3d", (adaptive){ 3, false, { d, h, w } });
}
nn_module *nn_adaptive_max_pool1d(ad_graph *g, int64_t l) {
    return adaptive_new(g, "adaptive_max_pool1d", (adaptive){ 1, true, { l } });
}
nn_module *nn_adaptive_max_pool2d(ad_graph *g, int64_t h, int64_t w) {
    return adaptive_new(g, "adaptive_max_pool2d", (adaptive){ 2, true, { h, w } });
}
nn_module *nn_adaptive_max_pool3d(ad_graph *g, int64_t d, int64_t h, int64_t w) {
    return adaptive_new(g, "adaptive_max_pool3d", (adaptive){ 3, true, { d, h, w } });
}
