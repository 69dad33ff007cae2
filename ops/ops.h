/* ops.h: every operation on Vars. Each returns a new Var, or nil after an error. docs/ops.md has the shapes, formula
   and gradient of each.

   Names and conventions are those of NumPy and PyTorch: axis -1 is the last, keepdims keeps a reduced axis with size 1,
   operands broadcast. In structs of options, a field that is 0, false or NULL has the default that its comment gives.
   AD_ZERO stands for zero itself where 0 means another default. */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "autodiff/autodiff.h"
#include "ops/functional.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a loss reduces the losses of its elements to the result. */
typedef enum {
    AD_MEAN,     /* the default: their mean */
    AD_SUM,      /* their sum */
    AD_NONE,     /* no reduction: the result has one element for each of them */
    AD_BATCHMEAN /* their sum divided by the size of axis 0; for kl_div only */
} ad_reduction;

/* Norms of matrices: of all elements; the sum, the largest or the smallest of the singular values; the largest or
   smallest sum of absolute values of a column (1) or row (inf). */
typedef enum {
    AD_NORM_FRO,
    AD_NORM_NUC,
    AD_NORM_2,
    AD_NORM_MINUS_2,
    AD_NORM_1,
    AD_NORM_MINUS_1,
    AD_NORM_INF,
    AD_NORM_MINUS_INF
} ad_matrix_norm_kind;

/* The functions of ad_special, of whole order n, and behind them those of ad_special_pair. */
typedef enum {
    AD_ERFCX,           /* exp(x^2) times the n-th repeated integral of erfc; n = 0: of erfc itself */
    AD_NDTRI,           /* the inverse of ndtr; n is 0 */
    AD_BESSEL_J,        /* Bessel functions of the first kind */
    AD_BESSEL_Y,        /* of the second kind */
    AD_BESSEL_I,        /* modified, of the first kind */
    AD_BESSEL_I_SCALED, /* the same times exp(-|x|) */
    AD_BESSEL_K,        /* modified, of the second kind */
    AD_BESSEL_K_SCALED, /* the same times exp(x) */
    AD_AIRY,            /* Airy's function Ai; n = 1: its slope */
    AD_ZETA,            /* Hurwitz's zeta function of s and q */
    AD_GAMMAINC,        /* the regularised lower incomplete gamma function of a and x */
    AD_GAMMAINCC,       /* the upper one */
    AD_GAMMA_DENSITY    /* x^(a-1) exp(-x) / gamma(a) */
} ad_special_kind;

/* What ad_scatter_reduce makes of the elements that share an index. */
typedef enum { AD_SCATTER_SUM, AD_SCATTER_MEAN, AD_SCATTER_PROD, AD_SCATTER_AMAX, AD_SCATTER_AMIN } ad_scatter_kind;

/* What a quantile is that lies between two elements in order. One that lies at an element is that element, also if it
   is infinite, where PyTorch has NaN. */
typedef enum {
    AD_LINEAR,   /* the default: between them in proportion */
    AD_LOWER,    /* the smaller element */
    AD_HIGHER,   /* the larger element */
    AD_MIDPOINT, /* their mean */
    AD_NEAREST   /* the nearer element; in the middle, the one in an even place, counted from 0 */
} ad_interpolation;

/* Options of losses by class. The defaults are PyTorch's. */
typedef struct {
    ad_var *weight;         /* [c], a weight for each class; it takes no gradient. NULL: all 1 */
    double label_smoothing; /* 0..1, the part of the target that is spread equally over all classes. 0: none */
    ad_reduction reduction; /* 0 is AD_MEAN, which divides by the sum of the weights of the targets' classes */
    bool ignore;            /* true: targets of class ignore_index do not count; false: those of class -100 */
    int64_t ignore_index;   /* used if ignore is true */
} ad_ce_opts;

/* Options of ctc. */
typedef struct {
    int64_t blank;          /* the class of the blank. 0: the first */
    bool zero_infinity;     /* true: a sequence that has no path counts 0; false: its loss is infinite */
    ad_reduction reduction; /* 0 is AD_MEAN, of the losses divided by the number of labels */
} ad_ctc_opts;

