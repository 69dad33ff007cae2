/* attrs.c: attributes that several ops share: one axis, several axes, a shape. */
#include "ops/base/attrs.h"

const ad_attr ad__axis_list[] = { { "axis", AD_ATTR_INT, offsetof(ad__axis_attrs, axis) }, { 0 } };
const ad_attr ad__axes_list[] = { { "axes", AD_ATTR_AXES, offsetof(ad__axes_attrs, n) },
                                  { "keepdims", AD_ATTR_BOOL, offsetof(ad__axes_attrs, keepdims) },
                                  { 0 } };
const ad_attr ad__shape_list[] = { { "shape", AD_ATTR_SHAPE, offsetof(ad__shape_attrs, shape) }, { 0 } };

unsigned ad__axes_mask(const ad__axes_attrs *a, int ndim) {
    if (a->n < 0) return (1u << ndim) - 1;
    unsigned mask = 0;
    for (int i = 0; i < a->n; i++) mask |= 1u << (a->axis[i] < 0 ? a->axis[i] + ndim : a->axis[i]);
    return mask;
}

ad_shape ad__reduced_shape(ad_shape s, unsigned mask, bool keepdims) {
    ad_shape r = { 0 };
    for (int i = 0; i < s.ndim; i++) {
        bool gone = mask >> i & 1;
        if (!gone || keepdims) r.dim[r.ndim++] = gone ? 1 : s.dim[i];
    }
    return r;
}

int ad__call_axes(const ad_call *c, int n, const int *axis) {
    unsigned seen = 0;
    if (n < 0) return (1 << c->shape.ndim) - 1;
    if (n > AD_MAX_NDIM)
        return ad_call_fail(c, AD_ESHAPE, "%d axes given, but at most %d are possible", n, AD_MAX_NDIM);
    for (int i = 0; i < n; i++) {
        int at = ad_call_axis(c, axis[i], c->shape.ndim);
        if (at < 0) return at;
        if (seen >> at & 1) return ad_call_fail(c, AD_ESHAPE, "axis %d is named twice", at);
        seen |= 1u << at;
    }
    return (int)seen;
}

int ad__axes_shape(ad_call *c) {
    const ad__axes_attrs *a = c->attrs;
    int mask = ad__call_axes(c, a->n, a->axis);
    if (mask < 0) return mask;
    c->shape = ad__reduced_shape(c->shape, (unsigned)mask, a->keepdims);
    c->scratch = (size_t)ad_shape_numel(c->shape) * sizeof(double);
    return AD_OK;
}

ad__axes_attrs ad__axes_of(int n, const int *axes) {
    ad__axes_attrs a = { .n = n < 0 || axes == NULL ? -1 : n };
    for (int i = 0; i < a.n && i < AD_MAX_NDIM; i++) a.axis[i] = axes[i];
    return a;
}

ad__axes_attrs ad__reduced_axes(int n, const int *axes, bool keepdims) {
    ad__axes_attrs a = ad__axes_of(n ? n : -1, axes);
    a.keepdims = keepdims;
    return a;
}

ad_var *ad__reduce_all(const ad_optype *type, ad_var *x) {
    return ad__apply1(type, x, &(ad__axes_attrs){ .n = -1 });
}
ad_var *ad__reduce_axis(const ad_optype *type, ad_var *x, int axis, bool keepdims) {
    return ad__apply1(type, x, &(ad__axes_attrs){ 1, { axis }, keepdims });
}
ad_var *ad__reduce_axes(const ad_optype *type, ad_var *x, int n, const int *axes, bool keepdims) {
    ad__axes_attrs a = ad__reduced_axes(n, axes, keepdims);
    return ad__apply1(type, x, &a);
}

bool ad__is_moderate(ad_shape s) {
    const int64_t most = (int64_t)1 << 45;
    int64_t product = 1;
    for (int i = 0; i < s.ndim; i++) {
        if (s.dim[i] > most / product) return false;
        if (s.dim[i] > 0) product *= s.dim[i];
    }
    return true;
}

ad__around ad__around_axis(ad_shape s, int axis) {
    ad__around r = { 1, 1, 1 };
    if (axis < 0) axis += s.ndim;
    for (int i = 0; i < s.ndim; i++) *(i < axis ? &r.outer : i == axis ? &r.n : &r.inner) *= s.dim[i];
    return r;
}

