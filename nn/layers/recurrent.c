/* recurrent.c: rnn, lstm and gru, as cells for one time step and as layers for sequences. */
#include <math.h>

#include "nn/layers.h"
#include "nn/module/module_private.h"
#include "ops/ops.h"

/* The k gates lie one below the other in the weights' first axis. */
typedef struct {
    ad_var *w_ih, *w_hh, *b_ih, *b_hh; /* [k hidden,in], [k hidden,hidden], [k hidden]; biases are NULL without bias */
} weights;

/* One direction of a layer over all time steps: h [n,time,hidden]; for lstm h and c, stacked [2,n,time,hidden]. */
typedef ad_var *run_fn(const weights *w, const nn_rnn_opts *o, ad_var *x, nn_rnn_state before, bool reverse);

typedef struct {
    const char *name, *cell;
    int gates;
    bool has_c;
    run_fn *run;
} recurrence;

typedef struct {
    const recurrence *kind;
    nn_rnn_opts o;
    ad_dtype dtype;
    bool sequence;
    int directions; /* 1 or 2 */
    weights part[]; /* layer by layer, the directions of a layer adjacent */
} recurrent;

/* ---- one direction of a layer: x [n,time,in], starting from a state [n,hidden] --------------------------------- */

/* w_ih x + b_ih + b_hh for all time steps in one product. */
static ad_var *inputs_part(const weights *w, ad_var *x) {
    return ad_affine(x, w->w_ih, w->b_ih ? ad_add(w->b_ih, w->b_hh) : NULL);
}

static ad_var *run_rnn(const weights *w, const nn_rnn_opts *o, ad_var *x, nn_rnn_state before, bool reverse) {
    return ad_rnn(inputs_part(w, x), w->w_hh, before.h, o->relu, reverse);
}

static ad_var *run_lstm(const weights *w, const nn_rnn_opts *o, ad_var *x, nn_rnn_state before, bool reverse) {
    (void)o;
    return ad_lstm(inputs_part(w, x), w->w_hh, before.h, before.c, reverse);
}

/* The reset gate multiplies w_hh h + b_hh, so b_hh cannot be added to b_ih. */
static ad_var *run_gru(const weights *w, const nn_rnn_opts *o, ad_var *x, nn_rnn_state before, bool reverse) {
    ad_graph *g = ad_graph_of(x);
    ad_var *b = w->b_hh ? w->b_hh : ad_zeros(g, ad_dtype_of(x), AD_SHAPE(3 * o->hidden));
    return ad_gru(ad_affine(x, w->w_ih, w->b_ih), w->w_hh, before.h, b, reverse);
}

/* -> [n,time,hidden]; *state becomes the state after the last time step. */
static ad_var *run_part(const recurrent *r, int i, ad_var *x, nn_rnn_state *state) {
    bool reverse = i % r->directions == 1;
    ad_var *y = r->kind->run(&r->part[i], &r->o, x, *state, reverse);
    if (!r->kind->has_c) {
        state->h = ad_select(y, 1, reverse ? 0 : -1);
        return y;
    }
    ad_var *end = ad_select(y, 2, reverse ? 0 : -1); /* [2,n,hidden] */
    *state = (nn_rnn_state){ ad_select(end, 0, 0), ad_select(end, 0, 1) };
    return ad_select(y, 0, 0);
}

/* ---- all layers -------------------------------------------------------------------------------------------------- */

/* Part i of a state [layers directions,n,hidden]; c is NULL unless the layer is an lstm. */
static nn_rnn_state part_of(const recurrent *r, nn_rnn_state s, int i) {
    return (nn_rnn_state){ ad_select(s.h, 0, i), r->kind->has_c ? ad_select(s.c, 0, i) : NULL };
}

static int parts(const recurrent *r) { return r->o.layers * r->directions; }

/* Layer i: the results of its directions, joined along the last axis. h and c get the states after the last time
   step. */
static ad_var *run_layer(const recurrent *r, int i, ad_var *x, nn_rnn_state before, ad_var **h, ad_var **c) {
    ad_var *y[2];
    for (int k = 0; k < r->directions; k++) {
        int part = i * r->directions + k;
        nn_rnn_state s = part_of(r, before, part);
        y[k] = run_part(r, part, x, &s);
        h[part] = s.h;
        c[part] = s.c;
    }
    return r->directions == 2 ? ad_concat(2, y, 2) : y[0];
}

