/* test_nn_durable.c: files of every format stay whole: savers at once, killed savers, links, and what is no file. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/base/durable.h"
#include "nn/nn.h"
#include "ops/compile.h"
#include "tests/common.h"

/* ---- the formats ----------------------------------------------------------------------------------------- */

enum { ELEMENTS = 30000 };

typedef struct {
    const char *name;
    int (*save)(ad_var *x, const char *path);
    ad_var *(*load)(ad_graph *g, const char *path);
} format;

static int save_npy(ad_var *x, const char *path) { return nn_save_npy(x, path); }
static ad_var *load_npy(ad_graph *g, const char *path) { return nn_load_npy(g, AD_F64, path); }

static int save_npz(ad_var *x, const char *path) { return nn_save_npz(path, 1, (const char *[]){ "x" }, &x); }
static ad_var *load_npz(ad_graph *g, const char *path) { return nn_load_npz(g, AD_F64, path, "x"); }

static nn_module *holder(ad_graph *g, ad_var *x) {
    nn_module *m = nn_module_new(g, "holder", (nn_forward_fn *)nn_apply, 0);
    nn_add_parameter(m, "x", x);
    return m;
}
static int save_net(ad_var *x, const char *path) { return nn_save(holder(ad_graph_of(x), x), path); }
static ad_var *load_net(ad_graph *g, const char *path) {
    ad_var *x = ad_zeros(g, AD_F64, AD_SHAPE(ELEMENTS));
    nn_load(holder(g, x), path);
    return x;
}

static const format formats[] = {
    { "npy", save_npy, load_npy },
    { "npz", save_npz, load_npz },
    { "safetensors", save_net, load_net },
};
enum { FORMATS = sizeof formats / sizeof *formats };

/* Saves ELEMENTS times this value. */
static int save_value(const format *f, const char *path, double value) {
    ad_graph *g = ad_graph_new();
    int rc = f->save(ad_full(g, AD_F64, value, AD_SHAPE(ELEMENTS)), path);
    if (rc != AD_OK) print_error("%s: %s\n", f->name, ad_error(g));
    ad_graph_free(g);
    return rc;
}

/* The value of a file whose elements are all the same, NaN for any other file. */
static double value_in(const format *f, const char *path) {
    ad_graph *g = ad_graph_new();
    ad_var *x = f->load(g, path);
    double value = ad_ok(g) ? ad_at(x, 0) : (double)NAN;
    for (int64_t i = 1; ad_ok(g) && i < ELEMENTS; i++)
        if (ad_at(x, i) != value) value = NAN;
    if (!ad_ok(g)) print_error("%s: %s\n", f->name, ad_error(g));
    ad_graph_free(g);
    return value;
}

static int mode_of(const char *path) {
    struct stat about;
    assert_int_equal(lstat(path, &about), 0);
    return (int)(about.st_mode & 0777);
}

static bool is_link(const char *path) {
    struct stat about;
    return lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void assert_text(const char *path, const char *text) {
    char got[100] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(got, text);
}

/* ---- savers at once -------------------------------------------------------------------------------------- */

typedef struct {
    const format *f;
    int value, rounds, failures;
} saver;

static void *save_often(void *data) {
    saver *s = data;
    for (int i = 0; i < s->rounds; i++) s->failures += save_value(s->f, path_of("one"), s->value) != AD_OK;
    return NULL;
}

static void assert_whole(const format *f, int most) {
    double value = value_in(f, path_of("one"));
    assert_true(value >= 1 && value <= most);
}

/* Every save succeeds, and each reader sees the whole file of one saver. */
static void threads_save_one_path(void **state) {
    (void)state;
    enum { THREADS = 4 };
    path_of("one"); /* path_of's table is filled by this thread alone */
    for (int k = 0; k < FORMATS; k++) {
        pthread_t thread[THREADS];
        saver s[THREADS];
        assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
        for (int i = 0; i < THREADS; i++) {
            s[i] = (saver){ &formats[k], 1 + i, test_quick() ? 3 : 25, 0 };
            assert_int_equal(pthread_create(&thread[i], NULL, save_often, &s[i]), 0);
        }
        for (int i = 0; i < 25; i++) assert_whole(&formats[k], THREADS);
        for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
        for (int i = 0; i < THREADS; i++) assert_int_equal(s[i].failures, 0);
        assert_whole(&formats[k], THREADS);
        assert_int_equal(files_in_folder(), 1);
        unlink(path_of("one"));
    }
}

static pid_t start_saver(const format *f, int value) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    saver s = { f, value, 1 << 30, 0 };
    save_often(&s);
    _exit(1);
}

