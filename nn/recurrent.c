/* recurrent.c: rnn, lstm and gru: one time, and sequences of them. */
#include <math.h>

#include "nn/layer.h"

/* n rows at one time; [k hidden] of the weights are the gates, one below the other. */
typedef struct {
    ad_var *w_ih, *w_hh, *b_ih, *b_hh; /* [k hidden,in], [k hidden,hidden], [k hidden]; biases perhaps NULL */
} weights;

/* The next state from xp [n,k hidden] = w_ih x + b_ih, which all times have been given at once. */
typedef nn_rnn_state step_fn(const weights *w, bool relu, ad_var *xp, nn_rnn_state before);

typedef struct {
    const char *name, *cell;
    int gates;
    bool has_c;
    step_fn *step;
} recurrence;

typedef struct {
    const recurrence *kind;
    nn_rnn_opts o;
    ad_dtype dtype;
    bool sequence;
    weights layer[];
} recurrent;

/* ---- one time ----------------------------------------------------------------------------------------- */

/* Gate i of x [n,k hidden] -> [n,hidden]. */
static ad_var *gate(ad_var *x, int i, ad_var *h) {
    int64_t hidden = ad_shape_of(h).dim[1];
    return ad_narrow(x, 1, i * hidden, hidden);
}

static nn_rnn_state rnn_step(const weights *w, bool relu, ad_var *xp, nn_rnn_state before) {
    ad_var *sum = ad_add(xp, ad_affine(before.h, w->w_hh, w->b_hh));
    return (nn_rnn_state){ relu ? ad_relu(sum) : ad_tanh(sum), NULL };
}

/* c = f c + i g, h = o tanh(c) */
static nn_rnn_state lstm_step(const weights *w, bool relu, ad_var *xp, nn_rnn_state before) {
    (void)relu;
    ad_var *sum = ad_add(xp, ad_affine(before.h, w->w_hh, w->b_hh));
    ad_var *i = ad_sigmoid(gate(sum, 0, before.h)), *f = ad_sigmoid(gate(sum, 1, before.h));
    ad_var *g = ad_tanh(gate(sum, 2, before.h)), *o = ad_sigmoid(gate(sum, 3, before.h));
    ad_var *c = ad_add(ad_mul(f, before.c), ad_mul(i, g));
    return (nn_rnn_state){ ad_mul(o, ad_tanh(c)), c };
}

/* n = tanh(x_n + r h_n), h = n + z (h - n); PyTorch's, with r behind the product with w_hh */
static nn_rnn_state gru_step(const weights *w, bool relu, ad_var *xp, nn_rnn_state before) {
    (void)relu;
    ad_var *hp = ad_affine(before.h, w->w_hh, w->b_hh), *h = before.h;
    ad_var *r = ad_sigmoid(ad_add(gate(xp, 0, h), gate(hp, 0, h)));
    ad_var *z = ad_sigmoid(ad_add(gate(xp, 1, h), gate(hp, 1, h)));
    ad_var *n = ad_tanh(ad_add(gate(xp, 2, h), ad_mul(r, gate(hp, 2, h))));
    return (nn_rnn_state){ ad_add(n, ad_mul(z, ad_sub(h, n))), NULL };
}

/* ---- all times and layers ---------------------------------------------------------------------------------- */

/* x [n,time,in] from a state [n,hidden] on -> [n,time,hidden] */
static ad_var *run_layer(const recurrent *r, const weights *w, ad_var *x, nn_rnn_state *state) {
    ad_graph *g = ad_graph_of(x);
    ad_shape s = ad_shape_of(x);
    ad_var **h = s.ndim == 3 ? ad__node_alloc(g, (size_t)s.dim[1] * sizeof *h) : NULL;
    ad_var *xp = ad_affine(x, w->w_ih, w->b_ih);
    for (int64_t i = 0; h != NULL && i < s.dim[1] && ad_ok(g); i++) {
        *state = r->kind->step(w, r->o.relu, ad_select(xp, 1, i), *state);
        h[i] = state->h;
    }
    return ad_ok(g) ? ad_stack((int)s.dim[1], h, 1) : ad__nil(g);
}

