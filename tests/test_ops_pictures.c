/* test_ops_pictures.c: functions on images and volumes that are made of other ops, against PyTorch: see
   tests/reference/pictures.py. Second derivatives, special values, errors. */
#include "common.h"

#include "autodiff/extend.h"

/* ---- the cases --------------------------------------------------------------------------------------------------- */

typedef ad_var *call_fn(ad_var *const x[]);
#define CASE(name, call)                                                                                               \
    static ad_var *case_##name(ad_var *const x[]) { return call; }
#define SIZE(...) AD_SHAPE(__VA_ARGS__)
#define RESIZED(mode, align, ...) ad_interpolate(x[0], AD_SHAPE(__VA_ARGS__), AD_RESAMPLE_##mode, align)
#define SAMPLED(...) ad_grid_sample(x[0], ad_muls(x[1], 1.6), (ad_grid_opts){ __VA_ARGS__ })
#define POOL(...) (ad_pool_opts){ __VA_ARGS__ }
#define CONV(...) (ad_conv_opts){ __VA_ARGS__ }

CASE(conv3d, ad_conv3d(x[0], x[1], x[2], CONV(.groups = 1)))
CASE(conv3d_all, ad_conv3d(x[0], x[1], x[2], CONV(.stride = { 2, 1, 2 }, .padding = { 1, 2, 0 },
                                                  .dilation = { 1, 2, 1 }, .groups = 2)))
CASE(conv_transpose3d, ad_conv_transpose3d(x[0], x[1], x[2], CONV(.groups = 1)))
CASE(conv_transpose3d_all,
     ad_conv_transpose3d(x[0], x[1], x[2], CONV(.stride = { 2, 1, 2 }, .padding = { 1, 0, 1 }, .dilation = { 1, 2, 2 },
                                                .groups = 2, .output_padding = { 1, 1, 0 })))
CASE(conv_transpose2d_extended,
     ad_conv_transpose2d(x[0], x[1], x[2], CONV(.stride = { 2, 1 }, .padding = { 1, 1 }, .dilation = { 3, 3 },
                                                .output_padding = { 2, 2 })))
CASE(conv_transpose1d_extended,
     ad_conv_transpose1d(x[0], x[1], NULL, CONV(.padding = { 1 }, .dilation = { 3 }, .output_padding = { 2 })))
CASE(conv2d_cropped, ad_conv2d(x[0], x[1], NULL, CONV(.padding = { 1, -1 })))
CASE(conv_transpose2d_widened, ad_conv_transpose2d(x[0], x[1], x[2], CONV(.stride = { 2, 2 }, .padding = { -1, -2 })))
CASE(max_pool3d, ad_max_pool3d(x[0], POOL(.kernel = { 2, 2, 2 })))
CASE(max_pool3d_all, ad_max_pool3d(x[0], POOL(.kernel = { 3, 2, 2 }, .stride = { 1, 2, 1 }, .padding = { 1, 1, 0 },
                                              .dilation = { 1, 2, 1 }, .ceil_mode = true)))
CASE(avg_pool3d, ad_avg_pool3d(x[0], POOL(.kernel = { 2, 3, 2 }, .stride = { 1, 1, 1 })))
CASE(avg_pool3d_padded, ad_avg_pool3d(x[0], POOL(.kernel = { 3, 3, 3 }, .stride = { 2, 2, 2 }, .padding = { 1, 1, 1 },
                                               .ceil_mode = true, .exclude_padding = true)))
CASE(avg_pool3d_counted, ad_avg_pool3d(x[0], POOL(.kernel = { 3, 3, 3 }, .stride = { 2, 2, 2 }, .padding = { 1, 1, 1 },
                                                .ceil_mode = true)))
CASE(adaptive_avg_pool3d, ad_adaptive_avg_pool3d(x[0], 3, 2, 3))
CASE(adaptive_max_pool1d, ad_adaptive_max_pool1d(x[0], 3))
CASE(adaptive_max_pool2d, ad_adaptive_max_pool2d(x[0], 3, 4))
CASE(adaptive_max_pool2d_more, ad_adaptive_max_pool2d(x[0], 7, 2))
CASE(adaptive_max_pool3d, ad_adaptive_max_pool3d(x[0], 3, 2, 1))
CASE(max_unpool2d,
     ad_max_unpool2d(ad_max_pool2d(x[0], POOL(.kernel = { 2, 2 })),
                     ad_max_pool2d_index(x[0], POOL(.kernel = { 2, 2 })), 4, 6))
