/* elementwise.c: elementwise functions that are made of ops: addcdiv, ldexp, entr, ndtr, mvlgamma, polynomials. */
#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/ops.h"

#include <math.h>

/* ---- arithmetic ----------------------------------------------------------------------------------------------- */

ad_var *ad_addcdiv(ad_var *x, ad_var *a, ad_var *b, double k) {
    ad_var *nil = ad__unfit_broadcast("addcdiv", 3, (ad_var *[]){ x, a, b });
    return nil ? nil : ad_add(x, ad_muls(ad_div(a, b), k));
}
ad_var *ad_rsub(ad_var *a, ad_var *b) { return ad_sub(b, a); }
ad_var *ad_ldexp(ad_var *x, ad_var *exponent) {
    ad_var *nil = ad__unfit_broadcast("ldexp", 2, (ad_var *[]){ x, exponent });
    return nil ? nil : ad_mul(x, ad_exp2(exponent));
}

ad_var *ad_signbit(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "signbit");
    return ad_lt(ad_copysign(ad__constant(x, 1), ad_detach(x)), ad__constant(x, 0));
}
ad_var *ad_isposinf(ad_var *x) {
    return ad__absent(x) ? ad__nil_result(x, "isposinf") : ad_eq(x, ad__constant(x, INFINITY));
}
ad_var *ad_isneginf(ad_var *x) {
    return ad__absent(x) ? ad__nil_result(x, "isneginf") : ad_eq(x, ad__constant(x, -INFINITY));
}

ad_var *ad_zeros_like(ad_var *x) {
    return ad__absent(x) ? ad__nil_result(x, "zeros_like") : ad_zeros(ad__owner(x), x->layout->dtype, x->layout->shape);
}
ad_var *ad_ones_like(ad_var *x) { return ad_full_like(x, 1); }
ad_var *ad_full_like(ad_var *x, double value) {
    if (ad__absent(x)) return ad__nil_result(x, "full_like");
    return ad_full(ad__owner(x), x->layout->dtype, value, x->layout->shape);
}

/* ---- special functions ---------------------------------------------------------------------------------------- */

/* -inf below 0, as in PyTorch. */
ad_var *ad_entr(ad_var *x) {
    if (ad__absent(x)) return ad__nil_result(x, "entr");
    ad_var *low = ad_lt(x, ad__constant(x, 0)), *kept = ad_where(low, ad__constant(x, 1), x);
    return ad_where(low, ad__constant(x, -INFINITY), ad_neg(ad_xlogy(kept, kept)));
}

/* erfc keeps its digits in the lower tail. The factor is sqrt(1/2). */
ad_var *ad_ndtr(ad_var *x) { return ad_muls(ad_erfc(ad_muls(x, -0.70710678118654752440)), 0.5); }

/* a log(1 + b), and 0 where a is 0 and b not NaN */
ad_var *ad_xlog1py(ad_var *a, ad_var *b) {
    ad_var *nil = ad__unfit_broadcast("xlog1py", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    ad_var *none = ad_logical_and(ad_eq(a, ad__constant(a, 0)), ad_logical_not(ad_isnan(b)));
    return ad__zero_where(none, ad_mul(a, ad_log1p(ad__zero_where(none, b))));
}

ad_var *ad_mvlgamma(ad_var *x, int64_t p) {
    if (ad__absent(x)) return ad__nil_result(x, "mvlgamma");
    const ad_call c = AD__CALL_AS("mvlgamma", x);
    if (p < 1 || p > 1000) return ad__refused_call(&c, AD_EVALUE, "p is %lld, not one of 1..1000", (long long)p);
    const double log_pi = 1.1447298858494001741;
    ad_var *y = ad_adds(ad_lgamma(x), (double)(p * (p - 1)) / 4 * log_pi);
    for (int64_t j = 1; j < p; j++) y = ad_add(y, ad_lgamma(ad_adds(x, -0.5 * (double)j)));
    return y;
}

/* ---- orthogonal polynomials: p[0] = 1, p[1] = a x + b, p[k+1] = (u x + v) p[k] - w p[k-1] --------------------- */

typedef struct {
    double u, v, w;
} recurrence;

static ad_var *polynomial(const char *caller, ad_var *x, int64_t n, double a, double b, recurrence step(double k)) {
    if (ad__absent(x)) return ad__nil_result(x, caller);
    const ad_call c = AD__CALL_AS(caller, x);
    if (n < 0 || n > 1000) return ad__refused_call(&c, AD_EVALUE, "degree %lld is not one of 0..1000", (long long)n);
    ad_var *last = ad_full_like(x, 1), *y = n == 0 ? last : ad_adds(ad_muls(x, a), b);
    for (int64_t k = 1; k < n; k++) {
        recurrence s = step((double)k);
        ad_var *next = ad_mul(ad_adds(ad_muls(x, s.u), s.v), y);
        next = ad_sub(next, ad_muls(last, s.w));
        last = y, y = next;
    }
    return y;
}

static recurrence chebyshev(double k) { return (recurrence){ 2 + 0 * k, 0, 1 }; }
static recurrence shifted(double k) { return (recurrence){ 4 + 0 * k, -2, 1 }; }
static recurrence hermite(double k) { return (recurrence){ 2, 0, 2 * k }; }
static recurrence hermite_e(double k) { return (recurrence){ 1, 0, k }; }
static recurrence laguerre(double k) { return (recurrence){ -1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1) }; }
static recurrence legendre(double k) { return (recurrence){ (2 * k + 1) / (k + 1), 0, k / (k + 1) }; }

