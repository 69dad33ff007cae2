/* test_flat.c: flat programs (autodiff/graph/flat.h): random graphs, evaluated and differentiated in two graphs, one of
   which makes no programs, have the same bits, flags, stamps and errors whatever is done to them. */
#include "autodiff/graph/flat.h"
#include "ops/functional.h"
#include "tests/common.h"

enum { MOST_TYPES = 256, MOST_VARS = 12000, MOST_LEAVES = 100, INPUTS = 2, WIDTH = 3 };

/* ---- two graphs in which the same is done -------------------------------------------------------- */

typedef struct {
    ad_graph *g;
    ad_var *vars[MOST_VARS], *root;
    double memory[2 * INPUTS]; /* of the inputs; the second half is for rebinding */
    ad_objective *f;           /* of the root and its params; NULL if it has none */
} world;

static struct {
    world w[2]; /* w[1] makes no programs */
    int n;      /* of Vars, the same in both */
    int leaves;
    ad_dtype dtype;
    uint64_t random;
    uint64_t seed;
} it;

static int below(int n) { return next_below(&it.random, n); }
static bool one_in(int n) { return below(n) == 0; }

/* ---- ops ------------------------------------------------------------------------------------------- */

static const ad_optype *elementwise[MOST_TYPES];
static double parameters[MOST_TYPES][3]; /* those of the op's first sample */
static int types;

static int note_parameters(const ad_sample_case *c, void *data) {
    if (c->attrs != NULL) memcpy(data, c->attrs, c->type->attr_size);
    return 1;
}

static int find_types(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    for (const ad_optype *const *t = ad_optypes(); *t != NULL; t++) {
        if ((*t)->flat == NULL) continue;
        ad_each_sample(g, *t, note_parameters, parameters[types]);
        elementwise[types++] = *t;
    }
    ad_graph_free(g);
    return types > 90 ? 0 : -1;
}

/* y = x; the gradient is g where x > 0, and nothing at all elsewhere. */
static int gate_evaluate(const ad_op *op) {
    memcpy(ad_values(op), ad_data(ad_op_operand(op, 0)), ad_bytes_of(ad_op_result(op)));
    return ad_item(ad_op_operand(op, 0)) == 7 ? ad_op_fail(op, AD_EVALUE, "7 is refused") : AD_OK;
}

static void gate_backward(const ad_op *op) {
    if (!(ad_item(ad_op_operand(op, 0)) > 0) || !ad_wants_grad(op, 0)) return;
    const ad_var *y = ad_op_result(op);
    void *dx = ad_grad_into(op, 0);
    ad_write_element(ad_dtype_of(y), dx, 0, ad_read_element(ad_dtype_of(y), dx, 0) + ad_grad_item(y));
}

static const ad_optype gate = { .name = "gate", .arity = 1, .evaluate = { gate_evaluate, gate_evaluate },
                                .backward = { gate_backward, gate_backward } };

/* y = x + u with a random u. */
static int noise_evaluate(const ad_op *op) {
    const ad_var *x = ad_op_operand(op, 0);
    uint32_t bits[4];
    ad_random_bits(ad_graph_of(x), 4, bits);
    ad_write_element(ad_dtype_of(x), ad_values(op), 0, ad_item(x) + bits[0] * 0x1p-32);
    return AD_OK;
}

static void noise_backward(const ad_op *op) {
    const ad_var *y = ad_op_result(op);
    void *dx = ad_grad_into(op, 0);
    if (dx == NULL) return;
    ad_write_element(ad_dtype_of(y), dx, 0, ad_read_element(ad_dtype_of(y), dx, 0) + ad_grad_item(y));
}

static const ad_optype noise = { .name = "noise", .arity = 1, .flags = AD_OP_RANDOM,
                                 .evaluate = { noise_evaluate, noise_evaluate },
                                 .backward = { noise_backward, noise_backward } };

static ad_var *inside(int n, ad_var *const xs[], void *user) {
    (void)n;
    ad_var *x = user ? ad_apply(&noise, 1, xs, NULL) : xs[0];
    return ad_mul(ad_tanh(x), xs[1]);
}

