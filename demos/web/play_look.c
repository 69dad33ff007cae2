/* play_look.c: what the page draws of the net: losses, maps of its neurons, weights and gradients. */
#include "demos/web/play.h"

#include <math.h>

/* ---- results ------------------------------------------------------------------------------------------------- */

/* Computes the losses, and the maps if asked, for the present weights. */
PAGE int play_look(play *p, int maps) {
    if (!ad_is_nil(p->train_loss)) ad_eval(p->train_loss);
    if (!ad_is_nil(p->test_loss)) ad_eval(p->test_loss);
    if (maps) ad_eval(p->map);
    return ad_ok(p->graph);
}

PAGE double play_train_loss(const play *p) { return ad_item(p->train_loss); }
PAGE double play_test_loss(const play *p) { return ad_item(p->test_loss); }

/* The share of points on the right side, of those to train on or those to test; NaN without points and for curves. */
PAGE double play_accuracy(const play *p, int test) {
    int from = test ? p->n_train : 0, until = test ? p->n : p->n_train, right = 0;
    if (play_is_curve(p) || from == until) return NAN;
    const float *y = ad_data(p->all_y), *label = ad_data(p->y);
    for (int i = from; i < until; i++) right += (y[i] > 0) == (label[i] > 0.5f);
    return (double)right / (until - from);
}

/* ---- maps ---------------------------------------------------------------------------------------------------- */

PAGE int play_map_size(const play *p) { return (int)ad_shape_of(p->map).dim[0]; }
PAGE int play_map_side(void) { return MAP_SIDE; }
/* The values of the net, [places], or of a hidden layer, [places,neurons]. */
PAGE const float *play_map(const play *p) { return ad_data(p->map); }
PAGE const float *play_hidden(const play *p, int layer) { return ad_data(p->hidden[layer]); }
PAGE int play_curve(const play *p) { return play_is_curve(p); }
PAGE int play_logits(const play *p) { return p->set.loss == 0; }

/* ---- weights and gradients ----------------------------------------------------------------------------------- */

PAGE int play_layers(const play *p) { return play_layer_count(p); }
/* [out,in], row by row; and [out] */
PAGE const float *play_weights(const play *p, int layer) {
    return ad_data(nn_find_parameter(p->layer[layer], "weight"));
}
PAGE const float *play_bias(const play *p, int layer) { return ad_data(nn_find_parameter(p->layer[layer], "bias")); }

/* The norm of the gradient of a layer's weights and bias, at the last step. */
PAGE double play_grad_norm(const play *p, int layer) {
    double sum = 0;
    for (int i = 0; i < nn_parameter_count(p->layer[layer]); i++) {
        const ad_var *x = nn_parameter_at(p->layer[layer], i).var;
        const float *g = ad_grad(x);
        for (int64_t k = 0; k < ad_numel(x) && g != NULL; k++) sum += (double)g[k] * g[k];
    }
    return sqrt(sum);
}
/* The points of the last minibatch and what the net should say of them, for others to train on the same. */
PAGE const float *play_batch(const play *p) { return ad_data(p->batch_x); }
PAGE const float *play_targets(const play *p) { return ad_data(p->batch_y); }
PAGE int play_batch_size(const play *p) { return (int)ad_numel(p->batch_y); }
PAGE ad_var *play_loss_var(const play *p) { return p->loss; }
