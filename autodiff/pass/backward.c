/* backward.c: ad_backward: gradients as numbers, in one walk over the graph; this is the hot path of
   differentiation. */
#include <string.h>

#include "autodiff/graph/anomaly.h"
#include "autodiff/graph/walk.h"
#include "autodiff/pass/flat.h"
#include "autodiff/pass/pass.h"

static int take_grad_buffer(ad_graph *g, ad_var *v) {
    v->grad = ad__pool_take(&g->pool, ad__bytes(v));
    if (v->grad == NULL) return ad_no_memory(g, "a gradient", ad__bytes(v));
    v->flags |= AD__POOLED;
    return AD_OK;
}

/* Prepares an interior Var's gradient, which starts from zero in each pass. */
static inline int reset_grad(ad_graph *g, ad_var *v) {
    v->flags &= (uint16_t)~AD__HAS_GRAD;
    return AD__LIKELY(v->grad != NULL) ? AD_OK : take_grad_buffer(g, v);
}

/* Schedules a visit of operand v's creator, unless v needs no gradient or is a leaf. */
AD__INLINE int reach(ad__walk *w, ad_var *v) {
    if ((v->flags & (AD__NEEDS | AD__REACHED)) != AD__NEEDS || v->creator == NULL) return AD_OK;
    v->flags |= AD__REACHED;
    w->pending++;
    return reset_grad(w->graph, v);
}

AD__INLINE int reach_operands(ad__walk *w, const ad_op *op) {
    int rc = AD_OK;
    bool all = op->type->no_grad == 0;
    for (int i = 0, n = op->n_in; i < n; i++)
        if (AD__LIKELY(all) || ad__wants(op, i)) rc |= reach(w, op->in[i]);
    return rc;
}

static void give_back_grad(ad_graph *g, ad_var *v) {
    ad__pool_give(&g->pool, v->grad, ad__bytes(v));
    v->grad = NULL;
    v->flags &= (uint16_t)~(AD__POOLED | AD__HAS_GRAD);
}

/* True if operand i can take over the gradient buffer of op's result: it would otherwise take a buffer of the same size
   from the pool, and op uses it once. */
static bool can_take_grad(const ad_op *op, int i) {
    const ad_var *v = op->in[i], *out = ad__out(op);
    if (!ad__wants(op, i) || v->creator == NULL || v->grad != NULL || v->flags & AD__REACHED) return false;
    if (v->layout->dtype != out->layout->dtype || ad__bytes(v) != ad__bytes(out)) return false;
    for (int j = 0; j < op->n_in; j++)
        if (j != i && op->in[j] == v) return false;
    return true;
}

/* Hands the gradient buffer of op's result down to an operand, whose gradient backward then computes in place. The
   result's gradient is not read again after that, so this saves a buffer and memory traffic. Returns the operand, or
   NULL if there is none that can take it. */
static ad_var *hand_down_grad(const ad_op *op) {
    if (!(op->type->flags & AD_OP_IN_PLACE)) return NULL;
    for (int i = 0; i < op->n_in; i++)
        if (can_take_grad(op, i)) {
            op->in[i]->grad = ad__out(op)->grad;
            op->in[i]->flags |= AD__POOLED;
            return op->in[i];
        }
    return NULL;
}

/* After an op's backward: gives its result's gradient buffer back to the pool, unless operand grad_taker has it. */
static void release_grad(ad_graph *g, ad_var *out, const ad_var *grad_taker) {
    if (grad_taker == NULL) {
        give_back_grad(g, out);
        return;
    }
    out->grad = NULL;
    out->flags &= (uint16_t)~(AD__POOLED | AD__HAS_GRAD);
}