static void rule(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)user;
    ad_var *t;
    ad_gradient(ad_mul(xs[0], y), 1, xs, &t);
    dxs[0] = ad_mul(g, t);
}

/* ---- building ------------------------------------------------------------------------------------------ */

/* What is added to both graphs: an op, its operands, and a number. */
typedef struct {
    int kind, type, in[3];
    double k;
} recipe;

enum { ELEMENTWISE, VIEW, DETACH, STACK, ARRAY, GATE, NOISE, CHECKPOINT, CUSTOM, BRANCH, WITHOUT_GRAD, KINDS };

static ad_var *add_to(const world *w, const recipe *r) {
    ad_var *x[3] = { w->vars[r->in[0]], w->vars[r->in[1]], w->vars[r->in[2]] };
    const ad_optype *t = elementwise[r->type];
    switch (r->kind) {
    case VIEW: return ad_reshape(x[0], r->k > 0 ? AD_SCALAR : AD_SHAPE(1, 1));
    case DETACH: return ad_detach(x[0]);
    case STACK: return ad_select(ad_stack(3, (ad_var *[]){ x[0], x[1], ad_reshape(x[0], ad_shape_of(x[1])) }, 0), 0, 1);
    case ARRAY: return ad_sum(ad_square(ad_mul(w->vars[0], x[0]))); /* Var 0 is [3] */
    case GATE: return ad_apply(&gate, 1, x, NULL);
    case NOISE: return ad_apply(&noise, 1, x, NULL);
    case CHECKPOINT: return ad_checkpoint(inside, r->k > 0 ? w->g : NULL, 2, x); /* a random one, or a plain one */
    case CUSTOM: return ad_custom(ad_sin(x[0]), 1, x, rule, NULL);
    case BRANCH: return ad_branch(ad_gt(x[0], x[1])) ? ad_sub(x[0], x[1]) : ad_sub(x[1], x[0]);
    default: return ad_apply(t, t->arity, x, t->attr_size ? parameters[r->type] : NULL);
    }
}

static ad_var *with_mode(const world *w, const recipe *r) {
    bool was = ad_enable_grad(w->g, r->kind != WITHOUT_GRAD);
    ad_var *y = add_to(w, r);
    ad_enable_grad(w->g, was);
    return y;
}

/* An operand of one element, of moderate size if there is one. */
static int operand(bool recent) {
    int i = 0;
    for (int tries = 0; tries < 8; tries++) {
        int from = recent && it.n > 10 ? it.n - 10 : 1;
        i = from + below(it.n - from);
        double v = fabs(ad_item(it.w[0].vars[i]));
        if (v < 50 && v > 1e-3) break;
    }
    return i;
}

static int kind_of(bool mixed) {
    static const int often[] = { VIEW, DETACH, STACK, ARRAY, GATE, CUSTOM, WITHOUT_GRAD, ELEMENTWISE };
    if (!mixed || !one_in(6)) return one_in(50) ? WITHOUT_GRAD : ELEMENTWISE;
    return one_in(8) ? below(KINDS) : often[below((int)(sizeof often / sizeof *often))];
}

static void add_node(bool mixed) {
    recipe r = { .kind = kind_of(mixed), .type = below(types), .k = next_between(&it.random, -1, 1) };
    for (int i = 0; i < 3; i++) r.in[i] = operand(one_in(2));
    if (r.kind == BRANCH && it.n > 40) r.kind = ELEMENTWISE; /* else nearly every evaluation would fail */
    for (int i = 0; i < 2; i++) it.w[i].vars[it.n] = with_mode(&it.w[i], &r);
    it.n += !ad_is_nil(it.w[0].vars[it.n]);
    for (int i = 0; i < 2; i++) ad_clear_error(it.w[i].g);
}

