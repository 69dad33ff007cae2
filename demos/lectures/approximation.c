/* approximation.c: lecture 9: universal approximation by pieces, set by hand and learned. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { POINTS = 400, COUNTS = 6, MOST = 64 };
static const int counts[COUNTS] = { 2, 4, 8, 16, 32, 64 };

static double target(double x) { return sin(6.3 * x) + 0.4 * cos(16 * x) + x; }

typedef struct {
    double x[POINTS], f[POINTS], y[POINTS]; /* 0 to 1, the target, the network */
} fit;

static double rms(const fit *p) {
    double sum = 0;
    for (int i = 0; i < POINTS; i++) sum += (p->y[i] - p->f[i]) * (p->y[i] - p->f[i]);
    return sqrt(sum / POINTS);
}

/* ---- by hand ------------------------------------------------------------------------------------------------- */

/* Sets a 1-2n-1 network of sigmoids: hidden units 2k and 2k+1 step up at the ends of piece k, and the output takes
   their difference times the target's value in the middle. The first piece begins before 0, the last ends after 1. */
static void build(nn_module *net, int n, double steepness) {
    double *w1 = ad_data_mut(nn_find_parameter(net, "0.weight")), *b1 = ad_data_mut(nn_find_parameter(net, "0.bias"));
    double *w2 = ad_data_mut(nn_find_parameter(net, "2.weight")), *b2 = ad_data_mut(nn_find_parameter(net, "2.bias"));
    for (int k = 0; k < n; k++)
        for (int end = 0; end < 2; end++) {
            double at = (k + end) / (double)n + (k == 0 && end == 0 ? -1 : k == n - 1 && end == 1 ? 1 : 0);
            w1[2 * k + end] = steepness;
            b1[2 * k + end] = -steepness * at;
            w2[2 * k + end] = (end == 0 ? 1 : -1) * target((k + 0.5) / n);
        }
    b2[0] = 0;
}

/* ---- learned ------------------------------------------------------------------------------------------------- */

/* Steps begin spread over the interval, as those by hand do, and are less steep. */
static void train(ad_graph *g, nn_module *net, int n, ad_var *x, ad_var *f, int64_t steps) {
    build(net, n, 4.0 * n);
    nn_optim *opt = nn_adam(net, (nn_adam_opts){ .lr = 0.02 });
    nn_schedule *slower = nn_cosine_lr(opt, steps, 0);
    ad_var *loss = nn_mse(nn_apply(net, x), f);
    for (int64_t k = 0; k < steps && ad_ok(g); k++) {
        ad_eval(loss);
        nn_zero_grad(opt), ad_backward(loss), nn_step(opt);
        nn_schedule_step(slower, 0);
    }
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static double try(ad_graph *g, int n, int64_t steps, fit *p) {
    ad_mark m = ad_begin(g);
    nn_module *net = nn_mlp(g, AD_F64, 3, (int64_t[]){ 1, 2 * n, 1 }, ad_sigmoid);
    ad_var *x = ad_tensor(g, AD_F64, p->x, AD_SHAPE(POINTS, 1)), *f = ad_tensor(g, AD_F64, p->f, AD_SHAPE(POINTS, 1));
    if (steps == 0) build(net, n, 40.0 * n);
    else train(g, net, n, x, f, steps);
    ad_var *y = nn_apply(net, x);
    for (int i = 0; i < POINTS; i++) p->y[i] = ad_at(y, i);
    ad_end(g, m);
    return rms(p);
}

static void plot_fit(lecture *l, const char *title, const fit *p) {
    plot_panel(l, (panel_opts){ .title = title, .x = "x", .y = "f(x)" });
    plot_lines(l, "network", POINTS, p->x, p->y);
    plot_dashed(l, "target", POINTS, p->x, p->f);
}

/* The claims about the errors by hand, error[0], and learned, error[1], and their plot. */
static void compare(lecture *l, double error[2][COUNTS]) {
    double pieces[COUNTS], slope[COUNTS];
    for (int k = 0; k < COUNTS; k++) pieces[k] = counts[k], slope[k] = error[0][3] * counts[3] / counts[k];
    double order = log(error[0][3] / error[0][5]) / log((double)counts[5] / counts[3]);
    lecture_claim(l, fabs(order - 1) < 0.1,
                  "by hand, the error falls from %.3f with 16 pieces to %.3f with 64: as their number to the power "
                  "-%.2f",
                  error[0][3], error[0][5], order);
    lecture_claim(l, error[1][2] < error[0][2] / 10 && error[1][2] < error[0][5],
                  "with 8 pieces, training makes the error %.0f times smaller: %.4f, below that of 64 by hand",
                  error[0][2] / error[1][2], error[1][2]);
    panel_opts o = { .title = "Error against the number of pieces", .x = "pieces", .y = "root of the mean square" };
    o.logx = o.logy = true, o.xlo = 1.5, o.xhi = 80;
    plot_panel(l, o);
    plot_lines(l, "by hand", COUNTS, pieces, error[0]);
    plot_lines(l, "learned", COUNTS, pieces, error[1]);
    plot_dashed(l, "1 / pieces", COUNTS, pieces, slope);
}

int main(int argc, char **argv) {
    int64_t steps = 3000;
    double error[2][COUNTS];
    static fit shown[2][COUNTS];
    lecture *l = lecture_begin(
        argc, argv,
        "Universal approximation: a network with one hidden layer whose pairs of steep sigmoids are set by hand\n"
        "to be pieces of a staircase, its error against the number of pieces, and the same network trained.",
        "--steps 3", (demo_option[]){ { "steps", "of each training", DEMO_WHOLE, &steps, 1, 1e6 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    for (int k = 0; k < COUNTS; k++) {
        for (int learned = 0; learned < 2; learned++) {
            fit *p = &shown[learned][k];
            for (int i = 0; i < POINTS; i++) p->x[i] = (i + 0.5) / POINTS, p->f[i] = target(p->x[i]);
            error[learned][k] = try(g, counts[k], learned ? steps : 0, p);
        }
        printf("%2d pieces, %3d sigmoids: error by hand %.4f, learned %.5f\n", counts[k], 2 * counts[k], error[0][k],
               error[1][k]);
    }
    plot_layout(l, 2, 2);
    plot_fit(l, "8 pieces by hand", &shown[0][2]);
    plot_fit(l, "32 pieces by hand", &shown[0][4]);
    plot_fit(l, "4 pairs of sigmoids, learned", &shown[1][1]);
    compare(l, error);
    return lecture_end(l, g);
}
