/* test_ops_sort.c: sorting, selecting: qsort, PyTorch's values, ties, NaN, derivatives, threads, errors. */
#include "common.h"

#include "autodiff/extend.h"
#include "ops/kernels/sort/order.h"

/* ---- the kernel against qsort -------------------------------------------------------------------------------- */

typedef struct {
    double value;
    int64_t index;
    bool descending;
} element;

static int by_value(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}
static int compare(const void *a_, const void *b_) {
    const element *a = a_, *b = b_;
    int by = by_value(a->value, b->value);
    if (by != 0) return a->descending ? -by : by;
    return (a->index > b->index) - (a->index < b->index);
}

/* Few distinct numbers, so that there are ties, or numbers of all magnitudes. */
static double some_number(uint64_t *seed, bool ties) {
    const double few[] = { NAN, -NAN, INFINITY, -INFINITY, 0, -0.0, 1, -1, 2, -2, 1e-30, -1e-30, 1e30, -1e30 };
    if (ties) return few[(int)next_between(seed, 0, COUNT(few)) % COUNT(few)];
    return next_between(seed, -1, 1) * pow(10, next_between(seed, -30, 30));
}

static void check_order(ad_dtype t, int64_t n, int64_t step, bool descending, bool ties, uint64_t *seed) {
    size_t size = ad_dtype_size(t), bytes = t == AD_F32 ? ad__order_bytes_f32(n) : ad__order_bytes_f64(n);
    void *x = calloc((size_t)(n * step) + 1, size), *order = calloc((size_t)(n * step) + 1, size);
    void *work = malloc(bytes + 1);
    element *want = malloc(((size_t)n + 1) * sizeof *want);
    assert_true(x && order && work && want);
    for (int64_t i = 0; i < n; i++) {
        ad_write_element(t, x, i * step, some_number(seed, ties));
        want[i] = (element){ ad_read_element(t, x, i * step), i, descending };
    }
    qsort(want, (size_t)n, sizeof *want, compare);
    if (t == AD_F32) ad__row_order_f32(n, step, descending, x, work, order);
    else ad__row_order_f64(n, step, descending, x, work, order);
    for (int64_t i = 0; i < n; i++)
        if (ad_read_element(t, order, i * step) != (double)want[i].index)
            fail_msg("%lld elements, %s: place %lld is %g, not %lld", (long long)n, t ? "f64" : "f32", (long long)i,
                     ad_read_element(t, order, i * step), (long long)want[i].index);
    free(x), free(order), free(work), free(want);
}

static void rows_of_every_length_are_ordered(void **state) {
    (void)state;
    const int64_t lengths[] = { 0, 1, 2, 3, 63, 64, 65, 255, 256, 1000, 4095, 4096, 4097, 70000 };
    uint64_t seed = 3;
    for (int i = 0; i < COUNT(lengths); i++)
        for (int k = 0; k < 16; k++)
            check_order(k & 1 ? AD_F64 : AD_F32, lengths[i], k & 2 ? 3 : 1, k & 4, k & 8, &seed);
}

/* ---- values and gradients by PyTorch 1.13 ---------------------------------------------------------------------- */

