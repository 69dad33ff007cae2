/* test_misuse.c: every public function with bad arguments, one at a time and all at once: an error with a sentence or a
   documented answer, at once, and the graph works afterwards.

   tests/misuse.awk makes the calls of the headers, tests/misuse.h has the values. The calls are made in another
   process, so that a crash ends that process only; the parent starts a new one behind the call that crashed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/misuse.h"

enum { MOST = 12, MOST_STOPS = 2000, FAULTS_SHOWN = 400 };
typedef struct {
    const char *name;
    void (*call)(const int *k);
    int n;          /* parameters */
    int bads[MOST]; /* bad values of each */
} function;

/* ---- what the process that makes the calls tells its parent ------------------------------------------------------ */

static struct {
    int function; /* whose call is made now */
    long at;      /* the number of the call */
    long faults;
    long good[2000]; /* by function: calls with good arguments that succeeded, or lack LAPACK */
    char stage[60];
    char text[2000]; /* the arguments of the call, where it is described */
    char fault[1000];
} * report;

static void stage(const char *text) { snprintf(report->stage, sizeof report->stage, "%s", text); }
static void fault(const char *text) {
    if (report->fault[0] == '\0') snprintf(report->fault, sizeof report->fault, "%s", text);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* These return NULL or nil without an error: as their comments say, there may be none. */
static const char without_error[] = "ad_nil ad_op_operand ad_op_result ad_program_leaf nn_find_parameter nn_find_buffer "
                                    "nn_average_find nn_find_module nn_input_at ad_name "
                                    "ad_call_axis ad_fail ad_call_fail ad_op_fail ad_refuse_nil ad_shape_text "
                                    "ad_attr_text ad_op_arity nn_group_count nn_table_columns ad_sparse_column_colour "
                                    "ad_sparse_row_colour";

/* A result that tells of an error has an error of the graph, unless nothing of the graph was given. */
static void failed(const char *what) {
    bool given = now.given || (now.in_array && !now.uncounted);
    if (!given || now.closed || !ad_ok(now.g) || !ad_ok(now.other) || is_one_of(now.function, without_error)) return;
    char text[200];
    snprintf(text, sizeof text, "returns %s, and the graph has no error", what);
    fault(text);
}

static void take_int(int code) {
    if (code < 0 && code != AD_ECHECK) failed("a negative code");
}
static void take_double(double x) { (void)x; }
static void take_object(const void *object) {
    if (object == NULL) failed("NULL");
}
static void take_ad_graph_p(ad_graph *g) {
    if (g != now.g && g != now.other) ad_graph_free(g);
}
static void take_nn_module_p(const nn_module *m) { take_object(m); }
static void take_nn_optim_p(const nn_optim *o) { take_object(o); }
static void take_nn_schedule_p(const nn_schedule *s) { take_object(s); }
static void take_nn_loader_p(const nn_loader *l) { take_object(l); }
static void take_nn_table_p(const nn_table *t) { take_object(t); }
static void take_nn_average_p(const nn_average *a) { take_object(a); }
static void take_nn_rows_p(const nn_rows *r) { take_object(r); }
static void take_ad_objective_p(const ad_objective *f) { take_object(f); }
static void take_ad_residuals_p(const ad_residuals *f) { take_object(f); }
static void take_ad_sparse_plan_p(const ad_sparse_plan *p) { take_object(p); }
static void take_ad_program_p(const ad_program *p) { take_object(p); }

/* Passes over a result of odd arguments must hold too. */
static void use(ad_var *y) {
    if (ad_graph_of(y) != now.g || ad_numel(y) > ELEMENTS || now.closed || !ad_ok(now.g)) return;
    stage("ad_eval of the result");
    if (ad_eval(y) != AD_OK) return;
    stage("ad_backward of the result");
    ad_var *seed = ad_ones(now.g, ad_dtype_of(y), ad_shape_of(y));
    if (ad_requires_grad(y)) (void)ad_backward_from(y, seed);
    ad_clear_error(now.g);
    stage("ad_vjp of the result");
    const ad_op *op = ad_creator(y);
    ad_var *x = op ? ad_op_operand(op, 0) : NULL, *dx = NULL;
    if (x != NULL) (void)ad_vjp(y, seed, 1, &x, &dx);
    ad_clear_error(now.g);
}

static void take_ad_var_p(ad_var *y) {
    bool lookup = is_one_of(now.function, without_error);
    if (y == NULL && !lookup) fault("returns NULL for a Var");
    else if (ad_is_nil(y)) failed("nil");
    else use(y);
}

#include "misuse_calls.h"

enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* AD_MISUSE_ONLY="ad_add nn_fit" calls these functions only. */
static bool is_chosen(int i) {
    const char *only = getenv("AD_MISUSE_ONLY");
    return only == NULL || is_one_of(functions[i].name, only);
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

/* Call number at of f: the world, and the values of its arguments. The calls of a world are: all good; one bad, for
   each of its values; all bad, as often as a parameter has bad values. */
static void count(const function *f, int *each, int *most) {
    *each = 1, *most = 0;
    for (int i = 0; i < f->n; i++) {
        *each += f->bads[i];
        if (f->bads[i] > *most) *most = f->bads[i];
    }
}
static long calls_of(const function *f) {
    int each, most;
    count(f, &each, &most);
    return (long)(each + most) * (test_quick() ? 1 : WORLDS);
}

/* Returns whether all values are good. */
static bool choose(const function *f, long at, int *k) {
    int each, most;
    count(f, &each, &most);
    now.world = (int)(at / (each + most));
    int rest = (int)(at % (each + most)) - 1;
    for (int i = 0; i < f->n; i++) k[i] = -1;
    for (int i = 0; i < f->n && rest >= 0 && rest < each - 1; i++) {
        if (rest < f->bads[i]) k[i] = rest;
        rest = rest < f->bads[i] ? -1 : rest - f->bads[i];
    }
    for (int i = 0; i < f->n && rest >= each - 1; i++)
        if (f->bads[i]) k[i] = (rest - (each - 1)) % f->bads[i];
    return at % (each + most) == 0;
}

/* The error has a sentence, and after it is cleared the graph computes as always. */
static void check_graph(void) {
    const char *text = ad_error(now.g);
    bool own = strstr(now.function, "_fail") != NULL; /* the caller's own sentence */
    if (!ad_ok(now.g) && strlen(text) < 12 && !own) fault("the error has no sentence");
    if (strstr(text, "(null)") != NULL) fault("the sentence shows a NULL");
    if (!ad_ok(now.g) && !own && (ad_error_code(now.g) < AD_EBRANCH || ad_error_code(now.g) > -1))
        fault("the code is none of AD_E");
    stage("using the graph");
    ad_clear_error(now.g);
    ad_mark m = ad_begin(now.g);
    if (!ad_enable_grad(now.g, true) && !is_one_of(now.function, "ad_enable_grad")) fault("gradients stay disabled");
    ad_var *x = ad_param(now.g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), *y = ad_sum(ad_square(x));
    if (ad_backward(y) != AD_OK || ad_grad_at(x, 1) != 4 || ad_eval(y) != AD_OK || ad_item(y) != 5)
        fault("the graph does not work afterwards");
    ad_end(now.g, m);
    if (!ad_ok(now.g)) fault("a scope is not closed");
}

/* AddressSanitizer calls this. */
#ifdef SANITIZED
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=1000:detect_leaks=0:handle_segv=2:handle_abort=2";
}
#endif

static void limit_time(void) {
#ifdef SANITIZED
    int seconds = 20;
#else
    int seconds = test_quick() ? 60 : 1;
#endif
    struct itimerval processor = { .it_value = { .tv_sec = seconds } };
    (void)setitimer(ITIMER_PROF, &processor, NULL);
    (void)alarm(90); /* for calls that wait */
}

static void make_call(int i, long at, bool describe) {
    const function *f = &functions[i];
    int k[MOST];
    bool all_good = choose(f, at, k);
    now.function = f->name;
    now.given = now.in_array = now.uncounted = now.closed = false;
    now.leaf = NULL, now.module = NULL, now.optim = NULL;
    now.text = describe ? report->text : NULL;
    now.size = sizeof report->text;
    now.g = ad_graph_new_with((ad_allocator){ give_some, take_release, NULL });
    now.other = ad_graph_new_with((ad_allocator){ give_some, take_release, NULL });
    (void)ad_ones(now.g, AD_F64, AD_SHAPE(3)); /* so that it has memory, as a graph in use has */
    report->text[0] = report->fault[0] = '\0';
    report->at = at;
    stage("the call");
    limit_time();
    f->call(k);
    bool no_lapack = ad_error_code(now.g) == AD_EABSENT && strstr(ad_error(now.g), "LAPACK") != NULL;
    if (all_good && (ad_ok(now.g) || no_lapack)) report->good[i]++;
    check_graph();
    stage("freeing the graph");
    ad_graph_free(now.g);
    ad_graph_free(now.other);
}

/* Makes the calls of function number i from number `at` on, then those of the functions after it. Ends at a fault, so
   that the parent can tell, or after only_one. */
static void run_calls(int i, long at, bool only_one) {
    struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef SANITIZED
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT }; /* cmocka catches them */
    for (size_t s = 0; s < sizeof deadly / sizeof *deadly; s++) (void)signal(deadly[s], SIG_DFL);
#endif
    for (; i < FUNCTIONS; i++, at = 0) {
        report->function = i;
        for (long n = calls_of(&functions[i]); is_chosen(i) && at < n; at++) {
            make_call(i, at, only_one);
            if (report->fault[0] || only_one) _exit(report->fault[0] ? 3 : 0);
        }
    }
    _exit(0);
}

