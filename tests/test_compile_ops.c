/* test_compile_ops.c: every op that has a form in C: values and gradients of compiled programs beside those of
   ad_eval and ad_backward, for all samples in both dtypes. */
#include "autodiff/extend.h"
#include "ops/compile.h"
#include "tests/common.h"

enum { OPS_WITH_A_FORM = 189, MOST = 8192, OPS_AT_ONCE = 12 };

/* Ops whose slopes are those of the vjp rule: a program of one of them computes all slopes so. */
static bool has_slopes_in_vars(const ad_optype *type) {
    static const char *const those[] = { "index_copy", "scatter", "scatter_reduce", "logcumsumexp" };
    for (size_t i = 0; i < sizeof those / sizeof *those; i++)
        if (strcmp(type->name, those[i]) == 0) return true;
    return false;
}

/* The samples of a few ops in one graph. Their sum has weights that are leaves too, so that the gradients of the
   weights are the samples' values. */
typedef struct {
    ad_graph *g;
    ad_dtype t;
    ad_var *x[MOST], *total;
    const char *name[MOST]; /* of the op that x[i] is for */
    bool is_weight[MOST];
    int n, samples;
    int of_op; /* samples of the op at hand */
} group;

/* Samples that a form does not cover, each for a reason. */
typedef struct {
    const char *op;
    bool (*is_it)(const ad_sample_case *c, ad_dtype t);
} exception;

/* Loops have the squares of elements, which overflow or underflow here. */
static bool is_extreme(const ad_sample_case *c, ad_dtype t) { return t == AD_F64 && c->flags & AD_SAMPLE_LOOSE; }

/* The windows of adaptive pools whose sizes do not divide are called back. */
static bool is_adaptive(const ad_sample_case *c, ad_dtype t) {
    return (void)t, ad_shape_equal(c->shapes[0], AD_SHAPE(2, 5, 7)) || ad_shape_equal(c->shapes[0], AD_SHAPE(2, 2, 3));
}

static const exception exceptions[] = { { "norm", is_extreme }, { "cosine_similarity", is_extreme },
                                        { "avg_pool2d", is_adaptive }, { "avg_unpool2d", is_adaptive } };

static bool is_excepted(const ad_sample_case *c, ad_dtype t) {
    for (int i = 0; i < c->n; i++)
        if (ad_shape_numel(c->shapes[i]) == 0) return true; /* called back */
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (strcmp(exceptions[i].op, c->type->name) == 0 && exceptions[i].is_it(c, t)) return true;
    return false;
}

static ad_var *leaf(group *p, const ad_sample_case *c, int i) {
    ad_var *x = (c->type->no_grad & AD_NO_GRAD(i) ? ad_tensor : ad_param)(p->g, p->t, NULL, c->shapes[i]);
    for (int64_t k = 0; k < ad_numel(x); k++) ad_write_element(p->t, ad_data_mut(x), k, c->values[i][k]);
    return x;
}

static void add_leaf(group *p, ad_var *x, const char *name, bool is_weight) {
    assert_true(p->n < MOST);
    p->x[p->n] = x, p->name[p->n] = name, p->is_weight[p->n++] = is_weight;
}

static int add_sample(const ad_sample_case *c, void *data) {
    group *p = data;
    ad_var *in[16];
    if (is_excepted(c, p->t)) return 0;
    if (c->type->emit == ad_emit_elementwise && p->of_op >= 3) return 0; /* test_compile.c has all of them */
    assert_true(c->n <= 16);
    for (int i = 0; i < c->n; i++) in[i] = leaf(p, c, i);
    ad_var *y = ad_apply(c->type, c->n, in, c->attrs);
    if (!ad_ok(p->g)) fail_msg("%s: %s", c->type->name, ad_error(p->g));
    if (ad_numel(y) == 0) return 0; /* called back */
    for (int i = 0; i < c->n; i++)
        if (ad_requires_grad(in[i])) add_leaf(p, in[i], c->type->name, false);
    ad_var *w = ad_param(p->g, ad_dtype_of(y), NULL, ad_shape_of(y));
    for (int64_t k = 0; k < ad_numel(w); k++)
        ad_write_element(ad_dtype_of(w), ad_data_mut(w), k, 0.25 * (double)(1 + ((k + 3) * (k + 5) % 13) % 7));
    add_leaf(p, w, c->type->name, true);
    ad_var *part = ad_cast(ad_sum(ad_mul(y, w)), p->t);
    p->total = p->total ? ad_add(p->total, part) : part;
    p->samples++, p->of_op++;
    return 0;
}