/* x = [[3,1,2],[1,nan,1]]; dx is the gradient of sum(y * [[1,2,3],[4,5,6]]) */
static void sorted_as_in_pytorch(void **state) {
    (void)state;
    const struct {
        int axis;
        bool descending;
        double y[6], dx[6];
    } cases[] = {
        { 1, false, { 1, 2, 3, 1, 1, NAN }, { 3, 1, 2, 4, 6, 5 } },
        { -1, true, { 3, 2, 1, NAN, 1, 1 }, { 1, 3, 2, 5, 4, 6 } },
        { 0, false, { 1, 1, 1, 3, NAN, 2 }, { 4, 2, 6, 1, 5, 3 } },
        { -2, true, { 3, NAN, 2, 1, 1, 1 }, { 1, 5, 3, 4, 2, 6 } },
    };
    for (int i = 0; i < COUNT(cases); i++)
        for (int t = AD_F32; t <= AD_F64; t++) {
            ad_graph *g = ad_graph_new();
            ad_var *x = ad_tensor(g, (ad_dtype)t, NULL, AD_SHAPE(2, 3)), *w = ad_arange(g, (ad_dtype)t, 1, 7, 1);
            set_all(x, (double[]){ 3, 1, 2, 1, NAN, 1 });
            ad_require_grad(x);
            ad_var *y = ad_sort(x, cases[i].axis, cases[i].descending), *dx = NULL;
            ad_var *loss = ad_sum(ad_mul(y, ad_reshape(w, AD_SHAPE(2, 3))));
            ad_gradient(loss, 1, &x, &dx);
            ad_backward(loss);
            assert_ok(g);
            for (int k = 0; k < 6; k++) {
                assert_close(ad_at(y, k), cases[i].y[k], 0);
                assert_close(ad_grad_at(x, k), cases[i].dx[k], 0);
                assert_close(ad_at(dx, k), cases[i].dx[k], 0);
            }
            ad_graph_free(g);
        }
}

/* Each half of the sorted elements has a cotangent of its own, and a second derivative. */
static ad_var *of_sorted(int n, ad_var *const x[], void *data) {
    (void)n, (void)data;
    ad_var *y = ad_sort(x[0], 0, true);
    return ad_sum(ad_mul(ad_exp(y), ad_cumsum(y, 1)));
}

static void second_derivatives_of_sorted(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.3, -1, 2, 0.9, -0.4, 1.5 }, AD_SHAPE(3, 2));
    assert_int_equal(ad_gradgradcheck(of_sorted, NULL, 1, &x, NULL, NULL), AD_OK);
    assert_ok(g);
    ad_graph_free(g);
}

/* PyTorch 1.13: topk(x, 2, dim=1) and its smallest, where x has no ties among those taken. */
static void the_largest_and_smallest(void **state) {
    (void)state;
    const double x_values[] = { 3, 1, 2, -1, NAN, -INFINITY, 5, 4 };
    const struct {
        bool smallest;
        double y[4], index[4], dx[8];
    } cases[] = {
        { false, { 3, 2, NAN, 5 }, { 0, 2, 0, 2 }, { 1, 0, 2, 0, 3, 0, 4, 0 } },
        { true, { -1, 1, -INFINITY, 4 }, { 3, 1, 1, 3 }, { 0, 2, 0, 1, 0, 3, 0, 4 } },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, x_values, AD_SHAPE(2, 4)), *parts[2];
        assert_int_equal(ad_topk(x, -1, 2, cases[i].smallest, parts), AD_OK);
        assert_shape(parts[1], AD_SHAPE(2, 2));
        assert_true(!ad_requires_grad(parts[1]));
        ad_backward(ad_sum(ad_mul(parts[0], ad_reshape(ad_arange(g, AD_F64, 1, 5, 1), AD_SHAPE(2, 2)))));
        assert_ok(g);
        for (int k = 0; k < 4; k++) {
            assert_close(ad_at(parts[0], k), cases[i].y[k], 0);
            assert_close(ad_at(parts[1], k), cases[i].index[k], 0);
        }
        for (int k = 0; k < 8; k++) assert_close(ad_grad_at(x, k), cases[i].dx[k], 0);
        ad_graph_free(g);
    }
}

/* What selects one element of each row of x = [[3,1,2,7],[5,5,-1,4],[2,nan,0,nan]]; dx is the gradient of
   sum(y * [1,2,..]), by PyTorch 1.13. */
typedef struct {
    const char *name;
    enum { KTHVALUE, MEDIAN, QUANTILE } what;
    int axis;
    int64_t k;
    double q;
    ad_interpolation how;
    bool keepdims;
    ad_shape shape;
    double y[4], dx[12];
} selection;

