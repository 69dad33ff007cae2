/* cvode.c: SUNDIALS' CVODE with KLU and an exact sparse Jacobian: a travelling wave of Burgers' equation. */
#include <cvode/cvode.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_band.h>
#include <sunlinsol/sunlinsol_klu.h>
#include <sunmatrix/sunmatrix_band.h>
#include <sunmatrix/sunmatrix_sparse.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"
#include "ops/sparse.h"

/* u' = NU u_xx - u u_x on [-1, 1]. A wave of speed SPEED: u = SPEED - HEIGHT tanh(HEIGHT (x - SPEED t) / (2 NU)). */
static const double NU = 0.01, SPEED = 0.5, HEIGHT = 0.5, END = 0.8;

typedef struct {
    int64_t n;
    ad_var *u, *rate; /* [n] at the inner points of the grid, and its derivative by time */
    ad_sparse_plan *jacobian;
} wave;

static double exact_wave(int64_t n, int64_t i, double t) {
    double x = -1 + 2.0 * (double)(i + 1) / (double)(n + 1);
    return SPEED - HEIGHT * tanh(HEIGHT * (x - SPEED * t) / (2 * NU));
}

/* Central differences; at the two ends the wave is flat. */
static wave record(ad_graph *g, int64_t n) {
    double h = 2.0 / (double)(n + 1);
    wave w = { .n = n, .u = ad_param(g, AD_F64, NULL, AD_SHAPE(n)) };
    ad_var *parts[] = { ad_full(g, AD_F64, SPEED + HEIGHT, AD_SHAPE(1)), w.u,
                        ad_full(g, AD_F64, SPEED - HEIGHT, AD_SHAPE(1)) };
    ad_var *all = ad_concat(3, parts, 0), *left = ad_slice(all, 0, 0, n, 1), *right = ad_slice(all, 0, 2, n + 2, 1);
    ad_var *bend = ad_muls(ad_sub(ad_add(left, right), ad_muls(w.u, 2)), NU / (h * h));
    ad_var *flow = ad_muls(ad_sub(ad_square(right), ad_square(left)), 0.25 / h); /* of u^2 / 2 */
    w.rate = ad_sub(bend, flow);
    w.jacobian = ad_sparse_jacobian(w.rate, w.u, (ad_sparse_opts){ .format = AD_CSC });
    return w;
}

/* ---- CVODE's callbacks --------------------------------------------------------------------------------- */

static int rate(realtype t, N_Vector u, N_Vector du, void *user) {
    const wave *w = user;
    (void)t;
    ad_set(w->u, N_VGetArrayPointer(u));
    int rc = ad_eval(w->rate);
    if (rc == AD_OK) memcpy(N_VGetArrayPointer(du), ad_data(w->rate), (size_t)w->n * sizeof(double));
    return rc;
}
static int jacobian(realtype t, N_Vector u, N_Vector du, SUNMatrix j, void *user, N_Vector w1, N_Vector w2,
                    N_Vector w3) {
    const wave *w = user;
    (void)t, (void)du, (void)w1, (void)w2, (void)w3;
    SUNMatZero(j);
    ad_sparse_index64(w->jacobian, SUNSparseMatrix_IndexValues(j), SUNSparseMatrix_IndexPointers(j));
    return ad_sparse_eval(w->jacobian, N_VGetArrayPointer(u), SUNSparseMatrix_Data(j));
}

/* ---- the solution ---------------------------------------------------------------------------------------- */

static double distance(int64_t n, N_Vector u) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(NV_Ith_S(u, i) - exact_wave(n, i, END)));
    return most;
}

/* Without an exact Jacobian CVODE takes differences of a band matrix, as it can find no sparse one. */
static solver_run integrate(const char *derivatives, wave *w, bool exact) {
    SUNContext context = NULL;
    SUNContext_Create(NULL, &context);
    N_Vector u = N_VNew_Serial(w->n, context);
    for (int64_t i = 0; i < w->n; i++) NV_Ith_S(u, i) = exact_wave(w->n, i, 0);
    SUNMatrix matrix = exact ? SUNSparseMatrix(w->n, w->n, ad_sparse_count(w->jacobian), CSC_MAT, context)
                             : SUNBandMatrix(w->n, 1, 1, context);
    SUNLinearSolver linear = exact ? SUNLinSol_KLU(u, matrix, context) : SUNLinSol_Band(u, matrix, context);
    void *cvode = CVodeCreate(CV_BDF, context);
    CVodeInit(cvode, rate, 0, u);
    CVodeSStolerances(cvode, 1e-7, 1e-9);
    CVodeSetUserData(cvode, w);
    CVodeSetLinearSolver(cvode, linear, matrix);
    if (exact) CVodeSetJacFn(cvode, jacobian);
    CVodeSetMaxNumSteps(cvode, 100000);
    long steps = 0;
    double t = 0, began = seconds_now();
    int rc = CVode(cvode, END, u, &t, CV_NORMAL);
    double took = seconds_now() - began;
    CVodeGetNumSteps(cvode, &steps);
    solver_run run = { derivatives, steps, rc < 0 ? INFINITY : distance(w->n, u), took };
    CVodeFree(&cvode);
    SUNLinSolFree(linear);
    SUNMatDestroy(matrix);
    N_VDestroy(u);
    SUNContext_Free(&context);
    return run;
}

int main(int argc, char **argv) {
    int64_t n = 1000;
    demo_parse(argc, argv, "Integrates a travelling wave of Burgers' equation by CVODE of SUNDIALS, with KLU.",
               (demo_option[]){ { "n", "points of the grid", DEMO_WHOLE, &n, 10, 1e6 }, { 0 } });
    ad_graph *g = ad_graph_new();
    wave w = record(g, n);
    if (w.jacobian == NULL) return demo_end(argv, g);
    solver_run runs[] = { integrate("exact", &w, true), integrate("band differences", &w, false) };
    int status = report_runs(2, runs, 2e-3), failed = demo_end(argv, g);
    return failed ? failed : status;
}
