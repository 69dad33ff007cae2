/* test_nn_checkpoint.c: checkpoints of the training loop, resuming, and what else is done to their files. */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/extend.h"
#include "tests/fit.h"

/* ---- checkpoints ------------------------------------------------------------------------------------- */

static problem checkpointed(const char *log) {
    problem p = problem_new();
    p.o.transform = shake;
    p.o.patience = 50;
    p.o.log = log;
    p.o.checkpoint = path_of("checkpoint");
    p.o.checkpoint_steps = 1;
    p.o.resume = true;
    p.o.prefetch = 2;
    return p;
}

/* The result that resumed trainings must reach: one run, without prefetch. */
static problem uninterrupted(const char *log) {
    problem p = checkpointed(log);
    p.o.resume = false;
    p.o.prefetch = 0;
    return p;
}

/* Stopped after each step in turn, and resumed in another graph. */
static void a_resumed_run_is_the_same_to_the_bit(void **state) {
    (void)state;
    problem whole = uninterrupted(path_of("whole"));
    nn_training_state want, got;
    assert_int_equal(fit(&whole, &want), AD_OK);
    unlink(whole.o.checkpoint);
    char log[TEXT_SIZE];
    snprintf(log, sizeof log, "%s", text_of(whole.o.log));
    for (int stop = 1; stop <= 35; stop += test_quick() ? 9 : 2) {
        problem first = checkpointed(path_of("log"));
        first.o.on_step = stop_at;
        first.o.callback_data = &stop;
        first.o.restore_best = false;
        first.o.checkpoint_steps = 6; /* and at the end */
        assert_int_equal(fit(&first, &got), AD_OK);
        assert_int_equal(got.steps, stop);
        ad_graph_free(first.g);
        problem second = checkpointed(path_of("log"));
        ad_seed(second.g, 77);
        second.o.checkpoint_steps = 6;
        assert_int_equal(fit(&second, &got), AD_OK);
        assert_same_net(&whole, &second);
        assert_memory_equal(&got.loss, &want.loss, sizeof got.loss);
        assert_memory_equal(&got.best, &want.best, sizeof got.best);
        assert_true(got.steps == want.steps && got.best_epoch == want.best_epoch);
        assert_string_equal(text_of(second.o.log), log);
        unlink(second.o.checkpoint);
        unlink(second.o.log);
        ad_graph_free(second.g);
    }
    unlink(whole.o.log);
    ad_graph_free(whole.g);
}

/* ---- the state of optimisers and schedules in a checkpoint ------------------------------------------- */

static void use_lbfgs(problem *p) {
    p->net = nn_mlp(p->g, AD_F64, 3, (int64_t[]){ 2, 6, 2 }, ad_tanh);
    p->data.train = (nn_dataset){ ad_cast(p->data.train.x, AD_F64), ad_cast(p->data.train.y, AD_F64) };
    p->data.validation = (nn_dataset){ NULL, NULL };
    p->opt = nn_lbfgs(p->net, (nn_lbfgs_opts){ .max_iter = 3, .history_size = 4 }); /* the history wraps around */
    p->o = (nn_fit_opts){ .epochs = 8, .batch = 63 };
}
/* The metric gets worse: the rate is reduced repeatedly, with cooldowns. */
static void use_plateau(problem *p) {
    p->opt = nn_sgd(p->net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .nesterov = true });
    p->o.metric = falling;
    p->o.by_metric = true;
    p->o.epochs = 12;
    nn_plateau_opts o = { .patience = 1, .cooldown = 1, .factor = 0.5, .maximise = true };
    p->o.schedule = nn_plateau_lr(p->opt, o);
}
static void use_one_cycle(problem *p) {
    p->opt = nn_nadam(p->net, (nn_nadam_opts){ .lr = 0.02 });
    nn_group(p->opt, (nn_group_opts){ .ending = "bias", .lr = 0.1 });
    p->o.schedule = nn_one_cycle_lr(p->opt, (nn_one_cycle_opts){ .total_steps = 40 });
    p->o.schedule_by_step = true;
}
static void use_warm_up(problem *p) {
    p->opt = nn_rmsprop(p->net, (nn_rmsprop_opts){ .centered = true, .momentum = 0.5 });
    p->o.schedule = nn_sequential_lr(nn_linear_lr(p->opt, 0.1, 1, 3), nn_cosine_restarts_lr(p->opt, 2, 2, 0), 3);
}
static void use_batch_norm(problem *p) { /* has buffers */
    nn_module *norm = nn_batch_norm(p->g, AD_F32, 6, (nn_batch_norm_opts){ 0 });
    p->net = nn_sequential(p->g, nn_linear(p->g, AD_F32, 2, 6, true), norm, nn_tanh(p->g),
                           nn_linear(p->g, AD_F32, 6, 2, true));
    p->opt = nn_adamw(p->net, (nn_adam_opts){ .amsgrad = true });
    p->o.schedule = NULL;
    p->o.clip_norm = 0.3;
}
static void use_adagrad(problem *p) {
    p->opt = nn_adagrad(p->net, (nn_adagrad_opts){ .lr_decay = 0.1 });
    p->o.schedule = NULL;
}
static void use_adadelta(problem *p) {
    p->opt = nn_adadelta(p->net, (nn_adadelta_opts){ 0 });
    p->o.schedule = NULL;
}
static void use_adamax(problem *p) {
    p->opt = nn_adamax(p->net, (nn_adamax_opts){ 0 });
    p->o.schedule = NULL;
}
static void use_lion(problem *p) {
    p->opt = nn_lion(p->net, (nn_lion_opts){ 0 });
    p->o.schedule = NULL;
}

