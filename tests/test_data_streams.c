/* test_data_streams.c: streams of minibatches, and those of the rows of files. */
#include "tests/training.h"

/* ---- streams ------------------------------------------------------------------------------------------------- */

typedef struct {
    nn_dataset d;
    int64_t batch;
    int calls;
} pieces;

/* Random numbers of the graph, drawn between those of the training, would not be repeated: it draws none. */
static bool next_piece(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    pieces *p = data;
    int64_t from = number * p->batch, n = ROWS - from < p->batch ? ROWS - from : p->batch;
    p->calls++;
    assert_true(epoch >= 1 && epoch <= EPOCHS && ad_ok(g));
    if (n <= 0) return false;
    *x = ad_narrow(p->d.x, 0, from, n);
    *y = ad_narrow(p->d.y, 0, from, n);
    return true;
}

static void a_stream_is_trained_on(void **state) {
    (void)state;
    for (int64_t accumulate = 1; accumulate <= 2; accumulate++) {
        ad_graph *g = ad_graph_new();
        nn_module *m = net_new(g, AD_F64);
        pieces p = { data_new(g, AD_F64), 8 / accumulate, 0 };
        FILE *told = tmpfile();
        nn_training_state end;
        nn_fit_opts o = { .epochs = EPOCHS, .stream = next_piece, .stream_data = &p, .accumulate = accumulate };
        o.validation = p.d, o.progress = told;
        assert_int_equal(nn_fit(m, nn_cross_entropy, sgd(m), (nn_dataset){ NULL, NULL }, o, &end), AD_OK);
        compare("sgd_8", m, 1e-12);
        assert_int_equal(end.steps, 9);
        assert_int_equal(end.epoch, EPOCHS);
        rewind(told);
        char line[200];
        for (int e = 1; e <= EPOCHS; e++) {
            assert_non_null(fgets(line, sizeof line, told));
            assert_contains(line, " samples/s  ");
            assert_contains(line, " s left");
        }
        fclose(told);
        ad_graph_free(g);
    }
}

static void a_stream_is_resumed(void **state) {
    (void)state;
    for (int stop = 1; stop <= 12; stop++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 3);
        nn_module *whole = noisy_net(g), *parts = nn_copy(whole), *again = nn_copy(whole),
                  *nets[3] = { whole, parts, again };
        pieces p = { data_new(g, AD_F32), 6, 0 };
        for (int i = 0; i < 3; i++) {
            nn_fit_opts o = { .epochs = EPOCHS, .stream = next_piece, .stream_data = &p };
            if (i > 0) o.checkpoint = path_of("half"), o.checkpoint_steps = 2, o.resume = true;
            if (i == 1) o.on_step = stop_at, o.callback_data = &stop;
            ad_seed(g, 5);
            assert_int_equal(nn_fit(nets[i], nn_cross_entropy, adam(nets[i]), (nn_dataset){ NULL, NULL }, o, NULL),
                             AD_OK);
        }
        assert_same_nets(whole, again);
        unlink(path_of("half"));
        ad_graph_free(g);
    }
}

/* ---- rows of files ------------------------------------------------------------------------------------------- */

static void write_idx(const char *name, int type, int n, int width) {
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    const unsigned char head[] = {
        0, 0, (unsigned char)type, (unsigned char)(width ? 2 : 1), 0, 0, 0, (unsigned char)n, 0,
        0, 0, (unsigned char)width
    };
    fwrite(head, 1, width ? 12 : 8, f);
    for (int i = 0; i < n * (width ? width : 1); i++) fputc(i % 251, f);
    fclose(f);
}

