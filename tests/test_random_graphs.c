/* test_random_graphs.c: compares thousands of random graphs, which have gaps, with a naive differentiation; and graphs
   of all the ways to record and to differentiate with one another and with finite differences. */
#include "autodiff/extend.h"
#include "autodiff/graph/flat.h"
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
    ad__flat_enable(g, next_below(&r, 3) != 0);
    for (int times = next_below(&r, 3); times >= 0; times--) assert_int_equal(ad_eval(root->var), AD_OK);
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

/* ---- graphs of all the ways to record and to differentiate ------------------------------------------------------- */

/* A recipe is built into Vars any number of times: with other leaves for finite differences, and in other graphs. Every
   node is [4,2]. */
enum {
    SINE,
    BLEND,
    PRODUCT,
    QUOTIENT,
    DROPOUT,
    NOISE_LIKE,
    NOISE_LEAF,
    BATCH_NORM,
    CHECKPOINT,
    CUSTOM,
    JVP,
    HVP,
    JACOBIAN,
    GRADIENT,
    SECOND,
    NO_GRAD,
    BRANCH,
    INGREDIENTS
};
static const char *const ingredient_names[INGREDIENTS] = {
    "sine",   "blend", "product", "quotient", "dropout",  "noise_like", "noise_leaf", "batch_norm", "checkpoint",
    "custom", "jvp",   "hvp",     "jacobian", "gradient", "second",     "no_grad",    "branch"
};
enum { ROWS = 4, COLUMNS = 2, SIZE = ROWS * COLUMNS, PARAMS = 3, MOST_STEPS = 10, MOST_RECIPE = PARAMS + MOST_STEPS };

/* What a checkpoint's function does, besides tanh of a product. */
enum {
    CAPTURES = 1,
    DRAWS = 2,
    DRAWS_A_LEAF = 4,
    NORMALISES = 8,
    DIFFERENTIATES = 16,
    BRANCHES = 32,
    NESTS = 64,
    VARIANTS = 128
};

typedef struct {
    int kind, a, b, variant;
} step;

typedef struct {
    int n; /* of steps; nodes 0 to PARAMS - 1 are the leaves */
    step steps[MOST_STEPS];
    double at[PARAMS][SIZE];
} recipe;

/* What the function of a checkpoint gets as user. */
typedef struct {
    int variant;
    ad_var *captured, *mean, *var;
    bool *went; /* the answer of its branch, then that of the function nested in it */
} inside;

/* A recipe built into Vars. */
typedef struct {
    ad_graph *g;
    ad_var *node[MOST_RECIPE], *root, *mean, *var;
    bool went[MOST_STEPS][2]; /* how branches went */
    inside insides[MOST_STEPS];
} built;

static const ad_shape node_shape = { 2, { ROWS, COLUMNS } };
static const ad_batch_norm_opts norm_opts = { .training = true, .eps = 0.1 };

/* Branches at x > 0. */
static bool is_positive(ad_var *x) { return ad_branch(ad_gt(x, ad_zeros(ad_graph_of(x), AD_F64, AD_SCALAR))); }

static ad_var *inner_function(int n, ad_var *const xs[], void *user);

static ad_var *inner_step(ad_var *y, ad_var *const xs[], inside *s) {
    if (s->variant & CAPTURES) y = ad_add(y, ad_mul(ad_sin(xs[1]), s->captured));
    if (s->variant & DRAWS) y = ad_dropout(y, 0.5, true);
    if (s->variant & DRAWS_A_LEAF) y = ad_mul(y, ad_rand(ad_graph_of(y), AD_F64, node_shape));
    if (s->variant & NORMALISES) y = ad_batch_norm(y, s->mean, s->var, NULL, NULL, norm_opts);
    if (s->variant & DIFFERENTIATES) {
        ad_var *d = NULL;
        if (ad_gradient(ad_sum(ad_sin(ad_mul(xs[0], xs[1]))), 1, &xs[0], &d)) return NULL;
        y = ad_add(y, d);
    }
    if (s->variant & BRANCHES) y = (*s->went = is_positive(ad_sum(xs[0]))) ? ad_sin(y) : ad_cos(y);
    return y;
}

