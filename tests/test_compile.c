/* test_compile.c: compiled programs beside ad_eval and ad_backward: all elementwise ops, loops, arrays, failures. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "autodiff/extend.h"
#include "ops/compile.h"
#include "tests/common.h"

static const ad_compile_opts fresh = { .no_cache = true };

/* Under an emulator the system's compiler makes code for another processor, unless TEST_CC names one that does not. */
static void need_compiler(void) {
    if (getenv("TEST_UNDER") && !getenv("TEST_CC")) skip();
}

/* ---- every elementwise op, one element at a time, to the bit ----------------------------------------------------- */

enum { POINTS = 6000, PER_SAMPLE = 4 };

typedef struct {
    ad_graph *g;
    ad_dtype t;
    ad_var *x[3 * POINTS], *y[POINTS]; /* leaves; results */
    ad_var *total;                     /* the sum of the results, with weights */
    int n, m;
} points;

static bool is_elementwise(const ad_optype *type) { return type->emit == ad_emit_elementwise; }

/* Applies the op to single elements of a sample whose operands have one shape. */
static int add_points(const ad_sample_case *c, void *data) {
    points *p = data;
    int64_t numel = ad_shape_numel(c->shapes[0]);
    for (int i = 1; i < c->n; i++)
        if (!ad_shape_equal(c->shapes[i], c->shapes[0])) return 0;
    for (int64_t e = 0; e < numel && e < PER_SAMPLE; e++) {
        ad_var **in = p->x + p->n;
        int64_t at = (e * 7919) % numel;
        for (int i = 0; i < c->n; i++) {
            double value = c->values[i][at];
            float single = (float)value;
            in[i] = ad_param(p->g, p->t, p->t == AD_F32 ? (void *)&single : (void *)&value, AD_SCALAR);
        }
        p->n += c->n;
        ad_var *y = ad_apply(c->type, c->n, in, c->attrs);
        p->y[p->m++] = y;
        if (ad_requires_grad(y)) {
            ad_var *part = ad_mul(y, ad_scalar(p->g, p->t, 0.5 + p->m % 7));
            p->total = p->total ? ad_add(p->total, part) : part;
        }
        assert_true(p->m < POINTS);
    }
    return 0;
}

static points *points_of(ad_dtype t) {
    points *p = calloc(1, sizeof *p);
    ad_graph *samples = ad_graph_new();
    assert_non_null(p);
    p->g = ad_graph_new(), p->t = t;
    for (const ad_optype *const *type = ad_optypes(); *type; type++)
        if (is_elementwise(*type)) assert_int_equal(ad_each_sample(samples, *type, add_points, p), AD_OK);
    ad_graph_free(samples);
    assert_string_equal(ad_error(p->g), "");
    return p;
}

static size_t size_of(ad_dtype t) { return t == AD_F32 ? sizeof(float) : sizeof(double); }

/* Equal bits, or both NaN: which NaN a sum of two gives is not fixed. */
static void assert_same(const ad_var *of, ad_dtype t, const void *a, const void *b) {
    double x = t == AD_F32 ? *(const float *)a : *(const double *)a, y = t == AD_F32 ? *(const float *)b
                                                                                    : *(const double *)b;
    if (memcmp(a, b, size_of(t)) == 0 || (isnan(x) && isnan(y))) return;
    fail_msg("%s: compiled %.17g, evaluated %.17g", ad_creator(of) ? ad_op_name(ad_creator(of)) : "a leaf", x, y);
}

static void compare_values(points *p) {
    static double memory[POINTS];
    void *out[POINTS];
    ad_program *program = ad_compile(p->m, p->y, p->n, p->x, fresh);
    assert_string_equal(ad_error(p->g), "");
    assert_string_equal(ad_program_how(program), "compiled");
    for (int i = 0; i < p->m; i++) out[i] = (char *)memory + (size_t)i * size_of(p->t);
    assert_int_equal(ad_run(program, NULL, out, NULL), AD_OK);
    for (int i = 0; i < p->m; i++) assert_same(p->y[i], p->t, out[i], ad_data(p->y[i]));
}

/* The op that uses a leaf, for messages. */
static const char *user_of(const points *p, int leaf) {
    for (int i = 0; i < p->m; i++) {
        const ad_op *op = ad_creator(p->y[i]);
        for (int k = 0; k < ad_op_arity(op); k++)
            if (ad_op_operand(op, k) == p->x[leaf]) return ad_op_name(op);
    }
    return "?";
}

static void compare_slopes(points *p) {
    static double memory[3 * POINTS];
    double y;
    void *out[3 * POINTS + 1] = { &y };
    ad_program *program = ad_compile_gradient(p->total, p->n, p->x, fresh);
    assert_string_equal(ad_error(p->g), "");
    assert_string_equal(ad_program_how(program), "compiled");
    for (int i = 0; i < p->n; i++) out[1 + i] = (char *)memory + (size_t)i * size_of(p->t);
    assert_int_equal(ad_run(program, NULL, out, NULL), AD_OK);
    assert_int_equal(ad_backward(p->total), AD_OK);
    for (int i = 0; i < p->n; i++) {
        double a = p->t == AD_F32 ? *(float *)out[1 + i] : *(double *)out[1 + i], b = ad_grad_item(p->x[i]);
        if (a == b || (isnan(a) && isnan(b))) continue;
        fail_msg("%s at %.9g: compiled slope %.17g, backward %.17g", user_of(p, i), ad_item(p->x[i]), a, b);
    }
}

