/* test_export.c: recorded graphs as C files: each file's own test under several compilers, what it may contain,
   training without the library, and failures. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "ops/compile.h"
#include "tests/common.h"

/* ---- compiling what was written ---------------------------------------------------------------------------------- */

/* Under an emulator the system's compiler makes code for another processor, unless TEST_CC names one that does not. */
static void need_compiler(void) {
    if (getenv("TEST_UNDER") && !getenv("TEST_CC")) skip();
}

/* The exit status of a command of the shell. */
static int run(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool has(const char *program) { return run("command -v %s >/dev/null 2>&1", program) == 0; }

enum { COMPILERS = 3 };
static const char *const compilers[COMPILERS] = { "gcc", "clang", "tcc" };
static const char strict[] = "-std=c99 -pedantic -Wall -Wextra -Werror";

/* Compiles files of test_folder and runs the program. */
static int status_under(const char *compiler, const char *files, const char *flags) {
    int made = run("cd %s && %s %s -O1 %s %s -o program -lm", test_folder, compiler, strict, flags, files);
    if (made != 0) fail_msg("%s does not take %s %s", compiler, flags, files);
    int status = run("cd %s && ./program", test_folder);
    run("rm -f %s/program", test_folder);
    return status;
}

/* The greatest status under each compiler there is. */
static int greatest_status(const char *files, const char *flags) {
    int greatest = -1;
    for (size_t i = 0; i < COMPILERS; i++) {
        int status = has(compilers[i]) ? status_under(compilers[i], files, flags) : -1;
        greatest = status > greatest ? status : greatest;
    }
    assert_true(greatest >= 0);
    return greatest;
}

/* For tests of many files, each of which takes seconds: the compilers take turns, unless AD_TEST_ALL is set. */
static int status_in_turn(const char *files, const char *flags) {
    static size_t turn;
    if (getenv("AD_TEST_ALL")) return greatest_status(files, flags);
    for (size_t i = 0; i < COMPILERS; i++) {
        const char *compiler = compilers[turn++ % COMPILERS];
        if (has(compiler)) return status_under(compiler, files, flags);
    }
    fail_msg("there is no compiler");
    return -1;
}

static char *read_file(const char *name) {
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    char *text = calloc(n + 1, 1);
    rewind(f);
    assert_int_equal(fread(text, 1, n, f), n);
    fclose(f);
    return text;
}

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void remove_all(void) { run("rm -rf %s/*", test_folder); }

static void assert_file_contains(const char *name, const char *part) {
    char *text = read_file(name);
    assert_contains(text, part);
    free(text);
}

static void assert_file_lacks(const char *name, const char *part) {
    char *text = read_file(name);
    if (strstr(text, part)) fail_msg("%s contains %s", name, part);
    free(text);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static ad_var *filled(ad_graph *g, ad_dtype t, ad_shape s, double first) {
    ad_var *x = ad_require_grad(ad_zeros(g, AD_F64, s));
    double *v = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) v[i] = sin(first + 1.7 * (double)i);
    return t == AD_F64 ? x : ad_tensor(g, t, ad_data(ad_cast(x, t)), s);
}

/* Rosenbrock's function of n numbers. */
static ad_var *rosenbrock(ad_graph *g, int n, ad_var *xs[]) {
    ad_var *sum = NULL;
    for (int i = 0; i < n; i++) xs[i] = ad_param(g, AD_F64, &(double){ 0.3 + 0.01 * i }, AD_SCALAR);
    for (int i = 0; i + 1 < n; i++) {
        ad_var *a = ad_sub(xs[i + 1], ad_square(xs[i])), *b = ad_adds(ad_neg(xs[i]), 1);
        ad_var *term = ad_add(ad_muls(ad_square(a), 100), ad_square(b));
        sum = sum ? ad_add(sum, term) : term;
    }
    return sum;
}

/* Arrays with broadcasting, slices, a reduction in rows and one in columns, and a leaf that is a constant. */
static ad_var *arrays(ad_graph *g, ad_dtype t, ad_var *xs[2]) {
    xs[0] = ad_name(filled(g, t, AD_SHAPE(6, 40), 0.1), "input");
    xs[1] = ad_name(filled(g, t, AD_SHAPE(40), 0.5), "gain");
    ad_var *c = filled(g, t, AD_SHAPE(6, 1), 0.9);
    ad_var *a = ad_tanh(ad_add(ad_mul(xs[0], xs[1]), c)), *rows = ad_sum_axis(a, 1, false);
    ad_var *columns = ad_sum_axis(ad_exp(ad_muls(a, 0.3)), 0, false);
    ad_var *part = ad_slice(columns, 0, 3, 37, 2);
    return ad_add(ad_mean(ad_square(rows)), ad_sum(ad_mul(part, part)));
}

/* ---- files that pass their own test ------------------------------------------------------------------------------ */

static void numbers_become_loops(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *xs[200], *y = rosenbrock(g, 200, xs);
    assert_int_equal(ad_export_c(path_of("rosen.c"), "rosen", y, 200, xs, (ad_export_opts){ .gradient = true }), AD_OK);
    assert_ok(g);
    assert_int_equal(greatest_status("rosen.c", "-DROSEN_TEST"), 0);
    assert_file_contains("rosen.h", "void rosen_gradient(const double *x, double *y, double *dx, double *work);");
    assert_file_contains("rosen.h", "#define ROSEN_X 200\n");
    char *text = read_file("rosen.c");
    assert_true(strlen(text) < 40000); /* most of it the test's numbers */
    free(text), remove_all();
    ad_graph_free(g);
}

static void arrays_of_both_dtypes(void **state) {
    (void)state;
    need_compiler();
    static const struct {
        ad_dtype t;
        ad_export_number number;
        const char *type;
    } cases[] = { { AD_F32, AD_EXPORT_AS_IS, "float" }, { AD_F64, AD_EXPORT_AS_IS, "double" },
                  { AD_F64, AD_EXPORT_FLOAT, "float" }, { AD_F32, AD_EXPORT_DOUBLE, "double" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *xs[2], *y = arrays(g, cases[i].t, xs);
        char line[128];
        ad_export_opts o = { .gradient = true, .number = cases[i].number, .separate = i % 2 };
        assert_int_equal(ad_export_c(path_of("a.c"), "a", y, 2, xs, o), AD_OK);
        snprintf(line, sizeof line, "void a(const %s *input, const %s *gain, %s *y, %s *work);", cases[i].type,
                 cases[i].type, cases[i].type, cases[i].type);
        assert_file_contains("a.h", line);
        assert_int_equal(greatest_status(o.separate ? "a.c a_weights.c" : "a.c", "-DA_TEST"), 0);
        remove_all();
        ad_graph_free(g);
    }
}

/* What functions take and give decides, not what they compute with inside. */
static void numbers_inside_have_the_type_of_the_others(void **state) {
    (void)state;
    need_compiler();
    const ad_dtype types[] = { AD_F32, AD_F64 };
    for (int i = 0; i < 2; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_arange(g, types[i], 0, 7, 1), *inside = ad_square(ad_cast(x, types[1 - i]));
        ad_var *y = ad_sum(ad_square(ad_cast(inside, types[i]))); /* exact in both types */
        assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ 0 }), AD_OK);
        assert_file_lacks("f.h", i ? "float" : "double");
        assert_int_equal(greatest_status("f.c", "-DF_TEST"), 0);
        remove_all();
        ad_graph_free(g);
    }
}

