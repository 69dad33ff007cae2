/* split.c: parts of a data set: rows by number, training, validation and test, folds. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/graph/node.h"
#include "nn/nn.h"

/* ---- rows ------------------------------------------------------------------------------------------- */

static ad_var *take_rows(const ad_var *x, int64_t n, const int64_t *rows) {
    ad_graph *g = ad_graph_of(x);
    ad_shape s = ad_shape_of(x);
    size_t row = s.dim[0] > 0 ? ad__bytes(x) / (size_t)s.dim[0] : 0;
    s.dim[0] = n;
    ad_var *y = ad_zeros(g, ad_dtype_of(x), s);
    const char *from = ad_data(x);
    char *to = ad_data_mut(y);
    for (int64_t i = 0; i < n && row > 0 && to != NULL; i++)
        memcpy(to + (size_t)i * row, from + (size_t)rows[i] * row, row);
    return y;
}

/* The number of rows, or a negative code. */
static int64_t check(nn_dataset d, const char *caller) {
    if (ad_is_nil(d.x) || ad_is_nil(d.y)) return ad_refuse_nil(ad_is_nil(d.x) ? d.x : d.y, caller);
    ad_graph *g = ad_graph_of(d.x);
    ad_shape x = ad_shape_of(d.x), y = ad_shape_of(d.y);
    if (!ad_ok(g)) return ad_error_code(g);
    if (x.ndim > 0 && y.ndim > 0 && x.dim[0] == y.dim[0] && ad_graph_of(d.y) == g) return x.dim[0];
    char xt[160], yt[160];
    ad_shape_text(x, xt, sizeof xt);
    ad_shape_text(y, yt, sizeof yt);
    return ad_fail(g, AD_ESHAPE, "%s: x %s and y %s must have a row for each sample", caller, xt, yt);
}

static nn_dataset nothing(nn_dataset d) {
    ad_var *nil = ad_nil(d.x ? ad_graph_of(d.x) : NULL);
    return (nn_dataset){ nil, nil };
}

nn_dataset nn_take_rows(nn_dataset d, int64_t n, const int64_t *rows) {
    int64_t have = check(d, "take_rows");
    for (int64_t i = 0; i < n && have >= 0; i++)
        if (rows[i] < 0 || rows[i] >= have)
            have = ad_fail(ad_graph_of(d.x), AD_EVALUE, "take_rows: row %lld of %lld rows", (long long)rows[i],
                           (long long)have);
    return have < 0 ? nothing(d) : (nn_dataset){ take_rows(d.x, n, rows), take_rows(d.y, n, rows) };
}

/* ---- an order of which every stretch is a fair part ------------------------------------------------------ */

typedef struct {
    double key;
    int64_t at, row;
} ranked;

static int by_key(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Fisher and Yates, with random numbers of the split's own: folds of one seed are parts of one order. */
static void shuffle(ad_graph *g, uint64_t seed, int64_t n, ranked *r) {
    ad_random_state before = g->random;
    ad_seed(g, seed);
    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t bits[2];
        ad_random_bits(g, 2, bits);
        int64_t j = (int64_t)(((uint64_t)bits[0] << 32 | bits[1]) % (uint64_t)(i + 1)), t = r[i].row;
        r[i].row = r[j].row;
        r[j].row = t;
    }
    g->random = before;
}

/* The j-th of a class of m rows comes at (j + 0.5) / m, so that in every stretch of the order each class
   has its share to within two rows. */
static void spread_classes(const ad_var *classes, int64_t n, ranked *r) {
    for (int64_t i = 0; i < n; i++) r[i].key = ad_at(classes, r[i].row), r[i].at = i;
    qsort(r, (size_t)n, sizeof *r, by_key);
    for (int64_t from = 0, to; from < n; from = to) {
        double class = r[from].key;
        for (to = from; to < n && r[to].key == class; to++) {}
        for (int64_t i = from; i < to; i++) r[i].key = ((double)(i - from) + 0.5) / (double)(to - from);
    }
    qsort(r, (size_t)n, sizeof *r, by_key);
}

