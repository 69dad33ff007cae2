/* test_data_mixes.c: smoothed labels, weights of classes, and rows and images that are mixed. */
#include "tests/training.h"

/* ---- mixes --------------------------------------------------------------------------------------------------- */

static void labels_are_smoothed(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *classes = ad_tensor(g, AD_F64, (double[]){ 2, 0 }, AD_SHAPE(2)), *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3));
    static const double want[] = { 0.05, 0.05, 0.85, 0.05, 0.85, 0.05, 0.05, 0.05 };
    ad_var *y = nn_smooth_labels(classes, 4, 0.2), *even = nn_smooth_labels(classes, 4, 1);
    assert_shape(y, AD_SHAPE(2, 4));
    for (int i = 0; i < 8; i++) assert_close(ad_at(even, i), 0.25, 0);
    for (int i = 0; i < 8; i++) assert_close(ad_at(nn_smooth_labels(classes, 4, 0), i), i == 2 || i == 4, 0);
    for (int i = 0; i < 8; i++) assert_close(ad_at(y, i), want[i], 1e-15);
    /* the loss of smoothed targets is the loss with label_smoothing, which is torch's */
    ad_var *logits = ad_tensor(g, AD_F64, (double[]){ 1, -2, 0.5, 3, 0, 1, 2, -1 }, AD_SHAPE(2, 4));
    assert_close(ad_item(nn_cross_entropy_with(logits, y, (ad_ce_opts){ 0 })),
                 ad_item(nn_cross_entropy_with(logits, classes, (ad_ce_opts){ .label_smoothing = 0.2 })), 1e-14);
    ad_var *targets = classes;
    nn_smooth(&x, &targets, &(nn_mix){ .classes = 4, .smoothing = 0.2 });
    for (int i = 0; i < 8; i++) assert_close(ad_at(targets, i), want[i], 1e-15);
    assert_fails(g, nn_smooth_labels(classes, 2, 0.2), AD_EVALUE,
                 "smooth_labels: row 0 is of class 2; classes are 0 to 1");
    assert_fails(g, nn_smooth_labels(classes, 4, 1.5), AD_EVALUE,
                 "smooth_labels: smoothing 1.5: it must be from 0 to 1");
    assert_fails(g, nn_smooth_labels(classes, 0, 0), AD_EVALUE, "smooth_labels: 0 classes");
    double balanced[4], y10[] = { 0, 1, 1, 3, 3, 3, 1, 0, 3, 3 };
    reference_row("training", "balanced", balanced, 4);
    ad_var *w = nn_class_weights(ad_tensor(g, AD_F64, y10, AD_SHAPE(10)), 3 + 1);
    assert_true(ad_at(w, 2) == 0);
    static const int class_of[] = { 0, 1, 3 };
    for (int i = 0; i < 3; i++)
        assert_close(ad_at(w, class_of[i]) * 4 / 3, balanced[i], 1e-15); /* sklearn knows three */
    ad_graph_free(g);
}

/* More rows than an f32 can count. */
static void classes_of_many_rows_are_counted(void **state) {
    (void)state;
    if (test_quick()) skip();
    ad_graph *g = ad_graph_new();
    ad_var *w = nn_class_weights(ad_zeros(g, AD_F32, AD_SHAPE((1 << 24) + 256)), 2);
    assert_true(ad_at(w, 0) == 0.5 && ad_at(w, 1) == 0);
    ad_graph_free(g);
}

/* Rows of images that are all r in row r: a mixed row shows which rows it is made of, and in which parts. */
static nn_dataset marked(ad_graph *g, int64_t n, int64_t h, int64_t w) {
    nn_dataset d = { ad_zeros(g, AD_F64, AD_SHAPE(n, 1, h, w)), ad_zeros(g, AD_F64, AD_SHAPE(n)) };
    for (int64_t i = 0; i < n * h * w; i++) ((double *)ad_data_mut(d.x))[i] = pow(2, (double)(i / (h * w)));
    for (int64_t i = 0; i < n; i++) ((double *)ad_data_mut(d.y))[i] = (double)i;
    return d;
}

