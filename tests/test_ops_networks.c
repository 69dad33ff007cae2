/* test_ops_networks.c: ops of networks: special points, options, long arrays, masks, running averages, failures. */
#include "common.h"

static ad_var *param(ad_graph *g, const double *values, ad_shape s) { return param_of(g, AD_F64, values, s); }

static void assert_values(const ad_var *x, const double *want, double tol, const char *what) {
    for (int64_t i = 0; i < ad_numel(x); i++) assert_close_in(what, ad_at(x, i), want[i], tol);
}
static void assert_gradient(const ad_var *x, const double *want, double tol, const char *what) {
    for (int64_t i = 0; i < ad_numel(x); i++) assert_close_in(what, ad_grad_at(x, i), want[i], tol);
}

/* ---- losses at special points: torch.nn.functional 1.13 unless a line says otherwise ---------------------------- */

static ad_var *l1(ad_var *x, ad_var *t) { return ad_l1(x, t, AD_NONE); }
static ad_var *huber(ad_var *x, ad_var *t) { return ad_huber(x, t, 0.5, AD_NONE); }
static ad_var *smooth(ad_var *x, ad_var *t) { return ad_smooth_l1(x, t, 0.5, AD_NONE); }
static ad_var *smooth0(ad_var *x, ad_var *t) { return ad_smooth_l1(x, t, 0, AD_NONE); }
static ad_var *bce(ad_var *x, ad_var *t) { return ad_bce(x, t, AD_NONE); }
static ad_var *bce_logits(ad_var *x, ad_var *t) { return ad_bce_logits(x, t, NULL, AD_NONE); }
static ad_var *kl(ad_var *x, ad_var *t) { return ad_kl_div(x, t, false, AD_NONE); }
static ad_var *kl_log(ad_var *x, ad_var *t) { return ad_kl_div(x, t, true, AD_NONE); }
static ad_var *hinge(ad_var *x, ad_var *t) { return ad_hinge(x, t, 1, AD_NONE); }
static ad_var *embedding(ad_var *x, ad_var *t) { return ad_hinge_embedding(x, t, 1, AD_NONE); }
static ad_var *soft(ad_var *x, ad_var *t) { return ad_soft_margin(x, t, AD_NONE); }

static void losses_at_special_points(void **state) {
    (void)state;
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *, ad_var *);
        double x, t, y, dx, dt;
    } points[] = {
        { "l1", l1, 0, 0, 0, 0, 0 },
        { "l1", l1, 1, 3, 2, -1, 1 },
        { "huber", huber, 0.5, 0, 0.125, 0.5, -0.5 },
        { "huber", huber, 1, 3, 0.875, -0.5, 0.5 },
        { "smooth_l1", smooth, 0.5, 0, 0.25, 1, -1 },
        { "smooth_l1", smooth, 1, 3, 1.75, -1, 1 },
        { "smooth_l1, beta 0", smooth0, 0, 0, 0, 0, 0 }, /* as l1; PyTorch's gradients are -1 */
        { "bce", bce, 0, 0, 0, 0, INFINITY },
        { "bce", bce, 1, 1, 0, 0, -INFINITY },
        { "bce", bce, 0, 1, 100, -1000000003995.8029, INFINITY },
        { "bce", bce, 1, 0, 100, 1000000003995.8029, -INFINITY },
        { "bce", bce, 0.3, 0.4, 0.695594088093614, -0.4761904761904764, 0.8472978603872037 },
        { "bce_logits", bce_logits, -800, 0.5, 400, -0.5, 800 },
        { "bce_logits", bce_logits, 800, 1, 0, 0, -800 },
        { "bce_logits", bce_logits, -40, 0, 4.2483542552915889773e-18, 4.2483542552915889773e-18,
          40 },
        { "kl_div", kl, -1, 0, 0, 0, -INFINITY }, /* PyTorch's gradient in t is NaN */
        { "kl_div", kl, -INFINITY, 0, 0, 0, NAN },
        { "kl_div", kl, -2, 0.5, 0.6534264097200273, -0.5, 2.3068528194400546 },
        { "kl_div", kl, -0.5, -1, NAN, 1, NAN },
        { "kl_div, log_target", kl_log, -1, -0.3, 0.5185727544772025, -0.7408182206817179, 1.2593909751589205 },
        { "hinge", hinge, 1, 1, 0, -1, -1 },
        { "hinge", hinge, 2, 1, 0, 0, 0 },
        { "hinge_embedding", embedding, 0, 1, 0, 1, 0 },
        { "hinge_embedding", embedding, 1, -1, 0, -1, 0 },
        { "hinge_embedding", embedding, 2, -1, 0, 0, 0 },
        { "hinge_embedding", embedding, 0.3, 0.5, 1, 0, 0 },
        { "soft_margin", soft, 1, -1, 1.3132616875182228, 0.7310585786300049, -0.7310585786300049 },
        { "soft_margin", soft, 800, -1, 800, 1, -800 }, /* PyTorch overflows */
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_item(g, AD_F64, points[i].x), *t = param_item(g, AD_F64, points[i].t);
        ad_var *y = points[i].f(x, t);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close_in(points[i].name, ad_item(y), points[i].y, 1e-15);
        assert_close_in(points[i].name, ad_grad_item(x), points[i].dx, 1e-15);
        assert_close_in(points[i].name, ad_grad_item(t), points[i].dt, 1e-15);
        ad_graph_free(g);
    }
}

/* Tails with values near 4e-18, compared by relative error. Values: mpmath. */
static void tails_of_losses_are_accurate(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, -40), *y = bce_logits(x, ad_scalar(g, AD_F64, 0));
    ad_backward(y);
    assert_close(ad_item(y) / 4.2483542552915889773e-18, 1, 1e-14);
    assert_close(ad_grad_item(x) / 4.2483542552915889773e-18, 1, 1e-14);
    x = param_item(g, AD_F64, 40);
    ad_backward(y = bce_logits(x, ad_scalar(g, AD_F64, 1)));
    assert_close(ad_grad_item(x) / -4.2483542552915889773e-18, 1, 1e-14);
    ad_graph_free(g);
}

/* Arrays longer than a chunk of the loops: AD_SUM and AD_MEAN against the sum of the elements. */
static void reductions_of_long_losses(void **state) {
    (void)state;
    enum { N = 3 * 1024 + 5, ROW = 7 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int weighted = 0; weighted < 2; weighted++) {
            ad_graph *g = ad_graph_new();
            ad_shape s = AD_SHAPE(N, ROW);
            ad_var *x = ad_require_grad(ad_randn(g, (ad_dtype)t, s)), *target = ad_rand(g, (ad_dtype)t, s);
            ad_var *w = weighted ? ad_rand(g, (ad_dtype)t, AD_SHAPE(ROW)) : NULL;
            ad_var *each = ad_bce_logits(x, target, w, AD_NONE);
            ad_var *sum = ad_bce_logits(x, target, w, AD_SUM);
            ad_var *mean = ad_bce_logits(x, target, w, AD_MEAN);
            double want = 0;
            for (int64_t i = 0; i < N * ROW; i++) {
                double v = ad_at(x, i), p = 1 / (1 + exp(-v)), k = w ? ad_at(w, i % ROW) : 1, y = ad_at(target, i);
                assert_close(ad_at(each, i), -k * y * log(p) - (1 - y) * log(1 - p), 10 * tolerance((ad_dtype)t));
                want += ad_at(each, i);
            }
            assert_close(ad_item(sum), want, 1e-6);
            assert_close(ad_item(mean), want / (N * ROW), 1e-6);
            ad_backward(mean);
            double last = ad_grad_at(x, N * ROW - 1);
            ad_zero_grad(x);
            ad_backward(ad_mean(each));
            assert_close(last, ad_grad_at(x, N * ROW - 1), tolerance((ad_dtype)t) * fabs(last));
            ad_graph_free(g);
        }
}

static void long_f32_means_are_accurate(void **state) {
    (void)state;
    int64_t n = test_quick() ? 100000 : 4000000;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F32, 0.1, AD_SHAPE(n)), *zero = ad_zeros(g, AD_F32, AD_SHAPE(n));
    assert_close(ad_item(ad_l1(x, zero, AD_MEAN)) / (double)0.1f, 1, 1e-7);
    assert_close(ad_item(ad_l1(x, zero, AD_SUM)) / ((double)0.1f * (double)n), 1, 1e-7);
    ad_graph_free(g);
}

