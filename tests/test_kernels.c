/* test_kernels.c: each kernel against a plain loop, at many lengths and alignments, with special values among the
   elements. Tolerances are in ulp of the result or, where terms cancel, of the largest term. */
#include <float.h>

#include "tests/common.h"

#include "autodiff/base/shape.h"
#include "ops/kernels/linalg/gemm.h"
#include "ops/kernels/loss/class_rows.h"
#include "ops/kernels/loss/margin.h"
#include "ops/kernels/net/im2col.h"
#include "ops/kernels/net/norm.h"
#include "nn/kernels/update.h"
#include "nn/kernels/vector.h"
#include "ops/kernels/reduce/scan.h"
#include "ops/kernels/base/level.h"
#include "ops/kernels/base/plain_math.h"
#include "ops/kernels/base/sum.h"
#include "ops/kernels/base/vector.h"
#include "ops/kernels/reduce/rows.h"
#include "ops/kernels/shape/copy.h"

/* ---- instruction sets: this ad__level replaces the library's function ----------------------------------- */

static int level;
int ad__level(void) { return level; }

static int best_level(void) {
#ifdef AD__LEVELS
    return __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
#else
    return AD__HIGHEST_LEVEL;
#endif
}

/* ---- arrays, special values, comparison -------------------------------------------------------------------- */

/* All lengths up to two blocks and the lengths around the ends of chunks. Quick mode takes fewer. */
enum { LONGEST = 2100 };
static int64_t next_size(int64_t n) {
    static const int64_t more[] = { 255, 256, 257, 511, 513, 1023, 1024, 1025, 1040, 2047, 2048, 2049, LONGEST };
    if (n < 130) return n + (test_quick() ? 7 : 1);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (more[i] > n) return more[i];
    return -1;
}
#define EACH_SIZE(n) for (int64_t n = 0; n >= 0; n = next_size(n))

static uint32_t random_state = 1;
static double uniform(double lo, double hi) {
    random_state = random_state * 1664525u + 1013904223u;
    return lo + (hi - lo) * (double)(random_state >> 8) / 16777216.0;
}

/* An array of n elements. Its first element lies offset elements after a boundary of 64 bytes. */
typedef struct {
    ad_dtype t;
    int64_t n;
    void *memory, *at;
} array;
static array array_of(ad_dtype t, int64_t n, int64_t offset) {
    size_t size = ad_dtype_size(t), bytes = ((size_t)(n + offset) * size / 64 + 2) * 64;
    array a = { t, n, aligned_alloc(64, bytes), NULL };
    assert_non_null(a.memory);
    memset(a.memory, 0, bytes);
    a.at = (char *)a.memory + (size_t)offset * size;
    return a;
}
static double get(const array *a, int64_t i) {
    return a->t == AD_F32 ? (double)((float *)a->at)[i] : ((double *)a->at)[i];
}
static void put(array *a, int64_t i, double value) {
    if (a->t == AD_F32) ((float *)a->at)[i] = (float)value;
    else ((double *)a->at)[i] = value;
}
static void fill(array *a, double lo, double hi) {
    for (int64_t i = 0; i < a->n; i++) put(a, i, uniform(lo, hi));
}

/* Replaces one element in five with a special value. Over a test, each value reaches each lane of a vector. */
static void insert_special_values(array *a) {
    double tiny = a->t == AD_F32 ? 1e-45 : 4.9e-324, least_normal = a->t == AD_F32 ? 1.18e-38 : 2.3e-308;
    double huge = a->t == AD_F32 ? 3.4e38 : 1.7e308;
    const double special[] = { NAN, INFINITY, -INFINITY, 0, -0.0, tiny, -tiny, least_normal, huge, -huge, 1, -1, 88, -104, 710, 1e-8 };
    for (int64_t i = 0; i < a->n; i++)
        if (uniform(0, 1) < 0.2) put(a, i, special[(int)uniform(0, 16)]);
}

static double rounded(ad_dtype t, long double x) { return t == AD_F32 ? (double)(float)x : (double)x; }
static double epsilon(ad_dtype t) { return t == AD_F32 ? 0x1p-23 : 0x1p-52; }

/* Whether y is within ulps of x. One ulp is that of max(|x|, |scale|). NaNs and infinities must be equal. */
static bool is_near(ad_dtype t, double y, double x, double scale, double ulps) {
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (x == y) return true;
    if (isinf(x) || isinf(y)) return false;
    double least = t == AD_F32 ? 0x1p-126 : 0x1p-1022;
    return fabs(y - x) <= ulps * epsilon(t) * fmax(fmax(fabs(x), fabs(scale)), least);
}
/* valgrind computes long doubles as doubles, and functions of them wrongly: there the references say nothing. */
static bool has_references(void) {
    volatile long double largest = DBL_MAX;
    return LDBL_MAX_EXP == DBL_MAX_EXP || 2 * largest / 2 == largest;
}
static void assert_near(const char *what, const array *y, int64_t i, double x, double scale, double ulps) {
    if (is_near(y->t, get(y, i), x, scale, ulps) || !has_references()) return;
    fail_msg("%s %s, level %d, element %lld of %lld: %.17g is not %.17g within %g ulp of %g", what,
             y->t == AD_F32 ? "f32" : "f64", level, (long long)i, (long long)y->n, get(y, i), x, ulps, scale);
}

/* ---- elementwise loops: each level against level 0, level 0 against long double ----------------------------- */

enum { OPERANDS = 3, NONE = -1 };
typedef ad_var *function(ad_var *const in[]);
typedef long double reference(long double x);

#define ONE(name, call)                                                                                                \
    static ad_var *name##_of(ad_var *const in[]) {                                                                     \
        ad_var *a = in[0], *b = in[1], *c = in[2];                                                                     \
        (void)a, (void)b, (void)c;                                                                                     \
        return call;                                                                                                   \
    }
#define ARITY_1(X)                                                                                                     \
    X(neg) X(abs) X(sign) X(sqrt) X(square) X(exp) X(expm1) X(log) X(log1p) X(sin) X(cos) X(tanh) X(tan) X(asin)       \
    X(acos) X(atan) X(sinh) X(cosh) X(asinh) X(acosh) X(atanh) X(exp2) X(log2) X(log10) X(reciprocal) X(rsqrt)         \
    X(cbrt) X(erf) X(erfc) X(floor) X(ceil) X(round) X(trunc) X(sigmoid) X(relu) X(softplus) X(selu) X(gelu)           \
    X(gelu_tanh) X(silu) X(mish) X(softsign) X(hardsigmoid) X(hardswish) X(logsigmoid) X(isfinite) X(isinf) X(isnan)   \
    X(logical_not) X(lgamma) X(digamma) X(frac) X(deg2rad) X(rad2deg) X(sinc) X(erfinv)            \
    X(relu6) X(tanhshrink)
#define ARITY_2(X)                                                                                                     \
    X(add) X(sub) X(mul) X(div) X(pow) X(maximum) X(minimum) X(atan2) X(hypot) X(fmod) X(xlogy) X(heaviside)           \
    X(floor_divide) X(remainder) X(logaddexp) X(logaddexp2) X(fmax) X(fmin) X(copysign)                                \
    X(eq) X(ne) X(gt) X(ge) X(lt) X(le) X(logical_and) X(logical_or) X(logical_xor)
