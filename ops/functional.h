/* functional.h: derivatives as Vars, and functions with their own gradient rule; included by ops.h.

   Results are Vars of the graph, so they can be differentiated again. No call changes what ad_grad returns. */
#ifndef OPS_FUNCTIONAL_H
#define OPS_FUNCTIONAL_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Jacobians and Hessians ------------------------------------------------------------------------------------ */

/* dy/dx, of shape y.shape + x.shape (6 dimensions at most). It takes one pass for each element of y, or of x if x has
   fewer. nil after an error. */
AD_API ad_var *ad_jacobian(ad_var *y, ad_var *x);
/* d2y/dx2, of shape x.shape + x.shape: the Jacobian of the gradient. y has one element. nil after an error. */
AD_API ad_var *ad_hessian(ad_var *y, ad_var *x);
/* The Jacobian of b independent blocks: y [b, ..] and xs[i] [b, ..], where row k of y depends on rows k of the xs only.
   js[i] has the shape [b] + y.shape[1:] + xs[i].shape[1:]. It takes one pass for each element of a row of y, or of the
   rows of all xs if these have fewer, whatever b is. Returns 0 or a negative code.

   Example: y [b] holds the losses of b samples, and ad_expand repeats the parameters to [b, ..]. Then js holds the
   gradient of each sample, after one pass. */
AD_API int ad_jacobian_blocks(ad_var *y, int n, ad_var *const xs[], ad_var *js[]);

/* ---- functions with their own gradient rule -------------------------------------------------------------------- */

/* y = fn(xs), without the memory of the Vars between: they are freed, and computed again for a gradient. This trades
   time for memory. fn is called again later with stand-ins for xs, and must compute the same each time; its random
   draws are repeated. user must outlive the result. Other Vars that fn uses must be constants. */
AD_API ad_var *ad_checkpoint(ad_function *fn, void *user, int n, ad_var *const xs[]);
/* Sets dxs[i] to the gradient of xs[i], where g is the gradient of y. A dxs[i] that stays NULL counts as zero. */
typedef void ad_custom_fn(int n, ad_var *const xs[], ad_var *y, ad_var *g, ad_var *dxs[], void *user);
/* A view of y whose gradient the caller defines: rule computes the gradients of the xs, and the Vars that y was
   computed from get none. For straight-through estimators, clipped gradients and implicit functions. */
AD_API ad_var *ad_custom(ad_var *y, int n, ad_var *const xs[], ad_custom_fn *rule, void *user);

/* ---- checks ---------------------------------------------------------------------------------------------------- */

/* ad_gradcheck of the gradient: compares the derivatives of f's vjp, with respect to the xs and to the cotangent, with
   finite differences. So it checks second derivatives, and that every vjp rule in use can be differentiated. */
AD_API int ad_gradgradcheck(ad_check_fn *f, void *user, int n, ad_var *const xs[], const ad_check_opts *opts,
                            ad_check_report *out);

#ifdef __cplusplus
}
#endif
#endif