/* Layer i of a state [layers,n,hidden]. */
static nn_rnn_state layer_of(const recurrent *r, nn_rnn_state s, int i) {
    return (nn_rnn_state){ ad_select(s.h, 0, i), r->kind->has_c ? ad_select(s.c, 0, i) : NULL };
}

static ad_var *run_sequence(nn_module *m, ad_var *x, nn_rnn_state *state) {
    const recurrent *r = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    ad_var **h = ad__node_alloc(g, 2 * (size_t)r->o.layers * sizeof *h), **c = h + r->o.layers;
    for (int i = 0; h != NULL && i < r->o.layers && ad_ok(g); i++) {
        nn_rnn_state s = layer_of(r, *state, i);
        if (i > 0) x = ad_dropout(x, r->o.dropout, nn_training(m));
        x = run_layer(r, &r->layer[i], x, &s);
        h[i] = s.h;
        c[i] = s.c;
    }
    if (!ad_ok(g)) return ad__nil(g);
    *state = (nn_rnn_state){ ad_stack(r->o.layers, h, 0), r->kind->has_c ? ad_stack(r->o.layers, c, 0) : NULL };
    return x;
}

static ad_var *run_cell(nn_module *m, ad_var *x, nn_rnn_state *state) {
    const recurrent *r = nn_self(m);
    const weights *w = &r->layer[0];
    *state = r->kind->step(w, r->o.relu, ad_affine(x, w->w_ih, w->b_ih), *state);
    return state->h;
}

/* ---- applying ------------------------------------------------------------------------------------------------ */

static ad_shape state_shape(const recurrent *r, int64_t n) {
    return r->sequence ? AD_SHAPE(r->o.layers, n, r->o.hidden) : AD_SHAPE(n, r->o.hidden);
}

static int fail_shape(const nn_module *m, const ad_var *x, const char *what, const char *expected) {
    char text[160];
    ad_shape_text(ad_shape_of(x), text, sizeof text);
    return ad_fail(nn_graph_of(m), AD_ESHAPE, "%s: %s is %s; it must be %s", nn__kind(m), what, text, expected);
}

/* What is missing of a state becomes zeros; what is there must fit. */
static int complete_state(const nn_module *m, const recurrent *r, int64_t n, nn_rnn_state *state) {
    ad_shape s = state_shape(r, n);
    if (state->h == NULL) state->h = ad_zeros(nn_graph_of(m), r->dtype, s);
    if (state->c == NULL && r->kind->has_c) state->c = ad_zeros(nn_graph_of(m), r->dtype, s);
    const char *expected = r->sequence ? "[layers, n, hidden] of the module and x" : "[n, hidden] of the module and x";
    if (!ad_ok(nn_graph_of(m))) return ad_error_code(nn_graph_of(m));
    if (!ad_shape_equal(ad_shape_of(state->h), s)) return fail_shape(m, state->h, "the state's h", expected);
    if (r->kind->has_c && !ad_shape_equal(ad_shape_of(state->c), s))
        return fail_shape(m, state->c, "the state's c", expected);
    return AD_OK;
}

static ad_var *recurrent_forward(nn_module *m, ad_var *x) {
    nn_rnn_state state = { NULL, NULL };
    return nn_apply_rnn(m, x, &state);
}

static const recurrent *as_recurrent(nn_module *m) {
    return nn__forward(m) == recurrent_forward ? nn_self(m) : NULL;
}

ad_var *nn_apply_rnn(nn_module *m, ad_var *x, nn_rnn_state *state) {
    ad_graph *g = x ? ad_graph_of(x) : nn_graph_of(m);
    if (nn__check_apply(m, x)) return ad__nil(g);
    const recurrent *r = as_recurrent(m);
    if (r == NULL || state == NULL)
        return ad_fail(g, AD_EVALUE, "apply_rnn: %s carries no state, or none was given", nn__kind(m)), ad__nil(g);
    ad_shape s = ad_shape_of(x);
    if (s.ndim != (r->sequence ? 3 : 2) || s.dim[s.ndim - 1] != r->o.in || (r->sequence && s.dim[1] < 1))
        return fail_shape(m, x, "x", r->sequence ? "[n, time, in] of the module" : "[n, in] of the module"),
               ad__nil(g);
    if (complete_state(m, r, s.dim[0], state)) return ad__nil(g);
    return r->sequence ? run_sequence(m, x, state) : run_cell(m, x, state);
}

