/* test_io.c: system calls on files fail, are short, or are the last ones of the process, each in turn: the old file or
   the new one is there, whole; an error has a sentence; nothing is left behind.

   A filter of the kernel (seccomp) turns system calls into signals, so calls that the C library makes for itself are
   caught too. The handler makes the call with a mark in its sixth argument, which the filter lets pass. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

#if defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_THREAD__) &&                                       \
    (defined(__x86_64__) || defined(__aarch64__))
#define CAN_FILTER 1
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#else
#define CAN_FILTER 0
#endif

/* ---- the calls of a child process ---------------------------------------------------------------------------- */

typedef enum { FAIL, SHORT, KILL, WAYS } way;
static const char *const way_names[] = { "fails", "is short", "is the last" };

/* Shared with the parent. */
static struct {
    bool reached;
    bool matters; /* the call writes data, or puts it on disk, or in its place */
    int rc;
    char error[512];
    int open_files; /* left open */
} * report;

static struct {
    long calls, syncs, at; /* at: the call that fails, counted from 0; -1: none */
    way how;
} plan;

#if CAN_FILTER

enum { MARK = 0x61757464, CALLS = 16 };

static const struct {
    int number;
    int error; /* when it fails; 0: it does not, as those that clean up */
} calls[] = {
    { SYS_openat, EMFILE }, { SYS_write, ENOSPC },  { SYS_writev, ENOSPC }, { SYS_read, EIO },
    { SYS_close, EIO },     { SYS_fsync, EIO },     { SYS_lseek, EIO },     { SYS_ftruncate, EIO },
    { SYS_fchmod, EPERM },  { SYS_flock, ENOLCK },  { SYS_unlinkat, 0 },    { SYS_renameat, EACCES },
    { SYS_fstat, EIO },
#ifdef __x86_64__
    { SYS_open, EMFILE },   { SYS_rename, EACCES }, { SYS_unlink, 0 },
#endif
};

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
typedef greg_t word;
static word *argument(ucontext_t *u, int i) {
    static const int of[] = { REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8 };
    return &u->uc_mcontext.gregs[of[i]];
}
static word *result(ucontext_t *u) { return &u->uc_mcontext.gregs[REG_RAX]; }
#else
#define ARCH AUDIT_ARCH_AARCH64
typedef unsigned long long word;
static word *argument(ucontext_t *u, int i) { return (word *)&u->uc_mcontext.regs[i]; }
static word *result(ucontext_t *u) { return (word *)&u->uc_mcontext.regs[0]; }
#endif

static int error_of(int number) {
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number) return calls[i].error;
    return 0;
}

/* In a handler: no function of the C library but syscall. */
static long make(int number, ucontext_t *u, bool half) {
    unsigned long a[5];
    for (int i = 0; i < 5; i++) a[i] = (unsigned long)*argument(u, i);
    if (half) a[2] = (a[2] + 1) / 2;
    long r = syscall(number, a[0], a[1], a[2], a[3], a[4], (long)MARK);
    return r < 0 ? -errno : r;
}

static void on_call(int signal, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    int number = info->si_syscall, kept = errno, error = error_of(number);
    bool chosen = plan.at >= 0 && plan.calls++ == plan.at;
    (void)signal;
    bool moves = number == SYS_read || number == SYS_write;
    bool first_sync = number == SYS_fsync && plan.syncs++ == 0; /* of the file; later ones may be of its folder */
    if (chosen) report->reached = true, report->matters = number == SYS_write || first_sync || error == EACCES;
    if (chosen && plan.how == KILL) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    bool fails = chosen && plan.how == FAIL && error != 0;
    long r = fails && number != SYS_close ? 0 : make(number, u, chosen && plan.how == SHORT && moves);
    *result(u) = (word)(fails ? -error : r);
    errno = kept;
}

