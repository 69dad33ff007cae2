/* tao.c: PETSc's TAO: Newton's method with a line search, whose Hessian is a function that calls ad_hvp. */
#include <petsctao.h>

#include "demos/solvers/surface.h"

typedef struct {
    ad_objective *f;
    ad_var *v, *hv; /* hv is the Hessian times v */
    bool exact;
} problem;

/* ---- TAO's callbacks ----------------------------------------------------------------------------------- */

static PetscErrorCode value_and_gradient(Tao tao, Vec x, PetscReal *f, Vec grad, void *user) {
    const problem *p = user;
    const PetscScalar *at;
    PetscScalar *to;
    PetscInt n;
    (void)tao;
    PetscCall(VecGetSize(x, &n));
    PetscCall(VecGetArrayRead(x, &at));
    PetscCall(VecGetArray(grad, &to));
    *f = p->exact ? ad_value_and_gradient(at, to, p->f) : central_differences(n, at, to, p->f);
    PetscCall(VecRestoreArrayRead(x, &at));
    PetscCall(VecRestoreArray(grad, &to));
    return 0;
}

/* The Hessian is that at the point which the leaves hold. */
static PetscErrorCode hessian(Tao tao, Vec x, Mat h, Mat preconditioner, void *user) {
    const problem *p = user;
    const PetscScalar *at;
    (void)tao, (void)h, (void)preconditioner;
    PetscCall(VecGetArrayRead(x, &at));
    ad_value_and_gradient(at, NULL, p->f);
    PetscCall(VecRestoreArrayRead(x, &at));
    return 0;
}
static PetscErrorCode multiply(Mat h, Vec v, Vec hv) {
    problem *p;
    const PetscScalar *from;
    PetscScalar *to;
    PetscCall(MatShellGetContext(h, &p));
    PetscCall(VecGetArrayRead(v, &from));
    PetscCall(VecGetArray(hv, &to));
    ad_set(p->v, from);
    ad_eval(p->hv);
    memcpy(to, ad_data(p->hv), (size_t)ad_numel(p->hv) * sizeof *to);
    PetscCall(VecRestoreArrayRead(v, &from));
    PetscCall(VecRestoreArray(hv, &to));
    return 0;
}

/* ---- the solution ---------------------------------------------------------------------------------------- */

static PetscErrorCode run_tao(problem *p, const surface *s, const char *method, solver_run *run) {
    Tao tao;
    Vec z;
    Mat h;
    PetscInt n = (PetscInt)s->n, steps;
    const PetscScalar *at;
    double began = seconds_now();
    PetscCall(VecCreateSeq(PETSC_COMM_SELF, n, &z));
    PetscCall(MatCreateShell(PETSC_COMM_SELF, n, n, n, n, p, &h));
    PetscCall(MatShellSetOperation(h, MATOP_MULT, (void (*)(void))multiply));
    PetscCall(TaoCreate(PETSC_COMM_SELF, &tao));
    PetscCall(TaoSetType(tao, method));
    PetscCall(TaoSetSolution(tao, z));
    PetscCall(TaoSetObjectiveAndGradient(tao, NULL, value_and_gradient, p));
    PetscCall(TaoSetHessian(tao, h, h, hessian, p));
    PetscCall(TaoSetTolerances(tao, 1e-9, 0, 0));
    PetscCall(TaoSolve(tao));
    PetscCall(TaoGetIterationNumber(tao, &steps));
    PetscCall(VecGetArrayRead(z, &at));
    *run = (solver_run){ run->derivatives, steps, surface_error(s, at), seconds_now() - began };
    PetscCall(VecRestoreArrayRead(z, &at));
    PetscCall(TaoDestroy(&tao));
    PetscCall(MatDestroy(&h));
    PetscCall(VecDestroy(&z));
    return 0;
}

int main(int argc, char **argv) {
    int64_t m = 30;
    demo_parse(argc, argv,
               "Finds a minimal surface by TAO of PETSc: by Newton's method with products by ad_hvp, and by a\n"
               "quasi-Newton method. The error is the distance to Scherk's surface, most of it the grid's.",
               (demo_option[]){ SURFACE_OPTION(&m), { 0 } });
    PetscCall(PetscInitializeNoArguments());
    ad_graph *g = ad_graph_new();
    surface s = surface_new(g, m);
    problem p = { .f = ad_objective_new(surface_area(&s), 1, &s.z), .v = ad_zeros(g, AD_F64, AD_SHAPE(m, m)) };
    if (p.f == NULL || ad_hvp(surface_area(&s), 1, &s.z, &p.v, &p.hv)) return demo_end(argv, g);
    solver_run runs[3] = { { .derivatives = "exact, Newton" },
                           { .derivatives = "exact" },
                           { .derivatives = "differences" } };
    for (int i = 0; i < 3; i++) {
        p.exact = i < 2;
        PetscCall(run_tao(&p, &s, i == 0 ? TAONLS : TAOLMVM, &runs[i]));
    }
    int status = report_runs(3, runs, SURFACE_TOLERANCE), failed = demo_end(argv, g);
    PetscCall(PetscFinalize());
    return failed ? failed : status;
}
