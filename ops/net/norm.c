/* norm.c: the loops that normalise an array, for forms of normalisations in C. */
#include "ops/net/norm.h"

ad_emit_array ad__emit_normal(ad_emit *e, ad_emit_array x, unsigned mask, double eps) {
    double n = 1;
    for (int i = 0; i < x.shape.ndim; i++)
        if (mask >> i & 1) n *= (double)x.shape.dim[i];
    ad_emit_array mean = ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, x, mask, "x", "g"), d, scale;
    ad_emit_loop l = { .dtype = AD_F64, .shape = mean.shape, .names = "x n", .value = "x / n", .slope = { "g / n" },
                       .n = 1, .in = { mean }, .n_parameters = 1, .parameter = { n } };
    mean = ad_emit_run(e, &l);
    d = ad__emit_map2(e, AD_F64, x.shape, x, mean, "a - b", "g", "-g");
    l.in[0] = ad__emit_reduce(e, AD_EMIT_SUM, AD_F64, d, mask, "x * x", "2 * g * x");
    l.names = "x n e", l.n_parameters = 2, l.parameter[1] = eps;
    l.value = "fabs(x / n) == INFINITY ? NAN : 1 / sqrt(x / n + e)", l.slope[0] = "g * -(y * y * y) / (2 * n)";
    scale = ad_emit_run(e, &l);
    return ad__emit_map2(e, AD_F64, x.shape, d, scale, "a * b", "g * b", "g * a");
}
