/* copy.h: copies between arrays with different strides: slices, permutations, flips, repetitions, diagonals. */
#ifndef OPS_KERNELS_SHAPE_COPY_H
#define OPS_KERNELS_SHAPE_COPY_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* A box of elements: the size of each axis, and its stride in the source and in the destination, in elements. Strides
   may be negative or 0. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], from[AD_MAX_NDIM], to[AD_MAX_NDIM];
} ad__copy_plan;

/* Makes a plan without axes of size 1, with axes merged where possible, in the fastest order. The kernels accept any
   plan. */
ad__copy_plan ad__copy_plan_of(int ndim, const int64_t *dim, const int64_t *from, const int64_t *to);
/* The plan of the opposite copy, from the destination to the source. */
ad__copy_plan ad__copy_plan_back(const ad__copy_plan *p);
/* The strides of a contiguous array: 12, 4 and 1 for [2,3,4]. */
void ad__row_major(ad_shape s, int64_t stride[AD_MAX_NDIM]);

/* y = x over the box, which begins at element x_at of x and y_at of y. The arrays must not overlap. The second function
   adds to y, and sums where a stride of y is 0. x and y may be NULL if the box is empty. */
void ad__copy_f32(const ad__copy_plan *p, const float *x, int64_t x_at, float *y, int64_t y_at);
void ad__copy_f64(const ad__copy_plan *p, const double *x, int64_t x_at, double *y, int64_t y_at);
void ad__copy_add_f32(const ad__copy_plan *p, const float *x, int64_t x_at, float *y, int64_t y_at);
void ad__copy_add_f64(const ad__copy_plan *p, const double *x, int64_t x_at, double *y, int64_t y_at);

/* The same by dtype. */
void ad__copy(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);
void ad__copy_add(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);

#endif
