/* multifit.c: nonlinear least squares by GSL's Levenberg-Marquardt method, with a Jacobian of a recorded expression. */
#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit_nlinear.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"

/* Misra1a of NIST's Statistical Reference Datasets: volumes of dental gas y at pressures x; the model is
   y = b0 (1 - exp(-b1 x)). NIST certifies b to 11 digits. */
enum { POINTS = 14, UNKNOWNS = 2 };
static const double PRESSURE[POINTS] = { 77.6,  114.9, 141.1, 190.8, 239.9, 289.0, 332.8,
                                         378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0 };
static const double VOLUME[POINTS] = { 10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02,
                                       44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78 };
static const double CERTIFIED[UNKNOWNS] = { 2.3894212918e+02, 5.5015643181e-04 };

static ad_residuals *misra(ad_graph *g) {
    ad_var *b = ad_param(g, AD_F64, NULL, AD_SHAPE(UNKNOWNS));
    ad_var *x = ad_tensor(g, AD_F64, PRESSURE, AD_SHAPE(POINTS)), *y = ad_tensor(g, AD_F64, VOLUME, AD_SHAPE(POINTS));
    ad_var *decay = ad_exp(ad_neg(ad_mul(ad_select(b, 0, 1), x)));
    return ad_residuals_new(ad_sub(ad_mul(ad_select(b, 0, 0), ad_adds(ad_neg(decay), 1)), y), 1, &b);
}

/* ---- GSL's callbacks; params is the residuals. Its vectors may be columns of a matrix: they are copied. --- */

static int values(const gsl_vector *b, void *params, gsl_vector *r) {
    double at[UNKNOWNS], found[POINTS];
    gsl_vector_view x = gsl_vector_view_array(at, UNKNOWNS), y = gsl_vector_view_array(found, POINTS);
    gsl_vector_memcpy(&x.vector, b);
    if (ad_values_and_jacobian(at, found, NULL, params)) return GSL_EFAILED;
    return gsl_vector_memcpy(r, &y.vector);
}
static int jacobian(const gsl_vector *b, void *params, gsl_matrix *j) {
    double at[UNKNOWNS], found[POINTS * UNKNOWNS];
    gsl_vector_view x = gsl_vector_view_array(at, UNKNOWNS);
    gsl_matrix_view y = gsl_matrix_view_array(found, POINTS, UNKNOWNS);
    gsl_vector_memcpy(&x.vector, b);
    if (ad_values_and_jacobian(at, NULL, found, params)) return GSL_EFAILED;
    return gsl_matrix_memcpy(j, &y.matrix);
}

/* ---- the fit ----------------------------------------------------------------------------------------------- */

static double distance(const gsl_vector *b) {
    double most = 0;
    for (size_t i = 0; i < UNKNOWNS; i++) most = fmax(most, fabs(gsl_vector_get(b, i) / CERTIFIED[i] - 1));
    return most;
}

/* df is NULL for GSL's own forward differences. */
static solver_run fit(const char *derivatives, int (*df)(const gsl_vector *, void *, gsl_matrix *), ad_residuals *r) {
    gsl_multifit_nlinear_parameters opts = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_workspace *w =
        gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &opts, POINTS, UNKNOWNS);
    gsl_multifit_nlinear_fdf f = { .f = values, .df = df, .n = POINTS, .p = UNKNOWNS, .params = r };
    double start[UNKNOWNS] = { 500, 1e-4 }; /* the harder one of NIST's two */
    gsl_vector_view b = gsl_vector_view_array(start, UNKNOWNS);
    solver_run run = { .derivatives = derivatives };
    int info = 0;
    double began = seconds_now();
    gsl_multifit_nlinear_init(&b.vector, &f, w);
    gsl_multifit_nlinear_driver(200, 1e-15, 1e-15, 0, NULL, NULL, &info, w);
    run.seconds = seconds_now() - began;
    run.iterations = (int64_t)gsl_multifit_nlinear_niter(w);
    run.error = distance(gsl_multifit_nlinear_position(w));
    gsl_multifit_nlinear_free(w);
    return run;
}

int main(int argc, char **argv) {
    demo_parse(argc, argv,
               "Fits the curve b0 (1 - exp(-b1 x)) to NIST's data set Misra1a by the Levenberg-Marquardt method of\n"
               "the GNU Scientific Library. The error is relative to the values that NIST certifies.",
               (demo_option[]){ { 0 } });
    gsl_set_error_handler_off();
    ad_graph *g = ad_graph_new();
    ad_residuals *r = misra(g);
    if (r == NULL) return demo_end(argv, g);
    solver_run runs[] = { fit("exact", jacobian, r), fit("forward differences", NULL, r) };
    int status = report_runs(2, runs, 1e-9), failed = demo_end(argv, g);
    return failed ? failed : status;
}