static int in_process(int i, long at, bool only_one) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) run_calls(i, at, only_one);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* Shows what went wrong in the call that a process stopped at. */
static void show(int status) {
    int i = report->function;
    long at = report->at;
    char fault_text[sizeof report->fault], stage_text[sizeof report->stage];
    memcpy(fault_text, report->fault, sizeof fault_text);
    memcpy(stage_text, report->stage, sizeof stage_text);
    if (report->faults++ >= FAULTS_SHOWN) return;
    (void)in_process(i, at, true);
    print_message("%s(%s), call %ld: ", functions[i].name, report->text, at);
    if (!WIFSIGNALED(status)) print_message("%s%s\n", fault_text, fault_text[0] ? "" : "the process ended");
    else if (WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM)
        print_message("%s takes too long\n", stage_text);
    else print_message("signal %d in %s\n", WTERMSIG(status), stage_text);
    report->function = i;
    report->at = at;
}

/* Makes all calls of all functions, in as many processes as there are faults, and one. */
static void make_all_calls(void) {
    int i = 0;
    long at = 0;
    for (int stops = 0; i < FUNCTIONS && stops < MOST_STOPS; stops++) {
        int status = in_process(i, at, false);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
        show(status);
        i = report->function, at = report->at + 1;
    }
}

/* Bad values show little where no good ones are known beside them. */
static void check_good_values(void) {
    const char *always_fail = "nn_add_reference ad_fail ad_call_fail ad_op_fail ad_refuse_nil ad_no_memory";
    for (int i = 0; i < FUNCTIONS && !test_quick(); i++) {
        if (report->good[i] > 0 || !is_chosen(i) || is_one_of(functions[i].name, always_fail)) continue;
        print_message("%s: no good values are known\n", functions[i].name);
        report->faults++;
    }
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text, size_t size) {
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(text, 1, size, to), size);
    assert_int_equal(fclose(to), 0);
}

