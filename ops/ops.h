/* ops.h: every operation on Vars. Each returns a new Var, or nil where it fails; docs/ops.md has the
   shapes, formula and gradient of each. Names and conventions are NumPy's and PyTorch's: axis -1 is
   the last, keepdims keeps a reduced axis with size 1, operands broadcast. */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "autodiff/autodiff.h"

#ifdef __cplusplus
extern "C" {
#endif

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
AD_API int ad_split(ad_var *x, int64_t each, int axis, int n, ad_var *parts[]);
/* At most n parts of equal size, the last perhaps smaller, as torch.chunk; places not used become nil. */
AD_API int ad_chunk(ad_var *x, int n, int axis, ad_var *parts[]);
/* n parts of these sizes, which add up to the axis. */
AD_API int ad_split_sizes(ad_var *x, int n, const int64_t *sizes, int axis, ad_var *parts[]);

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