#define LOSSES(X)                                                                                                      \
    X(mse) X(l1) X(bce) X(soft_margin)
#define DEFINE_1(name) ONE(name, ad_##name(a))
#define DEFINE_2(name) ONE(name, ad_##name(a, b))
#define DEFINE_LOSS(name) ONE(name, ad_##name(a, b, AD_NONE))
ARITY_1(DEFINE_1)
ARITY_2(DEFINE_2)
LOSSES(DEFINE_LOSS)
ONE(clamp, ad_clamp(a, -0.5, 0.75))
ONE(adds, ad_adds(a, 0.3))
ONE(muls, ad_muls(a, 0.3))
ONE(pows, ad_pows(a, 2.5))
ONE(logit, ad_logit(a, 0.01))
ONE(nan_to_num, ad_nan_to_num(a, 0.5, NAN, -7))
ONE(softplus_with, ad_softplus_with(a, 2, 10))
ONE(leaky_relu, ad_leaky_relu(a, 0.1))
ONE(elu, ad_elu(a, 1.5))
ONE(celu, ad_celu(a, 1.5))
ONE(threshold, ad_threshold(a, 0.1, 20))
ONE(hardshrink, ad_hardshrink(a, 0.5))
ONE(softshrink, ad_softshrink(a, 0.5))
ONE(isclose, ad_isclose(a, b, 0.1, 0.2, true))
ONE(hardtanh, ad_hardtanh(a, -1, 2))
ONE(prelu, ad_reshape(ad_prelu(ad_reshape(a, AD_SHAPE(1, ad_numel(a))), b), ad_shape_of(a)))
ONE(polygamma, ad_polygamma(a, 2))
ONE(bce_logits, ad_bce_logits(a, b, NULL, AD_NONE))
ONE(where, ad_where(a, b, c))
ONE(lerp, ad_lerp(a, b, c))
ONE(addcmul, ad_addcmul(a, b, c))
ONE(huber, ad_huber(a, b, 0.7, AD_NONE))
ONE(smooth_l1, ad_smooth_l1(a, b, 0.7, AD_NONE))
ONE(kl_div, ad_kl_div(a, b, true, AD_NONE))
ONE(hinge, ad_hinge(a, b, 1, AD_NONE))
ONE(hinge_embedding, ad_hinge_embedding(a, b, 1, AD_NONE))
ONE(mean_of_squares, ad_mse(a, b, AD_MEAN))

static long double reciprocal(long double x) { return 1 / x; }
static long double rsqrt(long double x) { return 1 / sqrtl(x); }
static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double softplus(long double x) { return x > 40 ? x : log1pl(expl(x)); }
static long double square(long double x) { return x * x; }
static long double gelu(long double x) { return isinf(x) && x < 0 ? NAN : x * 0.5L * erfcl(-x * sqrtl(0.5L)); }

