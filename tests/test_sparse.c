/* test_sparse.c: sparse Jacobians and Hessians beside dense ones: patterns of every op, colours, formats, errors. */
#include "autodiff/extend.h"
#include "ops/compile.h"
#include "ops/sparse.h"
#include "tests/common.h"

static const ad_sparse_opts plain = { .format = AD_COO };

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* The matrix as an array of doubles; *listed counts elements at each place. Free both. */
static double *dense_of(ad_graph *g, ad_sparse_plan *p, ad_sparse_opts o, int **listed) {
    assert_ok(g);
    int64_t n = ad_sparse_count(p), rows = ad_sparse_rows(p), columns = ad_sparse_columns(p);
    size_t room = (size_t)(n + rows + columns + 2);
    int32_t *i = malloc(room * sizeof *i), *j = malloc(room * sizeof *j), *row = malloc(room * sizeof *row);
    int32_t *column = malloc(room * sizeof *column);
    double *to = calloc((size_t)(rows * columns) + 1, sizeof *to);
    *listed = calloc((size_t)(rows * columns) + 1, sizeof **listed);
    assert_true(i && j && row && column && to && *listed);
    assert_int_equal(ad_sparse_index(p, i, j), AD_OK);
    for (int64_t k = 0; k < n; k++) row[k] = i[k] - o.base, column[k] = j[k] - o.base;
    for (int64_t r = 0; r < rows && o.format == AD_CSR; r++)
        for (int64_t k = i[r] - o.base; k < i[r + 1] - o.base; k++) row[k] = (int32_t)r;
    for (int64_t r = 0; r < columns && o.format == AD_CSC; r++)
        for (int64_t k = j[r] - o.base; k < j[r + 1] - o.base; k++) column[k] = (int32_t)r;
    assert_int_equal(ad_sparse_eval(p, NULL, NULL), AD_OK);
    for (int64_t k = 0; k < n; k++) {
        bool columns_first = o.format == AD_CSC;
        assert_in_range(row[k], 0, rows - 1);
        assert_in_range(column[k], 0, columns - 1);
        if (k > 0 && columns_first) assert_true(column[k] * rows + row[k] > column[k - 1] * rows + row[k - 1]);
        if (k > 0 && !columns_first) assert_true(row[k] * columns + column[k] > row[k - 1] * columns + column[k - 1]);
        to[row[k] * columns + column[k]] = ad_at(ad_sparse_values(p), k);
        (*listed)[row[k] * columns + column[k]]++;
    }
    free(i), free(j), free(row), free(column);
    return to;
}

static bool is_wanted(ad_sparse_triangle t, int64_t i, int64_t j) {
    return t == AD_TRIANGLE_BOTH || (t == AD_TRIANGLE_LOWER ? i >= j : i <= j);
}

/* The plan's matrix beside the dense one: equal, and no element that is not zero is missing. Returns how many elements
   of the pattern are zero. */
static int64_t compare(ad_graph *g, ad_sparse_plan *p, ad_var *dense, ad_sparse_opts o, double tol, const char *name) {
    int *listed;
    double *got = dense_of(g, p, o, &listed);
    int64_t columns = ad_sparse_columns(p), zeros = 0;
    bool finite = true; /* otherwise products have NaN in other places too */
    for (int64_t k = 0; k < ad_numel(dense); k++) finite &= isfinite(ad_at(dense, k));
    for (int64_t k = 0; k < ad_numel(dense); k++) {
        double want = ad_at(dense, k);
        bool wanted = is_wanted(o.triangle, k / columns, k % columns);
        zeros += listed[k] && want == 0;
        if (!wanted && listed[k]) fail_msg("%s: element %d is outside the triangle", name, (int)k);
        if (wanted && isfinite(want) && want != 0 && !listed[k])
            fail_msg("%s: element %d, %g, is not in the pattern", name, (int)k, want);
        if (wanted && finite && !is_close(got[k], want, tol))
            fail_msg("%s: element %d is %.17g, not %.17g", name, (int)k, got[k], want);
    }
    free(got), free(listed);
    return zeros;
}

/* ---- functions whose patterns are known -------------------------------------------------------------------------- */

static ad_var *param(ad_graph *g, int64_t n) {
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(n));
    for (int64_t k = 0; k < n; k++) ((double *)ad_data_mut(x))[k] = 0.3 + 0.1 * (double)((k * 7 + 3) % 11);
    return x;
}
static ad_var *part(ad_var *x, int64_t from, int64_t to) { return ad_slice(x, 0, from, to, 1); }
static ad_var *padded(ad_var *x, int64_t before, int64_t after) {
    return ad_pad(x, AD_SHAPE(before), AD_SHAPE(after), 0);
}

