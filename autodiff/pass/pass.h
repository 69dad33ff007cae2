/* pass.h: checks that passes over a graph share, and passes that ops/ runs; private to the library. */
#ifndef AUTODIFF_PASS_PASS_H
#define AUTODIFF_PASS_PASS_H

#include "autodiff/graph/walk.h"

/* Returns 0 if v has the graph, dtype and shape of x; else AD_EVALUE, AD_EGRAPH, AD_EDTYPE or AD_ESHAPE, with the
   graph's error, which uses the given names. */
int ad__check_alike(ad_var *x, const char *x_name, const ad_var *v, const char *v_name, const char *caller);
/* Returns 0 if y and the xs are live Vars of one graph that has no error, and y is not stale; else the graph's
   error. */
int ad__check_arguments(ad_var *y, int n, ad_var *const xs[], const char *caller);
/* dxs[i] = sum over j of (d ys[j] / d xs[i])^T cotangents[j], along Ops with an id greater than after. m is 1 or
   more. */
int ad__vjp_of(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
               uint32_t after);
/* The checks of a backward pass from y; without a seed, y has one element. Returns 0 or the graph's error. */
int ad__check_backward(ad_var *y, const char *caller, const ad_var *seed);
/* Begins a pass from y, which an op made: its gradient is the seed, or 1 if that is NULL. */
int ad__seed_pass(ad_var *y, const ad_var *seed);
/* What the pass does at the Op that its walk has met. rc is an error of the pass so far. */
int ad__differentiate_next(ad__walk *w, const ad_op *op, int rc);
/* ad_backward_from without its checks, for a subgraph that an op builds and discards within a pass. */
int ad__backward_inside(ad_var *y, const ad_var *seed);
/* Returns 0, or AD_ESTALE if a Var that y depends on changed after an op that uses it ran, or one
   that a branch depends on which holds for y. */
int ad__check_fresh(ad_var *y, const char *caller);

/* The variables of an objective: leaves made by ad_param. Returns 0, or AD_EVALUE with the graph's error. */
int ad__check_variables(int n, ad_var *const xs[], const char *caller);
/* Copies x to the leaves xs, one after the other. */
void ad__set_variables(int n, ad_var *const xs[], const double *x);

#endif
