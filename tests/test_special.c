/* test_special.c: compares every op at special points, such as zeros, kinks, infinities and NaN, with values, first and
   second slopes by PyTorch. These are in tests/reference/special; tests/reference/README.md describes them. */
#include "autodiff/extend.h"
#include "tests/common.h"
#include "tests/reference/sample.h"

enum { MOST_OPERANDS = 16, MOST_OPS = 1000 };

typedef struct {
    const ad_optype *type;
    const ad_sample_case *sample;
    ad_graph *g;
    char *next; /* the next line of the file; NULL at the end */
    bool elementwise;
    double *values[MOST_OPERANDS];
    ad_shape shapes[MOST_OPERANDS];
    ad_var *in[MOST_OPERANDS], *y, *grads[MOST_OPERANDS];
    int64_t compared, declared;
    char trouble[600];
} reading;

static int64_t all_compared, all_declared, all_ops;

/* ---- the file ------------------------------------------------------------------------------------------ */

static char *next_line(reading *r) {
    char *line = r->next;
    if (line == NULL || *line == '\0') return NULL;
    char *end = strchr(line, '\n');
    r->next = end ? end + 1 : NULL;
    if (end != NULL) *end = '\0';
    return line;
}

static bool next_begins(const reading *r, const char *word) {
    return r->next != NULL && strncmp(r->next, word, strlen(word)) == 0;
}

static int outdated(reading *r, const char *why) {
    const char *name = r->type->name;
    snprintf(r->trouble, sizeof r->trouble,
             "%s: %s: `make reference-values OPS=%s` updates tests/reference/special/%s.txt", name, why, name, name);
    return AD_ECHECK;
}

/* ---- one number ------------------------------------------------------------------------------------------- */

/* Values of an elementwise op have the sign of the reference if they are 0: 1 / y makes an infinity of that sign. */
static bool zeros_agree(const reading *r, const char *what, double got, double want) {
    return got != 0 || want != 0 || !r->elementwise || *what != 'v' || signbit(got) == signbit(want);
}

/* Second slopes are sums of terms near 1. */
static bool agrees(double got, double want, bool second) {
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(got) : got == want;
    return fabs(got - want) <= fmax(1e-9 * fabs(want), second ? 1e-15 : 1e-300);
}

static int differ(reading *r, const char *what, int64_t k, double got, double want) {
    char at[160] = "";
    for (int i = 0, n = 0; i < r->sample->n && n < 130; i++)
        n += snprintf(at + n, sizeof at - (size_t)n, " %g", ad_at(r->in[i], k < ad_numel(r->in[i]) ? k : 0));
    snprintf(r->trouble, sizeof r->trouble,
             "%s, sample %d, %s, element %lld, operands%s: %.17g, the reference is %.17g", r->type->name,
             r->sample->index, what, (long long)k, at, got, want);
    return AD_ECHECK;
}

/* Reads a number of a line and compares ours with it. A number is PyTorch's; or OURS~PYTORCH, where OURS is by mpmath,
   or ? where special_differs.py names the difference; or ? alone, which is not compared. Counts the differences. */
static int compare_number(reading *r, const char *what, char **at, int64_t k, double got) {
    bool second = *what == 's', open = **at == '?';
    char *end = *at + 1;
    double want = open ? got : strtod(*at, &end);
    if (end == *at) return outdated(r, "a line is too short");
    if (*end == '~') {
        double theirs = strtod(end + 1, &end);
        r->declared += !agrees(want, theirs, second) || !zeros_agree(r, what, want, theirs);
    }
    *at = end + strspn(end, " ");
    r->compared++;
    bool same = agrees(got, want, second) && zeros_agree(r, what, got, want);
    return open || same ? AD_OK : differ(r, what, k, got, want);
}

static int compare_line(reading *r, const char *what, char *numbers, const ad_var *x) {
    char *at = numbers + strspn(numbers, " ");
    int rc = AD_OK;
    for (int64_t k = 0, n = ad_numel(x); k < n && rc == AD_OK; k++) rc = compare_number(r, what, &at, k, ad_at(x, k));
    return rc == AD_OK && *at != '\0' ? outdated(r, "a line is too long") : rc;
}

/* ---- one point --------------------------------------------------------------------------------------------- */

static bool takes_gradient(const reading *r, int i) {
    return !(r->type->flags & AD_OP_CONSTANT) && !(r->type->no_grad >> i & 1);
}

/* Fixed numbers of x's shape: cotangents, which are 1 for an elementwise op, or weights of gradients. */
static ad_var *weights_like(const reading *r, const ad_var *x) {
    ad_var *w = ad_tensor(r->g, ad_dtype_of(x), NULL, ad_shape_of(x));
    for (int64_t k = 0, n = ad_numel(w); k < n; k++)
        ad_write_element(ad_dtype_of(w), ad_data_mut(w), k, r->elementwise ? 1 : sample_weight(k));
    return w;
}

