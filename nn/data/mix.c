/* mix.c: transforms of minibatches and of classes: mixup, cutmix, label smoothing; weights of classes. */
#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data.h"
#include "nn/data/shuffle.h"
#include "nn/module.h"
#include "ops/ops.h"

/* ---- classes ------------------------------------------------------------------------------------------------- */

static int check_classes(const ad_var *classes, int64_t n, const char *caller) {
    ad_graph *g = ad_graph_of(classes);
    if (ad_is_nil(classes)) return ad_refuse_nil(classes, caller);
    if (n < 1) return ad_fail(g, AD_EVALUE, "%s: %lld classes: at least 1", caller, (long long)n);
    for (int64_t i = 0; i < ad_numel(classes); i++) {
        double k = ad_at(classes, i);
        if (!(k >= 0 && k < (double)n && k == floor(k)))
            return ad_fail(g, AD_EVALUE, "%s: row %lld is of class %g; classes are 0 to %lld", caller, (long long)i, k,
                           (long long)n - 1);
    }
    return ad_error_code(g);
}

ad_var *nn_smooth_labels(ad_var *classes, int64_t c, double smoothing) {
    ad_graph *g = ad_graph_of(classes);
    if (check_classes(classes, c, "smooth_labels")) return ad_nil(g);
    if (!(smoothing >= 0 && smoothing <= 1))
        return ad_fail(g, AD_EVALUE, "smooth_labels: smoothing %g: it must be from 0 to 1", smoothing), ad_nil(g);
    return ad_adds(ad_muls(ad_one_hot(classes, c), 1 - smoothing), smoothing / (double)c);
}

ad_var *nn_class_weights(ad_var *classes, int64_t n) {
    ad_graph *g = ad_graph_of(classes);
    if (check_classes(classes, n, "class_weights")) return ad_nil(g);
    ad_dtype t = ad_dtype_of(classes);
    ad_var *w = ad_zeros(g, t, AD_SHAPE(n)), *count = ad_zeros(g, AD_F64, AD_SHAPE(n)); /* f32 would stop at 2^24 */
    if (!ad_ok(g)) return ad_nil(g);
    double *rows = ad_data_mut(count), all = (double)ad_numel(classes);
    void *to = ad_data_mut(w);
    for (int64_t i = 0; i < ad_numel(classes); i++) rows[(int64_t)ad_at(classes, i)]++;
    for (int64_t k = 0; k < n; k++) ad_write_element(t, to, k, rows[k] > 0 ? all / ((double)n * rows[k]) : 0);
    return w;
}

/* ---- minibatches --------------------------------------------------------------------------------------------- */

static nn_mix with_defaults(const nn_mix *m) {
    return (nn_mix){ .classes = ad_option_int(m->classes, 0),
                     .alpha = ad_option(m->alpha, 1),
                     .smoothing = ad_option(m->smoothing, 0),
                     .chance = ad_option(m->chance, 1) };
}

/* False after an error, and where there is no minibatch. */
static bool check(ad_var **x, ad_var **y, const nn_mix *m, const char *caller, int axes) {
    if (x == NULL || y == NULL || ad_is_nil(*x) || ad_is_nil(*y)) return false;
    ad_graph *g = ad_graph_of(*x);
    if (!ad_ok(g)) return false;
    if (m == NULL) return ad_fail(g, AD_EVALUE, "%s: no nn_mix is given", caller), false;
    nn_mix o = with_defaults(m);
    if (!(o.alpha > 0 && isfinite(o.alpha)) || !(o.chance >= 0 && o.chance <= 1) || o.classes < 0)
        ad_fail(g, AD_EVALUE, "%s: alpha %g, chance %g, %lld classes: alpha must be above 0, chance from 0 to 1",
                caller, o.alpha, o.chance, (long long)o.classes);
    else if (o.smoothing != 0 && o.classes == 0)
        ad_fail(g, AD_EVALUE, "%s: smoothing needs the number of classes", caller);
    else if (ad_shape_of(*x).ndim < axes || ad_shape_of(*y).ndim < 1 ||
             ad_shape_of(*x).dim[0] != ad_shape_of(*y).dim[0])
        ad_fail(g, AD_ESHAPE, "%s: x is %s and y %s: both need one row per sample%s", caller,
                ad_shape_str(ad_shape_of(*x)).text, ad_shape_str(ad_shape_of(*y)).text,
                axes > 1 ? ", and x has height and width" : "");
    return ad_ok(g);
}

