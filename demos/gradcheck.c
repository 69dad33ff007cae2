/* gradcheck.c: checks the gradients of an expression and of a user-defined op against finite differences. */
#include "autodiff/op.h"
#include "demos/demo.h"
#include "ops/ops.h"

/* The expression to check: mean over rows of log sum exp (tanh(x) w^T). */
static ad_var *expression(int n, ad_var *const xs[], void *user) {
    (void)n, (void)user;
    return ad_mean(ad_logsumexp_axis(ad_affine(ad_tanh(xs[0]), xs[1], NULL), -1, false));
}

static void check_expression(ad_graph *g) {
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(5, 3)));
    ad_var *w = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(4, 3)));
    ad_check_report r;
    if (ad_gradcheck(expression, NULL, 2, (ad_var *[]){ x, w }, NULL, &r) == AD_OK)
        printf("mean(logsumexp(tanh(x) w^T)): %lld derivatives agree with finite differences\n", (long long)r.compared);
    else printf("%s\n", r.message);
}

/* ---- an op y = x^3 with a mistake in its derivative -------------------------------------------------- */

static int cube_evaluate(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0));
    double *y = ad_values(op);
    for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) y[i] = x[i] * x[i] * x[i];
    return AD_OK;
}

static void cube_backward(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0)), *g = ad_grad(ad_op_result(op));
    double *gx = ad_grad_into(op, 0);
    for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) gx[i] += g[i] * 2 * x[i] * x[i]; /* wrong: it is 3 x^2 */
}

static void cube_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_mul(g, ad_muls(ad_square(ad_op_operand(op, 0)), 2));
}

static void cube_samples(ad_sampler *s) { ad_sample(s, NULL, 1, &AD_SHAPE(4), NULL, NULL); }

static AD_OPTYPE(cube, .doc = "x cubed", .arity = 1, .evaluate = { NULL, cube_evaluate },
                 .backward = { NULL, cube_backward }, .vjp = cube_vjp);

/* Whether the check finds the mistake, as it should. */
static bool check_cube(ad_graph *g) {
    ad_check_report r;
    int rc = ad_check_op(g, &ad_op_cube, &r);
    if (rc == AD_ECHECK) printf("an op with a wrong derivative is caught:\n  %s\n", r.message);
    else printf("an op with a wrong derivative was not caught\n");
    return rc == AD_ECHECK;
}

int main(int argc, char **argv) {
    int64_t seed = 0;
    demo_parse(argc, argv,
               "Checks the gradient of an expression at a random point against finite differences, and\n"
               "prints the report on an op whose derivative is wrong.",
               (demo_option[]){ DEMO_SEED(&seed), { 0 } });

    ad_graph *g = ad_graph_new();
    ad_seed(g, (uint64_t)seed);
    check_expression(g);
    bool caught = check_cube(g);
    int status = demo_end(argv, g);
    return caught ? status : 1;
}
