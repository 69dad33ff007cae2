/* test_ops_reductions.c: reductions, running sums: axes, special points, accuracy, second derivatives, bad operands. */
#include "tests/second.h"

static void assert_exact_grads(const ad_var *x, const double *want, const char *name) {
    for (int64_t i = 0; i < ad_numel(x); i++) assert_within(ad_grad_at(x, i), want[i], 1e-14, name);
}

/* ---- every set of axes, against plain indexing -------------------------------------------------------------- */

enum { NDIM = 4, N = 3 * 2 * 4 * 2 };
static const ad_shape box = { NDIM, { 3, 2, 4, 2 } };

/* Copies the elements of one segment of x to row, in order. Returns their number. */
static int gather_segment(const double *x, unsigned mask, int segment, double *row) {
    int n = 0;
    for (int flat = 0; flat < N; flat++) {
        int rest = flat, own = 0, step = 1;
        for (int a = NDIM - 1; a >= 0; a--) {
            int index = rest % (int)box.dim[a];
            rest /= (int)box.dim[a];
            if (mask >> a & 1) continue;
            own += index * step;
            step *= (int)box.dim[a];
        }
        if (own == segment) row[n++] = x[flat];
    }
    return n;
}

typedef struct {
    double sum, product, largest, smallest, variance, norm3, lse, nonzero;
} reference;

static reference reference_of(int n, const double *row) {
    reference f = { .product = 1, .largest = row[0], .smallest = row[0] };
    double power = 0, exps = 0;
    for (int i = 0; i < n; i++) {
        f.sum += row[i], f.product *= row[i], f.nonzero += row[i] != 0;
        power += pow(fabs(row[i]), 3), exps += exp(row[i]);
        f.largest = fmax(f.largest, row[i]), f.smallest = fmin(f.smallest, row[i]);
    }
    for (int i = 0; i < n; i++) f.variance += (row[i] - f.sum / n) * (row[i] - f.sum / n) / n;
    f.norm3 = cbrt(power), f.lse = log(exps);
    return f;
}

static void reductions_over_every_set_of_axes(void **state) {
    (void)state;
    double x[N], row[N];
    for (int i = 0; i < N; i++) x[i] = i % 7 == 3 ? 0 : sin(3 * i);
    for (unsigned mask = 1; mask < 1u << NDIM; mask++) {
        ad_graph *g = ad_graph_new();
        ad_var *v = ad_tensor(g, AD_F64, x, box);
        int axes[NDIM], n = 0;
        for (int a = NDIM - 1; a >= 0; a--)
            if (mask >> a & 1) axes[n++] = a % 2 ? a - NDIM : a;
        ad_var *ys[] = { ad_sum_axes(v, n, axes, false),           ad_prod_axes(v, n, axes, true),
                         ad_max_axes(v, n, axes, false),           ad_min_axes(v, n, axes, true),
                         ad_variance_axes(v, n, axes, 0, false),   ad_norm_axes(v, n, axes, 3, true),
                         ad_logsumexp_axes(v, n, axes, false),     ad_count_nonzero_axes(v, n, axes, true),
                         ad_mean_axes(v, n, axes, false),          ad_std_axes(v, n, axes, 0, false),
                         ad_any_axes(v, n, axes, false),           ad_all_axes(v, n, axes, true),
                         ad_nansum_axes(v, n, axes, false) };
        for (int segment = 0; segment < ad_numel(ys[0]); segment++) {
            int each = gather_segment(x, mask, segment, row);
            reference f = reference_of(each, row);
            double want[] = { f.sum,   f.product, f.largest, f.smallest,   f.variance,
                              f.norm3, f.lse,     f.nonzero, f.sum / each, sqrt(f.variance),
                              f.nonzero > 0, f.nonzero == each, f.sum };
            for (int k = 0; k < COUNT(ys); k++)
                assert_true(fabs(ad_at(ys[k], segment) - want[k]) <= 1e-13 * fmax(1, fabs(want[k])));
        }
        assert_ok(g);
        assert_int_equal(ad_shape_of(ys[0]).ndim, NDIM - n);
        assert_int_equal(ad_shape_of(ys[1]).ndim, NDIM);
        ad_graph_free(g);
    }
}

static void no_axes_means_all_axes(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3));
    assert_true(ad_item(ad_sum_axes(x, 0, NULL, false)) == 6); /* torch.sum(x, dim=[]) */
    assert_true(ad_item(ad_sum_axes(x, 0, (int[]){ 1 }, false)) == 6);
    assert_true(ad_shape_equal(ad_shape_of(ad_prod_axes(x, -1, NULL, true)), AD_SHAPE(1, 1)));
    ad_graph_free(g);
}