static const selection selections[] = {
    { "kthvalue", KTHVALUE, 1, 2, 0, AD_LINEAR, false, { 1, { 3 } }, { 2, 4, 2 }, { 0, 0, 1, 0, 0, 0, 0, 2, 3 } },
    { "kthvalue kept",
      KTHVALUE,
      -2,
      3,
      0,
      AD_LINEAR,
      true,
      { 2, { 1, 4 } },
      { 5, NAN, 2, NAN },
      { 0, 0, 3, 0, 1, 0, 0, 0, 0, 2, 0, 4 } },
    { "median",
      MEDIAN,
      1,
      0,
      0,
      AD_LINEAR,
      false,
      { 1, { 3 } },
      { 2, 4, NAN },
      { 0, 0, 1, 0, 0, 0, 0, 2, 0, 3, 0, 0 } },
    { "median kept",
      MEDIAN,
      0,
      0,
      0,
      AD_LINEAR,
      true,
      { 2, { 1, 4 } },
      { 3, NAN, 0, NAN },
      { 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 4 } },
    { "lowest",
      QUANTILE,
      1,
      0,
      0,
      AD_LINEAR,
      false,
      { 1, { 3 } },
      { 1, -1, NAN },
      { 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3 } },
    { "highest",
      QUANTILE,
      1,
      0,
      1,
      AD_LINEAR,
      false,
      { 1, { 3 } },
      { 7, 5, NAN },
      { 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3 } },
    { "linear 0.3",
      QUANTILE,
      -1,
      0,
      0.3,
      AD_LINEAR,
      false,
      { 1, { 3 } },
      { 1.9, 3.5, NAN },
      { 0, 0.1, 0.9, 0, 0, 0, 0.2, 1.8, 0, 0, 0, 3 } },
    { "linear 0.5",
      QUANTILE,
      1,
      0,
      0.5,
      AD_LINEAR,
      true,
      { 2, { 3, 1 } },
      { 2.5, 4.5, NAN },
      { 0.5, 0, 0.5, 0, 1, 0, 0, 1, 0, 0, 0, 3 } },
    { "linear 0.25",
      QUANTILE,
      0,
      0,
      0.25,
      AD_LINEAR,
      true,
      { 2, { 1, 4 } },
      { 2.5, NAN, -0.5, NAN },
      { 0.5, 0, 0, 0, 0, 0, 1.5, 0, 0.5, 2, 1.5, 4 } },
    { "lower",
      QUANTILE,
      1,
      0,
      0.3,
      AD_LOWER,
      false,
      { 1, { 3 } },
      { 1, -1, NAN },
      { 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3 } },
    { "higher",
      QUANTILE,
      1,
      0,
      0.5,
      AD_HIGHER,
      false,
      { 1, { 3 } },
      { 3, 5, NAN },
      { 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3 } },
    { "midpoint",
      QUANTILE,
      1,
      0,
      0.3,
      AD_MIDPOINT,
      false,
      { 1, { 3 } },
      { 1.5, 1.5, NAN },
      { 0, 0.5, 0.5, 0, 0, 0, 1, 1, 0, 0, 0, 3 } },
    { "nearest, a half",
      QUANTILE,
      1,
      0,
      0.5,
      AD_NEAREST,
      false,
      { 1, { 3 } },
      { 3, 5, NAN },
      { 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3 } },
    { "nearest",
      QUANTILE,
      1,
      0,
      0.3,
      AD_NEAREST,
      false,
      { 1, { 3 } },
      { 2, 4, NAN },
      { 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 3 } },
};

static ad_var *selected(const selection *s, ad_var *x) {
    if (s->what == KTHVALUE) return ad_kthvalue(x, s->axis, s->k, s->keepdims);
    if (s->what == MEDIAN) return ad_median_axis(x, s->axis, s->keepdims);
    return ad_quantile_axis(x, s->axis, s->q, s->how, s->keepdims);
}

