/* test_graphs.c: compares random graphs of up to 200 ops with loss and gradients by PyTorch. tests/reference/graphs.py
   draws the graphs and writes them to tests/reference/graphs.txt. */
#include "tests/common.h"

enum { GRAPHS = 200, MOST_NODES = 260, MOST_OPERANDS = 100, MOST_ELEMENTS = 2000, LINE = 2000 };

/* Relative to the loss, and to the largest element of the gradient of a leaf. */
static const double graph_tolerance = 1e-10;

/* ---- a graph of the file -------------------------------------------------------------------------------- */

typedef struct {
    double largest, weighed, first, middle;
} expected_gradient;

typedef struct {
    ad_graph *g;
    int number, nodes, ops;
    uint64_t shift; /* added to the seeds of all leaves but indices, for other values */
    ad_var *var[MOST_NODES];
    bool is_leaf[MOST_NODES], is_param[MOST_NODES];
    double lo[MOST_NODES], hi[MOST_NODES];
    bool is_index[MOST_NODES]; /* its values are rounded down */
    double loss;
    expected_gradient grad[MOST_NODES];
} program;

static int64_t all_ops, all_numbers;

static void leaf_values(const program *p, int i, double *to) {
    uint64_t state = (uint64_t)p->number * 1000 + (uint64_t)i + (p->is_index[i] ? 0 : p->shift);
    for (int64_t k = 0, n = ad_numel(p->var[i]); k < n; k++) {
        double v = next_between(&state, p->lo[i], p->hi[i]);
        to[k] = p->is_index[i] ? floor(v) : v;
    }
}

static void set_leaf(const program *p, int i) {
    static double values[MOST_ELEMENTS];
    assert_true(ad_numel(p->var[i]) <= MOST_ELEMENTS);
    leaf_values(p, i, values);
    assert_int_equal(ad_set(p->var[i], values), AD_OK);
}

/* Reads a list of integers such as "[2,3]". */
static ad_shape shape_from(const char *text) {
    ad_shape s = AD_SCALAR;
    for (char *at = (char *)(uintptr_t)text + 1; *at != ']' && *at != '\0' && s.ndim < AD_MAX_NDIM; at += *at == ',')
        s.dim[s.ndim++] = strtoll(at, &at, 10);
    return s;
}

static void read_leaf(program *p, int i, const char *line) {
    char kind[16], shape[64];
    assert_int_equal(sscanf(line, "%15s %63s %lf %lf", kind, shape, &p->lo[i], &p->hi[i]), 4);
    p->is_param[i] = strcmp(kind, "param") == 0;
    p->is_index[i] = strcmp(kind, "index") == 0;
    p->is_leaf[i] = true;
    p->var[i] = (p->is_param[i] ? ad_param : ad_tensor)(p->g, AD_F64, NULL, shape_from(shape));
    set_leaf(p, i);
}

/* ---- ops and attributes, found by name --------------------------------------------------------------------- */

static void set_axes(int *to, const char *text) {
    ad_shape list = shape_from(text);
    *to = strcmp(text, "all") == 0 ? -1 : list.ndim;
    for (int i = 0; i < list.ndim; i++) to[1 + i] = (int)list.dim[i];
}

static void set_attr(const ad_attr *a, void *attrs, const char *text) {
    void *at = (char *)attrs + a->offset;
    switch (a->kind) {
    case AD_ATTR_INT: *(int *)at = atoi(text); break;
    case AD_ATTR_INT64: *(int64_t *)at = atoll(text); break;
    case AD_ATTR_BOOL: *(bool *)at = atoi(text) != 0; break;
    case AD_ATTR_DOUBLE: *(double *)at = strtod(text, NULL); break;
    case AD_ATTR_SHAPE: *(ad_shape *)at = shape_from(text); break;
    case AD_ATTR_AXES: set_axes(at, text); break;
    }
}

static void read_attr(const ad_optype *type, void *attrs, char *word) {
    char *value = strchr(word, '=');
    *value++ = '\0';
    for (const ad_attr *a = type->attrs; a != NULL && a->name != NULL; a++)
        if (strcmp(a->name, word) == 0) {
            set_attr(a, attrs, value);
            return;
        }
    fail_msg("%s has no attribute %s", type->name, word);
}

