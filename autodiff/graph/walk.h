/* walk.h: visiting the Ops that a root depends on, newest first; private to the library. */
#ifndef AUTODIFF_GRAPH_WALK_H
#define AUTODIFF_GRAPH_WALK_H

#include "autodiff/graph/node.h"

/* Visits each Op that a root depends on once, newest first. The cost is linear in the number of Ops visited, whatever
   else the graph holds. Every walk must be finished, by calling ad__walk_next until it returns NULL: this clears the
   AD__REACHED flags. One walk runs at a time.

       ad__walk w = ad__walk_from(root);
       for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
           for (int i = 0; i < op->n_in; i++) ad__walk_reach(&w, op->in[i]);                       */
typedef struct {
    ad_graph *graph;
    ad_op *at;       /* the next candidate */
    ad_op *segment;  /* the Op at which the current run along prev began */
    int64_t pending; /* Ops reached but not visited yet */
    int64_t skipped; /* Ops skipped in this segment */
    size_t heaped;   /* Ops on the heap */
    bool no_jumps;   /* there is no memory for the heap: follow prev to the end */
    bool late;       /* some branches are to be visited only if an Op leads to them: see ad__walk_late */
} ad__walk;

/* The slow path of ad__walk_next: finds the next Op if it is not w->at. */
ad_op *ad__walk_skip(ad__walk *w);
/* Schedules a visit of v's creator. Returns false if v is a leaf or was reached before. */
static inline bool ad__walk_reach(ad__walk *w, ad_var *v) {
    if (v->creator == NULL || v->flags & AD__REACHED) return false;
    v->flags |= AD__REACHED;
    w->pending++;
    return true;
}
/* Puts the flags of the pass that waits for g->rule aside, once; and back. */
void ad__walk_park(ad_graph *g);
void ad__walk_unpark(ad__rule *rule);

/* A walk from root. ad__walk_inside is for the passes of the library, which meet no Op of a pass that waits. */
static inline ad__walk ad__walk_inside(ad_var *root) {
    ad__walk w = { .graph = ad__owner(root), .at = root->creator, .segment = root->creator };
    ad__walk_reach(&w, root);
    return w;
}
/* Schedules a visit of the creator of another root, which is older than the first one. */
void ad__walk_add(ad__walk *w, ad_var *root);
static inline ad__walk ad__walk_from(ad_var *root) {
    if (AD__UNLIKELY(ad__owner(root)->rule != NULL)) ad__walk_park(ad__owner(root));
    return ad__walk_inside(root);
}
/* A walk from root and the branches that hold for it. A branch that has failed holds for what depends on an Op between
   it and the failure too: while w->late is set, the visitor of each Op calls ad__walk_late, which schedules these. */
ad__walk ad__walk_with_branches(ad_var *root);
void ad__walk_late(ad__walk *w, const ad_op *op);
/* The next Op, or NULL if all have been visited. The slow path gets a copy of the walk, so that the compiler can keep
   the caller's in registers. */
AD__INLINE ad_op *ad__walk_next(ad__walk *w) {
    if (w->pending == 0) return NULL;
    ad_op *op = w->at;
    if (AD__UNLIKELY(!(ad__out(op)->flags & AD__REACHED))) {
        ad__walk copy = *w;
        op = ad__walk_skip(&copy);
        *w = copy;
    }
    ad__out(op)->flags &= (uint16_t)~AD__REACHED;
    w->pending--;
    w->at = op->prev;
    return op;
}

#endif
