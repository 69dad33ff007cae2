/* depth.c: lecture 13: gradients that vanish and explode in deep networks, and what keeps them. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { WIDTH = 64, BATCH = 32, DEEPEST = 30, DEPTHS = 15 };

typedef enum { SIGMOID, TANH, RELU, ACTS } activation;
static nn_activation *const act_of[ACTS] = { ad_sigmoid, ad_tanh, ad_relu };
static const char *const act_name[ACTS] = { "sigmoid", "tanh", "relu" };

/* PLAIN: uniform in ±1/√n, as linear layers begin. GOOD: Xavier's weights for tanh, He's for relu, and for sigmoid,
   whose slope is at most 1/4, four times Xavier's. RESIDUAL: as plain, and each layer adds act(W h) / √depth to h.
   TWICE: twice the good ones. */
typedef enum { PLAIN, GOOD, RESIDUAL, TWICE, WAYS } way;
static const char *const way_name[WAYS] = { "weights ±1/√n", "good weights", "residual, weights ±1/√n",
                                            "twice the good weights" };

static void fill(ad_var *w, way how, int act) {
    double gain = how == TWICE ? 2 : 1;
    if (how == PLAIN || how == RESIDUAL) nn_init_default(w);
    else if (act == RELU) nn_init_normal(w, 0, gain * sqrt(2.0 / WIDTH));
    else nn_init_xavier_normal(w, act == SIGMOID ? 4 * gain : gain);
}

/* The lengths of dE/dh for the results h of each layer, where E is a random linear function of the last one. */
static void lengths(ad_graph *g, way how, int act, int depth, double *length) {
    ad_mark m = ad_begin(g);
    ad_var *h[DEEPEST + 1] = { ad_randn(g, AD_F64, AD_SHAPE(BATCH, WIDTH)) };
    for (int i = 1; i <= depth; i++) {
        ad_var *w = ad_param(g, AD_F64, NULL, AD_SHAPE(WIDTH, WIDTH));
        fill(w, how, act);
        h[i] = act_of[act](ad_affine(h[i - 1], w, NULL));
        if (how == RESIDUAL) h[i] = ad_add(h[i - 1], ad_muls(h[i], 1 / sqrt(depth)));
    }
    ad_backward_from(h[depth], ad_randn(g, AD_F64, AD_SHAPE(BATCH, WIDTH)));
    for (int i = 1; i <= depth; i++) {
        double squares = 0;
        for (int64_t j = 0; j < ad_numel(h[i]); j++) squares += ad_grad_at(h[i], j) * ad_grad_at(h[i], j);
        length[i - 1] = sqrt(squares);
    }
    ad_end(g, m);
}

/* dy/dx of four sigmoids in a chain, each of which works where its slope is greatest, 1/4. */
static double chain(ad_graph *g, double weight) {
    ad_var *x = ad_param(g, AD_F64, (double[]){ 0.5 }, AD_SCALAR), *h = x;
    for (int i = 0; i < 4; i++) h = ad_sigmoid(ad_adds(ad_muls(h, weight), -weight / 2));
    ad_backward(h);
    return ad_grad_item(x);
}

static bool near(double ratio) { return ratio > 0.1 && ratio < 10; }

typedef struct {
    double depth[DEPTHS], length[WAYS][ACTS][DEEPEST], ratio[WAYS][ACTS][DEPTHS]; /* lengths: of the deepest networks */
} table;

static void measure(ad_graph *g, table *t) {
    printf("length of the gradient at the first layer, divided by that at the last one, by number of layers\n");
    for (int k = 0; k < WAYS * ACTS && ad_ok(g); k++) {
        double *length = t->length[k / ACTS][k % ACTS], *ratio = t->ratio[k / ACTS][k % ACTS];
        for (int d = 0; d < DEPTHS; d++) {
            t->depth[d] = 2 * (d + 1);
            lengths(g, k / ACTS, k % ACTS, 2 * (d + 1), length);
            ratio[d] = length[0] / length[2 * d + 1];
        }
        printf("%-7s  2: %.1e  10: %.1e  20: %.1e  30: %.1e  %s\n", act_name[k % ACTS], ratio[0], ratio[4], ratio[9],
               ratio[14], way_name[k / ACTS]);
    }
}

static void claim(lecture *l, const table *t) {
    double end[WAYS][ACTS]; /* ratios of 30 layers */
    for (int k = 0; k < WAYS * ACTS; k++) end[k / ACTS][k % ACTS] = t->ratio[k / ACTS][k % ACTS][DEPTHS - 1];
    lecture_claim(l, end[PLAIN][SIGMOID] < 1e-20 && end[PLAIN][TANH] < 1e-5 && end[PLAIN][RELU] < 1e-5,
                  "through 30 layers the gradient shrinks to %.1e (sigmoid), %.1e (tanh), %.1e (relu)",
                  end[PLAIN][SIGMOID], end[PLAIN][TANH], end[PLAIN][RELU]);
    lecture_claim(l, near(end[GOOD][TANH]) && near(end[GOOD][RELU]) && end[GOOD][SIGMOID] < 1e-3,
                  "good initial weights keep it for tanh, %.2f, and relu, %.2f; sigmoid has %.1e", end[GOOD][TANH],
                  end[GOOD][RELU], end[GOOD][SIGMOID]);
    lecture_claim(l, near(end[RESIDUAL][SIGMOID]) && near(end[RESIDUAL][TANH]) && near(end[RESIDUAL][RELU]),
                  "residual connections keep it for all: %.2f, %.2f, %.2f", end[RESIDUAL][SIGMOID], end[RESIDUAL][TANH],
                  end[RESIDUAL][RELU]);
    lecture_claim(l, end[TWICE][RELU] > 1e7, "with twice the good weights, that of relu explodes: %.1e",
                  end[TWICE][RELU]);
}

static void plot(lecture *l, const table *t) {
    plot_layout(l, 2, 2);
    for (int k = 0; k < RESIDUAL + 1; k++) {
        plot_panel(l, (panel_opts){ .title = way_name[k], .x = "layer of 30", .y = "length of the gradient",
                                    .logy = true, .ylo = k == PLAIN ? 1e-24 : 1e-6,
                                    .yhi = 1e6 });
        for (int act = 0; act < ACTS; act++) plot_lines(l, act_name[act], DEEPEST, NULL, t->length[k][act]);
    }
    plot_panel(l, (panel_opts){ .title = "By depth", .x = "layers", .y = "first layer / last layer", .logy = true });
    for (int act = 0; act < ACTS; act++) plot_lines(l, act_name[act], DEPTHS, t->depth, t->ratio[PLAIN][act]);
    plot_lines(l, "relu, twice the good weights", DEPTHS, t->depth, t->ratio[TWICE][RELU]);
}

int main(int argc, char **argv) {
    double weight = 8;
    static table t;
    lecture *l = lecture_begin(
        argc, argv,
        "The length of the gradient at each layer of networks of 2 to 30 layers of 64 neurons, by activation, initial\n"
        "weights and residual connections; and a chain of four sigmoids with large weights.",
        "--weight 4",
        (demo_option[]){ { "weight", "weight of the chain of four sigmoids", DEMO_REAL, &weight, -100, 100 }, { 0 } });
    ad_graph *g = lecture_graph(l);
    measure(g, &t);
    claim(l, &t);
    double product = chain(g, weight);
    lecture_claim(l, fabs(product - 16) < 1e-9, "four sigmoids with weights %g at slope 1/4 multiply it by %.6g",
                  weight, product);
    plot(l, &t);
    return lecture_end(l, g);
}