static void add_leaves(void) {
    double v[MOST_LEAVES + WIDTH];
    for (int i = 0; i < MOST_LEAVES + WIDTH; i++) v[i] = next_between(&it.random, -2, 2);
    float narrow[WIDTH] = { (float)v[0], (float)v[1], (float)v[2] };
    int constants = below(3);
    for (int i = 0; i < 2; i++) {
        world *w = &it.w[i];
        ad_var **x = w->vars;
        for (int k = 0; k < 2 * INPUTS; k++)
            ad_write_element(it.dtype, &w->memory[k], 0, v[k]);
        *x++ = ad_param(w->g, it.dtype, it.dtype == AD_F64 ? (void *)v : (void *)narrow, AD_SHAPE(WIDTH));
        for (int k = 0; k < INPUTS; k++) *x++ = ad_input(w->g, it.dtype, &w->memory[k], AD_SCALAR);
        ad_require_grad(x[-1]);
        for (int k = INPUTS; k < it.leaves; k++)
            *x++ = k < INPUTS + constants ? ad_scalar(w->g, it.dtype, v[k]) : param_item(w->g, it.dtype, v[k]);
    }
    it.n = it.leaves + 1;
}

/* The root depends on most nodes, which are chained by sums. */
static void add_root(int step) {
    for (int i = 0; i < 2; i++) {
        ad_var *y = it.w[i].vars[it.n - 1];
        for (int k = it.n - 2; k > it.n / 2; k -= step) {
            ad_var *x = it.w[i].vars[k];
            if (!(fabs(ad_item(x)) < 1e3)) continue;
            x = ad_muls(x, 0.01);
            y = ad_add(y, ad_shape_of(x).ndim == ad_shape_of(y).ndim ? x : ad_reshape(x, ad_shape_of(y)));
        }
        it.w[i].root = it.w[i].vars[it.n] = y;
    }
    it.n++;
}

/* Its objective has some of the params. */
static void add_objectives(void) {
    int first = INPUTS + 1 + below(2), n = 0;
    for (int i = 0; i < 2; i++) {
        ad_var *xs[MOST_LEAVES];
        n = 0;
        for (int k = first; k <= it.leaves && ad_requires_grad(it.w[i].root); k++)
            if (ad_requires_grad(it.w[i].vars[k])) xs[n++] = it.w[i].vars[k];
        it.w[i].f = n > 0 ? ad_objective_new(it.w[i].root, n, xs) : NULL;
    }
}

static void build(int nodes, bool mixed) {
    it.leaves = INPUTS + 2 + below(5);
    add_leaves();
    while (it.n < nodes) add_node(mixed);
    add_root(3);
}


/* ---- graphs that repeat ------------------------------------------------------------------------------------ */

enum { MOST_BODY = 24 };

/* An operand of a body's node: a node of so many repetitions before, or a leaf at a fixed step, which may be 0. */
typedef struct {
    int node, before, leaf, step;
} reference;

static reference reference_from(int j) {
    reference r = { .node = -1, .leaf = below(it.leaves), .step = below(3) };
    int kind = below(8);
    if (kind < 4 && j > 0) r.node = below(j);
    else if (kind == 4) r.node = below(MOST_BODY), r.before = 1 + (one_in(3) ? below(10) : 0);
    return r;
}

static int resolve(const reference *r, int first, int body, int repetition) {
    int back = repetition - r->before;
    if (r->node >= 0 && r->node < body && back >= 0) return first + back * body + r->node;
    return 1 + (r->leaf + repetition * r->step) % it.leaves;
}

/* An op that has instructions with rows, as a rule. */
static int type_of_body(void) {
    for (int tries = 0; tries < 200; tries++) {
        int t = below(types);
        if (*((const ad__flat_code *)elementwise[t]->flat)->rows != NULL || one_in(40)) return t;
    }
    return 0;
}

static bool add_recipe(const recipe *r) {
    for (int i = 0; i < 2; i++) it.w[i].vars[it.n] = with_mode(&it.w[i], r);
    bool made = !ad_is_nil(it.w[0].vars[it.n]);
    it.n += made;
    for (int i = 0; i < 2; i++) ad_clear_error(it.w[i].g);
    return made;
}