static void check_selection(const selection *s, ad_dtype t) {
    const double tol = t == AD_F32 ? 1e-6 : 1e-14;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_of(g, t, (double[]){ 3, 1, 2, 7, 5, 5, -1, 4, 2, NAN, 0, NAN }, AD_SHAPE(3, 4));
    ad_var *y = selected(s, x), *w = ad_arange(g, t, 1, 1 + (double)ad_numel(y), 1), *dx = NULL;
    assert_ok(g);
    assert_shape(y, s->shape);
    ad_var *loss = ad_sum(ad_mul(y, ad_reshape(w, s->shape)));
    ad_gradient(loss, 1, &x, &dx);
    ad_backward(loss);
    assert_ok(g);
    for (int k = 0; k < ad_numel(y); k++) assert_close_in(s->name, ad_at(y, k), s->y[k], tol);
    for (int k = 0; k < 12; k++) {
        assert_close_in(s->name, ad_grad_at(x, k), s->dx[k], tol);
        assert_close_in(s->name, ad_at(dx, k), s->dx[k], tol);
    }
    ad_graph_free(g);
}

static void selected_as_in_pytorch(void **state) {
    (void)state;
    for (int i = 0; i < COUNT(selections); i++)
        for (int t = AD_F32; t <= AD_F64; t++) check_selection(&selections[i], (ad_dtype)t);
}

/* PyTorch 1.13. It has NaN for the quantiles 0 and 1 of the infinite elements, which we select without arithmetic. */
static void over_all_elements_and_infinities(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 3, 1, 2, 7, 5, 5, -1, 4 }, AD_SHAPE(2, 4)), *y = ad_median(x);
    assert_close(ad_item(y), 3, 0);
    assert_close(ad_item(ad_quantile(x, 0.4, AD_LINEAR)), 2.8, 1e-15);
    assert_shape(y, AD_SCALAR);
    assert_shape(ad_quantile(x, 0.4, AD_LINEAR), AD_SCALAR);
    assert_close(ad_item(ad_median(ad_sqrt(x))), NAN, 0);
    assert_close(ad_item(ad_median(ad_scalar(g, AD_F64, 5))), 5, 0);
    ad_backward(y);
    for (int k = 0; k < 8; k++) assert_close(ad_grad_at(x, k), k == 0, 0);
    ad_var *z = ad_tensor(g, AD_F64, (double[]){ -INFINITY, 1, INFINITY, 2 }, AD_SHAPE(4));
    const double q[] = { 0, 0.3, 0.5, 0.9, 1 }, want[] = { -INFINITY, -INFINITY, 1.5, NAN, INFINITY };
    for (int k = 0; k < 5; k++) assert_close(ad_item(ad_quantile(z, q[k], AD_LINEAR)), want[k], 1e-15);
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- searchsorted against counting ----------------------------------------------------------------------------- */

static void places_in_sorted_rows(void **state) {
    (void)state;
    enum { ROWS = 3, N = 37, M = 11 };
    uint64_t seed = 11;
    for (int k = 0; k < 4; k++) {
        ad_dtype t = k & 1 ? AD_F64 : AD_F32;
        ad_graph *g = ad_graph_new();
        double x[ROWS * N], v[ROWS * M];
        for (int i = 0; i < ROWS * N; i++) x[i] = floor(next_between(&seed, -9, 9));
        for (int i = 0; i < ROWS * M; i++) v[i] = floor(next_between(&seed, -10, 10));
        ad_var *sorted = ad_sort(param_of(g, t, x, AD_SHAPE(ROWS, N)), -1, false);
        ad_var *y = ad_searchsorted(sorted, param_of(g, t, v, AD_SHAPE(ROWS, M)), k & 2);
        assert_ok(g);
        assert_true(!ad_requires_grad(y));
        for (int i = 0; i < ROWS * M; i++) {
            int count = 0;
            for (int j = 0; j < N; j++) count += k & 2 ? x[i / M * N + j] <= v[i] : x[i / M * N + j] < v[i];
            assert_close(ad_at(y, i), count, 0);
        }
        ad_graph_free(g);
    }
}

/* ---- unique, by NumPy 1.24 with equal_nan=False, as PyTorch 1.13 counts no NaN ------------------------------- */

