/* test_onnx.c: runs ONNX's node tests by the functions here. tests/reference/onnx.txt has their inputs, attributes and
   outputs, and onnx_nodes.py beside it says which operators and tests there are. */
#include "autodiff/extend.h"
#include "nn/nn.h"
#include "tests/common.h"

enum { MOST_ARRAYS = 12, MOST_ATTRS = 8, MOST_LINES = 32, MOST_NAME = 80 };

typedef struct {
    char name[MOST_NAME], op[MOST_NAME];
    ad_graph *g;
    ad_dtype t; /* that of whole numbers: f32 where another array is f32 */
    int n_in, n_out, n_attrs;
    ad_var *in[MOST_ARRAYS], *out[MOST_ARRAYS]; /* NULL: absent */
    char in_kind[MOST_ARRAYS][16], out_kind[MOST_ARRAYS][16]; /* numpy's names of dtypes */
    char attr[MOST_ATTRS][32], value[MOST_ATTRS][96];
} node_test;

/* ---- attributes ------------------------------------------------------------------------------------------ */

static const char *text(const node_test *t, const char *name, const char *otherwise) {
    for (int i = 0; i < t->n_attrs; i++)
        if (strcmp(t->attr[i], name) == 0) return t->value[i];
    return otherwise;
}
static double number(const node_test *t, const char *name, double otherwise) {
    const char *value = text(t, name, NULL);
    return value != NULL ? atof(value) : otherwise;
}
static int whole(const node_test *t, const char *name, int otherwise) { return (int)number(t, name, otherwise); }
static bool is(const node_test *t, const char *name, const char *value) {
    return strcmp(text(t, name, ""), value) == 0;
}

/* The numbers of an attribute; their number is 0 where it is absent. */
static int list(const node_test *t, const char *name, int most, int64_t *to) {
    const char *at = text(t, name, "");
    int n = 0;
    for (char *end; n < most; n++, at = end) {
        int64_t value = strtoll(at, &end, 10);
        if (end == at) break;
        to[n] = value;
    }
    return n;
}

/* ---- inputs ---------------------------------------------------------------------------------------------- */

#define X t->in[0]
#define Y t->in[1]
#define Z t->in[2]

static ad_var *given(const node_test *t, int i) { return i < t->n_in ? t->in[i] : NULL; }
static int64_t whole_at(const ad_var *x, int64_t i) { return (int64_t)ad_at(x, i); }
static int rank(const ad_var *x) { return ad_shape_of(x).ndim; }
static int64_t size(const ad_var *x, int axis) {
    ad_shape s = ad_shape_of(x);
    return s.dim[axis < 0 ? axis + s.ndim : axis];
}
static ad_shape shape_from(const ad_var *x) {
    ad_shape s = { .ndim = (int)ad_numel(x) };
    for (int i = 0; i < s.ndim; i++) s.dim[i] = whole_at(x, i);
    return s;
}
static ad_var *constant(const node_test *t, double value) { return ad_scalar(t->g, t->t, value); }
static bool is_whole(const char *kind) { return strstr(kind, "int") != NULL; }

/* ---- elementwise ----------------------------------------------------------------------------------------- */

#define OP(name, ...)                                                                                                  \
    static void run_##name(const node_test *t, ad_var *y[]) { y[0] = __VA_ARGS__; }

OP(Abs, ad_abs(X))
OP(Acos, ad_acos(X))
OP(Acosh, ad_acosh(X))
OP(Asin, ad_asin(X))
OP(Asinh, ad_asinh(X))
OP(Atan, ad_atan(X))
OP(Atanh, ad_atanh(X))
OP(Ceil, ad_ceil(X))
OP(Cos, ad_cos(X))
OP(Cosh, ad_cosh(X))
OP(Erf, ad_erf(X))
OP(Exp, ad_exp(X))
OP(Floor, ad_floor(X))
OP(Log, ad_log(X))
OP(Neg, ad_neg(X))
OP(Reciprocal, ad_reciprocal(X))
OP(Round, ad_round(X))
OP(Sign, ad_sign(X))
OP(Sin, ad_sin(X))
OP(Sinh, ad_sinh(X))
OP(Sqrt, ad_sqrt(X))
OP(Tan, ad_tan(X))
OP(Tanh, ad_tanh(X))
OP(IsNaN, ad_isnan(X))
OP(IsInf, !whole(t, "detect_negative", 1)   ? ad_isposinf(X)
          : !whole(t, "detect_positive", 1) ? ad_isneginf(X)
                                            : ad_isinf(X))
OP(Not, ad_logical_not(X))
OP(Identity, X)
OP(Cast, ad_cast(X, strcmp(t->out_kind[0], "f32") == 0 ? AD_F32 : AD_F64))
OP(CastLike, ad_cast(X, ad_dtype_of(Y)))

OP(Celu, ad_celu(X, number(t, "alpha", 1)))
OP(Elu, ad_elu(X, number(t, "alpha", 1)))
OP(HardSigmoid, ad_clamp(ad_adds(ad_muls(X, number(t, "alpha", 0.2)), number(t, "beta", 0.5)), 0, 1))
OP(HardSwish, ad_hardswish(X))
OP(LeakyRelu, ad_leaky_relu(X, number(t, "alpha", 0.01)))
OP(PRelu, ad_where(ad_lt(X, constant(t, 0)), ad_mul(Y, X), X))
OP(Relu, ad_relu(X))
OP(Selu, ad_muls(ad_elu(X, number(t, "alpha", 1.67326319217681884765625)),
                 number(t, "gamma", 1.05070102214813232421875)))
OP(Sigmoid, ad_sigmoid(X))
OP(Softplus, ad_softplus(X))
OP(Softsign, ad_softsign(X))
OP(ThresholdedRelu, ad_threshold(X, number(t, "alpha", 1), 0))
OP(Shrink, number(t, "bias", 0) == 0 ? ad_hardshrink(X, number(t, "lambd", 0.5))
                                     : ad_softshrink(X, number(t, "lambd", 0.5)))
OP(Softmax, ad_softmax(X, whole(t, "axis", -1)))
OP(LogSoftmax, ad_log_softmax(X, whole(t, "axis", -1)))
static void run_Hardmax(const node_test *t, ad_var *y[]) {
    int axis = whole(t, "axis", -1);
    y[0] = ad_movedim(ad_one_hot(ad_argmax_axis(X, axis, false), size(X, axis)), -1, axis);
}
static void run_Clip(const node_test *t, ad_var *y[]) {
    y[0] = X;
    if (given(t, 1) != NULL) y[0] = ad_maximum(y[0], Y);
    if (given(t, 2) != NULL) y[0] = ad_minimum(y[0], Z);
}