/* Options of triplet_margin. */
typedef struct {
    double margin; /* by which the negative should be farther away. 0: 1; AD_ZERO: 0 */
    double p;      /* of the norm of differences. 0: 2; AD_ZERO: 0 */
    double eps;    /* added to differences. 0: 1e-6; AD_ZERO: 0 */
    bool swap;     /* true: the negative's distance is the smaller one of those to anchor and positive */
    ad_reduction reduction;
} ad_triplet_opts;

/* Options of poisson_nll. */
typedef struct {
    bool plain_input; /* true: x are rates; false: their logarithms. PyTorch's log_input=False */
    bool full;        /* true: adds Stirling's approximation of log(target!) where the target is above 1 */
    double eps;       /* added to rates. 0: 1e-8; AD_ZERO: 0 */
    ad_reduction reduction;
} ad_poisson_opts;

/* Options of gaussian_nll. */
typedef struct {
    bool full;  /* true: adds the constant log(2 pi) / 2 */
    double eps; /* the smallest variance. 0: 1e-6; AD_ZERO: 0 */
    ad_reduction reduction;
} ad_gaussian_opts;

/* Options of convolutions. Lists hold the values along the axes: { d, h, w } of volumes, { h, w } of images, { l } of
   signals. In f32, kernels of 3 x 3 with stride 1 and 32 channels or more have errors relative to the largest number
   among 4 x 4 pixels: see "Convolutions" in docs/performance.md. */
typedef struct {
    int64_t stride[3];         /* 0: 1 */
    int64_t padding[3];        /* zeros added on both sides; negative: elements removed. 0: none */
    int64_t dilation[3];       /* distance between the elements of a kernel. 0: 1 */
    int64_t groups;            /* groups of channels, convolved separately. 0: 1 */
    int64_t output_padding[3]; /* for transposed convolutions: elements added at the end of the result, fewer than
                                  stride or dilation. 0: none */
} ad_conv_opts;

/* Options of pooling. Lists hold the values along the axes: { d, h, w } of volumes, { h, w } of images, { l } of
   signals. */
typedef struct {
    int64_t kernel[3];    /* size of a window; must be given */
    int64_t stride[3];    /* 0: the size of the kernel */
    int64_t padding[3];   /* added on both sides, less than the dilated kernel: -inf for a maximum, 0 for a mean */
    int64_t dilation[3];  /* for max pooling: distance between the elements of a window. 0: 1 */
    bool ceil_mode;       /* true: the last window may extend beyond the padding */
    bool exclude_padding; /* for means. true: a mean does not count the padding; false: it counts it as zeros */
} ad_pool_opts;

/* Options of batch_norm. In training, each evaluation, by ad_eval too, updates the running averages: running_mean and
   running_var become (1 - momentum) times themselves plus momentum times the mean and unbiased variance of the batch.
   Results that evaluation mode computed from them are stale after that. The running averages are leaves of shape [c],
   which must outlive the op. In training both may be NULL. */
typedef struct {
    bool training;   /* true: normalise by the mean and variance of the batch; false: by the running averages */
    double momentum; /* 0..1. 0: 0.1; AD_ZERO: 0 */
    double eps;      /* added to the variance. 0: 1e-5; AD_ZERO: 0 */
} ad_batch_norm_opts;

/* Options of attention. */
typedef struct {
    bool causal;       /* true: query i sees the keys 0 .. offset + i only, counted from 0 */
    int64_t offset;    /* the number of keys before those of the queries, such as those of a cache. 0: none */
    bool boolean_mask; /* false: the mask is added to the scores; true: a query sees a key where the mask is not 0, as
                          with a bool mask in PyTorch. Such a mask takes no gradient */
    double scale;      /* of the products of queries and keys. 0: 1/sqrt(d); AD_ZERO: 0 */
    double dropout;    /* 0..1, the probability with which a weight is set to 0, whereas the others are multiplied by
                          1 / (1 - dropout). 0: none. Each evaluation draws anew */
} ad_attention_opts;

/* Python's start:stop:step along one axis. A bound beyond an end of the axis means that end: INT64_MIN and INT64_MAX
   stand for bounds that are left out. */
typedef struct {
    int axis;
    int64_t start; /* the first index; a negative one counts from the end */
    int64_t stop;  /* the index behind the last one; 0 means 0 */
    int64_t step;  /* may be negative. 0: 1 */
} ad_range;