static void add_f32(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void add_f64(int64_t n, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

/* Adds the seed, or 1 if it is NULL, to the root's gradient: an interior root's is zero before, a leaf's
   accumulates. */
static void seed_root(ad_var *y, const ad_var *seed) {
    const ad__layout *l = y->layout;
    if (!(y->flags & AD__HAS_GRAD)) memset(y->grad, 0, l->bytes);
    y->flags |= AD__HAS_GRAD;
    if (seed != NULL) AD__BY_DTYPE(l->dtype, add, l->numel, seed->data, y->grad);
    else ad_write_element(l->dtype, y->grad, 0, ad_read_element(l->dtype, y->grad, 0) + 1);
}

/* What the pass does at one Op. rc is an error of the pass so far. */
AD__INLINE int differentiate_op(ad__walk *w, const ad_op *op, int rc) {
    ad_var *out = ad__out(op);
    const ad_var *grad_taker = NULL;
    if (AD__LIKELY(rc == AD_OK)) {
        if (AD__UNLIKELY(out->flags & AD__POOLED)) grad_taker = hand_down_grad(op);
        rc = reach_operands(w, op);
    }
    if (AD__LIKELY(rc == AD_OK && out->flags & AD__HAS_GRAD)) op->type->backward[out->layout->dtype](op);
    if (AD__UNLIKELY(out->flags & AD__POOLED)) release_grad(w->graph, out, grad_taker);
    return rc;
}

int ad__differentiate_op(ad_graph *g, const ad_op *op, int rc) {
    ad__walk w = { .graph = g };
    return differentiate_op(&w, op, rc);
}

int ad__differentiate_next(ad__walk *w, const ad_op *op, int rc) { return differentiate_op(w, op, rc); }

/* The rest of the walk, looking for the first gradient that is not finite. */
static int differentiate_watched(ad__walk *w, int rc) {
    for (ad_op *op; (op = ad__walk_next(w)) != NULL;) {
        bool runs = rc == AD_OK && ad__out(op)->flags & AD__HAS_GRAD;
        uint64_t mask = runs ? ad__finite_before(op) : 0;
        rc = differentiate_op(w, op, rc);
        if (runs && rc == AD_OK) rc = ad__check_slopes(op, mask);
    }
    return rc;
}

/* The walk runs to its end even after an error, as this clears the AD__REACHED flags. */
static int differentiate(ad_var *y, const ad_var *seed) {
    ad_graph *g = ad__owner(y);
    if (y->creator == NULL) return seed_root(y, seed), AD_OK;
    ad__walk w = ad__walk_inside(y);
    int rc = reset_grad(g, y);
    if (rc == AD_OK) seed_root(y, seed);
    if (AD__UNLIKELY(g->anomalies)) rc = differentiate_watched(&w, rc);
    else
        for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) rc = differentiate_op(&w, op, rc);
    return rc == AD_OK ? g->code : rc;
}

/* The pass where the graph has a flat program. */
static int differentiate_beside(ad_graph *g, ad_var *y, const ad_var *seed) {
    if (!ad__flat_differentiates(g, y)) {
        ad__flat_show_grads(g);
        g->flat->marked = false;
        return differentiate(y, seed);
    }
    int rc = reset_grad(g, y);
    if (rc != AD_OK) return rc;
    seed_root(y, seed);
    rc = ad__flat_differentiate(g->flat);
    return rc == AD_OK ? g->code : rc;
}

static inline int begin(ad_var *y, const ad_var *seed) {
    ad_graph *g = ad__owner(y);
    return AD__LIKELY(g->flat == NULL) ? differentiate(y, seed) : differentiate_beside(g, y, seed);
}

int ad__check_alike(ad_var *x, const char *x_name, const ad_var *v, const char *v_name, const char *caller) {
    ad_graph *g = ad__owner(x);
    if (ad__absent(v)) return ad_fail(g, AD_EVALUE, "%s: %s is nil", caller, v_name);
    if (ad__owner(v) != g)
        return ad_fail(g, AD_EGRAPH, "%s: %s and %s belong to two graphs", caller, x_name, v_name);
    const ad__layout *a = x->layout, *b = v->layout;
    if (a->dtype == b->dtype && ad_shape_equal(a->shape, b->shape)) return ad__check_open(v, caller);
    return ad_fail(g, a->dtype == b->dtype ? AD_ESHAPE : AD_EDTYPE,
                   "%s: %s is %s %s and %s is %s %s; shape and dtype must be the same", caller, x_name,
                   ad_dtype_name(a->dtype), ad_shape_str(a->shape).text, v_name, ad_dtype_name(b->dtype),
                   ad_shape_str(b->shape).text);
}

/* True if y depends on a result whose gradient the pass that waits for g->rule still needs. */
static bool meets_outer_pass(ad_var *y) {
    uint32_t floor = ad__owner(y)->rule->floor;
    bool meets = false;
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        meets |= op->id <= floor && ad__needs(ad__out(op));
        for (int i = 0; i < op->n_in; i++) ad__walk_reach(&w, op->in[i]);
    }
    return meets;
}

/* AD_EGRAD if a call within a rule would overwrite gradients of the pass that runs the rule. */
AD_COLD static int check_rule(ad_var *y, const char *caller) {
    ad_graph *g = ad__owner(y);
    if (g->rule == NULL || y->creator == NULL || !meets_outer_pass(y)) return AD_OK;
    return ad_fail(g, AD_EGRAD,
                   "%s: a backward pass is running, whose gradients this call would change; in a rule, "
                   "differentiate with ad_gradient or ad_vjp",
                   caller);
}

