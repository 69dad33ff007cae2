/* pool.h: the maximum or the mean of each window over a plane, and their backward passes. */
#ifndef OPS_KERNELS_NET_POOL_H
#define OPS_KERNELS_NET_POOL_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* Parameters of a pool. Pairs hold the values along h and along w. */
typedef struct {
    int64_t in[2], out[2]; /* sizes of a plane [h,w] and of its result */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool count_padding; /* true: a mean counts the elements of the padding too */
    bool adaptive;      /* true: divides the plane into out windows of nearly equal size; uses in and out only */
} ad__pooling;

/* The number of windows along one axis; 0 if a window does not fit. With round_up, the last window may extend beyond
   the padding, but it must start in the plane or in the padding before it. */
int64_t ad__pooling_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                           bool round_up);
/* True if each window has an element in the plane. A dilated window may step over a small plane. */
bool ad__pooling_meets(const ad__pooling *p);

/* For each plane x [h,w]: y = the maximum of each window, index = its flat index in the plane. Of equal elements the
   first counts. The maximum of a window with NaNs is the last NaN. y or index may be NULL. Not for adaptive pools. */
void ad__max_pool_f32(const ad__pooling *p, int64_t planes, const float *x, float *y, int32_t *index);
void ad__max_pool_f64(const ad__pooling *p, int64_t planes, const double *x, double *y, int32_t *index);
/* The backward pass of max pooling: x[index[i]] += y[i] in each plane of size elements and n windows. If fresh is
   true, x is set to 0 first. */
void ad__max_pool_back_f32(int64_t planes, int64_t size, int64_t n, const int32_t *index, const float *y, bool fresh,
                           float *x);
void ad__max_pool_back_f64(int64_t planes, int64_t size, int64_t n, const int32_t *index, const double *y, bool fresh,
                           double *x);
/* y += the mean of each window of x. The transpose: adds y / (number of elements) to all elements of each window. */
void ad__avg_pool_add_f32(const ad__pooling *p, int64_t planes, const float *x, float *y);
void ad__avg_pool_add_f64(const ad__pooling *p, int64_t planes, const double *x, double *y);
void ad__avg_unpool_add_f32(const ad__pooling *p, int64_t planes, const float *y, float *x);
void ad__avg_unpool_add_f64(const ad__pooling *p, int64_t planes, const double *y, double *x);

#endif