nn_rnn_state nn_rnn_state_new(const nn_module *m, int64_t n) {
    ad_graph *g = nn_graph_of(m);
    nn_rnn_state state = { ad__nil(g), NULL };
    const recurrent *r = m ? as_recurrent((nn_module *)m) : NULL;
    if (r == NULL) return ad_fail(g, AD_EVALUE, "rnn_state_new: this module carries no state"), state;
    state.h = ad_zeros(g, r->dtype, state_shape(r, n));
    if (r->kind->has_c) state.c = ad_zeros(g, r->dtype, state_shape(r, n));
    return state;
}

static int keep(ad_var *kept, const ad_var *now) {
    ad_graph *g = ad_graph_of(kept);
    if (!ad_ok(g)) return ad_error_code(g);
    if (now == NULL || !ad_shape_equal(ad_shape_of(kept), ad_shape_of(now)) || ad_dtype_of(kept) != ad_dtype_of(now))
        return ad_fail(g, AD_ESHAPE, "rnn_state_keep: the two states are not of one shape and dtype");
    return ad_set(kept, ad_data(now));
}

int nn_rnn_state_keep(nn_rnn_state kept, nn_rnn_state now) {
    int rc = keep(kept.h, now.h);
    return rc != AD_OK || kept.c == NULL ? rc : keep(kept.c, now.c);
}

/* ---- making ------------------------------------------------------------------------------------------------- */

static const recurrence kinds[] = { { "rnn", "rnn_cell", 1, false, rnn_step },
                                    { "lstm", "lstm_cell", 4, true, lstm_step },
                                    { "gru", "gru_cell", 3, false, gru_step } };

/* "weight_ih_l0", of a cell "weight_ih". */
static ad_var *add_weights(nn_module *m, const recurrent *r, const char *name, int layer, ad_shape s) {
    char full[32];
    snprintf(full, sizeof full, r->sequence ? "%s_l%d" : "%s", name, layer);
    return nn__uniform_parameter(m, full, r->dtype, s, 1 / sqrt((double)r->o.hidden));
}

static void add_layer(nn_module *m, recurrent *r, int i) {
    weights *w = &r->layer[i];
    int64_t rows = r->kind->gates * r->o.hidden;
    w->w_ih = add_weights(m, r, "weight_ih", i, AD_SHAPE(rows, i > 0 ? r->o.hidden : r->o.in));
    w->w_hh = add_weights(m, r, "weight_hh", i, AD_SHAPE(rows, r->o.hidden));
    if (r->o.no_bias) return;
    w->b_ih = add_weights(m, r, "bias_ih", i, AD_SHAPE(rows));
    w->b_hh = add_weights(m, r, "bias_hh", i, AD_SHAPE(rows));
}

static nn_module *recurrent_new(ad_graph *g, ad_dtype t, nn_rnn_opts o, const recurrence *kind, bool sequence) {
    const char *name = sequence ? kind->name : kind->cell;
    if (o.layers == 0 || !sequence) o.layers = 1;
    if (!nn__is_size(g, name, "in", o.in) || !nn__is_size(g, name, "hidden", o.hidden) ||
        !nn__is_size(g, name, "layers", o.layers))
        return NULL;
    if (!(o.dropout >= 0 && o.dropout <= 1))
        return ad_fail(g, AD_EVALUE, "%s: dropout %g: it must be from 0 to 1", name, o.dropout), NULL;
    nn_module *m = nn_module_new(g, name, recurrent_forward, sizeof(recurrent) + (size_t)o.layers * sizeof(weights));
    if (m == NULL) return NULL;
    recurrent *r = nn_self(m);
    *r = (recurrent){ .kind = kind, .o = o, .dtype = t, .sequence = sequence };
    for (int i = 0; i < o.layers; i++) add_layer(m, r, i);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_rnn_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[0], false); }
nn_module *nn_lstm_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[1], false); }
nn_module *nn_gru_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[2], false); }
nn_module *nn_rnn(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[0], true); }
nn_module *nn_lstm(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[1], true); }
nn_module *nn_gru(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[2], true); }