/* Reductions over axis 1 of [2,3] by both calls, and over all elements. */
static void reductions_over_one_axis_and_over_all(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ 1, 2, 4, 3, 3, 6 }, AD_SHAPE(2, 3));
    const int axis[] = { -1 };
    ad_var *const pairs[][2] = {
        { ad_variance_axis(x, 1, 1, false), ad_variance_axes(x, 1, axis, 1, false) },
        { ad_std_axis(x, 1, 0, false), ad_std_axes(x, 1, axis, 0, false) },
        { ad_norm_axis(x, 1, 1, false), ad_norm_axes(x, 1, axis, 1, false) },
        { ad_logsumexp_axis(x, 1, false), ad_logsumexp_axes(x, 1, axis, false) },
    };
    const double want[][2] = { { 7.0 / 3, 3 }, { sqrt(14.0 / 9), sqrt(2) }, { 7, 12 },
                               { log(exp(1) + exp(2) + exp(4)), log(2 * exp(3) + exp(6)) } };
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) {
            assert_close(ad_at(pairs[i][0], k), want[i][k], 1e-14);
            assert_true(ad_at(pairs[i][1], k) == ad_at(pairs[i][0], k));
        }
    assert_true(ad_shape_equal(ad_shape_of(ad_norm_axis(x, 0, 2, true)), AD_SHAPE(1, 3)));
    assert_close(ad_item(ad_variance(x, 1)), 89.0 / 30, 1e-14);
    assert_close(ad_item(ad_std(x, 0)), sqrt(89.0 / 36), 1e-14);
    assert_close(ad_item(ad_logsumexp(x)), log(exp(1) + exp(2) + exp(4) + 2 * exp(3) + exp(6)), 1e-14);
    ad_graph_free(g);
}

/* ---- special points: values of PyTorch 1.13 ---------------------------------------------------------------------- */

static ad_var *norm_half(ad_var *x) { return ad_norm(x, 0.5); }
static ad_var *norm0(ad_var *x) { return ad_norm(x, 0); }
static ad_var *norm1(ad_var *x) { return ad_norm(x, 1); }
static ad_var *norm2(ad_var *x) { return ad_norm(x, 2); }
static ad_var *norm3(ad_var *x) { return ad_norm(x, 3); }
static ad_var *norm_most(ad_var *x) { return ad_norm(x, INFINITY); }
static ad_var *norm_least(ad_var *x) { return ad_norm(x, -INFINITY); }
static ad_var *norm_minus(ad_var *x) { return ad_norm(x, -1); }
static ad_var *variance1(ad_var *x) { return ad_variance(x, 1); }
static ad_var *variance5(ad_var *x) { return ad_variance(x, 5); }
static ad_var *std1(ad_var *x) { return ad_std(x, 1); }
static ad_var *all_of(ad_var *x) { return ad_all(ad_require_grad(x)); }

