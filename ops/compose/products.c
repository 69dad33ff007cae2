/* products.c: products made of matmul and einsum's parts: inner, tensordot, kron, cross, multi_dot, addmm, vander. */
#include "ops/base/attrs.h"
#include "ops/ops.h"

#include <string.h>

/* ---- sums over axes of both operands ------------------------------------------------------------------------ */

/* The axes in the order: those not named, then the named ones (or the other way round), with the product of the sizes
   of each group. */
typedef struct {
    ad_shape order, kept;
    int64_t outer, inner;
} grouping;

static bool group_axes(const ad_call *c, int n, const int *axes, bool named_first, grouping *to) {
    int mask = ad__call_axes(c, n, axes), k = 0;
    if (mask < 0) return false;
    *to = (grouping){ .outer = 1, .inner = 1, .order = { .ndim = c->shape.ndim } };
    for (int pass = 0; pass < 2; pass++) {
        bool named = (pass == 0) == named_first;
        for (int i = 0; named && i < n; i++) to->order.dim[k++] = axes[i] < 0 ? axes[i] + c->shape.ndim : axes[i];
        for (int a = 0; !named && a < c->shape.ndim; a++)
            if (!(mask >> a & 1)) to->order.dim[k++] = a, to->kept.dim[to->kept.ndim++] = c->shape.dim[a];
    }
    for (int a = 0; a < c->shape.ndim; a++) *(mask >> a & 1 ? &to->inner : &to->outer) *= c->shape.dim[a];
    return true;
}

