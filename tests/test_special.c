/* test_special.c: compares every op at special points, such as zeros, kinks, infinities and NaN, with values, first and
   second slopes by PyTorch. These are in tests/reference/special, which special.py there writes. */
#include <float.h>

#include "tests/common.h"
#include "tests/reference/sample.h"

enum { MOST_OPERANDS = 16, MOST_OPS = 1000 };

typedef struct {
    const ad_optype *type;
    const ad_sample_case *c;
    ad_graph *g;
    char *next; /* the next line of the file; NULL at the end */
    bool elementwise;
    double *put[MOST_OPERANDS]; /* the operands' elements */
    ad_shape shapes[MOST_OPERANDS];
    ad_var *in[MOST_OPERANDS], *y, *grads[MOST_OPERANDS];
    int64_t compared, declared;
    char trouble[600];
} reading;

static int64_t all_compared, all_declared, all_ops;

static char *next_line(reading *r) {
    char *line = r->next;
    if (line == NULL || *line == '\0') return NULL;
    char *end = strchr(line, '\n');
    r->next = end ? end + 1 : NULL;
    if (end != NULL) *end = '\0';
    return line;
}

static bool begins_with(const char *line, const char *word) { return strncmp(line, word, strlen(word)) == 0; }

static int outdated(reading *r, const char *why) {
    snprintf(r->trouble, sizeof r->trouble, "%s: %s: `make reference-values OPS=%s` updates tests/reference/special/%s.txt",
             r->type->name, why, r->type->name, r->type->name);
    return AD_ECHECK;
}

static bool takes_gradient(const reading *r, int i) {
    return !(r->type->flags & AD_OP_CONSTANT) && !(r->type->no_grad >> i & 1);
}

static bool agrees(double got, double want, double floor) {
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(got) : got == want;
    return fabs(got - want) <= fmax(1e-9 * fabs(want), floor);
}

/* Compares the numbers of a line, OURS or OURS~PYTORCH, with the elements of x. */
static int compare_line(reading *r, const char *what, char *numbers, const ad_var *x) {
    int64_t n = ad_numel(x);
    double floor = strncmp(what, "second", 6) == 0 ? 1e-15 : 1e-300; /* second slopes are sums of terms near 1 */
    char *at = numbers;
    for (int64_t k = 0; k < n; k++) {
        char *end;
        double want = strtod(at, &end), got = ad_at(x, k);
        bool open = at[strspn(at, " ")] == '?';
        if (open) end = at + strspn(at, " ") + 1;
        else if (end == at) return outdated(r, "a line is too short");
        if (*end == '~') {
            double theirs = strtod(end + 1, &end);
            r->declared += !agrees(open ? got : want, theirs, floor);
        }
        at = end;
        r->compared++;
        if (open || agrees(got, want, floor)) continue;
        char where[200] = "";
        for (int i = 0, w = 0; i < r->c->n && w < 150; i++)
            w += snprintf(where + w, sizeof where - (size_t)w, " %g",
                          ad_at(r->in[i], k < ad_numel(r->in[i]) ? k : 0));
        snprintf(r->trouble, sizeof r->trouble, "%s, sample %d, %s, element %lld, operands%s: %.17g, the reference is %.17g",
                 r->type->name, r->c->index, what, (long long)k, where, got, want);
        if (getenv("ALL")) { puts(r->trouble); continue; }
        return AD_ECHECK;
    }
    return AD_OK;
}

/* Applies the op to the operands and builds the gradients as Vars. */
static int apply(reading *r) {
    ad_var *xs[MOST_OPERANDS], *dxs[MOST_OPERANDS];
    int n = 0, from[MOST_OPERANDS];
    for (int i = 0; i < r->c->n; i++) {
        r->in[i] = (takes_gradient(r, i) ? ad_param : ad_tensor)(r->g, AD_F64, NULL, r->shapes[i]);
        set_all(r->in[i], r->put[i]);
        if (takes_gradient(r, i)) xs[n] = r->in[i], from[n++] = i;
    }
    r->y = ad_apply(r->type, r->c->n, r->in, r->c->attrs);
    if (!ad_ok(r->g) || n == 0) return ad_error_code(r->g);
    ad_var *w = ad_tensor(r->g, ad_dtype_of(r->y), NULL, ad_shape_of(r->y));
    double *weights = calloc((size_t)ad_numel(w) + 1, sizeof *weights);
    if (weights == NULL) return AD_ENOMEM;
    for (int64_t k = 0; k < ad_numel(w); k++) weights[k] = r->elementwise ? 1 : sample_weight(k);
    set_all(w, weights);
    free(weights);
    int rc = ad_vjp(r->y, w, n, xs, dxs);
    for (int j = 0; j < n && rc == AD_OK; j++) r->grads[from[j]] = dxs[j];
    return rc;
}

/* second J, or second I J: the derivative with respect to operand J of the sum of gradient I, or of all gradients times
   fixed weights. */
static int compare_second(reading *r, char *line) {
    int i = -1, j = -1, end = 0;
    if (r->elementwise ? sscanf(line, "second %d %d%n", &i, &j, &end) != 2 : sscanf(line, "second %d%n", &j, &end) != 1)
        return outdated(r, "a line of second derivatives is wrong");
    ad_var *total = NULL, *d;
    for (int o = 0; o < r->c->n; o++) {
        if (!takes_gradient(r, o) || (i >= 0 && o != i)) continue;
        ad_var *part = r->grads[o];
        if (!r->elementwise) {
            ad_var *w = ad_tensor(r->g, AD_F64, NULL, ad_shape_of(part));
            for (int64_t k = 0; k < ad_numel(w); k++) ((double *)ad_data_mut(w))[k] = sample_weight(k);
            part = ad_mul(part, w);
        }
        part = ad_sum(part);
        total = total ? ad_add(total, part) : part;
    }
    int rc = ad_gradient(total, 1, &r->in[j], &d);
    char what[40];
    snprintf(what, sizeof what, "%.*s", end, line);
    return rc == AD_OK ? compare_line(r, what, line + end, d) : rc;
}

