/* rows.c: access to the rows of an array along an axis as contiguous memory. */
#include "ops/loss/rows.h"

ad__rows ad__rows_along(const ad_op *op, ad_shape s, int axis) {
    ad__around a = ad__around_axis(s, axis);
    ad_dtype t = ad__out(op)->layout->dtype;
    return (ad__rows){ t, (size_t)a.n * ad_dtype_size(t), a.n, a.inner, a.outer * a.inner, ad_scratch(op) };
}

static void *first_of(const ad__rows *r, const void *data, int64_t j) {
    int64_t first = j / r->inner * r->n * r->inner + j % r->inner;
    return (char *)data + (size_t)first * ad_dtype_size(r->t);
}

void *ad__row_load(const ad__rows *r, const void *data, int64_t j, void *row) {
    ad__load_row(r->t, r->n, r->inner, first_of(r, data, j), row);
    return row;
}

void ad__row_unload(const ad__rows *r, const void *row, void *data, int64_t j) {
    ad__store_row(r->t, r->n, r->inner, row, first_of(r, data, j));
}
