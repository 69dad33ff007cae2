/* test_reference.c: compares the samples of every op with values and gradients by PyTorch or mpmath. These are in
   tests/reference/results; tests/reference/README.md describes how they are computed and compared. */
#include <dirent.h>
#include <float.h>

#include "tests/common.h"
#include "tests/reference/sample.h"

enum { MOST_OPERANDS = 16, MOST_OPS = 1000 };

/* The largest tolerance that the file of an op may have. */
static const double loosest = 1e-9;

/* ---- one number -------------------------------------------------------------------------------------- */

typedef struct {
    double relative, floor;
} bounds;

static bool agrees(double got, double want, bounds b) {
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(got) : got == want;
    return fabs(got - want) <= fmax(b.relative * fabs(want), b.floor);
}

/* A value outside the range of f32 is not compared. */
static bool agrees_narrow(double got, double want, double tol) {
    if (isfinite(want) && fabs(want) > (double)FLT_MAX) return true;
    return agrees(got, want, (bounds){ tol, tol });
}

/* ---- a result file, line by line ------------------------------------------------------------------------ */

typedef struct {
    const ad_optype *type;
    char *next; /* the next line; NULL at the end */
    bounds f64;
    int samples;
    int64_t compared;
    char trouble[600];
} reading;

static int64_t all_compared, all_samples, all_ops;

static char *next_line(reading *r) {
    char *line = r->next;
    if (line == NULL || *line == '\0') return NULL;
    char *end = strchr(line, '\n');
    r->next = end ? end + 1 : NULL;
    if (end != NULL) *end = '\0';
    return line;
}

/* The rest of the next line after this word; NULL if the line does not begin with it. */
static const char *line_after(reading *r, const char *word) {
    const char *line = next_line(r);
    size_t n = strlen(word);
    return line != NULL && strncmp(line, word, n) == 0 ? line + n : NULL;
}

/* Reports that the file does not fit the samples. The message names the op and the command that updates the file. */
static int outdated(reading *r, const char *why) {
    const char *name = r->type->name;
    snprintf(r->trouble, sizeof r->trouble,
             "%s: %s: `make reference-values OPS=%s` updates tests/reference/results/%s.txt", name, why, name, name);
    return AD_ECHECK;
}

static int read_head(reading *r) {
    const char *line = "#";
    while (line != NULL && *line == '#') line = next_line(r);
    int end = 0;
    if (line == NULL || sscanf(line, "tolerance %lf %lf%n", &r->f64.relative, &r->f64.floor, &end) != 2)
        return outdated(r, "its reference values have no tolerance line");
    bool usual = r->f64.relative == 1e-12 && r->f64.floor == 0;
    if (!usual && strlen(line + end) < 10) return outdated(r, "its tolerance is unusual, and no reason is given");
    if (r->f64.relative > loosest || r->f64.floor > loosest) return outdated(r, "its tolerance is too loose");
    r->f64.floor = fmax(r->f64.floor, DBL_MIN);
    return AD_OK;
}

/* ---- one sample ------------------------------------------------------------------------------------------- */

typedef struct {
    reading *r;
    const ad_sample_case *c;
    const char *value, *grad[MOST_OPERANDS]; /* the numbers of their lines */
    ad_var *in[MOST_OPERANDS], *y;
} trial;

static bool takes_gradient(const ad_sample_case *c, int i) {
    return !(c->type->flags & AD_OP_CONSTANT) && !(c->type->no_grad >> i & 1);
}

static int read_sample(reading *r, const ad_sample_case *c, trial *t) {
    int index = -1;
    unsigned checksum = 0;
    const char *line = line_after(r, "sample ");
    if (line == NULL || sscanf(line, "%d %x", &index, &checksum) != 2)
        return outdated(r, "it has more samples than reference values");
    if (index != c->index || checksum != sample_checksum(c))
        return outdated(r, "a sample has changed since its reference values were computed");
    if ((t->value = line_after(r, "value ")) == NULL) return outdated(r, "a line of reference values is missing");
    for (int i = 0; i < c->n; i++) {
        char word[24];
        snprintf(word, sizeof word, "grad %d", i);
        if (takes_gradient(c, i) && (t->grad[i] = line_after(r, word)) == NULL)
            return outdated(r, "the gradient of an operand is missing");
    }
    return AD_OK;
}

static int differ(const trial *t, const char *what, ad_dtype dtype, int64_t k, double got, double want) {
    snprintf(t->r->trouble, sizeof t->r->trouble,
             "%s, sample %d, %s, element %lld in %s: %.17g, the reference is %.17g: difference %.3g, relative %.3g",
             t->c->type->name, t->c->index, what, (long long)k, ad_dtype_name(dtype), got, want, fabs(got - want),
             fabs(got - want) / fabs(want));
    return AD_ECHECK;
}