static ad_var *inner_function(int n, ad_var *const xs[], void *user) {
    inside *s = user;
    ad_var *y = inner_step(ad_tanh(ad_mul(xs[0], xs[1])), xs, s);
    if (!(s->variant & NESTS)) return y;
    inside *nested = ad_scope_alloc(ad_graph_of(xs[0]), sizeof *nested);
    *nested = *s;
    nested->variant &= ~NESTS;
    nested->went++;
    return ad_add(y, ad_checkpoint(inner_function, nested, n, (ad_var *[]){ xs[1], xs[0] }));
}

static void cosine_rule(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)y, (void)user;
    dxs[0] = ad_mul(g, ad_cos(xs[0]));
}

/* (d tanh(a) / d a) b */
static ad_var *jacobian_times(ad_var *a, ad_var *b) {
    ad_var *j = ad_reshape(ad_jacobian(ad_tanh(a), a), AD_SHAPE(SIZE, SIZE));
    return ad_reshape(ad_matmul(j, ad_reshape(b, AD_SHAPE(SIZE, 1))), node_shape);
}

static ad_var *gradient_node(ad_var *a, ad_var *b, bool twice) {
    ad_var *d = NULL;
    int rc = ad_gradient(ad_sum(ad_mul(ad_sin(a), ad_tanh(b))), 1, &a, &d);
    if (rc == AD_OK && twice) rc = ad_gradient(ad_sum(ad_sin(d)), 1, &b, &d);
    return rc == AD_OK ? d : ad_nil(ad_graph_of(a));
}

static ad_var *form_node(int kind, ad_var *a, ad_var *b) {
    ad_var *h = NULL;
    switch (kind) {
    case JVP: return ad_jvp(ad_sin(a), 1, &a, &b);
    case HVP: return ad_hvp(ad_sum(ad_sin(a)), 1, &a, &b, &h) == AD_OK ? h : ad_nil(ad_graph_of(a));
    case JACOBIAN: return jacobian_times(a, b);
    default: return gradient_node(a, b, kind == SECOND);
    }
}

/* Under ad_enable_grad(g, false) an op is a constant for differentiation: finite differences take its value from base.
   A form is not. */
static ad_var *no_grad_node(built *u, const step *s, int i, const built *base) {
    ad_var *a = u->node[s->a], *b = u->node[s->b];
    if (s->variant % 2 == 0 && base != NULL)
        return ad_add(ad_tensor(u->g, AD_F64, ad_data(ad_op_operand(ad_creator(base->node[i]), 0)), node_shape), b);
    bool was = ad_enable_grad(u->g, false);
    ad_var *y = s->variant % 2 == 0 ? ad_sin(a) : form_node(JVP + s->variant / 2 % (SECOND - JVP + 1), a, b);
    ad_enable_grad(u->g, was);
    return ad_add(y, b);
}

static ad_var *branch_node(built *u, const step *s, int i) {
    ad_var *a = u->node[s->a];
    bool went = u->went[i - PARAMS][0] = is_positive(ad_sum(a));
    return went ? ad_sin(a) : ad_muls(ad_mul(a, u->node[s->b]), 0.5);
}

static ad_var *step_node(built *u, const step *s, int i, const built *base) {
    ad_var *a = u->node[s->a], *b = u->node[s->b], *y;
    inside *in = &u->insides[i - PARAMS];
    switch (s->kind) {
    case SINE: return ad_sin(a);
    case BLEND: return ad_muls(ad_add(a, b), 0.5);
    case PRODUCT: return ad_mul(a, ad_tanh(b));
    case QUOTIENT: return ad_div(a, ad_adds(ad_square(b), 1));
    case DROPOUT: return ad_dropout(a, 0.5, true);
    case NOISE_LIKE: return ad_mul(a, ad_rand_like(b));
    case NOISE_LEAF: return ad_add(a, ad_mul(b, ad_randn(u->g, AD_F64, node_shape)));
    case BATCH_NORM: return ad_batch_norm(a, u->mean, u->var, NULL, NULL, norm_opts);
    case CHECKPOINT:
        *in = (inside){ s->variant, u->node[s->variant % i], u->mean, u->var, u->went[i - PARAMS] };
        return ad_checkpoint(inner_function, in, 2, (ad_var *[]){ a, b });
    case CUSTOM: y = ad_sin(a); return ad_custom(y, 1, &a, cosine_rule, NULL);
    case NO_GRAD: return no_grad_node(u, s, i, base);
    case BRANCH: return branch_node(u, s, i);
    default: return form_node(s->kind, a, b);
    }
}