static void distinct_elements_and_counts(void **state) {
    (void)state;
    const double values[] = { 3, NAN, 1, 3, -0.0, 0, NAN, 3 }, distinct[] = { 0, 1, 3, NAN, NAN };
    const int counts[] = { 2, 1, 3, 1, 1 };
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, (ad_dtype)t, values, AD_SHAPE(2, 4)), *parts[2];
        assert_int_equal(ad_unique(x, parts), AD_OK);
        assert_shape(parts[0], AD_SHAPE(5));
        assert_shape(parts[1], AD_SHAPE(5));
        assert_true(!ad_requires_grad(parts[0]) && !ad_requires_grad(parts[1]));
        for (int k = 0; k < 5; k++) {
            assert_close(ad_at(parts[0], k), distinct[k], 0);
            assert_close(ad_at(parts[1], k), counts[k], 0);
        }
        assert_int_equal(ad_unique(ad_zeros(g, (ad_dtype)t, AD_SHAPE(0, 3)), parts), AD_OK);
        assert_shape(parts[0], AD_SHAPE(0));
        assert_shape(parts[1], AD_SHAPE(0));
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void another_number_of_distinct_elements_is_an_error(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2, 1, 2 }, AD_SHAPE(3)), *parts[2];
    assert_int_equal(ad_unique(x, parts), AD_OK);
    set_all(x, (double[]){ 5, 5, 7 });
    assert_int_equal(ad_eval(parts[1]), AD_OK);
    assert_close(ad_at(parts[1], 0), 2, 0);
    set_all(x, (double[]){ 5, 6, 7 });
    assert_int_equal(ad_eval(parts[0]), AD_EVALUE);
    assert_contains(ad_error(g), "run_starts: [3]: there are 3 runs of equal elements, not 2");
    ad_clear_error(g);
    assert_int_equal(ad_unique(x, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "unique: [3]: parts must not be NULL");
    ad_clear_error(g);
    assert_fails(g, ad_run_starts(x, 4), AD_EVALUE, "4 runs of 3 elements");
    assert_fails(g, ad_run_starts(ad_ones(g, AD_F64, AD_SHAPE(2, 2)), 1), AD_ESHAPE, "x must have one axis");
    assert_true(ad_unique(NULL, parts) < 0 && ad_is_nil(parts[0]) && ad_is_nil(parts[1]));
    ad_graph_free(g);
}

/* ---- evaluating again, threads, errors -------------------------------------------------------------------------- */

static void another_order_after_ad_eval(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2, 1 }, AD_SHAPE(2)), *y = ad_select(ad_sort(x, 0, false), 0, 0);
    assert_close(ad_item(y), 1, 0);
    set_all(x, (double[]){ -3, 1 });
    ad_eval(y);
    ad_backward(y);
    assert_ok(g);
    assert_close(ad_item(y), -3, 0);
    assert_close(ad_grad_at(x, 0), 1, 0);
    assert_close(ad_grad_at(x, 1), 0, 0);
    ad_graph_free(g);
}

static void threads_give_the_same_order(void **state) {
    (void)state;
    double *order[2];
    const int64_t shape[] = { 7, 300, 20 }, n = shape[0] * shape[1] * shape[2];
    for (int k = 0; k < 2; k++) {
        ad_graph *g = ad_graph_new();
        if (k) ad_set_threads(g, 3);
        ad_var *x = ad_sin(ad_arange(g, AD_F64, 0, (double)n, 1));
        ad_var *y = ad_argsort(ad_reshape(x, AD_SHAPE(shape[0], shape[1], shape[2])), 1, k < 0);
        assert_ok(g);
        order[k] = malloc((size_t)n * sizeof(double));
        assert_non_null(order[k]);
        memcpy(order[k], ad_data(y), (size_t)n * sizeof(double));
        ad_graph_free(g);
    }
    assert_memory_equal(order[0], order[1], (size_t)n * sizeof(double));
    free(order[0]), free(order[1]);
}

