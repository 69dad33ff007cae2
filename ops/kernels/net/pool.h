/* pool.h: the largest, or the mean, of each window over a plane, and the backward passes. */
#ifndef OPS_KERNELS_NET_POOL_H
#define OPS_KERNELS_NET_POOL_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* Sizes along h, then along w. An adaptive pool divides the plane into out windows, as equal as can be,
   and has nothing else of these. */
typedef struct {
    int64_t in[2], out[2]; /* a plane [h,w] and what becomes of it */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool count_padding; /* means divide by the padding's elements too */
    bool adaptive;
} ad__pooling;

/* How many places a window takes along one axis; rounded up, a last one may extend beyond the padding, but
   begins before its second half. Below 1 where the window does not fit. */
int64_t ad__pooling_places(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                           bool round_up);
/* Whether each window has an element of the plane; dilated ones may step over a small plane. */
bool ad__pooling_meets(const ad__pooling *p);

/* planes x [h,w] -> the largest of each window, and where it lies in its plane: the first, if several are
   equal; the last NaN, if there is one. y or index may be NULL. Not adaptive. */
void ad__max_pool_f32(const ad__pooling *p, int64_t planes, const float *x, float *y, int32_t *index);
void ad__max_pool_f64(const ad__pooling *p, int64_t planes, const double *x, double *y, int32_t *index);
/* x[index[i]] += y[i] in each plane, of size elements and n windows: max pooling's backward; fresh: x holds nothing
   yet. */
void ad__max_pool_back_f32(int64_t planes, int64_t size, int64_t n, const int32_t *index, const float *y, bool fresh,
                           float *x);
void ad__max_pool_back_f64(int64_t planes, int64_t size, int64_t n, const int32_t *index, const double *y, bool fresh,
                           double *x);
/* y += the mean of each window; and x += y / elements over each window, the transposed map. */
void ad__avg_pool_add_f32(const ad__pooling *p, int64_t planes, const float *x, float *y);
void ad__avg_pool_add_f64(const ad__pooling *p, int64_t planes, const double *x, double *y);
void ad__avg_unpool_add_f32(const ad__pooling *p, int64_t planes, const float *y, float *x);
void ad__avg_unpool_add_f64(const ad__pooling *p, int64_t planes, const double *y, double *x);

#endif