/* Broyden's tridiagonal function: y[i] depends on x[i-1], x[i], x[i+1]. */
static ad_var *tridiagonal(ad_var *x) {
    int64_t n = ad_numel(x);
    ad_var *left = padded(part(x, 0, n - 1), 1, 0), *right = padded(part(x, 1, n), 0, 1);
    ad_var *y = ad_mul(ad_adds(ad_muls(x, -2), 3), x);
    return ad_adds(ad_sub(ad_sub(y, left), ad_mul(right, right)), 1);
}

/* The first row and column and the diagonal. */
static ad_var *arrow(ad_var *x) {
    ad_var *first = ad_reshape(ad_sum(ad_sin(x)), AD_SHAPE(1));
    return ad_add(ad_mul(ad_square(x), part(x, 0, 1)), padded(first, 0, ad_numel(x) - 1));
}

/* The energy of a membrane of n x n points: its Hessian has the five-point pattern. */
static ad_var *membrane(ad_var *x, int64_t n) {
    ad_var *u = ad_reshape(x, AD_SHAPE(n, n));
    ad_var *across = ad_sub(ad_slice(u, 0, 1, n, 1), ad_slice(u, 0, 0, n - 1, 1));
    ad_var *along = ad_sub(ad_slice(u, 1, 1, n, 1), ad_slice(u, 1, 0, n - 1, 1));
    ad_var *steep = ad_add(ad_sum(ad_pows(across, 4)), ad_sum(ad_cosh(along)));
    return ad_add(steep, ad_sum(ad_exp(u)));
}

/* With the diagonal, a diagonal beside it and pairs far apart, so that rows have up to 5 elements. */
static ad_var *scattered(ad_var *x) {
    int64_t n = ad_numel(x);
    ad_var *far = ad_mul(part(x, 0, n / 2), ad_sin(ad_flip(part(x, n - n / 2, n), 0)));
    ad_var *near = ad_mul(part(x, 0, n - 1), ad_square(part(x, 1, n)));
    return ad_add(ad_add(ad_sum(far), ad_sum(near)), ad_sum(ad_exp(x)));
}

static int64_t check_jacobian(ad_graph *g, ad_var *y, ad_var *x, ad_sparse_opts o, const char *name) {
    return compare(g, ad_sparse_jacobian(y, x, o), ad_jacobian(y, x), o, 1e-12, name);
}
static int64_t check_hessian(ad_graph *g, ad_var *f, ad_var *x, ad_sparse_opts o, const char *name) {
    return compare(g, ad_sparse_hessian(f, x, o), ad_hessian(f, x), o, 1e-12, name);
}

static void every_way_to_colour(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 17), *bent = tridiagonal(x), *dart = arrow(x), *both[] = { bent, dart };
    ad_var *wide = ad_reshape(ad_sin(param(g, 12)), AD_SHAPE(12));
    ad_var *f[] = { scattered(x), ad_sum(ad_square(bent)), ad_sum(ad_square(dart)) };
    for (int c = AD_COLOUR_AUTO; c <= AD_COLOUR_BOTH; c++)
        for (int o = AD_ORDER_AUTO; o <= AD_ORDER_DYNAMIC_LARGEST; o++)
            for (int k = 0; k < 2; k++) {
                ad_sparse_opts opts = { .colouring = (ad_colouring)c, .order = (ad_colour_order)o };
                assert_int_equal(check_jacobian(g, both[k], x, opts, k ? "arrow" : "tridiagonal"), 0);
            }
    for (int c = AD_COLOUR_STAR; c <= AD_COLOUR_ACYCLIC; c++)
        for (int o = AD_ORDER_AUTO; o <= AD_ORDER_DYNAMIC_LARGEST; o++)
            for (int k = 0; k < 3; k++) {
                ad_sparse_opts opts = { .colouring = (ad_colouring)c, .order = (ad_colour_order)o };
                check_hessian(g, f[k], x, opts, "a Hessian");
            }
    assert_int_equal(check_jacobian(g, wide, ad_op_operand(ad_creator(wide), 0), plain, "interior"), 0);
    ad_graph_free(g);
}

static void every_format(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 13), *y = arrow(x), *f = scattered(x);
    ad_sparse_opts o = { 0 };
    for (int format = AD_COO; format <= AD_CSC; format++)
        for (o.base = 0; o.base < 2; o.base++) {
            o.format = (ad_sparse_format)format, o.triangle = AD_TRIANGLE_BOTH, o.colouring = AD_COLOUR_AUTO;
            assert_int_equal(check_jacobian(g, y, x, o, "arrow"), 0);
            for (int c = AD_COLOUR_STAR; c <= AD_COLOUR_ACYCLIC; c++)
                for (int t = AD_TRIANGLE_BOTH; t <= AD_TRIANGLE_UPPER; t++) {
                    o.colouring = (ad_colouring)c, o.triangle = (ad_sparse_triangle)t;
                    assert_int_equal(check_hessian(g, f, x, o, "scattered"), 0);
                }
        }
    ad_graph_free(g);
}