static void values_and_slopes_of_all_elementwise_ops(void **state) {
    (void)state;
    need_compiler();
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        points *p = points_of(t);
        assert_true(p->m > 300);
        compare_values(p);
        compare_slopes(p);
        print_message("compiled: %d values and %d slopes in %s\n", p->m, p->n, t == AD_F32 ? "f32" : "f64");
        ad_graph_free(p->g);
        free(p);
    }
}

/* ---- loops ----------------------------------------------------------------------------------------------------- */

/* The code is short however many terms there are. */
static void equal_terms_become_a_loop(void **state) {
    (void)state;
    need_compiler();
    size_t length[2];
    for (int k = 0; k < 2; k++) {
        ad_graph *g = ad_graph_new();
        int n = k == 0 ? 300 : 3000;
        ad_var **x = calloc((size_t)n, sizeof *x), *sum = NULL;
        for (int i = 0; i < n; i++) x[i] = ad_param(g, AD_F64, &(double){ 1 + 0.01 * i }, AD_SCALAR);
        for (int i = 0; i + 1 < n; i++) {
            ad_var *curve = ad_square(ad_sub(x[i + 1], ad_square(x[i])));
            ad_var *term = ad_add(ad_muls(curve, 100), ad_square(ad_adds(x[i], -1)));
            sum = sum ? ad_add(sum, term) : term;
        }
        ad_program *p = ad_compile_gradient(sum, n, x, fresh);
        assert_string_equal(ad_program_how(p), "compiled");
        const char *code = strstr(ad_program_source(p), "static KERNEL void k0");
        assert_non_null(code);
        length[k] = strlen(code);
        free(x);
        ad_graph_free(g);
    }
    assert_true(length[1] < length[0] + 200);
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static ad_var *array(ad_graph *g, ad_dtype t, ad_shape s, double from) {
    ad_var *x = ad_param(g, t, NULL, s);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        double value = from + 0.37 * (double)((i * 5) % 11) - 1;
        if (t == AD_F32) ((float *)ad_data_mut(x))[i] = (float)value;
        else ((double *)ad_data_mut(x))[i] = value;
    }
    return x;
}

static ad_var *elementwise_only(ad_var *const x[]) {
    ad_var *a = ad_tanh(ad_add(ad_mul(x[0], x[1]), x[2])); /* [4,5] [5] [4,1] */
    return ad_reshape(ad_add(ad_exp(ad_muls(a, 0.5)), ad_detach(x[0])), AD_SHAPE(20));
}

static ad_var *with_calls(ad_var *const x[]) {
    ad_var *h = ad_softmax(ad_matmul(ad_sin(x[0]), ad_reshape(x[1], AD_SHAPE(5, 1))), 0);
    return ad_add(ad_reshape(h, AD_SHAPE(4)), ad_sum_axis(ad_mul(x[0], x[2]), 1, false));
}

typedef ad_var *array_fn(ad_var *const x[]);

enum { ELEMENTS = 4000 };

/* Compares f of arrays of the given shapes, and its gradient, with ad_eval and ad_backward. The program. */
static ad_program *compare_arrays(ad_graph *g, ad_dtype t, array_fn *f, const ad_shape shape[3], double tol) {
    ad_var *x[] = { array(g, t, shape[0], 0.1), array(g, t, shape[1], -0.2), array(g, t, shape[2], 0.3) };
    ad_var *y = ad_mean(ad_square(f(x)));
    static double memory[4][ELEMENTS];
    void *out[] = { memory[3], memory[0], memory[1], memory[2] };
    ad_program *p = ad_compile_gradient(y, 3, x, fresh);
    assert_string_equal(ad_error(g), "");
    assert_string_equal(ad_program_how(p), "compiled");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(ad_run(p, NULL, out, NULL), AD_OK);
        assert_int_equal(ad_eval(y), AD_OK);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        assert_close(ad_read_element(t, memory[3], 0), ad_item(y), tol);
        for (int i = 0; i < 3; i++)
            for (int64_t k = 0; k < ad_numel(x[i]); k++)
                assert_close(ad_read_element(t, memory[i], k), ad_grad_at(x[i], k), tol);
        ad_write_element(t, ad_data_mut(x[1]), 2, 0.75); /* a changed leaf is seen */
    }
    return p;
}

static void arrays_are_compiled_or_called_back(void **state) {
    (void)state;
    need_compiler();
    static array_fn *const fn[] = { elementwise_only, with_calls };
    const ad_shape shape[] = { AD_SHAPE(4, 5), AD_SHAPE(5), AD_SHAPE(4, 1) };
    for (int i = 0; i < 4; i++) {
        ad_graph *g = ad_graph_new();
        compare_arrays(g, (ad_dtype)(i % 2), fn[i / 2], shape, i % 2 == AD_F32 ? 1e-6 : 1e-14);
        ad_graph_free(g);
    }
}

/* ---- arrays, row by row ------------------------------------------------------------------------------------------ */

enum { ROWS = 40, COLUMNS = 100 };

