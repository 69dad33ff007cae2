/* pool.h: what pools share: attributes, planes [h,w] of an array [..,h,w], and signals [..,l] as planes of height 1. */
#ifndef OPS_NET_POOL_H
#define OPS_NET_POOL_H

#include "autodiff/graph/node.h"
#include "ops/kernels/net/pool.h"
#include "ops/ops.h"

/* As pairs along h and w, zeros replaced by PyTorch's defaults. */
typedef struct {
    ad_shape kernel, stride, padding, dilation;
    ad_shape output; /* of an adaptive pool, which has no kernel; else of no dimensions */
    ad_shape size;   /* of avg_unpool2d's result: planes [h,w] */
    bool ceil_mode, count_include_pad;
} ad__pool_attrs;

#define AD__POOL_FIELD(name, kind) { #name, kind, offsetof(ad__pool_attrs, name) }
#define AD__POOL_WINDOW                                                                                                \
    AD__POOL_FIELD(kernel, AD_ATTR_SHAPE), AD__POOL_FIELD(stride, AD_ATTR_SHAPE), AD__POOL_FIELD(padding, AD_ATTR_SHAPE)

ad__pool_attrs ad__pool_attrs_of(ad_pool_opts o);

/* The size of a plane, and how many of them an array of this shape has. */
static inline int64_t ad__plane_size(ad_shape s) { return s.dim[s.ndim - 2] * s.dim[s.ndim - 1]; }
int64_t ad__plane_count(ad_shape s);

/* What a kernel needs to pool an array of the one shape to the other. */
ad__pooling ad__pooling_of(const ad__pool_attrs *a, ad_shape in, ad_shape out);

/* For shape rules: 0 or the error. */
int ad__pool_check_planes(const ad_call *c);
int ad__pooled_shape(const ad_call *c, ad_shape in, ad_shape *out); /* in with its last two sizes pooled */
int ad__pool_shape(ad_call *c); /* the rule of an op that pools its operand */

/* A pool over signals, computed by f over planes of height 1. */
typedef ad_var *ad__pool_fn(ad_var *x, ad_pool_opts opts);
ad_var *ad__pool_signal(ad_var *x, ad_pool_opts o, ad__pool_fn *f, const char *caller);
/* Whether x can be such a signal; if not, and x is not nil, that is the graph's error. */
bool ad__is_signal(ad_var *x, const char *caller);

typedef struct {
    ad_shape x;
    ad_pool_opts o;
} ad__pool_case;
enum { AD__POOL_CASES = 7 };
extern const ad__pool_case ad__pool_cases[AD__POOL_CASES];
void ad__pool_samples(ad_sampler *s); /* of these cases */

#endif
