/* array.c: the forms in ONNX of ops that move, choose, join or reduce elements, and of products. */
#include <math.h>
#include <string.h>

#include "nn/onnx/form.h"

/* ---- products ---------------------------------------------------------------------------------------------------- */

static nn__value det(const nn__traced *s) { return NN__NODE(s->m, "Det", nn__in(s, 0)); }
static nn__value matmul(const nn__traced *s) { return NN__NODE(s->m, "MatMul", nn__in(s, 0), nn__in(s, 1)); }

/* Axis i of the result is axis order[i] of x. */
static nn__value transposed(nn__model *m, nn__value x, int n, const int64_t *order) {
    if (n == 0) return x;
    nn__value y = NN__NODE(m, "Transpose", x);
    nn__ints(m, "perm", n, order);
    return y;
}

/* x w^T + b, where w is a matrix. */
static nn__value affine(const nn__traced *s) {
    nn__value x = nn__in(s, 0), w = nn__in(s, 1), b = nn__in(s, 2), y;
    if (nn__ndim(s, 0) == 2) {
        nn__value in[] = { x, w, b };
        y = nn__node(s->m, "Gemm", b ? 3 : 2, in);
        nn__int(s->m, "transB", 1);
        return y;
    }
    y = NN__NODE(s->m, "MatMul", x, transposed(s->m, w, 2, (int64_t[]){ 1, 0 }));
    return b ? NN__NODE(s->m, "Add", y, b) : y;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static nn__value permute(const nn__traced *s) {
    int64_t order[AD_MAX_NDIM];
    int n = nn__ndim(s, 0);
    for (int i = 0; i < n; i++) {
        int64_t axis = nn__attr_count(s, "axes", i).at[0];
        order[i] = axis < 0 ? axis + n : axis;
    }
    return transposed(s->m, nn__in(s, 0), n, order);
}

/* Of the last two axes; all axes of a vector stay. */
static nn__value transpose(const nn__traced *s) {
    int64_t order[AD_MAX_NDIM];
    int n = nn__ndim(s, 0);
    for (int i = 0; i < n; i++) order[i] = i < n - 2 || n < 2 ? i : 2 * n - 3 - i;
    return transposed(s->m, nn__in(s, 0), n, order);
}

static nn__value reshape(const nn__traced *s) {
    nn__value y = NN__NODE(s->m, "Reshape", nn__in(s, 0), nn__shape(s, -1));
    nn__int(s->m, "allowzero", 1);
    return y;
}

static nn__value expand(const nn__traced *s) { return NN__NODE(s->m, "Expand", nn__in(s, 0), nn__shape(s, -1)); }

static nn__value cast(const nn__traced *s) {
    nn__model_set_dtype(s->m, ad_dtype_of(ad_op_result(s->op[0])));
    return nn__evaluate_text(s, "Float(x)");
}

static nn__value triangle(const nn__traced *s, int upper) {
    const int64_t k = (int64_t)nn__attr(s, "diagonal");
    nn__value in[] = { nn__in(s, 0), NULL };
    nn__value scalar = NN__NODE(s->m, "Squeeze", nn__integers(s->m, 1, &k));
    in[1] = scalar;
    nn__value y = nn__node(s->m, "Trilu", 2, in);
    nn__int(s->m, "upper", upper);
    return y;
}
static nn__value tril(const nn__traced *s) { return triangle(s, 0); }
static nn__value triu(const nn__traced *s) { return triangle(s, 1); }

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* The same bounds as in Python, but those that lie beyond the axis for a batch of any size. */
static nn__value slice_of(const nn__traced *s, nn__value x, int n, const int64_t *axes, const nn__count *from,
                          const nn__count *to, const int64_t *step) {
    return NN__NODE(s->m, "Slice", x, nn__counts(s->m, n, from), nn__counts(s->m, n, to), nn__integers(s->m, n, axes),
                    nn__integers(s->m, n, step));
}

static nn__value slice(const nn__traced *s) {
    int64_t axes[AD_MAX_NDIM], step[AD_MAX_NDIM];
    nn__count from[AD_MAX_NDIM], to[AD_MAX_NDIM];
    int n = nn__attr_axes(s, "axes", axes);
    if (n == 0) return nn__in(s, 0);
    for (int i = 0; i < n; i++) {
        from[i] = nn__attr_count(s, "start", i), to[i] = nn__attr_count(s, "stop", i);
        step[i] = nn__attr_count(s, "step", i).at[0];
    }
    return slice_of(s, nn__in(s, 0), n, axes, from, to, step);
}

static nn__value flip(const nn__traced *s) {
    int64_t axes[AD_MAX_NDIM], step[AD_MAX_NDIM];
    nn__count from[AD_MAX_NDIM], to[AD_MAX_NDIM];
    int n = nn__attr_axes(s, "axes", axes);
    if (n == 0) return nn__in(s, 0);
    for (int i = 0; i < n; i++) {
        from[i] = (nn__count){ { -1, -1 } }, to[i] = (nn__count){ { INT64_MIN, INT64_MIN } };
        step[i] = -1;
    }
    return slice_of(s, nn__in(s, 0), n, axes, from, to, step);
}

/* What moves beyond the end comes in at the front. */
static nn__value roll(const nn__traced *s) {
    int axis = (int)nn__attr(s, "axis");
    axis = axis < 0 ? axis + nn__ndim(s, 0) : axis;
    nn__count size = nn__size(s, 0, axis), zero = { { 0 } }, cut;
    if (size.at[0] != size.at[1]) return NULL;
    int64_t shift = (int64_t)nn__attr(s, "shift") % size.at[0];
    const int64_t at = axis, one = 1;
    cut.at[0] = cut.at[1] = shift > 0 ? size.at[0] - shift : -shift;
    nn__value y = NN__NODE(s->m, "Concat", slice_of(s, nn__in(s, 0), 1, &at, &cut, &size, &one),
                           slice_of(s, nn__in(s, 0), 1, &at, &zero, &cut, &one));
    nn__int(s->m, "axis", axis);
    return y;
}

/* Negative pads remove elements in ONNX too. */
static nn__value pad(const nn__traced *s) {
    int n = nn__ndim(s, 0), first = n - nn__attr_length(s, "before");
    nn__count pads[2 * AD_MAX_NDIM] = { { { 0 } } };
    if (n == 0) return nn__in(s, 0);
    for (int i = first; i < n; i++) {
        pads[i] = nn__attr_count(s, "before", i - first);
        pads[n + i] = nn__attr_count(s, "after", i - first);
    }
    return NN__NODE(s->m, "Pad", nn__in(s, 0), nn__counts(s->m, 2 * n, pads), nn__number(s->m, nn__attr(s, "value")));
}

static nn__value join(const nn__traced *s, const char *type) {
    int n = ad_op_arity(s->op[0]), axis = (int)nn__attr(s, "axis");
    nn__value *in = ad_scope_alloc(ad_graph_of(ad_op_result(s->op[0])), (size_t)n * sizeof *in), y;
    if (in == NULL) return "";
    for (int i = 0; i < n; i++) in[i] = nn__in(s, i);
    y = nn__node(s->m, type, n, in);
    nn__int(s->m, "axis", axis);
    return y;
}
static nn__value concat(const nn__traced *s) { return join(s, "Concat"); }

static nn__value stack(const nn__traced *s) {
    int n = ad_op_arity(s->op[0]);
    const int64_t given = (int64_t)nn__attr(s, "axis"), axis = given < 0 ? given + nn__ndim(s, -1) : given;
    nn__value *in = ad_scope_alloc(ad_graph_of(ad_op_result(s->op[0])), (size_t)n * sizeof *in), axes, y;
    if (in == NULL) return "";
    axes = nn__integers(s->m, 1, &axis);
    for (int i = 0; i < n; i++) in[i] = NN__NODE(s->m, "Unsqueeze", nn__in(s, i), axes);
    y = nn__node(s->m, "Concat", n, in);
    nn__int(s->m, "axis", axis);
    return y;
}

/* ---- by index ---------------------------------------------------------------------------------------------------- */

static nn__value by_index(const nn__traced *s, const char *type) {
    nn__value y = NN__NODE(s->m, type, nn__in(s, 0), nn__as_index(s->m, nn__in(s, 1)));
    nn__int(s->m, "axis", (int64_t)nn__attr(s, "axis"));
    return y;
}
static nn__value take_axis(const nn__traced *s) { return by_index(s, "Gather"); }
static nn__value gather(const nn__traced *s) { return by_index(s, "GatherElements"); }

/* scatter(x, index, values) and its sum. */
static nn__value put(const nn__traced *s, const char *how) {
    nn__value x = nn__in(s, 0), index = nn__as_index(s->m, nn__in(s, 1));
    nn__value y = NN__NODE(s->m, "ScatterElements", x, index, nn__in(s, 2));
    nn__int(s->m, "axis", (int64_t)nn__attr(s, "axis"));
    nn__text(s->m, "reduction", how);
    return y;
}
static nn__value scatter(const nn__traced *s) { return put(s, "none"); }
static nn__value scatter_add(const nn__traced *s) { return put(s, "add"); }

static nn__value one_hot(const nn__traced *s) {
    const int64_t n = (int64_t)nn__attr(s, "n");
    nn__value off = nn__number(s->m, 0), on = nn__number(s->m, 1), zero_axis = nn__integers(s->m, 1, (int64_t[]){ 0 });
    nn__value each = NN__NODE(s->m, "Concat", NN__NODE(s->m, "Unsqueeze", off, zero_axis),
                              NN__NODE(s->m, "Unsqueeze", on, zero_axis));
    nn__int(s->m, "axis", 0);
    nn__value index = nn__as_index(s->m, nn__in(s, 0));
    if (nn__ndim(s, 0) == 0) index = NN__NODE(s->m, "Unsqueeze", index, zero_axis); /* a scalar has no row */
    nn__value y = NN__NODE(s->m, "OneHot", index, nn__integers(s->m, 1, &n), each);
    return nn__ndim(s, 0) == 0 ? NN__NODE(s->m, "Squeeze", y, zero_axis) : y;
}

/* ---- reductions -------------------------------------------------------------------------------------------------- */

/* ReduceSum takes its axes as an operand, the others as an attribute. */
static nn__value reduced(const nn__traced *s, const char *type, nn__value x, bool keepdims) {
    int64_t axes[AD_MAX_NDIM];
    int n = nn__attr_axes(s, "axes", axes);
    bool sum = strcmp(type, "ReduceSum") == 0;
    if (nn__ndim(s, 0) == 0) return NN__NODE(s->m, type, x);
    nn__value in[] = { x, sum ? nn__integers(s->m, n, axes) : NULL }, y = nn__node(s->m, type, sum ? 2 : 1, in);
    if (!sum) nn__ints(s->m, "axes", n, axes);
    nn__int(s->m, "keepdims", keepdims);
    return y;
}

static nn__value reduction(const nn__traced *s, const char *type) {
    return reduced(s, type, nn__in(s, 0), nn__attr(s, "keepdims") != 0);
}
static nn__value sum(const nn__traced *s) { return reduction(s, "ReduceSum"); }
static nn__value mean(const nn__traced *s) { return reduction(s, "ReduceMean"); }
static nn__value largest(const nn__traced *s) { return reduction(s, "ReduceMax"); }
static nn__value smallest(const nn__traced *s) { return reduction(s, "ReduceMin"); }
static nn__value prod(const nn__traced *s) { return reduction(s, "ReduceProd"); }
static nn__value logsumexp(const nn__traced *s) { return reduction(s, "ReduceLogSumExp"); }

static nn__value norm(const nn__traced *s) {
    double p = nn__attr(s, "p");
    if (p == 1) return reduction(s, "ReduceL1");
    if (p == 2) return reduction(s, "ReduceL2");
    if (isinf(p)) {
        nn__value size = NN__NODE(s->m, "Abs", nn__in(s, 0));
        return reduced(s, p > 0 ? "ReduceMax" : "ReduceMin", size, nn__attr(s, "keepdims") != 0);
    }
    if (p == 0) return reduced(s, "ReduceSum", nn__evaluate_text(s, "Float(Bool(x))"), nn__attr(s, "keepdims") != 0);
    nn__value power = nn__evaluate_text(s, "Pow(Abs(x), $p)");
    power = reduced(s, "ReduceSum", power, nn__attr(s, "keepdims") != 0);
    return NN__NODE(s->m, "Pow", power, nn__number(s->m, 1 / p));
}

/* The number of elements of one sum. */
static bool fixed_count(const nn__traced *s, double *count) {
    int64_t axes[AD_MAX_NDIM];
    int n = nn__attr_axes(s, "axes", axes), ndim = nn__ndim(s, 0);
    *count = 1;
    for (int i = 0; i < n; i++) {
        nn__count size = nn__size(s, 0, (int)(axes[i] < 0 ? axes[i] + ndim : axes[i]));
        if (size.at[0] != size.at[1]) return false;
        *count *= (double)size.at[0];
    }
    return true;
}

static nn__value variance(const nn__traced *s) {
    double count, correction = nn__attr(s, "correction");
    if (!fixed_count(s, &count)) return NULL; /* over the batch */
    nn__value away = NN__NODE(s->m, "Sub", nn__in(s, 0), reduced(s, "ReduceMean", nn__in(s, 0), true));
    nn__value y = reduced(s, "ReduceSum", NN__NODE(s->m, "Mul", away, away), nn__attr(s, "keepdims") != 0);
    return NN__NODE(s->m, "Div", y, nn__number(s->m, count - correction));
}

static nn__value std(const nn__traced *s) {
    nn__value y = variance(s);
    return y ? NN__NODE(s->m, "Sqrt", y) : NULL;
}

/* The place of the first largest element; over all axes, in the flat array. */
static nn__value place(const nn__traced *s, const char *type) {
    int64_t axes[AD_MAX_NDIM], axis = 0;
    int n = nn__attr_axes(s, "axes", axes);
    nn__value x = nn__in(s, 0);
    bool keepdims = nn__attr(s, "keepdims") != 0;
    if (n != 1 && n != nn__ndim(s, 0)) return NULL;
    if (n != 1) x = NN__NODE(s->m, "Reshape", x, nn__integers(s->m, 1, (int64_t[]){ -1 }));
    else axis = axes[0];
    nn__value y = NN__NODE(s->m, type, x);
    nn__int(s->m, "axis", axis);
    nn__int(s->m, "keepdims", keepdims);
    y = nn__as_number(s->m, y);
    return n != 1 && keepdims ? NN__NODE(s->m, "Reshape", y, nn__shape(s, -1)) : y;
}
static nn__value argmax(const nn__traced *s) { return place(s, "ArgMax"); }
static nn__value argmin(const nn__traced *s) { return place(s, "ArgMin"); }

static nn__value cumsum(const nn__traced *s) {
    const int64_t axis = (int64_t)nn__attr(s, "axis");
    return NN__NODE(s->m, "CumSum", nn__in(s, 0), nn__integers(s->m, 1, &axis));
}

const nn__form nn__array_forms[] = {
    { "matmul", matmul }, { "affine", affine }, { "det", det }, { "permute", permute }, { "transpose", transpose },
    { "reshape", reshape }, { "expand", expand }, { "cast", cast }, { "tril", tril }, { "triu", triu },
    { "slice", slice }, { "flip", flip }, { "roll", roll }, { "pad", pad }, { "concat", concat }, { "stack", stack },
    { "take_axis", take_axis }, { "gather", gather }, { "scatter", scatter }, { "scatter_add", scatter_add },
    { "one_hot", one_hot }, { "sum", sum }, { "mean", mean }, { "max", largest }, { "min", smallest },
    { "prod", prod }, { "logsumexp", logsumexp }, { "norm", norm }, { "variance", variance }, { "std", std },
    { "argmax", argmax }, { "argmin", argmin }, { "cumsum", cumsum }, { 0 },
};
