/* two_layer.c: lecture 6: the two-layer network in twenty lines, and with gradients by hand. */
#include "demos/lectures/lecture.h"
#include "ops/ops.h"

enum { N = 64, IN = 1000, HIDDEN = 100, OUT = 10, MOST = 2000 };

/* ---- with the library: W1 and W2 learn to map x to y --------------------------------------------------------- */

static void learn(ad_graph *g, ad_var *x, ad_var *y, ad_var *w1, ad_var *w2, double rate, int64_t steps,
                  double losses[]) {
    ad_var *predicted = ad_matmul(ad_sigmoid(ad_matmul(x, w1)), w2);
    ad_var *loss = ad_sum(ad_square(ad_sub(predicted, y)));
    ad_var *const weights[2] = { w1, w2 };
    for (int64_t t = 0; t < steps && ad_ok(g); t++) {
        ad_eval(loss);
        ad_zero_grad(loss);
        ad_backward(loss);
        losses[t] = ad_item(loss);
        for (int k = 0; k < 2; k++) {
            double *w = ad_data_mut(weights[k]);
            const double *slope = ad_grad(weights[k]);
            for (int64_t i = 0; i < ad_numel(weights[k]); i++) w[i] -= rate * slope[i];
        }
    }
}

/* ---- by hand ------------------------------------------------------------------------------------------------- */

/* c [n,m] = a [n,k] b [k,m]; turn: a is given as [k,n]. Four rows at a time, as n is a multiple of 4: each number of b
   that is read serves four products. */
static void multiply(int n, int k, int m, const double *a, bool turn, const double *restrict b, double *restrict c) {
    memset(c, 0, sizeof *c * (size_t)n * (size_t)m);
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j < k; j++) {
            double *c0 = c + i * m, *c1 = c0 + m, *c2 = c1 + m, *c3 = c2 + m, f[4];
            for (int r = 0; r < 4; r++) f[r] = turn ? a[j * n + i + r] : a[(i + r) * k + j];
            for (int o = 0; o < m; o++) {
                double t = b[j * m + o];
                c0[o] += f[0] * t, c1[o] += f[1] * t, c2[o] += f[2] * t, c3[o] += f[3] * t;
            }
        }
}

typedef struct {
    double s[N * HIDDEN], h[N * HIDDEN], out[N * OUT], delta2[N * OUT], delta1[N * HIDDEN], turned[OUT * HIDDEN],
        slope2[HIDDEN * OUT], slope1[IN * HIDDEN];
} buffers;

/* One step; returns the loss. */
static double step(const double *x, const double *y, double *w1, double *w2, double rate, buffers *b) {
    double loss = 0;
    multiply(N, IN, HIDDEN, x, false, w1, b->s);
    for (int i = 0; i < N * HIDDEN; i++) b->h[i] = 1 / (1 + exp(-b->s[i]));
    multiply(N, HIDDEN, OUT, b->h, false, w2, b->out);
    for (int i = 0; i < N * OUT; i++) {
        double error = b->out[i] - y[i];
        loss += error * error;
        b->delta2[i] = 2 * error;
    }
    multiply(HIDDEN, N, OUT, b->h, true, b->delta2, b->slope2);
    for (int i = 0; i < HIDDEN * OUT; i++) b->turned[i % OUT * HIDDEN + i / OUT] = w2[i];
    multiply(N, OUT, HIDDEN, b->delta2, false, b->turned, b->delta1);
    for (int i = 0; i < N * HIDDEN; i++) b->delta1[i] *= b->h[i] * (1 - b->h[i]);
    multiply(IN, N, HIDDEN, x, true, b->delta1, b->slope1);
    for (int i = 0; i < HIDDEN * OUT; i++) w2[i] -= rate * b->slope2[i];
    for (int i = 0; i < IN * HIDDEN; i++) w1[i] -= rate * b->slope1[i];
    return loss;
}

static double *copy(const ad_var *x) {
    size_t size = (size_t)ad_numel(x) * sizeof(double);
    double *to = malloc(size);
    if (to != NULL && ad_data(x) != NULL) memcpy(to, ad_data(x), size);
    return to;
}

static bool learn_by_hand(const ad_var *x, const ad_var *y, const ad_var *w1, const ad_var *w2, double rate,
                          int64_t steps, double losses[]) {
    double *w[2] = { copy(w1), copy(w2) };
    buffers *b = malloc(sizeof *b);
    bool ready = w[0] != NULL && w[1] != NULL && b != NULL;
    for (int64_t t = 0; t < steps && ready; t++) losses[t] = step(ad_data(x), ad_data(y), w[0], w[1], rate, b);
    free(w[0]), free(w[1]), free(b);
    return ready;
}

int main(int argc, char **argv) {
    int64_t steps = MOST;
    double rate = 1e-4, took[3], off = 0;
    static double losses[2][MOST];
    lecture *l = lecture_begin(
        argc, argv,
        "Trains the two-layer network of the lecture (64 samples of 1000 numbers, 100 sigmoids, 10 outputs)\n"
        "with the library's gradients and with gradients and loops written by hand, from the same weights.",
        "--steps 50",
        (demo_option[]){ { "steps", "number of steps", DEMO_WHOLE, &steps, 2, MOST },
                         { "rate", "learning rate", DEMO_REAL, &rate, 0, 1 },
                         { 0 } });
    ad_graph *g = lecture_graph(l);
    ad_var *x = ad_randn(g, AD_F64, AD_SHAPE(N, IN)), *y = ad_randn(g, AD_F64, AD_SHAPE(N, OUT));
    ad_var *w1 = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(IN, HIDDEN))),
           *w2 = ad_require_grad(ad_randn(g, AD_F64, AD_SHAPE(HIDDEN, OUT)));
    took[0] = lecture_seconds();
    bool done = learn_by_hand(x, y, w1, w2, rate, steps, losses[0]);
    took[1] = lecture_seconds();
    learn(g, x, y, w1, w2, rate, steps, losses[1]);
    took[2] = lecture_seconds();
    for (int64_t t = 0; t < steps && done; t++) off = lecture_worst(off, losses[1][t] / losses[0][t] - 1);
    for (int64_t t = 0; t < steps; t = t ? t * 10 : 1)
        printf("step %4lld  loss by hand %.9g  loss with the library %.9g\n", (long long)t, losses[0][t], losses[1][t]);
    printf("%lld steps took %.1f s by hand and %.1f s with the library\n", (long long)steps, took[1] - took[0],
           took[2] - took[1]);
    lecture_claim(l, done && off < 1e-6, "the losses of all %lld steps are those of the gradients by hand, to %.0e",
                  (long long)steps, off);
    lecture_claim(l, losses[1][steps - 1] < 0.01 * losses[1][0], "the loss falls from %.0f to %.2g", losses[1][0],
                  losses[1][steps - 1]);
    plot_panel(l, (panel_opts){ .title = "The two-layer network of the lecture",
                                .x = "step",
                                .y = "sum of squared errors",
                                .logy = true });
    plot_lines(l, "the library's gradients", steps, NULL, losses[1]);
    plot_dashed(l, "gradients by hand", steps, NULL, losses[0]);
    return lecture_end(l, g);
}
