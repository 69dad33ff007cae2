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

/* ---- a training by each thread ----------------------------------------------------------------------------------- */

/* What a case may change before the training starts. */
typedef struct {
    ad_graph *g;
    nn_module *net;
    nn_optim *opt;
    nn_loss_fn *loss;
    nn_dataset d;
    nn_ranks r;
    nn_fit_opts o;
    int64_t from, to, parts; /* a stream's share of each minibatch */
} setting;

typedef struct {
    member m;
    bool plain, norm, batch_norm, idle;
    int fails; /* the rank that fails in step 3, or -1 */
    int64_t blocks;
    void (*change)(setting *s);
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

/* With a parameter before all others that no result depends on. */
static ad_var *unchanged(nn_module *m, ad_var *x) { return (void)m, x; }
static nn_module *with_idle_parameter(ad_graph *g, nn_module *net) {
    nn_module *idle = nn_module_new(g, "idle", unchanged, 0);
    nn_add_parameter(idle, "w", ad_param(g, AD_F64, (double[]){ 4 }, AD_SHAPE(1)));
    return nn_sequential(g, idle, net);
}

static void run(job *j) {
    ad_graph *g = j->m.g;
    ad_seed(g, 5);
    nn_module *net = network(g, j->norm);
    if (j->idle) net = with_idle_parameter(g, net);
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
    setting s = { g, net, opt, nn_mse, d, r, o, r.rank * (r.rank + 1) / 2, (r.rank + 1) * (r.rank + 2) / 2,
                  r.size * (r.size + 1) / 2 };
    if (j->change != NULL) j->change(&s);
    j->code = j->plain ? nn_fit(s.net, s.loss, s.opt, s.d, s.o, NULL)
                       : nn_fit_ranks(s.net, s.loss, s.opt, s.d, s.o, &s.r, NULL);
    snprintf(j->error, sizeof j->error, "%s", ad_ok(g) ? "" : ad_error(g));
    double *to = j->parameters;
    for (int i = 0; i < nn_parameter_count(s.net) + nn_buffer_count(s.net); i++) {
        int n = nn_parameter_count(s.net);
        const ad_var *x = i < n ? nn_parameter_at(s.net, i).var : nn_buffer_at(s.net, i - n).var;
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

/* ---- other trainings --------------------------------------------------------------------------------------------- */

static ad_var *row_losses(ad_var *y, ad_var *t) { return ad_mean_axis(ad_square(ad_sub(y, t)), 1, false); }
static void weigh(setting *s) {
    double w[ROWS]; /* rows of the first of two ranks have none */
    for (int i = 0; i < ROWS; i++) w[i] = i % 5 < 2 && i < 20 ? 0 : 0.5 + i % 4;
    s->o.weights = ad_tensor(s->g, AD_F64, w, AD_SHAPE(ROWS));
    s->o.in_order = true;
    s->loss = row_losses;
}
static void accumulate(setting *s) { s->o.accumulate = 2; }
static void weigh_and_accumulate(setting *s) { weigh(s), accumulate(s); }
static void mix(setting *s) {
    static nn_mix whole = { .classes = 0 };
    s->o.mix = nn_mixup, s->o.mix_data = &whole;
}
static void mix_and_accumulate(setting *s) { mix(s), accumulate(s); }
static void minimise(setting *s) { s->opt = nn_lbfgs(s->net, (nn_lbfgs_opts){ .max_iter = 4 }); }
static void schedule(setting *s) { s->o.schedule = nn_exponential_lr(s->opt, 0.5); }
static void prepare(setting *s) {
    schedule(s), accumulate(s);
    s->o.prefetch = 2, s->o.clip_norm = 0.01;
}
static void compile(setting *s) { s->o.compile = true, s->o.batch = 11; }

/* The network of x times a mask. */
static void masked(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    if (n == 2 && n_y == 1) y[0] = nn_apply(*(nn_module **)nn_self(m), ad_mul(x[0], x[1]));
    else ad_fail(nn_graph_of(m), AD_EVALUE, "masked: %d inputs", n);
}
static ad_var *with_mask(ad_var *x, double k) { return nn_inputs(2, (ad_var *[]){ x, ad_sigmoid(ad_muls(x, k)) }); }
static void several(setting *s) {
    nn_module *m = nn_module_new_n(s->g, "masked", masked, sizeof(nn_module *));
    *(nn_module **)nn_self(m) = nn_add_child(m, "net", s->net);
    s->net = m, s->opt = nn_sgd(m, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    s->d.x = with_mask(s->d.x, 3), s->o.validation = s->d;
}
static void several_and_compile(setting *s) { several(s), compile(s); }
static void several_and_prefetch(setting *s) { several(s), prepare(s); }

/* Rank r has r + 1 parts of size (size + 1) / 2 of each minibatch; with few rows, some ranks have none. */
static bool next_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    const setting *s = data;
    int64_t from = 5 * number, n = ROWS - from < 5 ? ROWS - from : 5;
    int64_t a = n * s->from / s->parts, b = n * s->to / s->parts;
    (void)epoch, (void)g;
    if (n <= 0 || a == b) return false;
    *x = ad_narrow(s->d.x, 0, from + a, b - a), *y = ad_narrow(s->d.y, 0, from + a, b - a);
    return true;
}
static void stream_into(setting *s, setting *kept) {
    *kept = *s;
    s->o.stream = next_rows, s->o.stream_data = kept, s->d = (nn_dataset){ 0 };
}
static setting streams[MOST];
static void stream(setting *s) { stream_into(s, &streams[s->r.rank]); }
static bool full_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    return number < ROWS / 5 && next_rows(g, epoch, number, x, y, data);
}
static void full_stream(setting *s) { stream(s), s->o.stream = full_rows; }
static void stream_and_accumulate(setting *s) { stream(s), accumulate(s); }

/* The ranks' parts of a step sum up to the step of one process, whatever the training. */
static void other_trainings_are_as_one_too(void **state) {
    (void)state;
    static const struct {
        void (*change)(setting *s);
        bool norm;
        int64_t blocks;
    } cases[] = {
        { weigh, false, 0 }, { weigh, false, 3 }, { weigh, true, 0 }, { accumulate, false, 0 },
        { weigh_and_accumulate, false, 0 }, { mix, false, 0 }, { mix, false, 3 }, { mix, true, 0 },
        { mix_and_accumulate, false, 0 }, { weigh_and_accumulate, true, 0 }, { minimise, false, 0 },
        { minimise, true, 0 }, { schedule, false, 0 }, { prepare, false, 0 }, { prepare, true, 0 },
        { compile, false, 0 }, { compile, false, 2 }, { stream, false, 0 }, { full_stream, true, 0 },
        { stream_and_accumulate, false, 0 }, { several, false, 0 }, { several, true, 0 }, { several, false, 3 },
        { several_and_compile, false, 0 }, { several_and_prefetch, false, 0 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job alone = { .plain = true, .norm = cases[i].norm, .fails = -1, .change = cases[i].change }, like = alone;
        like.plain = false, like.batch_norm = cases[i].norm, like.blocks = cases[i].blocks;
        run_job(&alone);
        for (int size = 1; size <= 2; size++) {
            run_all(size, &like, of);
            /* L-BFGS divides by small differences, and so rounding grows. */
            for (int r = 0; r < size; r++) assert_same(&of[r], &alone, cases[i].change == minimise ? 1e-4 : 1e-10);
        }
    }
}

/* As in a training alone, weight decay leaves a parameter without a gradient as it is. */
static void decay(setting *s) { s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 0.1, .weight_decay = 0.1 }); }
static void a_parameter_without_a_gradient_stays(void **state) {
    (void)state;
    job alone = { .plain = true, .idle = true, .fails = -1, .change = decay }, like = alone;
    like.plain = false;
    run_job(&alone);
    run_all(2, &like, of);
    for (int r = 0; r < 2; r++) {
        assert_same(&of[r], &alone, 1e-12);
        assert_true(of[r].parameters[0] == 4);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void high_rank(setting *s) { s->r.rank = 1; }
static void low_rank(setting *s) { s->r.rank = -1; }
static void few_blocks(setting *s) { s->r.blocks = -1; }
static void no_sum(setting *s) { s->r.sum = NULL; }
static void no_broadcast(setting *s) { s->r.broadcast = NULL; }
static void no_gather(setting *s) { s->r.gather = NULL; }
static void no_begin(setting *s) { s->r.begin = NULL; }
static void no_finish(setting *s) { s->r.finish = NULL; }
static void no_add(setting *s) { s->r.blocks = 1, s->r.add = NULL; }
static void norm_blocks(setting *s) { s->r.blocks = 1, s->r.batch_norm = true; }
static void accumulated_blocks(setting *s) { s->r.blocks = 1, accumulate(s); }
static void streamed_blocks(setting *s) { s->r.blocks = 1, stream(s); }
static void minimised_blocks(setting *s) { s->r.blocks = 1, minimise(s); }
static void minimised_stream(setting *s) { minimise(s), stream(s); }
static void minimised_mix(setting *s) { minimise(s), mix(s); }
static void compiled_norm(setting *s) { compile(s), s->r.batch_norm = true; }
static void compiled_groups(setting *s) { compile(s), accumulate(s); }
static void compiled_weights(setting *s) { compile(s), weigh(s); }

static void what_ranks_cannot_do_is_refused(void **state) {
    (void)state;
    static const struct {
        void (*change)(setting *s);
        const char *sentence;
    } cases[] = { { high_rank, "rank 1 of 1" },
                  { low_rank, "rank -1 of 1" },
                  { few_blocks, "-1 blocks" },
                  { no_sum, "all functions be given" },
                  { no_broadcast, "all functions be given" },
                  { no_gather, "all functions be given" },
                  { no_begin, "all functions be given" },
                  { no_finish, "all functions be given" },
                  { no_add, "1 blocks" },
                  { norm_blocks, "batch_norm over all ranks goes without blocks" },
                  { accumulated_blocks, "blocks (ordered) go without accumulate" },
                  { streamed_blocks, "blocks (ordered) go without accumulate, a stream" },
                  { minimised_blocks, "an optimiser that evaluates the loss itself" },
                  { minimised_stream, "takes neither a stream nor mix" },
                  { minimised_mix, "takes neither a stream nor mix" },
                  { compiled_norm, "compile goes without batch_norm" },
                  { compiled_groups, "compile goes without batch_norm" },
                  { compiled_weights, "compile goes without batch_norm" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job like = { .fails = -1, .change = cases[i].change };
        run_all(1, &like, of);
        assert_int_equal(of[0].code, AD_EVALUE);
        assert_contains(of[0].error, cases[i].sentence);
        assert_int_equal(of[0].steps, 0);
    }
}

static void other_rate(setting *s) {
    if (s->r.rank == 1) s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 0.2, .momentum = 0.9 });
}
static void other_momentum(setting *s) {
    s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 0.1, .momentum = s->r.rank == 1 ? 0.8 : 0.9 });
}
static void other_dampening(setting *s) {
    s->opt = nn_sgd(s->net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .dampening = 0.5 * s->r.rank });
}
static void other_decay(setting *s) {
    s->opt = nn_adam(s->net, (nn_adam_opts){ .lr = 0.1, .weight_decay = 0.5 * s->r.rank });
}
static void other_beta(setting *s) {
    s->opt = nn_adam(s->net, (nn_adam_opts){ .lr = 0.1, .beta2 = 0.9 + 0.05 * s->r.rank });
}
static void other_amsgrad(setting *s) {
    s->opt = nn_adam(s->net, (nn_adam_opts){ .lr = 0.1, .amsgrad = s->r.rank == 1 });
}
static void other_rate_decay(setting *s) {
    s->opt = nn_adagrad(s->net, (nn_adagrad_opts){ .lr = 0.1, .lr_decay = 0.5 * s->r.rank });
}
static void other_momentum_decay(setting *s) {
    s->opt = nn_nadam(s->net, (nn_nadam_opts){ .lr = 0.1, .momentum_decay = 0.004 + 0.1 * s->r.rank });
}
static void other_group(setting *s) {
    nn_group(s->opt, (nn_group_opts){ .pattern = s->r.rank == 1 ? "*bias" : "*weight", .lr = 0.05 });
}
static void other_history(setting *s) {
    s->opt = nn_lbfgs(s->net, (nn_lbfgs_opts){ .max_iter = 4 + s->r.rank });
}
static void other_milestones(setting *s) {
    const int64_t at[2][2] = { { 2, 700 }, { 2, 701 } };
    s->o.schedule = nn_multistep_lr(s->opt, 2, at[s->r.rank], 0.5);
}
static void other_plateau(setting *s) {
    s->o.schedule = nn_plateau_lr(s->opt, (nn_plateau_opts){ .patience = 3 + s->r.rank });
}
static void other_cycle(setting *s) {
    nn_one_cycle_opts o = { .total_steps = 50, .base_momentum = 0.85 - 0.01 * s->r.rank };
    s->o.schedule = nn_one_cycle_lr(s->opt, o);
}
static void other_average(setting *s) {
    s->o.average = nn_average_new(s->net, (nn_average_opts){ .decay = 0.5 + 0.1 * s->r.rank });
}
static void other_draws(setting *s) {
    s->o.draw_weights = ad_ones(s->g, AD_F64, AD_SHAPE(ROWS)), s->o.draws = 10 + s->r.rank;
}
static void other_drawing(setting *s) {
    double w[ROWS] = { [3] = 1, [4] = 1 + s->r.rank };
    s->o.draw_weights = ad_tensor(s->g, AD_F64, w, AD_SHAPE(ROWS));
}
static void other_order(setting *s) {
    s->o.draw_weights = ad_ones(s->g, AD_F64, AD_SHAPE(ROWS)), s->o.draw_once = s->r.rank == 0;
}
static void other_mask(setting *s) { s->d.x = with_mask(s->d.x, 3 + s->r.rank); }
static void other_inputs(setting *s) {
    if (s->r.rank == 1) s->d.x = with_mask(s->d.x, 3);
}
static void other_batch(setting *s) { s->o.batch += s->r.rank; }
static void other_schedule(setting *s) { s->o.schedule = nn_exponential_lr(s->opt, 0.5 + 0.1 * s->r.rank); }
static void other_data(setting *s) {
    if (s->r.rank == 1) s->d.x = ad_adds(s->d.x, 1);
}
static void other_weights(setting *s) {
    weigh(s);
    if (s->r.rank == 1) s->o.weights = ad_adds(s->o.weights, 1);
}
static void frozen(setting *s) {
    if (s->r.rank == 1) nn_freeze(s->net, true);
}
static void no_validation(setting *s) {
    if (s->r.rank == 1) s->o.validation = (nn_dataset){ 0 };
}
static void other_metric(setting *s) {
    if (s->r.rank == 1) s->o.metric = nn_r2;
}

