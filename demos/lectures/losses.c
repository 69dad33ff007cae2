/* losses.c: lecture 8: squared error against cross-entropy, and temperature. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { POINTS = 161, SAMPLES = 40, CELLS = 60, MOST = 1000, CLASSES = 4, TEMPERATURES = 3 };
static const char *const names[2] = { "squared error", "cross-entropy" };

/* The error of logits s for targets of 0 and 1: kind 0 is (a - y)^2 / 2 with a = sigmoid(s), 1 the cross-entropy. */
static ad_var *error_of(int kind, ad_var *s, ad_var *y, ad_reduction r) {
    return kind == 1 ? nn_bce_logits_with(s, y, NULL, r) : ad_muls(nn_mse_with(ad_sigmoid(s), y, r), 0.5);
}

/* ---- one output: error and gradient for target 1 ------------------------------------------------------------- */

/* Plots both; returns the size of the gradients at s = -8, where the output is wrong and sure. */
static void plot_gradients(lecture *l, ad_graph *g, double wrong[2]) {
    static double s[POINTS], e[2][POINTS], slope[2][POINTS];
    for (int i = 0; i < POINTS; i++) s[i] = -8 + 16.0 * i / (POINTS - 1);
    for (int k = 0; k < 2; k++) {
        ad_var *x = ad_param(g, AD_F64, s, AD_SHAPE(POINTS)), *each = error_of(k, x, ad_ones_like(x), AD_NONE);
        ad_backward(ad_sum(each));
        for (int i = 0; i < POINTS; i++) e[k][i] = ad_at(each, i), slope[k][i] = ad_grad_at(x, i);
        wrong[k] = fabs(slope[k][0]);
    }
    plot_panel(l, (panel_opts){ .title = "Error of an output whose target is 1", .x = "logit s", .y = "E" });
    for (int k = 0; k < 2; k++) plot_lines(l, names[k], POINTS, s, e[k]);
    plot_panel(l, (panel_opts){ .title = "Its gradient", .x = "logit s", .y = "dE/ds" });
    for (int k = 0; k < 2; k++) plot_lines(l, names[k], POINTS, s, slope[k]);
}

/* ---- a neuron with one input on a data set: surfaces over its weight and bias, and descent from a wrong start  */

typedef struct {
    ad_var *x, *y; /* [SAMPLES,1] */
} samples;

/* Two overlapping classes, at -1 and at 1. */
static samples draw_samples(ad_graph *g) {
    ad_var *noise = ad_randn(g, AD_F64, AD_SHAPE(SAMPLES, 1));
    double x[SAMPLES], y[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) y[i] = i % 2, x[i] = 2 * y[i] - 1 + 0.7 * ad_at(noise, i);
    return (samples){ ad_tensor(g, AD_F64, x, AD_SHAPE(SAMPLES, 1)), ad_tensor(g, AD_F64, y, AD_SHAPE(SAMPLES, 1)) };
}

/* Gradient descent from w = -8, b = 4, where nearly all samples are wrong and sure; returns how many are right. */
static int descend(ad_graph *g, int kind, samples d, int64_t steps, double path[2][MOST]) {
    ad_var *w = ad_param(g, AD_F64, (double[]){ -8 }, AD_SHAPE(1, 1)),
           *b = ad_param(g, AD_F64, (double[]){ 4 }, AD_SHAPE(1));
    ad_var *s = ad_affine(d.x, w, b), *e = error_of(kind, s, d.y, AD_MEAN);
    for (int64_t k = 0; k < steps && ad_eval(e) == AD_OK; k++) {
        path[0][k] = ad_item(w), path[1][k] = ad_item(b);
        ad_zero_grad(e), ad_backward(e);
        *(double *)ad_data_mut(w) -= ad_grad_item(w), *(double *)ad_data_mut(b) -= ad_grad_item(b);
    }
    ad_eval(e);
    int right = 0;
    for (int i = 0; i < SAMPLES; i++) right += (ad_at(s, i) > 0) == (ad_at(d.y, i) > 0.5);
    return right;
}

