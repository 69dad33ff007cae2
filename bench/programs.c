/* programs.c: compiled programs beside the same derivatives written by hand, and the time of compiling. */
#include "bench/common.h"
#include "ops/compile.h"
#include "ops/kernels/base/simd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ad_compile_opts fresh = { .no_cache = true };

/* ---- heat: 500 steps of u[i] += 0.1 (u[i-1] - 2 u[i] + u[i+1]) on 100 points with fixed ends; y = sum u^2 --------*/

enum { POINTS = 100, STEPS = 500, LAST = POINTS - 1 };
static const double RATE = 0.1;

typedef struct {
    ad_graph *g;
    ad_program *program;
    double at[POINTS], grad[POINTS], y;
} heat;

static ad_var *heat_of(ad_var *u) {
    for (int t = 0; t < STEPS; t++) {
        ad_var *middle = ad_slice(u, 0, 1, LAST, 1), *left = ad_slice(u, 0, 0, LAST - 1, 1);
        ad_var *bend = ad_add(ad_sub(left, ad_muls(middle, 2)), ad_slice(u, 0, 2, POINTS, 1));
        u = ad_slice_scatter(u, ad_add(middle, ad_muls(bend, RATE)), 0, 1, LAST, 1);
    }
    return ad_sum(ad_square(u));
}

static void *heat_setup(void) {
    heat *h = bench_array(sizeof *h);
    h->g = ad_graph_new();
    for (int i = 0; i < POINTS; i++) h->at[i] = sin(0.37 * i) + 0.01 * i;
    ad_var *u = ad_param(h->g, AD_F64, h->at, AD_SHAPE(POINTS));
    h->program = ad_compile_gradient(heat_of(u), 1, &u, fresh);
    return h;
}

static void heat_teardown(void *state) {
    heat *h = state;
    bench_check(h->g);
    ad_graph_free(h->g);
    free(h);
}

static void heat_run(void *state) {
    heat *h = state;
    h->y = ad_run_flat(h->at, h->grad, h->program);
}

AD__INLINED void heat_step(const double *restrict u, double *restrict next) {
    next[0] = u[0], next[LAST] = u[LAST];
    for (int i = 1; i < LAST; i++) next[i] = u[i] + RATE * (u[i - 1] - 2 * u[i] + u[i + 1]);
}

/* The transpose of a step: the ends keep what they had and get what their neighbours pass on. */
AD__INLINED void heat_back(const double *restrict g, double *restrict to) {
    to[0] = g[0] + RATE * g[1], to[LAST] = g[LAST] + RATE * g[LAST - 1];
    to[1] = (1 - 2 * RATE) * g[1] + RATE * g[2], to[LAST - 1] = (1 - 2 * RATE) * g[LAST - 1] + RATE * g[LAST - 2];
    for (int i = 2; i < LAST - 1; i++) to[i] = (1 - 2 * RATE) * g[i] + RATE * (g[i - 1] + g[i + 1]);
}

/* u: two arrays in turn, of which the first is left as it ends. */
AD__CLONES static double heat_forward(double (*u)[POINTS]) {
    double y = 0;
    for (int t = 0; t < STEPS; t++) heat_step(u[t % 2], u[1 - t % 2]);
    for (int i = 0; i < POINTS; i++) y += u[0][i] * u[0][i];
    return y;
}

AD__CLONES static void heat_backward(double (*g)[POINTS]) {
    for (int t = 0; t < STEPS; t++) heat_back(g[t % 2], g[1 - t % 2]);
}

static void heat_value(void *state) {
    heat *h = state;
    double u[2][POINTS];
    memcpy(u[0], h->at, sizeof h->at);
    h->y = heat_forward(u);
}

static void heat_by_hand(void *state) {
    heat *h = state;
    double u[2][POINTS];
    memcpy(u[0], h->at, sizeof h->at);
    h->y = heat_forward(u);
    for (int i = 0; i < POINTS; i++) u[0][i] *= 2;
    heat_backward(u);
    memcpy(h->grad, u[0], sizeof h->grad);
}

/* ---- second derivatives of Rosenbrock's function of 100 variables in an array -----------------------------------*/

enum { SIDE = 100 };

typedef struct {
    ad_graph *g;
    ad_program *program;
    double x[SIDE], v[SIDE], hv[SIDE], h[SIDE * SIDE];
} second;

static ad_var *rosenbrock_of(ad_var *x) {
    ad_var *a = ad_slice(x, 0, 0, SIDE - 1, 1), *b = ad_slice(x, 0, 1, SIDE, 1);
    ad_var *curve = ad_square(ad_sub(b, ad_square(a)));
    return ad_sum(ad_add(ad_muls(curve, 100), ad_square(ad_adds(a, -1))));
}

static second *second_new(void) {
    second *s = bench_array(sizeof *s);
    s->g = ad_graph_new();
    for (int i = 0; i < SIDE; i++) s->x[i] = 1 + 0.1 * sin(i), s->v[i] = cos(i);
    return s;
}

static void second_teardown(void *state) {
    second *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    free(s);
}

static void *hvp_setup(void) {
    second *s = second_new();
    ad_var *x = ad_param(s->g, AD_F64, s->x, AD_SHAPE(SIDE)), *v = ad_tensor(s->g, AD_F64, s->v, AD_SHAPE(SIDE)), *hv;
    ad_hvp(rosenbrock_of(x), 1, &x, &v, &hv);
    s->program = ad_compile(1, &hv, 2, (ad_var *[]){ x, v }, fresh);
    return s;
}

