/* functional.h: derivatives as Vars, and parts of a graph with a gradient of their own; included by ops.h.

   Results are Vars of the graph, which differentiate again. No call touches ad_grad. */
#ifndef OPS_FUNCTIONAL_H
#define OPS_FUNCTIONAL_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Jacobians and Hessians ------------------------------------------------------------------------------------ */

/* dy/dx, of shape y.shape + x.shape (6 dimensions at most), in as many passes as y or x has elements, whichever are
   fewer. nil after an error. */
AD_API ad_var *ad_jacobian(ad_var *y, ad_var *x);
/* d2y/dx2, of shape x.shape + x.shape: the Jacobian of the gradient. y has one element. nil after an error. */
AD_API ad_var *ad_hessian(ad_var *y, ad_var *x);
/* The Jacobian of independent blocks: y [b, ..] and xs[i] [b, ..], where row k of y depends on rows k of the xs only.
   js[i] has shape [b] + y's other sizes + x's other sizes. The passes are as many as a row of y has elements (or the rows
   of all xs, if these are fewer), not b times as many. For losses y [b] of b samples and parameters repeated to
   [b, ..] by ad_expand, js are the gradients of each sample, in one pass. */
AD_API int ad_jacobian_blocks(ad_var *y, int n, ad_var *const xs[], ad_var *js[]);

/* ---- parts of a graph with a gradient of their own ---------------------------------------------------------------- */

/* fn(xs), of which only the result is kept: the Vars that fn made are dropped, and computed again when a gradient is
   wanted. This trades time for memory. fn is called again later, with stand-ins for xs, and must do the same each time;
   random draws are repeated. user must last as long as the result. Other Vars that fn uses are constants. */
AD_API ad_var *ad_checkpoint(ad_function *fn, void *user, int n, ad_var *const xs[]);
/* Sets dxs[i] to the gradient of xs[i], where g is the gradient of y; one that stays NULL is zero. */
typedef void ad_custom_fn(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user);
/* y with a gradient of the caller's own: y's gradient goes to the xs by rule, and not to the Vars that y was made from.
   For straight-through estimators, clipped gradients, implicit functions. */
AD_API ad_var *ad_custom(ad_var *y, int n, ad_var *const xs[], ad_custom_fn *rule, void *user);

/* ---- checks -------------------------------------------------------------------------------------------------------- */

/* ad_gradcheck for the gradient: compares the derivatives of f's vjp, with respect to the xs and to the cotangent,
   with differences. So it checks second derivatives, and that every vjp rule used is differentiable. */
AD_API int ad_gradgradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[], const ad_check_opts *opts,
                            ad_check_report *out);

#ifdef __cplusplus
}
#endif
#endif
