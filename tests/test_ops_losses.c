/* test_ops_losses.c: ops of losses: special points, options, long arrays, cosine similarity, failures. */
#include "tests/common.h"

static ad_var *param(ad_graph *g, const double *values, ad_shape s) { return param_of(g, AD_F64, values, s); }

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
        assert_values_in("none", ad_cross_entropy_with(x, t, o), COUNT(rows[i].none), rows[i].none, 1e-15);
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
    assert_grads_in("dx", x, 3, (double[]){ 0, 0, 0 }, 1e-15);
    ad_graph_free(g);
}

static void softmax_with_temperature(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, (double[]){ 1, 2, 4 }, AD_SHAPE(3));
    const double want[] = { 0.17205953970593954, 0.25668267079810947, 0.571257789495951 };
    assert_values_in("softmax_with", ad_softmax_with(x, 0, 2.5), COUNT(want), want, 1e-15);
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
    assert_values_in("cosine", ad_cosine_similarity(a, b, 1, 1e-8), 2, (double[]){ 0.9258200997725514, 10. / 14 }, 1e-15);
    assert_close(ad_at(ad_cosine_similarity(a, a, -1, 1e-8), 0), 1, 1e-15);
    /* The norm is less than eps. The value is that of PyTorch, the gradient is the derivative of that value. */
    ad_var *tiny = param(g, (double[]){ .1, .2 }, AD_SHAPE(2)),
           *y = ad_cosine_similarity(tiny, ad_tensor(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), 0, 0.5);
    ad_backward(y);
    assert_close(ad_item(y), 0.4472135954999579, 1e-15);
    assert_grads_in("gradient", tiny, 2, (double[]){ 2 / sqrt(5), 4 / sqrt(5) }, 1e-15);
    /* The norms of both are eps: PyTorch's numbers. */
    ad_var *edge[] = { param(g, (double[]){ 3, 4 }, AD_SHAPE(2)), param(g, (double[]){ 5, 0 }, AD_SHAPE(2)) };
    y = ad_cosine_similarity(edge[0], edge[1], 0, 5);
    ad_backward(y);
    assert_close(ad_item(y), 0.6, 1e-15);
    assert_grads_in("gradient of a", edge[0], 2, (double[]){ 0.128, -0.096 }, 1e-15);
    assert_grads_in("gradient of b", edge[1], 2, (double[]){ 0, 0.16 }, 1e-15);
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
        cmocka_unit_test(bad_losses_are_reported),
        cmocka_unit_test(bad_classes_are_reported),
    };
    return cmocka_run_group_tests_name("ops of losses", tests, NULL, NULL);
}
