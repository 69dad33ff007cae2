/* ipopt.c: IPOPT with exact sparse Jacobian and Hessian: the optimal control of an oscillator. */
#include <coin/IpStdCInterface.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"
#include "ops/sparse.h"

/* Van der Pol's oscillator a' = (1 - b^2) a - b + u, b' = a from a = 0, b = 1; the cost is the integral of a^2 + b^2 +
   u^2 over 10 s. The least cost solves a boundary value problem of Pontryagin's principle, to 1e-9 by collocation. */
static const double TIME = 10, LEAST = 2.873143851;

typedef struct {
    int64_t n, m; /* unknowns, the rows a, b and u of w; equations */
    ad_objective *cost;
    ad_sparse_plan *jacobian, *hessian;
    ad_var *w, *gap, *sigma, *lambda;
    int64_t steps;
} control;

/* The trapezoidal rule over steps between points, for the cost and for both equations. */
static control record(ad_graph *g, int64_t points) {
    control c = { .n = 3 * points, .m = 2 * (points - 1), .w = ad_param(g, AD_F64, NULL, AD_SHAPE(3, points)) };
    double h = TIME / (double)(points - 1);
    ad_var *a = ad_select(c.w, 0, 0), *b = ad_select(c.w, 0, 1), *u = ad_select(c.w, 0, 2);
    ad_var *rates[] = { ad_add(ad_sub(ad_mul(ad_adds(ad_neg(ad_square(b)), 1), a), b), u), a };
    ad_var *rate = ad_stack(2, rates, 0), *state = ad_slice(c.w, 0, 0, 2, 1);
    ad_var *moved = ad_sub(ad_slice(state, 1, 1, points, 1), ad_slice(state, 1, 0, points - 1, 1));
    ad_var *mean = ad_muls(ad_add(ad_slice(rate, 1, 1, points, 1), ad_slice(rate, 1, 0, points - 1, 1)), 0.5);
    c.gap = ad_sub(moved, ad_muls(mean, h));
    ad_var *each = ad_sum_axis(ad_square(c.w), 0, false);
    ad_var *ends = ad_add(ad_select(each, 0, 0), ad_select(each, 0, -1));
    ad_var *cost = ad_muls(ad_sub(ad_sum(each), ad_muls(ends, 0.5)), h);
    c.sigma = ad_zeros(g, AD_F64, AD_SCALAR), c.lambda = ad_zeros(g, AD_F64, AD_SHAPE(2, points - 1));
    c.cost = ad_objective_new(cost, 1, &c.w);
    c.jacobian = ad_sparse_jacobian(c.gap, c.w, (ad_sparse_opts){ .format = AD_COO });
    c.hessian = ad_sparse_lagrangian(cost, c.sigma, c.gap, c.lambda, c.w,
                                     (ad_sparse_opts){ .format = AD_COO, .triangle = AD_TRIANGLE_LOWER });
    return c;
}

/* ---- IPOPT's callbacks: places are asked for once, with values NULL --------------------------------------- */

static Bool value(Index n, Number *x, Bool fresh, Number *f, void *user) {
    const control *c = user;
    (void)n, (void)fresh;
    return isfinite(*f = ad_value_and_gradient(x, NULL, c->cost));
}
static Bool gradient(Index n, Number *x, Bool fresh, Number *grad, void *user) {
    const control *c = user;
    (void)n, (void)fresh;
    return isfinite(ad_value_and_gradient(x, grad, c->cost));
}
static Bool gaps(Index n, Number *x, Bool fresh, Index m, Number *values, void *user) {
    const control *c = user;
    (void)n, (void)fresh;
    ad_set(c->w, x);
    if (ad_eval(c->gap)) return FALSE;
    memcpy(values, ad_data(c->gap), (size_t)m * sizeof *values);
    return TRUE;
}
static Bool jacobian(Index n, Number *x, Bool fresh, Index m, Index count, Index *i, Index *j, Number *values,
                     void *user) {
    const control *c = user;
    (void)n, (void)fresh, (void)m, (void)count;
    return (values ? ad_sparse_eval(c->jacobian, x, values) : ad_sparse_index(c->jacobian, i, j)) == AD_OK;
}
static Bool hessian(Index n, Number *x, Bool fresh, Number sigma, Index m, Number *lambda, Bool fresh_lambda,
                    Index count, Index *i, Index *j, Number *values, void *user) {
    const control *c = user;
    (void)n, (void)fresh, (void)m, (void)fresh_lambda, (void)count;
    if (values == NULL) return ad_sparse_index(c->hessian, i, j) == AD_OK;
    ad_set(c->sigma, &sigma), ad_set(c->lambda, lambda);
    return ad_sparse_eval(c->hessian, x, values) == AD_OK;
}

