/* strided.h: copying between two arrays that are walked with different strides: slices, permutations,
   flips, repetitions, boxes of a larger array. */
#ifndef OPS_KERNELS_SHAPE_STRIDED_H
#define OPS_KERNELS_SHAPE_STRIDED_H

#include "autodiff/base/shape.h"
#include "ops/kernels/base/simd.h"

/* A box of elements, and how far a step along each of its axes moves in the source and in the
   destination, in elements; a stride may be negative, in the source also 0. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], from[AD_MAX_NDIM], to[AD_MAX_NDIM];
} ad__strided;

/* Axes of size 1 are left out, axes that move alike merged, and the order is the best for the loops. The
   kernels take any ad__strided; this one they run fastest. */
ad__strided ad__strided_of(int ndim, const int64_t *dim, const int64_t *from, const int64_t *to);
/* The way back: an element of the destination goes to where it came from. */
ad__strided ad__strided_back(const ad__strided *s);
/* The strides of a contiguous array: of [2,3,4], 12, 4 and 1. */
void ad__row_major(ad_shape s, int64_t stride[AD_MAX_NDIM]);

/* y = x over the box; x and y point at its first elements, and do not overlap. The second adds, and
   where a stride of y is 0 it sums. */
void ad__strided_copy_f32(const ad__strided *s, const float *x, float *y);
void ad__strided_copy_f64(const ad__strided *s, const double *x, double *y);
void ad__strided_add_f32(const ad__strided *s, const float *x, float *y);
void ad__strided_add_f64(const ad__strided *s, const double *x, double *y);

/* The same by dtype. */
void ad__strided_copy(const ad__strided *s, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);
void ad__strided_add(const ad__strided *s, ad_dtype t, const void *x, int64_t x_at, void *y, int64_t y_at);

#endif
