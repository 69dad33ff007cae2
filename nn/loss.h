/* loss.h: what training makes small; included by nn.h. */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses ----------------------------------------------------------------------------------------

   Each has two forms: nn_NAME has PyTorch's defaults and is the mean over all elements (of losses by class:
   over rows), nn_NAME_with takes what there is to choose, reduction included: AD_MEAN, AD_SUM or AD_NONE,
   which gives a loss for each element or row. y and target have one shape: losses do not broadcast.
   docs/ops.md has the formulas, under the ops' names. */

/* By size of the difference. */
AD_API ad_var *nn_mse(ad_var *y, ad_var *target);
AD_API ad_var *nn_mse_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_l1(ad_var *y, ad_var *target);
AD_API ad_var *nn_l1_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_huber(ad_var *y, ad_var *target); /* delta 1 */
AD_API ad_var *nn_huber_with(ad_var *y, ad_var *target, double delta, ad_reduction r);
AD_API ad_var *nn_smooth_l1(ad_var *y, ad_var *target); /* beta 1 */
AD_API ad_var *nn_smooth_l1_with(ad_var *y, ad_var *target, double beta, ad_reduction r);

/* Two classes: targets in [0, 1]; of bce, y is a probability; of bce_logits, a logit, and the loss is finite for
   each finite one. pos_weight [c] or NULL multiplies the part of target 1. */
AD_API ad_var *nn_bce(ad_var *y, ad_var *target);
AD_API ad_var *nn_bce_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_bce_logits(ad_var *logits, ad_var *target);
AD_API ad_var *nn_bce_logits_with(ad_var *logits, ad_var *target, ad_var *pos_weight, ad_reduction r);
/* Two classes: targets -1 and 1. */
AD_API ad_var *nn_hinge(ad_var *y, ad_var *target); /* margin 1 */
AD_API ad_var *nn_hinge_with(ad_var *y, ad_var *target, double margin, ad_reduction r);
AD_API ad_var *nn_hinge_embedding(ad_var *y, ad_var *target); /* margin 1 */
AD_API ad_var *nn_hinge_embedding_with(ad_var *y, ad_var *target, double margin, ad_reduction r);
AD_API ad_var *nn_soft_margin(ad_var *y, ad_var *target);
AD_API ad_var *nn_soft_margin_with(ad_var *y, ad_var *target, ad_reduction r);

/* Rows of a and b [n, d] that are to point the same way (target [n] 1: 1 - cosine) or not (-1: what the cosine is above
   margin). */
AD_API ad_var *nn_cosine_embedding(ad_var *a, ad_var *b, ad_var *target); /* margin 0 */
AD_API ad_var *nn_cosine_embedding_with(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction r);

/* Many classes: logits [n, c], class numbers [n]; of the _with form [n, c, ..] and [n, ..], or probabilities of
   the logits' shape. nll takes logs of probabilities in place of logits. nll, and cross_entropy's _with form,
   pass over targets of class -100 (what stands behind the end of a shorter sequence), or of ignore_index. */
AD_API ad_var *nn_cross_entropy(ad_var *logits, ad_var *classes);
AD_API ad_var *nn_cross_entropy_with(ad_var *logits, ad_var *target, ad_ce_opts o);
AD_API ad_var *nn_nll(ad_var *log_probs, ad_var *classes);
AD_API ad_var *nn_nll_with(ad_var *log_probs, ad_var *classes, ad_ce_opts o);
AD_API ad_var *nn_multi_margin(ad_var *scores, ad_var *classes); /* p 1, margin 1 */
AD_API ad_var *nn_multi_margin_with(ad_var *scores, ad_var *classes, int p, double margin, ad_var *weight,
                                    ad_reduction r);

/* Distributions: y holds logs of probabilities, target probabilities, or logs of them too. AD_BATCHMEAN of the
   _with form is what the mathematics means: the sum over the rows' number. */
AD_API ad_var *nn_kl_div(ad_var *y, ad_var *target);
AD_API ad_var *nn_kl_div_with(ad_var *y, ad_var *target, bool log_target, ad_reduction r);

/* ---- penalties: terms to add to a loss -------------------------------------------------------------- */

/* k times the sum of |w|, and of w^2, over the parameters of m whose names end so (NULL: all) and that are not
   frozen. An optimiser's weight_decay is the gradient of the second with k = weight_decay / 2. */
AD_API ad_var *nn_l1_penalty(nn_module *m, const char *ending, double k);
AD_API ad_var *nn_l2_penalty(nn_module *m, const char *ending, double k);

#ifdef __cplusplus
}
#endif
#endif
