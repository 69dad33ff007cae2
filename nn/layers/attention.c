/* attention.c: multi-head attention, and decoding step by step with the keys and values of the steps before. */
#include "nn/layers/attention.h"

#include <math.h>
#include <string.h>

#include "nn/module/module_private.h"
#include "ops/ops.h"

typedef struct cache cache;

typedef struct {
    ad_var *w, *b; /* in_proj_weight [3 embed, embed]; in_proj_bias [3 embed], or NULL */
    nn_module *out;
    nn_attention_opts o;
    int64_t size;   /* of a head */
    bool of_memory; /* not cached */
    cache *cache;   /* NULL but between nn_cache_begin and nn_cache_end */
    ad_var *k, *v;  /* cached: [n, heads, capacity, size] */
    int64_t done;   /* time steps that the cache has */
} attention;

static const double ROTARY_BASE = 10000;

/* ---- masks ------------------------------------------------------------------------------------------------ */

/* -inf where the mask is not 0, and 0 elsewhere. */
static ad_var *hiding(ad_var *mask) {
    ad_graph *g = ad_graph_of(mask);
    ad_dtype t = ad_dtype_of(mask);
    return ad_where(mask, ad_scalar(g, t, -INFINITY), ad_scalar(g, t, 0));
}

/* PyTorch's masks [n heads, tq, tk] get an axis for the heads. */
static ad_var *with_heads(ad_var *mask, int64_t n, int64_t heads) {
    ad_shape s = ad_shape_of(mask);
    if (s.ndim != 3 || s.dim[0] != n * heads) return mask;
    return ad_reshape(mask, AD_SHAPE(n, heads, s.dim[1], s.dim[2]));
}

/* What is added to the scores [n, heads, tq, tk], or NULL. */
static ad_var *added_mask(const nn_attention_masks *masks, int64_t n, int64_t heads, int64_t tk) {
    ad_var *mask = masks->mask, *padding = masks->padding;
    if (mask != NULL) mask = with_heads(masks->boolean_mask ? hiding(mask) : mask, n, heads);
    if (padding == NULL) return mask;
    padding = ad_reshape(hiding(padding), AD_SHAPE(n, 1, 1, tk));
    return mask ? ad_add(mask, padding) : padding;
}

/* ---- projections and heads ----------------------------------------------------------------------------------- */

/* x [n, t, embed] -> `count` of the projections q, k, v, from the first on: [count, n, heads, t, size] */
static ad_var *project(const attention *a, ad_var *x, int64_t first, int64_t count) {
    int64_t e = a->o.embed, n = ad_shape_of(x).dim[0], t = ad_shape_of(x).dim[1];
    ad_var *w = count == 3 ? a->w : ad_narrow(a->w, 0, first * e, count * e);
    ad_var *b = count == 3 || a->b == NULL ? a->b : ad_narrow(a->b, 0, first * e, count * e);
    ad_var *y = ad_reshape(ad_affine(x, w, b), AD_SHAPE(n, t, count, a->o.heads, a->size));
    return ad_permute(y, AD_SHAPE(2, 0, 3, 1, 4));
}

typedef struct {
    ad_var *q, *k, *v; /* [n, heads, t, size] */
} heads;

static heads heads_of(const attention *a, ad_var *q, ad_var *k, ad_var *v) {
    if (q == k && k == v) {
        ad_var *all = project(a, q, 0, 3);
        return (heads){ ad_select(all, 0, 0), ad_select(all, 0, 1), ad_select(all, 0, 2) };
    }
    heads h = { .q = ad_select(project(a, q, 0, 1), 0, 0) };
    if (k == v) {
        ad_var *both = project(a, k, 1, 2);
        h.k = ad_select(both, 0, 0), h.v = ad_select(both, 0, 1);
    } else h.k = ad_select(project(a, k, 1, 1), 0, 0), h.v = ad_select(project(a, v, 2, 1), 0, 0);
    return h;
}

/* y [n, heads, t, size] -> [n, t, embed], projected */
static ad_var *joined(const attention *a, ad_var *y) {
    ad_shape s = ad_shape_of(y);
    if (s.ndim != 4) return y; /* nil */
    ad_var *flat = ad_reshape(ad_permute(y, AD_SHAPE(0, 2, 1, 3)), AD_SHAPE(s.dim[0], s.dim[2], a->o.embed));
    return nn__apply_child(a->out, flat);
}

