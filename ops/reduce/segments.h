/* segments.h: reductions that are computed a segment at a time: what one element of the result is made from. */
#ifndef OPS_REDUCE_SEGMENTS_H
#define OPS_REDUCE_SEGMENTS_H

#include "ops/base/attrs.h"
#include "ops/kernels/reduce/segments.h"

/* Writes result element segment from its n elements of the operand, T by the operand's dtype. */
typedef void ad__segment_value(const ad_op *op, int64_t segment, int64_t n, const void *x);
/* Adds to the n elements' gradients; buffer holds n doubles. */
typedef void ad__segment_slope(const ad_op *op, int64_t segment, int64_t n, const void *x, double *buffer, void *gx);

/* The shape rule of such an op; its attributes start with ad__axes_attrs. */
int ad__segments_shape(ad_call *c);
int ad__over_segments(const ad_op *op, ad__segment_value *value);
void ad__back_over_segments(const ad_op *op, ad__segment_slope *slope);

/* v, a result or a gradient that arrived at one, with its reduced axes put back as ones. */
ad_var *ad__kept(const ad_op *op, ad_var *v);
/* How many elements each element of the result is made from. */
int64_t ad__segment_size(const ad_op *op);

/* Samples over all elements, each axis and several; attrs starts with ad__axes_attrs, which these fill in. */
void ad__reduction_samples(ad_sampler *s, void *attrs, double lo, double hi);

#endif