/* [[0, 1, 0], [2, 0, 3]]: the arrays of each format, written by hand. */
static void formats_by_hand(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, (float[]){ 1, 0.5f, 1.5f }, AD_SHAPE(3));
    ad_var *rows[] = { part(x, 1, 2), ad_add(ad_square(part(x, 0, 1)), ad_square(part(x, 2, 3))) };
    ad_var *y = ad_concat(2, rows, 0);
    static const struct {
        ad_sparse_format format;
        int n_i, n_j;
        int64_t i[4], j[4];
        float values[3];
    } cases[] = { { AD_COO, 3, 3, { 0, 1, 1 }, { 1, 0, 2 }, { 1, 2, 3 } },
                  { AD_CSR, 3, 3, { 0, 1, 3 }, { 1, 0, 2 }, { 1, 2, 3 } },
                  { AD_CSC, 3, 4, { 1, 0, 1 }, { 0, 1, 2, 3 }, { 2, 1, 3 } } };
    for (int k = 0; k < 6; k++) {
        int base = k % 2, c = k / 2;
        ad_sparse_plan *p = ad_sparse_jacobian(y, x, (ad_sparse_opts){ .format = cases[c].format, .base = base });
        int64_t i[4], j[4];
        int32_t i32[4], j32[4];
        float values[3];
        assert_int_equal(ad_sparse_index64(p, i, j), AD_OK);
        assert_int_equal(ad_sparse_index(p, i32, j32), AD_OK);
        for (int e = 0; e < cases[c].n_i; e++) assert_true(i[e] == cases[c].i[e] + base && i32[e] == i[e]);
        for (int e = 0; e < cases[c].n_j; e++) assert_true(j[e] == cases[c].j[e] + base && j32[e] == j[e]);
        assert_int_equal(ad_sparse_eval(p, NULL, values), AD_OK);
        for (int e = 0; e < 3; e++) assert_true(values[e] == cases[c].values[e]);
        assert_int_equal(ad_sparse_rows(p), 2);
        assert_int_equal(ad_sparse_columns(p), 3);
    }
    ad_graph_free(g);
}

/* Values at another x, by ad_eval and by a compiled program, and their gradient. */
static void values_again(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 30), *y = tridiagonal(x);
    ad_sparse_plan *p = ad_sparse_jacobian(y, x, plain);
    double at[30], got[88];
    for (int k = 0; k < 30; k++) at[k] = sin(k);
    assert_int_equal(ad_sparse_count(p), 88);
    assert_int_equal(ad_sparse_eval(p, at, got), AD_OK);
    int32_t i[88], j[88];
    ad_sparse_index(p, i, j);
    for (int k = 0; k < 88; k++)
        assert_close(got[k], i[k] == j[k] ? 3 - 4 * at[i[k]] : j[k] < i[k] ? -1 : -2 * at[j[k]], 1e-14);
    ad_var *values = ad_sparse_values(p), *sum = ad_sum(ad_square(values));
    ad_program *program = ad_compile(1, &values, 1, &x, (ad_compile_opts){ .no_cache = true });
    double again[88];
    assert_int_equal(ad_run(program, (const void *[]){ at }, (void *[]){ again }, NULL), AD_OK);
    for (int k = 0; k < 88; k++) assert_close(again[k], got[k], 1e-14);
    assert_int_equal(ad_eval(sum), AD_OK); /* a program that is evaluated, without a compiler, leaves it stale */
    assert_int_equal(ad_backward(sum), AD_OK);
    for (int k = 0; k < 30; k++)
        assert_close(ad_grad_at(x, k), -8 * (3 - 4 * at[k]) + (k > 0 ? 8 * at[k] : 0), 1e-13);
    ad_graph_free(g);
}

static ad_var *norm_of_values(int n, ad_var *const xs[], void *user) {
    const ad_sparse_opts *o = user;
    (void)n;
    ad_sparse_plan *p = ad_sparse_hessian(scattered(xs[0]), xs[0], *o);
    return p ? ad_sum(ad_pows(ad_sparse_values(p), 3)) : ad_nil(ad_graph_of(xs[0]));
}

static void values_have_derivatives(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 8);
    ad_sparse_opts o = { 0 };
    for (int c = AD_COLOUR_STAR; c <= AD_COLOUR_ACYCLIC; c++)
        for (int t = AD_TRIANGLE_BOTH; t <= AD_TRIANGLE_UPPER; t++) {
            o.colouring = (ad_colouring)c, o.triangle = (ad_sparse_triangle)t;
            if (ad_gradcheck(norm_of_values, &o, 1, &x, NULL, NULL) != AD_OK) fail_msg("%s", ad_error(g));
            if (ad_gradgradcheck(norm_of_values, &o, 1, &x, NULL, NULL) != AD_OK) fail_msg("%s", ad_error(g));
        }
    ad_graph_free(g);
}