/* ---- decoding step by step -------------------------------------------------------------------------------------- */

/* The memory of a scope that ends caching when it closes. */
struct cache {
    nn_module *root;
};

/* Copies x [n, heads, t, size] behind the steps that the cache has. */
static void append_steps(const attention *a, const ad_var *x, ad_var *to) {
    ad_shape s = ad_shape_of(x), all = ad_shape_of(to);
    size_t step = (size_t)a->size * ad_dtype_size(ad_dtype_of(x)), piece = (size_t)s.dim[2] * step;
    const char *from = ad_data(x);
    char *at = (char *)ad_data_mut(to) + (size_t)a->done * step;
    for (int64_t i = 0; i < s.dim[0] * s.dim[1]; i++)
        memcpy(at + (size_t)(i * all.dim[2]) * step, from + (size_t)i * piece, piece);
}

static int check_step(const attention *a, const ad_var *x, const nn_attention_masks *masks) {
    ad_graph *g = ad_graph_of(x);
    ad_shape s = ad_shape_of(x), all = ad_shape_of(a->k);
    if (!ad_ok(g)) return ad_error_code(g);
    if (masks->mask != NULL || masks->padding != NULL)
        return ad_fail(g, AD_EVALUE, "multihead_attention: no masks can be given while steps are cached");
    if (ad_requires_grad(x))
        return ad_fail(g, AD_EGRAD,
                       "multihead_attention: cached steps have no gradients; call ad_enable_grad(g, false)");
    if (s.dim[0] != all.dim[0])
        return ad_fail(g, AD_ESHAPE, "multihead_attention: %lld sequences, but the cache is for %lld",
                       (long long)s.dim[0], (long long)all.dim[0]);
    if (s.dim[2] <= all.dim[2] - a->done) return AD_OK;
    return ad_fail(g, AD_EVALUE, "multihead_attention: %lld steps after %lld are more than the cache holds, %lld",
                   (long long)s.dim[2], (long long)a->done, (long long)all.dim[2]);
}

/* The queries see the steps before and, in causal order, those of this call. */
static ad_var *attend_cached(attention *a, const heads *h, const nn_attention_masks *masks, ad_attention_opts o) {
    if (check_step(a, h->k, masks)) return ad_nil(ad_graph_of(h->k));
    append_steps(a, h->k, a->k);
    append_steps(a, h->v, a->v);
    o.causal = true, o.offset = a->done, o.dropout = 0;
    a->done += ad_shape_of(h->k).dim[2];
    return ad_attention(h->q, a->k, a->v, NULL, o);
}

/* ---- application ----------------------------------------------------------------------------------------------- */

static ad_var *attend(nn_module *m, ad_var *q, ad_var *k, ad_var *v, const nn_attention_masks *masks) {
    attention *a = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    bool cached = a->cache != NULL && q == k && k == v;
    heads h = heads_of(a, q, k, v);
    if (!ad_ok(g)) return ad_nil(g);
    if (a->o.rotary) {
        int64_t at = cached ? a->done : 0;
        h.q = ad_rotary(h.q, at, ROTARY_BASE), h.k = ad_rotary(h.k, at, ROTARY_BASE);
    }
    ad_attention_opts o = { .causal = masks->causal || a->o.causal, .dropout = nn_training(m) ? a->o.dropout : 0 };
    if (cached) return joined(a, attend_cached(a, &h, masks, o));
    ad_shape s = ad_shape_of(h.k);
    ad_var *mask = added_mask(masks, s.dim[0], a->o.heads, s.dim[2]);
    return joined(a, ad_attention(h.q, h.k, h.v, mask, o));
}

static int check_operands(const nn_module *m, ad_var *const x[3]) {
    const attention *a = m->self;
    ad_graph *g = nn_graph_of(m);
    for (int i = 0; i < 3; i++) {
        ad_shape s = ad_shape_of(x[i]);
        if (s.ndim != 3 || s.dim[2] != a->o.embed || s.dim[0] != ad_shape_of(x[0]).dim[0])
            return ad_fail(g, AD_ESHAPE, "multihead_attention: %s is %s; it must be [n, time, %lld]",
                           (const char *[]){ "query", "key", "value" }[i], ad_shape_str(s).text, (long long)a->o.embed);
    }
    if (ad_shape_of(x[1]).dim[1] == ad_shape_of(x[2]).dim[1]) return AD_OK;
    return ad_fail(g, AD_ESHAPE, "multihead_attention: key %s and value %s have two lengths",
                   ad_shape_str(ad_shape_of(x[1])).text, ad_shape_str(ad_shape_of(x[2])).text);
}

