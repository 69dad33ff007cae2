/* sequences.c: lecture 17: how far back the gradient of a recurrent network reaches, and what it can learn. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { RNN, LSTM, OPEN, KINDS };
enum { TIME = 61, HIDDEN = 32, BATCH = 64, LAGS = 4, STEPS = 300, TEST = 512 };

static const char *const names[KINDS] = { "rnn", "lstm", "lstm, open" };
static const double lags[LAGS] = { 5, 10, 20, 40 };

/* A recurrent layer. The third kind begins with open forget gates, by a bias. */
static nn_module *layer(ad_graph *g, int kind, double forget) {
    nn_rnn_opts o = { .in = 1, .hidden = HIDDEN };
    nn_module *m = kind == RNN ? nn_rnn(g, AD_F32, o) : nn_lstm(g, AD_F32, o);
    if (kind == OPEN) {
        float *bias = ad_data_mut(nn_find_parameter(m, "bias_ih_l0")); /* of the gates i, f, g, o */
        for (int k = HIDDEN; k < 2 * HIDDEN; k++) bias[k] = (float)forget;
    }
    return m;
}

/* How much the last state depends on the inputs before: the length of its gradient by the input of each time step, by
   its distance from the end. */
static void reach(ad_graph *g, int kind, double forget, double length[TIME]) {
    ad_mark s = ad_begin(g);
    ad_var *x = ad_require_grad(ad_randn(g, AD_F32, AD_SHAPE(BATCH, TIME, 1)));
    ad_var *last = ad_select(nn_apply(layer(g, kind, forget), x), 1, TIME - 1); /* [64,32] */
    ad_backward_from(last, ad_randn(g, AD_F32, ad_shape_of(last)));
    for (int lag = 0; lag < TIME; lag++) {
        double squares = 0;
        for (int i = 0; i < BATCH; i++) squares += pow(ad_grad_at(x, (int64_t)i * TIME + TIME - 1 - lag), 2);
        length[lag] = sqrt(squares);
    }
    ad_end(g, s);
}

/* n sequences of noise, which begin with 2 or -2; the class says which. */
static nn_dataset draw(ad_graph *g, int64_t n, int64_t time) {
    ad_var *classes = ad_gt(ad_rand(g, AD_F32, AD_SHAPE(n)), ad_scalar(g, AD_F32, 0.5));
    ad_var *noise = ad_muls(ad_randn(g, AD_F32, AD_SHAPE(n, time - 1, 1)), 0.5);
    ad_var *first = ad_reshape(ad_adds(ad_muls(classes, 4), -2), AD_SHAPE(n, 1, 1));
    return (nn_dataset){ ad_concat(2, (ad_var *[]){ first, noise }, 1), classes };
}

typedef struct {
    nn_module *memory, *read, *all;
} model;

static ad_var *scores(model m, ad_var *x) {
    int64_t time = ad_shape_of(x).dim[1];
    return nn_apply(m.read, ad_select(nn_apply(m.memory, x), 1, time - 1));
}

/* Learns to tell, at the end, how a sequence began so many steps ago. Returns the accuracy on new sequences. */
static double learn(ad_graph *g, int kind, double forget, int64_t lag) {
    ad_mark s = ad_begin(g);
    model m = { layer(g, kind, forget), nn_linear(g, AD_F32, HIDDEN, 2, true), NULL };
    m.all = nn_sequential(g, m.memory, m.read);
    nn_optim *opt = nn_adam(m.all, (nn_adam_opts){ .lr = 0.003 });
    for (int k = 0; k < STEPS && ad_ok(g); k++) {
        ad_mark t = ad_begin(g);
        nn_dataset d = draw(g, BATCH, lag + 1);
        nn_zero_grad(opt);
        ad_backward(nn_cross_entropy(scores(m, d.x), d.y));
        nn_clip_grad_norm(m.all, 1);
        nn_step(opt);
        ad_end(g, t);
    }
    nn_dataset test = draw(g, TEST, lag + 1);
    double accuracy = nn_accuracy(scores(m, test.x), test.y);
    ad_end(g, s);
    return accuracy;
}

static void plot(lecture *l, double length[KINDS][TIME], double accuracy[KINDS][LAGS]) {
    double lag[TIME];
    for (int i = 0; i < TIME; i++) lag[i] = i;
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "Before training", .x = "lag (time steps)", .y = "length of the gradient",
                                .logy = true, .xlo = 0, .xhi = TIME - 1 });
    for (int k = 0; k < KINDS; k++) plot_lines(l, names[k], TIME, lag, length[k]);
    plot_panel(l, (panel_opts){ .title = "After 300 steps of training", .x = "lag (time steps)", .y = "accuracy",
                                .ylo = 0.4, .yhi = 1.05 });
    for (int k = 0; k < KINDS; k++) plot_lines(l, names[k], LAGS, lags, accuracy[k]);
}

int main(int argc, char **argv) {
    double forget = 3, accuracy[KINDS][LAGS], length[KINDS][TIME];
    lecture *l = lecture_begin(
        argc, argv,
        "How much the last state of a recurrent network depends on inputs long before, and whether it learns to tell\n"
        "how a sequence began: for a plain network, an lstm, and an lstm whose forget gates begin open.",
        "--forget 0", (demo_option[]){ { "forget", "bias of the open gates", DEMO_REAL, &forget, -10, 10 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    printf("gradient at lag 60 / lag 0; accuracy at lags 5, 10, 20, 40\n");
    for (int k = 0; k < KINDS; k++) {
        reach(g, k, forget, length[k]);
        printf("%-10s  %.1e", names[k], length[k][60] / length[k][0]);
        for (int i = 0; i < LAGS; i++) {
            accuracy[k][i] = learn(g, k, forget, (int64_t)lags[i]);
            printf("  %.3f", accuracy[k][i]);
        }
        printf("\n");
    }
    double far[KINDS], worst = 1;
    for (int k = 0; k < KINDS; k++) far[k] = length[k][60] / length[k][0], worst = fmin(worst, accuracy[k][1]);
    lecture_claim(l, far[RNN] < 1e-10 && far[LSTM] < 1e-8 && far[OPEN] > 0.01,
                  "over 60 steps the gradient falls to %.0e in an rnn and %.0e in an lstm; with open gates to %.2f",
                  far[RNN], far[LSTM], far[OPEN]);
    lecture_claim(l, worst > 0.95, "over 10 steps all learn to remember: at least %.1f %% are right", 100 * worst);
    lecture_claim(l, accuracy[RNN][3] < 0.65 && accuracy[LSTM][3] < 0.65 && accuracy[OPEN][3] > 0.95,
                  "over 40 steps rnn and lstm guess, %.0f and %.0f %%, and the lstm with open gates knows, %.1f %%",
                  100 * accuracy[RNN][3], 100 * accuracy[LSTM][3], 100 * accuracy[OPEN][3]);
    plot(l, length, accuracy);
    return lecture_end(l, g);
}
