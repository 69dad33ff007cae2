/* test_data_parts.c: parts of data sets, scaling, synthetic data and metrics. */
#include "nn/nn.h"
#include "tests/common.h"

enum { N = 103 };

/* Row i is 10 i, 10 i + 1; classes 0, 1, 2 in the ratio 1 : 2 : 7. */
static nn_dataset data_new(ad_graph *g, ad_dtype t) {
    double x[2 * N], y[N];
    for (int i = 0; i < 2 * N; i++) x[i] = 10 * (i / 2) + i % 2;
    for (int i = 0; i < N; i++) y[i] = i % 10 == 0 ? 0 : i % 10 < 3 ? 1 : 2;
    return (nn_dataset){ param_of(g, t, x, AD_SHAPE(N, 2)), param_of(g, t, y, AD_SHAPE(N)) };
}

/* Counts the rows of a part in seen, and checks their classes. */
static int64_t see(nn_dataset part, nn_dataset all, int seen[N]) {
    int64_t n = ad_shape_of(part.x).dim[0];
    assert_int_equal(ad_shape_of(part.y).dim[0], n);
    for (int64_t i = 0; i < n; i++) {
        int row = (int)ad_at(part.x, 2 * i) / 10;
        assert_true(ad_at(part.x, 2 * i + 1) == 10 * row + 1);
        assert_true(ad_at(part.y, i) == ad_at(all.y, row));
        seen[row]++;
    }
    return n;
}

static void assert_each_once(const int seen[N]) {
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
}

static double count_class(nn_dataset d, double class) {
    double n = 0;
    for (int64_t i = 0; i < ad_numel(d.y); i++) n += ad_at(d.y, i) == class;
    return n;
}

static void assert_stratified(nn_dataset part, nn_dataset all) {
    for (int c = 0; c < 3; c++) {
        double share = (double)ad_numel(part.y) / N;
        assert_true(fabs(count_class(part, c) - share * count_class(all, c)) < 2);
    }
}

static void a_split_has_every_row_once(void **state) {
    (void)state;
    for (int flags = 0; flags < 8; flags++) {
        ad_graph *g = ad_graph_new();
        nn_dataset d = data_new(g, flags & 4 ? AD_F32 : AD_F64);
        nn_parts p = nn_split(
            d, (nn_split_opts){ .validation = 0.2, .test = 0.1, .in_order = flags & 1, .stratify = flags & 2 });
        int seen[N] = { 0 };
        assert_ok(g);
        assert_int_equal(see(p.train, d, seen), N - 21 - 10);
        assert_int_equal(see(p.validation, d, seen), 21);
        assert_int_equal(see(p.test, d, seen), 10);
        assert_each_once(seen);
        if (flags & 2) assert_stratified(p.validation, d), assert_stratified(p.test, d), assert_stratified(p.train, d);
        if (flags == 1)
            for (int i = 0; i < N - 31; i++) assert_true(ad_at(p.train.x, 2 * i) == 10 * i);
        if (flags == 0) assert_true(ad_at(p.train.x, 0) != 0 || ad_at(p.train.x, 2) != 10);
        ad_graph_free(g);
    }
}

static void folds_are_each_validation_once(void **state) {
    (void)state;
    for (int64_t k = 2; k <= N; k += 17)
        for (int stratify = 0; stratify < 2; stratify++) {
            ad_graph *g = ad_graph_new();
            nn_dataset d = data_new(g, AD_F64);
            int validated[N] = { 0 };
            for (int64_t fold = 0; fold < k; fold++) {
                nn_parts p = nn_kfold(d, k, fold, (nn_split_opts){ .stratify = stratify, .seed = 5 });
                int seen[N] = { 0 };
                int64_t n = see(p.validation, d, seen);
                assert_true(n == N / k || n == N / k + 1);
                see(p.train, d, seen);
                assert_each_once(seen);
                see(p.validation, d, validated);
                if (stratify) assert_stratified(p.validation, d);
            }
            assert_ok(g);
            assert_each_once(validated);
            ad_graph_free(g);
        }
}

