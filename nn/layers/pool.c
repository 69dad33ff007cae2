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
    for (int i = 0; i < 2; i++)
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

/* ---- to a given size of the result --------------------------------------------------------------------- */

typedef struct {
    int64_t h, w; /* one axis: h alone */
} size;

static ad_var *adaptive1d_forward(nn_module *m, ad_var *x) {
    return ad_adaptive_avg_pool1d(x, ((const size *)nn_self(m))->h);
}

nn_module *nn_adaptive_avg_pool1d(ad_graph *g, int64_t l) {
    if (!nn__is_size(g, "adaptive_avg_pool1d", "l", l)) return NULL;
    nn_module *m = nn_module_new(g, "adaptive_avg_pool1d", adaptive1d_forward, sizeof(size));
    if (m != NULL) *(size *)nn_self(m) = (size){ .h = l };
    return m;
}

static ad_var *adaptive2d_forward(nn_module *m, ad_var *x) {
    const size *s = nn_self(m);
    return ad_adaptive_avg_pool2d(x, s->h, s->w);
}

nn_module *nn_adaptive_avg_pool2d(ad_graph *g, int64_t h, int64_t w) {
    if (!nn__is_size(g, "adaptive_avg_pool2d", "h", h) || !nn__is_size(g, "adaptive_avg_pool2d", "w", w)) return NULL;
    nn_module *m = nn_module_new(g, "adaptive_avg_pool2d", adaptive2d_forward, sizeof(size));
    if (m != NULL) *(size *)nn_self(m) = (size){ h, w };
    return m;
}
