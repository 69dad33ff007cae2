/* test_threads.c: any number of threads computes the same bits; threads start, wait, end, and survive a fork. */
#define _DEFAULT_SOURCE /* fork */
#include "tests/common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autodiff/base/parallel.h"
#include "nn/nn.h"

static const int teams[] = { 2, 3, 8 };
enum { TEAMS = sizeof teams / sizeof *teams };

/* ---- chunks of loops ---------------------------------------------------------------------------------- */

static void *system_take(void *data, size_t align, size_t size) {
    void *p = NULL;
    (void)data;
    return posix_memalign(&p, align, size) == 0 ? p : NULL;
}
static void system_give(void *data, void *p, size_t size) { (void)data, (void)size, free(p); }
static ad__memory plain_memory(void) { return (ad__memory){ .use = { system_take, system_give, NULL } }; }

typedef struct {
    ad_team *team;
    int64_t n, chunk;
    int size;
    unsigned char *times; /* the number of visits of each element */
    atomic_int wrong;     /* the number of chunks with wrong bounds or a wrong worker */
    bool slow;            /* chunks take so long that all threads join the loop */
} visits;

static void visit(void *context, int worker, int64_t from, int64_t to) {
    visits *v = context;
    if (from % v->chunk != 0 || (to - from != v->chunk && to != v->n) || worker < 0 || worker >= v->size) v->wrong++;
    if (v->slow) usleep(100);
    for (int64_t i = from; i < to; i++) v->times[i]++;
}

static void visit_within(void *context, int worker, int64_t from, int64_t to) {
    (void)worker;
    for (int64_t i = from; i < to; i++) {
        visits v = *(visits *)context;
        v.times += i * v.n;
        ad_parallel(v.team, v.n, v.chunk, AD__SHARED_MIN, visit, &v);
    }
}

static void assert_each_once(const unsigned char *times, int64_t n) {
    for (int64_t i = 0; i < n; i++) assert_int_equal(times[i], 1);
}

/* Loops of all lengths in sequence, so that threads join some loops late and wait for others. */
static void every_chunk_is_done_once(void **state) {
    (void)state;
    enum { MOST = 5000 };
    static unsigned char times[MOST];
    uint64_t random = 1;
    for (int i = 0; i < TEAMS; i++) {
        ad__memory memory = plain_memory();
        ad_team *team = ad__team_new(&memory, teams[i]);
        assert_non_null(team);
        assert_int_equal(ad__team_size(team), teams[i]);
        for (int round = test_quick() ? 300 : 5000; round > 0; round--) {
            int n = next_below(&random, MOST), chunk = 1 + next_below(&random, 400);
            visits v = { team, n, chunk, teams[i], times, 0, round % 16 == 1 };
            if (round % 8) v.n = v.n % 40;
            memset(times, 0, (size_t)v.n);
            ad_parallel(team, v.n, v.chunk, AD__SHARED_MIN, visit, &v);
            assert_int_equal(v.wrong, 0);
            assert_each_once(times, v.n);
        }
        ad__team_free(&memory, team);
        assert_int_equal(memory.held, 0);
    }
}

static void a_loop_within_a_loop(void **state) {
    (void)state;
    enum { OUTER = 50, INNER = 100 };
    static unsigned char times[OUTER * INNER];
    ad__memory memory = plain_memory();
    ad_team *team = ad__team_new(&memory, 3);
    visits v = { team, INNER, 7, 3, times, 0, false };
    ad_parallel(team, OUTER, 1, AD__SHARED_MIN, visit_within, &v);
    assert_each_once(times, OUTER * INNER);
    ad__team_free(&memory, team);
}

static void note_thread(void *context, int worker, int64_t from, int64_t to) {
    pthread_t *who = context;
    (void)worker;
    usleep(2000); /* long enough for the other threads to join */
    for (int64_t i = from; i < to; i++) who[i] = pthread_self();
}

static void several_threads_take_part(void **state) {
    (void)state;
    enum { CHUNKS = 32 };
    pthread_t who[CHUNKS];
    ad__memory memory = plain_memory();
    ad_team *team = ad__team_new(&memory, 2);
    ad_parallel(team, CHUNKS, 1, AD__SHARED_MIN, note_thread, who);
    int others = 0;
    for (int i = 0; i < CHUNKS; i++) others += !pthread_equal(who[i], pthread_self());
    ad__team_free(&memory, team);
    assert_in_range(others, 1, CHUNKS - 1);
}

/* ---- the same bits -------------------------------------------------------------------------------------- */

