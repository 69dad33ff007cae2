/* memory.h: what a graph allocates beside the public calls of extend.h; private to the library. */
#ifndef AUTODIFF_GRAPH_MEMORY_H
#define AUTODIFF_GRAPH_MEMORY_H

#include "autodiff/graph/node.h"

/* ad_scope_alloc where the block at hand is full. */
void *ad__node_more(ad_graph *g, size_t size);
/* size, a multiple of 8, from the arena of nodes; NULL and the graph's error when memory is short. */
AD__INLINE void *ad__node_take(ad_graph *g, size_t size) {
    char *p = g->nodes.top;
    if (AD__UNLIKELY(size > (size_t)(g->nodes.end - p))) return ad__node_more(g, size);
    AD__UNPOISON(p, size);
    g->nodes.top = p + size;
    return p;
}

/* Memory that outlives inner scopes: it lasts until the scope closes that x was made in; x NULL: until the graph is
   freed. */
void *ad__lasting_alloc(ad_graph *g, const ad_var *x, size_t bytes);
/* The depth of the scope that x was made in; 0 outside all scopes. */
int ad__depth_of(const ad_graph *g, const ad_var *x);
/* Closes and frees what ad_scope_closing and ad__lasting_alloc gave to the scopes from depth on inwards. */
void ad__extras_free(ad_graph *g, int depth);

/* At least so many bytes of ad_scratch for each thread. */
int ad__scratch_reserve(ad_graph *g, size_t bytes);
/* Gives each thread of a new team its scratch; had: the threads of the team before. */
int ad__scratch_share(ad_graph *g, int had);

/* The layout of that dtype and shape: a recent one, or a new one. */
const ad__layout *ad__layout_make(ad_graph *g, ad_dtype t, ad_shape s);

#endif
