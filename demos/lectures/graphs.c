/* graphs.c: lecture 1: expression graphs, drawn and traced, kept and built anew. */
#include "demos/lectures/lecture.h"
#include "ops/ops.h"

enum { MOST = 32, STEPS = 200 };

/* ---- two expressions, with names for all Vars ---------------------------------------------------------------- */

static ad_var *first(ad_graph *g, ad_var **x, ad_var **y) {
    *x = ad_name(ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR), "x");
    *y = ad_name(ad_param(g, AD_F64, (double[]){ 4.2 }, AD_SCALAR), "y");
    ad_var *v1 = ad_name(ad_sin(*x), "v1"), *v2 = ad_name(ad_mul(*x, *y), "v2");
    return ad_name(ad_add(v1, v2), "f");
}

static ad_var *second(ad_graph *g) {
    ad_var *a = ad_name(ad_param(g, AD_F64, (double[]){ 1, 2, 3, 4 }, AD_SHAPE(2, 2)), "A");
    ad_var *b = ad_name(ad_param(g, AD_F64, (double[]){ 0.5, -1 }, AD_SHAPE(2)), "b");
    ad_var *c = ad_name(ad_param(g, AD_F64, (double[]){ 10 }, AD_SCALAR), "c");
    ad_var *x = ad_name(ad_tensor(g, AD_F64, (double[]){ 2, 1 }, AD_SHAPE(2)), "x");
    ad_var *u1 = ad_name(ad_matmul(a, x), "u1"), *u2 = ad_name(ad_dot(b, x), "u2");
    return ad_name(ad_add(ad_name(ad_add(u1, u2), "u3"), c), "y");
}

/* ---- the trace ----------------------------------------------------------------------------------------------- */

/* Lists the Vars that the last of the list depends on, operands before results; returns their number. */
static int list(ad_var *y, ad_var *all[MOST]) {
    int n = 1;
    all[0] = y; /* results first, then turned round: a Var that is met again moves to the end */
    for (int k = 0; k < n; k++)
        for (int i = 0; ad_creator(all[k]) != NULL && i < ad_op_arity(ad_creator(all[k])); i++) {
            ad_var *x = ad_op_operand(ad_creator(all[k]), i);
            for (int j = k + 1; j < n; j++)
                if (all[j] == x) memmove(&all[j], &all[j + 1], (size_t)(--n - j) * sizeof *all);
            all[n++] = x;
        }
    for (int k = 0; k < n / 2; k++) {
        ad_var *swap = all[k];
        all[k] = all[n - 1 - k], all[n - 1 - k] = swap;
    }
    return n;
}

/* Prints evaluation forwards and gradients backwards, a line for each Var; returns the number of Ops. */
static int trace(ad_var *y) {
    ad_var *all[MOST];
    int n = list(y, all), ops = 0;
    for (int k = 0; k < n; k++) {
        const ad_op *op = ad_creator(all[k]);
        char text[64] = "given";
        if (op != NULL)
            snprintf(text, sizeof text, "%s(%s%s%s)", ad_op_name(op), ad_name_of(ad_op_operand(op, 0)),
                     ad_op_arity(op) > 1 ? ", " : "", ad_op_arity(op) > 1 ? ad_name_of(ad_op_operand(op, 1)) : "");
        printf("  %-3s = %-14s = %-10.6g  d%s/d%s = %.6g%s\n", ad_name_of(all[k]), text, ad_at(all[k], 0),
               ad_name_of(y), ad_name_of(all[k]), ad_grad_at(all[k], 0), ad_numel(all[k]) > 1 ? "  (element 0)" : "");
        ops += op != NULL;
    }
    return ops;
}

/* ---- gradient descent ---------------------------------------------------------------------------------------- */

/* Huber's function of x - 1, written with an if: a parabola near its minimum, straight lines elsewhere. */
static ad_var *huber(ad_var *x) {
    ad_var *r = ad_abs(ad_adds(x, -1));
    if (ad_branch(ad_gt(r, ad_scalar(ad_graph_of(x), AD_F64, 1)))) return ad_adds(r, -0.5);
    return ad_muls(ad_square(r), 0.5);
}

static void step(ad_var *x, ad_var *e, double rate) {
    ad_zero_grad(e);
    ad_backward(e);
    *(double *)ad_data_mut(x) -= rate * ad_grad_item(x);
}

/* A static graph: evaluated again at each step, built again where its branch would go the other way. Returns the number
   of graphs. */
static int descend_static(ad_graph *g, ad_var *x, double rate, double path[STEPS]) {
    int graphs = 1;
    ad_var *e = huber(x);
    for (int k = 0; k < STEPS; k++) {
        if (ad_eval(e) == AD_EBRANCH) ad_clear_error(g), e = huber(x), graphs++;
        step(x, e, rate);
        path[k] = ad_item(x);
    }
    return graphs;
}

/* Define-by-run: a new graph at each step, whose memory the scope frees. */
static int descend_dynamic(ad_graph *g, ad_var *x, double rate, double path[STEPS]) {
    for (int k = 0; k < STEPS; k++) {
        ad_mark m = ad_begin(g);
        step(x, huber(x), rate);
        ad_end(g, m);
        path[k] = ad_item(x);
    }
    return STEPS;
}

int main(int argc, char **argv) {
    double rate = 0.1, path[2][STEPS], took[3];
    lecture *l =
        lecture_begin(argc, argv,
                      "Traces and draws (by Graphviz) the graphs of f = sin x + x y and y = A x + b.x + c, and runs\n"
                      "gradient descent on a graph that is kept and on graphs that are built at each step.",
                      "--rate 3", (demo_option[]){ { "rate", "step of the descent", DEMO_REAL, &rate, 0, 10 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    ad_var *x, *y, *f = first(g, &x, &y), *affine = second(g);
    ad_backward(f);
    ad_backward_from(affine, ad_ones_like(affine));
    printf("f = sin x + x y\n");
    int ops = trace(f);
    printf("y = A x + b.x + c\n");
    ops += trace(affine);
    double error = lecture_worst(fabs(ad_grad_item(x) - (cos(0.5) + 4.2)), ad_grad_item(y) - 0.5);
    lecture_claim(l, error < 1e-14 && ops == 7,
                  "the graphs have 3 and 4 Ops, and the derivatives are cos x + y and x with an error of %.0e", error);
    plot_graphs(l, 2, (ad_var *[]){ f, affine }, (const char *const[]){ "f = sin x + x y", "y = A x + b·x + c" });

    ad_var *start[2];
    int graphs[2];
    for (int k = 0; k < 2; k++) start[k] = ad_param(g, AD_F64, (double[]){ 6 }, AD_SCALAR);
    took[0] = lecture_seconds();
    graphs[0] = descend_static(g, start[0], rate, path[0]);
    took[1] = lecture_seconds();
    graphs[1] = descend_dynamic(g, start[1], rate, path[1]);
    took[2] = lecture_seconds();
    printf("%d steps: static graph %.2f us a step, define-by-run %.2f us a step\n", STEPS,
           1e6 * (took[1] - took[0]) / STEPS, 1e6 * (took[2] - took[1]) / STEPS);
    lecture_claim(l,
                  memcmp(path[0], path[1], sizeof path[0]) == 0 && graphs[0] < graphs[1] &&
                      fabs(path[0][STEPS - 1] - 1) < 1e-6,
                  "%d static graphs, one for each way of the branch, give the same %d steps to x = %.6f as %d graphs "
                  "built on the way",
                  graphs[0], STEPS, path[0][STEPS - 1], graphs[1]);
    return lecture_end(l, g);
}
