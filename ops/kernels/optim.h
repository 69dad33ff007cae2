/* optim.h: the fused updates of optimisers: one pass over a parameter's memory. */
#ifndef OPS_KERNELS_OPTIM_H
#define OPS_KERNELS_OPTIM_H

#include "autodiff/autodiff.h"

/* The numbers of one step of SGD. With d = dx + decay x, the velocity becomes momentum v + keep d and
   x moves by -lr (now d + later v). */
typedef struct {
    double lr, decay, momentum, keep, now, later;
} ad__sgd;

/* x, dx and, with momentum, v have n elements; v is NULL for plain descent. */
void ad__sgd_f32(int64_t n, const ad__sgd *s, const float *dx, float *v, float *x);
void ad__sgd_f64(int64_t n, const ad__sgd *s, const double *dx, double *v, double *x);

#endif
