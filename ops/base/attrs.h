/* attrs.h: attributes that several ops share, their checks, and helpers for shapes and elements. */
#ifndef OPS_BASE_ATTRS_H
#define OPS_BASE_ATTRS_H

#include "autodiff/graph/node.h"

/* One axis as the caller gave it, so -1 is the last. */
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
/* The mask of n axes of the call's shape, or of all its axes for n < 0. A negative code, after setting the error, if an
   axis is out of range or given twice. */
int ad__call_axes(const ad_call *c, int n, const int *axis);
/* Attributes from the arguments of a call. If n is negative or the list is NULL, they mean all axes. */
ad__axes_attrs ad__axes_of(int n, const int *axes);
/* The same for reductions, where an empty list means all axes too, as in PyTorch. */
ad__axes_attrs ad__reduced_axes(int n, const int *axes, bool keepdims);

/* Applies a reduction with ad__axes_attrs to all elements, to one axis, or to several axes. */
ad_var *ad__reduce_all(const ad_optype *type, ad_var *x);
ad_var *ad__reduce_axis(const ad_optype *type, ad_var *x, int axis, bool keepdims);
ad_var *ad__reduce_axes(const ad_optype *type, ad_var *x, int n, const int *axes, bool keepdims);

typedef struct {
    ad_shape shape;
} ad__shape_attrs;
extern const ad_attr ad__shape_list[];

/* A shape seen as [outer, n, inner], where n is the size of one axis. */
typedef struct {
    int64_t outer, n, inner;
} ad__around;
ad__around ad__around_axis(ad_shape s, int axis);

/* Whether the product of the sizes, with 1 in place of 0, is at most 2^45, so that sizes can be multiplied. An array
   without elements may have huge sizes. */
bool ad__is_moderate(ad_shape s);

/* Copies n elements that are step elements apart to a contiguous row, and back. */
void ad__load_row(ad_dtype t, int64_t n, int64_t step, const void *x, void *row);
void ad__store_row(ad_dtype t, int64_t n, int64_t step, const void *row, void *y);

/* For shape rules: sets the error and returns its code unless eps is a finite number >= 0. */
int ad__check_eps(const ad_call *c, double eps);
/* The same if gradients are recorded and operand i, which the sentence calls by this name, requires one, while the
   op has no derivative with respect to it. */
int ad__check_no_gradient(const ad_call *c, int i, const char *name);

/* Element i of a Var, as a double. */
static inline double ad__get(const ad_var *x, int64_t i) { return ad_read_element(x->layout->dtype, x->data, i); }
static inline void ad__put(const ad_var *x, int64_t i, double v) { ad_write_element(x->layout->dtype, x->data, i, v); }

/* The bound of class numbers of n classes that x holds exactly: f32 rounds integers from 2^24 on. */
static inline double ad__exact_below(const ad_var *x, int64_t n) {
    return x->layout->dtype == AD_F32 && n > (int64_t)1 << 24 ? 0x1p24 : (double)n;
}

/* For functions that call several ops: an initialiser of an ad_call, with which they report errors like an op of that
   name. x_ is a variable that is not nil. */
#define AD__CALL_AS(name_, x_) ad__call_as(&(const ad_optype){ .name = name_ }, &(x_))
ad_call ad__call_as(const ad_optype *type, ad_var *const *x);
/* The result of such a function if x is NULL or nil: nil. Sets the error if the graph has none yet. */
ad_var *ad__nil_result(const ad_var *x, const char *caller);
/* The same for an op function that was given n Vars, one of which is nil or NULL. */
ad_var *ad__nil_beside(int n, ad_var *const xs[], const char *caller);
/* The same for n Vars: NULL if all are there. The second function also wants one dtype, the third also shapes that
   broadcast. */
ad_var *ad__absent_result(const char *caller, int n, ad_var *const xs[]);
ad_var *ad__unfit_result(const char *caller, int n, ad_var *const xs[]);
ad_var *ad__unfit_broadcast(const char *caller, int n, ad_var *const xs[]);
/* x as the result of a function that has nothing to do; nil after an error. */
static inline ad_var *ad__unchanged(ad_var *x) { return ad_ok(ad__owner(x)) ? x : ad_nil(ad__owner(x)); }
/* nil, after setting the error as ad_call_fail does. */
ad_var *ad__refused_call(const ad_call *c, int code, const char *format, ...) AD_PRINTF(3, 4);

#endif