/* The mean error over the plane of weight and bias, with the path of the descent. */
static void plot_surface(lecture *l, ad_graph *g, int kind, samples d, int64_t steps, double path[2][MOST]) {
    panel_opts o = { .x = "weight", .y = "bias", .xlo = -9, .xhi = 9, .ylo = -9, .yhi = 9 };
    o.title = kind ? "Surface: cross-entropy" : "Surface: squared error";
    ad_var *cells = plot_cells(g, AD_F64, CELLS, CELLS, o), *one = ad_ones_like(d.x);
    ad_var *inputs = ad_concat(2, (ad_var *[]){ d.x, one }, 1); /* [SAMPLES,2] */
    ad_var *s = ad_matmul(cells, ad_transpose(inputs));         /* [CELLS^2,SAMPLES] */
    ad_var *each = error_of(kind, s, ad_expand(ad_transpose(d.y), ad_shape_of(s)), AD_NONE);
    plot_panel(l, o);
    plot_field(l, PLOT_HEIGHT, CELLS, CELLS, ad_mean_axes(each, 1, (int[]){ 1 }, false));
    plot_colour(l, 5);
    plot_lines(l, "descent", steps, path[0], path[1]);
    plot_colour(l, 5);
    plot_points(l, "its end", 1, &path[0][steps - 1], &path[1][steps - 1]);
}

/* ---- temperature --------------------------------------------------------------------------------------------- */

/* The entropy of softmax(z / T) in bits. */
static double entropy(ad_var *z, double temperature) {
    return ad_item(ad_sum(ad_entr(ad_softmax(ad_muls(z, 1 / temperature), 0)))) / log(2);
}

/* Plots softmax of z / T and its entropy. */
static void plot_temperature(lecture *l, ad_graph *g, double bits[TEMPERATURES]) {
    static const double temperature[TEMPERATURES] = { 0.5, 1, 4 };
    static const char *const labels[CLASSES] = { "z = 0.6", "z = 3.4", "z = -1.2", "z = 0.05" };
    static const char *const keys[TEMPERATURES] = { "T = ½", "T = 1", "T = 4" };
    double t[POINTS], curve[POINTS];
    ad_var *z = ad_tensor(g, AD_F64, (double[]){ 0.6, 3.4, -1.2, 0.05 }, AD_SHAPE(CLASSES));
    plot_panel(l, (panel_opts){ .title = "Softmax of z / T", .x = "", .y = "probability", .ylo = 0, .yhi = 1.05 });
    for (int k = 0; k < TEMPERATURES; k++) {
        bits[k] = entropy(z, temperature[k]);
        plot_bars(l, keys[k], CLASSES, labels, ad_data(ad_softmax(ad_muls(z, 1 / temperature[k]), 0)));
    }
    for (int i = 0; i < POINTS; i++) t[i] = pow(10, -1 + 3.0 * i / (POINTS - 1)), curve[i] = entropy(z, t[i]);
    plot_panel(l, (panel_opts){
                      .title = "Its entropy", .x = "temperature T", .y = "bits", .logx = true, .ylo = 0, .yhi = 2.1 });
    plot_lines(l, "softmax(z / T)", POINTS, t, curve);
    plot_dashed(l, "four equal classes", 2, (double[]){ 0.1, 100 }, (double[]){ 2, 2 });
}

int main(int argc, char **argv) {
    int64_t steps = 300;
    double wrong[2], bits[TEMPERATURES];
    static double path[2][2][MOST];
    int right[2];
    lecture *l = lecture_begin(
        argc, argv,
        "Squared error against cross-entropy for a sigmoid output: gradients when the output is wrong and\n"
        "sure, surfaces over weight and bias, and descent from a wrong start; softmax with a temperature.",
        "--steps 5", (demo_option[]){ { "steps", "of the descents", DEMO_WHOLE, &steps, 1, MOST }, { 0 } });
    ad_graph *g = lecture_graph(l);
    plot_layout(l, 3, 2);
    plot_gradients(l, g, wrong);
    lecture_claim(
        l, fabs(wrong[1] - 1) < 1e-3 && wrong[0] < 1e-3,
        "where the output is %.4f and should be 1, the gradient is %.4f by cross-entropy and %.1e by squared error",
        1 / (1 + exp(8.0)), wrong[1], wrong[0]);
    samples d = draw_samples(g);
    for (int k = 0; k < 2; k++) {
        right[k] = descend(g, k, d, steps, path[k]);
        plot_surface(l, g, k, d, steps, path[k]);
    }
    lecture_claim(l, right[1] > 0.85 * SAMPLES && right[0] < 0.7 * SAMPLES,
                  "after %lld steps from a wrong start, cross-entropy has %d of %d samples right and squared error %d",
                  (long long)steps, right[1], SAMPLES, right[0]);
    plot_temperature(l, g, bits);
    lecture_claim(l, bits[0] < bits[1] && bits[1] < bits[2] && bits[2] < 2,
                  "the entropy of softmax(z / T) grows with the temperature: %.2f bits at 1/2, %.2f at 1, %.2f at 4",
                  bits[0], bits[1], bits[2]);
    return lecture_end(l, g);
}