static void write_files(void) {
    ad_graph *g = ad_graph_new();
    ad_var *x = leaf(g, AD_F64, AD_SHAPE(2, 3), 0, 1, false);
    const char csv[] = "a,b\n1,x\n2,y\n", idx[] = "\0\0\x08\x01\0\0\0\x02\1\2";
    write_text("table.csv", csv, sizeof csv - 1);
    write_text("x.idx", idx, sizeof idx - 1);
    assert_int_equal(nn_save_npy(x, "x.npy"), AD_OK);
    assert_int_equal(nn_save_npz("x.npz", 1, (const char *const[]){ "a" }, &x), AD_OK);
    assert_int_equal(nn_save(nn_linear(g, AD_F64, 3, 2, true), "net.safetensors"), AD_OK);
    ad_graph_free(g);
}

static void remove_files(void) {
    DIR *folder = opendir(".");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)remove(e->d_name);
    closedir(folder);
}

static void test_functions(void **state) {
    (void)state;
    int back = open(".", O_RDONLY | O_DIRECTORY);
    assert_true(back >= 0 && chdir(test_folder) == 0);
    write_files();
    make_all_calls();
    remove_files();
    assert_int_equal(fchdir(back), 0);
    close(back);
    check_good_values();
    long calls = 0;
    for (int i = 0; i < FUNCTIONS; i++) calls += calls_of(&functions[i]);
    print_message("%d functions in %ld calls\n", FUNCTIONS, calls);
    assert_int_equal(report->faults, 0);
}

/* The generator finds the functions that the library has. */
static void test_all_are_found(void **state) {
    (void)state;
    assert_true(FUNCTIONS > 600 && FUNCTIONS <= (int)(sizeof report->good / sizeof *report->good));
    for (int i = 0; i < FUNCTIONS; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(functions[i].name, functions[j].name);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_are_found), cmocka_unit_test(test_functions) };
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    null_file = fopen("/dev/null", "w");
    read_only_file = fopen("/dev/null", "r");
    if (report == MAP_FAILED || null_file == NULL || read_only_file == NULL) return 1;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
