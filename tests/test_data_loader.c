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

/* ---- rows drawn by weights ------------------------------------------------------------------------------------- */

enum { DRAWS = 20000 };

/* counts[i]: how often row i came in an epoch of DRAWS rows; returns a checksum of the order. */
static uint64_t counts_of(uint64_t seed, ad_dtype t, const double *w, int64_t prefetch, int counts[N]) {
    ad_graph *g = ad_graph_new();
    uint64_t sum = 0;
    ad_seed(g, seed);
    nn_loader_opts o = { .batch = 64, .draws = DRAWS, .prefetch = prefetch };
    o.draw_weights = param_of(g, t, w, AD_SHAPE(N));
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F32), o);
    assert_int_equal(nn_loader_batches(l), (DRAWS + 63) / 64);
    memset(counts, 0, N * sizeof *counts);
    ad_var *x, *y;
    int rows = 0;
    while (nn_loader_next(l, &x, &y))
        for (int64_t i = 0; i < ad_numel(y); i++, rows++) {
            int row = (int)ad_at(y, i);
            assert_true(ad_at(x, i * WIDTH) == 10 * row);
            counts[row]++;
            sum = sum * 31 + (uint64_t)row;
        }
    assert_int_equal(rows, DRAWS);
    assert_ok(g);
    ad_graph_free(g);
    return sum;
}

/* The sum of (count - expected)^2 / expected has 21 degrees of freedom; above 46.8 with probability 0.001. */
static void rows_drawn_in_proportion(void **state) {
    (void)state;
    double w[N], total = 0;
    for (int i = 0; i < N; i++) total += w[i] = i == 0 || i == N - 1 || i == 7 ? 0 : 0.25 * (1 + i % 5);
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        int counts[N], again[N];
        double chi = 0;
        uint64_t order = counts_of(3, t, w, 0, counts);
        assert_true(counts_of(3, t, w, 2, again) == order);
        assert_true(counts_of(4, t, w, 0, again) != order);
        for (int i = 0; i < N; i++)
            if (w[i] == 0) assert_int_equal(counts[i], 0);
            else chi += pow(counts[i] - DRAWS * w[i] / total, 2) / (DRAWS * w[i] / total);
        assert_true(chi < 46.8 && chi > 4);
    }
}

static void an_epoch_has_as_many_rows_as_the_data_set(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double w[N] = { [5] = 2 };
    nn_loader_opts o = { .batch = 4, .draw_weights = param_of(g, AD_F64, w, AD_SHAPE(N)) };
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F64), o);
    for (int e = 0; e < 2; e++) {
        int rows[N], n;
        assert_int_equal(epoch(l, g, rows, &n), 6);
        assert_int_equal(n, N);
        for (int i = 0; i < N; i++) assert_int_equal(rows[i], 5);
    }
    ad_graph_free(g);
}

