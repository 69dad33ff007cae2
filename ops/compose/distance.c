/* distance.c: distances between rows, and arrays scaled by their norms. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

ad_var *ad_dist(ad_var *a, ad_var *b, double p) {
    ad_var *nil = ad__unfit_broadcast("dist", 2, (ad_var *[]){ a, b });
    return nil ? nil : ad_norm(ad_sub(a, b), p);
}

ad_var *ad_pairwise_distance(ad_var *a, ad_var *b, double p, double eps, bool keepdims) {
    ad_var *nil = ad__unfit_broadcast("pairwise_distance", 2, (ad_var *[]){ a, b });
    return nil ? nil : ad_norm_axis(ad_adds(ad_sub(a, b), eps), -1, p, keepdims);
}

/* a [..,n,d], b [..,m,d] -> [..,n,m] */
ad_var *ad_cdist(ad_var *a, ad_var *b, double p) {
    ad_var *nil = ad__unfit_result("cdist", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("cdist", a);
    ad_shape as = c.shape, bs = b->layout->shape;
    if (as.ndim < 2 || bs.ndim < 2 || as.dim[as.ndim - 1] != bs.dim[bs.ndim - 1])
        return ad__refused_call(&c, AD_ESHAPE, "and %s: takes [..,n,d] and [..,m,d]", ad_shape_str(bs).text);
    return ad_norm_axis(ad_sub(ad_unsqueeze(a, -2), ad_unsqueeze(b, -3)), -1, p, false);
}

/* x [n,d] -> [n (n-1) / 2]: rows 0 and 1, 0 and 2, .., 1 and 2, .. */
ad_var *ad_pdist(ad_var *x, double p) {
    if (ad__absent(x)) return ad__nil_result(x, "pdist");
    const ad_call c = AD__CALL_AS("pdist", x);
    if (c.shape.ndim != 2) return ad__refused_call(&c, AD_ESHAPE, "takes rows [n,d]");
    ad_var *pairs = ad_triu_indices(c.graph, AD_F64, c.shape.dim[0], c.shape.dim[0], 1);
    ad_var *first = ad_take_axis(x, 0, ad_select(pairs, 0, 0)), *second = ad_take_axis(x, 0, ad_select(pairs, 0, 1));
    return ad_norm_axis(ad_sub(first, second), -1, p, false);
}

ad_var *ad_normalize_axis(ad_var *x, int axis, double p, double eps) {
    ad_var *norm = ad_norm_axis(x, axis, p, true);
    return ad_div(x, ad_clamp(norm, eps, INFINITY));
}

/* The norms are of the parts of x at each index of the axis. */
ad_var *ad_renorm(ad_var *x, double p, int axis, double most) {
    if (ad__absent(x)) return ad__nil_result(x, "renorm");
    const ad_call c = AD__CALL_AS("renorm", x);
    int others[AD_MAX_NDIM], n = 0, at = ad_call_axis(&c, axis, c.shape.ndim);
    if (at < 0) return ad_nil(c.graph);
    if (!(most >= 0) || !(p > 0)) return ad__refused_call(&c, AD_EVALUE, "p is %g and the largest norm %g", p, most);
    for (int a = 0; a < c.shape.ndim; a++)
        if (a != at) others[n++] = a;
    ad_var *norm = n ? ad_norm_axes(x, n, others, p, true) : ad_abs(x);
    ad_var *k = ad_div(ad__constant(x, most), ad_adds(norm, 1e-7));
    return ad_mul(x, ad_where(ad_gt(norm, ad__constant(x, most)), k, ad__constant(x, 1)));
}
