/* play_net.c: the playground's network, as a graph that is evaluated again at each step. */
#include "demos/web/play.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- choices ------------------------------------------------------------------------------------------------- */

static ad_var *leaky(ad_var *x) { return ad_leaky_relu(x, 0.1); }
static ad_var *elu(ad_var *x) { return ad_elu(x, 1); }
static ad_var *softplus(ad_var *x) { return ad_softplus(x); }
static ad_var *identity(ad_var *x) { return x; }

/* he: the weights before it start as He et al. have them, for functions that are 0 or small below 0. */
static const struct {
    nn_activation *f;
    bool he;
} activations[] = {
    { ad_tanh, false }, { ad_sigmoid, false }, { ad_relu, true }, { leaky, true },
    { elu, true },      { ad_selu, false },    { ad_gelu, true }, { ad_silu, true },
    { ad_mish, true },  { softplus, true },    { ad_sin, false }, { identity, false },
};

static ad_var *hinge(ad_var *y, ad_var *t) { return nn_hinge(y, t); }
static ad_var *squared(ad_var *y, ad_var *t) { return nn_mse(y, t); }
typedef ad_var *loss_fn(ad_var *y, ad_var *t);
/* The activation that is none, the last one. */
enum { LINEAR = sizeof activations / sizeof *activations - 1 };
enum { CROSS_ENTROPY, SQUARED, ABSOLUTE, HUBER, HINGE };
static loss_fn *const losses[] = { nn_bce_logits, squared, nn_l1, nn_huber, hinge };

/* Cross-entropy and hinge have classes only: with numbers the loss is the squared error. */
static int loss_of(const play *p) {
    int loss = (int)p->set.loss;
    return play_is_curve(p) && (loss == CROSS_ENTROPY || loss == HINGE) ? SQUARED : loss;
}

static nn_optim *optimiser_of(const play *p) {
    double lr = p->set.rate;
    switch ((int)p->set.optimiser) {
    case 1: return nn_sgd(p->net, (nn_sgd_opts){ .lr = lr });
    case 2: return nn_sgd(p->net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9 });
    case 3: return nn_sgd(p->net, (nn_sgd_opts){ .lr = lr, .momentum = 0.9, .nesterov = true });
    case 4: return nn_rmsprop(p->net, (nn_rmsprop_opts){ .lr = lr });
    case 5: return nn_adagrad(p->net, (nn_adagrad_opts){ .lr = lr });
    case 6: return nn_adamax(p->net, (nn_adamax_opts){ .lr = lr });
    case 7: return nn_nadam(p->net, (nn_nadam_opts){ .lr = lr });
    case 8: return nn_adamw(p->net, (nn_adam_opts){ .lr = lr });
    case 9: return nn_lion(p->net, (nn_lion_opts){ .lr = lr });
    default: return nn_adam(p->net, (nn_adam_opts){ .lr = lr });
    }
}

/* ---- layers -------------------------------------------------------------------------------------------------- */

static ad_var *named(ad_var *x, const char *letter, int number) {
    char name[16];
    snprintf(name, sizeof name, "%s%d", letter, number);
    return ad_name(x, name);
}

void play_make_net(play *p) {
    int64_t in = play_is_curve(p) ? 1 : 2;
    int n = play_layer_count(p);
    for (int i = 0; i < n; i++) {
        int64_t out = i < n - 1 ? (int64_t)p->set.width[i] : 1;
        p->layer[i] = nn_linear(p->graph, AD_F32, in, out, true);
        ad_var *w = nn_find_parameter(p->layer[i], "weight");
        if (i < n - 1 && activations[(int)p->set.activation].he) nn_init_he_normal(w);
        else nn_init_xavier_normal(w, 1);
        named(w, "W", i + 1);
        named(nn_find_parameter(p->layer[i], "bias"), "b", i + 1);
        in = out;
    }
    p->net = nn_sequential_n(p->graph, n, p->layer);
}

/* The net's result for x. hidden[i] gets the values of hidden layer i, unless hidden is NULL. Vars have names where
   they are drawn. */
static ad_var *apply(const play *p, ad_var *x, double dropout, bool drawn, ad_var **hidden) {
    int n = play_layer_count(p);
    for (int i = 0; i < n; i++) {
        x = nn_apply(p->layer[i], x);
        if (drawn) i < n - 1 ? named(x, "z", i + 1) : ad_name(x, "y");
        if (i == n - 1) break;
        x = activations[(int)p->set.activation].f(x);
        if (drawn && (int)p->set.activation != LINEAR) named(x, "h", i + 1);
        if (hidden != NULL) hidden[i] = x;
        x = ad_dropout(x, dropout, dropout > 0);
    }
    return x;
}