static bool filter(void) {
    enum { HEAD = 5, N = sizeof calls / sizeof *calls };
    struct sock_filter code[HEAD + N + 2] = {
        /* jumps go to one of the last two statements */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, N + 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, N + 1, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    int at = HEAD;
    for (int i = 0; i < N; i++, at++)
        code[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number,
                                                (unsigned char)(N - i), 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog program = { (unsigned short)at, code };
    struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER };
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#else
static bool filter(void) { return false; }
#endif

/* ---- work ------------------------------------------------------------------------------------------------------ */

enum { N = 3000, ROWS = 12 };

/* Returns the code of the call that is tried. */
typedef int work_fn(ad_graph *g, double value);

static ad_var *array(ad_graph *g, double value) { return ad_full(g, AD_F64, value, AD_SHAPE(N)); }

static nn_module *holder(ad_graph *g, double value) {
    nn_module *m = nn_module_new(g, "holder", (nn_forward_fn *)nn_apply, 0);
    if (m != NULL) nn_add_parameter(m, "x", array(g, value));
    return m;
}

static int save_net(ad_graph *g, double value) { return nn_save(holder(g, value), path_of("a")); }
static int save_npy(ad_graph *g, double value) { return nn_save_npy(array(g, value), path_of("a")); }
static int save_npz(ad_graph *g, double value) {
    ad_var *x = array(g, value);
    return nn_save_npz(path_of("a"), 1, (const char *[]){ "x" }, &x);
}

/* The value in all elements; NaN for a file that is not whole. */
static double value_of(const ad_var *x) {
    for (int i = 0; i < ad_numel(x); i++)
        if (ad_at(x, i) != ad_at(x, 0)) return (double)NAN;
    return ad_numel(x) == N ? ad_at(x, 0) : (double)NAN;
}

static double net_value(ad_graph *g) {
    nn_module *m = holder(g, 7);
    return nn_load(m, path_of("a")) == AD_OK ? value_of(nn_find_parameter(m, "x")) : (double)NAN;
}
static double npy_value(ad_graph *g) { return value_of(nn_load_npy(g, AD_F64, path_of("a"))); }
static double npz_value(ad_graph *g) { return value_of(nn_load_npz(g, AD_F64, path_of("a"), "x")); }

/* A load that fails changes nothing: the last of the codes below 0. */
static int load_net(ad_graph *g, double value) {
    nn_module *m = holder(g, value);
    int rc = nn_load(m, path_of("a"));
    double now = ad_at(nn_find_parameter(m, "x"), N - 1);
    return rc == AD_OK ? (now == 1 ? AD_OK : -1000) : now == value ? rc : -1000;
}
static int load_npy(ad_graph *g, double value) {
    (void)value;
    return npy_value(g) == 1 ? AD_OK : ad_error_code(g) ? ad_error_code(g) : -1000;
}
static int load_npz(ad_graph *g, double value) {
    (void)value;
    return npz_value(g) == 1 ? AD_OK : ad_error_code(g) ? ad_error_code(g) : -1000;
}
static int load_idx(ad_graph *g, double value) {
    (void)value;
    ad_var *x = nn_load_idx(g, AD_F32, source_path("tests/fuzz/seeds/idx/u8"), 1);
    return ad_at(x, 11) == 11 ? AD_OK : ad_error_code(g) ? ad_error_code(g) : -1000;
}
static int load_csv(ad_graph *g, double value) {
    (void)value;
#ifdef AD_HAVE_CSV
    const nn_table *t = nn_read_csv(g, source_path("tests/fuzz/seeds/csv/plain.csv"), (nn_csv_opts){ 0 });
    return nn_table_rows(t) == 3 ? AD_OK : ad_error_code(g) ? ad_error_code(g) : -1000;
#else
    return ad_error_code(g);
#endif
}

/* Trains to epoch 3 with a log and a checkpoint, or goes on from there. */
static int train(ad_graph *g, double epochs) {
    ad_seed(g, 3);
    nn_module *net = nn_linear(g, AD_F64, 3, 1, true);
    nn_dataset d = { ad_randn(g, AD_F64, AD_SHAPE(ROWS, 3)), ad_randn(g, AD_F64, AD_SHAPE(ROWS, 1)) };
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.1 });
    nn_fit_opts o = { .epochs = (int64_t)epochs, .batch = 4, .checkpoint_steps = 2, .resume = true };
    o.checkpoint = path_of("checkpoint");
    o.log = path_of("log.csv");
    return nn_fit(net, nn_mse, opt, d, o, NULL);
}