/* sigma f + lambda g: the Hessian changes with sigma and lambda. */
static void a_lagrangian(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 9), *f = scattered(x), *c = tridiagonal(x);
    ad_var *sigma = ad_scalar(g, AD_F64, 2), *lambda = ad_tensor(g, AD_F64, NULL, AD_SHAPE(9));
    for (int k = 0; k < 9; k++) ((double *)ad_data_mut(lambda))[k] = 1 - 0.3 * k;
    c = tridiagonal(x), f = scattered(x);
    ad_sparse_plan *p = ad_sparse_lagrangian(f, sigma, c, lambda, x, plain);
    ad_var *l = ad_add(ad_mul(sigma, f), ad_sum(ad_mul(lambda, c)));
    compare(g, p, ad_hessian(l, x), plain, 1e-12, "a Lagrangian");
    assert_int_equal(ad_set(sigma, &(double){ 0 }), AD_OK);
    ad_eval(l);
    compare(g, p, ad_hessian(l, x), plain, 1e-12, "without f");
    p = ad_sparse_lagrangian(NULL, NULL, c, lambda, x, plain);
    compare(g, p, ad_hessian(l, x), plain, 1e-12, "g alone");
    assert_int_equal(ad_sparse_count(p), 9); /* x[i]^2 alone is not linear */
    ad_graph_free(g);
}

/* The time of a point does not grow with their number. */
static void a_million_unknowns(void **state) {
    (void)state;
    double seconds[2];
    for (int k = 0; k < 2; k++) {
        ad_graph *g = ad_graph_new();
        int64_t n = (test_quick() ? 20 : 250) << k;
        ad_keep_grads(g, false);
        ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(n * n)), *f = membrane(x, n);
        seconds[k] = processor_seconds();
        ad_sparse_plan *p = ad_sparse_hessian(f, x, plain);
        seconds[k] = processor_seconds() - seconds[k];
        assert_ok(g);
        assert_int_equal(ad_sparse_count(p), 5 * n * n - 4 * n);
        assert_true(ad_sparse_colours(p) <= 8);
        assert_true(ad_graph_stats(g).bytes_held < 4000 * n * n);
        ad_graph_free(g);
    }
    if (!test_quick()) assert_true(seconds[1] < 12 * seconds[0]); /* 4 times as many points */
}

/* A Hessian with a full row, and a Jacobian with a full row and a full column: few colours, and no time that grows with
   the square of the length. */
static void long_rows(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    int64_t n = test_quick() ? 2000 : 30000;
    ad_keep_grads(g, false);
    ad_var *x = param(g, n), *first = part(x, 0, 1);
    ad_var *f = ad_add(ad_sum(ad_mul(ad_square(x), first)), ad_sum(ad_mul(part(x, 0, n - 1), part(x, 1, n))));
    for (int c = AD_COLOUR_AUTO; c <= AD_COLOUR_ACYCLIC; c += c ? 1 : 4) {
        ad_sparse_plan *p = ad_sparse_hessian(f, x, (ad_sparse_opts){ .colouring = (ad_colouring)c });
        assert_ok(g);
        assert_int_equal(ad_sparse_count(p), n + 2 * (n - 1) + 2 * (n - 2)); /* row and column 0, three diagonals */
        assert_in_range(ad_sparse_colours(p), 2, 5);
        assert_int_equal(ad_sparse_eval(p, NULL, NULL), AD_OK);
        double *values = malloc((size_t)ad_sparse_count(p) * sizeof *values);
        assert_true(values && ad_sparse_eval(p, NULL, values) == AD_OK);
        for (int64_t k = 1; k < n; k++) assert_close(values[k], 2 * ad_at(x, k) + (k == 1), 1e-14); /* of row 0 */
        free(values);
    }
    ad_sparse_plan *p = ad_sparse_jacobian(arrow(x), x, plain);
    assert_ok(g);
    assert_int_equal(ad_sparse_colours(p), 3);
    ad_graph_free(g);
}

static void a_membrane(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 25), *f = membrane(x, 5);
    assert_int_equal(check_hessian(g, f, x, plain, "membrane"), 0);
    ad_graph_free(g);
}

/* ---- patterns that are given by indices -------------------------------------------------------------------------- */

/* y = A(x) with the elements of a pattern: element k is at (row[k], column[k]). */
static ad_var *with_pattern(ad_var *x, int64_t rows, int n, const double *row, const double *column) {
    ad_graph *g = ad_graph_of(x);
    ad_var *i = ad_tensor(g, AD_F64, row, AD_SHAPE(n)), *j = ad_tensor(g, AD_F64, column, AD_SHAPE(n));
    ad_var *w = ad_adds(ad_arange(g, AD_F64, 0, n, 1), 1);
    return ad_index_add(ad_zeros(g, AD_F64, AD_SHAPE(rows)), 0, i, ad_mul(w, ad_sin(ad_take_axis(x, 0, j))));
}