typedef struct {
    const char *name;
    function *f;
    int arity;
    reference *exact;
    double lo, hi;
    double value_ulps, gradient_ulps; /* between levels; level 0 may differ 1 ulp more from exact. NONE: no gradient */
} elementwise;
#define ROW(name, arity, exact, lo, hi, value_ulps, gradient_ulps)                                                        \
    { #name, name##_of, arity, exact, lo, hi, value_ulps, gradient_ulps }

/* libmvec promises 4 ulp, libm less than 1. A formula adds one or two roundings for each step. Wide loops may use FMA,
   which rounds once. A single arithmetic operation must give the same bits at all levels. */
static const elementwise table[] = {
    ROW(neg, 1, NULL, -3, 3, 0, 0), ROW(abs, 1, fabsl, -3, 3, 0, 0), ROW(sign, 1, NULL, -3, 3, 0, 0),
    ROW(sqrt, 1, sqrtl, 0, 9, 0, 1), ROW(square, 1, square, -3, 3, 0, 1), ROW(exp, 1, expl, -20, 20, 4, 1),
    ROW(expm1, 1, expm1l, -3, 3, 4, 4), ROW(log, 1, logl, 0, 9, 4, 1), ROW(log1p, 1, log1pl, -0.9, 9, 4, 1),
    ROW(sin, 1, sinl, -30, 30, 4, 4), ROW(cos, 1, cosl, -30, 30, 4, 4), ROW(tanh, 1, tanhl, -6, 6, 4, 2),
    ROW(tan, 1, tanl, -1.5, 1.5, 4, 2), ROW(asin, 1, asinl, -1, 1, 4, 4), ROW(acos, 1, acosl, -1, 1, 4, 4),
    ROW(atan, 1, atanl, -9, 9, 4, 2), ROW(sinh, 1, sinhl, -9, 9, 4, 4), ROW(cosh, 1, coshl, -9, 9, 4, 4),
    ROW(asinh, 1, asinhl, -9, 9, 4, 2), ROW(acosh, 1, acoshl, 1, 9, 4, 4), ROW(atanh, 1, atanhl, -1, 1, 4, 4),
    ROW(exp2, 1, exp2l, -20, 20, 4, 2), ROW(log2, 1, log2l, 0, 9, 4, 2), ROW(log10, 1, log10l, 0, 9, 4, 2),
    ROW(reciprocal, 1, reciprocal, -3, 3, 0, 1), ROW(rsqrt, 1, rsqrt, 0, 9, 1, 2), ROW(cbrt, 1, cbrtl, -9, 9, 4, 2),
    ROW(erf, 1, erfl, -4, 4, 4, 5), ROW(erfc, 1, erfcl, -4, 4, 4, 5), ROW(floor, 1, floorl, -9, 9, 0, 0),
    ROW(ceil, 1, ceill, -9, 9, 0, 0), ROW(round, 1, NULL, -9, 9, 0, 0), ROW(trunc, 1, truncl, -9, 9, 0, 0),
    ROW(sigmoid, 1, sigmoid, -20, 20, 5, 6), ROW(relu, 1, NULL, -3, 3, 0, 0),
    ROW(softplus, 1, softplus, -20, 20, 6, 6), ROW(selu, 1, NULL, -9, 9, 6, 6), ROW(gelu, 1, gelu, -4, 4, 16, 16),
    ROW(gelu_tanh, 1, NULL, -4, 4, 8, 12), ROW(silu, 1, NULL, -20, 20, 6, 8), ROW(mish, 1, NULL, -9, 9, 10, 14),
    ROW(softsign, 1, NULL, -9, 9, 1, 2), ROW(hardsigmoid, 1, NULL, -9, 9, 1, 1), ROW(hardswish, 1, NULL, -9, 9, 2, 2),
    ROW(logsigmoid, 1, NULL, -20, 20, 6, 6), ROW(isfinite, 1, NULL, -3, 3, 0, NONE), ROW(isinf, 1, NULL, -3, 3, 0, NONE),
    ROW(isnan, 1, NULL, -3, 3, 0, NONE), ROW(logical_not, 1, NULL, -3, 3, 0, NONE), ROW(clamp, 1, NULL, -3, 3, 0, 0),
    ROW(adds, 1, NULL, -3, 3, 0, 0), ROW(muls, 1, NULL, -3, 3, 0, 1), ROW(pows, 1, NULL, 0, 9, 4, 5),
    ROW(softplus_with, 1, NULL, -9, 9, 6, 6), ROW(leaky_relu, 1, NULL, -3, 3, 0, 1), ROW(elu, 1, NULL, -9, 9, 5, 6),
    ROW(hardtanh, 1, NULL, -3, 3, 0, 0), ROW(lgamma, 1, lgammal, 0.1, 9, 4, 4), ROW(digamma, 1, NULL, 0.1, 9, 0, 1),
    ROW(polygamma, 1, NULL, 0.1, 9, 0, 1),
    ROW(frac, 1, NULL, -9, 9, 0, 0), ROW(deg2rad, 1, NULL, -180, 180, 0, 1), ROW(rad2deg, 1, NULL, -9, 9, 0, 1),
    ROW(sinc, 1, NULL, -9, 9, 5, 8), ROW(erfinv, 1, NULL, -1, 1, 0, 4), ROW(logit, 1, NULL, -0.2, 1.2, 5, 4),
    ROW(nan_to_num, 1, NULL, -3, 3, 0, 0), ROW(celu, 1, NULL, -9, 9, 6, 6), ROW(relu6, 1, NULL, -3, 9, 0, 0),
    ROW(threshold, 1, NULL, -3, 3, 0, 0), ROW(hardshrink, 1, NULL, -3, 3, 0, 0),
    ROW(softshrink, 1, NULL, -3, 3, 0, 0), ROW(tanhshrink, 1, NULL, -3, 3, 24, 8),
    ROW(add, 2, NULL, -3, 3, 0, 0), ROW(sub, 2, NULL, -3, 3, 0, 0), ROW(mul, 2, NULL, -3, 3, 0, 1),
    ROW(div, 2, NULL, -3, 3, 0, 2), ROW(pow, 2, NULL, 0, 4, 4, 6), ROW(maximum, 2, NULL, -3, 3, 0, 1),
    ROW(minimum, 2, NULL, -3, 3, 0, 1), ROW(atan2, 2, NULL, -3, 3, 4, 4), ROW(hypot, 2, NULL, -3, 3, 4, 5),
    ROW(fmod, 2, NULL, -9, 9, 0, 1), ROW(xlogy, 2, NULL, 0, 4, 5, 5), ROW(heaviside, 2, NULL, -3, 3, 0, 0),
    ROW(floor_divide, 2, NULL, -9, 9, 0, 0), ROW(remainder, 2, NULL, -9, 9, 0, 1),
    ROW(logaddexp, 2, NULL, -9, 9, 6, 6), ROW(logaddexp2, 2, NULL, -9, 9, 6, 6), ROW(fmax, 2, NULL, -3, 3, 0, 0),
    ROW(fmin, 2, NULL, -3, 3, 0, 0), ROW(copysign, 2, NULL, -3, 3, 0, 0),
    ROW(prelu, 2, NULL, -3, 3, 0, 1), ROW(bce_logits, 2, NULL, -9, 9, 12, 12),
    ROW(eq, 2, NULL, -3, 3, 0, NONE), ROW(ne, 2, NULL, -3, 3, 0, NONE),
    ROW(gt, 2, NULL, -3, 3, 0, NONE), ROW(ge, 2, NULL, -3, 3, 0, NONE), ROW(lt, 2, NULL, -3, 3, 0, NONE),
    ROW(le, 2, NULL, -3, 3, 0, NONE), ROW(logical_and, 2, NULL, -3, 3, 0, NONE), ROW(logical_or, 2, NULL, -3, 3, 0, NONE),
    ROW(logical_xor, 2, NULL, -3, 3, 0, NONE), ROW(isclose, 2, NULL, -3, 3, 0, NONE),
    ROW(where, 3, NULL, -3, 3, 0, 1), ROW(lerp, 3, NULL, -3, 3, 3, 3),
    ROW(addcmul, 3, NULL, -3, 3, 2, 2),
    ROW(mse, 2, NULL, -3, 3, 2, 2), ROW(l1, 2, NULL, -3, 3, 0, 1),
    ROW(bce, 2, NULL, 0, 1, 8, 8), ROW(soft_margin, 2, NULL, -3, 3, 6, 8),
    ROW(huber, 2, NULL, -3, 3, 2, 2), ROW(smooth_l1, 2, NULL, -3, 3, 2, 2),
    ROW(kl_div, 2, NULL, -3, 3, 8, 8), ROW(hinge, 2, NULL, -3, 3, 2, 1),
    ROW(hinge_embedding, 2, NULL, -3, 3, 1, 1), ROW(mean_of_squares, 2, NULL, -3, 3, 4, 2),
};

typedef struct {
    const elementwise *row;
    ad_graph *g;
    array in[OPERANDS], seed;
} trial;

/* Overwrites the memory of the previous run, so that its results cannot pass for those of the next run. */
static void overwrite_buffers(const trial *t) {
    ad_mark m = ad_begin(t->g);
    ad_full(t->g, t->in[0].t, 12345, AD_SHAPE(16 * t->in[0].n + 1024));
    ad_end(t->g, m);
}

/* Evaluates at level forward and differentiates at level backward. y and dx receive copies of the results. */
static void run(trial *t, int forward, int backward, array *y, array dx[]) {
    overwrite_buffers(t);
    ad_mark m = ad_begin(t->g);
    ad_var *in[OPERANDS] = { NULL };
    for (int i = 0; i < t->row->arity; i++)
        in[i] = ad_require_grad(ad_input(t->g, t->in[i].t, t->in[i].at, AD_SHAPE(t->in[i].n)));
    level = forward;
    ad_var *out = t->row->f(in);
    assert_ok(t->g);
    for (int64_t i = 0; i < ad_numel(out); i++) put(y, i, ad_at(out, i));
    level = backward;
    if (t->row->gradient_ulps == NONE) {
        ad_end(t->g, m);
        return;
    }
    ad_var *seed = ad_input(t->g, t->seed.t, t->seed.at, ad_shape_of(out));
    ad_backward_from(out, seed);
    assert_ok(t->g);
    for (int i = 0; i < t->row->arity; i++)
        for (int64_t j = 0; j < t->in[i].n; j++) put(&dx[i], j, ad_grad_at(in[i], j));
    ad_end(t->g, m);
}

/* The largest operand of element i, which is the scale of the error under cancellation. 0 for one operand. */
static double largest(const trial *t, int64_t i) {
    double most = 0;
    for (int k = 0; k < t->row->arity && t->row->arity > 1; k++)
        if (isfinite(get(&t->in[k], i))) most = fmax(most, fabs(get(&t->in[k], i)));
    return most;
}

static void compare(trial *t, array *plain, array *plain_dx, array *wide, array *wide_dx) {
    const elementwise *row = t->row;
    int best = best_level();
    int64_t n = t->in[0].n, results = row->f == mean_of_squares_of && n > 0 ? 1 : n;
    run(t, 0, 0, plain, plain_dx);
    for (int64_t i = 0; i < n && row->exact != NULL; i++)
        assert_near(row->name, plain, i, rounded(plain->t, row->exact((long double)get(&t->in[0], i))), 0, row->value_ulps + 1);
    for (int l = 1; l <= best; l++) {
        run(t, l, 0, wide, wide_dx);
        level = l; /* for the message of assert_near */
        for (int64_t i = 0; i < results; i++)
            assert_near(row->name, wide, i, get(plain, i), row->value_ulps > 0 ? largest(t, i) : 0, row->value_ulps);
        run(t, 0, l, wide, wide_dx);
        for (int k = 0; k < row->arity; k++)
            for (int64_t i = 0; i < n; i++)
                assert_near(row->name, &wide_dx[k], i, get(&plain_dx[k], i),
                            fmax(fabs(get(&t->seed, results == n ? i : 0)), largest(t, i)), row->gradient_ulps);
    }
}

static void try_size(ad_graph *g, const elementwise *row, ad_dtype dtype, int64_t n) {
    trial t = { .row = row, .g = g };
    array plain = array_of(dtype, n + 1, 0), wide = array_of(dtype, n + 1, 0), plain_dx[OPERANDS], wide_dx[OPERANDS];
    for (int k = 0; k < OPERANDS; k++) {
        t.in[k] = array_of(dtype, n, (n + 5 * k) % 16);
        fill(&t.in[k], row->lo, row->hi);
        if (row->f != mean_of_squares_of && row->f != bce_of) insert_special_values(&t.in[k]);
        plain_dx[k] = array_of(dtype, n, 0), wide_dx[k] = array_of(dtype, n, 0);
    }
    t.seed = array_of(dtype, n + 1, (n + 3) % 16);
    fill(&t.seed, -1, 1);
    compare(&t, &plain, plain_dx, &wide, wide_dx);
    for (int k = 0; k < OPERANDS; k++) free(t.in[k].memory), free(plain_dx[k].memory), free(wide_dx[k].memory);
    free(plain.memory), free(wide.memory), free(t.seed.memory);
}

static void elementwise_loops_agree_at_all_levels(void **state) {
    (void)state;
    for (size_t r = 0; r < sizeof table / sizeof *table; r++)
        for (int t = 0; t < 2; t++) {
            ad_graph *g = ad_graph_new();
            EACH_SIZE(n) try_size(g, &table[r], (ad_dtype)t, n);
            ad_graph_free(g);
        }
}

/* ---- sums, add, axpy, scale ---------------------------------------------------------------------------------- */

/* The terms are exact. A sum in lanes loses at most one rounding per addition of its longest lane. */
static void check_sum(const array *x) {
    long double sum = 0, sizes = 0;
    for (int64_t i = 0; i < x->n; i++) sum += (long double)get(x, i), sizes += fabsl((long double)get(x, i));
    double ours = x->t == AD_F32 ? ad__array_sum_f32(x->n, x->at) : ad__array_sum_f64(x->n, x->at);
    if (is_near(AD_F64, ours, (double)sum, (double)sizes, 2 + (double)x->n / 32)) return;
    fail_msg("sum of %lld elements: %.17g is not %.17Lg", (long long)x->n, ours, sum);
}

static void sums_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            array x = array_of((ad_dtype)t, n, n % 16);
            fill(&x, -1, 1);
            check_sum(&x);
            for (int64_t i = 0; i < n; i += 1 + n / 9) {
                double kept = get(&x, i);
                put(&x, i, i % 2 ? INFINITY : NAN);
                check_sum(&x);
                put(&x, i, kept);
            }
            free(x.memory);
        }
}