CASE(max_unpool1d, ad_max_unpool1d(ad_max_pool1d(x[0], POOL(.kernel = { 2 })),
                                   ad_max_pool1d_index(x[0], POOL(.kernel = { 2 })), 7))
CASE(lp_pool1d, ad_lp_pool1d(x[0], 2, POOL(.kernel = { 3 }, .stride = { 2 })))
CASE(lp_pool2d, ad_lp_pool2d(ad_adds(ad_abs(x[0]), 1), 3, POOL(.kernel = { 2, 3 }, .stride = { 2, 2 })))
CASE(local_response_norm, ad_local_response_norm(x[0], 3, 0.4, 0.75, 1.5))
CASE(local_response_norm_even, ad_local_response_norm(x[0], 2, 1e-4, 0.75, 1))
CASE(local_response_norm_wide, ad_local_response_norm(x[0], 1000, 70, 0.75, 1.5))
CASE(local_response_norm_wide_even, ad_local_response_norm(x[0], 6, 0.4, 0.75, 1.5))
CASE(pixel_shuffle, ad_pixel_shuffle(x[0], 2))
CASE(pixel_unshuffle, ad_pixel_unshuffle(x[0], 3))
CASE(channel_shuffle, ad_channel_shuffle(x[0], 2))
CASE(unfold, ad_unfold(x[0], (ad_window){ .kernel = { 2, 3 }, .stride = { 2, 1 }, .padding = { 1, 0 },
                                          .dilation = { 1, 2 } }))
CASE(fold, ad_fold(x[0], 3, 4, (ad_window){ .kernel = { 2, 2 } }))
CASE(nearest_1d, RESIZED(NEAREST, false, 5))
CASE(nearest_2d, RESIZED(NEAREST, false, 3, 9))
CASE(nearest_3d, RESIZED(NEAREST, false, 2, 7, 6))
CASE(nearest_exact, RESIZED(NEAREST_EXACT, false, 3, 9))
CASE(linear_1d, RESIZED(LINEAR, false, 10))
CASE(bilinear, RESIZED(LINEAR, false, 3, 9))
CASE(bilinear_aligned, RESIZED(LINEAR, true, 1, 9))
CASE(trilinear, RESIZED(LINEAR, true, 5, 5, 4))
CASE(bicubic, RESIZED(CUBIC, false, 3, 9))
CASE(bicubic_aligned, RESIZED(CUBIC, true, 8, 1))
CASE(area, RESIZED(AREA, false, 3, 4))
CASE(affine_grid, ad_affine_grid(x[0], SIZE(2, 1, 3, 4), false))
CASE(affine_grid_aligned, ad_affine_grid(x[0], SIZE(2, 1, 5, 2), true))
CASE(affine_grid_3d, ad_affine_grid(x[0], SIZE(1, 1, 2, 3, 2), false))
CASE(pad_reflect_cropped, ad_pad_reflect(x[0], SIZE(3, -1), SIZE(-2, 2)))
CASE(pad_replicate_cropped, ad_pad_replicate(x[0], SIZE(3, -1), SIZE(-2, 2)))
CASE(pad_circular_cropped, ad_pad_circular(x[0], SIZE(3, -1), SIZE(-2, 2)))
CASE(grid_bilinear_zeros, SAMPLED(0))
CASE(grid_bilinear_zeros_aligned, SAMPLED(.align_corners = true))
CASE(grid_bilinear_border, SAMPLED(.padding = AD_GRID_BORDER))
CASE(grid_bilinear_border_aligned, SAMPLED(.padding = AD_GRID_BORDER, .align_corners = true))
CASE(grid_bilinear_reflection, SAMPLED(.padding = AD_GRID_REFLECTION))
CASE(grid_bilinear_reflection_aligned, SAMPLED(.padding = AD_GRID_REFLECTION, .align_corners = true))
CASE(grid_nearest_zeros, SAMPLED(.nearest = true))
CASE(grid_nearest_zeros_aligned, SAMPLED(.nearest = true, .padding = AD_GRID_ZEROS, .align_corners = true))
CASE(grid_nearest_border, SAMPLED(.nearest = true, .padding = AD_GRID_BORDER))
CASE(grid_nearest_border_aligned, SAMPLED(.nearest = true, .padding = AD_GRID_BORDER, .align_corners = true))
CASE(grid_nearest_reflection, SAMPLED(.nearest = true, .padding = AD_GRID_REFLECTION))
CASE(grid_nearest_reflection_aligned, SAMPLED(.nearest = true, .padding = AD_GRID_REFLECTION, .align_corners = true))