static void empty_losses(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_zeros(g, AD_F64, AD_SHAPE(0, 3))), *none = ad_zeros(g, AD_F64, AD_SHAPE(0));
    assert_true(isnan(ad_item(ad_mse(x, x, AD_MEAN))));
    assert_close(ad_item(ad_mse(x, x, AD_SUM)), 0, 0);
    assert_true(isnan(ad_item(ad_cross_entropy_with(x, none, (ad_ce_opts){ 0 }))));
    assert_close(ad_item(ad_nll(x, none, (ad_ce_opts){ .reduction = AD_SUM })), 0, 0);
    assert_ok(g);
    ad_graph_free(g);
}

static void batchmean_divides_by_rows(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ -1, -2, -3, -0.5, -1, -2 }, AD_SHAPE(2, 3));
    ad_var *t = ad_tensor(g, AD_F64, (double[]){ 0.2, 0.3, 0.5, 0.1, 0.1, 0.8 }, AD_SHAPE(2, 3));
    double sum = ad_item(ad_kl_div(x, t, false, AD_SUM));
    assert_close(ad_item(ad_kl_div(x, t, false, AD_BATCHMEAN)), sum / 2, 1e-15);
    ad_graph_free(g);
}

/* ---- cross-entropy: torch.nn.functional.cross_entropy 1.13 ------------------------------------------------------- */

static const double scores[] = { .1, .2, .7, 1, -1, .3 };

static void cross_entropy_with_options(void **state) {
    (void)state;
    const double w[] = { 1, 2, 3 };
    const struct {
        bool weighted;
        double smoothing;
        double classes[2], none[2], mean, sum, gradient; /* gradient: of the mean, at element 1 */
    } rows[] = {
        { false,
          0,
          { 1, 2 },
          { 1.267949548903625, 1.1897575954486834 },
          1.2288535721761542,
          2.4577071443523084,
          -0.35929597797698465 },
        { false, 0, { 1, -100 }, { 1.267949548903625, 0 }, 1.267949548903625, 1.267949548903625, -0.7185919559539693 },
        { false, 0, { -100, -100 }, { 0, 0 }, NAN, 0, 0 },
        { true,
          0,
          { 1, 2 },
          { 2.53589909780725, 3.5692727863460503 },
          1.22103437683066,
          6.1051718841533,
          -0.28743678238158776 },
        { false,
          0.1,
          { 1, 2 },
          { 1.2546162155702918, 1.2097575954486834 },
          1.2321869055094876,
          2.4643738110189752,
          -0.3259626446436513 },
        { false,
          0.1,
          { 1, -100 },
          { 1.2546162155702918, 0 },
          1.2546162155702918,
          1.2546162155702918,
          -0.6519252892873026 },
        { true,
          0.1,
          { 1, 2 },
          { 2.4892324311405836, 3.513630360134515 },
          1.2005725582550197,
          6.002862791275098,
          -0.26077011571492104 },
        { true,
          0.1,
          { 1, -100 },
          { 2.4892324311405836, 0 },
          1.2446162155702918,
          2.4892324311405836,
          -0.6519252892873026 },
    };
    for (int i = 0; i < COUNT(rows); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, scores, AD_SHAPE(2, 3)), *t = ad_tensor(g, AD_F64, rows[i].classes, AD_SHAPE(2));
        ad_ce_opts o = { .weight = rows[i].weighted ? ad_tensor(g, AD_F64, w, AD_SHAPE(3)) : NULL,
                         .label_smoothing = rows[i].smoothing, .reduction = AD_NONE };
        assert_values(ad_cross_entropy_with(x, t, o), rows[i].none, 1e-15, "none");
        o.reduction = AD_SUM;
        assert_close(ad_item(ad_cross_entropy_with(x, t, o)), rows[i].sum, 1e-15);
        o.reduction = AD_MEAN;
        ad_var *mean = ad_cross_entropy_with(x, t, o);
        assert_close(ad_item(mean), rows[i].mean, 1e-15);
        assert_int_equal(ad_backward(mean), AD_OK);
        assert_close(ad_grad_at(x, 1), rows[i].gradient, 1e-15);
        ad_graph_free(g);
    }
}

static void cross_entropy_takes_classes_or_probabilities(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, scores, AD_SHAPE(2, 3)), *classes = ad_tensor(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2));
    ad_var *probs = ad_require_grad(ad_tensor(g, AD_F64, (double[]){ 0, 1, 0, 0, 0, 1 }, AD_SHAPE(2, 3)));
    double plain = ad_item(ad_cross_entropy(x, classes));
    assert_close(ad_item(ad_cross_entropy_with(x, classes, (ad_ce_opts){ 0 })), plain, 1e-15);
    ad_var *loss = ad_cross_entropy_with(x, probs, (ad_ce_opts){ 0 });
    assert_close(ad_item(loss), plain, 1e-15);
    ad_backward(loss);
    assert_close(ad_grad_at(probs, 0), 1.367949548903625 / 2, 1e-15); /* -log_softmax / rows */
    assert_close(ad_item(ad_nll(ad_log_softmax(x, 1), classes, (ad_ce_opts){ 0 })), plain, 1e-15);
    ad_var *first = ad_tensor(g, AD_F64, (double[]){ 1, 0 }, AD_SHAPE(2));
    assert_close(ad_item(ad_cross_entropy_with(x, first, (ad_ce_opts){ .ignore = true, .ignore_index = 0 })),
                 1.267949548903625, 1e-15);
    assert_ok(g);
    ad_graph_free(g);
}

/* A class with score -inf and target 0 contributes 0 to the loss, not 0 * inf = NaN. */
static void cross_entropy_with_infinite_scores(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 0, -INFINITY, 0 }, AD_SHAPE(1, 3));
    ad_var *t = ad_tensor(g, AD_F64, (double[]){ 0.5, 0, 0.5 }, AD_SHAPE(1, 3)),
           *y = ad_cross_entropy_with(x, t, (ad_ce_opts){ 0 });
    ad_backward(y);
    assert_close(ad_item(y), log(2), 1e-15);
    assert_gradient(x, (double[]){ 0, 0, 0 }, 1e-15, "dx");
    ad_graph_free(g);
}

static void softmax_with_temperature(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 4 }, AD_SHAPE(3));
    const double want[] = { 0.17205953970593954, 0.25668267079810947, 0.571257789495951 };
    assert_values(ad_softmax_with(x, 0, 2.5), want, 1e-15, "softmax_with");
    const double bad[] = { 0, -1, NAN, INFINITY };
    for (int i = 0; i < COUNT(bad); i++)
        assert_fails(g, ad_softmax_with(x, 0, bad[i]), AD_EVALUE, "softmax_with: [3]: temperature");
    assert_fails(g, ad_softmax_with(x, 1, 2), AD_ESHAPE, "axis 1");
    ad_graph_free(g);
}

static void cosine_similarity_broadcasts(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = param(g, (double[]){ 1, 2, 3 }, AD_SHAPE(1, 3)),
           *b = param(g, (double[]){ 1, 1, 1, 3, 2, 1 }, AD_SHAPE(2, 3));
    assert_values(ad_cosine_similarity(a, b, 1, 1e-8), (double[]){ 0.9258200997725514, 10. / 14 }, 1e-15, "cosine");
    assert_close(ad_at(ad_cosine_similarity(a, a, -1, 1e-8), 0), 1, 1e-15);
    /* The norm is less than eps. The value is that of PyTorch, the gradient is the derivative of that value. */
    ad_var *tiny = param(g, (double[]){ .1, .2 }, AD_SHAPE(2)),
           *y = ad_cosine_similarity(tiny, ad_tensor(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), 0, 0.5);
    ad_backward(y);
    assert_close(ad_item(y), 0.4472135954999579, 1e-15);
    assert_gradient(tiny, (double[]){ 2 / sqrt(5), 4 / sqrt(5) }, 1e-15, "gradient");
    /* The norms of both are eps: PyTorch's numbers. */
    ad_var *edge[] = { param(g, (double[]){ 3, 4 }, AD_SHAPE(2)), param(g, (double[]){ 5, 0 }, AD_SHAPE(2)) };
    y = ad_cosine_similarity(edge[0], edge[1], 0, 5);
    ad_backward(y);
    assert_close(ad_item(y), 0.6, 1e-15);
    assert_gradient(edge[0], (double[]){ 0.128, -0.096 }, 1e-15, "gradient of a");
    assert_gradient(edge[1], (double[]){ 0, 0.16 }, 1e-15, "gradient of b");
    assert_fails(g, ad_cosine_similarity(a, tiny, 0, 1e-8), AD_ESHAPE, "cosine_similarity: [1,3] x [2]");
    assert_fails(g, ad_cosine_similarity(a, a, 0, -1), AD_EVALUE, "cosine_similarity: [1,3] x [1,3]: eps -1");
    ad_graph_free(g);
}

