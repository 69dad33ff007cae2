/* copy.h: copies between arrays whose axes lie differently: slices, permutations, flips, repetitions, diagonals. */
#ifndef OPS_KERNELS_SHAPE_COPY_H
#define OPS_KERNELS_SHAPE_COPY_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* A box of elements, and how far a step along each of its axes moves in the source and in the destination, in
   elements; a stride may be negative or 0. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], from[AD_MAX_NDIM], to[AD_MAX_NDIM];
} ad__copy_plan;

/* Axes of size 1 are left out, axes that move alike merged, and the order is the best for the loops. The kernels take
   any plan, and run this one fastest. */
ad__copy_plan ad__copy_plan_of(int ndim, const int64_t *dim, const int64_t *from, const int64_t *to);
/* The way back: an element of the destination goes to where it came from. */
ad__copy_plan ad__copy_plan_back(const ad__copy_plan *p);
/* The strides of a contiguous array: of [2,3,4], 12, 4 and 1. */
void ad__row_major(ad_shape s, int64_t stride[AD_MAX_NDIM]);

/* y = x over the box, which begins at element x_at of x and y_at of y; the arrays do not overlap. The second adds, and
   sums where a stride of y is 0. Of an empty box x and y may be NULL. */
void ad__copy_f32(const ad__copy_plan *p, const float *x, int64_t x_at, float *y, int64_t y_at);
void ad__copy_f64(const ad__copy_plan *p, const double *x, int64_t x_at, double *y, int64_t y_at);
void ad__copy_add_f32(const ad__copy_plan *p, const float *x, int64_t x_at, float *y, int64_t y_at);
void ad__copy_add_f64(const ad__copy_plan *p, const double *x, int64_t x_at, double *y, int64_t y_at);

/* The same by dtype. */
void ad__copy(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);
void ad__copy_add(const ad__copy_plan *p, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);

#endif