#define ROW(name) { #name, case_##name }
static const struct {
    const char *name;
    call_fn *call;
} cases[] = {
    ROW(conv3d), ROW(conv3d_all), ROW(conv_transpose3d), ROW(conv_transpose3d_all), ROW(conv_transpose2d_extended),
    ROW(conv_transpose1d_extended), ROW(conv2d_cropped), ROW(conv_transpose2d_widened), ROW(max_pool3d),
    ROW(max_pool3d_all), ROW(avg_pool3d), ROW(avg_pool3d_padded), ROW(avg_pool3d_counted), ROW(adaptive_avg_pool3d),
    ROW(adaptive_max_pool1d), ROW(adaptive_max_pool2d), ROW(adaptive_max_pool2d_more), ROW(adaptive_max_pool3d),
    ROW(max_unpool1d), ROW(max_unpool2d), ROW(lp_pool1d), ROW(lp_pool2d), ROW(local_response_norm),
    ROW(local_response_norm_even), ROW(local_response_norm_wide), ROW(local_response_norm_wide_even),
    ROW(pixel_shuffle), ROW(pixel_unshuffle), ROW(channel_shuffle), ROW(unfold), ROW(fold), ROW(nearest_1d),
    ROW(nearest_2d), ROW(nearest_3d), ROW(nearest_exact), ROW(linear_1d), ROW(bilinear), ROW(bilinear_aligned),
    ROW(trilinear), ROW(bicubic), ROW(bicubic_aligned), ROW(area), ROW(affine_grid), ROW(affine_grid_aligned),
    ROW(affine_grid_3d), ROW(pad_reflect_cropped), ROW(pad_replicate_cropped), ROW(pad_circular_cropped),
    ROW(grid_bilinear_zeros), ROW(grid_bilinear_zeros_aligned), ROW(grid_bilinear_border),
    ROW(grid_bilinear_border_aligned), ROW(grid_bilinear_reflection), ROW(grid_bilinear_reflection_aligned),
    ROW(grid_nearest_zeros), ROW(grid_nearest_zeros_aligned), ROW(grid_nearest_border),
    ROW(grid_nearest_border_aligned), ROW(grid_nearest_reflection), ROW(grid_nearest_reflection_aligned),
};

static call_fn *call_of(const char *name) {
    for (int i = 0; i < COUNT(cases); i++)
        if (strcmp(cases[i].name, name) == 0) return cases[i].call;
    fail_msg("%s is not in the table", name);
    return NULL;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

enum { OPERANDS = 3 };

static void read_word(FILE *in, const char *want) {
    char word[16];
    assert_int_equal(fscanf(in, "%15s", word), 1);
    assert_string_equal(word, want);
}

static ad_shape read_shape(FILE *in, const char *word) {
    ad_shape s = { .ndim = 0 };
    read_word(in, word);
    assert_int_equal(fscanf(in, "%d", &s.ndim), 1);
    assert_true(s.ndim >= 0 && s.ndim <= AD_MAX_NDIM);
    for (int i = 0; i < s.ndim; i++) {
        long long n;
        assert_int_equal(fscanf(in, "%lld", &n), 1);
        s.dim[i] = n;
    }
    return s;
}

/* The numbers of an array, to be freed. */
static double *read_numbers(FILE *in, int64_t n) {
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t k = 0; k < n; k++) assert_int_equal(fscanf(in, "%lf", &v[k]), 1);
    return v;
}