/* A result of constants alone. */
static void a_function_may_take_nothing(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *x = filled(g, AD_F64, AD_SHAPE(6, 40), 0.2), *y = ad_sum_axis(ad_exp(ad_sin(x)), 1, false);
    assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 0, NULL, (ad_export_opts){ 0 }), AD_OK);
    assert_file_lacks("f.h", "float");
    assert_int_equal(greatest_status("f.c", "-DF_TEST"), 0);
    remove_all();
    ad_graph_free(g);
}

/* Four blanks for each brace that is open before the line, where the line does not close it. */
static void functions_are_indented(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *xs[2], *y = arrays(g, AD_F64, xs);
    assert_int_equal(ad_export_c(path_of("a.c"), "a", y, 2, xs, (ad_export_opts){ .no_test = true }), AD_OK);
    char *text = read_file("a.c");
    int depth = 0, deepest = 0;
    for (char *line = strtok(strstr(text, "static void "), "\n"); line; line = strtok(NULL, "\n")) {
        if (*line == '#') continue;
        int blanks = (int)strspn(line, " "), open = depth - (line[blanks] == '}');
        if (blanks != 4 * open) fail_msg("%d blanks, %d braces are open: %s", blanks, open, line);
        for (const char *p = line; *p; p++) depth += (*p == '{') - (*p == '}');
        deepest = depth > deepest ? depth : deepest;
    }
    assert_true(depth == 0 && deepest > 1);
    free(text), remove_all();
    ad_graph_free(g);
}

/* The file's test fails when a constant of the file is another one. */
static void the_test_in_a_file_can_fail(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *x = filled(g, AD_F64, AD_SHAPE(7), 0.2);
    ad_var *y = ad_sum(ad_mul(ad_square(x), ad_tensor(g, AD_F64, (double[]){ 1, 2, 3, 4, 5, 6, 7 }, AD_SHAPE(7))));
    assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ .gradient = true }), AD_OK);
    assert_int_equal(greatest_status("f.c", "-DF_TEST"), 0);
    char *text = read_file("f.c"), *seven = strstr(text, "7.0");
    assert_non_null(seven);
    *seven = '9';
    write_text("f.c", text);
    assert_int_equal(greatest_status("f.c", "-DF_TEST"), 1);
    free(text), remove_all();
    ad_graph_free(g);
}

/* No calls but of math.h, and no variables: only functions and constants are in the object. */
static void files_stand_alone(void **state) {
    (void)state;
    need_compiler();
    if (!has("nm")) skip();
    ad_graph *g = ad_graph_new();
    ad_var *xs[2], *y = arrays(g, AD_F32, xs);
    assert_int_equal(ad_export_c(path_of("a.c"), "a", y, 2, xs, (ad_export_opts){ .gradient = true }), AD_OK);
    static const char *const words[] = { "malloc", "stdio", "printf", "stdlib" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) assert_file_lacks("a.c", words[i]);
    assert_int_equal(run("cd %s && cc %s -O2 -c a.c -o a.o && nm a.o > symbols", test_folder, strict), 0);
    assert_int_equal(run("cd %s && grep -q ' T a$' symbols && grep -q ' T a_gradient$' symbols", test_folder), 0);
    assert_int_equal(run("cd %s && grep -q ' [BbDdC] ' symbols", test_folder), 1);
    const char *others = "cd %s && grep ' U ' symbols | grep -qv 'expf\\|tanhf\\|fabs\\|mem\\|GLOBAL'";
    assert_int_equal(run(others, test_folder), 1);
    remove_all();
    ad_graph_free(g);
}

