/* attrs.h: attributes that several ops share, and how they read them. */
#ifndef OPS_ATTRS_H
#define OPS_ATTRS_H

#include "autodiff/node.h"

/* One axis, as the user gave it: -1 is the last. */
typedef struct {
    int axis;
    bool keepdims;
} ad__axis_attrs;
extern const ad_attr ad__axis_list[];     /* axis */
extern const ad_attr ad__reduction_list[]; /* axis, keepdims */

/* Several axes; n < 0 means all of them. */
typedef struct {
    int n;
    int axis[AD_MAX_NDIM];
    bool keepdims;
} ad__axes_attrs;
extern const ad_attr ad__axes_list[];
unsigned ad__axes_mask(const ad__axes_attrs *a, int ndim);  /* bit i: axis i is reduced */
ad_shape ad__reduced_shape(ad_shape s, unsigned mask, bool keepdims);
int ad__axes_shape(ad_call *c); /* the shape rule of reductions over ad__axes_attrs */
/* From what a user gives: no axes are all axes, as in PyTorch. */
ad__axes_attrs ad__axes_of(int n, const int *axes, bool keepdims);

/* A reduction's functions: over all elements, one axis, several. */
#define AD__REDUCTION(name)                                                                                            \
    ad_var *ad_##name##_axes(ad_var *x, int n, const int *axes, bool keepdims) {                                       \
        ad__axes_attrs a = ad__axes_of(n, axes, keepdims);                                                             \
        return ad__apply1(&ad_op_##name, x, &a);                                                                       \
    }                                                                                                                  \
    AD__REDUCTION_BY_AXES(name)
#define AD__REDUCTION_BY_AXES(name)                                                                                    \
    ad_var *ad_##name(ad_var *x) { return ad_##name##_axes(x, 0, NULL, false); }                                       \
    ad_var *ad_##name##_axis(ad_var *x, int axis, bool keepdims) { return ad_##name##_axes(x, 1, &axis, keepdims); }

typedef struct {
    ad_shape shape;
} ad__shape_attrs;
extern const ad_attr ad__shape_list[];

/* x as [outer, n, inner] around one axis. */
typedef struct {
    int64_t outer, n, inner;
} ad__around;
ad__around ad__around_axis(ad_shape s, int axis);

/* Adds n elements of T, by dtype: an operand's gradient takes what has arrived at the result. */
void ad__add_gradient(const ad_op *op, int i, const void *g);

/* Writes element i of a result. */
static inline void ad__put(const ad_var *y, int64_t i, double v) {
    if (y->layout->dtype == AD_F32) ((float *)y->data)[i] = (float)v;
    else ((double *)y->data)[i] = v;
}

#endif
