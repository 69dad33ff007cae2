/* kernels.h: the raw array loops behind the ops: plain pointers and counts, no graph. This folder is
   what another device would replace. */
#ifndef OPS_KERNELS_BASE_KERNELS_H
#define OPS_KERNELS_BASE_KERNELS_H

#include "autodiff/autodiff.h"
#include "autodiff/base/parallel.h"

/* Loops marked AD__CLONES are compiled for AVX-512, AVX2 and the baseline; the loader picks. GCC on
   x86-64 with glibc only: musl's loader cannot pick, clang 14's clones do not link across files, and
   thread sanitizer crashes in the resolvers. A build for one machine (-march=native) has its
   instructions already. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) &&                          \
    !defined(__SANITIZE_THREAD__) && !defined(__AVX2__)
#define AD__LEVELS
#define AD__CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define AD__CLONES
#endif

/* A part of a kernel that must become part of each of its clones, to be compiled for their instructions. */
#define AD__INLINED static inline __attribute__((always_inline))

/* Before a loop whose arrays are apart or the very same: element i is read before it is written, and
   nothing else is. (restrict would forbid the same.) */
#if defined(__GNUC__) && !defined(__clang__) /* clang takes it for an order, and warns of loops with calls */
#define AD__IN_STEP _Pragma("GCC ivdep")
#else
#define AD__IN_STEP
#endif

/* Before the loop over the lanes of a sum, which are then kept in registers. */
#if defined(__clang__)
#define AD__UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define AD__UNROLL _Pragma("GCC unroll 32")
#else
#define AD__UNROLL
#endif

/* ---- level.c: the many loops over elements -------------------------------------------------------- */

/* 2 where this processor has AVX-512, 1 for AVX2, else 0. It stands in a file of its own, so that a test
   can put another in its place. */
#if defined(__GNUC__)
__attribute__((const))
#endif
int ad__level(void);

/* AD__LOOP(type, f, T, (parameters), body) defines f[], a loop for each level; the body works on count elements
   beginning at from. The wide loops are for whole vectors: to each the compiler would add code for what is left,
   several times the loop itself. AD__RUN(f, n, size, arguments...) runs the widest that it can, and narrower ones
   for the rest; size is that of an element. */
#define AD__VECTOR(level) ((int64_t)16 << (level)) /* bytes */
#ifdef AD__LEVELS
#define AD__WIDE_LOOP(f, vector, PARAMETERS, ...)                                                                      \
    static void f(int64_t from, int64_t count, AD__OPEN PARAMETERS) {                                                  \
        count &= -(int64_t)(vector); /* as it is: the compiler is to know */                                           \
        __VA_ARGS__                                                                                                    \
    }