static ad_var *run_sequence(nn_module *m, ad_var *x, nn_rnn_state *state) {
    const recurrent *r = nn_self(m);
    ad_graph *g = nn_graph_of(m);
    int n = parts(r);
    ad_var **h = ad_scope_alloc(g, (size_t)n * sizeof *h), **c = ad_scope_alloc(g, (size_t)n * sizeof *c);
    for (int i = 0; i < r->o.layers && ad_ok(g); i++) {
        if (i > 0) x = ad_dropout(x, r->o.dropout, nn_training(m));
        x = run_layer(r, i, x, *state, h, c);
    }
    if (!ad_ok(g)) return ad_nil(g);
    *state = (nn_rnn_state){ ad_stack(n, h, 0), r->kind->has_c ? ad_stack(n, c, 0) : NULL };
    return x;
}

/* x [n,in] -> h [n,hidden]: a sequence of one time step. */
static ad_var *run_cell(nn_module *m, ad_var *x, nn_rnn_state *state) {
    run_part(nn_self(m), 0, ad_unsqueeze(x, 1), state);
    return state->h;
}

/* ---- application --------------------------------------------------------------------------------------------- */

static ad_shape state_shape(const recurrent *r, int64_t n) {
    return r->sequence ? AD_SHAPE(parts(r), n, r->o.hidden) : AD_SHAPE(n, r->o.hidden);
}

static int fail_shape(const nn_module *m, const ad_var *x, const char *what, const char *expected) {
    return ad_fail(nn_graph_of(m), AD_ESHAPE, "%s: %s is %s; it must be %s", m->kind, what,
                   ad_shape_str(ad_shape_of(x)).text, expected);
}

/* Replaces a missing h or c by zeros; checks the shape of a given one. */
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

/* x, h, c -> y, h, c */
static ad_var *apply_checked(nn_module *m, ad_var *x, nn_rnn_state *state) {
    const recurrent *r = nn_self(m);
    ad_shape s = ad_shape_of(x);
    if (s.ndim != (r->sequence ? 3 : 2) || s.dim[s.ndim - 1] != r->o.in || (r->sequence && s.dim[1] < 1))
        return fail_shape(m, x, "x", r->sequence ? "[n, time, in] of the module" : "[n, in] of the module"),
               ad_nil(nn_graph_of(m));
    if (complete_state(m, r, s.dim[0], state)) return ad_nil(nn_graph_of(m));
    return r->sequence ? run_sequence(m, x, state) : run_cell(m, x, state);
}

static ad_var *recurrent_forward(nn_module *m, ad_var *x) {
    nn_rnn_state state = { NULL, NULL };
    return apply_checked(m, x, &state);
}

static void recurrent_forward_n(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[]) {
    int states = ((const recurrent *)nn_self(m))->kind->has_c ? 2 : 1;
    if (!nn__takes(m, n, 1 + states, n_y, 1 + states)) return;
    nn_rnn_state s = { n > 1 ? x[1] : NULL, n > 2 ? x[2] : NULL };
    y[0] = apply_checked(m, x[0], &s);
    if (n_y > 1 && s.h != NULL) y[1] = s.h;
    if (n_y > 2 && s.c != NULL) y[2] = s.c;
}

/* An nn__call_fn. */
static void call_recurrent(nn_module *m, int n, ad_var *const x[], int n_y, ad_var *y[], const void *data) {
    (void)data;
    recurrent_forward_n(m, n, x, n_y, y);
}

static const recurrent *as_recurrent(const nn_module *m) { return m->forward == recurrent_forward ? m->self : NULL; }

ad_var *nn_apply_rnn(nn_module *m, ad_var *x, nn_rnn_state *state) {
    ad_graph *g = nn__graph_of_either(m, x);
    if (nn__check_apply(m, x)) return ad_nil(g);
    const recurrent *r = as_recurrent(m);
    if (r == NULL || state == NULL)
        return ad_fail(g, AD_EVALUE, "apply_rnn: %s carries no state, or none was given", m->kind), ad_nil(g);
    if (m->hooks == NULL) return apply_checked(m, x, state);
    int n = r->kind->has_c ? 3 : 2;
    ad_var *y[3] = { NULL };
    nn__call_hooked(m, n, (ad_var *[]){ x, state->h, state->c }, n, y, call_recurrent, NULL);
    *state = (nn_rnn_state){ y[1], y[2] };
    return y[0];
}

nn_rnn_state nn_rnn_state_new(const nn_module *m, int64_t n) {
    ad_graph *g = nn_graph_of(m);
    nn_rnn_state state = { ad_nil(g), NULL };
    if (m == NULL || nn__check_open(&m->object, NULL, "rnn_state_new", "module")) return state;
    const recurrent *r = as_recurrent(m);
    if (r == NULL) return ad_fail(g, AD_EVALUE, "rnn_state_new: %s carries no state", m->kind), state;
    state.h = ad_zeros(g, r->dtype, state_shape(r, n));
    if (r->kind->has_c) state.c = ad_zeros(g, r->dtype, state_shape(r, n));
    return state;
}

