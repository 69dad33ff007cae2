/* linear.c: linear and bilinear layers, and embeddings. */
#include <math.h>

#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

typedef struct {
    ad_var *w, *b; /* b is NULL where there is no bias */
} linear;

/* ---- linear: w [out,in], b [out] ----------------------------------------------------------------- */

static ad_var *linear_forward(nn_module *m, ad_var *x) {
    const linear *l = nn_self(m);
    return ad_affine(x, l->w, l->b);
}

nn_module *nn_linear(ad_graph *g, ad_dtype t, int64_t in, int64_t out, bool bias) {
    if (in < 1 || out < 1)
        return ad_fail(g, AD_ESHAPE, "linear: in %lld and out %lld: both must be at least 1", (long long)in,
                       (long long)out),
               NULL;
    nn_module *m = nn_module_new(g, "linear", linear_forward, sizeof(linear));
    if (m == NULL) return NULL;
    linear *l = nn_self(m);
    double bound = 1 / sqrt((double)in);
    nn__uniform_parameter(m, &l->w, "weight", t, AD_SHAPE(out, in), bound);
    if (bias) nn__uniform_parameter(m, &l->b, "bias", t, AD_SHAPE(out), bound);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_linear_shared(ad_graph *g, ad_var *weight, bool bias) {
    ad_shape s = ad_shape_of(weight);
    if (g == NULL && ad_graph_of(weight) != NULL)
        ad_fail(ad_graph_of(weight), AD_EGRAPH, "linear_shared: the graph is NULL");
    if (!ad_ok(g)) return NULL;
    if (ad_is_nil(weight) || s.ndim != 2)
        return ad_fail(g, AD_ESHAPE, "linear_shared: the weight is %s; it must be [out, in]", ad_shape_str(s).text),
               NULL;
    nn_module *m = nn_module_new(g, "linear", linear_forward, sizeof(linear));
    if (m == NULL) return NULL;
    linear *l = nn_self(m);
    l->w = nn_add_parameter(m, "weight", weight);
    nn_add_reference(m, &l->w);
    if (bias)
        nn__uniform_parameter(m, &l->b, "bias", ad_dtype_of(weight), AD_SHAPE(s.dim[0]),
                              s.dim[1] > 0 ? 1 / sqrt((double)s.dim[1]) : 0);
    return ad_ok(g) ? m : NULL;
}

/* ---- bilinear: w [out,in_a,in_b], b [out] ---------------------------------------------------------- */

static ad_var *bilinear(const linear *l, ad_var *a, ad_var *b) {
    ad_var *half = ad_einsum("ni,oij->noj", a, l->w);
    ad_var *y = ad_sum_axis(ad_mul(half, ad_unsqueeze(b, 1)), 2, false);
    return l->b ? ad_add(y, l->b) : y;
}

static ad_var *bilinear_forward(nn_module *m, ad_var *x) { return bilinear(nn_self(m), x, x); }

static void bilinear_forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    if (nn__takes(m, n, 2, n_y, 1)) y[0] = bilinear(nn_self(m), x[0], n == 2 && x[1] ? x[1] : x[0]);
}

/* An nn__call_fn. */
static void call_bilinear(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *data) {
    (void)data;
    bilinear_forward_n(m, n, x, n_y, y);
}

/* a [n,i], w [o,i,j] -> [n,o,j]; times b [n,1,j], summed over j: [n,o] */
ad_var *nn_apply_bilinear(nn_module *m, ad_var *a, ad_var *b) {
    ad_graph *g = a ? ad_graph_of(a) : nn_graph_of(m);
    if (nn__check_apply(m, a) || nn__check_apply(m, b)) return ad_nil(g);
    if (m->forward != bilinear_forward)
        return ad_fail(g, AD_EVALUE, "apply_bilinear: the module is a %s, not a bilinear one", m->kind), ad_nil(g);
    ad_var *y;
    return nn__call_hooked(m, 2, (ad_var *[]){ a, b }, 1, &y, call_bilinear, NULL);
}

nn_module *nn_bilinear(ad_graph *g, ad_dtype t, int64_t in_a, int64_t in_b, int64_t out, bool bias) {
    if (!nn__is_size(g, "bilinear", "in_a", in_a) || !nn__is_size(g, "bilinear", "in_b", in_b) ||
        !nn__is_size(g, "bilinear", "out", out))
        return NULL;
    nn_module *m = nn_module_new(g, "bilinear", bilinear_forward, sizeof(linear));
    if (m == NULL) return NULL;
    m->forward_n = bilinear_forward_n;
    linear *l = nn_self(m);
    double bound = 1 / sqrt((double)in_a);
    nn__uniform_parameter(m, &l->w, "weight", t, AD_SHAPE(out, in_a, in_b), bound);
    if (bias) nn__uniform_parameter(m, &l->b, "bias", t, AD_SHAPE(out), bound);
    return ad_ok(g) ? m : NULL;
}

/* ---- embedding: w [n,d] ------------------------------------------------------------------------------ */

typedef struct {
    ad_var *w;
    bool padded;
    int64_t padding_idx; /* if padded */
} embedding;

static ad_var *embedding_forward(nn_module *m, ad_var *x) {
    const embedding *e = nn_self(m);
    return e->padded ? ad_embedding_with(e->w, x, e->padding_idx) : ad_embedding(e->w, x);
}

nn_module *nn_embedding(ad_graph *g, ad_dtype t, int64_t n, int64_t d) {
    if (!nn__is_size(g, "embedding", "n", n) || !nn__is_size(g, "embedding", "d", d)) return NULL;
    nn_module *m = nn_module_new(g, "embedding", embedding_forward, sizeof(embedding));
    if (m == NULL) return NULL;
    embedding *e = nn_self(m);
    nn__zero_parameter(m, &e->w, "weight", t, AD_SHAPE(n, d));
    nn_init_normal(e->w, 0, 1);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_embedding_with(ad_graph *g, ad_dtype t, int64_t n, int64_t d, int64_t padding_idx) {
    nn_module *m = nn_embedding(g, t, n, d);
    if (m == NULL) return NULL;
    embedding *e = nn_self(m);
    if (padding_idx < -n || padding_idx >= n)
        return ad_fail(g, AD_EVALUE, "embedding: padding_idx %lld is not one of %lld..%lld", (long long)padding_idx,
                       (long long)-n, (long long)n - 1), NULL;
    e->padded = true, e->padding_idx = padding_idx;
    int64_t row = padding_idx < 0 ? padding_idx + n : padding_idx;
    void *weights = ad_data_mut(e->w);
    for (int64_t i = 0; weights != NULL && i < d; i++) ad_write_element(t, weights, row * d + i, 0);
    return ad_ok(g) ? m : NULL;
}
