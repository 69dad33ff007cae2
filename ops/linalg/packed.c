/* packed.c: results of decompositions: the parts of one matrix's result lie one after the other along the last axis. */
#include "ops/linalg/packed.h"

#include "ops/base/attrs.h"
#include "ops/base/gradient.h"
#include "ops/kernels/linalg/decompose.h"
#include "ops/ops.h"

ad__sides ad__sides_of(const ad_var *x) {
    int64_t n = ad__matrix_rows(x), m = ad__matrix_side(x);
    return (ad__sides){ n, m, ad__lesser(n, m) };
}

ad_shape ad__packed_shape(ad_shape s, int64_t size) {
    ad_shape packed = ad__leading(s);
    packed.dim[packed.ndim++] = size;
    for (int i = packed.ndim; i < AD_MAX_NDIM; i++) packed.dim[i] = 0;
    return packed;
}

ad_var *ad__packed_part(ad_var *packed, int64_t from, int64_t rows, int64_t columns) {
    if (ad__absent(packed)) return packed;
    ad_var *part = ad_narrow(packed, -1, from, rows == AD__VECTOR ? columns : rows * columns);
    if (rows == AD__VECTOR || ad__absent(part)) return part;
    ad_shape s = part->layout->shape;
    s.dim[s.ndim - 1] = rows;
    s.dim[s.ndim++] = columns;
    return ad_reshape(part, s);
}

ad_var *ad__antisymmetric(ad_var *m) {
    if (ad__absent(m)) return m;
    ad_var *off = ad__zero_where(ad_eye(ad__owner(m), m->layout->dtype, ad__matrix_side(m)), m);
    return ad_sub(off, ad_transpose(off));
}

int ad__decomposition_shape(ad_call *c, ad__sides *sides) {
    int rc = ad__matrix_shape(c);
    if (rc != AD_OK) return rc;
    *sides = ad__sides_of(c->in[0]);
    return ad__check_sides(c, AD__DECOMPOSE_MAX, sides->k, 0, 0);
}

int ad__not_finite(const ad_op *op, int64_t i) {
    return ad_op_fail(op, AD_EVALUE, "matrix %lld has elements that are infinite or NaN", (long long)i);
}
int ad__not_converged(const ad_op *op, int64_t i) {
    return ad_op_fail(op, AD_EVALUE, "LAPACK's iteration for matrix %lld did not converge", (long long)i);
}

int ad__parts_begin(ad_var *x, const char *caller, int n, ad_var *parts[]) {
    for (int i = 0; i < n && parts != NULL; i++) parts[i] = ad_nil(ad_graph_of(x));
    if (ad__absent(x)) return ad_refuse_nil(x, caller);
    if (parts != NULL) return ad_error_code(ad__owner(x));
    return ad_fail(ad__owner(x), AD_EVALUE, "%s: parts must not be NULL", caller);
}

int ad__parts_end(ad_var *x, int n, ad_var *parts[]) {
    ad_graph *g = ad__owner(x);
    for (int i = 0; i < n && !ad_ok(g); i++) parts[i] = ad_nil(g);
    return ad_error_code(g);
}