/* y += x, y += k x, y = k x. Multiply and add round once with FMA and twice without. */
static void add_axpy_and_scale_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            array x = array_of((ad_dtype)t, n, n % 16), y = array_of((ad_dtype)t, n, (n + 7) % 16);
            array old = array_of((ad_dtype)t, n, 0);
            const double k = 0.75; /* k x is nearly exact */
            for (int what = 0; what < 3; what++) {
                fill(&x, -1, 1), fill(&y, -1, 1);
                insert_special_values(&x), insert_special_values(&y);
                memcpy(old.at, y.at, (size_t)n * ad_dtype_size(old.t));
                if (t == AD_F32 && what == 0) ad__array_add_f32(n, x.at, y.at);
                if (t == AD_F64 && what == 0) ad__array_add_f64(n, x.at, y.at);
                if (t == AD_F32 && what == 1) ad__axpy_f32(n, (float)k, x.at, y.at);
                if (t == AD_F64 && what == 1) ad__axpy_f64(n, k, x.at, y.at);
                if (t == AD_F32 && what == 2) ad__scaled_f32(n, (float)k, x.at, y.at);
                if (t == AD_F64 && what == 2) ad__scaled_f64(n, k, x.at, y.at);
                for (int64_t i = 0; i < n; i++) {
                    long double term = (what == 0 ? 1 : k) * (long double)get(&x, i);
                    long double sum = what == 2 ? term : (long double)get(&old, i) + term;
                    assert_near("add, axpy or scaled", &y, i, rounded(y.t, sum), (double)term, 1);
                }
            }
            free(x.memory), free(y.memory), free(old.memory);
        }
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* exp(x - m) in long double. */
static long double term_of(const array *x, int64_t i, double m) { return expl((long double)get(x, i) - (long double)m); }

static double largest_of(const array *x) {
    double m = -INFINITY;
    for (int64_t i = 0; i < x->n; i++) m = get(x, i) > m ? get(x, i) : m;
    return m;
}

/* The difference d = x - m is rounded before exp, which contributes |d| ulp. exp adds 4 ulp, the sum adds more. */
static void check_softmax(const array *x, array *y) {
    double m = largest_of(x);
    long double sum = 0;
    for (int64_t i = 0; i < x->n; i++) sum += term_of(x, i, m);
    if (x->t == AD_F32) ad__row_softmax_f32(x->n, x->at, y->at);
    else ad__row_softmax_f64(x->n, x->at, y->at);
    for (int64_t i = 0; i < x->n; i++) {
        double away = isfinite(get(x, i)) ? fabs(get(x, i) - m) : 0, ulps = 8 + away + (double)x->n / 32;
        assert_near("softmax", y, i, rounded(y->t, term_of(x, i, m) / sum), 0, ulps);
    }
    if (x->t == AD_F32) ad__row_log_softmax_f32(x->n, x->at, y->at);
    else ad__row_log_softmax_f64(x->n, x->at, y->at);
    for (int64_t i = 0; i < x->n && !isnan((double)sum); i++)
        assert_near("log_softmax", y, i, rounded(y->t, (long double)get(x, i) - (long double)m - logl(sum)), 1,
                    8 + (double)x->n / 32);
}

static void check_logsumexp(const array *x) {
    double m = largest_of(x);
    long double sum = 0;
    for (int64_t i = 0; i < x->n; i++) sum += term_of(x, i, isfinite(m) ? m : 0);
    ad__lse l = x->t == AD_F32 ? ad__lse_f32(x->n, x->at) : ad__lse_f64(x->n, x->at);
    double ours = l.m + log(l.s), ulps = 8 + (double)x->n / 32;
    if (m == INFINITY) assert_true(l.m == INFINITY && isnan(l.s));
    else if (!is_near(x->t, ours, (double)((isfinite(m) ? (long double)m : 0) + logl(sum)), 1, ulps))
        fail_msg("logsumexp of %lld elements: %.17g", (long long)x->n, ours);
}

