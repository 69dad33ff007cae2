/* inner.h: a pass that an Op of another pass runs: it leaves the outer one's state as it found it. */
#ifndef AUTODIFF_PASS_INNER_H
#define AUTODIFF_PASS_INNER_H

#include "autodiff/graph/node.h"

typedef struct {
    ad_op **heap;
    size_t heap_capacity;
    ad__plan plan;
    bool enabled, kept;
    ad_mark mark;
} ad__inner;

/* Between these two a scope is open, gradients are enabled, and passes may run. */
ad__inner ad__inner_begin(ad_graph *g);
void ad__inner_end(ad_graph *g, const ad__inner *in);

/* A leaf on x's memory: no walk goes beyond it. */
ad_var *ad__stand_in(const ad_var *x, bool wants_grad);
/* Memory of the open scope for n Vars and one more, all NULL. */
ad_var **ad__inner_vars(ad_graph *g, int n);
/* The graph of n Vars; it has an error that names the caller where one is nil or of another graph. NULL if there is
   none. */
ad_graph *ad__owner_of_all(int n, ad_var *const xs[], const char *caller);

#endif