/* Mixed images with the masks or lengths of one of them would be wrong. */
static bool mixes_one(ad_var *x, const char *caller) {
    int n = nn_input_count(x);
    if (n > 1)
        ad_fail(ad_graph_of(x), AD_EVALUE, "%s: x is %d inputs, and what becomes of the others is not known; write an "
                "nn_batch_fn", caller, n);
    return n == 1;
}

static ad_var *targets(ad_var *y, const nn_mix *o) {
    return o->classes > 0 ? nn_smooth_labels(y, o->classes, o->smoothing) : y;
}

static double uniform(ad_graph *g) { return ad_item(ad_rand(g, AD_F64, AD_SCALAR)); }

/* The share of the first row: 1 where the minibatch is not mixed. Random numbers are drawn in either case. */
static double draw_share(ad_graph *g, const nn_mix *o) {
    ad_var *alpha = ad_scalar(g, AD_F64, o->alpha);
    double share = ad_item(ad_beta(alpha, alpha)), u = uniform(g);
    return u < o->chance ? share : 1;
}

/* [n]: the other row of each row */
static ad_var *partners(ad_graph *g, int64_t n) {
    int64_t *order = ad_scope_alloc(g, (size_t)n * sizeof *order);
    ad_var *to = ad_zeros(g, AD_F64, AD_SHAPE(n));
    double *index = order && ad_ok(g) ? ad_data_mut(to) : NULL;
    if (index == NULL) return ad_nil(g);
    nn__shuffle(g, n, order);
    for (int64_t i = 0; i < n; i++) index[i] = (double)order[i];
    return to;
}

/* l x + (1 - l) other rows of x */
static ad_var *blend(ad_var *x, ad_var *others, double l) {
    return ad_add(ad_muls(x, l), ad_muls(ad_index_select(x, 0, others), 1 - l));
}

void nn_smooth(ad_var **x, ad_var **y, void *mix) {
    if (!check(x, y, mix, "smooth", 1)) return;
    nn_mix o = with_defaults(mix);
    *y = targets(*y, &o);
}

void nn_mixup(ad_var **x, ad_var **y, void *mix) {
    if (!check(x, y, mix, "mixup", 1) || !mixes_one(*x, "mixup")) return;
    nn_mix o = with_defaults(mix);
    ad_graph *g = ad_graph_of(*x);
    double l = draw_share(g, &o);
    ad_var *others = partners(g, ad_shape_of(*x).dim[0]);
    *y = blend(targets(*y, &o), others, l);
    *x = blend(*x, others, l);
}

/* [h,w]: 1 within a rectangle of about the part 1 - l of the area, cut off at the edges. *l becomes what is left. */
static ad_var *rectangle(ad_graph *g, ad_dtype t, int64_t h, int64_t w, double *l) {
    double ratio = sqrt(1 - *l);
    int64_t tall = (int64_t)((double)h * ratio) / 2, wide = (int64_t)((double)w * ratio) / 2;
    int64_t row = (int64_t)(uniform(g) * (double)h), column = (int64_t)(uniform(g) * (double)w), area = 0;
    ad_var *mask = ad_zeros(g, t, AD_SHAPE(h, w));
    void *to = ad_ok(g) ? ad_data_mut(mask) : NULL;
    for (int64_t i = 0; i < h && to != NULL; i++)
        for (int64_t j = 0; j < w; j++) {
            bool inside = i >= row - tall && i < row + tall && j >= column - wide && j < column + wide;
            if (inside) ad_write_element(t, to, i * w + j, 1), area++;
        }
    *l = 1 - (double)area / (double)(h * w);
    return mask;
}

void nn_cutmix(ad_var **x, ad_var **y, void *mix) {
    if (!check(x, y, mix, "cutmix", 3) || !mixes_one(*x, "cutmix")) return;
    nn_mix o = with_defaults(mix);
    ad_graph *g = ad_graph_of(*x);
    ad_shape s = ad_shape_of(*x);
    double l = draw_share(g, &o);
    ad_var *others = partners(g, s.dim[0]);
    ad_var *mask = rectangle(g, ad_dtype_of(*x), s.dim[s.ndim - 2], s.dim[s.ndim - 1], &l);
    *y = blend(targets(*y, &o), others, l);
    *x = ad_where(mask, ad_index_select(*x, 0, others), *x);
}
