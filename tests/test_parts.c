/* test_parts.c: gradients of many parts of one array, as Vars: right, and linear in the number of parts. */
#include "tests/common.h"

#include "ops/functional.h"

/* Each kind of part, number i of n, of an array [n,4]. Parts overlap, lie far apart, and have steps of both signs. */
static ad_var *index_of(ad_var *x, int i, ad_shape s) {
    return ad_full(ad_graph_of(x), i % 2 ? AD_F64 : AD_F32, i, s);
}
static ad_var *sliced(ad_var *x, int i, int n) { return ad_slice(x, 0, i, i + 2 < n ? i + 2 : n, 1); }
static ad_var *stepped(ad_var *x, int i, int n) {
    return ad_slice_axes(x, 2, (ad_range[]){ { 0, n - 1 - i, i > 8 ? n - 9 - i : -n - 1, -2 }, { 1, i % 3, 4, 2 } });
}
static ad_var *selected(ad_var *x, int i, int n) { return ad_select(x, 0, i % 2 ? i : i - n); }
static ad_var *narrowed(ad_var *x, int i, int n) { return ad_narrow(x, 0, i < n - 1 ? i : 0, 2); }
static ad_var *by_index(ad_var *x, int i, int n) { return (void)n, ad_index_select(x, 0, index_of(x, i, AD_SHAPE(1))); }
static ad_var *taken(ad_var *x, int i, int n) {
    return (void)n, ad_take_axis(x, 0, index_of(x, i / 2, AD_SHAPE(2, 1)));
}
static ad_var *embedded(ad_var *x, int i, int n) { return (void)n, ad_embedding(x, index_of(x, i, AD_SCALAR)); }
static ad_var *gathered(ad_var *x, int i, int n) { return (void)n, ad_gather(x, 0, index_of(x, i, AD_SHAPE(1, 4))); }
typedef ad_var *part_fn(ad_var *x, int i, int n);
static const struct {
    const char *name;
    part_fn *part;
} kinds[] = { { "slice", sliced },          { "slice with steps", stepped }, { "select", selected },
              { "narrow", narrowed },       { "index_select", by_index },    { "take_axis", taken },
              { "embedding", embedded },    { "gather", gathered } };

/* What is read of the array: n parts of one kind, or, if that is NULL, of all kinds and along both axes. */
typedef struct {
    part_fn *part;
    int n;
} parts;

static ad_var *term(ad_var *part, int i) { return ad_sum(ad_muls(ad_mul(part, ad_sin(part)), i + 0.5)); }

static ad_var *add_columns(ad_var *x, ad_var *y) {
    ad_var *halves[2];
    if (ad_split(x, 1, 2, 2, halves)) return y;
    for (int i = 0; i < 4; i++) {
        y = ad_add(y, term(ad_take_axis(x, i % 2, index_of(x, i, AD_SHAPE(2, 1))), i));
        y = ad_add(y, ad_mul(term(ad_gather(x, 1, index_of(x, i, AD_SHAPE(3, 1))), i), term(halves[i / 2], 1)));
    }
    return y;
}

/* A sum of a function of each part. */
static ad_var *sum_of_parts(int n, ad_var *const xs[], void *user) {
    const parts *p = user;
    ad_var *y = ad_scalar(ad_graph_of(xs[0]), ad_dtype_of(xs[0]), n);
    for (int k = 0; k < COUNT(kinds); k++)
        for (int i = 0; i < p->n && (p->part == NULL || p->part == kinds[k].part); i++)
            y = ad_add(y, term(kinds[k].part(xs[0], i, p->n), i));
    return p->part ? y : add_columns(xs[0], y);
}

static ad_var *array(ad_graph *g, ad_dtype t, int n) {
    ad_var *sines = ad_sin(ad_reshape(ad_arange(g, t, 0, 4 * n, 1), AD_SHAPE(n, 4)));
    return ad_add(ad_param(g, t, NULL, AD_SHAPE(n, 4)), sines);
}

static void gradients_of_parts_equal_backward(void **state) {
    (void)state;
    for (int k = -1; k < COUNT(kinds); k++)
        for (int n = 4; n <= 40; n += 12)
            for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
                ad_graph *g = ad_graph_new();
                ad_keep_grads(g, true);
                ad_var *x = array(g, t, n), *y = sum_of_parts(1, &x, &(parts){ k < 0 ? NULL : kinds[k].part, n }), *d;
                assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
                assert_int_equal(ad_backward(y), AD_OK);
                double largest = 0;
                for (int i = 0; i < 4 * n; i++) largest = fmax(largest, fabs(ad_grad_at(x, i)));
                for (int i = 0; i < 4 * n; i++)
                    assert_close_in(k < 0 ? "all" : kinds[k].name, ad_at(d, i) / largest, ad_grad_at(x, i) / largest,
                                    t == AD_F64 ? 1e-13 : 1e-5);
                ad_graph_free(g);
            }
}

/* Also second derivatives, which go through the sums of parts. */
static void derivatives_of_parts_equal_differences(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(12, 4));
    ad_require_grad(x);
    ad_check_report report;
    for (int k = -1; k < COUNT(kinds); k++) {
        parts p = { k < 0 ? NULL : kinds[k].part, 12 };
        if (ad_gradcheck(sum_of_parts, &p, 1, &x, NULL, &report)) fail_msg("%s", report.message);
        if (ad_gradgradcheck(sum_of_parts, &p, 1, &x, NULL, &report)) fail_msg("%s", report.message);
    }
    ad_graph_free(g);
}

/* A gradient that is evaluated again follows the array. */
static void gradients_of_parts_are_evaluated_again(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(12, 4)), *d, *again;
    parts p = { NULL, 12 };
    assert_int_equal(ad_gradient(sum_of_parts(1, &x, &p), 1, &x, &d), AD_OK);
    double *at = ad_data_mut(x);
    for (int i = 0; i < 48; i++) at[i] = cos(i);
    assert_int_equal(ad_eval(d), AD_OK);
    assert_int_equal(ad_gradient(sum_of_parts(1, &x, &p), 1, &x, &again), AD_OK);
    for (int i = 0; i < 48; i++) assert_close(ad_at(d, i), ad_at(again, i), 1e-11);
    ad_graph_free(g);
}

/* Bytes of the gradient and of a Hessian-vector product of n parts of an array [n,4]. */
static double bytes_of(part_fn *part, int n) {
    ad_graph *g = ad_graph_new();
    ad_var *x = array(g, AD_F64, n), *y = sum_of_parts(1, &x, &(parts){ part, n }), *d, *h;
    double before = (double)ad_graph_stats(g).bytes_used;
    assert_int_equal(ad_gradient(y, 1, &x, &d), AD_OK);
    assert_int_equal(ad_hvp(y, 1, &x, &x, &h), AD_OK);
    double bytes = (double)ad_graph_stats(g).bytes_used - before;
    ad_graph_free(g);
    return bytes;
}

static void gradients_of_parts_take_linear_memory(void **state) {
    (void)state;
    for (int k = 0; k < COUNT(kinds); k++) {
        double once = bytes_of(kinds[k].part, 400), fourfold = bytes_of(kinds[k].part, 1600);
        if (fourfold > 5 * once) fail_msg("%s: %g bytes became %g", kinds[k].name, once, fourfold);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_parts_equal_backward),
        cmocka_unit_test(derivatives_of_parts_equal_differences),
        cmocka_unit_test(gradients_of_parts_are_evaluated_again),
        cmocka_unit_test(gradients_of_parts_take_linear_memory),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
