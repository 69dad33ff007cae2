/* optim.h: small problems, and results of torch.optim for them, that the tests of optimisers share. */
#ifndef TESTS_OPTIM_H
#define TESTS_OPTIM_H

#include "nn/nn.h"
#include "tests/common.h"

enum { MOST = 128 };

#define RUN(name, call)                                                                                                \
    static nn_optim *make_##name(nn_module *m) { return call; }

static inline ad_var *none_forward(nn_module *m, ad_var *x) {
    (void)m;
    return x;
}

/* A module with the parameters w and v, and constants for its loss, which depends on v or not. */
typedef struct {
    ad_graph *g;
    nn_module *m;
    ad_var *w, *v, *c, *t;
} problem;

static inline problem problem_new(ad_dtype t) {
    ad_graph *g = ad_graph_new();
    problem p = { .g = g, .m = nn_module_new(g, "problem", none_forward, 0) };
    p.w = nn_add_parameter(p.m, "w", param_of(g, t, (double[]){ 0.5, -1.5, 2 }, AD_SHAPE(3)));
    p.v = nn_add_parameter(p.m, "v", param_of(g, t, (double[]){ 3, -2 }, AD_SHAPE(2)));
    p.c = param_of(g, t, (double[]){ 1, 0.3, 2 }, AD_SHAPE(3));
    p.t = param_of(g, t, (double[]){ 1, -1, 0.25 }, AD_SHAPE(3));
    return p;
}

/* Rosenbrock's function of x [6]: sum 5 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 */
static inline ad_var *rosenbrock(void *data) {
    ad_var *x = data, *a = ad_narrow(x, 0, 0, 5), *b = ad_narrow(x, 0, 1, 5);
    ad_var *bend = ad_square(ad_sub(b, ad_square(a))), *off = ad_square(ad_adds(ad_neg(a), 1));
    return ad_sum(ad_add(ad_muls(bend, 5), off));
}

static const double rosenbrock_start[] = { -1.2, 1, -0.5, 0.8, 0.3, -1 };

/* The same with x in two parameters, which the optimiser must treat as one vector. */
typedef struct {
    nn_module *m;
    ad_var *head, *tail; /* [2], [4] */
} rosenbrock_in_two;

static inline ad_var *rosenbrock_of_two(void *data) {
    const rosenbrock_in_two *r = data;
    return rosenbrock(ad_concat(2, (ad_var *[]){ r->head, r->tail }, 0));
}

static inline rosenbrock_in_two rosenbrock_new(ad_graph *g, ad_dtype t) {
    rosenbrock_in_two r = { .m = nn_module_new(g, "rosenbrock", none_forward, 0) };
    r.head = nn_add_parameter(r.m, "head", param_of(g, t, rosenbrock_start, AD_SHAPE(2)));
    r.tail = nn_add_parameter(r.m, "tail", param_of(g, t, rosenbrock_start + 2, AD_SHAPE(4)));
    return r;
}

#endif