/* A quadratic form with the elements of a symmetric pattern, of which those on and below the diagonal are given. */
static ad_var *form_with(ad_var *x, int n, const double *row, const double *column) {
    ad_graph *g = ad_graph_of(x);
    ad_var *i = ad_tensor(g, AD_F64, row, AD_SHAPE(n)), *j = ad_tensor(g, AD_F64, column, AD_SHAPE(n));
    ad_var *weights = ad_adds(ad_arange(g, AD_F64, 0, n, 1), 1);
    return ad_sum(ad_mul(ad_mul(ad_take_axis(x, 0, i), ad_take_axis(x, 0, j)), weights));
}

static uint32_t next_number(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static void random_patterns(void **state) {
    (void)state;
    enum { MOST = 60 };
    uint32_t r = 7;
    for (int k = 0; k < 60; k++) {
        ad_graph *g = ad_graph_new();
        int64_t m = 1 + next_number(&r) % 14, n = 1 + next_number(&r) % 14;
        int count = 1 + (int)(next_number(&r) % MOST);
        double row[MOST], column[MOST];
        for (int e = 0; e < count; e++)
            row[e] = (double)((next_number(&r) >> 8) % m), column[e] = (double)((next_number(&r) >> 8) % n);
        ad_var *x = param(g, n), *y = with_pattern(x, m, count, row, column);
        for (int c = AD_COLOUR_AUTO; c <= AD_COLOUR_BOTH; c++) {
            ad_sparse_opts o = { .colouring = (ad_colouring)c, .order = (ad_colour_order)(k % 6) };
            assert_int_equal(check_jacobian(g, y, x, o, "random"), 0);
        }
        for (int e = 0; e < count; e++) row[e] = (double)((int)row[e] % (int)n);
        ad_var *f = form_with(x, count, row, column);
        for (int c = AD_COLOUR_STAR; c <= AD_COLOUR_ACYCLIC; c++) {
            ad_sparse_opts o = { .colouring = (ad_colouring)c, .order = (ad_colour_order)(k % 6),
                                 .triangle = (ad_sparse_triangle)(k % 3), .format = (ad_sparse_format)(k / 3 % 3) };
            assert_int_equal(check_hessian(g, f, x, o, "random"), 0);
        }
        ad_graph_free(g);
    }
}

static int colours_of_form(ad_graph *g, int64_t size, int n, const double *row, const double *column, ad_colouring c) {
    ad_mark m = ad_begin(g);
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(size));
    ad_sparse_plan *p = ad_sparse_hessian(form_with(x, n, row, column), x, (ad_sparse_opts){ .colouring = c,
                                          .order = AD_ORDER_NATURAL });
    assert_ok(g);
    int colours = ad_sparse_colours(p);
    ad_end(g, m);
    return colours;
}

/* Banded symmetric matrices with rho diagonals beside the main one: acyclic colourings have rho/2 + 1 colours, star
   colourings 2 (rho/2) + 1 (Gebremedhin, Pothen, Tarafdar and Walther, Efficient computation of sparse Hessians using
   coloring and automatic differentiation, INFORMS J. Computing 21, 2009); the graphs of its figure 1, with a star
   colouring of 5 colours, and of figure 4.1 of What color is your Jacobian?, with one of 3. */
static void published_counts(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (int half = 5; half <= 10; half += 5) {
        int size = 2000, n = 0;
        size_t room = (size_t)(size * (half + 1));
        double *row = malloc(room * sizeof *row), *column = malloc(room * sizeof *column);
        assert_true(row && column);
        for (int i = 0; i < size; i++)
            for (int j = i < half ? 0 : i - half; j <= i; j++) row[n] = i, column[n++] = j;
        assert_int_equal(colours_of_form(g, size, n, row, column, AD_COLOUR_STAR), 2 * half + 1);
        assert_int_equal(colours_of_form(g, size, n, row, column, AD_COLOUR_ACYCLIC), half + 1);
        free(row), free(column);
    }
    static const char figure_1[] = "10 60 21 41 32 52 93 54 74 85 76 87 98", figure_41[] = "10 21 41 51 32 53";
    double row[40], column[40];
    for (int f = 0; f < 2; f++) {
        int size = f ? 6 : 10, n = 0;
        for (int i = 0; i < size; i++) row[n] = column[n] = i, n++;
        for (const char *p = f ? figure_41 : figure_1; *p; p += p[2] ? 3 : 2)
            row[n] = p[0] - '0', column[n++] = p[1] - '0';
        int most = f ? 3 : 5;
        assert_in_range(colours_of_form(g, size, n, row, column, AD_COLOUR_STAR), 3, most);
        assert_in_range(colours_of_form(g, size, n, row, column, AD_COLOUR_ACYCLIC), 2, most);
    }
    ad_graph_free(g);
}

