/* test_nn_ranks.c: nn_fit_ranks with ranks that are threads, each with a graph of its own: losses and parameters beside
   those of nn_fit, errors of one rank. tests/mpi/ has the same with processes. */
#include <pthread.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { MOST = 4, ROWS = 22, STEPS = 30 };

/* What the threads share. Each call is: write one's own part, meet, read all parts, meet. */
typedef struct {
    int size;
    pthread_barrier_t barrier;
    void *memory[MOST];
    const char *sentence[MOST];
    int code[MOST];
} team;
typedef struct {
    team *of;
    int rank;
    ad_graph *g;
    bool ended;
    int n;
    ad_var *const *xs;
    double scale;
    double *sums; /* of the blocks so far, and the elements of all gradients */
} member;

/* Meets the others with memory to share. All get the error of the lowest rank that has one. */
static int meet(member *m, void *memory) {
    team *t = m->of;
    if (m->ended) return ad_error_code(m->g);
    t->memory[m->rank] = memory;
    t->code[m->rank] = ad_error_code(m->g);
    t->sentence[m->rank] = ad_ok(m->g) ? NULL : ad_error(m->g);
    pthread_barrier_wait(&t->barrier);
    char sentence[600] = "";
    int code = AD_OK;
    for (int r = t->size - 1; r >= 0; r--)
        if (t->code[r] != AD_OK)
            code = t->code[r], snprintf(sentence, sizeof sentence, "rank %d: %s", r, t->sentence[r]);
    if (code == AD_OK) return AD_OK;
    pthread_barrier_wait(&t->barrier);
    m->ended = true;
    return ad_fail(m->g, code, "%s", sentence);
}
static void part(member *m) { pthread_barrier_wait(&m->of->barrier); }

static int sum(ad_graph *g, int64_t n, double *values, void *data) {
    member *m = data;
    (void)g;
    double *all = malloc((size_t)(n + 1) * sizeof *all);
    int rc = meet(m, values);
    for (int64_t i = 0; i < n && rc == AD_OK; i++) {
        all[i] = 0;
        for (int r = 0; r < m->of->size; r++) all[i] += ((double *)m->of->memory[r])[i];
    }
    if (rc == AD_OK) part(m);
    if (rc == AD_OK && n > 0) memcpy(values, all, (size_t)n * sizeof *all);
    if (rc == AD_OK) part(m);
    free(all);
    return rc;
}
static int broadcast(ad_graph *g, size_t bytes, void *memory, void *data) {
    member *m = data;
    (void)g;
    int rc = meet(m, memory);
    if (rc == AD_OK && m->rank > 0 && bytes > 0) memcpy(memory, m->of->memory[0], bytes);
    if (rc == AD_OK) part(m);
    return rc;
}
static int gather(ad_graph *g, const size_t *offsets, void *memory, void *data) {
    member *m = data;
    (void)g;
    int rc = meet(m, memory);
    for (int r = 0; r < m->of->size && rc == AD_OK; r++)
        if (r != m->rank)
            memcpy((char *)memory + offsets[r], (char *)m->of->memory[r] + offsets[r], offsets[r + 1] - offsets[r]);
    if (rc == AD_OK) part(m);
    return rc;
}

static int64_t elements(const member *m) {
    int64_t n = 0;
    for (int i = 0; i < m->n; i++) n += ad_numel(m->xs[i]);
    return n;
}
static int begin(ad_graph *g, int n, ad_var *const xs[], double scale, void *data) {
    member *m = data;
    (void)g;
    m->n = n, m->xs = xs, m->scale = scale;
    free(m->sums);
    m->sums = calloc((size_t)elements(m) + 1, sizeof *m->sums);
    return AD_OK;
}
static int add(ad_graph *g, int64_t block, double scale, void *data) {
    member *m = data;
    (void)g, (void)block;
    double *to = m->sums;
    for (int i = 0; i < m->n; i++)
        for (int64_t k = 0; k < ad_numel(m->xs[i]); k++) *to++ += scale == 0 ? 0 : scale * ad_grad_at(m->xs[i], k);
    return AD_OK;
}
static int finish(ad_graph *g, int64_t n, double *values, void *data) {
    member *m = data;
    int rc = sum(g, n, values, data);
    if (rc == AD_OK) rc = sum(g, elements(m), m->sums, data);
    const double *from = m->sums;
    for (int i = 0; i < m->n && rc == AD_OK; i++) {
        double *to = ad_grad_mut(m->xs[i]);
        for (int64_t k = 0; k < ad_numel(m->xs[i]); k++) to[k] = *from++;
    }
    return rc;
}
static int finish_parts(ad_graph *g, int64_t n, double *values, void *data) {
    member *m = data;
    if (ad_ok(g)) add(g, 0, m->scale, data);
    return finish(g, n, values, data);
}