static double size_of(double x) { return x == 0 || isnan(x) ? 1 : fabs(x); }

/* Values and gradients by both rules, which are equal. */
static void compare_cosine(ad_graph *g, ad_dtype t, int64_t n, const double *a, const double *b, double eps, double y,
                           const double *da, double tol) {
    ad_mark m = ad_begin(g);
    ad_var *xs[] = { param_of(g, t, a, AD_SHAPE(n)), param_of(g, t, b, AD_SHAPE(n)) }, *dxs[2];
    ad_var *c = ad_cosine_similarity(xs[0], xs[1], 0, eps);
    assert_close(ad_item(c), y, tol);
    assert_int_equal(ad_backward(c), AD_OK);
    assert_int_equal(ad_gradient(c, 2, xs, dxs), AD_OK);
    for (int64_t i = 0; i < n; i++) {
        assert_close(ad_grad_at(xs[0], i) / size_of(da[i]), da[i] / size_of(da[i]), tol);
        for (int k = 0; k < 2; k++) {
            double d = ad_grad_at(xs[k], i);
            assert_close(ad_at(dxs[k], i) / size_of(d), d / size_of(d), tol);
        }
    }
    ad_end(g, m);
}

/* Vectors whose squares are beyond the range of the dtype; zeros, infinities and NaN as in PyTorch. */
static void cosine_similarity_of_any_length(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const double scales[] = { 1, 1e200, 1e-200, 1e300, 1e-300 };
    for (int i = 0; i < COUNT(scales); i++)
        for (int j = 0; j < COUNT(scales); j++) {
            double s = scales[i], t = scales[j], a[] = { s, 2 * s }, b[] = { 2 * t, t };
            compare_cosine(g, AD_F64, 2, a, b, 0, 0.8, (double[]){ 0.24 / s, -0.12 / s }, 1e-14);
        }
    const double tiny[] = { 1e-25, 2e-25 }, one[] = { 1e-25 }, zero[2] = { 0 }, unit[] = { 1, 2 };
    compare_cosine(g, AD_F32, 2, tiny, tiny, 1e-30, 1, zero, 0);
    compare_cosine(g, AD_F32, 1, one, one, 1e-30, 1, zero, 0);
    compare_cosine(g, AD_F32, 2, tiny, (double[]){ 2e-25, 1e-25 }, 1e-30, 0.8, (double[]){ 0.24e25, -0.12e25 }, 1e-5);
    compare_cosine(g, AD_F64, 2, zero, zero, 1e-8, 0, zero, 0);
    compare_cosine(g, AD_F64, 2, zero, unit, 0.5, 0, (double[]){ 2 / sqrt(5), 4 / sqrt(5) }, 1e-15);
    compare_cosine(g, AD_F64, 2, zero, unit, 0, NAN, (double[]){ NAN, NAN }, 0);
    compare_cosine(g, AD_F64, 2, (double[]){ INFINITY, 1 }, unit, 1e-8, NAN, (double[]){ NAN, NAN }, 0);
    compare_cosine(g, AD_F64, 2, (double[]){ NAN, 1 }, unit, 1e-8, NAN, (double[]){ NAN, NAN }, 0);
    ad_graph_free(g);
}

static void cosine_similarity_is_within_its_range(void **state) {
    (void)state;
    enum { PAIRS = 4000, LENGTH = 7 };
    const double factors[] = { 1, -1, 3, 0.1, -1e-9 };
    for (int t = 0; t < 2; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *a = ad_randn(g, (ad_dtype)t, AD_SHAPE(PAIRS, LENGTH));
        for (int i = 0; i < COUNT(factors); i++) {
            ad_var *y = ad_cosine_similarity(a, ad_muls(a, factors[i]), 1, 0);
            for (int64_t k = 0; k < PAIRS; k++) assert_close(ad_at(y, k), factors[i] < 0 ? -1 : 1, t ? 0 : 1.3e-7);
            assert_true(ad_item(ad_max(ad_abs(y))) <= 1);
        }
        ad_graph_free(g);
    }
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

static double fraction_of_zeros(const ad_var *x) {
    int64_t zeros = 0;
    for (int64_t i = 0; i < ad_numel(x); i++) zeros += ad_at(x, i) == 0;
    return (double)zeros / (double)ad_numel(x);
}

/* With 100000 elements, five standard deviations are at most 0.008. */
static void dropout_keeps_the_mean(void **state) {
    (void)state;
    const double ps[] = { 0.1, 0.5, 0.9 };
    for (int t = AD_F32; t <= AD_F64; t++)
        for (int i = 0; i < COUNT(ps); i++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_require_grad(ad_full(g, (ad_dtype)t, 2, AD_SHAPE(100000)));
            ad_var *y = ad_dropout(x, ps[i], true);
            assert_close(fraction_of_zeros(y), ps[i], 0.008);
            ad_backward(ad_sum(y));
            for (int64_t k = 0; k < 100000; k++) {
                assert_true(ad_at(y, k) == 0 || is_close(ad_at(y, k), 2 / (1 - ps[i]), 1e-6));
                assert_close(ad_grad_at(x, k), ad_at(y, k) / 2, 1e-6);
            }
            ad_graph_free(g);
        }
}

static void dropout_with_p_0_and_1(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 3 }, AD_SHAPE(3));
    assert_ptr_equal(ad_dropout(x, 0, true), x);
    assert_ptr_equal(ad_dropout(x, 0.7, false), x);
    ad_var *none = ad_dropout(x, 1, true);
    ad_backward(ad_sum(none));
    assert_values(none, (double[]){ 0, 0, 0 }, 0, "p = 1");
    assert_gradient(x, (double[]){ 0, 0, 0 }, 0, "p = 1");
    const double bad[] = { -0.1, 1.1, NAN };
    for (int i = 0; i < COUNT(bad); i++)
        for (int training = 0; training < 2; training++)
            assert_fails(g, ad_dropout(x, bad[i], training), AD_EVALUE, "not a probability");
    assert_true(ad_is_nil(ad_dropout(NULL, 0, true)));
    ad_graph_free(g);
}

static void eval_draws_a_new_dropout_mask(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(64)));
    ad_var *y = ad_dropout(x, 0.5, true), *dx;
    double before[64];
    memcpy(before, ad_data(y), sizeof before);
    ad_gradient(ad_sum(ad_mul(y, x)), 1, &x, &dx);
    assert_int_equal(ad_eval(dx), AD_OK);
    assert_true(memcmp(before, ad_data(y), sizeof before) != 0);
    for (int i = 0; i < 64; i++) assert_close(ad_at(dx, i), 2 * ad_at(y, i), 0); /* dx uses the new mask */
    ad_seed(g, 3);
    ad_var *a = ad_dropout(x, 0.5, true);
    ad_seed(g, 3);
    ad_var *b = ad_dropout(x, 0.5, true);
    assert_memory_equal(ad_data(a), ad_data(b), sizeof before);
    ad_graph_free(g);
}

