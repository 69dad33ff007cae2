/* init.c: first values of parameters, drawn from the graph's random numbers. */
#include <math.h>

#include "autodiff/node.h"
#include "nn/nn.h"

/* x = scale u + shift for drawn numbers u: composed of ops in a scope of its own, then copied. */
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
    if (ad_is_nil(x)) return ad__refuse_nil(x, caller);
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
    if (ad_is_nil(x)) return ad__refuse_nil(x, "init_constant");
    return fill(x, ad_zeros, 1, value);
}

/* ---- by the number of inputs and outputs --------------------------------------------------------- */

/* w [out, in] or, of a convolution, [out, in, height, width]: how many products each output sums,
   and into how many outputs each input goes. */
static int fans(const ad_var *w, double *in, double *out, const char *caller) {
    if (ad_is_nil(w)) return ad__refuse_nil(w, caller);
    ad_shape s = ad_shape_of(w);
    if (s.ndim >= 2 && ad_numel(w) > 0) {
        *in = (double)ad_numel(w) / (double)s.dim[0];
        *out = (double)ad_numel(w) / (double)s.dim[1];
        return AD_OK;
    }
    char text[160];
    ad_shape_text(s, text, sizeof text);
    return ad_fail(ad_graph_of(w), AD_ESHAPE, "%s: %s has no inputs and outputs to count; a weight is [out, in]",
                   caller, text);
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
