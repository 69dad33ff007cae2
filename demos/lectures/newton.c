/* newton.c: lecture 18: Hessians, and Newton's steps beside gradient descent. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { ROWS = 40, STEPS = 2000, FINE = 101 };

/* The loss of a line's slope and offset w [2] on the data: cross-entropy and an L2 penalty. */
typedef struct {
    ad_var *x, *target, *w, *loss, *gradient, *hessian;
} problem;

/* Points x [n], and the class 1 more often the larger they are. */
static problem build(ad_graph *g, double penalty) {
    problem p = { .x = ad_muls(ad_randn(g, AD_F64, AD_SHAPE(ROWS)), 2), .w = ad_param(g, AD_F64, NULL, AD_SHAPE(2)) };
    ad_var *chance = ad_sigmoid(ad_adds(ad_muls(p.x, 1.5), -1));
    p.target = ad_detach(ad_lt(ad_rand(g, AD_F64, AD_SHAPE(ROWS)), chance));
    ad_var *score = ad_add(ad_mul(p.x, ad_select(p.w, 0, 0)), ad_select(p.w, 0, 1));
    p.loss = ad_add(nn_bce_logits(score, p.target), ad_muls(ad_sum(ad_square(p.w)), penalty));
    ad_gradient(p.loss, 1, &p.w, &p.gradient);
    p.hessian = ad_hessian(p.loss, p.w);
    return p;
}

/* The Hessian by hand: the mean of s (1 - s) (x, 1) (x, 1)^T, where s is the predicted chance, and the penalty's.
   Returns the largest difference between it and the engine's. */
static double check_hessian(const problem *p, double penalty) {
    double h[4] = { 2 * penalty, 0, 0, 2 * penalty }, worst = 0;
    for (int i = 0; i < ROWS; i++) {
        double x = ad_at(p->x, i), s = 1 / (1 + exp(-x * ad_at(p->w, 0) - ad_at(p->w, 1))), each = s * (1 - s) / ROWS;
        h[0] += each * x * x, h[1] += each * x, h[2] += each * x, h[3] += each;
    }
    for (int i = 0; i < 4; i++) worst = fmax(worst, fabs(h[i] - ad_at(p->hessian, i)));
    return worst;
}

/* A path of w, from 0. */
typedef struct {
    double w[STEPS + 1][2];
} path;

/* w <- w - damp H^-1 gradient. */
static void newton(const problem *p, double damp, path *to) {
    for (int k = 0; k < STEPS; k++) {
        ad_set(p->w, to->w[k]);
        ad_eval(p->gradient), ad_eval(p->hessian);
        double a = ad_at(p->hessian, 0), b = ad_at(p->hessian, 1), c = ad_at(p->hessian, 3), det = a * c - b * b;
        double d0 = ad_at(p->gradient, 0), d1 = ad_at(p->gradient, 1);
        to->w[k + 1][0] = to->w[k][0] - damp * (c * d0 - b * d1) / det;
        to->w[k + 1][1] = to->w[k][1] - damp * (a * d1 - b * d0) / det;
    }
}

/* w <- w - rate gradient. */
static void descend(const problem *p, double rate, path *to) {
    for (int k = 0; k < STEPS; k++) {
        ad_set(p->w, to->w[k]);
        ad_eval(p->gradient);
        for (int i = 0; i < 2; i++) to->w[k + 1][i] = to->w[k][i] - rate * ad_at(p->gradient, i);
    }
}

/* The distances to the minimum; returns the first step from which it is below 1e-12. */
static int distances(const path *w, const double minimum[2], double *distance) {
    int steps = STEPS;
    for (int k = STEPS; k >= 0; k--) {
        distance[k] = hypot(w->w[k][0] - minimum[0], w->w[k][1] - minimum[1]);
        if (distance[k] < 1e-12 && steps == k + (k < STEPS)) steps = k;
    }
    return steps;
}

static void plot(lecture *l, const problem *p, const path *w, const double *by_newton, const double *by_descent) {
    double x[FINE], y[FINE], steps[STEPS + 1];
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Distance from the minimum", .x = "step", .y = "distance", .logy = true,
                                .xlo = 0, .xhi = 200, .ylo = 1e-16, .yhi = 10 });
    for (int k = 0; k <= STEPS; k++) steps[k] = k;
    plot_lines(l, "Newton", 10, steps, by_newton);
    plot_lines(l, "gradient descent", 201, steps, by_descent);
    plot_panel(l, (panel_opts){ .title = "The first steps of Newton's method", .x = "x", .y = "chance of class 1",
                                .xlo = -5, .xhi = 5, .ylo = -0.05, .yhi = 1.05 });
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < FINE; i++) {
            x[i] = -5 + 0.1 * i;
            y[i] = 1 / (1 + exp(-w->w[k][0] * x[i] - w->w[k][1]));
        }
        plot_lines(l, (const char *const[]){ "start", "1 step", "2 steps", "3 steps" }[k], FINE, x, y);
    }
    for (int i = 0; i < ROWS; i++) x[i] = ad_at(p->x, i), y[i] = ad_at(p->target, i);
    plot_colour(l, 6);
    plot_points(l, "data", ROWS, x, y);
}

int main(int argc, char **argv) {
    const double penalty = 0.005;
    double damp = 1, off = 0;
    static path by_newton, by_descent;
    static double distance[2][STEPS + 1];
    lecture *l = lecture_begin(
        argc, argv,
        "The Hessian of a logistic regression is a Var, as its gradient is. Newton's method divides by it: near the\n"
        "minimum each step doubles the number of right digits, where gradient descent adds a constant number.",
        "--damp 0.9",
        (demo_option[]){ { "damp", "factor of Newton's steps", DEMO_REAL, &damp, 0.01, 1 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    problem p = build(g, penalty);
    newton(&p, damp, &by_newton);
    descend(&p, 1, &by_descent);
    const double *minimum = by_newton.w[STEPS];
    int steps = distances(&by_newton, minimum, distance[0]), slow = distances(&by_descent, minimum, distance[1]), k = 1;
    printf("step  Newton    gradient descent\n");
    for (int i = 0; i < 8; i++) printf("%4d  %.1e  %.1e\n", i, distance[0][i], distance[1][i]);
    while (k < 20 && distance[0][k + 1] > 1e-13) k++; /* the last step that rounding has not touched */
    double order = log(distance[0][k] / distance[0][k - 1]) / log(distance[0][k - 1] / distance[0][k - 2]);
    ad_set(p.w, by_newton.w[1]);
    ad_eval(p.hessian);
    off = check_hessian(&p, penalty);
    lecture_claim(l, off < 1e-12, "the engine's Hessian is the one by hand to %.0e", off);
    lecture_claim(l, fabs(order - 2) < 0.2, "the distance falls as the one before to the power %.2f", order);
    lecture_claim(l, steps <= 8 && slow > 20 * steps, "to 1e-12 Newton's method takes %d steps, gradient descent %d",
                  steps, slow);
    plot(l, &p, &by_newton, distance[0], distance[1]);
    return lecture_end(l, g);
}