static void failures_are_sentences(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F32, AD_SHAPE(2, 3)), *s = ad_scalar(g, AD_F32, 1), *parts[2];
    assert_fails(g, ad_argsort(x, 2, false), AD_ESHAPE, "argsort: [2,3]: axis 2");
    assert_fails(g, ad_sort(s, 0, false), AD_ESHAPE, "sort: []: axis 0 of a scalar");
    assert_int_equal(ad_topk(x, 1, 4, false, parts), AD_EVALUE);
    assert_fails(g, parts[0], AD_EVALUE, "topk: [2,3]: k is 4, not one of 0..3, the size of axis 1");
    assert_int_equal(ad_topk(x, 1, -1, false, parts), AD_EVALUE);
    assert_fails(g, parts[1], AD_EVALUE, "k is -1");
    assert_int_equal(ad_topk(x, 1, 1, false, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "parts must not be NULL");
    ad_clear_error(g);
    ad_var *none = ad_zeros(g, AD_F32, AD_SHAPE(2, 0));
    assert_fails(g, ad_kthvalue(x, 1, 0, false), AD_EVALUE, "kthvalue: [2,3]: k is 0, not one of 1..3");
    assert_fails(g, ad_kthvalue(x, 0, 3, true), AD_EVALUE, "k is 3, not one of 1..2, the size of axis 0");
    assert_fails(g, ad_median_axis(none, 1, true), AD_ESHAPE, "median: [2,0]: no elements to take the median of");
    assert_fails(g, ad_median(none), AD_ESHAPE, "no elements to take the median of");
    assert_fails(g, ad_quantile(x, 1.5, AD_LINEAR), AD_EVALUE, "q is 1.5, not a number of 0..1");
    assert_fails(g, ad_quantile_axis(x, 1, NAN, AD_LINEAR, false), AD_EVALUE, "quantile: [2,3]: q is nan");
    assert_fails(g, ad_quantile_axis(x, 3, 0, AD_LINEAR, false), AD_ESHAPE, "quantile: [2,3]: axis 3");
    assert_fails(g, ad_quantile(x, 1, (ad_interpolation)5), AD_EVALUE, "interpolation 5 is none of ad_interpolation");
    assert_fails(g, ad_searchsorted(s, x, false), AD_ESHAPE, "searchsorted: [] x [2,3]: axis -1 of a scalar");
    assert_fails(g, ad_searchsorted(x, ad_transpose(x), false), AD_ESHAPE, "sorted must be [n], or have values' sizes");
    assert_fails(g, ad_searchsorted(x, s, false), AD_ESHAPE, "except along the last axis");
    assert_true(ad_topk(NULL, 0, 1, false, parts) < 0 && ad_is_nil(parts[0]) && ad_is_nil(ad_sort(NULL, 0, false)));
    ad_graph_free(g);
}

/* f32 cannot represent every index above 2^24. */
static void index_too_large_for_f32_is_reported(void **state) {
    (void)state;
    int64_t n = ((int64_t)1 << 24) + 1;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_zeros(g, AD_F32, AD_SHAPE(n)), *parts[2];
    assert_ok(g);
    assert_fails(g, ad_argsort(x, 0, false), AD_ESHAPE, "argsort: [16777217]: f32 holds no index above 16777216");
    assert_fails(g, ad_sort(x, 0, false), AD_ESHAPE, "sort: [16777217]: f32 holds no index above 16777216");
    assert_int_equal(ad_topk(x, 0, 1, false, parts), AD_ESHAPE);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_every_length_are_ordered),
        cmocka_unit_test(sorted_as_in_pytorch),
        cmocka_unit_test(second_derivatives_of_sorted),
        cmocka_unit_test(the_largest_and_smallest),
        cmocka_unit_test(selected_as_in_pytorch),
        cmocka_unit_test(over_all_elements_and_infinities),
        cmocka_unit_test(places_in_sorted_rows),
        cmocka_unit_test(distinct_elements_and_counts),
        cmocka_unit_test(another_number_of_distinct_elements_is_an_error),
        cmocka_unit_test(another_order_after_ad_eval),
        cmocka_unit_test(threads_give_the_same_order),
        cmocka_unit_test(failures_are_sentences),
        cmocka_unit_test(index_too_large_for_f32_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