static void reductions_at_special_points(void **state) {
    (void)state;
    const struct {
        const char *name;
        ad_var *(*f)(ad_var *);
        double x[3], y, dx[3];
    } points[] = {
        { "prod, no zero", ad_prod, { 2, -3, 4 }, -24, { -12, 8, -6 } },
        { "prod, one zero", ad_prod, { 1, 0, 3 }, 0, { 0, 3, 0 } },
        { "prod, two zeros", ad_prod, { 0, 0, 2 }, 0, { 0, 0, 0 } },
        { "variance", variance1, { 1, 0, 3 }, 7.0 / 3, { -1.0 / 3, -4.0 / 3, 5.0 / 3 } },
        { "std", std1, { 0, 0, 2 }, 1.1547005383792517,
          { -0.28867513459481281, -0.28867513459481281, 0.57735026918962573 } },
        { "std of equal elements", std1, { 0.1, 0.1, 0.1 }, 0, { 0, 0, 0 } },
        { "variance, n < correction", variance5, { 2, 5, 1 }, INFINITY, { -INFINITY, INFINITY, -INFINITY } },
        { "norm 2", norm2, { 3, 0, -4 }, 5, { 0.6, 0, -0.8 } },
        { "norm 2 at 0", norm2, { 0, 0, 0 }, 0, { 0, 0, 0 } },
        { "norm 1 at 0", norm1, { 0, 0, -2 }, 2, { 0, 0, -1 } },
        { "norm 3 at 0", norm3, { 0, 0, 0 }, 0, { 0, 0, 0 } },
        { "norm 3", norm3, { 3, 3, 0 }, 3.7797631496846193, { 0.62996052494743658, 0.62996052494743658, 0 } },
        { "norm 0.5", norm_half, { 1, 0, 3 }, 7.4641016151377553, { 2.7320508075688776, 0, 1.5773502691896259 } },
        { "norm inf", norm_most, { -3, 3, 3 }, 3, { -1.0 / 3, 1.0 / 3, 1.0 / 3 } },
        { "norm inf at 0", norm_most, { 0, 0, 0 }, 0, { 0, 0, 0 } },
        { "norm -inf", norm_least, { 1, 2, -1 }, 1, { 0.5, 0, -0.5 } },
        { "norm 0", norm0, { 1, 0, 3 }, 2, { 0, 0, 0 } },
        { "norm -1 with a zero", norm_minus, { 1, 0, 3 }, 0, { 0, 0, 0 } },
        { "norm 2 of large (PyTorch overflows)", norm2, { 3e200, 0, -4e200 }, 5e200, { 0.6, 0, -0.8 } },
        { "norm 3 of small (PyTorch underflows)", norm3, { 3e-200, 3e-200, 0 }, 3.7797631496846193e-200,
          { 0.62996052494743658, 0.62996052494743658, 0 } },
        { "std of large", std1, { 1e200, 3e200, 2e200 }, 1e200, { -0.5, 0.5, 0 } },
        { "logsumexp, one -inf", ad_logsumexp, { -INFINITY, 0, 0 }, 0.69314718055994531, { 0, 0.5, 0.5 } },
        { "logsumexp of large (PyTorch's gradients are 1)", ad_logsumexp, { 1e200, 1e200, 0 }, 1e200,
          { 0.5, 0.5, 0 } },
        { "max, tie", ad_max, { 1, 3, 3 }, 3, { 0, 0.5, 0.5 } },
    };
    for (int i = 0; i < COUNT(points); i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_param(g, AD_F64, points[i].x, AD_SHAPE(3)), *y = points[i].f(x);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_within(ad_item(y), points[i].y, 1e-14, points[i].name);
        assert_exact_grads(x, points[i].dx, points[i].name);
        ad_graph_free(g);
    }
}

static void reductions_of_empty_arrays_and_scalars(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *none = ad_param(g, AD_F64, NULL, AD_SHAPE(0)), *one = param_item(g, AD_F64, 2);
    assert_true(ad_item(ad_prod(none)) == 1 && ad_item(ad_norm(none, 2)) == 0 && ad_item(ad_count_nonzero(none)) == 0);
    assert_true(ad_item(ad_logsumexp(none)) == -INFINITY);
    assert_true(isnan(ad_item(ad_variance(none, 1))) && isnan(ad_item(ad_std(none, 1))) && isnan(ad_item(ad_variance(one, 1))));
    assert_true(ad_item(ad_any(none)) == 0 && ad_item(ad_all(none)) == 1);
    assert_true(ad_item(ad_variance(one, 0)) == 0 && ad_item(ad_norm(one, 3)) == 2);
    assert_int_equal(ad_backward(ad_add(ad_prod(none), ad_norm(one, 3))), AD_OK);
    assert_ok(g);
    ad_graph_free(g);
}

static void argmax_and_argmin(void **state) {
    (void)state;
    for (int t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param_of(g, (ad_dtype)t, (double[]){ 1, 5, 5, -2, NAN, -2 }, AD_SHAPE(2, 3));
        ad_var *rows = ad_argmax_axis(x, 1, false), *lowest = ad_argmin_axis(x, 1, true);
        ad_var *columns = ad_argmin_axis(x, 0, false);
        assert_true(ad_at(rows, 0) == 1 && ad_at(rows, 1) == 1); /* row 0 has a tie, row 1 a NaN */
        assert_true(ad_at(lowest, 0) == 0 && ad_at(lowest, 1) == 1);
        assert_true(ad_at(columns, 0) == 1 && ad_at(columns, 1) == 1 && ad_at(columns, 2) == 1);
        assert_true(ad_item(ad_argmax(x)) == 4 && ad_item(ad_argmin(x)) == 4);
        assert_true(ad_item(ad_argmax(ad_param(g, AD_F64, (double[]){ -INFINITY, -INFINITY }, AD_SHAPE(2)))) == 0);
        assert_false(ad_requires_grad(rows));
        assert_true(ad_shape_equal(ad_shape_of(lowest), AD_SHAPE(2, 1)));
        ad_graph_free(g);
    }
}