static void the_seed_decides_and_the_graph_draws_on(void **state) {
    (void)state;
    double first[3], word[2];
    for (int k = 0; k < 3; k++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 3);
        nn_parts p = nn_split(data_new(g, AD_F64), (nn_split_opts){ .test = 0.5, .seed = k == 2 ? 8 : 7 });
        first[k] = ad_at(p.train.x, 0) + 1000 * ad_at(p.train.x, 10) + 1e6 * ad_at(p.train.x, 40);
        if (k < 2) word[k] = ad_item(ad_rand(g, AD_F64, AD_SCALAR));
        ad_graph_free(g);
    }
    ad_graph *g = ad_graph_new();
    ad_seed(g, 3);
    assert_true(word[0] == ad_item(ad_rand(g, AD_F64, AD_SCALAR)) && word[1] == word[0]);
    assert_true(first[0] == first[1] && first[0] != first[2]);
    ad_graph_free(g);
}

static void every_part_gets_a_row(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F64);
    const double fractions[][2] = { { 0.4, 0.4 }, { 0.99, 0 }, { 0, 0.99 }, { 0.1, 0 }, { 0, 0.2 } };
    const char *const parts[] = { "training", "training", "training", "validation", "test" };
    for (int i = 0; i < 5; i++) {
        nn_dataset two = nn_take_rows(d, 2, (int64_t[]){ 3, 4 });
        const nn_split_opts o = { .validation = fractions[i][0], .test = fractions[i][1] };
        char want[60];
        snprintf(want, sizeof want, "of 2 rows: no row is left for %s", parts[i]);
        assert_fails(g, nn_split(two, o).train.x, AD_EVALUE, want);
    }
    assert_int_equal(ad_numel(nn_split(nn_take_rows(d, 0, NULL), (nn_split_opts){ .test = 0.5 }).test.y), 0);
    assert_ok(g);
    ad_graph_free(g);
}

static void bad_parts_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F64), wide = { d.x, d.x };
#define REFUSED(call, sentence)                                                                                        \
    do {                                                                                                               \
        assert_true(ad_is_nil((call).train.x));                                                                        \
        assert_string_equal(ad_error(g), sentence);                                                                    \
        ad_clear_error(g);                                                                                             \
    } while (0)
    REFUSED(nn_split(d, (nn_split_opts){ .test = 1 }),
            "split: validation 0 and test 1: fractions, together less than 1");
    REFUSED(nn_split(d, (nn_split_opts){ .test = NAN }),
            "split: validation 0 and test nan: fractions, together less than 1");
    REFUSED(nn_split(d, (nn_split_opts){ .validation = -0.1 }),
            "split: validation -0.1 and test 0: fractions, together less than 1");
    assert_int_equal(ad_numel(nn_split(d, (nn_split_opts){ .validation = AD_ZERO, .test = 0.5 }).validation.y), 0);
    assert_ok(g);
    REFUSED(nn_split(wide, (nn_split_opts){ .stratify = true }), "split: y [103,2]: stratify needs class numbers [n]");
    REFUSED(nn_kfold(d, 1, 0, (nn_split_opts){ 0 }), "kfold: fold 0 of 1: 2 to 103 folds, numbered from 0");
    REFUSED(nn_kfold(d, 5, 5, (nn_split_opts){ 0 }), "kfold: fold 5 of 5: 2 to 103 folds, numbered from 0");
    REFUSED(nn_split((nn_dataset){ d.x, ad_ones(g, AD_F64, AD_SHAPE(4)) }, (nn_split_opts){ 0 }),
            "split: x [103,2] and y [4] must have one row per sample");
    assert_true(ad_is_nil(nn_take_rows(d, 1, (int64_t[]){ N }).x));
    assert_string_equal(ad_error(g), "take_rows: row 103 of 103 rows");
    ad_clear_error(g);
    assert_fails(g, nn_take_rows(d, 2, NULL).x, AD_EVALUE, "take_rows: 2 rows: a number of 0 or more and an array");
    assert_fails(g, nn_take_rows(d, -1, (int64_t[]){ 0 }).x, AD_EVALUE, "take_rows: -1 rows: ");
    assert_int_equal(ad_shape_of(nn_take_rows(d, 0, NULL).x).dim[0], 0);
    assert_true(ad_is_nil(nn_take_rows((nn_dataset){ NULL, NULL }, 0, NULL).x));
    ad_graph *other = ad_graph_new();
    assert_fails(g, nn_split((nn_dataset){ d.x, data_new(other, AD_F64).y }, (nn_split_opts){ 0 }).train.x, AD_EGRAPH,
                 "split: x and y belong to two graphs");
    assert_ok(other);
    ad_graph_free(other);
    ad_graph_free(g);
}