static void read_op(program *p, int i, char *line) {
    union {
        double align;
        char bytes[1024];
    } attrs = { .bytes = { 0 } };
    char *rest = NULL, *name = strtok_r(line, " ", &rest);
    const ad_optype *type = ad_find_op(p->g, name);
    if (type == NULL) fail_msg("there is no op %s", name);
    assert_true(type->attr_size <= sizeof attrs);
    ad_var *in[MOST_OPERANDS];
    int n = 0;
    for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;) {
        if (strchr(word, '=') != NULL) read_attr(type, &attrs, word);
        else in[n++] = p->var[atoi(word)];
        assert_true(n < MOST_OPERANDS);
    }
    p->var[i] = ad_apply(type, n, in, &attrs);
    p->ops++;
    if (!ad_ok(p->g)) fail_msg("graph %d node %d: %s", p->number, i, ad_error(p->g));
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static void next_line(FILE *f, char *line) {
    if (fgets(line, LINE, f) == NULL || strchr(line, '\n') == NULL) fail_msg("a line is missing or too long");
    line[strcspn(line, "\n")] = '\0';
}

static bool is_leaf(const char *line) {
    return strncmp(line, "param ", 6) == 0 || strncmp(line, "tensor ", 7) == 0 || strncmp(line, "index ", 6) == 0;
}

static void read_results(program *p, FILE *f) {
    char line[LINE];
    next_line(f, line);
    assert_int_equal(sscanf(line, "loss %lf", &p->loss), 1);
    for (int i = 0; i < p->nodes; i++) {
        if (!p->is_param[i]) continue;
        expected_gradient *e = &p->grad[i];
        int node = -1;
        next_line(f, line);
        int found = sscanf(line, "grad %d %lf %lf %lf %lf", &node, &e->largest, &e->weighed, &e->first, &e->middle);
        if (found == 3) e->first = e->middle = e->weighed; /* a gradient of one element */
        assert_true(node == i && (found == 3 || found == 5));
    }
}

/* Builds the next graph of the file in g. */
static void read_graph(program *p, ad_graph *g, FILE *f, uint64_t shift) {
    char line[LINE];
    *p = (program){ .g = g, .shift = shift };
    do next_line(f, line);
    while (line[0] == '#');
    assert_int_equal(sscanf(line, "graph %d nodes %d", &p->number, &p->nodes), 2);
    assert_in_range(p->nodes, 1, MOST_NODES);
    for (int i = 0; i < p->nodes; i++) {
        next_line(f, line);
        if (is_leaf(line)) read_leaf(p, i, line);
        else read_op(p, i, line);
    }
    read_results(p, f);
}

/* ---- comparison with PyTorch -------------------------------------------------------------------------------- */

static void compare_number(const program *p, int node, const char *what, double got, double want, double size) {
    all_numbers++;
    if (fabs(got - want) <= graph_tolerance * size) return;
    fail_msg("graph %d, node %d: %s is %.17g, that of PyTorch is %.17g", p->number, node, what, got, want);
}

/* A sum with the weights of graphs.py, which changes with every element. */
static double weighed(const ad_var *x, double (*at)(const ad_var *, int64_t)) {
    double sum = 0;
    for (int64_t k = 0; k < ad_numel(x); k++) sum += (1 + (double)(k % 8) / 8) * at(x, k);
    return sum;
}

static void compare_gradient(const program *p, int i, const ad_var *x, double (*at)(const ad_var *, int64_t),
                             const char *what) {
    const expected_gradient *e = &p->grad[i];
    int64_t n = ad_numel(x);
    compare_number(p, i, what, at(x, 0), e->first, e->largest);
    compare_number(p, i, what, at(x, n / 2), e->middle, e->largest);
    compare_number(p, i, what, weighed(x, at), e->weighed, e->largest * (double)n);
}

static ad_var *root(const program *p) { return p->var[p->nodes - 1]; }

static void compare_backward(const program *p) {
    compare_number(p, p->nodes - 1, "the loss", ad_item(root(p)), p->loss, fabs(p->loss));
    ad_zero_grad(root(p));
    assert_int_equal(ad_backward(root(p)), AD_OK);
    for (int i = 0; i < p->nodes; i++)
        if (p->is_param[i]) compare_gradient(p, i, p->var[i], ad_grad_at, "the gradient");
}