/* Indices that change after the plan was made; and those that depend on x, so that the whole line counts. */
static void indices_that_change(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 6), *index = ad_tensor(g, AD_F64, (double[]){ 2, 0, 2 }, AD_SHAPE(3));
    ad_sparse_plan *p = ad_sparse_jacobian(ad_take_axis(x, 0, index), x, plain);
    assert_int_equal(ad_sparse_count(p), 3);
    assert_int_equal(ad_sparse_eval(p, NULL, NULL), AD_OK);
    assert_int_equal(ad_set(index, (double[]){ 2, 1, 2 }), AD_OK);
    assert_int_equal(ad_sparse_eval(p, NULL, NULL), AD_ESTALE);
    assert_non_null(strstr(ad_error(g), "sparse_eval: indices [3] that the pattern was taken from have changed"));
    ad_clear_error(g);
    ad_var *sorted = ad_sort(x, 0, false);
    p = ad_sparse_jacobian(sorted, x, plain);
    assert_int_equal(ad_sparse_count(p), 36);
    compare(g, p, ad_jacobian(sorted, x), plain, 1e-15, "sorted");
    assert_int_equal(ad_sparse_eval(p, (double[]){ 5, 3, 4, 1, 2, 0 }, NULL), AD_OK);
    assert_int_equal(ad_eval(sorted), AD_OK);
    compare(g, p, ad_jacobian(sorted, x), plain, 1e-15, "sorted again");
    ad_graph_free(g);
}

/* ---- random graphs ----------------------------------------------------------------------------------------------- */

/* One of some ops on [4,3] arrays, or two of them. */
static ad_var *random_step(uint32_t kind, ad_var *a, ad_var *b) {
    switch (kind % 12) {
    case 0: return ad_mul(a, b);
    case 1: return ad_add(ad_sin(a), b);
    case 2: return ad_roll(a, 1, (int)kind / 12 % 2);
    case 3: return ad_flip(a, (int)kind / 12 % 2);
    case 4: return ad_reshape(ad_transpose(a), AD_SHAPE(4, 3));
    case 5: return ad_sub(a, ad_mean_axis(b, 1, true));
    case 6: return ad_pad(ad_slice(a, 0, 1, 3, 1), AD_SHAPE(1, 0), AD_SHAPE(1, 0), 0);
    case 7: return ad_concat(2, (ad_var *[]){ ad_slice(a, 1, 0, 1, 1), ad_slice(b, 1, 1, 3, 1) }, 1);
    case 8: return ad_matmul(a, ad_slice(b, 0, 0, 3, 1));
    case 9: return ad_cumsum(a, 0);
    case 10: return ad_tanh(ad_tril(a, 0));
    default: return ad_where(ad_gt(a, b), a, ad_square(b));
    }
}

static void random_graphs(void **state) {
    (void)state;
    uint32_t r = 3;
    for (int k = 0; k < (test_quick() ? 10 : 60); k++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, 12), *v[9] = { ad_reshape(x, AD_SHAPE(4, 3)) };
        for (int i = 1; i < 9; i++)
            v[i] = random_step(next_number(&r) >> 10, v[(next_number(&r) >> 10) % i], v[(next_number(&r) >> 10) % i]);
        ad_var *y = ad_reshape(v[8], AD_SHAPE(12));
        assert_ok(g);
        ad_sparse_opts o = { .colouring = (ad_colouring)(k % 4), .format = (ad_sparse_format)(k % 3) };
        compare(g, ad_sparse_jacobian(y, x, o), ad_jacobian(y, x), o, 1e-9, "a random graph");
        o.colouring = k % 2 ? AD_COLOUR_STAR : AD_COLOUR_ACYCLIC;
        ad_var *f = ad_sum(ad_sin(y));
        compare(g, ad_sparse_hessian(f, x, o), ad_hessian(f, x), o, 1e-8, "a random graph");
        ad_graph_free(g);
    }
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void fails(ad_graph *g, const ad_sparse_plan *p, int code, const char *sentence) {
    assert_null(p);
    assert_int_equal(ad_error_code(g), code);
    if (strstr(ad_error(g), sentence) == NULL) fail_msg("\"%s\" has not \"%s\"", ad_error(g), sentence);
    ad_clear_error(g);
}