#define AD__LOOP(type, f, T_, PARAMETERS, ...)                                                                         \
    static void f##_base(int64_t from, int64_t count, AD__OPEN PARAMETERS) { __VA_ARGS__ }                             \
    __attribute__((target("arch=x86-64-v3")))                                                                          \
    AD__WIDE_LOOP(f##_avx2, AD__VECTOR(1) / sizeof(T_), PARAMETERS, __VA_ARGS__)                                       \
    __attribute__((target("arch=x86-64-v4")))                                                                          \
    AD__WIDE_LOOP(f##_avx512, AD__VECTOR(2) / sizeof(T_), PARAMETERS, __VA_ARGS__)                                     \
    static type *const f[] = { f##_base, f##_avx2, f##_avx512 };
#else
#define AD__LOOP(type, f, T_, PARAMETERS, ...)                                                                         \
    static void f##_base(int64_t from, int64_t count, AD__OPEN PARAMETERS) { __VA_ARGS__ }                             \
    static type *const f[] = { f##_base };
#endif
#define AD__OPEN(...) __VA_ARGS__
#define AD__FROM(T_, p) ((const T_ *)(p) + from)

#define AD__RUN(f, n, size, ...)                                                                                       \
    for (int64_t level_ = ad__level(), from_ = 0, count_; from_ < (n); level_--, from_ += count_) {                    \
        count_ = (n) - from_;                                                                                          \
        if (level_ > 0) count_ &= -((int64_t)((size) == sizeof(float) ? 4 : 2) << level_);                             \
        if (count_ > 0) (f)[level_](from_, count_, __VA_ARGS__);                                                       \
    }

/* ---- broadcast.c: a small array repeated to fill a big one ------------------------------------- */

/* For each axis of the big array, how far the small one's index moves: 0 where it repeats. Axes that
   move alike are merged, so the last axis has stride 0 or 1. */
typedef struct {
    int ndim;
    int64_t dim[AD_MAX_NDIM], stride[AD_MAX_NDIM];
} ad__broadcast_map;
ad__broadcast_map ad__broadcast_map_of(ad_shape small, ad_shape big); /* small broadcasts to big */
/* Whether the small array has the big one's elements in the same order. */
static inline bool ad__broadcast_is_whole(const ad__broadcast_map *s) {
    return s->ndim == 0 || (s->ndim == 1 && s->stride[0] == 1);
}

/* The small array's elements for elements from .. from+n of the big one: a pointer into small where
   they lie together, else to, filled. */
const float *ad__broadcast_read_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *small, float *to);
const double *ad__broadcast_read_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *small, double *to);
/* Adds n elements of the big array, from its element from on, to those of the small they repeat. */
void ad__broadcast_sum_f32(const ad__broadcast_map *s, int64_t from, int64_t n, const float *big, double *small);
void ad__broadcast_sum_f64(const ad__broadcast_map *s, int64_t from, int64_t n, const double *big, double *small);
/* All n of the big array, added to the small one's sums by the team. */
void ad__broadcast_sum(ad_team *team, const ad__broadcast_map *s, ad_dtype t, int64_t n, const void *big, double *small);

/* ---- reduce.c ------------------------------------------------------------------------------------ */

/* f32 accumulates in f64; f64 in blocks whose sums are added with compensation (Neumaier 1974). */
double ad__array_sum_f32(int64_t n, const float *x);
double ad__array_sum_f64(int64_t n, const double *x);
double ad__array_sum(ad_team *team, ad_dtype t, int64_t n, const void *x); /* the same sum, which the team shares */
/* The sum of f(0, term), f(term, 2 term), ... up to n, added in this order whoever computes them. An index is as
   much work as so many elements of a cheap loop. */
typedef double ad__term_fn(void *context, int worker, int64_t from, int64_t to);
double ad__sum_terms(ad_team *team, int64_t n, int64_t term, int64_t work, ad__term_fn *f, void *context);
/* to [columns] += the sums of x [rows, columns] over its rows, kept in f64; fresh: to = them. */
void ad__column_sums_f32(int64_t rows, int64_t columns, const float *x, bool fresh, float *to);
void ad__column_sums_f64(int64_t rows, int64_t columns, const double *x, bool fresh, double *to);
/* y[i] += x[i]; with f64 sums into f32, and f32 into f64 sums. */
void ad__array_add_f32(int64_t n, const float *x, float *y);
void ad__array_add_f64(int64_t n, const double *x, double *y);
void ad__to_f32_add(int64_t n, const double *x, float *y);
void ad__to_f64_add(int64_t n, const float *x, double *y);
/* y[i] += k x[i] */
void ad__axpy_f32(int64_t n, float k, const float *x, float *y);
void ad__axpy_f64(int64_t n, double k, const double *x, double *y);
/* y[i] = k x[i] */
void ad__scaled_f32(int64_t n, float k, const float *x, float *y);
void ad__scaled_f64(int64_t n, double k, const double *x, double *y);
void ad__to_f32(int64_t n, const double *x, float *y);
void ad__to_f64(int64_t n, const float *x, double *y);

/* ---- transpose.c ---------------------------------------------------------------------------------- */

/* x [n,m] -> y [m,n]; the second adds. */
void ad__matrix_transpose_f32(int64_t n, int64_t m, const float *x, float *y);
void ad__matrix_transpose_f64(int64_t n, int64_t m, const double *x, double *y);
void ad__matrix_transpose_add_f32(int64_t n, int64_t m, const float *x, float *y);
void ad__matrix_transpose_add_f64(int64_t n, int64_t m, const double *x, double *y);

/* ---- gemm.c: C [n,m] = A B + beta C, row-major; A is [n,k] or, transposed, [k,n]; B likewise ------- */

enum { AD__GEMM_MAX = 2147483647 }; /* the largest size that a BLAS takes */
void ad__gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta,
                  float *c);
void ad__gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                  double *c);
/* The same; a large product is computed in slabs, cut by its sizes alone, which the team shares. */
void ad__gemm(ad_team *team, ad_dtype t, bool ta, bool tb, int64_t n, int64_t m, int64_t k, const void *a,
              const void *b, double beta, void *c);

