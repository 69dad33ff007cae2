/* metric.h: metrics of predictions: classification, regression and ranking; included by nn.h. */
#ifndef NN_METRIC_H
#define NN_METRIC_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A metric of predictions y for the targets; NaN after an error. nn_fit and nn_evaluate take one. */
typedef double nn_metric_fn(const ad_var *y, const ad_var *target);

/* ---- classification: scores [n,c], class numbers [n] -------------------------------------------------

   Values are scikit-learn's. c is at least 2, and class numbers are whole, from 0 to c-1: others are an error. A row
   predicts the class with its highest score; of equal scores, the first counts. A row with a NaN among its scores
   predicts no class: it is wrong. */

AD_API double nn_accuracy(const ad_var *scores, const ad_var *classes); /* the fraction of right rows; NaN for none */
AD_API double nn_top_k(const ad_var *scores, const ad_var *classes, int64_t k); /* the class is among the k highest */
/* [c,c] in f64: element (i, j) counts the rows of class i that were predicted as class j. */
AD_API ad_var *nn_confusion(const ad_var *scores, const ad_var *classes);
typedef struct {
    double precision, recall, f1; /* 0 where the denominator is 0 */
} nn_class_scores;
AD_API nn_class_scores nn_scores_of_class(const ad_var *confusion, int64_t class_number); /* NaN out of range */
/* Means over the classes that rows have or predict; NaN where there are none. */
AD_API nn_class_scores nn_macro_scores(const ad_var *confusion);
/* nn_top_k with k = 5, and the fields of nn_macro_scores, as an nn_metric_fn. A row that predicts no class is missed,
   which the confusion matrix does not show. */
AD_API double nn_top5(const ad_var *scores, const ad_var *classes);
AD_API double nn_precision(const ad_var *scores, const ad_var *classes);
AD_API double nn_recall(const ad_var *scores, const ad_var *classes);
AD_API double nn_f1(const ad_var *scores, const ad_var *classes);

/* ---- regression and ranking: y and target [n, ...], of one shape ([n] and [n,1] are one) --------------

   Values are scikit-learn's: the mean over the columns. A target that is not finite is an error. */

/* The coefficient of determination: 1 - (sum of squared errors) / (sum of squared deviations of the targets from
   their mean). For equal targets it is 1 without errors and otherwise 0. NaN for fewer than two rows and for
   predictions that are not finite. */
AD_API double nn_r2(const ad_var *y, const ad_var *target);
/* The area under the ROC curve. positive has two whole numbers as labels, such as 0 and 1, of which the greater is that
   of the positive rows. NaN for a NaN among the scores, and unless each column has both labels. */
AD_API double nn_auc(const ad_var *scores, const ad_var *positive);

#ifdef __cplusplus
}
#endif
#endif