static void softmax_and_logsumexp_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            if (n == 0) continue;
            array x = array_of((ad_dtype)t, n, n % 16), y = array_of((ad_dtype)t, n, (n + 5) % 16);
            fill(&x, -20, 20);
            check_softmax(&x, &y), check_logsumexp(&x);
            const double special[] = { -INFINITY, -1e30, -0.0, 1e30, NAN, INFINITY };
            for (int i = 0; i < 6; i++) {
                int64_t at = (n * (i + 1) / 7) % n;
                double kept = get(&x, at);
                put(&x, at, special[i]);
                check_logsumexp(&x);
                if (special[i] != INFINITY) check_softmax(&x, &y);
                put(&x, at, kept);
            }
            free(x.memory), free(y.memory);
        }
}

/* One row: cross-entropy is the sum of q (m + log s - x) over q != 0. The margin loss sums max(0, 0.5 - x_y + x_i). */
static void row_losses_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            if (n == 0) continue;
            array x = array_of((ad_dtype)t, n, n % 16), q = array_of((ad_dtype)t, n, (n + 5) % 16);
            fill(&x, -20, 20), fill(&q, 0, 1);
            int64_t y = n / 3, out = n / 2;
            ad__lse l = { 20, 1 + (double)n };
            long double loss = 0, terms = 50, lack = 0, squares = 0; /* terms: of loss, without their signs */
            put(&q, out, 0);
            for (int64_t i = 0; i < n; i++) {
                long double over = 0.5L - (long double)get(&x, y) + (long double)get(&x, i);
                long double term = (long double)get(&q, i) * (20 - (long double)get(&x, i) + logl((long double)l.s));
                loss += term, terms += fabsl(term);
                if (i != y && over > 0) lack += over, squares += over * over;
            }
            double lead = AD__BY_DTYPE(t, ad__margin_loss, n, y, 0.5, false, x.at);
            double squared = AD__BY_DTYPE(t, ad__margin_loss, n, y, 0.5, true, x.at);
            put(&x, out, -INFINITY);
            double ours = AD__BY_DTYPE(t, ad__target_loss, n, l, x.at, q.at), ulps = 8 + (double)n / 32;
            if (!is_near(AD_F64, ours, (double)loss, (double)terms, ulps) || !is_near(AD_F64, lead, (double)lack, 50, ulps) ||
                !is_near(AD_F64, squared, (double)squares, 50, ulps))
                fail_msg("losses of a row of %lld: %.17g, margin %.17g, squared margin %.17g", (long long)n, ours, lead,
                         squared);
            free(x.memory), free(q.memory);
        }
}

/* softmax: base + y (g - sum(g y)). log_softmax: base + g - exp(y) sum(g). */
static void softmax_gradients_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            array y = array_of((ad_dtype)t, n, n % 16), g = array_of((ad_dtype)t, n, (n + 3) % 16);
            array base = array_of((ad_dtype)t, n, (n + 9) % 16), to = array_of((ad_dtype)t, n, 0);
            fill(&y, 0, 1), fill(&g, -1, 1), fill(&base, -1, 1);
            long double dot = 0, sum = 0, sizes = 0;
            for (int64_t i = 0; i < n; i++) {
                dot += (long double)get(&g, i) * (long double)get(&y, i), sum += (long double)get(&g, i);
                sizes += fabsl((long double)get(&g, i));
            }
            double ulps = 8 + (double)n / 32, scale = 2 + (double)sizes;
            if (t == AD_F32) ad__row_softmax_back_f32(n, y.at, g.at, base.at, to.at);
            else ad__row_softmax_back_f64(n, y.at, g.at, base.at, to.at);
            for (int64_t i = 0; i < n; i++)
                assert_near("gradient of softmax", &to, i,
                            (double)((long double)get(&base, i) + (long double)get(&y, i) * ((long double)get(&g, i) - dot)),
                            scale, ulps);
            if (t == AD_F32) ad__row_log_softmax_back_f32(n, y.at, g.at, base.at, to.at);
            else ad__row_log_softmax_back_f64(n, y.at, g.at, base.at, to.at);
            for (int64_t i = 0; i < n; i++)
                assert_near("gradient of log_softmax", &to, i,
                            (double)((long double)get(&base, i) + (long double)get(&g, i) - expl((long double)get(&y, i)) * sum),
                            3 * scale, ulps);
            free(y.memory), free(g.memory), free(base.memory), free(to.memory);
        }
}

/* Differences and their sums are in f64. The normalized row is rounded to its dtype. */
static void row_normalization_against_long_double(void **state) {
    (void)state;
    const ad__moments m = { 0.3, 1.7 };
    for (int t = 0; t < 2; t++)
        EACH_SIZE(n) {
            array x = array_of((ad_dtype)t, n, n % 16), w = array_of((ad_dtype)t, n, (n + 3) % 16);
            array b = array_of((ad_dtype)t, n, (n + 6) % 16), y = array_of((ad_dtype)t, n, (n + 9) % 16);
            fill(&x, -2, 2), fill(&w, -2, 2), fill(&b, -2, 2);
            long double squares = 0, products = 0, sizes = 0;
            for (int64_t i = 0; i < n; i++) {
                long double d = (long double)get(&x, i) - 0.3L, g = (long double)get(&w, i);
                squares += d * d, products += d * g, sizes += fabsl(d * g);
            }
            double q = t == AD_F32 ? ad__squares_about_f32(n, 0.3, x.at) : ad__squares_about_f64(n, 0.3, x.at);
            double c = t == AD_F32 ? ad__covariance_f32(n, 0.3, x.at, w.at) : ad__covariance_f64(n, 0.3, x.at, w.at);
            assert_true(is_near(AD_F64, q, (double)squares, 0, 4 + (double)n / 16));
            assert_true(is_near(AD_F64, c, (double)products, (double)sizes, 4 + (double)n / 16));
            insert_special_values(&x);
            for (int given = 0; given < 4; given++) {
                void *weight = given & 1 ? w.at : NULL, *shift = given & 2 ? b.at : NULL;
                if (t == AD_F32) ad__normalize_f32(n, m, x.at, weight, shift, y.at);
                else ad__normalize_f64(n, m, x.at, weight, shift, y.at);
                for (int64_t i = 0; i < n; i++) {
                    long double z = ((long double)get(&x, i) - (long double)m.mean) * (long double)m.scale;
                    if (isinf(rounded(y.t, z))) z = (long double)rounded(y.t, z); /* it overflows before w */
                    long double scaled = weight ? z * (long double)get(&w, i) : z;
                    if (isinf(rounded(y.t, scaled))) scaled = (long double)rounded(y.t, scaled);
                    long double r = shift ? scaled + (long double)get(&b, i) : scaled;
                    assert_near("normalize", &y, i, rounded(y.t, r), 8, 3);
                }
            }
            free(x.memory), free(w.memory), free(b.memory), free(y.memory);
        }
}

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

typedef void gemm_f32(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const float *a, const float *b, float beta, float *c);
typedef void gemm_f64(bool ta, bool tb, int64_t n, int64_t m, int64_t k, const double *a, const double *b, double beta,
                      double *c);
static const struct {
    const char *name;
    gemm_f32 *f32;
    gemm_f64 *f64;
} products[] = {
    { "gemm_plain", ad__gemm_plain_f32, ad__gemm_plain_f64 },
    { "gemm_tiles", ad__gemm_tiles_f32, ad__gemm_tiles_f64 },
    { "gemm_wide", ad__gemm_wide_f32, ad__gemm_wide_f64 },
    { "gemm", ad__gemm_f32, ad__gemm_f64 },
    { "gemm_few", ad__gemm_few_f32, ad__gemm_few_f64 }, /* the last one: see gemm.h */
};