/* mixed: now and then a node is not what it would be. */
static void repeat(int repetitions, bool mixed) {
    recipe nodes[MOST_BODY];
    reference from[MOST_BODY][3];
    int first = it.n, body = 1 + below(one_in(3) ? MOST_BODY : 6);
    for (int j = 0; j < body; j++) {
        nodes[j] = (recipe){ .kind = ELEMENTWISE, .type = type_of_body() };
        for (int k = 0; k < 3; k++) from[j][k] = reference_from(j);
    }
    for (int r = 0; r < repetitions; r++)
        for (int j = 0; j < body; j++) {
            recipe n = nodes[j];
            for (int k = 0; k < 3; k++) n.in[k] = resolve(&from[j][k], first, body, r);
            if (mixed && one_in(100)) n.type = below(types);
            if (mixed && one_in(150)) n.kind = one_in(2) ? GATE : VIEW;
            if (!add_recipe(&n)) return;
        }
}

static void build_repeating(int nodes, bool mixed) {
    it.leaves = INPUTS + 2 + below(MOST_LEAVES - INPUTS - 2);
    add_leaves();
    while (it.n < nodes) repeat(2 + below(one_in(4) ? 200 : 30), mixed);
    add_root(1);
}

/* ---- comparing --------------------------------------------------------------------------------------------- */