static void a_blas_is_optional(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *xs[2] = { filled(g, AD_F64, AD_SHAPE(24, 30), 0.3), filled(g, AD_F64, AD_SHAPE(20, 30), 0.7) };
    ad_var *y = ad_sum(ad_square(ad_affine(xs[0], xs[1], NULL)));
    int rc = ad_export_c(path_of("p.c"), "p", y, 2, xs, (ad_export_opts){ .gradient = true });
    assert_ok(g), assert_int_equal(rc, AD_OK);
    assert_int_equal(greatest_status("p.c", "-DP_TEST"), 0);
    assert_file_contains("p.c", "cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, 24, 20, 30, 1, ");
    if (run("pkg-config --exists openblas") == 0) {
        assert_int_equal(run("cd %s && cc %s -O1 -DP_TEST -DP_CBLAS $(pkg-config --cflags openblas) p.c -o program "
                             "$(pkg-config --libs openblas) -lm && ./program", test_folder, strict), 0);
    }
    remove_all();
    ad_graph_free(g);
}

/* ---- several functions, arrays that are updated ------------------------------------------------------------------ */

/* u' = u + h v, v' = v - h u, in place, and a swap of two arrays: all is read before anything is replaced. */
static void arrays_are_updated(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *u = filled(g, AD_F64, AD_SHAPE(5), 0.1), *v = filled(g, AD_F64, AD_SHAPE(5), 0.6);
    ad_var *a = ad_param(g, AD_F64, &(double){ 3 }, AD_SCALAR), *b = ad_param(g, AD_F64, &(double){ 4 }, AD_SCALAR);
    ad_var *step[] = { ad_add(u, ad_muls(v, 0.1)), ad_sub(v, ad_muls(u, 0.1)) }, *swapped[] = { b, a, ad_mul(a, b) };
    ad_var *state_in[] = { u, v }, *pair[] = { a, b }, *exchanged[] = { v, u };
    const char *const state_names[] = { "state", "state" }, *const pair_names[] = { "pair", "pair", "product" };
    const ad_export_function f[] = {
        { .name = "step", .m = 2, .ys = step, .y_names = state_names, .n = 2, .xs = state_in, .x_names = state_names },
        { .name = "swap", .m = 3, .ys = swapped, .y_names = pair_names, .n = 2, .xs = pair, .x_names = pair_names },
        { .name = "exchange", .m = 2, .ys = exchanged, .y_names = state_names, .n = 2, .xs = state_in,
          .x_names = state_names },
    };
    const ad_export_array start = { "start", 2, state_in };
    ad_export_opts o = { .n_arrays = 1, .arrays = &start };
    assert_int_equal(ad_export_functions(path_of("s.c"), "s", 3, f, o), AD_OK);
    assert_file_contains("s.h", "void s_step(double *state, double *work);");
    assert_file_contains("s.h", "void s_swap(double *pair, double *product, double *work);");
    assert_file_contains("s.h", "extern const double s_start[10];");
    assert_file_contains("s.h", "state [10]: [5], [5], updated");
    assert_int_equal(greatest_status("s.c", "-DS_TEST"), 0);
    remove_all();
    ad_graph_free(g);
}

/* Ops that are functions of whole arrays, with slopes of their own. */
static ad_var *by_index(ad_graph *g, ad_var *x) {
    ad_dtype t = ad_dtype_of(x);
    ad_var *three = ad_tensor(g, AD_F64, (double[]){ 2, 0, -1 }, AD_SHAPE(3)), *parts[2];
    ad_var *each = ad_tensor(g, AD_F64, (double[]){ 1, 0, 2, 1, 1, 3 }, AD_SHAPE(2, 3));
    three = ad_cast(three, t), each = ad_cast(each, t);
    ad_var *rows = ad_take_axis(x, 0, three), *few = ad_gather(ad_slice(x, 1, 0, 3, 1), 0, each);
    ad_var *y = ad_add(ad_sum(ad_square(rows)), ad_sum(ad_mul(few, few)));
    y = ad_add(y, ad_sum(ad_square(ad_index_add(ad_muls(x, 0.5), 0, three, rows))));
    y = ad_add(y, ad_sum(ad_square(ad_scatter_add(ad_slice(x, 1, 0, 3, 1), 0, each, few))));
    assert_int_equal(ad_cummax(x, 0, parts), AD_OK);
    y = ad_add(y, ad_sum(ad_mul(parts[0], ad_sort(x, 1, true))));
    y = ad_add(y, ad_sum(ad_searchsorted(ad_sort(ad_detach(x), 1, false), x, true)));
    y = ad_add(y, ad_sum(ad_square(ad_cumsum(x, 1))));
    y = ad_add(y, ad_sum(ad_linear_scan(x, ad_cumprod(x, 1), 0, true, 0.5)));
    return ad_add(y, ad_sum(ad_logcumsumexp(x, 1)));
}

