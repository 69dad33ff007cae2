/* lstm.c: module lstm of GradBench: l LSTM layers with elementwise weights that predict the bits of characters. */
#include "bench/gradbench/common.h"

typedef struct {
    ad_var *w[4], *b[4]; /* weights and biases of the forget, in, out and change gates, [b] each */
    ad_var *hidden, *cell;
} layer;

static ad_var *gate(const layer *l, int k, ad_var *x) { return ad_addcmul(l->b[k], x, l->w[k]); }

static ad_var *step(layer *l, ad_var *x) {
    ad_var *forget = ad_sigmoid(gate(l, 0, x)), *in = ad_sigmoid(gate(l, 1, l->hidden));
    ad_var *out = ad_sigmoid(gate(l, 2, x)), *change = ad_tanh(gate(l, 3, l->hidden));
    l->cell = ad_addcmul(ad_mul(l->cell, forget), in, change);
    return l->hidden = ad_mul(out, ad_tanh(l->cell));
}

/* main [2 l, 4 b]: for each layer a row of weights and one of biases; state [2 l, b]: hidden, cell. */
static layer *layers_of(ad_var *main, ad_var *state, int64_t l) {
    int64_t b = ad_shape_of(state).dim[1];
    layer *layers = ad_scope_alloc(ad_graph_of(main), (size_t)l * sizeof *layers);
    for (int64_t k = 0; k < l && layers != NULL; k++) {
        for (int64_t i = 0; i < 4; i++) {
            layers[k].w[i] = ad_narrow(ad_select(main, 0, 2 * k), 0, i * b, b);
            layers[k].b[i] = ad_narrow(ad_select(main, 0, 2 * k + 1), 0, i * b, b);
        }
        layers[k].hidden = ad_select(state, 0, 2 * k);
        layers[k].cell = ad_select(state, 0, 2 * k + 1);
    }
    return layers;
}

/* -sum of next (y - log(2 + sum exp(y))) over characters and bits, over their number */
static ad_var *loss(ad_var *y, ad_var *next) {
    ad_var *sums = ad_log(ad_adds(ad_sum_axis(ad_exp(y), 1, true), 2));
    return ad_muls(ad_sum(ad_mul(next, ad_sub(y, sums))), -1 / (double)ad_numel(next));
}

static void *lstm(const gb_input *in) {
    ad_var *main = gb_leaf(in, "main_params", 2), *extra = gb_leaf(in, "extra_params", 2);
    ad_var *state = gb_constant(in, "state", 2), *text = gb_constant(in, "sequence", 2);
    if (!ad_ok(in->g)) return NULL;
    int64_t l = ad_shape_of(main).dim[0] / 2, n = ad_shape_of(text).dim[0] - 1;
    layer *layers = layers_of(main, state, l);
    ad_var *inputs = ad_mul(text, ad_select(extra, 0, 0));
    ad_var **predicted = ad_scope_alloc(in->g, (size_t)n * sizeof *predicted);
    if (layers == NULL || predicted == NULL || !ad_ok(in->g)) return NULL;
    for (int64_t t = 0; t < n; t++) {
        ad_var *x = ad_select(inputs, 0, t);
        for (int64_t k = 0; k < l; k++) x = step(&layers[k], x);
        predicted[t] = x;
    }
    ad_var *y = ad_addcmul(ad_select(extra, 0, 2), ad_stack((int)n, predicted, 0), ad_select(extra, 0, 1));
    y = loss(y, ad_slice(text, 0, 1, n + 1, 1));
    return gb_expression_new(in->g, 2, (ad_var *[]){ main, extra }, y, y);
}

const gb_module gb_lstm = { "lstm", lstm, GB_EXPRESSION("objective", "jacobian") };
