/* special.c: special functions by their names in PyTorch. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

ad_var *ad_erfcx(ad_var *x) { return ad_special(x, AD_ERFCX, 0); }
ad_var *ad_ndtri(ad_var *p) { return ad_special(p, AD_NDTRI, 0); }
ad_var *ad_bessel_j0(ad_var *x) { return ad_special(x, AD_BESSEL_J, 0); }
ad_var *ad_bessel_j1(ad_var *x) { return ad_special(x, AD_BESSEL_J, 1); }
ad_var *ad_bessel_y0(ad_var *x) { return ad_special(x, AD_BESSEL_Y, 0); }
ad_var *ad_bessel_y1(ad_var *x) { return ad_special(x, AD_BESSEL_Y, 1); }
ad_var *ad_i0(ad_var *x) { return ad_special(x, AD_BESSEL_I, 0); }
ad_var *ad_i0e(ad_var *x) { return ad_special(x, AD_BESSEL_I_SCALED, 0); }
ad_var *ad_i1(ad_var *x) { return ad_special(x, AD_BESSEL_I, 1); }
ad_var *ad_i1e(ad_var *x) { return ad_special(x, AD_BESSEL_I_SCALED, 1); }
ad_var *ad_modified_bessel_k0(ad_var *x) { return ad_special(x, AD_BESSEL_K, 0); }
ad_var *ad_modified_bessel_k1(ad_var *x) { return ad_special(x, AD_BESSEL_K, 1); }
ad_var *ad_scaled_modified_bessel_k0(ad_var *x) { return ad_special(x, AD_BESSEL_K_SCALED, 0); }
ad_var *ad_scaled_modified_bessel_k1(ad_var *x) { return ad_special(x, AD_BESSEL_K_SCALED, 1); }
ad_var *ad_airy_ai(ad_var *x) { return ad_special(x, AD_AIRY, 0); }

/* ad_sinc keeps its digits near 0; x / pi would lose some of sin(x) for large x. */
ad_var *ad_spherical_bessel_j0(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "spherical_bessel_j0");
    ad_var *one = ad__constant(x, 1), *near = ad_lt(ad_abs(x), one);
    ad_var *small = ad_where(near, x, one), *large = ad_where(near, one, x);
    ad_var *infinite = ad_isinf(large), *kept = ad_where(infinite, one, large);
    ad_var *far = ad__zero_where(infinite, ad_div(ad_sin(kept), kept));
    return ad_where(near, ad_sinc(ad_muls(small, 0.31830988618379067154)), far);
}

/* By erfcx in the lower tail, where erfc loses its digits and then underflows. The factor is sqrt(1/2). */
ad_var *ad_log_ndtr(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "log_ndtr");
    ad_var *zero = ad__constant(x, 0), *low = ad_lt(x, ad__constant(x, -1));
    ad_var *left = ad_muls(ad_where(low, x, zero), -0.70710678118654752440);
    ad_var *right = ad_muls(ad_where(low, zero, x), 0.70710678118654752440);
    ad_var *tail = ad_sub(ad_log(ad_muls(ad_erfcx(left), 0.5)), ad_square(left));
    return ad_where(low, tail, ad_log1p(ad_muls(ad_erfc(right), -0.5)));
}

/* Operands broadcast. */
static ad_var *pair(const char *caller, ad_var *a, ad_var *x, ad_special_kind kind) {
    ad_var *nil = ad__unfit_broadcast(caller, 2, (ad_var *[]){ a, x });
    if (nil != NULL) return nil;
    ad_shape s;
    ad__broadcast(a->layout->shape, x->layout->shape, &s);
    return ad_special_pair(ad_expand(a, s), ad_expand(x, s), kind);
}
ad_var *ad_zeta(ad_var *s, ad_var *q) { return pair("zeta", s, q, AD_ZETA); }
ad_var *ad_gammainc(ad_var *a, ad_var *x) { return pair("gammainc", a, x, AD_GAMMAINC); }
ad_var *ad_gammaincc(ad_var *a, ad_var *x) { return pair("gammaincc", a, x, AD_GAMMAINCC); }