/* Two processes save to one path and are killed; the next save removes what they leave. */
static void killed_processes_leave_a_whole_file(void **state) {
    (void)state;
    uint64_t random = 3;
    for (int k = 0; k < FORMATS; k++) {
        assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
        for (int i = 0; i < (test_quick() ? 2 : 15); i++) {
            pid_t child[] = { start_saver(&formats[k], 2), start_saver(&formats[k], 3) };
            struct timespec wait = { 0, 1000000 + next_below(&random, 12000000) };
            nanosleep(&wait, NULL);
            assert_whole(&formats[k], 3);
            for (int j = 0; j < 2; j++) kill(child[j], SIGKILL);
            for (int j = 0; j < 2; j++) assert_int_equal(waitpid(child[j], NULL, 0), child[j]);
            assert_whole(&formats[k], 3);
            assert_in_range(files_in_folder(), 1, 3);
        }
        assert_int_equal(save_value(&formats[k], path_of("one"), 4), AD_OK);
        assert_true(value_in(&formats[k], path_of("one")) == 4);
        assert_int_equal(files_in_folder(), 1);
        unlink(path_of("one"));
    }
}

/* ---- temporary files ------------------------------------------------------------------------------------- */

static void a_living_saver_s_file_stays(void **state) {
    (void)state;
    ad__durable slow;
    assert_null(ad__durable_open(&slow, path_of("one")));
    fputs("slow", slow.to);
    assert_int_equal(save_value(&formats[0], path_of("one"), 2), AD_OK);
    assert_int_equal(files_in_folder(), 2);
    assert_true(value_in(&formats[0], path_of("one")) == 2);
    assert_null(ad__durable_close(&slow));
    assert_int_equal(files_in_folder(), 1);
    struct stat about;
    assert_int_equal(stat(path_of("one"), &about), 0);
    assert_int_equal(about.st_size, 4);
    unlink(path_of("one"));
}