/* ---- rows.c: softmax and its kin over a contiguous row of n ----------------------------------------- */

/* m is the largest element and s the sum of exp(x - m), so that log sum exp = m + log s. */
typedef struct {
    double m, s;
} ad__lse;
ad__lse ad__lse_f32(int64_t n, const float *x);
ad__lse ad__lse_f64(int64_t n, const double *x);
/* The same, with e = exp(x - m). */
ad__lse ad__lse_exp_f32(int64_t n, const float *x, float *e);
ad__lse ad__lse_exp_f64(int64_t n, const double *x, double *e);
void ad__row_softmax_f32(int64_t n, const float *x, float *y);
void ad__row_softmax_f64(int64_t n, const double *x, double *y);
void ad__row_log_softmax_f32(int64_t n, const float *x, float *y);
void ad__row_log_softmax_f64(int64_t n, const double *x, double *y);
/* gx = base + y (g - sum(g y)), from y = softmax x; gx may be base, or g */
void ad__row_softmax_back_f32(int64_t n, const float *y, const float *g, const float *base, float *gx);
void ad__row_softmax_back_f64(int64_t n, const double *y, const double *g, const double *base, double *gx);
/* gx = base + g - exp(y) sum(g), from y = log softmax x; likewise */
void ad__row_log_softmax_back_f32(int64_t n, const float *y, const float *g, const float *base, float *gx);
void ad__row_log_softmax_back_f64(int64_t n, const double *y, const double *g, const double *base, double *gx);
/* gx += k exp(x - m) / s */
void ad__lse_back_f32(int64_t n, ad__lse l, float k, const float *x, float *gx);
void ad__lse_back_f64(int64_t n, ad__lse l, double k, const double *x, double *gx);


/* Targets of a row of n classes: what each class weighs in its loss; w [n] are weights of classes, or NULL.
   From class y, or from probabilities p: q = w ((1 - smoothing) p + smoothing / n). Returns q's sum. */
double ad__class_target_f32(int64_t n, int64_t y, double smoothing, const float *w, float *q);
double ad__class_target_f64(int64_t n, int64_t y, double smoothing, const double *w, double *q);
double ad__mixed_target_f32(int64_t n, const float *p, double smoothing, const float *w, float *q);
double ad__mixed_target_f64(int64_t n, const double *p, double smoothing, const double *w, double *q);
/* The sum of q (logsumexp x - x); what has q 0 does not count, even an infinity. */
double ad__target_loss_f32(int64_t n, ad__lse l, const float *x, const float *q);
double ad__target_loss_f64(int64_t n, ad__lse l, const double *x, const double *q);
/* gp += k w (logsumexp x - x) */
void ad__target_back_f32(int64_t n, ad__lse l, double k, const float *x, const float *w, float *gp);
void ad__target_back_f64(int64_t n, ad__lse l, double k, const double *x, const double *w, double *gp);

#endif
