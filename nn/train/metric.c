/* metric.c: metrics of classification, regression and ranking. */
#include "nn/metric.h"

#include <math.h>
#include <stdlib.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"

/* Whether both are given. A NULL is told to the other one's graph. */
static int check_given(const ad_var *y, const ad_var *target, const char *caller) {
    if (!ad_is_nil(y) && !ad_is_nil(target)) return AD_OK;
    const ad_var *missing = ad_is_nil(y) ? y : target;
    ad_graph *g = ad_graph_of(missing == y ? target : y);
    if (ad_graph_of(missing) != NULL || g == NULL) return ad_refuse_nil(missing, caller);
    return ad_ok(g) ? ad_fail(g, AD_EVALUE, "%s: %s NULL", caller, missing == y ? "predictions are" : "the target is")
                    : ad_error_code(g);
}

/* ---- classification ---------------------------------------------------------------------------------- */

static int check_shapes(const ad_var *scores, const ad_var *classes, const char *caller) {
    if (check_given(scores, classes, caller)) return AD_EVALUE;
    ad_graph *g = ad_graph_of(scores);
    ad_shape s = ad_shape_of(scores), c = ad_shape_of(classes);
    if (s.ndim != 2 || c.ndim != 1 || s.dim[0] != c.dim[0])
        return ad_fail(g, AD_ESHAPE, "%s: scores %s and classes %s must be [n,c] and [n]", caller,
                       ad_shape_str(s).text, ad_shape_str(c).text);
    if (s.dim[1] >= 2) return ad_error_code(g);
    return ad_fail(g, AD_ESHAPE, "%s: scores %s: there must be a column for each of two or more classes; a logit z for "
                   "two classes makes the columns 0 and z", caller, ad_shape_str(s).text);
}

/* Classes are whole numbers from 0 to below c. */
static int check_classes(const ad_var *scores, const ad_var *classes, const char *caller) {
    int rc = check_shapes(scores, classes, caller);
    if (rc != AD_OK) return rc;
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1];
    for (int64_t i = 0; i < n; i++) {
        double class = ad_at(classes, i);
        if (!(class >= 0 && class < (double)c) || class != floor(class))
            return ad_fail(ad_graph_of(scores), AD_EVALUE, "%s: row %lld: class %g of %lld", caller, (long long)i,
                           class, (long long)c);
    }
    return AD_OK;
}

/* A row with a NaN among its scores predicts no class. */
static bool has_nan(const ad_var *scores, int64_t row, int64_t c) {
    for (int64_t j = 0; j < c; j++)
        if (isnan(ad_at(scores, row * c + j))) return true;
    return false;
}

/* The rank of a class among the c scores of a row, 0 for the highest; of equal scores, the first is higher. */
static int64_t rank_of(const ad_var *scores, int64_t row, int64_t c, int64_t class) {
    int64_t rank = 0;
    double score = ad_at(scores, row * c + class);
    for (int64_t j = 0; j < c; j++) {
        double other = ad_at(scores, row * c + j);
        if (other > score || (other == score && j < class)) rank++;
    }
    return rank;
}

static double top_k(const ad_var *scores, const ad_var *classes, int64_t k, const char *caller) {
    if (check_classes(scores, classes, caller)) return NAN;
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1], right = 0;
    for (int64_t i = 0; i < n; i++)
        right += !has_nan(scores, i, c) && rank_of(scores, i, c, (int64_t)ad_at(classes, i)) < k;
    return (double)right / (double)n; /* NaN for no rows */
}

double nn_accuracy(const ad_var *scores, const ad_var *classes) { return top_k(scores, classes, 1, "accuracy"); }

double nn_top_k(const ad_var *scores, const ad_var *classes, int64_t k) {
    if (k >= 1) return top_k(scores, classes, k, "top_k");
    ad_fail(ad_graph_of(scores), AD_EVALUE, "top_k: k %lld: at least 1", (long long)k);
    return NAN;
}

double nn_top5(const ad_var *scores, const ad_var *classes) { return top_k(scores, classes, 5, "top5"); }

/* ---- confusion --------------------------------------------------------------------------------------- */

/* The class with the highest score of a row, the first of equal ones; c where it predicts none. */
static int64_t predicted_class(const ad_var *scores, int64_t row, int64_t c) {
    if (has_nan(scores, row, c)) return c;
    int64_t best = 0;
    for (int64_t j = 1; j < c; j++)
        if (ad_at(scores, row * c + j) > ad_at(scores, row * c + best)) best = j;
    return best;
}

/* Counts [c,width], where width is c, or c + 1 with a last column for the rows that predict no class. */
static ad_var *count(const ad_var *scores, const ad_var *classes, int64_t more, const char *caller) {
    ad_graph *g = ad_graph_of(scores);
    if (check_classes(scores, classes, caller)) return ad_nil(g);
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1], width = c + more;
    ad_var *m = ad_zeros(g, AD_F64, AD_SHAPE(c, width));
    double *counts = ad_data_mut(m);
    for (int64_t i = 0; i < n && counts != NULL; i++) {
        int64_t as = predicted_class(scores, i, c);
        if (as < width) counts[(int64_t)ad_at(classes, i) * width + as]++;
    }
    return m;
}

