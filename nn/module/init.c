/* init.c: initial values of parameters, drawn from the graph's random numbers. */
#include <math.h>

#include "autodiff/extend.h"
#include "autodiff/op.h"
#include "nn/kernels/vector.h"
#include "nn/module.h"
#include "ops/ops.h"

/* x = scale u + shift for random numbers u, computed by ops in a scope of its own. */
static int fill(ad_var *x, ad_var *draw(ad_graph *, ad_dtype, ad_shape), double scale, double shift) {
    ad_graph *g = ad_graph_of(x);
    ad_mark m = ad_begin(g);
    ad_var *u = draw(g, ad_dtype_of(x), ad_shape_of(x));
    int rc = ad_set(x, ad_data(ad_adds(ad_muls(u, scale), shift)));
    ad_end(g, m);
    return rc;
}

/* 0 where x is a Var and both numbers are finite. */
static int check(const ad_var *x, double a, double b, const char *caller) {
    if (ad_is_nil(x)) return ad_refuse_nil(x, caller);
    if (isfinite(a) && isfinite(b)) return ad_error_code(ad_graph_of(x));
    return ad_fail(ad_graph_of(x), AD_EVALUE, "%s: %g and %g: both must be finite", caller, a, b);
}

int nn_init_uniform(ad_var *x, double lo, double hi) {
    int rc = check(x, lo, hi, "init_uniform");
    return rc ? rc : fill(x, ad_rand, hi - lo, lo);
}

int nn_init_normal(ad_var *x, double mean, double std) {
    int rc = check(x, mean, std, "init_normal");
    return rc ? rc : fill(x, ad_randn, std, mean);
}

int nn_init_constant(ad_var *x, double value) {
    if (ad_is_nil(x)) return ad_refuse_nil(x, "init_constant");
    return fill(x, ad_zeros, 1, value);
}

/* ---- by fan-in and fan-out ----------------------------------------------------------------------- */

/* w [out, in], or [out, in, height, width] of a convolution: *in is the number of products that each output sums, *out
   the number of outputs that each input goes into. */
static int fans(const ad_var *w, double *in, double *out, const char *caller) {
    if (ad_is_nil(w)) return ad_refuse_nil(w, caller);
    ad_shape s = ad_shape_of(w);
    if (s.ndim >= 2 && ad_numel(w) > 0) {
        *in = (double)ad_numel(w) / (double)s.dim[0];
        *out = (double)ad_numel(w) / (double)s.dim[1];
        return AD_OK;
    }
    return ad_fail(ad_graph_of(w), AD_ESHAPE, "%s: %s has no inputs and outputs to count; a weight is [out, in]",
                   caller, ad_shape_str(s).text);
}

int nn_init_xavier_uniform(ad_var *w, double gain) {
    double in, out;
    int rc = fans(w, &in, &out, "init_xavier_uniform");
    double bound = rc ? 0 : gain * sqrt(6 / (in + out));
    return rc ? rc : nn_init_uniform(w, -bound, bound);
}

int nn_init_xavier_normal(ad_var *w, double gain) {
    double in, out;
    int rc = fans(w, &in, &out, "init_xavier_normal");
    return rc ? rc : nn_init_normal(w, 0, gain * sqrt(2 / (in + out)));
}

int nn_init_he_uniform(ad_var *w) {
    double in, out;
    int rc = fans(w, &in, &out, "init_he_uniform");
    return rc ? rc : nn_init_uniform(w, -sqrt(6 / in), sqrt(6 / in));
}

int nn_init_he_normal(ad_var *w) {
    double in, out;
    int rc = fans(w, &in, &out, "init_he_normal");
    return rc ? rc : nn_init_normal(w, 0, sqrt(2 / in));
}

