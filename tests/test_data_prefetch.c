/* test_data_prefetch.c: minibatches prepared by a thread: the same bits, ahead of time, until the thread ends. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nn/data/loader.h"
#include "tests/common.h"

/* ---- threads that cannot be started ------------------------------------------------------------------ */

static bool no_threads;
static int threads; /* started so far */

/* Replaces the one of the system. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data) {
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *found = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &found, sizeof real);
    if (no_threads || real == NULL) return EAGAIN;
    threads++;
    return real(thread, attributes, run, data);
}

/* ---- a data set and transforms ----------------------------------------------------------------------- */

enum { N = 61, WIDTH = 5 };

static nn_dataset data_new(ad_graph *g) {
    ad_var *x = ad_arange(g, AD_F32, 0, N * WIDTH, 1), *y = ad_arange(g, AD_F64, 0, N, 1);
    return (nn_dataset){ ad_reshape(x, AD_SHAPE(N, WIDTH)), y };
}

static void pause_for(int64_t microseconds) {
    struct timespec t = { 0, (long)(1000 * microseconds) };
    nanosleep(&t, NULL);
}

static void shake(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data) {
    assert_true(t == AD_F32 && row.ndim == 1 && row.dim[0] == WIDTH && data == NULL);
    for (int i = 0; i < WIDTH; i++) ((float *)to)[i] = ((const float *)from)[i] + (float)nn_random_normal(r);
}

/* The same with occasional delays. */
static void dawdle(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *data) {
    if ((int)((const float *)from)[0] % 7 == 0) pause_for(50);
    shake(t, row, from, to, r, data);
}

static atomic_int counted, elsewhere; /* rows made, and those of them made on another thread */

static void count(ad_dtype t, ad_shape row, const void *from, void *to, ad_random_state *r, void *caller) {
    memcpy(to, from, (size_t)ad_shape_numel(row) * ad_dtype_size(t));
    (void)r;
    if (!pthread_equal(*(pthread_t *)caller, pthread_self())) atomic_fetch_add(&elsewhere, 1);
    atomic_fetch_add(&counted, 1);
}

static nn_loader *counting_loader(ad_graph *g, int64_t prefetch) {
    static pthread_t self;
    self = pthread_self();
    counted = elsewhere = 0;
    nn_loader_opts o = { .batch = 4, .in_order = true, .prefetch = prefetch, .transform = count,
                         .transform_data = &self };
    return nn_loader_new(g, data_new(g), o);
}

/* Whether the count reaches n and then stays there for a while. */
static bool counts_to(int n) {
    for (int i = 0; i < 20000 && counted < n; i++) pause_for(100);
    pause_for(3000);
    return counted == n;
}

/* ---- the same bits ----------------------------------------------------------------------------------- */

typedef struct {
    float x[3 * N * WIDTH];
    double y[3 * N], drawn[3 * N];
    int rows, batches;
} record;

/* Three epochs. The minibatches of an epoch are read at its end: none may have been overwritten. */
static void record_epochs(nn_loader *l, ad_graph *g, record *to) {
    ad_var *x[N + 1], *y[N + 1]; /* nil at the end */
    for (int e = 0; e < 3; e++) {
        ad_mark m = ad_begin(g);
        int n = 0;
        while (nn_loader_next(l, &x[n], &y[n])) {
            to->drawn[to->batches++] = ad_item(ad_rand(g, AD_F64, AD_SCALAR)); /* the graph's own random numbers */
            if (n++ % 3 == 0) pause_for(200);
        }
        for (int i = 0; i < n; i++) {
            memcpy(to->x + to->rows * WIDTH, ad_data(x[i]), (size_t)ad_numel(x[i]) * sizeof *to->x);
            memcpy(to->y + to->rows, ad_data(y[i]), (size_t)ad_numel(y[i]) * sizeof *to->y);
            to->rows += (int)ad_numel(y[i]);
        }
        ad_end(g, m);
        assert_ok(g);
    }
}

static record *record_of(nn_loader_opts o) {
    record *r = calloc(1, sizeof *r);
    assert_non_null(r);
    ad_graph *g = ad_graph_new();
    ad_seed(g, 12);
    nn_loader *l = nn_loader_new(g, data_new(g), o);
    assert_ok(g);
    record_epochs(l, g, r);
    nn_loader_close(l);
    ad_graph_free(g);
    return r;
}

