/* walk.h: visiting the Ops that a root depends on; private to the library. */
#ifndef AUTODIFF_GRAPH_WALK_H
#define AUTODIFF_GRAPH_WALK_H

#include "autodiff/graph/node.h"

/* Visits the Ops that a root depends on, newest first, each once. The cost is linear in the Ops
   visited, whatever else the graph holds. Finish every walk: call ad__walk_next until NULL.

       ad__walk w = ad__walk_from(root);
       for (ad_op *op; (op = ad__walk_next(&w)) != NULL;)
           for (int i = 0; i < op->n_in; i++) ad__walk_reach(&w, op->in[i]);                       */
typedef struct {
    ad_graph *graph;
    ad_op *at;        /* the next candidate */
    ad_op *segment;   /* where the present run along prev began */
    int64_t pending;  /* reached and not visited */
    int64_t skipped;  /* in this segment */
    size_t heaped;
    bool no_jumps;    /* memory for the heap was refused: follow prev to the end */
} ad__walk;

ad_op *ad__walk_skip(ad__walk *w); /* the next one is not w->at: look further */
/* Has v's creator visited later; false where there is none or v was reached before. */
static inline bool ad__walk_reach(ad__walk *w, ad_var *v) {
    if (v->creator == NULL || v->flags & AD__REACHED) return false;
    v->flags |= AD__REACHED;
    w->pending++;
    return true;
}
static inline ad__walk ad__walk_from(ad_var *root) {
    ad__walk w = { .graph = ad__owner(root), .at = root->creator, .segment = root->creator };
    ad__walk_reach(&w, root);
    return w;
}
/* NULL when all are visited. Only a copy of the walk is seen from elsewhere, so that a loop can keep its own
   in registers. */
AD__INLINE ad_op *ad__walk_next(ad__walk *w) {
    if (w->pending == 0) return NULL;
    ad_op *op = w->at;
    if (AD__UNLIKELY(!(ad__out(op)->flags & AD__REACHED))) {
        ad__walk seen = *w;
        op = ad__walk_skip(&seen);
        *w = seen;
    }
    ad__out(op)->flags &= (uint16_t)~AD__REACHED;
    w->pending--;
    w->at = op->prev;
    return op;
}

#endif