/* The tolerance is one ulp of the sum of |terms| for each term. With beta 0, C starts as NaN: it must not be read. */
static void check_product(int which, const array *a, const array *b, bool ta, bool tb, int64_t n, int64_t m, int64_t k,
                          double beta) {
    array c = array_of(a->t, n * m, (n + m) % 16), old = array_of(a->t, n * m, 0);
    fill(&old, -1, 1);
    for (int64_t i = 0; i < n * m; i++) put(&c, i, beta == 0 ? NAN : get(&old, i));
    if (a->t == AD_F32) products[which].f32(ta, tb, n, m, k, a->at, b->at, (float)beta, c.at);
    else products[which].f64(ta, tb, n, m, k, a->at, b->at, beta, c.at);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            long double sum = (long double)beta * (long double)get(&old, i * m + j), sizes = fabsl(sum);
            for (int64_t p = 0; p < k; p++) {
                long double term = (long double)get(a, ta ? p * n + i : i * k + p) *
                                   (long double)get(b, tb ? j * k + p : p * m + j);
                sum += term, sizes += fabsl(term);
            }
            assert_near(products[which].name, &c, i * m + j, (double)sum, (double)sizes, 2 + (double)k);
        }
    free(c.memory), free(old.memory);
}

static void gemm_against_long_double(void **state) {
    (void)state;
    static const int64_t sizes[] = { 0, 1, 2, 3, 4, 7, 8, 9, 16, 17, 33, 300 };
    const double betas[] = { 0, 1, 0.5 };
    int step = test_quick() ? 7 : 1, turn = 0;
    level = best_level();
    for (int t = 0; t < 2; t++)
        for (int s = 0; s < 12 * 12 * 12; s += step) {
            int64_t n = sizes[s / 144], m = sizes[s / 12 % 12], k = sizes[s % 12];
            if (n * m * k > 40000 && n + m != 17 + 33) continue;
            array a = array_of((ad_dtype)t, n * k, n % 16), b = array_of((ad_dtype)t, k * m, m % 16);
            fill(&a, -1, 1), fill(&b, -1, 1);
            for (int which = 0; which < (n * m == 0 || n * m * k > 64 ? 4 : 5); which++)
                for (int transposed = 0; transposed < 4; transposed++)
                    check_product(which, &a, &b, transposed & 1, transposed & 2, n, m, k, betas[turn++ % 3]);
            free(a.memory), free(b.memory);
        }
}

static void transposes_against_plain_indexing(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int64_t n = 0; n < 70; n += 1 + n / 8)
            for (int64_t m = 0; m < 70; m += 1 + m / 5) {
                array x = array_of((ad_dtype)t, n * m, n % 16), y = array_of((ad_dtype)t, n * m, m % 16);
                fill(&x, -1, 1), fill(&y, -1, 1);
                array old = array_of((ad_dtype)t, n * m, 0);
                memcpy(old.at, y.at, (size_t)(n * m) * ad_dtype_size(old.t));
                const ad__copy_plan p = { 2, { m, n }, { 1, m }, { n, 1 } };
                ad__copy_add(&p, y.t, x.at, 0, y.at, 0);
                for (int64_t i = 0; i < n * m; i++)
                    assert_near("transpose_add", &y, i,
                                rounded(y.t, (long double)get(&old, i) + (long double)get(&x, i % n * m + i / n)), 0, 0);
                ad__copy(&p, y.t, x.at, 0, y.at, 0);
                for (int64_t i = 0; i < n * m; i++)
                    assert_near("transpose", &y, i, get(&x, i % n * m + i / n), 0, 0);
                free(x.memory), free(y.memory), free(old.memory);
            }
}

/* ---- scans --------------------------------------------------------------------------------------------------------- */

/* The running value is in f64. f32 results have one visible rounding, f64 results one for each element. */
static void cumsum_and_cumprod_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int64_t n = 0; n < 130; n += test_quick() ? 13 : 1)
            for (int64_t inner = 1; inner < 40; inner = 3 * inner + 1) {
                array x = array_of((ad_dtype)t, n * inner, n % 16), y = array_of((ad_dtype)t, n * inner, (n + 3) % 16);
                array old = array_of((ad_dtype)t, n * inner, 0);
                double carry[40];
                fill(&x, 0.5, 1.5), fill(&y, -1, 1);
                memcpy(old.at, y.at, (size_t)(n * inner) * ad_dtype_size(old.t));
                if (t == AD_F32) ad__axis_cumsum_add_f32(n, inner, true, x.at, carry, y.at);
                else ad__axis_cumsum_add_f64(n, inner, true, x.at, carry, y.at);
                double ulps = t == AD_F32 ? 1 : 1 + (double)n;
                for (int64_t j = 0; j < inner; j++) {
                    long double sum = 0;
                    for (int64_t i = n - 1; i >= 0; i--) {
                        sum += (long double)get(&x, i * inner + j);
                        assert_near("cumsum_add", &y, i * inner + j,
                                    rounded(y.t, (long double)get(&old, i * inner + j) + sum), (double)sum, ulps);
                    }
                }
                if (t == AD_F32) ad__axis_cumprod_f32(n, inner, x.at, carry, y.at);
                else ad__axis_cumprod_f64(n, inner, x.at, carry, y.at);
                for (int64_t j = 0; j < inner; j++) {
                    long double product = 1;
                    for (int64_t i = 0; i < n; i++) {
                        product *= (long double)get(&x, i * inner + j);
                        assert_near("cumprod", &y, i * inner + j, rounded(y.t, product), 0, ulps);
                    }
                }
                free(x.memory), free(y.memory), free(old.memory);
            }
}

/* ---- windows of images ------------------------------------------------------------------------------------------- */

/* The index in the image of element e of the columns. -1: the padding. */
static int64_t source_of(const ad__window_of *w, int64_t e) {
    int64_t places = w->out[0] * w->out[1], row = e / places, place = e % places;
    int64_t kj = row % w->kernel[1], ki = row / w->kernel[1] % w->kernel[0], c = row / (w->kernel[0] * w->kernel[1]);
    int64_t i = place / w->out[1] * w->stride[0] - w->padding[0] + ki * w->dilation[0];
    int64_t j = place % w->out[1] * w->stride[1] - w->padding[1] + kj * w->dilation[1];
    bool inside = i >= 0 && i < w->in[0] && j >= 0 && j < w->in[1];
    return inside ? (c * w->in[0] + i) * w->in[1] + j : -1;
}

