/* system.c: what the ops through LAPACK share. */
#include "ops/system.h"

int ad__square_shape(ad_call *c) {
    ad_shape s = c->in[0]->layout->shape;
    if (!ad__has_lapack())
        return ad_call_fail(c, AD_EABSENT, "this build has no LAPACK; install an OpenBLAS (libopenblas-serial-dev) and build again");
    if (s.ndim < 2 || s.dim[s.ndim - 1] != s.dim[s.ndim - 2])
        return ad_call_fail(c, AD_ESHAPE, "takes square matrices, [..,n,n]");
    if (s.dim[s.ndim - 1] > AD__LAPACK_MAX)
        return ad_call_fail(c, AD_ESHAPE, "a side is longer than %d", AD__LAPACK_MAX);
    return AD_OK;
}

int64_t ad__side(const ad_var *x) { return x->layout->shape.dim[x->layout->shape.ndim - 1]; }
int64_t ad__count(const ad_var *x) { return ad_shape_numel(ad__leading(x->layout->shape)); }

void ad__sample_matrices(int64_t n, int64_t count, double shift, double *to) {
    for (int64_t k = 0; k < count * n * n; k++) {
        int64_t i = k / n % n, j = k % n;
        to[k] = 2 * ad__spread_number(k, 0) - 1 + (i == j ? shift : 0);
    }
}
