/* order.c: medians and quantiles that leave out NaN, runs of equal elements, membership, equal and close arrays. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

/* ---- NaNs are sorted behind all others ------------------------------------------------------------------------ */

typedef struct {
    ad_var *sorted, *last; /* last: the place of the last element that is not NaN; -1 if all are */
    int axis;
} numbers;

static bool sort_numbers(const ad_call *c, int axis, numbers *to) {
    to->axis = ad_call_axis(c, axis, c->shape.ndim);
    if (to->axis < 0) return false;
    if (c->shape.dim[to->axis] == 0) return ad_call_fail(c, AD_ESHAPE, "axis %d has no elements", to->axis), false;
    to->sorted = ad_sort(c->in[0], to->axis, false);
    ad_var *present = ad_logical_not(ad_isnan(ad_detach(c->in[0])));
    to->last = ad_adds(ad_sum_axis(present, to->axis, true), -1);
    return true;
}

static ad_var *without_axis(const numbers *r, ad_var *y, bool keepdims) {
    return keepdims ? y : ad_squeeze_axis(y, r->axis);
}

ad_var *ad_nanmedian_axis(ad_var *x, int axis, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "nanmedian");
    const ad_call c = AD__CALL_AS("nanmedian", x);
    numbers r;
    if (!sort_numbers(&c, axis, &r)) return ad_nil(c.graph);
    return without_axis(&r, ad_gather(r.sorted, r.axis, ad_floor(ad_muls(r.last, 0.5))), keepdims);
}
ad_var *ad_nanmedian(ad_var *x) { return ad_nanmedian_axis(ad_reshape(x, AD_SHAPE(-1)), 0, false); }

ad_var *ad_nanquantile_axis(ad_var *x, int axis, double q, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "nanquantile");
    const ad_call c = AD__CALL_AS("nanquantile", x);
    numbers r;
    if (!(q >= 0 && q <= 1)) return ad__refused_call(&c, AD_EVALUE, "q is %g, not a number of 0..1", q);
    if (!sort_numbers(&c, axis, &r)) return ad_nil(c.graph);
    ad_var *at = ad_muls(r.last, q), *low = ad_floor(at), *part = ad_sub(at, low);
    ad_var *lower = ad_gather(r.sorted, r.axis, low), *upper = ad_gather(r.sorted, r.axis, ad_ceil(at));
    return without_axis(&r, ad_where(part, ad_lerp(lower, upper, part), lower), keepdims);
}
ad_var *ad_nanquantile(ad_var *x, double q) { return ad_nanquantile_axis(ad_reshape(x, AD_SHAPE(-1)), 0, q, false); }

/* ---- equal elements ------------------------------------------------------------------------------------------- */

int ad_unique_consecutive(ad_var *x, ad_var *parts[2]) {
    for (int i = 0; i < 2 && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, "unique_consecutive");
    const ad_call c = AD__CALL_AS("unique_consecutive", x);
    if (parts == NULL) return ad_call_fail(&c, AD_EVALUE, "parts must not be NULL");
    ad_var *flat = ad_detach(ad_reshape(x, AD_SHAPE(-1)));
    int64_t n = 0, m = ad_numel(flat);
    for (int64_t i = 0; i < m; i++) n += i == 0 || !(ad_at(flat, i) == ad_at(flat, i - 1));
    ad_var *starts = ad_run_starts(flat, n), *end = ad_full(c.graph, c.dtype, (double)m, AD_SHAPE(1));
    parts[0] = ad_take_axis(flat, 0, starts);
    parts[1] = ad_diff(ad_concat(2, (ad_var *[]){ starts, end }, 0), 1, 0);
    for (int i = 0; i < 2 && !ad_ok(c.graph); i++) parts[i] = ad_nil(c.graph);
    return ad_error_code(c.graph);
}

/* 1 where an element of x is among the values, by a search in their order. */
ad_var *ad_isin(ad_var *x, ad_var *values) {
    ad_var *nil = ad__unfit_result("isin", 2, (ad_var *[]){ x, values });
    if (nil != NULL) return nil;
    if (values->layout->numel == 0) return ad_zeros_like(x);
    ad_var *sorted = ad_sort(ad_reshape(ad_detach(values), AD_SHAPE(-1)), 0, false);
    ad_var *at = ad_clamp(ad_searchsorted(sorted, ad_detach(x), false), 0, (double)(values->layout->numel - 1));
    return ad_eq(ad_take(sorted, at), ad_detach(x));
}

/* NaN is equal to nothing. */
ad_var *ad_equal(ad_var *a, ad_var *b) {
    ad_var *nil = ad__unfit_result("equal", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    if (ad_shape_equal(a->layout->shape, b->layout->shape)) return ad_all(ad_eq(ad_detach(a), ad_detach(b)));
    return ad_zeros(ad__owner(a), a->layout->dtype, AD_SCALAR);
}

ad_var *ad_allclose(ad_var *a, ad_var *b, double rtol, double atol, bool equal_nan) {
    return ad_all(ad_isclose(a, b, rtol, atol, equal_nan));
}