static void every_state_is_in_a_checkpoint(void **state) {
    (void)state;
    static void (*const use[])(problem *) = { use_lbfgs,   use_plateau,  use_one_cycle, use_warm_up, use_batch_norm,
                                              use_adagrad, use_adadelta, use_adamax,    use_lion };
    for (size_t k = 0; k < sizeof use / sizeof *use; k++) {
        problem whole = problem_new();
        nn_training_state want, got;
        use[k](&whole);
        assert_int_equal(fit(&whole, &want), AD_OK);
        for (int stop = 1; stop <= want.steps; stop += 5) {
            for (int part = 0; part < 2; part++) {
                problem p = problem_new();
                use[k](&p);
                p.o.checkpoint = path_of("checkpoint");
                p.o.resume = true;
                if (part == 0) p.o.on_step = stop_at;
                p.o.callback_data = &stop;
                assert_int_equal(fit(&p, &got), AD_OK);
                if (part == 1) assert_same_net(&whole, &p);
                ad_graph_free(p.g);
            }
            assert_true(got.steps == want.steps);
            assert_memory_equal(&got.loss, &want.loss, sizeof got.loss);
            assert_memory_equal(&got.lr, &want.lr, sizeof got.lr);
            unlink(path_of("checkpoint"));
        }
        ad_graph_free(whole.g);
    }
}

/* Trains in a process that is killed after this time; returns whether it had ended before. */
static bool run_and_kill(int64_t microseconds) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        problem p = checkpointed(path_of("log"));
        p.o.epochs = 12;
        int rc = fit(&p, NULL);
        if (rc == AD_OK) rc = nn_save(p.net, path_of("end"));
        if (rc != AD_OK) print_error("the child: %s\n", ad_error(p.g));
        _exit(rc == AD_OK ? 0 : 1);
    }
    struct timespec wait = { microseconds / 1000000, (long)(microseconds % 1000000 * 1000) };
    nanosleep(&wait, NULL);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

/* Kills at 20 random times or more, in one training after another: all must end with the same result. */
static void kill_does_no_harm(void **state) {
    (void)state;
    problem whole = uninterrupted(path_of("whole"));
    whole.o.epochs = 12;
    assert_int_equal(fit(&whole, NULL), AD_OK);
    unlink(whole.o.checkpoint);
    uint64_t random = 5;
    int64_t most = 4000;
    for (int killed = 0; killed < 20;) {
        while (!run_and_kill(200 + next_below(&random, (int)most))) {
            killed++;
            most += most / 8; /* so that slow machines make progress */
        }
        problem end = checkpointed(path_of("log"));
        assert_int_equal(nn_load(end.net, path_of("end")), AD_OK);
        assert_same_net(&whole, &end);
        char log[TEXT_SIZE];
        snprintf(log, sizeof log, "%s", text_of(whole.o.log));
        assert_string_equal(text_of(end.o.log), log);
        ad_graph_free(end.g);
        assert_int_equal(files_in_folder(), 4); /* with the whole run's log: nothing of killed runs is left */
        static const char *const left[] = { "checkpoint", "end", "log" };
        for (size_t i = 0; i < sizeof left / sizeof *left; i++) unlink(path_of(left[i]));
        most = 2 * most / 3;
    }
    unlink(whole.o.log);
    ad_graph_free(whole.g);
}

