/* scalar.c: graphs of scalar f64 nodes, and a hand-written tape. */
#include "autodiff/extend.h"
#include "autodiff/graph/flat.h"
#include "bench/common.h"
#include "ops/compile.h"

#include <math.h>
#include <stdlib.h>

/* ---- the floor: a tape of partial derivatives, written by hand ---------------------------------------------- */

typedef struct {
    double d[2];    /* the partial derivatives of this node with respect to its operands */
    uint32_t in[2]; /* the indices of the operands; entry 0 stands for a missing operand */
} entry;

typedef struct {
    entry *tape;
    double *value, *adjoint;
    uint32_t n;
} tape;

static tape tape_new(size_t n) {
    return (tape){ bench_array((n + 8) * sizeof(entry)), bench_array((n + 8) * sizeof(double)),
                   bench_array((n + 8) * sizeof(double)), 1 };
}

static void tape_free(tape *t) {
    free(t->tape);
    free(t->value);
    free(t->adjoint);
}

static inline uint32_t push(tape *t, double value, double da, uint32_t a, double db, uint32_t b) {
    uint32_t i = t->n++;
    t->value[i] = value;
    t->adjoint[i] = 0;
    t->tape[i] = (entry){ { da, db }, { a, b } };
    return i;
}

static inline uint32_t t_leaf(tape *t, double v) { return push(t, v, 0, 0, 0, 0); }
static inline uint32_t t_add(tape *t, uint32_t a, uint32_t b) { return push(t, t->value[a] + t->value[b], 1, a, 1, b); }
static inline uint32_t t_sub(tape *t, uint32_t a, uint32_t b) {
    return push(t, t->value[a] - t->value[b], 1, a, -1, b);
}
static inline uint32_t t_mul(tape *t, uint32_t a, uint32_t b) {
    return push(t, t->value[a] * t->value[b], t->value[b], a, t->value[a], b);
}
static inline uint32_t t_sin(tape *t, uint32_t a) { return push(t, sin(t->value[a]), cos(t->value[a]), a, 0, 0); }
static inline uint32_t t_scale(tape *t, uint32_t a, double k) { return push(t, t->value[a] * k, k, a, 0, 0); }
static inline uint32_t t_offset(tape *t, uint32_t a, double k) { return push(t, t->value[a] + k, 1, a, 0, 0); }

static void t_backward(tape *t) {
    t->adjoint[t->n - 1] = 1;
    for (uint32_t i = t->n; i-- > 1;) {
        double g = t->adjoint[i];
        t->adjoint[t->tape[i].in[0]] += g * t->tape[i].d[0];
        t->adjoint[t->tape[i].in[1]] += g * t->tape[i].d[1];
    }
}

/* ---- scalar-chain: x <- sin(x) y + x --------------------------------------------------------------------------- */

enum { STEPS = 333333, NODES = 3 * STEPS };
static const double chain_x = 0.5, chain_y = 1e-6; /* the values stay moderate over the whole chain */

typedef struct {
    ad_graph *g;
    ad_var *x, *y, *built; /* built: a chain that is recorded once, for ad_eval */
    tape t;
} chain;

static ad_var *chain_of(const chain *c) {
    ad_var *x = c->x;
    for (int i = 0; i < STEPS; i++) x = ad_add(ad_mul(ad_sin(x), c->y), x);
    return x;
}

static void *chain_setup(void) {
    chain *c = bench_array(sizeof *c);
    *c = (chain){ .g = ad_graph_new(), .t = tape_new(NODES) };
    c->x = ad_param(c->g, AD_F64, &chain_x, AD_SCALAR);
    c->y = ad_param(c->g, AD_F64, &chain_y, AD_SCALAR);
    return c;
}

static void *chain_setup_built(void) {
    chain *c = chain_setup();
    c->built = chain_of(c);
    return c;
}

static void chain_teardown(void *state) {
    chain *c = state;
    bench_check(c->g);
    ad_graph_free(c->g);
    tape_free(&c->t);
    free(c);
}

static void chain_record(void *state) {
    chain *c = state;
    ad_mark m = ad_begin(c->g);
    chain_of(c);
    ad_end(c->g, m);
}

static void chain_both(void *state) {
    chain *c = state;
    ad_mark m = ad_begin(c->g);
    ad_backward(chain_of(c));
    ad_end(c->g, m);
}