/* ---- batch_norm: torch.nn.functional.batch_norm 1.13 ------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *x, *mean, *var, *w, *b;
} batch;

static batch batch_new(void) {
    ad_graph *g = ad_graph_new();
    return (batch){ g,
                    param(g, (double[]){ 1, 2, 3, 5, -1, 0.5 }, AD_SHAPE(3, 2)),
                    ad_tensor(g, AD_F64, (double[]){ 0.5, -1 }, AD_SHAPE(2)),
                    ad_tensor(g, AD_F64, (double[]){ 2, 3 }, AD_SHAPE(2)),
                    param(g, (double[]){ 1.5, 0.5 }, AD_SHAPE(2)),
                    param(g, (double[]){ 0.1, 0.2 }, AD_SHAPE(2)) };
}
static ad_var *normalized(batch *n, bool training) {
    return ad_batch_norm(n->x, n->mean, n->var, n->w, n->b, (ad_batch_norm_opts){ .training = training });
}

static void batch_norm_training_as_in_pytorch(void **state) {
    (void)state;
    batch n = batch_new();
    ad_var *y = normalized(&n, true), *k = ad_tensor(n.g, AD_F64, (double[]){ 1, 2, 3, -1, 0.5, 1 }, AD_SHAPE(3, 2));
    assert_int_equal(ad_backward_from(y, k), AD_OK);
    const double want_y[] = { 0.09999999999999998, 0.0663695699442658,  1.937113862502121,
                              0.8681521502786709,  -1.7371138625021207, -0.3345217202229368 };
    const double want_dx[] = { -0.4592784656255302,  0.28635112153855025, 0.22964353853223393,
                               -0.09545130713540921, 0.22963492709329625, -0.19089981440314094 };
    assert_values(y, want_y, 1e-15, "y");
    assert_gradient(n.x, want_dx, 1e-15, "dx");
    assert_gradient(n.w, (double[]){ 3.0618564375035344, -2.9398694612261522 }, 1e-15, "dw");
    assert_gradient(n.b, (double[]){ 4.5, 2 }, 1e-15, "db");
    assert_values(n.mean, (double[]){ 0.55, -0.65 }, 1e-15, "running mean");
    assert_values(n.var, (double[]){ 2.2, 3.225 }, 1e-15, "running var");
    assert_int_equal(ad_eval(y), AD_OK); /* a second evaluation updates the averages again */
    assert_values(n.mean, (double[]){ 0.595, -0.335 }, 1e-15, "running mean");
    assert_values(n.var, (double[]){ 2.38, 3.4275 }, 1e-15, "running var");
    const double want_eval[] = { 0.4937829347837357, 0.8306196860109671, 2.4383900201355173,
                                 1.6408376980164923, -1.450824150568046, 0.4255106800082045 };
    assert_values(normalized(&n, false), want_eval, 1e-15, "evaluation");
    assert_ok(n.g);
    ad_graph_free(n.g);
}

/* Two training batches may precede backward. Results of evaluation mode from older averages are stale. */
static void running_averages_make_eval_results_stale(void **state) {
    (void)state;
    batch n = batch_new();
    ad_var *before = ad_sum(normalized(&n, false)), *first = normalized(&n, true), *second = normalized(&n, true);
    assert_int_equal(ad_backward(ad_sum(ad_mul(first, second))), AD_OK);
    assert_int_equal(ad_eval(first), AD_OK);
    assert_int_equal(ad_backward(ad_sum(first)), AD_OK);
    assert_int_equal(ad_backward(before), AD_ESTALE);
    assert_contains(ad_error(n.g), "batch_norm_eval");
    ad_clear_error(n.g);
    assert_int_equal(ad_eval(before), AD_OK);
    assert_int_equal(ad_backward(before), AD_OK);
    assert_close(ad_item(before), ad_item(ad_sum(normalized(&n, false))), 1e-15);
    ad_graph_free(n.g);
}

static void bad_batch_norm_is_reported(void **state) {
    (void)state;
    batch n = batch_new();
    ad_graph *g = n.g;
    ad_var *row = ad_zeros(g, AD_F64, AD_SHAPE(1, 2)), *three = ad_zeros(g, AD_F64, AD_SHAPE(3));
    double mine[] = { 0, 0 };
    ad_batch_norm_opts training = { .training = true }, evaluation = { 0 };
    assert_fails(g, ad_batch_norm(row, NULL, NULL, NULL, NULL, training), AD_ESHAPE,
                 "batch_norm_train: [1,2]: needs more than one");
    assert_fails(g, ad_batch_norm(n.x, n.mean, NULL, NULL, NULL, training), AD_EVALUE, "without the other");
    assert_fails(g, ad_batch_norm(n.x, n.mean, three, NULL, NULL, training), AD_ESHAPE,
                 "running averages must be f64 [2]");
    assert_fails(g, ad_batch_norm(n.x, n.mean, ad_add(n.var, n.var), NULL, NULL, training), AD_EVALUE,
                 "must be leaves");
    assert_fails(g, ad_batch_norm(n.x, ad_input(g, AD_F64, mine, AD_SHAPE(2)), n.var, NULL, NULL, training), AD_EVALUE,
                 "must be leaves");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, three, NULL, training), AD_ESHAPE, "must be [2]");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, NULL, NULL, (ad_batch_norm_opts){ true, 2, 0 }), AD_EVALUE,
                 "momentum 2");
    assert_fails(g, ad_batch_norm(n.x, n.mean, n.var, NULL, NULL, (ad_batch_norm_opts){ false, 0, -1 }), AD_EVALUE,
                 "eps -1");
    assert_fails(g, ad_batch_norm(n.x, NULL, NULL, NULL, NULL, evaluation), AD_EVALUE,
                 "batch_norm_eval: operand 1 is NULL");
    assert_fails(g, ad_batch_norm(three, n.mean, n.var, NULL, NULL, evaluation), AD_ESHAPE, "takes x [n,c,..]");
    assert_values(n.mean, (double[]){ 0.5, -1 }, 0, "running mean after a failed call");
    ad_graph_free(g);
}

/* One Var is x, weight and bias. */
static void layer_norm_of_one_var_and_bad_shapes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 4 }, AD_SHAPE(3)), *y = ad_layer_norm(x, AD_SHAPE(3), x, x, 0.1);
    double mean = 7. / 3, var = (1. + 4 + 16) / 3 - mean * mean;
    for (int i = 0; i < 3; i++)
        assert_close(ad_at(y, i), (ad_at(x, i) - mean) / sqrt(var + 0.1) * ad_at(x, i) + ad_at(x, i), 1e-15);
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(2), NULL, NULL, 0.1), AD_ESHAPE,
                 "layer_norm: [3]: the last axes are not [2]");
    assert_fails(g, ad_layer_norm(x, AD_SCALAR, NULL, NULL, 0.1), AD_ESHAPE, "last 0 axes");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(1, 3), NULL, NULL, 0.1), AD_ESHAPE, "last 2 axes");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(3), NULL, ad_zeros(g, AD_F64, AD_SHAPE(2)), 0.1), AD_ESHAPE,
                 "must be [3]");
    assert_fails(g, ad_layer_norm(x, AD_SHAPE(3), NULL, NULL, NAN), AD_EVALUE, "eps");
    ad_graph_free(g);
}

/* ---- convolution and pooling of signals: PyTorch 1.13 ------------------------------------------------------------ */

static const double signal_values[] = { 1, -2, 3, 0.5, 2, -1, 0, 1, 2, -1, 1, 3 };

static void conv1d_as_in_pytorch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, signal_values, AD_SHAPE(1, 2, 6)),
           *b = ad_tensor(g, AD_F64, (double[]){ 0.1, 0.2, 0.3 }, AD_SHAPE(3));
    ad_var *w = param(g, (double[]){ 1, 2, 0.5, -1, -1, 0.25, 2, 1, 0, 1, 1, 0 }, AD_SHAPE(3, 2, 2));
    ad_var *y = ad_conv1d(x, w, b, (ad_conv_opts){ .stride = { 2 }, .padding = { 1 }, .dilation = { 2 } });
    ad_backward(ad_sum(ad_square(y)));
    assert_values(y, (double[]){ -4.9, 0.6, -4.9, 0.7, 3.325, 0.45, -1.7, 1.8, -1.7 }, 1e-14, "conv1d");
    assert_gradient(x, (double[]){ 0, -28.1, 0, -3.0375, 0, -22.775, 0, 28.7, 0, -1.05, 0, 10.7 }, 1e-14, "dx");
    assert_gradient(w, (double[]){ -7.3, 30, 11, -40.4, -12.85, -0.375, 5.75, -2.55, -8.9, 12, 7, -17.2 }, 1e-14, "dw");
    ad_var *u = ad_tensor(g, AD_F64, (double[]){ 1, 2, -1 }, AD_SHAPE(1, 1, 3)),
           *k = ad_tensor(g, AD_F64, (double[]){ 1, 2, 3 }, AD_SHAPE(1, 1, 3));
    y = ad_conv_transpose1d(u, k, ad_tensor(g, AD_F64, (double[]){ 0.5 }, AD_SHAPE(1)),
                            (ad_conv_opts){ .stride = { 2 }, .padding = { 1 }, .output_padding = { 1 } });
    assert_values(y, (double[]){ 2.5, 5.5, 4.5, 5.5, -1.5, -2.5 }, 1e-15, "conv_transpose1d");
    assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(1, 1, 6)));
    ad_graph_free(g);
}