/* ---- scaling ------------------------------------------------------------------------------------------------ */

static void scaling_is_fitted_on_one_part_and_used_on_all(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *train = param_of(g, t, (double[]){ 1, 5, 7, 3, 5, 9 }, AD_SHAPE(2, 3));
        ad_var *test = param_of(g, t, (double[]){ 4, 6, 8 }, AD_SHAPE(1, 3));
        nn_scaler s = nn_fit_standard(train), m = nn_fit_minmax(train);
        const double standard[] = { 2, 1, 0 }, minmax[] = { 1.5, 1, 0.5 };
        for (int j = 0; j < 3; j++) {
            assert_close(ad_at(nn_scale(s, test), j), standard[j], tolerance(t));
            assert_close(ad_at(nn_scale(m, test), j), minmax[j], tolerance(t));
            assert_close(ad_at(nn_unscale(s, nn_scale(s, test)), j), ad_at(test, j), tolerance(t));
            assert_close(ad_at(nn_unscale(m, nn_scale(m, test)), j), ad_at(test, j), tolerance(t));
        }
        assert_ok(g);
        assert_false(ad_requires_grad(nn_fit_standard(train).shift));
        ad_graph_free(g);
    }
}

/* ---- synthetic data ------------------------------------------------------------------------------------------ */

static double parabola(double x) { return x * x; }

static void synthetic_points_lie_where_they_should(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        nn_dataset xor = nn_xor_data(g, t, 10, 0), moons = nn_moons_data(g, t, 11, 0);
        nn_dataset rings = nn_circles_data(g, t, 12, 0, 0.5), curve = nn_curve_data(g, t, 5, -1, 1, parabola, 0);
        nn_dataset arms = nn_spiral_data(g, t, 30, 3, 0), blobs = nn_blobs_data(g, t, 40, 4, 3, 0);
        assert_ok(g);
        for (int i = 0; i < 10; i++) assert_true(ad_at(xor.y, i) == (ad_at(xor.x, 2 * i) != ad_at(xor.x, 2 * i + 1)));
        for (int i = 0; i < 11; i++) {
            double dx = ad_at(moons.x, 2 * i) - (i % 2), dy = ad_at(moons.x, 2 * i + 1) - 0.5 * (i % 2);
            assert_close(hypot(dx, dy), 1, tolerance(t));
            assert_true(i % 2 ? dy <= 1e-6 : dy >= -1e-6);
            assert_true(ad_at(moons.y, i) == i % 2);
        }
        for (int i = 0; i < 12; i++)
            assert_close(hypot(ad_at(rings.x, 2 * i), ad_at(rings.x, 2 * i + 1)), i % 2 ? 0.5 : 1, tolerance(t));
        for (int i = 0; i < 5; i++) {
            assert_close(ad_at(curve.x, i), -1 + 0.5 * i, tolerance(t));
            assert_close(ad_at(curve.y, i), parabola(-1 + 0.5 * i), tolerance(t));
        }
        for (int i = 3; i < 30; i++) {
            double inner = hypot(ad_at(arms.x, 2 * i - 6), ad_at(arms.x, 2 * i - 5));
            assert_true(inner < hypot(ad_at(arms.x, 2 * i), ad_at(arms.x, 2 * i + 1)));
            assert_true(ad_at(arms.y, i) == i % 3);
        }
        for (int i = 12; i < 120; i++) assert_true(ad_at(blobs.x, i) == ad_at(blobs.x, i - 12));
        ad_graph_free(g);
    }
}