ad_var *ad_tensordot_axes(ad_var *a, ad_var *b, int n, const int *axes_a, const int *axes_b) {
    ad_var *nil = ad__unfit_result("tensordot", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    const ad_call ca = AD__CALL_AS("tensordot", a), cb = AD__CALL_AS("tensordot", b);
    grouping ga, gb;
    if (n < 0 || (n > 0 && (axes_a == NULL || axes_b == NULL)))
        return ad__refused_call(&ca, AD_EVALUE, "%d pairs of axes, or a list that is NULL", n);
    if (!group_axes(&ca, n, axes_a, false, &ga) || !group_axes(&cb, n, axes_b, true, &gb)) return ad_nil(ca.graph);
    for (int i = 0; i < n; i++)
        if (ca.shape.dim[ga.order.dim[ga.kept.ndim + i]] != cb.shape.dim[gb.order.dim[i]])
            return ad__refused_call(&ca, AD_ESHAPE, "axis %d of it and axis %d of %s have other sizes", axes_a[i],
                                    axes_b[i], ad_shape_str(cb.shape).text);
    if (ga.kept.ndim + gb.kept.ndim > AD_MAX_NDIM)
        return ad__refused_call(&ca, AD_ESHAPE, "the result would have %d dimensions", ga.kept.ndim + gb.kept.ndim);
    ad_var *y = ad_matmul(ad_reshape(ad_permute(a, ga.order), AD_SHAPE(ga.outer, ga.inner)),
                          ad_reshape(ad_permute(b, gb.order), AD_SHAPE(gb.inner, gb.outer)));
    ad_shape s = ga.kept;
    for (int i = 0; i < gb.kept.ndim; i++) s.dim[s.ndim++] = gb.kept.dim[i];
    return ad_reshape(y, s);
}

ad_var *ad_tensordot(ad_var *a, ad_var *b, int n) {
    int axes_a[AD_MAX_NDIM], axes_b[AD_MAX_NDIM];
    if (n < 0 || n > AD_MAX_NDIM) n = AD_MAX_NDIM + 1; /* which has no axes, so that the call below refuses it */
    for (int i = 0; i < n && i < AD_MAX_NDIM; i++) axes_a[i] = i - n, axes_b[i] = i;
    return ad_tensordot_axes(a, b, n, axes_a, axes_b);
}

ad_var *ad_inner(ad_var *a, ad_var *b) {
    if (ad_shape_of(a).ndim == 0 || ad_shape_of(b).ndim == 0) return ad_mul(a, b);
    return ad_tensordot_axes(a, b, 1, &(int){ -1 }, &(int){ -1 });
}

ad_var *ad_vecdot(ad_var *a, ad_var *b, int axis) {
    ad_var *nil = ad__unfit_broadcast("vecdot", 2, (ad_var *[]){ a, b });
    return nil ? nil : ad_sum_axis(ad_mul(a, b), axis, false);
}

/* ---- products without sums ------------------------------------------------------------------------------------- */

ad_var *ad_kron(ad_var *a, ad_var *b) {
    ad_var *nil = ad__unfit_result("kron", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("kron", a);
    ad_shape as = c.shape, bs = b->layout->shape;
    int n = as.ndim > bs.ndim ? as.ndim : bs.ndim;
    if (2 * n > AD_MAX_NDIM) return ad__refused_call(&c, AD_ESHAPE, "takes at most %d dimensions", AD_MAX_NDIM / 2);
    ad_shape wide_a = { .ndim = 2 * n }, wide_b = wide_a, whole = { .ndim = n };
    for (int i = 0; i < n; i++) {
        int64_t da = i < n - as.ndim ? 1 : as.dim[i - n + as.ndim], db = i < n - bs.ndim ? 1 : bs.dim[i - n + bs.ndim];
        wide_a.dim[2 * i] = da, wide_a.dim[2 * i + 1] = 1;
        wide_b.dim[2 * i] = 1, wide_b.dim[2 * i + 1] = db;
        whole.dim[i] = da * db;
    }
    return ad_reshape(ad_mul(ad_reshape(a, wide_a), ad_reshape(b, wide_b)), whole);
}

/* c[i] = a[i+1] b[i+2] - a[i+2] b[i+1], where indices wrap at 3 */
ad_var *ad_cross(ad_var *a, ad_var *b, int axis) {
    ad_var *nil = ad__unfit_broadcast("cross", 2, (ad_var *[]){ a, b });
    if (nil != NULL) return nil;
    const ad_call c = AD__CALL_AS("cross", a);
    int ndim = b->layout->shape.ndim > c.shape.ndim ? b->layout->shape.ndim : c.shape.ndim;
    int at = ad_call_axis(&c, axis, ndim);
    if (at < 0) return ad_nil(c.graph);
    at -= ndim; /* counted from the end, where broadcasting aligns them */
    const ad_shape s[] = { c.shape, b->layout->shape };
    for (int i = 0; i < 2; i++)
        if (s[i].ndim + at < 0 || s[i].dim[s[i].ndim + at] != 3)
            return ad__refused_call(&c, AD_ESHAPE, "axis %d must have 3 elements in both operands", axis);
    return ad_sub(ad_mul(ad_roll(a, at, -1), ad_roll(b, at, -2)), ad_mul(ad_roll(a, at, -2), ad_roll(b, at, -1)));
}

/* ---- sums of a product and an array --------------------------------------------------------------------------- */

/* k x, where a k of 0 leaves out x, as in PyTorch. */
static ad_var *scaled(ad_var *x, double k) { return k == 1 ? x : ad_muls(x, k); }

ad_var *ad_addmm(ad_var *m, ad_var *a, ad_var *b, double beta, double alpha) {
    ad_var *product = scaled(ad_matmul(a, b), alpha);
    return beta == 0 ? product : ad_add(scaled(m, beta), product);
}
ad_var *ad_addbmm(ad_var *m, ad_var *a, ad_var *b, double beta, double alpha) {
    ad_var *product = scaled(ad_sum_axis(ad_matmul(a, b), 0, false), alpha);
    return beta == 0 ? product : ad_add(scaled(m, beta), product);
}
ad_var *ad_addr(ad_var *m, ad_var *a, ad_var *b, double beta, double alpha) {
    ad_var *product = scaled(ad_outer(a, b), alpha);
    return beta == 0 ? product : ad_add(scaled(m, beta), product);
}

/* ---- chains --------------------------------------------------------------------------------------------------- */

enum { MOST_MATRICES = 64 };

/* Of each run i..j of the chain, where its last product divides it. Matrix i is [size[i], size[i+1]]. */
typedef struct {
    unsigned char split[MOST_MATRICES][MOST_MATRICES];
    double cost[MOST_MATRICES][MOST_MATRICES];
} chain;

static void order_chain(int n, const double *size, chain *c) {
    for (int i = 0; i < n; i++) c->cost[i][i] = 0;
    for (int length = 1; length < n; length++)
        for (int i = 0; i + length < n; i++) {
            int j = i + length;
            c->cost[i][j] = -1;
            for (int k = i; k < j; k++) {
                double cost = c->cost[i][k] + c->cost[k + 1][j] + size[i] * size[k + 1] * size[j + 1];
                if (c->cost[i][j] < 0 || cost < c->cost[i][j]) c->cost[i][j] = cost, c->split[i][j] = (unsigned char)k;
            }
        }
}

/* Computes the products in the order of the splits: a run is listed before its parts, and computed after them. */
static ad_var *multiply_chain(int n, ad_var *const xs[], const chain *c) {
    unsigned char first[2 * MOST_MATRICES], last[2 * MOST_MATRICES];
    ad_var *done[MOST_MATRICES]; /* of runs computed so far, by their first matrix */
    int runs = 1;
    first[0] = 0, last[0] = (unsigned char)(n - 1);
    for (int r = 0; r < runs; r++) {
        if (first[r] == last[r]) continue;
        int k = c->split[first[r]][last[r]];
        first[runs] = first[r], last[runs++] = (unsigned char)k;
        first[runs] = (unsigned char)(k + 1), last[runs++] = last[r];
    }
    for (int r = runs - 1; r >= 0; r--) {
        int i = first[r], j = last[r];
        done[i] = i == j ? xs[i] : ad_matmul(done[i], done[c->split[i][j] + 1]);
    }
    return done[0];
}

ad_var *ad_multi_dot(int n, ad_var *const xs[]) {
    ad_var *in[MOST_MATRICES];
    double size[MOST_MATRICES + 1];
    chain c;
    if (n < 1 || xs == NULL) return ad_nil(NULL);
    ad_var *nil = ad__unfit_result("multi_dot", n < MOST_MATRICES ? n : MOST_MATRICES, xs);
    if (nil != NULL) return nil;
    const ad_call call = AD__CALL_AS("multi_dot", xs[0]);
    if (n < 2 || n > MOST_MATRICES)
        return ad__refused_call(&call, AD_EVALUE, "%d matrices; takes 2 to %d", n, MOST_MATRICES);
    ad_shape head = call.shape, tail = xs[n - 1]->layout->shape, s = { 0 };
    for (int i = 0; i < n; i++) {
        ad_shape own = xs[i]->layout->shape;
        bool vector = own.ndim == 1 && (i == 0 || i == n - 1);
        if (own.ndim != 2 && !vector)
            return ad__refused_call(&call, AD_ESHAPE,
                                    "operand %d is %s; takes matrices, of which the first and the last "
                                    "may be vectors",
                                    i, ad_shape_str(own).text);
        in[i] = !vector ? xs[i] : ad_reshape(xs[i], i == 0 ? AD_SHAPE(1, -1) : AD_SHAPE(-1, 1));
        size[i] = (double)ad_shape_of(in[i]).dim[0], size[i + 1] = (double)ad_shape_of(in[i]).dim[1];
    }
    order_chain(n, size, &c);
    if (head.ndim == 2) s.dim[s.ndim++] = head.dim[0];
    if (tail.ndim == 2) s.dim[s.ndim++] = tail.dim[1];
    return ad_reshape(multiply_chain(n, in, &c), s);
}

/* ---- powers and moments --------------------------------------------------------------------------------------- */

/* x [..,m] -> [..,m,n]: the powers 0 .. n-1 of each element */
ad_var *ad_vander(ad_var *x, int64_t n) {
    if (ad__absent(x)) return ad__nil_result(x, "vander");
    const ad_call c = AD__CALL_AS("vander", x);
    ad_shape s = c.shape, one = s;
    if (n < 0 || s.ndim == AD_MAX_NDIM)
        return ad__refused_call(&c, AD_EVALUE, "%lld powers of %d dimensions", (long long)n, s.ndim);
    if (n == 0) return ad_narrow(ad_unsqueeze(x, -1), -1, 0, 0);
    one.dim[one.ndim++] = 1;
    s.dim[s.ndim++] = n - 1;
    if (n == 1) return ad_ones(c.graph, c.dtype, one);
    ad_var *factors[] = { ad_ones(c.graph, c.dtype, one), ad_expand(ad_unsqueeze(x, -1), s) };
    return ad_cumprod(ad_concat(2, factors, -1), -1);
}

/* x [variables, observations] or [observations] */
ad_var *ad_cov(ad_var *x, int correction) {
    if (ad__absent(x)) return ad__nil_result(x, "cov");
    const ad_call c = AD__CALL_AS("cov", x);
    if (c.shape.ndim < 1 || c.shape.ndim > 2)
        return ad__refused_call(&c, AD_ESHAPE, "takes [variables, observations] or [observations]");
    ad_var *rows = c.shape.ndim == 1 ? ad_reshape(x, AD_SHAPE(1, -1)) : x;
    rows = ad_sub(rows, ad_mean_axis(rows, 1, true));
    double n = (double)c.shape.dim[c.shape.ndim - 1] - correction;
    ad_var *y = ad_div(ad_matmul(rows, ad_transpose(rows)), ad_scalar(c.graph, c.dtype, n > 0 ? n : 0));
    return c.shape.ndim == 1 ? ad_reshape(y, AD_SCALAR) : y;
}

ad_var *ad_corrcoef(ad_var *x) {
    ad_var *c = ad_cov(x, 1);
    if (ad__absent(c)) return c;
    if (c->layout->shape.ndim == 0) return ad_div(c, c);
    ad_var *s = ad_sqrt(ad_diagonal(c, 0));
    return ad_div(ad_div(c, ad_unsqueeze(s, 0)), ad_unsqueeze(s, 1));
}
