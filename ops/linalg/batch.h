/* batch.h: arrays [..,n,m] as batches of matrices, whose leading axes broadcast. */
#ifndef OPS_LINALG_BATCH_H
#define OPS_LINALG_BATCH_H

#include "autodiff/graph/node.h"

/* The leading axes of operands a and b, which are those before the last two, and what they broadcast to. */
typedef struct {
    ad_shape a, b, all;
    int64_t count; /* batches: the elements of all */
    bool fit;      /* false: a and b do not broadcast */
} ad__batches;

static inline ad_shape ad__leading(ad_shape s) {
    s.ndim = s.ndim > 2 ? s.ndim - 2 : 0;
    return s;
}

static inline void ad__batches_of(ad_shape a, ad_shape b, ad__batches *to) {
    to->a = ad__leading(a), to->b = ad__leading(b);
    to->fit = ad__broadcast(to->a, to->b, &to->all) == 0;
    to->count = ad_shape_numel(to->all);
}

/* The index of the matrix that an operand with the leading axes `own` has in batch i. */
static inline int64_t ad__matrix_index(ad_shape own, ad_shape batch, int64_t i) {
    if (i == 0) return 0; /* also if batch has no elements */
    int64_t index = 0, step = 1;
    for (int a = 1; a <= batch.ndim; a++) {
        int64_t at = i % batch.dim[batch.ndim - a];
        i /= batch.dim[batch.ndim - a];
        if (a > own.ndim) continue;
        int64_t size = own.dim[own.ndim - a];
        if (size != 1) index += at * step;
        step *= size;
    }
    return index;
}

/* The matrix with that index, in an array of matrices with so many elements each. */
static inline char *ad__matrix(const void *data, int64_t index, int64_t elements, ad_dtype t) {
    size_t offset = (size_t)(index * elements) * ad_dtype_size(t);
    return offset ? (char *)data + offset : (char *)data; /* data is NULL where there are no elements */
}

/* ---- for shape rules: 0 or the error -------------------------------------------------------------------- */

int ad__check_batches(const ad_call *c, const ad__batches *b); /* checks that leading axes broadcast */
int ad__sides_fail(const ad_call *c, int most); /* sets the error of ad__check_sides */
/* Checks that none of these sides is longer than most. */
static inline int ad__check_sides(const ad_call *c, int most, int64_t n, int64_t m, int64_t k) {
    return n <= most && m <= most && k <= most ? AD_OK : ad__sides_fail(c, most);
}

#endif
