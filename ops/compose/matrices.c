/* matrices.c: norms and condition numbers of matrices, solutions from Cholesky factors, products of reflections,
   tensors as matrices. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

/* ---- norms ---------------------------------------------------------------------------------------------------- */

/* The sums of absolute values of the columns (axis -2) or rows (axis -1), the largest or smallest of them. */
static ad_var *sum_norm(ad_var *x, int axis, bool largest, bool keepdims) {
    ad_var *sums = ad_sum_axis(ad_abs(x), axis, true);
    int other = axis == -2 ? -1 : -2;
    ad_var *y = largest ? ad_max_axis(sums, other, true) : ad_min_axis(sums, other, true);
    return keepdims ? y : ad_squeeze_axis(ad_squeeze_axis(y, -1), -1);
}

/* The largest, the smallest or the sum of the singular values. */
static ad_var *singular_norm(ad_var *x, ad_matrix_norm_kind kind, bool keepdims) {
    ad_var *s = ad_svdvals(x);
    ad_var *y = kind == AD_NORM_NUC ? ad_sum_axis(s, -1, keepdims)
                : kind == AD_NORM_2 ? ad_max_axis(s, -1, keepdims)
                                    : ad_min_axis(s, -1, keepdims);
    return keepdims ? ad_unsqueeze(y, -1) : y;
}

ad_var *ad_matrix_norm(ad_var *x, ad_matrix_norm_kind kind, bool keepdims) {
    if (ad__absent(x)) return ad__nil_result(x, "matrix_norm");
    const ad_call c = AD__CALL_AS("matrix_norm", x);
    if (c.shape.ndim < 2) return ad__refused_call(&c, AD_ESHAPE, "takes matrices [..,n,m]");
    switch (kind) {
    case AD_NORM_FRO: return ad_norm_axes(x, 2, (int[]){ -2, -1 }, 2, keepdims);
    case AD_NORM_NUC:
    case AD_NORM_2:
    case AD_NORM_MINUS_2: return singular_norm(x, kind, keepdims);
    case AD_NORM_1: return sum_norm(x, -2, true, keepdims);
    case AD_NORM_MINUS_1: return sum_norm(x, -2, false, keepdims);
    case AD_NORM_INF: return sum_norm(x, -1, true, keepdims);
    case AD_NORM_MINUS_INF: return sum_norm(x, -1, false, keepdims);
    }
    return ad__refused_call(&c, AD_EVALUE, "%d is no norm; see ad_matrix_norm_kind", (int)kind);
}

ad_var *ad_cond(ad_var *x, ad_matrix_norm_kind kind) {
    if (kind != AD_NORM_2 && kind != AD_NORM_MINUS_2)
        return ad_mul(ad_matrix_norm(x, kind, false), ad_matrix_norm(ad_inverse(x), kind, false));
    ad_var *s = ad_svdvals(x);
    ad_var *most = ad_max_axis(s, -1, false), *least = ad_min_axis(s, -1, false);
    return kind == AD_NORM_2 ? ad_div(most, least) : ad_div(least, most);
}

/* ---- Cholesky factors ----------------------------------------------------------------------------------------- */

/* x of a x = b, where a = l l^T, or u^T u for an upper factor */
ad_var *ad_cholesky_solve(ad_var *b, ad_var *factor, bool upper) {
    ad_var *y = ad_solve_triangular(factor, b, (ad_triangular_opts){ .upper = upper, .transpose = upper });
    return ad_solve_triangular(factor, y, (ad_triangular_opts){ .upper = upper, .transpose = !upper });
}

ad_var *ad_cholesky_inverse(ad_var *factor, bool upper) {
    if (ad__absent(factor)) return ad__nil_result(factor, "cholesky_inverse");
    ad_shape s = factor->layout->shape;
    ad_var *eye = ad_eye(ad__owner(factor), factor->layout->dtype, s.ndim ? s.dim[s.ndim - 1] : 1);
    return ad_cholesky_solve(s.ndim > 2 ? ad_expand(eye, s) : eye, factor, upper);
}

/* ---- reflections: 1 - tau v v^T, where v is column i of a with 1 on the diagonal and 0 above ------------------- */

