/* test_compile_lengths.c: no program is longer, or needs more memory, than tests/lengths.txt says: that of each op's
   samples and of some graphs, in this process and as a C file. AD_TEST_WRITE=1 writes the file anew. */
#include <inttypes.h>
#include <sys/stat.h>

#include "autodiff/extend.h"
#include "nn/nn.h"
#include "ops/compile.h"
#include "tests/common.h"

enum { MOST = 4096 };

/* A scalar and the leaves that it is differentiated by. */
typedef struct {
    ad_graph *g;
    ad_dtype t;
    ad_var *y, *x[MOST];
    int n;
} graph;

static ad_var *leaf(graph *p, ad_shape s, const double *values) {
    assert_true(p->n < MOST);
    ad_var *x = ad_param(p->g, p->t, NULL, s);
    for (int64_t k = 0; k < ad_numel(x); k++)
        ad_write_element(p->t, ad_data_mut(x), k, values ? values[k] : 0.3 + 0.01 * (double)((k + 5 * p->n) % 17));
    return p->x[p->n++] = x;
}

/* ---- the samples of an op ---------------------------------------------------------------------------------------- */

static int add_sample(const ad_sample_case *c, void *data) {
    graph *p = data;
    ad_var *in[16];
    for (int i = 0; i < c->n; i++)
        if (ad_shape_numel(c->shapes[i]) == 0) return 0; /* called back */
    assert_true(c->n <= 16);
    for (int i = 0; i < c->n; i++) {
        in[i] = leaf(p, c->shapes[i], c->values[i]);
        if (c->type->no_grad & AD_NO_GRAD(i)) ad_set_requires_grad(in[i], false), p->n--;
    }
    ad_var *y = ad_apply(c->type, c->n, in, c->attrs);
    if (!ad_ok(p->g)) fail_msg("%s: %s", c->type->name, ad_error(p->g));
    if (ad_numel(y) == 0) return 0;
    y = ad_cast(ad_sum(ad_mul(y, ad_full(p->g, ad_dtype_of(y), 0.5, ad_shape_of(y)))), p->t);
    p->y = p->y ? ad_add(p->y, y) : y;
    return 0;
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static ad_var *layers(graph *p) {
    ad_var *x = leaf(p, AD_SHAPE(32, 20), NULL);
    const int64_t widths[] = { 20, 40, 40, 3 };
    for (int i = 0; i < 3; i++) {
        ad_var *w = leaf(p, AD_SHAPE(widths[i + 1], widths[i]), NULL), *b = leaf(p, AD_SHAPE(widths[i + 1]), NULL);
        x = ad_affine(x, w, b);
        if (i < 2) x = ad_tanh(x);
    }
    return ad_mean(ad_square(x));
}

static ad_var *classifier(graph *p) {
    ad_var *x = leaf(p, AD_SHAPE(8, 1, 12, 12), NULL);
    x = ad_relu(ad_conv2d(x, leaf(p, AD_SHAPE(4, 1, 3, 3), NULL), leaf(p, AD_SHAPE(4), NULL),
                          (ad_conv_opts){ .padding = { 1, 1 } }));
    x = ad_reshape(ad_max_pool2d(x, (ad_pool_opts){ .kernel = { 2, 2 } }), AD_SHAPE(8, 144));
    x = ad_log_softmax(ad_affine(x, leaf(p, AD_SHAPE(10, 144), NULL), NULL), 1);
    return ad_mean(ad_select(x, 1, 3));
}

static ad_var *normalised(graph *p) {
    ad_var *x = leaf(p, AD_SHAPE(16, 64), NULL), *w = leaf(p, AD_SHAPE(64), NULL), *b = leaf(p, AD_SHAPE(64), NULL);
    x = ad_layer_norm(x, AD_SHAPE(64), w, b, 1e-5);
    return ad_sum(ad_mul(ad_softmax(x, 1), ad_gelu(x)));
}

static ad_var *recurrent(graph *p) {
    ad_var *w = leaf(p, AD_SHAPE(16, 16), NULL), *h = leaf(p, AD_SHAPE(4, 16), NULL), *x = leaf(p, AD_SHAPE(12, 4, 16), NULL);
    for (int i = 0; i < 12; i++) h = ad_tanh(ad_add(ad_affine(h, w, NULL), ad_select(x, 0, i)));
    return ad_sum(ad_square(h));
}

static ad_var *stencil(graph *p) {
    ad_var *u = leaf(p, AD_SHAPE(40, 40), NULL);
    for (int i = 0; i < 10; i++) {
        ad_var *rows = ad_add(ad_roll(u, 0, 1), ad_roll(u, 0, -1)), *columns = ad_add(ad_roll(u, 1, 1), ad_roll(u, 1, -1));
        u = ad_add(u, ad_muls(ad_sub(ad_add(rows, columns), ad_muls(u, 4)), 0.1));
    }
    return ad_sum(ad_square(u));
}

static ad_var *concatenated(graph *p) {
    ad_var *x[3];
    for (int i = 0; i < 3; i++) x[i] = ad_tanh(leaf(p, AD_SHAPE(5, 4 + i), NULL));
    ad_var *all = ad_concat(3, x, 1);
    return ad_sum(ad_mul(ad_slice(all, 1, 2, 12, 1), ad_flip(ad_slice(all, 1, 3, 13, 1), 1)));
}

/* Rosenbrock's function of numbers, one after the other. */
static ad_var *chain(graph *p) {
    ad_var *y = NULL, *before = NULL;
    for (int i = 0; i < 60; i++) {
        ad_var *x = leaf(p, AD_SCALAR, NULL);
        ad_var *term = before ? ad_square(ad_sub(x, ad_square(before))) : ad_square(x);
        y = y ? ad_add(y, ad_muls(term, 100)) : term;
        before = x;
    }
    return y;
}

/* Pairs of particles: the operands of each repetition are found by tables. */
static ad_var *pairs(graph *p) {
    ad_var *y = NULL, *x[14];
    for (int i = 0; i < 14; i++) x[i] = leaf(p, AD_SCALAR, NULL);
    for (int i = 0; i < 14; i++)
        for (int k = i + 1; k < 14; k++) {
            ad_var *term = ad_reciprocal(ad_adds(ad_square(ad_sub(x[i], x[k])), 1));
            y = y ? ad_add(y, term) : term;
        }
    return y;
}

/* A value that is carried from step to step, with numbers on the way. */
static ad_var *carried(graph *p) {
    ad_var *x = leaf(p, AD_SCALAR, NULL), *k = leaf(p, AD_SCALAR, NULL), *energy = ad_scalar(p->g, p->t, 0);
    for (int i = 0; i < 50; i++) {
        x = ad_sub(x, ad_muls(ad_sin(ad_mul(k, x)), 0.01));
        energy = ad_add(energy, ad_square(x));
    }
    return ad_add(energy, ad_exp(x));
}

/* Numbers and arrays in one graph. */
static ad_var *mixed(graph *p) {
    ad_var *x = leaf(p, AD_SHAPE(100), NULL), *k = leaf(p, AD_SCALAR, NULL), *y = ad_scalar(p->g, p->t, 0);
    for (int i = 0; i < 6; i++) {
        ad_var *s = ad_sum(ad_exp(ad_neg(ad_mul(x, k))));
        k = ad_tanh(ad_muls(s, 0.01));
        y = ad_add(y, ad_log(s));
    }
    return y;
}

static const struct {
    const char *name;
    ad_var *(*make)(graph *p);
} graphs[] = { { "layers", layers },     { "classifier", classifier }, { "normalised", normalised },
               { "recurrent", recurrent }, { "stencil", stencil },       { "concatenated", concatenated },
               { "chain", chain },       { "pairs", pairs },           { "carried", carried },
               { "mixed", mixed } };

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static FILE *to;         /* AD_TEST_WRITE: the file that is written */
static int longer, rows; /* than the file says; of the file */

static int64_t recorded(const char *name, int64_t *work) {
    static char text[1 << 16];
    if (text[0] == '\0') {
        FILE *f = fopen("tests/lengths.txt", "rb");
        assert_non_null(f);
        assert_true(fread(text, 1, sizeof text - 1, f) > 0);
        fclose(f);
    }
    char line[80];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    int64_t bytes = 0;
    if (at == NULL || sscanf(at + strlen(line), "%" SCNd64 " %" SCNd64, &bytes, work) != 2)
        fail_msg("tests/lengths.txt does not have %s: AD_TEST_WRITE=1 writes it", name);
    return bytes;
}

static void compare(const char *name, ad_dtype t, const char *how, int64_t bytes, int64_t work) {
    char row[64];
    int64_t most_work = 0;
    snprintf(row, sizeof row, "%s.%s.%s", name, t == AD_F32 ? "f32" : "f64", how);
    rows++;
    if (to != NULL) {
        fprintf(to, "%s %" PRId64 " %" PRId64 "\n", row, bytes, work);
        return;
    }
    int64_t most = recorded(row, &most_work);
#if defined(__clang__) || defined(AD_NO_BLAS) || !defined(__x86_64__)
    /* The file is of GCC's builds for x86-64 with a BLAS. clang, say, evaluates arguments in another order, so that Ops
       of the graph are, too. */
    most += most / 8, most_work += most_work / 8;
#endif
    if (bytes <= most && work <= most_work) return;
    print_error("%s: %" PRId64 " bytes with %" PRId64 " of work, where %" PRId64 " and %" PRId64 " were enough\n", row,
                bytes, work, most, most_work);
    longer++;
}

/* The program's source is there, whether a compiler is or not. */
static void measure_program(const graph *p, const char *name) {
    ad_program *program = ad_compile_gradient(p->y, p->n, p->x, (ad_compile_opts){ .no_cache = true, .cc = "false" });
    if (program == NULL) fail_msg("%s: %s", name, ad_error(p->g));
    compare(name, p->t, "program", (int64_t)strlen(ad_program_source(program)), (int64_t)ad_program_work(program));
}

static void measure_file(const graph *p, const char *name) {
    ad_export_opts o = { .gradient = true, .no_test = true,
                         .number = p->t == AD_F32 ? AD_EXPORT_FLOAT : AD_EXPORT_DOUBLE };
    struct stat file;
    int work = 0;
    char line[256];
    if (ad_export_c(path_of("f.c"), "f", p->y, p->n, p->x, o) != AD_OK) fail_msg("%s: %s", name, ad_error(p->g));
    assert_int_equal(stat(path_of("f.c"), &file), 0);
    FILE *header = fopen(path_of("f.h"), "rb");
    while (fgets(line, sizeof line, header) && sscanf(line, "#define F_GRADIENT_WORK %d", &work) != 1) continue;
    fclose(header);
    assert_true(remove(path_of("f.c")) == 0 && remove(path_of("f.h")) == 0);
    compare(name, p->t, "file", (int64_t)file.st_size, work);
}

static void samples_of_ops(void **state) {
    (void)state;
    ad_graph *samples = ad_graph_new();
    for (const ad_optype *const *type = ad_optypes(); *type; type++)
        for (ad_dtype t = AD_F32; t <= AD_F64 && (*type)->emit; t++) {
            static graph p;
            p = (graph){ .g = ad_graph_new(), .t = t };
            assert_int_equal(ad_each_sample(samples, *type, add_sample, &p), AD_OK);
            if (p.y && p.n > 0 && ad_requires_grad(p.y)) measure_program(&p, (*type)->name);
            ad_graph_free(p.g);
        }
    ad_graph_free(samples);
}

static void whole_graphs(void **state) {
    (void)state;
    for (int i = 0; i < (int)(sizeof graphs / sizeof *graphs); i++)
        for (ad_dtype t = AD_F32; t <= AD_F64; t++) {
            static graph p;
            p = (graph){ .g = ad_graph_new(), .t = t };
            p.y = graphs[i].make(&p);
            measure_program(&p, graphs[i].name);
            measure_file(&p, graphs[i].name);
            ad_graph_free(p.g);
        }
}

static void none_is_longer(void **state) {
    (void)state;
    assert_true(rows > 300);
    assert_int_equal(longer, 0);
}

static int begin(void **state) {
    if (getenv("AD_TEST_WRITE") != NULL && (to = fopen("tests/lengths.txt", "wb")) == NULL) return -1;
    if (to != NULL)
        fprintf(to, "# Bytes of source and of work memory of programs: test_compile_lengths.c compares and writes them.\n");
    return make_folder(state);
}

static int end(void **state) { return to != NULL && fclose(to) != 0 ? -1 : remove_folder(state); }

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(samples_of_ops), cmocka_unit_test(whole_graphs),
                                        cmocka_unit_test(none_is_longer) };
    return cmocka_run_group_tests(tests, begin, end);
}
