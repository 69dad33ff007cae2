/* multimin.c: GSL's minimiser by the quasi-Newton method BFGS, with gradients of a recorded expression. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_multimin.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"

/* Rosenbrock's function of n variables, the sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2; least where all are 1. */
static ad_var *rosenbrock(ad_var *x, int64_t n) {
    ad_var *head = ad_slice(x, 0, 0, n - 1, 1), *tail = ad_slice(x, 0, 1, n, 1);
    ad_var *rise = ad_sub(tail, ad_square(head));
    return ad_sum(ad_add(ad_muls(ad_square(rise), 100), ad_square(ad_adds(ad_neg(head), 1))));
}

/* ---- GSL's three callbacks; params is the objective ----------------------------------------------------- */

static double value(const gsl_vector *x, void *params) { return ad_value_and_gradient(x->data, NULL, params); }

static void value_and_gradient(const gsl_vector *x, void *params, double *f, gsl_vector *grad) {
    *f = ad_value_and_gradient(x->data, grad->data, params);
}
static void gradient(const gsl_vector *x, void *params, gsl_vector *grad) {
    ad_value_and_gradient(x->data, grad->data, params);
}

static void both_by_differences(const gsl_vector *x, void *params, double *f, gsl_vector *grad) {
    *f = central_differences((int64_t)x->size, x->data, grad->data, params);
}
static void by_differences(const gsl_vector *x, void *params, gsl_vector *grad) {
    central_differences((int64_t)x->size, x->data, grad->data, params);
}

/* ---- the minimiser --------------------------------------------------------------------------------------- */

static double distance(const gsl_vector *x) {
    double most = 0;
    for (size_t i = 0; i < x->size; i++) most = fmax(most, fabs(gsl_vector_get(x, i) - 1));
    return most;
}

static solver_run minimise(const char *derivatives, gsl_multimin_function_fdf *f) {
    gsl_multimin_fdfminimizer *m = gsl_multimin_fdfminimizer_alloc(gsl_multimin_fdfminimizer_vector_bfgs2, f->n);
    gsl_vector *start = gsl_vector_alloc(f->n);
    for (size_t i = 0; i < f->n; i++) gsl_vector_set(start, i, i % 2 ? 1 : -1.2);
    solver_run run = { .derivatives = derivatives };
    double began = seconds_now();
    gsl_multimin_fdfminimizer_set(m, f, start, 0.01, 0.1);
    int status = GSL_SUCCESS;
    while (status == GSL_SUCCESS && gsl_multimin_test_gradient(m->gradient, 1e-9) == GSL_CONTINUE) {
        status = gsl_multimin_fdfminimizer_iterate(m); /* GSL_ENOPROG once rounding hides further progress */
        run.iterations++;
    }
    run.seconds = seconds_now() - began;
    run.error = distance(m->x);
    gsl_vector_free(start);
    gsl_multimin_fdfminimizer_free(m);
    return run;
}

int main(int argc, char **argv) {
    int64_t n = 100;
    demo_parse(argc, argv, "Minimises Rosenbrock's function of many variables by BFGS of the GNU Scientific Library.",
               (demo_option[]){ { "n", "number of variables", DEMO_WHOLE, &n, 2, 1e4 }, { 0 } });
    gsl_set_error_handler_off();
    ad_graph *g = ad_graph_new();
    ad_var *x = ad_param(g, AD_F64, NULL, AD_SHAPE(n));
    ad_objective *f = ad_objective_new(rosenbrock(x, n), 1, &x);
    if (f == NULL) return demo_end(argv, g);
    gsl_multimin_function_fdf exact = { value, gradient, value_and_gradient, (size_t)n, f };
    gsl_multimin_function_fdf differences = { value, by_differences, both_by_differences, (size_t)n, f };
    solver_run runs[] = { minimise("exact", &exact), minimise("central differences", &differences) };
    int status = report_runs(2, runs, 1e-6), failed = demo_end(argv, g);
    return failed ? failed : status;
}
