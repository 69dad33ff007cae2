/* test_ops_conv.c: convolutions by squares of 4 x 4 pixels (f32, many channels) against those by windows (f64). */
#include "common.h"

#include "ops/kernels/net/winograd.h"

typedef struct {
    int64_t n, c, o, groups, h, w, padding[2];
} sizes;

/* Every remainder of sides, paddings, rows and columns of products; channels of several blocks; groups. */
static const sizes cases[] = {
    { 3, 32, 32, 1, 14, 14, { 1, 1 } },  { 2, 32, 40, 1, 16, 18, { 0, 0 } },  { 1, 40, 32, 1, 13, 26, { 2, 2 } },
    { 1, 32, 32, 1, 15, 15, { 2, 1 } },  { 2, 64, 64, 2, 16, 17, { 1, 0 } },  { 1, 72, 48, 1, 10, 125, { 1, 1 } },
    { 9, 32, 32, 1, 14, 13, { 1, 2 } },  { 1, 32, 32, 1, 13, 257, { 0, 2 } }, { 1, 136, 128, 1, 12, 30, { 1, 1 } },
    { 1, 32, 32, 1, 64, 16, { 1, 1 } },
};

static ad_shape image_of(const sizes *s) { return AD_SHAPE(s->n, s->groups * s->c, s->h, s->w); }
static ad_shape weights_of(const sizes *s) { return AD_SHAPE(s->groups * s->o, s->c, 3, 3); }
static ad_conv_opts options_of(const sizes *s) {
    return (ad_conv_opts){ .padding = { s->padding[0], s->padding[1] }, .groups = s->groups };
}

static ad__window_of window_of(const sizes *s) {
    ad__window_of w = { .c = s->c, .in = { s->h, s->w }, .kernel = { 3, 3 }, .stride = { 1, 1 }, .dilation = { 1, 1 } };
    for (int i = 0; i < 2; i++) w.padding[i] = s->padding[i], w.out[i] = w.in[i] + 2 * w.padding[i] - 2;
    return w;
}

/* The same random numbers as a parameter of each type. */
typedef struct {
    ad_var *of[2];
} both;
static both numbers(ad_graph *g, ad_shape s) {
    ad_var *x = ad_randn(g, AD_F32, s);
    both b = { { ad_param(g, AD_F32, ad_data(x), s), ad_param(g, AD_F64, NULL, s) } };
    for (int64_t i = 0; i < ad_numel(x); i++) ((double *)ad_data_mut(b.of[AD_F64]))[i] = ad_at(x, i);
    return b;
}
static void put(both b, int64_t i, float x) {
    ((float *)ad_data_mut(b.of[AD_F32]))[i] = x;
    ((double *)ad_data_mut(b.of[AD_F64]))[i] = x;
}

/* Each element is a sum of `terms` products of numbers with variance 1; errors are a few roundings of its size. */
static void assert_alike(const char *what, double terms, ad_var *f32, ad_var *f64, bool gradients) {
    double most = 0, tol = 8e-6 * sqrt(terms);
    for (int64_t i = 0; i < ad_numel(f64); i++) {
        double a = gradients ? ad_grad_at(f32, i) : ad_at(f32, i), b = gradients ? ad_grad_at(f64, i) : ad_at(f64, i);
        if (isfinite(b) && fabs(a - b) <= tol) most = fmax(most, fabs(b));
        else if (isfinite(b)) assert_close_in(what, a, b, 0);
        else assert_true(!isfinite(a));
    }
    assert_true(most > sqrt(terms)); /* they are no zeros */
}

/* ---- values and gradients --------------------------------------------------------------------------------------- */

static void squares_against_windows(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(cases); i += test_quick() ? 3 : 1) {
        const sizes *s = &cases[i];
        ad__window_of w = window_of(s);
        assert_true(ad__winograd_suits(&w, s->o));
        ad_graph *g = ad_graph_new();
        both x = numbers(g, image_of(s)), k = numbers(g, weights_of(s)), b = numbers(g, AD_SHAPE(s->groups * s->o));
        both weigh = numbers(g, AD_SHAPE(s->n, s->groups * s->o, w.out[0], w.out[1]));
        ad_var *y[2];
        for (int t = AD_F32; t <= AD_F64; t++) {
            y[t] = ad_conv2d(x.of[t], k.of[t], i % 2 ? b.of[t] : NULL, options_of(s));
            for (int twice = 0; twice < 2; twice++) ad_backward(ad_sum(ad_mul(y[t], weigh.of[t])));
        }
        assert_ok(g);
        double places = (double)(s->n * w.out[0] * w.out[1]);
        assert_alike("y", 9 * (double)s->c, y[AD_F32], y[AD_F64], false);
        assert_alike("dx", 4 * 9 * (double)s->o, x.of[AD_F32], x.of[AD_F64], true);
        assert_alike("dw", 4 * places, k.of[AD_F32], k.of[AD_F64], true);
        ad_graph_free(g);
    }
}