/* Functions of numbers, and ops whose slopes are those of the vjp rule. */
static ad_var *special_ones(ad_graph *g, ad_var *x) {
    ad_dtype t = ad_dtype_of(x);
    ad_var *two = ad_cast(ad_tensor(g, AD_F64, (double[]){ 3, 1 }, AD_SHAPE(2)), t);
    ad_var *p = ad_adds(ad_square(x), 0.5), *long_row = ad_expand(ad_reshape(x, AD_SHAPE(1, -1)), AD_SHAPE(8, 20));
    ad_var *y = ad_sum(ad_add(ad_erfinv(ad_muls(x, 0.9)), ad_add(ad_lgamma(p), ad_digamma(ad_sub(x, p)))));
    y = ad_add(y, ad_add(ad_sum(ad_polygamma(p, 0)), ad_sum(ad_polygamma(p, 3))));
    y = ad_add(y, ad_prod(ad_adds(ad_muls(ad_tanh(long_row), 0.1), 1)));
    ad_var *copied = ad_index_copy(x, 0, two, ad_slice(ad_sin(x), 0, 0, 2, 1));
    ad_var *each = ad_cast(ad_tensor(g, AD_F64, (double[]){ 1, 0, 2, 1, 1 }, AD_SHAPE(1, 5)), t);
    y = ad_add(y, ad_sum(ad_scatter_reduce(copied, 0, each, ad_slice(p, 0, 0, 1, 1), AD_SCATTER_PROD, true)));
    return ad_add(y, ad_sum(ad_scatter(ad_square(x), 0, each, ad_slice(p, 0, 1, 2, 1))));
}

static void functions_of_whole_arrays_are_written(void **state) {
    (void)state;
    need_compiler();
    for (int i = 0; i < 4; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = filled(g, i < 2 ? AD_F64 : AD_F32, AD_SHAPE(4, 5), 0.3);
        ad_var *y = i % 2 ? special_ones(g, x) : by_index(g, x);
        assert_ok(g);
        assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ .gradient = true }), AD_OK);
        assert_int_equal(status_in_turn("f.c", "-DF_TEST"), 0);
        assert_file_lacks("f.c", "malloc");
        remove_all();
        ad_graph_free(g);
    }
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static nn_module *network(ad_graph *g, ad_dtype t) {
    ad_seed(g, 3);
    return nn_sequential(g, nn_linear(g, t, 6, 9, true), nn_tanh(g), nn_linear(g, t, 9, 4, true));
}

static void a_network_predicts_without_the_library(void **state) {
    (void)state;
    need_compiler();
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        ad_graph *g = ad_graph_new();
        nn_module *net = network(g, t);
        ad_var *x = filled(g, t, AD_SHAPE(3, 6), 0.2);
        assert_int_equal(nn_export_c(path_of("net.c"), "net", net, x, (nn_export_opts){ .separate = true }), AD_OK);
        assert_ok(g), assert_true(nn_training(net));
        assert_int_equal(status_in_turn("net.c net_weights.c", "-DNET_TEST"), 0);
        remove_all();
        ad_graph_free(g);
    }
}

static void assert_printed(FILE *f, const ad_var *x, double tol) {
    for (int64_t k = 0; k < ad_numel(x); k++) {
        double got;
        assert_int_equal(fscanf(f, "%lf", &got), 1);
        assert_close(got, ad_at(x, k), tol);
    }
}

