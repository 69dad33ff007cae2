/* test_data_loader.c: minibatches: their rows, order and memory. */
#include "nn/nn.h"
#include "tests/common.h"

enum { N = 23, WIDTH = 3 };

/* Row i of x is 10 i, 10 i + 1, 10 i + 2, and row i of y is i. */
static nn_dataset data_new(ad_graph *g, ad_dtype t) {
    double x[N * WIDTH], y[N];
    for (int i = 0; i < N * WIDTH; i++) x[i] = 10 * (i / WIDTH) + i % WIDTH;
    for (int i = 0; i < N; i++) y[i] = i;
    return (nn_dataset){ param_of(g, t, x, AD_SHAPE(N, WIDTH)), param_of(g, t, y, AD_SHAPE(N)) };
}

/* Runs an epoch and checks that x and y match: returns the number of minibatches, and sets rows [n] to the rows in
   their order. */
static int epoch(nn_loader *l, ad_graph *g, int rows[N], int *n) {
    int batches = 0;
    *n = 0;
    for (;;) {
        ad_mark m = ad_begin(g);
        ad_var *x, *y;
        bool more = nn_loader_next(l, &x, &y);
        for (int64_t i = 0; more && i < ad_numel(y); i++) {
            int row = (int)ad_at(y, i);
            for (int j = 0; j < WIDTH; j++) assert_true(ad_at(x, i * WIDTH + j) == 10 * row + j);
            assert_in_range(*n, 0, N - 1);
            rows[(*n)++] = row;
        }
        if (more) assert_int_equal(ad_shape_of(x).dim[0], ad_shape_of(y).dim[0]);
        ad_end(g, m);
        assert_ok(g);
        if (!more) return batches;
        batches++;
    }
}

static void in_order_and_without_a_copy(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        nn_dataset d = data_new(g, t);
        nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = 5, .in_order = true });
        ad_var *x, *y;
        assert_int_equal(nn_loader_batches(l), 5);
        for (int b = 0; b < 5; b++) {
            assert_true(nn_loader_next(l, &x, &y));
            assert_true(ad_shape_equal(ad_shape_of(x), AD_SHAPE(b < 4 ? 5 : 3, WIDTH)));
            assert_int_equal(ad_dtype_of(x), t);
            assert_false(ad_requires_grad(x));
            assert_ptr_equal(ad_data(x), (const char *)ad_data(d.x) + (size_t)b * 5 * WIDTH * ad_dtype_size(t));
            assert_ptr_equal(ad_data(y), (const char *)ad_data(d.y) + (size_t)b * 5 * ad_dtype_size(t));
        }
        assert_false(nn_loader_next(l, &x, &y));
        assert_true(ad_is_nil(x) && ad_is_nil(y) && ad_ok(g));
        assert_true(nn_loader_next(l, &x, &y)); /* another epoch */
        assert_ptr_equal(ad_data(x), ad_data(d.x));
        ad_graph_free(g);
    }
}

static void every_row_once_an_epoch(void **state) {
    (void)state;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++)
        for (int64_t batch = 1; batch <= N + 2; batch++) {
            ad_graph *g = ad_graph_new();
            nn_loader *l = nn_loader_new(g, data_new(g, t), (nn_loader_opts){ .batch = batch });
            for (int e = 0; e < 3; e++) {
                int rows[N], seen[N] = { 0 }, n;
                assert_int_equal(epoch(l, g, rows, &n), nn_loader_batches(l));
                assert_int_equal(n, N);
                for (int i = 0; i < N; i++) seen[rows[i]]++;
                for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
            }
            assert_int_equal(nn_loader_batches(l), (N + batch - 1) / batch);
            ad_graph_free(g);
        }
}

static void drop_last_leaves_out_what_fills_no_batch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g, AD_F32);
    static const struct {
        int64_t batch;
        int batches;
    } cases[] = { { 5, 4 }, { 23, 1 }, { 24, 0 }, { 1, 23 } };
    for (int i = 0; i < 4; i++)
        for (int shuffled = 0; shuffled <= 1; shuffled++) {
            nn_loader *l = nn_loader_new(
                g, d, (nn_loader_opts){ .batch = cases[i].batch, .in_order = !shuffled, .drop_last = true });
            int rows[N], n;
            assert_int_equal(nn_loader_batches(l), cases[i].batches);
            assert_int_equal(epoch(l, g, rows, &n), cases[i].batches);
            assert_int_equal(n, cases[i].batches * cases[i].batch);
        }
    ad_graph_free(g);
}

