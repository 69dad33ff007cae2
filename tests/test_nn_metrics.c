/* test_nn_metrics.c: metrics and scalers, case by case as in tests/reference/results_nn/metrics.txt, which
   tests/reference/metrics.py computes with scikit-learn. */
#include "nn/nn.h"
#include "tests/common.h"

enum { MOST = 400, LINE = 8192 };

/* ---- a case of the file --------------------------------------------------------------------------------- */

/* An array as the file has it. */
typedef struct {
    ad_shape shape;
    double at[MOST];
} array;

typedef struct {
    char title[80];      /* "classes usual": the kind and the name */
    array a, b;
    char names[LINE];    /* of the values, separated by blanks */
    double values[MOST];
    int n;
    bool refused;
} test_case;

static int numbers_of(const char *text, double *to) {
    int n = 0;
    char *end;
    for (double v = strtod(text, &end); end != text; text = end, v = strtod(text, &end)) {
        assert_true(n < MOST);
        to[n++] = v;
    }
    return n;
}

static void parse_array(const char *line, array *to) {
    double all[MOST];
    int n = numbers_of(line, all), ndim = (int)all[0];
    to->shape = (ad_shape){ .ndim = ndim };
    for (int i = 0; i < ndim; i++) to->shape.dim[i] = (int64_t)all[1 + i];
    assert_int_equal(n, 1 + ndim + ad_shape_numel(to->shape));
    memcpy(to->at, all + 1 + ndim, (size_t)(n - 1 - ndim) * sizeof *all);
}

static bool read_line(FILE *f, char *to) {
    if (fgets(to, LINE, f) == NULL) return false;
    to[strcspn(to, "\n")] = '\0';
    return to[0] != '#' || read_line(f, to);
}

static bool read_case(FILE *f, test_case *c) {
    char line[LINE];
    if (!read_line(f, line)) return false;
    snprintf(c->title, sizeof c->title, "%.79s", line);
    assert_true(read_line(f, line));
    parse_array(line, &c->a);
    assert_true(read_line(f, line));
    parse_array(line, &c->b);
    assert_true(read_line(f, c->names) && read_line(f, line));
    c->refused = strcmp(line, "refused") == 0;
    c->n = c->refused ? 0 : numbers_of(line, c->values);
    return true;
}

/* ---- what a case is compared with ------------------------------------------------------------------------- */

static double nn_top1(const ad_var *scores, const ad_var *classes) { return nn_top_k(scores, classes, 1); }
static double nn_top2(const ad_var *scores, const ad_var *classes) { return nn_top_k(scores, classes, 2); }

static const struct {
    const char *kind, *name;
    nn_metric_fn *of;
} all_metrics[] = {
    { "classes", "accuracy", nn_accuracy }, { "classes", "precision", nn_precision },
    { "classes", "recall", nn_recall },     { "classes", "f1", nn_f1 },
    { "classes", "top1", nn_top1 },         { "classes", "top2", nn_top2 },
    { "classes", "top5", nn_top5 },         { "numbers", "r2", nn_r2 },
    { "labels", "auc", nn_auc },
};

/* Whether the case is of this kind. */
static bool is_of(const test_case *c, const char *kind) {
    return strncmp(c->title, kind, strlen(kind)) == 0 && c->title[strlen(kind)] == ' ';
}

/* The value of a name; the name must be there. */
static double value_of(const test_case *c, const char *name) {
    int i = 0;
    size_t length = strlen(name);
    for (const char *at = c->names; at != NULL; at = strchr(at, ' '), i++) {
        at += *at == ' ';
        if (strncmp(at, name, length) == 0 && (at[length] == ' ' || at[length] == '\0')) return c->values[i];
    }
    fail_msg("%s has no %s", c->title, name);
    return NAN;
}

static ad_var *var_of(ad_graph *g, ad_dtype t, const array *a) {
    ad_var *x = ad_zeros(g, t, a->shape);
    set_all(x, a->at);
    return x;
}

/* A number where the reference has one; NaN or an error with a sentence where it refuses. */
static void compare_metrics(const test_case *c, ad_dtype t) {
    char row[200];
    for (size_t k = 0; k < sizeof all_metrics / sizeof *all_metrics; k++) {
        if (!is_of(c, all_metrics[k].kind)) continue;
        ad_graph *g = ad_graph_new();
        double got = all_metrics[k].of(var_of(g, t, &c->a), var_of(g, t, &c->b));
        snprintf(row, sizeof row, "%s: %s", c->title, all_metrics[k].name);
        if (!c->refused) assert_ok(g);
        if (!c->refused) assert_close_in(row, got, value_of(c, all_metrics[k].name), t == AD_F32 ? 2e-6 : 1e-13);
        else if (!isnan(got)) fail_msg("%s is %g and should be refused", row, got);
        bool is_top = strncmp(all_metrics[k].name, "top", 3) == 0; /* the sentence says top_k or top5 */
        if (!ad_ok(g)) assert_contains(ad_error(g), is_top ? "top" : all_metrics[k].name);
        if (c->refused && is_of(c, "classes")) assert_false(ad_ok(g));
        ad_graph_free(g);
    }
}