static void minibatches_are_the_same(void **state) {
    (void)state;
    static const int64_t ahead[] = { 1, 2, 7, 1000000 }, batches[] = { 1, 4, N, 2 * N };
    for (int options = 1; options < 8; options++) /* bits: shuffled, transformed, drop_last */
        for (int b = 0; b < 4; b++) {
            nn_loader_opts o = { .batch = batches[b],
                                 .in_order = !(options & 1),
                                 .transform = options & 2 ? shake : NULL,
                                 .drop_last = options & 4 };
            record *want = record_of(o);
            for (int a = 0; a < 4; a++) {
                o.prefetch = ahead[a];
                if (o.transform != NULL && a % 2 == 0) o.transform = dawdle;
                int before = threads;
                record *got = record_of(o);
                assert_int_equal(threads - before, !o.in_order || o.transform != NULL);
                assert_memory_equal(got, want, sizeof *got);
                free(got);
            }
            free(want);
        }
}

/* Moves to random positions, within an epoch and in another one, as resuming from a checkpoint does. */
static void a_loader_can_go_elsewhere(void **state) {
    (void)state;
    record *want = record_of((nn_loader_opts){ .batch = 4, .transform = shake });
    ad_graph *g = ad_graph_new();
    ad_seed(g, 12);
    nn_loader *l = nn_loader_new(g, data_new(g), (nn_loader_opts){ .batch = 4, .transform = dawdle, .prefetch = 3 });
    nn__loader_place place[48];
    ad_var *x, *y;
    uint64_t random = 1;
    for (int b = 0; b < 48; b++) {
        if (nn_loader_next(l, &x, &y)) ad_rand(g, AD_F64, AD_SCALAR);
        place[b] = nn__loader_where(l);
    }
    for (int i = 0; i < 500; i++) {
        int b = next_below(&random, 48), row = (int)place[b].at + b / 16 * N;
        if (place[b].at == 0 || place[b].at == N) continue; /* between epochs, the order is not yet known */
        assert_int_equal(nn__loader_go(l, place[b]), AD_OK);
        assert_true(nn_loader_next(l, &x, &y));
        assert_memory_equal(ad_data(x), want->x + row * WIDTH, (size_t)ad_numel(x) * sizeof *want->x);
    }
    assert_ok(g);
    ad_graph_free(g);
    free(want);
}

static void they_are_made_ahead_elsewhere(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x, *y;
    nn_loader *l = counting_loader(g, 3);
    pause_for(2000);
    assert_int_equal(counted, 0); /* an epoch begins when its first minibatch is asked for */
    for (int b = 1; b <= 5; b++) {
        assert_true(nn_loader_next(l, &x, &y));
        assert_true(counts_to(4 * (b + 3)));
    }
    while (nn_loader_next(l, &x, &y)) {}
    assert_true(counts_to(N));
    assert_int_equal(elsewhere, N);
    ad_graph_free(g);
}

/* In order and without a transform, minibatches use the data set's own memory. */
static void without_work_there_is_no_thread(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_dataset d = data_new(g);
    ad_var *x, *y;
    int before = threads;
    nn_loader *l = nn_loader_new(g, d, (nn_loader_opts){ .batch = 4, .in_order = true, .prefetch = 3 });
    assert_true(nn_loader_next(l, &x, &y));
    assert_ptr_equal(ad_data(x), ad_data(d.x));
    assert_int_equal(threads, before);
    ad_graph_free(g);
}

/* ---- the end of the thread --------------------------------------------------------------------------- */

static void a_closed_loader_goes_on_without(void **state) {
    (void)state;
    record *want = record_of((nn_loader_opts){ .batch = 4, .transform = shake });
    for (int at = 0; at < 20; at++) {
        ad_graph *g = ad_graph_new();
        ad_seed(g, 12);
        nn_loader_opts o = { .batch = 4, .transform = dawdle, .prefetch = 2 };
        nn_loader *l = nn_loader_new(g, data_new(g), o);
        for (int b = 0, row = 0; b < 40; b++) {
            ad_var *x, *y;
            if (b == at) nn_loader_close(l);
            if (b == at + at % 3) nn_loader_close(l);
            if (!nn_loader_next(l, &x, &y)) continue;
            ad_rand(g, AD_F64, AD_SCALAR);
            assert_memory_equal(ad_data(x), want->x + row * WIDTH, (size_t)ad_numel(x) * sizeof *want->x);
            row += (int)ad_numel(y);
        }
        ad_graph_free(g);
    }
    free(want);
    nn_loader_close(NULL);
}

