/* sort.h: what the ops share that order elements; private to the family. */
#ifndef OPS_SORT_SORT_H
#define OPS_SORT_SORT_H

#include "ops/base/attrs.h"

/* The axis of a call that orders along it, as 0..ndim-1. A negative code, after setting the error, if x has no such
   axis, or more elements along it than its dtype has indices. */
int ad__order_axis(const ad_call *c, int axis);
/* What a function with two results returns: 0, or the code of the graph's error, which makes both nil. */
int ad__parts_code(ad_graph *g, ad_var *parts[2]);

#endif
