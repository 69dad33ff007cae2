/* system.c: what the ops through LAPACK share. */
#include "ops/linalg/system.h"
#include "autodiff/base/spread.h"

#include <string.h>

int ad__square_shape(ad_call *c) {
    ad_shape s = c->in[0]->layout->shape;
    if (!ad__has_lapack())
        return ad_call_fail(c, AD_EABSENT, "this build has no LAPACK; install an OpenBLAS, as libopenblas-serial-dev, "
                                           "and build again");
    if (s.ndim < 2 || s.dim[s.ndim - 1] != s.dim[s.ndim - 2])
        return ad_call_fail(c, AD_ESHAPE, "takes square matrices, [..,n,n]");
    if (s.dim[s.ndim - 1] > AD__LAPACK_MAX)
        return ad_call_fail(c, AD_ESHAPE, "a side is longer than %d", AD__LAPACK_MAX);
    return AD_OK;
}

int64_t ad__matrix_side(const ad_var *x) { return x->layout->shape.dim[x->layout->shape.ndim - 1]; }
int64_t ad__matrix_count(const ad_var *x) { return ad_shape_numel(ad__leading(x->layout->shape)); }

/* A byte more, so that there is a place even for no factors. */
size_t ad__factors_size(const ad_call *c) {
    const ad_var *x = c->in[0];
    return ad__bytes(x) + (size_t)(ad__matrix_count(x) * ad__matrix_side(x)) * sizeof(int) + 1;
}

void *ad__factors(const ad_op *op, int64_t k) {
    const ad_var *x = op->in[0];
    return ad__matrix(ad_saved(op), k, ad__matrix_side(x) * ad__matrix_side(x), x->layout->dtype);
}

int *ad__pivots(const ad_op *op, int64_t k) {
    return (int *)(void *)((char *)ad_saved(op) + ad__bytes(op->in[0])) + k * ad__matrix_side(op->in[0]);
}

int ad__singular(const ad_op *op, int64_t k, int64_t pivot) {
    return ad_op_fail(op, AD_EVALUE, "matrix %lld is singular: pivot %lld of its LU factors is 0", (long long)k,
                      (long long)pivot);
}

int ad__factorise(const ad_op *op, bool required) {
    const ad_var *x = op->in[0];
    memcpy(ad_saved(op), x->data, ad__bytes(x));
    for (int64_t k = 0; k < ad__matrix_count(x); k++) {
        int64_t zero = ad__lu(x->layout->dtype, ad__matrix_side(x), ad__factors(op, k), ad__pivots(op, k));
        if (zero != 0 && required) return ad__singular(op, k, zero);
    }
    return AD_OK;
}

void ad__sample_matrices(int64_t n, int64_t count, double shift, double *to) {
    for (int64_t k = 0; k < count * n * n; k++) {
        int64_t i = k / n % n, j = k % n;
        to[k] = 2 * ad__spread_number(k, 0) - 1 + (i == j ? shift : 0);
    }
}
