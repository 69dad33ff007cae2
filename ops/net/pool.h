/* pool.h: attributes, shape rules and samples that max_pool.c and avg_pool.c share.

   A pool works on the planes [h,w] of an array [..,h,w]. A signal [..,l] is a plane of height 1. */
#ifndef OPS_NET_POOL_H
#define OPS_NET_POOL_H

#include "autodiff/graph/node.h"
#include "ops/base/loops.h"
#include "ops/kernels/net/pool.h"
#include "ops/ops.h"

/* Pairs hold the values along h and along w. Zeros are replaced by the defaults. */
typedef struct {
    ad_shape kernel, stride, padding, dilation;
    ad_shape output; /* for adaptive pools, which use no kernel: the sizes of the result; otherwise a scalar's shape */
    ad_shape size;   /* for avg_unpool2d: the sizes [h,w] of the result */
    bool ceil_mode, count_include_pad;
} ad__pool_attrs;

#define AD__POOL_FIELD(name, kind) { #name, kind, offsetof(ad__pool_attrs, name) }
#define AD__POOL_WINDOW                                                                                                \
    AD__POOL_FIELD(kernel, AD_ATTR_SHAPE), AD__POOL_FIELD(stride, AD_ATTR_SHAPE), AD__POOL_FIELD(padding, AD_ATTR_SHAPE)

ad__pool_attrs ad__pool_attrs_of(ad_pool_opts o);

/* The number of elements of a plane, and the number of planes in an array of this shape. */
static inline int64_t ad__plane_size(ad_shape s) { return s.dim[s.ndim - 2] * s.dim[s.ndim - 1]; }
int64_t ad__plane_count(ad_shape s);
/* The planes of x from number `plane` on, in an array of x's shape and dtype. */
static inline void *ad__plane_at(const ad_var *x, const void *data, int64_t plane) {
    return (char *)data + (size_t)(plane * ad__plane_size(x->layout->shape)) * ad_dtype_size(x->layout->dtype);
}
/* Threads share a loop over the planes of x; context is that of body. */
void ad__over_planes(const ad_op *op, const ad_var *x, ad_loop_fn *body, void *context);

/* The parameters for the kernels that pool an array of shape `in` to shape `out`. */
ad__pooling ad__pooling_of(const ad__pool_attrs *a, ad_shape in, ad_shape out);

/* For shape rules: 0 or the error. */
int ad__pool_check_planes(const ad_call *c);
int ad__pooled_shape(const ad_call *c, ad_shape in, ad_shape *out); /* *out = the shape that pooling makes of `in` */
int ad__pool_shape(ad_call *c); /* the shape rule of an op that pools its operand */

/* Pools signals x [..,l], by applying f to them as planes of height 1. */
typedef ad_var *ad__pool_fn(ad_var *x, ad_pool_opts opts);
ad_var *ad__pool_signal(ad_var *x, ad_pool_opts o, ad__pool_fn *f, const char *caller);
/* True if x can be such a signal. Otherwise sets the error. */
bool ad__is_signal(ad_var *x, const char *caller);

/* ---- forms in C ---- */

/* False if the windows are not all of one size, as those of an adaptive pool may be. Otherwise kernel, stride and
   dilation of p hold. */
bool ad__pool_is_even(ad__pooling *p);
/* An array [n,h,w], or [h,w] for n = 0, large enough for all windows, filled with k, and its part that is the plane. */
ad_emit_array ad__emit_plane(ad_emit *e, ad_dtype t, const ad__pooling *p, int64_t n, double k, ad_emit_array *inside);
/* The windows of such an array: [..,i,j,p,q]. */
ad_emit_array ad__emit_pool_windows(const ad__pooling *p, ad_emit_array plane);

typedef struct {
    const char *x; /* its shape, for ad__sample_text */
    ad_pool_opts o;
} ad__pool_case;
enum { AD__POOL_CASES = 7 };
extern const ad__pool_case ad__pool_cases[AD__POOL_CASES];
void ad__pool_samples(ad_sampler *s); /* the samples of ad__pool_cases */

#endif