/* base: for finite differences, the recipe built with its own leaves; NULL otherwise. */
static void build(built *u, ad_graph *g, const recipe *r, double at[PARAMS][SIZE], const built *base) {
    memset(u, 0, sizeof *u);
    u->g = g;
    u->mean = ad_zeros(g, AD_F64, AD_SHAPE(COLUMNS));
    u->var = ad_ones(g, AD_F64, AD_SHAPE(COLUMNS));
    for (int i = 0; i < PARAMS; i++) u->node[i] = ad_param(g, AD_F64, at[i], node_shape);
    for (int i = PARAMS; i < PARAMS + r->n; i++) u->node[i] = step_node(u, &r->steps[i - PARAMS], i, base);
    u->root = ad_sum(ad_sin(u->node[PARAMS + r->n - 1]));
}

/* only: the ingredient to draw besides the plain ones; -1: all. */
static void random_recipe(recipe *r, uint64_t *word, int only) {
    r->n = 2 + next_below(word, MOST_STEPS - 1);
    for (int i = 0; i < PARAMS; i++)
        for (int e = 0; e < SIZE; e++) r->at[i][e] = next_between(word, -1.5, 1.5);
    for (int i = 0; i < r->n; i++) {
        int nodes = PARAMS + i, kind = next_below(word, only < 0 ? INGREDIENTS : DROPOUT + 2);
        if (only >= 0 && kind >= DROPOUT) kind = only;
        r->steps[i] =
            (step){ kind, nodes - 1 - next_below(word, PARAMS), next_below(word, nodes), next_below(word, VARIANTS) };
    }
}

static bool draws(const recipe *r) {
    for (int i = 0; i < r->n; i++) {
        const step *s = &r->steps[i];
        if (s->kind >= DROPOUT && s->kind <= NOISE_LEAF) return true;
        if (s->kind == CHECKPOINT && s->variant & (DRAWS | DRAWS_A_LEAF)) return true;
    }
    return false;
}

/* ---- comparisons: each returns NULL, or what is wrong ------------------------------------------------------------ */

static double largest(const double *x, int n) {
    double most = 1;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static bool all_close(const double *a, const double *b, int n, double tol) {
    double scale = largest(b, n);
    for (int i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tol * scale)) return false;
    return true;
}

/* The gradients of all leaves by backward, and as Vars. */
static int read_backward(built *u, double to[PARAMS * SIZE]) {
    ad_zero_grad(u->root);
    for (int i = 0; i < PARAMS; i++) ad_zero_grad(u->node[i]);
    int rc = ad_backward(u->root);
    for (int k = 0; k < PARAMS * SIZE; k++) to[k] = ad_grad_at(u->node[k / SIZE], k % SIZE);
    return rc;
}

static int read_gradient(built *u, ad_var *ds[PARAMS], double to[PARAMS * SIZE]) {
    int rc = ad_gradient(u->root, PARAMS, u->node, ds);
    for (int k = 0; k < PARAMS * SIZE; k++) to[k] = ad_at(ds[k / SIZE], k % SIZE);
    return rc;
}

static int read_hvp(built *u, const double *v, double to[PARAMS * SIZE]) {
    ad_var *vs[PARAMS], *hs[PARAMS];
    for (int i = 0; i < PARAMS; i++) vs[i] = ad_tensor(u->g, AD_F64, v + SIZE * i, node_shape);
    int rc = ad_hvp(u->root, PARAMS, u->node, vs, hs);
    for (int k = 0; k < PARAMS * SIZE; k++) to[k] = ad_at(hs[k / SIZE], k % SIZE);
    return rc;
}