static void hvp_run(void *state) {
    second *s = state;
    ad_run(s->program, (const void *[]){ s->x, s->v }, (void *[]){ s->hv }, NULL);
}

/* The Hessian has three diagonals. */
AD__CLONES static void hvp_loop(const double *restrict x, const double *restrict v, double *restrict hv) {
    for (int i = 0; i < SIDE; i++) hv[i] = 0;
    for (int i = 0; i + 1 < SIDE; i++) hv[i] = (1200 * x[i] * x[i] - 400 * x[i + 1] + 2) * v[i] - 400 * x[i] * v[i + 1];
    for (int i = 1; i < SIDE; i++) hv[i] += 200 * v[i] - 400 * x[i - 1] * v[i - 1];
}

static void hvp_by_hand(void *state) {
    second *s = state;
    hvp_loop(s->x, s->v, s->hv);
}

static void *hessian_setup(void) {
    second *s = second_new();
    ad_var *x = ad_param(s->g, AD_F64, s->x, AD_SHAPE(SIDE)), *h = ad_hessian(rosenbrock_of(x), x);
    s->program = ad_compile(1, &h, 1, &x, fresh);
    return s;
}

static void hessian_run(void *state) {
    second *s = state;
    ad_run(s->program, (const void *[]){ s->x }, (void *[]){ s->h }, NULL);
}

static void hessian_by_hand(void *state) {
    second *s = state;
    memset(s->h, 0, sizeof s->h);
    for (int i = 0; i < SIDE; i++) {
        double *row = s->h + i * SIDE;
        if (i + 1 < SIDE) row[i] = 1200 * s->x[i] * s->x[i] - 400 * s->x[i + 1] + 2, row[i + 1] = -400 * s->x[i];
        if (i > 0) row[i] += 200, row[i - 1] = -400 * s->x[i - 1];
    }
}

/* ---- compile-1e3, -1e4, -1e5: Rosenbrock's function of so many scalars, from the recorded graph to the program ---*/

enum { FEW = 1000, MOST = 100000 };

typedef struct {
    ad_graph *g;
    int n;
    ad_var **x, *y, *few; /* few: of the first thousand variables */
} scalars;

static ad_var *rosenbrock_sum(int n, ad_var *const x[]) {
    ad_var *sum = NULL;
    for (int i = 0; i + 1 < n; i++) {
        ad_var *curve = ad_square(ad_sub(x[i + 1], ad_square(x[i])));
        ad_var *term = ad_add(ad_muls(curve, 100), ad_square(ad_adds(x[i], -1)));
        sum = sum ? ad_add(sum, term) : term;
    }
    return sum;
}

static void *scalars_setup(int n) {
    scalars *s = bench_array(sizeof *s);
    s->g = ad_graph_new(), s->n = n, s->x = bench_array((size_t)n * sizeof *s->x);
    for (int i = 0; i < n; i++) s->x[i] = ad_param(s->g, AD_F64, &(double){ 1 + 0.1 * sin(i) }, AD_SCALAR);
    s->y = rosenbrock_sum(n, s->x), s->few = rosenbrock_sum(FEW, s->x);
    return s;
}
static void *setup_1e3(void) { return scalars_setup(FEW); }
static void *setup_1e4(void) { return scalars_setup(10 * FEW); }
static void *setup_1e5(void) { return scalars_setup(MOST); }

static void compile(const scalars *s, ad_var *y, int n) {
    ad_mark m = ad_begin(s->g);
    const char *how = ad_program_how(ad_compile_gradient(y, n, s->x, fresh));
    if (strcmp(how, "compiled") != 0) ad_fail(s->g, AD_EABSENT, "%s", how);
    ad_end(s->g, m);
}
static void compile_all(void *state) { compile(state, ((scalars *)state)->y, ((scalars *)state)->n); }
static void compile_few(void *state) { compile(state, ((scalars *)state)->few, FEW); }

static void scalars_teardown(void *state) {
    scalars *s = state;
    bench_check(s->g);
    ad_graph_free(s->g);
    free(s->x);
    free(s);
}

int main(int argc, char **argv) {
    static const bench_case cases[] = {
        { "heat-compiled", "us", 1, 0, heat_setup, heat_run, heat_by_hand, heat_teardown, NULL },
        { "heat-value-compiled", "us", 1, 0, heat_setup, heat_run, heat_value, heat_teardown, NULL },
        { "hvp-100-compiled", "us", 1, 0, hvp_setup, hvp_run, hvp_by_hand, second_teardown, NULL },
        { "hessian-100-compiled", "us", 1, 0, hessian_setup, hessian_run, hessian_by_hand, second_teardown, NULL },
        { "compile-1e3", "ms", 1, 0, setup_1e3, compile_all, compile_few, scalars_teardown, NULL },
        { "compile-1e4", "ms", 1, 0, setup_1e4, compile_all, compile_few, scalars_teardown, NULL },
        { "compile-1e5", "ms", 1, 0, setup_1e5, compile_all, compile_few, scalars_teardown, NULL },
    };
    return bench_main(argc, argv, (int)(sizeof cases / sizeof *cases), cases);
}