/* Five steps by the file, printed, beside five of the optimiser. */
static void train_both(nn_module *net, nn_optim *opt, nn_loss_fn *loss, ad_var *x, ad_var *target, double tol) {
    ad_graph *g = nn_graph_of(net);
    nn_export_opts o = { .optim = opt, .loss = loss, .target = target };
    int rc = nn_export_c(path_of("net.c"), "net", net, x, o);
    assert_ok(g), assert_int_equal(rc, AD_OK);
    bool has_state = run("grep -q NET_STEP_STATE %s", path_of("net.h")) == 0;
    bool has_buffers = run("grep -q NET_BUFFERS %s", path_of("net.h")) == 0;
    FILE *f = fopen(path_of("main.c"), "w");
    fprintf(f, "#include <stdio.h>\n#include \"net.h\"\ntypedef %s num;\nint main(void) {\n"
               "    static num w[NET_WEIGHTS], work[NET_STEP_WORK];\n    num loss, lr = (num)%.17g;\n",
            ad_dtype_of(x) == AD_F32 ? "float" : "double", nn_lr(opt));
    if (has_state) fprintf(f, "    static num state[NET_STEP_STATE] = { 0 };\n");
    if (has_buffers)
        fprintf(f, "    static num b[NET_BUFFERS];\n    for (int i = 0; i < NET_BUFFERS; i++) b[i] = net_buffers[i];\n");
    fprintf(f, "    num y[NET_Y], x[] = {");
    for (int64_t i = 0; i < ad_numel(x); i++) fprintf(f, " %.17g,", ad_at(x, i));
    fprintf(f, " }, t[] = {");
    for (int64_t i = 0; i < ad_numel(target); i++) fprintf(f, " %.17g,", ad_at(target, i));
    fprintf(f, " };\n    for (int i = 0; i < NET_WEIGHTS; i++) w[i] = net_weights[i];\n"
               "    for (int i = 0; i < 5; i++) net_step(w, %s%sx, t, &lr, &loss, work), printf(\"%%.17g\\n\", loss);\n"
               "    for (int i = 0; i < NET_WEIGHTS; i++) printf(\"%%.17g\\n\", w[i]);\n",
            has_buffers ? "b, " : "", has_state ? "state, " : "");
    if (has_buffers) fprintf(f, "    for (int i = 0; i < NET_BUFFERS; i++) printf(\"%%.17g\\n\", b[i]);\n");
    fprintf(f, "    net(w, %sx, y, work);\n    for (int i = 0; i < NET_Y; i++) printf(\"%%.17g\\n\", y[i]);\n"
               "    return 0;\n}\n", has_buffers ? "b, " : "");
    fclose(f);
    assert_int_equal(status_in_turn("net.c", "-DNET_TEST"), 0);
    assert_int_equal(run("cd %s && cc %s net.c main.c -lm -o program && ./program > out", test_folder, strict), 0);
    f = fopen(path_of("out"), "r");
    double got;
    for (int i = 0; i < 5; i++) {
        ad_mark m = ad_begin(g);
        nn_zero_grad(opt);
        ad_var *l = loss(nn_apply(net, x), target);
        assert_int_equal(ad_backward(l), AD_OK);
        assert_int_equal(fscanf(f, "%lf", &got), 1);
        assert_close(got, ad_item(l), tol);
        assert_int_equal(nn_step(opt), AD_OK);
        ad_end(g, m);
    }
    for (int i = 0; i < nn_parameter_count(net); i++) assert_printed(f, nn_parameter_at(net, i).var, tol);
    for (int i = 0; i < nn_buffer_count(net); i++)
        if (strstr(nn_buffer_at(net, i).name, "running_")) assert_printed(f, nn_buffer_at(net, i).var, tol);
    nn_train(net, false), assert_printed(f, nn_apply(net, x), tol), nn_train(net, true);
    fclose(f);
    remove_all();
}

static void a_network_is_trained_without_the_library(void **state) {
    (void)state;
    need_compiler();
    for (int i = 0; i < 5; i++) {
        ad_graph *g = ad_graph_new();
        nn_module *net = network(g, AD_F64);
        ad_var *x = filled(g, AD_F64, AD_SHAPE(3, 6), 0.2), *target = filled(g, AD_F64, AD_SHAPE(3, 4), 0.4);
        nn_optim *opt = i == 0   ? nn_sgd(net, (nn_sgd_opts){ .lr = 0.1 })
                        : i == 1 ? nn_sgd(net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01 })
                        : i == 2 ? nn_sgd(net, (nn_sgd_opts){ .lr = 0.1, .momentum = 0.9, .nesterov = true })
                        : i == 3 ? nn_adam(net, (nn_adam_opts){ .lr = 0.01, .weight_decay = 0.1 })
                                 : nn_adamw(net, (nn_adam_opts){ .lr = 0.01 });
        if (i == 4) assert_int_equal(nn_group(opt, (nn_group_opts){ .ending = "bias", .lr = 0.005 }), 1);
        train_both(net, opt, nn_mse, x, target, 1e-11);
        ad_graph_free(g);
    }
}

/* ---- networks of other kinds: prediction and five steps of training ---------------------------------------------- */

static ad_var *last_step(ad_var *x) { return ad_select(x, 1, -1); }
static ad_var *mean_over_time(ad_var *x) { return ad_mean_axis(x, 1, false); }
static ad_var *rows(ad_var *x) { return ad_reshape(x, AD_SHAPE(-1, ad_shape_of(x).dim[ad_shape_of(x).ndim - 1])); }
static ad_var *as_rows(ad_var *x) { return ad_reshape(x, AD_SHAPE(ad_shape_of(x).dim[0], -1)); }