/* The Vars of a computation whose values and gradients are compared. */
enum { MOST_RESULTS = 8 };
typedef struct {
    ad_var *of[MOST_RESULTS];
    int n;
} results;
typedef void compute_fn(ad_graph *g, ad_dtype t, results *r);

static ad_var *numbers(ad_graph *g, ad_dtype t, ad_shape s) { return ad_require_grad(ad_randn(g, t, s)); }

static void note(results *r, ad_var *x) { r->of[r->n++] = x; }

/* A pass from random cotangents of y. */
static void finish(results *r, ad_var *y) {
    ad_graph *g = ad_graph_of(y);
    note(r, y);
    assert_int_equal(ad_backward_from(y, ad_randn(g, ad_dtype_of(y), ad_shape_of(y))), AD_OK);
}

static void assert_same_bytes(const char *name, ad_dtype t, int threads, const void *a, const void *b, size_t size) {
    if (a == NULL || memcmp(a, b, size) == 0) return;
    size_t i = 0;
    while (((const char *)a)[i] == ((const char *)b)[i]) i++;
    fail_msg("%s %s: with %d threads element %zu differs", name, ad_dtype_name(t), threads, i / ad_dtype_size(t));
}

static void run_with(int threads, compute_fn *f, ad_dtype t, ad_graph **g, results *r) {
    *g = ad_graph_new();
    *r = (results){ .n = 0 };
    assert_int_equal(ad_set_threads(*g, threads), AD_OK);
    assert_int_equal(ad_threads(*g), threads);
    f(*g, t, r);
    assert_ok(*g);
}

static void compare(const char *name, compute_fn *f, ad_dtype t) {
    ad_graph *g, *h;
    results one, many;
    run_with(1, f, t, &g, &one);
    for (int i = 0; i < TEAMS; i++) {
        run_with(teams[i], f, t, &h, &many);
        for (int k = 0; k < one.n; k++) {
            size_t size = (size_t)ad_numel(one.of[k]) * ad_dtype_size(t);
            assert_same_bytes(name, t, teams[i], ad_data(one.of[k]), ad_data(many.of[k]), size);
            assert_same_bytes(name, t, teams[i], ad_grad(one.of[k]), ad_grad(many.of[k]), size);
        }
        ad_graph_free(h);
    }
    ad_graph_free(g);
}

static void product_of(ad_graph *g, ad_dtype t, results *r, ad_shape a, ad_shape b) {
    ad_var *x = numbers(g, t, a), *y = numbers(g, t, b);
    note(r, x), note(r, y);
    finish(r, ad_matmul(x, y));
}

static void square_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(260, 251), AD_SHAPE(251, 270));
}
static void high_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(2100, 70), AD_SHAPE(70, 100));
}
static void wide_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(70, 100), AD_SHAPE(100, 2100));
}
static void small_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(65, 500), AD_SHAPE(500, 131));
}
static void batched_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(60, 40, 50), AD_SHAPE(60, 50, 70));
}
static void broadcast_product(ad_graph *g, ad_dtype t, results *r) {
    product_of(g, t, r, AD_SHAPE(60, 40, 50), AD_SHAPE(2, 1, 50, 70)); /* both operands repeat */
}
static void layer_of(ad_graph *g, ad_dtype t, results *r, int64_t n, int64_t in, int64_t out) {
    ad_var *x = numbers(g, t, AD_SHAPE(n, in)), *w = numbers(g, t, AD_SHAPE(out, in)), *b = numbers(g, t, AD_SHAPE(out));
    note(r, x), note(r, w), note(r, b);
    finish(r, ad_affine(x, w, b));
}
static void layer(ad_graph *g, ad_dtype t, results *r) { layer_of(g, t, r, 200, 300, 220); }
static void small_layer(ad_graph *g, ad_dtype t, results *r) { layer_of(g, t, r, 64, 784, 128); }

/* An LSTM from the end and a GRU from the start, of inputs [30,6,width]. */
static void recurrent_nets(ad_graph *g, ad_dtype t, results *r) {
    enum { N = 30, M = 100 };
    ad_var *h = numbers(g, t, AD_SHAPE(N, M)), *c = numbers(g, t, AD_SHAPE(N, M)), *b = numbers(g, t, AD_SHAPE(3 * M));
    ad_var *x4 = numbers(g, t, AD_SHAPE(N, 6, 4 * M)), *w4 = numbers(g, t, AD_SHAPE(4 * M, M));
    ad_var *x3 = ad_narrow(x4, 2, 0, 3 * M), *w3 = ad_narrow(w4, 0, 0, 3 * M);
    ad_var *both = ad_lstm(x4, w4, h, c, true), *gru = ad_gru(x3, w3, h, b, false);
    note(r, h), note(r, c), note(r, b), note(r, x4), note(r, w4);
    finish(r, ad_add(ad_select(both, 0, 0), ad_mul(ad_select(both, 0, 1), gru)));
}

