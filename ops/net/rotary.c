/* rotary.c: rotary position encodings (Su et al. 2021). */
#include "ops/base/attrs.h"
#include "ops/ops.h"

#include <math.h>

static int check_rotary(const ad_call *c, double base) {
    ad_shape x = c->shape;
    if (x.ndim < 2 || x.dim[x.ndim - 1] % 2 != 0)
        return ad_call_fail(c, AD_ESHAPE, "takes x [..,time,d] with an even d");
    if (base > 0 && isfinite(base)) return AD_OK;
    return ad_call_fail(c, AD_EVALUE, "the base is %g, not a finite number > 0", base);
}

/* f(position base^(-2 k / d)) for k < d / 2: [time,d/2]. */
static ad_var *angles(const ad_var *x, int64_t offset, double base, double f(double)) {
    ad_shape s = x->layout->shape;
    int64_t time = s.dim[s.ndim - 2], half = s.dim[s.ndim - 1] / 2;
    ad_var *y = ad_zeros(ad__owner(x), x->layout->dtype, AD_SHAPE(time, half));
    void *to = ad_data_mut(y);
    for (int64_t i = 0; to != NULL && i < time * half; i++) {
        double angle = ((double)offset + (double)(i / half)) * pow(base, -(double)(i % half) / (double)half);
        ad_write_element(x->layout->dtype, to, i, f(angle));
    }
    return y;
}

ad_var *ad_rotary(ad_var *x, int64_t offset, double base) {
    if (ad__absent(x) || !ad_ok(ad__owner(x))) return ad__nil_result(x, "rotary");
    ad_call c = AD__CALL_AS("rotary", x);
    if (check_rotary(&c, base)) return ad_nil(c.graph);
    int64_t half = c.shape.dim[c.shape.ndim - 1] / 2;
    ad_var *cosine = angles(x, offset, base, cos), *sine = angles(x, offset, base, sin);
    ad_var *a = ad_narrow(x, -1, 0, half), *b = ad_narrow(x, -1, half, half);
    ad_var *first = ad_sub(ad_mul(a, cosine), ad_mul(b, sine)), *second = ad_add(ad_mul(b, cosine), ad_mul(a, sine));
    return ad_concat(2, (ad_var *[]){ first, second }, -1);
}