static void count_nonzero_any_and_all(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_tensor(g, AD_F64, (double[]){ 0, NAN, -0.0, 2, 1, 3 }, AD_SHAPE(2, 3));
    const double by_row[] = { 1, 3 }, any[] = { 1, 1, 1 }, all[] = { 0, 1, 0 };
    for (int i = 0; i < 2; i++) assert_true(ad_at(ad_count_nonzero_axis(x, 1, false), i) == by_row[i]);
    for (int i = 0; i < 3; i++) assert_true(ad_at(ad_any_axis(x, 0, false), i) == any[i]);
    for (int i = 0; i < 3; i++) assert_true(ad_at(ad_all_axis(x, 0, false), i) == all[i]);
    assert_true(ad_item(ad_count_nonzero(x)) == 4 && ad_item(ad_any(x)) == 1 && ad_item(ad_all(x)) == 0);
    assert_false(ad_requires_grad(all_of(ad_param(g, AD_F64, NULL, AD_SHAPE(2)))));
    ad_graph_free(g);
}

/* ---- running sums ------------------------------------------------------------------------------- */

static void cumprod_with_zeros(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 0, 3, 2, 0, 4 }, AD_SHAPE(2, 3));
    ad_backward(ad_sum(ad_cumprod(x, 1)));
    /* torch.cumprod */
    assert_exact_grads(x, (double[]){ 1, 4, 0, 1, 10, 0 }, "cumprod");
    ad_graph_free(g);
}

static void cumsum_values_and_gradients(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4, 5, 6 }, AD_SHAPE(2, 3));
    ad_var *y = ad_cumsum(x, 0), *z = ad_cumsum(x, -1);
    const double down[] = { 1, 2, 3, 5, 7, 9 }, along[] = { 1, 3, 6, 4, 9, 15 };
    for (int i = 0; i < 6; i++) assert_true(ad_at(y, i) == down[i] && ad_at(z, i) == along[i]);
    ad_backward(ad_sum(z));
    assert_exact_grads(x, (double[]){ 3, 2, 1, 3, 2, 1 }, "cumsum");
    ad_graph_free(g);
}

/* y[i] = h[i-1] with h[i] = a[i] h[i-1] + b[i], forwards and backwards. With a = 0.5, h is a discounted sum. */
static void linear_recurrence(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_full(g, AD_F64, 0.5, AD_SHAPE(3)), *b = ad_param(g, AD_F64, (double[]){ 1, 2, 4 }, AD_SHAPE(3));
    ad_var *y = ad_linear_scan(a, b, 0, false, 8), *z = ad_linear_scan(a, b, 0, true, 8);
    ad_var *v = ad_linear_scan(a, NULL, 0, false, 8);
    const double forwards[] = { 8, 5, 4.5 }, backwards[] = { 6, 8, 8 }, alone[] = { 8, 4, 2 };
    for (int i = 0; i < 3; i++)
        assert_true(ad_at(y, i) == forwards[i] && ad_at(z, i) == backwards[i] && ad_at(v, i) == alone[i]);
    ad_backward(ad_sum(y));
    assert_exact_grads(b, (double[]){ 1.5, 1, 0 }, "linear_scan");
    ad_graph_free(g);
}

/* ---- accuracy ----------------------------------------------------------------------------------- */

static void long_f32_reductions_are_accurate(void **state) {
    (void)state;
    int64_t n = test_quick() ? 20000 : 4000000;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F32, 0.1, AD_SHAPE(n, 2));
    double v = (double)0.1f;
    assert_within(ad_item(ad_norm(x, 1)), 2 * v * (double)n, 1e-7, "norm 1");
    assert_within(ad_item(ad_norm(x, 2)), v * sqrt(2 * (double)n), 1e-7, "norm 2");
    assert_within(ad_at(ad_norm_axis(x, 0, 2, false), 1), v * sqrt((double)n), 1e-7, "norm 2 of columns");
    assert_within(ad_at(ad_cumsum(x, 0), 2 * n - 1), v * (double)n, 1e-7, "cumsum");
    assert_true(ad_item(ad_variance(x, 1)) == 0);
    ad_graph_free(g);
}

static void variance_with_a_large_mean(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1e15, 1e15 + 1, 1e15 + 3 }, AD_SHAPE(3)), *y = ad_variance(x, 1);
    assert_within(ad_item(y), 7.0 / 3, 1e-15, "variance");
    ad_backward(y);
    assert_exact_grads(x, (double[]){ -4.0 / 3, -1.0 / 3, 5.0 / 3 }, "variance");
    ad_graph_free(g);
}

