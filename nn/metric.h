/* metric.h: metrics of predictions: classification, regression and ranking; included by nn.h. */
#ifndef NN_METRIC_H
#define NN_METRIC_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A metric of predictions y for the targets; NaN after an error. nn_fit and nn_evaluate take one. */
typedef double nn_metric_fn(const ad_var *y, const ad_var *target);

/* ---- classification: scores [n,c], class numbers [n] ------------------------------------------------- */

/* The fraction of rows whose highest score is that of their class; of equal scores, the first counts. NaN for no
   rows. A row in which the score of the class is NaN is wrong. */
AD_API double nn_accuracy(const ad_var *scores, const ad_var *classes);
AD_API double nn_top_k(const ad_var *scores, const ad_var *classes, int64_t k); /* the class is among the k highest */
/* [c,c] in f64: element (i, j) counts the rows of class i that were predicted as class j. */
AD_API ad_var *nn_confusion(const ad_var *scores, const ad_var *classes);
typedef struct {
    double precision, recall, f1; /* 0 where the denominator is 0 */
} nn_class_scores;
AD_API nn_class_scores nn_scores_of_class(const ad_var *confusion, int64_t class_number); /* NaN out of range */
AD_API nn_class_scores nn_macro_scores(const ad_var *confusion); /* means over the classes */
/* The same as an nn_metric_fn; precision, recall and F1 are means over the classes. */
AD_API double nn_top5(const ad_var *scores, const ad_var *classes);
AD_API double nn_precision(const ad_var *scores, const ad_var *classes);
AD_API double nn_recall(const ad_var *scores, const ad_var *classes);
AD_API double nn_f1(const ad_var *scores, const ad_var *classes);

/* ---- regression and ranking -------------------------------------------------------------------------- */

/* The coefficient of determination: 1 - (sum of squared errors) / (sum of squared deviations of the targets from
   their mean). */
AD_API double nn_r2(const ad_var *y, const ad_var *target);
/* The area under the ROC curve: scores [n], and positive [n], where every value but 0 is a positive label. NaN unless
   there are both positive and negative rows. */
AD_API double nn_auc(const ad_var *scores, const ad_var *positive);

#ifdef __cplusplus
}
#endif
#endif