static void check_window(ad_dtype t, const ad__window_of *w) {
    int64_t n = w->c * w->in[0] * w->in[1], m = w->c * w->kernel[0] * w->kernel[1] * w->out[0] * w->out[1];
    array image = array_of(t, n, m % 16), columns = array_of(t, m, n % 16), sums = array_of(AD_F64, n, 0);
    fill(&image, -1, 1), fill(&columns, -1, 1);
    if (t == AD_F32) ad__image_im2col_f32(w, image.at, columns.at);
    else ad__image_im2col_f64(w, image.at, columns.at);
    for (int64_t e = 0; e < m; e++)
        assert_near("im2col", &columns, e, source_of(w, e) < 0 ? 0 : get(&image, source_of(w, e)), 0, 0);
    fill(&columns, -1, 1);
    for (int64_t i = 0; i < n; i++) put(&sums, i, get(&image, i));
    for (int64_t e = 0; e < m; e++)
        if (source_of(w, e) >= 0) put(&sums, source_of(w, e), get(&sums, source_of(w, e)) + get(&columns, e));
    if (t == AD_F32) ad__image_col2im_add_f32(w, columns.at, image.at);
    else ad__image_col2im_add_f64(w, columns.at, image.at);
    for (int64_t i = 0; i < n; i++)
        assert_near("col2im", &image, i, get(&sums, i), (double)(w->kernel[0] * w->kernel[1]), 8);
    free(image.memory), free(columns.memory), free(sums.memory);
}

static void im2col_and_col2im_against_plain_indexing(void **state) {
    (void)state;
    for (int s = 0; s < (test_quick() ? 100 : 1500); s++) {
        ad__window_of w = { .c = 1 + s % 3 };
        for (int a = 0; a < 2; a++) {
            w.in[a] = 1 + (int)uniform(0, 20), w.kernel[a] = 1 + (int)uniform(0, 5), w.stride[a] = 1 + (int)uniform(0, 3);
            w.padding[a] = (int)uniform(0, 4), w.dilation[a] = 1 + (int)uniform(0, 3);
            w.out[a] = ad__window_places(w.in[a], w.kernel[a], w.stride[a], w.padding[a], w.dilation[a]);
        }
        if (w.out[0] < 1 || w.out[1] < 1) continue;
        check_window(AD_F32, &w), check_window(AD_F64, &w);
    }
}

/* ---- updates of optimisers ------------------------------------------------------------------------------------------ */

typedef long double real;
typedef struct {
    real x, state[NN__RULE_STATES];
} element;

static const nn__sgd_numbers sgd = { .lr = 0.1, .decay = 0.01, .momentum = 0.9, .undamped = 0.8,
                                     .of_gradient = 0.3, .of_buffer = 0.7 };
static const nn__adam_numbers adam = { 0.1, 0.02, 0.01, 0.99, 0.9, 0.95, 1.1, 1e-3 };
static const nn__rmsprop_numbers rmsprop = { 0.1, 0.01, 0.9, 0.8, 1e-3 };
static const nn__adagrad_numbers adagrad = { 0.1, 0.01, 1e-3 };
static const nn__adadelta_numbers adadelta = { 0.1, 0.01, 0.9, 1e-3 };
static const nn__adamax_numbers adamax = { 0.1, 0.01, 0.9, 0.95, 1e-3 };
static const nn__lion_numbers lion = { 0.1, 0.99, 0.9, 0.95 };

/* The rules of update.h for one element, in long double. n is the number of states in use. */
static void sgd_reference(element *e, real dx, int n) {
    real d = dx + (real)sgd.decay * e->x;
    if (n > 0) e->state[0] = (real)sgd.momentum * e->state[0] + (real)sgd.undamped * d;
    e->x -= (real)sgd.lr * (n > 0 ? (real)sgd.of_gradient * d + (real)sgd.of_buffer * e->state[0] : d);
}
static real mean(real old, double beta, real now) { return (real)beta * old + (1 - (real)beta) * now; }
static void adam_reference(element *e, real dx, int n) {
    real d = dx + (real)adam.decay * e->x, v = e->state[1] = mean(e->state[1], adam.beta2, d * d);
    e->state[0] = mean(e->state[0], adam.beta1, d);
    if (n > 2) v = e->state[2] = fmaxl(e->state[2], v);
    e->x = (real)adam.shrink * e->x -
           ((real)adam.lr * e->state[0] + (real)adam.lr_gradient * d) /
               (sqrtl(v) * (real)adam.correction + (real)adam.eps);
}
static void rmsprop_reference(element *e, real dx, int n) {
    real d = dx + (real)rmsprop.decay * e->x, spread = e->state[0] = mean(e->state[0], rmsprop.alpha, d * d);
    if (n > 1) e->state[1] = mean(e->state[1], rmsprop.alpha, d), spread -= e->state[1] * e->state[1];
    real u = d / (sqrtl(spread < 0 ? 0 : spread) + (real)rmsprop.eps);
    if (n > 2) u = e->state[2] = (real)rmsprop.momentum * e->state[2] + u;
    e->x -= (real)rmsprop.lr * u;
}
static void adagrad_reference(element *e, real dx, int n) {
    real d = dx + (real)adagrad.decay * e->x;
    (void)n;
    e->state[0] += d * d;
    e->x -= (real)adagrad.lr * d / (sqrtl(e->state[0]) + (real)adagrad.eps);
}
static void adadelta_reference(element *e, real dx, int n) {
    real d = dx + (real)adadelta.decay * e->x;
    (void)n;
    e->state[0] = mean(e->state[0], adadelta.rho, d * d);
    real u = d * sqrtl(e->state[1] + (real)adadelta.eps) / sqrtl(e->state[0] + (real)adadelta.eps);
    e->state[1] = mean(e->state[1], adadelta.rho, u * u);
    e->x -= (real)adadelta.lr * u;
}
static void adamax_reference(element *e, real dx, int n) {
    real d = dx + (real)adamax.decay * e->x;
    (void)n;
    e->state[0] = mean(e->state[0], adamax.beta1, d);
    e->state[1] = fmaxl((real)adamax.beta2 * e->state[1], fabsl(d) + (real)adamax.eps);
    e->x -= (real)adamax.lr * e->state[0] / e->state[1];
}
static void lion_reference(element *e, real dx, int n) {
    real u = mean(e->state[0], lion.beta1, dx);
    (void)n;
    e->state[0] = mean(e->state[0], lion.beta2, dx);
    e->x = (real)lion.shrink * e->x - (real)lion.lr * (u > 0 ? 1 : u < 0 ? -1 : u);
}

static const struct {
    const char *name;
    const nn__rule *rule;
    const void *numbers;
    void (*update_element)(element *e, real dx, int n);
    int states;
} rules[] = {
    { "sgd", &nn__rule_sgd, &sgd, sgd_reference, 0 },
    { "sgd with momentum", &nn__rule_sgd, &sgd, sgd_reference, 1 },
    { "adam", &nn__rule_adam, &adam, adam_reference, 2 },
    { "amsgrad", &nn__rule_adam, &adam, adam_reference, 3 },
    { "rmsprop", &nn__rule_rmsprop, &rmsprop, rmsprop_reference, 1 },
    { "centred rmsprop", &nn__rule_rmsprop, &rmsprop, rmsprop_reference, 2 },
    { "rmsprop with momentum", &nn__rule_rmsprop, &rmsprop, rmsprop_reference, 3 },
    { "adagrad", &nn__rule_adagrad, &adagrad, adagrad_reference, 1 },
    { "adadelta", &nn__rule_adadelta, &adadelta, adadelta_reference, 2 },
    { "adamax", &nn__rule_adamax, &adamax, adamax_reference, 2 },
    { "lion", &nn__rule_lion, &lion, lion_reference, 1 },
};