static void only_a_dead_saver_s_file_is_removed(void **state) {
    (void)state;
    static const char *const others[] = { "one.tmp",          "one.autodiff-1-x.tmp", "one.autodiff-1-0.tmp2",
                                          "one.autodiff--1.tmp", "two.autodiff-1-0.tmp", "one2.autodiff-1-0.tmp" };
    enum { OTHERS = sizeof others / sizeof *others };
    for (int i = 0; i < OTHERS; i++) write_text(path_of(others[i]), "another's");
    write_text(path_of("one.autodiff-999999999-7.tmp"), "a dead writer's");
    pid_t child = fork();
    if (child == 0) {
        ad__durable d;
        if (ad__durable_open(&d, path_of("one")) == NULL) raise(SIGKILL);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(files_in_folder(), OTHERS + 1); /* the child has removed the older one */
    assert_int_equal(save_value(&formats[0], path_of("one"), 2), AD_OK);
    assert_int_equal(files_in_folder(), OTHERS + 1);
    for (int i = 0; i < OTHERS; i++) assert_int_equal(unlink(path_of(others[i])), 0);
    assert_int_equal(unlink(path_of("one")), 0);
}

/* Another user may put links where temporary files are made. */
static void a_link_at_a_temporary_name_is_not_followed(void **state) {
    (void)state;
    char made[3][160];
    write_text(path_of("precious"), "precious");
    for (int i = 0; i < 3; i++) {
        snprintf(made[i], sizeof made[i], "%s/one.autodiff-%ld-%d.tmp", test_folder, (long)getpid(), i);
        assert_int_equal(symlink(path_of("precious"), made[i]), 0);
    }
    for (int k = 0; k < FORMATS; k++) {
        assert_int_equal(save_value(&formats[k], path_of("one"), 1 + k), AD_OK);
        assert_true(value_in(&formats[k], path_of("one")) == 1 + k);
        assert_text(path_of("precious"), "precious");
    }
    for (int i = 0; i < 3; i++) assert_int_equal(unlink(made[i]), 0);
    unlink(path_of("precious"));
    unlink(path_of("one"));
}

static void names_may_be_as_long_as_the_file_system_takes(void **state) {
    (void)state;
    char path[400];
    size_t n = (size_t)snprintf(path, sizeof path, "%s/", test_folder);
    for (int i = 0; i < 254; i += 2) memcpy(path + n + i, "\xc3\xa9", 2); /* é */
    path[n + 254] = '\0';
    for (int i = 0; i < 2; i++) {
        assert_int_equal(save_value(&formats[0], path, 3 + i), AD_OK);
        assert_true(value_in(&formats[0], path) == 3 + i);
    }
    assert_int_equal(files_in_folder(), 1);
    unlink(path);
}

/* ---- access rights --------------------------------------------------------------------------------------- */

static void a_file_has_the_rights_of_the_one_it_replaces(void **state) {
    (void)state;
    static const int masks[] = { 022, 077, 0 }, modes[] = { 0600, 0640, 0664, 0700 };
    mode_t before = umask(022);
    for (int k = 0; k < FORMATS; k++)
        for (int i = 0; i < 3; i++) {
            umask((mode_t)masks[i]);
            assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
            assert_int_equal(mode_of(path_of("one")), 0666 & ~masks[i]);
            for (int j = 0; j < 4; j++) {
                chmod(path_of("one"), (mode_t)modes[j]);
                assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
                assert_int_equal(mode_of(path_of("one")), modes[j]);
            }
            unlink(path_of("one"));
        }
    umask(before);
}

static void a_file_keeps_its_owner(void **state) {
    (void)state;
    enum { USER = 1, GROUP = 2 };
    struct stat about;
    if (geteuid() != 0) skip(); /* only the superuser may give a file away */
    for (int k = 0; k < FORMATS; k++) {
        assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
        assert_int_equal(chown(path_of("one"), USER, k == 0 ? 0 : GROUP), 0);
        assert_int_equal(save_value(&formats[k], path_of("one"), 2), AD_OK);
        assert_int_equal(stat(path_of("one"), &about), 0);
        assert_int_equal(about.st_uid, USER);
        assert_int_equal(about.st_gid, k == 0 ? 0 : GROUP);
        unlink(path_of("one"));
    }
}

/* ---- links ----------------------------------------------------------------------------------------------- */

static void the_file_behind_links_is_replaced(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_of("sub"), 0700), 0);
    assert_int_equal(symlink("sub/next", path_of("link")), 0);
    assert_int_equal(symlink("../real", path_of("sub/next")), 0);
    for (int k = 0; k < FORMATS; k++) {
        for (int i = 0; i < 2; i++) { /* first there is no file behind the links */
            assert_int_equal(save_value(&formats[k], path_of("link"), 5 + i), AD_OK);
            assert_true(is_link(path_of("link")) && is_link(path_of("sub/next")));
            assert_true(!is_link(path_of("real")) && value_in(&formats[k], path_of("real")) == 5 + i);
            assert_true(value_in(&formats[k], path_of("link")) == 5 + i);
        }
        unlink(path_of("real"));
    }
    assert_int_equal(files_in_folder(), 2);
    unlink(path_of("link"));
    unlink(path_of("sub/next"));
    rmdir(path_of("sub"));
}

static void assert_not_saved(const format *f, const char *path, const char *sentence) {
    ad_graph *g = ad_graph_new();
    assert_int_equal(f->save(ad_full(g, AD_F64, 1, AD_SHAPE(ELEMENTS)), path), AD_EIO);
    assert_contains(ad_error(g), sentence);
    ad_graph_free(g);
}

static void a_circle_of_links_is_refused(void **state) {
    (void)state;
    assert_int_equal(symlink("b", path_of("a")), 0);
    assert_int_equal(symlink("a", path_of("b")), 0);
    for (int k = 0; k < FORMATS; k++) assert_not_saved(&formats[k], path_of("a"), "Too many levels of symbolic links");
    assert_int_equal(files_in_folder(), 2);
    unlink(path_of("a"));
    unlink(path_of("b"));
}

/* ---- what is no plain file ------------------------------------------------------------------------------- */