/* to: y, and the sum of its derivatives with respect to x and y. */
static void chain_result(void *state, double to[2]) {
    chain *c = state;
    ad_mark m = ad_begin(c->g);
    ad_var *y = chain_of(c);
    ad_zero_grad(y);
    ad_backward(y);
    to[0] = ad_item(y), to[1] = ad_grad_item(c->x) + ad_grad_item(c->y);
    ad_end(c->g, m);
}

static void chain_eval(void *state) { ad_eval(((chain *)state)->built); }

static void tape_record(void *state) {
    tape *t = &((chain *)state)->t;
    t->n = 1;
    uint32_t x = t_leaf(t, chain_x), y = t_leaf(t, chain_y);
    for (int i = 0; i < STEPS; i++) x = t_add(t, t_mul(t, t_sin(t, x), y), x);
}

static void tape_both(void *state) {
    tape_record(state);
    t_backward(&((chain *)state)->t);
}

/* ---- scalar-chain-compiled: the same by ad_compile_gradient, beside loops written by hand ------------------------ */

typedef struct {
    chain c; /* comes first: chain_teardown takes it too */
    ad_program *program;
    double *value, at[2], grad[2], y; /* value: x at each step, for the loops */
} compiled_chain;

static void *compiled_chain_setup(void) {
    compiled_chain *k = bench_array(sizeof *k);
    chain *c = chain_setup();
    k->c = *c;
    free(c);
    ad_var *xs[] = { k->c.x, k->c.y };
    k->program = ad_compile_gradient(chain_of(&k->c), 2, xs, (ad_compile_opts){ .no_cache = true });
    k->at[0] = chain_x, k->at[1] = chain_y;
    k->value = ad_scope_array(k->c.g, STEPS * sizeof(double));
    return k;
}

static void compiled_chain_run(void *state) {
    compiled_chain *k = state;
    k->y = ad_run_flat(k->at, k->grad, k->program);
}

static void chain_loops(void *state) {
    compiled_chain *k = state;
    double x = k->at[0], y = k->at[1], gx = 1, gy = 0;
    for (int i = 0; i < STEPS; i++) k->value[i] = x, x = sin(x) * y + x;
    for (int i = STEPS; i-- > 0;) {
        gy += gx * sin(k->value[i]);
        gx += gx * y * cos(k->value[i]);
    }
    k->y = x, k->grad[0] = gx, k->grad[1] = gy;
}

/* ---- rosenbrock: sum 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 over 1000 scalar variables ------------------------- */

enum { VARIABLES = 1000 };

typedef struct {
    ad_graph *g;
    ad_var *x[VARIABLES];
    tape t;
    double at[VARIABLES], grad[VARIABLES], value;
    ad_objective *f; /* of a graph that is recorded once */
} rosenbrock;

static void *rosenbrock_setup(void) {
    rosenbrock *r = bench_array(sizeof *r);
    r->g = ad_graph_new();
    r->t = tape_new(12 * VARIABLES);
    for (int i = 0; i < VARIABLES; i++) {
        r->at[i] = 1 + 0.1 * sin(i);
        r->x[i] = ad_param(r->g, AD_F64, &r->at[i], AD_SCALAR);
    }
    return r;
}

static void rosenbrock_teardown(void *state) {
    rosenbrock *r = state;
    bench_check(r->g);
    ad_graph_free(r->g);
    tape_free(&r->t);
    free(r);
}

static ad_var *rosenbrock_of(const rosenbrock *r) {
    ad_var *sum = NULL;
    for (int i = 0; i + 1 < VARIABLES; i++) {
        ad_var *curve = ad_square(ad_sub(r->x[i + 1], ad_square(r->x[i])));
        ad_var *term = ad_add(ad_muls(curve, 100), ad_square(ad_adds(r->x[i], -1)));
        sum = sum ? ad_add(sum, term) : term;
    }
    return sum;
}

static void rosenbrock_ours(void *state) {
    rosenbrock *r = state;
    ad_mark m = ad_begin(r->g);
    ad_backward(rosenbrock_of(r));
    ad_end(r->g, m);
}

/* to: the value, and the squared norm of its gradient. */
static void rosenbrock_result(void *state, double to[2]) {
    rosenbrock *r = state;
    ad_var *y = rosenbrock_of(r);
    ad_backward(y);
    to[0] = ad_item(y), to[1] = 0;
    for (int i = 0; i < VARIABLES; i++) to[1] += ad_grad_item(r->x[i]) * ad_grad_item(r->x[i]);
}