ad_var *nn_confusion(const ad_var *scores, const ad_var *classes) { return count(scores, classes, 0, "confusion"); }

static double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

/* counts [c,width]. *seen: the class is that of a row, or some row predicts it. */
static nn_class_scores scores_of(const ad_var *counts, int64_t class, bool *seen) {
    int64_t c = ad_shape_of(counts).dim[0], width = ad_shape_of(counts).dim[1];
    double right = ad_at(counts, class * width + class), predicted = 0, actual = 0;
    for (int64_t j = 0; j < c; j++) predicted += ad_at(counts, j * width + class);
    for (int64_t j = 0; j < width; j++) actual += ad_at(counts, class * width + j);
    *seen = predicted + actual > 0;
    return (nn_class_scores){ ratio(right, predicted), ratio(right, actual), ratio(2 * right, predicted + actual) };
}

/* Means over the classes that were seen, as scikit-learn's; NaN where there is none. */
static nn_class_scores macro_scores(const ad_var *counts) {
    nn_class_scores sum = { 0, 0, 0 };
    double classes = 0;
    for (int64_t k = 0; k < ad_shape_of(counts).dim[0]; k++) {
        bool seen;
        nn_class_scores s = scores_of(counts, k, &seen);
        sum.precision += s.precision, sum.recall += s.recall, sum.f1 += s.f1;
        classes += seen;
    }
    return (nn_class_scores){ sum.precision / classes, sum.recall / classes, sum.f1 / classes };
}

static const nn_class_scores no_scores = { NAN, NAN, NAN };

static int check_confusion(const ad_var *confusion, const char *caller) {
    if (ad_is_nil(confusion)) return ad_refuse_nil(confusion, caller);
    ad_shape s = ad_shape_of(confusion);
    if (s.ndim == 2 && s.dim[0] == s.dim[1]) return ad_error_code(ad_graph_of(confusion));
    return ad_fail(ad_graph_of(confusion), AD_ESHAPE, "%s: a confusion matrix is [c,c], not %s", caller,
                   ad_shape_str(s).text);
}

nn_class_scores nn_scores_of_class(const ad_var *confusion, int64_t class) {
    bool seen;
    if (check_confusion(confusion, "scores_of_class")) return no_scores;
    return class >= 0 && class < ad_shape_of(confusion).dim[0] ? scores_of(confusion, class, &seen) : no_scores;
}

nn_class_scores nn_macro_scores(const ad_var *confusion) {
    return check_confusion(confusion, "macro_scores") ? no_scores : macro_scores(confusion);
}

/* The counts are temporary. Rows that predict no class are counted as missed. */
static nn_class_scores macro_scores_of(const ad_var *scores, const ad_var *classes, const char *caller) {
    ad_graph *g = ad_graph_of(scores);
    if (check_given(scores, classes, caller)) return no_scores;
    ad_mark m = ad_begin(g);
    const ad_var *counts = count(scores, classes, 1, caller);
    nn_class_scores s = ad_ok(g) ? macro_scores(counts) : no_scores;
    ad_end(g, m);
    return s;
}

double nn_precision(const ad_var *scores, const ad_var *classes) {
    return macro_scores_of(scores, classes, "precision").precision;
}
double nn_recall(const ad_var *scores, const ad_var *classes) {
    return macro_scores_of(scores, classes, "recall").recall;
}
double nn_f1(const ad_var *scores, const ad_var *classes) { return macro_scores_of(scores, classes, "f1").f1; }

/* ---- columns of predictions and targets ---------------------------------------------------------------- */

/* The shape without a last axis of size 1: [n,1] stands for [n]. */
static ad_shape without_last(ad_shape s) {
    if (s.ndim == 2 && s.dim[1] == 1) s.ndim = 1;
    return s;
}

static int check_pairs(const ad_var *y, const ad_var *target, const char *caller) {
    if (check_given(y, target, caller)) return AD_EVALUE;
    ad_graph *g = ad_graph_of(y);
    ad_shape a = ad_shape_of(y), b = ad_shape_of(target);
    if (ad_numel(y) != ad_numel(target))
        return ad_fail(g, AD_ESHAPE, "%s: %s and target %s differ in size", caller, ad_shape_str(a).text,
                       ad_shape_str(b).text);
    if (a.ndim < 1 || !ad_shape_equal(without_last(a), without_last(b)))
        return ad_fail(g, AD_ESHAPE, "%s: %s and target %s must have one row per sample, and the same shape", caller,
                       ad_shape_str(a).text, ad_shape_str(b).text);
    for (int64_t i = 0; i < ad_numel(target); i++)
        if (!isfinite(ad_at(target, i)))
            return ad_fail(g, AD_EVALUE, "%s: element %lld of the target is %g", caller, (long long)i,
                           ad_at(target, i));
    return ad_error_code(g);
}

