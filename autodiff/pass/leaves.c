/* leaves.c: ad_backward_with: a backward pass that tells of each leaf as soon as its gradient is complete. A first walk
   finds the last Op that adds to each leaf; ad_backward's own loop knows nothing of it. */
#include <stdlib.h>

#include "autodiff/graph/flat.h"
#include "autodiff/pass/pass.h"

/* A leaf, and the Op that adds to its gradient last: the oldest one, 0 if there is none. */
typedef struct {
    ad_var *leaf;
    uint32_t last;
    int index; /* in the caller's list: of leaves that end together, the first one is told of first */
} told;

typedef struct {
    ad_graph *g;
    told *all;
    int n, next; /* next: the first one that has not been told of */
    ad_leaf_fn *complete;
    void *data;
} telling;

static int by_address(const void *a, const void *b) {
    const told *x = a, *y = b;
    return (x->leaf > y->leaf) - (x->leaf < y->leaf);
}

/* Leaves without an Op first, then in the order in which the pass meets their last Ops. */
static int by_end(const void *a, const void *b) {
    const told *x = a, *y = b;
    if (x->last != y->last) return x->last == 0 ? -1 : y->last == 0 ? 1 : x->last > y->last ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Of equal leaves, the first one. */
static told *find(const telling *t, const ad_var *leaf) {
    int from = 0, to = t->n;
    while (from < to) {
        int middle = from + (to - from) / 2;
        if (t->all[middle].leaf < leaf) from = middle + 1;
        else to = middle;
    }
    return from < t->n && t->all[from].leaf == leaf ? &t->all[from] : NULL;
}

static void note_operand(telling *t, ad__walk *w, const ad_op *op, int i) {
    ad_var *x = op->in[i];
    if (!ad__wants(op, i)) return;
    if (x->creator != NULL) {
        ad__walk_reach(w, x);
        return;
    }
    told *found = find(t, x);
    if (found != NULL) found->last = op->id; /* the walk goes from new Ops to old ones */
}

/* The walk of the pass, in advance. */
static void find_last(telling *t, ad_var *y) {
    ad__walk w = ad__walk_inside(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
        for (int i = 0; i < op->n_in; i++) note_operand(t, &w, op, i);
    for (int i = 1; i < t->n; i++)
        if (t->all[i].leaf == t->all[i - 1].leaf) t->all[i].last = t->all[i - 1].last;
}

/* Tells of the leaves whose last Op is this one or newer. What the caller's function begins is no part of this pass. */
static int tell(telling *t, const ad_op *op) {
    if (t->next == t->n || t->all[t->next].last < op->id) return AD_OK;
    ad__rule rule = { .outer = t->g->rule, .op = op, .floor = t->g->n_ops };
    t->g->rule = &rule;
    while (t->next < t->n && t->all[t->next].last >= op->id && t->g->code == AD_OK)
        t->complete(t->all[t->next++].leaf, t->data);
    t->g->rule = rule.outer;
    ad__walk_unpark(&rule);
    return t->g->code;
}

static void tell_others(telling *t, bool unused_only) {
    while (t->next < t->n && (!unused_only || t->all[t->next].last == 0) && t->g->code == AD_OK)
        t->complete(t->all[t->next++].leaf, t->data);
}

static int differentiate(telling *t, ad_var *y, const ad_var *seed) {
    tell_others(t, true);
    int rc = ad__seed_pass(y, seed);
    ad__walk w = ad__walk_inside(y);
    for (ad_op *op; (op = ad__walk_next(&w)) != NULL;) {
        rc = ad__differentiate_next(&w, op, rc);
        if (rc == AD_OK) rc = tell(t, op);
    }
    return rc == AD_OK ? t->g->code : rc;
}

static int check_leaves(ad_graph *g, int n, ad_var *const leaves[], ad_leaf_fn *complete) {
    if (n < 0 || (n > 0 && (leaves == NULL || complete == NULL)))
        return ad_fail(g, AD_EVALUE, "backward_with: %d leaves: 0 or more, with an array and a function", n);
    for (int i = 0; i < n; i++) {
        if (ad__absent(leaves[i])) return ad_fail(g, AD_EVALUE, "backward_with: leaf %d is nil", i);
        if (ad__owner(leaves[i]) != g)
            return ad_fail(g, AD_EGRAPH, "backward_with: y and leaf %d belong to two graphs", i);
        if (ad__check_open(leaves[i], "backward_with")) return g->code;
        if (leaves[i]->creator != NULL)
            return ad_fail(g, AD_EVALUE, "backward_with: leaf %d was made by the op %s", i,
                           leaves[i]->creator->type->name);
    }
    return AD_OK;
}

/* A flat program, and the look for anomalies, do the whole pass first. */
static int run(telling *t, ad_var *y, const ad_var *seed) {
    ad_graph *g = t->g;
    if (g->flat != NULL || g->anomalies || y->creator == NULL) {
        int rc = seed ? ad_backward_from(y, seed) : ad_backward(y);
        if (rc == AD_OK) tell_others(t, false);
        return rc == AD_OK ? g->code : rc;
    }
    qsort(t->all, (size_t)t->n, sizeof *t->all, by_address);
    find_last(t, y);
    qsort(t->all, (size_t)t->n, sizeof *t->all, by_end);
    return differentiate(t, y, seed);
}

int ad_backward_with(ad_var *y, const ad_var *seed, int n, ad_var *const leaves[], ad_leaf_fn *complete, void *data) {
    int rc = ad__check_backward(y, "backward_with", seed);
    if (rc == AD_OK) rc = check_leaves(ad__owner(y), n, leaves, complete);
    if (rc != AD_OK || n == 0) return rc != AD_OK ? rc : seed ? ad_backward_from(y, seed) : ad_backward(y);
    ad_graph *g = ad__owner(y);
    size_t bytes = (size_t)n * sizeof(told);
    telling t = { .g = g, .n = n, .complete = complete, .data = data };
    t.all = ad__pool_take(&g->pool, bytes);
    if (t.all == NULL) return ad_no_memory(g, "a list of leaves", bytes);
    for (int i = 0; i < n; i++) t.all[i] = (told){ .leaf = leaves[i], .index = i };
    rc = run(&t, y, seed);
    ad__pool_give(&g->pool, t.all, bytes);
    return rc;
}