/* LeCun et al. 1998: the outputs of a layer have the variance of its inputs. */
int nn_init_lecun_uniform(ad_var *w) {
    double in, out;
    int rc = fans(w, &in, &out, "init_lecun_uniform");
    return rc ? rc : nn_init_uniform(w, -sqrt(3 / in), sqrt(3 / in));
}

int nn_init_lecun_normal(ad_var *w) {
    double in, out;
    int rc = fans(w, &in, &out, "init_lecun_normal");
    return rc ? rc : nn_init_normal(w, 0, sqrt(1 / in));
}

int nn_init_default(ad_var *w) {
    double in, out;
    int rc = fans(w, &in, &out, "init_default");
    return rc ? rc : nn_init_uniform(w, -sqrt(1 / in), sqrt(1 / in));
}

/* ---- truncated normal --------------------------------------------------------------------------- */

/* The probability that a normally distributed number is from lo to hi. */
static double share_within(double mean, double std, double lo, double hi) {
    return 0.5 * (erf((hi - mean) / (std * sqrt(2))) - erf((lo - mean) / (std * sqrt(2))));
}

/* Draws again, for the elements outside lo .. hi only, until there are none. */
int nn_init_trunc_normal(ad_var *x, double mean, double std, double lo, double hi) {
    int rc = check(x, mean, std, "init_trunc_normal");
    if (rc != AD_OK) return rc;
    ad_graph *g = ad_graph_of(x);
    if (!(std > 0 && share_within(mean, std, lo, hi) >= 0.01))
        return ad_fail(g, AD_EVALUE, "init_trunc_normal: less than a hundredth of the normal distribution of mean %g "
                       "and std %g lies from %g to %g", mean, std, lo, hi);
    ad_mark m = ad_begin(g);
    ad_var *y = ad_zeros(g, ad_dtype_of(x), ad_shape_of(x)), *outside = ad_ones(g, ad_dtype_of(x), ad_shape_of(x));
    while (ad_item(ad_sum(outside)) > 0) { /* NaN after an error */
        ad_var *drawn = ad_adds(ad_muls(ad_randn(g, ad_dtype_of(x), ad_shape_of(x)), std), mean);
        y = ad_where(outside, drawn, y);
        outside = ad_ne(y, ad_clamp(y, lo, hi));
    }
    rc = ad_set(x, ad_data(y));
    ad_end(g, m);
    return rc;
}

/* ---- orthogonal (Saxe et al. 2014) ---------------------------------------------------------------- */

/* Makes rows [n,m], n <= m, orthonormal by Gram and Schmidt. The second pass over the rows before removes what rounding
   left by the first. */
static void orthonormalise(int64_t n, int64_t m, double *rows) {
    for (int64_t i = 0; i < n; i++) {
        double *row = rows + i * m;
        for (int64_t j = 0; j < 2 * i; j++) {
            const double *other = rows + j % i * m;
            nn__array_axpy(m, -nn__array_dot(m, row, other), other, row);
        }
        nn__array_scale(AD_F64, m, 1 / sqrt(nn__array_dot(m, row, row)), row);
    }
}

int nn_init_orthogonal(ad_var *w, double gain) {
    double in, out;
    int rc = fans(w, &in, &out, "init_orthogonal");
    if (rc == AD_OK) rc = check(w, gain, 1, "init_orthogonal");
    if (rc != AD_OK) return rc;
    ad_graph *g = ad_graph_of(w);
    int64_t n = ad_shape_of(w).dim[0], m = ad_numel(w) / n;
    ad_mark mark = ad_begin(g);
    ad_var *q = ad_randn(g, AD_F64, n <= m ? AD_SHAPE(n, m) : AD_SHAPE(m, n));
    if (ad_ok(g)) orthonormalise(n <= m ? n : m, n <= m ? m : n, ad_data_mut(q));
    q = ad_muls(n <= m ? q : ad_transpose(q), gain);
    rc = ad_set(w, ad_data(ad_cast(q, ad_dtype_of(w))));
    ad_end(g, mark);
    return rc;
}
