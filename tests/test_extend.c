/* test_extend.c: the interface for extensions: memory of scopes, buffers, errors, random numbers, threads. */
#include "tests/common.h"

#include <signal.h>

#include "autodiff/extend.h"
#include "autodiff/thread.h"

/* ---- memory ---------------------------------------------------------------------------------------- */

static int closed;
static void count_closing(void *memory) { closed += *(int *)memory; }

static void memory_is_freed_with_its_scope(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    char *outer = ad_scope_zalloc(g, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(outer[i], 0);
    ad_mark m = ad_begin(g);
    double *array = ad_scope_array(g, 24);
    assert_int_equal((int)((uintptr_t)array % 64), 0);
    assert_int_equal((int)((uintptr_t)ad_scope_alloc(g, 3) % 8), 0);
    assert_true(ad_scope_is_older(g, outer));
    assert_false(ad_scope_is_older(g, ad_scope_alloc(g, 8)));
    int *a = ad_scope_closing(g, sizeof *a, count_closing), *b = ad_scope_closing(g, sizeof *b, count_closing);
    *a = 1, *b = 10;
    closed = 0;
    void *inner = ad_scope_alloc(g, 8);
    assert_true(ad_scope_is_open(g, outer) && ad_scope_is_open(g, inner));
    ad_end(g, m);
    assert_true(ad_scope_is_open(g, outer) && !ad_scope_is_open(g, inner));
    assert_int_equal(closed, 11);
    int *last = ad_scope_closing(g, sizeof *last, count_closing);
    *last = 100;
    assert_false(ad_scope_is_older(g, outer)); /* no scope is open */
    ad_graph_free(g);
    assert_int_equal(closed, 111);
}

static void returned_buffers_are_reused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    void *first = ad_buffer_take(g, 1000);
    assert_int_equal((int)((uintptr_t)first % 64), 0);
    ad_buffer_give(g, first, 1000);
    int64_t allocs = ad_graph_stats(g).allocs;
    for (int i = 0; i < 10; i++) {
        void *again = ad_buffer_take(g, 1000);
        assert_ptr_equal(again, first);
        ad_buffer_give(g, again, 1000);
    }
    assert_int_equal(ad_graph_stats(g).allocs, allocs);
    ad_buffer_give(g, NULL, 8); /* ignored */
    assert_null(ad_buffer_take(g, SIZE_MAX));
    assert_int_equal(ad_error_code(g), AD_ENOMEM);
    assert_non_null(strstr(ad_error(g), "a buffer"));
    ad_graph_free(g);
}

/* Rounding such sizes up must not make them small. */
static void sizes_beyond_memory_are_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(3));
    for (size_t k = 0; k < 400; k++) {
        size_t size = k < 200 ? SIZE_MAX - k : SIZE_MAX / 2 - 200 + k;
        void *const results[] = { ad_scope_alloc(g, size), (ad_clear_error(g), ad_scope_zalloc(g, size)),
                                  (ad_clear_error(g), ad_scope_array(g, size)),
                                  (ad_clear_error(g), ad_scope_closing(g, size, NULL)),
                                  (ad_clear_error(g), ad_buffer_take(g, size)) };
        for (int i = 0; i < 5; i++) assert_null(results[i]);
        assert_int_equal(ad_error_code(g), AD_ENOMEM);
        ad_clear_error(g);
    }
    assert_true(ad_at(ad_add(x, x), 2) == 2);
    ad_graph_free(g);
}

/* ---- errors ------------------------------------------------------------------------------------------ */

static int fail_with(ad_graph *g, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int rc = ad_vfail(g, AD_EIO, "here: ", format, args);
    va_end(args);
    return rc;
}

static void errors_reported_by_an_extension(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_true(ad_is_nil(ad_nil(g)) && ad_graph_of(ad_nil(g)) == g);
    assert_true(ad_is_nil(ad_nil(NULL)));
    assert_int_equal(ad_refuse_nil(ad_nil(g), "mine"), AD_EVALUE);
    assert_string_equal(ad_error(g), "mine: the Var is nil, left from an error that was cleared");
    assert_int_equal(ad_refuse_nil(NULL, "mine"), AD_EGRAPH);
    ad_clear_error(g);
    assert_int_equal(ad_no_memory(g, "a cache", 12), AD_ENOMEM);
    assert_string_equal(ad_error(g), "out of memory: 12 bytes for a cache");
    assert_int_equal(ad_refuse_nil(ad_nil(g), "later"), AD_ENOMEM); /* the first error is kept */
    ad_clear_error(g);
    assert_int_equal(fail_with(g, "%d files", 3), AD_EIO);
    assert_string_equal(ad_error(g), "here: 3 files");
    ad_graph_free(g);
}

