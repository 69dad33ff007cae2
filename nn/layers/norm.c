/* norm.c: normalisation and dropout. */
#include <math.h>

#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* ---- batch_norm --------------------------------------------------------------------------------------- */

typedef struct {
    ad_var *w, *b, *mean, *var; /* [features]; w and b are NULL without affine */
    ad_var *tracked;            /* a scalar */
    bool collecting;            /* between nn_statistics_begin and _end: running averages are means over all */
    bool follows;               /* running averages stay, and next has what they become: see nn__next_begin */
    ad_var *next[2];            /* mean, var */
    ad_batch_norm_opts opts;
} batch_norm;

/* The running averages after a batch, as the op computes them. */
static void follow(batch_norm *s, ad_var *x) {
    int axes[AD_MAX_NDIM], n = 0;
    for (int i = 0; i < ad_shape_of(x).ndim; i++)
        if (i != 1) axes[n++] = i;
    const double momentum = ad_option(s->opts.momentum, 0.1);
    ad_var *batch[] = { ad_mean_axes(x, n, axes, false), ad_variance_axes(x, n, axes, 1, false) };
    for (int i = 0; i < 2; i++)
        s->next[i] = ad_add(ad_muls(s->next[i], 1 - momentum), ad_muls(ad_detach(batch[i]), momentum));
}

/* If not, the op refuses x. */
static bool fits(const batch_norm *s, const ad_var *x) {
    ad_shape shape = ad_shape_of(x);
    return shape.ndim >= 2 && shape.dim[1] == ad_numel(s->mean) && ad_numel(x) > shape.dim[1];
}

static ad_var *batch_norm_forward(nn_module *m, ad_var *x) {
    batch_norm *s = nn_self(m);
    ad_batch_norm_opts o = s->opts;
    o.training = nn_training(m);
    if (o.training && s->follows && fits(s, x)) {
        follow(s, x);
        return ad_batch_norm_train(x, NULL, NULL, s->w, s->b, o);
    }
    double *count = o.training && !ad_recomputing(ad_graph_of(x)) ? ad_data_mut(s->tracked) : NULL;
    if (count != NULL) *count += 1;
    if (count != NULL && s->collecting) o.momentum = 1 / fmax(1, *count);
    return ad_batch_norm(x, s->mean, s->var, s->w, s->b, o);
}

static bool check_batch_norm(ad_graph *g, int64_t features, const nn_batch_norm_opts *o) {
    double momentum = ad_option(o->momentum, 0.1), eps = ad_option(o->eps, 1e-5);
    if (!nn__is_size(g, "batch_norm", "features", features)) return false;
    if (momentum >= 0 && momentum <= 1 && eps >= 0) return true;
    ad_fail(g, AD_EVALUE, "batch_norm: momentum %g and eps %g: momentum must be from 0 to 1, eps 0 or more", momentum,
            eps);
    return false;
}

nn_module *nn_batch_norm(ad_graph *g, ad_dtype t, int64_t features, nn_batch_norm_opts o) {
    if (!check_batch_norm(g, features, &o)) return NULL;
    nn_module *m = nn_module_new(g, "batch_norm", batch_norm_forward, sizeof(batch_norm));
    if (m == NULL) return NULL;
    batch_norm *s = nn_self(m);
    ad_shape each = AD_SHAPE(features);
    s->opts = (ad_batch_norm_opts){ .momentum = o.momentum, .eps = o.eps }; /* the op has the same defaults */
    if (!o.no_affine) {
        nn__constant_parameter(m, &s->w, "weight", t, each, 1);
        nn__zero_parameter(m, &s->b, "bias", t, each);
    }
    nn__buffer(m, &s->mean, "running_mean", ad_zeros(g, t, each));
    nn__buffer(m, &s->var, "running_var", ad_ones(g, t, each));
    nn__buffer(m, &s->tracked, "num_batches_tracked", ad_scalar(g, AD_F64, 0));
    return ad_ok(g) ? m : NULL;
}

/* ---- statistics as means over minibatches: the recursion is as deep as modules are nested --------------- */

static void collect(nn_module *m, bool begin) {
    batch_norm *s = m->forward == batch_norm_forward ? m->self : NULL;
    if (s != NULL) s->collecting = begin;
    if (s != NULL && begin) {
        nn_init_constant(s->mean, 0);
        nn_init_constant(s->var, 1);
        nn_init_constant(s->tracked, 0);
    }
    for (nn__member *c = m->members; c != NULL; c = c->next)
        if (c->module != NULL) collect(c->module, begin);
}

static int set_collecting(nn_module *m, bool begin, const char *caller) {
    if (m == NULL) return AD_EVALUE; /* the error is that of the module's making */
    if (nn__check_open(&m->object, NULL, caller, "module")) return AD_EGRAPH;
    if (!begin || ad_ok(nn_graph_of(m))) collect(m, begin);
    return ad_error_code(nn_graph_of(m));
}

int nn_statistics_begin(nn_module *m) { return set_collecting(m, true, "statistics_begin"); }
int nn_statistics_end(nn_module *m) { return set_collecting(m, false, "statistics_end"); }

/* ---- running averages as Vars ----------------------------------------------------------------------------- */

void nn__next_begin(nn_module *m) {
    batch_norm *s = m->forward == batch_norm_forward ? m->self : NULL;
    if (s != NULL) s->follows = true, s->next[0] = s->mean, s->next[1] = s->var;
}