/* ---- a training by each thread ------------------------------------------------------------------------------------- */

typedef struct {
    member m;
    bool plain, norm, batch_norm;
    int fails; /* the rank that fails in step 3, or -1 */
    int64_t blocks;
    double losses[STEPS], parameters[200];
    int64_t steps;
    int code;
    char error[600];
} job;

static int note_loss(const nn_training_state *s, void *data) {
    job *j = data;
    j->losses[s->steps - 1] = s->loss;
    j->steps = s->steps;
    if (j->fails == j->m.rank && s->steps == 3) ad_fail(j->m.g, AD_EIO, "the disk is full");
    return 0;
}

static nn_module *network(ad_graph *g, bool norm) {
    nn_module *first = nn_linear(g, AD_F64, 3, 5, true), *last = nn_linear(g, AD_F64, 5, 2, true);
    if (!norm) return nn_sequential(g, first, nn_tanh(g), last);
    return nn_sequential(g, first, nn_batch_norm(g, AD_F64, 5, (nn_batch_norm_opts){ 0 }), nn_tanh(g), last);
}

static void run(job *j) {
    ad_graph *g = j->m.g;
    ad_seed(g, 5);
    nn_module *net = network(g, j->norm);
    nn_dataset d = { ad_randn(g, AD_F64, AD_SHAPE(ROWS, 3)), ad_randn(g, AD_F64, AD_SHAPE(ROWS, 2)) };
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    nn_ranks r = { .rank = j->m.rank,
                   .size = j->m.of ? j->m.of->size : 1,
                   .blocks = j->blocks,
                   .data = &j->m,
                   .batch_norm = j->batch_norm,
                   .sum = sum,
                   .broadcast = broadcast,
                   .gather = gather,
                   .begin = begin,
                   .add = add,
                   .finish = j->blocks > 0 ? finish : finish_parts };
    nn_fit_opts o = { .epochs = 4, .batch = 5, .validation = d, .on_step = note_loss, .callback_data = j };
    j->code = j->plain ? nn_fit(net, nn_mse, opt, d, o, NULL) : nn_fit_ranks(net, nn_mse, opt, d, o, &r, NULL);
    snprintf(j->error, sizeof j->error, "%s", ad_ok(g) ? "" : ad_error(g));
    double *to = j->parameters;
    for (int i = 0; i < nn_parameter_count(net) + nn_buffer_count(net); i++) {
        int n = nn_parameter_count(net);
        const ad_var *x = i < n ? nn_parameter_at(net, i).var : nn_buffer_at(net, i - n).var;
        for (int64_t k = 0; k < ad_numel(x); k++) *to++ = ad_at(x, k);
    }
    free(j->m.sums);
    j->m.sums = NULL;
}
static void *run_job(void *job_of) {
    job *j = job_of;
    j->m.g = ad_graph_new();
    run(j);
    ad_graph_free(j->m.g);
    return NULL;
}