/* Applies the op and records the gradients as Vars. */
static int apply(reading *r) {
    ad_var *xs[MOST_OPERANDS], *dxs[MOST_OPERANDS];
    int n = 0, from[MOST_OPERANDS];
    for (int i = 0; i < r->sample->n; i++) {
        r->in[i] = (takes_gradient(r, i) ? ad_param : ad_tensor)(r->g, AD_F64, r->values[i], r->shapes[i]);
        if (takes_gradient(r, i)) xs[n] = r->in[i], from[n++] = i;
    }
    r->y = ad_apply(r->type, r->sample->n, r->in, r->sample->attrs);
    if (!ad_ok(r->g) || n == 0) return ad_error_code(r->g);
    int rc = ad_vjp(r->y, weights_like(r, r->y), n, xs, dxs);
    for (int j = 0; j < n && rc == AD_OK; j++) r->grads[from[j]] = dxs[j];
    return rc;
}

/* The sum of all gradients, times fixed weights; of gradient i only if i >= 0. */
static ad_var *sum_of_gradients(const reading *r, int i) {
    ad_var *total = NULL;
    for (int o = 0; o < r->sample->n; o++) {
        if (!takes_gradient(r, o) || (i >= 0 && o != i)) continue;
        ad_var *part = ad_sum(ad_mul(r->grads[o], weights_like(r, r->grads[o])));
        total = total ? ad_add(total, part) : part;
    }
    return total;
}

/* "second I J", of an elementwise op: the derivative of gradient I with respect to operand J. "second J" of others:
   that of the sum of all gradients times fixed weights. */
static int compare_second(reading *r, char *line) {
    int i = -1, j = -1, end = 0;
    char what[40];
    ad_var *d;
    if (r->elementwise) sscanf(line, "second %d %d%n", &i, &j, &end);
    else sscanf(line, "second %d%n", &j, &end);
    if (end == 0 || j >= r->sample->n) return outdated(r, "a line has an unknown beginning");
    snprintf(what, sizeof what, "%.*s", end, line);
    int rc = ad_gradient(sum_of_gradients(r, i), 1, &r->in[j], &d);
    return rc == AD_OK ? compare_line(r, what, line + end, d) : rc;
}

static int compare_any(reading *r, char *line) {
    int i = 0, end = 0;
    char what[40];
    if (sscanf(line, "value%n", &end) == 0 && end > 0) return compare_line(r, "value", line + end, r->y);
    if (sscanf(line, "grad %d%n", &i, &end) != 1 || i >= r->sample->n) return compare_second(r, line);
    snprintf(what, sizeof what, "grad %d", i);
    return compare_line(r, what, line + end, r->grads[i]);
}

/* Applies the op to the values, and compares the lines up to the next point. */
static int compare_point(reading *r) {
    ad_mark m = ad_begin(r->g);
    int rc = apply(r);
    while (rc == AD_OK && r->next && *r->next && !next_begins(r, "sample") && !next_begins(r, "put"))
        rc = compare_any(r, next_line(r));
    ad_end(r->g, m);
    return rc;
}

/* ---- one op -------------------------------------------------------------------------------------------------- */

static void free_values(reading *r) {
    for (int i = 0; i < MOST_OPERANDS; i++) free(r->values[i]), r->values[i] = NULL;
}

/* "at I NUMBERS" for each operand: all points as one array. */
static int compare_elementwise(reading *r) {
    for (int i = 0; i < r->sample->n; i++) {
        char *line = next_line(r);
        int operand, end = 0, n = 0;
        if (line == NULL || sscanf(line, "at %d%n", &operand, &end) != 1) return outdated(r, "operands are missing");
        if ((r->values[i] = calloc(strlen(line), sizeof(double))) == NULL) return AD_ENOMEM;
        for (char *from = line + end, *to; r->values[i][n] = strtod(from, &to), to != from; from = to) n++;
        r->shapes[i] = AD_SHAPE(n);
    }
    return compare_point(r);
}

/* "put J NUMBER": the sample with this number as the first element of operand J. */
static int compare_put(reading *r) {
    int j = 0, end = 0;
    char *line = next_line(r);
    if (sscanf(line, "put %d%n", &j, &end) != 1 || j >= r->sample->n) return outdated(r, "a point is wrong");
    for (int i = 0; i < r->sample->n; i++) {
        size_t n = (size_t)ad_shape_numel(r->shapes[i] = r->sample->shapes[i]);
        if ((r->values[i] = calloc(n + 1, sizeof(double))) == NULL) return AD_ENOMEM;
        memcpy(r->values[i], r->sample->values[i], n * sizeof(double));
    }
    r->values[j][0] = strtod(line + end, NULL);
    return compare_point(r);
}