static void errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = param(g, 5), *y = tridiagonal(x), *f = ad_sum(y), *z = param(other, 5);
    fails(g, ad_sparse_jacobian(y, NULL, plain), AD_EVALUE, "sparse_jacobian: xs[0] is nil");
    fails(g, ad_sparse_jacobian(y, z, plain), AD_EGRAPH, "two graphs");
    fails(g, ad_sparse_hessian(y, x, plain), AD_ESHAPE, "sparse_hessian: f is [5], not one element");
    fails(g, ad_sparse_jacobian(ad_cast(y, AD_F32), x, plain), AD_EDTYPE, "y is f32 and x f64; use ad_cast");
    fails(g, ad_sparse_jacobian(y, x, (ad_sparse_opts){ .base = 2 }), AD_EVALUE, "base is 2, out of 0..1");
    fails(g, ad_sparse_jacobian(y, x, (ad_sparse_opts){ .triangle = AD_TRIANGLE_LOWER }), AD_EVALUE, "no triangles");
    fails(g, ad_sparse_jacobian(y, x, (ad_sparse_opts){ .colouring = AD_COLOUR_STAR }), AD_EVALUE, "are for Hessians");
    fails(g, ad_sparse_hessian(f, x, (ad_sparse_opts){ .colouring = AD_COLOUR_ROWS }), AD_EVALUE, "one of Jacobians");
    fails(g, ad_sparse_lagrangian(f, NULL, y, y, x, plain), AD_EVALUE, "sparse_lagrangian: sigma is nil");
    fails(g, ad_sparse_lagrangian(f, f, y, NULL, x, plain), AD_EVALUE, "sparse_lagrangian: lambda is nil");
    fails(g, ad_sparse_lagrangian(f, f, y, f, x, plain), AD_ESHAPE, "sparse_lagrangian: ");
    ad_sparse_plan *p = ad_sparse_jacobian(y, ad_op_operand(ad_creator(ad_sin(x)), 0), plain);
    assert_non_null(p);
    assert_int_equal(ad_sparse_eval(NULL, NULL, NULL), AD_EVALUE);
    assert_int_equal(ad_sparse_index(NULL, NULL, NULL), AD_EVALUE);
    assert_int_equal(ad_sparse_index(p, NULL, NULL), AD_OK);
    assert_int_equal(ad_sparse_column_colour(p, 5), -1);
    ad_var *s = ad_sin(x);
    p = ad_sparse_jacobian(ad_square(s), s, plain);
    assert_int_equal(ad_sparse_eval(p, (double[5]){ 0 }, NULL), AD_EVALUE); /* an op made x */
    ad_clear_error(g);
    p = ad_sparse_hessian(f, param(g, 3), plain);
    assert_int_equal(ad_sparse_count(p), 0);
    assert_int_equal(ad_sparse_eval(p, NULL, NULL), AD_OK);
    ad_graph_free(g);
    ad_graph_free(other);
}

/* An op that reads every second element, and says so wrongly on demand. */
static bool is_wrong;
static int half_shape(ad_call *c) { return c->shape = AD_SHAPE(ad_numel(c->in[0]) / 2), AD_OK; }
static int half_evaluate(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0));
    for (int64_t k = 0; k < ad_numel(ad_op_operand(op, 0)) / 2; k++) ((double *)ad_values(op))[k] = x[2 * k];
    return AD_OK;
}
static void half_backward(const ad_op *op) { (void)op; }
static void half_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    (void)op;
    ad_var *pairs[] = { ad_reshape(g, AD_SHAPE(-1, 1)), ad_zeros_like(ad_reshape(g, AD_SHAPE(-1, 1))) };
    dx[0] = ad_reshape(ad_concat(2, pairs, 1), AD_SHAPE(-1));
}
static void half_pattern(ad_pattern *p, const ad_op *op) {
    int64_t n = ad_numel(ad_op_operand(op, 0)) / 2;
    for (int64_t k = 0; k < n; k++) ad_pattern_add(p, k, 1, 0, is_wrong ? 3 * k : 2 * k, 1);
}

static void a_users_op(void **state) {
    (void)state;
    ad_optype half = { .name = "half", .arity = 1, .shape = half_shape, .evaluate = { NULL, half_evaluate },
                       .backward = { NULL, half_backward }, .vjp = half_vjp };
    for (int k = 0; k < 3; k++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = param(g, 10), *y = ad_apply(&half, 1, &x, NULL);
        is_wrong = k == 2;
        ad_sparse_plan *p = ad_sparse_jacobian(y, x, plain);
        if (k < 2) {
            assert_int_equal(ad_sparse_count(p), k ? 5 : 50); /* all, unless the op says more */
            compare(g, p, ad_jacobian(y, x), plain, 0, "a user's op");
        } else fails(g, p, AD_EVALUE, "half: [10]: pattern: elements 4.. by 12.. of operand 0 are out of range");
        half.pattern = half_pattern;
        ad_graph_free(g);
    }
}