static void pooling_of_signals(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, signal_values, AD_SHAPE(1, 2, 6));
    ad_pool_opts three = { .kernel = { 3 }, .stride = { 2 }, .padding = { 1 } }, without = three;
    without.exclude_padding = true;
    assert_values(ad_max_pool1d(x, three), (double[]){ 1, 3, 2, 1, 2, 3 }, 0, "max_pool1d");
    assert_values(ad_avg_pool1d(x, three), (double[]){ -1. / 3, .5, .5, 1. / 3, 2. / 3, 1 }, 1e-15, "avg_pool1d");
    assert_values(ad_avg_pool1d(x, without), (double[]){ -.5, .5, .5, .5, 2. / 3, 1 }, 1e-15, "without padding");
    ad_var *over = ad_avg_pool1d(x, (ad_pool_opts){ .kernel = { 4 }, .stride = { 3 }, .ceil_mode = true });
    assert_values(over, (double[]){ 0.625, 0.5, 0.5, 1 }, 1e-15, "ceil_mode");
    assert_true(ad_shape_equal(ad_shape_of(over), AD_SHAPE(1, 2, 2)));
    assert_values(ad_adaptive_avg_pool1d(x, 4), (double[]){ -.5, .5, 1.25, .5, .5, 1.5, 0, 2 }, 1e-15, "adaptive");
    ad_graph_free(g);
}

/* The number of windows for sizes 5, 6 and 7, by the formula of PyTorch. */
static void number_of_windows_with_ceil_mode(void **state) {
    (void)state;
    const struct {
        int64_t kernel, stride, padding, places[3];
    } rows[] = {
        { 3, 2, 1, { 3, 4, 4 } }, { 2, 3, 0, { 2, 2, 3 } }, { 2, 2, 1, { 3, 4, 4 } }, { 3, 3, 1, { 2, 3, 3 } }
    };
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < COUNT(rows); i++)
        for (int n = 5; n <= 7; n++) {
            ad_pool_opts o = { { rows[i].kernel }, { rows[i].stride }, { rows[i].padding }, { 0 }, true, false };
            assert_int_equal(ad_numel(ad_max_pool1d(ad_zeros(g, AD_F32, AD_SHAPE(n)), o)), rows[i].places[n - 5]);
        }
    ad_graph_free(g);
}

/* Rows of every length up to 70: y[ki kj, i j] = x[i + ki - 1, j + kj - 1], or 0 outside the image. */
static void im2col_of_every_width(void **state) {
    (void)state;
    enum { H = 3, WIDEST = 70 };
    for (int w = 1; w <= WIDEST; w++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_rand(g, w % 2 ? AD_F32 : AD_F64, AD_SHAPE(1, H, w));
        ad_var *y = ad_im2col(x, (ad_window){ .kernel = { 3, 3 }, .padding = { 1, 1 } });
        for (int k = 0; k < 9; k++)
            for (int i = 0; i < H; i++)
                for (int j = 0; j < w; j++) {
                    int r = i + k / 3 - 1, c = j + k % 3 - 1;
                    bool inside = r >= 0 && r < H && c >= 0 && c < w;
                    assert_true(ad_at(y, (k * H + i) * w + j) == (inside ? ad_at(x, r * w + c) : 0));
                }
        ad_graph_free(g);
    }
}

/* The index of the largest element of window (i, j) in a plane x [h,w]. A NaN counts as the largest. */
static int64_t largest_in_window(const ad_pool_opts *o, int64_t h, int64_t w, const float *x, int64_t i, int64_t j) {
    int64_t at = -1;
    for (int64_t p = 0; p < o->kernel[0]; p++)
        for (int64_t q = 0; q < o->kernel[1]; q++) {
            int64_t r = i * o->stride[0] + p * o->dilation[0] - o->padding[0];
            int64_t c = j * o->stride[1] + q * o->dilation[1] - o->padding[1], k = r * w + c;
            if (r < 0 || r >= h || c < 0 || c >= w) continue;
            if (at < 0 || x[k] > x[at] || isnan(x[k])) at = k;
        }
    return at;
}

/* The kernel processes windows in groups. The cases have more rows than a group, wider rows, ties and NaNs. */
static void max_pool_against_plain_loops(void **state) {
    (void)state;
    const struct {
        int64_t h, w;
        ad_pool_opts o;
    } rows[] = {
        { 37, 41, { { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, false, false } },
        { 64, 80, { { 2, 2 }, { 2, 2 }, { 0, 0 }, { 1, 1 }, false, false } },
        { 3, 700, { { 1, 2 }, { 1, 1 }, { 0, 1 }, { 1, 1 }, false, false } },
        { 5, 257, { { 2, 3 }, { 1, 1 }, { 1, 1 }, { 2, 2 }, false, false } },
        { 30, 31, { { 4, 2 }, { 3, 3 }, { 2, 0 }, { 1, 1 }, true, false } },
        { 6, 5, { { 2, 2 }, { 5, 4 }, { 1, 1 }, { 1, 1 }, true, false } },
    };
    for (int t = 0; t < COUNT(rows); t++) {
        int64_t h = rows[t].h, w = rows[t].w, planes = 3;
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(planes, h, w));
        float *data = ad_data_mut(x);
        for (int64_t k = 0; k < planes * h * w; k++) data[k] = (float)(k * 7919 % 23) - (k % 11 == 3 ? INFINITY : 11);
        for (int64_t k = 5; k < planes * h * w; k += 97) data[k] = NAN;
        ad_var *y = ad_max_pool2d(x, rows[t].o);
        ad_shape s = ad_shape_of(y);
        int64_t places = s.dim[1] * s.dim[2];
        double *dx = calloc((size_t)(planes * h * w), sizeof *dx);
        for (int64_t k = 0; k < ad_numel(y); k++) {
            int64_t plane = k / places * h * w, row = k % places / s.dim[2];
            int64_t at = plane + largest_in_window(&rows[t].o, h, w, data + plane, row, k % s.dim[2]);
            assert_true(data[at] == ad_at(y, k) || (isnan(data[at]) && isnan(ad_at(y, k))));
            dx[at] += (double)(k % 13);
        }
        ad_var *weights = ad_zeros(g, AD_F32, s);
        for (int64_t k = 0; k < ad_numel(y); k++) ((float *)ad_data_mut(weights))[k] = (float)(k % 13);
        assert_int_equal(ad_backward_from(y, weights), AD_OK);
        for (int64_t k = 0; k < planes * h * w; k++) assert_true(ad_grad_at(x, k) == dx[k]);
        free(dx);
        ad_graph_free(g);
    }
}

static void max_pool_ties_and_nan(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 1, 1, 1, NAN, NAN }, AD_SHAPE(1, 1, 6)),
           *y = ad_max_pool1d(x, (ad_pool_opts){ .kernel = { 3 } });
    ad_backward(ad_sum(y));
    assert_values(y, (double[]){ 1, NAN }, 0, "max");
    assert_gradient(x, (double[]){ 1, 0, 0, 0, 0, 1 }, 0, "the first maximum, the last NaN");
    ad_graph_free(g);
}

