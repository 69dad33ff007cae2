/* prefetch.h: items made ahead of time by a thread of their own, in order; private to nn. */
#ifndef NN_DATA_PREFETCH_H
#define NN_DATA_PREFETCH_H

#include "autodiff/autodiff.h"

typedef struct nn__prefetch nn__prefetch;
/* Makes an item, on either thread. It reads what maker points to, and writes to `to` alone. */
typedef void nn__make_fn(const void *maker, int64_t item, void *to);

/* Up to `ahead` items of `size` bytes each are there before they are asked for. Of the graph's innermost scope, whose
   end ends the thread. NULL where memory is short, with the graph's error, and where no thread can be had, without
   one: then the caller makes the items itself. Calls below pass over NULL. */
nn__prefetch *nn__prefetch_new(ad_graph *g, int64_t ahead, size_t size, nn__make_fn *make, const void *maker);
/* Returns when nothing is being made; what maker points to may be changed until nn__prefetch_start. */
void nn__prefetch_pause(nn__prefetch *p);
void nn__prefetch_start(nn__prefetch *p, int64_t n); /* items 0 .. n-1, anew */
/* Waits for an item, a later one than any before or the last one again; it stays as it is until the next call. NULL,
   and the caller makes it, where there is no thread: p is NULL or closed, or this is a child of fork, which has the
   memory of its parent and none of its threads. */
const void *nn__prefetch_get(nn__prefetch *p, int64_t item);
void nn__prefetch_close(nn__prefetch *p); /* ends the thread; more than once, too */

#endif
