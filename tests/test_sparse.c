/* test_sparse.c: sparse Jacobians and Hessians beside dense ones: patterns of every op, colours, formats, errors. */
#include "autodiff/extend.h"
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
    ad_var *wide = ad_reshape(ad_sin(param(g, 12)), AD_SHAPE(12)), *f[] = { scattered(x), ad_sum(ad_square(bent)), dart };
    f[2] = ad_sum(ad_square(dart));
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
    ad_var *sum = ad_sum(ad_square(ad_sparse_values(p)));
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

static void a_membrane(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param(g, 25), *f = membrane(x, 5);
    assert_int_equal(check_hessian(g, f, x, plain, "membrane"), 0);
    ad_graph_free(g);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