/* A smooth scalar function of the gradients of y. Its gradient tests second derivatives by the vjp rules. */
static ad_var *gradient_of(ad_var *y, int n, ad_var *const xs[]) {
    ad_var *d[4], *sum = NULL;
    if (ad_gradient(ad_sum(ad_mul(y, ad_sin(y))), n, xs, d)) return ad_sum(y);
    for (int i = 0; i < n; i++) {
        ad_var *s = ad_sum(ad_mul(d[i], ad_cos(d[i])));
        sum = sum ? ad_add(sum, s) : s;
    }
    return sum;
}
static ad_var *second_conv(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_conv2d(xs[0], xs[1], xs[2], (ad_conv_opts){ .stride = { 2, 1 }, .padding = { 1, 0 } }), n,
                       xs);
}
static ad_var *second_transposed(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_conv_transpose2d(xs[0], xs[1], NULL, (ad_conv_opts){ .stride = { 2, 1 } }), n - 1, xs);
}
static ad_var *second_layer_norm(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *w = ad_slice(ad_reshape(xs[1], AD_SHAPE(2, 8)), 1, 0, 3, 1);
    return gradient_of(ad_layer_norm(xs[0], AD_SHAPE(2, 3), w, NULL, 0.1), n - 1, xs);
}
static ad_var *second_batch_norm(int n, ad_var *const xs[], void *user) {
    (void)user;
    return gradient_of(ad_batch_norm(xs[0], NULL, NULL, xs[2], NULL, (ad_batch_norm_opts){ .training = true }), n - 2,
                       xs);
}
static ad_var *second_pool(int n, ad_var *const xs[], void *user) {
    (void)user;
    ad_var *y = ad_max_pool2d(xs[0], (ad_pool_opts){ .kernel = { 2, 2 }, .stride = { 1, 1 } });
    return gradient_of(ad_avg_pool2d(y, (ad_pool_opts){ .kernel = { 1, 2 } }), n - 2, xs);
}
static ad_var *second_losses(int n, ad_var *const xs[], void *user) {
    (void)user, (void)n;
    ad_var *x = ad_reshape(xs[0], AD_SHAPE(6, 4)), *p = ad_softmax(ad_muls(x, 0.5), 1),
           *w = ad_ones(ad_graph_of(x), AD_F64, AD_SHAPE(4));
    ad_var *a = ad_cross_entropy_with(x, p, (ad_ce_opts){ .weight = w, .label_smoothing = 0.2 });
    ad_var *b = ad_bce(p, ad_sigmoid(x), AD_MEAN),
           *c = ad_kl_div(ad_log_softmax(x, 1), p, false, AD_MEAN);
    return gradient_of(ad_add(ad_add(a, b), ad_add(c, ad_sum(ad_cosine_similarity(x, ad_square(p), 1, 1e-8)))), 1, xs);
}

static void second_derivatives(void **state) {
    (void)state;
    ad_check_fn *const fs[] = { second_conv,       second_transposed, second_layer_norm,
                                second_batch_norm, second_pool,       second_losses };
    for (int i = 0; i < COUNT(fs); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[] = { ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 2, 2, 3))),
                         ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2, 2, 2, 2))),
                         ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(2))) };
        ad_check_report report;
        if (ad_gradcheck(fs[i], NULL, 3, xs, NULL, &report)) fail_msg("case %d: %s", i, report.message);
        ad_graph_free(g);
    }
}

/* ---- one Var as several operands --------------------------------------------------------------------------------- */

static ad_var *shared(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    ad_var *x = xs[0], *plane = ad_reshape(x, AD_SHAPE(2, 2, 1, 2)), *b = ad_sum_axis(x, 1, false);
    ad_var *p = ad_softmax(x, 1);
    ad_var *parts[] = { ad_conv2d(plane, plane, b, (ad_conv_opts){ .padding = { 1, 1 } }),
                        ad_conv_transpose2d(plane, plane, b, (ad_conv_opts){ 0 }),
                        ad_batch_norm(x, NULL, NULL, ad_sum_axis(x, 0, false), ad_sum_axis(x, 0, false),
                                      (ad_batch_norm_opts){ .training = true }),
                        ad_mse(p, p, AD_NONE),
                        ad_bce(p, p, AD_SUM),
                        ad_kl_div(p, p, true, AD_SUM),
                        ad_cross_entropy_with(p, p, (ad_ce_opts){ 0 }),
                        ad_cosine_similarity(x, x, 1, 1e-8) };
    ad_var *sum = ad_scalar(ad_graph_of(x), AD_F64, 0);
    for (int i = 0; i < COUNT(parts); i++) sum = ad_add(sum, ad_sum(ad_sin(parts[i])));
    return sum;
}

static void one_var_as_every_operand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, -2, 0.5, 3, 0.25, -1, 2, 0.75 }, AD_SHAPE(2, 4));
    ad_check_report report;
    if (ad_gradcheck(shared, NULL, 1, &x, NULL, &report)) fail_msg("%s", report.message);
    ad_graph_free(g);
}

/* ---- bad operands ------------------------------------------------------------------------------------------------ */

static void bad_losses_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *v = ad_zeros(g, AD_F64, AD_SHAPE(3)),
           *s = ad_zeros(g, AD_F64, AD_SCALAR);
    assert_fails(g, ad_mse(a, v, AD_MEAN), AD_ESHAPE,
                 "mse: [2,3] x [3]: input and target must have one shape");
    assert_fails(g, ad_l1(a, s, AD_MEAN), AD_ESHAPE, "one shape");
    assert_fails(g, ad_mse(a, a, (ad_reduction)7), AD_EVALUE, "7 is not a reduction");
    assert_fails(g, ad_mse(a, a, AD_BATCHMEAN), AD_EVALUE, "is not a reduction");
    assert_fails(g, ad_kl_div(s, s, false, AD_BATCHMEAN), AD_ESHAPE, "a scalar has none");
    assert_fails(g, ad_huber(a, a, 0, AD_MEAN), AD_EVALUE, "delta 0 is not a number > 0");
    assert_fails(g, ad_huber(a, a, NAN, AD_MEAN), AD_EVALUE, "delta");
    assert_fails(g, ad_smooth_l1(a, a, -1, AD_MEAN), AD_EVALUE, "beta -1 is not a number >= 0");
    assert_fails(g, ad_smooth_l1(a, a, INFINITY, AD_MEAN), AD_EVALUE, "beta");
    assert_fails(g, ad_bce_logits(a, a, ad_zeros(g, AD_F64, AD_SHAPE(2)), AD_MEAN), AD_ESHAPE,
                 "must broadcast");
    assert_fails(g, ad_bce_logits(v, v, a, AD_MEAN), AD_ESHAPE, "must broadcast");
    assert_fails(g, ad_mse(a, ad_zeros(g, AD_F32, AD_SHAPE(2, 3)), AD_MEAN), AD_EDTYPE, "ad_cast");
    double long_row[600] = { 0 };
    const double bad[] = { -1e-9, 1.5, NAN };
    for (int i = 0; i < COUNT(bad); i++) {
        long_row[543] = bad[i];
        ad_var *x = ad_tensor(g, AD_F64, long_row, AD_SHAPE(600));
        assert_fails(g, ad_bce(x, x, AD_MEAN), AD_EVALUE,
                     "bce: [600] x [600]: element 543 of the input is");
    }
    ad_graph_free(g);
}