typedef struct {
    const char *name;
    work_fn *run, *make;          /* make: what is there before */
    double (*value)(ad_graph *g); /* what is there afterwards, for a save */
} work;

/* ---- trying ---------------------------------------------------------------------------------------------------- */

static int open_files(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* In the child. */
static void run_filtered(const work *w) {
    if (!filter()) _exit(77);
    ad_graph *g = ad_graph_new();
    int files = open_files();
    long at = plan.at;
    plan.calls = plan.syncs = 0;
    report->rc = w->run(g, 2);
    plan.at = -1;
    snprintf(report->error, sizeof report->error, "%s", ad_error(g));
    report->open_files = open_files() - files;
    ad_clear_error(g);
    if (at >= 0 && ad_item(ad_sum(ad_ones(g, AD_F64, AD_SHAPE(3)))) != 3) report->rc = -2000;
    _exit(0);
}

static int status_of(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool is_filtered(void) {
    static int known;
    if (known == 0) {
        pid_t child = fork();
        if (child == 0) _exit(filter() ? 0 : 77);
        known = CAN_FILTER && status_of(child) == 0 ? 1 : -1;
    }
    return known > 0;
}

static void make_ready(const work *w) {
    if (w->make == NULL) return;
    ad_graph *g = ad_graph_new();
    assert_int_equal(w->make(g, 1), AD_OK);
    ad_graph_free(g);
}

/* Runs the work in a child whose call number `at` goes wrong. */
static void run_at(const work *w, long at, way how) {
    memset(report, 0, sizeof *report);
    plan.at = at;
    plan.how = how;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) run_filtered(w);
    plan.at = -1;
    int status = status_of(child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (killed ? how != KILL : status != 0) fail_msg("%s: call %ld %s: status %x", w->name, at, way_names[how], status);
}

/* An error has a code and a sentence; a short read or write is none. What matters is an error. */
static void check_report(const work *w, long at, way how) {
    bool good = report->rc == AD_OK
                    ? report->error[0] == '\0' && !(how == FAIL && report->matters)
                    : how == FAIL && (report->rc == AD_EIO || report->rc == AD_ENOMEM) && strlen(report->error) > 20;
    if (!good || report->open_files != 0)
        fail_msg("%s: call %ld %s: %d, \"%s\", %d files left open", w->name, at, way_names[how], report->rc,
                 report->error, report->open_files);
}

static void check_file(const work *w, long at, way how) {
    ad_graph *g = ad_graph_new();
    double value = w->value(g);
    if (!(value == 2 || (value == 1 && (how == KILL || report->rc != AD_OK))))
        fail_msg("%s: call %ld %s: the file has %g; %s", w->name, at, way_names[how], value, ad_error(g));
    if (how == KILL) assert_int_equal(w->run(g, 3), AD_OK); /* removes what the killed one left */
    if (files_in_folder() != 1) fail_msg("%s: call %ld %s: a file is left", w->name, at, way_names[how]);
    ad_graph_free(g);
}

static long points;

static void try_work(const work *w, void check(const work *w, long at, way how)) {
    if (!is_filtered()) skip();
    long step = test_quick() ? 9 : 1;
    for (way how = FAIL; how < WAYS; how++)
        for (long at = 0;; at += step, points++) {
            make_ready(w);
            run_at(w, at, how);
            if (!report->reached) break;
            if (how != KILL) check_report(w, at, how);
            if (check != NULL) check(w, at, how);
        }
    unlink(path_of("a"));
}

static void saves(void **state) {
    (void)state;
    static const work works[] = { { "save", save_net, save_net, net_value },
                                  { "save_npy", save_npy, save_npy, npy_value },
                                  { "save_npz", save_npz, save_npz, npz_value } };
    points = 0;
    for (int i = 0; i < 3; i++) try_work(&works[i], check_file);
    print_message("%ld system calls of saves went wrong\n", points);
    assert_true(points > (test_quick() ? 5 : 50));
}

static void loads(void **state) {
    (void)state;
    static const work works[] = { { "load", load_net, save_net, NULL },
                                  { "load_npy", load_npy, save_npy, NULL },
                                  { "load_npz", load_npz, save_npz, NULL },
                                  { "load_idx", load_idx, NULL, NULL },
                                  { "read_csv", load_csv, NULL, NULL } };
    points = 0;
    for (int i = 0; i < 5; i++) try_work(&works[i], NULL);
    print_message("%ld system calls of loads went wrong\n", points);
    assert_true(points > (test_quick() ? 2 : 20));
}

/* ---- trainings --------------------------------------------------------------------------------------------------- */

static char whole_log[2000];

static void read_log(char *to) {
    char *text = whole_file(path_of("log.csv"));
    assert_non_null(text);
    snprintf(to, sizeof whole_log, "%s", text);
    free(text);
}

static void go_on(int epochs) {
    ad_graph *g = ad_graph_new();
    if (train(g, epochs) != AD_OK) fail_msg("resuming: %s", ad_error(g));
    ad_graph_free(g);
}

static void remove_training(void) {
    unlink(path_of("log.csv"));
    unlink(path_of("checkpoint"));
}

/* Whatever happened, the training goes on and ends with the same rows. Its rates and losses are in the log. */
static void check_training(const work *w, long at, way how) {
    char log[sizeof whole_log];
    go_on(3);
    read_log(log);
    if (strcmp(log, whole_log) != 0)
        fail_msg("%s: call %ld %s: the log is\n%s and not\n%s", w->name, at, way_names[how], log, whole_log);
    if (files_in_folder() != 2) fail_msg("%s: call %ld %s: a file is left", w->name, at, way_names[how]);
    remove_training();
}

static void trainings(void **state) {
    (void)state;
    static const work fit = { "fit", train, NULL, NULL };
    points = 0;
    go_on(3);
    read_log(whole_log);
    remove_training();
    try_work(&fit, check_training);
    remove_training();
    print_message("%ld system calls of trainings went wrong\n", points);
    assert_true(points > (test_quick() ? 5 : 50));
}

/* ---- a disk that is full, a folder without rights ---------------------------------------------------------------- */

/* The largest size of a file is as good as a disk that fills at that byte. */
static void disks_that_fill_up(void **state) {
    (void)state;
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    go_on(3);
    read_log(whole_log);
    remove_training();
    int step = test_quick() ? 500 : 50, errors = 0;
    for (int most = 0; most < 3000; most += step) {
        ad_graph *g = ad_graph_new();
        small = (struct rlimit){ (rlim_t)most, before.rlim_max };
        setrlimit(RLIMIT_FSIZE, &small);
        int rc = train(g, 3);
        setrlimit(RLIMIT_FSIZE, &before);
        errors += rc != AD_OK;
        assert_int_equal(rc, ad_error_code(g));
        if (rc != AD_OK) assert_contains(ad_error(g), "File too large");
        ad_graph_free(g);
        static const work fit = { "fit", NULL, NULL, NULL };
        check_training(&fit, most, FAIL);
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_true(errors > (test_quick() ? 0 : 5));
}

static void folders_without_rights(void **state) {
    (void)state;
    static work_fn *const writers[] = { save_net, save_npy, save_npz, train };
    if (geteuid() == 0) {
        print_message("the superuser may write everywhere: calls that fail stand for it\n");
        skip();
    }
    assert_int_equal(chmod(test_folder, 0500), 0);
    for (int i = 0; i < 4; i++) {
        ad_graph *g = ad_graph_new();
        assert_int_equal(writers[i](g, 3), AD_EIO);
        assert_contains(ad_error(g), "Permission denied");
        ad_graph_free(g);
    }
    assert_int_equal(chmod(test_folder, 0700), 0);
    assert_int_equal(files_in_folder(), 0);
}

static int set_up(void **state) {
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return report == MAP_FAILED ? -1 : make_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saves),
        cmocka_unit_test(loads),
        cmocka_unit_test(trainings),
        cmocka_unit_test(disks_that_fill_up),
        cmocka_unit_test(folders_without_rights),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
