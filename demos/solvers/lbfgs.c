/* lbfgs.c: the library's own L-BFGS on a minimal surface, with gradients by backward and by differences. */
#include "demos/solvers/surface.h"
#include "nn/nn.h"

typedef struct {
    const surface *s;
    ad_objective *other; /* the area in another graph, for differences; NULL: gradients by backward */
    int64_t calls;
} problem;

/* The gradient of y, the area, by differences. */
static void by_differences(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user) {
    const problem *p = user;
    ad_var *found = ad_zeros(ad_graph_of(y), AD_F64, ad_shape_of(xs[0]));
    double *grad = ad_data_mut(found);
    (void)n;
    if (grad != NULL) central_differences(p->s->n, ad_data(xs[0]), grad, p->other);
    dxs[0] = ad_mul(g, found);
}

/* What nn_lbfgs minimises: an expression of the parameters, built at each call. */
static ad_var *area(void *user) {
    problem *p = user;
    ad_var *y = surface_area(p->s);
    p->calls++;
    return p->other ? ad_custom(y, 1, &p->s->z, by_differences, p) : y;
}

/* nn_lbfgs takes its parameters from a module, whose own function is not used here. */
static ad_var *forward(nn_module *m, ad_var *x) { return (void)m, x; }

static solver_run minimise(const char *derivatives, ad_graph *g, int64_t m, ad_objective *other) {
    surface s = surface_new(g, m);
    problem p = { &s, other, 0 };
    nn_module *holder = nn_module_new(g, "surface", forward, 0);
    nn_add_parameter(holder, "z", s.z);
    nn_lbfgs_opts opts = { .max_iter = 1000, .max_eval = 2000, .tolerance_grad = 1e-9, .tolerance_change = 1e-14 };
    double began = seconds_now();
    nn_step_closure(nn_lbfgs(holder, opts), area, &p, NULL);
    double took = seconds_now() - began;
    return (solver_run){ derivatives, p.calls, ad_ok(g) ? surface_error(&s, ad_data(s.z)) : INFINITY, took };
}

int main(int argc, char **argv) {
    int64_t m = 30;
    demo_parse(argc, argv,
               "Finds a minimal surface by L-BFGS. The error is the distance to Scherk's surface, mostly the grid's.",
               (demo_option[]){ SURFACE_OPTION(&m), { 0 } });
    ad_graph *g = ad_graph_new(), *second = ad_graph_new();
    surface other = surface_new(second, m);
    ad_objective *f = ad_objective_new(surface_area(&other), 1, &other.z);
    solver_run runs[] = { minimise("exact", g, m, NULL), minimise("central differences", g, m, f) };
    int status = report_runs(2, runs, SURFACE_TOLERANCE), failed = demo_end(argv, g);
    ad_graph_free(second);
    return failed ? failed : status;
}
