/* apply.c: applying an op: checking the operands, recording the node, evaluating it. */
#include "autodiff/graph/anomaly.h"
#include "autodiff/graph/flat.h"
#include "autodiff/graph/record.h"

/* Values and gradients of up to this many bytes are stored in the node itself, after the Op. */
enum { INLINE_BYTES = 16 };

static inline size_t round8(size_t n) { return (n + 7) & ~(size_t)7; }

/* Allocates arrays for a result that is too large for the node. A gradient that need not be kept gets none here: the
   backward pass takes a buffer for it from the pool. */
static int place_arrays(ad_graph *g, ad_var *out) {
    if (out->data == NULL && (out->data = ad_scope_array(g, ad__bytes(out))) == NULL) return AD_ENOMEM;
    if (ad__needs(out) && g->keep_grads) {
        if ((out->grad = ad_scope_array(g, ad__bytes(out))) == NULL) return AD_ENOMEM;
        out->flags |= AD__KEEPS;
    }
    return AD_OK;
}

/* Notes where the op's draws begin, relative to those of the function that is recorded again. */
AD_COLD static void note_replay(const ad_graph *g, ad_var *out) {
    const ad_random_state *start = g->repeat->start;
    out->flags |= AD__REPLAYS;
    if (start->seed == g->random.seed)
        *ad__replay_of(out->creator) = (ad__replay){ start, { 0, g->random.counter - start->counter } };
    else *ad__replay_of(out->creator) = (ad__replay){ NULL, g->random }; /* the function seeds the generator */
}

/* Adds a node to the graph and evaluates it. Returns nil, with the graph's error, if memory is short or evaluate fails.
   ad__new_scalar in record.h does the same for scalars, with everything inlined. */