/* ---- Vars, options -------------------------------------------------------------------------------------------- */

static void has_grad_and_set_requires_grad(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F32, (float[]){ 1, 2 }, AD_SHAPE(2));
    assert_int_equal((int)ad_bytes_of(x), 8);
    assert_int_equal((int)ad_bytes_of(NULL), 0);
    assert_false(ad_has_grad(x) || ad_has_grad(NULL));
    ad_backward(ad_sum(ad_square(x)));
    assert_true(ad_has_grad(x));
    ad_zero_grad(x);
    assert_false(ad_has_grad(x));
    assert_int_equal(ad_set_requires_grad(x, false), AD_OK);
    assert_false(ad_requires_grad(x) || ad_requires_grad(ad_square(x)));
    assert_int_equal(ad_set_requires_grad(x, true), AD_OK);
    ad_backward(ad_sum(ad_square(x)));
    assert_true(ad_grad_at(x, 1) == 4);
    ad_var *constant = ad_ones(g, AD_F64, AD_SHAPE(3)); /* it has no memory for a gradient yet */
    assert_int_equal(ad_set_requires_grad(constant, true), AD_OK);
    ad_backward(ad_sum(ad_muls(constant, 5)));
    assert_true(ad_grad_at(constant, 2) == 5);
    assert_int_equal(ad_set_requires_grad(ad_square(x), false), AD_EVALUE);
    assert_non_null(strstr(ad_error(g), "set_requires_grad: this Var was made by square"));
    ad_graph_free(g);
}

static void option_defaults(void **state) {
    (void)state;
    assert_true(ad_option(0, 0.9) == 0.9 && ad_option(AD_ZERO, 0.9) == 0 && ad_option(0.5, 0.9) == 0.5);
    int64_t count = AD_ZERO; /* AD_ZERO works in integer fields too */
    int small = AD_ZERO;
    assert_true(ad_option((double)count, 20) == 0 && ad_option(small, 20) == 0);
}

/* ---- random numbers, threads --------------------------------------------------------------------------- */

static void random_state_can_be_saved_and_restored(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_seed(g, 7);
    ad_rand(g, AD_F64, AD_SHAPE(3));
    ad_random_state place = ad_random_get(g), own = place;
    ad_var *x = ad_rand(g, AD_F64, AD_SHAPE(5)), *n = ad_randn(g, AD_F32, AD_SHAPE(4));
    ad_random_set(g, place);
    ad_var *again = ad_rand(g, AD_F64, AD_SHAPE(5));
    double u[5];
    float z[4];
    ad_random_uniform(&own, AD_F64, 5, u);
    ad_random_normal(&own, AD_F32, 4, z);
    for (int i = 0; i < 5; i++) assert_true(ad_at(again, i) == ad_at(x, i) && u[i] == ad_at(x, i));
    for (int i = 0; i < 4; i++) assert_true((double)z[i] == ad_at(n, i));
    ad_random_set(NULL, place);
    assert_true(ad_random_get(NULL).counter == 0);
    ad_graph_free(g);
}

enum { MANY = 1 << 20 };

static void fill_squares(void *context, int worker, int64_t from, int64_t to) {
    double *y = context;
    (void)worker;
    for (int64_t i = from; i < to; i++) y[i] = (double)i * (double)i;
}

static void parallel_loops(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    double *y = malloc(MANY * sizeof *y);
    assert_non_null(y);
    assert_null(ad_team_of(NULL));
    for (int threads = 1; threads <= 2; threads++) {
        assert_int_equal(ad_set_threads(g, threads), AD_OK);
        memset(y, 0, MANY * sizeof *y);
        ad_parallel(ad_team_of(g), MANY, 0, 1, fill_squares, y);
        for (int64_t i = 0; i < MANY; i++) assert_true(y[i] == (double)i * (double)i);
    }
    ad_parallel(NULL, 0, 0, 1, fill_squares, NULL); /* no index: the body is not called */
    free(y);
    ad_graph_free(g);
}

static void *note_blocked_signals(void *data) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    *(bool *)data = sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGTERM) == 1;
    return data;
}

