/* test_kill.c: kill -9 at random moments, for each writer of files: what was there, or what was being written, is there
   and whole; nothing that a save had finished is lost; the next save removes what was left.

   A child saves in a loop. It notes before and after each save which one it is, in memory that the parent sees. So the
   file must have the last finished save, or the one after it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "nn/nn.h"
#include "ops/compile.h"
#include "tests/common.h"

enum { ELEMENTS = 3000, ROWS = 12, EPOCHS = 40, KILLS = 200, FOREVER = 1 << 30 };

/* Shared with the child. */
static struct {
    int finished; /* the last save that returned 0; 0: none */
    int failed;
} * child_says;

typedef struct {
    const char *name;
    int (*save)(ad_graph *g, int value);
    int (*value)(ad_graph *g); /* of the file; -1: none or not whole */
    int (*left)(void);         /* the number of files left over */
} writer;

/* ---- writers ----------------------------------------------------------------------------------------------------- */

static ad_var *array(ad_graph *g, int value) { return ad_full(g, AD_F64, value, AD_SHAPE(ELEMENTS)); }

static int value_of(const ad_var *x) {
    if (ad_is_nil(x) || ad_numel(x) != ELEMENTS) return -1;
    for (int i = 0; i < ELEMENTS; i++)
        if (ad_at(x, i) != ad_at(x, 0)) return -1;
    return (int)ad_at(x, 0);
}

static nn_module *holder(ad_graph *g, int value) {
    nn_module *m = nn_module_new(g, "holder", (nn_forward_fn *)nn_apply, 0);
    nn_add_parameter(m, "x", array(g, value));
    return m;
}
static int save_net(ad_graph *g, int value) { return nn_save(holder(g, value), path_of("a")); }
static int net_value(ad_graph *g) {
    nn_module *m = holder(g, -1);
    return nn_load(m, path_of("a")) == AD_OK ? value_of(nn_find_parameter(m, "x")) : -1;
}

static int save_npy(ad_graph *g, int value) { return nn_save_npy(array(g, value), path_of("a")); }
static int npy_value(ad_graph *g) { return value_of(nn_load_npy(g, AD_F64, path_of("a"))); }

static int save_npz(ad_graph *g, int value) {
    ad_var *x = array(g, value);
    return nn_save_npz(path_of("a"), 1, (const char *[]){ "x" }, &x);
}
static int npz_value(ad_graph *g) { return value_of(nn_load_npz(g, AD_F64, path_of("a"), "x")); }

/* y = value * sum(weights), as C: a source, a header and a file of weights. */
static int export_to(ad_graph *g, const char *path, int value) {
    ad_var *x = ad_ones(g, AD_F64, AD_SHAPE(4)), *y = ad_sum(ad_mul(x, ad_full(g, AD_F64, value, AD_SHAPE(4))));
    return ad_export_c(path, "f", y, 1, &x, (ad_export_opts){ .separate = true });
}
static int save_c(ad_graph *g, int value) { return export_to(g, path_of("a.c"), value); }

static const char *const exported[] = { "a.c", "a.h", "a_weights.c" };

static bool same_file(const char *name, const char *other) {
    char *a = whole_file(path_of(name)), *b = whole_file(path_of(other));
    bool same = a != NULL && b != NULL && strcmp(a, b) == 0;
    free(a);
    free(b);
    return same;
}

static bool exports_differ; /* the files are of two exports */

/* Each file is that of one of the two saves that may be there; the source tells which. */
static int c_value(ad_graph *g) {
    int value = -1, before = child_says->finished;
    if (access(path_of("a.c"), F_OK) != 0) return -1;
    mkdir(path_of("other"), 0700);
    bool whole[2][3];
    for (int k = 0; k < 2; k++) {
        assert_int_equal(export_to(g, path_of("other/a.c"), before + k), AD_OK);
        for (int i = 0; i < 3; i++) {
            char other[24];
            snprintf(other, sizeof other, "other/%s", exported[i]);
            whole[k][i] = same_file(exported[i], other);
            unlink(path_of(other));
        }
    }
    rmdir(path_of("other"));
    for (int i = 0; i < 3; i++)
        if (!whole[0][i] && !whole[1][i]) return -1;
    for (int k = 0; k < 2; k++)
        if (whole[k][0] && whole[k][1] && whole[k][2]) value = before + k;
    if (value >= 0) return value;
    exports_differ = true;
    return before + 1;
}

static int one_file(void) { return files_in_folder() - 1; }
static int three_files(void) { return files_in_folder() - 3; }

/* Programs of the cache: each value is another program. */
static const char *compiler = "cc";
static int compile_value(ad_graph *g, int value) {
    ad_var *x = ad_ones(g, AD_F64, AD_SCALAR), *y = ad_muls(x, value);
    ad_program *p = ad_compile(1, &y, 1, &x, (ad_compile_opts){ .cache = path_of("cache"), .cc = compiler });
    double got = 0;
    if (p == NULL || strcmp(ad_program_how(p), "compiled") != 0) return -1;
    return ad_run(p, (const void *[]){ NULL }, (void *[]){ &got }, NULL) == AD_OK && got == value ? AD_OK : -1;
}