/* The error is measured by the largest number of the array, or by 0.01 where all of them cancel. */
static void compare_array(const group *p, int i, const void *got) {
    double scale = 0.01, tol = p->t == AD_F32 ? 2e-5 : 1e-12;
    ad_dtype t = ad_dtype_of(p->x[i]);
    for (int64_t k = 0; k < ad_numel(p->x[i]); k++) {
        double want = fabs(ad_grad_at(p->x[i], k));
        if (want > scale && want < INFINITY) scale = want;
    }
    for (int64_t k = 0; k < ad_numel(p->x[i]); k++) {
        double a = ad_read_element(t, got, k), b = ad_grad_at(p->x[i], k);
        if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tol * scale) continue;
        fail_msg("%s in %s, a %s of %s: compiled %.17g, evaluated %.17g", p->name[i], t == AD_F32 ? "f32" : "f64",
                 p->is_weight[i] ? "value" : "slope", ad_shape_str(ad_shape_of(p->x[i])).text, a, b);
    }
}

static void compare(group *p) {
    void *out[MOST + 1] = { &(double){ 0 } };
    size_t bytes = 0;
    for (int i = 0; i < p->n; i++) bytes += (size_t)ad_numel(p->x[i]) * sizeof(double);
    char *memory = malloc(bytes), *at = memory;
    assert_non_null(memory);
    memset(memory, 0xff, bytes);
    for (int i = 0; i < p->n; at += (size_t)ad_numel(p->x[i++]) * sizeof(double)) out[1 + i] = at;
    ad_program *program = ad_compile_gradient(p->total, p->n, p->x, (ad_compile_opts){ .no_cache = true,
                                                                                      .flags = "-O0" });
    if (strcmp(ad_program_how(program), "compiled") != 0) fail_msg("%s: %s", p->name[0], ad_program_how(program));
    if (strstr(ad_program_source(program), "host->call(")) fail_msg("from %s on: an op was called back", p->name[0]);
    for (int run = 0; run < 2; run++) /* nothing is left over from before */
        assert_int_equal(ad_run(program, NULL, out, NULL), AD_OK);
    assert_int_equal(ad_backward(p->total), AD_OK);
    for (int i = 0; i < p->n; i++) compare_array(p, i, out[1 + i]);
    free(memory);
}

/* Compares what the group has, and empties it. */
static void finish(group *p, int *samples) {
    if (p->total) compare(p);
    *samples += p->samples;
    ad_graph_free(p->g);
    *p = (group){ .g = ad_graph_new(), .t = p->t };
}

/* An op is compiled in one precision, which takes half of the time; with small sizes in the other one, and with
   AD_TEST_ALL in both. */
static bool is_in_turn(int op, ad_dtype t) {
    return getenv("AD_TEST_ALL") || (op + (t == AD_F64)) % 2 == test_quick();
}

static void samples_of_all_ops(void **state) {
    (void)state;
    if (getenv("TEST_UNDER") && !getenv("TEST_CC")) skip(); /* the system's compiler makes code for another processor */
    const char *only = getenv("TEST_OP");
    static group p;
    ad_graph *samples = ad_graph_new();
    int n = 0, ops = 0;
    for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
        int taken = 0;
        p = (group){ .g = ad_graph_new(), .t = t };
        ops = 0;
        for (const ad_optype *const *type = ad_optypes(); *type; type++) {
            if ((*type)->emit == NULL || (only && strcmp(only, (*type)->name) != 0)) continue;
            if (!is_in_turn(ops++, t) && !only) continue;
            p.of_op = 0;
            if (has_slopes_in_vars(*type)) finish(&p, &n);
            assert_int_equal(ad_each_sample(samples, *type, add_sample, &p), AD_OK);
            if (++taken % OPS_AT_ONCE == 0 || has_slopes_in_vars(*type)) finish(&p, &n);
        }
        finish(&p, &n);
        ad_graph_free(p.g);
    }
    ad_graph_free(samples);
    print_message("%d ops have a form in C; %d samples\n", ops, n);
    assert_true(only || ops >= OPS_WITH_A_FORM);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(samples_of_all_ops) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