static void bad_classes_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *ok = ad_zeros(g, AD_F64, AD_SHAPE(2)),
           *two = ad_zeros(g, AD_F64, AD_SHAPE(2));
    const double classes[][2] = { { 0, 3 }, { -1, 0 }, { 0.5, 0 }, { NAN, 0 } };
    ad_ce_opts plain = { 0 }, ignoring = { .ignore = true, .ignore_index = 1 };
    for (int i = 0; i < COUNT(classes); i++) {
        ad_var *c = ad_tensor(g, AD_F64, classes[i], AD_SHAPE(2));
        for (int r = AD_MEAN; r <= AD_NONE; r++) {
            assert_fails(g, ad_cross_entropy_with(x, c, (ad_ce_opts){ .reduction = (ad_reduction)r }), AD_EVALUE,
                         "is not one of 0..2");
            assert_fails(g, ad_nll(x, c, (ad_ce_opts){ .reduction = (ad_reduction)r }), AD_EVALUE,
                         "is not one of 0..2");
        }
        assert_fails(g, ad_multi_margin(x, c, 1, 1, NULL, AD_MEAN), AD_EVALUE, "is not one of 0..2");
        assert_fails(g, ad_class_targets(c, 3, plain), AD_EVALUE, "is not one of 0..2");
    }
    ad_var *lost = ad_full(g, AD_F64, -100, AD_SHAPE(2));
    assert_fails(g, ad_cross_entropy_with(x, lost, ignoring), AD_EVALUE, "class -100");
    assert_fails(g, ad_cross_entropy_with(x, x, ignoring), AD_EVALUE, "probabilities");
    assert_fails(g, ad_cross_entropy_with(x, ad_zeros(g, AD_F64, AD_SHAPE(3)), plain), AD_ESHAPE,
                 "cross_entropy_classes: [2,3] x [3]");
    assert_fails(g, ad_cross_entropy_probs(x, ok, plain), AD_ESHAPE, "probabilities of the same shape");
    assert_fails(g, ad_cross_entropy_with(x, ok, (ad_ce_opts){ .weight = two }), AD_ESHAPE,
                 "weights of 3 classes must be [3]");
    assert_fails(g, ad_cross_entropy_with(x, ok, (ad_ce_opts){ .label_smoothing = 1.5 }), AD_EVALUE,
                 "label smoothing 1.5");
    assert_fails(g, ad_cross_entropy_with(x, ok, (ad_ce_opts){ .reduction = AD_BATCHMEAN }), AD_EVALUE,
                 "not a reduction");
    assert_fails(g, ad_nll(x, ok, (ad_ce_opts){ .label_smoothing = 0.1 }), AD_EVALUE,
                 "label smoothing is not supported");
    assert_fails(g, ad_cross_entropy_with(ad_zeros(g, AD_F64, AD_SHAPE(2, 0)), ok, plain), AD_ESHAPE, "no classes");
    assert_fails(g, ad_class_targets(ok, 0, plain), AD_ESHAPE, "0 classes");
    assert_fails(g, ad_class_targets(ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 1, 1, 1)), 2, plain), AD_ESHAPE,
                 "more than 6 dimensions");
    assert_fails(g, ad_multi_margin(x, ok, 3, 1, NULL, AD_MEAN), AD_EVALUE, "p is 3");
    assert_fails(g, ad_multi_margin(ok, ok, 1, 1, NULL, AD_MEAN), AD_ESHAPE, "takes scores [n,c]");
    assert_fails(g, ad_multi_margin(x, ok, 1, 1, two, AD_MEAN), AD_ESHAPE, "must be [3]");
    assert_fails(g, ad_multi_margin(x, ok, 1, 1, NULL, AD_BATCHMEAN), AD_EVALUE, "not a reduction");
    ad_graph_free(g);
}

static void bad_convolutions_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(1, 4, 5, 5)), *w = ad_zeros(g, AD_F32, AD_SHAPE(6, 4, 3, 3)),
           *v = ad_zeros(g, AD_F32, AD_SHAPE(5));
    const struct {
        ad_conv_opts o;
        int code;
        const char *text;
    } rows[] = {
        { { .stride = { -1, 1 } }, AD_EVALUE, "stride -1 is not in 1..2147483647" },
        { { .dilation = { 1, INT64_MAX } }, AD_EVALUE, "dilation 9223372036854775807 is not in 1..2147483647" },
        { { .padding = { -3, 0 } }, AD_ESHAPE, "conv2d: [1,4,5,5]: padding of -3 leaves nothing of x" },
        { { .padding = { 0, INT64_MIN } }, AD_ESHAPE, "leaves nothing of x" },
        { { .padding = { INT64_MAX, 0 } }, AD_EVALUE, "padding" },
        { { .groups = -1 }, AD_EVALUE, "-1 groups" },
        { { .groups = 2 },
          AD_ESHAPE,
          "conv2d: [1,4,5,5] x [6,4,3,3]: x has 4 channels and w takes 4 in each of 2 groups" },
        { { .dilation = { 3, 1 } }, AD_ESHAPE, "a kernel of size 3 with dilation 3 is larger than x" },
        { { .output_padding = { 1, 0 } }, AD_EVALUE, "output_padding" },
    };
    for (int i = 0; i < COUNT(rows); i++) assert_fails(g, ad_conv2d(x, w, NULL, rows[i].o), rows[i].code, rows[i].text);
    ad_conv_opts plain = { 0 };
    assert_fails(g, ad_conv2d(x, v, NULL, plain), AD_ESHAPE, "takes x [n,c,h,w]");
    assert_fails(g, ad_conv2d(x, w, v, plain), AD_ESHAPE, "b must be [6]");
    assert_fails(g, ad_conv2d(x, ad_zeros(g, AD_F32, AD_SHAPE(5, 2, 3, 3)), NULL, (ad_conv_opts){ .groups = 2 }),
                 AD_ESHAPE, "5 channels out");
    assert_fails(g, ad_conv2d(x, ad_zeros(g, AD_F32, AD_SHAPE(5, 4, 0, 3)), NULL, plain), AD_ESHAPE,
                 "a kernel of size 0");
    assert_fails(g, ad_conv2d(x, NULL, NULL, plain), AD_EVALUE, "conv2d: operand 1 is NULL");
    assert_fails(g, ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(3, 1, 2, 2)), NULL, plain), AD_ESHAPE,
                 "x has 4 channels, w takes 3");
    assert_fails(
        g,
        ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(4, 1, 2, 2)), NULL, (ad_conv_opts){ .padding = { 9, 0 } }),
        AD_ESHAPE, "leaves nothing");
    assert_fails(g, ad_conv_transpose2d(x, ad_zeros(g, AD_F32, AD_SHAPE(4, 1, 2, 2)), v, plain), AD_ESHAPE,
                 "b must be [1]");
    assert_fails(g, ad_conv2d_weight(x, AD_SHAPE(6, 4, 2, 2), w, plain), AD_ESHAPE, "do not yield the shape of g");
    assert_fails(g, ad_conv2d_weight(x, AD_SHAPE(6, 3, 2, 2), w, plain), AD_ESHAPE, "do not take x");
    assert_fails(g, ad_conv1d(x, w, NULL, plain), AD_ESHAPE, "conv1d: [1,4,5,5] x [6,4,3,3]: takes x [n,c,l]");
    assert_fails(g, ad_conv_transpose1d(v, v, NULL, plain), AD_ESHAPE, "conv_transpose1d: [5] x [5]");
    ad_graph_free(g);
}

/* Arrays without elements have any sizes, with addresses of 64 bits. */
static void windows_are_no_more_than_an_int(void **state) {
    (void)state;
    if (!BITS_64) skip();
    ad_graph *g = ad_graph_new();
    const int64_t most = INT32_MAX;
    ad_var *longest = ad_zeros(g, AD_F32, AD_SHAPE(0, 1, most));
    ad_var *shorter = ad_zeros(g, AD_F32, AD_SHAPE(0, 1, most - 1));
    ad_pool_opts wider = { .kernel = { 1, 2 }, .stride = { 1, 1 }, .padding = { 0, 1 } };
    assert_int_equal(ad_shape_of(ad_max_pool2d(shorter, wider)).dim[2], most);
    assert_ok(g);
    assert_fails(g, ad_max_pool2d(longest, wider), AD_ESHAPE, "2147483648 windows along an axis: at most 2147483647");
    ad_graph_free(g);
}

