/* group_norm.c: normalisation of groups of channels (Wu and He 2018) and of single ones (Ulyanov et al. 2016), by
   layer_norm. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* weight or bias [c] as [c,1,..], to broadcast over x [n,c,..]. */
static ad_var *by_channel(ad_var *w, const ad_var *x) {
    ad_shape s = { .ndim = x->layout->shape.ndim - 1 };
    for (int i = 0; i < s.ndim; i++) s.dim[i] = i ? 1 : x->layout->shape.dim[1];
    return ad_reshape(w, s);
}

static int check_channels(const ad_call *c, int64_t groups, ad_var *const w[2]) {
    ad_shape x = c->shape;
    if (x.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes x [n,c,..]");
    int64_t channels = x.dim[1];
    if (groups < 1 || channels % groups != 0)
        return ad_call_fail(c, AD_EVALUE, "%lld channels do not make %lld equal groups", (long long)channels,
                            (long long)groups);
    for (int i = 0; i < 2; i++)
        if (w[i] != NULL && !ad__absent(w[i]) && !ad_shape_equal(w[i]->layout->shape, AD_SHAPE(channels)))
            return ad_call_fail(c, AD_ESHAPE, "weight and bias must be [%lld]", (long long)channels);
    return AD_OK;
}

/* x [n,c,..], which has elements, as rows of a group each. */
static ad_var *rows_normalised(ad_var *x, int64_t groups, double eps) {
    ad_shape s = x->layout->shape;
    int64_t rows = s.dim[0] * groups, each = x->layout->numel / rows;
    ad_var *flat = ad_reshape(x, AD_SHAPE(rows, each));
    return ad_reshape(ad_layer_norm(flat, AD_SHAPE(each), NULL, NULL, eps), s);
}

static ad_var *normalise(const char *name, ad_var *x, int64_t groups, ad_var *weight, ad_var *bias, double eps) {
    ad_call c = AD__CALL_AS(name, x);
    if (check_channels(&c, groups, (ad_var *[]){ weight, bias })) return ad_nil(c.graph);
    if (ad__check_eps(&c, eps)) return ad_nil(c.graph);
    ad_var *y = x->layout->numel > 0 ? rows_normalised(x, groups, eps) : x;
    if (weight != NULL && bias != NULL) return ad_addcmul(by_channel(bias, x), y, by_channel(weight, x));
    if (weight != NULL) return ad_mul(y, by_channel(weight, x));
    return bias != NULL ? ad_add(y, by_channel(bias, x)) : y;
}

ad_var *ad_group_norm(ad_var *x, int64_t groups, ad_var *weight, ad_var *bias, double eps) {
    if (ad__absent(x) || !ad_ok(ad__owner(x)))
        return ad__nil_beside(3, (ad_var *[]){ x, weight, bias }, "group_norm");
    return normalise("group_norm", x, groups, weight, bias, eps);
}

ad_var *ad_instance_norm(ad_var *x, ad_var *weight, ad_var *bias, double eps) {
    if (ad__absent(x) || !ad_ok(ad__owner(x)))
        return ad__nil_beside(3, (ad_var *[]){ x, weight, bias }, "instance_norm");
    ad_shape s = x->layout->shape;
    return normalise("instance_norm", x, s.ndim > 1 && s.dim[1] > 0 ? s.dim[1] : 1, weight, bias, eps);
}