static ad_var *waves(ad_graph *g, ad_dtype t, ad_shape s, double from, double step, bool grad) {
    ad_var *x = (grad ? ad_param : ad_tensor)(g, t, NULL, s);
    void *to = ad_data_mut(x);
    for (int64_t k = 0; k < ad_numel(x); k++) ad_write_element(t, to, k, cos(from + step * (double)k));
    return x;
}

typedef struct {
    char name[64];
    int n;
    ad_shape in[OPERANDS], out;
    double *value, *grad[OPERANDS];
} expected;

static bool read_case(FILE *in, expected *e) {
    char word[16];
    *e = (expected){ .n = 0 };
    if (fscanf(in, "%15s %63s %d", word, e->name, &e->n) != 3) return false;
    assert_string_equal(word, "case");
    for (int i = 0; i < e->n; i++) e->in[i] = read_shape(in, "in");
    e->out = read_shape(in, "value");
    e->value = read_numbers(in, ad_shape_numel(e->out));
    for (int i = 0; i < e->n; i++) {
        read_word(in, "grad");
        e->grad[i] = read_numbers(in, ad_shape_numel(e->in[i]));
    }
    return true;
}

static void check_elements(const expected *e, const char *what, const ad_var *x, bool grads, const double *want,
                           double tol) {
    char where[128];
    for (int64_t k = 0; k < ad_numel(x); k++) {
        snprintf(where, sizeof where, "%s, %s %lld", e->name, what, (long long)k);
        assert_close_in(where, grads ? ad_grad_at(x, k) : ad_at(x, k), want[k], tol);
    }
}

static void check_case(const expected *e, ad_dtype t) {
    const double tol = t == AD_F32 ? 2e-4 : 1e-12;
    ad_graph *g = ad_graph_new();
    ad_var *x[OPERANDS], *dx[OPERANDS];
    for (int i = 0; i < e->n; i++) x[i] = waves(g, t, e->in[i], 0.3 + i, 1.1, true);
    ad_var *y = call_of(e->name)(x);
    assert_ok(g);
    assert_shape(y, e->out);
    assert_true(ad_dtype_of(y) == t);
    check_elements(e, "value", y, false, e->value, tol);
    ad_var *w = waves(g, t, e->out, 0.7, 0.9, false);
    assert_int_equal(ad_backward_from(y, w), AD_OK);
    assert_int_equal(ad_vjp(y, w, e->n, x, dx), AD_OK);
    for (int i = 0; i < e->n; i++) {
        check_elements(e, "gradient by backward", x[i], true, e->grad[i], 5 * tol);
        check_elements(e, "gradient by vjp", dx[i], false, e->grad[i], 5 * tol);
    }
    assert_ok(g);
    ad_graph_free(g);
}

/* Calls f for each case of the file. */
static void each_case(void (*f)(const expected *e)) {
    FILE *in = open_source("tests/reference/results_nn/pictures.txt");
    int n = 0;
    for (expected e; read_case(in, &e); n++) {
        f(&e);
        free(e.value);
        for (int i = 0; i < e.n; i++) free(e.grad[i]);
    }
    fclose(in);
    assert_int_equal(n, COUNT(cases));
}

static void check_both(const expected *e) {
    check_case(e, AD_F64);
    check_case(e, AD_F32);
}
static void values_and_gradients_are_those_of_torch(void **state) {
    (void)state;
    each_case(check_both);
}

/* ---- second derivatives ------------------------------------------------------------------------------------------ */

static ad_var *by_call(int n, ad_var *const xs[], void *call) { return (void)n, (*(call_fn **)call)(xs); }

static void check_second(const expected *e) {
    int64_t elements = 0;
    for (int i = 0; i < e->n; i++) elements += ad_shape_numel(e->in[i]);
    if (elements > 130 && !(strncmp(e->name, "conv", 4) == 0 && elements < 250)) return; /* the others are alike */
    ad_graph *g = ad_graph_new();
    ad_var *x[OPERANDS];
    ad_check_report r;
    for (int i = 0; i < e->n; i++) x[i] = waves(g, AD_F64, e->in[i], 0.3 + i, 1.1, true);
    call_fn *call = call_of(e->name);
    if (ad_gradgradcheck(by_call, &call, e->n, x, NULL, &r) != AD_OK) fail_msg("%s: %s", e->name, r.message);
    ad_graph_free(g);
}
static void second_derivatives(void **state) {
    (void)state;
    each_case(check_second);
}

