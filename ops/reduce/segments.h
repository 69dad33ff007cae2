/* segments.h: drivers for reductions that process one segment, the elements of one result element, at a time. */
#ifndef OPS_REDUCE_SEGMENTS_H
#define OPS_REDUCE_SEGMENTS_H

#include "ops/base/attrs.h"
#include "ops/kernels/reduce/segments.h"

/* Computes element `segment` of the result from the segment's n elements x, of the operand's dtype. */
typedef void ad__segment_value(const ad_op *op, int64_t segment, int64_t n, const void *x);
/* Adds to the gradients gx of the segment's n elements; buffer holds n doubles. */
typedef void ad__segment_slope(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer, void *gx);

/* The shape rule of such an op. Its attributes must start with ad__axes_attrs. */
int ad__segments_shape(ad_call *c);
int ad__over_segments(const ad_op *op, ad__segment_value *value);
void ad__back_over_segments(const ad_op *op, ad__segment_slope *slope);

/* v, of the result's shape, reshaped so that the reduced axes have size 1. */
ad_var *ad__kept(const ad_op *op, ad_var *v);
/* The number of elements per segment. */
int64_t ad__segment_size(const ad_op *op);

/* Samples over all elements, over each axis and over several. attrs must start with ad__axes_attrs, which is set. */
void ad__reduction_samples(ad_sampler *s, void *attrs, double lo, double hi);

#endif