/* Sizes that are not a multiple of a chunk or a vector, so that the last ones are short. */
enum { LONG = 300007, HIGH = 1501, WIDE = 211 };

static ad_var *noted(ad_graph *g, ad_dtype t, ad_shape s, results *r) {
    ad_var *x = numbers(g, t, s);
    note(r, x);
    return x;
}

static void chain(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(LONG), r), *y = noted(g, t, AD_SHAPE(LONG), r);
    finish(r, ad_mul(ad_tanh(ad_add(x, ad_exp(y))), ad_sin(x)));
}
static void chain_in_place(ad_graph *g, ad_dtype t, results *r) {
    ad_keep_grads(g, false);
    chain(g, t, r);
}
static void broadcasting(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r), *row = noted(g, t, AD_SHAPE(WIDE), r);
    ad_var *column = noted(g, t, AD_SHAPE(HIGH, 1), r), *one = noted(g, t, AD_SCALAR, r);
    finish(r, ad_mul(ad_add(ad_mul(x, row), column), ad_mul(x, one)));
}
static void sums(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r), *z = noted(g, t, AD_SHAPE(5 * LONG), r);
    note(r, ad_sum(z));
    note(r, ad_mean_axis(x, 0, false));
    note(r, ad_sum_axis(x, 1, true));
    ad_var *small = ad_mul(ad_mean(x), ad_sum_axis(r->of[4], 0, false));
    finish(r, ad_add(ad_add(r->of[2], ad_sum(ad_square(r->of[3]))), small));
}
static void softmaxes(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r);
    finish(r, ad_add(ad_softmax(x, 1), ad_mul(ad_log_softmax(x, 0), ad_logsumexp_axis(x, 1, true))));
}
static void losses(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r), *y = ad_sigmoid(noted(g, t, AD_SHAPE(HIGH, WIDE), r));
    finish(r, ad_add(ad_add(nn_mse(x, y), nn_bce_logits(x, y)), nn_huber(x, y)));
}
static void classes(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r);
    finish(r, ad_cross_entropy(x, ad_floor(ad_muls(ad_rand(g, t, AD_SHAPE(HIGH)), WIDE))));
}

