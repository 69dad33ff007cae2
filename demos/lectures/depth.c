/* depth.c: lecture 13: gradients that vanish and explode in deep networks, and what keeps them. */
#include "demos/lectures/lecture.h"
#include "nn/nn.h"

enum { WIDTH = 64, BATCH = 32, DEEPEST = 30, DEPTHS = 15, KINDS = 8 };

typedef int initialiser(ad_var *w);
static int xavier(ad_var *w) { return nn_init_xavier_normal(w, 1); }
static int twice_he(ad_var *w) { return nn_init_normal(w, 0, 2 * sqrt(2.0 / WIDTH)); }
/* The slope of sigmoid is at most 1/4, so weights four times as large. */
static int four_xavier(ad_var *w) { return nn_init_xavier_normal(w, 4); }

typedef struct {
    const char *name;
    nn_activation *act;
    initialiser *init;
    bool residual; /* each layer adds act(W h) / sqrt(depth) to h */
} kind;

static const kind kinds[KINDS] = {
    { "sigmoid, ±1/√n", ad_sigmoid, nn_init_default, false }, { "tanh, ±1/√n", ad_tanh, nn_init_default, false },
    { "relu, ±1/√n", ad_relu, nn_init_default, false },       { "sigmoid, 4 Xavier", ad_sigmoid, four_xavier, false },
    { "tanh, Xavier", ad_tanh, xavier, false },               { "relu, He", ad_relu, nn_init_he_normal, false },
    { "sigmoid, residual", ad_sigmoid, nn_init_default, true }, { "relu, 2 He", ad_relu, twice_he, false },
};

/* The lengths of dE/dh for the results h of each layer, where E is a random linear function of the last one. */
static void lengths(ad_graph *g, const kind *k, int depth, double *length) {
    ad_mark m = ad_begin(g);
    ad_var *h[DEEPEST + 1] = { ad_randn(g, AD_F64, AD_SHAPE(BATCH, WIDTH)) };
    for (int i = 1; i <= depth; i++) {
        ad_var *w = ad_param(g, AD_F64, NULL, AD_SHAPE(WIDTH, WIDTH));
        k->init(w);
        h[i] = k->act(ad_affine(h[i - 1], w, NULL));
        if (k->residual) h[i] = ad_add(h[i - 1], ad_muls(h[i], 1 / sqrt(depth)));
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

static void plot(lecture *l, double length[KINDS][DEEPEST], const double *depths, double ratio[KINDS][DEPTHS]) {
    plot_layout(l, 1, 2);
    plot_panel(l, (panel_opts){ .title = "30 layers", .x = "layer", .y = "length of the gradient", .logy = true });
    for (int k = 0; k < KINDS; k++) plot_lines(l, kinds[k].name, DEEPEST, NULL, length[k]);
    plot_panel(l, (panel_opts){ .title = "First / last layer", .x = "layers", .y = "ratio of lengths", .logy = true });
    for (int k = 0; k < KINDS; k++) plot_lines(l, kinds[k].name, DEPTHS, depths, ratio[k]);
}

int main(int argc, char **argv) {
    double weight = 8;
    lecture *l = lecture_begin(
        argc, argv,
        "The length of the gradient at each layer of networks of 2 to 30 layers of 64 neurons, by activation, initial\n"
        "weights and residual connections; and a chain of four sigmoids with large weights.",
        "--weight 4",
        (demo_option[]){ { "weight", "weight of the chain of four sigmoids", DEMO_REAL, &weight, -100, 100 }, { 0 } });
    static double length[KINDS][DEEPEST], ratio[KINDS][DEPTHS], depths[DEPTHS];
    ad_graph *g = lecture_graph(l);
    printf("length of the gradient at the first layer, divided by that at the last one, by number of layers\n");
    printf("%-20s        2       10       20       30\n", "");
    for (int k = 0; k < KINDS; k++) {
        for (int d = 0; d < DEPTHS; d++) {
            depths[d] = 2 * (d + 1);
            lengths(g, &kinds[k], 2 * (d + 1), length[k]);
            ratio[k][d] = length[k][0] / length[k][2 * d + 1];
        }
        printf("%-20s %8.1e %8.1e %8.1e %8.1e\n", kinds[k].name, ratio[k][0], ratio[k][4], ratio[k][9], ratio[k][14]);
    }
    double product = chain(g, weight);
    const int end = DEPTHS - 1; /* 30 layers */
    lecture_claim(l, ratio[0][end] < 1e-20, "through 30 layers of sigmoids the gradient shrinks to %.1e",
                  ratio[0][end]);
    lecture_claim(l, ratio[1][end] < 1e-5 && ratio[2][end] < 1e-5, "through tanh to %.1e, through relu to %.1e",
                  ratio[1][end], ratio[2][end]);
    lecture_claim(l, near(ratio[4][end]) && near(ratio[5][end]),
                  "good initial weights keep it: tanh with Xavier's %.2f, relu with He's %.2f", ratio[4][end],
                  ratio[5][end]);
    lecture_claim(l, near(ratio[6][end]), "residual connections keep it, even with sigmoids: %.2f", ratio[6][end]);
    lecture_claim(l, ratio[7][end] > 1e7, "weights twice He's make it explode: %.1e", ratio[7][end]);
    lecture_claim(l, fabs(product - 16) < 1e-9, "four sigmoids with weights %g at slope 1/4 multiply it by %.6g",
                  weight, product);
    plot(l, length, depths, ratio);
    return lecture_end(l, g);
}