/* Files of the cache whose names end in .so, or, of all others, folders of attempts. */
static int in_cache(bool programs) {
    DIR *all = opendir(path_of("cache"));
    int n = 0;
    assert_non_null(all);
    for (const struct dirent *e; (e = readdir(all)) != NULL;) {
        const char *end = strrchr(e->d_name, '.');
        n += programs ? end != NULL && strcmp(end, ".so") == 0 : strncmp(e->d_name, "tmp-", 4) == 0;
    }
    closedir(all);
    return n;
}
static int attempts(void) { return in_cache(false); }

/* The program of each value so far is in the cache, and what is there can be run. */
static int compiled_value(ad_graph *g) {
    int programs = in_cache(true);
    for (int value = programs; value > 0 && value > programs - 2; value--)
        if (compile_value(g, value) != AD_OK) return -1;
    return in_cache(true) == programs ? programs : -1;
}

static void empty_cache(void) {
    DIR *all = opendir(path_of("cache"));
    for (const struct dirent *e; (e = readdir(all)) != NULL;)
        if (e->d_name[0] != '.') unlinkat(dirfd(all), e->d_name, 0);
    closedir(all);
    rmdir(path_of("cache"));
}

/* ---- kills ------------------------------------------------------------------------------------------------------- */

/* In the child, until it is killed. */
static void save_often(const writer *w, int from) {
    for (int value = from; value < FOREVER; value++) {
        ad_graph *g = ad_graph_new();
        if (w->save(g, value) != AD_OK) child_says->failed = value;
        else child_says->finished = value;
        ad_graph_free(g);
    }
    _exit(1);
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Kills the child, and the compiler that it may have started; false if the child had ended before. */
static bool kill_after(pid_t child, double seconds) {
    int status;
    struct timespec wait = { (time_t)seconds, (long)(fmod(seconds, 1) * 1e9) };
    setpgid(child, child); /* so does the child: one of the two is first */
    nanosleep(&wait, NULL);
    kill(-child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status)) assert_int_equal(status, 0);
    return WIFSIGNALED(status);
}

static pid_t start(void) {
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) setpgid(0, 0);
    return child;
}

static int kills_to_try(void) { return getenv("AD_TEST_ALL") ? KILLS : test_quick() ? 2 : KILLS / 10; }

typedef struct {
    int before, after; /* kills after which the file had the last finished save, or the next */
    int differ;        /* kills between the renames of an export */
    int left;          /* kills that left something over */
    double seconds;    /* of the last save */
} outcome;

/* Returns the value of the file. */
static int note(const writer *w, ad_graph *g, outcome *o) {
    int last = child_says->finished, value = w->value(g);
    if (child_says->failed != 0) fail_msg("%s: save %d failed", w->name, child_says->failed);
    if (value != last && value != last + 1)
        fail_msg("%s: after save %d the file has %d: %s", w->name, last, value, ad_error(g));
    o->before += value == last;
    o->after += value == last + 1 && !exports_differ;
    o->differ += exports_differ;
    return value;
}

static void save_timed(const writer *w, ad_graph *g, outcome *o) {
    double begin = seconds_now();
    if (w->save(g, ++child_says->finished) != AD_OK) fail_msg("%s: saving: %s", w->name, ad_error(g));
    o->seconds = seconds_now() - begin;
}

/* One kill and what it left; then a save of the parent's, which tidies up. */
static void kill_once(const writer *w, uint64_t *random, outcome *o) {
    pid_t child = start();
    if (child == 0) save_often(w, child_says->finished + 1);
    kill_after(child, next_between(random, 0, 3 * o->seconds)); /* on the whole in each moment of a save */
    ad_graph *g = ad_graph_new();
    exports_differ = false;
    o->left += w->left() > 0;
    child_says->finished = note(w, g, o);
    for (int i = 0; i < 5 && (i == 0 || w->left() != 0); i++) save_timed(w, g, o); /* a killed compiler ends late */
    if (w->left() != 0) fail_msg("%s: %d files stay", w->name, w->left());
    ad_graph_free(g);
}

static void kill_writer(const writer *w) {
    uint64_t random = 9;
    outcome o = { 0 };
    memset(child_says, 0, sizeof *child_says);
    ad_graph *g = ad_graph_new();
    save_timed(w, g, &o);
    ad_graph_free(g);
    for (int i = 0; i < kills_to_try(); i++) kill_once(w, &random, &o);
    print_message("%-14s %3d kills: %3d old, %3d new, %d of both; %d left files, which the next save removed\n",
                  w->name, kills_to_try(), o.before, o.after, o.differ, o.left);
    if (getenv("AD_TEST_ALL")) assert_true(o.left > 0);
}

static void saved_files(void **state) {
    (void)state;
    static const writer writers[] = { { "safetensors", save_net, net_value, one_file },
                                      { "npy", save_npy, npy_value, one_file },
                                      { "npz", save_npz, npz_value, one_file } };
    for (int i = 0; i < 3; i++) {
        kill_writer(&writers[i]);
        unlink(path_of("a"));
    }
}

