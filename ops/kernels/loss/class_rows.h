/* class_rows.h: the targets and the loss of one row of class scores. */
#ifndef OPS_KERNELS_LOSS_CLASS_ROWS_H
#define OPS_KERNELS_LOSS_CLASS_ROWS_H

#include "ops/kernels/reduce/rows.h"

/* Targets of a row of n classes: what each class weighs in its loss; w [n] are weights of classes, or NULL.
   From class y, or from probabilities p: q = w ((1 - smoothing) p + smoothing / n). Returns q's sum. */
double ad__class_target_f32(int64_t n, int64_t y, double smoothing, const float *w, float *q);
double ad__class_target_f64(int64_t n, int64_t y, double smoothing, const double *w, double *q);
double ad__mixed_target_f32(int64_t n, const float *p, double smoothing, const float *w, float *q);
double ad__mixed_target_f64(int64_t n, const double *p, double smoothing, const double *w, double *q);
/* The sum of q (logsumexp x - x); what has q 0 does not count, even an infinity. */
double ad__target_loss_f32(int64_t n, ad__lse l, const float *x, const float *q);
double ad__target_loss_f64(int64_t n, ad__lse l, const double *x, const double *q);
/* gp += k w (logsumexp x - x) */
void ad__target_back_f32(int64_t n, ad__lse l, double k, const float *x, const float *w, float *gp);
void ad__target_back_f64(int64_t n, ad__lse l, double k, const double *x, const double *w, double *gp);

#endif