/* Each rank says what is different, before anything is trained. */
static void ranks_with_other_settings_are_refused(void **state) {
    (void)state;
    static const struct {
        void (*change)(setting *s);
        const char *here, *there;
    } cases[] = { { other_rate, "lr 0.2", "lr 0.1" },
                  { other_batch, "batch 6", "batch 5" },
                  { other_momentum, "momentum 0.8", "momentum 0.9" },
                  { other_dampening, "group 0 has the numbers 0.1", "group 0 has the numbers 0.1" },
                  { other_decay, "group 0 has the numbers", "group 0 has the numbers" },
                  { other_beta, "group 0 has the numbers", "group 0 has the numbers" },
                  { other_amsgrad, "max_exp_avg_sq", "" },
                  { other_rate_decay, "group 0 has the numbers", "group 0 has the numbers" },
                  { other_momentum_decay, "group 0 has the numbers", "group 0 has the numbers" },
                  { other_group, "0.weight is in group 0", "0.weight is in group 1" },
                  { other_history, "group 0 has the numbers 1 5 6", "group 0 has the numbers 1 4 5" },
                  { other_schedule, "rates of the schedule", "rates of the schedule" },
                  { other_milestones, "rates of the schedule", "rates of the schedule" },
                  { other_plateau, "rates of the schedule", "rates of the schedule" },
                  { other_cycle, "rates of the schedule", "rates of the schedule" },
                  { other_average, "decay 0.59", "decay 0.5" },
                  { other_draws, "draws 11", "draws 10" },
                  { other_drawing, "elements of draw_weights", "elements of draw_weights" },
                  { other_order, "draw_once 0", "draw_once 1" },
                  { other_data, "elements of x", "elements of x" },
                  { other_mask, "elements of x", "elements of x" },
                  { other_inputs, "x f64 [22,3]", "y f64 [22,2]" },
                  { other_weights, "elements of weights", "elements of weights" },
                  { frozen, "frozen", "parameter 0.weight" },
                  { no_validation, "none", "f64 [22,3]" },
                  { other_metric, "metric 1", "metric 0" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job like = { .fails = -1, .change = cases[i].change };
        run_all(2, &like, of);
        for (int r = 0; r < 2; r++) {
            assert_int_equal(of[r].code, AD_EVALUE);
            assert_contains(of[r].error, "rank 1 has \"");
            assert_contains(of[r].error, cases[i].here);
            assert_contains(strstr(of[r].error, "where rank 0 has \""), cases[i].there);
            assert_int_equal(of[r].steps, 0);
        }
    }
}

/* A stream that ends early on rank 1, and one that has nothing at all. */
static bool short_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    const setting *s = data;
    return number < 2 - s->r.rank && next_rows(g, epoch, number, x, y, data);
}
static bool no_rows(ad_graph *g, int64_t epoch, int64_t number, ad_var **x, ad_var **y, void *data) {
    return (void)g, (void)epoch, (void)number, (void)x, (void)y, (void)data, false;
}
static void short_stream(setting *s) { stream(s), s->o.stream = short_rows; }
static void empty_stream(setting *s) { stream(s), s->o.stream = no_rows; }
static void streams_without_rows(void **state) {
    (void)state;
    job uneven = { .norm = true, .batch_norm = true, .fails = -1, .change = short_stream };
    job empty = { .fails = -1, .change = empty_stream };
    run_all(2, &uneven, of);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(of[r].code, AD_EVALUE);
        assert_contains(of[r].error, "the stream has ended while those of other ranks have more");
        assert_int_equal(of[r].steps, 1);
    }
    run_all(2, &empty, of);
    for (int r = 0; r < 2; r++) assert_contains(of[r].error, "the streams have no minibatch in epoch 1");
    uneven.norm = uneven.batch_norm = false; /* without statistics over all ranks, an uneven end is no error */
    run_all(2, &uneven, of);
    for (int r = 0; r < 2; r++) assert_int_equal(of[r].code, AD_OK), assert_int_equal(of[r].steps, 8);
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
        cmocka_unit_test(other_trainings_are_as_one_too),
        cmocka_unit_test(a_parameter_without_a_gradient_stays),
        cmocka_unit_test(what_ranks_cannot_do_is_refused),
        cmocka_unit_test(ranks_with_other_settings_are_refused),
        cmocka_unit_test(streams_without_rows),
        cmocka_unit_test(gradients_of_closures_are_told),
    };
    return cmocka_run_group_tests_name("nn_ranks", tests, NULL, NULL);
}
