/* inner.h: passes that an op runs within another pass, whose state they leave unchanged; private to the library. */
#ifndef AUTODIFF_PASS_INNER_H
#define AUTODIFF_PASS_INNER_H

#include "autodiff/graph/node.h"

/* The outer pass's state, and the scope of the inner one. */
typedef struct {
    ad_op **heap;
    size_t heap_capacity;
    ad__plan plan;
    ad_op *branch;
    uint32_t branches_ended;
    const ad__repeat *repeat;
    bool grad_enabled, keep_grads;
    ad_mark mark;
} ad__inner_pass;

/* Between these two calls a scope is open, gradients are enabled and not kept, and passes may run, which look at no
   branch of the outer expression. What is recorded is gone afterwards, so it repeats no draws by itself. */
ad__inner_pass ad__inner_begin(ad_graph *g);
void ad__inner_end(ad_graph *g, const ad__inner_pass *in);

/* A leaf that borrows x's elements. Walks end at it. */
ad_var *ad__stand_in(const ad_var *x, bool wants_grad);
/* An array for n Vars in the open scope, filled with NULL; n may be 0. NULL, with the graph's error, if memory is
   short. */
ad_var **ad__inner_vars(ad_graph *g, int n);
/* The graph of n Vars, or NULL if n is 0 or xs[0] is NULL. Sets the graph's error, which names the caller, if one of
   the Vars is nil or belongs to another graph. */
ad_graph *ad__owner_of_all(int n, ad_var *const xs[], const char *caller);

#endif