static void shuffled_rows(uint64_t seed, int epochs, int rows[N]) {
    ad_graph *g = ad_graph_new();
    ad_seed(g, seed);
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F32), (nn_loader_opts){ .batch = 4 });
    for (int e = 0, n; e < epochs; e++) epoch(l, g, rows, &n);
    ad_graph_free(g);
}

static void the_seed_decides_the_order(void **state) {
    (void)state;
    int a[N], again[N], other[N], later[N], sorted = 0;
    shuffled_rows(1, 1, a);
    shuffled_rows(1, 1, again);
    shuffled_rows(2, 1, other);
    shuffled_rows(1, 2, later);
    assert_memory_equal(a, again, sizeof a);
    assert_memory_not_equal(a, other, sizeof a);
    assert_memory_not_equal(a, later, sizeof a);
    for (int i = 0; i < N; i++) sorted += a[i] == i;
    assert_in_range(sorted, 0, 8); /* on average, a shuffle leaves one row in its place */
}

/* An epoch's order depends on the random numbers and not on the epochs before it. */
static void an_order_can_be_had_again(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F32), (nn_loader_opts){ .batch = 4 });
    int first[N], third[N], n;
    ad_seed(g, 9);
    epoch(l, g, first, &n);
    epoch(l, g, third, &n);
    ad_seed(g, 9);
    epoch(l, g, third, &n);
    assert_memory_equal(first, third, sizeof first);
    ad_graph_free(g);
}

/* Over many shuffles, each row is equally likely to be first and last: chi squared with 22 degrees of freedom. */
static void every_order_is_as_likely(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F32), (nn_loader_opts){ .batch = N });
    enum { EPOCHS = 4600 };
    int first[N] = { 0 }, last[N] = { 0 };
    for (int e = 0; e < EPOCHS; e++) {
        int rows[N], n;
        epoch(l, g, rows, &n);
        first[rows[0]]++;
        last[rows[N - 1]]++;
    }
    double chi_first = 0, chi_last = 0, expected = (double)EPOCHS / N;
    for (int i = 0; i < N; i++) {
        chi_first += (first[i] - expected) * (first[i] - expected) / expected;
        chi_last += (last[i] - expected) * (last[i] - expected) / expected;
    }
    assert_true(chi_first < 60 && chi_last < 60); /* above 48.3 in one of a thousand runs */
    ad_graph_free(g);
}

static void rows_may_have_many_axes_and_no_elements(void **state) {
    (void)state;
    for (int shuffled = 0; shuffled <= 1; shuffled++) {
        ad_graph *g = ad_graph_new();
        ad_var *x, *y, *images = ad_arange(g, AD_F64, 0, 4 * 6, 1), *none = ad_zeros(g, AD_F64, AD_SHAPE(4, 0));
        nn_dataset d = { ad_reshape(images, AD_SHAPE(4, 1, 2, 3)), none };
        nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = 3, .in_order = !shuffled });
        assert_true(nn_loader_next(l, &x, &y));
        assert_true(ad_shape_equal(ad_shape_of(x), AD_SHAPE(3, 1, 2, 3)));
        assert_true(ad_shape_equal(ad_shape_of(y), AD_SHAPE(3, 0)));
        assert_true(ad_at(x, 7) - ad_at(x, 6) == 1 && fmod(ad_at(x, 6), 6) == 0);
        nn_dataset empty = { ad_zeros(g, AD_F64, AD_SHAPE(0, 2)), ad_zeros(g, AD_F64, AD_SHAPE(0)) };
        l = nn_loader_new(g, empty, (nn_loader_opts){ .batch = 3, .in_order = !shuffled });
        assert_int_equal(nn_loader_batches(l), 0);
        assert_false(nn_loader_next(l, &x, &y));
        assert_ok(g);
        ad_graph_free(g);
    }
}