static ad_var *softmax_of_rows(ad_var *const x[]) { return ad_softmax(ad_mul(x[0], x[1]), 1); }
static ad_var *normal_rows(ad_var *const x[]) {
    return ad_add(ad_layer_norm(x[0], AD_SHAPE(COLUMNS), x[1], NULL, 1e-5), x[2]);
}
static ad_var *distances_of_rows(ad_var *const x[]) {
    ad_var *d = ad_sqrt(ad_sum_axis(ad_square(ad_sub(x[0], x[1])), 1, true));
    return ad_log_softmax(ad_div(ad_mul(x[0], x[2]), d), 1);
}

/* Each row reads the next row of an array whose other rows are written by the same rows: no loop can do both. */
static ad_var *next_row(ad_var *const x[]) {
    ad_var *h = ad_softmax(ad_mul(x[0], x[1]), 1), *joined = ad_concat(2, (ad_var *[]){ h, x[0] }, 0);
    return ad_mul(ad_tanh(ad_slice(joined, 0, 1, ROWS + 1, 1)), ad_softmax(ad_mul(h, x[2]), 1));
}

/* The rows that are read overlap: row r begins in the middle of row r - 1. */
static ad_var *overlapping_rows(ad_var *const x[]) {
    ad_var *h = ad_reshape(ad_softmax(ad_mul(x[0], x[1]), 1), AD_SHAPE(ROWS * COLUMNS));
    return ad_logsumexp_axis(ad_unfold_axis(h, 0, COLUMNS, COLUMNS / 2), 1, false);
}

/* The work memory has one row of what only a row needs. */
static void rows_are_worked_on_one_after_the_other(void **state) {
    (void)state;
    need_compiler();
    static array_fn *const fn[] = { softmax_of_rows, normal_rows, distances_of_rows, next_row, overlapping_rows };
    const ad_shape shape[] = { AD_SHAPE(ROWS, COLUMNS), AD_SHAPE(COLUMNS), AD_SHAPE(ROWS, 1) };
    for (int i = 0; i < 10; i++) {
        ad_graph *g = ad_graph_new();
        ad_program *p = compare_arrays(g, (ad_dtype)(i % 2), fn[i / 2], shape, i % 2 == AD_F32 ? 1e-5 : 1e-12);
        /* Outputs that are not asked for take more than ROWS * COLUMNS elements. */
        size_t size = i % 2 == AD_F32 ? sizeof(float) : sizeof(double);
        if (i < 6) assert_true(ad_program_work(p) < size * ROWS * COLUMNS * 3 / 2);
        ad_graph_free(g);
    }
}

/* The samples of some elementwise ops on arrays, as one sum with weights; test_compile_ops.c has all other ops. */
enum { SAMPLED = 512 };
typedef struct {
    ad_graph *g;
    ad_dtype t;
    ad_var *x[SAMPLED], *total;
    const char *name[SAMPLED]; /* of the op, by x */
    int n;
} sampled;

static int add_sample(const ad_sample_case *c, void *data) {
    sampled *p = data;
    ad_var *in[16];
    if (c->flags & AD_SAMPLE_KINK) return 0;
    for (int i = 0; i < c->n; i++)
        if (ad_shape_numel(c->shapes[i]) == 0) return 0; /* called back */
    assert_true(p->n + c->n < SAMPLED && c->n <= 16);
    for (int i = 0; i < c->n; i++) {
        in[i] = ad_tensor(p->g, p->t, NULL, c->shapes[i]);
        p->name[p->n] = c->type->name, p->x[p->n++] = ad_require_grad(in[i]);
        for (int64_t k = 0; k < ad_numel(in[i]); k++) ad_write_element(p->t, ad_data_mut(in[i]), k, c->values[i][k]);
    }
    ad_var *y = ad_apply(c->type, c->n, in, c->attrs), *w = ad_zeros(p->g, ad_dtype_of(y), ad_shape_of(y));
    for (int64_t k = 0; k < ad_numel(w); k++)
        ad_write_element(ad_dtype_of(w), ad_data_mut(w), k, 0.25 * (double)(1 + (k * 7) % 5));
    if (!ad_requires_grad(y) || ad_numel(y) == 0) return 0;
    ad_var *part = ad_cast(ad_sum(ad_mul(ad_square(y), w)), p->t);
    p->total = p->total ? ad_add(p->total, part) : part;
    return 0;
}

static void compare_sampled(const sampled *p) {
    static double memory[SAMPLED][4096];
    double total, tol = p->t == AD_F32 ? 2e-5 : 1e-13;
    void *out[SAMPLED + 1] = { &total };
    for (int i = 0; i < p->n; i++) out[1 + i] = memory[i];
    ad_program *program = ad_compile_gradient(p->total, p->n, p->x, fresh);
    assert_string_equal(ad_error(p->g), "");
    assert_string_equal(ad_program_how(program), "compiled");
    assert_null(strstr(ad_program_source(program), "host->call(")); /* slopes are those of the forms */
    for (int run = 0; run < 2; run++) { /* nothing is left over from before */
        memset(memory, 0xff, sizeof memory);
        assert_int_equal(ad_run(program, NULL, out, NULL), AD_OK);
    }
    assert_int_equal(ad_backward(p->total), AD_OK);
    assert_close(ad_read_element(p->t, &total, 0), ad_item(p->total), tol);
    for (int i = 0; i < p->n; i++)
        for (int64_t k = 0; k < ad_numel(p->x[i]); k++)
            assert_close_in(p->name[i], ad_read_element(p->t, memory[i], k), ad_grad_at(p->x[i], k), tol);
}