static int compare_sample(const ad_sample_case *c, void *data) {
    reading *r = data;
    int index = -1, rc = AD_OK;
    unsigned checksum = 0;
    if (!next_begins(r, "sample") || sscanf(r->next, "sample %d %x", &index, &checksum) != 2 || index != c->index)
        return AD_OK; /* not every sample has special points */
    if (checksum != sample_checksum(c) || c->n > MOST_OPERANDS) return outdated(r, "a sample has changed");
    next_line(r);
    r->sample = c;
    if (r->elementwise) rc = compare_elementwise(r);
    free_values(r);
    while (rc == AD_OK && next_begins(r, "put")) {
        rc = compare_put(r);
        free_values(r);
    }
    return rc;
}

static int compare_op(reading *r) {
    while (next_begins(r, "#")) next_line(r);
    int rc = ad_each_sample(r->g, r->type, compare_sample, r);
    if (rc == AD_OK && r->next != NULL && *r->next != '\0') rc = outdated(r, "it has points of samples that are gone");
    if (rc == AD_OK && r->declared > 0 && r->type->differs == NULL)
        snprintf(r->trouble, sizeof r->trouble, "%s: %lld numbers differ from PyTorch's, and .differs does not say so",
                 r->type->name, (long long)r->declared),
            rc = AD_ECHECK;
    return rc;
}

static void op_agrees_at_special_points(void **state) {
    reading r = { .type = *state, .g = ad_graph_new(), .elementwise = ((const ad_optype *)*state)->shape == NULL };
    char path[512];
    snprintf(path, sizeof path, "tests/reference/special/%s.txt", r.type->name);
    char *text = whole_file(source_path(path));
    if (text == NULL)
        fail_msg("%s: there are no special values: %s. Run `make reference-values OPS=%s`", r.type->name, path,
                 r.type->name);
    r.next = text;
    int rc = compare_op(&r);
    if (rc != AD_OK && r.trouble[0] == '\0')
        snprintf(r.trouble, sizeof r.trouble, "%s: %s", r.type->name, ad_error(r.g));
    ad_graph_free(r.g);
    free(text);
    if (rc == AD_EABSENT) skip(); /* this build lacks a library that the op needs */
    if (rc != AD_OK) fail_msg("%s", r.trouble);
    all_compared += r.compared, all_declared += r.declared, all_ops++;
}

static void comparison_is_strict(void **state) {
    (void)state;
    assert_true(agrees(1 + 5e-10, 1, false) && agrees(NAN, NAN, false) && agrees(INFINITY, INFINITY, true));
    assert_false(agrees(1 + 2e-9, 1, false) || agrees(NAN, 0, false) || agrees(0, NAN, true));
    assert_false(agrees(-INFINITY, INFINITY, false) || agrees(1e-200, 0, false) || agrees(1e308, INFINITY, true));
    reading r = { .type = &ad_op_abs, .elementwise = true };
    assert_true(zeros_agree(&r, "value", -0.0, -0.0) && zeros_agree(&r, "grad 0", -0.0, 0));
    assert_false(zeros_agree(&r, "value", -0.0, 0) || zeros_agree(&r, "value", 0, -0.0));
    char line[] = "2~1 ?~3 ? 5", *at = line;
    assert_int_equal(compare_number(&r, "value", &at, 0, 2), AD_OK);
    assert_int_equal(compare_number(&r, "value", &at, 0, 3), AD_OK);
    assert_int_equal(compare_number(&r, "value", &at, 0, 4), AD_OK);
    assert_int_equal(r.declared, 1);
    assert_string_equal(at, "5");
}

/* tests/run shows this line. */
static void report_counts(void **state) {
    (void)state;
    print_message("special: %lld ops, %lld numbers at special points beside PyTorch, %lld declared differences\n",
                  (long long)all_ops, (long long)all_compared, (long long)all_declared);
    assert_true(all_compared > 0);
}

int main(void) {
    static struct CMUnitTest tests[MOST_OPS];
    size_t n = 0;
    for (const ad_optype *const *t = ad_optypes(); *t && n < MOST_OPS - 2; t++)
        if (!((*t)->flags & AD_OP_RANDOM))
            tests[n++] = (struct CMUnitTest){ .name = (*t)->name,
                                              .test_func = op_agrees_at_special_points,
                                              .initial_state = (void *)(uintptr_t)*t };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(comparison_is_strict);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(report_counts);
    return _cmocka_run_group_tests("special", tests, n, NULL, NULL);
}