static void bad_weights_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = { ad_ones(g, AD_F32, AD_SHAPE(3, 2)), ad_ones(g, AD_F32, AD_SHAPE(3)) };
    ad_var *ones = ad_ones(g, AD_F32, AD_SHAPE(3)), *zeros = ad_zeros(g, AD_F32, AD_SHAPE(3)), *nil = ad_matmul(d.x, d.x);
    ad_clear_error(g);
    ad_var *one = ad_tensor(g, AD_F64, (double[]){ 0, 2, 0 }, AD_SHAPE(3));
    const double below[] = { 1, -0.5, 1 }, nan[] = { 1, 1, NAN }, huge[] = { 1e308, 1e308, 1 };
    const struct {
        nn_loader_opts o;
        const char *message;
    } bad[] = {
        { { .draw_weights = ad_ones(g, AD_F32, AD_SHAPE(4)) }, "draw_weights are [4]; they must be [3], one for each row" },
        { { .draw_weights = zeros }, "the sum of draw_weights is 0; it must be above 0 and finite" },
        { { .draw_weights = param_of(g, AD_F64, below, AD_SHAPE(3)) }, "draw_weights of row 1 is -0.5; it must be 0 or more" },
        { { .draw_weights = param_of(g, AD_F64, nan, AD_SHAPE(3)) }, "draw_weights of row 2 is nan" },
        { { .draw_weights = param_of(g, AD_F64, huge, AD_SHAPE(3)) }, "the sum of draw_weights is inf" },
        { { .draw_weights = nil }, "draw_weights are nil" },
        { { .draw_weights = ones, .in_order = true }, "rows are drawn by draw_weights, or they are in_order" },
        { { .draw_weights = ones, .draws = -1 }, "draws -1: it must be in 0 .. 2^59" },
        { { .draw_weights = ones, .draws = INT64_MAX }, "it must be in 0 .. 2^59" },
        { { .draws = 5 }, "draws and draw_once have a meaning with draw_weights only" },
        { { .draw_once = true }, "draws and draw_once have a meaning with draw_weights only" },
        { { .draw_weights = ones, .draws = 4, .draw_once = true }, "4 draws of 3 rows with a draw_weight above 0" },
        { { .draw_weights = one, .draws = 2, .draw_once = true }, "2 draws of 1 rows with a draw_weight above 0" },
        { { .draw_weights = one, .draw_once = true }, "3 draws of 1 rows with a draw_weight above 0; with draw_once" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_loader_opts o = bad[i].o;
        o.batch = 1;
        assert_null(nn_loader_new(g, d, o));
        assert_contains(ad_error(g), bad[i].message);
        ad_clear_error(g);
    }
    ad_graph_free(g);
}

enum { FEW = 5, PAIRS = FEW * FEW };

/* counts[FEW i + j]: how often rows i and j, in this order, were an epoch of two draws without replacement. */
static void count_pairs(ad_dtype t, const double *w, int64_t prefetch, int epochs, int counts[PAIRS]) {
    ad_graph *g = ad_graph_new();
    const double rows[FEW] = { 0, 1, 2, 3, 4 };
    ad_seed(g, 11);
    nn_dataset d = { param_of(g, t, rows, AD_SHAPE(FEW, 1)), param_of(g, t, rows, AD_SHAPE(FEW)) };
    nn_loader_opts o = { .batch = 1, .draws = 2, .draw_once = true, .prefetch = prefetch };
    o.draw_weights = param_of(g, t, w, AD_SHAPE(FEW));
    nn_loader *l = nn_loader_new(g, d, o);
    memset(ad_data_mut(o.draw_weights), 0, FEW * ad_dtype_size(t)); /* the loader has read them */
    memset(counts, 0, PAIRS * sizeof *counts);
    for (int e = 0; e < epochs; e++) {
        ad_mark m = ad_begin(g);
        ad_var *x, *y, *end;
        assert_true(nn_loader_next(l, &x, &y) && nn_loader_next(l, &end, &y) && !nn_loader_next(l, &y, &y));
        counts[FEW * (int)ad_item(x) + (int)ad_item(end)]++;
        ad_end(g, m);
    }
    assert_ok(g);
    ad_graph_free(g);
}

/* The first row is i with probability w[i] / sum, the second one j with w[j] / (sum - w[i]). The sum of (count -
   expected)^2 / expected over the 12 pairs that may come has 11 degrees of freedom: above 31.3 with probability 0.001.
   How often a row is among the two is within 4 standard deviations. */