static void compare_confusion(const test_case *c) {
    ad_graph *g = ad_graph_new();
    ad_var *m = nn_confusion(var_of(g, AD_F64, &c->a), var_of(g, AD_F64, &c->b));
    assert_int_equal(ad_is_nil(m), c->refused);
    char name[40];
    int64_t n = c->refused ? 0 : c->a.shape.dim[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            snprintf(name, sizeof name, "confusion%d_%d", (int)i, (int)j);
            assert_close_in(c->title, ad_at(m, i * n + j), value_of(c, name), 0);
        }
    ad_graph_free(g);
}

static void compare_column(const test_case *c, ad_dtype t, const char *name, const ad_var *x) {
    char full[40];
    for (int64_t i = 0; i < ad_numel(x); i++) {
        snprintf(full, sizeof full, "%s%d", name, (int)i);
        double want = value_of(c, full), bound = t == AD_F32 ? 1e-5 : 1e-12;
        if (t == AD_F64 || fabs(want) < 1e30) assert_close_in(c->title, ad_at(x, i), want, bound);
    }
}

/* In f32, the values of columns far from zero are rounded before they are fitted. */
static void compare_scaler(const test_case *c, ad_dtype t, nn_scaler fit(ad_var *x)) {
    if (t == AD_F32 && strstr(c->title, "far") != NULL) return;
    ad_graph *g = ad_graph_new();
    ad_var *x = var_of(g, t, &c->a);
    nn_scaler s = fit(x);
    assert_int_equal(ad_ok(g), !c->refused);
    assert_int_equal(ad_is_nil(s.shift), c->refused);
    if (!c->refused) {
        ad_var *to = nn_scale(s, x), *back = nn_unscale(s, to);
        compare_column(c, t, "shift", s.shift);
        compare_column(c, t, "scale", s.scale);
        compare_column(c, t, "to", to);
        for (int64_t i = 0; i < ad_numel(x); i++)
            assert_close_in(c->title, ad_at(back, i), ad_at(x, i), tolerance(t) * 10);
    }
    ad_graph_free(g);
}

static void metrics_and_scalers_are_as_in_scikit_learn(void **state) {
    (void)state;
    FILE *f = open_source("tests/reference/results_nn/metrics.txt");
    static test_case c;
    int cases = 0;
    for (; read_case(f, &c); cases++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            if (is_of(&c, "standard")) compare_scaler(&c, t, nn_fit_standard);
            else if (is_of(&c, "minmax")) compare_scaler(&c, t, nn_fit_minmax);
            else if (t == AD_F64 || strstr(c.title, "far") == NULL) compare_metrics(&c, t);
            if (is_of(&c, "classes")) compare_confusion(&c);
        }
    fclose(f);
    assert_true(cases > 100);
}

/* ---- what scikit-learn has no case for -------------------------------------------------------------------- */

#define REFUSED(call, code, text)                                                                                      \
    do {                                                                                                               \
        assert_true(isnan(call));                                                                                      \
        assert_int_equal(ad_error_code(g), code);                                                                      \
        assert_contains(ad_error(g), text);                                                                            \
        ad_clear_error(g);                                                                                             \
    } while (0)

static void metrics_say_what_is_wrong(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *one = ad_ones(g, AD_F64, AD_SHAPE(3, 1)), *two = ad_ones(g, AD_F64, AD_SHAPE(3, 2));
    ad_var *part = ad_tensor(g, AD_F64, (double[]){ 0, 1.7, 1 }, AD_SHAPE(3));
    ad_var *three = ad_tensor(g, AD_F64, (double[]){ 0, 1, 2 }, AD_SHAPE(3));
    REFUSED(nn_accuracy(one, three), AD_ESHAPE, "accuracy: scores [3,1]: there must be a column for each of two");
    REFUSED(nn_accuracy(two, part), AD_EVALUE, "accuracy: row 1: class 1.7 of 2");
    REFUSED(nn_recall(two, three), AD_EVALUE, "recall: row 2: class 2 of 2");
    REFUSED(nn_top5(two, two), AD_ESHAPE, "top5: scores [3,2] and classes [3,2] must be [n,c] and [n]");
    REFUSED(nn_r2(ad_ones(g, AD_F64, AD_SHAPE(2, 3)), two), AD_ESHAPE, "one row per sample, and the same shape");
    REFUSED(nn_r2(ad_scalar(g, AD_F64, 1), ad_scalar(g, AD_F64, 1)), AD_ESHAPE, "one row per sample");
    REFUSED(nn_r2(three, ad_full(g, AD_F64, INFINITY, AD_SHAPE(3))), AD_EVALUE, "r2: element 0 of the target is inf");
    REFUSED(nn_auc(three, three), AD_EVALUE, "auc: element 1 of the labels is 1, and others are 0 and 2");
    REFUSED(nn_auc(three, NULL), AD_EVALUE, "auc: the target is NULL");
    REFUSED(nn_auc(NULL, three), AD_EVALUE, "auc: predictions are NULL");
    REFUSED(nn_accuracy(NULL, three), AD_EVALUE, "accuracy: predictions are NULL");
    REFUSED(nn_f1(two, NULL), AD_EVALUE, "f1: the target is NULL");
    REFUSED(nn_scores_of_class(two, 0).f1, AD_ESHAPE, "scores_of_class: a confusion matrix is [c,c], not [3,2]");
    REFUSED(nn_macro_scores(three).f1, AD_ESHAPE, "macro_scores: a confusion matrix is [c,c], not [3]");
    assert_true(isnan(nn_macro_scores(NULL).f1) && isnan(nn_scores_of_class(NULL, 0).f1) && isnan(nn_auc(NULL, NULL)));
    assert_ok(g);
    ad_graph_free(g);
}