static void run_all(int size, const job *like, job of[]) {
    team t = { .size = size };
    pthread_t threads[MOST];
    pthread_barrier_init(&t.barrier, NULL, (unsigned)size);
    for (int r = 0; r < size; r++) {
        of[r] = *like;
        of[r].m = (member){ .of = &t, .rank = r };
        assert_int_equal(pthread_create(&threads[r], NULL, run_job, &of[r]), 0);
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    pthread_barrier_destroy(&t.barrier);
}

static void assert_same(const job *a, const job *b, double tol) {
    assert_int_equal(a->code, AD_OK);
    assert_int_equal(b->code, AD_OK);
    assert_int_equal(a->steps, b->steps);
    for (int64_t i = 0; i < a->steps; i++) assert_close(a->losses[i], b->losses[i], tol);
    for (int i = 0; i < 200; i++) assert_close(a->parameters[i], b->parameters[i], tol);
}

static job of[MOST];

/* 22 rows in minibatches of 5: parts of different sizes, and of none in the last minibatch of 2. */
static void any_number_of_ranks_trains_as_one(void **state) {
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        job alone = { .plain = true, .norm = norm, .fails = -1 },
            like = { .norm = norm, .batch_norm = norm, .fails = -1 };
        run_job(&alone);
        for (int size = 1; size <= MOST; size++) {
            run_all(size, &like, of);
            for (int r = 0; r < size; r++) assert_same(&of[r], &alone, 1e-12);
        }
    }
}

static void blocks_train_as_one_too(void **state) {
    (void)state;
    job alone = { .plain = true, .fails = -1 }, like = { .blocks = 3, .fails = -1 };
    run_job(&alone);
    for (int size = 1; size <= MOST; size++) { /* more ranks than blocks */
        run_all(size, &like, of);
        for (int r = 0; r < size; r++) assert_same(&of[r], &alone, 1e-12);
    }
}

static void an_error_of_one_rank_is_that_of_all(void **state) {
    (void)state;
    for (int fails = 0; fails < 3; fails++) {
        job like = { .fails = fails };
        char want[100];
        snprintf(want, sizeof want, "rank %d: the disk is full", fails);
        run_all(3, &like, of);
        for (int r = 0; r < 3; r++) {
            assert_int_equal(of[r].code, AD_EIO);
            assert_string_equal(of[r].error, r == fails ? "the disk is full" : want);
            assert_int_equal(of[r].steps, 3);
        }
    }
}

/* What an optimiser that evaluates the loss itself is told of, it uses. */
static int halve(nn_optim *opt, double *loss, void *data) {
    ad_var *x = data;
    (void)opt;
    *loss /= 2;
    *(double *)ad_grad_mut(x) /= 2;
    return 0;
}
static int refuse(nn_optim *opt, double *loss, void *data) { return (void)opt, (void)loss, (void)data, AD_EIO; }
static ad_var *square_of(void *data) {
    return ad_square(nn_apply(data, ad_ones(nn_graph_of(data), AD_F64, AD_SHAPE(1))));
}
static void gradients_of_closures_are_told(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = nn_linear(g, AD_F64, 1, 1, false);
    ad_var *w = nn_parameter_at(net, 0).var;
    double loss, before = 3;
    ad_set(w, &before);
    nn_optim *opt = nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 });
    assert_int_equal(nn_on_gradient(opt, halve, w), AD_OK);
    assert_int_equal(nn_step_closure(opt, square_of, net, &loss), AD_OK);
    assert_close(loss, 4.5, 1e-14);
    assert_close(ad_item(w), 3 - 0.1 * 3, 1e-14);
    nn_on_gradient(opt, refuse, NULL);
    assert_true(nn_step_closure(opt, square_of, net, &loss) < 0);
    assert_contains(ad_error(g), "on_gradient");
    ad_clear_error(g);
    nn_on_gradient(opt, NULL, NULL);
    assert_int_equal(nn_step_closure(opt, square_of, net, &loss), AD_OK);
    assert_close(loss, 2.7 * 2.7, 1e-13);
    assert_true(nn_on_gradient(NULL, halve, w) < 0);
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_ranks_trains_as_one),
        cmocka_unit_test(blocks_train_as_one_too),
        cmocka_unit_test(an_error_of_one_rank_is_that_of_all),
        cmocka_unit_test(gradients_of_closures_are_told),
    };
    return cmocka_run_group_tests_name("nn_ranks", tests, NULL, NULL);
}
