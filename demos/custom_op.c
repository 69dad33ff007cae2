/* custom_op.c: a user-defined op, Lambert's W, checked and used for the current through a resistor and a diode. */
#include "autodiff/op.h"
#include "demos/demo.h"
#include "ops/ops.h"

/* ---- the op: w such that w e^w = x, for x >= 0 ------------------------------------------------------- */

static double lambert(double x) {
    double w = log1p(x), step = 1; /* from above the root, Newton's method converges without passing it */
    for (int i = 0; i < 50 && fabs(step) > 1e-15 * w; i++) w -= step = (w - x * exp(-w)) / (w + 1);
    return w;
}

static int lambertw_evaluate(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0));
    double *w = ad_values(op);
    for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) {
        if (x[i] < 0)
            return ad_op_fail(op, AD_EVALUE, "element %lld is %g: it must be at least 0", (long long)i, x[i]);
        w[i] = lambert(x[i]);
    }
    return AD_OK;
}

/* From w e^w = x: dw/dx = 1 / (e^w + w e^w) = 1 / (x + e^w). */
static void lambertw_backward(const ad_op *op) {
    const double *x = ad_data(ad_op_operand(op, 0)), *w = ad_data(ad_op_result(op)), *g = ad_grad(ad_op_result(op));
    double *gx = ad_grad_into(op, 0);
    for (int64_t i = 0; i < ad_numel(ad_op_result(op)); i++) gx[i] += g[i] / (x[i] + exp(w[i]));
}

/* The same in Vars, so that the gradient can be differentiated again. */
static void lambertw_vjp(const ad_op *op, ad_var *g, ad_var *dx[]) {
    dx[0] = ad_div(g, ad_add(ad_op_operand(op, 0), ad_exp(ad_op_result(op))));
}

static void lambertw_samples(ad_sampler *s) {
    ad_sample(s, NULL, 1, &AD_SHAPE(2, 3), &(double){ 0.1 }, &(double){ 9 });
}

static AD_OPTYPE(lambertw, .doc = "Lambert's W, the principal branch", .arity = 1,
                 .evaluate = { NULL, lambertw_evaluate }, .backward = { NULL, lambertw_backward }, .vjp = lambertw_vjp);

static ad_var *lambertw(ad_var *x) { return ad_apply(&ad_op_lambertw, 1, &x, NULL); }

/* ---- a circuit: a resistor r and a diode in series --------------------------------------------------- */

static const double VT = 0.05, IS = 1e-6; /* of the diode, in volts and amperes */

/* The current i in v = r i + VT log(1 + i / IS), solved for i. */
static ad_var *current(ad_var *v, double r) {
    ad_var *x = ad_muls(ad_exp(ad_muls(ad_adds(v, r * IS), 1 / VT)), r * IS / VT);
    return ad_adds(ad_muls(lambertw(x), VT / r), -IS);
}

static void print_currents(ad_graph *g, double r) {
    ad_var *v = ad_param(g, AD_F64, (double[]){ 0.25, 0.5, 0.75, 1 }, AD_SHAPE(4)), *i = current(v, r), *slope, *bend;
    ad_gradient(ad_sum(i), 1, &v, &slope); /* each current depends only on its own voltage */
    ad_gradient(ad_sum(slope), 1, &v, &bend);
    printf("volts   amperes      di/dv        d2i/dv2      v - r i - VT log(1 + i / IS)\n");
    for (int k = 0; k < 4 && ad_ok(g); k++)
        printf("%-6g  %.5e  %.5e  %.5e  %.0e\n", ad_at(v, k), ad_at(i, k), ad_at(slope, k), ad_at(bend, k),
               fabs(ad_at(v, k) - r * ad_at(i, k) - VT * log1p(ad_at(i, k) / IS)));
}

int main(int argc, char **argv) {
    int64_t seed = 0;
    double r = 10;
    demo_parse(argc, argv,
               "Defines an op, Lambert's W, checks it against finite differences, and uses it to compute the current\n"
               "through a resistor and a diode in series and its derivatives with respect to the voltage.",
               (demo_option[]){ { "seed", "ignored: nothing here is random", DEMO_WHOLE, &seed, 0, 0x1p62 },
                                { "ohms", "resistance in ohms", DEMO_REAL, &r, 0.1, 1e6 },
                                { 0 } });

    ad_graph *g = ad_graph_new();
    ad_check_report report;
    bool right = ad_check_op(g, &ad_op_lambertw, &report) == AD_OK;
    if (right) printf("lambertw: %lld derivatives agree with finite differences\n", (long long)report.compared);
    else printf("%s\n", report.message);
    print_currents(g, r);
    int status = demo_end(argv, g);
    return right ? status : 1;
}