static void bad_synthetic_data_is_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_fails(g, nn_moons_data(g, AD_F32, 4, -1).x, AD_EVALUE,
                 "moons_data: 4 points with noise -1: neither may be negative");
    assert_fails(g, nn_xor_data(g, AD_F32, -1, 0).y, AD_EVALUE, "xor_data: -1 points with noise 0");
    assert_fails(g, nn_circles_data(g, AD_F32, 4, NAN, 0.5).x, AD_EVALUE, "circles_data: 4 points with noise nan");
    assert_fails(g, nn_moons_data(g, AD_F32, 4, INFINITY).x, AD_EVALUE, "moons_data: noise inf: it must be finite");
    assert_fails(g, nn_circles_data(g, AD_F32, 4, 0, NAN).x, AD_EVALUE, "circles_data: factor nan: it must be finite");
    assert_fails(g, nn_curve_data(g, AD_F32, 4, 0, INFINITY, sin, 0).x, AD_EVALUE, "curve_data: hi inf: it must");
    assert_fails(g, nn_curve_data(g, AD_F32, 4, NAN, 1, sin, 0).x, AD_EVALUE, "curve_data: lo nan: it must");
    assert_fails(g, nn_spiral_data(g, AD_F32, 4, 0, 1).x, AD_EVALUE, "spiral_data: 0 classes: at least 1");
    assert_fails(g, nn_blobs_data(g, AD_F32, 4, 2, 0, 1).x, AD_EVALUE, "blobs_data: 2 classes in 0 dimensions");
    assert_fails(g, nn_curve_data(g, AD_F32, 4, 0, 1, NULL, 0).y, AD_EVALUE, "curve_data: the function f is NULL");
    assert_true(ad_is_nil(nn_spiral_data(g, AD_F32, INT64_MAX, INT64_MAX, 0).x)); /* more than memory holds */
    ad_clear_error(g);
    assert_int_equal(ad_numel(nn_spiral_data(g, AD_F32, 3, INT64_MAX, 0).y), 3);
    assert_int_equal(ad_numel(nn_moons_data(g, AD_F32, 0, 0).y), 0);
    assert_ok(g);
    ad_graph_free(g);
}

static void noise_has_the_deviation_asked_for(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = nn_xor_data(g, AD_F64, 4000, 0.1);
    double sum = 0;
    for (int i = 0; i < 8000; i++) {
        double off = ad_at(d.x, i) - round(ad_at(d.x, i));
        sum += off * off;
    }
    assert_close(sqrt(sum / 8000), 0.1, 0.005);
    ad_graph_free(g);
}

/* ---- metrics --------------------------------------------------------------------------------------------------- */

