/* system.c: shape rules, loops over batches, LU factors and samples for the ops that use LAPACK. */
#include "ops/linalg/system.h"

#include "autodiff/base/spread.h"

#include <string.h>

static int check_lapack(const ad_call *c) {
    if (ad__has_lapack()) return AD_OK;
    return ad_call_fail(c, AD_EABSENT, "this build has no LAPACK; install an OpenBLAS with threads, as "
                                       "libopenblas-pthread-dev, and build again");
}

int ad__matrix_shape(ad_call *c) {
    ad_shape s = c->in[0]->layout->shape;
    int rc = check_lapack(c);
    if (rc != AD_OK) return rc;
    if (s.ndim < 2) return ad_call_fail(c, AD_ESHAPE, "takes matrices, [..,n,m]");
    return ad__check_sides(c, AD__LAPACK_MAX, s.dim[s.ndim - 1], s.dim[s.ndim - 2], 0);
}

int ad__square_shape(ad_call *c) {
    ad_shape s = c->in[0]->layout->shape;
    int rc = check_lapack(c);
    if (rc != AD_OK) return rc;
    if (s.ndim < 2 || s.dim[s.ndim - 1] != s.dim[s.ndim - 2])
        return ad_call_fail(c, AD_ESHAPE, "takes square matrices, [..,n,n]");
    return ad__check_sides(c, AD__LAPACK_MAX, s.dim[s.ndim - 1], 0, 0);
}

int64_t ad__matrix_count(const ad_var *x) { return ad_shape_numel(ad__leading(x->layout->shape)); }

ad__batch ad__batch_values(const ad_op *op, const ad__batches *batches) {
    const ad_var *a = op->in[0], *y = ad__out(op);
    ad__batch b = { .op = op, .batches = batches, .t = y->layout->dtype, .i = -1 };
    b.rows = ad__matrix_rows(a), b.side = ad__matrix_side(a);
    b.count = batches ? batches->count : ad__matrix_count(a);
    b.size = b.count ? y->layout->numel / b.count : 0;
    if (b.size == 0) b.count = 0; /* there may be very many empty matrices */
    b.a_bytes = (size_t)(b.rows * b.side) * ad_dtype_size(b.t);
    b.y_bytes = (size_t)b.size * ad_dtype_size(b.t);
    int64_t operands = batches ? ad_shape_numel(batches->b) : 0;
    b.b_bytes = operands ? ad__bytes(op->in[1]) / (size_t)operands : 0;
    return b;
}

ad__batch ad__batch_gradients(const ad_op *op, const ad__batches *batches) {
    ad__batch b = ad__batch_values(op, batches);
    for (int i = 0; i < op->n_in; i++) b.grad[i] = ad_grad_into(op, i);
    if ((b.grad[0] == NULL && b.grad[1] == NULL) || b.side == 0 || b.size == 0) b.count = 0;
    return b;
}

/* Part k of an array whose parts have so many bytes; NULL if array is NULL. */
static inline void *part(void *array, int64_t k, size_t bytes) {
    return array ? (char *)array + (size_t)k * bytes : NULL;
}

bool ad__batch_next(ad__batch *b) {
    const ad_op *op = b->op;
    const ad__batches *both = b->batches;
    const ad_var *y = ad__out(op);
    if (++b->i >= b->count) return false;
    b->ia = b->i;
    if (both != NULL) {
        int64_t k = ad__matrix_index(both->b, both->all, b->i);
        b->ia = ad__matrix_index(both->a, both->all, b->i);
        b->b = part(op->in[1]->data, k, b->b_bytes);
        b->gb = part(b->grad[1], k, b->b_bytes);
    }
    b->a = part(op->in[0]->data, b->ia, b->a_bytes);
    b->ga = part(b->grad[0], b->ia, b->a_bytes);
    b->y = part(y->data, b->i, b->y_bytes);
    b->g = part(y->grad, b->i, b->y_bytes);
    return true;
}

/* One more byte, so that saved is not NULL for empty matrices. */
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
    const int64_t count = ad__matrix_count(x);
    if (x->layout->numel == 0) return AD_OK; /* there may be very many empty matrices, and x->data may be NULL */
    memcpy(ad_saved(op), x->data, ad__bytes(x));
    for (int64_t k = 0; k < count; k++) {
        int64_t zero = ad__square_lu(x->layout->dtype, ad__matrix_side(x), ad__factors(op, k), ad__pivots(op, k));
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

void ad__square_samples(ad_sampler *s, const void *attrs, int64_t largest, double shift) {
    const ad_shape shapes[] = { AD_SHAPE(1, 1),    AD_SHAPE(2, 2),    AD_SHAPE(3, 2, 2), AD_SHAPE(2, 1, 3, 3),
                                AD_SHAPE(largest, largest), AD_SHAPE(0, 3, 3), AD_SHAPE(2, 0, 0) };
    for (int i = 0; i < AD__COUNT(shapes); i++) {
        double x[AD__SAMPLE_MATRICES];
        ad__sample_matrices(shapes[i].dim[shapes[i].ndim - 1], ad_shape_numel(ad__leading(shapes[i])), shift, x);
        ad_sample_values(s, attrs, 1, &shapes[i], (const double *[]){ x }, 0);
    }
}
