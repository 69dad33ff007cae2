/* metric.c: metrics of classification, regression and ranking. */
#include "nn/metric.h"

#include <math.h>
#include <stdlib.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"

/* ---- classification ---------------------------------------------------------------------------------- */

static int check_classes(const ad_var *scores, const ad_var *classes, const char *caller) {
    if (ad_is_nil(scores)) return ad_refuse_nil(scores, caller);
    if (ad_is_nil(classes)) return ad_refuse_nil(classes, caller);
    ad_shape s = ad_shape_of(scores), c = ad_shape_of(classes);
    if (s.ndim == 2 && c.ndim == 1 && s.dim[0] == c.dim[0] && s.dim[1] > 0) return ad_error_code(ad_graph_of(scores));
    return ad_fail(ad_graph_of(scores), AD_ESHAPE, "%s: scores %s and classes %s must be [n,c] and [n]", caller,
                   ad_shape_str(s).text, ad_shape_str(c).text);
}

/* The rank of a class among the c scores of a row, 0 for the highest; of equal scores, the first is higher. NaN ranks
   above all other scores, and a class whose own score is NaN comes last: such predictions are wrong. */
static int64_t rank_of(const ad_var *scores, int64_t row, int64_t c, double class) {
    if (!(class >= 0 && class < (double)c)) return c;
    int64_t own = (int64_t) class, rank = 0;
    double score = ad_at(scores, row * c + own);
    for (int64_t j = 0; j < c; j++) {
        double other = ad_at(scores, row * c + j);
        if (!(other < score) && j != own && (other != score || j < own)) rank++;
    }
    return isnan(score) ? c : rank;
}

static double top_k(const ad_var *scores, const ad_var *classes, int64_t k, const char *caller) {
    if (check_classes(scores, classes, caller)) return NAN;
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1], right = 0;
    for (int64_t i = 0; i < n; i++) right += rank_of(scores, i, c, ad_at(classes, i)) < k;
    return (double)right / (double)n; /* NaN for no rows */
}

double nn_accuracy(const ad_var *scores, const ad_var *classes) { return top_k(scores, classes, 1, "accuracy"); }

double nn_top_k(const ad_var *scores, const ad_var *classes, int64_t k) {
    if (k >= 1) return top_k(scores, classes, k, "top_k");
    ad_fail(ad_graph_of(scores), AD_EVALUE, "top_k: k %lld: at least 1", (long long)k);
    return NAN;
}

ad_var *nn_confusion(const ad_var *scores, const ad_var *classes) {
    ad_graph *g = ad_graph_of(scores);
    if (check_classes(scores, classes, "confusion")) return ad_nil(g);
    int64_t n = ad_shape_of(scores).dim[0], c = ad_shape_of(scores).dim[1];
    ad_var *m = ad_zeros(g, AD_F64, AD_SHAPE(c, c));
    double *count = ad_data_mut(m);
    for (int64_t i = 0; i < n && count != NULL; i++) {
        double class = ad_at(classes, i);
        if (!(class >= 0 && class < (double)c))
            return ad_fail(g, AD_EVALUE, "confusion: row %lld: class %g of %lld", (long long)i, class, (long long)c),
                   ad_nil(g);
        int64_t best = 0;
        for (int64_t j = 1; j < c; j++)
            if (ad_at(scores, i * c + j) > ad_at(scores, i * c + best)) best = j;
        count[(int64_t) class * c + best]++;
    }
    return m;
}

static double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

nn_class_scores nn_scores_of_class(const ad_var *confusion, int64_t class) {
    int64_t c = ad_shape_of(confusion).ndim == 2 ? ad_shape_of(confusion).dim[0] : 0;
    if (class < 0 || class >= c) return (nn_class_scores){ NAN, NAN, NAN };
    double right = ad_at(confusion, class * c + class), predicted = 0, actual = 0;
    for (int64_t j = 0; j < c; j++) {
        predicted += ad_at(confusion, j * c + class);
        actual += ad_at(confusion, class * c + j);
    }
    return (nn_class_scores){ ratio(right, predicted), ratio(right, actual), ratio(2 * right, predicted + actual) };
}

nn_class_scores nn_macro_scores(const ad_var *confusion) {
    int64_t c = ad_shape_of(confusion).ndim == 2 ? ad_shape_of(confusion).dim[0] : 0;
    nn_class_scores sum = { 0, 0, 0 };
    for (int64_t k = 0; k < c; k++) {
        nn_class_scores s = nn_scores_of_class(confusion, k);
        sum.precision += s.precision, sum.recall += s.recall, sum.f1 += s.f1;
    }
    return (nn_class_scores){ sum.precision / (double)c, sum.recall / (double)c, sum.f1 / (double)c };
}

/* The confusion matrix is temporary. */
static nn_class_scores macro_scores_of(const ad_var *scores, const ad_var *classes) {
    ad_graph *g = ad_graph_of(scores);
    ad_mark m = ad_begin(g);
    const ad_var *confusion = nn_confusion(scores, classes);
    nn_class_scores s = ad_ok(g) ? nn_macro_scores(confusion) : (nn_class_scores){ NAN, NAN, NAN };
    ad_end(g, m);
    return s;
}

double nn_top5(const ad_var *scores, const ad_var *classes) { return top_k(scores, classes, 5, "top5"); }
double nn_precision(const ad_var *scores, const ad_var *classes) { return macro_scores_of(scores, classes).precision; }
double nn_recall(const ad_var *scores, const ad_var *classes) { return macro_scores_of(scores, classes).recall; }
double nn_f1(const ad_var *scores, const ad_var *classes) { return macro_scores_of(scores, classes).f1; }

/* ---- regression -------------------------------------------------------------------------------------- */

static int check_pairs(const ad_var *y, const ad_var *target, const char *caller) {
    if (ad_is_nil(y)) return ad_refuse_nil(y, caller);
    if (ad_is_nil(target)) return ad_refuse_nil(target, caller);
    if (ad_numel(y) == ad_numel(target)) return ad_error_code(ad_graph_of(y));
    return ad_fail(ad_graph_of(y), AD_ESHAPE, "%s: %s and target %s differ in size", caller,
                   ad_shape_str(ad_shape_of(y)).text, ad_shape_str(ad_shape_of(target)).text);
}

double nn_r2(const ad_var *y, const ad_var *target) {
    if (check_pairs(y, target, "r2")) return NAN;
    int64_t n = ad_numel(y);
    double mean = 0, errors = 0, deviations = 0;
    for (int64_t i = 0; i < n; i++) mean += ad_at(target, i) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double t = ad_at(target, i);
        errors += (t - ad_at(y, i)) * (t - ad_at(y, i));
        deviations += (t - mean) * (t - mean);
    }
    return 1 - errors / deviations; /* NaN or minus infinity where all targets are equal */
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

double nn_auc(const ad_var *scores, const ad_var *positive) {
    if (check_pairs(scores, positive, "auc")) return NAN;
    ad_graph *g = ad_graph_of(scores);
    int64_t n = ad_numel(scores);
    ad_mark m = ad_begin(g);
    scored *s = ad_scope_array(g, (size_t)n * sizeof *s);
    double a = NAN;
    bool numbers = s != NULL;
    for (int64_t i = 0; i < n && numbers; i++) {
        s[i] = (scored){ ad_at(scores, i), ad_at(positive, i) != 0 };
        numbers = !isnan(s[i].score);
    }
    if (numbers) qsort(s, (size_t)n, sizeof *s, by_score);
    if (numbers) a = area(n, s);
    ad_end(g, m);
    return a;
}