static int check_root(ad_var *y, const char *caller, const ad_var *seed) {
    if (ad__absent(y)) return ad__refuse_beside(y, 1, (ad_var *[]){ (ad_var *)seed }, caller);
    ad_graph *g = ad__owner(y);
    if (g->code != AD_OK || ad__check_open(y, caller)) return g->code;
    if (!ad__needs(y))
        return ad_fail(g, AD_EGRAD, "%s: y depends on no Var that requires a gradient; make a leaf with ad_param",
                       caller);
    int rc = AD__LIKELY(g->rule == NULL) ? AD_OK : check_rule(y, caller);
    return rc == AD_OK ? ad__check_fresh(y, caller) : rc;
}

int ad__backward_inside(ad_var *y, const ad_var *seed) { return ad__needs(y) ? differentiate(y, seed) : AD_OK; }

AD_COLD static int refuse_array(const ad_var *y, const char *caller) {
    return ad_fail(ad__owner(y), AD_ESHAPE,
                   "%s: y is %s, not one element; reduce it (ad_sum, ad_mean) or give ad_backward_from a seed", caller,
                   ad_shape_str(y->layout->shape).text);
}

int ad__check_backward(ad_var *y, const char *caller, const ad_var *seed) {
    int rc = check_root(y, caller, seed);
    if (rc == AD_OK && seed != NULL) rc = ad__check_alike(y, "y", seed, "seed", caller);
    return rc == AD_OK && seed == NULL && y->layout->numel != 1 ? refuse_array(y, caller) : rc;
}

int ad__seed_pass(ad_var *y, const ad_var *seed) {
    int rc = reset_grad(ad__owner(y), y);
    if (rc == AD_OK) seed_root(y, seed);
    return rc;
}

int ad_backward(ad_var *y) {
    int rc = check_root(y, "backward", NULL);
    if (rc != AD_OK) return rc;
    if (AD__LIKELY(y->layout->numel == 1)) return begin(y, NULL);
    return refuse_array(y, "backward");
}

int ad_backward_from(ad_var *y, const ad_var *seed) {
    int rc = check_root(y, "backward_from", seed);
    if (rc == AD_OK) rc = ad__check_alike(y, "y", seed, "seed", "backward_from");
    return rc == AD_OK ? begin(y, seed) : rc;
}

/* Where the graph has a flat program. False if the walk is to do it. */
static bool zero_beside(ad__flat *p, const ad_var *y) {
    if (y->creator == NULL) return false;
    if (y->creator == p->root && ad__flat_zero(p)) return true;
    p->marked = false;
    return false;
}

void ad_zero_grad(ad_var *y) {
    if (ad__absent(y) || (AD__UNLIKELY(ad__owner(y)->rule != NULL) && check_rule(y, "zero_grad"))) return;
    if (AD__UNLIKELY(ad__owner(y)->flat != NULL) && zero_beside(ad__owner(y)->flat, y)) return;
    y->flags &= (uint16_t)~AD__HAS_GRAD;
    if (y->creator == NULL) return;
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) {
            op->in[i]->flags &= (uint16_t)~AD__HAS_GRAD;
            ad__walk_reach(&w, op->in[i]);
        }
}

/* ---- for the rules of ops: see op.h ------------------------------------------------------------------------- */

bool ad_wants_grad(const ad_op *op, int i) { return op != NULL && i >= 0 && i < op->n_in && ad__wants(op, i); }

void *ad_grad_into(const ad_op *op, int i) {
    if (!ad_wants_grad(op, i)) return NULL;
    ad_var *v = op->in[i];
    if (!(v->flags & AD__HAS_GRAD)) {
        ad__clear(ad__owner(v)->team, v->grad, ad__bytes(v));
        v->flags |= AD__HAS_GRAD;
    }
    return v->grad;
}

void *ad_grad_claim(const ad_op *op, int i, bool *fresh) {
    if (!ad_wants_grad(op, i) || fresh == NULL) return NULL;
    ad_var *v = op->in[i];
    *fresh = !(v->flags & AD__HAS_GRAD);
    v->flags |= AD__HAS_GRAD;
    return v->grad;
}

const void *ad_attrs(const ad_op *op) { return op ? ad__attrs_of(op) : NULL; }
void *ad_saved(const ad_op *op) { return op && ad__out(op)->flags & AD__SAVED ? *ad__saved_slot(op) : NULL; }
void *ad_scratch(const ad_op *op) { return op ? ad__owner(ad__out(op))->scratch : NULL; }
void *ad_values(const ad_op *op) { return op ? ad__out(op)->data : NULL; }
