/* test_random_graphs.c: compares thousands of random graphs, which have gaps, with a naive differentiation. */
#include "tests/common.h"

/* ---- a graph as a table, evaluated and differentiated by plain loops -------------------------------- */

enum { PARAM, CONSTANT, ADD, SUB, MUL, MAXIMUM, NEG, SCALE, RELU, ABS, DETACH, KINDS };
enum { MOST_NODES = 1500, MOST_LEAVES = 6, WIDTH = 3 };

/* All operations are exact or rounded once, so that both sides compute the same bits. */
typedef struct {
    int kind, a, b;
    double k;                                       /* the factor of SCALE */
    bool in_gap;                                    /* only nodes in gaps use it, so the root does not depend on it */
    bool needs;                                     /* it needs a gradient */
    bool needed;                                    /* the root depends on it */
    double value[WIDTH], grad[WIDTH], bound[WIDTH]; /* bound: the sum of the absolute contributions to grad */
    ad_var *var;
} node;

typedef struct {
    node nodes[MOST_NODES];
    int n, leaves, root, width;
} table;

static bool binary(int kind) { return kind >= ADD && kind <= MAXIMUM; }

static double value_of(const node *v, double a, double b) {
    switch (v->kind) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case MAXIMUM: return a > b ? a : b;
    case NEG: return -a;
    case SCALE: return a * v->k;
    case RELU: return a > 0 ? a : 0;
    case ABS: return fabs(a);
    default: return a;
    }
}

/* d value / d a and d value / d b, with the conventions of the library at ties and kinks. */
static double slope_a(const node *v, double a, double b) {
    switch (v->kind) {
    case MUL: return b;
    case MAXIMUM: return a > b ? 1 : a == b ? 0.5 : 0;
    case NEG: return -1;
    case SCALE: return v->k;
    case RELU: return a > 0;
    case ABS: return (a > 0) - (a < 0);
    case DETACH: return 0;
    default: return 1;
    }
}

static double slope_b(const node *v, double a, double b) {
    switch (v->kind) {
    case SUB: return -1;
    case MUL: return a;
    case MAXIMUM: return b > a ? 1 : a == b ? 0.5 : 0;
    default: return 1;
    }
}

static void evaluate_table(table *t) {
    for (int i = t->leaves; i < t->n; i++) {
        node *v = &t->nodes[i];
        for (int e = 0; e < t->width; e++) v->value[e] = value_of(v, t->nodes[v->a].value[e], t->nodes[v->b].value[e]);
    }
}

static void propagate(node *to, int e, const node *from, double slope) {
    to->grad[e] += from->grad[e] * slope;
    to->bound[e] += from->bound[e] * fabs(slope);
    to->needed = true;
}

/* Differentiates all nodes in reverse order of creation. */
static void differentiate_table(table *t) {
    for (int i = 0; i < t->n; i++) {
        t->nodes[i].needed = i == t->root;
        for (int e = 0; e < t->width; e++) t->nodes[i].grad[e] = t->nodes[i].bound[e] = i == t->root;
    }
    for (int i = t->n - 1; i >= t->leaves; i--) {
        node *v = &t->nodes[i], *a = &t->nodes[v->a], *b = &t->nodes[v->b];
        for (int e = 0; e < t->width && v->needed; e++) {
            double va = a->value[e], vb = b->value[e];
            propagate(a, e, v, slope_a(v, va, vb));
            if (binary(v->kind)) propagate(b, e, v, slope_b(v, va, vb));
        }
    }
}

/* ---- random graphs ------------------------------------------------------------------------------------- */

/* An operand: a recent node, any node or a leaf. A node in a gap may be used only in a gap. */
static int pick(const table *t, int n, bool in_gap, uint64_t *r) {
    for (;;) {
        int choice = next_below(r, 10), recent = n < 12 ? n : 12;
        int i = choice < 6 ? n - 1 - next_below(r, recent) : choice < 9 ? next_below(r, n) : next_below(r, t->leaves);
        if (in_gap || !t->nodes[i].in_gap) return i;
    }
}