static void samples_of_ops_on_arrays(void **state) {
    (void)state;
    need_compiler();
    static const char *const some[] = { "mul", "div", "where", "lerp", "tanh", "pows", "mish", "softplus_with" };
    ad_graph *samples = ad_graph_new();
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        sampled *p = calloc(1, sizeof *p);
        p->g = ad_graph_new(), p->t = t;
        for (size_t i = 0; i < sizeof some / sizeof *some; i++)
            assert_int_equal(ad_each_sample(samples, ad_find_op(samples, some[i]), add_sample, p), AD_OK);
        assert_string_equal(ad_error(p->g), "");
        compare_sampled(p);
        ad_graph_free(p->g);
        free(p);
    }
    ad_graph_free(samples);
}

/* Slices of one array, read as numbers, in a loop. */
static void elements_of_an_array(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *x = array(g, AD_F64, AD_SHAPE(50), 0.2), *sum = NULL;
    for (int i = 0; i + 1 < 50; i++) {
        ad_var *d = ad_sub(ad_select(x, 0, i + 1), ad_square(ad_select(x, 0, i)));
        sum = sum ? ad_add(sum, ad_square(d)) : ad_square(d);
    }
    double y, dx[50];
    ad_program *p = ad_compile_gradient(sum, 1, &x, fresh);
    assert_string_equal(ad_program_how(p), "compiled");
    assert_non_null(strstr(ad_program_source(p), "for (long r = 0"));
    memset(dx, 0xff, sizeof dx);
    for (int run = 0; run < 2; run++) assert_int_equal(ad_run(p, NULL, (void *[]){ &y, dx }, NULL), AD_OK);
    assert_int_equal(ad_backward(sum), AD_OK);
    assert_close(y, ad_item(sum), 0);
    for (int i = 0; i < 50; i++) assert_close(dx[i], ad_grad_at(x, i), 0);
    ad_graph_free(g);
}

/* ---- arguments, other leaves, branches --------------------------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *x, *c, *y; /* y = x^2 c */
    double bound;      /* c is an ad_input of it */
} square;

static square square_new(void) {
    static double cell;
    square s = { .g = ad_graph_new() };
    cell = 2;
    s.x = ad_param(s.g, AD_F64, &(double){ 3 }, AD_SCALAR);
    s.c = ad_input(s.g, AD_F64, &cell, AD_SCALAR);
    s.y = ad_mul(ad_square(s.x), s.c);
    return s;
}

static void arguments_replace_leaves(void **state) {
    (void)state;
    need_compiler();
    for (int evaluated = 0; evaluated < 2; evaluated++) {
        square s = square_new();
        double y, dx, five = 5, ten = 10;
        ad_program *p = ad_compile_gradient(s.y, 1, &s.x, (ad_compile_opts){ .no_cache = true, .no_cc = evaluated });
        assert_string_equal(ad_program_how(p), evaluated ? "evaluated: no_cc was given" : "compiled");
        assert_int_equal(ad_run(p, NULL, (void *[]){ &y, &dx }, NULL), AD_OK);
        assert_close(y, 18, 0), assert_close(dx, 12, 0);
        assert_int_equal(ad_run(p, (const void *[]){ &five }, (void *[]){ &y, &dx }, NULL), AD_OK);
        assert_close(y, 50, 0), assert_close(dx, 20, 0), assert_close(ad_item(s.x), 3, 0);
        assert_int_equal(ad_rebind(s.c, &ten), AD_OK);
        assert_int_equal(ad_run(p, NULL, (void *[]){ &y, NULL }, NULL), AD_OK);
        assert_close(y, 90, 0), assert_close(dx, 20, 0);
        ad_graph_free(s.g);
    }
}

/* The callback of optimisers, with two dtypes, arrays and single numbers, compiled and evaluated. */
static void a_program_is_an_objective(void **state) {
    (void)state;
    for (int mixed = 0; mixed < 2; mixed++)
        for (int evaluated = 0; evaluated < 2; evaluated++) {
            ad_graph *g = ad_graph_new();
            ad_var *x[] = { ad_param(g, AD_F64, NULL, AD_SCALAR), ad_param(g, AD_F64, NULL, AD_SCALAR),
                            ad_param(g, mixed ? AD_F32 : AD_F64, NULL, AD_SHAPE(3)) };
            ad_var *sum = ad_cast(ad_sum(ad_mul(x[2], x[2])), AD_F64);
            ad_var *y = ad_add(ad_mul(sum, x[0]), ad_square(x[1]));
            ad_program *p = ad_compile_gradient(y, 3, x, (ad_compile_opts){ .no_cache = true, .no_cc = evaluated });
            const double at[] = { 3, -2, 1, 2, 3 }, slopes[] = { 14, -4, 6, 12, 18 };
            double grad[5] = { 0 };
            assert_close(ad_run_flat(at, grad, p), 46, 0);
            for (int i = 0; i < 5; i++) assert_close(grad[i], slopes[i], 0);
            assert_close(ad_run_flat(at, NULL, p), 46, 0);
            assert_true(isnan(ad_run_flat(NULL, grad, p)));
            assert_int_equal(ad_error_code(g), AD_EVALUE), ad_clear_error(g);
            assert_int_equal(ad_eval(y), AD_OK);
            assert_true(isnan(ad_run_flat(at, grad, ad_compile(1, &y, 3, x, (ad_compile_opts){ .no_cc = true }))));
            assert_int_equal(ad_error_code(g), AD_EVALUE);
            ad_graph_free(g);
        }
    assert_true(isnan(ad_run_flat(NULL, NULL, NULL)));
}