static int compare_block(reading *r) {
    ad_mark m = ad_begin(r->g);
    int rc = apply(r);
    while (rc == AD_OK && r->next && *r->next && !begins_with(r->next, "sample") && !begins_with(r->next, "put")) {
        char *line = next_line(r);
        int i, end = 0;
        if (begins_with(line, "value")) rc = compare_line(r, "value", line + 5, r->y);
        else if (sscanf(line, "grad %d%n", &i, &end) == 1) {
            char what[40];
            snprintf(what, sizeof what, "grad %d", i);
            rc = compare_line(r, what, line + end, r->grads[i]);
        } else rc = compare_second(r, line);
    }
    ad_end(r->g, m);
    return rc;
}

static int compare_elementwise(reading *r) {
    int rc = AD_OK;
    for (int i = 0; i < r->c->n; i++) {
        char *line = next_line(r);
        int at, end = 0, n = 0;
        if (line == NULL || sscanf(line, "at %d%n", &at, &end) != 1) return outdated(r, "operands are missing");
        r->put[i] = calloc(strlen(line), sizeof(double));
        if (r->put[i] == NULL) return AD_ENOMEM;
        for (char *from = line + end, *to; r->put[i][n] = strtod(from, &to), to != from; from = to) n++;
        r->shapes[i] = AD_SHAPE(n);
    }
    rc = compare_block(r);
    for (int i = 0; i < r->c->n; i++) free(r->put[i]), r->put[i] = NULL;
    return rc;
}

static int compare_structured(reading *r) {
    int rc = AD_OK, j, end = 0;
    while (rc == AD_OK && r->next && begins_with(r->next, "put")) {
        char *line = next_line(r);
        if (sscanf(line, "put %d%n", &j, &end) != 1) return outdated(r, "a line is wrong");
        for (int i = 0; i < r->c->n; i++) {
            size_t n = (size_t)ad_shape_numel(r->c->shapes[i]);
            if ((r->put[i] = calloc(n + 1, sizeof(double))) == NULL) return AD_ENOMEM;
            memcpy(r->put[i], r->c->values[i], n * sizeof(double));
            r->shapes[i] = r->c->shapes[i];
        }
        r->put[j][0] = strtod(line + end, NULL);
        rc = compare_block(r);
        for (int i = 0; i < r->c->n; i++) free(r->put[i]), r->put[i] = NULL;
    }
    return rc;
}

static int compare_sample(const ad_sample_case *c, void *data) {
    reading *r = data;
    int index;
    unsigned checksum;
    if (r->next == NULL || sscanf(r->next, "sample %d %x", &index, &checksum) != 2 || index != c->index) return AD_OK;
    if (checksum != sample_checksum(c)) return outdated(r, "a sample has changed");
    next_line(r);
    r->c = c;
    return (r->elementwise = c->type->shape == NULL) ? compare_elementwise(r) : compare_structured(r);
}

static char *whole_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    char *text = NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        rewind(f);
        text = size >= 0 ? calloc((size_t)size + 1, 1) : NULL;
        if (text != NULL && fread(text, 1, (size_t)size, f) != (size_t)size) text[0] = '\0';
    }
    fclose(f);
    return text;
}

static void op_agrees_at_special_points(void **state) {
    reading r = { .type = *state, .g = ad_graph_new() };
    char path[512];
    snprintf(path, sizeof path, "tests/reference/special/%s.txt", r.type->name);
    char *text = whole_file(source_path(path));
    if (text == NULL) fail_msg("%s: there are no special values: `make reference-values OPS=%s`", r.type->name, r.type->name);
    r.next = text;
    while (*r.next == '#') next_line(&r);
    int rc = ad_each_sample(r.g, r.type, compare_sample, &r);
    if (rc == AD_OK && r.next && *r.next) rc = outdated(&r, "there are more special values than samples");
    if (rc != AD_OK && r.trouble[0] == '\0') snprintf(r.trouble, sizeof r.trouble, "%s: %s", r.type->name, ad_error(r.g));
    ad_graph_free(r.g);
    free(text);
    if (rc == AD_EABSENT) skip();
    if (rc != AD_OK) fail_msg("%s", r.trouble);
    all_compared += r.compared, all_declared += r.declared, all_ops++;
}

static void report_counts(void **state) {
    (void)state;
    print_message("%lld ops: %lld special values compared with PyTorch, %lld declared differences\n", (long long)all_ops,
                  (long long)all_compared, (long long)all_declared);
    assert_true(all_compared > 0);
}

int main(void) {
    static struct CMUnitTest tests[MOST_OPS];
    size_t n = 0;
    for (const ad_optype *const *t = ad_optypes(); *t && n < MOST_OPS - 1; t++)
        if (!((*t)->flags & AD_OP_RANDOM))
            tests[n++] = (struct CMUnitTest){ .name = (*t)->name, .test_func = op_agrees_at_special_points,
                                              .initial_state = (void *)(uintptr_t)*t };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(report_counts);
    return _cmocka_run_group_tests("special", tests, n, NULL, NULL);
}