OP(Add, ad_add(X, Y))
OP(Sub, ad_sub(X, Y))
OP(Mul, ad_mul(X, Y))
OP(Div, is_whole(t->in_kind[0]) ? ad_floor_divide(X, Y) : ad_div(X, Y))
OP(Pow, is_whole(t->out_kind[0]) ? ad_trunc(ad_pow(X, Y)) : ad_pow(X, Y))
OP(Mod, whole(t, "fmod", 0) ? ad_fmod(X, Y) : ad_remainder(X, Y))
OP(And, ad_logical_and(X, Y))
OP(Or, ad_logical_or(X, Y))
OP(Xor, ad_logical_xor(X, Y))
OP(Equal, ad_eq(X, Y))
OP(Greater, ad_gt(X, Y))
OP(GreaterOrEqual, ad_ge(X, Y))
OP(Less, ad_lt(X, Y))
OP(LessOrEqual, ad_le(X, Y))
OP(Where, ad_where(X, Y, Z))
OP(Mean, ad_mean_axis(ad_stack(t->n_in, t->in, 0), 0, false))
OP(Sum, ad_sum_axis(ad_stack(t->n_in, t->in, 0), 0, false))
static void run_Max(const node_test *t, ad_var *y[]) {
    y[0] = X;
    for (int i = 1; i < t->n_in; i++) y[0] = ad_maximum(y[0], t->in[i]);
}
static void run_Min(const node_test *t, ad_var *y[]) {
    y[0] = X;
    for (int i = 1; i < t->n_in; i++) y[0] = ad_minimum(y[0], t->in[i]);
}
static void run_BitShift(const node_test *t, ad_var *y[]) {
    double range = ldexp(1, atoi(t->in_kind[0] + strlen("uint")));
    y[0] = is(t, "direction", "LEFT") ? ad_remainder(ad_ldexp(X, Y), constant(t, range))
                                      : ad_floor(ad_ldexp(X, ad_neg(Y)));
}

/* ---- reductions and scans -------------------------------------------------------------------------------- */

/* The axes are an attribute, or the second input. */
static int axes_of(const node_test *t, int axes[AD_MAX_NDIM]) {
    int64_t found[AD_MAX_NDIM];
    int n = list(t, "axes", AD_MAX_NDIM, found);
    for (int i = 0; i < n; i++) axes[i] = (int)found[i];
    if (given(t, 1) == NULL) return n;
    for (n = 0; n < ad_numel(Y); n++) axes[n] = (int)whole_at(Y, n);
    return n;
}
#define REDUCTION(name, ...)                                                                                           \
    static void run_##name(const node_test *t, ad_var *y[]) {                                                          \
        int axes[AD_MAX_NDIM], n = axes_of(t, axes);                                                                   \
        bool keep = whole(t, "keepdims", 1);                                                                           \
        y[0] = __VA_ARGS__;                                                                                            \
    }
REDUCTION(ReduceL1, ad_norm_axes(X, n, axes, 1, keep))
REDUCTION(ReduceL2, ad_norm_axes(X, n, axes, 2, keep))
REDUCTION(ReduceLogSum, ad_log(ad_sum_axes(X, n, axes, keep)))
REDUCTION(ReduceLogSumExp, ad_logsumexp_axes(X, n, axes, keep))
REDUCTION(ReduceMax, ad_max_axes(X, n, axes, keep))
REDUCTION(ReduceMean, ad_mean_axes(X, n, axes, keep))
REDUCTION(ReduceMin, ad_min_axes(X, n, axes, keep))
REDUCTION(ReduceProd, ad_prod_axes(X, n, axes, keep))
REDUCTION(ReduceSumSquare, ad_sum_axes(ad_square(X), n, axes, keep))
REDUCTION(ReduceSum, n == 0 && whole(t, "noop_with_empty_axes", 0) ? X : ad_sum_axes(X, n, axes, keep))

static ad_var *extremum(const node_test *t, ad_var *f(ad_var *, int, bool)) {
    int axis = whole(t, "axis", 0);
    bool keep = whole(t, "keepdims", 1);
    if (!whole(t, "select_last_index", 0)) return f(X, axis, keep);
    return ad_rsub(f(ad_flip(X, axis), axis, keep), constant(t, (double)size(X, axis) - 1));
}
OP(ArgMax, extremum(t, ad_argmax_axis))
OP(ArgMin, extremum(t, ad_argmin_axis))

static void run_CumSum(const node_test *t, ad_var *y[]) {
    int axis = (int)whole_at(Y, 0);
    bool reverse = whole(t, "reverse", 0);
    ad_var *sums = ad_cumsum(reverse ? ad_flip(X, axis) : X, axis);
    if (reverse) sums = ad_flip(sums, axis);
    y[0] = whole(t, "exclusive", 0) ? ad_sub(sums, X) : sums;
}
static void run_TopK(const node_test *t, ad_var *y[]) {
    assert_int_equal(ad_topk(X, whole(t, "axis", -1), whole_at(Y, 0), !whole(t, "largest", 1), y), AD_OK);
}
OP(NonZero, ad_transpose(ad_nonzero(X)))

/* y: the elements, where each is first, the place of each element of x among them, and how often it occurs. */
static void run_Unique(const node_test *t, ad_var *y[]) {
    ad_var *parts[2], *flat = ad_reshape(X, AD_SHAPE(-1));
    assert_int_equal(ad_unique(X, parts), AD_OK);
    ad_var *first = ad_argmax_axis(ad_eq(ad_unsqueeze(parts[0], 1), flat), 1, false);
    y[0] = parts[0], y[1] = first, y[2] = ad_searchsorted(parts[0], flat, false), y[3] = parts[1];
    if (whole(t, "sorted", 1)) return;
    ad_var *order = ad_argsort(first, 0, false);
    y[2] = ad_take(ad_argsort(order, 0, false), y[2]);
    for (int i = 0; i < 4; i++)
        if (i != 2) y[i] = ad_take(y[i], order);
}

/* ---- shapes ---------------------------------------------------------------------------------------------- */