static bool same_branches(const built *a, const built *b) { return memcmp(a->went, b->went, sizeof a->went) == 0; }

/* Value and gradient with the leaves moved by h v. Returns false if a branch goes the other way there. */
static bool moved(const recipe *r, const built *base, const double *v, double h, double *value, double *gradient) {
    double at[PARAMS][SIZE];
    built u;
    ad_var *ds[PARAMS];
    for (int k = 0; k < PARAMS * SIZE; k++) at[k / SIZE][k % SIZE] = r->at[k / SIZE][k % SIZE] + h * v[k];
    ad_mark m = ad_begin(base->g);
    ad_seed(base->g, 5);
    build(&u, base->g, r, at, base);
    *value = ad_item(u.root);
    if (gradient != NULL) read_gradient(&u, ds, gradient);
    bool same = same_branches(&u, base);
    ad_end(base->g, m);
    return same;
}

/* The slope along v by central differences of order 4 with steps h, against the gradient's product with v; and the
   slope of the gradient against hv. */
static const char *compare_slopes(const recipe *r, const built *u, const double *v, const double *gradient,
                                  const double *hv, double h) {
    enum { N = PARAMS * SIZE };
    double f[4], d[4][N], at[] = { -2 * h, -h, h, 2 * h }, slope = 0, scale = 1, second[N];
    for (int j = 0; j < 4; j++)
        if (!moved(r, u, v, at[j], &f[j], d[j])) return NULL; /* no function near a branch */
    for (int k = 0; k < N; k++) {
        slope += gradient[k] * v[k], scale += fabs(gradient[k] * v[k]);
        second[k] = (8 * (d[2][k] - d[1][k]) - (d[3][k] - d[0][k])) / (12 * h);
    }
    double numeric = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h);
    if (!(fabs(numeric - slope) <= 1e-6 * scale)) return "the gradient differs from finite differences";
    return all_close(hv, second, N, 1e-5) ? NULL : "hvp differs from finite differences of the gradient";
}

/* Some functions are so curved that only a small step is right. */
static const char *compare_differences(const recipe *r, const built *u, const double *v, const double *gradient,
                                       const double *hv) {
    const char *fault = "";
    for (double h = 1e-3; h > 1e-6 && fault != NULL; h /= 10) fault = compare_slopes(r, u, v, gradient, hv, h);
    return fault;
}

/* Everything again under ad_enable_grad(g, false). */
static const char *compare_no_grad(built *u, const double *v, const double *gradient, const double *hv) {
    double again[PARAMS * SIZE];
    ad_var *ds[PARAMS];
    bool was = ad_enable_grad(u->g, false);
    bool ok = read_gradient(u, ds, again) == AD_OK && all_close(again, gradient, PARAMS * SIZE, 1e-12);
    bool second = read_hvp(u, v, again) == AD_OK && all_close(again, hv, PARAMS * SIZE, 1e-10);
    ad_enable_grad(u->g, was);
    return !ok ? "gradient differs without recording" : !second ? "hvp differs without recording" : NULL;
}

/* The value after ad_eval with these leaves is that of the recipe built with them. If ad_eval gave AD_EBRANCH, that
   goes another way. */
static const char *compare_fresh(const recipe *r, const built *u, double at[PARAMS][SIZE], int rc) {
    built fresh;
    ad_clear_error(u->g);
    if (draws(r)) return NULL; /* a new recipe draws other numbers */
    build(&fresh, u->g, r, at, NULL);
    if (rc == AD_EBRANCH) return same_branches(u, &fresh) ? "AD_EBRANCH, but no branch goes the other way" : NULL;
    if (!is_close(ad_item(u->root), ad_item(fresh.root), 1e-11)) return "the value after ad_eval is wrong";
    return NULL;
}

