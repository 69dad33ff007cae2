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

/* r, of m elements in any shape, as a function of the leaves xs with its Jacobian, for solvers written in C: of least
   squares, equations, constraints, differential equations. The counterpart of ad_objective (see autodiff.h) for many
   values. The residuals live in the innermost open scope. NULL, with the graph's error, if one of the xs is not a leaf
   made by ad_param, and after the errors of ad_jacobian. */
typedef struct ad_residuals ad_residuals;
AD_API ad_residuals *ad_residuals_new(ad_var *r, int n, ad_var *const xs[]);
AD_API int64_t ad_residuals_count(const ad_residuals *f); /* m, the number of elements of r; 0 for NULL */
AD_API int64_t ad_residuals_size(const ad_residuals *f);  /* number of elements of all xs; 0 for NULL */
/* The callback. residuals is an ad_residuals. Copies x, which has ad_residuals_size elements, to the leaves one after
   the other, evaluates r in place and writes its elements to values, and its Jacobian to jacobian: row by row,
   m x size. Either may be NULL. Takes no memory from the system after the first calls. Returns 0 or a negative code:
   AD_EVALUE for NULL, and the errors of ad_eval; values and jacobian are then unchanged. */
AD_API int ad_values_and_jacobian(const double *x, double *values, double *jacobian, void *residuals);

/* ---- functions with their own gradient rule -------------------------------------------------------------------- */

/* y = fn(xs), without the memory of the Vars between: they are freed, and computed again for a gradient. This trades
   time for memory. fn may use other Vars too, such as the weights of a module: gradients reach them. To checkpoint a
   module, let fn call nn_apply(user, xs[0]).

   fn is called again later, with stand-ins for xs. user must outlive the result. For a gradient of any order its random
   numbers are repeated, and running averages and other state do not move (see ad_recomputing in op.h); ad_eval draws
   new numbers and moves the state once. fn must apply the same ops to the same Vars and constants each time. Errors of
   later passes and of ad_eval: AD_ESTALE if it does not, as after a change of a module's mode, or if for a gradient it
   computes other values than y's; AD_ESHAPE if its result has another shape or dtype; AD_EBRANCH if an ad_branch in it
   would go another way. nil after AD_EVALUE if fn returns no Var of the graph, and after errors of fn. */
AD_API ad_var *ad_checkpoint(ad_function *fn, void *user, int n, ad_var *const xs[]);
/* Sets dxs[i] to the gradient of xs[i], where g is the gradient of y. A dxs[i] that stays NULL counts as zero. What it
   sets must be a Var of the graph, with the shape and dtype of xs[i]; otherwise the pass fails with AD_EGRAPH,
   AD_ESHAPE, AD_EDTYPE, or AD_EVALUE for nil. It may begin passes of its own; but within ad_backward, an ad_backward
   through Vars that existed before fails with AD_EGRAD: use ad_gradient. */
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