static void run_Reshape(const node_test *t, ad_var *y[]) {
    ad_shape s = shape_from(Y);
    for (int i = 0; i < s.ndim && !whole(t, "allowzero", 0); i++)
        if (s.dim[i] == 0) s.dim[i] = size(X, i);
    y[0] = ad_reshape(X, s);
}
static void run_Flatten(const node_test *t, ad_var *y[]) {
    int axis = whole(t, "axis", 1);
    int64_t rows = 1;
    for (int i = 0; i < (axis < 0 ? axis + rank(X) : axis); i++) rows *= size(X, i);
    y[0] = ad_reshape(X, AD_SHAPE(rows, -1));
}
static void run_Squeeze(const node_test *t, ad_var *y[]) {
    assert_int_equal(ad_numel(Y), 1);
    y[0] = ad_squeeze_axis(X, (int)whole_at(Y, 0));
}
static void run_Unsqueeze(const node_test *t, ad_var *y[]) {
    int n = (int)ad_numel(Y), all = rank(X) + n;
    y[0] = X;
    for (int axis = 0; axis < all; axis++)
        for (int i = 0; i < n; i++)
            if ((whole_at(Y, i) + all) % all == axis) y[0] = ad_unsqueeze(y[0], axis);
}
static void run_Transpose(const node_test *t, ad_var *y[]) {
    ad_shape axes = { .ndim = rank(X) };
    if (list(t, "perm", AD_MAX_NDIM, axes.dim) == 0)
        for (int i = 0; i < axes.ndim; i++) axes.dim[i] = axes.ndim - 1 - i;
    y[0] = ad_permute(X, axes);
}
static void run_Expand(const node_test *t, ad_var *y[]) {
    ad_shape s = shape_from(Y), own = ad_shape_of(X);
    for (int i = 1; i <= own.ndim && i <= s.ndim; i++)
        if (s.dim[s.ndim - i] == 1) s.dim[s.ndim - i] = own.dim[own.ndim - i];
    y[0] = ad_expand(X, s);
}
OP(Tile, ad_tile(X, shape_from(Y)))
OP(Concat, ad_concat(t->n_in, t->in, whole(t, "axis", 0)))
static void run_Split(const node_test *t, ad_var *y[]) {
    int64_t sizes[MOST_ARRAYS];
    int axis = whole(t, "axis", 0);
    for (int i = 0; i < t->n_out; i++) sizes[i] = given(t, 1) ? whole_at(Y, i) : size(X, axis) / t->n_out;
    assert_int_equal(ad_split_sizes(X, axis, t->n_out, sizes, y), t->n_out);
}
static void run_Slice(const node_test *t, ad_var *y[]) {
    ad_range ranges[AD_MAX_NDIM];
    int n = (int)ad_numel(Y);
    for (int i = 0; i < n; i++) {
        ad_range r = { .axis = i, .start = whole_at(Y, i), .stop = whole_at(Z, i) };
        if (given(t, 3) != NULL) r.axis = (int)whole_at(t->in[3], i);
        if (given(t, 4) != NULL) r.step = whole_at(t->in[4], i);
        ranges[i] = r;
    }
    y[0] = ad_slice_axes(X, n, ranges);
}
static void run_Pad(const node_test *t, ad_var *y[]) {
    ad_shape before = { .ndim = rank(X) }, after = before;
    for (int i = 0; i < before.ndim; i++)
        before.dim[i] = whole_at(Y, i), after.dim[i] = whole_at(Y, i + before.ndim);
    y[0] = is(t, "mode", "edge")      ? ad_pad_replicate(X, before, after)
           : is(t, "mode", "reflect") ? ad_pad_reflect(X, before, after)
                                      : ad_pad(X, before, after, given(t, 2) ? ad_at(Z, 0) : 0);
}
static void run_Shape(const node_test *t, ad_var *y[]) {
    ad_shape s = ad_shape_of(X);
    double sizes[AD_MAX_NDIM];
    for (int i = 0; i < s.ndim; i++) sizes[i] = (double)s.dim[i];
    ad_var *all = ad_tensor(t->g, AD_F64, sizes, AD_SHAPE(s.ndim));
    y[0] = ad_slice(all, 0, whole(t, "start", 0), whole(t, "end", s.ndim), 1);
}
OP(Size, constant(t, (double)ad_numel(X)))
static void run_Trilu(const node_test *t, ad_var *y[]) {
    int64_t k = given(t, 1) ? whole_at(Y, 0) : 0;
    y[0] = whole(t, "upper", 1) ? ad_triu(X, k) : ad_tril(X, k);
}
/* x [n, b*b*c, h, w], whose channels are rows of b*b, or come last in mode CRD */
static void run_DepthToSpace(const node_test *t, ad_var *y[]) {
    int64_t b = whole(t, "blocksize", 1), n = size(X, 0), c = size(X, 1) / (b * b), h = size(X, 2), w = size(X, 3);
    ad_var *parts = ad_permute(ad_reshape(X, AD_SHAPE(n, b, b, c, h, w)), AD_SHAPE(0, 3, 4, 1, 5, 2));
    y[0] = is(t, "mode", "CRD") ? ad_pixel_shuffle(X, b) : ad_reshape(parts, AD_SHAPE(n, c, h * b, w * b));
}
static void run_SpaceToDepth(const node_test *t, ad_var *y[]) {
    int64_t b = whole(t, "blocksize", 1), n = size(X, 0), c = size(X, 1), h = size(X, 2) / b, w = size(X, 3) / b;
    ad_var *parts = ad_permute(ad_reshape(X, AD_SHAPE(n, c, h, b, w, b)), AD_SHAPE(0, 3, 5, 1, 2, 4));
    y[0] = ad_reshape(parts, AD_SHAPE(n, c * b * b, h, w));
}
/* The place of each element: length - 1 - i along the time axis, and i from the length on. */
static void run_ReverseSequence(const node_test *t, ad_var *y[]) {
    int time = whole(t, "time_axis", 0), batch = whole(t, "batch_axis", 1);
    ad_var *steps = ad_unsqueeze(ad_arange(t->g, t->t, 0, (double)size(X, time), 1), time < batch ? 1 : 0);
    ad_var *lengths = ad_unsqueeze(Y, batch < time ? 1 : 0);
    ad_var *turned = ad_sub(ad_adds(lengths, -1), steps);
    ad_var *places = ad_where(ad_lt(steps, lengths), turned, steps);
    for (int i = 2; i < rank(X); i++) places = ad_unsqueeze(places, i);
    y[0] = ad_gather(X, time, ad_expand(places, ad_shape_of(X)));
}

/* ---- arrays of constants --------------------------------------------------------------------------------- */

OP(Constant, X)
OP(ConstantOfShape, ad_full(t->g, t->t, given(t, 1) ? ad_at(Y, 0) : 0, shape_from(X)))
OP(Range, ad_arange(t->g, t->t, ad_item(X), ad_item(Y), ad_item(Z)))
static void run_EyeLike(const node_test *t, ad_var *y[]) {
    int k = whole(t, "k", 0);
    y[0] = k == 0 ? ad_eye_with(t->g, t->t, size(X, 0), size(X, 1)) : ad_tril(ad_triu(ad_ones_like(X), k), k);
}
static void run_OneHot(const node_test *t, ad_var *y[]) {
    ad_var *hot = ad_one_hot(ad_remainder(X, Y), whole_at(Y, 0));
    y[0] = ad_where(ad_movedim(hot, -1, whole(t, "axis", -1)), ad_select(Z, 0, 1), ad_select(Z, 0, 0));
}
/* a - b cos(angle) + c cos(2 angle) */
static ad_var *window(const node_test *t, double a, double b, double c) {
    double n = ad_item(X), turn = 6.283185307179586 / (whole(t, "periodic", 1) ? n : n - 1);
    ad_var *angle = ad_muls(ad_arange(t->g, t->t, 0, n, 1), turn);
    ad_var *second = ad_muls(ad_cos(ad_muls(angle, 2)), c);
    return ad_add(ad_adds(ad_muls(ad_cos(angle), -b), a), second);
}
OP(HannWindow, window(t, 0.5, 0.5, 0))
OP(HammingWindow, window(t, 25.0 / 46, 21.0 / 46, 0))
OP(BlackmanWindow, window(t, 0.42, 0.5, 0.08))

/* ---- indices --------------------------------------------------------------------------------------------- */

OP(Gather, ad_take_axis(X, whole(t, "axis", 0), Y))
OP(GatherElements, ad_gather(X, whole(t, "axis", 0), Y))
OP(Scatter, ad_scatter(X, whole(t, "axis", 0), Y, Z))
OP(ScatterElements, is(t, "reduction", "add") ? ad_scatter_add(X, whole(t, "axis", 0), Y, Z)
                                              : ad_scatter(X, whole(t, "axis", 0), Y, Z))