static void assert_not_loaded(const char *path, const char *sentence) {
    ad_graph *g = ad_graph_new();
    for (int k = 0; k < FORMATS + 2; k++) {
        if (k < FORMATS) formats[k].load(g, path);
        else if (k == FORMATS) nn_load_idx(g, AD_F32, path, 1);
        else nn_read_csv(g, path, (nn_csv_opts){ 0 });
        assert_int_equal(ad_error_code(g), AD_EIO);
        assert_contains(ad_error(g), sentence);
        ad_clear_error(g);
    }
    ad_graph_free(g);
}

static const char device[] = "is a device, pipe or socket, not a plain file";

static void pipes_devices_and_folders_are_refused(void **state) {
    (void)state;
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(symlink("pipe", path_of("link")), 0);
    const char *const paths[] = { path_of("pipe"), path_of("link"), "/dev/null",
                                  "/dev/zero",     "/dev/full",     test_folder };
    alarm(60); /* a pipe blocks */
    for (int i = 0; i < 6; i++) {
        const char *sentence = i < 5 ? device : "is a folder, not a plain file";
        for (int k = 0; k < FORMATS; k++) assert_not_saved(&formats[k], paths[i], sentence);
        assert_not_loaded(paths[i], sentence);
    }
    alarm(0);
    assert_int_equal(files_in_folder(), 2);
    unlink(path_of("pipe"));
    unlink(path_of("link"));
}

/* ---- faults ---------------------------------------------------------------------------------------------- */

static void a_write_that_fails_leaves_the_old_file(void **state) {
    (void)state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    for (int k = 0; k < FORMATS; k++) {
        assert_int_equal(save_value(&formats[k], path_of("one"), 1), AD_OK);
        setrlimit(RLIMIT_FSIZE, &small);
        assert_not_saved(&formats[k], path_of("one"), "one: File too large");
        assert_not_saved(&formats[k], path_of("two"), "two: File too large");
        setrlimit(RLIMIT_FSIZE, &before);
        assert_true(value_in(&formats[k], path_of("one")) == 1);
        assert_int_equal(files_in_folder(), 1);
        unlink(path_of("one"));
    }
    signal(SIGXFSZ, SIG_DFL);
}

/* Two files that are replaced together. */
static bool export_c(const char *path) {
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SCALAR);
    int rc = ad_export_c(path, "f", ad_square(x), 1, &x, (ad_export_opts){ 0 });
    ad_graph_free(g);
    return rc == AD_OK;
}

/* In a process without a standard input, descriptor 0 is one like others: files get it and give it back. */
static void descriptor_0_is_one_like_others(void **state) {
    (void)state;
    const char *path = path_of("file");
    pid_t child = fork();
    if (child == 0) {
        bool good = close(0) == 0;
        for (int i = 0; i < FORMATS; i++)
            good = good && save_value(&formats[i], path, 3) == AD_OK && fcntl(0, F_GETFD) == -1 &&
                   value_in(&formats[i], path) == 3 && fcntl(0, F_GETFD) == -1;
        good = good && export_c(path_of("f.c")) && fcntl(0, F_GETFD) == -1;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(path_of("f.c")), 0);
    assert_int_equal(remove(path_of("f.h")), 0);
}

static void impossible_paths_are_named(void **state) {
    (void)state;
    char path[5000];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    for (int k = 0; k < FORMATS; k++) {
        assert_not_saved(&formats[k], "", "No such file or directory");
        assert_not_saved(&formats[k], path, "File name too long");
        assert_not_saved(&formats[k], path_of("no/one"), "no/one: No such file or directory");
    }
    assert_int_equal(files_in_folder(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_save_one_path),
        cmocka_unit_test(killed_processes_leave_a_whole_file),
        cmocka_unit_test(a_living_saver_s_file_stays),
        cmocka_unit_test(only_a_dead_saver_s_file_is_removed),
        cmocka_unit_test(a_link_at_a_temporary_name_is_not_followed),
        cmocka_unit_test(names_may_be_as_long_as_the_file_system_takes),
        cmocka_unit_test(a_file_has_the_rights_of_the_one_it_replaces),
        cmocka_unit_test(a_file_keeps_its_owner),
        cmocka_unit_test(the_file_behind_links_is_replaced),
        cmocka_unit_test(a_circle_of_links_is_refused),
        cmocka_unit_test(pipes_devices_and_folders_are_refused),
        cmocka_unit_test(a_write_that_fails_leaves_the_old_file),
        cmocka_unit_test(impossible_paths_are_named),
        cmocka_unit_test(descriptor_0_is_one_like_others),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