/* A rule makes about 12 roundings of numbers that are at most a few times x, the gradient and the states. */
static void check_rule(int r, ad_dtype t, int64_t n) {
    array dx = array_of(t, n, n % 16), x = array_of(t, n, (n + 3) % 16), s[NN__RULE_STATES];
    element *e = calloc((size_t)n + 1, sizeof *e);
    assert_non_null(e);
    void *state[NN__RULE_STATES] = { NULL };
    fill(&dx, -1, 1), fill(&x, -1, 1);
    for (int k = 0; k < NN__RULE_STATES; k++) {
        s[k] = array_of(t, n, (n + 5 * k) % 16);
        fill(&s[k], k == 0 ? 1 : 0.25, k == 0 ? 1.5 : 0.75); /* the mean of squares exceeds the square of the mean */
        if (k < rules[r].states) state[k] = s[k].at;
    }
    if (n > 2) put(&dx, n / 2, NAN);
    for (int64_t i = 0; i < n; i++) {
        e[i].x = (real)get(&x, i);
        for (int k = 0; k < NN__RULE_STATES; k++) e[i].state[k] = (real)get(&s[k], i);
        rules[r].update_element(&e[i], (real)get(&dx, i), rules[r].states);
    }
    rules[r].rule->run[t](n, rules[r].numbers, dx.at, state, x.at);
    for (int64_t i = 0; i < n; i++) {
        if (n > 2 && i == n / 2) {
            assert_true(isnan(get(&x, i)));
            continue;
        }
        assert_near(rules[r].name, &x, i, (double)e[i].x, 1, 16);
        for (int k = 0; k < rules[r].states; k++) assert_near(rules[r].name, &s[k], i, (double)e[i].state[k], 1, 16);
    }
    for (int k = 0; k < NN__RULE_STATES; k++) free(s[k].memory);
    free(dx.memory), free(x.memory), free(e);
}

static void optimiser_updates_against_long_double(void **state) {
    (void)state;
    for (int r = 0; r < (int)(sizeof rules / sizeof *rules); r++)
        for (int t = 0; t < 2; t++) EACH_SIZE(n) check_rule(r, (ad_dtype)t, n);
}

/* Sums and updates of one array, against loops in long double. */
static void check_vector(ad_dtype t, int64_t n) {
    array x = array_of(t, n, n % 16), y = array_of(AD_F64, n, (n + 3) % 16), z = array_of(AD_F64, n, (n + 5) % 16);
    fill(&x, -2, 2), fill(&y, -2, 2);
    real squares = 0, dot = 0, sizes = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        real a = (real)get(&x, i), b = (real)get(&y, i);
        squares += a * a, dot += a * b, sizes += fabsl(b), largest = fmaxl(largest, fabsl(b));
    }
    assert_close(nn__array_sum_squares(t, n, x.at), (double)squares, 1e-13);
    nn__array_to_f64(t, n, x.at, z.at);
    assert_close(nn__array_dot(n, z.at, y.at), (double)dot, 1e-12);
    assert_close(nn__array_sum_abs(n, y.at), (double)sizes, 1e-13);
    assert_true(nn__array_max_abs(n, y.at) == (double)largest);
    array w = array_of(AD_F64, n, (n + 7) % 16);
    for (int64_t i = 0; i < n; i++) put(&w, i, get(&y, i));
    nn__array_axpy(n, 0.5, z.at, y.at);
    for (int64_t i = 0; i < n; i++) assert_close(get(&y, i), get(&w, i) + 0.5 * get(&z, i), 1e-15);
    nn__array_scale(t, n, -0.5, x.at); /* exact */
    for (int64_t i = 0; i < n; i++) assert_true(get(&x, i) == -0.5 * get(&z, i));
    nn__array_from_f64(t, n, z.at, x.at);
    for (int64_t i = 0; i < n; i++) assert_true(get(&x, i) == get(&z, i));
    array mean = array_of(t, n, (n + 9) % 16);
    fill(&mean, -2, 2);
    for (int64_t i = 0; i < n; i++) put(&w, i, get(&mean, i));
    nn__array_average(t, n, 0.125, x.at, mean.at);
    for (int64_t i = 0; i < n; i++)
        assert_close(get(&mean, i), 0.875 * get(&w, i) + 0.125 * get(&x, i), t == AD_F32 ? 1e-6 : 1e-15);
    free(mean.memory);
    if (n > 2) put(&x, n / 2, NAN);
    nn__array_limit(t, n, 0.75, x.at);
    for (int64_t i = 0; i < n; i++)
        if (n > 2 && i == n / 2) assert_true(isnan(get(&x, i)));
        else assert_true(get(&x, i) == fmax(fmin(get(&z, i), 0.75), -0.75));
    free(x.memory), free(y.memory), free(z.memory), free(w.memory);
}

static void vector_kernels_against_long_double(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) EACH_SIZE(n) check_vector((ad_dtype)t, n);
}

/* ---- exp and tanh without a vector library -------------------------------------------------------------------- */

/* The distance of y from the true value in ulp of that value; 0 where both are infinite. */
static double ulp_apart(float y, long double is) {
    float rounded = (float)is;
    if (isinf(rounded)) return y == rounded ? 0 : INFINITY;
    return (double)fabsl(y - is) / (nextafterf(fabsf(rounded), INFINITY) - fabsf(rounded));
}

/* Over all magnitudes, of both signs: every 997th float. */
static void plain_exp_and_tanh_against_long_double(void **state) {
    (void)state;
    const uint32_t sign = 0x80000000u, infinity = ad__bits_of_float(INFINITY);
    for (uint32_t bits = 0; bits < infinity; bits += test_quick() ? 99991 : 997)
        for (int negative = 0; negative < 2; negative++) {
            float x = ad__float_of_bits(negative ? bits | sign : bits);
            assert_true(ulp_apart(ad__plain_expf(x), expl(x)) <= 2);
            assert_true(ulp_apart(ad__plain_tanhf(x), tanhl(x)) <= 2);
        }
    assert_true(ad__plain_expf(INFINITY) == INFINITY && ad__plain_expf(-INFINITY) == 0 && ad__plain_expf(0) == 1);
    assert_true(isnan(ad__plain_expf(NAN)) && isnan(ad__plain_tanhf(NAN)));
    assert_true(ad__plain_tanhf(INFINITY) == 1 && ad__plain_tanhf(-INFINITY) == -1);
    assert_true(signbit(ad__plain_tanhf(-0.0f)) && !signbit(ad__plain_tanhf(0)));
}

int main(void) {
    level = best_level();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_loops_agree_at_all_levels),
        cmocka_unit_test(sums_against_long_double),
        cmocka_unit_test(add_axpy_and_scale_against_long_double),
        cmocka_unit_test(softmax_and_logsumexp_against_long_double),
        cmocka_unit_test(row_losses_against_long_double),
        cmocka_unit_test(softmax_gradients_against_long_double),
        cmocka_unit_test(row_normalization_against_long_double),
        cmocka_unit_test(gemm_against_long_double),
        cmocka_unit_test(transposes_against_plain_indexing),
        cmocka_unit_test(cumsum_and_cumprod_against_long_double),
        cmocka_unit_test(im2col_and_col2im_against_plain_indexing),
        cmocka_unit_test(optimiser_updates_against_long_double),
        cmocka_unit_test(vector_kernels_against_long_double),
        cmocka_unit_test(plain_exp_and_tanh_against_long_double),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