/* ---- special values ---------------------------------------------------------------------------------------------- */

/* A volume of one slice is an image: the same values, and the maximum of NaNs is NaN. */
static void volumes_of_one_slice(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = waves(g, AD_F64, AD_SHAPE(2, 3, 5, 6), 0, 1.1, true), *v = ad_unsqueeze(x, 2);
    ad_var *w = waves(g, AD_F64, AD_SHAPE(4, 3, 3, 2), 1, 0.7, true), *flat = ad_unsqueeze(w, 2);
    ad_var *a = ad_conv2d(x, w, NULL, (ad_conv_opts){ .padding = { 1, 2 } });
    ad_var *b = ad_conv3d(v, flat, NULL, (ad_conv_opts){ .padding = { 0, 1, 2 } });
    assert_shape(b, AD_SHAPE(2, 4, 1, 5, 9));
    for (int64_t k = 0; k < ad_numel(a); k++) assert_close(ad_at(b, k), ad_at(a, k), 1e-14);
    ad_var *y = ad_max_pool3d(ad_full(g, AD_F64, NAN, AD_SHAPE(2, 2, 2)), (ad_pool_opts){ .kernel = { 2, 2, 2 } });
    assert_true(isnan(ad_item(ad_sum(y))));
    ad_graph_free(g);
}

static void empty_batches(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *v = ad_param(g, AD_F32, NULL, AD_SHAPE(0, 2, 3, 4, 5));
    ad_var *x = ad_param(g, AD_F32, NULL, AD_SHAPE(0, 3, 4, 5));
    ad_var *w = waves(g, AD_F32, AD_SHAPE(2, 2, 2, 2, 2), 0, 1, true);
    ad_var *grid = ad_zeros(g, AD_F32, AD_SHAPE(0, 6, 7, 2));
    ad_var *all[] = { ad_conv3d(v, w, NULL, CONV(.groups = 1)), ad_conv_transpose3d(v, w, NULL, CONV(.groups = 1)),
                      ad_max_pool3d(v, POOL(.kernel = { 2, 2, 2 })), ad_adaptive_max_pool3d(v, 2, 2, 2),
                      ad_grid_sample(x, grid, (ad_grid_opts){ 0 }),
                      ad_interpolate(x, AD_SHAPE(8, 9), AD_RESAMPLE_CUBIC, true), ad_pixel_shuffle(v, 1) };
    const ad_shape want[] = { AD_SHAPE(0, 2, 2, 3, 4), AD_SHAPE(0, 2, 4, 5, 6), AD_SHAPE(0, 2, 1, 2, 2),
                              AD_SHAPE(0, 2, 2, 2, 2), AD_SHAPE(0, 3, 6, 7), AD_SHAPE(0, 3, 8, 9),
                              AD_SHAPE(0, 2, 3, 4, 5) };
    assert_ok(g);
    for (int i = 0; i < COUNT(all); i++) {
        assert_shape(all[i], want[i]);
        assert_int_equal(ad_backward(ad_sum(all[i])), AD_OK);
    }
    for (int64_t k = 0; k < ad_numel(w); k++) assert_true(ad_grad_at(w, k) == 0);
    ad_graph_free(g);
}

/* Padding above half of the kernel: every window has an element of x. */
static void wide_padding_of_pools(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, AD_F64, (double[]){ 3, -1, 2 }, AD_SHAPE(3));
    ad_pool_opts o = { .kernel = { 3 }, .stride = { 1 }, .padding = { 2 } };
    ad_var *most = ad_max_pool1d(x, o), *mean = ad_avg_pool1d(x, o);
    const double maxima[] = { 3, 3, 3, 2, 2 }, means[] = { 1, 2. / 3, 4. / 3, 1. / 3, 2. / 3 };
    assert_shape(most, AD_SHAPE(5));
    for (int k = 0; k < 5; k++) {
        assert_close(ad_at(most, k), maxima[k], 0);
        assert_close(ad_at(mean, k), means[k], 1e-15);
    }
    o.padding[0] = 3;
    assert_fails(g, ad_max_pool1d(x, o), AD_EVALUE, "padding 3 is not in 0..2");
    ad_graph_free(g);
}

