/* views.c: functions that arrange elements anew: movedim, swapaxes, rot90, unflatten, unfold, as_strided, and those
   that write to a part: select_scatter, diagonal_scatter. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- axes ------------------------------------------------------------------------------------------------------ */

ad_var *ad_movedim(ad_var *x, int from, int to) {
    if (ad__absent(x)) return ad__nil_result(x, "movedim");
    const ad_call c = AD__CALL_AS("movedim", x);
    int a = ad_call_axis(&c, from, c.shape.ndim), b = a < 0 ? a : ad_call_axis(&c, to, c.shape.ndim);
    if (b < 0) return ad_nil(c.graph);
    ad_shape order = { .ndim = c.shape.ndim };
    for (int i = 0, k = 0; i < order.ndim; i++) {
        if (k == a) k++;
        order.dim[i] = i == b ? a : k++;
    }
    return a == b ? ad__unchanged(x) : ad_permute(x, order);
}

ad_var *ad_swapaxes(ad_var *x, int axis0, int axis1) {
    if (ad__absent(x)) return ad__nil_result(x, "swapaxes");
    const ad_call c = AD__CALL_AS("swapaxes", x);
    int a = ad_call_axis(&c, axis0, c.shape.ndim), b = a < 0 ? a : ad_call_axis(&c, axis1, c.shape.ndim);
    if (b < 0) return ad_nil(c.graph);
    ad_shape order = { .ndim = c.shape.ndim };
    for (int i = 0; i < order.ndim; i++) order.dim[i] = i == a ? b : i == b ? a : i;
    return a == b ? ad__unchanged(x) : ad_permute(x, order);
}

ad_var *ad_rot90(ad_var *x, int64_t k, int axis0, int axis1) {
    if (ad__absent(x)) return ad__nil_result(x, "rot90");
    const ad_call c = AD__CALL_AS("rot90", x);
    int a = ad_call_axis(&c, axis0, c.shape.ndim), b = a < 0 ? a : ad_call_axis(&c, axis1, c.shape.ndim);
    if (b < 0) return ad_nil(c.graph);
    if (a == b) return ad__refused_call(&c, AD_ESHAPE, "axis %d is named twice", a);
    switch ((k % 4 + 4) % 4) {
    case 1: return ad_swapaxes(ad_flip(x, b), a, b);
    case 2: return ad_flip(ad_flip(x, a), b);
    case 3: return ad_flip(ad_swapaxes(x, a, b), b);
    default: return ad__unchanged(x);
    }
}