static void compare_gradient_vars(const program *p) {
    ad_var *xs[MOST_NODES], *dxs[MOST_NODES];
    int n = 0;
    for (int i = 0; i < p->nodes; i++)
        if (p->is_param[i]) xs[n++] = p->var[i];
    assert_int_equal(ad_gradient(root(p), n, xs, dxs), AD_OK);
    for (int i = 0, k = 0; i < p->nodes; i++)
        if (p->is_param[i]) compare_gradient(p, i, dxs[k++], ad_at, "the gradient as a Var");
}

/* ---- evaluation with other leaves, and with the first ones again ------------------------------------------------ */

/* Sets all leaves to the numbers of this shift. */
static void change_leaves(program *p, uint64_t shift) {
    p->shift = shift;
    for (int i = 0; i < p->nodes; i++)
        if (p->is_leaf[i]) set_leaf(p, i);
}

static void same_bits(const program *p, int i, const char *what, const void *got, const void *want) {
    size_t size = (size_t)ad_numel(p->var[i]) * sizeof(double);
    if (memcmp(got, want, size) == 0) return;
    fail_msg("graph %d, node %d: %s differs from that of a new graph", p->number, i, what);
}

/* Both have the same leaves. p was evaluated again with them, fresh was built with them. */
static void compare_programs(const program *p, const program *fresh) {
    assert_int_equal(ad_backward(root(p)), AD_OK);
    assert_int_equal(ad_backward(root(fresh)), AD_OK);
    for (int i = 0; i < p->nodes; i++) {
        same_bits(p, i, "the value", ad_data(p->var[i]), ad_data(fresh->var[i]));
        if (p->is_param[i]) same_bits(p, i, "the gradient", ad_grad(p->var[i]), ad_grad(fresh->var[i]));
    }
}

/* ---- all graphs ------------------------------------------------------------------------------------------------ */

static int graphs_wanted(void) { return test_quick() ? 20 : GRAPHS; }

static void each_graph(bool keep_grads, void check(const program *p)) {
    static program p;
    FILE *f = open_source("tests/reference/graphs.txt");
    ad_graph *g = ad_graph_new();
    ad_keep_grads(g, keep_grads);
    for (int i = all_ops = 0; i < graphs_wanted(); i++) {
        ad_mark m = ad_begin(g);
        read_graph(&p, g, f, 0);
        check(&p);
        assert_ok(g);
        ad_end(g, m);
        all_ops += p.ops;
    }
    ad_graph_free(g);
    fclose(f);
}

static void compare_both_ways(const program *p) {
    compare_backward(p);
    compare_gradient_vars(p);
}

static void gradients_agree(void **state) {
    (void)state;
    each_graph(true, compare_both_ways);
}

static void gradients_agree_with_reused_memory(void **state) {
    (void)state;
    each_graph(false, compare_backward);
}

static void evaluated_again(void **state) {
    (void)state;
    static program p, fresh;
    FILE *f = open_source("tests/reference/graphs.txt"), *again = open_source("tests/reference/graphs.txt");
    for (int i = 0; i < graphs_wanted(); i++) {
        ad_graph *g = ad_graph_new();
        read_graph(&p, g, f, 0);
        read_graph(&fresh, g, again, 500000000);
        change_leaves(&p, 500000000);
        assert_int_equal(ad_backward(root(&p)), AD_ESTALE);
        ad_clear_error(g);
        assert_int_equal(ad_eval(root(&p)), AD_OK);
        compare_programs(&p, &fresh);
        change_leaves(&p, 0);
        assert_int_equal(ad_eval(root(&p)), AD_OK);
        compare_backward(&p);
        ad_graph_free(g);
    }
    fclose(f);
    fclose(again);
}

static void report_counts(void **state) {
    (void)state;
    print_message("checked: %d graphs of %lld ops, %lld numbers against PyTorch\n", graphs_wanted(), (long long)all_ops,
                  (long long)all_numbers);
    assert_true(all_numbers > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree),
        cmocka_unit_test(gradients_agree_with_reused_memory),
        cmocka_unit_test(evaluated_again),
        cmocka_unit_test(report_counts),
    };
    return cmocka_run_group_tests_name("graphs", tests, NULL, NULL);
}