static bool same_bits(double a, double b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

static void same(double a, double b, int i, const char *what) {
    if (same_bits(a, b)) return;
    print_error("seed %llu, Var %d (%s): %s is %.17g with programs and %.17g without\n", (unsigned long long)it.seed, i,
                it.w[0].vars[i]->creator ? it.w[0].vars[i]->creator->type->name : "leaf", what, a, b);
    fail();
}

static void compare_stamps(void) {
    for (int i = 0; i < 2; i++) ad__flat_settle(it.w[i].g);
    for (int i = 0; i < it.n; i++)
        same((double)ad__stamp(it.w[0].vars[i]), (double)ad__stamp(it.w[1].vars[i]), i, "the stamp");
}

static void compare(void) {
    bool grads = !one_in(4); /* reading them changes what programs put off */
    for (int i = 0; i < it.n; i++) {
        const ad_var *a = it.w[0].vars[i], *b = it.w[1].vars[i];
        for (int64_t k = 0; k < ad_numel(a); k++) {
            same(ad_at(a, k), ad_at(b, k), i, "the value");
            if (grads) same(ad_grad_at(a, k), ad_grad_at(b, k), i, "the gradient");
        }
        if (grads) same(ad_has_grad(a), ad_has_grad(b), i, "whether it has a gradient");
    }
    if (one_in(4)) compare_stamps();
    assert_true(it.w[0].g->clock == it.w[1].g->clock);
}

static void same_code(int a, int b) {
    assert_int_equal(a, b);
    assert_string_equal(ad_error(it.w[0].g), ad_error(it.w[1].g));
    for (int i = 0; i < 2; i++) ad_clear_error(it.w[i].g);
}

/* ---- what is done -------------------------------------------------------------------------------------------- */

#define IN_BOTH(call)                                                                                                  \
    do {                                                                                                               \
        int rc[2];                                                                                                     \
        for (int i = 0; i < 2; i++) {                                                                                  \
            world *w = &it.w[i];                                                                                       \
            rc[i] = (call);                                                                                            \
        }                                                                                                              \
        same_code(rc[0], rc[1]);                                                                                       \
    } while (0)

static void set_leaf(void) {
    int x = INPUTS + 1 + below(it.leaves - INPUTS);
    double v = one_in(50) ? 7 : next_between(&it.random, -2, 2);
    IN_BOTH(set_item(w->vars[x], v));
}

static void write_input(void) {
    int x = below(INPUTS);
    double v = next_between(&it.random, -2, 2);
    IN_BOTH((ad_write_element(it.dtype, (void *)ad_data(w->vars[1 + x]), 0, v), ad_data_mut(w->vars[1 + x]) == NULL));
}

static void rebind_input(void) {
    int x = below(INPUTS), to = below(2 * INPUTS);
    IN_BOTH(ad_rebind(w->vars[1 + x], &w->memory[to]));
}

static int eval_and_backward(ad_var *y, int passes) {
    int rc = ad_eval(y);
    for (int i = 0; i < passes && rc == AD_OK && ad_requires_grad(y); i++) rc = ad_backward(y);
    return rc;
}

static void evaluate_root(void) {
    int times = 1 + below(3), passes = below(3);
    bool zero = one_in(3);
    for (int k = 0; k < times; k++) {
        if (k > 0 && one_in(2)) set_leaf();
        IN_BOTH(eval_and_backward(w->root, passes));
        if (zero) IN_BOTH((ad_zero_grad(w->root), AD_OK));
    }
}

static void evaluate_another(void) {
    int x = below(it.n), times = 1 + below(3);
    for (int k = 0; k < times && ad_numel(it.w[0].vars[x]) == 1; k++) IN_BOTH(eval_and_backward(w->vars[x], k));
}

static void backward_only(void) {
    int x = one_in(2) ? it.n - 1 : below(it.n);
    if (ad_numel(it.w[0].vars[x]) == 1) IN_BOTH(ad_backward(w->vars[x]));
}

static void backward_from_seed(void) {
    double v = next_between(&it.random, -2, 2);
    IN_BOTH(ad_backward_from(w->root, ad_full(w->g, it.dtype, v, ad_shape_of(w->root))));
}

static void zero_gradients(void) {
    int x = one_in(2) ? it.n - 1 : below(it.n);
    IN_BOTH((ad_zero_grad(w->vars[x]), AD_OK));
}

/* Pointers that the caller keeps show the numbers after later passes too. */
static void look_by_pointer(void) {
    int x = below(it.n);
    const void *data[2], *grad[2];
    for (int i = 0; i < 2; i++) data[i] = ad_data(it.w[i].vars[x]), grad[i] = ad_grad(it.w[i].vars[x]);
    for (int k = below(3); k >= 0; k--) evaluate_root();
    same(ad_read_element(it.dtype, data[0], 0), ad_read_element(it.dtype, data[1], 0), x, "the value by pointer");
    bool has = grad[0] != NULL && ad_has_grad(it.w[0].vars[x]);
    if (has) same(ad_read_element(it.dtype, grad[0], 0), ad_read_element(it.dtype, grad[1], 0), x, "the gradient");
}

/* New ops on old results, in a scope that closes. */
static double record_more(world *w, int a, int b, bool evaluate) {
    ad_mark m = ad_begin(w->g);
    ad_var *y = ad_mul(ad_sin(w->vars[a]), ad_cos(ad_reshape(w->vars[b], ad_shape_of(w->vars[a]))));
    for (int k = 0; k < 6; k++) y = ad_add(y, w->vars[a]);
    for (int k = 0; k < 3 && evaluate; k++) eval_and_backward(y, 1);
    if (!evaluate && ad_requires_grad(y)) ad_backward(y);
    double v = ad_item(y);
    ad_end(w->g, m);
    return v;
}

static void record_in_scope(void) {
    int a = operand(false), b = operand(false);
    bool evaluate = one_in(2);
    double v[2];
    for (int i = 0; i < 2; i++) v[i] = record_more(&it.w[i], a, b, evaluate);
    same(v[0], v[1], a, "what was made from it");
    IN_BOTH(AD_OK + (w == NULL));
}

static void change_requirement(void) {
    int x = INPUTS + 1 + below(it.leaves - INPUTS);
    bool on = !ad_requires_grad(it.w[0].vars[x]);
    IN_BOTH(ad_set_requires_grad(w->vars[x], on));
}

static void extend(void) {
    if (it.n + 1 < MOST_VARS) add_node(true);
}

/* What objectives do: see ad_value_and_gradient. */
static void call_objective(void) {
    int64_t n = ad_objective_size(it.w[0].f);
    double x[MOST_LEAVES], grad[2][MOST_LEAVES], value[2];
    if (n == 0) return;
    for (int times = 1 + below(3); times > 0; times--) {
        for (int64_t i = 0; i < n; i++) x[i] = next_between(&it.random, -2, 2);
        bool with = !one_in(4);
        for (int i = 0; i < 2; i++) value[i] = ad_value_and_gradient(x, with ? grad[i] : NULL, it.w[i].f);
        IN_BOTH(AD_OK + (w == NULL));
        same(value[0], value[1], it.n - 1, "the objective");
        for (int64_t i = 0; i < n && with && !isnan(value[0]); i++)
            same(grad[0][i], grad[1][i], (int)i, "the objective's gradient");
    }
}

static void act(void) {
    static void (*const acts[])(void) = {
        set_leaf, set_leaf, set_leaf, write_input, rebind_input, evaluate_root, evaluate_root, evaluate_root,
        evaluate_root, evaluate_another, backward_only, backward_only, backward_from_seed, zero_gradients,
        record_in_scope, look_by_pointer, change_requirement, extend, call_objective, call_objective,
    };
    acts[below((int)(sizeof acts / sizeof *acts))]();
}

static int packed; /* programs that are shorter than their Ops are many */

static void count_packed(void) {
    const ad__flat *p = it.w[0].g->flat;
    packed += p != NULL && p->slopes != NULL && p->slopes_size < p->n_ops * sizeof(ad__instr) * 2 / 3;
}

typedef void build_fn(int nodes, bool mixed);

static void one_graph(uint64_t seed, build_fn *build_with, int nodes, bool mixed, int acts) {
    it.seed = it.random = seed;
    it.dtype = one_in(3) ? AD_F32 : AD_F64;
    bool keep = !one_in(4);
    for (int i = 0; i < 2; i++) {
        it.w[i].g = ad_graph_new();
        ad_keep_grads(it.w[i].g, keep);
        ad__flat_enable(it.w[i].g, i == 0);
    }
    build_with(nodes, mixed);
    add_objectives();
    for (int k = 0; k < acts; k++) {
        act();
        compare();
        count_packed();
    }
    assert_null(it.w[1].g->flat);
    for (int i = 0; i < 2; i++) ad_graph_free(it.w[i].g);
}

static void scalar_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= (test_quick() ? 10 : 400); seed++)
        one_graph(seed, build, 12 + (int)(seed % 90), false, 30);
}