static void convolution(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(20, 6, 23, 19), r), *w = noted(g, t, AD_SHAPE(10, 3, 3, 3), r);
    ad_var *b = noted(g, t, AD_SHAPE(10), r);
    ad_var *y = ad_conv2d(x, w, b, (ad_conv_opts){ .groups = 2, .padding = { 1, 2 } });
    finish(r, ad_conv_transpose2d(y, noted(g, t, AD_SHAPE(10, 4, 2, 3), r), NULL, (ad_conv_opts){ .stride = { 2, 1 } }));
}
static void wide_convolution(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(11, 32, 14, 15), r), *w = noted(g, t, AD_SHAPE(40, 32, 3, 3), r);
    finish(r, ad_conv2d(x, w, NULL, (ad_conv_opts){ .padding = { 1, 1 } }));
}
static void pools(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(31, 6, 41, 40), r);
    ad_pool_opts o = { .kernel = { 3, 2 }, .stride = { 2, 2 }, .padding = { 1, 0 } };
    ad_var *most = ad_max_pool2d(x, o), *mean = ad_avg_pool2d(x, o), *parts = ad_adaptive_avg_pool2d(x, 21, 20);
    finish(r, ad_add(ad_mul(most, mean), parts));
}
static void attention(ad_graph *g, ad_dtype t, results *r) {
    ad_var *q = noted(g, t, AD_SHAPE(4, 150, 16), r), *k = noted(g, t, AD_SHAPE(4, 200, 16), r);
    ad_var *shared = noted(g, t, AD_SHAPE(200, 16), r);
    ad_attention_opts o = { .causal = true, .dropout = 0.3 };
    finish(r, ad_add(ad_attention(q, k, k, NULL, o), ad_attention(q, k, shared, NULL, (ad_attention_opts){ 0 })));
}
/* Rows and channels, narrow and wide. */
static void row_norms(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r), *w = noted(g, t, AD_SHAPE(WIDE), r);
    ad_var *b = noted(g, t, AD_SHAPE(WIDE), r);
    finish(r, ad_add(ad_layer_norm(x, AD_SHAPE(WIDE), w, b, 1e-5), ad_rms_norm(x, w, 1e-5)));
}
static void channel_norms(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(40, 13, 23, 19), r), *w = noted(g, t, AD_SHAPE(13), r);
    ad_var *b = noted(g, t, AD_SHAPE(13), r), *mean = ad_zeros(g, t, AD_SHAPE(13)), *var = ad_ones(g, t, AD_SHAPE(13));
    ad_batch_norm_opts training = { .training = true };
    ad_var *y = ad_add(ad_batch_norm(x, mean, var, w, b, training), ad_batch_norm(x, NULL, NULL, w, NULL, training));
    note(r, mean), note(r, var);
    finish(r, ad_mul(y, ad_batch_norm(x, ad_zeros(g, t, AD_SHAPE(13)), ad_ones(g, t, AD_SHAPE(13)), w, b,
                                      (ad_batch_norm_opts){ 0 })));
}
static void feature_norms(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(HIGH, WIDE), r), *w = noted(g, t, AD_SHAPE(WIDE), r);
    finish(r, ad_batch_norm(x, NULL, NULL, w, NULL, (ad_batch_norm_opts){ .training = true }));
}
/* Rows of a table, single elements, and parts before the axis; several go to one place. */
static ad_var *places(ad_graph *g, ad_dtype t, ad_shape s, int64_t below) {
    return ad_floor(ad_muls(ad_rand(g, t, s), (double)below));
}
static void gathers(ad_graph *g, ad_dtype t, results *r) {
    ad_var *x = noted(g, t, AD_SHAPE(50, WIDE), r), *parts = noted(g, t, AD_SHAPE(300, 9, 40), r);
    ad_var *rows = ad_take_axis(x, 0, places(g, t, AD_SHAPE(HIGH), 50));
    ad_var *each = ad_gather(x, 0, places(g, t, AD_SHAPE(HIGH, WIDE), 50));
    ad_var *inside = ad_take_axis(parts, 1, places(g, t, AD_SHAPE(40), 9));
    note(r, inside);
    ad_var *put = ad_index_add(x, 0, places(g, t, AD_SHAPE(HIGH), 50), ad_add(rows, each));
    finish(r, ad_add(ad_sum_axis(put, 0, false), ad_sum(ad_square(inside))));
}
static void random_numbers(ad_graph *g, ad_dtype t, results *r) {
    note(r, ad_rand(g, t, AD_SHAPE(LONG)));
    note(r, ad_randn(g, t, AD_SHAPE(LONG)));
    note(r, ad_rand(g, t, AD_SHAPE(3)));
}

/* Two steps of each kind of optimiser. */
static ad_var *first_parameter(nn_module *m, ad_var *x) {
    (void)x;
    return nn_parameter_at(m, 0).var;
}
static void optimisers(ad_graph *g, ad_dtype t, results *r) {
    for (int i = 0; i < 4; i++) {
        nn_module *m = nn_module_new(g, "numbers", first_parameter, 0);
        ad_var *x = nn_add_parameter(m, "x", numbers(g, t, AD_SHAPE(LONG)));
        nn_optim *opt = i == 0   ? nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9 })
                        : i == 1 ? nn_adam(m, (nn_adam_opts){ .lr = 0.1, .amsgrad = true })
                        : i == 2 ? nn_rmsprop(m, (nn_rmsprop_opts){ .lr = 0.1, .centered = true })
                                 : nn_adadelta(m, (nn_adadelta_opts){ .lr = 0.1 });
        for (int step = 0; step < 2; step++) {
            ad_mark scope = ad_begin(g);
            nn_zero_grad(opt);
            ad_backward(ad_sum(ad_square(ad_sin(x))));
            nn_step(opt);
            ad_end(g, scope);
        }
        note(r, x);
    }
}

static const struct {
    const char *name;
    compute_fn *f;
} computations[] = {
    { "square product", square_product },
    { "high product", high_product },
    { "wide product", wide_product },
    { "batched product", batched_product },
    { "broadcast product", broadcast_product },
    { "layer", layer },
    { "small product", small_product },
    { "small layer", small_layer },
    { "chain", chain },
    { "chain in place", chain_in_place },
    { "broadcasting", broadcasting },
    { "sums", sums },
    { "softmaxes", softmaxes },
    { "losses", losses },
    { "classes", classes },
    { "convolution", convolution },
    { "wide convolution", wide_convolution },
    { "pools", pools },
    { "attention", attention },
    { "gathers", gathers },
    { "norms of rows", row_norms },
    { "norms of channels", channel_norms },
    { "norms of features", feature_norms },
    { "random numbers", random_numbers },
    { "optimisers", optimisers },
    { "recurrent nets", recurrent_nets },
};