/* The columns of indices [..,n] as arrays of their own. */
static int columns(ad_var *indices, ad_var *to[AD_MAX_NDIM]) {
    int n = (int)size(indices, -1);
    for (int i = 0; i < n; i++) to[i] = ad_select(indices, -1, i);
    return n;
}
static void run_GatherND(const node_test *t, ad_var *y[]) {
    ad_var *index[AD_MAX_NDIM];
    int batch = whole(t, "batch_dims", 0), n = columns(Y, index + batch);
    assert_in_range(batch, 0, 1);
    if (batch == 1) index[0] = ad_arange(t->g, t->t, 0, (double)size(X, 0), 1);
    for (int i = 1; i < rank(Y) - 1 && batch == 1; i++) index[0] = ad_unsqueeze(index[0], -1);
    y[0] = ad_index(X, n + batch, index);
}
static void run_ScatterND(const node_test *t, ad_var *y[]) {
    ad_var *index[AD_MAX_NDIM];
    int n = columns(Y, index);
    if (!is(t, "reduction", "mul")) {
        y[0] = ad_index_put(X, n, index, Z, is(t, "reduction", "add"));
        return;
    }
    ad_shape sizes = { .ndim = n };
    for (int i = 0; i < n; i++) sizes.dim[i] = size(X, i);
    ad_var *at = ad_ravel_multi_index(n, index, sizes);
    ad_shape rows = ad_shape_of(X);
    rows.dim[0] = ad_shape_numel(sizes), rows.ndim -= n - 1;
    for (int i = 1; i < rows.ndim; i++) rows.dim[i] = size(X, i + n - 1);
    y[0] = ad_reshape(ad_index_reduce(ad_reshape(X, rows), 0, at, Z, AD_SCATTER_PROD, true), ad_shape_of(X));
}
static void run_Compress(const node_test *t, ad_var *y[]) {
    bool flat = text(t, "axis", NULL) == NULL;
    ad_var *from = flat ? ad_reshape(X, AD_SHAPE(-1)) : X, *places = ad_reshape(ad_nonzero(Y), AD_SHAPE(-1));
    y[0] = ad_take_axis(from, flat ? 0 : whole(t, "axis", 0), places);
}

/* ---- linear algebra -------------------------------------------------------------------------------------- */

OP(MatMul, ad_matmul(X, Y))
OP(Det, ad_det(X))
OP(Einsum, ad_einsum_n(text(t, "equation", ""), t->n_in, t->in))
static void run_Gemm(const node_test *t, ad_var *y[]) {
    double alpha = number(t, "alpha", 1), beta = number(t, "beta", 1);
    ad_var *a = whole(t, "transA", 0) ? ad_transpose(X) : X, *b = whole(t, "transB", 0) ? ad_transpose(Y) : Y;
    y[0] = given(t, 2) ? ad_addmm(Z, a, b, beta, alpha) : ad_muls(ad_matmul(a, b), alpha);
}

/* ---- convolutions and pools ------------------------------------------------------------------------------ */

enum { MOST_AXES = 3 };
typedef struct {
    int n;
    int64_t kernel[MOST_AXES], stride[MOST_AXES], dilation[MOST_AXES], before[MOST_AXES], after[MOST_AXES];
} windows;

