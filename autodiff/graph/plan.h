/* plan.h: the Ops that a Var depends on, as a list to run through; private to the library. */
#ifndef AUTODIFF_GRAPH_PLAN_H
#define AUTODIFF_GRAPH_PLAN_H

#include "autodiff/graph/node.h"

/* The Ops that y depends on, oldest first; NULL (and the graph's error) when memory is short. */
const ad__plan *ad__plan_for(ad_var *y);
/* The same of several roots into a plan of the caller's own, which may have been used before: those with an
   id greater than after. Its memory is the pool's until ad__plan_free. */
int ad__plan_make(ad__plan *p, int n_roots, ad_var *const roots[], uint32_t after);
void ad__plan_free(ad_graph *g, ad__plan *p);

#endif