/* A column of y and of target, which are seen as [n,columns]. */
typedef struct {
    const ad_var *y, *target;
    int64_t n, columns, at;
} column;

static double value_in(const column *c, int64_t row) { return ad_at(c->y, row * c->columns + c->at); }
static double target_in(const column *c, int64_t row) { return ad_at(c->target, row * c->columns + c->at); }

/* The mean of f over the columns. */
static double mean_of_columns(const ad_var *y, const ad_var *target, double (*f)(const column *c, const void *data),
                              const void *data) {
    int64_t n = ad_shape_of(y).dim[0], columns = n > 0 ? ad_numel(y) / n : 0;
    double sum = 0;
    for (int64_t j = 0; j < columns; j++) sum += f(&(column){ y, target, n, columns, j }, data);
    return sum / (double)columns; /* NaN for no columns */
}

/* ---- regression -------------------------------------------------------------------------------------- */

/* Differences are taken from the first target, so that the mean of equal targets is exact, and divided by the largest
   deviation, so that squares do not overflow. */
static double r2_of(const column *c, const void *data) {
    (void)data;
    double first = target_in(c, 0), mean = 0, spread = 0, errors = 0, deviations = 0;
    for (int64_t i = 0; i < c->n; i++) mean += (target_in(c, i) - first) / (double)c->n;
    for (int64_t i = 0; i < c->n; i++) spread = fmax(spread, fabs(target_in(c, i) - first - mean));
    double unit = spread > 0 ? spread : 1;
    for (int64_t i = 0; i < c->n; i++) {
        double error = (target_in(c, i) - value_in(c, i)) / unit, deviation = (target_in(c, i) - first - mean) / unit;
        if (!isfinite(error)) return NAN;
        errors += error * error;
        deviations += deviation * deviation;
    }
    if (c->n < 2) return NAN;
    if (spread == 0) return errors == 0 ? 1 : 0;
    return 1 - errors / deviations;
}

double nn_r2(const ad_var *y, const ad_var *target) {
    return check_pairs(y, target, "r2") ? NAN : mean_of_columns(y, target, r2_of, NULL);
}

/* ---- ranking ----------------------------------------------------------------------------------------- */

typedef struct {
    double score;
    bool positive;
} scored;

static int by_score(const void *a, const void *b) {
    const scored *x = a, *y = b;
    return (x->score > y->score) - (x->score < y->score);
}

/* The Mann-Whitney statistic: the fraction of pairs of a positive and a negative row in which the positive one has the
   higher score; pairs of equal scores count half. s is sorted by score. */
static double area(int64_t n, const scored *s) {
    double below = 0, right = 0, positives = 0; /* below: negatives with lower scores */
    for (int64_t from = 0, to; from < n; from = to) {
        double plus = 0, minus = 0;
        for (to = from; to < n && s[to].score == s[from].score; to++) *(s[to].positive ? &plus : &minus) += 1;
        right += plus * (below + minus / 2);
        below += minus;
        positives += plus;
    }
    return right / (positives * below);
}

/* The least and the greatest label. */
typedef struct {
    double negative, positive;
} labels;

/* There are at most two different labels, and they are whole numbers: others are classes or scores by mistake. */
static int find_labels(const ad_var *x, labels *l) {
    *l = (labels){ INFINITY, -INFINITY };
    for (int64_t i = 0; i < ad_numel(x); i++) {
        l->negative = fmin(l->negative, ad_at(x, i));
        l->positive = fmax(l->positive, ad_at(x, i));
    }
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double label = ad_at(x, i);
        if ((label != l->negative && label != l->positive) || label != floor(label))
            return ad_fail(ad_graph_of(x), AD_EVALUE, "auc: element %lld of the labels is %g, and others are %g and "
                           "%g; labels are two whole numbers, such as 0 and 1", (long long)i, label, l->negative,
                           l->positive);
    }
    return AD_OK;
}

static double auc_of(const column *c, const void *data) {
    const labels *l = data;
    ad_graph *g = ad_graph_of(c->y);
    ad_mark m = ad_begin(g);
    scored *s = ad_scope_array(g, (size_t)c->n * sizeof *s);
    double a = NAN;
    bool numbers = s != NULL;
    for (int64_t i = 0; i < c->n && numbers; i++) {
        s[i] = (scored){ value_in(c, i), target_in(c, i) == l->positive };
        numbers = !isnan(s[i].score);
    }
    if (numbers) qsort(s, (size_t)c->n, sizeof *s, by_score);
    if (numbers) a = area(c->n, s);
    ad_end(g, m);
    return a;
}

double nn_auc(const ad_var *scores, const ad_var *positive) {
    labels l;
    if (check_pairs(scores, positive, "auc") || find_labels(positive, &l)) return NAN;
    return mean_of_columns(scores, positive, auc_of, &l);
}