/* x with one axis replaced by axes of the given sizes, of which one may be -1 */
ad_var *ad_unflatten(ad_var *x, int axis, ad_shape sizes) {
    if (ad__absent(x)) return ad__nil_result(x, "unflatten");
    const ad_call c = AD__CALL_AS("unflatten", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    if (sizes.ndim < 1 || sizes.ndim > AD_MAX_NDIM - c.shape.ndim + 1)
        return ad__refused_call(&c, AD_ESHAPE, "%d sizes for one axis; takes 1 to %d", sizes.ndim,
                                AD_MAX_NDIM - c.shape.ndim + 1);
    ad_shape s = { .ndim = c.shape.ndim + sizes.ndim - 1 };
    int64_t product = 1, n = c.shape.dim[at];
    bool open = false;
    for (int i = 0; i < sizes.ndim; i++) {
        open = open || sizes.dim[i] == -1;
        if (sizes.dim[i] > 0 && product <= n) product *= sizes.dim[i] <= n ? sizes.dim[i] : n + 1;
        else if (sizes.dim[i] != -1) product = 0;
    }
    if (open ? product == 0 || n % product != 0 : product != n)
        return ad__refused_call(&c, AD_ESHAPE, "axis %d has %lld elements, which sizes %s do not have", at,
                                (long long)n, ad_shape_str(sizes).text);
    for (int i = 0; i < s.ndim; i++)
        s.dim[i] = i < at ? c.shape.dim[i] : i < at + sizes.ndim ? sizes.dim[i - at] : c.shape.dim[i - sizes.ndim + 1];
    return ad_reshape(x, s);
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

/* A constant vector of n indices from start on, step apart. */
static ad_var *indices(ad_graph *g, int64_t n, int64_t start, int64_t step) {
    return ad_adds(ad_muls(ad_arange(g, AD_F64, 0, (double)n, 1), (double)step), (double)start);
}

/* The windows of `size` elements along an axis, `step` apart: the axis counts windows, and a new last axis elements. */
ad_var *ad_unfold_axis(ad_var *x, int axis, int64_t size, int64_t step) {
    if (ad__absent(x)) return ad__nil_result(x, "unfold_axis");
    const ad_call c = AD__CALL_AS("unfold_axis", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    int64_t n = c.shape.dim[at];
    if (size < 0 || size > n || step < 1)
        return ad__refused_call(&c, AD_EVALUE, "windows of %lld elements, %lld apart, of an axis with %lld",
                                (long long)size, (long long)step, (long long)n);
    ad_var *first = ad_reshape(indices(c.graph, (n - size) / step + 1, 0, step), AD_SHAPE(-1, 1));
    ad_var *index = ad_add(first, indices(c.graph, size, 0, 1));
    return ad_movedim(ad_take_axis(x, at, index), at + 1, -1);
}

ad_var *ad_as_strided(ad_var *x, ad_shape shape, ad_shape stride, int64_t offset) {
    if (ad__absent(x)) return ad__nil_result(x, "as_strided");
    const ad_call c = AD__CALL_AS("as_strided", x);
    int64_t n = c.in[0]->layout->numel, last = offset;
    if (ad_shape_numel(shape) < 0 || stride.ndim != shape.ndim)
        return ad__refused_call(&c, AD_ESHAPE, "a shape of %d and strides of %d dimensions", shape.ndim, stride.ndim);
    bool inside = offset >= 0 && offset <= n;
    for (int i = 0; i < shape.ndim && inside; i++) {
        int64_t steps = shape.dim[i] - 1, s = stride.dim[i];
        inside = steps < 1 || (s >= 0 && (s == 0 || steps <= (n - 1 - last) / s));
        if (inside && steps > 0) last += steps * s;
    }
    if (ad_shape_numel(shape) > 0 && !(inside && last < n))
        return ad__refused_call(&c, AD_EVALUE, "shape %s, strides %s and offset %lld reach beyond the %lld elements",
                                ad_shape_str(shape).text, ad_shape_str(stride).text, (long long)offset, (long long)n);
    ad_var *index = ad_full(c.graph, AD_F64, (double)offset, AD_SCALAR);
    for (int i = 0; i < shape.ndim; i++)
        index = ad_add(ad_unsqueeze(index, -1), indices(c.graph, shape.dim[i], 0, stride.dim[i]));
    return ad_take(x, index);
}

/* ---- writing to a part ----------------------------------------------------------------------------------------- */

ad_var *ad_select_scatter(ad_var *x, ad_var *src, int axis, int64_t index) {
    ad_var *nil = ad__unfit_result("select_scatter", 2, (ad_var *[]){ x, src });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("select_scatter", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    int64_t n = c.shape.dim[at], i = index < 0 ? index + n : index;
    ad_shape part = ad__reduced_shape(c.shape, 1u << at, false);
    if (i < 0 || i >= n)
        return ad__refused_call(&c, AD_EVALUE, "index %lld is not one of %lld..%lld", (long long)index, (long long)-n,
                                (long long)n - 1);
    if (!ad_shape_equal(part, src->layout->shape))
        return ad__refused_call(&c, AD_ESHAPE, "src must be %s", ad_shape_str(part).text);
    return ad_slice_scatter(x, ad_unsqueeze(src, at), at, i, i + 1, 1);
}

/* x [..,n,m] with its diagonal replaced by src [..,k] */
ad_var *ad_diagonal_scatter(ad_var *x, ad_var *src, int64_t offset) {
    ad_var *nil = ad__unfit_result("diagonal_scatter", 2, (ad_var *[]){ x, src });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("diagonal_scatter", x);
    ad_var *old = ad_diagonal(x, offset);
    if (!ad_ok(c.graph)) return old;
    if (!ad_shape_equal(old->layout->shape, src->layout->shape))
        return ad__refused_call(&c, AD_ESHAPE, "src must be %s", ad_shape_str(old->layout->shape).text);
    ad_shape flat = src->layout->shape;
    int64_t k = flat.dim[flat.ndim - 1], m = c.shape.dim[c.shape.ndim - 1];
    flat.dim[flat.ndim - 1] = c.shape.dim[c.shape.ndim - 2] * m;
    ad_var *at = indices(c.graph, k, offset < 0 ? -offset * m : offset, m + 1);
    return ad_reshape(ad_index_copy(ad_reshape(x, flat), -1, at, src), c.shape);
}

ad_var *ad_diagflat(ad_var *x, int64_t offset) { return ad_diag_embed(ad_reshape(x, AD_SHAPE(-1)), offset); }

/* ---- lists of parts ------------------------------------------------------------------------------------------- */

int ad_unbind(ad_var *x, int axis, int n, ad_var *parts[]) {
    for (int i = 0; i < n && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, "unbind");
    const ad_call c = AD__CALL_AS("unbind", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return at;
    if (parts == NULL || n < c.shape.dim[at])
        return ad_call_fail(&c, AD_EVALUE, "axis %d has %lld elements; there is space for %d parts", at,
                            (long long)c.shape.dim[at], parts ? n : 0);
    for (int i = 0; i < c.shape.dim[at]; i++) parts[i] = ad_select(x, at, i);
    return ad_ok(c.graph) ? (int)c.shape.dim[at] : ad_error_code(c.graph);
}

/* The first parts have one element more if n does not divide the axis. */
int ad_tensor_split(ad_var *x, int axis, int n, ad_var *parts[]) {
    for (int i = 0; i < n && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, "tensor_split");
    const ad_call c = AD__CALL_AS("tensor_split", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return at;
    if (n < 1 || parts == NULL) return ad_call_fail(&c, AD_EVALUE, "%d parts; takes 1 or more", parts ? n : 0);
    int64_t size = c.shape.dim[at] / n, larger = c.shape.dim[at] % n, from = 0;
    for (int i = 0; i < n && ad_ok(c.graph); i++) {
        int64_t own = size + (i < larger);
        parts[i] = ad_narrow(x, at, from, own);
        from += own;
    }
    return ad_ok(c.graph) ? n : ad_error_code(c.graph);
}

/* ---- triangles ------------------------------------------------------------------------------------------------ */

static ad_var *triangle_indices(ad_graph *g, ad_dtype t, int64_t n, int64_t m, int64_t k, bool lower) {
    ad_var *ones = ad_ones(g, t, AD_SHAPE(n, m));
    return ad_transpose(ad_nonzero(lower ? ad_tril(ones, k) : ad_triu(ones, k)));
}
ad_var *ad_tril_indices(ad_graph *g, ad_dtype t, int64_t n, int64_t m, int64_t k) {
    return triangle_indices(g, t, n, m, k, true);
}
ad_var *ad_triu_indices(ad_graph *g, ad_dtype t, int64_t n, int64_t m, int64_t k) {
    return triangle_indices(g, t, n, m, k, false);
}