ad_var *ad_chebyshev_polynomial_t(ad_var *x, int64_t n) {
    return polynomial("chebyshev_polynomial_t", x, n, 1, 0, chebyshev);
}
ad_var *ad_chebyshev_polynomial_u(ad_var *x, int64_t n) {
    return polynomial("chebyshev_polynomial_u", x, n, 2, 0, chebyshev);
}
ad_var *ad_chebyshev_polynomial_v(ad_var *x, int64_t n) {
    return polynomial("chebyshev_polynomial_v", x, n, 2, -1, chebyshev);
}
ad_var *ad_chebyshev_polynomial_w(ad_var *x, int64_t n) {
    return polynomial("chebyshev_polynomial_w", x, n, 2, 1, chebyshev);
}
ad_var *ad_shifted_chebyshev_polynomial_t(ad_var *x, int64_t n) {
    return polynomial("shifted_chebyshev_polynomial_t", x, n, 2, -1, shifted);
}
ad_var *ad_shifted_chebyshev_polynomial_u(ad_var *x, int64_t n) {
    return polynomial("shifted_chebyshev_polynomial_u", x, n, 4, -2, shifted);
}
ad_var *ad_shifted_chebyshev_polynomial_v(ad_var *x, int64_t n) {
    return polynomial("shifted_chebyshev_polynomial_v", x, n, 4, -3, shifted);
}
ad_var *ad_shifted_chebyshev_polynomial_w(ad_var *x, int64_t n) {
    return polynomial("shifted_chebyshev_polynomial_w", x, n, 4, -1, shifted);
}
ad_var *ad_hermite_polynomial_h(ad_var *x, int64_t n) {
    return polynomial("hermite_polynomial_h", x, n, 2, 0, hermite);
}
ad_var *ad_hermite_polynomial_he(ad_var *x, int64_t n) {
    return polynomial("hermite_polynomial_he", x, n, 1, 0, hermite_e);
}
ad_var *ad_laguerre_polynomial_l(ad_var *x, int64_t n) {
    return polynomial("laguerre_polynomial_l", x, n, -1, 1, laguerre);
}
ad_var *ad_legendre_polynomial_p(ad_var *x, int64_t n) {
    return polynomial("legendre_polynomial_p", x, n, 1, 0, legendre);
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

ad_var *ad_softmin(ad_var *x, int axis) { return ad_softmax(ad_neg(x), axis); }

/* Whole channels [n,c,..] are dropped. */
ad_var *ad_dropout_channels(ad_var *x, double p, bool training) {
    if (ad__absent(x)) return ad__nil_result(x, "dropout_channels");
    const ad_call c = AD__CALL_AS("dropout_channels", x);
    if (c.shape.ndim < 2) return ad__refused_call(&c, AD_ESHAPE, "takes arrays [n,c,..]");
    ad_shape s = c.shape;
    for (int i = 2; i < s.ndim; i++) s.dim[i] = 1;
    return ad_mul(x, ad_dropout(ad_ones(c.graph, c.dtype, s), p, training));
}

/* weight [n,d], indices [m,k] -> [m,d]: the sum, mean or maximum of each row's k embeddings */
ad_var *ad_embedding_bag(ad_var *weight, ad_var *indices, ad_scatter_kind how) {
    ad_var *rows = ad_embedding(weight, indices);
    if (ad__absent(rows)) return rows;
    const ad_call c = AD__CALL_AS("embedding_bag", indices);
    if (c.shape.ndim != 2) return ad__refused_call(&c, AD_ESHAPE, "takes indices [m,k]");
    if (how == AD_SCATTER_SUM) return ad_sum_axis(rows, 1, false);
    if (how == AD_SCATTER_MEAN) return ad_mean_axis(rows, 1, false);
    if (how == AD_SCATTER_AMAX) return ad_max_axis(rows, 1, false);
    return ad__refused_call(&c, AD_EVALUE, "takes AD_SCATTER_SUM, AD_SCATTER_MEAN or AD_SCATTER_AMAX");
}
