/* backward.c: the hot path of differentiation: gradients as numbers, in one walk. */
#include <string.h>

#include "autodiff/graph/node.h"
#include "autodiff/graph/walk.h"
#include "autodiff/pass/pass.h"

static int borrow_grad(ad_graph *g, ad_var *v) {
    v->grad = ad__pool_take(&g->pool, ad__bytes(v));
    if (v->grad == NULL) return ad_no_memory(g, "a gradient", ad__bytes(v));
    v->flags |= AD__POOLED;
    return AD_OK;
}

/* An interior gradient is fresh for each pass: what an earlier one left no longer counts. */
static inline int make_ready(ad_graph *g, ad_var *v) {
    v->flags &= (uint16_t)~AD__HAS_GRAD;
    return AD__LIKELY(v->grad != NULL) ? AD_OK : borrow_grad(g, v);
}

/* Has operand v, if it is to get a gradient and is no leaf, visited later. */
AD__INLINE int reach(ad__walk *w, ad_var *v) {
    if ((v->flags & (AD__NEEDS | AD__REACHED)) != AD__NEEDS || v->creator == NULL) return AD_OK;
    v->flags |= AD__REACHED;
    w->pending++;
    return make_ready(w->graph, v);
}

AD__INLINE int reach_operands(ad__walk *w, const ad_op *op) {
    int rc = AD_OK;
    bool all = op->type->no_grad == 0;
    for (int i = 0, n = op->n_in; i < n; i++)
        if (AD__LIKELY(all) || ad__wants(op, i)) rc |= reach(w, op->in[i]);
    return rc;
}

static void give_back(ad_graph *g, ad_var *v) {
    ad__pool_give(&g->pool, v->grad, ad__bytes(v));
    v->grad = NULL;
    v->flags &= (uint16_t)~(AD__POOLED | AD__HAS_GRAD);
}

/* Whether v may take over the gradient of op's result: it is about to borrow memory of that size. */
static bool may_inherit(const ad_op *op, int i) {
    const ad_var *v = op->in[i], *out = ad__out(op);
    if (!ad__wants(op, i) || v->creator == NULL || v->grad != NULL || v->flags & AD__REACHED) return false;
    if (v->layout->dtype != out->layout->dtype || ad__bytes(v) != ad__bytes(out)) return false;
    for (int j = 0; j < op->n_in; j++)
        if (j != i && op->in[j] == v) return false;
    return true;
}

/* The gradient of op's result, read for the last time by its backward, becomes that of an operand, which is
   then computed in place: saves a stream of memory. NULL if no operand can take it. */
static ad_var *inherit(const ad_op *op) {
    if (!(op->type->flags & AD_OP_IN_PLACE)) return NULL;
    for (int i = 0; i < op->n_in; i++)
        if (may_inherit(op, i)) {
            op->in[i]->grad = ad__out(op)->grad;
            op->in[i]->flags |= AD__POOLED;
            return op->in[i];
        }
    return NULL;
}

/* After op's backward: the memory of its result's gradient goes to the pool, unless an operand has it. */
static void release(ad_graph *g, ad_var *out, const ad_var *heir) {
    if (heir == NULL) {
        give_back(g, out);
        return;
    }
    out->grad = NULL;
    out->flags &= (uint16_t)~(AD__POOLED | AD__HAS_GRAD);
}

static inline void add_into(ad_var *y, const ad_var *seed) {
    if (y->layout->dtype == AD_F32)
        for (int64_t i = 0; i < y->layout->numel; i++) ((float *)y->grad)[i] += ((const float *)seed->data)[i];
    else
        for (int64_t i = 0; i < y->layout->numel; i++) ((double *)y->grad)[i] += ((const double *)seed->data)[i];
}

/* A root that is an interior Var starts from the seed alone; a leaf accumulates. */
static void plant(ad_var *y, const ad_var *seed) {
    if (!(y->flags & AD__HAS_GRAD)) memset(y->grad, 0, ad__bytes(y));
    y->flags |= AD__HAS_GRAD;
    if (seed != NULL) add_into(y, seed);
    else if (y->layout->dtype == AD_F32) *(float *)y->grad += 1;
    else *(double *)y->grad += 1;
}