static int interrupt_at(const nn_training_state *s, void *data) {
    if (s->steps == *(int *)data) raise(SIGINT);
    return 0;
}

static void an_interrupt_ends_it_with_a_checkpoint(void **state) {
    (void)state;
    problem whole = uninterrupted(NULL), first = checkpointed(NULL), second = checkpointed(NULL);
    struct sigaction before, after;
    int at = 17;
    nn_training_state end;
    assert_int_equal(fit(&whole, NULL), AD_OK);
    unlink(whole.o.checkpoint);
    first.o.checkpoint_steps = 0;
    first.o.catch_interrupt = true;
    first.o.on_step = interrupt_at;
    first.o.callback_data = &at;
    sigaction(SIGINT, NULL, &before);
    assert_int_equal(fit(&first, &end), AD_OK);
    sigaction(SIGINT, NULL, &after);
    assert_true(before.sa_handler == after.sa_handler);
    assert_true(end.interrupted && !end.stopped_early && end.steps == 17);
    assert_int_equal(fit(&second, &end), AD_OK);
    assert_false(end.interrupted);
    assert_same_net(&whole, &second);
    unlink(whole.o.checkpoint);
    ad_graph_free(whole.g);
    ad_graph_free(first.g);
    ad_graph_free(second.g);
}

static void a_checkpoint_of_another_training_is_refused(void **state) {
    (void)state;
    problem p = checkpointed(NULL);
    assert_int_equal(fit(&p, NULL), AD_OK);
    ad_graph_free(p.g);
    for (int k = 0; k < 5; k++) {
        problem q = checkpointed(NULL), twin = checkpointed(NULL);
        static const char *const sentence[] = { "checkpoint: optimiser is adam in the file and rmsprop here",
                                                "checkpoint: schedule is exponential in the file and none here",
                                                "this training", "0.weight: is [6,2] in the file and [7,2] here",
                                                "checkpoint: data_rows is 63 in the file and 62 here" };
        if (k == 0) {
            q.opt = nn_rmsprop(q.net, (nn_rmsprop_opts){ 0 });
            q.o.schedule = nn_exponential_lr(q.opt, 0.9);
        }
        if (k == 1) q.o.schedule = NULL;
        if (k == 2) q.o.patience = 0;
        if (k == 3) {
            q.net = nn_sequential(q.g, nn_linear(q.g, AD_F32, 2, 7, true), nn_tanh(q.g), nn_function(q.g, noisy),
                                  nn_linear(q.g, AD_F32, 7, 2, true));
            q.opt = nn_adam(q.net, (nn_adam_opts){ 0 });
            q.o.schedule = nn_exponential_lr(q.opt, 0.9);
        }
        if (k == 4)
            q.data.train = (nn_dataset){ ad_narrow(q.data.train.x, 0, 0, 62), ad_narrow(q.data.train.y, 0, 0, 62) };
        assert_true(fit(&q, NULL) < 0);
        assert_contains(ad_error(q.g), sentence[k]);
        if (k != 3) assert_same_net(&q, &twin);
        ad_graph_free(q.g);
        ad_graph_free(twin.g);
    }
    unlink(path_of("checkpoint"));
}

/* ---- files of a resumed training that changed in between -------------------------------------------------- */