/* [n] rows; NULL after an error. Of the innermost scope's memory. */
static int64_t *order_of(nn_dataset d, nn_split_opts o, int64_t n, const char *caller) {
    ad_graph *g = ad_graph_of(d.x);
    if (o.stratify && ad_shape_of(d.y).ndim != 1)
        return ad_fail(g, AD_ESHAPE, "%s: to stratify, y must be class numbers [n]", caller), NULL;
    for (int64_t i = 0; o.stratify && i < n; i++)
        if (ad_at(d.y, i) != ad_at(d.y, i))
            return ad_fail(g, AD_EVALUE, "%s: the class of row %lld is not a number", caller, (long long)i), NULL;
    ranked *r = ad_scope_array(g, (size_t)n * sizeof *r);
    int64_t *order = ad_scope_array(g, (size_t)n * sizeof *order);
    if (r == NULL || order == NULL) return NULL;
    for (int64_t i = 0; i < n; i++) r[i] = (ranked){ .row = i };
    if (!o.in_order) shuffle(g, o.seed, n, r);
    if (o.stratify) spread_classes(d.y, n, r);
    for (int64_t i = 0; i < n; i++) order[i] = r[i].row;
    return order;
}

/* ---- parts ------------------------------------------------------------------------------------------------- */

nn_parts nn_split(nn_dataset d, nn_split_opts o) {
    nn_parts none = { nothing(d), nothing(d), nothing(d) };
    int64_t n = check(d, "split");
    if (n < 0) return none;
    if (!(o.validation >= 0) || !(o.test >= 0) || !(o.validation + o.test < 1)) {
        ad_fail(ad_graph_of(d.x), AD_EVALUE, "split: validation %g and test %g: shares, together below 1", o.validation,
                o.test);
        return none;
    }
    const int64_t *order = order_of(d, o, n, "split");
    if (order == NULL) return none;
    int64_t validation = (int64_t)((double)n * o.validation + 0.5), test = (int64_t)((double)n * o.test + 0.5);
    if (validation + test > n) test = n - validation;
    int64_t train = n - validation - test;
    return (nn_parts){ nn_take_rows(d, train, order), nn_take_rows(d, validation, order + train),
                       nn_take_rows(d, test, order + train + validation) };
}

nn_parts nn_kfold(nn_dataset d, int64_t k, int64_t fold, nn_split_opts o) {
    nn_parts none = { nothing(d), nothing(d), nothing(d) };
    int64_t n = check(d, "kfold");
    if (n < 0) return none;
    if (k < 2 || k > n || fold < 0 || fold >= k) {
        ad_fail(ad_graph_of(d.x), AD_EVALUE, "kfold: fold %lld of %lld: 2 to %lld folds, numbered from 0",
                (long long)fold, (long long)k, (long long)n);
        return none;
    }
    int64_t *order = order_of(d, o, n, "kfold");
    int64_t *rest = order ? ad_scope_array(ad_graph_of(d.x), (size_t)n * sizeof *rest) : NULL;
    if (rest == NULL) return none;
    int64_t from = n / k * fold + (fold < n % k ? fold : n % k), size = n / k + (fold < n % k);
    memcpy(rest, order, (size_t)from * sizeof *rest);
    memcpy(rest + from, order + from + size, (size_t)(n - from - size) * sizeof *rest);
    return (nn_parts){ nn_take_rows(d, n - size, rest), nn_take_rows(d, size, order + from), none.test };
}

/* ---- scaling --------------------------------------------------------------------------------------------------- */

/* 1 / spread; 1 for a column that is constant. */
static ad_var *inverse(ad_var *spread) {
    ad_graph *g = ad_graph_of(spread);
    ad_var *zero = ad_scalar(g, ad_dtype_of(spread), 0), *one = ad_scalar(g, ad_dtype_of(spread), 1);
    return ad_where(ad_gt(spread, zero), ad_reciprocal(spread), one);
}

nn_scaler nn_fit_standard(ad_var *x) {
    bool was = ad_enable_grad(ad_graph_of(x), false);
    nn_scaler s = { ad_mean_axis(x, 0, true), inverse(ad_std_axes(x, 1, (int[]){ 0 }, 0, true)) };
    ad_enable_grad(ad_graph_of(x), was);
    return s;
}

nn_scaler nn_fit_minmax(ad_var *x) {
    bool was = ad_enable_grad(ad_graph_of(x), false);
    ad_var *low = ad_min_axis(x, 0, true);
    nn_scaler s = { low, inverse(ad_sub(ad_max_axis(x, 0, true), low)) };
    ad_enable_grad(ad_graph_of(x), was);
    return s;
}

ad_var *nn_scale(nn_scaler s, ad_var *x) { return ad_mul(ad_sub(x, s.shift), s.scale); }
ad_var *nn_unscale(nn_scaler s, ad_var *x) { return ad_add(ad_div(x, s.scale), s.shift); }