static int keep(ad_graph *g, ad_var *kept, const ad_var *now) {
    if (!ad_ok(g)) return ad_error_code(g);
    if (ad_is_nil(kept) || ad_is_nil(now) || !ad_shape_equal(ad_shape_of(kept), ad_shape_of(now)) ||
        ad_dtype_of(kept) != ad_dtype_of(now))
        return ad_fail(g, AD_ESHAPE, "rnn_state_keep: the two states are not of one shape and dtype");
    return ad_set(kept, ad_data(now));
}

int nn_rnn_state_keep(nn_rnn_state kept, nn_rnn_state now) {
    const ad_var *const all[] = { kept.h, now.h, kept.c, now.c };
    ad_graph *g = NULL;
    for (int i = 0; i < 4 && g == NULL; i++) g = ad_graph_of(all[i]);
    int rc = keep(g, kept.h, now.h);
    return rc != AD_OK || kept.c == NULL ? rc : keep(g, kept.c, now.c);
}

/* ---- construction ------------------------------------------------------------------------------------------- */

static const recurrence kinds[] = { { "rnn", "rnn_cell", 1, false, run_rnn },
                                    { "lstm", "lstm_cell", 4, true, run_lstm },
                                    { "gru", "gru_cell", 3, false, run_gru } };

/* Parameter "weight_ih_l0", in the second direction "weight_ih_l0_reverse", of a cell "weight_ih". */
static void add_weights(nn_module *m, const recurrent *r, ad_var **field, const char *name, int part, ad_shape s) {
    char full[48];
    const char *direction = part % r->directions == 1 ? "_reverse" : "";
    if (r->sequence) snprintf(full, sizeof full, "%s_l%d%s", name, part / r->directions, direction);
    else snprintf(full, sizeof full, "%s", name);
    nn__uniform_parameter(m, field, full, r->dtype, s, 1 / sqrt((double)r->o.hidden));
}

static void add_part(nn_module *m, recurrent *r, int i) {
    weights *w = &r->part[i];
    int64_t rows = r->kind->gates * r->o.hidden, in = i < r->directions ? r->o.in : r->directions * r->o.hidden;
    add_weights(m, r, &w->w_ih, "weight_ih", i, AD_SHAPE(rows, in));
    add_weights(m, r, &w->w_hh, "weight_hh", i, AD_SHAPE(rows, r->o.hidden));
    if (r->o.no_bias) return;
    add_weights(m, r, &w->b_ih, "bias_ih", i, AD_SHAPE(rows));
    add_weights(m, r, &w->b_hh, "bias_hh", i, AD_SHAPE(rows));
}

enum { MOST_LAYERS = 1 << 16 };

static bool check_opts(ad_graph *g, const char *name, const nn_rnn_opts *o) {
    if (!nn__is_size(g, name, "in", o->in) || !nn__is_size(g, name, "hidden", o->hidden) ||
        !nn__is_size(g, name, "layers", o->layers))
        return false;
    if (o->layers > MOST_LAYERS)
        return ad_fail(g, AD_EVALUE, "%s: %d layers: at most %d", name, o->layers, MOST_LAYERS), false;
    if (o->dropout >= 0 && o->dropout <= 1) return true;
    ad_fail(g, AD_EVALUE, "%s: dropout %g: it must be from 0 to 1", name, o->dropout);
    return false;
}

static nn_module *recurrent_new(ad_graph *g, ad_dtype t, nn_rnn_opts o, const recurrence *kind, bool sequence) {
    const char *name = sequence ? kind->name : kind->cell;
    o.layers = sequence ? (int)ad_option_int(o.layers, 1) : 1;
    o.dropout = ad_option(o.dropout, 0);
    if (!check_opts(g, name, &o)) return NULL;
    recurrent head = { .kind = kind, .o = o, .dtype = t, .sequence = sequence };
    head.directions = sequence && o.bidirectional ? 2 : 1;
    size_t size = sizeof head + (size_t)o.layers * (size_t)head.directions * sizeof(weights);
    nn_module *m = nn_module_new(g, name, recurrent_forward, size);
    if (m == NULL) return NULL;
    m->forward_n = recurrent_forward_n;
    recurrent *r = nn_self(m);
    *r = head;
    for (int i = 0; i < parts(r); i++) add_part(m, r, i);
    return ad_ok(g) ? m : NULL;
}

nn_module *nn_rnn_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[0], false); }
nn_module *nn_lstm_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[1], false); }
nn_module *nn_gru_cell(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[2], false); }
nn_module *nn_rnn(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[0], true); }
nn_module *nn_lstm(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[1], true); }
nn_module *nn_gru(ad_graph *g, ad_dtype t, nn_rnn_opts o) { return recurrent_new(g, t, o, &kinds[2], true); }