/* Compares the numbers of a line with at(x, 0 .. n-1). */
static int compare_line(const trial *t, const char *what, const char *line, const ad_var *x,
                        double (*at)(const ad_var *, int64_t), double narrow) {
    ad_dtype dtype = ad_dtype_of(t->in[0]);
    int64_t n = ad_numel(x);
    for (int64_t k = 0; k < n; k++) {
        char *end;
        double want = strtod(line, &end), got = at(x, k);
        if (end == line) return outdated(t->r, "a line of reference values is too short");
        line = end;
        t->r->compared++;
        if (dtype == AD_F64 ? !agrees(got, want, t->r->f64) : !agrees_narrow(got, want, narrow))
            return differ(t, what, dtype, k, got, want);
    }
    return *line == '\0' ? AD_OK : outdated(t->r, "a line of reference values is too long");
}

static int compare_shape(const trial *t) {
    char text[160];
    int n = ad_shape_text(ad_shape_of(t->y), text, sizeof text);
    if (strncmp(t->value, text, (size_t)n) == 0 && (t->value[n] == ' ' || t->value[n] == '\0')) return AD_OK;
    snprintf(t->r->trouble, sizeof t->r->trouble, "%s, sample %d: the result has shape %s, the reference has %.*s",
             t->c->type->name, t->c->index, text, (int)strcspn(t->value, " "), t->value);
    return AD_ECHECK;
}

static int differentiate(const trial *t, ad_graph *g) {
    ad_var *w = ad_tensor(g, ad_dtype_of(t->y), NULL, ad_shape_of(t->y));
    int64_t n = ad_numel(w);
    double *weights = calloc((size_t)n + 1, sizeof *weights);
    if (weights == NULL) return AD_ENOMEM;
    for (int64_t k = 0; k < n; k++) weights[k] = sample_weight(k);
    set_all(w, weights);
    free(weights);
    return ad_backward_from(t->y, w);
}

static int compare_gradients(const trial *t, ad_graph *g) {
    if (t->c->type->flags & AD_OP_CONSTANT) return AD_OK;
    int rc = differentiate(t, g);
    for (int i = 0; i < t->c->n && rc == AD_OK; i++) {
        char what[32];
        snprintf(what, sizeof what, "gradient of operand %d", i);
        if (takes_gradient(t->c, i)) rc = compare_line(t, what, t->grad[i], t->in[i], ad_grad_at, 1e-4);
    }
    return rc;
}

static int compare_in(trial *t, ad_graph *g, ad_dtype dtype) {
    const ad_sample_case *c = t->c;
    for (int i = 0; i < c->n; i++) {
        t->in[i] = (takes_gradient(c, i) ? ad_param : ad_tensor)(g, dtype, NULL, c->shapes[i]);
        set_all(t->in[i], c->values[i]);
    }
    t->y = ad_apply(c->type, c->n, t->in, c->attrs);
    int rc = ad_ok(g) ? compare_shape(t) : ad_error_code(g);
    if (rc == AD_OK) rc = compare_line(t, "value", t->value + strcspn(t->value, " "), t->y, ad_at, 2e-5);
    return rc == AD_OK ? compare_gradients(t, g) : rc;
}

typedef struct {
    reading *r;
    ad_graph *g;
} context;

static int compare_sample(const ad_sample_case *c, void *data) {
    context *x = data;
    trial t = { .r = x->r, .c = c };
    if (c->n > MOST_OPERANDS) return outdated(x->r, "a sample has more operands than this test supports");
    int rc = read_sample(x->r, c, &t);
    if (rc == AD_OK) rc = compare_in(&t, x->g, AD_F64);
    bool narrow = c->type->evaluate[AD_F32] != NULL && !(c->flags & AD_SAMPLE_LOOSE);
    if (rc == AD_OK && narrow) rc = compare_in(&t, x->g, AD_F32);
    x->r->samples++;
    return rc;
}

/* ---- one op --------------------------------------------------------------------------------------------------- */

static int compare_op(reading *r) {
    context x = { r, ad_graph_new() };
    int rc = read_head(r);
    if (rc == AD_OK) rc = ad_each_sample(x.g, r->type, compare_sample, &x);
    if (rc == AD_OK && next_line(r) != NULL) rc = outdated(r, "it has fewer samples than reference values");
    if (rc != AD_OK && r->trouble[0] == '\0')
        snprintf(r->trouble, sizeof r->trouble, "%s: %s", r->type->name, ad_error(x.g));
    ad_graph_free(x.g);
    return rc;
}