static void transposed_convolutions_against_windows(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(cases); i += test_quick() ? 3 : 1) {
        const sizes *s = &cases[i];
        ad__window_of w = window_of(s);
        ad_graph *g = ad_graph_new();
        both x = numbers(g, AD_SHAPE(s->n, s->groups * s->o, w.out[0], w.out[1])), k = numbers(g, weights_of(s));
        both weigh = numbers(g, image_of(s));
        ad_var *y[2];
        for (int t = AD_F32; t <= AD_F64; t++) {
            y[t] = ad_conv_transpose2d(x.of[t], k.of[t], NULL, options_of(s));
            ad_backward(ad_sum(ad_mul(y[t], weigh.of[t])));
        }
        assert_ok(g);
        assert_alike("y", 9 * (double)s->o, y[AD_F32], y[AD_F64], false);
        assert_alike("dx", 9 * (double)s->c, x.of[AD_F32], x.of[AD_F64], true);
        assert_alike("dw", (double)(s->n * w.out[0] * w.out[1]), k.of[AD_F32], k.of[AD_F64], true);
        ad_graph_free(g);
    }
}

/* The first image alone has the bits that it has among others. */
static void an_image_does_not_depend_on_the_others(void **state) {
    (void)state;
    const sizes *s = &cases[0];
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F32, image_of(s)), *w = ad_randn(g, AD_F32, weights_of(s));
    ad_var *all = ad_conv2d(x, w, NULL, options_of(s));
    ad_var *one = ad_conv2d(ad_slice(x, 0, 0, 1, 1), w, NULL, options_of(s));
    assert_memory_equal(ad_data(all), ad_data(one), (size_t)ad_numel(one) * sizeof(float));
    ad_graph_free(g);
}

/* Nothing but zeros enters, at the edges too. */
static void nothing_comes_of_nothing(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_require_grad(ad_zeros(g, AD_F32, image_of(&cases[i])));
        ad_var *y = ad_conv2d(x, ad_randn(g, AD_F32, weights_of(&cases[i])), NULL, options_of(&cases[i]));
        assert_int_equal(ad_backward_from(y, ad_zeros_like(y)), AD_OK);
        for (int64_t k = 0; k < ad_numel(y); k++) assert_true(ad_at(y, k) == 0);
        for (int64_t k = 0; k < ad_numel(x); k++) assert_true(ad_grad_at(x, k) == 0);
        ad_graph_free(g);
    }
}

/* ---- numbers that squares would spread to windows without them -------------------------------------------------- */

/* Element `at` of x or of the weights becomes `value`. */
static void check_spread(const char *what, bool in_weights, int64_t at, float value) {
    const sizes *s = &cases[0];
    ad_graph *g = ad_graph_new();
    both x = numbers(g, image_of(s)), k = numbers(g, weights_of(s));
    put(in_weights ? k : x, at, value);
    ad_var *y[2];
    for (int t = AD_F32; t <= AD_F64; t++) {
        y[t] = ad_conv2d(x.of[t], k.of[t], NULL, options_of(s));
        ad_backward(ad_sum(y[t]));
    }
    for (int64_t i = 0; i < ad_numel(y[0]); i++) {
        double a = ad_at(y[AD_F32], i), b = (float)ad_at(y[AD_F64], i);
        if (isnan(b)) assert_true(isnan(a));
        else if (isinf(b)) assert_true(a == b);
        else assert_close_in(what, a, b, fabs(b) > 1e6 ? 1e-5 : 1e-4);
    }
    for (int64_t i = 0; i < ad_numel(k.of[0]); i++) {
        double a = ad_grad_at(k.of[AD_F32], i), b = ad_grad_at(k.of[AD_F64], i);
        assert_true(isfinite(b) == isfinite(a));
        if (isfinite(b)) assert_close_in(what, a, b, 1e-3);
    }
    ad_graph_free(g);
}

static void numbers_do_not_spread(void **state) {
    (void)state;
    int64_t plane = 32 + 5, corner = plane * 14 * 14, pixel = corner + 4 * 14 + 7; /* of the second image */
    const float values[] = { INFINITY, -INFINITY, NAN, 1e13F, -3e38F };
    for (int i = 0; i < COUNT(values); i++) {
        check_spread("a pixel", false, pixel, values[i]);
        check_spread("a corner", false, corner, values[i]);
        check_spread("a weight", true, 32 * 9 + 4, values[i]);
    }
}

/* ---- where windows remain --------------------------------------------------------------------------------------- */

static void small_or_odd_convolutions_take_windows(void **state) {
    (void)state;
    ad__window_of w = window_of(&cases[0]), other = w;
    assert_true(ad__winograd_suits(&w, 32));
    assert_false(ad__winograd_suits(&w, 24));
    assert_false(ad__winograd_suits(&w, 36));
    other.c = 24;
    assert_false(ad__winograd_suits(&other, 32));
    assert_false(ad__winograd_suits(&w, INT64_C(1) << 40));
    sizes small = { 1, 32, 32, 1, 7, 7, { 1, 1 } };
    other = window_of(&small);
    assert_false(ad__winograd_suits(&other, 32));
    for (int i = 0; i < 2; i++) {
        other = w, other.stride[i] = 2;
        assert_false(ad__winograd_suits(&other, 32));
        other = w, other.dilation[i] = 2;
        assert_false(ad__winograd_suits(&other, 32));
        other = w, other.padding[i] = 3;
        assert_false(ad__winograd_suits(&other, 32));
        other = w, other.kernel[i] = 1;
        assert_false(ad__winograd_suits(&other, 32));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_against_windows),
        cmocka_unit_test(transposed_convolutions_against_windows),
        cmocka_unit_test(an_image_does_not_depend_on_the_others),
        cmocka_unit_test(nothing_comes_of_nothing),
        cmocka_unit_test(numbers_do_not_spread),
        cmocka_unit_test(small_or_odd_convolutions_take_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