/* Expected values from scikit-learn. */
static void metrics_of_classes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *scores = ad_tensor(
        g, AD_F64, (double[]){ 3, 2, 1, /**/ 1, 3, 2, /**/ 1, 2, 3, /**/ 2, 3, 1, /**/ 3, 1, 2, /**/ 2, 2, 1 },
        AD_SHAPE(6, 3));
    ad_var *classes = ad_tensor(g, AD_F64, (double[]){ 0, 1, 2, 0, 1, 1 }, AD_SHAPE(6));
    assert_close(nn_accuracy(scores, classes), 3 / 6.0, 1e-15);
    assert_close(nn_top_k(scores, classes, 2), 5 / 6.0, 1e-15);
    assert_close(nn_top_k(scores, classes, 3), 1, 1e-15);
    ad_var *m = nn_confusion(scores, classes);
    const double want[] = { 1, 1, 0, 2, 1, 0, 0, 0, 1 };
    for (int i = 0; i < 9; i++) assert_true(ad_at(m, i) == want[i]);
    nn_class_scores one = nn_scores_of_class(m, 1), macro = nn_macro_scores(m);
    assert_close(one.precision, 1 / 2.0, 1e-15);
    assert_close(one.recall, 1 / 3.0, 1e-15);
    assert_close(one.f1, 2 / 5.0, 1e-15);
    assert_close(macro.precision, (1 / 3.0 + 1 / 2.0 + 1) / 3, 1e-15);
    assert_close(macro.recall, (1 / 2.0 + 1 / 3.0 + 1) / 3, 1e-15);
    assert_close(macro.f1, (2 / 5.0 + 2 / 5.0 + 1) / 3, 1e-15);
    assert_true(nn_precision(scores, classes) == macro.precision && nn_recall(scores, classes) == macro.recall);
    assert_true(nn_f1(scores, classes) == macro.f1 && nn_top5(scores, classes) == 1);
    assert_true(isnan(nn_scores_of_class(m, 3).f1));
    assert_ok(g);
    ad_set(scores, (double[18]){ NAN });
    assert_close(nn_accuracy(scores, classes), 1 / 6.0, 1e-15); /* row 3 alone; rows of zeros are class 0 */
    assert_true(isnan(nn_top_k(scores, classes, 0)));
    assert_string_equal(ad_error(g), "top_k: k 0: at least 1");
    ad_clear_error(g);
    assert_true(ad_is_nil(nn_confusion(scores, ad_full(g, AD_F64, 3, AD_SHAPE(6)))));
    assert_string_equal(ad_error(g), "confusion: row 0: class 3 of 3");
    ad_graph_free(g);
}

static void metrics_of_numbers(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *y = ad_tensor(g, AD_F64, (double[]){ 2.5, 0, 2, 8 }, AD_SHAPE(4, 1));
    ad_var *t = ad_tensor(g, AD_F64, (double[]){ 3, -0.5, 2, 7 }, AD_SHAPE(4));
    assert_close(nn_r2(y, t), 0.9486081370449679, 1e-14);
    ad_var *p = ad_tensor(g, AD_F64, (double[]){ 0, 0, 1, 1 }, AD_SHAPE(4));
    assert_close(nn_auc(ad_tensor(g, AD_F64, (double[]){ 0.1, 0.4, 0.35, 0.8 }, AD_SHAPE(4)), p), 0.75, 1e-15);
    assert_close(nn_auc(ad_tensor(g, AD_F64, (double[]){ 0.1, 0.4, 0.4, 0.8 }, AD_SHAPE(4)), p), 0.875, 1e-15);
    assert_close(nn_auc(ad_ones(g, AD_F64, AD_SHAPE(4)), p), 0.5, 1e-15);
    assert_true(isnan(nn_auc(y, ad_ones(g, AD_F64, AD_SHAPE(4)))));
    assert_ok(g);
    assert_true(isnan(nn_r2(y, ad_ones(g, AD_F64, AD_SHAPE(3)))));
    assert_string_equal(ad_error(g), "r2: [4,1] and target [3] differ in size");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_has_every_row_once),
        cmocka_unit_test(folds_are_each_validation_once),
        cmocka_unit_test(the_seed_decides_and_the_graph_draws_on),
        cmocka_unit_test(every_part_gets_a_row),
        cmocka_unit_test(bad_parts_are_refused),
        cmocka_unit_test(scaling_is_fitted_on_one_part_and_used_on_all),
        cmocka_unit_test(synthetic_points_lie_where_they_should),
        cmocka_unit_test(bad_synthetic_data_is_refused),
        cmocka_unit_test(noise_has_the_deviation_asked_for),
        cmocka_unit_test(metrics_of_classes),
        cmocka_unit_test(metrics_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
