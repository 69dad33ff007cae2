/* loss.h: loss functions and penalties; included by nn.h. */
#ifndef NN_LOSS_H
#define NN_LOSS_H

#include "nn/module.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses ----------------------------------------------------------------------------------------

   Each loss has two forms. nn_NAME has PyTorch's defaults and returns the mean over all elements, or over rows where
   targets are classes. nn_NAME_with takes the parameters of the loss and a reduction: AD_MEAN, AD_SUM, or AD_NONE for
   the loss of each element or row. y and target have the same shape: losses do not broadcast. docs/ops.md has the
   formulas, under the names of the ops. */

/* Regression. */
AD_API ad_var *nn_mse(ad_var *y, ad_var *target);
AD_API ad_var *nn_mse_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_l1(ad_var *y, ad_var *target);
AD_API ad_var *nn_l1_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_huber(ad_var *y, ad_var *target); /* delta 1 */
AD_API ad_var *nn_huber_with(ad_var *y, ad_var *target, double delta, ad_reduction r);
AD_API ad_var *nn_smooth_l1(ad_var *y, ad_var *target); /* beta 1 */
AD_API ad_var *nn_smooth_l1_with(ad_var *y, ad_var *target, double beta, ad_reduction r);

/* Two classes, targets in [0, 1]. bce takes probabilities. bce_logits takes logits and is finite for every finite one;
   its pos_weight, [c] or NULL, multiplies the terms of target 1. */
AD_API ad_var *nn_bce(ad_var *y, ad_var *target);
AD_API ad_var *nn_bce_with(ad_var *y, ad_var *target, ad_reduction r);
AD_API ad_var *nn_bce_logits(ad_var *logits, ad_var *target);
AD_API ad_var *nn_bce_logits_with(ad_var *logits, ad_var *target, ad_var *pos_weight, ad_reduction r);
/* The same with a weight for each element, which broadcasts to y. */
AD_API ad_var *nn_bce_weighted(ad_var *y, ad_var *target, ad_var *weight, ad_reduction r);
AD_API ad_var *nn_bce_logits_weighted(ad_var *logits, ad_var *target, ad_var *weight, ad_var *pos_weight,
                                      ad_reduction r);
/* Many classes that do not exclude each other: logits and targets [.., c], weights [c] or NULL. */
AD_API ad_var *nn_multilabel_soft_margin(ad_var *logits, ad_var *target);
AD_API ad_var *nn_multilabel_soft_margin_with(ad_var *logits, ad_var *target, ad_var *weight, ad_reduction r);
/* Two classes, targets -1 and 1. */
AD_API ad_var *nn_hinge(ad_var *y, ad_var *target); /* margin 1 */
AD_API ad_var *nn_hinge_with(ad_var *y, ad_var *target, double margin, ad_reduction r);
AD_API ad_var *nn_hinge_embedding(ad_var *y, ad_var *target); /* margin 1 */
AD_API ad_var *nn_hinge_embedding_with(ad_var *y, ad_var *target, double margin, ad_reduction r);
AD_API ad_var *nn_soft_margin(ad_var *y, ad_var *target);
AD_API ad_var *nn_soft_margin_with(ad_var *y, ad_var *target, ad_reduction r);

/* Pairs of rows of a and b [n, d], target [n]: 1 - cosine where the target is 1, max(0, cosine - margin) where it
   is -1. */
AD_API ad_var *nn_cosine_embedding(ad_var *a, ad_var *b, ad_var *target); /* margin 0 */
AD_API ad_var *nn_cosine_embedding_with(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction r);

/* Rows of anchor, positive and negative [.., d]; the positive should be nearer to the anchor by a margin. */
AD_API ad_var *nn_triplet_margin(ad_var *anchor, ad_var *positive, ad_var *negative);
AD_API ad_var *nn_triplet_margin_with(ad_var *anchor, ad_var *positive, ad_var *negative, ad_triplet_opts o);
/* a should be larger than b by a margin where the target is 1, and smaller where it is -1. */
AD_API ad_var *nn_margin_ranking(ad_var *a, ad_var *b, ad_var *target); /* margin 0 */
AD_API ad_var *nn_margin_ranking_with(ad_var *a, ad_var *b, ad_var *target, double margin, ad_reduction r);

/* Minus the log of a likelihood: of counts, where y holds logs of rates; of numbers with mean y and variance var. */
AD_API ad_var *nn_poisson_nll(ad_var *y, ad_var *target);
AD_API ad_var *nn_poisson_nll_with(ad_var *y, ad_var *target, ad_poisson_opts o);
AD_API ad_var *nn_gaussian_nll(ad_var *y, ad_var *target, ad_var *var);
AD_API ad_var *nn_gaussian_nll_with(ad_var *y, ad_var *target, ad_var *var, ad_gaussian_opts o);

/* Sequences of labels whose places in time are unknown: logs of probabilities [times, n, classes], labels [n, most],
   and the numbers of times and labels of each sequence, [n] both. */
AD_API ad_var *nn_ctc(ad_var *log_probs, ad_var *labels, ad_var *times, ad_var *lengths); /* blank 0 */
AD_API ad_var *nn_ctc_with(ad_var *log_probs, ad_var *labels, ad_var *times, ad_var *lengths, ad_ctc_opts o);

/* Many classes: logits [n, c] and class numbers [n]. The _with forms also take [n, c, ..] and [n, ..], or probabilities
   of the logits' shape as targets. nll takes logarithms of probabilities in place of logits. nll, nll_with and
   cross_entropy_with ignore targets of class -100, such as the padding of short sequences, or of another
   ignore_index. */
AD_API ad_var *nn_cross_entropy(ad_var *logits, ad_var *classes);
AD_API ad_var *nn_cross_entropy_with(ad_var *logits, ad_var *target, ad_ce_opts o);
AD_API ad_var *nn_nll(ad_var *log_probs, ad_var *classes);
AD_API ad_var *nn_nll_with(ad_var *log_probs, ad_var *classes, ad_ce_opts o);
AD_API ad_var *nn_multi_margin(ad_var *scores, ad_var *classes); /* p 1, margin 1 */
AD_API ad_var *nn_multi_margin_with(ad_var *scores, ad_var *classes, int p, double margin, ad_var *weight,
                                    ad_reduction r);

/* Distributions: y holds logarithms of probabilities, target probabilities, or their logarithms where log_target is
   true. AD_BATCHMEAN, the sum divided by the number of rows, is the divergence of its mathematical definition. */
AD_API ad_var *nn_kl_div(ad_var *y, ad_var *target);
AD_API ad_var *nn_kl_div_with(ad_var *y, ad_var *target, bool log_target, ad_reduction r);

/* ---- penalties: terms to add to a loss -------------------------------------------------------------- */

/* k times the sum of |w|, or of w^2, over the elements of m's parameters that are not frozen and whose names end in
   `ending` (NULL: all of them). An optimiser's weight_decay is the gradient of nn_l2_penalty with
   k = weight_decay / 2. */
AD_API ad_var *nn_l1_penalty(nn_module *m, const char *ending, double k);
AD_API ad_var *nn_l2_penalty(nn_module *m, const char *ending, double k);

#ifdef __cplusplus
}
#endif
#endif