/* Of equal maxima, the first gets the gradient, also where windows overlap or have been filled up. */
static void ties_in_adaptive_pools(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(5)));
    ad_backward(ad_sum(ad_adaptive_max_pool1d(x, 3))); /* windows 0-1, 1-3, 3-4 */
    const double want[] = { 1, 1, 0, 1, 0 };
    for (int k = 0; k < 5; k++) assert_close(ad_grad_at(x, k), want[k], 0);
    ad_graph_free(g);
}

/* An image of one row, of one column and of one pixel. The middle of a grid is the middle pixel; beyond the edges there
   is the same pixel, or 0, of which half a pixel is weighed. */
static void images_of_one_row(void **state) {
    (void)state;
    static const ad_grid_padding ways[] = { AD_GRID_ZEROS, AD_GRID_BORDER, AD_GRID_REFLECTION };
    ad_graph *g = ad_graph_new();
    const ad_shape shapes[] = { AD_SHAPE(1, 1, 1, 3), AD_SHAPE(1, 1, 3, 1), AD_SHAPE(1, 1, 1, 1) };
    ad_var *middle = ad_zeros(g, AD_F64, AD_SHAPE(1, 1, 1, 2)), *edge = ad_ones(g, AD_F64, AD_SHAPE(1, 1, 1, 2));
    for (int i = 0; i < COUNT(shapes); i++)
        for (int k = 0; k < COUNT(ways); k++) {
            ad_var *x = param_of(g, AD_F64, i < 2 ? (double[]){ 5, 7, 11 } : (double[]){ 7 }, shapes[i]);
            assert_close(ad_item(ad_grid_sample(x, middle, (ad_grid_opts){ .padding = ways[k] })), 7, 0);
            double at_edge = ad_item(ad_grid_sample(x, edge, (ad_grid_opts){ .padding = ways[k] }));
            assert_close(at_edge, (i < 2 ? 11 : 7) * (k == 0 ? 0.25 : 1), 1e-15);
        }
    assert_ok(g);
    ad_graph_free(g);
}

/* Windows that overlap may share a maximum, which then stands once in the plane. */
static void shared_maxima_unpool_to_themselves(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const ad_pool_opts o = { .kernel = { 1, 2 }, .stride = { 1, 1 } };
    ad_var *x = param_of(g, AD_F64, (double[]){ 1, 7, 2 }, AD_SHAPE(1, 3));
    ad_var *y = ad_max_unpool2d(ad_max_pool2d(x, o), ad_max_pool2d_index(x, o), 1, 3);
    const double want[] = { 0, 7, 0 };
    ad_backward(ad_sum(y)); /* y = 7 there, so the slope is 1 */
    for (int k = 0; k < 3; k++) {
        assert_close(ad_at(y, k), want[k], 1e-15);
        assert_close(ad_grad_at(x, k), k == 1, 1e-15);
    }
    ad_graph_free(g);
}

static void lp_pool_of_zeros_has_slope_0(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_require_grad(ad_zeros(g, AD_F64, AD_SHAPE(4))), *d;
    ad_var *sum = ad_sum(ad_lp_pool1d(x, 2, POOL(.kernel = { 2 })));
    ad_backward(sum);
    assert_int_equal(ad_gradient(sum, 1, &x, &d), AD_OK);
    for (int k = 0; k < 4; k++) assert_true(ad_grad_at(x, k) == 0 && ad_at(d, k) == 0);
    ad_graph_free(g);
}