/* A step of descent that replaces its own arguments, for numbers that are in a row and for arrays. */
static void outputs_may_replace_inputs(void **state) {
    (void)state;
    for (int evaluated = 0; evaluated < 2; evaluated++) {
        ad_graph *g = ad_graph_new();
        ad_var *x[] = { ad_param(g, AD_F64, NULL, AD_SCALAR), ad_param(g, AD_F64, NULL, AD_SCALAR),
                        ad_param(g, AD_F64, NULL, AD_SHAPE(3)) };
        ad_var *reversed = ad_flip(x[2], 0);
        ad_var *y[] = { ad_add(x[1], ad_sum(x[2])), ad_mul(x[0], x[1]), ad_add(x[2], ad_muls(reversed, 10)) };
        ad_program *p = ad_compile(3, y, 3, x, (ad_compile_opts){ .no_cache = true, .no_cc = evaluated });
        double v[5] = { 2, 3, 1, 2, 3 };
        const void *in[] = { v, v + 1, v + 2 };
        void *out[] = { v, v + 1, v + 2 };
        assert_int_equal(ad_run(p, in, out, NULL), AD_OK);
        const double expected[] = { 9, 6, 31, 22, 13 };
        for (int i = 0; i < 5; i++) assert_close(v[i], expected[i], 0);
        ad_graph_free(g);
    }
}

static void work_may_be_the_callers(void **state) {
    (void)state;
    square s = square_new();
    double y, dx;
    ad_program *p = ad_compile_gradient(s.y, 1, &s.x, fresh);
    void *work = aligned_alloc(64, (ad_program_work(p) + 63) / 64 * 64);
    assert_true(ad_program_work(p) > 0);
    assert_int_equal(ad_run(p, NULL, (void *[]){ &y, &dx }, work), AD_OK);
    assert_close(y, 18, 0), assert_close(dx, 12, 0);
    free(work);
    ad_graph_free(s.g);
}

static void a_branch_that_changes_is_an_error(void **state) {
    (void)state;
    need_compiler();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, &(double){ 3 }, AD_SCALAR), *y = ad_square(x);
    if (ad_branch(ad_gt(x, ad_scalar(g, AD_F64, 0)))) y = ad_muls(y, 2);
    ad_program *p = ad_compile_gradient(y, 1, &x, fresh);
    double value, dx, less = -1, more = 1;
    assert_string_equal(ad_program_how(p), "compiled");
    assert_int_equal(ad_run(p, (const void *[]){ &more }, (void *[]){ &value, &dx }, NULL), AD_OK);
    assert_close(value, 2, 0), assert_close(dx, 4, 0);
    assert_int_equal(ad_run(p, (const void *[]){ &less }, (void *[]){ &value, &dx }, NULL), AD_EBRANCH);
    assert_non_null(strstr(ad_error(g), "went the way of \"true\""));
    ad_graph_free(g);
}

/* ---- what can go wrong ------------------------------------------------------------------------------------------- */

/* An op whose form asks for an array that cannot be, and then computes with it. */
static int own_evaluate(const ad_op *op) {
    memcpy(ad_values(op), ad_data(ad_op_operand(op, 0)), 2 * sizeof(double));
    return AD_OK;
}
static int emit_with(ad_emit *e, const ad_op *op, ad_emit_array odd) {
    ad_emit_loop l = { .dtype = AD_F64, .shape = AD_SHAPE(2), .names = "x i", .value = "x + i", .n = 2 };
    l.in[0] = ad_emit_operand(e, op, 0), l.in[1] = odd;
    ad_emit_result(e, op, ad_emit_run(e, &l));
    return AD_OK;
}
static int emit_many_operands(ad_emit *e, const ad_op *op) {
    const ad_emit_code c = { .text = "{}", .n = 9 };
    return emit_with(e, op, ad_emit_call(e, AD_F64, AD_SHAPE(2), &c));
}
static int emit_far_axis(ad_emit *e, const ad_op *op) {
    return emit_with(e, op, ad_emit_index(e, AD_F64, AD_SHAPE(2), 1000000));
}
static int emit_no_axis(ad_emit *e, const ad_op *op) {
    return emit_with(e, op, ad_emit_index(e, AD_F64, AD_SHAPE(2), -1));
}
static int emit_no_shape(ad_emit *e, const ad_op *op) {
    return emit_with(e, op, ad_emit_new(e, AD_F64, (ad_shape){ 100, { 2 } }));
}
static int emit_odd_names(ad_emit *e, const ad_op *op, int n, int parameters) {
    ad_emit_array x = ad_emit_operand(e, op, 0);
    ad_emit_result(e, op, ad_emit_run(e, &(ad_emit_loop){ .dtype = AD_F64, .shape = AD_SHAPE(2), .names = "x k",
                                                          .value = "x + k", .n = n, .in = { x, x, x },
                                                          .n_parameters = parameters, .parameter = { 1 } }));
    return AD_OK;
}
static int emit_few_operands(ad_emit *e, const ad_op *op) { return emit_odd_names(e, op, 1, 0); }
static int emit_odd_operands(ad_emit *e, const ad_op *op) { return emit_odd_names(e, op, 3, 0); }
static int emit_many_parameters(ad_emit *e, const ad_op *op) { return emit_odd_names(e, op, 2, 1); }
static int emit_no_dtype(ad_emit *e, const ad_op *op) {
    return emit_with(e, op, ad_emit_new(e, (ad_dtype)7, AD_SHAPE(2)));
}

