/* prefetch.h: a thread that makes a sequence of items ahead of time; private to nn. */
#ifndef NN_DATA_PREFETCH_H
#define NN_DATA_PREFETCH_H

#include "autodiff/autodiff.h"

typedef struct nn__prefetch nn__prefetch;
/* Makes an item, on either thread. It may read what maker points to, and writes only to `to`. */
typedef void nn__make_fn(const void *maker, int64_t item, void *to);

/* Keeps up to `ahead` items of `size` bytes each ready. It belongs to the graph's innermost scope, and the thread ends
   with it. NULL with the graph's error where memory is short, and NULL without an error where the thread cannot be
   started: then the caller makes the items itself. The calls below ignore NULL. */
nn__prefetch *nn__prefetch_new(ad_graph *g, int64_t ahead, size_t size, nn__make_fn *make, const void *maker);
/* Waits until no item is being made. What maker points to may then change, until nn__prefetch_start. */
void nn__prefetch_pause(nn__prefetch *p);
void nn__prefetch_start(nn__prefetch *p, int64_t n); /* restarts with items 0 .. n-1 */
/* Waits for an item, which must be the last one asked for or a later one. It is valid until the next call. Returns NULL
   where there is no thread, and the caller then makes the item: p is NULL or closed, or this process is a child of
   fork, which has the parent's memory and none of its threads. */
const void *nn__prefetch_get(nn__prefetch *p, int64_t item);
void nn__prefetch_close(nn__prefetch *p); /* ends the thread; may be called more than once */

#endif