static void write_text(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Trains for this many epochs. */
static void train_for(int64_t epochs, const char *log) {
    problem p = checkpointed(log);
    p.o.epochs = epochs;
    assert_int_equal(fit(&p, NULL), AD_OK);
    ad_graph_free(p.g);
}

/* The head and the rows from the third on of the log of 5 epochs. */
static void third_row_on(char *to, size_t size) {
    train_for(5, path_of("whole"));
    const char *all = text_of(path_of("whole")), *row = all;
    int head = (int)(strchr(all, '\n') + 1 - all);
    for (int i = 0; i < 3; i++) row = strchr(row, '\n') + 1;
    snprintf(to, size, "%.*s%s", head, all, row);
    unlink(path_of("whole"));
    unlink(path_of("checkpoint"));
}

static void a_log_that_is_empty_or_gone_begins_again(void **state) {
    (void)state;
    char want[TEXT_SIZE];
    third_row_on(want, sizeof want);
    for (int gone = 0; gone < 2; gone++) {
        train_for(2, path_of("log"));
        if (gone) unlink(path_of("log"));
        else assert_int_equal(truncate(path_of("log"), 0), 0);
        problem p = checkpointed(path_of("log"));
        p.o.progress = tmpfile();
        assert_int_equal(fit(&p, NULL), AD_OK);
        assert_string_equal(text_of(p.o.log), want);
        char first[300] = "";
        rewind(p.o.progress);
        assert_non_null(fgets(first, sizeof first, p.o.progress));
        assert_contains(first, "log: its rows are gone, it begins again");
        fclose(p.o.progress);
        unlink(p.o.log);
        unlink(p.o.checkpoint);
        ad_graph_free(p.g);
    }
}

static int take_away(const nn_training_state *s, void *data) {
    if (s->epoch == 2) unlink(data);
    return 0;
}

static void a_log_that_is_taken_away_during_training_begins_again(void **state) {
    (void)state;
    char want[TEXT_SIZE];
    third_row_on(want, sizeof want);
    problem p = checkpointed(path_of("log"));
    p.o.on_epoch = take_away;
    p.o.callback_data = (void *)p.o.log;
    assert_int_equal(fit(&p, NULL), AD_OK);
    assert_string_equal(text_of(p.o.log), want);
    unlink(p.o.log);
    unlink(p.o.checkpoint);
    ad_graph_free(p.g);
}

/* Resuming fails before the first step, and changes neither net, random numbers nor log. */
static void assert_no_resuming(const char *log, const char *sentence) {
    problem p = checkpointed(log), twin = checkpointed(NULL);
    char before[TEXT_SIZE] = "";
    if (log != NULL && access(log, R_OK) == 0) snprintf(before, sizeof before, "%s", text_of(log));
    assert_int_equal(fit(&p, NULL), AD_EIO);
    assert_contains(ad_error(p.g), sentence);
    assert_same_net(&p, &twin);
    assert_true(ad_random_get(p.g).counter == ad_random_get(twin.g).counter);
    assert_true(nn_lr(p.opt) == nn_lr(twin.opt));
    if (*before != '\0') assert_string_equal(text_of(log), before);
    ad_graph_free(p.g);
    ad_graph_free(twin.g);
}

static void another_file_is_no_log(void **state) {
    (void)state;
    static const char foreign[] = "is not the log of this training, or was cut: move it away to begin a new one";
    train_for(2, path_of("log"));
    char good[TEXT_SIZE], bad[8192];
    size_t n = (size_t)snprintf(good, sizeof good, "%s", text_of(path_of("log")));
    for (size_t cut = 1; cut < n; cut += 7) {
        write_text(path_of("log"), good, cut);
        assert_no_resuming(path_of("log"), foreign);
    }
    memcpy(bad, good, n);
    bad[n - 1] = ' '; /* the last byte of a row */
    write_text(path_of("log"), bad, n);
    assert_no_resuming(path_of("log"), foreign);
    memcpy(bad, good, n);
    bad[0] = 'E';
    write_text(path_of("log"), bad, n);
    assert_no_resuming(path_of("log"), foreign);
    write_text(path_of("log"), good, n);
    train_for(3, path_of("log"));
    assert_true(strncmp(text_of(path_of("log")), good, n) == 0);
    unlink(path_of("log"));
    unlink(path_of("checkpoint"));
}

static void pipes_and_folders_are_neither_log_nor_checkpoint(void **state) {
    (void)state;
    alarm(60); /* a pipe blocks */
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    const char *const paths[] = { path_of("pipe"), test_folder, "/dev/null", "/dev/full" };
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            problem p = checkpointed(k == 0 ? paths[i] : NULL), twin = checkpointed(NULL);
            if (k > 0) p.o.checkpoint = paths[i];
            p.o.resume = k < 2;
            assert_int_equal(fit(&p, NULL), AD_EIO);
            assert_contains(ad_error(p.g), i == 1 ? "is a folder" : "is a device, pipe or socket");
            assert_same_net(&p, &twin);
            ad_graph_free(p.g);
            ad_graph_free(twin.g);
        }
    alarm(0);
    unlink(path_of("pipe"));
    assert_int_equal(files_in_folder(), 0);
}

/* Where the bytes have this text; NULL where they do not. */
static const char *place_of(const char *text, const char *bytes, size_t n) {
    size_t m = strlen(text);
    for (size_t i = 0; i + m <= n; i++)
        if (memcmp(bytes + i, text, m) == 0) return bytes + i;
    return NULL;
}

