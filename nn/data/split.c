/* split.c: parts of a data set: given rows; training, validation and test; folds. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/data.h"
#include "nn/data/shuffle.h"
#include "nn/module.h"

/* ---- rows -------------------------------------------------------------------------------------------- */

static ad_var *take_rows_of_one(const ad_var *x, int64_t n, const int64_t *rows) {
    ad_shape s = ad_shape_of(x);
    size_t row = s.dim[0] > 0 ? ad_bytes_of(x) / (size_t)s.dim[0] : 0;
    s.dim[0] = n;
    ad_var *y = ad_zeros(ad_graph_of(x), ad_dtype_of(x), s);
    const char *from = ad_data(x);
    char *to = ad_data_mut(y);
    for (int64_t i = 0; i < n && row > 0 && to != NULL; i++)
        memcpy(to + (size_t)i * row, from + (size_t)rows[i] * row, row);
    return y;
}

static ad_var *take_rows(ad_var *x, int64_t n, const int64_t *rows) {
    ad_var *each[NN_MOST_INPUTS];
    for (int i = 0; i < nn_input_count(x); i++) each[i] = take_rows_of_one(nn_input_at(x, i), n, rows);
    return nn_inputs(nn_input_count(x), each);
}

/* A NULL is told to the graph of the other one. */
static int refuse_nil(nn_dataset d, const char *caller) {
    const ad_var *missing = ad_is_nil(d.x) ? d.x : d.y;
    ad_graph *g = ad_graph_of(missing == d.x ? d.y : d.x);
    if (ad_graph_of(missing) != NULL || g == NULL) return ad_refuse_nil(missing, caller);
    return ad_ok(g) ? ad_fail(g, AD_EVALUE, "%s: %s of the data set is NULL", caller, missing == d.x ? "x" : "y")
                    : ad_error_code(g);
}

/* The number of rows, or a negative code. */
static int64_t check(nn_dataset d, const char *caller) {
    if (ad_is_nil(d.x) || ad_is_nil(d.y)) return refuse_nil(d, caller);
    ad_graph *g = ad_graph_of(d.x);
    ad_shape x = ad_shape_of(d.x), y = ad_shape_of(d.y);
    if (!ad_ok(g)) return ad_error_code(g);
    if (ad_graph_of(d.y) != g) return ad_fail(g, AD_EGRAPH, "%s: x and y belong to two graphs", caller);
    if (x.ndim > 0 && y.ndim > 0 && x.dim[0] == y.dim[0]) return x.dim[0];
    return ad_fail(g, AD_ESHAPE, "%s: x %s and y %s must have one row per sample", caller, ad_shape_str(x).text,
                   ad_shape_str(y).text);
}

/* Whether have, which check returned, is a number of rows that has all of these; otherwise an error. */
static bool has_rows(ad_graph *g, int64_t have, int64_t n, const int64_t *rows) {
    if (have < 0) return false;
    if (n < 0 || (n > 0 && rows == NULL))
        return ad_fail(g, AD_EVALUE, "take_rows: %lld rows: a number of 0 or more and an array of row numbers",
                       (long long)n),
               false;
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < 0 || rows[i] >= have)
            return ad_fail(g, AD_EVALUE, "take_rows: row %lld of %lld rows", (long long)rows[i], (long long)have),
                   false;
    return true;
}

static nn_dataset nil_dataset(nn_dataset d) {
    ad_var *nil = ad_nil(ad_graph_of(d.x ? d.x : d.y));
    return (nn_dataset){ nil, nil };
}

nn_dataset nn_take_rows(nn_dataset d, int64_t n, const int64_t *rows) {
    if (!has_rows(ad_graph_of(d.x), check(d, "take_rows"), n, rows)) return nil_dataset(d);
    return (nn_dataset){ take_rows(d.x, n, rows), take_rows(d.y, n, rows) };
}

/* ---- an order of the rows of which the parts are contiguous ranges ------------------------------------ */

typedef struct {
    double key;
    int64_t at, row;
} ranked;