/* ---- second derivatives ------------------------------------------------------------------------- */

static void second_derivatives(void **state) {
    (void)state;
    static const char *const names[] = { "sum",    "mean",      "max",  "variance", "std",     "norm",
                                         "logsumexp", "prod", "cumsum",   "cumprod", "linear_scan" };
    for (int i = 0; i < COUNT(names); i++) check_second_derivatives(names[i]);
}

/* d2 (xyz) / dx dy = z at x = y = 0. A rule that divides the product by x would give NaN. */
static void second_derivative_of_prod_at_zeros(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0, 0, 5 }, AD_SHAPE(3)), *dx;
    assert_int_equal(ad_gradient(ad_prod(x), 1, &x, &dx), AD_OK);
    ad_backward_from(dx, ad_tensor(g, AD_F64, (double[]){ 1, 0, 0 }, AD_SHAPE(3)));
    assert_exact_grads(x, (double[]){ 0, 5, 0 }, "row of the Hessian");
    ad_graph_free(g);
}

/* ---- ad_eval, aliasing -------------------------------------------------------------------------- */

static void eval_updates_reductions(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, 2, 4 }, AD_SHAPE(3));
    ad_var *y = ad_add(ad_variance(x, 1), ad_add(ad_prod(x), ad_add(ad_norm(x, 2), ad_logsumexp(x))));
    ad_set(x, (double[]){ 3, 0, -4 });
    ad_eval(y);
    ad_backward(y);
    double at = ad_item(y), slope = ad_grad_at(x, 1);
    ad_var *z = ad_param(g, AD_F64, (double[]){ 3, 0, -4 }, AD_SHAPE(3));
    ad_var *v = ad_add(ad_variance(z, 1), ad_add(ad_prod(z), ad_add(ad_norm(z, 2), ad_logsumexp(z))));
    ad_backward(v);
    assert_true(ad_item(v) == at && ad_grad_at(z, 1) == slope);
    ad_graph_free(g);
}

static void one_var_as_both_operands(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2, 3 }, AD_SHAPE(2)), *y = ad_linear_scan(x, x, 0, false, 1);
    ad_backward(ad_sum(y)); /* y = { 1, 2 x[0] } */
    assert_exact_grads(x, (double[]){ 2, 0 }, "linear_scan");
    ad_graph_free(g);
}

/* ---- bad operands ------------------------------------------------------------------------------- */

static void bad_operands_are_reported(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_zeros(g, AD_F64, AD_SHAPE(2, 3)), *s = ad_zeros(g, AD_F64, AD_SCALAR);
    assert_fails(g, ad_prod_axis(a, 2, false), AD_ESHAPE, "prod: [2,3]: axis 2 is not in -2..1");
    assert_fails(g, ad_norm_axes(a, 2, (int[]){ 0, -2 }, 2, false), AD_ESHAPE, "norm: [2,3]: axis 0 is named twice");
    assert_fails(g, ad_variance_axes(a, 7, (int[7]){ 0 }, 1, false), AD_ESHAPE, "variance: [2,3]: 7 axes given");
    assert_fails(g, ad_std_axis(s, 0, 1, false), AD_ESHAPE, "std: []: axis 0 of a scalar");
    assert_fails(g, ad_norm(a, NAN), AD_EVALUE, "norm: [2,3]: p must not be NaN");
    assert_fails(g, ad_logsumexp_axis(a, 5, true), AD_ESHAPE, "logsumexp: [2,3]: axis 5");
    assert_fails(g, ad_cumsum(s, 0), AD_ESHAPE, "cumsum: []: axis 0 of a scalar");
    assert_fails(g, ad_cumprod(a, -3), AD_ESHAPE, "cumprod: [2,3]: axis -3");
    assert_fails(g, ad_linear_scan(a, s, 0, false, 0), AD_ESHAPE,
                 "linear_scan: [2,3] x []: a and b must have the same shape");
    const struct {
        int axis;
        bool reverse;
        double init;
    } attrs = { 0 };
    assert_fails(g, ad_apply(&ad_op_linear_scan, 3, (ad_var *[]){ a, a, a }, &attrs), AD_EVALUE, "3 operands");
    assert_fails(g, ad_argmax(ad_zeros(g, AD_F64, AD_SHAPE(0))), AD_ESHAPE, "no elements to take the argmax of");
    ad_var *none = ad_zeros(g, AD_F64, AD_SHAPE(2, 0));
    assert_fails(g, ad_argmin_axis(none, 1, false), AD_ESHAPE, "argmin: [2,0]: no elements");
    assert_fails(g, ad_max_axes(ad_zeros(g, AD_F64, AD_SHAPE(2, 0)), 0, NULL, true), AD_ESHAPE, "no elements");
    assert_fails(g, ad_any_axis(a, 4, false), AD_ESHAPE, "axis 4");
    assert_fails(g, ad_all_axis(a, 4, false), AD_ESHAPE, "axis 4");
    assert_true(ad_is_nil(ad_count_nonzero(NULL)) && ad_is_nil(ad_linear_scan(NULL, NULL, 0, false, 0)));
    ad_graph_free(g);
}