/* Targets are 0 and 1 for cross-entropy, -1 and 1 for other losses of classes, and numbers in regression. */
static void set_targets(const play *p, const float *label, int64_t n, ad_var *to) {
    float *t = ad_data_mut(to);
    bool signs = !play_is_curve(p) && loss_of(p) != CROSS_ENTROPY;
    for (int64_t i = 0; i < n && t != NULL; i++) t[i] = signs ? 2 * label[i] - 1 : label[i];
}

/* ---- the graphs ---------------------------------------------------------------------------------------------- */

static void make_training(play *p) {
    int64_t b = (int64_t)p->set.batch;
    if (b < 1 || b > p->n_train) b = p->n_train;
    p->batch_x = ad_name(ad_zeros(p->graph, AD_F32, AD_SHAPE(b, ad_shape_of(p->x).dim[1])), "x");
    p->batch_y = ad_name(ad_zeros(p->graph, AD_F32, AD_SHAPE(b, 1)), "target");
    p->loss = losses[loss_of(p)](apply(p, p->batch_x, p->set.dropout, true, NULL), p->batch_y);
    if (p->set.l1 > 0) p->loss = ad_add(p->loss, ad_name(nn_l1_penalty(p->net, "weight", p->set.l1), "L1"));
    if (p->set.l2 > 0) p->loss = ad_add(p->loss, ad_name(nn_l2_penalty(p->net, "weight", p->set.l2 / 2), "L2"));
    ad_name(p->loss, "loss");
}

/* The loss of points from .. until - 1; nil if there are none. */
static ad_var *loss_from(const play *p, ad_var *targets, int64_t from, int64_t until) {
    if (from == until) return ad_nil(p->graph);
    return losses[loss_of(p)](ad_slice(p->all_y, 0, from, until, 1), ad_slice(targets, 0, from, until, 1));
}

/* The places of the maps: pixels from the top left, row by row, or points of the one axis. */
static ad_var *places(const play *p) {
    const double edge = 1.2;
    bool curve = play_is_curve(p);
    int n = curve ? CURVE_POINTS : MAP_SIDE * MAP_SIDE;
    ad_var *at = ad_zeros(p->graph, AD_F32, AD_SHAPE(n, curve ? 1 : 2));
    float *x = ad_data_mut(at);
    for (int i = 0; i < n && x != NULL; i++) {
        if (curve) x[i] = (float)(edge * (2 * i / (CURVE_POINTS - 1.0) - 1));
        else
            x[2 * i] = (float)(edge * (2 * (i % MAP_SIDE + 0.5) / MAP_SIDE - 1)),
                  x[2 * i + 1] = (float)(edge * (1 - 2 * (i / MAP_SIDE + 0.5) / MAP_SIDE));
    }
    return at;
}

void play_make_graphs(play *p) {
    make_training(p);
    bool was = ad_enable_grad(p->graph, false);
    ad_var *targets = ad_zeros(p->graph, AD_F32, AD_SHAPE(p->n, 1));
    set_targets(p, ad_data(p->y), p->n, targets);
    p->all_y = apply(p, p->x, 0, false, NULL);
    p->train_loss = loss_from(p, targets, 0, p->n_train);
    p->test_loss = loss_from(p, targets, p->n_train, p->n);
    p->map = apply(p, places(p), 0, false, p->hidden);
    ad_enable_grad(p->graph, was);
    p->optimiser = optimiser_of(p);
    play_next_batch(p);
    p->at = 0;
    ad_eval(p->loss);
    ad_backward(p->loss);
}

/* ---- minibatches --------------------------------------------------------------------------------------------- */

static void shuffle(play *p) {
    for (int i = p->n_train - 1; i > 0; i--) {
        int j = (int)(nn_random_uniform(&p->order_random) * (i + 1)), other = p->order[i];
        p->order[i] = p->order[j], p->order[j] = other;
    }
}

/* The points of an epoch that fill no minibatch are left out. */
void play_next_batch(play *p) {
    int b = (int)ad_numel(p->batch_y), width = (int)ad_shape_of(p->x).dim[1];
    float *x = ad_data_mut(p->batch_x), y[MOST_POINTS];
    if (x == NULL || b == 0) return;
    if (p->at == 0 || p->at + b > p->n_train) p->at = 0, shuffle(p);
    const float *from = ad_data(p->x), *label = ad_data(p->y);
    for (int i = 0; i < b; i++) {
        int row = p->order[p->at + i];
        memcpy(&x[width * i], &from[width * row], (size_t)width * sizeof *x);
        y[i] = label[row];
    }
    p->at += b;
    set_targets(p, y, b, p->batch_y);
}