/* A window that moves over images. Pairs hold the values along h and along w. */
typedef struct {
    int64_t kernel[2];   /* size of the window; must be given */
    int64_t stride[2];   /* 0: 1 */
    int64_t padding[2];  /* zeros added on both sides. 0: none */
    int64_t dilation[2]; /* distance between the elements of the window. 0: 1 */
} ad_window;

/* Options of solve_triangular. If all are false, it solves a x = b with the lower triangle of a. */
typedef struct {
    bool upper;         /* true: uses the upper triangle of a */
    bool transpose;     /* true: uses a^T in place of a */
    bool right;         /* true: solves x a = b; PyTorch's left=False */
    bool unitriangular; /* true: takes the diagonal of a as ones */
} ad_triangular_opts;

/* How interpolate computes an image of another size. Names of PyTorch's modes: nearest, linear, bilinear and trilinear,
   bicubic, area, nearest-exact. */
typedef enum {
    AD_RESAMPLE_NEAREST,
    AD_RESAMPLE_LINEAR,
    AD_RESAMPLE_CUBIC, /* Keys 1981, with a = -0.75 */
    AD_RESAMPLE_AREA,  /* adaptive average pooling */
    AD_RESAMPLE_NEAREST_EXACT
} ad_resample;

/* What grid_sample takes for pixels outside of the image. */
typedef enum {
    AD_GRID_ZEROS,     /* the default: 0 */
    AD_GRID_BORDER,    /* those of the border */
    AD_GRID_REFLECTION /* those of the image, reflected */
} ad_grid_padding;
typedef struct {
    bool nearest; /* true: the nearest pixel; false: linear between four pixels */
    ad_grid_padding padding;
    bool align_corners; /* true: -1 and 1 are the centres of the first and last pixel; false: their outer edges */
} ad_grid_opts;

#define AD_OP(name, parameters)                                                                    \
    AD_API ad_var *ad_##name parameters;                                                           \
    AD_API extern const ad_optype ad_op_##name;
#define AD_FN(name, parameters) AD_API ad_var *ad_##name parameters;
#include "ops/ops.def"
#undef AD_OP
#undef AD_FN

/* These functions split x along an axis. Each part is an ad_slice. They return the number of parts, or a negative code.

   Parts of size `each`, as torch.split; the last may be smaller. n is the capacity of parts. */
AD_API int ad_split(ad_var *x, int axis, int64_t each, int n, ad_var *parts[]);
/* At most n parts of equal size, as torch.chunk; the last may be smaller. Unused elements of parts become nil. */
AD_API int ad_chunk(ad_var *x, int axis, int n, ad_var *parts[]);
/* n parts of these sizes. Their sum must be the size of the axis. */
AD_API int ad_split_sizes(ad_var *x, int axis, int n, const int64_t *sizes, ad_var *parts[]);

/* One part for each element of the axis, without the axis, as torch.unbind. n is the capacity of parts. */
AD_API int ad_unbind(ad_var *x, int axis, int n, ad_var *parts[]);
/* n parts, of which the first are larger by one if n does not divide the axis, as torch.tensor_split. */
AD_API int ad_tensor_split(ad_var *x, int axis, int n, ad_var *parts[]);

/* n vectors as coordinates of a grid with an axis for each: parts[i] is vector i, repeated along the others. With xy
   the first two axes are exchanged, as in NumPy's default. Returns 0, or a negative code, and then parts are nil. */
AD_API int ad_meshgrid(int n, ad_var *const xs[], bool xy, ad_var *parts[]);
/* The coordinates [2,count] of the triangle of an [n,m] matrix on and below, or above, diagonal k, row by row. */
AD_API ad_var *ad_tril_indices(ad_graph *g, ad_dtype t, int64_t n, int64_t m, int64_t k);
AD_API ad_var *ad_triu_indices(ad_graph *g, ad_dtype t, int64_t n, int64_t m, int64_t k);

/* Two reductions over n axes (0: all): minimum and maximum; variance, or standard deviation, and mean. They return 0,
   or a negative code, and then parts are nil. */
AD_API int ad_aminmax(ad_var *x, int n, const int *axes, bool keepdims, ad_var *parts[2]);
AD_API int ad_var_mean(ad_var *x, int n, const int *axes, int correction, bool keepdims, ad_var *parts[2]);
AD_API int ad_std_mean(ad_var *x, int n, const int *axes, int correction, bool keepdims, ad_var *parts[2]);