/* f32 cannot represent every index above 2^24. */
static void index_too_large_for_f32_is_reported(void **state) {
    (void)state;
    int64_t n = ((int64_t)1 << 24) + 1;
    float *x = calloc((size_t)n, sizeof *x);
    ad_graph *g = ad_graph_new();
    if (x != NULL)
        assert_fails(g, ad_argmax(ad_input(g, AD_F32, x, AD_SHAPE(n))), AD_ESHAPE, "f32 holds no index above 16777216");
    ad_graph_free(g);
    free(x);
}

/* Values and gradients: PyTorch 1.13; but nanmean of NaN alone has gradient 0 and not NaN. */
static void sums_and_means_without_nan(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 1, NAN, 0.5, NAN, NAN, NAN }, AD_SHAPE(2, 3));
    ad_var *sums = ad_nansum_axis(x, -1, false), *means = ad_nanmean_axis(x, 0, true);
    assert_true(ad_shape_equal(ad_shape_of(means), AD_SHAPE(1, 3)));
    assert_true(ad_at(sums, 0) == 1.5 && ad_at(sums, 1) == 0);
    assert_true(ad_at(means, 0) == 1 && isnan(ad_at(means, 1)) && ad_at(means, 2) == 0.5);
    assert_true(ad_item(ad_nansum(x)) == 1.5 && ad_item(ad_nanmean_axes(x, 2, (int[]){ 0, 1 }, false)) == 0.75);
    ad_backward(ad_nansum(x));
    assert_exact_grads(x, (double[]){ 1, 0, 1, 0, 0, 0 }, "nansum");
    ad_zero_grad(x);
    ad_backward(ad_nanmean(x));
    assert_exact_grads(x, (double[]){ 0.5, 0, 0.5, 0, 0, 0 }, "nanmean");
    ad_zero_grad(x);
    ad_backward(ad_sum(ad_nanmean_axis(x, 1, false)));
    assert_exact_grads(x, (double[]){ 0.5, 0, 0.5, 0, 0, 0 }, "nanmean by rows");
    assert_true(ad_item(ad_nansum(ad_zeros(g, AD_F32, AD_SHAPE(0)))) == 0);
    assert_true(isnan(ad_item(ad_nanmean(ad_zeros(g, AD_F32, AD_SHAPE(0))))));
    assert_true(ad_is_nil(ad_nansum(NULL)) && ad_is_nil(ad_nanmean_axis(NULL, 0, false)));
    assert_ok(g);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_over_every_set_of_axes),
        cmocka_unit_test(no_axes_means_all_axes),
        cmocka_unit_test(reductions_over_one_axis_and_over_all),
        cmocka_unit_test(reductions_at_special_points),
        cmocka_unit_test(reductions_of_empty_arrays_and_scalars),
        cmocka_unit_test(argmax_and_argmin),
        cmocka_unit_test(count_nonzero_any_and_all),
        cmocka_unit_test(sums_and_means_without_nan),
        cmocka_unit_test(cumprod_with_zeros),
        cmocka_unit_test(cumsum_values_and_gradients),
        cmocka_unit_test(linear_recurrence),
        cmocka_unit_test(long_f32_reductions_are_accurate),
        cmocka_unit_test(variance_with_a_large_mean),
        cmocka_unit_test(second_derivatives),
        cmocka_unit_test(second_derivative_of_prod_at_zeros),
        cmocka_unit_test(eval_updates_reductions),
        cmocka_unit_test(one_var_as_both_operands),
        cmocka_unit_test(bad_operands_are_reported),
        cmocka_unit_test(index_too_large_for_f32_is_reported),
    };
    return cmocka_run_group_tests_name("reductions", tests, NULL, NULL);
}