/* A point that is NaN, infinite or far away is outside: 0, and no gradient of the image is spoilt. */
static void points_of_a_grid_that_are_nowhere(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (int nearest = 0; nearest < 2; nearest++) {
        ad_var *x = ad_require_grad(ad_ones(g, AD_F64, AD_SHAPE(1, 1, 2, 2)));
        const double at[] = { NAN, 0, 0, INFINITY, -INFINITY, NAN, 1e300, 0, 0, 0 };
        ad_var *grid = param_of(g, AD_F64, at, AD_SHAPE(1, 1, 5, 2)), *d;
        ad_var *y = ad_grid_sample(x, grid, (ad_grid_opts){ .nearest = nearest });
        for (int k = 0; k < 4; k++) assert_true(ad_at(y, k) == 0);
        assert_close(ad_at(y, 4), 1, 1e-15);
        ad_backward(ad_sum(y));
        assert_int_equal(ad_gradient(ad_sum(y), 1, &x, &d), AD_OK);
        double sum = 0;
        for (int k = 0; k < 4; k++) {
            sum += ad_grad_at(x, k);
            assert_close(ad_at(d, k), ad_grad_at(x, k), 0);
        }
        assert_close(sum, 1, 1e-15);
    }
    ad_graph_free(g);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void what_is_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(2, 4, 5, 6)), *v = ad_zeros(g, AD_F32, AD_SHAPE(1, 2, 3, 4, 5));
    ad_var *w = ad_zeros(g, AD_F32, AD_SHAPE(2, 2, 4, 1, 1)), *row = ad_zeros(g, AD_F32, AD_SHAPE(3));
    assert_fails(g, ad_conv3d(x, w, NULL, CONV(.groups = 1)), AD_ESHAPE, "conv3d: [2,4,5,6]: takes volumes");
    assert_fails(g, ad_conv3d(v, w, NULL, CONV(.groups = 1)), AD_ESHAPE, "does not fit");
    assert_fails(g, ad_conv3d(v, w, NULL, CONV(.padding = { -9 })), AD_ESHAPE, "conv3d: [1,2,3,4,5]: padding of -9");
    assert_fails(g, ad_conv_transpose3d(v, v, NULL, CONV(.stride = { -1 })), AD_ESHAPE, "conv_transpose3d: [1,2");
    assert_fails(g, ad_conv_transpose2d(x, x, NULL, CONV(.output_padding = { 3, 0 }, .dilation = { 3, 1 })), AD_EVALUE,
                 "output_padding must be 0 or more, and below stride or dilation");
    assert_fails(g, ad_max_pool3d(row, POOL(.kernel = { 1, 1, 1 })), AD_ESHAPE, "max_pool3d: [3]: takes 3 dim");
    assert_fails(g, ad_adaptive_max_pool2d(x, 0, 1), AD_ESHAPE, "adaptive_max_pool2d: ");
    assert_fails(g, ad_adaptive_max_pool2d(row, 1, 1), AD_ESHAPE, "adaptive_max_pool2d: [3]");
    assert_fails(g, ad_adaptive_max_pool1d(row, 1000000007), AD_ESHAPE, "at most 1024 for each element");
    assert_fails(g, ad_max_unpool2d(x, row, 9, 9), AD_ESHAPE, "max_unpool2d: [2,4,5,6]: takes x and index");
    const int64_t side = BITS_64 ? 1 << 25 : 1 << 13; /* as long as an array's may be */
    ad_var *plane = ad_zeros(g, AD_F64, AD_SHAPE(1, 1)), *endless = ad_zeros(g, AD_F64, AD_SHAPE(0, side, side));
    assert_fails(g, ad_max_unpool2d(plane, plane, 1 << 30, 1 << 30), AD_ESHAPE, "max_unpool2d: [1,1]: takes x and index");
    if (BITS_64) assert_fails(g, ad_max_unpool2d(endless, endless, 1, 1), AD_ESHAPE, "max_unpool2d: [0,");
    assert_fails(g, ad_lp_pool2d(x, 0, POOL(.kernel = { 2, 2 })), AD_EVALUE, "lp_pool2d: [2,4,5,6]: p is 0");
    assert_fails(g, ad_local_response_norm(row, 1, 1, 1, 1), AD_ESHAPE, "local_response_norm: [3]");
    assert_fails(g, ad_pixel_shuffle(x, 3), AD_ESHAPE, "pixel_shuffle: [2,4,5,6]: takes [..,c,h,w]");
    assert_fails(g, ad_pixel_unshuffle(x, 2), AD_ESHAPE, "h and w multiples of r");
    assert_fails(g, ad_channel_shuffle(x, 3), AD_ESHAPE, "c a multiple of groups");
    assert_fails(g, ad_interpolate(x, AD_SHAPE(0, 3), AD_RESAMPLE_LINEAR, false), AD_ESHAPE, "cannot become one of 0");
    ad_var *flat = ad_ones(g, AD_F64, AD_SHAPE(1, 2, 4, 0));
    assert_fails(g, ad_interpolate(flat, AD_SHAPE(4, 4), AD_RESAMPLE_LINEAR, false), AD_ESHAPE, "an axis of 0 cannot");
    assert_fails(g, ad_interpolate(x, AD_SCALAR, AD_RESAMPLE_LINEAR, false), AD_ESHAPE, "0 sizes given");
    assert_fails(g, ad_interpolate(x, AD_SHAPE(3), AD_RESAMPLE_NEAREST, true), AD_EVALUE, "align_corners is for lin");
    assert_fails(g, ad_grid_sample(x, x, (ad_grid_opts){ 0 }), AD_ESHAPE, "grid_sample: [2,4,5,6]: takes x [n,c,h,w]");
    ad_var *wide = ad_zeros(g, AD_F64, AD_SHAPE(2, 1, 1, 2));
    assert_fails(g, ad_grid_sample(x, wide, (ad_grid_opts){ 0 }), AD_EDTYPE, "dtype of x");
    assert_fails(g, ad_affine_grid(row, AD_SHAPE(1, 1, 2, 2), false), AD_ESHAPE, "affine_grid: [3]: takes theta");
    assert_fails(g, ad_pad_reflect(x, AD_SHAPE(-4), AD_SHAPE(-3)), AD_ESHAPE, "pad_reflect: [2,4,5,6]: padding of -4");
    assert_fails(g, ad_conv2d(x, x, NULL, CONV(.padding = { -3, 0 })), AD_ESHAPE, "conv2d: [2,4,5,6]: padding of -3");
    assert_true(ad_is_nil(ad_interpolate(NULL, AD_SHAPE(1), AD_RESAMPLE_AREA, false)));
    assert_true(ad_is_nil(ad_grid_sample(x, NULL, (ad_grid_opts){ 0 })));
    ad_graph_free(g);
}