/* Writes the checkpoint with another text for one number, and its checksum under a name that says nothing. */
static void alter_checkpoint(const char *good, size_t n, const char *name, const char *value) {
    char key[80], *to = malloc(n + 200);
    assert_non_null(to);
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | (unsigned char)good[i];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *from = place_of(key, good, n);
    assert_non_null(from);
    from += strlen(key);
    const char *end = strchr(from, '"');
    size_t at = (size_t)(from - good), rest = n - (size_t)(end - good), added = strlen(value);
    memcpy(to, good, at);
    memcpy(to + at, value, added);
    memcpy(to + at + added, end, rest);
    header = header + added - (uint64_t)(end - from);
    for (int i = 0; i < 8; i++) to[i] = (char)(header >> 8 * i);
    to[place_of("autodiff.crc32", to, n) - to] = 'A';
    write_text(path_of("checkpoint"), to, at + added + rest);
    free(to);
}

static void impossible_numbers_in_a_checkpoint_are_refused(void **state) {
    (void)state;
    static const char *const bad[][3] = {
        { "epoch", "-9223372036854775808", "epoch is out of its range" },
        { "epoch", "-1", "epoch is out of its range" },
        { "epoch", "9223372036854775807", "epoch is out of its range" },
        { "epoch", "1000000", "contradict each other" },
        { "epoch", "99999999999999999999", "epoch is not a number" },
        { "epoch", "2.5", "epoch is not a number" },
        { "epoch", "", "epoch is not a number" },
        { "epoch_open", "2", "epoch_open is out of its range" },
        { "epoch_open", "-1", "epoch_open is out of its range" },
        { "steps", "-5", "steps is out of its range" },
        { "steps", "9223372036854775807", "steps is out of its range" },
        { "steps", "0", "contradict each other" },
        { "rows", "-1", "rows is out of its range" },
        { "rows", "64", "rows is out of its range" }, /* of 63 */
        { "at", "-1", "at is out of its range" },
        { "at", "64", "at is out of its range" },
        { "best_epoch", "-1", "best_epoch is out of its range" },
        { "best_epoch", "3", "contradict each other" },
        { "log_bytes", "-1", "log_bytes is out of its range" },
        { "log_bytes", "123456789012", "is not the log of this training, or was cut" },
        { "log_bytes", "12", "is not the log of this training, or was cut" },
        { "sum", "much", "sum is not a number" },
        { "optimiser.0.weight.step", "-1", "0.weight.step is out of its range" },
        { "optimiser.0.weight.step", "nan", "0.weight.step is out of its range" },
        { "optimiser.0.weight.step", "0.5", "0.weight.step is out of its range" },
        { "optimiser.group0.lr", "nan", "group0.lr is out of its range" },
        { "optimiser.group0.initial_lr", "inf", "group0.initial_lr is out of its range" },
        { "optimiser.group0.momentum", "nan", "group0.momentum is out of its range" },
        { "schedule.last_epoch", "-1", "last_epoch is out of its range" },
        { "schedule.last_epoch", "1e300", "last_epoch is out of its range" },
    };
    enum { SIZE = 1 << 16 };
    static char good[SIZE];
    train_for(2, path_of("log"));
    FILE *f = fopen(path_of("checkpoint"), "rb");
    assert_non_null(f);
    size_t n = fread(good, 1, SIZE, f);
    fclose(f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        alter_checkpoint(good, n, bad[i][0], bad[i][1]);
        assert_no_resuming(path_of("log"), bad[i][2]);
    }
    write_text(path_of("checkpoint"), good, n);
    train_for(3, path_of("log"));
    unlink(path_of("log"));
    unlink(path_of("checkpoint"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resumed_run_is_the_same_to_the_bit),
        cmocka_unit_test(every_state_is_in_a_checkpoint),
        cmocka_unit_test(kill_does_no_harm),
        cmocka_unit_test(an_interrupt_ends_it_with_a_checkpoint),
        cmocka_unit_test(a_checkpoint_of_another_training_is_refused),
        cmocka_unit_test(a_log_that_is_empty_or_gone_begins_again),
        cmocka_unit_test(a_log_that_is_taken_away_during_training_begins_again),
        cmocka_unit_test(another_file_is_no_log),
        cmocka_unit_test(pipes_and_folders_are_neither_log_nor_checkpoint),
        cmocka_unit_test(impossible_numbers_in_a_checkpoint_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
