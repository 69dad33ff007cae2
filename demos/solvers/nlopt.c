/* nlopt.c: NLopt's sequential quadratic programming with constraints: the shape of a hanging chain. */
#include <nlopt.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"

static const double SPAN = 1, LENGTH = 1.5; /* between the two ends, which are at height 0; and of the chain */

typedef struct {
    ad_objective *energy; /* the sum of the heights of the joints, where the weights are */
    ad_residuals *stretch; /* of each link: the square of its length, beyond what it must be */
    bool exact;            /* else by differences */
    int64_t calls;
} chain;

/* Joints k = 0 to links - 2 at (x[k], y[k]), the rows of at [2, links - 1]. */
static chain record(ad_graph *g, int64_t links) {
    ad_var *at = ad_param(g, AD_F64, NULL, AD_SHAPE(2, links - 1));
    ad_var *end = ad_tensor(g, AD_F64, (double[]){ SPAN, 0 }, AD_SHAPE(2, 1));
    ad_var *ends[] = { ad_zeros(g, AD_F64, AD_SHAPE(2, 1)), at, end };
    ad_var *all = ad_concat(3, ends, 1);
    ad_var *step = ad_sub(ad_slice(all, 1, 1, links + 1, 1), ad_slice(all, 1, 0, links, 1));
    double link = LENGTH / (double)links;
    ad_var *longer = ad_adds(ad_sum_axis(ad_square(step), 0, false), -link * link);
    return (chain){ .energy = ad_objective_new(ad_sum(ad_select(at, 0, 1)), 1, &at),
                    .stretch = ad_residuals_new(longer, 1, &at) };
}

/* ---- NLopt's callbacks --------------------------------------------------------------------------------- */

static double energy(unsigned n, const double *x, double *grad, void *user) {
    chain *c = user;
    c->calls++;
    return c->exact ? ad_value_and_gradient(x, grad, c->energy) : central_differences(n, x, grad, c->energy);
}

static void stretch(unsigned m, double *values, unsigned n, const double *x, double *jacobian, void *user) {
    const chain *c = user;
    (void)m, (void)n;
    if (c->exact) ad_values_and_jacobian(x, values, jacobian, c->stretch);
    else central_jacobian(x, values, jacobian, c->stretch);
}

/* ---- the solution ---------------------------------------------------------------------------------------- */

/* The horizontal force is the same in every link and the vertical one changes by one weight from link to link, so the
   slopes of the links are equally spaced. Returns by how much they are not. */
static double unevenness(int64_t links, const double *x) {
    const double *y = x + links - 1;
    double most = 0, slope[3] = { 0 };
    for (int64_t k = 0; k < links; k++) {
        double dx = (k < links - 1 ? x[k] : SPAN) - (k > 0 ? x[k - 1] : 0);
        double dy = (k < links - 1 ? y[k] : 0) - (k > 0 ? y[k - 1] : 0);
        slope[0] = slope[1], slope[1] = slope[2], slope[2] = dy / dx;
        if (k >= 2) most = fmax(most, fabs(slope[2] - 2 * slope[1] + slope[0]));
    }
    return most;
}

static solver_run hang(const char *derivatives, int64_t links, double *x, chain *c) {
    unsigned n = (unsigned)(2 * (links - 1));
    for (int64_t k = 1; k < links; k++) {
        double t = (double)k / (double)links;
        x[k - 1] = SPAN * t, x[links - 2 + k] = -2 * t * (1 - t); /* a parabola */
    }
    nlopt_opt o = nlopt_create(NLOPT_LD_SLSQP, n);
    double least = 0, began = seconds_now();
    c->calls = 0;
    nlopt_set_min_objective(o, energy, c);
    nlopt_add_equality_mconstraint(o, (unsigned)links, stretch, c, NULL);
    nlopt_set_xtol_rel(o, 1e-12);
    nlopt_set_maxeval(o, 1000);
    nlopt_optimize(o, x, &least);
    nlopt_destroy(o);
    return (solver_run){ derivatives, c->calls, unevenness(links, x), seconds_now() - began };
}

int main(int argc, char **argv) {
    int64_t links = 20;
    demo_parse(argc, argv,
               "Finds the shape of a hanging chain: the least energy such that each link keeps its length, by SLSQP\n"
               "of NLopt. The error is how far the slopes of the links are from equally spaced, as mechanics has it.",
               (demo_option[]){ { "links", "number of links", DEMO_WHOLE, &links, 3, 100 }, { 0 } });
    ad_graph *g = ad_graph_new();
    chain c = record(g, links);
    double *x = calloc((size_t)(2 * links), sizeof *x);
    if (c.energy == NULL || c.stretch == NULL || x == NULL) return demo_end(argv, g);
    c.exact = false;
    solver_run differences = hang("central differences", links, x, &c);
    c.exact = true;
    solver_run runs[] = { hang("exact", links, x, &c), differences };
    printf("the chain hangs down to %.6f\n", -ad_value_and_gradient(x, NULL, c.energy) / (double)links);
    int status = report_runs(2, runs, 1e-5), failed = demo_end(argv, g);
    free(x);
    return failed ? failed : status;
}
