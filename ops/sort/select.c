/* select.c: single elements by their place in the order of an axis: kthvalue, median, quantile. */
#include "ops/base/gradient.h"
#include "ops/ops.h"
#include "ops/sort/sort.h"

#include <math.h>

/* ---- helpers: the rows of x along an axis, with the order of each -------------------------------------------- */

typedef struct {
    ad_var *x, *order;
    int axis;
    int64_t n; /* elements of a row */
} ordered;

/* Returns 0, or a negative code after setting the error. */
static int order_rows(const ad_call *c, int axis, ordered *to) {
    int at = ad__order_axis(c, axis);
    if (at < 0) return at;
    int64_t n = c->shape.dim[at];
    if (n == 0) return ad_call_fail(c, AD_ESHAPE, "no elements to take the %s of", c->type->name);
    *to = (ordered){ c->in[0], ad_argsort(c->in[0], at, false), at, n };
    return AD_OK;
}

/* The indices of the elements in place k. */
static ad_var *place(const ordered *r, int64_t k) { return ad_narrow(r->order, r->axis, k, 1); }

static ad_var *elements_at(const ordered *r, ad_var *index) { return ad_gather(r->x, r->axis, index); }

/* index, or in rows with NaNs nan_index, which is then the index of one of them. */
static ad_var *unless_nan(const ordered *r, ad_var *nan_index, ad_var *index) {
    return ad_where(ad_isnan(elements_at(r, nan_index)), nan_index, index);
}

/* y without the axis, which has size 1, unless it is kept. */
static ad_var *reduced(const ordered *r, ad_var *y, bool keepdims) {
    return keepdims ? y : ad_squeeze_axis(y, r->axis);
}

/* ---- kthvalue, median ------------------------------------------------------------------------------------------ */

ad_var *ad_kthvalue(ad_var *x, int axis, int64_t k, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "kthvalue");
    const ad_call c = AD__CALL_AS("kthvalue", x);
    ordered r;
    if (order_rows(&c, axis, &r) != AD_OK) return ad_nil(c.graph);
    if (k >= 1 && k <= r.n) return reduced(&r, elements_at(&r, place(&r, k - 1)), keepdims);
    ad_call_fail(&c, AD_EVALUE, "k is %lld, not one of 1..%lld, the size of axis %d", (long long)k, (long long)r.n,
                 axis);
    return ad_nil(c.graph);
}

/* The first NaN gets the gradient, as in PyTorch: argmax finds it. */
ad_var *ad_median_axis(ad_var *x, int axis, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "median");
    const ad_call c = AD__CALL_AS("median", x);
    ordered r;
    if (order_rows(&c, axis, &r) != AD_OK) return ad_nil(c.graph);
    ad_var *index = unless_nan(&r, ad_argmax_axis(x, r.axis, true), place(&r, (r.n - 1) / 2));
    return reduced(&r, elements_at(&r, index), keepdims);
}

ad_var *ad_median(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "median");
    return ad_median_axis(ad_reshape(x, AD_SHAPE(-1)), 0, false);
}

/* ---- quantile ---------------------------------------------------------------------------------------------------- */

/* The elements in places low and low + 1 count 1 - weight and weight. */
typedef struct {
    int64_t low;
    double weight;
} blend;

static blend blend_of(double q, int64_t n, ad_interpolation how) {
    double at = q * (double)(n - 1), low = floor(at);
    if (how == AD_NEAREST) return (blend){ (int64_t)rint(at), 0 }; /* halves to the even place */
    if (how == AD_LOWER || at == low) return (blend){ (int64_t)low, 0 };
    if (how == AD_HIGHER) return (blend){ (int64_t)low + 1, 0 };
    return (blend){ (int64_t)low, how == AD_MIDPOINT ? 0.5 : at - low };
}

static int check_quantile(const ad_call *c, double q, ad_interpolation how) {
    if (!(q >= 0 && q <= 1)) return ad_call_fail(c, AD_EVALUE, "q is %g, not a number of 0..1", q);
    if ((unsigned)how <= AD_NEAREST) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "interpolation %d is none of ad_interpolation", (int)how);
}

/* The last NaN gets the gradient, as in PyTorch. */
ad_var *ad_quantile_axis(ad_var *x, int axis, double q, ad_interpolation how, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "quantile");
    const ad_call c = AD__CALL_AS("quantile", x);
    ordered r;
    if (check_quantile(&c, q, how) != AD_OK || order_rows(&c, axis, &r) != AD_OK) return ad_nil(c.graph);
    blend b = blend_of(q, r.n, how);
    ad_var *largest = place(&r, r.n - 1), *y = elements_at(&r, unless_nan(&r, largest, place(&r, b.low)));
    if (b.weight > 0) {
        ad_var *next = elements_at(&r, unless_nan(&r, largest, place(&r, b.low + 1)));
        y = ad_lerp(y, next, ad__constant(x, b.weight));
    }
    return reduced(&r, y, keepdims);
}

ad_var *ad_quantile(ad_var *x, double q, ad_interpolation how) {
    if (ad__absent(x)) return ad__nil_result(x, "quantile");
    return ad_quantile_axis(ad_reshape(x, AD_SHAPE(-1)), 0, q, how, false);
}