/* Short of memory the walk goes on to its end, for that is what takes the marks off. */
static int differentiate(ad_var *y, const ad_var *seed) {
    ad_graph *g = ad__owner(y);
    if (y->creator == NULL) return plant(y, seed), AD_OK;
    ad__walk w = ad__walk_from(y);
    int rc = make_ready(g, y);
    if (rc == AD_OK) plant(y, seed);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        ad_var *out = ad__out(op);
        const ad_var *heir = NULL;
        if (AD__LIKELY(rc == AD_OK)) {
            if (AD__UNLIKELY(out->flags & AD__POOLED)) heir = inherit(op);
            rc = reach_operands(&w, op);
        }
        if (AD__LIKELY(rc == AD_OK && out->flags & AD__HAS_GRAD)) op->type->backward[out->layout->dtype](op);
        if (AD__UNLIKELY(out->flags & AD__POOLED)) release(g, out, heir);
    }
    return rc == AD_OK ? g->code : rc;
}

int ad__check_alike(ad_var *x, const char *x_name, const ad_var *v, const char *v_name, const char *caller) {
    ad_graph *g = ad__owner(x);
    if (ad__absent(v)) return ad_fail(g, AD_EVALUE, "%s: the %s is nil", caller, v_name);
    if (ad__owner(v) != g)
        return ad_fail(g, AD_EGRAPH, "%s: %s and the %s belong to two graphs", caller, x_name, v_name);
    bool same_dtype = v->layout->dtype == x->layout->dtype;
    if (same_dtype && ad_shape_equal(v->layout->shape, x->layout->shape)) return AD_OK;
    char xs[96], vs[96];
    ad_shape_text(x->layout->shape, xs, sizeof xs);
    ad_shape_text(v->layout->shape, vs, sizeof vs);
    return ad_fail(g, same_dtype ? AD_ESHAPE : AD_EDTYPE, "%s: %s is %s %s, the %s %s %s; they must be alike", caller,
                   x_name, ad_dtype_name(x->layout->dtype), xs, v_name, ad_dtype_name(v->layout->dtype), vs);
}

static int check_root(ad_var *y, const char *caller) {
    if (ad__absent(y)) return ad_refuse_nil(y, caller);
    ad_graph *g = ad__owner(y);
    if (g->code != AD_OK || ad__check_open(y, caller)) return g->code;
    if (!ad__needs(y))
        return ad_fail(g, AD_EGRAD, "%s: y was made from nothing that wants a gradient; make a leaf with ad_param",
                       caller);
    return ad__check_fresh(y, caller);
}

int ad__backward_inside(ad_var *y, const ad_var *seed) { return ad__needs(y) ? differentiate(y, seed) : AD_OK; }

int ad_backward(ad_var *y) {
    int rc = check_root(y, "backward");
    if (rc != AD_OK) return rc;
    if (AD__LIKELY(y->layout->numel == 1)) return differentiate(y, NULL);
    char shape[96];
    ad_shape_text(y->layout->shape, shape, sizeof shape);
    return ad_fail(ad__owner(y), AD_ESHAPE,
                   "backward: y is %s, not one element; reduce it (ad_sum, ad_mean) or give ad_backward_from a seed",
                   shape);
}

int ad_backward_from(ad_var *y, const ad_var *seed) {
    int rc = check_root(y, "backward_from");
    if (rc == AD_OK) rc = ad__check_alike(y, "y", seed, "seed", "backward_from");
    return rc == AD_OK ? differentiate(y, seed) : rc;
}

void ad_zero_grad(ad_var *y) {
    if (ad__absent(y)) return;
    y->flags &= (uint16_t)~AD__HAS_GRAD;
    if (y->creator == NULL) return;
    ad__walk w = ad__walk_from(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) {
            op->in[i]->flags &= (uint16_t)~AD__HAS_GRAD;
            ad__walk_reach(&w, op->in[i]);
        }
}

/* ---- inside backward ------------------------------------------------------------------------- */

bool ad_wants_grad(const ad_op *op, int i) { return ad__wants(op, i); }

void *ad_grad_into(const ad_op *op, int i) {
    if (!ad__wants(op, i)) return NULL;
    ad_var *v = op->in[i];
    if (!(v->flags & AD__HAS_GRAD)) {
        ad__clear(ad__owner(v)->team, v->grad, ad__bytes(v));
        v->flags |= AD__HAS_GRAD;
    }
    return v->grad;
}

void *ad_grad_claim(const ad_op *op, int i, bool *fresh) {
    if (!ad__wants(op, i)) return NULL;
    ad_var *v = op->in[i];
    *fresh = !(v->flags & AD__HAS_GRAD);
    v->flags |= AD__HAS_GRAD;
    return v->grad;
}

const void *ad_attrs(const ad_op *op) { return ad__attrs_of(op); }
void *ad_saved(const ad_op *op) { return ad__out(op)->flags & AD__SAVED ? *ad__saved_slot(op) : NULL; }
void *ad_scratch(const ad_op *op) { return ad__owner(ad__out(op))->scratch; }
void *ad_values(const ad_op *op) { return ad__out(op)->data; }