/* Evaluates value and gradient again with other leaves; the gradient is that of the new value, with its draws. */
static const char *compare_after_eval(const recipe *r, built *u, ad_var *ds[PARAMS], uint64_t *word) {
    double at[PARAMS][SIZE], by_backward[PARAMS * SIZE], as_vars[PARAMS * SIZE];
    for (int k = 0; k < PARAMS * SIZE; k++) at[k / SIZE][k % SIZE] = next_between(word, -1.5, 1.5);
    ad_var *both = u->root;
    built before = *u; /* a checkpoint's function that is called again notes how its branch goes then */
    for (int i = 0; i < PARAMS; i++) both = ad_add(both, ad_sum(ds[i]));
    for (int i = 0; i < PARAMS; i++) ad_set(u->node[i], at[i]);
    if (ad_backward(u->root) != AD_ESTALE) return "backward after a change of all leaves is not refused";
    ad_clear_error(u->g);
    int rc = ad_eval(both);
    if (rc != AD_OK && rc != AD_EBRANCH) return "ad_eval failed";
    if (rc == AD_OK) {
        if (read_backward(u, by_backward) != AD_OK) return "backward after ad_eval failed";
        for (int k = 0; k < PARAMS * SIZE; k++) as_vars[k] = ad_at(ds[k / SIZE], k % SIZE);
        if (!all_close(as_vars, by_backward, PARAMS * SIZE, 1e-10))
            return "gradient differs from backward after ad_eval";
    }
    return compare_fresh(r, &before, at, rc);
}

static void read_state(const built *u, double to[2 * COLUMNS]) {
    for (int k = 0; k < 2 * COLUMNS; k++) to[k] = ad_at(k < COLUMNS ? u->mean : u->var, k % COLUMNS);
}

static const char *check_recipe(const recipe *r, ad_graph *g, uint64_t *word) {
    enum { N = PARAMS * SIZE };
    built u;
    double by_backward[N], as_vars[N], v[N], hv[N], before[2 * COLUMNS], after[2 * COLUMNS], at[PARAMS][SIZE];
    ad_var *ds[PARAMS];
    memcpy(at, r->at, sizeof at);
    ad_seed(g, 5);
    build(&u, g, r, at, NULL);
    if (!ad_ok(g)) return "the graph cannot be built";
    uint64_t drawn = ad_random_get(g).counter;
    for (int k = 0; k < N; k++) v[k] = next_between(word, -1, 1);
    read_state(&u, before);
    if (read_backward(&u, by_backward) != AD_OK) return "backward failed";
    if (read_gradient(&u, ds, as_vars) != AD_OK) return "gradient failed";
    if (!all_close(as_vars, by_backward, N, 1e-10)) return "gradient differs from backward";
    if (read_hvp(&u, v, hv) != AD_OK) return "hvp failed";
    read_state(&u, after);
    if (memcmp(before, after, sizeof before) != 0) return "differentiating moved the state";
    if (drawn != ad_random_get(g).counter) return "differentiating advanced the generator";
    const char *fault = compare_no_grad(&u, v, as_vars, hv);
    if (fault == NULL) fault = compare_differences(r, &u, v, as_vars, hv);
    return fault ? fault : compare_after_eval(r, &u, ds, word);
}

static void print_recipe(const recipe *r) {
    for (int i = 0; i < r->n; i++) {
        const step *s = &r->steps[i];
        print_error("  node %d = %s(%d, %d), variant %d\n", PARAMS + i, ingredient_names[s->kind], s->a, s->b,
                    s->variant);
    }
}

/* Every second recipe may have all ingredients, the others one of them in turn. */
static void random_recipes(void **state) {
    (void)state;
    recipe r;
    const char *asked = getenv("AD_RANDOM_GRAPHS"); /* the number of recipes */
    int graphs = asked ? atoi(asked) : test_quick() ? 40 : 1000;
    for (int seed = 1; seed <= graphs; seed++) {
        ad_graph *g = ad_graph_new();
        uint64_t word = (uint64_t)seed;
        random_recipe(&r, &word, seed % 2 ? -1 : DROPOUT + seed / 2 % (INGREDIENTS - DROPOUT));
        const char *fault = check_recipe(&r, g, &word);
        if (fault != NULL) {
            print_error("recipe %d: %s %s\n", seed, fault, ad_error(g));
            print_recipe(&r);
            fail();
        }
        ad_graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs_against_naive_differentiation),
                                        cmocka_unit_test(random_recipes) };
    return cmocka_run_group_tests_name("random graphs", tests, NULL, NULL);
}