static int check_padding(const nn_module *m, const ad_var *key, const nn_attention_masks *masks) {
    ad_graph *g = nn_graph_of(m);
    ad_shape k = ad_shape_of(key), want = AD_SHAPE(k.dim[0], k.dim[1]);
    if (masks->padding == NULL || ad_is_nil(masks->padding)) return AD_OK;
    if (ad_shape_equal(ad_shape_of(masks->padding), want)) return AD_OK;
    return ad_fail(g, AD_ESHAPE, "multihead_attention: the padding mask is %s; it must be %s, a number for each key",
                   ad_shape_str(ad_shape_of(masks->padding)).text, ad_shape_str(want).text);
}

/* x: query, key, value, mask, padding */
static ad_var *apply_checked(nn_module *m, ad_var *const x[], nn_attention_masks masks) {
    masks.mask = x[3], masks.padding = x[4];
    if (check_operands(m, x) || check_padding(m, x[1], &masks)) return ad_nil(nn_graph_of(m));
    return attend(m, x[0], x[1], x[2], &masks);
}

static const nn_attention_masks no_masks;

static ad_var *attention_forward(nn_module *m, ad_var *x) {
    return apply_checked(m, (ad_var *[]){ x, x, x, NULL, NULL }, no_masks);
}

/* A key that is not given is the query, a value that is not given the key. */
static void attention_forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    ad_var *all[5] = { NULL };
    if (!nn__takes(m, n, 5, n_y, 1)) return;
    for (int i = 0; i < n; i++) all[i] = x[i];
    if (all[1] == NULL) all[1] = all[0];
    if (all[2] == NULL) all[2] = all[1];
    y[0] = apply_checked(m, all, no_masks);
}

/* An nn__call_fn. */
static void call_attention(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *masks) {
    (void)n, (void)n_y;
    y[0] = apply_checked(m, x, *(const nn_attention_masks *)masks);
}

ad_var *nn_apply_attention(nn_module *m, ad_var *query, ad_var *key, ad_var *value, nn_attention_masks masks) {
    ad_var *all[] = { query, key, value, masks.mask, masks.padding }, *y;
    if (m == NULL) return nn__without_module("apply_attention", 5, all);
    ad_graph *g = query ? ad_graph_of(query) : nn_graph_of(m);
    if (nn__check_apply(m, query) || nn__check_apply(m, key) || nn__check_apply(m, value)) return ad_nil(g);
    if (m->forward != attention_forward)
        return ad_fail(g, AD_EVALUE, "apply_attention: the module is a %s, not an attention", m->kind), ad_nil(g);
    return nn__call_hooked(m, 5, all, 1, &y, call_attention, &masks);
}

/* ---- construction ----------------------------------------------------------------------------------------------- */

static bool check_opts(ad_graph *g, const nn_attention_opts *o) {
    if (o->embed % o->heads != 0 || (o->rotary && o->embed / o->heads % 2 != 0))
        ad_fail(g, AD_EVALUE, "multihead_attention: embed %lld is no %smultiple of the %lld heads", (long long)o->embed,
                o->rotary ? "even " : "", (long long)o->heads);
    else if (!(o->dropout >= 0 && o->dropout <= 1))
        ad_fail(g, AD_EVALUE, "multihead_attention: dropout %g: it must be from 0 to 1", o->dropout);
    return ad_ok(g);
}