static void random_leaves(table *t, uint64_t *r) {
    for (int i = 0; i < t->leaves; i++) {
        t->nodes[i] = (node){ .kind = i > 0 && next_below(r, 4) == 0 ? CONSTANT : PARAM };
        t->nodes[i].needs = t->nodes[i].kind == PARAM;
        for (int e = 0; e < t->width; e++) t->nodes[i].value[e] = next_between(r, -2, 2);
    }
}

static bool large(const table *t, const node *v) {
    bool any = false;
    for (int e = 0; e < t->width; e++)
        if (fabs(value_of(v, t->nodes[v->a].value[e], t->nodes[v->b].value[e])) > 100) any = true;
    return any;
}

static node random_node(const table *t, int n, bool in_gap, uint64_t *r) {
    node v = { .kind = ADD + next_below(r, KINDS - ADD),
               .a = pick(t, n, in_gap, r),
               .b = pick(t, n, in_gap, r),
               .k = next_between(r, -1, 1),
               .in_gap = in_gap };
    if (v.kind == DETACH && next_below(r, 4) != 0) v.kind = ADD;
    if (large(t, &v)) v.kind = SCALE, v.k = 0.01;
    if (!binary(v.kind)) v.b = v.a;
    v.needs = v.kind != DETACH && (t->nodes[v.a].needs || t->nodes[v.b].needs);
    for (int e = 0; e < t->width; e++) v.value[e] = value_of(&v, t->nodes[v.a].value[e], t->nodes[v.b].value[e]);
    return v;
}

/* Ordinary nodes, and between them gaps of up to 250 nodes that the root does not depend on. */
static void random_table(table *t, uint64_t *r) {
    t->leaves = 1 + next_below(r, MOST_LEAVES);
    t->width = next_below(r, 2) ? WIDTH : 1;
    t->n = t->leaves + 1 + next_below(r, next_below(r, 4) ? 300 : MOST_NODES - MOST_LEAVES - 1);
    random_leaves(t, r);
    bool in_gap = false;
    int run = 0;
    for (int i = t->leaves; i < t->n; i++) {
        if (run-- == 0) {
            in_gap = i > t->leaves && !in_gap;
            run = next_below(r, in_gap ? 250 : 40);
        }
        t->nodes[i] = random_node(t, i, in_gap && i + 1 < t->n, r);
    }
    t->root = t->n - 1;
}

/* ---- the same graph in Vars --------------------------------------------------------------------------- */

static ad_var *var_of(const table *t, const node *v) {
    ad_var *a = t->nodes[v->a].var, *b = t->nodes[v->b].var;
    switch (v->kind) {
    case ADD: return ad_add(a, b);
    case SUB: return ad_sub(a, b);
    case MUL: return ad_mul(a, b);
    case MAXIMUM: return ad_maximum(a, b);
    case NEG: return ad_neg(a);
    case SCALE: return ad_muls(a, v->k);
    case RELU: return ad_relu(a);
    case ABS: return ad_abs(a);
    default: return ad_detach(a);
    }
}

static void build_vars(table *t, ad_graph *g) {
    ad_shape s = t->width == 1 ? AD_SCALAR : AD_SHAPE(WIDTH);
    for (int i = 0; i < t->n; i++) {
        node *v = &t->nodes[i];
        v->var = v->kind == PARAM      ? ad_param(g, AD_F64, v->value, s)
                 : v->kind == CONSTANT ? ad_tensor(g, AD_F64, v->value, s)
                                       : var_of(t, v);
    }
}

/* The only difference may be rounding from another order of summation. */
static void same(double got, double expected, double bound, int seed, int i, const char *what) {
    if (fabs(got - expected) <= 1e-11 * bound) return;
    print_error("graph %d node %d: %s %.17g is not %.17g\n", seed, i, what, got, expected);
    fail();
}

static void compare_values(const table *t, int seed) {
    for (int i = 0; i < t->n; i++)
        for (int e = 0; e < t->width && t->nodes[i].needed; e++)
            same(ad_at(t->nodes[i].var, e), t->nodes[i].value[e], 0, seed, i, "value");
}