static void rows_of_files_are_read(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *all[2];
    for (int t = 0; t < 2; t++) {
        all[t] = ad_randn(g, (ad_dtype)t, AD_SHAPE(7, 2, 3));
        assert_int_equal(nn_save_npy(all[t], path_of("x.npy")), AD_OK);
        nn_rows *r = nn_map_npy(g, path_of("x.npy"));
        assert_ok(g);
        assert_true(ad_shape_equal(nn_rows_shape(r), AD_SHAPE(7, 2, 3)));
        static const int64_t index[] = { 6, 0, 3, 3 };
        for (int to = 0; to < 2; to++) {
            ad_var *x = nn_read_rows(r, (ad_dtype)to, 1, 4, index), *twice = nn_read_rows(r, (ad_dtype)to, 2, 4, index);
            assert_shape(x, AD_SHAPE(4, 2, 3));
            for (int64_t i = 0; i < 24; i++) {
                double want = ad_at(all[t], 6 * index[i / 6] + i % 6);
                assert_close(ad_at(x, i), want, to == t ? 0 : 1e-7);
                assert_close(ad_at(twice, i), 2 * want, to == t ? 0 : 1e-7);
            }
        }
        assert_shape(nn_read_rows(r, AD_F32, 1, 0, NULL), AD_SHAPE(0, 2, 3));
        assert_fails(g, nn_read_rows(r, AD_F32, 1, 1, (int64_t[]){ 7 }), AD_EVALUE,
                     "read_rows: there is no row 7 of 7");
        assert_fails(g, nn_read_rows(r, AD_F32, 1, 1, (int64_t[]){ -1 }), AD_EVALUE,
                     "read_rows: there is no row -1 of 7");
        assert_fails(g, nn_read_rows(r, AD_F32, 1, 2, NULL), AD_EVALUE, "read_rows: 2 rows, or no numbers of them");
    }
    write_idx("x.idx", 8, 5, 3);
    nn_rows *r = nn_map_idx(g, path_of("x.idx"));
    ad_var *x = nn_read_rows(r, AD_F32, 0.5, 2, (int64_t[]){ 4, 1 });
    for (int64_t i = 0; i < 6; i++) assert_true(ad_at(x, i) == 0.5 * (double)(i < 3 ? 12 + i : i));
    assert_ok(g);
    ad_graph_free(g);
    unlink(path_of("x.npy")), unlink(path_of("x.idx"));
}

static void cut(const char *name, long size) { assert_int_equal(truncate(path_of(name), size), 0); }

static void assert_not_mapped(nn_rows *map(ad_graph *, const char *), const char *name, int code, const char *text) {
    ad_graph *g = ad_graph_new();
    assert_null(map(g, name));
    assert_contains(ad_error(g), text);
    assert_int_equal(ad_error_code(g), code);
    ad_graph_free(g);
}

static void bad_files_are_not_mapped(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_save_npy(ad_ones(g, AD_F32, AD_SHAPE(4, 2)), path_of("y.npy"));
    nn_save_npy(ad_ones(g, AD_F32, AD_SCALAR), path_of("scalar.npy"));
    write_idx("y.idx", 8, 5, 3);
    assert_not_mapped(nn_map_npy, path_of("none"), AD_EIO, "none: No such file or directory");
    assert_not_mapped(nn_map_npy, NULL, AD_EVALUE, "map_npy: path is NULL");
    assert_not_mapped(nn_map_npy, path_of("y.idx"), AD_EIO, "y.idx: is not an .npy file");
    assert_not_mapped(nn_map_npy, path_of("scalar.npy"), AD_EIO, "is a scalar, without rows");
    assert_not_mapped(nn_map_idx, path_of("y.npy"), AD_EIO, "y.npy: is not an IDX file that can be read");
    assert_not_mapped(nn_map_npy, test_folder, AD_EIO, "is a folder, not a plain file");
    cut("y.npy", 150);
    assert_not_mapped(nn_map_npy, path_of("y.npy"), AD_EIO, "y.npy: is truncated");
    cut("y.npy", 60);
    assert_not_mapped(nn_map_npy, path_of("y.npy"), AD_EIO, "y.npy: ends within its header");
    cut("y.npy", 0);
    assert_not_mapped(nn_map_npy, path_of("y.npy"), AD_EIO, "y.npy: is empty");
    for (long size = 26; size > 0; size--) {
        cut("y.idx", size);
        assert_not_mapped(nn_map_idx, path_of("y.idx"), AD_EIO, "y.idx: ");
    }
    FILE *f = fopen(path_of("y.npy"), "wb");
    const char head[] = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }\n";
    fwrite("\x93NUMPY\1\0", 1, 8, f), fputc((int)sizeof head - 1, f), fputc(0, f), fwrite(head, 1, sizeof head - 1, f);
    for (int i = 0; i < 16; i++) fputc(0, f);
    fclose(f);
    assert_not_mapped(nn_map_npy, path_of("y.npy"), AD_EIO, "is in Fortran order, in which a row is not in one piece");
    unlink(path_of("y.npy")), unlink(path_of("y.idx")), unlink(path_of("scalar.npy"));
    ad_graph_free(g);
}

enum { N = 257 };

static nn_rows *numbers(ad_graph *g, const char *name, int n) {
    assert_int_equal(nn_save_npy(ad_arange(g, AD_F64, 0, n, 1), path_of(name)), AD_OK);
    return nn_map_npy(g, path_of(name));
}

