/* test_onnx_save.c: nn_save_onnx: what it refuses, and what it writes. tests/onnx_save.sh runs its models. */
#include "nn/nn.h"
#include "tests/common.h"

#include <stdio.h>
#include <unistd.h>

static const char *model_path(void) { return path_of("model.onnx"); }

#ifdef AD_HAVE_PROTOBUF_C

/* ---- what is written --------------------------------------------------------------------------------------------- */

/* The whole file, with a 0 at the end; *n bytes. */
static char *file_bytes(size_t *n) {
    static char bytes[1 << 16];
    FILE *f = fopen(model_path(), "rb");
    *n = f ? fread(bytes, 1, sizeof bytes - 1, f) : 0;
    if (f != NULL) fclose(f);
    unlink(model_path());
    bytes[*n] = '\0';
    return bytes;
}

static bool has(const char *bytes, size_t n, const void *part, size_t size) {
    for (size_t i = 0; i + size <= n; i++)
        if (memcmp(bytes + i, part, size) == 0) return true;
    return false;
}
static bool has_text(const char *bytes, size_t n, const char *text) { return has(bytes, n, text, strlen(text)); }

static void names_and_weights_are_in_the_file(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_sequential(g, nn_linear(g, AD_F32, 3, 2, true), nn_relu(g));
    ad_var *x = ad_name(ad_ones(g, AD_F32, AD_SHAPE(4, 3)), "pixels");
    int64_t ops = ad_graph_stats(g).ops;
    nn_train(net, true);
    assert_int_equal(nn_save_onnx(net, x, model_path()), AD_OK);
    assert_true(nn_training(net) && ad_graph_stats(g).ops == ops); /* as they were */
    size_t n;
    const char *bytes = file_bytes(&n);
    assert_memory_equal(bytes, "\x08\x08\x12\x08" "autodiff", 12); /* field 1: IR version 8; field 2: the producer */
    static const char *const texts[] = { "0.weight", "0.bias", "Gemm", "Relu", "pixels", "batch" };
    for (int i = 0; i < 6; i++) assert_true(has_text(bytes, n, texts[i]));
    assert_true(has(bytes, n, ad_data(nn_find_parameter(net, "0.weight")), 6 * sizeof(float)));
    ad_graph_free(g);
}

/* Constants and ops that no result needs are left out. */
static void only_what_is_needed_is_written(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(ad_ones(g, AD_F64, AD_SHAPE(2)), "a"), *y = ad_name(ad_muls(ad_exp(x), 3), "b");
    ad_sin(y);
    assert_int_equal(nn_save_onnx_vars(model_path(), 1, &y, 1, &x), AD_OK);
    size_t n;
    const char *bytes = file_bytes(&n);
    assert_true(has_text(bytes, n, "Exp") && !has_text(bytes, n, "Sin") && !has_text(bytes, n, "batch"));
    assert_true(n < 250);
    ad_var *mid = ad_op_operand(ad_creator(y), 0); /* an input may be the result of an op */
    assert_int_equal(nn_save_onnx_vars(model_path(), 1, &y, 1, &mid), AD_OK);
    bytes = file_bytes(&n);
    assert_true(has_text(bytes, n, "Mul") && !has_text(bytes, n, "Exp"));
    assert_ok(g);
    ad_graph_free(g);
}

/* A constant of as many numbers as the batch has rows, which is one here. */
static ad_var *times_three(ad_var *x) {
    return ad_mul(x, ad_full(ad_graph_of(x), AD_F64, 3, AD_SHAPE(ad_shape_of(x).dim[0], 1)));
}
static void a_batch_may_have_one_row(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(1, 3));
    assert_int_equal(nn_save_onnx(nn_function(g, times_three), x, model_path()), AD_OK);
    size_t n;
    const char *bytes = file_bytes(&n);
    assert_true(has_text(bytes, n, "Expand") && has(bytes, n, &(double){ 3 }, sizeof(double)));
    assert_ok(g);
    ad_graph_free(g);
}

/* ---- what is refused ---------------------------------------------------------------------------------------------- */

static ad_var *by_row_number(ad_var *x) {
    int64_t rows = ad_shape_of(x).dim[0];
    ad_var *number = ad_arange(ad_graph_of(x), AD_F64, 0, (double)rows, 1);
    return ad_mul(x, ad_reshape(number, AD_SHAPE(rows, 1)));
}
static ad_var *by_count(ad_var *x) { return ad_shape_of(x).dim[0] > 2 ? ad_tanh(x) : ad_sin(x); }
static ad_var *by_rank(ad_var *x) { return ad_shape_of(x).dim[0] > 2 ? ad_add(x, ad_tanh(x)) : ad_add(x, x); }

static ad_var *by_parts(ad_var *x) {
    ad_var *parts[] = { x, x, x };
    return ad_concat((int)ad_shape_of(x).dim[0], parts, 1);
}

/* What is counted along the rows of a batch, whose number is not known in the file. */
static ad_var *turned_rows(ad_var *x) { return ad_roll(x, 0, 1); }
static ad_var *variance_of_rows(ad_var *x) { return ad_variance_axis(x, 0, 1, false); }
static ad_var *row_windows(ad_var *x) {
    ad_var *plane = ad_reshape(x, AD_SHAPE(1, 1, -1, 3));
    return ad_max_pool2d(plane, (ad_pool_opts){ .kernel = { 2, 1 }, .stride = { 1, 1 } });
}
static ad_var *mean_of_rows(ad_var *x) {
    return ad_adaptive_avg_pool2d(ad_reshape(x, AD_SHAPE(1, 1, -1, 3)), 1, 1);
}

