/* modes.c: lecture 18: Jacobians by forward and by reverse mode, and what they cost. */
#include "demos/lectures/lecture.h"
#include "ops/ops.h"

enum { HIDDEN = 64, MOST = 13, ALL = 4096 };

/* y [m] = W2 tanh(W1 tanh(W0 x)), x [n]. */
typedef struct {
    int64_t n, m;
    ad_var *x, *y;
} function;

static function build(ad_graph *g, int64_t n, int64_t m) {
    ad_var *w0 = ad_muls(ad_randn(g, AD_F64, AD_SHAPE(HIDDEN, n)), 1 / sqrt((double)n));
    ad_var *w1 = ad_muls(ad_randn(g, AD_F64, AD_SHAPE(HIDDEN, HIDDEN)), 1 / sqrt(HIDDEN));
    ad_var *w2 = ad_muls(ad_randn(g, AD_F64, AD_SHAPE(m, HIDDEN)), 1 / sqrt(HIDDEN));
    ad_var *x = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(1, n)));
    ad_var *h = ad_tanh(ad_affine(ad_tanh(ad_affine(x, w0, NULL)), w1, NULL));
    return (function){ n, m, x, ad_affine(h, w2, NULL) };
}

/* What a Jacobian costs. */
typedef struct {
    int64_t passes, ops; /* ops: evaluated in all passes */
    double seconds;
} cost;

/* Evaluates a product once for each unit vector in its leaf `along`, which writes a column of J (forward) or a row. */
static cost run(ad_graph *g, ad_var *product, ad_var *along, int64_t ops, double *j, int64_t step, int64_t stride) {
    int64_t passes = ad_numel(along), each = ad_numel(product);
    double start = lecture_seconds();
    for (int64_t p = 0; p < passes && ad_ok(g); p++) {
        double *unit = ad_data_mut(along);
        for (int64_t i = 0; i < passes; i++) unit[i] = i == p;
        ad_eval(product);
        const double *values = ad_data(product);
        for (int64_t i = 0; i < each; i++) j[p * step + i * stride] = values[i];
    }
    return (cost){ passes, ops * passes, lecture_seconds() - start };
}

/* J [m,n] by products J v with the n unit vectors v. */
static cost forward(ad_graph *g, function f, double *j) {
    ad_var *v = ad_zeros(g, AD_F64, AD_SHAPE(1, f.n));
    int64_t before = ad_graph_stats(g).ops;
    ad_var *product = ad_jvp(f.y, 1, &f.x, &v);
    return run(g, product, v, ad_graph_stats(g).ops - before, j, 1, f.n);
}

/* J [m,n] by products w^T J with the m unit vectors w. */
static cost reverse(ad_graph *g, function f, double *j) {
    ad_var *w = ad_zeros(g, AD_F64, AD_SHAPE(1, f.m)), *product;
    int64_t before = ad_graph_stats(g).ops;
    ad_vjp(f.y, w, 1, &f.x, &product);
    return run(g, product, w, ad_graph_stats(g).ops - before, j, f.n, 1);
}

/* Both costs of each shape, n inputs and m = all / n outputs. */
typedef struct {
    int shapes;
    double n[MOST], ops[2][MOST], micros[2][MOST], apart; /* apart: the largest difference between the Jacobians */
} table;

static void measure(ad_graph *g, int64_t all, table *t) {
    static double j[2][ALL];
    printf(" inputs  outputs  forward: passes    Ops      us  reverse: passes    Ops      us\n");
    for (int64_t n = 1; n <= all && ad_ok(g); n *= 2) {
        ad_mark s = ad_begin(g);
        function f = build(g, n, all / n);
        cost c[2] = { forward(g, f, j[0]), reverse(g, f, j[1]) };
        printf("%7lld  %7lld", (long long)n, (long long)f.m);
        for (int k = 0; k < 2; k++) {
            printf("  %15lld  %5lld  %6.0f", (long long)c[k].passes, (long long)c[k].ops, 1e6 * c[k].seconds);
            t->ops[k][t->shapes] = (double)c[k].ops, t->micros[k][t->shapes] = 1e6 * c[k].seconds;
        }
        printf("\n");
        for (int64_t i = 0; i < n * f.m; i++) t->apart = fmax(t->apart, fabs(j[0][i] - j[1][i]));
        t->n[t->shapes++] = (double)n;
        ad_end(g, s);
    }
}

int main(int argc, char **argv) {
    int64_t all = 256;
    table t = { 0 };
    lecture *l = lecture_begin(
        argc, argv,
        "The Jacobian of a network of n inputs and m outputs, n m = 256, by forward mode, one pass for each input,\n"
        "and by reverse mode, one pass for each output. A loss is one output: so networks learn by reverse mode.",
        "--all 4",
        (demo_option[]){ { "all", "elements of the Jacobian, to the power of 2 below", DEMO_WHOLE, &all, 2, ALL },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    measure(g, (int64_t)pow(2, floor(log2((double)all))), &t);
    int last = t.shapes - 1;
    double few = t.ops[1][0] / t.ops[0][0], many = t.ops[0][last] / t.ops[1][last];
    lecture_claim(l, t.apart < 1e-12, "both modes give the same Jacobians, to %.0e", t.apart);
    lecture_claim(l, few > 50, "with 1 input and %.0f outputs, reverse mode takes %.0f times the Ops of forward mode",
                  t.n[last], few);
    lecture_claim(l, many > 200, "with %.0f inputs and 1 output, forward mode takes %.0f times the Ops of reverse mode",
                  t.n[last], many);
    plot_layout(l, 1, 2);
    for (int k = 0; k < 2; k++) {
        plot_panel(l, (panel_opts){ .title = k == 0 ? "Ops evaluated for the Jacobian" : "Time of the Jacobian",
                                    .x = "inputs n (outputs: 256 / n)", .y = k == 0 ? "Ops" : "time (µs)",
                                    .logx = true, .logy = true });
        plot_lines(l, "forward", t.shapes, t.n, k == 0 ? t.ops[0] : t.micros[0]);
        plot_lines(l, "reverse", t.shapes, t.n, k == 0 ? t.ops[1] : t.micros[1]);
    }
    return lecture_end(l, g);
}
