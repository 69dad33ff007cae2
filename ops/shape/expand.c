/* expand.c: other shapes for the same elements, by reshape; and repeated ones, by expand. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- views --------------------------------------------------------------------------------------------- */

ad_var *ad_squeeze(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "squeeze");
    ad_shape s = x->layout->shape;
    unsigned ones = 0;
    for (int i = 0; i < s.ndim; i++)
        if (s.dim[i] == 1) ones |= 1u << i;
    return ad_reshape(x, ad__reduced_shape(s, ones, false));
}

/* PyTorch's rule: an axis of another size than 1 stays; NumPy refuses it. */
ad_var *ad_squeeze_axis(ad_var *x, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "squeeze");
    const ad_call c = AD__CALL_AS("squeeze", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    return ad_reshape(x, ad__reduced_shape(c.shape, c.shape.dim[at] == 1 ? 1u << at : 0, false));
}

ad_var *ad_unsqueeze(ad_var *x, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "unsqueeze");
    ad_call c = AD__CALL_AS("unsqueeze", x);
    if (c.shape.ndim == AD_MAX_NDIM) {
        ad_call_fail(&c, AD_ESHAPE, "no room for a dimension more than %d", AD_MAX_NDIM);
        return ad_nil(c.graph);
    }
    int at = ad_call_axis(&c, axis, c.shape.ndim + 1);
    if (at < 0) return ad_nil(c.graph);
    for (int i = c.shape.ndim++; i > at; i--) c.shape.dim[i] = c.shape.dim[i - 1];
    c.shape.dim[at] = 1;
    return ad_reshape(x, c.shape);
}

/* Axes start to end, both included, as one; of a scalar, the one element. */
ad_var *ad_flatten(ad_var *x, int start, int end) {
    if (ad__absent(x)) return ad__nil_result(x, "flatten");
    const ad_call c = AD__CALL_AS("flatten", x);
    int ndim = c.shape.ndim ? c.shape.ndim : 1;
    int first = ad_call_axis(&c, start, ndim), last = ad_call_axis(&c, end, ndim);
    if (first < 0 || last < 0) return ad_nil(c.graph);
    if (first > last) {
        ad_call_fail(&c, AD_ESHAPE, "axis %d, where to start, is behind axis %d, where to end", first, last);
        return ad_nil(c.graph);
    }
    ad_shape to = { .ndim = ndim - (last - first) };
    for (int i = 0; i < first; i++) to.dim[i] = c.shape.dim[i];
    to.dim[first] = 1;
    for (int i = first; i <= last && i < c.shape.ndim; i++) to.dim[first] *= c.shape.dim[i];
    for (int i = last + 1; i < ndim; i++) to.dim[i - (last - first)] = c.shape.dim[i];
    return ad_reshape(x, to);
}

/* ---- repetitions ----------------------------------------------------------------------------------------- */

/* s with axis `axis` k times as long; false, with the error, where k is negative or the product too large. */
static bool lengthen(const ad_call *c, ad_shape *s, int axis, int64_t k) {
    if (k < 0) return ad_call_fail(c, AD_EVALUE, "%lld repetitions along axis %d", (long long)k, axis), false;
    if (__builtin_mul_overflow(s->dim[axis], k, &s->dim[axis]) || ad_shape_numel(*s) < 0)
        return ad_call_fail(c, AD_ESHAPE, "the result would have too many elements"), false;
    return true;
}

/* The elements in pieces of inner, each of them k times, one after the other. */
static ad_var *repeat_pieces(ad_var *x, int64_t pieces, int64_t inner, int64_t k) {
    return ad_expand(ad_reshape(x, AD_SHAPE(pieces, 1, inner)), AD_SHAPE(pieces, k, inner));
}

/* NumPy's and PyTorch's tile. From the last axis, so that the large copies are of long pieces. */
ad_var *ad_tile(ad_var *x, ad_shape reps) {
    if (ad__absent(x)) return ad__nil_result(x, "tile");
    const ad_call c = AD__CALL_AS("tile", x);
    if (reps.ndim < 0 || reps.ndim > AD_MAX_NDIM) {
        ad_call_fail(&c, AD_ESHAPE, "repetitions along %d axes", reps.ndim);
        return ad_nil(c.graph);
    }
    ad_shape s = { .ndim = reps.ndim > c.shape.ndim ? reps.ndim : c.shape.ndim };
    int added = s.ndim - c.shape.ndim;
    for (int i = 0; i < s.ndim; i++) s.dim[i] = i < added ? 1 : c.shape.dim[i - added];
    ad_var *y = x;
    for (int i = s.ndim - 1, r = reps.ndim - 1; r >= 0; i--, r--) {
        ad__around a = ad__around_axis(s, i);
        if (!lengthen(&c, &s, i, reps.dim[r])) return ad_nil(c.graph);
        if (reps.dim[r] != 1) y = repeat_pieces(y, a.outer, a.n * a.inner, reps.dim[r]);
    }
    return ad_reshape(y, s);
}

/* PyTorch's repeat_interleave, NumPy's repeat: each element of an axis k times, side by side. */
ad_var *ad_repeat_interleave(ad_var *x, int axis, int64_t k) {
    if (ad__absent(x)) return ad__nil_result(x, "repeat_interleave");
    const ad_call c = AD__CALL_AS("repeat_interleave", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    ad_shape s = c.shape;
    if (at < 0 || !lengthen(&c, &s, at, k)) return ad_nil(c.graph);
    ad__around a = ad__around_axis(c.shape, at);
    return ad_reshape(repeat_pieces(x, a.outer * a.n, a.inner, k), s);
}