static void op_agrees_with_its_reference(void **state) {
    reading r = { .type = *state };
    char path[512];
    snprintf(path, sizeof path, "tests/reference/results/%s.txt", r.type->name);
    char *text = whole_file(source_path(path));
    if (text == NULL)
        fail_msg("%s: there are no reference values: %s. Add an entry for the op to tests/reference/*.py and run "
                 "`make reference-values OPS=%s`. Run this test in the source folder, or set AD_SOURCE to it",
                 r.type->name, path, r.type->name);
    r.next = text;
    int rc = compare_op(&r);
    free(text);
    if (rc == AD_EABSENT) skip(); /* this build lacks a library that the op needs */
    if (rc != AD_OK) fail_msg("%s", r.trouble);
    assert_true(r.samples > 0);
    all_compared += r.compared, all_samples += r.samples, all_ops++;
}

/* ---- tests of the comparison ------------------------------------------------------------------------------------ */

static void comparison_is_strict(void **state) {
    (void)state;
    const bounds usual = { 1e-12, DBL_MIN };
    assert_true(agrees(1e-200 * (1 + 5e-13), 1e-200, usual));
    assert_false(agrees(1e-200 * (1 + 2e-12), 1e-200, usual));
    assert_false(agrees(1e-300, 0, usual));
    assert_false(agrees(NAN, 1, usual));
    assert_false(agrees(1, NAN, usual));
    assert_false(agrees(-INFINITY, INFINITY, usual));
    assert_false(agrees(1e308, INFINITY, usual));
    assert_true(agrees(NAN, NAN, usual) && agrees(INFINITY, INFINITY, usual));
    assert_false(agrees(3e-15, 0, (bounds){ 1e-12, 2e-15 }));
}

/* Lines in place of the file of one_hot are refused with a message that contains this part. */
static void assert_refused(const char *lines, const char *part) {
    char text[600];
    snprintf(text, sizeof text, "# a comment\n%s", lines);
    reading r = { .type = &ad_op_one_hot, .next = text };
    assert_int_equal(compare_op(&r), AD_ECHECK);
    assert_contains(r.trouble, part);
    assert_contains(r.trouble, "make reference-values OPS=one_hot");
}

static void wrong_files_are_refused(void **state) {
    (void)state;
    assert_refused("", "no tolerance line");
    assert_refused("tolerance 1e-3 0 a reason of some length\n", "too loose");
    assert_refused("tolerance 1e-11 0\n", "no reason is given");
    assert_refused("tolerance 1e-12 0\n", "more samples");
    assert_refused("tolerance 1e-12 0\nsample 0 00000000\nvalue [3] 0 0 1\n", "a sample has changed");
}

/* Renaming an op must not leave its old file behind. */
static void every_file_has_its_op(void **state) {
    (void)state;
    const char *path = source_path("tests/reference/results");
    DIR *folder = opendir(path);
    if (folder == NULL) fail_msg("%s cannot be read: run this test in the source folder, or set AD_SOURCE", path);
    ad_graph *g = ad_graph_new();
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        char *dot = strrchr(e->d_name, '.');
        if (dot == NULL || strcmp(dot, ".txt") != 0) continue;
        *dot = '\0';
        if (ad_find_op(g, e->d_name) == NULL) fail_msg("%s/%s.txt: there is no op %s", path, e->d_name, e->d_name);
    }
    ad_graph_free(g);
    closedir(folder);
}

static void report_counts(void **state) {
    (void)state;
    print_message("checked: %lld ops, %lld numbers of %lld samples against PyTorch and mpmath\n", (long long)all_ops,
                  (long long)all_compared, (long long)all_samples);
    assert_true(all_compared > 0);
}

int main(void) {
    static struct CMUnitTest tests[MOST_OPS];
    size_t n = 0;
    for (const ad_optype *const *t = ad_optypes(); *t && n < MOST_OPS - 4; t++)
        if (!((*t)->flags & AD_OP_RANDOM))
            tests[n++] = (struct CMUnitTest){ .name = (*t)->name, .test_func = op_agrees_with_its_reference,
                                              .initial_state = (void *)(uintptr_t)*t };
    const struct CMUnitTest last[] = {
        cmocka_unit_test(comparison_is_strict),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(every_file_has_its_op),
        cmocka_unit_test(report_counts),
    };
    memcpy(tests + n, last, sizeof last);
    return _cmocka_run_group_tests("reference", tests, n + sizeof last / sizeof *last, NULL, NULL);
}