static void mixed_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 1000; seed <= (test_quick() ? 1010 : 1800); seed++)
        one_graph(seed, build, 12 + (int)(seed % 60), true, 30);
}

/* Code of more than one stretch between instructions that return. */
static void large_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 3000; seed <= (test_quick() ? 3001 : 3008); seed++)
        one_graph(seed, build, seed % 2 ? 10000 : 1500, seed % 4 > 1, 12);
}

static void repeating_graphs(void **state) {
    (void)state;
    packed = 0;
    for (uint64_t seed = 5000; seed < (test_quick() ? 5010 : 5400); seed++)
        one_graph(seed, build_repeating, 60 + (int)(seed % 7) * 60, seed % 3 == 0, 20);
    assert_true(packed > (test_quick() ? 20 : 800));
}

/* ---- single cases ------------------------------------------------------------------------------------------- */

/* sin(x) y + x, a hundred times */
static ad_var *chain(ad_var *x, ad_var *y) {
    for (int i = 0; i < 100; i++) x = ad_add(ad_mul(ad_sin(x), y), x);
    return x;
}

static void programs_are_made_at_the_second_evaluation(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    ad_var *x = param_item(g, AD_F64, 0.5), *y = chain(x, ad_scalar(g, AD_F64, 0.01));
    assert_int_equal(ad_eval(y), AD_OK);
    assert_null(g->flat);
    assert_int_equal(ad_eval(y), AD_OK);
    assert_non_null(g->flat);
    assert_null(g->flat->slopes);
    assert_int_equal(ad_backward(y), AD_OK);
    assert_non_null(g->flat->slopes);
    assert_int_equal(ad_eval(ad_muls(y, 2)), AD_OK);
    assert_null(g->flat);
    ad_graph_free(g);
}