/* Arrays without elements may have huge sizes: a result or an error at once, and no overflow. */
static void empty_arrays_of_huge_sizes(void **state) {
    (void)state;
    if (sizeof(size_t) < 8) skip(); /* no array has them there */
    const int64_t huge = (int64_t)1 << 55, large = (int64_t)1 << 27;
    const ad_shape shapes[] = { AD_SHAPE(0, huge, 1, 1), AD_SHAPE(huge, 0, 3, 1), AD_SHAPE(2, huge, 0, 4),
                                AD_SHAPE(2, 4, huge, 0), AD_SHAPE(0, 4, large, large), AD_SHAPE(huge, 2, 0, 1, 2) };
    for (int i = 0; i < COUNT(shapes); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_zeros(g, AD_F64, shapes[i]), *theta = ad_zeros(g, AD_F64, AD_SHAPE(0, 2, 3));
        assert_ok(g);
        ad_var *all[] = { x, x, x };
        for (int k = 0; k < COUNT(cases); k++) {
            if (strstr(cases[k].name, "conv") != NULL || strncmp(cases[k].name, "pad", 3) == 0) continue;
            ad_var *y = cases[k].call(all);
            if (ad_is_nil(y) == ad_ok(g)) fail_msg("%s: a result with an error, or nil without one", cases[k].name);
            ad_clear_error(g);
        }
        ad_affine_grid(theta, AD_SHAPE(0, huge, huge, huge), false);
        ad_max_unpool2d(x, x, huge, huge);
        ad_clear_error(g);
        ad_graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_of_torch),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(volumes_of_one_slice),
        cmocka_unit_test(empty_batches),
        cmocka_unit_test(wide_padding_of_pools),
        cmocka_unit_test(ties_in_adaptive_pools),
        cmocka_unit_test(images_of_one_row),
        cmocka_unit_test(shared_maxima_unpool_to_themselves),
        cmocka_unit_test(lp_pool_of_zeros_has_slope_0),
        cmocka_unit_test(points_of_a_grid_that_are_nowhere),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(empty_arrays_of_huge_sizes),
    };
    return cmocka_run_group_tests_name("pictures", tests, NULL, NULL);
}