/* Initial values are PyTorch's: Glorot's for in_proj_weight, those of nn_linear for out_proj.weight, biases of 0. */
nn_module *nn_multihead_attention(ad_graph *g, ad_dtype t, nn_attention_opts o) {
    o.dropout = ad_option(o.dropout, 0);
    if (!nn__is_size(g, "multihead_attention", "embed", o.embed) ||
        !nn__is_size(g, "multihead_attention", "heads", o.heads) || !check_opts(g, &o))
        return NULL;
    nn_module *m = nn_module_new(g, "multihead_attention", attention_forward, sizeof(attention));
    if (m == NULL) return NULL;
    m->forward_n = attention_forward_n;
    attention *a = nn_self(m);
    a->o = o, a->size = o.embed / o.heads;
    nn__zero_parameter(m, &a->w, "in_proj_weight", t, AD_SHAPE(3 * o.embed, o.embed));
    nn_init_xavier_uniform(a->w, 1);
    if (!o.no_bias) nn__zero_parameter(m, &a->b, "in_proj_bias", t, AD_SHAPE(3 * o.embed));
    nn_module *out = nn_linear(g, t, o.embed, o.embed, !o.no_bias);
    if (!o.no_bias) nn_init_constant(nn_find_parameter(out, "bias"), 0);
    a->out = nn_add_child(m, "out_proj", out);
    nn_add_reference(m, &a->out);
    return ad_ok(g) ? m : NULL;
}

void nn__attention_of_memory(nn_module *m) {
    if (m != NULL) ((attention *)nn_self(m))->of_memory = true;
}

/* ---- beginning and ending to cache: the recursions are as deep as modules are nested ----------------------------- */

static void stop(nn_module *m, const cache *c) {
    attention *a = m->forward == attention_forward ? m->self : NULL;
    if (a != NULL && (c == NULL || a->cache == c)) a->cache = NULL, a->k = a->v = NULL;
    if (nn__position_of(m) != NULL) *nn__position_of(m) = -1;
    for (nn__member *child = m->members; child != NULL; child = child->next)
        if (child->module != NULL) stop(child->module, c);
}

static void close_cache(void *memory) {
    cache *c = memory;
    if (c->root != NULL) stop(c->root, c);
}

static int start_attention(attention *a, ad_graph *g, cache *c, int64_t n, int64_t capacity) {
    if (a->cache != NULL)
        return ad_fail(g, AD_EVALUE, "cache_begin: an attention that is used in two places cannot be cached");
    ad_shape s = AD_SHAPE(n, a->o.heads, capacity, a->size);
    a->k = ad_zeros(g, ad_dtype_of(a->w), s), a->v = ad_zeros(g, ad_dtype_of(a->w), s);
    a->cache = c, a->done = 0;
    return ad_error_code(g);
}

static int start(nn_module *m, cache *c, int64_t n, int64_t capacity) {
    attention *a = m->forward == attention_forward ? m->self : NULL;
    int rc = a && !a->of_memory ? start_attention(a, m->object.graph, c, n, capacity) : AD_OK;
    if (nn__position_of(m) != NULL) *nn__position_of(m) = 0;
    for (nn__member *child = m->members; child != NULL && rc == AD_OK; child = child->next)
        if (child->module != NULL) rc = start(child->module, c, n, capacity);
    return rc;
}

static bool is_caching(const nn_module *m) {
    const attention *a = m->forward == attention_forward ? m->self : NULL;
    bool found = a != NULL && a->cache != NULL;
    for (nn__member *child = m->members; child != NULL && !found; child = child->next)
        found = child->module != NULL && is_caching(child->module);
    return found;
}

int nn_cache_begin(nn_module *m, int64_t n, int64_t capacity) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    ad_graph *g = nn_graph_of(m);
    if (nn__check_open(&m->object, NULL, "cache_begin", "module")) return AD_EGRAPH;
    if (!nn__is_size(g, "cache_begin", "n", n) || !nn__is_size(g, "cache_begin", "capacity", capacity))
        return ad_error_code(g);
    if (is_caching(m)) return ad_fail(g, AD_EVALUE, "cache_begin: %s is caching already; call nn_cache_end", m->kind);
    cache *c = ad_scope_closing(g, sizeof *c, close_cache);
    if (c == NULL) return AD_ENOMEM;
    c->root = m;
    int rc = start(m, c, n, capacity);
    if (rc != AD_OK) stop(m, c);
    return rc;
}

int nn_cache_end(nn_module *m) {
    if (m == NULL) return AD_EVALUE;
    if (nn__check_open(&m->object, NULL, "cache_end", "module")) return AD_EGRAPH;
    stop(m, NULL);
    return AD_OK;
}