static void bad_data_is_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *three = ad_ones(g, AD_F32, AD_SHAPE(3, 2)), *four = ad_ones(g, AD_F32, AD_SHAPE(4));
    const struct {
        nn_dataset d;
        int64_t batch;
        int code;
        const char *message;
    } bad[] = {
        { { three, four }, 1, AD_ESHAPE, "loader: x has 3 rows and y has 4; both need one row per sample" },
        { { three, NULL }, 1, AD_EVALUE, "loader: x or y of the data set is nil" },
        { { NULL, three }, 1, AD_EVALUE, "loader: x or y of the data set is nil" },
        { { three, three }, 0, AD_EVALUE, "loader: batch 0: it must be at least 1" },
        { { three, three }, AD_ZERO, AD_EVALUE, "loader: batch 0: it must be at least 1" },
        { { three, ad_scalar(g, AD_F32, 1) },
          1,
          AD_ESHAPE,
          "loader: x or y of the data set is a scalar; both need one row per sample" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(nn_loader_new(g, bad[i].d, (nn_loader_opts){ .batch = bad[i].batch }));
        assert_string_equal(ad_error(g), bad[i].message);
        assert_int_equal(ad_error_code(g), bad[i].code);
        ad_clear_error(g);
    }
    ad_graph_free(g);
}

static void null_and_errors_end_the_epoch(void **state) {
    (void)state;
    ad_var *x, *y;
    assert_null(nn_loader_new(NULL, (nn_dataset){ NULL, NULL }, (nn_loader_opts){ .batch = 1 }));
    assert_int_equal(nn_loader_batches(NULL), 0);
    assert_false(nn_loader_next(NULL, &x, &y));
    assert_true(ad_is_nil(x) && ad_is_nil(y));
    ad_graph *g = ad_graph_new();
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F32), (nn_loader_opts){ .batch = 4, .in_order = true });
    ad_fail(g, AD_EVALUE, "something");
    assert_false(nn_loader_next(l, &x, &y));
    assert_true(ad_is_nil(x));
    ad_clear_error(g);
    assert_false(nn_loader_next(l, NULL, &y));
    assert_fails(g, y, AD_EVALUE, "loader_next: x or y is NULL");
    assert_false(nn_loader_next(l, &x, NULL));
    assert_fails(g, x, AD_EVALUE, "loader_next: x or y is NULL");
    assert_false(nn_loader_next(l, NULL, NULL));
    ad_clear_error(g);
    assert_false(nn_loader_next(NULL, NULL, NULL));
    assert_true(nn_loader_next(l, &x, &y));
    assert_true(ad_at(y, 0) == 0);
    ad_graph_free(g);
}

static void loaders_of_closed_scopes_are_noticed(void **state) {
    (void)state;
#ifndef SANITIZED
    ad_graph *g = ad_graph_new();
    nn_dataset d = { ad_ones(g, AD_F64, AD_SHAPE(4, 2)), ad_ones(g, AD_F64, AD_SHAPE(4)) };
    ad_var *x, *y;
    for (int64_t prefetch = 0; prefetch < 2; prefetch++) {
        ad_mark m = ad_begin(g);
        nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = 2, .prefetch = prefetch });
        assert_true(nn_loader_next(l, &x, &y));
        ad_end(g, m);
        assert_false(nn_loader_next(l, &x, &y));
        assert_true(ad_is_nil(x) && ad_is_nil(y));
        assert_string_equal(ad_error(g), "loader_next: the loader was made in a scope that is closed");
        assert_int_equal(ad_error_code(g), AD_EGRAPH);
        ad_clear_error(g);
        assert_int_equal(nn_loader_batches(l), 0);
        assert_string_equal(ad_error(g), "loader_batches: the loader was made in a scope that is closed");
        ad_clear_error(g);
        nn_loader_close(l);
        for (int i = 0; i < 100; i++) ad_adds(d.y, 1); /* uses the memory again */
        assert_false(nn_loader_next(l, &x, &y));
        nn_loader_close(l);
        assert_ok(g);
    }
    ad_graph_free(g);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_without_a_copy),
        cmocka_unit_test(every_row_once_an_epoch),
        cmocka_unit_test(drop_last_leaves_out_what_fills_no_batch),
        cmocka_unit_test(the_seed_decides_the_order),
        cmocka_unit_test(an_order_can_be_had_again),
        cmocka_unit_test(every_order_is_as_likely),
        cmocka_unit_test(rows_may_have_many_axes_and_no_elements),
        cmocka_unit_test(bad_data_is_refused),
        cmocka_unit_test(null_and_errors_end_the_epoch),
        cmocka_unit_test(loaders_of_closed_scopes_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