static void threads_block_signals(void **state) {
    (void)state;
    pthread_t thread;
    sigset_t own;
    bool blocked = false;
    assert_int_equal(ad_thread_start(&thread, note_blocked_signals, &blocked), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_int_equal(sigismember(&own, SIGTERM), 0); /* the caller's mask is unchanged */
}

/* ---- what extensions may leave out ------------------------------------------------------------------------------- */

/* The code of the error and its sentence, which is cleared. */
#define assert_error(g, code, sentence)                                                                                \
    (assert_int_equal(ad_error_code(g), code), assert_contains(ad_error(g), sentence), ad_clear_error(g))

static void errors_without_words(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *none[5];
    for (int i = 0; i < 5; i++) none[i] = ad_ones(g, i == 4 ? AD_F64 : AD_F32, AD_SHAPE(2));
    assert_int_equal(ad_fail(g, 3, "no code of an error"), AD_EVALUE); /* 0 and above are no errors */
    assert_error(g, AD_EVALUE, "no code of an error");
    ad_fail(g, AD_EIO, NULL);
    assert_error(g, AD_EIO, "an error without a sentence");
    ad_no_memory(g, NULL, 12);
    assert_error(g, AD_ENOMEM, "12 bytes for an object");
    ad_refuse_nil(ad_nil(g), NULL);
    assert_error(g, AD_EVALUE, "a call: the Var is nil");
    assert_int_equal(ad_call_fail(NULL, AD_ESHAPE, "x"), AD_ESHAPE);
    assert_int_equal(ad_call_fail(NULL, 0, "x"), AD_EVALUE);
    assert_int_equal(ad_op_fail(NULL, AD_ESHAPE, "x"), AD_ESHAPE);
    assert_int_equal(ad_op_fail(NULL, 1, "x"), AD_EVALUE);
    ad_concat(5, none, 0);
    assert_error(g, AD_EDTYPE, " x ...");
    ad_graph_free(g);
}

static int count_case(const ad_sample_case *c, void *n) { return (void)c, ++*(int *)n == 2 ? 7 : 0; }
static void sample_nothing(ad_sampler *s) { ad_sample(s, NULL, 0, NULL, NULL, NULL); }
static void samples_that_are_not_there(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const ad_optype *sine = ad_find_op(g, "sin"), nameless = { 0 }, plain = { .name = "plain" };
    const ad_optype empty = { .name = "empty", .samples = sample_nothing };
    int n = 0;
    assert_int_equal(ad_each_sample(g, sine, count_case, &n), 7); /* the second case stops it */
    assert_int_equal(n, 2);
    assert_int_equal(ad_each_sample(NULL, sine, count_case, &n), AD_EVALUE);
    assert_int_equal(ad_each_sample(g, NULL, count_case, &n), AD_EVALUE);
    assert_error(g, AD_EVALUE, "each_sample: g, type, its name or fn is NULL");
    assert_int_equal(ad_each_sample(g, &nameless, count_case, &n), AD_EVALUE);
    assert_error(g, AD_EVALUE, "each_sample");
    assert_int_equal(ad_each_sample(g, sine, NULL, &n), AD_EVALUE);
    assert_error(g, AD_EVALUE, "each_sample");
    assert_int_equal(ad_each_sample(g, &plain, count_case, &n), AD_OK);
    assert_int_equal(ad_each_sample(g, &empty, count_case, &n), AD_EVALUE);
    assert_error(g, AD_EVALUE, "empty: a sample has 0 operands");
    ad_check_report report;
    assert_int_equal(ad_check_op(g, &nameless, &report), AD_EVALUE);
    assert_error(g, AD_EVALUE, "check_op");
    assert_int_equal(n, 2);
    ad_graph_free(g);
}

static void attributes_that_are_not_there(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    const ad_optype *sum = ad_find_op(g, "sum_axis");
    ad_var *y = ad_sum_axis(ad_ones(g, AD_F64, AD_SHAPE(2, 3)), 1, true);
    char text[40];
    int length = ad_op_attr_text(ad_creator(y), 0, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_true(length > 3);
    assert_int_equal(ad_op_attr_text(ad_creator(y), 50, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(ad_op_attr_text(ad_creator(y), -1, text, sizeof text), 0);
    assert_int_equal(ad_op_attr_text(NULL, 0, text, sizeof text), 0);
    assert_int_equal(ad_attr_value_text(sum, 50, NULL, text, sizeof text), 1);
    assert_string_equal(text, "?");
    assert_int_equal(ad_attr_value_text(NULL, 0, NULL, text, sizeof text), 1);
    const ad_attr strange = { .name = "strange", .kind = 99 };
    ad_attr_text(&strange, text, text, sizeof text);
    assert_string_equal(text, "?");
    ad_graph_free(g);
}

static void dtypes_and_shapes_that_do_not_exist(void **state) {
    (void)state;
    const int64_t dims[AD_MAX_NDIM + 1] = { 1, 2, 3, 4, 5, 6, 7 };
    assert_string_equal(ad_dtype_name((ad_dtype)9), "no dtype");
    assert_int_equal(ad_shape_of_dims(-1, dims).ndim, -1);
    assert_int_equal(ad_shape_of_dims(AD_MAX_NDIM + 1, dims).ndim, -1);
    assert_int_equal(ad_shape_of_dims(2, NULL).ndim, -1);
    assert_int_equal(ad_shape_of_dims(0, NULL).ndim, 0);
    assert_int_equal(ad_shape_of_dims(AD_MAX_NDIM, dims).dim[5], 6);
}

static void *take(void *data, size_t align, size_t size) { return (void)data, (void)align, malloc(size); }
static void graphs_and_scopes_that_do_not_fit(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    assert_null(ad_graph_new_with((ad_allocator){ .alloc = take }));
    assert_null(ad_graph_new_with((ad_allocator){ 0 }));
    ad_mark outer = ad_begin(g), inner = ad_begin(g);
    ad_end(other, inner);
    assert_error(other, AD_EGRAPH, "end: this scope is another graph's");
    ad_end(g, outer); /* closes both */
    ad_end(g, inner);
    assert_error(g, AD_EGRAPH, "end: this scope is closed already");
    ad_graph_free(g), ad_graph_free(other);
}

static void names_change(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *a = ad_scalar(g, AD_F64, 1), *b = ad_scalar(g, AD_F64, 2), *c = ad_scalar(g, AD_F64, 3);
    ad_name(a, "a"), ad_name(b, "b"), ad_name(c, "c");
    ad_name(a, "another"); /* the oldest entry, behind the two others */
    ad_name(b, NULL);
    assert_string_equal(ad_name_of(a), "another");
    assert_null(ad_name_of(b));
    assert_string_equal(ad_name_of(c), "c");
    ad_name(b, "again");
    assert_string_equal(ad_name_of(b), "again");
    assert_null(ad_name_of(NULL));
    ad_graph_free(g);
}

static ad_var *product(int n, ad_var *const xs[], void *data) { return (void)n, (void)data, ad_mul(xs[0], xs[1]); }
static void operands_of_two_graphs(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new(), *other = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, (double[]){ 2 }, AD_SCALAR), *there = ad_scalar(other, AD_F64, 3);
    ad_var *missing[] = { x, NULL }, *strange[] = { x, there }, *nil[] = { x, ad_nil(g) };
    ad_checkpoint(product, NULL, 2, missing);
    assert_error(g, AD_EVALUE, "xs[1] is nil or belongs to another graph");
    ad_checkpoint(product, NULL, 2, strange);
    assert_error(g, AD_EVALUE, "xs[1] is nil or belongs to another graph");
    ad_checkpoint(product, NULL, 2, nil);
    assert_error(g, AD_EVALUE, "xs[1] is nil or belongs to another graph");
    ad_graph_free(g), ad_graph_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_freed_with_its_scope),
        cmocka_unit_test(returned_buffers_are_reused), cmocka_unit_test(sizes_beyond_memory_are_refused),
        cmocka_unit_test(errors_reported_by_an_extension),
        cmocka_unit_test(has_grad_and_set_requires_grad),
        cmocka_unit_test(option_defaults),
        cmocka_unit_test(random_state_can_be_saved_and_restored),
        cmocka_unit_test(parallel_loops),
        cmocka_unit_test(threads_block_signals),
        cmocka_unit_test(errors_without_words),
        cmocka_unit_test(samples_that_are_not_there),
        cmocka_unit_test(attributes_that_are_not_there),
        cmocka_unit_test(dtypes_and_shapes_that_do_not_exist),
        cmocka_unit_test(graphs_and_scopes_that_do_not_fit),
        cmocka_unit_test(names_change),
        cmocka_unit_test(operands_of_two_graphs),
    };
    return cmocka_run_group_tests_name("extend", tests, NULL, NULL);
}