/* The order of the rows in an epoch, which must have each of them once. */
static void order_of(ad_graph *g, nn_rows *r, int64_t epoch, uint64_t seed, int to[N]) {
    nn_row_stream s = { .x = r, .y = r, .dtype = AD_F64, .batch = 10, .y_scale = 2, .seed = seed };
    bool seen[N] = { false };
    int n = 0;
    ad_var *x, *y;
    for (int64_t number = 0; nn_stream_rows(g, epoch, number, &x, &y, &s); number++) {
        assert_int_equal(ad_numel(x), number < 25 ? 10 : 7);
        for (int64_t i = 0; i < ad_numel(x); i++) {
            int k = (int)ad_at(x, i);
            assert_true(ad_at(y, i) == 2 * k && !seen[k]);
            seen[k] = true;
            to[n++] = k;
        }
    }
    assert_ok(g);
    assert_int_equal(n, N);
}

/* Epochs and seeds have orders of their own, which look random. */
static void a_stream_of_rows_has_all_rows_once(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_rows *r = numbers(g, "n.npy", N);
    int order[N], next[N], other[N], fixed = 0, same = 0;
    double product = 0;
    order_of(g, r, 1, 8, order), order_of(g, r, 2, 8, next), order_of(g, r, 1, 9, other);
    for (int i = 0; i < N; i++) {
        fixed += order[i] == i;
        same += (order[i] == next[i]) + (order[i] == other[i]);
        product += (i - 128.0) * (order[i] - 128.0);
    }
    assert_true(fixed < 8 && same < 12);
    assert_true(fabs(product) < 4 * (N * N - 1) / 12.0 * sqrt(N)); /* correlation below 4 standard deviations */
    unlink(path_of("n.npy"));
    ad_graph_free(g);
}

static void rows_come_in_order_if_asked(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_rows *r = numbers(g, "n.npy", N), *few = numbers(g, "m.npy", 3);
    nn_row_stream s = { .x = r, .y = r, .batch = 100, .in_order = true, .drop_last = true };
    ad_var *x, *y;
    assert_true(nn_stream_rows(g, 1, 1, &x, &y, &s));
    assert_true(ad_at(x, 3) == 103 && ad_dtype_of(x) == AD_F32);
    assert_false(nn_stream_rows(g, 1, 2, &x, &y, &s));
    assert_false(nn_stream_rows(g, 1, INT64_MAX, &x, &y, &s));
    assert_ok(g);
    s.y = few;
    assert_false(nn_stream_rows(g, 1, 0, &x, &y, &s));
    assert_fails(g, x, AD_ESHAPE, "stream_rows: 257 rows of x, 3 of y");
    s.y = NULL;
    assert_false(nn_stream_rows(g, 1, 0, &x, &y, &s));
    assert_fails(g, y, AD_EVALUE, "stream_rows: the rows are NULL");
    assert_false(nn_stream_rows(g, 1, 0, &x, &y, NULL));
    assert_fails(g, y, AD_EVALUE, "stream_rows: no nn_row_stream is given");
    unlink(path_of("n.npy")), unlink(path_of("m.npy"));
    ad_graph_free(g);
}

/* nn_fit over files, as over the data set that they hold. */
static void files_are_trained_on(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *m = net_new(g, AD_F64);
    nn_dataset d = data_new(g, AD_F64);
    nn_save_npy(d.x, path_of("x.npy")), nn_save_npy(d.y, path_of("y.npy"));
    nn_row_stream s = { nn_map_npy(g, path_of("x.npy")), nn_map_npy(g, path_of("y.npy")), .dtype = AD_F64, .batch = 8 };
    s.in_order = true;
    nn_fit_opts o = { .epochs = EPOCHS, .stream = nn_stream_rows, .stream_data = &s };
    assert_int_equal(nn_fit(m, nn_cross_entropy, sgd(m), (nn_dataset){ NULL, NULL }, o, NULL), AD_OK);
    compare("sgd_8", m, 1e-12);
    unlink(path_of("x.npy")), unlink(path_of("y.npy"));
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_trained_on),
        cmocka_unit_test(a_stream_is_resumed),
        cmocka_unit_test(rows_of_files_are_read),
        cmocka_unit_test(bad_files_are_not_mapped),
        cmocka_unit_test(a_stream_of_rows_has_all_rows_once),
        cmocka_unit_test(rows_come_in_order_if_asked),
        cmocka_unit_test(files_are_trained_on),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