/* Padding that gives ceil(size / stride) windows along an axis; the odd element is at the end, or at the start. */
static void pad_same(const node_test *t, int64_t in, windows *w, int i) {
    int64_t count = (in + w->stride[i] - 1) / w->stride[i];
    int64_t total = (count - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1 - in;
    if (total < 0) total = 0;
    w->before[i] = is(t, "auto_pad", "SAME_LOWER") ? total - total / 2 : total / 2;
    w->after[i] = total - w->before[i];
}
static windows windows_of(const node_test *t, const ad_var *weight) {
    windows w = { .n = rank(X) - 2 };
    int64_t pads[2 * MOST_AXES] = { 0 };
    for (int i = 0; i < w.n; i++) w.stride[i] = w.dilation[i] = 1;
    list(t, "strides", w.n, w.stride), list(t, "dilations", w.n, w.dilation), list(t, "pads", 2 * w.n, pads);
    for (int i = 0; i < w.n && weight != NULL; i++) w.kernel[i] = size(weight, i + 2);
    if (weight == NULL) assert_int_equal(list(t, "kernel_shape", w.n, w.kernel), w.n);
    for (int i = 0; i < w.n; i++) w.before[i] = pads[i], w.after[i] = pads[i + w.n];
    if (strncmp(text(t, "auto_pad", ""), "SAME", 4) != 0) return w;
    for (int i = 0; i < w.n; i++) pad_same(t, size(X, i + 2), &w, i);
    return w;
}
static ad_var *padded(ad_var *x, const windows *w, double value) {
    ad_shape before = { .ndim = w->n + 2 }, after = before;
    for (int i = 0; i < w->n; i++) before.dim[i + 2] = w->before[i], after.dim[i + 2] = w->after[i];
    return ad_pad(x, before, after, value);
}

static ad_var *convolution(const node_test *t, ad_var *x, ad_var *weight, ad_var *bias) {
    windows w = windows_of(t, weight);
    ad_conv_opts o = { .groups = whole(t, "group", 1) };
    assert_int_equal(w.n, 2);
    for (int i = 0; i < w.n; i++) o.stride[i] = w.stride[i], o.dilation[i] = w.dilation[i];
    return ad_conv2d(padded(x, &w, 0), weight, bias, o);
}
OP(Conv, convolution(t, X, Y, given(t, 2)))
OP(ConvInteger, convolution(t, ad_sub(X, Z), Y, NULL))

/* How much is cut off from the whole result at the start of an axis, and what size is left. */
static void cut_of(const node_test *t, const windows *w, int i, int64_t full, int64_t *start, int64_t *left) {
    int64_t wanted[MOST_AXES], extra[MOST_AXES] = { 0 };
    list(t, "output_padding", w->n, extra);
    *start = w->before[i], *left = full + extra[i] - w->before[i] - w->after[i];
    if (is(t, "auto_pad", "SAME_UPPER")) *start = 0, *left = size(X, i + 2) * w->stride[i];
    if (list(t, "output_shape", w->n, wanted) != 0) *start = 0, *left = wanted[i];
}
static void run_ConvTranspose(const node_test *t, ad_var *y[]) {
    windows w = windows_of(t, Y);
    ad_conv_opts o = { .groups = whole(t, "group", 1) };
    for (int i = 0; i < w.n; i++) o.stride[i] = w.stride[i], o.dilation[i] = w.dilation[i];
    y[0] = w.n == 1   ? ad_conv_transpose1d(X, Y, NULL, o)
           : w.n == 2 ? ad_conv_transpose2d(X, Y, NULL, o)
                      : ad_conv_transpose3d(X, Y, NULL, o);
    ad_shape none = { .ndim = w.n + 2 }, after = none;
    ad_range cut[MOST_AXES];
    for (int i = 0; i < w.n; i++) {
        int64_t start, left, full = size(y[0], i + 2);
        cut_of(t, &w, i, full, &start, &left);
        after.dim[i + 2] = start + left > full ? start + left - full : 0;
        cut[i] = (ad_range){ .axis = i + 2, .start = start, .stop = start + left };
    }
    y[0] = ad_slice_axes(ad_pad(y[0], none, after, 0), w.n, cut);
}

typedef ad_var *pool_fn(ad_var *, ad_pool_opts);
static ad_pool_opts pool_opts(const node_test *t, const windows *w) {
    ad_pool_opts o = { .ceil_mode = whole(t, "ceil_mode", 0) };
    for (int i = 0; i < w->n; i++) o.kernel[i] = w->kernel[i], o.stride[i] = w->stride[i];
    return o;
}
static void run_AveragePool(const node_test *t, ad_var *y[]) {
    windows w = windows_of(t, NULL);
    pool_fn *f = w.n == 1 ? ad_avg_pool1d : w.n == 2 ? ad_avg_pool2d : ad_avg_pool3d;
    ad_pool_opts o = pool_opts(t, &w);
    y[0] = f(padded(X, &w, 0), o);
    if (!whole(t, "count_include_pad", 0)) y[0] = ad_div(y[0], f(padded(ad_ones_like(X), &w, 0), o));
}
static void run_MaxPool(const node_test *t, ad_var *y[]) {
    windows w = windows_of(t, NULL);
    pool_fn *f = w.n == 1 ? ad_max_pool1d : w.n == 2 ? ad_max_pool2d : ad_max_pool3d;
    ad_pool_opts o = pool_opts(t, &w);
    for (int i = 0; i < w.n; i++) o.dilation[i] = w.dilation[i];
    y[0] = f(padded(X, &w, -INFINITY), o);
    if (t->n_out == 1) return;
    for (int i = 0; i < w.n; i++) o.padding[i] = w.before[i];
    y[1] = ad_max_pool2d_index(X, o);
    if (!whole(t, "storage_order", 0)) return;
    ad_var *width = constant(t, (double)size(X, 3));
    y[1] = ad_add(ad_muls(ad_remainder(y[1], width), (double)size(X, 2)), ad_floor_divide(y[1], width));
}
/* Indices are those of the result without the zeros that an output shape adds at the ends. */
static void run_MaxUnpool(const node_test *t, ad_var *y[]) {
    int64_t stride[2] = { 1, 1 };
    list(t, "strides", 2, stride);
    int64_t h = size(X, 2) * stride[0], w = size(X, 3) * stride[1];
    y[0] = ad_max_unpool2d(X, Y, h, w);
    if (given(t, 2) == NULL) return;
    y[0] = ad_pad(y[0], AD_SHAPE(0, 0, 0, 0), AD_SHAPE(0, 0, whole_at(Z, 2) - h, whole_at(Z, 3) - w), 0);
}
OP(GlobalAveragePool, ad_mean_axes(X, 2, (int[]){ 2, 3 }, true))
OP(GlobalMaxPool, ad_max_axes(X, 2, (int[]){ 2, 3 }, true))

/* ---- normalisation --------------------------------------------------------------------------------------- */

static void run_BatchNormalization(const node_test *t, ad_var *y[]) {
    double eps = number(t, "epsilon", 1e-5), momentum = number(t, "momentum", 0.9);
    int axes[AD_MAX_NDIM], n = 0;
    ad_var *mean = t->in[3], *var = t->in[4], *own[2];
    if (!whole(t, "training_mode", 0)) {
        y[0] = ad_batch_norm(X, mean, var, Y, Z, (ad_batch_norm_opts){ .eps = eps });
        return;
    }
    for (int i = 0; i < rank(X); i++)
        if (i != 1) axes[n++] = i;
    y[0] = ad_batch_norm(X, NULL, NULL, Y, Z, (ad_batch_norm_opts){ .training = true, .eps = eps });
    assert_int_equal(ad_var_mean(X, n, axes, 0, false, own), AD_OK);
    y[1] = ad_lerp(own[1], mean, constant(t, momentum));
    y[2] = ad_lerp(own[0], var, constant(t, momentum));
}
OP(InstanceNormalization, ad_instance_norm(X, Y, Z, number(t, "epsilon", 1e-5)))
OP(LRN, ad_local_response_norm(X, whole(t, "size", 0), number(t, "alpha", 1e-4), number(t, "beta", 0.75),
                               number(t, "bias", 1)))
static void run_LayerNormalization(const node_test *t, ad_var *y[]) {
    int axis = whole(t, "axis", -1), axes[AD_MAX_NDIM];
    double eps = number(t, "epsilon", 1e-5);
    ad_shape rest = { 0 };
    for (int i = axis < 0 ? axis + rank(X) : axis; i < rank(X); i++) {
        axes[rest.ndim] = i;
        rest.dim[rest.ndim++] = size(X, i);
    }
    y[0] = ad_layer_norm(X, rest, Y, given(t, 2), eps);
    y[1] = ad_mean_axes(X, rest.ndim, axes, true);
    y[2] = ad_rsqrt(ad_adds(ad_variance_axes(X, rest.ndim, axes, 0, true), eps));
}
static void run_MeanVarianceNormalization(const node_test *t, ad_var *y[]) {
    ad_var *parts[2];
    assert_int_equal(ad_std_mean(X, 3, (int[]){ 0, 2, 3 }, 0, true, parts), AD_OK);
    y[0] = ad_div(ad_sub(X, parts[1]), parts[0]);
}
static void run_Dropout(const node_test *t, ad_var *y[]) {
    bool training = given(t, 2) != NULL && ad_item(Z) != 0;
    double p = given(t, 1) ? ad_item(Y) : 0.5;
    y[0] = ad_dropout(X, p, training);
    y[1] = ad_dropout_mask(X, training ? p : 0);
}

/* ---- recurrent nets: x [time,n,in], or [n,time,in] in layout 1 ------------------------------------------- */

static ad_var *times_second(const node_test *t, ad_var *x) {
    return whole(t, "layout", 0) ? x : ad_permute(x, AD_SHAPE(1, 0, 2));
}
/* half 0: the biases of the inputs; half 1: those of the states */
static ad_var *bias_of(const node_test *t, int half) {
    int64_t k = size(Y, 1);
    if (given(t, 3) == NULL) return ad_zeros(t->g, t->t, AD_SHAPE(k));
    return ad_narrow(ad_select(t->in[3], 0, 0), 0, half * k, k);
}
static ad_var *inputs_of(const node_test *t) {
    ad_var *bias = ad_add(bias_of(t, 0), bias_of(t, 1));
    return ad_affine(times_second(t, X), ad_select(Y, 0, 0), bias);
}
static ad_var *zero_state(const node_test *t) {
    return ad_zeros(t->g, t->t, AD_SHAPE(size(times_second(t, X), 0), size(Z, 2)));
}
/* y[0]: the states h [n,time,m] at all times, y[1]: the last ones */
static void states(const node_test *t, ad_var *h, ad_var *y[]) {
    bool batch_first = whole(t, "layout", 0);
    y[0] = batch_first ? ad_unsqueeze(h, 2) : ad_unsqueeze(ad_permute(h, AD_SHAPE(1, 0, 2)), 1);
    y[1] = ad_unsqueeze(ad_select(h, 1, -1), batch_first ? 1 : 0);
}
static void run_RNN(const node_test *t, ad_var *y[]) {
    states(t, ad_rnn(inputs_of(t), ad_select(Z, 0, 0), zero_state(t), false, false), y);
}
/* The gates i o f g along an axis, in the order i f g o. */
static ad_var *gates(ad_var *x, int axis) {
    int64_t m = size(x, axis) / 4;
    ad_var *input = ad_narrow(x, axis, 0, m), *output = ad_narrow(x, axis, m, m);
    return ad_concat(3, (ad_var *[]){ input, ad_narrow(x, axis, 2 * m, 2 * m), output }, axis);
}
static void run_LSTM(const node_test *t, ad_var *y[]) {
    ad_var *zero = zero_state(t), *weights = gates(ad_select(Z, 0, 0), 0);
    states(t, ad_select(ad_lstm(gates(inputs_of(t), 2), weights, zero, zero, false), 0, 0), y);
}
/* The reset gate multiplies the state before the product: n = tanh(x + (r h) w^T). The gates are z r n. */
static ad_var *gru_step(ad_var *x, ad_var *h, ad_var *w) {
    int64_t m = size(h, 1);
    ad_var *two = ad_affine(h, ad_narrow(w, 0, 0, 2 * m), NULL);
    ad_var *zr = ad_sigmoid(ad_add(ad_narrow(x, 1, 0, 2 * m), two));
    ad_var *kept = ad_mul(ad_narrow(zr, 1, m, m), h);
    ad_var *new = ad_tanh(ad_add(ad_narrow(x, 1, 2 * m, m), ad_affine(kept, ad_narrow(w, 0, 2 * m, m), NULL)));
    return ad_lerp(new, h, ad_narrow(zr, 1, 0, m));
}
static void run_GRU(const node_test *t, ad_var *y[]) {
    ad_var *x = inputs_of(t), *h = zero_state(t), *all[MOST_ARRAYS];
    int time = (int)size(x, 1);
    for (int i = 0; i < time; i++) all[i] = h = gru_step(ad_select(x, 1, i), h, ad_select(Z, 0, 0));
    states(t, ad_stack(time, all, 1), y);
}

/* ---- pictures -------------------------------------------------------------------------------------------- */

static void run_GridSample(const node_test *t, ad_var *y[]) {
    ad_grid_opts o = { .nearest = is(t, "mode", "nearest"), .align_corners = whole(t, "align_corners", 0) };
    o.padding = is(t, "padding_mode", "border")       ? AD_GRID_BORDER
                : is(t, "padding_mode", "reflection") ? AD_GRID_REFLECTION
                                                      : AD_GRID_ZEROS;
    y[0] = ad_grid_sample(X, Y, o);
}
OP(Upsample, ad_interpolate(X, AD_SHAPE(size(X, 2) * whole_at(Y, 2), size(X, 3) * whole_at(Y, 3)), AD_RESAMPLE_NEAREST,
                            false))

/* The element that is nearest to the place of element i of n, of `in` elements. */
static double nearest(const node_test *t, int64_t i, int64_t n, int64_t in, double scale) {
    double at = is(t, "coordinate_transformation_mode", "align_corners") ? (double)(i * (in - 1)) / (double)(n - 1)
                : is(t, "coordinate_transformation_mode", "asymmetric")  ? (double)i / scale
                                                                         : ((double)i + 0.5) / scale - 0.5;
    double place = is(t, "nearest_mode", "floor")               ? floor(at)
                   : is(t, "nearest_mode", "ceil")              ? ceil(at)
                   : is(t, "nearest_mode", "round_prefer_ceil") ? floor(at + 0.5)
                                                                : ceil(at - 0.5);
    return place < 0 ? 0 : place > (double)in - 1 ? (double)in - 1 : place;
}
static ad_var *resize_nearest(const node_test *t, ad_var *x, int axis, int64_t n, double scale) {
    double places[64] = { 0 };
    assert_in_range(n, 1, COUNT(places));
    for (int i = 0; i < n; i++) places[i] = nearest(t, i, n, size(x, axis), scale);
    return ad_take_axis(x, axis, ad_tensor(t->g, AD_F64, places, AD_SHAPE(n)));
}
/* Inputs: x, a region that is not used here, scales or sizes. */
static void run_Resize(const node_test *t, ad_var *y[]) {
    ad_shape to = { .ndim = 2 };
    double scale[2];
    for (int i = 0; i < 2; i++) {
        double in = (double)size(X, i + 2);
        to.dim[i] = given(t, 3) ? whole_at(t->in[3], i + 2) : (int64_t)floor(ad_at(Z, i + 2) * in);
        scale[i] = given(t, 3) ? (double)to.dim[i] / in : ad_at(Z, i + 2);
    }
    bool corners = is(t, "coordinate_transformation_mode", "align_corners");
    if (!is(t, "mode", "nearest"))
        y[0] = ad_interpolate(X, to, is(t, "mode", "cubic") ? AD_RESAMPLE_CUBIC : AD_RESAMPLE_LINEAR, corners);
    else y[0] = resize_nearest(t, resize_nearest(t, X, 2, to.dim[0], scale[0]), 3, to.dim[1], scale[1]);
}

/* The places of `n` points of a region lo .. hi along an axis of `size` pixels, where -1 and 1 are its ends. */
static ad_var *region_points(const node_test *t, double lo, double hi, int64_t n, int64_t pixels) {
    bool half = is(t, "coordinate_transformation_mode", "half_pixel");
    double width = half ? hi - lo : fmax(hi - lo, 1), start = half ? lo - 0.5 : lo;
    ad_var *at = ad_muls(ad_adds(ad_arange(t->g, t->t, 0, (double)n, 1), 0.5), width / (double)n);
    return ad_adds(ad_muls(ad_adds(at, start), 2 / (double)(pixels - 1)), -1);
}
static void run_RoiAlign(const node_test *t, ad_var *y[]) {
    int64_t h = whole(t, "output_height", 1), w = whole(t, "output_width", 1), k = whole(t, "sampling_ratio", 0);
    ad_var *rois[MOST_ARRAYS], *axes[2], *parts[2];
    int n = (int)size(Y, 0);
    for (int i = 0; i < n; i++) {
        axes[0] = region_points(t, ad_at(Y, 4 * i), ad_at(Y, 4 * i + 2), w * k, size(X, 3));
        axes[1] = region_points(t, ad_at(Y, 4 * i + 1), ad_at(Y, 4 * i + 3), h * k, size(X, 2));
        assert_int_equal(ad_meshgrid(2, axes, true, parts), AD_OK);
        ad_var *grid = ad_unsqueeze(ad_stack(2, parts, -1), 0), *image = ad_narrow(X, 0, whole_at(Z, i), 1);
        ad_grid_opts o = { .padding = AD_GRID_BORDER, .align_corners = true };
        rois[i] = ad_avg_pool2d(ad_grid_sample(image, grid, o), (ad_pool_opts){ .kernel = { k, k } });
    }
    y[0] = ad_concat(n, rois, 0);
}

/* ---- losses ---------------------------------------------------------------------------------------------- */

static ad_ce_opts loss_opts(const node_test *t) {
    return (ad_ce_opts){ .weight = given(t, 2),
                         .reduction = is(t, "reduction", "none")  ? AD_NONE
                                      : is(t, "reduction", "sum") ? AD_SUM
                                                                  : AD_MEAN,
                         .ignore = text(t, "ignore_index", NULL) != NULL,
                         .ignore_index = whole(t, "ignore_index", 0) };
}
OP(NegativeLogLikelihoodLoss, ad_nll(X, Y, loss_opts(t)))
static void run_SoftmaxCrossEntropyLoss(const node_test *t, ad_var *y[]) {
    y[0] = ad_cross_entropy_with(X, Y, loss_opts(t));
    y[1] = ad_log_softmax(X, 1);
}

/* ---- optimisers: rate, step, then all x, all gradients and the states of each x -------------------------- */

typedef struct {
    int n; /* arrays x */
    ad_var *rate, *x, *g, *v, *h;
    double step;
} update;

/* The arrays of x number i; its gradient includes the decay of weights. */
static update update_of(const node_test *t, int i, int states_of_each) {
    update u = { .n = (t->n_in - 2) / (2 + states_of_each), .rate = X, .step = ad_item(Y) };
    u.x = t->in[2 + i], u.v = t->in[2 + 2 * u.n + i], u.h = given(t, 2 + 3 * u.n + i);
    u.g = ad_add(t->in[2 + u.n + i], ad_muls(u.x, number(t, "norm_coefficient", 0)));
    return u;
}
static void run_Momentum(const node_test *t, ad_var *y[]) {
    for (int i = 0, n = (t->n_in - 2) / 3; i < n; i++) {
        update u = update_of(t, i, 1);
        double alpha = number(t, "alpha", 0), beta = u.step > 0 ? number(t, "beta", 0) : 1;
        y[n + i] = ad_add(ad_muls(u.v, alpha), ad_muls(u.g, beta));
        ad_var *move = is(t, "mode", "nesterov") ? ad_add(u.g, ad_muls(y[n + i], alpha)) : y[n + i];
        y[i] = ad_sub(u.x, ad_mul(u.rate, move));
    }
}
static void run_Adagrad(const node_test *t, ad_var *y[]) {
    for (int i = 0, n = (t->n_in - 2) / 3; i < n; i++) {
        update u = update_of(t, i, 1);
        ad_var *rate = ad_muls(u.rate, 1 / (1 + u.step * number(t, "decay_factor", 0)));
        y[n + i] = ad_addcmul(u.v, u.g, u.g);
        y[i] = ad_sub(u.x, ad_div(ad_mul(rate, u.g), ad_adds(ad_sqrt(y[n + i]), number(t, "epsilon", 1e-6))));
    }
}
static void run_Adam(const node_test *t, ad_var *y[]) {
    for (int i = 0, n = (t->n_in - 2) / 4; i < n; i++) {
        update u = update_of(t, i, 2);
        double alpha = number(t, "alpha", 0.9), beta = number(t, "beta", 0.999);
        double rate = u.step > 0 ? sqrt(1 - pow(beta, u.step)) / (1 - pow(alpha, u.step)) : 1;
        y[n + i] = ad_lerp(u.g, u.v, constant(t, alpha));
        y[2 * n + i] = ad_lerp(ad_square(u.g), u.h, constant(t, beta));
        ad_var *move = ad_div(y[n + i], ad_adds(ad_sqrt(y[2 * n + i]), number(t, "epsilon", 1e-6)));
        y[i] = ad_sub(u.x, ad_mul(ad_muls(u.rate, rate), move));
    }
}

/* ---- quantised numbers ----------------------------------------------------------------------------------- */

/* Numbers of each channel of x [n,c,..], as x broadcasts with them. */
static ad_var *by_channel(const ad_var *x, ad_var *k) {
    if (ad_numel(k) == 1) return ad_reshape(k, AD_SCALAR);
    return ad_reshape(k, rank(x) == 4 ? AD_SHAPE(-1, 1, 1) : AD_SHAPE(-1));
}
static ad_var *plain(ad_var *x, ad_var *scale, ad_var *zero) {
    return ad_mul(ad_sub(x, by_channel(x, zero)), by_channel(x, scale));
}
static ad_var *quantised(ad_var *x, ad_var *scale, ad_var *zero) {
    return ad_clamp(ad_add(ad_round(ad_div(x, by_channel(x, scale))), by_channel(x, zero)), 0, 255);
}
OP(MatMulInteger, ad_matmul(ad_sub(X, Z), ad_sub(Y, t->in[3])))
OP(DequantizeLinear, plain(X, Y, Z))
OP(QuantizeLinear, quantised(X, Y, Z))
OP(QLinearMatMul,
   quantised(ad_matmul(plain(X, Y, Z), plain(t->in[3], t->in[4], t->in[5])), t->in[6], t->in[7]))
static void run_QLinearConv(const node_test *t, ad_var *y[]) {
    ad_var *weight = plain(t->in[3], t->in[4], t->in[5]);
    y[0] = quantised(convolution(t, plain(X, Y, Z), weight, NULL), t->in[6], t->in[7]);
}
static void run_DynamicQuantizeLinear(const node_test *t, ad_var *y[]) {
    ad_var *lo = ad_minimum(ad_min(X), constant(t, 0)), *hi = ad_maximum(ad_max(X), constant(t, 0));
    y[1] = ad_muls(ad_sub(hi, lo), 1.0 / 255);
    y[2] = ad_round(ad_clamp(ad_neg(ad_div(lo, y[1])), 0, 255));
    y[0] = quantised(X, y[1], y[2]);
}

/* ---- the operators --------------------------------------------------------------------------------------- */

typedef void run_fn(const node_test *t, ad_var *y[]);
static const struct {
    const char *op;
    run_fn *f;
} operators[] = {
#define ROW(name) { #name, run_##name },
#define ROWS(a, b, c, d) ROW(a) ROW(b) ROW(c) ROW(d)
    ROWS(Abs, Acos, Acosh, Asin) ROWS(Asinh, Atan, Atanh, Ceil) ROWS(Cos, Cosh, Erf, Exp)
    ROWS(Floor, Log, Neg, Reciprocal) ROWS(Round, Sign, Sin, Sinh) ROWS(Sqrt, Tan, Tanh, IsNaN)
    ROWS(IsInf, Not, Identity, Cast) ROWS(CastLike, Celu, Elu, HardSigmoid) ROWS(HardSwish, LeakyRelu, PRelu, Relu)
    ROWS(Selu, Sigmoid, Softplus, Softsign) ROWS(ThresholdedRelu, Shrink, Softmax, LogSoftmax)
    ROWS(Hardmax, Clip, Add, Sub) ROWS(Mul, Div, Pow, Mod) ROWS(And, Or, Xor, Equal)
    ROWS(Greater, GreaterOrEqual, Less, LessOrEqual) ROWS(Where, Mean, Sum, Max) ROWS(Min, BitShift, ReduceL1, ReduceL2)
    ROWS(ReduceLogSum, ReduceLogSumExp, ReduceMax, ReduceMean) ROWS(ReduceMin, ReduceProd, ReduceSumSquare, ReduceSum)
    ROWS(ArgMax, ArgMin, CumSum, TopK) ROWS(NonZero, Unique, Reshape, Flatten)
    ROWS(Squeeze, Unsqueeze, Transpose, Expand) ROWS(Tile, Concat, Split, Slice) ROWS(Pad, Shape, Size, Trilu)
    ROWS(DepthToSpace, SpaceToDepth, ReverseSequence, Constant) ROWS(ConstantOfShape, Range, EyeLike, OneHot)
    ROWS(HannWindow, HammingWindow, BlackmanWindow, Gather) ROWS(GatherElements, Scatter, ScatterElements, GatherND)
    ROWS(ScatterND, Compress, MatMul, Det) ROWS(Einsum, Gemm, Conv, ConvInteger)
    ROWS(ConvTranspose, AveragePool, MaxPool, MaxUnpool)
    ROWS(GlobalAveragePool, GlobalMaxPool, BatchNormalization, InstanceNormalization)
    ROWS(LRN, LayerNormalization, MeanVarianceNormalization, Dropout) ROWS(RNN, LSTM, GRU, GridSample)
    ROWS(Upsample, Resize, RoiAlign, NegativeLogLikelihoodLoss) ROWS(SoftmaxCrossEntropyLoss, Momentum, Adagrad, Adam)
    ROWS(MatMulInteger, DequantizeLinear, QuantizeLinear, QLinearMatMul) ROW(QLinearConv) ROW(DynamicQuantizeLinear)
};

/* ---- reading --------------------------------------------------------------------------------------------- */

static ad_shape read_shape(const char **at) {
    ad_shape s = { 0 };
    assert_int_equal(**at, '[');
    for (++*at; **at != ']'; *at += **at == ',') {
        char *end;
        s.dim[s.ndim++] = strtoll(*at, &end, 10);
        *at = end;
    }
    ++*at;
    return s;
}

/* "KIND [SHAPE] NUMBERS", or "none" */
static ad_var *read_array(const node_test *t, const char *line, char kind[16]) {
    int length = 0;
    assert_int_equal(sscanf(line, "%15s%n", kind, &length), 1);
    if (strcmp(kind, "none") == 0) return NULL;
    const char *at = line + length + 1;
    ad_dtype dtype = strcmp(kind, "f32") == 0 ? AD_F32 : strcmp(kind, "f64") == 0 ? AD_F64 : t->t;
    ad_var *x = ad_zeros(t->g, dtype, read_shape(&at));
    void *data = ad_data_mut(x);
    for (int64_t i = 0; i < ad_numel(x); i++) {
        char *end;
        ad_write_element(dtype, data, i, strtod(at, &end));
        assert_true(end != at);
        at = end;
    }
    return x;
}

/* Whole numbers are f32 where the test has arrays in f32 and none in f64. */
static ad_dtype dtype_of(int n, char *const lines[]) {
    bool f32 = false, f64 = false;
    for (int i = 1; i < n; i++) {
        f32 |= strstr(lines[i], " f32 ") != NULL;
        f64 |= strstr(lines[i], " f64 ") != NULL;
    }
    return f32 && !f64 ? AD_F32 : AD_F64;
}

static void read_test(node_test *t, int n, char *const lines[]) {
    assert_int_equal(sscanf(lines[0], "test %79s %79s", t->name, t->op), 2);
    t->t = dtype_of(n, lines);
    for (int i = 1; i < n; i++) {
        if (strncmp(lines[i], "in ", 3) == 0) {
            assert_in_range(t->n_in, 0, MOST_ARRAYS - 1);
            t->in[t->n_in] = read_array(t, lines[i] + 3, t->in_kind[t->n_in]);
            t->n_in++;
        } else if (strncmp(lines[i], "out ", 4) == 0) {
            assert_in_range(t->n_out, 0, MOST_ARRAYS - 1);
            t->out[t->n_out] = read_array(t, lines[i] + 4, t->out_kind[t->n_out]);
            t->n_out++;
        } else {
            assert_in_range(t->n_attrs, 0, MOST_ATTRS - 1);
            assert_int_equal(sscanf(lines[i], "attr %31s %95[^\n]", t->attr[t->n_attrs], t->value[t->n_attrs]), 2);
            t->n_attrs++;
        }
    }
}

/* ---- running --------------------------------------------------------------------------------------------- */

/* ONNX computes windows with a pi of 3.1415, and rounds the results of RoiAlign to four digits. */
static double tolerance_of(const node_test *t, ad_dtype dtype) {
    if (strstr(t->op, "Window") != NULL || strcmp(t->op, "RoiAlign") == 0) return 1e-4;
    return dtype == AD_F32 ? 1e-5 : 1e-12;
}

static bool same(const node_test *t, const ad_var *got, const ad_var *want) {
    if (got == NULL || ad_is_nil(got) || !ad_shape_equal(ad_shape_of(got), ad_shape_of(want))) {
        print_error("%s: %s %s\n", t->name, got == NULL || ad_is_nil(got) ? "nil" : ad_shape_str(ad_shape_of(got)).text,
                    ad_error(t->g) ? ad_error(t->g) : "");
        return false;
    }
    double tolerance = tolerance_of(t, ad_dtype_of(want));
    for (int64_t i = 0; i < ad_numel(want); i++)
        if (!is_close(ad_at(got, i), ad_at(want, i), tolerance)) {
            print_error("%s: element %d is %.9g, not %.9g\n", t->name, (int)i, ad_at(got, i), ad_at(want, i));
            return false;
        }
    return true;
}

static bool run_lines(int n, char *const lines[]) {
    node_test t = { .g = ad_graph_new() };
    ad_var *y[MOST_ARRAYS] = { NULL };
    read_test(&t, n, lines);
    run_fn *f = NULL;
    for (int i = 0; i < COUNT(operators); i++)
        if (strcmp(operators[i].op, t.op) == 0) f = operators[i].f;
    if (f == NULL) print_error("%s: the test has no operator %s\n", t.name, t.op);
    else f(&t, y);
    bool fits = f != NULL;
    bool absent = ad_error_code(t.g) == AD_EABSENT; /* the build has no LAPACK */
    for (int i = 0; i < t.n_out && fits && !absent; i++)
        if (t.out[i] != NULL) fits = same(&t, y[i], t.out[i]);
    ad_graph_free(t.g);
    return fits;
}

/* The next line without its end, or NULL. Lines begin with a word, as tests do with "test". */
static char *next_line(FILE *f) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, f);
    if (length > 0) line[length - 1] = '\0';
    if (length <= 0) free(line);
    return length > 0 ? line : NULL;
}

static void node_tests(void **state) {
    (void)state;
    FILE *f = fopen(source_path("tests/reference/onnx.txt"), "r");
    assert_non_null(f);
    char *lines[MOST_LINES];
    int n = 0, count = 0, failed = 0;
    for (bool more = true; more;) {
        char *line = next_line(f);
        more = line != NULL;
        if (n > 0 && (!more || strncmp(line, "test ", 5) == 0)) {
            failed += !run_lines(n, lines);
            count++;
            while (n > 0) free(lines[--n]);
        }
        if (more && line[0] == '#') free(line);
        else if (more) lines[n++] = line;
        assert_in_range(n, 0, MOST_LINES - 1);
    }
    fclose(f);
    print_message("%d of %d node tests of ONNX give its results\n", count - failed, count);
    assert_int_equal(failed, 0);
    assert_true(count >= 600);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(node_tests) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
