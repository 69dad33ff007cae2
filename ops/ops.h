/* ops.h: every operation on Vars. Each returns a new Var, or nil where it fails; docs/ops.md has the
   shapes, formula and gradient of each. Names and conventions are NumPy's and PyTorch's: axis -1 is
   the last, keepdims keeps a reduced axis with size 1, operands broadcast. */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a loss puts its elements together. AD_BATCHMEAN is kl_div's: the sum over the size of axis 0. */
typedef enum { AD_MEAN, AD_SUM, AD_NONE, AD_BATCHMEAN } ad_reduction;

/* Of losses by class; all zero is PyTorch's defaults. */
typedef struct {
    ad_var *weight;         /* [c], of each class; NULL: all 1. It takes no gradient */
    double label_smoothing; /* 0 .. 1: the share of the target that all classes share equally */
    ad_reduction reduction; /* AD_MEAN is over the weights of the targets' classes */
    bool ignore;            /* targets of class ignore_index do not count; false: those of class -100 */
    int64_t ignore_index;
} ad_ce_opts;

/* Of convolutions: along h and w, or along a signal the first alone. 0 means PyTorch's default: stride,
   dilation and groups 1, no padding. Both of a pair are given: { 2, 2 }. */
typedef struct {
    int64_t stride[2], padding[2], dilation[2], groups;
    int64_t output_padding[2]; /* of transposed ones: rows and columns added at the end, fewer than stride */
} ad_conv_opts;

/* Of pooling: along h and w, or along a signal the first alone; both of a pair are given. kernel must be
   given; a stride of 0 is the kernel's size, a dilation of 0 is 1. */
typedef struct {
    int64_t kernel[2], stride[2], padding[2];
    int64_t dilation[2];  /* of max pooling alone */
    bool ceil_mode;       /* a last window may stand out over the edge */
    bool exclude_padding; /* of means: PyTorch's count_include_pad=False */
} ad_pool_opts;

/* Of batch_norm. In training, each evaluation (ad_eval's too) moves running_mean and running_var, leaves of
   shape [c] made before, towards the batch's mean and unbiased variance by the share momentum; what was
   computed from them in evaluation mode is stale from then on. They must outlive the op; both may be NULL. */
typedef struct {
    bool training;        /* normalise by the batch's mean and variance, not the running ones */
    double momentum, eps; /* 0: 0.1 and 1e-5, PyTorch's defaults */
} ad_batch_norm_opts;

/* Python's start:stop:step along one axis. Bounds beyond an end are the end, so INT64_MAX and INT64_MIN
   stand for a bound left out; a step of 0 is taken as 1. */
typedef struct {
    int axis;
    int64_t start, stop, step;
} ad_range;

/* A window that moves over images, along h and along w; of stride and dilation 0 is taken as 1. */
typedef struct {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
} ad_window;

/* How solve_triangular takes its matrix a; all false: the lower triangle, as it is, in a x = b. */
typedef struct {
    bool upper;         /* the upper triangle counts, not the lower */
    bool transpose;     /* a^T stands in a's place */
    bool right;         /* x a = b; PyTorch's left = False */
    bool unitriangular; /* the diagonal counts as ones */
} ad_triangular_opts;

#define AD_OP(name, parameters)                                                                    \
    AD_API ad_var *ad_##name parameters;                                                           \
    AD_API extern const ad_optype ad_op_##name;
#define AD_FN(name, parameters) AD_API ad_var *ad_##name parameters;
#include "ops/ops.def"
#undef AD_OP
#undef AD_FN

/* x taken apart along an axis; each part is an ad_slice. They return how many parts there are, or a negative code.
   Parts of `each` elements, the last perhaps smaller, as torch.split; parts has room for n. */
AD_API int ad_split(ad_var *x, int axis, int64_t each, int n, ad_var *parts[]);
/* At most n parts of equal size, the last perhaps smaller, as torch.chunk; places not used become nil. */
AD_API int ad_chunk(ad_var *x, int axis, int n, ad_var *parts[]);
/* n parts of these sizes, which add up to the axis. */
AD_API int ad_split_sizes(ad_var *x, int axis, int n, const int64_t *sizes, ad_var *parts[]);

/* All descriptors, in the order of ops.def, ended by NULL. */
AD_API const ad_optype *const *ad_optypes(void);
/* The descriptor of that name, a library op or one of the graph's own; NULL if there is none. */
AD_API const ad_optype *ad_find_op(ad_graph *g, const char *name);
/* Gives a user's own op a name in the graph's table; it must outlive the graph. */
AD_API int ad_register_op(ad_graph *g, const ad_optype *type);

#ifdef __cplusplus
}
#endif
#endif
