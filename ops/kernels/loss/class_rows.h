/* class_rows.h: the cross-entropy targets, loss and gradient of one row of class scores. */
#ifndef OPS_KERNELS_LOSS_CLASS_ROWS_H
#define OPS_KERNELS_LOSS_CLASS_ROWS_H

#include "ops/kernels/reduce/rows.h"

/* q [n]: the weight of each class in the loss of a row. It is w ((1 - smoothing) p + smoothing / n), where p are
   probabilities, or 1 for class y and else 0. w [n] are class weights, or NULL. Returns the sum of q. */
double ad__class_target_f32(int64_t n, int64_t y, double smoothing, const float *w, float *q);
double ad__class_target_f64(int64_t n, int64_t y, double smoothing, const double *w, double *q);
double ad__mixed_target_f32(int64_t n, const float *p, double smoothing, const float *w, float *q);
double ad__mixed_target_f64(int64_t n, const double *p, double smoothing, const double *w, double *q);
/* The sum of q (logsumexp x - x). Classes with q = 0 are skipped, even if x is infinite. */
double ad__target_loss_f32(int64_t n, ad__lse l, const float *x, const float *q);
double ad__target_loss_f64(int64_t n, ad__lse l, const double *x, const double *q);
/* gx[j] -= k q[j], and nothing where q[j] is 0 */
void ad__subtract_target_f32(int64_t n, double k, const float *q, float *gx);
void ad__subtract_target_f64(int64_t n, double k, const double *q, double *gx);
/* gp += k w (logsumexp x - x) */
void ad__target_back_f32(int64_t n, ad__lse l, double k, const float *x, const float *w, float *gp);
void ad__target_back_f64(int64_t n, ad__lse l, double k, const double *x, const double *w, double *gp);

#endif
