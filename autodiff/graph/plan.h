/* plan.h: the Ops that a Var depends on, as a list in topological order; private to the library. */
#ifndef AUTODIFF_GRAPH_PLAN_H
#define AUTODIFF_GRAPH_PLAN_H

#include "autodiff/graph/node.h"

/* The Ops that y and the branches that hold for it depend on, oldest first, kept in the graph for the next call. NULL,
   with the graph's error, if memory is short. */
const ad__plan *ad__plan_for(ad_var *y);
/* Writes the Ops with an id greater than after that any of the roots depends on to *p, oldest first. *p is zeroed or
   was used before; free it with ad__plan_free. Returns AD_ENOMEM, with the graph's error, if memory is short. */
int ad__plan_make(ad__plan *p, int n_roots, ad_var *const roots[], uint32_t after);
/* The same for the branches that hold without end. */
int ad__plan_of_branches(ad__plan *p, ad_graph *g);
void ad__plan_free(ad_graph *g, ad__plan *p);

#endif