static void rows_are_mixed(void **state) {
    (void)state;
    enum { M = 6, H = 5, W = 4, TIMES = 300 };
    ad_graph *g = ad_graph_new();
    nn_mix mix = { .classes = M, .alpha = 0.7 };
    double mean = 0, square = 0;
    for (int time = 0; time < TIMES; time++) {
        ad_mark m = ad_begin(g);
        nn_dataset d = marked(g, M, H, W);
        nn_mixup(&d.x, &d.y, &mix);
        assert_ok(g);
        assert_shape(d.y, AD_SHAPE(M, M));
        double share = 1, columns[M] = { 0 };
        for (int i = 0; i < M; i++) {
            double sum = 0, image = 0;
            for (int k = 0; k < M; k++) {
                double p = ad_at(d.y, M * i + k);
                sum += p, columns[k] += p, image += p * pow(2, k);
                if (k == i && p < share) share = p;
            }
            assert_close(sum, 1, 1e-12);
            for (int64_t k = 0; k < H * W; k++) assert_close(ad_at(d.x, i * H * W + k), image, 1e-12);
        }
        for (int k = 0; k < M; k++) assert_close(columns[k], 1, 1e-12); /* each row is the other one of one row */
        mean += share / TIMES, square += share * share / TIMES;
        ad_end(g, m);
    }
    /* Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)) */
    assert_close(mean, 0.5, 0.06);
    assert_close(square - mean * mean, 1 / (4 * 2.4), 0.02);
    nn_dataset d = marked(g, 3, 2, 2), same = d;
    nn_mixup(&d.x, &d.y, &(nn_mix){ .classes = 3, .chance = AD_ZERO });
    for (int64_t i = 0; i < 12; i++) assert_true(ad_at(d.x, i) == ad_at(same.x, i));
    nn_dataset numbers = marked(g, 3, 2, 2);
    nn_mixup(&numbers.x, &numbers.y, &(nn_mix){ 0 }); /* targets that are numbers */
    assert_shape(numbers.y, AD_SHAPE(3));
    for (int i = 0; i < 3; i++) assert_true(ad_at(numbers.y, i) >= 0 && ad_at(numbers.y, i) <= 2);
    ad_graph_free(g);
}

static void pieces_of_images_are_exchanged(void **state) {
    (void)state;
    enum { M = 4, H = 9, W = 6, TIMES = 200 };
    ad_graph *g = ad_graph_new();
    nn_mix mix = { .classes = M, .smoothing = 0.1 };
    int changed = 0;
    for (int time = 0; time < TIMES; time++) {
        ad_mark m = ad_begin(g);
        nn_dataset d = marked(g, M, H, W);
        nn_cutmix(&d.x, &d.y, &mix);
        assert_ok(g);
        for (int i = 0; i < M; i++) {
            int area[M] = { 0 }, top = H, bottom = -1, left = W, right = -1;
            for (int k = 0; k < H * W; k++) {
                int row = (int)log2(ad_at(d.x, i * H * W + k)), at = k / W, column = k % W;
                area[row]++;
                if (row == i) continue;
                top = at < top ? at : top, bottom = at > bottom ? at : bottom;
                left = column < left ? column : left, right = column > right ? column : right;
            }
            for (int k = 0; k < M; k++) assert_close(ad_at(d.y, M * i + k), 0.9 * area[k] / (H * W) + 0.1 / M, 1e-12);
            int other = H * W - area[i], height = bottom - top + 1, width = right - left + 1;
            assert_true(other == 0 || other == height * width); /* a rectangle */
            /* as far above its middle as below, and left as right, unless the edges cut it off */
            if (other > 0 && top > 0 && bottom < H - 1) assert_int_equal(height % 2, 0);
            if (other > 0 && left > 0 && right < W - 1) assert_int_equal(width % 2, 0);
            changed += other > 0;
        }
        ad_end(g, m);
    }
    assert_true(changed > TIMES);
    ad_graph_free(g);
}

static void wrong_mixes_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_mix mix = { .classes = 4 };
    ad_var *flat = ad_ones(g, AD_F64, AD_SHAPE(4, 3)), *y = ad_zeros(g, AD_F64, AD_SHAPE(4));
    nn_cutmix(&flat, &y, &mix);
    assert_contains(ad_error(g),
                    "cutmix: x is [4,3] and y [4]: both need one row per sample, and x has height and width");
    ad_clear_error(g);
    static const nn_mix bad[] = {
        { .alpha = -1 }, { .alpha = NAN }, { .chance = 2 }, { .classes = -1 }, { .smoothing = 0.1 }
    };
    for (int i = 0; i < COUNT(bad); i++) {
        nn_mix one = bad[i];
        nn_mixup(&flat, &y, &one);
        assert_contains(ad_error(g), "mixup: ");
        ad_clear_error(g);
    }
    nn_mixup(NULL, &y, &mix);
    assert_ok(g);
    ad_graph_free(g);
}

/* Soft targets through nn_fit, with augmentations and a thread beside. */
static void mixes_train_a_network(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_seed(g, 1);
    nn_dataset d = nn_blobs_data(g, AD_F32, 300, 3, 2, 0.5);
    nn_module *m = nn_mlp(g, AD_F32, 3, (int64_t[]){ 2, 16, 3 }, ad_tanh);
    nn_mix mix = { .classes = 3, .alpha = 0.2, .smoothing = 0.05 };
    nn_fit_opts o = {
        .epochs = 20, .mix = nn_mixup, .mix_data = &mix, .loss_with = nn_cross_entropy_data, .prefetch = 2
    };
    assert_int_equal(nn_fit(m, NULL, nn_adam(m, (nn_adam_opts){ .lr = 0.02 }), d, o, NULL), AD_OK);
    assert_true(nn_evaluate(m, NULL, nn_accuracy, d, 300).metric > 0.95);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_smoothed),
        cmocka_unit_test(classes_of_many_rows_are_counted),
        cmocka_unit_test(rows_are_mixed),
        cmocka_unit_test(pieces_of_images_are_exchanged),
        cmocka_unit_test(wrong_mixes_are_errors),
        cmocka_unit_test(mixes_train_a_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