static void rows_drawn_once(void **state) {
    (void)state;
    const int epochs = test_quick() ? 2000 : 40000;
    const double w[FEW] = { 1, 2, 0, 3, 4 };
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        int counts[PAIRS], again[PAIRS];
        double chi = 0, included[FEW] = { 0 }, seen[FEW] = { 0 };
        count_pairs(t, w, 0, epochs, counts);
        count_pairs(t, w, 1, epochs, again);
        assert_memory_equal(counts, again, sizeof counts);
        for (int i = 0; i < FEW; i++)
            for (int j = 0; j < FEW; j++) {
                double p = i == j ? 0 : w[i] / 10 * w[j] / (10 - w[i]), expected = epochs * p;
                if (p == 0) assert_int_equal(counts[FEW * i + j], 0);
                else chi += pow(counts[FEW * i + j] - expected, 2) / expected;
                included[i] += p, included[j] += p;
                seen[i] += counts[FEW * i + j], seen[j] += counts[FEW * i + j];
            }
        assert_true(chi < 31.3 && chi > 1);
        for (int i = 0; i < FEW; i++)
            assert_true(fabs(seen[i] - epochs * included[i]) <= 4 * sqrt(epochs * included[i] * (1 - included[i])));
    }
}

/* Also of weights so small that their clocks overflow: none of weight 0. */
static void each_row_at_most_once_an_epoch(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double w[N] = { 0 };
    for (int i = 1; i < N; i++) w[i] = i % 3 == 0 ? 1e-320 : i;
    nn_loader_opts o = { .batch = 4, .draws = N - 1, .draw_once = true };
    o.draw_weights = param_of(g, AD_F64, w, AD_SHAPE(N));
    nn_loader *l = nn_loader_new(g, data_new(g, AD_F64), o);
    for (int e = 0; e < 20; e++) {
        int rows[N], n, seen[N] = { 0 };
        assert_int_equal(epoch(l, g, rows, &n), 6);
        assert_int_equal(n, N - 1);
        for (int i = 0; i < n; i++) assert_int_equal(seen[rows[i]]++, 0);
        assert_int_equal(seen[0], 0);
        for (int i = 0; i < n; i++) assert_true(i < 15 ? rows[i] % 3 != 0 : rows[i] % 3 == 0);
    }
    ad_graph_free(g);
}

static void more_rows_than_can_be_drawn_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *none = ad_zeros(g, AD_F32, AD_SHAPE((1 << 24) + 1, 0));
    nn_loader_opts o = { .batch = 1, .draw_weights = none, .draws = 3, .draw_once = true };
    assert_null(nn_loader_new(g, (nn_dataset){ none, none }, o));
    assert_contains(ad_error(g), "loader: draw_once from 16777217 rows: 2^24 at most");
    ad_graph_free(g);
}

/* All weight is on the rows whose target is 3. */
static void fit_draws_rows(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(4, 1)), *y = ad_tensor(g, AD_F64, (double[]){ 3, -5, 3, 9 }, AD_SHAPE(4, 1));
    nn_module *net = nn_linear(g, AD_F64, 1, 1, false);
    nn_fit_opts o = { .epochs = 20, .batch = 2, .draws = 6 };
    o.draw_weights = ad_tensor(g, AD_F64, (double[]){ 1, 0, 2, 0 }, AD_SHAPE(4));
    assert_int_equal(nn_fit(net, nn_mse, nn_sgd(net, (nn_sgd_opts){ .lr = 0.25 }), (nn_dataset){ x, y }, o, NULL), AD_OK);
    assert_close(ad_at(nn_find_parameter(net, "weight"), 0), 3, 1e-12);
    o.draw_once = true; /* of two rows */
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.25 });
    assert_int_equal(nn_fit(net, nn_mse, opt, (nn_dataset){ x, y }, o, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "loader: 6 draws of 2 rows with a draw_weight above 0");
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_drawn_in_proportion),
        cmocka_unit_test(an_epoch_has_as_many_rows_as_the_data_set),
        cmocka_unit_test(rows_drawn_once),
        cmocka_unit_test(each_row_at_most_once_an_epoch),
        cmocka_unit_test(more_rows_than_can_be_drawn_once),
        cmocka_unit_test(bad_weights_are_refused),
        cmocka_unit_test(fit_draws_rows),
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