static nn_module *lstm_net(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_lstm(g, t, (nn_rnn_opts){ .in = 4, .hidden = 5 }), nn_function(g, last_step),
                         nn_linear(g, t, 5, 3, true));
}
static nn_module *gru_net(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_gru(g, t, (nn_rnn_opts){ .in = 4, .hidden = 3, .layers = 2, .bidirectional = true }),
                         nn_rms_norm(g, t, 6), nn_function(g, mean_over_time), nn_linear(g, t, 6, 3, true));
}
static nn_module *embedding_net(ad_graph *g, ad_dtype t) {
    return nn_sequential(g, nn_embedding_with(g, t, 7, 5, 0), nn_function(g, mean_over_time), nn_relu(g),
                         nn_linear(g, t, 5, 3, true));
}
static nn_module *encoder_net(ad_graph *g, ad_dtype t) {
    nn_transformer_opts o = { .width = 6, .heads = 2, .feedforward = 8, .layers = 2, .dropout = AD_ZERO };
    return nn_sequential(g, nn_embedding(g, t, 7, 6), nn_sinusoidal_positions(g, t, 8, 6),
                         nn_transformer_encoder(g, t, o), nn_function(g, mean_over_time), nn_linear(g, t, 6, 3, true));
}
/* A language model: a class for each token. */
static nn_module *gpt_net(ad_graph *g, ad_dtype t) {
    nn_transformer_opts o = { .width = 8, .heads = 2, .feedforward = 8, .layers = 1, .dropout = AD_ZERO, .gelu = true,
                              .norm_first = true, .causal = true, .rotary = true, .final_norm = true };
    return nn_sequential(g, nn_embedding(g, t, 7, 8), nn_learned_positions(g, t, 8, 8),
                         nn_transformer_encoder(g, t, o), nn_linear(g, t, 8, 7, false), nn_function(g, rows));
}
static nn_module *conv_net(ad_graph *g, ad_dtype t) {
    nn_conv_opts first = { .in = 1, .out = 4, .kernel = 3, .padding = 1 }, second = { .in = 4, .out = 4, .kernel = 2 };
    ad_pool_opts pool = { .kernel = { 2, 2 } };
    return nn_sequential(g, nn_conv2d(g, t, first), nn_group_norm(g, t, 2, 4), nn_relu(g), nn_max_pool2d(g, pool),
                         nn_conv2d(g, t, second), nn_instance_norm(g, t, 4, true), nn_gelu(g), nn_avg_pool2d(g, pool),
                         nn_function(g, as_rows), nn_linear(g, t, 4, 3, true));
}

/* Running averages: of a batch_norm of pictures; of one of rows that is applied twice; without a weight. */
static nn_module *batch_norm_net(ad_graph *g, ad_dtype t) {
    nn_conv_opts conv = { .in = 1, .out = 4, .kernel = 3, .no_bias = true };
    nn_batch_norm_opts plain = { .no_affine = true, .momentum = 0.3, .eps = 1e-3 };
    nn_module *twice = nn_batch_norm(g, t, 4, (nn_batch_norm_opts){ 0 });
    nn_module *net = nn_sequential(g, nn_conv2d(g, t, conv), nn_batch_norm(g, t, 4, (nn_batch_norm_opts){ 0 }), nn_relu(g),
                                   nn_function(g, as_rows), nn_linear(g, t, 64, 4, true), twice, nn_tanh(g));
    return nn_sequential(g, net, nn_linear(g, t, 4, 4, true), twice, nn_linear(g, t, 4, 3, true),
                         nn_batch_norm(g, t, 3, plain));
}

typedef struct {
    nn_module *(*make)(ad_graph *g, ad_dtype t);
    ad_shape x;
    int tokens, targets; /* x are so many kinds of tokens; 0: real numbers */
} kind_of_net;
static const kind_of_net kinds[] = {
    { lstm_net, { 3, { 2, 6, 4 } }, 0, 2 }, { gru_net, { 3, { 2, 4, 4 } }, 0, 2 },
    { embedding_net, { 2, { 3, 5 } }, 7, 3 }, { encoder_net, { 2, { 2, 5 } }, 7, 2 },
    { gpt_net, { 2, { 2, 4 } }, 7, 8 }, { conv_net, { 4, { 2, 1, 6, 6 } }, 0, 2 },
    { batch_norm_net, { 4, { 5, 1, 6, 6 } }, 0, 5 }, { batch_norm_net, { 4, { 6, 1, 6, 6 } }, 0, 6 },
};

static void networks_of_all_kinds_are_trained_without_the_library(void **state) {
    (void)state;
    need_compiler();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ad_graph *g = ad_graph_new();
        ad_dtype t = i % 2 ? AD_F32 : AD_F64;
        ad_seed(g, 5);
        nn_module *net = kinds[i].make(g, t);
        ad_var *x = ad_tensor(g, t, ad_data(filled(g, t, kinds[i].x, 0.2)), kinds[i].x);
        ad_var *target = ad_zeros(g, t, AD_SHAPE(kinds[i].targets));
        for (int64_t k = 0; kinds[i].tokens && k < ad_numel(x); k++)
            ad_write_element(t, ad_data_mut(x), k, (double)((3 * k + 1) % kinds[i].tokens));
        for (int64_t k = 0; k < ad_numel(target); k++) ad_write_element(t, ad_data_mut(target), k, (double)(k % 3));
        /* The slope of a key's bias is 0, and its rounding errors must not become steps. */
        nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.01, .eps = 1e-3 });
        assert_ok(g);
        /* The file sums in f32 what batch_norm sums in f64, and a variance of six numbers enlarges that. */
        double single = kinds[i].make == batch_norm_net ? 3e-4 : 3e-5;
        train_both(net, opt, nn_cross_entropy, x, target, t == AD_F32 ? single : 1e-10);
        ad_graph_free(g);
    }
}