static void large_numbers_are_no_reason_to_overflow(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *t = ad_tensor(g, AD_F64, (double[]){ 1e200, 2e200, 3e200 }, AD_SHAPE(3));
    ad_var *y = ad_tensor(g, AD_F64, (double[]){ 1e200, 2e200, 4e200 }, AD_SHAPE(3));
    assert_close(nn_r2(y, t), 0.5, 1e-15);
    assert_true(nn_r2(ad_full(g, AD_F64, 0.1, AD_SHAPE(3)), ad_full(g, AD_F64, 0.1, AD_SHAPE(3))) == 1);
    assert_true(nn_r2(ad_full(g, AD_F64, 0.2, AD_SHAPE(3)), ad_full(g, AD_F64, 0.1, AD_SHAPE(3))) == 0);
    assert_close(ad_at(nn_scale(nn_fit_standard(t), t), 2), sqrt(1.5), 1e-15);
    assert_close(ad_at(nn_scale(nn_fit_minmax(t), t), 1), 0.5, 1e-15);
    /* Rounding of the mean would leave a deviation, and a scale of 1e8. */
    ad_var *same = ad_full(g, AD_F64, 1e8 + 0.1, AD_SHAPE(3, 1));
    assert_true(ad_item(nn_fit_standard(same).scale) == 1 && ad_at(nn_scale(nn_fit_standard(same), same), 0) == 0);
    ad_var *near = ad_tensor(g, AD_F64, (double[]){ 1e9, 1e9 * (1 + 0x1p-52) }, AD_SHAPE(2, 1));
    ad_var *apart = ad_tensor(g, AD_F64, (double[]){ 0, 1e-20 }, AD_SHAPE(2, 1));
    assert_true(ad_item(nn_fit_minmax(near).scale) == 1 && ad_item(nn_fit_standard(near).scale) == 1);
    assert_close(ad_at(nn_scale(nn_fit_minmax(apart), apart), 1), 1, 1e-15);
    /* 1 / 1e-40 is not an f32 number: such a column counts as constant. */
    ad_var *tiny = ad_tensor(g, AD_F32, (float[]){ 0, 1e-40f }, AD_SHAPE(2, 1));
    assert_true(ad_item(nn_fit_minmax(tiny).scale) == 1 && ad_item(nn_fit_standard(tiny).scale) == 1);
    assert_ok(g);
    ad_var *wide = ad_tensor(g, AD_F64, (double[]){ -1e308, 1e308 }, AD_SHAPE(2, 1));
    assert_fails(g, nn_fit_minmax(wide).scale, AD_EVALUE, "fit_minmax: column 0 reaches from -1e+308 to 1e+308");
    ad_graph_free(g);
}

/* Broadcasting would make [3,2] of these. */
static void scalers_take_rows_of_their_own_shape(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_scaler s = nn_fit_standard(ad_tensor(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2)));
    assert_fails(g, nn_scale(s, ad_ones(g, AD_F64, AD_SHAPE(3, 1))), AD_ESHAPE,
                 "scale: x [3,1]: the scaler was fitted on rows as those of [1,2]");
    assert_fails(g, nn_unscale(s, ad_ones(g, AD_F64, AD_SHAPE(2))), AD_ESHAPE, "unscale: x [2]: ");
    assert_fails(g, nn_fit_standard(ad_scalar(g, AD_F64, 1)).shift, AD_ESHAPE, "fit_standard: x []: it must have");
    assert_true(ad_is_nil(nn_scale((nn_scaler){ NULL, NULL }, s.shift)));
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_fit_minmax(NULL).scale) && ad_is_nil(nn_scale(s, NULL)));
    ad_clear_error(g);
    assert_fails(g, nn_fill_missing(ad_ones(g, AD_F64, AD_SHAPE(3, 1)), ad_ones(g, AD_F64, AD_SHAPE(1, 2))), AD_ESHAPE,
                 "fill_missing: values [1,2] do not fit x [3,1]");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_and_scalers_are_as_in_scikit_learn),
        cmocka_unit_test(metrics_say_what_is_wrong),
        cmocka_unit_test(large_numbers_are_no_reason_to_overflow),
        cmocka_unit_test(scalers_take_rows_of_their_own_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