static void rosenbrock_floor(void *state) {
    rosenbrock *r = state;
    tape *t = &r->t;
    t->n = 1;
    for (int i = 0; i < VARIABLES; i++) t_leaf(t, r->at[i]);
    uint32_t sum = 0;
    for (uint32_t i = 1; i < VARIABLES; i++) {
        uint32_t a = t_sub(t, i + 1, t_mul(t, i, i)), b = t_offset(t, i, -1);
        uint32_t term = t_add(t, t_scale(t, t_mul(t, a, a), 100), t_mul(t, b, b));
        sum = sum ? t_add(t, sum, term) : term;
    }
    t_backward(t);
}

/* ---- rosenbrock-flat and rosenbrock-interpreted: the same, recorded once, beside loops written by hand ----------- */

static void *recorded_setup(bool flat) {
    rosenbrock *r = rosenbrock_setup();
    ad__flat_enable(r->g, flat);
    r->f = ad_objective_new(rosenbrock_of(r), VARIABLES, r->x);
    return r;
}
static void *flat_setup(void) { return recorded_setup(true); }
static void *interpreted_setup(void) { return recorded_setup(false); }

static void rosenbrock_again(void *state) {
    rosenbrock *r = state;
    r->value = ad_value_and_gradient(r->at, r->grad, r->f);
}

static void rosenbrock_loops(void *state) {
    rosenbrock *r = state;
    const double *x = r->at;
    r->value = 0;
    r->grad[0] = 0;
    for (int i = 0; i + 1 < VARIABLES; i++) {
        double a = x[i + 1] - x[i] * x[i], b = x[i] - 1;
        r->value += 100 * a * a + b * b;
        r->grad[i] += -400 * a * x[i] + 2 * b;
        r->grad[i + 1] = 200 * a;
    }
}

/* ---- rosenbrock-compiled: the same by ad_compile_gradient -------------------------------------------------------- */

typedef struct {
    rosenbrock r; /* comes first: the functions above take it too */
    ad_program *program;
} compiled;

static void *compiled_setup(void) {
    compiled *c = bench_array(sizeof *c);
    rosenbrock *r = rosenbrock_setup();
    c->r = *r;
    free(r);
    c->program = ad_compile_gradient(rosenbrock_of(&c->r), VARIABLES, c->r.x, (ad_compile_opts){ .no_cache = true });
    return c;
}

static void rosenbrock_run(void *state) {
    compiled *c = state;
    c->r.value = ad_run_flat(c->r.at, c->r.grad, c->program);
}

/* ---- add-1x1: the sum of two one-element arrays, and its gradient ---------------------------------------------- */

enum { ADDS = 100 };

static void add_ours(void *state) {
    chain *c = state;
    ad_mark m = ad_begin(c->g);
    for (int i = 0; i < ADDS; i++) ad_backward(ad_add(c->x, c->y));
    ad_end(c->g, m);
}

static void add_result(void *state, double to[2]) {
    chain *c = state;
    ad_var *y = ad_add(c->x, c->y);
    ad_backward(y);
    to[0] = ad_item(y), to[1] = ad_grad_item(c->x) + 2 * ad_grad_item(c->y);
}

static void add_floor(void *state) {
    tape *t = &((chain *)state)->t;
    for (int i = 0; i < ADDS; i++) {
        t->n = 1;
        t_add(t, t_leaf(t, chain_x), t_leaf(t, chain_y));
        t_backward(t);
    }
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "scalar-chain", "ns", NODES, 0, chain_setup, chain_both, tape_both, chain_teardown, chain_result },
        { "scalar-record", "ns", NODES, 0, chain_setup, chain_record, tape_record, chain_teardown, NULL },
        { "scalar-eval", "ns", NODES, 0, chain_setup_built, chain_eval, tape_record, chain_teardown, NULL },
        { "scalar-chain-compiled", "ns", NODES, 0, compiled_chain_setup, compiled_chain_run, chain_loops,
          chain_teardown, NULL },
        { "rosenbrock", "us", 1, 0, rosenbrock_setup, rosenbrock_ours, rosenbrock_floor, rosenbrock_teardown,
          rosenbrock_result },
        { "rosenbrock-flat", "us", 1, 0, flat_setup, rosenbrock_again, rosenbrock_loops, rosenbrock_teardown, NULL },
        { "rosenbrock-interpreted", "us", 1, 0, interpreted_setup, rosenbrock_again, rosenbrock_loops,
          rosenbrock_teardown, NULL },
        { "rosenbrock-compiled", "us", 1, 0, compiled_setup, rosenbrock_run, rosenbrock_loops, rosenbrock_teardown,
          NULL },
        { "add-1x1", "ns", ADDS, 0, chain_setup, add_ours, add_floor, chain_teardown, add_result },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