static ad_var *record(ad_graph *g, const ad_optype *type, int n, ad_var *const in[], const void *attrs,
                      const ad__layout *layout, size_t saved) {
    unsigned cut = g->grad_enabled ? 0 : AD__CUT;
    unsigned needs = ad__result_needs(g, type->no_grad, (type->flags & AD_OP_CONSTANT) != 0, n, in);
    bool view = (type->flags & AD_OP_VIEW) != 0;
    bool small = layout->bytes <= INLINE_BYTES;
    bool replays = AD__UNLIKELY(g->repeat != NULL) && type->flags & (AD_OP_RANDOM | AD_OP_STATE);
    size_t slot = (saved ? sizeof(void *) : 0) + (replays ? sizeof(ad__replay) : 0), bytes = round8(layout->bytes);
    void *p = ad__node_take(g, ad__node_head(n, type->attr_size) + slot + (small ? needs ? 2 * bytes : bytes : 0));
    if (p == NULL) return &g->nil;
    ad_var *out = ad__node_write(g, p, type, n, in, attrs, type->attr_size, layout, needs | cut);
    char *inside = (char *)ad__saved_slot(out->creator) + slot;
    out->data = view ? ad__lasting_data(in[0]) : small ? inside : NULL;
    out->grad = small && needs ? inside + bytes : NULL;
    if (out->grad != NULL) out->flags |= AD__KEEPS;
    if (!small && place_arrays(g, out)) return &g->nil;
    if (saved) {
        if ((*ad__saved_slot(out->creator) = ad_scope_array(g, saved)) == NULL) return &g->nil;
        out->flags |= AD__SAVED;
    }
    if (replays) note_replay(g, out);
    if (!view && type->evaluate[layout->dtype](out->creator) != AD_OK) return &g->nil;
    return ad__append(g, out);
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* What every call must have: Vars of one graph that has no error, as many as the op takes, of one dtype unless it mixes
   them, and attributes. */
static bool is_sound(const ad_optype *type, int n, ad_var *const in[], const void *attrs) {
    if (in[0] == NULL || (type->arity >= 0 && n != type->arity) || (attrs == NULL && type->attr_size > 0)) return false;
    const ad__layout *first = in[0]->layout;
    bool sound = first->graph != NULL && first->graph->code == AD_OK, mixed = (type->flags & AD_OP_MIXED) != 0;
    for (int i = 0; i < n && sound; i++) {
        if (in[i] == NULL) return false;
        const ad__layout *l = in[i]->layout;
        sound = l->graph == first->graph && (l->dtype == first->dtype || mixed) && !(in[i]->flags & AD__NIL);
    }
    return sound;
}

/* The graph of the first operand that is not NULL; NULL if there is none. Sets the graph's error if an operand is NULL
   or belongs to another graph. */
AD_COLD static ad_graph *common_graph(const ad_optype *type, int n, ad_var *const in[]) {
    ad_graph *g = NULL;
    for (int i = 0; i < n && g == NULL; i++) g = in[i] ? ad__owner(in[i]) : NULL;
    if (g == NULL || g->code != AD_OK) return g;
    for (int i = 0; i < n; i++) {
        if (in[i] == NULL) {
            ad_fail(g, AD_EVALUE, "%s: operand %d is NULL", type->name, i);
            return g;
        }
        if (ad__owner(in[i]) != g) {
            ad_fail(g, AD_EGRAPH, "%s: operand %d belongs to %s; make all operands in one graph", type->name, i,
                    ad__owner(in[i]) ? "another graph" : "no graph");
            return g;
        }
    }
    return g;
}

AD_COLD static int check_operands(const ad_call *c) {
    if (c->type->arity >= 0 && c->n != c->type->arity)
        return ad_fail(c->graph, AD_EVALUE, "%s: %d operands given; the op takes %d", c->type->name, c->n,
                       c->type->arity);
    if (c->type->attr_size > 0 && c->attrs == NULL)
        return ad_fail(c->graph, AD_EVALUE, "%s: its attributes are missing", c->type->name);
    for (int i = 0; i < c->n; i++)
        if (ad__absent(c->in[i]))
            return ad_fail(c->graph, AD_EVALUE, "%s: operand %d is nil, left from an error that was cleared",
                           c->type->name, i);
    if (c->type->flags & AD_OP_MIXED) return AD_OK;
    for (int i = 1; i < c->n; i++)
        if (c->in[i]->layout->dtype != c->dtype)
            return ad_call_fail(c, AD_EDTYPE, "operands of two dtypes, %s and %s; convert one with ad_cast",
                                ad_dtype_name(c->dtype), ad_dtype_name(c->in[i]->layout->dtype));
    return AD_OK;
}

/* Sets the error of a call that is not sound. */
AD_COLD static ad_var *refuse(const ad_optype *type, int n, ad_var *const in[], const void *attrs) {
    ad_graph *g = common_graph(type, n, in);
    if (g == NULL || g->code != AD_OK) return ad_nil(g);
    ad_call c = { .graph = g, .type = type, .n = n, .in = in, .attrs = attrs, .dtype = in[0]->layout->dtype };
    (void)check_operands(&c);
    return &g->nil;
}

/* The shape rule of ops that have none: the operands broadcast together. Scratch is for the gradient of an operand that
   is repeated: a sum in f64 for each of its elements. */
static int broadcast_all(ad_call *c) {
    for (int i = 1; i < c->n; i++)
        if (ad__broadcast(c->shape, c->in[i]->layout->shape, &c->shape))
            return ad_call_fail(c, AD_ESHAPE, "shapes do not broadcast: sizes must be equal or 1, "
                                              "counted from the last");
    for (int i = 0; i < c->n; i++) {
        size_t sums = (size_t)c->in[i]->layout->numel * sizeof(double);
        if (!ad__equal_shapes(&c->in[i]->layout->shape, &c->shape) && sums > c->scratch) c->scratch = sums;
    }
    return AD_OK;
}

int ad_call_axis(const ad_call *c, int axis, int ndim) {
    if (c == NULL || ndim < 0) return AD_ESHAPE;
    if (axis >= -ndim && axis < ndim) return axis < 0 ? axis + ndim : axis;
    if (ndim == 0) return ad_call_fail(c, AD_ESHAPE, "axis %d of a scalar, which has no axes", axis);
    return ad_call_fail(c, AD_ESHAPE, "axis %d is not in %d..%d", axis, -ndim, ndim - 1);
}

static int check_result(const ad_call *c) {
    const ad_optype *type = c->type;
    const char *name = ad_dtype_name(c->dtype);
    if (ad__numel_of(&c->shape) < 0)
        return ad_call_fail(c, AD_ESHAPE, "the result's shape is not valid or has too many elements");
    if (!(type->flags & AD_OP_VIEW) && type->evaluate[c->dtype] == NULL)
        return ad_call_fail(c, AD_EDTYPE, "the op is not implemented for %s; convert the operands with ad_cast", name);
    if (!(type->flags & AD_OP_CONSTANT) && type->backward[c->dtype] == NULL)
        return ad_call_fail(c, AD_EGRAD, "the op has no backward for %s; set AD_OP_CONSTANT if it needs none", name);
    return AD_OK;
}

/* An operand's layout if it has the result's dtype and shape, or another one. */
static const ad__layout *layout_for(const ad_call *c) {
    for (int i = 0; i < c->n; i++) {
        const ad__layout *l = c->in[i]->layout;
        if (l->dtype == c->dtype && ad__equal_shapes(&l->shape, &c->shape)) return l;
    }
    return ad__layout_make(c->graph, c->dtype, &c->shape);
}

/* True for an elementwise op on operands of one layout, which needs no other checks. This is the fast path for arrays
   of any size; ad__fast_path in record.h also needs numel 1 and space in the block, and is inlined into the ops. */
static bool is_one_layout(const ad_optype *type, int n, ad_var *const in[], const void *attrs) {
    if (type->shape != NULL || n != type->arity || in[0] == NULL) return false;
    if (attrs == NULL && type->attr_size > 0) return false;
    const ad__layout *l = in[0]->layout;
    for (int i = 1; i < n; i++)
        if (in[i] == NULL || in[i]->layout != l) return false;
    if (l->numel == 0 || type->evaluate[l->dtype] == NULL) return false;
    if (type->backward[l->dtype] == NULL && !(type->flags & AD_OP_CONSTANT)) return false;
    return l->graph->is_plain;
}

static ad_var *apply(const ad_optype *type, int n, ad_var *const in[], const void *attrs) {
    if (is_one_layout(type, n, in, attrs)) return record(ad__owner(in[0]), type, n, in, attrs, in[0]->layout, 0);
    if (!is_sound(type, n, in, attrs)) return refuse(type, n, in, attrs);
    const ad__layout *first = in[0]->layout;
    ad_graph *g = first->graph;
    ad_call c = { .graph = g, .type = type, .n = n, .in = in, .attrs = attrs,
                  .dtype = first->dtype, .shape = first->shape };
    if (type->shape ? type->shape(&c) : broadcast_all(&c)) return &g->nil;
    if (check_result(&c)) return &g->nil;
    const ad__layout *layout = layout_for(&c);
    if (layout == NULL || ad__scratch_reserve(g, c.scratch)) return &g->nil;
    ad_var *y = record(g, type, n, in, attrs, layout, c.saved);
    return AD__LIKELY(!g->anomalies) || g->code != AD_OK || ad__check_value(y->creator) == AD_OK ? y : &g->nil;
}

ad_var *ad_apply(const ad_optype *type, int n, ad_var *const in[], const void *attrs) {
    if (AD__UNLIKELY(type == NULL || type->name == NULL || n < 1 || in == NULL)) {
        ad_graph *g = ad__graph_among(n, in);
        ad_fail(g, AD_EVALUE, "apply: there is no descriptor, or it has no name");
        return ad_nil(g);
    }
    return apply(type, n, in, attrs);
}

ad_var *ad__apply1(const ad_optype *type, ad_var *a, const void *attrs) { return apply(type, 1, &a, attrs); }

ad_var *ad__apply2(const ad_optype *type, ad_var *a, ad_var *b, const void *attrs) {
    return apply(type, 2, (ad_var *[]){ a, b }, attrs);
}
