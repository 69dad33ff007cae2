/* rows.h: access to the rows of an array along an axis as contiguous memory, in place or copied to scratch. */
#ifndef OPS_LOSS_ROWS_H
#define OPS_LOSS_ROWS_H

#include "ops/base/attrs.h"

#include <string.h>

typedef struct {
    ad_dtype t;
    size_t size;   /* of a row, in bytes */
    int64_t n;     /* elements of a row */
    int64_t inner; /* distance between the elements of a row */
    int64_t count; /* rows */
    char *scratch; /* the slots: the rows of scratch that the op's shape rule reserved */
} ad__rows;

ad__rows ad__rows_along(const ad_op *op, ad_shape s, int axis);

/* Copy row j of the data to a row of scratch, and a row of scratch to row j. */
void *ad__row_load(const ad__rows *r, const void *data, int64_t j, void *row);
void ad__row_unload(const ad__rows *r, const void *row, void *data, int64_t j);

static inline void *ad__row_slot(const ad__rows *r, int slot) { return r->scratch + (size_t)slot * r->size; }
/* Row j, if the elements of a row are contiguous. */
static inline void *ad__row_in_place(const ad__rows *r, const void *data, int64_t j) {
    return (char *)data + (size_t)j * r->size;
}
/* Row j of the data: in place if contiguous, else copied to the slot. */
static inline void *ad__row_at(const ad__rows *r, const void *data, int64_t j, int slot) {
    if (r->inner == 1) return ad__row_in_place(r, data, j);
    return ad__row_load(r, data, j, ad__row_slot(r, slot));
}
/* The same for a row that is set to zeros. */
static inline void *ad__row_zeros(const ad__rows *r, void *data, int64_t j, int slot) {
    return memset(r->inner == 1 ? ad__row_in_place(r, data, j) : ad__row_slot(r, slot), 0, r->size);
}
/* Row j of a gradient, to add to; fresh: the gradient has no contribution yet. */
static inline void *ad__row_gradient(const ad__rows *r, void *grad, int64_t j, int slot, bool fresh) {
    return fresh ? ad__row_zeros(r, grad, j, slot) : ad__row_at(r, grad, j, slot);
}
/* Copies row j back to the data if it is in a slot. */
static inline void ad__row_store(const ad__rows *r, const void *row, void *data, int64_t j) {
    if (r->inner != 1) ad__row_unload(r, row, data, j);
}

#endif