void ad__load_row(ad_dtype t, int64_t n, int64_t step, const void *x, void *row) {
    if (t == AD_F32)
        for (int64_t i = 0; i < n; i++) ((float *)row)[i] = ((const float *)x)[i * step];
    else
        for (int64_t i = 0; i < n; i++) ((double *)row)[i] = ((const double *)x)[i * step];
}

void ad__store_row(ad_dtype t, int64_t n, int64_t step, const void *row, void *y) {
    if (t == AD_F32)
        for (int64_t i = 0; i < n; i++) ((float *)y)[i * step] = ((const float *)row)[i];
    else
        for (int64_t i = 0; i < n; i++) ((double *)y)[i * step] = ((const double *)row)[i];
}

int ad__check_eps(const ad_call *c, double eps) {
    if (eps >= 0 && eps - eps == 0) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "eps %g is not a finite number >= 0", eps);
}

int ad__check_no_gradient(const ad_call *c, int i, const char *name) {
    if (i >= c->n || !c->graph->grad_enabled || !ad__needs(c->in[i])) return AD_OK;
    return ad_call_fail(c, AD_EGRAD,
                        "the %s require a gradient, which this op does not compute; pass ad_detach of them", name);
}

ad_call ad__call_as(const ad_optype *type, ad_var *const *x) {
    return (ad_call){ .graph = ad__owner(*x), .type = type, .n = 1, .in = x, .dtype = (*x)->layout->dtype,
                      .shape = (*x)->layout->shape };
}

ad_var *ad__nil_result(const ad_var *x, const char *caller) {
    ad_refuse_nil(x, caller);
    return ad_nil(x ? ad__owner(x) : NULL);
}

ad_var *ad__absent_result(const char *caller, int n, ad_var *const xs[]) {
    ad_graph *g = ad__graph_among(n, xs);
    for (int i = 0; i < n; i++) {
        if (!ad__absent(xs[i])) continue;
        bool owned = xs[i] != NULL && ad__owner(xs[i]) != NULL;
        if (owned || g == NULL) ad_refuse_nil(xs[i], caller);
        else ad_fail(g, AD_EVALUE, "%s: operand %d is %s", caller, i, xs[i] ? "the nil of no graph" : "NULL");
        return ad_nil(g);
    }
    return NULL;
}

ad_var *ad__unfit_result(const char *caller, int n, ad_var *const xs[]) {
    ad_var *nil = ad__absent_result(caller, n, xs);
    if (nil != NULL) return nil;
    for (int i = 1; i < n; i++) {
        if (xs[i]->layout->dtype == xs[0]->layout->dtype) continue;
        ad_graph *g = ad__owner(xs[0]);
        ad_fail(g, AD_EDTYPE, "%s: operands of two dtypes, %s and %s; convert one with ad_cast", caller,
                ad_dtype_name(xs[0]->layout->dtype), ad_dtype_name(xs[i]->layout->dtype));
        return ad_nil(g);
    }
    return NULL;
}

ad_var *ad__unfit_broadcast(const char *caller, int n, ad_var *const xs[]) {
    ad_var *nil = ad__unfit_result(caller, n, xs);
    if (nil != NULL) return nil;
    const ad_call c = { .graph = ad__owner(xs[0]), .type = &(const ad_optype){ .name = caller }, .n = n, .in = xs };
    ad_shape whole = xs[0]->layout->shape;
    for (int i = 1; i < n; i++)
        if (ad__broadcast(whole, xs[i]->layout->shape, &whole))
            return ad__refused_call(&c, AD_ESHAPE, "shapes do not broadcast: sizes must be equal or 1, counted from "
                                                   "the last");
    return NULL;
}

ad_var *ad__refused_call(const ad_call *c, int code, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ad_call_fail(c, code, "%s", text);
    return ad_nil(c->graph);
}

ad_var *ad__nil_beside(int n, ad_var *const xs[], const char *caller) {
    int i = 0;
    while (i < n - 1 && !ad__absent(xs[i])) i++;
    ad__refuse_beside(xs[i], n, xs, caller);
    return ad_nil(ad__graph_among(n, xs));
}