static void exported_c_files(void **state) {
    (void)state;
    static const writer w = { "exported C", save_c, c_value, three_files };
    kill_writer(&w);
    for (int i = 0; i < 3; i++) unlink(path_of(exported[i]));
}

static void compiled_programs(void **state) {
    (void)state;
    if (getenv("TEST_UNDER") || system("command -v tcc >/dev/null") != 0) skip(); /* another compiler takes too long */
    static const writer w = { "compiled", compile_value, compiled_value, attempts };
    compiler = "tcc";
    kill_writer(&w);
    empty_cache();
}

/* ---- trainings: a checkpoint and a log --------------------------------------------------------------------------- */

static int on_epoch(const nn_training_state *s, void *data) {
    (void)data;
    child_says->finished = (int)s->epoch;
    return 0;
}

static int train(ad_graph *g, bool checkpoints) {
    ad_seed(g, 3);
    nn_module *net = nn_linear(g, AD_F64, 3, 1, true);
    nn_dataset d = { ad_randn(g, AD_F64, AD_SHAPE(ROWS, 3)), ad_randn(g, AD_F64, AD_SHAPE(ROWS, 1)) };
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.1 });
    nn_fit_opts o = { .epochs = EPOCHS, .batch = 4, .log = path_of("log.csv"), .on_epoch = on_epoch };
    if (checkpoints) o.checkpoint = path_of("checkpoint"), o.checkpoint_steps = 2, o.resume = true;
    return nn_fit(net, nn_mse, opt, d, o, NULL);
}

static int rows_of(const char *log) {
    int n = 0;
    for (; *log; log++) n += *log == '\n';
    return n - 1; /* the first line has the names */
}

/* The log has whole rows of the training, at least so many. Returns their number, -1 before the first line. */
static int check_log(const char *whole, int least) {
    char *log = whole_file(path_of("log.csv"));
    size_t n = log ? strlen(log) : 0;
    if (strncmp(whole, log ? log : "", n) != 0 || (n > 0 && log[n - 1] != '\n'))
        fail_msg("the log is not whole\n%s", log);
    int rows = n > 0 ? rows_of(log) : -1;
    if (rows < least && least > 0) fail_msg("%d rows of %d are lost", least - rows, least);
    free(log);
    return rows;
}

static void remove_training(void) {
    unlink(path_of("log.csv"));
    unlink(path_of("checkpoint"));
    assert_int_equal(files_in_folder(), 0);
}

/* Trains again and again, and kills each. With checkpoints a training goes on where the last one was killed. */
static void kill_trainings(const char *whole, bool checkpoints, double seconds) {
    uint64_t random = 5;
    int ends = 0, left = 0, kills = 0, rows = 0;
    child_says->finished = 0;
    while (kills < kills_to_try()) {
        pid_t child = start();
        if (child == 0) {
            ad_graph *g = ad_graph_new();
            _exit(train(g, checkpoints) == AD_OK ? 0 : 1);
        }
        bool killed = kill_after(child, next_between(&random, 0, seconds));
        /* A resumed training repeats the epoch whose checkpoint was not finished, and its row. */
        int now = check_log(whole, checkpoints ? rows - 1 : child_says->finished);
        kills += killed, ends += !killed;
        left += files_in_folder() > 1 + checkpoints;
        rows = now;
        if (!checkpoints || !killed) {
            if (!killed) assert_int_equal(now, EPOCHS);
            remove_training();
            rows = child_says->finished = 0;
        }
    }
    print_message("%-14s %3d kills: rows are whole, %d trainings ended; %d left files\n",
                  checkpoints ? "checkpoint" : "CSV log", kills, ends, left);
}

/* A training that is not killed, or the rest of one; its seconds. */
static double train_to_the_end(bool checkpoints) {
    double begin = seconds_now();
    ad_graph *g = ad_graph_new();
    if (train(g, checkpoints) != AD_OK) fail_msg("the training failed: %s", ad_error(g));
    ad_graph_free(g);
    return seconds_now() - begin;
}

static void trainings(void **state) {
    (void)state;
    for (int checkpoints = 0; checkpoints < 2; checkpoints++) {
        double seconds = train_to_the_end(checkpoints);
        char *whole = whole_file(path_of("log.csv"));
        assert_int_equal(rows_of(whole), EPOCHS);
        remove_training();
        kill_trainings(whole, checkpoints, checkpoints ? seconds / 3 : 1.3 * seconds);
        train_to_the_end(checkpoints); /* it removes what the last one left */
        check_log(whole, EPOCHS);
        remove_training();
        free(whole);
    }
}

static int share_memory(void **state) {
    child_says = mmap(NULL, sizeof *child_says, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return child_says == MAP_FAILED ? -1 : make_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_files),
        cmocka_unit_test(exported_c_files),
        cmocka_unit_test(compiled_programs),
        cmocka_unit_test(trainings),
    };
    return cmocka_run_group_tests(tests, share_memory, remove_folder);
}
