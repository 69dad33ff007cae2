/* memory.h: a graph's allocations besides the public calls of extend.h; private to the library. */
#ifndef AUTODIFF_GRAPH_MEMORY_H
#define AUTODIFF_GRAPH_MEMORY_H

#include "autodiff/graph/node.h"

/* The slow path of ad__node_take, taken if the current block is full. */
void *ad__node_more(ad_graph *g, size_t size);
/* Allocates size bytes, a multiple of 8, from the arena of nodes. NULL, with the graph's error, if memory is short. */
AD__INLINE void *ad__node_take(ad_graph *g, size_t size) {
    char *p = g->nodes.top;
    if (AD__UNLIKELY(size > (size_t)(g->nodes.end - p))) return ad__node_more(g, size);
    AD__UNPOISON(p, size);
    g->nodes.top = p + size;
    return p;
}

/* A 64-byte-aligned array that outlives inner scopes. It lasts as long as the scope that x was made in; if x is NULL,
   as long as the graph. NULL, with the graph's error, if memory is short. */
void *ad__lasting_alloc(ad_graph *g, const ad_var *x, size_t bytes);
/* The depth of the scope that x was made in; 0 if it was made outside all scopes. */
int ad__depth_of(const ad_graph *g, const ad_var *x);
/* Closes and frees the memory that ad_scope_closing and ad__lasting_alloc gave to scopes of this depth and deeper. */
void ad__extras_free(ad_graph *g, int depth);

/* Makes ad_scratch at least so many bytes for each thread. AD_ENOMEM, with the graph's error, if memory is short. */
int ad__scratch_reserve(ad_graph *g, size_t bytes);
/* Allocates scratch again for a new team in g->team; the old team had old_threads threads. Errors as above. */
int ad__scratch_share(ad_graph *g, int old_threads);

/* The layout of dtype t and shape s: one made recently, or a new one. NULL, with the graph's error, if memory is
   short. */
const ad__layout *ad__layout_make(ad_graph *g, ad_dtype t, const ad_shape *s);

#endif