static int by_key(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* By random numbers from seed, without using up any of the graph's: all folds with one seed have the same order. */
static void shuffle(ad_graph *g, uint64_t seed, int64_t n, int64_t *order) {
    ad_random_state before = ad_random_get(g);
    ad_seed(g, seed);
    nn__shuffle(g, n, order);
    ad_random_set(g, before);
}

/* Sorts the rows so that each range has each class in proportion, to within two rows: row j of the m rows of a class
   gets the key (j + 0.5) / m. */
static void interleave_classes(const ad_var *classes, int64_t n, ranked *r, int64_t *order) {
    for (int64_t i = 0; i < n; i++) r[i] = (ranked){ ad_at(classes, order[i]), i, order[i] };
    qsort(r, (size_t)n, sizeof *r, by_key);
    for (int64_t from = 0, to; from < n; from = to) {
        double class = r[from].key;
        for (to = from; to < n && r[to].key == class; to++) {}
        for (int64_t i = from; i < to; i++) r[i].key = ((double)(i - from) + 0.5) / (double)(to - from);
    }
    qsort(r, (size_t)n, sizeof *r, by_key);
    for (int64_t i = 0; i < n; i++) order[i] = r[i].row;
}

static int check_classes(const ad_var *classes, int64_t n, const char *caller) {
    ad_graph *g = ad_graph_of(classes);
    if (ad_shape_of(classes).ndim != 1)
        return ad_fail(g, AD_ESHAPE, "%s: y %s: stratify needs class numbers [n]", caller,
                       ad_shape_str(ad_shape_of(classes)).text);
    for (int64_t i = 0; i < n; i++)
        if (ad_at(classes, i) != ad_at(classes, i))
            return ad_fail(g, AD_EVALUE, "%s: the class of row %lld is NaN", caller, (long long)i);
    return AD_OK;
}

/* The order [n], in memory of the innermost scope; NULL after an error. */
static int64_t *order_of(nn_dataset d, nn_split_opts o, int64_t n, const char *caller) {
    ad_graph *g = ad_graph_of(d.x);
    if (o.stratify && check_classes(d.y, n, caller) != AD_OK) return NULL;
    int64_t *order = ad_scope_array(g, (size_t)n * sizeof *order);
    ranked *r = o.stratify && order != NULL ? ad_scope_array(g, (size_t)n * sizeof *r) : NULL;
    if (order == NULL || (o.stratify && r == NULL)) return NULL;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    if (!o.in_order) shuffle(g, o.seed, n, order);
    if (o.stratify) interleave_classes(d.y, n, r, order);
    return order;
}

/* ---- parts ------------------------------------------------------------------------------------------- */

nn_parts nn_split(nn_dataset d, nn_split_opts o) {
    nn_parts none = { nil_dataset(d), nil_dataset(d), nil_dataset(d) };
    int64_t n = check(d, "split");
    if (n < 0) return none;
    o.validation = ad_option(o.validation, 0);
    o.test = ad_option(o.test, 0);
    if (!(o.validation >= 0) || !(o.test >= 0) || !(o.validation + o.test < 1)) {
        ad_fail(ad_graph_of(d.x), AD_EVALUE, "split: validation %g and test %g: fractions, together less than 1",
                o.validation, o.test);
        return none;
    }
    const int64_t *order = order_of(d, o, n, "split");
    if (order == NULL) return none;
    int64_t validation = (int64_t)((double)n * o.validation + 0.5), test = (int64_t)((double)n * o.test + 0.5);
    if (validation + test > n) test = n - validation;
    int64_t train = n - validation - test;
    const char *empty = n == 0                                ? NULL
                        : train == 0                          ? "training"
                        : validation == 0 && o.validation > 0 ? "validation"
                        : test == 0 && o.test > 0             ? "test"
                                                              : NULL;
    if (empty != NULL)
        return ad_fail(ad_graph_of(d.x), AD_EVALUE, "split: validation %g and test %g of %lld rows: no row is left for "
                       "%s", o.validation, o.test, (long long)n, empty), none;
    return (nn_parts){ nn_take_rows(d, train, order), nn_take_rows(d, validation, order + train),
                       nn_take_rows(d, test, order + train + validation) };
}

nn_parts nn_kfold(nn_dataset d, int64_t k, int64_t fold, nn_split_opts o) {
    nn_parts none = { nil_dataset(d), nil_dataset(d), nil_dataset(d) };
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