static void training_that_has_no_form_is_refused(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    nn_module *net = network(g, AD_F32);
    ad_var *x = filled(g, AD_F32, AD_SHAPE(3, 6), 0.2), *target = filled(g, AD_F32, AD_SHAPE(3, 4), 0.4);
    const struct {
        nn_export_opts o;
        int code;
        const char *text;
    } cases[] = {
        { { .optim = nn_lion(net, (nn_lion_opts){ 0 }), .loss = nn_mse, .target = target }, AD_EABSENT, "lion" },
        { { .optim = nn_adam(net, (nn_adam_opts){ .amsgrad = true }), .loss = nn_mse, .target = target }, AD_EABSENT,
          "amsgrad" },
        { { .optim = nn_sgd(net, (nn_sgd_opts){ .lr = 1, .momentum = 0.5, .dampening = 0.1 }), .loss = nn_mse,
            .target = target },
          AD_EABSENT, "dampening" },
        { { .loss = nn_mse, .target = target }, AD_EVALUE, "needs an optimiser" },
        { { .optim = nn_sgd(net, (nn_sgd_opts){ .lr = 1 }), .loss = nn_mse, .target = x }, AD_ESHAPE, "mse" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(nn_export_c(path_of("net.c"), "net", net, x, cases[i].o), cases[i].code);
        assert_contains(ad_error(g), cases[i].text), ad_clear_error(g);
        assert_int_equal(access(path_of("net.c"), F_OK), -1);
    }
    assert_int_equal(nn_export_c(path_of("net.c"), "net", NULL, x, (nn_export_opts){ 0 }), AD_EVALUE);
    ad_clear_error(g);
    nn_module *random = nn_sequential(g, nn_linear(g, AD_F32, 6, 4, true), nn_dropout(g, 0.5));
    nn_export_opts o = { .optim = nn_sgd(random, (nn_sgd_opts){ .lr = 1 }), .loss = nn_mse, .target = target };
    assert_int_equal(nn_export_c(path_of("net.c"), "net", random, x, o), AD_EABSENT);
    assert_contains(ad_error(g), "export_c: the op dropout_mask, which net_step needs, has no form in C");
    ad_clear_error(g);
    nn_module *other = nn_batch_norm(g, AD_F32, 5, (nn_batch_norm_opts){ .no_affine = true });
    nn_module *wide = nn_sequential(g, nn_linear(g, AD_F32, 6, 4, true), other);
    o.optim = nn_sgd(wide, (nn_sgd_opts){ .lr = 1 });
    assert_int_equal(nn_export_c(path_of("net.c"), "net", wide, x, o), AD_ESHAPE);
    assert_contains(ad_error(g), "batch_norm_train: ");
    assert_contains(ad_error(g), "running averages must be f32 [4], one for each channel");
    ad_graph_free(g);
}

/* ---- wrong calls, files that cannot be written ------------------------------------------------------------------- */

static void wrong_arguments_are_errors(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_name(filled(g, AD_F64, AD_SHAPE(3), 0.1), "x"), *y = ad_sum(ad_square(x)), *two[] = { x, x };
    ad_var *single = ad_cast(y, AD_F32), *b = filled(g, AD_F64, AD_SHAPE(3), 0.1);
    const char *c = path_of("f.c");
    const ad_export_opts plain = { 0 }, gradient = { .gradient = true };
    const char *const names[] = { "1x", "a b", "int", "work", "", NULL, "_x", "a-b", "class" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(ad_export_c(c, names[i], y, 1, &x, plain), AD_EVALUE);
        assert_contains(ad_error(g), "export_c: the name"), ad_clear_error(g);
    }
    assert_int_equal(ad_export_c("f.h", "f", y, 1, &x, plain), AD_EVALUE), ad_clear_error(g);
    assert_int_equal(ad_export_c(NULL, "f", y, 1, &x, plain), AD_EVALUE), ad_clear_error(g);
    assert_int_equal(ad_export_c(c, "f", NULL, 1, &x, plain), AD_EVALUE);
    assert_int_equal(ad_export_c(c, "f", ad_nil(g), 1, &x, plain), AD_EVALUE), ad_clear_error(g);
    assert_int_equal(ad_export_c(c, "f", y, 2, two, plain), AD_EVALUE);
    assert_contains(ad_error(g), "xs[1] is given twice"), ad_clear_error(g);
    assert_int_equal(ad_export_c(c, "f", ad_square(x), 1, &x, gradient), AD_ESHAPE), ad_clear_error(g);
    assert_int_equal(ad_export_c(c, "f", single, 1, &x, plain), AD_EDTYPE);
    assert_contains(ad_error(g), "has Vars of f32 and of f64; choose one by .number"), ad_clear_error(g);
    const char *const same[] = { "a", "b", "a" };
    ad_var *three[] = { x, b, filled(g, AD_F64, AD_SHAPE(3), 0.1) };
    const ad_export_function f = { .m = 1, .ys = &y, .n = 3, .xs = three, .x_names = same };
    assert_int_equal(ad_export_functions(c, "f", 1, &f, plain), AD_EVALUE);
    assert_contains(ad_error(g), "two arrays are named a"), ad_clear_error(g);
    const char *const x_name[] = { "x" };
    const ad_export_function wide = { .m = 1, .ys = &y, .y_names = x_name, .n = 1, .xs = &x, .x_names = x_name };
    assert_int_equal(ad_export_functions(c, "f", 1, &wide, plain), AD_EVALUE);
    assert_contains(ad_error(g), "a result that replaces xs has their shapes"), ad_clear_error(g);
    assert_int_equal(access(c, F_OK), -1);
    ad_graph_free(g);
}

static void ops_without_a_form_are_refused_by_name(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = filled(g, AD_F64, AD_SHAPE(3, 3), 0.1), *n = ad_sum(x);
    const char *const names[] = { "inverse", "rand_like", "branch" };
    for (int i = 0; i < 3; i++) {
        if (i == 2) ad_branch(ad_gt(n, ad_scalar(g, AD_F64, 0)));
        ad_var *y = i == 0 ? ad_sum(ad_inverse(ad_add(x, ad_eye(g, AD_F64, 3)))) : i == 1 ? ad_sum(ad_rand_like(x)) : n;
        ad_clear_error(g); /* of a build without LAPACK */
        if (i == 0 && ad_is_nil(y)) continue;
        assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ 0 }), AD_EABSENT);
        assert_contains(ad_error(g), names[i]), ad_clear_error(g);
    }
    ad_graph_free(g);
}