static ad_var *times_itself(ad_var *x) { return ad_matmul(x, x); }

static void refusals_name_the_cause(void **state) {
    (void)state;
    static const struct {
        nn_activation *f;
        int code;
        const char *words;
    } cases[] = {
        { ad_erfinv, AD_EABSENT, "save_onnx: erfinv, with a result [2,3], has no form in ONNX" },
        { times_itself, AD_ESHAPE, "matmul" }, /* the network's own error */
        { by_row_number, AD_EVALUE, "constant [2] depends on the number of rows" },
        { by_count, AD_EVALUE, "for one row more the network computes tanh [3,3] in place of sin [2,3]" },
        { by_rank, AD_EVALUE, "for one row more the network computes" },
        { by_parts, AD_EVALUE, "for one row more the network computes concat [3,9] in place of concat [2,6]" },
        { turned_rows, AD_EABSENT, "roll, with a result [2,3], has no form in ONNX" },
        { variance_of_rows, AD_EABSENT, "has no form in ONNX" },
        { row_windows, AD_EABSENT, "max_pool2d, with a result" },
        { mean_of_rows, AD_EABSENT, "has no form in ONNX" },
    };
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, 0.5, AD_SHAPE(2, 3));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = nn_save_onnx(nn_function(g, cases[i].f), x, model_path());
        if (rc != cases[i].code) fail_msg("case %zu: %d, %s", i, rc, ad_error(g));
        assert_contains(ad_error(g), cases[i].words), ad_clear_error(g);
        assert_int_equal(access(model_path(), F_OK), -1);
    }
    ad_graph_free(g);
}

/* c of an lstm at other steps than the last is not in ONNX. */
static ad_var *cell_states(ad_var *x) {
    ad_graph *g = ad_graph_of(x);
    ad_var *h = ad_zeros(g, AD_F64, AD_SHAPE(ad_shape_of(x).dim[0], 1)), *w = ad_ones(g, AD_F64, AD_SHAPE(4, 1));
    return ad_select(ad_lstm(x, w, h, h, false), 0, 1);
}

static void bad_calls_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    nn_module *net = nn_linear(g, AD_F64, 3, 2, true);
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3)), *empty = ad_zeros(g, AD_F64, AD_SHAPE(0, 3));
    ad_var *y = ad_exp(x), *foreign = ad_ones(other, AD_F64, AD_SHAPE(2)), *nothing = NULL;
    assert_int_equal(nn_save_onnx(NULL, NULL, model_path()), AD_EGRAPH);
    assert_int_equal(nn_save_onnx(net, x, NULL), AD_EVALUE);
    assert_contains(ad_error(g), "path is NULL"), ad_clear_error(g);
    assert_int_equal(nn_save_onnx(net, empty, model_path()), AD_ESHAPE);
    assert_contains(ad_error(g), "x [0,3] is no batch"), ad_clear_error(g);
    assert_int_equal(nn_save_onnx(net, x, "no_such_folder/model.onnx"), AD_EIO);
    assert_contains(ad_error(g), "save_onnx: no_such_folder/model.onnx: "), ad_clear_error(g);
    assert_int_equal(nn_save_onnx_vars(model_path(), 1, &y, 1, &foreign), AD_EVALUE);
    assert_contains(ad_error(g), "xs[0] is NULL, nil or of another graph"), ad_clear_error(g);
    assert_int_equal(nn_save_onnx_vars(model_path(), 1, &y, 1, &nothing), AD_EVALUE), ad_clear_error(g);
    assert_int_equal(nn_save_onnx_vars(model_path(), 0, &y, 1, &x), AD_EVALUE);
    assert_contains(ad_error(g), "0 results of 1 inputs"), ad_clear_error(g);
    assert_int_equal(nn_save_onnx_vars(model_path(), 0, &y, 0, NULL), AD_EGRAPH);
    ad_var *steps = ad_ones(g, AD_F64, AD_SHAPE(2, 3, 4));
    assert_int_equal(nn_save_onnx(nn_function(g, cell_states), steps, model_path()), AD_EABSENT);
    assert_contains(ad_error(g), "lstm"), ad_clear_error(g);
    assert_int_equal(access(model_path(), F_OK), -1);
    ad_graph_free(g), ad_graph_free(other);
}

#else

static void builds_without_protobuf_say_so(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(2, 3));
    assert_int_equal(nn_save_onnx(nn_function(g, ad_exp), x, model_path()), AD_EABSENT);
    assert_contains(ad_error(g), "save_onnx: this build of autodiff has no protobuf-c"), ad_clear_error(g);
    assert_int_equal(nn_save_onnx_vars(model_path(), 1, &x, 0, NULL), AD_EABSENT);
    ad_graph_free(g);
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef AD_HAVE_PROTOBUF_C
        cmocka_unit_test(names_and_weights_are_in_the_file),
        cmocka_unit_test(only_what_is_needed_is_written),
        cmocka_unit_test(a_batch_may_have_one_row),
        cmocka_unit_test(refusals_name_the_cause),
        cmocka_unit_test(bad_calls_are_refused),
#else
        cmocka_unit_test(builds_without_protobuf_say_so),
#endif
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