/* At the end of the scope or of the graph, whatever it is doing. */
static void the_thread_ends_with_its_scope(void **state) {
    (void)state;
    for (int i = 0; i < 60; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x, *y;
        ad_mark outer = ad_begin(g), inner = ad_begin(g);
        nn_loader *l = counting_loader(g, 8);
        for (int b = 0; b < i % 5; b++) {
            ad_mark step = ad_begin(g);
            assert_true(nn_loader_next(l, &x, &y));
            ad_end(g, step);
        }
        if (i % 3 == 0) ad_end(g, inner);
        if (i % 3 < 2) ad_end(g, outer);
        else ad_graph_free(g);
        int made = counted;
        pause_for(300);
        assert_int_equal(counted, made);
        if (i % 3 < 2) ad_graph_free(g);
    }
}

static void errors_do_not_disturb_it(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x, *y;
    nn_loader *l = counting_loader(g, 2);
    for (int b = 0; b < 10; b++) {
        ad_fail(g, AD_EVALUE, "something");
        assert_false(nn_loader_next(l, &x, &y));
        ad_clear_error(g);
        assert_true(nn_loader_next(l, &x, &y));
        assert_true(ad_at(x, 0) == b * 4 * WIDTH);
    }
    ad_fail(g, AD_EVALUE, "something");
    nn_loader_close(l);
    ad_clear_error(g);
    assert_true(nn_loader_next(l, &x, &y));
    assert_true(ad_at(x, 0) == 40 * WIDTH);
    ad_graph_free(g);
}

/* ---- faults ------------------------------------------------------------------------------------------ */

static void without_threads_it_makes_them_itself(void **state) {
    (void)state;
    nn_loader_opts o = { .batch = 4, .transform = shake };
    record *want = record_of(o);
    o.prefetch = 3;
    no_threads = true;
    record *got = record_of(o);
    no_threads = false;
    assert_memory_equal(got, want, sizeof *got);
    free(want);
    free(got);
}

/* The child of a fork has the loader without its thread. */
static void a_child_makes_them_itself(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x, *y;
    nn_loader *l = counting_loader(g, 2);
    assert_true(nn_loader_next(l, &x, &y));
    pid_t child = fork();
    assert_true(child >= 0);
    for (int b = 1; b < 16; b++) {
        bool same = nn_loader_next(l, &x, &y) && ad_at(x, 0) == b * 4 * WIDTH;
        if (child == 0 && !same) _exit(1);
        assert_true(same);
    }
    if (child == 0) nn_loader_close(l);
    ad_graph_free(g);
    if (child == 0) _exit(0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void short_memory_is_an_error(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    nn_dataset d = data_new(g);
    nn_loader_opts o = { .batch = 4, .prefetch = 3 };
    ad_var *x, *y;
    m.fail_at = m.calls;
    int before = threads;
    assert_null(nn_loader_new(g, d, o));
    assert_int_equal(m.failures, 1);
    assert_int_equal(ad_error_code(g), AD_ENOMEM);
    assert_int_equal(threads, before);
    ad_clear_error(g);
    nn_loader *l = nn_loader_new(g, d, o);
    assert_true(nn_loader_next(l, &x, &y));
    ad_graph_free(g);
    assert_all_released(&m);
}

static void it_must_not_be_negative(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_null(nn_loader_new(g, data_new(g), (nn_loader_opts){ .batch = 1, .prefetch = -1 }));
    assert_string_equal(ad_error(g), "loader: prefetch -1: it must be at least 0");
    ad_clear_error(g);
    int before = threads;
    assert_non_null(nn_loader_new(g, data_new(g), (nn_loader_opts){ .batch = 1, .prefetch = AD_ZERO }));
    assert_int_equal(threads, before);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minibatches_are_the_same),
        cmocka_unit_test(a_loader_can_go_elsewhere),
        cmocka_unit_test(they_are_made_ahead_elsewhere),
        cmocka_unit_test(without_work_there_is_no_thread),
        cmocka_unit_test(a_closed_loader_goes_on_without),
        cmocka_unit_test(the_thread_ends_with_its_scope),
        cmocka_unit_test(errors_do_not_disturb_it),
        cmocka_unit_test(without_threads_it_makes_them_itself),
        cmocka_unit_test(a_child_makes_them_itself),
        cmocka_unit_test(short_memory_is_an_error),
        cmocka_unit_test(it_must_not_be_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
