/* pass.h: what passes over a graph share, and what the functional forms in ops/ call; private to the library. */
#ifndef AUTODIFF_PASS_PASS_H
#define AUTODIFF_PASS_PASS_H

#include "autodiff/graph/node.h"

/* 0 where v has x's graph, dtype and shape; the names are what the caller calls them. */
int ad__check_alike(ad_var *x, const char *x_name, const ad_var *v, const char *v_name, const char *caller);
/* 0 where y and the xs are there, of one graph without error, and y is fresh. */
int ad__check_arguments(ad_var *y, int n, ad_var *const xs[], const char *caller);
/* dxs[i] = the sum over j of (dys[j]/dxs[i])^T cotangents[j], through Ops with an id greater than after. */
int ad__vjp_of(int m, ad_var *const ys[], ad_var *const cotangents[], int n, ad_var *const xs[], ad_var *dxs[],
               uint32_t after);
/* ad_backward_from without its checks, for a part of a graph that is built and forgotten within a pass. */
int ad__backward_inside(ad_var *y, const ad_var *seed);
/* 0, or AD_ESTALE if something that y depends on changed after the ops that used it ran. */
int ad__check_fresh(ad_var *y, const char *caller);

#endif