/* Every allocation of the graph fails in turn. */
static void out_of_memory(void **state) {
    (void)state;
    int failures = 0;
    for (int64_t at = 0; at < 2000; at += test_quick() ? 7 : 1) {
        test_memory m = { .fail_at = -1 };
        ad_graph *g = test_graph(&m);
        ad_var *x = param(g, 40), *y = tridiagonal(x), *f = scattered(x);
        assert_ok(g);
        m.fail_at = m.calls + at;
        ad_sparse_plan *j = ad_sparse_jacobian(y, x, (ad_sparse_opts){ .colouring = AD_COLOUR_BOTH });
        ad_sparse_plan *h = j ? ad_sparse_hessian(f, x, (ad_sparse_opts){ .colouring = AD_COLOUR_ACYCLIC }) : NULL;
        bool failed = h == NULL;
        failures += failed;
        if (failed) assert_int_equal(ad_error_code(g), AD_ENOMEM);
        m.fail_at = -1;
        ad_clear_error(g);
        check_jacobian(g, y, x, plain, "after a failure");
        ad_graph_free(g);
        assert_true(m.live == 0 && m.wrong == 0);
        if (!failed) break;
    }
    assert_true(failures > 20);
}

/* ---- every op ---------------------------------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    int samples;
    int64_t zeros, elements; /* of the op at hand: elements of patterns that are zero, and all */
} tally;

/* The op's result by operand i, both as vectors. */
static void check_operand(const ad_sample_case *c, tally *t, int i) {
    enum { MOST_PASSES = 40, MOST = 3000 };
    ad_var *in[16], *x = NULL;
    for (int k = 0; k < c->n; k++) {
        int64_t n = ad_shape_numel(c->shapes[k]);
        ad_var *leaf = ad_tensor(t->g, AD_F64, c->values[k], AD_SHAPE(n));
        if (k == i) x = ad_require_grad(leaf);
        in[k] = ad_reshape(leaf, c->shapes[k]);
    }
    ad_var *y = ad_apply(c->type, c->n, in, c->attrs);
    if (ad_error_code(t->g) == AD_EABSENT) { /* this build has no LAPACK */
        ad_clear_error(t->g);
        return;
    }
    assert_ok(t->g);
    int64_t rows = ad_numel(y), columns = ad_numel(x);
    if (ad_dtype_of(y) != AD_F64 || rows * columns > MOST || (rows > MOST_PASSES && columns > MOST_PASSES)) return;
    y = ad_reshape(y, AD_SHAPE(rows));
    ad_sparse_plan *p = ad_sparse_jacobian(y, x, plain);
    ad_var *dense = ad_jacobian(y, x);
    assert_ok(t->g);
    t->zeros += compare(t->g, p, dense, plain, 1e-9, c->type->name);
    t->elements += ad_sparse_count(p), t->samples++;
}

static int check_sample(const ad_sample_case *c, void *data) {
    tally *t = data;
    if (c->flags & AD_SAMPLE_LOOSE) return 0;
    for (int i = 0; i < c->n; i++) {
        if (c->type->no_grad & AD_NO_GRAD(i < 31 ? i : 31)) continue;
        ad_mark m = ad_begin(t->g);
        check_operand(c, t, i);
        ad_end(t->g, m);
    }
    return 0;
}

static void patterns_of_all_ops(void **state) {
    (void)state;
    tally t = { .g = ad_graph_new() };
    ad_graph *samples = ad_graph_new();
    const char *only = getenv("TEST_OP");
    for (const ad_optype *const *type = ad_optypes(); *type; type++) {
        if ((only && strcmp(only, (*type)->name) != 0) || (*type)->flags & (AD_OP_CONSTANT | AD_OP_RANDOM)) continue;
        t.zeros = t.elements = 0;
        assert_int_equal(ad_each_sample(samples, *type, check_sample, &t), 0);
        if (getenv("TEST_VERBOSE") && t.zeros)
            print_message("%s: %d of %d elements are zero\n", (*type)->name, (int)t.zeros, (int)t.elements);
    }
    if (!only) assert_true(t.samples > 1000);
    ad_graph_free(samples);
    ad_graph_free(t.g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_colour), cmocka_unit_test(every_format),
        cmocka_unit_test(formats_by_hand),     cmocka_unit_test(values_again),
        cmocka_unit_test(values_have_derivatives),
        cmocka_unit_test(a_lagrangian),        cmocka_unit_test(a_membrane),
        cmocka_unit_test(a_million_unknowns),  cmocka_unit_test(patterns_of_all_ops),
        cmocka_unit_test(random_patterns),     cmocka_unit_test(published_counts),
        cmocka_unit_test(indices_that_change), cmocka_unit_test(random_graphs),
        cmocka_unit_test(errors),              cmocka_unit_test(a_users_op),
        cmocka_unit_test(out_of_memory),       cmocka_unit_test(long_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