void nn__next_end(nn_module *m) {
    batch_norm *s = m->forward == batch_norm_forward ? m->self : NULL;
    if (s != NULL) s->follows = false;
}

ad_var *nn__next_of(const nn_module *m, const ad_var *buffer) {
    const batch_norm *s = m->forward == batch_norm_forward ? m->self : NULL;
    if (s == NULL || (buffer != s->mean && buffer != s->var)) return NULL;
    ad_var *next = s->next[buffer == s->var];
    return next == buffer ? NULL : next;
}

/* ---- layer_norm ------------------------------------------------------------------------------------------ */

typedef struct {
    ad_var *w, *b;
} layer_norm;

static ad_var *layer_norm_forward(nn_module *m, ad_var *x) {
    const layer_norm *s = nn_self(m);
    return ad_layer_norm(x, ad_shape_of(s->w), s->w, s->b, 1e-5);
}

nn_module *nn_layer_norm(ad_graph *g, ad_dtype t, ad_shape normalized_shape) {
    nn_module *m = nn_module_new(g, "layer_norm", layer_norm_forward, sizeof(layer_norm));
    if (m == NULL) return NULL;
    layer_norm *s = nn_self(m);
    nn__constant_parameter(m, &s->w, "weight", t, normalized_shape, 1);
    nn__zero_parameter(m, &s->b, "bias", t, normalized_shape);
    return ad_ok(g) ? m : NULL;
}

/* ---- rms_norm, group_norm, instance_norm ----------------------------------------------------------------- */

static ad_var *rms_norm_forward(nn_module *m, ad_var *x) {
    return ad_rms_norm(x, ((const layer_norm *)nn_self(m))->w, 1e-5);
}

nn_module *nn_rms_norm(ad_graph *g, ad_dtype t, int64_t features) {
    if (!nn__is_size(g, "rms_norm", "features", features)) return NULL;
    nn_module *m = nn_module_new(g, "rms_norm", rms_norm_forward, sizeof(layer_norm));
    if (m == NULL) return NULL;
    nn__constant_parameter(m, &((layer_norm *)nn_self(m))->w, "weight", t, AD_SHAPE(features), 1);
    return ad_ok(g) ? m : NULL;
}

typedef struct {
    ad_var *w, *b; /* [channels]; NULL without affine */
    int64_t groups;
} group_norm;

static ad_var *group_norm_forward(nn_module *m, ad_var *x) {
    const group_norm *s = nn_self(m);
    return ad_group_norm(x, s->groups, s->w, s->b, 1e-5);
}

static void add_affine(nn_module *m, group_norm *s, ad_dtype t, int64_t channels) {
    nn__constant_parameter(m, &s->w, "weight", t, AD_SHAPE(channels), 1);
    nn__zero_parameter(m, &s->b, "bias", t, AD_SHAPE(channels));
}

nn_module *nn_group_norm(ad_graph *g, ad_dtype t, int64_t groups, int64_t channels) {
    if (!nn__is_size(g, "group_norm", "groups", groups) || !nn__is_size(g, "group_norm", "channels", channels))
        return NULL;
    if (channels % groups != 0)
        return ad_fail(g, AD_EVALUE, "group_norm: %lld channels do not make %lld equal groups", (long long)channels,
                       (long long)groups),
               NULL;
    nn_module *m = nn_module_new(g, "group_norm", group_norm_forward, sizeof(group_norm));
    if (m == NULL) return NULL;
    group_norm *s = nn_self(m);
    s->groups = groups;
    add_affine(m, s, t, channels);
    return ad_ok(g) ? m : NULL;
}

static ad_var *instance_norm_forward(nn_module *m, ad_var *x) {
    const group_norm *s = nn_self(m);
    ad_shape shape = ad_shape_of(x);
    if (shape.ndim < 2 || shape.dim[1] != s->groups) {
        ad_fail(nn_graph_of(m), AD_ESHAPE, "instance_norm: x is %s; it must be [n, %lld, ..]", ad_shape_str(shape).text,
                (long long)s->groups);
        return ad_nil(nn_graph_of(m));
    }
    return ad_instance_norm(x, s->w, s->b, 1e-5);
}

nn_module *nn_instance_norm(ad_graph *g, ad_dtype t, int64_t channels, bool affine) {
    if (!nn__is_size(g, "instance_norm", "channels", channels)) return NULL;
    nn_module *m = nn_module_new(g, "instance_norm", instance_norm_forward, sizeof(group_norm));
    if (m == NULL) return NULL;
    group_norm *s = nn_self(m);
    s->groups = channels;
    if (affine) add_affine(m, s, t, channels);
    return ad_ok(g) ? m : NULL;
}

/* ---- dropout ----------------------------------------------------------------------------------------------- */

static ad_var *dropout_forward(nn_module *m, ad_var *x) {
    return ad_dropout(x, *(const double *)nn_self(m), nn_training(m));
}

nn_module *nn_dropout(ad_graph *g, double p) {
    if (!(p >= 0 && p <= 1)) return ad_fail(g, AD_EVALUE, "dropout: p %g: it must be from 0 to 1", p), NULL;
    nn_module *m = nn_module_new(g, "dropout", dropout_forward, sizeof p);
    if (m != NULL) *(double *)nn_self(m) = p;
    return m;
}