static void results_are_the_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof computations / sizeof *computations; i++)
        for (int t = AD_F32; t <= AD_F64; t++)
            if (!test_quick() || (i + (size_t)t) % 2 == 0) compare(computations[i].name, computations[i].f, (ad_dtype)t);
}

/* ---- starting and ending threads -------------------------------------------------------------------------- */

static void the_number_of_threads(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    assert_int_equal(ad_threads(g), 1);
    assert_int_equal(ad_threads(NULL), 1);
    assert_int_equal(ad_set_threads(g, 0), AD_OK);
    assert_in_range(ad_threads(g), 1, AD__MAX_THREADS);
    for (int n = 1; n < 5; n++) {
        assert_int_equal(ad_set_threads(g, n), AD_OK);
        assert_int_equal(ad_threads(g), n);
    }
    assert_int_equal(ad_set_threads(g, -1), AD_EVALUE);
    assert_contains(ad_error(g), "-1 threads");
    assert_int_equal(ad_set_threads(g, 2), AD_EVALUE); /* the graph still has the error */
    assert_int_equal(ad_threads(g), 4);
    ad_clear_error(g);
    assert_int_equal(ad_set_threads(g, AD__MAX_THREADS + 1), AD_EVALUE);
    assert_int_equal(ad_set_threads(NULL, 2), AD_EVALUE);
    ad_graph_free(g);
}

static void running_out_of_memory_changes_nothing(void **state) {
    (void)state;
    test_memory m = { .fail_at = -1 };
    ad_graph *g = test_graph(&m);
    assert_int_equal(ad_set_threads(g, 2), AD_OK);
    m.fail_at = m.calls;
    assert_int_equal(ad_set_threads(g, 3), AD_ENOMEM);
    assert_contains(ad_error(g), "set_threads");
    assert_int_equal(ad_threads(g), 2);
    ad_clear_error(g);
    assert_int_equal(ad_set_threads(g, 3), AD_OK);
    ad_graph_free(g);
    assert_all_released(&m);
}

/* A thread of the user with its own graph, which has threads too. */
static void *train(void *sum) {
    ad_graph *g = ad_graph_new();
    results r = { .n = 0 };
    for (int i = 0; i < 3; i++) {
        ad_mark m = ad_begin(g);
        ad_set_threads(g, 1 + i);
        ad_seed(g, 5);
        r.n = 0;
        square_product(g, AD_F32, &r);
        *(double *)sum += ad_at(r.of[2], 4711);
        ad_end(g, m);
    }
    if (!ad_ok(g)) *(double *)sum = NAN;
    ad_graph_free(g);
    return NULL;
}

static void graphs_in_user_threads(void **state) {
    (void)state;
    enum { USERS = 4 };
    pthread_t users[USERS];
    double sums[USERS + 1] = { 0 };
    for (int i = 0; i < USERS; i++) assert_int_equal(pthread_create(&users[i], NULL, train, &sums[i]), 0);
    for (int i = 0; i < USERS; i++) pthread_join(users[i], NULL);
    train(&sums[USERS]);
    assert_true(sums[USERS] == sums[USERS] && sums[USERS] != 0);
    for (int i = 0; i < USERS; i++) assert_true(sums[i] == sums[USERS]);
}

/* 0 if the child computes the result of its parent with the graph of the parent, and can start threads again. */
static int child(ad_graph *g, double wanted) {
    for (int n = 0; n < 2; n++) {
        results r = { .n = 0 };
        if (n > 0 && ad_set_threads(g, 2)) return 1;
        ad_seed(g, 1);
        square_product(g, AD_F32, &r);
        if (!ad_ok(g) || ad_at(r.of[2], 4711) != wanted) return 2;
    }
    ad_graph_free(g);
    return 0;
}

static void a_forked_child_can_compute(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer ends a child that starts threads */
#endif
    ad_graph *g = ad_graph_new();
    results r = { .n = 0 };
    ad_set_threads(g, 3);
    ad_seed(g, 1);
    square_product(g, AD_F32, &r);
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        _exit(child(g, ad_at(r.of[2], 4711)));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(child(g, ad_at(r.of[2], 4711)), 0); /* the parent can compute too, and frees the graph */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_is_done_once),
        cmocka_unit_test(a_loop_within_a_loop),
        cmocka_unit_test(several_threads_take_part),
        cmocka_unit_test(results_are_the_same_bits),
        cmocka_unit_test(the_number_of_threads),
        cmocka_unit_test(running_out_of_memory_changes_nothing),
        cmocka_unit_test(graphs_in_user_threads),
        cmocka_unit_test(a_forked_child_can_compute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