/* ---- the solution ---------------------------------------------------------------------------------------- */

static Bool count_steps(Index mode, Index step, Number f, Number p, Number d, Number mu, Number size, Number r,
                        Number a, Number b, Index trials, void *user) {
    (void)mode, (void)f, (void)p, (void)d, (void)mu, (void)size, (void)r, (void)a, (void)b, (void)trials;
    return ((control *)user)->steps = step, TRUE;
}

/* options are pairs of IPOPT's names and texts, ended by NULL. IPOPT does not write to them. */
static solver_run minimise(const char *derivatives, int64_t points, const char *const options[]) {
    ad_graph *g = ad_graph_new();
    double began = seconds_now(), least = INFINITY;
    control c = record(g, points);
    double *all = calloc((size_t)(3 * c.n + c.m), sizeof *all), *lo = all + c.n, *hi = lo + c.n, *zero = hi + c.n;
    for (int64_t i = 0; i < c.n; i++) lo[i] = -1e20, hi[i] = 1e20;
    lo[0] = hi[0] = 0, lo[points] = hi[points] = all[points] = 1;
    IpoptProblem p = CreateIpoptProblem((Index)c.n, lo, hi, (Index)c.m, zero, zero, (Index)ad_sparse_count(c.jacobian),
                                        (Index)ad_sparse_count(c.hessian), 0, value, gaps, gradient, jacobian, hessian);
    AddIpoptIntOption(p, (char *)"print_level", strcmp(options[1], "none") == 0 ? 0 : 5);
    for (int i = 0; options[i] != NULL; i += 2) AddIpoptStrOption(p, (char *)options[i], (char *)options[i + 1]);
    SetIntermediateCallback(p, count_steps);
    int rc = IpoptSolve(p, all, NULL, &least, NULL, NULL, NULL, &c);
    double error = rc == Solve_Succeeded && ad_ok(g) ? fabs(least - LEAST) : INFINITY;
    solver_run run = { derivatives, c.steps, error, seconds_now() - began };
    FreeIpoptProblem(p);
    free(all);
    ad_graph_free(g);
    return run;
}

int main(int argc, char **argv) {
    int64_t points = 3334;
    const char *check = "none";
    demo_parse(argc, argv, "Finds the control of an oscillator that costs least, by IPOPT.",
               (demo_option[]){ { "points", "in time, three unknowns each", DEMO_WHOLE, &points, 20, 1e6 },
                                { "check", "IPOPT's derivative_test: second-order, say", DEMO_TEXT, &check, 0, 0 },
                                { 0 } });
    const char *const exact[] = { "derivative_test", check, "sb", "yes", NULL };
    const char *const differences[] = { "derivative_test", "none", "sb", "yes", "jacobian_approximation",
                                        "finite-difference-values", "hessian_approximation", "limited-memory", NULL };
    printf("%lld unknowns, then a tenth of them\n", (long long)(3 * points));
    solver_run runs[] = { minimise("exact", points, exact), minimise("exact", points / 10, exact),
                          minimise("differences", points / 10, differences) };
    return report_runs(3, runs, 1e-4);
}