static void forms_that_cannot_be_are_errors(void **state) {
    (void)state;
    static const struct {
        ad_optype type;
        const char *text;
    } cases[] = {
#define OWN(f)                                                                                                         \
    { .name = "own", .arity = 1, .flags = AD_OP_CONSTANT, .evaluate = { own_evaluate, own_evaluate }, .emit = f }
        { OWN(emit_far_axis), "emit_index: axis 1000000 is no axis of [2]" },
        { OWN(emit_no_axis), "emit_index: axis -1 is no axis of [2]" },
        { OWN(emit_no_shape), "emit_new: " },
        { OWN(emit_no_dtype), "emit_new: 7 is not a dtype" },
        { OWN(emit_few_operands), "emit_run: \"x k\" has 2 names, for 1 operands and parameters" },
        { OWN(emit_odd_operands), "emit_run: \"x k\" has 2 names, for 3 operands and parameters" },
        { OWN(emit_many_parameters), "emit_run: \"x k\" has 2 names, for 3 operands and parameters" },
        { OWN(emit_many_operands), "emit_call: takes up to 4 operands and 6 sizes" },
#undef OWN
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ad_graph *g = ad_graph_new();
        ad_var *x = ad_input(g, AD_F64, (double[]){ 1, 2 }, AD_SHAPE(2)), *y = ad_apply(&cases[i].type, 1, &x, NULL);
        assert_string_equal(ad_error(g), "");
        assert_null(ad_compile(1, &y, 1, &x, fresh));
        assert_non_null(strstr(ad_error(g), cases[i].text));
        ad_graph_free(g);
    }
}

static void wrong_arguments_are_errors(void **state) {
    (void)state;
    square s = square_new();
    ad_var *twice[] = { s.x, s.x }, *result = s.y, *wide = ad_param(s.g, AD_F64, NULL, AD_SHAPE(3));
    assert_null(ad_compile_gradient(s.y, 2, twice, fresh));
    assert_non_null(strstr(ad_error(s.g), "xs[1] is given twice")), ad_clear_error(s.g);
    assert_null(ad_compile_gradient(s.y, 1, &result, fresh));
    assert_non_null(strstr(ad_error(s.g), "is the result of mul")), ad_clear_error(s.g);
    assert_null(ad_compile_gradient(wide, 1, &s.x, fresh));
    assert_non_null(strstr(ad_error(s.g), "not one element")), ad_clear_error(s.g);
    assert_null(ad_compile(0, &s.y, 1, &s.x, fresh));
    assert_int_equal(ad_error_code(s.g), AD_EVALUE), ad_clear_error(s.g);
    assert_null(ad_compile(1, NULL, 1, &s.x, fresh)), ad_clear_error(s.g);
    square other = square_new();
    assert_null(ad_compile(2, (ad_var *[]){ s.y, other.y }, 0, NULL, fresh));
    assert_non_null(strstr(ad_error(s.g), "ys[0] and ys[1] belong to two graphs")), ad_clear_error(s.g);
    ad_graph_free(other.g);
    assert_null(ad_compile_gradient(NULL, 0, NULL, fresh));
    assert_int_equal(ad_run(NULL, NULL, NULL, NULL), AD_EVALUE);
    assert_string_equal(ad_program_how(NULL), ""), assert_string_equal(ad_program_source(NULL), "");
    ad_program *p = ad_compile(1, &s.y, 1, &s.x, fresh);
    assert_int_equal(ad_run(p, NULL, NULL, NULL), AD_EVALUE);
    ad_graph_free(s.g);
}