/* Without memory for a program, the plan is interpreted. */
static void short_memory_is_no_error(void **state) {
    (void)state;
    double grads[2];
    for (int i = 0; i < 2; i++) {
        test_memory m = { .fail_at = -1 };
        ad_graph *g = test_graph(&m);
        ad_var *x = param_item(g, AD_F64, 0.5), *y = chain(x, ad_scalar(g, AD_F64, 0.01));
        assert_int_equal(ad_eval(y), AD_OK);
        if (i == 1) m.fail_at = m.calls, m.fail_on = true;
        for (int k = 0; k < 9; k++) assert_int_equal(ad_eval(y), AD_OK);
        assert_true((g->flat == NULL) == (i == 1));
        assert_int_equal(ad_backward(y), AD_OK);
        grads[i] = ad_grad_item(x);
        ad_graph_free(g);
        assert_all_released(&m);
    }
    assert_true(grads[0] == grads[1]);
}

/* A rule that runs within a pass of a program evaluates another root and takes the address of a result. */
typedef struct {
    ad_var *other, *result;
    const double *at;
} meddler;

static void meddling_rule(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    (void)n, (void)xs, (void)y;
    meddler *m = user;
    ad_eval(m->other);
    m->at = ad_data(m->result);
    dxs[0] = ad_muls(g, 2);
}

static void rules_may_end_the_program(void **state) {
    (void)state;
    ad_graph *g = ad_graph_new();
    meddler m = { 0 };
    ad_var *x = param_item(g, AD_F64, 0.5), *first = chain(x, ad_scalar(g, AD_F64, 0.01));
    m.result = first->creator->in[0];
    m.other = chain(param_item(g, AD_F64, 0.25), ad_scalar(g, AD_F64, 0.01));
    ad_var *y = chain(ad_custom(ad_sin(first), 1, &first, meddling_rule, &m), ad_scalar(g, AD_F64, 0.01));
    double wanted = 0;
    for (int k = 0; k < 8; k++) {
        set_item(x, k == 7 ? 0.7 : 0.5);
        assert_int_equal(ad_eval(y), AD_OK);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        if (k == 0) wanted = ad_grad_item(x);
        assert_true((ad_grad_item(x) == wanted) == (k < 7));
        assert_true(m.at != NULL && *m.at == ad_item(m.result));
    }
    ad_graph_free(g);
}

/* The slopes of like ops are rows. Each row's operand is a result whose own row comes later: of the first row it is the
   next one's, of the others it is not. */
static void operands_that_are_results_of_other_rows(void **state) {
    (void)state;
    enum { ROWS = 24, ALL = 2 * ROWS };
    const double k = 0.5;
    ad_graph *g = ad_graph_new();
    ad_var *x[ROWS], *v[ALL], *y = ad_scalar(g, AD_F64, 0), *factor = ad_scalar(g, AD_F64, k);
    double slope[ALL];
    for (int i = 0; i < ROWS; i++) x[i] = param_item(g, AD_F64, 1 + i);
    for (int i = 0; i < ROWS; i++) v[i] = ad_neg(x[i]);
    for (int i = ROWS; i < ALL; i++) v[i] = ad_mul(v[2 * i - ALL], factor);
    for (int i = ROWS; i < ALL; i++) y = ad_add(y, ad_muls(v[i], i));
    for (int i = 0; i < ALL; i++) slope[i] = i < ROWS ? 0 : i;
    for (int i = ALL - 1; i >= ROWS; i--) slope[2 * i - ALL] += slope[i] * k;
    for (int pass = 0; pass < 4; pass++) {
        assert_int_equal(ad_eval(y), AD_OK);
        ad_zero_grad(y);
        assert_int_equal(ad_backward(y), AD_OK);
        for (int i = 0; i < ROWS; i++) assert_true(ad_grad_item(x[i]) == -slope[i]);
    }
    ad_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalar_graphs),
        cmocka_unit_test(mixed_graphs),
        cmocka_unit_test(large_graphs),
        cmocka_unit_test(repeating_graphs),
        cmocka_unit_test(programs_are_made_at_the_second_evaluation),
        cmocka_unit_test(short_memory_is_no_error),
        cmocka_unit_test(rules_may_end_the_program),
        cmocka_unit_test(operands_that_are_results_of_other_rows),
    };
    return cmocka_run_group_tests_name("flat", tests, find_types, NULL);
}
