/* difference.c: differences along an axis and integrals by the trapezoid rule; histograms; several moments at once. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

/* ---- differences and integrals -------------------------------------------------------------------------------- */

/* The later and the earlier neighbours along an axis: parts x[1..] and x[..n-1]. */
static ad_var *later(ad_var *x, int axis) { return ad_slice(x, axis, 1, INT64_MAX, 1); }
static ad_var *earlier(ad_var *x, int axis) { return ad_slice(x, axis, 0, -1, 1); }

ad_var *ad_diff(ad_var *x, int64_t n, int axis) {
    if (ad__absent(x)) return ad__nil_result(x, "diff");
    const ad_call c = AD__CALL_AS("diff", x);
    int at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    if (n < 0) return ad__refused_call(&c, AD_EVALUE, "%lld differences; takes 0 or more", (long long)n);
    if (n > c.shape.dim[at]) n = c.shape.dim[at]; /* nothing is left */
    ad_var *y = ad__unchanged(x);
    for (int64_t i = 0; i < n; i++) y = ad_sub(later(y, at), earlier(y, at));
    return y;
}

/* The areas between neighbours along an axis. x are the places, [n] or of y's shape; NULL: dx apart. */
static ad_var *areas(const char *caller, ad_var *y, ad_var *x, double dx, int axis, int *at) {
    if (ad__absent(y)) return ad__nil_beside(2, (ad_var *[]){ y, x }, caller);
    const ad_call c = AD__CALL_AS(caller, y);
    *at = ad_call_axis(&c, axis, c.shape.ndim);
    if (*at < 0) return ad_nil(c.graph);
    ad_var *sums = ad_add(later(y, *at), earlier(y, *at));
    if (x == NULL) return ad_muls(sums, dx / 2);
    if (ad_shape_of(x).ndim == 1 && ad_numel(x) == c.shape.dim[*at]) {
        ad_shape along = { .ndim = c.shape.ndim - *at, .dim = { ad_numel(x), 1, 1, 1, 1, 1 } };
        x = ad_reshape(x, along);
        return ad_muls(ad_mul(ad_diff(x, 1, 0), sums), 0.5);
    }
    if (!ad_shape_equal(ad_shape_of(x), c.shape))
        return ad__refused_call(&c, AD_ESHAPE, "the places must be [%lld], or have the shape of the samples",
                                (long long)c.shape.dim[*at]);
    return ad_muls(ad_mul(ad_diff(x, 1, *at), sums), 0.5);
}

ad_var *ad_trapezoid(ad_var *y, ad_var *x, double dx, int axis) {
    int at;
    ad_var *parts = areas("trapezoid", y, x, dx, axis, &at);
    return ad__absent(parts) ? parts : ad_sum_axis(parts, at, false);
}
ad_var *ad_cumulative_trapezoid(ad_var *y, ad_var *x, double dx, int axis) {
    int at;
    ad_var *parts = areas("cumulative_trapezoid", y, x, dx, axis, &at);
    return ad__absent(parts) ? parts : ad_cumsum(parts, at);
}

/* ---- histograms: no gradient ---------------------------------------------------------------------------------- */

/* lo == hi stands for the smallest and largest element. */
ad_var *ad_histc(ad_var *x, int64_t bins, double lo, double hi) {
    if (ad__absent(x)) return ad__nil_result(x, "histc");
    const ad_call c = AD__CALL_AS("histc", x);
    if (bins < 1 || !(lo <= hi) || !(hi - lo < INFINITY))
        return ad__refused_call(&c, AD_EVALUE, "%lld bins from %g to %g", (long long)bins, lo, hi);
    ad_var *flat = ad_cast(ad_reshape(ad_detach(x), AD_SHAPE(-1)), AD_F64),
           *none = ad_zeros(c.graph, AD_F64, AD_SHAPE(bins));
    if (ad__absent(flat) || c.in[0]->layout->numel == 0) return ad_cast(none, c.dtype);
    ad_var *zero = ad__constant(flat, 0), *from = ad_scalar(c.graph, AD_F64, lo), *to = ad_scalar(c.graph, AD_F64, hi);
    if (lo == hi) {
        from = ad_min(flat), to = ad_max(flat);
        ad_var *same = ad_eq(from, to);
        from = ad_sub(from, same), to = ad_add(to, same);
    }
    ad_var *inside = ad_logical_and(ad_ge(flat, from), ad_le(flat, to));
    ad_var *place = ad_floor(ad_muls(ad_div(ad_sub(flat, from), ad_sub(to, from)), (double)bins));
    place = ad_where(inside, ad_clamp(place, 0, (double)(bins - 1)), zero);
    return ad_cast(ad_index_add(none, 0, place, inside), c.dtype);
}

/* x [m] of integers 0..n-1 -> [n]: how often each occurs, or the sums of its weights [m]. Added in f64: in f32 a
   count would stop at 2^24. */
ad_var *ad_bincount(ad_var *x, ad_var *weights, int64_t n) {
    if (ad__absent(x)) return ad__nil_beside(2, (ad_var *[]){ x, weights }, "bincount");
    const ad_call c = AD__CALL_AS("bincount", x);
    if (c.shape.ndim != 1) return ad__refused_call(&c, AD_ESHAPE, "takes a vector of integers");
    for (int64_t i = 0; i < c.shape.dim[0]; i++)
        if (ad_read_element(c.dtype, x->data, i) < 0)
            return ad__refused_call(&c, AD_EVALUE, "element %lld is negative", (long long)i);
    ad_var *terms = weights ? ad_cast(weights, AD_F64) : ad_ones(c.graph, AD_F64, c.shape);
    ad_var *sums = ad_index_add(ad_zeros(c.graph, AD_F64, AD_SHAPE(n)), 0, x, terms);
    return ad_cast(sums, weights ? ad_dtype_of(weights) : c.dtype);
}

/* ---- two results ---------------------------------------------------------------------------------------------- */

static int both(ad_var *x, ad_var *first, ad_var *second, ad_var *parts[2]) {
    ad_graph *g = ad_graph_of(x);
    if (parts == NULL) return ad_fail(g, AD_EVALUE, "parts must not be NULL");
    parts[0] = ad_ok(g) ? first : ad_nil(g), parts[1] = ad_ok(g) ? second : ad_nil(g);
    return g ? ad_error_code(g) : AD_EGRAPH;
}

int ad_aminmax(ad_var *x, int n, const int *axes, bool keepdims, ad_var *parts[2]) {
    return both(x, ad_min_axes(x, n, axes, keepdims), ad_max_axes(x, n, axes, keepdims), parts);
}
int ad_var_mean(ad_var *x, int n, const int *axes, int correction, bool keepdims, ad_var *parts[2]) {
    return both(x, ad_variance_axes(x, n, axes, correction, keepdims), ad_mean_axes(x, n, axes, keepdims), parts);
}
int ad_std_mean(ad_var *x, int n, const int *axes, int correction, bool keepdims, ad_var *parts[2]) {
    return both(x, ad_std_axes(x, n, axes, correction, keepdims), ad_mean_axes(x, n, axes, keepdims), parts);
}