/* The old files stay, and no temporary one is left. */
static void a_file_that_cannot_be_written_is_an_error(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = filled(g, AD_F64, AD_SHAPE(3), 0.1), *y = ad_sum(ad_square(x));
    char path[256];
    snprintf(path, sizeof path, "%s/none/f.c", test_folder);
    assert_int_equal(ad_export_c(path, "f", y, 1, &x, (ad_export_opts){ 0 }), AD_EIO);
    assert_contains(ad_error(g), "No such file"), ad_clear_error(g);
    mkdir(path_of("f.h"), 0700); /* the header's name is taken by a folder */
    write_text("f.c", "old");
    assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ 0 }), AD_EIO), ad_clear_error(g);
    assert_file_contains("f.c", "old");
    assert_int_equal(run("ls %s | grep -q tmp", test_folder), 1);
    remove_all();
    ad_graph_free(g);
}

/* A program that is killed between two renames leaves files of two exports. */
static void files_of_two_exports_do_not_compile(void **state) {
    (void)state;
    need_compiler();
    static const char *const files[] = { "f.c", "f.h", "f_weights.c" };
    ad_graph *g = ad_graph_new();
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 2; k++) {
            ad_var *x = filled(g, AD_F64, AD_SHAPE(3), 0.1), *w = filled(g, AD_F64, AD_SHAPE(3), 0.2 + k);
            ad_export_opts o = { .separate = true };
            assert_int_equal(ad_export_c(path_of("f.c"), "f", ad_sum(ad_mul(x, w)), 1, &x, o), AD_OK);
            assert_int_equal(run("cd %s && cc -c f.c f_weights.c", test_folder), 0);
            if (k == 0) assert_int_equal(run("cd %s && cp %s kept", test_folder, files[i]), 0);
        }
        assert_int_equal(run("cd %s && mv kept %s && cc -c f.c f_weights.c 2>messages", test_folder, files[i]), 1);
        assert_file_contains("messages", "the header is of another export");
    }
    remove_all();
    ad_graph_free(g);
}

/* The promises of durable.h hold for exports too. */
static void exports_are_written_as_saves_are(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = filled(g, AD_F64, AD_SHAPE(3), 0.1), *y = ad_sum(ad_square(x));
    struct stat s;
    write_text("f.c.autodiff-999999999-0.tmp", "a dead writer's");
    write_text("f.c", "old");
    chmod(path_of("f.c"), 0640);
    assert_int_equal(run("cd %s && ln -s real.h f.h", test_folder), 0);
    assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ 0 }), AD_OK);
    assert_int_equal(run("ls %s | grep -q tmp", test_folder), 1);
    assert_true(stat(path_of("f.c"), &s) == 0 && (s.st_mode & 0777) == 0640);
    assert_true(lstat(path_of("f.h"), &s) == 0 && S_ISLNK(s.st_mode));
    assert_file_contains("real.h", "void f(");
    remove_all();
    assert_int_equal(mkfifo(path_of("f.h"), 0600), 0);
    assert_int_equal(ad_export_c(path_of("f.c"), "f", y, 1, &x, (ad_export_opts){ 0 }), AD_EIO);
    assert_contains(ad_error(g), "f.h: is a device, pipe or socket, not a plain file");
    assert_int_equal(run("ls %s | grep -q f.c", test_folder), 1);
    remove_all();
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_become_loops),
        cmocka_unit_test(arrays_of_both_dtypes),
        cmocka_unit_test(numbers_inside_have_the_type_of_the_others),
        cmocka_unit_test(a_function_may_take_nothing),
        cmocka_unit_test(functions_are_indented),
        cmocka_unit_test(the_test_in_a_file_can_fail),
        cmocka_unit_test(files_stand_alone),
        cmocka_unit_test(a_blas_is_optional),
        cmocka_unit_test(arrays_are_updated),
        cmocka_unit_test(a_network_predicts_without_the_library),
        cmocka_unit_test(a_network_is_trained_without_the_library),
        cmocka_unit_test(functions_of_whole_arrays_are_written),
        cmocka_unit_test(networks_of_all_kinds_are_trained_without_the_library),
        cmocka_unit_test(training_that_has_no_form_is_refused),
        cmocka_unit_test(wrong_arguments_are_errors),
        cmocka_unit_test(ops_without_a_form_are_refused_by_name),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
        cmocka_unit_test(files_of_two_exports_do_not_compile),
        cmocka_unit_test(exports_are_written_as_saves_are),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
