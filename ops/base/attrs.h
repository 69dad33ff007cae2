/* attrs.h: attributes that several ops share, and how they are read and checked. */
#ifndef OPS_BASE_ATTRS_H
#define OPS_BASE_ATTRS_H

#include "autodiff/graph/node.h"

/* One axis, as the user gave it: -1 is the last. */
typedef struct {
    int axis;
    bool keepdims;
} ad__axis_attrs;
extern const ad_attr ad__axis_list[];

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
/* The mask of n axes of the call's shape, all of them for n < 0; negative, with the error, for one that is
   out of range or named twice. */
int ad__call_axes(const ad_call *c, int n, const int *axis);
/* As a user gave them; a list that is NULL, or a negative n, is all axes. */
ad__axes_attrs ad__axes_of(int n, const int *axes);
/* Of a reduction, where a list of none is all axes too, as in PyTorch. */
ad__axes_attrs ad__reduced_axes(int n, const int *axes, bool keepdims);

/* Applies a reduction, whose attributes are ad__axes_attrs, to all elements, to one axis, to several. */
ad_var *ad__reduce_all(const ad_optype *type, ad_var *x);
ad_var *ad__reduce_axis(const ad_optype *type, ad_var *x, int axis, bool keepdims);
ad_var *ad__reduce_axes(const ad_optype *type, ad_var *x, int n, const int *axes, bool keepdims);

/* A reduction's functions: over all elements, one axis, several. */
#define AD__REDUCTION(name)                                                                                            \
    ad_var *ad_##name##_axes(ad_var *x, int n, const int *axes, bool keepdims) {                                       \
        ad__axes_attrs a = ad__reduced_axes(n, axes, keepdims);                                                        \
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

/* n elements that lie step apart, to and from a contiguous row. */
void ad__load_row(ad_dtype t, int64_t n, int64_t step, const void *x, void *row);
void ad__store_row(ad_dtype t, int64_t n, int64_t step, const void *row, void *y);

/* For shape rules: eps is a number >= 0; 0 or the error. */
int ad__check_eps(const ad_call *c, double eps);

/* Element i of a Var, as a double. */
static inline double ad__get(const ad_var *x, int64_t i) { return ad_read_element(x->layout->dtype, x->data, i); }
static inline void ad__put(const ad_var *x, int64_t i, double v) { ad_write_element(x->layout->dtype, x->data, i, v); }

/* For functions that are made of ops: with this call they report errors as an op of that name does. x is a variable
   and not nil. */
#define AD__CALL_AS(name_, x_)                                                                                         \
    { .graph = ad__owner(x_), .type = &(const ad_optype){ .name = name_ }, .n = 1, .in = &(x_),                        \
      .dtype = (x_)->layout->dtype, .shape = (x_)->layout->shape }
/* They return this for a nil x: nil, and the error of its absence if the graph has none yet. */
ad_var *ad__nil_result(const ad_var *x, const char *caller);

#endif