/* The product of the reflections, from the last on or, if transposed, from the first on, times x [..,n,m]. */
static ad_var *reflect(const char *caller, ad_var *a, ad_var *tau, ad_var *x, bool transpose) {
    ad_shape s = a->layout->shape, t = tau->layout->shape, of_x = x->layout->shape;
    const ad_call c = AD__CALL_AS(caller, a);
    bool fits = s.ndim >= 2 && t.ndim == s.ndim - 1 && of_x.ndim == s.ndim && t.dim[t.ndim - 1] <= s.dim[s.ndim - 1] &&
                s.dim[s.ndim - 1] <= s.dim[s.ndim - 2] && of_x.dim[s.ndim - 2] == s.dim[s.ndim - 2];
    for (int i = 0; i < s.ndim - 2 && fits; i++) fits = t.dim[i] == s.dim[i] && of_x.dim[i] == s.dim[i];
    if (!fits)
        return ad__refused_call(&c, AD_ESHAPE, "and tau %s, x %s: takes a [..,n,m], tau [..,k] and x with n rows, "
                                "k <= m <= n", ad_shape_str(t).text, ad_shape_str(of_x).text);
    int64_t n = s.dim[s.ndim - 2], m = s.dim[s.ndim - 1], k = t.dim[t.ndim - 1];
    ad_var *all = ad_add(ad_tril(a, -1), ad_eye_with(c.graph, c.dtype, n, m));
    if (ad__absent(all) || !ad_ok(c.graph)) return ad_nil(c.graph);
    for (int64_t at = 0; at < k; at++) {
        int64_t i = transpose ? at : k - 1 - at;
        ad_var *v = ad_narrow(all, -1, i, 1), *scale = ad_unsqueeze(ad_narrow(tau, -1, i, 1), -1);
        x = ad_sub(x, ad_matmul(ad_mul(v, scale), ad_matmul(ad_transpose(v), x)));
    }
    return x;
}

ad_var *ad_householder_product(ad_var *a, ad_var *tau) {
    ad_var *nil = ad__unfit_result("householder_product", 2, (ad_var *[]){ a, tau });
    if (nil != NULL) return nil;
    ad_shape s = a->layout->shape;
    if (s.ndim < 2) return reflect("householder_product", a, tau, a, false); /* which refuses */
    ad_var *eye = ad_eye_with(ad__owner(a), a->layout->dtype, s.dim[s.ndim - 2], s.dim[s.ndim - 1]);
    return reflect("householder_product", a, tau, s.ndim > 2 ? ad_expand(eye, s) : eye, false);
}

/* x q = (q^T x^T)^T */
ad_var *ad_ormqr(ad_var *a, ad_var *tau, ad_var *x, bool left, bool transpose) {
    ad_var *nil = ad__unfit_result("ormqr", 3, (ad_var *[]){ a, tau, x });
    if (nil != NULL) return nil;
    if (left || x->layout->shape.ndim < 2) return reflect("ormqr", a, tau, x, transpose);
    return ad_transpose(reflect("ormqr", a, tau, ad_transpose(x), !transpose));
}

/* ---- tensors as matrices -------------------------------------------------------------------------------------- */

/* The number of elements of axes from .. to. */
static int64_t product(ad_shape s, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= s.dim[i];
    return n;
}

ad_var *ad_tensorinv(ad_var *x, int n) {
    if (ad__absent(x)) return ad__nil_result(x, "tensorinv");
    const ad_call c = AD__CALL_AS("tensorinv", x);
    ad_shape s = c.shape, turned = { .ndim = s.ndim };
    if (n < 1 || n >= s.ndim || product(s, 0, n) != product(s, n, s.ndim))
        return ad__refused_call(&c, AD_ESHAPE, "the first %d axes must have as many elements as the others", n);
    for (int i = 0; i < s.ndim; i++) turned.dim[i] = s.dim[(i + n) % s.ndim];
    return ad_reshape(ad_inverse(ad_reshape(x, AD_SHAPE(product(s, 0, n), -1))), turned);
}

ad_var *ad_tensorsolve(ad_var *a, ad_var *b) {
    ad_var *nil = ad__unfit_result("tensorsolve", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("tensorsolve", a);
    ad_shape s = c.shape, rest = { 0 };
    int64_t n = b->layout->numel;
    for (int i = b->layout->shape.ndim; i < s.ndim; i++) rest.dim[rest.ndim++] = s.dim[i];
    if (b->layout->shape.ndim > s.ndim || ad_shape_numel(rest) != n || product(s, 0, s.ndim - rest.ndim) != n)
        return ad__refused_call(&c, AD_ESHAPE, "and b %s: a needs b's axes in front, and others with as many elements",
                                ad_shape_str(b->layout->shape).text);
    return ad_reshape(ad_solve(ad_reshape(a, AD_SHAPE(n, n)), ad_reshape(b, AD_SHAPE(n, 1))), rest);
}