static void without_a_compiler_the_graph_is_evaluated(void **state) {
    (void)state;
    need_compiler();
    const struct {
        ad_compile_opts o;
        const char *how;
    } cases[] = {
        { { .no_cache = true, .cc = "/nowhere/cc" }, "evaluated: no compiler /nowhere/cc" },
        { { .no_cache = true, .cc = "no-such-compiler" }, "evaluated: no compiler no-such-compiler was found" },
        { { .no_cache = true, .cc = "false" }, "failed" },
        { { .no_cache = true, .flags = "--no-such-flag" }, "no-such-flag" },
        { { .no_cache = true, .cc = "true" }, "evaluated: " },
        { { .no_cache = true, .cc = "cc --no-such-flag" }, "no-such-flag" },
        { { .no_cache = true, .cc = "cc -O1" }, "compiled" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        square s = square_new();
        double y = 0, dx = 0;
        ad_program *p = ad_compile_gradient(s.y, 1, &s.x, cases[i].o);
        if (strstr(ad_program_how(p), cases[i].how) == NULL) fail_msg("%s", ad_program_how(p));
        assert_int_equal(ad_run(p, NULL, (void *[]){ &y, &dx }, NULL), AD_OK);
        assert_close(y, 18, 0), assert_close(dx, 12, 0);
        ad_graph_free(s.g);
    }
}

/* A compiler that prints: its words are part of the reason, and none appear among this program's own. */
static void what_a_compiler_prints_is_kept(void **state) {
    (void)state;
    need_compiler();
    FILE *f = fopen(path_of("compiler"), "w");
    assert_non_null(f);
    fputs("#!/bin/sh\necho to the output\necho to the errors >&2\nexit 1\n", f);
    fclose(f);
    chmod(path_of("compiler"), 0700);
    FILE *seen = fopen(path_of("seen"), "w");
    fflush(stdout), fflush(stderr);
    int out = dup(1), err = dup(2);
    assert_true(dup2(fileno(seen), 1) == 1 && dup2(fileno(seen), 2) == 2);
    square s = square_new();
    ad_program *p = ad_compile(1, &s.y, 1, &s.x, (ad_compile_opts){ .no_cache = true, .cc = path_of("compiler") });
    dup2(out, 1), dup2(err, 2), close(out), close(err), fclose(seen);
    assert_contains(ad_program_how(p), "failed: to the output to the errors");
    char *text = whole_file(path_of("seen"));
    assert_string_equal(text, "");
    free(text);
    unlink(path_of("seen")), unlink(path_of("compiler"));
    ad_graph_free(s.g);
}

/* The number of files in a folder, which are removed if so wanted. */
static int files_in(const char *folder, bool removed) {
    DIR *d = opendir(folder);
    char path[512];
    int n = 0;
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        if (f->d_name[0] == '.') continue;
        n++;
        snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        if (removed) assert_int_equal(unlink(path), 0);
    }
    closedir(d);
    return n;
}

static const char *how_in(const char *cache) {
    static char how[400];
    square s = square_new();
    double y = 0;
    ad_program *p = ad_compile(1, &s.y, 1, &s.x, (ad_compile_opts){ .cache = cache });
    assert_non_null(p);
    assert_int_equal(ad_run(p, NULL, (void *[]){ &y }, NULL), AD_OK);
    assert_close(y, 18, 0);
    snprintf(how, sizeof how, "%s", ad_program_how(p));
    ad_graph_free(s.g);
    return how;
}

/* A program is kept once; a folder that others can write to is not used. */
static void programs_are_cached(void **state) {
    (void)state;
    need_compiler();
    const char *folder = path_of("cache");
    for (int i = 0; i < 2; i++) assert_string_equal(how_in(folder), "compiled");
    assert_int_equal(files_in(folder, false), 1);
    chmod(folder, 0777);
    assert_string_equal(how_in(folder), "compiled");
    assert_int_equal(files_in(folder, true), 1);
    assert_int_equal(rmdir(folder), 0);
}

/* A program that was compiled on one core is found on all. */
static void cores_share_a_cache(void **state) {
    (void)state;
    need_compiler();
    const char *folder = path_of("cache");
    cpu_set_t all;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        cpu_set_t one;
        if (!CPU_ISSET(core, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        assert_string_equal(how_in(folder), "compiled");
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(files_in(folder, true), 1);
    assert_int_equal(rmdir(folder), 0);
}

static void set_or_not(const char *name, const char *value) {
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* Without a folder of the program's, the cache is where the environment says; without that, there is none. */
static void the_environment_names_the_cache(void **state) {
    (void)state;
    need_compiler();
    const struct {
        const char *xdg, *home, *cache; /* cache: NULL for none */
    } cases[] = {
        { test_folder, "/nowhere", path_of("autodiff") },
        { NULL, test_folder, path_of(".cache/autodiff") },
        { "not/absolute", test_folder, path_of(".cache/autodiff") },
        { NULL, "/nowhere", NULL },
        { NULL, NULL, NULL },
    };
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *old_xdg = xdg ? strdup(xdg) : NULL, *old_home = home ? strdup(home) : NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_or_not("XDG_CACHE_HOME", cases[i].xdg), set_or_not("HOME", cases[i].home);
        for (int k = 0; k < 2; k++) assert_string_equal(how_in(NULL), "compiled");
        if (cases[i].cache) assert_int_equal(files_in(cases[i].cache, true), 1);
        if (cases[i].cache) assert_int_equal(rmdir(cases[i].cache), 0);
        rmdir(path_of(".cache"));
        assert_int_equal(files_in_folder(), 0);
    }
    set_or_not("XDG_CACHE_HOME", old_xdg), set_or_not("HOME", old_home);
    free(old_xdg), free(old_home);
}

/* A file in the cache that the user did not write, or that others can write to, is not loaded; nor is one that is no
   program. */
static void a_hostile_cache_is_not_used(void **state) {
    (void)state;
    need_compiler();
    const char *folder = path_of("cache");
    char path[512] = "";
    assert_string_equal(how_in(folder), "compiled");
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d)) != NULL;)
        if (strstr(f->d_name, ".so")) snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
    closedir(d);
    assert_int_equal(chmod(path, 0666), 0); /* others can write to it */
    assert_string_equal(how_in(folder), "compiled");
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 022, 0); /* it was compiled again */
    assert_int_equal(unlink(path), 0);
    FILE *f = fopen(path, "w");
    fputs("no program", f);
    fclose(f);
    chmod(path, 0600);
    assert_string_equal(how_in(folder), "compiled"); /* what cannot be loaded is made again */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/lib/x86_64-linux-gnu/libm.so.6", path), 0);
    assert_string_equal(how_in(folder), "compiled"); /* a link is none of our files */
    files_in(folder, true);
    assert_int_equal(rmdir(folder), 0);
}