/* If gradients are not kept, only those of the leaves are readable after the pass. */
static void compare_gradients(const table *t, int seed, bool kept) {
    for (int i = 0; i < (kept ? t->n : t->leaves); i++)
        for (int e = 0; e < t->width; e++) {
            const node *v = &t->nodes[i];
            same(ad_grad_at(v->var, e), v->needs ? v->grad[e] : 0, v->bound[e], seed, i, "gradient");
        }
}

static void compare_gradient_vars(const table *t, ad_graph *g, int seed) {
    ad_var *xs[MOST_LEAVES], *dxs[MOST_LEAVES], *y = t->nodes[t->root].var;
    for (int i = 0; i < t->leaves; i++) xs[i] = t->nodes[i].var;
    ad_var *ones = ad_ones(g, AD_F64, ad_shape_of(y));
    int rc = t->width == 1 ? ad_gradient(y, t->leaves, xs, dxs) : ad_vjp(y, ones, t->leaves, xs, dxs);
    assert_int_equal(rc, AD_OK);
    for (int i = 0; i < t->leaves; i++)
        for (int e = 0; e < t->width; e++)
            same(ad_at(dxs[i], e), t->nodes[i].grad[e], t->nodes[i].bound[e], seed, i, "gradient as a Var");
}

static int backward(const table *t, ad_graph *g) {
    ad_var *y = t->nodes[t->root].var;
    return t->width == 1 ? ad_backward(y) : ad_backward_from(y, ad_ones(g, AD_F64, AD_SHAPE(WIDTH)));
}

static void change_leaves(table *t, uint64_t *r) {
    for (int i = 0; i < t->leaves; i++) {
        if (next_below(r, 3) == 0) continue;
        for (int e = 0; e < t->width; e++) t->nodes[i].value[e] = next_between(r, -2, 2);
        ad_set(t->nodes[i].var, t->nodes[i].value);
    }
}

/* With other leaves, chains of products may grow to any size. Such values cannot be compared. */
static bool is_moderate(const table *t) {
    for (int i = 0; i < t->n; i++)
        for (int e = 0; e < t->width; e++)
            if (!(fabs(t->nodes[i].value[e]) < 1e100 && t->nodes[i].bound[e] < 1e100)) return false;
    return true;
}

/* Records a graph and differentiates it by both passes, then evaluates it with other leaves and differentiates again.
   */
static void check_graph(table *t, ad_graph *g, int seed) {
    uint64_t r = (uint64_t)seed;
    random_table(t, &r);
    bool kept = next_below(&r, 3) != 0;
    ad_keep_grads(g, kept);
    build_vars(t, g);
    differentiate_table(t);
    compare_values(t, seed);
    node *root = &t->nodes[t->root];
    if (root->needs) assert_int_equal(backward(t, g), AD_OK);
    if (root->needs) compare_gradients(t, seed, kept);
    compare_gradient_vars(t, g, seed);
    change_leaves(t, &r);
    evaluate_table(t);
    differentiate_table(t);
    assert_int_equal(ad_eval(root->var), AD_OK);
    if (!is_moderate(t)) return;
    compare_values(t, seed);
    ad_zero_grad(root->var);
    if (root->needs) assert_int_equal(backward(t, g), AD_OK);
    if (root->needs) compare_gradients(t, seed, kept);
    compare_gradient_vars(t, g, seed);
}

static void random_graphs_against_naive_differentiation(void **state) {
    (void)state;
    static table t;
    ad_graph *g = ad_graph_new();
    int graphs = test_quick() ? 40 : 3000;
    for (int seed = 1; seed <= graphs; seed++) {
        ad_mark m = ad_begin(g);
        check_graph(&t, g, seed);
        assert_ok(g);
        ad_end(g, m);
    }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs_against_naive_differentiation) };
    return cmocka_run_group_tests_name("random graphs", tests, NULL, NULL);
}