static void bad_pools_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(2, 5, 5)), *v = ad_zeros(g, AD_F32, AD_SHAPE(5)),
           *s = ad_zeros(g, AD_F32, AD_SCALAR);
    const struct {
        ad_pool_opts o;
        int code;
        const char *text;
    } rows[] = {
        { { .kernel = { 2 } }, AD_EVALUE, "kernel 0 is not in 1..2147483647" },
        { { .kernel = { 2, 2 }, .stride = { -1, 1 } }, AD_EVALUE, "stride -1 is not in 1..2147483647" },
        { { .kernel = { 2, 2 }, .padding = { 2, 0 } }, AD_EVALUE, "padding 2 is not in 0..1" },
        { { .kernel = { 2, 2 }, .padding = { 0, -1 } }, AD_EVALUE, "padding -1" },
        { { .kernel = { 6, 1 } }, AD_ESHAPE, "max_pool2d: [2,5,5]: a size of 5 is too small for windows of 6" },
    };
    for (int i = 0; i < COUNT(rows); i++) assert_fails(g, ad_max_pool2d(x, rows[i].o), rows[i].code, rows[i].text);
    ad_pool_opts two = { .kernel = { 2, 2 } };
    assert_fails(g, ad_max_pool2d(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_max_pool2d_index(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_avg_pool2d(v, two), AD_ESHAPE, "2 dimensions or more");
    assert_fails(g, ad_max_pool1d(s, two), AD_ESHAPE, "max_pool1d: []: takes 1 to 5 dimensions");
    assert_fails(g, ad_avg_pool2d(x, (ad_pool_opts){ .kernel = { 2, 2 }, .dilation = { 2, 1 } }), AD_EVALUE,
                 "no dilation");
    assert_fails(g, ad_adaptive_avg_pool2d(x, 0, 2), AD_ESHAPE, "cannot divide 5 elements into 0 windows");
    assert_fails(g, ad_avg_unpool2d(x, 5, 5, two), AD_ESHAPE, "planes of 5 x 5 are not pooled to this shape");
    assert_fails(g, ad_avg_unpool2d(x, -1, 5, two), AD_ESHAPE, "-1 x 5 is not a valid size");
    ad_var *one = ad_zeros(g, AD_F32, AD_SHAPE(1, 1));
    assert_fails(g, ad_max_pool2d(one, (ad_pool_opts){ .kernel = { 2, 1 }, .padding = { 1, 0 }, .dilation = { 2, 1 } }),
                 AD_ESHAPE, "no element in the plane");
    if (!test_quick()) {
        ad_var *wide = ad_zeros(g, AD_F32, AD_SHAPE(4097, 4097));
        assert_fails(g, ad_max_pool2d_index(wide, two), AD_ESHAPE,
                     "a plane has more elements than f32 can count exactly, 16777216");
    }
    ad_graph_free(g);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static ad_var *small_net(ad_var *x, ad_var *w, ad_var *scale, ad_var *classes) {
    ad_var *h = ad_conv2d(x, w, NULL, (ad_conv_opts){ .padding = { 1, 1 } });
    h = ad_relu(ad_batch_norm(h, NULL, NULL, scale, NULL, (ad_batch_norm_opts){ .training = true }));
    h = ad_dropout(ad_max_pool2d(h, (ad_pool_opts){ .kernel = { 2, 2 } }), 0.2, true);
    h = ad_reshape(ad_adaptive_avg_pool2d(h, 1, 2), AD_SHAPE(4, 6));
    h = ad_layer_norm(h, AD_SHAPE(6), NULL, NULL, 1e-5);
    return ad_cross_entropy_with(h, classes, (ad_ce_opts){ .label_smoothing = 0.1 });
}

static void repeated_steps_allocate_nothing(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F32, AD_SHAPE(4, 2, 8, 8)),
           *w = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(3, 2, 3, 3)));
    ad_var *scale = ad_require_grad(ad_ones(g, AD_F32, AD_SHAPE(3))), *classes = ad_zeros(g, AD_F32, AD_SHAPE(4));
    int64_t allocs = 0;
    for (int step = 0; step < 20; step++) {
        ad_mark m = ad_begin(g);
        assert_int_equal(ad_backward(small_net(x, w, scale, classes)), AD_OK);
        ad_end(g, m);
        if (step == 3) allocs = ad_graph_stats(g).allocs;
    }
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_var *loss = small_net(x, w, scale, classes);
    ad_eval(loss), ad_backward(loss);
    allocs = ad_graph_stats(g).allocs;
    for (int step = 0; step < 5; step++) assert_int_equal(ad_eval(loss) | ad_backward(loss), AD_OK);
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_graph_free(g);
}

/* ---- recurrent networks ---------------------------------------------------------------------------------------- */

static void bad_recurrent_ops_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 5, 12)), *h = ad_zeros(g, AD_F64, AD_SHAPE(2, 3));
    ad_var *w = ad_ones(g, AD_F64, AD_SHAPE(12, 3)), *none = ad_ones(g, AD_F64, AD_SHAPE(2, 0, 12));
    assert_fails(g, ad_lstm(none, w, h, h, false), AD_ESHAPE, "lstm: [2,0,12] x [12,3] x [2,3] x [2,3]: takes x");
    assert_fails(g, ad_lstm(x, h, h, h, false), AD_ESHAPE, "takes x [n,time,4 m], w [4 m,m], h and c [n,m]");
    assert_fails(g, ad_lstm(x, w, h, w, false), AD_ESHAPE, "time 1 or more");
    assert_fails(g, ad_gru(x, w, h, h, false), AD_ESHAPE, "takes x [n,time,3 m], w [3 m,m], h [n,m] and b [3 m]");
    assert_fails(g, ad_rnn(x, w, h, false, false), AD_ESHAPE, "takes x [n,time,m], w [m,m] and h [n,m]");
    assert_true(ad_shape_equal(ad_shape_of(ad_lstm(x, w, h, h, false)), AD_SHAPE(2, 2, 5, 3)));
    assert_ok(g);
    ad_graph_free(g);
}

/* A reversed GRU equals a GRU of the flipped sequence, flipped back. */
static void reversed_gru_against_flipped_gru(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(3, 4, 6))), *h = ad_randn(g, AD_F64, AD_SHAPE(3, 2));
    ad_var *w = ad_randn(g, AD_F64, AD_SHAPE(6, 2)), *b = ad_randn(g, AD_F64, AD_SHAPE(6));
    ad_var *one = ad_gru(x, w, h, b, true), *two = ad_flip(ad_gru(ad_flip(x, 1), w, h, b, false), 1);
    for (int k = 0; k < 24; k++) assert_true(ad_at(one, k) == ad_at(two, k));
    ad_backward(ad_sum(ad_sub(one, two)));
    for (int k = 0; k < 72; k++) assert_true(ad_grad_at(x, k) == 0);
    assert_ok(g);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_at_special_points),
        cmocka_unit_test(tails_of_losses_are_accurate),
        cmocka_unit_test(reductions_of_long_losses),
        cmocka_unit_test(long_f32_means_are_accurate),
        cmocka_unit_test(empty_losses),
        cmocka_unit_test(batchmean_divides_by_rows),
        cmocka_unit_test(cross_entropy_with_options),
        cmocka_unit_test(cross_entropy_takes_classes_or_probabilities),
        cmocka_unit_test(cross_entropy_with_infinite_scores),
        cmocka_unit_test(softmax_with_temperature),
        cmocka_unit_test(cosine_similarity_broadcasts),
        cmocka_unit_test(cosine_similarity_of_any_length),
        cmocka_unit_test(cosine_similarity_is_within_its_range),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(dropout_with_p_0_and_1),
        cmocka_unit_test(eval_draws_a_new_dropout_mask),
        cmocka_unit_test(batch_norm_training_as_in_pytorch),
        cmocka_unit_test(running_averages_make_eval_results_stale),
        cmocka_unit_test(bad_batch_norm_is_reported),
        cmocka_unit_test(bad_recurrent_ops_are_reported),
        cmocka_unit_test(reversed_gru_against_flipped_gru),
        cmocka_unit_test(layer_norm_of_one_var_and_bad_shapes),
        cmocka_unit_test(conv1d_as_in_pytorch),
        cmocka_unit_test(pooling_of_signals),
        cmocka_unit_test(number_of_windows_with_ceil_mode),
        cmocka_unit_test(im2col_of_every_width),
        cmocka_unit_test(max_pool_against_plain_loops),
        cmocka_unit_test(max_pool_ties_and_nan),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(one_var_as_every_operand),
        cmocka_unit_test(bad_losses_are_reported),
        cmocka_unit_test(bad_classes_are_reported),
        cmocka_unit_test(bad_convolutions_are_reported),
        cmocka_unit_test(windows_are_no_more_than_an_int),
        cmocka_unit_test(bad_pools_are_reported),
        cmocka_unit_test(repeated_steps_allocate_nothing),
    };
    return cmocka_run_group_tests_name("ops of networks", tests, NULL, NULL);
}