/* Two processes compile one program into one cache at the same time, and a child runs what its parent compiled. */
static void processes_share_a_cache(void **state) {
    (void)state;
    need_compiler();
    const char *folder = path_of("cache");
    pid_t child[2];
    for (int i = 0; i < 2; i++)
        if ((child[i] = fork()) == 0) _exit(strcmp(how_in(folder), "compiled") == 0 ? 0 : 1);
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(files_in(folder, true), 1);
    assert_int_equal(rmdir(folder), 0);
    square s = square_new();
    ad_program *p = ad_compile_gradient(s.y, 1, &s.x, fresh);
    assert_string_equal(ad_program_how(p), "compiled");
    if ((child[0] = fork()) == 0) {
        double y = 0, dx = 0;
        int rc = ad_run(p, NULL, (void *[]){ &y, &dx }, NULL);
        _exit(rc == AD_OK && y == 18 && dx == 12 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child[0], &status, 0), child[0]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ad_graph_free(s.g);
}

/* Where no file can grow, as on a full disk, the graph is evaluated, and nothing is left in the cache. */
static void a_full_disk_is_a_fallback(void **state) {
    (void)state;
    need_compiler();
    const char *folder = path_of("cache");
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none);
        const char *how = how_in(folder);
        _exit(strncmp(how, "evaluated: cannot write ", 24) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(files_in(folder, false), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* Code in which nothing repeats would keep a compiler busy for minutes. */
static void code_that_does_not_repeat_is_evaluated(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, &(double){ 0.5 }, AD_SCALAR), *y = x;
    uint64_t seed = 7;
    for (int i = 0; i < 40000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        switch (seed >> 60 & 7) {
        case 0: y = ad_sin(y); break;
        case 1: y = ad_adds(y, (double)(seed >> 40) * 1e-9); break;
        case 2: y = ad_mul(y, x); break;
        case 3: y = ad_tanh(y); break;
        case 4: y = ad_sub(x, y); break;
        case 5: y = ad_cos(ad_add(y, x)); break;
        default: y = ad_muls(y, 0.9);
        }
    }
    ad_program *p = ad_compile_gradient(y, 1, &x, fresh);
    assert_string_equal(ad_program_how(p), "evaluated: too much code, as few loops were found in it");
    double value = 0;
    assert_int_equal(ad_run(p, NULL, (void *[]){ &value, NULL }, NULL), AD_OK);
    assert_close(value, ad_item(y), 0);
    ad_graph_free(g);
}

/* The source of a chain of layers, each with its own arrays or elements. */
static size_t source_of_chain(int n, bool elements) {
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_full(g, AD_F64, 0.1, elements ? AD_SCALAR : AD_SHAPE(8, 8)), *y = x;
    for (int i = 0; i < n; i++) {
        ad_var *w = ad_full(g, AD_F64, 0.01 * i, ad_shape_of(x));
        y = ad_tanh(elements ? ad_mul(w, y) : ad_matmul(w, y));
    }
    y = ad_sum(y);
    ad_program *p = ad_compile_gradient(y, 1, &x, (ad_compile_opts){ .no_cache = true, .cc = "cc -O0" });
    size_t size = strlen(ad_program_source(p));
    ad_graph_free(g);
    return size;
}

/* What repeats becomes a loop, so the source has one length however often. */
static void a_longer_chain_has_no_longer_source(void **state) {
    (void)state;
    need_compiler();
    for (int elements = 0; elements < 2; elements++) {
        size_t shorter = source_of_chain(100, elements), longer = source_of_chain(300, elements);
        if (shorter == 0 || longer > shorter + shorter / 5) fail_msg("%zu and %zu bytes", shorter, longer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_longer_chain_has_no_longer_source),
        cmocka_unit_test(values_and_slopes_of_all_elementwise_ops),
        cmocka_unit_test(equal_terms_become_a_loop),
        cmocka_unit_test(arrays_are_compiled_or_called_back),
        cmocka_unit_test(rows_are_worked_on_one_after_the_other),
        cmocka_unit_test(samples_of_ops_on_arrays),
        cmocka_unit_test(elements_of_an_array),
        cmocka_unit_test(arguments_replace_leaves),
        cmocka_unit_test(a_program_is_an_objective),
        cmocka_unit_test(outputs_may_replace_inputs),
        cmocka_unit_test(work_may_be_the_callers),
        cmocka_unit_test(a_branch_that_changes_is_an_error),
        cmocka_unit_test(forms_that_cannot_be_are_errors),
        cmocka_unit_test(wrong_arguments_are_errors),
        cmocka_unit_test(without_a_compiler_the_graph_is_evaluated),
        cmocka_unit_test(what_a_compiler_prints_is_kept),
        cmocka_unit_test(programs_are_cached),
        cmocka_unit_test(cores_share_a_cache),
        cmocka_unit_test(the_environment_names_the_cache),
        cmocka_unit_test(a_hostile_cache_is_not_used),
        cmocka_unit_test(processes_share_a_cache),
        cmocka_unit_test(a_full_disk_is_a_fallback),
        cmocka_unit_test(code_that_does_not_repeat_is_evaluated),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