/* The k largest elements of an axis, the largest first, or the k smallest, as torch.topk with sorted. parts[0] becomes
   the elements, parts[1] their indices along the axis, which require no gradient. Of equal elements, the first are
   taken; NaN is larger than infinity. Returns 0, or a negative code, and then parts are nil. */
AD_API int ad_topk(ad_var *x, int axis, int64_t k, bool smallest, ad_var *parts[2]);

/* The running maximum, or minimum, along an axis. parts[0] becomes the elements, parts[1] their indices along the axis,
   the last of equal ones; a NaN stays. Return 0, or a negative code, and then parts are nil. */
AD_API int ad_cummax(ad_var *x, int axis, ad_var *parts[2]);
AD_API int ad_cummin(ad_var *x, int axis, ad_var *parts[2]);

/* The distinct elements of x in ascending order, as np.unique; each NaN counts as distinct. parts[0] becomes the
   elements, parts[1] how often each occurs, both [n]; they require no gradient. Their shape does not change: if x has
   another number of distinct elements later, ad_eval fails with AD_EVALUE. Returns 0, or a negative code, and then
   parts are nil. */
AD_API int ad_unique(ad_var *x, ad_var *parts[2]);

/* The same of neighbours that are equal, in x's order. */
AD_API int ad_unique_consecutive(ad_var *x, ad_var *parts[2]);

/* Decompositions of matrices [..,n,m], where k is the smaller side. Each computes one packed op, whose parts become
   Vars. They return 0, or a negative code, and then parts are nil. docs/ops.md has conventions and gradients at the
   packed ops.

   Eigenvalues [..,n], ascending, and eigenvectors [..,n,n], which are columns, of the symmetric part (x + x^T) / 2 of
   square matrices. The gradient is symmetric. Of equal eigenvalues the vectors have no gradient: it is infinite or
   NaN. ad_eigvalsh computes the values alone. */
AD_API int ad_eigh(ad_var *x, ad_var *parts[2]);
/* The thin singular value decomposition x = U diag(S) Vh: U [..,n,k], S [..,k], descending, and Vh [..,k,m]. The
   vectors of equal singular values have no gradient: it is infinite or NaN. ad_svdvals computes the values alone. */
AD_API int ad_svd(ad_var *x, ad_var *parts[3]);
/* The reduced QR decomposition x = Q R: Q [..,n,k] has orthonormal columns, R [..,k,m] is an upper triangle. The
   gradient needs linearly independent first k columns of x; otherwise the backward pass fails with AD_EVALUE. */
AD_API int ad_qr(ad_var *x, ad_var *parts[2]);
/* LU factors with exchanged rows. ad_lu: x = P L U: a permutation P [..,n,n], L [..,n,k] with ones on its diagonal, U
   [..,k,m]. ad_lu_factor: both triangles in one array [..,n,m], and the order of the rows [..,n], counted from 0: x's
   rows in this order are L U. (PyTorch has LAPACK's exchanges in its place.) ad_lu_unpack makes P, L and U of these
   two. P and the order require no gradient. The gradient needs a U without 0 on its diagonal; otherwise the backward
   pass fails with AD_EVALUE. */
AD_API int ad_lu(ad_var *x, ad_var *parts[3]);
AD_API int ad_lu_factor(ad_var *x, ad_var *parts[2]);
AD_API int ad_lu_unpack(ad_var *lu, ad_var *order, ad_var *parts[3]);
/* The sign, -1, 0 or 1, and the logarithm of the absolute value of the determinant of square matrices, both [..]. The
   sign requires no gradient. */
AD_API int ad_slogdet(ad_var *x, ad_var *parts[2]);

/* All descriptors in the order of ops.def, and NULL at the end. */
AD_API const ad_optype *const *ad_optypes(void);
/* The descriptor of an op of the library, or of one registered with g. NULL if there is no op of that name. */
AD_API const ad_optype *ad_find_op(ad_graph *g, const char *name);
/* Registers a user's own op with g, so that ad_find_op finds it. type must outlive g. Returns 0 or a negative code. */
AD_API int ad_register_op(ad_graph *g, const ad_optype *type);

#ifdef __cplusplus
}
#endif
#endif
