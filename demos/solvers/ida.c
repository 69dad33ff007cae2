/* ida.c: SUNDIALS' IDA, for differential-algebraic equations, with a Jacobian of a recorded expression. */
#include <ida/ida.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunmatrix/sunmatrix_dense.h>

#include "demos/solvers/solver.h"
#include "ops/ops.h"

/* Robertson's reactions: three concentrations y, whose rates differ by 9 orders. The third equation is algebraic. */
enum { SPECIES = 3 };
static const double END = 1e11;
/* The test set for initial value problems (Mazzia and Magherini 2008) gives y at this time. */
static const double AT_END[SPECIES] = { 0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050 };

/* The residual, as a function of y and y'. */
static ad_residuals *robertson(ad_graph *g) {
    ad_var *y = ad_param(g, AD_F64, NULL, AD_SHAPE(SPECIES)), *dy = ad_param(g, AD_F64, NULL, AD_SHAPE(SPECIES));
    ad_var *xs[] = { y, dy }, *a = ad_select(y, 0, 0), *b = ad_select(y, 0, 1), *c = ad_select(y, 0, 2);
    ad_var *slow = ad_muls(a, 0.04), *back = ad_muls(ad_mul(b, c), 1e4), *fast = ad_muls(ad_square(b), 3e7);
    ad_var *da = ad_sub(back, slow), *db = ad_sub(slow, ad_add(back, fast));
    ad_var *r[] = { ad_sub(da, ad_select(dy, 0, 0)), ad_sub(db, ad_select(dy, 0, 1)),
                    ad_adds(ad_add(ad_add(a, b), c), -1) };
    return ad_residuals_new(ad_stack(SPECIES, r, 0), 2, xs);
}

/* ---- IDA's callbacks; user is the residuals ------------------------------------------------------------ */

static void join(N_Vector y, N_Vector dy, double x[2 * SPECIES]) {
    memcpy(x, N_VGetArrayPointer(y), SPECIES * sizeof *x);
    memcpy(x + SPECIES, N_VGetArrayPointer(dy), SPECIES * sizeof *x);
}

static int residual(realtype t, N_Vector y, N_Vector dy, N_Vector r, void *user) {
    double x[2 * SPECIES];
    (void)t;
    join(y, dy, x);
    return ad_values_and_jacobian(x, N_VGetArrayPointer(r), NULL, user);
}

/* J = dr/dy + c dr/dy', column by column. */
static int jacobian(realtype t, realtype c, N_Vector y, N_Vector dy, N_Vector r, SUNMatrix j, void *user, N_Vector w1,
                    N_Vector w2, N_Vector w3) {
    double x[2 * SPECIES], rows[SPECIES][2 * SPECIES];
    (void)t, (void)r, (void)w1, (void)w2, (void)w3;
    join(y, dy, x);
    int rc = ad_values_and_jacobian(x, NULL, rows[0], user);
    for (int i = 0; i < SPECIES; i++)
        for (int k = 0; k < SPECIES; k++) SM_ELEMENT_D(j, i, k) = rows[i][k] + c * rows[i][k + SPECIES];
    return rc;
}

/* ---- the solution ---------------------------------------------------------------------------------------- */

static double distance(N_Vector y) {
    double most = 0;
    for (int i = 0; i < SPECIES; i++) most = fmax(most, fabs(NV_Ith_S(y, i) / AT_END[i] - 1));
    return most;
}

/* j is NULL for IDA's own differences. */
static solver_run integrate(const char *derivatives, IDALsJacFn j, ad_residuals *r) {
    SUNContext context = NULL;
    SUNContext_Create(NULL, &context);
    double y0[SPECIES] = { 1, 0, 0 }, dy0[SPECIES] = { -0.04, 0.04, 0 };
    N_Vector y = N_VMake_Serial(SPECIES, y0, context), dy = N_VMake_Serial(SPECIES, dy0, context);
    N_Vector precision = N_VMake_Serial(SPECIES, (double[]){ 1e-14, 1e-20, 1e-14 }, context);
    SUNMatrix matrix = SUNDenseMatrix(SPECIES, SPECIES, context);
    SUNLinearSolver linear = SUNLinSol_Dense(y, matrix, context);
    void *ida = IDACreate(context);
    IDAInit(ida, residual, 0, y, dy);
    IDASVtolerances(ida, 1e-9, precision);
    IDASetUserData(ida, r);
    IDASetLinearSolver(ida, linear, matrix);
    IDASetJacFn(ida, j);
    IDASetMaxNumSteps(ida, 100000);
    long steps = 0;
    double t = 0, began = seconds_now();
    int rc = IDASolve(ida, END, &t, y, dy, IDA_NORMAL);
    double took = seconds_now() - began;
    IDAGetNumSteps(ida, &steps);
    solver_run run = { derivatives, steps, rc < 0 ? INFINITY : distance(y), took };
    IDAFree(&ida);
    SUNLinSolFree(linear);
    SUNMatDestroy(matrix);
    N_VDestroy(y), N_VDestroy(dy), N_VDestroy(precision);
    SUNContext_Free(&context);
    return run;
}

int main(int argc, char **argv) {
    demo_parse(argc, argv,
               "Integrates Robertson's reactions, as differential-algebraic equations, by IDA of SUNDIALS to t =\n"
               "1e11. The error is relative to the published solution.",
               (demo_option[]){ { 0 } });
    ad_graph *g = ad_graph_new();
    ad_residuals *r = robertson(g);
    if (r == NULL) return demo_end(argv, g);
    solver_run runs[] = { integrate("exact", jacobian, r), integrate("forward differences", NULL, r) };
    int status = report_runs(2, runs, 1e-6), failed = demo_end(argv, g);
    return failed ? failed : status;
}
